/* SPDX-License-Identifier: MIT */
/*
 * replicate set, get, ls, rm: in how many places a CID shall be kept. A wish is the key `replication` of the CID's metadata, so it is committed,
 * found and bounded like all that is noted about a CID. Nobody acts on it yet: that needs to know which peers keep what.
 */
#include <stdio.h>

#include "actors/control/operations.h"
#include "schemas/json.h"
#include "schemas/pack.h"
#include "schemas/walk.h"
#include "storage/metadata.h"

enum { ROWS_REPLY_MAX = 64 * 1024, RESULT_BYTES_MAX = 64 * 1024, WISH_BYTES_MAX = 128, PAIR_BYTES_MAX = 1024 };

static const char wish_key[] = "replication";

struct wish {
    uint64_t min;
    uint64_t max;
    uint64_t critical;
};

/* ---- set, rm ---- */

static enum err change(struct control *c, struct conversation *v, struct span cid, const char *value)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct buf items;
    struct item_metadata_pair pair = {.key = span_text(wish_key), .value = span_text(value)};
    buf_init(&items, PAIR_BYTES_MAX, NULL);
    enum err err = conversation_cid(v, cid, &v->cid);
    if (err == ERR_OK)
        err = schema_list_add_map(&items, &schema_item_metadata_pair, &pair);
    if (err == ERR_OK) {
        struct msg_metadata_set ask = {.cid = span_of(bytes, cid_encode(&v->cid, bytes)),
                                       .pairs = schema_list_of(&items, 1)};
        err = conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_METADATA_SET, &ask, NULL, 0, 0);
    }
    buf_release(&items);
    return err;
}

enum err replicate_set_start(struct control *c, struct conversation *v)
{
    const struct op_replicate_set *args = (const void *)v->args;
    char value[WISH_BYTES_MAX];
    if (args->min > args->max || args->max > args->critical)
        return conversation_error(
            v, ERR_INVALID, "min %llu, max %llu, critical %llu: each is at least the one before it",
            (unsigned long long)args->min, (unsigned long long)args->max, (unsigned long long)args->critical);
    (void)snprintf(value, sizeof(value), "{\"min\":%llu,\"max\":%llu,\"critical\":%llu}", (unsigned long long)args->min,
                   (unsigned long long)args->max, (unsigned long long)args->critical);
    return change(c, v, args->cid, value);
}

enum err replicate_rm_start(struct control *c, struct conversation *v)
{
    return change(c, v, ((const struct op_replicate_rm *)(const void *)v->args)->cid, "");
}

/* ---- get, ls ---- */

static bool read_number(struct span map, const char *name, uint64_t *ret_number)
{
    struct span value;
    struct walk_token token;
    if (walk_find(map, name, &value) != ERR_OK)
        return false;
    struct walk walk = {.left = value};
    if (walk_next(&walk, &token) != ERR_OK || token.type != WALK_U64)
        return false;
    *ret_number = token.u64;
    return true;
}

/* False: the row is another key's, or what somebody noted under ours is no wish. */
static bool read_wish(const struct item_metadata_row *row, struct wish *ret_wish)
{
    struct buf packed;
    if (!span_equal_text(row->key, wish_key))
        return false;
    buf_init(&packed, METADATA_BYTES_MAX, NULL);
    bool good = json_to_msgpack(row->value, &packed, NULL) == ERR_OK &&
                read_number(buf_span(&packed), "min", &ret_wish->min) &&
                read_number(buf_span(&packed), "max", &ret_wish->max) &&
                read_number(buf_span(&packed), "critical", &ret_wish->critical);
    buf_release(&packed);
    return good;
}

static void pack_wish(struct pack *p, const struct wish *wish)
{
    pack_pair_u64(p, "min", wish->min);
    pack_pair_u64(p, "max", wish->max);
    pack_pair_u64(p, "critical", wish->critical);
}

uint32_t replicate_pack(struct pack *p, const struct msg_metadata_rows *m)
{
    size_t position = 0;
    struct item_metadata_row row;
    struct wish wish;
    while (schema_list_next_map(&m->rows, &schema_item_metadata_row, &position, &row)) {
        if (!read_wish(&row, &wish))
            continue;
        pack_text(p, "replication");
        pack_map(p, 3);
        pack_wish(p, &wish);
        return 1;
    }
    return 0;
}

enum err replicate_get_start(struct control *c, struct conversation *v)
{
    uint8_t bytes[CID_BYTES_MAX];
    enum err err = conversation_cid(v, ((const struct op_replicate_get *)(const void *)v->args)->cid, &v->cid);
    if (err != ERR_OK)
        return err;
    struct msg_metadata_find ask = {.cid = span_of(bytes, cid_encode(&v->cid, bytes))};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_METADATA_FIND, &ask, NULL, 0, ROWS_REPLY_MAX);
}

enum err replicate_ls_start(struct control *c, struct conversation *v)
{
    const struct op_replicate_ls *args = (const void *)v->args;
    uint8_t bytes[CID_BYTES_MAX];
    struct msg_metadata_find ask = {.key = span_text(wish_key), .limit = args->limit};
    if (args->after.len > 0) {
        enum err err = conversation_cid(v, args->after, &v->cid);
        if (err != ERR_OK)
            return err;
        ask.after = span_of(bytes, cid_encode(&v->cid, bytes));
    }
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_METADATA_FIND, &ask, NULL, 0, ROWS_REPLY_MAX);
}

static void pack_row(struct pack *p, const struct item_metadata_row *row, const struct wish *wish)
{
    char text[CID_TEXT_MAX] = "";
    struct cid cid;
    if (cid_parse(row->cid, &cid) == ERR_OK)
        cid_text(&cid, text);
    pack_map(p, 5);
    pack_pair_text(p, "cid", text);
    pack_pair_bool(p, "stored", row->stored);
    pack_wish(p, wish);
}

enum err replicate_rows_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    (void)sub;
    if (info->err != ERR_OK)
        return info->err;
    const struct msg_metadata_rows *m = info->msg->fields;
    bool list = v->op->id == OP_REPLICATE_LS;
    struct buf result;
    struct item_metadata_row row = {0};
    struct wish wish;
    size_t position = 0;
    size_t where = 0;
    uint32_t count = 0;
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    if (list) {
        pack_map(&p, 2);
        pack_text(&p, "wishes");
        where = pack_array_open(&p);
    }
    while ((list || count == 0) && schema_list_next_map(&m->rows, &schema_item_metadata_row, &position, &row)) {
        if (!read_wish(&row, &wish))
            continue;
        pack_row(&p, &row, &wish);
        count++;
    }
    if (list) {
        pack_count(&p, where, count);
        pack_pair_bool(&p, "more", m->more);
    }
    enum err err = list || count > 0 ? pack_end(&p) : ERR_NOT_FOUND;
    if (err == ERR_OK)
        conversation_finish(c, v, buf_span(&result));
    buf_release(&result);
    return err;
}
