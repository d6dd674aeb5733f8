/* SPDX-License-Identifier: MIT */
/*
 * A partner's outgoing messages: session and engine fill a writer, its pieces are cast to the stream in order. No message is made
 * while much of the last ones is under way or connection_manager has no room, so what is said is as fresh as can be.
 */
#include <stdlib.h>

#include "actors/bitswap/node.h"
#include "actors/tree.h"

struct partner *partner_find(const struct node *n, struct span peer)
{
    return table_get(&n->partners, peer);
}

struct partner *partner_get(struct node *n, struct span peer)
{
    struct partner *p = partner_find(n, peer);
    struct peer_id id;
    if (p != NULL || peer_id_parse(peer, &id) != ERR_OK || !account_take(n->tables, sizeof(*p)))
        return p;
    p = calloc(1, sizeof(*p));
    bool ok = p != NULL && engine_peer_up(n->engine, &id, &p->engine) == ERR_OK;
    if (ok && table_put(&n->partners, peer_id_span(&id), p, NULL) != ERR_OK) {
        engine_peer_down(n->engine, p->engine);
        ok = false;
    }
    if (!ok) {
        free(p);
        account_give(n->tables, sizeof(*p));
        return NULL;
    }
    p->node = n;
    p->id = id;
    engine_peer_set_owner(p->engine, p);
    return p;
}

/* The stream is gone: nothing is under way any more. */
static void out_reset(struct partner *p)
{
    struct node *n = p->node;
    for (; p->sent_count > 0; p->sent_count--) {
        engine_lost(n->engine, p->engine, p->sent[p->sent_first].block_bytes);
        p->sent_first = (p->sent_first + 1) % NODE_MESSAGES_MAX;
    }
    if (p->out == OUT_OPEN)
        (void)table_remove(&n->outs, table_key_u64(&p->stream));
    p->out = OUT_CLOSED;
    p->in_flight = 0;
}

void partner_free(struct partner *p)
{
    struct node *n = p->node;
    out_reset(p);
    if (p->session != NULL)
        bitswap_session_peer_down(n->session, p->session, ctx_now(n->ctx));
    engine_peer_down(n->engine, p->engine);
    (void)table_remove(&n->partners, peer_id_span(&p->id));
    free(p);
    account_give(n->tables, sizeof(*p));
}

void partner_drop_if_idle(struct partner *p)
{
    /* A peer may ask and end its stream before it is identified: its wants stay until it is up, or down. */
    bool wanting = !p->down && engine_want_count(p->engine) > 0;
    if (!p->up && p->streams == 0 && !wanting)
        partner_free(p);
}

/* The best of our protocols that the peer speaks; false for none. */
static bool best_version(const struct schema_list *protocols, enum bitswap_version *ret_version)
{
    size_t position = 0;
    struct span name;
    bool found = false;
    while (schema_list_next_bytes(protocols, &position, &name)) {
        enum bitswap_version version;
        if (bitswap_version_of(name, &version) != ERR_OK || (found && version < *ret_version))
            continue;
        *ret_version = version;
        found = true;
    }
    return found;
}

/* It may come again, with other protocols, when the peer pushed its identify. */
void partner_up(struct node *n, const struct msg_peer_up *fields)
{
    enum bitswap_version version = BITSWAP_UNVERSIONED;
    if (fields->limited || !best_version(&fields->protocols, &version))
        return;
    struct partner *p = partner_get(n, fields->peer);
    if (p == NULL)
        return;
    p->up = true;
    p->down = false;
    if (p->session != NULL)
        return;
    if (bitswap_session_peer_up(n->session, &p->id, version, ctx_now(n->ctx), &p->session) != ERR_OK) {
        p->session = NULL;
        return;
    }
    bitswap_session_peer_set_owner(p->session, p);
    bitswap_session_peer_set_score(p->session, (uint32_t)(provider_book_score(&n->book, &p->id) * 1000));
}

void partner_down(struct node *n, struct span peer)
{
    struct partner *p = partner_find(n, peer);
    if (p == NULL)
        return;
    p->up = false;
    p->down = true;
    if (p->session != NULL)
        bitswap_session_peer_down(n->session, p->session, ctx_now(n->ctx));
    p->session = NULL;
    out_reset(p);
    partner_drop_if_idle(p); /* else with its last stream, whose end is on its way */
}

