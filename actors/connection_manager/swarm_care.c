/* SPDX-License-Identifier: MIT */
/* What the swarm does by the clock, trimming among it, and its listeners. */
#include <stdio.h>
#include <stdlib.h>

#include "actors/connection_manager/swarm.h"
#include "schemas/messages.h"

static bool is_kept(const struct swarm_conn *c)
{
    return c->peer->wanted || peer_tags_are_protecting(&c->swarm->tags, &c->peer->id);
}

/* ---- what other actors say of peers. Names are the sender's own, so its number goes before them ---- */

enum { MARK_BYTES_MAX = PEER_TAG_NAME_MAX };

static struct span mark_name(actor_id from, struct span name, char to[MARK_BYTES_MAX])
{
    int len = snprintf(to, MARK_BYTES_MAX, "%u:%.*s", (unsigned)from, (int)name.len, (const char *)name.data);
    return span_of(to, MIN((size_t)len, (size_t)MARK_BYTES_MAX - 1));
}

void swarm_mark(struct swarm *s, const struct msg *msg)
{
    char text[MARK_BYTES_MAX];
    struct peer_id id;
    enum err err;
    if (msg->kind == MSG_PEER_TAG) {
        const struct msg_peer_tag *fields = msg->fields;
        err = peer_id_parse(fields->peer, &id);
        if (err == ERR_OK)
            err = peer_tags_set(&s->tags, &id, mark_name(msg->from, fields->name, text), fields->value,
                                fields->half_life_ns, ctx_now(s->ctx));
    } else {
        const struct msg_peer_protect *fields = msg->fields;
        err = peer_id_parse(fields->peer, &id);
        if (err == ERR_OK)
            err = peer_tags_protect(&s->tags, &id, mark_name(msg->from, fields->name, text), fields->protect,
                                    ctx_now(s->ctx));
    }
    if (err != ERR_OK)
        ctx_log(s->ctx, LOG_DEBUG, "a mark of a peer was not taken: %s", err_text(err));
}

void swarm_forget_marks(struct swarm *s, actor_id from)
{
    char text[MARK_BYTES_MAX];
    peer_tags_forget(&s->tags, mark_name(from, span_text(""), text));
}

static struct trimmer_candidate candidate_of(struct swarm_conn *c, uint64_t now)
{
    struct swarm *s = c->swarm;
    return (struct trimmer_candidate){.id = c->id,
                                      .opened_ns = c->opened_ns,
                                      .active_ns = c->active_ns,
                                      .value = peer_tags_value(&s->tags, &c->peer->id, now),
                                      .streams = c->owned_streams,
                                      .kept = is_kept(c),
                                      .own = !c->inbound};
}

void swarm_make_room(struct swarm *s)
{
    uint64_t now = ctx_now(s->ctx);
    size_t position = 0;
    struct swarm_conn *c;
    struct trimmer_candidate first = {0};
    while ((c = table_next(&s->conns, &position, NULL)) != NULL) {
        if (!c->up || c->over)
            continue;
        struct trimmer_candidate next = candidate_of(c, now);
        if (trimmer_may_give_way(&next, now) && (first.id == 0 || trimmer_goes_before(&next, &first)))
            first = next;
    }
    c = first.id == 0 ? NULL : table_get(&s->conns, table_key_u64(&first.id));
    if (c == NULL)
        return;
    swarm_close(c, ERR_BUSY);
    while (c->streams != NULL)
        swarm_stream_forget(c->streams);
    resources_leave(&s->resources, &c->resource); /* who needs the room does so now */
}

/* Half-open ones and dials have bounds of their own; if they counted, strangers who say nothing would drive the peers away. */
static uint64_t established(const struct swarm *s)
{
    return s->resources.system.used[RESOURCE_CONNS] - s->resources.transient.used[RESOURCE_CONNS];
}

static void trim(struct swarm *s)
{
    size_t count = table_len(&s->conns);
    uint64_t total = established(s);
    if (total <= s->trimmer.high || count == 0)
        return;
    struct trimmer_candidate *list = calloc(count, sizeof(*list));
    if (list == NULL)
        return;
    uint64_t now = ctx_now(s->ctx);
    size_t position = 0;
    size_t n = 0;
    struct swarm_conn *c;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL)
        if (c->up && !c->over)
            list[n++] = candidate_of(c, now);
    size_t go;
    trimmer_choose(&s->trimmer, total, list, n, now, &go);
    for (size_t i = 0; i < go; i++)
        swarm_close(table_get(&s->conns, table_key_u64(&list[i].id)), ERR_BUSY);
    free(list);
}

