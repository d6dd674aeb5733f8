/* SPDX-License-Identifier: MIT */
/*
 * tiered_storage and heat_tracker as their callers see them, on both backends: inproc on the real disk, sim on a simulated one, twice
 * with one trace. The test's driver sits where control sits and plays one list of steps, a call at a time; then all puts at once.
 */
#include "tests/support/storage.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "actors/tree.h"
#include "base/limits.h"
#include "base/random.h"
#include "mailbox/backend.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "sim/disk.h"
#include "sim/sim.h"
#include "storage/disk_posix.h"
#include "wire/cid.h"

enum { LEASE_END = 0xffff, LEASE_TAG = 900 }; /* no message: the call of the lease is cancelled */
enum { MANY = 300, MANY_BYTES = 20000, STEP_TIMEOUT_S = 20 };

/* ---- what is stored ---- */

static struct block_ref *block_of(unsigned n, struct cid *ret_cid)
{
    struct prng prng;
    struct multihash hash;
    struct block_ref *ref = block_ref_new(n == 0 ? 0 : MANY_BYTES + n, NULL);
    prng_init(&prng, n);
    prng_fill(&prng, ref->data, ref->len);
    if (multihash_sum(MULTIHASH_SHA2_256, 0, block_ref_span(ref), &hash) != ERR_OK)
        abort();
    *ret_cid = cid_v1(n % 2 == 0 ? CODEC_RAW : CODEC_DAG_PB, &hash);
    return ref;
}

/* ---- the driver ---- */

struct step {
    const char *what;
    uint16_t ask;
    unsigned block;
    bool flag; /* force, recursive, keep, a dry run */
    enum err expect;
    uint16_t answer;
};

