/* SPDX-License-Identifier: MIT */
/*
 * The inside of connection_manager: what its files share. Only files of this folder include it.
 *
 *      connection_manager.c   messages in, replies out
 *      swarm_begin.c          connections: accept, upgrade
 *      swarm.c                their bytes, their end
 *      swarm_resources.c      who may have how much
 *      swarm_care.c           listeners, the clock, trimming
 *      swarm_dial.c           dials: addresses, names, the dialer's orders, who waits for them
 *      swarm_stream.c         streams of the protocol actors
 *      identify_service.c     /ipfs/id and /ipfs/id/push          ping_service.c   /ipfs/ping
 *      autonat_service.c      /libp2p/autonat, as a client
 *      swarm_bandwidth.c      who may move bytes now, and how many were moved
 *      swarm_rules.c          with whom to speak
 *      swarm_report.c         what control and state are told
 *
 * A socket is read only while the receive account has room for what it may bring, nothing waits in the backlog and the engine wants
 * more. After each handler, swarm_settle writes what the engines have made and frees connections that ended; nothing else frees
 * them, so a pointer is good for a whole handler.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_SWARM_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_SWARM_H

#include "actors/connection_manager/backlog.h"
#include "actors/connection_manager/bandwidth.h"
#include "actors/connection_manager/connection.h"
#include "actors/connection_manager/dialer.h"
#include "actors/connection_manager/endpoint.h"
#include "actors/connection_manager/gate.h"
#include "actors/connection_manager/peer_rules.h"
#include "actors/connection_manager/peer_tags.h"
#include "actors/connection_manager/peerstore.h"
#include "actors/connection_manager/protocols.h"
#include "actors/connection_manager/reach.h"
#include "actors/connection_manager/reachability.h"
#include "actors/connection_manager/resources.h"
#include "actors/connection_manager/trimmer.h"
#include "base/limits.h"
#include "mailbox/actor.h"
#include "schemas/config.h"
#include "wire/autonat.h"
#include "wire/identify.h"
#include "wire/keys.h"
#include "wire/ping.h"

enum {
    SWARM_READ_BYTES = 128 * 1024, /* one read of a socket */
    SWARM_READS_PER_EVENT = 4,     /* then other sockets have their turn */
    SWARM_LISTENERS_MAX = 32,
    SWARM_OWN_ADDRS_MAX = 64,
    SWARM_CONNECTIONS_MAX = 20000,
    SWARM_STREAMS_MAX = 65536,
    SWARM_PROPOSALS_MAX = 16,
    SWARM_WAITERS_MAX = 512,                 /* calls that wait for a connection */
    SWARM_WRITE_QUEUE_MAX = 8 * 1024 * 1024, /* per stream: an owner that ignores its credit loses the stream */
    SWARM_WINDOWS_SHARE = 17, /* of 32 of the receive account: promised beyond the first 256 KiB of a stream */
    SWARM_IDENTIFY_SHARE = 1, /* of 16 of it: what peers say of themselves, until it is whole */
    SWARM_TICK_MS = 1000,     /* between two looks at the clock, at least */
    SWARM_RESUME_MS = 2,      /* bytes are given back on other threads, unheard: look again */
    SWARM_IDENTIFY_MS = 5000,
    SWARM_IDENTIFY_AGAIN_MS = 10000, /* after it failed; twice as long each time, six times */
    SWARM_WRITE_MS = 10000,          /* a socket that takes no byte for so long, though some wait, is reset */
    SWARM_PUSH_DEBOUNCE_MS = 1000,
    SWARM_PUSH_BURST = 10, /* pushes handled per connection, then one each 5 s */
    SWARM_PUSH_PERIOD_MS = 5000,
    SWARM_RETURNS_MAX = 64, /* lost peers that are dialled again */
    SWARM_RETURN_TRIES = 6,
    SWARM_RETURN_MS = 1000,          /* before the first try; doubles */
    SWARM_RETURN_HEALTHY_MS = 60000, /* a connection that lasted this long starts the count anew */
    SWARM_REPORT_MS = 5000,          /* rows of state for what changes all the time */
    SWARM_REPORT_BYTES = 1024,       /* fewer than this, such as pings, are told with what else there is, or */
    SWARM_REPORT_QUIET_MS = 300000,  /* after so long */
    SWARM_TAG_CONNECTION = 1000      /* net tags below are listeners */
};

