/* SPDX-License-Identifier: MIT */
/*
 * Packs: many blocks in one immutable object of a cold tier. docs/internals/cold_tier.md has the bytes with their offsets.
 *
 *      header | record | record | ... | index | tail
 *
 * One block is one range of the object, and its record proves itself. The index at the end lists all records; the tail says how long the
 * pack is, where the index begins, and has the checksum of what is before it. A record of another pack, a cut or an altered one does
 * not parse.
 *
 * Pure; any thread.
 */
#ifndef HEARTH_STORAGE_COLD_PACK_H
#define HEARTH_STORAGE_COLD_PACK_H

#include "storage/block_key.h"

enum {
    PACK_MARK_BYTES = 16, /* of a tier: storage/cold_tier.h */
    PACK_HEADER_BYTES = 32,
    PACK_RECORD_FIXED = 32,
    PACK_RECORD_HEAD_MAX = PACK_RECORD_FIXED + BLOCK_KEY_MAX,
    PACK_ENTRY_FIXED = 20,
    PACK_ENTRY_MAX = PACK_ENTRY_FIXED + BLOCK_KEY_MAX,
    PACK_TAIL_BYTES = 48,
    PACK_RECORDS_MAX = 16384,
    PACK_INDEX_MAX = PACK_RECORDS_MAX * PACK_ENTRY_MAX,
    PACK_BYTES_MAX = 1024 * 1024 * 1024,
    PACK_NAME_MAX = 24
};

enum pack_form { PACK_PLAIN, PACK_ZSTD };

/* Where a block lies in a cold tier: the row of the catalogue, and an entry of the index. */
struct cold_place {
    struct block_key key;
    uint32_t codec;
    uint32_t size;   /* bytes of the block */
    uint32_t stored; /* bytes of the payload as stored */
    uint32_t offset; /* of the record */
    uint64_t pack;
};

struct pack_tail {
    uint64_t pack;
    uint64_t bytes; /* of the whole pack */
    uint64_t index; /* its offset */
    uint32_t records;
    uint32_t body_crc; /* CRC-32C of everything before the index */
};

/* Bytes of the record at place: what a read asks for. */
static inline size_t pack_record_bytes(const struct cold_place *place)
{
    return PACK_RECORD_FIXED + (size_t)place->key.len + place->stored;
}

/* "0000000000000001.pack"; and back: false when the name is none of ours. */
void pack_name(uint64_t pack, char to[PACK_NAME_MAX]);
bool pack_parse_name(const char *name, uint64_t *ret_pack);

void pack_encode_header(uint64_t pack, const uint8_t mark[PACK_MARK_BYTES], uint8_t to[PACK_HEADER_BYTES]);
/* ERR_TRUNCATED, ERR_CORRUPT; ERR_MISMATCH: a good header of another pack or tier. */
enum err pack_check_header(struct span bytes, uint64_t pack, const uint8_t mark[PACK_MARK_BYTES]) MUST_CHECK;

/* Writes the head of a record whose stored payload is given; returns its length. */
size_t pack_encode_record(const struct cold_place *place, enum pack_form form, struct span payload,
                          uint8_t to[PACK_RECORD_HEAD_MAX]);

/*
 * Checks that bytes are exactly the record of place, and puts the block's bytes, place->size of them, to. The multihash is not computed:
 * block_key_verify does. ERR_TRUNCATED, ERR_CORRUPT, ERR_NOMEM.
 */
enum err pack_decode_record(struct span bytes, const struct cold_place *place, uint8_t *to) MUST_CHECK;

/* Appends the entry of place. Errors as buf_append. */
enum err pack_append_entry(struct buf *index, const struct cold_place *place, enum pack_form form) MUST_CHECK;

/* index: all entries, which lie at tail->index. */
void pack_encode_tail(const struct pack_tail *tail, struct span index, uint8_t to[PACK_TAIL_BYTES]);

/*
 * Reads the tail: the last PACK_TAIL_BYTES of an object of so many bytes. Its checksum covers the index as well, so this looks at what must
 * hold of its numbers only, and pack_read_index at the rest. ERR_TRUNCATED, ERR_CORRUPT, ERR_MISMATCH (of another pack).
 */
enum err pack_decode_tail(struct span bytes, uint64_t pack, uint64_t object_bytes,
                          struct pack_tail *ret_tail) MUST_CHECK;

/* An error ends the reading and becomes its result. */
typedef enum err pack_each(void *arg, const struct cold_place *place);

/*
 * Goes through the index. bytes: the object from tail->index to its end. Nothing is told of an index that is not whole and sound in all
 * its entries: each record lies within the body, behind the one before it. ERR_TRUNCATED, ERR_CORRUPT.
 */
enum err pack_read_index(struct span bytes, const struct pack_tail *tail, pack_each *each, void *arg) MUST_CHECK;

#endif
