/* SPDX-License-Identifier: MIT */
/*
 * Files read back: every layout, range, window and order of arrival gives the imported bytes; nodes that lie are
 * refused.
 */
#include "tests/support/import_model.h"

#include "storage/exporter.h"
#include "wire/dag_pb.h"
#include "wire/unixfs.h"

enum { PENDING_MAX = 256 };

/* A fetcher that answers in random order, and checks that nothing is asked twice while it is outstanding. */
struct fetcher {
    const struct block_store *store;
    struct prng *prng;
    struct cid pending[PENDING_MAX];
    size_t count;
    size_t peak;
    bool flaky;             /* now and then a block cannot be had for the moment */
    struct account *memory; /* NULL, or what blocks come into, as far as there is room */
    uint64_t asked;
};

static void fetch_wants(struct fetcher *f, struct exporter *e)
{
    struct cid cid;
    while (exporter_next_want(e, &cid) == ERR_OK) {
        assert_true(f->count < PENDING_MAX);
        for (size_t i = 0; i < f->count; i++)
            assert_false(cid_same_block(&cid, &f->pending[i]));
        assert_true(exporter_waits_for(e, &cid));
        f->pending[f->count++] = cid;
        f->asked++;
    }
    f->peak = MAX(f->peak, f->count);
}

static enum err deliver_one(struct fetcher *f, struct exporter *e)
{
    size_t i = (size_t)prng_below(f->prng, f->count);
    struct cid cid = f->pending[i];
    f->pending[i] = f->pending[--f->count];
    if (f->flaky && prng_below(f->prng, 4) == 0) {
        exporter_retry(e, &cid);
        return ERR_OK;
    }
    struct block_ref *block = store_get(f->store, &cid);
    assert_non_null(block);
    if (f->memory == NULL)
        return exporter_put(e, &cid, block);
    block = block_ref_copy(block_ref_span(block), f->memory);
    if (block == NULL) {
        exporter_retry(e, &cid);
        return ERR_OK;
    }
    enum err err = exporter_put(e, &cid, block);
    block_ref_unref(block);
    return err;
}

/* Reads a range into out; ends with the exporter's error, ERR_CLOSED when all is well. */
static enum err read_range(struct fetcher *f, const struct cid *root, const struct exporter_options *options,
                           struct buf *out)
{
    struct exporter *e;
    assert_ok(exporter_new(root, options, &e));
    enum err err = ERR_AGAIN;
    while (err == ERR_AGAIN || err == ERR_OK) {
        fetch_wants(f, e);
        struct block_ref *block;
        struct span bytes;
        err = exporter_next(e, &block, &bytes);
        if (err == ERR_OK) {
            assert_true(bytes.len > 0);
            assert_ok(buf_append_span(out, bytes));
            block_ref_unref(block);
        } else if (err == ERR_AGAIN) {
            assert_true(f->count > 0); /* it waits for something: no standstill */
            assert_true(f->asked < 100000);
            (void)deliver_one(f, e);
        }
    }
    if (err == ERR_CLOSED)
        assert_string_equal(exporter_why(e), "");
    else
        assert_true(strlen(exporter_why(e)) > 0);
    exporter_free(e);
    f->count = 0;
    return err;
}

static void any_range_window_and_order(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 11);
    static uint8_t bytes[30000];
    prng_fill(&prng, bytes, sizeof(bytes));
    memset(bytes + 9000, 0, 9000); /* repeated chunks */
    struct account account;
    account_init(&account, "test", 1 << 22);
    for (unsigned round = 0; round < 600; round++) {
        struct import_options options = import_options_of(round % 2 ? IMPORT_UNIXFS_V0_2015 : IMPORT_UNIXFS_V1_2025);
        options.chunk_bytes = 1 + (uint32_t)prng_below(&prng, 400);
        options.max_links = 2 + (uint32_t)prng_below(&prng, 9);
        struct block_store store;
        store_init(&store);
        struct span content = span_first(span_of(bytes, sizeof(bytes)), (size_t)prng_below(&prng, 6000));
        content = round % 3 == 0 ? span_skip(span_of(bytes, 20000), 8000) : content;
        struct import_node root = import_bytes(&options, &store, content, NULL);
        struct exporter_options range = {
            .offset = prng_below(&prng, content.len + 10),
            .length = prng_below(&prng, 3) == 0 ? UINT64_MAX : prng_below(&prng, content.len + 10),
            .window_blocks = 1 + (size_t)prng_below(&prng, 20),
            .window_bytes = 1 + (size_t)prng_below(&prng, 20000),
            .account = &account,
        };
        range.window_blocks = round % 5 == 0 ? 1 : range.window_blocks;
        struct fetcher fetcher = {.store = &store, .prng = &prng, .flaky = round % 4 == 0};
        struct buf out;
        buf_init(&out, sizeof(bytes), NULL);
        assert_int_equal(read_range(&fetcher, &root.cid, &range, &out), ERR_CLOSED);
        struct span expected = span_skip(content, (size_t)range.offset);
        expected = span_first(expected, (size_t)MIN(range.length, expected.len));
        assert_true(span_equal(buf_span(&out), expected));
        assert_true(fetcher.peak <= range.window_blocks + 1);
        assert_int_equal(account_used(&account), 0);
        buf_release(&out);
        store_release(&store);
    }
}

