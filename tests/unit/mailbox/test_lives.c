/* SPDX-License-Identifier: MIT */
/* Lives and what outlasts them: monitors, epochs, timers, restarts, failed starts, ends. */
#include "helper_scene.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* ---- monitors and epochs ---- */

static enum err die_when_asked(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)call;
    if (note_of(msg)->n == 1)
        ctx_exit(c, EXIT_FAILED, "asked to die");
    return ERR_OK; /* no reply: its end is the answer */
}

static void watch_b_die(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        CHECK(ctx_monitor(c, B) == ERR_OK);
    if (info->kind == INFO_UP && counted(0) < 3) {
        CHECK(info->actor == B);
        CHECK(scene_call(c, B, 0, 10 * SECOND_NS, 10) == ERR_OK);
        CHECK(scene_call(c, B, 1, 10 * SECOND_NS, 11) == ERR_OK);
        CHECK(scene_call(c, B, 2, 10 * SECOND_NS, 12) == ERR_OK);
    } else if (info->kind == INFO_UP) {
        scene_done();
    }
    if (info->kind == INFO_REPLY) {
        CHECK(info->err == ERR_UNAVAILABLE); /* at once, not at the deadline */
        count(1);
    }
    if (info->kind == INFO_DOWN && counted(0) < 3) { /* a fourth comes when the tree is stopped */
        CHECK(info->actor == B && info->reason == EXIT_FAILED);
        CHECK(counted(1) == 3 * (counted(0) + 1)); /* the calls end first */
        count(0);
    }
}

static void test_down_ends_the_calls_and_up_comes_with_each_life(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = watch_b_die;
    scene.on_call[B] = die_when_asked;
    scene_play(20);
    assert_int_equal(counted(0), 3);
    assert_int_equal(counted(1), 9);
}

static struct reply_to kept;

static enum err keep_call(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)msg;
    kept = call;
    (void)ctx_timer(c, ctx_now(c) + 300 * MS_NS, 5);
    return ERR_OK;
}

static void reply_to_the_dead(struct ctx *c, const struct info *info)
{
    if (info->kind != INFO_TIMER || info->tag != 5)
        return;
    scene_reply(c, kept, 1); /* A has another life by now: nobody must hear this */
    (void)ctx_timer(c, ctx_now(c) + 50 * MS_NS, 6);
    count(4);
}

static void ask_and_die(struct ctx *c, const struct info *info)
{
    CHECK(info->kind == INFO_TIMER);
    if (is_start(info)) {
        count(0);
        if (counted(0) == 1) {
            CHECK(scene_call(c, B, 0, 10 * SECOND_NS, 1) == ERR_OK);
            (void)ctx_timer(c, ctx_now(c) + 20 * MS_NS, 2);
            (void)ctx_timer(c, ctx_now(c) + 40 * MS_NS, 3); /* dies with the life */
        } else {
            (void)ctx_timer(c, ctx_now(c) + 500 * MS_NS, 4);
        }
        return;
    }
    if (info->tag == 2)
        ctx_exit(c, EXIT_FAILED, "with a call out");
    CHECK(info->tag != 3);
    if (info->tag == 4)
        scene_done();
}

static void test_a_new_life_hears_nothing_of_the_old_one(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = ask_and_die;
    scene.on_call[B] = keep_call;
    scene.on_info[B] = reply_to_the_dead;
    scene_play(10);
    assert_int_equal(counted(0), 2);
    assert_int_equal(counted(4), 1);
}

/* Each life of A speaks at once, while root's word of its beginning, and of the last one's end, is still on its way. */
enum { SPOKEN_LIVES = 4, LIVES = 0, UPS = 1, DOWNS = 2 };

static enum err speak_at_once(struct ctx *c)
{
    count(LIVES);
    CHECK(scene_cast(c, B, TELL, counted(LIVES)) == ERR_OK);
    (void)ctx_timer(c, ctx_now(c) + MS_NS, 2);
    return ERR_OK;
}

static void die_when_noticed(struct ctx *c, const struct info *info)
{
    if (info->kind != INFO_TIMER || info->tag != 2)
        return;
    if (counted(UPS) == 0)
        (void)ctx_timer(c, ctx_now(c) + MS_NS, 2);
    else if (counted(LIVES) < SPOKEN_LIVES)
        ctx_exit(c, EXIT_FAILED, "enough said");
}

