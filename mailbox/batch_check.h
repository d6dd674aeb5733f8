/* SPDX-License-Identifier: MIT */
/*
 * A batch from another process, looked at before anything in it is believed.
 *
 * The process may have been taken over: what it sends may be anything. Checked are the bounds of every record, that each says of itself
 * what the link says it is (from, to), that its type may come from there, that its kind exists, and that its tails are as long together
 * as was announced. Bodies are checked when they are unpacked, as always. Pure: no state, no allocation.
 */
#ifndef HEARTH_MAILBOX_BATCH_CHECK_H
#define HEARTH_MAILBOX_BATCH_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "mailbox/actor.h"

struct runtime;

enum { TAIL_BYTES_MAX = 256 * 1024 * 1024 };

/* body: header and records; tail_bytes: how much follows behind it. ERR_PROTOCOL when it is no batch of that sender to that receiver. */
enum err batch_check(const struct runtime *rt, actor_id from, actor_id to, const uint8_t *body, size_t len,
                     uint64_t tail_bytes) MUST_CHECK;

#endif
