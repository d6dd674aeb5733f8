/* SPDX-License-Identifier: MIT */
/*
 * A store with a cold tier: what leaves the disk, and when; what comes back; what a medium that is away, damaged, another's or found again does to it. The
 * model test and the crash replay go through the same at random.
 */
#include "tests/support/storage.h"

#include "base/le.h"
#include "base/limits.h"
#include "base/random.h"
#include "sim/disk.h"
#include "tests/support/cold_driver.h"
#include "wire/cid.h"
#include "wire/dag_pb.h"

enum { BLOCKS = 24, BLOCK_BYTES = 3000, NODE = BLOCKS, ITEMS = BLOCKS + 2, DRIVE = 20000 };

#define REAL (UINT64_C(1700000000) * SECOND_NS)

struct world {
    struct sim_disk *disk;
    struct blockstore *store;
    struct test_cold cold;
    struct account memory;
    struct account tables;
    struct account reads;
    bool without; /* the store is opened without a cold tier */
    uint64_t now;
    unsigned notices;
    bool fatal;
    struct block_key wanted;
    unsigned wants;
    struct block_key keys[ITEMS];
    uint8_t bytes[ITEMS][BLOCK_BYTES];
    size_t sizes[ITEMS];
};

static void on_notice(void *arg, bool fatal, const char *text)
{
    struct world *w = arg;
    w->notices++;
    w->fatal |= fatal;
    if (getenv("HEARTH_TEST_VERBOSE") != NULL)
        print_message("notice: %s\n", text);
}

static bool on_heal(void *arg, uint64_t id, const struct block_key *key, uint32_t codec)
{
    struct world *w = arg;
    (void)id;
    (void)codec;
    w->wanted = *key;
    w->wants++;
    return true;
}

