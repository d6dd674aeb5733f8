/* SPDX-License-Identifier: MIT */
/* What the nanny, and root of its actors' processes, conclude from crash pages: suspects, poison, bans, records; pages that lie. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/random.h"
#include "mailbox/crash_history.h"

enum { KIND = 0x131, ACTOR = 6, OTHER = 4, EXIT_71 = 71 << 8 };

static struct crash_page the_page;
static struct crash_page *const page = &the_page;
static struct crash_history *history;
static uint64_t now_ns;
static uint8_t message[4096];

static int begin(void **state)
{
    (void)state;
    crash_page_clear(page, 0);
    history = calloc(1, sizeof(*history));
    now_ns = 1000 * SECOND_NS;
    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)(i * 7);
    return history == NULL;
}

static int end(void **state)
{
    (void)state;
    free(history);
    return 0;
}

/* A life in which an actor began to handle something so long ago. */
static struct crash_slot *life_handles(int actor, uint16_t kind, size_t len, uint64_t since_ms)
{
    struct crash_slot *slot = &page->slots[actor];
    crash_page_clear(page, 0);
    (void)snprintf(slot->name, sizeof(slot->name), "actor%d", actor);
    atomic_store(&slot->epoch, 3);
    atomic_store(&slot->turn_since_ns, now_ns - since_ms * MS_NS);
    crash_slot_message(slot, kind, span_of(message, len));
    if (len > CRASH_FIRST_BYTES && crash_history_suspects(history, (uint32_t)actor, kind, span_of(message, len))) {
        crash_digest(kind, span_of(message, len), slot->digest); /* what poison.c does */
        slot->has_digest = true;
    }
    return slot;
}

static void write_fatal(struct crash_fatal *fatal, int actor)
{
    fatal->slot = (uint32_t)actor + 1;
    fatal->address = 0x10;
    (void)snprintf(fatal->thread, sizeof(fatal->thread), "actor%d", actor);
    (void)snprintf(fatal->backtrace, sizeof(fatal->backtrace), "module+0x%d", actor);
    atomic_store(&fatal->written, 2);
}

static void fatal_in(int actor)
{
    write_fatal(&page->fatals[0], actor);
}

static const struct crash_record *crash(int status)
{
    now_ns += 10 * SECOND_NS;
    return crash_history_note(history, page,
                              &(struct crash_end){.status = status, .now_ns = now_ns, .real_ns = now_ns + 1});
}

/* Of the process of one actor, which has its own part of the page. */
static const struct crash_record *crash_of(int actor, const char *name, int status)
{
    now_ns += 10 * SECOND_NS;
    return crash_history_note(history, page,
                              &(struct crash_end){.status = status,
                                                  .now_ns = now_ns,
                                                  .real_ns = now_ns + 1,
                                                  .process = name,
                                                  .number = (uint32_t)actor,
                                                  .epoch = 9});
}

static bool is_poison_for(int actor, uint16_t kind, size_t len)
{
    uint8_t digest[CRASH_DIGEST_BYTES];
    crash_digest(kind, span_of(message, len), digest);
    return crash_history_is_poison(history, (uint32_t)actor, kind, (uint32_t)len, digest);
}

static bool is_poison(uint16_t kind, size_t len)
{
    return is_poison_for(ACTOR, kind, len);
}

static void a_fatal_signal_is_recorded(void **state)
{
    (void)state;
    (void)life_handles(ACTOR, KIND, 40, 1);
    fatal_in(ACTOR);
    const struct crash_record *r = crash(SIGSEGV);
    assert_int_equal(r->id, 1);
    assert_int_equal(r->at, now_ns + 1);
    assert_int_equal(r->address, 0x10);
    assert_string_equal(r->subject.actor, "actor6");
    assert_int_equal(r->subject.does, KIND);
    assert_int_equal(r->subject.epoch, 3);
    assert_string_equal(r->backtrace, "module+0x6");
    assert_non_null(strstr(r->cause, "signal 11"));
    assert_true(r->subject.has_digest); /* all of it was in the page */
    assert_false(r->poisoned);
    assert_int_equal(history->record_count, 1);
}

