/* SPDX-License-Identifier: MIT */
/*
 * Identify, both ways. We answer at once, because Kubo opens no stream to us before its identify of us has ended, and we ask on each
 * new connection. A push tells peers when our addresses change, at most once a second; theirs are taken ten at a burst.
 *
 * Addresses: what we tell depends on how far the connection reaches (loopback only over loopback, private ones not to the world),
 * and the same rule decides what we believe. A signed record counts only if it proves itself; a false one discredits the addresses
 * beside it, too. Specs: libp2p/specs identify, RFC 0003.
 */
#include <string.h>

#include "actors/connection_manager/swarm.h"
#include "net/addr.h"
#include "wire/peer_record.h"

enum { INTERFACES_MAX = 64, RECORD_BYTES_MAX = 8192 };

/* ---- what we are ---- */

static void add_own(struct swarm *s, const struct multiaddr *addr)
{
    for (size_t i = 0; i < s->own_addr_count; i++)
        if (span_equal(multiaddr_span(&s->own_addrs[i]), multiaddr_span(addr)))
            return;
    if (s->own_addr_count < SWARM_OWN_ADDRS_MAX)
        s->own_addrs[s->own_addr_count++] = *addr;
}

static bool is_unspecified(const struct net_addr *addr)
{
    static const uint8_t none[16];
    return memcmp(addr->ip, none, addr->family == NET_IP4 ? 4 : 16) == 0;
}

static void add_listener(struct swarm *s, const struct endpoint *bound)
{
    struct net_addr interfaces[INTERFACES_MAX];
    size_t n = 1;
    if (is_unspecified(&bound->addr))
        n = s->net->own_addrs(s->net->self, interfaces, INTERFACES_MAX);
    else
        interfaces[0] = bound->addr;
    for (size_t i = 0; i < n; i++) {
        struct endpoint own = {.addr = interfaces[i], .websocket = bound->websocket};
        if (own.addr.family != bound->addr.family || own.addr.scope_id != 0)
            continue;
        own.addr.port = bound->addr.port;
        struct multiaddr addr = endpoint_to_multiaddr(&own);
        add_own(s, &addr);
    }
}

void identify_refresh_own(struct swarm *s)
{
    struct multiaddr before[SWARM_OWN_ADDRS_MAX];
    size_t count = s->own_addr_count;
    memcpy(before, s->own_addrs, sizeof(before));
    s->own_addr_count = 0;
    struct multiaddr addr;
    const struct config_list *announce = &s->config->addresses_announce;
    for (size_t i = 0; i < announce->count; i++)
        if (multiaddr_parse_text(span_text(announce->items[i]), &addr) == ERR_OK)
            add_own(s, &addr);
    for (size_t i = 0; i < s->listener_count && announce->count == 0; i++)
        add_listener(s, &s->listeners[i].bound);
    if (s->own_seq != 0 && count == s->own_addr_count && memcmp(before, s->own_addrs, count * sizeof(*before)) == 0)
        return;
    s->own_seq = MAX(ctx_real_now(s->ctx), s->own_seq + 1);
    autonat_moved(s);
    identify_push_soon(s);
}

void identify_push_soon(struct swarm *s)
{
    s->push_at_ns = ctx_now(s->ctx) + SWARM_PUSH_DEBOUNCE_MS * MS_NS;
}

/* How far a multiaddr reaches; names count as public. */
static enum reach reach_of_multiaddr(struct span bytes)
{
    struct multiaddr_target target;
    struct net_addr addr;
    if (multiaddr_target(bytes, &target) != ERR_OK)
        return REACH_NOWHERE;
    return addr_of_target(&target, &addr) == ERR_OK ? reach_of(&addr) : REACH_PUBLIC;
}

static size_t addrs_to_tell(const struct swarm_conn *c, struct multiaddr to[SWARM_OWN_ADDRS_MAX])
{
    const struct swarm *s = c->swarm;
    size_t n = 0;
    for (size_t i = 0; i < s->own_addr_count; i++)
        if (reach_may_tell(reach_of_multiaddr(multiaddr_span(&s->own_addrs[i])), reach_of(&c->remote.addr)))
            to[n++] = s->own_addrs[i];
    return n;
}

