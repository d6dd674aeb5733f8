/* SPDX-License-Identifier: MIT */
/*
 * Values of the DHT that this node keeps as a server: IPNS records and public keys.
 *
 *      key ──> slot {key, value, who sent it, received, expires}
 *
 * Which values are good and which of two is better is the business of a namespace, whose rules are given at birth as functions; a value
 * that they refuse is never kept, nor one that is not better than what is kept. Spec: libp2p/specs kad-dht, entry validation.
 *
 * Bounded by count and bytes. When there is no room, the sender with most records loses its oldest, unless the newcomer has as many: then
 * it loses its own. So a flood of one peer ends by eating itself; when each sender has one record, newcomers are refused until some
 * expire. A record is served for RECORD_LIFE_S after it came, or until its own end if that is earlier.
 *
 * The database mirrors the slots as it does those of dht/provider_store.h. No I/O, no clock; times are nanoseconds since the epoch. One
 * thread.
 */
#ifndef HEARTH_DHT_RECORD_STORE_H
#define HEARTH_DHT_RECORD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "dht/slot_table.h"
#include "wire/peer_id.h"

struct account;
struct record_store;

enum {
    RECORD_KEY_BYTES_MAX = 128,
    RECORD_VALUE_BYTES_MAX = 10 * 1024,
    RECORD_LIFE_S = 48 * 3600,
    RECORD_STORE_BYTES_MIN = 64 * 1024,
    RECORD_BYTES_LIKELY = 512, /* of a record, when a store shares its bytes out; an IPNS record of Kubo has 400 */
};

struct record_rules {
    /*
     * ERR_OK when the value belongs to the key and is valid at now_ns; ret_expires_ns gets its own end, UINT64_MAX without. Any error
     * refuses it.
     */
    enum err (*validate)(void *self, struct span key, struct span value, uint64_t now_ns, uint64_t *ret_expires_ns);
    /* Whether the valid value offered is better than the one held. */
    bool (*is_better)(void *self, struct span key, struct span held, struct span offered);
    void *self;
};

struct record_options {
    size_t bytes_max; /* taken from the account for as long as the store lives */
    struct record_rules rules;
    uint8_t seed[SLOT_SEED_BYTES]; /* random: of the hash table */
    struct account *account;       /* may be NULL */
};

/* Borrowed until the store changes. */
struct stored_record {
    struct span key;
    struct span value;
    struct peer_id sender;
    uint64_t received_ns;
};

/* A slot as the database is to have it. */
struct record_row {
    uint32_t slot;
    bool gone; /* the record is empty */
    struct stored_record record;
};

struct record_counts {
    uint32_t records, records_max;
    uint64_t bytes, kept, evicted, expired, refused, not_better;
};

/* ERR_NOMEM: the account or memory has not that much. ERR_INVALID: under RECORD_STORE_BYTES_MIN. */
enum err record_store_new(const struct record_options *options, struct record_store **ret_store) MUST_CHECK;

/* NULL is ignored. */
void record_store_free(struct record_store *store);

/*
 * Keeps a copy of the value unless a better one, or the same, is there: then ERR_OK too, and the same one counts as told again. Errors
 * of the rules; ERR_INVALID: an empty key or value; ERR_TOO_LARGE; ERR_BUSY: no room, counted; ERR_EXISTS: what is held is better.
 */
enum err record_store_put(struct record_store *store, struct span key, struct span value, const struct peer_id *sender,
                          uint64_t now_ns) MUST_CHECK;

/* ERR_NOT_FOUND, also for what has expired. */
enum err record_store_get(const struct record_store *store, struct span key, uint64_t now_ns,
                          struct stored_record *ret_record) MUST_CHECK;

/* Drops what has expired: looks at all slots, a few thousand at most. Returns how many went. */
uint32_t record_store_expire(struct record_store *store, uint64_t now_ns);

/* Drops records by their keys, for rules that have changed. Returns how many went. */
uint32_t record_store_remove_if(struct record_store *store, bool (*is_unwanted)(void *arg, struct span key), void *arg);

bool record_store_has_rows(const struct record_store *store);

/* The next slot that the database does not have as it is; false: none. It counts as written from here on. */
bool record_store_next_row(struct record_store *store, struct record_row *ret_row);

/* That row could not be handed on: it will be handed out again. */
void record_store_row_again(struct record_store *store, uint32_t slot);

/*
 * A row of an earlier life, judged by the rules like any other value. False: the slot is outside of this store, so the caller has to
 * remove the row.
 */
bool record_store_load(struct record_store *store, const struct record_row *row, uint64_t now_ns);

struct record_counts record_store_counts(const struct record_store *store);

#endif
