/* SPDX-License-Identifier: MIT */
/* Ends that only a process has: signals, freezes, garbage on its lanes; and what it held comes back. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "helper_scene.h"
#include "mailbox/ctx.h"

/* Numbers of the scene: 0 deaths seen, 1 calls that ended unavailable, 2 pid of A's process, 3 stuck, 4 text as told, 5 lives of B, 6 pid of B's. */

/* ---- signals ---- */

enum { BY_KILL, BY_SEGV, BY_ABORT, BY_EXIT, WAYS };

static void die(uint64_t way)
{
    switch (way) {
    case BY_KILL:
        (void)kill(getpid(), SIGKILL);
        break;
    case BY_SEGV:
        (void)signal(SIGSEGV, SIG_DFL);
        (void)raise(SIGSEGV);
        break;
    case BY_ABORT:
        (void)signal(SIGABRT, SIG_DFL);
        abort();
    default:
        _exit(3);
    }
}

static enum err die_as_asked(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)c;
    (void)call;
    if (note_of(msg)->n < WAYS)
        die(note_of(msg)->n);
    return ERR_OK;
}

static void ask_until_it_died_in_all_ways(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        atomic_store(&scene.n[2], (uint64_t)getpid());
        CHECK(ctx_monitor(c, B) == ERR_OK);
    }
    if (info->kind == INFO_UP && counted(0) == WAYS)
        scene_done();
    if (info->kind == INFO_UP && counted(0) < WAYS) {
        for (uint64_t i = 0; i < 3; i++) /* the first and the last are in flight when it dies of the second */
            CHECK(scene_call(c, B, i == 1 ? counted(0) : 100, 10 * SECOND_NS, i) == ERR_OK);
    }
    if (info->kind == INFO_REPLY) {
        CHECK(info->err == ERR_UNAVAILABLE);
        count(1);
    }
    if (info->kind == INFO_DOWN && counted(0) < WAYS) {
        CHECK(info->actor == B && info->reason == EXIT_KILLED);
        CHECK(counted(1) == 3 * (counted(0) + 1)); /* at once, not at the deadline */
        count(0);
    }
    CHECK(counted(2) == (uint64_t)getpid()); /* A's own life goes on */
}

static void note_text(void *arg, struct ctx *root, const struct supervision_event *event)
{
    static const char *const texts[] = {"its process was ended by signal 9", "its process was ended by signal 11",
                                        "its process was ended by signal 6", "its process ended with code 3"};
    (void)arg;
    (void)root;
    if (event->kind == SUPERVISION_EXITED && event->actor == B && event->reason == EXIT_KILLED) {
        CHECK(counted(4) < WAYS && strcmp(event->text, texts[counted(4)]) == 0);
        count(4);
    }
    if (event->kind == SUPERVISION_STUCK && event->actor == B)
        count(3);
}

static void begin(void)
{
    scene_begin();
    if (!scene.is_ipc)
        skip(); /* threads have no such ends */
    scene.config.event = note_text;
}

static void test_a_process_that_dies_takes_nobody_with_it(void **state)
{
    (void)state;
    begin();
    scene.on_info[A] = ask_until_it_died_in_all_ways;
    scene.on_call[B] = die_as_asked;
    scene_play(30);
    assert_int_equal(counted(0), WAYS);
    assert_int_equal(counted(1), 3 * WAYS);
    assert_int_equal(counted(4), WAYS);
}

/* ---- a hang ---- */

static enum err hang(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)c;
    (void)call;
    while (note_of(msg)->n == 0) {
    }
    return ERR_OK;
}

static void ask_the_hanging(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        CHECK(ctx_monitor(c, B) == ERR_OK);
        CHECK(scene_call(c, B, 0, 20 * SECOND_NS, 1) == ERR_OK);
    }
    if (info->kind == INFO_REPLY) {
        CHECK(info->err == ERR_UNAVAILABLE);
        count(1);
    }
    if (info->kind == INFO_DOWN && counted(0) == 0) {
        CHECK(info->reason == EXIT_STUCK);
        count(0);
    } else if (info->kind == INFO_UP && counted(0) == 1) {
        scene_done();
    }
}

