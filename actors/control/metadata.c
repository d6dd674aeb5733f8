/* SPDX-License-Identifier: MIT */
/*
 * metadata put, update, get, rm, query. Values travel as they are in the request's own encoding and are kept as JSON text; the store sees
 * only that.
 */
#include "storage/metadata.h"
#include "actors/control/operations.h"
#include "schemas/json.h"
#include "schemas/pack.h"
#include "schemas/walk.h"

enum { VALUES_BYTES = 64 * 1024, ROWS_REPLY_MAX = 512 * 1024, RESULT_BYTES_MAX = 1024 * 1024 };

static enum err add_pair(struct buf *items, struct span key, struct span value)
{
    struct item_metadata_pair pair = {.key = key, .value = value};
    return schema_list_add_map(items, &schema_item_metadata_pair, &pair);
}

/* The pairs of a packed map. */
static enum err add_map(struct conversation *v, struct span map, struct buf *items, uint32_t *count)
{
    struct walk walk = {.left = map};
    struct walk_token token = {0};
    struct buf text;
    enum err err = map.len == 0 ? ERR_OK : walk_next(&walk, &token);
    buf_init(&text, METADATA_BYTES_MAX, NULL);
    for (uint32_t i = token.count; i > 0 && err == ERR_OK; i--) {
        struct walk_token key;
        struct span value;
        buf_clear(&text);
        err = walk_next(&walk, &key);
        if (err == ERR_OK && (key.type != WALK_TEXT || key.bytes.len == 0 || key.bytes.len > METADATA_KEY_MAX))
            err = conversation_error(v, ERR_INVALID, "a key of metadata is text of 1 to %d bytes", METADATA_KEY_MAX);
        if (err == ERR_OK)
            err = walk_skip(&walk, &value);
        if (err == ERR_OK)
            err = json_from_msgpack(value, &text);
        if (err == ERR_OK)
            err = add_pair(items, key.bytes, buf_span(&text));
        *count += err == ERR_OK;
    }
    buf_release(&text);
    return err;
}

static enum err set(struct control *c, struct conversation *v, struct span map, const struct schema_list *remove,
                    bool replace)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct buf items;
    size_t position = 0;
    struct span key;
    uint32_t count = 0;
    buf_init(&items, VALUES_BYTES, NULL);
    enum err err = conversation_cid(v, *(const struct span *)(const void *)v->args, &v->cid);
    if (err == ERR_OK)
        err = add_map(v, map, &items, &count);
    while (err == ERR_OK && remove != NULL && schema_list_next_bytes(remove, &position, &key)) {
        err = key.len == 0 || key.len > METADATA_KEY_MAX ? ERR_INVALID : add_pair(&items, key, (struct span){0});
        count++;
    }
    if (err == ERR_OK && count > METADATA_KEYS_MAX)
        err = ERR_TOO_LARGE;
    if (err == ERR_OK) {
        struct msg_metadata_set ask = {.cid = span_of(bytes, cid_encode(&v->cid, bytes)),
                                       .pairs = schema_list_of(&items, count),
                                       .replace = replace};
        err = conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_METADATA_SET, &ask, NULL, 0, 0);
    }
    if (err == ERR_TOO_LARGE)
        err = conversation_error(v, err, "metadata has at most %d keys and %d bytes", METADATA_KEYS_MAX,
                                 METADATA_BYTES_MAX);
    buf_release(&items);
    return err;
}

enum err metadata_put_start(struct control *c, struct conversation *v)
{
    return set(c, v, ((const struct op_metadata_put *)(const void *)v->args)->metadata, NULL, true);
}

enum err metadata_update_start(struct control *c, struct conversation *v)
{
    const struct op_metadata_update *args = (const void *)v->args;
    return set(c, v, args->metadata, &args->remove, false);
}

enum err metadata_rm_start(struct control *c, struct conversation *v)
{
    return set(c, v, (struct span){0}, NULL, true);
}

enum err metadata_set_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    (void)sub;
    char text[CID_TEXT_MAX];
    struct buf result;
    if (info->err == ERR_TOO_LARGE)
        return conversation_error(v, info->err, "metadata of one CID has at most %d keys and %d bytes",
                                  METADATA_KEYS_MAX, METADATA_BYTES_MAX);
    if (info->err != ERR_OK)
        return info->err;
    cid_text(&v->cid, text);
    buf_init(&result, 4096, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 1);
    pack_pair_text(&p, "cid", text);
    enum err err = pack_end(&p);
    if (err == ERR_OK)
        conversation_finish(c, v, buf_span(&result));
    buf_release(&result);
    return err;
}

/* ---- get, query ---- */

enum err metadata_get_start(struct control *c, struct conversation *v)
{
    const struct op_metadata_get *args = (const void *)v->args;
    uint8_t bytes[CID_BYTES_MAX];
    enum err err = conversation_cid(v, args->cid, &v->cid);
    if (err != ERR_OK)
        return err;
    struct msg_metadata_find ask = {.cid = span_of(bytes, cid_encode(&v->cid, bytes))};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_METADATA_FIND, &ask, NULL, 0, ROWS_REPLY_MAX);
}

