/* SPDX-License-Identifier: MIT */
/*
 * Streams: those of the services of this folder, and those that protocol actors own and know by number only.
 *
 *      owner --stream_write+tail--> writes --engine takes--> stream_written back to the owner (its send credit)
 *      engine --bytes--> block_ref charged to receive --stream_data--> owner --stream_credit--> Yamux window opens again
 *
 * So what is in flight to an owner is bounded by the stream's window, and what an owner has in flight by its own credit.
 */
#include <stdlib.h>
#include <string.h>

#include "actors/connection_manager/swarm.h"
#include "actors/tree.h"
#include "schemas/messages.h"

static enum stream_kind service_of(const char *protocol)
{
    if (strcmp(protocol, PING_PROTOCOL) == 0)
        return STREAM_PING_IN;
    return strcmp(protocol, IDENTIFY_PUSH_PROTOCOL) == 0 ? STREAM_PUSH_IN : STREAM_IDENTIFY_IN;
}

/* ---- records ---- */

static struct swarm_stream *stream_new(struct swarm_conn *c, enum stream_kind kind, struct connection_stream *engine)
{
    struct swarm *s = c->swarm;
    if (!account_take(s->tables, sizeof(struct swarm_stream)))
        return NULL;
    struct swarm_stream *st = calloc(1, sizeof(*st));
    if (st == NULL) {
        account_give(s->tables, sizeof(*st));
        return NULL;
    }
    st->number = ++s->last_number;
    st->kind = kind;
    st->conn = c;
    st->engine = engine;
    st->writes_last = &st->writes;
    st->turns[BANDWIDTH_IN].owner = st;
    st->turns[BANDWIDTH_OUT].owner = st;
    identify_reader_init(&st->reader, &s->identify);
    if (table_put(&s->streams, table_key_u64(&st->number), st, NULL) != ERR_OK) {
        account_give(s->tables, sizeof(*st));
        free(st);
        return NULL;
    }
    if (resources_open(&s->resources, &st->resource, &c->resource, engine != NULL) != ERR_OK) {
        (void)table_remove(&s->streams, table_key_u64(&st->number));
        account_give(s->tables, sizeof(*st));
        free(st);
        return NULL;
    }
    st->next = c->streams;
    if (st->next != NULL)
        st->next->prev = st;
    c->streams = st;
    c->owned_streams += kind == STREAM_OWNED;
    return st;
}

static void pop_write(struct swarm_stream *st)
{
    struct swarm_write *w = st->writes;
    st->writes = w->next;
    if (st->writes == NULL)
        st->writes_last = &st->writes;
    block_ref_unref(w->ref);
    free(w);
}

void swarm_stream_forget(struct swarm_stream *st)
{
    struct swarm_conn *c = st->conn;
    while (st->writes != NULL)
        pop_write(st);
    if (st->next != NULL)
        st->next->prev = st->prev;
    if (st->prev != NULL)
        st->prev->next = st->next;
    else
        c->streams = st->next;
    c->owned_streams -= st->kind == STREAM_OWNED;
    rate_turn_leave(&st->turns[BANDWIDTH_IN]);
    rate_turn_leave(&st->turns[BANDWIDTH_OUT]);
    identify_reader_release(&st->reader);
    ping_free(st->ping);
    if (st->kind == STREAM_AUTONAT_OUT)
        autonat_ended(st);
    swarm_give(st, UINT64_MAX);
    resources_close(&c->swarm->resources, &st->resource);
    free(st->proposals);
    (void)table_remove(&c->swarm->streams, table_key_u64(&st->number));
    account_give(c->swarm->tables, sizeof(*st));
    free(st);
}

void swarm_stream_drop(struct swarm_stream *st, uint32_t code)
{
    swarm_touch(st->conn);
    connection_stream_reset(st->engine, code);
    swarm_stream_forget(st);
}

void swarm_stream_finish(struct swarm_stream *st)
{
    swarm_touch(st->conn);
    connection_stream_close(st->engine);
    swarm_stream_forget(st);
}

struct swarm_stream *swarm_stream_open(struct swarm_conn *c, enum stream_kind kind, const char *protocol,
                                       bool optimistic)
{
    struct swarm_stream *st = stream_new(c, kind, NULL);
    if (st == NULL)
        return NULL;
    st->service = protocol;
    swarm_touch(c);
    if (connection_open_stream(c->engine, &st->service, 1, optimistic, st, ctx_now(c->swarm->ctx), &st->engine) ==
        ERR_OK)
        return st;
    swarm_stream_forget(st);
    return NULL;
}

/* ---- to the owner ---- */

static void tell(struct swarm_stream *st, uint16_t kind, const void *fields, struct block_ref *tail)
{
    struct swarm *s = st->conn->swarm;
    if (!s->closing)
        backlog_cast(&s->backlog, s->ctx, st->owner, &(struct msg){.kind = kind, .fields = fields, .tail = tail});
}

