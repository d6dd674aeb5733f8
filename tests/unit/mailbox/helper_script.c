/* SPDX-License-Identifier: MIT */
#include "helper_script.h"

#include <stdio.h>
#include <string.h>

struct script script;
static bool can_kill;

static void note(const char *what, actor_id actor)
{
    size_t used = strlen(script.orders);
    (void)snprintf(script.orders + used, sizeof(script.orders) - used, "%s%c", what, 'a' + actor - 1);
}

static void order_start(void *self, actor_id actor)
{
    (void)self;
    note("+", actor);
}

static void order_stop(void *self, actor_id actor)
{
    (void)self;
    note("-", actor);
}

static void order_kill(void *self, actor_id actor, enum exit_reason reason)
{
    (void)self;
    (void)reason;
    note("!", actor);
}

static void order_event(void *self, const struct supervision_event *event)
{
    (void)self;
    if (event->kind == SUPERVISION_RESTARTING) {
        script.last_delay_ms = event->delay_ms;
        script.restarts++;
    }
    bool told = event->kind == SUPERVISION_STOPPED || event->kind == SUPERVISION_IGNORED;
    if (told && !event->is_supervisor)
        note(event->kind == SUPERVISION_STOPPED ? "=" : "~", event->actor);
}

static uint64_t order_random(void *self)
{
    (void)self;
    return 0; /* half of each delay */
}

void script_can_kill(void)
{
    can_kill = true;
}

void script_begin(const struct supervisor_spec *spec)
{
    const struct supervisor_ops ops = {.start = order_start,
                                       .stop = order_stop,
                                       .kill = order_kill,
                                       .kills = can_kill,
                                       .event = order_event,
                                       .random = order_random};
    char why[128];
    memset(&script, 0, sizeof(script));
    script.now_ns = 1000 * SECOND_NS;
    assert_int_equal(supervisor_new(spec, &ops, &script.s, why, sizeof(why)), ERR_OK);
    supervisor_start(script.s, script.now_ns);
}

void script_end(void)
{
    supervisor_free(script.s);
    can_kill = false;
}

actor_id script_id(char letter)
{
    return (actor_id)(letter - 'a' + 1);
}

void script_up(const char *letters)
{
    for (; *letters != '\0'; letters++)
        supervisor_started(script.s, script.now_ns, script_id(*letters), 1);
}

void script_down(char letter, enum exit_reason reason)
{
    supervisor_exited(script.s, script.now_ns, script_id(letter), reason, "");
}

void script_start_fails(char letter)
{
    supervisor_start_failed(script.s, script.now_ns, script_id(letter), "no");
}

void script_ignores(char letter)
{
    supervisor_ignored(script.s, script.now_ns, script_id(letter), "nothing to do");
}

void script_pass(uint64_t ms)
{
    script.now_ns += ms * MS_NS;
    supervisor_tick(script.s, script.now_ns);
}

void script_begin_up(const struct supervisor_spec *spec, const char *letters)
{
    script_begin(spec);
    script_up(letters);
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_RUNNING);
    script.orders[0] = '\0';
}

void script_assert_ended(enum supervisor_end how)
{
    assert_int_equal(supervisor_state(script.s), SUPERVISOR_ENDED);
    assert_int_equal(supervisor_end(script.s), how);
}

/* ---- single children ---- */

enum child_answer script_terminate(const char *id)
{
    return supervisor_terminate_child(script.s, script.now_ns, supervisor_find(script.s, id));
}

enum child_answer script_restart(const char *id)
{
    return supervisor_restart_child(script.s, script.now_ns, supervisor_find(script.s, id));
}

enum child_answer script_cycle(const char *id)
{
    return supervisor_cycle_child(script.s, script.now_ns, supervisor_find(script.s, id));
}

enum child_answer script_delete(const char *id)
{
    return supervisor_delete_child(script.s, script.now_ns, supervisor_find(script.s, id));
}

enum child_answer script_add(const char *supervisor, char letter, enum restart restart)
{
    static const char *const ids[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    const struct child_spec spec = {.id = ids[letter - 'a'], .start = script_id(letter), .restart = restart};
    child_index child;
    return supervisor_start_child(script.s, script.now_ns, supervisor_find(script.s, supervisor), &spec, &child, NULL,
                                  0);
}

const char *script_children(const char *supervisor)
{
    static char text[512];
    size_t used = 0;
    text[0] = '\0';
    child_index above = supervisor_find(script.s, supervisor);
    for (child_index i = supervisor_next(script.s, CHILD_NONE); i != CHILD_NONE; i = supervisor_next(script.s, i)) {
        struct child_info info;
        assert_true(supervisor_child(script.s, i, &info));
        if (info.supervisor == above && above != CHILD_NONE)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s:%s", used == 0 ? "" : " ", info.id,
                                     child_state_name(info.state));
    }
    return text;
}

void script_assert_counts(const char *supervisor, uint32_t specs, uint32_t active, uint32_t supervisors,
                          uint32_t workers)
{
    struct child_counts counts = supervisor_count_children(script.s, supervisor_find(script.s, supervisor));
    assert_int_equal(counts.specs, specs);
    assert_int_equal(counts.active, active);
    assert_int_equal(counts.supervisors, supervisors);
    assert_int_equal(counts.workers, workers);
}
