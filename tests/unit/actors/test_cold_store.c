/* SPDX-License-Identifier: MIT */
/*
 * cold_store as tiered_storage sees it: a list of steps, a call at a time. On inproc with a folder of the real disk; in sim with a simulated bucket,
 * which is away for an hour, fails and loses answers.
 */
#include "tests/support/storage.h"

#include <dirent.h>
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
#include "storage/cold_pack.h"
#include "storage/disk_posix.h"

enum { BLOCKS = 8, BLOCK_BYTES = 1024 * 1024, LATENCY_MS = 20 };

/* Steps that are no calls. */
enum { DIE = 1, ABSENT, WAIT, BREAK, LOSE, END_OF_STEPS };

static const uint8_t own_mark[PACK_MARK_BYTES] = "the mark of ours";
static const uint8_t other_mark[PACK_MARK_BYTES] = "another's mark..";

struct step {
    const char *what;
    uint16_t ask;
    uint64_t number; /* of a pack, or block, or seconds */
    enum err expect;
    bool flag;         /* adopt; not ours; up */
    unsigned within_s; /* the call's deadline; 0 = a minute */
};

static struct {
    struct runtime *rt;
    struct sim_bucket *bucket;
    struct sim *sim;
    _Atomic bool done;
    _Atomic unsigned failures;
    const struct step *steps;
    size_t step;
    uint64_t pack; /* begun last */
    struct cold_place places[BLOCKS];
} play;

static void note_failure(const char *what, const char *why)
{
    print_message("%s: %s\n", what, why);
    atomic_fetch_add(&play.failures, 1);
    atomic_store(&play.done, true);
}

/* ---- blocks ---- */

static struct block_ref *block_of(uint64_t n, struct block_key *ret_key)
{
    struct prng prng;
    struct multihash hash;
    struct block_ref *ref = block_ref_new(BLOCK_BYTES, NULL);
    prng_init(&prng, n);
    prng_fill(&prng, ref->data, ref->len);
    if (multihash_sum(MULTIHASH_SHA2_256, 0, block_ref_span(ref), &hash) != ERR_OK ||
        block_key_of(&hash, ret_key) != ERR_OK)
        abort();
    return ref;
}

/* ---- the calls ---- */

static void call(struct ctx *ctx, const struct step *s, const void *fields, struct block_ref *tail)
{
    struct call_opts opts = {.timeout_ns = (s->within_s == 0 ? 60 : s->within_s) * SECOND_NS,
                             .reply_bytes_max = 64 * 1024};
    enum err err =
        ctx_call(ctx, ACTOR_COLD_STORE, &(struct msg){.kind = s->ask, .fields = fields, .tail = tail}, opts, play.step);
    if (err != ERR_OK)
        note_failure(s->what, err_text(err));
}

static void call_block(struct ctx *ctx, const struct step *s)
{
    struct block_key key;
    struct block_ref *ref = block_of(s->number, &key);
    struct cold_place *place = &play.places[s->number];
    if (s->ask == MSG_COLD_ADD) {
        place->pack = play.pack;
        struct msg_cold_add add = {.pack = play.pack, .codec = 0x55, .multihash = block_key_span(&key)};
        call(ctx, s, &add, ref);
    } else {
        struct msg_cold_read read = {.pack = place->pack,
                                     .offset = place->offset,
                                     .stored = place->stored,
                                     .size = BLOCK_BYTES,
                                     .codec = 0x55,
                                     .multihash = block_key_span(&key)};
        call(ctx, s, &read, NULL);
    }
    block_ref_unref(ref);
}

