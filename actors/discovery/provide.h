/* SPDX-License-Identifier: MIT */
/*
 * Providing what this node stores: what its files share. Private to actors/discovery, one thread.
 *
 *      provide.c        settings, messages, the queue of single CIDs, figures
 *      provide_walk.c   goes over pins and blocks in tiered_storage: rows of `provides` in state.db
 *      provide_hot.c    which of them heat_tracker finds hot
 *      provide_page.c   takes a page of rows, sees that the blocks are there, and hands it to
 *      provide_tell.c   which explores their regions in each DHT and tells the peers
 *
 *      tiered_storage ── pages, block_stored, provide_root ──> rows of state.db ── pages in order of key ──> regions ──> ADD_PROVIDER
 *                                          └── new roots: queue, a lookup each ────────────────────────────────────────────┘
 *
 * The rows are not held here: 100,000 of them take 10 MB, and SQLite hands them out in the order of the key space. At most one page and
 * one walk are under way. What lasts is in state.db; a new life goes on where the last one was.
 */
#ifndef HEARTH_ACTORS_DISCOVERY_PROVIDE_H
#define HEARTH_ACTORS_DISCOVERY_PROVIDE_H

#include "actors/discovery/dht.h"
#include "dht/provide_batch.h"
#include "dht/provide_queue.h"
#include "dht/provide_region.h"
#include "dht/provide_sweep.h"
#include "schemas/config.h"

enum {
    PROVIDE_PAGE_KEYS = 512,
    PROVIDE_WALK_ROWS = 256,
    PROVIDE_SINGLE_KEYS = 4, /* fewer keys of a region than this are looked up one by one */
    PROVIDE_PEERS_AT_ONCE = 8,
    PROVIDE_KEYS_AT_ONCE = 32, /* ADD_PROVIDER of one peer that wait for being written */
    PROVIDE_REGION_LIFE_S = 1800,
    PROVIDE_SMALL_LIFE_S = 60, /* of a region with all peers of a small network */
    PROVIDE_WAKE_S = 2,        /* after new blocks: their rows must be written before they are asked for */
    PROVIDE_SETTLE_S = 30,     /* after the start at most, for the routing tables to fill */
    PROVIDE_PAUSE_S = 60,      /* after a page of which nothing could be provided */
    PROVIDE_CALL_S = 30,
    PROVIDE_WALK_SOON_S = 20, /* after a change of the pins */
    PROVIDE_ROWS_MAX = 1024,  /* that state was told and has not written, as far as known: some 100 KiB */
};

enum provide_strategy { PROVIDE_STRATEGY_OFF, PROVIDE_STRATEGY_ROOTS, PROVIDE_STRATEGY_PINNED, PROVIDE_STRATEGY_ALL };

/* Tags of calls and requests: between those of the DHT and those of discovery. */
enum {
    TAG_PROVIDE_STAT = 10,
    TAG_PROVIDE_ROWS,
    TAG_PROVIDE_HAS,
    TAG_PROVIDE_WALK,
    TAG_PROVIDE_PROBE,
    TAG_PROVIDE_FIGURES,
    TAG_PROVIDE_MARKED,
    TAG_PROVIDE_WRITTEN
};

/* A search number that no search has: ADD_PROVIDER of pages. */
#define PROVIDE_SEARCH UINT64_MAX

struct provide_key {
    struct kad_key key;
    uint8_t multihash[PROVIDE_BATCH_KEY_BYTES_MAX];
    uint8_t len;
    bool gone;     /* its block is not here, or denied */
    bool provided; /* in one DHT at least */
};

enum page_state { PAGE_IDLE, PAGE_LOADING, PAGE_CHECKING, PAGE_TELLING, PAGE_MARKING };

struct provide_page {
    enum page_state state;
    bool fresh;    /* of the sweep's fresh hand, else of its ring */
    bool more;     /* there are others behind the last */
    uint64_t upto; /* of the ring: position that is due */
    uint64_t began_ns;
    size_t count;
    struct provide_key *keys; /* PROVIDE_PAGE_KEYS */
};

/* A peer that is being told. */
struct provide_told {
    bool used;
    size_t peer;
    struct peer_id id;
    uint32_t position; /* of the next key */
    uint32_t waiting;  /* messages that were not written yet */
    bool failed;
};

/* How one DHT hears of a page. */
struct provide_net {
    struct provide_region region;
    uint64_t explored_ns; /* 0: the region is no good */
    double network;       /* peers, by the last region; 0: not known */
};

struct provide_tell {
    unsigned net;
    size_t at;       /* first key of the page that this DHT has not heard of */
    size_t end;      /* behind the last one in the batch */
    bool exploring;  /* the region's lookup runs */
    bool single;     /* that of the key `at` alone */
    uint64_t search; /* of the lookup; 0: none */
    struct provide_batch *batch;
    struct region_peer closest[KAD_K]; /* of a single key */
    struct provide_told told[PROVIDE_PEERS_AT_ONCE];
    size_t telling;
    bool batched; /* the batch is under way */
    struct provide_net nets[DHT_NET_COUNT];
};