static bool has_message(const struct partner *p)
{
    return (p->session != NULL && bitswap_session_has_message(p->session)) || engine_has_message(p->engine);
}

static void open_stream(struct partner *p)
{
    struct node *n = p->node;
    n->retry_open = n->retry_open || ctx_now(n->ctx) < p->reopen_ns;
    if (ctx_now(n->ctx) < p->reopen_ns)
        return;
    struct op *op = node_op_new(n, OP_OPEN);
    if (op == NULL)
        return;
    op->peer = p->id;
    struct msg_stream_open fields = {.peer = peer_id_span(&p->id),
                                     .protocols = schema_list_of(&n->protocols, n->protocol_count)};
    struct msg msg = {.kind = MSG_STREAM_OPEN, .fields = &fields};
    enum err err = node_call(n, op, ACTOR_CONNECTION_MANAGER, &msg, NODE_OPEN_MS * MS_NS);
    if (err == ERR_OK) {
        p->out = OUT_OPENING;
        return;
    }
    p->reopen_ns = ctx_now(n->ctx) + NODE_REOPEN_MS * MS_NS;
    n->retry_open = true;
}

void partner_opened(struct node *n, const struct op *op, const struct info *info)
{
    struct partner *p = partner_find(n, peer_id_span(&op->peer));
    const struct msg_stream_opened_ok *fields = info->err == ERR_OK ? info->msg->fields : NULL;
    enum bitswap_version version = BITSWAP_UNVERSIONED;
    bool usable = fields != NULL && bitswap_version_of(fields->protocol, &version) == ERR_OK;
    if (p != NULL && p->out == OUT_OPENING && usable) {
        p->out = OUT_OPEN;
        p->stream = fields->stream;
        p->version = version;
        p->active_ns = ctx_now(n->ctx);
        if (table_put(&n->outs, table_key_u64(&p->stream), p, NULL) == ERR_OK) {
            partner_send(p);
            return;
        }
        p->out = OUT_OPENING;
    }
    if (p != NULL && p->out == OUT_OPENING) {
        p->out = OUT_CLOSED;
        p->reopen_ns = ctx_now(n->ctx) + NODE_REOPEN_MS * MS_NS;
        n->retry_open = true;
    }
    if (fields != NULL) /* for a partner that is gone */
        stream_orders_reset(&n->orders, fields->stream);
}

static void write_piece(struct partner *p, struct block_ref *ref)
{
    stream_orders_write(&p->node->orders, p->stream, ref, false);
    p->in_flight += ref->len;
}

/* Sends a finished message. False: no memory, the stream cannot go on. */
static bool send_message(struct partner *p, const struct bitswap_writer *w, size_t block_bytes)
{
    struct bitswap_piece part;
    size_t position = 0;
    size_t before = p->in_flight;
    while (bitswap_writer_next(w, &position, &part)) {
        struct block_ref *bytes = part.bytes.len == 0 ? NULL : block_ref_copy(part.bytes, NULL);
        if (part.bytes.len > 0 && bytes == NULL)
            return false;
        if (bytes != NULL)
            write_piece(p, bytes);
        block_ref_unref(bytes);
        if (part.block != NULL)
            write_piece(p, part.block);
    }
    if (p->sent_count == 0)
        p->taken_ns = ctx_now(p->node->ctx);
    size_t at = (p->sent_first + p->sent_count++) % NODE_MESSAGES_MAX;
    p->sent[at] = (struct sent_message){
        .left = p->in_flight - before, .block_bytes = block_bytes, .filled_ns = ctx_now(p->node->ctx)};
    return true;
}

/* Makes and sends the next message, wants before blocks. False when there is none. */
static bool next_message(struct partner *p)
{
    struct node *n = p->node;
    struct bitswap_writer w;
    size_t block_bytes = 0;
    bool wants = p->session != NULL && bitswap_session_has_message(p->session);
    if (!wants && !engine_has_message(p->engine))
        return false;
    bitswap_writer_init(&w, p->version, wants ? NODE_MESSAGE_BYTES : BITSWAP_MESSAGE_MAX, NULL);
    bool filled = wants ? bitswap_session_fill(n->session, p->session, &w, ctx_now(n->ctx))
                        : engine_fill(n->engine, p->engine, &w, &block_bytes);
    bool queued = true;
    if (filled && !bitswap_writer_is_empty(&w))
        queued = bitswap_writer_finish(&w) == ERR_OK && send_message(p, &w, block_bytes);
    else
        engine_lost(n->engine, p->engine, block_bytes);
    bitswap_writer_release(&w);
    if (queued)
        return filled;
    engine_lost(n->engine, p->engine, block_bytes);
    stream_orders_reset(&n->orders, p->stream);
    partner_out_closed(p, ERR_NOMEM);
    return false;
}

