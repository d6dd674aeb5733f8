/* SPDX-License-Identifier: MIT */
/* The bound of a mailbox where senders meet, and where another process has written into it. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mailbox/handling.h"
#include "mailbox/shared.h"

enum { SENDERS = 2, ROUNDS = 100000, BYTES_MAX = 1000, BYTES = 600 };

struct race {
    struct box box;
    _Atomic uint64_t arrived; /* at each point where they meet */
    bool taken[SENDERS];
    uint64_t lost; /* rounds in which all were refused by an empty box */
};

struct sender {
    struct race *race;
    actor_id id;
};

/* Both leave within nanoseconds, where there are two processors; else whoever waits lets the other run. */
static void meet(struct race *race, uint64_t point)
{
    enum { SPINS = 2000 };
    atomic_fetch_add(&race->arrived, 1);
    for (int i = 0; atomic_load(&race->arrived) < point * SENDERS; i++) {
        if (i > SPINS)
            (void)sched_yield();
    }
}

static void *send_often(void *arg)
{
    const struct sender *s = arg;
    struct race *race = s->race;
    const struct box_pair pair = box_pair_of(s->id, 1, 1);
    uint64_t point = 0;
    for (int i = 0; i < ROUNDS; i++) {
        meet(race, ++point);
        race->taken[s->id] = box_take_or_wait(&race->box, pair, BYTES);
        meet(race, ++point);
        if (s->id == 0 && !race->taken[0] && !race->taken[1])
            race->lost++;
        meet(race, ++point);
        if (race->taken[s->id])
            box_give(&race->box, pair, 1, BYTES);
    }
    return NULL;
}

/* Nobody would tell them of room: there is nothing that the receiver handles. */
static void senders_who_meet_are_not_both_refused(void **state)
{
    (void)state;
    static struct race race;
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    box_init(&race.box, SENDERS, 10, BYTES_MAX);
    for (actor_id i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.race = &race, .id = i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_often, &senders[i]), 0);
    }
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(race.lost, 0);
    assert_int_equal(box_held(&race.box), 0);
}

static void a_box_that_holds_nothing_at_all_refuses(void **state)
{
    (void)state;
    static struct box box;
    box_init(&box, SENDERS, 10, BYTES_MAX);
    box.records_max = 0;
    assert_false(box_take_or_wait(&box, box_pair_of(1, 1, 1), 8));
    assert_int_equal(box_held(&box), 0);
    assert_int_equal(atomic_load(&box.waiters), 2);
}

/* As a process may leave it that was taken over: figures are wrong then, nothing else. */
static void numbers_of_another_process_are_no_places(void **state)
{
    (void)state;
    static struct box box;
    static struct handling handling;
    box_init(&box, UINT32_MAX, 10, BYTES_MAX);
    assert_true(box_take(&box, box_pair_of(1, 1, 1), 8, false));
    assert_int_equal(box_records(box_held(&box)), 1);
    atomic_store(&handling.current, UINT32_MAX - 6);
    handling_note(&handling, SECOND_NS, 20 * SECOND_NS);
    handling_count(&handling, 1);
    assert_int_equal(atomic_load(&handling.messages), 1);
    assert_true(atomic_load(&handling.current) < 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(senders_who_meet_are_not_both_refused),
        cmocka_unit_test(a_box_that_holds_nothing_at_all_refuses),
        cmocka_unit_test(numbers_of_another_process_are_no_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
