/* SPDX-License-Identifier: MIT */
#include "actors/control/reader.h"

#include <stdlib.h>

#include "actors/control/entry_ring.h"
#include "storage/dag_walk.h"
#include "storage/dir_lister.h"
#include "storage/exporter.h"
#include "storage/node_info.h"
#include "storage/resolver.h"
#include "storage/tree_exporter.h"
#include "wire/tree_stream.h"

enum phase {
    PHASE_PATH, /* the resolver works */
    PHASE_ROOT, /* waits for the block that the path names */
    PHASE_OPEN,
};

struct reader {
    struct reader_options options;
    enum phase phase;
    bool root_asked;
    enum err failure;
    const char *why;
    struct resolver *resolver;
    struct exporter *exporter;
    struct dir_lister *lister;
    bool list_ended;
    struct reader_info info;
    struct buf target;
    struct block_ref *held; /* bytes of the exporter that reader_read has not used up */
    struct span held_bytes;
    struct tree_exporter *tree;
    struct dag_walk *walk;
    struct entry_ring ahead;
};

static enum err fail(struct reader *r, enum err err, const char *why)
{
    if (r->failure == ERR_OK) {
        r->failure = err;
        r->why = why;
    }
    return r->failure;
}

static enum err open_exporter(struct reader *r, struct block_ref *root)
{
    if (r->info.kind == READER_KIND_DIRECTORY)
        return fail(r, ERR_INVALID, "this is a directory, not a file");
    if (r->info.kind == READER_KIND_SYMLINK)
        return fail(r, ERR_INVALID, "this is a symlink, not a file");
    struct exporter_options options = {
        .offset = r->options.offset,
        .length = r->options.length,
        .window_blocks = r->options.window_blocks,
        .window_bytes = r->options.window_bytes,
        .account = r->options.account,
        .shared = r->options.shared,
    };
    enum err err = exporter_new(&r->info.cid, &options, &r->exporter);
    if (err == ERR_OK)
        err = exporter_put(r->exporter, &r->info.cid, root);
    return err == ERR_OK ? ERR_OK : fail(r, err, r->exporter == NULL ? "not enough memory" : exporter_why(r->exporter));
}

static enum err open_lister(struct reader *r, struct block_ref *root)
{
    if (r->info.kind != READER_KIND_DIRECTORY) {
        r->list_ended = true;
        return ERR_OK;
    }
    enum err err = dir_lister_new(&r->info.cid, r->options.window_blocks, r->options.window_bytes, r->options.account,
                                  r->options.shared, &r->lister);
    if (err == ERR_OK)
        err = dir_lister_put(r->lister, &r->info.cid, root);
    return err == ERR_OK ? ERR_OK : fail(r, err, r->lister == NULL ? "not enough memory" : dir_lister_why(r->lister));
}

static enum err open_tree(struct reader *r, struct block_ref *root)
{
    char name[CID_TEXT_MAX];
    cid_text(&r->info.cid, name);
    struct tree_exporter_options options = {
        .name = span_text(name),
        .skip = r->options.offset,
        .window_blocks = r->options.window_blocks,
        .window_bytes = r->options.window_bytes,
        .account = r->options.account,
        .shared = r->options.shared,
    };
    enum err err = tree_exporter_new(&r->info.cid, &options, &r->tree);
    if (err == ERR_OK)
        err = tree_exporter_put(r->tree, &r->info.cid, root);
    return err == ERR_OK ? ERR_OK : fail(r, err, r->tree == NULL ? "not enough memory" : tree_exporter_why(r->tree));
}

/* Any dag-pb may be walked, of whatever kind. */
static enum err open_walk(struct reader *r, struct block_ref *root)
{
    struct dag_walk_options options = {
        .window_blocks = r->options.window_blocks,
        .window_bytes = r->options.window_bytes,
        .depth_max = DAG_WALK_DEPTH_ALL,
        .fetch_leaves = true,
        .forget_leaves = true,
        .account = r->options.account,
        .shared = r->options.shared,
    };
    r->phase = PHASE_OPEN;
    enum err err = dag_walk_new(&r->info.cid, &options, &r->walk);
    if (err == ERR_OK)
        err = dag_walk_put(r->walk, &r->info.cid, root);
    return err == ERR_OK ? ERR_OK : fail(r, err, r->walk == NULL ? "not enough memory" : dag_walk_why(r->walk));
}

