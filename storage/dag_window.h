/* SPDX-License-Identifier: MIT */
/*
 * A bounded window over a DAG that is read in order while its blocks arrive in any order. Shared by exporter, lister
 * and walker.
 *
 *      first                                              last
 *        | READY | WANTED | READY | OPEN (a node) | ASKED | OPEN (its parent) |
 *                                   ^ its next children are put in here, before it
 *
 * What a block takes is its memory, which may be twice its length (base/pool.h). Slots stand in reading order. A block that arrives turns its slot into something to read (READY) or into a node whose
 * children come one by one before it (OPEN); so nothing is expanded further than the window allows, and depth costs one
 * slot per level, no stack. New slots need room; only the foremost slot may always add one, so that reading never
 * stalls behind what was read ahead.
 *
 * What is on its way takes no memory yet. So a reader that has to wait for blocks asks for up to DAG_AHEAD times what it may hold, as a long
 * path needs it; it goes ahead by twice what it has waited for. A block that comes and finds no room is not kept (STORED): it is durable
 * where it came from, and is asked for again when there is room. Then nothing is asked beyond the window until the reader has waited for
 * longer than the last time, so that of a store that is faster than the reader little is read twice.
 *
 * A CID that stands in the window twice is asked for once. Identity CIDs carry their bytes and are never asked for. No
 * I/O; one thread at a time.
 */
#ifndef HEARTH_STORAGE_DAG_WINDOW_H
#define HEARTH_STORAGE_DAG_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/err.h"
#include "wire/cid.h"
#include "wire/unixfs.h"

enum {
    DAG_DEPTH_MAX = 64,
    DAG_OPEN_BYTES_MAX = 8 * 1024 * 1024, /* of all open nodes: honest ones take 60 bytes a link */
    DAG_NODE_ESTIMATE = 256 * 1024,       /* reserved for a block of unknown size */
    DAG_BLOCK_MAX = 2 * 1024 * 1024,      /* larger ones do not travel: who claims one has more than one block */
    DAG_AHEAD = 4,                        /* windows, asked for at most */
    DAG_PATIENCE_MAX = 64                 /* windows, waited for before more is asked */
};

enum dag_slot_state {
    DAG_WANTED,  /* to be asked for */
    DAG_ASKED,   /* on its way */
    DAG_STORED,  /* came when there was no room: to be asked for again */
    DAG_ARRIVED, /* the owner has not looked at it yet */
    DAG_READY,   /* to be read */
    DAG_OPEN     /* has children to add */
};

struct dag_slot {
    struct dag_slot *prev;
    struct dag_slot *next;
    enum dag_slot_state state;
    uint32_t depth;
    size_t reserved; /* bytes of its block, guessed before it comes */
    size_t held;     /* the same once it has a place in memory */
    struct cid cid;
    struct block_ref *block;
    /* The owner's: */
    struct span bytes;              /* READY: what to read */
    struct span links;              /* OPEN: links to come */
    struct unixfs_blocksizes sizes; /* OPEN: their sizes */
    uint64_t start;                 /* offset in the file */
    uint64_t size;                  /* bytes of the file at and below, as the parent says */
};

struct dag_window {
    struct dag_slot *first;
    struct dag_slot *last;
    size_t slots;      /* without OPEN ones */
    size_t reserved;   /* of all slots */
    size_t held;       /* of all slots */
    size_t charged;    /* to the shared account: what is held, then what is to come */
    uint64_t waited;   /* bytes for which the reader waited, since a block found no room */
    uint64_t patience; /* of these, before more than the window is asked for */
    size_t open_bytes;
    size_t blocks_max;
    size_t bytes_max;
    bool
        is_ahead; /* the owner's: nobody waits for what this window reads, so its foremost slot has no right to go on uncharged */
    struct account *account;
    struct account *shared;
};

/*
 * blocks_max and bytes_max >= 1; account (may be NULL) is charged for slots. bytes_max bounds what is held, the foremost slot apart. shared
 * (may be NULL) bounds the sum of several windows: each reads ahead only while it has room, and the foremost slot goes on uncharged when
 * it has none, unless is_ahead is set.
 */
void dag_window_init(struct dag_window *w, size_t blocks_max, size_t bytes_max, struct account *account,
                     struct account *shared);
void dag_window_release(struct dag_window *w);

/* Whether a slot of about bytes may be added before that one. */
bool dag_window_has_room(const struct dag_window *w, const struct dag_slot *before, size_t bytes);

/*
 * Adds a slot for a block before another one (NULL: at the end). It is WANTED, or ARRIVED when the block is in the
 * window already or the CID is an identity. ERR_NOMEM.
 */
enum err dag_window_add(struct dag_window *w, struct dag_slot *before, const struct cid *cid, size_t bytes,
                        uint32_t depth, struct dag_slot **ret_slot) MUST_CHECK;

/* Adds a READY slot of bytes that lie in a block, before another one. ERR_NOMEM. */
enum err dag_window_add_bytes(struct dag_window *w, struct dag_slot *before, struct block_ref *block,
                              struct span bytes) MUST_CHECK;

/* Puts a slot elsewhere in the reading order, before another one. */
void dag_window_move(struct dag_window *w, struct dag_slot *slot, struct dag_slot *before);

/* Takes a slot out and frees it. */
void dag_window_remove(struct dag_window *w, struct dag_slot *slot);

/* Makes an ARRIVED slot OPEN. ERR_TOO_LARGE over DAG_OPEN_BYTES_MAX. */
enum err dag_window_open(struct dag_window *w, struct dag_slot *slot) MUST_CHECK;

/* The next CID to ask for, in reading order. ERR_AGAIN: none. */
enum err dag_window_next_want(struct dag_window *w, struct cid *ret_cid) MUST_CHECK;

/* Hands a block to the slots that wait for it; false when there are none. Takes references of its own. */
bool dag_window_put(struct dag_window *w, const struct cid *cid, struct block_ref *block);

/*
 * The block could not be had for the moment, for want of memory: it is wanted again. When it is the foremost one, the last block that was
 * read ahead gives its memory back: it may be what is missing. Ignored when it is not waited for.
 */
void dag_window_retry(struct dag_window *w, const struct cid *cid);

/* Gives back the last block that was read ahead and can be had again, to be asked for when there is room. False: there is none. */
bool dag_window_give_back(struct dag_window *w);

/* The block cannot be had at all: the slots that wait for it are READY without one. */
void dag_window_skip(struct dag_window *w, const struct cid *cid);

/* Whether a block is waited for. */
bool dag_window_waits_for(const struct dag_window *w, const struct cid *cid);

/* The first slot in a state, or NULL. */
struct dag_slot *dag_window_find(const struct dag_window *w, enum dag_slot_state state);

#endif
