/* SPDX-License-Identifier: MIT */
#include "actors/bitswap/engine_internal.h"

#include <assert.h>
#include <stdlib.h>

void *engine_take(struct engine *e, size_t bytes)
{
    if (e->tables != NULL && !account_take(e->tables, bytes))
        return NULL;
    void *p = calloc(1, bytes);
    if (p == NULL && e->tables != NULL)
        account_give(e->tables, bytes);
    return p;
}

void engine_give(struct engine *e, void *p, size_t bytes)
{
    free(p);
    if (e->tables != NULL)
        account_give(e->tables, bytes);
}

void engine_turn_push(struct engine *e, struct engine_peer *peer)
{
    if (peer->in_turn || peer->ledger.lists[LEDGER_QUEUED].count == 0)
        return;
    peer->in_turn = true;
    peer->next_turn = NULL;
    *e->turns_last = peer;
    e->turns_last = &peer->next_turn;
}

void engine_turn_remove(struct engine *e, struct engine_peer *peer)
{
    struct engine_peer **at = &e->turns;
    if (!peer->in_turn)
        return;
    while (*at != peer)
        at = &(*at)->next_turn;
    *at = peer->next_turn;
    if (e->turns_last == &peer->next_turn)
        e->turns_last = at;
    peer->in_turn = false;
}

void engine_dirty_push(struct engine *e, struct engine_peer *peer)
{
    if (peer->dirty)
        return;
    peer->dirty = true;
    peer->next_dirty = NULL;
    *e->dirty_last = peer;
    e->dirty_last = &peer->next_dirty;
}

void engine_dirty_remove(struct engine *e, struct engine_peer *peer)
{
    struct engine_peer **at = &e->dirty;
    if (!peer->dirty)
        return;
    while (*at != peer)
        at = &(*at)->next_dirty;
    *at = peer->next_dirty;
    if (e->dirty_last == &peer->next_dirty)
        e->dirty_last = at;
    peer->dirty = false;
}

void engine_presence_push(struct engine *e, struct engine_peer *peer, const struct cid *cid, bool have)
{
    struct presence *p = peer->presence_count < ENGINE_PRESENCES_MAX ? engine_take(e, sizeof(*p)) : NULL;
    if (p == NULL) {
        e->stats.wants_refused++;
        return;
    }
    *p = (struct presence){.cid = *cid, .have = have};
    *peer->presences_last = p;
    peer->presences_last = &p->next;
    peer->presence_count++;
    engine_dirty_push(e, peer);
}

void engine_presence_pop(struct engine *e, struct engine_peer *peer)
{
    struct presence *p = peer->presences;
    peer->presences = p->next;
    if (p->next == NULL)
        peer->presences_last = &peer->presences;
    peer->presence_count--;
    engine_give(e, p, sizeof(*p));
}

void engine_ready_pop(struct engine *e, struct engine_peer *peer)
{
    struct ready *r = peer->ready;
    peer->ready = r->next;
    if (r->next == NULL)
        peer->ready_last = &peer->ready;
    peer->ready_bytes -= r->block->len;
    block_ref_unref(r->block);
    engine_give(e, r, sizeof(*r));
}

void engine_charge_back(struct engine *e, struct engine_peer *peer, size_t bytes)
{
    assert(bytes <= peer->outstanding);
    peer->outstanding -= bytes;
    if (e->send != NULL)
        account_give(e->send, bytes);
}

/* For the engine's charge, and for what storage will take to read this block and those under way. */
static bool send_has_room(const struct engine *e, size_t size)
{
    return e->send == NULL || account_free(e->send) >= e->reading + 2 * size;
}

static size_t peer_bytes_max(const struct engine *e)
{
    uint64_t share = e->send == NULL ? 0 : account_free(e->send) / 2;
    return (size_t)MIN(MAX(share, (uint64_t)ENGINE_PEER_BYTES_LEAST), (uint64_t)ENGINE_PEER_BYTES_MAX);
}

static void turn_pass(struct engine *e, struct engine_peer *peer)
{
    engine_turn_remove(e, peer);
    engine_turn_push(e, peer);
}

/* One step of the round: true when the first peer may fetch its next block, which it pays for. */
static bool turn_step(struct engine *e, struct engine_peer *peer, size_t size)
{
    if (peer->outstanding > 0 && peer->outstanding + size > peer_bytes_max(e)) {
        engine_turn_remove(e, peer); /* engine_sent brings it back */
        return false;
    }
    if (peer->deficit < size) {
        peer->deficit += ENGINE_QUANTUM_BYTES;
        turn_pass(e, peer);
        return false;
    }
    peer->deficit -= size;
    return true;
}

bool engine_waits_for_memory(const struct engine *e)
{
    return e->short_of_memory && e->turns != NULL;
}

bool engine_next_fetch(struct engine *e, struct engine_fetch *ret_fetch)
{
    size_t rounds = BITSWAP_MESSAGE_MAX / ENGINE_QUANTUM_BYTES + 2;
    for (size_t tries = table_len(&e->peers) * rounds; tries > 0 && e->turns != NULL; tries--) {
        struct engine_peer *peer = e->turns;
        struct ledger_want *w = peer->ledger.lists[LEDGER_QUEUED].first;
        if (w == NULL) {
            engine_turn_remove(e, peer);
            peer->deficit = 0;
            continue;
        }
        e->short_of_memory = !send_has_room(e, w->size);
        if (e->short_of_memory)
            return false;
        if (!turn_step(e, peer, w->size))
            continue;
        if (e->send != NULL && !account_take(e->send, w->size)) {
            e->short_of_memory = true;
            return false;
        }
        e->reading += w->size;
        peer->outstanding += w->size;
        peer->fetching++;
        ledger_move(&peer->ledger, w, LEDGER_FETCHING);
        *ret_fetch = (struct engine_fetch){.peer = peer, .cid = w->cid, .size = w->size};
        return true;
    }
    return false;
}

