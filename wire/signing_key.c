/* SPDX-License-Identifier: MIT */
#include "wire/signing_key.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sodium.h>

#include "wire/protobuf.h"

enum {
    FIELD_TYPE = 1,
    FIELD_DATA = 2,
    RSA_BITS_DEFAULT = 2048,
    SCALAR_BYTES = 32,
    POINT_BYTES = 65,
    COMPRESSED_BYTES = 33,
    LOW_S_ATTEMPTS = 64
};

struct signing_key {
    enum key_type type;
    size_t secret_len;
    size_t public_len;
    uint8_t public_key[PUBLIC_KEY_BYTES_MAX];
    uint8_t secret[SIGNING_KEY_BYTES_MAX]; /* the protobuf */
};

/* SEC 1 without the public half, which libcrypto then computes: 30 2e 02 01 01 04 20 <scalar> a0 07 06 05 <secp256k1> */
static const uint8_t sec1_head[] = {0x30, 0x2e, 0x02, 0x01, 0x01, 0x04, SCALAR_BYTES};
static const uint8_t sec1_tail[] = {0xa0, 0x07, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a};

static void pkey_free(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static void bio_free(BIO **bio)
{
    BIO_free(*bio);
}

void signing_key_free(struct signing_key *key)
{
    sodium_free(key);
}

static void key_drop(struct signing_key **key)
{
    signing_key_free(*key);
}

static enum err key_alloc(enum key_type type, struct signing_key **ret_key)
{
    if (sodium_init() < 0)
        return ERR_INTERNAL;
    struct signing_key *key = sodium_malloc(sizeof(*key));
    if (key == NULL)
        return ERR_NOMEM;
    memset(key, 0, sizeof(*key));
    key->type = type;
    *ret_key = key;
    return ERR_OK;
}

/* Writes {1: type, 2: data} into to. ERR_TOO_LARGE. */
static enum err put_wrapper(enum key_type type, struct span data, uint8_t *to, size_t to_bytes, size_t *ret_len)
{
    uint8_t head[4] = {0x08, (uint8_t)type, 0x12};
    size_t at = 3;
    size_t len = data.len;
    for (; len >= 0x80 && at < to_bytes; len >>= 7)
        to[at++] = (uint8_t)(len | 0x80);
    to[at++] = (uint8_t)len;
    if (data.len > to_bytes - at)
        return ERR_TOO_LARGE;
    memcpy(to, head, 3);
    memcpy(to + at, data.data, data.len);
    *ret_len = at + data.len;
    return ERR_OK;
}

static struct span data_of(const struct signing_key *key)
{
    struct span in = span_of(key->secret, key->secret_len);
    struct protobuf_field field = {.number = 0};
    while (in.len > 0 && protobuf_next(&in, &field) == ERR_OK)
        if (protobuf_is(&field, FIELD_DATA, PROTOBUF_BYTES))
            return field.bytes;
    return (struct span){0};
}

/* ---- libcrypto's form of the secret, for the time of one use ---- */

static EVP_PKEY *der_pkey(int id, struct span der)
{
    const unsigned char *at = der.data;
    EVP_PKEY *pkey = d2i_PrivateKey(id, NULL, &at, (long)der.len);
    if (pkey != NULL && at == der.data + der.len)
        return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

static EVP_PKEY *scalar_pkey(struct span scalar)
{
    uint8_t der[sizeof(sec1_head) + SCALAR_BYTES + sizeof(sec1_tail)];
    if (scalar.len != SCALAR_BYTES)
        return NULL;
    memcpy(der, sec1_head, sizeof(sec1_head));
    memcpy(der + sizeof(sec1_head), scalar.data, SCALAR_BYTES);
    memcpy(der + sizeof(sec1_head) + SCALAR_BYTES, sec1_tail, sizeof(sec1_tail));
    EVP_PKEY *pkey = der_pkey(EVP_PKEY_EC, span_of(der, sizeof(der)));
    sodium_memzero(der, sizeof(der));
    return pkey;
}

static EVP_PKEY *pkey_of(enum key_type type, struct span data)
{
    switch (type) {
    case KEY_RSA:
        return der_pkey(EVP_PKEY_RSA, data);
    case KEY_ED25519:
        return data.len < ED25519_SEED_BYTES
                   ? NULL
                   : EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, data.data, ED25519_SEED_BYTES);
    case KEY_SECP256K1:
        return scalar_pkey(data);
    case KEY_ECDSA:
        return der_pkey(EVP_PKEY_EC, data);
    }
    return NULL;
}

/* ---- reading ---- */

static enum err compressed_point(EVP_PKEY *pkey, uint8_t to[COMPRESSED_BYTES])
{
    uint8_t point[POINT_BYTES];
    size_t len = 0;
    if (EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len) != 1)
        return ERR_INVALID;
    if (len == COMPRESSED_BYTES) {
        memcpy(to, point, COMPRESSED_BYTES);
        return ERR_OK;
    }
    if (len != POINT_BYTES || point[0] != 4)
        return ERR_INVALID;
    to[0] = (uint8_t)(2 + (point[POINT_BYTES - 1] & 1));
    memcpy(to + 1, point + 1, SCALAR_BYTES);
    return ERR_OK;
}

