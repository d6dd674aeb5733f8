/* SPDX-License-Identifier: MIT */
/* CIDs of imports: the IPIP-499 vectors of both profiles, and the layouts around each limit. */
#include "tests/support/import_model.h"

#include "storage/directory_builder.h"
#include "storage/tree_builder.h"
#include "wire/dag_pb.h"
#include "wire/hamt.h"
#include "wire/unixfs.h"

/* Imports a deterministic stream of size bytes without keeping its blocks. */
static struct cid import_stream(enum import_profile profile, const char *seed, uint64_t size)
{
    struct import_options options = import_options_of(profile);
    struct block_store store;
    store_init(&store);
    store.drop = true;
    struct import_sink sink = store_sink(&store);
    struct file_builder *builder;
    assert_ok(file_builder_new(&options, &sink, &builder));
    struct stream stream;
    stream_init(&stream, seed);
    static uint8_t piece[64 * 1024];
    for (uint64_t left = size; left > 0;) {
        size_t len = (size_t)MIN(left, sizeof(piece));
        stream_read(&stream, piece, len);
        assert_ok(file_builder_write(builder, span_of(piece, len)));
        left -= len;
    }
    struct import_node root;
    assert_ok(file_builder_finish(builder, NULL, &root));
    assert_int_equal(root.file_bytes, size);
    file_builder_free(builder);
    store_release(&store);
    return root.cid;
}

static struct cid import_text(enum import_profile profile, const char *text)
{
    struct import_options options = import_options_of(profile);
    struct block_store store;
    store_init(&store);
    struct import_node root = import_bytes(&options, &store, span_text(text), NULL);
    store_release(&store);
    return root.cid;
}

