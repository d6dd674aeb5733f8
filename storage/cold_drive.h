/* SPDX-License-Identifier: MIT */
/*
 * A cold tier as it is configured: the store behind it, its mark, the pack under way, and how it is.
 *
 *      cold_drive_new --> cold_drive_run (CLAIM), ... --> cold_drive_unref
 *
 * Carries out the cold operations of storage/blockstore.h, one to one, on storage/cold_tier; before CLAIM has succeeded all others are
 * ERR_UNAVAILABLE. One pack is under way: BEGIN and SWEEP give up another one, and so does any error of ADD but ERR_BUSY and
 * ERR_TOO_LARGE.
 *
 * Reads and checks may run beside anything, all other operations one at a time. Everything but new, ref, unref and facts blocks; from jobs.
 */
#ifndef HEARTH_STORAGE_COLD_DRIVE_H
#define HEARTH_STORAGE_COLD_DRIVE_H

#include "storage/blockstore.h"
#include "storage/cold_tier.h"
#include "storage/s3_client.h"

/* Texts are copied, the rest is borrowed until the last unref. */
struct cold_drive_options {
    const char *kind; /* "directory" or "s3" */
    const struct disk_port *disk;
    const char *path; /* directory */
    /* s3 */
    const struct http_port *http;
    s3_environment *environment; /* where credentials may be that the configuration does not give */
    const char *endpoint;        /* "": Amazon's */
    const char *region;
    const char *bucket;
    const char *prefix;
    const char *access_key; /* with secret_key, or both "" */
    const char *secret_key;
    const char *ca_file;     /* "": what the system trusts */
    uint64_t requests_per_s; /* 0 = S3_REQUESTS_PER_S */
    uint64_t burst;          /* 0 = S3_BURST */

    uint64_t pack_bytes;   /* 0 = COLD_PACK_BYTES */
    uint64_t seed;         /* of the jitter */
    struct account *packs; /* for packs that are written and checked; NULL = not charged */
    struct account *reads; /* for blocks that are read; NULL = not charged */
};

struct cold_drive;

/* Looks at nothing yet. ERR_NOMEM, ERR_TOO_LARGE (a text), ERR_INVALID (the kind). */
enum err cold_drive_new(const struct cold_drive_options *options, struct cold_drive **ret_drive) MUST_CHECK;

/* Jobs outlive the life that began them: each has a reference. The last one gives up the pack under way, without asking a server. */
struct cold_drive *cold_drive_ref(struct cold_drive *drive);
void cold_drive_unref(struct cold_drive *drive); /* NULL-safe */

/*
 * Carries out an operation by its deadline; its results and op->why are set. Errors as storage/cold_store.h, and ERR_CLOSED: the pack is not
 * under way (any more).
 */
enum err cold_drive_run(struct cold_drive *drive, struct store_cold *op, const _Atomic bool *cancelled) MUST_CHECK;

struct cold_facts {
    const char *kind;
    const char *place; /* for people */
    bool up;           /* it answered when it was last asked, and is ours */
    uint64_t retry_at_ns;
    char why[COLD_WHY_BYTES];    /* it is not up, or full */
    bool is_counted;             /* by its requests, which cost money */
    struct s3_counters requests; /* of requests.bytes_in and bytes_out in any case */
};
void cold_drive_facts(struct cold_drive *drive, struct cold_facts *ret_facts);

#endif
