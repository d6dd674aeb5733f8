/* SPDX-License-Identifier: MIT */
/*
 * The queues of a policy: doubly linked lists over dense object numbers. An object is in one list at a time, or in none.
 *
 *   nodes[object]:  { prev, next, list, uses, bytes }        lists[list]:  head ⇄ … ⇄ tail
 *
 * Which list means what is the policy's affair; list 0 is none. New ones enter at the head.
 */
#ifndef HEARTH_TIERSIM_OBJECT_LISTS_H
#define HEARTH_TIERSIM_OBJECT_LISTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct tier_run;

#define OBJECT_NONE UINT32_MAX
enum { OBJECT_LISTS = 5 };

struct object_node {
    uint64_t bytes;
    uint32_t prev; /* towards the head */
    uint32_t next;
    uint8_t list;
    uint8_t uses; /* the policy's own; 0 when the object enters a list from none */
};

struct object_list {
    uint64_t bytes;
    uint32_t head;
    uint32_t tail;
    uint32_t count;
};

struct object_lists {
    uint64_t capacity_bytes;
    struct object_node *nodes;
    struct object_list lists[OBJECT_LISTS];
};

/* False without memory. */
bool object_lists_init(struct object_lists *lists, const struct tier_run *run) MUST_CHECK;
void object_lists_release(struct object_lists *lists);

/* The object, which is in none, enters at the list's head. */
void object_lists_push(struct object_lists *lists, uint8_t list, uint32_t object, uint64_t bytes);

/* Takes it out of its list. */
void object_lists_remove(struct object_lists *lists, uint32_t object);

/* From where it is to the head of the list, which may be the same one; bytes and uses go with it. */
void object_lists_move(struct object_lists *lists, uint8_t list, uint32_t object);

/* Whether these bytes more would be too many beside those of list 1. */
bool object_lists_full(const struct object_lists *lists, uint64_t bytes);

/* For policies of one list, number 1, that need nothing else: create, used_bytes and destroy of contender_ops. */
void *object_lists_create(const struct tier_run *run);
uint64_t object_lists_used(const void *lists);
void object_lists_destroy(void *lists);

#endif
