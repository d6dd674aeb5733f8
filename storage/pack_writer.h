/* SPDX-License-Identifier: MIT */
/*
 * Makes a pack out of blocks, in one pass: bytes go to a sink as they come, and only the index is kept until the end.
 *
 *      pack_writer_new --> pack_writer_add --+--> pack_writer_finish --> pack_writer_free
 *                               ^------------+
 *
 * A payload is compressed, and kept so when that saves a sixteenth or more. An error of the sink, or no memory in the middle of a record,
 * ends the pack: what was written is no pack, and is the owner's to remove.
 *
 * Memory, all of it charged: the compressor (PACK_COMPRESSOR_BYTES), a buffer as large as the largest block so far, the index.
 *
 * No I/O of its own; one thread.
 */
#ifndef HEARTH_STORAGE_PACK_WRITER_H
#define HEARTH_STORAGE_PACK_WRITER_H

#include "base/limits.h"
#include "storage/cold_pack.h"

enum { PACK_COMPRESSOR_BYTES = 2 * 1024 * 1024, PACK_LEVEL = 3 };

/* Takes bytes of the pack, in order; they are borrowed for the call. */
typedef enum err pack_sink(void *arg, struct span bytes);

struct pack_writer_options {
    uint64_t pack; /* its id, not 0 */
    uint8_t mark[PACK_MARK_BYTES];
    uint64_t bytes_max;      /* of the whole pack; at most PACK_BYTES_MAX */
    struct account *account; /* NULL = not charged */
    pack_sink *sink;
    void *arg;
};

struct pack_writer;

/* Begins, and hands the header to the sink. ERR_NOMEM, and the sink's errors. */
enum err pack_writer_new(const struct pack_writer_options *options, struct pack_writer **ret_writer) MUST_CHECK;
/* NULL-safe. */
void pack_writer_free(struct pack_writer *w);

/*
 * Appends one block; ret_place says where. ERR_BUSY: the pack is full, and as it was (a first block always fits); ERR_TOO_LARGE: the block
 * is over BLOCK_BYTES_MAX; ERR_NOMEM: the pack is as it was; the sink's errors, after which it is ended. The block's bytes are taken as they
 * are: whoever adds them has verified them.
 */
enum err pack_writer_add(struct pack_writer *w, const struct block_key *key, uint32_t codec, struct span payload,
                         struct cold_place *ret_place) MUST_CHECK;

/* Hands index and tail to the sink. Nothing can be added afterwards. */
enum err pack_writer_finish(struct pack_writer *w, struct pack_tail *ret_tail) MUST_CHECK;

/* Bytes handed to the sink so far; records; bytes of their blocks. */
uint64_t pack_writer_bytes(const struct pack_writer *w);
uint32_t pack_writer_records(const struct pack_writer *w);
uint64_t pack_writer_payload(const struct pack_writer *w);

#endif
