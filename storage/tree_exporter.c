/* SPDX-License-Identifier: MIT */
#include "storage/tree_exporter.h"

#include <stdlib.h>

#include "storage/node_info.h"
#include "storage/tree_window.h"

enum { RECORD_BYTES_MAX = TREE_HEADER_BYTES + TREE_META_BYTES_MAX + TREE_NAME_MAX + TREE_TARGET_MAX };

struct tree_exporter {
    struct tree_window window;
    struct buf record; /* the record that is being read; its content follows from data */
    size_t record_at;
    struct block_ref *block;
    struct span data;      /* of block: not read yet */
    size_t data_in_record; /* bytes of data that belong to the record */
    uint64_t produced;     /* bytes of the stream so far, those passed over as well */
};

enum err tree_exporter_new(const struct cid *root, const struct tree_exporter_options *options,
                           struct tree_exporter **ret_exporter)
{
    if (!tree_name_ok(options->name))
        return ERR_INVALID;
    struct tree_exporter *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return ERR_NOMEM;
    buf_init(&t->record, RECORD_BYTES_MAX, options->account);
    enum err err = tree_window_init(&t->window, root, options);
    if (err != ERR_OK) {
        tree_exporter_free(t);
        return err;
    }
    *ret_exporter = t;
    return ERR_OK;
}

void tree_exporter_free(struct tree_exporter *exporter)
{
    if (exporter == NULL)
        return;
    tree_window_release(&exporter->window);
    block_ref_unref(exporter->block);
    buf_release(&exporter->record);
    free(exporter);
}

enum err tree_exporter_next_want(struct tree_exporter *exporter, struct cid *ret_cid)
{
    return tree_window_next_want(&exporter->window, ret_cid);
}

enum err tree_exporter_put(struct tree_exporter *exporter, const struct cid *cid, struct block_ref *block)
{
    return tree_window_put(&exporter->window, cid, block);
}

static enum err write_record(struct tree_exporter *t, enum tree_kind kind, const struct tree_entry *e, struct span body)
{
    bool named = kind == TREE_ENTER || kind == TREE_FILE || kind == TREE_SYMLINK;
    struct span name = named ? tree_entry_name(e) : (struct span){0};
    buf_clear(&t->record);
    t->record_at = 0;
    enum err err = tree_stream_append(&t->record, kind, name, body, named ? &e->meta : NULL);
    return err == ERR_OK ? ERR_OK : tree_window_fail(&t->window, err, "an entry cannot be written into the stream");
}

/* Continues a file: with what is left of a block, with the next one, or with its end. */
static enum err next_of_file(struct tree_exporter *t, struct tree_entry *e)
{
    if (!e->begun) {
        e->begun = true;
        return write_record(t, TREE_FILE, e, (struct span){0});
    }
    if (t->data.len == 0) {
        block_ref_unref(t->block);
        t->block = NULL;
        enum err err = exporter_next(e->file, &t->block, &t->data);
        if (err == ERR_AGAIN)
            return err;
        if (err == ERR_CLOSED) {
            err = write_record(t, TREE_END, e, (struct span){0});
            if (err == ERR_OK)
                tree_window_remove(&t->window, e);
            return err;
        }
        if (err != ERR_OK)
            return tree_window_fail(&t->window, err, exporter_why(e->file));
    }
    t->data_in_record = MIN(t->data.len, (size_t)TREE_DATA_MAX);
    buf_clear(&t->record);
    t->record_at = 0;
    enum err err = tree_stream_append_data_head(&t->record, t->data_in_record);
    return err == ERR_OK ? ERR_OK : tree_window_fail(&t->window, err, "not enough memory");
}

static enum err next_of_folder(struct tree_exporter *t, struct tree_entry *e)
{
    if (!e->listed)
        return ERR_AGAIN;
    enum err err = write_record(t, TREE_LEAVE, e, (struct span){0});
    if (err == ERR_OK)
        tree_window_remove(&t->window, e);
    return err;
}

