/* SPDX-License-Identifier: MIT */
/*
 * Included before each source of mailbox/ in the daemon that `make bench` compares with (bench/without/hearthd): what the runtime notes of messages
 * and turns for people, the watchdog and the nanny is not noted there. Whatever it decides by is still counted: boxes, accounts, calls, lives.
 *
 *      counters      count_up                                                       refused, late, dropped, calls, casts, batches
 *      heartbeats    turn_note_beat, turn_note_since, turn_note_kind                what the watchdog, root and the nanny read of a turn
 *      handling      handling_note, handling_count, handling_now                    times of handlers, and the clock read for them
 *      hops          trace_call, _call_ended, _cast, _handler_*, _job_*, _cause     notes of traced requests, and the clock read for them
 *      crash slots   crash_slot_does, _message, _done, _who, poison_stops           what the crash page keeps of the message at hand
 *
 * tests/bench/suite_supervision.py looks for the same names in samples of the ordinary daemon. The watchdog's thread, once a second, is in both.
 */
#ifndef HEARTH_TESTS_BENCH_WITHOUT_BOOKKEEPING_H
#define HEARTH_TESTS_BENCH_WITHOUT_BOOKKEEPING_H

#include "mailbox/crash_page.h"
#include "mailbox/ctx.h"
#include "mailbox/handling.h"

#define count_up(counter) ((void)(counter))

#define turn_note_beat(c)            ((void)(c))
#define turn_note_since(c, since_ns) ((void)(c), (void)(since_ns))
#define turn_note_kind(c, kind)      ((void)(c), (void)(kind))

#define handling_note(h, began_ns, ended_ns) ((void)(began_ns), (void)(ended_ns))
#define handling_count(h, messages)          ((void)(messages))
#define handling_now(c)                      UINT64_C(0)

#define trace_call(c, call, kind)                     ((void)0)
#define trace_call_ended(c, call, err)                ((void)(err))
#define trace_cast(c, record, err)                    ((void)(err))
#define trace_handler_begins(c, record)               UINT64_C(0)
#define trace_handler_ended(c, record, began_ns, err) ((void)(began_ns))
#define trace_job_submitted(c, job)                   ((void)0)
#define trace_job_begins(job)                         ((void)0)
#define trace_job_ends(job)                           ((void)0)
#define trace_job_done(c, job)                        ((void)0)
#define trace_cause(c, scope)                         ((struct hop_ref){0})

#define crash_slot_does(slot, does)          ((void)(does))
#define crash_slot_message(slot, kind, span) ((void)0)
#define crash_slot_done(slot)                ((void)0)
#define crash_slot_who(slot, kind, span)     ((void)0)
#define poison_stops(c, record)              (false)

#endif
