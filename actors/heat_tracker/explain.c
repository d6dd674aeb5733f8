/* SPDX-License-Identifier: MIT */
/* Why a block would stay on the disk or leave it: where it is, from tiered_storage, and what the policy and the table of heat say. */
#include <math.h>
#include <stdio.h>

#include "actors/heat_tracker/tracker.h"
#include "actors/tree.h"
#include "storage/heat_policy.h"

enum { WAYS_BYTES_MAX = 1024, VERDICT_MAX = 200, FACTS_REPLY_BYTES = 64 * 1024 };

#define FACTS_NS (10 * SECOND_NS)
#define UNKNOWN  (-1e300) /* JSON has no infinity */

static const char *const way_names[HEAT_WAYS] = {
    [HEAT_BY_WORTH] = "worth", [HEAT_BY_AGE] = "age", [HEAT_BY_SHORT] = "short", [HEAT_BY_LONG] = "long"};

static double shown(double value)
{
    return isfinite(value) ? value : UNKNOWN;
}

static enum err pack_ways(const struct heat_explained *e, struct buf *to)
{
    for (int way = 0; way < HEAT_WAYS; way++) {
        struct item_heat_way item = {
            .way = span_text(way_names[way]), .rank = shown((double)e->rank[way]), .hits = e->hits[way]};
        enum err err = schema_list_add_map(to, &schema_item_heat_way, &item);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static void say_verdict(const struct msg_heat_explained *m, bool known, const struct heat_explained *e, char *to)
{
    const char *way = way_names[e->way];
    if (m->policy.len == 0)
        (void)snprintf(to, VERDICT_MAX, "it stays: there is no cold tier that it could go to (Tiers.Cold.Kind)");
    else if (!m->wanted_on_disk && !known)
        (void)snprintf(to, VERDICT_MAX, "it leaves first when room is short: no use of it is known");
    else if (!m->wanted_on_disk)
        (void)snprintf(to, VERDICT_MAX,
                       "it leaves when room is short: when it was used last, it was not worth its room");
    else if (!known || !isfinite(e->limit))
        (void)snprintf(to, VERDICT_MAX, "it stays: the disk has room for all that is used");
    else if (e->rank[e->way] > e->limit)
        (void)snprintf(to, VERDICT_MAX, "it stays: by %s it ranks above what would leave now", way);
    else
        (void)snprintf(to, VERDICT_MAX, "it may leave soon: by %s it ranks with the last", way);
}

static void add_heat(struct heat_state *s, const struct block_key *key, struct msg_heat_explained *m)
{
    struct heat_entry row;
    uint64_t now = ctx_now(s->ctx);
    if (!heat_map_find(&s->map, key, now, &row))
        return;
    m->score = row.score;
    m->accesses = row.accesses;
    m->wants = row.wants;
    m->used_ago_ns = row.accesses == 0 ? 0 : now - row.used_at_ns;
}

/* Whether the policy learns and knows the block. */
static bool add_policy(struct heat_state *s, const struct block_key *key, struct msg_heat_explained *m,
                       struct heat_explained *e)
{
    struct tier_policy *policy = s->moves.policy;
    if (policy == NULL)
        return false;
    struct heat_policy *heat = tier_policy_heat(policy);
    m->policy = span_text(tier_policy_name(s->moves.policy_kind));
    m->wanted_on_disk = tier_policy_holds(policy, tier_policy_key(key));
    if (heat == NULL)
        return false;
    bool known = heat_policy_explain(heat, tier_policy_key(key), m->size, e);
    m->short_heat = e->heat[HEAT_SHORT];
    m->long_heat = e->heat[HEAT_LONG];
    m->class = e->class;
    m->age = e->age;
    m->way = span_text(way_names[e->way]);
    m->limit = shown((double)e->limit);
    return known;
}

static enum err answer(struct heat_state *s, const struct explain *one, const struct msg_block_facts_ok *facts)
{
    uint8_t bytes[CID_BYTES_MAX];
    char verdict[VERDICT_MAX];
    struct heat_explained e = {0};
    struct block_key key;
    struct buf ways;
    enum err err = block_key_of(&one->cid.hash, &key);
    if (err != ERR_OK)
        return err;
    struct msg_heat_explained m = {.cid = span_of(bytes, cid_encode(&one->cid, bytes))};
    if (facts->stored) {
        m.tier = facts->tier;
        m.size = facts->size;
    }
    add_heat(s, &key, &m);
    bool known = add_policy(s, &key, &m, &e);
    buf_init(&ways, WAYS_BYTES_MAX, NULL);
    if (m.way.len > 0) {
        err = pack_ways(&e, &ways);
        m.ways = schema_list_of(&ways, HEAT_WAYS);
    }
    if (facts->stored)
        say_verdict(&m, known, &e, verdict);
    else
        (void)snprintf(verdict, sizeof(verdict), "it is not stored here");
    m.verdict = span_text(verdict);
    if (err == ERR_OK)
        ctx_reply(s->ctx, one->to, &(struct msg){.kind = MSG_HEAT_EXPLAINED, .fields = &m});
    buf_release(&ways);
    return err;
}

enum err explain_start(struct heat_state *s, struct span cid, struct reply_to to)
{
    size_t i = 0;
    while (i < EXPLAINS_MAX && s->explains[i].open)
        i++;
    if (i == EXPLAINS_MAX)
        return ERR_BUSY;
    struct explain *one = &s->explains[i];
    enum err err = cid_parse(cid, &one->cid);
    if (err != ERR_OK)
        return err;
    struct msg_block_facts ask = {.cid = cid};
    struct call_opts opts = {.timeout_ns = FACTS_NS, .reply_bytes_max = FACTS_REPLY_BYTES};
    err = ctx_call(s->ctx, ACTOR_TIERED_STORAGE, &(struct msg){.kind = MSG_BLOCK_FACTS, .fields = &ask}, opts,
                   TAG_EXPLAIN + i);
    if (err != ERR_OK)
        return err;
    one->to = to;
    one->open = true;
    return ERR_OK;
}

void explain_reply(struct heat_state *s, const struct info *info)
{
    struct explain *one = &s->explains[info->tag - TAG_EXPLAIN];
    enum err err = info->err == ERR_OK ? answer(s, one, info->msg->fields) : info->err;
    if (err != ERR_OK)
        ctx_reply_err(s->ctx, one->to, err, "%s", info->err == ERR_OK ? err_text(err) : info->text);
    one->open = false;
}
