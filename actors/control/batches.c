/* SPDX-License-Identifier: MIT */
/*
 * block get many, block stat many, block put many, block rm many, block has: each block has a result or an error of its own, in the
 * order of the request.
 *
 *      items   |done|done|asked|done|asked|  not asked yet  |
 *                                          ^ next
 *
 * As many calls are under way as the window allows: puts share the store's group and its one sync, removals one transaction. When bytes
 * or memory run out nothing more is asked, and the answer has the results of the items before `next`. A call ends a little before the
 * request does, so that one block that nobody has costs its own result and not those of the others.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/control/operations.h"
#include "schemas/pack.h"

enum {
    GET_WINDOW = 8,
    ANSWER_DATA_BYTES = DATA_BYTES_MAX,
    ANSWER_ROW_BYTES = 640, /* a CID and a sentence */
    GIVEN_CID_MAX = 300,    /* of what was given for one: it is named in the result */
    WHOLE_BYTES_MAX = BLOCK_DATA_MAX * 2 + BATCH_BLOCKS_MAX * ANSWER_ROW_BYTES,
    HAVE_REPLY_MAX = 16 * 1024,
    SPARE_MS = 200
};

struct batch_item {
    struct cid cid;
    enum err err; /* ERR_AGAIN: not known yet */
    char *why;    /* the sentence of an error, NULL = the error's own */
    uint64_t size;
    bool existed;
    bool elsewhere;          /* its size: it is not stored here */
    struct block_ref *block; /* on its way to the store, or as it came */
};

struct batch_work {
    struct batch_item *items;
    uint32_t count;
    uint32_t next;                      /* the first that was not asked for */
    uint32_t asked[CONVERSATION_CALLS]; /* the item of each call */
    uint64_t busy;                      /* one bit per call under way */
    size_t position;                    /* in the list of blocks to be stored */
    uint64_t bytes;                     /* of blocks that came */
    struct account *account;            /* the items are charged to it; may be NULL */
};

static const struct schema_list *cids_of(const struct conversation *v)
{
    if (v->op->id == OP_BLOCK_PUT_MANY)
        return &((const struct op_block_put_many *)(const void *)v->args)->cid;
    return (const struct schema_list *)(const void *)v->args; /* the first field of all others */
}

/* ---- the items ---- */

static void note_error(struct batch_item *item, enum err err, const char *why)
{
    free(item->why);
    item->why = why != NULL && why[0] != '\0' ? strndup(why, WHY_BYTES) : NULL;
    item->err = err;
}

static struct batch_work *work_new(struct control *c, uint32_t count)
{
    struct budget *budget = ctx_budget(c->ctx);
    struct account *account = budget == NULL ? NULL : &budget->accounts[ACCOUNT_TABLES];
    uint64_t bytes = sizeof(struct batch_item) * (uint64_t)count;
    if (account != NULL && !account_take(account, bytes))
        return NULL;
    struct batch_work *work = calloc(1, sizeof(*work));
    struct batch_item *items = calloc(count, sizeof(*items));
    if (work == NULL || items == NULL) {
        if (account != NULL)
            account_give(account, bytes);
        free(work);
        free(items);
        return NULL;
    }
    *work = (struct batch_work){.items = items, .count = count, .account = account};
    for (uint32_t i = 0; i < count; i++)
        items[i].err = ERR_AGAIN;
    return work;
}

void batch_end(struct control *c, struct conversation *v)
{
    (void)c;
    struct batch_work *work = v->work;
    if (work == NULL)
        return;
    for (uint32_t i = 0; i < work->count; i++) {
        free(work->items[i].why);
        block_ref_unref(work->items[i].block);
    }
    if (work->account != NULL)
        account_give(work->account, sizeof(*work->items) * (uint64_t)work->count);
    free(work->items);
    free(work);
    v->work = NULL;
}

