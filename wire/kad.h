/* SPDX-License-Identifier: MIT */
/*
 * The messages of the Kademlia DHT: /ipfs/kad/1.0.0 and /ipfs/lan/kad/1.0.0.
 *
 *      stream: ( <varint length> <Message> )* both ways; requests and answers in turn
 *      Message { 1: type, 2: key, 3: record, 8: repeated closerPeers, 9: repeated providerPeers, 10: clusterLevelRaw (ignored) }
 *      Record  { 1: key, 2: value, 5: timeReceived }
 *      Peer    { 1: id, 2: repeated addrs, 3: connection }
 *
 * Reading allocates nothing but the frame: a message borrows from its bytes, and peers are walked by an iterator that takes the
 * first KAD_PEERS_MAX of a list and passes over those that are broken. Writing goes into a kad_writer of fixed room: rust-libp2p
 * reads 16 KiB, so what does not fit is left out, addresses first. An absent type is PUT_VALUE, by proto3's rule.
 * Spec: libp2p/specs kad-dht.
 */
#ifndef HEARTH_WIRE_KAD_H
#define HEARTH_WIRE_KAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/peer_id.h"

#define KAD_PROTOCOL     "/ipfs/kad/1.0.0"
#define KAD_LAN_PROTOCOL "/ipfs/lan/kad/1.0.0"

enum {
    KAD_K = 20,                   /* closest peers of a key, size of a bucket */
    KAD_ALPHA = 10,               /* queries of a lookup at a time */
    KAD_BETA = 3,                 /* closest peers that must have answered */
    KAD_REQUEST_MAX = 16 * 1024,  /* bytes of a message that asks us, without its length */
    KAD_ANSWER_MAX = 4 << 20,     /* of an answer to us, as go-libp2p reads */
    KAD_ANSWER_KEPT = 64 * 1024,  /* of its bytes: 40 peers of 1.3 KiB and a record; the rest is dropped as it comes */
    KAD_SEND_MAX = 16 * 1024 - 1, /* of ours: rust-libp2p takes no more */
    KAD_PEER_MAX = 8 * 1024,      /* bytes of one peer in ours; go-libp2p sends no larger one either */
    KAD_KEY_MAX = 80,             /* of a provider record's key */
    KAD_RECORD_KEY_MAX = 128,     /* "/ipns/" or "/pk/" and a peer id, with room */
    KAD_RECORD_MAX = 10 * 1024,   /* of a value: the limit of an IPNS record */
    KAD_PEERS_MAX = 40            /* taken from one list of a received message */
};

enum kad_type {
    KAD_PUT_VALUE = 0,
    KAD_GET_VALUE = 1,
    KAD_ADD_PROVIDER = 2,
    KAD_GET_PROVIDERS = 3,
    KAD_FIND_NODE = 4,
    KAD_PING = 5,
    KAD_TYPE_COUNT
};

enum kad_connection { KAD_NOT_CONNECTED = 0, KAD_CONNECTED = 1, KAD_CAN_CONNECT = 2, KAD_CANNOT_CONNECT = 3 };

/* The number of the field. */
enum kad_list { KAD_CLOSER = 8, KAD_PROVIDERS = 9 };

/* ---- reading ---- */

struct kad_record {
    struct span key;
    struct span value;
    struct span time_received; /* RFC 3339 text, as somebody claims; empty when absent */
};

/* Spans borrow from the parsed bytes. */
struct kad_message {
    enum kad_type type;
    struct span key;
    bool has_record;
    struct kad_record record;
    struct span body; /* for the iterator */
};

/*
 * cut: the body is the beginning of a longer one (kad_reader), so its last field may end too early. ERR_INVALID: broken protobuf, at the
 * top or in the record; ERR_UNSUPPORTED: an unknown type. Peers are looked at when they are walked.
 */
enum err kad_parse(struct span body, bool cut, struct kad_message *ret_message) MUST_CHECK;

struct kad_peer {
    struct peer_id id;
    enum kad_connection connection;
    struct span body; /* for kad_peer_next_addr; borrowed from the message */
};

