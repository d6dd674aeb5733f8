/* SPDX-License-Identifier: MIT */
/*
 * Start-up of the disk tier: what lies after the checkpoints. Called by disk_tier_recover, which has the contract.
 */
#ifndef HEARTH_STORAGE_DISK_RECOVERY_H
#define HEARTH_STORAGE_DISK_RECOVERY_H

#include "storage/disk_tier.h"

enum err disk_recovery_run(struct disk_tier *tier, const struct segment_checkpoint *checkpoints, size_t count,
                           recovered_block *each, recovered_segment *checkpoint, void *arg) MUST_CHECK;

#endif