static void tell_closed(struct swarm_stream *st, enum err err)
{
    struct msg_stream_closed fields = {.stream = st->number, .err = (uint64_t)err};
    tell(st, MSG_STREAM_CLOSED, &fields, NULL);
}

static void tell_opened(struct swarm_stream *st, bool inbound)
{
    st->told = true;
    struct msg_stream_opened fields = {.stream = st->number,
                                       .peer = peer_id_span(&st->conn->peer->id),
                                       .protocol = span_text(st->protocol),
                                       .inbound = inbound};
    tell(st, MSG_STREAM_OPENED, &fields, NULL);
}

static void answer_opened(struct swarm_stream *st)
{
    struct swarm *s = st->conn->swarm;
    struct msg_stream_opened_ok fields = {.stream = st->number, .protocol = span_text(st->protocol)};
    st->calling = false;
    st->told = true;
    ctx_reply(s->ctx, st->call, &(struct msg){.kind = MSG_STREAM_OPENED_OK, .fields = &fields});
}

void swarm_stream_report_written(struct swarm_conn *c)
{
    for (struct swarm_stream *st = c->streams; st != NULL; st = st->next) {
        if (st->written_bytes == 0)
            continue;
        struct msg_stream_written fields = {.stream = st->number, .bytes = st->written_bytes};
        st->written_bytes = 0;
        tell(st, MSG_STREAM_WRITTEN, &fields, NULL);
    }
}

/* ---- events of the engine ---- */

/* Names that we know live as long as we; a foreign one lives in the proposals, which stay then. */
static void agree(struct swarm_stream *st, const char *name)
{
    const char *known = protocols_known(&st->conn->swarm->protocols, span_text(name));
    st->protocol = known != NULL ? known : name;
    swarm_bandwidth_protocol(st);
    (void)swarm_protocol_agreed(st); /* counted; what we wanted ourselves is not refused */
}

/* The engine has no more use for the names. */
static void drop_proposals(struct swarm_stream *st)
{
    if (st->proposals == NULL || protocols_known(&st->conn->swarm->protocols, span_text(st->protocol)) == NULL)
        return;
    free(st->proposals);
    st->proposals = NULL;
}

static void inbound_opened(struct swarm_conn *c, struct connection_stream *engine)
{
    const struct protocol *row = protocols_at(&c->swarm->protocols, connection_stream_protocol(engine));
    enum stream_kind kind = row->owner != 0 ? STREAM_OWNED : service_of(row->name);
    struct swarm_stream *st = stream_new(c, kind, engine);
    if (st == NULL) {
        connection_stream_reset(engine, 0);
        return;
    }
    connection_stream_set_user(engine, st);
    st->protocol = row->name;
    st->owner = row->owner;
    swarm_bandwidth_protocol(st);
    if (!swarm_protocol_agreed(st) || (kind == STREAM_PING_IN && !ping_accept(st)) ||
        (kind == STREAM_PUSH_IN && !identify_push_accept(st)))
        swarm_stream_drop(st, 0);
    else if (kind == STREAM_OWNED)
        tell_opened(st, true);
    else if (kind == STREAM_IDENTIFY_IN)
        identify_serve(st);
}

void swarm_on_opened(void *user, struct connection_stream *engine)
{
    struct swarm_conn *c = user;
    if (connection_stream_is_inbound(engine)) {
        inbound_opened(c, engine);
        return;
    }
    struct swarm_stream *st = connection_stream_user(engine);
    agree(st, st->proposals == NULL ? st->service : st->proposals->names[connection_stream_protocol(engine)]);
    drop_proposals(st);
    if (st->kind == STREAM_OWNED && st->calling)
        answer_opened(st);
    else if (st->kind == STREAM_PUSH_OUT)
        identify_opened(st);
    else if (st->kind == STREAM_PING_OUT)
        ping_opened(st);
    else if (st->kind == STREAM_AUTONAT_OUT)
        autonat_opened(st);
}

static void owned_data(struct swarm_stream *st, struct span bytes)
{
    struct swarm *s = st->conn->swarm;
    st->conn->active_ns = ctx_now(s->ctx);
    struct block_ref *ref = swarm_hold(st, bytes.len) ? block_ref_copy(bytes, NULL) : NULL;
    if (ref == NULL) { /* the newest to ask for what is not there loses */
        tell_closed(st, ERR_NOMEM);
        swarm_stream_drop(st, 0);
        return;
    }
    /* There was room when the socket was read: that others took it since is not the stream's fault. */
    block_ref_charge(ref, s->receive);
    struct msg_stream_data fields = {.stream = st->number};
    tell(st, MSG_STREAM_DATA, &fields, ref);
    block_ref_unref(ref);
}

