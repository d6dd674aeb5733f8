/* SPDX-License-Identifier: MIT */
/*
 * dag-json: the IPLD data model in JSON (RFC 8259), where two maps mean something else:
 *
 *      {"/": "bafy..."}                  a link
 *      {"/": {"bytes": "AQID"}}          bytes, in base64 without padding
 *
 * What begins like one of them and goes on otherwise is refused, as the spec asks. A number with a point or an exponent is a float, any other
 * an integer of 65 bits (from -2^64 to 2^64-1); nothing is rounded into another kind. White space, any order of keys and padded base64 are
 * read, since people write them; what is written has none of these. Lone surrogates, control characters in strings, text that is not UTF-8,
 * numbers that no double holds and bytes after the value are refused, and values nested deeper than IPLD_DEPTH_MAX. A key that stands twice
 * in a map is found by whoever writes the map (ipld_writer.h).
 *
 * A lexer of its own: jansson keeps numbers as 64-bit integers or doubles, forgets how they were written, builds the whole tree and
 * recurses. Allocates only for strings with escapes and for bytes, at most as much as the block is long. Spec: ipld/ipld specs/codecs/dag-json.
 */
#ifndef HEARTH_WIRE_DAG_JSON_H
#define HEARTH_WIRE_DAG_JSON_H

#include "base/attr.h"
#include "wire/ipld.h"

/*
 * Decodes a block. ERR_TRUNCATED, ERR_INVALID, ERR_TOO_LARGE (depth, an integer or float out of range), ERR_UNSUPPORTED (a CID of a kind that
 * is out of range), ERR_NOMEM, or the sink's error. ret_at (may be NULL) is set to about the offset at which it ended, on errors too. sink
 * may be NULL: the block is only checked.
 */
enum err dag_json_decode(struct span block, ipld_sink *sink, void *arg, size_t *ret_at) MUST_CHECK;

/* Takes the next link out of *rest, which began as a block that dag_json_decode found well; false at the end. */
bool dag_json_next_link(struct span *rest, struct cid *ret_cid);

/*
 * Appends the event as text: of LIST and MAP the opening bracket, of KEY the colon too. Not for END. ERR_UNSUPPORTED: text that is not UTF-8
 * has no form in JSON. Else as buf_append.
 */
enum err dag_json_append(struct buf *out, const struct ipld_event *event) MUST_CHECK;

#endif
