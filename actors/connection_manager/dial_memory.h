/* SPDX-License-Identifier: MIT */
/*
 * What earlier dials have taught about a peer (or an address whose peer is not known): the channel that it takes, those that it
 * refuses, and until when it is left alone after failures in a row. The oldest goes when there are DIAL_MEMORIES_MAX. One thread.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_DIAL_MEMORY_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_DIAL_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "actors/connection_manager/connection.h"
#include "actors/connection_manager/endpoint.h"
#include "base/table.h"
#include "wire/peer_id.h"

enum {
    DIAL_MEMORIES_MAX = 1024,
    DIAL_BACKOFF_MS = 5000, /* times the square of the failures in a row */
    DIAL_BACKOFF_MAX_MS = 300000
};

struct dial_memory {
    bool known;
    enum connection_security security; /* known: what it accepted last */
    uint8_t refused;                   /* bits of channels refused when proposed optimistically */
    uint32_t failures;                 /* in a row */
    uint64_t retry_ns;                 /* failures > 0: when its backoff ends */
};

struct dial_memories {
    struct table table;
    struct account *account;
};

/* account (may be NULL) pays for them. */
void dial_memories_init(struct dial_memories *memories, struct account *account);
void dial_memories_release(struct dial_memories *memories);

/* NULL: nothing is known. peer empty: addr is who. Both pointers are valid until the next dial_memory_make. */
struct dial_memory *dial_memory_find(const struct dial_memories *memories, const struct peer_id *peer,
                                     const struct endpoint *addr);
/* The same, made where there is none. NULL: no memory. */
struct dial_memory *dial_memory_make(struct dial_memories *memories, const struct peer_id *peer,
                                     const struct endpoint *addr);

void dial_memory_forget(struct dial_memories *memories, const struct peer_id *peer, const struct endpoint *addr);

/* A dial has failed, and the peer is to blame: one more failure, and its backoff. */
void dial_memory_failed(struct dial_memories *memories, const struct peer_id *peer, const struct endpoint *addr,
                        uint64_t now_ns);

#endif
