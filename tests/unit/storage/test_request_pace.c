/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "storage/request_pace.h"

static void a_burst_goes_out_and_then_the_rate(void **state)
{
    (void)state;
    struct request_pace pace;
    uint64_t now = 5 * SECOND_NS;
    uint64_t sent = 0;
    request_pace_init(&pace, 10, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(request_pace_take(&pace, now), 0);
    assert_int_equal(request_pace_take(&pace, now), SECOND_NS / 10);
    assert_int_equal(request_pace_take(&pace, now + SECOND_NS / 20), SECOND_NS / 20);
    /* Who waits as told gets one token each time: 10 a second. */
    for (uint64_t end = now + 10 * SECOND_NS; now < end;) {
        uint64_t wait = request_pace_take(&pace, now);
        sent += wait == 0;
        now += wait;
    }
    assert_in_range(sent, 99, 101);
    /* The bucket is full again after a rest, and not fuller. */
    now += 60 * SECOND_NS;
    for (int i = 0; i < 4; i++)
        assert_int_equal(request_pace_take(&pace, now), 0);
    assert_int_not_equal(request_pace_take(&pace, now), 0);
}

static void delays_double_and_spread(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 1);
    for (unsigned tries = 0; tries < 40; tries++) {
        uint64_t most = 0;
        uint64_t sum = 0;
        uint64_t bound = tries < 8 ? PACE_DELAY_MIN_NS << tries : PACE_DELAY_MAX_NS;
        for (int i = 0; i < 200; i++) {
            uint64_t delay = request_pace_delay(tries, 0, prng_next(&prng));
            most = MAX(most, delay);
            sum += delay;
        }
        assert_true(most <= bound && most > bound / 2);
        assert_true(sum / 200 > bound / 4 && sum / 200 < bound / 4 * 3);
    }
    assert_int_equal(request_pace_delay(0, 7 * SECOND_NS, 3), 7 * SECOND_NS); /* the server knows better */
}

static void an_outage_is_asked_less_and_less(void **state)
{
    (void)state;
    struct request_pace pace;
    uint64_t now = 1;
    unsigned asked = 0;
    request_pace_init(&pace, 1, 1);
    assert_int_equal(request_pace_down_until(&pace, now), 0);
    for (uint64_t end = 3600 * SECOND_NS; now < end; asked++) { /* an hour in which each try fails */
        request_pace_failed(&pace, now, asked);
        uint64_t until = request_pace_down_until(&pace, now);
        assert_true(until > now && until <= now + PACE_OUTAGE_MAX_NS);
        assert_int_equal(request_pace_down_until(&pace, until), 0);
        now = until;
    }
    assert_true(asked >= 60 && asked <= 135);
    request_pace_answered(&pace);
    request_pace_failed(&pace, now, 0);
    assert_true(request_pace_down_until(&pace, now) <= now + PACE_OUTAGE_MIN_NS); /* from the beginning again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_goes_out_and_then_the_rate),
        cmocka_unit_test(delays_double_and_spread),
        cmocka_unit_test(an_outage_is_asked_less_and_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
