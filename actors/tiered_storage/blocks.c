/* SPDX-License-Identifier: MIT */
/*
 * Calls about blocks: put, get, has, stat. An identity CID carries its bytes: it is answered here and never stored.
 */
#include "actors/tiered_storage/request.h"
#include "actors/tree.h"
#include "schemas/messages.h"

enum { HAS_TOGETHER = 64 };

static void put_done(struct store_op *op, enum err err)
{
    struct request *r = CONTAINER_OF(op, struct request, op);
    struct msg_block_put_ok ok = {.existed = op->existed};
    if (err == ERR_OK)
        request_reply(r, MSG_BLOCK_PUT_OK, &ok, NULL);
    else
        request_reply_err(r, err);
    request_free(r);
}

static void send_block(const struct request *r, struct block_ref *ref)
{
    struct span cid = span_of(r->cid, r->cid_len);
    struct msg_block block = {.cid = cid, .size = ref->len};
    request_reply(r, MSG_BLOCK, &block, ref);
    storage_tell_access(r->s, cid, r->from == ACTOR_BITSWAP ? 1 : 0, MIN(r->tier, STORAGE_TIER_COLD), ref->len);
}

static void get_done(struct store_op *op, enum err err)
{
    struct request *r = CONTAINER_OF(op, struct request, op);
    if (err == ERR_OK) {
        send_block(r, op->ref);
        storage_prefetch_used(r->s, &op->key, op->codec, block_ref_span(op->ref));
    } else {
        request_reply_err(r, err == ERR_NOMEM ? ERR_BUSY : err);
    }
    block_ref_unref(err == ERR_OK ? op->ref : NULL);
    request_free(r);
}

static struct request *new_for(struct storage_state *s, const struct msg *msg, struct reply_to to, struct span cid)
{
    struct request *r = cid.len > CID_BYTES_MAX ? NULL : request_new(s, msg, to);
    if (r != NULL) {
        memcpy(r->cid, cid.data, cid.len);
        r->cid_len = (uint8_t)cid.len;
    }
    return r;
}

enum err storage_put(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_block_put *m = msg->fields;
    struct cid cid;
    struct block_key key;
    bool inlined = false;
    enum err err = request_parse_cid(m->cid, &cid, &key, &inlined);
    if (err != ERR_OK)
        return err;
    struct request *r = new_for(s, msg, to, m->cid);
    struct block_ref *bytes = msg->tail != NULL ? block_ref_ref(msg->tail) : block_ref_new(0, NULL);
    if (r == NULL || bytes == NULL) {
        if (r != NULL)
            request_free(r);
        block_ref_unref(bytes);
        return ERR_NOMEM;
    }
    r->op = (struct store_op){.done = put_done, .codec = cid.codec, .existed = true};
    memcpy(r->op.cid, r->cid, r->cid_len);
    r->op.cid_len = r->cid_len;
    if (inlined) {
        put_done(&r->op, ERR_OK);
    } else {
        r->op.key = key;
        blockstore_put(s->store, &r->op, bytes);
    }
    block_ref_unref(bytes);
    return ERR_OK;
}

/* Answers with a block that was read ahead; false: it was not. */
static bool get_ahead(struct request *r)
{
    struct block_ref *ref = r->tier == STORAGE_TIER_NONE ? NULL : storage_prefetch_take(r->s, &r->op.key);
    if (ref == NULL)
        return false;
    r->op.ref = ref;
    get_done(&r->op, ERR_OK);
    return true;
}

static void get_inline(struct request *r, const struct cid *cid)
{
    struct block_ref *ref = block_ref_copy(span_of(cid->hash.digest, cid->hash.len), NULL);
    r->op.ref = ref;
    get_done(&r->op, ref == NULL ? ERR_NOMEM : ERR_OK);
}

