/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "wire/mdns_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One datagram, read as a query, as an answer and item by item. Each item takes bytes of its own, so their number is bounded. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t random[64];
    struct span message = span_of(data, size);
    struct mdns_names names;
    struct mdns_asked asked;
    struct mdns_answer answer;
    struct dns_reader reader;
    struct dns_item item;
    struct dns_name name;
    bool is_answer;
    size_t items = 0;
    mdns_names_init(&names, random);
    if (mdns_is_answer(message, &is_answer) != ERR_OK)
        return 0;
    (void)(mdns_read_query(&names, message, &asked) == ERR_OK);
    if (dns_read(message, &reader) == ERR_OK)
        for (; dns_next(&reader, &item) == ERR_OK; items++)
            if (dns_data_name(&reader, &item, 0, &name) == ERR_OK && (name.len == 0 || name.bytes[name.len - 1] != 0))
                abort();
    if (items > size / 5)
        abort();
    struct multiaddr addr;
    struct peer_id peer;
    if (mdns_answer_init(&answer, message) == ERR_OK)
        while (mdns_answer_next(&answer, &names, &addr, &peer) == ERR_OK)
            if (peer_id_is_empty(&peer))
                abort();
    return 0;
}