/* What was read ahead gives way to what is read next: the store has memory for less than the window. */
static void memory_for_a_part_of_the_window_is_enough(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 13);
    static uint8_t bytes[60000];
    prng_fill(&prng, bytes, sizeof(bytes));
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    options.chunk_bytes = 1000;
    options.max_links = 8;
    struct block_store store;
    store_init(&store);
    struct import_node root = import_bytes(&options, &store, span_of(bytes, sizeof(bytes)), NULL);
    for (unsigned blocks = 4; blocks < 12; blocks++) { /* two nodes above, the one that is read, and the next */
        struct account memory;
        account_init(&memory, "memory", blocks * 1100);
        struct exporter_options range = {.length = UINT64_MAX, .window_blocks = 40, .window_bytes = 40000};
        struct fetcher fetcher = {.store = &store, .prng = &prng, .memory = &memory};
        struct buf out;
        buf_init(&out, sizeof(bytes), NULL);
        assert_int_equal(read_range(&fetcher, &root.cid, &range, &out), ERR_CLOSED);
        assert_true(span_equal(buf_span(&out), span_of(bytes, sizeof(bytes))));
        assert_int_equal(account_used(&memory), 0);
        buf_release(&out);
    }
    store_release(&store);
}

/* A read of one byte in a file of many blocks asks for one path only. */
static void seeks_fetch_one_path(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 12);
    static uint8_t bytes[4096];
    prng_fill(&prng, bytes, sizeof(bytes));
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    options.chunk_bytes = 4;
    options.max_links = 4; /* 1024 leaves: five levels of nodes */
    struct block_store store;
    store_init(&store);
    struct import_node root = import_bytes(&options, &store, span_of(bytes, sizeof(bytes)), NULL);
    struct exporter_options range = {.offset = 2222, .length = 1, .window_blocks = 16, .window_bytes = 1 << 20};
    struct fetcher fetcher = {.store = &store, .prng = &prng};
    struct buf out;
    buf_init(&out, 16, NULL);
    assert_int_equal(read_range(&fetcher, &root.cid, &range, &out), ERR_CLOSED);
    assert_int_equal(out.len, 1);
    assert_int_equal(out.data[0], bytes[2222]);
    assert_int_equal(fetcher.asked, 6);
    /* A whole chunk: neither neighbour is touched. */
    range.offset = 2220;
    range.length = 4;
    fetcher.asked = 0;
    buf_clear(&out);
    assert_int_equal(read_range(&fetcher, &root.cid, &range, &out), ERR_CLOSED);
    assert_memory_equal(out.data, bytes + 2220, 4);
    assert_int_equal(fetcher.asked, 6);
    buf_release(&out);
    store_release(&store);
}

/* Read-ahead stops at a bound in bytes too, however many blocks it allows. */
static void the_window_is_bounded_in_bytes(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 14);
    static uint8_t bytes[40000];
    prng_fill(&prng, bytes, sizeof(bytes));
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    options.chunk_bytes = 1000;
    struct block_store store;
    store_init(&store);
    struct import_node root = import_bytes(&options, &store, span_of(bytes, sizeof(bytes)), NULL);
    struct exporter_options all = {.length = UINT64_MAX, .window_blocks = 100, .window_bytes = 10000};
    struct fetcher fetcher = {.store = &store, .prng = &prng};
    struct buf out;
    buf_init(&out, sizeof(bytes), NULL);
    assert_int_equal(read_range(&fetcher, &root.cid, &all, &out), ERR_CLOSED);
    assert_memory_equal(out.data, bytes, sizeof(bytes));
    assert_in_range(fetcher.peak, 5, 10 * DAG_AHEAD);
    buf_release(&out);
    store_release(&store);
}

