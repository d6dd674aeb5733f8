/* SPDX-License-Identifier: MIT */
#include "actors/discovery/keeper.h"

#include <stdlib.h>
#include <string.h>

#include "wire/multiaddr.h"

static struct keeper_peer *find(struct keeper *k, const struct peer_id *id)
{
    for (size_t i = 0; i < KEEPER_PEERS_MAX; i++)
        if (k->peers[i].used && peer_id_equal(&k->peers[i].id, id))
            return &k->peers[i];
    return NULL;
}

/* A place whose try is still under way is not given away: the end of the try names it. */
static struct keeper_peer *find_place(struct keeper *k)
{
    for (size_t i = 0; i < KEEPER_PEERS_MAX; i++)
        if (!k->peers[i].used && !k->peers[i].running)
            return &k->peers[i];
    return NULL;
}

static void forget(struct keeper_peer *peer)
{
    for (size_t i = 0; i < peer->addr_count; i++)
        free(peer->addrs[i]);
    peer->addr_count = 0;
    peer->used = false;
}

void keeper_release(struct keeper *k)
{
    for (size_t i = 0; i < KEEPER_PEERS_MAX; i++)
        forget(&k->peers[i]);
    *k = (struct keeper){0};
}

static enum err add_addr(struct keeper_peer *peer, const char *addr)
{
    for (size_t i = 0; i < peer->addr_count; i++)
        if (strcmp(peer->addrs[i], addr) == 0)
            return ERR_OK;
    if (peer->addr_count == KEEPER_ADDRS_MAX)
        return ERR_BUSY;
    char *copy = strdup(addr);
    if (copy == NULL)
        return ERR_NOMEM;
    peer->addrs[peer->addr_count++] = copy;
    return ERR_OK;
}

enum err keeper_add(struct keeper *k, const char *addr, enum keeper_role role, uint64_t random)
{
    struct multiaddr ma;
    struct peer_id id;
    if (multiaddr_parse_text(span_text(addr), &ma) != ERR_OK || multiaddr_peer(multiaddr_span(&ma), &id) != ERR_OK)
        return ERR_INVALID;
    struct keeper_peer *peer = find(k, &id);
    struct keeper_peer *place = peer == NULL ? find_place(k) : peer;
    if (place == NULL)
        return ERR_BUSY;
    if (peer == NULL)
        *place = (struct keeper_peer){.id = id, .order = random};
    enum err err = add_addr(place, addr);
    if (err != ERR_OK)
        return err;
    place->used = true;
    place->peering = place->peering || role == KEEPER_PEERING;
    if (role == KEEPER_BOOTSTRAP && !place->bootstrap) {
        place->bootstrap = true;
        k->bootstraps++;
    }
    return ERR_OK;
}

void keeper_add_known(struct keeper *k, const struct peer_id *id, uint64_t random)
{
    struct keeper_peer *place = find(k, id) != NULL || k->known == KEEPER_KNOWN_MAX ? NULL : find_place(k);
    if (place == NULL)
        return;
    *place = (struct keeper_peer){.id = *id, .used = true, .order = random};
    k->known++;
}

bool keeper_remove(struct keeper *k, const struct peer_id *id)
{
    struct keeper_peer *peer = find(k, id);
    if (peer == NULL || !peer->peering)
        return false;
    peer->peering = false;
    if (!peer->bootstrap)
        forget(peer);
    return true;
}

/* However they are written. */
static bool is_same_addr(const char *text, const struct multiaddr *addr)
{
    struct multiaddr ma;
    return multiaddr_parse_text(span_text(text), &ma) == ERR_OK &&
           span_equal(multiaddr_span(&ma), multiaddr_span(addr));
}

bool keeper_remove_bootstrap(struct keeper *k, const char *addr)
{
    struct multiaddr ma;
    struct peer_id id;
    if (multiaddr_parse_text(span_text(addr), &ma) != ERR_OK || multiaddr_peer(multiaddr_span(&ma), &id) != ERR_OK)
        return false;
    struct keeper_peer *peer = find(k, &id);
    size_t at = 0;
    while (peer != NULL && at < peer->addr_count && !is_same_addr(peer->addrs[at], &ma))
        at++;
    if (peer == NULL || !peer->bootstrap || at == peer->addr_count)
        return false;
    if (!peer->peering) { /* whose addresses they are is not known: they stay */
        free(peer->addrs[at]);
        peer->addrs[at] = peer->addrs[--peer->addr_count];
        if (peer->addr_count > 0)
            return true;
        forget(peer);
    }
    peer->bootstrap = false;
    k->bootstraps--;
    return true;
}

/* ---- when ---- */

/* Half to all of the wait, so that peers that lost the same node do not come back at once. */
static void wait_for(struct keeper_peer *peer, uint64_t wait_ms, uint64_t now_ns, uint64_t random)
{
    peer->due_ns = now_ns + (wait_ms / 2 + random % (wait_ms / 2 + 1)) * MS_NS;
    peer->order = random;
}

static void retry_later(struct keeper_peer *peer, uint64_t now_ns, uint64_t random)
{
    unsigned doublings = MIN(peer->failures, 10u);
    wait_for(peer, MIN((uint64_t)KEEPER_RETRY_MS << doublings, (uint64_t)KEEPER_RETRY_MAX_MS), now_ns, random);
}

void keeper_found(struct keeper_peer *peer)
{
    peer->connected = true;
    if (peer->peering)
        peer->due_ns = 0; /* to be claimed */
}