/* Tags of timers and calls. */
enum swarm_tag {
    TAG_START = 1, /* after init: load peers */
    TAG_TICK,
    TAG_DIALER,
    TAG_SETTLE,
    TAG_RESUME,
    TAG_BANDWIDTH,
    TAG_STATE_PEERS
};

enum stream_kind {
    STREAM_OWNED, /* of a protocol actor */
    STREAM_IDENTIFY_IN,
    STREAM_IDENTIFY_OUT,
    STREAM_PUSH_IN,
    STREAM_PUSH_OUT,
    STREAM_PING_IN,
    STREAM_PING_OUT,
    STREAM_AUTONAT_OUT
};

/* Bytes moved, and the rate over the last report period. */
struct swarm_traffic {
    uint64_t bytes[BANDWIDTH_DIRECTIONS];
    uint64_t last[BANDWIDTH_DIRECTIONS];
    uint64_t rate[BANDWIDTH_DIRECTIONS];
};

struct swarm;
struct swarm_conn;
struct swarm_peer;

/* Bytes that an owner gave and the engine has not taken. */
struct swarm_write {
    struct swarm_write *next;
    struct block_ref *ref;
    size_t offset;
};

struct swarm_ping; /* ping_service.c */

struct swarm_autonat {
    struct reachability engine;
    enum reachability_status told; /* to discovery */
    struct net_addr observed;      /* where peers see this node, if that is public; family 0: not yet */
    struct swarm_stream *stream;   /* of the question under way; NULL: none */
    struct buf answer;             /* of it, as far as it has come */
};

struct swarm_proposals {
    size_t count;
    const char *names[SWARM_PROPOSALS_MAX]; /* those proposed, which point into texts */
    char texts[SWARM_PROPOSALS_MAX][IDENTIFY_PROTOCOL_BYTES_MAX];
};

struct swarm_stream {
    uint64_t number;
    enum stream_kind kind;
    struct swarm_conn *conn;
    struct connection_stream *engine;
    struct swarm_stream *next; /* of the connection */
    struct swarm_stream *prev;
    const char *protocol; /* as agreed: of the table of protocols, or of proposals; NULL before */

    actor_id owner; /* STREAM_OWNED */
    bool told;      /* stream_opened was sent, or the call answered */
    bool calling;   /* stream_open waits for the negotiation */
    struct reply_to call;
    const char *service;               /* what a service proposes */
    struct swarm_proposals *proposals; /* what an owner does: the engine borrows the names until it is open */
    struct swarm_write *writes;
    struct swarm_write **writes_last;
    size_t queued_bytes;
    size_t written_bytes; /* taken by the engine, credit not yet given back */
    bool fin_wanted;
    bool fin_done;
    bool fin_received;

    struct resource_stream resource;
    struct bandwidth_protocol *limit; /* of the protocol; NULL: none */
    struct rate_turn turns[BANDWIDTH_DIRECTIONS];
    uint64_t credit_held; /* of the peer, until the limit allows it */
    uint64_t prepaid;     /* allowed, not arrived yet */

    struct identify_reader reader; /* IDENTIFY_OUT, PUSH_IN */
    uint64_t due_ns;               /* PUSH_IN: when it is given up */
    struct swarm_ping *ping;       /* PING_* */
};

enum identify_state { IDENTIFY_WAITS, IDENTIFY_RUNS, IDENTIFY_DONE, IDENTIFY_FAILED };

