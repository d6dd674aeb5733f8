/* SPDX-License-Identifier: MIT */
/*
 * The second copy of a cold tier's mark, cold.mark beside blocks.db: a catalogue that is made anew knows by it which medium is its own, and takes its
 * packs back from their own indexes.
 *
 *      offset  bytes
 *         0      4   magic "HCM1"
 *         4      4   CRC-32C of all that follows
 *         8     16   the mark
 *        24     16   kind of the medium, zeros behind it; none: the mark is not on the medium yet as far as is known
 *        40    512   its place, for people, zeros behind it
 *
 * Both block.
 */
#ifndef HEARTH_STORAGE_COLD_MARK_H
#define HEARTH_STORAGE_COLD_MARK_H

#include "mailbox/ports.h"
#include "storage/cold_rows.h"

#define COLD_MARK_COPY "cold.mark"

/* ERR_NOT_FOUND; ERR_CORRUPT. */
enum err cold_mark_load(const struct disk_port *port, const char *folder, struct cold_medium *ret_medium) MUST_CHECK;

/* Durable on ERR_OK, as durable_write. */
enum err cold_mark_save(const struct disk_port *port, const char *folder, const struct cold_medium *medium) MUST_CHECK;

#endif