/* All messages about a pack have its id first: one of them is built for all. */
static void call_pack(struct ctx *ctx, const struct step *s)
{
    struct msg_cold_index index = {.pack = s->number != 0 ? s->number : play.pack};
    struct msg_cold_claim claim = {.mark = span_of(s->number == 0 ? own_mark : other_mark, PACK_MARK_BYTES),
                                   .adopt = s->flag};
    struct msg_cold_packs packs = {0};
    struct msg_cold_stat none = {0};
    if (s->ask == MSG_COLD_BEGIN)
        play.pack = s->number;
    if (s->ask == MSG_COLD_CLAIM)
        call(ctx, s, &claim, NULL);
    else if (s->ask == MSG_COLD_PACKS)
        call(ctx, s, &packs, NULL);
    else if (s->ask == MSG_COLD_STAT || s->ask == MSG_COLD_SWEEP || s->ask == MSG_PROBE)
        call(ctx, s, &none, NULL);
    else
        call(ctx, s, &index, NULL);
}

static bool is_block(const struct info *info, uint64_t n)
{
    struct block_key key;
    struct block_ref *ref = block_of(n, &key);
    bool same = info->msg->tail != NULL && span_equal(block_ref_span(info->msg->tail), block_ref_span(ref));
    block_ref_unref(ref);
    return same;
}

static bool is_right(const struct step *s, const struct info *info)
{
    const void *fields = info->msg->fields;
    const struct msg_cold_added *added = fields;
    const struct msg_cold_state *state = fields;
    switch (info->msg->kind) {
    case MSG_COLD_ADDED:
        play.places[s->number].offset = (uint32_t)added->offset;
        play.places[s->number].stored = (uint32_t)added->stored;
        return s->ask == MSG_COLD_ADD;
    case MSG_COLD_BLOCK:
        return is_block(info, s->number);
    case MSG_COLD_ENDED:
        return ((const struct msg_cold_ended *)fields)->bytes > BLOCK_BYTES;
    case MSG_COLD_LISTING:
        return ((const struct msg_cold_listing *)fields)->records.count == 6;
    case MSG_COLD_PACK_LIST:
        return ((const struct msg_cold_pack_list *)fields)->packs.count == s->number;
    case MSG_COLD_STATE:
        return state->up == s->flag && (state->why.len == 0) == s->flag &&
               (play.bucket == NULL ? state->requests.count == 0 : state->requests.count > 0);
    case MSG_COLD_CLAIMED:
        return ((const struct msg_cold_claimed *)fields)->place.len > 0;
    default:
        return info->msg->kind == MSG_OK;
    }
}

/* ---- the driver ---- */

static void take_step(struct ctx *ctx)
{
    const struct step *s = &play.steps[play.step];
    switch (s->ask) {
    case DIE:
        play.step++;
        ctx_exit(ctx, EXIT_FAILED, "the test wants it");
        return;
    case ABSENT:
        sim_bucket_absent_until(play.bucket, ctx_now(ctx) + s->number * SECOND_NS);
        break;
    case BREAK:
        sim_bucket_fail(play.bucket, SIM_BUCKET_STATUS, 503, 0, 0, s->number);
        break;
    case LOSE:
        sim_bucket_fail(play.bucket, SIM_BUCKET_LOSE, 0, 0, 0, s->number);
        break;
    case WAIT:
        play.step++;
        (void)ctx_timer(ctx, ctx_now(ctx) + s->number * SECOND_NS, 1);
        return;
    case END_OF_STEPS:
        atomic_store(&play.done, true);
        return;
    case MSG_COLD_ADD:
    case MSG_COLD_READ:
        call_block(ctx, s);
        return;
    default:
        call_pack(ctx, s);
        return;
    }
    play.step++;
    (void)ctx_timer(ctx, ctx_now(ctx), 1);
}

static void driver_info(struct ctx *ctx, void *state, const struct info *info)
{
    (void)state;
    if (info->kind == INFO_REPLY) {
        const struct step *s = &play.steps[play.step++];
        if (info->err != s->expect && !(s->expect == ERR_UNAVAILABLE && info->err == ERR_TIMEOUT))
            note_failure(s->what, info->text[0] == '\0' ? err_text(info->err) : info->text);
        else if (info->err == ERR_OK && !is_right(s, info))
            note_failure(s->what, "a wrong answer");
        else if (info->err == ERR_UNAVAILABLE && info->text[0] == '\0')
            note_failure(s->what, "no word of why");
    }
    if (!atomic_load(&play.done))
        take_step(ctx);
}

