/* SPDX-License-Identifier: MIT */
/*
 * The listener admits requests by their bytes. Nothing here depends on time but the bound on waiting.
 */
#include "tests/unit/actors/helper_listener.h"

#include <nng/supplemental/util/platform.h>

enum { LARGE = 600 * 1024 };

static void what_does_not_fit_is_busy_at_once(void **state)
{
    (void)state;
    nng_socket first = play_ask(0x81, LARGE);
    unsigned slot = play_await_request(LARGE);
    assert_int_equal(account_used(&play.requests), LARGE);
    play_expect_answer(play_ask(0x81, LARGE), "\x81 busy"); /* though the actor never looked */
    play_expect_answer(play_ask('{', LARGE), "{busy}");
    assert_int_equal(account_used(&play.requests), LARGE);
    listener_answer(play.listener, slot, span_text("done"));
    play_expect_answer(first, "done");
    assert_int_equal(account_used(&play.requests), 0);
    nng_socket again = play_ask(0x81, LARGE);
    listener_answer(play.listener, play_await_request(LARGE), span_text("done too"));
    play_expect_answer(again, "done too");
}

static void small_requests_always_pass(void **state)
{
    (void)state;
    assert_true(account_take(&play.requests, MIB));
    nng_socket small = play_ask(0x81, LISTENER_FREE_BYTES);
    listener_answer(play.listener, play_await_request(LISTENER_FREE_BYTES), span_text("done"));
    play_expect_answer(small, "done");
    play_expect_answer(play_ask(0x81, LISTENER_FREE_BYTES + 1), "\x81 busy");
    account_give(&play.requests, MIB);
}

static void a_copy_keeps_the_charge(void **state)
{
    (void)state;
    nng_socket socket = play_ask('{', LARGE);
    unsigned slot = play_await_request(LARGE);
    listener_drop_bytes(play.listener, slot);
    assert_int_equal(account_used(&play.requests), LARGE);
    listener_answer(play.listener, slot, span_text("done"));
    play_expect_answer(socket, "done");
    assert_int_equal(account_used(&play.requests), 0);
}

/* A life of the actor ends: what it was working on goes to the next one or is told to ask again, and nobody is disconnected. */
static void the_next_life_goes_on(void **state)
{
    (void)state;
    unsigned slot;
    uint32_t client;
    struct span bytes;
    nng_socket left = play_ask(0x81, LARGE);
    unsigned taken = play_await_request(LARGE);
    assert_true(listener_deadline(play.listener, taken) == UINT64_MAX);
    assert_false(listener_next(play.listener, &slot, &client, &bytes));
    assert_true(listener_return(play.listener, taken, 77));
    listener_resume(play.listener);
    assert_true(listener_next(play.listener, &slot, &client, &bytes));
    assert_int_equal(slot, taken);
    assert_int_equal(listener_deadline(play.listener, slot), 77);
    assert_int_equal(bytes.len, LARGE);
    assert_int_equal(account_used(&play.requests), LARGE); /* it was charged all along */
    listener_resume(play.listener);                        /* that one did not give it back */
    play_expect_answer(left, "\x81 busy");
    assert_int_equal(account_used(&play.requests), 0);
}

static void a_request_that_ends_lives_is_not_returned_for_ever(void **state)
{
    (void)state;
    nng_socket socket = play_ask(0x81, 100);
    unsigned slot = play_await_request(100);
    for (int life = 0; life < LISTENER_RETURNS_MAX; life++) {
        assert_true(listener_return(play.listener, slot, 77));
        listener_resume(play.listener);
        slot = play_await_request(100);
    }
    assert_false(listener_return(play.listener, slot, 77));
    listener_answer(play.listener, slot, span_text("done"));
    play_expect_answer(socket, "done");
    socket = play_ask('{', 100);
    slot = play_await_request(100);
    listener_drop_bytes(play.listener, slot);
    assert_false(listener_return(play.listener, slot, 77)); /* nothing to return */
    listener_answer(play.listener, slot, span_text("done"));
    play_expect_answer(socket, "done");
}

/* Of a client that asks for nothing at the moment, too. */
static void who_has_gone_is_known(void **state)
{
    (void)state;
    unsigned slot;
    uint32_t clients[2];
    struct span bytes;
    nng_socket sockets[2];
    for (size_t i = 0; i < 2; i++) {
        sockets[i] = play_ask(0x81, 100);
        for (int waited = 0; !listener_next(play.listener, &slot, &clients[i], &bytes); waited++) {
            assert_true(waited < LISTENER_WAIT_MS);
            nng_msleep(1);
        }
        listener_answer(play.listener, slot, span_text("done"));
        assert_false(listener_some_left(play.listener));
    }
    play_expect_answer(sockets[1], "done");
    for (int waited = 0; !listener_some_left(play.listener); waited++) {
        assert_true(waited < LISTENER_WAIT_MS);
        nng_msleep(1);
    }
    assert_true(listener_has_left(play.listener, clients[1]));
    assert_false(listener_has_left(play.listener, clients[0]));
    assert_false(listener_some_left(play.listener));
    play_expect_answer(sockets[0], "done");
}

/* What is left when the listener closes is given back: play_close looks. */
static void the_end_gives_all_back(void **state)
{
    (void)state;
    nng_socket taken = play_ask(0x81, LARGE);
    (void)play_await_request(LARGE);
    assert_int_equal(account_used(&play.requests), LARGE);
    assert_int_equal(nng_close(taken), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_busy_at_once, play_open, play_close),
        cmocka_unit_test_setup_teardown(small_requests_always_pass, play_open, play_close),
        cmocka_unit_test_setup_teardown(a_copy_keeps_the_charge, play_open, play_close),
        cmocka_unit_test_setup_teardown(the_next_life_goes_on, play_open, play_close),
        cmocka_unit_test_setup_teardown(a_request_that_ends_lives_is_not_returned_for_ever, play_open, play_close),
        cmocka_unit_test_setup_teardown(who_has_gone_is_known, play_open, play_close),
        cmocka_unit_test_setup_teardown(the_end_gives_all_back, play_open, play_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
