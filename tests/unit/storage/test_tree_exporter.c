/* SPDX-License-Identifier: MIT */
/*
 * Whole trees read back as the stream that built them, whatever the order of arrival; how far is read ahead; folders that
 * lie.
 */
#include "tests/support/import_model.h"

#include "storage/tree_builder.h"
#include "storage/tree_exporter.h"
#include "wire/dag_pb.h"

enum { PENDING_MAX = 4096, STREAM_MAX = 32 * 1024 * 1024 };
enum { FILES = 100, FILE_BYTES = 256 * 1024, WINDOW_BYTES = 1024 * 1024 }; /* files as large as the pool's buffers */

struct fetcher {
    const struct block_store *store;
    struct prng *prng;
    struct cid pending[PENDING_MAX];
    size_t count;
    size_t peak;
    unsigned rounds; /* times that all was delivered */
    bool flaky;
    struct account *memory; /* NULL, or what blocks come into, as far as there is room */
    uint64_t refused;
};

static struct tree_exporter_options options_of(size_t window_bytes, struct account *account)
{
    return (struct tree_exporter_options){
        .name = span_text("root"), .window_blocks = 16, .window_bytes = window_bytes, .account = account};
}

static void fetch_wants(struct fetcher *f, struct tree_exporter *t)
{
    while (tree_exporter_next_want(t, &f->pending[f->count]) == ERR_OK) {
        assert_true(tree_exporter_waits_for(t, &f->pending[f->count]));
        assert_true(++f->count < PENDING_MAX);
    }
    f->peak = MAX(f->peak, f->count);
}

static enum err deliver(struct fetcher *f, struct tree_exporter *t, size_t i)
{
    struct cid cid = f->pending[i];
    f->pending[i] = f->pending[--f->count];
    if (f->flaky && prng_below(f->prng, 4) == 0) {
        tree_exporter_retry(t, &cid);
        return ERR_OK;
    }
    struct block_ref *block = store_get(f->store, &cid);
    assert_non_null(block);
    if (f->memory == NULL)
        return tree_exporter_put(t, &cid, block);
    block = block_ref_copy(block_ref_span(block), f->memory);
    if (block == NULL) {
        assert_true(++f->refused < 100000); /* no standstill */
        tree_exporter_retry(t, &cid);
        return ERR_OK;
    }
    enum err err = tree_exporter_put(t, &cid, block);
    block_ref_unref(block);
    return err;
}

/* Reads in pieces; each time it waits, one block comes (with a prng) or all that were asked for. */
static enum err read_all(struct fetcher *f, const struct cid *root, const struct tree_exporter_options *options,
                         size_t piece, struct buf *out)
{
    struct tree_exporter *t;
    enum err err = tree_exporter_new(root, options, &t);
    if (err != ERR_OK)
        return err;
    for (size_t before = 1; err == ERR_AGAIN || (err == ERR_OK && out->len != before);) {
        before = out->len;
        err = tree_exporter_read(t, out, piece);
        fetch_wants(f, t);
        if (err != ERR_AGAIN)
            continue;
        assert_true(f->count > 0 || f->flaky); /* it waits for something: no standstill */
        err = ERR_OK;
        if (f->prng != NULL && f->count > 0)
            err = deliver(f, t, (size_t)prng_below(f->prng, f->count));
        f->rounds += f->prng == NULL;
        for (size_t left = f->prng == NULL ? f->count : 0; left > 0 && err == ERR_OK; left--)
            err = deliver(f, t, 0);
        err = err == ERR_OK ? ERR_AGAIN : err;
    }
    if (err == ERR_OK)
        assert_int_equal(tree_exporter_position(t), options->skip + out->len);
    else
        assert_true(strlen(tree_exporter_why(t)) > 0);
    tree_exporter_free(t);
    f->count = 0;
    return err;
}

static void add(struct tree_builder *b, enum tree_kind kind, const char *name, struct span body, uint32_t mode)
{
    struct tree_event event = {.kind = kind, .name = span_text(name), .body = body};
    struct tree_added added;
    bool has_added;
    event.meta.mode = mode;
    event.meta.has_mtime = mode != 0;
    event.meta.mtime_seconds = -(int64_t)mode;
    event.meta.mtime_nanos = mode * 1000;
    assert_ok(tree_builder_event(b, &event, &added, &has_added));
}

