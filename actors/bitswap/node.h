/* SPDX-License-Identifier: MIT */
/*
 * The inside of the bitswap actor: what its files share. Only files of this folder include it.
 *
 *      bitswap.c   messages in, replies out, the tick
 *      partner.c   peers, and the one stream that we write to each of them
 *      inbound.c   the streams that peers write to us
 *      fetch.c     calls for blocks: from storage, else from the network, then stored, then answered
 *      serve.c     questions to storage
 *      miss.c      what peers want and is not here: a master fetches it
 *      search.c    questions to discovery, and whom to dial
 *      denied.c    the denylists
 *      report.c    answers about what we do
 *
 * Every stream is written by one side only. To a peer we keep one stream for all messages, open it when there is something to say
 * and end it after a short silence: to Kubo a stream that lives long, to Helia one that never waits 10 s for a message.
 */
#ifndef HEARTH_ACTORS_BITSWAP_NODE_H
#define HEARTH_ACTORS_BITSWAP_NODE_H

#include <sys/queue.h>

#include "actors/bitswap/engine.h"
#include "actors/bitswap/provider_book.h"
#include "actors/bitswap/session.h"
#include "actors/stream_orders.h"
#include "actors/stream_pieces.h"
#include "base/block_ref.h"
#include "base/buf.h"
#include "base/table.h"
#include "mailbox/actor.h"
#include "schemas/messages.h"
#include "storage/denylist.h"
#include "wire/bitswap.h"

enum {
    NODE_STREAMS_MAX = 4096,              /* that peers write to us */
    NODE_BRINGER_BYTES = 2 * 1024 * 1024, /* window at least, if there is room, of a stream that brings blocks */
    NODE_WINDOW_BYTES = 512 * 1024,       /* written to a stream and not yet taken: then the next message waits */
    NODE_MESSAGES_MAX = 64,               /* the same, counted */
    NODE_MESSAGE_BYTES = 64 * 1024,       /* of a message of wants */
    NODE_IDLE_MS = 3000,                  /* then our stream is ended */
    NODE_OPEN_MS = 10 * 1000,             /* to open a stream */
    NODE_REOPEN_MS = 1000,                /* between failures to open one */
    NODE_STALL_MS = 10 * 1000,       /* no memory for a block, or one half received meanwhile; or no byte is taken */
    NODE_MEMORY_MS = 10,             /* then memory to serve peers is looked for again */
    NODE_READING_BYTES = 256 * 1024, /* less free in the receive account and no socket may be read any more */
    NODE_BLOCKS_SHARE = 5,           /* of 16 of the receive account: blocks that arrive or are being stored */
    NODE_LOOKUP_BATCH = 128,
    NODE_LOOKUPS_MAX = 4, /* calls in flight */
    NODE_FETCHES_MAX = 128,
    NODE_SEARCHES_MAX = 8,
    NODE_CONNECTS_MAX = 32,
    NODE_TARGETS_MAX = 4096,
    NODE_OPS_MAX = 960, /* under CALLS_IN_FLIGHT_MAX */
    NODE_PROVIDERS = 10,
    NODE_HEAL_S = 60,      /* for a block that storage wants back */
    NODE_MISS_S = 10,      /* for one that a peer wants: five seconds to find it, and to get it */
    NODE_MISSES_MAX = 8,   /* of such, at a time */
    NODE_MISSES_PEER = 2,  /* for one peer */
    NODE_MISSED_MAX = 256, /* blocks that were tried lately */
    NODE_MISSED_S = 600    /* and are not tried again before */
};

/* Of timers, jobs and watched descriptors; calls have tags from NODE_TAG_CALLS on. */
enum { NODE_TAG_TICK = 1, NODE_TAG_MEMORY, NODE_TAG_DENIED, NODE_TAG_CHECK, NODE_TAG_CALLS = 16 };

struct denied;
struct node;
struct partner;
struct target;

struct sent_message {
    size_t left; /* bytes not yet taken by the stream */
    size_t block_bytes;
    uint64_t filled_ns;
};

enum out_state { OUT_CLOSED, OUT_OPENING, OUT_OPEN };

struct partner {
    struct node *node;
    struct peer_id id;
    bool up;                              /* told by peer_up; else known by a stream only */
    bool down;                            /* told by peer_down since: goes with its last stream */
    size_t streams;                       /* that it writes to us */
    struct bitswap_session_peer *session; /* NULL until it is up */
    struct engine_peer *engine;
    enum out_state out;
    uint64_t stream;
    enum bitswap_version version;
    uint64_t reopen_ns;
    uint64_t active_ns;
    uint64_t taken_ns;       /* when it last took bytes */
    uint64_t awaited_due_ns; /* when connection_manager is told again that blocks are awaited from it */
    uint64_t praised_ns;     /* when connection_manager was last told that it gives blocks */
    size_t in_flight;
    struct sent_message sent[NODE_MESSAGES_MAX]; /* a ring */
    size_t sent_first;
    size_t sent_count;
};

