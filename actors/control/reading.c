/* SPDX-License-Identifier: MIT */
/*
 * read, get, ls, resolve: a reader fetches blocks through bitswap and serves the conversations queued at it in order. Requests
 * for the next bytes of the same path go on with the same reader, so that a client with several requests in flight reads as one
 * stream. How far `get file` comes shows at its end only, so it has its reader for itself.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/control/operations.h"
#include "actors/control/pages.h"
#include "actors/control/reading.h"

enum { FETCH_TIMEOUT_S = 60, READ_AHEAD_MAX = 32 * 1024 * 1024, PACKED_AROUND = 128 };

/* ---- sessions of readers ---- */

/* Whether the reader reads what is asked for, and one more may wait for it. */
static bool may_join(const struct file_session *s, const struct conversation *v, struct span path,
                     enum reader_mode mode)
{
    bool alone = s->queued > 0 && (v->op->id == OP_GET_FILE || s->queue[0]->op->id == OP_GET_FILE);
    return s->kind == SESSION_READER && s->mode == mode && s->queued < SESSION_QUEUE && !alone &&
           reader_error(s->reader) == ERR_OK && s->offline == conversation_is_offline(v) &&
           span_equal_text(path, s->path);
}

static struct file_session *find_reader(struct control *c, const struct conversation *v, struct span path,
                                        enum reader_mode mode, uint64_t offset)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        struct file_session *s = &c->sessions[i];
        if (s->next_offset == offset && may_join(s, v, path, mode))
            return s;
    }
    return NULL;
}

/* Streams are made as they are read: they have no size, and bytes before an offset must be passed over. */
static bool is_stream(enum reader_mode mode)
{
    return mode == READER_TREE || mode == READER_CAR;
}

/* A stream cannot be entered in its middle: the client's reader that is nearest before the offset goes on. */
static struct file_session *find_stream(struct control *c, const struct conversation *v, struct span path,
                                        enum reader_mode mode, uint64_t offset)
{
    struct file_session *nearest = NULL;
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        struct file_session *s = &c->sessions[i];
        bool serves = s->client == v->client && may_join(s, v, path, mode);
        if (serves && reader_position(s->reader) <= offset &&
            (nearest == NULL || reader_position(s->reader) > reader_position(nearest->reader)))
            nearest = s;
    }
    return nearest;
}

/* A file of which the client has had the beginning as a tree stream: what is on its way for that is not asked for again. */
static struct file_session *take_over_tree(struct control *c, const struct conversation *v, struct span path,
                                           uint64_t offset)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        struct file_session *s = &c->sessions[i];
        if (s->client != v->client || s->queued > 0 || !may_join(s, v, path, READER_TREE) ||
            !reader_become_file(s->reader, offset))
            continue;
        s->mode = READER_FILE;
        s->first_offset = offset;
        s->next_offset = offset;
        return s;
    }
    return NULL;
}

static enum err new_reader(struct control *c, struct conversation *v, struct span path, enum reader_mode mode,
                           uint64_t offset, struct file_session **ret_session)
{
    struct file_session *s = file_session_new(c, SESSION_READER);
    if (s == NULL)
        return conversation_error(v, ERR_BUSY, "%d reads are running: try again", READERS_MAX);
    struct reader_options options = {.mode = mode, .length = UINT64_MAX};
    options.offset = mode == READER_FILE || is_stream(mode) ? offset : 0;
    options.shared = &c->windows;
    options.account =
        mode == READER_CAR ? &ctx_budget(c->ctx)->accounts[ACCOUNT_TABLES] : NULL; /* remembers every block */
    options.window_bytes = (uint32_t)MIN(c->windows.limit_bytes, (uint64_t)READ_AHEAD_MAX);
    /* A page of one row only asks what the folder itself is: its entries are not loaded to tell their kinds. */
    options.kinds = mode == READER_LIST && ((const struct op_ls *)(const void *)v->args)->limit > 1;
    const char *why = "";
    enum err err = reader_new(path, &options, &s->reader, &why);
    if (err != ERR_OK) {
        file_session_free(c, s);
        return conversation_error(v, err, "%.*s: %s", (int)MIN(path.len, (size_t)100), (const char *)path.data,
                                  why != NULL && why[0] != '\0' ? why : err_text(err));
    }
    s->mode = mode;
    s->offline = conversation_is_offline(v);
    file_session_owned(c, s, v->client);
    s->first_offset = offset;
    s->next_offset = offset;
    memcpy(s->path, path.data, path.len);
    *ret_session = s;
    return ERR_OK;
}

