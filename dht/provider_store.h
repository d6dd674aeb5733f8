/* SPDX-License-Identifier: MIT */
/*
 * Who provides which key: what other peers have told this node as a server of the DHT.
 *
 *      key  --newest..oldest-->  records  <--newest..oldest--  peer {id, addresses}
 *       |                           |                            |
 *      SHA-256 of the multihash   {key, peer, received}        lists of peers with equally many records
 *
 * Peers choose what is stored here, so memory is fixed at birth and each bound has a rule for who gives way:
 *   - a peer has at most per_peer_max records: past that its own oldest one goes;
 *   - a key has at most per_key_max providers: past that a newcomer takes the place of one that was not told again within
 *     PROVIDER_FRESH_S (honest ones are told each 22 h), else it is refused: those that are there cannot be pushed out;
 *   - when all is full, the peer that has most records loses its oldest, unless the newcomer has as many: then it loses its own.
 *     So a flood of one peer ends by eating itself. When every peer has one record, newcomers are refused until some expire.
 *
 * A record is served for PROVIDER_LIFE_S, its peer's addresses for PROVIDER_ADDRS_LIFE_S after they were told. That the provider is
 * the sender, and that the key is a multihash, is the caller's check. Spec: libp2p/specs kad-dht, content provider records.
 *
 * Rows: a record lives in a numbered slot and the database mirrors the slots. A change marks its slot; provider_store_next_row
 * hands marked slots out, also those that were given back. A record told again is marked once in PROVIDER_ROW_S.
 *
 * No I/O, no clock: times are nanoseconds since the epoch, as they outlive this process; a clock that goes back makes records
 * look new, not old. One thread.
 */
#ifndef HEARTH_DHT_PROVIDER_STORE_H
#define HEARTH_DHT_PROVIDER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "dht/slot_table.h"
#include "wire/multihash.h"
#include "wire/peer_id.h"

struct account;
struct provider_store;

enum {
    PROVIDER_KEY_BYTES_MAX = 80,
    PROVIDER_ADDRS_BYTES_MAX = 512, /* of a peer; further addresses are passed over */
    PROVIDER_LIFE_S = 48 * 3600,
    PROVIDER_ADDRS_LIFE_S = 24 * 3600,
    PROVIDER_FRESH_S = 24 * 3600,
    PROVIDER_ROW_S = 3600,
    PROVIDER_STORE_BYTES_MIN = 64 * 1024,
};

struct provider_options {
    size_t bytes_max; /* taken from the account for as long as the store lives */
    uint32_t per_key_max;
    uint32_t per_peer_max;
    uint8_t seed[SLOT_SEED_BYTES]; /* random: of the hash tables */
    struct account *account;       /* may be NULL */
};

/* Borrowed until the store changes. */
struct provider {
    struct peer_id peer;
    struct span addrs; /* an addr_list; empty when none are fresh */
    uint64_t received_ns;
};

struct provider_counts {
    uint32_t records, records_max, keys, peers;
    uint64_t added, refreshed, evicted, expired, refused;
};

/* A slot as the database is to have it. Borrowed until the store changes. */
struct provider_row {
    uint32_t slot;
    bool gone; /* the rest is empty */
    uint8_t key[SHA256_BYTES];
    struct peer_id peer;
    struct span addrs; /* an addr_list */
    uint64_t received_ns;
};

/*
 * Defaults for a budget's tables account of so many bytes: a quarter of it, 64 providers a key, half of all records a peer. In a small
 * network one peer may well have most keys; that others find room is the rule for a full store.
 */
struct provider_options provider_options_for(uint64_t tables_bytes);

/* ERR_NOMEM: the account or memory has not that much. ERR_INVALID: under PROVIDER_STORE_BYTES_MIN, or a bound is 0. */
enum err provider_store_new(const struct provider_options *options, struct provider_store **ret_store) MUST_CHECK;

/* NULL is ignored. */
void provider_store_free(struct provider_store *store);

/*
 * The peer provides the key: adds a record or makes its record new, and keeps the addresses, an addr_list, in place of older ones (none:
 * what was known stays). ERR_INVALID: a key that is empty or too long, an empty peer; ERR_BUSY: refused, counted.
 */
enum err provider_store_add(struct provider_store *store, struct span key, const struct peer_id *peer,
                            struct span addrs, uint64_t now_ns) MUST_CHECK;

/*
 * Writes up to max providers of the key that have not expired and returns their number. Of more than max, start (any number, best a
 * random one) says where to begin, so that no crowd on a key hides the others for good.
 */
size_t provider_store_get(const struct provider_store *store, struct span key, uint32_t start, uint64_t now_ns,
                          struct provider *to, size_t max);

/* Looks at up to steps slots, where it ended last time, and drops what has expired. Returns how many went. */
uint32_t provider_store_expire(struct provider_store *store, uint32_t steps, uint64_t now_ns);

bool provider_store_has_rows(const struct provider_store *store);

/* The next slot that the database does not have as it is; false: none. It counts as written from here on. */
bool provider_store_next_row(struct provider_store *store, struct provider_row *ret_row);

/* That row could not be handed on: it will be handed out again. */
void provider_store_row_again(struct provider_store *store, uint32_t slot);

/*
 * A row of an earlier life. What has expired, does not fit or is damaged is dropped, and its slot marked. False: the slot is outside
 * of this store, whose budget was larger then, so the caller has to remove the row.
 */
bool provider_store_load(struct provider_store *store, const struct provider_row *row, uint64_t now_ns);

struct provider_counts provider_store_counts(const struct provider_store *store);

#endif
