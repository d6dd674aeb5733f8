/* SPDX-License-Identifier: MIT */
/* The dialer by hand: orders out, progress in, a clock that the test owns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/connection_manager/dialer.h"
#include "base/limits.h"
#include "base/random.h"

struct fixture {
    struct dialer *d;
    struct account account;
    uint64_t now;
    struct dialer_order order;
};

static const enum connection_security both[2] = {CONNECTION_NOISE, CONNECTION_TLS};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.now = 3600 * SECOND_NS};
    account_init(&f.account, "tables", 8 * MIB);
    assert_int_equal(dialer_new(both, 2, &f.account, &f.d), ERR_OK);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    dialer_free(f->d);
    assert_int_equal(account_used(&f->account), 0);
    return 0;
}

static struct peer_id peer_of(uint8_t n)
{
    uint8_t key[36] = {8, 1, 18, 32, n};
    return peer_id_of_key(span_of(key, sizeof(key)));
}

static struct endpoint public4(uint8_t n)
{
    return (struct endpoint){.addr = {.family = NET_IP4, .port = 4001, .ip = {203, 0, 113, n}}};
}

static uint64_t start(struct fixture *f, const struct peer_id *peer, const struct endpoint *addrs, size_t n)
{
    uint64_t dial;
    assert_int_equal(dialer_start(f->d, peer, addrs, n, 0, true, f->now, &dial), ERR_OK);
    return dial;
}

static struct dialer_order expect(struct fixture *f, enum dialer_order_kind kind)
{
    assert_true(dialer_next(f->d, f->now, &f->order));
    assert_int_equal(f->order.kind, kind);
    return f->order;
}

static void expect_nothing(struct fixture *f)
{
    assert_false(dialer_next(f->d, f->now, &f->order));
}

static void addresses_are_tried_250_ms_apart(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = peer_of(1);
    struct endpoint addrs[3] = {public4(1), public4(2), public4(3)};
    start(f, &peer, addrs, 3);
    struct dialer_order first = expect(f, DIALER_CONNECT);
    assert_true(first.optimistic);
    assert_int_equal(first.security[0], CONNECTION_NOISE);
    expect_nothing(f);
    assert_int_equal(dialer_deadline(f->d, f->now), f->now + 250 * MS_NS);
    f->now += 249 * MS_NS;
    expect_nothing(f);
    f->now += MS_NS;
    struct dialer_order second = expect(f, DIALER_CONNECT);
    assert_true(endpoint_equal(&second.to, &addrs[1]));
    dialer_attempt_failed(f->d, second.attempt, ERR_REFUSED); /* a failure hurries the next */
    struct dialer_order third = expect(f, DIALER_CONNECT);
    dialer_attempt_connected(f->d, third.attempt);
    dialer_attempt_upgraded(f->d, third.attempt, &peer, CONNECTION_NOISE);
    assert_int_equal(expect(f, DIALER_ABANDON).attempt, first.attempt);
    assert_int_equal(expect(f, DIALER_DONE).err, ERR_OK);
    expect_nothing(f);
    assert_int_equal(dialer_deadline(f->d, f->now), UINT64_MAX);
}

static void near_addresses_first_then_families_in_turn(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = peer_of(1);
    struct endpoint six = {.addr = {.family = NET_IP6, .port = 1, .ip = {0x20, 1, 0xd, 0xb8}}};
    struct endpoint six2 = {.addr = {.family = NET_IP6, .port = 2, .ip = {0x20, 1, 0xd, 0xb8}}};
    struct endpoint lan = {.addr = {.family = NET_IP4, .port = 1, .ip = {192, 168, 1, 9}}};
    struct endpoint lo = {.addr = {.family = NET_IP4, .port = 1, .ip = {127, 0, 0, 1}}};
    struct endpoint ws = public4(1); /* the same address and port, but another endpoint */
    struct endpoint ws_lo = lo;
    ws.websocket = true;
    ws_lo.websocket = true;
    struct endpoint given[] = {ws_lo, ws, public4(1), public4(2), six, six2, lan, lo, public4(1), ws};
    struct endpoint expected[] = {lo, ws_lo, lan, six, public4(1), six2, public4(2), ws};
    start(f, &peer, given, ARRAY_LEN(given));
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        struct dialer_order o = expect(f, DIALER_CONNECT);
        assert_true(endpoint_equal(&o.to, &expected[i]));
        dialer_attempt_failed(f->d, o.attempt, ERR_UNREACHABLE);
    }
    assert_int_equal(expect(f, DIALER_DONE).err, ERR_UNREACHABLE);
}

