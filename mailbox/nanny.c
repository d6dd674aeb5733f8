/* SPDX-License-Identifier: MIT */
#include "mailbox/nanny.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"
#include "mailbox/crash_memory.h"
#include "mailbox/service.h"

enum { CRASHES_KEPT = 64 };

struct nanny {
    const struct nanny_config *config;
    sigset_t signals;
    sigset_t before; /* the mask main had, which the daemon gets back */
    pid_t child;
    unsigned lives;
    bool stopping;
    uint64_t kill_at_ns; /* UINT64_MAX: not stopping */
    uint64_t crashes_ns[CRASHES_KEPT];
    size_t crash_count;
    struct crash_memory memory;    /* all zero without memory: lives leave nothing */
    struct crash_history *history; /* NULL: as memory */
    uint64_t version;              /* of what was published or read last */
    struct service service;
    uint64_t child_since_ns;
};

static void say(const struct nanny *n, const char *text)
{
    if (n->config->log != NULL)
        n->config->log(n->config->arg, text);
}

static bool start_child(struct nanny *n)
{
    pid_t parent = getpid();
    if (n->history != NULL)
        crash_page_clear(n->memory.page, parent);
    pid_t child = fork();
    if (child < 0)
        return false;
    if (child == 0) {
        /* A daemon without its nanny would not be looked after, nor be found by the next start. */
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(NANNY_EXIT_ESCALATED);
        (void)sigprocmask(SIG_SETMASK, &n->before, NULL);
        service_close(&n->service);
        const struct nanny_life life = {.number = n->lives, .memory = n->history == NULL ? NULL : &n->memory};
        if (n->history != NULL)
            crash_memory_guard(&n->memory, false);
        _exit(n->config->daemon(n->config->arg, &life));
    }
    n->child = child;
    n->child_since_ns = clock_mono_ns();
    n->lives++;
    return true;
}

static bool is_final(const struct nanny *n, int status)
{
    if (!WIFEXITED(status))
        return false;
    int code = WEXITSTATUS(status);
    for (size_t i = 0; i < n->config->final_count; i++) {
        if (n->config->final_codes[i] == code)
            return true;
    }
    return code == 0;
}

static int code_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Reaps all that ended; true, with the status, when the daemon is among them. */
static bool reap(struct nanny *n, int *ret_status)
{
    bool ended = false;
    for (;;) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            return ended;
        if (pid == n->child) {
            ended = true;
            *ret_status = status;
            n->child = 0;
        }
    }
}

static void pass_on(struct nanny *n, int signal_number)
{
    bool ends = signal_number == SIGTERM || signal_number == SIGINT;
    if (n->child == 0) {
        n->stopping = n->stopping || ends;
        return;
    }
    if (ends && n->stopping) {
        say(n, "second signal: the daemon is killed");
        (void)kill(n->child, SIGKILL);
        return;
    }
    if (ends) {
        uint32_t stop_ms = n->config->stop_ms == 0 ? NANNY_STOP_MS : n->config->stop_ms;
        n->stopping = true;
        n->kill_at_ns = clock_mono_ns() + stop_ms * MS_NS;
    }
    (void)kill(n->child, signal_number);
}

static uint64_t tell_service(struct nanny *n, uint64_t now_ns)
{
    const struct service_view view = {.page = n->memory.page,
                                      .life = n->lives == 0 ? 0 : n->lives - (n->child != 0),
                                      .life_since_ns = n->child == 0 ? 0 : n->child_since_ns,
                                      .stopping = n->stopping};
    return service_turn(&n->service, &view, now_ns);
}

/* Waits for one signal until the time; 0 at the time, or when something else was due. */
static int wait_signal(struct nanny *n, uint64_t until_ns)
{
    uint64_t now = clock_mono_ns();
    until_ns = MIN(until_ns, tell_service(n, now));
    uint64_t left = until_ns <= now ? 0 : MIN(until_ns - now, 3600 * SECOND_NS);
    struct timespec wait = {.tv_sec = (time_t)(left / SECOND_NS), .tv_nsec = (long)(left % SECOND_NS)};
    int got = sigtimedwait(&n->signals, NULL, &wait);
    return got > 0 ? got : 0;
}

/* Waits until the daemon has ended, passing signals on; returns its wait status. */
static int watch_child(struct nanny *n)
{
    int status = 0;
    for (;;) {
        if (reap(n, &status))
            return status;
        int got = wait_signal(n, n->kill_at_ns);
        if (got == SIGCHLD || got == SIGUSR1 || got == 0) {
            if (clock_mono_ns() >= n->kill_at_ns && n->child != 0) {
                say(n, "the daemon did not stop in time and is killed");
                (void)kill(n->child, SIGKILL);
                n->kill_at_ns = UINT64_MAX;
            }
            continue;
        }
        pass_on(n, got);
    }
}