/* ---- lost peers ---- */

static struct swarm_return *find_return(struct swarm *s, const struct peer_id *peer)
{
    for (size_t i = 0; i < s->return_count; i++)
        if (peer_id_equal(&s->returns[i].peer, peer))
            return &s->returns[i];
    return NULL;
}

void swarm_return_forget(struct swarm *s, const struct peer_id *peer)
{
    struct swarm_return *r = find_return(s, peer);
    if (r != NULL)
        *r = s->returns[--s->return_count];
}

/* They are kept for their count of tries, and go when others need the room. */
static void forget_who_came_back(struct swarm *s)
{
    for (size_t i = s->return_count; i-- > 0;)
        if (swarm_peer_find(s, &s->returns[i].peer) != NULL)
            s->returns[i] = s->returns[--s->return_count];
}

static void try_later(struct swarm *s, struct swarm_return *r)
{
    if (r->tries >= SWARM_RETURN_TRIES) {
        swarm_return_forget(s, &r->peer);
        return;
    }
    r->due_ns = ctx_now(s->ctx) + (SWARM_RETURN_MS * MS_NS << r->tries);
    r->tries++;
}

void swarm_return_later(struct swarm *s, const struct peer_id *peer, uint64_t lasted_ns)
{
    struct swarm_return *r = find_return(s, peer);
    if (r == NULL && s->return_count == SWARM_RETURNS_MAX)
        forget_who_came_back(s);
    if (r == NULL && s->return_count == SWARM_RETURNS_MAX)
        return;
    if (r == NULL) {
        r = &s->returns[s->return_count++];
        *r = (struct swarm_return){.peer = *peer};
    }
    if (lasted_ns >= SWARM_RETURN_HEALTHY_MS * MS_NS)
        r->tries = 0;
    try_later(s, r);
}

void swarm_return_failed(struct swarm *s, const struct peer_id *peer)
{
    struct swarm_return *r = find_return(s, peer);
    if (r != NULL && r->due_ns == 0 && swarm_peer_find(s, peer) == NULL)
        try_later(s, r);
}

uint64_t swarm_return_deadline(const struct swarm *s)
{
    uint64_t at = UINT64_MAX;
    for (size_t i = 0; i < s->return_count; i++)
        if (s->returns[i].due_ns != 0)
            at = MIN(at, s->returns[i].due_ns);
    return at;
}

static void dial_lost(struct swarm *s, uint64_t now)
{
    for (size_t i = s->return_count; i-- > 0;) {
        struct swarm_return *r = &s->returns[i];
        if (r->due_ns == 0 || r->due_ns > now)
            continue;
        r->due_ns = 0;
        if (swarm_peer_find(s, &r->peer) == NULL && swarm_dial_known(s, &r->peer) != ERR_OK)
            try_later(s, r);
    }
}

/* It may send, so that the muxer deems it alive, but it does not read, and memory is kept for it. */
static void let_go_if_stuck(struct swarm_conn *c, uint64_t now)
{
    if (c->over || c->stuck_ns == 0 || now - c->stuck_ns < SWARM_WRITE_MS * MS_NS)
        return;
    c->reset_close = true;
    swarm_close(c, ERR_TIMEOUT);
}

/* ---- the clock ---- */

static uint64_t care_deadline(const struct swarm_conn *c)
{
    uint64_t at = MIN(connection_deadline(c->engine), identify_deadline(c));
    if (c->stuck_ns != 0)
        at = MIN(at, c->stuck_ns + SWARM_WRITE_MS * MS_NS);
    for (const struct swarm_stream *st = c->streams; st != NULL; st = st->next)
        at = MIN(at, ping_deadline(st));
    return at;
}

void swarm_care(struct swarm_conn *c)
{
    c->care_at_ns = c->engine == NULL || c->over ? UINT64_MAX : care_deadline(c);
    c->swarm->care_at_ns = MIN(c->swarm->care_at_ns, c->care_at_ns);
}

