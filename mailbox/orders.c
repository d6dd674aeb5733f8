/* SPDX-License-Identifier: MIT */
#include "mailbox/orders.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "mailbox/ctx.h"
#include "mailbox/pulse.h"
#include "mailbox/supervisor_children.h"
#include "schemas/messages.h"

enum { TREE_BYTES_MAX = 64 * 1024, NAME_BYTES = 65 };

/* Who waits until a child runs, or is stopped. */
struct waiter {
    struct reply_to call; /* correlation 0 = free */
    const char *child;    /* the engine's: the same pointer in its events */
    actor_id actor;
    bool until_stopped;
};

struct orders {
    struct waiter waiters[ORDERS_MAX];
};

struct orders *orders_new(void)
{
    return calloc(1, sizeof(struct orders));
}

void orders_free(struct orders *o)
{
    free(o);
}

static struct waiter *free_waiter(struct ctx *root)
{
    struct orders *o = root->rt->orders;
    for (size_t i = 0; i < ORDERS_MAX; i++) {
        struct waiter *w = &o->waiters[i];
        if (w->call.correlation == 0 || w->call.deadline_ns <= root->now_ns)
            return w;
    }
    return NULL;
}

void orders_cancel(struct ctx *root, const struct reply_to *call)
{
    struct orders *o = root->rt->orders;
    for (size_t i = 0; i < ORDERS_MAX; i++) {
        if (o->waiters[i].call.correlation != 0 && reply_same(&o->waiters[i].call, call))
            o->waiters[i].call.correlation = 0;
    }
}

/* ---- answers ---- */

/* Those that may call the child, or something under it. */
static struct schema_list callers_of(struct ctx *root, child_index child, struct buf *items)
{
    const struct runtime_config *config = &root->rt->config;
    const struct supervisor *s = root->rt->supervisor;
    uint64_t seen = 0;
    uint32_t count = 0;
    for (size_t i = 0; i < config->edge_count; i++) {
        const struct edge_spec *edge = &config->edges[i];
        child_index from = supervisor_find_actor(s, edge->from);
        bool concerned = edge->to != ROOT_ID && supervisor_is_under(s, supervisor_find_actor(s, edge->to), child);
        if (!concerned || from == CHILD_NONE || supervisor_is_under(s, from, child) || (seen >> edge->from & 1) != 0)
            continue;
        seen |= UINT64_C(1) << edge->from;
        count += schema_list_add_text(items, span_text(actor_of(root->rt, edge->from)->class->name)) == ERR_OK;
    }
    return schema_list_of(items, count);
}

static void say_so(struct ctx *root, struct reply_to call, child_index child, const char *name, const char *state,
                   uint32_t epoch)
{
    struct buf items;
    buf_init(&items, RUNTIME_ACTORS_MAX * NAME_BYTES, NULL);
    struct msg_actor_ordered done = {.name = span_text(name), .state = span_text(state), .epoch = epoch};
    if (strcmp(state, "stopped") == 0 && child != CHILD_NONE)
        done.callers = callers_of(root, child, &items);
    ctx_reply(root, call, &(struct msg){.kind = MSG_ACTOR_ORDERED, .fields = &done});
    buf_release(&items);
}

static void say_as_it_is(struct ctx *root, struct reply_to call, child_index child)
{
    struct child_info info;
    if (supervisor_child(root->rt->supervisor, child, &info))
        say_so(root, call, child, info.id, child_state_name(info.state), info.epoch);
}

static enum err err_of(enum child_answer answer)
{
    switch (answer) {
    case CHILD_OK:
        return ERR_OK;
    case CHILD_NOT_FOUND:
        return ERR_NOT_FOUND;
    case CHILD_IS_ROOT:
        return ERR_DENIED;
    case CHILD_INVALID:
        return ERR_INVALID;
    case CHILD_ALREADY_STARTED:
    case CHILD_ALREADY_PRESENT:
        return ERR_EXISTS;
    case CHILD_SUPERVISOR_ENDED:
        return ERR_UNAVAILABLE;
    case CHILD_RUNNING:
    case CHILD_RESTARTING:
    case CHILD_NO_ROOM:
    case CHILD_SIMPLE:
    case CHILD_ANSWER_COUNT:
        break;
    }
    return ERR_REFUSED;
}

