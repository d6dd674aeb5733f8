/* SPDX-License-Identifier: MIT */
/*
 * The calls that tiered_storage has not answered yet: each is one request, which embeds the operation the store works on.
 *
 * A request lives from the call to its done(); a cancelled one stays until then and answers nobody.
 */
#ifndef HEARTH_ACTORS_TIERED_STORAGE_REQUEST_H
#define HEARTH_ACTORS_TIERED_STORAGE_REQUEST_H

#include "base/buf.h"
#include "mailbox/actor.h"
#include "storage/blockstore.h"
#include "storage/prefetcher.h"
#include "wire/cid.h"

/* As in the message access. */
enum { STORAGE_TIER_MEMORY, STORAGE_TIER_DISK, STORAGE_TIER_COLD, STORAGE_TIER_NONE };

/* So many requests at once are more than the lanes have workers: some of them wait. */
enum { STORAGE_BUSY_REQUESTS = 3 };

struct tier_told {
    uint64_t live_bytes;
    uint64_t demoted_bytes;
    uint64_t waiting;
    bool busy;
    bool full;
    bool cold_up;
};

/* What is told of the tiers, where there is a cold one. */
struct tier_state {
    bool told;
    struct tier_told last;
    uint64_t last_ns;
    uint64_t timer; /* 0: none is set */
};

enum { STORAGE_TAG_PRESSURE = 100 }; /* of a timer: heat.c */

enum { STORAGE_PAGE_ROWS = 64, STORAGE_REPLY_BYTES_MAX = 1024 * 1024 };

struct storage_state {
    struct ctx *ctx;
    struct blockstore *store;
    struct request *requests; /* all that are under way */
    uint64_t timer;           /* 0: none is set */
    uint64_t timer_at;
    struct buf stored; /* CIDs that became durable, to be told to bitswap */
    uint32_t stored_count;
    bool provides_all;          /* discovery is told too */
    bool provides_missed;       /* it had no room for some, and does not know yet */
    bool cold;                  /* there is a cold tier */
    bool told_cold_up;          /* to bitswap, since it was away */
    struct storage_move *moves; /* that people asked for */
    uint64_t moves_timer;       /* 0: none is set */
    struct storage_cold *colds; /* operations that cold_store has */
    uint64_t cold_tag;
    char cold_why[STORE_WHY_BYTES]; /* the cold tier's last error; empty when it answers */
    size_t asked;                   /* of the requests: those that somebody waits for */
    struct tier_state tier;
    struct prefetcher *prefetcher; /* NULL: nothing is read ahead */
    struct store_op ahead;         /* what is read */
    bool reading_ahead;
    char path[STORE_WHY_BYTES];  /* for people: may be cut */
    char fatal[STORE_WHY_BYTES]; /* not empty: this life ends after the handler */
};

struct request {
    struct request *prev;
    struct request *next;
    struct storage_state *s;
    struct reply_to to;
    actor_id from;
    uint16_t kind; /* of the message */
    uint8_t tier;  /* of a block that is read: as in the message access */
    bool cancelled;
    bool force;
    union {
        struct store_op op;
        struct store_change_op change;
        struct store_verify_op verify;
        struct store_backup_op backup;
        struct store_piece_op piece;
        struct store_collect_op collect;
        struct store_candidates_op candidates;
        struct store_pack_check_op pack_check;
        uint64_t lease;
    };
    uint8_t cid[CID_BYTES_MAX];
    uint8_t cid_len;
};

struct request *request_new(struct storage_state *s, const struct msg *msg, struct reply_to to) MUST_CHECK;
void request_free(struct request *request);
void request_free_all(struct storage_state *s);

/* The caller of `call` gave up. */
void request_cancel(struct storage_state *s, struct reply_to call);

/* Answers, unless the caller gave up; fields and tail as in struct msg. The request stays. */
void request_reply(const struct request *request, uint16_t kind, const void *fields, struct block_ref *tail);
void request_reply_ok(const struct request *request);
void request_reply_err(const struct request *request, enum err err);

/* Reads a CID; an identity CID carries its block: ret_inline is set and ret_key is not. Errors as cid_parse and block_key_of. */
enum err request_parse_cid(struct span bytes, struct cid *ret_cid, struct block_key *ret_key,
                           bool *ret_inline) MUST_CHECK;

