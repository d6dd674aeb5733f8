/* SPDX-License-Identifier: MIT */
/*
 * Pins, counts and collections of a whole store beside a naive model that walks the graph: random puts, pins, unpins, removals, damage,
 * restarts, power cuts and collections in pieces. After each step everything below a pin is there; after a collection nothing else is.
 */
#include "tests/support/storage.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/random.h"
#include "sim/disk.h"
#include "storage/leases.h"
#include "storage/sql.h"
#include "storage/sqlite_vfs.h"
#include "tests/support/store_driver.h"
#include "wire/cid.h"
#include "wire/dag_pb.h"

enum { NODES = 48, LEAVES = 20, LINKS_MAX = 5, NODE_BYTES = 1024 };

/* A node links to nodes before it, to some through an identity CID; a leaf is linked to as raw or, where it is one, as dag-pb. */
struct node {
    uint8_t bytes[NODE_BYTES];
    size_t len;
    struct block_key key;
    struct cid cid;
    size_t links[LINKS_MAX];
    size_t link_count;
};

struct world {
    struct sim_disk *disk;
    struct account memory;
    struct blockstore *store;
    uint64_t now;
    uint64_t storage_max;
    uint64_t watermark;
    struct prng prng;
    struct node nodes[NODES];
    bool here[NODES];
    bool recursive[NODES];
    bool direct[NODES];
    bool lost; /* a block was damaged: what hung on it may be gone, too */
    unsigned notices;
};

/* ---- the graph ---- */

static void append_link(uint8_t **to, const struct cid *cid)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct dag_pb_link link = {.cid = span_of(bytes, cid_encode(cid, bytes)), .has_tsize = true, .tsize = 1};
    *to = dag_pb_put_link(*to, &link);
}

/* A node that only links to the CID, inside an identity CID. */
static struct cid wrapped(const struct cid *cid)
{
    struct multihash hash;
    uint8_t bytes[256];
    uint8_t *end = bytes;
    append_link(&end, cid);
    assert_int_equal(multihash_sum(MULTIHASH_IDENTITY, 0, span_of(bytes, (size_t)(end - bytes)), &hash), ERR_OK);
    return cid_v1(CODEC_DAG_PB, &hash);
}

static void name_node(struct node *node, uint32_t codec)
{
    struct multihash hash;
    assert_int_equal(multihash_sum(MULTIHASH_SHA2_256, 0, span_of(node->bytes, node->len), &hash), ERR_OK);
    assert_int_equal(block_key_of(&hash, &node->key), ERR_OK);
    node->cid = cid_v1(codec, &hash);
}

static void make_leaf(struct world *w, struct node *node)
{
    node->len = 16 + (size_t)prng_below(&w->prng, NODE_BYTES - 16);
    prng_fill(&w->prng, node->bytes, node->len);
    name_node(node, CODEC_RAW);
}

static void make_inner(struct world *w, size_t i)
{
    struct node *node = &w->nodes[i];
    uint8_t *end = node->bytes;
    node->link_count = 1 + (size_t)prng_below(&w->prng, LINKS_MAX);
    for (size_t n = 0; n < node->link_count; n++) {
        size_t child = (size_t)prng_below(&w->prng, i);
        struct cid cid = w->nodes[child].cid;
        node->links[n] = child;
        if (prng_below(&w->prng, 6) == 0)
            cid = wrapped(&cid);
        append_link(&end, &cid);
    }
    uint8_t *data = dag_pb_put_data_frame(end, 8);
    memcpy(data, &i, 8);
    node->len = (size_t)(data + 8 - node->bytes);
    name_node(node, CODEC_DAG_PB);
}

static void make_graph(struct world *w)
{
    for (size_t i = 0; i < NODES; i++) {
        if (i < LEAVES)
            make_leaf(w, &w->nodes[i]);
        else
            make_inner(w, i);
    }
}

/* ---- the store ---- */

static void on_notice(void *arg, bool fatal, const char *text)
{
    struct world *w = arg;
    assert_false(fatal);
    w->notices++;
    if (getenv("HEARTH_TEST_VERBOSE") != NULL)
        print_message("notice: %s\n", text);
}

static void open_store(struct world *w)
{
    char why[STORE_WHY_BYTES];
    struct blockstore_options options = {.port = sim_disk_port(w->disk),
                                         .path = "repo",
                                         .storage_max_bytes = w->storage_max,
                                         .gc_watermark = w->watermark,
                                         .gc_period_ns = 3600 * SECOND_NS,
                                         .segment_bytes = 32 * KIB,
                                         .allocate_bytes = 8 * KIB,
                                         .direct_bytes = 4 * KIB,
                                         .cache_kib = 256,
                                         .memory = &w->memory,
                                         .events = {.arg = w, .notice = on_notice}};
    enum err err = blockstore_open(&options, w->now, w->now, &w->store, why);
    if (err != ERR_OK)
        print_message("open: %s\n", why);
    assert_int_equal(err, ERR_OK);
}

