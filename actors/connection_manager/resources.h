/* SPDX-License-Identifier: MIT */
/*
 * Resources: how many connections and streams there are, and how many bytes are held for them, by whom. Every one of them counts in
 * several scopes, and enters only where all have room:
 *
 *                     system   transient   peer   protocol   IP   prefix
 *      connection        x     until the   from            x      x          IP: an IPv4 address or IPv6 /56, which is what one
 *                              upgrade     then                              customer has; prefix: IPv4 /24 or IPv6 /48
 *      stream            x                  x    once agreed x     x
 *      bytes             x                  x      x       x      x
 *
 * Exempt addresses count for their IP and prefix but are not refused by these. A scope exists while something is in it, so the
 * tables are as large as the connections are many. No sockets, no clock; one thread.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_RESOURCES_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_RESOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/table.h"
#include "mailbox/ports.h"
#include "wire/peer_id.h"

enum {
    RESOURCES_SCOPES_MAX = 65536, /* of each kind that is keyed */
    RESOURCES_PER_IP_MAX = 8,     /* the usual limits */
    RESOURCES_PREFIX_FACTOR = 4,
    RESOURCES_HALF_OPEN_MAX = 128,
    RESOURCES_SPARE = 64 /* connections beyond high water before newcomers are refused */
};

enum resource_kind {
    RESOURCE_SYSTEM,
    RESOURCE_TRANSIENT,
    RESOURCE_PEER,
    RESOURCE_PROTOCOL,
    RESOURCE_IP,
    RESOURCE_PREFIX,
    RESOURCE_KINDS
};

enum resource {
    RESOURCE_CONNS,
    RESOURCE_CONNS_IN,
    RESOURCE_CONNS_OUT,
    RESOURCE_STREAMS,
    RESOURCE_STREAMS_IN,
    RESOURCE_STREAMS_OUT,
    RESOURCE_BYTES,
    RESOURCES
};

/* 0: no limit. */
struct resource_limits {
    uint64_t of[RESOURCE_KINDS][RESOURCES];
};

struct resource_scope {
    uint64_t used[RESOURCES];
    uint32_t half_open; /* of RESOURCE_CONNS_IN: not upgraded yet */
};

struct resources {
    struct resource_limits limits;
    struct resource_scope system;
    struct resource_scope transient;
    struct table scopes[RESOURCE_KINDS]; /* the keyed ones: key -> struct resource_scope, owned */
    uint64_t refused[RESOURCE_KINDS];    /* by which kind of scope */
    struct account *account;
};

/* What one connection counts in. Zeroed before resources_enter and after resources_leave. */
struct resource_conn {
    struct resource_scope *ip;
    struct resource_scope *prefix;
    struct resource_scope *peer; /* NULL before the upgrade */
    struct net_addr addr;
    struct peer_id id;
    bool inbound;
    bool exempt;
};

/* What one stream counts in. */
struct resource_stream {
    struct resource_conn *conn;
    struct resource_scope *protocol; /* NULL before it is agreed */
    const char *name;
    uint64_t bytes;
    bool inbound;
};

/* account (may be NULL) pays for scopes. Allocates nothing. */
void resources_init(struct resources *r, const struct resource_limits *limits, struct account *account);
void resources_release(struct resources *r);

/* A connection begins, transient. ERR_BUSY: a scope is full, counted in refused; ERR_NOMEM. */
enum err resources_enter(struct resources *r, struct resource_conn *conn, const struct net_addr *addr, bool inbound,
                         bool exempt) MUST_CHECK;

/* It is upgraded. ERR_BUSY: the peer has too many; it is transient still. */
enum err resources_upgraded(struct resources *r, struct resource_conn *conn, const struct peer_id *peer) MUST_CHECK;

/* It ends, after its streams. One that never entered is ignored. */
void resources_leave(struct resources *r, struct resource_conn *conn);

/* A stream begins. ERR_BUSY. */
enum err resources_open(struct resources *r, struct resource_stream *stream, struct resource_conn *conn,
                        bool inbound) MUST_CHECK;

/* Its protocol is known; name is borrowed while the stream lives. ERR_BUSY: too many of it; it counts there all the same. */
enum err resources_agree(struct resources *r, struct resource_stream *stream, const char *name) MUST_CHECK;

/* It ends; bytes that it holds are given back. One that never began is ignored. */
void resources_close(struct resources *r, struct resource_stream *stream);

/* Bytes held for a stream. False: a scope is full, and nothing was counted. */
bool resources_hold(struct resources *r, struct resource_stream *stream, uint64_t bytes) MUST_CHECK;
void resources_give(struct resources *r, struct resource_stream *stream, uint64_t bytes);

/* Would the scopes of a connection hold so many more? Its protocols are not asked: which one it will be is not known. */
bool resources_have_room(const struct resources *r, const struct resource_conn *conn, uint64_t bytes);

/* The next newcomer needs a victim among those not upgraded yet: they are too many, or all that the system has is taken and some of it theirs. */
bool resources_are_crowded(const struct resources *r);

/* Not one connection more, whoever begins it. */
bool resources_are_full(const struct resources *r);

/* The bits of the networks of a kind, IP or PREFIX, in the family of this one. */
uint8_t resources_network_bits(enum resource_kind kind, const uint8_t ip[16]);

/* Words of the table that people see: "System", "proto:/ipfs/..." are made of them. */
const char *resource_kind_name(enum resource_kind kind);
const char *resource_name(enum resource resource);

#endif
