/* SPDX-License-Identifier: MIT */
/*
 * What the heat policy knows, over restarts and beyond its memory: heat.db, a database of its own. state.db was rejected, as its writer is to
 * show a change within a second and checks all pages at start, and blocks.db, as what waits for its commits is acknowledged to people. Losing
 * heat.db costs heat and nothing else: what is damaged is removed and begun anew.
 *
 *   learned   one row: what heat_policy_save made
 *   blocks    slot (key modulo rows_max) | key | used_at 4, heat 2 x 2, class 1, counted 1 | held: bytes, or ROW_NONE
 *
 * A block has one slot, and a later one of the same slot takes it: so the table is bounded without a count, a clock or an index, for the price
 * of some rows lost while it is far from full.
 *
 * Blocking; for jobs, and for the end of a life that cannot wait for one: calls wait for each other. Opened at the first call.
 */
#ifndef HEARTH_STORAGE_HEAT_STORE_H
#define HEARTH_STORAGE_HEAT_STORE_H

#include "base/buf.h"
#include "mailbox/ports.h"
#include "storage/heat_row.h"

enum { HEAT_STORE_ROWS_MAX = 10 * 1000 * 1000, HEAT_STORE_PATH_MAX = 512 };

struct heat_store;

/* port is borrowed. rows_max: not 0. NULL without memory, or when the path is too long. */
struct heat_store *heat_store_new(const struct disk_port *port, const char *path, uint32_t rows_max) MUST_CHECK;
/* A job has a reference of its own, since its actor may end first. Any thread; who lets go last closes it. unref is NULL-safe. */
struct heat_store *heat_store_ref(struct heat_store *store);
void heat_store_unref(struct heat_store *store);

/* Each may also end with what opening a database can: ERR_NO_SPACE, ERR_DENIED, ERR_BUSY, ERR_IO. ERR_CORRUPT: it was damaged and is gone. */

/* Appends what was saved last; nothing when there is none. */
enum err heat_store_load(struct heat_store *store, struct buf *to) MUST_CHECK;

/* The rows of those keys that are known: at most count, in any order. */
enum err heat_store_find(struct heat_store *store, const uint64_t *keys, size_t count, struct heat_row *ret_rows,
                         size_t *ret_count) MUST_CHECK;

/*
 * Looks at the next max rows from *position on, in order of slots, and gives those that the tier held. *position starts at 0 and is 0 again
 * behind the last row. An index of them was rejected: the table is read once a life, in its order, and written each minute at random places.
 */
enum err heat_store_held(struct heat_store *store, uint64_t *position, struct heat_row *ret_rows, size_t max,
                         size_t *ret_count) MUST_CHECK;

/* All or nothing, in one transaction, without waiting for the disk. */
enum err heat_store_save(struct heat_store *store, struct span learned, const struct heat_row *rows,
                         size_t count) MUST_CHECK;

#endif