struct inbound {
    struct node *node;
    uint64_t number;
    struct partner *partner;
    struct bitswap_reader reader;
    uint64_t message;            /* the one being read, as the engine numbers them; 0 before its first want */
    struct stream_pieces pieces; /* what the reader has no memory for yet */
    uint64_t stalled_ns;         /* since when its block finds no memory; 0: it does not wait */
    TAILQ_ENTRY(inbound) stalled;
    uint64_t block_ns; /* when the block being received found its memory */
    bool brings;       /* a block has begun: the peer does not only ask */
    bool hopeless;     /* the block is larger than all memory for blocks */
    bool fin;
};
TAILQ_HEAD(inbound_list, inbound);

/* Who waits for a target: a call; storage, which wants a damaged block back and is answered by a cast; or nobody, it is fetched for a peer. */
enum waiter_kind { WAITER_CALL, WAITER_HEAL, WAITER_MISS };

struct waiter {
    struct waiter *next;
    enum waiter_kind kind;
    struct reply_to call;
    uint64_t heal_id;
    size_t miss;       /* its slot */
    uint64_t until_ns; /* of a heal or a miss: nobody else ends it */
};

enum target_state { TARGET_LOCAL, TARGET_WANTED, TARGET_STORING };

struct target {
    struct cid cid;
    enum target_state state;
    struct waiter *waiters;
    uint64_t asked;          /* LOCAL: the call to storage */
    struct block_ref *block; /* STORING */
    bool put_due;            /* storage had no room for the call */
};

enum op_kind { OP_LOCAL, OP_PUT, OP_LOOKUP, OP_SERVE, OP_OPEN, OP_PROVIDERS, OP_CONNECT, OP_KIND_COUNT };

/* A call in flight; its tag is the key. */
struct op {
    uint64_t tag;
    enum op_kind kind;
    struct cid cid;      /* LOCAL, PUT, SERVE; PROVIDERS, CONNECT: for what */
    struct peer_id peer; /* SERVE, OPEN, CONNECT */
    struct cid *cids;    /* LOOKUP */
    size_t count;
};

/* What was tried lately, by the first bytes of the block's hash. */
struct missed {
    uint8_t key[16];
    uint64_t until_ns;
};

struct misses {
    bool enabled;
    struct {
        bool running;
        struct peer_id peer;
    } slots[NODE_MISSES_MAX];
    struct missed missed[NODE_MISSED_MAX]; /* a ring */
    size_t next;
};

struct node {
    struct ctx *ctx;
    struct account *receive;
    struct account blocks; /* our part of receive */
    size_t held;           /* of all streams */
    struct account *tables;
    struct bitswap_session *session;
    struct engine *engine;
    struct table partners; /* peer id -> struct partner */
    struct table streams;  /* number -> struct inbound */
    struct table outs;     /* number -> struct partner */
    struct table targets;  /* CID bytes -> struct target */
    struct table ops;      /* tag -> struct op */
    size_t op_count[OP_KIND_COUNT];
    size_t puts_due; /* targets whose block storage had no room for */
    uint64_t last_tag;
    uint64_t timer;
    uint64_t memory_timer;       /* runs while peers wait because there is no memory to serve them */
    struct inbound_list stalled; /* streams whose block found no memory, who waits longest first */
    bool retry_open;             /* somebody waits to open a stream */
    bool storage_pause; /* storage had no room for us: it is asked again when something was sent, or a little later */
    struct provider_book book;
    uint64_t tidy_ns; /* of the book, next */
    bool serves;      /* Bitswap.ServerEnabled */
    struct misses misses;
    struct denied *denied;
    const struct denylist *denylist; /* what is in force; NULL: nothing is denied */
    struct stream_orders orders;
    struct buf protocols; /* the list that stream_open takes */
    uint32_t protocol_count;
    struct msg_bitswap_stat_ok stats;
};

/* ---- bitswap.c ---- */

/* Sends, asks and fetches what became due. At the end of each handler. */
void node_pump(struct node *n);

/* Registers a call and makes it. The op is taken over, and freed on failure. */
enum err node_call(struct node *n, struct op *op, actor_id to, const struct msg *msg, uint64_t timeout_ns) MUST_CHECK;
struct op *node_op_new(struct node *n, enum op_kind kind);
void node_op_free(struct op *op);
/* Gives up a call. */
void node_cancel(struct node *n, uint64_t tag);

