/* SPDX-License-Identifier: MIT */
#include "storage/resolver.h"

#include <stdlib.h>
#include <string.h>

#include "storage/node_info.h"
#include "wire/hamt.h"
#include "wire/ipld_codec.h"

struct resolver {
    struct cid current;
    struct buf path; /* components joined by '/' */
    size_t at;       /* where the next component begins */
    unsigned level;  /* of the shard that current names; 0: the folder itself */
    struct hamt_params params;
    bool asked;
    bool ends_inside; /* the path from at on lies in the block that current names */
    enum err failure;
    const char *why;
};

static enum err fail(struct resolver *r, enum err err, const char *why)
{
    r->failure = err;
    r->why = why;
    return err;
}

static struct span component_at(struct span path)
{
    const uint8_t *slash = path.len == 0 ? NULL : memchr(path.data, '/', path.len);
    return slash == NULL ? path : span_first(path, (size_t)(slash - path.data));
}

/* Takes the last component off. */
static void pop_component(struct buf *path)
{
    while (path->len > 0 && path->data[path->len - 1] != '/')
        path->len--;
    if (path->len > 0)
        path->len--;
}

/* Copies the path without empty components, "." and "..". */
static enum err clean_path(struct buf *out, struct span path)
{
    while (path.len > 0) {
        struct span name = component_at(path);
        path = span_skip(path, name.len + 1);
        if (name.len == 0 || span_equal_text(name, "."))
            continue;
        if (span_equal_text(name, "..")) {
            pop_component(out);
            continue;
        }
        enum err err = out->len > 0 ? buf_append_byte(out, '/') : ERR_OK;
        if (err == ERR_OK)
            err = buf_append_span(out, name);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static bool strip(struct span *text, const char *prefix)
{
    if (!span_equal_text(span_first(*text, strlen(prefix)), prefix))
        return false;
    *text = span_skip(*text, strlen(prefix));
    return true;
}

static enum err parse_text(struct resolver *r, struct span text, const char **ret_why)
{
    if (text.len > RESOLVER_PATH_MAX) {
        *ret_why = "the path is too long";
        return ERR_TOO_LARGE;
    }
    if (!strip(&text, "/ipfs/") && !strip(&text, "ipfs://") && text.len > 0 &&
        (text.data[0] == '/' || strip(&text, "ipns://"))) {
        *ret_why = "only /ipfs/ paths can be resolved";
        return ERR_UNSUPPORTED;
    }
    struct span root = component_at(text);
    if (root.len == 0 || cid_parse_text(root, &r->current) != ERR_OK) {
        *ret_why = "the path does not begin with a CID";
        return ERR_INVALID;
    }
    return clean_path(&r->path, span_skip(text, root.len));
}

/* The link of that name, the first one if there are several. */
static bool find_name(struct span links, struct span name, struct dag_pb_link *ret_link)
{
    while (dag_pb_next_link(&links, ret_link)) {
        if (span_equal(ret_link->name, name))
            return true;
    }
    return false;
}

/* Follows the path through the values of a block, to a link or to its end. */
static enum err step_values(struct resolver *r, struct span block)
{
    struct ipld_find find;
    ipld_find_init(&find, span_skip(buf_span(&r->path), r->at), NULL, NULL);
    if (ipld_decode(r->current.codec, block, DAG_CBOR_LOOSE, ipld_find_event, &find, NULL) != ERR_OK)
        return fail(r, ERR_CORRUPT, "a block is not what its codec says");
    switch (find.where) {
    case IPLD_NOWHERE:
        return fail(r, ERR_NOT_FOUND, "no such key or index");
    case IPLD_HERE:
        r->ends_inside = true;
        return ERR_OK;
    case IPLD_LINKED:
        r->at += find.used;
        r->current = find.link;
        r->asked = false;
        return ERR_OK;
    }
    return ERR_INTERNAL;
}

static enum err follow(struct resolver *r, const struct dag_pb_link *link)
{
    if (cid_parse(link->cid, &r->current) != ERR_OK)
        return fail(r, ERR_CORRUPT, "a link is not a CID");
    r->asked = false;
    return ERR_OK;
}

/* The component was found: the next one, if any, is looked up in what it names. */
static enum err descend(struct resolver *r, struct span name, const struct dag_pb_link *link)
{
    r->at += name.len + 1;
    r->level = 0;
    return follow(r, link);
}

static enum err step_shard(struct resolver *r, const struct node_info *info, struct span name)
{
    struct hamt_shard shard;
    if (hamt_shard_decode(&info->node, &info->unixfs, &shard) != ERR_OK)
        return fail(r, ERR_CORRUPT, "a shard of the folder is malformed");
    if (r->level > 0 && shard.params.fanout != r->params.fanout)
        return fail(r, ERR_CORRUPT, "the shards of the folder differ in fanout");
    r->params = shard.params;
    if (r->level >= shard.params.levels_max)
        return fail(r, ERR_CORRUPT, "the folder has too many levels of shards");
    struct dag_pb_link link;
    uint32_t bucket = hamt_bucket(&shard.params, hamt_hash(name), r->level);
    enum err err = hamt_shard_find(&shard, bucket, &link);
    if (err == ERR_CORRUPT)
        return fail(r, err, "a shard of the folder is malformed");
    if (err == ERR_OK && hamt_link_is_shard(&shard.params, &link)) {
        r->level++;
        return follow(r, &link);
    }
    if (err == ERR_OK && span_equal(hamt_entry_name(&shard.params, &link), name))
        return descend(r, name, &link);
    return fail(r, ERR_NOT_FOUND, "no entry of that name");
}

/* Looks the next component up in the block that current names. */
static enum err step(struct resolver *r, struct span block)
{
    struct node_info info;
    const char *why = "";
    struct span name = component_at(span_skip(buf_span(&r->path), r->at));
    if (r->level == 0 && (r->current.codec == CODEC_DAG_CBOR || r->current.codec == CODEC_DAG_JSON))
        return step_values(r, block);
    enum err err = node_info_of(&r->current, block, &info, &why);
    if (err != ERR_OK)
        return fail(r, err, why);
    if (r->level > 0 && info.kind != NODE_HAMT)
        return fail(r, ERR_CORRUPT, "a shard of the folder is not a shard");
    struct dag_pb_link link;
    switch (info.kind) {
    case NODE_DIRECTORY:
        if (find_name(info.node.links, name, &link))
            return descend(r, name, &link);
        return fail(r, ERR_NOT_FOUND, "no entry of that name");
    case NODE_HAMT:
        return step_shard(r, &info, name);
    case NODE_FILE:
        return fail(r, ERR_NOT_FOUND, "a file has no entries");
    case NODE_SYMLINK:
        return fail(r, ERR_NOT_FOUND, "symlinks are not followed");
    }
    return ERR_INTERNAL;
}

/* Steps through nodes that are inside their CIDs. */
static enum err step_inline(struct resolver *r)
{
    while (r->failure == ERR_OK && !resolver_done(r, NULL) && r->current.hash.code == MULTIHASH_IDENTITY) {
        struct multihash bytes = r->current.hash;
        (void)step(r, span_of(bytes.digest, bytes.len));
    }
    return r->failure;
}

enum err resolver_new(struct span text, struct account *account, struct resolver **ret_resolver, const char **ret_why)
{
    const char *why = "not enough memory";
    struct resolver *r = calloc(1, sizeof(*r));
    enum err err = ERR_NOMEM;
    if (r != NULL) {
        r->why = "";
        buf_init(&r->path, RESOLVER_PATH_MAX, account);
        err = parse_text(r, text, &why);
    }
    if (err != ERR_OK) {
        resolver_free(r);
        if (ret_why != NULL)
            *ret_why = why;
        return err;
    }
    (void)step_inline(r); /* a failure shows in resolver_error */
    *ret_resolver = r;
    return ERR_OK;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    buf_release(&resolver->path);
    free(resolver);
}

enum err resolver_next_want(struct resolver *resolver, struct cid *ret_cid)
{
    if (resolver->asked || resolver->failure != ERR_OK || resolver_done(resolver, NULL))
        return ERR_AGAIN;
    resolver->asked = true;
    *ret_cid = resolver->current;
    return ERR_OK;
}

enum err resolver_put(struct resolver *resolver, const struct cid *cid, struct block_ref *block)
{
    if (!resolver_waits_for(resolver, cid))
        return resolver->failure;
    enum err err = step(resolver, block_ref_span(block));
    return err == ERR_OK ? step_inline(resolver) : err;
}

bool resolver_waits_for(const struct resolver *resolver, const struct cid *cid)
{
    return resolver->failure == ERR_OK && resolver->asked && !resolver_done(resolver, NULL) &&
           cid_same_block(&resolver->current, cid);
}

void resolver_retry(struct resolver *resolver, const struct cid *cid)
{
    if (resolver_waits_for(resolver, cid))
        resolver->asked = false;
}

bool resolver_done(const struct resolver *resolver, struct cid *ret_cid)
{
    if (resolver->failure != ERR_OK || (resolver->at < resolver->path.len && !resolver->ends_inside))
        return false;
    if (ret_cid != NULL)
        *ret_cid = resolver->current;
    return true;
}

struct span resolver_remainder(const struct resolver *resolver)
{
    return span_skip(buf_span(&resolver->path), resolver->at);
}

enum err resolver_error(const struct resolver *resolver)
{
    return resolver->failure;
}

const char *resolver_why(const struct resolver *resolver)
{
    return resolver->why;
}