static void note_lives(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        CHECK(ctx_monitor(c, A) == ERR_OK);
    if (info->kind == INFO_UP || info->kind == INFO_DOWN) {
        CHECK(info->actor == A && counted(UPS) - counted(DOWNS) == (info->kind == INFO_DOWN));
        count(info->kind == INFO_UP ? UPS : DOWNS);
    }
}

static void hear_of_the_living(struct ctx *c, const struct msg *msg)
{
    (void)c;
    uint64_t life = note_of(msg)->n;
    CHECK(life == 1 || (counted(UPS) >= life && counted(DOWNS) >= life - 1));
    if (life == SPOKEN_LIVES)
        scene_done();
}

static void test_no_life_is_heard_before_the_end_of_the_last(void **state)
{
    (void)state;
    scene_begin();
    scene.on_init[A] = speak_at_once;
    scene.on_info[A] = die_when_noticed;
    scene.on_info[B] = note_lives;
    scene.on_cast[B] = hear_of_the_living;
    scene_play(20);
}

static void be_busy(struct ctx *c, const struct info *info)
{
    (void)c;
    if (is_start(info) && !scene.is_sim) /* where the call and the end come in any order */
        (void)usleep(300 * 1000);
}

static void call_and_die(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        (void)ctx_timer(c, ctx_now(c) + 50 * MS_NS, 2);
    if (info->kind != INFO_TIMER || info->tag != 2)
        return;
    CHECK(scene_call(c, B, 1, 10 * SECOND_NS, 1) == ERR_OK);
    ctx_exit(c, EXIT_FAILED, "does not wait");
}

static enum err tell_in_the_second_life(struct ctx *c)
{
    count(0);
    return counted(0) == 2 ? scene_cast(c, B, TELL, 1) : ERR_OK;
}

static enum err count_call(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    count(1);
    scene_reply(c, call, note_of(msg)->n);
    return ERR_OK;
}

static void end_it(struct ctx *c, const struct msg *msg)
{
    (void)c;
    (void)msg;
    scene_done();
}

static void test_the_calls_of_the_dead_are_not_begun(void **state)
{
    (void)state;
    scene_begin();
    scene.on_init[A] = tell_in_the_second_life;
    scene.on_info[A] = call_and_die;
    scene.on_info[B] = be_busy;
    scene.on_call[B] = count_call;
    scene.on_cast[B] = end_it;
    scene_play(20);
    if (!scene.is_sim)
        assert_int_equal(counted(1), 0);
}

/* ---- timers ---- */

static void run_timers(struct ctx *c, const struct info *info)
{
    static _Thread_local uint64_t cancelled;
    if (is_start(info)) {
        for (uint64_t i = 0; i < 100; i++) /* set in a mixed order */
            (void)ctx_timer(c, ctx_now(c) + (i * 37 % 100) * MS_NS / 4, i * 37 % 100);
        cancelled = ctx_timer(c, ctx_now(c) + 10 * MS_NS, 1000);
        ctx_timer_cancel(c, cancelled);
        (void)ctx_timer(c, ctx_now(c) + 25 * MS_NS, 100); /* takes the slot over */
        ctx_timer_cancel(c, cancelled);                   /* of a timer that is gone: ignored */
        return;
    }
    CHECK(info->kind == INFO_TIMER && info->tag == counted(0));
    count(0);
    if (counted(0) == 101)
        scene_done();
}

static void test_timers_fire_in_the_order_of_their_times(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = run_timers;
    scene_play(10);
}

/* ---- starts ---- */

static enum err refuse_to_start(struct ctx *c)
{
    count(1);
    return ctx_fail(c, ERR_IO, "no disk %d", 3);
}

static void count_ends(struct ctx *c, enum exit_reason reason)
{
    (void)c;
    (void)reason;
    count(2);
}

static void test_a_failed_first_start_takes_the_tree_down_and_says_why(void **state)
{
    (void)state;
    scene_begin();
    scene.on_init[C] = refuse_to_start;
    scene.on_end[A] = scene.on_end[B] = scene.on_end[C] = scene.on_end[D] = count_ends;
    char why[256];
    assert_int_equal(scene_start(why, sizeof(why)), ERR_UNAVAILABLE);
    assert_string_equal(why, "c: no disk 3");
    assert_null(scene.rt);
    scene_stop();
    assert_int_equal(counted(1), 1);
    assert_int_equal(counted(2), 3); /* A, B and the one that failed; D was never begun */
}