/* Delivers the oldest of what is outstanding, as a copy that the account pays for while anybody keeps it. */
static void deliver_oldest(struct fetcher *f, struct exporter *e, struct account *memory)
{
    struct block_ref *stored = store_get(f->store, &f->pending[0]);
    struct block_ref *block = block_ref_copy(block_ref_span(stored), memory);
    struct cid cid = f->pending[0];
    memmove(f->pending, f->pending + 1, --f->count * sizeof(f->pending[0]));
    assert_non_null(block);
    assert_ok(exporter_put(e, &cid, block));
    block_ref_unref(block);
    fetch_wants(f, e);
}

static enum err read_one(struct exporter *e, struct buf *out)
{
    struct block_ref *block;
    struct span bytes;
    enum err err = exporter_next(e, &block, &bytes);
    if (err != ERR_OK)
        return err;
    assert_ok(buf_append_span(out, bytes));
    block_ref_unref(block);
    return ERR_OK;
}

/*
 * Who reads what comes asks for several windows, for the path to be full; who then stops to read keeps one window, and has the rest again
 * from the store when it goes on.
 */
static void more_is_on_its_way_than_is_held(void **state)
{
    (void)state;
    enum { CHUNK = 4000, WINDOW = 10 * CHUNK };
    struct prng prng;
    prng_init(&prng, 16);
    static uint8_t bytes[120 * CHUNK];
    prng_fill(&prng, bytes, sizeof(bytes));
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    options.chunk_bytes = CHUNK;
    struct block_store store;
    store_init(&store);
    struct import_node root = import_bytes(&options, &store, span_of(bytes, sizeof(bytes)), NULL);
    struct account memory;
    struct account shared;
    account_init(&memory, "memory", sizeof(bytes));
    account_init(&shared, "windows", WINDOW);
    struct exporter_options all = {
        .length = UINT64_MAX, .window_blocks = 100, .window_bytes = WINDOW, .shared = &shared};
    struct fetcher f = {.store = &store, .prng = &prng};
    struct exporter *e;
    struct buf out;
    buf_init(&out, sizeof(bytes), NULL);
    assert_ok(exporter_new(&root.cid, &all, &e));
    fetch_wants(&f, e);
    while (out.len < sizeof(bytes) / 2) {
        if (out.len == 0)
            assert_true(f.count <= 14); /* nobody knows yet that it takes long, but for the root */
        deliver_oldest(&f, e, &memory);
        while (read_one(e, &out) == ERR_OK)
            fetch_wants(&f, e);
    }
    assert_in_range(f.count, 15, 10 * DAG_AHEAD);
    uint64_t asked = f.asked;
    while (f.count > 0) /* the reader stops */
        deliver_oldest(&f, e, &memory);
    assert_in_range(account_used(&memory), WINDOW / 2, WINDOW + CHUNK);
    assert_int_equal(f.asked, asked); /* what is not kept is not asked for in vain */
    for (enum err err = ERR_OK; err != ERR_CLOSED; err = read_one(e, &out)) {
        fetch_wants(&f, e);
        assert_true(f.count <= 1); /* it reads slower than blocks come: one for one */
        if (f.count > 0)
            deliver_oldest(&f, e, &memory);
        assert_true(account_used(&memory) <= WINDOW + CHUNK);
    }
    assert_int_equal(out.len, sizeof(bytes));
    assert_memory_equal(out.data, bytes, sizeof(bytes));
    exporter_free(e);
    assert_int_equal(account_used(&shared), 0);
    assert_int_equal(account_used(&memory), 0);
    buf_release(&out);
    store_release(&store);
}

/* Two readers over one account: when it is spent they still go on, block by block, and it is given back. */
static void windows_share_an_account(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 15);
    static uint8_t bytes[40000];
    prng_fill(&prng, bytes, sizeof(bytes));
    struct import_options options = import_options_of(IMPORT_UNIXFS_V0_2015);
    options.chunk_bytes = 1000;
    options.max_links = 6;
    struct block_store store;
    store_init(&store);
    struct import_node root = import_bytes(&options, &store, span_of(bytes, sizeof(bytes)), NULL);
    struct account shared;
    account_init(&shared, "windows", 5000);
    uint64_t elsewhere = 0;
    for (unsigned round = 0; round < 20; round++) {
        struct exporter_options all = {.length = UINT64_MAX, .window_blocks = 100, .window_bytes = 1 << 20};
        all.shared = &shared;
        struct fetcher fetcher = {.store = &store, .prng = &prng};
        struct buf out;
        buf_init(&out, sizeof(bytes), NULL);
        elsewhere = round % 2 == 0 ? 0 : 5000; /* the others took it all */
        assert_true(account_take(&shared, elsewhere));
        assert_int_equal(read_range(&fetcher, &root.cid, &all, &out), ERR_CLOSED);
        assert_memory_equal(out.data, bytes, sizeof(bytes));
        assert_in_range(fetcher.peak, 1, round % 2 == 0 ? 5 : 1);
        account_give(&shared, elsewhere);
        assert_int_equal(account_used(&shared), 0);
        buf_release(&out);
    }
    store_release(&store);
}

