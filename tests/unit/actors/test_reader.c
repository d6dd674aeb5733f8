/* SPDX-License-Identifier: MIT */
/*
 * Reads through the control socket: path, kind, bytes and entries, with blocks that come late, in any order, or never.
 */
#include "tests/support/import_model.h"

#include "actors/control/reader.h"
#include "storage/car_importer.h"
#include "storage/directory_builder.h"
#include "storage/tree_builder.h"

enum { PENDING_MAX = 256 };

struct world {
    struct block_store store;
    struct prng prng;
    struct cid root;
    struct cid pending[PENDING_MAX];
    size_t count;
    char root_text[CID_TEXT_MAX];
};

static uint8_t big[50000];

static void add(struct tree_builder *b, enum tree_kind kind, const char *name, struct span body)
{
    struct tree_event event = {.kind = kind, .name = span_text(name), .body = body};
    event.meta.mode = kind == TREE_FILE ? 0640 : 0;
    struct tree_added added;
    bool has_added;
    assert_ok(tree_builder_event(b, &event, &added, &has_added));
}

/* d/{big, empty/, link -> big, small, many/{0..199}} with small chunks and shards. */
static void world_init(struct world *w, enum import_profile profile)
{
    *w = (struct world){0};
    prng_init(&w->prng, 6);
    prng_fill(&w->prng, big, sizeof(big));
    store_init(&w->store);
    struct import_options options = import_options_of(profile);
    options.chunk_bytes = 700;
    options.max_links = 5;
    options.hamt_threshold_bytes = 4000;
    struct import_sink sink = store_sink(&w->store);
    struct tree_builder *b;
    assert_ok(tree_builder_new(&options, &sink, false, &b));
    add(b, TREE_ENTER, "d", (struct span){0});
    add(b, TREE_FILE, "big", (struct span){0});
    add(b, TREE_DATA, "", span_of(big, sizeof(big)));
    add(b, TREE_END, "", (struct span){0});
    add(b, TREE_ENTER, "empty", (struct span){0});
    add(b, TREE_LEAVE, "", (struct span){0});
    add(b, TREE_SYMLINK, "link", span_text("big"));
    add(b, TREE_FILE, "small", (struct span){0});
    add(b, TREE_DATA, "", span_text("tiny"));
    add(b, TREE_END, "", (struct span){0});
    add(b, TREE_ENTER, "many", (struct span){0});
    for (unsigned i = 0; i < 200; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", i);
        add(b, TREE_FILE, name, (struct span){0});
        add(b, TREE_DATA, "", span_text(name));
        add(b, TREE_END, "", (struct span){0});
    }
    add(b, TREE_LEAVE, "", (struct span){0});
    add(b, TREE_LEAVE, "", (struct span){0});
    struct import_node root;
    assert_ok(tree_builder_finish(b, &root));
    tree_builder_free(b);
    w->root = root.cid;
    cid_text(&root.cid, w->root_text);
}

static struct reader *open_reader(struct world *w, const char *path, enum reader_mode mode)
{
    struct reader_options options = {.mode = mode, .length = UINT64_MAX, .kinds = true, .window_blocks = 6};
    char text[512];
    (void)snprintf(text, sizeof(text), "/ipfs/%s%s", w->root_text, path);
    struct reader *r;
    assert_ok(reader_new(span_text(text), &options, &r, NULL));
    w->count = 0;
    return r;
}

/* Asks for all that is wanted and answers one of it. */
static void turn(struct world *w, struct reader *r)
{
    while (reader_next_want(r, &w->pending[w->count]) == ERR_OK)
        assert_true(++w->count < PENDING_MAX);
    if (w->count == 0)
        return;
    size_t i = (size_t)prng_below(&w->prng, w->count);
    struct cid cid = w->pending[i];
    w->pending[i] = w->pending[--w->count];
    if (prng_below(&w->prng, 5) == 0) { /* the store is busy */
        reader_retry_block(r, &cid);
        return;
    }
    struct block_ref *block = store_get(&w->store, &cid);
    assert_non_null(block);
    reader_put_block(r, &cid, block);
}

static void open_it(struct world *w, struct reader *r)
{
    for (unsigned i = 0; i < 100 && reader_state(r) == READER_WAITING; i++)
        turn(w, r);
    assert_int_not_equal(reader_state(r), READER_WAITING);
}

