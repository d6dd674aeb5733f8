/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "storage/cold_shelf.h"

enum { BLOCK = 1000 };

static struct block_key key_of(uint8_t number)
{
    struct block_key key = {.len = 2, .bytes = {0x12, number}};
    return key;
}

/* Whose bytes are charged, and on the shelf alone. */
static void put(struct cold_shelf *shelf, struct account *account, uint8_t number, size_t len, uint64_t now)
{
    struct block_key key = key_of(number);
    struct block_ref *ref = block_ref_new(len, account);
    assert_non_null(ref);
    cold_shelf_put(shelf, &key, ref, now);
    block_ref_unref(ref);
}

static bool has(const struct cold_shelf *shelf, uint8_t number)
{
    struct block_key key = key_of(number);
    struct block_ref *ref = cold_shelf_find(shelf, &key);
    block_ref_unref(ref);
    return ref != NULL;
}

static void the_oldest_make_room(void **state)
{
    struct cold_shelf shelf;
    struct account account;
    (void)state;
    account_init(&account, "reads", 100 * BLOCK);
    cold_shelf_init(&shelf, 3 * BLOCK);
    for (uint8_t i = 0; i < 4; i++)
        put(&shelf, &account, i, BLOCK, i);
    assert_false(has(&shelf, 0));
    assert_true(has(&shelf, 1) && has(&shelf, 2) && has(&shelf, 3));
    put(&shelf, &account, 2, BLOCK, 5); /* it is there */
    assert_true(has(&shelf, 1));
    put(&shelf, &account, 4, 3 * BLOCK + 1, 6); /* it is larger than the shelf */
    assert_true(has(&shelf, 1) && !has(&shelf, 4));
    put(&shelf, &account, 5, 2 * BLOCK, 7);
    assert_true(has(&shelf, 3) && has(&shelf, 5) && !has(&shelf, 2));
    assert_int_equal(account_used(&account), 3 * BLOCK);
    for (unsigned i = 0; i < 3 * COLD_SHELF_BLOCKS; i++) /* more than the ring has places */
        put(&shelf, &account, (uint8_t)i, 1, 8);
    assert_int_equal(account_used(&account), COLD_SHELF_BLOCKS);
    cold_shelf_release(&shelf);
    assert_int_equal(account_used(&account), 0);
}

static void what_is_old_goes(void **state)
{
    struct cold_shelf shelf;
    struct account account;
    (void)state;
    account_init(&account, "reads", 100 * BLOCK);
    cold_shelf_init(&shelf, 3 * BLOCK);
    assert_true(cold_shelf_due(&shelf) == UINT64_MAX);
    put(&shelf, &account, 1, BLOCK, 10);
    put(&shelf, &account, 2, BLOCK, 20);
    assert_true(cold_shelf_due(&shelf) == 10 + COLD_SHELF_NS);
    cold_shelf_age(&shelf, 9 + COLD_SHELF_NS);
    assert_true(has(&shelf, 1));
    cold_shelf_age(&shelf, 10 + COLD_SHELF_NS);
    assert_true(!has(&shelf, 1) && has(&shelf, 2));
    cold_shelf_age(&shelf, 20 + COLD_SHELF_NS);
    assert_int_equal(account_used(&account), 0);
    cold_shelf_release(&shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_make_room),
        cmocka_unit_test(what_is_old_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
