/* SPDX-License-Identifier: MIT */
#include "wire/dag_pb.h"

#include <assert.h>
#include <string.h>

#include "wire/cid.h"
#include "wire/varint.h"

/* Tags: field number << 3 | wire type. */
enum {
    NODE_DATA = 0x0a,
    NODE_LINK = 0x12,
    LINK_HASH = 0x0a,
    LINK_NAME = 0x12,
    LINK_TSIZE = 0x18,
};

static enum err take_bytes(struct span *in, struct span *ret_bytes)
{
    uint64_t len;
    struct span rest = *in;
    enum err err = varint_decode(&rest, &len);
    if (err != ERR_OK)
        return err;
    if (len > rest.len)
        return ERR_TRUNCATED;
    *ret_bytes = span_first(rest, (size_t)len);
    *in = span_skip(rest, (size_t)len);
    return ERR_OK;
}

/* One field of a link, which must stand after the fields that were there before. */
static enum err take_link_field(struct span *in, uint8_t *last_tag, struct dag_pb_link *link)
{
    uint8_t tag = in->data[0];
    if (tag <= *last_tag)
        return ERR_INVALID;
    *last_tag = tag;
    *in = span_skip(*in, 1);
    switch (tag) {
    case LINK_HASH:
        return take_bytes(in, &link->cid);
    case LINK_NAME:
        link->has_name = true;
        return take_bytes(in, &link->name);
    case LINK_TSIZE:
        link->has_tsize = true;
        return varint_decode(in, &link->tsize);
    }
    return ERR_INVALID;
}

static enum err parse_link(struct span in, struct dag_pb_link *ret_link)
{
    struct dag_pb_link link = {0};
    uint8_t last_tag = 0;
    while (in.len > 0) {
        enum err err = take_link_field(&in, &last_tag, &link);
        if (err != ERR_OK)
            return err;
    }
    if (link.cid.len == 0)
        return ERR_INVALID;
    *ret_link = link;
    return ERR_OK;
}

static enum err check_link(struct span in)
{
    struct dag_pb_link link;
    enum err err = parse_link(in, &link);
    if (err != ERR_OK)
        return err;
    struct cid cid;
    return cid_parse(link.cid, &cid);
}

/* Takes the run of links at the front of *in. */
static enum err take_links(struct span *in, struct dag_pb_node *node)
{
    const uint8_t *begin = in->data;
    while (in->len > 0 && in->data[0] == NODE_LINK) {
        struct span body;
        *in = span_skip(*in, 1);
        enum err err = take_bytes(in, &body);
        if (err == ERR_OK)
            err = check_link(body);
        if (err != ERR_OK)
            return err;
        node->link_count++;
    }
    node->links = span_of(begin, (size_t)(in->data - begin));
    return ERR_OK;
}

enum err dag_pb_decode(struct span block, struct dag_pb_node *ret_node)
{
    struct dag_pb_node node = {0};
    struct span in = block;
    while (in.len > 0) {
        enum err err = ERR_INVALID;
        uint8_t tag = in.data[0];
        if (tag == NODE_LINK && node.link_count == 0) {
            err = take_links(&in, &node);
        } else if (tag == NODE_DATA && !node.has_data) {
            in = span_skip(in, 1);
            err = take_bytes(&in, &node.data);
            node.has_data = true;
        }
        if (err != ERR_OK)
            return err;
    }
    *ret_node = node;
    return ERR_OK;
}

bool dag_pb_next_link(struct span *links, struct dag_pb_link *ret_link)
{
    if (links->len == 0)
        return false;
    struct span rest = span_skip(*links, 1);
    struct span body;
    if (take_bytes(&rest, &body) != ERR_OK || parse_link(body, ret_link) != ERR_OK)
        return false; /* not links of a decoded node */
    *links = rest;
    return true;
}

static size_t bytes_field_size(size_t len)
{
    return 1 + varint_size(len) + len;
}

static size_t link_body_size(const struct dag_pb_link *link)
{
    return bytes_field_size(link->cid.len) + (link->has_name ? bytes_field_size(link->name.len) : 0) +
           (link->has_tsize ? 1 + varint_size(link->tsize) : 0);
}

size_t dag_pb_link_size(const struct dag_pb_link *link)
{
    return bytes_field_size(link_body_size(link));
}

size_t dag_pb_data_size(size_t data_len)
{
    return bytes_field_size(data_len);
}

static uint8_t *put_bytes(uint8_t *to, uint8_t tag, struct span bytes)
{
    *to++ = tag;
    to += varint_encode(bytes.len, to);
    if (bytes.len > 0)
        memcpy(to, bytes.data, bytes.len);
    return to + bytes.len;
}

uint8_t *dag_pb_put_link(uint8_t *to, const struct dag_pb_link *link)
{
    *to++ = NODE_LINK;
    to += varint_encode(link_body_size(link), to);
    to = put_bytes(to, LINK_HASH, link->cid);
    if (link->has_name)
        to = put_bytes(to, LINK_NAME, link->name);
    if (link->has_tsize) {
        *to++ = LINK_TSIZE;
        to += varint_encode(link->tsize, to);
    }
    return to;
}

uint8_t *dag_pb_put_data_frame(uint8_t *to, size_t data_len)
{
    *to++ = NODE_DATA;
    return to + varint_encode(data_len, to);
}

enum err dag_pb_append(struct buf *out, const struct dag_pb_link *links, size_t link_count, const struct span *data)
{
    size_t need = data == NULL ? 0 : dag_pb_data_size(data->len);
    for (size_t i = 0; i < link_count; i++)
        need += dag_pb_link_size(&links[i]);
    if (need > out->max - out->len)
        return ERR_TOO_LARGE;
    uint8_t *to = buf_reserve(out, need);
    if (to == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < link_count; i++)
        to = dag_pb_put_link(to, &links[i]);
    if (data != NULL)
        (void)put_bytes(to, NODE_DATA, *data);
    buf_commit(out, need);
    return ERR_OK;
}
