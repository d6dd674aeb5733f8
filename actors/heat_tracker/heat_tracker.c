/* SPDX-License-Identifier: MIT */
/*
 * heat_tracker: which blocks are used and wanted, and which move between the disk and the cold tier.
 *
 * A leecher (Role) tracks nothing: what it has leaves the disk oldest first, and nothing comes back.
 *
 * Owns: the table of heat, the disk's policy, heat.db, the mover. Accepts: casts access, want_seen, tier_pressure, tier_left; calls heat_top, heat_find,
 * heat_explain, probe.
 * Emits: calls block_facts, tier_candidates, tier_demote, tier_promote to tiered_storage, casts state_move, state_hot to state, provide_hot to discovery. Restart: permanent; a
 * new life has a cold table of heat, knows what heat.db kept of the policy before it moves anything, and moves at the pace of a new budget.
 */
#include <stdlib.h>

#include "actors/heat_tracker/tracker.h"
#include "actors/tree.h"
#include "base/limits.h"
#include "schemas/config.h"
#include "schemas/role.h"
#include "wire/cid.h"

enum { TOP_DEFAULT = 20, TOP_BYTES_MAX = 512 * 1024 };

static enum err heat_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct heat_state *s = state;
    struct budget *budget = ctx_budget(ctx);
    s->ctx = ctx;
    s->tracks = role_of(config)->tracks_heat;
    heat_map_init(&s->map, budget == NULL ? NULL : &budget->accounts[ACCOUNT_TABLES]);
    enum err err = moves_init(s, config);
    if (err == ERR_OK)
        err = past_init(s, config);
    if (err == ERR_OK)
        past_pump(s);
    return err == ERR_OK ? ERR_OK : ctx_fail(ctx, err, "no memory for what moves between tiers: raise Memory.Budget");
}

static void note(struct ctx *ctx, struct heat_state *s, struct span bytes, enum heat_kind kind,
                 const struct peer_id *asker, const struct msg_access *access)
{
    struct cid cid;
    struct block_key key;
    if (!s->tracks || cid_parse(bytes, &cid) != ERR_OK || block_key_of(&cid.hash, &key) != ERR_OK)
        return;
    enum err err = heat_map_note(&s->map, &key, bytes, kind, asker, ctx_now(ctx));
    (void)err; /* what does not fit is not counted */
    if (access != NULL)
        moves_access(s, &key, access);
    hot_noted(s);
}

static void heat_handle_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    struct heat_state *s = state;
    if (msg->kind == MSG_ACCESS) {
        const struct msg_access *m = msg->fields;
        note(ctx, s, m->cid, m->kind == 0 ? HEAT_READ : m->kind == 1 ? HEAT_SERVED : HEAT_STORED, NULL, m);
    } else if (msg->kind == MSG_WANT_SEEN) {
        const struct msg_want_seen *m = msg->fields;
        struct peer_id asker = {0};
        enum err err = peer_id_parse(m->peer, &asker);
        note(ctx, s, m->cid, HEAT_WANTED, err == ERR_OK ? &asker : NULL, NULL);
    } else if (msg->kind == MSG_TIER_PRESSURE) {
        moves_catch_up(s);
        moves_pressure(s, msg->fields);
    } else if (msg->kind == MSG_TIER_LEFT) {
        moves_catch_up(s);
        moves_left(s, msg->fields);
    }
    if (s->moves.use_count > 0) /* what they lead to begins when the policy was told of them */
        return;
    moves_pump(s);
    past_pump(s);
}