static struct world *world_new(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->disk = sim_disk_new(seed, 64 * MIB);
    w->storage_max = 32 * MIB;
    account_init(&w->memory, "memory", 4 * MIB);
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(port->make_dir(port->self, "repo"), ERR_OK);
    assert_int_equal(port->sync_dir(port->self, "/"), ERR_OK);
    prng_init(&w->prng, seed);
    make_graph(w);
    open_store(w);
    return w;
}

static void world_free(struct world *w)
{
    blockstore_close(w->store, false);
    assert_int_equal(account_used(&w->memory), 0);
    sim_disk_free(w->disk);
    free(w);
}

static void drive(struct world *w)
{
    w->now += 10 * SECOND_NS;
    blockstore_tick(w->store, w->now, w->now);
    test_drive(w->store, 10000);
}

static enum err put(struct world *w, size_t i)
{
    enum err err = test_put(w->store, &w->nodes[i].key, span_of(w->nodes[i].bytes, w->nodes[i].len), NULL);
    w->here[i] |= err == ERR_OK;
    return err;
}

static void start_change(struct world *w, struct test_change *t, enum change_of kind, size_t i, bool recursive)
{
    *t = (struct test_change){.op = {.done = test_change_done}};
    t->op.change.kind = kind;
    t->op.change.key = w->nodes[i].key;
    t->op.change.recursive = recursive;
    t->op.change.cid_len = (uint8_t)cid_encode(&w->nodes[i].cid, t->op.change.cid);
    blockstore_change(w->store, &t->op);
}

/* jobs: how many are run; a pin needs one, its counting more. */
static enum err change(struct world *w, enum change_of kind, size_t i, bool recursive, size_t jobs)
{
    struct test_change t;
    start_change(w, &t, kind, i, recursive);
    test_drive(w->store, jobs);
    if (!t.done)
        drive(w);
    assert_true(t.done);
    return t.err;
}

static bool is_here(struct world *w, size_t i)
{
    struct block_ref *ref = NULL;
    uint64_t size = 0;
    enum err has = blockstore_has(w->store, &w->nodes[i].key, &size, NULL);
    enum err err = test_get(w->store, &w->nodes[i].key, &ref);
    if (err == ERR_OK) {
        assert_int_equal(has, ERR_OK);
        assert_true(span_equal(block_ref_span(ref), span_of(w->nodes[i].bytes, w->nodes[i].len)));
        block_ref_unref(ref);
        return true;
    }
    assert_int_equal(err, ERR_NOT_FOUND);
    return false;
}

/* ---- the model ---- */

/* Marks what the pins reach: through stored blocks only, or wherever the graph leads. */
static void reach(const struct world *w, bool stored_only, bool reached[NODES])
{
    memset(reached, 0, NODES);
    for (size_t i = NODES; i-- > 0;) {
        reached[i] |= w->recursive[i];
        if (!reached[i] || (stored_only && !w->here[i]))
            continue;
        for (size_t n = 0; n < w->nodes[i].link_count; n++)
            reached[w->nodes[i].links[n]] = true;
    }
}

static void check_all(struct world *w)
{
    uint64_t pins = 0;
    uint64_t recursive = 0;
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal(is_here(w, i), w->here[i]);
        pins += (uint64_t)w->recursive[i] + w->direct[i];
        recursive += w->recursive[i];
    }
    assert_int_equal(blockstore_stats(w->store).pins, pins);
    assert_int_equal(blockstore_stats(w->store).recursive_pins, recursive);
}

/* ---- collections ---- */

struct collection {
    struct store_collect_op op;
    bool done;
    enum err err;
    size_t gone;
};

static void collected(struct store_collect_op *op, enum err err)
{
    struct collection *c = CONTAINER_OF(op, struct collection, op);
    c->done = true;
    c->err = err;
    c->gone += op->gone_count;
}

static size_t collect(struct world *w, bool dry_run)
{
    struct collection c = {.op = {.done = collected, .dry_run = dry_run}};
    do {
        c.done = false;
        blockstore_collect(w->store, &c.op);
        for (int i = 0; i < 50 && !c.done; i++)
            drive(w);
        assert_true(c.done);
        assert_int_equal(c.err, ERR_OK);
    } while (c.op.after.len > 0);
    return c.gone;
}

