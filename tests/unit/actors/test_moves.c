/* SPDX-License-Identifier: MIT */
/*
 * Three tiers in motion: more is stored than the disk takes, so blocks leave for the cold tier, no put is refused, none is collected though
 * nothing is pinned and the watermark is passed, all of them are read again, and some come back. The real tiered_storage, heat_tracker and cold_store; the test sits where control and state sit. On inproc with a folder of
 * the real disk; in sim with a simulated bucket, twice with one trace.
 */
#include "tests/support/storage.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/tree.h"
#include "base/limits.h"
#include "base/random.h"
#include "mailbox/backend.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "sim/bucket.h"
#include "sim/disk.h"
#include "sim/sim.h"
#include "storage/disk_posix.h"
#include "wire/cid.h"

enum {
    BLOCKS = 40,
    BLOCK_BYTES = 256 * 1024,
    STORAGE_MAX = 6 * 1024 * 1024,
    RETRY_MS = 200,
    SETTLED_MS = 1500,
    ROUNDS_MAX = 50
};

static struct {
    struct runtime *rt;
    _Atomic bool done;
    _Atomic unsigned failures;
    _Atomic uint64_t out; /* bytes that state was told of */
    _Atomic uint64_t in;
    uint64_t run[2]; /* the last one, out and in, and its bytes */
    uint64_t run_bytes[2];
    unsigned next;
    unsigned round; /* 0: puts */
    unsigned busy;  /* puts that were to be tried again */
} play;

static void note_failure(const char *what, const char *why)
{
    print_message("%s %u, round %u: %s\n", what, play.next, play.round, why);
    atomic_fetch_add(&play.failures, 1);
    atomic_store(&play.done, true);
}

static struct block_ref *block_of(unsigned n, struct cid *ret_cid)
{
    struct prng prng;
    struct multihash hash;
    struct block_ref *ref = block_ref_new(BLOCK_BYTES, NULL);
    prng_init(&prng, n);
    prng_fill(&prng, ref->data, ref->len);
    if (multihash_sum(MULTIHASH_SHA2_256, 0, block_ref_span(ref), &hash) != ERR_OK)
        abort();
    *ret_cid = cid_v1(CODEC_RAW, &hash);
    return ref;
}

static void ask(struct ctx *ctx)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct cid cid;
    struct block_ref *ref = block_of(play.next, &cid);
    struct span key = span_of(bytes, cid_encode(&cid, bytes));
    struct msg_block_put put = {.cid = key};
    struct msg_block_get get = {.cid = key};
    struct msg msg = {.kind = MSG_BLOCK_PUT, .fields = &put, .tail = ref};
    if (play.round > 0)
        msg = (struct msg){.kind = MSG_BLOCK_GET, .fields = &get};
    struct call_opts opts = {.timeout_ns = 60 * SECOND_NS, .reply_bytes_max = 64 * 1024};
    enum err err = ctx_call(ctx, ACTOR_TIERED_STORAGE, &msg, opts, 1);
    if (err != ERR_OK)
        note_failure("call", err_text(err));
    block_ref_unref(ref);
}

/* Rounds of reading, until both ways were gone. */
static void go_on(struct ctx *ctx)
{
    if (++play.next == BLOCKS) {
        play.next = 0;
        play.round++;
        if (play.round == 1) { /* what has just gone comes back later */
            (void)ctx_timer(ctx, ctx_now(ctx) + SETTLED_MS * MS_NS, 1);
            return;
        }
    }
    if (play.round == ROUNDS_MAX)
        note_failure("moves", "nothing came back");
    else if (play.round > 1 && play.next == 0 && atomic_load(&play.out) > 0 && atomic_load(&play.in) > 0)
        atomic_store(&play.done, true);
    else
        ask(ctx);
}

static void check_bytes(const struct info *info)
{
    struct cid cid;
    struct block_ref *ref = block_of(play.next, &cid);
    if (info->msg->tail == NULL || !span_equal(block_ref_span(info->msg->tail), block_ref_span(ref)))
        note_failure("get", "other bytes came back");
    block_ref_unref(ref);
}

static void driver_info(struct ctx *ctx, void *state, const struct info *info)
{
    (void)state;
    if (info->kind == INFO_TIMER) {
        ask(ctx);
    } else if (info->kind == INFO_REPLY && info->err == ERR_BUSY) {
        play.busy += play.round == 0;
        (void)ctx_timer(ctx, ctx_now(ctx) + RETRY_MS * MS_NS, 1);
    } else if (info->kind == INFO_REPLY && info->err != ERR_OK) {
        note_failure("reply", info->text);
    } else if (info->kind == INFO_REPLY) {
        if (play.round > 0)
            check_bytes(info);
        go_on(ctx);
    }
}

static enum err driver_init(struct ctx *ctx, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    (void)ctx_timer(ctx, ctx_now(ctx) + 10 * MS_NS, 1);
    return ERR_OK;
}

static void state_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    (void)ctx;
    (void)state;
    if (msg->kind != MSG_STATE_MOVE)
        return;
    const struct msg_state_move *m = msg->fields;
    bool out = span_equal_text(m->source, "disk") && span_equal_text(m->target, "cold");
    bool in = span_equal_text(m->source, "cold") && span_equal_text(m->target, "disk");
    if (out == in)
        note_failure("state_move", "from or to nowhere");
    /* A run of moves is told again as it grows. */
    uint64_t more = m->bytes - (play.run[in] == m->id ? play.run_bytes[in] : 0);
    play.run[in] = m->id;
    play.run_bytes[in] = m->bytes;
    atomic_fetch_add(in ? &play.in : &play.out, more);
}

static const struct actor_class driver = {
    .name = "control", .state_bytes = 8, .init = driver_init, .handle_info = driver_info};
