/* SPDX-License-Identifier: MIT */
#include "wire/tls_certificate.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "wire/keys.h"

static const char extension_oid[] = "1.3.6.1.4.1.53594.1.1";
static const char signature_domain[] = "libp2p-tls-handshake:";

enum { DOMAIN_BYTES = sizeof(signature_domain) - 1, SPKI_MAX = 4096, SERIAL = 1 };

/* SignedKey of the specification, in OpenSSL's ASN.1 templates. */
struct signed_key {
    ASN1_OCTET_STRING *public_key;
    ASN1_OCTET_STRING *signature;
};

/* clang-format off */
typedef struct signed_key SIGNED_KEY;
ASN1_SEQUENCE(SIGNED_KEY) = {
    ASN1_SIMPLE(SIGNED_KEY, public_key, ASN1_OCTET_STRING),
    ASN1_SIMPLE(SIGNED_KEY, signature, ASN1_OCTET_STRING)
} static_ASN1_SEQUENCE_END(SIGNED_KEY)
    /* clang-format on */

    static struct span octets(const ASN1_OCTET_STRING *s)
{
    return span_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

/* "libp2p-tls-handshake:" and the SubjectPublicKeyInfo. */
static enum err signed_text(X509 *certificate, struct buf *out)
{
    uint8_t *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);
    if (len <= 0)
        return ERR_INTERNAL;
    enum err err = buf_append(out, signature_domain, DOMAIN_BYTES);
    if (err == ERR_OK)
        err = buf_append(out, spki, (size_t)len);
    OPENSSL_free(spki);
    return err;
}

/* ---- our own ---- */

static enum err sign_extension(const struct key_pair *pair, X509 *certificate, struct signed_key *key)
{
    struct buf text;
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    buf_init(&text, DOMAIN_BYTES + SPKI_MAX, NULL);
    enum err err = signed_text(certificate, &text);
    if (err == ERR_OK) {
        struct span public_key = key_pair_public(pair);
        key_pair_sign(pair, buf_span(&text), signature);
        if (ASN1_OCTET_STRING_set(key->public_key, public_key.data, (int)public_key.len) != 1 ||
            ASN1_OCTET_STRING_set(key->signature, signature, sizeof(signature)) != 1)
            err = ERR_NOMEM;
    }
    buf_release(&text);
    return err;
}

static enum err add_extension(const struct key_pair *pair, X509 *certificate)
{
    struct signed_key *key = (struct signed_key *)ASN1_item_new(ASN1_ITEM_rptr(SIGNED_KEY));
    ASN1_OBJECT *oid = OBJ_txt2obj(extension_oid, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension = NULL;
    uint8_t *der = NULL;
    int len = -1;
    enum err err = key == NULL || oid == NULL || value == NULL ? ERR_NOMEM : sign_extension(pair, certificate, key);
    if (err == ERR_OK)
        len = ASN1_item_i2d((const ASN1_VALUE *)key, &der, ASN1_ITEM_rptr(SIGNED_KEY));
    if (err == ERR_OK && (len <= 0 || ASN1_OCTET_STRING_set(value, der, len) != 1))
        err = ERR_NOMEM;
    if (err == ERR_OK)
        extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, value);
    if (err == ERR_OK && (extension == NULL || X509_add_ext(certificate, extension, -1) != 1))
        err = ERR_NOMEM;
    X509_EXTENSION_free(extension);
    OPENSSL_free(der);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
    ASN1_item_free((ASN1_VALUE *)key, ASN1_ITEM_rptr(SIGNED_KEY));
    return err;
}

/* Valid from 1975 to 4096, as rust's are: the certificate lives as long as the process, and no clock is needed to make it. */
static enum err fill(X509 *certificate, EVP_PKEY *key)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    bool ok = X509_set_version(certificate, X509_VERSION_3) == 1 &&
              ASN1_INTEGER_set(X509_get_serialNumber(certificate), SERIAL) == 1 &&
              ASN1_TIME_set_string(X509_getm_notBefore(certificate), "19750101000000Z") == 1 &&
              ASN1_TIME_set_string(X509_getm_notAfter(certificate), "40960101000000Z") == 1 &&
              X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"libp2p.io", -1, -1, 0) == 1 &&
              X509_set_issuer_name(certificate, name) == 1 && X509_set_pubkey(certificate, key) == 1;
    return ok ? ERR_OK : ERR_INTERNAL;
}