static enum err driver_init(struct ctx *ctx, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    (void)ctx_timer(ctx, ctx_now(ctx) + MS_NS, 1);
    return ERR_OK;
}

static const struct actor_class driver = {
    .name = "tiered_storage", .state_bytes = 8, .init = driver_init, .handle_info = driver_info};

/* ---- the stage ---- */

static const struct actor_class *classes[ACTOR_COUNT] = {
    [ACTOR_TIERED_STORAGE] = &driver, [ACTOR_COLD_STORE] = &cold_store_class};
static const struct child_spec children[] = {{.id = "cold_store", .start = ACTOR_COLD_STORE},
                                             {.id = "tiered_storage", .start = ACTOR_TIERED_STORAGE}};
static const struct supervisor_spec tree = {.name = "root",
                                            .strategy = STRATEGY_REST_FOR_ONE,
                                            .intensity = 1,
                                            .period_ms = 10000,
                                            .children = children,
                                            .child_count = ARRAY_LEN(children)};
static const struct edge_spec edges[] = {{ACTOR_TIERED_STORAGE, ACTOR_COLD_STORE}};
static const struct lane_spec lanes[] = {{"cold", 2, 64}};

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
    assert_int_equal(config_set(config, key, span_text(value), why), ERR_OK);
}

static void play_on(struct config *config, const struct disk_port *disk, const struct step *steps)
{
    struct budget budget;
    char why[512] = "";
    assert_int_equal(config_check(config, why), ERR_OK);
    assert_int_equal(budget_init(&budget, BUDGET_DEFAULT_MIB * MIB), ERR_OK);
    budget_share_cold(&budget);
    struct runtime_config rc = {.name = "cold",
                                .backend = play.sim != NULL ? &backend_sim : NULL,
                                .backend_arg = play.sim,
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
                                .http = play.bucket == NULL ? NULL : sim_bucket_port(play.bucket),
                                .log = print_log,
                                .log_level = LOG_WARN};
    play.steps = steps;
    if (runtime_start(&rc, &play.rt, why, sizeof(why)) != ERR_OK)
        fail_msg("start: %s", why);
    bool done = runtime_await(play.rt, is_done, NULL, 3 * 3600 * SECOND_NS);
    (void)runtime_stop(&play.rt, 10 * SECOND_NS);
    assert_true(done);
    assert_int_equal(atomic_load(&play.failures), 0);
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        assert_int_equal(account_used(&budget.accounts[i]), 0);
    assert_true(atomic_load(&budget.accounts[ACCOUNT_COLD].peak_bytes) > 2 * MIB);
    config_free(config);
}

#define WRITE_SIX                                                                                                      \
    {"add", MSG_COLD_ADD, 0, ERR_OK, 0, 0}, {"add", MSG_COLD_ADD, 1, ERR_OK, 0, 0},                                    \
        {"add", MSG_COLD_ADD, 2, ERR_OK, 0, 0}, {"add", MSG_COLD_ADD, 3, ERR_OK, 0, 0},                                \
        {"add", MSG_COLD_ADD, 4, ERR_OK, 0, 0},                                                                        \
    {                                                                                                                  \
        "add", MSG_COLD_ADD, 5, ERR_OK, 0, 0                                                                           \
    }

