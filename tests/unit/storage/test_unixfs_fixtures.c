/* SPDX-License-Identifier: MIT */
/*
 * Archives that others made (go-unixfsnode, gateway-conformance): each dag-pb block encodes back to its bytes, files
 * read whole, folders list, and a sharded folder that is built again from its entries has the same CID.
 */
#include "tests/support/bytes.h"
#include "tests/support/import_model.h"

#include "storage/dir_lister.h"
#include "storage/directory_builder.h"
#include "storage/exporter.h"
#include "wire/dag_pb.h"
#include "wire/varint.h"

enum { LINKS_MAX = 2048 };

#define CONFORMANCE "gateway-conformance/fixtures/"

/* Loads the blocks of a CARv1; *ret_first is the first one's CID. False when the vectors are not there. */
static bool load(struct block_store *store, const char *path, struct cid *ret_first)
{
    size_t len;
    char *bytes = vectors_read(path, &len);
    if (bytes == NULL)
        return false;
    struct span in = span_of(bytes, len);
    uint64_t size;
    assert_ok(varint_decode(&in, &size));
    in = span_skip(in, (size_t)size);
    for (size_t i = 0; in.len > 0; i++) {
        assert_ok(varint_decode(&in, &size));
        assert_true(size <= in.len);
        struct span section = span_first(in, (size_t)size);
        in = span_skip(in, (size_t)size);
        struct cid cid;
        assert_ok(cid_decode(&section, &cid));
        if (cid.hash.code == MULTIHASH_IDENTITY)
            continue;
        struct block_ref *block = block_ref_copy(section, NULL);
        assert_ok(store_emit(store, &cid, block));
        block_ref_unref(block);
        if (i == 0)
            *ret_first = cid;
        struct dag_pb_node node;
        static struct dag_pb_link links[LINKS_MAX];
        if (cid.codec != CODEC_DAG_PB)
            continue;
        assert_ok(dag_pb_decode(section, &node));
        assert_true(node.link_count <= LINKS_MAX);
        struct span rest = node.links;
        for (size_t k = 0; k < node.link_count; k++)
            assert_true(dag_pb_next_link(&rest, &links[k]));
        struct buf out;
        buf_init(&out, 4 << 20, NULL);
        assert_ok(dag_pb_append(&out, links, node.link_count, node.has_data ? &node.data : NULL));
        assert_true(span_equal(buf_span(&out), section));
        buf_release(&out);
    }
    free(bytes);
    return true;
}

static void archives_encode_back(void **state)
{
    (void)state;
    static const char *const paths[] = {
        CONFORMANCE "gateway-cache/fixtures.car",
        CONFORMANCE "subdomain_gateway/fixtures.car",
        CONFORMANCE "redirects_file/redirects.car",
        CONFORMANCE "trustless_gateway_car/dir-with-duplicate-files.car",
        CONFORMANCE "trustless_gateway_car/subdir-with-mixed-block-files.car",
        CONFORMANCE "trustless_gateway_car/single-layer-hamt-with-multi-block-files.car",
        CONFORMANCE "path_gateway_dag/dag-pb.car",
        CONFORMANCE "path_gateway_unixfs/dir-with-files.car",
        CONFORMANCE "path_gateway_unixfs/symlink.car",
        CONFORMANCE "dir_listing/fixtures.car",
        CONFORMANCE "path_gateway_tar/outside-root.car",
        "unixfs/go-unixfsnode/hamt/fixtures/wikipedia-cryptographic-hash-function.car",
    };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct block_store store;
        struct cid first;
        store_init(&store);
        if (!load(&store, paths[i], &first))
            skip();
        assert_true(store.emitted > 0);
        store_release(&store);
    }
}

/* Reads a file whose blocks are all there; returns its length. */
static uint64_t read_whole(const struct block_store *store, const struct cid *root)
{
    struct exporter_options options = {.length = UINT64_MAX, .window_blocks = 16, .window_bytes = 4 << 20};
    struct exporter *e;
    assert_ok(exporter_new(root, &options, &e));
    uint64_t total = 0;
    for (enum err err = ERR_OK; err != ERR_CLOSED;) {
        struct cid cid;
        while (exporter_next_want(e, &cid) == ERR_OK) {
            struct block_ref *stored = store_get(store, &cid);
            assert_non_null(stored);
            assert_ok(exporter_put(e, &cid, stored));
        }
        struct block_ref *block;
        struct span bytes;
        err = exporter_next(e, &block, &bytes);
        if (err == ERR_OK) {
            total += bytes.len;
            block_ref_unref(block);
        } else {
            assert_true(err == ERR_CLOSED || err == ERR_AGAIN);
        }
    }
    uint64_t size;
    assert_true(exporter_size(e, &size));
    assert_int_equal(size, total);
    exporter_free(e);
    return total;
}

static void go_files_read_whole(void **state)
{
    (void)state;
    struct block_store store;
    struct cid first;
    struct cid root;
    store_init(&store);
    if (!load(&store, "unixfs/go-unixfsnode/file/fixtures/QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o.car", &first))
        skip();
    assert_ok(cid_parse_text(span_text("QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"), &root));
    assert_int_equal(read_whole(&store, &root), 12);
    store_release(&store);
}

/* Lists a sharded folder and builds it again; the CIDs must be equal. Returns the number of entries. */
static size_t rebuild(struct block_store *store, const struct cid *root)
{
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    options.cid_version = root->version;
    options.hamt_threshold_bytes = 0;
    struct block_store fresh;
    store_init(&fresh);
    struct import_sink sink = store_sink(&fresh);
    struct directory_builder *folder;
    struct dir_lister *l;
    size_t count = 0;
    assert_ok(directory_builder_new(&options, &sink, NULL, &folder));
    assert_ok(dir_lister_new(root, 8, 1 << 20, NULL, NULL, &l));
    for (enum err err = ERR_OK; err != ERR_CLOSED;) {
        struct dir_entry entry;
        err = dir_lister_next(l, &entry);
        struct import_node node = {.cid = entry.cid, .tsize = entry.tsize};
        if (err == ERR_OK)
            assert_ok(directory_builder_add(folder, entry.name, &node));
        count += err == ERR_OK;
        struct cid cid;
        while (dir_lister_next_want(l, &cid) == ERR_OK) {
            assert_non_null(store_get(store, &cid));
            assert_ok(dir_lister_put(l, &cid, store_get(store, &cid)));
        }
        assert_true(err == ERR_OK || err == ERR_AGAIN || err == ERR_CLOSED);
    }
    struct import_node built;
    assert_ok(directory_builder_finish(folder, &built));
    assert_true(cid_equal(&built.cid, root));
    directory_builder_free(folder);
    dir_lister_free(l);
    store_release(&fresh);
    return count;
}

static void sharded_folders_are_built_alike(void **state)
{
    (void)state;
    struct block_store store;
    struct cid first;
    store_init(&store);
    if (!load(&store, "unixfs/go-unixfsnode/hamt/fixtures/wikipedia-cryptographic-hash-function.car", &first))
        skip();
    assert_int_equal(rebuild(&store, &first), 11);
    store_release(&store);
    store_init(&store);
    assert_true(load(&store, CONFORMANCE "trustless_gateway_car/single-layer-hamt-with-multi-block-files.car", &first));
    assert_int_equal(rebuild(&store, &first), 1000);
    store_release(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archives_encode_back),
        cmocka_unit_test(go_files_read_whole),
        cmocka_unit_test(sharded_folders_are_built_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
