/* SPDX-License-Identifier: MIT */
/*
 * CID: the name of a block.
 *
 *      v0:  <sha2-256 multihash, 34 bytes>                 text: Qm..., base58btc without a leading character
 *      v1:  01 <varint codec> <multihash>                  text: multibase, base32 by default
 *
 * A value type without pointers. A v0 CID always has codec dag-pb and a 32-byte sha2-256 digest; cid_parse and cid_v0 are the
 * only ways to get one. Two CIDs with one multihash name the same bytes, which is why blocks are stored by multihash, but peers
 * compare whole CIDs. The prefix, a CID without its digest, is what Bitswap sends beside a block. Spec: multiformats/cid.
 */
#ifndef HEARTH_WIRE_CID_H
#define HEARTH_WIRE_CID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/multibase.h"
#include "wire/multihash.h"

enum {
    CID_BYTES_MAX = 1 + 5 + MULTIHASH_BYTES_MAX, /* under the 168 bytes that boxo accepts */
    CID_TEXT_MAX = 2 * CID_BYTES_MAX + 2,        /* base16 with its leading character and a final NUL */
    CID_PREFIX_BYTES_MAX = 1 + 5 + 5 + 2
};

enum codec {
    CODEC_RAW = 0x55,
    CODEC_DAG_PB = 0x70,
    CODEC_DAG_CBOR = 0x71,
    CODEC_LIBP2P_KEY = 0x72,
    CODEC_DAG_JSON = 0x0129
};

struct cid {
    uint32_t codec;
    uint8_t version; /* 0 or 1 */
    struct multihash hash;
};

struct cid_prefix {
    uint32_t codec;
    uint32_t hash_code;
    uint8_t version;
    uint8_t hash_len; /* bytes of the digest */
};

/* Makes a v1 CID. */
struct cid cid_v1(uint32_t codec, const struct multihash *hash);

/* Makes a v0 CID. ERR_INVALID unless the hash is sha2-256 with 32 bytes. */
enum err cid_v0(const struct multihash *hash, struct cid *ret_cid) MUST_CHECK;

/* The same block's CID in the other version; to v0 only with dag-pb and sha2-256: ERR_INVALID. */
enum err cid_as_version(const struct cid *cid, unsigned version, struct cid *ret_cid) MUST_CHECK;

/*
 * Takes one CID from the front of *in; *in moves on success only. ERR_TRUNCATED, ERR_INVALID (varints not minimal, a version
 * other than 0 and 1), ERR_UNSUPPORTED (codec or hash code over 32 bits), ERR_TOO_LARGE (digest over MULTIHASH_DIGEST_MAX).
 */
enum err cid_decode(struct span *in, struct cid *ret_cid) MUST_CHECK;

/* The same for input that must be one CID and nothing else: ERR_INVALID for trailing bytes. */
enum err cid_parse(struct span in, struct cid *ret_cid) MUST_CHECK;

/* Writes the bytes and returns their number. */
size_t cid_encode(const struct cid *cid, uint8_t to[CID_BYTES_MAX]);

/* Reads the text of a v0 or v1 CID, nothing around it. ERR_INVALID, ERR_UNSUPPORTED, ERR_TOO_LARGE as above. */
enum err cid_parse_text(struct span text, struct cid *ret_cid) MUST_CHECK;

/* Writes the usual text, NUL-terminated: base58btc for v0, base32 for v1. Never fails. */
void cid_text(const struct cid *cid, char to[CID_TEXT_MAX]);

/* Writes text in a base. ERR_UNSUPPORTED for v0 in anything but base58btc and for base2, base8 and base10. */
enum err cid_text_base(const struct cid *cid, enum multibase base, char to[CID_TEXT_MAX]) MUST_CHECK;

bool cid_equal(const struct cid *a, const struct cid *b);

/* Whether both name the same bytes. */
bool cid_same_block(const struct cid *a, const struct cid *b);

struct cid_prefix cid_prefix_of(const struct cid *cid);
size_t cid_prefix_encode(const struct cid_prefix *prefix, uint8_t to[CID_PREFIX_BYTES_MAX]);

/* Reads a prefix and nothing else; v0 is 00 70 12 20. Errors as cid_parse; ERR_INVALID for a v0 that is anything else. */
enum err cid_prefix_parse(struct span in, struct cid_prefix *ret_prefix) MUST_CHECK;

/* Hashes data into the CID that the prefix asks for. Errors as multihash_sum. */
enum err cid_prefix_sum(const struct cid_prefix *prefix, struct span data, struct cid *ret_cid) MUST_CHECK;

#endif