static void stats(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum reader_kind kind;
        uint64_t size;
    } cases[] = {
        {"", READER_KIND_DIRECTORY, 0},    {"/big", READER_KIND_FILE, sizeof(big)},
        {"/small", READER_KIND_FILE, 4},   {"/empty", READER_KIND_DIRECTORY, 0},
        {"/link", READER_KIND_SYMLINK, 3}, {"/many", READER_KIND_DIRECTORY, 0},
        {"/many/17", READER_KIND_FILE, 2},
    };
    for (unsigned profile = 0; profile < 2; profile++) {
        struct world w;
        world_init(&w, profile == 0 ? IMPORT_UNIXFS_V1_2025 : IMPORT_UNIXFS_V0_2015);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            struct reader *r = open_reader(&w, cases[i].path, READER_STAT);
            open_it(&w, r);
            assert_int_equal(reader_state(r), READER_OPEN);
            assert_int_equal(reader_info(r)->kind, cases[i].kind);
            assert_int_equal(reader_info(r)->size, cases[i].size);
            if (cases[i].kind == READER_KIND_SYMLINK)
                assert_true(span_equal_text(reader_info(r)->symlink_target, "big"));
            if (strcmp(cases[i].path, "/big") == 0)
                assert_int_equal(reader_info(r)->mode, 0640);
            reader_free(r);
            r = open_reader(&w, cases[i].path, READER_RESOLVE);
            open_it(&w, r);
            assert_int_equal(reader_state(r), READER_OPEN);
            reader_free(r);
        }
        store_release(&w.store);
    }
}

static void bytes_in_pieces(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, IMPORT_UNIXFS_V0_2015);
    for (unsigned round = 0; round < 30; round++) {
        struct reader *r = open_reader(&w, "/big", READER_FILE);
        open_it(&w, r);
        size_t at = 0;
        while (at < sizeof(big)) {
            assert_int_equal(reader_position(r), at);
            struct buf out;
            buf_init(&out, sizeof(big), NULL);
            size_t length = 1 + (size_t)prng_below(&w.prng, 9000);
            enum err err;
            while ((err = reader_read(r, &out, length - out.len)) == ERR_AGAIN)
                turn(&w, r);
            assert_ok(err);
            assert_int_equal(out.len, MIN(length, sizeof(big) - at));
            assert_memory_equal(out.data, big + at, out.len);
            at += out.len;
            buf_release(&out);
        }
        struct block_ref *block;
        struct span bytes;
        assert_int_equal(reader_next_bytes(r, 1, &block, &bytes), ERR_CLOSED);
        reader_free(r);
    }
    store_release(&w.store);
}

static size_t list_all(struct world *w, struct reader *r, unsigned *ret_kinds)
{
    size_t entries = 0;
    enum err err = ERR_AGAIN;
    while (err == ERR_OK || err == ERR_AGAIN) {
        struct reader_entry entry;
        err = reader_next_entry(r, &entry);
        if (err == ERR_AGAIN)
            turn(w, r);
        if (err != ERR_OK)
            continue;
        entries++;
        ret_kinds[entry.kind]++;
        assert_false(entry.name_unsafe);
        if (entry.kind != READER_KIND_UNKNOWN && span_equal_text(entry.name, "big")) {
            assert_int_equal(entry.size, sizeof(big));
            assert_int_equal(entry.mode, 0640);
        }
        if (span_equal_text(entry.name, "123"))
            assert_int_equal(entry.size, 3);
    }
    assert_int_equal(err, ERR_CLOSED);
    return entries;
}

static void entries_with_their_kinds(void **state)
{
    (void)state;
    for (unsigned profile = 0; profile < 2; profile++) {
        struct world w;
        world_init(&w, profile == 0 ? IMPORT_UNIXFS_V1_2025 : IMPORT_UNIXFS_V0_2015);
        unsigned kinds[4] = {0};
        struct reader *r = open_reader(&w, "", READER_LIST);
        open_it(&w, r);
        assert_int_equal(list_all(&w, r, kinds), 5);
        assert_int_equal(kinds[READER_KIND_FILE], 2);
        assert_int_equal(kinds[READER_KIND_DIRECTORY], 2);
        assert_int_equal(kinds[READER_KIND_SYMLINK], 1);
        reader_free(r);
        unsigned many[4] = {0};
        r = open_reader(&w, "/many", READER_LIST);
        open_it(&w, r);
        assert_int_equal(list_all(&w, r, many), 200);
        assert_int_equal(many[READER_KIND_FILE], 200);
        reader_free(r);
        unsigned none[4] = {0};
        r = open_reader(&w, "/small", READER_LIST);
        open_it(&w, r);
        assert_int_equal(list_all(&w, r, none), 0);
        reader_free(r);
        store_release(&w.store);
    }
}