enum err reading_join(struct control *c, struct conversation *v, struct span path, enum reader_mode mode,
                      uint64_t offset, uint64_t length)
{
    struct file_session *s = NULL;
    if (is_stream(mode))
        s = find_stream(c, v, path, mode, offset);
    else if (mode != READER_RESOLVE)
        s = find_reader(c, v, path, mode, offset);
    if (s == NULL && mode == READER_FILE)
        s = take_over_tree(c, v, path, offset);
    if (s == NULL) {
        enum err err = new_reader(c, v, path, mode, offset, &s);
        if (err != ERR_OK || s == NULL)
            return err;
    }
    if (!file_session_enqueue(s, v))
        return ERR_BUSY;
    s->next_offset += length;
    s->used_at = ctx_now(c->ctx);
    return ERR_OK;
}

/* Joins a reader whose bytes or rows gather in v->work, a buffer. */
static enum err join_reader(struct control *c, struct conversation *v, struct span path, enum reader_mode mode,
                            uint64_t offset, uint64_t length)
{
    struct buf *out = calloc(1, sizeof(*out));
    if (out == NULL)
        return ERR_NOMEM;
    buf_init(out, mode == READER_LIST || mode == READER_WALK ? PAGE_BYTES_MAX : DATA_BYTES_MAX, NULL);
    v->work = out;
    if (mode == READER_FILE || is_stream(mode))
        (void)!buf_reserve(
            out, (size_t)MIN(length, (uint64_t)DATA_BYTES_MAX)); /* so that it need not grow, and be copied, in steps */
    enum err err = reading_join(c, v, path, mode, offset, length);
    if (err == ERR_OK)
        reader_drive(c, v->session);
    return err;
}

/* Who serves all that follows: the client's next piece overtook this reader's last one, found nobody waiting for it, and began anew. */
static struct file_session *overtaker(struct control *c, const struct file_session *s)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        struct file_session *other = &c->sessions[i];
        if (other != s && other->kind == SESSION_READER && other->mode == s->mode && other->client == s->client &&
            other->offline == s->offline && other->first_offset == s->next_offset && strcmp(other->path, s->path) == 0)
            return other;
    }
    return NULL;
}

/* A file's reader that will not be asked any more would read ahead for nobody: it ends, and the other one has its beginning too. */
static void end_overtaken(struct control *c, struct file_session *s)
{
    struct file_session *other = s->mode == READER_FILE && s->queued == 0 ? overtaker(c, s) : NULL;
    if (other == NULL)
        return;
    other->first_offset = s->first_offset;
    file_session_free(c, s);
}

/* A request in the middle of the queue that ends leaves a gap: those behind it begin anew. */
void reading_end(struct control *c, struct conversation *v)
{
    struct buf *out = v->work;
    struct file_session *s = v->session;
    if (out != NULL)
        buf_release(out);
    free(out);
    v->work = NULL;
    v->session = NULL;
    if (s == NULL)
        return;
    bool served = s->queued > 0 && s->queue[0] == v && v->step == 1;
    file_session_dequeue(s, v);
    if (served) {
        end_overtaken(c, s);
        return;
    }
    while (s->queued > 0) {
        struct conversation *other = s->queue[0];
        file_session_dequeue(s, other);
        other->session = NULL;
        conversation_fail(c, other, CODE_CANCELLED, "the read before it was given up: ask again");
    }
    file_session_free(c, s);
}

/* ---- blocks ---- */

static enum err fetch(struct control *c, struct file_session *s, const struct cid *cid)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct msg_fetch ask = {.cid = span_of(bytes, cid_encode(cid, bytes)), .session = s->number};
    struct msg_block_get look = {.cid = ask.cid};
    struct flight flight = {.cid = *cid};
    uint64_t left = FETCH_TIMEOUT_S * SECOND_NS;
    if (s->offline && control_denies(c, cid))
        return ERR_DENIED;
    if (s->queued > 0)
        left = MAX(ctx_left(c->ctx, s->queue[0]->scope.deadline_ns), (uint64_t)1);
    if (s->offline)
        return file_session_send(c, s, &flight, ACTOR_TIERED_STORAGE, MSG_BLOCK_GET, &look, NULL, left);
    return file_session_send(c, s, &flight, ACTOR_BITSWAP, MSG_FETCH, &ask, NULL, left);
}

static void send_wants(struct control *c, struct file_session *s)
{
    while (!s->paused && s->flight_count < s->flights_max) {
        if (!s->held && reader_next_want(s->reader, &s->held_flight.cid) != ERR_OK)
            return;
        s->held = true;
        enum err err = fetch(c, s, &s->held_flight.cid);
        if (err == ERR_BUSY)
            return; /* INFO_ROOM or the next reply comes back here */
        if (err == ERR_UNAVAILABLE && control_waits(c, &s->patience)) {
            file_session_pause(c, s);
            return;
        }
        s->held = false;
        if (err != ERR_OK)
            reader_fail_block(s->reader, &s->held_flight.cid, err, "");
    }
}