/* Fills in the public half from libcrypto's key. */
static enum err take_public(struct signing_key *key, EVP_PKEY *pkey)
{
    if (key->type == KEY_SECP256K1) {
        uint8_t point[COMPRESSED_BYTES];
        enum err err = compressed_point(pkey, point);
        if (err != ERR_OK)
            return err;
        return put_wrapper(key->type, span_of(point, sizeof(point)), key->public_key, sizeof(key->public_key),
                           &key->public_len);
    }
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(pkey, &der);
    if (len <= 0)
        return ERR_INVALID;
    enum err err =
        put_wrapper(key->type, span_of(der, (size_t)len), key->public_key, sizeof(key->public_key), &key->public_len);
    OPENSSL_free(der);
    return err;
}

static bool is_secp256k1(EVP_PKEY *pkey)
{
    char name[32] = "";
    return EVP_PKEY_get_group_name(pkey, name, sizeof(name), NULL) == 1 && strcmp(name, "secp256k1") == 0;
}

static enum err curve_is_known(EVP_PKEY *pkey)
{
    static const char *const curves[] = {"prime256v1", "secp384r1", "secp521r1", "secp224r1"};
    char name[32] = "";
    if (EVP_PKEY_get_group_name(pkey, name, sizeof(name), NULL) != 1)
        return ERR_UNSUPPORTED;
    for (size_t i = 0; i < ARRAY_LEN(curves); i++)
        if (strcmp(name, curves[i]) == 0)
            return ERR_OK;
    return ERR_UNSUPPORTED;
}

/* What public_key_verify of every other node would refuse is refused here. */
static enum err pkey_is_usable(enum key_type type, EVP_PKEY *pkey)
{
    if (type != KEY_RSA) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
        bool in_range = ctx != NULL && EVP_PKEY_private_check(ctx) == 1;
        EVP_PKEY_CTX_free(ctx);
        if (!in_range)
            return ERR_INVALID;
        return type == KEY_ECDSA ? curve_is_known(pkey) : ERR_OK;
    }
    int bits = EVP_PKEY_get_bits(pkey);
    return bits < KEY_RSA_BITS_MIN || bits > KEY_RSA_BITS_MAX ? ERR_INVALID : ERR_OK;
}

static enum err adopt_ed25519(struct signing_key *key, struct span protobuf)
{
    struct key_pair *pair = NULL;
    enum err err = key_pair_decode(protobuf, &pair);
    if (err != ERR_OK)
        return err;
    key_pair_encode(pair, key->secret); /* the old form, with the public half twice, becomes the new one */
    key->secret_len = ED25519_PRIVATE_KEY_BYTES;
    key->public_len = ED25519_PUBLIC_KEY_BYTES;
    memcpy(key->public_key, key_pair_public(pair).data, ED25519_PUBLIC_KEY_BYTES);
    key_pair_free(pair);
    return ERR_OK;
}

/* Whether the two halves belong together: what one signs the other verifies. */
static enum err check_halves(const struct signing_key *key)
{
    static const char message[] = "hearth";
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t len = 0;
    if (signing_key_sign(key, span_text(message), signature, &len) != ERR_OK)
        return ERR_INVALID;
    enum err err = public_key_verify(signing_key_public(key), span_text(message), span_of(signature, len));
    return err == ERR_AUTH ? ERR_INVALID : err;
}

static enum err adopt(struct signing_key *key, struct span protobuf)
{
    if (key->type == KEY_ED25519)
        return adopt_ed25519(key, protobuf);
    memcpy(key->secret, protobuf.data, protobuf.len);
    key->secret_len = protobuf.len;
    CLEANUP(pkey_free) EVP_PKEY *pkey = pkey_of(key->type, data_of(key));
    if (pkey == NULL)
        return ERR_INVALID;
    enum err err = pkey_is_usable(key->type, pkey);
    if (err == ERR_OK)
        err = take_public(key, pkey);
    return err == ERR_OK ? check_halves(key) : err;
}

