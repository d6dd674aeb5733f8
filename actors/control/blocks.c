/* SPDX-License-Identifier: MIT */
/*
 * block get, put, stat; refs; pin add. Blocks come through bitswap, which has what is stored here at once and asks the network
 * for the rest. `pin add` walks the whole graph with a bounded window and pins only what is complete.
 */
#include <stdlib.h>

#include "actors/control/operations.h"
#include "base/table.h"
#include "schemas/pack.h"
#include "wire/dag_links.h"

enum { BLOCK_RESULT_MAX = 2 * 1024 * 1024 + 4096, REFS_MAX = 65536, SUB_ONLY = 0, SUB_PIN = 63 };
enum { REFS_RESULT_MAX = 6 * 1024 * 1024, WALK_WINDOW = 16, WALK_NODES_MAX = 1000000 };

enum err block_fetch(struct control *c, struct conversation *v, const struct cid *cid, unsigned sub)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct span key = span_of(bytes, cid_encode(cid, bytes));
    struct msg_fetch ask = {.cid = key, .session = v->number};
    struct msg_block_get look = {.cid = key};
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

static enum err finish_packed(struct control *c, struct conversation *v, struct buf *result, struct pack *p)
{
    enum err err = pack_end(p);
    if (err == ERR_OK)
        conversation_finish(c, v, buf_span(result));
    buf_release(result);
    return err;
}

/* A block whose hash cannot be computed here can never be told from another: refused before anybody is asked. */
static enum err start_fetch(struct control *c, struct conversation *v, struct span text)
{
    enum err err = conversation_cid(v, text, &v->cid);
    if (err == ERR_OK && multihash_verify(&v->cid.hash, (struct span){0}) == ERR_UNSUPPORTED)
        return conversation_error(v, ERR_UNSUPPORTED, "%.*s: its hash function or the length of its digest is unknown",
                                  (int)MIN(text.len, (size_t)100), (const char *)text.data);
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
    return finish_packed(c, v, &result, &p);
}

enum err block_stat_start(struct control *c, struct conversation *v)
{
    return start_fetch(c, v, ((const struct op_block_stat *)(const void *)v->args)->cid);
}

static enum err finish_cid_size(struct control *c, struct conversation *v, uint64_t size)
{
    struct buf result;
    buf_init(&result, 4096, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 2);
    pack_pair_cid(&p, "cid", &v->cid);
    pack_pair_u64(&p, "size", size);
    return finish_packed(c, v, &result, &p);
}

enum err block_stat_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    (void)sub;
    struct span bytes = {0};
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

static enum err pin(struct control *c, struct conversation *v, bool recursive, struct span name)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct msg_pin_add m = {.cid = span_of(bytes, cid_encode(&v->cid, bytes)), .recursive = recursive, .name = name};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_PIN_ADD, &m, NULL, SUB_PIN, 0);
}

static enum err send_put(struct control *c, struct conversation *v)
{
    const struct op_block_put *args = (const void *)v->args;
    uint8_t bytes[CID_BYTES_MAX];
    struct block_ref *block = block_ref_copy(args->data, NULL);
    if (block == NULL)
        return ERR_NOMEM;
    struct msg_block_put m = {.cid = span_of(bytes, cid_encode(&v->cid, bytes)), .pin_hint = args->pin};
    enum err err = conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BLOCK_PUT, &m, block, SUB_ONLY, 0);
    block_ref_unref(block);
    return err;
}

enum err block_put_start(struct control *c, struct conversation *v)
{
    const struct op_block_put *args = (const void *)v->args;
    enum err err = block_cid_of(v, args->cid_codec, args->mhtype, args->data, &v->cid);
    return err == ERR_OK ? send_put(c, v) : err;
}

enum err block_put_again(struct control *c, struct conversation *v, unsigned sub)
{
    return sub == SUB_ONLY ? send_put(c, v) : pin(c, v, true, (struct span){0});
}

enum err block_put_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    const struct op_block_put *args = (const void *)v->args;
    if (info->err != ERR_OK)
        return info->err;
    if (sub == SUB_ONLY && args->pin)
        return pin(c, v, true, (struct span){0});
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
        return finish_packed(c, v, &result, &p);
    buf_release(&result);
    return conversation_error(v, err, "the block's links cannot be read: %s", err_text(err));
}

/* ---- pin add ---- */

