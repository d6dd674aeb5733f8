/* SPDX-License-Identifier: MIT */
/*
 * Root, actor 0: drives the supervision engine with what its mailbox, its timer and the watchdog say, tells everybody who is up and who
 * is down, and answers what is asked and ordered about actors (orders.h).
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "mailbox/ctx.h"
#include "mailbox/orders.h"
#include "mailbox/pulse.h"
#include "mailbox/supervisor_children.h"

static struct ctx *root_of(void *self)
{
    return &((struct runtime *)self)->actors[ROOT_ID];
}

/* ---- orders of the engine ---- */

/*
 * What the ended life had under way no longer counts: perhaps nobody is left to give it back. spoke: it has said itself that it ends, so what
 * it sent before lies where it was sent, counts until it is handled, and who is told to stop waits for it.
 */
static void renew_boxes(struct runtime *rt, const struct ctx *child, bool spoke)
{
    uint32_t epoch = life_epoch(life_of(child)) + 1; /* of the next life */
    for (size_t i = 0; i < rt->actor_count; i++) {
        const struct ctx *other = &rt->actors[i];
        uint32_t other_epoch = other == child ? epoch : life_epoch(life_of(other));
        box_renew(&child->shared->box, box_pair_of(other->id, other_epoch, epoch));
        if (!spoke)
            box_renew(&other->shared->box, box_pair_of(child->id, epoch, other_epoch));
    }
}

static void order_start(void *self, actor_id id)
{
    struct runtime *rt = self;
    struct ctx *root = root_of(self);
    struct ctx *child = actor_of(rt, id);
    uint32_t epoch = life_epoch(life_of(child)) + 1;
    if (epoch > 1)
        atomic_fetch_add_explicit(&child->shared->restarts, 1, memory_order_relaxed);
    atomic_store_explicit(&child->shared->waiting, WAITING_NOT, memory_order_relaxed);
    atomic_store_explicit(&child->shared->watch_state, WATCH_FINE, memory_order_relaxed);
    atomic_store_explicit(&child->shared->life, life_word(epoch, LIFE_STARTING), memory_order_release);
    if (rt->backend->spawn(child) == ERR_OK)
        return;
    /* No thread: the engine hears of it as of any failed start, in a later turn. */
    atomic_store_explicit(&child->shared->life, life_word(epoch, LIFE_ENDED), memory_order_release);
    struct record failed = {.type = RECORD_STARTED,
                            .kind = EXIT_FAILED,
                            .from = id,
                            .to = ROOT_ID,
                            .from_epoch = epoch,
                            .to_epoch = root->epoch,
                            .err = ERR_NOMEM};
    outbox_raw(root, LANE_CONTROL, &failed, "no thread or process to run it");
}

static void order_stop(void *self, actor_id id)
{
    struct ctx *root = root_of(self);
    struct record stop = {.type = RECORD_STOP,
                          .from = ROOT_ID,
                          .to = id,
                          .from_epoch = root->epoch,
                          .to_epoch = life_epoch(life_of(actor_of(self, id)))};
    outbox_raw(root, LANE_CONTROL, &stop, NULL);
}

static void broadcast(struct ctx *root, enum record_type type, actor_id about, uint32_t epoch, enum exit_reason reason)
{
    for (size_t i = 1; i < root->rt->actor_count; i++) {
        uint64_t life = life_of(actor_of(root->rt, (actor_id)i));
        enum life_state state = life_state(life);
        if (i == about || (state != LIFE_RUNNING && state != LIFE_STARTING))
            continue;
        struct record record = {.type = type,
                                .kind = (uint16_t)reason,
                                .from = about,
                                .to = (actor_id)i,
                                .from_epoch = epoch,
                                .to_epoch = life_epoch(life)};
        outbox_raw(root, LANE_CONTROL, &record, NULL);
    }
}

/* A process is ended, and says so. A thread cannot be, but nobody listens to it any more. */
static void order_kill(void *self, actor_id id, enum exit_reason reason)
{
    struct ctx *child = actor_of(self, id);
    if (child->rt->backend->kill != NULL) {
        child->rt->backend->kill(child, reason);
        return;
    }
    uint32_t epoch = life_epoch(life_of(child));
    poison_stuck(child);
    atomic_store_explicit(&child->shared->life, life_word(epoch, LIFE_ENDED), memory_order_release);
    atomic_store_explicit(&child->shared->last_exit, (uint32_t)reason + 1, memory_order_relaxed);
    renew_boxes(self, child, false);
    broadcast(root_of(self), RECORD_DOWN, id, epoch, reason);
}

static uint64_t order_random(void *self)
{
    uint64_t value;
    ctx_random(root_of(self), &value, sizeof(value));
    return value;
}