struct swarm_conn {
    uint64_t id; /* also the tag of its socket */
    struct swarm *swarm;
    struct net_sock *sock;
    struct connection *engine; /* NULL while TCP connects */
    struct endpoint remote;
    struct net_addr local;
    uint64_t attempt; /* of the dialer; 0: inbound */
    bool inbound;
    struct resource_conn resource;
    bool paused; /* not read: what it has brought is not used up */
    TAILQ_ENTRY(swarm_conn) pause;
    bool half_open;
    bool up;   /* upgraded, in its peer's list */
    bool over; /* to be freed by swarm_settle */
    bool dirty;
    bool eof;
    bool reset_close;
    uint64_t stuck_ns; /* since when the socket takes nothing; 0: it does, or nothing waits */
    enum err why;
    struct swarm_conn *next_dirty;
    struct swarm_conn *next_of_peer;
    struct swarm_peer *peer;
    uint64_t opened_ns;
    uint64_t opened_real_ns;
    uint64_t active_ns;
    struct swarm_stream *streams;
    uint32_t owned_streams;
    enum identify_state identify;
    uint64_t identify_due_ns; /* its end while it runs, the next try when it failed */
    unsigned identify_failures;
    uint64_t push_credit_ns;
    uint64_t push_updated_ns;
    bool push_owed;       /* what changed while the peer's identify had not come */
    uint64_t reported_ns; /* what state was told last, and when */
    uint64_t reported_bytes;
    uint64_t reported_rtt_ns;
    uint32_t reported_streams;
    uint64_t care_at_ns; /* the clock means nothing to it before that; UINT64_MAX: until something else happens */
    struct rate_turn turns[BANDWIDTH_DIRECTIONS];
    uint64_t slow_until_ns; /* not read: a limited protocol is overdrawn */
};

struct swarm_peer {
    struct peer_id id;
    struct swarm_conn *conns;
    struct peer_entry *entry; /* of the peerstore; pinned while connected. NULL without memory */
    bool told;                /* peer_up was sent */
    struct rate_bucket rates[BANDWIDTH_DIRECTIONS];
    struct swarm_traffic traffic;
    bool wanted; /* somebody asked for this connection by name: not trimmed */
};

/* A call that waits until a peer is connected and identified. */
struct swarm_waiter {
    struct swarm_waiter *next;
    struct reply_to call;
    uint64_t dial; /* 0: connected already, waits for identify */
    bool casual;   /* a chance, no wish: the connection is like one that the peer made */
    struct peer_id peer;
};

/* A peer that somebody asked for and that was lost: it is dialled again a few times. */
struct swarm_return {
    struct peer_id peer;
    uint32_t tries;
    uint64_t due_ns; /* 0: connected, or a dial is under way */
};

struct swarm_listener {
    struct endpoint bound;
    uint64_t tag;
};

struct swarm {
    struct ctx *ctx;
    const struct config *config;
    const struct net_port *net;
    struct account *receive; /* bytes held for protocol actors */
    struct account
        windows; /* beyond the first 256 KiB: a promise, which receive pays when the bytes come; less than it has for them */
    struct account identify; /* what peers say of themselves: a fixed part of receive */
    struct account *send;
    struct account *tables;
    const struct key_pair *key; /* of the configuration */
    struct connection_identity *identity;
    struct peer_id self;
    enum connection_security security[2];
    size_t security_count;

    struct gate gate;
    struct resources resources;
    struct trimmer trimmer;
    struct peer_tags tags;
    TAILQ_HEAD(, swarm_conn) paused; /* for room in the scopes of resources */
    struct peer_rules rules;
    uint64_t denied; /* connections that rules prevented or closed */
    struct dialer *dialer;
    struct peerstore store;
    struct protocols protocols;
    struct backlog backlog;
    struct table conns;   /* id -> struct swarm_conn */
    struct table peers;   /* peer id -> struct swarm_peer, the connected ones */
    struct table streams; /* number -> struct swarm_stream */
    struct swarm_conn *dirty;
    struct swarm_waiter *waiters;
    size_t waiter_count;
    struct swarm_return returns[SWARM_RETURNS_MAX];
    size_t return_count;
    size_t names_running; /* resolver jobs */
    uint64_t last_number; /* of connections and streams */
    bool reading_paused;
    bool closing; /* this life ends: nobody is told any more */

    struct swarm_listener listeners[SWARM_LISTENERS_MAX];
    size_t listener_count;
    struct multiaddr own_addrs[SWARM_OWN_ADDRS_MAX];
    size_t own_addr_count;
    uint64_t own_seq;    /* of the signed record: rises with each change */
    uint64_t push_at_ns; /* pushes are due; 0: none */
    struct swarm_autonat autonat;