static void open_store(struct world *w)
{
    char why[STORE_WHY_BYTES];
    struct blockstore_options options = {.port = sim_disk_port(w->disk),
                                         .path = "repo",
                                         .storage_max_bytes = 32 * MIB,
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

static void drive(struct world *w)
{
    assert_true(test_cold_drive(w->store, &w->cold, DRIVE));
}

static void pass(struct world *w, uint64_t ns)
{
    w->now += ns;
    blockstore_tick(w->store, w->now, REAL + w->now);
    drive(w);
}

static void restart(struct world *w, bool crash)
{
    blockstore_close(w->store, crash);
    test_cold_end_life(&w->cold);
    w->now += SECOND_NS;
    open_store(w);
    drive(w);
}

static void put(struct world *w, size_t i)
{
    struct test_op t = test_op_for(&w->keys[i]);
    struct block_ref *ref = block_ref_copy(span_of(w->bytes[i], w->sizes[i]), NULL);
    t.op.codec = i >= BLOCKS ? CODEC_DAG_PB : CODEC_RAW;
    blockstore_put(w->store, &t.op, ref);
    block_ref_unref(ref);
    drive(w);
    assert_true(t.done);
    assert_int_equal(t.err, ERR_OK);
}

/* All have rows, and none is in memory. */
static void settle(struct world *w)
{
    restart(w, false);
}

static void make_node(struct world *w, size_t i, size_t child, uint32_t codec)
{
    struct multihash hash;
    uint8_t cid[CID_BYTES_MAX];
    assert_int_equal(multihash_parse(block_key_span(&w->keys[child]), &hash), ERR_OK);
    struct cid to = cid_v1(codec, &hash);
    struct dag_pb_link link = {.cid = span_of(cid, cid_encode(&to, cid))};
    w->sizes[i] = (size_t)(dag_pb_put_link(w->bytes[i], &link) - w->bytes[i]);
    test_key(span_of(w->bytes[i], w->sizes[i]), &w->keys[i]);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct prng prng;
    assert_non_null(w);
    w->disk = sim_disk_new(1, 64 * MIB);
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

static int tear_down(void **state)
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

static struct blockstore_stats stats(const struct world *w)
{
    return blockstore_stats(w->store);
}

static const char *tier_of(struct world *w, size_t i)
{
    uint64_t size = 0;
    const char *tier = "none";
    enum err err = blockstore_has(w->store, &w->keys[i], &size, &tier);
    assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
    if (err == ERR_OK)
        assert_int_equal(size, w->sizes[i]);
    return err == ERR_OK ? tier : "none";
}

static bool is_in(struct world *w, size_t i, const char *tier)
{
    return strcmp(tier_of(w, i), tier) == 0;
}

static enum err get(struct world *w, size_t i)
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

static enum err change(struct world *w, size_t i, enum change_of kind)
{
    struct test_change t = test_pin(&w->keys[i], kind);
    t.op.change.cid[1] = i >= BLOCKS ? CODEC_DAG_PB : CODEC_RAW;
    blockstore_change(w->store, &t.op);
    drive(w);
    assert_true(t.done);
    return t.err;
}

/* Blocks from..to leave the disk, as far as they may. */
static void demote(struct world *w, size_t from, size_t to)
{
    assert_int_equal(blockstore_demote(w->store, &w->keys[from], to - from), ERR_OK);
    drive(w);
    pass(w, STORE_PACK_NS + SECOND_NS);
}

static void put_all(struct world *w)
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

static void page_collected(struct store_collect_op *op, enum err err)
{
    struct collected *c = CONTAINER_OF(op, struct collected, op);
    c->done = true;
    c->err = err;
    c->gone += op->gone_count;
}

static size_t collect(struct world *w)
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

struct verified {
    struct store_verify_op op;
    bool done;
    enum err err;
    size_t checked;
    size_t bad;
};

static void page_verified(struct store_verify_op *op, enum err err)
{
    struct verified *v = CONTAINER_OF(op, struct verified, op);
    v->done = true;
    v->err = err;
    v->checked += op->checked;
    v->bad += op->bad_count;
}

static struct verified verify_cold(struct world *w)
{
    struct verified v = {.op = {.done = page_verified, .cold = true, .limit = 7}};
    do {
        v.done = false;
        blockstore_verify(w->store, &v.op);
        drive(w);
        assert_true(v.done);
    } while (v.err == ERR_OK && v.op.after.len > 0);
    return v;
}

/* The path of the pack of a block; ret_offset: of its record. */
static void pack_path(struct world *w, size_t i, char path[64])
{
    struct block_facts facts;
    char name[PACK_NAME_MAX];
    assert_int_equal(blockstore_facts(w->store, &w->keys[i], &facts), ERR_OK);
    assert_true(facts.pack != 0);
    pack_name(facts.pack, name);
    (void)snprintf(path, 64, "/cold/%s", name);
}

static void lose_catalogue(struct world *w)
{
    blockstore_close(w->store, false);
    test_cold_end_life(&w->cold);
    assert_int_equal(sim_disk_damage(w->disk, "repo/blocks.db", 3, 0xff), ERR_OK); /* in "SQLite format 3" */
    open_store(w);
    drive(w);
}

/* ---- demotion ---- */

static void what_is_demoted_leaves_the_disk_and_is_read_back(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, BLOCKS);
    assert_int_equal(stats(w).cold_blocks, BLOCKS);
    assert_int_equal(stats(w).blocks, ITEMS - BLOCKS);
    assert_true(stats(w).cold_packs >= 1);
    assert_int_equal(stats(w).cold_waiting, 0);
    assert_int_equal(stats(w).demoted_bytes, stats(w).cold_bytes);
    for (size_t i = 0; i < BLOCKS; i++)
        assert_true(is_in(w, i, "cold"));
    uint64_t reads = w->cold.ran[STORE_COLD_READ];
    for (size_t i = 0; i < BLOCKS; i++)
        assert_int_equal(get(w, i), ERR_OK);
    assert_int_equal(w->cold.ran[STORE_COLD_READ], reads + BLOCKS);
    assert_int_equal(get(w, 3), ERR_OK); /* from memory */
    assert_int_equal(w->cold.ran[STORE_COLD_READ], reads + BLOCKS);
    put(w, 4); /* it is stored */
    assert_int_equal(stats(w).blocks, ITEMS - BLOCKS);
}

static void a_pack_ends_when_it_is_full_or_old(void **state)
{
    struct world *w = *state;
    w->cold.tier.pack_bytes = 16 * KIB; /* five blocks */
    put_all(w);
    assert_int_equal(blockstore_demote(w->store, w->keys, 6), ERR_OK);
    drive(w);
    assert_true(is_in(w, 0, "cold")); /* full */
    assert_true(is_in(w, 5, "disk")); /* in the second */
    assert_int_equal(stats(w).cold_waiting, 1);
    pass(w, STORE_PACK_NS / 2);
    assert_true(is_in(w, 5, "disk"));
    assert_true(blockstore_wakes_at(w->store) <= w->now + STORE_PACK_NS);
    pass(w, STORE_PACK_NS);
    assert_true(is_in(w, 5, "cold"));
    assert_int_equal(stats(w).cold_packs, 2);
}

/* After each step of a demotion the process dies: the block is there, from wherever. */
enum { SMALL_PAGE = 256 };

/* A page of blocks of some bytes each, stored and on their way to the cold tier. */
static void demote_small(struct world *w, uint32_t page)
{
    struct block_key keys[SMALL_PAGE];
    struct test_op ops[SMALL_PAGE];
    for (uint32_t i = 0; i < SMALL_PAGE; i++) {
        uint8_t bytes[8] = "small";
        le_put(bytes + 4, page * SMALL_PAGE + i, 4);
        struct block_ref *ref = block_ref_copy(span_of(bytes, sizeof(bytes)), NULL);
        test_key(span_of(bytes, sizeof(bytes)), &keys[i]);
        ops[i] = test_op_for(&keys[i]);
        blockstore_put(w->store, &ops[i].op, ref);
        block_ref_unref(ref);
    }
    drive(w);
    for (uint32_t i = 0; i < SMALL_PAGE; i++)
        assert_int_equal(ops[i].err, ERR_OK);
    assert_int_equal(change(w, 0, CHANGE_HEAL_ALL), ERR_OK); /* any change brings their rows, without a wait */
    assert_int_equal(blockstore_demote(w->store, keys, SMALL_PAGE), ERR_OK);
    drive(w);
}

/* All its rows are made by one commit, which others wait for. */
static void a_pack_of_many_small_blocks_ends_early(void **state)
{
    struct world *w = *state;
    uint64_t begins = w->cold.ran[STORE_COLD_BEGIN];
    w->cold.tier.pack_bytes = 4 * MIB;
    for (uint32_t page = 0; page <= STORE_COMMIT_ROWS / SMALL_PAGE; page++)
        demote_small(w, page);
    assert_int_equal(w->cold.ran[STORE_COLD_BEGIN], begins + 2);
    assert_int_equal(stats(w).cold_blocks, STORE_COMMIT_ROWS);
}

static void a_crash_after_any_step_loses_nothing(void **state)
{
    struct world *w = *state;
    bool ended = false;
    put_all(w);
    for (size_t steps = 0; !ended; steps++) {
        size_t i = steps % BLOCKS;
        assert_int_equal(change(w, i, CHANGE_BLOCK_RM), ERR_OK);
        put(w, i);
        settle(w);
        assert_int_equal(blockstore_demote(w->store, &w->keys[i], 1), ERR_OK);
        for (size_t n = 0; n < steps; n++)
            (void)test_cold_drive(w->store, &w->cold, 1);
        w->now += STORE_PACK_NS + SECOND_NS;
        blockstore_tick(w->store, w->now, REAL + w->now);
        for (size_t n = 0; n < steps; n++)
            ended = test_cold_drive(w->store, &w->cold, 1);
        ended = ended && is_in(w, i, "cold");
        restart(w, true);
        for (size_t n = 0; n < BLOCKS; n++)
            assert_int_equal(get(w, n), ERR_OK);
        pass(w, 2 * SECOND_NS); /* what was half written goes */
        assert_int_equal(w->cold.ran[STORE_COLD_ABANDON], 0);
    }
    assert_int_equal(verify_cold(w).bad, 0);
}

static void what_is_removed_before_its_rows_is_dead_in_the_pack(void **state)
{
    struct world *w = *state;
    put_all(w);
    assert_int_equal(blockstore_demote(w->store, w->keys, 4), ERR_OK);
    drive(w); /* all four are in the pack, which is open */
    assert_int_equal(change(w, 1, CHANGE_BLOCK_RM), ERR_OK);
    pass(w, STORE_PACK_NS + SECOND_NS);
    assert_true(is_in(w, 0, "cold"));
    assert_true(is_in(w, 1, "none"));
    assert_int_equal(get(w, 1), ERR_NOT_FOUND);
    assert_int_equal(stats(w).cold_blocks, 3);
}

static void what_is_leased_stays(void **state)
{
    struct world *w = *state;
    uint64_t lease = 0;
    struct block_key keys[2];
    put_all(w);
    assert_int_equal(blockstore_lease_open(w->store, &lease), ERR_OK);
    blockstore_keep(w->store, &w->keys[0]);
    keys[0] = w->keys[0];
    keys[1] = w->keys[1];
    assert_int_equal(blockstore_demote(w->store, keys, 2), ERR_OK);
    drive(w);
    blockstore_keep(w->store, &w->keys[1]); /* it is in the pack by now */
    pass(w, STORE_PACK_NS + SECOND_NS);
    assert_true(is_in(w, 0, "disk"));
    assert_true(is_in(w, 1, "disk"));
    assert_int_equal(stats(w).cold_blocks, 1);
    blockstore_lease_close(w->store, lease);
    uint64_t packs = w->cold.ran[STORE_COLD_BEGIN];
    assert_int_equal(blockstore_demote(w->store, &w->keys[1], 1), ERR_OK);
    drive(w);
    assert_true(is_in(w, 1, "cold")); /* it was there already: nothing is written */
    assert_int_equal(w->cold.ran[STORE_COLD_BEGIN], packs);
}

static void demotion_refuses_what_it_cannot_take(void **state)
{
    struct world *w = *state;
    static struct block_key many[STORE_DEMOTE_MAX + 1];
    put_all(w);
    assert_int_equal(blockstore_demote(w->store, many, ARRAY_LEN(many)), ERR_INVALID);
    for (size_t round = 0; round < STORE_DEMOTE_WAITING_MAX / STORE_DEMOTE_MAX; round++) {
        for (size_t i = 0; i < STORE_DEMOTE_MAX; i++) {
            many[i].len = 8;
            many[i].bytes[0] = (uint8_t)round;
            many[i].bytes[1] = (uint8_t)i;
        }
        assert_int_equal(blockstore_demote(w->store, many, STORE_DEMOTE_MAX), ERR_OK);
    }
    assert_int_equal(blockstore_demote(w->store, w->keys, 1), ERR_BUSY);
    drive(w); /* none of them is there */
    assert_int_equal(stats(w).cold_waiting, 0);
    w->cold.away = true;
    demote(w, 0, 1);
    assert_int_equal(blockstore_demote(w->store, w->keys, 1), ERR_UNAVAILABLE);
    w->without = true;
    restart(w, false);
    assert_int_equal(blockstore_demote(w->store, w->keys, 1), ERR_UNAVAILABLE);
}

static void a_pack_that_fails_leaves_its_blocks_where_they_are(void **state)
{
    struct world *w = *state;
    static const enum store_cold_kind kinds[] = {STORE_COLD_BEGIN, STORE_COLD_ADD, STORE_COLD_END};
    put_all(w);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        w->cold.fails = kinds[k];
        w->cold.fails_with = ERR_UNAVAILABLE;
        demote(w, 0, 3);
        assert_int_equal(stats(w).cold_blocks, 0);
        assert_int_equal(stats(w).cold_waiting, 0);
        for (size_t i = 0; i < 3; i++)
            assert_true(is_in(w, i, "disk"));
        w->cold.fails_with = ERR_OK;
        pass(w, 70 * SECOND_NS);
        assert_int_equal(stats(w).cold_packs, 0);
        assert_true(stats(w).cold_up);
    }
    demote(w, 0, 3);
    assert_int_equal(stats(w).cold_blocks, 3);
}

/* ---- candidates ---- */

struct candidates {
    struct store_candidates_op op;
    bool done;
    enum err err;
    struct store_candidate found[ITEMS * 2];
    size_t count;
};

static void page_of_candidates(struct store_candidates_op *op, enum err err)
{
    struct candidates *c = CONTAINER_OF(op, struct candidates, op);
    c->done = true;
    c->err = err;
    assert_true(c->count + op->count <= ARRAY_LEN(c->found));
    if (op->count > 0)
        memcpy(c->found + c->count, op->found, op->count * sizeof(*op->found));
    c->count += op->count;
}

static struct candidates candidates(struct world *w)
{
    struct candidates c = {.op = {.done = page_of_candidates}};
    do {
        c.done = false;
        blockstore_candidates(w->store, &c.op);
        drive(w);
        assert_true(c.done);
        assert_int_equal(c.err, ERR_OK);
    } while (c.op.segment != 0);
    return c;
}

static void candidates_come_in_the_order_of_the_disk(void **state)
{
    struct world *w = *state;
    uint64_t lease = 0;
    for (size_t i = 0; i < 20; i++)
        put(w, i);
    put(w, NODE);
    assert_int_equal(change(w, NODE, CHANGE_PIN_ADD), ERR_OK);
    settle(w);
    assert_int_equal(blockstore_lease_open(w->store, &lease), ERR_OK);
    blockstore_keep(w->store, &w->keys[2]);
    struct candidates c = candidates(w);
    assert_int_equal(c.count, 21);
    for (size_t i = 0; i < 20; i++) {
        assert_true(block_key_equal(&c.found[i].key, &w->keys[i]));
        assert_int_equal(c.found[i].size, w->sizes[i]);
        assert_int_equal(c.found[i].may_go, i != 2);
        assert_false(c.found[i].cold);
    }
    assert_false(c.found[20].may_go); /* its links are needed */
    blockstore_lease_close(w->store, lease);
    assert_int_equal(change(w, 4, CHANGE_BLOCK_RM), ERR_OK);
    demote(w, 0, 2);
    c = candidates(w);
    assert_int_equal(c.count, 18);
    assert_true(block_key_equal(&c.found[0].key, &w->keys[2]));
}

/* Not on the owner's thread; and what it alone knows is asked when the rows are known. */
static void candidates_are_looked_up_on_the_lane_of_the_catalogue(void **state)
{
    struct world *w = *state;
    struct candidates c = {.op = {.done = page_of_candidates}};
    uint64_t lease = 0;
    put_all(w);
    blockstore_candidates(w->store, &c.op);
    struct store_job *job = blockstore_next_job(w->store);
    assert_int_equal(store_job_lane(job), STORE_LANE_DISK);
    blockstore_job_done(w->store, job, store_job_run(job));
    assert_false(c.done);
    job = blockstore_next_job(w->store);
    assert_int_equal(store_job_lane(job), STORE_LANE_CATALOGUE);
    blockstore_job_done(w->store, job, ERR_BUSY); /* it could not be started */
    assert_false(c.done);
    job = blockstore_next_job(w->store);
    assert_int_equal(store_job_lane(job), STORE_LANE_CATALOGUE);
    enum err err = store_job_run(job);
    assert_int_equal(blockstore_lease_open(w->store, &lease), ERR_OK);
    blockstore_keep(w->store, &w->keys[1]);
    blockstore_job_done(w->store, job, err);
    assert_true(c.done);
    assert_true(c.count > 2);
    for (size_t i = 0; i < c.count; i++)
        assert_int_equal(c.found[i].may_go, !block_key_equal(&c.found[i].key, &w->keys[1]));
    blockstore_lease_close(w->store, lease);
}

/* ---- promotion ---- */

static enum err promote(struct world *w, size_t i)
{
    struct test_op t = test_op_for(&w->keys[i]);
    blockstore_promote(w->store, &t.op);
    drive(w);
    assert_true(t.done);
    assert_null(t.op.ref);
    return t.err;
}

static void a_promoted_block_is_in_both_and_leaves_without_a_write(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 4);
    assert_int_equal(promote(w, 1), ERR_OK);
    assert_int_equal(promote(w, 1), ERR_OK);
    assert_int_equal(stats(w).promoted_bytes, w->sizes[1]);
    settle(w);
    assert_true(is_in(w, 1, "disk"));
    assert_int_equal(stats(w).cold_blocks, 4);
    assert_int_equal(stats(w).blocks, ITEMS - 3);
    uint64_t packs = w->cold.ran[STORE_COLD_BEGIN];
    assert_int_equal(blockstore_demote(w->store, &w->keys[1], 1), ERR_OK);
    drive(w);
    assert_true(is_in(w, 1, "cold"));
    assert_int_equal(w->cold.ran[STORE_COLD_BEGIN], packs);
    w->cold.away = true;
    assert_int_equal(promote(w, 2), ERR_UNAVAILABLE);
    assert_int_equal(promote(w, 10), ERR_OK); /* it is on the disk */
    assert_int_equal(change(w, 10, CHANGE_BLOCK_RM), ERR_OK);
    assert_int_equal(promote(w, 10), ERR_NOT_FOUND);
}