static void test_a_process_that_hangs_is_killed_and_started_anew(void **state)
{
    (void)state;
    begin();
    scene_watch();
    scene.on_info[A] = ask_the_hanging;
    scene.on_call[B] = hang;
    scene_play(20);
    assert_int_equal(counted(0), 1);
    assert_int_equal(counted(1), 1);
    assert_int_equal(counted(3), 1);
    assert_int_equal(scene.exit, RUNTIME_EXIT_OK);
}

/* Frozen while it waits: no turn of it takes long. */
static void freeze_b(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        CHECK(ctx_monitor(c, B) == ERR_OK);
    if (info->kind == INFO_UP && counted(0) == 0) /* the first life: it says who it is */
        (void)ctx_timer(c, ctx_now(c) + MS_NS, 7);
    if (info->kind == INFO_TIMER && info->tag == 7 && counted(6) == 0)
        (void)ctx_timer(c, ctx_now(c) + MS_NS, 7);
    else if (info->kind == INFO_TIMER && info->tag == 7)
        CHECK(kill((pid_t)counted(6), SIGSTOP) == 0);
    if (info->kind == INFO_DOWN && counted(0) == 0) {
        CHECK(info->reason == EXIT_STUCK);
        count(0);
    } else if (info->kind == INFO_UP && counted(0) == 1) {
        scene_done();
    }
}

static enum err say_pid(struct ctx *c)
{
    (void)c;
    atomic_store(&scene.n[6], (uint64_t)getpid());
    return ERR_OK;
}

static void test_a_process_that_is_frozen_is_killed_and_started_anew(void **state)
{
    (void)state;
    begin();
    scene_watch();
    scene.on_init[B] = say_pid;
    scene.on_info[A] = freeze_b;
    scene_play(20);
    assert_int_equal(counted(0), 1);
    assert_int_equal(counted(3), 1);
}

/* ---- what it held ---- */

enum { HELD = 300000 };

static enum err hold_and_die(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)msg;
    (void)call;
    CHECK(account_take(&ctx_budget(c)->accounts[ACCOUNT_SEND], HELD));
    die(BY_KILL);
    return ERR_OK;
}

static void look_at_account(struct ctx *c, const struct info *info)
{
    struct account *send = &ctx_budget(c)->accounts[ACCOUNT_SEND];
    if (is_start(info)) {
        CHECK(account_take(send, 7));
        CHECK(ctx_monitor(c, B) == ERR_OK);
        CHECK(scene_call(c, B, 0, 20 * SECOND_NS, 1) == ERR_OK);
    }
    if (info->kind == INFO_UP && counted(1) == 1) {
        CHECK(account_used(send) == 7);
        CHECK(atomic_load(&send->peak_bytes) >= HELD + 7);
        scene_done();
    }
    if (info->kind == INFO_REPLY)
        count(1);
}

static void test_what_a_dead_process_held_comes_back(void **state)
{
    (void)state;
    static struct budget budget;
    begin();
    assert_int_equal(budget_init(&budget, 64 * MIB), ERR_OK);
    scene.config.budget = &budget;
    scene.on_info[A] = look_at_account;
    scene.on_call[B] = hold_and_die;
    scene_play(20);
}

/* ---- tails ---- */

enum { TAIL_BYTES = 3 * 1000 * 1000, TAILS = 21 };

/* By turns of the budget, of nobody, of an account that the other process does not have. */
static struct account *charged(struct ctx *c, uint64_t n, struct account *own)
{
    return n % 3 == 0 ? &ctx_budget(c)->accounts[ACCOUNT_UPLOADS] : n % 3 == 1 ? NULL : own;
}

static bool charged_as_sent(struct ctx *c, const struct block_ref *tail, uint64_t n)
{
    return tail->account == charged(c, n, &ctx_budget(c)->accounts[ACCOUNT_RECEIVE]);
}

