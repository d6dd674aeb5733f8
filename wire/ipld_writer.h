/* SPDX-License-Identifier: MIT */
/*
 * Writes a value as dag-cbor or dag-json, in canonical form whatever the order of its events: the entries of a map are sorted when the map
 * ends, since both codecs ask for it and differ in the order (dag-cbor: shorter keys first; dag-json: by bytes).
 *
 *      out      ... {"b":1,"a":{...}        entries lie where they were written; an END moves those of its map, if they are not in order
 *      entries  {key, where}, {key, where}  of all open maps
 *
 * Memory: what is written, 12 bytes and the key for each entry of the open maps, and while a map is sorted once more its bytes. A key that
 * stands twice is refused, and what has no form in the codec: in dag-json text that is not UTF-8 and maps that look like a link or bytes.
 */
#ifndef HEARTH_WIRE_IPLD_WRITER_H
#define HEARTH_WIRE_IPLD_WRITER_H

#include "base/attr.h"
#include "wire/ipld.h"

struct ipld_writer {
    uint32_t codec;
    struct buf *out;
    struct buf frames;  /* open lists and maps */
    struct buf entries; /* of the open maps */
    struct buf keys;    /* their keys */
    struct buf pieces;  /* of a map that is being sorted, as is sorted */
    struct buf sorted;
};

/* codec: CODEC_DAG_CBOR or CODEC_DAG_JSON. out is borrowed and empty; its max bounds what is written. */
void ipld_writer_init(struct ipld_writer *w, uint32_t codec, struct buf *out);
void ipld_writer_release(struct ipld_writer *w);

/*
 * An ipld_sink: arg is the writer. ERR_INVALID: a key stands twice; ERR_UNSUPPORTED: the codec has no form for it; ERR_TOO_LARGE: out is full;
 * ERR_NOMEM. Then the writer is over.
 */
enum err ipld_writer_event(void *arg, const struct ipld_event *event) MUST_CHECK;

#endif
