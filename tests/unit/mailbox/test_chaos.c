/* SPDX-License-Identifier: MIT */
/*
 * Random lives under load: A asks B, C and D, B asks C on its behalf, everybody may die, be slow, refuse or be cancelled. Whatever
 * happens, each call of a life ends exactly once, nothing a cast carries is delivered twice or out of order, and no reference of a
 * tail is lost.
 */
#include "helper_scene.h"

#include <string.h>

#include "base/limits.h"

enum { CALLS = 3000, WINDOW = 48, DEATHS_MAX = 4 };

/* What A knows of each of its calls in this life. */
static _Thread_local struct asker {
    uint32_t epoch;
    uint64_t next;
    uint64_t open;
    uint8_t state[CALLS]; /* 0 not asked, 1 asked, 2 ended, 3 cancelled */
} asker;

static struct account tails;
enum { DEATHS = 16 }; /* of scene.n, by actor */

static uint64_t dice(struct ctx *c, uint64_t sides)
{
    uint64_t value;
    ctx_random(c, &value, sizeof(value));
    return value % sides;
}

static uint64_t epoch_of(struct ctx *c, actor_id who)
{
    struct actor_stats stats;
    CHECK(ctx_actor_stats(c, who - 1U, &stats));
    return stats.epoch;
}

/* Says which life it is meant for. In sim nothing changes between the look and the cast. */
static void cast_to_life(struct ctx *c, actor_id to)
{
    (void)scene_cast(c, to, HINT, epoch_of(c, to));
}

static void expect_own_life(struct ctx *c, const struct msg *msg)
{
    CHECK(!scene.is_sim || note_of(msg)->n == epoch_of(c, ctx_self(c)));
    count(7);
}

static bool dies(struct ctx *c)
{
    actor_id self = ctx_self(c);
    if (dice(c, 150) != 0 || atomic_load(&scene.n[DEATHS + self]) >= DEATHS_MAX)
        return false;
    atomic_fetch_add(&scene.n[DEATHS + self], 1);
    ctx_exit(c, EXIT_FAILED, "by dice");
    return true;
}

static void answer_with_tail(struct ctx *c, struct reply_to call, uint64_t n)
{
    struct note note = {.n = n};
    struct block_ref *tail = dice(c, 4) == 0 ? block_ref_new(100, &tails) : NULL;
    ctx_reply(c, call, &(struct msg){.kind = ANSWER, .fields = &note, .tail = tail});
    block_ref_unref(tail);
}

/* ---- B, C, D ---- */

static struct {
    struct reply_to call;
    uint64_t n;
} pending[SCENE_ACTORS][256];

static void keep(struct ctx *c, struct reply_to call, uint64_t n)
{
    uint64_t slot = dice(c, 256);
    if (pending[ctx_self(c)][slot].call.correlation != 0)
        ctx_reply_err(c, pending[ctx_self(c)][slot].call, ERR_BUSY, "pushed out");
    pending[ctx_self(c)][slot].call = call;
    pending[ctx_self(c)][slot].n = n;
    (void)ctx_timer(c, ctx_now(c) + dice(c, 20) * MS_NS, slot);
}

static enum err serve(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    uint64_t n = note_of(msg)->n;
    if (dies(c))
        return ERR_OK;
    switch (dice(c, 5)) {
    case 0:
        return ERR_NOT_FOUND;
    case 1:
        keep(c, call, n);
        return ERR_OK;
    case 2:
        if (ctx_self(c) == B) {
            enum err err = scene_call(c, C, n, 5 * MS_NS, 1000 + n);
            return err == ERR_OK ? ERR_OK : err; /* never answered by itself: its end is the deadline's or C's */
        }
        return ERR_OK; /* forgotten: the caller's deadline ends it */
    default:
        answer_with_tail(c, call, n);
        return ERR_OK;
    }
}

static enum err fresh_start(struct ctx *c)
{
    memset(pending[ctx_self(c)], 0, sizeof(pending[0]));
    return ERR_OK;
}

