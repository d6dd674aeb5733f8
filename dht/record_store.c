/* SPDX-License-Identifier: MIT */
#include "dht/record_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "wire/multihash.h"

struct entry {
    uint8_t id[SHA256_BYTES]; /* of the key */
    uint8_t *bytes;           /* key, then value */
    uint32_t key_len, value_len;
    uint32_t sender;
    uint32_t received_s;
    uint64_t expires_ns; /* its own end */
    bool marked;         /* the database has to learn of this slot; also of one that was given back */
};

struct sender {
    struct peer_id id;
    uint32_t count; /* of its records */
};

struct record_store {
    struct record_options options;
    struct account account; /* what of bytes_max is left for keys and values */
    struct slot_table entries, senders;
    uint32_t marked;
    uint32_t row_cursor;
    struct record_counts counts;
};

/* ---- life ---- */

static size_t slot_bytes(uint32_t records)
{
    return slot_table_bytes(sizeof(struct entry), SHA256_BYTES, records) +
           slot_table_bytes(sizeof(struct sender), sizeof(struct peer_id), records);
}

static uint32_t records_for(size_t bytes)
{
    uint32_t records = 1;
    while (records < SLOTS_MAX && slot_bytes(records + 1) + (records + 1) * (size_t)RECORD_BYTES_LIKELY <= bytes)
        records++;
    return records;
}

enum err record_store_new(const struct record_options *options, struct record_store **ret_store)
{
    if (options->bytes_max < RECORD_STORE_BYTES_MIN)
        return ERR_INVALID;
    if (options->account != NULL && !account_take(options->account, options->bytes_max))
        return ERR_NOMEM;
    struct record_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        if (options->account != NULL)
            account_give(options->account, options->bytes_max);
        return ERR_NOMEM;
    }
    store->options = *options;
    uint32_t records = records_for(options->bytes_max);
    account_init(&store->account, "values", options->bytes_max - slot_bytes(records));
    enum err err = slot_table_init(&store->entries, sizeof(struct entry), SHA256_BYTES, records, options->seed);
    if (err == ERR_OK)
        err = slot_table_init(&store->senders, sizeof(struct sender), sizeof(struct peer_id), records, options->seed);
    if (err != ERR_OK) {
        record_store_free(store);
        return err;
    }
    store->counts.records_max = records;
    *ret_store = store;
    return ERR_OK;
}

void record_store_free(struct record_store *store)
{
    if (store == NULL)
        return;
    for (uint32_t i = 0; i < store->entries.used; i++)
        free(((struct entry *)slot_table_row(&store->entries, i))->bytes);
    slot_table_release(&store->entries);
    slot_table_release(&store->senders);
    if (store->options.account != NULL)
        account_give(store->options.account, store->options.bytes_max);
    free(store);
}

/* ---- entries ---- */

static struct entry *entry_at(const struct record_store *store, uint32_t slot)
{
    return slot_table_row(&store->entries, slot);
}

static struct sender *sender_at(const struct record_store *store, uint32_t slot)
{
    return slot_table_row(&store->senders, slot);
}

static struct span key_of(const struct entry *entry)
{
    return span_of(entry->bytes, entry->key_len);
}

static struct span value_of(const struct entry *entry)
{
    return span_of(entry->bytes + entry->key_len, entry->value_len);
}

static bool is_over(const struct entry *entry, uint64_t now_ns)
{
    return entry->expires_ns <= now_ns || (entry->received_s + (uint64_t)RECORD_LIFE_S) * SECOND_NS <= now_ns;
}

static void mark(struct record_store *store, uint32_t slot)
{
    struct entry *entry = entry_at(store, slot);
    store->marked += !entry->marked;
    entry->marked = true;
}

static uint32_t find(const struct record_store *store, struct span key)
{
    uint8_t id[SHA256_BYTES];
    sha256_sum(key, id);
    return slot_table_find(&store->entries, id);
}

static void leave_sender(struct record_store *store, uint32_t slot)
{
    if (--sender_at(store, slot)->count == 0)
        slot_table_remove(&store->senders, slot);
}

