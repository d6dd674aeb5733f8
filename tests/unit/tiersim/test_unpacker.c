/* SPDX-License-Identifier: MIT */
/* Streams packed by the libraries' own encoders come out again, however they are cut; broken ones are refused. */
#include <lzma.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support/bytes.h"
#include "tiersim/unpacker.h"

enum { PLAIN_BYTES = 20000, ROOM = 64 * 1024, SMALL_WINDOW = 1 << 20 };

static uint8_t plain[PLAIN_BYTES];
static uint8_t packed[ROOM];
static uint8_t unpacked[ROOM];

static int fill_plain(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 1);
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)('a' + prng_below(&prng, 4)); /* neither incompressible nor nothing */
    return 0;
}

static size_t pack_gzip(uint8_t *to, size_t room)
{
    z_stream z = {.next_in = plain, .avail_in = sizeof(plain), .next_out = to, .avail_out = (uInt)room};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t len = room - z.avail_out;
    assert_int_equal(deflateEnd(&z), Z_OK);
    return len;
}

static size_t pack_xz(uint8_t *to, size_t room)
{
    size_t len = 0;
    assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL, plain, sizeof(plain), to, &len, room), LZMA_OK);
    return len;
}

static size_t pack_zstd(uint8_t *to, size_t room)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    assert_non_null(c);
    assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1)));
    size_t len = ZSTD_compress2(c, to, room, plain, sizeof(plain));
    assert_false(ZSTD_isError(len));
    (void)ZSTD_freeCCtx(c);
    return len;
}

static size_t pack_plain(uint8_t *to, size_t room)
{
    assert_true(room >= sizeof(plain));
    memcpy(to, plain, sizeof(plain));
    return sizeof(plain);
}

static size_t pack(enum packing packing, uint8_t *to, size_t room)
{
    static size_t (*const packers[])(uint8_t *, size_t) = {
        [PACKING_NONE] = pack_plain, [PACKING_GZIP] = pack_gzip, [PACKING_XZ] = pack_xz, [PACKING_ZSTD] = pack_zstd};
    return packers[packing](to, room);
}

/* Unpacks in pieces of in_step and out_step bytes; ERR_OK when the end was reached. */
static enum err unpack(enum packing packing, struct span in, size_t in_step, size_t out_step, size_t *ret_len)
{
    struct unpacker *unpacker = NULL;
    struct span piece = {0};
    size_t total = 0;
    enum err err = ERR_OK;
    assert_ok(unpacker_new(packing, SMALL_WINDOW * 16, &unpacker));
    while (err == ERR_OK) {
        size_t len = 0;
        if (piece.len == 0) {
            piece = span_first(in, in_step);
            in = span_skip(in, piece.len);
        }
        err = unpacker_feed(unpacker, &piece, in.len == 0, unpacked + total, MIN(out_step, sizeof(unpacked) - total),
                            &len);
        total += err == ERR_OK ? len : 0;
    }
    unpacker_free(unpacker);
    *ret_len = total;
    return err == ERR_CLOSED ? ERR_OK : err;
}

static void what_was_packed_comes_out_however_it_is_cut(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 7, 4096, ROOM};
    for (enum packing p = PACKING_NONE; p <= PACKING_ZSTD; p++) {
        size_t len = pack(p, packed, sizeof(packed));
        assert_int_equal(packing_of(span_of(packed, len)), p);
        for (size_t i = 0; i < ARRAY_LEN(steps) * ARRAY_LEN(steps); i++) {
            size_t got;
            assert_ok(unpack(p, span_of(packed, len), steps[i % ARRAY_LEN(steps)], steps[i / ARRAY_LEN(steps)], &got));
            assert_int_equal(got, sizeof(plain));
            assert_memory_equal(unpacked, plain, sizeof(plain));
        }
    }
}