enum err tls_certificate_new(const struct key_pair *pair, EVP_PKEY **ret_key, X509 **ret_certificate)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    enum err err = key == NULL || certificate == NULL ? ERR_NOMEM : fill(certificate, key);
    if (err == ERR_OK)
        err = add_extension(pair, certificate);
    if (err == ERR_OK && X509_sign(certificate, key, EVP_sha256()) <= 0)
        err = ERR_INTERNAL;
    if (err != ERR_OK) {
        EVP_PKEY_free(key);
        X509_free(certificate);
        return err;
    }
    *ret_key = key;
    *ret_certificate = certificate;
    return ERR_OK;
}

/* ---- the peer's ---- */

static bool is_valid_at(const X509 *certificate, uint64_t wall_clock_s)
{
    time_t at = (time_t)wall_clock_s;
    return X509_cmp_time(X509_get0_notBefore(certificate), &at) < 0 &&
           X509_cmp_time(X509_get0_notAfter(certificate), &at) > 0;
}

/* Hashes that no certificate may be signed with any more: only SHA-2 is taken, or a scheme that hashes by itself. */
static bool has_good_signature(X509 *certificate)
{
    int md = NID_undef;
    int pk = NID_undef;
    if (X509_get_signature_info(certificate, &md, &pk, NULL, NULL) != 1)
        return false;
    if (md != NID_sha256 && md != NID_sha384 && md != NID_sha512 && !(md == NID_undef && pk == NID_ED25519))
        return false;
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    if (key == NULL || (EVP_PKEY_is_a(key, "RSA") &&
                        (EVP_PKEY_get_bits(key) < KEY_RSA_BITS_MIN || EVP_PKEY_get_bits(key) > KEY_RSA_BITS_MAX)))
        return false;
    return X509_verify(certificate, key) == 1;
}

/* The libp2p extension's value, NULL when there is none, more than one, or a critical extension that we do not know. */
static const ASN1_OCTET_STRING *find_extension(const X509 *certificate)
{
    const ASN1_OCTET_STRING *found = NULL;
    for (int i = 0; i < X509_get_ext_count(certificate); i++) {
        X509_EXTENSION *extension = X509_get_ext(certificate, i);
        char oid[64];
        int len = OBJ_obj2txt(oid, sizeof(oid), X509_EXTENSION_get_object(extension), 1);
        bool ours = len > 0 && strcmp(oid, extension_oid) == 0;
        if (ours && found != NULL)
            return NULL;
        if (ours)
            found = X509_EXTENSION_get_data(extension);
        else if (X509_EXTENSION_get_critical(extension) == 1 && X509_supported_extension(extension) != 1)
            return NULL;
    }
    return found;
}

static enum err check_signed_key(X509 *certificate, const struct signed_key *key, struct buf *out)
{
    struct span public_key = octets(key->public_key);
    struct span signature = octets(key->signature);
    struct buf text;
    buf_init(&text, DOMAIN_BYTES + SPKI_MAX, NULL);
    if (public_key.len > PUBLIC_KEY_BYTES_MAX || signature.len > SIGNATURE_BYTES_MAX)
        return ERR_AUTH;
    enum err err = signed_text(certificate, &text);
    if (err == ERR_OK)
        err = public_key_verify(public_key, buf_span(&text), signature);
    buf_release(&text);
    return err == ERR_OK ? buf_append_span(out, public_key) : ERR_AUTH;
}

enum err tls_certificate_check_x509(X509 *certificate, uint64_t wall_clock_s, struct buf *key)
{
    if (wall_clock_s != 0 && !is_valid_at(certificate, wall_clock_s))
        return ERR_AUTH;
    const ASN1_OCTET_STRING *value = find_extension(certificate);
    if (value == NULL || !has_good_signature(certificate)) {
        ERR_clear_error();
        return ERR_AUTH;
    }
    struct span der = octets(value);
    const unsigned char *at = der.data;
    struct signed_key *parsed =
        (struct signed_key *)ASN1_item_d2i(NULL, &at, (long)der.len, ASN1_ITEM_rptr(SIGNED_KEY));
    enum err err = ERR_AUTH;
    if (parsed != NULL && at == der.data + der.len)
        err = check_signed_key(certificate, parsed, key);
    ASN1_item_free((ASN1_VALUE *)parsed, ASN1_ITEM_rptr(SIGNED_KEY));
    ERR_clear_error();
    return err;
}

enum err tls_certificate_check(struct span der, uint64_t wall_clock_s, struct buf *key)
{
    const unsigned char *at = der.data;
    X509 *certificate = der.len > TLS_CERTIFICATE_MAX ? NULL : d2i_X509(NULL, &at, (long)der.len);
    enum err err = ERR_AUTH;
    if (certificate != NULL && at == der.data + der.len)
        err = tls_certificate_check_x509(certificate, wall_clock_s, key);
    X509_free(certificate);
    ERR_clear_error();
    return err;
}
