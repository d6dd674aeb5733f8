/* SPDX-License-Identifier: MIT */
/*
 * IPNS records: what a name points at, until when, in the words of the owner of the name's key.
 *
 *      IpnsEntry { 1: value, 2: signatureV1, 3: validityType, 4: validity, 5: sequence, 6: ttl, 7: pubKey, 8: signatureV2, 9: data }
 *      data      = dag-cbor {"TTL": ns, "Value": bytes, "Sequence": n, "Validity": RFC 3339 bytes, "ValidityType": 0}
 *      signed    = "ipns-signature:" data
 *
 * Only what is in data counts. Fields 1 to 6 are copies for readers from before 2021; when value or signatureV1 is there, all of them must
 * agree with data, and signatureV1 itself is never looked at. Records that are made have both, as Kubo makes them, and pubKey only when the
 * name does not hold the key itself. A name is a peer id; its key in the routing system is "/ipns/" and the bytes of the id.
 *
 * Pure functions, thread-safe. Spec: ipfs/specs ipns-record.
 */
#ifndef HEARTH_WIRE_IPNS_H
#define HEARTH_WIRE_IPNS_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/peer_id.h"

struct signing_key;

enum {
    IPNS_RECORD_BYTES_MAX = 10 * 1024,
    IPNS_VALUE_BYTES_MAX = 4096, /* of records that are made: it is there twice */
    IPNS_KEY_BYTES_MAX = 6 + PEER_ID_BYTES_MAX
};

/* A record that was read; spans are borrowed from its bytes. */
struct ipns_record {
    struct span value;
    struct span validity; /* as it is written */
    uint64_t eol_ns;      /* validity, since the epoch */
    uint64_t sequence;    /* at most INT64_MAX */
    uint64_t ttl_ns;      /* at most INT64_MAX */
    struct span public_key;
    struct span signature_v1;
    struct span signature_v2;
    struct span data;
};

/*
 * Reads a record and checks its form: steps 1, 2, 4 and 7 of the specification's verification. ERR_TOO_LARGE: over 10 KiB; ERR_TRUNCATED,
 * ERR_INVALID: no record, data that is not canonical or lacks a field, a negative TTL or sequence; ERR_UNSUPPORTED: another validity type;
 * ERR_MISMATCH: the fields beside data say something else.
 */
enum err ipns_record_decode(struct span bytes, struct ipns_record *ret_record) MUST_CHECK;

/*
 * Checks that the owner of this name made the record: steps 3, 5 and 6. ERR_NOT_FOUND: neither name nor record hold the key; ERR_MISMATCH:
 * the key in the record is another one's; ERR_AUTH: the signature; others as public_key_verify.
 */
enum err ipns_record_authenticate(const struct ipns_record *record, const struct peer_id *name) MUST_CHECK;

/* The whole verification at this time of day: ipns_record_authenticate, and ERR_TIMEOUT for a record whose time has passed. */
enum err ipns_record_verify(const struct ipns_record *record, const struct peer_id *name, uint64_t now_ns) MUST_CHECK;

/* Which of two valid records of a name is newer, by sequence and then end of life: negative, 0 or positive, as for a - b. */
int ipns_record_compare(const struct ipns_record *a, const struct ipns_record *b);

/*
 * What routing and caches need: checks a value that came for a routing key. ERR_UNSUPPORTED: no key of a name; others as
 * ipns_record_decode and ipns_record_verify.
 */
enum err ipns_validate(struct span key, struct span value, uint64_t now_ns) MUST_CHECK;

/* What a record that is made says. */
struct ipns_claim {
    struct span value; /* a path, 1 to IPNS_VALUE_BYTES_MAX bytes */
    uint64_t eol_ns;
    uint64_t sequence; /* at most INT64_MAX */
    uint64_t ttl_ns;   /* at most INT64_MAX */
    bool v2_only;      /* without the fields for old readers */
};

/* Appends a signed record. ERR_INVALID: a claim out of range; ERR_TOO_LARGE; ERR_NOMEM. */
enum err ipns_record_seal(const struct signing_key *key, const struct ipns_claim *claim, struct buf *out) MUST_CHECK;

/* The routing key of a name; returns its length. */
size_t ipns_key_of_name(const struct peer_id *name, uint8_t to[IPNS_KEY_BYTES_MAX]);

/* ERR_INVALID: no key of a name. */
enum err ipns_name_of_key(struct span key, struct peer_id *ret_name) MUST_CHECK;

#endif