    uint64_t tick_timer;
    uint64_t tick_at_ns; /* of the timer */
    uint64_t ticked_ns;  /* the last one */
    uint64_t care_at_ns; /* no connection's is earlier */
    uint64_t dialer_timer;
    uint64_t dialer_at_ns;
    uint64_t settle_timer;
    uint64_t resume_timer;
    uint64_t report_at_ns;
    struct swarm_traffic traffic;                         /* of all connections */
    struct swarm_traffic protocol_traffic[PROTOCOLS_MAX]; /* by row of protocols */
    uint64_t rates_at_ns;
    struct bandwidth bandwidth;
    uint64_t bandwidth_timer;
    uint64_t bandwidth_at_ns;
    uint64_t slow_at_ns; /* the first slow_until_ns of a connection; 0: none */
    uint8_t *scratch;    /* SWARM_READ_BYTES */
};

/* ---- swarm_begin.c ---- */
void swarm_accepted(struct swarm *s, const struct net_event *event);
/* A new outbound socket for an attempt of the dialer. */
void swarm_connect(struct swarm *s, const struct dialer_order *order);

/* ---- swarm.c ---- */
enum err swarm_listen(struct swarm *s, const char *text, char *ret_why, size_t why_bytes);
void swarm_net(struct swarm *s, const struct net_event *event);
/* Does what is due. When that is next is known from what each connection says when it is settled, so a node at rest seldom wakes. */
void swarm_tick(struct swarm *s);
/* A connection has been settled: notes when it is to be looked at again. */
void swarm_care(struct swarm_conn *c);
/* Sets the timer of swarm_tick. */
void swarm_tick_arm(struct swarm *s);
/* Writes, and frees what is over. At the end of each handler, or of the turn through a timer when soon is enough. */
void swarm_settle(struct swarm *s);
void swarm_settle_soon(struct swarm *s);
void swarm_touch(struct swarm_conn *c);
struct swarm_conn *swarm_conn_of_attempt(const struct swarm *s, uint64_t attempt);
void swarm_end(struct swarm_conn *c, enum err why);
/* Ends a connection in good order; ERR_OK: because we want to. */
void swarm_close(struct swarm_conn *c, enum err why);
struct swarm_peer *swarm_peer_find(const struct swarm *s, const struct peer_id *id);

/* The connection to the peer on which to open streams: upgraded, not limited, with most streams. ERR_INVALID (no peer id), ERR_UNREACHABLE. */
enum err swarm_conn_to(const struct swarm *s, struct span peer, struct swarm_conn **ret_conn) MUST_CHECK;
void swarm_release(struct swarm *s);
void swarm_resume_reading(struct swarm *s);

/* For a dial: closes a quiet connection that we dialled by chance, if there is one, and counts it no more. */
void swarm_make_room(struct swarm *s);

/* The last connection to a wanted peer is gone, after so long. */
void swarm_return_later(struct swarm *s, const struct peer_id *peer, uint64_t lasted_ns);
/* A dial has ended without a connection. */
void swarm_return_failed(struct swarm *s, const struct peer_id *peer);
/* Nobody wants the peer any more. */
void swarm_return_forget(struct swarm *s, const struct peer_id *peer);
/* The first of them is to be dialled then; UINT64_MAX: none. */
uint64_t swarm_return_deadline(const struct swarm *s);

/* ---- swarm_dial.c ---- */
/* Dials the addresses that are known; nobody waits for the answer. */
enum err swarm_dial_known(struct swarm *s, const struct peer_id *peer);
struct msg_peer_connect;
enum err swarm_peer_connect(struct swarm *s, const struct msg_peer_connect *fields, struct reply_to call);
void swarm_cancel_call(struct swarm *s, const struct reply_to *call);
/* Takes the dialer's orders until there are none and sets its timer. */
void swarm_dialer_run(struct swarm *s);
void swarm_name_resolved(struct swarm *s, enum err err, void *arg);
/* Identify has ended, or the connection: answers who waited for the peer. */
void swarm_waiters_up(struct swarm *s, const struct swarm_peer *peer);
void swarm_waiters_down(struct swarm *s, const struct peer_id *peer, enum err why);
void swarm_waiters_release(struct swarm *s);

/* ---- swarm_protocols.c ---- */
int swarm_match_protocol(void *user, struct span name);
struct msg_protocol_serve;
/* The protocols of an actor from now on; NULL: none. Streams that are open stay. */
void swarm_serve(struct swarm *s, actor_id owner, const struct msg_protocol_serve *fields);

