/* SPDX-License-Identifier: MIT */
/* A record: read and verified for a name; what is read lies inside the input. */
#include <stdlib.h>

#include "wire/ipns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct span part, const uint8_t *data, size_t size)
{
    if (part.len > 0 && (part.data < data || part.data + part.len > data + size))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ipns_record record;
    struct peer_id name = {.len = 0};
    if (ipns_record_decode(span_of(data, size), &record) != ERR_OK)
        return 0;
    check_inside(record.value, data, size);
    check_inside(record.validity, data, size);
    check_inside(record.data, data, size);
    check_inside(record.public_key, data, size);
    check_inside(record.signature_v2, data, size);
    if (record.sequence > INT64_MAX || record.ttl_ns > INT64_MAX || ipns_record_compare(&record, &record) != 0)
        abort();
    if (record.public_key.len > 0)
        name = peer_id_of_key(record.public_key);
    (void)!ipns_record_verify(&record, &name, 0);
    return 0;
}
