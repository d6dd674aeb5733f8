/* SPDX-License-Identifier: MIT */
/*
 * Paths and folder listings through basic folders and shards, in any order of arrival; hostile folders (RELIABILITY D7,
 * D8, D15).
 */
#include <stdio.h>

#include "tests/support/import_model.h"

#include "storage/dir_lister.h"
#include "storage/directory_builder.h"
#include "storage/resolver.h"
#include "wire/dag_pb.h"
#include "wire/hamt.h"

/* Resolves to the end. */
static enum err resolve(const struct block_store *store, const char *text, struct cid *ret_cid, size_t *ret_asked)
{
    struct resolver *r;
    const char *why = NULL;
    enum err err = resolver_new(span_text(text), NULL, &r, &why);
    if (err != ERR_OK) {
        assert_non_null(why);
        return err;
    }
    struct cid cid;
    size_t asked = 0;
    err = resolver_error(r);
    while (resolver_next_want(r, &cid) == ERR_OK) {
        struct cid again;
        assert_int_equal(resolver_next_want(r, &again), ERR_AGAIN);
        asked++;
        struct block_ref *block = store_get(store, &cid);
        assert_non_null(block);
        err = resolver_put(r, &cid, block);
    }
    assert_int_equal(err == ERR_OK, resolver_done(r, ret_cid));
    assert_int_equal(err == ERR_OK, strlen(resolver_why(r)) == 0);
    resolver_free(r);
    if (ret_asked != NULL)
        *ret_asked = asked;
    return err;
}

/* A folder of count files f0, f1 ... with their number as content. */
static struct import_node make_folder(const struct import_options *options, struct block_store *store, size_t count)
{
    struct import_sink sink = store_sink(store);
    struct directory_builder *folder;
    assert_ok(directory_builder_new(options, &sink, NULL, &folder));
    for (size_t i = 0; i < count; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "f%zu", i);
        struct import_node file = import_bytes(options, store, span_text(name), NULL);
        assert_ok(directory_builder_add(folder, span_text(name), &file));
    }
    struct import_node root;
    assert_ok(directory_builder_finish(folder, &root));
    directory_builder_free(folder);
    return root;
}

static struct import_node wrap(const struct import_options *options, struct block_store *store, const char *name,
                               const struct import_node *node)
{
    struct import_sink sink = store_sink(store);
    struct directory_builder *folder;
    struct import_node root;
    assert_ok(directory_builder_new(options, &sink, NULL, &folder));
    assert_ok(directory_builder_add(folder, span_text(name), node));
    assert_ok(directory_builder_finish(folder, &root));
    directory_builder_free(folder);
    return root;
}

static void paths_through_folders_and_shards(void **state)
{
    (void)state;
    for (unsigned fanout = 8; fanout <= 1024; fanout *= 4) {
        struct block_store store;
        store_init(&store);
        struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
        options.hamt_fanout = fanout;
        struct import_options sharded = options;
        sharded.hamt_threshold_bytes = 0;
        struct import_node inner = make_folder(&sharded, &store, 700);
        struct import_node root = wrap(&options, &store, "d", &inner);
        char cid_string[CID_TEXT_MAX];
        cid_text(&root.cid, cid_string);
        for (size_t i = 0; i < 700; i += 13) {
            char text[512];
            char name[32];
            (void)snprintf(name, sizeof(name), "f%zu", i);
            (void)snprintf(text, sizeof(text), "%s%s%s%s",
                           i % 3 == 0   ? "/ipfs/"
                           : i % 3 == 1 ? ""
                                        : "ipfs://",
                           cid_string, i % 3 == 2 ? "/d/./x/..//" : "/d/", name);
            struct cid found;
            size_t asked;
            assert_ok(resolve(&store, text, &found, &asked));
            assert_true(asked >= 2 && asked <= 2 + 21);
            struct block_ref *block = store_get(&store, &found);
            assert_true(span_equal_text(block_ref_span(block), name));
        }
        char text[512];
        struct cid found;
        (void)snprintf(text, sizeof(text), "/ipfs/%s/d/absent", cid_string);
        assert_int_equal(resolve(&store, text, &found, NULL), ERR_NOT_FOUND);
        (void)snprintf(text, sizeof(text), "/ipfs/%s/d/f1/below", cid_string);
        assert_int_equal(resolve(&store, text, &found, NULL), ERR_NOT_FOUND);
        size_t asked;
        (void)snprintf(text, sizeof(text), "/ipfs/%s", cid_string);
        assert_ok(resolve(&store, text, &found, &asked));
        assert_int_equal(asked, 0);
        assert_true(cid_equal(&found, &root.cid));
        store_release(&store);
    }
}