static enum log_level level_of(const struct supervision_event *event)
{
    switch (event->kind) {
    case SUPERVISION_START_FAILED:
    case SUPERVISION_STUCK:
    case SUPERVISION_ESCALATED:
        return LOG_ERROR;
    case SUPERVISION_RESTARTING:
    case SUPERVISION_SLOW:
        return LOG_WARN;
    case SUPERVISION_EXITED:
        return event->reason == EXIT_SHUTDOWN || event->reason == EXIT_NORMAL ? LOG_DEBUG : LOG_WARN;
    case SUPERVISION_STOPPED:
    case SUPERVISION_IGNORED:
        return LOG_INFO;
    case SUPERVISION_STARTING:
    case SUPERVISION_STARTED:
    case SUPERVISION_STOPPING:
    case SUPERVISION_KIND_COUNT:
        break;
    }
    return LOG_DEBUG;
}

/* What the rows of actors say of one that is down. */
static void note_waiting(struct runtime *rt, const struct supervision_event *event)
{
    uint32_t waiting = event->kind == SUPERVISION_STOPPED ? WAITING_STOPPED : WAITING_RESTART;
    if (event->actor != 0 && (event->kind == SUPERVISION_RESTARTING || event->kind == SUPERVISION_STOPPED))
        atomic_store_explicit(&actor_of(rt, event->actor)->shared->waiting, waiting, memory_order_relaxed);
    for (size_t i = 1; i < rt->actor_count; i++)
        atomic_store_explicit(&actor_of(rt, (actor_id)i)->shared->stays_down,
                              supervisor_is_held(rt->supervisor, supervisor_find_actor(rt->supervisor, (actor_id)i)),
                              memory_order_relaxed);
}

static void order_event(void *self, const struct supervision_event *event)
{
    struct runtime *rt = self;
    struct ctx *root = root_of(self);
    note_waiting(rt, event);
    bool booting = !atomic_load_explicit(&rt->booted, memory_order_relaxed);
    if (booting && rt->why[0] == '\0' && (event->kind == SUPERVISION_START_FAILED || event->kind == SUPERVISION_STUCK))
        (void)snprintf(rt->why, sizeof(rt->why), "%s: %s", event->child, event->text);
    ctx_log(root, level_of(event), "%s %s%s%s%s%s", event->child, supervision_kind_name(event->kind),
            event->kind == SUPERVISION_EXITED ? " " : "",
            event->kind == SUPERVISION_EXITED ? exit_reason_name(event->reason) : "",
            event->text[0] == '\0' ? "" : ": ", event->text);
    orders_event(root, event);
    if (rt->config.event != NULL)
        rt->config.event(rt->config.event_arg, root, event);
}

/* ---- after each event ---- */

static enum runtime_exit exit_of(enum supervisor_end end)
{
    switch (end) {
    case SUPERVISOR_END_STOPPED:
        return RUNTIME_EXIT_OK;
    case SUPERVISOR_END_START_FAILED:
        return RUNTIME_EXIT_START_FAILED;
    case SUPERVISOR_END_ESCALATED:
        return RUNTIME_EXIT_ESCALATED;
    case SUPERVISOR_END_STUCK:
        return RUNTIME_EXIT_STUCK;
    }
    return RUNTIME_EXIT_ESCALATED;
}

static void settle(struct ctx *root)
{
    struct runtime *rt = root->rt;
    const struct supervisor *s = rt->supervisor;
    if (rt->root_timer != 0)
        ctx_timer_cancel(root, rt->root_timer);
    uint64_t at = supervisor_wake_at(s);
    rt->root_timer = at == UINT64_MAX ? 0 : ctx_timer(root, at + rt->away_ns, 0);
    enum supervisor_state state = supervisor_state(s);
    if (state == SUPERVISOR_RUNNING && !atomic_load_explicit(&rt->booted, memory_order_relaxed)) {
        atomic_store_explicit(&rt->booted, true, memory_order_release);
        runtime_notify(rt);
    }
    if (state == SUPERVISOR_ENDED) {
        atomic_store(&rt->exit_code, exit_of(supervisor_end(s)));
        ctx_exit(root, EXIT_NORMAL, "%s", "the tree has ended");
    }
}

void root_record(struct ctx *root, const struct record *r)
{
    struct runtime *rt = root->rt;
    assert(root->id == ROOT_ID);
    struct ctx *child = actor_of(rt, r->from);
    if (r->from_epoch != life_epoch(life_of(child)))
        return; /* of a life that root has already seen the end of */
    char text[TEXT_MAX] = "";
    memcpy(text, r->body, MIN(r->body_len, sizeof(text) - 1));
    if (r->type == RECORD_EXITED || r->err != ERR_OK)
        memcpy(child->last_text, text, sizeof(text));
    bool up = r->type == RECORD_STARTED && r->err == ERR_OK;
    if (up) {
        broadcast(root, RECORD_UP, r->from, r->from_epoch, EXIT_NORMAL);
        supervisor_started(rt->supervisor, pulse_now(root), r->from, r->from_epoch);
        settle(root);
        return;
    }
    bool has_thread = r->type == RECORD_EXITED || r->err != ERR_NOMEM;
    if (has_thread)
        rt->backend->reap(child);
    enum exit_reason reason = (enum exit_reason)r->kind;
    atomic_store_explicit(&child->shared->last_exit, (uint32_t)reason + 1, memory_order_relaxed);
    renew_boxes(rt, child, r->type == RECORD_EXITED && reason != EXIT_KILLED && reason != EXIT_STUCK);
    if (r->type == RECORD_EXITED) {
        broadcast(root, RECORD_DOWN, r->from, r->from_epoch, reason);
        supervisor_exited(rt->supervisor, pulse_now(root), r->from, reason, text);
    } else if (reason == EXIT_NORMAL) {
        supervisor_ignored(rt->supervisor, pulse_now(root), r->from, text);
    } else {
        supervisor_start_failed(rt->supervisor, pulse_now(root), r->from, text);
    }
    settle(root);
}

