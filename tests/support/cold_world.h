/* SPDX-License-Identifier: MIT */
/*
 * A store with a cold tier in a folder of a simulated disk, and the words in which its tests are told. The model test and the crash replay go
 * through the same at random.
 */
#ifndef HEARTH_TESTS_SUPPORT_COLD_WORLD_H
#define HEARTH_TESTS_SUPPORT_COLD_WORLD_H

#include "tests/support/storage.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/random.h"
#include "sim/disk.h"
#include "tests/support/cold_driver.h"
#include "wire/cid.h"
#include "wire/dag_pb.h"

enum { BLOCKS = 24, BLOCK_BYTES = 3000, NODE = BLOCKS, ITEMS = BLOCKS + 2, DRIVE = 20000 };

#define COLD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define REAL            (UINT64_C(1700000000) * SECOND_NS)

struct world {
    struct sim_disk *disk;
    struct blockstore *store;
    struct test_cold cold;
    struct account memory;
    struct account tables;
    struct account reads;
    bool without; /* the store is opened without a cold tier */
    uint64_t storage_max;
    uint64_t scrub_rate;
    unsigned watermark; /* of a collection by itself, in percent; 0: never */
    uint64_t now;
    unsigned notices;
    bool fatal;
    struct block_key wanted;
    unsigned wants;
    struct block_key keys[ITEMS];
    uint8_t bytes[ITEMS][BLOCK_BYTES];
    size_t sizes[ITEMS];
};

static inline void on_notice(void *arg, bool fatal, const char *text)
{
    struct world *w = arg;
    w->notices++;
    w->fatal |= fatal;
    if (getenv("HEARTH_TEST_VERBOSE") != NULL)
        print_message("notice: %s\n", text);
}

static inline bool on_heal(void *arg, uint64_t id, const struct block_key *key, uint32_t codec)
{
    struct world *w = arg;
    (void)id;
    (void)codec;
    w->wanted = *key;
    w->wants++;
    return true;
}

static inline void open_store(struct world *w)
{
    char why[STORE_WHY_BYTES];
    struct blockstore_options options = {.port = sim_disk_port(w->disk),
                                         .path = "repo",
                                         .storage_max_bytes = w->storage_max,
                                         .scrub_rate = w->scrub_rate,
                                         .gc_watermark = w->watermark,
                                         .gc_period_ns = 3600 * SECOND_NS,
                                         .segment_bytes = 32 * KIB,
                                         .allocate_bytes = 8 * KIB,
                                         .cache_kib = 256,
                                         .cold = !w->without,
                                         .memory = &w->memory,
                                         .tables = &w->tables,
                                         .reads = &w->reads,
                                         .events = {.arg = w, .heal = on_heal, .notice = on_notice}};
    enum err err = blockstore_open(&options, w->now, REAL + w->now, &w->store, why);
    if (err != ERR_OK)
        print_message("open: %s\n", why);
    assert_int_equal(err, ERR_OK);
}

static inline void drive(struct world *w)
{
    assert_true(test_cold_drive(w->store, &w->cold, DRIVE));
}

static inline void pass(struct world *w, uint64_t ns)
{
    w->now += ns;
    blockstore_tick(w->store, w->now, REAL + w->now);
    drive(w);
}

static inline void restart(struct world *w, bool crash)
{
    blockstore_close(w->store, crash);
    test_cold_end_life(&w->cold);
    w->now += SECOND_NS;
    open_store(w);
    drive(w);
}

static inline enum err try_put(struct world *w, size_t i)
{
    struct test_op t = test_op_for(&w->keys[i]);
    struct block_ref *ref = block_ref_copy(span_of(w->bytes[i], w->sizes[i]), NULL);
    t.op.codec = i >= BLOCKS ? CODEC_DAG_PB : CODEC_RAW;
    blockstore_put(w->store, &t.op, ref);
    block_ref_unref(ref);
    drive(w);
    assert_true(t.done);
    return t.err;
}

static inline void put(struct world *w, size_t i)
{
    assert_int_equal(try_put(w, i), ERR_OK);
}

/* All have rows, and none is in memory. */
static inline void settle(struct world *w)
{
    restart(w, false);
}

static inline void make_node(struct world *w, size_t i, size_t child, uint32_t codec)
{
    struct multihash hash;
    uint8_t cid[CID_BYTES_MAX];
    assert_int_equal(multihash_parse(block_key_span(&w->keys[child]), &hash), ERR_OK);
    struct cid to = cid_v1(codec, &hash);
    struct dag_pb_link link = {.cid = span_of(cid, cid_encode(&to, cid))};
    w->sizes[i] = (size_t)(dag_pb_put_link(w->bytes[i], &link) - w->bytes[i]);
    test_key(span_of(w->bytes[i], w->sizes[i]), &w->keys[i]);
}

