/* SPDX-License-Identifier: MIT */
/*
 * What connection.c (bytes, stages, deadlines) and connection_stream.c (streams and their negotiation) share.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_CONNECTION_PRIVATE_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_CONNECTION_PRIVATE_H

#include <sys/queue.h>

#include "actors/connection_manager/connection.h"
#include "actors/connection_manager/upgrade.h"
#include "wire/multistream.h"
#include "wire/pnet.h"
#include "wire/websocket.h"
#include "wire/yamux.h"

/* libp2p's error code for a reset because no protocol could be agreed. */
enum { CONNECTION_CODE_NEGOTIATION = 0x1001 };

struct connection_stream {
    struct connection *connection;
    struct yamux_stream *yamux; /* NULL: dead, freed when the running call returns */
    void *user;
    struct multistream *negotiation; /* NULL when the protocol is agreed */
    struct buf pending;              /* lines of the negotiation that found no room in the queue */
    int protocol;
    uint32_t id;
    bool inbound;
    bool optimistic;
    bool fin_wanted; /* behind pending, or behind the negotiation */
    uint64_t deadline;
    TAILQ_ENTRY(connection_stream) line; /* negotiating, oldest first */
};

TAILQ_HEAD(connection_stream_list, connection_stream);

struct connection {
    struct connection_events events;
    void *user;
    struct pnet *pnet;           /* NULL outside of private networks */
    struct websocket *websocket; /* NULL on TCP */
    struct upgrade upgrade;
    struct peer_id expected;
    struct connection_info info;
    struct yamux_config yamux_config;
    struct yamux *yamux; /* NULL until the first stream or the end of the upgrade */
    int (*match_protocol)(void *user, struct span name);
    struct account *send;
    struct account *tables;
    struct buf out; /* bytes for the socket; those before out_head are written */
    size_t out_head;
    size_t out_masked; /* with pnet: the bytes before are encrypted for the network */
    size_t out_charged;
    bool closed;
    enum err broken; /* sealing failed: the next tick, due at once, ends the connection */
    uint64_t now_ns;
    uint64_t upgrade_deadline;
    uint64_t security_deadline;
    uint64_t in_bytes;
    uint64_t out_bytes;
    struct connection_stream_list negotiating;
};

extern const struct yamux_events connection_yamux_events;

/* Makes the muxer if there is none yet. */
enum err connection_need_yamux(struct connection *c) MUST_CHECK;

/* Ends negotiations whose deadline has passed. */
void connection_expire_streams(struct connection *c);

/* When the first of them is due, or UINT64_MAX. */
uint64_t connection_stream_deadline(const struct connection *c);

#endif