static void what_is_no_path(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err expected;
    } cases[] = {
        {"", ERR_INVALID},
        {"/ipfs/", ERR_INVALID},
        {"/ipfs/nonsense/a", ERR_INVALID},
        {"ipfs://", ERR_INVALID},
        {"/ipns/example.org/a", ERR_UNSUPPORTED},
        {"ipns://example.org", ERR_UNSUPPORTED},
        {"/etc/passwd", ERR_UNSUPPORTED},
    };
    struct cid found;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(resolve(NULL, cases[i].text, &found, NULL), cases[i].expected);
    char *long_text = malloc(RESOLVER_PATH_MAX + 2);
    memset(long_text, 'a', RESOLVER_PATH_MAX + 1);
    long_text[RESOLVER_PATH_MAX + 1] = '\0';
    assert_int_equal(resolve(NULL, long_text, &found, NULL), ERR_TOO_LARGE);
    free(long_text);
}

/* Lists a folder; the names go to log, each with a newline. */
static enum err list(const struct block_store *store, const struct cid *root, size_t window, struct prng *prng,
                     struct buf *log, size_t *ret_unsafe)
{
    struct dir_lister *l;
    assert_ok(dir_lister_new(root, window, window * 40000, NULL, NULL, &l));
    struct cid pending[512];
    size_t count = 0;
    size_t unsafe = 0;
    enum err err = ERR_AGAIN;
    while (err == ERR_OK || err == ERR_AGAIN) {
        struct dir_entry entry;
        err = dir_lister_next(l, &entry);
        while (dir_lister_next_want(l, &pending[count]) == ERR_OK)
            assert_true(++count < ARRAY_LEN(pending));
        if (err == ERR_OK) {
            unsafe += entry.name_unsafe;
            assert_ok(buf_append_span(log, entry.name));
            assert_ok(buf_append_byte(log, '\n'));
        } else if (err == ERR_AGAIN) {
            assert_true(count > 0);
            assert_true(count <= window + 1);
            size_t i = (size_t)prng_below(prng, count);
            struct cid cid = pending[i];
            pending[i] = pending[--count];
            assert_non_null(store_get(store, &cid));
            (void)!dir_lister_put(l, &cid, store_get(store, &cid));
        }
    }
    assert_int_equal(err == ERR_CLOSED, strlen(dir_lister_why(l)) == 0);
    dir_lister_free(l);
    if (ret_unsafe != NULL)
        *ret_unsafe = unsafe;
    return err;
}

static void listings(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 9);
    static const size_t counts[] = {0, 1, 2, 60, 900};
    for (unsigned round = 0; round < 60; round++) {
        struct block_store store;
        store_init(&store);
        struct import_options options = import_options_of(round % 2 ? IMPORT_UNIXFS_V0_2015 : IMPORT_UNIXFS_V1_2025);
        options.hamt_fanout = 8U << (round % 8);
        options.hamt_threshold_bytes = round % 3 == 0 ? IMPORT_HAMT_THRESHOLD_BYTES : 0;
        size_t count = counts[round % ARRAY_LEN(counts)];
        struct import_node root = make_folder(&options, &store, count);
        struct buf first;
        struct buf log;
        buf_init(&first, 1 << 16, NULL);
        buf_init(&log, 1 << 16, NULL);
        assert_int_equal(list(&store, &root.cid, 1, &prng, &first, NULL), ERR_CLOSED);
        size_t lines = 0;
        for (size_t i = 0; i < first.len; i++)
            lines += first.data[i] == '\n';
        assert_int_equal(lines, count);
        for (size_t window = 2; window < 40; window += 9) {
            buf_clear(&log);
            assert_int_equal(list(&store, &root.cid, window, &prng, &log, NULL), ERR_CLOSED);
            assert_true(span_equal(buf_span(&log), buf_span(&first))); /* one order whatever arrives when */
        }
        buf_release(&first);
        buf_release(&log);
        store_release(&store);
    }
}

