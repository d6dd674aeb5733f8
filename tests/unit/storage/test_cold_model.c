/* SPDX-License-Identifier: MIT */
/*
 * A store with a cold tier beside a naive model: random puts, gets, removals, pins, collections, demotions, promotions, verifications, a medium that goes and
 * comes back, restarts, power cuts, a catalogue that is lost. Whatever is stored is found after each step; after each life the tables add up.
 */
#include "tests/support/storage.h"

#include "base/limits.h"
#include "base/random.h"
#include "sim/disk.h"
#include "storage/sql.h"
#include "storage/sqlite_vfs.h"
#include "tests/support/cold_driver.h"

enum { MODEL_BLOCKS = 70, BLOCK_MAX = 2500, DRIVE = 100000, SEEDS = 4, LIVES = 6, STEPS = 120 };

struct world {
    struct sim_disk *disk;
    struct blockstore *store;
    struct test_cold cold;
    struct account memory;
    struct account tables;
    struct account reads;
    uint64_t now;
    bool fatal;
    struct prng prng;
    struct block_key keys[MODEL_BLOCKS];
    uint8_t bytes[MODEL_BLOCKS][BLOCK_MAX];
    size_t sizes[MODEL_BLOCKS];
    bool here[MODEL_BLOCKS];
    bool pinned[MODEL_BLOCKS];
    bool was_cut;
    uint64_t cold_seen; /* answers of the cold tier, over all */
};

static void on_notice(void *arg, bool fatal, const char *text)
{
    struct world *w = arg;
    w->fatal |= fatal;
    if (getenv("HEARTH_TEST_VERBOSE") != NULL)
        print_message("notice: %s\n", text);
}

static void open_store(struct world *w)
{
    char why[STORE_WHY_BYTES];
    struct blockstore_options options = {.port = sim_disk_port(w->disk),
                                         .path = "repo",
                                         .storage_max_bytes = 32 * MIB,
                                         .segment_bytes = 32 * KIB,
                                         .allocate_bytes = 8 * KIB,
                                         .direct_bytes = 4 * KIB,
                                         .cache_kib = 256,
                                         .cold = true,
                                         .memory = &w->memory,
                                         .tables = &w->tables,
                                         .reads = &w->reads,
                                         .events = {.arg = w, .notice = on_notice}};
    enum err err = blockstore_open(&options, w->now, w->now, &w->store, why);
    if (err != ERR_OK)
        print_message("open: %s\n", why);
    assert_int_equal(err, ERR_OK);
}

static void drive(struct world *w)
{
    assert_true(test_cold_drive(w->store, &w->cold, DRIVE));
}

static void tick(struct world *w, uint64_t ns)
{
    w->now += ns;
    blockstore_tick(w->store, w->now, w->now);
    drive(w);
}

static struct world *world_new(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->disk = sim_disk_new(seed, 64 * MIB);
    const struct disk_port *port = sim_disk_port(w->disk);
    account_init(&w->memory, "memory", 20 * KIB);
    account_init(&w->tables, "tables", 4 * MIB);
    account_init(&w->reads, "reads", 1 * MIB);
    assert_int_equal(port->make_dir(port->self, "repo"), ERR_OK);
    assert_int_equal(port->make_dir(port->self, "/cold"), ERR_OK);
    assert_int_equal(port->sync_dir(port->self, "/"), ERR_OK);
    assert_true(test_cold_open(&w->cold, port, "/cold", &w->reads));
    w->cold.tier.pack_bytes = 16 * KIB;
    w->cold.page = 3;
    prng_init(&w->prng, seed);
    for (size_t i = 0; i < MODEL_BLOCKS; i++) {
        w->sizes[i] = (size_t)prng_below(&w->prng, BLOCK_MAX);
        prng_fill(&w->prng, w->bytes[i], i % 3 == 0 ? w->sizes[i] / 4 : w->sizes[i]); /* some compress */
        w->bytes[i][0] = (uint8_t)i;
        w->sizes[i] = MAX(w->sizes[i], (size_t)1);
        test_key(span_of(w->bytes[i], w->sizes[i]), &w->keys[i]);
    }
    open_store(w);
    drive(w);
    return w;
}