void partner_send(struct partner *p)
{
    if (p->out == OUT_CLOSED && has_message(p))
        open_stream(p);
    while (p->out == OUT_OPEN && p->in_flight < NODE_WINDOW_BYTES && p->sent_count < NODE_MESSAGES_MAX &&
           !stream_orders_are_congested(&p->node->orders) && next_message(p))
        p->active_ns = ctx_now(p->node->ctx);
}

void partner_written(struct partner *p, uint64_t bytes)
{
    struct node *n = p->node;
    p->in_flight -= MIN(bytes, p->in_flight);
    p->active_ns = p->taken_ns = ctx_now(n->ctx);
    while (bytes > 0 && p->sent_count > 0) {
        struct sent_message *m = &p->sent[p->sent_first];
        size_t taken = MIN(bytes, m->left);
        m->left -= taken;
        bytes -= taken;
        if (m->left > 0)
            break;
        p->sent_first = (p->sent_first + 1) % NODE_MESSAGES_MAX;
        p->sent_count--;
        engine_sent(n->engine, p->engine, m->block_bytes, m->filled_ns, p->active_ns);
    }
    partner_send(p);
}

void partner_out_closed(struct partner *p, enum err err)
{
    bool lost = p->sent_count > 0 || err != ERR_OK;
    out_reset(p);
    if (lost) {
        p->reopen_ns = ctx_now(p->node->ctx) + NODE_REOPEN_MS * MS_NS / 10;
        p->node->retry_open = true;
    }
    if (lost && p->session != NULL)
        bitswap_session_peer_resend(p->node->session, p->session);
}

enum { PRAISE_VALUE = 100, PRAISE_SECONDS = 10, PRAISE_HALF_LIFE_SECONDS = 300 };
enum { AWAITED_VALUE = 200, AWAITED_SECONDS = 5, AWAITED_HALF_LIFE_SECONDS = 10 };

void partner_praise(struct partner *p)
{
    uint64_t now = ctx_now(p->node->ctx);
    if (p->praised_ns != 0 && now - p->praised_ns < PRAISE_SECONDS * SECOND_NS)
        return;
    p->praised_ns = now;
    struct msg_peer_tag fields = {.peer = peer_id_span(&p->id),
                                  .name = span_text("bitswap"),
                                  .value = PRAISE_VALUE,
                                  .half_life_ns = PRAISE_HALF_LIFE_SECONDS * SECOND_NS};
    stream_orders_tag(&p->node->orders, &fields);
}

/* Blocks are on their way from it: it must not be trimmed under them. Its own wants count for nothing, or all would have some. */
static void tell_awaited(struct partner *p, uint64_t now_ns)
{
    if (p->session == NULL || bitswap_session_peer_asked(p->session) == 0 || now_ns < p->awaited_due_ns)
        return;
    p->awaited_due_ns = now_ns + AWAITED_SECONDS * SECOND_NS;
    struct msg_peer_tag fields = {.peer = peer_id_span(&p->id),
                                  .name = span_text("awaited"),
                                  .value = AWAITED_VALUE,
                                  .half_life_ns = AWAITED_HALF_LIFE_SECONDS * SECOND_NS};
    stream_orders_tag(&p->node->orders, &fields);
}

void partner_tick(struct partner *p, uint64_t now_ns)
{
    tell_awaited(p, now_ns);
    bool quiet = p->sent_count == 0 && !has_message(p);
    if (p->out == OUT_OPEN && p->sent_count > 0 && now_ns >= p->taken_ns + NODE_STALL_MS * MS_NS) {
        stream_orders_reset(&p->node->orders, p->stream); /* it reads nothing, and memory is kept for it */
        partner_out_closed(p, ERR_TIMEOUT);
    }
    if (p->out != OUT_OPEN || !quiet || now_ns < p->active_ns + NODE_IDLE_MS * MS_NS) {
        partner_send(p);
        return;
    }
    stream_orders_write(&p->node->orders, p->stream, NULL, true);
    out_reset(p); /* its end is of no interest: the number is forgotten */
}
