/* SPDX-License-Identifier: MIT */
#include "dht/provide_batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

enum { NOBODY = 0xff };

struct batch_key {
    uint64_t at; /* first bits of its place in the key space; more are never needed to tell 255 peers apart */
    uint8_t len;
    uint8_t told;
    uint8_t multihash[PROVIDE_BATCH_KEY_BYTES_MAX];
    uint8_t closest[KAD_K]; /* numbers of peers, NOBODY at the end */
};

struct provide_batch {
    struct account *account;
    size_t bytes;
    uint32_t max, len;
    const struct region_peer *peers;
    size_t peer_count;
    size_t next_peer;
    uint64_t places[PROVIDE_REGION_PEERS_MAX];
    struct provide_outcome outcome;
    struct batch_key keys[];
};

enum err provide_batch_new(uint32_t keys_max, struct account *account, struct provide_batch **ret_batch)
{
    assert(keys_max > 0 && keys_max <= PROVIDE_BATCH_KEYS_MAX);
    size_t bytes = sizeof(struct provide_batch) + keys_max * sizeof(struct batch_key);
    if (account != NULL && !account_take(account, bytes))
        return ERR_NOMEM;
    struct provide_batch *batch = calloc(1, bytes);
    if (batch == NULL) {
        if (account != NULL)
            account_give(account, bytes);
        return ERR_NOMEM;
    }
    batch->account = account;
    batch->bytes = bytes;
    batch->max = keys_max;
    *ret_batch = batch;
    return ERR_OK;
}

void provide_batch_free(struct provide_batch *batch)
{
    if (batch == NULL)
        return;
    if (batch->account != NULL)
        account_give(batch->account, batch->bytes);
    free(batch);
}

void provide_batch_clear(struct provide_batch *batch)
{
    batch->len = 0;
    batch->peers = NULL;
    batch->peer_count = 0;
    batch->next_peer = 0;
    batch->outcome = (struct provide_outcome){0};
}

static uint64_t place_of(const struct kad_key *key)
{
    uint64_t place = 0;
    for (size_t i = 0; i < sizeof(place); i++)
        place = place << 8 | key->bytes[i];
    return place;
}

enum err provide_batch_add(struct provide_batch *batch, struct span multihash)
{
    assert(batch->peers == NULL);
    if (multihash.len == 0 || multihash.len > PROVIDE_BATCH_KEY_BYTES_MAX)
        return ERR_TOO_LARGE;
    if (batch->len == batch->max)
        return ERR_BUSY;
    struct batch_key *key = &batch->keys[batch->len++];
    struct kad_key at = kad_key_of(multihash);
    *key = (struct batch_key){.at = place_of(&at), .len = (uint8_t)multihash.len};
    memcpy(key->multihash, multihash.data, multihash.len);
    batch->outcome.keys++;
    return ERR_OK;
}

/* Insertion into the KAD_K best so far: most peers are farther than the last of these and cost one comparison. */
static void assign_key(const struct provide_batch *batch, struct batch_key *key)
{
    uint64_t distances[KAD_K];
    size_t count = 0;
    for (size_t peer = 0; peer < batch->peer_count; peer++) {
        uint64_t distance = batch->places[peer] ^ key->at;
        if (count == KAD_K && distance >= distances[KAD_K - 1])
            continue;
        size_t i = count < KAD_K ? count++ : KAD_K - 1;
        for (; i > 0 && distances[i - 1] > distance; i--) {
            distances[i] = distances[i - 1];
            key->closest[i] = key->closest[i - 1];
        }
        distances[i] = distance;
        key->closest[i] = (uint8_t)peer;
    }
    for (; count < KAD_K; count++)
        key->closest[count] = NOBODY;
}

void provide_batch_assign(struct provide_batch *batch, const struct region_peer *peers, size_t count)
{
    assert(count <= PROVIDE_REGION_PEERS_MAX);
    batch->peers = peers;
    batch->peer_count = count;
    for (size_t i = 0; i < count; i++)
        batch->places[i] = place_of(&peers[i].key);
    for (uint32_t i = 0; i < batch->len; i++)
        assign_key(batch, &batch->keys[i]);
}

bool provide_batch_next_key(const struct provide_batch *batch, size_t peer, uint32_t *position,
                            struct span *ret_multihash)
{
    for (uint32_t i = *position; i < batch->len; i++) {
        if (memchr(batch->keys[i].closest, (int)peer, KAD_K) == NULL)
            continue;
        *position = i + 1;
        *ret_multihash = span_of(batch->keys[i].multihash, batch->keys[i].len);
        return true;
    }
    return false;
}

bool provide_batch_next_peer(struct provide_batch *batch, size_t *ret_peer, struct peer_id *ret_id)
{
    while (batch->next_peer < batch->peer_count) {
        size_t peer = batch->next_peer++;
        uint32_t position = 0;
        struct span key;
        if (!provide_batch_next_key(batch, peer, &position, &key))
            continue;
        *ret_peer = peer;
        *ret_id = batch->peers[peer].id;
        return true;
    }
    return false;
}

void provide_batch_told(struct provide_batch *batch, size_t peer, uint32_t position, bool well)
{
    for (uint32_t i = 0; i < position && i < batch->len; i++) {
        struct batch_key *key = &batch->keys[i];
        if (memchr(key->closest, (int)peer, KAD_K) == NULL)
            continue;
        key->told++;
        batch->outcome.told++;
        batch->outcome.provided += key->told == MIN((size_t)PROVIDE_ENOUGH, batch->peer_count);
    }
    batch->outcome.peers += well;
    batch->outcome.failed += !well;
}

bool provide_batch_is_provided(const struct provide_batch *batch, uint32_t key)
{
    return batch->peer_count > 0 && batch->keys[key].told >= MIN((size_t)PROVIDE_ENOUGH, batch->peer_count);
}

struct provide_outcome provide_batch_outcome(const struct provide_batch *batch)
{
    return batch->outcome;
}
