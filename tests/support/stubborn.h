/* SPDX-License-Identifier: MIT */
/*
 * A store whose calls fail, and people who ask again until it is done: an operation may fail as often as something was made to, with an
 * error that says so; never with a wrong answer, and never without an end. Static, because not every test links the storage library.
 */
#ifndef HEARTH_TESTS_SUPPORT_STUBBORN_H
#define HEARTH_TESTS_SUPPORT_STUBBORN_H

#include <stdio.h>

#include "base/limits.h"
#include "base/random.h"
#include "storage/healer.h"
#include "tests/support/cold_driver.h"
#include "tests/support/failing_calls.h"
#include "tests/support/storage.h"
#include "tests/support/store_driver.h"
#include "wire/cid.h"
#include "wire/dag_pb.h"

enum { LEAVES = 12, ITEMS = LEAVES + 3, LEAF_MAX = 6000, NODE_BYTES = 512 };
enum { BRANCH = LEAVES, ROOT, LONELY }; /* BRANCH links to the first leaves, ROOT to BRANCH and to one more */
enum { KEPT = 4 };                      /* the first leaves, which BRANCH links to */
enum { TURNS_MAX = 900, DRIVE_MAX = 400, TRIES_SPARE = 8 };

struct item {
    struct block_ref *ref;
    struct block_key key;
    struct cid cid;
    bool stored; /* acknowledged */
    bool pinned;
};

struct heal_call {
    uint64_t id;
    struct block_key key;
};

struct world {
    struct sim_disk *disk;
    struct blockstore *store;
    struct test_cold *cold; /* NULL: there is no cold tier */
    uint64_t now;
    const struct failure *failure;
    uint64_t skip;
    unsigned tries; /* how often an operation may fail */
    bool fatal;
    struct heal_call wanted[HEAL_MAX];
    size_t wanted_count;
    struct item items[ITEMS];
};

/* ---- what there is to store ---- */

static inline void name_item(struct item *item, struct span bytes, uint32_t codec)
{
    struct multihash hash;
    item->ref = block_ref_copy(bytes, NULL);
    assert_non_null(item->ref);
    assert_int_equal(multihash_sum(MULTIHASH_SHA2_256, 0, bytes, &hash), ERR_OK);
    assert_int_equal(block_key_of(&hash, &item->key), ERR_OK);
    item->cid = cid_v1(codec, &hash);
}

static inline void make_node(struct world *w, size_t node, size_t first, size_t count)
{
    uint8_t bytes[NODE_BYTES];
    uint8_t cid[CID_BYTES_MAX];
    uint8_t *end = bytes;
    for (size_t i = first; i < first + count; i++) {
        struct dag_pb_link link = {.cid = span_of(cid, cid_encode(&w->items[i].cid, cid)), .has_tsize = true};
        end = dag_pb_put_link(end, &link);
    }
    uint8_t *data = dag_pb_put_data_frame(end, 1);
    *data = (uint8_t)node;
    name_item(&w->items[node], span_of(bytes, (size_t)(data + 1 - bytes)), CODEC_DAG_PB);
}

static inline void make_items(struct world *w)
{
    static const size_t sizes[] = {3000, 1, 900, LEAF_MAX, 60};
    uint8_t bytes[LEAF_MAX];
    struct prng prng;
    prng_init(&prng, 5);
    for (size_t i = 0; i < LEAVES; i++) {
        size_t size = sizes[i % ARRAY_LEN(sizes)];
        prng_fill(&prng, bytes, size);
        bytes[0] = (uint8_t)i;
        name_item(&w->items[i], span_of(bytes, size), CODEC_RAW);
    }
    make_node(w, BRANCH, 0, KEPT);
    make_node(w, ROOT, BRANCH, 1);
    make_node(w, LONELY, 0, 1);
}

static inline void plan(struct world *w, bool on)
{
    failure_plan(w->failure, w->disk, w->skip, on ? w->failure->count : 0);
}

/* ---- the store and its time ---- */

static inline void on_notice(void *arg, bool fatal, const char *text)
{
    struct world *w = arg;
    w->fatal |= fatal;
    if (getenv("HEARTH_TEST_VERBOSE") != NULL)
        print_message("notice: %s\n", text);
}

static inline bool on_heal(void *arg, uint64_t id, const struct block_key *key, uint32_t codec)
{
    struct world *w = arg;
    (void)codec;
    if (w->wanted_count == HEAL_MAX)
        return false;
    w->wanted[w->wanted_count++] = (struct heal_call){.id = id, .key = *key};
    return true;
}

/* What an operation that failed may say: that something is missing which was acknowledged is no such answer. */
static inline bool is_clean(enum err err)
{
    return err == ERR_NOMEM || err == ERR_IO || err == ERR_NO_SPACE || err == ERR_BUSY || err == ERR_READ_ONLY ||
           err == ERR_AGAIN || err == ERR_UNAVAILABLE;
}

static inline void start(struct world *w)
{
    char why[STORE_WHY_BYTES];
    struct blockstore_options options = {.port = sim_disk_port(w->disk),
                                         .path = "repo",
                                         .storage_max_bytes = 8 * MIB,
                                         .scrub_rate = 1 * MIB,
                                         .segment_bytes = 16 * KIB,
                                         .allocate_bytes = 4 * KIB,
                                         .direct_bytes = 16 * KIB, /* the first batch */
                                         .cache_kib = 64,
                                         .cold = w->cold != NULL,
                                         .events = {.arg = w, .heal = on_heal, .notice = on_notice}};
    enum err err = ERR_BUSY;
    w->wanted_count = 0;
    for (unsigned i = 0; err != ERR_OK && i < w->tries; i++) {
        err = blockstore_open(&options, w->now, w->now, &w->store, why);
        if (err != ERR_OK && !is_clean(err))
            print_message("open: %s: %s\n", err_name(err), why);
        assert_true(err == ERR_OK || (is_clean(err) && strlen(why) > 0));
    }
    assert_int_equal(err, ERR_OK);
    w->fatal = false;
}

