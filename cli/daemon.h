/* SPDX-License-Identifier: MIT */
/*
 * One life of the daemon: opens the repository, starts the tree of actors, tells people where things are, waits for a signal, stops.
 */
#ifndef HEARTH_CLI_DAEMON_H
#define HEARTH_CLI_DAEMON_H

#include <stdbool.h>

struct daemon_options {
    const char *repo_dir;    /* --repo-dir or NULL */
    const char *config_file; /* --config-file or NULL */
    const char *profiles;    /* for a repository that has to be made first */
    bool offline;
    bool no_serve;   /* Bitswap.ServerEnabled: false */
    bool no_provide; /* Provide.Enabled: false */
    bool chaos;      /* Chaos.Enabled */
    bool debug;
    bool processes;    /* --backend ipc */
    const char *place; /* --actor: this process is to be one of them; else NULL */
};

enum {
    DAEMON_EXIT_OK = 0,
    DAEMON_EXIT_FAILED = 1,     /* could not start, for a reason that a restart does not cure */
    DAEMON_EXIT_ESCALATED = 70, /* as of enum runtime_exit */
    DAEMON_EXIT_STUCK = 71,
    DAEMON_EXIT_AGAIN =
        72, /* a later life could not start, for whatever reason: it is tried again like after a crash */
    DAEMON_EXIT_HELD =
        73, /* told to end, it ended, but for threads that wait for a disk that does not answer: no crash */
};

struct nanny_life;

/* Runs until SIGTERM, SIGINT or `shutdown`. Returns the exit code. Call once per process, before other threads exist. */
int daemon_run(const struct daemon_options *options, const struct nanny_life *life);

/* The same without a nanny: a crash ends it for good and leaves no record; what the service manager hears it tells itself. */
int daemon_run_alone(const struct daemon_options *options);

/* In a process that such a daemon started: is the actor that options->place names until it ends. Returns the exit code. */
int daemon_play(const struct daemon_options *options);

#endif