/* A name that cannot be understood is the error of its item, not of the request. */
static void name_items(struct conversation *v, struct batch_work *work)
{
    size_t position = 0;
    struct span text;
    for (uint32_t i = 0; i < work->count && schema_list_next_bytes(cids_of(v), &position, &text); i++) {
        struct batch_item *item = &work->items[i];
        enum err err = conversation_cid(v, text, &item->cid);
        if (err == ERR_OK && multihash_verify(&item->cid.hash, (struct span){0}) == ERR_UNSUPPORTED)
            err = conversation_error(v, ERR_UNSUPPORTED, "its hash function or the length of its digest is unknown");
        if (err != ERR_OK)
            note_error(item, err, v->why);
    }
    v->why[0] = '\0';
}

/* The blocks' CIDs, made here or checked against what they shall hash to. */
static enum err sum_items(struct conversation *v, struct batch_work *work)
{
    const struct op_block_put_many *args = (const void *)v->args;
    size_t position = 0;
    struct span data;
    if (args->cid.count != 0 && args->cid.count != args->data.count)
        return conversation_error(v, ERR_INVALID, "cid has %u items and data has %u: one for each, or none",
                                  args->cid.count, args->data.count);
    if (args->cid.count > 0)
        name_items(v, work);
    for (uint32_t i = 0; i < work->count && schema_list_next_bytes(&args->data, &position, &data); i++) {
        struct batch_item *item = &work->items[i];
        bool named = args->cid.count > 0;
        enum err err = named ? ERR_OK : block_cid_of(v, args->cid_codec, args->mhtype, data, &item->cid);
        if (err != ERR_OK)
            return err; /* the codec or the hash function: of all of them */
        if (named && item->err == ERR_AGAIN && multihash_verify(&item->cid.hash, data) != ERR_OK)
            note_error(item, ERR_CORRUPT, "the block does not hash to it");
        item->size = data.len;
    }
    return ERR_OK;
}

/* ---- the answer ---- */

static void pack_item(struct pack *p, const struct conversation *v, const struct batch_item *item, struct span name)
{
    bool failed = item->err != ERR_OK && !(v->op->id == OP_BLOCK_HAS && item->err == ERR_NOT_FOUND);
    bool has = v->op->id == OP_BLOCK_HAS;
    bool put = v->op->id == OP_BLOCK_PUT_MANY;
    bool get = v->op->id == OP_BLOCK_GET_MANY;
    size_t where = pack_map_open(p);
    uint32_t pairs = 1;
    pack_pair_span(p, "cid", name);
    if (failed) {
        pack_text(p, "error");
        pack_map(p, 2);
        pack_pair_text(p, "code", control_code_name(control_code_from_err(item->err)));
        pack_pair_text(p, "message", item->why != NULL ? item->why : err_text(item->err));
        pack_count(p, where, 2);
        return;
    }
    if (has) {
        pack_pair_bool(p, "stored", item->err == ERR_OK);
        pairs++;
    }
    if (get) {
        pack_text(p, "data");
        pack_bytes(p, block_ref_span(item->block));
        pairs++;
    } else if (v->op->id != OP_BLOCK_RM_MANY && item->err == ERR_OK) {
        pack_pair_u64(p, "size", item->size);
        pairs++;
    }
    if (put) {
        pack_pair_bool(p, "existed", item->existed);
        pairs++;
    }
    pack_count(p, where, pairs);
}

/* The first items that fit: one at least. Returns how many. */
static uint32_t pack_items(struct pack *p, const struct conversation *v, const struct batch_work *work)
{
    const struct schema_list *given = cids_of(v);
    size_t position = 0;
    uint64_t bytes = 0;
    uint32_t packed = 0;
    for (; packed < work->next; packed++) {
        const struct batch_item *item = &work->items[packed];
        char text[CID_TEXT_MAX];
        struct span name = {0};
        bytes += block_ref_span(item->block).len;
        if (packed > 0 && bytes > ANSWER_DATA_BYTES)
            break;
        if (given->count == 0 || !schema_list_next_bytes(given, &position, &name)) {
            cid_text(&item->cid, text);
            name = span_text(text);
        }
        pack_item(p, v, item, span_first(name, GIVEN_CID_MAX));
    }
    return packed;
}

