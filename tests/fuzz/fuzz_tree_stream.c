/* SPDX-License-Identifier: MIT */
/* A tree stream in two ways of cutting it: the same events, names that are safe, depth that is bounded. */
#include <stdlib.h>

#include "wire/tree_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decodes in pieces; returns a checksum of what came out. */
static uint64_t run(struct span in, size_t piece_len, enum err *ret_err)
{
    struct tree_decoder decoder;
    tree_decoder_init(&decoder, NULL);
    uint64_t sum = 0;
    enum err err = ERR_AGAIN;
    while (in.len > 0 && err == ERR_AGAIN) {
        struct span piece = span_first(in, piece_len);
        in = span_skip(in, piece_len);
        struct tree_event event;
        while ((err = tree_decoder_next(&decoder, &piece, &event)) == ERR_OK) {
            if (event.name.len > 0 && !tree_name_ok(event.name))
                abort();
            if (event.kind != TREE_DATA)
                sum = sum * 31 + (uint64_t)event.kind;
            for (size_t i = 0; i < event.body.len; i++)
                sum = sum * 31 + event.body.data[i];
        }
        if (decoder.depth > TREE_DEPTH_MAX || decoder.text.cap > TREE_NAME_MAX + TREE_TARGET_MAX)
            abort();
    }
    tree_decoder_release(&decoder);
    *ret_err = err;
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum err whole;
    enum err pieces;
    struct span in = span_of(data + 1, size - 1);
    uint64_t a = run(in, SIZE_MAX, &whole);
    uint64_t b = run(in, 1 + data[0] % 16, &pieces);
    if (a != b || whole != pieces)
        abort();
    return 0;
}
