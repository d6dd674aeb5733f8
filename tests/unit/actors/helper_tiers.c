/* SPDX-License-Identifier: MIT */
#include "tests/unit/actors/helper_tiers.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/tree.h"
#include "base/random.h"
#include "mailbox/backend.h"
#include "schemas/messages.h"
#include "sim/bucket.h"
#include "sim/sim.h"

struct block_ref *tiers_block(unsigned n, size_t bytes, struct cid *ret_cid)
{
    struct prng prng;
    struct multihash hash;
    struct block_ref *ref = block_ref_new(bytes, NULL);
    assert_non_null(ref);
    prng_init(&prng, n);
    prng_fill(&prng, ref->data, ref->len);
    assert_int_equal(multihash_sum(MULTIHASH_SHA2_256, 0, block_ref_span(ref), &hash), ERR_OK);
    *ret_cid = cid_v1(CODEC_RAW, &hash);
    return ref;
}

void tiers_set(struct config *config, const char *key, const char *value)
{
    char why[CONFIG_WHY_BYTES];
    if (config_set(config, key, span_text(value), why) != ERR_OK)
        fail_msg("%s", why);
}

struct config *tiers_config(const char *path, const char *kind, uint64_t storage_max)
{
    struct config *config = NULL;
    char bytes[24];
    assert_int_equal(config_new(path, &config), ERR_OK);
    (void)snprintf(bytes, sizeof(bytes), "%" PRIu64, storage_max);
    tiers_set(config, "Datastore.StorageMax", bytes);
    tiers_set(config, "Tiers.Cold.Kind", kind);
    tiers_set(config, "Tiers.Cold.PackBytes", "1MiB");
    return config;
}

struct config *tiers_bucket_config(const char *path, const char *bucket, uint64_t storage_max)
{
    struct config *config = tiers_config(path, "s3", storage_max);
    tiers_set(config, "Tiers.Cold.Endpoint", "http://s3.example.com");
    tiers_set(config, "Tiers.Cold.Bucket", bucket);
    tiers_set(config, "Tiers.Cold.AccessKey", "AKIDEXAMPLE");
    tiers_set(config, "Tiers.Cold.SecretKey", "a secret");
    return config;
}

/* ---- the stage ---- */

/* Whom tiered_storage tells runs before it: what it says to one that does not run yet is lost. */
static const struct child_spec children[] = {{.id = "state", .start = ACTOR_STATE},
                                             {.id = "bitswap", .start = ACTOR_BITSWAP},
                                             {.id = "cold_store", .start = ACTOR_COLD_STORE},
                                             {.id = "tiered_storage", .start = ACTOR_TIERED_STORAGE},
                                             {.id = "heat_tracker", .start = ACTOR_HEAT_TRACKER},
                                             {.id = "control", .start = ACTOR_CONTROL}};
static const struct supervisor_spec tree = {.name = "root",
                                            .strategy = STRATEGY_ONE_FOR_ONE,
                                            .intensity = 1,
                                            .period_ms = 10000,
                                            .children = children,
                                            .child_count = ARRAY_LEN(children)};
static const struct edge_spec edges[] = {{ACTOR_CONTROL, ACTOR_TIERED_STORAGE},
                                         {ACTOR_CONTROL, ACTOR_HEAT_TRACKER},
                                         {ACTOR_HEAT_TRACKER, ACTOR_TIERED_STORAGE},
                                         {ACTOR_TIERED_STORAGE, ACTOR_COLD_STORE}};
static const struct lane_spec lanes[] = {{"catalogue", 1, 64}, {"disk", 2, 256}, {"cold", 2, 64}, {"heat", 1, 4}};

static void print_log(void *arg, enum log_level level, const char *actor, const char *text)
{
    (void)arg;
    print_message("%d %s: %s\n", (int)level, actor, text);
}

bool tiers_play(const struct tiers_play *play, struct config *config)
{
    const struct actor_class *const classes[ACTOR_COUNT] = {
        [ACTOR_STATE] = play->state,
        [ACTOR_COLD_STORE] = &cold_store_class,
        [ACTOR_TIERED_STORAGE] = &tiered_storage_class,
        [ACTOR_HEAT_TRACKER] = play->heat_tracker == NULL ? &heat_tracker_class : play->heat_tracker,
        [ACTOR_BITSWAP] = play->state,
        [ACTOR_CONTROL] = play->control};
    struct budget budget;
    struct runtime *rt = NULL;
    char why[512] = "";
    assert_int_equal(budget_init(&budget, BUDGET_DEFAULT_MIB * MIB), ERR_OK);
    budget_share_cold(&budget);
    struct runtime_config rc = {.name = "tiers",
                                .backend = play->sim != NULL ? &backend_sim : NULL,
                                .backend_arg = play->sim,
                                .classes = classes,
                                .class_count = ACTOR_COUNT,
                                .tree = &tree,
                                .edges = edges,
                                .edge_count = ARRAY_LEN(edges),
                                .lanes = lanes,
                                .lane_count = ARRAY_LEN(lanes),
                                .schemas = &schema_messages,
                                .config = config,
                                .budget = &budget,
                                .disk = play->disk,
                                .http = play->bucket == NULL ? NULL : sim_bucket_port(play->bucket),
                                .log = print_log,
                                .log_level = LOG_WARN};
    if (runtime_start(&rc, &rt, why, sizeof(why)) != ERR_OK)
        fail_msg("start: %s", why);
    bool done = runtime_await(rt, play->is_done, NULL, play->timeout_ns);
    (void)runtime_stop(&rt, 10 * SECOND_NS);
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        assert_int_equal(account_used(&budget.accounts[i]), 0);
    config_free(config);
    return done;
}

