/* SPDX-License-Identifier: MIT */
/*
 * What is known of peers: addresses, protocols, agent, the newest signed record. A bounded table in memory; the rows that outlive
 * the process are the state actor's.
 *
 * Bounds: PEERSTORE_PEERS_MAX peers (the one longest out of sight goes first, connected ones never), 500 addresses while connected
 * and 20 after, 1024 protocols, all charged to the account given. Addresses are kept as multiaddr bytes without /p2p, packed.
 * One thread.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_PEERSTORE_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_PEERSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/table.h"
#include "wire/multiaddr.h"
#include "wire/peer_id.h"

enum {
    PEERSTORE_PEERS_MAX = 1024,
    PEERSTORE_ADDRS_CONNECTED = 500,
    PEERSTORE_ADDRS_KEPT = 20,
    PEERSTORE_ADDR_BYTES = 16 * 1024, /* of one peer */
    PEERSTORE_PROTOCOLS_MAX = 1024,
    PEERSTORE_PROTOCOL_BYTES = 16 * 1024, /* of one peer */
    PEERSTORE_AGENT_MAX = 128,
    PEERSTORE_DIALS_MAX = 32 /* remembered of a peer: past that both counts are halved */
};

struct peer_entry {
    struct peer_id id;
    struct buf addrs; /* repeated {u16 length, bytes}, best first */
    uint32_t addr_count;
    struct buf protocols; /* repeated {u16 length, text} */
    uint32_t protocol_count;
    char agent[PEERSTORE_AGENT_MAX];
    uint64_t record_seq; /* of the newest signed record; 0: none */
    uint64_t seen_ns;    /* realtime */
    uint32_t successes;  /* of our dials; both fade, so that what counts is lately */
    uint32_t failures;
    uint32_t connections;
};

struct peerstore {
    struct table peers; /* id -> struct peer_entry, owned */
    struct account *account;
};

void peerstore_init(struct peerstore *store, struct account *account);
void peerstore_release(struct peerstore *store);

struct peer_entry *peerstore_find(const struct peerstore *store, const struct peer_id *id);

/* Finds or makes the entry. NULL: full of connected peers, or no memory. */
struct peer_entry *peerstore_add(struct peerstore *store, const struct peer_id *id);

/* Counts connections; with the last one gone only the first addresses are kept. */
void peerstore_connected(struct peer_entry *entry, uint64_t real_now_ns);
void peerstore_disconnected(struct peer_entry *entry, uint64_t real_now_ns);

/* Notes how a dial of ours ended. */
void peerstore_dialled(struct peer_entry *entry, bool connected);

/* Adds multiaddr bytes (a /p2p at the end is left out) unless there; over a bound it is passed over. Invalid bytes: ERR_INVALID. */
enum err peerstore_add_addr(struct peer_entry *entry, struct span addr);
void peerstore_clear_addrs(struct peer_entry *entry);
/* Moves an address that worked to the front. */
void peerstore_prefer_addr(struct peer_entry *entry, struct span addr);

void peerstore_clear_protocols(struct peer_entry *entry);
void peerstore_add_protocol(struct peer_entry *entry, struct span protocol);
bool peerstore_speaks(const struct peer_entry *entry, const char *protocol);
void peerstore_set_agent(struct peer_entry *entry, struct span agent);

/* Walk addresses or protocols: *position starts at 0; false at the end. */
bool peerstore_next(const struct buf *list, size_t *position, struct span *ret_item);

#endif
