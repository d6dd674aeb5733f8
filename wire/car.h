/* SPDX-License-Identifier: MIT */
/*
 * CAR: blocks in a row, in one stream.
 *
 *      v1   <varint len> {"roots": [link ...], "version": 1} as dag-cbor      header
 *           <varint len> <CID> <bytes>                                        section, one for each block
 *           ...
 *      v2    0  0a a1 67 "version" 02     pragma: a v1 header of version 2 and nothing else
 *           11  characteristics, 16 bytes
 *           27  data offset, 8 bytes little-endian, from the pragma on
 *           35  data size, 8              the data are a v1 CAR
 *           43  index offset, 8           0: no index; else behind the data
 *           51  padding, data, padding, index to the end of the stream
 *
 * The reader takes the stream in pieces of any size and gives one event after the other. Each block is verified against its CID; one of
 * block_bytes_max is the most that is ever held. An index is passed over: it could not be believed, and whoever stores the blocks has one of
 * his own. A section of length zero is refused, as by the reference readers, though some writers pad with zeros. Where a header may have
 * 32 MiB elsewhere, here it has 1 MiB: some 25,000 roots. No I/O; one thread at a time. Spec: ipld/ipld specs/transport/car.
 */
#ifndef HEARTH_WIRE_CAR_H
#define HEARTH_WIRE_CAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/cid.h"
#include "wire/varint.h"

enum {
    CAR_HEADER_MAX = 1024 * 1024,
    CAR_SECTION_MAX = 8 * 1024 * 1024,
    CAR_V2_HEADER_BYTES = 40,
    CAR_SECTION_HEAD_MAX = VARINT_BYTES_MAX + CID_BYTES_MAX
};

enum car_event_kind { CAR_HEADER, CAR_BLOCK };

struct car_event {
    enum car_event_kind kind;
    struct span header;      /* CAR_HEADER: its links, for dag_cbor_next_link, are the roots; until the next call */
    struct cid cid;          /* CAR_BLOCK */
    struct block_ref *block; /* CAR_BLOCK: the caller's reference; charged to the reader's account */
};

struct car_reader;

/* block_bytes_max: at most CAR_SECTION_MAX. account (may be NULL) is charged for what is being assembled. ERR_NOMEM. */
enum err car_reader_new(size_t block_bytes_max, struct account *account, struct car_reader **ret_reader) MUST_CHECK;
void car_reader_free(struct car_reader *reader); /* NULL is ignored */

/*
 * Takes bytes from the front of *in until an event is complete. ERR_OK with *ret_event; ERR_AGAIN when all of *in was taken and more is
 * needed; ERR_INVALID (form), ERR_TOO_LARGE, ERR_CORRUPT (a block is not that of its CID), ERR_UNSUPPORTED (another version; a hash that
 * cannot be computed here), ERR_NOMEM: the reader is over, why and offset tell more.
 */
enum err car_reader_next(struct car_reader *reader, struct span *in, struct car_event *ret_event) MUST_CHECK;

/* The stream has ended. ERR_OK when it may end here, else ERR_TRUNCATED. */
enum err car_reader_finish(struct car_reader *reader) MUST_CHECK;

/* After an error: a static sentence, and where in the stream what it speaks of begins. */
const char *car_reader_why(const struct car_reader *reader);
uint64_t car_reader_offset(const struct car_reader *reader);

/* Appends the header of a v1 CAR. Errors as buf_append. */
enum err car_append_header(struct buf *out, const struct cid *roots, size_t count) MUST_CHECK;

/* Writes what stands before the bytes of a block; returns its length. */
size_t car_section_head(const struct cid *cid, size_t block_len, uint8_t to[CAR_SECTION_HEAD_MAX]);

#endif
