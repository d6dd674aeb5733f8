/* SPDX-License-Identifier: MIT */
/*
 * CAR: the fixtures of ipld/ipld, go-car and js-car read as they should; streams in pieces of any size give the same; each malformed form is
 * refused with its place; what is written is read again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/limits.h"
#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/car.h"
#include "wire/dag_cbor.h"

enum { BLOCK_MAX = 4 * 1024 * 1024 };

/* What was read. */
struct seen {
    size_t roots;
    size_t blocks;
    uint64_t bytes;
    struct multihash sum; /* of all CIDs */
    uint64_t offset;      /* of the error */
    char why[128];
};

static void note_event(struct seen *seen, struct car_event *event, struct buf *names)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct cid cid;
    if (event->kind == CAR_HEADER) {
        while (dag_cbor_next_link(&event->header, &cid))
            seen->roots++;
        return;
    }
    assert_ok(multihash_verify(&event->cid.hash, block_ref_span(event->block)));
    seen->blocks++;
    seen->bytes += event->block->len;
    assert_ok(buf_append(names, bytes, cid_encode(&event->cid, bytes)));
    block_ref_unref(event->block);
}

/* Reads a stream in pieces; step 0: at once. */
static enum err read_car(struct span stream, size_t step, struct seen *ret_seen)
{
    struct car_reader *reader;
    struct account account;
    struct buf names;
    struct seen seen = {0};
    enum err err = ERR_AGAIN;
    account_init(&account, "test", 64 * MIB);
    buf_init(&names, 1 << 24, NULL);
    assert_ok(car_reader_new(BLOCK_MAX, &account, &reader));
    while (err == ERR_AGAIN && stream.len > 0) {
        struct span piece = step == 0 ? stream : span_first(stream, step);
        struct car_event event;
        stream = span_skip(stream, piece.len);
        while ((err = car_reader_next(reader, &piece, &event)) == ERR_OK)
            note_event(&seen, &event, &names);
        assert_true(err != ERR_AGAIN || piece.len == 0);
    }
    if (err == ERR_AGAIN)
        err = car_reader_finish(reader);
    assert_int_equal(err == ERR_OK, car_reader_why(reader)[0] == '\0');
    (void)snprintf(seen.why, sizeof(seen.why), "%s", car_reader_why(reader));
    seen.offset = car_reader_offset(reader);
    assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, buf_span(&names), &seen.sum));
    car_reader_free(reader);
    assert_int_equal(account_used(&account), 0);
    buf_release(&names);
    *ret_seen = seen;
    return err;
}

/* ---- fixtures ---- */

static void fixtures_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        size_t roots;
        size_t blocks;
    } cases[] = {
        {"ipld-spec/specs/transport/car/fixture/carv1-basic/carv1-basic.car", 2, 8},
        {"ipld-spec/specs/transport/car/fixture/carv2-basic/carv2-basic.car", 1, 5},
        {"car/js-car/go.car", 2, 8},
        {"car/v2/testdata/sample-v1.car", 1, 1049},
        {"car/v2/testdata/sample-v1-noidentity.car", 1, 1043},
        {"car/v2/testdata/sample-wrapped-v2.car", 1, 1049},
        {"car/v2/testdata/sample-v2-indexless.car", 1, 1049},
        {"car/v2/testdata/sample-unixfs-v2.car", 1, 3},
        {"car/cmd/car/testdata/inputs/simple-unixfs.car", 1, 22},
        {"car/cmd/car/testdata/inputs/simple-unixfs-missing-blocks.car", 1, 17},
        {"car/cmd/car/testdata/inputs/wikipedia-cryptographic-hash-function.car", 1, 5},
    };
    if (vectors_path("car") == NULL)
        skip();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        static const size_t steps[] = {0, 1, 7, 4096};
        size_t len;
        char *bytes = vectors_read(cases[i].path, &len);
        assert_non_null(bytes);
        struct seen first = {0};
        for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
            struct seen seen;
            assert_ok(read_car(span_of(bytes, len), steps[s], &seen));
            if (s == 0)
                first = seen;
            assert_memory_equal(&seen.sum, &first.sum, sizeof(seen.sum));
        }
        assert_int_equal(first.roots, cases[i].roots);
        assert_int_equal(first.blocks, cases[i].blocks);
        free(bytes);
    }
}

