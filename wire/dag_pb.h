/* SPDX-License-Identifier: MIT */
/*
 * dag-pb, the node format of UnixFS: named links and some data.
 *
 *      PBNode  12 <len> PBLink ...   links first    PBLink  0a <len> CID bytes
 *              0a <len> data         then data              12 <len> name     (an empty name may be present)
 *                                                           18 <varint>       Tsize
 *
 * A decoded node borrows the block: links are iterated in place, nothing is allocated. The decoder checks the whole
 * node once, as go-codec-dagpb does: Data before or after the links but not between them nor twice, fields of a link in
 * order and not twice, a valid CID in each link, no other fields. Varints must be minimal, which go does not ask: then
 * a node has few encodings. The order of links is kept as it is; only builders sort. Spec: ipld/specs dag-pb.
 */
#ifndef HEARTH_WIRE_DAG_PB_H
#define HEARTH_WIRE_DAG_PB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

struct dag_pb_link {
    struct span cid; /* CID bytes, checked */
    struct span name;
    uint64_t tsize;
    bool has_name;
    bool has_tsize;
};

struct dag_pb_node {
    struct span links; /* the encoded links, for dag_pb_next_link */
    size_t link_count;
    struct span data;
    bool has_data;
};

/*
 * Checks a block and finds its parts; the node borrows it. ERR_TRUNCATED, ERR_INVALID (form), ERR_UNSUPPORTED,
 * ERR_TOO_LARGE (a CID of a kind that is out of range).
 */
enum err dag_pb_decode(struct span block, struct dag_pb_node *ret_node) MUST_CHECK;

/* Takes the next link from the front of *links, which began as node.links; false at the end. */
bool dag_pb_next_link(struct span *links, struct dag_pb_link *ret_link);

/* Bytes that the link takes in a node, its frame included. */
size_t dag_pb_link_size(const struct dag_pb_link *link);

/* Bytes that the data takes in a node, its frame included. */
size_t dag_pb_data_size(size_t data_len);

/* Writes one link with its frame and returns the byte after it; room for dag_pb_link_size. */
uint8_t *dag_pb_put_link(uint8_t *to, const struct dag_pb_link *link);

/* Writes the frame of a data field whose data_len bytes the caller puts behind it; returns the place for them. */
uint8_t *dag_pb_put_data_frame(uint8_t *to, size_t data_len);

/* Appends a whole node: the links in the order given, then the data if there is any. Errors as buf_append. */
enum err dag_pb_append(struct buf *out, const struct dag_pb_link *links, size_t link_count,
                       const struct span *data) MUST_CHECK;

#endif
