/* SPDX-License-Identifier: MIT */
/* Who may have how many connections and streams, and how many bytes: the limits, and what happens at them. */
#include <stdio.h>
#include <string.h>

#include "actors/connection_manager/swarm.h"
#include "schemas/messages.h"

enum { ROWS_BYTES_MAX = 120 * 1024, SCOPE_TEXT_MAX = 256 };

/* What holds with and without Swarm.ResourceMgr.Enabled: the node would not survive without. */
static void set_system(struct swarm *s, struct resource_limits *l)
{
    const struct config *config = s->config;
    uint64_t *system = l->of[RESOURCE_SYSTEM];
    system[RESOURCE_CONNS] = config->swarm_connmgr_high_water + (uint64_t)2 * RESOURCES_SPARE;
    system[RESOURCE_CONNS_IN] = config->swarm_connmgr_high_water + RESOURCES_SPARE;
    system[RESOURCE_STREAMS] = SWARM_STREAMS_MAX;
    system[RESOURCE_BYTES] = config->swarm_resources_memory != 0 ? config->swarm_resources_memory
                                                                 : s->receive->limit_bytes + s->send->limit_bytes;
    l->of[RESOURCE_TRANSIENT][RESOURCE_CONNS_IN] = RESOURCES_HALF_OPEN_MAX;
    l->of[RESOURCE_IP][RESOURCE_CONNS_IN] = config->swarm_per_ip_max;
    l->of[RESOURCE_PREFIX][RESOURCE_CONNS_IN] = config->swarm_per_ip_max * RESOURCES_PREFIX_FACTOR;
}

static void set_shares(const struct config *config, struct resource_limits *l)
{
    uint64_t bytes = l->of[RESOURCE_SYSTEM][RESOURCE_BYTES];
    uint64_t *peer = l->of[RESOURCE_PEER];
    peer[RESOURCE_CONNS_IN] = config->swarm_resources_peer_conns;
    peer[RESOURCE_CONNS_OUT] = config->swarm_resources_peer_conns;
    peer[RESOURCE_STREAMS] = config->swarm_resources_peer_streams;
    peer[RESOURCE_BYTES] = bytes / 2;
    l->of[RESOURCE_PROTOCOL][RESOURCE_STREAMS] = config->swarm_resources_protocol_streams;
    l->of[RESOURCE_PROTOCOL][RESOURCE_BYTES] = bytes;
    l->of[RESOURCE_IP][RESOURCE_STREAMS] = 2 * config->swarm_resources_peer_streams;
    l->of[RESOURCE_IP][RESOURCE_BYTES] = bytes / 2;
    l->of[RESOURCE_PREFIX][RESOURCE_STREAMS] = RESOURCES_PREFIX_FACTOR * config->swarm_resources_peer_streams;
    l->of[RESOURCE_PREFIX][RESOURCE_BYTES] = bytes / 4 * 3;
}

void swarm_resources_init(struct swarm *s)
{
    struct resource_limits limits = {0};
    set_system(s, &limits);
    if (s->config->swarm_resources_enabled)
        set_shares(s->config, &limits);
    resources_init(&s->resources, &limits, s->tables);
    TAILQ_INIT(&s->paused);
    s->trimmer = (struct trimmer){.low = (uint32_t)s->config->swarm_connmgr_low_water,
                                  .high = (uint32_t)s->config->swarm_connmgr_high_water,
                                  .grace_ns = s->config->swarm_connmgr_grace_period};
}

/* ---- bytes: what a peer brings waits in its socket while it has as much here as it may ---- */

void swarm_pause(struct swarm_conn *c)
{
    if (c->paused)
        return;
    c->paused = true;
    TAILQ_INSERT_TAIL(&c->swarm->paused, c, pause);
}

void swarm_unpause(struct swarm_conn *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    TAILQ_REMOVE(&c->swarm->paused, c, pause);
}