struct lie {
    enum unixfs_type type;
    size_t links;
    size_t sizes;
    uint64_t size_of_child;
    uint64_t filesize;
    const char *name;
    enum err expected;
};

/* Puts a dag-pb block over raw children of four bytes and reads it. */
static enum err read_lie(const struct lie *lie)
{
    struct block_store store;
    store_init(&store);
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct import_sink sink = store_sink(&store);
    struct import_node child = import_bytes(&options, &store, span_text("four"), NULL);
    uint8_t cid[CID_BYTES_MAX];
    struct dag_pb_link link = {.cid = span_of(cid, cid_encode(&child.cid, cid)), .name = span_text(lie->name)};
    link.has_name = true;
    struct buf links;
    struct buf sizes;
    buf_init(&links, 4096, NULL);
    buf_init(&sizes, 4096, NULL);
    for (size_t i = 0; i < lie->links; i++)
        assert_ok(dag_pb_append(&links, &link, 1, NULL));
    for (size_t i = 0; i < lie->sizes; i++)
        assert_ok(unixfs_append_blocksize(&sizes, lie->size_of_child));
    struct unixfs_node fields = {
        .type = lie->type, .has_filesize = true, .filesize = lie->filesize, .blocksizes = buf_span(&sizes)};
    struct import_node root = {0};
    assert_ok(import_emit_node(&options, &sink, buf_span(&links), &fields, &root));
    struct prng prng;
    prng_init(&prng, 1);
    struct fetcher fetcher = {.store = &store, .prng = &prng};
    struct exporter_options all = {.length = UINT64_MAX, .window_blocks = 4, .window_bytes = 4096};
    struct buf out;
    buf_init(&out, 4096, NULL);
    enum err err = read_range(&fetcher, &root.cid, &all, &out);
    buf_release(&links);
    buf_release(&sizes);
    buf_release(&out);
    store_release(&store);
    return err;
}

/* RELIABILITY D14. */
static void lying_sizes_are_refused(void **state)
{
    (void)state;
    static const struct lie lies[] = {
        {UNIXFS_FILE, 2, 2, 4, 8, "", ERR_CLOSED},    /* honest */
        {UNIXFS_FILE, 2, 2, 5, 10, "", ERR_MISMATCH}, /* children are shorter than said */
        {UNIXFS_FILE, 2, 2, 3, 6, "", ERR_MISMATCH},  /* longer */
        {UNIXFS_FILE, 2, 1, 4, 4, "", ERR_CORRUPT},   /* links and sizes differ in number */
        {UNIXFS_FILE, 1, 2, 4, 8, "", ERR_CORRUPT},
        {UNIXFS_FILE, 2, 2, 4, 9, "", ERR_CORRUPT},              /* filesize */
        {UNIXFS_FILE, 2, 2, UINT64_MAX / 2, 0, "", ERR_CORRUPT}, /* overflow */
        {UNIXFS_FILE, 1, 1, UINT64_MAX, UINT64_MAX, "", ERR_CORRUPT},
        {UNIXFS_FILE, 1, 1, 4, 4, "name", ERR_CORRUPT},
        {UNIXFS_DIRECTORY, 0, 0, 0, 0, "", ERR_INVALID},
        {UNIXFS_SYMLINK, 0, 0, 0, 0, "", ERR_INVALID},
        {UNIXFS_METADATA, 0, 0, 0, 0, "", ERR_UNSUPPORTED},
    };
    for (size_t i = 0; i < ARRAY_LEN(lies); i++)
        assert_int_equal(read_lie(&lies[i]), lies[i].expected);
}

