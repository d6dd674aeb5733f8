/* SPDX-License-Identifier: MIT */
#include "actors/state/crashes.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "actors/state/rows.h"
#include "mailbox/crash_history.h"
#include "schemas/messages.h"
#include "schemas/state_sql.h"
#include "wire/peer_id.h"

enum { WHO_TEXT_MAX = 128, MAPPED_BYTES = 16 };

/* ---- from the nanny and from root ---- */

static void who_text(const struct crash_suspect *s, char to[WHO_TEXT_MAX])
{
    struct peer_id id;
    char peer[PEER_ID_TEXT_MAX] = "";
    to[0] = '\0';
    if (s->who_kind == CRASH_WHO_PEER && peer_id_parse(span_of(s->who, s->who_len), &id) == ERR_OK) {
        peer_id_text(&id, peer);
        (void)snprintf(to, WHO_TEXT_MAX, "%s", peer);
    } else if (s->who_kind == CRASH_WHO_ADDR && s->who_len == MAPPED_BYTES) {
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
        bool ip4 = memcmp(s->who, mapped, sizeof(mapped)) == 0;
        if (inet_ntop(ip4 ? AF_INET : AF_INET6, s->who + (ip4 ? sizeof(mapped) : 0), to, WHO_TEXT_MAX) == NULL)
            to[0] = '\0';
    }
}

static const char *verdict_of(const struct crash_record *r)
{
    if (r->poisoned)
        return r->banned ? "dropped and banned" : "dropped";
    return r->banned ? "banned" : "";
}

static void report(struct ctx *ctx, struct state_batch *batch, const struct crash_record *r)
{
    const struct crash_suspect *s = &r->subject;
    char who[WHO_TEXT_MAX];
    who_text(s, who);
    struct msg_state_crash m = {.at = MIN(r->at, (uint64_t)INT64_MAX),
                                .cause = span_text(r->cause),
                                .actor = span_text(s->actor),
                                .epoch = s->epoch,
                                .thread = span_text(r->thread),
                                .message = span_text(ctx_crash_does(ctx, s->does)),
                                .digest = span_of(s->digest, s->has_digest ? sizeof(s->digest) : 0),
                                .peer = span_text(who),
                                .address = r->address,
                                .backtrace = span_text(r->backtrace),
                                .verdict = span_text(verdict_of(r))};
    ctx_log(ctx, LOG_WARN, "%s had crashed: %s%s%s%s%s%s%s%s%s", r->process ? "a process" : "the daemon", r->cause,
            m.actor.len > 0 ? " in " : "", s->actor, m.message.len > 0 ? ", handling " : "",
            (const char *)m.message.data, m.peer.len > 0 ? ", bytes of " : "", who,
            m.verdict.len > 0 ? "; from now on " : "", (const char *)m.verdict.data);
    struct msg_event event = {
        .actor = m.actor.len > 0 ? m.actor : span_text("daemon"), .event = span_text("crash"), .reason = m.cause};
    if (state_batch_add(batch, MSG_STATE_CRASH, m.at, &m) != ERR_OK ||
        state_batch_add(batch, MSG_EVENT, m.at, &event) != ERR_OK)
        ctx_log(ctx, LOG_WARN, "no room to keep the record of it");
}

void crashes_report(struct ctx *ctx, struct state_batch *batch, uint64_t *last)
{
    const struct crash_history *h = ctx_crashes(ctx);
    for (size_t i = 0; h != NULL && h->last_id > *last && i < h->record_count; i++) {
        if (h->records[i].id <= *last)
            continue;
        report(ctx, batch, &h->records[i]);
        *last = batch->crashes = h->records[i].id;
    }
}

/* ---- rows ---- */

static void bind_text(sqlite3_stmt *statement, int at, struct span text)
{
    (void)sqlite3_bind_text(statement, at, text.len == 0 ? "" : (const char *)text.data, (int)text.len,
                            SQLITE_TRANSIENT);
}

int state_rows_write_crash(struct state_rows *rows, const struct msg_state_crash *m)
{
    sqlite3_stmt *row = rows->statements[STATEMENT_CRASH];
    (void)sqlite3_bind_int64(row, 1, (sqlite3_int64)m->at);
    bind_text(row, 2, m->cause);
    bind_text(row, 3, m->actor);
    (void)sqlite3_bind_int64(row, 4, (sqlite3_int64)m->epoch);
    bind_text(row, 5, m->thread);
    bind_text(row, 6, m->message);
    if (m->digest.len > 0)
        (void)sqlite3_bind_blob(row, 7, m->digest.data, (int)m->digest.len, SQLITE_TRANSIENT);
    bind_text(row, 8, m->peer);
    (void)sqlite3_bind_int64(row, 9, (sqlite3_int64)m->address);
    bind_text(row, 10, m->backtrace);
    bind_text(row, 11, m->verdict);
    int code = state_row_run(row);
    sqlite3_stmt *trim = rows->statements[STATEMENT_CRASHES_TRIM];
    (void)sqlite3_bind_int64(trim, 1, STATE_CRASHES_MAX);
    return code == SQLITE_OK ? state_row_run(trim) : code;
}

int state_rows_load_crashes(struct state_rows *rows, struct buf *items, uint32_t *ret_count)
{
    sqlite3_stmt *statement = rows->statements[STATEMENT_CRASHES_LOAD];
    uint32_t count = 0;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct item_crash_row row = {.at = (uint64_t)MAX(0, sqlite3_column_int64(statement, 0)),
                                     .cause = state_row_text(statement, 1),
                                     .actor = state_row_text(statement, 2),
                                     .thread = state_row_text(statement, 3),
                                     .message = state_row_text(statement, 4),
                                     .peer = state_row_text(statement, 5),
                                     .backtrace = state_row_text(statement, 6),
                                     .verdict = state_row_text(statement, 7)};
        if (schema_list_add_map(items, &schema_item_crash_row, &row) == ERR_OK)
            count++;
    }
    (void)sqlite3_reset(statement);
    if (code == SQLITE_DONE)
        *ret_count = count;
    return code == SQLITE_DONE ? SQLITE_OK : code;
}
