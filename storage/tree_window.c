/* SPDX-License-Identifier: MIT */
#include "storage/tree_window.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "storage/node_info.h"

static void entry_settle(struct tree_window *w, struct tree_entry *e)
{
    if (e->charged > 0)
        account_give(w->options.shared, e->charged);
    e->charged = 0;
    e->expected = 0;
}

void tree_window_remove(struct tree_window *w, struct tree_entry *e)
{
    *(e->prev == NULL ? &w->first : &e->prev->next) = e->next;
    *(e->next == NULL ? &w->last : &e->next->prev) = e->prev;
    entry_settle(w, e);
    exporter_free(e->file);
    dir_lister_free(e->folder);
    block_ref_unref(e->target);
    if (w->options.account != NULL)
        account_give(w->options.account, sizeof(*e) + e->name_len);
    free(e);
}

enum err tree_window_fail(struct tree_window *w, enum err err, const char *why)
{
    w->failure = err;
    w->why = why;
    tree_window_release(w);
    return err;
}

/* A new entry before another one; NULL: at the end. */
static struct tree_entry *entry_add(struct tree_window *w, struct tree_entry *before, struct span name,
                                    const struct cid *cid, uint32_t depth)
{
    struct account *account = w->options.account;
    if (account != NULL && !account_take(account, sizeof(struct tree_entry) + name.len))
        return NULL;
    struct tree_entry *e = calloc(1, sizeof(*e) + name.len);
    if (e == NULL) {
        if (account != NULL)
            account_give(account, sizeof(*e) + name.len);
        return NULL;
    }
    e->cid = *cid;
    e->depth = depth;
    e->name_len = name.len;
    memcpy(e->name, name.data, name.len);
    e->next = before;
    e->prev = before == NULL ? w->last : before->prev;
    *(e->prev == NULL ? &w->first : &e->prev->next) = e;
    *(before == NULL ? &w->last : &before->prev) = e;
    return e;
}

/* Bytes that an entry holds or expects, read ahead or not. */
static size_t entry_bytes(const struct tree_entry *e)
{
    if (e->file != NULL)
        return exporter_reserved(e->file);
    return e->folder != NULL ? dir_lister_reserved(e->folder) : e->expected;
}

static enum err expect_root(struct tree_window *w, struct tree_entry *e, uint64_t tsize)
{
    if (e->cid.codec != CODEC_RAW && e->cid.codec != CODEC_DAG_PB)
        return tree_window_fail(w, ERR_UNSUPPORTED, "unknown codec: only raw and dag-pb blocks are files and folders");
    uint64_t most =
        e->cid.codec == CODEC_RAW ? DAG_BLOCK_MAX : DAG_NODE_ESTIMATE; /* the node above many blocks is small */
    e->expected = tsize == 0 || tsize > most ? DAG_NODE_ESTIMATE : (size_t)tsize;
    if (w->options.shared != NULL && account_take(w->options.shared, e->expected))
        e->charged = e->expected;
    return ERR_OK;
}

/* ---- blocks become entries ---- */

static enum err open_file(struct tree_window *w, struct tree_entry *e, struct block_ref *root)
{
    struct exporter_options options = {
        .length = UINT64_MAX,
        .window_blocks = w->options.window_blocks,
        .window_bytes = w->options.window_bytes,
        .is_ahead = e != w->first,
        .account = w->options.account,
        .shared = w->options.shared,
    };
    e->state = ENTRY_FILE;
    enum err err = exporter_new(&e->cid, &options, &e->file);
    if (err != ERR_OK)
        return tree_window_fail(w, err, "not enough memory");
    err = exporter_put(e->file, &e->cid, root);
    return err == ERR_OK ? ERR_OK : tree_window_fail(w, err, exporter_why(e->file));
}

/* The folders around the reading position are open all at once. */
static bool folders_fit(const struct tree_window *w)
{
    size_t bytes = 0;
    for (const struct tree_entry *e = w->first; e != NULL; e = e->next)
        bytes += e->folder == NULL ? 0 : dir_lister_reserved(e->folder);
    return bytes <= DAG_OPEN_BYTES_MAX;
}

static enum err open_folder(struct tree_window *w, struct tree_entry *e, struct block_ref *root)
{
    if (e->depth >= TREE_DEPTH_MAX)
        return tree_window_fail(w, ERR_TOO_LARGE, "folders are nested too deep");
    e->state = ENTRY_FOLDER;
    enum err err = dir_lister_new(&e->cid, w->options.window_blocks, w->options.window_bytes, w->options.account,
                                  w->options.shared, &e->folder);
    if (err != ERR_OK)
        return tree_window_fail(w, err, "not enough memory");
    err = dir_lister_put(e->folder, &e->cid, root);
    if (err != ERR_OK)
        return tree_window_fail(w, err, dir_lister_why(e->folder));
    if (!folders_fit(w))
        return tree_window_fail(w, ERR_TOO_LARGE, "the folders around it are too large together");
    struct tree_entry *enter = entry_add(w, e, tree_entry_name(e), &e->cid, e->depth);
    if (enter == NULL)
        return tree_window_fail(w, ERR_NOMEM, "not enough memory");
    enter->state = ENTRY_ENTER;
    enter->meta = e->meta;
    return ERR_OK;
}