bool engine_has_work(const struct engine *e)
{
    return e->turns != NULL || e->lookups != NULL;
}

static bool ready_push(struct engine *e, struct engine_peer *peer, const struct cid *cid, struct block_ref *block)
{
    struct ready *r = engine_take(e, sizeof(*r));
    if (r == NULL)
        return false;
    *r = (struct ready){.cid = *cid, .block = block_ref_ref(block)};
    *peer->ready_last = r;
    peer->ready_last = &r->next;
    peer->ready_bytes += block->len;
    return true;
}

void engine_fetched(struct engine *e, struct engine_peer *peer, const struct cid *cid, struct block_ref *block)
{
    struct ledger_want *w = ledger_find(&peer->ledger, cid);
    if (w == NULL || w->state != LEDGER_FETCHING)
        return;
    size_t size = w->size;
    e->reading -= size;
    peer->fetching--;
    if (block != NULL && block->len == size && ready_push(e, peer, cid, block)) {
        engine_want_remove(e, w);
        engine_dirty_push(e, peer);
        return;
    }
    engine_charge_back(e, peer, size);
    engine_answer_absent(e, w);
    engine_turn_push(e, peer);
    engine_dirty_push(e, peer);
}

/* A fetch that gave nothing; NULL: nobody waits for it any more. */
static struct ledger_want *fetch_failed(struct engine *e, struct engine_peer *peer, const struct cid *cid)
{
    struct ledger_want *w = ledger_find(&peer->ledger, cid);
    if (w == NULL || w->state != LEDGER_FETCHING)
        return NULL;
    e->reading -= w->size;
    peer->fetching--;
    engine_charge_back(e, peer, w->size);
    return w;
}

void engine_fetch_again(struct engine *e, struct engine_peer *peer, const struct cid *cid)
{
    struct ledger_want *w = fetch_failed(e, peer, cid);
    if (w == NULL)
        return;
    ledger_move(&peer->ledger, w, LEDGER_QUEUED);
    engine_turn_push(e, peer);
}

void engine_fetch_in_doubt(struct engine *e, struct engine_peer *peer, const struct cid *cid)
{
    struct ledger_want *w = fetch_failed(e, peer, cid);
    if (w == NULL)
        return;
    engine_want_look(e, w);
    engine_turn_push(e, peer);
    engine_dirty_push(e, peer);
}

/* What the peer takes in a second. */
static size_t batch_bytes(const struct engine_peer *peer)
{
    uint64_t rate = rate_per_second(&peer->rate, ENGINE_BATCH_MAX);
    return (size_t)MIN(MAX(rate, (uint64_t)ENGINE_BATCH_LEAST), (uint64_t)ENGINE_BATCH_MAX);
}

bool engine_has_message(const struct engine_peer *peer)
{
    bool batch = peer->ready_bytes >= batch_bytes(peer) || peer->fetching == 0;
    return peer->presences != NULL || (peer->ready != NULL && batch);
}

struct engine_peer *engine_next_dirty(struct engine *e)
{
    struct engine_peer *peer = e->dirty;
    if (peer != NULL)
        engine_dirty_remove(e, peer);
    return peer;
}

static void fill_presences(struct engine *e, struct engine_peer *peer, struct bitswap_writer *w)
{
    while (peer->presences != NULL) {
        if (bitswap_writer_presence(w, &peer->presences->cid, peer->presences->have) != ERR_OK)
            return;
        engine_presence_pop(e, peer);
    }
}

static size_t fill_blocks(struct engine *e, struct engine_peer *peer, struct bitswap_writer *w)
{
    size_t bytes = 0;
    size_t bytes_max = batch_bytes(peer);
    while (peer->ready != NULL && bytes < bytes_max) {
        struct ready *r = peer->ready;
        if (bitswap_writer_block(w, &r->cid, r->block) != ERR_OK)
            return bytes;
        bytes += r->block->len;
        e->stats.blocks_sent++;
        e->stats.bytes_sent += r->block->len;
        engine_ready_pop(e, peer);
    }
    return bytes;
}

bool engine_fill(struct engine *e, struct engine_peer *peer, struct bitswap_writer *w, size_t *ret_block_bytes)
{
    if (!engine_has_message(peer))
        return false;
    fill_presences(e, peer, w);
    *ret_block_bytes = fill_blocks(e, peer, w);
    size_t pending = 0;
    for (const struct ledger_want *q = peer->ledger.lists[LEDGER_QUEUED].first; q != NULL; q = q->next)
        pending += q->size;
    w->pending_bytes = (int32_t)MIN(pending, (size_t)INT32_MAX);
    if (peer->presences != NULL || peer->ready != NULL)
        engine_dirty_push(e, peer);
    return true;
}

void engine_lost(struct engine *e, struct engine_peer *peer, size_t block_bytes)
{
    engine_charge_back(e, peer, block_bytes);
    engine_turn_push(e, peer);
}

void engine_sent(struct engine *e, struct engine_peer *peer, size_t block_bytes, uint64_t filled_ns, uint64_t now_ns)
{
    if (block_bytes > 0)
        rate_take(&peer->rate, block_bytes, filled_ns, now_ns);
    engine_lost(e, peer, block_bytes);
}
