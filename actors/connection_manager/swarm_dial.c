/* SPDX-License-Identifier: MIT */
/*
 * Dials: multiaddrs become socket addresses (names through jobs), the dialer's orders become sockets, and the calls that wait for a
 * peer are answered once it is connected and identified.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/connection_manager/names.h"
#include "actors/connection_manager/swarm.h"
#include "schemas/messages.h"
#include "schemas/role.h"

enum { NAMES_RUNNING_MAX = 32, NAMES_PER_DIAL_MAX = 8, REASON_BYTES = 512 };

/* One name being resolved on a worker; owns everything it touches. */
struct name_job {
    uint64_t dial;
    struct multiaddr addr;
    struct names names;
};

static enum err resolve_job(void *arg, const _Atomic bool *cancelled)
{
    struct name_job *job = arg;
    names_resolve(&job->names, &job->addr, cancelled);
    return ERR_OK;
}

void swarm_name_resolved(struct swarm *s, enum err err, void *arg)
{
    (void)err;
    struct name_job *job = arg;
    s->names_running--;
    dialer_add(s->dialer, job->dial, job->names.found, job->names.count);
    free(job);
}

/* What one dial starts from. */
struct places {
    struct peer_id peer;
    struct endpoint addrs[DIALER_ADDRS_MAX];
    size_t count;
    struct name_job *names[NAMES_PER_DIAL_MAX];
    size_t name_count;
    bool mixed; /* two addresses name two peers */
};

static void places_free_names(struct places *p)
{
    for (size_t i = 0; i < p->name_count; i++)
        free(p->names[i]);
    p->name_count = 0;
}

static enum err add_name(struct places *p, struct span bytes)
{
    struct name_job *job = p->name_count == NAMES_PER_DIAL_MAX ? NULL : calloc(1, sizeof(*job));
    if (job == NULL)
        return ERR_OK; /* the others do */
    enum err err = multiaddr_parse(bytes, &job->addr);
    if (err == ERR_OK)
        p->names[p->name_count++] = job;
    else
        free(job);
    return err;
}

static enum err add_place(struct places *p, struct span bytes)
{
    struct multiaddr_target target;
    struct endpoint endpoint;
    enum err err = multiaddr_target(bytes, &target);
    if (err != ERR_OK)
        return err;
    if (!peer_id_is_empty(&target.peer)) {
        p->mixed = p->mixed || (!peer_id_is_empty(&p->peer) && !peer_id_equal(&p->peer, &target.peer));
        p->peer = target.peer;
    }
    if (names_can_resolve(&target))
        return add_name(p, bytes);
    err = endpoint_of_target(&target, &endpoint);
    if (err == ERR_OK && p->count < DIALER_ADDRS_MAX)
        p->addrs[p->count++] = endpoint;
    return err;
}

static void add_known(struct swarm *s, struct places *p)
{
    const struct peer_entry *entry = peer_id_is_empty(&p->peer) ? NULL : peerstore_find(&s->store, &p->peer);
    size_t position = 0;
    struct span addr;
    while (entry != NULL && peerstore_next(&entry->addrs, &position, &addr))
        (void)add_place(p, addr);
}

static void start_names(struct swarm *s, struct places *p, uint64_t dial)
{
    for (size_t i = 0; i < p->name_count; i++) {
        struct name_job *job = p->names[i];
        job->dial = dial;
        job->names.dns = ctx_dns(s->ctx);
        job->names.peer = p->peer;
        job->names.deadline_ns = ctx_now(s->ctx) + NAMES_SECONDS_MAX * SECOND_NS;
        if (s->names_running < NAMES_RUNNING_MAX && ctx_job(s->ctx, "dns", resolve_job, job, free, dial) == ERR_OK) {
            s->names_running++;
            continue;
        }
        dialer_add(s->dialer, dial, NULL, 0);
        free(job);
    }
    p->name_count = 0;
}

/* ---- waiters ---- */

