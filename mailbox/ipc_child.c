/* SPDX-License-Identifier: MIT */
#include "mailbox/ipc_child.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

extern char **environ;

/* A descriptor that is put where it is already loses the mark that exec would close it by. */
static bool keep_open(posix_spawn_file_actions_t *actions, const int *fds, size_t fd_count)
{
    for (size_t i = 0; i < fd_count; i++) {
        if (fds[i] >= 0 && posix_spawn_file_actions_adddup2(actions, fds[i], fds[i]) != 0)
            return false;
    }
    return true;
}

enum err child_spawn(struct ipc_child *child, const char *const *argv, const int *fds, size_t fd_count)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ERR_NOMEM;
    bool spawned = keep_open(&actions, fds, fd_count) &&
                   posix_spawn(&pid, "/proc/self/exe", &actions, NULL, (char *const *)(uintptr_t)argv, environ) == 0;
    (void)posix_spawn_file_actions_destroy(&actions);
    if (!spawned)
        return ERR_NOMEM;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return ERR_NOMEM;
    }
    *child = (struct ipc_child){.pid = pid, .pidfd = pidfd};
    return ERR_OK;
}

void child_kill(struct ipc_child *child)
{
    if (child->pid > 0)
        (void)kill(child->pid, SIGKILL); /* not reaped yet, so the number is still its own */
}

static uint64_t ns_of(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * SECOND_NS + (uint64_t)time->tv_usec * 1000;
}

bool child_has_ended(const struct ipc_child *child)
{
    struct pollfd ended = {.fd = child->pidfd, .events = POLLIN};
    return child->pid > 0 && poll(&ended, 1, 0) > 0;
}

bool child_reap(struct ipc_child *child, struct child_end *ret_end)
{
    int status = 0;
    struct rusage used = {0};
    struct pollfd ended = {.fd = child->pidfd, .events = POLLIN};
    if (child->pid <= 0)
        return true;
    uint64_t until = clock_mono_ns() + CHILD_REAP_MS * MS_NS;
    if (poll(&ended, 1, CHILD_REAP_MS) <= 0)
        return false;
    /* Who traces it, a debugger or the leak sanitizer, has its end first, though pidfd tells of it already. */
    pid_t pid;
    while ((pid = wait4(child->pid, &status, WNOHANG, &used)) == 0 && clock_mono_ns() < until)
        (void)poll(NULL, 0, 1);
    if (pid != child->pid)
        return false;
    if (WIFSIGNALED(status))
        (void)snprintf(ret_end->how, CHILD_HOW_BYTES, "its process was ended by signal %d", WTERMSIG(status));
    else
        (void)snprintf(ret_end->how, CHILD_HOW_BYTES, "its process ended with code %d", WEXITSTATUS(status));
    ret_end->status = status;
    ret_end->cpu_ns = ns_of(&used.ru_utime) + ns_of(&used.ru_stime);
    (void)close(child->pidfd);
    *child = (struct ipc_child){.pidfd = -1, .reported = true};
    return true;
}
