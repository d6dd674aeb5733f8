/* SPDX-License-Identifier: MIT */
/* A nanny and runtimes that really crash: actors that crash on purpose, by signals, by a turn without end, by a stack that runs over. */
#include "helper_scene.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "mailbox/crash.h"
#include "mailbox/crash_memory.h"
#include "mailbox/nanny.h"

enum { DEADLY = 666, HARMLESS = 1, LIVES_MAX = 8, PAD_BYTES = 4000, NOWHERE = 8 };

enum way { BY_FAULT, BY_ABORT, BY_KILL, BY_HANG, BY_DEPTH };

/* Between the test and the lives. */
struct shared {
    _Atomic unsigned lives;
    _Atomic unsigned handled; /* harmless ones */
    _Atomic unsigned refused; /* calls that were answered with an error */
    _Atomic uint64_t poison;
    bool banned;
    size_t record_count;
    struct crash_record records[CRASH_RECORDS_MAX]; /* as the last life saw them */
};

static struct shared *shared;
static enum way way;
static uint16_t deadly_kind;
static size_t pad;
static bool is_of_peer;
static const struct nanny_life *given;
static const uint8_t peer[34] = {0x12, 0x20, 7};

static int begin(void **state)
{
    const struct rlimit none = {0};
    (void)state;
    (void)setrlimit(RLIMIT_CORE, &none);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    way = BY_FAULT;
    deadly_kind = TELL;
    pad = 0;
    is_of_peer = false;
    return shared == MAP_FAILED;
}

static int end(void **state)
{
    (void)state;
    return munmap(shared, sizeof(*shared));
}

/* ---- a life ---- */

static size_t run_over(volatile char *above, size_t left)
{
    volatile char here[4096];
    here[0] = above == NULL ? 1 : above[0];
    return left == 0 ? 0 : run_over(here, left - 1) + (size_t)here[0];
}

