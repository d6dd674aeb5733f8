/* SPDX-License-Identifier: MIT */
/*
 * Backups of a store in use: what a client reads piece by piece is put together on another disk and opened as a store of its own. Between
 * the steps blocks are stored, removed and compacted; and each write and sync fails in turn.
 */
#include "tests/support/store_world.h"

#include <stdio.h>

#include "storage/compactor.h"
#include "storage/sqlite_vfs.h"

enum { PIECE = 3000, SEGMENTS_MAX = 64 };

static void opened(struct store_backup_op *op, enum err err)
{
    (void)op;
    (void)err;
}

struct opening {
    struct store_backup_op op;
    bool done;
    enum err err;
};

static void open_done(struct store_backup_op *op, enum err err)
{
    struct opening *o = CONTAINER_OF(op, struct opening, op);
    o->done = true;
    o->err = err;
}

static enum err open_backup(struct world *w, uint64_t *ret_id)
{
    struct opening o = {.op = {.done = open_done}};
    blockstore_backup_open(w->store, &o.op);
    test_drive(w->store, 1000);
    assert_true(o.done);
    *ret_id = o.op.id;
    return o.err;
}

struct piece {
    struct store_piece_op op;
    bool done;
    enum err err;
};

static void piece_done(struct store_piece_op *op, enum err err)
{
    struct piece *p = CONTAINER_OF(op, struct piece, op);
    p->done = true;
    p->err = err;
}

/* Copies one file of the backup; ERR_NOT_FOUND when the store has it not. */
static enum err copy_file(struct world *w, uint64_t id, uint64_t segment, const struct disk_port *to, const char *path)
{
    struct disk_file *file = NULL;
    uint64_t offset = 0;
    for (;;) {
        struct piece p = {
            .op = {.done = piece_done, .backup = id, .segment = segment, .offset = offset, .length = PIECE}};
        blockstore_backup_read(w->store, &p.op);
        test_drive(w->store, 1000);
        assert_true(p.done);
        if (p.err != ERR_OK) {
            to->close(file);
            return p.err;
        }
        if (file == NULL)
            assert_int_equal(to->open(to->self, path, DISK_WRITE | DISK_CREATE, &file), ERR_OK);
        struct iovec iov = {.iov_base = p.op.ref->data, .iov_len = p.op.ref->len};
        if (p.op.ref->len > 0)
            assert_int_equal(to->pwritev(file, &iov, 1, offset), ERR_OK);
        offset += p.op.ref->len;
        size_t len = p.op.ref->len;
        block_ref_unref(p.op.ref);
        if (len < PIECE) {
            assert_int_equal(offset, p.op.size);
            to->close(file);
            return ERR_OK;
        }
    }
}

/* All of an open backup onto a disk of its own. */
static struct sim_disk *copy_all(struct world *w, uint64_t id)
{
    struct sim_disk *disk = sim_disk_new(9, 64 * MIB);
    const struct disk_port *port = sim_disk_port(disk);
    char path[64];
    assert_int_equal(port->make_dir(port->self, "repo"), ERR_OK);
    assert_int_equal(port->make_dir(port->self, "repo/segments"), ERR_OK);
    assert_int_equal(copy_file(w, id, 0, port, "repo/blocks.db"), ERR_OK);
    for (uint64_t segment = 1; segment < SEGMENTS_MAX; segment++) {
        (void)snprintf(path, sizeof(path), "repo/segments/%016llx.seg", (unsigned long long)segment);
        enum err err = copy_file(w, id, segment, port, path);
        assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
    }
    return disk;
}

/* The copy as a store: which of the blocks it has; none may be damaged. */
static void look_at_copy(const struct world *w, struct sim_disk *disk, bool ret_has[WORLD_BLOCKS])
{
    struct world copy = {.disk = disk, .storage_max = 32 * MIB};
    memcpy(copy.keys, w->keys, sizeof(copy.keys));
    memcpy(copy.bytes, w->bytes, sizeof(copy.bytes));
    assert_int_equal(world_open(&copy), ERR_OK);
    for (size_t i = 0; i < WORLD_BLOCKS; i++) {
        uint64_t size;
        ret_has[i] = blockstore_has(copy.store, &copy.keys[i], &size, NULL) == ERR_OK;
    }
    size_t absent = world_absent(&copy);
    for (size_t i = 0; i < WORLD_BLOCKS; i++)
        absent -= !ret_has[i];
    assert_int_equal(absent, 0); /* every row names bytes that are there */
    assert_int_equal(copy.notices, 0);
    blockstore_close(copy.store, true);
    sim_disk_free(disk);
}

