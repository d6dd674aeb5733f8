/* SPDX-License-Identifier: MIT */
/*
 * CIDs that are to be provided at once, each by a lookup of its own: new roots, and what people ask for. Everything else is the sweep's.
 *
 * Those of a better class first, in order of arrival within one. A full queue takes a newcomer in place of the last of a worse class; what
 * falls out, or is not taken, waits for the sweep, which learns of it from the database. What failed is tried again after
 * PROVIDE_RETRY_MS, doubling, PROVIDE_ATTEMPTS_MAX times in all. The queue itself is not kept: the rows of what was never provided are.
 *
 * Embedded, nothing allocated. Times are nanoseconds of any monotonic clock. One thread.
 */
#ifndef HEARTH_DHT_PROVIDE_QUEUE_H
#define HEARTH_DHT_PROVIDE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "dht/provide_sweep.h"
#include "wire/cid.h"

enum {
    PROVIDE_QUEUE_MAX = 256,
    PROVIDE_QUEUE_RUNNING_MAX = 4,
    PROVIDE_RETRY_MS = 30000,
    PROVIDE_ATTEMPTS_MAX = 4,
};

struct provide_entry {
    uint64_t order; /* of arrival; 0: the slot is free */
    uint64_t due_ns;
    enum provide_class class;
    uint8_t attempts;
    bool running;
    uint8_t cid_len;
    uint8_t cid[CID_BYTES_MAX];
};

struct provide_queue {
    struct provide_entry entries[PROVIDE_QUEUE_MAX];
    uint64_t orders;
    size_t len; /* running ones included */
    size_t running;
    uint64_t provided, failed, spilled; /* ever */
};

void provide_queue_init(struct provide_queue *queue);

/* Takes a copy. One that is there keeps its place, or gets that of the better class. ERR_BUSY: left to the sweep, counted; ERR_TOO_LARGE. */
enum err provide_queue_push(struct provide_queue *queue, struct span cid, enum provide_class class,
                            uint64_t now_ns) MUST_CHECK;

/* The next one that is due, marked as running and borrowed until it has ended; false: none, or enough are running. */
bool provide_queue_next(struct provide_queue *queue, uint64_t now_ns, size_t *ret_slot, struct span *ret_cid);

/* It was provided, or not. */
void provide_queue_ended(struct provide_queue *queue, size_t slot, bool provided, uint64_t now_ns);

/* When provide_queue_next has one at the latest; UINT64_MAX: not before something ends or comes. */
uint64_t provide_queue_due(const struct provide_queue *queue);

/* Forgets what is not running. Returns how many. */
size_t provide_queue_clear(struct provide_queue *queue);

#endif
