/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/resources.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/ip_network.h"
#include "base/limits.h"
#include "net/addr.h"

enum { IP6_BITS = 56, IP6_PREFIX_BITS = 48, IP4_BITS = 32, IP4_PREFIX_BITS = 24, SCOPES_MAX = 5 };

/* The scopes that something counts in, with their kinds. */
struct scopes {
    struct resource_scope *of[SCOPES_MAX];
    enum resource_kind kind[SCOPES_MAX];
    size_t count;
};

static void add(struct scopes *s, enum resource_kind kind, struct resource_scope *scope)
{
    if (scope == NULL)
        return;
    s->of[s->count] = scope;
    s->kind[s->count++] = kind;
}

static struct scopes scopes_of(struct resources *r, const struct resource_conn *conn, bool transient)
{
    struct scopes s = {.count = 0};
    add(&s, RESOURCE_SYSTEM, &r->system);
    if (transient)
        add(&s, RESOURCE_TRANSIENT, &r->transient);
    add(&s, RESOURCE_PEER, conn->peer);
    add(&s, RESOURCE_IP, conn->ip);
    add(&s, RESOURCE_PREFIX, conn->prefix);
    return s;
}

void resources_init(struct resources *r, const struct resource_limits *limits, struct account *account)
{
    *r = (struct resources){.limits = *limits, .account = account};
    for (int kind = RESOURCE_PEER; kind < RESOURCE_KINDS; kind++)
        table_init(&r->scopes[kind], RESOURCES_SCOPES_MAX, account);
}

static void scope_free(struct resources *r, struct resource_scope *scope)
{
    if (r->account != NULL)
        account_give(r->account, sizeof(*scope));
    free(scope);
}

void resources_release(struct resources *r)
{
    for (int kind = RESOURCE_PEER; kind < RESOURCE_KINDS; kind++) {
        size_t position = 0;
        struct resource_scope *scope;
        while ((scope = table_next(&r->scopes[kind], &position, NULL)) != NULL)
            scope_free(r, scope);
        table_release(&r->scopes[kind]);
    }
}

/* ---- scopes with keys ---- */

static struct resource_scope *scope_get(struct resources *r, enum resource_kind kind, struct span key)
{
    struct resource_scope *scope = table_get(&r->scopes[kind], key);
    if (scope != NULL)
        return scope;
    if (r->account != NULL && !account_take(r->account, sizeof(*scope)))
        return NULL;
    scope = calloc(1, sizeof(*scope));
    if (scope != NULL && table_put(&r->scopes[kind], key, scope, NULL) == ERR_OK)
        return scope;
    if (r->account != NULL)
        account_give(r->account, sizeof(*scope));
    free(scope);
    return NULL;
}

static void scope_drop_empty(struct resources *r, enum resource_kind kind, struct span key)
{
    struct resource_scope *scope = table_get(&r->scopes[kind], key);
    if (scope == NULL || scope->used[RESOURCE_CONNS] > 0 || scope->used[RESOURCE_STREAMS] > 0)
        return;
    assert(scope->used[RESOURCE_BYTES] == 0);
    (void)table_remove(&r->scopes[kind], key);
    scope_free(r, scope);
}

uint8_t resources_network_bits(enum resource_kind kind, const uint8_t ip[IP_BYTES])
{
    if (ip_is_ip4(ip))
        return (uint8_t)(IP4_BITS_BEFORE + (kind == RESOURCE_PREFIX ? IP4_PREFIX_BITS : IP4_BITS));
    return kind == RESOURCE_PREFIX ? IP6_PREFIX_BITS : IP6_BITS;
}

/* The network of an address, by kind. Its bits are told by family and kind. */
static void network_of(const struct net_addr *addr, enum resource_kind kind, uint8_t ret_key[IP_BYTES])
{
    addr_map(addr, ret_key);
    ip_mask(ret_key, resources_network_bits(kind, ret_key));
}

static struct resource_scope *network_scope(struct resources *r, enum resource_kind kind, const struct net_addr *addr)
{
    uint8_t key[IP_BYTES];
    network_of(addr, kind, key);
    return scope_get(r, kind, span_of(key, sizeof(key)));
}

static void drop_networks(struct resources *r, const struct net_addr *addr)
{
    for (int kind = RESOURCE_IP; kind <= RESOURCE_PREFIX; kind++) {
        uint8_t key[IP_BYTES];
        network_of(addr, kind, key);
        scope_drop_empty(r, kind, span_of(key, sizeof(key)));
    }
}

/* ---- counting ---- */

