/* SPDX-License-Identifier: MIT */
/*
 * One life of a store, run again and again with the n-th call of one kind failing, for each n until none failed: allocations, statements of
 * SQLite, writes, syncs, reads, a full disk. Whoever asks is told of it and asks again, as people do; what fails once must work in the end.
 * Then the power goes, and on a healthy disk everything acknowledged is there, nothing removed is, and no byte is wrong.
 *
 * Each kind goes in strides of a prime, so that the whole takes seconds; make long lets every call fail.
 *
 * Not here: bits that flip on reading. A page of SQLite has no checksum, so nothing is promised of those; test_integrity and test_blockstore
 * flip bits of segments.
 */
#include "tests/support/stubborn.h"

#include <signal.h>
#include <unistd.h>

enum { PINNED_LEAF = 5, DEAD_FIRST = 6, SEGMENTS_MAX = 40, PIECE = 5000, COLD_STRIDES = 10 };

/* ---- collections and verifications, page by page ---- */

struct paged {
    struct store_collect_op collect;
    struct store_verify_op verify;
    bool done;
    enum err err;
    size_t found;
};

static void collected(struct store_collect_op *op, enum err err)
{
    struct paged *p = CONTAINER_OF(op, struct paged, collect);
    p->done = true;
    p->err = err;
    p->found += op->gone_count;
}

static void verified(struct store_verify_op *op, enum err err)
{
    struct paged *p = CONTAINER_OF(op, struct paged, verify);
    p->done = true;
    p->err = err;
    p->found += op->bad_count;
}

static void collect(struct world *w)
{
    struct block_key after = {0};
    for (unsigned tries = 0;;) {
        struct paged p = {.collect = {.done = collected, .after = after}};
        blockstore_collect(w->store, &p.collect);
        wait_for(w, &p.done);
        if (again(w, &tries, p.done, p.err))
            continue;
        after = p.collect.after;
        if (after.len == 0)
            return;
    }
}

static size_t verify(struct world *w)
{
    struct block_key after = {0};
    size_t bad = 0;
    for (unsigned tries = 0;;) {
        struct paged p = {.verify = {.done = verified, .after = after, .limit = 7}};
        blockstore_verify(w->store, &p.verify);
        wait_for(w, &p.done);
        if (again(w, &tries, p.done, p.err))
            continue;
        after = p.verify.after;
        bad += p.found;
        if (after.len == 0)
            return bad;
    }
}

/* ---- damage ---- */

static size_t item_of(const struct world *w, const struct block_key *key)
{
    size_t i = 0;
    while (i < ITEMS && !block_key_equal(key, &w->items[i].key))
        i++;
    assert_true(i < ITEMS);
    return i;
}

/* Peers have everything. */
static void answer_heals(struct world *w)
{
    while (w->wanted_count > 0) {
        struct heal_call call = w->wanted[--w->wanted_count];
        put(w, item_of(w, &call.key), 1);
        blockstore_healed(w->store, call.id);
    }
}

static void damage(struct world *w, size_t i)
{
    char name[64];
    char path[80];
    struct block_facts facts = {0};
    unsigned tries = 0;
    while (again(w, &tries, true, blockstore_facts(w->store, &w->items[i].key, &facts)) || facts.segment == 0)
        (void)turn(w);
    segment_name(facts.segment, name);
    (void)snprintf(path, sizeof(path), "repo/segments/%s", name);
    assert_int_equal(sim_disk_damage(w->disk, path, facts.offset + SEGMENT_FIXED_BYTES + 40, 0x10), ERR_OK);
}

/* A damaged block is found and comes back. */
static void decay(struct world *w, size_t i)
{
    struct item *item = &w->items[i];
    damage(w, i);
    item->stored = false;
    (void)verify(w);
    for (unsigned turns = 0; !item->stored; turns++) {
        assert_true(turns < TURNS_MAX);
        (void)turn(w);
        answer_heals(w);
    }
}

/* ---- backups ---- */

