/* SPDX-License-Identifier: MIT */
/*
 * The asking side of the control socket, beside a socket that gives each request back as its answer.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>

#include "cli/client.h"

enum { ROUNDS = 120, AHEAD = 4, TIMEOUT_MS = 10000 };

/* A process of its own, since nng_close of a socket whose clients leave so roughly may wait for ever too. */
static struct {
    char folder[64];
    char path[96];
    pid_t process;
} echo;

static void give_back(int ready)
{
    nng_socket socket;
    nng_msg *msg = NULL;
    char url[128];
    (void)snprintf(url, sizeof(url), "ipc://%s", echo.path);
    if (nng_rep0_open(&socket) != 0 || nng_listen(socket, url, NULL, 0) != 0 || write(ready, "r", 1) != 1)
        _exit(EXIT_FAILURE);
    while (nng_recvmsg(socket, &msg, 0) == 0) {
        if (nng_sendmsg(socket, msg, 0) != 0)
            nng_msg_free(msg);
    }
    _exit(EXIT_SUCCESS);
}

/* Before this process has made any socket of nng: its threads would be missing in the other one. */
static int open_echo(void **state)
{
    (void)state;
    int ready[2];
    char byte = 0;
    (void)snprintf(echo.folder, sizeof(echo.folder), "/tmp/hearth-client-XXXXXX");
    assert_non_null(mkdtemp(echo.folder));
    (void)snprintf(echo.path, sizeof(echo.path), "%s/sock", echo.folder);
    assert_int_equal(pipe(ready), 0);
    echo.process = fork();
    assert_true(echo.process >= 0);
    if (echo.process == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        give_back(ready[1]);
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return 0;
}

static int close_echo(void **state)
{
    (void)state;
    assert_int_equal(kill(echo.process, SIGKILL), 0);
    assert_int_equal(waitpid(echo.process, NULL, 0), echo.process);
    (void)unlink(echo.path);
    return rmdir(echo.folder);
}

static struct client *connect_client(void)
{
    struct client *client = NULL;
    char why[512] = "";
    struct globals globals = {.api = echo.path};
    assert_int_equal(client_open(&globals, &client, why), ERR_OK);
    return client;
}

static void start_all(struct client *client, struct call *calls[AHEAD])
{
    for (unsigned i = 0; i < AHEAD; i++) {
        calls[i] = call_start_raw(client, span_text("{}"), TIMEOUT_MS);
        assert_non_null(calls[i]);
    }
}

static void expect_answer(struct call *call)
{
    struct outcome outcome;
    call_wait(call, &outcome);
    assert_int_equal(outcome.code, CODE_OK);
    assert_true(span_equal_text(outcome.raw, "{}"));
}

static void answers_come_in_any_order(void **state)
{
    (void)state;
    struct call *calls[AHEAD];
    struct client *client = connect_client();
    start_all(client, calls);
    for (unsigned i = AHEAD; i-- > 0;)
        expect_answer(calls[i]);
    for (unsigned i = 0; i < AHEAD; i++)
        call_free(calls[i]);
    client_close(client);
}

/* As `get` does at its end: the pieces past it are given up while their answers are on the way. nng_close alone hangs in one of 30. */
static void requests_that_are_out_do_not_hold_up_the_end(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct call *calls[AHEAD];
        struct client *client = connect_client();
        start_all(client, calls);
        expect_answer(calls[0]);
        for (unsigned i = 0; i < AHEAD; i++)
            call_free(calls[i]);
        client_close(client);
    }
}

/* ---- a daemon that accepts nothing for a while: its process is stopped, and more have connected than may wait ---- */

enum { CROWD_MAX = 1000, ACCEPTS_AFTER_MS = 100, SHORT_MS = 50 };

struct crowd {
    int waiting[CROWD_MAX];
    size_t count;
};

static void stop_accepting(struct crowd *crowd)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int status = 0;
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", echo.path);
    assert_int_equal(kill(echo.process, SIGSTOP), 0);
    assert_int_equal(waitpid(echo.process, &status, WUNTRACED), echo.process);
    assert_true(WIFSTOPPED(status));
    *crowd = (struct crowd){.count = 0};
    int connected = 0;
    while (connected == 0) {
        assert_true(crowd->count < CROWD_MAX);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        connected = connect(fd, (const struct sockaddr *)&at, sizeof(at));
        crowd->waiting[crowd->count++] = fd;
    }
    assert_int_equal(errno, EAGAIN);
}

static void leave(struct crowd *crowd)
{
    while (crowd->count > 0)
        assert_int_equal(close(crowd->waiting[--crowd->count]), 0);
}

/* The client dials meanwhile, and has to dial again. */
static void too_many_who_wait_are_waited_for(void **state)
{
    (void)state;
    struct crowd crowd;
    stop_accepting(&crowd);
    pid_t later = fork();
    assert_true(later >= 0);
    if (later == 0) {
        (void)poll(NULL, 0, ACCEPTS_AFTER_MS);
        _exit(kill(echo.process, SIGCONT) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    struct client *client = connect_client();
    struct call *call = call_start_raw(client, span_text("{}"), TIMEOUT_MS);
    expect_answer(call);
    call_free(call);
    client_close(client);
    leave(&crowd);
    assert_int_equal(waitpid(later, NULL, 0), later);
}

static void too_many_who_wait_for_too_long_are_told(void **state)
{
    (void)state;
    struct crowd crowd;
    struct client *client = NULL;
    char why[512] = "";
    struct globals globals = {.api = echo.path, .timeout_ms = SHORT_MS};
    stop_accepting(&crowd);
    assert_int_equal(client_open(&globals, &client, why), ERR_UNAVAILABLE);
    assert_non_null(strstr(why, "too many wait"));
    assert_non_null(strstr(why, echo.path));
    leave(&crowd);
    assert_int_equal(kill(echo.process, SIGCONT), 0);
}

/* What fails quickly is tried again quickly, what failed slowly so late that a part that hung is there again. */
static void tries_are_as_far_apart_as_they_were_long(void **state)
{
    (void)state;
    assert_int_equal(client_pause_ms(1, 5000, 60000), 100);
    assert_int_equal(client_pause_ms(2, 10, 60000), 400);
    assert_int_equal(client_pause_ms(2, 1000, 60000), 8000);
    assert_int_equal(client_pause_ms(2, 10000, CLIENT_LONG_MS), 30000);
    assert_int_equal(client_pause_ms(2, 10000, 20000), 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tries_are_as_far_apart_as_they_were_long),
        cmocka_unit_test(answers_come_in_any_order),
        cmocka_unit_test(requests_that_are_out_do_not_hold_up_the_end),
        cmocka_unit_test(too_many_who_wait_are_waited_for),
        cmocka_unit_test(too_many_who_wait_for_too_long_are_told),
    };
    return cmocka_run_group_tests(tests, open_echo, close_echo);
}