/* Emits a node of links with the given names to one target. */
static struct import_node hostile_node(struct block_store *store, enum unixfs_type type, uint64_t fanout,
                                       const char *const *names, const struct cid *target, struct span bitfield)
{
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct import_sink sink = store_sink(store);
    uint8_t cid[CID_BYTES_MAX];
    struct buf links;
    buf_init(&links, 4096, NULL);
    for (size_t i = 0; names[i] != NULL; i++) {
        struct dag_pb_link link = {.cid = span_of(cid, cid_encode(target, cid)), .name = span_text(names[i])};
        link.has_name = true;
        assert_ok(dag_pb_append(&links, &link, 1, NULL));
    }
    struct unixfs_node fields = {.type = type, .fanout = fanout, .hash_type = HAMT_HASH_MURMUR3};
    fields.has_data = bitfield.len > 0;
    fields.data = bitfield;
    struct import_node node = {0};
    assert_ok(import_emit_node(&options, &sink, buf_span(&links), &fields, &node));
    buf_release(&links);
    return node;
}

static void unsafe_names_are_flagged(void **state)
{
    (void)state;
    struct block_store store;
    store_init(&store);
    struct prng prng;
    prng_init(&prng, 1);
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct import_node file = import_bytes(&options, &store, span_text("x"), NULL);
    static const char *const names[] = {"..", ".", "", "a/b", "/etc", "\x1b[31mred", "good", NULL};
    struct import_node root = hostile_node(&store, UNIXFS_DIRECTORY, 0, names, &file.cid, (struct span){0});
    struct buf log;
    buf_init(&log, 1 << 12, NULL);
    size_t unsafe;
    assert_int_equal(list(&store, &root.cid, 4, &prng, &log, &unsafe), ERR_CLOSED);
    assert_int_equal(unsafe, 5);
    buf_release(&log);
    store_release(&store);
}

/* A chain of shards: as deep as the hash allows and one deeper; and children of another fanout or kind. */
static void hostile_shards_are_refused(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 1);
    struct buf log;
    buf_init(&log, 1 << 12, NULL);
    for (size_t depth = 7; depth <= 100; depth += depth < 9 ? 1 : 91) {
        struct block_store store;
        store_init(&store);
        struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
        struct import_node node = import_bytes(&options, &store, span_text("x"), NULL);
        static const uint8_t bit = 1;
        static const char *const leaf[] = {"00name", NULL};
        static const char *const inner[] = {"00", NULL};
        for (size_t i = 0; i < depth; i++)
            node = hostile_node(&store, UNIXFS_HAMT_SHARD, 256, i == 0 ? leaf : inner, &node.cid, span_of(&bit, 1));
        assert_int_equal(list(&store, &node.cid, 4, &prng, &log, NULL), depth <= 8 ? ERR_CLOSED : ERR_TOO_LARGE);
        store_release(&store);
    }
    struct block_store store;
    store_init(&store);
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct import_node file = import_bytes(&options, &store, span_text("x"), NULL);
    static const uint8_t bit = 1;
    static const char *const leaf[] = {"0name", NULL};
    static const char *const inner[] = {"00", NULL};
    struct import_node other = hostile_node(&store, UNIXFS_HAMT_SHARD, 16, leaf, &file.cid, span_of(&bit, 1));
    struct import_node root = hostile_node(&store, UNIXFS_HAMT_SHARD, 256, inner, &other.cid, span_of(&bit, 1));
    assert_int_equal(list(&store, &root.cid, 4, &prng, &log, NULL), ERR_CORRUPT);
    root = hostile_node(&store, UNIXFS_HAMT_SHARD, 256, inner, &file.cid, span_of(&bit, 1));
    assert_int_equal(list(&store, &root.cid, 4, &prng, &log, NULL), ERR_CORRUPT);
    static const uint64_t fanouts[] = {0, 1, 7, 12, 1025, UINT64_C(1) << 63};
    for (size_t i = 0; i < ARRAY_LEN(fanouts); i++) {
        root = hostile_node(&store, UNIXFS_HAMT_SHARD, fanouts[i], inner, &file.cid, span_of(&bit, 1));
        assert_int_equal(list(&store, &root.cid, 4, &prng, &log, NULL), ERR_CORRUPT);
        char text[CID_TEXT_MAX + 8];
        cid_text(&root.cid, text);
        (void)strncat(text, "/a", 3);
        struct cid found;
        assert_int_equal(resolve(&store, text, &found, NULL), ERR_CORRUPT);
    }
    assert_int_equal(list(&store, &file.cid, 4, &prng, &log, NULL), ERR_INVALID);
    buf_release(&log);
    store_release(&store);
}

