/* SPDX-License-Identifier: MIT */
/*
 * Streams that peers write to us. A block that finds no memory stops its reader: what arrives stays where it is, no credit is
 * returned, and so the peer stops too.
 */
#include <stdlib.h>

#include "actors/bitswap/node.h"
#include "actors/tree.h"

static void reset_stream(struct inbound *in)
{
    stream_orders_reset(&in->node->orders, in->number);
    inbound_closed(in);
}

void inbound_opened(struct node *n, const struct msg_stream_opened *fields)
{
    struct partner *p = partner_get(n, fields->peer);
    struct inbound *in = p == NULL || !account_take(n->tables, sizeof(*in)) ? NULL : calloc(1, sizeof(*in));
    if (in == NULL) {
        stream_orders_reset(&n->orders, fields->stream);
        if (p != NULL)
            partner_drop_if_idle(p);
        return;
    }
    *in = (struct inbound){.node = n, .number = fields->stream, .partner = p};
    stream_pieces_init(&in->pieces);
    bitswap_reader_init(&in->reader);
    if (table_put(&n->streams, table_key_u64(&in->number), in, NULL) != ERR_OK) {
        stream_orders_reset(&n->orders, fields->stream);
        free(in);
        account_give(n->tables, sizeof(*in));
        partner_drop_if_idle(p);
        return;
    }
    p->streams++;
}

static void piece_pop(struct inbound *in)
{
    in->node->held -= stream_pieces_pop(&in->pieces);
}

static void stall(struct inbound *in)
{
    if (in->stalled_ns != 0)
        return;
    in->stalled_ns = ctx_now(in->node->ctx);
    TAILQ_INSERT_TAIL(&in->node->stalled, in, stalled);
}

static void unstall(struct inbound *in)
{
    if (in->stalled_ns != 0)
        TAILQ_REMOVE(&in->node->stalled, in, stalled);
    in->stalled_ns = 0;
}

void inbound_closed(struct inbound *in)
{
    struct node *n = in->node;
    struct partner *p = in->partner;
    unstall(in);
    while (in->pieces.first != NULL)
        piece_pop(in);
    bitswap_reader_release(&in->reader);
    (void)table_remove(&n->streams, table_key_u64(&in->number));
    free(in);
    account_give(n->tables, sizeof(*in));
    p->streams--;
    partner_drop_if_idle(p);
}

/* ---- what the reader reports ---- */

static struct block_ref *on_acquire(void *arg, size_t size)
{
    struct inbound *in = arg;
    struct account *blocks = &in->node->blocks;
    in->brings = true;
    in->hopeless = size > blocks->limit_bytes;
    in->block_ns = ctx_now(in->node->ctx);
    return in->hopeless ? NULL : block_ref_new(size, blocks);
}

static void on_want(void *arg, const struct bitswap_want *want)
{
    struct inbound *in = arg;
    struct node *n = in->node;
    if (in->message == 0)
        in->message = engine_message_begin(in->partner->engine);
    engine_want(n->engine, in->partner->engine, want, in->message);
    if (want->cancel)
        return;
    uint8_t cid[CID_BYTES_MAX];
    struct msg_want_seen fields = {.cid = span_of(cid, cid_encode(&want->cid, cid)),
                                   .peer = peer_id_span(&in->partner->id),
                                   .priority = want->priority};
    (void)ctx_cast(n->ctx, ACTOR_HEAT_TRACKER, &(struct msg){.kind = MSG_WANT_SEEN, .fields = &fields});
}

static void on_presence(void *arg, const struct cid *cid, bool have)
{
    struct inbound *in = arg;
    struct node *n = in->node;
    if (in->partner->session != NULL)
        bitswap_session_presence(n->session, in->partner->session, cid, have, ctx_now(n->ctx));
}

static void on_block(void *arg, const struct cid *cid, struct block_ref *block)
{
    struct inbound *in = arg;
    struct node *n = in->node;
    if (fetch_block(n, in->partner, cid, block)) {
        partner_praise(in->partner);
        return;
    }
    n->stats.dropped++;
    n->stats.dup_blocks_received++;
    n->stats.dup_bytes_received += block->len;
}

static void on_rejected(void *arg, enum err why, size_t bytes)
{
    struct inbound *in = arg;
    (void)why;
    (void)bytes;
    in->node->stats.dropped++;
}

