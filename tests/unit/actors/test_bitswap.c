/* SPDX-License-Identifier: MIT */
/*
 * The bitswap actor as its neighbours see it, on both backends. Around it stand a connection_manager that plays one peer byte by byte, a
 * storage that is an array, and a driver in control's place that fetches. RELIABILITY rows D3 to D6 on the actor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "actors/tree.h"
#include "base/limits.h"
#include "base/random.h"
#include "mailbox/backend.h"
#include "mailbox/runtime.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "sim/sim.h"
#include "sim/stage.h"
#include "tests/support/bytes.h"
#include "wire/bitswap.h"
#include "wire/peer_id.h"
#include "wire/protobuf.h"
#include "wire/varint.h"

enum {
    BLOCKS = 22,
    PIECE = 1000,
    LARGE_PIECE = 128 * 1024,
    POLL_MS = 5,
    POLL = 1,
    FETCH_MS = 20000,
    IN = 101,
    OUT = 500,
    SCENE_TIMEOUT_S = 60
};

/* Block numbers by their part in the play. */
enum {
    STORED = 0,
    LATER = 1,
    FETCHED = 2,
    UNWANTED = 3,
    CANCELLED = 4,
    AFTER_RESET = 5,
    LOCAL = 6,
    EMPTY = 7,
    MANY = 8,
    EARLY = 9,
    COLD = 10,
    HELD = 11 /* and all that follow: more than the memory for blocks holds at a time */
};

/* Written by the peer's and the driver's threads; the test thread looks when all is over. */
static struct {
    struct runtime *rt;
    _Atomic int step;
    _Atomic bool done;
    _Atomic int failures;
    _Atomic int fetch_state[BLOCKS]; /* 0 not asked, 1 to be asked, 2 asked, 3 answered */
    _Atomic int fetch_err[BLOCKS];
    _Atomic bool stored[BLOCKS];
    _Atomic int puts[BLOCKS];
    _Atomic bool goes; /* a read of COLD finds that its medium has gone away */
    _Atomic bool away;
    struct block_ref *held[BLOCKS]; /* the driver's */
    struct block_ref *filler;       /* all that was left of the receive account */
    _Atomic int seen_blocks[BLOCKS];
    _Atomic int awaited; /* tags that say that we wait for the peer */
    _Atomic int seen_wants[BLOCKS];
    _Atomic int seen_cancels[BLOCKS];
    _Atomic int seen_have[BLOCKS];
    _Atomic int seen_dont[BLOCKS];
    _Atomic int opens;
    _Atomic int resets[8]; /* of inbound streams, from IN on */
    _Atomic uint64_t fed;
    _Atomic uint64_t credited;
    struct cid cids[BLOCKS];
    struct block_ref *blocks[BLOCKS];
    struct peer_id peer;
    int scene_step;
} play;

static void blocks_make(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        struct prng prng;
        struct multihash hash;
        size_t len = i == EMPTY ? 0 : i == FETCHED ? 300000 : i >= HELD ? MIB : 5000 + i;
        prng_init(&prng, i);
        play.blocks[i] = block_ref_new(len, NULL);
        prng_fill(&prng, play.blocks[i]->data, len);
        if (multihash_sum(MULTIHASH_SHA2_256, 0, block_ref_span(play.blocks[i]), &hash) != ERR_OK)
            abort();
        play.cids[i] = i == STORED ? cid_v1(CODEC_DAG_PB, &hash) : cid_v1(CODEC_RAW, &hash);
    }
}

static size_t block_number(const struct cid *cid)
{
    for (size_t i = 0; i < BLOCKS; i++)
        if (cid_same_block(cid, &play.cids[i]))
            return i;
    return BLOCKS;
}

static size_t block_named(struct span name)
{
    struct cid cid;
    return cid_parse(name, &cid) == ERR_OK ? block_number(&cid) : BLOCKS;
}

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    print_message("step %d: %s\n", atomic_load(&play.step), what);
    atomic_fetch_add(&play.failures, 1);
    atomic_store(&play.done, true);
}