static enum err add_waiter(struct swarm *s, struct reply_to call, uint64_t dial, const struct peer_id *peer,
                           bool casual)
{
    if (s->waiter_count == SWARM_WAITERS_MAX)
        return ERR_BUSY;
    struct swarm_waiter *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return ERR_NOMEM;
    *w = (struct swarm_waiter){.next = s->waiters, .call = call, .dial = dial, .casual = casual, .peer = *peer};
    s->waiters = w;
    s->waiter_count++;
    return ERR_OK;
}

static void remove_waiter(struct swarm *s, struct swarm_waiter **at)
{
    struct swarm_waiter *w = *at;
    *at = w->next;
    free(w);
    s->waiter_count--;
}

static void reply_connected(struct swarm *s, struct reply_to call, const struct swarm_peer *peer)
{
    char text[ENDPOINT_TEXT_MAX];
    endpoint_text(&peer->conns->remote, text);
    struct msg_peer_connected fields = {.peer = peer_id_span(&peer->id), .addr = span_text(text)};
    ctx_reply(s->ctx, call, &(struct msg){.kind = MSG_PEER_CONNECTED, .fields = &fields});
}

void swarm_waiters_up(struct swarm *s, const struct swarm_peer *peer)
{
    for (struct swarm_waiter **at = &s->waiters; *at != NULL;) {
        if (!peer_id_equal(&(*at)->peer, &peer->id)) {
            at = &(*at)->next;
            continue;
        }
        reply_connected(s, (*at)->call, peer);
        remove_waiter(s, at);
    }
}

void swarm_waiters_down(struct swarm *s, const struct peer_id *peer, enum err why)
{
    for (struct swarm_waiter **at = &s->waiters; *at != NULL;) {
        if ((*at)->dial != 0 || !peer_id_equal(&(*at)->peer, peer)) {
            at = &(*at)->next;
            continue;
        }
        ctx_reply_err(s->ctx, (*at)->call, why, "the connection ended before the peer was identified: %s",
                      err_text(why));
        remove_waiter(s, at);
    }
}

void swarm_waiters_release(struct swarm *s)
{
    while (s->waiters != NULL)
        remove_waiter(s, &s->waiters);
}

static const char *dial_advice(enum err err)
{
    if (err == ERR_MISMATCH)
        return "another peer answers at this address: check the id after /p2p/";
    if (err == ERR_REFUSED)
        return "nobody listens there, or the peer takes none of our secure channels";
    if (err == ERR_TIMEOUT)
        return "no answer in time: check address and firewall";
    if (err == ERR_DENIED)
        return "Swarm.AddrFilters or Swarm.PeerRules do not allow it";
    if (err == ERR_UNSUPPORTED)
        return "who answers there speaks no WebSocket, or not /yamux/1.0.0: check /ws in the address";
    if (err == ERR_NOT_FOUND)
        return "no address to dial: the name has none, or the peer is not known";
    return err_text(err);
}

static void reply_unreached(struct swarm *s, struct reply_to call, const struct dialer_order *order)
{
    char peer[PEER_ID_TEXT_MAX] = "";
    enum err err = order->err == ERR_OK ? ERR_CLOSED : order->err;
    peer_id_text(&order->peer, peer);
    ctx_reply_err(s->ctx, call, err, "cannot connect to %s: %s%s", peer, dial_advice(err),
                  s->config->swarm_key == NULL ? "" : " (only who has this node's swarm key understands it)");
}

/* Whether all who wait for a dial do so by chance. A dial of nobody's is one for a peer that was wanted before. */
static bool is_casual(const struct swarm *s, uint64_t dial)
{
    bool waited = false;
    for (const struct swarm_waiter *w = s->waiters; w != NULL; w = w->next) {
        if (w->dial == dial && !w->casual)
            return false;
        waited = waited || w->dial == dial;
    }
    return waited;
}

/* What was not the peer's, or not tried for want of an address, says nothing of it. */
static void note_result(struct swarm *s, const struct dialer_order *order, bool connected)
{
    struct peer_entry *entry = peerstore_find(&s->store, &order->peer);
    bool tried = order->err == ERR_OK || (order->err != ERR_NOT_FOUND && dialer_was_the_peers(order));
    if (entry == NULL || !tried)
        return;
    peerstore_dialled(entry, connected);
    swarm_state_peer(s, entry);
}

