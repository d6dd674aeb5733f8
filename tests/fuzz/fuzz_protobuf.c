/* SPDX-License-Identifier: MIT */
/* Fields are walked, nested ones too as long as they parse; what is written from them is read as the same fields. */
#include <stdlib.h>

#include "wire/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH_MAX = 8 };

static enum err copy(const struct protobuf_field *f, struct buf *out)
{
    return f->type == PROTOBUF_BYTES ? protobuf_put_bytes(out, f->number, f->bytes)
                                     : protobuf_put_varint(out, f->number, f->value);
}

static size_t size_of(const struct protobuf_field *f)
{
    return f->type == PROTOBUF_BYTES ? protobuf_size_bytes(f->number, f->bytes.len)
                                     : protobuf_size_varint(f->number, f->value);
}

static void walk(struct span in, unsigned depth)
{
    while (in.len > 0) {
        struct protobuf_field f;
        struct protobuf_field again;
        struct buf out;
        size_t before = in.len;
        if (protobuf_next(&in, &f) != ERR_OK)
            return;
        if (in.len >= before)
            abort();
        buf_init(&out, before + 32, NULL);
        if (copy(&f, &out) != ERR_OK || out.len != size_of(&f))
            abort();
        struct span rest = buf_span(&out);
        bool same = protobuf_next(&rest, &again) == ERR_OK && rest.len == 0 && again.number == f.number;
        same = same && (f.type == PROTOBUF_BYTES ? span_equal(again.bytes, f.bytes) : again.value == f.value);
        if (!same)
            abort();
        buf_release(&out);
        if (f.type == PROTOBUF_BYTES && depth < DEPTH_MAX)
            walk(f.bytes, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    walk(span_of(data, size), 0);
    return 0;
}