static void world_free(struct world *w)
{
    assert_false(w->fatal);
    blockstore_close(w->store, false);
    test_cold_close(&w->cold);
    assert_int_equal(account_used(&w->memory), 0);
    assert_int_equal(account_used(&w->tables), 0);
    assert_int_equal(account_used(&w->reads), 0);
    sim_disk_free(w->disk);
    free(w);
}

/* ---- what must be true ---- */

static void check_known(struct world *w)
{
    uint64_t hot = 0;
    uint64_t cold = 0;
    for (size_t i = 0; i < MODEL_BLOCKS; i++) {
        struct block_facts facts;
        assert_int_equal(blockstore_facts(w->store, &w->keys[i], &facts), ERR_OK);
        assert_int_equal(facts.stored, w->here[i]);
        assert_true(!facts.stored || facts.size == w->sizes[i]);
        hot += facts.segment != 0;
        cold += facts.pack != 0;
        assert_true(!w->here[i] || facts.segment != 0 || facts.pack != 0);
    }
    assert_int_equal(blockstore_stats(w->store).blocks, hot);
    assert_int_equal(blockstore_stats(w->store).cold_blocks, cold);
    assert_int_equal(blockstore_stats(w->store).quarantined, 0);
}

static void check_block(struct world *w, size_t i)
{
    struct test_op t = test_op_for(&w->keys[i]);
    const char *tier = "none";
    uint64_t size = 0;
    uint64_t reads = w->cold.ran[STORE_COLD_READ];
    enum err has = blockstore_has(w->store, &w->keys[i], &size, &tier);
    bool cold = has == ERR_OK && strcmp(tier, "cold") == 0;
    blockstore_get(w->store, &t.op);
    drive(w);
    assert_true(t.done);
    assert_int_equal(has, w->here[i] ? ERR_OK : ERR_NOT_FOUND);
    if (cold && w->cold.away) {
        assert_int_equal(t.err, ERR_UNAVAILABLE);
        return;
    }
    assert_int_equal(t.err, w->here[i] && (!cold || blockstore_stats(w->store).cold_up) ? ERR_OK
                            : w->here[i]                                                ? ERR_UNAVAILABLE
                                                                                        : ERR_NOT_FOUND);
    if (t.err == ERR_OK)
        assert_true(span_equal(block_ref_span(t.op.ref), span_of(w->bytes[i], w->sizes[i])));
    block_ref_unref(t.op.ref);
    w->cold_seen += w->cold.ran[STORE_COLD_READ] - reads;
}

/* The medium is there, and the store knows it. */
static void bring_back(struct world *w)
{
    w->cold.away = false;
    for (int i = 0; i < 3; i++)
        tick(w, 61 * SECOND_NS);
    assert_true(blockstore_stats(w->store).cold_up);
}

static void zero(sqlite3 *db, const char *text)
{
    uint64_t value = 1;
    assert_int_equal(sql_number(db, text, &value), ERR_OK);
    if (value != 0)
        print_message("%llu of: %s\n", (unsigned long long)value, text);
    assert_int_equal(value, 0);
}

