/* SPDX-License-Identifier: MIT */
/* Backups: a snapshot, pieces of it and of the segments, and its end. */
#include "actors/tiered_storage/request.h"
#include "schemas/messages.h"

static void open_done(struct store_backup_op *op, enum err err)
{
    struct request *r = CONTAINER_OF(op, struct request, backup);
    struct msg_backup_opened ok = {.backup = op->id};
    if (err == ERR_OK && r->cancelled)
        blockstore_backup_close(r->s->store, op->id);
    if (err == ERR_OK)
        request_reply(r, MSG_BACKUP_OPENED, &ok, NULL);
    else
        request_reply_err(r, err);
    request_free(r);
}

enum err storage_backup_open(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    struct request *r = request_new(s, msg, to);
    if (r == NULL)
        return ERR_NOMEM;
    r->backup = (struct store_backup_op){.done = open_done};
    blockstore_backup_open(s->store, &r->backup);
    return ERR_OK;
}

static void piece_done(struct store_piece_op *op, enum err err)
{
    struct request *r = CONTAINER_OF(op, struct request, piece);
    struct msg_backup_piece ok = {.size = op->size};
    if (err == ERR_OK)
        request_reply(r, MSG_BACKUP_PIECE, &ok, op->ref);
    else
        request_reply_err(r, err);
    block_ref_unref(op->ref);
    request_free(r);
}

enum err storage_backup_read(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_backup_read *m = msg->fields;
    struct request *r = request_new(s, msg, to);
    if (r == NULL)
        return ERR_NOMEM;
    r->piece = (struct store_piece_op){.done = piece_done,
                                       .backup = m->backup,
                                       .segment = m->segment,
                                       .offset = m->offset,
                                       .length = (size_t)m->length};
    blockstore_backup_read(s->store, &r->piece);
    return ERR_OK;
}

enum err storage_backup_close(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_backup_close *m = msg->fields;
    struct msg_ok ok = {0};
    blockstore_backup_close(s->store, m->backup);
    ctx_reply(s->ctx, to, &(struct msg){.kind = MSG_OK, .fields = &ok});
    return ERR_OK;
}