/* True when the event answers. */
static bool answer(struct ctx *root, const struct waiter *w, const struct supervision_event *event)
{
    const char *text = event->text[0] == '\0' ? "" : event->text;
    child_index child = supervisor_find(root->rt->supervisor, event->child);
    switch (event->kind) {
    case SUPERVISION_STOPPED:
        if (w->until_stopped)
            say_so(root, w->call, child, event->child, "stopped", event->epoch);
        else
            ctx_reply_err(root, w->call, ERR_CANCELLED, "%s was stopped meanwhile", event->child);
        return true;
    case SUPERVISION_STARTED:
        if (!w->until_stopped)
            say_so(root, w->call, child, event->child, "running", event->epoch);
        return !w->until_stopped;
    case SUPERVISION_IGNORED:
        if (!w->until_stopped)
            say_so(root, w->call, child, event->child, "ended", event->epoch);
        return !w->until_stopped;
    case SUPERVISION_START_FAILED:
        if (!w->until_stopped)
            ctx_reply_err(root, w->call, ERR_UNAVAILABLE, "%s did not start: %s", event->child, text);
        return !w->until_stopped;
    case SUPERVISION_STUCK:
        ctx_reply_err(root, w->call, ERR_UNAVAILABLE, "%s is stuck: %s", event->child, text);
        return true;
    case SUPERVISION_EXITED: /* a supervisor whose children did not start; a worker's end is part of a restart */
        if (event->is_supervisor && text[0] != '\0' && !w->until_stopped)
            ctx_reply_err(root, w->call, ERR_UNAVAILABLE, "%s did not start: %s", event->child, text);
        return event->is_supervisor && text[0] != '\0' && !w->until_stopped;
    case SUPERVISION_STARTING:
    case SUPERVISION_RESTARTING:
    case SUPERVISION_STOPPING:
    case SUPERVISION_ESCALATED:
    case SUPERVISION_SLOW:
    case SUPERVISION_KIND_COUNT:
        break;
    }
    return false;
}

void orders_event(struct ctx *root, const struct supervision_event *event)
{
    struct orders *o = root->rt->orders;
    for (size_t i = 0; i < ORDERS_MAX; i++) {
        struct waiter *w = &o->waiters[i];
        if (w->call.correlation != 0 && w->child == event->child && w->actor == event->actor && answer(root, w, event))
            w->call.correlation = 0;
    }
}

/* ---- requests ---- */

static void pack_child(const struct ctx *root, struct buf *items, const struct child_info *info, uint32_t *count)
{
    const struct supervisor *s = root->rt->supervisor;
    struct child_info above = {.id = ""};
    (void)supervisor_child(s, info->supervisor, &above);
    struct item_tree_child row = {.name = span_text(info->id),
                                  .supervisor = span_text(above.id),
                                  .depth = info->depth,
                                  .state = span_text(child_state_name(info->state)),
                                  .restart = span_text(info->depth == 0 ? "" : restart_name(info->restart)),
                                  .significant = info->significant,
                                  .added = info->dynamic,
                                  .actor = info->actor,
                                  .epoch = info->epoch};
    if (info->state == CHILD_STATE_RESTARTING)
        row.next_start_ms = (info->next_start_ns - MIN(pulse_now(root), info->next_start_ns)) / MS_NS;
    row.reason = span_text(info->actor == 0 ? "" : actor_of(root->rt, info->actor)->last_text);
    if (info->actor == 0) {
        row.strategy = span_text(strategy_name(info->strategy));
        row.intensity = info->intensity;
        row.period_ms = info->period_ms;
        row.restarts = info->restarts;
    }
    *count += schema_list_add_map(items, &schema_item_tree_child, &row) == ERR_OK;
}

static enum err show_tree(struct ctx *root, struct reply_to call)
{
    const struct supervisor *s = root->rt->supervisor;
    struct buf items;
    uint32_t count = 0;
    buf_init(&items, TREE_BYTES_MAX, NULL);
    for (child_index i = supervisor_next(s, CHILD_NONE); i != CHILD_NONE; i = supervisor_next(s, i)) {
        struct child_info info;
        if (supervisor_child(s, i, &info))
            pack_child(root, &items, &info, &count);
    }
    struct msg_actor_tree_ok tree = {.children = schema_list_of(&items, count)};
    ctx_reply(root, call, &(struct msg){.kind = MSG_ACTOR_TREE_OK, .fields = &tree});
    buf_release(&items);
    return ERR_OK;
}

static bool takes_the_caller_along(const struct ctx *root, enum actor_order order, child_index child, actor_id caller)
{
    const struct supervisor *s = root->rt->supervisor;
    child_index who = supervisor_find_actor(s, caller);
    if (order == ORDER_STOP)
        return supervisor_is_under(s, who, child);
    return order == ORDER_RESTART && supervisor_restart_reaches(s, child, who);
}

