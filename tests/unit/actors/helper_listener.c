/* SPDX-License-Identifier: MIT */
#include "tests/unit/actors/helper_listener.h"

#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/util/platform.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STEP_MS = 5 };

struct listener_play play;

static int open_for(uint32_t uid)
{
    char why[LISTENER_WHY_BYTES] = "";
    (void)snprintf(play.folder, sizeof(play.folder), "/tmp/hearth-listener-XXXXXX");
    assert_non_null(mkdtemp(play.folder));
    account_init(&play.requests, "requests", MIB);
    play.options = (struct listener_options){.repository = play.folder,
                                             .folder = play.folder,
                                             .group = "",
                                             .uids = {uid},
                                             .uid_count = 1,
                                             .request_bytes_max = 4 * MIB,
                                             .requests = &play.requests,
                                             .busy = span_text("\x81 busy"),
                                             .busy_json = span_text("{busy}")};
    assert_int_equal(listener_open(&play.options, &play.listener, why), ERR_OK);
    return 0;
}

int play_open(void **state)
{
    (void)state;
    return open_for((uint32_t)getuid());
}

int play_open_for_another_user(void **state)
{
    (void)state;
    return open_for((uint32_t)getuid() + 1);
}

int play_close(void **state)
{
    (void)state;
    char path[128];
    listener_close(play.listener);
    assert_int_equal(account_used(&play.requests), 0);
    (void)snprintf(path, sizeof(path), "%s/control.sock", play.folder);
    (void)unlink(path);
    return rmdir(play.folder);
}

nng_socket play_ask(uint8_t first, size_t len)
{
    nng_socket socket;
    char url[128];
    (void)snprintf(url, sizeof(url), "ipc://%s/control.sock", play.folder);
    assert_int_equal(nng_req0_open(&socket), 0);
    assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, LISTENER_WAIT_MS), 0);
    int dialled = nng_dial(socket, url, NULL, 0);
    for (int waited = 0; dialled == NNG_EAGAIN && waited < LISTENER_WAIT_MS;
         waited += STEP_MS) { /* too many wait there */
        nng_msleep(STEP_MS);
        dialled = nng_dial(socket, url, NULL, 0);
    }
    assert_int_equal(dialled, 0);
    uint8_t *bytes = calloc(1, len);
    assert_non_null(bytes);
    bytes[0] = first;
    assert_int_equal(nng_send(socket, bytes, len, 0), 0);
    free(bytes);
    return socket;
}

void play_expect_answer(nng_socket socket, const char *want)
{
    char answer[64] = "";
    size_t len = sizeof(answer) - 1;
    assert_int_equal(nng_recv(socket, answer, &len, 0), 0);
    assert_string_equal(answer, want);
    assert_int_equal(nng_close(socket), 0);
}

unsigned play_await_request(size_t want_len)
{
    unsigned slot = 0;
    uint32_t client = 0;
    struct span bytes = {0};
    for (int waited = 0; waited < LISTENER_WAIT_MS; waited += STEP_MS) {
        if (listener_next(play.listener, &slot, &client, &bytes)) {
            assert_int_equal(bytes.len, want_len);
            return slot;
        }
        nng_msleep(STEP_MS);
    }
    fail_msg("no request of %zu bytes came", want_len);
    return 0;
}
