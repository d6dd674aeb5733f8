/* SPDX-License-Identifier: MIT */
/*
 * A set of CIDs seen, 16 bytes each.
 *
 * Only a keyed 128-bit fingerprint of codec and multihash is kept (SipHash-2-4 with 128 bits, a fresh key per set): at
 * 2^32 members two differ in name and agree in fingerprint with probability 2^-65, and nobody outside knows the key.
 * Open addressing, at most three quarters full; memory is charged to the account first. No removal, no iteration. Not
 * thread-safe.
 */
#ifndef HEARTH_STORAGE_CID_SET_H
#define HEARTH_STORAGE_CID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "wire/cid.h"

struct account;

enum { CID_SET_PRINT_BYTES = 16 };

struct cid_set {
    uint8_t (*slots)[CID_SET_PRINT_BYTES]; /* all zero: empty */
    size_t cap;                            /* a power of two, or 0 */
    size_t count;
    size_t max;
    struct account *account;
    uint8_t key[16];
};

/* An empty set of at most max members; account may be NULL. Allocates nothing. */
void cid_set_init(struct cid_set *set, size_t max, struct account *account);
void cid_set_release(struct cid_set *set);

/* Adds a CID; *ret_new says whether it was absent. ERR_BUSY when full, ERR_NOMEM. */
enum err cid_set_add(struct cid_set *set, const struct cid *cid, bool *ret_new) MUST_CHECK;

bool cid_set_has(const struct cid_set *set, const struct cid *cid);

#endif