static void the_same_message_twice_is_poison(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 40, CRASH_FIRST_BYTES, CRASH_FIRST_BYTES + 1, sizeof(message)};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        for (int n = 0; n < 2; n++) {
            assert_false(is_poison(KIND, lengths[i]));
            (void)life_handles(ACTOR, KIND, lengths[i], 1);
            fatal_in(ACTOR);
            assert_int_equal(crash(SIGSEGV)->poisoned, n == 1);
        }
        assert_true(is_poison(KIND, lengths[i]));
        assert_false(is_poison(KIND + 1, lengths[i]));
        assert_false(is_poison_for(OTHER, KIND, lengths[i])); /* which handles it well */
    }
    assert_int_equal(history->poison_count, ARRAY_LEN(lengths));
    assert_true((crash_history_kinds(history) >> (KIND & 63) & 1) != 0);
}

static void only_two_in_a_row_count(void **state)
{
    (void)state;
    for (int n = 0; n < 3; n++) {
        (void)life_handles(ACTOR, KIND, 40, 1);
        fatal_in(ACTOR);
        (void)crash(SIGSEGV);
        (void)life_handles(ACTOR, KIND, 41, 1); /* another message */
        fatal_in(ACTOR);
        (void)crash(SIGSEGV);
    }
    assert_int_equal(history->poison_count, 0);
}

static void what_only_begins_alike_is_no_poison(void **state)
{
    (void)state;
    for (int n = 0; n < 2; n++) {
        message[sizeof(message) - 1] = (uint8_t)n;
        (void)life_handles(ACTOR, KIND, sizeof(message), 1);
        fatal_in(ACTOR);
        (void)crash(SIGSEGV);
    }
    /* It begins and is as long as the suspect of crash 1, whose digest nobody knew: so the second is hashed, and is poison; not the first. */
    assert_true(is_poison(KIND, sizeof(message)));
    message[sizeof(message) - 1] = 0;
    assert_false(is_poison(KIND, sizeof(message)));
}

static void a_peer_is_banned_for_an_hour(void **state)
{
    (void)state;
    static const uint8_t peer[38] = {0, 36, 8, 1};
    static const uint8_t other[38] = {0, 36, 8, 2};
    struct span who = span_of(peer, sizeof(peer));
    for (int n = 0; n < 2; n++) {
        assert_false(crash_history_banned(history, CRASH_WHO_PEER, who, now_ns));
        struct crash_slot *slot = life_handles(OTHER, KIND, 0, 1);
        crash_slot_does(slot, CRASH_DOES_INFO | 7);
        crash_slot_who(slot, CRASH_WHO_PEER, who);
        fatal_in(OTHER);
        assert_int_equal(crash(SIGSEGV)->banned, n == 1);
    }
    assert_int_equal(history->poison_count, 0); /* it was no message */
    assert_true(crash_history_banned(history, CRASH_WHO_PEER, who, now_ns + 3599 * SECOND_NS));
    assert_false(crash_history_banned(history, CRASH_WHO_PEER, who, now_ns + 3600 * SECOND_NS));
    assert_false(crash_history_banned(history, CRASH_WHO_ADDR, who, now_ns));
    assert_false(crash_history_banned(history, CRASH_WHO_PEER, span_of(other, sizeof(other)), now_ns));
}

static void a_kill_blames_only_who_was_long_at_it(void **state)
{
    (void)state;
    for (int n = 0; n < 3; n++) {
        (void)life_handles(ACTOR, KIND, 40, 0);
        now_ns -= 10 * SECOND_NS - 5 * MS_NS; /* killed 5 ms after the turn began */
        assert_string_equal(crash(SIGKILL)->subject.actor, "");
    }
    assert_int_equal(history->poison_count, 0);
    for (int n = 0; n < 2; n++) {
        (void)life_handles(ACTOR, KIND, 40, 0); /* ten seconds at it */
        assert_string_equal(crash(SIGKILL)->subject.actor, "actor6");
    }
    assert_int_equal(history->poison_count, 1);
}

static void who_is_stuck_is_told(void **state)
{
    (void)state;
    (void)life_handles(ACTOR, KIND, 40, 30000);
    atomic_store(&page->stuck, ACTOR + 1);
    const struct crash_record *r = crash(EXIT_71);
    assert_string_equal(r->cause, "stuck");
    assert_string_equal(r->subject.actor, "actor6");
    (void)life_handles(ACTOR, KIND, 40, 30000);
    assert_string_equal(crash(70 << 8)->cause, "exit code 70");
}

