/* SPDX-License-Identifier: MIT */
/* Upload sessions: idempotent by offset, bounded by what the store has not acknowledged, honest about failures. */
#include "tests/support/import_model.h"

#include "actors/control/upload.h"
#include "wire/tree_stream.h"

enum { INFLIGHT_MAX = 4096 };

/* A store that acknowledges in random order. */
struct slow_store {
    struct block_store blocks;
    struct prng prng;
    uint64_t tickets[INFLIGHT_MAX];
    size_t count;
};

static void take_puts(struct slow_store *s, struct upload *u)
{
    uint64_t ticket;
    struct cid cid;
    struct block_ref *block;
    while (upload_next_put(u, &ticket, &cid, &block) == ERR_OK) {
        assert_true(s->count < INFLIGHT_MAX);
        assert_ok(store_emit(&s->blocks, &cid, block));
        block_ref_unref(block);
        s->tickets[s->count++] = ticket;
    }
}

static void ack_one(struct slow_store *s, struct upload *u, enum err err)
{
    assert_true(s->count > 0);
    size_t i = (size_t)prng_below(&s->prng, s->count);
    upload_ack(u, s->tickets[i], err);
    s->tickets[i] = s->tickets[--s->count];
}

static void count_added(struct upload *u, size_t *added)
{
    struct upload_added line;
    while (upload_next_added(u, &line) == ERR_OK)
        (*added)++;
}

/* Sends the stream in random pieces, some of them twice; *ret_added counts the added lines. */
static enum err send_all(struct slow_store *s, struct upload *u, struct span stream, size_t *ret_added)
{
    uint64_t offset = 0;
    *ret_added = 0;
    while (offset < stream.len) {
        uint64_t back = MIN(prng_below(&s->prng, 5), offset);
        struct span rest = span_skip(stream, (size_t)(offset - back));
        struct span piece = span_first(rest, 1 + (size_t)prng_below(&s->prng, 100000));
        uint64_t before = offset;
        assert_ok(upload_write(u, 0, offset - back, piece, &offset));
        assert_true(offset >= before && offset <= stream.len);
        take_puts(s, u);
        count_added(u, ret_added);
        if (!upload_writable(u) || prng_below(&s->prng, 3) == 0)
            while (s->count > 0 && (!upload_writable(u) || prng_below(&s->prng, 4) > 0))
                ack_one(s, u, ERR_OK);
    }
    struct import_node root;
    assert_int_equal(upload_result(u, &root), ERR_AGAIN);
    enum err err = upload_close(u, 0, stream.len);
    take_puts(s, u);
    count_added(u, ret_added);
    return err;
}

static void files(void **state)
{
    (void)state;
    static uint8_t bytes[3000000];
    struct slow_store s = {0};
    prng_init(&s.prng, 4);
    prng_fill(&s.prng, bytes, sizeof(bytes));
    for (unsigned round = 0; round < 30; round++) {
        struct upload_options options = {
            .import = import_options_of(round % 2 ? IMPORT_UNIXFS_V0_2015 : IMPORT_UNIXFS_V1_2025)};
        options.import.chunk_bytes = round < 20 ? 1000 : options.import.chunk_bytes;
        options.name = span_text("film.mp4");
        options.wrap = round % 5 == 0;
        store_init(&s.blocks);
        struct span content = span_first(span_of(bytes, sizeof(bytes)), (size_t)prng_below(&s.prng, 1500000));
        struct upload *u;
        assert_ok(upload_new(&options, 0, &u));
        size_t added;
        assert_ok(send_all(&s, u, content, &added));
        assert_int_equal(added, options.wrap ? 2 : 1);
        struct import_node root;
        while (s.count > 0) {
            assert_int_equal(upload_result(u, &root), ERR_AGAIN); /* not before the last acknowledgement */
            ack_one(&s, u, ERR_OK);
        }
        assert_ok(upload_result(u, &root));
        assert_ok(upload_close(u, 0, content.len));
        if (!options.wrap) {
            struct block_store other;
            store_init(&other);
            struct import_node direct = import_bytes(&options.import, &other, content, NULL);
            assert_true(cid_equal(&direct.cid, &root.cid));
            store_release(&other);
        }
        assert_int_equal(upload_totals(u).bytes_received, content.len);
        assert_int_equal(upload_totals(u).files, 1);
        upload_free(u);
        store_release(&s.blocks);
    }
}

