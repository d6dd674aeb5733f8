/* SPDX-License-Identifier: MIT */
#include "actors/control/reader.h"

#include <stdio.h>
#include <stdlib.h>

#include "actors/control/entry_ring.h"
#include "actors/control/reader_source.h"
#include "storage/car_exporter.h"
#include "storage/dag_walk.h"
#include "storage/dir_lister.h"
#include "storage/exporter.h"
#include "storage/node_info.h"
#include "storage/resolver.h"
#include "storage/tree_exporter.h"
#include "wire/dag_links.h"
#include "wire/tree_stream.h"

enum { WHY_SAID_BYTES = 256 };

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
    char said[WHY_SAID_BYTES]; /* what why points to, when others said it */
    struct resolver *resolver;
    struct reader_source source; /* PHASE_OPEN; none for a resolved path and for a file that is listed */
    bool list_ended;
    struct reader_info info;
    struct buf target;
    struct block_ref *held; /* the exporter's last block, as long as not all of it was read */
    struct span held_bytes; /* of it, that were not read yet */
    struct entry_ring ahead;
};

static const char no_memory[] = "not enough memory";

static enum err fail(struct reader *r, enum err err, const char *why)
{
    if (r->failure == ERR_OK) {
        r->failure = err;
        r->why = why;
    }
    return r->failure;
}

/* Makes the engine that reads on from the root, which is here. */
static enum err open_source(struct reader *r, struct block_ref *root)
{
    enum err err = reader_source_open(&r->info.cid, &r->options, &r->source);
    if (err != ERR_OK)
        return fail(r, err, no_memory);
    err = r->source.class->put(r->source.engine, &r->info.cid, root);
    return err == ERR_OK ? ERR_OK : fail(r, err, r->source.class->why(r->source.engine));
}

static enum err open_file(struct reader *r, struct block_ref *root)
{
    if (r->info.kind == READER_KIND_DIRECTORY)
        return fail(r, ERR_INVALID, "this is a directory, not a file");
    if (r->info.kind == READER_KIND_SYMLINK)
        return fail(r, ERR_INVALID, "this is a symlink, not a file");
    return open_source(r, root);
}

static enum err open_list(struct reader *r, struct block_ref *root)
{
    r->list_ended = r->info.kind != READER_KIND_DIRECTORY;
    return r->list_ended ? ERR_OK : open_source(r, root);
}

/* Any DAG may be walked, whatever its blocks say. */
static bool reads_any_dag(const struct reader *r)
{
    return r->options.mode == READER_WALK || r->options.mode == READER_CAR;
}

/* The block that the path names is here. */
static enum err open_root(struct reader *r, struct block_ref *root)
{
    struct node_info node;
    const char *why = "";
    if (reads_any_dag(r)) {
        r->phase = PHASE_OPEN;
        return open_source(r, root);
    }
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
        return open_file(r, root);
    if (r->options.mode == READER_TREE)
        return open_source(r, root);
    return r->options.mode == READER_LIST ? open_list(r, root) : ERR_OK;
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
    r->info.remainder = resolver_remainder(r->resolver);
    if (r->options.mode != READER_RESOLVE && r->info.remainder.len > 0) {
        (void)fail(r, ERR_UNSUPPORTED, "the path ends inside a block, at a value that is no file: see `dag get`");
        return;
    }
    r->phase = r->options.mode == READER_RESOLVE ? PHASE_OPEN : PHASE_ROOT;
    const struct multihash *hash = &r->info.cid.hash;
    if (r->phase != PHASE_ROOT || hash->code != MULTIHASH_IDENTITY)
        return;
    struct block_ref *inlined = block_ref_copy(span_of(hash->digest, hash->len), r->options.account);
    if (inlined == NULL)
        (void)fail(r, ERR_NOMEM, no_memory);
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
    if (reader->source.engine != NULL)
        reader->source.class->free(reader->source.engine);
    block_ref_unref(reader->held);
    buf_release(&reader->target);
    entry_ring_release(&reader->ahead);
    free(reader);
}

static struct dir_lister *lister_of(const struct reader *r)
{
    return r->source.class == &reader_source_lister ? r->source.engine : NULL;
}

