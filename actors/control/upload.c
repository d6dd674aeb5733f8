/* SPDX-License-Identifier: MIT */
#include "actors/control/upload.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "storage/directory_builder.h"
#include "storage/tree_builder.h"

enum { ADDED_MAX = 16 * 1024 * 1024, PUTS_MAX = 256 * 1024 * 1024 };

/* A block on its way: block is NULL once it was handed out. */
struct put {
    uint64_t ticket;
    struct cid cid;
    struct block_ref *block;
    size_t bytes;
    bool charged; /* to the shared account */
};

/* An added line in the queue: this head, the path. */
struct added_head {
    struct cid cid;
    uint64_t bytes;
    uint32_t path_len;
    bool is_directory;
};

struct upload {
    struct import_options import;
    enum upload_format format;
    bool wrap;
    bool quiet;
    bool closed;
    enum err failure;
    const char *why;
    uint64_t deadline;
    uint64_t offset; /* next stream byte expected */
    uint64_t next_ticket;
    struct buf name;
    struct file_builder *file; /* UPLOAD_FILE */
    struct tree_builder *tree; /* UPLOAD_TREE */
    struct car_importer *car;  /* UPLOAD_CAR */
    struct tree_decoder decoder;
    struct buf unsent;   /* of struct put; the first unsent_at were handed out */
    size_t unsent_at;    /* entries */
    struct buf inflight; /* of struct put: handed out, not acknowledged */
    size_t window_blocks;
    size_t window_bytes;
    struct account *shared; /* may be NULL */
    struct buf added;
    size_t added_at; /* bytes */
    struct import_node root;
    struct upload_totals totals;
};

static void give_back(struct upload *u, const struct put *put)
{
    if (put->charged)
        account_give(u->shared, put->bytes);
}

static enum err sink_emit(void *arg, const struct cid *cid, struct block_ref *block)
{
    struct upload *u = arg;
    size_t gone = u->unsent_at * sizeof(struct put);
    if (gone > u->unsent.len / 2) {
        buf_drop(&u->unsent, gone);
        u->unsent_at = 0;
    }
    struct put put = {.ticket = ++u->next_ticket, .cid = *cid, .block = block, .bytes = block->len};
    put.charged = u->shared != NULL && account_take(u->shared, put.bytes);
    enum err err = buf_append(&u->unsent, &put, sizeof(put));
    if (err != ERR_OK) {
        give_back(u, &put);
        return err;
    }
    (void)block_ref_ref(block);
    u->window_blocks++;
    u->window_bytes += put.bytes;
    u->totals.blocks++;
    u->totals.block_bytes += put.bytes;
    return ERR_OK;
}

static enum err fail(struct upload *u, enum err err, const char *why)
{
    if (u->failure == ERR_OK) {
        u->failure = err;
        u->why = why;
    }
    return u->failure;
}

static const char *why_of(enum err err)
{
    if (err == ERR_NOMEM)
        return "the import does not fit into memory: try again when less is under way";
    if (err == ERR_TOO_LARGE)
        return "over a limit: folders nested too deep, or one of over 4 MiB of names that does not come in the order "
               "of "
               "their hashes (flag 4 of the tree stream), as `hearth add` sends it";
    if (err == ERR_INVALID)
        return "the upload's stream is malformed";
    return "the import failed";
}

static const char *why_not_kept(enum err err)
{
    if (err == ERR_NO_SPACE)
        return "no space: the disk is full or Datastore.StorageMax is reached; remove something or raise it, then add "
               "again";
    if (err == ERR_READ_ONLY)
        return "the store is read-only while the disk is full or fails: free space; `hearth diag healthy` tells when "
               "it writes again";
    if (err == ERR_IO)
        return "input/output error: the disk did not take a block; the daemon's log names the file, then add again";
    return "the store did not keep a block";
}

static enum err open_builder(struct upload *u)
{
    struct import_sink sink = {.emit = sink_emit, .arg = u};
    if (u->format == UPLOAD_FILE)
        return file_builder_new(&u->import, &sink, &u->file);
    if (u->format == UPLOAD_CAR)
        return car_importer_new(&sink, u->import.account, &u->car);
    return tree_builder_new(&u->import, &sink, u->wrap, &u->tree);
}

