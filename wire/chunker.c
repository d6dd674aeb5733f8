/* SPDX-License-Identifier: MIT */
#include "wire/chunker.h"

#include <assert.h>

enum { DIGITS_MAX = 10 };

enum err chunker_init(struct chunker *chunker, uint64_t size_bytes)
{
    if (size_bytes == 0)
        return ERR_INVALID;
    if (size_bytes > CHUNK_BYTES_MAX)
        return ERR_TOO_LARGE;
    *chunker = (struct chunker){.size_bytes = (uint32_t)size_bytes};
    return ERR_OK;
}

static bool has_prefix(struct span text, const char *prefix)
{
    return span_equal_text(span_first(text, strlen(prefix)), prefix);
}

enum err chunker_parse(struct chunker *chunker, struct span spec, uint32_t default_bytes)
{
    if (spec.len == 0 || span_equal_text(spec, "default"))
        return chunker_init(chunker, default_bytes);
    if (has_prefix(spec, "rabin") || has_prefix(spec, "buzhash"))
        return ERR_UNSUPPORTED;
    if (!has_prefix(spec, "size-"))
        return ERR_INVALID;
    struct span digits = span_skip(spec, strlen("size-"));
    if (digits.len == 0)
        return ERR_INVALID;
    uint64_t size = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return ERR_INVALID;
        if (i >= DIGITS_MAX)
            return ERR_TOO_LARGE;
        size = size * 10 + (uint64_t)(digits.data[i] - '0');
    }
    return chunker_init(chunker, size);
}

size_t chunker_take(const struct chunker *chunker, size_t open_bytes, struct span bytes, bool *ret_cut)
{
    assert(open_bytes < chunker->size_bytes);
    size_t take = MIN(bytes.len, chunker->size_bytes - open_bytes);
    *ret_cut = open_bytes + take == chunker->size_bytes;
    return take;
}