/* Both fields, in order and nothing else. */
static enum err type_of(struct span protobuf, enum key_type *ret_type)
{
    struct protobuf_field first;
    struct protobuf_field second;
    if (protobuf.len == 0 || protobuf_next(&protobuf, &first) != ERR_OK || protobuf.len == 0 ||
        protobuf_next(&protobuf, &second) != ERR_OK || protobuf.len != 0)
        return ERR_INVALID;
    if (!protobuf_is(&first, FIELD_TYPE, PROTOBUF_VARINT) || !protobuf_is(&second, FIELD_DATA, PROTOBUF_BYTES))
        return ERR_INVALID;
    if (first.value > KEY_ECDSA)
        return ERR_UNSUPPORTED;
    *ret_type = (enum key_type)first.value;
    return ERR_OK;
}

enum err signing_key_decode(struct span protobuf, struct signing_key **ret_key)
{
    enum key_type type = KEY_ED25519;
    CLEANUP(key_drop) struct signing_key *key = NULL;
    if (protobuf.len > SIGNING_KEY_BYTES_MAX)
        return ERR_TOO_LARGE;
    enum err err = type_of(protobuf, &type);
    if (err == ERR_OK)
        err = key_alloc(type, &key);
    if (err == ERR_OK)
        err = adopt(key, protobuf);
    if (err != ERR_OK)
        return err;
    *ret_key = key;
    key = NULL;
    return ERR_OK;
}

/* The data of a private key protobuf, of a key that libcrypto holds. */
static enum err data_of_pkey(enum key_type type, EVP_PKEY *pkey, uint8_t *to, size_t to_bytes, size_t *ret_len)
{
    if (type == KEY_ED25519) {
        *ret_len = 2 * ED25519_SEED_BYTES;
        size_t seed = ED25519_SEED_BYTES;
        size_t half = ED25519_SEED_BYTES;
        bool got = EVP_PKEY_get_raw_private_key(pkey, to, &seed) == 1 &&
                   EVP_PKEY_get_raw_public_key(pkey, to + ED25519_SEED_BYTES, &half) == 1;
        return got ? ERR_OK : ERR_INVALID;
    }
    if (type == KEY_SECP256K1) {
        BIGNUM *scalar = NULL;
        if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) != 1)
            return ERR_INVALID;
        int written = BN_bn2binpad(scalar, to, SCALAR_BYTES);
        BN_clear_free(scalar);
        *ret_len = SCALAR_BYTES;
        return written == SCALAR_BYTES ? ERR_OK : ERR_INVALID;
    }
    int len = i2d_PrivateKey(pkey, NULL);
    if (len <= 0)
        return ERR_INVALID;
    if ((size_t)len > to_bytes)
        return ERR_TOO_LARGE;
    unsigned char *at = to;
    *ret_len = (size_t)len;
    return i2d_PrivateKey(pkey, &at) == len ? ERR_OK : ERR_INVALID;
}

static enum err key_of_pkey(enum key_type type, EVP_PKEY *pkey, struct signing_key **ret_key)
{
    uint8_t data[SIGNING_KEY_BYTES_MAX];
    uint8_t protobuf[SIGNING_KEY_BYTES_MAX];
    size_t data_len = 0;
    size_t len = 0;
    enum err err = data_of_pkey(type, pkey, data, sizeof(data), &data_len);
    if (err == ERR_OK)
        err = put_wrapper(type, span_of(data, data_len), protobuf, sizeof(protobuf), &len);
    if (err == ERR_OK)
        err = signing_key_decode(span_of(protobuf, len), ret_key);
    sodium_memzero(data, sizeof(data));
    sodium_memzero(protobuf, sizeof(protobuf));
    return err;
}

enum err signing_key_generate(enum key_type type, unsigned bits, struct signing_key **ret_key)
{
    bits = bits == 0 ? RSA_BITS_DEFAULT : bits;
    if (type == KEY_RSA && (bits < KEY_RSA_BITS_MIN || bits > KEY_RSA_BITS_MAX || bits % 8 != 0))
        return ERR_INVALID;
    EVP_PKEY *made = NULL;
    switch (type) {
    case KEY_RSA:
        made = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
        break;
    case KEY_ED25519:
        made = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        break;
    case KEY_SECP256K1:
        made = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp256k1");
        break;
    case KEY_ECDSA:
        made = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        break;
    }
    CLEANUP(pkey_free) EVP_PKEY *pkey = made;
    return pkey == NULL ? ERR_NOMEM : key_of_pkey(type, pkey, ret_key);
}