static enum err start_second_time_fails(struct ctx *c)
{
    count(1);
    uint64_t lives = counted(1);
    return lives == 2 || lives == 3 ? ctx_fail(c, ERR_IO, "not yet") : ERR_OK;
}

static void die_once(struct ctx *c, const struct info *info)
{
    if (is_start(info) && counted(1) == 1)
        ctx_exit(c, EXIT_FAILED, "once");
    else if (is_start(info))
        scene_done();
}

static void note_event(void *arg, struct ctx *root, const struct supervision_event *event)
{
    (void)arg;
    (void)root;
    if (event->actor != B)
        return;
    if (event->kind == SUPERVISION_START_FAILED)
        CHECK(strcmp(event->text, "not yet") == 0);
    if (event->kind == SUPERVISION_EXITED && counted(3) == 0)
        CHECK(event->reason == EXIT_FAILED && strcmp(event->text, "once") == 0);
    if (event->kind == SUPERVISION_RESTARTING) {
        static const uint32_t least[] = {0, 50, 100};
        static const uint32_t most[] = {0, 100, 200};
        CHECK(counted(3) < 3);
        CHECK(event->delay_ms >= least[counted(3)] && event->delay_ms <= most[counted(3)]);
        count(3);
    }
}

static void test_a_restart_that_fails_is_tried_again_with_backoff(void **state)
{
    (void)state;
    scene_begin();
    scene.on_init[B] = start_second_time_fails;
    scene.on_info[B] = die_once;
    scene.config.event = note_event;
    scene_play(10);
    assert_int_equal(counted(1), 4);
    assert_int_equal(counted(3), 3);
}

/* ---- ends ---- */

static void die_at_once(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        ctx_exit(c, EXIT_FAILED, "again");
}

static const struct child_spec two[] = {{.id = "a", .start = A}, {.id = "b", .start = B}};
static const struct supervisor_spec strict = {.name = "strict",
                                              .strategy = STRATEGY_ONE_FOR_ONE,
                                              .intensity = 3,
                                              .period_ms = 10000,
                                              .children = two,
                                              .child_count = 2};

static void test_too_many_restarts_end_the_runtime(void **state)
{
    (void)state;
    scene_begin();
    scene.config.tree = &strict;
    scene.on_info[B] = die_at_once;
    scene.on_end[B] = count_ends;
    scene_play(20);
    assert_int_equal(scene.exit, RUNTIME_EXIT_ESCALATED);
    assert_int_equal(counted(2), 4); /* the first life and three restarts */
}

static void note_order(struct ctx *c, enum exit_reason reason)
{
    CHECK(reason == EXIT_SHUTDOWN);
    atomic_store(&scene.n[9], atomic_load(&scene.n[9]) * 10 + ctx_self(c));
}

static enum err note_start(struct ctx *c)
{
    atomic_store(&scene.n[9], atomic_load(&scene.n[9]) * 10 + ctx_self(c));
    return ERR_OK;
}

static void test_children_start_in_order_and_stop_in_reverse(void **state)
{
    (void)state;
    scene_begin();
    atomic_store(&scene.n[9], 0);
    for (int i = A; i <= E; i++) {
        scene.on_init[i] = note_start;
        scene.on_end[i] = note_order;
    }
    char why[256];
    assert_int_equal(scene_start(why, sizeof(why)), ERR_OK);
    assert_int_equal(atomic_load(&scene.n[9]), 12345);
    scene_stop();
    assert_int_equal(atomic_load(&scene.n[9]), 1234554321);
    assert_int_equal(scene.exit, RUNTIME_EXIT_OK);
}

enum { LAST_WORDS = 100, TOLD = 1, ORDERED = 10 }; /* of scene.n, and one more for each actor from there on */

/* Each tells its neighbour, who is stopped next. */
static void tell_last_words(struct ctx *c, enum exit_reason reason)
{
    CHECK(reason == EXIT_SHUTDOWN);
    CHECK(scene_cast(c, ctx_self(c) - 1, URGENT, 0) == ERR_OK);
    for (uint64_t i = 0; i < LAST_WORDS; i++)
        CHECK(scene_cast(c, ctx_self(c) - 1, TELL, i) == ERR_OK);
}

