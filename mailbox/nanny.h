/* SPDX-License-Identifier: MIT */
/*
 * The nanny: the parent process that stays when the daemon dies.
 *
 *      nanny  --fork-->  daemon (all threads, nng, databases)
 *        | forwards SIGTERM, SIGINT and SIGHUP; a second SIGTERM or SIGINT kills
 *        | reaps whatever becomes its child (it may be pid 1)
 *        | starts the daemon again after a crash, with backoff, within an intensity
 *        | keeps what it saw of the crash (crash_history.h), which the next life reads (crash_memory.h)
 *        | tells the service manager (service.h); SIGUSR1 from the daemon: how far it is has changed
 *
 * It forks before nng starts (a fork after that aborts), has one thread, opens no database and no socket, so that nothing the daemon
 * does can take it down too. An ordered end (exit code 0 or a code the caller lists as final) ends the nanny with the same code.
 */
#ifndef HEARTH_MAILBOX_NANNY_H
#define HEARTH_MAILBOX_NANNY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NANNY_INTENSITY = 5, /* crashes within the period that are borne; one more ends the nanny too */
    NANNY_PERIOD_MS = 60000,
    NANNY_BACKOFF_FIRST_MS = 100, /* the first restart is immediate, the next wait doubles from here */
    NANNY_BACKOFF_MAX_MS = 30000,
    NANNY_STOP_MS = 12000, /* after SIGTERM: the daemon drains within 10 s, then it is killed */
    NANNY_EXIT_ESCALATED = 70,
};

struct crash_memory;

/* What a life begins with; all of it outlives the life. */
struct nanny_life {
    unsigned number; /* from 0 */
    const struct crash_memory
        *memory; /* what it leaves behind, what is known of the lives before; NULL without memory */
};

struct nanny_config {
    int (*daemon)(void *arg, const struct nanny_life *life); /* in the child; its result is the exit code */
    void *arg;
    const int *final_codes; /* exit codes that are not crashes, besides 0 */
    size_t final_count;
    uint32_t intensity;                       /* 0 = NANNY_INTENSITY */
    uint32_t period_ms;                       /* 0 = NANNY_PERIOD_MS */
    uint32_t stop_ms;                         /* 0 = NANNY_STOP_MS */
    void (*log)(void *arg, const char *text); /* one line per event of the nanny's; may be NULL */
};

/*
 * Runs the daemon until it ends in an orderly way, a signal ends it, or it crashes too often (NANNY_EXIT_ESCALATED). Returns the exit
 * code for main. Call with one thread, before any library starts others. Blocks.
 */
int nanny_run(const struct nanny_config *config);

#endif
