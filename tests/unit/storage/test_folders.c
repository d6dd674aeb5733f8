/* SPDX-License-Identifier: MIT */
/* Large folders: what is built in the order of hashes is what is built at the end, and keeps no entries. */
#include "tests/support/import_model.h"

#include "storage/directory_builder.h"
#include "storage/hamt_builder.h"
#include "wire/hamt.h"

enum { LIMIT_BYTES = 4 * 1024 * 1024 };

struct numbered {
    uint64_t hash;
    unsigned number;
};

static struct span name_of(unsigned number, char to[32])
{
    return span_of(to, (size_t)snprintf(to, 32, "%u.txt", number));
}

static int by_hash(const void *a, const void *b)
{
    const struct numbered *left = a;
    const struct numbered *right = b;
    return left->hash < right->hash ? -1 : left->hash > right->hash;
}

static struct numbered *sorted_by_hash(unsigned count)
{
    struct numbered *names = calloc(count, sizeof(*names));
    assert_non_null(names);
    for (unsigned i = 0; i < count; i++) {
        char name[32];
        names[i] = (struct numbered){.hash = hamt_hash(name_of(i, name)), .number = i};
    }
    qsort(names, count, sizeof(*names), by_hash);
    return names;
}

static struct import_options options_with(struct account *account)
{
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    options.account = account;
    return options;
}

static struct import_node a_file(const struct import_options *options, struct block_store *store, const char *text)
{
    return import_bytes(options, store, span_text(text), NULL);
}

/* Builds "<number>.txt" for each number, in the order of hashes or of numbers. */
static enum err build(const struct import_options *options, unsigned count, bool ordered, struct import_node *ret_root)
{
    struct block_store store;
    store_init(&store);
    store.drop = true;
    struct import_sink sink = store_sink(&store);
    struct import_node file = {0};
    struct import_options of_file = import_options_of(IMPORT_UNIXFS_V1_2025);
    file = a_file(&of_file, &store, "x");
    struct tree_meta meta = {.by_hash = ordered, .mode = 0750};
    struct numbered *names = sorted_by_hash(count);
    struct directory_builder *folder = NULL;
    enum err err = directory_builder_new(options, &sink, &meta, &folder);
    for (unsigned i = 0; i < count && err == ERR_OK; i++) {
        char name[32];
        err = directory_builder_add(folder, name_of(ordered ? names[i].number : i, name), &file);
    }
    if (err == ERR_OK)
        err = directory_builder_finish(folder, ret_root);
    directory_builder_free(folder);
    free(names);
    store_release(&store);
    return err;
}

static void order_of_hashes_gives_the_same_folder(void **state)
{
    (void)state;
    static const unsigned counts[] = {0, 1, 2, 3, 40, 1000, 4000, 6000};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        for (uint32_t fanout = 8; fanout <= 1024; fanout *= 2) {
            struct import_node kept;
            struct import_node streamed;
            struct import_options options = options_with(NULL);
            options.hamt_fanout = fanout;
            options.hamt_threshold_bytes = fanout < 64 ? 0 : IMPORT_HAMT_THRESHOLD_BYTES;
            assert_ok(build(&options, counts[i], false, &kept));
            assert_ok(build(&options, counts[i], true, &streamed));
            assert_true(cid_equal(&kept.cid, &streamed.cid));
            assert_int_equal(kept.tsize, streamed.tsize);
        }
    }
}

/* What is held is the shards of one path and the entries up to the threshold, whether 20,000 come or 200,000. */
static void memory_does_not_grow_with_the_folder(void **state)
{
    (void)state;
    uint64_t peaks[2];
    for (unsigned i = 0; i < 2; i++) {
        struct account account;
        struct import_node root;
        account_init(&account, "test", LIMIT_BYTES);
        struct import_options options = options_with(&account);
        assert_ok(build(&options, i == 0 ? 20000 : 200000, true, &root));
        assert_int_equal(account_used(&account), 0);
        peaks[i] = account.peak_bytes;
    }
    assert_true(peaks[1] < 1024 * 1024);
    assert_true(peaks[1] <= peaks[0] + 65536);
}

/* Any other order has to be kept, which ends at a bound. */
static void other_orders_are_bounded(void **state)
{
    (void)state;
    struct import_node root;
    struct import_options options = options_with(NULL);
    assert_ok(build(&options, 30000, false, &root));
    assert_int_equal(build(&options, 100000, false, &root), ERR_TOO_LARGE);
}

static void promised_order_is_demanded(void **state)
{
    (void)state;
    struct import_options options = options_with(NULL);
    struct block_store store;
    store_init(&store);
    struct import_sink sink = store_sink(&store);
    struct import_node file = a_file(&options, &store, "x");
    struct tree_meta meta = {.by_hash = true};
    struct numbered *names = sorted_by_hash(5000);
    for (unsigned wrong_at = 1; wrong_at < 5000; wrong_at += 1666) {
        struct directory_builder *folder;
        char name[32];
        assert_ok(directory_builder_new(&options, &sink, &meta, &folder));
        for (unsigned i = 0; i < wrong_at; i++)
            assert_ok(directory_builder_add(folder, name_of(names[i + 1].number, name), &file));
        assert_int_equal(directory_builder_add(folder, name_of(names[0].number, name), &file), ERR_INVALID);
        directory_builder_free(folder);
    }
    free(names);
    store_release(&store);
}

