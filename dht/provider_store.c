/* SPDX-License-Identifier: MIT */
#include "dht/provider_store_private.h"

#include <stdlib.h>
#include <string.h>

#include "wire/addr_list.h"

enum { PER_KEY_DEFAULT = 64, ADDRS_SHARE = 4 };

/* ---- life ---- */

/* Half as many peers as records: who provides has many keys. */
static size_t bytes_of(uint32_t records)
{
    return slot_table_bytes(sizeof(struct record), 0, records) +
           slot_table_bytes(sizeof(struct key), SHA256_BYTES, records) +
           slot_table_bytes(sizeof(struct peer), sizeof(struct peer_id), (records + 1) / 2);
}

static uint32_t records_for(size_t bytes)
{
    uint32_t records = 1;
    while (records < SLOTS_MAX / 2 && bytes_of(records * 2) <= bytes)
        records *= 2;
    for (uint32_t step = records / 2; step > 0; step /= 2)
        if (records + step <= SLOTS_MAX && bytes_of(records + step) <= bytes)
            records += step;
    return records;
}

static size_t table_bytes(const struct provider_options *options)
{
    return options->bytes_max - options->bytes_max / ADDRS_SHARE;
}

struct provider_options provider_options_for(uint64_t tables_bytes)
{
    struct provider_options options = {.bytes_max = (size_t)tables_bytes / 4, .per_key_max = PER_KEY_DEFAULT};
    options.bytes_max = MAX(options.bytes_max, (size_t)PROVIDER_STORE_BYTES_MIN);
    options.per_peer_max = MAX(records_for(table_bytes(&options)) / 2, 1u);
    return options;
}

enum err provider_store_new(const struct provider_options *options, struct provider_store **ret_store)
{
    if (options->bytes_max < PROVIDER_STORE_BYTES_MIN || options->per_key_max == 0 || options->per_peer_max == 0)
        return ERR_INVALID;
    if (options->account != NULL && !account_take(options->account, options->bytes_max))
        return ERR_NOMEM;
    struct provider_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        if (options->account != NULL)
            account_give(options->account, options->bytes_max);
        return ERR_NOMEM;
    }
    store->options = *options;
    uint32_t records = records_for(table_bytes(options));
    account_init(&store->account, "provider addresses", options->bytes_max - table_bytes(options));
    store->ranks = malloc((options->per_peer_max + 1) * sizeof(*store->ranks));
    enum err err = store->ranks == NULL ? ERR_NOMEM : ERR_OK;
    if (err == ERR_OK)
        err = slot_table_init(&store->records, sizeof(struct record), 0, records, NULL);
    if (err == ERR_OK)
        err = slot_table_init(&store->keys, sizeof(struct key), SHA256_BYTES, records, options->seed);
    if (err == ERR_OK)
        err = slot_table_init(&store->peers, sizeof(struct peer), sizeof(struct peer_id), (records + 1) / 2,
                              options->seed);
    if (err != ERR_OK) {
        provider_store_free(store);
        return err;
    }
    for (uint32_t i = 0; i <= options->per_peer_max; i++)
        store->ranks[i] = SLOT_NONE;
    store->counts.records_max = records;
    *ret_store = store;
    return ERR_OK;
}

void provider_store_free(struct provider_store *store)
{
    if (store == NULL)
        return;
    for (uint32_t i = 0; i < store->peers.used; i++)
        free(((struct peer *)slot_table_row(&store->peers, i))->addrs);
    slot_table_release(&store->records);
    slot_table_release(&store->keys);
    slot_table_release(&store->peers);
    free(store->ranks);
    if (store->options.account != NULL)
        account_give(store->options.account, store->options.bytes_max);
    free(store);
}

/* ---- rows, lists, ranks ---- */

static void rank_leave(struct provider_store *store, uint32_t slot)
{
    const struct peer *peer = peer_at(store, slot);
    if (peer->rank_prev == SLOT_NONE)
        store->ranks[peer->count] = peer->rank_next;
    else
        peer_at(store, peer->rank_prev)->rank_next = peer->rank_next;
    if (peer->rank_next != SLOT_NONE)
        peer_at(store, peer->rank_next)->rank_prev = peer->rank_prev;
}

static void rank_join(struct provider_store *store, uint32_t slot)
{
    struct peer *peer = peer_at(store, slot);
    peer->rank_prev = SLOT_NONE;
    peer->rank_next = store->ranks[peer->count];
    if (peer->rank_next != SLOT_NONE)
        peer_at(store, peer->rank_next)->rank_prev = slot;
    store->ranks[peer->count] = slot;
}

/* One record more or less: the most of all changes by one step too. */
static void rank_move(struct provider_store *store, uint32_t slot, int by)
{
    rank_leave(store, slot);
    struct peer *peer = peer_at(store, slot);
    peer->count = (uint32_t)((int)peer->count + by);
    rank_join(store, slot);
    store->most = MAX(store->most, peer->count);
    while (store->most > 0 && store->ranks[store->most] == SLOT_NONE)
        store->most--;
}

