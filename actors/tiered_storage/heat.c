/* SPDX-License-Identifier: MIT */
/*
 * What heat_tracker asks of the store, so that blocks move between the disk and the cold tier, and what it is told: which blocks are used, and
 * how full the disk is. Pressure is told when it changed, 20 times a second at most.
 */
#include "actors/tiered_storage/request.h"
#include "actors/tree.h"
#include "schemas/messages.h"

/* What it takes to be told anew: a 400th of StorageMax. */
enum { LIVE_STEPS = 400 };

#define PRESSURE_NS (50 * MS_NS)

/* ---- what is asked ---- */

static void candidates_done(struct store_candidates_op *op, enum err err)
{
    struct request *r = CONTAINER_OF(op, struct request, candidates);
    struct msg_tier_candidate_page page = {.next_segment = op->segment, .next_offset = op->offset};
    struct buf blocks;
    buf_init(&blocks, STORAGE_REPLY_BYTES_MAX, NULL);
    for (size_t i = 0; err == ERR_OK && i < op->count; i++) {
        const struct store_candidate *found = &op->found[i];
        struct item_tier_candidate item = {.multihash = block_key_span(&found->key),
                                           .size = found->size,
                                           .may_go = found->may_go,
                                           .cold = found->cold};
        err = schema_list_add_map(&blocks, &schema_item_tier_candidate, &item);
    }
    page.blocks = schema_list_of(&blocks, (uint32_t)op->count);
    if (err == ERR_OK)
        request_reply(r, MSG_TIER_CANDIDATE_PAGE, &page, NULL);
    else
        request_reply_err(r, err);
    buf_release(&blocks);
    request_free(r);
}

enum err storage_candidates(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_tier_candidates *m = msg->fields;
    struct request *r = request_new(s, msg, to);
    if (r == NULL)
        return ERR_NOMEM;
    r->candidates = (struct store_candidates_op){.done = candidates_done, .segment = m->segment, .offset = m->offset};
    blockstore_candidates(s->store, &r->candidates);
    return ERR_OK;
}

enum err storage_demote(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_tier_demote *m = msg->fields;
    struct block_key keys[STORE_DEMOTE_MAX];
    size_t count = 0;
    size_t position = 0;
    struct span hash;
    while (count < STORE_DEMOTE_MAX && schema_list_next_bytes(&m->multihashes, &position, &hash)) {
        enum err err = block_key_of_span(hash, &keys[count++]);
        if (err != ERR_OK)
            return err;
    }
    enum err err = blockstore_demote(s->store, keys, count);
    struct msg_ok ok = {0};
    if (err == ERR_OK)
        ctx_reply(s->ctx, to, &(struct msg){.kind = MSG_OK, .fields = &ok});
    return err;
}

/* ERR_EXISTS: it was on the disk, so nothing moved. */
static void promote_done(struct store_op *op, enum err err)
{
    struct request *r = CONTAINER_OF(op, struct request, op);
    if (err == ERR_OK && op->existed)
        request_reply_err(r, ERR_EXISTS);
    else if (err == ERR_OK)
        request_reply_ok(r);
    else
        request_reply_err(r, err);
    request_free(r);
}

enum err storage_promote(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_tier_promote *m = msg->fields;
    struct block_key key;
    enum err err = block_key_of_span(m->multihash, &key);
    if (err != ERR_OK)
        return err;
    struct request *r = request_new(s, msg, to);
    if (r == NULL)
        return ERR_NOMEM;
    r->op = (struct store_op){.done = promote_done, .key = key};
    blockstore_promote(s->store, &r->op);
    return ERR_OK;
}

/* A life of heat_tracker begins with this: it has to be told anew. */
void storage_spill(struct storage_state *s, const struct msg *msg)
{
    blockstore_may_spill(s->store, ((const struct msg_tier_spill *)msg->fields)->possible);
    s->tier.told = false;
}

/* ---- what is told ---- */

void storage_tell_access(struct storage_state *s, struct span cid, uint64_t kind, uint64_t tier, uint64_t bytes)
{
    struct msg_access access = {.cid = cid, .kind = kind, .bytes = bytes, .tier = tier};
    (void)ctx_cast(s->ctx, ACTOR_HEAT_TRACKER, &(struct msg){.kind = MSG_ACCESS, .fields = &access});
}

static uint8_t tier_number(const char *name)
{
    return strcmp(name, "memory") == 0 ? STORAGE_TIER_MEMORY
           : strcmp(name, "cold") == 0 ? STORAGE_TIER_COLD
                                       : STORAGE_TIER_DISK;
}

uint8_t storage_tier_of(struct storage_state *s, const struct block_key *key)
{
    uint64_t size;
    const char *tier = "disk";
    if (!s->cold)
        return STORAGE_TIER_DISK;
    return blockstore_has(s->store, key, &size, &tier) == ERR_OK ? tier_number(tier) : STORAGE_TIER_NONE;
}

void storage_tell_stored(struct storage_state *s, struct span cid)
{
    struct cid parsed;
    struct block_key key;
    bool inlined = false;
    uint64_t size = 0;
    if (s->cold && request_parse_cid(cid, &parsed, &key, &inlined) == ERR_OK && !inlined &&
        blockstore_has(s->store, &key, &size, NULL) != ERR_OK)
        size = 0;
    storage_tell_access(s, cid, 2, STORAGE_TIER_DISK, size);
}

static bool differs(const struct tier_told *a, const struct tier_told *b, uint64_t storage_max)
{
    uint64_t more = MAX(a->live_bytes, b->live_bytes) - MIN(a->live_bytes, b->live_bytes);
    return a->busy != b->busy || a->full != b->full || a->cold_up != b->cold_up ||
           a->demoted_bytes != b->demoted_bytes || (a->waiting == 0) != (b->waiting == 0) ||
           more > storage_max / LIVE_STEPS;
}

static void tell(struct storage_state *s, const struct tier_told *now)
{
    struct msg_tier_pressure m = {.live_bytes = now->live_bytes,
                                  .demoted_bytes = now->demoted_bytes,
                                  .waiting = now->waiting,
                                  .busy = now->busy,
                                  .full = now->full,
                                  .cold_up = now->cold_up};
    s->tier.told =
        ctx_cast(s->ctx, ACTOR_HEAT_TRACKER, &(struct msg){.kind = MSG_TIER_PRESSURE, .fields = &m}) == ERR_OK;
    s->tier.last = *now;
    s->tier.last_ns = ctx_now(s->ctx);
}

void storage_tell_pressure(struct storage_state *s)
{
    if (!s->cold || s->tier.timer != 0)
        return;
    struct blockstore_stats stats = blockstore_stats(s->store);
    struct tier_told now = {.live_bytes = stats.live_bytes,
                            .demoted_bytes = stats.demoted_bytes,
                            .waiting = stats.cold_waiting,
                            .busy = s->asked >= STORAGE_BUSY_REQUESTS,
                            .full = stats.full,
                            .cold_up = stats.cold_up};
    if (s->tier.told && !differs(&now, &s->tier.last, stats.storage_max))
        return;
    if (s->tier.last_ns == 0 || ctx_now(s->ctx) >= s->tier.last_ns + PRESSURE_NS)
        tell(s, &now);
    else
        s->tier.timer = ctx_timer(s->ctx, s->tier.last_ns + PRESSURE_NS, STORAGE_TAG_PRESSURE);
}
