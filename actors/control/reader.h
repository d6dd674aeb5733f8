/* SPDX-License-Identifier: MIT */
/*
 * One read through the control socket (`read`, `get`, `ls`, `resolve`): path resolver, then file exporter, tree exporter
 * or folder lister, with a bounded window of block requests. An engine: the control actor drives it and it knows neither clock
 * nor messages.
 *
 *      reader_new(path, mode)
 *      reader_next_want      -> "get this block" to store or Bitswap, until ERR_AGAIN
 *      the answers           -> reader_put_block, reader_fail_block
 *      reader_state          -> READER_WAITING until the path is resolved, then READER_OPEN; reader_info is known
 *      reader_read / reader_next_bytes / reader_next_entry until ERR_CLOSED, the end
 *
 * After each put or read call reader_next_want again: room may have come. Blocks arrive in any order and are verified
 * by whoever fetched them; a block that nobody waits for is ignored. A reader that fails stays failed and reader_why
 * says why.
 *
 * Sequential `read {path, offset, length}` requests are served by one reader that the control actor keeps for 60 s:
 * reader_position is the offset at which it goes on.
 */
#ifndef HEARTH_ACTORS_CONTROL_READER_H
#define HEARTH_ACTORS_CONTROL_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/cid.h"

struct reader;

enum {
    READER_WINDOW_BLOCKS = 64,
    READER_WINDOW_BYTES = 4 * 1024 * 1024,
    READER_PATH_MAX = 4096,
    READER_ENTRIES_AHEAD = 32 /* entries whose kind is being looked up */
};

enum reader_mode {
    READER_RESOLVE, /* ends when the path is resolved; the last block itself is not fetched */
    READER_STAT,    /* fetches the root block too: kind and size */
    READER_FILE,    /* file bytes; a folder is an error */
    READER_TREE,    /* the tree stream of a file, a symlink, or a folder with all below it */
    READER_CAR,     /* a CAR of a root and all below it */
    READER_WALK,    /* all blocks below the root, see dag_walk_options.forget_leaves */
    READER_LIST     /* entries of a folder; a file lists nothing and says its kind */
};

enum reader_kind { READER_KIND_UNKNOWN, READER_KIND_FILE, READER_KIND_DIRECTORY, READER_KIND_SYMLINK };

struct reader_options {
    enum reader_mode mode;
    bool kinds;              /* READER_LIST: load the entries' root blocks to tell their kind and size */
    uint64_t offset;         /* READER_FILE, READER_TREE, READER_CAR: first byte of the file or the stream */
    uint64_t length;         /* READER_FILE: most bytes; UINT64_MAX: to the end */
    uint32_t window_blocks;  /* 0: READER_WINDOW_BLOCKS */
    uint32_t window_bytes;   /* 0: READER_WINDOW_BYTES */
    struct account *account; /* of tables; may be NULL */
    struct account *shared;  /* of bytes read ahead by several readers; may be NULL */
};

struct reader_info {
    struct cid cid; /* what the path resolved to */
    struct span
        remainder; /* READER_RESOLVE: of the path, inside that block (storage/resolver.h); lives as long as the reader */
    enum reader_kind kind;
    uint64_t size; /* bytes of the file; length of a symlink's target; entries are not counted for folders */
    uint32_t mode; /* 0: absent */
    bool has_mtime;
    int64_t mtime_seconds;
    uint32_t mtime_nanos;
    struct span symlink_target; /* READER_KIND_SYMLINK; lives as long as the reader */
};

/*
 * An entry of a folder. The name is raw bytes of a stranger: escape it on output. Lives until the next call on the
 * reader. Without `kinds`, and when an entry's block cannot be had, only raw blocks are known: kind FILE with their
 * tsize as size.
 */
struct reader_entry {
    struct span name;
    bool name_unsafe; /* empty, "." or "..", or holds '/' or NUL: never to be used as a file name */
    struct cid cid;
    uint64_t tsize; /* as the folder claims, not to be trusted */
    enum reader_kind kind;
    uint64_t size;
    uint32_t mode; /* 0: absent */
    bool has_mtime;
    int64_t mtime_seconds;
    uint32_t mtime_nanos;
};

/* One block of a walk. */
struct reader_block {
    struct cid cid;
    uint64_t size;
};

enum reader_state { READER_WAITING, READER_OPEN, READER_FAILED };

/*
 * text: a CID, `/ipfs/<cid>[/path]`, `<cid>/path` or `ipfs://...`. ERR_INVALID for what is none of these,
 * ERR_UNSUPPORTED for /ipns/, ERR_NOMEM; ret_why (may be NULL) gets a static sentence then.
 */
enum err reader_new(struct span text, const struct reader_options *options, struct reader **ret_reader,
                    const char **ret_why) MUST_CHECK;
void reader_free(struct reader *reader);

/* The next block to fetch, each once while it is outstanding. ERR_AGAIN: none at the moment. */
enum err reader_next_want(struct reader *reader, struct cid *ret_cid) MUST_CHECK;

/* Gives the verified bytes of a wanted block; the reader takes a reference of its own. Ignored when not wanted. */
void reader_put_block(struct reader *reader, const struct cid *cid, struct block_ref *block);

/*
 * The block cannot be had (ERR_NOT_FOUND, ERR_TIMEOUT, ...): the reader fails with that error. said: by whoever was asked, or "". Ignored when not wanted.
 */
void reader_fail_block(struct reader *reader, const struct cid *cid, enum err err, const char *said);

/*
 * The block cannot be had for the moment (ERR_BUSY): it comes out of reader_next_want again. Ignored when not wanted.
 */
void reader_retry_block(struct reader *reader, const struct cid *cid);

enum reader_state reader_state(const struct reader *reader);

/* Valid from READER_OPEN on (for READER_RESOLVE: cid only). */
const struct reader_info *reader_info(const struct reader *reader);

/* The offset of the next byte that will be read, of the file or the stream. */
uint64_t reader_position(const struct reader *reader);

/*
 * A READER_TREE of one file becomes a READER_FILE that goes on at offset, the end of what was read of the file, and with what is on its way.
 * False: it is no such tree, or stands elsewhere, and nothing changed.
 */
bool reader_become_file(struct reader *reader, uint64_t offset) MUST_CHECK;

/*
 * READER_FILE: the next bytes in order, at least one and at most so many, without a copy: a span of *ret_block, which the caller unrefs.
 * ERR_AGAIN: waits for blocks; ERR_CLOSED: the end; else the error that ended the reader.
 */
enum err reader_next_bytes(struct reader *reader, uint64_t most, struct block_ref **ret_block,
                           struct span *ret_bytes) MUST_CHECK;

/*
 * READER_FILE, READER_TREE, READER_CAR: appends up to length_bytes to out, fewer only at the end. ERR_OK: all there or the end was reached;
 * ERR_AGAIN: some bytes are still missing, call again later with what is left (out->len tells).
 */
enum err reader_read(struct reader *reader, struct buf *out, size_t length_bytes) MUST_CHECK;

/*
 * READER_LIST: the next entry, in the folder's own order (shards one after the other). ERR_AGAIN, ERR_CLOSED as above.
 */
enum err reader_next_entry(struct reader *reader, struct reader_entry *ret_entry) MUST_CHECK;

/* READER_WALK: the next block. ERR_AGAIN, ERR_CLOSED as above. */
enum err reader_next_block(struct reader *reader, struct reader_block *ret_block) MUST_CHECK;

/* The error of a failed reader, ERR_OK else; and a static sentence for the user, "" when there is none. */
enum err reader_error(const struct reader *reader);
const char *reader_why(const struct reader *reader);

#endif