/* ---- storage ---- */

static void reply_block(struct ctx *ctx, struct reply_to to, size_t i, struct span name)
{
    struct msg_block fields = {.cid = name, .size = play.blocks[i]->len};
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_BLOCK, .fields = &fields, .tail = play.blocks[i]});
}

static enum err reply_have(struct ctx *ctx, const struct msg_block_has *asked, struct reply_to to)
{
    struct buf sizes;
    size_t position = 0;
    struct span name;
    uint32_t count = 0;
    buf_init(&sizes, 64 * KIB, NULL);
    for (; schema_list_next_bytes(&asked->cids, &position, &name); count++) {
        size_t i = block_named(name);
        bool here =
            i < BLOCKS && atomic_load(&play.stored[i]) && !(i == COLD && asked->readable && atomic_load(&play.away));
        if (schema_list_add_u64(&sizes, here ? play.blocks[i]->len + 1 : 0) != ERR_OK)
            abort();
    }
    struct msg_block_have fields = {.sizes = schema_list_of(&sizes, count)};
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_BLOCK_HAVE, .fields = &fields});
    buf_release(&sizes);
    return ERR_OK;
}

static enum err storage_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    (void)state;
    if (msg->kind == MSG_BLOCK_HAS)
        return reply_have(ctx, msg->fields, to);
    struct span name = msg->kind == MSG_BLOCK_GET ? ((const struct msg_block_get *)msg->fields)->cid
                                                  : ((const struct msg_block_put *)msg->fields)->cid;
    size_t i = block_named(name);
    if (msg->kind == MSG_BLOCK_GET) {
        if (i == BLOCKS || !atomic_load(&play.stored[i]))
            return ERR_NOT_FOUND;
        if (i == COLD && atomic_load(&play.goes)) {
            atomic_store(&play.away, true);
            return ERR_UNAVAILABLE;
        }
        reply_block(ctx, to, i, name);
        return ERR_OK;
    }
    check(i < BLOCKS && span_equal(block_ref_span(msg->tail), block_ref_span(play.blocks[i])),
          "a foreign block was stored");
    if (i < BLOCKS) {
        atomic_store(&play.stored[i], true);
        atomic_fetch_add(&play.puts[i], 1);
    }
    struct msg_block_put_ok fields = {0};
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_BLOCK_PUT_OK, .fields = &fields});
    return ERR_OK;
}

/* ---- the driver ---- */

static enum err poll_init(struct ctx *ctx, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    (void)ctx_timer(ctx, ctx_now(ctx) + POLL_MS * MS_NS, POLL);
    return ERR_OK;
}

static void fetch(struct ctx *ctx, size_t i)
{
    uint8_t key[CID_BYTES_MAX];
    struct msg_fetch fields = {.cid = span_of(key, cid_encode(&play.cids[i], key))};
    uint64_t timeout = i == CANCELLED ? 300 : FETCH_MS;
    atomic_store(&play.fetch_state[i], 2);
    if (ctx_call(ctx, ACTOR_BITSWAP, &(struct msg){.kind = MSG_FETCH, .fields = &fields},
                 (struct call_opts){.timeout_ns = timeout * MS_NS}, 100 + i) != ERR_OK)
        check(false, "fetch was refused");
}

static void driver_info(struct ctx *ctx, void *state, const struct info *info)
{
    (void)state;
    if (info->kind == INFO_REPLY && info->tag >= 100) {
        size_t i = (size_t)(info->tag - 100);
        if (info->err == ERR_OK)
            check(span_equal(block_ref_span(info->msg->tail), block_ref_span(play.blocks[i])),
                  "other bytes were fetched");
        if (info->err == ERR_OK && i >= HELD)
            play.held[i] = block_ref_ref(info->msg->tail);
        atomic_store(&play.fetch_err[i], (int)info->err);
        atomic_store(&play.fetch_state[i], 3);
        return;
    }
    if (info->kind != INFO_TIMER)
        return;
    for (size_t i = 0; i < BLOCKS; i++)
        if (atomic_load(&play.fetch_state[i]) == 1)
            fetch(ctx, i);
    (void)ctx_timer(ctx, ctx_now(ctx) + POLL_MS * MS_NS, POLL);
}

