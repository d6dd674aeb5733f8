/* SPDX-License-Identifier: MIT */
/*
 * block get, put, stat; refs. Blocks come through bitswap, which has what is stored here at once and asks the network for the rest.
 */
#include <stdlib.h>

#include "actors/control/operations.h"
#include "schemas/pack.h"
#include "wire/dag_links.h"

enum { BLOCK_RESULT_MAX = 2 * 1024 * 1024 + 4096, REFS_MAX = 65536 };
enum { SUB_ONLY = 0, SUB_LEASE = 1, SUB_PIN = 2, SUB_HERE = 3 };
enum { REFS_RESULT_MAX = 6 * 1024 * 1024 };

enum err block_fetch(struct control *c, struct conversation *v, const struct cid *cid, unsigned sub)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct span key = span_of(bytes, cid_encode(cid, bytes));
    struct msg_fetch ask = {.cid = key, .session = v->number};
    struct msg_block_get look = {.cid = key};
    if (control_denies(c, cid))
        return ERR_DENIED;
    if (conversation_is_offline(v))
        return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BLOCK_GET, &look, NULL, sub, 0);
    return conversation_call(c, v, ACTOR_BITSWAP, MSG_FETCH, &ask, NULL, sub, 0);
}

static void pack_pair_cid(struct pack *p, const char *key, const struct cid *cid)
{
    char text[CID_TEXT_MAX];
    cid_text(cid, text);
    pack_pair_text(p, key, text);
}

enum err block_ask_size(struct control *c, struct conversation *v, const struct cid *cid, unsigned sub)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct msg_block_stat ask = {.cid = span_of(bytes, cid_encode(cid, bytes))};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BLOCK_STAT, &ask, NULL, sub, 0);
}

/* A block whose hash cannot be computed here can never be told from another: refused before anybody is asked. */
static enum err name_block(struct conversation *v, struct span text)
{
    enum err err = conversation_cid(v, text, &v->cid);
    if (err == ERR_OK && multihash_verify(&v->cid.hash, (struct span){0}) == ERR_UNSUPPORTED)
        return conversation_error(v, ERR_UNSUPPORTED, "%.*s: its hash function or the length of its digest is unknown",
                                  (int)MIN(text.len, (size_t)100), (const char *)text.data);
    return err;
}

static enum err start_fetch(struct control *c, struct conversation *v, struct span text)
{
    enum err err = name_block(v, text);
    return err == ERR_OK ? block_fetch(c, v, &v->cid, SUB_ONLY) : err;
}

enum err fetch_again(struct control *c, struct conversation *v, unsigned sub)
{
    return block_fetch(c, v, &v->cid, sub);
}

/* The reply to a fetch: ERR_OK with the block's bytes. */
static enum err fetched(const struct info *info, struct span *ret_bytes)
{
    if (info->err != ERR_OK)
        return info->err;
    *ret_bytes = block_ref_span(info->msg->tail);
    return ERR_OK;
}

/* ---- block get, block stat ---- */

enum err block_get_start(struct control *c, struct conversation *v)
{
    return start_fetch(c, v, ((const struct op_block_get *)(const void *)v->args)->cid);
}

enum err block_get_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    (void)sub;
    struct span bytes = {0};
    enum err err = fetched(info, &bytes);
    if (err != ERR_OK)
        return err;
    struct buf result;
    buf_init(&result, BLOCK_RESULT_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 2);
    pack_pair_cid(&p, "cid", &v->cid);
    pack_text(&p, "data");
    pack_bytes(&p, bytes);
    return conversation_finish_packed(c, v, &result, &p);
}

enum err block_stat_start(struct control *c, struct conversation *v)
{
    enum err err = name_block(v, ((const struct op_block_stat *)(const void *)v->args)->cid);
    return err == ERR_OK ? block_ask_size(c, v, &v->cid, SUB_HERE) : err;
}

enum err block_stat_again(struct control *c, struct conversation *v, unsigned sub)
{
    return sub == SUB_HERE ? block_ask_size(c, v, &v->cid, sub) : block_fetch(c, v, &v->cid, sub);
}

static enum err finish_cid_size(struct control *c, struct conversation *v, uint64_t size)
{
    struct buf result;
    buf_init(&result, 4096, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 2);
    pack_pair_cid(&p, "cid", &v->cid);
    pack_pair_u64(&p, "size", size);
    return conversation_finish_packed(c, v, &result, &p);
}

enum err block_stat_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    struct span bytes = {0};
    if (sub == SUB_HERE && info->err == ERR_OK)
        return finish_cid_size(c, v, ((const struct msg_block_stat_ok *)info->msg->fields)->size);
    if (sub == SUB_HERE && info->err == ERR_NOT_FOUND && !conversation_is_offline(v))
        return block_fetch(c, v, &v->cid, SUB_ONLY);
    enum err err = fetched(info, &bytes);
    return err == ERR_OK ? finish_cid_size(c, v, bytes.len) : err;
}

/* ---- block put ---- */