/* ---- partner.c ---- */
struct partner *partner_find(const struct node *n, struct span peer);

/* Finds or makes; NULL without memory or for an invalid id. */
struct partner *partner_get(struct node *n, struct span peer);
void partner_up(struct node *n, const struct msg_peer_up *fields);
void partner_down(struct node *n, struct span peer);

/* Frees a partner that is neither up nor writes to us. */
void partner_drop_if_idle(struct partner *p);
void partner_free(struct partner *p);

/* Sends what is due as far as the stream takes it; opens the stream when there is none. */
void partner_send(struct partner *p);
void partner_opened(struct node *n, const struct op *op, const struct info *info);
void partner_written(struct partner *p, uint64_t bytes);
void partner_out_closed(struct partner *p, enum err err);
/* It gave a block that was wanted: its connection is worth keeping. */
void partner_praise(struct partner *p);
void partner_tick(struct partner *p, uint64_t now_ns);

/* ---- inbound.c ---- */
void inbound_opened(struct node *n, const struct msg_stream_opened *fields);
void inbound_data(struct inbound *in, const struct msg *msg);
void inbound_closed(struct inbound *in);

/* Memory for blocks may have come free: those who wait for it go on, in their order. */
void inbound_pump(struct node *n);

/* Resets the streams that waited for too long. */
void inbound_tick(struct node *n, uint64_t now_ns);

/* ---- fetch.c ---- */
enum err fetch_call(struct node *n, const struct msg_fetch *fields, struct reply_to call);
void fetch_cancel(struct node *n, const struct reply_to *call);
void fetch_local_done(struct node *n, const struct op *op, const struct info *info);
void fetch_put_done(struct node *n, const struct op *op, const struct info *info);

/* Storage wants a block back. */
void fetch_heal(struct node *n, const struct msg_heal *fields);
/* For a peer; gives the slot back in the end, by miss_over, or in the error. */
enum err fetch_miss(struct node *n, const struct cid *cid, size_t slot);
/* Ends the heals and misses whose time is over. */
void fetch_tick(struct node *n);

/* What is asked from here on is shown in the trace of who has waited longest for the block; in none when no call waits. */
void fetch_caused(struct node *n, const struct cid *cid);

/* A verified block from a peer (NULL: none): true when it was wanted. */
bool fetch_block(struct node *n, struct partner *p, const struct cid *cid, struct block_ref *block);

/* The block is stored by somebody else. */
void fetch_stored(struct node *n, const struct cid *cid);
void fetch_retry_puts(struct node *n);
/* Gives up what is denied now. */
void fetch_drop_denied(struct node *n);
void fetch_free_all(struct node *n);

/* ---- serve.c ---- */
void serve_pump(struct node *n);

void serve_looked_up(struct node *n, const struct op *op, const struct info *info);
void serve_fetched(struct node *n, const struct op *op, const struct info *info);

/* ---- miss.c ---- */
void miss_init(struct node *n, const struct config *config);
/* Peers want it and it is not here: before they are told. */
void miss_seen(struct node *n, const struct cid *cid);
void miss_over(struct node *n, size_t slot);

/* ---- search.c ---- */
void search_init(struct node *n, const struct config *config);
/* Looks for providers where it is time to; at each tick, since it walks all wants. */
void search_tick(struct node *n);
/* Some were named, for this block: a list of item_provider. */
void search_found(struct node *n, const struct cid *cid, const struct schema_list *providers);
/* Nobody wants the block any more: who has it is not looked for, nor dialled. */
void search_give_up(struct node *n, const struct cid *cid);
void search_connected(struct node *n, const struct op *op, const struct info *info);

/* ---- denied.c ---- */
/* Reads the lists, blocking. */
enum err denied_init(struct node *n, const struct config *config) MUST_CHECK;
void denied_release(struct node *n);
void denied_watch(struct node *n);
void denied_timer(struct node *n);
void denied_job(struct node *n, const struct info *info);
void denied_up(struct node *n, actor_id who);
enum err denied_list(struct node *n, struct reply_to call);
enum err denied_check(struct node *n, const struct msg_denylist_check *asked, struct reply_to call);

/* ---- report.c ---- */
enum err report_stat(struct node *n, struct reply_to call);
enum err report_wantlist(struct node *n, const struct msg_bitswap_wantlist *asked, struct reply_to call);
enum err report_wanted(struct node *n, const struct msg_bitswap_wanted *asked, struct reply_to call);

#endif
