/* SPDX-License-Identifier: MIT */
/*
 * The supervision engine by hand: its orders go to a text that a test reads, time is a number. Children are a to e with actors
 * 1 to 5; "+a" is an order to start, "-a" to stop, "!a" to kill; "=a" says that a was stopped as ordered, "~a" that its start ignored.
 */
#ifndef HEARTH_TESTS_UNIT_MAILBOX_HELPER_SCRIPT_H
#define HEARTH_TESTS_UNIT_MAILBOX_HELPER_SCRIPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/attr.h"
#include "mailbox/supervisor.h"
#include "mailbox/supervisor_children.h"

struct script {
    struct supervisor *s;
    uint64_t now_ns;
    char orders[512];
    uint32_t last_delay_ms;
    uint64_t restarts;
};
extern struct script script;

/* Kills end what they are meant for, until script_end. */
void script_can_kill(void);
/* A new engine, its start begun; or with these children acknowledged and the script empty. */
void script_begin(const struct supervisor_spec *spec);
void script_begin_up(const struct supervisor_spec *spec, const char *letters);
void script_end(void);

/* Events. */
actor_id script_id(char letter);
void script_up(const char *letters);
void script_down(char letter, enum exit_reason reason);
void script_start_fails(char letter);
void script_ignores(char letter);
void script_pass(uint64_t ms);

/* Orders about a child, by id. */
enum child_answer script_terminate(const char *id);
enum child_answer script_restart(const char *id);
enum child_answer script_cycle(const char *id);
enum child_answer script_delete(const char *id);
/* Adds a worker called as its letter. */
enum child_answer script_add(const char *supervisor, char letter, enum restart restart);

/* "a:running b:stopped c:restarting": which_children, in the order of starts. */
const char *script_children(const char *supervisor);
void script_assert_counts(const char *supervisor, uint32_t specs, uint32_t active, uint32_t supervisors,
                          uint32_t workers);

void script_assert_ended(enum supervisor_end how);

/* The orders since the last EXPECT. */
#define EXPECT(text)                                                                                                   \
    do {                                                                                                               \
        assert_string_equal(script.orders, text);                                                                      \
        script.orders[0] = '\0';                                                                                       \
    } while (0)

#define WORKER(letter, kind)                                                                                           \
    {                                                                                                                  \
        .id = #letter, .start = #letter[0] - 'a' + 1, .restart = kind                                                  \
    }
#define SPEC(spec_name, how, max, list)                                                                                \
    static const struct supervisor_spec spec_name = {.name = #spec_name,                                               \
                                                     .strategy = how,                                                  \
                                                     .intensity = max,                                                 \
                                                     .period_ms = 5000,                                                \
                                                     .children = list,                                                 \
                                                     .child_count = ARRAY_LEN(list)}

#endif