void swarm_on_data(void *user, struct connection_stream *engine, struct span bytes)
{
    (void)user;
    struct swarm_stream *st = connection_stream_user(engine);
    if (st == NULL)
        return;
    swarm_stream_moved(st, BANDWIDTH_IN, bytes.len);
    if (st->kind == STREAM_OWNED) {
        owned_data(st, bytes);
        return;
    }
    connection_stream_consume(engine, bytes.len);
    if (st->kind == STREAM_PING_IN || st->kind == STREAM_PING_OUT)
        ping_data(st, bytes);
    else if (st->kind == STREAM_AUTONAT_OUT)
        autonat_data(st, bytes);
    else
        identify_data(st, bytes);
}

void swarm_on_fin(void *user, struct connection_stream *engine)
{
    (void)user;
    struct swarm_stream *st = connection_stream_user(engine);
    if (st == NULL)
        return;
    st->fin_received = true;
    if (st->kind == STREAM_OWNED) {
        struct msg_stream_data fields = {.stream = st->number, .fin = true};
        tell(st, MSG_STREAM_DATA, &fields, NULL);
    } else if (st->kind == STREAM_PING_IN || st->kind == STREAM_PING_OUT) {
        ping_fin(st);
    } else if (st->kind == STREAM_AUTONAT_OUT) {
        autonat_fin(st);
    } else {
        identify_fin(st);
    }
}

/* How much of the first write the limit of the protocol lets go now; 0: the stream waits in line. */
static size_t may_write(struct swarm_stream *st, size_t len)
{
    if (st->limit == NULL)
        return len;
    return rate_line_ask(&st->limit->line[BANDWIDTH_OUT], &st->turns[BANDWIDTH_OUT], len,
                         ctx_now(st->conn->swarm->ctx));
}

void swarm_stream_flush(struct swarm_stream *st)
{
    while (st->writes != NULL) {
        struct swarm_write *w = st->writes;
        size_t accepted = 0;
        size_t may = may_write(st, w->ref->len - w->offset);
        if (may == 0)
            return;
        enum err err = connection_stream_write_ref(st->engine, w->ref, w->offset, may, &accepted);
        swarm_stream_moved(st, BANDWIDTH_OUT, accepted);
        if (err != ERR_OK)
            return;
        swarm_give(st, accepted);
        w->offset += accepted;
        st->written_bytes += accepted;
        st->queued_bytes -= accepted;
        if (accepted < may)
            return; /* stream_writable follows */
        if (w->offset < w->ref->len)
            continue;
        pop_write(st);
    }
    if (!st->fin_wanted || st->fin_done)
        return;
    st->fin_done = true;
    connection_stream_fin(st->engine);
}

void swarm_on_writable(void *user, struct connection_stream *engine)
{
    (void)user;
    struct swarm_stream *st = connection_stream_user(engine);
    if (st != NULL && st->kind == STREAM_OWNED)
        swarm_stream_flush(st);
}

void swarm_on_closed(void *user, struct connection_stream *engine, enum err err, uint32_t code)
{
    (void)user;
    (void)code;
    struct swarm_stream *st = connection_stream_user(engine);
    if (st == NULL)
        return;
    struct swarm *s = st->conn->swarm;
    if (st->kind == STREAM_OWNED) {
        if (st->told)
            tell_closed(st, err);
        else if (st->calling)
            ctx_reply_err(s->ctx, st->call, err == ERR_OK ? ERR_CLOSED : err, "the stream was not opened: %s",
                          err_text(err));
    } else if (st->kind == STREAM_PING_OUT) {
        ping_ended(st, err);
    } else {
        identify_ended(st, err);
    }
    swarm_stream_forget(st);
}

/* ---- from the owner ---- */

/* Which of the proposals to make: the first that the peer says it speaks, which is certain then, else all. */
static enum err choose(struct swarm_proposals *p, const struct peer_entry *entry, bool *ret_certain)
{
    *ret_certain = false;
    if (entry == NULL || entry->protocol_count == 0)
        return ERR_OK;
    for (size_t i = 0; i < p->count; i++) {
        if (!peerstore_speaks(entry, p->names[i]))
            continue;
        p->names[0] = p->names[i];
        p->count = 1;
        *ret_certain = true;
        return ERR_OK;
    }
    return ERR_UNSUPPORTED;
}

static enum err copy_proposals(struct swarm_stream *st, const struct schema_list *list)
{
    struct swarm_proposals *p = st->proposals = calloc(1, sizeof(*p));
    if (p == NULL)
        return ERR_NOMEM;
    size_t position = 0;
    struct span name;
    while (p->count < SWARM_PROPOSALS_MAX && schema_list_next_bytes(list, &position, &name)) {
        if (name.len == 0 || name.len >= sizeof(p->texts[0]))
            return ERR_INVALID;
        memcpy(p->texts[p->count], name.data, name.len);
        p->names[p->count] = p->texts[p->count];
        p->count++;
    }
    return p->count == 0 ? ERR_INVALID : ERR_OK;
}