/* The block that the path names is here. */
static enum err open_root(struct reader *r, struct block_ref *root)
{
    struct node_info node;
    const char *why = "";
    if (r->options.mode == READER_WALK)
        return open_walk(r, root);
    enum err err = node_info_of(&r->info.cid, block_ref_span(root), &node, &why);
    if (err != ERR_OK)
        return fail(r, err, why);
    r->info.kind = reader_kind_of(node.kind);
    r->info.size = node.size;
    r->info.mode = node.unixfs.has_mode ? node.unixfs.mode & UNIXFS_MODE_MASK : 0;
    r->info.has_mtime = node.unixfs.has_mtime;
    r->info.mtime_seconds = node.unixfs.mtime_seconds;
    r->info.mtime_nanos = node.unixfs.mtime_nanos;
    if (node.kind == NODE_SYMLINK) {
        err = buf_append_span(&r->target, node.unixfs.data);
        if (err != ERR_OK)
            return fail(r, err, "the symlink's target is too long");
        r->info.symlink_target = buf_span(&r->target);
    }
    r->phase = PHASE_OPEN;
    if (r->options.mode == READER_FILE)
        return open_exporter(r, root);
    if (r->options.mode == READER_TREE)
        return open_tree(r, root);
    return r->options.mode == READER_LIST ? open_lister(r, root) : ERR_OK;
}

/* Goes on from the path to the root when the resolver has ended. */
static void advance_path(struct reader *r)
{
    if (r->phase != PHASE_PATH)
        return;
    if (resolver_error(r->resolver) != ERR_OK) {
        (void)fail(r, resolver_error(r->resolver), resolver_why(r->resolver));
        return;
    }
    if (!resolver_done(r->resolver, &r->info.cid))
        return;
    r->phase = r->options.mode == READER_RESOLVE ? PHASE_OPEN : PHASE_ROOT;
    const struct multihash *hash = &r->info.cid.hash;
    if (r->phase != PHASE_ROOT || hash->code != MULTIHASH_IDENTITY)
        return;
    struct block_ref *inlined = block_ref_copy(span_of(hash->digest, hash->len), r->options.account);
    if (inlined == NULL)
        (void)fail(r, ERR_NOMEM, "not enough memory");
    else
        (void)open_root(r, inlined);
    block_ref_unref(inlined);
}

enum err reader_new(struct span text, const struct reader_options *options, struct reader **ret_reader,
                    const char **ret_why)
{
    struct reader *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return ERR_NOMEM;
    r->options = *options;
    r->options.window_blocks = options->window_blocks == 0 ? READER_WINDOW_BLOCKS : options->window_blocks;
    r->options.window_bytes = options->window_bytes == 0 ? READER_WINDOW_BYTES : options->window_bytes;
    r->why = "";
    buf_init(&r->target, TREE_TARGET_MAX, options->account);
    entry_ring_init(&r->ahead, options->account);
    enum err err = resolver_new(text, options->account, &r->resolver, ret_why);
    if (err != ERR_OK) {
        reader_free(r);
        return err;
    }
    advance_path(r);
    *ret_reader = r;
    return ERR_OK;
}

void reader_free(struct reader *reader)
{
    if (reader == NULL)
        return;
    resolver_free(reader->resolver);
    exporter_free(reader->exporter);
    tree_exporter_free(reader->tree);
    dag_walk_free(reader->walk);
    dir_lister_free(reader->lister);
    block_ref_unref(reader->held);
    buf_release(&reader->target);
    entry_ring_release(&reader->ahead);
    free(reader);
}

/* Takes entries from the lister while there is room. */
static void fill_ahead(struct reader *r)
{
    while (r->failure == ERR_OK && r->lister != NULL && !r->list_ended && r->ahead.count < READER_ENTRIES_AHEAD) {
        struct dir_entry entry;
        enum err err = dir_lister_next(r->lister, &entry);
        if (err == ERR_AGAIN)
            return;
        if (err == ERR_CLOSED)
            r->list_ended = true;
        else if (err != ERR_OK)
            (void)fail(r, err, dir_lister_why(r->lister));
        else if (entry_ring_push(&r->ahead, &entry, r->options.kinds) != ERR_OK)
            (void)fail(r, ERR_NOMEM, "not enough memory for the folder's names");
    }
}