struct backup {
    struct store_backup_op open;
    struct store_piece_op piece;
    bool done;
    enum err err;
};

static void opened(struct store_backup_op *op, enum err err)
{
    struct backup *b = CONTAINER_OF(op, struct backup, open);
    b->done = true;
    b->err = err;
}

static void piece_read(struct store_piece_op *op, enum err err)
{
    struct backup *b = CONTAINER_OF(op, struct backup, piece);
    b->done = true;
    b->err = err;
}

/* One file of the backup, onto a healthy disk; false when the backup or the file is not there. */
static bool copy_file(struct world *w, uint64_t id, uint64_t segment, const struct disk_port *to, const char *path)
{
    struct disk_file *file = NULL;
    uint64_t offset = 0;
    size_t len = PIECE;
    for (unsigned tries = 0; len == PIECE;) {
        struct backup b = {
            .piece = {.done = piece_read, .backup = id, .segment = segment, .offset = offset, .length = PIECE}};
        blockstore_backup_read(w->store, &b.piece);
        wait_for(w, &b.done);
        if (b.done && b.err == ERR_NOT_FOUND) {
            to->close(file);
            return false;
        }
        if (again(w, &tries, b.done, b.err))
            continue;
        struct iovec iov = {.iov_base = b.piece.ref->data, .iov_len = len = b.piece.ref->len};
        failing_paused = true;
        if (file == NULL)
            assert_int_equal(to->open(to->self, path, DISK_WRITE | DISK_CREATE, &file), ERR_OK);
        assert_int_equal(to->pwritev(file, &iov, 1, offset), ERR_OK);
        failing_paused = false;
        offset += len;
        block_ref_unref(b.piece.ref);
    }
    to->close(file);
    return true;
}

static bool copy_all(struct world *w, uint64_t id, const struct disk_port *to)
{
    char path[64];
    bool whole = copy_file(w, id, 0, to, "repo/blocks.db");
    for (uint64_t segment = 1; whole && segment < SEGMENTS_MAX; segment++) {
        (void)snprintf(path, sizeof(path), "repo/segments/%016llx.seg", (unsigned long long)segment);
        (void)copy_file(w, id, segment, to, path);
    }
    return whole;
}

static struct sim_disk *new_disk(uint64_t seed)
{
    struct sim_disk *disk = sim_disk_new(seed, 64 * MIB);
    const struct disk_port *port = sim_disk_port(disk);
    assert_int_equal(port->make_dir(port->self, "repo"), ERR_OK);
    assert_int_equal(port->sync_dir(port->self, "/"), ERR_OK);
    return disk;
}

static void check_rest(struct world *w);

/* The copy as a store of its own has everything that was there. */
static void back_up(struct world *w)
{
    struct world copy = {.tries = 1};
    bool whole = false;
    uint64_t id = 0;
    failing_paused = true;
    copy.disk = new_disk(9);
    assert_int_equal(sim_disk_port(copy.disk)->make_dir(sim_disk_port(copy.disk)->self, "repo/segments"), ERR_OK);
    failing_paused = false;
    for (unsigned tries = 0; !whole;) {
        struct backup b = {.open = {.done = opened}};
        blockstore_backup_open(w->store, &b.open);
        wait_for(w, &b.done);
        if (again(w, &tries, b.done, b.err))
            continue;
        id = b.open.id;
        whole = copy_all(w, id, sim_disk_port(copy.disk));
    }
    blockstore_backup_close(w->store, id);
    failing_paused = true;
    memcpy(copy.items, w->items, sizeof(copy.items));
    copy.now = w->now;
    start(&copy);
    check_rest(&copy);
    blockstore_close(copy.store, false);
    sim_disk_free(copy.disk);
    failing_paused = false;
}

/* ---- what must be true ---- */

static void look(struct world *w)
{
    for (size_t i = 0; i < ITEMS; i++) {
        has(w, i);
        get(w, i);
    }
}