static void note_order_to_stop(void *arg, struct ctx *root, const struct supervision_event *event)
{
    (void)arg;
    (void)root;
    if (event->kind == SUPERVISION_STOPPING && event->actor != 0)
        count(ORDERED + event->actor);
}

/* Until the order to stop must have come: it is given a little after it was noted. The simulator's order of turns has the same cases. */
static void wait_for_order(actor_id self)
{
    uint64_t end = clock_mono_ns() + 2 * SECOND_NS;
    while (!scene.is_sim && counted(ORDERED + self) == 0 && clock_mono_ns() < end) {
    }
    uint64_t later = clock_mono_ns() + 10 * MS_NS;
    while (!scene.is_sim && clock_mono_ns() < later) {
    }
}

static void hear_last_words(struct ctx *c, const struct msg *msg)
{
    actor_id self = ctx_self(c);
    if (msg->kind == URGENT) {
        wait_for_order(self);
        return;
    }
    CHECK(note_of(msg)->n == counted(TOLD + self));
    count(TOLD + self);
}

/* The order to stop comes on the lane that overtakes. */
static void test_what_was_sent_before_the_order_to_stop_is_handled(void **state)
{
    (void)state;
    scene_begin();
    scene.config.event = note_order_to_stop;
    for (int i = A; i < E; i++) {
        scene.on_end[i + 1] = tell_last_words;
        scene.on_cast[i] = hear_last_words;
    }
    char why[256];
    assert_int_equal(scene_start(why, sizeof(why)), ERR_OK);
    scene_stop();
    for (int i = A; i < E; i++)
        assert_int_equal(counted(TOLD + i), LAST_WORDS);
    assert_int_equal(scene.exit, RUNTIME_EXIT_OK);
}

enum { PARTING_BYTES = 4 * 1024 * 1024, SAID = 30, HEARD };

/* More than any socket holds, to one who reads it later only. */
static void leave_much(struct ctx *c, enum exit_reason reason)
{
    (void)reason;
    struct block_ref *tail = block_ref_new(PARTING_BYTES, NULL);
    CHECK(tail != NULL);
    memset(tail->data, 7, tail->len);
    CHECK(scene_cast(c, D, URGENT, 0) == ERR_OK);
    CHECK(ctx_cast(c, D, &(struct msg){.kind = TELL, .fields = &(struct note){0}, .tail = tail}) == ERR_OK);
    block_ref_unref(tail);
    count(SAID);
}

static void read_later(struct ctx *c, const struct msg *msg)
{
    (void)c;
    if (msg->kind == TELL) {
        CHECK(msg->tail != NULL && msg->tail->len == PARTING_BYTES && msg->tail->data[PARTING_BYTES - 1] == 7);
        count(HEARD);
        return;
    }
    uint64_t end = clock_mono_ns() + 2 * SECOND_NS;
    while (!scene.is_sim && counted(SAID) == 0 && clock_mono_ns() < end) {
    }
    uint64_t later = clock_mono_ns() + 20 * MS_NS;
    while (!scene.is_sim && clock_mono_ns() < later) {
    }
}

/* Its last word is under way when it has nothing left to do but to end. */
static void test_a_life_ends_when_what_it_said_has_left_it(void **state)
{
    (void)state;
    scene_begin();
    scene.on_end[E] = leave_much;
    scene.on_cast[D] = read_later;
    char why[256];
    assert_int_equal(scene_start(why, sizeof(why)), ERR_OK);
    scene_stop();
    assert_int_equal(counted(HEARD), 1);
}

static void tell_oneself(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        CHECK(scene_cast(c, ctx_self(c), TELL, 0) == ERR_OK);
    if (is_start(info))
        scene_done();
}

static void tell_oneself_again(struct ctx *c, const struct msg *msg)
{
    CHECK(scene_cast(c, ctx_self(c), TELL, note_of(msg)->n) == ERR_OK);
}

static void test_a_mailbox_that_is_never_empty_stops_all_the_same(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[C] = tell_oneself;
    scene.on_cast[C] = tell_oneself_again;
    scene.on_end[C] = count_ends;
    scene_play(20);
    assert_int_equal(counted(2), 1);
    assert_int_equal(scene.exit, RUNTIME_EXIT_OK);
}

/* ---- stuck ---- */

static void hang(struct ctx *c, const struct msg *msg)
{
    if (note_of(msg)->n == 1)
        ctx_long(c, 60 * SECOND_NS); /* declared: is left alone */
    count(0);
    while (!scene_is_done()) {
    }
    while (note_of(msg)->n == 0 && counted(5) == 0) { /* until the test has seen what it wanted */
    }
    count(6);
}

