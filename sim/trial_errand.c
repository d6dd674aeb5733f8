/* SPDX-License-Identifier: MIT */
/* The errands of a driver: their steps, what each step asks, what its answer has to be. */
#include <stdio.h>
#include <stdlib.h>

#include "schemas/messages.h"
#include "sim/trial_internal.h"
#include "wire/ipns.h"
#include "wire/multihash.h"

enum step {
    STEP_END,
    STEP_PUT,
    STEP_FETCH,
    STEP_GET,
    STEP_PIN,
    STEP_UNPIN,
    STEP_FIND,
    STEP_REMOVE,
    STEP_COLLECT,
    STEP_SIGN,
    STEP_TELL,
    STEP_ASK,
    STEP_STATE,
    STEP_STORE,
    STEP_HEAT,
    STEP_SWARM,
    STEP_DISCOVERY,
    STEP_BITSWAP,
    STEP_WRITE,
    STEP_PEERS
};

enum { REPLY_BYTES = 256 * 1024, RECORD_REPLY = 16 * 1024, NAME_HOURS = 48, TRIES = 20 };

static const struct {
    const char *name;
    enum step steps[TRIAL_STEPS];
    bool leases;
} errands[ERRAND_KINDS] = {
    [ERRAND_ADD] = {"add", {STEP_PUT}, false},
    [ERRAND_KEEP] = {"keep", {STEP_PUT, STEP_PIN}, true},
    [ERRAND_PIN] = {"pin", {STEP_FETCH, STEP_PIN}, true},
    [ERRAND_FETCH] = {"fetch", {STEP_FETCH}, false},
    [ERRAND_GET] = {"get", {STEP_GET}, false},
    [ERRAND_UNPIN] = {"unpin", {STEP_UNPIN}, false},
    [ERRAND_REMOVE] = {"remove", {STEP_REMOVE}, false},
    [ERRAND_REFUSE] = {"remove what is pinned", {STEP_REMOVE}, false},
    [ERRAND_COLLECT] = {"collect", {STEP_COLLECT}, false},
    [ERRAND_PUBLISH] = {"publish", {STEP_SIGN, STEP_TELL}, false},
    [ERRAND_RESOLVE] = {"resolve", {STEP_ASK}, false},
    [ERRAND_FIND] = {"find pin", {STEP_FIND}, false},
    [ERRAND_HEALTH] = {"health",
                       {STEP_STATE, STEP_STORE, STEP_HEAT, STEP_SWARM, STEP_DISCOVERY, STEP_BITSWAP, STEP_WRITE,
                        STEP_PEERS},
                       false},
};

const char *errand_name(enum errand_kind kind)
{
    return errands[kind].name;
}

/* ---- blocks and names ---- */

struct block_ref *trial_block(unsigned number, struct cid *ret_cid)
{
    const struct trial_plan *plan = trial_playing->plan;
    struct prng prng;
    prng_init(&prng, plan->seed * 1000003 + number);
    struct block_ref *block = block_ref_new(1 + (size_t)prng_below(&prng, plan->block_bytes_max), NULL);
    struct multihash hash;
    if (block == NULL)
        abort();
    prng_fill(&prng, block->data, block->len);
    if (multihash_sum(MULTIHASH_SHA2_256, SHA256_BYTES, block_ref_span(block), &hash) != ERR_OK)
        abort();
    *ret_cid = cid_v1(CODEC_RAW, &hash);
    return block;
}

struct span trial_name_value(unsigned node, uint64_t n, char to[TRIAL_VALUE_MAX])
{
    uint64_t what[] = {trial_playing->plan->seed, node, n};
    char text[CID_TEXT_MAX];
    struct multihash hash;
    if (multihash_sum(MULTIHASH_SHA2_256, SHA256_BYTES, span_of(what, sizeof(what)), &hash) != ERR_OK)
        abort();
    struct cid cid = cid_v1(CODEC_RAW, &hash);
    cid_text(&cid, text);
    int len = snprintf(to, TRIAL_VALUE_MAX, "/ipfs/%s", text);
    return span_of(to, (size_t)len);
}

/* ---- choosing ---- */

static struct holding *some_holding(struct trial_node *n, bool (*fits)(const struct holding *))
{
    struct history *h = &n->history;
    for (unsigned try = 0; try < TRIES && h->count > 0; try++) {
        struct holding *held = &h->list[prng_below(&n->trial->prng, h->count)];
        if (fits(held))
            return held;
    }
    return NULL;
}

static bool is_stored(const struct holding *held)
{
    return held->stored == SURE_YES;
}

static bool may_unpin(const struct holding *held)
{
    return held->pinned == SURE_YES && !held->wanted && !held->busy;
}

static bool may_remove(const struct holding *held)
{
    return held->stored == SURE_YES && held->pinned == SURE_NO && !held->busy;
}

static bool is_pinned(const struct holding *held)
{
    return held->pinned == SURE_YES && !held->busy;
}