static enum err next_symlink(struct tree_exporter *t, struct tree_entry *e)
{
    struct node_info info;
    enum err err = node_info_of(&e->cid, block_ref_span(e->target), &info, NULL);
    if (err == ERR_OK)
        err = write_record(t, TREE_SYMLINK, e, info.unixfs.data);
    if (err == ERR_OK)
        tree_window_remove(&t->window, e);
    return err;
}

/* Makes the next record. ERR_CLOSED: that was the last one. */
static enum err next_record(struct tree_exporter *t)
{
    enum err err = tree_window_fill(&t->window);
    struct tree_entry *e = t->window.first;
    if (err != ERR_OK)
        return err;
    if (e == NULL)
        return ERR_CLOSED;
    switch (e->state) {
    case ENTRY_WANTED:
    case ENTRY_ASKED:
        return ERR_AGAIN;
    case ENTRY_ENTER:
        err = write_record(t, TREE_ENTER, e, (struct span){0});
        if (err == ERR_OK)
            tree_window_remove(&t->window, e);
        return err;
    case ENTRY_FOLDER:
        return next_of_folder(t, e);
    case ENTRY_FILE:
        return next_of_file(t, e);
    case ENTRY_SYMLINK:
        return next_symlink(t, e);
    }
    return ERR_INTERNAL;
}

/* Hands out a part of the record or of its data: appended, or passed over. */
static enum err hand_out(struct tree_exporter *t, struct buf *out, struct span part, bool skipping)
{
    enum err err = skipping ? ERR_OK : buf_append_span(out, part);
    if (err == ERR_OK)
        t->produced += part.len;
    return err;
}

/* Takes one step: some bytes of what is at hand, or the next record. */
static enum err step(struct tree_exporter *t, struct buf *out, size_t most)
{
    uint64_t skip = t->window.options.skip;
    bool skipping = t->produced < skip;
    if (skipping)
        most = (size_t)MIN(skip - t->produced, SIZE_MAX);
    struct span record = span_first(span_skip(buf_span(&t->record), t->record_at), most);
    struct span data = span_first(t->data, MIN(t->data_in_record, most));
    if (record.len == 0 && data.len == 0)
        return next_record(t);
    enum err err = hand_out(t, out, record.len > 0 ? record : data, skipping);
    if (err != ERR_OK)
        return err;
    if (record.len > 0) {
        t->record_at += record.len;
    } else {
        t->data = span_skip(t->data, data.len);
        t->data_in_record -= data.len;
    }
    return ERR_OK;
}

enum err tree_exporter_read(struct tree_exporter *exporter, struct buf *out, size_t length_bytes)
{
    size_t end = out->len + length_bytes;
    enum err err = exporter->window.failure;
    while (err == ERR_OK && out->len < end)
        err = step(exporter, out, end - out->len);
    return err == ERR_CLOSED ? ERR_OK : err;
}

bool tree_exporter_take_file(struct tree_exporter *exporter, uint64_t offset, struct exporter **ret_file,
                             struct block_ref **ret_block, struct span *ret_bytes)
{
    struct tree_exporter *t = exporter;
    struct tree_entry *e = t->window.first;
    bool alone = e != NULL && e == t->window.last && e->state == ENTRY_FILE;
    if (!alone || exporter_position(e->file) - t->data.len != offset)
        return false;
    *ret_file = e->file;
    e->file = NULL;
    *ret_block = t->block;
    t->block = NULL;
    *ret_bytes = t->data;
    t->data = (struct span){0};
    return true;
}

uint64_t tree_exporter_position(const struct tree_exporter *exporter)
{
    return MAX(exporter->produced, exporter->window.options.skip);
}

void tree_exporter_retry(struct tree_exporter *exporter, const struct cid *cid)
{
    tree_window_retry(&exporter->window, cid);
}

bool tree_exporter_waits_for(const struct tree_exporter *exporter, const struct cid *cid)
{
    return tree_window_waits_for(&exporter->window, cid);
}

const char *tree_exporter_why(const struct tree_exporter *exporter)
{
    return exporter->window.why;
}