/* Nothing but what the pins need is left, and all of that is. */
static void collect_and_check(struct world *w)
{
    bool must[NODES];
    bool may[NODES];
    reach(w, true, must);
    reach(w, false, may);
    size_t would = collect(w, true);
    check_all(w);
    assert_int_equal(collect(w, false), would);
    for (size_t i = 0; i < NODES; i++) {
        bool found = is_here(w, i);
        assert_true(!found || w->here[i]);
        assert_true(found || !w->here[i] || !(must[i] || w->direct[i]));
        assert_true(!found || may[i] || w->direct[i]);
        if (!w->lost) /* else what hung on a damaged block may still be held, until that is noticed */
            assert_int_equal(found, w->here[i] && (must[i] || w->direct[i]));
        w->here[i] = found;
    }
}

/* ---- random steps ---- */

/* Flips a byte of one stored block on the disk: whoever reads it next finds out. */
static void spoil(struct world *w, size_t i)
{
    struct catalogue_reader *r;
    struct block_place place;
    char name[64];
    char path[80];
    drive(w);
    blockstore_close(w->store, false);
    struct sqlite_vfs *vfs;
    assert_int_equal(sqlite_vfs_open(sim_disk_port(w->disk), &vfs), ERR_OK);
    struct catalogue_options options = {.path = "repo/blocks.db", .vfs = sqlite_vfs_name(vfs), .cache_kib = 64};
    assert_int_equal(catalogue_reader_open(&options, &r), ERR_OK);
    assert_int_equal(catalogue_find(r, &w->nodes[i].key, &place), ERR_OK);
    catalogue_reader_close(r);
    sqlite_vfs_close(vfs);
    segment_name(place.segment, name);
    (void)snprintf(path, sizeof(path), "repo/segments/%s", name);
    assert_int_equal(sim_disk_damage(w->disk, path, place.offset + SEGMENT_FIXED_BYTES + 40, 0x10), ERR_OK);
    open_store(w);
    w->lost = true;
}

/* And reads it: it is quarantined. */
static void damage(struct world *w, size_t i)
{
    if (!w->here[i])
        return;
    spoil(w, i);
    assert_false(is_here(w, i));
    w->here[i] = false;
}

static void restart(struct world *w)
{
    bool clean = prng_below(&w->prng, 2) == 0;
    blockstore_close(w->store, !clean);
    sim_disk_power_cut(w->disk, (enum sim_disk_cut)prng_below(&w->prng, SIM_CUT_COUNT), prng_below(&w->prng, 1000));
    open_store(w);
}

static void remove_block(struct world *w, size_t i)
{
    bool held[NODES];
    reach(w, true, held);
    enum err err = change(w, CHANGE_BLOCK_RM, i, false, 10000);
    if (w->here[i] && !w->lost)
        assert_int_equal(err, held[i] || w->direct[i] ? ERR_DENIED : ERR_OK);
    if (err == ERR_OK)
        w->here[i] = false;
}

static void pin(struct world *w, size_t i, bool recursive)
{
    size_t jobs = prng_below(&w->prng, 2) == 0 ? 1 : 100;
    enum err err = change(w, CHANGE_PIN_ADD, i, recursive, jobs);
    assert_int_equal(err, w->here[i] ? ERR_OK : ERR_NOT_FOUND);
    if (err != ERR_OK)
        return;
    *(recursive ? &w->recursive[i] : &w->direct[i]) = true;
    if (recursive)
        w->direct[i] = false;
}

static void unpin(struct world *w, size_t i, bool recursive)
{
    bool *pinned = recursive ? &w->recursive[i] : &w->direct[i];
    enum err err = change(w, CHANGE_PIN_RM, i, recursive, 1);
    assert_int_equal(err, *pinned ? ERR_OK : ERR_NOT_FOUND);
    *pinned = false;
}

static void random_step(struct world *w, bool damages)
{
    size_t i = (size_t)prng_below(&w->prng, NODES);
    switch (prng_below(&w->prng, 16)) {
    case 0:
    case 1:
    case 2:
        pin(w, i, true);
        break;
    case 3:
        pin(w, i, false);
        break;
    case 4:
    case 5:
        unpin(w, i, true);
        break;
    case 6:
        unpin(w, i, false);
        break;
    case 7:
        remove_block(w, i);
        break;
    case 8:
        collect_and_check(w);
        break;
    case 9:
        restart(w);
        break;
    case 10:
        if (damages)
            damage(w, i);
        break;
    default:
        assert_int_equal(put(w, i), ERR_OK);
        break;
    }
}

