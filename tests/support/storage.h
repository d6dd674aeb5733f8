/* SPDX-License-Identifier: MIT */
/* Words that the storage tests share. Static, because not every test links the storage library. */
#ifndef HEARTH_TESTS_SUPPORT_STORAGE_H
#define HEARTH_TESTS_SUPPORT_STORAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "storage/segment.h"

/* The sha2-256 key of some bytes. */
static inline void test_key(struct span bytes, struct block_key *ret_key)
{
    struct multihash hash;
    assert_int_equal(multihash_sum(MULTIHASH_SHA2_256, 0, bytes, &hash), ERR_OK);
    assert_int_equal(block_key_of(&hash, ret_key), ERR_OK);
}

/* A whole padded record; returns its length. */
static inline size_t test_record(uint64_t segment, struct span payload, uint8_t *to)
{
    struct block_place place = {.segment = segment, .codec = 0x55, .size = (uint32_t)payload.len};
    test_key(payload, &place.key);
    size_t whole = (size_t)segment_record_bytes(place.key.len, payload.len);
    memset(to, 0, whole);
    size_t head = segment_encode(&place, payload, to);
    memcpy(to + head, payload.data, payload.len);
    return whole;
}

#endif