/* ---- the peer, behind connection_manager ---- */

struct manager {
    struct bitswap_reader reader;
    uint64_t out;
    uint64_t waited_ns;
};

static struct block_ref *see_acquire(void *arg, size_t size)
{
    (void)arg;
    return block_ref_new(size, NULL);
}

static void see_want(void *arg, const struct bitswap_want *want)
{
    (void)arg;
    size_t i = block_number(&want->cid);
    check(i < BLOCKS, "a want for a foreign block");
    if (i < BLOCKS)
        atomic_fetch_add(want->cancel ? &play.seen_cancels[i] : &play.seen_wants[i], 1);
}

static void see_presence(void *arg, const struct cid *cid, bool have)
{
    (void)arg;
    size_t i = block_number(cid);
    if (i < BLOCKS)
        atomic_fetch_add(have ? &play.seen_have[i] : &play.seen_dont[i], 1);
}

static void see_block(void *arg, const struct cid *cid, struct block_ref *block)
{
    (void)arg;
    (void)block;
    size_t i = block_number(cid);
    check(i < BLOCKS && cid_equal(cid, &play.cids[i]), "a block under another CID");
    if (i < BLOCKS)
        atomic_fetch_add(&play.seen_blocks[i], 1);
}

static void see_rejected(void *arg, enum err why, size_t bytes)
{
    (void)arg;
    (void)why;
    (void)bytes;
    check(false, "a payload without a usable prefix");
}

static void see_end(void *arg, const struct bitswap_end *end)
{
    (void)arg;
    check(end->ignored == 0, "an entry without a CID");
}

static void cast(struct ctx *ctx, uint16_t kind, const void *fields, struct block_ref *tail)
{
    check(ctx_cast(ctx, ACTOR_BITSWAP, &(struct msg){.kind = kind, .fields = fields, .tail = tail}) == ERR_OK,
          "no room");
}

static enum err manager_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    struct manager *m = state;
    if (msg->kind != MSG_STREAM_OPEN)
        return ERR_UNSUPPORTED;
    m->out = OUT + (uint64_t)atomic_fetch_add(&play.opens, 1);
    bitswap_reader_release(&m->reader);
    bitswap_reader_init(&m->reader);
    struct msg_stream_opened_ok fields = {.stream = m->out, .protocol = span_text("/ipfs/bitswap/1.2.0")};
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_STREAM_OPENED_OK, .fields = &fields});
    return ERR_OK;
}

static void on_write(struct ctx *ctx, struct manager *m, const struct msg *msg)
{
    static const struct bitswap_sink sink = {NULL,      see_acquire,  see_want, see_presence,
                                             see_block, see_rejected, see_end};
    const struct msg_stream_write *fields = msg->fields;
    struct span bytes = block_ref_span(msg->tail);
    if (fields->stream != m->out) {
        check(bytes.len == 0 || fields->stream >= OUT, "bytes on a stream that only the peer writes");
        return;
    }
    check(bitswap_reader_feed(&m->reader, &bytes, &sink) == ERR_OK, "a broken message");
    struct msg_stream_written written = {.stream = fields->stream, .bytes = block_ref_span(msg->tail).len};
    if (written.bytes > 0)
        cast(ctx, MSG_STREAM_WRITTEN, &written, NULL);
}

static void on_tag(const struct msg_peer_tag *fields)
{
    if (!span_equal_text(fields->name, "awaited"))
        return;
    check(fields->value > 0 && fields->half_life_ns > 0 && span_equal(fields->peer, peer_id_span(&play.peer)),
          "a tag that does not fade, or of another peer");
    check(atomic_load(&play.seen_wants[FETCHED]) > 0, "somebody is awaited who was asked nothing");
    atomic_fetch_add(&play.awaited, 1);
}

