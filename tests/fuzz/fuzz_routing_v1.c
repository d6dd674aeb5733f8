/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "wire/routing_v1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *arg, const struct routing_v1_peer *peer)
{
    ++*(size_t *)arg;
    if (peer->addr_count > ROUTING_V1_ADDRS_MAX || peer_id_is_empty(&peer->id))
        abort();
}

/* The first byte says which form it is; pieces of two sizes give the same peers. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct routing_v1_reader reader;
    size_t counts[2] = {0, 0};
    if (size == 0)
        return 0;
    for (size_t i = 0; i < 2; i++) {
        routing_v1_reader_init(&reader, span_text(data[0] % 2 == 0 ? ROUTING_V1_JSON : ROUTING_V1_NDJSON));
        enum err err = ERR_OK;
        for (struct span rest = span_of(data + 1, size - 1); rest.len > 0 && err == ERR_OK;
             rest = span_skip(rest, 7 + i * 90))
            err = routing_v1_reader_feed(&reader, span_first(rest, 7 + i * 90), take, &counts[i]);
        if (counts[i] + reader.unusable != reader.records || reader.records > ROUTING_V1_RECORDS_MAX)
            abort();
    }
    if (counts[0] != counts[1])
        abort();
    return 0;
}
