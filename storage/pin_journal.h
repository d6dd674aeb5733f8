/* SPDX-License-Identifier: MIT */
/*
 * The pin journal: a second copy of the pins, also of those to a tier, so that a lost or unreadable catalogue costs no pin either, as the segments are for blocks.
 *
 *      offset  bytes
 *         0      4   magic "HRP1"; of a pin to a tier "HRT1"
 *         4      4   CRC-32C of all that follows, padding excluded
 *         8      1   1 = pinned, 0 = unpinned
 *         9      1   1 = recursive; 0 of a pin to a tier
 *        10      1   CID length k
 *        11      1   name length n
 *        12      4   zero
 *        16      8   ns since the epoch
 *        24  k + n   CID, name; of a pin to a tier that
 *                    zeros up to the next multiple of 8
 *
 * Integers are little-endian. A record is appended after its commit and never synced: the database is what an acknowledgement rests on, the journal is
 * read only when there is no database. Records that do not parse are skipped. Blocks; one job at a time.
 */
#ifndef HEARTH_STORAGE_PIN_JOURNAL_H
#define HEARTH_STORAGE_PIN_JOURNAL_H

#include "mailbox/ports.h"
#include "storage/catalogue.h"
#include "storage/catalogue_reader.h"

enum { PIN_RECORD_FIXED = 24, PIN_RECORD_MAX = 512, PIN_JOURNAL_SMALL_BYTES = 1024 * 1024 };

/* Appends the pins and unpins, also to a tier, among the changes that succeeded (err == ERR_OK). */
enum err pin_journal_append(const struct disk_port *port, const char *path, const struct catalogue_change *changes,
                            uint64_t real_now_ns) MUST_CHECK;

/* Plays the journal into the catalogue. ret_count: pins and unpins applied. ERR_NOT_FOUND: there is no journal. */
enum err pin_journal_restore(const struct disk_port *port, const char *path, struct catalogue *catalogue,
                             uint64_t *ret_count) MUST_CHECK;

/* Writes it anew from the catalogue when there is none, as in a repository that was restored, or it has grown far beyond the pins there are. */
enum err pin_journal_renew(const struct disk_port *port, const char *path, struct catalogue_reader *reader,
                           uint64_t pins) MUST_CHECK;

#endif
