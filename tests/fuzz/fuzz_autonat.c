/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "wire/autonat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read from the whole is read from no part of it before its frame is complete; an address that was read is one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct autonat_response response;
    struct autonat_response again;
    if (autonat_decode_response(span_of(data, size), &response) != ERR_OK)
        return 0;
    struct multiaddr addr;
    if (response.addr.len > 0 && multiaddr_parse(multiaddr_span(&response.addr), &addr) != ERR_OK)
        abort();
    size_t len = 0;
    while (autonat_decode_response(span_of(data, len), &again) == ERR_TRUNCATED)
        len++;
    if (len > size || len > AUTONAT_FRAME_MAX || autonat_decode_response(span_of(data, len), &again) != ERR_OK ||
        again.status != response.status)
        abort();
    return 0;
}