/* ---- a life by steps ---- */

enum { FOLLOW_S = 900, CALL_S = 60, REPLY_BYTES = 64 * 1024 };

static struct {
    const struct tiers_step *steps;
    tiers_block_of *block_of;
    unsigned step;
    unsigned block;
    _Atomic bool done;
    _Atomic bool failed;
} follow;

static void note_failure(const char *what, const char *why)
{
    print_message("%s, block %u: %s\n", what, follow.block, why);
    atomic_store(&follow.failed, true);
    atomic_store(&follow.done, true);
}

/* Messages that name blocks name one. */
static void ask(struct ctx *ctx, const struct tiers_step *s)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct cid cid;
    struct buf cids;
    struct block_ref *ref = follow.block_of(follow.block, &cid);
    struct span key = span_of(bytes, cid_encode(&cid, bytes));
    struct msg_block_put put = {.cid = key};
    struct msg_block_get get = {.cid = key};
    struct msg_block_facts facts = {.cid = key};
    struct msg_heat_explain explain = {.cid = key};
    struct msg_tier_stat stat = {0};
    struct msg msg = {.kind = s->ask, .fields = &get};
    buf_init(&cids, REPLY_BYTES, NULL);
    assert_int_equal(schema_list_add_bytes(&cids, key), ERR_OK);
    struct msg_tier_move move = {.cids = schema_list_of(&cids, 1), .cold = true};
    if (s->ask == MSG_BLOCK_PUT)
        msg = (struct msg){.kind = s->ask, .fields = &put, .tail = ref};
    else if (s->ask == MSG_BLOCK_FACTS)
        msg.fields = &facts;
    else if (s->ask == MSG_HEAT_EXPLAIN)
        msg.fields = &explain;
    else if (s->ask == MSG_TIER_MOVE)
        msg.fields = &move;
    else if (s->ask == MSG_TIER_STAT)
        msg.fields = &stat;
    actor_id to = s->ask == MSG_HEAT_EXPLAIN ? ACTOR_HEAT_TRACKER : ACTOR_TIERED_STORAGE;
    struct call_opts opts = {.timeout_ns = CALL_S * SECOND_NS, .reply_bytes_max = REPLY_BYTES};
    enum err err = ctx_call(ctx, to, &msg, opts, 1);
    if (err != ERR_OK)
        note_failure(s->what, err_text(err));
    buf_release(&cids);
    block_ref_unref(ref);
}

/* Of all blocks of the step, in one turn. */
static void tell_accesses(struct ctx *ctx, const struct tiers_step *s)
{
    for (; follow.block < s->to; follow.block++) {
        uint8_t bytes[CID_BYTES_MAX];
        struct cid cid;
        struct block_ref *ref = follow.block_of(follow.block, &cid);
        struct msg_access access = {.cid = span_of(bytes, cid_encode(&cid, bytes)), .bytes = ref->len, .tier = 1};
        enum err err = ctx_cast(ctx, ACTOR_HEAT_TRACKER, &(struct msg){.kind = MSG_ACCESS, .fields = &access});
        if (err != ERR_OK)
            note_failure(s->what, err_text(err));
        block_ref_unref(ref);
    }
}

static void next_step(void)
{
    follow.block = follow.steps[++follow.step].from;
}

static void take_step(struct ctx *ctx)
{
    const struct tiers_step *s = &follow.steps[follow.step];
    if (s->ask == TIERS_END) {
        atomic_store(&follow.done, true);
    } else if (s->ask == TIERS_WAIT || s->ask == TIERS_DO || s->ask == MSG_ACCESS) {
        if (s->act != NULL)
            s->act();
        if (s->ask == MSG_ACCESS)
            tell_accesses(ctx, s);
        next_step();
        (void)ctx_timer(ctx, ctx_now(ctx) + (s->ask == TIERS_WAIT ? s->from * SECOND_NS : 0), 1);
    } else {
        ask(ctx, s);
    }
}

static void follow_info(struct ctx *ctx, void *state, const struct info *info)
{
    const struct tiers_step *s = &follow.steps[follow.step];
    (void)state;
    if (info->kind == INFO_REPLY) {
        if (info->err != ERR_OK)
            note_failure(s->what, info->text);
        else if (s->is_right != NULL && !s->is_right(info))
            note_failure(s->what, "not so");
        if (++follow.block >= s->to)
            next_step();
    }
    if (!atomic_load(&follow.done))
        take_step(ctx);
}

static enum err follow_init(struct ctx *ctx, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    (void)ctx_timer(ctx, ctx_now(ctx) + MS_NS, 1);
    return ERR_OK;
}

static bool has_followed(void *arg)
{
    (void)arg;
    return atomic_load(&follow.done);
}

void tiers_follow(struct tiers_play *play, struct config *config, const struct tiers_step *steps,
                  tiers_block_of *block_of)
{
    static const struct actor_class driver = {
        .name = "control", .state_bytes = 8, .init = follow_init, .handle_info = follow_info};
    memset(&follow, 0, sizeof(follow));
    follow.steps = steps;
    follow.block_of = block_of;
    follow.block = steps[0].from;
    play->control = &driver;
    play->is_done = has_followed;
    play->timeout_ns = FOLLOW_S * SECOND_NS;
    if (!tiers_play(play, config))
        fail_msg("%s, block %u: no answer in time", steps[follow.step].what, follow.block);
    assert_false(atomic_load(&follow.failed));
}