static void streams_may_follow_each_other(void **state)
{
    (void)state;
    for (enum packing p = PACKING_NONE; p <= PACKING_ZSTD; p++) {
        size_t got;
        size_t len = pack(p, packed, sizeof(packed));
        len += pack(p, packed + len, sizeof(packed) - len);
        assert_ok(unpack(p, span_of(packed, len), 100, ROOM, &got));
        assert_int_equal(got, 2 * sizeof(plain));
        assert_memory_equal(unpacked, plain, sizeof(plain));
        assert_memory_equal(unpacked + sizeof(plain), plain, sizeof(plain));
    }
}

static void streams_that_break_off_are_truncated(void **state)
{
    (void)state;
    for (enum packing p = PACKING_GZIP; p <= PACKING_ZSTD; p++) {
        size_t got;
        size_t len = pack(p, packed, sizeof(packed));
        for (size_t cut = 1; cut < len; cut += cut < 32 || len - cut < 32 ? 1 : 97)
            assert_err(unpack(p, span_of(packed, cut), 50, 1000, &got), ERR_TRUNCATED);
    }
}

static void flipped_bytes_are_noticed(void **state)
{
    (void)state;
    for (enum packing p = PACKING_GZIP; p <= PACKING_ZSTD; p++) {
        size_t got;
        size_t len = pack(p, packed, sizeof(packed));
        packed[len / 2] ^= 0x55;
        assert_err(unpack(p, span_of(packed, len), 50, 1000, &got), ERR_CORRUPT);
        packed[len / 2] ^= 0x55;
        memset(packed + len, 'x', 32); /* what follows is no stream */
        assert_err(unpack(p, span_of(packed, len + 32), 50, 1000, &got), ERR_CORRUPT);
    }
}

/* A frame of zstd says how large its window is; one of xz how large its dictionary. */
static void what_takes_too_much_memory_is_refused(void **state)
{
    (void)state;
    struct unpacker *unpacker = NULL;
    size_t len = 0;
    size_t got = 0;
    assert_int_equal(
        lzma_easy_buffer_encode(9, LZMA_CHECK_CRC64, NULL, plain, sizeof(plain), packed, &len, sizeof(packed)),
        LZMA_OK);
    struct span in = span_of(packed, len);
    assert_ok(unpacker_new(PACKING_XZ, SMALL_WINDOW, &unpacker));
    assert_err(unpacker_feed(unpacker, &in, true, unpacked, sizeof(unpacked), &got), ERR_TOO_LARGE);
    unpacker_free(unpacker);

    /* RFC 8878: magic, descriptor without size and checksum, window of 2^(10 + 13) bytes, one empty last block */
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3, 0x01, 0x00, 0x00};
    in = span_of(frame, sizeof(frame));
    assert_ok(unpacker_new(PACKING_ZSTD, SMALL_WINDOW, &unpacker));
    assert_err(unpacker_feed(unpacker, &in, true, unpacked, sizeof(unpacked), &got), ERR_TOO_LARGE);
    unpacker_free(unpacker);
    assert_ok(unpack(PACKING_ZSTD, span_of(frame, sizeof(frame)), ROOM, ROOM, &got));
    assert_int_equal(got, 0);
}

static void plain_bytes_pass(void **state)
{
    (void)state;
    size_t got;
    assert_int_equal(packing_of(span_of("", 0)), PACKING_NONE);
    assert_int_equal(packing_of(span_of("\x1f\x8b", 2)), PACKING_NONE);
    assert_int_equal(packing_of(span_text("12345678")), PACKING_NONE);
    assert_ok(unpack(PACKING_NONE, span_of("", 0), 1, 1, &got));
    assert_int_equal(got, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_packed_comes_out_however_it_is_cut), cmocka_unit_test(streams_may_follow_each_other),
        cmocka_unit_test(streams_that_break_off_are_truncated),        cmocka_unit_test(flipped_bytes_are_noticed),
        cmocka_unit_test(what_takes_too_much_memory_is_refused),       cmocka_unit_test(plain_bytes_pass),
    };
    return cmocka_run_group_tests(tests, fill_plain, NULL);
}
