/* SPDX-License-Identifier: MIT */
/*
 * The baselines beside figures that others found on the same public traces, and hearth's policy beside its own of docs/heat.md. They lie in the folder traces beside the test vectors; without
 * it the tests are skipped.
 */
#include "tests/unit/tiersim/helper_trace.h"

#include <math.h>
#include <stdlib.h>

#include "tiersim/replay.h"
#include "tiersim/unpacker.h"

enum { SIZES = 4 };

#define EXACT 0.05 /* points: the algorithm leaves nothing open */
#define CLOSE 0.6  /* it depends on the hashes of a sketch */
#define OURS  0.2  /* hearth: as docs/heat.md has it; which blocks are on trial depends on their hashes */

struct row {
    const char *policy;
    double object[SIZES]; /* hits in per cent at each size; 0: not compared, a million requests take long */
    double byte[SIZES];   /* the same, of traces with sizes */
    double tolerance;
};

static bool load(const char *name, enum trace_format format, struct trace *ret_trace)
{
    char path[64];
    struct trace_reader *reader = NULL;
    (void)snprintf(path, sizeof(path), "../traces/%s", name);
    const char *full = vectors_path(path);
    FILE *file = full == NULL ? NULL : fopen(full, "rb");
    if (file == NULL)
        return false;
    assert_ok(trace_reader_new(file, format, UNPACKER_MEMORY_MAX, &reader));
    assert_ok(trace_load(reader, ret_trace));
    trace_reader_free(reader);
    (void)fclose(file);
    return true;
}

static void expect(const struct trace *trace, const char *policy, uint64_t capacity, double object, double byte,
                   double tolerance)
{
    struct replay_result result;
    assert_non_null(contender_find(policy));
    assert_ok(replay(trace, contender_find(policy), capacity, &result));
    double objects = replay_object_hit_percent(&result);
    double bytes = replay_byte_hit_percent(&result);
    if (fabs(objects - object) > tolerance || (byte > 0 && fabs(bytes - byte) > tolerance))
        fail_msg("%s at %llu: %.2f/%.2f, expected %.2f/%.2f", policy, (unsigned long long)capacity, objects, bytes,
                 object, byte);
}

static void expect_rows(const char *name, enum trace_format format, const struct row *rows, size_t row_count)
{
    static const unsigned percents[SIZES] = {1, 5, 10, 20};
    struct trace trace;
    if (!load(name, format, &trace))
        skip();
    for (size_t i = 0; i < row_count; i++) {
        for (size_t s = 0; s < SIZES; s++) {
            if (rows[i].object[s] > 0)
                expect(&trace, rows[i].policy, (uint64_t)((double)trace.footprint_bytes * percents[s] / 100),
                       rows[i].object[s], rows[i].byte[s], rows[i].tolerance);
        }
    }
    trace_release(&trace);
}

static void sprite(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"fifo", {16.96, 61.79, 81.96, 90.13}, {0}, EXACT},     {"lru", {16.33, 65.63, 86.48, 92.21}, {0}, EXACT},
        {"clock", {16.15, 65.34, 86.41, 92.23}, {0}, EXACT},    {"sieve", {19.29, 60.53, 81.52, 90.08}, {0}, EXACT},
        {"s3fifo", {20.75, 66.65, 86.31, 91.58}, {0}, EXACT},   {"arc", {19.04, 65.38, 85.50, 91.46}, {0}, EXACT},
        {"wtinylfu", {23.24, 63.82, 79.29, 88.12}, {0}, CLOSE}, {"opt", {42.32, 82.30, 91.36, 94.13}, {0}, EXACT},
        {"hearth", {25.00, 68.80, 86.83, 92.19}, {0}, OURS},
    };
    expect_rows("sprite.trace.gz", TRACE_KEYS, rows, ARRAY_LEN(rows));
}

static void two_pools(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"fifo", {19.21, 42.61, 49.89, 57.26}, {0}, EXACT},     {"lru", {21.77, 51.01, 54.38, 59.25}, {0}, EXACT},
        {"clock", {23.66, 51.65, 54.42, 59.22}, {0}, EXACT},    {"sieve", {47.70, 51.84, 54.32, 59.28}, {0}, EXACT},
        {"s3fifo", {44.18, 51.88, 54.37, 59.19}, {0}, EXACT},   {"arc", {46.47, 51.86, 54.30, 59.20}, {0}, EXACT},
        {"wtinylfu", {43.83, 51.91, 54.38, 59.26}, {0}, CLOSE}, {"opt", {50.63, 62.80, 68.46, 75.28}, {0}, EXACT},
        {"hearth", {49.27, 51.83, 54.37, 59.14}, {0}, OURS},
    };
    expect_rows("2_pools.trace.gz", TRACE_KEYS, rows, ARRAY_LEN(rows));
}

