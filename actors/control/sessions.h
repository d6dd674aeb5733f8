/* SPDX-License-Identifier: MIT */
/*
 * What outlives one request: readers, kept for the sequential requests of a `cat`, and uploads. A session has a lease of 60 s from
 * its last request, messages to the store or to bitswap in flight, and a queue of conversations that wait for it. Each session may
 * have 64 in flight, an upload 256 while all together have less than 512.
 *
 * Private to actors/control.
 */
#ifndef HEARTH_ACTORS_CONTROL_SESSIONS_H
#define HEARTH_ACTORS_CONTROL_SESSIONS_H

#include "actors/control/reader.h"
#include "actors/control/router.h"
#include "actors/control/upload.h"

enum { SESSIONS_MAX = READERS_MAX + UPLOADS_MAX, SESSION_QUEUE = 64, SESSION_LEASE_S = 60, SESSION_KEPT_S = 600 };
/* The store writes what comes while it syncs as one group: many small blocks under way are few syncs. */
enum { SESSION_FLIGHTS = 64, UPLOAD_FLIGHTS = 256, FLIGHTS_SHARED = 512 };

enum file_session_kind { SESSION_FREE, SESSION_READER, SESSION_UPLOAD };

/* One block asked for or being stored. */
struct flight {
    bool open;
    struct cid cid;
    uint64_t ticket;         /* of the upload */
    struct block_ref *block; /* of the upload: a reference, so that it can be sent again */
};

struct file_session {
    enum file_session_kind kind;
    uint32_t generation;
    uint64_t number; /* of the upload; also names the transfer in state.db */
    uint64_t used_at;
    uint64_t shown_at;     /* when state was told last */
    uint64_t first_offset; /* of a reader: where it began */
    uint64_t next_offset;
    struct flight *flights; /* flights_max of them */
    unsigned flights_max;
    unsigned flight_count;
    bool held; /* held_* could not be sent for want of room */
    struct flight held_flight;
    struct flight *retries; /* of an upload, flights_max: the store was busy */
    unsigned retry_count;
    struct patience patience; /* with the part that has the blocks */
    uint32_t client;          /* who began it; of an upload, who asked last */
    bool forsaken;            /* an upload whose client has gone */
    struct conversation *queue[SESSION_QUEUE];
    unsigned queued;
    /* a reader */
    struct reader *reader;
    bool paused;  /* the store was busy or down: no wants until sessions_retry */
    bool offline; /* blocks come from the store alone */
    enum reader_mode mode;
    bool ended; /* a stream: all was read */
    char path[READER_PATH_MAX + 1];
    /* an upload */
    struct upload *upload;
    bool pin;
    bool wants_lease; /* it was lost with the store's life */
    bool leased;      /* what it stores is kept from collection until it ends */
    bool only_hash;
    bool kept; /* it has ended; its lease in the store goes on until what it brought is pinned */
};

enum err sessions_init(struct control *c) MUST_CHECK;
void sessions_close(struct control *c);

/* A free session of the kind, an idle reader, or an upload that was forsaken or has been quiet, evicted if need be; NULL when all are busy. */
struct file_session *file_session_new(struct control *c, enum file_session_kind kind);
/* Frees the engine, cancels what is in flight. The queue must be empty or its conversations be ended by the caller. */
void file_session_free(struct control *c, struct file_session *s);

/* It is this client's from now on. */
void file_session_owned(struct control *c, struct file_session *s, uint32_t client);

/* The conversations that wait for it fail, and it ends. */
void file_session_fail(struct control *c, struct file_session *s, enum err err, const char *why);

bool file_session_enqueue(struct file_session *s, struct conversation *v);
void file_session_dequeue(struct file_session *s, const struct conversation *v);

/* Sends the message for a flight; ERR_BUSY leaves nothing behind, the caller holds it. */
enum err file_session_send(struct control *c, struct file_session *s, const struct flight *flight, actor_id to,
                           uint16_t kind, const void *fields, struct block_ref *tail, uint64_t timeout_ns) MUST_CHECK;

/* Keeps what an upload stores from collection until the session ends. ERR_BUSY: no room now. */
enum err file_session_lease(struct control *c, struct file_session *s) MUST_CHECK;

/* A block could not be had because the store is busy: the session's wants rest for some milliseconds. */
void file_session_pause(struct control *c, struct file_session *s);
/* The store had no memory for a block: a reader that nobody has asked for a while ends, and gives back what it read ahead. */
void sessions_make_room(struct control *c);

/* For control.c. */
void sessions_reply(struct control *c, const struct info *info);
void sessions_lease(struct control *c);
void sessions_left(struct control *c);
void sessions_room(struct control *c);
void sessions_retry(struct control *c);

/* Goes on with whatever is possible: reading.c and adding.c. */
void reader_drive(struct control *c, struct file_session *s);
void reader_flight_ended(struct control *c, struct file_session *s, const struct flight *flight,
                         const struct info *info);
void upload_drive(struct control *c, struct file_session *s);
/* The store does not keep what it stores any more: it is asked to again where it was down, else the upload fails. */
void upload_lease_lost(struct control *c, struct file_session *s, const struct info *info);
void upload_flight_ended(struct control *c, struct file_session *s, const struct flight *flight,
                         const struct info *info);

/* A job that read a local file for an upload, or wrote one for a reader, has ended. */
void adding_job_done(struct control *c, const struct info *info);
void getting_file_job_done(struct control *c, const struct info *info);

/* Tells the state actor how far a session is, at most twice a second unless it is over. */
void file_session_show(struct control *c, struct file_session *s, const char *kind, uint64_t done, uint64_t total,
                       const struct cid *cid, bool gone);

#endif
