/* SPDX-License-Identifier: MIT */
/* What a full mailbox does: BUSY and ROOM, the overflow classes, and the room that comes back. */
#include "helper_scene.h"

#include "mailbox/backend.h"

/* B's handler holds its mailbox shut on inproc for as long as the gate is closed: B has taken one record, the rest waits. */
enum { GATE = 31 }; /* of scene.n: open when not 0 */

static void open_gate(void)
{
    atomic_store(&scene.n[GATE], true);
}

/* Takes its time by the clock, so that A outruns B on both backends. */
static void slow_cast(struct ctx *c, const struct msg *msg)
{
    (void)c;
    CHECK(note_of(msg)->n == counted(0));
    count(0);
    while (!scene.is_sim && !atomic_load(&scene.n[GATE])) {
    }
}

/* ---- push back ---- */

static void push_until_busy(struct ctx *c, const struct info *info)
{
    if (!is_start(info)) {
        CHECK(info->kind == INFO_ROOM && info->actor == B);
        count(2);
    }
    while (counted(1) < 500) {
        enum err err = scene_cast(c, B, TELL, counted(1));
        if (err == ERR_BUSY) {
            count(3);
            open_gate();
            return; /* INFO_ROOM follows */
        }
        CHECK(err == ERR_OK);
        count(1);
    }
}

static void finish_at_500(struct ctx *c, const struct msg *msg)
{
    slow_cast(c, msg);
    if (counted(0) == 500)
        scene_done();
}

static void test_a_full_mailbox_pushes_back_and_tells_of_room(void **state)
{
    (void)state;
    scene_begin();
    atomic_store(&scene.n[GATE], false);
    scene.mailbox_records[B] = 16;
    scene.on_info[A] = push_until_busy;
    scene.on_cast[B] = finish_at_500;
    scene_play(20);
    assert_int_equal(counted(0), 500); /* none lost, in order */
    assert_true(counted(3) >= 1);
    assert_int_equal(counted(2), counted(3)); /* one ROOM for each BUSY */
}

static void push_bytes(struct ctx *c, const struct info *info)
{
    static const uint8_t pad[3000];
    struct note note = {.pad = span_of(pad, sizeof(pad))};
    struct msg msg = {.kind = TELL, .fields = &note};
    if (!is_start(info))
        return;
    for (int i = 0; i < 3; i++) {
        CHECK(ctx_cast(c, B, &msg) == ERR_OK);
        note.n++;
    }
    CHECK(ctx_cast(c, B, &msg) == ERR_BUSY); /* 10,000 bytes are 3 of these */
    static const uint8_t large[20000];
    note.pad = span_of(large, sizeof(large));
    CHECK(ctx_cast(c, B, &msg) == ERR_TOO_LARGE); /* would never fit */
    note.pad = span_of(large, 9970);
    CHECK(ctx_cast(c, B, &msg) == ERR_TOO_LARGE); /* nor would this with its header */
    open_gate();
}

static void finish_at_3(struct ctx *c, const struct msg *msg)
{
    slow_cast(c, msg);
    if (counted(0) == 3)
        scene_done();
}

static void test_bytes_are_bounded_too(void **state)
{
    (void)state;
    scene_begin();
    atomic_store(&scene.n[GATE], false);
    scene.mailbox_bytes[B] = 10000;
    scene.on_info[A] = push_bytes;
    scene.on_cast[B] = finish_at_3;
    scene_play(10);
}

/* ---- the other classes ---- */

static void overflow_latest(struct ctx *c, const struct info *info)
{
    if (!is_start(info))
        return;
    for (uint64_t i = 0; i < 200; i++)
        CHECK(scene_cast(c, B, LATEST, i) == ERR_OK); /* never refused */
    CHECK(scene_cast(c, B, HINT, 1000) == ERR_BUSY);  /* refused, and no ROOM for it */
    CHECK(scene_cast(c, B, GRANTED, 2000) == ERR_OK); /* its room was granted before */
    open_gate();
}