static void broken_fixtures_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum err err;
    } cases[] = {
        {"car/v2/testdata/sample-corrupt-pragma.car", ERR_TRUNCATED},
        {"car/v2/testdata/sample-rootless-v42.car", ERR_UNSUPPORTED},
        {"car/v2/testdata/sample-v1-tailing-corrupt-section.car", ERR_TRUNCATED},
        {"car/v2/testdata/sample-v2-corrupt-data-and-index.car", ERR_INVALID},
        {"car/v2/testdata/sample-v1-with-zero-len-section.car", ERR_INVALID},
        {"car/v2/testdata/sample-v1-with-zero-len-section2.car", ERR_INVALID},
        {"car/cmd/car/testdata/inputs/badheaderlength.car", ERR_TOO_LARGE},
        {"car/cmd/car/testdata/inputs/badsectionlength.car", ERR_TOO_LARGE},
    };
    if (vectors_path("car") == NULL)
        skip();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len;
        struct seen seen;
        char *bytes = vectors_read(cases[i].path, &len);
        assert_non_null(bytes);
        assert_err(read_car(span_of(bytes, len), 0, &seen), cases[i].err);
        assert_err(read_car(span_of(bytes, len), 3, &seen), cases[i].err);
        free(bytes);
    }
}

/* ---- made here ---- */

static void append_block(struct buf *car, struct span data)
{
    uint8_t head[CAR_SECTION_HEAD_MAX];
    struct multihash hash;
    assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, data, &hash));
    struct cid cid = cid_v1(CODEC_RAW, &hash);
    assert_ok(buf_append(car, head, car_section_head(&cid, data.len, head)));
    assert_ok(buf_append_span(car, data));
}

/* A v1 CAR of some blocks, an empty one and an inlined one among them; where the last section begins. */
static size_t make_v1(struct buf *car)
{
    struct multihash hash;
    uint8_t head[CAR_SECTION_HEAD_MAX];
    assert_ok(multihash_sum(MULTIHASH_IDENTITY, 0, span_text("inlined"), &hash));
    struct cid roots[] = {cid_v1(CODEC_RAW, &hash), cid_v1(CODEC_DAG_CBOR, &hash)};
    buf_init(car, 1 << 20, NULL);
    assert_ok(car_append_header(car, roots, ARRAY_LEN(roots)));
    append_block(car, span_text("one"));
    append_block(car, (struct span){0});
    assert_ok(buf_append(car, head, car_section_head(&roots[0], 7, head)));
    assert_ok(buf_append_text(car, "inlined"));
    size_t last = car->len;
    append_block(car, span_text("the last one"));
    return last;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct buf car;
    struct seen seen;
    size_t last = make_v1(&car);
    assert_ok(read_car(buf_span(&car), 0, &seen));
    assert_int_equal(seen.roots, 2);
    assert_int_equal(seen.blocks, 4);
    assert_int_equal(seen.bytes, 3 + 0 + 7 + 12);
    unsigned whole = 0;
    for (size_t cut = 0; cut < car.len; cut++) {
        enum err err = read_car(span_first(buf_span(&car), cut), 0, &seen);
        assert_true(err == ERR_OK || err == ERR_TRUNCATED);
        whole += err == ERR_OK;
    }
    assert_int_equal(whole, 4); /* after the header, and between sections */
    assert_ok(read_car(span_first(buf_span(&car), last), 0, &seen));
    buf_release(&car);
    /* the header of carv1-basic, whose length and order are the spec's */
    buf_init(&car, 4096, NULL);
    struct cid roots[2];
    assert_ok(cid_parse_text(span_text("bafyreihyrpefhacm6kkp4ql6j6udakdit7g3dmkzfriqfykhjw6cad5lrm"), &roots[0]));
    assert_ok(cid_parse_text(span_text("bafyreidj5idub6mapiupjwjsyyxhyhedxycv4vihfsicm2vt46o7morwlm"), &roots[1]));
    assert_ok(car_append_header(&car, roots, 2));
    assert_span(buf_span(&car),
                "63a265726f6f747382d82a58250001711220f88bc853804cf294fe417e4fa83028689fcdb1b1592c5102e1474dbc200fab8b"
                "d82a5825000171122069ea0740f9807a28f4d932c62e7c1c83be055e55072c90266ab3e79df63a365b6776657273696f6e01");
    buf_release(&car);
}

/* RELIABILITY D12. The bytes at a place of the last section are replaced. */
static void assert_refused(struct span car, size_t at, const char *hex, enum err expected, uint64_t offset)
{
    struct buf broken;
    struct seen seen;
    struct span bytes = bytes_of_hex(hex);
    buf_init(&broken, 1 << 20, NULL);
    assert_ok(buf_append_span(&broken, span_first(car, at)));
    assert_ok(buf_append_span(&broken, bytes));
    assert_ok(buf_append_span(&broken, span_skip(car, at + bytes.len)));
    assert_err(read_car(buf_span(&broken), 0, &seen), expected);
    assert_int_equal(seen.offset, offset);
    assert_err(read_car(buf_span(&broken), 1, &seen), expected);
    buf_release(&broken);
}

