/* SPDX-License-Identifier: MIT */
/*
 * A folder tree as one stream of bytes: what `hearth add -r` sends, in pieces of any size, to the daemon, which never
 * opens a client's path. Depth-first; files may have any length that is not known before (a pipe). tar was rejected:
 * 512 bytes per entry and sizes up front.
 *
 *      offset  0      1       2            4            8               n bytes    m bytes
 *              kind   flags   name length  body length  [mode, mtime]   name       body
 *              u8     u8      u16 LE = n   u32 LE = m
 *
 *      kind 1 ENTER    begins a folder           flag 1  a mode follows: u32 LE, low 12 bits
 *           2 LEAVE    ends it                   flag 2  a time follows: seconds i64 LE, nanoseconds u32 LE
 *           3 FILE     begins a file             flag 4  of ENTER: the entries come in the order of hamt_hash(name)
 *           4 DATA     bytes of the open file (body)
 *           5 END      ends the file
 *           6 SYMLINK  body = target
 *
 * Names are one path component: not empty, no '/', no NUL, neither "." nor "..". DATA, END and LEAVE carry no name and
 * no flags. The decoder checks each record by itself and that the nesting is right; it holds at most one name and one
 * symlink target.
 */
#ifndef HEARTH_WIRE_TREE_STREAM_H
#define HEARTH_WIRE_TREE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    TREE_NAME_MAX = 1024,
    TREE_TARGET_MAX = 4096,
    TREE_DEPTH_MAX = 256,
    TREE_HEADER_BYTES = 8,
    TREE_META_BYTES_MAX = 16,
    TREE_DATA_MAX = 1024 * 1024 /* bytes of one DATA record */
};

enum tree_kind { TREE_ENTER = 1, TREE_LEAVE, TREE_FILE, TREE_DATA, TREE_END, TREE_SYMLINK };

/* What a name carries beside its content; a mode of 0 and has_mtime false mean absent. */
struct tree_meta {
    uint32_t mode; /* permission bits, 07777 at most */
    bool has_mtime;
    int64_t mtime_seconds;
    uint32_t mtime_nanos;
    bool
        by_hash; /* of ENTER: entries come in the order of their names' hashes, so that shards are built as they come */
};

struct tree_event {
    enum tree_kind kind;
    struct span name; /* ENTER, FILE, SYMLINK */
    struct span body; /* DATA: some bytes of the file, never none; SYMLINK: the target */
    struct tree_meta meta;
};

/*
 * Appends one record. meta may be NULL. ERR_INVALID for a name or body that the decoder would refuse; else as
 * buf_append.
 */
enum err tree_stream_append(struct buf *out, enum tree_kind kind, struct span name, struct span body,
                            const struct tree_meta *meta) MUST_CHECK;

/* Appends the head of a DATA record, whose len bytes (1 to TREE_DATA_MAX) the caller writes itself. */
enum err tree_stream_append_data_head(struct buf *out, size_t len) MUST_CHECK;

/* True for one plain path component. */
bool tree_name_ok(struct span name);

struct tree_decoder {
    uint8_t head[TREE_HEADER_BYTES + TREE_META_BYTES_MAX];
    size_t head_len;
    struct buf text;    /* name, then symlink target */
    uint32_t data_left; /* bytes that the current DATA record still carries */
    uint32_t depth;     /* open folders */
    bool in_file;
};

void tree_decoder_init(struct tree_decoder *d, struct account *account);
void tree_decoder_release(struct tree_decoder *d);

/*
 * Takes bytes from the front of *in until one event is complete. ERR_OK with *ret_event, whose spans live until the
 * next call and as long as the input; ERR_AGAIN when all of *in was taken and more is needed; ERR_INVALID,
 * ERR_TOO_LARGE, ERR_NOMEM: the stream is broken, call no more. DATA comes out as it arrives, without a copy.
 */
enum err tree_decoder_next(struct tree_decoder *d, struct span *in, struct tree_event *ret_event) MUST_CHECK;

/* True when the stream may end here: nothing is half received, no folder and no file is open. */
bool tree_decoder_at_end(const struct tree_decoder *d);

#endif