static void link_to_key(struct provider_store *store, uint32_t slot)
{
    struct record *record = record_at(store, slot);
    struct key *key = key_at(store, record->key);
    record->key_newer = SLOT_NONE;
    record->key_older = key->newest;
    if (key->newest != SLOT_NONE)
        record_at(store, key->newest)->key_newer = slot;
    else
        key->oldest = slot;
    key->newest = slot;
}

static void unlink_from_key(struct provider_store *store, uint32_t slot)
{
    const struct record *record = record_at(store, slot);
    struct key *key = key_at(store, record->key);
    if (record->key_newer == SLOT_NONE)
        key->newest = record->key_older;
    else
        record_at(store, record->key_newer)->key_older = record->key_older;
    if (record->key_older == SLOT_NONE)
        key->oldest = record->key_newer;
    else
        record_at(store, record->key_older)->key_newer = record->key_newer;
}

static void link_to_peer(struct provider_store *store, uint32_t slot)
{
    struct record *record = record_at(store, slot);
    struct peer *peer = peer_at(store, record->peer);
    record->peer_newer = SLOT_NONE;
    record->peer_older = peer->newest;
    if (peer->newest != SLOT_NONE)
        record_at(store, peer->newest)->peer_newer = slot;
    else
        peer->oldest = slot;
    peer->newest = slot;
}

static void unlink_from_peer(struct provider_store *store, uint32_t slot)
{
    const struct record *record = record_at(store, slot);
    struct peer *peer = peer_at(store, record->peer);
    if (record->peer_newer == SLOT_NONE)
        peer->newest = record->peer_older;
    else
        record_at(store, record->peer_newer)->peer_older = record->peer_older;
    if (record->peer_older == SLOT_NONE)
        peer->oldest = record->peer_newer;
    else
        record_at(store, record->peer_older)->peer_newer = record->peer_newer;
}

static void drop_addrs(struct provider_store *store, struct peer *peer)
{
    free(peer->addrs);
    account_give(&store->account, peer->addrs_len);
    peer->addrs = NULL;
    peer->addrs_len = 0;
}

static void remove_record(struct provider_store *store, uint32_t slot)
{
    const struct record *record = record_at(store, slot);
    uint32_t key_slot = record->key;
    uint32_t peer_slot = record->peer;
    unlink_from_key(store, slot);
    unlink_from_peer(store, slot);
    if (--key_at(store, key_slot)->count == 0)
        slot_table_remove(&store->keys, key_slot);
    rank_move(store, peer_slot, -1);
    struct peer *peer = peer_at(store, peer_slot);
    if (peer->count == 0) {
        rank_leave(store, peer_slot);
        drop_addrs(store, peer);
        slot_table_remove(&store->peers, peer_slot);
    }
    slot_table_remove(&store->records, slot);
    provider_mark(store, slot);
}

/* ---- adding ---- */

static uint32_t find_record(const struct provider_store *store, uint32_t key_slot, uint32_t peer_slot)
{
    if (key_slot == SLOT_NONE || peer_slot == SLOT_NONE)
        return SLOT_NONE;
    uint32_t slot = key_at(store, key_slot)->newest;
    while (slot != SLOT_NONE && record_at(store, slot)->peer != peer_slot)
        slot = record_at(store, slot)->key_older;
    return slot;
}

/* As many whole addresses as fit. */
static struct span first_addrs(struct span list)
{
    struct span rest = list;
    struct span addr;
    size_t len = 0;
    while (addr_list_next(&rest, &addr) && list.len - rest.len <= PROVIDER_ADDRS_BYTES_MAX)
        len = list.len - rest.len;
    return span_first(list, len);
}

static void keep_addrs(struct provider_store *store, struct peer *peer, struct span addrs, uint64_t now_ns)
{
    addrs = first_addrs(addrs);
    if (addrs.len == 0)
        return;
    if (!span_equal(addrs, span_of(peer->addrs, peer->addrs_len))) {
        uint8_t *copy = account_take(&store->account, addrs.len) ? malloc(addrs.len) : NULL;
        if (copy == NULL) {
            drop_addrs(store, peer); /* better none than old ones */
            return;
        }
        memcpy(copy, addrs.data, addrs.len);
        drop_addrs(store, peer);
        peer->addrs = copy;
        peer->addrs_len = (uint16_t)addrs.len;
    }
    peer->addrs_s = (uint32_t)(now_ns / SECOND_NS);
}

static void evict(struct provider_store *store, uint32_t slot)
{
    remove_record(store, slot);
    store->counts.evicted++;
}