static void a_copy_is_a_store_with_all_that_was_acknowledged(void **state)
{
    (void)state;
    bool has[WORLD_BLOCKS];
    uint64_t id;
    struct world *w = world_new(0);
    assert_int_equal(test_change(w->store, &w->keys[3], CHANGE_BLOCK_RM), ERR_OK);
    assert_int_equal(open_backup(w, &id), ERR_OK);
    look_at_copy(w, copy_all(w, id), has);
    for (size_t i = 0; i < WORLD_BLOCKS; i++)
        assert_int_equal(has[i], i != 3);
    blockstore_backup_close(w->store, id);
    test_drive(w->store, 100);
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(port->exists(port->self, "repo/backup.db"), ERR_NOT_FOUND);
    world_free(w);
}

/* The snapshot has a row for what was acknowledged a moment before, not only the bytes in a segment's tail. */
static void what_has_no_row_yet_gets_one_first(void **state)
{
    (void)state;
    uint64_t id;
    struct catalogue_reader *reader = NULL;
    struct sqlite_vfs *vfs = NULL;
    struct block_place place;
    struct world *w = world_new(0);
    assert_int_equal(test_change(w->store, &w->keys[0], CHANGE_BLOCK_RM), ERR_OK);
    world_put(w, 0);
    assert_int_equal(open_backup(w, &id), ERR_OK);
    assert_int_equal(sqlite_vfs_open(sim_disk_port(w->disk), &vfs), ERR_OK);
    struct catalogue_options options = {.path = "repo/backup.db", .vfs = sqlite_vfs_name(vfs), .cache_kib = 64};
    assert_int_equal(catalogue_reader_open(&options, &reader), ERR_OK);
    assert_int_equal(catalogue_find(reader, &w->keys[0], &place), ERR_OK);
    catalogue_reader_close(reader);
    sqlite_vfs_close(vfs);
    world_free(w);
}

/* What is committed while the snapshot is made, step by step, goes into it and does not tear it. */
static void commits_between_the_steps_do_no_harm(void **state)
{
    (void)state;
    bool has[WORLD_BLOCKS];
    size_t steps = 0;
    struct world *w = world_new(0);
    for (uint64_t i = 0; i < 25000; i++) { /* so many rows take more than one step */
        struct block_key key = {0};
        test_key(span_of((const uint8_t *)&i, sizeof(i)), &key);
        assert_int_equal(test_put(w->store, &key, span_of((const uint8_t *)&i, sizeof(i)), NULL), ERR_OK);
    }
    world_live(w, 10 * SECOND_NS);
    struct opening o = {.op = {.done = open_done}};
    struct test_change removals[WORLD_BLOCKS];
    blockstore_backup_open(w->store, &o.op);
    for (; !o.done && steps < WORLD_BLOCKS; steps++) {
        removals[steps] = test_pin(&w->keys[steps], CHANGE_BLOCK_RM);
        blockstore_change(w->store, &removals[steps].op);
        test_drive(w->store, 2); /* the commit, and a step */
        assert_true(removals[steps].done);
    }
    assert_true(o.done);
    assert_int_equal(o.err, ERR_OK);
    assert_in_range(steps, 2, WORLD_BLOCKS - 1);
    look_at_copy(w, copy_all(w, o.op.id), has);
    for (size_t i = 0; i < WORLD_BLOCKS; i++)
        assert_int_equal(has[i], i >= steps);
    world_free(w);
}

static void page_collected(struct store_collect_op *op, enum err err)
{
    (void)op;
    assert_int_equal(err, ERR_OK);
}

/* When all blocks have rows, a backup has nothing to commit first, and whoever waits for commits must not wait for that one. */
static void a_collection_beside_a_backup_ends(void **state)
{
    (void)state;
    uint64_t id;
    struct world *w = world_new(0);
    world_live(w, 10 * SECOND_NS);
    assert_int_equal(open_backup(w, &id), ERR_OK);
    struct store_collect_op op = {.done = page_collected};
    blockstore_collect(w->store, &op);
    test_drive(w->store, 1000);
    assert_int_equal(op.gone_count, WORLD_BLOCKS);
    world_free(w);
}