/* Counts this crash and says how long to wait before the next life; false when there were too many. */
static bool may_restart(struct nanny *n, uint64_t *ret_wait_ns)
{
    uint32_t intensity = MIN(n->config->intensity == 0 ? NANNY_INTENSITY : n->config->intensity, CRASHES_KEPT - 1);
    uint32_t period_ms = n->config->period_ms == 0 ? NANNY_PERIOD_MS : n->config->period_ms;
    uint64_t now = clock_mono_ns();
    size_t kept = 0;
    for (size_t i = 0; i < n->crash_count; i++) {
        if (now - n->crashes_ns[i] < period_ms * MS_NS)
            n->crashes_ns[kept++] = n->crashes_ns[i];
    }
    n->crashes_ns[kept++] = now;
    n->crash_count = kept;
    uint64_t wait = kept < 2 ? 0 : NANNY_BACKOFF_FIRST_MS * MS_NS << MIN(kept - 2, 16);
    *ret_wait_ns = MIN(wait, NANNY_BACKOFF_MAX_MS * MS_NS);
    return kept <= intensity;
}

static void wait_backoff(struct nanny *n, uint64_t wait_ns)
{
    uint64_t until = clock_mono_ns() + wait_ns;
    while (!n->stopping && clock_mono_ns() < until) {
        int got = wait_signal(n, until);
        int status;
        if (got == SIGCHLD)
            (void)reap(n, &status);
        else if (got != 0 && got != SIGUSR1)
            pass_on(n, got);
    }
}

/* What root concluded of its actors' processes goes on, if it had not died at writing it. */
static const struct crash_record *conclude(struct nanny *n, int status)
{
    const struct crash_end end = {.status = status, .now_ns = clock_mono_ns(), .real_ns = clock_real_ns()};
    (void)crash_memory_read(&n->memory, &n->version, n->history);
    const struct crash_record *r = crash_history_note(n->history, n->memory.page, &end);
    crash_memory_publish(&n->memory, n->history);
    n->version = crash_memory_version(&n->memory);
    return r;
}

/* One line for the log, the rest for the next life. */
static void note_crash(struct nanny *n, int status)
{
    char text[256];
    const struct crash_record *r = n->history == NULL ? NULL : conclude(n, status);
    (void)snprintf(text, sizeof(text), "the daemon ended by %s %d%s%s%s%s%s",
                   WIFSIGNALED(status) ? "signal" : "exit code",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                   r == NULL || r->subject.actor[0] == '\0' ? "" : " in ", r == NULL ? "" : r->subject.actor,
                   r != NULL && strcmp(r->cause, "stuck") == 0 ? ", which was stuck" : "",
                   r != NULL && r->poisoned ? "; the same message as before: it is dropped from now on" : "",
                   r != NULL && r->banned ? "; the same peer as before: banned for an hour" : "");
    say(n, text);
}

static int keep_running(struct nanny *n)
{
    for (;;) {
        if (!start_child(n)) {
            say(n, "cannot fork the daemon");
            return NANNY_EXIT_ESCALATED;
        }
        int status = watch_child(n);
        if (n->stopping || is_final(n, status))
            return code_of(status);
        note_crash(n, status);
        uint64_t wait_ns = 0;
        if (!may_restart(n, &wait_ns)) {
            say(n, "too many crashes: giving up");
            return NANNY_EXIT_ESCALATED;
        }
        wait_backoff(n, wait_ns);
        if (n->stopping)
            return code_of(status);
    }
}

int nanny_run(const struct nanny_config *config)
{
    static const int watched[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1};
    struct nanny n = {.config = config, .kill_at_ns = UINT64_MAX};
    if (crash_memory_make(&n.memory) == ERR_OK)
        n.history = calloc(1, sizeof(*n.history));
    if (n.history == NULL)
        crash_memory_close(&n.memory);
    if (!service_open(&n.service))
        say(&n, "NOTIFY_SOCKET or WATCHDOG_USEC is not one that can be used: not all is told to the service manager");
    (void)sigemptyset(&n.signals);
    for (size_t i = 0; i < ARRAY_LEN(watched); i++)
        (void)sigaddset(&n.signals, watched[i]);
    (void)sigprocmask(SIG_BLOCK, &n.signals, &n.before);
    /* Inherited as ignored, the kernel would reap the daemon, and no end of it be seen. */
    void (*before)(int) = signal(SIGCHLD, SIG_DFL);
    int code = keep_running(&n);
    (void)tell_service(&n, clock_mono_ns());
    service_close(&n.service);
    crash_memory_close(&n.memory);
    free(n.history);
    (void)signal(SIGCHLD, before);
    (void)sigprocmask(SIG_SETMASK, &n.before, NULL);
    return code;
}