/* There is a sender's slot for each entry, so a caller that has room for an entry has one for its sender. */
static uint32_t join_sender(struct record_store *store, const struct peer_id *id)
{
    uint32_t slot = slot_table_find(&store->senders, id);
    if (slot == SLOT_NONE) {
        slot = slot_table_add(&store->senders, id);
        sender_at(store, slot)->count = 0;
    }
    sender_at(store, slot)->count++;
    return slot;
}

static void remove_entry(struct record_store *store, uint32_t slot)
{
    struct entry *entry = entry_at(store, slot);
    leave_sender(store, entry->sender);
    account_give(&store->account, entry->key_len + entry->value_len);
    free(entry->bytes);
    entry->bytes = NULL;
    slot_table_remove(&store->entries, slot);
    mark(store, slot);
}

/* ---- putting ---- */

/* The oldest record of the sender that has most of them, of own when that has as many; SLOT_NONE when each has one. */
static uint32_t find_victim(const struct record_store *store, uint32_t own)
{
    uint32_t most = own == SLOT_NONE ? 1 : sender_at(store, own)->count;
    uint32_t heaviest = own;
    for (uint32_t i = 0; i < store->senders.used; i++) {
        if (slot_table_is_live(&store->senders, i) && sender_at(store, i)->count > most) {
            most = sender_at(store, i)->count;
            heaviest = i;
        }
    }
    uint32_t victim = SLOT_NONE;
    for (uint32_t i = 0; heaviest != SLOT_NONE && i < store->entries.used; i++) {
        if (slot_table_is_live(&store->entries, i) && entry_at(store, i)->sender == heaviest &&
            (victim == SLOT_NONE || entry_at(store, i)->received_s < entry_at(store, victim)->received_s))
            victim = i;
    }
    return victim;
}

/* Takes bytes and leaves a slot free; false: refused. Each turn frees a record, so it ends. */
static bool make_room(struct record_store *store, const struct peer_id *sender, size_t bytes)
{
    bool paid = false;
    while (store->entries.live == store->entries.max || !(paid = account_take(&store->account, bytes))) {
        uint32_t victim = find_victim(store, slot_table_find(&store->senders, sender));
        if (victim == SLOT_NONE)
            return false;
        remove_entry(store, victim);
        store->counts.evicted++;
    }
    return paid;
}

static enum err insert(struct record_store *store, struct span key, struct span value, const struct peer_id *sender,
                       uint64_t expires_ns, uint64_t now_ns)
{
    size_t len = key.len + value.len;
    uint8_t id[SHA256_BYTES];
    if (!make_room(store, sender, len)) {
        store->counts.refused++;
        return ERR_BUSY;
    }
    uint8_t *bytes = malloc(len);
    if (bytes == NULL) {
        account_give(&store->account, len);
        return ERR_NOMEM;
    }
    memcpy(bytes, key.data, key.len);
    memcpy(bytes + key.len, value.data, value.len);
    sha256_sum(key, id);
    uint32_t slot = slot_table_add(&store->entries, id);
    struct entry *entry = entry_at(store, slot);
    entry->bytes = bytes;
    entry->key_len = (uint32_t)key.len;
    entry->value_len = (uint32_t)value.len;
    entry->sender = join_sender(store, sender);
    entry->received_s = (uint32_t)(now_ns / SECOND_NS);
    entry->expires_ns = expires_ns;
    mark(store, slot);
    store->counts.kept++;
    return ERR_OK;
}

static enum err judge(struct record_store *store, struct span key, struct span value, const struct peer_id *sender,
                      uint64_t now_ns, uint64_t *ret_expires_ns)
{
    const struct record_rules *rules = &store->options.rules;
    if (key.len == 0 || value.len == 0 || peer_id_is_empty(sender))
        return ERR_INVALID;
    if (key.len > RECORD_KEY_BYTES_MAX || value.len > RECORD_VALUE_BYTES_MAX)
        return ERR_TOO_LARGE;
    return rules->validate(rules->self, key, value, now_ns, ret_expires_ns);
}

