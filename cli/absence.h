/* SPDX-License-Identifier: MIT */
/*
 * How long a daemon that does not take connections may be waited for: as long as its repository is locked, for then it runs and only the part that
 * answers is down, but a minute at most; a second once it is not, which is a daemon between two lives. Where the lock cannot be looked at (another
 * machine's socket, another user's repository) nothing is known, and it is a second too.
 */
#ifndef HEARTH_CLI_ABSENCE_H
#define HEARTH_CLI_ABSENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

enum {
    ABSENCE_LOCK_MAX = 2200,
    ABSENCE_RETURN_MS = 1000,
    ABSENCE_LOCKED_MS = 60000, /* a part that hangs is replaced after 30 to 36 s */
};

struct absence {
    char lock[ABSENCE_LOCK_MAX]; /* "" = not known */
    uint64_t since_ms;
    uint64_t locked_ms; /* when the repository was seen locked last, or the beginning */
};

/* Begins at now_ms, of any monotonic clock; url: of the control socket. */
void absence_begin(struct absence *absence, const char *url, uint64_t now_ms);

/* Whether it may end yet. Looks at the lock, which is taken for a moment when it is free: whoever starts a daemon waits longer than that. */
bool absence_may_end(struct absence *absence, uint64_t now_ms) MUST_CHECK;

#endif
