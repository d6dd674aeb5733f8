/* SPDX-License-Identifier: MIT */
/*
 * The nng REP socket of the control actor.
 *
 *      nng task threads                                    the actor's thread
 *      recv done -> slot ARRIVED  -- eventfd --> ctx_watch -> listener_next -> the router
 *      send done -> recv again   <------------------------- listener_answer
 *      pipe gone -> slot.gone     -- eventfd --> ........ -> listener_gone, listener_has_left
 *
 * One slot is one nng context with its aio: at any time it belongs either to nng or to the actor, and its atomic state says to
 * whom, so nothing is locked and no callback waits. 96 slots: more requests wait in nng, unread.
 *
 * Admission is by bytes too: a request of more than 16 KiB is charged to an account until it is answered; one that does not fit is
 * freed and answered `busy` at once, before the actor hears of it. Smaller ones always pass, so that the urgent ones do.
 *
 * The file decides little: its folder is 0700 and the socket 0600 (0710/0660 with a group, 0711/0666 with further uids), and the
 * peer's uid is checked when it connects, in every case.
 */
#ifndef HEARTH_ACTORS_CONTROL_LISTENER_H
#define HEARTH_ACTORS_CONTROL_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    LISTENER_SLOTS = 96,
    LISTENER_PATH_MAX = 107, /* of a Unix socket in nng */
    LISTENER_UIDS_MAX = 17,
    LISTENER_WHY_BYTES = 256,
    LISTENER_GROUP_BYTES = 72,
    LISTENER_CHECK_MS = 2000,        /* between calls of listener_check, */
    LISTENER_QUICK_MS = 500,         /* while listener_check_soon */
    LISTENER_FREE_BYTES = 16 * 1024, /* requests up to here are not charged: the slots bound them */
    LISTENER_BUSY_BYTES = 256,
    LISTENER_RETURNS_MAX = 3, /* a request that was there at the end of so many lives may be what ended them */
};

struct account;
struct listener;

struct listener_options {
    const char *repository; /* $HEARTH_PATH: others must pass through it when the socket is shared */
    const char *folder;     /* $HEARTH_PATH/run; made when absent */
    const char *group;      /* Control.Group, "" = none */
    uint32_t uids[LISTENER_UIDS_MAX];
    size_t uid_count; /* the daemon's own first; further ones are Control.AllowedUIDs */
    size_t request_bytes_max;
    struct account *requests; /* borrowed until listener_close; NULL = nothing is charged */
    struct span busy;         /* the answer `busy` in msgpack; at most LISTENER_BUSY_BYTES, copied */
    struct span busy_json;    /* the same in JSON */
};

/* Opens the socket and begins to listen. On an error why has a sentence that names the path or the setting. */
enum err listener_open(const struct listener_options *options, struct listener **ret_listener,
                       char why[LISTENER_WHY_BYTES]) MUST_CHECK;

/*
 * A new life of the actor goes on with a listener of the last: a request that was taken and is owed an answer still is told `busy`, and what
 * came meanwhile makes listener_fd readable.
 */
void listener_resume(struct listener *listener);

/* Stops all callbacks, then closes and frees. Waits for callbacks in progress, which never block. NULL is ignored. */
void listener_close(struct listener *listener);

/*
 * Looks whether clients still come in, and opens the socket anew when they do not (listener_door.h says why that is). True, with a line
 * for the log in why, when that was so.
 */
bool listener_check(struct listener *listener, char why[LISTENER_WHY_BYTES]);
/* Whether the next look is to come soon, because nobody may be coming in. */
bool listener_check_soon(const struct listener *listener);

/* Whether a user may use the control socket, and what belongs to it. Any thread. */
bool listener_allows(const struct listener *listener, uint64_t uid);

/* Gives another socket in the folder the group and the mode of the control socket. On an error why has a sentence. */
enum err listener_share(const struct listener_options *options, const char *path,
                        char why[LISTENER_WHY_BYTES]) MUST_CHECK;

/* Becomes readable when there is something for listener_next or listener_gone. */
int listener_fd(const struct listener *listener);

/* Clears the readiness; call before listener_next. */
void listener_acknowledge(struct listener *listener);

/* The oldest request not yet taken: its slot, its client, its bytes, which live until the slot is answered. */
bool listener_next(struct listener *listener, unsigned *ret_slot, uint32_t *ret_client, struct span *ret_bytes);

/* A slot that was taken and whose client has gone, be it before its request got here; each is told once. */
bool listener_gone(struct listener *listener, unsigned *ret_slot);

/* Whether clients have gone since it was asked last, be it that nothing of them is here; who, listener_has_left tells. */
bool listener_some_left(struct listener *listener);
/* Whether a client is among the last that went, some hundred. */
bool listener_has_left(const struct listener *listener, uint32_t client);

/*
 * Gives a taken request back unanswered, for the next life to take. False, and nothing changed, when its bytes were dropped or it has been
 * given back LISTENER_RETURNS_MAX times.
 */
bool listener_return(struct listener *listener, unsigned slot, uint64_t deadline_ns) MUST_CHECK;
/* The deadline that it was given back with; UINT64_MAX: it was not. */
uint64_t listener_deadline(const struct listener *listener, unsigned slot);

/* Frees the bytes of a taken request that was copied; its charge stays until the answer, on behalf of the copy. */
void listener_drop_bytes(struct listener *listener, unsigned slot);

/* Answers a taken slot and gives it back. For a client that is gone the answer is dropped. */
void listener_answer(struct listener *listener, unsigned slot, struct span bytes);

#endif
