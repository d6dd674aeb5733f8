/* SPDX-License-Identifier: MIT */
/*
 * The queues of a policy: doubly linked lists of blocks, each found by its key. A block is in one queue.
 *
 *   blocks[number]:  { key, bytes, prev, next, used_at, queue, uses }        queues[q]:  head ⇄ … ⇄ tail
 *
 * New ones enter at the head. Which queue means what is the policy's affair. Pure; one thread.
 */
#ifndef HEARTH_STORAGE_BLOCK_QUEUES_H
#define HEARTH_STORAGE_BLOCK_QUEUES_H

#include "storage/row_table.h"

enum { BLOCK_QUEUES = 2 };

struct queued_block {
    uint64_t key;
    uint64_t bytes;
    uint32_t prev; /* towards the head; ROW_NONE at it */
    uint32_t next;
    uint32_t used_at; /* this and uses are the policy's own; 0 when the block enters */
    uint8_t queue;
    uint8_t uses;
};

struct block_queue {
    uint32_t head;
    uint32_t tail;
    uint64_t bytes;
};

struct block_queues {
    struct row_table blocks;
    struct block_queue queues[BLOCK_QUEUES];
};

/* As row_table_init. */
void block_queues_init(struct block_queues *queues, uint32_t blocks_max, struct account *account);
void block_queues_release(struct block_queues *queues);

/* A block that is in no queue enters at the head of one. ERR_BUSY: full, or no memory is granted. */
enum err block_queues_push(struct block_queues *queues, uint8_t queue, uint64_t key, uint64_t bytes) MUST_CHECK;

/* From where it is to the head of a queue, which may be the same one. */
void block_queues_move(struct block_queues *queues, uint8_t queue, uint32_t number);

void block_queues_remove(struct block_queues *queues, uint32_t number);

static inline uint64_t block_queues_bytes(const struct block_queues *queues)
{
    return queues->queues[0].bytes + queues->queues[1].bytes;
}

static inline struct queued_block *block_queues_block(const struct block_queues *queues, uint32_t number)
{
    return (struct queued_block *)(void *)queues->blocks.rows + number;
}

/* NULL when the block is in no queue. */
static inline struct queued_block *block_queues_find(const struct block_queues *queues, uint64_t key,
                                                     uint32_t *ret_number)
{
    uint32_t number = row_table_find(&queues->blocks, key);
    *ret_number = number;
    return number == ROW_NONE ? NULL : block_queues_block(queues, number);
}

#endif