static void check_pins(struct world *w)
{
    struct pin_row rows[ITEMS + 2];
    size_t count = 0;
    uint64_t pins = 0;
    assert_int_equal(blockstore_pins(w->store, (struct span){0}, rows, ITEMS, &count), ERR_OK);
    for (size_t i = 0; i < ITEMS; i++) {
        struct pin_state state;
        assert_int_equal(blockstore_pin_state(w->store, &w->items[i].cid, &state), ERR_OK);
        assert_int_equal(state.direct || state.recursive, w->items[i].pinned);
        pins += w->items[i].pinned;
    }
    assert_int_equal(count, pins);
    assert_int_equal(blockstore_stats(w->store).pins, pins);
}

/* Nothing fails any more. */
static void check_rest(struct world *w)
{
    uint64_t stored = 0;
    look(w);
    check_pins(w);
    assert_int_equal(verify(w), 0);
    collect(w); /* whatever the pins hold stays */
    for (size_t i = 0; i < ITEMS; i++) {
        uint64_t size;
        bool held = i < KEPT || i == BRANCH ? w->items[ROOT].pinned : w->items[i].pinned;
        w->items[i].stored = held && w->items[i].stored;
        stored += w->items[i].stored;
        assert_int_equal(blockstore_has(w->store, &w->items[i].key, &size, NULL),
                         w->items[i].stored ? ERR_OK : ERR_NOT_FOUND);
    }
    look(w);
    struct blockstore_stats stats = blockstore_stats(w->store);
    assert_true(stats.blocks <= stored && stats.blocks + stats.cold_blocks >= stored);
    assert_true(w->cold != NULL || stats.blocks == stored);
    assert_int_equal(blockstore_stats(w->store).quarantined, 0);
    assert_false(w->fatal);
}

/* ---- lives ---- */

static void first_days(struct world *w)
{
    start(w);
    put(w, 0, 10);
    for (size_t i = 10; i < ITEMS; i++)
        put(w, i, 1);
    put(w, 0, 1);
    look(w);
    pin(w, ROOT);
    pin(w, LONELY);
    pin(w, PINNED_LEAF);
    (void)turn(w);
    unpin(w, LONELY);
    look(w);
}

/* The power goes as soon as a pin is acknowledged, before it is counted what it holds. */
static void pin_and_die(struct world *w, size_t i)
{
    struct test_change t = change_on(w, CHANGE_PIN_ADD, i);
    blockstore_change(w->store, &t.op);
    test_drive(w->store, 1);
    if (t.done && t.err == ERR_OK)
        w->items[i].pinned = true;
    restart(w, false, SIM_CUT_PREFIX);
    if (!w->items[i].pinned)
        pin(w, i);
}

static void whole_life(struct world *w)
{
    plan(w, true);
    first_days(w);
    back_up(w);
    for (size_t i = DEAD_FIRST; i < LEAVES; i++)
        remove_block(w, i);
    unpin(w, ROOT);
    pin_and_die(w, ROOT);
    collect(w);
    w->items[LONELY].stored = false;
    w->items[4].stored = false;
    for (int i = 0; i < 20; i++) /* compaction */
        (void)turn(w);
    look(w);
    decay(w, 0);
    put(w, DEAD_FIRST, 2);
    restart(w, true, SIM_CUT_KEEP);
    put(w, DEAD_FIRST + 2, 1);
    look(w);
}

/* The catalogue is made anew from the segments and the journal of pins. */
static void rebuilt_life(struct world *w)
{
    first_days(w);
    blockstore_close(w->store, false);
    assert_int_equal(sim_disk_damage(w->disk, "repo/blocks.db", 3, 0xff), ERR_OK); /* in "SQLite format 3" */
    plan(w, true);
    start(w);
    look(w);
    put(w, 0, 1);
}

/* ---- a cold tier ---- */

static struct test_cold the_cold;