static void run_model(uint64_t first, uint64_t count, bool damages)
{
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct world *w = world_new(seed);
        for (int step = 0; step < 150; step++) {
            random_step(w, damages);
            if (step % 5 == 0)
                check_all(w);
        }
        collect_and_check(w);
        check_all(w);
        memset(w->recursive, 0, sizeof(w->recursive));
        world_free(w);
    }
}

static void the_model_agrees(void **state)
{
    (void)state;
    run_model(1, 10, false);
}

static void the_model_agrees_although_blocks_are_damaged(void **state)
{
    (void)state;
    run_model(100, 10, true);
}

/* ---- one thing at a time ---- */

static void put_all(struct world *w)
{
    for (size_t i = 0; i < NODES; i++)
        assert_int_equal(put(w, i), ERR_OK);
    drive(w);
}

static uint64_t rows_that_count(struct world *w)
{
    uint64_t rows = 0;
    sqlite3 *db;
    struct sqlite_vfs *vfs;
    blockstore_close(w->store, false);
    assert_int_equal(sqlite_vfs_open(sim_disk_port(w->disk), &vfs), ERR_OK);
    struct sql_options options = {.path = "repo/blocks.db", .vfs = sqlite_vfs_name(vfs), .cache_kib = 64};
    assert_int_equal(sql_open(&options, &db), ERR_OK);
    assert_int_equal(sql_number(db, "SELECT (SELECT count(*) FROM refs) + (SELECT count(*) FROM ref_queue)", &rows),
                     ERR_OK);
    sql_close(db);
    sqlite_vfs_close(vfs);
    open_store(w);
    return rows;
}

/* With all pins gone all counts are gone, whatever was done before; and everything is collected. */
static void what_was_pinned_leaves_no_trace(void **state)
{
    (void)state;
    struct world *w = world_new(7);
    put_all(w);
    for (size_t i = LEAVES; i < NODES; i += 3)
        pin(w, i, true);
    collect_and_check(w);
    for (size_t i = LEAVES; i < NODES; i += 3)
        unpin(w, i, true);
    collect_and_check(w);
    assert_int_equal(blockstore_stats(w->store).blocks, 0);
    assert_int_equal(blockstore_stats(w->store).live_bytes, 0);
    assert_int_equal(rows_that_count(w), 0);
    world_free(w);
}

static bool links_to(const struct node *node, size_t child)
{
    for (size_t n = 0; n < node->link_count; n++) {
        if (node->links[n] == child)
            return true;
    }
    return false;
}

/* A block below a pin is stored later: what it links to is held from then on, before any collection. */
static void a_block_that_comes_later_holds_its_links(void **state)
{
    (void)state;
    struct world *w = world_new(15);
    unsigned tried = 0;
    for (size_t root = LEAVES; root < NODES; root++) {
        size_t child = w->nodes[root].links[0];
        size_t below = child < LEAVES ? 0 : w->nodes[child].links[0];
        if (child < LEAVES || links_to(&w->nodes[root], below))
            continue;
        tried++;
        assert_int_equal(put(w, root), ERR_OK);
        assert_int_equal(put(w, below), ERR_OK);
        pin(w, root, true);
        drive(w);
        assert_int_equal(put(w, child), ERR_OK);
        drive(w);
        assert_int_equal(change(w, CHANGE_BLOCK_RM, below, false, 10000), ERR_DENIED);
        unpin(w, root, true);
        collect_and_check(w);
    }
    assert_true(tried > 5);
    world_free(w);
}

/* A block comes, and its pin goes before its links were counted: it holds nothing, and nothing is held for ever. */
static void a_block_that_comes_too_late_holds_nothing(void **state)
{
    (void)state;
    struct world *w = world_new(16);
    for (size_t root = LEAVES; root < NODES; root++) {
        size_t child = w->nodes[root].links[0];
        size_t below = child < LEAVES ? 0 : w->nodes[child].links[0];
        if (child < LEAVES)
            continue;
        assert_int_equal(put(w, root), ERR_OK);
        assert_int_equal(put(w, below), ERR_OK);
        pin(w, root, true);
        drive(w);
        assert_int_equal(put(w, child), ERR_OK); /* has its row with the commit of the unpin */
        unpin(w, root, true);
        drive(w);
        assert_int_equal(change(w, CHANGE_BLOCK_RM, below, false, 10000), ERR_OK);
        w->here[below] = false;
        collect_and_check(w);
    }
    world_free(w);
}

