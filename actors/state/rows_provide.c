/* SPDX-License-Identifier: MIT */
/* Rows of what a server of the DHT keeps for others, and of what this node provides. */
#include "actors/state/rows.h"
#include "dht/provide_sweep.h"
#include "schemas/schema.h"
#include "wire/peer_id.h"

enum { PEERS_DEFAULT = 256, EVENTS_DEFAULT = 20 };

static sqlite3_stmt *statement_of(struct state_rows *rows, enum state_statement which)
{
    return rows->statements[which];
}

static void bind_int(sqlite3_stmt *statement, int at, uint64_t value)
{
    (void)sqlite3_bind_int64(statement, at, (sqlite3_int64)MIN(value, (uint64_t)INT64_MAX));
}

static void bind_bytes(sqlite3_stmt *statement, int at, struct span bytes)
{
    (void)sqlite3_bind_blob(statement, at, bytes.len == 0 ? "" : (const void *)bytes.data, (int)bytes.len,
                            SQLITE_TRANSIENT);
}

static void bind_peer(sqlite3_stmt *statement, int at, struct span bytes)
{
    struct peer_id id;
    char text[PEER_ID_TEXT_MAX] = "";
    if (peer_id_parse(bytes, &id) == ERR_OK)
        peer_id_text(&id, text);
    (void)sqlite3_bind_text(statement, at, text, -1, SQLITE_TRANSIENT);
}

/* ---- writing ---- */

static int write_provider(struct state_rows *rows, const struct msg_state_provider *m)
{
    sqlite3_stmt *statement = statement_of(rows, m->gone ? STATEMENT_PROVIDER_GONE : STATEMENT_PROVIDER);
    bind_int(statement, 1, m->slot);
    if (!m->gone) {
        bind_bytes(statement, 2, m->key);
        bind_peer(statement, 3, m->peer);
        bind_bytes(statement, 4, m->addrs);
        bind_int(statement, 5, m->received_at);
    }
    return state_row_run(statement);
}

static int write_value(struct state_rows *rows, const struct msg_state_value *m)
{
    sqlite3_stmt *statement = statement_of(rows, m->gone ? STATEMENT_VALUE_GONE : STATEMENT_VALUE);
    bind_int(statement, 1, m->slot);
    if (!m->gone) {
        bind_bytes(statement, 2, m->key);
        bind_bytes(statement, 3, m->value);
        bind_peer(statement, 4, m->peer);
        bind_int(statement, 5, m->received_at);
    }
    return state_row_run(statement);
}

static int write_provide(struct state_rows *rows, const struct msg_state_provide *m)
{
    int code = SQLITE_OK;
    size_t position = 0;
    struct item_provide_row row;
    while (code == SQLITE_OK && schema_list_next_map(&m->rows, &schema_item_provide_row, &position, &row)) {
        sqlite3_stmt *statement = statement_of(rows, STATEMENT_PROVIDE);
        bind_bytes(statement, 1, row.key);
        bind_bytes(statement, 2, row.multihash);
        bind_int(statement, 3, m->class);
        bind_int(statement, 4, m->seen);
        code = state_row_run(statement);
    }
    return code;
}

static int write_hot(struct state_rows *rows, const struct msg_state_provide *m)
{
    int code = SQLITE_OK;
    size_t position = 0;
    struct item_provide_row row;
    while (code == SQLITE_OK && schema_list_next_map(&m->rows, &schema_item_provide_row, &position, &row)) {
        sqlite3_stmt *statement = statement_of(rows, STATEMENT_PROVIDE_HOT);
        bind_bytes(statement, 1, row.key);
        bind_int(statement, 2, PROVIDE_HOT);
        code = state_row_run(statement);
    }
    return code;
}

static int write_provided(struct state_rows *rows, const struct msg_state_provided *m)
{
    int code = SQLITE_OK;
    size_t position = 0;
    struct span key;
    while (code == SQLITE_OK && schema_list_next_bytes(&m->keys, &position, &key)) {
        sqlite3_stmt *statement = statement_of(rows, m->at == 0 ? STATEMENT_PROVIDE_GONE : STATEMENT_PROVIDED);
        bind_bytes(statement, 1, key);
        if (m->at != 0)
            bind_int(statement, 2, m->at);
        code = state_row_run(statement);
    }
    return code;
}