/* The walk: a stack of CIDs to fetch, those in flight by sub, and the set of those seen. */
struct pin_work {
    struct buf stack; /* struct cid after struct cid */
    struct table seen;
    struct cid in_flight[WALK_WINDOW];
    bool busy[WALK_WINDOW];
    unsigned flying;
};

static enum err push_unseen(void *arg, const struct cid *cid, struct span name)
{
    struct pin_work *work = arg;
    (void)name;
    uint8_t bytes[CID_BYTES_MAX];
    struct span key = span_of(bytes, cid_encode(cid, bytes));
    if (table_get(&work->seen, key) != NULL)
        return ERR_OK;
    enum err err = table_put(&work->seen, key, work, NULL);
    if (err == ERR_OK && cid->hash.code == MULTIHASH_IDENTITY) /* the CID carries its block, at most 128 bytes */
        return dag_links_each(cid->codec, span_of(cid->hash.digest, cid->hash.len), push_unseen, work);
    return err == ERR_OK ? buf_append(&work->stack, cid, sizeof(*cid)) : err;
}

static enum err send_fetches(struct control *c, struct conversation *v, struct pin_work *work)
{
    for (unsigned i = 0; i < WALK_WINDOW && work->stack.len > 0; i++) {
        if (work->busy[i])
            continue;
        memcpy(&work->in_flight[i], work->stack.data + work->stack.len - sizeof(struct cid), sizeof(struct cid));
        enum err err = block_fetch(c, v, &work->in_flight[i], i);
        if (err == ERR_BUSY && work->flying > 0)
            return ERR_OK; /* the next reply comes back here */
        if (err != ERR_OK)
            return err;
        work->stack.len -= sizeof(struct cid);
        work->busy[i] = true;
        work->flying++;
    }
    return ERR_OK;
}

enum err pin_add_start(struct control *c, struct conversation *v)
{
    const struct op_pin_add *args = (const void *)v->args;
    enum err err = conversation_cid(v, args->path, &v->cid);
    if (err != ERR_OK)
        return err;
    struct pin_work *work = calloc(1, sizeof(*work));
    if (work == NULL)
        return ERR_NOMEM;
    struct budget *budget = ctx_budget(c->ctx);
    struct account *account = budget == NULL ? NULL : &budget->accounts[ACCOUNT_TABLES];
    buf_init(&work->stack, WALK_NODES_MAX * sizeof(struct cid), account);
    table_init(&work->seen, WALK_NODES_MAX, account);
    v->work = work;
    v->number = ++c->next_upload; /* one session: its wants share their peers */
    err = push_unseen(work, &v->cid, (struct span){0});
    if (err == ERR_OK && work->stack.len == 0)
        return pin(c, v, args->recursive, args->name);
    return err == ERR_OK ? send_fetches(c, v, work) : err;
}

static enum err finish_pin(struct control *c, struct conversation *v)
{
    char text[CID_TEXT_MAX];
    cid_text(&v->cid, text);
    struct buf result;
    buf_init(&result, 4096, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 1);
    pack_text(&p, "pins");
    pack_array(&p, 1);
    pack_text(&p, text);
    return finish_packed(c, v, &result, &p);
}

enum err pin_add_again(struct control *c, struct conversation *v, unsigned sub)
{
    const struct op_pin_add *args = (const void *)v->args;
    const struct pin_work *work = v->work;
    return sub == SUB_PIN ? pin(c, v, args->recursive, args->name) : block_fetch(c, v, &work->in_flight[sub], sub);
}

enum err pin_add_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    const struct op_pin_add *args = (const void *)v->args;
    struct pin_work *work = v->work;
    struct span bytes = {0};
    enum err err = fetched(info, &bytes);
    if (err != ERR_OK)
        return err;
    if (sub == SUB_PIN)
        return finish_pin(c, v);
    work->busy[sub] = false;
    work->flying--;
    if (args->recursive) {
        struct cid cid = work->in_flight[sub];
        err = dag_links_each(cid.codec, bytes, push_unseen, work);
        if (err != ERR_OK)
            return conversation_error(v, err, "the graph cannot be walked: %s", err_text(err));
    }
    err = send_fetches(c, v, work);
    if (err != ERR_OK || work->flying > 0)
        return err;
    return pin(c, v, args->recursive, args->name);
}

void pin_add_end(struct control *c, struct conversation *v)
{
    (void)c;
    struct pin_work *work = v->work;
    if (work == NULL)
        return;
    buf_release(&work->stack);
    table_release(&work->seen);
    free(work);
    v->work = NULL;
}
