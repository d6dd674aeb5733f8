/* SPDX-License-Identifier: MIT */
/*
 * Follows a path inside a block: the keys of maps and the indices of lists, joined by '/'.
 *
 *      block {"a": [{"b": link}, 2]}      path a/0/b/c      ->  IPLD_LINKED, the link, 5 bytes of the path used: c is to be looked up there
 *                                         path a/1          ->  IPLD_HERE, the sink gets INT 2
 *                                         path a/x          ->  IPLD_NOWHERE
 *
 * One pass over the events of a block, a few words of state. The path holds no empty components.
 */
#ifndef HEARTH_WIRE_IPLD_FIND_H
#define HEARTH_WIRE_IPLD_FIND_H

#include "base/attr.h"
#include "wire/ipld.h"

enum ipld_where { IPLD_NOWHERE, IPLD_HERE, IPLD_LINKED };

struct ipld_find {
    struct span path; /* what of it is still to be found */
    ipld_sink *sink;  /* gets the value that the path names, when it is in this block; may be NULL */
    void *arg;
    enum ipld_where where;
    size_t used;       /* bytes of the path, with the '/' after it */
    struct cid link;   /* IPLD_LINKED */
    bool over;         /* the rest of the block does not matter */
    bool candidate;    /* the next value is the one that the path so far names */
    bool forwards;     /* events of the value go to the sink */
    bool in_map;       /* what is searched is a map, else a list */
    uint32_t depth;    /* open lists and maps */
    uint32_t searched; /* the depth of the one whose entries are compared; 0: none yet */
    uint64_t index;    /* in the list that is searched: of the next item */
};

/* The path may be empty: the block's own value is looked for, which is HERE even if it is a link. */
void ipld_find_init(struct ipld_find *find, struct span path, ipld_sink *sink, void *arg);

/* An ipld_sink: arg is the ipld_find. After the last event find->where tells. Errors: the sink's. */
enum err ipld_find_event(void *arg, const struct ipld_event *event) MUST_CHECK;

#endif
