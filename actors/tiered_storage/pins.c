/* SPDX-License-Identifier: MIT */
/*
 * Changes people ask for, removals and pins, each answered once it is committed; pages of pins, and how one CID is pinned.
 */
#include <stdlib.h>

#include "actors/tiered_storage/request.h"
#include "actors/tree.h"
#include "schemas/messages.h"

enum { PAGE_BYTES = 3500 }; /* fits the reply a caller reserves by default */

static void change_done(struct store_change_op *op, enum err err)
{
    struct request *r = CONTAINER_OF(op, struct request, change);
    if (err == ERR_OK && op->change.kind == CHANGE_PIN_ADD) {
        struct msg_provide_root root = {.cid = span_of(op->change.cid, op->change.cid_len)};
        (void)ctx_cast(r->s->ctx, ACTOR_DISCOVERY, &(struct msg){.kind = MSG_PROVIDE_ROOT, .fields = &root});
    }
    if (err == ERR_OK || (err == ERR_NOT_FOUND && r->force))
        request_reply_ok(r);
    else
        request_reply_err(r, err);
    request_free(r);
}

static enum err start_change(struct storage_state *s, const struct msg *msg, struct reply_to to, enum change_of kind,
                             struct span bytes, bool recursive, struct span name, bool force)
{
    struct cid cid;
    struct block_key key = {0};
    bool inlined = false;
    enum err err = request_parse_cid(bytes, &cid, &key, &inlined);
    if (err == ERR_OK && inlined && (kind == CHANGE_BLOCK_RM || kind == CHANGE_TIER_PIN))
        err = ERR_UNSUPPORTED; /* an identity CID is not stored, so there is nothing to remove or to move */
    if (err != ERR_OK)
        return err;
    struct request *r = request_new(s, msg, to);
    if (r == NULL)
        return ERR_NOMEM;
    r->force = force;
    struct catalogue_change *change = &r->change.change;
    *change = (struct catalogue_change){.kind = kind, .key = key, .recursive = recursive};
    memcpy(change->cid, bytes.data, bytes.len);
    change->cid_len = (uint8_t)bytes.len;
    if (name.len > 0)
        memcpy(change->name, name.data, MIN(name.len, (size_t)PIN_NAME_MAX));
    r->change.done = change_done;
    blockstore_change(s->store, &r->change);
    return ERR_OK;
}

enum err storage_change(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    struct span none = {0};
    if (msg->kind == MSG_BLOCK_RM) {
        const struct msg_block_rm *m = msg->fields;
        return start_change(s, msg, to, CHANGE_BLOCK_RM, m->cid, false, none, m->force);
    }
    if (msg->kind == MSG_TIER_PIN) {
        const struct msg_tier_pin *m = msg->fields;
        return start_change(s, msg, to, CHANGE_TIER_PIN, m->cid, false, m->tier, false);
    }
    if (msg->kind == MSG_PIN_ADD) {
        const struct msg_pin_add *m = msg->fields;
        return start_change(s, msg, to, CHANGE_PIN_ADD, m->cid, m->recursive, m->name, false);
    }
    const struct msg_pin_rm *m = msg->fields;
    return start_change(s, msg, to, CHANGE_PIN_RM, m->cid, m->recursive, none, false);
}

/* Fills items with rows up to a page's bytes; ret_count says how many went in. */
static enum err pack_pins(const struct pin_row *pins, size_t count, size_t bytes_max, struct buf *items,
                          uint32_t *ret_count)
{
    uint32_t packed = 0;
    for (size_t i = 0; i < count; i++) {
        struct item_pin item = {.cid = span_of(pins[i].cid, pins[i].cid_len),
                                .recursive = pins[i].recursive,
                                .name = span_text(pins[i].name)};
        bool same_as_last = i > 0 && pins[i].cid_len == pins[i - 1].cid_len &&
                            memcmp(pins[i].cid, pins[i - 1].cid, pins[i].cid_len) == 0;
        if (packed > 0 && !same_as_last && items->len >= bytes_max)
            break;
        enum err err = schema_list_add_map(items, &schema_item_pin, &item);
        if (err != ERR_OK)
            return err;
        packed++;
    }
    *ret_count = packed;
    return ERR_OK;
}

