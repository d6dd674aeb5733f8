/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/connection_manager/reachability.h"
#include "base/limits.h"
#include "base/random.h"
#include "wire/autonat.h"

static struct reachability r;
static uint64_t now_ns;

/* A peer in a network of its own. */
static struct net_addr peer(uint8_t number)
{
    return (struct net_addr){.family = NET_IP4, .port = 4001, .ip = {80, number, 1, 1}};
}

static int setup(void **state)
{
    (void)state;
    now_ns = 1000 * SECOND_NS;
    reachability_init(&r, now_ns);
    return 0;
}

/* Waits until the next question may be asked, and asks the peer. */
static void ask(uint8_t number)
{
    struct net_addr addr = peer(number);
    now_ns = MAX(now_ns, r.next_ns);
    assert_true(reachability_is_due(&r, now_ns));
    assert_true(reachability_may_ask(&r, &addr, now_ns));
    reachability_asked(&r, &addr, now_ns);
    now_ns += SECOND_NS;
}

static void come_in(uint8_t number, bool open)
{
    struct net_addr addr = peer(number);
    addr.port = 50000; /* as sockets that dial have */
    reachability_came_in(&r, &addr, open, now_ns);
}

static void answer(uint64_t status)
{
    reachability_answered(&r, status, NULL, now_ns);
}

static void prove(uint8_t number)
{
    ask(number);
    come_in(number, false);
    answer(AUTONAT_OK);
}

static void miss(uint8_t number)
{
    ask(number);
    answer(AUTONAT_DIAL_ERROR);
}

static void two_that_came_through_are_enough(void **state)
{
    (void)state;
    struct net_addr at = {.family = NET_IP4, .port = 4001, .ip = {90, 1, 1, 1}};
    assert_false(reachability_is_due(&r, now_ns));
    prove(1);
    assert_int_equal(r.status, REACHABILITY_UNKNOWN);
    ask(2);
    come_in(2, false);
    reachability_answered(&r, AUTONAT_OK, &at, now_ns);
    assert_int_equal(r.status, REACHABILITY_PUBLIC);
    assert_int_equal(r.reached_at.port, 4001);
    assert_true(r.next_ns >= now_ns + REACHABILITY_FRESH_MS * MS_NS);
}

static void a_word_without_a_connection_is_nothing(void **state)
{
    (void)state;
    for (uint8_t i = 1; i < 20; i++) {
        ask(i);
        come_in((uint8_t)(i + 1), false); /* somebody else's */
        answer(AUTONAT_OK);
        assert_true(r.asking); /* it may have been overtaken */
        now_ns += REACHABILITY_LATE_MS * MS_NS;
        reachability_tick(&r, now_ns);
        assert_false(r.asking);
        come_in(i, false); /* too late */
    }
    assert_int_equal(r.status, REACHABILITY_UNKNOWN);
    assert_int_equal(r.answers, 0);
}

static void the_answer_may_overtake_the_connection(void **state)
{
    (void)state;
    for (uint8_t i = 1; i < 3; i++) {
        ask(i);
        answer(AUTONAT_OK);
        reachability_unanswered(&r, now_ns); /* its stream has ended with that */
        answer(AUTONAT_DIAL_ERROR);          /* a second answer is none */
        now_ns += SECOND_NS;
        reachability_tick(&r, now_ns);
        come_in(i, false);
        assert_false(r.asking);
    }
    assert_int_equal(r.status, REACHABILITY_PUBLIC);
}

static void more_than_three_have_to_fail(void **state)
{
    (void)state;
    for (uint8_t i = 1; i < 4; i++) {
        miss(i);
        assert_int_equal(r.status, REACHABILITY_UNKNOWN);
    }
    miss(4);
    assert_int_equal(r.status, REACHABILITY_PRIVATE);
}

/* Half of those asked lie: nothing is believed of either, and what was known stays. */
static void who_disagrees_begins_a_new_count(void **state)
{
    (void)state;
    prove(1);
    for (uint8_t i = 10; i < 30; i = (uint8_t)(i + 4)) {
        miss(i);
        miss((uint8_t)(i + 1));
        miss((uint8_t)(i + 2));
        assert_int_equal(r.status, REACHABILITY_UNKNOWN);
        prove((uint8_t)(i + 3));
        assert_int_equal(r.status, REACHABILITY_UNKNOWN);
    }
    prove(2);
    for (uint8_t i = 40; i < 43; i++)
        miss(i);
    assert_int_equal(r.status, REACHABILITY_PUBLIC);
    miss(43);
    assert_int_equal(r.status, REACHABILITY_PRIVATE);
}

static void a_network_has_one_voice_and_rests(void **state)
{
    (void)state;
    struct net_addr neighbour = {.family = NET_IP4, .ip = {80, 1, 200, 200}};
    struct net_addr six = {.family = NET_IP6, .ip = {0x26, 0x06, 0x47, 0x00, [15] = 1}};
    prove(1);
    assert_false(reachability_may_ask(&r, &neighbour, now_ns));
    assert_true(reachability_may_ask(&r, &six, now_ns));
    now_ns += REACHABILITY_REST_MS * MS_NS;
    assert_true(reachability_may_ask(&r, &neighbour, now_ns));
    prove(1);
    assert_int_equal(r.status, REACHABILITY_UNKNOWN);
    prove(2);
    assert_int_equal(r.status, REACHABILITY_PUBLIC);
}