/* Each of two roots holds what both reach: when one goes, nothing below the other may be removed, not even before a collection. */
static void what_two_pins_share_is_held_by_each(void **state)
{
    (void)state;
    struct world *w = world_new(17);
    bool held[NODES];
    put_all(w);
    for (size_t other = NODES - 8; other < NODES - 1; other++) {
        pin(w, other, true);
        pin(w, NODES - 1, true);
        drive(w);
        unpin(w, NODES - 1, true);
        drive(w);
        reach(w, true, held);
        for (size_t i = 0; i < NODES; i++)
            assert_true(!held[i] || change(w, CHANGE_BLOCK_RM, i, false, 10000) == ERR_DENIED);
        unpin(w, other, true);
        drive(w);
    }
    collect_and_check(w);
    assert_int_equal(blockstore_stats(w->store).blocks, 0);
    world_free(w);
}

/* Counting reads the blocks that it counts the links of: it is not only gets that find damage. */
static void damage_that_counting_meets_is_quarantined(void **state)
{
    (void)state;
    struct world *w = world_new(18);
    size_t root = NODES - 1;
    while (w->nodes[root].links[0] < LEAVES)
        root--;
    size_t child = w->nodes[root].links[0];
    put_all(w);
    spoil(w, child);
    pin(w, root, true);
    drive(w);
    assert_int_equal(blockstore_stats(w->store).quarantined, 1);
    w->here[child] = false;
    check_all(w);
    collect_and_check(w);
    world_free(w);
}

/* The disk cannot read for a while: what the pin holds is counted before the next collection, when it can again. */
static void what_could_not_be_read_is_counted_later(void **state)
{
    (void)state;
    struct world *w = world_new(22);
    put_all(w);
    assert_int_equal(change(w, CHANGE_PIN_ADD, NODES - 1, true, 1), ERR_OK);
    w->recursive[NODES - 1] = true;
    sim_disk_fail(w->disk, SIM_FAULT_READ_IO, 0, 1000);
    test_drive(w->store, 1);
    sim_disk_fail(w->disk, SIM_FAULT_READ_IO, 0, 0);
    collect_and_check(w);
    world_free(w);
}

/* Nobody has to ask again, and no time has to pass. */
static void a_removal_waits_for_the_counting_and_no_longer(void **state)
{
    (void)state;
    struct world *w = world_new(19);
    struct test_change t;
    put_all(w);
    assert_int_equal(change(w, CHANGE_PIN_ADD, NODES - 1, true, 1), ERR_OK);
    assert_true(blockstore_stats(w->store).counting);
    start_change(w, &t, CHANGE_BLOCK_RM, w->nodes[NODES - 1].links[0], false);
    test_drive(w->store, 10000);
    assert_true(t.done);
    assert_int_equal(t.err, ERR_DENIED);
    world_free(w);
}

/* A block is let go whose links cannot be read any more: what hangs on it goes all the same, once it is counted anew. */
static void counts_that_leaked_are_counted_anew(void **state)
{
    (void)state;
    for (size_t root = NODES - 6; root < NODES; root++) {
        struct world *w = world_new(root);
        size_t other = root == NODES - 1 ? LEAVES : root + 1;
        put_all(w);
        pin(w, other, true); /* is counted anew, too, and holds what it held */
        pin(w, root, true);
        drive(w);
        size_t child = w->nodes[root].links[0];
        damage(w, child);
        check_all(w);
        unpin(w, root, true);
        collect_and_check(w);
        unpin(w, other, true);
        collect_and_check(w);
        assert_int_equal(blockstore_stats(w->store).blocks, 0);
        world_free(w);
    }
}

/* blocks.db is lost: pins come back from their journal, are counted anew, and hold what they held. */
static void a_catalogue_made_anew_counts_its_pins(void **state)
{
    (void)state;
    struct world *w = world_new(8);
    put_all(w);
    for (size_t i = LEAVES; i < NODES; i += 5)
        pin(w, i, true);
    blockstore_close(w->store, false);
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(port->unlink(port->self, "repo/blocks.db"), ERR_OK);
    open_store(w);
    check_all(w);
    collect_and_check(w);
    world_free(w);
}

static void an_identity_root_holds_what_it_links_to(void **state)
{
    (void)state;
    struct world *w = world_new(9);
    struct cid root = wrapped(&w->nodes[NODES - 1].cid);
    struct test_change t = {.op = {.done = test_change_done}};
    put_all(w);
    t.op.change.kind = CHANGE_PIN_ADD;
    t.op.change.recursive = true;
    t.op.change.cid_len = (uint8_t)cid_encode(&root, t.op.change.cid);
    blockstore_change(w->store, &t.op);
    drive(w);
    assert_int_equal(t.err, ERR_OK);
    bool must[NODES];
    w->recursive[NODES - 1] = true; /* as good as */
    reach(w, false, must);
    (void)collect(w, false);
    for (size_t i = 0; i < NODES; i++)
        assert_int_equal(is_here(w, i), must[i]);
    world_free(w);
}