static void what_is_stored_is_forgotten_and_the_oldest_goes(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= CRASH_RECORDS_MAX + 5; i++) {
        crash_page_clear(page, 0);
        assert_int_equal(crash(SIGKILL)->id, i);
    }
    assert_int_equal(history->record_count, CRASH_RECORDS_MAX);
    assert_int_equal(history->records[0].id, 6);
    atomic_store(&page->stored_id, CRASH_RECORDS_MAX + 5);
    (void)crash(SIGKILL);
    assert_int_equal(history->record_count, 1);
    atomic_store(&page->stored_id, UINT64_MAX); /* a lie */
    (void)crash(SIGKILL);
    assert_int_equal(history->record_count, 2);
}

/* A daemon that has gone wild may have written anything. */
static void a_page_of_noise_does_no_harm(void **state)
{
    (void)state;
    static const int ends[] = {SIGSEGV, SIGKILL, SIGABRT, EXIT_71, 70 << 8};
    for (unsigned i = 0; i < 2000; i++) {
        random_fill(page, sizeof(*page));
        if (i % 2 == 0)
            page->fatals[0].slot %= CRASH_SLOTS_MAX + 2;
        int end = ends[i % ARRAY_LEN(ends)];
        const struct crash_record *r = i % 3 == 0 ? crash_of((int)(i % CRASH_SLOTS_MAX), "actor", end) : crash(end);
        assert_true(i % 3 != 0 || strcmp(r->subject.actor, "actor") == 0);
        assert_true(memchr(r->subject.actor, 0, sizeof(r->subject.actor)) != NULL);
        assert_true(memchr(r->thread, 0, sizeof(r->thread)) != NULL);
        assert_true(memchr(r->backtrace, 0, sizeof(r->backtrace)) != NULL);
        assert_true(r->subject.first_len <= CRASH_FIRST_BYTES && r->subject.who_len <= CRASH_WHO_BYTES);
        assert_true(history->record_count <= CRASH_RECORDS_MAX && history->ban_count <= CRASH_BANS_MAX);
        assert_true(history->suspect_count <= CRASH_SUSPECTS_MAX && history->poison_count <= CRASH_POISON_MAX);
    }
}

/* ---- processes ---- */

static void a_process_leaves_its_own_record(void **state)
{
    (void)state;
    (void)life_handles(ACTOR, KIND, 40, 1);
    write_fatal(&page->fatals[ACTOR], ACTOR);
    write_fatal(&page->fatals[OTHER], OTHER); /* another crashes meanwhile */
    const struct crash_record *r = crash_of(ACTOR, "storage", SIGSEGV);
    assert_true(r->process);
    assert_string_equal(r->subject.actor, "storage"); /* as the caller says, whatever the page has */
    assert_int_equal(r->subject.epoch, 9);
    assert_int_equal(r->subject.does, KIND);
    assert_string_equal(r->thread, "actor6");
    assert_string_equal(r->backtrace, "module+0x6");
    r = crash_of(OTHER, "other", SIGABRT);
    assert_string_equal(r->subject.actor, "other");
    assert_string_equal(r->backtrace, "module+0x4");
    assert_int_equal(history->suspect_count, 2);
}

/* What others do in between does not make it another row. */
static void two_in_a_row_are_two_of_the_same_process(void **state)
{
    (void)state;
    for (int n = 0; n < 2; n++) {
        (void)life_handles(ACTOR, KIND, 40, 1);
        write_fatal(&page->fatals[ACTOR], ACTOR);
        assert_int_equal(crash_of(ACTOR, "storage", SIGSEGV)->poisoned, n == 1);
        (void)life_handles(OTHER, KIND, (size_t)(41 + n), 1);
        write_fatal(&page->fatals[OTHER], OTHER);
        assert_false(crash_of(OTHER, "other", SIGSEGV)->poisoned);
    }
    assert_true(is_poison_for(ACTOR, KIND, 40));
    assert_false(is_poison_for(OTHER, KIND, 40));
    assert_int_equal(history->suspect_count, 2);
    assert_true(crash_history_suspects(history, OTHER, KIND, span_of(message, 42)));
    assert_false(crash_history_suspects(history, OTHER, KIND, span_of(message, 41)));
    assert_false(crash_history_suspects(history, ACTOR, KIND, span_of(message, 42)));
    for (int i = 0; i < 3 * CRASH_SUSPECTS_MAX; i++) {
        (void)life_handles(10 + i, KIND, 40, 1);
        write_fatal(&page->fatals[10 + i], 10 + i);
        (void)crash_of(10 + i, "many", SIGSEGV);
    }
    assert_int_equal(history->suspect_count, CRASH_SUSPECTS_MAX);
}