static void multi3(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"fifo", {4.99, 19.58, 29.18, 37.62}, {0}, EXACT},      {"lru", {5.14, 26.61, 35.49, 44.10}, {0}, EXACT},
        {"clock", {5.22, 27.99, 36.42, 44.38}, {0}, EXACT},     {"sieve", {7.58, 29.09, 37.35, 46.48}, {0}, EXACT},
        {"s3fifo", {15.32, 35.46, 45.54, 49.34}, {0}, EXACT},   {"arc", {15.17, 35.22, 38.97, 46.49}, {0}, EXACT},
        {"wtinylfu", {21.02, 37.95, 45.73, 55.35}, {0}, CLOSE}, {"opt", {28.71, 46.78, 52.92, 62.77}, {0}, EXACT},
        {"hearth", {23.30, 43.09, 44.16, 45.79}, {0}, OURS},
    };
    expect_rows("multi3.trace.gz", TRACE_KEYS, rows, ARRAY_LEN(rows));
}

static void zipf(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"fifo", {0, 0, 51.98, 0}, {0}, EXACT},     {"lru", {0, 0, 57.53, 0}, {0}, EXACT},
        {"clock", {0, 0, 58.89, 0}, {0}, EXACT},    {"sieve", {0, 0, 67.12, 0}, {0}, EXACT},
        {"s3fifo", {0, 0, 65.64, 0}, {0}, EXACT},   {"arc", {0, 0, 64.07, 0}, {0}, EXACT},
        {"wtinylfu", {0, 0, 66.14, 0}, {0}, CLOSE}, {"opt", {0, 0, 75.64, 0}, {0}, EXACT},
    };
    expect_rows("zipf_1.0", TRACE_KEYS, rows, ARRAY_LEN(rows));
}

static void cloud_physics(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"fifo", {16.32, 17.68, 19.25, 25.91}, {1.96, 3.13, 4.91, 12.36}, EXACT},
        {"lru", {16.61, 17.71, 19.03, 26.67}, {2.00, 3.10, 4.82, 13.58}, EXACT},
        {"clock", {16.72, 17.76, 19.14, 26.92}, {2.02, 3.10, 4.80, 14.00}, EXACT},
        {"sieve", {17.69, 18.92, 20.97, 31.23}, {2.24, 3.92, 7.04, 19.18}, EXACT},
        {"s3fifo", {17.83, 20.07, 26.31, 32.66}, {2.38, 5.74, 13.68, 23.43}, EXACT},
        {"arc", {17.73, 19.19, 22.37, 31.77}, {2.24, 4.37, 8.56, 19.66}, EXACT},
        {"wtinylfu", {17.91, 19.11, 21.77, 26.46}, {2.50, 4.26, 8.61, 16.07}, CLOSE},
        {"opt", {19.96, 27.70, 34.92, 42.64}, {6.08, 17.51, 26.80, 37.73}, EXACT},
    };
    expect_rows("w_cloudphysics.oracleGeneral.bin", TRACE_ORACLE_GENERAL, rows, ARRAY_LEN(rows));
}

static void oltp(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"fifo", {0, 0, 63.34, 0}, {0}, EXACT},     {"lru", {0, 0, 66.52, 0}, {0}, EXACT},
        {"clock", {0, 0, 66.86, 0}, {0}, EXACT},    {"sieve", {0, 0, 66.66, 0}, {0}, EXACT},
        {"s3fifo", {0, 0, 67.81, 0}, {0}, EXACT},   {"arc", {0, 0, 67.25, 0}, {0}, EXACT},
        {"wtinylfu", {0, 0, 63.91, 0}, {0}, CLOSE}, {"opt", {0, 0, 76.21, 0}, {0}, EXACT},
    };
    expect_rows("OLTP.lis.zst", TRACE_LIS, rows, ARRAY_LEN(rows));
}

/* Megiddo & Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003, table V. */
static void the_arc_paper(void **state)
{
    (void)state;
    static const uint64_t pages[] = {1000, 2000, 5000, 10000, 15000};
    static const double lru[] = {32.83, 42.47, 53.65, 60.70, 64.63};
    static const double arc[] = {38.93, 46.08, 55.25, 61.87, 65.40};
    struct trace trace;
    if (!load("OLTP.lis.zst", TRACE_LIS, &trace))
        skip();
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        expect(&trace, "lru", pages[i], lru[i], lru[i], 0.02);
        expect(&trace, "arc", pages[i], arc[i], arc[i], 0.02);
    }
    trace_release(&trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sprite),        cmocka_unit_test(two_pools),     cmocka_unit_test(multi3),
        cmocka_unit_test(zipf),          cmocka_unit_test(cloud_physics), cmocka_unit_test(oltp),
        cmocka_unit_test(the_arc_paper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
