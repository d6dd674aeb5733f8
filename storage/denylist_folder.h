/* SPDX-License-Identifier: MIT */
/*
 * The folder with the denylists: its files whose names end with .deny, in alphabetical order, read into one image (storage/denylist.h).
 * Blocking: from jobs and at start-up only. A file is read as long as it is when the reading begins, so that one that grows is no matter.
 */
#ifndef HEARTH_STORAGE_DENYLIST_FOLDER_H
#define HEARTH_STORAGE_DENYLIST_FOLDER_H

#include "mailbox/ports.h"
#include "storage/denylist.h"
#include "wire/denylist_header.h"

enum { DENYLIST_FILES_MAX = 64, DENYLIST_FILE_NAME_MAX = 255, DENYLIST_FOLDER_PATH_MAX = 1280 };

struct denylist_file {
    char name[DENYLIST_FILE_NAME_MAX + 1];
    char title[DENYLIST_TITLE_MAX]; /* of the header, may be empty */
    uint64_t bytes;
    uint64_t rules;
    uint64_t invalid;        /* lines that are no rules */
    uint64_t invalid_line;   /* the first of them */
    const char *invalid_why; /* static, "" if none */
};

struct denylist_folder {
    size_t count;
    struct denylist_file files[DENYLIST_FILES_MAX];
};

struct denylist_load {
    const struct disk_port *disk;
    char path[DENYLIST_FOLDER_PATH_MAX];
    struct account *account; /* the image is charged to */
    size_t bytes_max;        /* of the image; 0: only the account bounds it */
    uint8_t key[DENYLIST_KEY_BYTES];
    const _Atomic bool *cancelled; /* NULL: it cannot be */
    /* Filled: */
    struct denylist_folder folder;
    struct block_ref *image; /* the caller's; NULL when there are no rules, and after an error */
    char why[320];           /* the sentence of an error */
};

/*
 * Reads all. A folder that is not there has no files. ERR_NOMEM: over bytes_max, or the account has no room; ERR_TOO_LARGE: more than DENYLIST_FILES_MAX files, a
 * line over its limit, too many switches; ERR_UNSUPPORTED, ERR_INVALID: a header; ERR_CANCELLED, ERR_IO. Nothing of a folder with a file that
 * cannot be read is in force: half a denylist is none.
 */
enum err denylist_folder_read(struct denylist_load *load) MUST_CHECK;

/* Which rule decides about a path. ERR_NOT_FOUND: none. Reads the files anew, one rule after the other: for people who ask. */
struct denylist_match {
    enum denylist_answer answer;
    char file[DENYLIST_FILE_NAME_MAX + 1];
    uint64_t line;
};
enum err denylist_folder_find(struct denylist_load *load, struct span text,
                              struct denylist_match *ret_match) MUST_CHECK;

#endif