static void blocks_that_never_come(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, IMPORT_UNIXFS_V0_2015);
    struct reader *r = open_reader(&w, "/big", READER_FILE);
    struct cid cid;
    assert_ok(reader_next_want(r, &cid));
    reader_fail_block(r, &w.pending[0], ERR_NOT_FOUND, ""); /* not wanted */
    assert_int_equal(reader_state(r), READER_WAITING);
    reader_fail_block(r, &cid, ERR_TIMEOUT, "");
    assert_int_equal(reader_state(r), READER_FAILED);
    assert_int_equal(reader_error(r), ERR_TIMEOUT);
    assert_true(strlen(reader_why(r)) > 0);
    assert_int_equal(reader_next_want(r, &cid), ERR_AGAIN);
    reader_free(r);
    /* An entry whose block cannot be had stays unknown; the listing goes on. */
    r = open_reader(&w, "", READER_LIST);
    open_it(&w, r);
    while (reader_next_want(r, &cid) == ERR_OK)
        reader_fail_block(r, &cid, ERR_NOT_FOUND, "");
    unsigned kinds[4] = {0};
    assert_int_equal(list_all(&w, r, kinds), 5);
    assert_int_equal(kinds[READER_KIND_UNKNOWN], 5);
    reader_free(r);
    store_release(&w.store);
}

static void wrong_kinds_and_names(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, IMPORT_UNIXFS_V1_2025);
    struct reader *r = open_reader(&w, "/empty", READER_FILE);
    open_it(&w, r);
    assert_int_equal(reader_error(r), ERR_INVALID);
    assert_non_null(strstr(reader_why(r), "directory"));
    reader_free(r);
    r = open_reader(&w, "/absent", READER_FILE);
    open_it(&w, r);
    assert_int_equal(reader_error(r), ERR_NOT_FOUND);
    reader_free(r);
    const char *why = NULL;
    struct reader_options options = {.mode = READER_FILE};
    assert_int_equal(reader_new(span_text("what"), &options, &r, &why), ERR_INVALID);
    assert_non_null(why);
    /* The bytes of an identity CID: no block is asked for. */
    options.length = UINT64_MAX;
    struct multihash hash;
    assert_ok(multihash_sum(MULTIHASH_IDENTITY, 0, span_text("inline"), &hash));
    struct cid cid = cid_v1(CODEC_RAW, &hash);
    char text[CID_TEXT_MAX];
    cid_text(&cid, text);
    assert_ok(reader_new(span_text(text), &options, &r, &why));
    assert_int_equal(reader_next_want(r, &cid), ERR_AGAIN);
    struct buf out;
    buf_init(&out, 64, NULL);
    assert_ok(reader_read(r, &out, 64));
    assert_true(span_equal_text(buf_span(&out), "inline"));
    buf_release(&out);
    reader_free(r);
    store_release(&w.store);
}

/* The whole tree as a stream, in pieces, and from its middle on. */
static void trees(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, IMPORT_UNIXFS_V1_2025);
    struct buf whole;
    buf_init(&whole, 1 << 20, NULL);
    for (unsigned pass = 0; pass < 2; pass++) {
        struct reader_options options = {.mode = READER_TREE, .length = UINT64_MAX, .offset = pass == 0 ? 0 : 30000};
        struct buf out;
        struct reader *r;
        buf_init(&out, 1 << 20, NULL);
        assert_ok(reader_new(span_text(w.root_text), &options, &r, NULL));
        w.count = 0;
        open_it(&w, r);
        for (size_t before = 1; before != out.len;) {
            enum err err;
            before = out.len;
            while ((err = reader_read(r, &out, 5000)) == ERR_AGAIN)
                turn(&w, r);
            assert_int_equal(err, ERR_OK);
        }
        assert_int_equal(reader_position(r), options.offset + out.len);
        if (pass == 0)
            assert_ok(buf_append_span(&whole, buf_span(&out)));
        else
            assert_true(span_equal(span_skip(buf_span(&whole), 30000), buf_span(&out)));
        reader_free(r);
        buf_release(&out);
    }
    assert_true(whole.len > sizeof(big));
    buf_release(&whole);
    store_release(&w.store);
}

