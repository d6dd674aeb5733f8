/* SPDX-License-Identifier: MIT */
/* When the scrubber reads and when the healer asks: the engines alone, by a clock of the test's. */
#include "tests/support/storage.h"

#include "storage/healer.h"
#include "storage/scrubber.h"

#define REAL (UINT64_C(1700000000) * SECOND_NS)

enum { RATE = 1024 * 1024 };

static struct block_key key_of(uint8_t n)
{
    struct block_key key = {.len = 2, .bytes = {1, n}};
    return key;
}

static struct scrubber scrubber_at(uint64_t rate, struct scrub_progress progress, uint64_t real)
{
    struct scrubber s;
    scrubber_init(&s, rate, &progress, 0, real);
    return s;
}

static void nothing_is_read_without_a_rate(void **state)
{
    (void)state;
    struct scrubber s = scrubber_at(0, (struct scrub_progress){0}, REAL);
    assert_true(scrubber_due(&s) == UINT64_MAX);
    assert_false(scrubber_begin(&s, UINT64_C(1) << 62, REAL, false));
}

static void pages_are_paid_for_by_the_rate(void **state)
{
    (void)state;
    struct scrubber s = scrubber_at(RATE, (struct scrub_progress){0}, REAL);
    uint64_t now = SCRUB_START_NS;
    assert_false(scrubber_begin(&s, now - 1, REAL, false));
    for (uint8_t i = 1; i <= 10; i++) {
        struct scrub_page page = {.after = key_of(i), .blocks = 3, .bytes = 2 * RATE, .bad = i == 5};
        assert_true(scrubber_begin(&s, now, REAL, false));
        assert_false(scrubber_begin(&s, now, REAL, false)); /* one at a time */
        scrubber_page(&s, &page, now, REAL);
        assert_int_equal(scrubber_due(&s), now + 2 * SECOND_NS);
        now += 2 * SECOND_NS;
    }
    assert_int_equal(s.progress.blocks, 30);
    assert_int_equal(s.progress.bad, 1);
    assert_true(block_key_equal(&s.progress.after, &(struct block_key){.len = 2, .bytes = {1, 10}}));
}

static void a_busy_store_is_waited_for_but_not_forever(void **state)
{
    (void)state;
    struct scrubber s = scrubber_at(RATE, (struct scrub_progress){0}, REAL);
    assert_false(scrubber_begin(&s, SCRUB_START_NS + SCRUB_PATIENCE_NS - 1, REAL, true));
    assert_true(scrubber_begin(&s, SCRUB_START_NS + SCRUB_PATIENCE_NS, REAL, true));
}

static void the_next_pass_comes_a_week_after_the_last(void **state)
{
    (void)state;
    struct scrubber s = scrubber_at(RATE, (struct scrub_progress){0}, REAL);
    assert_true(scrubber_begin(&s, SCRUB_START_NS, REAL, false));
    scrubber_page(&s, &(struct scrub_page){.blocks = 7, .bytes = 9, .bad = 1}, SCRUB_START_NS, REAL + 5);
    assert_int_equal(s.progress.ended_ns, REAL + 5);
    assert_int_equal(s.progress.began_ns, 0);
    assert_true(scrubber_wants_save(&s, SCRUB_START_NS));
    assert_int_equal(scrubber_due(&s), SCRUB_START_NS + SCRUB_EVERY_NS);
    /* A day later, in another life. */
    struct scrubber next = scrubber_at(RATE, s.progress, REAL + 24 * 3600 * SECOND_NS + 5);
    assert_int_equal(scrubber_due(&next), 6 * 24 * 3600 * SECOND_NS);
    assert_true(scrubber_begin(&next, scrubber_due(&next), REAL + SCRUB_EVERY_NS, false));
    assert_int_equal(next.progress.blocks, 0); /* counted anew */
    assert_int_equal(next.progress.ended_ns, REAL + 5);
    /* A clock that was set back makes it early. */
    next = scrubber_at(RATE, s.progress, REAL - 3600 * SECOND_NS);
    assert_int_equal(scrubber_due(&next), SCRUB_START_NS);
}

static void progress_is_saved_once_a_minute(void **state)
{
    (void)state;
    struct scrubber s = scrubber_at(RATE, (struct scrub_progress){0}, REAL);
    uint64_t now = SCRUB_START_NS;
    assert_null(scrubber_take(&s));
    assert_true(scrubber_begin(&s, now, REAL, false));
    scrubber_page(&s, &(struct scrub_page){.after = key_of(1), .bytes = 1}, now, REAL);
    assert_false(scrubber_wants_save(&s, now));
    assert_true(scrubber_wants_save(&s, now + SCRUB_SAVE_NS));
    assert_non_null(scrubber_take(&s));
    assert_null(scrubber_take(&s));
    scrubber_save_again(&s, now);
    assert_true(scrubber_wants_save(&s, now));
}

/* ---- the healer ---- */

static void few_blocks_are_asked_for_at_once(void **state)
{
    (void)state;
    struct healer h;
    uint64_t ids[HEAL_MAX];
    healer_init(&h, 7);
    assert_true(healer_wants(&h, 1));
    for (uint8_t i = 0; i < HEAL_MAX; i++) {
        struct block_key key = key_of(i);
        ids[i] = healer_begin(&h, &key, 1);
        assert_int_not_equal(ids[i], 0);
        assert_int_equal(healer_begin(&h, &key, 1), 0); /* under way already */
    }
    struct block_key one_more = key_of(100);
    assert_int_equal(healer_begin(&h, &one_more, 1), 0);
    assert_false(healer_wants(&h, HEAL_LOOK_NS + 1));
    assert_false(healer_end(&h, 12345));
    assert_true(healer_end(&h, ids[3]));
    assert_false(healer_end(&h, ids[3]));
    assert_true(healer_wants(&h, 2)); /* at once */
    assert_int_not_equal(healer_begin(&h, &one_more, 2), 0);
}

static void what_nobody_answers_ends_by_itself(void **state)
{
    (void)state;
    struct healer h;
    struct block_key key = key_of(1);
    healer_init(&h, 0);
    uint64_t id = healer_begin(&h, &key, 0);
    assert_true(healer_wants(&h, HEAL_TIMEOUT_NS - 1));
    assert_int_equal(healer_running(&h), 1);
    assert_int_equal(healer_due(&h), HEAL_TIMEOUT_NS);
    (void)healer_wants(&h, HEAL_TIMEOUT_NS);
    assert_int_equal(healer_running(&h), 0);
    assert_false(healer_end(&h, id));
}

static void tries_become_rarer(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        assert_true(healer_backoff(i) <= HEAL_BACKOFF_MAX_NS);
        assert_true(healer_backoff(i + 1) >= healer_backoff(i));
    }
    assert_int_equal(healer_backoff(0), HEAL_BACKOFF_NS);
    assert_int_equal(healer_backoff(UINT64_MAX), HEAL_BACKOFF_MAX_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_read_without_a_rate),
        cmocka_unit_test(pages_are_paid_for_by_the_rate),
        cmocka_unit_test(a_busy_store_is_waited_for_but_not_forever),
        cmocka_unit_test(the_next_pass_comes_a_week_after_the_last),
        cmocka_unit_test(progress_is_saved_once_a_minute),
        cmocka_unit_test(few_blocks_are_asked_for_at_once),
        cmocka_unit_test(what_nobody_answers_ends_by_itself),
        cmocka_unit_test(tries_become_rarer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