static enum err pack_rows(const struct heat_entry *rows, size_t count, struct buf *items)
{
    for (size_t i = 0; i < count; i++) {
        struct item_heat item = {.cid = span_of(rows[i].cid, rows[i].cid_len),
                                 .score = rows[i].score,
                                 .accesses = rows[i].accesses,
                                 .wants = rows[i].wants};
        enum err err = schema_list_add_map(items, &schema_item_heat, &item);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err handle_top(struct ctx *ctx, struct heat_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_heat_top *m = msg->fields;
    size_t max = m->limit == 0 ? TOP_DEFAULT : (size_t)m->limit;
    struct heat_entry *rows = calloc(max, sizeof(*rows));
    struct buf items;
    if (rows == NULL)
        return ERR_NOMEM;
    buf_init(&items, TOP_BYTES_MAX, NULL);
    size_t count = heat_map_top(&s->map, ctx_now(ctx), rows, max);
    enum err err = pack_rows(rows, count, &items);
    struct msg_heat_list list = {.blocks = schema_list_of(&items, (uint32_t)count)};
    if (err == ERR_OK)
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_HEAT_LIST, .fields = &list});
    buf_release(&items);
    free(rows);
    return err;
}

static enum err handle_find(struct ctx *ctx, struct heat_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_heat_find *m = msg->fields;
    struct heat_entry row;
    struct cid cid;
    struct block_key key;
    uint64_t now = ctx_now(ctx);
    enum err err = cid_parse(m->cid, &cid);
    if (err == ERR_OK)
        err = block_key_of(&cid.hash, &key);
    if (err != ERR_OK)
        return err;
    struct msg_heat_found found = {0};
    if (heat_map_find(&s->map, &key, now, &row))
        found = (struct msg_heat_found){.score = row.score,
                                        .accesses = row.accesses,
                                        .wants = row.wants,
                                        .used_ago_ns = now - row.used_at_ns,
                                        .wanted_ago_ns = now - row.wanted_at_ns,
                                        .asker = peer_id_span(&row.asker)};
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_HEAT_FOUND, .fields = &found});
    return ERR_OK;
}

static enum err heat_handle_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    if (msg->kind == MSG_HEAT_TOP)
        return handle_top(ctx, state, msg, to);
    if (msg->kind == MSG_HEAT_FIND)
        return handle_find(ctx, state, msg, to);
    if (msg->kind == MSG_HEAT_EXPLAIN)
        return explain_start(state, ((const struct msg_heat_explain *)msg->fields)->cid, to);
    if (msg->kind != MSG_PROBE)
        return ERR_UNSUPPORTED;
    struct msg_ok ok = {0};
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_OK, .fields = &ok});
    return ERR_OK;
}

static void heat_handle_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct heat_state *s = state;
    (void)ctx;
    moves_catch_up(s);
    if (info->kind == INFO_REPLY && info->tag >= TAG_EXPLAIN)
        explain_reply(s, info);
    else if (info->kind == INFO_REPLY)
        moves_reply(s, info);
    else if (info->kind == INFO_JOB)
        past_job(s, info);
    else if (info->kind == INFO_TIMER && info->tag == TAG_PAST_TIMER)
        s->past_timer = 0;
    else if (info->kind == INFO_TIMER && info->tag == TAG_HOT_TIMER)
        hot_due(s);
    else if (info->kind == INFO_TIMER && info->tag == TAG_USES_TIMER)
        s->moves.uses_timer = 0;
    else if (info->kind == INFO_TIMER)
        s->moves.timer = 0;
    moves_pump(s);
    past_pump(s);
}

static void heat_terminate(struct ctx *ctx, void *state, enum exit_reason reason)
{
    struct heat_state *s = state;
    (void)ctx;
    moves_catch_up(s);
    hot_release(s);
    past_release(s, reason);
    moves_release(s);
    heat_map_release(&s->map);
}

const struct actor_class heat_tracker_class = {
    .name = "heat_tracker",
    .state_bytes = sizeof(struct heat_state),
    .ports = PORT_JOBS | PORT_DISK,
    .init = heat_init,
    .handle_call = heat_handle_call,
    .handle_cast = heat_handle_cast,
    .handle_info = heat_handle_info,
    .terminate = heat_terminate,
};