static enum err finish(struct control *c, struct conversation *v)
{
    const struct batch_work *work = v->work;
    struct buf result;
    buf_init(&result, WHOLE_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    bool whole = v->op->id == OP_BLOCK_HAS;
    pack_map(&p, whole ? 1 : 2);
    pack_text(&p, "blocks");
    size_t where = pack_array_open(&p);
    uint32_t packed = pack_items(&p, v, work);
    pack_count(&p, where, packed);
    if (!whole)
        pack_pair_bool(&p, "more", packed < work->count);
    enum err err = pack_end(&p);
    if (err == ERR_OK)
        conversation_finish(c, v, buf_span(&result));
    buf_release(&result);
    return err;
}

/* ---- asking ---- */

static enum err send_item(struct control *c, struct conversation *v, const struct batch_item *item, unsigned sub)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct span cid = span_of(bytes, cid_encode(&item->cid, bytes));
    if (v->op->id == OP_BLOCK_PUT_MANY) {
        struct msg_block_put put = {.cid = cid};
        return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BLOCK_PUT, &put, item->block, sub, 0);
    }
    if (v->op->id == OP_BLOCK_RM_MANY) {
        const struct op_block_rm_many *args = (const void *)v->args;
        struct msg_block_rm rm = {.cid = cid, .force = args->force};
        return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BLOCK_RM, &rm, NULL, sub, 0);
    }
    if (v->op->id == OP_BLOCK_STAT_MANY && !item->elsewhere)
        return block_ask_size(c, v, &item->cid, sub);
    return block_fetch(c, v, &item->cid, sub);
}

/* Takes the next block that is to be stored. ERR_BUSY: no memory for it now. */
static enum err load_block(struct control *c, struct conversation *v, struct batch_work *work, struct batch_item *item)
{
    const struct op_block_put_many *args = (const void *)v->args;
    size_t position = work->position;
    struct span data = {0};
    if (v->op->id != OP_BLOCK_PUT_MANY || item->block != NULL)
        return ERR_OK;
    (void)schema_list_next_bytes(&args->data, &position, &data);
    if (item->err == ERR_AGAIN) {
        item->block = block_ref_copy(data, c->uploads);
        if (item->block == NULL)
            return ERR_BUSY;
    }
    work->position = position;
    return ERR_OK;
}

/* Asks for as many as the window and the bytes allow. */
static void ask_more(struct control *c, struct conversation *v, struct batch_work *work)
{
    int window = v->op->id == OP_BLOCK_GET_MANY ? GET_WINDOW : CONVERSATION_CALLS;
    while (work->next < work->count && work->bytes < ANSWER_DATA_BYTES && __builtin_popcountll(work->busy) < window) {
        struct batch_item *item = &work->items[work->next];
        unsigned sub = work->busy == 0 ? 0 : (unsigned)__builtin_ctzll(~work->busy);
        enum err err = load_block(c, v, work, item);
        if (err == ERR_OK && item->err == ERR_AGAIN) {
            err = send_item(c, v, item, sub);
            if (err == ERR_OK) {
                work->asked[sub] = work->next;
                work->busy |= UINT64_C(1) << sub;
            }
        }
        if (err == ERR_BUSY)
            return; /* the next reply comes back here */
        if (err != ERR_OK)
            note_error(item, err, NULL);
        work->next++;
    }
}

static enum err go_on(struct control *c, struct conversation *v)
{
    struct batch_work *work = v->work;
    ask_more(c, v, work);
    if (work->busy != 0)
        return ERR_OK;
    return work->next == 0 ? ERR_BUSY : finish(c, v);
}

enum err batch_start(struct control *c, struct conversation *v)
{
    bool put = v->op->id == OP_BLOCK_PUT_MANY;
    uint32_t count = put ? ((const struct op_block_put_many *)(const void *)v->args)->data.count : cids_of(v)->count;
    struct batch_work *work = work_new(c, count);
    if (work == NULL)
        return ERR_BUSY;
    v->work = work;
    v->number = ++c->next_upload; /* one session: its wants share their peers */
    uint64_t left = ctx_left(c->ctx, v->scope.deadline_ns);
    v->scope.deadline_ns -= MIN(left / 8, SPARE_MS * MS_NS);
    if (put) {
        enum err err = sum_items(v, work);
        if (err != ERR_OK)
            return err;
    } else {
        name_items(v, work);
    }
    return go_on(c, v);
}

