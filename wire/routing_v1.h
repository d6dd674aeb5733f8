/* SPDX-License-Identifier: MIT */
/*
 * Delegated routing over HTTP, version 1: names of what is asked, and a reader of what is answered.
 *
 *      GET BASE/routing/v1/providers/CID      {"Providers":[PEER, ...]}     or, as application/x-ndjson, PEER\nPEER\n...
 *      GET BASE/routing/v1/peers/PEER-CID     {"Peers":[PEER, ...]}         the same
 *      GET, PUT BASE/routing/v1/ipns/PEER-CID  the record's bytes, application/vnd.ipfs.ipns-record
 *      PEER = {"Schema":"peer","ID":"12D3...","Addrs":["/ip4/..."],"Protocols":["transport-bitswap"]}
 *
 * The reader takes bytes as they come and finds the objects of the list by counting brackets, so that it holds one object at a time, of
 * ROUTING_V1_RECORD_MAX bytes, and what came before an answer was cut off counts. Larger objects, other schemas and objects that say nothing
 * usable are passed over and counted; after ROUTING_V1_RECORDS_MAX of them the rest is not read. Nothing is allocated but by json_text.
 * Spec: specs.ipfs.tech, http-routing-v1. Not thread-safe.
 */
#ifndef HEARTH_WIRE_ROUTING_V1_H
#define HEARTH_WIRE_ROUTING_V1_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/cid.h"
#include "wire/multiaddr.h"
#include "wire/peer_id.h"

enum {
    ROUTING_V1_RECORD_MAX = 16 * 1024,
    ROUTING_V1_RECORDS_MAX = 256,
    ROUTING_V1_ADDRS_MAX = 16, /* kept of one peer */
    ROUTING_V1_DEPTH_MAX = 32,
    ROUTING_V1_IPNS_MAX = 10 * 1024,
    ROUTING_V1_BASE_MAX = 255,
    ROUTING_V1_URL_MAX = ROUTING_V1_BASE_MAX + 32 + CID_TEXT_MAX
};

#define ROUTING_V1_JSON   "application/json"
#define ROUTING_V1_NDJSON "application/x-ndjson"
#define ROUTING_V1_IPNS   "application/vnd.ipfs.ipns-record"

struct routing_v1_peer {
    struct peer_id id;
    size_t addr_count;
    struct multiaddr
        addrs[ROUTING_V1_ADDRS_MAX]; /* without /p2p of this peer; those that lead to others are left out */
    bool told_protocols;
    bool bitswap; /* it is told to speak it */
};

typedef void routing_v1_sink(void *arg, const struct routing_v1_peer *peer);

struct routing_v1_reader {
    bool stream; /* ndjson */
    bool failed;
    bool done; /* the list has ended, or enough of it came */
    bool in_string;
    bool escaped;
    bool in_list;
    bool capturing;
    bool too_long; /* the object being captured */
    unsigned depth;
    unsigned capture_depth;
    size_t key_len;
    char key[16]; /* the last string of the outermost object */
    size_t records;
    size_t unusable;
    size_t len;
    uint8_t text[ROUTING_V1_RECORD_MAX];
    struct routing_v1_peer peer;
};

/* content_type: of the answer; anything but ndjson is read as one JSON object. */
void routing_v1_reader_init(struct routing_v1_reader *r, struct span content_type);

/* Reads on; bytes behind the end are ignored. ERR_INVALID: no JSON by its brackets, or nested too deep; what came before it counts. */
enum err routing_v1_reader_feed(struct routing_v1_reader *r, struct span in, routing_v1_sink *sink,
                                void *arg) MUST_CHECK;

/* Reads one object. ERR_INVALID: no JSON, or no peer id; ERR_UNSUPPORTED: another schema. */
enum err routing_v1_peer_parse(struct span json, struct routing_v1_peer *ret_peer) MUST_CHECK;

/* ---- addresses of what is asked ---- */

enum routing_v1_kind { ROUTING_V1_PROVIDERS, ROUTING_V1_PEERS, ROUTING_V1_NAMES };

/* A router: what stands before /routing/v1, and what it is for. */
struct routing_v1_router {
    char base[ROUTING_V1_BASE_MAX + 1]; /* without a slash at its end */
    bool kinds[3];                      /* by enum routing_v1_kind */
};

/*
 * Reads a configured address: http or https, with nothing behind the host or a path; one that ends with /routing/v1 is taken for all, with
 * /routing/v1/providers (peers, ipns) for that alone. ERR_INVALID with a static sentence in *ret_why.
 */
enum err routing_v1_router_parse(struct span text, struct routing_v1_router *ret_router,
                                 const char **ret_why) MUST_CHECK;

/* The URL for a CID: of the block, or with codec libp2p-key of the peer. ERR_UNSUPPORTED: the router is not for that. */
enum err routing_v1_url(const struct routing_v1_router *router, enum routing_v1_kind kind, const struct cid *cid,
                        char to[ROUTING_V1_URL_MAX]) MUST_CHECK;

#endif
