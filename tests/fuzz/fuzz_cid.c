/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "wire/cid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read must be written back to the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cid cid;
    struct cid_prefix prefix;
    uint8_t bytes[CID_BYTES_MAX];
    char text[CID_TEXT_MAX];
    if (cid_parse(span_of(data, size), &cid) == ERR_OK) {
        if (!span_equal(span_of(bytes, cid_encode(&cid, bytes)), span_of(data, size)))
            abort();
        cid_text(&cid, text);
        struct cid back;
        if (cid_parse_text(span_text(text), &back) != ERR_OK || !cid_equal(&cid, &back))
            abort();
        (void)multihash_verify(&cid.hash, span_of(data, size));
    }
    if (cid_parse_text(span_of(data, size), &cid) == ERR_OK)
        cid_text(&cid, text);
    if (cid_prefix_parse(span_of(data, size), &prefix) == ERR_OK)
        (void)cid_prefix_sum(&prefix, span_of(data, size), &cid);
    return 0;
}