static const struct kept_block *some_kept(const struct trial_node *n)
{
    struct trial *t = n->trial;
    const struct kept_block *kept = t->kept_count == 0 ? NULL : &t->kept[prng_below(&t->prng, t->kept_count)];
    return kept == NULL || kept->node == n->number ? NULL : kept;
}

static bool is_under_way(const struct trial_node *n, enum errand_kind kind)
{
    for (size_t i = 0; i < TRIAL_ERRANDS; i++)
        if (n->errands[i].used && n->errands[i].kind == kind)
            return true;
    return false;
}

/* False: there is nothing of the kind to do. */
static bool fill(struct trial_node *n, struct errand *e)
{
    bool (*const fits[ERRAND_KINDS])(const struct holding *) = {[ERRAND_GET] = is_stored,
                                                                [ERRAND_UNPIN] = may_unpin,
                                                                [ERRAND_REMOVE] = may_remove,
                                                                [ERRAND_REFUSE] = is_pinned};
    const struct kept_block *kept = some_kept(n);
    if (fits[e->kind] != NULL) {
        const struct holding *held = some_holding(n, fits[e->kind]);
        e->block = held == NULL ? 0 : held->block;
        return held != NULL;
    }
    if (e->kind == ERRAND_PIN || e->kind == ERRAND_FETCH) {
        e->block = kept == NULL ? 0 : kept->block;
        return kept != NULL && !history_of(&n->history, e->block)->busy;
    }
    if (e->kind == ERRAND_COLLECT)
        return !n->history.collecting;
    if (e->kind == ERRAND_PUBLISH)
        return !is_under_way(n, ERRAND_PUBLISH);
    if (e->kind == ERRAND_RESOLVE)
        e->other = (unsigned)prng_below(&n->trial->prng, n->trial->plan->nodes);
    return true;
}

void errand_choose(struct trial_node *n, struct errand *e)
{
    static const struct {
        enum errand_kind kind;
        unsigned weight;
    } chances[] = {{ERRAND_ADD, 15},    {ERRAND_KEEP, 15},   {ERRAND_PIN, 10},   {ERRAND_FETCH, 20},
                   {ERRAND_GET, 20},    {ERRAND_UNPIN, 4},   {ERRAND_REMOVE, 4}, {ERRAND_REFUSE, 2},
                   {ERRAND_COLLECT, 2}, {ERRAND_PUBLISH, 3}, {ERRAND_RESOLVE, 5}};
    enum { HUNDRED = 100 };
    uint64_t draw = prng_below(&n->trial->prng, HUNDRED);
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(chances) && draw >= chances[i].weight)
        draw -= chances[i++].weight;
    e->kind = chances[i].kind;
    if (!fill(n, e))
        e->kind = ERRAND_ADD;
    if (e->kind == ERRAND_ADD || e->kind == ERRAND_KEEP)
        e->block = ++n->trial->block_count;
}

/* ---- history ---- */

void errand_begin(struct trial_node *n, struct errand *e)
{
    struct history *h = &n->history;
    struct holding *held = e->block == 0 ? NULL : history_of(h, e->block);
    e->number = ++n->trial->errand_count;
    e->leases = e->leased = errands[e->kind].leases;
    e->step = 0;
    if (held != NULL) {
        e->version = held->version;
        held->busy = held->busy || (e->kind != ERRAND_GET && e->kind != ERRAND_FIND);
    }
    enum step first = errands[e->kind].steps[0];
    if (first == STEP_PUT || first == STEP_FETCH) {
        history_put_asked(h, e->block);
        if (errands[e->kind].steps[1] == STEP_PIN)
            history_pin_asked(h, e->block);
        history_of(h, e->block)->wanted |= e->kind == ERRAND_PIN;
    } else if (first == STEP_UNPIN) {
        history_unpin_asked(h, e->block);
    } else if (e->kind == ERRAND_REMOVE) {
        history_remove_asked(h, e->block);
    } else if (first == STEP_COLLECT) {
        n->collected_len = 0;
        history_collect_asked(h);
    } else if (first == STEP_SIGN) {
        h->signs++;
    }
}

bool errand_is_at_end(const struct errand *e)
{
    return e->step == TRIAL_STEPS || errands[e->kind].steps[e->step] == STEP_END;
}

/* ---- asking ---- */

static enum err ask(struct ctx *ctx, const struct errand *e, actor_id whom, const struct msg *msg, uint64_t tag)
{
    uint64_t left = ctx_left(ctx, e->deadline_ns);
    if (left == 0)
        return ERR_TIMEOUT;
    uint32_t reply = msg->kind == MSG_IPNS_SIGN || msg->kind == MSG_ROUTE_GET   ? RECORD_REPLY
                     : msg->kind == MSG_REPO_GC || msg->kind == MSG_SWARM_PEERS ? REPLY_BYTES
                                                                                : 0;
    return ctx_call(ctx, whom, msg, (struct call_opts){.timeout_ns = left, .reply_bytes_max = reply}, tag);
}