/* Until it is only there. */
static void demote(struct world *w, size_t i)
{
    for (unsigned turns = 0;; turns++) {
        const char *tier = "";
        uint64_t size = 0;
        enum err err = blockstore_has(w->store, &w->items[i].key, &size, &tier);
        if (err == ERR_OK && strcmp(tier, "cold") == 0)
            return;
        assert_true(turns < TURNS_MAX);
        assert_true(err == ERR_OK || is_clean(err));
        err = blockstore_demote(w->store, &w->items[i].key, 1);
        assert_true(err == ERR_OK || is_clean(err));
        (void)turn(w);
    }
}

static void promote(struct world *w, size_t i)
{
    for (unsigned tries = 0;;) {
        struct test_op t = test_op_for(&w->items[i].key);
        blockstore_promote(w->store, &t.op);
        wait_for(w, &t.done);
        if (!again(w, &tries, t.done, t.err))
            return;
    }
}

static void begin_cold(struct world *w)
{
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(port->make_dir(port->self, "/cold"), ERR_OK);
    assert_int_equal(port->sync_dir(port->self, "/"), ERR_OK);
    assert_true(test_cold_open(&the_cold, port, "/cold", NULL));
    the_cold.page = 3;
    w->cold = &the_cold;
    start(w);
    put(w, 0, ITEMS);
    pin(w, ROOT);
    restart(w, true, SIM_CUT_KEEP); /* nothing is in memory */
}

static void cold_life(struct world *w)
{
    begin_cold(w);
    plan(w, true);
    for (size_t i = 0; i < LEAVES; i++)
        demote(w, i);
    demote(w, LONELY);
    look(w);
    promote(w, 1);
    pin(w, LONELY); /* a cold node is counted */
    for (size_t i = DEAD_FIRST; i < LEAVES; i++)
        remove_block(w, i);
    for (int i = 0; i < 70; i++) /* the pack is thin now */
        (void)turn(w);
    restart(w, false, SIM_CUT_DROP);
    look(w);
}

/* The catalogue is lost, and the packs are found again. */
static void cold_rebuilt_life(struct world *w)
{
    const struct disk_port *port = sim_disk_port(w->disk);
    begin_cold(w);
    for (size_t i = 0; i < KEPT; i++)
        demote(w, i);
    blockstore_close(w->store, false);
    test_cold_end_life(w->cold);
    assert_int_equal(port->unlink(port->self, "repo/blocks.db"), ERR_OK);
    (void)port->unlink(port->self, "repo/blocks.db-wal");
    plan(w, true);
    start(w);
    for (int i = 0; i < 100; i++)
        (void)turn(w);
    look(w);
}

/* ---- all of them ---- */

enum { RUN_SECONDS_MAX = 120 }; /* a run takes some 20 ms */

static char where[120]; /* said when a run goes wrong */

static const char *life_name(void (*life)(struct world *))
{
    return life == whole_life     ? "whole life"
           : life == rebuilt_life ? "rebuilt"
           : life == cold_life    ? "cold tier"
                                  : "cold tier, rebuilt";
}

static void took_too_long(int signal)
{
    (void)signal;
    (void)!write(STDERR_FILENO, where, strlen(where));
    abort();
}

/* True when something failed. */
static bool run(void (*life)(struct world *), const struct failure *failure, uint64_t skip)
{
    struct world *w = calloc(1, sizeof(*w));
    (void)snprintf(where, sizeof(where), "%s, %s: %llu in a row after %llu\n", life_name(life), failure->name,
                   (unsigned long long)failure->count, (unsigned long long)skip);
    (void)alarm(RUN_SECONDS_MAX);
    w->disk = new_disk(skip + 1);
    w->now = 1000 * SECOND_NS;
    w->failure = failure;
    w->skip = skip;
    w->tries = (unsigned)failure->count + TRIES_SPARE;
    make_items(w);
    life(w);
    bool struck = failure_struck(failure, w->disk);
    plan(w, false);
    restart(w, false, (enum sim_disk_cut)(skip % SIM_CUT_COUNT));
    check_rest(w);
    blockstore_close(w->store, false);
    if (w->cold != NULL)
        test_cold_close(w->cold);
    for (size_t i = 0; i < ITEMS; i++)
        block_ref_unref(w->items[i].ref);
    sim_disk_free(w->disk);
    free(w);
    (void)alarm(0);
    where[0] = '\0';
    return struck;
}

