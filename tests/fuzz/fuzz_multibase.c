/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "wire/multibase.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One value has one text, up to letter case: what is read and written again reads the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf bytes;
    struct buf text;
    struct buf again;
    enum multibase base;
    buf_init(&bytes, 1 << 16, NULL);
    buf_init(&text, 1 << 20, NULL);
    buf_init(&again, 1 << 16, NULL);
    if (multibase_decode(span_of(data, size), &bytes, &base) == ERR_OK && bytes.len <= MULTIBASE_NUMBER_MAX) {
        if (multibase_encode(base, buf_span(&bytes), &text) != ERR_OK || text.len != size)
            abort();
        if (multibase_decode(buf_span(&text), &again, NULL) != ERR_OK ||
            !span_equal(buf_span(&again), buf_span(&bytes)))
            abort();
    }
    buf_release(&bytes);
    buf_release(&text);
    buf_release(&again);
    return 0;
}