static enum err open_symlink(struct tree_window *w, struct tree_entry *e, struct block_ref *root, struct span target)
{
    if (target.len == 0 || target.len > TREE_TARGET_MAX || memchr(target.data, '\0', target.len) != NULL)
        return tree_window_fail(w, ERR_CORRUPT, "the target of a symlink is malformed");
    e->state = ENTRY_SYMLINK;
    e->target = block_ref_ref(root);
    return ERR_OK;
}

static enum err open_entry(struct tree_window *w, struct tree_entry *e, struct block_ref *root)
{
    struct node_info info;
    const char *why = "";
    entry_settle(w, e);
    enum err err = node_info_of(&e->cid, block_ref_span(root), &info, &why);
    if (err != ERR_OK)
        return tree_window_fail(w, err, why);
    e->meta.mode = info.unixfs.has_mode ? info.unixfs.mode & UNIXFS_MODE_MASK : 0;
    e->meta.has_mtime = info.unixfs.has_mtime;
    e->meta.mtime_seconds = info.unixfs.mtime_seconds;
    e->meta.mtime_nanos = info.unixfs.mtime_nanos;
    switch (info.kind) {
    case NODE_FILE:
        return open_file(w, e, root);
    case NODE_DIRECTORY:
    case NODE_HAMT:
        return open_folder(w, e, root);
    case NODE_SYMLINK:
        return open_symlink(w, e, root, info.unixfs.data);
    }
    return ERR_INTERNAL;
}

/* Its CID carries its block. */
static enum err open_inlined(struct tree_window *w, struct tree_entry *e)
{
    struct block_ref *block = block_ref_copy(span_of(e->cid.hash.digest, e->cid.hash.len), w->options.account);
    if (block == NULL)
        return tree_window_fail(w, ERR_NOMEM, "not enough memory");
    enum err err = open_entry(w, e, block);
    block_ref_unref(block);
    return err;
}

/* ---- reading ahead ---- */

/* Takes the next entry of a folder. *ret_more is false when none can be had for the moment. */
static enum err list_one(struct tree_window *w, struct tree_entry *folder, bool *ret_more)
{
    struct dir_entry listed;
    enum err err = dir_lister_next(folder->folder, &listed);
    *ret_more = err == ERR_OK;
    folder->listed = err == ERR_CLOSED;
    if (err == ERR_CLOSED || err == ERR_AGAIN)
        return ERR_OK;
    if (err != ERR_OK)
        return tree_window_fail(w, err, dir_lister_why(folder->folder));
    if (listed.name_unsafe)
        return tree_window_fail(w, ERR_INVALID, "the folder has an entry whose name is no plain file name: refused");
    struct tree_entry *e = entry_add(w, folder, listed.name, &listed.cid, folder->depth + 1);
    if (e == NULL)
        return tree_window_fail(w, ERR_NOMEM, "not enough memory");
    if (e->cid.hash.code == MULTIHASH_IDENTITY)
        return open_inlined(w, e);
    return expect_root(w, e, listed.tsize);
}

static bool has_room(const struct tree_window *w, size_t bytes)
{
    return bytes < w->options.window_bytes &&
           (w->options.shared == NULL || account_free(w->options.shared) >= DAG_NODE_ESTIMATE);
}

enum err tree_window_fill(struct tree_window *w)
{
    size_t before = 0;
    size_t bytes = 0;
    for (struct tree_entry *e = w->first; e != NULL && before < TREE_AHEAD; e = e->next) {
        bool more = e->state == ENTRY_FOLDER && !e->listed;
        while (more && before < TREE_AHEAD && (e == w->first || has_room(w, bytes))) {
            enum err err = list_one(w, e, &more);
            if (err != ERR_OK)
                return err;
            before += more;
            bytes += more ? entry_bytes(e->prev) : 0;
        }
        before++;
        bytes += entry_bytes(e);
    }
    return ERR_OK;
}

/* The block of an entry that waits is on its way for another one already. */
static bool asked_elsewhere(const struct tree_window *w, const struct tree_entry *e)
{
    for (const struct tree_entry *other = w->first; other != NULL; other = other->next) {
        if (other != e && other->state == ENTRY_ASKED && cid_same_block(&other->cid, &e->cid))
            return true;
    }
    return false;
}

