/* SPDX-License-Identifier: MIT */
/*
 * AutoNAT as a client: reachability says when, this file whom and with which addresses, and discovery hears what came of it.
 * Asked are peers that this node has dialled at a public address and that speak the protocol by their own account. What they are
 * told are the public addresses of this node, or where it is seen with the ports it listens on: they dial the address they see anyway.
 */
#include <string.h>

#include "actors/connection_manager/swarm.h"
#include "actors/tree.h"
#include "net/addr.h"
#include "schemas/messages.h"

enum { LIST_BYTES_MAX = 16 * 1024 };

void autonat_init(struct swarm *s)
{
    reachability_init(&s->autonat.engine, ctx_now(s->ctx));
    buf_init(&s->autonat.answer, AUTONAT_FRAME_MAX, &s->identify);
}

void autonat_release(struct swarm *s)
{
    buf_release(&s->autonat.answer);
}

static void tell(struct swarm *s)
{
    struct msg_reachability fields = {.status = s->autonat.told};
    if (!s->closing)
        backlog_cast(&s->backlog, s->ctx, ACTOR_DISCOVERY, &(struct msg){.kind = MSG_REACHABILITY, .fields = &fields});
}

void autonat_tell_again(struct swarm *s)
{
    if (s->autonat.told != REACHABILITY_UNKNOWN) /* which is what it believes by itself */
        tell(s);
}

static void settle(struct swarm *s)
{
    if (s->autonat.told == s->autonat.engine.status)
        return;
    s->autonat.told = s->autonat.engine.status;
    ctx_log(s->ctx, LOG_INFO, "AutoNAT: reachability is %s", reachability_text(s->autonat.told));
    tell(s);
}

/* ---- what is known of ourselves ---- */

void autonat_moved(struct swarm *s)
{
    reachability_moved(&s->autonat.engine, ctx_now(s->ctx));
}

void autonat_observed(struct swarm_conn *c, struct span addr)
{
    struct multiaddr_target target;
    struct net_addr seen;
    if (c->inbound || reach_of(&c->remote.addr) != REACH_PUBLIC)
        return;
    if (multiaddr_target(addr, &target) == ERR_OK && addr_of_target(&target, &seen) == ERR_OK &&
        reach_of(&seen) == REACH_PUBLIC)
        c->swarm->autonat.observed = seen;
}

void autonat_upgraded(const struct swarm_conn *c)
{
    struct swarm *s = c->swarm;
    if (!c->inbound)
        return;
    reachability_came_in(&s->autonat.engine, &c->remote.addr, swarm_is_reached(c), ctx_now(s->ctx));
    settle(s);
}

/* What a peer is asked to dial; 0: nothing that could be public. */
static size_t addrs_to_dial(const struct swarm *s, struct multiaddr to[AUTONAT_ADDRS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < s->own_addr_count && n < AUTONAT_ADDRS_MAX; i++)
        if (multiaddr_is_public(multiaddr_span(&s->own_addrs[i])))
            to[n++] = s->own_addrs[i];
    if (n > 0 || s->autonat.observed.family == 0)
        return n;
    for (size_t i = 0; i < s->listener_count && n < AUTONAT_ADDRS_MAX; i++) {
        struct endpoint at = s->listeners[i].bound;
        uint16_t port = at.addr.port;
        if (at.addr.family != s->autonat.observed.family)
            continue;
        at.addr = s->autonat.observed;
        at.addr.port = port;
        to[n++] = endpoint_to_multiaddr(&at);
    }
    return n;
}

/* ---- a question ---- */

static bool may_ask(const struct swarm_conn *c, uint64_t now_ns)
{
    return c->up && !c->over && !c->inbound && c->identify == IDENTIFY_DONE && c->peer->entry != NULL &&
           reach_of(&c->remote.addr) == REACH_PUBLIC && peerstore_speaks(c->peer->entry, AUTONAT_PROTOCOL) &&
           reachability_may_ask(&c->swarm->autonat.engine, &c->remote.addr, now_ns);
}

/* Any one of them, each as likely as the others. */
static struct swarm_conn *choose(struct swarm *s, uint64_t now_ns)
{
    struct swarm_conn *chosen = NULL;
    struct swarm_conn *c;
    size_t position = 0;
    uint64_t seen = 0;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL) {
        uint64_t random;
        if (!may_ask(c, now_ns))
            continue;
        ctx_random(s->ctx, &random, sizeof(random));
        if (random % ++seen == 0)
            chosen = c;
    }
    return chosen;
}

static void ask(struct swarm *s, uint64_t now_ns)
{
    struct multiaddr addrs[AUTONAT_ADDRS_MAX];
    struct swarm_conn *c = addrs_to_dial(s, addrs) == 0 ? NULL : choose(s, now_ns);
    if (c == NULL) {
        reachability_nobody(&s->autonat.engine, now_ns);
        return;
    }
    reachability_asked(&s->autonat.engine, &c->remote.addr, now_ns);
    buf_clear(&s->autonat.answer);
    s->autonat.stream = swarm_stream_open(c, STREAM_AUTONAT_OUT, AUTONAT_PROTOCOL, true);
    if (s->autonat.stream == NULL)
        reachability_unanswered(&s->autonat.engine, now_ns);
}