static const struct step steps[] = {
    {"a probe", MSG_PROBE, 0, false, ERR_OK, MSG_OK},
    {"a real write", MSG_STORE_PROBE, 0, false, ERR_OK, MSG_OK},
    {"get of an absent block", MSG_BLOCK_GET, 1, false, ERR_NOT_FOUND, 0},
    {"put", MSG_BLOCK_PUT, 1, false, ERR_OK, MSG_BLOCK_PUT_OK},
    {"put again", MSG_BLOCK_PUT, 1, true, ERR_OK, MSG_BLOCK_PUT_OK},
    {"get", MSG_BLOCK_GET, 1, false, ERR_OK, MSG_BLOCK},
    {"the empty block", MSG_BLOCK_PUT, 0, false, ERR_OK, MSG_BLOCK_PUT_OK},
    {"get of the empty block", MSG_BLOCK_GET, 0, false, ERR_OK, MSG_BLOCK},
    {"stat", MSG_BLOCK_STAT, 1, false, ERR_OK, MSG_BLOCK_STAT_OK},
    {"stat of an absent block", MSG_BLOCK_STAT, 2, false, ERR_NOT_FOUND, 0},
    {"pin", MSG_PIN_ADD, 1, true, ERR_OK, MSG_OK},
    {"pin of an absent block", MSG_PIN_ADD, 2, true, ERR_NOT_FOUND, 0},
    {"how it is pinned", MSG_PIN_FIND, 1, true, ERR_OK, MSG_PIN_FOUND},
    {"how an absent block is pinned", MSG_PIN_FIND, 2, false, ERR_OK, MSG_PIN_FOUND},
    {"list of pins", MSG_PIN_LS, 1, false, ERR_OK, MSG_PIN_PAGE},
    {"removal of a pinned block", MSG_BLOCK_RM, 1, true, ERR_DENIED, 0},
    {"unpin", MSG_PIN_RM, 1, true, ERR_OK, MSG_OK},
    {"unpin again", MSG_PIN_RM, 1, true, ERR_NOT_FOUND, 0},
    {"removal", MSG_BLOCK_RM, 1, false, ERR_OK, MSG_OK},
    {"removal again", MSG_BLOCK_RM, 1, false, ERR_NOT_FOUND, 0},
    {"removal by force", MSG_BLOCK_RM, 1, true, ERR_OK, MSG_OK},
    {"get after removal", MSG_BLOCK_GET, 1, false, ERR_NOT_FOUND, 0},
    {"put of what was there before the lease", MSG_BLOCK_PUT, 4, false, ERR_OK, MSG_BLOCK_PUT_OK},
    {"a lease", MSG_LEASE, 0, false, ERR_OK, 0},
    {"put under it", MSG_BLOCK_PUT, 3, false, ERR_OK, MSG_BLOCK_PUT_OK},
    {"get that keeps", MSG_BLOCK_GET, 4, true, ERR_OK, MSG_BLOCK},
    {"a dry run: the empty block would go", MSG_REPO_GC, 0, true, ERR_OK, MSG_REPO_GC_PAGE},
    {"collection: it goes", MSG_REPO_GC, 0, false, ERR_OK, MSG_REPO_GC_PAGE},
    {"get of what the lease keeps", MSG_BLOCK_GET, 3, false, ERR_OK, MSG_BLOCK},
    {"removal of what was kept", MSG_BLOCK_RM, 4, false, ERR_OK, MSG_OK},
    {"the end of the lease", LEASE_END, 0, false, ERR_OK, 0},
    {"collection: what it kept goes", MSG_REPO_GC, 3, false, ERR_OK, MSG_REPO_GC_PAGE},
    {"get after the collection", MSG_BLOCK_GET, 3, false, ERR_NOT_FOUND, 0},
    {"the empty block again", MSG_BLOCK_PUT, 0, false, ERR_OK, MSG_BLOCK_PUT_OK},
    {"list of blocks", MSG_BLOCK_LS, 0, false, ERR_OK, MSG_BLOCK_PAGE},
    {"figures", MSG_REPO_STAT, 0, false, ERR_OK, MSG_REPO_STAT_OK},
    {"verification", MSG_REPO_VERIFY, 0, false, ERR_OK, MSG_REPO_VERIFIED},
    {"heat", MSG_HEAT_TOP, 0, false, ERR_OK, MSG_HEAT_LIST},
};

static struct {
    struct runtime *rt;
    _Atomic bool done;
    _Atomic unsigned failures;
    _Atomic unsigned put;
    _Atomic unsigned got;
    _Atomic unsigned announced; /* CIDs told to bitswap */
    size_t step;
} play;

static void note_failure(const char *what, const char *why)
{
    print_message("%s: %s\n", what, why);
    atomic_fetch_add(&play.failures, 1);
    atomic_store(&play.done, true);
}

