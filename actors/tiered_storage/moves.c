/* SPDX-License-Identifier: MIT */
/*
 * Moves between disk and cold tier that a person asked for: each block has a result of its own, and the answer comes when the last one is known.
 *
 *      to the cold tier   --> demote, again while its row is not committed --> in a whole pack, or it may not leave
 *      to the disk        --> promote
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/tiered_storage/request.h"
#include "actors/tree.h"
#include "schemas/messages.h"

enum { MOVES_MAX = 4, MOVE_BLOCKS_MAX = 256, PROMOTIONS_MAX = 4, AHEAD_BYTES_MAX = 1024 };

struct moving {
    struct storage_move *move;
    struct block_key key;
    struct store_op op; /* of a promotion */
    enum err err;       /* ERR_AGAIN: not known yet */
    bool tried;         /* it was handed to the store */
};

struct storage_move {
    struct storage_move *next;
    struct reply_to to;
    bool cold;
    bool cancelled;
    size_t promoting;
    size_t left; /* whose result is not known */
    size_t count;
    struct moving blocks[]; /* count of them */
};

static void settle(struct moving *one, enum err err)
{
    one->err = err;
    one->move->left--;
}

/* ---- to the cold tier ---- */

static void demote(struct storage_state *s, struct moving *one)
{
    enum err err = blockstore_demote(s->store, &one->key, 1);
    bool starts = err == ERR_UNAVAILABLE && s->cold_why[0] == '\0'; /* the tier answers, and is still being looked at */
    if (err == ERR_BUSY || err == ERR_NOMEM || starts)
        return; /* there will be room */
    one->tried = err == ERR_OK;
    if (err == ERR_OK)
        blockstore_end_pack(s->store);
    else
        settle(one, err);
}

static void look(struct storage_state *s, struct moving *one)
{
    const char *tier = "cold";
    uint64_t size = 0;
    enum err err = blockstore_may_leave(s->store, &one->key);
    bool is_cold = err == ERR_EXISTS;
    if (is_cold)
        err = blockstore_has(s->store, &one->key, &size, &tier);
    if (err == ERR_BUSY || err == ERR_AGAIN)
        return;
    if (err == ERR_OK && !one->tried && !(is_cold && strcmp(tier, "cold") == 0))
        demote(s, one);
    else if (err == ERR_OK && !is_cold)
        settle(one, ERR_UNAVAILABLE); /* its pack came to nothing */
    else
        settle(one, err);
}

/* ---- to the disk ---- */

static void promoted(struct store_op *op, enum err err)
{
    struct moving *one = CONTAINER_OF(op, struct moving, op);
    one->move->promoting--;
    one->tried = err != ERR_BUSY && err != ERR_NOMEM; /* else there will be room */
    if (one->tried)
        settle(one, err);
}

static void promote(struct storage_state *s, struct moving *one)
{
    one->tried = true;
    one->move->promoting++;
    one->op = (struct store_op){.done = promoted, .key = one->key};
    blockstore_promote(s->store, &one->op);
}

/* ---- all of them ---- */

static void answer(struct storage_state *s, const struct storage_move *move)
{
    struct buf results;
    enum err err = ERR_OK;
    bool away = false;
    buf_init(&results, MOVE_BLOCKS_MAX * 10, NULL);
    for (size_t i = 0; i < move->count && err == ERR_OK; i++) {
        away = away || move->blocks[i].err == ERR_UNAVAILABLE;
        err = schema_list_add_u64(&results, (uint64_t)move->blocks[i].err);
    }
    struct msg_tier_moved moved = {.results = schema_list_of(&results, (uint32_t)move->count),
                                   .why = span_text(away ? s->cold_why : "")};
    if (err == ERR_OK)
        ctx_reply(s->ctx, move->to, &(struct msg){.kind = MSG_TIER_MOVED, .fields = &moved});
    else
        ctx_reply_err(s->ctx, move->to, err, "%s", err_text(err));
    buf_release(&results);
}

/* What a person has sent away is not to come back with its next use. */
static void tell_tracker(struct storage_state *s, const struct storage_move *move)
{
    struct buf keys;
    struct msg_tier_left left;
    uint32_t count = 0;
    enum err err = ERR_OK;
    buf_init(&keys, MOVE_BLOCKS_MAX * sizeof(struct block_key), NULL);
    for (size_t i = 0; i < move->count && err == ERR_OK; i++) {
        const struct moving *one = &move->blocks[i];
        if (!one->tried || one->err != ERR_OK)
            continue;
        err = schema_list_add_bytes(&keys, block_key_span(&one->key));
        count++;
    }
    left.multihashes = schema_list_of(&keys, count);
    if (err == ERR_OK && count > 0) /* one that is lost costs a move back */
        (void)ctx_cast(s->ctx, ACTOR_HEAT_TRACKER, &(struct msg){.kind = MSG_TIER_LEFT, .fields = &left});
    buf_release(&keys);
}