/* A page of what pins reach, without what is pinned itself. */
static enum err pack_indirect(struct storage_state *s, const struct msg_pin_ls *m, size_t rows, struct buf *items,
                              struct msg_pin_page *page, uint8_t next[CID_BYTES_MAX])
{
    struct cid after;
    struct cid last;
    size_t count = 0;
    uint8_t bytes[CID_BYTES_MAX];
    enum err err = m->after.len == 0 ? ERR_OK : cid_parse(m->after, &after);
    struct cid *cids = calloc(rows, sizeof(*cids));
    if (cids == NULL)
        return ERR_NOMEM;
    if (err == ERR_OK)
        err = blockstore_indirect_pins(s->store, m->after.len == 0 ? NULL : &after, cids, rows, &count, &last,
                                       &page->more);
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        struct item_pin item = {.cid = span_of(bytes, cid_encode(&cids[i], bytes))};
        err = schema_list_add_map(items, &schema_item_pin, &item);
    }
    free(cids);
    if (err == ERR_OK && page->more)
        page->next = span_of(next, cid_encode(&last, next));
    page->pins = schema_list_of(items, (uint32_t)count);
    return err;
}

static enum err pack_page(struct storage_state *s, const struct msg_pin_ls *m, size_t rows, struct buf *items,
                          struct msg_pin_page *page, uint8_t next[CID_BYTES_MAX])
{
    size_t count = 0;
    uint32_t packed = 0;
    struct pin_row *pins = calloc(rows + 2, sizeof(*pins));
    if (pins == NULL)
        return ERR_NOMEM;
    enum err err = blockstore_pins(s->store, m->after, pins, rows, &count);
    if (err == ERR_OK)
        err = pack_pins(pins, count, m->limit == 0 ? PAGE_BYTES : STORAGE_REPLY_BYTES_MAX, items, &packed);
    page->pins = schema_list_of(items, packed);
    page->more = packed < count || count >= rows;
    if (err == ERR_OK && page->more && packed > 0) {
        size_t len = MIN((size_t)pins[packed - 1].cid_len, (size_t)CID_BYTES_MAX);
        memcpy(next, pins[packed - 1].cid, len);
        page->next = span_of(next, len);
    }
    free(pins);
    return err;
}

enum err storage_pin_ls(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_pin_ls *m = msg->fields;
    size_t rows = m->limit == 0 ? STORAGE_PAGE_ROWS : (size_t)m->limit;
    struct msg_pin_page page = {.counting = blockstore_stats(s->store).counting};
    uint8_t next[CID_BYTES_MAX];
    struct buf items;
    buf_init(&items, STORAGE_REPLY_BYTES_MAX, NULL);
    enum err err =
        m->indirect ? pack_indirect(s, m, rows, &items, &page, next) : pack_page(s, m, rows, &items, &page, next);
    if (err == ERR_OK)
        ctx_reply(s->ctx, to, &(struct msg){.kind = MSG_PIN_PAGE, .fields = &page});
    buf_release(&items);
    return err;
}

enum err storage_pin_find(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_pin_find *m = msg->fields;
    struct cid cid;
    struct pin_state state;
    enum err err = cid_parse(m->cid, &cid);
    if (err == ERR_OK)
        err = blockstore_pin_state(s->store, &cid, &state);
    if (err != ERR_OK)
        return err;
    struct msg_pin_found found = {.recursive = state.recursive,
                                  .direct = state.direct,
                                  .indirect = state.indirect,
                                  .name = span_text(state.name),
                                  .counting = blockstore_stats(s->store).counting};
    ctx_reply(s->ctx, to, &(struct msg){.kind = MSG_PIN_FOUND, .fields = &found});
    return ERR_OK;
}
