/* SPDX-License-Identifier: MIT */
#include "wire/keys.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <sodium.h>

#include "wire/protobuf.h"

enum { FIELD_TYPE = 1, FIELD_DATA = 2, HEADER_MAX = 8, ED25519_DATA = 32, RSA_EXPONENT_BITS_MAX = 31 };

static const uint8_t public_head[4] = {0x08, KEY_ED25519, 0x12, ED25519_DATA};
static const uint8_t private_head[4] = {0x08, KEY_ED25519, 0x12, 2 * ED25519_DATA};

/* Reads {1: type, 2: data} and refuses every encoding but the one that a deterministic writer makes. */
static enum err parse_wrapper(struct span protobuf, uint64_t *ret_type, struct span *ret_data)
{
    struct span in = protobuf;
    struct protobuf_field type;
    struct protobuf_field data;
    if (in.len == 0 || protobuf_next(&in, &type) != ERR_OK || !protobuf_is(&type, FIELD_TYPE, PROTOBUF_VARINT))
        return ERR_INVALID;
    if (in.len == 0 || protobuf_next(&in, &data) != ERR_OK || !protobuf_is(&data, FIELD_DATA, PROTOBUF_BYTES))
        return ERR_INVALID;
    size_t canonical = protobuf_size_varint(FIELD_TYPE, type.value) + protobuf_size_bytes(FIELD_DATA, data.bytes.len);
    if (in.len != 0 || protobuf.len != canonical)
        return ERR_INVALID;
    *ret_type = type.value;
    *ret_data = data.bytes;
    return ERR_OK;
}

enum err public_key_parse(struct span protobuf, struct public_key *ret_key)
{
    uint64_t type = 0;
    struct span data;
    if (protobuf.len > PUBLIC_KEY_BYTES_MAX)
        return ERR_TOO_LARGE;
    enum err err = parse_wrapper(protobuf, &type, &data);
    if (err != ERR_OK)
        return err;
    if (type > KEY_ECDSA)
        return ERR_UNSUPPORTED;
    bool wrong = (type == KEY_ED25519 && data.len != ED25519_DATA) ||
                 (type == KEY_SECP256K1 && data.len != 33 && data.len != 65) || data.len == 0;
    if (wrong)
        return ERR_INVALID;
    *ret_key = (struct public_key){.type = (enum key_type)type, .data = data};
    return ERR_OK;
}

static void pkey_free(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

/* Reads SubjectPublicKeyInfo and nothing after it. */
static EVP_PKEY *pkey_of_der(struct span der)
{
    const unsigned char *at = der.data;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)der.len);
    if (pkey != NULL && at == der.data + der.len)
        return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

static enum err verify_sha256(EVP_PKEY *pkey, struct span message, struct span signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL)
        return ERR_NOMEM;
    int verdict = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey);
    if (verdict == 1)
        verdict = EVP_DigestVerify(ctx, signature.data, signature.len, message.data, message.len);
    EVP_MD_CTX_free(ctx);
    return verdict == 1 ? ERR_OK : ERR_AUTH;
}

static bool rsa_is_bounded(EVP_PKEY *pkey)
{
    int bits = EVP_PKEY_get_bits(pkey);
    BIGNUM *exponent = NULL;
    if (bits < KEY_RSA_BITS_MIN || bits > KEY_RSA_BITS_MAX)
        return false;
    if (!EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &exponent))
        return false;
    bool small = BN_num_bits(exponent) <= RSA_EXPONENT_BITS_MAX;
    BN_free(exponent);
    return small;
}

static enum err rsa_verify(struct span key, struct span message, struct span signature)
{
    CLEANUP(pkey_free) EVP_PKEY *pkey = pkey_of_der(key);
    if (pkey == NULL || EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA || !rsa_is_bounded(pkey))
        return ERR_INVALID;
    return verify_sha256(pkey, message, signature);
}

static enum err ecdsa_verify(struct span key, struct span message, struct span signature)
{
    static const char *const curves[] = {"prime256v1", "secp384r1", "secp521r1", "secp224r1"};
    CLEANUP(pkey_free) EVP_PKEY *pkey = pkey_of_der(key);
    char name[32] = "";
    if (pkey == NULL || EVP_PKEY_get_base_id(pkey) != EVP_PKEY_EC)
        return ERR_INVALID;
    if (!EVP_PKEY_get_group_name(pkey, name, sizeof(name), NULL))
        return ERR_UNSUPPORTED;
    for (size_t i = 0; i < ARRAY_LEN(curves); i++)
        if (strcmp(name, curves[i]) == 0)
            return verify_sha256(pkey, message, signature);
    return ERR_UNSUPPORTED;
}