static void on_end(void *arg, const struct bitswap_end *end)
{
    struct inbound *in = arg;
    if (in->message == 0)
        in->message = engine_message_begin(in->partner->engine);
    engine_message_end(in->node->engine, in->partner->engine, in->message, end->full);
    in->message = 0;
    in->node->stats.messages_received++;
}

static void credit(struct inbound *in, size_t bytes)
{
    stream_orders_credit(&in->node->orders, in->number, bytes, in->brings ? NODE_BRINGER_BYTES : 0);
}

/* Feeds what came. False when the stream was reset and is gone. */
static bool feed(struct inbound *in)
{
    ctx_of_peer(in->node->ctx, CRASH_WHO_PEER, peer_id_span(&in->partner->id));
    const struct bitswap_sink sink = {in, on_acquire, on_want, on_presence, on_block, on_rejected, on_end};
    while (in->pieces.first != NULL) {
        struct span rest = stream_pieces_front(&in->pieces);
        size_t before = rest.len;
        enum err err = bitswap_reader_feed(&in->reader, &rest, &sink);
        if (before > rest.len)
            credit(in, before - rest.len);
        stream_pieces_use(&in->pieces, before - rest.len);
        if (err == ERR_AGAIN && !in->hopeless) {
            if (before > rest.len)
                unstall(in); /* this is another block: it waits from now on */
            stall(in);
            return true;
        }
        if (err != ERR_OK) {
            reset_stream(in);
            return false;
        }
        piece_pop(in);
    }
    unstall(in);
    return true;
}

/* The peer is done: so are we, since nothing was ever to be written. */
static void finish(struct inbound *in)
{
    stream_orders_write(&in->node->orders, in->number, NULL, true);
    inbound_closed(in);
}

static void go_on(struct inbound *in)
{
    if (feed(in) && in->fin && in->pieces.first == NULL)
        finish(in);
}

/*
 * What stalled streams hold must not stop the reading of all, or the blocks that have their memory could never be completed: who holds
 * most is reset. Not while blocks are being stored: with them comes memory back, and what fills the account may be theirs.
 */
static void shed(struct node *n)
{
    while (n->held > 0 && n->op_count[OP_PUT] == 0 && account_free(n->receive) < NODE_READING_BYTES) {
        struct inbound *largest = TAILQ_FIRST(&n->stalled);
        struct inbound *in;
        TAILQ_FOREACH(in, &n->stalled, stalled)
        {
            if (in->pieces.held > largest->pieces.held)
                largest = in;
        }
        if (largest == NULL)
            return;
        reset_stream(largest);
    }
}

void inbound_data(struct inbound *in, const struct msg *msg)
{
    struct node *n = in->node;
    const struct msg_stream_data *fields = msg->fields;
    if (in->partner->session != NULL)
        bitswap_session_peer_progress(in->partner->session, ctx_now(n->ctx));
    if (msg->tail != NULL && msg->tail->len > 0) {
        if (stream_pieces_add(&in->pieces, msg->tail) != ERR_OK) {
            reset_stream(in);
            return;
        }
        n->held += msg->tail->len;
    }
    in->fin = in->fin || fields->fin;
    if (in->stalled_ns == 0) /* else in its turn */
        go_on(in);
    shed(n);
}

void inbound_pump(struct node *n)
{
    struct inbound *first;
    while ((first = TAILQ_FIRST(&n->stalled)) != NULL) {
        go_on(first);
        if (TAILQ_FIRST(&n->stalled) == first)
            return;
    }
}

/* Streams wait for memory, and others have had some for long: their blocks were announced and do not come. */
static void take_back(struct node *n, uint64_t now_ns)
{
    size_t position = 0;
    struct inbound *in;
    while (!TAILQ_EMPTY(&n->stalled) && (in = table_next(&n->streams, &position, NULL)) != NULL)
        if (in->stalled_ns == 0 && in->reader.data != NULL && now_ns >= in->block_ns + NODE_STALL_MS * MS_NS)
            reset_stream(in);
}

void inbound_tick(struct node *n, uint64_t now_ns)
{
    take_back(n, now_ns);
    struct inbound *next = NULL;
    for (struct inbound *in = TAILQ_FIRST(&n->stalled); in != NULL; in = next) {
        if (now_ns < in->stalled_ns + NODE_STALL_MS * MS_NS)
            return;
        next = TAILQ_NEXT(in, stalled);
        reset_stream(in);
    }
}
