/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "dht/lookup.h"
#include "dht/responder.h"
#include "wire/addr_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes as an answer to each query of a lookup: bounds hold, nothing is lost. */
static void as_answers(const struct kad_message *message, uint8_t choice)
{
    static const enum kad_type types[] = {KAD_FIND_NODE, KAD_GET_PROVIDERS, KAD_GET_VALUE};
    struct account account;
    struct lookup *lookup = NULL;
    struct lookup_query query;
    struct lookup_peer peers[KAD_K];
    struct peer_id seed = {.len = 34, .bytes = {0x12, 0x20, choice}};
    struct lookup_params params = {.key = peer_id_span(&seed),
                                   .type = types[choice % ARRAY_LEN(types)],
                                   .scope = (enum addr_scope)(choice / 4 % 3),
                                   .diverse = (choice & 1) != 0,
                                   .follow_up = (choice & 2) != 0,
                                   .providers = choice / 16,
                                   .deadline_ms = 100};
    account_init(&account, "fuzz", 256 * KIB);
    if (lookup_new(&params, &account, &lookup) != ERR_OK)
        abort();
    lookup_seed(lookup, &seed, span_of(NULL, 0));
    for (uint64_t now = 0; now < 300 && lookup_next(lookup, now, &query); now++) {
        struct peer_id id = query.id;
        if (addr_list_count(query.addrs) > LOOKUP_ADDRS_MAX || query.addrs.len > LOOKUP_ADDRS_BYTES_MAX)
            abort();
        if (now % 7 == 6)
            lookup_failed(lookup, &id, now);
        else
            (void)lookup_answered(lookup, &id, message, now);
        lookup_tick(lookup, now);
    }
    if (lookup_provider_count(lookup) > LOOKUP_PROVIDERS_MAX || lookup_closest(lookup, peers, KAD_K) > KAD_K)
        abort();
    while (lookup_next_provider(lookup, &peers[0]))
        ;
    (void)lookup_find(lookup, &seed, &peers[0]);
    lookup_free(lookup);
    if (account_used(&account) != 0)
        abort();
}

/* The same bytes as a request: what is read is answered, and nobody else's id is taken as a provider. */
static void as_request(const struct kad_message *message, uint8_t choice)
{
    struct peer_id own = {.len = 34, .bytes = {0x12, 0x20, 1}}, sender = {.len = 34, .bytes = {0x12, 0x20, choice}};
    struct routing_table table;
    struct responder_request request;
    const struct responder_results none = {0};
    struct kad_writer writer;
    struct buf addrs, out;
    routing_table_init(&table, &own, false, ROUTING_GRACE_MS, NULL);
    kad_writer_init(&writer, NULL);
    buf_init(&addrs, RESPONDER_ADDRS_BYTES_MAX, NULL);
    buf_init(&out, 2 * KAD_SEND_MAX, NULL);
    enum addr_scope scope = (enum addr_scope)(choice % 3);
    if (responder_read(message, &sender, scope, &addrs, &request) == ERR_OK) {
        if (request.action == RESPONDER_ADD_PROVIDER && !addr_list_count(buf_span(&addrs)))
            abort();
        if (addr_list_count(buf_span(&addrs)) > RESPONDER_ADDRS_MAX)
            abort();
        if (responder_answer(&table, &request, scope, &none, &writer, &out) == ERR_OK && out.len > KAD_SEND_MAX + 3)
            abort();
    }
    buf_release(&out);
    buf_release(&addrs);
    kad_writer_release(&writer);
    routing_table_release(&table);
}

/* The first byte chooses, the rest is one message. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kad_message message;
    if (size == 0 || kad_parse(span_of(data + 1, size - 1), (data[0] & 128) != 0, &message) != ERR_OK)
        return 0;
    as_answers(&message, data[0]);
    as_request(&message, data[0]);
    return 0;
}