static enum err next_want(struct reader *r, struct cid *ret_cid)
{
    if (r->phase == PHASE_PATH)
        return resolver_next_want(r->resolver, ret_cid);
    if (r->phase == PHASE_ROOT) {
        if (r->root_asked)
            return ERR_AGAIN;
        r->root_asked = true;
        *ret_cid = r->info.cid;
        return ERR_OK;
    }
    if (r->exporter != NULL)
        return exporter_next_want(r->exporter, ret_cid);
    if (r->tree != NULL)
        return tree_exporter_next_want(r->tree, ret_cid);
    if (r->walk != NULL)
        return dag_walk_next_want(r->walk, ret_cid);
    fill_ahead(r);
    if (r->lister != NULL && dir_lister_next_want(r->lister, ret_cid) == ERR_OK)
        return ERR_OK;
    return entry_ring_next_want(&r->ahead, r->lister, ret_cid);
}

/* Nobody is asked for a block that could not be read once it is here. */
enum err reader_next_want(struct reader *reader, struct cid *ret_cid)
{
    struct cid cid;
    if (reader->failure != ERR_OK)
        return ERR_AGAIN;
    enum err err = next_want(reader, &cid);
    if (err != ERR_OK)
        return err;
    if (reader->phase != PHASE_OPEN && cid.codec != CODEC_RAW && cid.codec != CODEC_DAG_PB) {
        (void)fail(reader, ERR_UNSUPPORTED, "unknown codec: only raw and dag-pb blocks are files and folders");
        return ERR_AGAIN;
    }
    *ret_cid = cid;
    return ERR_OK;
}

static void put_content(struct reader *r, const struct cid *cid, struct block_ref *block)
{
    if (r->exporter != NULL) {
        enum err err = exporter_put(r->exporter, cid, block);
        if (err != ERR_OK)
            (void)fail(r, err, exporter_why(r->exporter));
        return;
    }
    if (r->tree != NULL) {
        enum err err = tree_exporter_put(r->tree, cid, block);
        if (err != ERR_OK)
            (void)fail(r, err, tree_exporter_why(r->tree));
        return;
    }
    if (r->walk != NULL) {
        enum err err = dag_walk_put(r->walk, cid, block);
        if (err != ERR_OK)
            (void)fail(r, err, dag_walk_why(r->walk));
        return;
    }
    entry_ring_put(&r->ahead, cid, block);
    if (r->lister == NULL)
        return;
    enum err err = dir_lister_put(r->lister, cid, block);
    if (err != ERR_OK)
        (void)fail(r, err, dir_lister_why(r->lister));
}

void reader_put_block(struct reader *reader, const struct cid *cid, struct block_ref *block)
{
    struct reader *r = reader;
    if (r->failure != ERR_OK)
        return;
    switch (r->phase) {
    case PHASE_PATH:
        if (resolver_put(r->resolver, cid, block) != ERR_OK)
            (void)fail(r, resolver_error(r->resolver), resolver_why(r->resolver));
        else
            advance_path(r);
        return;
    case PHASE_ROOT:
        if (r->root_asked && cid_same_block(cid, &r->info.cid))
            (void)open_root(r, block);
        return;
    case PHASE_OPEN:
        put_content(r, cid, block);
        return;
    }
}

static bool waits_for(const struct reader *r, const struct cid *cid)
{
    if (r->phase == PHASE_PATH)
        return resolver_waits_for(r->resolver, cid);
    if (r->phase == PHASE_ROOT)
        return r->root_asked && cid_same_block(cid, &r->info.cid);
    if (r->exporter != NULL)
        return exporter_waits_for(r->exporter, cid);
    if (r->tree != NULL)
        return tree_exporter_waits_for(r->tree, cid);
    if (r->walk != NULL)
        return dag_walk_waits_for(r->walk, cid);
    return r->lister != NULL && dir_lister_waits_for(r->lister, cid);
}

static const char *why_no_block(enum err err)
{
    if (err == ERR_NOT_FOUND)
        return "a block is neither here nor with a known peer";
    if (err == ERR_TIMEOUT)
        return "a block did not come in time";
    if (err == ERR_BUSY || err == ERR_NOMEM || err == ERR_AGAIN)
        return "too much is fetched at once: try again";
    if (err == ERR_CORRUPT || err == ERR_MISMATCH)
        return "a stored block is damaged";
    return err == ERR_UNAVAILABLE ? "the part that fetches blocks is restarting" : "a block could not be had";
}

void reader_fail_block(struct reader *reader, const struct cid *cid, enum err err)
{
    if (reader->failure != ERR_OK)
        return;
    entry_ring_put(&reader->ahead, cid, NULL);
    if (waits_for(reader, cid))
        (void)fail(reader, err, why_no_block(err));
}

