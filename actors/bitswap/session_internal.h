/* SPDX-License-Identifier: MIT */
/*
 * The inside of the session engine: wants, peers, and the links between them. Only session*.c include it.
 */
#ifndef HEARTH_ACTORS_BITSWAP_SESSION_INTERNAL_H
#define HEARTH_ACTORS_BITSWAP_SESSION_INTERNAL_H

#include "actors/bitswap/pace.h"
#include "actors/bitswap/session.h"

enum link_sent { SENT_NOTHING, SENT_HAVE, SENT_BLOCK };
enum link_todo { TODO_NOTHING, TODO_HAVE, TODO_BLOCK, TODO_CANCEL };
enum link_said { SAID_NOTHING, SAID_HAVE, SAID_DONT_HAVE, SAID_SILENCE };

struct want;

struct link {
    struct want *want;
    struct bitswap_session_peer *peer;
    struct link *next_of_want;
    struct link *next_of_peer;
    struct link *prev_of_peer;
    struct link *next_todo;
    struct link *prev_todo;
    uint64_t sent_ns;
    uint64_t due_ns; /* the block should have come by then */
    enum link_sent sent;
    enum link_todo todo;
    enum link_said said;
    bool again; /* after the cancel that is due, the block is wanted again */
    bool alone; /* nothing else was outstanding with the peer when it was asked */
};

struct want {
    struct cid cid;
    struct link *links;
    struct link *asked; /* the peer that holds the want-block */
    struct want *next_waiting;
    bool waiting; /* on the list of wants that wait for room with a peer */
    bool over;    /* off the table; lives until its cancels are sent */
    bool broad;   /* others were asked too */
    uint64_t search_ns;
    uint64_t retry_ns;
    uint64_t again_ns;
};

/* Links that wait to be sent, oldest first. */
struct todo_list {
    struct link *first;
    struct link *last;
};

struct bitswap_session_peer {
    struct peer_id id;
    enum bitswap_version version;
    void *owner;
    struct link *links;
    struct todo_list cancels;
    struct todo_list wants;
    struct bitswap_session_peer *next_dirty;
    bool dirty;
    bool known;      /* asked something at least once */
    bool renew;      /* the next message is the whole list */
    uint32_t asked;  /* want-blocks outstanding */
    uint32_t broken; /* words, since the owner looked */
    uint32_t score;  /* what the owner knows of it from before */
    struct pace pace;
    uint64_t progress_ns; /* of the last bytes */
};

struct bitswap_session {
    struct account *account;
    struct table wants; /* CID bytes -> struct want */
    struct table peers; /* peer id -> struct bitswap_session_peer */
    struct want *waiting;
    struct want **waiting_last;
    struct bitswap_session_peer *dirty;
    struct bitswap_session_peer **dirty_last;
    size_t block_guess; /* moving average of block sizes */
    size_t bytes_max;   /* of want-blocks outstanding with all peers */
    size_t asked;       /* the same, counted */
    size_t strangers;   /* peers that were never asked anything */
};

/* Memory that is charged to the account; NULL when it is exhausted. Zeroed. */
void *bitswap_session_take(struct bitswap_session *s, size_t bytes) MUST_CHECK;
void bitswap_session_give(struct bitswap_session *s, void *p, size_t bytes);

/* What is to be sent on a link, and which peers have something to be sent. */
void bitswap_session_todo_unlink(struct link *l);
void bitswap_session_todo_set(struct bitswap_session *s, struct link *l, enum link_todo todo);
void bitswap_session_mark_dirty(struct bitswap_session *s, struct bitswap_session_peer *peer);
void bitswap_session_dirty_remove(struct bitswap_session *s, struct bitswap_session_peer *peer);

/* The link of a want and a peer, NULL when there is none; make returns the one that exists, NULL without memory. */
struct link *bitswap_session_link_of(const struct want *want, const struct bitswap_session_peer *peer);
struct link *bitswap_session_link_make(struct bitswap_session *s, struct want *want, struct bitswap_session_peer *peer);

/* Takes a link out of all lists and frees it; the want stays. */
void bitswap_session_link_free(struct bitswap_session *s, struct link *l);

/* Frees a want that is over and has no links left. */
void bitswap_session_want_drop_if_over(struct bitswap_session *s, struct want *want);

/* Gives the want-block to the best peer, or leaves the want waiting; then all wants that wait. */
void bitswap_session_assign(struct bitswap_session *s, struct want *want, uint64_t now_ns);
void bitswap_session_assign_waiting(struct bitswap_session *s, uint64_t now_ns);

/* The peer that was asked will not deliver: another one is asked, and more are asked whether they have it. */
void bitswap_session_move_on(struct bitswap_session *s, struct want *want, uint64_t now_ns);

/* Gives a want up with its peer when it is overdue and there is somebody better. */
void bitswap_session_doubt(struct bitswap_session *s, struct want *want, uint64_t now_ns);

/* Asks others whether they have it; only those that were never asked anything, or all. */
void bitswap_session_ask_others(struct bitswap_session *s, struct want *want, bool strangers_only);

/* The want-block is no longer with its peer. */
void bitswap_session_unask(struct bitswap_session *s, struct want *want);

/* The wants that wait for room, in the order in which they came. */
void bitswap_session_wait_push(struct bitswap_session *s, struct want *want);
void bitswap_session_wait_remove(struct bitswap_session *s, struct want *want);

#endif