static void manager_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    if (msg->kind == MSG_PEER_TAG)
        on_tag(msg->fields);
    if (msg->kind == MSG_STREAM_WRITE)
        on_write(ctx, state, msg);
    else if (msg->kind == MSG_STREAM_CREDIT)
        atomic_fetch_add(&play.credited, ((const struct msg_stream_credit *)msg->fields)->bytes);
    else if (msg->kind == MSG_STREAM_RESET && ((const struct msg_stream_reset *)msg->fields)->stream < IN + 8)
        atomic_fetch_add(&play.resets[((const struct msg_stream_reset *)msg->fields)->stream - IN], 1);
}

static void open_inbound(struct ctx *ctx, uint64_t number)
{
    struct msg_stream_opened fields = {.stream = number,
                                       .peer = peer_id_span(&play.peer),
                                       .protocol = span_text("/ipfs/bitswap/1.2.0"),
                                       .inbound = true};
    cast(ctx, MSG_STREAM_OPENED, &fields, NULL);
}

static void send_bytes(struct ctx *ctx, uint64_t number, struct span bytes)
{
    size_t piece = bytes.len < LARGE_PIECE ? PIECE : LARGE_PIECE;
    while (bytes.len > 0) {
        struct block_ref *tail = block_ref_copy(span_first(bytes, piece), NULL);
        struct msg_stream_data fields = {.stream = number};
        cast(ctx, MSG_STREAM_DATA, &fields, tail);
        atomic_fetch_add(&play.fed, tail->len);
        block_ref_unref(tail);
        bytes = span_skip(bytes, piece);
    }
}

static void send_message(struct ctx *ctx, uint64_t number, struct bitswap_writer *w)
{
    size_t position = 0;
    struct bitswap_piece piece;
    if (bitswap_writer_finish(w) != ERR_OK)
        abort();
    while (bitswap_writer_next(w, &position, &piece)) {
        send_bytes(ctx, number, piece.bytes);
        send_bytes(ctx, number, block_ref_span(piece.block));
    }
    bitswap_writer_release(w);
}

static void send_want(struct ctx *ctx, uint64_t number, size_t block, enum bitswap_want_type type)
{
    struct bitswap_writer w;
    bitswap_writer_init(&w, BITSWAP_1_2, BITSWAP_MESSAGE_MAX, NULL);
    if (bitswap_writer_want(
            &w, &(struct bitswap_want){.cid = play.cids[block], .priority = 1, .type = type, .send_dont_have = true}) !=
        ERR_OK)
        abort();
    send_message(ctx, number, &w);
}

static void send_block(struct ctx *ctx, uint64_t number, size_t block)
{
    struct bitswap_writer w;
    bitswap_writer_init(&w, BITSWAP_1_2, BITSWAP_MESSAGE_MAX, NULL);
    if (bitswap_writer_block(&w, &play.cids[block], play.blocks[block]) != ERR_OK)
        abort();
    send_message(ctx, number, &w);
}

static void peer_up(struct ctx *ctx)
{
    struct buf items;
    buf_init(&items, 256, NULL);
    if (schema_list_add_text(&items, span_text("/ipfs/bitswap/1.2.0")) != ERR_OK)
        abort();
    struct msg_peer_up fields = {.peer = peer_id_span(&play.peer), .protocols = schema_list_of(&items, 1)};
    cast(ctx, MSG_PEER_UP, &fields, NULL);
    buf_release(&items);
}

static void ask_driver(size_t block)
{
    atomic_store(&play.fetch_state[block], 1);
}

static bool fetched(size_t block, enum err err)
{
    return atomic_load(&play.fetch_state[block]) == 3 && atomic_load(&play.fetch_err[block]) == (int)err;
}