static void expect_newest(struct ctx *c, const struct msg *msg)
{
    (void)c;
    while (!scene.is_sim && !atomic_load(&scene.n[GATE])) {
    }
    uint64_t n = note_of(msg)->n;
    CHECK(msg->kind != HINT);
    if (msg->kind == GRANTED) {
        count(5);
        return;
    }
    CHECK(n < 16 || n >= 136); /* 16 fit, 64 wait at the sender, those between were dropped */
    CHECK(counted(1) == 0 || n > counted(2));
    atomic_store(&scene.n[2], n);
    count(1);
    if (n == 199)
        scene_done();
}

static void test_drop_oldest_keeps_the_newest(void **state)
{
    (void)state;
    scene_begin();
    atomic_store(&scene.n[GATE], false);
    scene.mailbox_records[B] = 16;
    scene.on_info[A] = overflow_latest;
    scene.on_cast[B] = expect_newest;
    scene_play(10);
    assert_int_equal(counted(1), 16 + 64);
    assert_int_equal(counted(5), 1);
}

/* ---- reports wait for company ---- */

enum { WAIT_NS = 20 * 1000 * 1000, REPORTS = 5 };

static void report_now_and_then(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        atomic_store(&scene.n[8], ctx_now(c));
    CHECK(scene_cast(c, B, LATEST, counted(0)) == ERR_OK);
    count(0);
    if (counted(0) < REPORTS)
        (void)ctx_timer(c, ctx_now(c) + MS_NS, 1);
}

static void expect_one_batch(struct ctx *c, const struct msg *msg)
{
    CHECK(note_of(msg)->n == counted(1));
    CHECK(ctx_now(c) >= counted(8) + WAIT_NS);
    if (scene.is_sim) /* on inproc a timer may come late */
        CHECK(counted(1) == 0 || ctx_now(c) == counted(9));
    atomic_store(&scene.n[9], ctx_now(c));
    count(1);
    if (counted(1) == REPORTS)
        scene_done();
}

static void test_reports_leave_together(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = report_now_and_then;
    scene.on_cast[B] = expect_one_batch;
    scene_play(10);
    assert_int_equal(counted(1), REPORTS);
}

static void report_then_tell(struct ctx *c, const struct info *info)
{
    CHECK(scene_cast(c, B, is_start(info) ? LATEST : TELL, 0) == ERR_OK);
    if (is_start(info))
        (void)ctx_timer(c, ctx_now(c) + MS_NS, 1);
}

static void expect_report_first(struct ctx *c, const struct msg *msg)
{
    if (msg->kind == LATEST) {
        atomic_store(&scene.n[9], ctx_now(c));
        count(0);
        return;
    }
    CHECK(counted(0) == 1);
    if (scene.is_sim)
        CHECK(ctx_now(c) == counted(9));
    scene_done();
}

static void test_a_report_leaves_with_what_may_not_wait(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = report_then_tell;
    scene.on_cast[B] = expect_report_first;
    scene_play(10);
}

static void report_and_end(struct ctx *c, const struct info *info)
{
    if (counted(0) > 0 || !is_start(info))
        return; /* its second life */
    count(0);
    CHECK(scene_cast(c, B, LATEST, 0) == ERR_OK);
    ctx_exit(c, EXIT_FAILED, "on purpose");
}

static void expect_report(struct ctx *c, const struct msg *msg)
{
    (void)c;
    CHECK(msg->kind == LATEST);
    scene_done();
}

static void test_the_last_report_of_a_life_arrives(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = report_and_end;
    scene.on_cast[B] = expect_report;
    scene_play(10);
}

/* ---- a dead receiver ---- */

static void die_on_cast(struct ctx *c, const struct msg *msg)
{
    if (note_of(msg)->n == 0)
        ctx_exit(c, EXIT_FAILED, "on purpose");
    else
        count(1);
}

