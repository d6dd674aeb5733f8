/* SPDX-License-Identifier: MIT */
/*
 * add file: the next bytes of an upload out of an open file that its client handed over (file_door.h). An error of the file is the
 * conversation's alone, so that its client may send the bytes instead, or give the upload up; an error of the upload ends that.
 */
#include <stdio.h>

#include "actors/control/adding.h"
#include "actors/control/file_door.h"
#include "actors/control/operations.h"

static enum err refuse_file(struct control *c, struct conversation *v, enum err err)
{
    char why[WHY_BYTES];
    const char *text = err == ERR_MISMATCH    ? "it changed while it was read"
                       : err == ERR_NOT_FOUND ? "it did not come to files.sock, or has been given up"
                                              : err_text(err);
    (void)snprintf(why, sizeof(why), "the file cannot be read: %s", text);
    conversation_fail(c, v, err == ERR_MISMATCH ? CODE_NOT_FOUND : control_code_from_err(err), why);
    return ERR_OK;
}

static enum err open_source(struct control *c, struct file_session *s, struct conversation *v)
{
    const struct op_add_file *args = (const void *)v->args;
    struct adding *work = v->work;
    const struct local_file *file = file_door_find(c->files, args->file, s->number, ctx_now(c->ctx));
    if (file == NULL)
        return ERR_NOT_FOUND;
    uint64_t skip = s->next_offset - args->offset; /* had already */
    struct file_source_options options = {
        .file = file,
        .from = args->from + skip,
        .until = args->from + args->length,
        .import = upload_import(s->upload),
        .plain = upload_format(s->upload) == UPLOAD_CAR,
        .account = c->uploads,
        .tag = tag_make(TAG_FILE, s->generation, (unsigned)(s - c->sessions), 0),
        .user = s,
    };
    return options.plain || upload_takes_leaves(s->upload) ? file_source_new(&options, &work->source) : ERR_INVALID;
}

/* Reads on while there is room. An error of the file goes to *source. */
static void read_on(struct control *c, struct file_session *s, struct file_source *source, enum err *ret_source)
{
    enum err err = ERR_OK;
    while (err == ERR_OK && upload_writable(s->upload))
        err = file_source_read(source, c->ctx, upload_idle(s->upload));
    if (err != ERR_OK && err != ERR_AGAIN)
        *ret_source = err;
}

/* Moves what was read into the upload, and reads on. *ret_source is ERR_CLOSED when all of it is there. */
static enum err move_leaves(struct control *c, struct file_session *s, struct file_source *source, enum err *ret_source)
{
    struct import_leaf leaf;
    *ret_source = ERR_OK;
    while ((*ret_source = file_source_next(source, &leaf)) == ERR_OK) {
        size_t len = leaf.len;
        enum err err = upload_leaf(s->upload, ctx_now(c->ctx), &leaf);
        if (err != ERR_OK)
            return err;
        s->next_offset += len;
    }
    adding_send_puts(c, s);
    read_on(c, s, source, ret_source);
    return ERR_OK;
}

/* Gives the upload as much of the leaf as its window takes; false: the rest waits for acknowledgements. */
static enum err write_leaf(struct control *c, struct file_session *s, struct adding *work, bool *ret_whole)
{
    bool moves = true;
    while (moves && work->leaf_taken < work->leaf.len) {
        uint64_t before = s->next_offset;
        const uint8_t *content = import_leaf_content(upload_import(s->upload), &work->leaf);
        struct span rest = span_skip(span_of(content, work->leaf.len), work->leaf_taken);
        enum err err = upload_write(s->upload, ctx_now(c->ctx), before, rest, &s->next_offset);
        if (err != ERR_OK)
            return err;
        work->leaf_taken += (size_t)(s->next_offset - before);
        adding_send_puts(c, s);
        moves = upload_writable(s->upload);
    }
    *ret_whole = work->leaf_taken == work->leaf.len;
    if (*ret_whole)
        import_leaf_release(&work->leaf);
    return ERR_OK;
}

/* The same for an upload that takes bytes, as many as its window has room for. */
static enum err move_bytes(struct control *c, struct file_session *s, struct adding *work, enum err *ret_source)
{
    bool whole = true;
    *ret_source = ERR_OK;
    while (whole && *ret_source == ERR_OK) {
        if (work->leaf.block == NULL) {
            work->leaf_taken = 0;
            *ret_source = file_source_next(work->source, &work->leaf);
        }
        enum err err = *ret_source == ERR_OK ? write_leaf(c, s, work, &whole) : ERR_OK;
        if (err != ERR_OK)
            return err;
    }
    if (*ret_source == ERR_OK)
        *ret_source = ERR_AGAIN;
    else if (*ret_source == ERR_AGAIN)
        read_on(c, s, work->source, ret_source);
    return ERR_OK;
}

enum err adding_file_go_on(struct control *c, struct file_session *s, struct conversation *v)
{
    const struct op_add_file *args = (const void *)v->args;
    struct adding *work = v->work;
    enum err source = ERR_CLOSED;
    enum err err = upload_failure(s->upload);
    if (err != ERR_OK || args->offset > s->next_offset)
        return err != ERR_OK ? err : ERR_AGAIN;
    if (work->source == NULL && s->next_offset - args->offset < args->length) {
        err = open_source(c, s, v);
        if (err != ERR_OK)
            return refuse_file(c, v, err);
    }
    if (work->source != NULL) {
        bool as_bytes = upload_format(s->upload) == UPLOAD_CAR;
        err = as_bytes ? move_bytes(c, s, work, &source) : move_leaves(c, s, work->source, &source);
        if (err != ERR_OK || source == ERR_AGAIN)
            return err != ERR_OK ? err : ERR_AGAIN;
    }
    if (source != ERR_CLOSED)
        return refuse_file(c, v, source);
    if (work->source != NULL && file_source_at_end(work->source))
        file_door_drop(c->files, args->file);
    work->offset = s->next_offset;
    (void)adding_collect(s, work);
    file_session_show(c, s, "add", s->next_offset, 0, NULL, false);
    adding_answer(c, v, work);
    return ERR_OK;
}

void adding_job_done(struct control *c, const struct info *info)
{
    struct file_session *s = file_source_done(info);
    if (s != NULL)
        upload_drive(c, s);
}

enum err add_file_start(struct control *c, struct conversation *v)
{
    const struct op_add_file *args = (const void *)v->args;
    return adding_join(c, v, args->upload, ADDING_FILE, args->offset);
}