static enum err encode_own(const struct swarm_conn *c, const struct multiaddr *addrs, size_t count, struct buf *out)
{
    const struct swarm *s = c->swarm;
    const char *protocols[PROTOCOLS_MAX];
    size_t protocol_count = protocols_list(&s->protocols, protocols);
    struct multiaddr observed = endpoint_to_multiaddr(&c->remote);
    struct buf record;
    buf_init(&record, RECORD_BYTES_MAX, NULL);
    enum err err = peer_record_seal(s->key, s->own_seq, addrs, count, &record);
    struct identify_own own = {.public_key = key_pair_public(s->key),
                               .observed_addr = multiaddr_span(&observed),
                               .signed_record = buf_span(&record),
                               .agent_version = "hearth/" HEARTH_VERSION,
                               .listen_addrs = addrs,
                               .listen_count = count,
                               .protocols = protocols,
                               .protocol_count = protocol_count};
    if (err == ERR_OK)
        err = identify_encode(&own, out);
    buf_release(&record);
    return err;
}

/* Writes our message and ends the stream; with too many addresses it tells fewer. */
static void send_own(struct swarm_stream *st)
{
    struct multiaddr addrs[SWARM_OWN_ADDRS_MAX];
    size_t count = addrs_to_tell(st->conn, addrs);
    struct buf out;
    buf_init(&out, IDENTIFY_SEND_MAX + 8, NULL);
    enum err err = encode_own(st->conn, addrs, count, &out);
    while (err == ERR_TOO_LARGE && count > 0) {
        buf_clear(&out);
        count /= 2;
        err = encode_own(st->conn, addrs, count, &out);
    }
    size_t accepted = 0;
    if (err == ERR_OK)
        err = connection_stream_write(st->engine, buf_span(&out), &accepted);
    swarm_stream_moved(st, BANDWIDTH_OUT, accepted);
    bool sent = err == ERR_OK && accepted == out.len;
    buf_release(&out);
    if (sent)
        swarm_stream_finish(st);
    else
        swarm_stream_drop(st, 0);
}

void identify_serve(struct swarm_stream *st)
{
    send_own(st);
}

void identify_opened(struct swarm_stream *st)
{
    send_own(st);
}

static void push(struct swarm_conn *c)
{
    if (c->push_owed && c->peer->entry != NULL && peerstore_speaks(c->peer->entry, IDENTIFY_PUSH_PROTOCOL))
        (void)swarm_stream_open(c, STREAM_PUSH_OUT, IDENTIFY_PUSH_PROTOCOL, true);
    c->push_owed = false;
}

void identify_push_all(struct swarm *s)
{
    s->push_at_ns = 0;
    size_t position = 0;
    struct swarm_conn *c;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL) {
        c->push_owed = c->up && !c->over;
        if (c->identify == IDENTIFY_DONE)
            push(c);
    }
}

/* ---- what they are ---- */

/* One that failed is asked for again, or the peer would be of no use to those who go by its protocols as long as the connection lasts. */
static void finished(struct swarm_conn *c, enum identify_state state)
{
    enum { TIMES_LONGER = 6 };
    struct swarm *s = c->swarm;
    c->identify = state;
    if (state == IDENTIFY_FAILED) {
        uint64_t wait_ns = SWARM_IDENTIFY_AGAIN_MS * MS_NS << c->identify_failures;
        c->identify_due_ns = ctx_now(s->ctx) + wait_ns;
        c->identify_failures = MIN(c->identify_failures + 1, (unsigned)TIMES_LONGER);
    }
    if (c->peer->entry != NULL)
        swarm_state_peer(s, c->peer->entry);
    if (state == IDENTIFY_DONE || !c->peer->told)
        swarm_tell_up(s, c->peer);
    if (state == IDENTIFY_DONE)
        push(c);
    swarm_waiters_up(s, c->peer);
}

void identify_start(struct swarm_conn *c)
{
    c->identify = IDENTIFY_RUNS;
    c->identify_due_ns = ctx_now(c->swarm->ctx) + SWARM_IDENTIFY_MS * MS_NS;
    if (swarm_stream_open(c, STREAM_IDENTIFY_OUT, IDENTIFY_PROTOCOL, true) == NULL)
        finished(c, IDENTIFY_FAILED);
}

static bool push_may(struct swarm_conn *c)
{
    uint64_t now = ctx_now(c->swarm->ctx);
    uint64_t period = SWARM_PUSH_PERIOD_MS * MS_NS;
    c->push_credit_ns = MIN(c->push_credit_ns + (now - c->push_updated_ns), SWARM_PUSH_BURST * period);
    c->push_updated_ns = now;
    if (c->push_credit_ns < period)
        return false;
    c->push_credit_ns -= period;
    return true;
}

bool identify_push_accept(struct swarm_stream *st)
{
    struct swarm_conn *c = st->conn;
    if (!push_may(c))
        return false;
    for (struct swarm_stream *other = c->streams, *next; other != NULL; other = next) {
        next = other->next;
        if (other->kind == STREAM_PUSH_IN && other != st)
            swarm_stream_drop(other, 0);
    }
    st->due_ns = ctx_now(c->swarm->ctx) + SWARM_IDENTIFY_MS * MS_NS;
    return true;
}

