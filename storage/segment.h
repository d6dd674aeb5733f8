/* SPDX-License-Identifier: MIT */
/*
 * Segments: append-only files of records, each record one block that describes itself.
 *
 *      offset  bytes
 *         0      4   magic "HRB1"
 *         4      4   CRC-32C of all that follows, padding excluded
 *         8      8   segment id
 *        16      4   payload length
 *        20      4   codec the block was first stored under (advisory)
 *        24      1   multihash length k, 1 to BLOCK_KEY_MAX
 *        25      3   zero
 *        28      k   multihash
 *      28+k      n   payload
 *                    zeros up to the next multiple of 8
 *
 * Records follow each other, but where one was not followed at once the next begins at a multiple of DISK_DIRECT_ALIGN (a group that was
 * written past the page cache).
 *
 * Integers are little-endian. A record of another segment, a torn one, and preallocated zeros do not parse, so the end of a segment
 * needs no mark. A file is named <16 hex digits of its id>.seg. Rejected: a length and checksum of the header alone, which would let
 * a scan step over a torn body; a footer per segment, which a crash leaves missing just when it is needed.
 *
 * Pure but for segment_scan and segment_read, which block on the disk; any thread.
 */
#ifndef HEARTH_STORAGE_SEGMENT_H
#define HEARTH_STORAGE_SEGMENT_H

#include "mailbox/ports.h"
#include "storage/block_key.h"

enum {
    SEGMENT_FIXED_BYTES = 28,
    SEGMENT_HEADER_MAX = SEGMENT_FIXED_BYTES + BLOCK_KEY_MAX,
    SEGMENT_ALIGN = 8,
    SEGMENT_NAME_MAX = 24
};

/* Bytes a record takes in the file, padding included. */
uint64_t segment_record_bytes(size_t key_len, size_t payload_len);

/* Writes the header of place and payload into to; returns its length, SEGMENT_FIXED_BYTES + key length. */
size_t segment_encode(const struct block_place *place, struct span payload, uint8_t to[SEGMENT_HEADER_MAX]);

/*
 * Reads the header at the front of bytes, which may end early. Sets key, codec, size and segment of ret_place and the record's
 * length without padding; checks magic, segment id and bounds, not the checksum. ERR_CORRUPT, ERR_TRUNCATED.
 */
enum err segment_decode_header(struct span bytes, uint64_t segment, struct block_place *ret_place,
                               size_t *ret_len) MUST_CHECK;

/* The same for a whole record, checksum included; ret_payload borrows from bytes. */
enum err segment_decode(struct span bytes, uint64_t segment, struct block_place *ret_place,
                        struct span *ret_payload) MUST_CHECK;

/* "0000000000000001.seg"; and back: false when the name is none of ours. */
void segment_name(uint64_t segment, char to[SEGMENT_NAME_MAX]);
bool segment_parse_name(const char *name, uint64_t *ret_segment);

/*
 * Reads the record of place into to (place->size bytes) and checks that it is the one: ERR_CORRUPT when key, size or checksum
 * differ, ERR_TRUNCATED past the end.
 */
enum err segment_read(const struct disk_port *port, struct disk_file *file, const struct block_place *place,
                      uint8_t *to) MUST_CHECK;

/* What a scan does with each record; an error ends the scan and becomes its result. */
typedef enum err segment_each(void *arg, const struct block_place *place, struct span payload);

enum segment_scan_mode {
    SCAN_TAIL, /* stop where neither here nor at the next multiple of DISK_DIRECT_ALIGN a record parses: the torn tail */
    SCAN_SALVAGE, /* look for the next record that parses and hashes right: a damaged segment */
};

/*
 * Goes through the records from offset on. Only blocks whose bytes match their multihash are reported, since unsynced sectors may
 * hold anything. ret_end is where the first unusable byte lies (SCAN_TAIL) or the end of the last good record (SCAN_SALVAGE).
 */
enum err segment_scan(const struct disk_port *port, struct disk_file *file, uint64_t segment, uint64_t offset,
                      enum segment_scan_mode mode, segment_each *each, void *arg, uint64_t *ret_end) MUST_CHECK;

/*
 * The headers of records from *offset to end, at most max; what lies behind a header is not read. Where none parses, those behind are looked for. *offset: where
 * to go on, end or more at the end.
 */
enum err segment_list(const struct disk_port *port, struct disk_file *file, uint64_t segment, uint64_t *offset,
                      uint64_t end, struct block_place *ret_places, size_t max, size_t *ret_count) MUST_CHECK;

#endif