enum err upload_new(const struct upload_options *options, uint64_t now, struct upload **ret_upload)
{
    enum err err = import_options_check(&options->import, NULL);
    if (err != ERR_OK)
        return err;
    if (options->format == UPLOAD_FILE && (options->wrap || options->name.len > 0) && !tree_name_ok(options->name))
        return ERR_INVALID;
    struct upload *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return ERR_NOMEM;
    struct account *account = options->import.account;
    u->import = options->import;
    u->format = options->format;
    u->wrap = options->wrap;
    u->quiet = options->quiet;
    u->shared = options->shared;
    u->deadline = now + UPLOAD_LEASE_NS;
    buf_init(&u->name, TREE_NAME_MAX, account);
    buf_init(&u->unsent, PUTS_MAX, account);
    buf_init(&u->inflight, PUTS_MAX, account);
    buf_init(&u->added, ADDED_MAX, account);
    tree_decoder_init(&u->decoder, account);
    err = buf_append_span(&u->name, options->name);
    if (err == ERR_OK)
        err = open_builder(u);
    if (err != ERR_OK) {
        upload_free(u);
        return err;
    }
    *ret_upload = u;
    return ERR_OK;
}

static struct put *puts_of(const struct buf *puts)
{
    return (struct put *)(void *)puts->data;
}

void upload_free(struct upload *upload)
{
    if (upload == NULL)
        return;
    for (size_t i = upload->unsent_at; i < upload->unsent.len / sizeof(struct put); i++) {
        give_back(upload, &puts_of(&upload->unsent)[i]);
        block_ref_unref(puts_of(&upload->unsent)[i].block);
    }
    for (size_t i = 0; i < upload->inflight.len / sizeof(struct put); i++)
        give_back(upload, &puts_of(&upload->inflight)[i]);
    file_builder_free(upload->file);
    tree_builder_free(upload->tree);
    car_importer_free(upload->car);
    tree_decoder_release(&upload->decoder);
    buf_release(&upload->name);
    buf_release(&upload->unsent);
    buf_release(&upload->inflight);
    buf_release(&upload->added);
    free(upload);
}

static enum err push_added(struct upload *u, struct span path, const struct import_node *node, bool is_directory)
{
    if (!is_directory)
        u->totals.files++;
    if (u->quiet)
        return ERR_OK;
    if (u->added_at > u->added.len / 2) {
        buf_drop(&u->added, u->added_at);
        u->added_at = 0;
    }
    struct added_head head = {.cid = node->cid, .bytes = node->file_bytes};
    head.path_len = (uint32_t)path.len;
    head.is_directory = is_directory;
    enum err err = buf_append(&u->added, &head, sizeof(head));
    return err == ERR_OK ? buf_append_span(&u->added, path) : err;
}

/* Takes one step's worth of the stream: a piece of a file or one record of a tree. */
static enum err take_step(struct upload *u, struct span *rest)
{
    struct span piece = span_first(*rest, u->import.chunk_bytes);
    size_t before = piece.len;
    if (u->format == UPLOAD_FILE) {
        *rest = span_skip(*rest, before);
        return file_builder_write(u->file, piece);
    }
    if (u->format == UPLOAD_CAR) {
        enum err failed = car_importer_write(u->car, &piece);
        *rest = span_skip(*rest, before - piece.len);
        return failed;
    }
    struct tree_event event;
    enum err err = tree_decoder_next(&u->decoder, &piece, &event);
    *rest = span_skip(*rest, before - piece.len);
    if (err != ERR_OK)
        return err == ERR_AGAIN ? ERR_OK : err;
    struct tree_added added;
    bool has_added = false;
    err = tree_builder_event(u->tree, &event, &added, &has_added);
    if (err == ERR_OK && has_added)
        err = push_added(u, added.path, &added.node, added.is_directory);
    return err;
}