/* Walks one list: start with a zeroed iterator. At most KAD_PEERS_MAX entries are looked at, broken ones counted and skipped. */
struct kad_iterator {
    struct span rest;
    unsigned taken;
    bool started;
};
bool kad_next_peer(const struct kad_message *message, enum kad_list list, struct kad_iterator *iterator,
                   struct kad_peer *ret_peer);

/* Walks a peer's addresses, bytes that nobody checked: *rest starts as peer->body. False at the end. */
bool kad_peer_next_addr(struct span *rest, struct span *ret_addr);

/*
 * Appends the peer's valid addresses to list (wire/addr_list.h), at most max of them, without those that end at another peer.
 * What does not fit is left out. ERR_NOMEM.
 */
enum err kad_peer_addrs(const struct kad_peer *peer, size_t max, struct buf *list) MUST_CHECK;

/*
 * Strips the frames. Room for a message is taken as its bytes come, never by what its length claims; kad_reader_next gives it back.
 */
struct kad_reader {
    struct buf body;    /* the first bytes of the message that is coming or complete */
    size_t left;        /* bytes of it still to come */
    size_t message_max; /* longer ones are refused */
    uint8_t length[4];
    uint8_t length_len;
    bool in_body;
    bool complete;
    bool cut; /* the complete message was longer than what is kept */
};

/*
 * For requests KAD_REQUEST_MAX twice, for answers KAD_ANSWER_MAX and KAD_ANSWER_KEPT, which is what account (may be NULL) is asked for at
 * most.
 */
void kad_reader_init(struct kad_reader *reader, size_t message_max, size_t kept_max, struct account *account);
void kad_reader_release(struct kad_reader *reader);

/*
 * Takes bytes off *in up to the end of one message. ERR_OK: *ret_body is a whole one, valid until kad_reader_next; the rest of *in
 * is the next one's. ERR_AGAIN: all was taken and more is needed. ERR_TOO_LARGE, ERR_INVALID (a length that is not minimal, or 0),
 * ERR_NOMEM: reset the stream. While a message is complete, call kad_reader_next before the next feed.
 */
enum err kad_reader_feed(struct kad_reader *reader, struct span *in, struct span *ret_body) MUST_CHECK;

/* Forgets the complete message and gives its memory back. */
void kad_reader_next(struct kad_reader *reader);

/* Whether the stream may end here. */
bool kad_reader_at_boundary(const struct kad_reader *reader);

/* ---- writing ---- */

/*
 * One message of at most KAD_SEND_MAX bytes. Fields go out in the order of the calls: begin, record, peers. Errors of memory are
 * kept and come out of kad_writer_finish, so that callers need to look once.
 */
struct kad_writer {
    struct buf body;
    enum err err;
    unsigned peers;         /* written */
    unsigned peers_omitted; /* had no room left, not even for one address */
    unsigned addrs_omitted;
};

void kad_writer_init(struct kad_writer *w, struct account *account);
void kad_writer_release(struct kad_writer *w);

/* Starts a message; forgets what was there. key may be empty. A key over KAD_SEND_MAX / 2 makes finish fail with ERR_TOO_LARGE. */
void kad_writer_begin(struct kad_writer *w, enum kad_type type, struct span key);

/* Empty spans are left out. A record that does not fit makes finish fail with ERR_TOO_LARGE. */
void kad_writer_record(struct kad_writer *w, const struct kad_record *record);

/*
 * Adds a peer and of its addresses (an addr_list) the first that fit KAD_PEER_MAX, the message and `reserve_bytes` kept free for what
 * follows. False, counted, when the peer does not fit with one address at least, or at all; a peer without addresses is written so.
 */
bool kad_writer_peer(struct kad_writer *w, enum kad_list list, const struct peer_id *id, struct span addrs,
                     enum kad_connection connection, size_t reserve_bytes);

/* Appends the framed message to out. ERR_TOO_LARGE, ERR_NOMEM. The writer may begin another one. */
enum err kad_writer_finish(struct kad_writer *w, struct buf *out) MUST_CHECK;

#endif