/* JSON as it would be kept; what is none is text. */
static enum err value_text_of(struct span given, struct buf *to)
{
    struct buf packed;
    size_t at = 0;
    buf_init(&packed, METADATA_BYTES_MAX, NULL);
    enum err err = json_to_msgpack(given, &packed, &at);
    err = err == ERR_OK ? json_from_msgpack(buf_span(&packed), to) : json_append_string(given, to);
    buf_release(&packed);
    return err;
}

enum err metadata_query_start(struct control *c, struct conversation *v)
{
    const struct op_metadata_query *args = (const void *)v->args;
    uint8_t bytes[CID_BYTES_MAX];
    struct buf value;
    enum err err = ERR_OK;
    struct msg_metadata_find ask = {.key = args->key, .limit = args->limit, .is_prefix = args->prefix.len > 0};
    if ((args->value.len > 0 || args->prefix.len > 0) && args->key.len == 0)
        return conversation_error(v, ERR_INVALID, "a value or a prefix is that of a key: name it");
    if (args->value.len > 0 && args->prefix.len > 0)
        return conversation_error(v, ERR_INVALID, "a value or a prefix, not both");
    if (args->after.len > 0) {
        err = conversation_cid(v, args->after, &v->cid);
        if (err != ERR_OK)
            return err;
        ask.after = span_of(bytes, cid_encode(&v->cid, bytes));
    }
    buf_init(&value, METADATA_BYTES_MAX, NULL);
    if (args->value.len > 0)
        err = value_text_of(args->value, &value);
    else if (args->prefix.len > 0)
        err = json_append_string(args->prefix, &value);
    if (err == ERR_OK && args->prefix.len > 0)
        value.len--; /* text that begins so goes on before the quote */
    ask.value = buf_span(&value);
    if (err == ERR_OK)
        err = conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_METADATA_FIND, &ask, NULL, 0, ROWS_REPLY_MAX);
    buf_release(&value);
    return err;
}

struct entries {
    struct pack *p;
    struct buf scratch; /* a value, packed */
    struct span cid;    /* of the open entry */
    size_t where;       /* its count of keys */
    uint32_t keys;
    uint64_t updated_at; /* the newest of them */
    uint32_t count;
};

static void open_entry(struct entries *e, const struct item_metadata_row *row)
{
    char text[CID_TEXT_MAX] = "";
    struct cid cid;
    if (cid_parse(row->cid, &cid) == ERR_OK)
        cid_text(&cid, text);
    pack_map(e->p, 4);
    pack_pair_text(e->p, "cid", text);
    pack_pair_bool(e->p, "stored", row->stored);
    pack_text(e->p, "metadata");
    e->where = pack_map_open(e->p);
    e->cid = row->cid;
    e->keys = 0;
    e->updated_at = 0;
    e->count++;
}

static void close_entry(const struct entries *e)
{
    if (e->count == 0)
        return;
    pack_count(e->p, e->where, e->keys);
    pack_pair_u64(e->p, "updated_at", e->updated_at);
}

/* Rows of one CID come together: its first one opens the entry. */
static enum err pack_entries(struct entries *e, const struct schema_list *rows)
{
    size_t position = 0;
    struct item_metadata_row row;
    enum err err = ERR_OK;
    while (err == ERR_OK && schema_list_next_map(rows, &schema_item_metadata_row, &position, &row)) {
        if (e->count == 0 || !span_equal(e->cid, row.cid)) {
            close_entry(e);
            open_entry(e, &row);
        }
        buf_clear(&e->scratch);
        err = json_to_msgpack(row.value, &e->scratch, NULL);
        pack_span(e->p, row.key);
        pack_raw(e->p, buf_span(&e->scratch));
        e->keys++;
        e->updated_at = MAX(e->updated_at, row.updated_at);
    }
    close_entry(e);
    return err;
}

enum err metadata_rows_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    (void)sub;
    if (info->err != ERR_OK)
        return info->err;
    const struct msg_metadata_rows *m = info->msg->fields;
    bool query = v->op->id == OP_METADATA_QUERY;
    struct buf result;
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    struct entries e = {.p = &p};
    size_t where = 0;
    buf_init(&e.scratch, 2 * METADATA_BYTES_MAX, NULL);
    if (query) {
        pack_map(&p, m->more ? 3 : 2);
        pack_text(&p, "entries");
        where = pack_array_open(&p);
    }
    enum err err = pack_entries(&e, &m->rows);
    if (query) {
        struct cid last;
        char text[CID_TEXT_MAX] = "";
        pack_count(&p, where, e.count);
        pack_pair_bool(&p, "more", m->more);
        if (m->more && cid_parse(e.cid, &last) == ERR_OK)
            cid_text(&last, text);
        if (m->more)
            pack_pair_text(&p, "next", text);
    }
    enum err packed = pack_end(&p);
    err = err == ERR_OK ? packed : err;
    if (err == ERR_OK)
        conversation_finish(c, v, buf_span(&result));
    buf_release(&e.scratch);
    buf_release(&result);
    return err;
}
