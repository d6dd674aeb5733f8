/* SPDX-License-Identifier: MIT */
#include "wire/multibase.h"

#include <string.h>

struct alphabet {
    enum multibase base;
    const char *name;
    const char *chars;
    uint8_t bits; /* per character; 0: one large number */
    bool padded;
    bool one_case; /* the other case is read too */
};

#define LOWER32    "abcdefghijklmnopqrstuvwxyz234567"
#define UPPER32    "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
#define LOWER32HEX "0123456789abcdefghijklmnopqrstuv"
#define UPPER32HEX "0123456789ABCDEFGHIJKLMNOPQRSTUV"
#define LOWER36    "0123456789abcdefghijklmnopqrstuvwxyz"
#define UPPER36    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LETTERS64  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const struct alphabet alphabets[] = {
    {MULTIBASE_2, "base2", "01", 1, false, false},
    {MULTIBASE_8, "base8", "01234567", 3, false, false},
    {MULTIBASE_10, "base10", "0123456789", 0, false, false},
    {MULTIBASE_16, "base16", "0123456789abcdef", 4, false, true},
    {MULTIBASE_16_UPPER, "base16upper", "0123456789ABCDEF", 4, false, true},
    {MULTIBASE_32_HEX, "base32hex", LOWER32HEX, 5, false, true},
    {MULTIBASE_32_HEX_UPPER, "base32hexupper", UPPER32HEX, 5, false, true},
    {MULTIBASE_32_HEX_PAD, "base32hexpad", LOWER32HEX, 5, true, true},
    {MULTIBASE_32_HEX_PAD_UPPER, "base32hexpadupper", UPPER32HEX, 5, true, true},
    {MULTIBASE_32, "base32", LOWER32, 5, false, true},
    {MULTIBASE_32_UPPER, "base32upper", UPPER32, 5, false, true},
    {MULTIBASE_32_PAD, "base32pad", LOWER32, 5, true, true},
    {MULTIBASE_32_PAD_UPPER, "base32padupper", UPPER32, 5, true, true},
    {MULTIBASE_32_Z, "base32z", "ybndrfg8ejkmcpqxot1uwisza345h769", 5, false, false},
    {MULTIBASE_36, "base36", LOWER36, 0, false, true},
    {MULTIBASE_36_UPPER, "base36upper", UPPER36, 0, false, true},
    {MULTIBASE_58_BTC, "base58btc", "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", 0, false, false},
    {MULTIBASE_58_FLICKR, "base58flickr", "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ", 0, false,
     false},
    {MULTIBASE_64, "base64", LETTERS64 "+/", 6, false, false},
    {MULTIBASE_64_PAD, "base64pad", LETTERS64 "+/", 6, true, false},
    {MULTIBASE_64_URL, "base64url", LETTERS64 "-_", 6, false, false},
    {MULTIBASE_64_URL_PAD, "base64urlpad", LETTERS64 "-_", 6, true, false},
};

static const struct alphabet *alphabet_of(enum multibase base)
{
    for (size_t i = 0; i < ARRAY_LEN(alphabets); i++)
        if (alphabets[i].base == base)
            return &alphabets[i];
    return NULL;
}

enum err multibase_of(char prefix, enum multibase *ret_base)
{
    for (size_t i = 0; i < ARRAY_LEN(alphabets); i++) {
        if ((char)alphabets[i].base == prefix) {
            *ret_base = alphabets[i].base;
            return ERR_OK;
        }
    }
    return ERR_UNSUPPORTED;
}

enum err multibase_of_name(const char *name, enum multibase *ret_base)
{
    for (size_t i = 0; i < ARRAY_LEN(alphabets); i++) {
        if (strcmp(alphabets[i].name, name) == 0) {
            *ret_base = alphabets[i].base;
            return ERR_OK;
        }
    }
    return ERR_UNSUPPORTED;
}

const char *multibase_name(enum multibase base)
{
    const struct alphabet *a = alphabet_of(base);
    return a == NULL ? "unknown" : a->name;
}

static size_t radix(const struct alphabet *a)
{
    return strlen(a->chars);
}