static void tell_stored(struct ctx *ctx, size_t block)
{
    uint8_t key[CID_BYTES_MAX];
    struct buf items;
    buf_init(&items, 256, NULL);
    atomic_store(&play.stored[block], true);
    if (schema_list_add_bytes(&items, span_of(key, cid_encode(&play.cids[block], key))) != ERR_OK)
        abort();
    struct msg_block_stored fields = {.cids = schema_list_of(&items, 1)};
    cast(ctx, MSG_BLOCK_STORED, &fields, NULL);
    buf_release(&items);
}

/* Entries of nothing, of half a CID, of an identity CID; a payload of md5; one without a prefix: rows D3, D4, D6. */
static void send_useless_parts(struct ctx *ctx, uint64_t number)
{
    send_bytes(ctx, number,
               bytes_of_hex("040a020a00"
                            "070a050a030a0101"
                            "0b0a090a070a050155000161"));
    send_bytes(ctx, number,
               bytes_of_hex("101a0e0a050155d50110120568656c6c6f"
                            "091a07120568656c6c6f"
                            "021a00"));
}

/* Each scene is begun once; the play goes on when its end is seen. */
struct scene {
    const char *name;
    void (*begin)(struct ctx *ctx);
    bool (*end)(void);
};

/* A peer that asks before it is identified, and ends its stream at once as Helia does. */
static void begin_early(struct ctx *ctx)
{
    struct msg_stream_data last = {.stream = IN + 7, .fin = true};
    struct msg_stream_closed closed = {.stream = IN + 7, .err = ERR_OK};
    atomic_store(&play.stored[EARLY], true);
    open_inbound(ctx, IN + 7);
    send_want(ctx, IN + 7, EARLY, BITSWAP_WANT_BLOCK);
    cast(ctx, MSG_STREAM_DATA, &last, NULL);
    cast(ctx, MSG_STREAM_CLOSED, &closed, NULL);
}

static bool end_early(void)
{
    return atomic_load(&play.seen_blocks[EARLY]) == 1;
}

static void begin_serving(struct ctx *ctx)
{
    atomic_store(&play.stored[STORED], true);
    open_inbound(ctx, IN); /* before the peer is identified */
    send_want(ctx, IN, STORED, BITSWAP_WANT_BLOCK);
    send_want(ctx, IN, LATER, BITSWAP_WANT_BLOCK);
    peer_up(ctx);
}

static bool end_serving(void)
{
    return atomic_load(&play.seen_blocks[STORED]) == 1 && atomic_load(&play.seen_dont[LATER]) == 1;
}

static void begin_arrival(struct ctx *ctx)
{
    tell_stored(ctx, LATER);
}

static bool end_arrival(void)
{
    return atomic_load(&play.seen_blocks[LATER]) == 1;
}

static void begin_away(struct ctx *ctx)
{
    atomic_store(&play.stored[COLD], true);
    atomic_store(&play.goes, true);
    send_want(ctx, IN, COLD, BITSWAP_WANT_BLOCK);
}

static bool end_away(void)
{
    return atomic_load(&play.seen_dont[COLD]) == 1 && atomic_load(&play.seen_blocks[COLD]) == 0;
}

static void begin_claim(struct ctx *ctx)
{
    send_want(ctx, IN, COLD, BITSWAP_WANT_HAVE);
}

static bool end_claim(void)
{
    return atomic_load(&play.seen_dont[COLD]) == 2 && atomic_load(&play.seen_have[COLD]) == 0;
}

static void begin_back(struct ctx *ctx)
{
    atomic_store(&play.goes, false);
    atomic_store(&play.away, false);
    cast(ctx, MSG_COLD_UP, &(struct msg_cold_up){0}, NULL);
}

static bool end_back(void)
{
    return atomic_load(&play.seen_blocks[COLD]) == 1;
}

static void begin_fetch(struct ctx *ctx)
{
    (void)ctx;
    ask_driver(FETCHED);
}