static void what_was_just_used_is_promoted_without_another_read(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 4);
    assert_int_equal(get(w, 3), ERR_OK);
    uint64_t reads = w->cold.ran[STORE_COLD_READ];
    w->cold.away = true;
    assert_int_equal(promote(w, 3), ERR_OK);
    assert_int_equal(w->cold.ran[STORE_COLD_READ], reads);
    assert_int_equal(stats(w).promoted_bytes, w->sizes[3]);
    settle(w);
    assert_true(is_in(w, 3, "disk"));
}

/* ---- the medium ---- */

static void a_medium_that_is_away_hides_nothing(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 6);
    w->cold.away = true;
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
    assert_true(is_in(w, 0, "cold"));
    assert_int_equal(stats(w).quarantined, 0);
    assert_false(stats(w).cold_up);
    restart(w, false);
    assert_true(is_in(w, 0, "cold"));
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE); /* at once: it is known not to be there */
    assert_int_equal(change(w, 1, CHANGE_BLOCK_RM), ERR_OK);
    assert_true(is_in(w, 1, "none"));
    assert_int_equal(verify_cold(w).err, ERR_UNAVAILABLE);
    w->cold.away = false;
    pass(w, 70 * SECOND_NS);
    assert_true(stats(w).cold_up);
    assert_int_equal(get(w, 0), ERR_OK);
    assert_int_equal(stats(w).quarantined, 0);
}

static void without_a_cold_tier_what_is_there_is_known_and_not_read(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 2);
    w->without = true;
    unsigned notices = w->notices;
    restart(w, false);
    assert_int_equal(w->notices, notices + 1);
    assert_true(is_in(w, 0, "cold"));
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
    w->without = false;
    restart(w, false);
    assert_int_equal(get(w, 0), ERR_OK);
}

static void a_read_that_waits_too_long_is_answered(void **state)
{
    struct world *w = *state;
    struct test_op many[STORE_COLD_READS_MAX + 1];
    put_all(w);
    demote(w, 0, ARRAY_LEN(many));
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        many[i] = test_op_for(&w->keys[i]);
        blockstore_get(w->store, &many[i].op);
    }
    struct store_cold *under_way[STORE_COLD_READS_MAX];
    for (size_t i = 0; i < ARRAY_LEN(under_way); i++) {
        under_way[i] = blockstore_next_cold(w->store);
        assert_non_null(under_way[i]);
        assert_int_equal(under_way[i]->kind, STORE_COLD_READ);
        assert_int_equal(under_way[i]->deadline_ns, w->now + STORE_COLD_READ_NS);
    }
    assert_null(blockstore_next_cold(w->store)); /* so many at once */
    assert_true(blockstore_wakes_at(w->store) <= w->now + STORE_COLD_READ_NS);
    w->now += STORE_COLD_READ_NS;
    blockstore_tick(w->store, w->now, REAL + w->now);
    assert_true(many[STORE_COLD_READS_MAX].done);
    assert_int_equal(many[STORE_COLD_READS_MAX].err, ERR_UNAVAILABLE);
    for (size_t i = 0; i < ARRAY_LEN(under_way); i++) {
        blockstore_cold_done(w->store, under_way[i], test_cold_run(&w->cold, under_way[i]));
        assert_true(many[i].done);
        block_ref_unref(many[i].op.ref);
    }
}

