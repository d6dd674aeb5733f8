/* SPDX-License-Identifier: MIT */
#include "actors/control/reader_source.h"

#include "storage/car_exporter.h"
#include "storage/dag_walk.h"
#include "storage/dir_lister.h"
#include "storage/exporter.h"
#include "storage/tree_exporter.h"

/* The functions of one engine without its type. */
#define SOURCE(name, engine)                                                                                           \
    static enum err source_##name##_next_want(void *e, struct cid *ret_cid)                                            \
    {                                                                                                                  \
        return engine##_next_want(e, ret_cid);                                                                         \
    }                                                                                                                  \
    static enum err source_##name##_put(void *e, const struct cid *cid, struct block_ref *block)                       \
    {                                                                                                                  \
        return engine##_put(e, cid, block);                                                                            \
    }                                                                                                                  \
    static void source_##name##_retry(void *e, const struct cid *cid)                                                  \
    {                                                                                                                  \
        engine##_retry(e, cid);                                                                                        \
    }                                                                                                                  \
    static bool source_##name##_waits_for(const void *e, const struct cid *cid)                                        \
    {                                                                                                                  \
        return engine##_waits_for(e, cid);                                                                             \
    }                                                                                                                  \
    static const char *source_##name##_why(const void *e)                                                              \
    {                                                                                                                  \
        return engine##_why(e);                                                                                        \
    }                                                                                                                  \
    static void source_##name##_free(void *e)                                                                          \
    {                                                                                                                  \
        engine##_free(e);                                                                                              \
    }                                                                                                                  \
    const struct reader_source_class reader_source_##name = {                                                          \
        .next_want = source_##name##_next_want,                                                                        \
        .put = source_##name##_put,                                                                                    \
        .retry = source_##name##_retry,                                                                                \
        .waits_for = source_##name##_waits_for,                                                                        \
        .why = source_##name##_why,                                                                                    \
        .free = source_##name##_free,                                                                                  \
    };

SOURCE(exporter, exporter)
SOURCE(tree, tree_exporter)
SOURCE(car, car_exporter)
SOURCE(walk, dag_walk)
SOURCE(lister, dir_lister)

static enum err open_exporter(const struct cid *root, const struct reader_options *o, struct exporter **ret_engine)
{
    struct exporter_options options = {
        .offset = o->offset,
        .length = o->length,
        .window_blocks = o->window_blocks,
        .window_bytes = o->window_bytes,
        .account = o->account,
        .shared = o->shared,
    };
    return exporter_new(root, &options, ret_engine);
}

static enum err open_tree(const struct cid *root, const struct reader_options *o, struct tree_exporter **ret_engine)
{
    char name[CID_TEXT_MAX];
    cid_text(root, name);
    struct tree_exporter_options options = {
        .name = span_text(name),
        .skip = o->offset,
        .window_blocks = o->window_blocks,
        .window_bytes = o->window_bytes,
        .account = o->account,
        .shared = o->shared,
    };
    return tree_exporter_new(root, &options, ret_engine);
}

static enum err open_car(const struct cid *root, const struct reader_options *o, struct car_exporter **ret_engine)
{
    struct car_exporter_options options = {
        .skip = o->offset,
        .window_blocks = o->window_blocks,
        .window_bytes = o->window_bytes,
        .account = o->account,
        .shared = o->shared,
    };
    return car_exporter_new(root, &options, ret_engine);
}

static enum err open_walk(const struct cid *root, const struct reader_options *o, struct dag_walk **ret_engine)
{
    struct dag_walk_options options = {
        .window_blocks = o->window_blocks,
        .window_bytes = o->window_bytes,
        .depth_max = DAG_WALK_DEPTH_ALL,
        .fetch_leaves = true,
        .forget_leaves = true,
        .account = o->account,
        .shared = o->shared,
    };
    return dag_walk_new(root, &options, ret_engine);
}

static enum err open_lister(const struct cid *root, const struct reader_options *o, struct dir_lister **ret_engine)
{
    return dir_lister_new(root, o->window_blocks, o->window_bytes, o->account, o->shared, ret_engine);
}

static enum err made(const struct reader_source_class *class, void *engine, enum err err, struct reader_source *ret)
{
    if (err == ERR_OK)
        *ret = (struct reader_source){.class = class, .engine = engine};
    return err;
}

enum err reader_source_open(const struct cid *root, const struct reader_options *options,
                            struct reader_source *ret_source)
{
    struct exporter *exporter = NULL;
    struct tree_exporter *tree = NULL;
    struct car_exporter *car = NULL;
    struct dag_walk *walk = NULL;
    struct dir_lister *lister = NULL;
    enum err err;
    switch (options->mode) {
    case READER_FILE:
        err = open_exporter(root, options, &exporter);
        return made(&reader_source_exporter, exporter, err, ret_source);
    case READER_TREE:
        err = open_tree(root, options, &tree);
        return made(&reader_source_tree, tree, err, ret_source);
    case READER_CAR:
        err = open_car(root, options, &car);
        return made(&reader_source_car, car, err, ret_source);
    case READER_WALK:
        err = open_walk(root, options, &walk);
        return made(&reader_source_walk, walk, err, ret_source);
    case READER_LIST:
        err = open_lister(root, options, &lister);
        return made(&reader_source_lister, lister, err, ret_source);
    case READER_RESOLVE:
    case READER_STAT:
        break;
    }
    return ERR_INTERNAL;
}