enum walk_state { WALK_IDLE, WALK_PINS, WALK_INDIRECT, WALK_BLOCKS, WALK_ENDING };

struct provide_walk {
    enum walk_state state;
    uint64_t seen; /* number of the walk under way, or of the last one */
    uint64_t due_ns;
    uint64_t began_ns, took_ns;
    uint8_t after[CID_BYTES_MAX];
    size_t after_len;
    bool more;
    bool missed; /* what came meanwhile was not written: it begins again soon */
    uint64_t rows;
};

enum { PROVIDE_HOT_MAX = 100 };

/* What is hot, as heat_tracker told it last. */
struct provide_hot {
    size_t count;
    uint64_t turn_ns; /* the sweep is to turn to them; UINT64_MAX: not */
    struct {
        uint8_t len;
        uint8_t multihash[PROVIDE_BATCH_KEY_BYTES_MAX];
    } blocks[PROVIDE_HOT_MAX];
};

/* Rows outside of walks: blocks that are stored may come faster than state writes. */
struct provide_rows {
    uint32_t told;   /* since state last said that all were written */
    uint32_t probed; /* of these, before it was asked */
    bool probing;
};

struct provide {
    struct dht *dht;
    struct ctx *ctx;
    enum provide_strategy strategy;
    bool enabled;
    bool known;       /* the figures of the last life are here */
    bool asking;      /* they are asked for */
    uint64_t due_ns;  /* nothing is begun before */
    uint64_t wake_ns; /* the sweep is to be woken; UINT64_MAX: not */
    uint64_t began_ns;
    struct provide_sweep sweep;
    struct provide_queue queue;
    uint64_t queue_search[PROVIDE_QUEUE_MAX]; /* of an entry that runs */
    struct provide_page page;
    struct provide_tell tell;
    struct provide_walk walk;
    struct provide_rows rows;
    struct provide_hot hot;
    struct reply_to figures_for; /* a provide_stat that waits for the rows' figures */
    bool figures_asked;
    uint64_t provided_last_ns; /* real time: the last page or CID that was provided */
};

/* ---- provide.c ---- */
/* ERR_NOMEM. Does nothing when the DHT, or providing, is off. */
enum err provide_init(struct provide *p, struct dht *d, struct ctx *ctx, const struct config *config) MUST_CHECK;
void provide_release(struct provide *p);
/* ERR_UNSUPPORTED: not one of its messages. */
enum err provide_call(struct provide *p, struct ctx *ctx, const struct msg *msg, struct reply_to call);
void provide_cast(struct provide *p, struct ctx *ctx, const struct msg *msg);
void provide_info(struct provide *p, struct ctx *ctx, const struct info *info);
/* Begins what is due; returns when it wants to be called again at the latest. */
uint64_t provide_run(struct provide *p, struct ctx *ctx);
/* Of the DHT: a search that nobody called for has ended. */
void provide_search_ended(struct provide *p, struct dht_search *s);
/* A message to a peer, of PROVIDE_SEARCH, was written or failed. */
void provide_heard(struct provide *p, struct dht_net *net, const struct peer_id *peer, enum err err);
void provide_save(struct provide *p);
/* Rows for state, to be written. False: it has no room for them, or is away. */
bool provide_tell_rows(struct provide *p, struct buf *rows, uint32_t count, enum provide_class class);
/* Asks state to write what it was told; the reply has the tag. */
bool provide_probe(struct provide *p, uint64_t tag);
bool provide_add_row(struct buf *rows, struct span multihash);

/* ---- provide_walk.c ---- */
void provide_walk_begin(struct provide *p);
/* Something is not in the rows: a walk begins in a moment, later when they take long. */
void provide_walk_soon(struct provide *p);
void provide_walk_reply(struct provide *p, const struct info *info);

/* ---- provide_hot.c ---- */
void provide_hot_take(struct provide *p, const struct msg_provide_hot *fields);
/* Moves their rows, those that there are, before the other stored ones; a walk has moved them back. */
void provide_hot_tell(struct provide *p);

/* ---- provide_page.c ---- */
/* The next page, if one is due. */
void provide_page_begin(struct provide *p);
void provide_page_reply(struct provide *p, const struct info *info);
/* All DHTs have heard of it: it ends when that is written. */
void provide_page_told(struct provide *p);

/* ---- provide_tell.c ---- */
void provide_tell_begin(struct provide *p);
void provide_tell_go_on(struct provide *p);
void provide_tell_found(struct provide *p, struct dht_search *s);
bool provide_tell_can(const struct provide *p);

#endif
