/* SPDX-License-Identifier: MIT */
/* A node: its links add up, and written again (links first) it is a node with the same parts. */
#include <stdlib.h>

#include "wire/cid.h"
#include "wire/dag_pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINKS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dag_pb_node node;
    struct dag_pb_node again;
    struct dag_pb_link links[LINKS_MAX];
    struct dag_pb_link link;
    struct span block = span_of(data, size);
    size_t count = 0;
    size_t bytes = 0;
    if (dag_pb_decode(block, &node) != ERR_OK)
        return 0;
    for (struct span rest = node.links; dag_pb_next_link(&rest, &link); count++) {
        struct cid cid;
        if (cid_parse(link.cid, &cid) != ERR_OK)
            abort();
        bytes += dag_pb_link_size(&link);
        if (count < LINKS_MAX)
            links[count] = link;
    }
    if (count != node.link_count || bytes + (node.has_data ? dag_pb_data_size(node.data.len) : 0) != size)
        abort();
    if (count > LINKS_MAX)
        return 0;
    struct buf out;
    buf_init(&out, size + 16, NULL);
    if (dag_pb_append(&out, links, count, node.has_data ? &node.data : NULL) != ERR_OK || out.len != size)
        abort();
    if (size > 0 && (dag_pb_decode(buf_span(&out), &again) != ERR_OK || again.link_count != count ||
                     !span_equal(again.links, node.links) || !span_equal(again.data, node.data)))
        abort();
    buf_release(&out);
    return 0;
}
