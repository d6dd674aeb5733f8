/* SPDX-License-Identifier: MIT */
/* What a confined process can still do, and what not. Each case in a process of its own, since confinement is for good. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mailbox/actor.h"
#include "mailbox/confine.h"

enum { FINE = 0, UNSUPPORTED = 77 };

/* Line numbers are exit codes, as far as they go. */
#define NEED(cond)                                                                                                     \
    do {                                                                                                               \
        if (!(cond))                                                                                                   \
            _exit(__LINE__ % 70 + 1);                                                                                  \
    } while (0)

static void *nothing(void *arg)
{
    return arg;
}

static bool fails_with(int result, int error)
{
    return result < 0 && errno == error;
}

/* A process that is neither its parent nor itself: it ends when nobody holds the pipe any more. */
static pid_t somebody_else(void)
{
    int ends[2];
    char byte;
    NEED(pipe(ends) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ends[1]);
        (void)!read(ends[0], &byte, 1);
        _exit(0);
    }
    NEED(pid > 0);
    return pid;
}

static void confined(uint32_t ports)
{
    pid_t other = somebody_else();
    enum err err = confine_process(ports);
    if (err == ERR_UNSUPPORTED)
        _exit(UNSUPPORTED);
    NEED(err == ERR_OK);
    pthread_t thread;
    NEED(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
    NEED(fork() < 0);
    char name[] = "true";
    char *const argv[] = {name, NULL};
    pid_t pid;
    NEED(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, argv + 1) != 0);
    NEED(fails_with(execve("/bin/true", argv, argv + 1), EPERM));
    NEED(fails_with(kill(getppid(), SIGKILL), EPERM));
    NEED(kill(getppid(), 0) < 0);
    NEED(fails_with(kill(other, SIGTERM), EPERM));
    siginfo_t info = {.si_code = SI_QUEUE};
    NEED(fails_with((int)syscall(SYS_rt_sigqueueinfo, getppid(), 0, &info), EPERM));
    NEED(fails_with((int)syscall(SYS_rt_tgsigqueueinfo, getppid(), getppid(), 0, &info), EPERM));
    struct rlimit limit;
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    NEED(fails_with(prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit), EPERM));
    int pair[2];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && write(pair[0], "x", 1) == 1);
}

static void confined_without_anything(void)
{
    confined(PORT_JOBS | PORT_WATCH);
    NEED(fails_with(open("/etc/passwd", O_RDONLY), EACCES));
    NEED(fails_with(open("/tmp/hearth-confined", O_CREAT | O_WRONLY, 0600), EACCES));
    NEED(fails_with(socket(AF_INET, SOCK_STREAM, 0), EACCES));
    NEED(fails_with(socket(AF_INET6, SOCK_DGRAM, 0), EACCES));
}

static void confined_with_network(void)
{
    confined(PORT_NET | PORT_DNS);
    NEED(open("/etc/passwd", O_RDONLY) >= 0); /* the resolver reads /etc/hosts */
    NEED(fails_with(open("/etc/passwd", O_RDWR), EACCES));
    NEED(fails_with(open("/tmp/hearth-confined", O_CREAT | O_WRONLY, 0600), EACCES));
    NEED(fails_with(unlink("/tmp/hearth-confined"), EACCES));
    NEED(fails_with(rename("/tmp/hearth-confined", "/tmp/hearth-confined.2"), EACCES));
    NEED(socket(AF_INET, SOCK_STREAM, 0) >= 0);
}

static void confined_with_disk(void)
{
    confined(PORT_DISK | PORT_JOBS);
    NEED(open("/dev/null", O_RDWR) >= 0);
    NEED(fails_with(unlink("/tmp/hearth-is-not-there"), ENOENT));
    NEED(fails_with(socket(AF_INET, SOCK_STREAM, 0), EACCES));
}

static void play(void (*what)(void))
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        what();
        _exit(FINE);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == UNSUPPORTED)
        skip();
    assert_int_equal(WEXITSTATUS(status), FINE);
}

static void test_without_ports_there_is_neither_disk_nor_network(void **state)
{
    (void)state;
    play(confined_without_anything);
}

static void test_the_network_writes_no_files(void **state)
{
    (void)state;
    play(confined_with_network);
}

static void test_the_disk_has_no_network(void **state)
{
    (void)state;
    play(confined_with_disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_ports_there_is_neither_disk_nor_network),
        cmocka_unit_test(test_the_network_writes_no_files),
        cmocka_unit_test(test_the_disk_has_no_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
