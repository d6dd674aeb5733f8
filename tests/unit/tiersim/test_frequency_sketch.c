/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tiersim/frequency_sketch.h"

/* A sketch is made for 64 objects at least, its sample is ten requests for each. */
enum { OBJECTS = 64, SAMPLE = 640 };

static void it_counts_to_fifteen(void **state)
{
    (void)state;
    struct frequency_sketch sketch;
    assert_true(frequency_sketch_init(&sketch, OBJECTS));
    for (unsigned n = 0; n < 20; n++) {
        assert_int_equal(frequency_sketch_estimate(&sketch, 7), n < 15 ? n : 15);
        frequency_sketch_count(&sketch, 7);
    }
    frequency_sketch_release(&sketch);
}

static void all_are_halved_once_a_sample(void **state)
{
    (void)state;
    struct frequency_sketch sketch;
    assert_true(frequency_sketch_init(&sketch, 1));
    for (unsigned i = 0; i < 9; i++)
        frequency_sketch_count(&sketch, 1);
    for (unsigned i = 9; i < SAMPLE - 1; i++)
        frequency_sketch_count(&sketch, 2);
    assert_int_equal(frequency_sketch_estimate(&sketch, 1), 9);
    frequency_sketch_count(&sketch, 2);
    assert_int_equal(frequency_sketch_estimate(&sketch, 1), 4);
    assert_int_equal(frequency_sketch_estimate(&sketch, 2), 7);
    /* what is halved, too, is how much of the next sample has been seen */
    for (unsigned i = 0; i < SAMPLE / 2 - 1; i++)
        frequency_sketch_count(&sketch, 2);
    assert_int_equal(frequency_sketch_estimate(&sketch, 1), 4);
    frequency_sketch_count(&sketch, 2);
    assert_int_equal(frequency_sketch_estimate(&sketch, 1), 2);
    frequency_sketch_release(&sketch);
}

/* Within a sample an estimate is never too low, and for as many objects as the sketch is made for mostly right. */
static void estimates_are_hardly_wrong(void **state)
{
    (void)state;
    struct frequency_sketch sketch;
    unsigned wrong = 0;
    assert_true(frequency_sketch_init(&sketch, 1000));
    for (uint64_t id = 0; id < 1000; id++) {
        for (uint64_t n = 0; n < id % 5; n++)
            frequency_sketch_count(&sketch, id);
    }
    for (uint64_t id = 0; id < 1000; id++) {
        assert_true(frequency_sketch_estimate(&sketch, id) >= id % 5);
        wrong += frequency_sketch_estimate(&sketch, id) != id % 5;
    }
    assert_true(wrong < 250);
    frequency_sketch_release(&sketch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_counts_to_fifteen),
        cmocka_unit_test(all_are_halved_once_a_sample),
        cmocka_unit_test(estimates_are_hardly_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