/* The same name again replaces the entry, before and after the folder went into shards. */
static void repeated_names_replace(void **state)
{
    (void)state;
    struct import_options options = options_with(NULL);
    struct block_store store;
    store_init(&store);
    struct import_sink sink = store_sink(&store);
    struct import_node one = a_file(&options, &store, "one");
    struct import_node two = a_file(&options, &store, "another");
    for (unsigned count = 3; count <= 6000; count += 5997) {
        struct numbered *names = sorted_by_hash(count);
        struct import_node roots[2];
        for (unsigned pass = 0; pass < 2; pass++) {
            struct tree_meta meta = {.by_hash = pass == 1};
            struct directory_builder *folder;
            assert_ok(directory_builder_new(&options, &sink, &meta, &folder));
            for (unsigned i = 0; i < count; i++) {
                char name[32];
                if (pass == 1)
                    assert_ok(directory_builder_add(folder, name_of(names[i].number, name), &two));
                assert_ok(directory_builder_add(folder, name_of(names[i].number, name), &one));
            }
            assert_ok(directory_builder_finish(folder, &roots[pass]));
            directory_builder_free(folder);
        }
        assert_true(cid_equal(&roots[0].cid, &roots[1].cid));
        free(names);
    }
    store_release(&store);
}

/* Two names of one hash cannot be parted by any level. */
static void equal_hashes_end_the_folder(void **state)
{
    (void)state;
    struct import_options options = options_with(NULL);
    struct block_store store;
    store_init(&store);
    struct import_sink sink = store_sink(&store);
    struct import_node file = a_file(&options, &store, "x");
    uint8_t cid[CID_BYTES_MAX];
    struct dag_pb_link link = {.cid = span_of(cid, cid_encode(&file.cid, cid)), .has_name = true, .has_tsize = true};
    struct hamt_builder *builder;
    assert_ok(hamt_builder_new(&options, &sink, NULL, &builder));
    link.name = span_text("a");
    assert_ok(hamt_builder_add(builder, 7, &link));
    link.name = span_text("b");
    assert_int_equal(hamt_builder_add(builder, 7, &link), ERR_TOO_LARGE);
    hamt_builder_free(builder);
    store_release(&store);
}

static void memory_may_end_anywhere(void **state)
{
    (void)state;
    bool passed = false;
    for (uint64_t limit = 0; !passed; limit += 997) {
        struct account account;
        struct import_node root;
        assert_true(limit < LIMIT_BYTES);
        account_init(&account, "test", limit);
        struct import_options options = options_with(&account);
        options.hamt_threshold_bytes = 2000;
        enum err err = build(&options, 300, true, &root);
        assert_true(err == ERR_OK || err == ERR_NOMEM);
        assert_int_equal(account_used(&account), 0);
        passed = err == ERR_OK;
    }
}

/* As many entries as allowed are one block, one more is a HAMT. */
static void links_of_a_basic_folder_are_limited(void **state)
{
    (void)state;
    struct import_options options = options_with(NULL);
    options.directory_links = 10;
    for (unsigned count = 10; count <= 11; count++) {
        struct block_store store;
        store_init(&store);
        struct import_sink sink = store_sink(&store);
        struct import_node file = a_file(&options, &store, "x");
        struct directory_builder *folder;
        struct import_node root;
        assert_ok(directory_builder_new(&options, &sink, NULL, &folder));
        for (unsigned i = 0; i < count; i++) {
            char name[32];
            assert_ok(directory_builder_add(folder, name_of(i, name), &file));
        }
        assert_ok(directory_builder_finish(folder, &root));
        directory_builder_free(folder);
        struct dag_pb_node node;
        struct unixfs_node unixfs;
        assert_ok(dag_pb_decode(block_ref_span(store_get(&store, &root.cid)), &node));
        assert_ok(unixfs_decode(node.data, &unixfs));
        assert_int_equal(unixfs.type, count == 10 ? UNIXFS_DIRECTORY : UNIXFS_HAMT_SHARD);
        store_release(&store);
    }
}

/* The multihash of identity is 00 and the length: "hello" as CIDv1 of a raw block is 01 55 00 05 hello. */
static void small_blocks_are_inlined(void **state)
{
    (void)state;
    struct import_options options = options_with(NULL);
    options.inlined = true;
    options.inline_bytes = 5;
    struct block_store store;
    store_init(&store);
    struct import_sink sink = store_sink(&store);
    struct file_builder *builder;
    struct import_node root;
    uint8_t bytes[CID_BYTES_MAX];
    assert_ok(file_builder_new(&options, &sink, &builder));
    assert_ok(file_builder_write(builder, span_text("hello")));
    assert_ok(file_builder_finish(builder, NULL, &root));
    assert_int_equal(store.emitted, 0);
    assert_true(span_equal(span_of(bytes, cid_encode(&root.cid, bytes)), span_of("\x01\x55\x00\x05hello", 9)));
    assert_int_equal(root.tsize, 5);
    assert_ok(file_builder_write(builder, span_text("hello!")));
    assert_ok(file_builder_finish(builder, NULL, &root));
    assert_int_equal(store.emitted, 1);
    assert_int_equal(root.cid.hash.code, MULTIHASH_SHA2_256);
    file_builder_free(builder);
    store_release(&store);
    options.inline_bytes = IMPORT_INLINE_MAX + 1;
    assert_int_equal(import_options_check(&options, NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_hashes_gives_the_same_folder),
        cmocka_unit_test(memory_does_not_grow_with_the_folder),
        cmocka_unit_test(other_orders_are_bounded),
        cmocka_unit_test(promised_order_is_demanded),
        cmocka_unit_test(repeated_names_replace),
        cmocka_unit_test(equal_hashes_end_the_folder),
        cmocka_unit_test(memory_may_end_anywhere),
        cmocka_unit_test(links_of_a_basic_folder_are_limited),
        cmocka_unit_test(small_blocks_are_inlined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
