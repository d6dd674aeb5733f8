/* SPDX-License-Identifier: MIT */
/* As test_crashes, of processes: root records how an actor's process crashed, and who is poison or banned, while the others go on. */
#include "helper_scene.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "helper_process.h"
#include "mailbox/crash.h"
#include "mailbox/crash_memory.h"
#include "mailbox/ctx.h"

enum { DEADLY = 666, PAD_BYTES = 4000, NOWHERE = 8 };

/* How it ends. */
enum way { BY_FAULT, BY_ABORT, BY_KILL, BY_LONG_KILL, BY_HANG, BY_DEPTH, BY_NOISE, BY_WORKER };

/* Numbers of the scene. */
enum { DENIED_B, DENIED_C, DIED, PID_OF_A, BANNED_FOR_E };

static struct crash_memory memory;
static struct crash_history known;
static enum way way;
static size_t pad;
static bool is_of_peer;
static bool two_die;
static uint64_t deaths_max; /* then nobody asks any more */
static const uint8_t peer[34] = {0x12, 0x20, 7};

/* ---- who dies ---- */

static size_t run_over(volatile char *above, size_t left)
{
    volatile char here[4096];
    here[0] = above == NULL ? 1 : above[0];
    return left == 0 ? 0 : run_over(here, left - 1) + (size_t)here[0];
}

static void fault(void)
{
    volatile uintptr_t nowhere = NOWHERE; /* sanitizers know of NULL */
    *(volatile int *)nowhere = 1;
}

static enum err fail_in_worker(void *arg, const _Atomic bool *cancelled)
{
    (void)arg;
    (void)cancelled;
    fault();
    return ERR_OK;
}

static void die(struct ctx *c)
{
    switch (way) {
    case BY_WORKER:
        CHECK(ctx_job(c, "one", fail_in_worker, NULL, NULL, 1) == ERR_OK);
        return;
    case BY_NOISE: /* all that it could write to */
        random_fill(c->rt->config.crash->page, sizeof(struct crash_page));
        fault();
        break;
    case BY_FAULT:
        fault();
        break;
    case BY_ABORT:
        abort();
    case BY_LONG_KILL:
        atomic_store(&c->slot->turn_since_ns, clock_mono_ns() - (CRASH_TURN_MS + 1) * MS_NS);
        (void)kill(getpid(), SIGKILL);
        break;
    case BY_KILL:
        (void)kill(getpid(), SIGKILL);
        break;
    case BY_HANG:
        for (;;)
            (void)pause();
    case BY_DEPTH:
        (void)run_over(NULL, SIZE_MAX);
        break;
    }
}

static enum err handle(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    if (is_of_peer)
        ctx_of_peer(c, CRASH_WHO_PEER, span_of(peer, sizeof(peer)));
    if (note_of(msg)->n == DEADLY)
        die(c);
    if (way != BY_WORKER)
        scene_reply(c, call, 0);
    return ERR_OK;
}

/* It runs all the while, and hears of it all the same. */
static enum err look_for_bans(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    const struct crash_history *h = ctx_crashes(c);
    (void)msg;
    if (h != NULL && crash_history_banned(h, CRASH_WHO_PEER, span_of(peer, sizeof(peer)), clock_mono_ns()))
        count(BANNED_FOR_E);
    scene_reply(c, call, 0);
    return ERR_OK;
}

/* ---- who asks ---- */

static void ask(struct ctx *c, actor_id who)
{
    static uint8_t zeros[PAD_BYTES];
    struct note deadly = {.n = DEADLY, .pad = span_of(zeros, pad)};
    struct msg msg = {.kind = ASK, .fields = &deadly};
    CHECK(ctx_call(c, who, &msg, (struct call_opts){.timeout_ns = 20 * SECOND_NS}, who) == ERR_OK);
}

