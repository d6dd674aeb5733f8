/* SPDX-License-Identifier: MIT */
/*
 * Moves between the disk and the cold tier: the policy says what should lie on the disk, the mover when what goes, tiered_storage does it.
 *
 *      access   --> a few together --> policy: use, admit --> mover: want --+
 *      pressure --> mover                                                   +--> mover_next --> tier_candidates | tier_demote | tier_promote --> tiered_storage
 *      replies  --> policy: leave, mover -----------------------------------+--> state_move --> state
 */
#include "actors/heat_tracker/tracker.h"

#include "actors/tree.h"
#include "base/limits.h"
#include "schemas/config.h"

enum {
    TAG_TIMER = 1,
    TAG_PAGE,
    TAG_DEMOTE,
    TAG_PROMOTE, /* and one for each that may be under way */
    PAGE_REPLY_BYTES = 64 * 1024,
    DEMOTE_BYTES_MAX = 64 * 1024,
    POLICY_BLOCKS_MAX = 10 * 1000 * 1000,
    POLICY_TABLES_SHARE = 4,
    POLICY_BLOCK_BYTES = 48, /* roughly, of any policy */
};

#define RUN_NS  (60 * SECOND_NS)
#define CALL_NS (60 * SECOND_NS)

/* Tiers in `access`. */
enum { ACCESS_IN_MEMORY, ACCESS_IN_COLD = 2 };

/* ---- life ---- */

/* The disk should hold what fits up to where demotion ends. */
static struct tier_policy *new_policy(struct heat_state *s, const struct config *config, struct account *tables)
{
    struct tier_policy_config policy = {
        .goal = HEAT_GOAL_BYTES,
        .capacity_bytes = config->datastore_storage_max / 100 * config->tiers_demote_to,
        .blocks_max = tables == NULL ? POLICY_BLOCKS_MAX
                                     : (uint32_t)MIN(tables->limit_bytes / POLICY_TABLES_SHARE / POLICY_BLOCK_BYTES,
                                                     (uint64_t)POLICY_BLOCKS_MAX),
        .account = tables};
    if (!tier_policy_parse(config->tiers_policy, &policy.kind))
        return NULL;
    s->moves.policy_kind = policy.kind;
    return tier_policy_new(&policy);
}

static void tell_spill(struct heat_state *s, bool possible)
{
    struct msg_tier_spill m = {.possible = possible};
    s->moves.spill = possible;
    (void)ctx_cast(s->ctx, ACTOR_TIERED_STORAGE, &(struct msg){.kind = MSG_TIER_SPILL, .fields = &m});
}

enum err moves_init(struct heat_state *s, const struct config *config)
{
    struct budget *budget = ctx_budget(s->ctx);
    struct account *tables = budget == NULL ? NULL : &budget->accounts[ACCOUNT_TABLES];
    struct mover_config mover = {.storage_max = config->datastore_storage_max,
                                 .demote_at = (unsigned)config->tiers_demote_at,
                                 .demote_to = (unsigned)config->tiers_demote_to,
                                 .demote_rate = config->tiers_demote_rate,
                                 .promote_rate = s->tracks ? config->tiers_promote_rate : 0,
                                 .settle_ns = config->tiers_settle_time,
                                 .account = tables};
    if (config->tiers_cold_kind[0] == '\0')
        return ERR_OK;
    s->moves.mover = mover_new(&mover);
    s->moves.policy = new_policy(s, config, tables);
    if (s->moves.mover == NULL || s->moves.policy == NULL)
        return ERR_NOMEM;
    s->moves.demotes = config->tiers_demote_rate > 0;
    s->moves.promotes = mover.promote_rate > 0;
    tell_spill(s, s->moves.demotes);
    return ERR_OK;
}

void moves_release(struct heat_state *s)
{
    mover_free(s->moves.mover);
    tier_policy_free(s->moves.policy);
}

/* ---- what is told ---- */

/* What the policy gives up goes when the mover comes by. */
static void left(void *context, uint64_t key)
{
    (void)context;
    (void)key;
}

static bool admitted(struct heat_state *s, const struct block_key *key, uint64_t bytes)
{
    return tier_policy_admit(s->moves.policy, tier_policy_key(key), bytes, UINT64_MAX, left, NULL);
}

/*
 * A cold block, or one in memory, below which it may be cold: what the policy wants on the disk, and does not lie there, is to come. If it did
 * lie there, the store says so.
 */
static void used_not_on_disk(struct heat_state *s, const struct use *use, bool held)
{
    struct block_key out;
    uint32_t bytes = (uint32_t)use->bytes;
    if (!mover_considers(s->moves.mover, &use->key, bytes, use->at_ns) || (!held && !admitted(s, &use->key, bytes)))
        return;
    float rank = tier_policy_rank(s->moves.policy, tier_policy_key(&use->key), bytes);
    if (mover_want(s->moves.mover, &use->key, bytes, rank, &out))
        tier_policy_leave(s->moves.policy, tier_policy_key(&out));
}

