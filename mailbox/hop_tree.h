/* SPDX-License-Identifier: MIT */
/*
 * The events of a trace put together: one row for each request, call, cast and job, each behind what caused it.
 *
 * What is left of a trace whose first events were overwritten is a row without those times; a row whose cause is not there any more
 * stands at the margin. Data in, data out; no context.
 */
#ifndef HEARTH_MAILBOX_HOP_TREE_H
#define HEARTH_MAILBOX_HOP_TREE_H

#include "mailbox/hops.h"

/*
 * Writes at most max rows for the events, which are of one trace and in their order. Returns how many. ret_whole: nothing is missing in front,
 * and all fit. 0 rows without memory.
 */
size_t hop_tree_make(const struct hop_event *events, size_t count, struct trace_hop *ret_rows, size_t max,
                     bool *ret_whole);

#endif
