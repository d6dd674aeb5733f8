/* SPDX-License-Identifier: MIT */
#include "wire/dag_links.h"

#include "wire/dag_pb.h"

bool dag_links_known(uint32_t codec)
{
    return codec == CODEC_RAW || codec == CODEC_DAG_PB;
}

static enum err open_dag_pb(struct span block, struct span *ret_rest)
{
    struct dag_pb_node node;
    enum err err = dag_pb_decode(block, &node);
    if (err == ERR_OK)
        *ret_rest = node.links;
    return err;
}

enum err dag_links_open(uint32_t codec, struct span block, struct dag_links *ret_links)
{
    struct dag_links links = {.codec = codec};
    enum err err = codec == CODEC_DAG_PB ? open_dag_pb(block, &links.rest) : ERR_OK;
    if (err == ERR_OK)
        *ret_links = links;
    return err;
}

static bool next_dag_pb(struct span *rest, struct cid *ret_cid, struct span *ret_name)
{
    struct dag_pb_link link;
    if (!dag_pb_next_link(rest, &link) || cid_parse(link.cid, ret_cid) != ERR_OK)
        return false;
    *ret_name = link.name;
    return true;
}

bool dag_links_next(struct dag_links *links, struct cid *ret_cid, struct span *ret_name)
{
    return links->codec == CODEC_DAG_PB && next_dag_pb(&links->rest, ret_cid, ret_name);
}

enum err dag_links_each(uint32_t codec, struct span block, dag_link_each *each, void *arg)
{
    struct dag_links links;
    struct cid cid;
    struct span name;
    enum err err = dag_links_open(codec, block, &links);
    while (err == ERR_OK && dag_links_next(&links, &cid, &name))
        err = each(arg, &cid, name);
    return err;
}
