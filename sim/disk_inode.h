/* SPDX-License-Identifier: MIT */
/*
 * One file of the simulated disk: the bytes readers see, the bytes that are safe, and the log of what happened between.
 *
 * Owned by sim/disk; one thread. A function that needs memory returns false and changes nothing when there is none.
 */
#ifndef HEARTH_SIM_DISK_INODE_H
#define HEARTH_SIM_DISK_INODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/disk.h"
#include "sim/sparse.h"

enum change_kind { CHANGE_WRITE, CHANGE_SIZE };

/* One unsynced change; a CHANGE_SIZE sets the length to offset, a CHANGE_WRITE has len bytes. */
struct change {
    enum change_kind kind;
    uint64_t offset;
    size_t len;
    uint8_t *data;
};

struct inode {
    struct sparse live;
    struct sparse durable;
    struct change *changes;
    size_t change_count;
    size_t change_cap;
    unsigned names; /* directory entries, live or durable or pending, that point here */
    unsigned opens;
    bool locked;
    bool steady; /* no power cut will come: live is all there is */
};

struct inode *inode_new(void) MUST_CHECK;
void inode_free(struct inode *inode);
struct inode *inode_clone(const struct inode *from) MUST_CHECK;

bool inode_write(struct inode *inode, const void *data, size_t len, uint64_t offset) MUST_CHECK;
bool inode_resize(struct inode *inode, uint64_t len) MUST_CHECK;

/* What was changed since the last sync becomes durable; what a failed sync has lost does not. */
bool inode_sync(struct inode *inode) MUST_CHECK;

/* The media refused: the log is forgotten, readers still see the live bytes until the next power cut. */
void inode_lose_changes(struct inode *inode);

/* Flips bits of one byte, for readers and on the media. */
bool inode_damage(struct inode *inode, uint64_t offset, uint8_t mask) MUST_CHECK;

/* Rebuilds live and durable as after a power cut. */
bool inode_power_cut(struct inode *inode, enum sim_disk_cut how, struct prng *prng) MUST_CHECK;

#endif
