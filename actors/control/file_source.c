/* SPDX-License-Identifier: MIT */
#include "actors/control/file_source.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

enum { LEAVES_MAX = FILE_SOURCE_JOB_BYTES / FILE_SOURCE_CHUNK_MIN };

/* A job's argument: count chunks from offset at on. */
struct file_read {
    struct file_source *source; /* the actor's alone; NULL once it is gone */
    bool done;                  /* the actor's alone, as err is */
    enum err err;
    struct local_file file;
    struct import_options import;
    bool plain;
    struct account *account;
    uint64_t charged;
    uint64_t at;
    size_t count;
    struct import_leaf leaves[LEAVES_MAX];
};

struct file_source {
    struct local_file file;
    struct import_options import;
    bool plain;
    struct account *account;
    uint64_t tag;
    void *user;
    uint64_t next; /* to begin to read */
    uint64_t end;
    struct file_read *reads[FILE_SOURCE_JOBS]; /* under way, oldest first */
    size_t read_count;
    size_t given; /* leaves of the oldest one */
};

enum err file_source_new(const struct file_source_options *options, struct file_source **ret_source)
{
    const struct file_source_options *o = options;
    if (o->from >= o->until || o->until > o->file->size)
        return ERR_INVALID;
    if (o->import->chunk_bytes < FILE_SOURCE_CHUNK_MIN)
        return ERR_UNSUPPORTED;
    struct file_source *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NOMEM;
    enum err err = local_file_dup(o->file, &s->file);
    if (err != ERR_OK) {
        free(s);
        return err;
    }
    s->import = *o->import;
    s->plain = o->plain;
    s->account = o->account;
    s->tag = o->tag;
    s->user = o->user;
    s->next = o->from;
    uint64_t chunks = (o->until - o->from + o->import->chunk_bytes - 1) / o->import->chunk_bytes;
    s->end = MIN(o->file->size, o->from + chunks * o->import->chunk_bytes);
    *ret_source = s;
    return ERR_OK;
}

static void uncharge(struct file_read *read)
{
    if (read->charged > 0)
        account_give(read->account, read->charged);
    read->charged = 0;
}

static void file_read_free(void *arg)
{
    struct file_read *read = arg;
    for (size_t i = 0; i < read->count; i++)
        import_leaf_release(&read->leaves[i]);
    uncharge(read);
    (void)local_file_close(&read->file);
    free(read);
}

void file_source_free(struct file_source *source, struct ctx *ctx)
{
    if (source == NULL)
        return;
    ctx_job_cancel(ctx, source->tag);
    for (size_t i = 0; i < source->read_count; i++) {
        struct file_read *read = source->reads[i];
        read->source = NULL;
        if (read->done)
            file_read_free(read);
    }
    (void)local_file_close(&source->file);
    free(source);
}

/* ---- the job ---- */

static enum err read_leaf(const struct file_read *read, uint64_t at, struct import_leaf *ret_leaf)
{
    size_t len = (size_t)MIN(read->file.size - at, (uint64_t)read->import.chunk_bytes);
    struct import_leaf leaf;
    enum err err = import_leaf_new(&read->import, len, &leaf);
    if (err != ERR_OK)
        return err;
    err = local_file_read(&read->file, at, import_leaf_content(&read->import, &leaf), len);
    if (err == ERR_OK && !read->plain)
        err = import_leaf_name(&read->import, &leaf);
    if (err == ERR_OK)
        *ret_leaf = leaf;
    else
        import_leaf_release(&leaf);
    return err;
}

static enum err read_chunks(void *arg, const _Atomic bool *cancelled)
{
    struct file_read *read = arg;
    enum err err = ERR_OK;
    uint64_t at = read->at;
    for (size_t i = 0; i < read->count && err == ERR_OK; i++) {
        err = atomic_load(cancelled) ? ERR_CANCELLED : read_leaf(read, at, &read->leaves[i]);
        at += read->import.chunk_bytes;
    }
    if (err == ERR_OK)
        err = local_file_check(&read->file);
    (void)local_file_close(&read->file);
    return err;
}

/* ---- the actor's side ---- */

static enum err file_read_new(struct file_source *s, size_t count, uint64_t charged, struct file_read **ret_read)
{
    struct file_read *read = calloc(1, sizeof(*read));
    if (read == NULL)
        return ERR_NOMEM;
    enum err err = local_file_dup(&s->file, &read->file);
    if (err != ERR_OK) {
        free(read);
        return err;
    }
    read->source = s;
    read->import = s->import;
    read->plain = s->plain;
    read->import.account = NULL; /* a job makes leaves only, which need no tables */
    read->account = s->account;
    read->charged = charged;
    read->at = s->next;
    read->count = count;
    *ret_read = read;
    return ERR_OK;
}

/* How many chunks the next job takes and what it is charged for them; 0 when there is no room. */
static size_t next_count(struct file_source *s, bool alone, uint64_t *ret_charged)
{
    size_t frame;
    uint64_t leaf_bytes = import_leaf_size(&s->import, &frame);
    uint64_t left = (s->end - s->next + s->import.chunk_bytes - 1) / s->import.chunk_bytes;
    size_t count = (size_t)MIN(left, (uint64_t)MAX(FILE_SOURCE_JOB_BYTES / s->import.chunk_bytes, 1));
    *ret_charged = count * leaf_bytes;
    if (account_take(s->account, *ret_charged))
        return count;
    *ret_charged = 0;
    return alone && s->read_count == 0 ? 1 : 0;
}

enum err file_source_read(struct file_source *source, struct ctx *ctx, bool alone)
{
    struct file_source *s = source;
    uint64_t charged = 0;
    if (s->next >= s->end || s->read_count == FILE_SOURCE_JOBS)
        return ERR_AGAIN;
    size_t count = next_count(s, alone, &charged);
    if (count == 0)
        return ERR_AGAIN;
    struct file_read *read = NULL;
    enum err err = file_read_new(s, count, charged, &read);
    if (err != ERR_OK) {
        account_give(s->account, charged);
        return err;
    }
    err = ctx_job(ctx, "files", read_chunks, read, file_read_free, s->tag);
    if (err != ERR_OK) {
        file_read_free(read);
        return err;
    }
    s->reads[s->read_count++] = read;
    s->next += count * (uint64_t)s->import.chunk_bytes;
    return ERR_OK;
}

void *file_source_done(const struct info *info)
{
    struct file_read *read = info->arg;
    if (read->source == NULL) {
        file_read_free(read);
        return NULL;
    }
    read->done = true;
    read->err = info->err;
    return read->source->user;
}

static void drop_oldest(struct file_source *s)
{
    file_read_free(s->reads[0]);
    s->read_count--;
    memmove(s->reads, s->reads + 1, s->read_count * sizeof(*s->reads));
    s->given = 0;
}

enum err file_source_next(struct file_source *source, struct import_leaf *ret_leaf)
{
    struct file_source *s = source;
    if (s->read_count > 0 && s->given == s->reads[0]->count)
        drop_oldest(s);
    if (s->read_count == 0)
        return s->next >= s->end ? ERR_CLOSED : ERR_AGAIN;
    struct file_read *read = s->reads[0];
    if (!read->done)
        return ERR_AGAIN;
    if (read->err != ERR_OK)
        return read->err;
    uncharge(read); /* the upload charges what it keeps */
    *ret_leaf = read->leaves[s->given];
    read->leaves[s->given++].block = NULL;
    return ERR_OK;
}

bool file_source_at_end(const struct file_source *source)
{
    return source->end == source->file.size;
}
