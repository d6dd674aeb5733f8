/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/limits.h"
#include "wire/addr_list.h"
#include "wire/kad.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct kad_message *message, enum kad_list list)
{
    struct kad_iterator it = {0};
    struct kad_peer peer;
    unsigned peers = 0;
    while (kad_next_peer(message, list, &it, &peer)) {
        struct buf addrs;
        buf_init(&addrs, 1024, NULL);
        if (kad_peer_addrs(&peer, 16, &addrs) != ERR_OK || addr_list_count(buf_span(&addrs)) > 16)
            abort();
        buf_release(&addrs);
        peers++;
    }
    if (peers > KAD_PEERS_MAX)
        abort();
}

/* A stream of requests or of answers in pieces whose size the first byte says. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct account account;
    struct kad_reader reader;
    if (size == 0)
        return 0;
    bool answers = (data[0] & 1) != 0;
    size_t piece = 1 + data[0];
    size_t kept = answers ? KAD_ANSWER_KEPT : KAD_REQUEST_MAX;
    account_init(&account, "fuzz", kept);
    kad_reader_init(&reader, answers ? KAD_ANSWER_MAX : KAD_REQUEST_MAX, kept, &account);
    enum err err = ERR_OK;
    for (struct span rest = span_of(data + 1, size - 1); rest.len > 0 && (err == ERR_OK || err == ERR_AGAIN);
         rest = span_skip(rest, piece)) {
        struct span in = span_first(rest, piece), body;
        while (in.len > 0 && (err = kad_reader_feed(&reader, &in, &body)) == ERR_OK) {
            struct kad_message message;
            if (kad_parse(body, reader.cut, &message) == ERR_OK) {
                walk(&message, KAD_CLOSER);
                walk(&message, KAD_PROVIDERS);
            }
            kad_reader_next(&reader);
        }
    }
    kad_reader_release(&reader);
    if (account_used(&account) != 0)
        abort();
    return 0;
}
