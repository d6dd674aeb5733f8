/* SPDX-License-Identifier: MIT */
/* What the store asks of its cold tier, carried out by calls to cold_store: one call for each operation, its answer handed back. */
#include <stdio.h>
#include <stdlib.h>

#include "actors/tiered_storage/request.h"
#include "actors/tree.h"
#include "schemas/messages.h"

enum { COLD_PAGE_BYTES = 192 * 1024 };

/* An operation that cold_store has. */
struct storage_cold {
    struct storage_cold *next;
    struct store_cold *op;
    uint64_t tag;
};

/* Calls with what the operation gives. A block of its own goes as the tail. */
static enum err ask(struct storage_state *s, const struct store_cold *op, uint64_t tag)
{
    const struct cold_place *place = &op->place;
    struct span multihash = block_key_span(&place->key);
    struct msg_cold_read read = {.pack = place->pack,
                                 .offset = place->offset,
                                 .stored = place->stored,
                                 .size = place->size,
                                 .codec = place->codec,
                                 .multihash = multihash};
    struct msg_cold_begin begin = {.pack = op->pack};
    struct msg_cold_add add = {.pack = op->pack, .codec = place->codec, .multihash = multihash};
    struct msg_cold_end end = {.pack = op->pack};
    struct msg_cold_abandon abandon = {.pack = op->pack};
    struct msg_cold_remove remove = {.pack = op->pack};
    struct msg_cold_sweep sweep = {0};
    struct msg_cold_index index = {.pack = op->pack, .from = op->from};
    struct msg_cold_check check = {.pack = op->pack};
    struct msg_cold_packs packs = {.after = op->pack};
    struct msg_cold_claim claim = {.mark = span_of(op->mark, sizeof(op->mark)), .adopt = op->adopt};
    const struct {
        uint16_t kind;
        const void *fields;
    } messages[] = {
        [STORE_COLD_READ] = {MSG_COLD_READ, &read},
        [STORE_COLD_BEGIN] = {MSG_COLD_BEGIN, &begin},
        [STORE_COLD_ADD] = {MSG_COLD_ADD, &add},
        [STORE_COLD_END] = {MSG_COLD_END, &end},
        [STORE_COLD_ABANDON] = {MSG_COLD_ABANDON, &abandon},
        [STORE_COLD_REMOVE] = {MSG_COLD_REMOVE, &remove},
        [STORE_COLD_SWEEP] = {MSG_COLD_SWEEP, &sweep},
        [STORE_COLD_INDEX] = {MSG_COLD_INDEX, &index},
        [STORE_COLD_PACKS] = {MSG_COLD_PACKS, &packs},
        [STORE_COLD_CHECK] = {MSG_COLD_CHECK, &check},
        [STORE_COLD_CLAIM] = {MSG_COLD_CLAIM, &claim},
    };
    struct msg msg = {.kind = messages[op->kind].kind,
                      .fields = messages[op->kind].fields,
                      .tail = op->kind == STORE_COLD_ADD ? op->ref : NULL};
    struct call_opts opts = {.timeout_ns = ctx_left(s->ctx, op->deadline_ns)};
    if (op->kind == STORE_COLD_INDEX || op->kind == STORE_COLD_PACKS)
        opts.reply_bytes_max = COLD_PAGE_BYTES;
    return opts.timeout_ns == 0 ? ERR_UNAVAILABLE : ctx_call(s->ctx, ACTOR_COLD_STORE, &msg, opts, tag);
}

/* False when nothing can be asked at the moment. */
static bool start(struct storage_state *s, struct store_cold *op)
{
    struct storage_cold *cold = malloc(sizeof(*cold));
    enum err err = ERR_NOMEM;
    if (cold != NULL) {
        *cold = (struct storage_cold){.next = s->colds, .op = op, .tag = ++s->cold_tag};
        err = ask(s, op, cold->tag);
    }
    if (err == ERR_OK) {
        s->colds = cold;
        return true;
    }
    free(cold);
    blockstore_cold_done(s->store, op, err == ERR_BUSY ? ERR_BUSY : ERR_UNAVAILABLE);
    return err != ERR_BUSY;
}

void storage_cold_start(struct storage_state *s)
{
    struct store_cold *op;
    ctx_detach(s->ctx); /* others wait for it than whose call this turn began with */
    while ((op = blockstore_next_cold(s->store)) != NULL) {
        if (!start(s, op))
            break;
    }
}

/* ---- answers ---- */

