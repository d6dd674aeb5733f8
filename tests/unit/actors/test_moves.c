/* SPDX-License-Identifier: MIT */
/*
 * More is stored than the disk takes, so blocks leave for the cold tier, no put is refused, none is collected though nothing is pinned and the watermark is
 * passed, all of them are read again, and some come back. On inproc with a folder of the real disk; in sim with a simulated bucket, twice with one trace.
 */
#include "tests/unit/actors/helper_tiers.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/tree.h"
#include "schemas/messages.h"
#include "sim/bucket.h"
#include "sim/disk.h"
#include "sim/sim.h"
#include "storage/disk_posix.h"

enum {
    BLOCKS = 40,
    BLOCK_BYTES = 256 * 1024,
    STORAGE_MAX = 6 * 1024 * 1024,
    RETRY_MS = 200,
    SETTLED_MS = 1500,
    AGAIN_MS = 500,
    ROUNDS_MAX = 50
};

static struct {
    _Atomic bool done;
    _Atomic unsigned failures;
    _Atomic uint64_t out; /* bytes that state was told of */
    _Atomic uint64_t in;
    _Atomic unsigned ups; /* that bitswap was told of: the medium is found once, and stays */
    uint64_t run[2];      /* the last one, out and in, and its bytes */
    uint64_t run_bytes[2];
    unsigned next;
    unsigned round; /* 0: puts */
    unsigned busy;  /* puts that were to be tried again */
    bool one;       /* after the puts, the first block is all that is read */
} play;

static void note_failure(const char *what, const char *why)
{
    print_message("%s %u, round %u: %s\n", what, play.next, play.round, why);
    atomic_fetch_add(&play.failures, 1);
    atomic_store(&play.done, true);
}

static void ask(struct ctx *ctx)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct cid cid;
    struct block_ref *ref = tiers_block(play.next, BLOCK_BYTES, &cid);
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

/* The first block has left the disk. It is read until it has come back: what is read now and then stays in memory. */
static void go_on_with_one(struct ctx *ctx)
{
    play.next = 0;
    if (++play.round == ROUNDS_MAX)
        note_failure("moves", "it did not come back");
    else if (atomic_load(&play.in) > 0)
        atomic_store(&play.done, true);
    else
        (void)ctx_timer(ctx, ctx_now(ctx) + AGAIN_MS * MS_NS, 1);
}

/* Rounds of reading, until both ways were gone. */
static void go_on(struct ctx *ctx)
{
    if (play.one && (play.round > 0 || play.next + 1 == BLOCKS)) {
        go_on_with_one(ctx);
        return;
    }
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
    struct block_ref *ref = tiers_block(play.next, BLOCK_BYTES, &cid);
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
    if (msg->kind == MSG_COLD_UP)
        atomic_fetch_add(&play.ups, 1);
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

/* ---- the plays ---- */

static bool is_done(void *arg)
{
    (void)arg;
    return atomic_load(&play.done);
}

/* Takes the configuration. */
static void play_on(struct config *config, const struct disk_port *disk, struct sim *sim, struct sim_bucket *bucket,
                    bool one)
{
    struct tiers_play on = {.control = &driver,
                            .state = &listener,
                            .disk = disk,
                            .sim = sim,
                            .bucket = bucket,
                            .is_done = is_done,
                            .timeout_ns = 50 * SECOND_NS};
    memset(&play, 0, sizeof(play));
    play.one = one;
    tiers_set(config, "Tiers.SettleTime", one ? "5s" : "1s");
    bool done = tiers_play(&on, config);
    if (!done)
        print_message("at block %u of round %u, %u were busy, %llu bytes out, %llu in\n", play.next, play.round,
                      play.busy, (unsigned long long)atomic_load(&play.out), (unsigned long long)atomic_load(&play.in));
    assert_true(done);
    assert_int_equal(atomic_load(&play.failures), 0);
    assert_int_equal(atomic_load(&play.ups), 1);
    assert_true(play.busy > 0); /* the disk was full at times, and room was made */
    assert_true(atomic_load(&play.out) >= (uint64_t)BLOCKS * BLOCK_BYTES - STORAGE_MAX);
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
    struct config *config = tiers_config(name, "directory", STORAGE_MAX);
    (void)snprintf(name, sizeof(name), "%s/cold", path);
    tiers_set(config, "Tiers.Cold.Path", name);
    play_on(config, disk_posix(), NULL, NULL, false);
    (void)snprintf(name, sizeof(name), "rm -rf -- '%s'", path);
    assert_int_equal(system(name), 0);
}

static uint64_t play_sim(uint64_t seed, bool one)
{
    struct sim *sim = sim_new(seed);
    struct sim_bucket *bucket = sim_bucket_new("blocks", 20 * MS_NS);
    struct sim_disk *disk = sim_disk_new(seed, 64 * MIB);
    struct config *config = tiers_bucket_config("/node", "blocks", STORAGE_MAX);
    assert_true(sim != NULL && bucket != NULL && disk != NULL);
    sim_bucket_follow(bucket, sim);
    play_on(config, sim_disk_port(disk), sim, bucket, one);
    uint64_t trace = sim_trace(sim);
    sim_bucket_free(bucket);
    sim_disk_free(disk);
    sim_free(sim);
    return trace;
}

static void sim_into_a_bucket_goes_the_same_way_twice(void **state)
{
    (void)state;
    uint64_t once = play_sim(7, false);
    uint64_t twice = play_sim(7, false);
    assert_true(once == twice);
}

/* While it had just moved it could not come back, and from then on only the memory tier is asked for it. */
static void what_memory_serves_comes_back_to_the_disk(void **state)
{
    (void)state;
    (void)play_sim(8, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inproc_into_a_folder),
        cmocka_unit_test(sim_into_a_bucket_goes_the_same_way_twice),
        cmocka_unit_test(what_memory_serves_comes_back_to_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