/* The power goes with the process when it does not end by itself. */
static inline void restart(struct world *w, bool clean, enum sim_disk_cut cut)
{
    blockstore_close(w->store, !clean);
    if (w->cold != NULL)
        test_cold_end_life(w->cold);
    if (!clean) {
        failing_paused = true;
        sim_disk_power_cut(w->disk, cut, w->now);
        failing_paused = false;
    }
    start(w);
}

/* A store that finds always more to do than it gets done would spin for ever. */
static inline void drive(struct world *w)
{
    struct store_job *job;
    unsigned jobs = 0;
    if (w->cold != NULL) {
        assert_true(test_cold_drive(w->store, w->cold, DRIVE_MAX));
        return;
    }
    while ((job = blockstore_next_job(w->store)) != NULL) {
        assert_true(++jobs < DRIVE_MAX);
        blockstore_job_done(w->store, job, store_job_run(job));
    }
}

/* A second passes. True when the store has ended its life, and whoever waited for it hears no more. */
static inline bool turn(struct world *w)
{
    drive(w);
    w->now += SECOND_NS;
    blockstore_tick(w->store, w->now, w->now);
    drive(w);
    if (!w->fatal)
        return false;
    restart(w, false, SIM_CUT_KEEP);
    return true;
}

static inline void wait_for(struct world *w, const bool *done)
{
    drive(w);
    for (unsigned i = 0; !*done; i++) {
        assert_true(i < TURNS_MAX);
        if (turn(w))
            return;
    }
}

/* ---- what people do, until it is done ---- */

/* Whether to ask again. */
static inline bool again(struct world *w, unsigned *tries, bool done, enum err err)
{
    if (done && err == ERR_OK)
        return false;
    if (done && !is_clean(err))
        print_message("answer: %s\n", err_name(err));
    assert_true(!done || is_clean(err));
    assert_true(++*tries < w->tries);
    (void)turn(w);
    return true;
}

static inline void put(struct world *w, size_t first, size_t count)
{
    struct test_op ops[ITEMS];
    bool missing = true;
    for (unsigned tries = 0; missing;) {
        enum err err = ERR_OK;
        bool done = true;
        for (size_t i = first; i < first + count; i++) {
            ops[i] = test_op_for(&w->items[i].key);
            blockstore_put(w->store, &ops[i].op, w->items[i].ref);
        }
        for (size_t i = first; i < first + count && done; i++) {
            wait_for(w, &ops[i].done);
            done = ops[i].done;
            err = err == ERR_OK ? ops[i].err : err;
            w->items[i].stored |= ops[i].done && ops[i].err == ERR_OK;
        }
        missing = again(w, &tries, done, err);
    }
}

static inline void get(struct world *w, size_t i)
{
    const struct item *item = &w->items[i];
    for (unsigned tries = 0;;) {
        struct test_op t = test_op_for(&item->key);
        blockstore_get(w->store, &t.op);
        wait_for(w, &t.done);
        if (t.done && t.err == ERR_NOT_FOUND && !item->stored)
            return;
        if (again(w, &tries, t.done, t.err))
            continue;
        assert_true(item->stored);
        assert_true(span_equal(block_ref_span(t.op.ref), block_ref_span(item->ref)));
        block_ref_unref(t.op.ref);
        return;
    }
}

static inline void has(struct world *w, size_t i)
{
    uint64_t size = 0;
    enum err err;
    unsigned tries = 0;
    do
        err = blockstore_has(w->store, &w->items[i].key, &size, NULL);
    while ((err != ERR_NOT_FOUND || w->items[i].stored) && again(w, &tries, true, err));
    assert_int_equal(err, w->items[i].stored ? ERR_OK : ERR_NOT_FOUND);
}

static inline struct test_change change_on(const struct world *w, enum change_of kind, size_t i)
{
    const struct item *item = &w->items[i];
    struct test_change t = {.op = {.done = test_change_done}};
    t.op.change.kind = kind;
    t.op.change.key = item->key;
    t.op.change.recursive = item->cid.codec == CODEC_DAG_PB;
    t.op.change.cid_len = (uint8_t)cid_encode(&item->cid, t.op.change.cid);
    return t;
}

/* What a failed try may have done all the same is answered with not_found by the next. */
static inline void change(struct world *w, enum change_of kind, size_t i)
{
    for (unsigned tries = 0;;) {
        struct test_change t = change_on(w, kind, i);
        blockstore_change(w->store, &t.op);
        wait_for(w, &t.done);
        if (t.done && t.err == ERR_NOT_FOUND && tries > 0 && kind != CHANGE_PIN_ADD)
            return;
        if (!again(w, &tries, t.done, t.err))
            return;
    }
}

static inline void pin(struct world *w, size_t i)
{
    change(w, CHANGE_PIN_ADD, i);
    w->items[i].pinned = true;
}

static inline void unpin(struct world *w, size_t i)
{
    change(w, CHANGE_PIN_RM, i);
    w->items[i].pinned = false;
}

static inline void remove_block(struct world *w, size_t i)
{
    change(w, CHANGE_BLOCK_RM, i);
    w->items[i].stored = false;
}

#endif