uint64_t autonat_deadline(const struct swarm *s)
{
    const struct swarm_autonat *a = &s->autonat;
    return a->stream != NULL && !a->engine.asking ? 0 : reachability_deadline(&a->engine);
}

void autonat_tick(struct swarm *s, uint64_t now_ns)
{
    struct swarm_autonat *a = &s->autonat;
    reachability_tick(&a->engine, now_ns);
    if (a->stream != NULL && !a->engine.asking)
        swarm_stream_drop(a->stream, 0);
    if (reachability_is_due(&a->engine, now_ns))
        ask(s, now_ns);
    settle(s);
}

void autonat_opened(struct swarm_stream *st)
{
    struct swarm *s = st->conn->swarm;
    struct multiaddr addrs[AUTONAT_ADDRS_MAX];
    size_t count = addrs_to_dial(s, addrs);
    size_t accepted = 0;
    struct buf out;
    buf_init(&out, AUTONAT_FRAME_MAX, NULL);
    enum err err = autonat_encode_dial(peer_id_span(&s->self), addrs, count, &out);
    swarm_touch(st->conn);
    if (err == ERR_OK)
        err = connection_stream_write(st->engine, buf_span(&out), &accepted);
    swarm_stream_moved(st, BANDWIDTH_OUT, accepted);
    bool sent = err == ERR_OK && accepted == out.len;
    buf_release(&out);
    if (!sent)
        swarm_stream_drop(st, 0);
}

static void answered(struct swarm *s, const struct autonat_response *response)
{
    struct multiaddr_target target;
    struct net_addr said;
    bool has = response->addr.len > 0 && multiaddr_target(multiaddr_span(&response->addr), &target) == ERR_OK &&
               addr_of_target(&target, &said) == ERR_OK;
    ctx_log(s->ctx, LOG_DEBUG, "AutoNAT: a peer answers with status %llu", (unsigned long long)response->status);
    reachability_answered(&s->autonat.engine, response->status, has ? &said : NULL, ctx_now(s->ctx));
    settle(s);
}

void autonat_data(struct swarm_stream *st, struct span bytes)
{
    struct swarm *s = st->conn->swarm;
    struct autonat_response response;
    struct buf *answer = &s->autonat.answer;
    if (st != s->autonat.stream)
        return;
    enum err err = buf_append_span(answer, span_first(bytes, AUTONAT_FRAME_MAX - answer->len));
    if (err == ERR_OK)
        err = autonat_decode_response(buf_span(answer), &response);
    if (err == ERR_TRUNCATED && answer->len < AUTONAT_FRAME_MAX)
        return;
    if (err != ERR_OK) {
        swarm_stream_drop(st, 0);
        return;
    }
    answered(s, &response);
    swarm_stream_finish(st);
}

void autonat_fin(struct swarm_stream *st)
{
    swarm_stream_drop(st, 0);
}

void autonat_ended(struct swarm_stream *st)
{
    struct swarm *s = st->conn->swarm;
    if (st != s->autonat.stream)
        return;
    s->autonat.stream = NULL;
    reachability_unanswered(&s->autonat.engine, ctx_now(s->ctx));
}

/* ---- what users are told ---- */

static bool is_at(const struct multiaddr *addr, const struct net_addr *at)
{
    struct multiaddr_target target;
    struct net_addr own;
    return at->family != 0 && multiaddr_target(multiaddr_span(addr), &target) == ERR_OK &&
           addr_of_target(&target, &own) == ERR_OK && addr_equal(&own, at);
}

enum err swarm_reply_autonat(struct swarm *s, struct reply_to call)
{
    enum { REACHABLE, UNREACHABLE, OTHER, LISTS };
    const struct reachability *r = &s->autonat.engine;
    char text[MULTIADDR_TEXT_MAX];
    struct buf items[LISTS];
    uint32_t counts[LISTS] = {0};
    for (unsigned i = 0; i < LISTS; i++)
        buf_init(&items[i], LIST_BYTES_MAX, NULL);
    for (size_t i = 0; i < s->own_addr_count; i++) {
        const struct multiaddr *addr = &s->own_addrs[i];
        bool reached = r->status != REACHABILITY_PRIVATE && is_at(addr, &r->reached_at);
        unsigned list = reached ? REACHABLE : r->status == REACHABILITY_PRIVATE ? UNREACHABLE : OTHER;
        if (multiaddr_is_public(multiaddr_span(addr)) &&
            multiaddr_text(multiaddr_span(addr), text, MIN(sizeof(text), (size_t)MSG_ADDR_MAX)) == ERR_OK &&
            schema_list_add_text(&items[list], span_text(text)) == ERR_OK)
            counts[list]++;
    }
    struct msg_swarm_autonat_ok fields = {.reachability = span_text(reachability_text(r->status)),
                                          .reachable = schema_list_of(&items[REACHABLE], counts[REACHABLE]),
                                          .unreachable = schema_list_of(&items[UNREACHABLE], counts[UNREACHABLE]),
                                          .unknown = schema_list_of(&items[OTHER], counts[OTHER]),
                                          .asked = r->questions,
                                          .counted = r->answers};
    ctx_reply(s->ctx, call, &(struct msg){.kind = MSG_SWARM_AUTONAT_OK, .fields = &fields});
    for (unsigned i = 0; i < LISTS; i++)
        buf_release(&items[i]);
    return ERR_OK;
}
