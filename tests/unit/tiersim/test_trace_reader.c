/* SPDX-License-Identifier: MIT */
/* Each format, and what is wrong with a file that is not of it. */
#include "tests/unit/tiersim/helper_trace.h"

#include <stdlib.h>
#include <zlib.h>

#include "tiersim/trace_file.h"
#include "tiersim/unpacker.h"

enum { RECORDS = 32 };

struct outcome {
    struct trace_record records[RECORDS];
    size_t count;
    enum err err;
    char why[200];
};

static struct outcome read_bytes(enum trace_format format, const void *bytes, size_t len)
{
    struct outcome o = {0};
    struct trace_reader *reader = NULL;
    struct trace_record record;
    FILE *file = memory_file(bytes, len);
    assert_ok(trace_reader_new(file, format, UNPACKER_MEMORY_MAX, &reader));
    while ((o.err = trace_reader_next(reader, &record)) == ERR_OK) {
        assert_true(o.count < RECORDS);
        o.records[o.count++] = record;
    }
    (void)snprintf(o.why, sizeof(o.why), "%s", trace_reader_why(reader));
    trace_reader_free(reader);
    (void)fclose(file);
    return o;
}

static struct outcome read_text(enum trace_format format, const char *text)
{
    return read_bytes(format, text, strlen(text));
}