static bool end_fetch(void)
{
    return atomic_load(&play.seen_wants[FETCHED]) == 1 && atomic_load(&play.awaited) > 0;
}

static void begin_delivery(struct ctx *ctx)
{
    send_useless_parts(ctx, IN);
    send_block(ctx, IN, UNWANTED);
    send_block(ctx, IN, FETCHED);
    send_block(ctx, IN, FETCHED); /* while the first one is being stored */
}

static bool end_delivery(void)
{
    return fetched(FETCHED, ERR_OK) && atomic_load(&play.puts[FETCHED]) == 1 && atomic_load(&play.puts[UNWANTED]) == 0;
}

static void begin_cancel(struct ctx *ctx)
{
    (void)ctx;
    ask_driver(CANCELLED);
}

static bool end_cancel(void)
{
    return fetched(CANCELLED, ERR_TIMEOUT) && atomic_load(&play.seen_cancels[CANCELLED]) == 1;
}

/* Row D5, then broken protobuf; an honest stream is served all the same. */
static void begin_hostile(struct ctx *ctx)
{
    open_inbound(ctx, IN + 1);
    send_bytes(ctx, IN + 1, bytes_of_hex("81808002"));
    open_inbound(ctx, IN + 2);
    send_bytes(ctx, IN + 2, bytes_of_hex("030b0000"));
    send_want(ctx, IN, STORED, BITSWAP_WANT_BLOCK);
}

static bool end_hostile(void)
{
    return atomic_load(&play.resets[1]) == 1 && atomic_load(&play.resets[2]) == 1 &&
           atomic_load(&play.seen_blocks[STORED]) == 2 && atomic_load(&play.resets[0]) == 0;
}

static void begin_lost(struct ctx *ctx)
{
    (void)ctx;
    ask_driver(AFTER_RESET);
}

static bool end_lost(void)
{
    return atomic_load(&play.seen_wants[AFTER_RESET]) == 1;
}

/* The peer resets our stream: the want is said again on a new one. */
static void begin_reset(struct ctx *ctx)
{
    struct msg_stream_closed fields = {.stream = OUT + (uint64_t)atomic_load(&play.opens) - 1, .err = ERR_RESET};
    cast(ctx, MSG_STREAM_CLOSED, &fields, NULL);
}

static bool end_reset(void)
{
    return atomic_load(&play.seen_wants[AFTER_RESET]) == 2;
}

static void begin_after_reset(struct ctx *ctx)
{
    send_block(ctx, IN, AFTER_RESET);
}

static bool end_after_reset(void)
{
    return fetched(AFTER_RESET, ERR_OK);
}

/* What is here, what needs no asking, and what another actor stores meanwhile. */
static void begin_local(struct ctx *ctx)
{
    (void)ctx;
    atomic_store(&play.stored[LOCAL], true);
    ask_driver(LOCAL);
    ask_driver(EMPTY);
    ask_driver(MANY);
}

static bool end_local(void)
{
    return fetched(LOCAL, ERR_OK) && fetched(EMPTY, ERR_OK) && atomic_load(&play.seen_wants[MANY]) >= 1 &&
           atomic_load(&play.seen_wants[EMPTY]) == 0 && atomic_load(&play.seen_wants[LOCAL]) == 0;
}

static void begin_meanwhile(struct ctx *ctx)
{
    tell_stored(ctx, MANY);
}

static bool end_meanwhile(void)
{
    return fetched(MANY, ERR_OK) && atomic_load(&play.puts[MANY]) == 0;
}

/* A reader that goes slowly keeps what it fetched, at its own account: those blocks do not keep the next ones out. */
static void begin_held(struct ctx *ctx)
{
    (void)ctx;
    for (size_t i = HELD; i < BLOCKS; i++)
        ask_driver(i);
}

static bool end_held(void)
{
    for (size_t i = HELD; i < BLOCKS; i++)
        if (atomic_load(&play.seen_wants[i]) == 0)
            return false;
    return true;
}

