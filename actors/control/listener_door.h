/* SPDX-License-Identifier: MIT */
/*
 * The door of the control socket: the nng listener that clients come in by, kept open.
 *
 * nng 1.5.2 stops accepting for good when a client has gone before its greeting could be sent: ipc_pipe_neg_cb hands the failed send
 * (EPIPE, which is NNG_ECLOSED) to the accepting aio, and listener_accept_cb takes that for its own end. So a client that connects and
 * goes at once, while this process is slow or stopped, would lock all later ones out. No option prevents it and no call shows it;
 * therefore the door is knocked at from inside: a connection of our own, made only when no other client has come in lately. When even
 * that one does not come in within DOOR_PATIENCE_CHECKS quick checks, five seconds, the listener is closed and made anew. Clients that were inside
 * lose their connection then, come in again and ask again by themselves, as REQ sockets do; but what they add or read in pieces ends, so a
 * machine that is only slow must not look like a door that is shut.
 *
 * All but door_entered belongs to the actor's thread.
 */
#ifndef HEARTH_ACTORS_CONTROL_LISTENER_DOOR_H
#define HEARTH_ACTORS_CONTROL_LISTENER_DOOR_H

#include <nng/nng.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum { DOOR_URL_BYTES = 520, DOOR_PATIENCE_CHECKS = 10 };

struct door {
    nng_socket inside; /* borrowed: what clients come in to */
    nng_socket outside;
    nng_listener listener;
    nng_dialer knock;
    bool open;
    unsigned knocked; /* checks since the knock began; 0 = not knocking */
    uint64_t seen;    /* of entered, at the last check or the begin of the knock */
    int mode;
    size_t request_bytes_max;
    char url[DOOR_URL_BYTES];
    _Atomic uint64_t entered; /* relaxed: a count that guards nothing */
};

/* Opens it; path, mode and request_bytes_max are kept for later. Returns nng's code; door_close undoes it in any case. */
int door_open(struct door *door, nng_socket inside, const char *path, int mode, size_t request_bytes_max) MUST_CHECK;

/* A client came in, of which none is known but that it did. Any thread, also nng's callbacks. */
void door_entered(struct door *door);

/*
 * To be called every few seconds. True when the door was found shut and is open again: its file is a new one, whose group the caller
 * sets. A door that cannot be opened is tried again by the next check.
 */
bool door_check(struct door *door);

/* Whether an answer to a knock is waited for: then checks are to come quickly. */
bool door_knocks(const struct door *door);

/* Stops knocking; the listener itself goes with the inside socket. Also for one that was never opened. */
void door_close(struct door *door);

#endif
