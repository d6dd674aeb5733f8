/* SPDX-License-Identifier: MIT */
/*
 * What a block is stored under: the bytes of its multihash. Two CIDs of one multihash are one block. A value type without pointers,
 * small enough for tables of many thousands; bytes past len are zero.
 */
#ifndef HEARTH_STORAGE_BLOCK_KEY_H
#define HEARTH_STORAGE_BLOCK_KEY_H

#include <string.h>

#include "base/buf.h"
#include "wire/multihash.h"

enum {
    BLOCK_KEY_MAX = 71,                /* three bytes of code, one of length, 64 of digest, and some air */
    BLOCK_BYTES_MAX = 4 * 1024 * 1024, /* the largest Bitswap message; peers exchange 2 MiB at most */
};

struct block_key {
    uint8_t len;
    uint8_t bytes[BLOCK_KEY_MAX];
};

/* ERR_TOO_LARGE for identity hashes over the limit: those carry their bytes themselves and are never stored. */
static inline enum err block_key_of_span(struct span bytes, struct block_key *ret_key)
{
    if (bytes.len == 0)
        return ERR_INVALID;
    if (bytes.len > BLOCK_KEY_MAX)
        return ERR_TOO_LARGE;
    memset(ret_key, 0, sizeof(*ret_key));
    ret_key->len = (uint8_t)bytes.len;
    memcpy(ret_key->bytes, bytes.data, bytes.len);
    return ERR_OK;
}

static inline enum err block_key_of(const struct multihash *hash, struct block_key *ret_key)
{
    uint8_t bytes[MULTIHASH_BYTES_MAX];
    size_t len = multihash_encode(hash, bytes);
    return block_key_of_span(span_of(bytes, len), ret_key);
}

static inline struct span block_key_span(const struct block_key *key)
{
    return span_of(key->bytes, key->len);
}

static inline bool block_key_equal(const struct block_key *a, const struct block_key *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* Whether data hashes to the key: ERR_OK, ERR_CORRUPT, or ERR_UNSUPPORTED for a function that cannot be computed here. */
static inline enum err block_key_verify(const struct block_key *key, struct span data)
{
    struct multihash hash;
    enum err err = multihash_parse(block_key_span(key), &hash);
    return err != ERR_OK ? err : multihash_verify(&hash, data);
}

/* Where a stored block lies: the row of the index and of the pending table. */
struct block_place {
    struct block_key key;
    uint32_t codec; /* of the CID it was first stored under: for human eyes only */
    uint32_t size;  /* bytes of payload */
    uint64_t segment;
    uint64_t offset; /* of the record */
};

#endif
