/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/pool.h"

static void sizes_have_headroom_and_bounds(void **state)
{
    (void)state;
    assert_int_equal(pool_bytes(100), 100);
    assert_int_equal(pool_bytes(POOL_BUFFER_MIN - 1), POOL_BUFFER_MIN - 1);
    assert_int_equal(pool_bytes(POOL_BUFFER_MIN), POOL_BUFFER_MIN / 16 * 17);
    assert_int_equal(pool_bytes(MIB + 100), MIB / 16 * 17); /* not 2 MiB */
    assert_int_equal(pool_bytes(MIB / 16 * 17 + 1), MIB / 8 * 17);
    assert_int_equal(pool_bytes(64 * MIB), 64 * MIB);
    for (size_t len = 1; len < 6 * MIB; len += len / 3 + 1)
        assert_int_equal(pool_bytes(pool_bytes(len)), pool_bytes(len));
}

static void what_was_given_is_taken_again(void **state)
{
    (void)state;
    uint8_t *first = pool_take(MIB);
    assert_non_null(first);
    memset(first, 7, pool_bytes(MIB));
    pool_give(first, MIB);
    uint8_t *second = pool_take(MIB + 500); /* another length of the same size */
    assert_ptr_equal(second, first);
    pool_give(second, MIB + 500);
    pool_give(NULL, MIB);
}

static void a_buf_uses_it_and_keeps_its_bytes_while_it_grows(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, MIB, NULL);
    uint32_t written = 0;
    while (buf_append(&b, &written, sizeof(written)) == ERR_OK)
        written++;
    assert_int_equal(b.len, MIB);
    assert_true(b.cap <= b.max);
    for (uint32_t i = 0; i < written; i++) {
        uint32_t found;
        memcpy(&found, b.data + i * sizeof(found), sizeof(found));
        if (found != i)
            assert_int_equal(found, i);
    }
    const uint8_t *data = b.data;
    buf_release(&b);
    struct buf next;
    buf_init(&next, 4 * MIB, NULL);
    assert_ptr_equal(buf_reserve(&next, MIB), data);
    buf_release(&next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_have_headroom_and_bounds),
        cmocka_unit_test(what_was_given_is_taken_again),
        cmocka_unit_test(a_buf_uses_it_and_keeps_its_bytes_while_it_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