/* A dial is over: those who waited for it now wait for identify, or hear why not. */
static void dial_done(struct swarm *s, const struct dialer_order *order)
{
    struct swarm_peer *peer = swarm_peer_find(s, &order->peer);
    ctx_job_cancel(s->ctx, order->dial); /* names that are still asked for */
    note_result(s, order, peer != NULL);
    if (peer != NULL)
        peer->wanted = peer->wanted || !is_casual(s, order->dial);
    else
        swarm_return_failed(s, &order->peer);
    for (struct swarm_waiter **at = &s->waiters; *at != NULL;) {
        struct swarm_waiter *w = *at;
        if (w->dial != order->dial) {
            at = &w->next;
            continue;
        }
        if (order->err == ERR_OK && peer != NULL && !peer->told) {
            w->dial = 0;
            w->peer = order->peer;
            at = &w->next;
            continue;
        }
        if (order->err == ERR_OK && peer != NULL)
            reply_connected(s, w->call, peer);
        else
            reply_unreached(s, w->call, order);
        remove_waiter(s, at);
    }
}

/* Nobody would hear the number of a stream that is being opened, nor has heard it when the answer and the cancel met on their way. */
static void cancel_stream(struct swarm *s, const struct reply_to *call)
{
    size_t position = 0;
    struct swarm_stream *st;
    while ((st = table_next(&s->streams, &position, NULL)) != NULL)
        if (st->kind == STREAM_OWNED && st->call.correlation != 0 && reply_same(&st->call, call))
            swarm_stream_drop(st, 0);
}

void swarm_cancel_call(struct swarm *s, const struct reply_to *call)
{
    uint64_t dial = 0;
    cancel_stream(s, call);
    for (struct swarm_waiter **at = &s->waiters; *at != NULL; at = &(*at)->next) {
        const struct reply_to *c = &(*at)->call;
        if (c->from != call->from || c->epoch != call->epoch || c->correlation != call->correlation)
            continue;
        dial = (*at)->dial;
        remove_waiter(s, at);
        break;
    }
    for (const struct swarm_waiter *w = s->waiters; w != NULL && dial != 0; w = w->next)
        if (w->dial == dial)
            dial = 0; /* somebody else wants it still */
    if (dial != 0)
        dialer_cancel(s->dialer, dial);
}

/* ---- the call and the orders ---- */

/* Reads the addresses of the call; says what is wrong with the first bad one. */
static enum err read_places(struct swarm *s, const struct msg_peer_connect *fields, struct places *p,
                            char why[REASON_BYTES])
{
    size_t position = 0;
    struct span text;
    enum err first = ERR_OK;
    while (schema_list_next_bytes(&fields->addrs, &position, &text)) {
        struct multiaddr ma;
        bool valid = multiaddr_parse_text(text, &ma) == ERR_OK;
        enum err err = valid ? add_place(p, multiaddr_span(&ma)) : ERR_INVALID;
        if (err == ERR_OK || first != ERR_OK)
            continue;
        first = err;
        (void)snprintf(
            why, REASON_BYTES, "%.*s is %s", (int)MIN(text.len, (size_t)200), (const char *)text.data,
            !valid ? "no multiaddr such as /ip4/1.2.3.4/tcp/4001/p2p/ID"
            : err == ERR_UNSUPPORTED
                ? "not dialled here: only /tcp and /ws of /ip4, /ip6, /dns, /dns4 and /dns6 are, and /dnsaddr"
                : "no address to dial");
    }
    add_known(s, p);
    if (p->count > 0 || p->name_count > 0 || peer_id_equal(&p->peer, &s->self) || swarm_peer_find(s, &p->peer) != NULL)
        return ERR_OK;
    if (first == ERR_OK)
        (void)snprintf(why, REASON_BYTES, "no address of this peer is known: name one");
    return first == ERR_OK ? ERR_NOT_FOUND : first;
}

