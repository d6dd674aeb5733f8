/* SPDX-License-Identifier: MIT */
/*
 * The sockets between the actors' processes, and what one of these is told of its own on its command line.
 *
 *      --actor=ID:REGION:PAGE:NOTES:PUT:TAKE:FD,FD,...   - where there is none
 *
 * PAGE and NOTES: of crash_memory.h; PUT and TAKE: its shelf; FD: two for each peer, by its id: control and data.
 *
 * Root's process makes all pairs once, before anything runs, and keeps both ends, so that the next life of an actor goes on with the same
 * ones. A process inherits its own ends under their numbers. They are told on the command line rather than in the common memory, which a
 * process that was taken over could write to.
 */
#ifndef HEARTH_MAILBOX_IPC_PLACE_H
#define HEARTH_MAILBOX_IPC_PLACE_H

#include "mailbox/ctx.h"

enum {
    PLACE_SOCKETS_MAX = (RUNTIME_ACTORS_MAX + 1) * LANE_COUNT,
    PLACE_TEXT_MAX = 128 + PLACE_SOCKETS_MAX * 11,
};

struct ipc_sockets {
    size_t actor_count;
    int *fds;                               /* actor, peer, lane; -1 = none */
    int shelves[RUNTIME_ACTORS_MAX + 1][2]; /* by actor; 0 = none */
};

/* Makes the sockets between all for which exists[id], and their shelves; they are closed by exec. */
enum err ipc_sockets_open(size_t actor_count, const bool *exists, struct ipc_sockets *ret_sockets) MUST_CHECK;
void ipc_sockets_close(struct ipc_sockets *sockets);
/* What the actor uses to talk to its peers: LANE_COUNT for each. */
const int *ipc_sockets_of(const struct ipc_sockets *sockets, actor_id actor);

struct ipc_place {
    actor_id actor;
    int region_fd;
    int page_fd; /* -1 = nothing is kept of crashes, as notes_fd */
    int notes_fd;
    int shelf[2];
    int fds[PLACE_SOCKETS_MAX];
};

/* Of what is given as place, its sockets are not looked at. */
void ipc_place_print(char to[PLACE_TEXT_MAX], const struct ipc_place *place, const struct ipc_sockets *sockets);
/* ERR_INVALID when it is not what ipc_place_print writes for so many actors. */
enum err ipc_place_parse(const char *text, size_t actor_count, struct ipc_place *ret_place) MUST_CHECK;

#endif