void reader_flight_ended(struct control *c, struct file_session *s, const struct flight *flight,
                         const struct info *info)
{
    if (info->err == ERR_OK)
        s->patience = (struct patience){0};
    if (info->err == ERR_BUSY || control_waits_after(c, &s->patience, info)) {
        reader_retry_block(s->reader, &flight->cid);
        file_session_pause(c, s);
        sessions_make_room(c); /* the last: it may end this one */
    } else if (info->err == ERR_OK && info->msg->tail != NULL)
        reader_put_block(s->reader, &flight->cid, info->msg->tail);
    else if (info->err == ERR_OK)
        reader_fail_block(s->reader, &flight->cid, ERR_INTERNAL, "");
    else
        reader_fail_block(s->reader, &flight->cid, info->err, info->text);
}

/* ---- answers ---- */

void reading_finish(struct control *c, struct conversation *v, struct buf *result, struct pack *p)
{
    v->step = 1;
    if (pack_end(p) == ERR_OK)
        conversation_finish(c, v, buf_span(result));
    else
        conversation_fail(c, v, CODE_TOO_LARGE, "the answer is too large");
}

static void answer_read(struct control *c, struct file_session *s, struct conversation *v)
{
    const struct buf *out = v->work;
    const struct reader_info *info = reader_info(s->reader);
    struct buf result;
    buf_init(&result, DATA_BYTES_MAX + 4096, NULL);
    (void)!buf_reserve(&result, out->len + PACKED_AROUND);
    struct pack p = pack_begin(&result);
    pack_map(&p, 2);
    pack_text(&p, "data");
    pack_bytes(&p, buf_span(out));
    pack_pair_u64(&p, "size", info->size);
    uint64_t position = reader_position(s->reader);
    file_session_show(c, s, "read", position, info->size, &info->cid, position >= info->size);
    reading_finish(c, v, &result, &p);
    buf_release(&result);
}

/* Which bytes of a stream are asked for. */
struct piece {
    uint64_t offset;
    uint64_t length;
};

static struct piece piece_of(const struct file_session *s, const struct conversation *v)
{
    const struct op_get *get = (const void *)v->args;
    const struct op_dag_export *export = (const void *)v->args;
    return s->mode == READER_CAR ? (struct piece){.offset = export->offset, .length = export->length}
                                 : (struct piece){.offset = get->offset, .length = get->length};
}

static void answer_stream(struct control *c, struct file_session *s, struct conversation *v)
{
    const struct buf *out = v->work;
    const struct reader_info *info = reader_info(s->reader);
    bool file = info->kind == READER_KIND_FILE;
    bool end = out->len < piece_of(s, v).length;
    s->ended = end;
    struct buf result;
    buf_init(&result, DATA_BYTES_MAX + 4096, NULL);
    (void)!buf_reserve(&result, out->len + PACKED_AROUND);
    struct pack p = pack_begin(&result);
    pack_map(&p, file ? 3 : 2);
    pack_text(&p, "data");
    pack_bytes(&p, buf_span(out));
    pack_pair_bool(&p, "end", end);
    if (file)
        pack_pair_u64(&p, "file_size", info->size);
    const char *kind = s->mode == READER_CAR ? "export" : "get";
    file_session_show(c, s, kind, reader_position(s->reader), 0, &info->cid, end);
    reading_finish(c, v, &result, &p);
    buf_release(&result);
}

static enum err serve_resolve(struct control *c, struct file_session *s, struct conversation *v)
{
    if (reader_state(s->reader) == READER_WAITING)
        return ERR_AGAIN;
    if (reader_state(s->reader) == READER_FAILED)
        return reader_error(s->reader);
    char text[CID_TEXT_MAX];
    cid_text(&reader_info(s->reader)->cid, text);
    struct buf result;
    buf_init(&result, 4096, NULL);
    struct pack p = pack_begin(&result);
    struct span remainder = reader_info(s->reader)->remainder;
    struct buf path;
    buf_init(&path, 2 * READER_PATH_MAX, NULL);
    enum err err = buf_appendf(&path, "/ipfs/%s%s", text, remainder.len > 0 ? "/" : "");
    if (err == ERR_OK)
        err = buf_append_span(&path, remainder);
    pack_map(&p, 3);
    pack_pair_text(&p, "cid", text);
    pack_text(&p, "path");
    if (err == ERR_OK)
        pack_span(&p, buf_span(&path));
    else
        pack_nil(&p);
    pack_pair_span(&p, "remainder", remainder);
    buf_release(&path);
    reading_finish(c, v, &result, &p);
    buf_release(&result);
    return ERR_OK;
}