static int write_meta(struct state_rows *rows, const char *key, uint64_t value)
{
    sqlite3_stmt *statement = statement_of(rows, STATEMENT_META);
    (void)sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    bind_int(statement, 2, value);
    return state_row_run(statement);
}

static int write_sweep(struct state_rows *rows, const struct msg_state_sweep *m)
{
    int code = m->again ? state_row_run(statement_of(rows, STATEMENT_PROVIDE_AGAIN)) : SQLITE_OK;
    if (code == SQLITE_OK)
        code = write_meta(rows, "sweep_position", m->position);
    return code == SQLITE_OK ? write_meta(rows, "sweep_due_at", m->due_at) : code;
}

int state_rows_write_provide(struct state_rows *rows, uint16_t kind, const void *fields)
{
    sqlite3_stmt *walked = statement_of(rows, STATEMENT_PROVIDE_WALKED);
    switch (kind) {
    case MSG_STATE_PROVIDER:
        return write_provider(rows, fields);
    case MSG_STATE_VALUE:
        return write_value(rows, fields);
    case MSG_STATE_PROVIDE:
        return ((const struct msg_state_provide *)fields)->class == PROVIDE_HOT ? write_hot(rows, fields)
                                                                                : write_provide(rows, fields);
    case MSG_STATE_PROVIDED:
        return write_provided(rows, fields);
    case MSG_STATE_PROVIDE_WALKED:
        bind_int(walked, 1, ((const struct msg_state_provide_walked *)fields)->seen);
        return state_row_run(walked);
    case MSG_STATE_SWEEP:
        return write_sweep(rows, fields);
    }
    return SQLITE_OK;
}

/* ---- reading ---- */

static struct span bytes_at(sqlite3_stmt *statement, int column)
{
    const void *bytes = sqlite3_column_blob(statement, column);
    return bytes == NULL ? (struct span){0} : span_of(bytes, (size_t)sqlite3_column_bytes(statement, column));
}

static uint64_t int_at(sqlite3_stmt *statement, int column)
{
    return (uint64_t)MAX(0, sqlite3_column_int64(statement, column));
}

/* Somebody may have changed the file: what is no peer id is the empty one, and whoever asked drops the row. */
static struct span peer_at(sqlite3_stmt *statement, int column, struct peer_id *id)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    struct span bytes = span_of(text, text == NULL ? 0 : (size_t)sqlite3_column_bytes(statement, column));
    if (peer_id_parse_text(bytes, id) != ERR_OK)
        *id = (struct peer_id){0};
    return peer_id_span(id);
}

static enum err add_row(sqlite3_stmt *statement, uint16_t kind, struct buf *items)
{
    struct peer_id id;
    struct item_kept_provider provider;
    struct item_kept_value value;
    struct item_provide_row row;
    if (kind == MSG_STATE_PROVIDERS) {
        provider = (struct item_kept_provider){.slot = int_at(statement, 0),
                                               .key = bytes_at(statement, 1),
                                               .peer = peer_at(statement, 2, &id),
                                               .addrs = bytes_at(statement, 3),
                                               .received_at = int_at(statement, 4)};
        return schema_list_add_map(items, &schema_item_kept_provider, &provider);
    }
    if (kind == MSG_STATE_VALUES) {
        value = (struct item_kept_value){.slot = int_at(statement, 0),
                                         .key = bytes_at(statement, 1),
                                         .value = bytes_at(statement, 2),
                                         .peer = peer_at(statement, 3, &id),
                                         .received_at = int_at(statement, 4)};
        return schema_list_add_map(items, &schema_item_kept_value, &value);
    }
    row = (struct item_provide_row){
        .key = bytes_at(statement, 0), .multihash = bytes_at(statement, 1), .provided_at = int_at(statement, 2)};
    return schema_list_add_map(items, &schema_item_provide_row, &row);
}