/* A medium that is new, a pack of 7 MiB at most, and what becomes of the writer's packs when it dies. */
#define COMMON_STEPS                                                                                                   \
    {"a probe", MSG_PROBE, 0, ERR_OK, 0, 0},                                                                           \
        {"nothing goes before the claim", MSG_COLD_PACKS, 0, ERR_UNAVAILABLE, 0, 0},                                   \
        {"it is not up before", MSG_COLD_STAT, 0, ERR_OK, false, 0},                                                   \
        {"there is no mark to adopt", MSG_COLD_CLAIM, 0, ERR_NOT_FOUND, true, 0},                                      \
        {"claim", MSG_COLD_CLAIM, 0, ERR_OK, false, 0}, {"claim again", MSG_COLD_CLAIM, 0, ERR_OK, true, 0},           \
        {"it is up", MSG_COLD_STAT, 0, ERR_OK, true, 0}, {"sweep", MSG_COLD_SWEEP, 0, ERR_OK, 0, 0},                   \
        {"begin", MSG_COLD_BEGIN, 1, ERR_OK, 0, 0}, WRITE_SIX, {"it is full", MSG_COLD_ADD, 6, ERR_BUSY, 0, 0},        \
        {"end", MSG_COLD_END, 0, ERR_OK, 0, 0}, {"end again", MSG_COLD_END, 0, ERR_CLOSED, 0, 0},                      \
        {"abandon what has ended", MSG_COLD_ABANDON, 0, ERR_OK, 0, 0}, {"read", MSG_COLD_READ, 3, ERR_OK, 0, 0},       \
        {"index", MSG_COLD_INDEX, 0, ERR_OK, 0, 0}, {"check", MSG_COLD_CHECK, 0, ERR_OK, 0, 0},                        \
        {"a pack that is not there", MSG_COLD_CHECK, 77, ERR_NOT_FOUND, 0, 0},                                         \
        {"begin what is given up", MSG_COLD_BEGIN, 2, ERR_OK, 0, 0}, {"begin", MSG_COLD_BEGIN, 3, ERR_OK, 0, 0},       \
        WRITE_SIX, {"the writer dies", DIE, 0, ERR_OK, 0, 0},                                                          \
        {"end of the dead's", MSG_COLD_END, 3, ERR_CLOSED, 0, 0}, {"packs: one", MSG_COLD_PACKS, 1, ERR_OK, 0, 0},     \
        {"begin", MSG_COLD_BEGIN, 4, ERR_OK, 0, 0}, WRITE_SIX, {"end", MSG_COLD_END, 0, ERR_OK, 0, 0},                 \
        {"packs: two", MSG_COLD_PACKS, 2, ERR_OK, 0, 0}, {"remove", MSG_COLD_REMOVE, 1, ERR_OK, 0, 0},                 \
        {"remove again", MSG_COLD_REMOVE, 1, ERR_OK, 0, 0}, {"packs: one", MSG_COLD_PACKS, 1, ERR_OK, 0, 0},           \
        {"another's mark", MSG_COLD_CLAIM, 1, ERR_DENIED, true, 0},                                                    \
        {"another's mark", MSG_COLD_CLAIM, 1, ERR_DENIED, false, 0}, {"ours", MSG_COLD_CLAIM, 0, ERR_OK, true, 0},     \
        {"read", MSG_COLD_READ, 5, ERR_OK, 0, 0}, {"a begun one at the end", MSG_COLD_BEGIN, 5, ERR_OK, 0, 0},         \
    {                                                                                                                  \
        "add", MSG_COLD_ADD, 0, ERR_OK, 0, 0                                                                           \
    }

static const struct step folder_steps[] = {COMMON_STEPS, {"the end", END_OF_STEPS, 0, ERR_OK, 0, 0}};

static unsigned parts_in(const char *folder)
{
    unsigned count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strstr(entry->d_name, ".part") != NULL;
    (void)closedir(dir);
    return count;
}

static void inproc_in_a_folder(void **state)
{
    (void)state;
    char path[] = "/tmp/hearth-cold-XXXXXX";
    char command[64];
    struct config *config = NULL;
    assert_non_null(mkdtemp(path));
    assert_int_equal(config_new("/nowhere", &config), ERR_OK);
    set(config, "Tiers.Cold.Kind", "directory");
    set(config, "Tiers.Cold.Path", path);
    set(config, "Tiers.Cold.PackBytes", "6500000");
    memset(&play, 0, sizeof(play));
    play_on(config, disk_posix(), folder_steps);
    assert_int_equal(parts_in(path), 0); /* the last pack ended with the life */
    (void)snprintf(command, sizeof(command), "rm -rf -- '%s'", path);
    assert_int_equal(system(command), 0);
}