static void serve_later(struct ctx *c, const struct info *info)
{
    if (info->kind != INFO_TIMER || info->tag >= 256)
        return;
    struct reply_to call = pending[ctx_self(c)][info->tag].call;
    if (call.correlation == 0)
        return;
    pending[ctx_self(c)][info->tag].call.correlation = 0;
    answer_with_tail(c, call, pending[ctx_self(c)][info->tag].n);
}

/* ---- A ---- */

static void ask_more(struct ctx *c)
{
    while (asker.open < WINDOW && asker.next < CALLS) {
        uint64_t n = asker.next;
        enum err err = scene_call(c, (actor_id)(B + dice(c, 3)), n, (1 + dice(c, 30)) * MS_NS, n);
        CHECK(err == ERR_OK || err == ERR_UNAVAILABLE || err == ERR_BUSY);
        if (err != ERR_OK)
            break; /* again in a while: it is dead or full */
        asker.state[n] = 1;
        asker.open++;
        asker.next++;
    }
    if (asker.next == CALLS && asker.open == 0)
        scene_done();
}

static void end_one(struct ctx *c, const struct info *info)
{
    CHECK(info->tag < asker.next && asker.state[info->tag] == 1); /* once, and not after a cancel */
    CHECK(info->err != ERR_OK || note_of(info->msg)->n == info->tag);
    asker.state[info->tag] = 2;
    asker.open--;
    count(info->err == ERR_OK ? 0 : 1);
    uint64_t other = dice(c, CALLS);
    if (asker.state[other] == 1) {
        ctx_cancel_call(c, other);
        asker.state[other] = 3;
        asker.open--;
        count(2);
    }
    cast_to_life(c, (actor_id)(B + dice(c, 3)));
    (void)scene_cast(c, E, TELL, counted(3));
    atomic_fetch_add(&scene.n[3], 1);
}

static void ask_at_random(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        memset(&asker, 0, sizeof(asker));
    if (info->kind == INFO_REPLY)
        end_one(c, info);
    if (info->kind == INFO_REPLY && dies(c))
        return;
    /* A refused or dead callee answers at once: the clock has to move on. */
    if (is_start(info) || info->kind == INFO_TIMER) {
        ask_more(c);
        (void)ctx_timer(c, ctx_now(c) + MS_NS, 1);
    }
}

static void expect_rising(struct ctx *c, const struct msg *msg)
{
    (void)c;
    CHECK(counted(5) == 0 || note_of(msg)->n > counted(6));
    atomic_store(&scene.n[6], note_of(msg)->n);
    count(5);
}

static void test_every_call_ends_once_whoever_dies(void **state)
{
    (void)state;
    struct budget budget;
    assert_int_equal(budget_init(&budget, 64 * MIB), ERR_OK);
    account_init(&tails, "tails", 64 * MIB);
    scene_begin();
    static struct supervisor_spec tree;
    tree = *scene.config.tree;
    tree.intensity = SUPERVISOR_INTENSITY_MAX;
    scene.config.tree = &tree;
    scene.config.budget = &budget;
    scene.on_info[A] = ask_at_random;
    scene.on_cast[E] = expect_rising;
    for (int i = B; i <= D; i++) {
        scene.on_init[i] = fresh_start;
        scene.on_call[i] = serve;
        scene.on_cast[i] = expect_own_life;
        scene.on_info[i] = serve_later;
    }
    scene_play(60);
    assert_true(counted(0) > 100 && counted(1) > 100 && counted(2) > 10);
    assert_true(
        atomic_load(&scene.n[DEATHS + A]) + atomic_load(&scene.n[DEATHS + B]) + atomic_load(&scene.n[DEATHS + C]) > 3);
    assert_true(counted(7) > 100);
    assert_int_equal(account_used(&tails), 0);
    assert_int_equal(account_used(&budget.accounts[ACCOUNT_MAILBOX]), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_call_ends_once_whoever_dies)};
    return scene_main(argc, argv, tests, ARRAY_LEN(tests));
}
