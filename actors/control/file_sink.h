/* SPDX-License-Identifier: MIT */
/*
 * Bytes of blocks on their way into an open file that a client handed over: jobs write them straight out of the blocks.
 *
 *      file_sink_put    what there is, in the file's order, while there is room
 *      file_sink_write  -> job: writes what was put; closes, when that was all
 *      INFO_JOB         -> file_sink_done; then the next bytes are put
 *
 * One job at a time, so that a file system that hangs holds one worker; what comes meanwhile waits where it is counted, in the reader's window.
 * The descriptor goes with the job and comes back with it: nobody else writes or closes it. It is closed by a job in any case, since a file
 * system may take as long for that as for writing.
 *
 * Private to actors/control. One thread: the actor's; a job owns its sink while it runs.
 */
#ifndef HEARTH_ACTORS_CONTROL_FILE_SINK_H
#define HEARTH_ACTORS_CONTROL_FILE_SINK_H

#include "base/block_ref.h"
#include "mailbox/actor.h"
#include "storage/local_file.h"

struct file_sink;

enum {
    FILE_SINK_PARTS = 64,
    FILE_SINK_BYTES = 1024 * 1024,      /* no more is put, but the last block may pass it */
    FILE_SINK_BYTES_SPENT = 256 * 1024, /* the same while the account has no room */
};

struct file_sink_options {
    uint64_t offset;         /* of the first byte, in the file */
    struct account *account; /* charged for what was put, until it is written; of this life of the actor */
    uint64_t tag;            /* of its jobs */
    void *user;
};

/* Takes the file over, on an error too: ERR_NOMEM. */
enum err file_sink_new(const struct file_sink_options *options, struct local_file *file,
                       struct file_sink **ret_sink) MUST_CHECK;

/* What is not being written is not written any more. The sink goes when its job has ended, or one that closes the file. NULL is ignored. */
void file_sink_free(struct file_sink *sink, struct ctx *ctx);

/* Whether bytes may be put: no job has the sink, and it is neither full nor at its end. */
bool file_sink_has_room(const struct file_sink *sink);

/*
 * Puts bytes that lie in the block, whose reference becomes the sink's. There must be room. When the account has none, they are put all the same,
 * but few: so nobody waits for the others, and each holds little more than a block that nothing was charged for.
 */
void file_sink_put(struct file_sink *sink, struct block_ref *block, struct span bytes);

/* Offset of the next byte to put. */
uint64_t file_sink_position(const struct file_sink *sink);

/* Whether nothing was put since the last job. */
bool file_sink_is_empty(const struct file_sink *sink);

/* Begins to write what was put; last: and closes the file then. No job may have the sink. An error of ctx_job. */
enum err file_sink_write(struct file_sink *sink, struct ctx *ctx, bool last) MUST_CHECK;

/* A job has ended. Returns the user of its sink, or NULL when that was given up. */
void *file_sink_done(struct ctx *ctx, const struct info *info);

/* ERR_OK: bytes may come; ERR_AGAIN: a job has it; ERR_CLOSED: all was written and the file closed; else the error that ended it. */
enum err file_sink_state(const struct file_sink *sink);

#endif
