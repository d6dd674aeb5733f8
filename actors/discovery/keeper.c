/* SPDX-License-Identifier: MIT */
#include "actors/discovery/keeper.h"

#include "wire/multiaddr.h"

static struct keeper_peer *find(struct keeper *k, const struct peer_id *id)
{
    for (size_t i = 0; i < k->count; i++)
        if (peer_id_equal(&k->peers[i].id, id))
            return &k->peers[i];
    return NULL;
}

enum err keeper_add(struct keeper *k, const char *addr, bool peering)
{
    struct multiaddr ma;
    struct peer_id id;
    if (multiaddr_parse_text(span_text(addr), &ma) != ERR_OK || multiaddr_peer(multiaddr_span(&ma), &id) != ERR_OK)
        return ERR_INVALID;
    struct keeper_peer *peer = find(k, &id);
    if (peer != NULL) {
        if (peering && !peer->peering)
            peer->addr = addr;
        peer->peering = peer->peering || peering;
        return ERR_OK;
    }
    if (k->count == KEEPER_PEERS_MAX)
        return ERR_BUSY;
    k->peers[k->count++] = (struct keeper_peer){.id = id, .addr = addr, .peering = peering};
    return ERR_OK;
}

/* Half to all of the wait, so that peers that lost the same node do not come back at once. */
static void retry_later(struct keeper_peer *peer, uint64_t now_ns, uint64_t jitter)
{
    unsigned doublings = MIN(peer->failures, 10u);
    uint64_t wait_ms = MIN((uint64_t)KEEPER_RETRY_MS << doublings, (uint64_t)KEEPER_RETRY_MAX_MS);
    peer->due_ns = now_ns + (wait_ms / 2 + jitter % (wait_ms / 2 + 1)) * MS_NS;
}

void keeper_up(struct keeper *k, const struct peer_id *id)
{
    struct keeper_peer *peer = find(k, id);
    k->connected_any++;
    if (peer == NULL)
        return;
    peer->connected = true;
    peer->done = true;
    peer->failures = 0;
}

void keeper_down(struct keeper *k, const struct peer_id *id, uint64_t now_ns, uint64_t jitter)
{
    struct keeper_peer *peer = find(k, id);
    if (k->connected_any > 0)
        k->connected_any--;
    if (peer != NULL) {
        peer->connected = false;
        retry_later(peer, now_ns, jitter);
    }
    if (k->connected_any > 0)
        return;
    for (size_t i = 0; i < k->count; i++) { /* alone: everybody configured is worth a try */
        k->peers[i].done = false;
        if (k->peers[i].due_ns < now_ns)
            retry_later(&k->peers[i], now_ns, jitter);
    }
}

static bool is_wanted(const struct keeper_peer *peer)
{
    return !peer->connected && !peer->running && (peer->peering || !peer->done);
}

struct keeper_peer *keeper_next(struct keeper *k, uint64_t now_ns)
{
    for (size_t i = 0; i < k->count && k->running < KEEPER_RUNNING_MAX; i++) {
        struct keeper_peer *peer = &k->peers[i];
        if (!is_wanted(peer) || peer->due_ns > now_ns)
            continue;
        peer->running = true;
        k->running++;
        return peer;
    }
    return NULL;
}

void keeper_ended(struct keeper *k, struct keeper_peer *peer, bool connected, uint64_t now_ns, uint64_t jitter)
{
    peer->running = false;
    k->running--;
    if (connected) { /* peer_up says the rest */
        peer->done = true;
        peer->failures = 0;
        retry_later(peer, now_ns, jitter);
        return;
    }
    retry_later(peer, now_ns, jitter);
    peer->failures++;
}

uint64_t keeper_due(const struct keeper *k)
{
    uint64_t at = UINT64_MAX;
    for (size_t i = 0; i < k->count && k->running < KEEPER_RUNNING_MAX; i++)
        if (is_wanted(&k->peers[i]))
            at = MIN(at, k->peers[i].due_ns);
    return at;
}
