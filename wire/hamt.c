/* SPDX-License-Identifier: MIT */
#include "wire/hamt.h"

#include <assert.h>
#include <string.h>

#include "base/le.h"

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

/* The finaliser of murmur3: each input bit reaches each output bit. */
static uint64_t mix(uint64_t k)
{
    k ^= k >> 33;
    k *= UINT64_C(0xff51afd7ed558ccd);
    k ^= k >> 33;
    k *= UINT64_C(0xc4ceb9fe1a85ec53);
    return k ^ k >> 33;
}

#define MURMUR_C1 UINT64_C(0x87c37b91114253d5)
#define MURMUR_C2 UINT64_C(0x4cf5ad432745937f)

static uint64_t scramble_low(uint64_t k)
{
    return rotate_left(k * MURMUR_C1, 31) * MURMUR_C2;
}

static uint64_t scramble_high(uint64_t k)
{
    return rotate_left(k * MURMUR_C2, 33) * MURMUR_C1;
}

uint64_t hamt_hash(struct span name)
{
    uint64_t h1 = 0;
    uint64_t h2 = 0;
    struct span rest = name;
    for (; rest.len >= 16; rest = span_skip(rest, 16)) {
        h1 ^= scramble_low(le_get(rest.data, 8));
        h1 = (rotate_left(h1, 27) + h2) * 5 + 0x52dce729;
        h2 ^= scramble_high(le_get(rest.data + 8, 8));
        h2 = (rotate_left(h2, 31) + h1) * 5 + 0x38495ab5;
    }
    if (rest.len > 8)
        h2 ^= scramble_high(le_get(rest.data + 8, rest.len - 8));
    if (rest.len > 0)
        h1 ^= scramble_low(le_get(rest.data, MIN(rest.len, 8)));
    h1 ^= name.len;
    h2 ^= name.len;
    h1 += h2;
    h2 += h1;
    return mix(h1) + mix(h2);
}

enum err hamt_params_of(uint64_t fanout, struct hamt_params *ret_params)
{
    if (fanout < 8 || fanout > HAMT_FANOUT_MAX || (fanout & (fanout - 1)) != 0)
        return ERR_INVALID;
    struct hamt_params params = {.fanout = (uint32_t)fanout};
    while ((UINT64_C(1) << params.bits) < fanout)
        params.bits++;
    params.prefix_len = (uint8_t)((params.bits + 3) / 4);
    params.levels_max = (uint8_t)(64 / params.bits);
    *ret_params = params;
    return ERR_OK;
}

uint32_t hamt_bucket(const struct hamt_params *params, uint64_t hash, unsigned level)
{
    assert(level < params->levels_max);
    unsigned shift = 64 - params->bits * (level + 1);
    return (uint32_t)(hash >> shift) & (params->fanout - 1);
}

void hamt_prefix(const struct hamt_params *params, uint32_t bucket, char to[HAMT_PREFIX_MAX])
{
    static const char digits[] = "0123456789ABCDEF";
    for (unsigned i = 0; i < params->prefix_len; i++)
        to[i] = digits[bucket >> (4 * (params->prefix_len - 1 - i)) & 15];
}

static bool bitfield_get(const struct hamt_shard *shard, uint32_t bucket)
{
    return (shard->bitfield[shard->params.fanout / 8 - 1 - bucket / 8] >> (bucket % 8) & 1) != 0;
}

/* Links of buckets below the given one: where its own link stands. */
static size_t rank_of(const struct hamt_shard *shard, uint32_t bucket)
{
    size_t rank = 0;
    for (uint32_t i = 0; i < bucket; i++)
        rank += bitfield_get(shard, i);
    return rank;
}

static enum err check_names(const struct hamt_shard *shard)
{
    struct span links = shard->links;
    struct dag_pb_link link;
    while (dag_pb_next_link(&links, &link)) {
        if (link.name.len < shard->params.prefix_len)
            return ERR_INVALID;
    }
    return ERR_OK;
}

enum err hamt_shard_decode(const struct dag_pb_node *node, const struct unixfs_node *unixfs,
                           struct hamt_shard *ret_shard)
{
    assert(unixfs->type == UNIXFS_HAMT_SHARD);
    struct hamt_shard shard = {.links = node->links, .link_count = node->link_count};
    enum err err = hamt_params_of(unixfs->fanout, &shard.params);
    if (err != ERR_OK)
        return err;
    if (unixfs->hash_type != HAMT_HASH_MURMUR3)
        return ERR_UNSUPPORTED;
    size_t width = shard.params.fanout / 8;
    if (unixfs->data.len > width)
        return ERR_INVALID;
    if (unixfs->data.len > 0)
        memcpy(shard.bitfield + width - unixfs->data.len, unixfs->data.data, unixfs->data.len);
    if (rank_of(&shard, shard.params.fanout) != node->link_count)
        return ERR_INVALID;
    err = check_names(&shard);
    if (err != ERR_OK)
        return err;
    *ret_shard = shard;
    return ERR_OK;
}

enum err hamt_shard_find(const struct hamt_shard *shard, uint32_t bucket, struct dag_pb_link *ret_link)
{
    assert(bucket < shard->params.fanout);
    if (!bitfield_get(shard, bucket))
        return ERR_NOT_FOUND;
    size_t rank = rank_of(shard, bucket);
    struct span links = shard->links;
    struct dag_pb_link link;
    for (size_t i = 0; dag_pb_next_link(&links, &link); i++) {
        if (i < rank)
            continue;
        char prefix[HAMT_PREFIX_MAX];
        hamt_prefix(&shard->params, bucket, prefix);
        if (!span_equal(span_first(link.name, shard->params.prefix_len), span_of(prefix, shard->params.prefix_len)))
            return ERR_CORRUPT;
        *ret_link = link;
        return ERR_OK;
    }
    return ERR_CORRUPT;
}

bool hamt_link_is_shard(const struct hamt_params *params, const struct dag_pb_link *link)
{
    return link->name.len == params->prefix_len;
}

struct span hamt_entry_name(const struct hamt_params *params, const struct dag_pb_link *link)
{
    return span_skip(link->name, params->prefix_len);
}

void hamt_bitfield_set(const struct hamt_params *params, uint8_t *bitfield, uint32_t bucket)
{
    assert(bucket < params->fanout);
    bitfield[params->fanout / 8 - 1 - bucket / 8] |= (uint8_t)(1U << (bucket % 8));
}

struct span hamt_bitfield_stripped(const struct hamt_params *params, const uint8_t *bitfield)
{
    struct span bytes = span_of(bitfield, params->fanout / 8);
    while (bytes.len > 0 && bytes.data[0] == 0)
        bytes = span_skip(bytes, 1);
    return bytes;
}
