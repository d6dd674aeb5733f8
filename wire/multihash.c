/* SPDX-License-Identifier: MIT */
/*
 * The functions come from libcrypto, because SHA-256 is on the data path and libcrypto's is five times libsodium's; blake2b of
 * any length is libsodium's, libcrypto 3.0 has only the 64-byte one. Algorithms are fetched once per process: a fetch per block
 * would take a lock and a lookup.
 */
#include "wire/multihash.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <sodium.h>

#include "wire/varint.h"

enum { DIGEST_SIZE_MAX = 64, BLAKE2B_BASE = 0xb200 };

struct function {
    uint32_t code;
    uint8_t size;
    const char *name;    /* as registered */
    const char *libname; /* as libcrypto knows it */
};

static const struct function functions[] = {
    {MULTIHASH_SHA2_256, 32, "sha2-256", "SHA256"},
    {MULTIHASH_SHA2_512, 64, "sha2-512", "SHA512"},
    {MULTIHASH_SHA1, 20, "sha1", "SHA1"},
    {MULTIHASH_SHA3_512, 64, "sha3-512", "SHA3-512"},
    {MULTIHASH_SHA3_384, 48, "sha3-384", "SHA3-384"},
    {MULTIHASH_SHA3_256, 32, "sha3-256", "SHA3-256"},
    {MULTIHASH_SHA3_224, 28, "sha3-224", "SHA3-224"},
    {MULTIHASH_SHAKE_256, 64, "shake-256", "SHAKE256"},
    {MULTIHASH_DBL_SHA2_256, 32, "dbl-sha2-256", "SHA256"},
    {MULTIHASH_BLAKE2S_256, 32, "blake2s-256", "BLAKE2S-256"},
};

static EVP_MD *fetched[ARRAY_LEN(functions)];
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;

static void fetch_all(void)
{
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        fetched[i] = EVP_MD_fetch(NULL, functions[i].libname, NULL);
}

static bool is_blake2b(uint32_t code)
{
    return code >= MULTIHASH_BLAKE2B_160 && code <= MULTIHASH_BLAKE2B_512;
}

static const struct function *function_find(uint32_t code)
{
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        if (functions[i].code == code)
            return &functions[i];
    return NULL;
}

static const EVP_MD *function_md(const struct function *f)
{
    (void)pthread_once(&fetch_once, fetch_all);
    return fetched[f - functions];
}

enum err multihash_decode(struct span *in, struct multihash *ret_hash)
{
    struct span rest = *in;
    uint64_t code = 0;
    uint64_t len = 0;
    enum err err = varint_decode(&rest, &code);
    if (err == ERR_OK)
        err = varint_decode(&rest, &len);
    if (err != ERR_OK)
        return err;
    if (code > UINT32_MAX)
        return ERR_UNSUPPORTED;
    if (len > MULTIHASH_DIGEST_MAX)
        return ERR_TOO_LARGE;
    if (len > rest.len)
        return ERR_TRUNCATED;
    struct multihash hash = {.code = (uint32_t)code, .len = (uint8_t)len};
    if (len > 0)
        memcpy(hash.digest, rest.data, len);
    *in = span_skip(rest, len);
    *ret_hash = hash;
    return ERR_OK;
}

enum err multihash_parse(struct span in, struct multihash *ret_hash)
{
    struct multihash hash;
    enum err err = multihash_decode(&in, &hash);
    if (err != ERR_OK)
        return err;
    if (in.len != 0)
        return ERR_INVALID;
    *ret_hash = hash;
    return ERR_OK;
}

size_t multihash_encode(const struct multihash *hash, uint8_t to[MULTIHASH_BYTES_MAX])
{
    uint8_t head[2 * VARINT_BYTES_MAX];
    size_t n = varint_encode(hash->code, head);
    n += varint_encode(hash->len, head + n);
    memcpy(to, head, n);
    memcpy(to + n, hash->digest, hash->len);
    return n + hash->len;
}

bool multihash_equal(const struct multihash *a, const struct multihash *b)
{
    return a->code == b->code && a->len == b->len && memcmp(a->digest, b->digest, a->len) == 0;
}

