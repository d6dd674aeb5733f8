/* SPDX-License-Identifier: MIT */
#include "cli/source.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum err source_begin(struct source *source, int fd)
{
    *source = (struct source){.fd = fd, .from = lseek(fd, 0, SEEK_CUR), .whole = true, .piece = malloc(SOURCE_PIECE)};
    buf_init(&source->kept, SOURCE_KEPT_MAX, NULL);
    return source->piece == NULL ? ERR_NOMEM : ERR_OK;
}

void source_release(struct source *source)
{
    buf_release(&source->kept);
    free(source->piece);
    *source = (struct source){.fd = -1};
}

enum err source_read(struct source *source, struct span *ret_bytes)
{
    bool keeps = source->from < 0 && source->whole;
    if (keeps && source->at < source->kept.len) {
        *ret_bytes = span_first(span_skip(buf_span(&source->kept), source->at),
                                MIN(source->kept.len - source->at, (size_t)SOURCE_PIECE));
        source->at += ret_bytes->len;
        return ERR_OK;
    }
    ssize_t n = read(source->fd, source->piece, SOURCE_PIECE);
    while (n < 0 && errno == EINTR)
        n = read(source->fd, source->piece, SOURCE_PIECE);
    if (n < 0)
        return ERR_IO;
    *ret_bytes = span_of(source->piece, (size_t)n);
    if (keeps && buf_append_span(&source->kept, *ret_bytes) != ERR_OK) {
        source->whole = false;
        buf_release(&source->kept);
    }
    source->at = source->kept.len;
    return ERR_OK;
}

bool source_rewind(struct source *source)
{
    source->at = 0;
    if (source->from >= 0)
        return lseek(source->fd, source->from, SEEK_SET) == source->from;
    errno = ESPIPE;
    return source->whole;
}