enum err batch_again(struct control *c, struct conversation *v, unsigned sub)
{
    struct batch_work *work = v->work;
    struct batch_item *item = &work->items[work->asked[sub]];
    enum err err = send_item(c, v, item, sub);
    if (err == ERR_OK || err == ERR_BUSY)
        return err;
    work->busy &= ~(UINT64_C(1) << sub);
    note_error(item, err, NULL);
    return go_on(c, v);
}

static void take_reply(const struct conversation *v, struct batch_work *work, struct batch_item *item,
                       const struct info *info)
{
    item->err = ERR_OK;
    if (v->op->id == OP_BLOCK_PUT_MANY) {
        item->existed = ((const struct msg_block_put_ok *)info->msg->fields)->existed;
    } else if (v->op->id == OP_BLOCK_STAT_MANY && !item->elsewhere) {
        item->size = ((const struct msg_block_stat_ok *)info->msg->fields)->size;
    } else if (v->op->id != OP_BLOCK_RM_MANY) {
        item->size = block_ref_span(info->msg->tail).len;
        if (v->op->id == OP_BLOCK_GET_MANY && info->msg->tail != NULL)
            item->block = block_ref_ref(info->msg->tail);
        work->bytes += block_ref_span(item->block).len;
    }
}

/* Whose size the store does not know, since it has not the block: the network is asked. */
static bool ask_elsewhere(struct control *c, struct conversation *v, struct batch_item *item, unsigned sub,
                          enum err err)
{
    if (v->op->id != OP_BLOCK_STAT_MANY || item->elsewhere || err != ERR_NOT_FOUND || conversation_is_offline(v))
        return false;
    item->elsewhere = true;
    return send_item(c, v, item, sub) == ERR_OK;
}

enum err batch_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    struct batch_work *work = v->work;
    struct batch_item *item = &work->items[work->asked[sub]];
    if (ask_elsewhere(c, v, item, sub, info->err))
        return ERR_OK;
    work->busy &= ~(UINT64_C(1) << sub);
    if (v->op->id == OP_BLOCK_PUT_MANY) {
        block_ref_unref(item->block);
        item->block = NULL;
    }
    if (info->err == ERR_OK)
        take_reply(v, work, item, info);
    else
        note_error(item, info->err, info->text);
    return go_on(c, v);
}

/* ---- block has: one question about all ---- */

enum err block_has_start(struct control *c, struct conversation *v)
{
    struct batch_work *work = work_new(c, cids_of(v)->count);
    if (work == NULL)
        return ERR_BUSY;
    v->work = work;
    name_items(v, work);
    struct buf cids;
    uint32_t asked = 0;
    enum err err = ERR_OK;
    buf_init(&cids, (size_t)BATCH_BLOCKS_MAX * (CID_BYTES_MAX + 8), NULL);
    for (uint32_t i = 0; i < work->count && err == ERR_OK; i++) {
        uint8_t bytes[CID_BYTES_MAX];
        if (work->items[i].err != ERR_AGAIN)
            continue;
        err = schema_list_add_bytes(&cids, span_of(bytes, cid_encode(&work->items[i].cid, bytes)));
        asked++;
    }
    work->next = work->count;
    struct msg_block_has ask = {.cids = schema_list_of(&cids, asked), .keep = true};
    if (err == ERR_OK && asked == 0)
        err = finish(c, v);
    else if (err == ERR_OK)
        err = conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BLOCK_HAS, &ask, NULL, 0, HAVE_REPLY_MAX);
    buf_release(&cids);
    return err;
}

enum err block_has_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    (void)sub;
    if (info->err != ERR_OK)
        return info->err;
    const struct msg_block_have *have = info->msg->fields;
    struct batch_work *work = v->work;
    size_t position = 0;
    uint64_t size = 0;
    for (uint32_t i = 0; i < work->count; i++) {
        struct batch_item *item = &work->items[i];
        if (item->err != ERR_AGAIN || !schema_list_next_u64(&have->sizes, &position, &size))
            continue;
        item->err = size == 0 ? ERR_NOT_FOUND : ERR_OK;
        item->size = size == 0 ? 0 : size - 1;
    }
    return finish(c, v);
}