/* Makes room for one more record of the peer (SLOT_NONE: it has none) on the key; false: it must be refused. */
static bool make_room(struct provider_store *store, uint32_t key_slot, uint32_t peer_slot, uint64_t now_ns)
{
    if (key_slot != SLOT_NONE && key_at(store, key_slot)->count >= store->options.per_key_max) {
        uint32_t oldest = key_at(store, key_slot)->oldest;
        if (!is_older_than(record_at(store, oldest), PROVIDER_FRESH_S, now_ns))
            return false;
        evict(store, oldest); /* of another peer: this one has none on the key */
    }
    uint32_t own = peer_slot == SLOT_NONE ? 0 : peer_at(store, peer_slot)->count;
    bool full = store->records.live == store->records.max;
    if (own >= store->options.per_peer_max || (full && own > 0 && own >= store->most)) {
        evict(store, peer_at(store, peer_slot)->oldest);
        return true;
    }
    if (!full)
        return true;
    if (store->most < 2)
        return false;
    evict(store, peer_at(store, store->ranks[store->most])->oldest);
    return true;
}

/* The key's or the peer's slot may be gone with the record that made room: so they are found, or made, after that. */
static uint32_t place_key(struct provider_store *store, const uint8_t id[SHA256_BYTES])
{
    uint32_t slot = slot_table_find(&store->keys, id);
    if (slot != SLOT_NONE)
        return slot;
    slot = slot_table_add(&store->keys, id);
    struct key *key = key_at(store, slot);
    key->newest = key->oldest = SLOT_NONE;
    key->count = 0;
    return slot;
}

static uint32_t place_peer(struct provider_store *store, const struct peer_id *id)
{
    uint32_t slot = slot_table_find(&store->peers, id);
    if (slot != SLOT_NONE)
        return slot;
    slot = slot_table_add(&store->peers, id);
    if (slot == SLOT_NONE)
        return SLOT_NONE;
    *peer_at(store, slot) = (struct peer){.id = *id, .newest = SLOT_NONE, .oldest = SLOT_NONE};
    rank_join(store, slot);
    return slot;
}

enum err provider_place(struct provider_store *store, const uint8_t id[SHA256_BYTES], const struct peer_id *peer_id,
                        struct span addrs, uint32_t received_s, uint64_t now_ns, uint32_t *ret_slot)
{
    uint32_t key_slot = slot_table_find(&store->keys, id);
    uint32_t peer_slot = slot_table_find(&store->peers, peer_id);
    uint32_t slot = find_record(store, key_slot, peer_slot);
    if (slot == SLOT_NONE) {
        bool crowd = peer_slot == SLOT_NONE && store->peers.live == store->peers.max;
        if (crowd || !make_room(store, key_slot, peer_slot, now_ns)) {
            store->counts.refused++;
            return ERR_BUSY;
        }
        peer_slot = place_peer(store, peer_id);
        key_slot = place_key(store, id);
        slot = slot_table_add(&store->records, NULL);
        struct record *record = record_at(store, slot);
        *record = (struct record){.key = key_slot, .peer = peer_slot, .marked = record->marked};
        key_at(store, key_slot)->count++;
        rank_move(store, peer_slot, 1);
        store->counts.added++;
    } else {
        unlink_from_key(store, slot);
        unlink_from_peer(store, slot);
        store->counts.refreshed++;
    }
    link_to_key(store, slot);
    link_to_peer(store, slot);
    keep_addrs(store, peer_at(store, peer_slot), addrs, received_s * SECOND_NS);
    struct record *record = record_at(store, slot);
    record->received_s = received_s;
    if (received_s >= record->written_s + (uint64_t)PROVIDER_ROW_S || received_s < record->written_s)
        provider_mark(store, slot);
    *ret_slot = slot;
    return ERR_OK;
}

enum err provider_store_add(struct provider_store *store, struct span key, const struct peer_id *peer,
                            struct span addrs, uint64_t now_ns)
{
    uint8_t id[SHA256_BYTES];
    uint32_t slot;
    if (key.len == 0 || key.len > PROVIDER_KEY_BYTES_MAX || peer_id_is_empty(peer))
        return ERR_INVALID;
    sha256_sum(key, id);
    return provider_place(store, id, peer, addrs, (uint32_t)(now_ns / SECOND_NS), now_ns, &slot);
}

/* The clock went back: what came later than now came now, or it would stay for as long as the clock was ahead. */
static void bring_back(struct provider_store *store, uint32_t slot, uint64_t now_ns)
{
    struct record *record = record_at(store, slot);
    struct peer *peer = peer_at(store, record->peer);
    uint32_t now_s = (uint32_t)(now_ns / SECOND_NS);
    peer->addrs_s = MIN(peer->addrs_s, now_s);
    if (record->received_s <= now_s)
        return;
    record->received_s = now_s;
    provider_mark(store, slot);
}

uint32_t provider_store_expire(struct provider_store *store, uint32_t steps, uint64_t now_ns)
{
    uint32_t gone = 0;
    for (steps = MIN(steps, store->records.used); steps > 0; steps--) {
        uint32_t slot = store->expire_cursor++ % store->records.used;
        if (!slot_table_is_live(&store->records, slot))
            continue;
        bring_back(store, slot, now_ns);
        if (!is_older_than(record_at(store, slot), PROVIDER_LIFE_S, now_ns))
            continue;
        remove_record(store, slot);
        gone++;
    }
    store->counts.expired += gone;
    return gone;
}
