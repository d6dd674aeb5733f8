/* SPDX-License-Identifier: MIT */
#include "dht/kad_key.h"

#include <string.h>

#include "wire/multihash.h"

struct kad_key kad_key_of(struct span preimage)
{
    struct kad_key key;
    sha256_sum(preimage, key.bytes);
    return key;
}

struct kad_key kad_key_of_peer(const struct peer_id *id)
{
    return kad_key_of(peer_id_span(id));
}

struct kad_key kad_key_distance(const struct kad_key *a, const struct kad_key *b)
{
    struct kad_key distance;
    for (size_t i = 0; i < KAD_KEY_BYTES; i++)
        distance.bytes[i] = a->bytes[i] ^ b->bytes[i];
    return distance;
}

/* Eight bytes of a key as a number; keys are compared by such words, most often by the first alone. */
static uint64_t word_of(const struct kad_key *key, size_t at)
{
    uint64_t word;
    memcpy(&word, key->bytes + at, sizeof(word));
    return __builtin_bswap64(word);
}

unsigned kad_key_common_prefix(const struct kad_key *a, const struct kad_key *b)
{
    for (size_t at = 0; at < KAD_KEY_BYTES; at += sizeof(uint64_t)) {
        uint64_t distance = word_of(a, at) ^ word_of(b, at);
        if (distance != 0)
            return (unsigned)(8 * at) + (unsigned)__builtin_clzll(distance);
    }
    return KAD_KEY_BITS;
}

int kad_key_closer(const struct kad_key *target, const struct kad_key *a, const struct kad_key *b)
{
    for (size_t at = 0; at < KAD_KEY_BYTES; at += sizeof(uint64_t)) {
        uint64_t t = word_of(target, at);
        uint64_t to_a = word_of(a, at) ^ t;
        uint64_t to_b = word_of(b, at) ^ t;
        if (to_a != to_b)
            return to_a < to_b ? -1 : 1;
    }
    return 0;
}

int kad_key_compare(const struct kad_key *a, const struct kad_key *b)
{
    return memcmp(a->bytes, b->bytes, KAD_KEY_BYTES);
}
