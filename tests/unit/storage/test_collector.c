/* SPDX-License-Identifier: MIT */
/* When a collection begins by itself, by a clock of the test's. */
#include "storage/collector.h"

#include "tests/support/storage.h"

enum { MAX_BYTES = 10000, PERIOD_S = 3600 };

#define T0 (1000 * SECOND_NS)

static struct collector collector_of(bool demotes)
{
    struct collector c;
    collector_init(&c, MAX_BYTES, 90, PERIOD_S * SECOND_NS, demotes);
    return c;
}

static bool due(const struct collector *c, uint64_t live, uint64_t now)
{
    return now >= collector_due(c, live);
}

static void it_begins_at_the_watermark_and_again_when_there_is_cause(void **state)
{
    struct collector c = collector_of(false);
    (void)state;
    assert_false(due(&c, 8999, T0));
    assert_true(due(&c, 9000, T0));
    collector_started(&c);
    assert_false(due(&c, 9900, T0));
    collector_ended(&c, 9500, T0);
    assert_false(due(&c, 9599, T0));
    assert_true(due(&c, 9600, T0)); /* a hundredth more */
    assert_true(collector_due(&c, 9500) == T0 + PERIOD_S * SECOND_NS);
    assert_true(collector_due(&c, 8999) == UINT64_MAX);
}

static void a_watermark_of_none_is_never_passed(void **state)
{
    struct collector c;
    (void)state;
    collector_init(&c, MAX_BYTES, 0, PERIOD_S * SECOND_NS, false);
    assert_true(collector_due(&c, MAX_BYTES) == UINT64_MAX);
    assert_false(collector_wants(&c, MAX_BYTES, UINT64_MAX - 1));
}

static void as_long_as_demotion_makes_room_none_begins(void **state)
{
    struct collector c = collector_of(true);
    (void)state;
    collector_demotes(&c, true, T0);
    assert_true(collector_due(&c, MAX_BYTES) == UINT64_MAX);
    assert_true(collector_wants(&c, MAX_BYTES, T0)); /* it would, else */
    collector_demotes(&c, false, T0);
    assert_true(collector_due(&c, MAX_BYTES) == T0 + COLLECTOR_PATIENCE_NS);
    collector_demotes(&c, false, T0 + 5 * SECOND_NS); /* told again */
    assert_true(collector_due(&c, MAX_BYTES) == T0 + COLLECTOR_PATIENCE_NS);
    collector_demotes(&c, true, T0 + 10 * SECOND_NS); /* it was away for a moment */
    collector_demotes(&c, false, T0 + 20 * SECOND_NS);
    assert_false(due(&c, MAX_BYTES, T0 + 19 * SECOND_NS + COLLECTOR_PATIENCE_NS));
    assert_true(due(&c, MAX_BYTES, T0 + 20 * SECOND_NS + COLLECTOR_PATIENCE_NS));
}

static void after_a_start_it_waits_for_the_cold_tier_to_be_found(void **state)
{
    struct collector c = collector_of(true);
    (void)state;
    assert_false(due(&c, MAX_BYTES, T0));
    collector_demotes(&c, false, T0); /* nobody has said yet that it can help */
    assert_false(due(&c, MAX_BYTES, T0));
    assert_true(due(&c, MAX_BYTES, T0 + COLLECTOR_PATIENCE_NS));
}

static void one_that_runs_goes_on_and_is_not_repeated(void **state)
{
    struct collector c = collector_of(false);
    (void)state;
    collector_started(&c);
    collector_demotes(&c, true, T0);
    assert_true(c.running);
    collector_ended(&c, MAX_BYTES, T0);
    assert_true(collector_due(&c, MAX_BYTES) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_at_the_watermark_and_again_when_there_is_cause),
        cmocka_unit_test(a_watermark_of_none_is_never_passed),
        cmocka_unit_test(as_long_as_demotion_makes_room_none_begins),
        cmocka_unit_test(after_a_start_it_waits_for_the_cold_tier_to_be_found),
        cmocka_unit_test(one_that_runs_goes_on_and_is_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
