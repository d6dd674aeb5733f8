/* SPDX-License-Identifier: MIT */
/* A process that has a file open is found; one that has closed it is not. */
#include "tests/support/storage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/file_users.h"

/* A process of its own that has the file open until our end of the pipe is closed. */
static pid_t start_reader(const char *path, int *ret_hold)
{
    int hold[2];
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(hold), 0);
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(hold[1]);
        int fd = open(path, O_RDONLY);
        if (fd < 0 || write(ready[1], "r", 1) != 1)
            _exit(1);
        (void)!read(hold[0], &byte, 1);
        _exit(0);
    }
    (void)close(hold[0]);
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    *ret_hold = hold[1];
    return pid;
}

static void who_has_a_file_open_is_found(void **state)
{
    (void)state;
    char path[] = "/tmp/hearth-users-XXXXXX";
    pid_t pids[4];
    int hold;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(file_users_find(path, pids, 4), 0); /* this process does not count */
    assert_int_equal(file_users_find("/tmp/hearth-no-such-file", pids, 4), 0);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)close(fd);
    pid_t pid = start_reader(path, &hold);
    assert_int_equal(file_users_find(path, pids, 4), 1);
    assert_int_equal(pids[0], pid);
    assert_int_equal(file_users_find(path, pids, 0), 0);
    (void)close(hold);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(file_users_find(path, pids, 4), 0);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(who_has_a_file_open_is_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
