/* SPDX-License-Identifier: MIT */
/*
 * What is denied: the rules of all denylists as one immutable run of bytes, which travels between actors as a block_ref, so that each of
 * them looks by itself, without a lock and without asking.
 *
 *      | key of SipHash 16 | counts | prefix lengths | hash functions | directory u32 x (2^bits + 1) | rules u64 x n |
 *                                                                          |  bucket = first bits of the 64-bit hash
 *                                                                          +->  | next 48 bits of the hash | run 16 |
 *
 * A rule costs 8 bytes and a quarter (16 rules share one of the directory's numbers), whatever it says: 600,000 are 5 MiB. It is its
 * keyed hash; the key is new for each image, so nobody can make a CID that is taken for a denied one. That it happens by chance has a
 * probability of n / 2^64 for each question. Sorted files were the other way: no memory, but a disk to be waited for in each lookup.
 *
 * The last rule that matches wins, over all files in their order. For that no rule needs its line: rules that all deny, or all allow, are
 * one run, and only between runs order matters; even runs deny, odd ones allow. There are 65,536 at most. A rule whose path ends with an
 * asterisk is found by looking for each length that such paths have; over DENYLIST_PREFIXES_MAX of them, for all lengths.
 *
 * Questions are answered for CID and path before anything is resolved. Double hashes are computed from both forms of the specification, the
 * multihash in base58btc and, as legacy lists have it, CIDv1 in base32 with a slash. Thread-safe: images never change. Spec: IPIP-383.
 */
#ifndef HEARTH_STORAGE_DENYLIST_H
#define HEARTH_STORAGE_DENYLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/buf.h"
#include "wire/cid.h"
#include "wire/denylist_reader.h"

enum {
    DENYLIST_PREFIXES_MAX = 32,
    DENYLIST_FUNCTIONS_MAX = 8, /* hash functions of double hashes */
    DENYLIST_RUNS_MAX = 65536,
    DENYLIST_KEY_BYTES = 16,
    DENYLIST_BUCKET_RULES = 16
};

/* The beginning of an image. Native byte order: it never leaves the process. */
struct denylist {
    uint8_t key[DENYLIST_KEY_BYTES];
    uint64_t rules;
    uint32_t bits; /* of the directory */
    uint32_t prefix_count;
    uint32_t function_count;
    bool all_prefixes; /* there are more lengths than the table has */
    uint16_t prefixes[DENYLIST_PREFIXES_MAX];
    uint32_t functions[DENYLIST_FUNCTIONS_MAX];
    uint32_t directory[]; /* then the rules, aligned to 8 */
};

enum denylist_answer { DENYLIST_UNKNOWN, DENYLIST_ALLOWED, DENYLIST_DENIED };

/* The image in a block that a builder made; NULL for NULL. */
const struct denylist *denylist_of(const struct block_ref *image);

/* A block, whatever path led to it. list may be NULL: nothing is denied. */
enum denylist_answer denylist_ask_cid(const struct denylist *list, const struct cid *cid);

/*
 * A path below a CID, before it is resolved: empty components, "." and ".." are taken out as the resolver does. An empty one asks for the CID.
 */
enum denylist_answer denylist_ask_path(const struct denylist *list, const struct cid *cid, struct span path);

/* The same below an IPNS name: a key's CID or peer id, or a domain; a domain may come with its dots as dashes, as gateways write it. */
enum denylist_answer denylist_ask_name(const struct denylist *list, struct span name, struct span path);

/* `CID`, `/ipfs/CID/path`, `ipfs://…`, `/ipns/NAME/path`, `ipns://…`; DENYLIST_UNKNOWN for all else. */
enum denylist_answer denylist_ask_text(const struct denylist *list, struct span text);

/* ---- for the builder ---- */

/* The hash that stands for a rule. */
uint64_t denylist_hash(const uint8_t key[DENYLIST_KEY_BYTES], const struct denylist_rule *rule);

static inline size_t denylist_rules_offset(uint32_t bits)
{
    size_t bytes = sizeof(struct denylist) + (((size_t)1 << bits) + 1) * sizeof(uint32_t);
    return (bytes + 7) / 8 * 8;
}

static inline uint64_t denylist_bucket(uint32_t bits, uint64_t hash)
{
    return bits == 0 ? 0 : hash >> (64 - bits);
}

/* What a rule is in its bucket. */
static inline uint64_t denylist_print(uint32_t bits, uint64_t hash)
{
    return (hash << bits) & ~UINT64_C(0xffff);
}

#endif