static void send_hang(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        CHECK(scene_cast(c, B, TELL, counted(8)) == ERR_OK);
    if (is_start(info) && counted(8) == 1)
        (void)ctx_timer(c, ctx_now(c) + 2 * SCENE_STUCK_MS * MS_NS, 1);
    if (info->kind == INFO_TIMER && info->tag == 1)
        scene_done();
}

static void note_watchdog(void *arg, struct ctx *root, const struct supervision_event *event)
{
    (void)arg;
    (void)root;
    if (event->kind == SUPERVISION_SLOW && event->actor == B)
        count(1);
    if (event->kind == SUPERVISION_STUCK && event->actor == B)
        count(2);
    if (event->kind == SUPERVISION_STUCK && scene.is_ipc)
        scene_done(); /* it is ended; a thread is the end of all */
}

/* The runtime that nobody may free. */
static struct runtime *left_behind UNUSED;

static void begin_hang(uint64_t long_turn)
{
    scene_begin();
    if (scene.is_sim)
        skip(); /* a handler that hangs is the machine's time, of which the simulator has none */
    atomic_store(&scene.n[8], long_turn);
    scene_watch();
    scene.config.event = note_watchdog;
    scene.on_info[A] = send_hang;
    scene.on_cast[B] = hang;
}

static void test_an_actor_that_does_not_turn_is_slow_then_stuck(void **state)
{
    (void)state;
    begin_hang(0);
    if (scene.is_ipc) {
        scene_play(20);
        assert_int_equal(scene.exit, RUNTIME_EXIT_OK);
        assert_int_equal(counted(1), 1);
        assert_int_equal(counted(2), 1);
        return;
    }
    char why[256];
    assert_int_equal(scene_start(why, sizeof(why)), ERR_OK);
    enum runtime_exit code = RUNTIME_EXIT_OK;
    assert_true(runtime_wait(scene.rt, 10 * SCENE_SLOWER * SECOND_NS, &code)); /* the rest of the tree has stopped */
    assert_int_equal(code, RUNTIME_EXIT_STUCK);
    assert_int_equal(counted(1), 1);
    assert_int_equal(counted(2), 1);
    /* Nothing is freed under a thread that hangs; here the test lets it go to keep the sanitizers content. */
    scene_done();
    count(5);
    while (counted(6) == 0) {
    }
    left_behind = scene.rt;
    scene.rt = NULL;
}

static void test_a_declared_long_turn_is_left_alone(void **state)
{
    (void)state;
    begin_hang(1);
    scene_play(10);
    assert_int_equal(counted(0), 1);
    assert_int_equal(counted(1), 0);
    assert_int_equal(counted(2), 0);
}

/* ---- what a life leaves ---- */

static void free_thing(void *thing)
{
    free(thing);
    count(4);
}

static enum err take_what_is_left(struct ctx *c)
{
    uint64_t *thing = ctx_inherit(c);
    if (thing == NULL)
        thing = calloc(1, sizeof(*thing));
    if (thing == NULL)
        return ERR_NOMEM;
    CHECK(++*thing == counted(0) + 1);
    ctx_bequeath(c, thing, free_thing); /* kept there meanwhile */
    return ERR_OK;
}

static void end_twice(struct ctx *c, const struct info *info)
{
    if (!is_start(info))
        return;
    count(0);
    CHECK(counted(4) == 0);
    if (counted(0) < 3)
        ctx_exit(c, EXIT_FAILED, "once more");
    else
        scene_done();
}

static void leave_again(struct ctx *c, enum exit_reason reason)
{
    uint64_t *thing = ctx_inherit(c);
    CHECK(thing != NULL && *thing == counted(0));
    ctx_bequeath(c, thing, free_thing);
    CHECK(counted(4) == (reason == EXIT_SHUTDOWN ? 1 : 0)); /* nobody comes any more: at once */
}

static void test_a_life_leaves_a_thing_to_the_next(void **state)
{
    (void)state;
    scene_begin();
    SCENE_ONE_PROCESS("the thing, which goes with a process: the next test has what stays");
    scene.on_init[B] = take_what_is_left;
    scene.on_info[B] = end_twice;
    scene.on_end[B] = leave_again;
    scene_play(10);
    assert_int_equal(counted(0), 3);
    assert_int_equal(counted(4), 1);
}