bool upload_idle(const struct upload *upload)
{
    return upload->window_blocks == 0;
}

/* An upload with nothing on its way may always go on, so that many of them never wait for each other. */
static bool shares_room(const struct upload *u)
{
    return u->shared == NULL || upload_idle(u) || account_free(u->shared) >= u->import.chunk_bytes;
}

bool upload_writable(const struct upload *upload)
{
    if (!shares_room(upload))
        return false;
    return upload->failure == ERR_OK && !upload->closed && upload->window_blocks < UPLOAD_WINDOW_BLOCKS &&
           upload->window_bytes < UPLOAD_WINDOW_BYTES && upload->added.len - upload->added_at < UPLOAD_ADDED_BYTES;
}

enum err upload_write(struct upload *upload, uint64_t now, uint64_t offset, struct span data, uint64_t *ret_offset)
{
    struct upload *u = upload;
    *ret_offset = u->offset;
    upload_touch(u, now);
    if (u->failure != ERR_OK)
        return u->failure;
    if (offset > u->offset)
        return ERR_INVALID;
    if (u->offset - offset >= data.len)
        return ERR_OK; /* had it already */
    if (u->closed)
        return ERR_CLOSED;
    struct span rest = span_skip(data, (size_t)(u->offset - offset));
    while (rest.len > 0 && upload_writable(u)) {
        size_t before = rest.len;
        enum err err = take_step(u, &rest);
        u->offset += before - rest.len;
        *ret_offset = u->offset;
        if (err != ERR_OK)
            return fail(u, err, u->car != NULL ? car_importer_why(u->car) : why_of(err));
    }
    u->totals.bytes_received = u->offset;
    return ERR_OK;
}

enum upload_format upload_format(const struct upload *upload)
{
    return upload->format;
}

const struct car_importer *upload_car(const struct upload *upload)
{
    return upload->car;
}

const struct import_options *upload_import(const struct upload *upload)
{
    return &upload->import;
}

bool upload_takes_leaves(const struct upload *upload)
{
    if (upload->failure != ERR_OK || upload->closed || upload->format == UPLOAD_CAR)
        return false;
    return upload->format == UPLOAD_FILE ? file_builder_between_chunks(upload->file)
                                         : tree_builder_takes_leaf(upload->tree);
}

static enum err add_leaf(struct upload *u, struct import_leaf *leaf)
{
    if (u->failure != ERR_OK)
        return u->failure;
    if (!upload_takes_leaves(u))
        return u->closed ? ERR_CLOSED : ERR_INVALID;
    size_t len = leaf->len;
    enum err err =
        u->format == UPLOAD_FILE ? file_builder_add_leaf(u->file, leaf) : tree_builder_add_leaf(u->tree, leaf);
    if (err != ERR_OK)
        return fail(u, err, why_of(err));
    u->offset += len;
    u->totals.bytes_received = u->offset;
    return ERR_OK;
}

enum err upload_leaf(struct upload *upload, uint64_t now, struct import_leaf *leaf)
{
    upload_touch(upload, now);
    enum err err = add_leaf(upload, leaf);
    import_leaf_release(leaf); /* what the builder did not take */
    return err;
}

/* Puts the one file into a folder of its own. */
static enum err wrap_file(struct upload *u)
{
    struct import_sink sink = {.emit = sink_emit, .arg = u};
    struct directory_builder *folder;
    enum err err = directory_builder_new(&u->import, &sink, NULL, &folder);
    if (err != ERR_OK)
        return err;
    err = directory_builder_add(folder, buf_span(&u->name), &u->root);
    if (err == ERR_OK)
        err = directory_builder_finish(folder, &u->root);
    directory_builder_free(folder);
    return err;
}

static enum err finish_build(struct upload *u)
{
    enum err err;
    if (u->format == UPLOAD_TREE) {
        if (!tree_decoder_at_end(&u->decoder))
            return ERR_INVALID;
        err = tree_builder_finish(u->tree, &u->root);
    } else {
        err = file_builder_finish(u->file, NULL, &u->root);
        if (err == ERR_OK)
            err = push_added(u, buf_span(&u->name), &u->root, false);
        if (err == ERR_OK && u->wrap)
            err = wrap_file(u);
    }
    return err == ERR_OK && u->wrap ? push_added(u, (struct span){0}, &u->root, true) : err;
}