static void add_file(struct tree_builder *b, const char *name, struct span body, uint32_t mode)
{
    struct span none = {0};
    add(b, TREE_FILE, name, none, mode);
    if (body.len > 0)
        add(b, TREE_DATA, "", body, 0);
    add(b, TREE_END, "", none, 0);
}

static uint8_t content[20000];

/* A tree of some hundred entries, of folders in folders, symlinks, empty and long files. */
static void grow(struct tree_builder *b, struct prng *prng, unsigned depth)
{
    unsigned entries = (unsigned)prng_below(prng, depth == 0 ? 60 : 12);
    for (unsigned i = 0; i < entries; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "e%u", i);
        uint32_t mode = (uint32_t)prng_below(prng, 512);
        size_t size = (size_t)prng_below(prng, prng_below(prng, 4) == 0 ? sizeof(content) : 300);
        if (depth < 5 && prng_below(prng, 3) == 0) {
            add(b, TREE_ENTER, name, (struct span){0}, mode);
            grow(b, prng, depth + 1);
            add(b, TREE_LEAVE, "", (struct span){0}, 0);
        } else if (prng_below(prng, 6) == 0) {
            add(b, TREE_SYMLINK, name, span_text("../somewhere"), 0);
        } else {
            add_file(b, name, span_of(content, size), mode);
        }
    }
}

static struct cid build_tree(const struct import_options *options, struct block_store *store, struct prng *prng)
{
    struct import_sink sink = store_sink(store);
    struct tree_builder *b;
    struct import_node root;
    assert_ok(tree_builder_new(options, &sink, false, &b));
    add(b, TREE_ENTER, "root", (struct span){0}, 0700);
    grow(b, prng, 0);
    add(b, TREE_LEAVE, "", (struct span){0}, 0);
    assert_ok(tree_builder_finish(b, &root));
    tree_builder_free(b);
    return root.cid;
}

/* What the stream builds. */
static struct cid rebuild(const struct import_options *options, struct block_store *store, struct span stream)
{
    struct import_sink sink = store_sink(store);
    struct tree_builder *b;
    struct tree_decoder decoder;
    struct tree_event event;
    struct import_node root;
    tree_decoder_init(&decoder, NULL);
    assert_ok(tree_builder_new(options, &sink, false, &b));
    enum err err;
    while ((err = tree_decoder_next(&decoder, &stream, &event)) == ERR_OK) {
        struct tree_added added;
        bool has_added;
        assert_ok(tree_builder_event(b, &event, &added, &has_added));
    }
    assert_int_equal(err, ERR_AGAIN);
    assert_true(tree_decoder_at_end(&decoder));
    assert_ok(tree_builder_finish(b, &root));
    tree_builder_free(b);
    tree_decoder_release(&decoder);
    return root.cid;
}

static void what_is_read_builds_the_same_tree(void **state)
{
    (void)state;
    struct prng prng;
    struct prng trees; /* of its own: which trees there are does not hang on what is asked for in which order */
    prng_init(&prng, 11);
    prng_init(&trees, 14);
    prng_fill(&prng, content, sizeof(content));
    for (unsigned round = 0; round < 60; round++) {
        struct import_options options = import_options_of(IMPORT_UNIXFS_V0_2015);
        options.chunk_bytes = 700;
        options.max_links = 5;
        options.hamt_fanout = 8;
        options.hamt_threshold_bytes = round % 2 ? 300 : IMPORT_HAMT_THRESHOLD_BYTES;
        options.inlined = round % 3 == 0;
        options.inline_bytes = 100;
        struct block_store store;
        store_init(&store);
        struct cid root = build_tree(&options, &store, &trees);
        struct account account;
        account_init(&account, "test", STREAM_MAX);
        struct fetcher f = {.store = &store, .prng = &prng, .flaky = round % 4 == 0};
        struct tree_exporter_options how = options_of(round % 5 == 0 ? 1 : 100000, &account);
        struct buf stream;
        buf_init(&stream, STREAM_MAX, NULL);
        assert_ok(read_all(&f, &root, &how, 1 + (size_t)prng_below(&prng, 5000), &stream));
        struct cid again = rebuild(&options, &store, buf_span(&stream));
        assert_true(cid_equal(&root, &again));
        /* from the middle on */
        struct buf rest;
        buf_init(&rest, STREAM_MAX, NULL);
        how.skip = prng_below(&prng, stream.len + 1);
        assert_ok(read_all(&f, &root, &how, 3000, &rest));
        assert_true(span_equal(span_skip(buf_span(&stream), (size_t)how.skip), buf_span(&rest)));
        assert_int_equal(account_used(&account), 0);
        buf_release(&rest);
        buf_release(&stream);
        store_release(&store);
    }
}

