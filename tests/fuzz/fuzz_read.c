/* SPDX-License-Identifier: MIT */
/*
 * Hostile DAGs through exporter, tree exporter, CAR exporter, lister, resolver and walker: every block that is asked for is answered with one of a
 * few that the input holds. No hash is checked, so nodes may link to themselves: steps and memory must stay bounded all
 * the same.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "storage/car_exporter.h"
#include "storage/dag_walk.h"
#include "storage/dir_lister.h"
#include "storage/exporter.h"
#include "storage/resolver.h"
#include "storage/tree_exporter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BLOCKS = 4, STEPS = 300 };

static struct block_ref *blocks[BLOCKS];

static struct block_ref *block_for(const struct cid *cid)
{
    return blocks[cid->hash.digest[0] % BLOCKS];
}

static struct cid root_cid(uint8_t codec)
{
    struct cid cid = {.version = 1, .codec = codec % 4 == 0 ? CODEC_RAW : CODEC_DAG_PB};
    if (codec % 16 == 5 || codec % 16 == 6)
        cid.codec = codec % 16 == 5 ? CODEC_DAG_CBOR : CODEC_DAG_JSON;
    cid.hash.code = MULTIHASH_SHA2_256;
    cid.hash.len = 32;
    return cid;
}

static void read_file(const struct cid *root, struct account *account)
{
    struct exporter_options options = {
        .length = UINT64_MAX, .window_blocks = 4, .window_bytes = 1 << 16, .account = account};
    struct exporter *e;
    if (exporter_new(root, &options, &e) != ERR_OK)
        return;
    for (unsigned i = 0; i < STEPS; i++) {
        struct cid cid;
        struct block_ref *block;
        struct span bytes;
        while (exporter_next_want(e, &cid) == ERR_OK)
            (void)!exporter_put(e, &cid, block_for(&cid));
        if (exporter_next(e, &block, &bytes) != ERR_OK)
            break;
        block_ref_unref(block);
    }
    exporter_free(e);
}

static void list_folder(const struct cid *root, struct account *account)
{
    struct dir_lister *l;
    if (dir_lister_new(root, 4, 1 << 16, account, account, &l) != ERR_OK)
        return;
    for (unsigned i = 0; i < STEPS; i++) {
        struct cid cid;
        struct dir_entry entry;
        while (dir_lister_next_want(l, &cid) == ERR_OK)
            (void)!dir_lister_put(l, &cid, block_for(&cid));
        enum err err = dir_lister_next(l, &entry);
        if (err != ERR_OK && err != ERR_AGAIN)
            break;
    }
    dir_lister_free(l);
}

static void read_tree(const struct cid *root, struct account *account)
{
    struct tree_exporter_options options = {
        .name = span_text("root"), .window_blocks = 4, .window_bytes = 1 << 16, .account = account, .shared = account};
    struct tree_exporter *t;
    struct buf out;
    if (tree_exporter_new(root, &options, &t) != ERR_OK)
        return;
    buf_init(&out, 4096, account);
    for (unsigned i = 0; i < STEPS; i++) {
        struct cid cid;
        for (unsigned k = 0; k < STEPS && tree_exporter_next_want(t, &cid) == ERR_OK; k++)
            (void)!tree_exporter_put(t, &cid, block_for(&cid));
        enum err err = tree_exporter_read(t, &out, 2000);
        if (err != ERR_AGAIN && (err != ERR_OK || out.len < 2000))
            break;
        buf_clear(&out);
    }
    buf_release(&out);
    tree_exporter_free(t);
}

static void export_car(const struct cid *root, struct account *account)
{
    struct car_exporter_options options = {
        .window_blocks = 4, .window_bytes = 1 << 16, .account = account, .shared = account};
    struct car_exporter *e;
    struct buf out;
    if (car_exporter_new(root, &options, &e) != ERR_OK)
        return;
    buf_init(&out, 4096, account);
    for (unsigned i = 0; i < STEPS; i++) {
        struct cid cid;
        for (unsigned k = 0; k < STEPS && car_exporter_next_want(e, &cid) == ERR_OK; k++)
            (void)!car_exporter_put(e, &cid, block_for(&cid));
        enum err err = car_exporter_read(e, &out, 2000);
        if (err != ERR_AGAIN && (err != ERR_OK || out.len < 2000))
            break;
        buf_clear(&out);
    }
    buf_release(&out);
    car_exporter_free(e);
}

static void walk(const struct cid *root, struct account *account)
{
    struct dag_walk_options options = {.window_blocks = 4, .window_bytes = 1 << 16, .account = account};
    options.depth_max = DAG_WALK_DEPTH_ALL;
    options.fetch_leaves = true;
    struct dag_walk *w;
    if (dag_walk_new(root, &options, &w) != ERR_OK)
        return;
    for (unsigned i = 0; i < STEPS; i++) {
        struct cid cid;
        struct dag_visit visit;
        while (dag_walk_next_want(w, &cid) == ERR_OK)
            (void)!dag_walk_put(w, &cid, block_for(&cid));
        enum err err = dag_walk_next(w, &visit);
        if (err == ERR_OK)
            block_ref_unref(visit.block);
        else if (err != ERR_AGAIN)
            break;
    }
    dag_walk_free(w);
}

static void resolve(const struct cid *root, struct account *account)
{
    char text[CID_TEXT_MAX + 16];
    cid_text(root, text);
    size_t len = strlen(text);
    memcpy(text + len, "/a/b/c", 7);
    struct resolver *r;
    if (resolver_new(span_text(text), account, &r, NULL) != ERR_OK)
        return;
    struct cid cid;
    for (unsigned i = 0; i < STEPS && resolver_next_want(r, &cid) == ERR_OK; i++)
        (void)!resolver_put(r, &cid, block_for(&cid));
    resolver_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < BLOCKS + 1)
        return 0;
    struct cid root = root_cid(data[0]);
    struct span in = span_of(data + 1, size - 1);
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct span block = span_first(span_skip(in, 1), i + 1 == BLOCKS ? SIZE_MAX : in.data[0]);
        in = span_skip(in, 1 + block.len);
        if (in.len == 0)
            in = span_of(data, 1);
        blocks[i] = block_ref_copy(block, NULL);
        if (blocks[i] == NULL)
            abort();
    }
    struct account account;
    account_init(&account, "fuzz", 1 << 22);
    read_file(&root, &account);
    list_folder(&root, &account);
    read_tree(&root, &account);
    export_car(&root, &account);
    walk(&root, &account);
    resolve(&root, &account);
    for (unsigned i = 0; i < BLOCKS; i++)
        block_ref_unref(blocks[i]);
    if (account_used(&account) != 0)
        abort();
    return 0;
}
