/* SPDX-License-Identifier: MIT */
/*
 * Questions that the serving engine has for storage: is it stored, give me the block.
 */
#include <stdlib.h>

#include "actors/bitswap/node.h"
#include "actors/tree.h"

enum { STORAGE_TIMEOUT_S = 30, LIST_BYTES = NODE_LOOKUP_BATCH * (CID_BYTES_MAX + 8) };

/* ---- lookups ---- */

static enum err ask(struct node *n, struct op *op)
{
    struct buf items;
    enum err err = ERR_OK;
    buf_init(&items, LIST_BYTES, NULL);
    for (size_t i = 0; err == ERR_OK && i < op->count; i++) {
        uint8_t key[CID_BYTES_MAX];
        err = schema_list_add_bytes(&items, span_of(key, cid_encode(&op->cids[i], key)));
    }
    if (err == ERR_OK) {
        struct msg_block_has fields = {.cids = schema_list_of(&items, (uint32_t)op->count), .readable = true};
        struct msg msg = {.kind = MSG_BLOCK_HAS, .fields = &fields};
        err = node_call(n, op, ACTOR_TIERED_STORAGE, &msg, STORAGE_TIMEOUT_S * SECOND_NS);
    } else {
        node_op_free(op);
    }
    buf_release(&items);
    return err;
}

/* Storage had no memory or no time, or was being restarted: that says nothing of the block. It is asked again, a little later. */
static bool must_ask_again(struct node *n, enum err err)
{
    if (err != ERR_BUSY && err != ERR_NOMEM && err != ERR_TIMEOUT && err != ERR_UNAVAILABLE && err != ERR_CANCELLED)
        return false;
    n->storage_pause = true;
    return true;
}

/* What cannot be asked at all counts as absent. */
static void lookups_failed(struct node *n, const struct cid *cids, size_t count, enum err err)
{
    bool again = must_ask_again(n, err);
    for (size_t i = 0; i < count; i++) {
        if (again)
            engine_lookup_again(n->engine, &cids[i]);
        else
            engine_looked_up(n->engine, &cids[i], 0);
    }
}

/* Peers hear that it is not here: they ask somebody else, and the protocol knows no other way to say no. */
static bool withholds(const struct node *n, const struct cid *cid)
{
    return !n->serves || denylist_ask_cid(n->denylist, cid) == DENYLIST_DENIED;
}

static bool lookup_batch(struct node *n)
{
    struct cid batch[NODE_LOOKUP_BATCH];
    size_t count = 0;
    while (count < NODE_LOOKUP_BATCH && engine_next_lookup(n->engine, &batch[count])) {
        if (withholds(n, &batch[count]))
            engine_looked_up(n->engine, &batch[count], 0);
        else
            count++;
    }
    if (count == 0)
        return false;
    struct op *op = node_op_new(n, OP_LOOKUP);
    struct cid *cids = op == NULL ? NULL : malloc(count * sizeof(*cids));
    if (cids == NULL) {
        node_op_free(op);
        lookups_failed(n, batch, count, ERR_BUSY);
        return false;
    }
    memcpy(cids, batch, count * sizeof(*cids));
    op->cids = cids;
    op->count = count;
    enum err err = ask(n, op);
    if (err != ERR_OK)
        lookups_failed(n, batch, count, err);
    return err == ERR_OK;
}

void serve_looked_up(struct node *n, const struct op *op, const struct info *info)
{
    if (info->err != ERR_OK || info->msg->kind != MSG_BLOCK_HAVE) {
        lookups_failed(n, op->cids, op->count, info->err != ERR_OK ? info->err : ERR_PROTOCOL);
        return;
    }
    const struct msg_block_have *fields = info->msg->fields;
    size_t position = 0;
    for (size_t i = 0; i < op->count; i++) {
        uint64_t size_plus_1 = 0;
        if (!schema_list_next_u64(&fields->sizes, &position, &size_plus_1))
            size_plus_1 = 0;
        if (size_plus_1 == 0)
            miss_seen(n, &op->cids[i]);
        engine_looked_up(n->engine, &op->cids[i], size_plus_1);
    }
}

/* ---- blocks for peers ---- */

static bool fetch_one(struct node *n)
{
    struct engine_fetch fetch;
    uint8_t key[CID_BYTES_MAX];
    if (!engine_next_fetch(n->engine, &fetch))
        return false;
    if (withholds(n, &fetch.cid)) {
        engine_fetched(n->engine, fetch.peer, &fetch.cid, NULL); /* denied since, or under this CID only */
        return true;
    }
    struct partner *p = engine_peer_owner(fetch.peer);
    struct op *op = node_op_new(n, OP_SERVE);
    enum err err = ERR_BUSY;
    if (op != NULL) {
        op->cid = fetch.cid;
        op->peer = p->id;
        struct msg_block_get fields = {.cid = span_of(key, cid_encode(&fetch.cid, key))};
        struct msg msg = {.kind = MSG_BLOCK_GET, .fields = &fields};
        err = node_call(n, op, ACTOR_TIERED_STORAGE, &msg, STORAGE_TIMEOUT_S * SECOND_NS);
    }
    if (must_ask_again(n, err))
        engine_fetch_again(n->engine, fetch.peer, &fetch.cid);
    else if (err != ERR_OK)
        engine_fetched(n->engine, fetch.peer, &fetch.cid, NULL);
    return err == ERR_OK;
}

void serve_fetched(struct node *n, const struct op *op, const struct info *info)
{
    struct partner *p = partner_find(n, peer_id_span(&op->peer));
    struct block_ref *empty = NULL;
    struct block_ref *block = info->err == ERR_OK ? info->msg->tail : NULL;
    if (p == NULL)
        return;
    if (info->err ==
        ERR_UNAVAILABLE) { /* the medium of a cold block is away; or storage itself, which the next question tells */
        engine_fetch_in_doubt(n->engine, p->engine, &op->cid);
        return;
    }
    if (must_ask_again(n, info->err)) {
        engine_fetch_again(n->engine, p->engine, &op->cid);
        return;
    }
    if (info->err == ERR_OK && block == NULL)
        block = empty = block_ref_new(0, NULL);
    engine_fetched(n->engine, p->engine, &op->cid, block);
    block_ref_unref(empty);
}

void serve_pump(struct node *n)
{
    while (!n->storage_pause && n->op_count[OP_LOOKUP] < NODE_LOOKUPS_MAX && lookup_batch(n))
        ;
    while (!n->storage_pause && n->op_count[OP_SERVE] < NODE_FETCHES_MAX && fetch_one(n))
        ;
}