/* 40 folders of 5 files: if each level of each folder were waited for alone, that would take 80 round trips. */
static void siblings_and_levels_come_together(void **state)
{
    (void)state;
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct block_store store;
    store_init(&store);
    struct import_sink sink = store_sink(&store);
    struct tree_builder *b;
    struct import_node root;
    assert_ok(tree_builder_new(&options, &sink, false, &b));
    add(b, TREE_ENTER, "root", (struct span){0}, 0);
    for (unsigned i = 0; i < 40; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%u", i);
        add(b, TREE_ENTER, name, (struct span){0}, 0);
        for (unsigned k = 0; k < 5; k++) {
            (void)snprintf(name, sizeof(name), "%u of %u", k, i);
            add_file(b, name, span_text(name), 0);
        }
        add(b, TREE_LEAVE, "", (struct span){0}, 0);
    }
    add(b, TREE_LEAVE, "", (struct span){0}, 0);
    assert_ok(tree_builder_finish(b, &root));
    tree_builder_free(b);
    struct fetcher f = {.store = &store};
    struct tree_exporter_options how = options_of(4 * 1024 * 1024, NULL);
    struct buf stream;
    buf_init(&stream, STREAM_MAX, NULL);
    assert_ok(read_all(&f, &root.cid, &how, 65536, &stream));
    assert_true(f.rounds <= 10);
    assert_true(f.peak > 16);
    buf_release(&stream);
    store_release(&store);
}

/* However many entries a folder has, few of them are in memory, and few bytes are asked for at once. */
static void reading_ahead_is_bounded(void **state)
{
    (void)state;
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct block_store store;
    store_init(&store);
    struct import_sink sink = store_sink(&store);
    struct tree_builder *b;
    struct import_node root;
    assert_ok(tree_builder_new(&options, &sink, false, &b));
    add(b, TREE_ENTER, "root", (struct span){0}, 0);
    for (unsigned i = 0; i < 3000; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%u", i);
        memcpy(content, &i, sizeof(i));
        add_file(b, name, span_of(content, 4000), 0);
    }
    add(b, TREE_LEAVE, "", (struct span){0}, 0);
    assert_ok(tree_builder_finish(b, &root));
    tree_builder_free(b);
    struct account account;
    account_init(&account, "test", STREAM_MAX);
    struct account shared;
    account_init(&shared, "shared", 1024 * 1024);
    struct fetcher f = {.store = &store};
    struct tree_exporter_options how = options_of(40000, &account);
    how.shared = &shared;
    struct buf stream;
    buf_init(&stream, 4 * STREAM_MAX, NULL);
    assert_ok(read_all(&f, &root.cid, &how, 65536, &stream));
    assert_true(f.peak <= 12);
    assert_true(account.peak_bytes < 100000);
    assert_int_equal(account_used(&shared), 0);
    how.window_bytes = 4 * 1024 * 1024;
    buf_clear(&stream);
    assert_ok(read_all(&f, &root.cid, &how, 65536, &stream));
    assert_true(f.peak > 40 && f.peak <= TREE_AHEAD);
    buf_release(&stream);
    store_release(&store);
}

/* A folder of one link. */
static struct cid folder_with(struct block_store *store, struct span name, const struct cid *child)
{
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct import_sink sink = store_sink(store);
    uint8_t cid[CID_BYTES_MAX];
    uint8_t bytes[2048];
    struct dag_pb_link link = {.name = name, .has_name = true, .cid = span_of(cid, cid_encode(child, cid))};
    struct unixfs_node fields = {.type = UNIXFS_DIRECTORY};
    struct import_node node;
    uint8_t *end = dag_pb_put_link(bytes, &link);
    assert_ok(import_emit_node(&options, &sink, span_of(bytes, (size_t)(end - bytes)), &fields, &node));
    return node.cid;
}