size_t multihash_digest_size(uint32_t code)
{
    if (is_blake2b(code))
        return code - BLAKE2B_BASE;
    const struct function *f = function_find(code);
    return f == NULL ? 0 : f->size;
}

static enum err length_allowed(uint32_t code, size_t len)
{
    size_t full = multihash_digest_size(code);
    return len >= MULTIHASH_DIGEST_MIN && len <= full ? ERR_OK : ERR_UNSUPPORTED;
}

enum err multihash_allowed(const struct multihash *hash)
{
    return hash->code == MULTIHASH_IDENTITY ? ERR_OK : length_allowed(hash->code, hash->len);
}

static enum err digest_once(const struct function *f, struct span data, uint8_t to[DIGEST_SIZE_MAX])
{
    const EVP_MD *md = function_md(f);
    if (md == NULL)
        return ERR_UNSUPPORTED;
    if (f->code == MULTIHASH_SHAKE_256) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) && EVP_DigestUpdate(ctx, data.data, data.len) &&
                  EVP_DigestFinalXOF(ctx, to, f->size);
        EVP_MD_CTX_free(ctx);
        return ok ? ERR_OK : ERR_NOMEM;
    }
    if (!EVP_Digest(data.data, data.len, to, NULL, md, NULL))
        return ERR_NOMEM;
    if (f->code == MULTIHASH_DBL_SHA2_256 && !EVP_Digest(to, f->size, to, NULL, md, NULL))
        return ERR_NOMEM;
    return ERR_OK;
}

static enum err digest_sum(uint32_t code, struct span data, uint8_t to[DIGEST_SIZE_MAX])
{
    if (!is_blake2b(code))
        return digest_once(function_find(code), data, to);
    return crypto_generichash(to, code - BLAKE2B_BASE, data.data, data.len, NULL, 0) == 0 ? ERR_OK : ERR_INTERNAL;
}

static enum err identity_of(struct span data, struct multihash *ret_hash)
{
    if (data.len > MULTIHASH_DIGEST_MAX)
        return ERR_TOO_LARGE;
    struct multihash hash = {.code = MULTIHASH_IDENTITY, .len = (uint8_t)data.len};
    if (data.len > 0)
        memcpy(hash.digest, data.data, data.len);
    *ret_hash = hash;
    return ERR_OK;
}

enum err multihash_sum(uint32_t code, size_t len_bytes, struct span data, struct multihash *ret_hash)
{
    if (code == MULTIHASH_IDENTITY)
        return len_bytes == 0 || len_bytes == data.len ? identity_of(data, ret_hash) : ERR_UNSUPPORTED;
    size_t len = len_bytes == 0 ? multihash_digest_size(code) : len_bytes;
    enum err err = length_allowed(code, len);
    if (err != ERR_OK)
        return err;
    uint8_t digest[DIGEST_SIZE_MAX];
    err = digest_sum(code, data, digest);
    if (err != ERR_OK)
        return err;
    struct multihash hash = {.code = code, .len = (uint8_t)len};
    memcpy(hash.digest, digest, len);
    *ret_hash = hash;
    return ERR_OK;
}

enum err multihash_verify(const struct multihash *hash, struct span data)
{
    if (hash->code == MULTIHASH_IDENTITY)
        return span_equal(data, span_of(hash->digest, hash->len)) ? ERR_OK : ERR_CORRUPT;
    struct multihash computed;
    enum err err = multihash_allowed(hash);
    if (err == ERR_OK)
        err = multihash_sum(hash->code, hash->len, data, &computed);
    if (err != ERR_OK)
        return err;
    return multihash_equal(hash, &computed) ? ERR_OK : ERR_CORRUPT;
}

bool multihash_name(uint32_t code, char to[MULTIHASH_NAME_MAX])
{
    const struct function *f = function_find(code);
    if (code == MULTIHASH_IDENTITY)
        (void)snprintf(to, MULTIHASH_NAME_MAX, "identity");
    else if (is_blake2b(code))
        (void)snprintf(to, MULTIHASH_NAME_MAX, "blake2b-%u", (unsigned)(code - BLAKE2B_BASE) * 8);
    else if (f != NULL)
        (void)snprintf(to, MULTIHASH_NAME_MAX, "%s", f->name);
    else
        return false;
    return true;
}