/* The tables of a store that is closed. */
static void check_tables(struct world *w)
{
    struct sqlite_vfs *vfs;
    sqlite3 *db;
    assert_int_equal(sqlite_vfs_open(sim_disk_port(w->disk), &vfs), ERR_OK);
    struct sql_options sql = {
        .path = "repo/blocks.db", .vfs = sqlite_vfs_name(vfs), .read_only = true, .cache_kib = 64};
    assert_int_equal(sql_open(&sql, &db), ERR_OK);
    zero(db, "SELECT count(*) <> (SELECT value FROM meta WHERE key = 'cold_blocks') FROM cold_blocks");
    zero(db, "SELECT coalesce(sum(size), 0) <> (SELECT value FROM meta WHERE key = 'cold_bytes') FROM cold_blocks");
    zero(db, "SELECT count(*) FROM cold_blocks WHERE pack NOT IN (SELECT id FROM packs WHERE state IN (1, 2))");
    zero(db, "SELECT count(*) FROM packs WHERE live_bytes <> (SELECT coalesce(sum(32 + length(multihash) + stored), 0)"
             " FROM cold_blocks WHERE pack = packs.id)");
    zero(db, "SELECT count(*) <> (SELECT value FROM meta WHERE key = 'blocks') FROM blocks");
    zero(db,
         "SELECT count(*) FROM segments WHERE live_bytes <> (SELECT coalesce(sum((28 + length(multihash) + size + 7)"
         " / 8 * 8), 0) FROM blocks WHERE segment = segments.id)");
    sql_close(db);
    sqlite_vfs_close(vfs);
}

/* ---- steps ---- */

static void put(struct world *w, size_t i)
{
    struct test_op t = test_op_for(&w->keys[i]);
    struct block_ref *ref = block_ref_copy(span_of(w->bytes[i], w->sizes[i]), NULL);
    blockstore_put(w->store, &t.op, ref);
    block_ref_unref(ref);
    drive(w);
    assert_true(t.done);
    assert_int_equal(t.err, ERR_OK);
    assert_int_equal(t.op.existed, w->here[i]);
    w->here[i] = true;
}

static enum err change(struct world *w, size_t i, enum change_of kind)
{
    struct test_change t = test_pin(&w->keys[i], kind);
    t.op.change.cid[1] = 0x55;
    blockstore_change(w->store, &t.op);
    drive(w);
    assert_true(t.done);
    return t.err;
}

static void remove_one(struct world *w, size_t i)
{
    enum err err = change(w, i, CHANGE_BLOCK_RM);
    assert_int_equal(err, !w->here[i] ? ERR_NOT_FOUND : w->pinned[i] ? ERR_DENIED : ERR_OK);
    w->here[i] &= err != ERR_OK;
}

static void pin(struct world *w, size_t i)
{
    enum err err = change(w, i, CHANGE_PIN_ADD);
    assert_int_equal(err, w->here[i] ? ERR_OK : ERR_NOT_FOUND);
    w->pinned[i] |= err == ERR_OK;
}

static void unpin(struct world *w, size_t i)
{
    assert_int_equal(change(w, i, CHANGE_PIN_RM), w->pinned[i] ? ERR_OK : ERR_NOT_FOUND);
    w->pinned[i] = false;
}

/* Some keys in a row, whatever they are; the steps that follow find them on their way. */
static void demote(struct world *w, size_t from)
{
    size_t count = 1 + (size_t)prng_below(&w->prng, MIN((size_t)20, MODEL_BLOCKS - from));
    enum err err = blockstore_demote(w->store, &w->keys[from], count);
    assert_true(err == ERR_OK || (err == ERR_UNAVAILABLE && !blockstore_stats(w->store).cold_up));
    (void)test_cold_drive(w->store, &w->cold, (size_t)prng_below(&w->prng, 40));
}

static void promote(struct world *w, size_t i)
{
    struct test_op t = test_op_for(&w->keys[i]);
    blockstore_promote(w->store, &t.op);
    drive(w);
    assert_true(t.done);
    if (w->here[i])
        assert_true(t.err == ERR_OK || (t.err == ERR_UNAVAILABLE && !blockstore_stats(w->store).cold_up));
    else
        assert_int_equal(t.err, ERR_NOT_FOUND);
}

struct collection {
    struct store_collect_op op;
    bool done;
    enum err err;
};

static void page_collected(struct store_collect_op *op, enum err err)
{
    struct collection *c = CONTAINER_OF(op, struct collection, op);
    c->done = true;
    c->err = err;
}

