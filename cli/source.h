/* SPDX-License-Identifier: MIT */
/*
 * The bytes of an open file that may have to be read twice: a file is read again, of a pipe what was read is kept, as long as it is little.
 */
#ifndef HEARTH_CLI_SOURCE_H
#define HEARTH_CLI_SOURCE_H

#include <sys/types.h>

#include "base/buf.h"

enum { SOURCE_PIECE = 256 * 1024, SOURCE_KEPT_MAX = 2 * 1024 * 1024 };

struct source {
    int fd;     /* borrowed */
    off_t from; /* where it began; < 0: it can be read once only */
    bool whole; /* what was read can be had again */
    size_t at;  /* in kept */
    struct buf kept;
    uint8_t *piece;
};

/* A source that source_release leaves, too: it can be used for the next file. ERR_NOMEM. */
enum err source_begin(struct source *source, int fd) MUST_CHECK;
void source_release(struct source *source);

/* The next bytes, at most SOURCE_PIECE, none at the end; they live until the next call. ERR_IO: errno says why. */
enum err source_read(struct source *source, struct span *ret_bytes) MUST_CHECK;

/* Begins anew; false when that cannot be, with errno. */
bool source_rewind(struct source *source) MUST_CHECK;

#endif
