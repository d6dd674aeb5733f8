/* SPDX-License-Identifier: MIT */
/*
 * The keys of names and what they sign: the engine behind the state actor's key_* and ipns_* messages.
 *
 *      name or peer id -> the key, in the keystore or the node's own -> signs -> ipns_records, durably -> the record may leave
 *
 * A private key leaves this file only as a signature. The next record of a name is newer than the one kept, and than the one that the caller
 * found elsewhere: the same value keeps its sequence, another one gets the next. Blocks on the disk: for jobs, one at a time. No clock, no
 * context. Sentences are for people.
 */
#ifndef HEARTH_ACTORS_STATE_NAMING_H
#define HEARTH_ACTORS_STATE_NAMING_H

#include "actors/state/ipns_store.h"
#include "base/buf.h"
#include "schemas/messages.h"
#include "wire/keys.h"

struct disk_port;

struct naming {
    const struct disk_port *disk;
    char folder[STATE_PATH_MAX]; /* the keystore's */
    const struct key_pair *self; /* borrowed: the node's own key; NULL: there is none */
    struct state_store *store;   /* borrowed */
};

/* Appends what changed as rows of item_key_row. Errors have a sentence in why. */
enum err naming_gen(struct naming *n, const struct msg_key_gen *ask, struct buf *rows, uint32_t *ret_count,
                    char why[STATE_WHY_BYTES]) MUST_CHECK;
enum err naming_import(struct naming *n, const struct msg_key_import *ask, struct buf *rows, uint32_t *ret_count,
                       char why[STATE_WHY_BYTES]) MUST_CHECK;
enum err naming_list(struct naming *n, struct buf *rows, uint32_t *ret_count, char why[STATE_WHY_BYTES]) MUST_CHECK;
enum err naming_rm(struct naming *n, const struct msg_key_rm *ask, struct buf *rows, uint32_t *ret_count,
                   char why[STATE_WHY_BYTES]) MUST_CHECK;
enum err naming_rename(struct naming *n, const struct msg_key_rename *ask, struct buf *rows, uint32_t *ret_count,
                       bool *ret_overwritten, char why[STATE_WHY_BYTES]) MUST_CHECK;

/* The last record of a key; record_len 0 when it has none yet. ERR_NOT_FOUND: no such key. */
enum err naming_last(struct naming *n, struct span key, struct ipns_row *ret_row, char why[STATE_WHY_BYTES]) MUST_CHECK;

/*
 * Makes and keeps the next record. ERR_NOT_FOUND (the key), ERR_INVALID (the value, a sequence that is not higher), ERR_TOO_LARGE: no sequence
 * is left.
 */
enum err naming_sign(struct naming *n, const struct msg_ipns_sign *ask, uint64_t real_now_ns, struct ipns_row *ret_row,
                     char why[STATE_WHY_BYTES]) MUST_CHECK;

/*
 * The next record, by name, that no peer was told since then and whose key is still here: signed anew, with the same value and sequence, for at
 * least the lifetime. *position: empty at first. ERR_NOT_FOUND at the end.
 */
enum err naming_renew(struct naming *n, struct peer_id *position, uint64_t told_before, uint64_t lifetime_ns,
                      uint64_t real_now_ns, struct ipns_row *ret_row, char why[STATE_WHY_BYTES]) MUST_CHECK;

#endif