/* Takes entries from the lister while there is room. */
static void fill_ahead(struct reader *r)
{
    struct dir_lister *lister = lister_of(r);
    while (r->failure == ERR_OK && lister != NULL && !r->list_ended && r->ahead.count < READER_ENTRIES_AHEAD) {
        struct dir_entry entry;
        enum err err = dir_lister_next(lister, &entry);
        if (err == ERR_AGAIN)
            return;
        if (err == ERR_CLOSED)
            r->list_ended = true;
        else if (err != ERR_OK)
            (void)fail(r, err, dir_lister_why(lister));
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
    fill_ahead(r);
    if (r->source.engine != NULL && r->source.class->next_want(r->source.engine, ret_cid) == ERR_OK)
        return ERR_OK;
    return entry_ring_next_want(&r->ahead, lister_of(r), ret_cid);
}

static bool can_read(const struct reader *r, const struct cid *cid)
{
    bool is_file = cid->codec == CODEC_RAW || cid->codec == CODEC_DAG_PB;
    return is_file || (dag_links_known(cid->codec) && (r->phase == PHASE_PATH || reads_any_dag(r)));
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
    if (reader->phase != PHASE_OPEN && !can_read(reader, &cid)) {
        (void)fail(reader, ERR_UNSUPPORTED,
                   dag_links_known(cid.codec) ? "only raw and dag-pb blocks are files and folders: see `dag get`"
                                              : "unknown codec: only raw, dag-pb, dag-cbor and dag-json can be read");
        return ERR_AGAIN;
    }
    *ret_cid = cid;
    return ERR_OK;
}

static void put_content(struct reader *r, const struct cid *cid, struct block_ref *block)
{
    entry_ring_put(&r->ahead, cid, block);
    if (r->source.engine == NULL)
        return;
    enum err err = r->source.class->put(r->source.engine, cid, block);
    if (err != ERR_OK)
        (void)fail(r, err, r->source.class->why(r->source.engine));
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
    return r->source.engine != NULL && r->source.class->waits_for(r->source.engine, cid);
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

void reader_fail_block(struct reader *reader, const struct cid *cid, enum err err, const char *said)
{
    if (reader->failure != ERR_OK)
        return;
    entry_ring_put(&reader->ahead, cid, NULL);
    if (!waits_for(reader, cid))
        return;
    (void)snprintf(reader->said, sizeof(reader->said), "%s", said);
    bool tells = (err == ERR_UNAVAILABLE || err == ERR_DENIED) && said[0] != '\0'; /* of a tier that is not there */
    (void)fail(reader, err, tells ? reader->said : why_no_block(err));
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
    if (r->source.engine != NULL)
        r->source.class->retry(r->source.engine, cid);
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
    if (reader->source.class == &reader_source_tree)
        return tree_exporter_position(reader->source.engine);
    if (reader->source.class == &reader_source_car)
        return car_exporter_position(reader->source.engine);
    if (reader->source.class == &reader_source_exporter)
        return exporter_position(reader->source.engine) - reader->held_bytes.len;
    return reader->options.offset;
}

bool reader_become_file(struct reader *reader, uint64_t offset)
{
    struct reader *r = reader;
    struct exporter *file = NULL;
    if (r->failure != ERR_OK || r->source.class != &reader_source_tree ||
        !tree_exporter_take_file(r->source.engine, offset, &file, &r->held, &r->held_bytes))
        return false;
    r->source.class->free(r->source.engine);
    r->source = (struct reader_source){.class = &reader_source_exporter, .engine = file};
    r->options.mode = READER_FILE;
    return true;
}

/* Takes the next block's bytes, unless some of the last one's are left. */
static enum err hold_bytes(struct reader *r)
{
    if (r->held_bytes.len > 0)
        return ERR_OK;
    enum err err = exporter_next(r->source.engine, &r->held, &r->held_bytes);
    if (err != ERR_OK && err != ERR_AGAIN && err != ERR_CLOSED)
        return fail(r, err, exporter_why(r->source.engine));
    return err;
}

enum err reader_next_bytes(struct reader *reader, uint64_t most, struct block_ref **ret_block, struct span *ret_bytes)
{
    struct reader *r = reader;
    if (r->failure != ERR_OK)
        return r->failure;
    if (r->source.class != &reader_source_exporter)
        return ERR_AGAIN;
    enum err err = hold_bytes(r);
    if (err != ERR_OK)
        return err;
    *ret_bytes = span_first(r->held_bytes, (size_t)MIN(most, (uint64_t)r->held_bytes.len));
    r->held_bytes = span_skip(r->held_bytes, ret_bytes->len);
    *ret_block = r->held;
    if (r->held_bytes.len > 0)
        block_ref_ref(r->held);
    else
        r->held = NULL; /* a reader that nobody asks any more waits for its lease: it keeps no block that is used up */
    return ERR_OK;
}

/* A tree stream or a CAR. */
static enum err read_stream(struct reader *r, struct buf *out, size_t length_bytes)
{
    if (r->failure != ERR_OK)
        return r->failure;
    enum err err = r->source.class == &reader_source_tree ? tree_exporter_read(r->source.engine, out, length_bytes)
                                                          : car_exporter_read(r->source.engine, out, length_bytes);
    return err == ERR_OK || err == ERR_AGAIN ? err : fail(r, err, r->source.class->why(r->source.engine));
}

enum err reader_read(struct reader *reader, struct buf *out, size_t length_bytes)
{
    struct reader *r = reader;
    if (r->source.class == &reader_source_tree || r->source.class == &reader_source_car)
        return read_stream(r, out, length_bytes);
    while (length_bytes > 0) {
        struct block_ref *block;
        struct span bytes;
        enum err err = reader_next_bytes(r, length_bytes, &block, &bytes);
        if (err != ERR_OK)
            return err == ERR_CLOSED ? ERR_OK : err;
        err = buf_append_span(out, bytes);
        block_ref_unref(block);
        if (err != ERR_OK)
            return err;
        length_bytes -= bytes.len;
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
    if (r->source.class != &reader_source_walk)
        return ERR_AGAIN;
    enum err err = dag_walk_next(r->source.engine, &visit);
    if (err == ERR_AGAIN || err == ERR_CLOSED)
        return err;
    if (err != ERR_OK)
        return fail(r, err, dag_walk_why(r->source.engine));
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