/* Characters in which the groups come out even: what padding fills up to. */
static size_t group_chars(const struct alphabet *a)
{
    return a->bits == 5 ? 8 : 4;
}

size_t multibase_text_max(enum multibase base, size_t len)
{
    const struct alphabet *a = alphabet_of(base);
    if (a == NULL)
        return 0;
    if (a->bits == 0)
        return radix(a) == 10 ? len * 5 / 2 + 1 : len * 8 / 5 + 1; /* log10(256) < 2.5, log36(256) < 1.6 */
    size_t chars = len / a->bits * 8 + (len % a->bits * 8 + a->bits - 1) / a->bits;
    return a->padded ? chars + group_chars(a) : chars;
}

size_t multibase_bytes_max(enum multibase base, size_t chars)
{
    const struct alphabet *a = alphabet_of(base);
    if (a == NULL)
        return 0;
    return a->bits == 0 ? chars : chars / 8 * a->bits + chars % 8 * a->bits / 8;
}

/* The value of each character, 0xff for foreign ones. */
static void reverse(const struct alphabet *a, uint8_t values[256])
{
    memset(values, 0xff, 256);
    for (size_t i = 0; a->chars[i] != '\0'; i++) {
        uint8_t c = (uint8_t)a->chars[i];
        values[c] = (uint8_t)i;
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (a->one_case && letter)
            values[c ^ 0x20] = (uint8_t)i;
    }
}

static enum err groups_encode(const struct alphabet *a, struct span data, char *to, size_t cap, size_t *ret_len)
{
    if (cap < multibase_text_max(a->base, data.len))
        return ERR_TOO_LARGE;
    uint32_t mask = (1u << a->bits) - 1;
    uint32_t pending = 0;
    unsigned bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < data.len; i++) {
        pending = pending << 8 | data.data[i];
        bits += 8;
        for (; bits >= a->bits; bits -= a->bits)
            to[n++] = a->chars[pending >> (bits - a->bits) & mask];
    }
    if (bits > 0)
        to[n++] = a->chars[pending << (a->bits - bits) & mask];
    while (a->padded && n % group_chars(a) != 0)
        to[n++] = '=';
    *ret_len = n;
    return ERR_OK;
}

/* Removes exact padding; false when it is missing, too long or not allowed here. */
static bool unpad(const struct alphabet *a, struct span *text)
{
    if (!a->padded)
        return true;
    size_t group = group_chars(a);
    if (text->len % group != 0)
        return false;
    size_t pad = 0;
    while (pad < text->len && pad < group && text->data[text->len - 1 - pad] == '=')
        pad++;
    text->len -= pad;
    size_t left = text->len % group;
    return pad == (left == 0 ? 0 : group - left);
}

static enum err groups_decode(const struct alphabet *a, struct span text, uint8_t *to, size_t cap, size_t *ret_len)
{
    uint8_t values[256];
    reverse(a, values);
    if (!unpad(a, &text))
        return ERR_INVALID;
    uint32_t pending = 0;
    unsigned bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t value = values[text.data[i]];
        if (value == 0xff)
            return ERR_INVALID;
        pending = pending << a->bits | value;
        bits += a->bits;
        if (bits < 8)
            continue;
        if (n == cap)
            return ERR_TOO_LARGE;
        bits -= 8;
        to[n++] = (uint8_t)(pending >> bits);
    }
    if (bits >= a->bits || (pending & ((1u << bits) - 1)) != 0)
        return ERR_INVALID;
    *ret_len = n;
    return ERR_OK;
}

/* Multiplies the little-endian number of *len digits by factor, adds carry, and lets it grow; every digit is below base. */
static void number_step(uint8_t *digits, size_t *len, uint32_t base, uint32_t factor, uint32_t carry)
{
    for (size_t i = 0; i < *len; i++) {
        carry += digits[i] * factor;
        digits[i] = (uint8_t)(carry % base);
        carry /= base;
    }
    while (carry > 0) {
        digits[(*len)++] = (uint8_t)(carry % base);
        carry /= base;
    }
}