/* And what fills the account meanwhile, copies on their way to storage in another process, is no fault of the stream. */
static void begin_held_delivery(struct ctx *ctx)
{
    struct account *receive = &ctx_budget(ctx)->accounts[ACCOUNT_RECEIVE];
    play.filler = block_ref_new(account_free(receive), NULL);
    check(play.filler != NULL, "no memory");
    block_ref_charge(play.filler, receive);
    for (size_t i = HELD; i < BLOCKS; i++)
        send_block(ctx, IN, i);
}

static bool end_held_delivery(void)
{
    for (size_t i = HELD; i < BLOCKS; i++)
        if (!fetched(i, ERR_OK))
            return false;
    return true;
}

static void begin_down(struct ctx *ctx)
{
    block_ref_unref(play.filler);
    struct msg_peer_down down = {.peer = peer_id_span(&play.peer)};
    struct msg_stream_closed closed = {.stream = IN, .err = ERR_RESET};
    cast(ctx, MSG_PEER_DOWN, &down, NULL);
    cast(ctx, MSG_STREAM_CLOSED, &closed, NULL);
}

/* All that was fed was credited, but for the streams that were reset at their first bytes. */
static bool end_down(void)
{
    uint64_t fed = atomic_load(&play.fed);
    uint64_t credited = atomic_load(&play.credited);
    return credited <= fed && fed - credited <= 8;
}

static const struct scene scenes[] = {
    {"a want outlives its stream", begin_early, end_early},
    {"wants are served", begin_serving, end_serving},
    {"an absent block arrives", begin_arrival, end_arrival},
    {"a cold block cannot be read", begin_away, end_away},
    {"nor is it claimed", begin_claim, end_claim},
    {"its medium is back", begin_back, end_back},
    {"a fetch asks the peer", begin_fetch, end_fetch},
    {"the block comes after rubbish", begin_delivery, end_delivery},
    {"a fetch runs out of time", begin_cancel, end_cancel},
    {"hostile streams", begin_hostile, end_hostile},
    {"a want", begin_lost, end_lost},
    {"our stream is reset", begin_reset, end_reset},
    {"the block comes all the same", begin_after_reset, end_after_reset},
    {"no need to ask", begin_local, end_local},
    {"stored by somebody else", begin_meanwhile, end_meanwhile},
    {"blocks that will be kept", begin_held, end_held},
    {"they come while others are kept", begin_held_delivery, end_held_delivery},
    {"the peer leaves", begin_down, end_down},
};

static void manager_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct manager *m = state;
    if (info->kind != INFO_TIMER || atomic_load(&play.done))
        return;
    (void)ctx_timer(ctx, ctx_now(ctx) + POLL_MS * MS_NS, POLL);
    int step = atomic_load(&play.step);
    if (step % 2 == 0) {
        scenes[step / 2].begin(ctx);
        m->waited_ns = ctx_now(ctx);
        atomic_store(&play.step, step + 1);
    } else if (scenes[step / 2].end()) {
        atomic_store(&play.step, step + 1);
        if ((size_t)(step + 1) / 2 == ARRAY_LEN(scenes)) {
            atomic_store(&play.done, true);
        }
    } else {
        check(ctx_now(ctx) < m->waited_ns + 10 * SECOND_NS, scenes[step / 2].name);
    }
}

static void manager_end(struct ctx *ctx, void *state, enum exit_reason reason)
{
    (void)ctx;
    (void)reason;
    bitswap_reader_release(&((struct manager *)state)->reader);
}

/* ---- the rest ---- */

static enum err no_providers(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    (void)state;
    (void)msg;
    struct msg_providers fields = {0};
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_PROVIDERS, .fields = &fields});
    return ERR_OK;
}

static void no_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    (void)ctx;
    (void)state;
    (void)msg;
}

/* Who stores a block tells of its use, with its size and its tier: told here as well it would count twice. */
static void heat_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    (void)ctx;
    (void)state;
    check(msg->kind != MSG_ACCESS, "bitswap tells of a use");
}