enum err upload_close(struct upload *upload, uint64_t now, uint64_t size)
{
    struct upload *u = upload;
    upload_touch(u, now);
    if (u->failure != ERR_OK)
        return u->failure;
    if (size != UINT64_MAX && size != u->offset)
        return ERR_INVALID;
    if (u->closed)
        return ERR_OK;
    enum err err = u->car != NULL ? car_importer_finish(u->car) : finish_build(u);
    if (err != ERR_OK && u->car != NULL)
        return fail(u, err, car_importer_why(u->car));
    if (err != ERR_OK)
        return fail(u, err, err == ERR_INVALID ? "the upload ends in the middle of an entry" : why_of(err));
    u->closed = true;
    return ERR_OK;
}

enum err upload_next_put(struct upload *upload, uint64_t *ret_ticket, struct cid *ret_cid, struct block_ref **ret_block)
{
    struct upload *u = upload;
    if (u->failure != ERR_OK || u->unsent_at == u->unsent.len / sizeof(struct put))
        return ERR_AGAIN;
    struct put *put = &puts_of(&u->unsent)[u->unsent_at];
    struct put sent = *put;
    sent.block = NULL;
    if (buf_append(&u->inflight, &sent, sizeof(sent)) != ERR_OK)
        return ERR_AGAIN;
    *ret_ticket = put->ticket;
    *ret_cid = put->cid;
    *ret_block = put->block;
    u->unsent_at++;
    if (u->unsent_at == u->unsent.len / sizeof(struct put)) {
        buf_clear(&u->unsent);
        u->unsent_at = 0;
    }
    return ERR_OK;
}

void upload_ack(struct upload *upload, uint64_t ticket, enum err err)
{
    struct put *puts = puts_of(&upload->inflight);
    size_t count = upload->inflight.len / sizeof(*puts);
    for (size_t i = 0; i < count; i++) {
        if (puts[i].ticket != ticket)
            continue;
        upload->window_blocks--;
        upload->window_bytes -= puts[i].bytes;
        give_back(upload, &puts[i]);
        puts[i] = puts[count - 1];
        upload->inflight.len -= sizeof(*puts);
        if (err != ERR_OK)
            (void)fail(upload, err, why_not_kept(err));
        return;
    }
}

enum err upload_next_added(struct upload *upload, struct upload_added *ret_added)
{
    struct upload *u = upload;
    if (u->added_at == u->added.len) {
        buf_clear(&u->added);
        u->added_at = 0;
        return ERR_AGAIN;
    }
    struct added_head head;
    const uint8_t *at = u->added.data + u->added_at;
    memcpy(&head, at, sizeof(head));
    *ret_added = (struct upload_added){
        .path = span_of(at + sizeof(head), head.path_len),
        .cid = head.cid,
        .bytes = head.bytes,
        .is_directory = head.is_directory,
    };
    u->added_at += sizeof(head) + head.path_len;
    return ERR_OK;
}

enum err upload_result(const struct upload *upload, struct import_node *ret_root)
{
    if (upload->failure != ERR_OK)
        return upload->failure;
    if (!upload->closed || upload->window_blocks > 0)
        return ERR_AGAIN;
    *ret_root = upload->root;
    return ERR_OK;
}

enum err upload_failure(const struct upload *upload)
{
    return upload->failure;
}

const char *upload_why(const struct upload *upload)
{
    return upload->failure == ERR_OK ? "" : upload->why;
}

struct upload_totals upload_totals(const struct upload *upload)
{
    return upload->totals;
}

uint64_t upload_deadline(const struct upload *upload)
{
    return upload->deadline;
}

void upload_touch(struct upload *upload, uint64_t now)
{
    upload->deadline = now + UPLOAD_LEASE_NS;
}
