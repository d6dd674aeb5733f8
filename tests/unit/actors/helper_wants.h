/* SPDX-License-Identifier: MIT */
/*
 * What a session says, as its peers read it: messages go through the real writer and reader, entry by entry.
 */
#ifndef HEARTH_TESTS_UNIT_ACTORS_HELPER_WANTS_H
#define HEARTH_TESTS_UNIT_ACTORS_HELPER_WANTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/bitswap/session.h"

typedef void wants_heard_fn(void *arg, struct bitswap_session_peer *to, const struct bitswap_want *want);

/* Carries all that the session has to say. Anything but wants, or a cancel in one message with a want, fails the test. */
void wants_carry(struct bitswap_session *s, uint64_t now_ns, wants_heard_fn *heard, void *arg);

#endif