static enum err number_encode(const struct alphabet *a, struct span data, char *to, size_t cap, size_t *ret_len)
{
    uint8_t digits[MULTIBASE_NUMBER_MAX * 5 / 2 + 1];
    if (data.len > MULTIBASE_NUMBER_MAX)
        return ERR_TOO_LARGE;
    size_t zeros = 0;
    while (zeros < data.len && data.data[zeros] == 0)
        zeros++;
    size_t len = 0;
    for (size_t i = zeros; i < data.len; i++)
        number_step(digits, &len, (uint32_t)radix(a), 256, data.data[i]);
    if (zeros + len > cap)
        return ERR_TOO_LARGE;
    for (size_t i = 0; i < zeros; i++)
        to[i] = a->chars[0];
    for (size_t i = 0; i < len; i++)
        to[zeros + i] = a->chars[digits[len - 1 - i]];
    *ret_len = zeros + len;
    return ERR_OK;
}

static enum err number_decode(const struct alphabet *a, struct span text, uint8_t *to, size_t cap, size_t *ret_len)
{
    uint8_t values[256];
    uint8_t bytes[MULTIBASE_NUMBER_MAX + 1];
    reverse(a, values);
    size_t zeros = 0;
    while (zeros < text.len && values[text.data[zeros]] == 0)
        zeros++;
    size_t len = 0;
    for (size_t i = zeros; i < text.len; i++) {
        if (values[text.data[i]] == 0xff)
            return ERR_INVALID;
        number_step(bytes, &len, 256, (uint32_t)radix(a), values[text.data[i]]);
        if (len > MULTIBASE_NUMBER_MAX)
            return ERR_TOO_LARGE;
    }
    if (zeros > MULTIBASE_NUMBER_MAX - len || zeros + len > cap)
        return ERR_TOO_LARGE;
    memset(to, 0, zeros);
    for (size_t i = 0; i < len; i++)
        to[zeros + i] = bytes[len - 1 - i];
    *ret_len = zeros + len;
    return ERR_OK;
}

enum err multibase_encode_bare(enum multibase base, struct span data, char *to, size_t cap, size_t *ret_len)
{
    const struct alphabet *a = alphabet_of(base);
    if (a == NULL)
        return ERR_UNSUPPORTED;
    return a->bits == 0 ? number_encode(a, data, to, cap, ret_len) : groups_encode(a, data, to, cap, ret_len);
}

enum err multibase_decode_bare(enum multibase base, struct span text, uint8_t *to, size_t cap, size_t *ret_len)
{
    const struct alphabet *a = alphabet_of(base);
    if (a == NULL)
        return ERR_UNSUPPORTED;
    return a->bits == 0 ? number_decode(a, text, to, cap, ret_len) : groups_decode(a, text, to, cap, ret_len);
}

enum err multibase_encode(enum multibase base, struct span data, struct buf *out)
{
    size_t max = multibase_text_max(base, data.len);
    char *to = (char *)buf_reserve(out, max + 1);
    if (to == NULL)
        return max + 1 > out->max - out->len ? ERR_TOO_LARGE : ERR_NOMEM;
    size_t len = 0;
    enum err err = multibase_encode_bare(base, data, to + 1, max, &len);
    if (err != ERR_OK)
        return err;
    to[0] = (char)base;
    buf_commit(out, len + 1);
    return ERR_OK;
}

enum err multibase_decode(struct span text, struct buf *out, enum multibase *ret_base)
{
    enum multibase base;
    if (text.len == 0)
        return ERR_INVALID;
    enum err err = multibase_of((char)text.data[0], &base);
    if (err != ERR_OK)
        return err;
    size_t max = multibase_bytes_max(base, text.len - 1);
    uint8_t *to = buf_reserve(out, max);
    if (to == NULL)
        return max > out->max - out->len ? ERR_TOO_LARGE : ERR_NOMEM;
    size_t len = 0;
    err = multibase_decode_bare(base, span_skip(text, 1), to, max, &len);
    if (err != ERR_OK)
        return err;
    buf_commit(out, len);
    if (ret_base != NULL)
        *ret_base = base;
    return ERR_OK;
}