/* Requests of these ids, or of these words when they are hashed: same for same. */
static void assert_ids(const struct outcome *o, const uint64_t *ids, size_t count)
{
    assert_err(o->err, ERR_CLOSED);
    assert_int_equal(o->count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(o->records[i].id, ids[i]);
}

static void assert_refused(const struct outcome *o, enum err err, size_t good, const char *why)
{
    assert_err(o->err, err);
    assert_int_equal(o->count, good);
    assert_string_equal(o->why, why);
}

static void oracle_general(void **state)
{
    (void)state;
    /* time 7, object 0x0102030405060708, size 512, next use -1; time 2^32 - 1, object 2, size 2^32 - 1, next use 9 */
    struct span bytes = bytes_of_hex("07000000"
                                     "0807060504030201"
                                     "00020000"
                                     "ffffffffffffffff"
                                     "ffffffff"
                                     "0200000000000000"
                                     "ffffffff"
                                     "0900000000000000");
    struct outcome o = read_bytes(TRACE_ORACLE_GENERAL, bytes.data, bytes.len);
    assert_ids(&o, (const uint64_t[]){UINT64_C(0x0102030405060708), 2}, 2);
    assert_true(o.records[0].time_s == 7 && o.records[1].time_s == 4294967295.0);
    assert_int_equal(o.records[0].bytes, 512);
    assert_int_equal(o.records[1].bytes, UINT32_MAX);
    o = read_bytes(TRACE_ORACLE_GENERAL, bytes.data, bytes.len - 1);
    assert_refused(&o, ERR_TRUNCATED, 1, "record 2 at byte 24: cut off");
}

static void lis(void **state)
{
    (void)state;
    struct outcome o = read_text(TRACE_LIS, "10 3 0 1\r\n\n7 0 0 2\n  18446744073709551614\t1 0 3");
    assert_ids(&o, (const uint64_t[]){10, 11, 12, UINT64_MAX - 1}, 4);
    assert_int_equal(o.records[0].bytes, 1);
    o = read_text(TRACE_LIS, "10 1 0 1\n10 1 0\n");
    assert_refused(&o, ERR_INVALID, 1, "line 2: expected four numbers, `start blocks 0 number`");
    o = read_text(TRACE_LIS, "10 x 0 1\n");
    assert_refused(&o, ERR_INVALID, 0, "line 1: expected four numbers, `start blocks 0 number`");
    o = read_text(TRACE_LIS, "-1 1 0 1\n");
    assert_err(o.err, ERR_INVALID);
    o = read_text(TRACE_LIS, "10 1 0 1 5\n");
    assert_refused(&o, ERR_INVALID, 0, "line 1: expected four numbers and nothing more");
    o = read_text(TRACE_LIS, "\n0 1048577 0 1\n");
    assert_refused(&o, ERR_INVALID, 0, "line 2: expected at most 1048576 blocks below 2^64");
    o = read_text(TRACE_LIS, "18446744073709551615 1 0 1\n");
    assert_err(o.err, ERR_INVALID);
}

static void keys(void **state)
{
    (void)state;
    struct outcome o = read_text(TRACE_KEYS, "12\n*\nQmX\r\n 12 \n\nlast");
    assert_err(o.err, ERR_CLOSED);
    assert_int_equal(o.count, 4);
    assert_int_equal(o.records[0].id, o.records[2].id);
    assert_int_not_equal(o.records[0].id, o.records[1].id);
    assert_int_not_equal(o.records[1].id, o.records[3].id);
}

static void big_endian(void **state)
{
    (void)state;
    struct span bytes = bytes_of_hex("00000001fffffffe00000001");
    struct outcome o = read_bytes(TRACE_BE32, bytes.data, bytes.len);
    assert_ids(&o, (const uint64_t[]){1, UINT64_C(0xfffffffe), 1}, 3);
    o = read_bytes(TRACE_BE32, bytes.data, bytes.len - 3);
    assert_refused(&o, ERR_TRUNCATED, 2, "record 3 at byte 8: cut off");
    o = read_bytes(TRACE_BE64, bytes.data, 8);
    assert_ids(&o, (const uint64_t[]){UINT64_C(0x00000001fffffffe)}, 1);
    o = read_bytes(TRACE_BE64, bytes.data, bytes.len);
    assert_refused(&o, ERR_TRUNCATED, 1, "record 2 at byte 8: cut off");
}

static void tsv(void **state)
{
    (void)state;
    struct outcome o = read_text(TRACE_TSV, "0 a 100\n1.25\tb\t0\n1700000000123456789 a 18446744073709551615\n");
    assert_err(o.err, ERR_CLOSED);
    assert_int_equal(o.count, 3);
    assert_true(o.records[1].time_s == 1.25);
    assert_int_equal(o.records[0].bytes, 100);
    assert_int_equal(o.records[1].bytes, 0);
    assert_int_equal(o.records[2].bytes, UINT64_MAX);
    assert_int_equal(o.records[0].id, o.records[2].id);
    assert_int_not_equal(o.records[0].id, o.records[1].id);
    o = read_text(TRACE_TSV, "0 a 100\n1 b -5\n");
    assert_refused(&o, ERR_INVALID, 1, "line 2: expected `time id size`, the size in bytes");
    o = read_text(TRACE_TSV, "0 a\n");
    assert_refused(&o, ERR_INVALID, 0, "line 1: expected `time id size`, the size in bytes");
    o = read_text(TRACE_TSV, "yesterday a 1\n");
    assert_refused(&o, ERR_INVALID, 0, "line 1: expected `time id size`, the time in seconds");
    o = read_text(TRACE_TSV, "1.2x a 1\n");
    assert_err(o.err, ERR_INVALID);
    o = read_text(TRACE_TSV, "1 a 1 9\n");
    assert_refused(&o, ERR_INVALID, 0, "line 1: expected `time id size` and nothing more");
}

static void lines_are_bounded(void **state)
{
    (void)state;
    size_t len = TRACE_LINE_MAX + 3;
    char *text = malloc(len);
    assert_non_null(text);
    memset(text, 'k', len);
    text[1] = '\n'; /* a key, then one of TRACE_LINE_MAX + 1 */
    struct outcome o = read_bytes(TRACE_KEYS, text, len);
    assert_refused(&o, ERR_TOO_LARGE, 1, "line 2: longer than 4096 bytes");
    o = read_bytes(TRACE_KEYS, text, len - 1);
    assert_err(o.err, ERR_CLOSED);
    assert_int_equal(o.count, 2);
    free(text);
}

static void packed_files_are_read_and_their_ends_checked(void **state)
{
    (void)state;
    static const char text[] = "1 a 10\n2 b 20\n3 a 10\n";
    uint8_t packed[256];
    z_stream z = {.next_in = (uint8_t *)(uintptr_t)text,
                  .avail_in = sizeof(text) - 1,
                  .next_out = packed,
                  .avail_out = sizeof(packed)};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t len = sizeof(packed) - z.avail_out;
    (void)deflateEnd(&z);
    struct outcome o = read_bytes(TRACE_TSV, packed, len);
    assert_err(o.err, ERR_CLOSED);
    assert_int_equal(o.count, 3);
    o = read_bytes(TRACE_TSV, packed, len - 1);
    assert_refused(&o, ERR_TRUNCATED, 3, "after 21 unpacked bytes (gzip): input ends too early");
    packed[len - 5] ^= 1; /* of the checksum */
    o = read_bytes(TRACE_TSV, packed, len);
    assert_err(o.err, ERR_CORRUPT);
}

static void empty_files_have_no_requests(void **state)
{
    (void)state;
    for (enum trace_format f = TRACE_ORACLE_GENERAL; f <= TRACE_TSV; f++) {
        struct outcome o = read_bytes(f, "", 0);
        assert_ids(&o, NULL, 0);
    }
}

static void formats_have_names(void **state)
{
    (void)state;
    enum trace_format format;
    assert_true(trace_format_parse("be64", &format));
    assert_int_equal(format, TRACE_BE64);
    assert_true(trace_format_parse("oracleGeneral", &format));
    assert_true(trace_format_sized(format));
    assert_false(trace_format_parse("oraclegeneral", &format));
    assert_false(trace_format_sized(TRACE_LIS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oracle_general),
        cmocka_unit_test(lis),
        cmocka_unit_test(keys),
        cmocka_unit_test(big_endian),
        cmocka_unit_test(tsv),
        cmocka_unit_test(lines_are_bounded),
        cmocka_unit_test(packed_files_are_read_and_their_ends_checked),
        cmocka_unit_test(empty_files_have_no_requests),
        cmocka_unit_test(formats_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