static enum err codec_of(struct conversation *v, struct span name, uint32_t *ret_codec)
{
    static const struct {
        const char *name;
        uint32_t codec;
    } codecs[] = {
        {"raw", CODEC_RAW}, {"dag-pb", CODEC_DAG_PB}, {"dag-cbor", CODEC_DAG_CBOR}, {"dag-json", CODEC_DAG_JSON}};
    for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
        if (span_equal_text(name, codecs[i].name)) {
            *ret_codec = codecs[i].codec;
            return ERR_OK;
        }
    }
    return conversation_error(v, ERR_UNSUPPORTED,
                              "unknown codec \"%.*s\": raw, dag-pb, dag-cbor and dag-json are known", (int)name.len,
                              (const char *)name.data);
}

enum err block_cid_of(struct conversation *v, struct span codec_name, struct span mhtype, struct span data,
                      struct cid *ret_cid)
{
    char name[40] = "";
    uint32_t codec = 0;
    uint32_t hash = 0;
    struct multihash sum;
    enum err err = codec_of(v, codec_name, &codec);
    if (err != ERR_OK)
        return err;
    memcpy(name, mhtype.data, MIN(mhtype.len, sizeof(name) - 1));
    if (multihash_code_of(name, &hash) != ERR_OK || multihash_sum(hash, 0, data, &sum) != ERR_OK)
        return conversation_error(v, ERR_UNSUPPORTED, "unknown hash function \"%s\"", name);
    *ret_cid = cid_v1(codec, &sum);
    return ERR_OK;
}

static enum err pin(struct control *c, struct conversation *v)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct msg_pin_add m = {.cid = span_of(bytes, cid_encode(&v->cid, bytes)), .recursive = true};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_PIN_ADD, &m, NULL, SUB_PIN, 0);
}

/* Until the answer: messages to the store keep their order, so the put comes under it. */
static enum err lease(struct control *c, struct conversation *v)
{
    static const struct msg_lease none = {0};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_LEASE, &none, NULL, SUB_LEASE, 0);
}

static enum err send_put(struct control *c, struct conversation *v)
{
    const struct op_block_put *args = (const void *)v->args;
    uint8_t bytes[CID_BYTES_MAX];
    struct block_ref *block = block_ref_copy(args->data, NULL);
    if (block == NULL)
        return ERR_NOMEM;
    struct msg_block_put m = {.cid = span_of(bytes, cid_encode(&v->cid, bytes))};
    enum err err = conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BLOCK_PUT, &m, block, SUB_ONLY, 0);
    block_ref_unref(block);
    return err;
}

enum err block_put_start(struct control *c, struct conversation *v)
{
    const struct op_block_put *args = (const void *)v->args;
    enum err err = block_cid_of(v, args->cid_codec, args->mhtype, args->data, &v->cid);
    if (err == ERR_OK && args->pin)
        err = lease(c, v);
    return err == ERR_OK ? send_put(c, v) : err;
}

enum err block_put_again(struct control *c, struct conversation *v, unsigned sub)
{
    if (sub == SUB_LEASE)
        return lease(c, v);
    return sub == SUB_ONLY ? send_put(c, v) : pin(c, v);
}

enum err block_put_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    const struct op_block_put *args = (const void *)v->args;
    if (info->err != ERR_OK)
        return info->err;
    if (sub == SUB_ONLY && args->pin)
        return pin(c, v);
    return finish_cid_size(c, v, args->data.len);
}

/* ---- links ---- */

struct ref_rows {
    struct pack *p;
    uint32_t count;
};

static enum err add_ref(void *arg, const struct cid *cid, struct span name)
{
    struct ref_rows *rows = arg;
    char text[CID_TEXT_MAX];
    (void)name;
    cid_text(cid, text);
    if (rows->count == REFS_MAX)
        return ERR_TOO_LARGE;
    pack_text(rows->p, text);
    rows->count++;
    return ERR_OK;
}

static enum err add_name(void *arg, const struct cid *cid, struct span name)
{
    struct ref_rows *rows = arg;
    (void)cid;
    pack_bytes(rows->p, name);
    rows->count++;
    return ERR_OK;
}

enum err refs_start(struct control *c, struct conversation *v)
{
    return start_fetch(c, v, ((const struct op_refs *)(const void *)v->args)->path);
}

enum err refs_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    (void)sub;
    struct span bytes = {0};
    enum err err = fetched(info, &bytes);
    if (err != ERR_OK)
        return err;
    struct buf result;
    buf_init(&result, REFS_RESULT_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 2);
    pack_text(&p, "refs");
    size_t where = pack_array_open(&p);
    struct ref_rows rows = {.p = &p};
    err = dag_links_each(v->cid.codec, bytes, add_ref, &rows);
    pack_count(&p, where, rows.count);
    pack_text(&p, "names");
    where = pack_array_open(&p);
    rows.count = 0;
    if (err == ERR_OK)
        err = dag_links_each(v->cid.codec, bytes, add_name, &rows);
    pack_count(&p, where, rows.count);
    if (err == ERR_OK)
        return conversation_finish_packed(c, v, &result, &p);
    buf_release(&result);
    return conversation_error(v, err, "the block's links cannot be read: %s", err_text(err));
}
