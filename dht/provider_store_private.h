/* SPDX-License-Identifier: MIT */
/* What the files of the provider store share. */
#ifndef HEARTH_DHT_PROVIDER_STORE_PRIVATE_H
#define HEARTH_DHT_PROVIDER_STORE_PRIVATE_H

#include "base/limits.h"
#include "dht/provider_store.h"

struct record {
    uint32_t key, peer;
    uint32_t key_newer, key_older; /* SLOT_NONE at the ends */
    uint32_t peer_newer, peer_older;
    uint32_t received_s;
    uint32_t written_s; /* received_s as the database has it */
    bool marked;        /* the database has to learn of this slot; also of one that was given back */
};

struct key {
    uint8_t id[SHA256_BYTES];
    uint32_t newest, oldest, count;
};

struct peer {
    struct peer_id id;
    uint32_t newest, oldest, count;
    uint32_t rank_next, rank_prev; /* among the peers with as many records */
    uint32_t addrs_s;
    uint16_t addrs_len;
    uint8_t *addrs;
};

struct provider_store {
    struct provider_options options;
    struct account account; /* what of bytes_max is left for addresses */
    struct slot_table records, keys, peers;
    uint32_t *ranks; /* [count]: the first peer with so many records */
    uint32_t most;   /* no peer has more records */
    uint32_t marked;
    uint32_t row_cursor, expire_cursor;
    struct provider_counts counts;
};

static inline struct record *record_at(const struct provider_store *store, uint32_t slot)
{
    return slot_table_row(&store->records, slot);
}

static inline struct key *key_at(const struct provider_store *store, uint32_t slot)
{
    return slot_table_row(&store->keys, slot);
}

static inline struct peer *peer_at(const struct provider_store *store, uint32_t slot)
{
    return slot_table_row(&store->peers, slot);
}

static inline bool is_older_than(const struct record *record, uint32_t life_s, uint64_t now_ns)
{
    return record->received_s + (uint64_t)life_s <= now_ns / SECOND_NS;
}

/* The database has to learn of the slot. */
static inline void provider_mark(struct provider_store *store, uint32_t slot)
{
    struct record *record = record_at(store, slot);
    store->marked += !record->marked;
    record->marked = true;
}

/* provider_store_add without its checks: the record's slot, made or told again. */
enum err provider_place(struct provider_store *store, const uint8_t id[SHA256_BYTES], const struct peer_id *peer_id,
                        struct span addrs, uint32_t received_s, uint64_t now_ns, uint32_t *ret_slot) MUST_CHECK;

#endif