static void tell_use(struct heat_state *s, const struct use *use)
{
    if (!past_use(s, &use->key))
        return;
    bool held = tier_policy_use(s->moves.policy, tier_policy_key(&use->key), use->bytes,
                                (double)use->at_ns / (double)SECOND_NS);
    if (use->tier == ACCESS_IN_COLD || (use->tier == ACCESS_IN_MEMORY && s->moves.promotes && !held))
        used_not_on_disk(s, use, held);
    else if (!held)
        (void)admitted(s, &use->key, use->bytes); /* it is there, and may stay if it is worth it */
}

void moves_catch_up(struct heat_state *s)
{
    uint64_t keys[ARRAY_LEN(s->moves.uses)];
    size_t count = s->moves.use_count;
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        keys[i] = tier_policy_key(&s->moves.uses[i].key);
    tier_policy_announce(s->moves.policy, keys, count);
    for (size_t i = 0; i < count; i++)
        tell_use(s, &s->moves.uses[i]);
    s->moves.use_count = 0;
}

void moves_access(struct heat_state *s, const struct block_key *key, const struct msg_access *m)
{
    uint64_t now = ctx_now(s->ctx);
    if (s->moves.mover == NULL || m->bytes > BLOCK_BYTES_MAX)
        return;
    s->moves.uses[s->moves.use_count++] = (struct use){.key = *key, .bytes = m->bytes, .tier = m->tier, .at_ns = now};
    if (s->moves.uses_timer == 0)
        s->moves.uses_timer = ctx_timer(s->ctx, now, TAG_USES_TIMER);
    if (s->moves.use_count == ARRAY_LEN(s->moves.uses))
        moves_catch_up(s);
}

void moves_left(struct heat_state *s, const struct msg_tier_left *m)
{
    struct block_key key;
    struct span hash;
    size_t position = 0;
    while (s->moves.mover != NULL && schema_list_next_bytes(&m->multihashes, &position, &hash)) {
        if (block_key_of_span(hash, &key) != ERR_OK)
            continue;
        tier_policy_leave(s->moves.policy, tier_policy_key(&key));
        mover_moved(s->moves.mover, &key, ctx_now(s->ctx));
    }
}

void moves_pressure(struct heat_state *s, const struct msg_tier_pressure *m)
{
    struct mover_pressure pressure = {.live_bytes = m->live_bytes,
                                      .demoted_bytes = m->demoted_bytes,
                                      .waiting = m->waiting,
                                      .busy = m->busy,
                                      .full = m->full,
                                      .cold_up = m->cold_up};
    if (s->moves.mover != NULL)
        mover_pressed(s->moves.mover, &pressure, ctx_now(s->ctx));
}

/* ---- rows ---- */

static void note_run(struct heat_state *s, struct move_run *run, bool out, uint64_t blocks, uint64_t bytes,
                     const char *reason)
{
    uint64_t now = ctx_now(s->ctx);
    if (run->id == 0 || now - run->last_ns > RUN_NS || run->reason != reason)
        *run = (struct move_run){.id = ctx_real_now(s->ctx), .since = ctx_real_now(s->ctx), .reason = reason};
    run->last_ns = now;
    run->blocks += blocks;
    run->bytes += bytes;
    struct msg_state_move m = {.id = run->id,
                               .source = span_text(out ? "disk" : "cold"),
                               .target = span_text(out ? "cold" : "disk"),
                               .blocks = run->blocks,
                               .bytes = run->bytes,
                               .since = run->since,
                               .reason = span_text(reason)};
    (void)ctx_cast(s->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_MOVE, .fields = &m});
}

/* ---- candidates ---- */

static void ask_page(struct heat_state *s, const struct mover_step *step)
{
    struct msg_tier_candidates m = {.segment = step->place.segment, .offset = step->place.offset};
    struct call_opts opts = {.timeout_ns = CALL_NS, .reply_bytes_max = PAGE_REPLY_BYTES};
    enum err err = ctx_call(s->ctx, ACTOR_TIERED_STORAGE, &(struct msg){.kind = MSG_TIER_CANDIDATES, .fields = &m},
                            opts, TAG_PAGE);
    if (err != ERR_OK)
        mover_page(s->moves.mover, err, NULL, 0, step->place, ctx_now(s->ctx));
}

static void take_page(struct heat_state *s, const struct msg_tier_candidate_page *m)
{
    struct mover_candidate page[MOVER_PAGE_MAX];
    size_t count = 0;
    size_t position = 0;
    struct item_tier_candidate item;
    while (count < MOVER_PAGE_MAX && schema_list_next_map(&m->blocks, &schema_item_tier_candidate, &position, &item)) {
        struct mover_candidate *c = &page[count];
        if (block_key_of_span(item.multihash, &c->key) != ERR_OK)
            continue;
        uint64_t key = tier_policy_key(&c->key);
        c->size = (uint32_t)item.size;
        c->may_go = item.may_go;
        c->cold = item.cold;
        c->held = tier_policy_holds(s->moves.policy, key);
        c->rank = c->held ? tier_policy_rank(s->moves.policy, key, item.size) : 0;
        count++;
    }
    struct mover_place next = {.segment = m->next_segment, .offset = m->next_offset};
    mover_page(s->moves.mover, ERR_OK, page, count, next, ctx_now(s->ctx));
}