/* A pin that is committed after the page was looked at, and before it is removed, wins. */
static void a_pin_wins_over_a_collection(void **state)
{
    (void)state;
    struct world *w = world_new(10);
    size_t root = NODES - 1;
    struct collection c = {.op = {.done = collected}};
    struct test_change t;
    put_all(w);
    blockstore_collect(w->store, &c.op);
    test_drive(w->store, 2); /* begin, scan: all are found to be dead */
    assert_false(c.done);
    start_change(w, &t, CHANGE_PIN_ADD, root, true);
    drive(w);
    assert_true(t.done && c.done);
    assert_int_equal(t.err, ERR_OK);
    assert_int_equal(c.err, ERR_OK);
    w->recursive[root] = true;
    bool must[NODES];
    reach(w, false, must);
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal(is_here(w, i), must[i]);
        w->here[i] = must[i];
    }
    collect_and_check(w);
    world_free(w);
}

/* While a block is being removed, a put of it is not answered with what is about to go. */
static void a_put_waits_for_the_removal_of_its_block(void **state)
{
    (void)state;
    struct world *w = world_new(11);
    struct collection c = {.op = {.done = collected}};
    struct test_op again = test_op_for(&w->nodes[3].key);
    struct test_op read = test_op_for(&w->nodes[3].key);
    uint64_t size;
    put_all(w);
    blockstore_collect(w->store, &c.op);
    test_drive(w->store, 2);
    struct store_job *removal = blockstore_next_job(w->store);
    assert_non_null(removal);
    struct block_ref *ref = block_ref_copy(span_of(w->nodes[3].bytes, w->nodes[3].len), NULL);
    blockstore_put(w->store, &again.op, ref);
    block_ref_unref(ref);
    blockstore_get(w->store, &read.op);
    assert_false(again.done || read.done);
    assert_int_equal(blockstore_has(w->store, &w->nodes[3].key, &size, NULL), ERR_NOT_FOUND);
    blockstore_job_done(w->store, removal, store_job_run(removal));
    drive(w);
    assert_true(c.done && again.done && read.done);
    assert_int_equal(again.err, ERR_OK);
    assert_false(again.op.existed);
    assert_true(is_here(w, 3));
    block_ref_unref(read.op.ref);
    world_free(w);
}

static void a_lease_keeps_what_is_added_and_what_is_touched(void **state)
{
    (void)state;
    struct world *w = world_new(12);
    uint64_t lease = 0;
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(put(w, i), ERR_OK);
    drive(w);
    assert_int_equal(blockstore_lease_open(w->store, &lease), ERR_OK);
    assert_int_equal(put(w, 3), ERR_OK); /* is there already */
    blockstore_keep(w->store, &w->nodes[4].key);
    for (size_t i = 10; i < 15; i++)
        assert_int_equal(put(w, i), ERR_OK);
    drive(w);
    (void)collect(w, false);
    for (size_t i = 0; i < 15; i++) {
        w->here[i] = i == 3 || i == 4 || i >= 10;
        assert_int_equal(is_here(w, i), w->here[i]);
    }
    blockstore_lease_close(w->store, lease);
    blockstore_lease_close(w->store, lease); /* is ignored */
    collect_and_check(w);
    assert_int_equal(blockstore_stats(w->store).blocks, 0);
    uint64_t last = 0;
    for (size_t i = 0; i < LEASES_MAX; i++)
        assert_int_equal(blockstore_lease_open(w->store, &last), ERR_OK);
    assert_int_equal(blockstore_lease_open(w->store, &lease), ERR_BUSY);
    world_free(w);
}

/* The removal fails: what waited for it goes on with what is still there. */
static void a_removal_that_fails_holds_up_nobody(void **state)
{
    (void)state;
    struct world *w = world_new(20);
    struct collection c = {.op = {.done = collected}};
    struct test_op read = test_op_for(&w->nodes[3].key);
    put_all(w);
    blockstore_collect(w->store, &c.op);
    test_drive(w->store, 2);
    struct store_job *removal = blockstore_next_job(w->store);
    assert_non_null(removal);
    blockstore_get(w->store, &read.op);
    assert_false(read.done);
    sim_disk_fail(w->disk, SIM_FAULT_WRITE_IO, 0, 1);
    blockstore_job_done(w->store, removal, store_job_run(removal));
    sim_disk_fail(w->disk, SIM_FAULT_WRITE_IO, 0, 0);
    test_drive(w->store, 10000);
    assert_true(c.done && read.done);
    assert_int_not_equal(c.err, ERR_OK);
    assert_int_equal(read.err, ERR_OK);
    block_ref_unref(read.op.ref);
    check_all(w);
    collect_and_check(w);
    world_free(w);
}