/* What was read ahead of later files gives way to what is read next. */
static void memory_for_a_part_of_what_is_read_ahead_is_enough(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 19);
    prng_fill(&prng, content, sizeof(content));
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    options.chunk_bytes = 1000;
    struct block_store store;
    store_init(&store);
    struct import_sink sink = store_sink(&store);
    struct tree_builder *b;
    struct import_node root;
    assert_ok(tree_builder_new(&options, &sink, false, &b));
    add(b, TREE_ENTER, "root", (struct span){0}, 0700);
    for (unsigned i = 0; i < 16; i++) { /* all content differs */
        char name[16];
        (void)snprintf(name, sizeof(name), "f%02u", i);
        add_file(b, name, span_first(span_skip(span_of(content, sizeof(content)), (size_t)i * 1200), 1900), 0644);
    }
    add(b, TREE_LEAVE, "", (struct span){0}, 0);
    assert_ok(tree_builder_finish(b, &root));
    tree_builder_free(b);
    for (unsigned blocks = 4; blocks < 10; blocks++) {
        struct account memory;
        account_init(&memory, "memory", 2000 + blocks * 1100); /* the folder's node, and some */
        struct fetcher f = {.store = &store, .prng = &prng, .memory = &memory};
        struct tree_exporter_options how = options_of(20000, NULL);
        struct buf stream;
        buf_init(&stream, 1 << 20, NULL);
        assert_ok(read_all(&f, &root.cid, &how, 700, &stream));
        assert_true(f.refused > 0);
        assert_int_equal(account_used(&memory), 0);
        struct cid again = rebuild(&options, &store, buf_span(&stream));
        assert_true(cid_same_block(&again, &root.cid));
        buf_release(&stream);
    }
    store_release(&store);
}

static void folders_that_lie_are_refused(void **state)
{
    (void)state;
    static char long_name[TREE_NAME_MAX + 1];
    memset(long_name, 'x', sizeof(long_name));
    const struct span names[] = {span_text(".."),
                                 span_text("."),
                                 span_text("/tmp/x"),
                                 span_text("../escaped"),
                                 span_text(""),
                                 span_of("a\0b", 3),
                                 span_of(long_name, sizeof(long_name))};
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct block_store store;
    store_init(&store);
    struct import_node file = import_bytes(&options, &store, span_text("x"), NULL);
    struct fetcher f = {.store = &store};
    struct tree_exporter_options how = options_of(100000, NULL);
    struct buf stream;
    buf_init(&stream, STREAM_MAX, NULL);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct cid root = folder_with(&store, names[i], &file.cid);
        assert_int_equal(read_all(&f, &root, &how, 1000, &stream), ERR_INVALID);
    }
    struct cid other = file.cid;
    other.codec = CODEC_DAG_CBOR;
    struct cid root = folder_with(&store, span_text("f"), &other);
    assert_int_equal(read_all(&f, &root, &how, 1000, &stream), ERR_UNSUPPORTED);
    root = file.cid;
    for (unsigned depth = 0; depth <= TREE_DEPTH_MAX; depth++)
        root = folder_with(&store, span_text("d"), &root);
    assert_int_equal(read_all(&f, &root, &how, 1000, &stream), ERR_TOO_LARGE);
    how.name = span_text("..");
    assert_int_equal(read_all(&f, &root, &how, 1000, &stream), ERR_INVALID);
    buf_release(&stream);
    store_release(&store);
}

static void memory_may_end_anywhere(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 3);
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    options.chunk_bytes = 300;
    options.hamt_threshold_bytes = 300;
    options.hamt_fanout = 8;
    options.inlined = true;
    options.inline_bytes = 60;
    struct block_store store;
    store_init(&store);
    struct cid root = build_tree(&options, &store, &prng);
    bool passed = false;
    for (uint64_t limit = 0; !passed; limit += 61) {
        assert_true(limit < 200000);
        struct account account;
        account_init(&account, "test", limit);
        struct fetcher f = {.store = &store};
        struct tree_exporter_options how = options_of(100000, &account);
        struct buf stream;
        buf_init(&stream, STREAM_MAX, NULL);
        enum err err = read_all(&f, &root, &how, 2000, &stream);
        assert_true(err == ERR_OK || err == ERR_NOMEM);
        assert_int_equal(account_used(&account), 0);
        passed = err == ERR_OK;
        buf_release(&stream);
    }
    store_release(&store);
}