static void trees(void **state)
{
    (void)state;
    struct slow_store s = {0};
    prng_init(&s.prng, 5);
    store_init(&s.blocks);
    struct buf stream;
    buf_init(&stream, 1 << 22, NULL);
    assert_ok(tree_stream_append(&stream, TREE_ENTER, span_text("d"), (struct span){0}, NULL));
    for (unsigned i = 0; i < 3000; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "f%u", i);
        assert_ok(tree_stream_append(&stream, TREE_FILE, span_text(name), (struct span){0}, NULL));
        assert_ok(tree_stream_append(&stream, TREE_DATA, (struct span){0}, span_text(name), NULL));
        assert_ok(tree_stream_append(&stream, TREE_END, (struct span){0}, (struct span){0}, NULL));
    }
    assert_ok(tree_stream_append(&stream, TREE_LEAVE, (struct span){0}, (struct span){0}, NULL));
    struct account account;
    account_init(&account, "test", 32 << 20);
    struct upload_options options = {.import = import_options_of(IMPORT_UNIXFS_V1_2025), .format = UPLOAD_TREE};
    options.import.account = &account;
    struct upload *u;
    assert_ok(upload_new(&options, 0, &u));
    size_t added;
    assert_ok(send_all(&s, u, buf_span(&stream), &added));
    assert_int_equal(added, 3001);
    while (s.count > 0)
        ack_one(&s, u, ERR_OK);
    struct import_node root;
    assert_ok(upload_result(u, &root));
    assert_non_null(store_get(&s.blocks, &root.cid));
    upload_free(u);
    store_release(&s.blocks);
    assert_int_equal(account_used(&account), 0);
    /* Cut anywhere, the stream is no tree. */
    for (size_t cut = 1; cut < stream.len; cut += 997) {
        struct upload *partial;
        uint64_t offset;
        assert_ok(upload_new(&options, 0, &partial));
        assert_ok(upload_write(partial, 0, 0, span_first(buf_span(&stream), cut), &offset));
        if (offset == cut)
            assert_int_equal(upload_close(partial, 0, cut), ERR_INVALID);
        upload_free(partial);
    }
    buf_release(&stream);
}

/* A client that never stops writing into a store that never answers. */
static void the_window_is_bounded(void **state)
{
    (void)state;
    static uint8_t bytes[1 << 20];
    struct upload_options options = {.import = import_options_of(IMPORT_UNIXFS_V1_2025)};
    struct upload *u;
    assert_ok(upload_new(&options, 0, &u));
    uint64_t offset = 0;
    for (unsigned i = 0; i < 100; i++)
        assert_ok(upload_write(u, 0, offset, span_of(bytes, sizeof(bytes)), &offset));
    assert_false(upload_writable(u));
    assert_true(offset <= UPLOAD_WINDOW_BYTES + 2 * sizeof(bytes));
    upload_free(u);
}

/* Many uploads over one account: their windows together stay small, and each can still go on. */
static void windows_share_an_account(void **state)
{
    (void)state;
    enum { UPLOADS = 6, BYTES = 100000 };
    static uint8_t bytes[BYTES];
    struct slow_store stores[UPLOADS];
    struct upload *uploads[UPLOADS];
    uint64_t offsets[UPLOADS] = {0};
    struct account shared;
    account_init(&shared, "windows", 20000);
    struct upload_options options = {.import = import_options_of(IMPORT_UNIXFS_V0_2015), .shared = &shared};
    options.import.chunk_bytes = 1000;
    for (unsigned i = 0; i < UPLOADS; i++) {
        stores[i] = (struct slow_store){0};
        prng_init(&stores[i].prng, i);
        store_init(&stores[i].blocks);
        assert_ok(upload_new(&options, 0, &uploads[i]));
    }
    unsigned done = 0;
    for (unsigned turn = 0; done < UPLOADS; turn++) {
        assert_true(turn < 100000);
        unsigned i = turn % UPLOADS;
        if (offsets[i] == BYTES)
            continue;
        struct span rest = span_of(bytes + offsets[i], BYTES - offsets[i]);
        assert_ok(upload_write(uploads[i], 0, offsets[i], rest, &offsets[i]));
        assert_true(account_used(&shared) <= 20000);
        take_puts(&stores[i], uploads[i]);
        assert_true(stores[i].count > 0 || offsets[i] == BYTES);
        if (stores[i].count > 0)
            ack_one(&stores[i], uploads[i], ERR_OK);
        done += offsets[i] == BYTES;
    }
    for (unsigned i = 0; i < UPLOADS; i++) {
        assert_ok(upload_close(uploads[i], 0, BYTES));
        upload_free(uploads[i]); /* with blocks on their way */
        store_release(&stores[i].blocks);
    }
    assert_int_equal(account_used(&shared), 0);
}

