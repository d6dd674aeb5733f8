/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/outbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/messages.h"

struct outbox_entry {
    struct outbox_entry *next;
    struct block_ref *tail;
    uint16_t kind;
    size_t len;
    uint8_t packed[];
};

void outbox_init(struct outbox *outbox)
{
    *outbox = (struct outbox){0};
    for (size_t i = 0; i < OUTBOX_RECEIVERS_MAX; i++)
        outbox->queues[i].last = &outbox->queues[i].first;
}

static void drop_first(struct outbox *outbox, struct outbox_queue *queue)
{
    struct outbox_entry *entry = queue->first;
    queue->first = entry->next;
    if (queue->first == NULL)
        queue->last = &queue->first;
    block_ref_unref(entry->tail);
    free(entry);
    outbox->waiting--;
}

void outbox_forget(struct outbox *outbox, actor_id to)
{
    while (outbox->queues[to].first != NULL)
        drop_first(outbox, &outbox->queues[to]);
}

void outbox_release(struct outbox *outbox)
{
    for (actor_id to = 0; to < OUTBOX_RECEIVERS_MAX; to++)
        outbox_forget(outbox, to);
}

static enum err enqueue(struct outbox *outbox, struct outbox_queue *queue, const struct msg *msg)
{
    if (outbox->waiting >= OUTBOX_WAITING_MAX)
        return ERR_BUSY;
    struct buf packed;
    buf_init(&packed, OUTBOX_PACKED_MAX, NULL);
    enum err err = schema_pack(schema_find(&schema_messages, msg->kind), SCHEMA_ARRAY, msg->fields, &packed);
    struct outbox_entry *entry = err == ERR_OK ? malloc(sizeof(*entry) + packed.len) : NULL;
    if (entry != NULL) {
        *entry = (struct outbox_entry){.kind = msg->kind, .len = packed.len};
        memcpy(entry->packed, packed.data, packed.len);
        entry->tail = msg->tail == NULL ? NULL : block_ref_ref(msg->tail);
        *queue->last = entry;
        queue->last = &entry->next;
        outbox->waiting++;
    }
    buf_release(&packed);
    return entry == NULL ? ERR_NOMEM : ERR_OK;
}

void outbox_cast(struct outbox *outbox, struct ctx *ctx, actor_id to, const struct msg *msg)
{
    assert(to < OUTBOX_RECEIVERS_MAX);
    struct outbox_queue *queue = &outbox->queues[to];
    if (queue->first == NULL && ctx_cast(ctx, to, msg) != ERR_BUSY)
        return;
    if (enqueue(outbox, queue, msg) == ERR_OK)
        return;
    outbox->lost++;
    ctx_log(ctx, LOG_ERROR, "a message to actor %u was lost: its mailbox and the outbox are full", (unsigned)to);
}

static bool send_first(struct outbox_queue *queue, struct ctx *ctx, actor_id to)
{
    const struct outbox_entry *entry = queue->first;
    const struct schema *schema = schema_find(&schema_messages, entry->kind);
    union {
        uint64_t align;
        uint8_t bytes[OUTBOX_STRUCT_MAX];
    } fields;
    assert(schema->struct_bytes <= sizeof(fields));
    memset(&fields, 0, sizeof(fields));
    if (schema_unpack(schema, SCHEMA_ARRAY, span_of(entry->packed, entry->len), &fields, NULL, 0) != ERR_OK)
        return true; /* it was packed here: nothing to save */
    struct msg msg = {.kind = entry->kind, .fields = &fields, .tail = entry->tail};
    return ctx_cast(ctx, to, &msg) != ERR_BUSY;
}

void outbox_room(struct outbox *outbox, struct ctx *ctx, actor_id to)
{
    if (to >= OUTBOX_RECEIVERS_MAX)
        return;
    struct outbox_queue *queue = &outbox->queues[to];
    while (queue->first != NULL && send_first(queue, ctx, to))
        drop_first(outbox, queue);
}