/* Every message about a block has its CID first: one builder for all. */
static void send(struct ctx *ctx, const struct step *s, uint64_t tag)
{
    struct cid cid;
    uint8_t bytes[CID_BYTES_MAX];
    struct block_ref *ref = block_of(s->block, &cid);
    struct span name = span_of(bytes, cid_encode(&cid, bytes));
    struct msg_block_put put = {.cid = name};
    struct msg_block_get get = {.cid = name, .keep = s->flag};
    struct msg_block_stat stat = {.cid = name};
    struct msg_block_rm rm = {.cid = name, .force = s->flag};
    struct msg_pin_add pin = {.cid = name, .recursive = s->flag, .name = span_text("a name")};
    struct msg_pin_find find = {.cid = name};
    struct msg_pin_rm unpin = {.cid = name, .recursive = s->flag};
    struct msg_repo_gc gc = {.dry_run = s->flag};
    union {
        struct msg_probe probe;
        struct msg_store_probe store;
        struct msg_repo_stat repo;
        struct msg_pin_ls ls;
        struct msg_block_ls blocks;
        struct msg_repo_verify verify;
        struct msg_heat_top top;
        struct msg_lease lease;
    } none = {0};
    const void *fields = s->ask == MSG_BLOCK_PUT    ? (const void *)&put
                         : s->ask == MSG_BLOCK_GET  ? (const void *)&get
                         : s->ask == MSG_BLOCK_STAT ? (const void *)&stat
                         : s->ask == MSG_BLOCK_RM   ? (const void *)&rm
                         : s->ask == MSG_PIN_ADD    ? (const void *)&pin
                         : s->ask == MSG_PIN_RM     ? (const void *)&unpin
                         : s->ask == MSG_PIN_FIND   ? (const void *)&find
                         : s->ask == MSG_REPO_GC    ? (const void *)&gc
                                                    : (const void *)&none;
    struct msg msg = {.kind = s->ask, .fields = fields, .tail = s->ask == MSG_BLOCK_PUT ? ref : NULL};
    actor_id to = s->ask == MSG_HEAT_TOP ? ACTOR_HEAT_TRACKER : ACTOR_TIERED_STORAGE;
    enum err err = ctx_call(ctx, to, &msg, (struct call_opts){.timeout_ns = STEP_TIMEOUT_S * SECOND_NS}, tag);
    if (err != ERR_OK)
        note_failure(s->what, err_text(err));
    block_ref_unref(ref);
}

static bool same_block(const struct info *info, unsigned n)
{
    struct cid cid;
    struct block_ref *ref = block_of(n, &cid);
    bool same = span_equal(block_ref_span(info->msg->tail), block_ref_span(ref));
    block_ref_unref(ref);
    return same;
}

/* What an answer must say beyond its kind. */
static bool is_right(const struct step *s, const struct info *info)
{
    const void *fields = info->msg->fields;
    switch (info->msg->kind) {
    case MSG_BLOCK_PUT_OK:
        return ((const struct msg_block_put_ok *)fields)->existed == s->flag;
    case MSG_BLOCK:
        return same_block(info, s->block);
    case MSG_BLOCK_STAT_OK:
        return ((const struct msg_block_stat_ok *)fields)->size == MANY_BYTES + s->block;
    case MSG_PIN_PAGE:
        return ((const struct msg_pin_page *)fields)->pins.count == 1 && !((const struct msg_pin_page *)fields)->more;
    case MSG_BLOCK_PAGE:
        return ((const struct msg_block_page *)fields)->multihashes.count == 1 &&
               !((const struct msg_block_page *)fields)->more;
    case MSG_PIN_FOUND:
        return ((const struct msg_pin_found *)fields)->recursive == s->flag;
    case MSG_REPO_GC_PAGE:
        return ((const struct msg_repo_gc_page *)fields)->removed.count == 1 &&
               ((const struct msg_repo_gc_page *)fields)->bytes == (s->block == 0 ? 0 : MANY_BYTES + s->block) &&
               ((const struct msg_repo_gc_page *)fields)->next.len == 0;
    case MSG_REPO_STAT_OK:
        return ((const struct msg_repo_stat_ok *)fields)->blocks == 1 &&
               ((const struct msg_repo_stat_ok *)fields)->disk_bytes > 0;
    case MSG_REPO_VERIFIED:
        return ((const struct msg_repo_verified *)fields)->checked == 1 &&
               ((const struct msg_repo_verified *)fields)->bad.count == 0;
    case MSG_HEAT_LIST:
        return ((const struct msg_heat_list *)fields)->blocks.count == 4;
    default:
        return true;
    }
}

/* Heat travels as casts of another actor, rows are committed behind the answer: they may come a little after the question. The test's own deadline bounds the asking. */
static bool is_early(const struct info *info)
{
    if (info->err == ERR_OK && info->msg->kind == MSG_BLOCK_PAGE)
        return ((const struct msg_block_page *)info->msg->fields)->multihashes.count == 0;
    return info->err == ERR_OK && info->msg->kind == MSG_HEAT_LIST &&
           ((const struct msg_heat_list *)info->msg->fields)->blocks.count < 4;
}

