/* SPDX-License-Identifier: MIT */
#include "tiersim/object_lists.h"

#include <assert.h>
#include <stdlib.h>

#include "tiersim/contender.h"

bool object_lists_init(struct object_lists *lists, const struct tier_run *run)
{
    *lists = (struct object_lists){.capacity_bytes = run->capacity_bytes,
                                   .nodes = calloc(MAX(run->objects, 1), sizeof(struct object_node))};
    for (size_t i = 0; i < OBJECT_LISTS; i++)
        lists->lists[i] = (struct object_list){.head = OBJECT_NONE, .tail = OBJECT_NONE};
    return lists->nodes != NULL;
}

void object_lists_release(struct object_lists *lists)
{
    free(lists->nodes);
}

static void link_head(struct object_lists *lists, uint8_t number, uint32_t object)
{
    struct object_list *list = &lists->lists[number];
    struct object_node *node = &lists->nodes[object];
    node->list = number;
    node->prev = OBJECT_NONE;
    node->next = list->head;
    if (list->head != OBJECT_NONE)
        lists->nodes[list->head].prev = object;
    else
        list->tail = object;
    list->head = object;
    list->bytes += node->bytes;
    list->count++;
}

void object_lists_push(struct object_lists *lists, uint8_t list, uint32_t object, uint64_t bytes)
{
    assert(lists->nodes[object].list == 0 && list != 0);
    lists->nodes[object].bytes = bytes;
    lists->nodes[object].uses = 0;
    link_head(lists, list, object);
}

void object_lists_remove(struct object_lists *lists, uint32_t object)
{
    struct object_node *node = &lists->nodes[object];
    struct object_list *list = &lists->lists[node->list];
    assert(node->list != 0);
    if (node->prev != OBJECT_NONE)
        lists->nodes[node->prev].next = node->next;
    else
        list->head = node->next;
    if (node->next != OBJECT_NONE)
        lists->nodes[node->next].prev = node->prev;
    else
        list->tail = node->prev;
    list->bytes -= node->bytes;
    list->count--;
    node->list = 0;
}

void object_lists_move(struct object_lists *lists, uint8_t list, uint32_t object)
{
    object_lists_remove(lists, object);
    link_head(lists, list, object);
}

bool object_lists_full(const struct object_lists *lists, uint64_t bytes)
{
    return lists->lists[1].bytes + bytes > lists->capacity_bytes;
}

void *object_lists_create(const struct tier_run *run)
{
    struct object_lists *lists = malloc(sizeof(*lists));
    if (lists != NULL && object_lists_init(lists, run))
        return lists;
    free(lists);
    return NULL;
}

uint64_t object_lists_used(const void *lists)
{
    return ((const struct object_lists *)lists)->lists[1].bytes;
}

void object_lists_destroy(void *lists)
{
    if (lists != NULL)
        object_lists_release(lists);
    free(lists);
}