static enum err entry_next_want(struct tree_window *w, struct tree_entry *e, struct cid *ret_cid)
{
    if (e->file != NULL)
        return exporter_next_want(e->file, ret_cid);
    if (e->folder != NULL)
        return dir_lister_next_want(e->folder, ret_cid);
    if (e->state != ENTRY_WANTED)
        return ERR_AGAIN;
    e->state = ENTRY_ASKED;
    if (asked_elsewhere(w, e))
        return ERR_AGAIN;
    *ret_cid = e->cid;
    return ERR_OK;
}

static void favour_first(const struct tree_window *w)
{
    if (w->first != NULL && w->first->file != NULL)
        exporter_is_waited_for(w->first->file);
}

enum err tree_window_next_want(struct tree_window *w, struct cid *ret_cid)
{
    if (w->failure != ERR_OK || tree_window_fill(w) != ERR_OK)
        return ERR_AGAIN;
    favour_first(w);
    size_t bytes = 0;
    for (struct tree_entry *e = w->first; e != NULL && (e == w->first || bytes < w->options.window_bytes);
         e = e->next) {
        if (entry_next_want(w, e, ret_cid) == ERR_OK)
            return ERR_OK;
        bytes += entry_bytes(e);
    }
    return ERR_AGAIN;
}

static enum err put_at(struct tree_window *w, struct tree_entry *e, const struct cid *cid, struct block_ref *block)
{
    enum err err = ERR_OK;
    if (e->file != NULL && exporter_waits_for(e->file, cid)) {
        err = exporter_put(e->file, cid, block);
        return err == ERR_OK ? ERR_OK : tree_window_fail(w, err, exporter_why(e->file));
    }
    if (e->folder != NULL && dir_lister_waits_for(e->folder, cid)) {
        err = dir_lister_put(e->folder, cid, block);
        return err == ERR_OK ? ERR_OK : tree_window_fail(w, err, dir_lister_why(e->folder));
    }
    if ((e->state == ENTRY_ASKED || e->state == ENTRY_WANTED) && cid_same_block(&e->cid, cid))
        return open_entry(w, e, block);
    return ERR_OK;
}

enum err tree_window_put(struct tree_window *w, const struct cid *cid, struct block_ref *block)
{
    struct tree_entry *next;
    favour_first(w);
    for (struct tree_entry *e = w->first; e != NULL && w->failure == ERR_OK; e = next) {
        next = e->next;
        if (put_at(w, e, cid, block) != ERR_OK)
            break;
    }
    return w->failure;
}

/* What is needed first had no memory: the files that are read ahead give theirs back, the last first. */
static void give_back(struct tree_window *w)
{
    struct tree_entry *e = w->last;
    while (e != NULL && e != w->first && (e->file == NULL || !exporter_give_back(e->file)))
        e = e->prev;
}

static bool entry_waits_for(const struct tree_entry *e, const struct cid *cid)
{
    if ((e->state == ENTRY_ASKED || e->state == ENTRY_WANTED) && cid_same_block(&e->cid, cid))
        return true;
    if (e->file != NULL && exporter_waits_for(e->file, cid))
        return true;
    return e->folder != NULL && dir_lister_waits_for(e->folder, cid);
}

void tree_window_retry(struct tree_window *w, const struct cid *cid)
{
    if (w->first != NULL && entry_waits_for(w->first, cid))
        give_back(w);
    for (struct tree_entry *e = w->first; e != NULL; e = e->next) {
        if (e->file != NULL)
            exporter_retry(e->file, cid);
        if (e->folder != NULL)
            dir_lister_retry(e->folder, cid);
        if (e->state == ENTRY_ASKED && cid_same_block(&e->cid, cid))
            e->state = ENTRY_WANTED;
    }
}

bool tree_window_waits_for(const struct tree_window *w, const struct cid *cid)
{
    const struct tree_entry *e = w->first;
    while (e != NULL && !entry_waits_for(e, cid))
        e = e->next;
    return e != NULL;
}

/* ---- life ---- */

enum err tree_window_init(struct tree_window *w, const struct cid *root, const struct tree_exporter_options *options)
{
    *w = (struct tree_window){.options = *options, .why = ""};
    struct tree_entry *e = entry_add(w, NULL, options->name, root, 0);
    if (e == NULL)
        return tree_window_fail(w, ERR_NOMEM, "not enough memory");
    return root->hash.code == MULTIHASH_IDENTITY ? open_inlined(w, e) : expect_root(w, e, 0);
}

void tree_window_release(struct tree_window *w)
{
    struct tree_entry *next;
    for (struct tree_entry *e = w->first; e != NULL; e = next) {
        next = e->next;
        tree_window_remove(w, e);
    }
}
