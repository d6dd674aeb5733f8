/* SPDX-License-Identifier: MIT */
/*
 * The HAMT of sharded folders: how names are spread over shards and what one shard says.
 *
 *      hash = murmur3-x64-128(name).h1, 64 bits       "470.txt" -> 006e88df5847e67c
 *      fanout 256: level 0 takes the first 8 bits (00), level 1 the next (6e), ... 8 levels at most
 *
 *      shard  = dag-pb node, UnixFS type 5, hashType 0x22, fanout, Data = bitfield of the buckets in use
 *      link   = <bucket as uppercase hex, width of fanout-1>          a further shard
 *               <the same><name>                                      an entry
 *
 * The bitfield is one big-endian number, bucket 0 its lowest bit, with leading zero bytes stripped; links are in the
 * order of buckets. A shorter bitfield is therefore normal, a longer one or one that counts other than the links is an
 * error. Fanout: a power of two, a multiple of 8, 1024 at most (CVE-2023-23625). Spec: ipfs/specs unixfs, HAMT.
 */
#ifndef HEARTH_WIRE_HAMT_H
#define HEARTH_WIRE_HAMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/dag_pb.h"
#include "wire/unixfs.h"

enum {
    HAMT_FANOUT_DEFAULT = 256,
    HAMT_FANOUT_MAX = 1024,
    HAMT_HASH_MURMUR3 = 0x22,
    HAMT_BITFIELD_BYTES_MAX = HAMT_FANOUT_MAX / 8,
    HAMT_PREFIX_MAX = 3,
    HAMT_LEVELS_MAX = 21 /* of fanout 8 */
};

struct hamt_params {
    uint32_t fanout;
    uint8_t bits;       /* log2 of fanout: taken from the hash at each level */
    uint8_t prefix_len; /* characters before the name */
    uint8_t levels_max; /* floor(64 / bits) */
};

struct hamt_shard {
    struct hamt_params params;
    uint8_t bitfield[HAMT_BITFIELD_BYTES_MAX]; /* fanout/8 bytes, left-padded */
    struct span links;
    size_t link_count;
};

/* ERR_INVALID unless fanout is one of 8, 16, ... 1024. */
enum err hamt_params_of(uint64_t fanout, struct hamt_params *ret_params) MUST_CHECK;

/* murmur3-x64-128 with seed 0, its first half. */
uint64_t hamt_hash(struct span name);

/* The bucket of a hash at a level; level < levels_max. */
uint32_t hamt_bucket(const struct hamt_params *params, uint64_t hash, unsigned level);

/* Writes the bucket's prefix, prefix_len characters, no NUL. */
void hamt_prefix(const struct hamt_params *params, uint32_t bucket, char to[HAMT_PREFIX_MAX]);

/*
 * Checks a decoded node of type UNIXFS_HAMT_SHARD; the shard borrows the block. ERR_UNSUPPORTED: another hash function;
 * ERR_INVALID: fanout, bitfield, or a link name shorter than the prefix.
 */
enum err hamt_shard_decode(const struct dag_pb_node *node, const struct unixfs_node *unixfs,
                           struct hamt_shard *ret_shard) MUST_CHECK;

/*
 * Looks one bucket up. ERR_NOT_FOUND: it is empty; ERR_CORRUPT: its link carries another prefix. The link's name keeps
 * its prefix: exactly prefix_len characters mean a further shard.
 */
enum err hamt_shard_find(const struct hamt_shard *shard, uint32_t bucket, struct dag_pb_link *ret_link) MUST_CHECK;

/* Whether the link leads to a further shard, else it is an entry whose name is link->name without the prefix. */
bool hamt_link_is_shard(const struct hamt_params *params, const struct dag_pb_link *link);
struct span hamt_entry_name(const struct hamt_params *params, const struct dag_pb_link *link);

/* For builders: marks a bucket in a bitfield of fanout/8 bytes; and the bytes to store, leading zeros stripped. */
void hamt_bitfield_set(const struct hamt_params *params, uint8_t *bitfield, uint32_t bucket);
struct span hamt_bitfield_stripped(const struct hamt_params *params, const uint8_t *bitfield);

#endif
