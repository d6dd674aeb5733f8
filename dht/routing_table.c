/* SPDX-License-Identifier: MIT */
#include "dht/routing_table.h"

#include <stdlib.h>
#include <string.h>

#include "wire/addr_list.h"

void routing_table_init(struct routing_table *t, const struct peer_id *own, bool diverse, uint64_t grace_ms,
                        struct account *account)
{
    *t = (struct routing_table){
        .own = kad_key_of_peer(own), .own_id = *own, .diverse = diverse, .grace_ms = grace_ms, .account = account};
}

static void *take_memory(struct routing_table *t, size_t bytes)
{
    if (t->account != NULL && !account_take(t->account, bytes))
        return NULL;
    void *memory = calloc(1, bytes);
    if (memory == NULL && t->account != NULL)
        account_give(t->account, bytes);
    return memory;
}

static void give_memory(struct routing_table *t, void *memory, size_t bytes)
{
    free(memory);
    if (memory != NULL && t->account != NULL)
        account_give(t->account, bytes);
}

static void free_peer(struct routing_table *t, struct routing_peer *peer)
{
    give_memory(t, peer->addrs, peer->addrs_len);
    give_memory(t, peer, sizeof(*peer));
}

void routing_table_release(struct routing_table *t)
{
    for (size_t b = 0; b < t->bucket_count; b++) {
        for (size_t i = 0; i < t->buckets[b]->count; i++)
            free_peer(t, t->buckets[b]->peers[i]);
        give_memory(t, t->buckets[b], sizeof(*t->buckets[b]));
    }
    t->bucket_count = 0;
    t->count = 0;
}

/* Only with a bucket in the table. */
static struct routing_bucket *bucket_of(const struct routing_table *t, unsigned cpl)
{
    return t->buckets[MIN(cpl, t->bucket_count - 1)];
}

static struct routing_peer *find(const struct routing_table *t, const struct peer_id *id, const struct kad_key *key)
{
    if (t->bucket_count == 0)
        return NULL;
    struct routing_bucket *bucket = bucket_of(t, kad_key_common_prefix(&t->own, key));
    for (size_t i = 0; i < bucket->count; i++) {
        if (peer_id_equal(&bucket->peers[i]->id, id))
            return bucket->peers[i];
    }
    return NULL;
}

static struct routing_peer *find_id(const struct routing_table *t, const struct peer_id *id)
{
    struct kad_key key = kad_key_of_peer(id);
    return find(t, id, &key);
}

/* As many addresses as fit the bound; a peer whose addresses find no memory is told without. */
static void set_addrs(struct routing_table *t, struct routing_peer *peer, struct span addrs)
{
    size_t len = 0;
    struct span rest = addrs;
    struct span addr;
    for (size_t count = 0; count < ROUTING_ADDRS_MAX && addr_list_next(&rest, &addr); count++) {
        size_t end = addrs.len - rest.len;
        if (end > ROUTING_ADDRS_BYTES_MAX)
            break;
        len = end;
    }
    if (len == peer->addrs_len && (len == 0 || memcmp(peer->addrs, addrs.data, len) == 0))
        return;
    uint8_t *copy = len == 0 ? NULL : take_memory(t, len);
    if (copy == NULL && len > 0)
        return;
    if (len > 0)
        memcpy(copy, addrs.data, len);
    give_memory(t, peer->addrs, peer->addrs_len);
    peer->addrs = copy;
    peer->addrs_len = (uint16_t)len;
}

/* May a peer of this group be at this prefix length? `except` is not counted: it would leave, or is the peer itself. */
static bool group_allowed(const struct routing_table *t, ip_group group, unsigned cpl,
                          const struct routing_peer *except)
{
    size_t in_table = 0;
    size_t at_cpl = 0;
    size_t position = 0;
    const struct routing_peer *peer;
    while ((peer = routing_table_next(t, &position)) != NULL) {
        if (peer == except || peer->group != group)
            continue;
        in_table++;
        at_cpl += peer->cpl == cpl;
    }
    return in_table < ROUTING_GROUP_MAX && at_cpl < ROUTING_GROUP_CPL_MAX;
}

