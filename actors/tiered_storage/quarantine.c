/* SPDX-License-Identifier: MIT */
/*
 * Blocks in quarantine: told to people, wanted back from bitswap. The want flows upward, so it is a cast with an id, and the answer is
 * another one.
 */
#include "actors/tiered_storage/request.h"
#include "actors/tree.h"
#include "schemas/messages.h"

bool storage_heal(void *arg, uint64_t id, const struct block_key *key, uint32_t codec)
{
    struct storage_state *s = arg;
    uint8_t cid[CID_BYTES_MAX];
    struct msg_heal fields = {.id = id, .cid = span_of(cid, request_cid_of_key(key, codec, cid))};
    return fields.cid.len > 0 &&
           ctx_cast(s->ctx, ACTOR_BITSWAP, &(struct msg){.kind = MSG_HEAL, .fields = &fields}) == ERR_OK;
}

static enum err pack_rows(const struct quarantine_row *rows, size_t count, struct buf *items)
{
    enum err err = ERR_OK;
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        uint8_t cid[CID_BYTES_MAX];
        struct item_quarantined_block item = {
            .cid = span_of(cid, request_cid_of_key(&rows[i].key, rows[i].codec, cid)),
            .reason = span_text(rows[i].reason),
            .size = rows[i].size,
            .found_at = rows[i].found_at_ns,
            .attempts = rows[i].attempts,
            .retry_at = rows[i].retry_at_ns,
        };
        err = schema_list_add_map(items, &schema_item_quarantined_block, &item);
    }
    return err;
}

enum err storage_quarantine_ls(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_quarantine_ls *m = msg->fields;
    struct quarantine_row rows[STORAGE_PAGE_ROWS];
    struct block_key after;
    struct buf items;
    size_t count = 0;
    enum err err = request_parse_after(m->after, &after);
    if (err == ERR_OK)
        err = blockstore_quarantine(s->store, &after, rows, ARRAY_LEN(rows), &count);
    if (err != ERR_OK)
        return err;
    buf_init(&items, STORAGE_REPLY_BYTES_MAX, NULL);
    err = pack_rows(rows, count, &items);
    struct msg_quarantine_page page = {.blocks = schema_list_of(&items, (uint32_t)count),
                                       .more = count == ARRAY_LEN(rows)};
    if (err == ERR_OK)
        ctx_reply(s->ctx, to, &(struct msg){.kind = MSG_QUARANTINE_PAGE, .fields = &page});
    buf_release(&items);
    return err;
}

static void change_done(struct store_change_op *op, enum err err)
{
    struct request *r = CONTAINER_OF(op, struct request, change);
    struct msg_quarantine_changed ok = {.count = op->change.count};
    if (err == ERR_OK)
        request_reply(r, MSG_QUARANTINE_CHANGED, &ok, NULL);
    else
        request_reply_err(r, err);
    request_free(r);
}

enum err storage_quarantine_change(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_quarantine_change *m = msg->fields;
    struct request *r = request_new(s, msg, to);
    if (r == NULL)
        return ERR_NOMEM;
    r->change = (struct store_change_op){.done = change_done};
    r->change.change.kind = m->forget ? CHANGE_FORGET_ALL : CHANGE_HEAL_ALL;
    blockstore_change(s->store, &r->change);
    return ERR_OK;
}
