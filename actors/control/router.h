/* SPDX-License-Identifier: MIT */
/*
 * The router: from the bytes of a request to the bytes of its answer, over messages to the other actors.
 *
 *      request bytes -> conversation -> operation_handler.start -> ctx_call … -> handler.reply … -> conversation_finish
 *                            |                                                                          |
 *               deadline, cancel, client gone  ----------------------------->  handler.end  <-----------+
 *
 * It knows nothing of nng: where an answer goes is the conversation's origin, a slot of the listener or a call from another
 * actor, so the simulator drives the same code. Admission: 64 conversations at once, 16 per client, the rest hear `busy`; urgent
 * operations pass. A mutation with an id is executed once: the same id again waits for, or gets, the first answer.
 *
 * Private to actors/control. One thread: the actor's.
 */
#ifndef HEARTH_ACTORS_CONTROL_ROUTER_H
#define HEARTH_ACTORS_CONTROL_ROUTER_H

#include "actors/control/listener.h"
#include "actors/control/name_cache.h"
#include "actors/tree.h"
#include "base/limits.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "schemas/operations.h"
#include "wire/cid.h"

enum {
    CONVERSATIONS_MAX = 128,
    CONVERSATIONS_ADMITTED = 64,
    CONVERSATIONS_PER_CLIENT = 16,
    CONVERSATION_CALLS = 64, /* in flight for one conversation */
    ANSWERS_KEPT = 64,
    ANSWER_KEPT_BYTES = 4096,
    ANSWER_BYTES_MAX = 8 * 1024 * 1024,
    ARGS_BYTES_MAX = 256,
    JOBS_MAX = 16,
    JOB_AFTER_S = 50,
    PATIENCE_S = 5, /* so long may a part be down before who waits for it hears `unavailable`: restarts are quick */
    UP_AGAIN_MS =
        1000,       /* so long not found down, whoever is asked each 20 ms was up meanwhile: the patience begins anew */
    DEATHS_MAX = 2, /* of a part while it works on one request, which a third time may be what ends it */
    JOB_LEASE_S = 300, /* a running job that nobody asks about for so long is given up */
    READERS_MAX = 32,
    UPLOADS_MAX = 16,
    WHY_BYTES = 256,
};

/* Of all requests together, whatever the budget: one of the largest fits when it is alone. */
#define REQUESTS_BYTES_MIN ((uint64_t)REQUEST_BYTES_MAX + 4096)

struct control;
struct conversation;
struct file_door;
struct names;        /* of a request whose path begins with a name: names.h */
struct file_session; /* of an upload or a reader: sessions.h */

