/* SPDX-License-Identifier: MIT */
/*
 * What people note about CIDs: changes are answered once they are committed, look-ups at once.
 */
#include "storage/metadata.h"
#include "actors/tiered_storage/request.h"
#include "schemas/messages.h"

/* Notes are about CIDs of version 1: both names of a node have one note. */
static enum err note_cid(struct span bytes, uint8_t to[CID_BYTES_MAX], size_t *ret_len)
{
    struct cid cid;
    enum err err = cid_parse(bytes, &cid);
    if (err == ERR_OK && cid.version == 0)
        err = cid_as_version(&cid, 1, &cid);
    if (err == ERR_OK)
        *ret_len = cid_encode(&cid, to);
    return err;
}

static void set_done(struct store_change_op *op, enum err err)
{
    struct request *r = CONTAINER_OF(op, struct request, change);
    if (err == ERR_OK)
        request_reply_ok(r);
    else
        request_reply_err(r, err);
    request_free(r);
}

static enum err take_pairs(const struct schema_list *pairs, struct metadata_change *change)
{
    size_t position = 0;
    struct item_metadata_pair pair;
    enum err err = ERR_OK;
    while (err == ERR_OK && schema_list_next_map(pairs, &schema_item_metadata_pair, &position, &pair))
        err = metadata_change_add(change, pair.key, pair.value);
    return err;
}

enum err storage_metadata_set(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_metadata_set *m = msg->fields;
    uint8_t cid[CID_BYTES_MAX];
    size_t cid_len = 0;
    enum err err = note_cid(m->cid, cid, &cid_len);
    if (err != ERR_OK)
        return err;
    struct metadata_change *metadata = metadata_change_new(m->replace);
    err = metadata == NULL ? ERR_NOMEM : take_pairs(&m->pairs, metadata);
    struct request *r = err == ERR_OK ? request_new(s, msg, to) : NULL;
    if (r == NULL) {
        metadata_change_free(metadata);
        return err == ERR_OK ? ERR_NOMEM : err;
    }
    struct catalogue_change *change = &r->change.change;
    *change = (struct catalogue_change){.kind = CHANGE_METADATA, .metadata = metadata, .cid_len = (uint8_t)cid_len};
    memcpy(change->cid, cid, cid_len);
    r->change.done = set_done;
    blockstore_change(s->store, &r->change);
    return ERR_OK;
}

/* ---- look-ups ---- */

struct rows {
    struct storage_state *s;
    struct buf items;
    uint32_t count;
};

static bool is_stored(struct storage_state *s, struct span bytes)
{
    struct cid cid;
    struct block_key key;
    uint64_t size;
    bool inlined = false;
    return request_parse_cid(bytes, &cid, &key, &inlined) == ERR_OK &&
           (inlined || blockstore_has(s->store, &key, &size, NULL) == ERR_OK);
}

static enum err take_row(void *arg, const struct metadata_row *row)
{
    struct rows *rows = arg;
    struct item_metadata_row item = {.cid = row->cid,
                                     .key = row->key,
                                     .value = row->value,
                                     .updated_at = row->updated_at_ns,
                                     .stored = is_stored(rows->s, row->cid)};
    rows->count++;
    return schema_list_add_map(&rows->items, &schema_item_metadata_row, &item);
}

enum err storage_metadata_find(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_metadata_find *m = msg->fields;
    struct rows rows = {.s = s};
    struct msg_metadata_rows page = {0};
    uint8_t cid[CID_BYTES_MAX];
    size_t cid_len = 0;
    struct span named = m->cid.len > 0 ? m->cid : m->after;
    enum err err = named.len > 0 ? note_cid(named, cid, &cid_len) : ERR_OK;
    struct metadata_query query = {.after = span_of(cid, cid_len),
                                   .key = m->key,
                                   .value = m->value,
                                   .is_prefix = m->is_prefix,
                                   .limit = m->limit == 0 ? STORAGE_PAGE_ROWS : (size_t)m->limit};
    buf_init(&rows.items, STORAGE_REPLY_BYTES_MAX, NULL);
    if (err == ERR_OK && m->cid.len > 0)
        err = blockstore_metadata_of(s->store, span_of(cid, cid_len), take_row, &rows);
    else if (err == ERR_OK)
        err = blockstore_metadata_find(s->store, &query, take_row, &rows, &page.more);
    page.rows = schema_list_of(&rows.items, rows.count);
    if (err == ERR_OK)
        ctx_reply(s->ctx, to, &(struct msg){.kind = MSG_METADATA_ROWS, .fields = &page});
    buf_release(&rows.items);
    return err;
}
