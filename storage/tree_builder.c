/* SPDX-License-Identifier: MIT */
#include "storage/tree_builder.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/directory_builder.h"

/* A folder that is open. */
struct folder {
    struct directory_builder *entries;
    size_t path_len; /* of the path without this folder's name */
};

struct tree_builder {
    struct import_options options;
    struct import_sink sink;
    struct file_builder *file;
    struct directory_builder *top; /* NULL without wrap */
    struct buf path;               /* of the innermost open folder or file */
    size_t name_at;                /* where the path's last component begins */
    struct tree_meta file_meta;
    bool in_file;
    bool has_last;
    struct import_node last; /* the last top entry */
    size_t depth;
    struct folder folders[TREE_DEPTH_MAX];
};

enum err tree_builder_new(const struct import_options *options, const struct import_sink *sink, bool wrap,
                          struct tree_builder **ret_builder)
{
    struct tree_builder *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return ERR_NOMEM;
    b->options = *options;
    b->sink = *sink;
    buf_init(&b->path, (size_t)(TREE_DEPTH_MAX + 1) * (TREE_NAME_MAX + 1), options->account);
    enum err err = file_builder_new(options, sink, &b->file);
    if (err == ERR_OK && wrap)
        err = directory_builder_new(options, sink, NULL, &b->top);
    if (err != ERR_OK) {
        tree_builder_free(b);
        return err;
    }
    *ret_builder = b;
    return ERR_OK;
}

void tree_builder_free(struct tree_builder *builder)
{
    if (builder == NULL)
        return;
    for (size_t i = 0; i < builder->depth; i++)
        directory_builder_free(builder->folders[i].entries);
    directory_builder_free(builder->top);
    file_builder_free(builder->file);
    buf_release(&builder->path);
    free(builder);
}

static enum err push_name(struct tree_builder *b, struct span name)
{
    enum err err = b->path.len > 0 ? buf_append_byte(&b->path, '/') : ERR_OK;
    b->name_at = b->path.len;
    return err == ERR_OK ? buf_append_span(&b->path, name) : err;
}

/* Puts the finished node that the path names into the folder around it, and reports it. */
static enum err add_entry(struct tree_builder *b, const struct import_node *node, bool is_directory,
                          struct tree_added *ret_added)
{
    struct directory_builder *parent = b->depth > 0 ? b->folders[b->depth - 1].entries : b->top;
    struct span name = span_skip(buf_span(&b->path), b->name_at);
    if (parent != NULL) {
        enum err err = directory_builder_add(parent, name, node);
        if (err != ERR_OK)
            return err;
    }
    if (b->depth == 0) {
        b->last = *node;
        b->has_last = true;
    }
    *ret_added = (struct tree_added){.path = buf_span(&b->path), .node = *node, .is_directory = is_directory};
    return ERR_OK;
}

/* Takes the last name off again; the bytes stay until the path grows, so that the report may point at them. */
static void pop_name(struct tree_builder *b, size_t path_len)
{
    b->path.len = path_len;
}

static enum err enter_folder(struct tree_builder *b, const struct tree_event *event)
{
    if (b->depth == TREE_DEPTH_MAX)
        return ERR_TOO_LARGE;
    struct folder folder = {.path_len = b->path.len};
    enum err err = directory_builder_new(&b->options, &b->sink, &event->meta, &folder.entries);
    if (err != ERR_OK)
        return err;
    b->folders[b->depth++] = folder;
    return push_name(b, event->name);
}

static enum err leave_folder(struct tree_builder *b, struct tree_added *ret_added)
{
    if (b->depth == 0)
        return ERR_INVALID;
    struct folder *folder = &b->folders[b->depth - 1];
    struct import_node node;
    enum err err = directory_builder_finish(folder->entries, &node);
    if (err != ERR_OK)
        return err;
    directory_builder_free(folder->entries);
    size_t path_len = folder->path_len;
    b->depth--;
    b->name_at = path_len == 0 ? 0 : path_len + 1;
    err = add_entry(b, &node, true, ret_added);
    pop_name(b, path_len);
    return err;
}

static enum err begin_file(struct tree_builder *b, const struct tree_event *event)
{
    b->file_meta = event->meta;
    b->in_file = true;
    return push_name(b, event->name);
}

static const struct tree_meta *meta_or_null(const struct tree_meta *meta)
{
    return meta->mode != 0 || meta->has_mtime ? meta : NULL;
}

static enum err end_file(struct tree_builder *b, struct tree_added *ret_added)
{
    struct import_node node;
    b->in_file = false;
    enum err err = file_builder_finish(b->file, meta_or_null(&b->file_meta), &node);
    if (err == ERR_OK)
        err = add_entry(b, &node, false, ret_added);
    pop_name(b, b->name_at == 0 ? 0 : b->name_at - 1);
    return err;
}

static enum err add_symlink(struct tree_builder *b, const struct tree_event *event, struct tree_added *ret_added)
{
    struct import_node node;
    enum err err = push_name(b, event->name);
    if (err == ERR_OK)
        err = import_symlink(&b->options, &b->sink, event->body, &event->meta, &node);
    if (err == ERR_OK)
        err = add_entry(b, &node, false, ret_added);
    pop_name(b, b->name_at == 0 ? 0 : b->name_at - 1);
    return err;
}

enum err tree_builder_event(struct tree_builder *builder, const struct tree_event *event, struct tree_added *ret_added,
                            bool *ret_has_added)
{
    bool belongs_to_file = event->kind == TREE_DATA || event->kind == TREE_END;
    if (belongs_to_file != builder->in_file)
        return ERR_INVALID;
    enum err err = ERR_INVALID;
    bool adds = false;
    switch (event->kind) {
    case TREE_ENTER:
        err = enter_folder(builder, event);
        break;
    case TREE_LEAVE:
        err = leave_folder(builder, ret_added);
        adds = true;
        break;
    case TREE_FILE:
        err = begin_file(builder, event);
        break;
    case TREE_DATA:
        err = file_builder_write(builder->file, event->body);
        break;
    case TREE_END:
        err = end_file(builder, ret_added);
        adds = true;
        break;
    case TREE_SYMLINK:
        err = add_symlink(builder, event, ret_added);
        adds = true;
        break;
    }
    *ret_has_added = adds && err == ERR_OK;
    return err;
}

bool tree_builder_takes_leaf(const struct tree_builder *builder)
{
    return builder->in_file && file_builder_between_chunks(builder->file);
}

enum err tree_builder_add_leaf(struct tree_builder *builder, struct import_leaf *leaf)
{
    assert(builder->in_file);
    return file_builder_add_leaf(builder->file, leaf);
}

enum err tree_builder_finish(struct tree_builder *builder, struct import_node *ret_root)
{
    if (builder->depth > 0 || builder->in_file)
        return ERR_INVALID;
    if (builder->top != NULL)
        return directory_builder_finish(builder->top, ret_root);
    if (!builder->has_last)
        return ERR_INVALID;
    *ret_root = builder->last;
    return ERR_OK;
}
