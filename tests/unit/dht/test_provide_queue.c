/* SPDX-License-Identifier: MIT */
/* What is provided at once: in which order, how often when it fails, and what a full queue gives up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "dht/provide_queue.h"
#include "tests/support/bytes.h"

static struct provide_queue q;

static int setup(void **state)
{
    (void)state;
    provide_queue_init(&q);
    return 0;
}

static enum err push(unsigned number, enum provide_class class)
{
    return provide_queue_push(&q, span_of(&number, sizeof(number)), class, 0);
}

static unsigned next(uint64_t now_ns, size_t *slot)
{
    struct span cid;
    unsigned number = 0;
    if (!provide_queue_next(&q, now_ns, slot, &cid))
        return 0;
    memcpy(&number, cid.data, sizeof(number));
    return number;
}

static void better_classes_go_first(void **state)
{
    (void)state;
    size_t slot;
    assert_ok(push(1, PROVIDE_STORED));
    assert_ok(push(2, PROVIDE_PINNED));
    assert_ok(push(3, PROVIDE_ROOT));
    assert_ok(push(4, PROVIDE_ROOT));
    assert_ok(push(1, PROVIDE_HOT)); /* the same once more */
    assert_int_equal(q.len, 4);
    static const unsigned order[] = {3, 4, 2, 1};
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        assert_int_equal(next(0, &slot), order[i]);
        provide_queue_ended(&q, slot, true, 0);
    }
    assert_int_equal(next(0, &slot), 0);
    assert_int_equal(q.provided, 4);
    assert_int_equal(q.failed, 0);
    assert_ok(push(6, PROVIDE_PINNED));
    assert_ok(push(5, PROVIDE_ROOT));
    assert_ok(push(5, PROVIDE_STORED)); /* no worse for that */
    assert_int_equal(next(0, &slot), 5);
}

static void few_run_at_a_time(void **state)
{
    (void)state;
    size_t slot;
    for (unsigned i = 1; i <= 10; i++)
        assert_ok(push(i, PROVIDE_ROOT));
    for (unsigned i = 0; i < PROVIDE_QUEUE_RUNNING_MAX; i++)
        assert_int_equal(next(0, &slot), i + 1);
    assert_int_equal(next(0, &slot), 0);
    assert_true(provide_queue_due(&q) == UINT64_MAX);
    provide_queue_ended(&q, slot, true, 0);
    assert_int_equal(next(0, &slot), PROVIDE_QUEUE_RUNNING_MAX + 1);
    assert_int_equal(provide_queue_clear(&q), 10 - PROVIDE_QUEUE_RUNNING_MAX - 1);
    assert_int_equal(q.len, PROVIDE_QUEUE_RUNNING_MAX);
}

static void a_failure_is_tried_again_a_few_times(void **state)
{
    (void)state;
    size_t slot;
    uint64_t now_ns = 0;
    assert_ok(push(1, PROVIDE_ROOT));
    for (unsigned i = 0; i < PROVIDE_ATTEMPTS_MAX; i++) {
        assert_int_equal(next(now_ns, &slot), 1);
        provide_queue_ended(&q, slot, false, now_ns);
        assert_int_equal(next(now_ns, &slot), 0);
        if (i + 1 < PROVIDE_ATTEMPTS_MAX) {
            assert_true(provide_queue_due(&q) == now_ns + ((uint64_t)PROVIDE_RETRY_MS << i) * MS_NS);
            now_ns = provide_queue_due(&q);
        }
    }
    assert_int_equal(q.len, 0);
    assert_int_equal(q.failed, 1);
}

static void a_full_queue_gives_up_the_worse(void **state)
{
    (void)state;
    size_t slot;
    for (unsigned i = 1; i <= PROVIDE_QUEUE_MAX; i++)
        assert_ok(push(i, PROVIDE_HOT));
    assert_err(push(9999, PROVIDE_HOT), ERR_BUSY);
    assert_err(push(9999, PROVIDE_STORED), ERR_BUSY);
    assert_ok(push(9999, PROVIDE_ROOT));
    assert_int_equal(q.len, PROVIDE_QUEUE_MAX);
    assert_int_equal(q.spilled, 3);
    assert_int_equal(next(0, &slot), 9999);
    uint8_t large[CID_BYTES_MAX + 1] = {0};
    assert_err(provide_queue_push(&q, span_of(large, sizeof(large)), PROVIDE_ROOT, 0), ERR_TOO_LARGE);
}

/* The last of the worst goes, and none that is under way. */
static void what_a_full_queue_gives_up_is_the_last_that_waits(void **state)
{
    (void)state;
    size_t slot;
    for (unsigned i = 1; i <= PROVIDE_QUEUE_MAX; i++)
        assert_ok(push(i, PROVIDE_STORED));
    assert_int_equal(next(0, &slot), 1);
    assert_ok(push(9999, PROVIDE_ROOT));
    provide_queue_ended(&q, slot, true, 0);
    assert_int_equal(next(0, &slot), 9999);
    provide_queue_ended(&q, slot, true, 0);
    for (unsigned i = 2; i < PROVIDE_QUEUE_MAX; i++) {
        assert_int_equal(next(0, &slot), i);
        provide_queue_ended(&q, slot, true, 0);
    }
    assert_int_equal(next(0, &slot), 0);
    for (unsigned i = 1; i <= PROVIDE_QUEUE_MAX; i++)
        assert_ok(push(i, PROVIDE_STORED));
    assert_int_equal(next(0, &slot), 1);
    for (unsigned i = 1; i < PROVIDE_QUEUE_MAX; i++)
        assert_ok(push(9000 + i, PROVIDE_ROOT));
    assert_err(push(9999, PROVIDE_ROOT), ERR_BUSY);
    assert_true(q.entries[slot].running && q.entries[slot].class == PROVIDE_STORED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(better_classes_go_first, setup),
        cmocka_unit_test_setup(few_run_at_a_time, setup),
        cmocka_unit_test_setup(a_failure_is_tried_again_a_few_times, setup),
        cmocka_unit_test_setup(a_full_queue_gives_up_the_worse, setup),
        cmocka_unit_test_setup(what_a_full_queue_gives_up_is_the_last_that_waits, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
