/* SPDX-License-Identifier: MIT */
/*
 * Multihash: a digest that names its hash function.
 *
 *      <varint code> <varint length> <digest>          12 20 ba7816bf...  = sha2-256, 32 bytes
 *
 * A value type without pointers, so that it can be a key, a field and a message body alike. Decoding accepts every code that
 * fits 32 bits, since a node must pass on what it cannot compute; multihash_allowed says what may address a block here. That
 * list is boxo's verifcid, and sha1 for git's objects: no md5, no digests under 20 bytes, identity up to 128. keccak and blake3 are on its list too but
 * neither libcrypto 3.0 nor libsodium computes them: such blocks cannot be verified and are refused as unsupported.
 * Spec: multiformats/multihash.
 */
#ifndef HEARTH_WIRE_MULTIHASH_H
#define HEARTH_WIRE_MULTIHASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    MULTIHASH_DIGEST_MIN = 20,  /* shorter ones are guessable; identity is exempt */
    MULTIHASH_DIGEST_MAX = 128, /* the identity limit, and more than any function yields */
    MULTIHASH_BYTES_MAX = 5 + 2 + MULTIHASH_DIGEST_MAX
};

enum multihash_code {
    MULTIHASH_IDENTITY = 0x00,
    MULTIHASH_SHA1 = 0x11,
    MULTIHASH_SHA2_256 = 0x12,
    MULTIHASH_SHA2_512 = 0x13,
    MULTIHASH_SHA3_512 = 0x14,
    MULTIHASH_SHA3_384 = 0x15,
    MULTIHASH_SHA3_256 = 0x16,
    MULTIHASH_SHA3_224 = 0x17,
    MULTIHASH_SHAKE_256 = 0x19,
    MULTIHASH_DBL_SHA2_256 = 0x56,
    MULTIHASH_MD5 = 0xd5,           /* named to be refused */
    MULTIHASH_BLAKE2B_160 = 0xb214, /* code = 0xb200 + bytes of the digest */
    MULTIHASH_BLAKE2B_256 = 0xb220,
    MULTIHASH_BLAKE2B_512 = 0xb240,
    MULTIHASH_BLAKE2S_256 = 0xb260
};

/* Bytes past len are zero, so that equal values are equal memory. */
struct multihash {
    uint32_t code;
    uint8_t len;
    uint8_t digest[MULTIHASH_DIGEST_MAX];
};

/*
 * Takes one multihash from the front of *in; *in moves on success only. ERR_TRUNCATED, ERR_INVALID (varints not minimal),
 * ERR_UNSUPPORTED (a code over 32 bits), ERR_TOO_LARGE (digest over MULTIHASH_DIGEST_MAX).
 */
enum err multihash_decode(struct span *in, struct multihash *ret_hash) MUST_CHECK;

/* The same for input that must be one multihash and nothing else: ERR_INVALID for trailing bytes. */
enum err multihash_parse(struct span in, struct multihash *ret_hash) MUST_CHECK;

/* Writes the bytes and returns their number. */
size_t multihash_encode(const struct multihash *hash, uint8_t to[MULTIHASH_BYTES_MAX]);

bool multihash_equal(const struct multihash *a, const struct multihash *b);

/* Bytes of the function's full digest; 0 for identity and for what cannot be computed here. */
size_t multihash_digest_size(uint32_t code);

/* ERR_OK when a block may be addressed by it: a known function and 20 bytes up to its full digest, or identity. Else ERR_UNSUPPORTED. */
enum err multihash_allowed(const struct multihash *hash) MUST_CHECK;

/*
 * Hashes data. len_bytes is the digest's length, 0 for the full one; a shorter one is the truncated digest. ERR_UNSUPPORTED for an
 * unknown function or a length outside multihash_allowed, ERR_TOO_LARGE for identity over MULTIHASH_DIGEST_MAX.
 */
enum err multihash_sum(uint32_t code, size_t len_bytes, struct span data, struct multihash *ret_hash) MUST_CHECK;

/* ERR_OK when data hashes to it, ERR_CORRUPT when not; other errors as multihash_sum. */
enum err multihash_verify(const struct multihash *hash, struct span data) MUST_CHECK;

/* Writes the registered name ("sha2-256", "blake2b-160"); false for a code that cannot be computed here. */
enum { MULTIHASH_NAME_MAX = 16 };
bool multihash_name(uint32_t code, char to[MULTIHASH_NAME_MAX]);

/* The code of a registered name, as people pass to --hash. ERR_UNSUPPORTED. */
enum err multihash_code_of(const char *name, uint32_t *ret_code) MUST_CHECK;

/* Plain SHA-256, for formats that use it outside a multihash. */
enum { SHA256_BYTES = 32 };
void sha256_sum(struct span data, uint8_t to[SHA256_BYTES]);

/* Hashing in pieces, for data that never is in memory at once. One thread at a time. */
struct multihasher;

/* ERR_UNSUPPORTED (identity too), ERR_NOMEM. */
enum err multihasher_new(uint32_t code, struct multihasher **ret_hasher) MUST_CHECK;
enum err multihasher_update(struct multihasher *hasher, struct span data) MUST_CHECK;

/* Ends the digest; afterwards only multihasher_free is allowed. */
enum err multihasher_final(struct multihasher *hasher, struct multihash *ret_hash) MUST_CHECK;

/* NULL is ignored. */
void multihasher_free(struct multihasher *hasher);

#endif