static void send_many(struct ctx *ctx, uint16_t kind)
{
    for (unsigned i = 0; i < MANY; i++)
        send(ctx, &(struct step){.what = "many", .ask = kind, .block = 1000 + i}, 1000 + i);
}

static void take_many(struct ctx *ctx, const struct info *info)
{
    if (info->err != ERR_OK) {
        note_failure("many", info->text);
    } else if (info->msg->kind == MSG_BLOCK_PUT_OK) {
        if (atomic_fetch_add(&play.put, 1) + 1 == MANY)
            send_many(ctx, MSG_BLOCK_GET);
    } else if (!same_block(info, (unsigned)info->tag)) {
        note_failure("many", "another block came back");
    } else if (atomic_fetch_add(&play.got, 1) + 1 == MANY) {
        atomic_store(&play.done, true);
    }
}

/* A lease is a call that nobody answers: the next step follows at once. */
static bool lease_step(struct ctx *ctx, const struct step *s)
{
    if (s->ask == MSG_LEASE)
        send(ctx, s, LEASE_TAG);
    else if (s->ask == LEASE_END)
        ctx_cancel_call(ctx, LEASE_TAG);
    return s->ask == MSG_LEASE || s->ask == LEASE_END;
}

static void driver_info(struct ctx *ctx, void *state, const struct info *info)
{
    (void)state;
    if (info->kind == INFO_REPLY && info->tag >= 1000) {
        take_many(ctx, info);
        return;
    }
    if (info->kind == INFO_REPLY && is_early(info)) {
        (void)ctx_timer(ctx, ctx_now(ctx) + 20 * MS_NS, 1);
        return;
    }
    if (info->kind == INFO_REPLY) {
        const struct step *s = &steps[play.step++];
        if (info->err != s->expect)
            note_failure(s->what, err_text(info->err));
        else if (info->err == ERR_OK && (info->msg->kind != s->answer || !is_right(s, info)))
            note_failure(s->what, "a wrong answer");
    }
    while (play.step < ARRAY_LEN(steps) && lease_step(ctx, &steps[play.step]))
        play.step++;
    if (play.step < ARRAY_LEN(steps))
        send(ctx, &steps[play.step], play.step);
    else
        send_many(ctx, MSG_BLOCK_PUT);
}

static enum err driver_init(struct ctx *ctx, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    (void)ctx_timer(ctx, ctx_now(ctx) + 10 * MS_NS, 1);
    return ERR_OK;
}

static void bitswap_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    (void)ctx;
    (void)state;
    if (msg->kind == MSG_BLOCK_STORED)
        atomic_fetch_add(&play.announced, ((const struct msg_block_stored *)msg->fields)->cids.count);
}

static const struct actor_class driver = {
    .name = "control", .state_bytes = 8, .init = driver_init, .handle_info = driver_info};
static const struct actor_class bitswap = {.name = "bitswap", .state_bytes = 8, .handle_cast = bitswap_cast};

/* ---- a second driver: the disk's syncs fail until the actor gives up, and a new life goes on ---- */

enum { DYING_BLOCKS = 6, DYING_FAILURES = 3, RETRY_MS = 300 };

static struct {
    struct sim_disk *disk;
    unsigned next;   /* block to put; then to get */
    unsigned failed; /* puts that heard an error */
    bool reading;
} dying;

static void dying_go_on(struct ctx *ctx)
{
    if (dying.next == DYING_BLOCKS && dying.reading) {
        atomic_store(&play.done, true);
        return;
    }
    if (dying.next == DYING_BLOCKS) {
        dying.reading = true;
        dying.next = 0;
    }
    /* The second to fourth put meet a disk that cannot sync. */
    if (!dying.reading && dying.next == 1 && dying.failed == 0)
        sim_disk_fail(dying.disk, SIM_FAULT_SYNC_IO, 0, DYING_FAILURES);
    uint16_t ask = dying.reading ? MSG_BLOCK_GET : MSG_BLOCK_PUT;
    send(ctx, &(struct step){.what = "a dying disk", .ask = ask, .block = 50 + dying.next}, dying.next);
}