static const struct actor_class listener = {.name = "state", .state_bytes = 8, .handle_cast = state_cast};

/* ---- the stage ---- */

static const struct actor_class *const classes[ACTOR_COUNT] = {[ACTOR_STATE] = &listener,
                                                               [ACTOR_COLD_STORE] = &cold_store_class,
                                                               [ACTOR_TIERED_STORAGE] = &tiered_storage_class,
                                                               [ACTOR_HEAT_TRACKER] = &heat_tracker_class,
                                                               [ACTOR_CONTROL] = &driver};
static const struct child_spec children[] = {{.id = "state", .start = ACTOR_STATE},
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
                                         {ACTOR_HEAT_TRACKER, ACTOR_TIERED_STORAGE},
                                         {ACTOR_TIERED_STORAGE, ACTOR_COLD_STORE}};
static const struct lane_spec lanes[] = {{"catalogue", 1, 64}, {"disk", 2, 256}, {"cold", 2, 64}, {"heat", 1, 4}};

static bool is_done(void *arg)
{
    (void)arg;
    return atomic_load(&play.done);
}

static void print_log(void *arg, enum log_level level, const char *actor, const char *text)
{
    (void)arg;
    print_message("%d %s: %s\n", (int)level, actor, text);
}

static void set(struct config *config, const char *key, const char *value)
{
    char why[CONFIG_WHY_BYTES];
    if (config_set(config, key, span_text(value), why) != ERR_OK)
        fail_msg("%s", why);
}

static struct config *config_for(const char *path, const char *kind)
{
    struct config *config = NULL;
    char bytes[16];
    assert_int_equal(config_new(path, &config), ERR_OK);
    (void)snprintf(bytes, sizeof(bytes), "%d", (int)STORAGE_MAX);
    set(config, "Datastore.StorageMax", bytes);
    set(config, "Tiers.Cold.Kind", kind);
    set(config, "Tiers.SettleTime", "1s");
    set(config, "Tiers.Cold.PackBytes", "1MiB");
    return config;
}

/* Takes the configuration. */
static void play_on(struct config *config, const struct disk_port *disk, struct sim *sim, struct sim_bucket *bucket)
{
    struct budget budget;
    char why[512] = "";
    assert_int_equal(budget_init(&budget, BUDGET_DEFAULT_MIB * MIB), ERR_OK);
    budget_share_cold(&budget);
    struct runtime_config rc = {.name = "moves",
                                .backend = sim != NULL ? &backend_sim : NULL,
                                .backend_arg = sim,
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
                                .disk = disk,
                                .http = bucket == NULL ? NULL : sim_bucket_port(bucket),
                                .log = print_log,
                                .log_level = LOG_WARN};
    memset(&play, 0, sizeof(play));
    if (runtime_start(&rc, &play.rt, why, sizeof(why)) != ERR_OK)
        fail_msg("start: %s", why);
    bool done = runtime_await(play.rt, is_done, NULL, 50 * SECOND_NS);
    (void)runtime_stop(&play.rt, 10 * SECOND_NS);
    if (!done)
        print_message("at block %u of round %u, %u were busy, %llu bytes out, %llu in\n", play.next, play.round,
                      play.busy, (unsigned long long)atomic_load(&play.out), (unsigned long long)atomic_load(&play.in));
    assert_true(done);
    assert_int_equal(atomic_load(&play.failures), 0);
    assert_true(play.busy > 0); /* the disk was full at times, and room was made */
    assert_true(atomic_load(&play.out) >= (uint64_t)BLOCKS * BLOCK_BYTES - STORAGE_MAX);
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        assert_int_equal(account_used(&budget.accounts[i]), 0);
    config_free(config);
}

static void inproc_into_a_folder(void **state)
{
    (void)state;
    char path[] = "/tmp/hearth-moves-XXXXXX";
    char name[128];
    assert_non_null(mkdtemp(path));
    (void)snprintf(name, sizeof(name), "mkdir %s/repo %s/cold", path, path);
    assert_int_equal(system(name), 0);
    (void)snprintf(name, sizeof(name), "%s/repo", path);
    struct config *config = config_for(name, "directory");
    (void)snprintf(name, sizeof(name), "%s/cold", path);
    set(config, "Tiers.Cold.Path", name);
    play_on(config, disk_posix(), NULL, NULL);
    (void)snprintf(name, sizeof(name), "rm -rf -- '%s'", path);
    assert_int_equal(system(name), 0);
}

static uint64_t play_sim(uint64_t seed)
{
    struct sim *sim = sim_new(seed);
    struct sim_bucket *bucket = sim_bucket_new("blocks", 20 * MS_NS);
    struct sim_disk *disk = sim_disk_new(seed, 64 * MIB);
    struct config *config = config_for("/node", "s3");
    assert_true(sim != NULL && bucket != NULL && disk != NULL);
    sim_bucket_follow(bucket, sim);
    set(config, "Tiers.Cold.Endpoint", "http://s3.example.com");
    set(config, "Tiers.Cold.Bucket", "blocks");
    set(config, "Tiers.Cold.AccessKey", "AKIDEXAMPLE");
    set(config, "Tiers.Cold.SecretKey", "a secret");
    play_on(config, sim_disk_port(disk), sim, bucket);
    uint64_t trace = sim_trace(sim);
    sim_bucket_free(bucket);
    sim_disk_free(disk);
    sim_free(sim);
    return trace;
}

static void sim_into_a_bucket_goes_the_same_way_twice(void **state)
{
    (void)state;
    uint64_t once = play_sim(7);
    uint64_t twice = play_sim(7);
    assert_true(once == twice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inproc_into_a_folder),
        cmocka_unit_test(sim_into_a_bucket_goes_the_same_way_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
