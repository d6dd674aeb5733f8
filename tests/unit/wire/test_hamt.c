/* SPDX-License-Identifier: MIT */
/* HAMT: the hash's known values, buckets, prefixes, and shards that break the rules (RELIABILITY D7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/hamt.h"

static const uint8_t some_cid[34] = {0x12, 0x20, 1, 2, 3};

static void hash_values(void **state)
{
    (void)state;
    /* WIRE.md's check value; the others are published for murmur3-x64-128 (spaolacci/murmur3 tests). */
    assert_true(hamt_hash(span_text("470.txt")) == UINT64_C(0x006e88df5847e67c));
    assert_true(hamt_hash(span_text("")) == 0);
    assert_true(hamt_hash(span_text("hello")) == UINT64_C(0xcbd8a7b341bd9b02));
    assert_true(hamt_hash(span_text("hello, world")) == UINT64_C(0x342fac623a5ebc8e));
    assert_true(hamt_hash(span_text("19 Jan 2038 at 3:14:07 AM")) == UINT64_C(0xb89e5988b737affc));
    assert_true(hamt_hash(span_text("The quick brown fox jumps over the lazy dog.")) == UINT64_C(0xcd99481f9ee902c9));
}

static void fanouts(void **state)
{
    (void)state;
    static const uint64_t refused[] = {0, 1, 2, 4, 7, 12, 255, 1025, 2048, UINT64_C(1) << 63, UINT64_MAX};
    struct hamt_params params;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_int_equal(hamt_params_of(refused[i], &params), ERR_INVALID);
    assert_int_equal(hamt_params_of(256, &params), ERR_OK);
    assert_int_equal(params.levels_max, 8);
    assert_int_equal(params.prefix_len, 2);
    assert_int_equal(hamt_params_of(1024, &params), ERR_OK);
    assert_int_equal(params.levels_max, 6);
    assert_int_equal(params.prefix_len, 3);
    assert_int_equal(hamt_params_of(8, &params), ERR_OK);
    assert_int_equal(params.levels_max, 21);
    assert_int_equal(params.prefix_len, 1);
    assert_int_equal(hamt_params_of(16, &params), ERR_OK);
    assert_int_equal(params.prefix_len, 1);
    assert_int_equal(hamt_params_of(32, &params), ERR_OK);
    assert_int_equal(params.prefix_len, 2);
}

static void buckets_are_taken_from_the_high_end(void **state)
{
    (void)state;
    struct hamt_params params;
    assert_int_equal(hamt_params_of(256, &params), ERR_OK);
    uint64_t hash = UINT64_C(0x006e88df5847e67c);
    static const uint32_t bytes[] = {0x00, 0x6e, 0x88, 0xdf, 0x58, 0x47, 0xe6, 0x7c};
    for (unsigned level = 0; level < 8; level++)
        assert_int_equal(hamt_bucket(&params, hash, level), bytes[level]);
    assert_int_equal(hamt_params_of(1024, &params), ERR_OK);
    assert_int_equal(hamt_bucket(&params, hash, 0), 0x006e88df5847e67c >> 54);
    assert_int_equal(hamt_bucket(&params, UINT64_MAX, 5), 1023);
    char prefix[HAMT_PREFIX_MAX];
    hamt_prefix(&params, 0x3a, prefix);
    assert_memory_equal(prefix, "03A", 3);
}

