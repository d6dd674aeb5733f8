/* SPDX-License-Identifier: MIT */
#include "actors/discovery/neighbours.h"

#include <stdlib.h>
#include <string.h>

#include "net/addr.h"

void neighbours_init(struct neighbours *n, struct account *account, uint64_t now_ns)
{
    *n = (struct neighbours){.account = account, .all = {.last_ns = now_ns, .tokens = NEIGHBOURS_BURST}};
}

static void drop(struct neighbours *n, size_t slot)
{
    if (n->slots[slot] == NULL)
        return;
    free(n->slots[slot]);
    n->slots[slot] = NULL;
    n->count--;
    if (n->account != NULL)
        account_give(n->account, sizeof(struct neighbour));
}

void neighbours_release(struct neighbours *n)
{
    for (size_t i = 0; i < NEIGHBOURS_MAX; i++)
        drop(n, i);
}

/* ---- how many new peers are believed ---- */

static bool take_token(struct neighbour_bucket *bucket, uint32_t burst, uint64_t refill_ms, uint64_t now_ns)
{
    uint64_t gained = (now_ns - bucket->last_ns) / (refill_ms * MS_NS);
    bucket->last_ns += gained * refill_ms * MS_NS;
    bucket->tokens = (uint32_t)MIN((uint64_t)burst, bucket->tokens + gained);
    if (bucket->tokens == 0)
        return false;
    bucket->tokens--;
    return true;
}

/* The bucket of a source; a new one takes the place of the one unused for longest. */
static struct neighbour_bucket *bucket_of(struct neighbours *n, const struct net_addr *from, uint64_t now_ns)
{
    struct neighbour_source *oldest = &n->sources[0];
    struct net_addr host = *from;
    host.port = 0; /* one host, however many sockets */
    for (size_t i = 0; i < NEIGHBOURS_SOURCES_MAX; i++) {
        struct neighbour_source *source = &n->sources[i];
        if (source->used_ns != 0 && addr_equal(&source->addr, &host)) {
            source->used_ns = now_ns;
            return &source->bucket;
        }
        if (source->used_ns < oldest->used_ns)
            oldest = source;
    }
    *oldest = (struct neighbour_source){
        .addr = host, .used_ns = now_ns, .bucket = {.last_ns = now_ns, .tokens = NEIGHBOURS_SOURCE_BURST}};
    return &oldest->bucket;
}

static bool is_believed(struct neighbours *n, const struct net_addr *from, uint64_t now_ns)
{
    return take_token(bucket_of(n, from, now_ns), NEIGHBOURS_SOURCE_BURST, NEIGHBOURS_SOURCE_REFILL_MS, now_ns) &&
           take_token(&n->all, NEIGHBOURS_BURST, NEIGHBOURS_REFILL_MS, now_ns);
}

/* ---- entries ---- */

static struct neighbour *find(struct neighbours *n, const struct peer_id *id)
{
    for (size_t i = 0; i < NEIGHBOURS_MAX; i++)
        if (n->slots[i] != NULL && peer_id_equal(&n->slots[i]->id, id))
            return n->slots[i];
    return NULL;
}

void neighbours_expire(struct neighbours *n, uint64_t now_ns)
{
    for (size_t i = 0; i < NEIGHBOURS_MAX; i++) {
        const struct neighbour *peer = n->slots[i];
        if (peer != NULL && !peer->running && now_ns - peer->seen_ns >= NEIGHBOUR_LIFE_S * SECOND_NS)
            drop(n, i);
    }
}

static struct neighbour *add(struct neighbours *n, const struct peer_id *id, const struct net_addr *from,
                             uint64_t now_ns)
{
    if (n->count == NEIGHBOURS_MAX)
        neighbours_expire(n, now_ns);
    if (n->count == NEIGHBOURS_MAX || !is_believed(n, from, now_ns) ||
        (n->account != NULL && !account_take(n->account, sizeof(struct neighbour)))) {
        n->refused++;
        return NULL;
    }
    struct neighbour *peer = calloc(1, sizeof(*peer));
    if (peer == NULL) {
        if (n->account != NULL)
            account_give(n->account, sizeof(*peer));
        n->refused++;
        return NULL;
    }
    size_t slot = 0;
    while (n->slots[slot] != NULL)
        slot++;
    *peer = (struct neighbour){.id = *id, .first_seen_ns = now_ns, .due_ns = now_ns};
    n->slots[slot] = peer;
    n->count++;
    return peer;
}

static void add_addr(struct neighbour *peer, struct span addr)
{
    for (size_t i = 0; i < peer->addr_count; i++)
        if (span_equal(span_of(peer->addrs[i].bytes, peer->addrs[i].len), addr))
            return;
    struct neighbour_addr *to = &peer->addrs[peer->added++ % NEIGHBOUR_ADDRS_MAX];
    memcpy(to->bytes, addr.data, addr.len);
    to->len = (uint8_t)addr.len;
    peer->addr_count = MIN(peer->addr_count + 1, (size_t)NEIGHBOUR_ADDRS_MAX);
}

void neighbours_note(struct neighbours *n, const struct peer_id *id, struct span addr, const struct net_addr *from,
                     uint64_t now_ns)
{
    if (addr.len == 0 || addr.len > NEIGHBOUR_ADDR_BYTES_MAX)
        return;
    struct neighbour *peer = find(n, id);
    if (peer == NULL)
        peer = add(n, id, from, now_ns);
    if (peer == NULL)
        return;
    add_addr(peer, addr);
    peer->seen_ns = now_ns;
    peer->wanted = peer->wanted || (!peer->running && peer->due_ns <= now_ns);
}

/* ---- dials ---- */

struct neighbour *neighbours_next(struct neighbours *n, size_t *ret_slot)
{
    for (size_t i = 0; i < NEIGHBOURS_MAX && n->running < NEIGHBOURS_DIALS_MAX; i++) {
        struct neighbour *peer = n->slots[i];
        if (peer == NULL || !peer->wanted)
            continue;
        peer->wanted = false;
        peer->running = true;
        n->running++;
        *ret_slot = i;
        return peer;
    }
    return NULL;
}

void neighbours_ended(struct neighbours *n, size_t slot, bool connected, uint64_t now_ns)
{
    struct neighbour *peer = n->slots[slot];
    uint64_t retry_ms = (uint64_t)NEIGHBOUR_RETRY_MS << MIN(peer->failures, 10u);
    uint64_t pause_ms = connected ? NEIGHBOUR_AGAIN_MS : MIN(retry_ms, (uint64_t)NEIGHBOUR_RETRY_MAX_MS);
    peer->failures = connected ? 0 : peer->failures + 1;
    peer->due_ns = now_ns + pause_ms * MS_NS;
    peer->running = false;
    n->running--;
}
