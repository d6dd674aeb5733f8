/* SPDX-License-Identifier: MIT */
/* The prepared statements of state.db and what binds messages to them. Private to actors/state. Results are SQLite codes. */
#ifndef HEARTH_ACTORS_STATE_ROWS_H
#define HEARTH_ACTORS_STATE_ROWS_H

#include <sqlite3.h>

#include "actors/state/store.h"

/* clang-format off */
#define STATE_STATEMENTS(X) \
    X(ACTOR) \
    X(ACCOUNT) \
    X(EVENT) \
    X(EVENTS_TRIM) \
    X(CRASH) \
    X(CRASHES_TRIM) \
    X(CRASHES_LOAD) \
    X(PEER) \
    X(PEER_GONE) \
    X(PEERS_TRIM) \
    X(PEERS_LOAD) \
    X(CONNECTION) \
    X(CONNECTION_GONE) \
    X(WANT) \
    X(WANT_GONE) \
    X(TRANSFER) \
    X(TRANSFER_GONE) \
    X(MOVE) \
    X(MOVES_TRIM) \
    X(HOT) \
    X(HOT_CLEAR) \
    X(COST) \
    X(DHT) \
    X(ROUTING_PEER) \
    X(ROUTING_PEER_CLEAR) \
    X(PROVIDER) \
    X(PROVIDER_GONE) \
    X(PROVIDERS_LOAD) \
    X(VALUE) \
    X(VALUE_GONE) \
    X(VALUES_LOAD) \
    X(PROVIDE) \
    X(PROVIDE_HOT) \
    X(PROVIDED) \
    X(PROVIDE_GONE) \
    X(PROVIDE_WALKED) \
    X(PROVIDE_AGAIN) \
    X(PROVIDES_LOAD) \
    X(PROVIDES_FRESH) \
    X(PROVIDE_STAT) \
    X(META) \
    X(EVENTS_LOAD) \
    X(BEGIN) \
    X(COMMIT)
/* clang-format on */

enum state_statement {
#define STATE_STATEMENT(name) STATEMENT_##name,
    STATE_STATEMENTS(STATE_STATEMENT)
#undef STATE_STATEMENT
        STATEMENT_COUNT
};

struct state_rows {
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

int state_rows_prepare(struct state_rows *rows, sqlite3 *db);
void state_rows_finalize(struct state_rows *rows);

/* Executes a statement that has no rows, and lets go of its bindings; SQLITE_OK or SQLite's code. */
int state_row_run(sqlite3_stmt *statement);

/* A column of the current row; lent until the statement's next step. */
struct span state_row_text(sqlite3_stmt *statement, int index);

/* In one transaction, which is the caller's to roll back when this fails. */
int state_rows_write(struct state_rows *rows, const struct state_batch *batch);

/* Of what the DHT keeps and what is provided (rows_provide.c): the message is one of these, or nothing is done. */
int state_rows_write_provide(struct state_rows *rows, uint16_t kind, const void *fields);

/* Of crashes (crashes.c): a row, and the oldest go. */
struct msg_state_crash;
int state_rows_write_crash(struct state_rows *rows, const struct msg_state_crash *m);
int state_rows_load_crashes(struct state_rows *rows, struct buf *items, uint32_t *ret_count);

/* As state_store_load. */
int state_rows_load(struct state_rows *rows, uint16_t kind, const struct state_page *page, struct buf *items,
                    uint32_t *ret_count, struct msg_state_provide_stat_ok *ret_stat);

int state_rows_load_peers(struct state_rows *rows, uint64_t limit, struct buf *items, uint32_t *ret_count);
int state_rows_load_events(struct state_rows *rows, uint64_t limit, struct buf *items, uint32_t *ret_count);

#endif
