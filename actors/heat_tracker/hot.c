/* SPDX-License-Identifier: MIT */
/* Tells state which blocks are the hottest, v_hot, and discovery, which provides them first. A while after a use, so that a node that rests tells nothing. */
#include "actors/heat_tracker/tracker.h"

#include <stdlib.h>

#include "actors/tree.h"
#include "base/limits.h"

enum { HOT_MAX = 100, HOT_BYTES_MAX = 64 * 1024 };

#define HOT_NS (10 * SECOND_NS)

static struct item_hot_block describe(const struct heat_state *s, const struct heat_entry *row)
{
    uint64_t now = ctx_now(s->ctx);
    struct tier_policy *policy = s->moves.policy;
    struct heat_policy *heat = policy == NULL ? NULL : tier_policy_heat(policy);
    struct item_hot_block item = {.cid = span_of(row->cid, row->cid_len),
                                  .heat = row->score,
                                  .accesses = row->accesses,
                                  .wants = row->wants,
                                  .used_at = row->accesses == 0 ? 0 : ctx_real_now(s->ctx) - (now - row->used_at_ns)};
    struct heat_explained e;
    item.held = policy != NULL && tier_policy_holds(policy, tier_policy_key(&row->key));
    item.learned = heat != NULL && heat_policy_explain(heat, tier_policy_key(&row->key), 0, &e);
    if (item.learned) {
        item.short_heat = e.heat[HEAT_SHORT];
        item.long_heat = e.heat[HEAT_LONG];
    }
    return item;
}

/* Those that somebody uses or wants: to be stored is not enough. */
static void tell_discovery(struct heat_state *s, const struct heat_entry *rows, size_t count)
{
    struct buf cids;
    uint32_t told = 0;
    enum err err = ERR_OK;
    buf_init(&cids, HOT_BYTES_MAX, NULL);
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        if (rows[i].accesses == 0 && rows[i].wants == 0)
            continue;
        err = schema_list_add_bytes(&cids, span_of(rows[i].cid, rows[i].cid_len));
        told += err == ERR_OK;
    }
    struct msg_provide_hot m = {.cids = schema_list_of(&cids, told)};
    if (told > 0)
        (void)ctx_cast(s->ctx, ACTOR_DISCOVERY, &(struct msg){.kind = MSG_PROVIDE_HOT, .fields = &m});
    buf_release(&cids);
}

static void tell(struct heat_state *s)
{
    struct heat_entry *rows = calloc(HOT_MAX, sizeof(*rows));
    struct buf blocks;
    enum err err = rows == NULL ? ERR_NOMEM : ERR_OK;
    buf_init(&blocks, HOT_BYTES_MAX, NULL);
    size_t count = rows == NULL ? 0 : heat_map_top(&s->map, ctx_now(s->ctx), rows, HOT_MAX);
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        struct item_hot_block item = describe(s, &rows[i]);
        err = schema_list_add_map(&blocks, &schema_item_hot_block, &item);
    }
    struct msg_state_hot m = {.blocks = schema_list_of(&blocks, (uint32_t)count)};
    if (err == ERR_OK) /* what cannot be told is told after the next use */
        (void)ctx_cast(s->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_HOT, .fields = &m});
    tell_discovery(s, rows, count);
    buf_release(&blocks);
    free(rows);
}

void hot_noted(struct heat_state *s)
{
    if (s->hot_timer == 0)
        s->hot_timer = ctx_timer(s->ctx, ctx_now(s->ctx) + HOT_NS, TAG_HOT_TIMER);
}

void hot_due(struct heat_state *s)
{
    s->hot_timer = 0;
    tell(s);
}

void hot_release(struct heat_state *s)
{
    if (s->hot_timer != 0)
        tell(s);
}
