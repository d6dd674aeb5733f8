/* SPDX-License-Identifier: MIT */
/*
 * The entries of a tree in reading order, while their blocks arrive in any order: what tree_exporter reads from.
 *
 *      first                                                                    last
 *        | ENTER a | FILE a/x | SYMLINK a/y | WANTED a/z | FOLDER a | FILE b | FOLDER root |
 *                                                        ^ the next entry of `a` is put in here
 *
 * A folder lists on while fewer than TREE_AHEAD entries stand before its end. So the root blocks of siblings, cousins
 * and folders further on are on their way together, however deep they stand, and no round trip is waited for alone.
 * What is read ahead is bounded by window_bytes and by the shared account, whatever sizes the folders claim; the foremost
 * entry may always go on. Files are read by an exporter each, folders by a dir_lister, whose checks hold here, too. The folders around the reading
 * position together hold DAG_OPEN_BYTES_MAX at most.
 *
 * Private to storage/. No I/O; one thread at a time.
 */
#ifndef HEARTH_STORAGE_TREE_WINDOW_H
#define HEARTH_STORAGE_TREE_WINDOW_H

#include "storage/dir_lister.h"
#include "storage/exporter.h"
#include "storage/tree_exporter.h"
#include "wire/tree_stream.h"

enum tree_entry_state {
    ENTRY_WANTED, /* its root block is to be asked for */
    ENTRY_ASKED,  /* it is on its way */
    ENTRY_ENTER,  /* a folder begins */
    ENTRY_FOLDER, /* a folder goes on: what is below it stands before it */
    ENTRY_FILE,
    ENTRY_SYMLINK
};

struct tree_entry {
    struct tree_entry *prev;
    struct tree_entry *next;
    enum tree_entry_state state;
    uint32_t depth; /* folders around it */
    struct cid cid;
    struct tree_meta meta;
    size_t expected; /* bytes of the root block on its way */
    size_t charged;  /* of these, taken from the shared account */
    bool begun;      /* the owner's: its first record was written */
    bool listed;     /* FOLDER: all its entries were put in */
    struct exporter *file;
    struct dir_lister *folder;
    struct block_ref *target; /* SYMLINK: its block */
    size_t name_len;
    char name[];
};

struct tree_window {
    struct tree_exporter_options options;
    struct tree_entry *first;
    struct tree_entry *last;
    enum err failure;
    const char *why;
};

/* Begins with one entry. ERR_NOMEM, ERR_UNSUPPORTED; release in every case. */
enum err tree_window_init(struct tree_window *w, const struct cid *root,
                          const struct tree_exporter_options *options) MUST_CHECK;
void tree_window_release(struct tree_window *w);

/* Ends the window with an error, which it returns. why: a static sentence. */
enum err tree_window_fail(struct tree_window *w, enum err err, const char *why);

/* Puts entries in as far as there is room. Errors as tree_exporter_put. */
enum err tree_window_fill(struct tree_window *w) MUST_CHECK;

/* Takes an entry out and frees it. */
void tree_window_remove(struct tree_window *w, struct tree_entry *e);

/* As their namesakes of tree_exporter. */
enum err tree_window_next_want(struct tree_window *w, struct cid *ret_cid) MUST_CHECK;
enum err tree_window_put(struct tree_window *w, const struct cid *cid, struct block_ref *block) MUST_CHECK;
void tree_window_retry(struct tree_window *w, const struct cid *cid);
bool tree_window_waits_for(const struct tree_window *w, const struct cid *cid);

static inline struct span tree_entry_name(const struct tree_entry *e)
{
    return (struct span){.data = (const uint8_t *)e->name, .len = e->name_len};
}

#endif
