/* SPDX-License-Identifier: MIT */
/*
 * A shard whose links, bitfield and fanout come from the input apart from each other, which whole blocks rarely reach: the first bytes
 * choose the fanout, then a bitfield with its length, the rest is a dag-pb node.
 */
#include <stdlib.h>

#include "wire/hamt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_prefixes(const struct hamt_params *params, struct span name)
{
    uint64_t hash = hamt_hash(name);
    for (unsigned level = 0; level < params->levels_max; level++) {
        char prefix[HAMT_PREFIX_MAX];
        uint32_t bucket = hamt_bucket(params, hash, level);
        if (bucket >= params->fanout)
            abort();
        hamt_prefix(params, bucket, prefix);
    }
}

static void check_bitfield(const struct hamt_shard *shard)
{
    uint8_t copy[HAMT_BITFIELD_BYTES_MAX] = {0};
    size_t found = 0;
    for (uint32_t bucket = 0; bucket < shard->params.fanout; bucket++) {
        struct dag_pb_link link;
        enum err err = hamt_shard_find(shard, bucket, &link);
        if (err == ERR_NOT_FOUND)
            continue;
        found++;
        hamt_bitfield_set(&shard->params, copy, bucket);
        if (err == ERR_OK && !hamt_link_is_shard(&shard->params, &link) &&
            hamt_entry_name(&shard->params, &link).len == 0)
            abort();
    }
    struct span stripped = hamt_bitfield_stripped(&shard->params, copy);
    struct span theirs = hamt_bitfield_stripped(&shard->params, shard->bitfield);
    if (found != shard->link_count || !span_equal(stripped, theirs))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    uint64_t fanout = data[0] < 16 ? UINT64_C(1) << data[0] : (uint64_t)data[0] << data[1] % 60;
    struct span rest = span_of(data + 3, size - 3);
    struct span bitfield = span_first(rest, data[2]);
    struct unixfs_node unixfs = {.type = UNIXFS_HAMT_SHARD,
                                 .has_data = true,
                                 .data = bitfield,
                                 .hash_type = HAMT_HASH_MURMUR3,
                                 .fanout = fanout};
    struct hamt_params params;
    if (hamt_params_of(fanout, &params) == ERR_OK)
        check_prefixes(&params, rest);
    struct dag_pb_node node;
    struct hamt_shard shard;
    if (dag_pb_decode(span_skip(rest, bitfield.len), &node) == ERR_OK &&
        hamt_shard_decode(&node, &unixfs, &shard) == ERR_OK)
        check_bitfield(&shard);
    return 0;
}