enum err record_store_put(struct record_store *store, struct span key, struct span value, const struct peer_id *sender,
                          uint64_t now_ns)
{
    const struct record_rules *rules = &store->options.rules;
    uint64_t expires_ns = UINT64_MAX;
    enum err err = judge(store, key, value, sender, now_ns, &expires_ns);
    if (err != ERR_OK) {
        store->counts.refused++;
        return err;
    }
    uint32_t slot = find(store, key);
    if (slot == SLOT_NONE)
        return insert(store, key, value, sender, expires_ns, now_ns);
    struct entry *entry = entry_at(store, slot);
    if (span_equal(value_of(entry), value)) {
        entry->received_s = (uint32_t)(now_ns / SECOND_NS);
        mark(store, slot);
        return ERR_OK;
    }
    if (!is_over(entry, now_ns) && !rules->is_better(rules->self, key, value_of(entry), value)) {
        store->counts.not_better++;
        return ERR_EXISTS;
    }
    remove_entry(store, slot);
    return insert(store, key, value, sender, expires_ns, now_ns);
}

/* ---- reading, expiry ---- */

static struct stored_record stored(const struct record_store *store, const struct entry *entry)
{
    return (struct stored_record){.key = key_of(entry),
                                  .value = value_of(entry),
                                  .sender = sender_at(store, entry->sender)->id,
                                  .received_ns = entry->received_s * SECOND_NS};
}

enum err record_store_get(const struct record_store *store, struct span key, uint64_t now_ns,
                          struct stored_record *ret_record)
{
    uint32_t slot = key.len == 0 ? SLOT_NONE : find(store, key);
    if (slot == SLOT_NONE || is_over(entry_at(store, slot), now_ns))
        return ERR_NOT_FOUND;
    *ret_record = stored(store, entry_at(store, slot));
    return ERR_OK;
}

uint32_t record_store_expire(struct record_store *store, uint64_t now_ns)
{
    uint32_t gone = 0;
    uint32_t now_s = (uint32_t)(now_ns / SECOND_NS);
    for (uint32_t slot = 0; slot < store->entries.used; slot++) {
        struct entry *entry = entry_at(store, slot);
        if (!slot_table_is_live(&store->entries, slot))
            continue;
        if (entry->received_s > now_s) { /* the clock went back: it came now, or it would stay for as long as that */
            entry->received_s = now_s;
            mark(store, slot);
        }
        if (is_over(entry, now_ns)) {
            remove_entry(store, slot);
            gone++;
        }
    }
    store->counts.expired += gone;
    return gone;
}

uint32_t record_store_remove_if(struct record_store *store, bool (*is_unwanted)(void *arg, struct span key), void *arg)
{
    uint32_t gone = 0;
    for (uint32_t slot = 0; slot < store->entries.used; slot++) {
        if (slot_table_is_live(&store->entries, slot) && is_unwanted(arg, key_of(entry_at(store, slot)))) {
            remove_entry(store, slot);
            gone++;
        }
    }
    return gone;
}

struct record_counts record_store_counts(const struct record_store *store)
{
    struct record_counts counts = store->counts;
    counts.records = store->entries.live;
    counts.bytes = account_used(&store->account);
    return counts;
}

/* ---- the database's rows ---- */

bool record_store_has_rows(const struct record_store *store)
{
    return store->marked > 0;
}

bool record_store_next_row(struct record_store *store, struct record_row *ret_row)
{
    if (store->marked == 0)
        return false;
    uint32_t slot;
    do
        slot = store->row_cursor++ % store->entries.max;
    while (!entry_at(store, slot)->marked);
    struct entry *entry = entry_at(store, slot);
    entry->marked = false;
    store->marked--;
    *ret_row = (struct record_row){.slot = slot, .gone = !slot_table_is_live(&store->entries, slot)};
    if (!ret_row->gone)
        ret_row->record = stored(store, entry);
    return true;
}

void record_store_row_again(struct record_store *store, uint32_t slot)
{
    mark(store, slot);
}

bool record_store_load(struct record_store *store, const struct record_row *row, uint64_t now_ns)
{
    const struct stored_record *record = &row->record;
    uint64_t received_ns = MIN(record->received_ns, now_ns);
    uint64_t expires_ns = UINT64_MAX;
    if (row->slot >= store->entries.max)
        return false;
    mark(store, row->slot); /* whatever is in it now */
    if (received_ns + RECORD_LIFE_S * SECOND_NS > now_ns &&
        judge(store, record->key, record->value, &record->sender, now_ns, &expires_ns) == ERR_OK &&
        find(store, record->key) == SLOT_NONE)
        (void)!insert(store, record->key, record->value, &record->sender, expires_ns, received_ns);
    return true;
}