enum err storage_get(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_block_get *m = msg->fields;
    struct cid cid;
    struct block_key key;
    bool inlined = false;
    enum err err = request_parse_cid(m->cid, &cid, &key, &inlined);
    if (err != ERR_OK)
        return err;
    struct request *r = new_for(s, msg, to, m->cid);
    if (r == NULL)
        return ERR_NOMEM;
    r->op = (struct store_op){.done = get_done};
    if (inlined) {
        get_inline(r, &cid);
    } else {
        r->op.key = key;
        if (m->keep)
            blockstore_keep(s->store, &key);
        r->op.codec = cid.codec;
        r->tier = storage_tier_of(s, &key);
        if (!get_ahead(r))
            blockstore_get(s->store, &r->op);
    }
    return ERR_OK;
}

static enum err size_of(struct storage_state *s, struct span bytes, uint64_t *ret_size, const char **ret_tier)
{
    struct cid cid;
    struct block_key key;
    bool inlined = false;
    enum err err = request_parse_cid(bytes, &cid, &key, &inlined);
    if (err != ERR_OK)
        return err;
    if (!inlined)
        return blockstore_has(s->store, &key, ret_size, ret_tier);
    *ret_size = cid.hash.len;
    *ret_tier = "memory";
    return ERR_OK;
}

/* Looks up the next CIDs of the list, HAS_TOGETHER of them at once, and adds their sizes. ERR_CLOSED: there were none. */
static enum err add_sizes(struct storage_state *s, const struct msg_block_has *m, size_t *position, struct buf *sizes,
                          uint32_t *count)
{
    struct block_key keys[HAS_TOGETHER];
    uint64_t found[HAS_TOGETHER];
    uint64_t known[HAS_TOGETHER]; /* of those that are not looked up; UINT64_MAX: it is */
    size_t asked = 0;
    size_t n = 0;
    struct span bytes;
    for (; n < HAS_TOGETHER && schema_list_next_bytes(&m->cids, position, &bytes); n++) {
        struct cid cid;
        bool inlined = false;
        enum err err = request_parse_cid(bytes, &cid, &keys[asked], &inlined);
        bool looked_up = err == ERR_OK && !inlined;
        known[n] = looked_up ? UINT64_MAX : err == ERR_OK ? (uint64_t)cid.hash.len + 1 : 0;
        if (looked_up && m->keep)
            blockstore_keep(s->store, &keys[asked]);
        asked += looked_up;
    }
    blockstore_has_many(s->store, keys, asked, m->readable, found);
    enum err err = ERR_OK;
    for (size_t i = 0, at = 0; i < n && err == ERR_OK; i++)
        err = schema_list_add_u64(sizes, known[i] == UINT64_MAX ? found[at++] : known[i]);
    *count += (uint32_t)n;
    return n == 0 && err == ERR_OK ? ERR_CLOSED : err;
}

enum err storage_has(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    struct buf sizes;
    size_t position = 0;
    uint32_t count = 0;
    enum err err = ERR_OK;
    buf_init(&sizes, (size_t)BATCH_COUNT_MAX * 10, NULL);
    while (err == ERR_OK)
        err = add_sizes(s, msg->fields, &position, &sizes, &count);
    struct msg_block_have have = {.sizes = schema_list_of(&sizes, count)};
    if (err == ERR_CLOSED)
        ctx_reply(s->ctx, to, &(struct msg){.kind = MSG_BLOCK_HAVE, .fields = &have});
    buf_release(&sizes);
    return err == ERR_CLOSED ? ERR_OK : err;
}

enum err storage_stat(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_block_stat *m = msg->fields;
    struct msg_block_stat_ok ok = {0};
    const char *tier = "";
    enum err err = size_of(s, m->cid, &ok.size, &tier);
    if (err != ERR_OK)
        return err;
    ok.tier = span_text(tier);
    ctx_reply(s->ctx, to, &(struct msg){.kind = MSG_BLOCK_STAT_OK, .fields = &ok});
    return ERR_OK;
}
