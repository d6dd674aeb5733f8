/* SPDX-License-Identifier: MIT */
/*
 * The scrubber: is what the media holds still what was stored? One block at a time; the caller walks the catalogue in pages, so that
 * a verification of any size is many short steps. Blocks; any job.
 */
#ifndef HEARTH_STORAGE_SCRUBBER_H
#define HEARTH_STORAGE_SCRUBBER_H

#include "storage/disk_tier.h"

/*
 * Reads the block and checks record and hash. ERR_OK: good, or a hash function that cannot be computed here (the checksum held).
 * ERR_CORRUPT, ERR_TRUNCATED: wrong; other errors say nothing about the block.
 */
enum err scrubber_check(struct disk_tier *tier, const struct block_place *place, struct account *account) MUST_CHECK;

#endif
