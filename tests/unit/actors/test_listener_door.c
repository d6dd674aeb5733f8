/* SPDX-License-Identifier: MIT */
/*
 * Clients come in whatever others did at the door.
 */
#include "tests/unit/actors/helper_listener.h"

#include <nng/supplemental/util/platform.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { VISITORS = 300, LEAVERS = 1000, CHECK_MS = 200 };

static struct sockaddr_un where_door_is(void)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    (void)snprintf(where.sun_path, sizeof(where.sun_path), "%s/control.sock", play.folder);
    return where;
}

/* Clients that connect and go before they are greeted: nng 1.5.2 lets nobody in after one of them. */
static void whoever_goes_at_once_locks_nobody_out(void **state)
{
    (void)state;
    struct sockaddr_un where = where_door_is();
    char why[LISTENER_WHY_BYTES] = "";
    bool reopened = false;
    for (unsigned i = 0; i < VISITORS; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (const struct sockaddr *)&where, sizeof(where)), 0);
        (void)close(fd);
    }
    nng_socket after = play_ask('{', 100);
    unsigned slot = 0;
    uint32_t client = 0;
    struct span bytes;
    int waited = 0;
    for (; waited < 2 * LISTENER_WAIT_MS && !listener_next(play.listener, &slot, &client, &bytes); waited += CHECK_MS) {
        nng_msleep(CHECK_MS);
        reopened = listener_check(play.listener, why) || reopened;
    }
    assert_true(waited < 2 * LISTENER_WAIT_MS);
    assert_true(!reopened || why[0] != '\0');
    listener_answer(play.listener, slot, span_text("done"));
    play_expect_answer(after, "done");
}

static void a_door_that_lets_clients_in_is_left_alone(void **state)
{
    (void)state;
    char why[LISTENER_WHY_BYTES] = "";
    for (unsigned check = 0; check < 10; check++) {
        nng_socket socket = play_ask('{', 100);
        listener_answer(play.listener, play_await_request(100), span_text("done"));
        assert_false(listener_check(play.listener, why));
        play_expect_answer(socket, "done");
    }
}

/* Comes in as a REQ socket does, asks, and goes without waiting. */
static void ask_and_leave(void)
{
    static const uint8_t greeting[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    static const uint8_t request[] = {1, 0, 0, 0, 0, 0, 0, 0, 6, 0x80, 0, 0, 1, '{', '}'};
    uint8_t theirs[sizeof(greeting)];
    struct sockaddr_un where = where_door_is();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&where, sizeof(where)), 0);
    assert_int_equal(write(fd, greeting, sizeof(greeting)), sizeof(greeting));
    assert_int_equal(recv(fd, theirs, sizeof(theirs), MSG_WAITALL), sizeof(theirs));
    assert_int_equal(write(fd, request, sizeof(request)), sizeof(request));
    assert_int_equal(close(fd), 0);
}

static void await_news(void)
{
    struct pollfd fd = {.fd = listener_fd(play.listener), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, LISTENER_WAIT_MS), 1);
    listener_acknowledge(play.listener);
}

/* A request may get here after the end of its client: it must not be worked on until its deadline, for nobody. */
static void whoever_asks_and_leaves_is_known_to_be_gone(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LEAVERS; i++) {
        unsigned slot = 0;
        uint32_t client = 0;
        struct span bytes;
        ask_and_leave();
        while (!listener_next(play.listener, &slot, &client, &bytes))
            await_news();
        while (!listener_gone(play.listener, &slot))
            await_news();
        listener_answer(play.listener, slot, span_text("nobody hears"));
    }
}

/*
 * A listener of nng 1.5.2 that stopped accepting never lets its last pipes go, nor they it: not ours to free. The threads that made them are
 * nng's own, without a name to tell them by; therefore these tests stand alone, and a leaked request is seen by those of test_listener.
 */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libnng.so\n";
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whoever_goes_at_once_locks_nobody_out, play_open, play_close),
        cmocka_unit_test_setup_teardown(a_door_that_lets_clients_in_is_left_alone, play_open, play_close),
        cmocka_unit_test_setup_teardown(whoever_asks_and_leaves_is_known_to_be_gone, play_open, play_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