static int load_rows(sqlite3_stmt *statement, uint16_t kind, struct buf *items, uint32_t *ret_count)
{
    uint32_t count = 0;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        count += add_row(statement, kind, items) ==
                 ERR_OK; /* one that does not fit its bounds was written by somebody else */
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    if (code == SQLITE_DONE)
        *ret_count = count;
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int load_stat(sqlite3_stmt *statement, struct msg_state_provide_stat_ok *ret_stat)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *ret_stat = (struct msg_state_provide_stat_ok){.rows = int_at(statement, 0),
                                                       .fresh = int_at(statement, 1),
                                                       .oldest_at = int_at(statement, 2),
                                                       .position = int_at(statement, 3),
                                                       .due_at = int_at(statement, 4),
                                                       .seen = int_at(statement, 5)};
    (void)sqlite3_reset(statement);
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

bool state_page_is(uint16_t kind)
{
    return kind == MSG_STATE_PEERS || kind == MSG_STATE_EVENTS || kind == MSG_STATE_CRASHES ||
           kind == MSG_STATE_PROVIDERS || kind == MSG_STATE_VALUES || kind == MSG_STATE_PROVIDES ||
           kind == MSG_STATE_PROVIDE_STAT;
}

void state_page_of(uint16_t kind, const void *fields, struct state_page *ret_page)
{
    *ret_page = (struct state_page){0};
    if (kind == MSG_STATE_PEERS) {
        const struct msg_state_peers *m = fields;
        ret_page->limit = m->limit == 0 ? PEERS_DEFAULT : m->limit;
    } else if (kind == MSG_STATE_EVENTS) {
        const struct msg_state_events *m = fields;
        ret_page->limit = m->limit == 0 ? EVENTS_DEFAULT : m->limit;
    } else if (kind == MSG_STATE_PROVIDERS) {
        const struct msg_state_providers *m = fields;
        ret_page->after_at = m->after_at;
        ret_page->after_slot = m->after_slot;
    } else if (kind == MSG_STATE_VALUES) {
        ret_page->after_slot = ((const struct msg_state_values *)fields)->after_slot;
    } else if (kind == MSG_STATE_PROVIDES) {
        const struct msg_state_provides *m = fields;
        ret_page->limit = m->limit;
        ret_page->before = m->before;
        ret_page->class = m->class;
        memcpy(ret_page->from, m->from.data, sizeof(ret_page->from)); /* its length is part of the schema */
    }
}

int state_rows_load(struct state_rows *rows, uint16_t kind, const struct state_page *page, struct buf *items,
                    uint32_t *ret_count, struct msg_state_provide_stat_ok *ret_stat)
{
    sqlite3_stmt *statement = NULL;
    if (kind == MSG_STATE_PEERS)
        return state_rows_load_peers(rows, page->limit, items, ret_count);
    if (kind == MSG_STATE_EVENTS)
        return state_rows_load_events(rows, page->limit, items, ret_count);
    if (kind == MSG_STATE_CRASHES)
        return state_rows_load_crashes(rows, items, ret_count);
    if (kind == MSG_STATE_PROVIDE_STAT)
        return load_stat(statement_of(rows, STATEMENT_PROVIDE_STAT), ret_stat);
    if (kind == MSG_STATE_PROVIDERS) {
        statement = statement_of(rows, STATEMENT_PROVIDERS_LOAD);
        bind_int(statement, 1, page->after_at);
        bind_int(statement, 2, page->after_slot);
    } else if (kind == MSG_STATE_VALUES) {
        statement = statement_of(rows, STATEMENT_VALUES_LOAD);
        bind_int(statement, 1, page->after_slot);
    } else {
        statement = statement_of(rows, page->before == 0 ? STATEMENT_PROVIDES_FRESH : STATEMENT_PROVIDES_LOAD);
        bind_bytes(statement, 1, span_of(page->from, sizeof(page->from)));
        bind_int(statement, 2, page->before == 0 ? page->class : page->before);
        bind_int(statement, 3, page->limit);
        if (page->before != 0)
            bind_int(statement, 4, page->now);
    }
    return load_rows(statement, kind, items, ret_count);
}
