/* SPDX-License-Identifier: MIT */
/* The table beside a naive model: random operations, the same answers after each step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/random.h"
#include "base/table.h"

enum { MODEL_KEYS = 300, MODEL_STEPS = 20000 };

static void make_key(size_t i, uint8_t *bytes, size_t *ret_len)
{
    *ret_len = 2 + i % 60; /* both inline and heap keys */
    memset(bytes, (int)(i & 0xff), *ret_len);
    bytes[0] = (uint8_t)(i >> 8);
}

static void model_agrees_after_random_operations(void **state)
{
    (void)state;
    struct account account;
    account_init(&account, "test", 1 << 20);
    struct table t;
    table_init(&t, MODEL_KEYS, &account);
    void *model[MODEL_KEYS] = {0};
    int values[MODEL_KEYS];
    size_t live = 0;
    struct prng prng;
    prng_init(&prng, 7);
    for (size_t step = 0; step < MODEL_STEPS; step++) {
        size_t i = (size_t)prng_below(&prng, MODEL_KEYS);
        uint8_t bytes[64];
        size_t len;
        make_key(i, bytes, &len);
        struct span key = span_of(bytes, len);
        if (prng_below(&prng, 2) == 0) {
            void *old = &old;
            assert_int_equal(table_put(&t, key, &values[i], &old), ERR_OK);
            assert_ptr_equal(old, model[i]);
            live += model[i] == NULL;
            model[i] = &values[i];
        } else {
            assert_ptr_equal(table_remove(&t, key), model[i]);
            live -= model[i] != NULL;
            model[i] = NULL;
        }
        assert_int_equal(table_len(&t), live);
        assert_ptr_equal(table_get(&t, key), model[i]);
    }
    size_t position = 0;
    size_t seen = 0;
    while (table_next(&t, &position, NULL) != NULL)
        seen++;
    assert_int_equal(seen, live);
    table_release(&t);
    assert_int_equal(account_used(&account), 0);
}

static void a_full_table_refuses(void **state)
{
    (void)state;
    struct table t;
    table_init(&t, 2, NULL);
    int value = 0;
    assert_int_equal(table_put(&t, span_text("a"), &value, NULL), ERR_OK);
    assert_int_equal(table_put(&t, span_text("b"), &value, NULL), ERR_OK);
    assert_int_equal(table_put(&t, span_text("c"), &value, NULL), ERR_BUSY);
    assert_int_equal(table_put(&t, span_text("a"), &value, NULL), ERR_OK);
    table_release(&t);
}

/* The account has room for one table of 64 entries and no second one beside it. */
static void holes_are_used_again_without_memory(void **state)
{
    (void)state;
    struct account account;
    uint64_t numbers[64];
    struct table t;
    account_init(&account, "test", 1 << 20);
    table_init(&t, 1000, &account);
    for (uint64_t i = 0; i < 64; i++) {
        numbers[i] = i;
        assert_int_equal(table_put(&t, table_key_u64(&numbers[i]), &numbers[i], NULL), ERR_OK);
    }
    account.limit_bytes = account_used(&account);
    uint64_t more = 64;
    assert_int_equal(table_put(&t, table_key_u64(&more), &more, NULL), ERR_NOMEM);
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 64; i++)
            assert_ptr_equal(table_remove(&t, table_key_u64(&numbers[i])), &numbers[i]);
        for (uint64_t i = 0; i < 64; i++)
            assert_int_equal(table_put(&t, table_key_u64(&numbers[i]), &numbers[i], NULL), ERR_OK);
        for (uint64_t i = 0; i < 64; i++)
            assert_ptr_equal(table_get(&t, table_key_u64(&numbers[i])), &numbers[i]);
    }
    for (uint64_t i = 0; i < 16; i++) /* a quarter is free, where it would double */
        assert_ptr_equal(table_remove(&t, table_key_u64(&numbers[i])), &numbers[i]);
    for (uint64_t i = 0; i < 16; i++)
        assert_int_equal(table_put(&t, table_key_u64(&numbers[i]), &numbers[i], NULL), ERR_OK);
    assert_int_equal(table_put(&t, table_key_u64(&more), &more, NULL), ERR_NOMEM);
    table_release(&t);
    assert_int_equal(account_used(&account), 0);
}

static void iteration_follows_insertion(void **state)
{
    (void)state;
    struct table t;
    table_init(&t, 1000, NULL);
    uint64_t numbers[500];
    for (uint64_t i = 0; i < 500; i++) {
        numbers[i] = i;
        assert_int_equal(table_put(&t, table_key_u64(&numbers[i]), &numbers[i], NULL), ERR_OK);
    }
    size_t position = 0;
    for (uint64_t i = 0; i < 500; i++)
        assert_ptr_equal(table_next(&t, &position, NULL), &numbers[i]);
    assert_null(table_next(&t, &position, NULL));
    table_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_agrees_after_random_operations),
        cmocka_unit_test(a_full_table_refuses),
        cmocka_unit_test(holes_are_used_again_without_memory),
        cmocka_unit_test(iteration_follows_insertion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