static void ask_until_it_is_denied(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        atomic_store(&scene.n[PID_OF_A], (uint64_t)getpid());
        CHECK(ctx_monitor(c, B) == ERR_OK);
        CHECK(!two_die || ctx_monitor(c, C) == ERR_OK);
    }
    CHECK(counted(PID_OF_A) == (uint64_t)getpid());
    if (info->kind == INFO_DOWN && info->reason != EXIT_SHUTDOWN)
        count(DIED);
    if (info->kind == INFO_UP && counted(DIED) < deaths_max)
        ask(c, info->actor);
    else if (info->kind == INFO_UP)
        scene_done();
    if (info->kind != INFO_REPLY)
        return;
    if (info->tag == B || info->tag == C)
        CHECK(info->err == ERR_UNAVAILABLE || info->err == ERR_DENIED);
    else
        CHECK(info->err == ERR_OK);
    if (info->err == ERR_DENIED)
        count(info->tag == B ? DENIED_B : DENIED_C);
    if (info->tag == D || info->tag == E)
        scene_done();
    else if (counted(DENIED_B) + counted(DENIED_C) == (two_die ? 2 : 1) && info->err == ERR_DENIED)
        ask(c, is_of_peer ? E : D); /* who handles the same well */
}

/* ---- playing ---- */

static void begin(void)
{
    const struct rlimit none = {0};
    way = BY_FAULT;
    pad = 0;
    is_of_peer = two_die = false;
    deaths_max = UINT64_MAX;
    scene_begin();
    if (!scene.is_ipc)
        skip(); /* threads have no processes of their own */
    if (scene_is_process()) {
        (void)setrlimit(RLIMIT_CORE, &none);
        crash_install(NULL);
    } else {
        assert_int_equal(crash_memory_make(&memory), ERR_OK);
        scene.config.crash = &memory;
    }
}

static enum err be_fine(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)msg;
    scene_reply(c, call, 0);
    return ERR_OK;
}

static void play(void)
{
    uint64_t version = 0;
    char why[256];
    struct runtime_stats stats;
    scene_watch();
    scene.on_info[A] = ask_until_it_is_denied;
    scene.on_call[B] = handle;
    scene.on_call[C] = handle;
    scene.on_call[D] = be_fine;
    scene.on_call[E] = look_for_bans;
    assert_int_equal(scene_start(why, sizeof(why)), ERR_OK);
    bool done = scene_wait(30);
    runtime_stats(scene.rt, &stats);
    scene_stop();
    assert_true(done);
    assert_int_equal(atomic_load(&scene_memory()->failures), 0);
    assert_int_equal(stats.poison, counted(DENIED_B) + counted(DENIED_C));
    assert_true(crash_memory_read(&memory, &version, &known));
    crash_memory_close(&memory);
}

static const struct crash_record *last(void)
{
    return &known.records[known.record_count - 1];
}

/* ---- tests ---- */

static void the_third_time_it_is_dropped(void **state)
{
    (void)state;
    begin();
    play();
    assert_int_equal(counted(DIED), 2);
    assert_int_equal(counted(DENIED_B), 1);
    assert_int_equal(known.record_count, 2);
    assert_false(known.records[0].poisoned);
    assert_true(last()->poisoned && last()->process && !last()->banned);
    assert_string_equal(last()->subject.actor, "b");
    assert_int_equal(last()->subject.does, ASK);
    assert_int_equal(last()->subject.epoch, 2);
    assert_string_equal(last()->thread, "b");
    assert_non_null(strstr(last()->cause, "signal 11"));
    assert_int_equal(last()->address, NOWHERE);
    /* Wherever its process had this program: the fault, who called it, and no address as it was. */
    assert_ptr_equal(strstr(last()->backtrace, "mailbox_test_process_crashes+0x"), last()->backtrace);
    assert_non_null(strstr(last()->backtrace, " mailbox_test_process_crashes+0x"));
    assert_null(strstr(last()->backtrace, "+0x5555"));
    assert_string_equal(known.records[0].backtrace, last()->backtrace); /* though each had it at another place */
}