/* A folder of files of one raw block each, which it says are of tsize bytes. */
static struct cid folder_of_files(struct block_store *store, uint64_t tsize)
{
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct import_sink sink = store_sink(store);
    struct unixfs_node fields = {.type = UNIXFS_DIRECTORY};
    struct import_node node;
    uint8_t bytes[FILES * 64];
    uint8_t *end = bytes;
    for (uint32_t i = 0; i < FILES; i++) {
        struct multihash hash;
        char name[8];
        uint8_t cid_bytes[CID_BYTES_MAX];
        struct block_ref *block = block_ref_new(FILE_BYTES, NULL);
        memset(block->data, (int)i, FILE_BYTES);
        assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, block_ref_span(block), &hash));
        struct cid cid = cid_v1(CODEC_RAW, &hash);
        assert_ok(sink.emit(sink.arg, &cid, block));
        block_ref_unref(block);
        (void)snprintf(name, sizeof(name), "%02u", i);
        struct dag_pb_link link = {.name = span_text(name), .has_name = true, .tsize = tsize, .has_tsize = true};
        link.cid = span_of(cid_bytes, cid_encode(&cid, cid_bytes));
        end = dag_pb_put_link(end, &link);
    }
    assert_ok(import_emit_node(&options, &sink, span_of(bytes, (size_t)(end - bytes)), &fields, &node));
    return node.cid;
}

/* What is asked for comes last first, as long as memory has room for it; what has none is asked for again. */
static void read_in_reverse(const struct block_store *store, const struct cid *root, struct account *memory)
{
    struct cid pending[PENDING_MAX];
    struct account shared;
    struct tree_exporter *t;
    struct buf stream;
    unsigned rounds = 0;
    account_init(&shared, "shared", WINDOW_BYTES);
    struct tree_exporter_options how = options_of(WINDOW_BYTES, NULL);
    how.shared = &shared;
    how.window_blocks = TREE_AHEAD;
    buf_init(&stream, STREAM_MAX, NULL);
    assert_ok(tree_exporter_new(root, &how, &t));
    for (size_t before = SIZE_MAX; stream.len != before;) {
        size_t count = 0;
        before = stream.len;
        enum err err = tree_exporter_read(t, &stream, STREAM_MAX);
        assert_true(err == ERR_OK || err == ERR_AGAIN);
        while (tree_exporter_next_want(t, &pending[count]) == ERR_OK)
            count++;
        while (count-- > 0) {
            struct block_ref *block = block_ref_copy(block_ref_span(store_get(store, &pending[count])), memory);
            if (block == NULL)
                tree_exporter_retry(t, &pending[count]);
            else
                assert_ok(tree_exporter_put(t, &pending[count], block));
            block_ref_unref(block);
            before = SIZE_MAX;
        }
        assert_true(++rounds < 10 * FILES); /* no standstill */
    }
    assert_true(stream.len > (size_t)FILES * FILE_BYTES);
    tree_exporter_free(t);
    buf_release(&stream);
    assert_int_equal(account_used(memory), 0);
    assert_int_equal(account_used(&shared), 0);
}

/* Whatever a folder says of its files, and in whatever order they come: few are kept, and the one that is waited for finds a place. */
static void what_came_early_leaves_room(void **state)
{
    (void)state;
    static const uint64_t claims[] = {FILE_BYTES, 1, 0, UINT64_C(1) << 62};
    for (size_t i = 0; i < ARRAY_LEN(claims); i++) {
        struct block_store store;
        store_init(&store);
        struct cid root = folder_of_files(&store, claims[i]);
        struct account memory;
        account_init(&memory, "plenty", STREAM_MAX);
        read_in_reverse(&store, &root, &memory);
        assert_true(memory.peak_bytes <= WINDOW_BYTES + 2 * FILE_BYTES); /* … the foremost, and the one that comes */
        account_init(&memory, "scarce", WINDOW_BYTES + 2 * FILE_BYTES);
        read_in_reverse(&store, &root, &memory);
        store_release(&store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_builds_the_same_tree),
        cmocka_unit_test(siblings_and_levels_come_together),
        cmocka_unit_test(reading_ahead_is_bounded),
        cmocka_unit_test(memory_for_a_part_of_what_is_read_ahead_is_enough),
        cmocka_unit_test(folders_that_lie_are_refused),
        cmocka_unit_test(memory_may_end_anywhere),
        cmocka_unit_test(what_came_early_leaves_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
