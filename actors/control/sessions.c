/* SPDX-License-Identifier: MIT */
#include "actors/control/sessions.h"

#include <stdlib.h>

#include "actors/control/file_door.h"
#include "base/limits.h"

enum { SUB_LEASE = 0xffff, LEASE_MAX_S = 7 * 24 * 3600 };
enum {
    LEASE_TICK_S = 5,
    IDLE_S = 5,
    QUIET_S = 10,
    RETRY_MS = 20,
    SHOWN_EVERY_MS = 500,
    WINDOWS_BYTES_MIN = 4 * 1024 * 1024
};

/* A budget over the default one reads further ahead, as a long path needs it. */
enum err sessions_init(struct control *c)
{
    uint64_t share = ctx_budget(c->ctx)->accounts[ACCOUNT_RECEIVE].limit_bytes / 7 * 2;
    account_init(&c->windows, "file_sessions", MAX(share, (uint64_t)WINDOWS_BYTES_MIN));
    c->uploads = &ctx_budget(c->ctx)->accounts[ACCOUNT_UPLOADS];
    c->sessions = calloc(SESSIONS_MAX, sizeof(*c->sessions));
    return c->sessions != NULL ? ERR_OK : ERR_NOMEM;
}

void sessions_close(struct control *c)
{
    for (size_t i = 0; c->sessions != NULL && i < SESSIONS_MAX; i++)
        file_session_free(c, &c->sessions[i]);
    free(c->sessions);
    c->sessions = NULL;
}

static unsigned index_of(const struct control *c, const struct file_session *s)
{
    return (unsigned)(s - c->sessions);
}

/*
 * Whether it may end for another one: nobody waits for it and, of an upload, its client has gone, or has said nothing for a while: nng 1.5.2 does
 * not tell of each client's end while it takes nobody in (listener_door.h).
 */
static bool may_yield(const struct control *c, const struct file_session *s)
{
    bool quiet = s->forsaken || ctx_now(c->ctx) >= s->used_at + QUIET_S * SECOND_NS;
    return s->queued == 0 && (s->kind == SESSION_READER || quiet);
}

/* Half of the table is for each kind, so that forgotten uploads never keep people from reading. */
static struct file_session *pick(struct control *c, enum file_session_kind kind)
{
    size_t first = kind == SESSION_READER ? 0 : READERS_MAX;
    size_t end = kind == SESSION_READER ? READERS_MAX : SESSIONS_MAX;
    struct file_session *idle = NULL;
    for (size_t i = first; i < end; i++) {
        struct file_session *s = &c->sessions[i];
        if (s->kind == SESSION_FREE)
            return s;
        if (may_yield(c, s) && (idle == NULL || s->used_at < idle->used_at))
            idle = s;
    }
    return idle;
}

static bool none_open(const struct control *c)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        if (c->sessions[i].kind != SESSION_FREE)
            return false;
    }
    return true;
}

struct file_session *file_session_new(struct control *c, enum file_session_kind kind)
{
    struct file_session *s = pick(c, kind);
    if (s == NULL)
        return NULL;
    file_session_free(c, s);
    s->flights_max = kind == SESSION_UPLOAD ? UPLOAD_FLIGHTS : SESSION_FLIGHTS;
    s->flights = calloc(2 * (size_t)s->flights_max, sizeof(*s->flights));
    if (s->flights == NULL)
        return NULL;
    s->retries = s->flights + s->flights_max;
    if (none_open(c))
        (void)ctx_timer(c->ctx, ctx_now(c->ctx) + LEASE_TICK_S * SECOND_NS, tag_make(TAG_LEASE, 0, 0, 0));
    s->kind = kind;
    s->number = ++c->next_upload;
    s->used_at = ctx_now(c->ctx);
    return s;
}