static enum err echo_tail(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    struct note note = {.n = note_of(msg)->n};
    CHECK(msg->tail != NULL && msg->tail->len == TAIL_BYTES + note.n);
    CHECK(charged_as_sent(c, msg->tail, note.n));
    ctx_reply(c, call, &(struct msg){.kind = ANSWER, .fields = &note, .tail = msg->tail});
    return ERR_OK;
}

static void send_tails(struct ctx *c, const struct info *info)
{
    static struct account own;
    if (info->kind == INFO_REPLY) {
        const struct block_ref *tail = info->err == ERR_OK ? info->msg->tail : NULL;
        CHECK(tail != NULL && tail->len == TAIL_BYTES + info->tag && tail->data[tail->len - 1] == (uint8_t)info->tag);
        CHECK(charged_as_sent(c, tail, info->tag));
        CHECK(info->tag == counted(0));
        count(0);
        if (counted(0) == TAILS)
            scene_done();
        return;
    }
    if (!is_start(info))
        return;
    account_init(&own, "own", UINT32_MAX);
    for (uint64_t i = 0; i < TAILS; i++) {
        struct block_ref *tail = block_ref_new(TAIL_BYTES + i, NULL);
        memset(tail->data, (int)i, tail->len);
        struct account *account = charged(c, i, &own);
        if (account != NULL)
            block_ref_charge(tail, account); /* whatever the limit */
        struct note note = {.n = i};
        const struct msg msg = {.kind = ASK, .fields = &note, .tail = tail};
        CHECK(ctx_call(c, B, &msg, (struct call_opts){.timeout_ns = 30 * SECOND_NS}, i) == ERR_OK);
        block_ref_unref(tail);
    }
}

static void test_tails_of_megabytes_go_there_and_back(void **state)
{
    (void)state;
    static struct budget budget;
    begin();
    assert_int_equal(budget_init(&budget, 64 * MIB), ERR_OK);
    scene.config.budget = &budget;
    scene.on_info[A] = send_tails;
    scene.on_call[B] = echo_tail;
    scene_play(30);
    assert_int_equal(counted(0), TAILS);
}

/* ---- garbage ---- */

/* B's process writes to A what it likes: A goes on, B's process ends. */
static void write_garbage(struct ctx *c, const struct info *info)
{
    if (!is_start(info))
        return;
    if (counted(2) == 0) { /* nobody looks yet */
        (void)ctx_timer(c, ctx_now(c) + MS_NS, START);
        return;
    }
    count(5);
    if (counted(5) > 1)
        return;
    uint8_t garbage[64];
    memset(garbage, 0xa5, sizeof(garbage));
    for (int fd = 3; fd < 256; fd++) /* whichever of its descriptors are lanes */
        (void)!send(fd, garbage, sizeof(garbage), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void expect_its_end(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        CHECK(ctx_monitor(c, B) == ERR_OK);
        atomic_store(&scene.n[2], (uint64_t)getpid());
    }
    CHECK(counted(2) == (uint64_t)getpid());
    if (info->kind == INFO_DOWN && counted(0) == 0)
        count(0);
    else if (info->kind == INFO_UP && counted(0) == 1)
        scene_done();
}

static void test_who_sends_garbage_is_ended(void **state)
{
    (void)state;
    begin();
    scene.config.event = NULL;
    scene.on_info[A] = expect_its_end;
    scene.on_info[B] = write_garbage;
    scene_play(20);
    assert_int_equal(counted(0), 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_process_that_dies_takes_nobody_with_it),
        cmocka_unit_test(test_a_process_that_hangs_is_killed_and_started_anew),
        cmocka_unit_test(test_a_process_that_is_frozen_is_killed_and_started_anew),
        cmocka_unit_test(test_what_a_dead_process_held_comes_back),
        cmocka_unit_test(test_tails_of_megabytes_go_there_and_back),
        cmocka_unit_test(test_who_sends_garbage_is_ended),
    };
    return scene_main(argc, argv, tests, ARRAY_LEN(tests));
}