static const struct actor_class heat_fake = {.name = "heat_tracker", .state_bytes = 8, .handle_cast = heat_cast};
static const struct actor_class storage_fake = {
    .name = "tiered_storage", .state_bytes = 8, .handle_call = storage_call};
static const struct actor_class manager_fake = {.name = "connection_manager",
                                                .state_bytes = sizeof(struct manager),
                                                .init = poll_init,
                                                .handle_call = manager_call,
                                                .handle_cast = manager_cast,
                                                .handle_info = manager_info,
                                                .terminate = manager_end};
static const struct actor_class discovery_fake = {.name = "discovery", .state_bytes = 8, .handle_call = no_providers};
static const struct actor_class quiet_fake = {.name = "quiet", .state_bytes = 8, .handle_cast = no_cast};
static const struct actor_class driver_fake = {
    .name = "control", .state_bytes = 8, .init = poll_init, .handle_info = driver_info};

static const struct actor_class *classes[ACTOR_COUNT] = {
    [ACTOR_STATE] = &quiet_fake,         [ACTOR_TIERED_STORAGE] = &storage_fake,
    [ACTOR_HEAT_TRACKER] = &heat_fake,   [ACTOR_CONNECTION_MANAGER] = &manager_fake,
    [ACTOR_DISCOVERY] = &discovery_fake, [ACTOR_BITSWAP] = &bitswap_class,
    [ACTOR_CONTROL] = &driver_fake};

static bool is_done(void *arg)
{
    (void)arg;
    return atomic_load(&play.done);
}

static void print_log(void *arg, enum log_level level, const char *actor, const char *text)
{
    (void)arg;
    print_message("%d %s: %s\n", (int)level, actor, text);
}

static void play_on(struct sim *sim)
{
    struct config *config = NULL;
    struct budget budget;
    char why[512] = "";
    memset(&play, 0, sizeof(play));
    blocks_make();
    play.peer = peer_id_of_key(span_text("the peer"));
    assert_int_equal(config_new("/nowhere", &config), ERR_OK);
    assert_int_equal(budget_init(&budget, BUDGET_DEFAULT_MIB * MIB), ERR_OK);
    struct runtime_config rc = stage_config(classes);
    rc.name = "bitswap";
    rc.backend = sim != NULL ? &backend_sim : NULL;
    rc.backend_arg = sim;
    rc.config = config;
    rc.budget = &budget;
    rc.log = print_log;
    rc.log_level = LOG_WARN;
    if (runtime_start(&rc, &play.rt, why, sizeof(why)) != ERR_OK)
        fail_msg("start: %s", why);
    bool done = runtime_await(play.rt, is_done, NULL, SCENE_TIMEOUT_S * SECOND_NS);
    (void)runtime_stop(&play.rt, 10 * SECOND_NS);
    assert_true(done);
    assert_int_equal(atomic_load(&play.failures), 0);
    for (size_t i = 0; i < BLOCKS; i++)
        block_ref_unref(play.held[i]);
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        assert_int_equal(account_used(&budget.accounts[i]), 0);
    for (size_t i = 0; i < BLOCKS; i++) {
        assert_int_equal(play.blocks[i]->refs, 1);
        block_ref_unref(play.blocks[i]);
    }
    config_free(config);
}

static void on_threads(void **state)
{
    (void)state;
    play_on(NULL);
}

static uint64_t play_sim(uint64_t seed)
{
    struct sim *sim = sim_new(seed);
    assert_non_null(sim);
    play_on(sim);
    uint64_t trace = sim_trace(sim);
    sim_free(sim);
    return trace;
}

static void in_the_simulator_the_same_way_twice(void **state)
{
    (void)state;
    uint64_t trace = play_sim(3);
    assert_true(play_sim(3) == trace);
    for (uint64_t seed = 10; seed < 30; seed++)
        (void)play_sim(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_threads),
        cmocka_unit_test(in_the_simulator_the_same_way_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
