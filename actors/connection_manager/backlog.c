/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/backlog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/messages.h"

struct backlog_entry {
    struct backlog_entry *next;
    struct block_ref *tail;
    uint16_t kind;
    size_t len;
    uint8_t packed[];
};

void backlog_init(struct backlog *backlog)
{
    *backlog = (struct backlog){0};
    for (size_t i = 0; i < BACKLOG_RECEIVERS_MAX; i++)
        backlog->queues[i].last = &backlog->queues[i].first;
}

static void drop_first(struct backlog *backlog, struct backlog_queue *queue)
{
    struct backlog_entry *entry = queue->first;
    queue->first = entry->next;
    if (queue->first == NULL)
        queue->last = &queue->first;
    block_ref_unref(entry->tail);
    free(entry);
    backlog->waiting--;
}

void backlog_forget(struct backlog *backlog, actor_id to)
{
    while (backlog->queues[to].first != NULL)
        drop_first(backlog, &backlog->queues[to]);
}

void backlog_release(struct backlog *backlog)
{
    for (size_t to = 0; to < BACKLOG_RECEIVERS_MAX; to++)
        backlog_forget(backlog, (actor_id)to);
}

static enum err enqueue(struct backlog *backlog, struct backlog_queue *queue, const struct msg *msg)
{
    if (backlog->waiting >= BACKLOG_WAITING_MAX)
        return ERR_BUSY;
    struct buf packed;
    buf_init(&packed, BACKLOG_PACKED_MAX, NULL);
    enum err err = schema_pack(schema_find(&schema_messages, msg->kind), SCHEMA_ARRAY, msg->fields, &packed);
    struct backlog_entry *entry = err == ERR_OK ? malloc(sizeof(*entry) + packed.len) : NULL;
    if (entry != NULL) {
        *entry = (struct backlog_entry){.kind = msg->kind, .len = packed.len};
        memcpy(entry->packed, packed.data, packed.len);
        entry->tail = msg->tail == NULL ? NULL : block_ref_ref(msg->tail);
        *queue->last = entry;
        queue->last = &entry->next;
        backlog->waiting++;
    }
    buf_release(&packed);
    return entry == NULL ? ERR_NOMEM : ERR_OK;
}

void backlog_cast(struct backlog *backlog, struct ctx *ctx, actor_id to, const struct msg *msg)
{
    assert(to < BACKLOG_RECEIVERS_MAX);
    struct backlog_queue *queue = &backlog->queues[to];
    if (queue->first == NULL && ctx_cast(ctx, to, msg) != ERR_BUSY)
        return;
    if (enqueue(backlog, queue, msg) == ERR_OK)
        return;
    backlog->lost++;
    ctx_log(ctx, LOG_ERROR, "a message to actor %u was lost: its mailbox and the backlog are full", (unsigned)to);
}

static bool send_first(struct backlog_queue *queue, struct ctx *ctx, actor_id to)
{
    const struct backlog_entry *entry = queue->first;
    const struct schema *schema = schema_find(&schema_messages, entry->kind);
    union {
        uint64_t align;
        uint8_t bytes[BACKLOG_STRUCT_MAX];
    } fields;
    assert(schema->struct_bytes <= sizeof(fields));
    memset(&fields, 0, sizeof(fields));
    if (schema_unpack(schema, SCHEMA_ARRAY, span_of(entry->packed, entry->len), &fields, NULL, 0) != ERR_OK)
        return true; /* it was packed here: nothing to save */
    struct msg msg = {.kind = entry->kind, .fields = &fields, .tail = entry->tail};
    return ctx_cast(ctx, to, &msg) != ERR_BUSY;
}

void backlog_room(struct backlog *backlog, struct ctx *ctx, actor_id to)
{
    if (to >= BACKLOG_RECEIVERS_MAX)
        return;
    struct backlog_queue *queue = &backlog->queues[to];
    while (queue->first != NULL && send_first(queue, ctx, to))
        drop_first(backlog, queue);
}