static enum err take_index(struct store_cold *op, const struct msg_cold_listing *m)
{
    struct item_cold_record item;
    size_t position = 0;
    op->count = 0;
    op->next = m->next;
    while (schema_list_next_map(&m->records, &schema_item_cold_record, &position, &item)) {
        if (op->count == STORE_COLD_PAGE)
            return ERR_TOO_LARGE;
        struct cold_place *place = &op->places[op->count++];
        *place = (struct cold_place){.pack = op->pack,
                                     .offset = (uint32_t)item.offset,
                                     .stored = (uint32_t)item.stored,
                                     .size = (uint32_t)item.size,
                                     .codec = (uint32_t)item.codec};
        enum err err = block_key_of_span(item.multihash, &place->key);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err take_packs(struct store_cold *op, const struct msg_cold_pack_list *m)
{
    struct item_cold_pack item;
    size_t position = 0;
    op->count = 0;
    op->next = m->next;
    while (op->count < STORE_COLD_PAGE && schema_list_next_map(&m->packs, &schema_item_cold_pack, &position, &item))
        op->packs[op->count++] = (struct store_pack){.pack = item.pack, .bytes = item.bytes};
    return ERR_OK;
}

static enum err take(struct store_cold *op, const struct msg *msg)
{
    const void *fields = msg->fields;
    switch (msg->kind) {
    case MSG_COLD_BLOCK:
        op->ref = block_ref_copy(block_ref_span(msg->tail), NULL); /* the store's alone, and charged by it */
        return op->ref == NULL ? ERR_NOMEM : ERR_OK;
    case MSG_COLD_ADDED:
        op->place.pack = op->pack;
        op->place.offset = (uint32_t)((const struct msg_cold_added *)fields)->offset;
        op->place.stored = (uint32_t)((const struct msg_cold_added *)fields)->stored;
        return ERR_OK;
    case MSG_COLD_ENDED:
        op->bytes = ((const struct msg_cold_ended *)fields)->bytes;
        op->records = (uint32_t)((const struct msg_cold_ended *)fields)->records;
        return ERR_OK;
    case MSG_COLD_CLAIMED: {
        const struct msg_cold_claimed *m = fields;
        (void)snprintf(op->kind_name, sizeof(op->kind_name), "%.*s", (int)m->kind.len, (const char *)m->kind.data);
        (void)snprintf(op->place_name, sizeof(op->place_name), "%.*s", (int)MIN(m->place.len, sizeof(op->place_name)),
                       (const char *)m->place.data);
        return ERR_OK;
    }
    case MSG_COLD_LISTING:
        return take_index(op, fields);
    case MSG_COLD_PACK_LIST:
        return take_packs(op, fields);
    }
    return ERR_OK;
}

/* A pack that begins, grows or is given up asks the medium nothing yet. */
static void note_why(struct storage_state *s, const struct store_cold *op, enum err err)
{
    bool asked = op->kind != STORE_COLD_BEGIN && op->kind != STORE_COLD_ADD && op->kind != STORE_COLD_ABANDON;
    if (err == ERR_OK && asked)
        s->cold_why[0] = '\0';
    else if (err == ERR_UNAVAILABLE || err == ERR_DENIED)
        (void)snprintf(s->cold_why, sizeof(s->cold_why), "%s",
                       op->why[0] == '\0' ? "the cold tier does not answer" : op->why);
}

void storage_cold_reply(struct storage_state *s, const struct info *info)
{
    struct storage_cold **at = &s->colds;
    while (*at != NULL && (*at)->tag != info->tag)
        at = &(*at)->next;
    struct storage_cold *cold = *at;
    if (cold == NULL)
        return;
    struct store_cold *op = cold->op;
    *at = cold->next;
    free(cold);
    enum err err = info->err == ERR_OK ? take(op, info->msg) : info->err;
    if (info->err != ERR_OK)
        (void)snprintf(op->why, sizeof(op->why), "%s", info->text);
    /* Whatever kept cold_store from answering says nothing about the block. */
    if (err == ERR_TIMEOUT || err == ERR_CANCELLED || err == ERR_CLOSED)
        err = ERR_UNAVAILABLE;
    note_why(s, op, err);
    blockstore_cold_done(s->store, op, err);
}

void storage_cold_give_up(struct storage_state *s, struct store_op *get)
{
    struct store_cold *op = blockstore_give_up(s->store, get);
    struct storage_cold **at = &s->colds;
    if (op == NULL)
        return;
    while ((*at)->op != op)
        at = &(*at)->next;
    struct storage_cold *cold = *at;
    *at = cold->next;
    ctx_cancel_call(s->ctx, cold->tag);
    blockstore_cold_done(s->store, op, ERR_CANCELLED);
    free(cold);
}

void storage_cold_free_all(struct storage_state *s)
{
    while (s->colds != NULL) {
        struct storage_cold *cold = s->colds;
        s->colds = cold->next;
        store_cold_free(cold->op);
        free(cold);
    }
}
