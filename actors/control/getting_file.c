/* SPDX-License-Identifier: MIT */
/*
 * get file: bytes of a file written into an open one that the client handed over (file_door.h), out of the blocks as they come (file_sink.h).
 * A request goes to the end of its range or of the file, but is answered sooner when it takes long, so that the client sees how far it is; the
 * next one hands the descriptor over again and goes on with the same reader. Nothing is acknowledged that was not written. It is not synced, as
 * the command does not sync what it writes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/control/file_door.h"
#include "actors/control/file_sink.h"
#include "actors/control/operations.h"
#include "actors/control/reading.h"

enum { ANSWER_AFTER_MS = 250 };

/* What a `get file` has in conversation.work. */
struct getting {
    struct file_sink *sink;
    uint64_t begun_at;
};

/* The reader goes too, when it has read on already. */
static enum err refuse(struct control *c, struct conversation *v, enum err err)
{
    char why[WHY_BYTES];
    const char *text =
        err == ERR_NOT_FOUND ? "it did not come to files.sock open for writing, or has been given up" : err_text(err);
    (void)snprintf(why, sizeof(why), "the file cannot be written: %s", text);
    conversation_fail(c, v, control_code_from_err(err), why);
    return ERR_OK;
}

static enum err open_sink(struct control *c, struct conversation *v, struct file_sink **ret_sink)
{
    const struct op_get_file *args = (const void *)v->args;
    struct local_file file;
    if (!file_door_take(c->files, args->file, ctx_now(c->ctx), &file))
        return ERR_NOT_FOUND;
    struct file_sink_options options = {
        .offset = args->offset,
        .account = &c->windows,
        .tag = tag_make(TAG_SINK, v->generation, (unsigned)(v - c->conversations), 0),
        .user = v,
    };
    return file_sink_new(&options, &file, ret_sink);
}

enum err get_file_start(struct control *c, struct conversation *v)
{
    const struct op_get_file *args = (const void *)v->args;
    struct getting *work = calloc(1, sizeof(*work));
    if (work == NULL)
        return ERR_NOMEM;
    v->work = work;
    work->begun_at = ctx_now(c->ctx);
    enum err err = open_sink(c, v, &work->sink);
    if (err != ERR_OK)
        return refuse(c, v, err);
    err = reading_join(c, v, args->path, READER_FILE, args->offset, args->length);
    if (err == ERR_OK)
        reader_drive(c, v->session);
    return err;
}

void get_file_end(struct control *c, struct conversation *v)
{
    struct getting *work = v->work;
    if (work != NULL)
        file_sink_free(work->sink, c->ctx);
    free(work);
    v->work = NULL;
    reading_end(c, v);
}

/* The offset behind the last byte that is asked for, as far as known. */
static uint64_t end_of(const struct reader *reader, const struct op_get_file *args)
{
    uint64_t end = args->offset + args->length; /* both are below 2^63 */
    return reader_state(reader) == READER_OPEN ? MIN(end, reader_info(reader)->size) : end;
}

/* Moves what there is into the sink. ERR_CLOSED: nothing is left to move. */
static enum err move_bytes(struct reader *reader, const struct op_get_file *args, struct file_sink *sink)
{
    enum err err = ERR_OK;
    uint64_t end = end_of(reader, args);
    while (err == ERR_OK && file_sink_position(sink) < end && file_sink_has_room(sink)) {
        struct block_ref *block;
        struct span bytes;
        err = reader_next_bytes(reader, end - file_sink_position(sink), &block, &bytes);
        if (err == ERR_OK)
            file_sink_put(sink, block, bytes);
    }
    return err == ERR_OK && file_sink_position(sink) >= end ? ERR_CLOSED : err;
}

static void answer(struct control *c, struct file_session *s, struct conversation *v)
{
    const struct reader_info *info = reader_info(s->reader);
    const struct getting *work = v->work;
    uint64_t position = file_sink_position(work->sink);
    struct buf result;
    buf_init(&result, 64, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 2);
    pack_pair_u64(&p, "offset", position);
    pack_pair_u64(&p, "size", info->size);
    s->next_offset = position;
    file_session_show(c, s, "get", position, info->size, &info->cid, position >= info->size);
    reading_finish(c, v, &result, &p);
    buf_release(&result);
}

enum err getting_file_serve(struct control *c, struct file_session *s, struct conversation *v)
{
    const struct op_get_file *args = (const void *)v->args;
    const struct getting *work = v->work;
    enum err err = file_sink_state(work->sink);
    if (err == ERR_CLOSED) {
        answer(c, s, v);
        return ERR_OK;
    }
    if (err != ERR_OK)
        return err == ERR_AGAIN ? err : refuse(c, v, err);
    err = move_bytes(s->reader, args, work->sink);
    if (err != ERR_OK && err != ERR_AGAIN && err != ERR_CLOSED)
        return err;
    bool late =
        file_sink_position(work->sink) > args->offset && ctx_now(c->ctx) >= work->begun_at + ANSWER_AFTER_MS * MS_NS;
    bool last = err == ERR_CLOSED || late;
    if (!last && file_sink_is_empty(work->sink))
        return ERR_AGAIN;
    err = file_sink_write(work->sink, c->ctx, last);
    return err == ERR_OK ? ERR_AGAIN : refuse(c, v, err);
}

void getting_file_job_done(struct control *c, const struct info *info)
{
    struct conversation *v = file_sink_done(c->ctx, info);
    if (v != NULL && v->session != NULL)
        reader_drive(c, v->session);
}
