/* SPDX-License-Identifier: MIT */
#include "dht/provide_region.h"

#include <assert.h>
#include <string.h>

enum { DEPTH_FIRST = 8, DEPTH_SPARE = 2 };

/* ---- subtrees ---- */

static void clear_after(struct kad_key *key, unsigned bits)
{
    for (unsigned bit = bits; bit < KAD_KEY_BITS; bit++)
        key->bytes[bit / 8] &= (uint8_t) ~(0x80 >> (bit % 8));
}

static struct kad_key first_of(const struct kad_key *key, unsigned bits)
{
    struct kad_key first = *key;
    clear_after(&first, bits);
    return first;
}

static struct kad_key last_of(const struct kad_key *key, unsigned bits)
{
    struct kad_key last = *key;
    for (unsigned bit = bits; bit < KAD_KEY_BITS; bit++)
        last.bytes[bit / 8] |= (uint8_t)(0x80 >> (bit % 8));
    return last;
}

/* The key after the subtree; false when there is none. */
static bool key_after(const struct kad_key *key, unsigned bits, struct kad_key *ret_key)
{
    struct kad_key next = last_of(key, bits);
    for (size_t i = KAD_KEY_BYTES; i-- > 0;) {
        if (++next.bytes[i] != 0) {
            *ret_key = next;
            return true;
        }
    }
    return false;
}

static bool is_within(const struct kad_key *key, const struct kad_key *subtree, unsigned bits)
{
    return kad_key_common_prefix(key, subtree) >= bits;
}

struct kad_key provide_region_end(const struct provide_region *r)
{
    return last_of(&r->start, r->bits);
}

bool provide_region_contains(const struct provide_region *r, const struct kad_key *key)
{
    return r->bits <= KAD_KEY_BITS && is_within(key, &r->start, r->bits);
}

unsigned provide_region_bits(double network_peers)
{
    unsigned bits = 0;
    if (!(network_peers > 0))
        return PROVIDE_REGION_BITS_UNKNOWN;
    while (bits < PROVIDE_REGION_BITS_MAX && network_peers >= 2.0 * PROVIDE_REGION_PEERS) {
        network_peers /= 2;
        bits++;
    }
    return bits;
}

/* ---- exploring ---- */

static void choose_bits(struct provide_region *r, unsigned bits)
{
    r->bits = bits;
    r->start = first_of(&r->target_key, bits);
    r->next = r->start;
}

void provide_region_init(struct provide_region *r, const struct kad_key *key, unsigned bits, uint64_t seed)
{
    assert(bits <= PROVIDE_REGION_BITS_UNKNOWN);
    *r = (struct provide_region){.depth = DEPTH_FIRST, .trial = seed, .bits = bits, .start = *key, .next = *key};
    if (bits == PROVIDE_REGION_BITS_UNKNOWN)
        return;
    r->start = first_of(key, bits);
    r->next = r->start;
    r->depth = bits + DEPTH_SPARE;
}

bool provide_region_target(struct provide_region *r, struct span *ret_key)
{
    if (r->state != REGION_EXPLORING)
        return false;
    unsigned bits = r->depth < PROVIDE_TARGET_BITS_MAX ? r->depth : PROVIDE_TARGET_BITS_MAX;
    r->target[0] = 0x12; /* a sha2-256 multihash, in case that whoever is asked wants the id of a peer */
    r->target[1] = 0x20;
    memset(r->target + 2, 0, sizeof(r->target) - 2);
    do {
        r->trial = r->trial * UINT64_C(6364136223846793005) + 1442695040888963407u;
        memcpy(r->target + 2, &r->trial, sizeof(r->trial));
        r->target_key = kad_key_of(span_of(r->target, sizeof(r->target)));
    } while (kad_key_common_prefix(&r->target_key, &r->next) < bits);
    *ret_key = span_of(r->target, sizeof(r->target));
    return true;
}

static void add_peer(struct provide_region *r, const struct peer_id *id)
{
    struct region_peer peer = {.key = kad_key_of_peer(id), .id = *id};
    for (size_t i = 0; i < r->peer_count; i++)
        if (peer_id_equal(&r->peers[i].id, id))
            return;
    if (r->peer_count < PROVIDE_REGION_PEERS_MAX)
        r->peers[r->peer_count++] = peer;
}

