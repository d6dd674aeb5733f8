/* SPDX-License-Identifier: MIT */
/*
 * A counted, immutable byte buffer: how large bytes travel between actors without copies.
 *
 * Whoever creates one may write into data until it is shared; from the first ref on it is read-only. The bytes stay charged to
 * the account they were taken from until the last unref. ref and unref are thread-safe; nothing here blocks.
 */
#ifndef HEARTH_BASE_BLOCK_REF_H
#define HEARTH_BASE_BLOCK_REF_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

struct account;

struct block_ref {
    _Atomic uint32_t refs; /* release on unref pairs with the acquire fence before free */
    size_t len;
    size_t cap;              /* bytes allocated and charged */
    struct account *account; /* may be NULL */
    uint8_t *data;
};

/*
 * A buffer of len bytes, uninitialised, with one reference. NULL when memory or the account (may be NULL) is exhausted.
 * Buffers of 64 KiB and more are reused from a bounded pool, because fresh mappings cost 140 us per 256 KiB.
 */
struct block_ref *block_ref_new(size_t len, struct account *account) MUST_CHECK;
struct block_ref *block_ref_copy(struct span bytes, struct account *account) MUST_CHECK;

/* Takes one more reference and returns the same pointer. */
struct block_ref *block_ref_ref(struct block_ref *ref);

/* Drops a reference; NULL is ignored. */
void block_ref_unref(struct block_ref *ref);

/* Moves the charge to another account; false, and nothing moved, when it does not fit. Only by the sole owner. */
bool block_ref_recharge(struct block_ref *ref, struct account *to) MUST_CHECK;

/* Charges a buffer that nobody is charged for yet, whatever the limit: its bytes are there already. Only by the sole owner. */
void block_ref_charge(struct block_ref *ref, struct account *to);

/*
 * Ends the charge though others hold references: from here on they account for what they keep. Only by the one that had it charged,
 * who holds a reference.
 */
void block_ref_uncharge(struct block_ref *ref);

static inline struct span block_ref_span(const struct block_ref *ref)
{
    return ref == NULL ? (struct span){0} : (struct span){.data = ref->data, .len = ref->len};
}

#endif
