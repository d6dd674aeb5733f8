/* SPDX-License-Identifier: MIT */
/* Rows by key: beside a model while the table grows and rows come and go, with an index that is moved a few rows at a time, and what it all takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "storage/heat_row.h"
#include "tests/support/bytes.h"

static uint64_t key_of(uint64_t id)
{
    return (id + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

static void expect_row(const struct row_table *table, uint64_t id, uint32_t number)
{
    assert_int_equal(row_table_find(table, key_of(id)), number);
    if (number != ROW_NONE)
        assert_true(row_table_key(table, number) == key_of(id));
}

/* More rows come than go, so that rows leave, and their numbers are given anew, while an index is moved. */
static void agrees_with_a_model(void **state)
{
    (void)state;
    enum { KEYS = 6000, STEPS = 40000, CHECK_EVERY = 500 };
    static uint32_t numbers[KEYS];
    struct row_table table;
    struct account account;
    struct prng prng;
    uint32_t live = 0;
    account_init(&account, "tables", UINT64_MAX);
    row_table_init(&table, sizeof(struct heat_row), KEYS, &account);
    prng_init(&prng, 11);
    memset(numbers, 0xff, sizeof(numbers));
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t id = prng_below(&prng, MIN(KEYS, step / 4 + 1));
        uint64_t key = key_of(id);
        uint64_t together[] = {key, key_of(id / 2), key_of(KEYS + id)};
        row_table_announce(&table, together, ARRAY_LEN(together));
        expect_row(&table, id, numbers[id]);
        if (numbers[id] == ROW_NONE) {
            assert_ok(row_table_add(&table, key, &numbers[id]));
            live++;
        } else if (prng_below(&prng, 3) == 0) {
            row_table_remove(&table, numbers[id]);
            numbers[id] = ROW_NONE;
            live--;
        }
        assert_int_equal(table.live, live);
        for (uint64_t i = 0; step % CHECK_EVERY == 0 && i < KEYS; i++)
            expect_row(&table, i, numbers[i]);
    }
    row_table_release(&table);
    assert_int_equal(account_used(&account), 0);
}

/* The row that makes a table grow moves as few rows as any other; the old index goes when all are there, and every row is found meanwhile. */
static void grows_a_few_rows_at_a_time(void **state)
{
    (void)state;
    enum { ROWS = 1 << 14, A_FEW = 16 };
    struct row_table table;
    struct account account;
    uint32_t number;
    account_init(&account, "tables", UINT64_MAX);
    row_table_init(&table, sizeof(struct heat_row), 2 * ROWS, &account);
    for (uint64_t id = 0; id < ROWS; id++)
        assert_ok(row_table_add(&table, key_of(id), &number));
    uint64_t before = account_used(&account);
    uint64_t whole = 2 * before; /* rows and index, twice as large */
    assert_true(table.old.slots == NULL);
    for (uint64_t id = ROWS; table.old.slots != NULL || id == ROWS; id++) {
        uint32_t moved = table.old.slots == NULL ? 0 : table.moved;
        assert_ok(row_table_add(&table, key_of(id), &number));
        assert_in_range(table.moved, moved + 1, moved + A_FEW);
        assert_true(id < ROWS + ROWS / 2);
        if (table.old.slots != NULL)
            assert_true(account_used(&account) > whole);
        for (uint64_t i = id % 61; i <= id; i += 61)
            assert_int_equal(row_table_find(&table, key_of(i)), i);
    }
    assert_int_equal(account_used(&account), whole);
    row_table_release(&table);
    assert_int_equal(account_used(&account), 0);
}

/* A million rows: 24 bytes each, and for each not more than four slots of the index. */
static void a_row_takes_its_bytes_and_the_index(void **state)
{
    (void)state;
    enum { ROWS = 1000 * 1000, INDEX_BYTES_MAX = 4 * 4 };
    struct row_table table;
    struct account account;
    uint32_t number;
    account_init(&account, "tables", UINT64_MAX);
    row_table_init(&table, sizeof(struct heat_row), ROWS, &account);
    for (uint64_t id = 0; id < ROWS; id++)
        assert_ok(row_table_add(&table, key_of(id), &number));
    uint64_t index = sizeof(*table.index.slots) << table.index.bits;
    assert_int_equal(sizeof(struct heat_row), 24);
    assert_true(index <= (uint64_t)ROWS * INDEX_BYTES_MAX);
    assert_int_equal(account_used(&account), (uint64_t)ROWS * 24 + index);
    row_table_release(&table);
}

/* Without room for a larger table it stays as it is, and whole. */
static void stays_whole_without_room(void **state)
{
    (void)state;
    enum { LIMIT = 20000 };
    struct row_table table;
    struct account account;
    uint32_t number;
    uint64_t count = 0;
    account_init(&account, "tables", LIMIT);
    row_table_init(&table, sizeof(struct heat_row), UINT32_C(1) << 20, &account);
    while (row_table_add(&table, key_of(count), &number) == ERR_OK)
        count++;
    assert_true(count >= 256);
    assert_true(account_used(&account) <= LIMIT);
    for (uint64_t id = 0; id < count; id++)
        assert_int_equal(row_table_find(&table, key_of(id)), id);
    row_table_remove(&table, 3);
    assert_ok(row_table_add(&table, key_of(count), &number));
    assert_int_equal(number, 3);
    row_table_release(&table);
    assert_int_equal(account_used(&account), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_model),
        cmocka_unit_test(grows_a_few_rows_at_a_time),
        cmocka_unit_test(a_row_takes_its_bytes_and_the_index),
        cmocka_unit_test(stays_whole_without_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
