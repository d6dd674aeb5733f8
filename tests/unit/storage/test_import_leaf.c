/* SPDX-License-Identifier: MIT */
/* Leaves made apart from their builder: the same blocks as from bytes. */
#include "tests/support/import_model.h"

#include <string.h>

#include "storage/import_leaf.h"

enum { CHUNK = 1000, BYTES = 5 * CHUNK };

static uint8_t content[BYTES];

static struct import_leaf leaf_of(const struct import_options *options, struct span bytes)
{
    struct import_leaf leaf;
    assert_ok(import_leaf_new(options, bytes.len, &leaf));
    memcpy(import_leaf_content(options, &leaf), bytes.data, bytes.len);
    assert_ok(import_leaf_name(options, &leaf));
    return leaf;
}

static struct import_node import_leaves(const struct import_options *options, struct file_builder *builder,
                                        struct span bytes, const struct tree_meta *meta)
{
    struct import_node root;
    while (bytes.len > 0) {
        struct import_leaf leaf = leaf_of(options, span_first(bytes, options->chunk_bytes));
        bytes = span_skip(bytes, leaf.len);
        assert_true(file_builder_between_chunks(builder));
        assert_ok(file_builder_add_leaf(builder, &leaf));
        assert_null(leaf.block);
    }
    assert_ok(file_builder_finish(builder, meta, &root));
    return root;
}

static struct import_node import_bytes_with(struct file_builder *builder, struct span bytes,
                                            const struct tree_meta *meta)
{
    struct import_node root;
    assert_ok(file_builder_write(builder, bytes));
    assert_ok(file_builder_finish(builder, meta, &root));
    return root;
}

static struct import_node import_whole(const struct import_options *options, struct block_store *store,
                                       struct span bytes, const struct tree_meta *meta)
{
    struct import_sink sink = store_sink(store);
    struct file_builder *builder;
    struct import_node root;
    assert_ok(file_builder_new(options, &sink, &builder));
    root = import_bytes_with(builder, bytes, meta);
    file_builder_free(builder);
    return root;
}

static struct import_options options_for(unsigned round)
{
    struct import_options options = import_options_of(round % 2 == 0 ? IMPORT_UNIXFS_V1_2025 : IMPORT_UNIXFS_V0_2015);
    options.chunk_bytes = CHUNK;
    options.max_links = 3;
    if (round >= 4) { /* blocks that their CIDs carry */
        options.chunk_bytes = 100;
        options.cid_version = 1;
        options.inlined = true;
        options.inline_bytes = 128;
    }
    return options;
}

/* One builder, file after file, as in a tree: sizes around each boundary, with and without a mode. */
static void the_blocks_are_the_same(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,     99,        100,           100,   101,   101,   CHUNK - 1, CHUNK,
                                   CHUNK, CHUNK + 1, 3 * CHUNK + 1, CHUNK, BYTES, CHUNK, 3 * CHUNK, BYTES};
    struct tree_meta mode = {.mode = 0640};
    for (size_t i = 0; i < BYTES; i++)
        content[i] = (uint8_t)(i * 7 + i / 256);
    for (unsigned round = 0; round < 6; round++) {
        struct import_options options = options_for(round);
        const struct tree_meta *meta = round >= 2 && round < 4 ? &mode : NULL;
        struct block_store store;
        store_init(&store);
        struct import_sink sink = store_sink(&store);
        struct file_builder *builder;
        assert_ok(file_builder_new(&options, &sink, &builder));
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            struct span bytes = span_of(content, sizes[i]);
            struct block_store other;
            store_init(&other);
            struct import_node want = import_whole(&options, &other, bytes, meta);
            uint64_t before = store.emitted;
            bool from_bytes = i % 2 == 1; /* by turns: nothing of one file may stay for the next */
            struct import_node root =
                from_bytes ? import_bytes_with(builder, bytes, meta) : import_leaves(&options, builder, bytes, meta);
            assert_true(cid_equal(&root.cid, &want.cid));
            assert_int_equal(root.tsize, want.tsize);
            assert_int_equal(store.emitted - before, other.emitted);
            store_release(&other);
        }
        file_builder_free(builder);
        store_release(&store);
    }
}

static void a_leaf_comes_between_chunks_only(void **state)
{
    (void)state;
    struct import_options options = options_for(0);
    struct block_store store;
    store_init(&store);
    struct import_sink sink = store_sink(&store);
    struct file_builder *builder;
    assert_ok(file_builder_new(&options, &sink, &builder));
    assert_ok(file_builder_write(builder, span_of(content, CHUNK))); /* bytes and leaves may take turns */
    struct import_leaf leaf = leaf_of(&options, span_of(content, CHUNK));
    assert_ok(file_builder_add_leaf(builder, &leaf));
    assert_ok(file_builder_write(builder, span_of(content, 1)));
    assert_false(file_builder_between_chunks(builder));
    leaf = leaf_of(&options, span_of(content, CHUNK));
    assert_int_equal(file_builder_add_leaf(builder, &leaf), ERR_INVALID);
    assert_null(leaf.block);
    file_builder_free(builder);
    store_release(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_blocks_are_the_same),
        cmocka_unit_test(a_leaf_comes_between_chunks_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