static const struct step bucket_steps[] = {
    COMMON_STEPS,
    {"an answer is lost", LOSE, 1, ERR_OK, 0, 0},
    {"end, which is tried again", MSG_COLD_END, 0, ERR_OK, 0, 0},
    {"two failures", BREAK, 2, ERR_OK, 0, 0},
    {"read, which is tried again", MSG_COLD_READ, 0, ERR_OK, 0, 0},
    {"an hour without the bucket", ABSENT, 3600, ERR_OK, 0, 0},
    {"read with little time", MSG_COLD_READ, 0, ERR_UNAVAILABLE, 0, 1},
    {"read", MSG_COLD_READ, 0, ERR_UNAVAILABLE, 0, 0},
    {"read, refused at once", MSG_COLD_READ, 0, ERR_UNAVAILABLE, 0, 0},
    {"it is down", MSG_COLD_STAT, 0, ERR_OK, false, 0},
    {"ten minutes", WAIT, 600, ERR_OK, 0, 0},
    {"begin: nothing is sent yet", MSG_COLD_BEGIN, 6, ERR_OK, 0, 0},
    {"add", MSG_COLD_ADD, 7, ERR_OK, 0, 0},
    {"end", MSG_COLD_END, 0, ERR_UNAVAILABLE, 0, 0},
    {"the pack is given up", MSG_COLD_ADD, 7, ERR_CLOSED, 0, 0},
    {"fifty-two minutes", WAIT, 3120, ERR_OK, 0, 0},
    {"read: it is back", MSG_COLD_READ, 0, ERR_OK, 0, 0},
    {"it is up", MSG_COLD_STAT, 0, ERR_OK, true, 0},
    {"a pack that ends with the life", MSG_COLD_BEGIN, 7, ERR_OK, 0, 0},
    WRITE_SIX,
    {"the writer dies", DIE, 0, ERR_OK, 0, 0},
    {"what it wrote is gone", MSG_COLD_PACKS, 2, ERR_OK, 0, 0},
    {"the end", END_OF_STEPS, 0, ERR_OK, 0, 0},
};

static uint64_t play_sim(uint64_t seed)
{
    struct config *config = NULL;
    memset(&play, 0, sizeof(play));
    play.sim = sim_new(seed);
    play.bucket = sim_bucket_new("blocks", LATENCY_MS * MS_NS);
    struct sim_disk *disk = sim_disk_new(seed, MIB);
    assert_non_null(play.sim);
    assert_non_null(play.bucket);
    assert_non_null(disk);
    sim_bucket_follow(play.bucket, play.sim);
    assert_int_equal(config_new("/node", &config), ERR_OK);
    set(config, "Tiers.Cold.Kind", "s3");
    set(config, "Tiers.Cold.Endpoint", "http://s3.example.com");
    set(config, "Tiers.Cold.Bucket", "blocks");
    set(config, "Tiers.Cold.AccessKey", "AKIDEXAMPLE");
    set(config, "Tiers.Cold.SecretKey", "a secret");
    set(config, "Tiers.Cold.PackBytes", "6500000");
    play_on(config, sim_disk_port(disk), bucket_steps);
    assert_int_equal(sim_bucket_uploads(play.bucket), 0);
    assert_int_equal(sim_bucket_objects(play.bucket), 3); /* the mark, two packs */
    uint64_t trace = sim_trace(play.sim);
    sim_bucket_free(play.bucket);
    sim_disk_free(disk);
    sim_free(play.sim);
    return trace;
}

static void sim_with_a_bucket_goes_the_same_way_twice(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        assert_int_equal(play_sim(seed), play_sim(seed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inproc_in_a_folder),
        cmocka_unit_test(sim_with_a_bucket_goes_the_same_way_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