static void small_files(void **state)
{
    (void)state;
    struct cid cid = import_text(IMPORT_UNIXFS_V0_2015, "hello world");
    assert_cid_text(&cid, "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD");
    cid = import_text(IMPORT_UNIXFS_V1_2025, "hello world");
    assert_cid_text(&cid, "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
    /* The empty file, known to every user of ipfs. */
    cid = import_text(IMPORT_UNIXFS_V0_2015, "");
    assert_cid_text(&cid, "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH");
    cid = import_text(IMPORT_UNIXFS_V1_2025, "");
    assert_cid_text(&cid, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
}

/* IPIP-499: kubo test/cli/cid_profiles_test.go. */
static void chunk_boundaries(void **state)
{
    (void)state;
    struct cid cid = import_stream(IMPORT_UNIXFS_V0_2015, "chunk-v0-seed", 262144);
    assert_cid_text(&cid, "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE");
    cid = import_stream(IMPORT_UNIXFS_V0_2015, "chunk-v0-seed", 262145);
    assert_cid_text(&cid, "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ");
    cid = import_stream(IMPORT_UNIXFS_V1_2025, "chunk-v1-seed", 1048576);
    assert_cid_text(&cid, "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta");
    cid = import_stream(IMPORT_UNIXFS_V1_2025, "chunk-v1-seed", 1048577);
    assert_cid_text(&cid, "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64");
}

static void full_node_and_one_more_v0(void **state)
{
    (void)state;
    struct cid cid = import_stream(IMPORT_UNIXFS_V0_2015, "v0-seed", 174 * 262144);
    assert_cid_text(&cid, "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2");
    cid = import_stream(IMPORT_UNIXFS_V0_2015, "v0-seed", 174 * 262144 + 1);
    assert_cid_text(&cid, "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW");
}

/* 2 GiB of hashing: some seconds. */
static void full_node_and_one_more_v1(void **state)
{
    (void)state;
    struct cid cid = import_stream(IMPORT_UNIXFS_V1_2025, "v1-2025-seed", UINT64_C(1024) * 1048576);
    assert_cid_text(&cid, "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm");
    cid = import_stream(IMPORT_UNIXFS_V1_2025, "v1-2025-seed", UINT64_C(1024) * 1048576 + 1);
    assert_cid_text(&cid, "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe");
}

/* The vectors' folders: count files of one byte; all names but the last have name_len characters. */
static struct import_node import_folder(enum import_profile profile, const char *seed, size_t count, size_t name_len,
                                        size_t last_len, struct block_store *store)
{
    struct import_options options = import_options_of(profile);
    struct import_sink sink = store_sink(store);
    struct import_node file = import_bytes(&options, store, span_text("x"), NULL);
    struct directory_builder *folder;
    assert_ok(directory_builder_new(&options, &sink, NULL, &folder));
    struct stream stream;
    stream_init(&stream, seed);
    for (size_t i = 0; i < count; i++) {
        uint8_t name[64];
        struct span text = stream_name(&stream, name, i + 1 == count ? last_len : name_len);
        assert_ok(directory_builder_add(folder, text, &file));
    }
    struct import_node root;
    assert_ok(directory_builder_finish(folder, &root));
    directory_builder_free(folder);
    return root;
}

static void folders_at_the_threshold(void **state)
{
    (void)state;
    struct block_store store;
    store_init(&store);
    struct import_node root = import_folder(IMPORT_UNIXFS_V0_2015, "hamt-unixfs-v0-2015", 4096, 30, 30, &store);
    assert_cid_text(&root.cid, "QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN");
    root = import_folder(IMPORT_UNIXFS_V0_2015, "hamt-unixfs-v0-2015", 4033, 31, 31, &store);
    assert_cid_text(&root.cid, "QmeMiJzmhpJAUgynAcxTQYek5PPKgdv3qEvFsdV3XpVnvP");
    root = import_folder(IMPORT_UNIXFS_V1_2025, "hamt-unixfs-v1-2025", 4766, 11, 21, &store);
    assert_cid_text(&root.cid, "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4");
    assert_int_equal(store_get(&store, &root.cid)->len, 262144);
    root = import_folder(IMPORT_UNIXFS_V1_2025, "hamt-unixfs-v1-2025", 4766, 11, 22, &store);
    assert_cid_text(&root.cid, "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu");
    store_release(&store);
}

/* The link names of a HAMT root, as WIRE.md and js-ipfs-unixfs' tests name them. */
static void hamt_root_names(void **state)
{
    (void)state;
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    options.hamt_threshold_bytes = 0;
    struct block_store store;
    store_init(&store);
    struct import_sink sink = store_sink(&store);
    struct directory_builder *folder;
    struct import_node file = import_bytes(&options, &store, span_text("x"), NULL);
    assert_ok(directory_builder_new(&options, &sink, NULL, &folder));
    for (unsigned i = 0; i < 1000; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u.txt", i);
        assert_ok(directory_builder_add(folder, span_text(name), &file));
    }
    struct import_node root;
    assert_ok(directory_builder_finish(folder, &root));
    struct dag_pb_node node;
    struct unixfs_node unixfs;
    struct hamt_shard shard;
    assert_ok(dag_pb_decode(block_ref_span(store_get(&store, &root.cid)), &node));
    assert_ok(unixfs_decode(node.data, &unixfs));
    assert_ok(hamt_shard_decode(&node, &unixfs, &shard));
    struct dag_pb_link link;
    assert_ok(hamt_shard_find(&shard, 0, &link));
    assert_true(span_equal_text(link.name, "00"));
    struct cid cid;
    assert_ok(cid_parse(link.cid, &cid));
    assert_ok(dag_pb_decode(block_ref_span(store_get(&store, &cid)), &node));
    assert_ok(unixfs_decode(node.data, &unixfs));
    assert_ok(hamt_shard_decode(&node, &unixfs, &shard));
    assert_ok(hamt_shard_find(&shard, 0x6e, &link));
    assert_true(span_equal_text(link.name, "6E470.txt"));
    directory_builder_free(folder);
    store_release(&store);
}

static void empty_folders_and_symlinks(void **state)
{
    (void)state;
    struct block_store store;
    store_init(&store);
    struct import_sink sink = store_sink(&store);
    struct import_options options = import_options_of(IMPORT_UNIXFS_V0_2015);
    struct directory_builder *folder;
    struct import_node root;
    assert_ok(directory_builder_new(&options, &sink, NULL, &folder));
    assert_ok(directory_builder_finish(folder, &root));
    directory_builder_free(folder);
    assert_cid_text(&root.cid, "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn");
    assert_int_equal(root.tsize, 4);
    options = import_options_of(IMPORT_UNIXFS_V1_2025);
    assert_ok(directory_builder_new(&options, &sink, NULL, &folder));
    assert_ok(directory_builder_finish(folder, &root));
    directory_builder_free(folder);
    assert_cid_text(&root.cid, "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
    /* go-unixfsnode data/fixtures/symlink.txt.unixfs: 08 04 12 08 file.txt */
    assert_ok(import_symlink(&options, &sink, span_text("file.txt"), NULL, &root));
    static const uint8_t expected[] = {0x0a, 12, 8, 4, 0x12, 8, 'f', 'i', 'l', 'e', '.', 't', 'x', 't'};
    assert_true(span_equal(block_ref_span(store_get(&store, &root.cid)), span_of(expected, sizeof(expected))));
    store_release(&store);
}

/* A name added twice replaces; order of adding does not matter. */
static void folder_does_not_depend_on_order(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 3);
    for (unsigned round = 0; round < 20; round++) {
        struct import_options options = import_options_of(round % 2 ? IMPORT_UNIXFS_V0_2015 : IMPORT_UNIXFS_V1_2025);
        options.hamt_threshold_bytes = round % 4 < 2 ? 0 : IMPORT_HAMT_THRESHOLD_BYTES;
        options.hamt_fanout = 8U << (round % 8);
        struct block_store store;
        store_init(&store);
        struct import_sink sink = store_sink(&store);
        struct import_node one = import_bytes(&options, &store, span_text("one"), NULL);
        struct import_node two = import_bytes(&options, &store, span_text("two"), NULL);
        struct import_node roots[2];
        size_t count = 1 + (size_t)prng_below(&prng, 700);
        for (unsigned pass = 0; pass < 2; pass++) {
            struct directory_builder *folder;
            assert_ok(directory_builder_new(&options, &sink, NULL, &folder));
            for (size_t i = 0; i < count; i++) {
                char name[32];
                (void)snprintf(name, sizeof(name), "n%zu", pass == 0 ? i : count - 1 - i);
                if (pass == 1)
                    assert_ok(directory_builder_add(folder, span_text(name), &two));
                assert_ok(directory_builder_add(folder, span_text(name), &one));
            }
            assert_ok(directory_builder_finish(folder, &roots[pass]));
            directory_builder_free(folder);
        }
        assert_true(cid_equal(&roots[0].cid, &roots[1].cid));
        assert_int_equal(roots[0].tsize, roots[1].tsize);
        store_release(&store);
    }
}

/* Pieces do not matter, and the account is given back. */
static void pieces_do_not_matter(void **state)
{
    (void)state;
    static uint8_t bytes[40000];
    struct prng prng;
    prng_init(&prng, 5);
    prng_fill(&prng, bytes, sizeof(bytes));
    struct account account;
    account_init(&account, "test", 1 << 22);
    for (unsigned round = 0; round < 60; round++) {
        struct import_options options = import_options_of(round % 2 ? IMPORT_UNIXFS_V0_2015 : IMPORT_UNIXFS_V1_2025);
        options.chunk_bytes = 1 + (uint32_t)prng_below(&prng, 300);
        options.max_links = 2 + (uint32_t)prng_below(&prng, 6);
        options.account = &account;
        options.blocks = &account;
        struct block_store store;
        store_init(&store);
        struct span content = span_first(span_of(bytes, sizeof(bytes)), (size_t)prng_below(&prng, 20000));
        struct import_node a = import_bytes(&options, &store, content, NULL);
        struct import_node b = import_bytes(&options, &store, content, &prng);
        assert_true(cid_equal(&a.cid, &b.cid));
        assert_int_equal(a.tsize, b.tsize);
        assert_int_equal(a.file_bytes, content.len);
        store_release(&store);
        assert_int_equal(account_used(&account), 0);
    }
}

static enum err refuse_after(void *arg, const struct cid *cid, struct block_ref *block)
{
    (void)cid;
    (void)block;
    unsigned *left = arg;
    return (*left)-- == 0 ? ERR_NO_SPACE : ERR_OK;
}

/* A sink that fails at each block in turn: the error comes through and nothing leaks. */
static void failing_sinks_are_reported(void **state)
{
    (void)state;
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    options.chunk_bytes = 4;
    options.max_links = 3;
    for (unsigned fail_at = 0; fail_at < 16; fail_at++) {
        unsigned left = fail_at;
        struct import_sink sink = {.emit = refuse_after, .arg = &left};
        struct file_builder *builder;
        struct import_node root;
        assert_ok(file_builder_new(&options, &sink, &builder));
        enum err err = file_builder_write(builder, span_text("0123456789012345678901234567890123456789"));
        if (err == ERR_OK)
            err = file_builder_finish(builder, NULL, &root);
        assert_int_equal(err, fail_at < 16 ? ERR_NO_SPACE : ERR_OK);
        file_builder_free(builder);
    }
}

static struct tree_event event_of(enum tree_kind kind, const char *name, const char *body)
{
    return (struct tree_event){.kind = kind, .name = span_text(name), .body = span_text(body)};
}

/* Memory that ends at each point in turn: a clean error, and all is given back. */
static void memory_may_end_anywhere(void **state)
{
    (void)state;
    bool passed = false;
    for (uint64_t limit = 0; !passed; limit += 97) {
        assert_true(limit < 200000);
        struct account account;
        account_init(&account, "test", limit);
        struct import_options options = import_options_of(limit % 2 ? IMPORT_UNIXFS_V0_2015 : IMPORT_UNIXFS_V1_2025);
        options.chunk_bytes = 300;
        options.max_links = 3;
        options.hamt_threshold_bytes = 100;
        options.account = &account;
        options.blocks = &account;
        struct block_store store;
        store_init(&store);
        store.drop = true;
        struct import_sink sink = store_sink(&store);
        struct tree_builder *builder;
        assert_ok(tree_builder_new(&options, &sink, true, &builder));
        enum err err = ERR_OK;
        for (unsigned i = 0; i < 30 && err == ERR_OK; i++) {
            char name[8];
            (void)snprintf(name, sizeof(name), "%u", i);
            static uint8_t bytes[5000];
            struct tree_event events[] = {event_of(TREE_ENTER, name, ""),        event_of(TREE_FILE, name, ""),
                                          event_of(TREE_DATA, "", ""),           event_of(TREE_END, "", ""),
                                          event_of(TREE_SYMLINK, "l", "target"), event_of(TREE_LEAVE, "", "")};
            events[2].body = span_of(bytes, sizeof(bytes));
            struct tree_added added;
            bool has_added;
            for (size_t k = 0; k < ARRAY_LEN(events) && err == ERR_OK; k++)
                err = tree_builder_event(builder, &events[k], &added, &has_added);
        }
        struct import_node root;
        if (err == ERR_OK)
            err = tree_builder_finish(builder, &root);
        assert_true(err == ERR_OK || err == ERR_NOMEM);
        passed = err == ERR_OK;
        tree_builder_free(builder);
        store_release(&store);
        assert_int_equal(account_used(&account), 0);
    }
}

static void options_are_checked(void **state)
{
    (void)state;
    const char *why = NULL;
    struct import_options good = import_options_of(IMPORT_UNIXFS_V0_2015);
    assert_ok(import_options_check(&good, &why));
    struct import_options bad = good;
    bad.hash_code = MULTIHASH_BLAKE2B_256;
    assert_int_equal(import_options_check(&bad, &why), ERR_INVALID);
    assert_non_null(strstr(why, "CID version 1"));
    bad = good;
    bad.hamt_fanout = 12;
    assert_int_equal(import_options_check(&bad, &why), ERR_INVALID);
    bad = good;
    bad.chunk_bytes = IMPORT_CHUNK_MAX + 1;
    assert_int_equal(import_options_check(&bad, &why), ERR_INVALID);
    bad = good;
    bad.max_links = 1;
    assert_int_equal(import_options_check(&bad, NULL), ERR_INVALID);
}

static void trees(void **state)
{
    (void)state;
    const struct tree_event events[] = {
        event_of(TREE_ENTER, "d", ""),    event_of(TREE_FILE, "hello", ""), event_of(TREE_DATA, "", "hello "),
        event_of(TREE_DATA, "", "world"), event_of(TREE_END, "", ""),       event_of(TREE_ENTER, "empty", ""),
        event_of(TREE_LEAVE, "", ""),     event_of(TREE_SYMLINK, "l", "t"), event_of(TREE_LEAVE, "", ""),
        event_of(TREE_FILE, "z", ""),     event_of(TREE_END, "", ""),
    };
    static const char *const paths[] = {"d/hello", "d/empty", "d/l", "d", "z"};
    for (unsigned wrap = 0; wrap < 2; wrap++) {
        struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
        struct block_store store;
        store_init(&store);
        struct import_sink sink = store_sink(&store);
        struct tree_builder *builder;
        assert_ok(tree_builder_new(&options, &sink, wrap != 0, &builder));
        size_t seen = 0;
        struct import_node z = {0};
        for (size_t i = 0; i < ARRAY_LEN(events); i++) {
            struct tree_added added;
            bool has_added;
            assert_ok(tree_builder_event(builder, &events[i], &added, &has_added));
            if (!has_added)
                continue;
            assert_true(span_equal_text(added.path, paths[seen++]));
            z = added.node;
        }
        assert_int_equal(seen, ARRAY_LEN(paths));
        struct import_node root;
        assert_ok(tree_builder_finish(builder, &root));
        assert_int_equal(cid_equal(&root.cid, &z.cid), wrap == 0);
        struct dag_pb_node node;
        if (wrap != 0) {
            assert_ok(dag_pb_decode(block_ref_span(store_get(&store, &root.cid)), &node));
            assert_int_equal(node.link_count, 2);
        }
        tree_builder_free(builder);
        store_release(&store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_files),
        cmocka_unit_test(chunk_boundaries),
        cmocka_unit_test(full_node_and_one_more_v0),
        cmocka_unit_test(full_node_and_one_more_v1),
        cmocka_unit_test(folders_at_the_threshold),
        cmocka_unit_test(hamt_root_names),
        cmocka_unit_test(empty_folders_and_symlinks),
        cmocka_unit_test(folder_does_not_depend_on_order),
        cmocka_unit_test(pieces_do_not_matter),
        cmocka_unit_test(failing_sinks_are_reported),
        cmocka_unit_test(memory_may_end_anywhere),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
