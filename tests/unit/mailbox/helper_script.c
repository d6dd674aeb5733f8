/* SPDX-License-Identifier: MIT */
#include "helper_script.h"

#include <stdio.h>
#include <string.h>

struct script script;

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

static void order_kill(void *self, actor_id actor)
{
    (void)self;
    note("!", actor);
}

static void order_event(void *self, const struct supervision_event *event)
{
    (void)self;
    if (event->kind == SUPERVISION_RESTARTING) {
        script.last_delay_ms = event->delay_ms;
        script.restarts++;
    }
}

static uint64_t order_random(void *self)
{
    (void)self;
    return 0; /* half of each delay */
}

void script_begin(const struct supervisor_spec *spec)
{
    const struct supervisor_ops ops = {
        .start = order_start, .stop = order_stop, .kill = order_kill, .event = order_event, .random = order_random};
    char why[128];
    memset(&script, 0, sizeof(script));
    script.now_ns = 1000 * SECOND_NS;
    assert_int_equal(supervisor_new(spec, &ops, &script.s, why, sizeof(why)), ERR_OK);
    supervisor_start(script.s, script.now_ns);
}

void script_end(void)
{
    supervisor_free(script.s);
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
