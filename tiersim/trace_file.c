/* SPDX-License-Identifier: MIT */
#include "tiersim/trace_file.h"

#include <assert.h>
#include <stdlib.h>

#include "tiersim/unpacker.h"

enum { BUFFER_BYTES = 64 * 1024 };

struct trace_file {
    FILE *file;
    struct unpacker *unpacker;
    enum packing packing;
    enum err broken; /* ERR_OK, or why there will be no more bytes; ERR_CLOSED is a good reason */
    struct span packed;
    bool last; /* packed is the end of the file */
    uint8_t packed_bytes[BUFFER_BYTES];
    size_t begin; /* what is unpacked and not yet taken: bytes[begin..end) */
    size_t end;
    uint64_t offset; /* of bytes[begin] */
    uint8_t bytes[BUFFER_BYTES];
};

static enum err read_packed(struct trace_file *t)
{
    size_t len = fread(t->packed_bytes, 1, sizeof(t->packed_bytes), t->file);
    if (ferror(t->file))
        return ERR_IO;
    t->packed = span_of(t->packed_bytes, len);
    t->last = len < sizeof(t->packed_bytes);
    return ERR_OK;
}

enum err trace_file_new(FILE *file, uint64_t unpack_memory_max, struct trace_file **ret_trace_file)
{
    struct trace_file *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return ERR_NOMEM;
    t->file = file;
    enum err err = read_packed(t);
    t->packing = packing_of(t->packed);
    if (err == ERR_OK)
        err = unpacker_new(t->packing, unpack_memory_max, &t->unpacker);
    if (err != ERR_OK) {
        trace_file_free(t);
        return err;
    }
    *ret_trace_file = t;
    return ERR_OK;
}

void trace_file_free(struct trace_file *t)
{
    if (t == NULL)
        return;
    unpacker_free(t->unpacker);
    free(t);
}

/* Unpacks some more; an error stays. */
static enum err fill(struct trace_file *t)
{
    if (t->broken != ERR_OK)
        return t->broken;
    memmove(t->bytes, t->bytes + t->begin, t->end - t->begin);
    t->end -= t->begin;
    t->begin = 0;
    if (t->packed.len == 0 && !t->last)
        t->broken = read_packed(t);
    size_t len = 0;
    if (t->broken == ERR_OK)
        t->broken = unpacker_feed(t->unpacker, &t->packed, t->last, t->bytes + t->end, sizeof(t->bytes) - t->end, &len);
    t->end += len;
    return t->broken;
}

static struct span take(struct trace_file *t, size_t bytes)
{
    struct span taken = span_of(t->bytes + t->begin, bytes);
    t->begin += bytes;
    t->offset += bytes;
    return taken;
}

static struct span without_cr(struct span line)
{
    return line.len > 0 && line.data[line.len - 1] == '\r' ? span_first(line, line.len - 1) : line;
}

enum err trace_file_line(struct trace_file *t, struct span *ret_line)
{
    size_t seen = 0; /* of the line, without its end */
    for (;;) {
        const uint8_t *from = t->bytes + t->begin;
        const uint8_t *lf = memchr(from + seen, '\n', t->end - t->begin - seen);
        seen = lf != NULL ? (size_t)(lf - from) : t->end - t->begin;
        if (seen > TRACE_LINE_MAX)
            return ERR_TOO_LARGE;
        if (lf != NULL) {
            *ret_line = without_cr(span_first(take(t, seen + 1), seen));
            return ERR_OK;
        }
        enum err err = fill(t);
        if (err == ERR_CLOSED && seen > 0) {
            *ret_line = without_cr(take(t, seen));
            return ERR_OK;
        }
        if (err != ERR_OK)
            return err;
    }
}

enum err trace_file_record(struct trace_file *t, size_t bytes, struct span *ret_record)
{
    assert(bytes > 0 && bytes <= TRACE_LINE_MAX);
    while (t->end - t->begin < bytes) {
        enum err err = fill(t);
        if (err == ERR_CLOSED && t->end > t->begin)
            return ERR_TRUNCATED;
        if (err != ERR_OK)
            return err;
    }
    *ret_record = take(t, bytes);
    return ERR_OK;
}

const char *trace_file_packing(const struct trace_file *t)
{
    return packing_name(t->packing);
}

bool trace_file_broken(const struct trace_file *t)
{
    return t->broken != ERR_OK && t->broken != ERR_CLOSED;
}

uint64_t trace_file_offset(const struct trace_file *t)
{
    return t->offset;
}
