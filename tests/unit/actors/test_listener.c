/* SPDX-License-Identifier: MIT */
/*
 * The listener admits requests by their bytes: against a real socket, with an account of 1 MiB and nobody who takes the requests, so
 * that what arrives stays. Nothing here depends on time but the bound on waiting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/util/platform.h>

#include "actors/control/listener.h"
#include "base/limits.h"

enum { LARGE = 600 * 1024, WAIT_MS = 5000, STEP_MS = 5, VISITORS = 300, CHECK_MS = 200 };

static struct {
    char folder[64];
    struct account requests;
    struct listener *listener;
} play;

static int open_listener(void **state)
{
    (void)state;
    char why[LISTENER_WHY_BYTES] = "";
    (void)snprintf(play.folder, sizeof(play.folder), "/tmp/hearth-listener-XXXXXX");
    assert_non_null(mkdtemp(play.folder));
    account_init(&play.requests, "requests", MIB);
    struct listener_options options = {.repository = play.folder,
                                       .folder = play.folder,
                                       .group = "",
                                       .uids = {(uint32_t)getuid()},
                                       .uid_count = 1,
                                       .request_bytes_max = 4 * MIB,
                                       .requests = &play.requests,
                                       .busy = span_text("\x81 busy"),
                                       .busy_json = span_text("{busy}")};
    assert_int_equal(listener_open(&options, &play.listener, why), ERR_OK);
    return 0;
}

static int close_listener(void **state)
{
    (void)state;
    char path[128];
    listener_close(play.listener);
    assert_int_equal(account_used(&play.requests), 0);
    (void)snprintf(path, sizeof(path), "%s/control.sock", play.folder);
    (void)unlink(path);
    return rmdir(play.folder);
}

/* Connects and asks len bytes that begin with first. */
static nng_socket ask(uint8_t first, size_t len)
{
    nng_socket socket;
    char url[128];
    (void)snprintf(url, sizeof(url), "ipc://%s/control.sock", play.folder);
    assert_int_equal(nng_req0_open(&socket), 0);
    assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, WAIT_MS), 0);
    assert_int_equal(nng_dial(socket, url, NULL, 0), 0);
    uint8_t *bytes = calloc(1, len);
    assert_non_null(bytes);
    bytes[0] = first;
    assert_int_equal(nng_send(socket, bytes, len, 0), 0);
    free(bytes);
    return socket;
}

static void expect_answer(nng_socket socket, const char *want)
{
    char answer[64] = "";
    size_t len = sizeof(answer) - 1;
    assert_int_equal(nng_recv(socket, answer, &len, 0), 0);
    assert_string_equal(answer, want);
    assert_int_equal(nng_close(socket), 0);
}

static unsigned await_request(size_t want_len)
{
    unsigned slot = 0;
    uint32_t client = 0;
    struct span bytes = {0};
    for (int waited = 0; waited < WAIT_MS; waited += STEP_MS) {
        if (listener_next(play.listener, &slot, &client, &bytes)) {
            assert_int_equal(bytes.len, want_len);
            return slot;
        }
        nng_msleep(STEP_MS);
    }
    fail_msg("no request of %zu bytes came", want_len);
    return 0;
}

static void what_does_not_fit_is_busy_at_once(void **state)
{
    (void)state;
    nng_socket first = ask(0x81, LARGE);
    unsigned slot = await_request(LARGE);
    assert_int_equal(account_used(&play.requests), LARGE);
    expect_answer(ask(0x81, LARGE), "\x81 busy"); /* though the actor never looked */
    expect_answer(ask('{', LARGE), "{busy}");
    assert_int_equal(account_used(&play.requests), LARGE);
    listener_answer(play.listener, slot, span_text("done"));
    expect_answer(first, "done");
    assert_int_equal(account_used(&play.requests), 0);
    nng_socket again = ask(0x81, LARGE);
    listener_answer(play.listener, await_request(LARGE), span_text("done too"));
    expect_answer(again, "done too");
}

static void small_requests_always_pass(void **state)
{
    (void)state;
    assert_true(account_take(&play.requests, MIB));
    nng_socket small = ask(0x81, LISTENER_FREE_BYTES);
    listener_answer(play.listener, await_request(LISTENER_FREE_BYTES), span_text("done"));
    expect_answer(small, "done");
    expect_answer(ask(0x81, LISTENER_FREE_BYTES + 1), "\x81 busy");
    account_give(&play.requests, MIB);
}

static void a_copy_keeps_the_charge(void **state)
{
    (void)state;
    nng_socket socket = ask('{', LARGE);
    unsigned slot = await_request(LARGE);
    listener_drop_bytes(play.listener, slot);
    assert_int_equal(account_used(&play.requests), LARGE);
    listener_answer(play.listener, slot, span_text("done"));
    expect_answer(socket, "done");
    assert_int_equal(account_used(&play.requests), 0);
}

/* What is left when the listener closes is given back: close_listener looks. */
static void the_end_gives_all_back(void **state)
{
    (void)state;
    nng_socket taken = ask(0x81, LARGE);
    (void)await_request(LARGE);
    assert_int_equal(account_used(&play.requests), LARGE);
    assert_int_equal(nng_close(taken), 0);
}

/* Clients that connect and go before they are greeted: nng 1.5.2 lets nobody in after one of them. */
static void whoever_goes_at_once_locks_nobody_out(void **state)
{
    (void)state;
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    char why[LISTENER_WHY_BYTES] = "";
    bool reopened = false;
    (void)snprintf(where.sun_path, sizeof(where.sun_path), "%s/control.sock", play.folder);
    for (unsigned i = 0; i < VISITORS; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (const struct sockaddr *)&where, sizeof(where)), 0);
        (void)close(fd);
    }
    nng_socket after = ask('{', 100);
    unsigned slot = 0;
    uint32_t client = 0;
    struct span bytes;
    int waited = 0;
    for (; waited < 2 * WAIT_MS && !listener_next(play.listener, &slot, &client, &bytes); waited += CHECK_MS) {
        nng_msleep(CHECK_MS);
        reopened = listener_check(play.listener, why) || reopened;
    }
    assert_true(waited < 2 * WAIT_MS);
    assert_true(!reopened || why[0] != '\0');
    listener_answer(play.listener, slot, span_text("done"));
    expect_answer(after, "done");
}

static void a_door_that_lets_clients_in_is_left_alone(void **state)
{
    (void)state;
    char why[LISTENER_WHY_BYTES] = "";
    for (unsigned check = 0; check < 10; check++) {
        nng_socket socket = ask('{', 100);
        listener_answer(play.listener, await_request(100), span_text("done"));
        assert_false(listener_check(play.listener, why));
        expect_answer(socket, "done");
    }
}

/* A listener of nng 1.5.2 that stopped accepting never lets its last pipes go: what the door's test is about, and not ours to free. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libnng.so\n";
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_busy_at_once, open_listener, close_listener),
        cmocka_unit_test_setup_teardown(small_requests_always_pass, open_listener, close_listener),
        cmocka_unit_test_setup_teardown(a_copy_keeps_the_charge, open_listener, close_listener),
        cmocka_unit_test_setup_teardown(whoever_goes_at_once_locks_nobody_out, open_listener, close_listener),
        cmocka_unit_test_setup_teardown(a_door_that_lets_clients_in_is_left_alone, open_listener, close_listener),
        cmocka_unit_test_setup_teardown(the_end_gives_all_back, open_listener, close_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
