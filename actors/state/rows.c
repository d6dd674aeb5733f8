/* SPDX-License-Identifier: MIT */
#include "actors/state/rows.h"

#include "actors/state/record.h"
#include "schemas/json.h"
#include "schemas/state_sql.h"
#include "schemas/walk.h"
#include "storage/block_key.h"
#include "wire/cid.h"
#include "wire/peer_id.h"

enum { LIST_JSON_MAX = 64 * 1024, FIELD_WORDS_MAX = 64 };

static const char *const sql[STATEMENT_COUNT] = {
#define STATE_STATEMENT(name) [STATEMENT_##name] = STATE_SQL_##name,
    STATE_STATEMENTS(STATE_STATEMENT)
#undef STATE_STATEMENT
};

int state_rows_prepare(struct state_rows *rows, sqlite3 *db)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        int code = sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &rows->statements[i], NULL);
        if (code != SQLITE_OK)
            return code;
    }
    return SQLITE_OK;
}

void state_rows_finalize(struct state_rows *rows)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        (void)sqlite3_finalize(rows->statements[i]);
        rows->statements[i] = NULL;
    }
}

/* ---- binding: arguments one after the other, then run ---- */

struct binding {
    sqlite3_stmt *statement;
    int next;
};

static struct binding bind(struct state_rows *rows, enum state_statement which)
{
    return (struct binding){.statement = rows->statements[which], .next = 1};
}

static void bind_u64(struct binding *b, uint64_t value)
{
    (void)sqlite3_bind_int64(b->statement, b->next++, (sqlite3_int64)MIN(value, (uint64_t)INT64_MAX));
}

static void bind_i64(struct binding *b, int64_t value)
{
    (void)sqlite3_bind_int64(b->statement, b->next++, value);
}

static void bind_f64(struct binding *b, double value)
{
    (void)sqlite3_bind_double(b->statement, b->next++, value);
}

static void bind_blob(struct binding *b, struct span bytes)
{
    (void)sqlite3_bind_blob(b->statement, b->next++, bytes.data, (int)bytes.len, SQLITE_TRANSIENT);
}

static void bind_null(struct binding *b)
{
    (void)sqlite3_bind_null(b->statement, b->next++);
}

static void bind_span(struct binding *b, struct span text)
{
    (void)sqlite3_bind_text(b->statement, b->next++, text.len == 0 ? "" : (const char *)text.data, (int)text.len,
                            SQLITE_TRANSIENT);
}

static void bind_text(struct binding *b, const char *text)
{
    bind_span(b, span_text(text));
}

/* What cannot be read as a peer id or CID gives the empty text: the sender's fault, not worth losing the batch. */
static void bind_peer(struct binding *b, struct span bytes)
{
    struct peer_id id;
    char text[PEER_ID_TEXT_MAX] = "";
    if (peer_id_parse(bytes, &id) == ERR_OK)
        peer_id_text(&id, text);
    bind_text(b, text);
}

static void bind_cid(struct binding *b, struct span bytes)
{
    struct cid cid;
    char text[CID_TEXT_MAX] = "";
    if (cid_parse(bytes, &cid) == ERR_OK)
        cid_text(&cid, text);
    bind_text(b, text);
}

/* A list of texts as a JSON array, for the json_each of SQLite. */
static void bind_list(struct binding *b, const struct schema_list *list)
{
    struct buf json;
    buf_init(&json, LIST_JSON_MAX, NULL);
    enum err err = buf_append_byte(&json, '[');
    size_t position = 0;
    struct span item;
    for (bool first = true; err == ERR_OK && schema_list_next_bytes(list, &position, &item); first = false) {
        if (!first)
            err = buf_append_byte(&json, ',');
        if (err == ERR_OK)
            err = json_append_string(item, &json);
    }
    if (err == ERR_OK)
        err = buf_append_byte(&json, ']');
    bind_span(b, err == ERR_OK ? buf_span(&json) : span_text("[]"));
    buf_release(&json);
}

