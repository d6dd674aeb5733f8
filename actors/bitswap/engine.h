/* SPDX-License-Identifier: MIT */
/*
 * What others want: an engine without I/O that decides who gets what next.
 *
 *      wants of a message -> lookups (which of them are stored?) -> presences, or blocks to fetch -> messages
 *
 * The owner carries the questions to storage and the messages to streams. Lookups are by multihash, and one answer serves all
 * peers that wait for it; later, a block that is stored wakes them in the same way. want-have is answered by HAVE, or by the block
 * itself up to ENGINE_BLOCK_FOR_HAVE_MAX; DONT_HAVE goes out as soon as it is known, if asked for. A block is sent under the CID
 * that was asked, so v0 and v1 of one block are two wants.
 *
 * Fairness: a deficit round robin. In its turn a peer may fetch ENGINE_QUANTUM_BYTES more than before; so peers get equal bytes,
 * whatever the sizes of their blocks. What a peer has fetched and not yet received is charged to the send account and bounded by
 * half of what stays free there, ENGINE_PEER_BYTES_LEAST at least, so many slow readers cannot fill the memory; a block that is
 * larger goes alone. Who is next waits when the account is full, and the others behind it, so that a large block comes too; storage
 * charges what it reads to the same account, so a fetch begins only when both fit. Blocks are
 * gathered into messages of about a second at the rate at which the peer takes them: Helia gives a message 10 s. One thread.
 */
#ifndef HEARTH_ACTORS_BITSWAP_ENGINE_H
#define HEARTH_ACTORS_BITSWAP_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actors/bitswap/ledger.h"
#include "base/attr.h"
#include "base/err.h"
#include "wire/bitswap.h"
#include "wire/peer_id.h"

enum {
    ENGINE_PEERS_MAX = 1024,
    ENGINE_BLOCK_FOR_HAVE_MAX = 1024,     /* a block up to this answers a want-have */
    ENGINE_PEER_BYTES_LEAST = 256 * 1024, /* fetched for a peer and not yet sent */
    ENGINE_PEER_BYTES_MAX = 4 * 1024 * 1024,
    ENGINE_QUANTUM_BYTES = 256 * 1024,
    ENGINE_BATCH_LEAST = 16 * 1024, /* blocks of one message, one more may pass it */
    ENGINE_BATCH_MAX = 256 * 1024,
    ENGINE_PRESENCES_MAX = 2048,     /* of a peer, unsent */
    ENGINE_SUBJECTS_MAX = 256 * 1024 /* multihashes wanted by anybody */
};

struct engine;
struct engine_peer;

/* Wants are charged to tables, blocks under way to send; either may be NULL. NULL without memory. */
struct engine *engine_new(struct account *tables, struct account *send) MUST_CHECK;
void engine_free(struct engine *e);

/* ERR_BUSY at ENGINE_PEERS_MAX, ERR_NOMEM. The handle lives until engine_peer_down, which drops the ledger and all that is due. */
enum err engine_peer_up(struct engine *e, const struct peer_id *id, struct engine_peer **ret_peer) MUST_CHECK;
void engine_peer_down(struct engine *e, struct engine_peer *peer);

/*
 * A message begins: its number, never 0. Those of several streams may overlap, and one may never end. Then each of its entries, a cancel
 * too; and its end. full: what was named by older messages only is void.
 */
uint64_t engine_message_begin(struct engine_peer *peer);
void engine_want(struct engine *e, struct engine_peer *peer, const struct bitswap_want *want, uint64_t message);
void engine_message_end(struct engine *e, struct engine_peer *peer, uint64_t message, bool full);

/* The next multihash that storage is to be asked for, as some CID of it; false when there is none. */
bool engine_next_lookup(struct engine *e, struct cid *ret_cid);

/* Storage could not be asked just now: the question is due again. */
void engine_lookup_again(struct engine *e, const struct cid *cid);

/* Storage's answer: size + 1, or 0 for absent. Serves everyone who waits for this multihash. */
void engine_looked_up(struct engine *e, const struct cid *cid, uint64_t size_plus_1);

/* A block is stored now: whoever wants it will be looked at again. */
void engine_stored(struct engine *e, const struct cid *cid);

/* The same of any block: what was absent may be here, and what is absent still is not told again. */
void engine_look_at_all(struct engine *e);

/* The next block to be fetched for a peer; false when there is none or no room. */
struct engine_fetch {
    struct engine_peer *peer;
    struct cid cid;
    size_t size;
};
bool engine_next_fetch(struct engine *e, struct engine_fetch *ret_fetch);

/*
 * The fetch ended. block may be NULL: it is gone. Takes a reference of its own. The peer must be up; for one that went down since
 * nothing is to be told.
 */
void engine_fetched(struct engine *e, struct engine_peer *peer, const struct cid *cid, struct block_ref *block);

/* The fetch could not be made just now: it is due again. */
void engine_fetch_again(struct engine *e, struct engine_peer *peer, const struct cid *cid);

/* It could not be read: storage is asked anew whether the block is here. */
void engine_fetch_in_doubt(struct engine *e, struct engine_peer *peer, const struct cid *cid);

/* The next peer with a message to be sent, taken off the list; NULL when there is none. */
struct engine_peer *engine_next_dirty(struct engine *e);

/* Fills a fresh writer. False: nothing was due. ret_block_bytes: give them to engine_sent when they left, or to engine_lost. */
bool engine_fill(struct engine *e, struct engine_peer *peer, struct bitswap_writer *w, size_t *ret_block_bytes);
bool engine_has_message(const struct engine_peer *peer);

/* Blocks of a message that was filled at filled_ns have left. */
void engine_sent(struct engine *e, struct engine_peer *peer, size_t block_bytes, uint64_t filled_ns, uint64_t now_ns);
void engine_lost(struct engine *e, struct engine_peer *peer, size_t block_bytes);

/* Whether something waits that no event of this engine will wake: try again soon. */
bool engine_has_work(const struct engine *e);

/* Whether the last engine_next_fetch found no room in the send account, which others give back. */
bool engine_waits_for_memory(const struct engine *e);

/* The peer's owner, and its wantlist. */
void engine_peer_set_owner(struct engine_peer *peer, void *owner);
void *engine_peer_owner(const struct engine_peer *peer);
bool engine_next_want(const struct engine_peer *peer, size_t *position, struct cid *ret_cid);
size_t engine_want_count(const struct engine_peer *peer);

/* Peers that want the block of a CID, under whatever CID of it, max of them at most; returns how many. ret_more: there may be others. */
size_t engine_wanted_by(const struct engine *e, const struct cid *cid, struct peer_id *ret_peers, size_t max,
                        bool *ret_more);

/* The highest priority that a connected peer gives the block of a CID, and who it is; 0: nobody wants it, or nobody so much. */
int32_t engine_most_wanted(const struct engine *e, const struct cid *cid, struct peer_id *ret_peer);

struct engine_stats {
    uint64_t blocks_sent;
    uint64_t bytes_sent;
    uint64_t wants_refused; /* over a bound */
};
const struct engine_stats *engine_stats(const struct engine *e);

#endif