void file_session_free(struct control *c, struct file_session *s)
{
    if (s->kind == SESSION_FREE)
        return;
    for (unsigned i = 0; i < s->flights_max; i++) {
        if (!s->flights[i].open)
            continue;
        ctx_cancel_call(c->ctx, tag_make(TAG_SESSION, s->generation, index_of(c, s), i));
        block_ref_unref(s->flights[i].block);
    }
    if (s->leased)
        ctx_cancel_call(c->ctx, tag_make(TAG_SESSION, s->generation, index_of(c, s), SUB_LEASE));
    file_session_show(c, s, "", 0, 0, NULL, true);
    for (unsigned i = 0; i < s->retry_count; i++)
        block_ref_unref(s->retries[i].block);
    if (s->held)
        block_ref_unref(s->held_flight.block);
    c->flights -= s->flight_count;
    free(s->flights);
    reader_free(s->reader);
    upload_free(s->upload);
    file_door_end_upload(c->files, s->number);
    uint32_t generation = s->generation + 1;
    memset(s, 0, sizeof(*s));
    s->generation = generation;
}

bool file_session_enqueue(struct file_session *s, struct conversation *v)
{
    if (s->queued == SESSION_QUEUE)
        return false;
    s->queue[s->queued++] = v;
    v->session = s;
    return true;
}

void file_session_dequeue(struct file_session *s, const struct conversation *v)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < s->queued; i++) {
        if (s->queue[i] != v)
            s->queue[kept++] = s->queue[i];
    }
    s->queued = kept;
}

void file_session_fail(struct control *c, struct file_session *s, enum err err, const char *why)
{
    while (s->queued > 0) {
        struct conversation *v = s->queue[0];
        file_session_dequeue(s, v);
        v->session = NULL;
        conversation_fail(c, v, control_code_from_err(err), why);
    }
    file_session_free(c, s);
}

enum err file_session_send(struct control *c, struct file_session *s, const struct flight *flight, actor_id to,
                           uint16_t kind, const void *fields, struct block_ref *tail, uint64_t timeout_ns)
{
    unsigned i = 0;
    if (s->flight_count >= SESSION_FLIGHTS && c->flights >= FLIGHTS_SHARED)
        return ERR_BUSY;
    while (i < s->flights_max && s->flights[i].open)
        i++;
    if (i == s->flights_max)
        return ERR_BUSY;
    struct msg msg = {.kind = kind, .fields = fields, .tail = tail};
    if (s->queued > 0) /* whoever waits first; without one it is for whom it was that got the session to go on */
        ctx_caused_by(c->ctx, &s->queue[0]->scope);
    enum err err = ctx_call(c->ctx, to, &msg, (struct call_opts){.timeout_ns = timeout_ns},
                            tag_make(TAG_SESSION, s->generation, index_of(c, s), i));
    if (err != ERR_OK)
        return err;
    s->flights[i] = *flight;
    s->flights[i].open = true;
    s->flight_count++;
    c->flights++;
    return ERR_OK;
}

/* A call that lasts: nothing is heard of it unless the lease is lost. */
enum err file_session_lease(struct control *c, struct file_session *s)
{
    static const struct msg_lease none = {0};
    enum err err = ctx_call(c->ctx, ACTOR_TIERED_STORAGE, &(struct msg){.kind = MSG_LEASE, .fields = &none},
                            (struct call_opts){.timeout_ns = LEASE_MAX_S * SECOND_NS},
                            tag_make(TAG_SESSION, s->generation, index_of(c, s), SUB_LEASE));
    s->leased = err == ERR_OK;
    return err;
}

static void drive(struct control *c, struct file_session *s)
{
    if (s->kind == SESSION_READER)
        reader_drive(c, s);
    else if (s->kind == SESSION_UPLOAD)
        upload_drive(c, s);
}

void sessions_reply(struct control *c, const struct info *info)
{
    unsigned index = (unsigned)(info->tag >> 16 & 0xffff);
    unsigned sub = (unsigned)(info->tag & 0xffff);
    if (index >= SESSIONS_MAX)
        return;
    struct file_session *s = &c->sessions[index];
    if (s->kind == SESSION_FREE || (s->generation & 0xfffffff) != (info->tag >> 32 & 0xfffffff))
        return;
    if (sub == SUB_LEASE) {
        s->leased = false;
        upload_lease_lost(c, s, info);
        return;
    }
    if (sub >= s->flights_max || !s->flights[sub].open)
        return;
    struct flight flight = s->flights[sub];
    s->flights[sub].open = false;
    s->flight_count--;
    c->flights--;
    if (s->kind == SESSION_READER)
        reader_flight_ended(c, s, &flight, info);
    else
        upload_flight_ended(c, s, &flight, info);
    drive(c, s);
}

