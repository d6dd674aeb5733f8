/* SPDX-License-Identifier: MIT */
/* What is kept of heat: over a close, with a slot taken by another, over a crash, and damaged in each of its pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/disk.h"
#include "storage/heat_store.h"
#include "tests/support/bytes.h"

enum { ROWS = 200, SLOTS = 1000, STATE_MAX = 4096, DISK_BYTES = 64 << 20 };

static const char path[] = "heat.db";

static struct heat_row row_of(uint64_t key)
{
    return (struct heat_row){.key = key,
                             .used_at = (uint32_t)(key * 3),
                             .held_bytes = key % 3 == 0 ? (uint32_t)(key * 5) : ROW_NONE,
                             .heat = {(uint16_t)key, (uint16_t)(key + 1)},
                             .class = (uint8_t)(key % 50),
                             .counted = (uint8_t)(key % 100)};
}

static struct heat_store *store_on(struct sim_disk *disk)
{
    struct heat_store *store = heat_store_new(sim_disk_port(disk), path, SLOTS);
    assert_non_null(store);
    return store;
}

static void save(struct heat_store *store, const char *learned, uint64_t from, uint64_t to)
{
    struct heat_row rows[ROWS];
    for (uint64_t key = from; key < to; key++)
        rows[key - from] = row_of(key);
    assert_ok(heat_store_save(store, span_text(learned), rows, (size_t)(to - from)));
}

static void expect_learned(struct heat_store *store, const char *learned)
{
    struct buf got;
    buf_init(&got, STATE_MAX, NULL);
    assert_ok(heat_store_load(store, &got));
    assert_int_equal(got.len, strlen(learned));
    if (got.len > 0)
        assert_memory_equal(got.data, learned, got.len);
    buf_release(&got);
}

static size_t find(struct heat_store *store, uint64_t from, uint64_t to)
{
    uint64_t keys[ROWS];
    struct heat_row rows[ROWS];
    size_t count;
    for (uint64_t key = from; key < to; key++)
        keys[key - from] = key;
    assert_ok(heat_store_find(store, keys, (size_t)(to - from), rows, &count));
    for (size_t i = 0; i < count; i++) {
        struct heat_row row = row_of(rows[i].key);
        assert_memory_equal(&rows[i], &row, sizeof(row));
    }
    return count;
}

static void is_there_after_a_close(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    struct heat_store *store = store_on(disk);
    expect_learned(store, "");
    assert_int_equal(find(store, 1, 11), 0);
    save(store, "first", 1, 101);
    save(store, "second", 101, 151);
    assert_int_equal(find(store, 1, 201), 150);
    heat_store_unref(store);
    store = store_on(disk);
    expect_learned(store, "second");
    assert_int_equal(find(store, 1, 201), 150);
    heat_store_unref(store);
    sim_disk_free(disk);
}

/* The later one of two blocks with one slot is known: so the table does not grow without bound. */
static void a_slot_has_one_block(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    struct heat_store *store = store_on(disk);
    save(store, "", 1, 101);
    save(store, "", SLOTS + 50, SLOTS + 150);
    assert_int_equal(find(store, 1, 101), 49);
    assert_int_equal(find(store, SLOTS + 50, SLOTS + 150), 100);
    save(store, "", UINT64_MAX - 1, UINT64_MAX);
    assert_int_equal(find(store, UINT64_MAX - 1, UINT64_MAX), 1);
    heat_store_unref(store);
    sim_disk_free(disk);
}

/* By pages of any size, each of those that were held once and no other. */
static void pages_have_what_was_held(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    struct heat_store *store = store_on(disk);
    struct heat_row rows[ROWS];
    uint64_t position = 0;
    size_t count = 1;
    assert_ok(heat_store_held(store, &position, rows, ROWS, &count));
    assert_true(position == 0 && count == 0);
    save(store, "", 1, 150);
    for (size_t page = 1; page <= ROWS; page = page * 3 + 1) {
        uint64_t expected = 3;
        do {
            assert_ok(heat_store_held(store, &position, rows, page, &count));
            for (size_t i = 0; i < count; i++, expected += 3) {
                struct heat_row row = row_of(expected);
                assert_memory_equal(&rows[i], &row, sizeof(row));
            }
        } while (position != 0);
        assert_int_equal(expected, 150);
    }
    struct heat_row left = row_of(60);
    left.held_bytes = ROW_NONE;
    assert_ok(heat_store_save(store, span_text(""), &left, 1));
    assert_ok(heat_store_held(store, &position, rows, ROWS, &count));
    assert_int_equal(count, 48);
    heat_store_unref(store);
    sim_disk_free(disk);
}

