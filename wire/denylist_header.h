/* SPDX-License-Identifier: MIT */
/*
 * The header of a denylist: a YAML map that says what the list is. Known names are kept as far as they fit, others passed over; hints
 * are counted, since none of them changes what is denied. Nothing is expanded: aliases stay names. Spec: IPIP-383. Thread-safe.
 */
#ifndef HEARTH_WIRE_DENYLIST_HEADER_H
#define HEARTH_WIRE_DENYLIST_HEADER_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum { DENYLIST_VERSION = 1, DENYLIST_TITLE_MAX = 128, DENYLIST_DEPTH_MAX = 32 };

/* Texts are escaped for a terminal and cut to what fits. */
struct denylist_header {
    uint64_t version; /* DENYLIST_VERSION */
    char name[DENYLIST_TITLE_MAX];
    char description[DENYLIST_TITLE_MAX];
    char author[DENYLIST_TITLE_MAX];
    size_t hints;
};

/* yaml: what stands before the line "---". ERR_INVALID: no YAML map; ERR_UNSUPPORTED: another version; ERR_NOMEM. */
enum err denylist_header_parse(struct span yaml, struct denylist_header *ret_header) MUST_CHECK;

#endif
