/* SPDX-License-Identifier: MIT */
#include "tests/unit/tiersim/helper_trace.h"

#include <stdlib.h>

#include "tiersim/unpacker.h"

FILE *memory_file(const void *bytes, size_t len)
{
    /* fmemopen of mode r writes nothing; of no bytes it is an error */
    FILE *file = len == 0 ? fopen("/dev/null", "rb") : fmemopen((void *)(uintptr_t)bytes, len, "rb");
    assert_non_null(file);
    return file;
}

struct trace trace_of(enum trace_format format, const void *bytes, size_t len)
{
    struct trace_reader *reader = NULL;
    struct trace trace = {0};
    FILE *file = memory_file(bytes, len);
    assert_ok(trace_reader_new(file, format, UNPACKER_MEMORY_MAX, &reader));
    assert_ok(trace_load(reader, &trace));
    trace_reader_free(reader);
    (void)fclose(file);
    return trace;
}

struct trace trace_of_letters(const char *letters)
{
    size_t len = strlen(letters);
    char *lines = malloc(2 * len);
    assert_non_null(lines);
    for (size_t i = 0; i < len; i++) {
        lines[2 * i] = letters[i];
        lines[2 * i + 1] = '\n';
    }
    struct trace trace = trace_of(TRACE_KEYS, lines, 2 * len);
    free(lines);
    return trace;
}