void sessions_room(struct control *c)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        if (c->sessions[i].held)
            drive(c, &c->sessions[i]);
    }
}

void file_session_pause(struct control *c, struct file_session *s)
{
    bool ticking = false;
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        ticking |= c->sessions[i].paused;
    s->paused = true;
    if (!ticking)
        (void)ctx_timer(c->ctx, ctx_now(c->ctx) + RETRY_MS * MS_NS, tag_make(TAG_RETRY, 0, 0, 0));
}

static bool has_left(const struct control *c, uint32_t client)
{
    return c->listener != NULL && client != 0 && listener_has_left(c->listener, client);
}

void file_session_owned(struct control *c, struct file_session *s, uint32_t client)
{
    s->client = client;
    s->forsaken = has_left(c, client);
}

/* What a reader holds is of no use any more. An upload may be gone on with over another connection, until its lease or another needs the place. */
void sessions_left(struct control *c)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        struct file_session *s = &c->sessions[i];
        if (!has_left(c, s->client))
            continue;
        if (s->kind == SESSION_UPLOAD)
            s->forsaken = true;
        else if (s->queued == 0)
            file_session_free(c, s);
    }
}

void sessions_make_room(struct control *c)
{
    struct file_session *idle = NULL;
    for (size_t i = 0; i < READERS_MAX; i++) {
        struct file_session *s = &c->sessions[i];
        bool is_idle =
            s->kind == SESSION_READER && s->queued == 0 && s->used_at + IDLE_S * SECOND_NS <= ctx_now(c->ctx);
        if (is_idle && (idle == NULL || s->used_at < idle->used_at))
            idle = s;
    }
    if (idle != NULL)
        file_session_free(c, idle);
}

void sessions_retry(struct control *c)
{
    bool paused[SESSIONS_MAX];
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        paused[i] = c->sessions[i].paused;
        c->sessions[i].paused = false;
    }
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        if (paused[i])
            drive(c, &c->sessions[i]);
    }
}

void sessions_lease(struct control *c)
{
    uint64_t now = ctx_now(c->ctx);
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        struct file_session *s = &c->sessions[i];
        uint64_t lease_s = s->kept ? SESSION_KEPT_S : SESSION_LEASE_S;
        if (s->kind != SESSION_FREE && s->queued == 0 && now >= s->used_at + lease_s * SECOND_NS)
            file_session_free(c, s);
    }
    if (!none_open(c))
        (void)ctx_timer(c->ctx, now + LEASE_TICK_S * SECOND_NS, tag_make(TAG_LEASE, 0, 0, 0));
}

void file_session_show(struct control *c, struct file_session *s, const char *kind, uint64_t done, uint64_t total,
                       const struct cid *cid, bool gone)
{
    uint64_t now = ctx_now(c->ctx);
    if (gone && s->shown_at == 0)
        return;
    if (!gone && s->shown_at != 0 && now < s->shown_at + SHOWN_EVERY_MS * MS_NS)
        return;
    s->shown_at = gone ? 0 : now;
    uint8_t bytes[CID_BYTES_MAX];
    struct msg_state_transfer m = {
        .id = s->number,
        .kind = span_text(kind),
        .cid = cid == NULL ? (struct span){0} : span_of(bytes, cid_encode(cid, bytes)),
        .name = span_first(span_text(s->path), 256),
        .bytes_done = done,
        .bytes_total = total,
        .started_at = ctx_real_now(c->ctx) - (now - MIN(now, s->used_at)),
        .gone = gone,
    };
    (void)ctx_cast(c->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_TRANSFER, .fields = &m});
}
