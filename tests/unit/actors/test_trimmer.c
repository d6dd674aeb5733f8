/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/connection_manager/trimmer.h"
#include "base/limits.h"
#include "base/random.h"

static const struct trimmer trimmer = {.low = 2, .high = 4, .grace_ns = 20 * SECOND_NS};
static const uint64_t now_ns = 3600 * SECOND_NS;

static void the_worthless_the_idle_and_the_silent_go_first(void **state)
{
    (void)state;
    uint64_t old = now_ns - 60 * SECOND_NS;
    struct trimmer_candidate list[] = {
        {.id = 1, .opened_ns = old, .active_ns = old, .kept = true},
        {.id = 2, .opened_ns = now_ns - SECOND_NS, .active_ns = old},
        {.id = 3, .opened_ns = old, .active_ns = now_ns, .streams = 1},
        {.id = 4, .opened_ns = old, .active_ns = now_ns},
        {.id = 5, .opened_ns = old, .active_ns = old},
        {.id = 6, .opened_ns = old, .active_ns = old, .value = 10},
        {.id = 7, .opened_ns = old, .active_ns = now_ns, .streams = 3, .value = -1},
    };
    size_t n;
    trimmer_choose(&trimmer, 7, list, ARRAY_LEN(list), now_ns, &n);
    assert_int_equal(n, 5);
    static const uint64_t order[] = {7, 5, 4, 3, 6};
    for (size_t i = 0; i < n; i++)
        assert_int_equal(list[i].id, order[i]);
    trimmer_choose(&trimmer, 4, list, ARRAY_LEN(list), now_ns, &n);
    assert_int_equal(n, 0); /* at high water nobody goes */
}

static void nobody_kept_or_new_goes_however_many_there_are(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 1);
    for (int round = 0; round < 500; round++) {
        struct trimmer_candidate list[60];
        size_t count = (size_t)prng_below(&prng, ARRAY_LEN(list) + 1);
        size_t may = 0;
        for (size_t i = 0; i < count; i++) {
            list[i] = (struct trimmer_candidate){.id = i,
                                                 .opened_ns = now_ns - prng_below(&prng, 41) * SECOND_NS,
                                                 .active_ns = now_ns - prng_below(&prng, 9),
                                                 .value = (int64_t)prng_below(&prng, 3),
                                                 .kept = prng_below(&prng, 4) == 0};
            may += !list[i].kept && now_ns - list[i].opened_ns >= trimmer.grace_ns;
        }
        size_t n;
        trimmer_choose(&trimmer, count, list, count, now_ns, &n);
        assert_int_equal(n, count <= trimmer.high ? 0 : MIN(may, count - trimmer.low));
        for (size_t i = 0; i < n; i++) {
            assert_true(!list[i].kept && now_ns - list[i].opened_ns >= trimmer.grace_ns);
            assert_true(i == 0 || list[i - 1].value <= list[i].value);
        }
    }
}

static void a_dial_takes_the_place_of_a_quiet_one_of_ours(void **state)
{
    (void)state;
    const uint64_t quiet_ns = now_ns - TRIMMER_QUIET_MS * MS_NS;
    const struct trimmer_candidate quiet = {.id = 1, .opened_ns = quiet_ns, .active_ns = quiet_ns, .own = true};
    struct trimmer_candidate other = quiet;
    assert_true(trimmer_may_give_way(&quiet, now_ns));
    other.active_ns++;
    assert_false(trimmer_may_give_way(&other, now_ns));
    assert_true(trimmer_goes_before(&quiet, &other));
    assert_false(trimmer_goes_before(&other, &quiet));
    other = quiet;
    other.kept = true;
    assert_false(trimmer_may_give_way(&other, now_ns));
    other = quiet;
    other.own = false;
    assert_false(trimmer_may_give_way(&other, now_ns));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worthless_the_idle_and_the_silent_go_first),
        cmocka_unit_test(nobody_kept_or_new_goes_however_many_there_are),
        cmocka_unit_test(a_dial_takes_the_place_of_a_quiet_one_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