static enum child_answer give_order(struct ctx *root, enum actor_order order, child_index child)
{
    struct supervisor *s = root->rt->supervisor;
    switch (order) {
    case ORDER_STOP:
        return supervisor_terminate_child(s, pulse_now(root), child);
    case ORDER_START:
        return supervisor_restart_child(s, pulse_now(root), child);
    case ORDER_RESTART:
        return supervisor_cycle_child(s, pulse_now(root), child);
    case ORDER_DELETE:
        break;
    }
    return supervisor_delete_child(s, pulse_now(root), child);
}

/* What is so already is answered as it is. */
static bool is_so(enum actor_order order, const struct child_info *info, enum child_answer answer)
{
    return (order == ORDER_STOP && info->state == CHILD_STATE_STOPPED) ||
           (order == ORDER_START && answer == CHILD_RUNNING && info->state == CHILD_STATE_RUNNING);
}

static enum err refuse(struct ctx *root, struct reply_to call, const char *name, enum child_answer answer)
{
    ctx_reply_err(root, call, err_of(answer), "%s: %s", name, child_answer_text(answer));
    return ERR_OK;
}

static enum err take_order(struct ctx *root, const struct msg_actor_order *m, actor_id caller, struct reply_to call)
{
    char name[NAME_BYTES] = "";
    memcpy(name, m->name.data, MIN(m->name.len, sizeof(name) - 1));
    child_index child = supervisor_find(root->rt->supervisor, name);
    enum actor_order order = (enum actor_order)m->order;
    struct child_info info;
    if (!supervisor_child(root->rt->supervisor, child, &info))
        return refuse(root, call, name, CHILD_NOT_FOUND);
    if (info.supervisor == CHILD_NONE)
        return refuse(root, call, name, CHILD_IS_ROOT);
    if (takes_the_caller_along(root, order, child, caller)) {
        ctx_reply_err(root, call, ERR_DENIED, "%s: %s answers you, and would end with it", name,
                      actor_of(root->rt, caller)->class->name);
        return ERR_OK;
    }
    struct waiter *w = free_waiter(root);
    if (w == NULL)
        return ERR_BUSY;
    *w = (struct waiter){.call = call, .child = info.id, .actor = info.actor, .until_stopped = order == ORDER_STOP};
    enum child_answer answer = give_order(root, order, child);
    bool so = is_so(order, &info, answer);
    if (w->call.correlation == 0 || (!so && answer == CHILD_OK && order != ORDER_DELETE))
        return ERR_OK; /* answered, or it will be */
    w->call.correlation = 0;
    if (order == ORDER_DELETE && answer == CHILD_OK)
        say_so(root, call, CHILD_NONE, name, "deleted", info.epoch);
    else if (so)
        say_as_it_is(root, call, child);
    else
        return refuse(root, call, name, answer);
    return ERR_OK;
}

static enum err add(struct ctx *root, const struct msg_actor_add *m, struct reply_to call)
{
    char name[NAME_BYTES] = "";
    memcpy(name, m->supervisor.data, MIN(m->supervisor.len, sizeof(name) - 1));
    const struct runtime_config *config = &root->rt->config;
    struct supervisor *s = root->rt->supervisor;
    if (m->actor >= config->class_count || config->classes[m->actor] == NULL)
        return ERR_INVALID;
    struct child_spec spec = {.id = config->classes[m->actor]->name,
                              .start = (actor_id)m->actor,
                              .restart = (enum restart)m->restart,
                              .significant = m->significant,
                              .shutdown_ms = (uint32_t)m->shutdown_ms,
                              .start_ms = (uint32_t)m->start_ms};
    struct waiter *w = free_waiter(root);
    if (w == NULL)
        return ERR_BUSY;
    *w = (struct waiter){.call = call, .child = spec.id, .actor = spec.start};
    char why[TEXT_MAX] = "";
    child_index child;
    enum child_answer answer =
        supervisor_start_child(s, pulse_now(root), supervisor_find(s, name), &spec, &child, why, sizeof(why));
    if (answer == CHILD_OK)
        return ERR_OK;
    w->call.correlation = 0;
    ctx_reply_err(root, call, err_of(answer), "%s: %s", spec.id, why[0] != '\0' ? why : child_answer_text(answer));
    return ERR_OK;
}

enum err orders_call(struct ctx *root, const struct msg *msg, struct reply_to call)
{
    switch (msg->kind) {
    case MSG_ACTOR_TREE:
        return show_tree(root, call);
    case MSG_ACTOR_ORDER:
        return take_order(root, msg->fields, msg->from, call);
    case MSG_ACTOR_ADD:
        return add(root, msg->fields, call);
    default:
        return ERR_UNSUPPORTED;
    }
}
