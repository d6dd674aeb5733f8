/* SPDX-License-Identifier: MIT */
/* What the swarm does by the clock, trimming among it, and its listeners. */
#include <stdio.h>
#include <stdlib.h>

#include "actors/connection_manager/swarm.h"
#include "net/addr.h"

static bool is_kept(const struct swarm_conn *c)
{
    return c->peer != NULL && c->peer->wanted;
}

static void trim(struct swarm *s)
{
    size_t count = table_len(&s->conns);
    if (s->gate.total <= s->gate.config.high || count == 0)
        return;
    struct gate_candidate *list = calloc(count, sizeof(*list));
    if (list == NULL)
        return;
    size_t position = 0;
    size_t n = 0;
    struct swarm_conn *c;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL)
        if (c->up && !c->over)
            list[n++] = (struct gate_candidate){.id = c->id,
                                                .opened_ns = c->opened_ns,
                                                .active_ns = c->active_ns,
                                                .streams = c->owned_streams,
                                                .kept = is_kept(c)};
    size_t go;
    gate_trim(&s->gate, list, n, ctx_now(s->ctx), &go);
    for (size_t i = 0; i < go; i++)
        swarm_close(table_get(&s->conns, table_key_u64(&list[i].id)), ERR_BUSY);
    free(list);
}

void swarm_tick(struct swarm *s)
{
    uint64_t now = ctx_now(s->ctx);
    s->tick_timer = 0;
    size_t position = 0;
    struct swarm_conn *c;
    while ((c = table_next(&s->conns, &position, NULL)) != NULL) {
        if (c->engine == NULL || c->over)
            continue;
        if (connection_deadline(c->engine) <= now)
            connection_tick(c->engine, now);
        if (c->up && !c->over)
            identify_tick(c, now);
        for (struct swarm_stream *st = c->streams, *next; st != NULL && !c->over; st = next) {
            next = st->next;
            ping_tick(st, now);
        }
        swarm_touch(c);
    }
    if (s->push_at_ns != 0 && s->push_at_ns <= now)
        identify_push_all(s);
    trim(s);
    swarm_resume_reading(s);
    swarm_report_tick(s);
}

/* ---- listening ---- */

enum err swarm_listen(struct swarm *s, const char *text, char *ret_why, size_t why_bytes)
{
    struct multiaddr ma;
    struct multiaddr_target target;
    struct net_addr addr;
    enum err err = multiaddr_parse_text(span_text(text), &ma);
    if (err == ERR_OK)
        err = multiaddr_target(multiaddr_span(&ma), &target);
    if (err == ERR_OK)
        err = target.via == MULTIADDR_VIA_TCP ? addr_of_target(&target, &addr) : ERR_UNSUPPORTED;
    if (err == ERR_OK && s->listener_count == SWARM_LISTENERS_MAX)
        err = ERR_BUSY;
    struct swarm_listener *l = &s->listeners[s->listener_count];
    if (err == ERR_OK) {
        l->tag = s->listener_count + 1;
        err = s->net->listen(s->net->self, &addr, l->tag, &l->bound);
    }
    if (err != ERR_OK) {
        (void)snprintf(ret_why, why_bytes, "cannot listen on %s: %s", text,
                       err == ERR_EXISTS ? "the port is taken" : err_text(err));
        return err;
    }
    s->listener_count++;
    return ERR_OK;
}