static inline int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct prng prng;
    assert_non_null(w);
    w->disk = sim_disk_new(1, 64 * MIB);
    w->storage_max = 32 * MIB;
    const struct disk_port *port = sim_disk_port(w->disk);
    account_init(&w->memory, "memory", 256 * KIB);
    account_init(&w->tables, "tables", 8 * MIB);
    account_init(&w->reads, "reads", 1 * MIB);
    assert_int_equal(port->make_dir(port->self, "repo"), ERR_OK);
    assert_int_equal(port->make_dir(port->self, "/cold"), ERR_OK);
    assert_int_equal(port->sync_dir(port->self, "/"), ERR_OK);
    assert_true(test_cold_open(&w->cold, port, "/cold", &w->reads));
    prng_init(&prng, 5);
    for (size_t i = 0; i < BLOCKS; i++) {
        w->sizes[i] = BLOCK_BYTES - i;
        prng_fill(&prng, w->bytes[i], w->sizes[i]);
        test_key(span_of(w->bytes[i], w->sizes[i]), &w->keys[i]);
    }
    make_node(w, NODE, 0, CODEC_RAW);           /* links to block 0 */
    make_node(w, NODE + 1, NODE, CODEC_DAG_PB); /* links to that */
    open_store(w);
    drive(w);
    *state = w;
    return 0;
}

static inline int tear_down(void **state)
{
    struct world *w = *state;
    assert_false(w->fatal);
    blockstore_close(w->store, false);
    test_cold_close(&w->cold);
    assert_int_equal(account_used(&w->memory), 0);
    assert_int_equal(account_used(&w->tables), 0);
    assert_int_equal(account_used(&w->reads), 0);
    sim_disk_free(w->disk);
    free(w);
    return 0;
}

/* ---- words ---- */

static inline struct blockstore_stats stats(const struct world *w)
{
    return blockstore_stats(w->store);
}

static inline const char *tier_of(struct world *w, size_t i)
{
    uint64_t size = 0;
    const char *tier = "none";
    enum err err = blockstore_has(w->store, &w->keys[i], &size, &tier);
    assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
    if (err == ERR_OK)
        assert_int_equal(size, w->sizes[i]);
    return err == ERR_OK ? tier : "none";
}

static inline bool is_in(struct world *w, size_t i, const char *tier)
{
    return strcmp(tier_of(w, i), tier) == 0;
}

static inline enum err get(struct world *w, size_t i)
{
    struct test_op t = test_op_for(&w->keys[i]);
    blockstore_get(w->store, &t.op);
    drive(w);
    assert_true(t.done);
    if (t.err == ERR_OK)
        assert_true(span_equal(block_ref_span(t.op.ref), span_of(w->bytes[i], w->sizes[i])));
    block_ref_unref(t.op.ref);
    return t.err;
}

static inline enum err change(struct world *w, size_t i, enum change_of kind)
{
    struct test_change t = test_pin(&w->keys[i], kind);
    t.op.change.cid[1] = i >= BLOCKS ? CODEC_DAG_PB : CODEC_RAW;
    blockstore_change(w->store, &t.op);
    drive(w);
    assert_true(t.done);
    return t.err;
}

/* Blocks from..to leave the disk, as far as they may. */
static inline void demote(struct world *w, size_t from, size_t to)
{
    assert_int_equal(blockstore_demote(w->store, &w->keys[from], to - from), ERR_OK);
    drive(w);
    pass(w, STORE_PACK_NS + SECOND_NS);
}

static inline void put_all(struct world *w)
{
    for (size_t i = 0; i < ITEMS; i++)
        put(w, i);
    settle(w);
}

struct collected {
    struct store_collect_op op;
    bool done;
    enum err err;
    size_t gone;
};

static inline void page_collected(struct store_collect_op *op, enum err err)
{
    struct collected *c = CONTAINER_OF(op, struct collected, op);
    c->done = true;
    c->err = err;
    c->gone += op->gone_count;
}

static inline size_t collect(struct world *w)
{
    struct collected c = {.op = {.done = page_collected}};
    do {
        c.done = false;
        blockstore_collect(w->store, &c.op);
        drive(w);
        assert_true(c.done);
        assert_int_equal(c.err, ERR_OK);
    } while (c.op.after.len > 0);
    return c.gone;
}

struct read_all {
    size_t whole;
    size_t bad;
};

/* Reads what has no copy on the disk. */
static inline struct read_all read_cold(struct world *w)
{
    struct read_all all = {0};
    settle(w);
    for (size_t i = 0; i < ITEMS; i++) {
        bool cold = is_in(w, i, "cold");
        enum err err = cold ? get(w, i) : ERR_OK;
        assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
        all.whole += cold && err == ERR_OK;
        all.bad += err != ERR_OK;
    }
    return all;
}

/* The path of the pack of a block. */
static inline void pack_path(struct world *w, size_t i, char path[64])
{
    struct block_facts facts;
    char name[PACK_NAME_MAX];
    assert_int_equal(blockstore_facts(w->store, &w->keys[i], &facts), ERR_OK);
    assert_true(facts.pack != 0);
    pack_name(facts.pack, name);
    (void)snprintf(path, 64, "/cold/%s", name);
}

static inline void lose_catalogue(struct world *w)
{
    blockstore_close(w->store, false);
    test_cold_end_life(&w->cold);
    assert_int_equal(sim_disk_damage(w->disk, "repo/blocks.db", 3, 0xff), ERR_OK); /* in "SQLite format 3" */
    open_store(w);
    drive(w);
}

static inline enum err promote(struct world *w, size_t i)
{
    struct test_op t = test_op_for(&w->keys[i]);
    blockstore_promote(w->store, &t.op);
    drive(w);
    assert_true(t.done);
    assert_null(t.op.ref);
    return t.err != ERR_OK || !t.op.existed ? t.err : ERR_EXISTS;
}

#endif
