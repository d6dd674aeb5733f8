/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/limits.h"
#include "wire/bitswap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct account account;
    size_t events;
    unsigned refuse;
};

static struct block_ref *on_acquire(void *arg, size_t size)
{
    struct run *run = arg;
    if (run->refuse > 0 && run->refuse-- % 2 == 0)
        return NULL;
    return block_ref_new(size, &run->account);
}

static void on_want(void *arg, const struct bitswap_want *want)
{
    struct run *run = arg;
    run->events += want->cid.version <= 1;
}

static void on_presence(void *arg, const struct cid *cid, bool have)
{
    struct run *run = arg;
    run->events += cid->version + (size_t)have;
}

static void on_block(void *arg, const struct cid *cid, struct block_ref *block)
{
    (void)arg;
    if (multihash_verify(&cid->hash, block_ref_span(block)) != ERR_OK)
        abort();
}

static void on_rejected(void *arg, enum err why, size_t bytes)
{
    struct run *run = arg;
    run->events += bytes + (size_t)why;
}

static void on_end(void *arg, const struct bitswap_end *end)
{
    struct run *run = arg;
    run->events += end->full;
}

/* In pieces whose size the first byte says, with a buffer refused now and then. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.refuse = size % 5};
    struct bitswap_reader reader;
    struct bitswap_sink sink = {&run, on_acquire, on_want, on_presence, on_block, on_rejected, on_end};
    if (size == 0)
        return 0;
    account_init(&run.account, "fuzz", 8 * MIB);
    bitswap_reader_init(&reader);
    size_t piece = 1 + data[0];
    enum err err = ERR_OK;
    for (struct span rest = span_of(data + 1, size - 1); rest.len > 0 && err == ERR_OK; rest = span_skip(rest, piece)) {
        struct span part = span_first(rest, piece);
        for (int i = 0; i < 8; i++) {
            err = bitswap_reader_feed(&reader, &part, &sink);
            if (err != ERR_AGAIN)
                break;
        }
    }
    bitswap_reader_release(&reader);
    if (account_used(&run.account) != 0)
        abort();
    return 0;
}
