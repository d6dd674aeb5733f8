/* SPDX-License-Identifier: MIT */
/* What is read from the provider store: providers for peers, figures for people, slots for the database. */
#include <string.h>

#include "dht/provider_store_private.h"

/* ---- reading ---- */

static struct span fresh_addrs(const struct peer *peer, uint64_t now_ns)
{
    bool old = peer->addrs_s + (uint64_t)PROVIDER_ADDRS_LIFE_S <= now_ns / SECOND_NS;
    return old ? (struct span){0} : span_of(peer->addrs, peer->addrs_len);
}

size_t provider_store_get(const struct provider_store *store, struct span key, uint32_t start, uint64_t now_ns,
                          struct provider *to, size_t max)
{
    uint8_t id[SHA256_BYTES];
    if (key.len == 0 || key.len > PROVIDER_KEY_BYTES_MAX)
        return 0;
    sha256_sum(key, id);
    uint32_t key_slot = slot_table_find(&store->keys, id);
    if (key_slot == SLOT_NONE)
        return 0;
    const struct key *row = key_at(store, key_slot);
    uint32_t slot = row->newest;
    for (uint32_t skip = row->count > max ? start % row->count : 0; skip > 0; skip--)
        slot = record_at(store, slot)->key_older;
    size_t count = 0;
    for (uint32_t i = 0; i < row->count && count < max; i++) {
        const struct record *record = record_at(store, slot);
        const struct peer *peer = peer_at(store, record->peer);
        if (!is_older_than(record, PROVIDER_LIFE_S, now_ns))
            to[count++] = (struct provider){
                .peer = peer->id, .addrs = fresh_addrs(peer, now_ns), .received_ns = record->received_s * SECOND_NS};
        slot = record->key_older == SLOT_NONE ? row->newest : record->key_older;
    }
    return count;
}

struct provider_counts provider_store_counts(const struct provider_store *store)
{
    struct provider_counts counts = store->counts;
    counts.records = store->records.live;
    counts.keys = store->keys.live;
    counts.peers = store->peers.live;
    return counts;
}

/* ---- the database's rows ---- */

bool provider_store_has_rows(const struct provider_store *store)
{
    return store->marked > 0;
}

bool provider_store_next_row(struct provider_store *store, struct provider_row *ret_row)
{
    if (store->marked == 0)
        return false;
    uint32_t slot;
    do
        slot = store->row_cursor++ % store->records.max;
    while (!record_at(store, slot)->marked);
    struct record *record = record_at(store, slot);
    record->marked = false;
    store->marked--;
    *ret_row = (struct provider_row){.slot = slot, .gone = !slot_table_is_live(&store->records, slot)};
    record->written_s = ret_row->gone ? 0 : record->received_s;
    if (ret_row->gone)
        return true;
    const struct peer *peer = peer_at(store, record->peer);
    memcpy(ret_row->key, key_at(store, record->key)->id, SHA256_BYTES);
    ret_row->peer = peer->id;
    ret_row->addrs = span_of(peer->addrs, peer->addrs_len);
    ret_row->received_ns = record->received_s * SECOND_NS;
    return true;
}

void provider_store_row_again(struct provider_store *store, uint32_t slot)
{
    provider_mark(store, slot);
}

bool provider_store_load(struct provider_store *store, const struct provider_row *row, uint64_t now_ns)
{
    if (row->slot >= store->records.max)
        return false;
    uint64_t received_ns = MIN(row->received_ns, now_ns);
    uint32_t slot = SLOT_NONE;
    if (!peer_id_is_empty(&row->peer) && received_ns + PROVIDER_LIFE_S * SECOND_NS > now_ns &&
        provider_place(store, row->key, &row->peer, row->addrs, (uint32_t)(received_ns / SECOND_NS), now_ns, &slot) !=
            ERR_OK)
        slot = SLOT_NONE;
    if (slot != row->slot) {
        provider_mark(store, row->slot);
    } else {
        record_at(store, slot)->written_s = record_at(store, slot)->received_s;
        store->marked -= record_at(store, slot)->marked;
        record_at(store, slot)->marked = false;
    }
    return true;
}
