/* SPDX-License-Identifier: MIT */
/*
 * Ping, /ipfs/ping/1.0.0: 32 bytes that come back unchanged, again and again until the stream ends.
 *
 * The same small engine serves both sides: it collects bytes in any pieces and says when 32 of them are complete. The responder
 * writes them back; the initiator compares them with what it sent. Spec: libp2p/specs ping.
 */
#ifndef HEARTH_WIRE_PING_H
#define HEARTH_WIRE_PING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define PING_PROTOCOL "/ipfs/ping/1.0.0"

enum { PING_BYTES = 32, PING_TIMEOUT_S = 10, PING_STREAMS_IN_MAX = 2 };

struct ping {
    uint8_t bytes[PING_BYTES];
    uint8_t len;
};

/* Takes bytes from the front of *in. True when bytes is complete: use it, then call again until *in is empty. */
static inline bool ping_feed(struct ping *ping, struct span *in)
{
    if (ping->len == PING_BYTES)
        ping->len = 0;
    struct span part = span_first(*in, (size_t)PING_BYTES - ping->len);
    if (part.len > 0)
        memcpy(ping->bytes + ping->len, part.data, part.len);
    ping->len = (uint8_t)(ping->len + part.len);
    *in = span_skip(*in, part.len);
    return ping->len == PING_BYTES;
}

#endif
