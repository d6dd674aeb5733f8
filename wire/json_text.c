/* SPDX-License-Identifier: MIT */
#include "wire/json_text.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

enum { REAL_TEXT_MAX = 40, DIGITS_MAX = 17 };

void json_text_skip_space(struct span *in)
{
    size_t n = 0;
    while (n < in->len && (in->data[n] == ' ' || in->data[n] == '\t' || in->data[n] == '\n' || in->data[n] == '\r'))
        n++;
    *in = span_skip(*in, n);
}

bool json_text_take_char(struct span *in, char c)
{
    struct span rest = *in;
    json_text_skip_space(&rest);
    if (rest.len == 0 || rest.data[0] != (uint8_t)c)
        return false;
    *in = span_skip(rest, 1);
    return true;
}

bool json_text_take_word(struct span *in, const char *word)
{
    if (!span_equal_text(span_first(*in, strlen(word)), word))
        return false;
    *in = span_skip(*in, strlen(word));
    return true;
}

/* ---- strings ---- */

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Bytes of the escape at the front, its backslash included; 0: none, or cut off (ret_cut). */
static size_t escape_len(struct span at, bool *ret_cut)
{
    *ret_cut = at.len < 2;
    if (at.len < 2)
        return 0;
    if (at.data[1] != 'u')
        return strchr("\"\\/bfnrt", at.data[1]) != NULL && at.data[1] != '\0' ? 2 : 0;
    for (size_t i = 2; i < 6; i++) {
        *ret_cut = i >= at.len;
        if (*ret_cut || !is_hex(at.data[i]))
            return 0;
    }
    return 6;
}

enum err json_text_take_string(struct span *in, struct span *ret_raw)
{
    struct span rest = *in;
    if (rest.len == 0)
        return ERR_TRUNCATED;
    if (rest.data[0] != '"')
        return ERR_INVALID;
    for (size_t at = 1; at < rest.len;) {
        uint8_t c = rest.data[at];
        bool cut = false;
        size_t len = c == '\\' ? escape_len(span_skip(rest, at), &cut) : 1;
        if (c == '"') {
            *ret_raw = span_of(rest.data + 1, at - 1);
            *in = span_skip(rest, at + 1);
            return ERR_OK;
        }
        if (len == 0 || c < 0x20)
            return cut ? ERR_TRUNCATED : ERR_INVALID;
        at += len;
    }
    return ERR_TRUNCATED;
}