static void malformed_sections_are_refused_with_their_place(void **state)
{
    (void)state;
    struct buf car;
    size_t last = make_v1(&car);
    struct span all = buf_span(&car);
    assert_refused(all, last, "00", ERR_INVALID, last);   /* zero */
    assert_refused(all, last, "b000", ERR_INVALID, last); /* a length not in its shortest form */
    assert_refused(all, last, "8080808080808080808001", ERR_INVALID, last);
    assert_refused(all, last, "81808004", ERR_TOO_LARGE, last); /* 8 MiB and 1 */
    assert_refused(all, last, "31", ERR_TRUNCATED, last);       /* one more byte than there is */
    assert_refused(all, last, "2f", ERR_CORRUPT, last);         /* one less */
    assert_refused(all, last + 1, "02", ERR_INVALID, last);     /* a CID of version 2 */
    assert_refused(all, last + 3, "d5", ERR_INVALID, last);     /* its hash function's code is cut off */
    assert_refused(all, last + 5, "00", ERR_CORRUPT, last);     /* its digest */
    assert_refused(all, all.len - 1, "00", ERR_CORRUPT, last);  /* the block's last byte */
    assert_refused(all, 0, "00", ERR_INVALID, 0);
    assert_refused(all, 0, "818040", ERR_TOO_LARGE, 0);     /* a header of 1 MiB and 1 */
    assert_refused(all, 0, "8180801000", ERR_TOO_LARGE, 0); /* of 32 MiB and 1 */
    assert_refused(all, 1, "a1", ERR_INVALID, 0);
    assert_refused(all, 3, "5247", ERR_INVALID, 0); /* another key than roots */
    buf_release(&car);
    struct seen seen;
    assert_err(read_car(bytes_of_hex("0aa16776657273696f6e01"), 0, &seen), ERR_INVALID); /* no roots */
    assert_err(read_car(bytes_of_hex("09a165726f6f7473f6"), 0, &seen), ERR_TRUNCATED);
    assert_err(read_car(bytes_of_hex("08a165726f6f7473f6"), 0, &seen), ERR_INVALID);     /* roots are null */
    assert_err(read_car(bytes_of_hex("08a165726f6f747380"), 0, &seen), ERR_UNSUPPORTED); /* no version */
    assert_err(read_car(bytes_of_hex("12a265726f6f7473816161"
                                     "6776657273696f6e01"),
                        0, &seen),
               ERR_INVALID); /* a root that is text */
    assert_err(read_car(bytes_of_hex("11a265726f6f7473806776657273696f6e02"), 0, &seen),
               ERR_UNSUPPORTED);                                                         /* 2, and roots */
    assert_ok(read_car(bytes_of_hex("11a265726f6f7473806776657273696f6e01"), 0, &seen)); /* nothing at all */
    assert_err(read_car((struct span){0}, 0, &seen), ERR_TRUNCATED);
}

/* Nothing is allocated for a block that is too large. */
static void large_blocks_are_refused(void **state)
{
    (void)state;
    struct buf car;
    struct seen seen;
    uint8_t head[CAR_SECTION_HEAD_MAX];
    struct multihash hash = {.code = MULTIHASH_SHA2_256, .len = 32};
    struct cid cid = cid_v1(CODEC_RAW, &hash);
    size_t last = make_v1(&car);
    car.len = last;
    assert_ok(buf_append(&car, head, car_section_head(&cid, BLOCK_MAX + 1, head)));
    for (unsigned i = 0; i < CID_BYTES_MAX; i++)
        assert_ok(buf_append_byte(&car, 0));
    assert_err(read_car(buf_span(&car), 0, &seen), ERR_TOO_LARGE);
    assert_int_equal(seen.offset, last);
    buf_release(&car);
}

static void append_le64(struct buf *out, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        assert_ok(buf_append_byte(out, (uint8_t)(value >> 8 * i)));
}

/* A v2 CAR around a v1 one, with padding and an index of some bytes. */
static void make_v2(struct buf *car, struct span data, uint64_t offset, uint64_t size, uint64_t index, size_t index_len)
{
    static const uint8_t zeros[64];
    buf_init(car, 1 << 20, NULL);
    assert_ok(buf_append_span(car, bytes_of_hex("0aa16776657273696f6e02")));
    assert_ok(buf_append(car, zeros, 16));
    append_le64(car, offset);
    append_le64(car, size);
    append_le64(car, index);
    assert_ok(buf_append(car, zeros, 9));
    assert_ok(buf_append_span(car, data));
    assert_ok(buf_append(car, zeros, index_len));
}