enum err multihash_code_of(const char *name, uint32_t *ret_code)
{
    char candidate[MULTIHASH_NAME_MAX];
    for (uint32_t code = MULTIHASH_BLAKE2B_160; code <= MULTIHASH_BLAKE2B_512; code++) {
        if (multihash_name(code, candidate) && strcmp(candidate, name) == 0) {
            *ret_code = code;
            return ERR_OK;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        if (strcmp(functions[i].name, name) == 0) {
            *ret_code = functions[i].code;
            return ERR_OK;
        }
    }
    if (strcmp(name, "identity") != 0)
        return ERR_UNSUPPORTED;
    *ret_code = MULTIHASH_IDENTITY;
    return ERR_OK;
}

void sha256_sum(struct span data, uint8_t to[SHA256_BYTES])
{
    const EVP_MD *md = function_md(&functions[0]);
    if (md == NULL || !EVP_Digest(data.data, data.len, to, NULL, md, NULL))
        (void)crypto_hash_sha256(to, data.data, data.len);
}

struct multihasher {
    uint32_t code;
    EVP_MD_CTX *evp; /* NULL for blake2b */
    crypto_generichash_state blake2b;
};

enum err multihasher_new(uint32_t code, struct multihasher **ret_hasher)
{
    const struct function *f = function_find(code);
    if (f == NULL && !is_blake2b(code))
        return ERR_UNSUPPORTED;
    struct multihasher *h = NULL;
    /* libsodium's state wants 64-byte alignment, more than malloc promises */
    if (posix_memalign((void **)&h, 64, (sizeof(*h) + 63) / 64 * 64) != 0)
        return ERR_NOMEM;
    *h = (struct multihasher){.code = code};
    bool ok = false;
    if (f == NULL) {
        ok = crypto_generichash_init(&h->blake2b, NULL, 0, code - BLAKE2B_BASE) == 0;
    } else {
        h->evp = EVP_MD_CTX_new();
        ok = h->evp != NULL && function_md(f) != NULL && EVP_DigestInit_ex(h->evp, function_md(f), NULL);
    }
    if (!ok) {
        multihasher_free(h);
        return ERR_NOMEM;
    }
    *ret_hasher = h;
    return ERR_OK;
}

enum err multihasher_update(struct multihasher *hasher, struct span data)
{
    if (data.len == 0)
        return ERR_OK;
    bool ok = hasher->evp != NULL ? EVP_DigestUpdate(hasher->evp, data.data, data.len) == 1
                                  : crypto_generichash_update(&hasher->blake2b, data.data, data.len) == 0;
    return ok ? ERR_OK : ERR_INTERNAL;
}

static bool evp_final(struct multihasher *hasher, uint8_t *to, size_t size)
{
    if (hasher->code == MULTIHASH_SHAKE_256)
        return EVP_DigestFinalXOF(hasher->evp, to, size) == 1;
    if (!EVP_DigestFinal_ex(hasher->evp, to, NULL))
        return false;
    if (hasher->code == MULTIHASH_DBL_SHA2_256)
        sha256_sum(span_of(to, SHA256_BYTES), to);
    return true;
}

enum err multihasher_final(struct multihasher *hasher, struct multihash *ret_hash)
{
    struct multihash hash = {.code = hasher->code, .len = (uint8_t)multihash_digest_size(hasher->code)};
    bool ok = hasher->evp != NULL ? evp_final(hasher, hash.digest, hash.len)
                                  : crypto_generichash_final(&hasher->blake2b, hash.digest, hash.len) == 0;
    if (!ok)
        return ERR_INTERNAL;
    *ret_hash = hash;
    return ERR_OK;
}

void multihasher_free(struct multihasher *hasher)
{
    if (hasher == NULL)
        return;
    EVP_MD_CTX_free(hasher->evp);
    free(hasher);
}
