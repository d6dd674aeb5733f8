/* SPDX-License-Identifier: MIT */
#include "wire/dag_links.h"

#include "wire/dag_cbor.h"
#include "wire/dag_json.h"
#include "wire/dag_pb.h"

bool dag_links_known(uint32_t codec)
{
    return codec == CODEC_RAW || codec == CODEC_DAG_PB || codec == CODEC_DAG_CBOR || codec == CODEC_DAG_JSON;
}

static enum err check(uint32_t codec, struct span block, struct span *ret_rest)
{
    struct dag_pb_node node = {0};
    enum err err;
    *ret_rest = block;
    switch (codec) {
    case CODEC_DAG_PB:
        err = dag_pb_decode(block, &node);
        *ret_rest = node.links;
        return err;
    case CODEC_DAG_CBOR:
        return dag_cbor_decode(block, DAG_CBOR_LOOSE, NULL, NULL, NULL);
    case CODEC_DAG_JSON:
        return dag_json_decode(block, NULL, NULL, NULL);
    }
    return ERR_OK;
}

enum err dag_links_open(uint32_t codec, struct span block, struct dag_links *ret_links)
{
    struct dag_links links = {.codec = codec};
    enum err err = check(codec, block, &links.rest);
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
    *ret_name = (struct span){0};
    switch (links->codec) {
    case CODEC_DAG_PB:
        return next_dag_pb(&links->rest, ret_cid, ret_name);
    case CODEC_DAG_CBOR:
        return dag_cbor_next_link(&links->rest, ret_cid);
    case CODEC_DAG_JSON:
        return dag_json_next_link(&links->rest, ret_cid);
    }
    return false;
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