static void take_addr(struct swarm_conn *c, struct span addr)
{
    if (reach_may_tell(reach_of_multiaddr(addr), reach_of(&c->remote.addr)))
        (void)peerstore_add_addr(c->peer->entry, addr);
}

static void take_addrs(struct swarm_conn *c, const struct identify *said)
{
    struct peer_entry *entry = c->peer->entry;
    struct span addr;
    if (said->signed_record.len == 0) {
        struct identify_iterator it = {0};
        while (identify_next_addr(said, &it, &addr))
            take_addr(c, addr);
        return;
    }
    struct peer_record record;
    if (peer_record_open(said->signed_record, &c->peer->id, entry->record_seq, &record) != ERR_OK)
        return; /* false, or no newer than what is known */
    entry->record_seq = record.seq;
    peerstore_clear_addrs(entry);
    while (peer_record_next_addr(&record, &addr))
        take_addr(c, addr);
}

static void take(struct swarm_conn *c, const struct identify *said)
{
    struct peer_entry *entry = c->peer->entry;
    if (entry == NULL)
        return;
    take_addrs(c, said);
    peerstore_clear_protocols(entry);
    struct identify_iterator it = {0};
    struct span protocol;
    while (identify_next_protocol(said, &it, &protocol))
        peerstore_add_protocol(entry, protocol);
    peerstore_set_agent(entry, said->agent_version);
    autonat_observed(c, said->observed_addr);
    if (!c->inbound) { /* where it answered stays known, whatever it says */
        struct multiaddr dialled = endpoint_to_multiaddr(&c->remote);
        if (peerstore_add_addr(entry, multiaddr_span(&dialled)) == ERR_OK)
            peerstore_prefer_addr(entry, multiaddr_span(&dialled));
    }
}

void identify_data(struct swarm_stream *st, struct span bytes)
{
    if (st->kind != STREAM_IDENTIFY_OUT && st->kind != STREAM_PUSH_IN)
        return;
    if (identify_reader_feed(&st->reader, bytes) == ERR_OK)
        return;
    struct swarm_conn *c = st->conn;
    bool ours = st->kind == STREAM_IDENTIFY_OUT;
    swarm_stream_drop(st, 0);
    if (ours)
        finished(c, IDENTIFY_FAILED);
}

void identify_fin(struct swarm_stream *st)
{
    if (st->kind != STREAM_IDENTIFY_OUT && st->kind != STREAM_PUSH_IN)
        return;
    struct swarm_conn *c = st->conn;
    struct identify said;
    bool ours = st->kind == STREAM_IDENTIFY_OUT;
    bool good = identify_reader_finish(&st->reader, &c->peer->id, &said) == ERR_OK;
    if (good)
        take(c, &said);
    swarm_stream_finish(st);
    if (good || ours)
        finished(c, good ? IDENTIFY_DONE : IDENTIFY_FAILED);
}

/* ERR_CLOSED: with its connection, and then nobody is told that the peer is there. */
void identify_ended(struct swarm_stream *st, enum err err)
{
    if (st->kind == STREAM_IDENTIFY_OUT && st->conn->identify == IDENTIFY_RUNS && !st->conn->over && err != ERR_CLOSED)
        finished(st->conn, IDENTIFY_FAILED);
}

static void expire_pushes(struct swarm_conn *c, uint64_t now_ns)
{
    for (struct swarm_stream *st = c->streams, *next; st != NULL; st = next) {
        next = st->next;
        if (st->kind == STREAM_PUSH_IN && st->due_ns <= now_ns)
            swarm_stream_drop(st, 0);
    }
}

uint64_t identify_deadline(const struct swarm_conn *c)
{
    bool waits = c->identify == IDENTIFY_RUNS || c->identify == IDENTIFY_FAILED;
    uint64_t at = c->up && waits ? c->identify_due_ns : UINT64_MAX;
    for (const struct swarm_stream *st = c->streams; st != NULL; st = st->next)
        if (st->kind == STREAM_PUSH_IN)
            at = MIN(at, st->due_ns);
    return at;
}

void identify_tick(struct swarm_conn *c, uint64_t now_ns)
{
    expire_pushes(c, now_ns);
    if (c->identify_due_ns > now_ns)
        return;
    if (c->identify == IDENTIFY_FAILED)
        identify_start(c);
    if (c->identify != IDENTIFY_RUNS || c->identify_due_ns > now_ns)
        return;
    struct swarm_stream *st = c->streams;
    while (st != NULL && st->kind != STREAM_IDENTIFY_OUT)
        st = st->next;
    if (st != NULL)
        swarm_stream_drop(st, 0);
    finished(c, IDENTIFY_FAILED);
}
