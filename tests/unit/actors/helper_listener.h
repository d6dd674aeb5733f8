/* SPDX-License-Identifier: MIT */
/*
 * A listener on a real socket in a folder of its own, with an account of 1 MiB, and clients that ask it. Nobody takes the requests but the
 * test, so what arrives stays.
 */
#ifndef HEARTH_TESTS_UNIT_ACTORS_HELPER_LISTENER_H
#define HEARTH_TESTS_UNIT_ACTORS_HELPER_LISTENER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <nng/nng.h>

#include "actors/control/listener.h"
#include "base/limits.h"

enum { LISTENER_WAIT_MS = 5000 }; /* for whatever is bound to come */

struct listener_play {
    char folder[64];
    struct account requests;
    struct listener_options options;
    struct listener *listener;
};

extern struct listener_play play;

/* Setup and teardown of a test; the end looks whether all was given back. */
int play_open(void **state);
int play_open_for_another_user(void **state); /* and not for us */
int play_close(void **state);

/* Connects and asks len bytes that begin with first. */
nng_socket play_ask(uint8_t first, size_t len);

/* Waits for the answer, which must be want, and closes. */
void play_expect_answer(nng_socket socket, const char *want);

/* The slot of the next request, which must have want_len bytes. */
unsigned play_await_request(size_t want_len);

#endif