static void many_who_want_one_block_cost_one_read(void **state)
{
    struct world *w = *state;
    struct test_op ops[5];
    put_all(w);
    demote(w, 0, 1);
    uint64_t reads = w->cold.ran[STORE_COLD_READ];
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        ops[i] = test_op_for(&w->keys[0]);
        blockstore_get(w->store, &ops[i].op);
    }
    drive(w);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        assert_int_equal(ops[i].err, ERR_OK);
        block_ref_unref(ops[i].op.ref);
    }
    assert_int_equal(w->cold.ran[STORE_COLD_READ], reads + 1);
}

/* ---- damage ---- */

static void a_damaged_record_is_quarantined_and_wanted_back(void **state)
{
    struct world *w = *state;
    char path[64];
    put_all(w);
    demote(w, 0, 3);
    assert_int_equal(promote(w, 2), ERR_OK);
    settle(w);
    pack_path(w, 0, path);
    for (uint64_t at = 100; at < 9000; at += 500) /* in all three */
        assert_int_equal(sim_disk_damage(w->disk, path, at, 0x40), ERR_OK);
    assert_int_equal(get(w, 0), ERR_NOT_FOUND);
    assert_true(is_in(w, 0, "none"));
    assert_int_equal(stats(w).quarantined, 1);
    assert_true(w->wants >= 1);
    assert_true(block_key_equal(&w->wanted, &w->keys[0]));
    put(w, 0);
    settle(w);
    assert_true(is_in(w, 0, "disk"));
    assert_int_equal(stats(w).quarantined, 0);
    struct verified v = verify_cold(w); /* block 1 has nothing else, block 2 a copy on the disk */
    assert_int_equal(v.err, ERR_OK);
    assert_int_equal(v.checked, 2);
    assert_int_equal(v.bad, 2);
    assert_int_equal(stats(w).quarantined, 1);
    assert_true(is_in(w, 1, "none"));
    assert_true(is_in(w, 2, "disk"));
    assert_int_equal(stats(w).cold_blocks, 0);
}

static void what_is_quarantined_is_not_in_memory_either(void **state)
{
    struct world *w = *state;
    char path[64];
    put_all(w);
    demote(w, 0, 1);
    assert_int_equal(get(w, 0), ERR_OK);
    assert_true(is_in(w, 0, "memory"));
    pack_path(w, 0, path);
    assert_int_equal(sim_disk_damage(w->disk, path, 200, 0x40), ERR_OK);
    assert_int_equal(verify_cold(w).bad, 1);
    assert_true(is_in(w, 0, "none"));
    assert_int_equal(stats(w).quarantined, 1);
}

static void damage_on_the_disk_is_nothing_with_a_cold_copy(void **state)
{
    struct world *w = *state;
    struct block_facts facts;
    put_all(w);
    demote(w, 0, 1);
    assert_int_equal(promote(w, 0), ERR_OK);
    settle(w);
    assert_int_equal(blockstore_facts(w->store, &w->keys[0], &facts), ERR_OK);
    char name[SEGMENT_NAME_MAX];
    char path[64];
    segment_name(facts.segment, name);
    (void)snprintf(path, sizeof(path), "repo/segments/%s", name);
    assert_int_equal(sim_disk_damage(w->disk, path, facts.offset + 200, 1), ERR_OK);
    assert_int_equal(get(w, 0), ERR_OK);
    assert_int_equal(stats(w).quarantined, 0);
    settle(w);
    assert_true(is_in(w, 0, "cold"));
}

/* ---- removal ---- */

static void an_empty_pack_is_removed(void **state)
{
    struct world *w = *state;
    char path[64];
    const struct disk_port *port = sim_disk_port(w->disk);
    put_all(w);
    demote(w, 0, 3);
    pack_path(w, 0, path);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(port->exists(port->self, path), ERR_OK);
        assert_int_equal(change(w, i, CHANGE_BLOCK_RM), ERR_OK);
    }
    assert_int_equal(port->exists(port->self, path), ERR_NOT_FOUND);
    assert_int_equal(stats(w).cold_packs, 0);
    assert_int_equal(stats(w).cold_bytes, 0);
}

static void a_thin_pack_is_rewritten(void **state)
{
    struct world *w = *state;
    char path[64];
    const struct disk_port *port = sim_disk_port(w->disk);
    w->cold.page = 3;
    put_all(w);
    demote(w, 0, 9);
    assert_int_equal(promote(w, 8), ERR_OK); /* in both: its hot row stays as it is */
    settle(w);
    pack_path(w, 8, path);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(change(w, i, CHANGE_BLOCK_RM), ERR_OK);
    pass(w, STORE_PACK_NS + SECOND_NS);
    pass(w, STORE_PACK_NS + SECOND_NS);
    assert_int_equal(port->exists(port->self, path), ERR_NOT_FOUND);
    assert_int_equal(stats(w).cold_packs, 1);
    assert_int_equal(stats(w).cold_blocks, 3);
    assert_true(is_in(w, 8, "disk"));
    settle(w);
    assert_int_equal(get(w, 6), ERR_OK);
    assert_int_equal(get(w, 7), ERR_OK);
    assert_int_equal(verify_cold(w).checked, 3);
    assert_int_equal(verify_cold(w).bad, 0);
}

/* ---- pins and collection ---- */

static void a_collection_takes_cold_blocks_too(void **state)
{
    struct world *w = *state;
    put_all(w);
    assert_int_equal(change(w, 1, CHANGE_PIN_ADD), ERR_OK);
    assert_int_equal(change(w, NODE + 1, CHANGE_PIN_ADD), ERR_OK);
    demote(w, 0, 6);
    assert_int_equal(promote(w, 3), ERR_OK);
    settle(w);
    assert_int_equal(collect(w), BLOCKS - 2);
    assert_true(is_in(w, 0, "cold")); /* below the pin */
    assert_true(is_in(w, 1, "cold")); /* pinned itself */
    assert_true(is_in(w, 2, "none"));
    assert_true(is_in(w, 3, "none"));
    assert_int_equal(stats(w).cold_blocks, 2);
    assert_int_equal(change(w, 1, CHANGE_BLOCK_RM), ERR_DENIED);
    assert_int_equal(change(w, 0, CHANGE_BLOCK_RM), ERR_DENIED);
}

static void nodes_that_a_pin_needs_stay(void **state)
{
    struct world *w = *state;
    put_all(w);
    assert_int_equal(change(w, NODE + 1, CHANGE_PIN_ADD), ERR_OK);
    demote(w, NODE, ITEMS);
    assert_true(is_in(w, NODE, "disk"));
    assert_int_equal(stats(w).cold_blocks, 0);
    assert_int_equal(change(w, NODE + 1, CHANGE_PIN_RM), ERR_OK);
    demote(w, NODE, ITEMS);
    assert_true(is_in(w, NODE, "cold"));
}

static enum err pin_to(struct world *w, size_t i, const char *tier)
{
    struct test_change t = test_pin(&w->keys[i], CHANGE_TIER_PIN);
    (void)snprintf(t.op.change.name, sizeof(t.op.change.name), "%s", tier);
    blockstore_change(w->store, &t.op);
    drive(w);
    assert_true(t.done);
    return t.err;
}

static void what_is_pinned_to_a_tier_does_not_leave_it(void **state)
{
    struct world *w = *state;
    struct block_facts facts;
    put_all(w);
    assert_int_equal(pin_to(w, 0, "disk"), ERR_OK);
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[0]), ERR_DENIED);
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[1]), ERR_OK);
    settle(w);
    demote(w, 0, 4);
    assert_true(is_in(w, 0, "disk"));
    assert_true(is_in(w, 1, "cold"));
    assert_int_equal(pin_to(w, 1, "cold"), ERR_OK);
    assert_int_equal(promote(w, 1), ERR_DENIED);
    assert_int_equal(get(w, 1), ERR_OK);
    assert_int_equal(blockstore_facts(w->store, &w->keys[1], &facts), ERR_OK);
    assert_string_equal(facts.tier_pin, "cold");
    assert_int_equal(pin_to(w, 1, "disk"), ERR_OK); /* one at a time */
    assert_int_equal(promote(w, 1), ERR_OK);
    assert_int_equal(pin_to(w, 0, ""), ERR_OK);
    demote(w, 0, 1);
    assert_true(is_in(w, 0, "cold"));
}

