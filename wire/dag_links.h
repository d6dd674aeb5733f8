/* SPDX-License-Identifier: MIT */
/*
 * What a block links to, whatever its codec: the one place that knows how links stand in blocks.
 *
 *      struct dag_links links;
 *      err = dag_links_open(cid.codec, block, &links);          checks the whole block
 *      while (dag_links_next(&links, &child, &name)) ...        in the block's own order, each as often as it stands there
 *
 * A block of a codec that links in no way known here links to nothing: dag_links_known tells the two apart for whoever must not take a
 * part of a DAG for the whole. The name is that of a dag-pb link, empty elsewhere. Blocks of dag-cbor need not be canonical. The iterator
 * borrows the block and is a position in it, so it may be kept while blocks are awaited.
 */
#ifndef HEARTH_WIRE_DAG_LINKS_H
#define HEARTH_WIRE_DAG_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/cid.h"

struct dag_links {
    uint32_t codec;
    struct span rest; /* where the next link is looked for */
};

/* Whether links of blocks of this codec are known, be it that there are none. */
bool dag_links_known(uint32_t codec);

/* Checks the block and begins before its first link. Errors as the codec's decoder; ERR_OK for codecs that are not known. */
enum err dag_links_open(uint32_t codec, struct span block, struct dag_links *ret_links) MUST_CHECK;

/* Takes the next link; false at the end. The name borrows the block. */
bool dag_links_next(struct dag_links *links, struct cid *ret_cid, struct span *ret_name);

/* Calls each for every link; an error of it ends the calls and is returned. Other errors as dag_links_open, before any call. */
typedef enum err dag_link_each(void *arg, const struct cid *cid, struct span name);
enum err dag_links_each(uint32_t codec, struct span block, dag_link_each *each, void *arg) MUST_CHECK;

#endif