static void dying_info(struct ctx *ctx, void *state, const struct info *info)
{
    (void)state;
    if (info->kind == INFO_REPLY && info->err == ERR_OK) {
        if (dying.reading && !same_block(info, 50 + (unsigned)info->tag))
            note_failure("a dying disk", "another block came back");
        dying.next++;
    } else if (info->kind == INFO_REPLY) {
        if (dying.reading)
            note_failure("a dying disk", info->text);
        dying.failed++;
    } else if (info->kind != INFO_TIMER) {
        return;
    }
    if (info->kind == INFO_REPLY && info->err != ERR_OK)
        (void)ctx_timer(ctx, ctx_now(ctx) + RETRY_MS * MS_NS,
                        1); /* the same again, once a new life had time to start */
    else
        dying_go_on(ctx);
}

static const struct actor_class dying_driver = {
    .name = "control", .state_bytes = 8, .init = driver_init, .handle_info = dying_info};

/* ---- a third driver: its life ends while it holds a lease, which ends with it ---- */

static unsigned leaving_lives;

static enum err leaving_init(struct ctx *ctx, void *state, const struct config *config)
{
    leaving_lives++;
    return driver_init(ctx, state, config);
}

static void leaving_info(struct ctx *ctx, void *state, const struct info *info)
{
    (void)state;
    if (info->kind == INFO_TIMER && leaving_lives == 1) {
        send(ctx, &(struct step){.what = "a lease", .ask = MSG_LEASE}, LEASE_TAG);
        send(ctx, &(struct step){.what = "put under it", .ask = MSG_BLOCK_PUT, .block = 3}, 1);
    } else if (info->kind == INFO_TIMER) {
        send(ctx, &(struct step){.what = "collection", .ask = MSG_REPO_GC}, 2);
    } else if (info->kind == INFO_REPLY && leaving_lives == 1) {
        if (info->err != ERR_OK)
            note_failure("put under a lease", info->text);
        ctx_exit(ctx, EXIT_FAILED, "the test wants it");
    } else if (info->kind == INFO_REPLY) {
        if (info->err != ERR_OK || ((const struct msg_repo_gc_page *)info->msg->fields)->removed.count != 1)
            note_failure("collection", "what the lease kept is still there");
        atomic_store(&play.done, true);
    }
}

static const struct actor_class leaving_driver = {
    .name = "control", .state_bytes = 8, .init = leaving_init, .handle_info = leaving_info};

/* ---- the stage ---- */

static const struct actor_class *classes[ACTOR_COUNT] = {[ACTOR_TIERED_STORAGE] = &tiered_storage_class,
                                                         [ACTOR_HEAT_TRACKER] = &heat_tracker_class,
                                                         [ACTOR_BITSWAP] = &bitswap,
                                                         [ACTOR_CONTROL] = NULL};
static const struct child_spec children[] = {{.id = "tiered_storage", .start = ACTOR_TIERED_STORAGE},
                                             {.id = "heat_tracker", .start = ACTOR_HEAT_TRACKER},
                                             {.id = "bitswap", .start = ACTOR_BITSWAP},
                                             {.id = "control", .start = ACTOR_CONTROL}};
static const struct supervisor_spec tree = {.name = "root",
                                            .strategy = STRATEGY_ONE_FOR_ONE,
                                            .intensity = 1,
                                            .period_ms = 10000,
                                            .children = children,
                                            .child_count = ARRAY_LEN(children)};