static void each_stage_times_out(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = peer_of(1);
    struct endpoint addr = public4(1);
    start(f, &peer, &addr, 1);
    struct dialer_order o = expect(f, DIALER_CONNECT);
    f->now += 4999 * MS_NS;
    expect_nothing(f);
    f->now += MS_NS;
    assert_int_equal(expect(f, DIALER_ABANDON).attempt, o.attempt);
    assert_int_equal(expect(f, DIALER_DONE).err, ERR_TIMEOUT);
    start(f, &peer, &addr, 1);
    o = expect(f, DIALER_CONNECT);
    dialer_attempt_connected(f->d, o.attempt);
    f->now += 14999 * MS_NS;
    expect_nothing(f);
    f->now += MS_NS;
    expect(f, DIALER_ABANDON);
    assert_int_equal(expect(f, DIALER_DONE).err, ERR_TIMEOUT);
    struct endpoint lo = {.addr = {.family = NET_IP4, .port = 1, .ip = {127, 0, 0, 1}}};
    start(f, &peer, &lo, 1);
    o = expect(f, DIALER_CONNECT);
    dialer_attempt_connected(f->d, o.attempt);
    f->now += 5000 * MS_NS;
    expect(f, DIALER_ABANDON);
    assert_int_equal(expect(f, DIALER_DONE).err, ERR_TIMEOUT);
}

static void a_refused_noise_is_retried_with_tls_and_remembered(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = peer_of(1);
    struct endpoint addr = public4(1);
    start(f, &peer, &addr, 1);
    struct dialer_order o = expect(f, DIALER_CONNECT);
    dialer_attempt_connected(f->d, o.attempt);
    dialer_attempt_failed(f->d, o.attempt, ERR_REFUSED);
    o = expect(f, DIALER_CONNECT);
    assert_true(endpoint_equal(&o.to, &addr));
    assert_true(o.optimistic);
    assert_int_equal(o.security[0], CONNECTION_TLS);
    assert_int_equal(o.security[1], CONNECTION_NOISE);
    dialer_attempt_connected(f->d, o.attempt);
    dialer_attempt_upgraded(f->d, o.attempt, &peer, CONNECTION_TLS);
    assert_int_equal(expect(f, DIALER_DONE).err, ERR_OK);
    start(f, &peer, &addr, 1);
    o = expect(f, DIALER_CONNECT);
    assert_true(o.optimistic); /* three round trips: TLS is known to be taken */
    assert_int_equal(o.security[0], CONNECTION_TLS);
}

static void a_peer_that_refuses_all_optimism_is_asked_plainly(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = peer_of(1);
    struct endpoint addr = public4(1);
    start(f, &peer, &addr, 1);
    for (int i = 0; i < 3; i++) {
        struct dialer_order o = expect(f, DIALER_CONNECT);
        assert_int_equal(o.optimistic, i < 2);
        dialer_attempt_connected(f->d, o.attempt);
        dialer_attempt_failed(f->d, o.attempt, ERR_REFUSED);
    }
    assert_int_equal(expect(f, DIALER_DONE).err, ERR_REFUSED);
}

static void a_hang_up_is_retried_plainly(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = peer_of(1);
    struct endpoint addr = public4(1);
    start(f, &peer, &addr, 1);
    struct dialer_order o = expect(f, DIALER_CONNECT);
    dialer_attempt_connected(f->d, o.attempt);
    dialer_attempt_failed(f->d, o.attempt, ERR_RESET);
    o = expect(f, DIALER_CONNECT);
    assert_false(o.optimistic);
    dialer_attempt_connected(f->d, o.attempt);
    dialer_attempt_upgraded(f->d, o.attempt, &peer, CONNECTION_NOISE);
    assert_int_equal(expect(f, DIALER_DONE).err, ERR_OK);
}

static void a_refused_socket_is_no_reason_to_doubt_noise(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = peer_of(1);
    struct endpoint addr = public4(1);
    start(f, &peer, &addr, 1);
    dialer_attempt_failed(f->d, expect(f, DIALER_CONNECT).attempt, ERR_REFUSED);
    assert_int_equal(expect(f, DIALER_DONE).err, ERR_REFUSED);
    start(f, &peer, &addr, 1);
    assert_true(expect(f, DIALER_CONNECT).optimistic);
}