static void mistakes_and_failures(void **state)
{
    (void)state;
    struct upload_options options = {.import = import_options_of(IMPORT_UNIXFS_V1_2025)};
    options.import.chunk_bytes = 4;
    struct upload *u;
    uint64_t offset;
    struct import_node root;
    assert_ok(upload_new(&options, 100, &u));
    assert_int_equal(upload_deadline(u), 100 + UPLOAD_LEASE_NS);
    assert_int_equal(upload_write(u, 200, 1, span_text("gap"), &offset), ERR_INVALID);
    assert_int_equal(offset, 0);
    assert_ok(upload_write(u, 200, 0, span_text("0123456789"), &offset));
    assert_int_equal(offset, 10);
    assert_int_equal(upload_deadline(u), 200 + UPLOAD_LEASE_NS);
    assert_int_equal(upload_close(u, 200, 9), ERR_INVALID); /* the size is wrong: nothing happened */
    uint64_t ticket;
    struct cid cid;
    struct block_ref *block;
    assert_ok(upload_next_put(u, &ticket, &cid, &block));
    block_ref_unref(block);
    upload_ack(u, ticket + 1000, ERR_IO); /* unknown */
    assert_string_equal(upload_why(u), "");
    assert_ok(upload_close(u, 200, 10));
    assert_ok(upload_write(u, 200, 4, span_text("456789"), &offset)); /* a repetition is no error */
    assert_int_equal(upload_write(u, 200, 10, span_text("more"), &offset), ERR_CLOSED);
    upload_ack(u, ticket, ERR_NO_SPACE);
    assert_int_equal(upload_result(u, &root), ERR_NO_SPACE);
    assert_int_equal(upload_write(u, 200, 10, span_text("more"), &offset), ERR_NO_SPACE);
    assert_non_null(strstr(upload_why(u), "Datastore.StorageMax"));
    upload_free(u);
    options.format = UPLOAD_TREE;
    assert_ok(upload_new(&options, 0, &u));
    assert_int_equal(upload_write(u, 0, 0, span_text("\x07xxxxxxxxxx"), &offset), ERR_INVALID);
    assert_int_equal(upload_result(u, &root), ERR_INVALID);
    upload_free(u);
    options.format = UPLOAD_FILE;
    options.name = span_text("../x");
    assert_int_equal(upload_new(&options, 0, &u), ERR_INVALID);
}

/* Thousands of small blocks: no more wait at once than the window has, and the answer comes after the last acknowledgement. */
static void cars(void **state)
{
    (void)state;
    enum { BLOCKS = 3000 };
    struct slow_store s = {0};
    struct buf car;
    struct account account;
    prng_init(&s.prng, 7);
    store_init(&s.blocks);
    buf_init(&car, 1 << 20, NULL);
    for (unsigned i = 0; i < BLOCKS; i++) {
        uint8_t head[CAR_SECTION_HEAD_MAX];
        struct multihash hash;
        assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, span_of(&i, sizeof(i)), &hash));
        struct cid cid = cid_v1(CODEC_RAW, &hash);
        if (i == 0)
            assert_ok(car_append_header(&car, &cid, 1));
        assert_ok(buf_append(&car, head, car_section_head(&cid, sizeof(i), head)));
        assert_ok(buf_append(&car, &i, sizeof(i)));
    }
    account_init(&account, "test", 1 << 20);
    struct upload_options options = {.import = import_options_of(IMPORT_UNIXFS_V1_2025), .format = UPLOAD_CAR};
    options.import.account = &account;
    struct upload *u;
    uint64_t offset;
    assert_ok(upload_new(&options, 0, &u));
    assert_false(upload_takes_leaves(u));
    assert_ok(upload_write(u, 0, 0, buf_span(&car), &offset)); /* the window is full long before its end */
    assert_true(offset < car.len && !upload_writable(u));
    take_puts(&s, u);
    assert_in_range(s.count, UPLOAD_WINDOW_BLOCKS, UPLOAD_WINDOW_BLOCKS + 2);
    while (s.count > 0)
        ack_one(&s, u, ERR_OK);
    size_t added;
    assert_ok(send_all(&s, u, buf_span(&car), &added));
    assert_int_equal(added, 0);
    struct import_node root;
    while (s.count > 0) {
        assert_int_equal(upload_result(u, &root), ERR_AGAIN);
        ack_one(&s, u, ERR_OK);
    }
    assert_ok(upload_result(u, &root));
    struct cid cid;
    assert_true(car_importer_root(upload_car(u), 0, &cid));
    assert_int_equal(car_importer_totals(upload_car(u)).blocks, BLOCKS);
    assert_int_equal(table_len(&s.blocks.blocks), BLOCKS);
    upload_free(u);
    /* one that breaks off says where */
    assert_ok(upload_new(&options, 0, &u));
    assert_ok(upload_write(u, 0, 0, span_first(buf_span(&car), 90), &offset));
    assert_int_equal(upload_close(u, 0, 90), ERR_TRUNCATED);
    assert_non_null(strstr(upload_why(u), "byte "));
    assert_int_equal(upload_failure(u), ERR_TRUNCATED);
    upload_free(u);
    buf_release(&car);
    store_release(&s.blocks);
    assert_int_equal(account_used(&account), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(cars),
        cmocka_unit_test(trees),
        cmocka_unit_test(the_window_is_bounded),
        cmocka_unit_test(windows_share_an_account),
        cmocka_unit_test(mistakes_and_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