/* ---- PEM ---- */

static int no_password(char *to, int to_bytes, int writing, void *arg)
{
    (void)to;
    (void)to_bytes;
    (void)writing;
    (void)arg;
    return -1; /* an encrypted key is refused instead of asked about on the terminal */
}

enum err signing_key_decode_pem(struct span pem, struct signing_key **ret_key)
{
    if (pem.len > SIGNING_KEY_PEM_BYTES_MAX)
        return ERR_TOO_LARGE;
    CLEANUP(bio_free) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    if (bio == NULL)
        return ERR_NOMEM;
    CLEANUP(pkey_free) EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    if (pkey == NULL)
        return ERR_INVALID;
    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_RSA:
        return key_of_pkey(KEY_RSA, pkey, ret_key);
    case EVP_PKEY_ED25519:
        return key_of_pkey(KEY_ED25519, pkey, ret_key);
    case EVP_PKEY_EC:
        return key_of_pkey(is_secp256k1(pkey) ? KEY_SECP256K1 : KEY_ECDSA, pkey, ret_key);
    default:
        return ERR_UNSUPPORTED;
    }
}

enum err signing_key_encode_pem(const struct signing_key *key, uint8_t to[SIGNING_KEY_PEM_BYTES_MAX], size_t *ret_len)
{
    CLEANUP(pkey_free) EVP_PKEY *pkey = pkey_of(key->type, data_of(key));
    CLEANUP(bio_free) BIO *bio = BIO_new(BIO_s_secmem());
    if (pkey == NULL || bio == NULL)
        return ERR_NOMEM;
    if (PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) != 1)
        return ERR_NOMEM;
    char *text = NULL;
    long len = BIO_get_mem_data(bio, &text);
    if (len <= 0 || len > SIGNING_KEY_PEM_BYTES_MAX)
        return ERR_INTERNAL;
    memcpy(to, text, (size_t)len);
    OPENSSL_cleanse(text, (size_t)len);
    *ret_len = (size_t)len;
    return ERR_OK;
}

/* ---- using ---- */

struct span signing_key_secret(const struct signing_key *key)
{
    return span_of(key->secret, key->secret_len);
}

enum key_type signing_key_type(const struct signing_key *key)
{
    return key->type;
}

struct span signing_key_public(const struct signing_key *key)
{
    return span_of(key->public_key, key->public_len);
}

struct peer_id signing_key_peer_id(const struct signing_key *key)
{
    return peer_id_of_key(signing_key_public(key));
}

static enum err sign_sha256(EVP_PKEY *pkey, struct span message, uint8_t *to, size_t *ret_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = SIGNATURE_BYTES_MAX;
    if (ctx == NULL)
        return ERR_NOMEM;
    bool good = EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
                EVP_DigestSign(ctx, to, &len, message.data, message.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (good)
        *ret_len = len;
    return good ? ERR_OK : ERR_INTERNAL;
}

/* s is at most half the order of secp256k1: of the two forms of a signature, the one that strict readers take. */
static bool has_low_s(const uint8_t *signature, size_t len)
{
    static const uint8_t half[SCALAR_BYTES] = {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                               0xff, 0xff, 0xff, 0xff, 0xff, 0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4,
                                               0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0};
    ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &signature, (long)len);
    uint8_t s[SCALAR_BYTES];
    bool low = parts != NULL && BN_bn2binpad(ECDSA_SIG_get0_s(parts), s, SCALAR_BYTES) == SCALAR_BYTES &&
               span_compare(span_of(s, sizeof(s)), span_of(half, sizeof(half))) <= 0;
    ECDSA_SIG_free(parts);
    return low;
}

enum err signing_key_sign(const struct signing_key *key, struct span message, uint8_t to[SIGNATURE_BYTES_MAX],
                          size_t *ret_len)
{
    if (key->type == KEY_ED25519) {
        *ret_len = ED25519_SIGNATURE_BYTES;
        (void)crypto_sign_detached(to, NULL, message.data, message.len, data_of(key).data);
        return ERR_OK;
    }
    CLEANUP(pkey_free) EVP_PKEY *pkey = pkey_of(key->type, data_of(key));
    if (pkey == NULL)
        return ERR_NOMEM;
    enum err err = sign_sha256(pkey, message, to, ret_len);
    /* each attempt has a nonce of its own, so each is low with probability one half */
    for (int i = 0; key->type == KEY_SECP256K1 && err == ERR_OK && i < LOW_S_ATTEMPTS && !has_low_s(to, *ret_len); i++)
        err = sign_sha256(pkey, message, to, ret_len);
    return err;
}