static void version_2_is_read_by_its_header(void **state)
{
    (void)state;
    enum { AT = 60 };
    struct buf data;
    (void)make_v1(&data);
    uint64_t end = AT + data.len;
    const struct {
        uint64_t offset;
        uint64_t size;
        uint64_t index;
        size_t index_len;
        enum err err;
    } cases[] = {
        {AT, data.len, 0, 0, ERR_OK},
        {AT, data.len, 0, 20, ERR_OK},
        {AT, data.len, end, 20, ERR_OK},
        {AT, data.len, end + 10, 20, ERR_OK},
        {AT, data.len, end + 20, 20, ERR_TRUNCATED}, /* the index past the end */
        {AT, data.len, INT64_MAX, 20, ERR_TRUNCATED},
        {AT, data.len, end - 1, 20, ERR_INVALID}, /* and in the data */
        {AT, data.len, 1, 20, ERR_INVALID},
        {AT, data.len + 1, 0, 0, ERR_TRUNCATED},
        {AT, data.len + 1, 0, 20, ERR_INVALID}, /* a section of padding */
        {AT, data.len - 1, 0, 20, ERR_INVALID}, /* the last one is cut off by the size */
        {AT, 1, 0, 0, ERR_INVALID},
        {AT, 0, 0, 0, ERR_INVALID},
        {50, data.len, 0, 0, ERR_INVALID}, /* in the header */
        {0, data.len, 0, 0, ERR_INVALID},
        {UINT64_MAX, data.len, 0, 0, ERR_INVALID},
        {AT, UINT64_MAX, 0, 0, ERR_INVALID},
        {INT64_MAX, INT64_MAX, 0, 0, ERR_TRUNCATED},
        {55, data.len, 0, 0, ERR_INVALID}, /* in the padding */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf car;
        struct seen seen;
        make_v2(&car, buf_span(&data), cases[i].offset, cases[i].size, cases[i].index, cases[i].index_len);
        assert_err(read_car(buf_span(&car), 0, &seen), cases[i].err);
        assert_err(read_car(buf_span(&car), 5, &seen), cases[i].err);
        if (cases[i].err == ERR_OK)
            assert_int_equal(seen.blocks, 4);
        buf_release(&car);
    }
    /* a v2 CAR inside a v2 CAR */
    struct buf inner;
    struct buf outer;
    struct seen seen;
    make_v2(&inner, buf_span(&data), AT, data.len, 0, 0);
    make_v2(&outer, buf_span(&inner), AT, inner.len, 0, 0);
    assert_err(read_car(buf_span(&outer), 0, &seen), ERR_UNSUPPORTED);
    buf_release(&inner);
    buf_release(&outer);
    buf_release(&data);
}

/* A reader whose account is spent says so. */
static void memory_is_bounded(void **state)
{
    (void)state;
    struct buf car;
    struct car_reader *reader;
    struct account account;
    struct car_event event;
    uint8_t head[CAR_SECTION_HEAD_MAX];
    struct multihash hash = {.code = MULTIHASH_SHA2_256, .len = 32};
    struct cid cid = cid_v1(CODEC_RAW, &hash);
    buf_init(&car, 1 << 20, NULL);
    assert_ok(car_append_header(&car, &cid, 1));
    assert_ok(buf_append(&car, head, car_section_head(&cid, 2 * MIB, head)));
    account_init(&account, "test", MIB);
    assert_ok(car_reader_new(BLOCK_MAX, &account, &reader));
    struct span in = buf_span(&car);
    assert_ok(car_reader_next(reader, &in, &event));
    assert_err(car_reader_next(reader, &in, &event), ERR_AGAIN); /* the CID's room is not filled yet */
    static const uint8_t more[CID_BYTES_MAX];
    in = span_of(more, sizeof(more));
    assert_err(car_reader_next(reader, &in, &event), ERR_NOMEM);
    car_reader_free(reader);
    assert_int_equal(account_used(&account), 0);
    buf_release(&car);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixtures_are_read),        cmocka_unit_test(broken_fixtures_are_refused),
        cmocka_unit_test(what_is_written_is_read),  cmocka_unit_test(malformed_sections_are_refused_with_their_place),
        cmocka_unit_test(large_blocks_are_refused), cmocka_unit_test(version_2_is_read_by_its_header),
        cmocka_unit_test(memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
