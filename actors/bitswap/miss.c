/* SPDX-License-Identifier: MIT */
/*
 * What peers want and is not here. A master fetches it from the network, so that those who ask again, or still wait, get it here; all others say
 * that they do not have it, and so does a master at first. Peers choose what is fetched, so there is little of it at a time, less for one
 * peer, none twice in ten minutes, and nothing that is denied. Our own wants have priority 1, as unimportant as they come: masters that
 * ask each other do not set each other off.
 */
#include "actors/bitswap/node.h"
#include "schemas/config.h"
#include "schemas/role.h"

void miss_init(struct node *n, const struct config *config)
{
    n->misses = (struct misses){.enabled = role_of(config)->fetches && n->serves && !config->offline};
}

static bool was_missed(const struct misses *m, const uint8_t key[16], uint64_t now_ns)
{
    for (size_t i = 0; i < NODE_MISSED_MAX; i++)
        if (m->missed[i].until_ns > now_ns && memcmp(m->missed[i].key, key, sizeof(m->missed[i].key)) == 0)
            return true;
    return false;
}

/* NODE_MISSES_MAX: none for this peer. */
static size_t find_slot(const struct misses *m, const struct peer_id *peer)
{
    size_t slot = NODE_MISSES_MAX;
    size_t of_peer = 0;
    for (size_t i = 0; i < NODE_MISSES_MAX; i++) {
        if (!m->slots[i].running)
            slot = i;
        of_peer += m->slots[i].running && peer_id_equal(&m->slots[i].peer, peer);
    }
    return of_peer < NODE_MISSES_PEER ? slot : NODE_MISSES_MAX;
}

void miss_seen(struct node *n, const struct cid *cid)
{
    struct misses *m = &n->misses;
    struct peer_id peer;
    uint8_t key[16] = {0};
    if (!m->enabled || engine_most_wanted(n->engine, cid, &peer) <= 1)
        return;
    memcpy(key, cid->hash.digest, MIN(cid->hash.len, sizeof(key)));
    size_t slot = find_slot(m, &peer);
    if (slot == NODE_MISSES_MAX || was_missed(m, key, ctx_now(n->ctx)))
        return;
    struct missed *missed = &m->missed[m->next++ % NODE_MISSED_MAX];
    memcpy(missed->key, key, sizeof(key));
    missed->until_ns = ctx_now(n->ctx) + NODE_MISSED_S * SECOND_NS;
    m->slots[slot].running = true;
    m->slots[slot].peer = peer;
    (void)fetch_miss(n, cid, slot);
}

void miss_over(struct node *n, size_t slot)
{
    n->misses.slots[slot].running = false;
}