/* A shard of the given bitfield bytes over links of the given names. */
static enum err decode_shard(uint64_t fanout, uint64_t hash_type, struct span bitfield, const char *const *names,
                             struct hamt_shard *ret_shard)
{
    static uint8_t room[4096];
    struct buf links;
    buf_init(&links, sizeof(room), NULL);
    for (size_t i = 0; names[i] != NULL; i++) {
        struct dag_pb_link link = {.cid = span_of(some_cid, sizeof(some_cid)), .name = span_text(names[i])};
        link.has_name = true;
        assert_int_equal(dag_pb_append(&links, &link, 1, NULL), ERR_OK);
    }
    if (links.len > 0)
        memcpy(room, links.data, links.len);
    struct dag_pb_node node;
    assert_int_equal(dag_pb_decode(span_of(room, links.len), &node), ERR_OK);
    buf_release(&links);
    struct unixfs_node unixfs = {.type = UNIXFS_HAMT_SHARD, .fanout = fanout, .hash_type = hash_type, .data = bitfield};
    return hamt_shard_decode(&node, &unixfs, ret_shard);
}

static void shards(void **state)
{
    (void)state;
    static const char *const two[] = {"00", "09name", NULL};
    static const char *const wrong[] = {"01", "09name", NULL};
    static const char *const narrow[] = {"0", "09name", NULL};
    static const uint8_t bits[] = {0x02, 0x01}; /* buckets 0 and 9; leading zeros stripped */
    struct span field = span_of(bits, sizeof(bits));
    struct hamt_shard shard;
    assert_int_equal(decode_shard(256, 0x22, field, two, &shard), ERR_OK);
    struct dag_pb_link link;
    assert_int_equal(hamt_shard_find(&shard, 9, &link), ERR_OK);
    assert_true(span_equal_text(hamt_entry_name(&shard.params, &link), "name"));
    assert_false(hamt_link_is_shard(&shard.params, &link));
    assert_int_equal(hamt_shard_find(&shard, 0, &link), ERR_OK);
    assert_true(hamt_link_is_shard(&shard.params, &link));
    assert_int_equal(hamt_shard_find(&shard, 1, &link), ERR_NOT_FOUND);
    assert_int_equal(hamt_shard_find(&shard, 255, &link), ERR_NOT_FOUND);
    assert_int_equal(decode_shard(256, 0x12, field, two, &shard), ERR_UNSUPPORTED);
    assert_int_equal(decode_shard(256, 0x22, span_first(field, 1), two, &shard), ERR_INVALID); /* popcount */
    assert_int_equal(decode_shard(256, 0x22, (struct span){0}, two, &shard), ERR_INVALID);
    assert_int_equal(decode_shard(8, 0x22, field, two, &shard), ERR_INVALID); /* longer than fanout/8 */
    assert_int_equal(decode_shard(256, 0x22, field, narrow, &shard), ERR_INVALID);
    assert_int_equal(decode_shard(256, 0x22, field, wrong, &shard), ERR_OK);
    assert_int_equal(hamt_shard_find(&shard, 0, &link), ERR_CORRUPT);
    static uint8_t full[33];
    memset(full, 0, sizeof(full));
    full[31] = 0x02;
    full[32] = 0x01;
    assert_int_equal(decode_shard(256, 0x22, span_of(full + 1, 32), two, &shard), ERR_OK);  /* unstripped */
    assert_int_equal(decode_shard(256, 0x22, span_of(full, 33), two, &shard), ERR_INVALID); /* a byte too long */
}

static void bitfields_are_stripped(void **state)
{
    (void)state;
    struct hamt_params params;
    assert_int_equal(hamt_params_of(256, &params), ERR_OK);
    uint8_t field[HAMT_BITFIELD_BYTES_MAX] = {0};
    hamt_bitfield_set(&params, field, 0);
    hamt_bitfield_set(&params, field, 9);
    struct span stripped = hamt_bitfield_stripped(&params, field);
    assert_int_equal(stripped.len, 2);
    assert_int_equal(stripped.data[0], 2);
    assert_int_equal(stripped.data[1], 1);
    hamt_bitfield_set(&params, field, 255);
    assert_int_equal(hamt_bitfield_stripped(&params, field).len, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_values),
        cmocka_unit_test(fanouts),
        cmocka_unit_test(buckets_are_taken_from_the_high_end),
        cmocka_unit_test(shards),
        cmocka_unit_test(bitfields_are_stripped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