bool swarm_hold(struct swarm_stream *st, size_t bytes)
{
    return resources_hold(&st->conn->swarm->resources, &st->resource, bytes);
}

void swarm_give(struct swarm_stream *st, uint64_t bytes)
{
    struct swarm *s = st->conn->swarm;
    struct swarm_conn *c;
    resources_give(&s->resources, &st->resource, bytes);
    while ((c = TAILQ_FIRST(&s->paused)) != NULL) { /* settling looks anew, and pauses it again */
        swarm_unpause(c);
        swarm_touch(c);
    }
}

bool swarm_protocol_agreed(struct swarm_stream *st)
{
    return resources_agree(&st->conn->swarm->resources, &st->resource, st->protocol) == ERR_OK;
}

/* ---- what people are told ---- */

struct rows {
    struct buf items;
    uint32_t count;
};

/* Those that are limited, or all that are used. */
static void add_scope(const struct resources *r, enum resource_kind kind, const char *name,
                      const struct resource_scope *scope, struct rows *rows)
{
    char text[SCOPE_TEXT_MAX];
    (void)snprintf(text, sizeof(text), "%s%s", resource_kind_name(kind), name);
    for (int what = 0; what < RESOURCES && rows->count < BATCH_COUNT_MAX; what++) {
        uint64_t limit = r->limits.of[kind][what];
        struct item_resource row = {.scope = span_text(text),
                                    .name = span_text(resource_name(what)),
                                    .limit = limit,
                                    .used = scope->used[what]};
        if ((limit != 0 || row.used != 0) && schema_list_add_map(&rows->items, &schema_item_resource, &row) == ERR_OK)
            rows->count++;
    }
}

static void name_of(enum resource_kind kind, struct span key, char to[SCOPE_TEXT_MAX])
{
    struct peer_id peer;
    struct ip_network network = {0};
    to[0] = '\0';
    if (kind == RESOURCE_PEER && peer_id_parse(key, &peer) == ERR_OK) {
        peer_id_text(&peer, to);
    } else if (kind == RESOURCE_PROTOCOL) {
        (void)snprintf(to, SCOPE_TEXT_MAX, "%.*s", (int)key.len, (const char *)key.data);
    } else if (key.len == IP_BYTES) {
        memcpy(network.ip, key.data, IP_BYTES);
        network.bits = resources_network_bits(kind, network.ip);
        ip_network_text(&network, to);
    }
}

enum err swarm_reply_resources(struct swarm *s, struct reply_to call)
{
    const struct resources *r = &s->resources;
    struct rows rows = {0};
    struct buf refused;
    enum err err = ERR_OK;
    buf_init(&rows.items, ROWS_BYTES_MAX, NULL);
    buf_init(&refused, 1024, NULL);
    add_scope(r, RESOURCE_SYSTEM, "", &r->system, &rows);
    add_scope(r, RESOURCE_TRANSIENT, "", &r->transient, &rows);
    for (int kind = RESOURCE_PEER; kind < RESOURCE_KINDS; kind++) {
        size_t position = 0;
        struct span key;
        const struct resource_scope *scope;
        while ((scope = table_next(&r->scopes[kind], &position, &key)) != NULL) {
            char name[SCOPE_TEXT_MAX];
            name_of(kind, key, name);
            add_scope(r, kind, name, scope, &rows);
        }
    }
    for (int kind = 0; kind < RESOURCE_KINDS && err == ERR_OK; kind++)
        err = schema_list_add_u64(&refused, r->refused[kind]);
    struct msg_swarm_resources_ok fields = {.resources = schema_list_of(&rows.items, rows.count),
                                            .refused = schema_list_of(&refused, RESOURCE_KINDS)};
    if (err == ERR_OK)
        ctx_reply(s->ctx, call, &(struct msg){.kind = MSG_SWARM_RESOURCES_OK, .fields = &fields});
    buf_release(&refused);
    buf_release(&rows.items);
    return err;
}