/* What a crash leaves is one of the saved states, whole, or nothing. */
static void a_crash_leaves_one_state_or_none(void **state)
{
    (void)state;
    for (int cut = 0; cut < SIM_CUT_COUNT; cut++) {
        for (uint64_t seed = 0; seed < 8; seed++) {
            struct buf got;
            struct sim_disk *disk = sim_disk_new(seed, DISK_BYTES);
            struct heat_store *store = store_on(disk);
            save(store, "a", 1, 101);
            save(store, "b", 101, 201);
            struct sim_disk *after = sim_disk_clone(disk);
            heat_store_unref(store);
            sim_disk_power_cut(after, (enum sim_disk_cut)cut, seed);
            store = store_on(after);
            buf_init(&got, STATE_MAX, NULL);
            enum err err = heat_store_load(store, &got);
            if (err == ERR_OK) {
                size_t known = got.len == 0 ? 0 : got.data[0] == 'a' ? 100 : 200;
                assert_int_equal(find(store, 1, 101), MIN(known, 100));
                assert_int_equal(find(store, 101, 201), known - MIN(known, 100));
                assert_true(cut != SIM_CUT_KEEP || known == 200);
            } else {
                assert_int_equal(err, ERR_CORRUPT); /* and then it is begun anew */
            }
            save(store, "c", 1, 101);
            expect_learned(store, "c");
            buf_release(&got);
            heat_store_unref(store);
            sim_disk_free(after);
            sim_disk_free(disk);
        }
    }
}

/* Whatever byte of the file goes bad: a call may fail, the next ones work with a file that is whole. */
static void damage_costs_heat_and_nothing_else(void **state)
{
    (void)state;
    enum { STEP = 61 };
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    struct heat_store *store = store_on(disk);
    uint64_t keys[ROWS];
    struct heat_row rows[ROWS];
    uint32_t failed = 0;
    save(store, "learned", 1, 201);
    heat_store_unref(store);
    for (uint64_t key = 1; key <= ROWS; key++)
        keys[key - 1] = key;
    for (uint64_t offset = 0;; offset += STEP) {
        struct buf got;
        size_t count;
        uint64_t position = 0;
        struct sim_disk *bad = sim_disk_clone(disk);
        if (sim_disk_damage(bad, "/heat.db", offset, 0x55) != ERR_OK) {
            sim_disk_free(bad);
            break;
        }
        buf_init(&got, STATE_MAX, NULL);
        store = store_on(bad);
        enum err err = heat_store_load(store, &got);
        if (err == ERR_OK)
            err = heat_store_held(store, &position, rows, ROWS, &count);
        if (err == ERR_OK)
            err = heat_store_find(store, keys, ROWS, rows, &count);
        if (err == ERR_OK)
            err = heat_store_save(store, span_text("again"), rows, count);
        failed += err != ERR_OK;
        assert_true(err == ERR_OK || err == ERR_CORRUPT);
        save(store, "new", 1, 101);
        expect_learned(store, "new");
        buf_release(&got);
        heat_store_unref(store);
        sim_disk_free(bad);
    }
    assert_true(failed > 5);
    sim_disk_free(disk);
}

/* A full disk is told; what was there stays. */
static void a_full_disk_is_told(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    struct heat_store *store = store_on(disk);
    struct heat_row row = row_of(7);
    save(store, "before", 1, 101);
    sim_disk_fail(disk, SIM_FAULT_WRITE_NO_SPACE, 0, UINT64_MAX);
    assert_int_equal(heat_store_save(store, span_text("after"), &row, 1), ERR_NO_SPACE);
    sim_disk_fail(disk, SIM_FAULT_WRITE_NO_SPACE, 0, 0);
    expect_learned(store, "before");
    assert_int_equal(find(store, 1, 101), 100);
    heat_store_unref(store);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_there_after_a_close),
        cmocka_unit_test(a_slot_has_one_block),
        cmocka_unit_test(pages_have_what_was_held),
        cmocka_unit_test(a_crash_leaves_one_state_or_none),
        cmocka_unit_test(damage_costs_heat_and_nothing_else),
        cmocka_unit_test(a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