static bool fits(const struct resources *r, enum resource_kind kind, const struct resource_scope *scope,
                 enum resource what, uint64_t n)
{
    uint64_t limit = r->limits.of[kind][what];
    return limit == 0 || (n <= limit && scope->used[what] <= limit - n);
}

static bool is_exempt(const struct resource_conn *conn, enum resource_kind kind)
{
    return conn->exempt && (kind == RESOURCE_IP || kind == RESOURCE_PREFIX);
}

/* Whether n of a resource, and of its part by direction, fit everywhere. A no is counted. */
static bool all_fit(struct resources *r, const struct scopes *s, const struct resource_conn *conn, enum resource what,
                    enum resource part, uint64_t n)
{
    for (size_t i = 0; i < s->count; i++) {
        if (is_exempt(conn, s->kind[i]) ||
            (fits(r, s->kind[i], s->of[i], what, n) && fits(r, s->kind[i], s->of[i], part, n)))
            continue;
        r->refused[s->kind[i]]++;
        return false;
    }
    return true;
}

static void take(struct resource_scope *scope, enum resource what, uint64_t n)
{
    scope->used[what] += n;
}

static void give(struct resource_scope *scope, enum resource what, uint64_t n)
{
    assert(scope->used[what] >= n);
    scope->used[what] -= n;
}

static enum resource conns_part(const struct resource_conn *conn)
{
    return conn->inbound ? RESOURCE_CONNS_IN : RESOURCE_CONNS_OUT;
}

static enum resource streams_part(const struct resource_stream *stream)
{
    return stream->inbound ? RESOURCE_STREAMS_IN : RESOURCE_STREAMS_OUT;
}

/* ---- connections ---- */

enum err resources_enter(struct resources *r, struct resource_conn *conn, const struct net_addr *addr, bool inbound,
                         bool exempt)
{
    struct resource_conn c = {.addr = *addr, .inbound = inbound, .exempt = exempt};
    c.ip = network_scope(r, RESOURCE_IP, addr);
    c.prefix = network_scope(r, RESOURCE_PREFIX, addr);
    struct scopes s = scopes_of(r, &c, true);
    bool there = c.ip != NULL && c.prefix != NULL;
    if (!there || !all_fit(r, &s, &c, RESOURCE_CONNS, conns_part(&c), 1)) {
        drop_networks(r, addr);
        return there ? ERR_BUSY : ERR_NOMEM;
    }
    for (size_t i = 0; i < s.count; i++) {
        take(s.of[i], RESOURCE_CONNS, 1);
        take(s.of[i], conns_part(&c), 1);
        s.of[i]->half_open += inbound;
    }
    *conn = c;
    return ERR_OK;
}

static void leave_transient(struct resources *r, struct resource_conn *conn)
{
    struct scopes s = scopes_of(r, conn, true);
    for (size_t i = 0; i < s.count && conn->inbound; i++)
        s.of[i]->half_open--;
    give(&r->transient, RESOURCE_CONNS, 1);
    give(&r->transient, conns_part(conn), 1);
}

enum err resources_upgraded(struct resources *r, struct resource_conn *conn, const struct peer_id *peer)
{
    struct resource_scope *scope = scope_get(r, RESOURCE_PEER, peer_id_span(peer));
    struct scopes s = {.count = 0};
    add(&s, RESOURCE_PEER, scope);
    if (scope == NULL || !all_fit(r, &s, conn, RESOURCE_CONNS, conns_part(conn), 1)) {
        scope_drop_empty(r, RESOURCE_PEER, peer_id_span(peer));
        return scope == NULL ? ERR_NOMEM : ERR_BUSY;
    }
    leave_transient(r, conn);
    take(scope, RESOURCE_CONNS, 1);
    take(scope, conns_part(conn), 1);
    conn->peer = scope;
    conn->id = *peer;
    return ERR_OK;
}

void resources_leave(struct resources *r, struct resource_conn *conn)
{
    if (conn->ip == NULL)
        return;
    if (conn->peer == NULL)
        leave_transient(r, conn);
    struct scopes s = scopes_of(r, conn, false);
    for (size_t i = 0; i < s.count; i++) {
        give(s.of[i], RESOURCE_CONNS, 1);
        give(s.of[i], conns_part(conn), 1);
    }
    if (conn->peer != NULL)
        scope_drop_empty(r, RESOURCE_PEER, peer_id_span(&conn->id));
    drop_networks(r, &conn->addr);
    *conn = (struct resource_conn){0};
}

/* ---- streams ---- */

