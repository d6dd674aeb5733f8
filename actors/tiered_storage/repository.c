/* SPDX-License-Identifier: MIT */
/*
 * Calls about the repository as a whole: figures, verification in pages, probes.
 */
#include <stdlib.h>

#include "actors/tiered_storage/request.h"
#include "schemas/messages.h"

static void ok_done(struct store_op *op, enum err err)
{
    struct request *r = CONTAINER_OF(op, struct request, op);
    if (err == ERR_OK)
        request_reply_ok(r);
    else
        request_reply_err(r, err);
    request_free(r);
}

enum err storage_repo_stat(struct storage_state *s, struct reply_to to)
{
    struct blockstore_stats stats = blockstore_stats(s->store);
    struct msg_repo_stat_ok ok = {.blocks = stats.blocks,
                                  .bytes = stats.bytes,
                                  .disk_bytes = stats.disk_bytes,
                                  .storage_max = stats.storage_max,
                                  .live_bytes = stats.live_bytes,
                                  .pins = stats.pins,
                                  .recursive_pins = stats.recursive_pins,
                                  .read_only = stats.read_only,
                                  .path = span_text(s->path),
                                  .dead_bytes = stats.dead_bytes,
                                  .quarantined = stats.quarantined,
                                  .healing = stats.healing,
                                  .scrub_began = stats.scrub.began_ns,
                                  .scrub_ended = stats.scrub.ended_ns,
                                  .scrub_blocks = stats.scrub.blocks,
                                  .scrub_bytes = stats.scrub.bytes,
                                  .scrub_bad = stats.scrub.bad};
    ctx_reply(s->ctx, to, &(struct msg){.kind = MSG_REPO_STAT_OK, .fields = &ok});
    return ERR_OK;
}

static void verify_done(struct store_verify_op *op, enum err err)
{
    struct request *r = CONTAINER_OF(op, struct request, verify);
    struct buf bad;
    uint8_t cid[CID_BYTES_MAX];
    uint32_t count = 0;
    buf_init(&bad, STORAGE_REPLY_BYTES_MAX, NULL);
    for (size_t i = 0; err == ERR_OK && i < op->bad_count; i++) {
        const struct block_place *place = &op->bad[i].place;
        struct item_damaged_block item = {.cid = span_of(cid, request_cid_of_key(&place->key, place->codec, cid)),
                                          .reason = span_text(blockstore_damage_text(op->bad[i].err))};
        err = schema_list_add_map(&bad, &schema_item_damaged_block, &item);
        count++;
    }
    struct msg_repo_verified ok = {.checked = op->checked, .bad = schema_list_of(&bad, count)};
    ok.next = span_of(cid, request_cid_of_key(&op->after, CODEC_RAW, cid));
    if (err == ERR_OK)
        request_reply(r, MSG_REPO_VERIFIED, &ok, NULL);
    else
        request_reply_err(r, err);
    buf_release(&bad);
    request_free(r);
}

enum err storage_verify(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_repo_verify *m = msg->fields;
    struct block_key after;
    enum err err = request_parse_after(m->after, &after);
    if (err != ERR_OK)
        return err;
    struct request *r = request_new(s, msg, to);
    if (r == NULL)
        return ERR_NOMEM;
    r->verify = (struct store_verify_op){.done = verify_done, .after = after, .limit = (size_t)m->limit};
    if (m->limit == 0)
        r->verify.limit = STORAGE_PAGE_ROWS;
    blockstore_verify(s->store, &r->verify);
    return ERR_OK;
}

enum err storage_block_ls(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_block_ls *m = msg->fields;
    size_t rows = m->limit == 0 ? STORAGE_PAGE_ROWS : (size_t)m->limit;
    size_t count = 0;
    struct block_key after = {0};
    struct buf items;
    struct multihash hash;
    enum err err = m->after.len == 0 ? ERR_OK : multihash_parse(m->after, &hash);
    if (err == ERR_OK && m->after.len > 0)
        err = block_key_of(&hash, &after);
    struct block_place *places = calloc(rows, sizeof(*places));
    if (places == NULL)
        return ERR_NOMEM;
    buf_init(&items, STORAGE_REPLY_BYTES_MAX, NULL);
    if (err == ERR_OK)
        err = blockstore_page_stored(s->store, &after, places, rows, &count);
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = schema_list_add_bytes(&items, block_key_span(&places[i].key));
    struct msg_block_page page = {.multihashes = schema_list_of(&items, (uint32_t)count), .more = count == rows};
    if (err == ERR_OK)
        ctx_reply(s->ctx, to, &(struct msg){.kind = MSG_BLOCK_PAGE, .fields = &page});
    buf_release(&items);
    free(places);
    return err;
}

/* What the medium says of it, or said last. */
static struct span check_text(const struct request *r, enum err err)
{
    const struct store_pack_check_op *op = &r->pack_check;
    if (op->why[0] != '\0')
        return span_first(span_text(op->why), REASON_TEXT_MAX);
    bool away = err == ERR_UNAVAILABLE && r->s->cold_why[0] != '\0';
    return span_first(span_text(away ? r->s->cold_why : err_text(err != ERR_OK ? err : op->damage)), REASON_TEXT_MAX);
}

static void pack_checked(struct store_pack_check_op *op, enum err err)
{
    struct request *r = CONTAINER_OF(op, struct request, pack_check);
    struct span why = check_text(r, err);
    struct msg_tier_checked m = {.bytes = op->bytes, .records = op->records, .moved = op->moved, .bad = op->bad};
    if (op->damage != ERR_OK)
        m.damage = why;
    if (err == ERR_OK)
        request_reply(r, MSG_TIER_CHECKED, &m, NULL);
    else if (!r->cancelled)
        ctx_reply_err(r->s->ctx, r->to, err, "%s%.*s",
                      op->damage == ERR_OK ? "" : "it is damaged, and not all of it was moved: ", (int)why.len,
                      (const char *)why.data);
    request_free(r);
}

enum err storage_tier_check(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    struct request *r = request_new(s, msg, to);
    if (r == NULL)
        return ERR_NOMEM;
    r->pack_check =
        (struct store_pack_check_op){.done = pack_checked, .pack = ((const struct msg_tier_check *)msg->fields)->pack};
    blockstore_check_pack(s->store, &r->pack_check);
    return ERR_OK;
}

enum err storage_store_probe(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    struct request *r = request_new(s, msg, to);
    if (r == NULL)
        return ERR_NOMEM;
    r->op = (struct store_op){.done = ok_done};
    blockstore_probe(s->store, &r->op);
    return ERR_OK;
}

enum err storage_probe(struct storage_state *s, struct reply_to to)
{
    struct msg_ok ok = {0};
    ctx_reply(s->ctx, to, &(struct msg){.kind = MSG_OK, .fields = &ok});
    return ERR_OK;
}