/* Taken for demotion, and pinned before its hot row goes. */
static void a_pin_to_the_disk_comes_in_time(void **state)
{
    struct world *w = *state;
    put_all(w);
    assert_int_equal(blockstore_demote(w->store, &w->keys[0], 2), ERR_OK);
    drive(w);
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[0]), ERR_BUSY);
    assert_int_equal(pin_to(w, 0, "disk"), ERR_OK);
    blockstore_end_pack(w->store);
    pass(w, SECOND_NS); /* and not a minute */
    pass(w, SECOND_NS);
    assert_int_equal(stats(w).cold_blocks, 2);
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[0]), ERR_EXISTS);
    settle(w);
    assert_true(is_in(w, 0, "disk"));
    assert_true(is_in(w, 1, "cold"));
}

/* A pin of nodes that are cold: nothing below is collected before they are counted, and then they are on the disk. */
static void a_pin_of_cold_nodes_holds_what_is_below(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, NODE, ITEMS);
    settle(w);
    w->cold.away = true;
    assert_int_equal(change(w, NODE + 1, CHANGE_PIN_ADD), ERR_OK);
    assert_true(stats(w).counting);
    struct collected c = {.op = {.done = page_collected}};
    blockstore_collect(w->store, &c.op);
    drive(w);
    assert_true(c.done); /* nobody knows what is held, nor when that will be */
    assert_int_equal(c.err, ERR_UNAVAILABLE);
    assert_int_equal(change(w, 1, CHANGE_BLOCK_RM), ERR_UNAVAILABLE);
    w->cold.away = false;
    for (int i = 0; i < 20 && stats(w).counting; i++)
        pass(w, 10 * SECOND_NS);
    (void)collect(w);
    assert_false(stats(w).counting);
    settle(w);
    assert_true(is_in(w, 0, "disk"));
    assert_true(is_in(w, NODE, "disk"));
    assert_true(is_in(w, NODE + 1, "disk"));
    assert_true(is_in(w, 1, "none"));
}

static void a_put_of_a_cold_node_makes_it_hot(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, NODE, ITEMS);
    put(w, NODE);
    settle(w);
    assert_true(is_in(w, NODE, "disk"));
    assert_true(is_in(w, NODE + 1, "cold"));
}

/* ---- a catalogue that is lost ---- */

static void a_catalogue_made_anew_takes_its_packs_back(void **state)
{
    struct world *w = *state;
    w->cold.page = 3;
    w->cold.tier.pack_bytes = 16 * KIB;
    put_all(w);
    assert_int_equal(change(w, 1, CHANGE_PIN_ADD), ERR_OK);
    demote(w, 0, 12);
    assert_int_equal(change(w, 0, CHANGE_BLOCK_RM), ERR_OK);
    uint64_t packs = stats(w).cold_packs;
    lose_catalogue(w);
    assert_int_equal(stats(w).cold_packs, packs);
    for (size_t i = 1; i < BLOCKS; i++)
        assert_int_equal(get(w, i), ERR_OK);
    settle(w);
    assert_int_equal(verify_cold(w).bad, 0);
    assert_int_equal(collect(w) > 0, true);
    assert_int_equal(get(w, 1), ERR_OK);
}

/* The root of a pin is in a pack that a catalogue made anew does not know as long as the medium is away. */
static void nothing_is_collected_before_the_packs_are_known(void **state)
{
    struct world *w = *state;
    struct collected c = {.op = {.done = page_collected}};
    put_all(w);
    demote(w, NODE, ITEMS);
    w->cold.away = true;
    assert_int_equal(change(w, NODE + 1, CHANGE_PIN_ADD), ERR_OK);
    lose_catalogue(w);
    restart(w, false);
    blockstore_collect(w->store, &c.op);
    drive(w);
    assert_false(c.done);
    assert_true(is_in(w, 0, "disk"));
    w->cold.away = false;
    for (int i = 0; i < 20 && !c.done; i++)
        pass(w, 10 * SECOND_NS);
    assert_true(c.done);
    (void)collect(w);
    assert_false(is_in(w, 0, "none"));
    assert_true(is_in(w, 1, "none"));
    assert_int_equal(get(w, NODE + 1), ERR_OK);
    settle(w);
    assert_true(stats(w).cold_up);
}

static struct block_ref *read_file(const struct disk_port *port, const char *path)
{
    struct disk_file *file;
    uint64_t size = 0;
    size_t got = 0;
    assert_int_equal(port->open(port->self, path, DISK_READ, &file), ERR_OK);
    assert_int_equal(port->size(file, &size), ERR_OK);
    struct block_ref *ref = block_ref_new((size_t)size, NULL);
    assert_int_equal(port->pread(file, ref->data, ref->len, 0, &got), ERR_OK);
    assert_int_equal(got, size);
    port->close(file);
    return ref;
}

static void write_file(const struct disk_port *port, const char *path, struct block_ref *ref)
{
    struct disk_file *file;
    struct iovec iov = {.iov_base = ref->data, .iov_len = ref->len};
    assert_int_equal(port->open(port->self, path, DISK_WRITE | DISK_CREATE, &file), ERR_OK);
    assert_int_equal(port->pwritev(file, &iov, 1, 0), ERR_OK);
    port->close(file);
    block_ref_unref(ref);
}

/* As from a backup: the pack that it names was rewritten since. */
static void an_older_catalogue_finds_what_was_rewritten_since(void **state)
{
    struct world *w = *state;
    const struct disk_port *port = sim_disk_port(w->disk);
    put_all(w);
    demote(w, 0, 9);
    blockstore_close(w->store, false);
    struct block_ref *old = read_file(port, "repo/blocks.db");
    open_store(w);
    drive(w);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(change(w, i, CHANGE_BLOCK_RM), ERR_OK);
    pass(w, STORE_PACK_NS + SECOND_NS);
    pass(w, STORE_PACK_NS + SECOND_NS);
    blockstore_close(w->store, false);
    assert_int_equal(port->unlink(port->self, "repo/blocks.db"), ERR_OK);
    (void)port->unlink(port->self, "repo/blocks.db-wal");
    write_file(port, "repo/blocks.db", old);
    open_store(w);
    drive(w);
    for (size_t i = 6; i < 9; i++)
        assert_int_equal(get(w, i), ERR_OK);
    assert_int_equal(stats(w).quarantined, 0);
    assert_int_equal(get(w, 0), ERR_NOT_FOUND); /* it was removed since, with its pack */
    assert_int_equal(stats(w).quarantined, 1);
}

/* The packs of a backup went after it: a put must not be answered with what they had. */
static void what_an_older_catalogue_says_of_packs_that_are_gone_does_not_count(void **state)
{
    struct world *w = *state;
    const struct disk_port *port = sim_disk_port(w->disk);
    w->cold.page = 2;
    put_all(w);
    for (size_t i = 0; i < 5; i++)
        demote(w, 3 * i, 3 * i + 3);
    assert_int_equal(stats(w).cold_packs, 5);
    assert_int_equal(promote(w, 1), ERR_OK);
    blockstore_close(w->store, false);
    struct block_ref *old = read_file(port, "repo/blocks.db");
    open_store(w);
    drive(w);
    for (size_t i = 0; i < 15; i++) {
        if (i < 6 || i >= 12)
            assert_int_equal(change(w, i, CHANGE_BLOCK_RM), ERR_OK);
    }
    assert_int_equal(stats(w).cold_packs, 2);
    blockstore_close(w->store, false);
    assert_int_equal(port->unlink(port->self, "repo/blocks.db"), ERR_OK);
    (void)port->unlink(port->self, "repo/blocks.db-wal");
    write_file(port, "repo/blocks.db", old);
    open_store(w);
    drive(w);
    for (size_t i = 0; i < 15; i++)
        put(w, i);
    settle(w);
    for (size_t i = 0; i < 15; i++) {
        assert_true(is_in(w, i, i < 6 || i >= 12 ? "disk" : "cold"));
        assert_int_equal(get(w, i), ERR_OK);
    }
    demote(w, 1, 2); /* with a write, since its copy is gone */
    settle(w);
    assert_true(is_in(w, 1, "cold"));
    assert_int_equal(get(w, 1), ERR_OK);
}

