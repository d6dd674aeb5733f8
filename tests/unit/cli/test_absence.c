/* SPDX-License-Identifier: MIT */
/* How long a daemon that takes no connections is waited for. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/absence.h"

enum { BEGAN = 5000 };

static struct {
    char folder[64];
    char run[80];
    char lock[80];
    char url[128];
    int fd;
} repository;

static int make_repository(void **state)
{
    (void)state;
    (void)snprintf(repository.folder, sizeof(repository.folder), "/tmp/hearth-absence-XXXXXX");
    assert_non_null(mkdtemp(repository.folder));
    (void)snprintf(repository.run, sizeof(repository.run), "%s/run", repository.folder);
    (void)snprintf(repository.lock, sizeof(repository.lock), "%s/daemon.lock", repository.folder);
    (void)snprintf(repository.url, sizeof(repository.url), "ipc://%s/control.sock", repository.run);
    assert_int_equal(mkdir(repository.run, 0700), 0);
    repository.fd = open(repository.lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(repository.fd >= 0);
    return 0;
}

static int remove_repository(void **state)
{
    (void)state;
    (void)close(repository.fd);
    (void)unlink(repository.lock);
    (void)rmdir(repository.run);
    return rmdir(repository.folder);
}

static void nobody_who_has_the_lock_is_waited_for_a_second(void **state)
{
    (void)state;
    struct absence absence;
    absence_begin(&absence, repository.url, BEGAN);
    assert_true(absence_may_end(&absence, BEGAN));
    assert_true(absence_may_end(&absence, BEGAN + ABSENCE_RETURN_MS - 1));
    assert_false(absence_may_end(&absence, BEGAN + ABSENCE_RETURN_MS));
    assert_int_equal(flock(repository.fd, LOCK_EX | LOCK_NB), 0); /* it was not kept */
}

static void a_daemon_that_runs_is_waited_for_longer_and_a_second_after_its_end(void **state)
{
    (void)state;
    struct absence absence;
    const uint64_t ends = BEGAN + (uint64_t)ABSENCE_LOCKED_MS / 2;
    assert_int_equal(flock(repository.fd, LOCK_EX | LOCK_NB), 0);
    absence_begin(&absence, repository.url, BEGAN);
    assert_true(absence_may_end(&absence, BEGAN + ABSENCE_RETURN_MS));
    assert_true(absence_may_end(&absence, ends));
    assert_int_equal(flock(repository.fd, LOCK_UN), 0);
    assert_true(absence_may_end(&absence, ends + ABSENCE_RETURN_MS - 1));
    assert_false(absence_may_end(&absence, ends + ABSENCE_RETURN_MS));
}

static void a_daemon_that_never_answers_is_not_waited_for_without_end(void **state)
{
    (void)state;
    struct absence absence;
    assert_int_equal(flock(repository.fd, LOCK_EX | LOCK_NB), 0);
    absence_begin(&absence, repository.url, BEGAN);
    assert_true(absence_may_end(&absence, BEGAN + ABSENCE_LOCKED_MS - 1));
    assert_false(absence_may_end(&absence, BEGAN + ABSENCE_LOCKED_MS));
}

static void of_a_socket_elsewhere_nothing_is_known(void **state)
{
    (void)state;
    static const char *const urls[] = {"tcp://127.0.0.1:1/control.sock", "ipc://control.sock", "", "ipc:///sock"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct absence absence;
        absence_begin(&absence, urls[i], BEGAN);
        assert_true(absence_may_end(&absence, BEGAN + ABSENCE_RETURN_MS - 1));
        assert_false(absence_may_end(&absence, BEGAN + ABSENCE_RETURN_MS));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_who_has_the_lock_is_waited_for_a_second, make_repository,
                                        remove_repository),
        cmocka_unit_test_setup_teardown(a_daemon_that_runs_is_waited_for_longer_and_a_second_after_its_end,
                                        make_repository, remove_repository),
        cmocka_unit_test_setup_teardown(a_daemon_that_never_answers_is_not_waited_for_without_end, make_repository,
                                        remove_repository),
        cmocka_unit_test(of_a_socket_elsewhere_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