/* ---- swarm_stream.c ---- */
void swarm_on_opened(void *user, struct connection_stream *engine);
void swarm_on_data(void *user, struct connection_stream *engine, struct span bytes);
void swarm_on_fin(void *user, struct connection_stream *engine);
void swarm_on_writable(void *user, struct connection_stream *engine);
void swarm_on_closed(void *user, struct connection_stream *engine, enum err err, uint32_t code);
/* Opens a stream of a service. NULL when it cannot. */
struct swarm_stream *swarm_stream_open(struct swarm_conn *c, enum stream_kind kind, const char *protocol,
                                       bool optimistic);
/* Frees the record; the engine's stream is gone already. */
void swarm_stream_forget(struct swarm_stream *st);
/* Resets the engine's stream, then frees the record. */
void swarm_stream_drop(struct swarm_stream *st, uint32_t code);
/* FIN, reads no more, then frees the record. */
void swarm_stream_finish(struct swarm_stream *st);
/* Gives the engine what the owner wrote, as far as it goes. */
void swarm_stream_flush(struct swarm_stream *st);
struct msg_stream_open;
struct msg_stream_write;
enum err swarm_stream_call_open(struct swarm *s, const struct msg *msg, struct reply_to call);
void swarm_stream_cast(struct swarm *s, const struct msg *msg);
void swarm_stream_report_written(struct swarm_conn *c);
/* The owner's life ended: its streams are reset. */
void swarm_streams_orphaned(struct swarm *s, actor_id owner);

/* ---- identify_service.c ---- */
void identify_refresh_own(struct swarm *s);
/* What we are has changed: peers are told, a little later, so that many changes are one push. */
void identify_push_soon(struct swarm *s);
void identify_start(struct swarm_conn *c);
void identify_serve(struct swarm_stream *st);
/* May this push be heard? It takes the place of an earlier one of the connection that has not ended. */
bool identify_push_accept(struct swarm_stream *st);
void identify_data(struct swarm_stream *st, struct span bytes);
void identify_fin(struct swarm_stream *st);
void identify_ended(struct swarm_stream *st, enum err err);
void identify_opened(struct swarm_stream *st);
void identify_tick(struct swarm_conn *c, uint64_t now_ns);
/* When identify_tick has something to do; UINT64_MAX: never, as it looks. */
uint64_t identify_deadline(const struct swarm_conn *c);
void identify_push_all(struct swarm *s);

/* ---- ping_service.c ---- */
bool ping_accept(struct swarm_stream *st);
void ping_data(struct swarm_stream *st, struct span bytes);
void ping_opened(struct swarm_stream *st);
void ping_ended(struct swarm_stream *st, enum err err);
void ping_fin(struct swarm_stream *st);
void ping_tick(struct swarm_stream *st, uint64_t now_ns);
uint64_t ping_deadline(const struct swarm_stream *st);
enum err ping_call(struct swarm *s, const struct msg *msg, struct reply_to call);
void ping_cancel(struct swarm *s, const struct reply_to *call);
void ping_free(struct swarm_ping *ping);

/* ---- autonat_service.c ---- */
void autonat_init(struct swarm *s);
void autonat_release(struct swarm *s);
void autonat_tick(struct swarm *s, uint64_t now_ns);
uint64_t autonat_deadline(const struct swarm *s);
/* An own list of addresses has changed. */
void autonat_moved(struct swarm *s);
/* A peer says where it sees this node. */
void autonat_observed(struct swarm_conn *c, struct span addr);
/* A connection is upgraded. */
void autonat_upgraded(const struct swarm_conn *c);
void autonat_opened(struct swarm_stream *st);
void autonat_data(struct swarm_stream *st, struct span bytes);
void autonat_fin(struct swarm_stream *st);
/* The stream is gone, or about to go. */
void autonat_ended(struct swarm_stream *st);
/* To discovery, whose life has begun. */
void autonat_tell_again(struct swarm *s);
enum err swarm_reply_autonat(struct swarm *s, struct reply_to call);

/* ---- swarm_care.c ---- */
/* peer_tag, peer_protect. */
void swarm_mark(struct swarm *s, const struct msg *msg);
/* The actor's life ended: what it said of peers is void. */
void swarm_forget_marks(struct swarm *s, actor_id from);

