/* SPDX-License-Identifier: MIT */
/*
 * What reads the blocks at and below a path's end, seen from the blocks' side: the exporters, the walk and the lister differ in what they give,
 * not in how they are fed.
 *
 * Private to actors/control.
 */
#ifndef HEARTH_ACTORS_CONTROL_READER_SOURCE_H
#define HEARTH_ACTORS_CONTROL_READER_SOURCE_H

#include "actors/control/reader.h"

/* As the functions of storage/exporter.h. */
struct reader_source_class {
    enum err (*next_want)(void *engine, struct cid *ret_cid);
    enum err (*put)(void *engine, const struct cid *cid, struct block_ref *block);
    void (*retry)(void *engine, const struct cid *cid);
    bool (*waits_for)(const void *engine, const struct cid *cid);
    const char *(*why)(const void *engine);
    void (*free)(void *engine);
};

/* engine is NULL while there is none. */
struct reader_source {
    const struct reader_source_class *class;
    void *engine;
};

/* Makes the engine that the mode asks for: READER_FILE, READER_TREE, READER_CAR, READER_WALK or READER_LIST. ERR_NOMEM. */
enum err reader_source_open(const struct cid *root, const struct reader_options *options,
                            struct reader_source *ret_source) MUST_CHECK;

/* source.class tells what the engine is. */
extern const struct reader_source_class reader_source_exporter;
extern const struct reader_source_class reader_source_tree;
extern const struct reader_source_class reader_source_car;
extern const struct reader_source_class reader_source_walk;
extern const struct reader_source_class reader_source_lister;

#endif