enum err resources_open(struct resources *r, struct resource_stream *stream, struct resource_conn *conn, bool inbound)
{
    struct resource_stream st = {.conn = conn, .inbound = inbound};
    struct scopes s = scopes_of(r, conn, false);
    if (!all_fit(r, &s, conn, RESOURCE_STREAMS, streams_part(&st), 1))
        return ERR_BUSY;
    for (size_t i = 0; i < s.count; i++) {
        take(s.of[i], RESOURCE_STREAMS, 1);
        take(s.of[i], streams_part(&st), 1);
    }
    *stream = st;
    return ERR_OK;
}

enum err resources_agree(struct resources *r, struct resource_stream *stream, const char *name)
{
    struct resource_scope *scope = stream->protocol != NULL ? NULL : scope_get(r, RESOURCE_PROTOCOL, span_text(name));
    if (scope == NULL)
        return stream->protocol != NULL ? ERR_OK : ERR_NOMEM;
    struct scopes s = {.count = 0};
    add(&s, RESOURCE_PROTOCOL, scope);
    bool room = all_fit(r, &s, stream->conn, RESOURCE_STREAMS, streams_part(stream), 1);
    take(scope, RESOURCE_STREAMS, 1);
    take(scope, streams_part(stream), 1);
    take(scope, RESOURCE_BYTES, stream->bytes);
    stream->protocol = scope;
    stream->name = name;
    return room ? ERR_OK : ERR_BUSY;
}

void resources_close(struct resources *r, struct resource_stream *stream)
{
    if (stream->conn == NULL)
        return;
    resources_give(r, stream, stream->bytes);
    struct scopes s = scopes_of(r, stream->conn, false);
    add(&s, RESOURCE_PROTOCOL, stream->protocol);
    for (size_t i = 0; i < s.count; i++) {
        give(s.of[i], RESOURCE_STREAMS, 1);
        give(s.of[i], streams_part(stream), 1);
    }
    if (stream->protocol != NULL)
        scope_drop_empty(r, RESOURCE_PROTOCOL, span_text(stream->name));
    *stream = (struct resource_stream){0};
}

bool resources_hold(struct resources *r, struct resource_stream *stream, uint64_t bytes)
{
    struct scopes s = scopes_of(r, stream->conn, false);
    add(&s, RESOURCE_PROTOCOL, stream->protocol);
    if (!all_fit(r, &s, stream->conn, RESOURCE_BYTES, RESOURCE_BYTES, bytes))
        return false;
    for (size_t i = 0; i < s.count; i++)
        take(s.of[i], RESOURCE_BYTES, bytes);
    stream->bytes += bytes;
    return true;
}

void resources_give(struct resources *r, struct resource_stream *stream, uint64_t bytes)
{
    struct scopes s = scopes_of(r, stream->conn, false);
    add(&s, RESOURCE_PROTOCOL, stream->protocol);
    bytes = MIN(bytes, stream->bytes);
    for (size_t i = 0; i < s.count; i++)
        give(s.of[i], RESOURCE_BYTES, bytes);
    stream->bytes -= bytes;
}

/* ---- queries ---- */

bool resources_have_room(const struct resources *r, const struct resource_conn *conn, uint64_t bytes)
{
    return fits(r, RESOURCE_SYSTEM, &r->system, RESOURCE_BYTES, bytes) &&
           (conn->peer == NULL || fits(r, RESOURCE_PEER, conn->peer, RESOURCE_BYTES, bytes)) &&
           (conn->exempt || conn->ip == NULL ||
            (fits(r, RESOURCE_IP, conn->ip, RESOURCE_BYTES, bytes) &&
             fits(r, RESOURCE_PREFIX, conn->prefix, RESOURCE_BYTES, bytes)));
}

bool resources_are_full(const struct resources *r)
{
    return !fits(r, RESOURCE_SYSTEM, &r->system, RESOURCE_CONNS, 1);
}

bool resources_are_crowded(const struct resources *r)
{
    bool system_full = !fits(r, RESOURCE_SYSTEM, &r->system, RESOURCE_CONNS_IN, 1) || resources_are_full(r);
    return !fits(r, RESOURCE_TRANSIENT, &r->transient, RESOURCE_CONNS_IN, 1) ||
           (system_full && r->transient.used[RESOURCE_CONNS_IN] > 0);
}

const char *resource_kind_name(enum resource_kind kind)
{
    static const char *const names[] = {"System", "Transient", "peer:", "proto:", "ip:", "prefix:"};
    return names[kind];
}

const char *resource_name(enum resource resource)
{
    static const char *const names[] = {"Conns",          "ConnsInbound",    "ConnsOutbound", "Streams",
                                        "StreamsInbound", "StreamsOutbound", "Memory"};
    return names[resource];
}