void root_accused(struct ctx *root, const struct record *r)
{
    struct ctx *child = actor_of(root->rt, r->kind);
    ctx_log(root, LOG_ERROR, "%s says that the process of %s sent what is no message: it is ended",
            actor_of(root->rt, r->from)->class->name, child->class->name);
    if (root->rt->backend->kill != NULL)
        root->rt->backend->kill(child, EXIT_KILLED);
}

/* What the watchdog, a plain thread, left for us. */
static void look_at_watchdog(struct ctx *root)
{
    for (size_t i = 1; i < root->rt->actor_count; i++) {
        struct ctx *c = actor_of(root->rt, (actor_id)i);
        uint32_t seen = WATCH_SLOW;
        if (atomic_compare_exchange_strong(&c->shared->watch_state, &seen, WATCH_SLOW_TOLD)) {
            struct supervision_event slow = {.kind = SUPERVISION_SLOW,
                                             .child = c->class->name,
                                             .actor = c->id,
                                             .epoch = life_epoch(life_of(c)),
                                             .text = "a turn takes more than 5 s"};
            order_event(root->rt, &slow);
        }
        seen = WATCH_STUCK;
        if (atomic_compare_exchange_strong(&c->shared->watch_state, &seen, WATCH_STUCK_TOLD)) {
            supervisor_abandon(root->rt->supervisor, pulse_now(root), c->id);
            settle(root);
        }
    }
}

void root_turn(struct ctx *root)
{
    struct runtime *rt = root->rt;
    if (root->over)
        return;
    pulse_turn(root);
    if (atomic_load_explicit(&rt->shared->stop_requested, memory_order_acquire) && !rt->root_stopping) {
        rt->root_stopping = true;
        supervisor_stop(rt->supervisor, pulse_now(root));
        settle(root);
    }
    if (rt->watchdog_runs)
        look_at_watchdog(root);
}

/* ---- the actor ---- */

static enum err init(struct ctx *root, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    (void)ctx_timer(root, ctx_now(root), 1);
    pulse_begin(root);
    return ERR_OK;
}

static void give_up_on(struct ctx *root, struct ctx *frozen)
{
    supervisor_abandon(root->rt->supervisor, pulse_now(root), frozen->id);
}

static void handle_info(struct ctx *root, void *state, const struct info *info)
{
    (void)state;
    if (info->kind == INFO_CANCEL)
        orders_cancel(root, &info->call);
    if (info->kind != INFO_TIMER)
        return;
    if (info->tag == PULSE_TAG) {
        pulse_look(root, give_up_on);
        settle(root);
        return;
    }
    if (info->tag == 1) {
        supervisor_start(root->rt->supervisor, pulse_now(root));
    } else {
        root->rt->root_timer = 0;
        supervisor_tick(root->rt->supervisor, pulse_now(root));
    }
    settle(root);
}

static enum err handle_call(struct ctx *root, void *state, const struct msg *msg, struct reply_to call)
{
    (void)state;
    enum err err = orders_call(root, msg, call);
    settle(root);
    return err;
}

enum err root_open(struct runtime *rt, char *ret_why, size_t why_bytes)
{
    const struct supervisor_ops ops = {.self = rt,
                                       .start = order_start,
                                       .stop = order_stop,
                                       .kill = order_kill,
                                       .kills = rt->backend->kill != NULL,
                                       .event = order_event,
                                       .random = order_random};
    rt->root_class =
        (struct actor_class){.name = "root", .init = init, .handle_call = handle_call, .handle_info = handle_info};
    rt->actors[ROOT_ID].class = &rt->root_class;
    rt->orders = orders_new();
    if (rt->orders == NULL)
        return ERR_NOMEM;
    enum err err = supervisor_new(rt->config.tree, &ops, &rt->supervisor, ret_why, why_bytes);
    if (err == ERR_OK && rt->config.unbounded_restarts)
        supervisor_unbound(rt->supervisor);
    if (err == ERR_OK)
        supervisor_set_intensity(rt->supervisor, rt->config.intensity);
    return err;
}

void root_close(struct runtime *rt)
{
    supervisor_free(rt->supervisor);
    orders_free(rt->orders);
    rt->supervisor = NULL;
    rt->orders = NULL;
}
