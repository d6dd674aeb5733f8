/* SPDX-License-Identifier: MIT */
#include "storage/block_queues.h"

void block_queues_init(struct block_queues *queues, uint32_t blocks_max, struct account *account)
{
    row_table_init(&queues->blocks, sizeof(struct queued_block), blocks_max, account);
    for (size_t i = 0; i < BLOCK_QUEUES; i++)
        queues->queues[i] = (struct block_queue){.head = ROW_NONE, .tail = ROW_NONE};
}

void block_queues_release(struct block_queues *queues)
{
    row_table_release(&queues->blocks);
}

static void link_head(struct block_queues *queues, uint8_t number, uint32_t block_number)
{
    struct block_queue *queue = &queues->queues[number];
    struct queued_block *block = block_queues_block(queues, block_number);
    block->queue = number;
    block->prev = ROW_NONE;
    block->next = queue->head;
    if (queue->head != ROW_NONE)
        block_queues_block(queues, queue->head)->prev = block_number;
    else
        queue->tail = block_number;
    queue->head = block_number;
    queue->bytes += block->bytes;
}

static void take_out(struct block_queues *queues, const struct queued_block *block)
{
    struct block_queue *queue = &queues->queues[block->queue];
    if (block->prev != ROW_NONE)
        block_queues_block(queues, block->prev)->next = block->next;
    else
        queue->head = block->next;
    if (block->next != ROW_NONE)
        block_queues_block(queues, block->next)->prev = block->prev;
    else
        queue->tail = block->prev;
    queue->bytes -= block->bytes;
}

enum err block_queues_push(struct block_queues *queues, uint8_t queue, uint64_t key, uint64_t bytes)
{
    uint32_t number;
    enum err err = row_table_add(&queues->blocks, key, &number);
    if (err != ERR_OK)
        return err;
    block_queues_block(queues, number)->bytes = bytes;
    link_head(queues, queue, number);
    return ERR_OK;
}

void block_queues_move(struct block_queues *queues, uint8_t queue, uint32_t number)
{
    take_out(queues, block_queues_block(queues, number));
    link_head(queues, queue, number);
}

void block_queues_remove(struct block_queues *queues, uint32_t number)
{
    take_out(queues, block_queues_block(queues, number));
    row_table_remove(&queues->blocks, number);
}
