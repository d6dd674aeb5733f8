/* SPDX-License-Identifier: MIT */
/*
 * AutoNAT, version 1, /libp2p/autonat/1.0.0: a peer is asked to dial this node back. The client's side only.
 *
 *      stream: <varint length> <Message> to the peer, <varint length> <Message> back
 *      Message { 1: type, 2: dial, 3: dialResponse }       type 0 DIAL, 1 DIAL_RESPONSE
 *      dial { 1: peer { 1: id, 2: repeated addrs } }       dialResponse { 1: status, 2: statusText, 3: addr }
 *
 * Version 2 would say it of each address and proves it by a nonce, with a protocol of its own for the dial back and up to 100 KB that
 * the asker has to send before; the public network answers both. Pure functions, any thread. Spec: libp2p/specs autonat/autonat-v1.
 */
#ifndef HEARTH_WIRE_AUTONAT_H
#define HEARTH_WIRE_AUTONAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/multiaddr.h"

#define AUTONAT_PROTOCOL "/libp2p/autonat/1.0.0"

enum {
    AUTONAT_MESSAGE_MAX = 4096,                  /* bytes of a message without its length; go-libp2p reads no more */
    AUTONAT_FRAME_MAX = AUTONAT_MESSAGE_MAX + 2, /* with it */
    AUTONAT_ADDRS_MAX = 15                       /* go-libp2p takes 16, and the one that it sees is among them */
};

enum autonat_status {
    AUTONAT_OK = 0,
    AUTONAT_DIAL_ERROR = 100,
    AUTONAT_DIAL_REFUSED = 101,
    AUTONAT_BAD_REQUEST = 200,
    AUTONAT_INTERNAL_ERROR = 300
};

/* Appends the framed question. At most AUTONAT_ADDRS_MAX of the addresses go with it. ERR_TOO_LARGE, and errors of buf_append. */
enum err autonat_encode_dial(struct span peer, const struct multiaddr *addrs, size_t count, struct buf *out) MUST_CHECK;

/* What was answered. */
struct autonat_response {
    uint64_t status; /* an enum autonat_status, or what nobody knows */
    struct multiaddr
        addr; /* where the peer says that it came through, with status OK; empty: not said, or none that can be read */
};

/*
 * Reads the answer from the beginning of its stream; what follows it is not looked at. ERR_TRUNCATED: more bytes are needed;
 * ERR_TOO_LARGE: over AUTONAT_MESSAGE_MAX; ERR_INVALID: no answer, or none with a status.
 */
enum err autonat_decode_response(struct span in, struct autonat_response *ret_response) MUST_CHECK;

#endif