/* While it is not known what the pins hold, a dry run names nothing. */
static void a_dry_run_waits_for_the_counting(void **state)
{
    (void)state;
    struct world *w = world_new(21);
    struct collection c = {.op = {.done = collected, .dry_run = true}};
    bool held[NODES];
    size_t dead = 0;
    put_all(w);
    w->recursive[NODES - 1] = true;
    reach(w, true, held);
    for (size_t i = 0; i < NODES; i++)
        dead += !held[i];
    assert_int_equal(change(w, CHANGE_PIN_ADD, NODES - 1, true, 1), ERR_OK);
    sim_disk_fail(w->disk, SIM_FAULT_WRITE_IO, 0, 1);
    test_drive(w->store, 1);
    sim_disk_fail(w->disk, SIM_FAULT_WRITE_IO, 0, 0);
    blockstore_collect(w->store, &c.op);
    test_drive(w->store, 10000);
    assert_false(c.done);
    assert_true(blockstore_stats(w->store).counting);
    drive(w);
    assert_true(c.done);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(c.gone, dead);
    world_free(w);
}

/* ---- more than a page ---- */

enum { MANY = 1100 }; /* a page has 1024 rows */

static void put_many(struct world *w)
{
    for (uint64_t n = 0; n < MANY; n++) {
        struct block_key key = {0};
        test_key(span_of(&n, sizeof(n)), &key);
        assert_int_equal(test_put(w->store, &key, span_of(&n, sizeof(n)), NULL), ERR_OK);
    }
}

/* What has no row yet is collected, too; and the space comes back by itself, also when nobody looked for any for a while. */
static void it_goes_page_by_page(void **state)
{
    (void)state;
    struct world *w = world_new(14);
    assert_int_equal(put(w, 2), ERR_OK);
    pin(w, 2, false);
    for (int round = 0; round < 2; round++) {
        put_many(w);
        for (int i = 0; i < 3 * round; i++)
            drive(w);
        uint64_t before = blockstore_stats(w->store).disk_bytes;
        struct collection c = {.op = {.done = collected}};
        unsigned pages = 0;
        do {
            c.done = false;
            blockstore_collect(w->store, &c.op);
            test_drive(w->store, 10000);
            assert_true(c.done);
            assert_int_equal(c.err, ERR_OK);
            pages++;
        } while (c.op.after.len > 0);
        assert_int_equal(c.gone, MANY);
        assert_int_equal(pages, 2);
        for (int i = 0; i < 8; i++) /* a segment in two of them */
            drive(w);
        assert_true(blockstore_stats(w->store).disk_bytes < before / 2);
        check_all(w);
    }
    world_free(w);
}

static void it_collects_by_itself_at_the_watermark(void **state)
{
    (void)state;
    struct world *w = world_new(13);
    blockstore_close(w->store, false);
    w->storage_max = 1 * MIB;
    w->watermark = 1; /* 10 KiB */
    open_store(w);
    assert_int_equal(put(w, 2), ERR_OK);
    pin(w, 2, false);
    for (unsigned round = 1; round <= 2; round++) { /* and again, when it has grown again */
        put_many(w);
        drive(w);
        drive(w);
        assert_int_equal(w->notices, round);
        assert_int_equal(blockstore_stats(w->store).blocks, 1);
        assert_true(is_here(w, 2));
    }
    world_free(w);
}

/* ---- leases ---- */

static struct block_place place_at(uint64_t segment, uint64_t offset)
{
    struct block_place place = {.segment = segment, .offset = offset};
    test_key(span_of(&offset, sizeof(offset)), &place.key);
    return place;
}

static bool protects(const struct leases *leases, uint64_t segment, uint64_t offset)
{
    struct block_place place = place_at(segment, offset);
    return leases_protect(leases, &place);
}