static void another_identity_is_not_retried(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = peer_of(1);
    struct endpoint addr = public4(1);
    start(f, &peer, &addr, 1);
    struct dialer_order o = expect(f, DIALER_CONNECT);
    assert_true(peer_id_equal(&o.peer, &peer));
    dialer_attempt_connected(f->d, o.attempt);
    dialer_attempt_failed(f->d, o.attempt, ERR_MISMATCH);
    assert_int_equal(expect(f, DIALER_DONE).err, ERR_MISMATCH);
}

static void failures_back_off_unless_forced(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = peer_of(1);
    struct endpoint addr = public4(1);
    uint64_t dial;
    for (unsigned failures = 1; failures <= 3; failures++) {
        start(f, &peer, &addr, 1);
        dialer_attempt_failed(f->d, expect(f, DIALER_CONNECT).attempt, ERR_REFUSED);
        expect(f, DIALER_DONE);
        uint64_t wait = 5000 * MS_NS * failures * failures;
        f->now += wait - 1;
        assert_int_equal(dialer_start(f->d, &peer, &addr, 1, 0, false, f->now, &dial), ERR_UNAVAILABLE);
        f->now += 1;
    }
    assert_int_equal(dialer_start(f->d, &peer, &addr, 1, 0, false, f->now, &dial), ERR_OK);
}

static void what_we_had_no_room_for_does_not_count_against_the_peer(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = peer_of(1);
    struct endpoint addr = public4(1);
    uint64_t dial;
    const enum err ours[] = {ERR_BUSY, ERR_NOMEM};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        start(f, &peer, &addr, 1);
        dialer_attempt_failed(f->d, expect(f, DIALER_CONNECT).attempt, ours[i]);
        assert_int_equal(expect(f, DIALER_DONE).err, ours[i]);
        assert_int_equal(dialer_start(f->d, &peer, &addr, 1, 0, false, f->now, &dial), ERR_OK);
        dialer_cancel(f->d, dial);
        expect(f, DIALER_DONE);
    }
}

static void dials_to_one_peer_join(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = peer_of(1);
    struct endpoint addrs[2] = {public4(1), public4(2)};
    uint64_t dial = start(f, &peer, &addrs[0], 1);
    assert_int_equal(start(f, &peer, addrs, 2), dial);
    dialer_attempt_failed(f->d, expect(f, DIALER_CONNECT).attempt, ERR_REFUSED);
    expect(f, DIALER_CONNECT);
    assert_true(endpoint_equal(&f->order.to, &addrs[1]));
    dialer_cancel(f->d, dial);
    expect(f, DIALER_ABANDON);
    assert_int_equal(expect(f, DIALER_DONE).err, ERR_CANCELLED);
}

static void a_name_may_come_later(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = peer_of(1);
    struct endpoint addr = public4(1);
    uint64_t dial;
    assert_int_equal(dialer_start(f->d, &peer, NULL, 0, 0, true, f->now, &dial), ERR_NOT_FOUND);
    assert_int_equal(dialer_start(f->d, &peer, NULL, 0, 2, true, f->now, &dial), ERR_OK);
    expect_nothing(f);
    dialer_add(f->d, dial, &addr, 1);
    dialer_attempt_failed(f->d, expect(f, DIALER_CONNECT).attempt, ERR_REFUSED);
    expect_nothing(f);
    dialer_add(f->d, dial, NULL, 0);
    assert_int_equal(expect(f, DIALER_DONE).err, ERR_REFUSED);
}