/* RELIABILITY D8: a chain of file nodes, each with one link. */
static void deep_chains_are_refused(void **state)
{
    (void)state;
    for (size_t depth = 63; depth <= 300; depth += depth == 63 ? 1 : depth == 64 ? 1 : 235) {
        struct block_store store;
        store_init(&store);
        struct import_options options = import_options_of(IMPORT_UNIXFS_V0_2015);
        struct import_sink sink = store_sink(&store);
        struct import_node node = import_bytes(&options, &store, span_text("four"), NULL);
        for (size_t i = 0; i < depth; i++) {
            uint8_t cid[CID_BYTES_MAX];
            struct dag_pb_link link = {.cid = span_of(cid, cid_encode(&node.cid, cid))};
            struct buf links;
            struct buf sizes;
            buf_init(&links, 256, NULL);
            buf_init(&sizes, 256, NULL);
            assert_ok(dag_pb_append(&links, &link, 1, NULL));
            assert_ok(unixfs_append_blocksize(&sizes, 4));
            struct unixfs_node fields = {.type = UNIXFS_FILE, .blocksizes = buf_span(&sizes)};
            assert_ok(import_emit_node(&options, &sink, buf_span(&links), &fields, &node));
            buf_release(&links);
            buf_release(&sizes);
        }
        struct prng prng;
        prng_init(&prng, 1);
        struct fetcher fetcher = {.store = &store, .prng = &prng};
        struct exporter_options all = {.length = UINT64_MAX, .window_blocks = 4, .window_bytes = 4096};
        struct buf out;
        buf_init(&out, 4096, NULL);
        assert_int_equal(read_range(&fetcher, &node.cid, &all, &out), depth <= 64 ? ERR_CLOSED : ERR_TOO_LARGE);
        buf_release(&out);
        store_release(&store);
    }
}

/* Memory that ends at each point in turn: an error, never a short file that looks whole. */
static void memory_may_end_anywhere(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 13);
    static uint8_t bytes[3000];
    prng_fill(&prng, bytes, sizeof(bytes));
    struct import_options options = import_options_of(IMPORT_UNIXFS_V0_2015);
    options.chunk_bytes = 100;
    options.max_links = 3;
    struct block_store store;
    store_init(&store);
    struct import_node root = import_bytes(&options, &store, span_of(bytes, sizeof(bytes)), NULL);
    enum err err = ERR_NOMEM;
    for (uint64_t limit = 400; err != ERR_CLOSED; limit += 41) {
        assert_true(limit < 50000);
        struct account account;
        account_init(&account, "test", limit);
        struct exporter_options all = {.length = UINT64_MAX, .window_blocks = 8, .window_bytes = 4096};
        all.account = &account;
        struct fetcher fetcher = {.store = &store, .prng = &prng};
        struct buf out;
        buf_init(&out, sizeof(bytes), NULL);
        err = read_range(&fetcher, &root.cid, &all, &out);
        assert_true(err == ERR_CLOSED ? out.len == sizeof(bytes) : err == ERR_NOMEM);
        buf_release(&out);
        assert_int_equal(account_used(&account), 0);
    }
    store_release(&store);
}

static void identity_cids_need_no_fetch(void **state)
{
    (void)state;
    struct multihash hash;
    assert_ok(multihash_sum(MULTIHASH_IDENTITY, 0, span_text("inline"), &hash));
    struct cid cid = cid_v1(CODEC_RAW, &hash);
    struct exporter_options all = {.length = UINT64_MAX, .window_blocks = 1, .window_bytes = 1};
    struct fetcher fetcher = {0};
    struct buf out;
    buf_init(&out, 64, NULL);
    assert_int_equal(read_range(&fetcher, &cid, &all, &out), ERR_CLOSED);
    assert_true(span_equal_text(buf_span(&out), "inline"));
    assert_int_equal(fetcher.asked, 0);
    buf_release(&out);
}

static void other_codecs_are_named(void **state)
{
    (void)state;
    struct block_store store;
    store_init(&store);
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct import_sink sink = store_sink(&store);
    struct block_ref *block = block_ref_copy(span_text("\xa0"), NULL);
    struct cid cid;
    assert_ok(import_emit(&options, &sink, CODEC_DAG_CBOR, block, &cid));
    block_ref_unref(block);
    struct prng prng;
    prng_init(&prng, 1);
    struct fetcher fetcher = {.store = &store, .prng = &prng};
    struct exporter_options all = {.length = UINT64_MAX, .window_blocks = 1, .window_bytes = 1};
    struct buf out;
    buf_init(&out, 64, NULL);
    assert_int_equal(read_range(&fetcher, &cid, &all, &out), ERR_UNSUPPORTED);
    store_release(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_range_window_and_order),  cmocka_unit_test(memory_for_a_part_of_the_window_is_enough),
        cmocka_unit_test(seeks_fetch_one_path),        cmocka_unit_test(the_window_is_bounded_in_bytes),
        cmocka_unit_test(windows_share_an_account),    cmocka_unit_test(more_is_on_its_way_than_is_held),
        cmocka_unit_test(lying_sizes_are_refused),     cmocka_unit_test(deep_chains_are_refused),
        cmocka_unit_test(identity_cids_need_no_fetch), cmocka_unit_test(memory_may_end_anywhere),
        cmocka_unit_test(other_codecs_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