static enum err start_dial(struct swarm *s, struct places *p, const struct msg_peer_connect *fields,
                           struct reply_to call)
{
    uint64_t dial;
    enum err err = dialer_start(s->dialer, &p->peer, p->addrs, p->count, (unsigned)p->name_count, !fields->patient,
                                ctx_now(s->ctx), &dial);
    if (err == ERR_OK)
        err = add_waiter(s, call, dial, &p->peer, fields->casual);
    if (err == ERR_OK)
        start_names(s, p, dial);
    return err;
}

/* The peer is here: answered at once, or as soon as it is identified. */
static enum err already_connected(struct swarm *s, struct swarm_peer *peer, bool casual, struct reply_to call)
{
    peer->wanted = peer->wanted || !casual;
    if (!peer->told)
        return add_waiter(s, call, 0, &peer->id, casual);
    reply_connected(s, call, peer);
    return ERR_OK;
}

/* Peers from which on nobody is dialled who is only a chance. */
static uint64_t casual_max(const struct config *config)
{
    return MIN(config->swarm_connmgr_high_water, role_of(config)->discovered_max);
}

enum err swarm_peer_connect(struct swarm *s, const struct msg_peer_connect *fields, struct reply_to call)
{
    char why[REASON_BYTES] = "";
    struct places places = {0};
    enum err err = s->config->offline ? ERR_UNAVAILABLE : ERR_OK;
    if (err != ERR_OK)
        (void)snprintf(why, sizeof(why), "the daemon runs offline: it dials nobody");
    if (err == ERR_OK && fields->peer.len > 0 && (err = peer_id_parse(fields->peer, &places.peer)) != ERR_OK)
        (void)snprintf(why, sizeof(why), "the peer id is not one");
    if (err == ERR_OK)
        err = read_places(s, fields, &places, why);
    if (err == ERR_OK && (places.mixed || peer_id_equal(&places.peer, &s->self))) {
        err = ERR_INVALID;
        (void)snprintf(why, sizeof(why), "%s",
                       places.mixed ? "the addresses name different peers" : "this is our own id");
    }
    struct swarm_peer *peer = err == ERR_OK ? swarm_peer_find(s, &places.peer) : NULL;
    if (peer != NULL)
        err = already_connected(s, peer, fields->casual, call);
    else if (err == ERR_OK && fields->casual && !fields->needed && table_len(&s->peers) >= casual_max(s->config))
        err = ERR_BUSY; /* it would only push out others */
    else if (err == ERR_OK)
        err = start_dial(s, &places, fields, call);
    places_free_names(&places);
    if (err == ERR_OK || why[0] == '\0')
        return err;
    ctx_reply_err(s->ctx, call, err, "%s", why);
    return ERR_OK;
}

enum err swarm_dial_known(struct swarm *s, const struct peer_id *peer)
{
    struct places places = {.peer = *peer};
    uint64_t dial;
    add_known(s, &places);
    enum err err = dialer_start(s->dialer, peer, places.addrs, places.count, (unsigned)places.name_count, true,
                                ctx_now(s->ctx), &dial);
    if (err == ERR_OK)
        start_names(s, &places, dial);
    else
        places_free_names(&places);
    return err;
}

static void abandon(struct swarm *s, uint64_t attempt)
{
    struct swarm_conn *c = swarm_conn_of_attempt(s, attempt);
    if (c == NULL)
        return;
    c->reset_close = true;
    swarm_close(c, ERR_CANCELLED);
}

void swarm_dialer_run(struct swarm *s)
{
    struct dialer_order order;
    uint64_t now = ctx_now(s->ctx);
    while (dialer_next(s->dialer, now, &order)) {
        switch (order.kind) {
        case DIALER_CONNECT:
            swarm_connect(s, &order);
            break;
        case DIALER_ABANDON:
            abandon(s, order.attempt);
            break;
        case DIALER_DONE:
            dial_done(s, &order);
            break;
        }
    }
    uint64_t at = dialer_deadline(s->dialer, now);
    if (at == s->dialer_at_ns)
        return;
    if (s->dialer_timer != 0)
        ctx_timer_cancel(s->ctx, s->dialer_timer);
    s->dialer_timer = at == UINT64_MAX ? 0 : ctx_timer(s->ctx, at, TAG_DIALER);
    s->dialer_at_ns = at;
}