/* Stores a block under the CID of its codec; its text. */
static const char *put(struct block_store *store, uint32_t codec, struct span bytes, char text[CID_TEXT_MAX])
{
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct import_sink sink = store_sink(store);
    struct block_ref *block = block_ref_copy(bytes, NULL);
    struct cid cid;
    assert_ok(import_emit(&options, &sink, codec, block, &cid));
    block_ref_unref(block);
    cid_text(&cid, text);
    return text;
}

/* json {"a": [{"f": folder}], "b": 1} and, in it, the folder of "f7": paths go through values into folders, or end inside a block. */
static void paths_through_values(void **state)
{
    (void)state;
    struct block_store store;
    store_init(&store);
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct import_node folder = make_folder(&options, &store, 9);
    char inner[CID_TEXT_MAX];
    char top[CID_TEXT_MAX];
    char json[512];
    cid_text(&folder.cid, inner);
    (void)snprintf(json, sizeof(json), "{\"a\":[{\"f\":{\"/\":\"%s\"}}],\"b\":{\"c\":1}}", inner);
    (void)put(&store, CODEC_DAG_JSON, span_text(json), top);
    static const struct {
        const char *path;
        enum err err;
        size_t asked;
        const char *remainder;
    } cases[] = {
        {"", ERR_OK, 0, ""},
        {"/a/0/f", ERR_OK, 1, ""},
        {"/a/0/f/f7", ERR_OK, 2, ""},
        {"/b/c", ERR_OK, 1, "b/c"},
        {"/a/./0/", ERR_OK, 1, "a/0"},
        {"/a/0/f/f9", ERR_NOT_FOUND, 2, NULL},
        {"/a/1", ERR_NOT_FOUND, 1, NULL},
        {"/b/c/d", ERR_NOT_FOUND, 1, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct resolver *r;
        struct cid cid;
        size_t asked = 0;
        char text[512];
        (void)snprintf(text, sizeof(text), "%s%s", top, cases[i].path);
        assert_ok(resolver_new(span_text(text), NULL, &r, NULL));
        for (; resolver_next_want(r, &cid) == ERR_OK; asked++)
            (void)!resolver_put(r, &cid, store_get(&store, &cid));
        assert_int_equal(resolver_error(r), cases[i].err);
        assert_int_equal(asked, cases[i].asked);
        if (cases[i].err == ERR_OK)
            assert_true(span_equal_text(resolver_remainder(r), cases[i].remainder));
        assert_int_equal(resolver_done(r, NULL), cases[i].err == ERR_OK);
        resolver_free(r);
    }
    /* what is no dag-cbor has no paths */
    struct cid found;
    char broken[CID_TEXT_MAX + 8];
    (void)put(&store, CODEC_DAG_CBOR, span_text("\xa1\x61"), top);
    (void)snprintf(broken, sizeof(broken), "%s/a", top);
    assert_int_equal(resolve(&store, broken, &found, NULL), ERR_CORRUPT);
    store_release(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_through_folders_and_shards),
        cmocka_unit_test(paths_through_values),
        cmocka_unit_test(what_is_no_path),
        cmocka_unit_test(listings),
        cmocka_unit_test(unsafe_names_are_flagged),
        cmocka_unit_test(hostile_shards_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
