/* SPDX-License-Identifier: MIT */
/* The daemon's log: one line per event on stderr, `2026-11-22T17:00:00.123Z warn bitswap: text`, escaped, never interleaved. */
#ifndef HEARTH_CLI_LOG_H
#define HEARTH_CLI_LOG_H

#include "mailbox/actor.h"

/* A log_fn of mailbox/runtime.h; arg is not used. Any thread. Blocks for the write only. */
void log_write(void *arg, enum log_level level, const char *actor, const char *text);

/* error, warn, info or debug; LOG_INFO for anything else. */
enum log_level log_level_of(const char *name);

#endif
