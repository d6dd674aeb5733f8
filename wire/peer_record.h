/* SPDX-License-Identifier: MIT */
/*
 * Signed peer record: a peer's addresses in its own words.
 *
 *      PeerRecord { 1: peer_id, 2: seq, 3: repeated AddressInfo { 1: multiaddr } }
 *      in an envelope of domain "libp2p-peer-record" and payload type 03 01
 *
 * Opening a record checks everything that was ever forgotten by an implementation: domain and type, the signature, that the
 * envelope's key is the key of the peer it names, that this is the peer one speaks with, and that it is newer than what is known.
 * Spec: libp2p/specs RFC 0003.
 */
#ifndef HEARTH_WIRE_PEER_RECORD_H
#define HEARTH_WIRE_PEER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/keys.h"
#include "wire/peer_id.h"

struct multiaddr;

enum { PEER_RECORD_ADDRS_MAX = 500 };

struct peer_record {
    struct peer_id peer;
    uint64_t seq;
    struct span rest;    /* of the payload, for peer_record_next_addr */
    unsigned addrs_left; /* starts at PEER_RECORD_ADDRS_MAX */
};

/*
 * Opens an envelope. expected may be NULL: any peer. known_seq is the newest seq seen of that peer, 0 for none. The record borrows
 * from the input. ERR_MISMATCH: payload type, or the key is not that of the peer it names, or not the expected peer; ERR_AUTH: the
 * signature; ERR_EXISTS: seq <= known_seq, a replay; others as envelope_parse and envelope_verify.
 */
enum err peer_record_open(struct span envelope, const struct peer_id *expected, uint64_t known_seq,
                          struct peer_record *ret_record) MUST_CHECK;

/* The next address as unchecked multiaddr bytes; false at the end. Later ones than PEER_RECORD_ADDRS_MAX are not returned. */
bool peer_record_next_addr(struct peer_record *record, struct span *ret_addr);

/* Appends a sealed record of these addresses, without /p2p. seq must rise with each change, also across restarts. */
enum err peer_record_seal(const struct key_pair *pair, uint64_t seq, const struct multiaddr *addrs, size_t count,
                          struct buf *out) MUST_CHECK;

#endif