static void an_empty_mount_point_is_not_marked(void **state)
{
    struct world *w = *state;
    const struct disk_port *port = sim_disk_port(w->disk);
    struct test_cold empty;
    put_all(w);
    demote(w, 0, 2);
    blockstore_close(w->store, false);
    assert_int_equal(port->make_dir(port->self, "/empty"), ERR_OK);
    assert_true(test_cold_open(&empty, port, "/empty", NULL));
    struct test_cold before = w->cold;
    w->cold = empty;
    open_store(w);
    drive(w);
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
    pass(w, 70 * SECOND_NS);
    assert_false(stats(w).cold_up);
    assert_int_equal(port->exists(port->self, "/empty/hearth-tier"), ERR_NOT_FOUND);
    assert_int_equal(stats(w).quarantined, 0);
    w->cold = before;
    test_cold_close(&empty);
    pass(w, 70 * SECOND_NS);
    assert_int_equal(get(w, 0), ERR_OK);
}

static void a_medium_of_another_is_not_used(void **state)
{
    struct world *w = *state;
    const struct disk_port *port = sim_disk_port(w->disk);
    static const uint8_t other[PACK_MARK_BYTES] = "of another node";
    struct cold_call call = {.deadline_ns = UINT64_MAX};
    struct test_cold theirs;
    put_all(w);
    demote(w, 0, 2);
    assert_int_equal(port->make_dir(port->self, "/other"), ERR_OK);
    assert_true(test_cold_open(&theirs, port, "/other", NULL));
    assert_int_equal(cold_tier_claim(theirs.store, &call, other), ERR_OK);
    blockstore_close(w->store, false);
    struct test_cold before = w->cold;
    w->cold = theirs;
    open_store(w);
    drive(w);
    pass(w, 70 * SECOND_NS);
    assert_false(stats(w).cold_up);
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
    assert_int_equal(blockstore_demote(w->store, &w->keys[5], 1), ERR_UNAVAILABLE);
    w->cold = before;
    test_cold_close(&theirs);
}

/* ---- orders of events ---- */

static void a_pack_that_was_finished_after_a_backup_is_kept(void **state)
{
    struct world *w = *state;
    char path[64];
    const struct disk_port *port = sim_disk_port(w->disk);
    put_all(w);
    demote(w, 0, 9);
    pack_path(w, 8, path);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(change(w, i, CHANGE_BLOCK_RM), ERR_OK);
    drive(w);
    uint64_t ends = w->cold.ran[STORE_COLD_END];
    w->now += STORE_PACK_NS + SECOND_NS;
    blockstore_tick(w->store, w->now, REAL + w->now);
    for (size_t n = 0; n < DRIVE && w->cold.ran[STORE_COLD_END] == ends; n++)
        (void)test_cold_drive(w->store, &w->cold, 1);
    assert_int_equal(w->cold.ran[STORE_COLD_END], ends + 1);
    blockstore_close(w->store, true); /* so far the backup knows */
    test_cold_end_life(&w->cold);
    assert_int_equal(port->unlink(port->self, path), ERR_OK); /* and then the life went on */
    open_store(w);
    drive(w);
    pass(w, 70 * SECOND_NS);
    for (size_t i = 6; i < 9; i++)
        assert_int_equal(get(w, i), ERR_OK);
    for (size_t i = 0; i < 6; i++)
        assert_true(is_in(w, i, "none"));
    assert_int_equal(verify_cold(w).bad, 0);
}

static void a_medium_that_failed_one_read_is_asked_again(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 2);
    w->cold.away = true;
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
    w->cold.away = false;
    assert_true(blockstore_wakes_at(w->store) <= w->now + 70 * SECOND_NS);
    pass(w, 70 * SECOND_NS);
    assert_true(stats(w).cold_up); /* nobody has read anything since */
    demote(w, 5, 6);
    assert_true(is_in(w, 5, "cold"));
}

static void what_is_removed_while_it_is_promoted_stays_away(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 2);
    for (int late = 0; late < 2; late++) {
        size_t i = (size_t)late;
        struct test_op t = test_op_for(&w->keys[i]);
        struct test_change rm = test_pin(&w->keys[i], CHANGE_BLOCK_RM);
        blockstore_promote(w->store, &t.op);
        struct store_cold *read = blockstore_next_cold(w->store);
        assert_non_null(read);
        assert_int_equal(read->kind, STORE_COLD_READ);
        enum err err = test_cold_run(&w->cold, read);
        struct store_job *commit = NULL;
        if (late) { /* the removal is on its way when the block comes */
            blockstore_change(w->store, &rm.op);
            commit = blockstore_next_job(w->store);
            assert_non_null(commit);
        }
        blockstore_cold_done(w->store, read, err);
        if (!late)
            blockstore_change(w->store, &rm.op);
        else
            blockstore_job_done(w->store, commit, store_job_run(commit));
        drive(w);
        assert_true(t.done);
        assert_true(rm.done);
        assert_int_equal(rm.err, ERR_OK);
        assert_true(is_in(w, i, "none"));
        settle(w);
        assert_true(is_in(w, i, "none"));
    }
}

static void a_count_that_waits_for_the_medium_dooms_nothing(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, NODE, ITEMS);
    settle(w);
    w->cold.away = true;
    struct collected c = {.op = {.done = page_collected}};
    blockstore_collect(w->store, &c.op);
    size_t jobs = 0;
    uint64_t size = 0;
    for (; jobs < DRIVE && blockstore_has(w->store, &w->keys[1], &size, NULL) == ERR_OK; jobs++) {
        struct store_job *job = blockstore_next_job(w->store);
        assert_non_null(job);
        blockstore_job_done(w->store, job, store_job_run(job));
    }
    assert_int_equal(blockstore_has(w->store, &w->keys[1], &size, NULL), ERR_NOT_FOUND); /* a page is doomed */
    struct test_change pin = test_pin(&w->keys[NODE + 1], CHANGE_PIN_ADD);
    blockstore_change(w->store, &pin.op);
    drive(w);
    assert_true(pin.done);
    assert_int_equal(pin.err, ERR_OK);
    assert_int_equal(get(w, 1), ERR_OK); /* it is not doomed for as long as the medium is away */
    put(w, 2);
    w->cold.away = false;
    for (int i = 0; i < 20 && !c.done; i++)
        pass(w, 10 * SECOND_NS);
    assert_true(c.done);
}

static void a_small_pack_is_not_rewritten_for_ever(void **state)
{
    struct world *w = *state;
    w->sizes[0] = 10;
    test_key(span_of(w->bytes[0], w->sizes[0]), &w->keys[0]);
    put_all(w);
    demote(w, 0, 1);
    assert_true(is_in(w, 0, "cold"));
    uint64_t begun = w->cold.ran[STORE_COLD_BEGIN];
    for (int i = 0; i < 5; i++)
        pass(w, STORE_PACK_NS + SECOND_NS);
    assert_int_equal(w->cold.ran[STORE_COLD_BEGIN], begun);
}

static void a_copy_in_a_damaged_pack_does_not_count(void **state)
{
    struct world *w = *state;
    char path[64];
    uint64_t size = 0;
    put_all(w);
    demote(w, 0, 9);
    assert_int_equal(promote(w, 8), ERR_OK);
    settle(w);
    pack_path(w, 8, path);
    const struct disk_port *port = sim_disk_port(w->disk);
    struct disk_file *file;
    assert_int_equal(port->open(port->self, path, DISK_READ, &file), ERR_OK);
    assert_int_equal(port->size(file, &size), ERR_OK);
    port->close(file);
    assert_int_equal(sim_disk_damage(w->disk, path, size - 60, 1), ERR_OK); /* its index … */
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(change(w, i, CHANGE_BLOCK_RM), ERR_OK);
    pass(w, STORE_PACK_NS + SECOND_NS);
    for (uint64_t at = 8 * 2900; at < size - 600; at += 100) /* … and the record, which nobody has read */
        assert_int_equal(sim_disk_damage(w->disk, path, at, 1), ERR_OK);
    put(w, 7);                                                             /* the bytes are here now */
    assert_int_equal(blockstore_may_leave(w->store, &w->keys[8]), ERR_OK); /* and not without a write */
    demote(w, 8, 9);
    assert_int_equal(get(w, 8), ERR_OK);
    settle(w);
    assert_true(is_in(w, 8, "cold")); /* in another pack */
    assert_int_equal(get(w, 8), ERR_OK);
    assert_true(is_in(w, 7, "disk"));
    assert_int_equal(get(w, 7), ERR_OK);
}

