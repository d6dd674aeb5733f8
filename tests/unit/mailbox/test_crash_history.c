/* SPDX-License-Identifier: MIT */
/* What the nanny concludes from crash pages: suspects, poison, bans, records; pages that lie. */
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

static struct crash_page *page;
static struct crash_history *history;
static uint64_t now_ns;
static uint8_t message[4096];

static int begin(void **state)
{
    (void)state;
    page = crash_page_new();
    history = calloc(1, sizeof(*history));
    now_ns = 1000 * SECOND_NS;
    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)(i * 7);
    return page == NULL || history == NULL;
}

static int end(void **state)
{
    (void)state;
    crash_page_free(page);
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
    if (len > CRASH_FIRST_BYTES && crash_history_suspects(history, kind, span_of(message, len))) {
        crash_digest(kind, span_of(message, len), slot->digest); /* what poison.c does */
        slot->has_digest = true;
    }
    return slot;
}

static void fatal_in(int actor)
{
    page->fatal.slot = (uint32_t)actor + 1;
    page->fatal.address = 0x10;
    page->fatal.frame_count = 2;
    (void)snprintf(page->fatal.thread, sizeof(page->fatal.thread), "actor%d", actor);
    atomic_store(&page->fatal.written, 2);
}

static void describe(const uint64_t *frames, size_t count, char *to, size_t bytes)
{
    (void)frames;
    (void)snprintf(to, bytes, "%zu frames", count);
}

static const struct crash_record *crash(int status)
{
    now_ns += 10 * SECOND_NS;
    return crash_history_note(history, page,
                              &(struct crash_end){.status = status, .now_ns = now_ns, .real_ns = now_ns + 1}, describe);
}

static bool is_poison(uint16_t kind, size_t len)
{
    uint8_t digest[CRASH_DIGEST_BYTES];
    crash_digest(kind, span_of(message, len), digest);
    return crash_history_is_poison(history, kind, (uint32_t)len, digest);
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
    assert_string_equal(r->backtrace, "2 frames");
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
    atomic_store(&page->stored_id, UINT64_MAX); /* a lie costs records, no more */
    (void)crash(SIGKILL);
    assert_int_equal(history->record_count, 1);
}

/* A daemon that has gone wild may have written anything. */
static void a_page_of_noise_does_no_harm(void **state)
{
    (void)state;
    static const int ends[] = {SIGSEGV, SIGKILL, SIGABRT, EXIT_71, 70 << 8};
    for (unsigned i = 0; i < 2000; i++) {
        random_fill(page, sizeof(*page));
        if (i % 4 != 0) {
            page->magic = CRASH_PAGE_MAGIC;
            page->version = CRASH_PAGE_VERSION;
            page->bytes = sizeof(*page);
        }
        if (i % 2 == 0)
            page->fatal.slot %= CRASH_SLOTS_MAX + 2;
        const struct crash_record *r = crash(ends[i % ARRAY_LEN(ends)]);
        assert_true(memchr(r->subject.actor, 0, sizeof(r->subject.actor)) != NULL);
        assert_true(memchr(r->thread, 0, sizeof(r->thread)) != NULL);
        assert_true(memchr(r->backtrace, 0, sizeof(r->backtrace)) != NULL);
        assert_true(r->subject.first_len <= CRASH_FIRST_BYTES && r->subject.who_len <= CRASH_WHO_BYTES);
        assert_true(history->record_count <= CRASH_RECORDS_MAX && history->ban_count <= CRASH_BANS_MAX);
        assert_true(history->suspect_count <= CRASH_SUSPECTS_MAX && history->poison_count <= CRASH_POISON_MAX);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
