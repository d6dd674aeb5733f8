/* SPDX-License-Identifier: MIT */
/*
 * Part of an open file on its way into an upload: jobs read it straight into the blocks that will leave and hash them there, two at a time,
 * while the store writes what came before.
 *
 *      file_source_read  -> job: pread and hash up to 1 MiB of chunks, compare, close
 *      INFO_JOB          -> file_source_done
 *      file_source_next  -> the leaves, in the file's order
 *
 * Each job has a descriptor of its own, so whoever ends first closes only his; its leaves count only when the file was the same after them
 * as when it came (storage/local_file.h).
 *
 * Private to actors/control. One thread: the actor's; a job owns its argument while it runs.
 */
#ifndef HEARTH_ACTORS_CONTROL_FILE_SOURCE_H
#define HEARTH_ACTORS_CONTROL_FILE_SOURCE_H

#include "mailbox/actor.h"
#include "storage/import_leaf.h"
#include "storage/local_file.h"

struct file_source;

enum {
    FILE_SOURCE_JOBS = 2,
    FILE_SOURCE_JOB_BYTES = 1024 * 1024, /* of one job, or one chunk */
    FILE_SOURCE_CHUNK_MIN = 16 * 1024,   /* smaller chunks are not worth jobs of their own */
};

struct file_source_options {
    const struct local_file *file; /* copied, with a descriptor of its own */
    uint64_t from;                 /* first byte */
    uint64_t until;                /* the chunk that holds the byte before is the last one; at most the file's size */
    const struct import_options *import; /* copied */
    bool plain;                          /* bytes: leaves are not hashed */
    struct account
        *account; /* charged for what was read, until file_source_next gives it away; must outlive all actors */
    uint64_t tag; /* of its jobs */
    void *user;
};

/* ERR_INVALID: the range is not in the file; ERR_UNSUPPORTED: the chunks are too small; else no memory or no descriptor is left. */
enum err file_source_new(const struct file_source_options *options, struct file_source **ret_source) MUST_CHECK;

/* Cancels its jobs, which free themselves when they end. NULL is ignored. */
void file_source_free(struct file_source *source, struct ctx *ctx);

/*
 * Begins to read the next chunks. ERR_AGAIN when nothing is left to begin, enough is under way or the account is spent; alone: nothing else
 * of the upload is on its way, so one chunk is read whatever the account says. Else no job could be begun.
 */
enum err file_source_read(struct file_source *source, struct ctx *ctx, bool alone) MUST_CHECK;

/* A job has ended. Returns the user of its source, or NULL when that is gone. */
void *file_source_done(const struct info *info);

/*
 * The next leaf, which is the caller's. ERR_AGAIN: wait for a job; ERR_CLOSED: that was all; else the error that ended the reading, as of
 * local_file.h.
 */
enum err file_source_next(struct file_source *source, struct import_leaf *ret_leaf) MUST_CHECK;

/* Whether it goes to the end of the file. */
bool file_source_at_end(const struct file_source *source);

#endif