/* ---- swarm_resources.c ---- */
/* Of configuration and budget. */
void swarm_resources_init(struct swarm *s);
void swarm_pause(struct swarm_conn *c);
void swarm_unpause(struct swarm_conn *c);
/* The protocol of a stream is agreed. False: there are too many of it. */
bool swarm_protocol_agreed(struct swarm_stream *st);
/* Bytes held for an owned stream, or used up. */
bool swarm_hold(struct swarm_stream *st, size_t bytes);
void swarm_give(struct swarm_stream *st, uint64_t bytes);
enum err swarm_reply_resources(struct swarm *s, struct reply_to call);

/* ---- swarm_bandwidth.c ---- */
/* Of the configuration. The error has its sentence. */
enum err swarm_bandwidth_init(struct swarm *s) MUST_CHECK;
/* How many of want bytes the socket may move now; 0: it is told when. swarm_moved must follow any other answer. */
size_t swarm_may_move(struct swarm_conn *c, enum bandwidth_direction d, size_t want);
void swarm_moved(struct swarm_conn *c, enum bandwidth_direction d, size_t bytes);
/* May the socket be read, as far as bandwidth goes? */
bool swarm_may_receive(const struct swarm_conn *c);
/* The peer of a connection, or the protocol of a stream, is known. */
void swarm_bandwidth_peer(struct swarm_conn *c);
void swarm_bandwidth_protocol(struct swarm_stream *st);
/* Bytes of a stream: arrived, or taken by the engine. */
void swarm_stream_moved(struct swarm_stream *st, enum bandwidth_direction d, size_t bytes);
/* The owner has used up bytes: the peer may send as many more, at once or when the limit allows. */
void swarm_stream_consumed(struct swarm_stream *st, uint64_t bytes);
/* The hour may have changed. */
void swarm_bandwidth_tick(struct swarm *s);
void swarm_bandwidth_run(struct swarm *s);
void swarm_bandwidth_arm(struct swarm *s);
/* Sets the rates anew, of the last report period. */
void swarm_measure(struct swarm *s, uint64_t now_ns);
struct msg_stats_bw;
enum err swarm_reply_bandwidth(struct swarm *s, const struct msg_stats_bw *fields, struct reply_to call);

/* ---- swarm_rules.c ---- */
/* Of the configuration. The error has its sentence. */
enum err swarm_rules_init(struct swarm *s) MUST_CHECK;
/* May there be a connection? peer NULL or empty: not known yet. A no is counted. */
bool swarm_may_speak(struct swarm *s, const struct peer_id *peer, const struct net_addr *addr);
/* An actor is down: when it crashed over a peer's bytes once too often, the connections with that peer go. */
void swarm_enforce_bans(struct swarm *s);
/* From here on this handler works on what came over the connection: of its peer, or of its address before that is known. */
void swarm_blame(const struct swarm_conn *c);
struct msg_swarm_filters_change;
enum err swarm_filters_change(struct swarm *s, const struct msg_swarm_filters_change *fields, struct reply_to call);
/* As a cast, when this life follows another one: those that were added in it. */
void swarm_filters_again(struct swarm *s, const struct msg_swarm_filters_change *fields);
enum err swarm_reply_filters(struct swarm *s, struct reply_to call);

/* ---- swarm_report.c ---- */
/* An inbound connection from the public network to an address of it. */
bool swarm_is_reached(const struct swarm_conn *c);
void swarm_tell_up(struct swarm *s, struct swarm_peer *peer);
void swarm_tell_down(struct swarm *s, struct swarm_peer *peer);
/* To one protocol actor whose life has begun again. */
void swarm_tell_all_up(struct swarm *s, actor_id to);
void swarm_state_connection(struct swarm_conn *c, bool gone);
void swarm_state_peer(struct swarm *s, const struct peer_entry *entry);
void swarm_report_tick(struct swarm *s);
enum err swarm_reply_peers(struct swarm *s, struct reply_to call);
enum err swarm_reply_addrs(struct swarm *s, bool local, struct reply_to call);
enum err swarm_reply_id(struct swarm *s, struct reply_to call);

#endif