/* ---- demotion ---- */

static void demote(struct heat_state *s, const struct mover_step *step)
{
    struct buf keys;
    enum err err = ERR_OK;
    buf_init(&keys, DEMOTE_BYTES_MAX, NULL);
    for (size_t i = 0; i < step->count && err == ERR_OK; i++) {
        s->moves.demoted[i] = step->keys[i];
        err = schema_list_add_bytes(&keys, block_key_span(&step->keys[i]));
    }
    struct msg_tier_demote m = {.multihashes = schema_list_of(&keys, (uint32_t)step->count)};
    if (err == ERR_OK)
        err = ctx_call(s->ctx, ACTOR_TIERED_STORAGE, &(struct msg){.kind = MSG_TIER_DEMOTE, .fields = &m},
                       (struct call_opts){.timeout_ns = CALL_NS}, TAG_DEMOTE);
    buf_release(&keys);
    s->moves.demoting = step->count;
    s->moves.demoting_bytes = step->bytes;
    s->moves.demoting_spill = step->spill;
    if (err != ERR_OK)
        mover_demoted(s->moves.mover, err == ERR_NOMEM ? ERR_BUSY : err, ctx_now(s->ctx));
}

static void demoted(struct heat_state *s, enum err err)
{
    mover_demoted(s->moves.mover, err, ctx_now(s->ctx));
    if (err != ERR_OK)
        return;
    for (size_t i = 0; i < s->moves.demoting; i++)
        tier_policy_leave(s->moves.policy, tier_policy_key(&s->moves.demoted[i]));
    note_run(s, &s->moves.out, true, s->moves.demoting, s->moves.demoting_bytes,
             s->moves.demoting_spill ? "spill" : "fill");
}

/* ---- promotion ---- */

static void promoted(struct heat_state *s, struct promotion *p, enum err err)
{
    mover_promoted(s->moves.mover, &p->key, p->size, err);
    if (err == ERR_OK)
        note_run(s, &s->moves.in, false, 1, p->size, "used");
    else if (err != ERR_EXISTS)
        tier_policy_leave(s->moves.policy, tier_policy_key(&p->key));
    *p = (struct promotion){0};
}

static void promote(struct heat_state *s, const struct mover_step *step)
{
    struct msg_tier_promote m = {.multihash = block_key_span(step->keys)};
    struct call_opts opts = {.timeout_ns = CALL_NS};
    size_t i = 0;
    while (s->moves.promotions[i].key.len > 0)
        i++; /* the mover has no more under way than there are */
    s->moves.promotions[i] = (struct promotion){.key = *step->keys, .size = (uint32_t)step->bytes};
    enum err err = ctx_call(s->ctx, ACTOR_TIERED_STORAGE, &(struct msg){.kind = MSG_TIER_PROMOTE, .fields = &m}, opts,
                            TAG_PROMOTE + i);
    if (err != ERR_OK)
        promoted(s, &s->moves.promotions[i], err);
}

/* ---- together ---- */

void moves_reply(struct heat_state *s, const struct info *info)
{
    if (info->tag == TAG_PAGE && info->err == ERR_OK)
        take_page(s, info->msg->fields);
    else if (info->tag == TAG_PAGE)
        mover_page(s->moves.mover, info->err, NULL, 0, (struct mover_place){0}, ctx_now(s->ctx));
    else if (info->tag == TAG_DEMOTE)
        demoted(s, info->err);
    else
        promoted(s, &s->moves.promotions[info->tag - TAG_PROMOTE], info->err);
}

static void arm(struct heat_state *s, uint64_t at)
{
    if (at == UINT64_MAX || (s->moves.timer != 0 && s->moves.timer_at <= at))
        return;
    if (s->moves.timer != 0)
        ctx_timer_cancel(s->ctx, s->moves.timer);
    s->moves.timer_at = at;
    s->moves.timer = ctx_timer(s->ctx, at, TAG_TIMER);
}

void moves_pump(struct heat_state *s)
{
    struct mover_step step;
    uint64_t wait_until = past_wait_until(s);
    if (s->moves.mover == NULL)
        return;
    if (ctx_now(s->ctx) < wait_until) {
        arm(s, wait_until);
        return;
    }
    for (;;) {
        mover_next(s->moves.mover, ctx_now(s->ctx), &step);
        if (step.act == MOVER_WAIT)
            break;
        if (step.act == MOVER_ASK)
            ask_page(s, &step);
        else if (step.act == MOVER_DEMOTE)
            demote(s, &step);
        else
            promote(s, &step);
    }
    bool exhausted = mover_stats(s->moves.mover).exhausted;
    if (s->moves.demotes && exhausted == s->moves.spill)
        tell_spill(s, !exhausted);
    arm(s, step.wake_ns);
}