/* Where a life is a process: whatever way it ends. */
static enum err find_what_was_kept(struct ctx *c)
{
    const struct keep_port *keep = ctx_keep(c);
    struct stat info = {0};
    CHECK((keep != NULL) == scene.is_ipc);
    if (keep == NULL)
        return ERR_OK;
    int fd = keep->find(keep->self, "thing");
    CHECK((fd >= 0) == (counted(0) > 0));
    if (fd < 0)
        fd = memfd_create("thing", MFD_CLOEXEC);
    CHECK(fstat(fd, &info) == 0 && (uint64_t)info.st_size == counted(0));
    CHECK(ftruncate(fd, info.st_size + 1) == 0);
    if (counted(0) == 0)
        CHECK(keep->keep(keep->self, "thing", fd) == ERR_OK);
    CHECK(close(fd) == 0);
    return ERR_OK;
}

static void end_in_two_ways(struct ctx *c, const struct info *info)
{
    if (!is_start(info))
        return;
    count(0);
    if (counted(0) == 2 && scene.is_ipc)
        (void)raise(SIGKILL);
    if (counted(0) < 3)
        ctx_exit(c, EXIT_FAILED, "once more");
    else
        scene_done();
}

static void test_a_process_leaves_what_is_kept_however_it_ends(void **state)
{
    (void)state;
    scene_begin();
    scene.on_init[B] = find_what_was_kept;
    scene.on_info[B] = end_in_two_ways;
    scene_play(10);
    assert_int_equal(counted(0), 3);
}

/* ---- a thousand lives ---- */

static const struct supervisor_spec patient = {.name = "patient",
                                               .strategy = STRATEGY_ONE_FOR_ONE,
                                               .intensity = 64,
                                               .period_ms = 1,
                                               .children = two,
                                               .child_count = 2};

static void live_shortly(struct ctx *c, const struct info *info)
{
    if (!is_start(info))
        return;
    count(0);
    (void)ctx_timer(c, ctx_now(c) + 11 * SECOND_NS, 1);
    if (counted(0) == 1000)
        scene_done();
}

static void end_when_healthy(struct ctx *c, const struct info *info)
{
    live_shortly(c, info);
    if (info->kind == INFO_TIMER && info->tag == 1)
        ctx_exit(c, EXIT_FAILED, "old enough");
}

static void test_a_thousand_lives_leave_nothing_behind(void **state)
{
    (void)state;
    scene_begin();
    if (!scene.is_sim)
        skip(); /* 11 s of health each: simulated time only; threads are made and joined in the other tests */
    scene.config.tree = &patient;
    scene.on_info[B] = end_when_healthy;
    scene_play(20000);
    assert_int_equal(counted(0), 1000);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_down_ends_the_calls_and_up_comes_with_each_life),
        cmocka_unit_test(test_a_new_life_hears_nothing_of_the_old_one),
        cmocka_unit_test(test_no_life_is_heard_before_the_end_of_the_last),
        cmocka_unit_test(test_the_calls_of_the_dead_are_not_begun),
        cmocka_unit_test(test_timers_fire_in_the_order_of_their_times),
        cmocka_unit_test(test_a_failed_first_start_takes_the_tree_down_and_says_why),
        cmocka_unit_test(test_a_restart_that_fails_is_tried_again_with_backoff),
        cmocka_unit_test(test_too_many_restarts_end_the_runtime),
        cmocka_unit_test(test_children_start_in_order_and_stop_in_reverse),
        cmocka_unit_test(test_what_was_sent_before_the_order_to_stop_is_handled),
        cmocka_unit_test(test_a_life_ends_when_what_it_said_has_left_it),
        cmocka_unit_test(test_a_mailbox_that_is_never_empty_stops_all_the_same),
        cmocka_unit_test(test_a_declared_long_turn_is_left_alone),
        cmocka_unit_test(test_an_actor_that_does_not_turn_is_slow_then_stuck),
        cmocka_unit_test(test_a_life_leaves_a_thing_to_the_next),
        cmocka_unit_test(test_a_process_leaves_what_is_kept_however_it_ends),
        cmocka_unit_test(test_a_thousand_lives_leave_nothing_behind),
    };
    return scene_main(argc, argv, tests, ARRAY_LEN(tests));
}
