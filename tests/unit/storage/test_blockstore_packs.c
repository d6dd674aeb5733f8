/* SPDX-License-Identifier: MIT */
/* Packs that are on the medium already: empty and thin ones, damaged ones, those that no row knows. */
#include "tests/support/cold_world.h"

#include "base/le.h"

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
    assert_int_equal(read_cold(w).whole, 2); /* 8 is on the disk as well */
}

/* What was read already is not read again, nor is it twice in the new pack. */
static void a_pack_is_rewritten_with_little_memory(void **state)
{
    struct world *w = *state;
    char path[64];
    const struct disk_port *port = sim_disk_port(w->disk);
    put_all(w);
    demote(w, 0, 20);
    settle(w);
    pack_path(w, 0, path);
    uint64_t rest = w->reads.limit_bytes - 4 * BLOCK_BYTES; /* a read needs two */
    assert_true(account_take(&w->reads, rest));
    uint64_t reads = w->cold.ran[STORE_COLD_READ];
    struct store_cold *op;
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(change(w, i, CHANGE_BLOCK_RM), ERR_OK);
    /* Reads are handed back only when all have begun, as on the lane of a medium. */
    for (int round = 0; round < 40 && port->exists(port->self, path) == ERR_OK; round++) {
        struct store_cold *under_way[STORE_COLD_READS_MAX];
        size_t count = 0;
        w->now += 2 * SECOND_NS;
        blockstore_tick(w->store, w->now, REAL + w->now);
        while ((op = blockstore_next_cold(w->store)) != NULL) {
            if (op->kind == STORE_COLD_READ)
                under_way[count++] = op;
            else
                blockstore_cold_done(w->store, op, test_cold_run(&w->cold, op));
        }
        enum err errs[STORE_COLD_READS_MAX];
        for (size_t i = 0; i < count; i++)
            errs[i] = test_cold_run(&w->cold, under_way[i]);
        for (size_t i = 0; i < count; i++)
            blockstore_cold_done(w->store, under_way[i], errs[i]);
        test_drive(w->store, DRIVE);
    }
    pass(w, STORE_PACK_NS + SECOND_NS);
    assert_int_equal(port->exists(port->self, path), ERR_NOT_FOUND);
    account_give(&w->reads, rest);
    assert_true(w->cold.ran[STORE_COLD_READ] - reads > 8); /* some failed */
    assert_int_equal(read_cold(w).whole, 8);
    pack_path(w, 12, path);
    struct disk_file *file;
    uint64_t size = 0;
    assert_int_equal(port->open(port->self, path, DISK_READ, &file), ERR_OK);
    assert_int_equal(port->size(file, &size), ERR_OK);
    port->close(file);
    assert_true(size < 9 * (BLOCK_BYTES + 200)); /* it began when nine were left */
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

/* ---- packs that are not as they were ---- */

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
    assert_int_equal(read_cold(w).bad, 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        COLD_TEST(an_empty_pack_is_removed),
        COLD_TEST(a_thin_pack_is_rewritten),
        COLD_TEST(a_pack_is_rewritten_with_little_memory),
        COLD_TEST(a_small_pack_is_not_rewritten_for_ever),
        COLD_TEST(a_copy_in_a_damaged_pack_does_not_count),
        COLD_TEST(a_pack_that_was_finished_after_a_backup_is_kept),
        COLD_TEST(what_is_adopted_while_the_filter_is_made_anew_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
