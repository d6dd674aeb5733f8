/* SPDX-License-Identifier: MIT */
/*
 * Peer tags: what peers are worth to the parts of this node, and who must stay. No sockets, no clock.
 *
 *      tag      {name, value, half life}     a part says why it likes a peer; the sum orders the trimmer. With a half life the
 *                                            value halves each time it passes, and a tag worth less than 1 is dropped
 *      protect  {name}                       a peer that somebody protects is never trimmed
 *
 * A tag or protection is of a peer, whether it is connected or not. Bounds: PEER_TAGS_PEERS_MAX peers, charged to the account; when
 * full, the peer that is worth least and unprotected makes room. PEER_TAGS_MAX tags and as many protections of a peer.
 *
 * One thread; times are nanoseconds of any monotonic clock.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_PEER_TAGS_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_PEER_TAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/table.h"
#include "wire/peer_id.h"

struct account;

enum { PEER_TAGS_PEERS_MAX = 2048, PEER_TAGS_MAX = 8, PEER_TAG_NAME_MAX = 24, PEER_TAG_VALUE_MAX = 1000000 };

struct peer_tags {
    struct table peers; /* id -> struct peer_marks of peer_tags.c, owned */
    struct account *account;
};

/* account may be NULL. Allocates nothing. */
void peer_tags_init(struct peer_tags *tags, struct account *account);
void peer_tags_release(struct peer_tags *tags);

/*
 * Sets a tag in place of the one of that name; value 0 removes it. half_life_ns 0: it does not decay. ERR_TOO_LARGE: name or value;
 * ERR_BUSY: too many tags of this peer, or peers that are worth more; ERR_NOMEM.
 */
enum err peer_tags_set(struct peer_tags *tags, const struct peer_id *peer, struct span name, int64_t value,
                       uint64_t half_life_ns, uint64_t now_ns) MUST_CHECK;

/* Protects under a name, or takes that protection back. Errors as peer_tags_set. */
enum err peer_tags_protect(struct peer_tags *tags, const struct peer_id *peer, struct span name, bool protect,
                           uint64_t now_ns) MUST_CHECK;

/* What the peer is worth now. */
int64_t peer_tags_value(struct peer_tags *tags, const struct peer_id *peer, uint64_t now_ns);
bool peer_tags_are_protecting(const struct peer_tags *tags, const struct peer_id *peer);

/* A part that set tags or protections beginning with this name is gone, and they with it. */
void peer_tags_forget(struct peer_tags *tags, struct span name);

#endif