/* What an operation does. reply and end may be NULL. */
struct operation_handler {
    /* ERR_OK: finished, or waiting for replies; an error ends the conversation with it. */
    enum err (*start)(struct control *c, struct conversation *v);
    /* A call made with conversation_call has ended; info->err tells how. An error ends the conversation with it. */
    enum err (*reply)(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
    /* The call with sub was refused as busy: makes it again, some milliseconds later. NULL: `busy` is the answer. */
    enum err (*again)(struct control *c, struct conversation *v, unsigned sub);
    /* Lets go of what the operation holds; called once, however it ends. */
    void (*end)(struct control *c, struct conversation *v);
};

/* With a part that is down. All zero: it has not been. */
struct patience {
    uint64_t since;    /* when it was first found down, 0 = it is up */
    uint64_t seen;     /* when it was found down last */
    uint64_t ended_at; /* when it last ended while it worked for who is patient */
    unsigned ended;    /* how often */
};

struct conversation {
    bool open;
    bool json;
    bool admitted;
    uint32_t generation;
    uint32_t client;
    unsigned slot; /* of the listener, or SLOT_NONE */
    struct reply_to caller;
    const struct operation *op;
    char id[REQUEST_ID_MAX + 1];
    struct span packed;    /* the request as it came, in the slot or in request */
    int follows;           /* index of the conversation whose answer this one gets too, or -1 */
    struct reply_to scope; /* of what is asked on its behalf: its deadline, which start may shorten, and its trace */
    uint64_t timer;        /* of the deadline; 0 = none */
    uint64_t job_timer;    /* of the patience before it becomes a job, then of the job's lease; 0 = none */
    uint64_t again;        /* of those that rest; 0 = none */
    uint64_t calls;        /* one bit per call in flight */
    uint64_t rested;       /* one bit per call that is to be made again */
    struct patience patience;
    bool starts_over;   /* when again is due */
    struct buf request; /* msgpack; args borrow from it */
    struct buf scratch;
    uint64_t args[ARGS_BYTES_MAX / sizeof(uint64_t)];
    char why[WHY_BYTES]; /* the sentence for the error that start or reply returns, "" = the error's own */
    /* for the operations */
    struct cid cid;
    uint64_t number;
    uint64_t done; /* for the status of its job: blocks, or whatever the operation counts */
    unsigned step;
    struct file_session *session;
    struct names *names;
    void *work;
};

/* Not of the listener: the answer goes to a caller, or is kept for `job status`. */
enum { SLOT_NONE = LISTENER_SLOTS, SLOT_JOB };

/* A request that outlasted its conversation's patience: its answer is kept until it is fetched. */
struct job_entry {
    uint64_t number;     /* 0 = free */
    int conversation;    /* index, -1 when it has ended */
    uint64_t touched_at; /* when it began, was asked about or ended, whichever came last */
    struct buf answer;
};

struct kept_answer {
    char id[REQUEST_ID_MAX + 1];
    const struct operation *op;
    struct buf answer; /* msgpack */
};

struct control {
    struct ctx *ctx; /* of the handler that runs */
    const struct config *config;
    struct listener *listener;
    struct file_door *files; /* NULL = files come as bytes only */
    struct conversation conversations[CONVERSATIONS_MAX];
    unsigned admitted;
    struct kept_answer kept[ANSWERS_KEPT];
    unsigned kept_next;
    struct job_entry jobs[JOBS_MAX];
    uint64_t next_job;
    struct file_session *sessions; /* table of READERS_MAX + UPLOADS_MAX */
    struct entrance *entrance;     /* control.c: the listener and requests outlive this life */
    struct account *requests;      /* bytes of large requests, from their arrival to their answer */
    uint64_t requests_taken;       /* of the budget's slack, for requests */
    struct account *uploads; /* of the budget: bytes of uploads that the store has not acknowledged, all together */
    struct account windows;  /* bytes that readers read ahead, all together */
    unsigned flights;        /* of all sessions */
    uint64_t next_upload;
    struct name_cache names;
    enum log_level log_level;
    struct buf filters; /* those added in this life, a list of texts */
    uint32_t filter_count;
    struct block_ref *denylist; /* what is denied (storage/denylist.h); NULL: nothing */
};

/* Tags of calls and timers: kind, generation, index, sub. */
enum tag_kind {
    TAG_CALL = 1,
    TAG_DEADLINE,
    TAG_SESSION,
    TAG_LEASE,
    TAG_LISTENER,
    TAG_RETRY,
    TAG_AGAIN,
    TAG_JOB,
    TAG_ANSWER,
    TAG_DOOR,
    TAG_FILE,
    TAG_FILE_DOOR,
    TAG_SINK
};

static inline uint64_t tag_make(enum tag_kind kind, uint32_t generation, unsigned index, unsigned sub)
{
    return (uint64_t)kind << 60 | (uint64_t)(generation & 0xfffffff) << 32 | (uint64_t)(index & 0xffff) << 16 |
           (sub & 0xffff);
}

/* ---- for control.c ---- */

/* Takes a request; it is answered sooner or later, perhaps at once. slot is SLOT_NONE for calls, then caller says where. */
void router_request(struct control *c, unsigned slot, struct reply_to caller, uint32_t client, uint64_t deadline_ns,
                    struct span bytes);
/* The client of a slot is gone, or the caller gave up: cancels; the slot still has to be given back, which this does. */
void router_gone_slot(struct control *c, unsigned slot);
void router_gone_caller(struct control *c, struct reply_to caller);
void router_reply(struct control *c, const struct info *info);
void router_timer(struct control *c, uint64_t tag);
void router_again(struct control *c, uint64_t tag);
/* An actor runs again: who waits for one that is down need not wait on. */
void router_up(struct control *c);
/* The patience of a conversation is over: it becomes a job, and its client hears so. */
void router_patience(struct control *c, uint64_t tag);
/* Ends everything with `unavailable`; what may be executed twice is left to the next life where there will be one. */
void router_close(struct control *c, bool comes_back);

/* ---- for the operations ---- */

/* Calls on behalf of the conversation; the reply comes to handler.reply with sub (< CONVERSATION_CALLS). */
enum err conversation_call(struct control *c, struct conversation *v, actor_id to, uint16_t kind, const void *fields,
                           struct block_ref *tail, unsigned sub, uint32_t reply_bytes_max) MUST_CHECK;

/* The call with sub is made again by handler.again, some milliseconds later. */
void conversation_rest(struct control *c, struct conversation *v, unsigned sub);

/* Whether to go on waiting for a part that is not up: at most PATIENCE_S at a time, and not while one stays down. */
bool control_waits(const struct control *c, struct patience *patience) MUST_CHECK;
/*
 * The same after a call: it ended because the life of the callee did, DEATHS_MAX times at most, or the callee said that one it needs is down,
 * and nothing else.
 */
bool control_waits_after(const struct control *c, struct patience *patience, const struct info *info) MUST_CHECK;

/* Answers and ends. result is one packed value; empty = the empty map. */
void conversation_finish(struct control *c, struct conversation *v, struct span result);
void conversation_fail(struct control *c, struct conversation *v, enum control_code code, const char *message);
/* Ends the packing of a result, answers with it and releases it. Else the packing's error, and nothing was answered. */
enum err conversation_finish_packed(struct control *c, struct conversation *v, struct buf *result,
                                    struct pack *p) MUST_CHECK;

/* Sets the sentence of the error that is returned: return conversation_error(v, ERR_INVALID, "…"). */
enum err conversation_error(struct conversation *v, enum err err, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Whether it was asked for with `progress`: then it is a job from the start, whose status tells v->done. */
bool conversation_shows_progress(const struct conversation *v);

/* Whether the operation was asked for with `offline`: the store is asked, and no peer. */
bool conversation_is_offline(const struct conversation *v);

/* Reads a CID, or the CID of a path without further components; the error has its sentence. */
enum err conversation_cid(struct conversation *v, struct span text, struct cid *ret_cid) MUST_CHECK;

/* filters.c */
void filters_up(struct control *c, actor_id actor);
void filters_release(struct control *c);

/* denylists.c */
void control_take_denylist(struct control *c, struct block_ref *image);
bool control_denies(const struct control *c, const struct cid *cid);
/* ERR_DENIED with its sentence when the path that is asked for is denied. */
enum err conversation_denied(struct control *c, struct conversation *v) MUST_CHECK;
bool control_denies_path(const struct control *c, struct span path);
enum err conversation_denial(struct conversation *v, struct span path) MUST_CHECK;

/* answers.c */
bool router_is_json(struct span bytes);
/* Packs the refusal of a request whose bytes do not fit: in msgpack, or as JSON. */
enum err router_pack_busy(bool json, struct buf *to) MUST_CHECK;
/* Sends a msgpack answer in the encoding of the request. */
void router_send(struct control *c, unsigned slot, struct reply_to caller, bool json, struct span answer);
void router_refuse(struct control *c, unsigned slot, struct reply_to caller, bool json, struct span id,
                   enum control_code code, const char *message);

/* jobs.c. NULL when there is no such job, or no place for one more. */
struct job_entry *job_new(struct control *c, int conversation);
struct job_entry *job_find(struct control *c, uint64_t number);
void job_free(struct job_entry *job);
/* The answer of a job's conversation waits for whoever asks `job status`; nothing when it is no job's. */
void job_keep(struct control *c, int conversation, struct span answer);
/* Forgets the answers that nobody fetched in time. */
void jobs_expire(struct control *c);
/* Ends the conversation of a job when its lease has run out, else looks again by a timer with the tag. */
void job_lease(struct control *c, struct conversation *v, uint64_t tag);

/* Gives up the running conversation of the same client with this request id; false when there is none. */
bool router_cancel(struct control *c, uint32_t client, struct span id);

/* A message as a result: its map form, CIDs and peer ids as their usual text. */
enum err show_message(const struct schema *schema, const void *fields, struct buf *to) MUST_CHECK;

extern const struct operation_handler operation_handlers[OP_COUNT];

#endif