static const struct edge_spec edges[] = {{ACTOR_CONTROL, ACTOR_TIERED_STORAGE}, {ACTOR_CONTROL, ACTOR_HEAT_TRACKER}};
static const struct lane_spec lanes[] = {{"catalogue", 1, 64}, {"disk", 2, 256}};

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

static void play_on(const char *path, const struct disk_port *disk, struct sim *sim, const struct actor_class *control)
{
    struct config *config = NULL;
    struct budget budget;
    char why[512] = "";
    assert_int_equal(config_new(path, &config), ERR_OK);
    assert_int_equal(budget_init(&budget, BUDGET_DEFAULT_MIB * MIB), ERR_OK);
    struct runtime_config rc = {.name = "storage",
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
                                .log = print_log,
                                .log_level = LOG_WARN};
    memset(&play, 0, sizeof(play));
    classes[ACTOR_CONTROL] = control;
    if (runtime_start(&rc, &play.rt, why, sizeof(why)) != ERR_OK)
        fail_msg("start: %s", why);
    bool done = runtime_await(play.rt, is_done, NULL, 40 * SECOND_NS);
    (void)runtime_stop(&play.rt, 10 * SECOND_NS);
    assert_true(done);
    assert_int_equal(atomic_load(&play.failures), 0);
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        assert_int_equal(account_used(&budget.accounts[i]), 0);
    config_free(config);
}

static void assert_all_came(void)
{
    assert_int_equal(atomic_load(&play.got), MANY);
    assert_int_equal(atomic_load(&play.announced), MANY + 5);
}

static void remove_tree(const char *path)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf -- '%s'", path);
    assert_int_equal(system(command), 0);
}

static void inproc_on_the_real_disk(void **state)
{
    (void)state;
    char path[] = "/tmp/hearth-storage-XXXXXX";
    struct stat st;
    char db[64];
    assert_non_null(mkdtemp(path));
    play_on(path, disk_posix(), NULL, &driver);
    assert_all_came();
    (void)snprintf(db, sizeof(db), "%s/blocks.db", path);
    assert_int_equal(stat(db, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    remove_tree(path);
}

static uint64_t play_sim(uint64_t seed)
{
    struct sim *sim = sim_new(seed);
    struct sim_disk *disk = sim_disk_new(seed, 256 * MIB);
    assert_non_null(sim);
    assert_non_null(disk);
    play_on("/node", sim_disk_port(disk), sim, &driver);
    assert_all_came();
    uint64_t trace = sim_trace(sim);
    sim_free(sim);
    sim_disk_free(disk);
    return trace;
}

static void sim_takes_the_same_way_twice(void **state)
{
    (void)state;
    uint64_t trace = play_sim(7);
    assert_int_equal(play_sim(7), trace);
    assert_int_not_equal(play_sim(8), trace);
}

static void a_disk_that_cannot_sync_ends_a_life_not_the_store(void **state)
{
    (void)state;
    struct sim *sim = sim_new(3);
    memset(&dying, 0, sizeof(dying));
    dying.disk = sim_disk_new(3, 256 * MIB);
    play_on("/node", sim_disk_port(dying.disk), sim, &dying_driver);
    assert_in_range(dying.failed, DYING_FAILURES, DYING_FAILURES + 5);
    sim_free(sim);
    sim_disk_free(dying.disk);
}

static void a_lease_ends_with_the_life_of_its_holder(void **state)
{
    (void)state;
    struct sim *sim = sim_new(4);
    struct sim_disk *disk = sim_disk_new(4, 256 * MIB);
    leaving_lives = 0;
    play_on("/node", sim_disk_port(disk), sim, &leaving_driver);
    assert_int_equal(leaving_lives, 2);
    sim_free(sim);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inproc_on_the_real_disk),
        cmocka_unit_test(sim_takes_the_same_way_twice),
        cmocka_unit_test(a_disk_that_cannot_sync_ends_a_life_not_the_store),
        cmocka_unit_test(a_lease_ends_with_the_life_of_its_holder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