static size_t count_within(const struct provide_region *r, unsigned bits)
{
    size_t count = 0;
    for (size_t i = 0; i < r->peer_count; i++)
        count += is_within(&r->peers[i].key, &r->start, bits);
    return count;
}

/* Peers beside the region are forgotten, unless it has too few of its own: then it is the whole key space. */
static void finish(struct provide_region *r)
{
    size_t kept = 0;
    r->state = REGION_DONE;
    for (size_t i = 0; i < r->peer_count; i++)
        if (provide_region_contains(r, &r->peers[i].key))
            r->peers[kept++] = r->peers[i];
    r->peer_count = kept;
}

/* Moves `next` over the subtree, and over what was explored before the region was widened. */
static void cover(struct provide_region *r, const struct kad_key *subtree, unsigned bits)
{
    while (!r->past_end && is_within(&r->next, subtree, bits)) {
        r->past_end = !key_after(&r->next, bits, &r->next);
        if (!r->past_end && r->done_bits > 0 && is_within(&r->next, &r->done_start, r->done_bits))
            r->past_end = !key_after(&r->next, r->done_bits, &r->next);
    }
}

/* The parent: what has been explored is one half of it. */
static void widen(struct provide_region *r)
{
    unsigned bit = r->bits - 1;
    bool right = (r->start.bytes[bit / 8] & (0x80 >> (bit % 8))) != 0;
    r->done_start = r->start;
    r->done_bits = r->bits;
    r->bits--;
    r->start = first_of(&r->start, r->bits);
    if (right) {
        r->next = r->start;
        r->past_end = false;
    }
}

/* So many peers that there is no room for the rest of the region: it becomes the largest subtree at its start that is covered. */
static bool shrink(struct provide_region *r)
{
    for (unsigned bits = r->bits + 1; bits <= PROVIDE_REGION_BITS_MAX; bits++) {
        struct kad_key last = last_of(&r->start, bits);
        if (kad_key_compare(&last, &r->next) >= 0)
            continue;
        if (count_within(r, bits) < KAD_K)
            return false;
        r->bits = bits;
        return true;
    }
    return false;
}

static void settle(struct provide_region *r)
{
    while (r->past_end || !provide_region_contains(r, &r->next)) {
        if (r->bits == 0 || count_within(r, r->bits) >= KAD_K) {
            finish(r);
            return;
        }
        widen(r);
    }
    if (r->peer_count + KAD_K > PROVIDE_REGION_PEERS_MAX && shrink(r))
        finish(r);
    else if (r->lookups >= PROVIDE_REGION_LOOKUPS_MAX || r->peer_count == PROVIDE_REGION_PEERS_MAX)
        r->state = REGION_FAILED;
}

void provide_region_found(struct provide_region *r, const struct peer_id *peers, size_t count)
{
    unsigned shared = KAD_KEY_BITS - 1;
    if (r->state != REGION_EXPLORING)
        return;
    r->lookups++;
    for (size_t i = 0; i < count; i++) {
        struct kad_key key = kad_key_of_peer(&peers[i]);
        unsigned common = kad_key_common_prefix(&key, &r->target_key);
        shared = common < shared ? common : shared;
        add_peer(r, &peers[i]);
    }
    if (count < KAD_K)
        shared = 0;
    if (r->bits == PROVIDE_REGION_BITS_UNKNOWN) {
        /* the farthest of KAD_K is in the sibling of the subtree that holds about half of them */
        double network = count < KAD_K ? (double)count : KAD_K;
        for (unsigned bit = 0; bit < shared; bit++)
            network *= 2;
        choose_bits(r, provide_region_bits(network));
    }
    r->depth = shared + 1 + DEPTH_SPARE;
    cover(r, &r->target_key, shared + 1);
    settle(r);
}

double provide_region_density(const struct provide_region *r)
{
    double peers = (double)r->peer_count;
    if (r->state != REGION_DONE)
        return 0;
    for (unsigned bit = 0; bit < r->bits; bit++)
        peers *= 2;
    return peers;
}
