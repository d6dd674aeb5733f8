/* SPDX-License-Identifier: MIT */
/*
 * Sybils: nodes of one owner in one /24, whose identities were chosen so that they lie nearer to one key than anybody else. They want what
 * is provided under it to be unfindable.
 *
 * A sybil is a node of which only discovery is replaced, by the actor here: it dials the honest nodes, those nearest to the key first,
 * serves /ipfs/kad/1.0.0, answers every question by naming its fellows, and forgets what it is told.
 */
#include <stdlib.h>
#include <string.h>

#include "actors/stream_orders.h"
#include "base/table.h"
#include "dht/kad_key.h"
#include "schemas/messages.h"
#include "sim/crowd_internal.h"
#include "wire/addr_list.h"
#include "wire/cid.h"
#include "wire/kad.h"
#include "wire/multiaddr.h"
#include "wire/multihash.h"

enum {
    DIAL_TAG = 1,
    CONNECT_TAG,
    DIAL_EVERY_MS = 300,
    DIAL_SECONDS = 30,
    STREAMS_MAX = 4096,
    FELLOWS_BYTES = 64 * 1024
};

struct sybil {
    struct stream_orders orders;
    struct table streams; /* number -> struct kad_reader */
    struct kad_writer writer;
    size_t next; /* of those it dials */
};

/* ---- identities ---- */

static struct kad_key attacked_key(void)
{
    uint8_t bytes[CID_BYTES_MAX];
    uint8_t preimage[MULTIHASH_BYTES_MAX];
    struct cid cid;
    if (cid_parse(span_of(bytes, crowd_cid(CROWD_ATTACKED_CID, bytes)), &cid) != ERR_OK)
        abort(); /* it was made here */
    return kad_key_of(span_of(preimage, multihash_encode(&cid.hash, preimage)));
}

unsigned crowd_sybil_bits(unsigned nodes)
{
    unsigned bits = 2; /* nearer than nearly all honest nodes */
    for (; nodes > 1; nodes /= 2)
        bits++;
    return bits;
}

enum err crowd_sybil_identity(uint64_t seed, unsigned number, unsigned bits, struct key_pair **ret_pair)
{
    struct kad_key key = attacked_key();
    for (uint64_t try = 0;; try++) {
        uint8_t bytes[ED25519_SEED_BYTES] = {'s', 'y', 'b', 'i', 'l'};
        struct key_pair *pair;
        memcpy(bytes + 8, &seed, sizeof(seed));
        memcpy(bytes + 16, &try, sizeof(try));
        memcpy(bytes + 24, &number, sizeof(number));
        enum err err = key_pair_of_seed(bytes, &pair);
        if (err != ERR_OK)
            return err;
        struct peer_id id = key_pair_peer_id(pair);
        struct kad_key at = kad_key_of_peer(&id);
        if (kad_key_common_prefix(&key, &at) >= bits) {
            *ret_pair = pair;
            return ERR_OK;
        }
        key_pair_free(pair);
    }
}

/* ---- who is dialled ---- */

static int by_distance(const void *a, const void *b)
{
    struct kad_key target = attacked_key();
    struct kad_key x = kad_key_of_peer(&crowd_playing->nodes[*(const unsigned *)a].id);
    struct kad_key y = kad_key_of_peer(&crowd_playing->nodes[*(const unsigned *)b].id);
    return kad_key_closer(&target, &x, &y);
}

enum err crowd_sybil_targets(struct crowd *c)
{
    c->by_distance = malloc(c->options->nodes * sizeof(*c->by_distance));
    if (c->by_distance == NULL)
        return ERR_NOMEM;
    for (unsigned i = 0; i < c->options->nodes; i++)
        c->by_distance[i] = i;
    qsort(c->by_distance, c->options->nodes, sizeof(*c->by_distance), by_distance);
    return ERR_OK;
}

static void dial_next(struct ctx *ctx, struct sybil *s)
{
    const struct crowd *c = crowd_playing;
    const struct crowd_node *target = &c->nodes[c->by_distance[s->next++ % c->options->nodes]];
    char addr[CROWD_ADDR_MAX];
    struct buf list;
    crowd_node_addr(target, addr);
    buf_init(&list, 2 * CROWD_ADDR_MAX, NULL);
    if (schema_list_add_text(&list, span_text(addr)) == ERR_OK) {
        struct msg_peer_connect fields = {.peer = peer_id_span(&target->id), .addrs = schema_list_of(&list, 1)};
        (void)!ctx_call(ctx, ACTOR_CONNECTION_MANAGER, &(struct msg){.kind = MSG_PEER_CONNECT, .fields = &fields},
                        (struct call_opts){.timeout_ns = DIAL_SECONDS * SECOND_NS}, CONNECT_TAG);
    }
    buf_release(&list);
    (void)ctx_timer(ctx, ctx_now(ctx) + DIAL_EVERY_MS * MS_NS, DIAL_TAG);
}

/* ---- what it answers ---- */

