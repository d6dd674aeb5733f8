/* SPDX-License-Identifier: MIT */
/*
 * The control socket from the asking side: one nng REQ socket, one context per request, so several requests are in flight on one
 * connection. When the connection is lost, all of them end at once instead of waiting out their time: those that may be executed twice are sent again
 * as soon as the daemon takes connections, the rest ends with CODE_NOT_RUNNING, all when it is gone (cli/absence.h).
 *
 * One thread asks; nng's threads only wake it.
 */
#ifndef HEARTH_CLI_CLIENT_H
#define HEARTH_CLI_CLIENT_H

#include "cli/commands.h"

enum { CLIENT_IN_FLIGHT = 8, CLIENT_LONG_MS = 24 * 3600 * 1000, CLIENT_TRIES = 3 };

struct client;
struct call;

/* How a request ended. The spans live until the call is freed. */
struct outcome {
    enum control_code code; /* CODE_OK: result is set */
    struct span result;
    struct span message;
    struct span hint;
    struct span raw; /* the whole answer */
    bool absent;     /* CODE_NOT_RUNNING: the daemon was waited for in vain */
};

/* Connects, in 10 s or the user's timeout, which begins here. ERR_UNAVAILABLE, ERR_TOO_LARGE (path): why has the sentence for the user. */
enum err client_open(const struct globals *globals, struct client **ret_client, char why[512]) MUST_CHECK;
void client_close(struct client *client);

/* The trace that all requests carry, 0 without --trace. */
uint32_t client_trace(const struct client *client);

/* The path of another socket beside a control socket on this machine; false when it is elsewhere or the path does not fit. */
bool client_sibling(const struct client *client, const char *name, char *to, size_t to_bytes) MUST_CHECK;

/* The timeout of a request: the user's, else otherwise_ms. */
uint64_t client_timeout(const struct client *client, uint64_t otherwise_ms);

/*
 * Sends {op, args} and returns at once; args is a packed map or empty. mutates gives the request an id, so that it is executed
 * once whatever the connection does. NULL without memory.
 */
struct call *call_start(struct client *client, const char *op, struct span args, uint64_t timeout_ms, bool mutates);
/* The same with bytes as they are, msgpack or JSON. */
struct call *call_start_raw(struct client *client, struct span request, uint64_t timeout_ms);

/* Told now and then how far a job is, while call_wait follows it. */
void client_watch(struct client *client, void (*progress)(void *arg, uint64_t done), void *arg);

/*
 * How long to wait after so many tries, which took so long together, before the next one. The second comes at once, for most failures are over
 * then; the last one in good time: what failed slowly twice may have done so while another part hung, which is replaced after half a minute.
 */
static inline uint64_t client_pause_ms(unsigned tries, uint64_t spent_ms, uint64_t left_ms)
{
    enum { FIRST_MS = 100, THEN_MS = 400, MOST_MS = 30000, FACTOR = 8 };
    if (tries < 2)
        return FIRST_MS;
    return MAX((uint64_t)THEN_MS, MIN(MIN(FACTOR * spent_ms, (uint64_t)MOST_MS), left_ms / 2));
}

/* Ends of whoever answers, while a request was out. */
struct losses {
    unsigned quick; /* in a row, soon after it was sent: the request may be what ends them */
    unsigned all;
};

/* One more, so long after the request was sent. Whether it may be sent again. */
static inline bool losses_allow(struct losses *losses, uint64_t out_ms)
{
    enum { QUICK_MS = 500, QUICK_MAX = 5, ALL_MAX = 64 };
    losses->quick = out_ms < QUICK_MS ? losses->quick + 1 : 0;
    losses->all++;
    return losses->quick < QUICK_MAX && losses->all < ALL_MAX;
}

/* Whether whoever answers ended, and what it had with it: the connection was lost, or it was told so with its last answer. */
bool outcome_is_loss(const struct outcome *outcome);

/*
 * Waits for the end. `busy` is asked again, some milliseconds later, for as long as the request's timeout but 2 min at most. What may be executed
 * twice (operation_repeatable) is tried three times when a part that it needs fails, and as often as losses_allow when whoever answers ends.
 */
void call_wait(struct call *call, struct outcome *ret_outcome);
void call_free(struct call *call); /* NULL is ignored; gives up a running one */

#endif