/* Segments that are emptied while a backup is open stay until it is closed: its snapshot names them. */
static void segments_stay_while_a_backup_is_open(void **state)
{
    (void)state;
    bool has[WORLD_BLOCKS];
    uint64_t id;
    struct world *w = world_new(0);
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(open_backup(w, &id), ERR_OK);
    for (size_t i = 1; i < WORLD_BLOCKS; i++)
        assert_int_equal(test_change(w->store, &w->keys[i], CHANGE_BLOCK_RM), ERR_OK);
    for (int i = 0; i < 10; i++) {
        struct piece p = {.op = {.done = piece_done, .backup = id, .length = 10}};
        world_live(w, STORE_BACKUP_LEASE_NS / 2);
        blockstore_backup_read(w->store, &p.op); /* keeps the lease */
        test_drive(w->store, 100);
        assert_int_equal(p.err, ERR_OK);
        block_ref_unref(p.op.ref);
    }
    look_at_copy(w, copy_all(w, id), has);
    for (size_t i = 0; i < WORLD_BLOCKS; i++)
        assert_true(has[i]);
    blockstore_backup_close(w->store, id);
    world_live(w, 600 * SECOND_NS);
    assert_int_equal(port->exists(port->self, "repo/segments/0000000000000001.seg"), ERR_NOT_FOUND);
    assert_int_equal(world_absent(w), WORLD_BLOCKS - 1);
    world_free(w);
}

static void one_that_nobody_reads_ends_by_itself(void **state)
{
    (void)state;
    uint64_t first;
    uint64_t second;
    struct world *w = world_new(0);
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(open_backup(w, &first), ERR_OK);
    assert_int_equal(open_backup(w, &second), ERR_BUSY);
    world_live(w, STORE_BACKUP_LEASE_NS + 2 * SECOND_NS);
    assert_int_equal(port->exists(port->self, "repo/backup.db"), ERR_NOT_FOUND);
    struct piece p = {.op = {.done = piece_done, .backup = first, .length = 10}};
    blockstore_backup_read(w->store, &p.op);
    assert_int_equal(p.err, ERR_NOT_FOUND);
    assert_int_equal(open_backup(w, &second), ERR_OK);
    assert_int_not_equal(first, second);
    blockstore_close(w->store, true); /* a crash leaves the snapshot, the next life removes it */
    assert_int_equal(port->exists(port->self, "repo/backup.db"), ERR_OK);
    assert_int_equal(world_open(w), ERR_OK);
    assert_int_equal(port->exists(port->self, "repo/backup.db"), ERR_NOT_FOUND);
    struct store_backup_op unfinished = {.done = opened};
    blockstore_backup_open(w->store, &unfinished); /* and closed before its first step */
    world_free(w);
}

/* Each write and sync fails once: there is no backup, or one that is whole, and the next try has one. */
static void a_fault_at_each_point_makes_no_wrong_copy(void **state)
{
    (void)state;
    static const enum sim_disk_fault faults[] = {SIM_FAULT_WRITE_IO, SIM_FAULT_WRITE_NO_SPACE, SIM_FAULT_SYNC_IO,
                                                 SIM_FAULT_READ_IO};
    for (size_t f = 0; f < ARRAY_LEN(faults); f++) {
        bool clean = false;
        for (uint64_t n = 0; !clean && n < 200; n++) {
            bool has[WORLD_BLOCKS];
            uint64_t id;
            struct world *w = world_new(0);
            sim_disk_fail(w->disk, faults[f], n, 1);
            clean = open_backup(w, &id) == ERR_OK;
            sim_disk_fail(w->disk, faults[f], 0, 0);
            if (!clean)
                assert_int_equal(open_backup(w, &id), ERR_OK);
            look_at_copy(w, copy_all(w, id), has);
            for (size_t i = 0; i < WORLD_BLOCKS; i++)
                assert_true(has[i]);
            assert_int_equal(world_absent(w), 0);
            world_free(w);
        }
        assert_true(clean);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_a_store_with_all_that_was_acknowledged),
        cmocka_unit_test(what_has_no_row_yet_gets_one_first),
        cmocka_unit_test(commits_between_the_steps_do_no_harm),
        cmocka_unit_test(a_collection_beside_a_backup_ends),
        cmocka_unit_test(segments_stay_while_a_backup_is_open),
        cmocka_unit_test(one_that_nobody_reads_ends_by_itself),
        cmocka_unit_test(a_fault_at_each_point_makes_no_wrong_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