void reader_retry_block(struct reader *reader, const struct cid *cid)
{
    struct reader *r = reader;
    if (r->failure != ERR_OK)
        return;
    if (r->phase == PHASE_PATH)
        resolver_retry(r->resolver, cid);
    else if (r->phase == PHASE_ROOT && cid_same_block(cid, &r->info.cid))
        r->root_asked = false;
    if (r->exporter != NULL)
        exporter_retry(r->exporter, cid);
    if (r->tree != NULL)
        tree_exporter_retry(r->tree, cid);
    if (r->walk != NULL)
        dag_walk_retry(r->walk, cid);
    if (r->lister != NULL)
        dir_lister_retry(r->lister, cid);
    entry_ring_retry(&r->ahead, cid);
}

enum reader_state reader_state(const struct reader *reader)
{
    if (reader->failure != ERR_OK)
        return READER_FAILED;
    return reader->phase == PHASE_OPEN ? READER_OPEN : READER_WAITING;
}

const struct reader_info *reader_info(const struct reader *reader)
{
    return &reader->info;
}

uint64_t reader_position(const struct reader *reader)
{
    if (reader->tree != NULL)
        return tree_exporter_position(reader->tree);
    return reader->exporter == NULL ? reader->options.offset
                                    : exporter_position(reader->exporter) - reader->held_bytes.len;
}

enum err reader_next_bytes(struct reader *reader, struct block_ref **ret_block, struct span *ret_bytes)
{
    struct reader *r = reader;
    if (r->failure != ERR_OK)
        return r->failure;
    if (r->exporter == NULL)
        return ERR_AGAIN;
    if (r->held != NULL) {
        *ret_block = r->held;
        *ret_bytes = r->held_bytes;
        r->held = NULL;
        r->held_bytes = (struct span){0};
        return ERR_OK;
    }
    enum err err = exporter_next(r->exporter, ret_block, ret_bytes);
    if (err != ERR_OK && err != ERR_AGAIN && err != ERR_CLOSED)
        return fail(r, err, exporter_why(r->exporter));
    return err;
}

static enum err read_tree(struct reader *r, struct buf *out, size_t length_bytes)
{
    if (r->failure != ERR_OK)
        return r->failure;
    enum err err = tree_exporter_read(r->tree, out, length_bytes);
    return err == ERR_OK || err == ERR_AGAIN ? err : fail(r, err, tree_exporter_why(r->tree));
}

enum err reader_read(struct reader *reader, struct buf *out, size_t length_bytes)
{
    struct reader *r = reader;
    if (r->tree != NULL)
        return read_tree(r, out, length_bytes);
    while (length_bytes > 0) {
        struct block_ref *block;
        struct span bytes;
        enum err err = reader_next_bytes(r, &block, &bytes);
        if (err != ERR_OK)
            return err == ERR_CLOSED ? ERR_OK : err;
        struct span part = span_first(bytes, length_bytes);
        err = buf_append_span(out, part);
        if (err != ERR_OK)
            part.len = 0;
        length_bytes -= part.len;
        r->held_bytes = span_skip(bytes, part.len);
        if (r->held_bytes.len > 0)
            r->held = block;
        else
            block_ref_unref(block);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

enum err reader_next_entry(struct reader *reader, struct reader_entry *ret_entry)
{
    struct reader *r = reader;
    fill_ahead(r);
    if (r->failure != ERR_OK)
        return r->failure;
    if (r->ahead.count == 0)
        return r->list_ended ? ERR_CLOSED : ERR_AGAIN;
    return entry_ring_pop(&r->ahead, ret_entry);
}

enum err reader_next_block(struct reader *reader, struct reader_block *ret_block)
{
    struct reader *r = reader;
    struct dag_visit visit;
    if (r->failure != ERR_OK)
        return r->failure;
    if (r->walk == NULL)
        return ERR_AGAIN;
    enum err err = dag_walk_next(r->walk, &visit);
    if (err == ERR_AGAIN || err == ERR_CLOSED)
        return err;
    if (err != ERR_OK)
        return fail(r, err, dag_walk_why(r->walk));
    *ret_block = (struct reader_block){.cid = visit.cid, .size = block_ref_span(visit.block).len};
    block_ref_unref(visit.block);
    return ERR_OK;
}

enum err reader_error(const struct reader *reader)
{
    return reader->failure;
}

const char *reader_why(const struct reader *reader)
{
    return reader->failure == ERR_OK ? "" : reader->why;
}