/* A known peer was seen again. That it moved to a group which is full already does not end its place, but its new group is not counted. */
static void renew(struct routing_table *t, struct routing_peer *peer, struct span seen_at, struct span addrs)
{
    ip_group group = t->diverse ? ip_group_of_addr(seen_at) : 0;
    if (group != 0 && group != peer->group) {
        if (group_allowed(t, group, peer->cpl, peer))
            peer->group = group;
        else
            t->refused_diversity++;
    }
    set_addrs(t, peer, addrs);
}

/* When it last was of use: a newcomer has its grace from when it came. */
static uint64_t last_good(const struct routing_peer *peer)
{
    return MAX(peer->added_ms, peer->last_useful_ms);
}

/* The peer that a newcomer may replace: most failures first, then the longest of no use past the grace. NULL: all are good. */
static struct routing_peer *replaceable(const struct routing_table *t, const struct routing_bucket *bucket,
                                        uint64_t now_ms)
{
    struct routing_peer *worst = NULL;
    for (size_t i = 0; i < bucket->count; i++) {
        struct routing_peer *peer = bucket->peers[i];
        bool idle = now_ms - MIN(now_ms, last_good(peer)) > t->grace_ms;
        if (peer->failures == 0 && !idle)
            continue;
        if (worst == NULL || peer->failures > worst->failures ||
            (peer->failures == worst->failures && last_good(peer) < last_good(worst)))
            worst = peer;
    }
    return worst;
}

static void drop(struct routing_table *t, struct routing_peer *peer)
{
    struct routing_bucket *bucket = bucket_of(t, peer->cpl);
    size_t at = 0;
    while (bucket->peers[at] != peer)
        at++;
    bucket->peers[at] = bucket->peers[--bucket->count];
    t->count--;
    free_peer(t, peer);
    /* go's rule: empty buckets at the end go, so that refreshes do not look for what is not there. */
    while (t->bucket_count > 1 && t->buckets[t->bucket_count - 1]->count == 0) {
        t->bucket_count--;
        give_memory(t, t->buckets[t->bucket_count], sizeof(struct routing_bucket));
    }
}

static enum err add_bucket(struct routing_table *t)
{
    struct routing_bucket *bucket = take_memory(t, sizeof(*bucket));
    if (bucket == NULL)
        return ERR_NOMEM;
    t->buckets[t->bucket_count++] = bucket;
    return ERR_OK;
}

/* Peers with a longer prefix than the last bucket's number move to a new last one, again and again while that one holds all of them. */
static enum err split(struct routing_table *t)
{
    while (t->bucket_count < ROUTING_BUCKETS_MAX && t->buckets[t->bucket_count - 1]->count == KAD_K) {
        struct routing_bucket *from = t->buckets[t->bucket_count - 1];
        size_t depth = t->bucket_count - 1;
        enum err err = add_bucket(t);
        if (err != ERR_OK)
            return err;
        struct routing_bucket *to = t->buckets[t->bucket_count - 1];
        size_t kept = 0;
        for (size_t i = 0; i < from->count; i++) {
            if (from->peers[i]->cpl > depth)
                to->peers[to->count++] = from->peers[i];
            else
                from->peers[kept++] = from->peers[i];
        }
        from->count = kept;
    }
    return ERR_OK;
}

/* Room in the newcomer's bucket; *ret_leaving is whom it would replace, or NULL. */
static enum err find_room(struct routing_table *t, unsigned cpl, uint64_t now_ms, struct routing_peer **ret_leaving)
{
    *ret_leaving = NULL;
    if (t->bucket_count == 0 && add_bucket(t) != ERR_OK)
        return ERR_NOMEM;
    if (bucket_of(t, cpl)->count == KAD_K && cpl + 1 >= t->bucket_count && split(t) != ERR_OK)
        return ERR_NOMEM;
    struct routing_bucket *bucket = bucket_of(t, cpl);
    if (bucket->count < KAD_K)
        return ERR_OK;
    *ret_leaving = replaceable(t, bucket, now_ms);
    if (*ret_leaving != NULL)
        return ERR_OK;
    t->refused_full++;
    return ERR_BUSY;
}

