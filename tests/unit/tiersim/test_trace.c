/* SPDX-License-Identifier: MIT */
#include "tests/unit/tiersim/helper_trace.h"

#include <stdlib.h>

#include "tiersim/unpacker.h"

static void objects_are_numbered_in_order_of_first_use(void **state)
{
    (void)state;
    static const char text[] = "5.5 x 10\n6 y 20\n6 x 30\n7 z 1\n";
    struct trace trace = trace_of(TRACE_TSV, text, sizeof(text) - 1);
    assert_int_equal(trace.requests, 4);
    assert_int_equal(trace.object_count, 3);
    assert_int_equal(trace.requested_bytes, 61);
    assert_int_equal(trace.footprint_bytes, 30 + 20 + 1); /* the last size of each */
    struct tier_request request = trace_request(&trace, 2);
    assert_int_equal(request.object, 0);
    assert_int_equal(request.index, 2);
    assert_int_equal(request.bytes, 30);
    assert_true(request.time_s == 6);
    assert_int_equal(request.id, trace_request(&trace, 0).id);
    assert_true(request.next_use == TIER_NEVER);
    assert_int_equal(trace_request(&trace, 3).object, 2);
    trace_release(&trace);
}

static void pages_are_slots_a_millisecond_apart(void **state)
{
    (void)state;
    static const char text[] = "100 3 0 1\n101 1 0 2\n";
    struct trace trace = trace_of(TRACE_LIS, text, sizeof(text) - 1);
    assert_int_equal(trace.requests, 4);
    assert_int_equal(trace.object_count, 3);
    assert_int_equal(trace.footprint_bytes, 3);
    struct tier_request request = trace_request(&trace, 3);
    assert_int_equal(request.object, 1);
    assert_int_equal(request.id, 101);
    assert_int_equal(request.bytes, 1);
    assert_true(request.time_s == 0.003);
    trace_release(&trace);
}

static void next_uses_look_ahead(void **state)
{
    (void)state;
    static const uint32_t expected[] = {2, 3, 4, UINT32_MAX, UINT32_MAX};
    struct trace trace = trace_of_letters("ababa");
    uint32_t *next_uses = trace_next_uses(&trace);
    assert_non_null(next_uses);
    assert_memory_equal(next_uses, expected, sizeof(expected));
    free(next_uses);
    trace_release(&trace);
}

static enum err load_text(enum trace_format format, const char *text)
{
    struct trace_reader *reader = NULL;
    struct trace trace = {0};
    FILE *file = memory_file(text, strlen(text));
    assert_ok(trace_reader_new(file, format, UNPACKER_MEMORY_MAX, &reader));
    enum err err = trace_load(reader, &trace);
    if (err != ERR_OK)
        assert_null(trace.objects);
    trace_release(&trace);
    trace_reader_free(reader);
    (void)fclose(file);
    return err;
}

static void what_cannot_be_loaded_leaves_nothing(void **state)
{
    (void)state;
    assert_err(load_text(TRACE_KEYS, ""), ERR_NOT_FOUND);
    assert_err(load_text(TRACE_KEYS, "*\n*\n"), ERR_NOT_FOUND);
    assert_err(load_text(TRACE_LIS, "1 5 0 1\nx\n"), ERR_INVALID);
    assert_err(load_text(TRACE_BE32, "abcde"), ERR_TRUNCATED);
    /* sizes that add up to 2^62, and to one more */
    assert_ok(load_text(TRACE_TSV, "0 a 4611686018427387904\n"));
    assert_err(load_text(TRACE_TSV, "0 a 4611686018427387904\n0 b 1\n"), ERR_TOO_LARGE);
    assert_err(load_text(TRACE_TSV, "0 a 18446744073709551615\n"), ERR_TOO_LARGE);
}

static void many_objects_are_kept_apart(void **state)
{
    (void)state;
    static const char text[] = "0 100000 0 0\n0 100000 0 1\n";
    struct trace trace = trace_of(TRACE_LIS, text, sizeof(text) - 1);
    assert_int_equal(trace.requests, 200000);
    assert_int_equal(trace.object_count, 100000);
    for (size_t i = 0; i < trace.requests; i++)
        assert_int_equal(trace.objects[i], i % 100000);
    trace_release(&trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_numbered_in_order_of_first_use),
        cmocka_unit_test(pages_are_slots_a_millisecond_apart),
        cmocka_unit_test(next_uses_look_ahead),
        cmocka_unit_test(what_cannot_be_loaded_leaves_nothing),
        cmocka_unit_test(many_objects_are_kept_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