static void collect(struct world *w)
{
    struct collection c = {.op = {.done = page_collected}};
    blockstore_collect(w->store, &c.op);
    drive(w);
    assert_true(c.done);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(c.op.after.len, 0);
    for (size_t i = 0; i < MODEL_BLOCKS; i++)
        w->here[i] = w->here[i] && w->pinned[i];
}

static void random_step(struct world *w)
{
    size_t i = (size_t)prng_below(&w->prng, MODEL_BLOCKS);
    switch (prng_below(&w->prng, 16)) {
    case 0:
    case 1:
        remove_one(w, i);
        break;
    case 2:
        pin(w, i);
        break;
    case 3:
        unpin(w, i);
        break;
    case 4:
    case 5:
    case 6:
        check_block(w, i);
        break;
    case 7:
        tick(w, prng_below(&w->prng, 40) * SECOND_NS);
        break;
    case 8:
    case 9:
        demote(w, i);
        break;
    case 10:
        promote(w, i);
        break;
    case 11:
        w->cold.away = prng_below(&w->prng, 3) == 0;
        break;
    case 12:
        if (prng_below(&w->prng, 6) == 0)
            collect(w);
        break;
    default:
        put(w, i);
        break;
    }
    check_known(w);
}

/* ---- lives ---- */

/* A power cut may have taken the end of the journal of pins, which nobody needed as long as there was a catalogue. */
static void note_found(struct world *w)
{
    struct pin_row pins[MODEL_BLOCKS + 2];
    size_t count = 0;
    assert_int_equal(blockstore_pins(w->store, (struct span){0}, pins, MODEL_BLOCKS, &count), ERR_OK);
    for (size_t i = 0; i < MODEL_BLOCKS; i++) {
        uint64_t size = 0;
        bool was_pinned = w->pinned[i];
        w->pinned[i] = false;
        for (size_t n = 0; n < count; n++)
            w->pinned[i] |= span_equal(span_of(pins[n].cid + 2, pins[n].cid_len - 2U), block_key_span(&w->keys[i]));
        assert_true(was_pinned == w->pinned[i] || w->was_cut);
        enum err err = blockstore_has(w->store, &w->keys[i], &size, NULL);
        assert_true(err == ERR_OK || !w->here[i]); /* what was removed may be back */
        w->here[i] = err == ERR_OK;
    }
}

static void next_life(struct world *w, uint64_t seed)
{
    uint64_t how = prng_below(&w->prng, 4);
    blockstore_close(w->store, how == 0);
    test_cold_end_life(&w->cold);
    w->was_cut |= how == 0;
    if (how == 0)
        sim_disk_power_cut(w->disk, (enum sim_disk_cut)prng_below(&w->prng, SIM_CUT_COUNT), seed);
    else
        check_tables(w);
    if (how == 1) /* in "SQLite format 3" */
        assert_int_equal(sim_disk_damage(w->disk, "repo/blocks.db", 3, 0xff), ERR_OK);
    w->now += SECOND_NS;
    open_store(w);
    drive(w);
    if (how == 1) {
        bring_back(w);
        note_found(w);
    }
}

static void model_agrees(void **state)
{
    (void)state;
    uint64_t seen = 0;
    uint64_t first = getenv("HEARTH_TEST_SEED") != NULL ? strtoull(getenv("HEARTH_TEST_SEED"), NULL, 10) : 1;
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        struct world *w = world_new(seed);
        for (uint64_t life = 0; life < LIVES; life++) {
            for (int step = 0; step < STEPS; step++)
                random_step(w);
            next_life(w, seed * LIVES + life);
            check_known(w);
        }
        bring_back(w);
        for (size_t i = 0; i < MODEL_BLOCKS; i++)
            check_block(w, i);
        seen += w->cold_seen;
        world_free(w);
    }
    print_message("%llu reads of the cold tier\n", (unsigned long long)seen);
    assert_true(seen > (uint64_t)SEEDS * 10); /* it was about a cold tier */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
