/* SPDX-License-Identifier: MIT */
/* A trace of any format, packed or not: the first byte says which. Every end has its reason, and the same bytes read the same twice. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/cap.h"
#include "tiersim/trace_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { UNPACK_MEMORY_MAX = 256 * 1024, RECORDS_MAX = 200000 };

/* liblzma makes its decoder anew for each of many tiny streams, each time with up to UNPACK_MEMORY_MAX. */
const size_t fuzz_free_bytes = 256 * MIB;

struct totals {
    uint64_t records;
    uint64_t ids;
    uint64_t bytes;
    enum err err;
};

static struct totals read_all(const uint8_t *data, size_t size, enum trace_format format)
{
    struct totals t = {0};
    struct trace_reader *reader = NULL;
    struct trace_record record;
    FILE *file = fmemopen((void *)(uintptr_t)data, size, "rb");
    if (file == NULL || trace_reader_new(file, format, UNPACK_MEMORY_MAX, &reader) != ERR_OK)
        abort();
    while (t.records < RECORDS_MAX && (t.err = trace_reader_next(reader, &record)) == ERR_OK) {
        t.records++;
        t.ids += record.id;
        t.bytes += record.bytes;
        if (record.time_s < 0)
            abort();
    }
    bool explained = trace_reader_why(reader)[0] != '\0';
    if (explained != (t.err != ERR_OK && t.err != ERR_CLOSED))
        abort();
    trace_reader_free(reader);
    (void)fclose(file);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    enum trace_format format = data[0] % (TRACE_TSV + 1);
    struct totals first = read_all(data + 1, size - 1, format);
    struct totals second = read_all(data + 1, size - 1, format);
    if (first.records != second.records || first.ids != second.ids || first.bytes != second.bytes ||
        first.err != second.err)
        abort();
    return 0;
}