static uint32_t hex4(const uint8_t *at)
{
    uint32_t value = 0;
    for (size_t i = 0; i < 4; i++) {
        uint8_t c = at[i];
        value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

/* The code point of the escape at the front, which is a whole one; of a pair of surrogates both are taken. */
static enum err take_escape(struct span *raw, uint32_t *ret_point)
{
    static const char letters[] = "bfnrt";
    static const char meanings[] = "\b\f\n\r\t";
    uint8_t letter = raw->data[1];
    const char *found = strchr(letters, letter);
    if (letter != 'u') {
        *ret_point = found != NULL ? (uint32_t)meanings[found - letters] : letter;
        *raw = span_skip(*raw, 2);
        return ERR_OK;
    }
    uint32_t point = hex4(raw->data + 2);
    *raw = span_skip(*raw, 6);
    if (point >= 0xd800 && point < 0xdc00 && raw->len >= 6 && raw->data[0] == '\\' && raw->data[1] == 'u') {
        uint32_t low = hex4(raw->data + 2);
        if (low < 0xdc00 || low > 0xdfff)
            return ERR_INVALID;
        *raw = span_skip(*raw, 6);
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    *ret_point = point;
    return point >= 0xd800 && point <= 0xdfff ? ERR_INVALID : ERR_OK;
}

static enum err append_point(struct buf *out, uint32_t point)
{
    uint8_t bytes[4];
    size_t len = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0x00, 0xc0, 0xe0, 0xf0};
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        bytes[i] = (uint8_t)(0x80 | (point & 0x3f));
    bytes[0] = (uint8_t)(leads[len - 1] | point);
    return buf_append(out, bytes, len);
}

enum err json_text_unescape(struct span raw, struct buf *out)
{
    if (!text_is_utf8(raw))
        return ERR_INVALID;
    while (raw.len > 0) {
        const uint8_t *escape = memchr(raw.data, '\\', raw.len);
        struct span plain = escape == NULL ? raw : span_first(raw, (size_t)(escape - raw.data));
        uint32_t point;
        enum err err = buf_append_span(out, plain);
        raw = span_skip(raw, plain.len);
        if (err == ERR_OK && raw.len > 0) {
            err = take_escape(&raw, &point);
            if (err == ERR_OK)
                err = append_point(out, point);
        }
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

bool json_text_string_is(struct span raw, const char *text)
{
    for (; raw.len > 0 && *text != '\0'; text++) {
        uint32_t point = raw.data[0];
        if (point != '\\')
            raw = span_skip(raw, 1);
        else if (take_escape(&raw, &point) != ERR_OK)
            return false;
        if (point != (uint8_t)*text)
            return false;
    }
    return raw.len == 0 && *text == '\0';
}

/* ---- numbers ---- */

static size_t digits_at(struct span text, size_t at)
{
    size_t n = 0;
    while (at + n < text.len && text.data[at + n] >= '0' && text.data[at + n] <= '9')
        n++;
    return n;
}

static bool has_char(struct span text, size_t at, const char *any)
{
    return at < text.len && text.data[at] != '\0' && strchr(any, text.data[at]) != NULL;
}

enum err json_text_take_number(struct span *in, struct span *ret_text, bool *ret_is_integer)
{
    size_t at = has_char(*in, 0, "-") ? 1 : 0;
    size_t digits = digits_at(*in, at);
    bool leading_zero = digits > 1 && in->data[at] == '0';
    if (digits == 0 || leading_zero)
        return ERR_INVALID;
    at += digits;
    *ret_is_integer = !has_char(*in, at, ".eE");
    if (has_char(*in, at, ".")) {
        digits = digits_at(*in, at + 1);
        if (digits == 0)
            return ERR_INVALID;
        at += 1 + digits;
    }
    if (has_char(*in, at, "eE")) {
        at += has_char(*in, at + 1, "+-") ? 2 : 1;
        digits = digits_at(*in, at);
        if (digits == 0)
            return ERR_INVALID;
        at += digits;
    }
    *ret_text = span_first(*in, at);
    *in = span_skip(*in, at);
    return ERR_OK;
}

/* ---- writing ---- */

/* Bytes of the character at the front that are written as they are, or 0 and its escape. */
static size_t plain_len(struct span text, char escape[8])
{
    uint8_t c = text.data[0];
    const char *shorts = "\\\\\"\"\nn\rr\tt";
    for (const char *s = shorts; *s != '\0'; s += 2) {
        if (c == (uint8_t)*s) {
            (void)snprintf(escape, 8, "\\%c", s[1]);
            return 0;
        }
    }
    if (c < 0x20) {
        (void)snprintf(escape, 8, "\\u%04x", c);
        return 0;
    }
    /* U+2028 and U+2029, which end lines in JavaScript: the reference escapes them, and CIDs are to be equal */
    if (text.len >= 3 && c == 0xe2 && text.data[1] == 0x80 && (text.data[2] == 0xa8 || text.data[2] == 0xa9)) {
        (void)snprintf(escape, 8, "\\u202%c", text.data[2] == 0xa8 ? '8' : '9');
        return 0;
    }
    return 1;
}

enum err json_text_append_string(struct buf *out, struct span text)
{
    char escape[8];
    if (!text_is_utf8(text))
        return ERR_UNSUPPORTED;
    enum err err = buf_append_byte(out, '"');
    while (err == ERR_OK && text.len > 0) {
        size_t plain = 0;
        while (plain < text.len && plain_len(span_skip(text, plain), escape) == 1)
            plain++;
        err = buf_append_span(out, span_first(text, plain));
        text = span_skip(text, plain);
        if (err != ERR_OK || text.len == 0)
            break;
        err = buf_append_text(out, escape);
        text = span_skip(text, text.data[0] == 0xe2 ? 3 : 1);
    }
    return err == ERR_OK ? buf_append_byte(out, '"') : err;
}

/* digits and the power of ten of the first of them: d.ddd * 10^power. */
static void shortest_digits(double real, char digits[DIGITS_MAX + 1], int *ret_power)
{
    char text[REAL_TEXT_MAX];
    for (int count = 1; count <= DIGITS_MAX; count++) {
        (void)snprintf(text, sizeof(text), "%.*e", count - 1, real);
        if (strtod(text, NULL) == real)
            break;
    }
    size_t n = 0;
    const char *at = text;
    for (; *at != 'e'; at++) {
        if (*at != '.')
            digits[n++] = *at;
    }
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = '\0';
    *ret_power = (int)strtol(at + 1, NULL, 10);
}

/* From 1e-6 to 1e21 without an exponent. */
static enum err append_plain_real(struct buf *out, const char *digits, int power)
{
    int count = (int)strlen(digits);
    if (power < 0)
        return buf_appendf(out, "0.%.*s%s", -power - 1, "000000", digits);
    if (count > power + 1)
        return buf_appendf(out, "%.*s.%s", power + 1, digits, digits + power + 1);
    return buf_appendf(out, "%s%.*s.0", digits, power + 1 - count, "00000000000000000000000");
}

enum err json_text_append_real(struct buf *out, double real)
{
    char digits[DIGITS_MAX + 1] = "";
    int power = 0;
    bool negative = real < 0 || (real == 0 && 1 / real < 0);
    double value = negative ? -real : real;
    enum err err = negative ? buf_append_byte(out, '-') : ERR_OK;
    if (err != ERR_OK)
        return err;
    if (value == 0)
        return buf_append_text(out, "0.0");
    shortest_digits(value, digits, &power);
    if (value >= 1e-6 && value < 1e21)
        return append_plain_real(out, digits, power);
    const char *point = digits[1] != '\0' ? "." : "";
    return buf_appendf(out, "%c%s%se%s%d", digits[0], point, digits + 1, power > 0 ? "+" : "", power);
}