static void name_fellows(struct kad_writer *w)
{
    const struct crowd *c = crowd_playing;
    for (unsigned i = 0; i < c->options->sybils && i < KAD_K; i++) {
        const struct crowd_node *n = &c->nodes[c->options->nodes + i];
        char text[CROWD_ADDR_MAX];
        struct multiaddr addr;
        struct buf list;
        (void)snprintf(text, sizeof(text), "/ip4/%u.%u.%u.%u/tcp/%d", n->ip.ip[0], n->ip.ip[1], n->ip.ip[2],
                       n->ip.ip[3], CROWD_PORT);
        buf_init(&list, 2 * CROWD_ADDR_MAX, NULL);
        if (multiaddr_parse_text(span_text(text), &addr) == ERR_OK &&
            addr_list_add(&list, multiaddr_span(&addr)) == ERR_OK)
            (void)kad_writer_peer(w, KAD_CLOSER, &n->id, buf_span(&list), KAD_CONNECTED, 0);
        buf_release(&list);
    }
}

/* What it is told of the attacked key is counted, and forgotten like the rest. */
static void swallow(const struct kad_message *message)
{
    struct kad_key attacked = attacked_key();
    struct kad_key told = kad_key_of(message->key);
    crowd_playing->swallowed += kad_key_compare(&attacked, &told) == 0;
}

static void answer(struct sybil *s, uint64_t stream, struct span body)
{
    struct kad_message message;
    if (kad_parse(body, false, &message) != ERR_OK)
        return;
    if (message.type == KAD_ADD_PROVIDER) {
        swallow(&message);
        return;
    }
    struct buf out;
    buf_init(&out, FELLOWS_BYTES, NULL);
    kad_writer_begin(&s->writer, message.type, message.key);
    name_fellows(&s->writer);
    struct block_ref *bytes =
        kad_writer_finish(&s->writer, &out) == ERR_OK ? block_ref_copy(buf_span(&out), NULL) : NULL;
    if (bytes != NULL)
        stream_orders_write(&s->orders, stream, bytes, false);
    block_ref_unref(bytes);
    buf_release(&out);
}

static void open_stream(struct sybil *s, uint64_t number)
{
    struct kad_reader *reader = malloc(sizeof(*reader));
    if (reader == NULL)
        return;
    kad_reader_init(reader, KAD_REQUEST_MAX, KAD_REQUEST_MAX, NULL);
    if (table_put(&s->streams, table_key_u64(&number), reader, NULL) != ERR_OK)
        free(reader);
}

static void close_stream(struct sybil *s, uint64_t number)
{
    struct kad_reader *reader = table_remove(&s->streams, table_key_u64(&number));
    if (reader == NULL)
        return;
    kad_reader_release(reader);
    free(reader);
}

static void take_data(struct sybil *s, const struct msg *msg)
{
    const struct msg_stream_data *fields = msg->fields;
    struct kad_reader *reader = table_get(&s->streams, table_key_u64(&fields->stream));
    struct span rest = msg->tail == NULL ? (struct span){0} : block_ref_span(msg->tail);
    stream_orders_credit(&s->orders, fields->stream, rest.len, 0);
    while (reader != NULL && rest.len > 0) {
        struct span body;
        enum err err = kad_reader_feed(reader, &rest, &body);
        if (err == ERR_AGAIN)
            break;
        if (err == ERR_OK) {
            answer(s, fields->stream, body);
            kad_reader_next(reader);
        } else {
            stream_orders_reset(&s->orders, fields->stream);
            close_stream(s, fields->stream);
            return;
        }
    }
    if (fields->fin) {
        stream_orders_write(&s->orders, fields->stream, NULL, true);
        close_stream(s, fields->stream);
    }
}

/* ---- the actor ---- */

static enum err sybil_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct sybil *s = state;
    struct buf items;
    (void)config;
    stream_orders_init(&s->orders, ctx);
    table_init(&s->streams, STREAMS_MAX, NULL);
    kad_writer_init(&s->writer, NULL);
    buf_init(&items, 64, NULL);
    if (schema_list_add_text(&items, span_text(KAD_PROTOCOL)) == ERR_OK)
        stream_orders_serve(&s->orders, schema_list_of(&items, 1));
    buf_release(&items);
    (void)ctx_timer(ctx, ctx_now(ctx) + SECOND_NS, DIAL_TAG);
    return ERR_OK;
}

static void sybil_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    struct sybil *s = state;
    s->orders.ctx = ctx;
    if (msg->kind == MSG_STREAM_OPENED)
        open_stream(s, ((const struct msg_stream_opened *)msg->fields)->stream);
    else if (msg->kind == MSG_STREAM_DATA)
        take_data(s, msg);
    else if (msg->kind == MSG_STREAM_CLOSED)
        close_stream(s, ((const struct msg_stream_closed *)msg->fields)->stream);
}

static void sybil_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct sybil *s = state;
    s->orders.ctx = ctx;
    if (info->kind == INFO_TIMER)
        dial_next(ctx, s);
    else if (info->kind == INFO_ROOM)
        stream_orders_room(&s->orders, info->actor);
}

static void sybil_terminate(struct ctx *ctx, void *state, enum exit_reason reason)
{
    struct sybil *s = state;
    struct kad_reader *reader;
    size_t position = 0;
    (void)ctx;
    (void)reason;
    while ((reader = table_next(&s->streams, &position, NULL)) != NULL) {
        kad_reader_release(reader);
        free(reader);
    }
    table_release(&s->streams);
    kad_writer_release(&s->writer);
    stream_orders_release(&s->orders);
}

const struct actor_class crowd_sybil_class = {
    .name = "sybil",
    .state_bytes = sizeof(struct sybil),
    .init = sybil_init,
    .handle_cast = sybil_cast,
    .handle_info = sybil_info,
    .terminate = sybil_terminate,
};
