/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/limits.h"
#include "wire/identify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In pieces whose size the first byte says; memory stays under the ten frames. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct account account;
    struct identify_reader reader;
    struct identify id;
    struct peer_id peer = {0};
    if (size == 0)
        return 0;
    account_init(&account, "fuzz", (uint64_t)IDENTIFY_FRAMES_MAX * IDENTIFY_FRAME_MAX);
    identify_reader_init(&reader, &account);
    size_t piece = 1 + data[0];
    enum err err = ERR_OK;
    for (struct span rest = span_of(data + 1, size - 1); rest.len > 0 && err == ERR_OK; rest = span_skip(rest, piece))
        err = identify_reader_feed(&reader, span_first(rest, piece));
    if (err == ERR_OK && identify_reader_finish(&reader, &peer, &id) == ERR_OK) {
        struct identify_iterator it = {0};
        struct span item;
        (void)identify_speaks(&id, "/ipfs/bitswap/1.2.0");
        while (identify_next_addr(&id, &it, &item))
            ;
    }
    identify_reader_release(&reader);
    if (account_used(&account) != 0)
        abort();
    return 0;
}
