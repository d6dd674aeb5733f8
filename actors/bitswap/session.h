/* SPDX-License-Identifier: MIT */
/*
 * What we want: an engine without I/O that decides whom to ask for which block.
 *
 *      want ----< link >---- peer        a link is what one peer was asked and has said about one want
 *
 * Each want is asked of one peer as want-block: the one from which it would come first, by what was measured of each (pace.h). So
 * peers share the wants by their rates, and one that is slow holds up nothing. Others are asked want-have when that peer is not known to
 * be good, says DONT_HAVE, or is overdue, and when they were never asked anything. With a peer about two seconds' worth is outstanding,
 * with all of them as much as the owner says. When a peer is silent for longer than is normal for it, or a block is overdue, and somebody
 * else may have it, the want is cancelled there and asked of the other one; without another one a slow peer is waited for. Asked twice
 * means cancelled first, because Helia swallows a want that is repeated within 5 s; cancels and wants travel in messages of their own,
 * because in one message a cancel wins over its want.
 *
 * Alternatives not taken: one session per download with its own peer set (boxo) costs a table of peers per download and learns
 * each anew; here what a peer delivered is remembered once. Time is an argument, nanoseconds; one thread.
 */
#ifndef HEARTH_ACTORS_BITSWAP_SESSION_H
#define HEARTH_ACTORS_BITSWAP_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/table.h"
#include "wire/bitswap.h"
#include "wire/peer_id.h"

enum {
    SESSION_WANTS_MAX = 4096,
    SESSION_PEERS_MAX = 1024,
    SESSION_ASK_MAX = 16,                   /* peers that are asked about one want at a time */
    SESSION_BLOCK_GUESS_BYTES = 256 * 1024, /* size of a block before one was seen */
    SESSION_SILENCE_MS = 5000,              /* without any bytes, and nobody else has it: assumed DONT_HAVE */
    SESSION_SEARCH_MS = 1000,               /* a want without a block: look for providers */
    SESSION_SEARCH_AGAIN_MS = 60 * 1000,
    SESSION_RETRY_MS = 10 * 1000, /* nobody has it: ask those who were silent again */
    SESSION_TICK_MS = 250
};

struct bitswap_session;
struct bitswap_session_peer;

/* NULL without memory. Tables are charged to account, which may be NULL. bytes_max: of blocks that may be on their way at a time. */
struct bitswap_session *bitswap_session_new(struct account *account, size_t bytes_max) MUST_CHECK;
void bitswap_session_free(struct bitswap_session *s);

/* Changes bytes_max: what is asked already stays asked. */
void bitswap_session_bound(struct bitswap_session *s, size_t bytes_max);

/* ERR_BUSY at SESSION_PEERS_MAX, ERR_NOMEM. The handle lives until bitswap_session_peer_down. */
enum err bitswap_session_peer_up(struct bitswap_session *s, const struct peer_id *id, enum bitswap_version version,
                                 uint64_t now_ns, struct bitswap_session_peer **ret_peer) MUST_CHECK;

/* Forgets the peer; what it was asked is asked of others. */
void bitswap_session_peer_down(struct bitswap_session *s, struct bitswap_session_peer *peer, uint64_t now_ns);

/* Bytes of a message arrive from this peer: it is not silent. */
void bitswap_session_peer_progress(struct bitswap_session_peer *peer, uint64_t now_ns);

/* Messages to this peer may have been lost, cancels too: what is still wanted is sent again, as a whole list that replaces the old one. */
void bitswap_session_peer_resend(struct bitswap_session *s, struct bitswap_session_peer *peer);

/* Wants a block. ERR_EXISTS: wanted already; ERR_BUSY, ERR_NOMEM. */
enum err bitswap_session_want(struct bitswap_session *s, const struct cid *cid, uint64_t now_ns) MUST_CHECK;

/* Wants it no more; unknown CIDs are ignored. */
void bitswap_session_unwant(struct bitswap_session *s, const struct cid *cid);

bool bitswap_session_wants(const struct bitswap_session *s, const struct cid *cid);

/* A peer told what it has. */
void bitswap_session_presence(struct bitswap_session *s, struct bitswap_session_peer *peer, const struct cid *cid,
                              bool have, uint64_t now_ns);

/*
 * A verified block came from a peer (NULL: from elsewhere). True: it was wanted and is not any more; the others hear a cancel. False:
 * unwanted, drop it.
 */
bool bitswap_session_block(struct bitswap_session *s, struct bitswap_session_peer *peer, const struct cid *cid,
                           size_t len, uint64_t now_ns);

/* Does what time demands; call it each SESSION_TICK_MS while bitswap_session_count() > 0. */
void bitswap_session_tick(struct bitswap_session *s, uint64_t now_ns);

/* Whether there is something to be sent to this peer. */
bool bitswap_session_has_message(const struct bitswap_session_peer *peer);

/* Fills a fresh writer with what is next for this peer; cancels and wants never share a message. False: nothing was to be sent. */
bool bitswap_session_fill(struct bitswap_session *s, struct bitswap_session_peer *peer, struct bitswap_writer *w,
                          uint64_t now_ns);

/* Peers with something to be sent, in order of need; NULL when there is none. The returned one is taken off the list. */
struct bitswap_session_peer *bitswap_session_next_dirty(struct bitswap_session *s);

/* The next want for which providers are to be looked for now; false when there is none. Each is returned once per search. */
bool bitswap_session_next_search(struct bitswap_session *s, uint64_t now_ns, struct cid *ret_cid);

size_t bitswap_session_count(const struct bitswap_session *s);

/* Iterates the wants; *position starts at 0. */
bool bitswap_session_next_want(const struct bitswap_session *s, size_t *position, struct cid *ret_cid);

/* When this peer was sent a want-block for it, with nothing else outstanding; 0: it was not, or not alone, so that it tells nothing of its latency. */
uint64_t bitswap_session_asked_ns(const struct bitswap_session *s, const struct bitswap_session_peer *peer,
                                  const struct cid *cid);

/* Want-blocks that it was sent and has not answered. */
size_t bitswap_session_peer_asked(const struct bitswap_session_peer *peer);

/* How often it broke its word since the last time. */
uint32_t bitswap_session_peer_take_broken(struct bitswap_session_peer *peer);

/* What is known of it from before: among peers that would be equally fast for all that is known, a higher score is asked first. */
void bitswap_session_peer_set_score(struct bitswap_session_peer *peer, uint32_t score);

/* For the owner to find its own state of a peer. */
void bitswap_session_peer_set_owner(struct bitswap_session_peer *peer, void *owner);
void *bitswap_session_peer_owner(const struct bitswap_session_peer *peer);

#endif
