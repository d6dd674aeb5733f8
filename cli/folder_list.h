/* SPDX-License-Identifier: MIT */
/*
 * The names in a folder of the disk, in the order in which `add` sends them: by name, and a large folder by the hashes of
 * its names, so that the daemon shards it without keeping it (flag 4 of wire/tree_stream.h). About 20 bytes and the name
 * for each.
 */
#ifndef HEARTH_CLI_FOLDER_LIST_H
#define HEARTH_CLI_FOLDER_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    FOLDER_LINK_BYTES = 64,                /* what an entry takes beside its name, in the daemon and in a block */
    FOLDER_BY_HASH_BYTES = 2 * 1024 * 1024 /* of all entries: from here on they go in the order of hashes */
};

struct folder_list {
    struct buf names;   /* NUL-terminated, one after the other */
    struct buf entries; /* where each begins, sorted */
    size_t count;
    bool by_hash;
};

/*
 * Reads and sorts the names in an open folder, without "." and "..", and without hidden ones unless they are wanted. The
 * descriptor stays open. ERR_NOMEM; ERR_IO with errno. Release it in every case.
 */
enum err folder_list_read(struct folder_list *list, int folder, bool hidden) MUST_CHECK;
void folder_list_release(struct folder_list *list);

const char *folder_list_name(const struct folder_list *list, size_t i);

#endif
