/* SPDX-License-Identifier: MIT */
/*
 * What a cold tier keeps its objects in: named objects, written once from front to back and read by ranges. Implemented by
 * storage/cold_directory (files) and storage/cold_s3 (a bucket); the code above cannot tell which it runs on.
 *
 *      create --> append, append, ... --> finish      the object is there, whole and durable
 *                                    \--> abandon     there is nothing
 *      read, size, list, remove, sweep
 *
 * An object under its name is whole: until finish returns ERR_OK it is not there, or whole all the same (the answer was lost). Names are 1 to
 * COLD_NAME_MAX - 1 of a-z 0-9 . - with a letter or digit first.
 *
 * Errors, of all operations: ERR_NOT_FOUND (the object is not there; the medium answered) · ERR_UNAVAILABLE (the medium does not
 * answer, or not by the deadline; call->retry_at_ns says when it is worth another try) · ERR_DENIED (it answers, and refuses: credentials, bucket,
 * permissions; a person must look) · ERR_CORRUPT (bytes that cannot be what was written) · ERR_NO_SPACE · ERR_CANCELLED · ERR_NOMEM. call->why
 * names the thing and what to do.
 *
 * Everything blocks and is called from jobs only. Operations of one store may run in several jobs at once; an upload belongs to one at
 * a time.
 */
#ifndef HEARTH_STORAGE_COLD_STORE_H
#define HEARTH_STORAGE_COLD_STORE_H

#include <stdatomic.h>

#include "base/attr.h"
#include "base/buf.h"

enum { COLD_NAME_MAX = 64, COLD_WHY_BYTES = 384 };

/* One operation: what it may take, and what became of it. */
struct cold_call {
    uint64_t deadline_ns;          /* CLOCK_MONOTONIC */
    const _Atomic bool *cancelled; /* looked at between steps; NULL: it cannot be */
    uint64_t retry_at_ns;          /* set with ERR_UNAVAILABLE: not before; 0 = no matter */
    char why[COLD_WHY_BYTES];      /* set with an error: one sentence */
};

struct cold_upload; /* the store's own */

/* What a store compares, or lets compare, before finish says ERR_OK. */
enum cold_proof {
    COLD_PROVED,  /* what was sent is what is stored: the medium said so in a way that cannot be chance */
    COLD_UNPROVED /* its size fits: read it back */
};

/* Called for each object, in order of name. An error ends the listing and becomes its result. */
typedef enum err cold_each(void *arg, const char *name, uint64_t bytes);

/* Whether an object of this name is one that we write. The name is good. */
typedef bool cold_is_ours(const char *name);

struct cold_store {
    const struct cold_store_class *class;
};

struct cold_store_class {
    /* Begins an object that is not there. Nothing is on the medium yet when it fails. */
    enum err (*create)(struct cold_store *store, struct cold_call *call, const char *name,
                       struct cold_upload **ret_upload);
    /* Appends; borrowed for the call. After an error only abandon is possible. */
    enum err (*append)(struct cold_upload *upload, struct cold_call *call, struct span bytes);
    /* Ends it: on ERR_OK the object is there, durable. The upload is freed in every case; after an error as by abandon. */
    enum err (*finish)(struct cold_upload *upload, struct cold_call *call, enum cold_proof *ret_proof);
    /* Removes what there is of it, as far as that can be done now; sweep does the rest. NULL-safe. */
    void (*abandon)(struct cold_upload *upload, struct cold_call *call);
    /* len bytes from offset on, exactly; ERR_CORRUPT when the object is shorter. */
    enum err (*read)(struct cold_store *store, struct cold_call *call, const char *name, uint64_t offset, uint8_t *to,
                     size_t len);
    enum err (*size)(struct cold_store *store, struct cold_call *call, const char *name, uint64_t *ret_bytes);
    /* Those behind `after` ("" = all), at most a thousand of them; ret_more: there are others behind the last one. */
    enum err (*list)(struct cold_store *store, struct cold_call *call, const char *after, cold_each *each, void *arg,
                     bool *ret_more);
    /* One that is not there is no error. On ERR_OK it does not come back. */
    enum err (*remove)(struct cold_store *store, struct cold_call *call, const char *name);
    /*
     * Removes what unfinished uploads of objects that are ours have left, those of other lives above all; none of this store may be under way.
     * What others write to the same place is left alone.
     */
    enum err (*sweep)(struct cold_store *store, struct cold_call *call, cold_is_ours *ours, uint64_t *ret_count);
    /* NULL-safe. No operation is under way, no upload open. */
    void (*free)(struct cold_store *store);
};

/* Whether a name is one; whoever asks a store has checked it. */
bool cold_name_is_good(const char *name);

/* Sets call->why and returns err. */
enum err cold_fail(struct cold_call *call, enum err err, const char *fmt, ...) PRINTF_LIKE(3, 4);

static inline bool cold_cancelled(const struct cold_call *call)
{
    return call->cancelled != NULL && atomic_load_explicit(call->cancelled, memory_order_relaxed);
}

#endif
