/* SPDX-License-Identifier: MIT */
#include "actors/control/file_sink.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"

struct file_sink {
    /* a job's while it runs */
    struct local_file file;
    bool last;
    uint64_t at; /* of the first part */
    size_t count;
    struct span parts[FILE_SINK_PARTS];
    /* the actor's */
    struct block_ref *blocks[FILE_SINK_PARTS];
    uint64_t bytes; /* of the parts */
    uint64_t charged;
    bool spent; /* the account had no room */
    bool at_work;
    bool given_up;
    enum err err;
    struct file_sink_options options;
};

enum err file_sink_new(const struct file_sink_options *options, struct local_file *file, struct file_sink **ret_sink)
{
    struct file_sink *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        (void)local_file_close(file);
        return ERR_NOMEM;
    }
    s->file = *file;
    s->at = options->offset;
    s->options = *options;
    *ret_sink = s;
    return ERR_OK;
}

static void unref_blocks(struct file_sink *s)
{
    for (size_t i = 0; i < s->count; i++)
        block_ref_unref(s->blocks[i]);
    s->count = 0;
}

/* Also the end of a job whose actor has ended, and with it the account. */
static void release(void *arg)
{
    struct file_sink *s = arg;
    unref_blocks(s);
    (void)local_file_close(&s->file);
    free(s);
}

/* The parts are written, or given up. */
static void drop_parts(struct file_sink *s)
{
    unref_blocks(s);
    if (s->charged > 0)
        account_give(s->options.account, s->charged);
    s->at += s->bytes;
    s->bytes = 0;
    s->charged = 0;
    s->spent = false;
}

/* ---- the job ---- */

static enum err write_parts(void *arg, const _Atomic bool *cancelled)
{
    struct file_sink *s = arg;
    enum err err = ERR_OK;
    uint64_t at = s->at;
    for (size_t i = 0; i < s->count && err == ERR_OK; i++) {
        err = atomic_load(cancelled) ? ERR_CANCELLED : local_file_write(&s->file, at, s->parts[i]);
        at += s->parts[i].len;
    }
    if (err == ERR_OK && !s->last && !atomic_load(cancelled))
        return ERR_OK;
    enum err closed = local_file_close(&s->file);
    return err == ERR_OK ? closed : err;
}

/* ---- the actor's side ---- */

bool file_sink_has_room(const struct file_sink *sink)
{
    uint64_t most = sink->spent ? FILE_SINK_BYTES_SPENT : FILE_SINK_BYTES;
    return file_sink_state(sink) == ERR_OK && sink->count < FILE_SINK_PARTS && sink->bytes < most;
}

void file_sink_put(struct file_sink *sink, struct block_ref *block, struct span bytes)
{
    struct file_sink *s = sink;
    assert(file_sink_has_room(s) && bytes.len > 0);
    s->blocks[s->count] = block;
    s->parts[s->count++] = bytes;
    s->bytes += bytes.len;
    if (account_take(s->options.account, bytes.len))
        s->charged += bytes.len;
    else
        s->spent = true;
}

uint64_t file_sink_position(const struct file_sink *sink)
{
    return sink->at + sink->bytes;
}

bool file_sink_is_empty(const struct file_sink *sink)
{
    return sink->count == 0;
}

enum err file_sink_write(struct file_sink *sink, struct ctx *ctx, bool last)
{
    assert(!sink->at_work);
    sink->last = last;
    enum err err = ctx_job(ctx, "files", write_parts, sink, release, sink->options.tag);
    sink->at_work = err == ERR_OK;
    return err;
}

/* Nobody needs it any more: a job closes the file, or without one it is closed here. */
static void dispose(struct file_sink *s, struct ctx *ctx)
{
    drop_parts(s);
    s->given_up = true;
    if (s->file.fd < 0 || file_sink_write(s, ctx, true) != ERR_OK)
        release(s);
}

void file_sink_free(struct file_sink *sink, struct ctx *ctx)
{
    if (sink == NULL)
        return;
    if (!sink->at_work) {
        dispose(sink, ctx);
        return;
    }
    sink->given_up = true;
    ctx_job_cancel(ctx, sink->options.tag);
}

void *file_sink_done(struct ctx *ctx, const struct info *info)
{
    struct file_sink *s = info->arg;
    s->at_work = false;
    if (s->given_up) {
        dispose(s, ctx);
        return NULL;
    }
    drop_parts(s);
    s->err = info->err;
    return s->options.user;
}

enum err file_sink_state(const struct file_sink *sink)
{
    if (sink->at_work || sink->err != ERR_OK)
        return sink->at_work ? ERR_AGAIN : sink->err;
    return sink->file.fd < 0 ? ERR_CLOSED : ERR_OK;
}
