/* SPDX-License-Identifier: MIT */
/*
 * The listener admits requests by their bytes. Nothing here depends on time but the bound on waiting.
 */
#include "tests/unit/actors/helper_listener.h"

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
        cmocka_unit_test_setup_teardown(the_end_gives_all_back, play_open, play_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
