/* SPDX-License-Identifier: MIT */
#include "wire/swarm_key.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>

enum { FINGERPRINT_STREAM_BYTES = 64 };

static const char kind[] = "/key/swarm/psk/1.0.0/";

/* Takes a line off text, without its end. */
static struct span take_line(struct span *text)
{
    const uint8_t *end = text->len == 0 ? NULL : memchr(text->data, '\n', text->len);
    struct span line = end == NULL ? *text : span_of(text->data, (size_t)(end - text->data));
    *text = span_skip(*text, line.len + 1);
    while (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    return line;
}

static struct span trim(struct span text)
{
    for (; text.len > 0; text.len--) {
        uint8_t last = text.data[text.len - 1];
        if (last != ' ' && last != '\t' && last != '\r' && last != '\n')
            break;
    }
    return text;
}

static enum err exactly(size_t len, int failed)
{
    if (len < PNET_KEY_BYTES && failed == 0)
        return ERR_TRUNCATED;
    return failed != 0 || len != PNET_KEY_BYTES ? ERR_INVALID : ERR_OK;
}

static enum err from_hex(struct span text, uint8_t key[PNET_KEY_BYTES])
{
    size_t len = 0;
    const char *end = NULL;
    int failed = sodium_hex2bin(key, PNET_KEY_BYTES, (const char *)text.data, text.len, NULL, &len, &end);
    return exactly(len, failed != 0 || end != (const char *)text.data + text.len);
}

static enum err from_base64(struct span text, uint8_t key[PNET_KEY_BYTES])
{
    size_t len = 0;
    const char *end = NULL;
    int failed = sodium_base642bin(key, PNET_KEY_BYTES, (const char *)text.data, text.len, NULL, &len, &end,
                                   sodium_base64_VARIANT_ORIGINAL);
    return exactly(len, failed != 0 || end != (const char *)text.data + text.len);
}

/* The last bytes of a key may look like white space: only what is beyond it is dropped. */
static enum err from_bytes(struct span bytes, uint8_t key[PNET_KEY_BYTES])
{
    if (bytes.len < PNET_KEY_BYTES)
        return ERR_TRUNCATED;
    memcpy(key, bytes.data, PNET_KEY_BYTES);
    return trim(span_skip(bytes, PNET_KEY_BYTES)).len == 0 ? ERR_OK : ERR_INVALID;
}

static enum err decode(struct span text, uint8_t key[PNET_KEY_BYTES])
{
    struct span rest = text;
    struct span first = take_line(&rest);
    if (rest.len == 0 && trim(first).len == (size_t)2 * PNET_KEY_BYTES && first.data[0] != '/')
        return from_hex(trim(first), key);
    if (!span_equal_text(first, kind))
        return ERR_UNSUPPORTED;
    struct span encoding = take_line(&rest);
    if (span_equal_text(encoding, "/base16/"))
        return from_hex(trim(rest), key);
    if (span_equal_text(encoding, "/base64/"))
        return from_base64(trim(rest), key);
    return span_equal_text(encoding, "/bin/") ? from_bytes(rest, key) : ERR_UNSUPPORTED;
}

enum err swarm_key_parse(struct span text, uint8_t ret_key[PNET_KEY_BYTES])
{
    uint8_t key[PNET_KEY_BYTES] = {0};
    enum err err = text.len > SWARM_KEY_TEXT_MAX ? ERR_INVALID : decode(text, key);
    if (err == ERR_OK)
        memcpy(ret_key, key, sizeof(key));
    sodium_memzero(key, sizeof(key));
    return err;
}

/* The key does not go into the hash itself: neither function alone, if broken, gives it away. */
enum err swarm_key_fingerprint(const uint8_t key[PNET_KEY_BYTES], uint8_t ret_fingerprint[SWARM_KEY_FINGERPRINT_BYTES])
{
    static const uint8_t nonce[crypto_stream_salsa20_NONCEBYTES] = {'f', 'i', 'n', 'p', 'r', 'i', 'n', 't'};
    uint8_t stream[FINGERPRINT_STREAM_BYTES];
    (void)crypto_stream_salsa20(stream, sizeof(stream), nonce, key);
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool done = hash != NULL && EVP_DigestInit_ex(hash, EVP_shake128(), NULL) == 1 &&
                EVP_DigestUpdate(hash, stream, sizeof(stream)) == 1 &&
                EVP_DigestFinalXOF(hash, ret_fingerprint, SWARM_KEY_FINGERPRINT_BYTES) == 1;
    EVP_MD_CTX_free(hash);
    sodium_memzero(stream, sizeof(stream));
    return done ? ERR_OK : ERR_INTERNAL;
}
