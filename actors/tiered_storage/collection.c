/* SPDX-License-Identifier: MIT */
/*
 * Leases and collections. A lease is a call that lasts: whoever adds or fetches holds it until the pin is committed, and it ends when that
 * call is cancelled, its deadline passes, or the caller's life ends. A collection goes page by page, as its caller asks.
 */
#include "actors/tiered_storage/request.h"
#include "schemas/messages.h"

enum err storage_lease(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    struct request *r = request_new(s, msg, to);
    if (r == NULL)
        return ERR_NOMEM;
    enum err err = blockstore_lease_open(s->store, &r->lease);
    if (err != ERR_OK)
        request_free(r);
    else
        (void)ctx_monitor(s->ctx, msg->from);
    return err;
}

static void end_lease(struct request *r)
{
    blockstore_lease_close(r->s->store, r->lease);
    request_free(r);
}

void storage_lease_cancel(struct storage_state *s, struct reply_to call)
{
    for (struct request *r = s->requests; r != NULL; r = r->next) {
        if (r->kind == MSG_LEASE && reply_same(&r->to, &call)) {
            end_lease(r);
            return;
        }
    }
}

void storage_leases_of(struct storage_state *s, actor_id from)
{
    struct request *next;
    for (struct request *r = s->requests; r != NULL; r = next) {
        next = r->next;
        if (r->kind == MSG_LEASE && r->from == from)
            end_lease(r);
    }
}

static void collect_done(struct store_collect_op *op, enum err err)
{
    struct request *r = CONTAINER_OF(op, struct request, collect);
    struct msg_repo_gc_page page = {0};
    struct buf removed;
    uint8_t cid[CID_BYTES_MAX];
    buf_init(&removed, STORAGE_REPLY_BYTES_MAX, NULL);
    for (size_t i = 0; err == ERR_OK && i < op->gone_count; i++) {
        err =
            schema_list_add_bytes(&removed, span_of(cid, request_cid_of_key(&op->gone[i].key, op->gone[i].codec, cid)));
        page.bytes += op->gone[i].size;
    }
    page.removed = schema_list_of(&removed, (uint32_t)op->gone_count);
    page.next = span_of(cid, request_cid_of_key(&op->after, CODEC_RAW, cid));
    if (err == ERR_OK)
        request_reply(r, MSG_REPO_GC_PAGE, &page, NULL);
    else
        request_reply_err(r, err);
    buf_release(&removed);
    request_free(r);
}

enum err storage_gc(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_repo_gc *m = msg->fields;
    struct block_key after;
    enum err err = request_parse_after(m->after, &after);
    if (err != ERR_OK)
        return err;
    struct request *r = request_new(s, msg, to);
    if (r == NULL)
        return ERR_NOMEM;
    r->collect = (struct store_collect_op){.done = collect_done, .dry_run = m->dry_run, .after = after};
    blockstore_collect(s->store, &r->collect);
    return ERR_OK;
}