static void look_after(struct swarm_conn *c, uint64_t now)
{
    if (c->engine == NULL || c->over)
        return;
    if (connection_deadline(c->engine) <= now)
        connection_tick(c->engine, now);
    if (c->up && !c->over)
        identify_tick(c, now);
    for (struct swarm_stream *st = c->streams, *next; st != NULL && !c->over; st = next) {
        next = st->next;
        ping_tick(st, now);
    }
    let_go_if_stuck(c, now);
    swarm_touch(c); /* settled, it says when it is due again */
}

static void look_after_all(struct swarm *s, uint64_t now)
{
    size_t position = 0;
    struct swarm_conn *c;
    uint64_t care_at = UINT64_MAX;
    if (s->care_at_ns > now)
        return;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL) {
        if (c->care_at_ns <= now)
            look_after(c, now);
        else
            care_at = MIN(care_at, c->care_at_ns);
    }
    s->care_at_ns = care_at;
}

void swarm_tick(struct swarm *s)
{
    uint64_t now = ctx_now(s->ctx);
    s->tick_timer = 0;
    s->ticked_ns = now;
    look_after_all(s, now);
    if (s->push_at_ns != 0 && s->push_at_ns <= now)
        identify_push_all(s);
    autonat_tick(s, now);
    dial_lost(s, now);
    trim(s);
    swarm_bandwidth_tick(s);
    swarm_resume_reading(s);
    swarm_report_tick(s);
}

/* What has no time of its own and is looked at each second: bytes that others give back, connections that may be trimmed, hours with limits. */
static bool is_looked_at(const struct swarm *s)
{
    return s->reading_paused || s->bandwidth.hour_count > 0 || established(s) > s->trimmer.high;
}

static uint64_t tick_deadline(const struct swarm *s)
{
    uint64_t at = swarm_return_deadline(s);
    if (s->push_at_ns != 0)
        at = MIN(at, s->push_at_ns);
    if (table_len(&s->conns) == 0)
        return at;
    at = MIN(at, MIN(s->care_at_ns, autonat_deadline(s)));
    return is_looked_at(s) ? 0 : MIN(at, s->report_at_ns);
}

void swarm_tick_arm(struct swarm *s)
{
    uint64_t at = tick_deadline(s);
    if (at == UINT64_MAX)
        return;
    uint64_t now = ctx_now(s->ctx);
    at = MAX(at, MAX(now, s->ticked_ns + SWARM_TICK_MS * MS_NS));
    if (s->tick_timer != 0 && s->tick_at_ns <= at)
        return;
    if (s->tick_timer != 0)
        ctx_timer_cancel(s->ctx, s->tick_timer);
    s->tick_timer = ctx_timer(s->ctx, at, TAG_TICK);
    s->tick_at_ns = at;
}

/* ---- listening ---- */

static enum err parse_listen(const char *text, struct endpoint *ret_endpoint)
{
    struct multiaddr ma;
    struct multiaddr_target target;
    enum err err = multiaddr_parse_text(span_text(text), &ma);
    if (err == ERR_OK)
        err = multiaddr_target(multiaddr_span(&ma), &target);
    return err == ERR_OK ? endpoint_of_target(&target, ret_endpoint) : err;
}

static const char *listen_advice(enum err err)
{
    if (err == ERR_EXISTS)
        return "the port is taken";
    if (err == ERR_UNREACHABLE || err == ERR_UNSUPPORTED)
        return "this machine has no such address";
    return err_text(err);
}

enum err swarm_listen(struct swarm *s, const char *text, char *ret_why, size_t why_bytes)
{
    struct endpoint endpoint;
    enum err err = parse_listen(text, &endpoint);
    if (err == ERR_UNSUPPORTED) {
        (void)snprintf(ret_why, why_bytes,
                       "cannot listen on %s: only /tcp/PORT and /tcp/PORT/ws of /ip4 and /ip6 are spoken", text);
        return err;
    }
    if (err == ERR_OK && s->listener_count == SWARM_LISTENERS_MAX)
        err = ERR_BUSY;
    struct swarm_listener *l = &s->listeners[s->listener_count];
    if (err == ERR_OK) {
        *l = (struct swarm_listener){.tag = s->listener_count + 1, .bound = endpoint};
        err = s->net->listen(s->net->self, &endpoint.addr, l->tag, &l->bound.addr);
    }
    if (err == ERR_OK)
        s->listener_count++;
    else
        (void)snprintf(ret_why, why_bytes, "cannot listen on %s: %s", text, listen_advice(err));
    return err;
}
