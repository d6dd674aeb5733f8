/* SPDX-License-Identifier: MIT */
/* What processes have in common about crashes: who may write what, and what a reader makes of a writer that died at it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mailbox/crash_memory.h"

static struct crash_memory memory;
static struct crash_history history, copy;

static int begin(void **state)
{
    (void)state;
    history = (struct crash_history){.last_id = 7, .record_count = 1};
    copy = (struct crash_history){0};
    return crash_memory_make(&memory) == ERR_OK ? 0 : 1;
}

static int end(void **state)
{
    (void)state;
    crash_memory_close(&memory);
    return 0;
}

static void what_is_published_is_read_once(void **state)
{
    (void)state;
    uint64_t version = 0;
    assert_false(crash_memory_read(&memory, &version, &copy)); /* nothing yet */
    crash_memory_publish(&memory, &history);
    assert_true(crash_memory_read(&memory, &version, &copy));
    assert_int_equal(copy.last_id, 7);
    assert_false(crash_memory_read(&memory, &version, &copy));
    history.last_id = 8;
    crash_memory_publish(&memory, &history);
    assert_true(crash_memory_read(&memory, &version, &copy));
    assert_int_equal(copy.last_id, 8);
}

static void what_was_being_written_is_not_taken(void **state)
{
    (void)state;
    uint64_t version = 0;
    crash_memory_publish(&memory, &history);
    assert_true(crash_memory_read(&memory, &version, &copy));
    atomic_fetch_add(&memory.notes->version, 1); /* who writes dies in the middle of it */
    memory.notes->history.last_id = 99;
    assert_false(crash_memory_read(&memory, &version, &copy));
    assert_int_equal(copy.last_id, 7);
    history.last_id = 8;
    crash_memory_publish(&memory, &history);
    assert_true(crash_memory_read(&memory, &version, &copy));
    assert_int_equal(copy.last_id, 8);
}

static void what_is_read_is_within_bounds(void **state)
{
    (void)state;
    uint64_t version = 0;
    memset(&history, 0xff, sizeof(history));
    crash_memory_publish(&memory, &history);
    assert_true(crash_memory_read(&memory, &version, &copy));
    assert_int_equal(copy.record_count, CRASH_RECORDS_MAX);
    assert_int_equal(copy.ban_count, CRASH_BANS_MAX);
    assert_string_equal(copy.records[0].backtrace, "");
}

static void who_joins_writes_the_page_and_reads_the_notes(void **state)
{
    (void)state;
    struct crash_memory joined;
    uint64_t version = 0;
    int notes_fd = dup(memory.notes_fd);
    crash_memory_publish(&memory, &history);
    assert_ptr_equal(mmap(NULL, sizeof(struct crash_notes), PROT_READ | PROT_WRITE, MAP_SHARED, notes_fd, 0),
                     MAP_FAILED);
    assert_int_not_equal(pwrite(notes_fd, "x", 1, 0), 1);
    assert_int_not_equal(ftruncate(memory.page_fd, 0), 0);
    assert_int_equal(crash_memory_join(dup(memory.page_fd), notes_fd, &joined), ERR_OK);
    assert_int_not_equal(mprotect(joined.notes, sizeof(*joined.notes), PROT_READ | PROT_WRITE), 0);
    assert_true(crash_memory_read(&joined, &version, &copy));
    assert_int_equal(copy.last_id, 7);
    joined.page->slots[3].length = 17;
    assert_int_equal(memory.page->slots[3].length, 17);
    crash_memory_publish(&memory, &history);
    assert_int_not_equal(crash_memory_version(&joined), version);
    crash_memory_close(&joined);
}

static void what_is_something_else_is_not_joined(void **state)
{
    (void)state;
    struct crash_memory joined;
    assert_int_equal(crash_memory_join(dup(memory.notes_fd), dup(memory.page_fd), &joined), ERR_MISMATCH);
    assert_int_equal(crash_memory_join(dup(memory.page_fd), open("/dev/null", O_RDONLY), &joined), ERR_MISMATCH);
    assert_int_equal(crash_memory_join(-1, -1, &joined), ERR_MISMATCH);
}

/* What is forked cannot write the notes by accident, and may where it is its business. */
static void a_guarded_mapping_is_not_written(void **state)
{
    (void)state;
    for (int allowed = 0; allowed < 2; allowed++) {
        pid_t child = fork();
        if (child == 0) {
            (void)signal(SIGSEGV, SIG_DFL);
            crash_memory_guard(&memory, false);
            if (allowed)
                crash_memory_guard(&memory, true);
            crash_memory_publish(&memory, &history);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(WIFSIGNALED(status), !allowed);
        assert_int_equal(crash_memory_version(&memory), allowed ? 2 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_published_is_read_once, begin, end),
        cmocka_unit_test_setup_teardown(what_was_being_written_is_not_taken, begin, end),
        cmocka_unit_test_setup_teardown(what_is_read_is_within_bounds, begin, end),
        cmocka_unit_test_setup_teardown(who_joins_writes_the_page_and_reads_the_notes, begin, end),
        cmocka_unit_test_setup_teardown(what_is_something_else_is_not_joined, begin, end),
        cmocka_unit_test_setup_teardown(a_guarded_mapping_is_not_written, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