/* One that nobody waits for ends as soon as the store has none of its operations. */
static bool is_over(const struct storage_move *move)
{
    return move->left == 0 || (move->cancelled && move->promoting == 0);
}

static void go_on(struct storage_state *s, struct storage_move *move)
{
    size_t room = move->promoting < PROMOTIONS_MAX ? PROMOTIONS_MAX - move->promoting : 0;
    for (size_t i = 0; !move->cancelled && i < move->count; i++) {
        struct moving *one = &move->blocks[i];
        if (one->err != ERR_AGAIN)
            continue;
        if (move->cold) {
            look(s, one);
        } else if (!one->tried && room > 0) {
            promote(s, one);
            room--;
        }
    }
}

void storage_moves_look(struct storage_state *s)
{
    for (struct storage_move **at = &s->moves; *at != NULL;) {
        struct storage_move *move = *at;
        go_on(s, move);
        if (!is_over(move)) {
            at = &move->next;
            continue;
        }
        if (move->cold)
            tell_tracker(s, move);
        if (!move->cancelled)
            answer(s, move);
        *at = move->next;
        free(move);
    }
}

static enum err name_blocks(struct storage_move *move, const struct schema_list *cids)
{
    size_t position = 0;
    struct span bytes;
    for (size_t i = 0; schema_list_next_bytes(cids, &position, &bytes); i++) {
        struct moving *one = &move->blocks[i];
        struct cid cid;
        bool inlined = false;
        enum err err = request_parse_cid(bytes, &cid, &one->key, &inlined);
        if (err != ERR_OK)
            return err;
        one->move = move;
        one->err = inlined ? ERR_OK : ERR_AGAIN; /* the CID itself is everywhere */
        move->left += !inlined;
    }
    return ERR_OK;
}

enum err storage_tier_move(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_tier_move *m = msg->fields;
    size_t open = 0;
    for (const struct storage_move *move = s->moves; move != NULL; move = move->next)
        open++;
    if (!s->cold)
        return ERR_UNSUPPORTED;
    if (open == MOVES_MAX)
        return ERR_BUSY;
    struct storage_move *move = calloc(1, sizeof(*move) + m->cids.count * sizeof(move->blocks[0]));
    if (move == NULL)
        return ERR_NOMEM;
    move->to = to;
    move->cold = m->cold;
    move->count = m->cids.count;
    enum err err = name_blocks(move, &m->cids);
    if (err != ERR_OK) {
        free(move);
        return err;
    }
    move->next = s->moves;
    s->moves = move;
    return ERR_OK; /* what comes of it is looked at behind the handler */
}

void storage_moves_cancel(struct storage_state *s, struct reply_to call)
{
    for (struct storage_move *move = s->moves; move != NULL; move = move->next)
        move->cancelled = move->cancelled || reply_same(&move->to, &call);
}

void storage_moves_free_all(struct storage_state *s)
{
    while (s->moves != NULL) {
        struct storage_move *move = s->moves;
        s->moves = move->next;
        free(move);
    }
}

/* ---- figures ---- */

enum err storage_tier_stat(struct storage_state *s, struct reply_to to)
{
    struct blockstore_stats stats = blockstore_stats(s->store);
    struct buf ahead;
    uint32_t kinds = 0;
    buf_init(&ahead, AHEAD_BYTES_MAX, NULL);
    enum err err = storage_prefetch_pack(s, &ahead, &kinds);
    struct msg_tier_stat_ok ok = {.disk_blocks = stats.blocks,
                                  .disk_bytes = stats.bytes,
                                  .disk_max = stats.storage_max,
                                  .cold_blocks = stats.cold_blocks,
                                  .cold_bytes = stats.cold_bytes,
                                  .cold_packs = stats.cold_packs,
                                  .waiting = stats.cold_waiting,
                                  .demoted_bytes = stats.demoted_bytes,
                                  .promoted_bytes = stats.promoted_bytes,
                                  .pressure = stats.pressure,
                                  .ahead = schema_list_of(&ahead, kinds)};
    if (err == ERR_OK)
        ctx_reply(s->ctx, to, &(struct msg){.kind = MSG_TIER_STAT_OK, .fields = &ok});
    buf_release(&ahead);
    return err;
}
