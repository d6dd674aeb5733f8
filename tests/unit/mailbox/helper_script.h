/* SPDX-License-Identifier: MIT */
/*
 * The supervision engine by hand: its orders go to a text that a test reads, time is a number. Children are a to e with actors
 * 1 to 5; "+a" is an order to start, "-a" to stop, "!a" to kill.
 */
#ifndef HEARTH_TESTS_UNIT_MAILBOX_HELPER_SCRIPT_H
#define HEARTH_TESTS_UNIT_MAILBOX_HELPER_SCRIPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/attr.h"
#include "mailbox/supervisor.h"

struct script {
    struct supervisor *s;
    uint64_t now_ns;
    char orders[512];
    uint32_t last_delay_ms;
    uint64_t restarts;
};
extern struct script script;

/* A new engine, its start begun; or with these children acknowledged and the script empty. */
void script_begin(const struct supervisor_spec *spec);
void script_begin_up(const struct supervisor_spec *spec, const char *letters);
void script_end(void);

/* Events. */
actor_id script_id(char letter);
void script_up(const char *letters);
void script_down(char letter, enum exit_reason reason);
void script_start_fails(char letter);
void script_pass(uint64_t ms);

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