static void a_put_is_not_answered_with_what_cannot_be_read(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 3);
    w->cold.away = true;
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
    put(w, 0);
    assert_true(is_in(w, 0, "memory") || is_in(w, 0, "disk"));
    assert_int_equal(get(w, 0), ERR_OK);
    w->without = true;
    restart(w, false);
    put(w, 1);
    settle(w);
    assert_int_equal(get(w, 0), ERR_OK);
    assert_int_equal(get(w, 1), ERR_OK);
    w->cold.away = false;
    w->without = false;
    settle(w);
    put(w, 2); /* it is there again */
    assert_true(is_in(w, 2, "cold"));
}

enum { MADE_UP_PACKS = 5, MADE_UP_RECORDS = 16 * STORE_COLD_PAGE };

static struct block_key made_up_key(uint64_t pack, uint32_t i)
{
    uint8_t bytes[12];
    struct block_key key;
    le_put(bytes, pack, 8);
    le_put(bytes + 8, i, 4);
    test_key(span_of(bytes, sizeof(bytes)), &key);
    return key;
}

/* What a medium would say of packs that are not known, with more keys than the filter is made for. */
static void make_up(struct store_cold *op)
{
    if (op->kind == STORE_COLD_PACKS) {
        for (uint64_t pack = 1; pack <= MADE_UP_PACKS; pack++)
            op->packs[op->count++] = (struct store_pack){.pack = pack, .bytes = 4 * MIB};
        return;
    }
    for (uint32_t i = op->from; op->count < STORE_COLD_PAGE; i++)
        op->places[op->count++] = (struct cold_place){
            .key = made_up_key(op->pack, i), .pack = op->pack, .offset = 32 + i, .size = 1, .stored = 1};
    op->next = op->from + STORE_COLD_PAGE < MADE_UP_RECORDS ? op->from + STORE_COLD_PAGE : 0;
}

static void what_is_adopted_while_the_filter_is_made_anew_is_there(void **state)
{
    struct world *w = *state;
    uint64_t size = 0;
    blockstore_close(w->store, false);
    test_cold_end_life(&w->cold);
    open_store(w);
    for (size_t i = 0; i < 5 * DRIVE; i++) { /* jobs come first: the walk is at its end before a pack is */
        struct store_job *job = blockstore_next_job(w->store);
        struct store_cold *op = job == NULL ? blockstore_next_cold(w->store) : NULL;
        if (job == NULL && op == NULL)
            break;
        if (job != NULL) {
            blockstore_job_done(w->store, job, store_job_run(job));
        } else if (op->kind == STORE_COLD_PACKS || op->kind == STORE_COLD_INDEX) {
            make_up(op);
            blockstore_cold_done(w->store, op, ERR_OK);
        } else {
            blockstore_cold_done(w->store, op, test_cold_run(&w->cold, op));
        }
    }
    assert_int_equal(stats(w).cold_packs, MADE_UP_PACKS);
    assert_int_equal(stats(w).cold_blocks, MADE_UP_PACKS * MADE_UP_RECORDS);
    for (uint64_t pack = 1; pack <= MADE_UP_PACKS; pack++) {
        for (uint32_t i = 0; i < MADE_UP_RECORDS; i++) {
            struct block_key key = made_up_key(pack, i);
            assert_int_equal(blockstore_has(w->store, &key, &size, NULL), ERR_OK);
        }
    }
}

static void damage_that_cannot_be_noted_is_not_read_without_end(void **state)
{
    struct world *w = *state;
    char path[64];
    put_all(w);
    demote(w, 0, 3);
    settle(w);
    assert_int_equal(get(w, 1), ERR_OK); /* the table of reads has its memory */
    pack_path(w, 0, path);
    assert_int_equal(sim_disk_damage(w->disk, path, 1000, 0x40), ERR_OK);
    uint64_t rest = 8 * MIB - account_used(&w->tables);
    assert_true(account_take(&w->tables, rest));
    assert_int_equal(get(w, 0), ERR_NOMEM);
    account_give(&w->tables, rest);
    assert_int_equal(get(w, 0), ERR_NOT_FOUND);
    assert_int_equal(stats(w).quarantined, 1);
}

static void a_verification_is_answered_when_the_catalogue_breaks(void **state)
{
    struct world *w = *state;
    uint64_t size = 0;
    struct verified v = {.op = {.done = page_verified, .cold = true, .limit = 7}};
    put_all(w);
    demote(w, 0, 3);
    settle(w);
    for (uint64_t at = 4096; at < 40 * 4096; at += 4096) /* the kind of each page */
        (void)sim_disk_damage(w->disk, "repo/blocks.db", at, 0xff);
    enum err err = ERR_OK;
    for (size_t i = 0; i < ITEMS && err != ERR_CORRUPT; i++)
        err = blockstore_has(w->store, &w->keys[i], &size, NULL);
    assert_true(w->fatal);
    blockstore_verify(w->store, &v.op);
    drive(w);
    pass(w, SECOND_NS);
    assert_true(v.done);
    assert_int_equal(v.err, ERR_CORRUPT);
    w->fatal = false; /* as it should */
}

static void what_waits_to_leave_is_bounded_while_nothing_is_committed(void **state)
{
    struct world *w = *state;
    struct test_change t = test_pin(&w->keys[0], CHANGE_HEAL_ALL);
    put_all(w);
    demote(w, 0, BLOCKS);
    for (size_t i = 0; i < BLOCKS; i++)
        assert_int_equal(promote(w, i), ERR_OK);
    settle(w);
    blockstore_change(w->store, &t.op);
    struct store_job *commit = blockstore_next_job(w->store);
    assert_non_null(commit);
    uint64_t before = account_used(&w->tables);
    for (int i = 0; i < 400; i++) {
        assert_int_equal(blockstore_demote(w->store, w->keys, BLOCKS), ERR_OK);
        assert_null(blockstore_next_job(w->store));
    }
    assert_true(account_used(&w->tables) - before <= 2048 * sizeof(struct cold_entry) + 64 * KIB);
    blockstore_job_done(w->store, commit, store_job_run(commit));
    drive(w);
    assert_true(t.done);
    settle(w);
    for (size_t i = 0; i < BLOCKS; i++)
        assert_true(is_in(w, i, "cold"));
}

/* Seen by the sanitizer of leaks. */
static void a_store_that_closes_frees_the_nodes_on_their_way_to_the_disk(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, NODE, ITEMS);
    settle(w);
    struct test_change pin = test_pin(&w->keys[NODE + 1], CHANGE_PIN_ADD);
    uint64_t reads = w->cold.ran[STORE_COLD_READ];
    blockstore_change(w->store, &pin.op);
    for (size_t n = 0; n < DRIVE && w->cold.ran[STORE_COLD_READ] == reads; n++)
        (void)test_cold_drive(w->store, &w->cold, 1);
    assert_int_equal(w->cold.ran[STORE_COLD_READ], reads + 1);
    blockstore_close(w->store, true); /* nothing of it is written yet */
    test_cold_end_life(&w->cold);
    open_store(w);
    drive(w);
    assert_int_equal(get(w, NODE + 1), ERR_OK);
}

static void a_read_that_is_made_again_keeps_its_time(void **state)
{
    struct world *w = *state;
    struct test_op first = test_op_for(&w->keys[0]);
    struct test_op second = test_op_for(&w->keys[1]);
    put_all(w);
    demote(w, 0, 2);
    blockstore_get(w->store, &first.op);
    struct store_cold *op = blockstore_next_cold(w->store);
    assert_non_null(op);
    w->now += 10 * SECOND_NS;
    blockstore_tick(w->store, w->now, REAL + w->now);
    blockstore_get(w->store, &second.op);
    blockstore_cold_done(w->store, op, ERR_BUSY); /* it could not be started */
    assert_true(blockstore_wakes_at(w->store) <= w->now + STORE_COLD_READ_NS - 10 * SECOND_NS);
    w->now += STORE_COLD_READ_NS - 10 * SECOND_NS;
    blockstore_tick(w->store, w->now, REAL + w->now);
    assert_true(first.done);
    assert_int_equal(first.err, ERR_UNAVAILABLE);
    assert_false(second.done);
    drive(w);
    assert_int_equal(second.err, ERR_OK);
    block_ref_unref(second.op.ref);
}

