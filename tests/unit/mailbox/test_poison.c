/* SPDX-License-Identifier: MIT */
/* Messages that were being handled at two crashes in a row are dropped, and whoever asked is told; nothing else is. */
#include "helper_scene.h"

#include <string.h>

#include "base/clock.h"
#include "mailbox/crash_memory.h"
#include "mailbox/ctx.h"

static struct crash_memory memory; /* an actor's process has joined another one, its runtime's */
static struct crash_history history;

/* ---- a life to learn from: what B was handling stays in its slot ---- */

static void tell_or_ask(struct ctx *c, const struct info *info)
{
    if (is_start(info) && counted(9) == TELL)
        CHECK(scene_cast(c, B, TELL, 666) == ERR_OK);
    if (is_start(info) && counted(9) != TELL)
        CHECK(scene_call(c, B, 666, 5 * SECOND_NS, 1) == ERR_OK);
}

static void take_cast(struct ctx *c, const struct msg *msg)
{
    const struct crash_slot *slot = c->slot;
    CHECK(atomic_load(&slot->does) == msg->kind);
    CHECK(strcmp(slot->name, "b") == 0 && atomic_load(&slot->turn_since_ns) != 0);
    memcpy(scene.page, slot, sizeof(*slot));
    scene_done();
}

static enum err take_call(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    (void)call;
    take_cast(c, msg);
    return ERR_UNSUPPORTED;
}

/* Makes what B handles in such a life poison. */
static void learn(uint16_t kind)
{
    struct crash_slot seen; /* B's, as it handled its message */
    scene_begin();
    atomic_store(&scene.n[9], kind);
    scene.config.crash = &memory;
    scene.on_info[A] = tell_or_ask;
    scene.on_cast[B] = take_cast;
    scene.on_call[B] = take_call;
    scene_play(20);
    memcpy(&seen, scene.page, sizeof(seen));
    struct crash_poison *p = &history.poison[history.poison_count++];
    *p = (struct crash_poison){.actor = B, .kind = kind, .length = seen.length};
    assert_int_equal(seen.length, seen.first_len);
    crash_digest(kind, span_of(seen.first, seen.first_len), p->digest);
}

/* ---- the same in the next life ---- */

static void send_all(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        CHECK(scene_cast(c, B, TELL, 666) == ERR_OK);
        CHECK(scene_cast(c, B, TELL, 1) == ERR_OK);
        CHECK(scene_cast(c, B, HINT, 666) == ERR_OK); /* another kind */
        CHECK(scene_call(c, B, 666, 5 * SECOND_NS, 1) == ERR_OK);
        CHECK(scene_call(c, B, 2, 5 * SECOND_NS, 2) == ERR_OK);
    }
    if (info->kind != INFO_REPLY)
        return;
    CHECK(info->err == (info->tag == 1 ? ERR_DENIED : ERR_OK));
    if (info->tag == 2)
        scene_done();
}

static void count_cast(struct ctx *c, const struct msg *msg)
{
    (void)c;
    CHECK(msg->kind == HINT || note_of(msg)->n == 1);
    count(0);
}

static enum err answer(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    CHECK(note_of(msg)->n == 2);
    scene_reply(c, call, 3);
    return ERR_OK;
}

static void what_is_poison_is_dropped_and_nothing_else(void **state)
{
    (void)state;
    history = (struct crash_history){0};
    assert_int_equal(crash_memory_make(&memory), ERR_OK);
    learn(TELL);
    learn(ASK);
    scene_begin();
    scene.config.crash = &memory;
    crash_memory_publish(&memory, &history);
    scene.on_info[A] = send_all;
    scene.on_cast[B] = count_cast;
    scene.on_call[B] = answer;
    char why[256];
    assert_int_equal(scene_start(why, sizeof(why)), ERR_OK);
    assert_true(scene_wait(20));
    struct runtime_stats stats;
    runtime_stats(scene.rt, &stats);
    scene_stop();
    assert_int_equal(stats.poison, 2);
    assert_int_equal(counted(0), 2);
    crash_memory_close(&memory);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_poison_is_dropped_and_nothing_else),
    };
    return SCENE_MAIN(tests);
}
