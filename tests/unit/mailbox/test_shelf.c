/* SPDX-License-Identifier: MIT */
/*
 * The shelf on which processes leave sockets for each other: what is put there stays, whatever becomes of who put it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mailbox/shelf.h"

static struct shelf shelf;
static int ends[2];
static const struct keep_port *keep;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(shelf_make(ends), ERR_OK);
    shelf_join(&shelf, ends);
    keep = shelf_port(&shelf);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)close(ends[0]);
    (void)close(ends[1]);
    return 0;
}

/* A file of so many bytes, by which it is known again. */
static int thing(size_t size)
{
    int fd = memfd_create("thing", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static void keep_thing(const char *name, size_t size)
{
    int fd = thing(size);
    assert_int_equal(keep->keep(keep->self, name, fd), ERR_OK);
    (void)close(fd);
}

/* The size of what is there, -1: nothing. */
static long found(const char *name)
{
    struct stat info;
    int fd = keep->find(keep->self, name);
    if (fd < 0)
        return -1;
    assert_int_equal(fstat(fd, &info), 0);
    (void)close(fd);
    return (long)info.st_size;
}

static void test_what_is_put_is_found_again_and_again(void **state)
{
    (void)state;
    assert_int_equal(found("a"), -1);
    keep_thing("a", 1);
    keep_thing("b", 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(found("b"), 2);
        assert_int_equal(found("a"), 1);
        assert_int_equal(found("c"), -1);
    }
}

static void test_the_later_of_a_name_takes_the_place(void **state)
{
    (void)state;
    keep_thing("a", 1);
    keep_thing("b", 2);
    keep_thing("a", 3);
    assert_int_equal(found("a"), 3);
    keep->forget(keep->self, "a");
    assert_int_equal(found("a"), -1);
    assert_int_equal(found("b"), 2);
    keep->forget(keep->self, "never");
    assert_int_equal(found("b"), 2);
}

static void test_names_have_bounds(void **state)
{
    (void)state;
    char name[KEEP_NAME_BYTES + 1];
    int fd = thing(1);
    memset(name, 'n', sizeof(name));
    name[KEEP_NAME_BYTES] = '\0';
    assert_int_equal(keep->keep(keep->self, "", fd), ERR_INVALID);
    assert_int_equal(keep->keep(keep->self, name, fd), ERR_INVALID);
    assert_int_equal(keep->find(keep->self, name), -1);
    name[KEEP_NAME_BYTES - 1] = '\0';
    assert_int_equal(keep->keep(keep->self, name, fd), ERR_OK);
    assert_int_equal(found(name), 1);
    assert_int_equal(keep->keep(keep->self, "a", -1), ERR_INVALID);
    (void)close(fd);
}

static void test_a_full_shelf_says_so_and_keeps_what_it_has(void **state)
{
    (void)state;
    char name[16];
    int fd = thing(7);
    int kept = 0;
    for (enum err err = ERR_OK; kept < 10000 && err == ERR_OK; kept += err == ERR_OK) {
        (void)snprintf(name, sizeof(name), "%d", kept);
        err = keep->keep(keep->self, name, fd);
        assert_true(err == ERR_OK || err == ERR_BUSY);
    }
    (void)close(fd);
    assert_int_equal(kept, SHELF_THINGS_MAX);
    keep_thing("9", 7); /* in place of another there is room */
    for (int i = 0; i < kept; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        assert_int_equal(found(name), 7);
    }
}

/* What a process that was taken over may put there. */
static void test_what_is_no_thing_is_passed_over(void **state)
{
    (void)state;
    char bytes[512];
    memset(bytes, 'x', sizeof(bytes));
    keep_thing("a", 1);
    assert_int_equal(send(ends[0], bytes, sizeof(bytes), 0), sizeof(bytes));
    assert_int_equal(send(ends[0], bytes, KEEP_NAME_BYTES + 8, 0),
                     KEEP_NAME_BYTES + 8); /* a name without end, no descriptor */
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(send(ends[0], bytes, KEEP_NAME_BYTES + 8, 0), KEEP_NAME_BYTES + 8); /* a mark */
    assert_int_equal(send(ends[0], bytes, 1, 0), 1);
    keep_thing("b", 2);
    assert_int_equal(found("a"), 1);
    assert_int_equal(found("b"), 2);
    assert_int_equal(recv(ends[1], bytes, sizeof(bytes), 0), KEEP_NAME_BYTES + 8);
    assert_int_equal(recv(ends[1], bytes, sizeof(bytes), 0), KEEP_NAME_BYTES + 8);
    assert_int_equal(recv(ends[1], bytes, sizeof(bytes), MSG_DONTWAIT), -1); /* only the two were left */
}

/* A process that looks for a thing, and ends before its nth entry to or return from a system call; false when it had been through before. */
static bool die_at(int n)
{
    int status = 0;
    bool through = false;
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(9);
        (void)raise(SIGSTOP);
        (void)found("b");
        _exit(0);
    }
    assert_true(child > 0);
    for (int i = 0; i <= n && !through; i++) {
        assert_int_equal(waitpid(child, &status, 0), child);
        through = WIFEXITED(status);
        assert_true(!through || WEXITSTATUS(status) == 0);
        if (!through && i < n)
            assert_int_equal(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
    }
    if (through)
        return false;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return true;
}

/* Killed in the middle of a pass, at each point: there is one of each. */
static void test_a_kill_loses_nothing(void **state)
{
    (void)state;
    int points = 0;
    keep_thing("a", 1);
    keep_thing("b", 2);
    keep_thing("c", 3);
    while (die_at(points)) {
        assert_int_equal(found("a"), 1);
        assert_int_equal(found("b"), 2);
        assert_int_equal(found("c"), 3);
        points++;
    }
    assert_true(points > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_put_is_found_again_and_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_later_of_a_name_takes_the_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_have_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_shelf_says_so_and_keeps_what_it_has, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_thing_is_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_kill_loses_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