static void die(void)
{
    volatile uintptr_t nowhere = NOWHERE; /* sanitizers know of NULL */
    switch (way) {
    case BY_FAULT:
        *(volatile int *)nowhere = 1;
        break;
    case BY_ABORT:
        abort();
    case BY_KILL:
        /* A turn that has lasted: what the nanny finds in the page. */
        atomic_store(&given->memory->page->slots[B].turn_since_ns, clock_mono_ns() - (CRASH_TURN_MS + 1) * MS_NS);
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

static void handle(struct ctx *c, const struct msg *msg)
{
    if (is_of_peer)
        ctx_of_peer(c, CRASH_WHO_PEER, span_of(peer, sizeof(peer)));
    if (note_of(msg)->n == DEADLY)
        die();
    atomic_fetch_add(&shared->handled, 1);
}

static void take_cast(struct ctx *c, const struct msg *msg)
{
    handle(c, msg);
    scene_done(); /* what is harmless comes last */
}

static enum err take_call(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    handle(c, msg);
    scene_reply(c, call, 0);
    return ERR_OK;
}

static void send(struct ctx *c, const struct info *info)
{
    static uint8_t zeros[PAD_BYTES];
    struct note deadly = {.n = DEADLY, .pad = span_of(zeros, pad)};
    struct msg msg = {.kind = deadly_kind, .fields = &deadly};
    if (is_start(info) && deadly_kind == TELL)
        CHECK(ctx_cast(c, B, &msg) == ERR_OK);
    if (is_start(info) && deadly_kind == ASK)
        CHECK(ctx_call(c, B, &msg, (struct call_opts){.timeout_ns = 20 * SECOND_NS}, 1) == ERR_OK);
    if (info->kind == INFO_REPLY && info->err == ERR_DENIED)
        atomic_fetch_add(&shared->refused, 1);
    if (info->kind == INFO_REPLY || (is_start(info) && deadly_kind == TELL))
        CHECK(scene_cast(c, B, TELL, HARMLESS) == ERR_OK);
}

static int live(void *arg, const struct nanny_life *life)
{
    static struct crash_history known;
    uint64_t version = 0;
    char why[256];
    (void)arg;
    given = life;
    (void)crash_memory_read(life->memory, &version, &known);
    shared->record_count = known.record_count;
    memcpy(shared->records, known.records, sizeof(shared->records));
    shared->banned = crash_history_banned(&known, CRASH_WHO_PEER, span_of(peer, sizeof(peer)), clock_mono_ns());
    if (atomic_fetch_add(&shared->lives, 1) >= LIVES_MAX)
        return 0;
    if (freopen("/dev/null", "w", stderr) == NULL) /* the line of the handler */
        return 0;
    crash_install(life->memory->page);
    scene_begin();
    scene.config.crash = life->memory;
    scene_watch();
    scene.on_info[A] = send;
    scene.on_cast[B] = take_cast;
    scene.on_call[B] = take_call;
    if (scene_start(why, sizeof(why)) != ERR_OK)
        return 0;
    enum runtime_exit code = RUNTIME_EXIT_OK;
    (void)scene_wait(30);
    struct runtime_stats stats;
    runtime_stats(scene.rt, &stats);
    atomic_store(&shared->poison, stats.poison);
    if (runtime_wait(scene.rt, 0, &code))
        return (int)code;
    scene_stop();
    return (int)scene.exit;
}

static void run(int code, unsigned lives)
{
    const struct nanny_config config = {.daemon = live};
    assert_int_equal(nanny_run(&config), code);
    assert_int_equal(shared->lives, lives);
}

static const struct crash_record *last(void)
{
    return &shared->records[shared->record_count - 1];
}

/* ---- tests ---- */

static void the_third_time_it_is_dropped(void **state)
{
    (void)state;
    run(0, 3);
    assert_int_equal(shared->handled, 1);
    assert_int_equal(shared->poison, 1);
    assert_int_equal(shared->record_count, 2);
    assert_false(shared->records[0].poisoned);
    assert_true(last()->poisoned);
    assert_false(last()->banned);
}

static void a_fault_is_recorded(void **state)
{
    (void)state;
    run(0, 3);
    assert_string_equal(last()->subject.actor, "b");
    assert_int_equal(last()->subject.does, TELL);
    assert_int_equal(last()->subject.epoch, 1);
    assert_string_equal(last()->thread, "b");
    assert_non_null(strstr(last()->cause, "signal 11"));
    assert_int_equal(last()->address, NOWHERE);
    /* The fault and who called the handler, all in this program. */
    assert_non_null(strstr(last()->backtrace, "mailbox_test_crashes+0x"));
    assert_non_null(strchr(last()->backtrace, ' '));
}

static void one_longer_than_the_page_has_room_for(void **state)
{
    (void)state;
    pad = PAD_BYTES;
    way = BY_ABORT;
    run(0, 3);
    assert_int_equal(shared->poison, 1);
    assert_non_null(strstr(last()->cause, "signal 6"));
    assert_true(last()->subject.length > PAD_BYTES);
}

static void a_call_is_answered(void **state)
{
    (void)state;
    deadly_kind = ASK;
    run(0, 3);
    assert_int_equal(shared->refused, 1);
    assert_int_equal(shared->poison, 1);
}

static void its_peer_is_banned(void **state)
{
    (void)state;
    is_of_peer = true;
    run(0, 3);
    assert_true(last()->banned);
    assert_true(shared->banned);
}

static void a_stack_that_runs_over_is_told_of(void **state)
{
    (void)state;
    way = BY_DEPTH;
    run(0, 3);
    assert_string_equal(last()->subject.actor, "b");
    assert_true(last()->poisoned);
}

static void an_actor_that_hangs_is_given_up(void **state)
{
    (void)state;
    way = BY_HANG;
    run(0, 3);
    assert_string_equal(last()->cause, "stuck");
    assert_string_equal(last()->subject.actor, "b");
    assert_true(last()->poisoned);
}

static void a_kill_in_a_long_turn_blames_it(void **state)
{
    (void)state;
    way = BY_KILL;
    run(0, 3);
    assert_non_null(strstr(last()->cause, "signal 9"));
    assert_string_equal(last()->subject.actor, "b");
    assert_true(last()->poisoned);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_third_time_it_is_dropped, begin, end),
        cmocka_unit_test_setup_teardown(a_fault_is_recorded, begin, end),
        cmocka_unit_test_setup_teardown(one_longer_than_the_page_has_room_for, begin, end),
        cmocka_unit_test_setup_teardown(a_call_is_answered, begin, end),
        cmocka_unit_test_setup_teardown(its_peer_is_banned, begin, end),
        cmocka_unit_test_setup_teardown(a_stack_that_runs_over_is_told_of, begin, end),
        cmocka_unit_test_setup_teardown(an_actor_that_hangs_is_given_up, begin, end),
        cmocka_unit_test_setup_teardown(a_kill_in_a_long_turn_blames_it, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