static void fill_the_dying(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        CHECK(ctx_monitor(c, B) == ERR_OK);
        return;
    }
    if (info->kind == INFO_UP && counted(3) == 0) {
        count(3);
        for (uint64_t i = 0; i < 16; i++)
            CHECK(scene_cast(c, B, TELL, i) == ERR_OK);
        return;
    }
    if (info->kind == INFO_UP) {
        /* The dead life's 15 records hold no room of the new one for long. */
        CHECK(scene_cast(c, B, TELL, 77) == ERR_OK || counted(4) > 0);
        (void)ctx_timer(c, ctx_now(c) + 50 * MS_NS, 1);
    }
    if (info->kind == INFO_TIMER && info->tag == 1) {
        for (uint64_t i = 1; i < 15; i++)
            CHECK(scene_cast(c, B, TELL, i) == ERR_OK);
        (void)ctx_timer(c, ctx_now(c) + 50 * MS_NS, 2);
    }
    if (info->kind == INFO_TIMER && info->tag == 2)
        scene_done();
}

static void test_a_restart_gives_back_what_the_dead_life_held(void **state)
{
    (void)state;
    scene_begin();
    scene.mailbox_records[B] = 17;
    scene.on_info[A] = fill_the_dying;
    scene.on_cast[B] = die_on_cast;
    char why[256];
    assert_int_equal(scene_start(why, sizeof(why)), ERR_OK);
    assert_true(scene_wait(10));
    struct actor_stats stats;
    assert_true(runtime_actor_stats(scene.rt, B - 1, &stats));
    assert_string_equal(stats.name, "b");
    assert_int_equal(stats.restarts, 1);
    assert_string_equal(stats.last_exit_reason, "failed");
    assert_string_equal(stats.state, "running");
    scene_stop();
    assert_in_range(counted(1), 1, 15); /* none of the dead life's 15 */
}

/* ---- the account ---- */

static void exhaust_account(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        struct account *account = &ctx_budget(c)->accounts[ACCOUNT_MAILBOX];
        uint64_t rest = account->limit_bytes; /* whatever others give back meanwhile */
        account_force(account, rest);
        CHECK(scene_cast(c, E, TELL, 1) == ERR_BUSY); /* no batch to E is open, and none can be */
        account_give(account, rest);
        return;
    }
    CHECK(info->kind == INFO_ROOM && info->actor == E); /* by time: E's mailbox was never full */
    CHECK(scene_cast(c, E, TELL, 1) == ERR_OK);
    scene_done();
}

static void test_an_empty_account_is_busy_and_room_comes_by_time(void **state)
{
    (void)state;
    struct budget budget;
    assert_int_equal(budget_init(&budget, 64 * MIB), ERR_OK);
    scene_begin();
    scene.config.budget = &budget;
    scene.on_info[A] = exhaust_account;
    scene_play(10);
    if (scene.is_ipc)
        return; /* the budget was copied to where all processes see it, and is gone */
    assert_int_equal(account_used(&budget.accounts[ACCOUNT_MAILBOX]), 0); /* all of it came back */
    assert_true(atomic_load(&budget.accounts[ACCOUNT_MAILBOX].peak_bytes) > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_mailbox_pushes_back_and_tells_of_room),
        cmocka_unit_test(test_bytes_are_bounded_too),
        cmocka_unit_test(test_drop_oldest_keeps_the_newest),
        cmocka_unit_test(test_reports_leave_together),
        cmocka_unit_test(test_a_report_leaves_with_what_may_not_wait),
        cmocka_unit_test(test_the_last_report_of_a_life_arrives),
        cmocka_unit_test(test_a_restart_gives_back_what_the_dead_life_held),
        cmocka_unit_test(test_an_empty_account_is_busy_and_room_comes_by_time),
    };
    return scene_main(argc, argv, tests, ARRAY_LEN(tests));
}
