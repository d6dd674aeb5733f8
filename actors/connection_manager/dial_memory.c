/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/dial_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

/* Addresses are keyed by their bytes, since a struct may have padding. */
struct memory_key {
    size_t len;
    uint8_t bytes[48];
};

static struct memory_key key_for(const struct peer_id *peer, const struct endpoint *addr)
{
    struct memory_key key = {.len = peer->len};
    if (!peer_id_is_empty(peer)) {
        memcpy(key.bytes, peer->bytes, peer->len);
        return key;
    }
    key.bytes[0] = (uint8_t)addr->addr.family;
    key.bytes[1] = (uint8_t)(addr->addr.port >> 8);
    key.bytes[2] = (uint8_t)addr->addr.port;
    key.bytes[3] = addr->websocket;
    memcpy(key.bytes + 4, addr->addr.ip, addr->addr.family == NET_IP4 ? 4 : 16);
    key.len = 4 + 16;
    return key;
}

static void drop(struct dial_memories *memories, struct dial_memory *m)
{
    if (m != NULL && memories->account != NULL)
        account_give(memories->account, sizeof(*m));
    free(m);
}

void dial_memories_init(struct dial_memories *memories, struct account *account)
{
    memories->account = account;
    table_init(&memories->table, DIAL_MEMORIES_MAX, account);
}

void dial_memories_release(struct dial_memories *memories)
{
    size_t position = 0;
    struct dial_memory *m;
    while ((m = table_next(&memories->table, &position, NULL)) != NULL)
        drop(memories, m);
    table_release(&memories->table);
}

struct dial_memory *dial_memory_find(const struct dial_memories *memories, const struct peer_id *peer,
                                     const struct endpoint *addr)
{
    struct memory_key key = key_for(peer, addr);
    return table_get(&memories->table, span_of(key.bytes, key.len));
}

void dial_memory_forget(struct dial_memories *memories, const struct peer_id *peer, const struct endpoint *addr)
{
    struct memory_key key = key_for(peer, addr);
    drop(memories, table_remove(&memories->table, span_of(key.bytes, key.len)));
}

static void drop_oldest(struct dial_memories *memories)
{
    size_t position = 0;
    struct span oldest;
    struct memory_key gone = {0};
    if (table_next(&memories->table, &position, &oldest) == NULL)
        return;
    gone.len = MIN(oldest.len, sizeof(gone.bytes));
    memcpy(gone.bytes, oldest.data, gone.len);
    drop(memories, table_remove(&memories->table, span_of(gone.bytes, gone.len)));
}

struct dial_memory *dial_memory_make(struct dial_memories *memories, const struct peer_id *peer,
                                     const struct endpoint *addr)
{
    struct dial_memory *m = dial_memory_find(memories, peer, addr);
    if (m != NULL)
        return m;
    if (table_len(&memories->table) == DIAL_MEMORIES_MAX)
        drop_oldest(memories);
    if (memories->account != NULL && !account_take(memories->account, sizeof(*m)))
        return NULL;
    struct memory_key key = key_for(peer, addr);
    m = calloc(1, sizeof(*m));
    if (m != NULL && table_put(&memories->table, span_of(key.bytes, key.len), m, NULL) == ERR_OK)
        return m;
    if (memories->account != NULL)
        account_give(memories->account, sizeof(*m));
    free(m);
    return NULL;
}

void dial_memory_failed(struct dial_memories *memories, const struct peer_id *peer, const struct endpoint *addr,
                        uint64_t now_ns)
{
    struct dial_memory *m = dial_memory_make(memories, peer, addr);
    if (m == NULL)
        return;
    m->failures = MIN(m->failures + 1, 100u);
    uint64_t wait_ms = (uint64_t)DIAL_BACKOFF_MS * m->failures * m->failures;
    m->retry_ns = now_ns + MIN(wait_ms, (uint64_t)DIAL_BACKOFF_MAX_MS) * MS_NS;
}
