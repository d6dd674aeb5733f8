/* SPDX-License-Identifier: MIT */
/*
 * The serving side of the DHT: what to do with a request, and its answer. No state, no stores: the owner fetches what responder_read says
 * is needed, and passes the results.
 *
 *      request ── kad_parse ──> responder_read ──> {action, key, ...}
 *                                   │ owner: its provider store, its record store, its peers
 *                                   v
 *                               responder_answer(table, request, results) ──> bytes for the stream
 *
 *      PING            answered at once                 FIND_NODE       results.target: the peer itself, if it is known
 *      GET_PROVIDERS   results.providers                GET_VALUE       results.record
 *      PUT_VALUE       validate and store, then answered by an echo; refused: reset the stream
 *      ADD_PROVIDER    store; never answered, kept or not
 *
 * Answers name the KAD_K closest peers of the table, never the asker, each address filtered by the scope of this DHT, and stay under
 * KAD_SEND_MAX: providers come first and may take all but what RESPONDER_CLOSER_RESERVE keeps for closer peers. Any thread; nothing is
 * allocated but in the writer and out. Spec: libp2p/specs kad-dht, "RPC messages".
 */
#ifndef HEARTH_DHT_RESPONDER_H
#define HEARTH_DHT_RESPONDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "dht/addr_scope.h"
#include "dht/routing_table.h"
#include "wire/kad.h"
#include "wire/peer_id.h"

enum {
    RESPONDER_PROVIDERS_MAX = 100,       /* told in one answer, as far as they fit */
    RESPONDER_CLOSER_RESERVE = 6 * 1024, /* of an answer with providers */
    RESPONDER_ADDRS_MAX = 16,            /* taken from a provider of ADD_PROVIDER */
    RESPONDER_ADDRS_BYTES_MAX = 1024,
};

enum responder_action {
    RESPONDER_ANSWER,        /* call responder_answer with no results */
    RESPONDER_FIND_PEER,     /* look whether target is connected, then answer */
    RESPONDER_GET_PROVIDERS, /* look up providers of key, then answer */
    RESPONDER_GET_RECORD,    /* look up the record of key, then answer */
    RESPONDER_PUT_RECORD,    /* validate and keep record; answer when it was kept, else reset the stream */
    RESPONDER_ADD_PROVIDER,  /* keep the sender as provider of key; no answer */
    RESPONDER_IGNORE         /* well formed, but nothing to keep: no answer, the stream goes on */
};

/* Spans borrow from the request. */
struct responder_request {
    enum responder_action action;
    enum kad_type type;
    struct span key;
    struct kad_record record; /* of PUT_RECORD; without time_received, which is not the sender's to say */
    struct peer_id sender;
    struct peer_id target; /* of FIND_PEER */
};

/*
 * Judges a request of sender. provider_addrs (a buf of at least RESPONDER_ADDRS_BYTES_MAX, cleared first) gets the addr_list of an
 * ADD_PROVIDER: only the entries in which the sender names itself count, only addresses of the scope, and without one of them the action is
 * RESPONDER_IGNORE. ERR_PROTOCOL: no key, a provider key over KAD_KEY_MAX, a record key or value over its
 * maximum, a record that is missing or of another key: reset the stream. ERR_NOMEM.
 */
enum err responder_read(const struct kad_message *message, const struct peer_id *sender, enum addr_scope scope,
                        struct buf *provider_addrs, struct responder_request *ret_request) MUST_CHECK;

struct responder_peer {
    const struct peer_id *id;
    struct span addrs; /* an addr_list, unfiltered */
    bool connected;
};

/* Zeroed, it says that nothing was found. All is borrowed during the call. */
struct responder_results {
    const struct responder_peer *providers;
    size_t provider_count;
    bool has_record;
    struct kad_record record;            /* time_received: when we got it, or empty */
    const struct responder_peer *target; /* NULL: not known; ourselves when the target is us */
};

/*
 * Appends the framed answer to out. w is scratch memory that may be used again and again. ERR_NOMEM, ERR_TOO_LARGE (out's maximum, or a
 * record that does not fit).
 */
enum err responder_answer(const struct routing_table *table, const struct responder_request *request,
                          enum addr_scope scope, const struct responder_results *results, struct kad_writer *w,
                          struct buf *out) MUST_CHECK;

#endif