/* Where a page begins: behind the CID, whose codec says nothing, or with the first key when there is none. Errors as above. */
enum err request_parse_after(struct span bytes, struct block_key *ret_key) MUST_CHECK;

/*
 * The catalogue walks multihashes; a CID says where to go on only through its own. Returns the length, 0 for an empty key.
 */
size_t request_cid_of_key(const struct block_key *key, uint32_t codec, uint8_t to[CID_BYTES_MAX]);

/* ---- the handlers: backup.c, blocks.c, heat.c, moves.c, pins.c, prefetch.c, quarantine.c, repository.c. ERR_OK: a reply was or will be sent ---- */
enum err storage_put(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_get(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_has(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_block_ls(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_stat(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_change(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_pin_ls(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_repo_stat(struct storage_state *s, struct reply_to to);
enum err storage_verify(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_facts(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_metadata_set(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_metadata_find(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_quarantine_ls(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_quarantine_change(struct storage_state *s, const struct msg *msg, struct reply_to to);
/* Of blockstore_events. */
bool storage_heal(void *arg, uint64_t id, const struct block_key *key, uint32_t codec);
enum err storage_backup_open(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_backup_read(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_backup_close(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_store_probe(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_pin_find(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_gc(struct storage_state *s, const struct msg *msg, struct reply_to to);
/* moves.c */
enum err storage_tier_move(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_tier_stat(struct storage_state *s, struct reply_to to);
void storage_moves_look(struct storage_state *s); /* after each change of the store */
void storage_moves_cancel(struct storage_state *s, struct reply_to call);
void storage_moves_free_all(struct storage_state *s); /* behind blockstore_close */
/* Hands what the store asks of its cold tier to cold_store; and its answers back. */
void storage_cold_start(struct storage_state *s);
void storage_cold_reply(struct storage_state *s, const struct info *info);
/* Nobody waits for the get, nor for what only it asked of cold_store. May end it. */
void storage_cold_give_up(struct storage_state *s, struct store_op *op);
void storage_cold_free_all(struct storage_state *s); /* behind blockstore_close */
/* The call lasts until it is cancelled, or all of its caller's are. */
enum err storage_lease(struct storage_state *s, const struct msg *msg, struct reply_to to);
void storage_lease_cancel(struct storage_state *s, struct reply_to call);
void storage_leases_of(struct storage_state *s, actor_id from);
enum err storage_probe(struct storage_state *s, struct reply_to to);
enum err storage_candidates(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_demote(struct storage_state *s, const struct msg *msg, struct reply_to to);
enum err storage_promote(struct storage_state *s, const struct msg *msg, struct reply_to to);

void storage_spill(struct storage_state *s, const struct msg *msg);
enum err storage_tier_check(struct storage_state *s, const struct msg *msg, struct reply_to to);

/* Reading ahead: does nothing where there is no cold tier, or Tiers.Prefetch is off. ERR_NOMEM. */
enum err storage_prefetch_init(struct storage_state *s, const struct config *config) MUST_CHECK;
/* A block was served: what may be asked for next is offered. */
void storage_prefetch_used(struct storage_state *s, const struct block_key *key, uint32_t codec, struct span block);
/* The bytes of a block that was read ahead, with a reference, or NULL. */
struct block_ref *storage_prefetch_take(struct storage_state *s, const struct block_key *key);
/* After each handler: reads the next one if it is time. When it wants to be called again, UINT64_MAX: after another handler only. */
uint64_t storage_prefetch_start(struct storage_state *s);
/* Appends a read_ahead for each kind; none when nothing is read ahead. */
enum err storage_prefetch_pack(const struct storage_state *s, struct buf *to, uint32_t *ret_count) MUST_CHECK;

/* Tells heat_tracker that a block was used (kind, tier: of the message access), or stored. */
void storage_tell_access(struct storage_state *s, struct span cid, uint64_t kind, uint64_t tier, uint64_t bytes);
void storage_tell_stored(struct storage_state *s, struct span cid);
/* Where a block lies that is about to be read; without a cold tier it is not looked up. */
uint8_t storage_tier_of(struct storage_state *s, const struct block_key *key);
/* After each handler: tells heat_tracker how full the disk is, when that changed. */
void storage_tell_pressure(struct storage_state *s);

#endif