static enum err serve_read(struct control *c, struct file_session *s, struct conversation *v)
{
    const struct op_read *args = (const void *)v->args;
    struct buf *out = v->work;
    enum err err = reader_read(s->reader, out, (size_t)args->length - out->len);
    if (err == ERR_OK)
        answer_read(c, s, v);
    return err;
}

static enum err serve_stream(struct control *c, struct file_session *s, struct conversation *v)
{
    struct buf *out = v->work;
    if (reader_state(s->reader) == READER_WAITING)
        return ERR_AGAIN;
    enum err err = reader_read(s->reader, out, (size_t)piece_of(s, v).length - out->len);
    if (err == ERR_OK)
        answer_stream(c, s, v);
    return err;
}

/* Whose turn it is: the first in the queue, or the one that asked for the next bytes of a stream; it becomes the first. */
static struct conversation *next_served(struct file_session *s)
{
    if (!is_stream(s->mode) || s->ended)
        return s->queue[0];
    for (unsigned i = 0; i < s->queued; i++) {
        struct conversation *v = s->queue[i];
        if (piece_of(s, v).offset + ((const struct buf *)v->work)->len != reader_position(s->reader))
            continue;
        s->queue[i] = s->queue[0];
        s->queue[0] = v;
        return v;
    }
    return NULL;
}

static enum err serve(struct control *c, struct file_session *s, struct conversation *v)
{
    if (v->op->id == OP_GET_FILE)
        return getting_file_serve(c, s, v);
    if (is_stream(s->mode))
        return serve_stream(c, s, v);
    if (s->mode == READER_FILE)
        return serve_read(c, s, v);
    return s->mode == READER_RESOLVE ? serve_resolve(c, s, v) : page_serve(c, s, v);
}

static void fail_all(struct control *c, struct file_session *s, enum err err)
{
    char why[WHY_BYTES];
    const char *said = reader_why(s->reader);
    (void)snprintf(why, sizeof(why), "%.120s: %s%s%s", s->path, said, said[0] != '\0' ? ": " : "", err_text(err));
    file_session_fail(c, s, err, why);
}

void reader_drive(struct control *c, struct file_session *s)
{
    send_wants(c, s);
    uint32_t generation = s->generation;
    while (s->kind == SESSION_READER && s->generation == generation && s->queued > 0) {
        struct conversation *next = next_served(s);
        if (next == NULL)
            return; /* the piece before those that wait is still to be asked for */
        enum err err = serve(c, s, next);
        if (s->generation != generation)
            return;
        if (err == ERR_AGAIN) {
            send_wants(c, s);
            err = reader_error(s->reader); /* a want may be refused at once */
            if (err == ERR_OK)
                return;
        }
        if (err != ERR_OK) {
            fail_all(c, s, err);
            return;
        }
        send_wants(c, s);
    }
}

/* ---- beginnings ---- */

enum err read_start(struct control *c, struct conversation *v)
{
    const struct op_read *args = (const void *)v->args;
    return join_reader(c, v, args->path, READER_FILE, args->offset, args->length);
}

enum err get_start(struct control *c, struct conversation *v)
{
    const struct op_get *args = (const void *)v->args;
    return join_reader(c, v, args->path, READER_TREE, args->offset, args->length);
}

enum err dag_export_start(struct control *c, struct conversation *v)
{
    const struct op_dag_export *args = (const void *)v->args;
    return join_reader(c, v, args->path, READER_CAR, args->offset, args->length);
}

/* Pages go on with the reader that is kept for the next one, else from the beginning. */
static enum err start_page(struct control *c, struct conversation *v, struct span path, enum reader_mode mode,
                           uint64_t after)
{
    struct file_session *kept = find_reader(c, v, path, mode, after);
    if (kept != NULL && kept->queued > 0)
        return conversation_error(v, ERR_BUSY, "this page is being read already");
    return join_reader(c, v, path, mode, kept != NULL ? after : 0, 0);
}

enum err ls_start(struct control *c, struct conversation *v)
{
    const struct op_ls *args = (const void *)v->args;
    return start_page(c, v, args->path, READER_LIST, args->after);
}

enum err dag_walk_start(struct control *c, struct conversation *v)
{
    const struct op_dag_walk *args = (const void *)v->args;
    return start_page(c, v, args->path, READER_WALK, args->after);
}

enum err resolve_start(struct control *c, struct conversation *v)
{
    const struct op_resolve *args = (const void *)v->args;
    return join_reader(c, v, args->path, READER_RESOLVE, 0, 0);
}
