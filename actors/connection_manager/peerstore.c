/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/peerstore.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

void peerstore_init(struct peerstore *store, struct account *account)
{
    store->account = account;
    table_init(&store->peers, PEERSTORE_PEERS_MAX, account);
}

static void entry_free(struct peerstore *store, struct peer_entry *entry)
{
    buf_release(&entry->addrs);
    buf_release(&entry->protocols);
    free(entry);
    if (store->account != NULL)
        account_give(store->account, sizeof(*entry));
}

void peerstore_release(struct peerstore *store)
{
    size_t position = 0;
    struct peer_entry *entry;
    while ((entry = table_next(&store->peers, &position, NULL)) != NULL)
        entry_free(store, entry);
    table_release(&store->peers);
}

struct peer_entry *peerstore_find(const struct peerstore *store, const struct peer_id *id)
{
    return table_get(&store->peers, peer_id_span(id));
}

static bool evict_one(struct peerstore *store)
{
    size_t position = 0;
    struct peer_entry *entry;
    struct peer_entry *oldest = NULL;
    while ((entry = table_next(&store->peers, &position, NULL)) != NULL)
        if (entry->connections == 0 && (oldest == NULL || entry->seen_ns < oldest->seen_ns))
            oldest = entry;
    if (oldest == NULL)
        return false;
    (void)table_remove(&store->peers, peer_id_span(&oldest->id));
    entry_free(store, oldest);
    return true;
}

struct peer_entry *peerstore_add(struct peerstore *store, const struct peer_id *id)
{
    struct peer_entry *entry = peerstore_find(store, id);
    if (entry != NULL)
        return entry;
    if (table_len(&store->peers) == PEERSTORE_PEERS_MAX && !evict_one(store))
        return NULL;
    if (store->account != NULL && !account_take(store->account, sizeof(*entry)))
        return NULL;
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL || table_put(&store->peers, peer_id_span(id), entry, NULL) != ERR_OK) {
        free(entry);
        if (store->account != NULL)
            account_give(store->account, sizeof(*entry));
        return NULL;
    }
    entry->id = *id;
    buf_init(&entry->addrs, PEERSTORE_ADDR_BYTES, store->account);
    buf_init(&entry->protocols, PEERSTORE_PROTOCOL_BYTES, store->account);
    return entry;
}

bool peerstore_next(const struct buf *list, size_t *position, struct span *ret_item)
{
    if (list->len - *position < 2)
        return false;
    const uint8_t *at = list->data + *position;
    size_t len = (size_t)at[0] << 8 | at[1];
    *ret_item = span_of(at + 2, len);
    *position += 2 + len;
    return true;
}

static bool contains(const struct buf *list, struct span item)
{
    size_t position = 0;
    struct span there;
    while (peerstore_next(list, &position, &there))
        if (span_equal(there, item))
            return true;
    return false;
}

static bool append(struct buf *list, struct span item)
{
    uint8_t *to = buf_reserve(list, 2 + item.len);
    if (to == NULL)
        return false;
    to[0] = (uint8_t)(item.len >> 8);
    to[1] = (uint8_t)item.len;
    memcpy(to + 2, item.data, item.len);
    buf_commit(list, 2 + item.len);
    return true;
}

void peerstore_connected(struct peer_entry *entry, uint64_t real_now_ns)
{
    entry->connections++;
    entry->seen_ns = real_now_ns;
}

void peerstore_disconnected(struct peer_entry *entry, uint64_t real_now_ns)
{
    entry->seen_ns = real_now_ns;
    if (--entry->connections > 0)
        return;
    size_t position = 0;
    struct span addr;
    uint32_t kept = 0;
    while (kept < PEERSTORE_ADDRS_KEPT && peerstore_next(&entry->addrs, &position, &addr))
        kept++;
    entry->addrs.len = position;
    entry->addr_count = kept;
}

void peerstore_dialled(struct peer_entry *entry, bool connected)
{
    if (entry->successes + entry->failures >= PEERSTORE_DIALS_MAX) {
        entry->successes /= 2;
        entry->failures /= 2;
    }
    entry->successes += connected;
    entry->failures += !connected;
}

enum err peerstore_add_addr(struct peer_entry *entry, struct span addr)
{
    struct multiaddr checked;
    enum err err = multiaddr_parse(multiaddr_without_peer(addr), &checked);
    if (err != ERR_OK)
        return err;
    uint32_t max = entry->connections > 0 ? PEERSTORE_ADDRS_CONNECTED : PEERSTORE_ADDRS_KEPT;
    if (entry->addr_count >= max || contains(&entry->addrs, multiaddr_span(&checked)))
        return ERR_OK;
    if (append(&entry->addrs, multiaddr_span(&checked)))
        entry->addr_count++;
    return ERR_OK;
}

void peerstore_clear_addrs(struct peer_entry *entry)
{
    buf_clear(&entry->addrs);
    entry->addr_count = 0;
}

void peerstore_prefer_addr(struct peer_entry *entry, struct span addr)
{
    size_t position = 0;
    struct span there;
    for (size_t start = 0; peerstore_next(&entry->addrs, &position, &there); start = position) {
        if (!span_equal(there, addr))
            continue;
        uint8_t copy[2 + MULTIADDR_BYTES_MAX];
        size_t len = 2 + there.len;
        memcpy(copy, entry->addrs.data + start, len);
        memmove(entry->addrs.data + len, entry->addrs.data, start);
        memcpy(entry->addrs.data, copy, len);
        return;
    }
}

void peerstore_clear_protocols(struct peer_entry *entry)
{
    buf_clear(&entry->protocols);
    entry->protocol_count = 0;
}

void peerstore_add_protocol(struct peer_entry *entry, struct span protocol)
{
    if (protocol.len == 0 || protocol.len > UINT8_MAX || entry->protocol_count >= PEERSTORE_PROTOCOLS_MAX ||
        contains(&entry->protocols, protocol))
        return;
    if (append(&entry->protocols, protocol))
        entry->protocol_count++;
}

bool peerstore_speaks(const struct peer_entry *entry, const char *protocol)
{
    return contains(&entry->protocols, span_text(protocol));
}

/* Foreign text ends up on terminals and in databases: printable ASCII only. */
void peerstore_set_agent(struct peer_entry *entry, struct span agent)
{
    size_t len = MIN(agent.len, (size_t)PEERSTORE_AGENT_MAX - 1);
    for (size_t i = 0; i < len; i++)
        entry->agent[i] = agent.data[i] >= 0x20 && agent.data[i] < 0x7f ? (char)agent.data[i] : '?';
    entry->agent[len] = '\0';
}