static void one_longer_than_the_page_has_room_for(void **state)
{
    (void)state;
    begin();
    pad = PAD_BYTES;
    way = BY_ABORT;
    play();
    assert_int_equal(counted(DENIED_B), 1);
    assert_non_null(strstr(last()->cause, "signal 6"));
    assert_true(last()->subject.length > PAD_BYTES);
}

static void two_that_crash_by_turns_or_at_once(void **state)
{
    (void)state;
    begin();
    two_die = true;
    play();
    assert_int_equal(counted(DIED), 4);
    assert_int_equal(counted(DENIED_B), 1);
    assert_int_equal(counted(DENIED_C), 1);
    assert_int_equal(known.record_count, 4);
    size_t of_b = 0;
    for (size_t i = 0; i < known.record_count; i++) {
        const struct crash_record *r = &known.records[i];
        of_b += strcmp(r->subject.actor, "b") == 0;
        assert_string_equal(r->thread, r->subject.actor);
        assert_non_null(strstr(r->backtrace, "mailbox_test_process_crashes+0x"));
    }
    assert_int_equal(of_b, 2);
}

static void its_peer_is_banned_for_all(void **state)
{
    (void)state;
    begin();
    is_of_peer = true;
    play();
    assert_true(last()->banned);
    assert_int_equal(counted(BANNED_FOR_E), 1);
}

static void a_stack_that_runs_over_is_told_of(void **state)
{
    (void)state;
    begin();
    way = BY_DEPTH;
    play();
    assert_true(last()->poisoned);
    assert_string_equal(last()->thread, "b");
}

static void one_that_hangs_is_killed_and_blamed(void **state)
{
    (void)state;
    begin();
    way = BY_HANG;
    play();
    assert_string_equal(last()->cause, "stuck");
    assert_true(last()->poisoned);
}

static void a_kill_in_a_long_turn_blames_it(void **state)
{
    (void)state;
    begin();
    way = BY_LONG_KILL;
    play();
    assert_non_null(strstr(last()->cause, "signal 9"));
    assert_true(last()->poisoned);
}

static void a_kill_in_a_short_turn_blames_nothing(void **state)
{
    (void)state;
    begin();
    way = BY_KILL;
    deaths_max = 3;
    play();
    assert_int_equal(known.record_count, 3);
    assert_int_equal(known.suspect_count + known.poison_count, 0);
    assert_string_equal(last()->subject.actor, "b");
    assert_int_equal(last()->subject.does, 0);
}

static void a_worker_is_told_by_its_lane(void **state)
{
    (void)state;
    begin();
    way = BY_WORKER;
    deaths_max = 2;
    play();
    assert_int_equal(known.record_count, 2);
    assert_int_equal(known.suspect_count + known.poison_count, 0);
    assert_string_equal(last()->subject.actor, "b");
    assert_string_equal(last()->thread, "one");
}

/* What it wrote to the page is nobody's to believe; root and the others go on. */
static void one_that_writes_noise_to_all_of_the_page(void **state)
{
    (void)state;
    begin();
    way = BY_NOISE;
    deaths_max = 5;
    play();
    assert_int_equal(counted(DIED), 5);
    assert_true(known.record_count > 0);
    assert_string_equal(last()->subject.actor, "b");
    assert_non_null(strstr(last()->cause, "signal 11"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_third_time_it_is_dropped),
        cmocka_unit_test(one_longer_than_the_page_has_room_for),
        cmocka_unit_test(two_that_crash_by_turns_or_at_once),
        cmocka_unit_test(its_peer_is_banned_for_all),
        cmocka_unit_test(a_stack_that_runs_over_is_told_of),
        cmocka_unit_test(one_that_hangs_is_killed_and_blamed),
        cmocka_unit_test(a_kill_in_a_long_turn_blames_it),
        cmocka_unit_test(a_kill_in_a_short_turn_blames_nothing),
        cmocka_unit_test(a_worker_is_told_by_its_lane),
        cmocka_unit_test(one_that_writes_noise_to_all_of_the_page),
    };
    return scene_main(argc, argv, tests, ARRAY_LEN(tests));
}