static enum err ask_block(struct ctx *ctx, const struct errand *e, enum step step, uint64_t tag)
{
    struct cid cid;
    uint8_t bytes[CID_BYTES_MAX];
    struct block_ref *block = trial_block(e->block, &cid);
    struct span key = span_of(bytes, cid_encode(&cid, bytes));
    struct msg_block_put put = {.cid = key};
    struct msg_fetch fetch = {.cid = key};
    struct msg_block_get get = {.cid = key};
    struct msg_pin_add pin = {.cid = key, .recursive = e->block % 2 == 0};
    struct msg_pin_rm unpin = {.cid = key, .recursive = e->block % 2 == 0};
    struct msg_pin_find find = {.cid = key};
    struct msg_block_rm rm = {.cid = key};
    struct msg msg = {.kind = MSG_BLOCK_PUT, .fields = &put, .tail = step == STEP_PUT ? block : NULL};
    if (step == STEP_FETCH)
        msg = (struct msg){.kind = MSG_FETCH, .fields = &fetch};
    else if (step == STEP_GET)
        msg = (struct msg){.kind = MSG_BLOCK_GET, .fields = &get};
    else if (step == STEP_PIN)
        msg = (struct msg){.kind = MSG_PIN_ADD, .fields = &pin};
    else if (step == STEP_UNPIN)
        msg = (struct msg){.kind = MSG_PIN_RM, .fields = &unpin};
    else if (step == STEP_FIND)
        msg = (struct msg){.kind = MSG_PIN_FIND, .fields = &find};
    else if (step == STEP_REMOVE)
        msg = (struct msg){.kind = MSG_BLOCK_RM, .fields = &rm};
    enum err err = ask(ctx, e, step == STEP_FETCH ? ACTOR_BITSWAP : ACTOR_TIERED_STORAGE, &msg, tag);
    block_ref_unref(block);
    return err;
}

static enum err ask_name(struct ctx *ctx, struct trial_node *n, const struct errand *e, enum step step, uint64_t tag)
{
    char value[TRIAL_VALUE_MAX];
    uint8_t key[IPNS_KEY_BYTES_MAX];
    const struct peer_id *owner = step == STEP_ASK ? &n->trial->nodes[e->other].id : &n->id;
    struct span name = span_of(key, ipns_key_of_name(owner, key));
    struct msg_ipns_sign sign = {.key = span_text("self"),
                                 .value = trial_name_value(n->number, n->history.signs, value),
                                 .lifetime_ns = (uint64_t)NAME_HOURS * 3600 * SECOND_NS,
                                 .ttl_ns = SECOND_NS};
    struct msg_route_get get = {.key = name};
    struct msg_route_put put = {.key = name, .value = span_of(n->record, n->record_len)};
    if (step == STEP_SIGN)
        return ask(ctx, e, ACTOR_STATE, &(struct msg){.kind = MSG_IPNS_SIGN, .fields = &sign}, tag);
    if (step == STEP_ASK)
        return ask(ctx, e, ACTOR_DISCOVERY, &(struct msg){.kind = MSG_ROUTE_GET, .fields = &get}, tag);
    return ask(ctx, e, ACTOR_DISCOVERY, &(struct msg){.kind = MSG_ROUTE_PUT, .fields = &put}, tag);
}

static enum err ask_health(struct ctx *ctx, const struct errand *e, enum step step, uint64_t tag)
{
    static const actor_id probed[] = {ACTOR_STATE,        ACTOR_TIERED_STORAGE,
                                      ACTOR_HEAT_TRACKER, ACTOR_CONNECTION_MANAGER,
                                      ACTOR_DISCOVERY,    ACTOR_BITSWAP};
    struct msg_probe probe = {0};
    struct msg_store_probe write = {0};
    struct msg_swarm_peers peers = {0};
    if (step == STEP_WRITE)
        return ask(ctx, e, ACTOR_TIERED_STORAGE, &(struct msg){.kind = MSG_STORE_PROBE, .fields = &write}, tag);
    if (step == STEP_PEERS)
        return ask(ctx, e, ACTOR_CONNECTION_MANAGER, &(struct msg){.kind = MSG_SWARM_PEERS, .fields = &peers}, tag);
    return ask(ctx, e, probed[step - STEP_STATE], &(struct msg){.kind = MSG_PROBE, .fields = &probe}, tag);
}

enum err errand_ask(struct ctx *ctx, struct trial_node *n, const struct errand *e, uint64_t tag)
{
    enum step step = errands[e->kind].steps[e->step];
    struct msg_repo_gc gc = {.after = span_of(n->collected, n->collected_len)};
    if (e->leases && !e->leased && step == STEP_PIN)
        return ERR_CANCELLED; /* nothing may be pinned without the lease */
    if (step >= STEP_STATE)
        return ask_health(ctx, e, step, tag);
    if (step >= STEP_SIGN)
        return ask_name(ctx, n, e, step, tag);
    if (step == STEP_COLLECT)
        return ask(ctx, e, ACTOR_TIERED_STORAGE, &(struct msg){.kind = MSG_REPO_GC, .fields = &gc}, tag);
    return ask_block(ctx, e, step, tag);
}
