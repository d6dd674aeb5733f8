/* SPDX-License-Identifier: MIT */
#include "actors/tiered_storage/request.h"

#include <stdlib.h>

#include "actors/tree.h"
#include "schemas/messages.h"

/* Neither what lasts nor what is done in the background. */
static bool is_waited_for(const struct request *r)
{
    return r->kind != MSG_LEASE && r->from != ACTOR_HEAT_TRACKER;
}

struct request *request_new(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    struct request *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->s = s;
    r->to = to;
    r->from = msg->from;
    r->kind = msg->kind;
    r->next = s->requests;
    if (r->next != NULL)
        r->next->prev = r;
    s->requests = r;
    s->asked += is_waited_for(r);
    return r;
}

void request_free(struct request *r)
{
    r->s->asked -= is_waited_for(r);
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        r->s->requests = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    free(r);
}

void request_free_all(struct storage_state *s)
{
    while (s->requests != NULL)
        request_free(s->requests); /* takes it off the list. NOLINT(clang-analyzer-unix.Malloc) */
}

void request_cancel(struct storage_state *s, struct reply_to call)
{
    struct request *r = s->requests;
    while (r != NULL && !reply_same(&r->to, &call))
        r = r->next;
    if (r == NULL)
        return;
    r->cancelled = true;
    if (r->kind == MSG_BLOCK_GET)
        storage_cold_give_up(s, &r->op);
}

void request_reply(const struct request *r, uint16_t kind, const void *fields, struct block_ref *tail)
{
    if (!r->cancelled)
        ctx_reply(r->s->ctx, r->to, &(struct msg){.kind = kind, .fields = fields, .tail = tail});
}

void request_reply_ok(const struct request *r)
{
    struct msg_ok ok = {0};
    request_reply(r, MSG_OK, &ok, NULL);
}

void request_reply_err(const struct request *r, enum err err)
{
    const char *hint = "";
    if (r->cancelled)
        return;
    if (err == ERR_NO_SPACE)
        hint = ": raise Datastore.StorageMax, or free space on its disk";
    else if (err == ERR_READ_ONLY)
        hint = ": the disk is full; reads go on, writes are tried again each second";
    else if (r->kind == MSG_BLOCK_GET && (err == ERR_UNAVAILABLE || err == ERR_DENIED)) {
        ctx_reply_err(r->s->ctx, r->to, err, "the block is in the cold tier, which is asked again within a minute%s%s",
                      r->s->cold_why[0] == '\0' ? "" : ": ", r->s->cold_why);
        return;
    } else if (err == ERR_DENIED)
        hint = ": the block is pinned; remove the pin first";
    ctx_reply_err(r->s->ctx, r->to, err, "%s%s", err_text(err), hint);
}

enum err request_parse_cid(struct span bytes, struct cid *ret_cid, struct block_key *ret_key, bool *ret_inline)
{
    enum err err = cid_parse(bytes, ret_cid);
    if (err != ERR_OK)
        return err;
    *ret_inline = ret_cid->hash.code == MULTIHASH_IDENTITY;
    return *ret_inline ? ERR_OK : block_key_of(&ret_cid->hash, ret_key);
}

enum err request_parse_after(struct span bytes, struct block_key *ret_key)
{
    struct cid cid;
    bool inlined;
    *ret_key = (struct block_key){0};
    return bytes.len == 0 ? ERR_OK : request_parse_cid(bytes, &cid, ret_key, &inlined);
}

size_t request_cid_of_key(const struct block_key *key, uint32_t codec, uint8_t to[CID_BYTES_MAX])
{
    struct multihash hash;
    if (key->len == 0 || multihash_parse(block_key_span(key), &hash) != ERR_OK)
        return 0;
    struct cid cid = cid_v1(codec, &hash);
    return cid_encode(&cid, to);
}