static void fail_each(void (*life)(struct world *), const struct failure *failure)
{
    struct failure_share share = failure_share(failure);
    uint64_t skip = share.first;
    while (run(life, failure, skip))
        skip += share.stride;
    assert_true(skip > share.first);
    print_message("%s, %s, %llu in a row: %llu runs, the last with %llu calls before\n", life_name(life), failure->name,
                  (unsigned long long)failure->count, (unsigned long long)((skip - share.first) / share.stride),
                  (unsigned long long)skip);
}

static void fail_all(const struct failure *failures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct failure wide = failures[i];
        wide.stride *= COLD_STRIDES;
        fail_each(whole_life, &failures[i]);
        fail_each(rebuilt_life, &failures[i]);
        fail_each(cold_life, &wide);
        fail_each(cold_rebuilt_life, &wide);
    }
}

static void allocations_fail(void **state)
{
    (void)state;
    static const struct failure failures[] = {
        {.name = "allocation", .is_call = true, .call = FAIL_ALLOCATION, .count = 1, .stride = 1301},
        {.name = "allocation", .is_call = true, .call = FAIL_ALLOCATION, .count = 4, .stride = 2999},
    };
    fail_all(failures, ARRAY_LEN(failures));
}

static void statements_fail(void **state)
{
    (void)state;
    static const struct failure failures[] = {
        {.name = "SQLITE_IOERR", .is_call = true, .call = FAIL_SQL, .sql_code = SQLITE_IOERR, .count = 1, .stride = 89},
        {.name = "SQLITE_FULL", .is_call = true, .call = FAIL_SQL, .sql_code = SQLITE_FULL, .count = 1, .stride = 97},
        {.name = "SQLITE_NOMEM", .is_call = true, .call = FAIL_SQL, .sql_code = SQLITE_NOMEM, .count = 3, .stride = 71},
    };
    fail_all(failures, ARRAY_LEN(failures));
}

static void the_disk_fails(void **state)
{
    (void)state;
    static const struct failure failures[] = {
        {.name = "write", .fault = SIM_FAULT_WRITE_IO, .count = 1, .stride = 41},
        {.name = "sync", .fault = SIM_FAULT_SYNC_IO, .count = 1, .stride = 1},
        {.name = "sync of a folder", .fault = SIM_FAULT_SYNC_DIR_IO, .count = 1, .stride = 1},
        {.name = "read", .fault = SIM_FAULT_READ_IO, .count = 1, .stride = 71},
    };
    fail_all(failures, ARRAY_LEN(failures));
}

static void the_disk_is_full(void **state)
{
    (void)state;
    static const struct failure failures[] = {
        {.name = "space", .fault = SIM_FAULT_WRITE_NO_SPACE, .count = 1, .stride = 41},
        {.name = "space", .fault = SIM_FAULT_WRITE_NO_SPACE, .count = 12, .stride = 89},
    };
    fail_all(failures, ARRAY_LEN(failures));
}

static int say_where(void **state)
{
    (void)state;
    if (where[0] != '\0')
        print_message("%s", where);
    where[0] = '\0';
    failing_paused = false;
    return 0;
}

/* usage: test_torture [name of a test] */
int main(int argc, char **argv)
{
    if (!failing_install() || signal(SIGALRM, took_too_long) == SIG_ERR)
        return 1;
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(allocations_fail, say_where),
        cmocka_unit_test_teardown(statements_fail, say_where),
        cmocka_unit_test_teardown(the_disk_fails, say_where),
        cmocka_unit_test_teardown(the_disk_is_full, say_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