static void put(struct routing_table *t, struct routing_peer *peer, struct routing_peer *leaving)
{
    if (leaving != NULL) {
        drop(t, leaving);
        t->replaced++;
    }
    struct routing_bucket *bucket = bucket_of(t, peer->cpl);
    bucket->peers[bucket->count++] = peer;
    t->count++;
}

enum err routing_table_add(struct routing_table *t, const struct peer_id *id, struct span seen_at, struct span addrs,
                           bool useful, uint64_t now_ms)
{
    struct kad_key key = kad_key_of_peer(id);
    unsigned cpl = kad_key_common_prefix(&t->own, &key);
    if (cpl == KAD_KEY_BITS || peer_id_is_empty(id))
        return ERR_INVALID;
    struct routing_peer *known = find(t, id, &key);
    if (known != NULL) {
        renew(t, known, seen_at, addrs);
        if (useful)
            routing_table_answered(t, id, true, now_ms);
        return ERR_EXISTS;
    }
    struct routing_peer *leaving = NULL;
    enum err err = find_room(t, cpl, now_ms, &leaving);
    if (err != ERR_OK)
        return err;
    ip_group group = t->diverse ? ip_group_of_addr(seen_at) : 0;
    if (t->diverse && (group == 0 || !group_allowed(t, group, cpl, leaving))) {
        t->refused_diversity++;
        return ERR_DENIED;
    }
    struct routing_peer *peer = take_memory(t, sizeof(*peer));
    if (peer == NULL)
        return ERR_NOMEM;
    *peer = (struct routing_peer){.id = *id,
                                  .key = key,
                                  .cpl = (uint16_t)cpl,
                                  .group = group,
                                  .added_ms = now_ms,
                                  .last_useful_ms = useful ? now_ms : 0,
                                  .last_queried_ms = useful ? now_ms : 0};
    set_addrs(t, peer, addrs);
    put(t, peer, leaving);
    return ERR_OK;
}

bool routing_table_remove(struct routing_table *t, const struct peer_id *id)
{
    struct routing_peer *peer = find_id(t, id);
    if (peer != NULL)
        drop(t, peer);
    return peer != NULL;
}

void routing_table_answered(struct routing_table *t, const struct peer_id *id, bool useful, uint64_t now_ms)
{
    struct routing_peer *peer = find_id(t, id);
    if (peer == NULL)
        return;
    peer->failures = 0;
    peer->last_queried_ms = now_ms;
    if (useful)
        peer->last_useful_ms = now_ms;
}

bool routing_table_failed(struct routing_table *t, const struct peer_id *id)
{
    struct routing_peer *peer = find_id(t, id);
    if (peer == NULL || ++peer->failures < ROUTING_FAILURES_MAX)
        return false;
    drop(t, peer);
    return true;
}

const struct routing_peer *routing_table_find(const struct routing_table *t, const struct peer_id *id)
{
    return find_id(t, id);
}

const struct routing_peer *routing_table_next(const struct routing_table *t, size_t *position)
{
    size_t skip = *position;
    for (size_t b = 0; b < t->bucket_count; b++) {
        const struct routing_bucket *bucket = t->buckets[b];
        if (skip < bucket->count) {
            (*position)++;
            return bucket->peers[skip];
        }
        skip -= bucket->count;
    }
    return NULL;
}

