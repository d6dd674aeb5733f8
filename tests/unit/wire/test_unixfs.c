/* SPDX-License-Identifier: MIT */
/* UnixFS messages: the reference's bytes, protobuf's lax forms, and numbers that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "wire/unixfs.h"

#define BYTES(...) span_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static struct span encode(const struct unixfs_node *node, uint8_t *room)
{
    uint8_t *end = unixfs_put(room, node);
    assert_int_equal(end - room, unixfs_size(node));
    return span_of(room, (size_t)(end - room));
}

/* go-unixfsnode data/fixtures: directory, symlink.txt and file.txt. */
static void reference_bytes(void **state)
{
    (void)state;
    uint8_t room[256];
    struct unixfs_node folder = {.type = UNIXFS_DIRECTORY};
    assert_true(span_equal(encode(&folder, room), BYTES(8, 1)));
    struct unixfs_node link = {.type = UNIXFS_SYMLINK, .has_data = true, .data = span_text("file.txt")};
    assert_true(span_equal(encode(&link, room), BYTES(8, 4, 0x12, 8, 'f', 'i', 'l', 'e', '.', 't', 'x', 't')));
    struct unixfs_node file = {.type = UNIXFS_FILE,
                               .has_data = true,
                               .data = span_text("Hello UnixFS\n"),
                               .has_filesize = true,
                               .filesize = 13};
    static const char bytes[] = "\x08\x02\x12\x0dHello UnixFS\n\x18\x0d";
    assert_true(span_equal(encode(&file, room), span_text(bytes)));
    struct unixfs_node empty = {.type = UNIXFS_FILE, .has_filesize = true};
    assert_true(span_equal(encode(&empty, room), BYTES(8, 2, 0x18, 0)));
    uint8_t *end = unixfs_put_leaf_head(room, 13);
    memcpy(end, "Hello UnixFS\n", 13);
    end = unixfs_put_leaf_tail(end + 13, 13);
    assert_true(span_equal(span_of(room, (size_t)(end - room)), span_text(bytes)));
}

static void all_fields_come_back(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 2);
    for (unsigned round = 0; round < 300; round++) {
        struct buf sizes;
        buf_init(&sizes, 4096, NULL);
        uint64_t expected[20];
        size_t count = (size_t)prng_below(&prng, ARRAY_LEN(expected));
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            expected[i] = prng_next(&prng) >> (8 + prng_below(&prng, 56));
            sum += expected[i];
            assert_int_equal(unixfs_append_blocksize(&sizes, expected[i]), ERR_OK);
        }
        struct unixfs_node in = {
            .type = UNIXFS_FILE,
            .has_data = round % 2 == 0,
            .data = round % 2 == 0 ? span_text("data") : (struct span){0},
            .has_filesize = true,
            .filesize = sum + (round % 2 == 0 ? 4 : 0),
            .blocksizes = buf_span(&sizes),
            .has_mode = round % 3 == 0,
            .mode = 0755,
            .has_mtime = round % 4 == 0,
            .mtime_seconds = round % 8 == 0 ? -1 : 1700000000,
            .mtime_nanos = round % 12 == 0 ? 0 : 999999999,
        };
        uint8_t room[1024];
        struct unixfs_node out;
        assert_int_equal(unixfs_decode(encode(&in, room), &out), ERR_OK);
        assert_int_equal(out.type, in.type);
        assert_int_equal(out.filesize, in.filesize);
        assert_int_equal(unixfs_content_size(&out), in.filesize);
        assert_int_equal(out.has_mode, in.has_mode);
        assert_int_equal(out.has_mtime, in.has_mtime);
        if (in.has_mtime) {
            assert_true(out.mtime_seconds == in.mtime_seconds);
            assert_int_equal(out.mtime_nanos, in.mtime_nanos);
        }
        struct unixfs_blocksizes iter = {.rest = out.blocksizes};
        uint64_t size;
        for (size_t i = 0; i < count; i++) {
            assert_true(unixfs_next_blocksize(&iter, &size));
            assert_int_equal(size, expected[i]);
        }
        assert_false(unixfs_next_blocksize(&iter, &size));
        buf_release(&sizes);
    }
}

/* What go's protobuf accepts: packed blocksizes, any order, unknown fields, the last of two. */
static void lax_forms_are_read(void **state)
{
    (void)state;
    struct unixfs_node node;
    assert_int_equal(unixfs_decode(BYTES(0x22, 3, 5, 6, 7, 0x20, 2, 0x08, 2, 0x18, 20), &node), ERR_OK);
    assert_int_equal(node.blocksize_count, 4);
    assert_int_equal(node.blocksize_sum, 20);
    struct unixfs_blocksizes iter = {.rest = node.blocksizes};
    static const uint64_t sizes[] = {5, 6, 7, 2};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        uint64_t size;
        assert_true(unixfs_next_blocksize(&iter, &size));
        assert_int_equal(size, sizes[i]);
    }
    assert_int_equal(unixfs_decode(BYTES(8, 1, 8, 2, 0x7a, 2, 1, 2, 0x6d, 1, 2, 3, 4), &node), ERR_OK);
    assert_int_equal(node.type, UNIXFS_FILE);
}

/* RELIABILITY D13, D14. */
static void lies_are_refused(void **state)
{
    (void)state;
    struct unixfs_node node;
    assert_int_equal(unixfs_decode(BYTES(0x18, 0), &node), ERR_INVALID); /* no type */
    assert_int_equal(unixfs_decode(BYTES(8, 6), &node), ERR_INVALID);    /* unknown type */
    assert_int_equal(unixfs_decode(BYTES(8, 2, 0x18, 9, 0x20, 8), &node), ERR_MISMATCH);
    assert_int_equal(unixfs_decode(BYTES(8, 2, 0x12, 9, 1), &node), ERR_TRUNCATED);
    assert_int_equal(unixfs_decode(BYTES(8, 2, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), &node),
                     ERR_TRUNCATED);
    assert_int_equal(unixfs_decode(BYTES(8, 2, 0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), &node),
                     ERR_TOO_LARGE);
    /* two sizes that wrap 64 bits to a small sum */
    assert_int_equal(
        unixfs_decode(BYTES(8, 2, 0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x20, 1), &node),
        ERR_TOO_LARGE);
    assert_int_equal(unixfs_decode(BYTES(8, 2, 0x22, 2, 0xff, 0xff), &node), ERR_TRUNCATED);
    assert_int_equal(unixfs_decode(BYTES(8, 2, 0x13, 8), &node), ERR_INVALID); /* a group */
    assert_int_equal(unixfs_decode(BYTES(0, 2), &node), ERR_INVALID);          /* field 0 */
    assert_int_equal(unixfs_decode(BYTES(8, 1, 0x42, 0), &node), ERR_INVALID); /* mtime without seconds */
    assert_int_equal(unixfs_decode(BYTES(8, 1, 0x42, 7, 8, 1, 0x15, 0, 0xca, 0x9a, 0x3b), &node),
                     ERR_INVALID); /* 10^9 ns */
    assert_int_equal(unixfs_decode((struct span){0}, &node), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_bytes),
        cmocka_unit_test(all_fields_come_back),
        cmocka_unit_test(lax_forms_are_read),
        cmocka_unit_test(lies_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
