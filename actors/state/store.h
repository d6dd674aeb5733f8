/* SPDX-License-Identifier: MIT */
/*
 * state.db as the state actor's jobs use it: opened, written in batches, read for other actors.
 *
 *      batch   records {kind, at, length, message packed as in the mailbox}, then the changed rows of actors and accounts
 *              one transaction each; a batch that failed as a whole may be given again
 *
 * A file that is missing is made; one that is damaged, or of another version, is moved aside (state.db.bad-<seconds>) and made
 * anew, and the reason is told. No clock, no actor context. One thread at a time: the lane `state` has one worker.
 */
#ifndef HEARTH_ACTORS_STATE_STORE_H
#define HEARTH_ACTORS_STATE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "schemas/messages.h"

enum {
    STATE_ACTORS_MAX = 64,
    STATE_BATCH_BYTES_MAX = 256 * 1024,
    STATE_WHY_BYTES = 256,
    STATE_PATH_MAX = 1100,
};

struct disk_port;
struct state_store;

struct state_options {
    char path[STATE_PATH_MAX]; /* of state.db */
    const struct disk_port
        *disk;   /* where it lies; NULL = the real disk. Any other is reached through a SQLite VFS over it */
    bool shared; /* with the group, which may read it */
    gid_t group;
};

struct state_actor_row {
    char name[32];
    char state[16];
    char last_exit_reason[64];
    uint64_t epoch, restarts, mailbox_records, mailbox_bytes, refused, heartbeat_at;
};

struct state_account_row {
    char name[24];
    uint64_t limit_bytes, used_bytes, peak_bytes, refused;
};

/* What one transaction writes. */
struct state_batch {
    struct buf records;
    struct state_actor_row actors[STATE_ACTORS_MAX];
    size_t actor_count;
    struct state_account_row accounts[ACCOUNT_COUNT];
    size_t account_count;
    uint64_t dropped; /* records that found no room, since the start */
    uint64_t at;      /* ns since the epoch: becomes meta.written_at */
    uint64_t crashes; /* the last record of a crash in it; 0: none */
    bool stopping;    /* the last one: meta.stopped_at */
};

struct state_batch *state_batch_new(void) MUST_CHECK;
void state_batch_free(struct state_batch *batch);
void state_batch_clear(struct state_batch *batch);
bool state_batch_is_empty(const struct state_batch *batch);

/* Appends a message of state.def or MSG_EVENT. ERR_TOO_LARGE when the batch is full, ERR_INVALID. */
enum err state_batch_add(struct state_batch *batch, uint16_t kind, uint64_t at, const void *fields) MUST_CHECK;

/* Allocates; touches no file. */
struct state_store *state_store_new(const struct state_options *options) MUST_CHECK;

/* Closes the file; the write-ahead log is kept so that read-only readers can open it. NULL is ignored. */
void state_store_free(struct state_store *store);

/*
 * Opens when it is not open yet, then writes the batch in one transaction. Blocks on the disk. On failure nothing of the batch is
 * written, why has a sentence. ret_replaced (may be NULL) gets the sentence why the file was made anew, else "".
 */
enum err state_store_write(struct state_store *store, const struct state_batch *batch, char why[STATE_WHY_BYTES],
                           char ret_replaced[STATE_WHY_BYTES]) MUST_CHECK;

/* What a page message asks for, without borrowing from it. */
struct state_page {
    uint64_t limit;
    uint64_t after_at, after_slot; /* state_providers, state_values */
    uint64_t before, class, now;   /* state_provides; now by the clock: what is later was written under a wrong one */
    uint8_t from[32];
};

/* Whether it asks for rows: state_peers, state_events, state_crashes, state_providers, state_values, state_provides; or state_provide_stat. */
bool state_page_is(uint16_t kind);
void state_page_of(uint16_t kind, const void *fields, struct state_page *ret_page);

/* Appends the rows; or fills ret_stat for state_provide_stat. Blocks. Opens when needed. */
enum err state_store_load(struct state_store *store, uint16_t kind, const struct state_page *page, struct buf *items,
                          uint32_t *ret_count, struct msg_state_provide_stat_ok *ret_stat,
                          char why[STATE_WHY_BYTES]) MUST_CHECK;

#endif
