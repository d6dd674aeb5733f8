/* SPDX-License-Identifier: MIT */
/* Bytes that may have to be read twice. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/source.h"

enum { CHUNK = 32 * 1024, CHUNKS = 20 };

static uint8_t chunk[CHUNK];

/* Each chunk has its number in all its bytes. */
static void write_chunk(int fd, unsigned number)
{
    memset(chunk, (int)number, sizeof(chunk));
    assert_int_equal(write(fd, chunk, sizeof(chunk)), sizeof(chunk));
}

static void expect_chunks(struct source *source, unsigned from, unsigned until)
{
    uint64_t at = (uint64_t)from * CHUNK;
    while (at < (uint64_t)until * CHUNK) {
        struct span bytes;
        assert_int_equal(source_read(source, &bytes), ERR_OK);
        assert_true(bytes.len > 0 && bytes.len <= SOURCE_PIECE);
        for (size_t i = 0; i < bytes.len; i++)
            assert_int_equal(bytes.data[i], (uint8_t)((at + i) / CHUNK));
        at += bytes.len;
    }
    assert_int_equal(at, (uint64_t)until * CHUNK);
}

static void expect_end(struct source *source)
{
    struct span bytes;
    assert_int_equal(source_read(source, &bytes), ERR_OK);
    assert_int_equal(bytes.len, 0);
}

static void what_came_through_a_pipe_comes_again_and_then_the_rest(void **state)
{
    (void)state;
    int ends[2];
    struct source source;
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(source_begin(&source, ends[0]), ERR_OK);
    for (unsigned i = 0; i < CHUNKS; i++) {
        write_chunk(ends[1], i);
        expect_chunks(&source, i, i + 1);
    }
    for (unsigned round = 0; round < 2; round++) {
        assert_true(source_rewind(&source));
        expect_chunks(&source, 0, CHUNKS);
    }
    write_chunk(ends[1], CHUNKS);
    expect_chunks(&source, CHUNKS, CHUNKS + 1);
    (void)close(ends[1]);
    assert_true(source_rewind(&source));
    expect_chunks(&source, 0, CHUNKS + 1);
    expect_end(&source);
    source_release(&source);
    (void)close(ends[0]);
}

static void of_much_from_a_pipe_nothing_is_kept(void **state)
{
    (void)state;
    int ends[2];
    struct source source;
    unsigned most = SOURCE_KEPT_MAX / CHUNK;
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(source_begin(&source, ends[0]), ERR_OK);
    for (unsigned i = 0; i <= most; i++) {
        assert_true(source.whole);
        write_chunk(ends[1], i);
        expect_chunks(&source, i, i + 1);
    }
    assert_false(source.whole);
    assert_int_equal(source.kept.len, 0);
    write_chunk(ends[1], most + 1);
    expect_chunks(&source, most + 1, most + 2);
    assert_false(source_rewind(&source));
    source_release(&source);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void a_file_is_read_again_from_where_it_was(void **state)
{
    (void)state;
    struct source source;
    FILE *file = tmpfile();
    assert_non_null(file);
    for (unsigned i = 0; i < CHUNKS; i++)
        write_chunk(fileno(file), i);
    assert_int_equal(lseek(fileno(file), CHUNK, SEEK_SET), CHUNK);
    assert_int_equal(source_begin(&source, fileno(file)), ERR_OK);
    for (unsigned round = 0; round < 2; round++) {
        expect_chunks(&source, 1, CHUNKS);
        expect_end(&source);
        assert_int_equal(source.kept.len, 0);
        assert_true(source_rewind(&source));
    }
    source_release(&source);
    (void)fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_came_through_a_pipe_comes_again_and_then_the_rest),
        cmocka_unit_test(of_much_from_a_pipe_nothing_is_kept),
        cmocka_unit_test(a_file_is_read_again_from_where_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