int state_row_run(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int run(struct binding *b)
{
    return state_row_run(b->statement);
}

struct span state_row_text(sqlite3_stmt *statement, int index)
{
    const unsigned char *text = sqlite3_column_text(statement, index);
    return text == NULL ? (struct span){0} : span_of(text, (size_t)sqlite3_column_bytes(statement, index));
}

/* ---- messages to rows ---- */

static int write_event(struct state_rows *rows, uint64_t at, const struct msg_event *m)
{
    struct binding b = bind(rows, STATEMENT_EVENT);
    bind_u64(&b, at);
    bind_span(&b, m->actor);
    bind_span(&b, m->event);
    bind_span(&b, m->reason);
    return run(&b);
}

static int write_peer(struct state_rows *rows, uint64_t at, const struct msg_state_peer *m)
{
    struct binding b = bind(rows, m->gone ? STATEMENT_PEER_GONE : STATEMENT_PEER);
    bind_peer(&b, m->peer);
    if (!m->gone) {
        bind_list(&b, &m->addrs);
        bind_list(&b, &m->protocols);
        bind_span(&b, m->agent);
        bind_u64(&b, m->last_seen == 0 ? at : m->last_seen);
        bind_u64(&b, m->connected);
        bind_u64(&b, m->successes);
        bind_u64(&b, m->failures);
    }
    return run(&b);
}

static int write_connection(struct state_rows *rows, const struct msg_state_connection *m)
{
    struct binding b = bind(rows, m->gone ? STATEMENT_CONNECTION_GONE : STATEMENT_CONNECTION);
    bind_u64(&b, m->id);
    if (!m->gone) {
        bind_peer(&b, m->peer);
        bind_span(&b, m->addr);
        bind_text(&b, m->inbound ? "inbound" : "outbound");
        bind_span(&b, m->security);
        bind_span(&b, m->muxer);
        bind_u64(&b, m->streams);
        bind_u64(&b, m->opened_at);
        bind_u64(&b, m->rtt_ns);
        bind_u64(&b, m->bytes_in);
        bind_u64(&b, m->bytes_out);
    }
    return run(&b);
}

static int write_want(struct state_rows *rows, uint64_t at, const struct msg_state_want *m)
{
    struct binding b = bind(rows, m->gone ? STATEMENT_WANT_GONE : STATEMENT_WANT);
    bind_cid(&b, m->cid);
    bind_peer(&b, m->peer);
    if (!m->gone) {
        bind_i64(&b, m->priority);
        bind_u64(&b, m->since == 0 ? at : m->since);
    }
    return run(&b);
}

static int write_transfer(struct state_rows *rows, const struct msg_state_transfer *m)
{
    struct binding b = bind(rows, m->gone ? STATEMENT_TRANSFER_GONE : STATEMENT_TRANSFER);
    bind_u64(&b, m->id);
    if (!m->gone) {
        bind_span(&b, m->kind);
        bind_cid(&b, m->cid);
        bind_span(&b, m->name);
        bind_u64(&b, m->bytes_done);
        bind_u64(&b, m->bytes_total);
        bind_u64(&b, m->started_at);
    }
    return run(&b);
}

static int write_move(struct state_rows *rows, uint64_t at, const struct msg_state_move *m)
{
    struct binding b = bind(rows, STATEMENT_MOVE);
    bind_u64(&b, m->id);
    bind_span(&b, m->source);
    bind_span(&b, m->target);
    bind_u64(&b, m->blocks);
    bind_u64(&b, m->bytes);
    bind_u64(&b, m->since);
    bind_u64(&b, at);
    bind_span(&b, m->reason);
    return run(&b);
}

static int write_hot_block(struct state_rows *rows, uint64_t at, const struct item_hot_block *m)
{
    struct binding b = bind(rows, STATEMENT_HOT);
    struct cid cid;
    struct block_key key;
    if (cid_parse(m->cid, &cid) != ERR_OK || block_key_of(&cid.hash, &key) != ERR_OK)
        return SQLITE_OK;
    bind_blob(&b, block_key_span(&key));
    bind_cid(&b, m->cid);
    bind_f64(&b, m->heat);
    if (m->learned) {
        bind_f64(&b, m->short_heat);
        bind_f64(&b, m->long_heat);
    } else {
        bind_null(&b);
        bind_null(&b);
    }
    bind_u64(&b, m->held);
    bind_u64(&b, m->accesses);
    bind_u64(&b, m->wants);
    bind_u64(&b, m->used_at);
    bind_u64(&b, at);
    return run(&b);
}

static int write_hot(struct state_rows *rows, uint64_t at, const struct msg_state_hot *m)
{
    struct binding clear = bind(rows, STATEMENT_HOT_CLEAR);
    int code = run(&clear);
    size_t position = 0;
    struct item_hot_block item;
    while (code == SQLITE_OK && schema_list_next_map(&m->blocks, &schema_item_hot_block, &position, &item))
        code = write_hot_block(rows, at, &item);
    return code;
}

static int write_cost(struct state_rows *rows, uint64_t at, const struct msg_state_cost *m)
{
    struct binding b = bind(rows, STATEMENT_COST);
    bind_u64(&b, at);
    bind_span(&b, m->tier);
    bind_u64(&b, m->writes);
    bind_u64(&b, m->reads);
    bind_u64(&b, m->removals);
    bind_u64(&b, m->bytes_out);
    bind_u64(&b, m->bytes_in);
    return run(&b);
}

static int write_routing_peer(struct state_rows *rows, struct span dht, const struct item_routing_peer *m)
{
    struct binding b = bind(rows, STATEMENT_ROUTING_PEER);
    bind_span(&b, dht);
    bind_peer(&b, m->peer);
    bind_u64(&b, m->bucket);
    bind_u64(&b, m->connected);
    bind_u64(&b, m->useful_at);
    bind_u64(&b, m->queried_at);
    return run(&b);
}

static int write_dht(struct state_rows *rows, const struct msg_state_dht *m)
{
    struct binding b = bind(rows, STATEMENT_DHT);
    bind_span(&b, m->name);
    bind_text(&b, m->server ? "server" : "client");
    bind_u64(&b, m->refreshed_at);
    bind_u64(&b, m->lookups);
    bind_u64(&b, m->requests_out);
    bind_u64(&b, m->requests_failed);
    bind_u64(&b, m->requests_in);
    bind_u64(&b, m->requests_refused);
    int code = run(&b);
    b = bind(rows, STATEMENT_ROUTING_PEER_CLEAR);
    bind_span(&b, m->name);
    code = code == SQLITE_OK ? run(&b) : code;
    size_t position = 0;
    struct item_routing_peer item;
    while (code == SQLITE_OK && schema_list_next_map(&m->peers, &schema_item_routing_peer, &position, &item))
        code = write_routing_peer(rows, m->name, &item);
    return code;
}

static int write_record(struct state_rows *rows, const struct state_record *record, struct span packed)
{
    uint64_t fields[FIELD_WORDS_MAX];
    const struct schema *schema = schema_find(&schema_messages, record->kind);
    if (schema == NULL || schema->struct_bytes > sizeof(fields) ||
        schema_unpack(schema, SCHEMA_ARRAY, packed, fields, NULL, 0) != ERR_OK)
        return SQLITE_OK; /* was checked when it was added */
    switch (record->kind) {
    case MSG_EVENT:
        return write_event(rows, record->at, (const void *)fields);
    case MSG_STATE_PEER:
        return write_peer(rows, record->at, (const void *)fields);
    case MSG_STATE_CONNECTION:
        return write_connection(rows, (const void *)fields);
    case MSG_STATE_WANT:
        return write_want(rows, record->at, (const void *)fields);
    case MSG_STATE_TRANSFER:
        return write_transfer(rows, (const void *)fields);
    case MSG_STATE_MOVE:
        return write_move(rows, record->at, (const void *)fields);
    case MSG_STATE_HOT:
        return write_hot(rows, record->at, (const void *)fields);
    case MSG_STATE_COST:
        return write_cost(rows, record->at, (const void *)fields);
    case MSG_STATE_CRASH:
        return state_rows_write_crash(rows, (const void *)fields);
    case MSG_STATE_DHT:
        return write_dht(rows, (const void *)fields);
    }
    return state_rows_write_provide(rows, record->kind, fields);
}

static int write_actor(struct state_rows *rows, const struct state_actor_row *row)
{
    struct binding b = bind(rows, STATEMENT_ACTOR);
    bind_text(&b, row->name);
    bind_text(&b, row->state);
    bind_u64(&b, row->epoch);
    bind_u64(&b, row->restarts);
    bind_text(&b, row->last_exit_reason);
    bind_u64(&b, row->mailbox_records);
    bind_u64(&b, row->mailbox_bytes);
    bind_u64(&b, row->refused);
    bind_u64(&b, row->heartbeat_at);
    return run(&b);
}

static int write_account(struct state_rows *rows, const struct state_account_row *row)
{
    struct binding b = bind(rows, STATEMENT_ACCOUNT);
    bind_text(&b, row->name);
    bind_u64(&b, row->limit_bytes);
    bind_u64(&b, row->used_bytes);
    bind_u64(&b, row->peak_bytes);
    bind_u64(&b, row->refused);
    return run(&b);
}

static int write_meta(struct state_rows *rows, const char *key, uint64_t value)
{
    struct binding b = bind(rows, STATEMENT_META);
    bind_text(&b, key);
    bind_u64(&b, value);
    return run(&b);
}

static int trim(struct state_rows *rows, enum state_statement which, uint64_t keep)
{
    struct binding b = bind(rows, which);
    bind_u64(&b, keep);
    return run(&b);
}

static int run_bare(struct state_rows *rows, enum state_statement which)
{
    struct binding b = bind(rows, which);
    return run(&b);
}

/* Each thing that is written each time is a prepared statement: to parse BEGIN and COMMIT took as long as the rows of a node at rest. */
int state_rows_write(struct state_rows *rows, const struct state_batch *batch)
{
    int code = run_bare(rows, STATEMENT_BEGIN);
    bool events = false;
    bool peers = false;
    bool moves = false;
    struct span records = buf_span(&batch->records);
    struct state_record record;
    struct span packed;
    while (code == SQLITE_OK && state_record_next(&records, &record, &packed)) {
        events = events || record.kind == MSG_EVENT;
        peers = peers || record.kind == MSG_STATE_PEER;
        moves = moves || record.kind == MSG_STATE_MOVE;
        code = write_record(rows, &record, packed);
    }
    for (size_t i = 0; i < batch->actor_count && code == SQLITE_OK; i++)
        code = write_actor(rows, &batch->actors[i]);
    for (size_t i = 0; i < batch->account_count && code == SQLITE_OK; i++)
        code = write_account(rows, &batch->accounts[i]);
    if (code == SQLITE_OK && events)
        code = trim(rows, STATEMENT_EVENTS_TRIM, STATE_EVENTS_MAX);
    if (code == SQLITE_OK && peers)
        code = trim(rows, STATEMENT_PEERS_TRIM, STATE_PEERS_MAX);
    if (code == SQLITE_OK && moves)
        code = trim(rows, STATEMENT_MOVES_TRIM, STATE_MOVES_MAX);
    if (code == SQLITE_OK)
        code = write_meta(rows, "written_at", batch->at);
    if (code == SQLITE_OK)
        code = write_meta(rows, "dropped", batch->dropped);
    if (code == SQLITE_OK && batch->stopping)
        code = write_meta(rows, "stopped_at", batch->at);
    return code == SQLITE_OK ? run_bare(rows, STATEMENT_COMMIT) : code;
}

/* ---- reading ---- */

/* Reads the JSON array of a column back into a list; a damaged one is an empty list. */
static struct schema_list list_of(struct span json, struct buf *scratch)
{
    buf_clear(scratch);
    struct walk_token token = {0};
    if (json_to_msgpack(json, scratch, NULL) != ERR_OK)
        return (struct schema_list){0};
    struct walk walk = {.left = buf_span(scratch)};
    if (walk_next(&walk, &token) != ERR_OK || token.type != WALK_ARRAY)
        return (struct schema_list){0};
    return (struct schema_list){.raw = walk.left, .count = token.count};
}

int state_rows_load_peers(struct state_rows *rows, uint64_t limit, struct buf *items, uint32_t *ret_count)
{
    struct binding b = bind(rows, STATEMENT_PEERS_LOAD);
    bind_u64(&b, limit);
    struct buf scratch;
    buf_init(&scratch, LIST_JSON_MAX, NULL);
    uint32_t count = 0;
    int code;
    while ((code = sqlite3_step(b.statement)) == SQLITE_ROW) {
        struct peer_id id;
        if (peer_id_parse_text(state_row_text(b.statement, 0), &id) != ERR_OK)
            continue;
        struct item_known_peer peer = {.peer = peer_id_span(&id),
                                       .addrs = list_of(state_row_text(b.statement, 1), &scratch),
                                       .last_seen = (uint64_t)MAX(0, sqlite3_column_int64(b.statement, 2)),
                                       .successes = (uint64_t)MAX(0, sqlite3_column_int64(b.statement, 3)),
                                       .failures = (uint64_t)MAX(0, sqlite3_column_int64(b.statement, 4))};
        if (schema_list_add_map(items, &schema_item_known_peer, &peer) == ERR_OK)
            count++;
    }
    (void)sqlite3_reset(b.statement);
    buf_release(&scratch);
    if (code == SQLITE_DONE)
        *ret_count = count;
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

int state_rows_load_events(struct state_rows *rows, uint64_t limit, struct buf *items, uint32_t *ret_count)
{
    struct binding b = bind(rows, STATEMENT_EVENTS_LOAD);
    bind_u64(&b, limit);
    uint32_t count = 0;
    int code;
    while ((code = sqlite3_step(b.statement)) == SQLITE_ROW) {
        struct item_event_row event = {.at = (uint64_t)MAX(0, sqlite3_column_int64(b.statement, 0)),
                                       .actor = state_row_text(b.statement, 1),
                                       .event = state_row_text(b.statement, 2),
                                       .reason = state_row_text(b.statement, 3)};
        if (schema_list_add_map(items, &schema_item_event_row, &event) == ERR_OK)
            count++;
    }
    (void)sqlite3_reset(b.statement);
    if (code == SQLITE_DONE)
        *ret_count = count;
    return code == SQLITE_DONE ? SQLITE_OK : code;
}
