/* SPDX-License-Identifier: MIT */
#include "dht/provide_queue.h"

#include <string.h>

#include "base/attr.h"

void provide_queue_init(struct provide_queue *queue)
{
    memset(queue, 0, sizeof(*queue));
}

static struct span cid_of(const struct provide_entry *entry)
{
    return span_of(entry->cid, entry->cid_len);
}

static bool is_before(const struct provide_entry *a, const struct provide_entry *b)
{
    return a->class != b->class ? a->class < b->class : a->order < b->order;
}

static void drop(struct provide_queue *queue, struct provide_entry *entry)
{
    entry->order = 0;
    queue->len--;
}

/* A free slot, or that of the last entry of a worse class; NULL: none. */
static struct provide_entry *find_slot(struct provide_queue *queue, enum provide_class class)
{
    struct provide_entry *last = NULL;
    for (size_t i = 0; i < PROVIDE_QUEUE_MAX; i++) {
        struct provide_entry *entry = &queue->entries[i];
        if (entry->order == 0)
            return entry;
        if (!entry->running && entry->class > class && (last == NULL || is_before(last, entry)))
            last = entry;
    }
    if (last != NULL) {
        drop(queue, last);
        queue->spilled++;
    }
    return last;
}

enum err provide_queue_push(struct provide_queue *queue, struct span cid, enum provide_class class, uint64_t now_ns)
{
    if (cid.len == 0 || cid.len > CID_BYTES_MAX)
        return ERR_TOO_LARGE;
    for (size_t i = 0; i < PROVIDE_QUEUE_MAX; i++) {
        struct provide_entry *entry = &queue->entries[i];
        if (entry->order != 0 && span_equal(cid_of(entry), cid)) {
            entry->class = MIN(entry->class, class);
            return ERR_OK;
        }
    }
    struct provide_entry *entry = find_slot(queue, class);
    if (entry == NULL) {
        queue->spilled++;
        return ERR_BUSY;
    }
    *entry =
        (struct provide_entry){.order = ++queue->orders, .due_ns = now_ns, .class = class, .cid_len = (uint8_t)cid.len};
    memcpy(entry->cid, cid.data, cid.len);
    queue->len++;
    return ERR_OK;
}

bool provide_queue_next(struct provide_queue *queue, uint64_t now_ns, size_t *ret_slot, struct span *ret_cid)
{
    struct provide_entry *first = NULL;
    if (queue->running >= PROVIDE_QUEUE_RUNNING_MAX || queue->len == queue->running)
        return false;
    for (size_t i = 0; i < PROVIDE_QUEUE_MAX; i++) {
        struct provide_entry *entry = &queue->entries[i];
        if (entry->order != 0 && !entry->running && entry->due_ns <= now_ns &&
            (first == NULL || is_before(entry, first)))
            first = entry;
    }
    if (first == NULL)
        return false;
    first->running = true;
    queue->running++;
    *ret_slot = (size_t)(first - queue->entries);
    *ret_cid = cid_of(first);
    return true;
}

void provide_queue_ended(struct provide_queue *queue, size_t slot, bool provided, uint64_t now_ns)
{
    struct provide_entry *entry = &queue->entries[slot];
    entry->running = false;
    queue->running--;
    queue->provided += provided;
    if (provided || ++entry->attempts == PROVIDE_ATTEMPTS_MAX) {
        queue->failed += !provided;
        drop(queue, entry);
        return;
    }
    entry->due_ns = now_ns + (uint64_t)PROVIDE_RETRY_MS * MS_NS * (UINT64_C(1) << (entry->attempts - 1));
}

uint64_t provide_queue_due(const struct provide_queue *queue)
{
    uint64_t due = UINT64_MAX;
    if (queue->running >= PROVIDE_QUEUE_RUNNING_MAX || queue->len == queue->running)
        return due;
    for (size_t i = 0; i < PROVIDE_QUEUE_MAX; i++)
        if (queue->entries[i].order != 0 && !queue->entries[i].running)
            due = MIN(due, queue->entries[i].due_ns);
    return due;
}

size_t provide_queue_clear(struct provide_queue *queue)
{
    size_t cleared = 0;
    for (size_t i = 0; i < PROVIDE_QUEUE_MAX; i++) {
        if (queue->entries[i].order == 0 || queue->entries[i].running)
            continue;
        drop(queue, &queue->entries[i]);
        cleared++;
    }
    return cleared;
}