static void random_dials_all_end_within_bounds(void **state)
{
    struct fixture *f = *state;
    struct prng prng;
    prng_init(&prng, 5);
    uint64_t live[DIALER_ATTEMPTS_MAX];
    size_t in_flight = 0;
    size_t ended = 0;
    for (int step = 0; step < 30000; step++) {
        f->now += prng_below(&prng, 100 * MS_NS);
        if (step < 25000 && prng_below(&prng, 3) == 0) {
            struct peer_id peer = peer_of((uint8_t)prng_below(&prng, 200));
            struct endpoint addrs[4];
            for (int i = 0; i < 4; i++)
                addrs[i] = public4((uint8_t)prng_below(&prng, 256));
            uint64_t dial;
            enum err err = dialer_start(f->d, &peer, addrs, 1 + (size_t)prng_below(&prng, 4), 0, true, f->now, &dial);
            assert_true(err == ERR_OK || err == ERR_BUSY);
        }
        if (in_flight > 0 && prng_below(&prng, 2) == 0) {
            size_t i = (size_t)prng_below(&prng, in_flight);
            struct peer_id peer = peer_of(1);
            uint64_t what = prng_below(&prng, 3);
            if (what == 0) {
                dialer_attempt_connected(f->d, live[i]);
            } else {
                if (what == 1)
                    dialer_attempt_upgraded(f->d, live[i], &peer, CONNECTION_TLS);
                else
                    dialer_attempt_failed(f->d, live[i], ERR_REFUSED);
                live[i] = live[--in_flight];
            }
        }
        while (dialer_next(f->d, f->now, &f->order)) {
            if (f->order.kind == DIALER_CONNECT) {
                assert_true(in_flight < DIALER_ATTEMPTS_MAX);
                live[in_flight++] = f->order.attempt;
            } else if (f->order.kind == DIALER_ABANDON) {
                size_t i = 0;
                while (i < in_flight && live[i] != f->order.attempt)
                    i++;
                assert_true(i < in_flight); /* only what runs is abandoned, once */
                live[i] = live[--in_flight];
            } else {
                ended++;
            }
        }
    }
    f->now += 120 * SECOND_NS;
    for (int round = 0; round < 100; round++, f->now += 20 * SECOND_NS)
        while (dialer_next(f->d, f->now, &f->order))
            ended += f->order.kind == DIALER_DONE;
    assert_true(ended > 100);
    assert_int_equal(dialer_deadline(f->d, f->now), UINT64_MAX);
}

/* A burst, then a steady rate, whatever is asked; the deadline says when. */
static void sockets_are_opened_at_a_pace(void **state)
{
    struct fixture *f = *state;
    unsigned opened = 0;
    dialer_pace(f->d, 4, 8, 64, f->now);
    for (uint8_t i = 0; i < 60; i++) {
        struct peer_id peer = peer_of(i);
        struct endpoint addr = public4(i);
        (void)start(f, &peer, &addr, 1);
    }
    uint64_t began = f->now;
    while (dialer_next(f->d, f->now, &f->order))
        opened += f->order.kind == DIALER_CONNECT;
    assert_int_equal(opened, 8);
    for (unsigned wakes = 0; f->now < began + 4 * SECOND_NS; wakes++) {
        uint64_t at = dialer_deadline(f->d, f->now);
        assert_true(at > f->now && at <= f->now + 250 * MS_NS);
        assert_true(wakes < 20);
        f->now = at;
        while (dialer_next(f->d, f->now, &f->order))
            opened += f->order.kind == DIALER_CONNECT;
    }
    assert_int_equal(opened, 8 + 4 * 4);
}

static void so_many_attempts_are_under_way_at_once(void **state)
{
    struct fixture *f = *state;
    unsigned opened = 0;
    uint64_t attempt = 0;
    dialer_pace(f->d, 0, 1, 3, f->now);
    for (uint8_t i = 0; i < 10; i++) {
        struct peer_id peer = peer_of(i);
        struct endpoint addr = public4(i);
        (void)start(f, &peer, &addr, 1);
    }
    while (dialer_next(f->d, f->now, &f->order)) {
        opened++;
        attempt = f->order.attempt;
    }
    assert_int_equal(opened, 3);
    dialer_attempt_failed(f->d, attempt, ERR_REFUSED);
    opened = 0;
    while (dialer_next(f->d, f->now, &f->order))
        opened += f->order.kind == DIALER_CONNECT;
    assert_int_equal(opened, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(sockets_are_opened_at_a_pace),
        T(so_many_attempts_are_under_way_at_once),
        T(addresses_are_tried_250_ms_apart),
        T(near_addresses_first_then_families_in_turn),
        T(each_stage_times_out),
        T(a_refused_noise_is_retried_with_tls_and_remembered),
        T(a_peer_that_refuses_all_optimism_is_asked_plainly),
        T(a_hang_up_is_retried_plainly),
        T(a_refused_socket_is_no_reason_to_doubt_noise),
        T(another_identity_is_not_retried),
        T(failures_back_off_unless_forced),
        T(what_we_had_no_room_for_does_not_count_against_the_peer),
        T(dials_to_one_peer_join),
        T(a_name_may_come_later),
        T(random_dials_all_end_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
