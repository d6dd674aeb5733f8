/* SPDX-License-Identifier: MIT */
/*
 * The bytes of one simulated file, in pieces: one that was never written takes no memory, and copies share pieces until one of them is written.
 *
 * Owned by sim/disk_inode. One thread for each; copies may be used by different threads. A function that needs memory returns false when there
 * is none; then a part may have been written.
 */
#ifndef HEARTH_SIM_SPARSE_H
#define HEARTH_SIM_SPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum { SPARSE_PIECE = 16 * 1024 };

struct sparse_piece;

/* All zero: empty. */
struct sparse {
    struct sparse_piece **pieces; /* NULL: zeros */
    size_t cap;                   /* of pieces */
    size_t len;                   /* bytes */
};

void sparse_release(struct sparse *s);

/* What is added reads as zeros, what is cut off is gone. */
bool sparse_resize(struct sparse *s, size_t len) MUST_CHECK;
/* Grows as needed. */
bool sparse_write(struct sparse *s, const uint8_t *data, size_t len, uint64_t offset) MUST_CHECK;
/* All of it must be there. */
void sparse_read(const struct sparse *s, uint8_t *to, size_t len, uint64_t offset);
/* Replaces what `to` holds. */
bool sparse_copy(struct sparse *to, const struct sparse *from) MUST_CHECK;

#endif