void keeper_up(struct keeper *k, const struct peer_id *id)
{
    struct keeper_peer *peer = find(k, id);
    k->connected_any++;
    if (peer != NULL)
        keeper_found(peer);
}

/* Nobody is left: whoever has not failed is worth a try soon. */
static void hurry(struct keeper *k, uint64_t now_ns, uint64_t random)
{
    for (size_t i = 0; i < KEEPER_PEERS_MAX; i++) {
        struct keeper_peer *peer = &k->peers[i];
        if (!peer->used || peer->connected)
            continue;
        if (peer->due_ns < now_ns || (peer->failures == 0 && peer->due_ns > now_ns + KEEPER_RETRY_MS * MS_NS))
            retry_later(peer, now_ns, random + i);
    }
}

void keeper_down(struct keeper *k, const struct peer_id *id, uint64_t now_ns, uint64_t random)
{
    struct keeper_peer *peer = find(k, id);
    if (k->connected_any > 0)
        k->connected_any--;
    if (peer != NULL) {
        peer->connected = false;
        peer->claimed = false;
        if (peer->peering || k->connected_any == 0)
            retry_later(peer, now_ns, random);
        else
            wait_for(peer, KEEPER_PERIOD_MS, now_ns, random);
    }
    if (k->connected_any == 0)
        hurry(k, now_ns, random);
}

/* Peers of earlier lives stand in for bootstrap peers that do not answer; who wants no bootstrap wants none of them. */
static bool bootstrap_has_failed(const struct keeper *k)
{
    for (size_t i = 0; i < KEEPER_PEERS_MAX; i++) {
        const struct keeper_peer *peer = &k->peers[i];
        if (peer->used && peer->bootstrap && !peer->connected && peer->failures == 0)
            return false;
    }
    return k->bootstraps > 0;
}

static bool is_wanted(const struct keeper *k, const struct keeper_peer *peer, bool known_too)
{
    if (!peer->used || peer->running)
        return false;
    if (peer->peering)
        return !peer->connected || !peer->claimed;
    return !peer->connected && (peer->bootstrap || known_too) && k->connected_any + k->seeking < KEEPER_WANTED;
}

/* Peerings, then bootstrap peers, then known ones. */
static bool goes_before(const struct keeper_peer *a, const struct keeper_peer *b)
{
    int rank_a = a->peering * 2 + a->bootstrap;
    int rank_b = b->peering * 2 + b->bootstrap;
    if (a->peering && b->peering)
        return false; /* as they were added */
    return rank_a != rank_b ? rank_a > rank_b : a->order < b->order;
}

static bool is_absent_bootstrap(const struct keeper_peer *peer)
{
    return peer->used && peer->bootstrap && !peer->peering && !peer->connected && !peer->running;
}

/* At its time, and never at the first call: that a bootstrap peer is wanted at the start is for is_wanted to say. */
static struct keeper_peer *look_again(struct keeper *k, uint64_t now_ns)
{
    struct keeper_peer *best = NULL;
    if (k->bootstraps == 0 || now_ns < k->look_due_ns)
        return NULL;
    for (size_t i = 0; i < KEEPER_PEERS_MAX; i++) {
        struct keeper_peer *peer = &k->peers[i];
        if (is_absent_bootstrap(peer) && peer->due_ns <= now_ns && (best == NULL || peer->order < best->order))
            best = peer;
    }
    bool first = k->look_due_ns == 0;
    uint64_t more_ms = best == NULL ? 0 : best->order % (KEEPER_LOOK_MS / 2 + 1);
    k->look_due_ns = now_ns + (KEEPER_LOOK_MS / 2 + more_ms) * MS_NS;
    return first ? NULL : best;
}

struct keeper_peer *keeper_next(struct keeper *k, uint64_t now_ns)
{
    struct keeper_peer *best = NULL;
    if (k->running == KEEPER_RUNNING_MAX)
        return NULL;
    bool known_too = bootstrap_has_failed(k);
    for (size_t i = 0; i < KEEPER_PEERS_MAX; i++) {
        struct keeper_peer *peer = &k->peers[i];
        if (is_wanted(k, peer, known_too) && peer->due_ns <= now_ns && (best == NULL || goes_before(peer, best)))
            best = peer;
    }
    if (best == NULL)
        best = look_again(k, now_ns);
    if (best == NULL)
        return NULL;
    best->running = true;
    best->sought = !best->peering;
    k->running++;
    k->seeking += best->sought;
    return best;
}

void keeper_ended(struct keeper *k, struct keeper_peer *peer, bool connected, uint64_t now_ns, uint64_t random)
{
    peer->running = false;
    k->running--;
    k->seeking -= peer->sought;
    retry_later(peer, now_ns, random); /* if peer_up does not come */
    peer->failures = connected ? 0 : peer->failures + 1;
    peer->claimed = connected && !peer->sought;
}

uint64_t keeper_due(const struct keeper *k)
{
    uint64_t at = UINT64_MAX;
    bool known_too = bootstrap_has_failed(k);
    for (size_t i = 0; i < KEEPER_PEERS_MAX && k->running < KEEPER_RUNNING_MAX; i++)
        if (is_wanted(k, &k->peers[i], known_too))
            at = MIN(at, k->peers[i].due_ns);
        else if (k->look_due_ns != 0 && is_absent_bootstrap(&k->peers[i]))
            at = MIN(at, k->look_due_ns);
    return at;
}