static void what_is_removed_while_it_is_read_is_not_served(void **state)
{
    struct world *w = *state;
    struct test_op t = test_op_for(&w->keys[0]);
    put_all(w);
    demote(w, 0, 2);
    settle(w);
    blockstore_get(w->store, &t.op);
    struct store_cold *read = blockstore_next_cold(w->store);
    assert_non_null(read);
    enum err err = test_cold_run(&w->cold, read);
    assert_int_equal(err, ERR_OK);
    assert_int_equal(change(w, 0, CHANGE_BLOCK_RM), ERR_OK);
    blockstore_cold_done(w->store, read, err);
    assert_true(t.done);
    assert_int_equal(t.err, ERR_NOT_FOUND);
    assert_true(is_in(w, 0, "none")); /* nor is it in memory now */
}

static void a_pack_with_other_records_than_were_sent_gets_no_rows(void **state)
{
    struct world *w = *state;
    put_all(w);
    assert_int_equal(blockstore_demote(w->store, w->keys, 3), ERR_OK);
    drive(w);
    w->now += STORE_PACK_NS + SECOND_NS;
    blockstore_tick(w->store, w->now, REAL + w->now);
    struct store_cold *end = blockstore_next_cold(w->store);
    assert_non_null(end);
    assert_int_equal(end->kind, STORE_COLD_END);
    enum err err = test_cold_run(&w->cold, end);
    assert_int_equal(err, ERR_OK);
    assert_int_equal(end->records, 3);
    end->records--;
    blockstore_cold_done(w->store, end, err);
    pass(w, 10 * SECOND_NS);
    settle(w);
    assert_int_equal(stats(w).cold_blocks, 0);
    for (size_t i = 0; i < 3; i++)
        assert_true(is_in(w, i, "disk"));
}

/* Its page has the rows of the disk, which would be others when the pack's came between. */
static void a_collection_takes_what_is_on_its_way_to_a_pack(void **state)
{
    struct world *w = *state;
    uint64_t size = 0;
    struct collected c = {.op = {.done = page_collected}};
    put_all(w);
    assert_int_equal(blockstore_demote(w->store, w->keys, 3), ERR_OK);
    drive(w);
    blockstore_collect(w->store, &c.op);
    for (size_t n = 0; n < DRIVE && blockstore_has(w->store, &w->keys[0], &size, NULL) == ERR_OK; n++)
        (void)test_cold_drive(w->store, &w->cold, 1);
    assert_false(c.done); /* its page is in hand */
    blockstore_end_pack(w->store);
    struct store_cold *end = blockstore_next_cold(w->store);
    assert_non_null(end);
    assert_int_equal(end->kind, STORE_COLD_END);
    blockstore_cold_done(w->store, end, test_cold_run(&w->cold, end));
    drive(w);
    assert_true(c.done);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(c.gone, ITEMS);
    settle(w);
    for (size_t i = 0; i < 3; i++)
        assert_true(is_in(w, i, "none"));
}

/* It is in both, and what links to it is being read because of a pin: who counts must find it without the medium. */
static void a_node_stays_while_it_is_counted_what_is_held(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, NODE, ITEMS);
    assert_int_equal(promote(w, NODE), ERR_OK);
    settle(w);
    uint64_t reads = w->cold.ran[STORE_COLD_READ];
    struct test_change pin = test_pin(&w->keys[NODE + 1], CHANGE_PIN_ADD);
    blockstore_change(w->store, &pin.op);
    test_drive(w->store, DRIVE);
    assert_true(pin.done);
    struct store_cold *read = blockstore_next_cold(w->store);
    assert_non_null(read);
    assert_int_equal(read->kind, STORE_COLD_READ);
    assert_true(stats(w).counting);
    assert_int_equal(blockstore_demote(w->store, &w->keys[NODE], 1), ERR_OK);
    test_drive(w->store, DRIVE);
    assert_true(is_in(w, NODE, "disk"));
    blockstore_cold_done(w->store, read, test_cold_run(&w->cold, read));
    drive(w);
    assert_false(stats(w).counting);
    assert_int_equal(w->cold.ran[STORE_COLD_READ], reads + 1);
}

int main(void)
{
#define COLD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        COLD_TEST(what_is_demoted_leaves_the_disk_and_is_read_back),
        COLD_TEST(a_pack_ends_when_it_is_full_or_old),
        COLD_TEST(a_pack_of_many_small_blocks_ends_early),
        COLD_TEST(a_crash_after_any_step_loses_nothing),
        COLD_TEST(what_is_removed_before_its_rows_is_dead_in_the_pack),
        COLD_TEST(what_is_leased_stays),
        COLD_TEST(demotion_refuses_what_it_cannot_take),
        COLD_TEST(a_pack_that_fails_leaves_its_blocks_where_they_are),
        COLD_TEST(candidates_come_in_the_order_of_the_disk),
        COLD_TEST(candidates_are_looked_up_on_the_lane_of_the_catalogue),
        COLD_TEST(a_promoted_block_is_in_both_and_leaves_without_a_write),
        COLD_TEST(what_was_just_used_is_promoted_without_another_read),
        COLD_TEST(a_medium_that_is_away_hides_nothing),
        COLD_TEST(without_a_cold_tier_what_is_there_is_known_and_not_read),
        COLD_TEST(a_read_that_waits_too_long_is_answered),
        COLD_TEST(many_who_want_one_block_cost_one_read),
        COLD_TEST(a_damaged_record_is_quarantined_and_wanted_back),
        COLD_TEST(what_is_quarantined_is_not_in_memory_either),
        COLD_TEST(damage_on_the_disk_is_nothing_with_a_cold_copy),
        COLD_TEST(an_empty_pack_is_removed),
        COLD_TEST(a_thin_pack_is_rewritten),
        COLD_TEST(a_collection_takes_cold_blocks_too),
        COLD_TEST(nodes_that_a_pin_needs_stay),
        COLD_TEST(what_is_pinned_to_a_tier_does_not_leave_it),
        COLD_TEST(a_pin_to_the_disk_comes_in_time),
        COLD_TEST(a_pin_of_cold_nodes_holds_what_is_below),
        COLD_TEST(a_put_of_a_cold_node_makes_it_hot),
        COLD_TEST(a_catalogue_made_anew_takes_its_packs_back),
        COLD_TEST(nothing_is_collected_before_the_packs_are_known),
        COLD_TEST(an_older_catalogue_finds_what_was_rewritten_since),
        COLD_TEST(what_an_older_catalogue_says_of_packs_that_are_gone_does_not_count),
        COLD_TEST(an_empty_mount_point_is_not_marked),
        COLD_TEST(a_medium_of_another_is_not_used),
        COLD_TEST(a_pack_that_was_finished_after_a_backup_is_kept),
        COLD_TEST(a_medium_that_failed_one_read_is_asked_again),
        COLD_TEST(what_is_removed_while_it_is_promoted_stays_away),
        COLD_TEST(a_count_that_waits_for_the_medium_dooms_nothing),
        COLD_TEST(a_small_pack_is_not_rewritten_for_ever),
        COLD_TEST(a_copy_in_a_damaged_pack_does_not_count),
        COLD_TEST(a_put_is_not_answered_with_what_cannot_be_read),
        COLD_TEST(what_is_adopted_while_the_filter_is_made_anew_is_there),
        COLD_TEST(damage_that_cannot_be_noted_is_not_read_without_end),
        COLD_TEST(a_verification_is_answered_when_the_catalogue_breaks),
        COLD_TEST(what_waits_to_leave_is_bounded_while_nothing_is_committed),
        COLD_TEST(a_store_that_closes_frees_the_nodes_on_their_way_to_the_disk),
        COLD_TEST(a_read_that_is_made_again_keeps_its_time),
        COLD_TEST(what_is_removed_while_it_is_read_is_not_served),
        COLD_TEST(a_pack_with_other_records_than_were_sent_gets_no_rows),
        COLD_TEST(a_collection_takes_what_is_on_its_way_to_a_pack),
        COLD_TEST(a_node_stays_while_it_is_counted_what_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