static void questions_are_few(void **state)
{
    (void)state;
    static const uint64_t useless[] = {AUTONAT_DIAL_REFUSED, AUTONAT_BAD_REQUEST, AUTONAT_INTERNAL_ERROR, 7,
                                       UINT64_MAX};
    uint64_t before = 0;
    for (uint8_t i = 1; i < 200; i++) {
        uint64_t began = now_ns;
        ask(i);
        assert_false(reachability_is_due(&r, now_ns + 1000 * SECOND_NS)); /* one at a time */
        if (i % 7 == 0)
            reachability_unanswered(&r, now_ns);
        else
            answer(useless[i % ARRAY_LEN(useless)]);
        uint64_t pause = r.next_ns - now_ns;
        assert_true(pause >= before && pause <= REACHABILITY_PACE_MAX_MS * MS_NS);
        assert_true(now_ns > began);
        before = pause;
    }
    assert_int_equal(before, REACHABILITY_PACE_MAX_MS * MS_NS);
    assert_int_equal(r.status, REACHABILITY_UNKNOWN);
    prove(201); /* what leads somewhere has the old pace again */
    assert_true(r.next_ns < now_ns + REACHABILITY_PACE_MS * MS_NS);
    reachability_nobody(&r, now_ns);
    assert_int_equal(r.next_ns, now_ns + REACHABILITY_LOOK_MS * MS_NS);
}

static void silence_ends(void **state)
{
    (void)state;
    ask(1);
    reachability_tick(&r, now_ns);
    assert_true(r.asking);
    now_ns += REACHABILITY_ASK_MS * MS_NS;
    reachability_tick(&r, now_ns);
    assert_false(r.asking);
    answer(AUTONAT_DIAL_ERROR); /* nobody waits for it any more */
    assert_int_equal(r.answers, 0);
}

/* Some reach this node, some do not: those count who come in. */
static void visits_outweigh_failures(void **state)
{
    (void)state;
    for (uint8_t i = 1; i < 4; i++)
        miss(i);
    come_in(100, true);
    miss(4);
    assert_int_equal(r.status, REACHABILITY_UNKNOWN);
    now_ns += REACHABILITY_VISIT_MS * MS_NS;
    for (uint8_t i = 11; i < 15; i++)
        miss(i);
    assert_int_equal(r.status, REACHABILITY_PRIVATE);
    come_in(101, false); /* through a hole in the local network: it says nothing */
    assert_int_equal(r.status, REACHABILITY_PRIVATE);
    come_in(101, true);
    assert_int_equal(r.status, REACHABILITY_UNKNOWN);
    assert_true(r.next_ns <= now_ns + REACHABILITY_PACE_MS * MS_NS);
    ask(20);
    come_in(20, false);
    answer(AUTONAT_DIAL_ERROR); /* although it was seen to come */
    assert_int_equal(r.agreed_count, 0);
}

static void another_network_is_asked_about_soon(void **state)
{
    (void)state;
    prove(1);
    prove(2);
    assert_true(r.next_ns > now_ns + REACHABILITY_PACE_MS * MS_NS);
    reachability_moved(&r, now_ns);
    struct net_addr first = peer(1);
    assert_true(r.next_ns <= now_ns + REACHABILITY_PACE_MS * MS_NS);
    assert_true(reachability_may_ask(&r, &first, now_ns));
    assert_int_equal(r.status, REACHABILITY_PUBLIC); /* until others disagree */
    assert_int_equal(r.reached_at.family, 0);
}

/* Whatever happens in whatever order, there is a next time, bounds hold, and nothing is public without a connection. */
static void any_order_is_borne(void **state)
{
    (void)state;
    struct prng random;
    prng_init(&random, 6);
    uint64_t proofs = 0;
    for (unsigned i = 0; i < 200000; i++) {
        struct net_addr addr = peer((uint8_t)prng_below(&random, 8));
        now_ns += prng_below(&random, 40) * SECOND_NS;
        enum reachability_status before = r.status;
        bool asking = r.asking;
        switch (prng_below(&random, 7)) {
        case 0:
            if (reachability_is_due(&r, now_ns) && reachability_may_ask(&r, &addr, now_ns))
                reachability_asked(&r, &addr, now_ns);
            break;
        case 1:
            reachability_answered(&r, prng_below(&random, 2) * 100, &addr, now_ns);
            break;
        case 2:
            proofs += asking;
            reachability_came_in(&r, &addr, prng_below(&random, 50) == 0, now_ns);
            break;
        case 3:
            reachability_unanswered(&r, now_ns);
            break;
        case 4:
            reachability_nobody(&r, now_ns);
            break;
        default:
            reachability_tick(&r, now_ns);
            break;
        }
        assert_true(r.status != REACHABILITY_PUBLIC || before == REACHABILITY_PUBLIC || proofs >= REACHABILITY_PROVEN);
        assert_true(r.next_ns <= now_ns + REACHABILITY_FRESH_MS * MS_NS);
        assert_true(!r.asking || r.due_ns <= now_ns + REACHABILITY_ASK_MS * MS_NS);
        assert_true(r.agreed_count <= REACHABILITY_FAILED);
    }
    assert_true(r.questions > 100 && r.answers > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(two_that_came_through_are_enough, setup),
        cmocka_unit_test_setup(a_word_without_a_connection_is_nothing, setup),
        cmocka_unit_test_setup(the_answer_may_overtake_the_connection, setup),
        cmocka_unit_test_setup(more_than_three_have_to_fail, setup),
        cmocka_unit_test_setup(who_disagrees_begins_a_new_count, setup),
        cmocka_unit_test_setup(a_network_has_one_voice_and_rests, setup),
        cmocka_unit_test_setup(questions_are_few, setup),
        cmocka_unit_test_setup(silence_ends, setup),
        cmocka_unit_test_setup(visits_outweigh_failures, setup),
        cmocka_unit_test_setup(another_network_is_asked_about_soon, setup),
        cmocka_unit_test_setup(any_order_is_borne, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
