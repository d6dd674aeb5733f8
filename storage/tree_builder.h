/* SPDX-License-Identifier: MIT */
/*
 * From a depth-first walk of a tree (enter folder, file bytes, leave folder ...) to its blocks: one file builder, and a
 * stack of directory builders as deep as the walk.
 *
 * The events are those of wire/tree_stream.h, whose decoder has checked names and nesting. Memory: the open folders'
 * entries and one file's levels, charged to the options' account. No I/O; one thread at a time.
 */
#ifndef HEARTH_STORAGE_TREE_BUILDER_H
#define HEARTH_STORAGE_TREE_BUILDER_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/importer.h"
#include "wire/tree_stream.h"

struct tree_builder;

/* A finished entry. The path is relative to the tree and lives until the next call. */
struct tree_added {
    struct span path;
    struct import_node node;
    bool is_directory;
};

/*
 * wrap: all top entries go into one folder, which is the root. Without it the last top entry is the root. Options must
 * have passed import_options_check. ERR_NOMEM.
 */
enum err tree_builder_new(const struct import_options *options, const struct import_sink *sink, bool wrap,
                          struct tree_builder **ret_builder) MUST_CHECK;
void tree_builder_free(struct tree_builder *builder);

/*
 * Takes one event. *ret_added is written and *ret_has_added true when it finished an entry (END, LEAVE, SYMLINK). After
 * an error only tree_builder_free is allowed.
 */
enum err tree_builder_event(struct tree_builder *builder, const struct tree_event *event, struct tree_added *ret_added,
                            bool *ret_has_added) MUST_CHECK;

/* True in a file, between two of its chunks: where tree_builder_add_leaf takes one. */
bool tree_builder_takes_leaf(const struct tree_builder *builder);

/* The next bytes of the open file, as file_builder_add_leaf. */
enum err tree_builder_add_leaf(struct tree_builder *builder, struct import_leaf *leaf) MUST_CHECK;

/* Ends the tree. ERR_INVALID: something is still open, or nothing was added and there is no wrap. */
enum err tree_builder_finish(struct tree_builder *builder, struct import_node *ret_root) MUST_CHECK;

#endif
