/* SPDX-License-Identifier: MIT */
/* Drives a block store on one thread: jobs run where they are found. For unit tests and the crash replay alike. */
#ifndef HEARTH_TESTS_SUPPORT_STORE_DRIVER_H
#define HEARTH_TESTS_SUPPORT_STORE_DRIVER_H

#include <stdlib.h>

#include "storage/blockstore.h"

struct test_op {
    struct store_op op;
    bool done;
    enum err err;
};

struct test_change {
    struct store_change_op op;
    bool done;
    enum err err;
};

static inline void test_op_done(struct store_op *op, enum err err)
{
    struct test_op *t = CONTAINER_OF(op, struct test_op, op);
    t->done = true;
    t->err = err;
}

static inline void test_change_done(struct store_change_op *op, enum err err)
{
    struct test_change *t = CONTAINER_OF(op, struct test_change, op);
    t->done = true;
    t->err = err;
}

/* Runs what there is to run, at most max jobs. */
static inline void test_drive(struct blockstore *store, size_t max)
{
    struct store_job *job;
    for (size_t i = 0; i < max && (job = blockstore_next_job(store)) != NULL; i++)
        blockstore_job_done(store, job, store_job_run(job));
}

static inline struct test_op test_op_for(const struct block_key *key)
{
    struct test_op t = {.op = {.done = test_op_done, .key = *key, .codec = 0x55}};
    t.op.cid[0] = 1;
    t.op.cid[1] = 0x55;
    memcpy(t.op.cid + 2, key->bytes, key->len);
    t.op.cid_len = (uint8_t)(key->len + 2);
    return t;
}

static inline struct test_change test_pin(const struct block_key *key, enum change_of kind)
{
    struct test_change t = {.op = {.done = test_change_done}};
    t.op.change.kind = kind;
    t.op.change.key = *key;
    t.op.change.recursive = true;
    t.op.change.cid[0] = 1;
    t.op.change.cid[1] = 0x70;
    memcpy(t.op.change.cid + 2, key->bytes, key->len);
    t.op.change.cid_len = (uint8_t)(key->len + 2);
    return t;
}

static inline enum err test_put(struct blockstore *store, const struct block_key *key, struct span bytes,
                                bool *ret_existed)
{
    struct test_op t = test_op_for(key);
    struct block_ref *ref = block_ref_copy(bytes, NULL);
    blockstore_put(store, &t.op, ref);
    block_ref_unref(ref);
    test_drive(store, 1000);
    if (ret_existed != NULL)
        *ret_existed = t.op.existed;
    return t.done ? t.err : ERR_INTERNAL;
}

/* ret_ref gets one reference on ERR_OK. */
static inline enum err test_get(struct blockstore *store, const struct block_key *key, struct block_ref **ret_ref)
{
    struct test_op t = test_op_for(key);
    blockstore_get(store, &t.op);
    test_drive(store, 1000);
    *ret_ref = t.op.ref;
    return t.done ? t.err : ERR_INTERNAL;
}

static inline enum err test_change(struct blockstore *store, const struct block_key *key, enum change_of kind)
{
    struct test_change t = test_pin(key, kind);
    blockstore_change(store, &t.op);
    test_drive(store, 1000);
    return t.done ? t.err : ERR_INTERNAL;
}

#endif
