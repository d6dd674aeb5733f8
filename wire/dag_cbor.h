/* SPDX-License-Identifier: MIT */
/*
 * dag-cbor: the IPLD data model in CBOR.
 *
 *      head   major type << 5 | n            0 n             1 -1-n        2 bytes     3 text
 *             18 n, 19 nn, 1a n{4}, 1b n{8}  4 list of n     5 map of n    6 tag       7 simple, float
 *      link   d8 2a <bytes: 00 and the CID>                  f4 false  f5 true  f6 null  fb <IEEE 754 double>
 *
 * Refused in every case: indefinite lengths, heads that are not in their shortest form, keys other than text, tags other than 42, simple
 * values other than those three, NaN and infinities, bytes after the value, counts that the rest of the block cannot hold, and values nested
 * deeper than IPLD_DEPTH_MAX. The spec's canonical form also orders the keys of a map (shorter ones first, then by bytes; none twice), has
 * 64-bit floats only and text in UTF-8. Blocks that were written without that are found in the network and read by the reference
 * implementations, so whoever reads says whether it must be canonical. What is written always is. The bytes of events lie in the block itself.
 * No allocation, 16 KiB of stack.
 * Spec: ipld/ipld specs/codecs/dag-cbor.
 */
#ifndef HEARTH_WIRE_DAG_CBOR_H
#define HEARTH_WIRE_DAG_CBOR_H

#include "base/attr.h"
#include "wire/ipld.h"

enum dag_cbor_form { DAG_CBOR_CANONICAL, DAG_CBOR_LOOSE };

/*
 * Decodes a block. ERR_TRUNCATED, ERR_INVALID, ERR_TOO_LARGE (depth, a CID out of range), ERR_UNSUPPORTED (such a CID), or the sink's error.
 * ret_at (may be NULL) is set to the offset at which it ended, on errors too. sink may be NULL: the block is only checked.
 */
enum err dag_cbor_decode(struct span block, enum dag_cbor_form form, ipld_sink *sink, void *arg,
                         size_t *ret_at) MUST_CHECK;

/* Takes the next link out of *rest, which began as a block that dag_cbor_decode found well; false at the end. */
bool dag_cbor_next_link(struct span *rest, struct cid *ret_cid);

/* Appends the event; of LIST and MAP the head for so many entries. Not for END. Errors as buf_append. */
enum err dag_cbor_append(struct buf *out, const struct ipld_event *event, uint64_t entries) MUST_CHECK;

/* Bytes of a head. */
size_t dag_cbor_head_size(uint64_t n);

#endif