static void a_lease_protects_what_lies_behind_its_beginning(void **state)
{
    (void)state;
    struct leases leases;
    uint64_t early = 0;
    uint64_t late = 0;
    struct block_place touched = place_at(1, 7);
    leases_init(&leases, 1, NULL);
    assert_false(protects(&leases, 9, 9));
    assert_int_equal(leases_open(&leases, 3, 100, &early), ERR_OK);
    assert_int_equal(leases_open(&leases, 5, 0, &late), ERR_OK);
    assert_true(protects(&leases, 3, 100) && protects(&leases, 4, 0) && protects(&leases, 5, 0));
    assert_false(protects(&leases, 3, 99) || protects(&leases, 2, 500));
    leases_touch(&leases, &touched.key);
    assert_true(leases_protect(&leases, &touched));
    leases_close(&leases, early);
    assert_false(protects(&leases, 4, 0));
    assert_true(leases_protect(&leases, &touched)); /* perhaps by the other */
    leases_close(&leases, late);
    assert_int_equal(leases_open(&leases, 5, 0, &late), ERR_OK);
    assert_false(leases_protect(&leases, &touched));
    leases_release(&leases);
}

/* Without memory to note what is touched, everything counts as touched, until the leases have ended. */
static void without_memory_a_lease_protects_everything(void **state)
{
    (void)state;
    struct leases leases;
    struct account account;
    struct block_place touched = place_at(1, 7);
    uint64_t lease = 0;
    account_init(&account, "tables", 1);
    leases_init(&leases, 1, &account);
    assert_int_equal(leases_open(&leases, 3, 100, &lease), ERR_OK);
    leases_touch(&leases, &touched.key);
    assert_true(protects(&leases, 1, 8));
    leases_close(&leases, lease);
    assert_int_equal(leases_open(&leases, 3, 100, &lease), ERR_OK);
    assert_false(protects(&leases, 1, 8));
    leases_release(&leases);
}

/* Each write of counting and collecting fails once; what comes after makes it good. */
static void a_fault_at_each_point_is_made_good(void **state)
{
    (void)state;
    static const enum sim_disk_fault faults[] = {SIM_FAULT_WRITE_IO, SIM_FAULT_SYNC_IO, SIM_FAULT_WRITE_NO_SPACE};
    for (uint64_t n = 0; n < 60; n++) {
        struct world *w = world_new(200 + n);
        put_all(w);
        sim_disk_fail(w->disk, faults[n % ARRAY_LEN(faults)], n / ARRAY_LEN(faults), 1);
        for (size_t i = LEAVES; i < NODES; i += 4) {
            enum err err = change(w, CHANGE_PIN_ADD, i, true, 1);
            w->recursive[i] = err == ERR_OK;
            if (i % 8 != 0 || !w->recursive[i])
                continue;
            w->recursive[i] = change(w, CHANGE_PIN_RM, i, true, 1) != ERR_OK;
        }
        struct collection c = {.op = {.done = collected}};
        blockstore_collect(w->store, &c.op);
        drive(w);
        drive(w);
        assert_true(c.done);
        sim_disk_fail(w->disk, faults[n % ARRAY_LEN(faults)], 0, 0);
        if (n % 2 == 0)
            restart(w);
        for (size_t i = 0; i < NODES; i++)
            w->here[i] = is_here(w, i);
        bool must[NODES];
        reach(w, false, must);
        for (size_t i = 0; i < NODES; i++)
            assert_true(w->here[i] || !must[i]);
        collect_and_check(w);
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_agrees),
        cmocka_unit_test(the_model_agrees_although_blocks_are_damaged),
        cmocka_unit_test(what_was_pinned_leaves_no_trace),
        cmocka_unit_test(a_block_that_comes_later_holds_its_links),
        cmocka_unit_test(a_block_that_comes_too_late_holds_nothing),
        cmocka_unit_test(what_two_pins_share_is_held_by_each),
        cmocka_unit_test(damage_that_counting_meets_is_quarantined),
        cmocka_unit_test(what_could_not_be_read_is_counted_later),
        cmocka_unit_test(a_removal_waits_for_the_counting_and_no_longer),
        cmocka_unit_test(counts_that_leaked_are_counted_anew),
        cmocka_unit_test(a_catalogue_made_anew_counts_its_pins),
        cmocka_unit_test(an_identity_root_holds_what_it_links_to),
        cmocka_unit_test(a_pin_wins_over_a_collection),
        cmocka_unit_test(a_put_waits_for_the_removal_of_its_block),
        cmocka_unit_test(a_lease_keeps_what_is_added_and_what_is_touched),
        cmocka_unit_test(a_removal_that_fails_holds_up_nobody),
        cmocka_unit_test(a_dry_run_waits_for_the_counting),
        cmocka_unit_test(it_goes_page_by_page),
        cmocka_unit_test(it_collects_by_itself_at_the_watermark),
        cmocka_unit_test(a_lease_protects_what_lies_behind_its_beginning),
        cmocka_unit_test(without_memory_a_lease_protects_everything),
        cmocka_unit_test(a_fault_at_each_point_is_made_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