/* A CAR of the whole tree, and the rest of it from somewhere in its middle; all of its blocks are in it. */
static void cars(void **state)
{
    (void)state;
    struct world w;
    struct buf whole;
    struct block_store other;
    struct car_importer *importer;
    world_init(&w, IMPORT_UNIXFS_V1_2025);
    buf_init(&whole, 1 << 22, NULL);
    for (unsigned pass = 0; pass < 2; pass++) {
        struct reader_options options = {.mode = READER_CAR, .offset = pass == 0 ? 0 : 20000, .window_blocks = 6};
        struct reader *r;
        struct buf out;
        enum err err;
        buf_init(&out, 1 << 22, NULL);
        assert_ok(reader_new(span_text(w.root_text), &options, &r, NULL));
        w.count = 0;
        open_it(&w, r);
        for (size_t before = SIZE_MAX; before != out.len;) {
            before = out.len;
            size_t end = out.len + 1 + (size_t)prng_below(&w.prng, 5000);
            while ((err = reader_read(r, &out, end - out.len)) == ERR_AGAIN)
                turn(&w, r);
            assert_ok(err);
        }
        assert_int_equal(reader_position(r), options.offset + out.len);
        assert_ok(pass == 0 ? buf_append_span(&whole, buf_span(&out)) : ERR_OK);
        assert_true(span_equal(span_skip(buf_span(&whole), (size_t)options.offset), buf_span(&out)));
        reader_free(r);
        buf_release(&out);
    }
    store_init(&other);
    struct import_sink sink = store_sink(&other);
    assert_ok(car_importer_new(&sink, NULL, &importer));
    for (struct span rest = buf_span(&whole); rest.len > 0;)
        assert_ok(car_importer_write(importer, &rest));
    assert_ok(car_importer_finish(importer));
    assert_int_equal(table_len(&other.blocks), table_len(&w.store.blocks));
    car_importer_free(importer);
    store_release(&other);
    buf_release(&whole);
    store_release(&w.store);
}

/* From a value into a folder; what is no file says so. */
static void paths_through_values(void **state)
{
    (void)state;
    struct world w;
    char json[CID_TEXT_MAX + 64];
    struct cid top;
    world_init(&w, IMPORT_UNIXFS_V1_2025);
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct import_sink sink = store_sink(&w.store);
    (void)snprintf(json, sizeof(json), "{\"x\":[{\"/\":\"%s\"},7]}", w.root_text);
    struct block_ref *block = block_ref_copy(span_text(json), NULL);
    assert_ok(import_emit(&options, &sink, CODEC_DAG_JSON, block, &top));
    block_ref_unref(block);
    cid_text(&top, w.root_text);
    struct reader *r = open_reader(&w, "/x/0/small", READER_STAT);
    open_it(&w, r);
    assert_int_equal(reader_info(r)->size, 4);
    reader_free(r);
    r = open_reader(&w, "/x/1", READER_RESOLVE);
    open_it(&w, r);
    assert_true(cid_equal(&reader_info(r)->cid, &top) && span_equal_text(reader_info(r)->remainder, "x/1"));
    reader_free(r);
    static const struct {
        const char *path;
        enum reader_mode mode;
    } refused[] = {
        {"", READER_FILE}, {"/x", READER_FILE}, {"/x/1", READER_TREE}, {"/x/1", READER_CAR}, {"/x", READER_WALK}};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        r = open_reader(&w, refused[i].path, refused[i].mode);
        open_it(&w, r);
        assert_int_equal(reader_error(r), ERR_UNSUPPORTED);
        assert_non_null(strstr(reader_why(r), "dag get"));
        reader_free(r);
    }
    r = open_reader(&w, "/y", READER_RESOLVE);
    open_it(&w, r);
    assert_int_equal(reader_error(r), ERR_NOT_FOUND);
    reader_free(r);
    store_release(&w.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stats),
        cmocka_unit_test(cars),
        cmocka_unit_test(paths_through_values),
        cmocka_unit_test(bytes_in_pieces),
        cmocka_unit_test(entries_with_their_kinds),
        cmocka_unit_test(trees),
        cmocka_unit_test(blocks_that_never_come),
        cmocka_unit_test(wrong_kinds_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
