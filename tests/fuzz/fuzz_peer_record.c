/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "wire/peer_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct peer_record record;
    struct span addr;
    if (peer_record_open(span_of(data, size), NULL, 0, &record) == ERR_OK)
        while (peer_record_next_addr(&record, &addr))
            if (addr.len > size)
                abort();
    return 0;
}