static void who_was_not_at_work_in_its_process_is_no_suspect(void **state)
{
    (void)state;
    (void)life_handles(ACTOR, KIND, 40, 1);
    write_fatal(&page->fatals[ACTOR], -1); /* a worker's */
    (void)snprintf(page->fatals[ACTOR].thread, CRASH_THREAD_BYTES, "disk");
    const struct crash_record *r = crash_of(ACTOR, "storage", SIGSEGV);
    assert_string_equal(r->subject.actor, "storage");
    assert_int_equal(r->subject.does, 0);
    assert_string_equal(r->thread, "disk");
    assert_int_equal(history->suspect_count, 0);
    crash_page_forget(page, ACTOR); /* the next process wrote nothing */
    r = crash_of(ACTOR, "storage", SIGSEGV);
    assert_string_equal(r->thread, "");
    assert_int_equal(r->subject.does, 0);
    struct crash_slot *slot = life_handles(ACTOR, KIND, 40, 1);
    crash_slot_who(slot, CRASH_WHO_PEER, span_of(message, 38));
    crash_slot_done(slot); /* then it hangs between two messages */
    r = crash_of(ACTOR, "storage", SIGKILL);
    assert_int_equal(r->subject.does, 0);
    assert_int_equal(r->subject.who_len, 0);
}

static void a_kill_of_root_blames_no_process(void **state)
{
    (void)state;
    (void)life_handles(ACTOR, KIND, 40, 10000);
    page->processes = true;
    assert_string_equal(crash(SIGKILL)->subject.actor, "");
}

static void what_was_copied_is_within_bounds(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        random_fill(history, sizeof(*history));
        crash_history_bound(history);
        assert_true(history->record_count <= CRASH_RECORDS_MAX && history->ban_count <= CRASH_BANS_MAX);
        assert_true(history->suspect_count <= CRASH_SUSPECTS_MAX && history->poison_count <= CRASH_POISON_MAX);
        (void)life_handles(ACTOR, KIND, 40, 1);
        fatal_in(ACTOR);
        const struct crash_record *r = crash(SIGSEGV); /* and can be gone on with */
        assert_string_equal(r->subject.actor, "actor6");
        for (size_t k = 0; k < history->record_count; k++)
            assert_non_null(memchr(history->records[k].backtrace, 0, sizeof(history->records[k].backtrace)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fatal_signal_is_recorded, begin, end),
        cmocka_unit_test_setup_teardown(the_same_message_twice_is_poison, begin, end),
        cmocka_unit_test_setup_teardown(only_two_in_a_row_count, begin, end),
        cmocka_unit_test_setup_teardown(what_only_begins_alike_is_no_poison, begin, end),
        cmocka_unit_test_setup_teardown(a_peer_is_banned_for_an_hour, begin, end),
        cmocka_unit_test_setup_teardown(a_kill_blames_only_who_was_long_at_it, begin, end),
        cmocka_unit_test_setup_teardown(who_is_stuck_is_told, begin, end),
        cmocka_unit_test_setup_teardown(what_is_stored_is_forgotten_and_the_oldest_goes, begin, end),
        cmocka_unit_test_setup_teardown(a_page_of_noise_does_no_harm, begin, end),
        cmocka_unit_test_setup_teardown(a_process_leaves_its_own_record, begin, end),
        cmocka_unit_test_setup_teardown(two_in_a_row_are_two_of_the_same_process, begin, end),
        cmocka_unit_test_setup_teardown(who_was_not_at_work_in_its_process_is_no_suspect, begin, end),
        cmocka_unit_test_setup_teardown(a_kill_of_root_blames_no_process, begin, end),
        cmocka_unit_test_setup_teardown(what_was_copied_is_within_bounds, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