enum err swarm_stream_call_open(struct swarm *s, const struct msg *msg, struct reply_to call)
{
    const struct msg_stream_open *fields = msg->fields;
    struct swarm_conn *c = NULL;
    enum err err = swarm_conn_to(s, fields->peer, &c);
    if (err != ERR_OK)
        return err;
    struct swarm_stream *st = stream_new(c, STREAM_OWNED, NULL);
    if (st == NULL)
        return ERR_BUSY;
    st->owner = msg->from;
    st->call = call;
    bool certain = false;
    err = copy_proposals(st, &fields->protocols);
    if (err == ERR_OK)
        err = choose(st->proposals, c->peer->entry, &certain);
    if (err == ERR_OK)
        err = connection_open_stream(c->engine, st->proposals->names, st->proposals->count, certain, st,
                                     ctx_now(s->ctx), &st->engine);
    if (err != ERR_OK) {
        swarm_stream_forget(st);
        return err;
    }
    c->active_ns = ctx_now(s->ctx);
    st->calling = !certain;
    swarm_touch(c);
    if (certain) { /* what the owner writes leaves in the same flight */
        agree(st, st->proposals->names[0]);
        answer_opened(st);
    }
    return ERR_OK;
}

static void owner_writes(struct swarm_stream *st, const struct msg *msg)
{
    const struct msg_stream_write *fields = msg->fields;
    size_t len = msg->tail == NULL ? 0 : msg->tail->len;
    struct swarm_write *w = len == 0 ? NULL : calloc(1, sizeof(*w));
    if (st->fin_wanted || (len > 0 && w == NULL) || st->queued_bytes + len > SWARM_WRITE_QUEUE_MAX ||
        !swarm_hold(st, len)) {
        free(w);
        tell_closed(st, st->fin_wanted ? ERR_CLOSED : ERR_NOMEM);
        swarm_stream_drop(st, 0);
        return;
    }
    if (w != NULL) {
        w->ref = block_ref_ref(msg->tail);
        *st->writes_last = w;
        st->writes_last = &w->next;
        st->queued_bytes += len;
    }
    st->fin_wanted = fields->fin;
    st->conn->active_ns = ctx_now(st->conn->swarm->ctx);
    swarm_stream_flush(st);
}

static void owner_reads(struct swarm_stream *st, const struct msg_stream_credit *fields)
{
    swarm_give(st, fields->bytes);
    swarm_stream_consumed(st, fields->bytes);
    if (fields->window > 0 && st->limit == NULL)
        connection_stream_want_window(st->engine, (size_t)MIN(fields->window, (uint64_t)SIZE_MAX));
}

/* The number is the first field of each of these messages' structs. */
static struct swarm_stream *stream_named(struct swarm *s, uint64_t number, actor_id owner)
{
    struct swarm_stream *st = table_get(&s->streams, table_key_u64(&number));
    return st != NULL && st->kind == STREAM_OWNED && st->owner == owner ? st : NULL;
}

void swarm_stream_cast(struct swarm *s, const struct msg *msg)
{
    struct swarm_stream *st = NULL;
    if (msg->kind == MSG_PROTOCOL_SERVE)
        swarm_serve(s, msg->from, msg->fields);
    else if (msg->kind == MSG_STREAM_WRITE)
        st = stream_named(s, ((const struct msg_stream_write *)msg->fields)->stream, msg->from);
    else if (msg->kind == MSG_STREAM_RESET)
        st = stream_named(s, ((const struct msg_stream_reset *)msg->fields)->stream, msg->from);
    else if (msg->kind == MSG_STREAM_CREDIT)
        st = stream_named(s, ((const struct msg_stream_credit *)msg->fields)->stream, msg->from);
    if (st == NULL)
        return; /* no stream, or it ended while the message was on its way */
    swarm_touch(st->conn);
    if (msg->kind == MSG_STREAM_WRITE)
        owner_writes(st, msg);
    else if (msg->kind == MSG_STREAM_RESET)
        swarm_stream_drop(st, (uint32_t)((const struct msg_stream_reset *)msg->fields)->code);
    else
        owner_reads(st, msg->fields);
}

void swarm_streams_orphaned(struct swarm *s, actor_id owner)
{
    backlog_forget(&s->backlog, owner);
    size_t position = 0;
    struct swarm_stream *st;
    while ((st = table_next(&s->streams, &position, NULL)) != NULL)
        if (st->kind == STREAM_OWNED && st->owner == owner)
            swarm_stream_drop(st, 0);
}
