/* SPDX-License-Identifier: MIT */
#include "base/texts.h"

#include <assert.h>

void texts_init(struct texts *t, size_t max_bytes)
{
    t->count = 0;
    buf_init(&t->bytes, MIN(max_bytes, (size_t)UINT32_MAX), NULL);
}

void texts_release(struct texts *t)
{
    t->count = 0;
    buf_release(&t->bytes);
}

void texts_clear(struct texts *t)
{
    t->count = 0;
    buf_clear(&t->bytes);
}

enum err texts_add(struct texts *t, struct span text)
{
    if (t->count == TEXTS_MAX)
        return ERR_TOO_LARGE;
    enum err err = text.len == 0 ? ERR_OK : buf_append_span(&t->bytes, text);
    if (err == ERR_OK)
        t->ends[t->count++] = (uint32_t)t->bytes.len;
    return err;
}

struct span texts_get(const struct texts *t, size_t index)
{
    assert(index < t->count);
    size_t start = index == 0 ? 0 : t->ends[index - 1];
    return t->bytes.len == 0 ? (struct span){0} : span_of(t->bytes.data + start, t->ends[index] - start);
}