/* Sorts the bucket's peers into what is there from `from` on; those past max fall off. Returns the new count. */
static size_t merge(const struct routing_bucket *bucket, const struct kad_key *target,
                    const struct routing_peer **peers, size_t from, size_t count, size_t max)
{
    for (size_t i = 0; i < bucket->count; i++) {
        const struct routing_peer *peer = bucket->peers[i];
        size_t at = count;
        while (at > from && kad_key_closer(target, &peer->key, &peers[at - 1]->key) < 0)
            at--;
        if (at >= max)
            continue;
        count = MIN(count + 1, max);
        memmove(peers + at + 1, peers + at, (count - 1 - at) * sizeof(*peers));
        peers[at] = peer;
    }
    return count;
}

/*
 * Buckets in order of distance: the target's own shares more with it than all others; the deeper ones together share exactly its
 * prefix; then come the shallower ones, each farther than the one before.
 */
size_t routing_table_closest(const struct routing_table *t, const struct kad_key *target,
                             const struct routing_peer **ret_peers, size_t max)
{
    if (t->bucket_count == 0)
        return 0;
    size_t own = MIN(kad_key_common_prefix(&t->own, target), t->bucket_count - 1);
    size_t count = merge(t->buckets[own], target, ret_peers, 0, 0, max);
    size_t from = count;
    for (size_t b = own + 1; b < t->bucket_count && from < max; b++)
        count = merge(t->buckets[b], target, ret_peers, from, count, max);
    for (size_t b = own; b > 0 && count < max; b--)
        count = merge(t->buckets[b - 1], target, ret_peers, count, count, max);
    return count;
}

const struct routing_peer *routing_table_stale(const struct routing_table *t, uint64_t age_ms, uint64_t now_ms)
{
    const struct routing_peer *oldest = NULL;
    const struct routing_peer *peer;
    for (size_t position = 0; (peer = routing_table_next(t, &position)) != NULL;) {
        if (oldest == NULL ||
            MAX(peer->added_ms, peer->last_queried_ms) < MAX(oldest->added_ms, oldest->last_queried_ms))
            oldest = peer;
    }
    if (oldest == NULL || now_ms - MIN(now_ms, MAX(oldest->added_ms, oldest->last_queried_ms)) < age_ms)
        return NULL;
    return oldest;
}

size_t routing_table_due(const struct routing_table *t, uint64_t interval_ms, uint64_t now_ms,
                         uint8_t ret_cpls[ROUTING_REFRESH_CPL_MAX + 1])
{
    size_t deepest = 0;
    size_t position = 0;
    const struct routing_peer *peer;
    while ((peer = routing_table_next(t, &position)) != NULL)
        deepest = MAX(deepest, (size_t)peer->cpl + 1);
    size_t count = 0;
    for (size_t cpl = 0; cpl <= MIN(deepest, (size_t)ROUTING_REFRESH_CPL_MAX); cpl++) {
        if (t->refreshed_ms[cpl] == 0 || now_ms - MIN(now_ms, t->refreshed_ms[cpl]) >= interval_ms)
            ret_cpls[count++] = (uint8_t)cpl;
    }
    return count;
}

void routing_table_refreshed(struct routing_table *t, const struct kad_key *target, uint64_t now_ms)
{
    unsigned cpl = kad_key_common_prefix(&t->own, target);
    if (cpl <= ROUTING_REFRESH_CPL_MAX)
        t->refreshed_ms[cpl] = MAX(now_ms, 1);
}

bool routing_table_target(const struct routing_table *t, unsigned cpl, const uint8_t random[32], struct peer_id *ret_id)
{
    enum { TRIALS_MAX = 1 << 20 };
    uint8_t bytes[2 + 32] = {0x12, 0x20};
    memcpy(bytes + 2, random, 32);
    for (uint32_t trial = 0; trial < TRIALS_MAX; trial++) {
        memcpy(bytes + 2, &trial, sizeof(trial));
        struct kad_key key = kad_key_of(span_of(bytes, sizeof(bytes)));
        if (kad_key_common_prefix(&t->own, &key) == cpl)
            return peer_id_parse(span_of(bytes, sizeof(bytes)), ret_id) == ERR_OK;
    }
    return false;
}