static EVP_PKEY *secp256k1_pkey(struct span point)
{
    EVP_PKEY *pkey = NULL;
    char group[] = "secp256k1";
    uint8_t copy[65];
    memcpy(copy, point.data, point.len);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy, point.len),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static enum err secp256k1_verify(struct span key, struct span message, struct span signature)
{
    CLEANUP(pkey_free) EVP_PKEY *pkey = secp256k1_pkey(key);
    return pkey == NULL ? ERR_INVALID : verify_sha256(pkey, message, signature);
}

static enum err ed25519_verify(struct span key, struct span message, struct span signature)
{
    if (signature.len != ED25519_SIGNATURE_BYTES)
        return ERR_AUTH;
    return crypto_sign_verify_detached(signature.data, message.data, message.len, key.data) == 0 ? ERR_OK : ERR_AUTH;
}

enum err public_key_verify(struct span protobuf, struct span message, struct span signature)
{
    struct public_key key;
    enum err err = public_key_parse(protobuf, &key);
    if (err != ERR_OK)
        return err;
    if (signature.len == 0 || signature.len > SIGNATURE_BYTES_MAX)
        return ERR_AUTH;
    switch (key.type) {
    case KEY_RSA:
        return rsa_verify(key.data, message, signature);
    case KEY_ED25519:
        return ed25519_verify(key.data, message, signature);
    case KEY_SECP256K1:
        return secp256k1_verify(key.data, message, signature);
    case KEY_ECDSA:
        return ecdsa_verify(key.data, message, signature);
    }
    return ERR_UNSUPPORTED;
}

struct key_pair {
    uint8_t secret[crypto_sign_SECRETKEYBYTES]; /* seed, then public key */
    uint8_t public_key[ED25519_PUBLIC_KEY_BYTES];
};

enum err key_pair_of_seed(const uint8_t seed[ED25519_SEED_BYTES], struct key_pair **ret_pair)
{
    if (sodium_init() < 0)
        return ERR_INTERNAL;
    struct key_pair *pair = sodium_malloc(sizeof(*pair));
    if (pair == NULL)
        return ERR_NOMEM;
    memcpy(pair->public_key, public_head, sizeof(public_head));
    (void)crypto_sign_seed_keypair(pair->public_key + sizeof(public_head), pair->secret, seed);
    *ret_pair = pair;
    return ERR_OK;
}

enum err key_pair_generate(struct key_pair **ret_pair)
{
    uint8_t seed[ED25519_SEED_BYTES];
    if (sodium_init() < 0)
        return ERR_INTERNAL;
    randombytes_buf(seed, sizeof(seed));
    enum err err = key_pair_of_seed(seed, ret_pair);
    sodium_memzero(seed, sizeof(seed));
    return err;
}

enum err key_pair_decode(struct span protobuf, struct key_pair **ret_pair)
{
    uint64_t type = 0;
    struct span data;
    enum err err = parse_wrapper(protobuf, &type, &data);
    if (err != ERR_OK)
        return err;
    if (type != KEY_ED25519)
        return ERR_UNSUPPORTED;
    if (data.len != 2 * ED25519_DATA && data.len != 3 * ED25519_DATA)
        return ERR_INVALID;
    struct key_pair *pair = NULL;
    err = key_pair_of_seed(data.data, &pair);
    if (err != ERR_OK)
        return err;
    for (size_t at = ED25519_DATA; at < data.len; at += ED25519_DATA) {
        if (sodium_memcmp(data.data + at, pair->secret + ED25519_DATA, ED25519_DATA) != 0) {
            key_pair_free(pair);
            return ERR_INVALID;
        }
    }
    *ret_pair = pair;
    return ERR_OK;
}

void key_pair_encode(const struct key_pair *pair, uint8_t to[ED25519_PRIVATE_KEY_BYTES])
{
    memcpy(to, private_head, sizeof(private_head));
    memcpy(to + sizeof(private_head), pair->secret, sizeof(pair->secret));
}

struct span key_pair_public(const struct key_pair *pair)
{
    return span_of(pair->public_key, sizeof(pair->public_key));
}

struct peer_id key_pair_peer_id(const struct key_pair *pair)
{
    return peer_id_of_key(key_pair_public(pair));
}

void key_pair_sign(const struct key_pair *pair, struct span message, uint8_t to[ED25519_SIGNATURE_BYTES])
{
    (void)crypto_sign_detached(to, NULL, message.data, message.len, pair->secret);
}

void key_pair_free(struct key_pair *pair)
{
    sodium_free(pair);
}
