/* SPDX-License-Identifier: MIT */
/*
 * A copy of a store: a folder with blocks.db and segments/, as `repo backup` writes it and a repository has it. What it is of, what it is
 * made of, and whether it is whole. For commands: no daemon has it open.
 *
 * Everything blocks; one thread.
 */
#ifndef HEARTH_STORAGE_STORE_COPY_H
#define HEARTH_STORAGE_STORE_COPY_H

#include "mailbox/ports.h"
#include "storage/catalogue.h"

enum { STORE_COPY_PATH_MAX = 4096, STORE_COPY_WHY_BYTES = STORE_COPY_PATH_MAX + 256 };

/* What copies lie on. */
struct store_medium {
    const struct disk_port *port;
    const char *vfs; /* for their databases; NULL = SQLite's own */
};

/* folder/a b c; false when it is too long. */
bool store_copy_path(char to[STORE_COPY_PATH_MAX], const char *folder, const char *a, const char *b,
                     const char *c) MUST_CHECK;

/* The id of the database at path: two copies with one id are of one store. ERR_NOT_FOUND, ERR_CORRUPT. */
enum err store_copy_id(const struct store_medium *on, const char *path, uint8_t ret_id[CATALOGUE_ID_BYTES]) MUST_CHECK;

/* The segments that the database at path names, in order; freed by the caller. */
enum err store_copy_segments(const struct store_medium *on, const char *path, struct segment_checkpoint **ret_list,
                             size_t *ret_count) MUST_CHECK;

/* Whether folder/segments holds a segment. */
bool store_copy_has_segments(const struct store_medium *on, const char *folder);

/* Removes the segments of the folder that are not in the list. */
enum err store_copy_remove_others(const struct store_medium *on, const char *folder,
                                  const struct segment_checkpoint *list, size_t count) MUST_CHECK;

struct store_copy_check {
    void *arg;
    /* A block is not what the database says. */
    void (*bad)(void *arg, const struct block_place *place, enum err err);
    /* So many more were checked. May be NULL. */
    void (*progress)(void *arg, uint64_t blocks);
    uint64_t blocks; /* set: in all */
    uint64_t bad_count;
};

/* Reads every block that folder/blocks.db names and checks its hash. */
enum err store_copy_verify(const struct store_medium *on, const char *folder,
                           struct store_copy_check *check) MUST_CHECK;

#endif
