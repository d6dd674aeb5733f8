/* SPDX-License-Identifier: MIT */
#include "schemas/json.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "schemas/pack.h"
#include "schemas/walk.h"

enum { NUMBER_TEXT_MAX = 64 };

/* ---- reading ---- */

struct reader {
    struct span text;
    size_t at;
    struct pack p;
    struct buf string; /* the string being unescaped */
};

static int peek(const struct reader *r)
{
    return r->at < r->text.len ? r->text.data[r->at] : -1;
}

static void skip_space(struct reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\t' || peek(r) == '\n' || peek(r) == '\r')
        r->at++;
}

static enum err end_or_invalid(const struct reader *r)
{
    return r->at >= r->text.len ? ERR_TRUNCATED : ERR_INVALID;
}

static enum err read_word(struct reader *r, const char *word)
{
    size_t len = strlen(word);
    size_t there = MIN(len, r->text.len - r->at);
    if (there > 0 && memcmp(r->text.data + r->at, word, there) != 0)
        return ERR_INVALID;
    if (there < len)
        return ERR_TRUNCATED;
    r->at += len;
    return ERR_OK;
}

static enum err read_hex4(struct reader *r, uint32_t *ret_value)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        int c = peek(r);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return end_or_invalid(r);
        value = value << 4 | (uint32_t)digit;
    }
    *ret_value = value;
    return ERR_OK;
}

static enum err append_utf8(struct buf *to, uint32_t code)
{
    uint8_t out[4];
    size_t len;
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        len = 1;
    } else if (code < 0x800) {
        out[0] = (uint8_t)(0xc0 | code >> 6);
        len = 2;
    } else if (code < 0x10000) {
        out[0] = (uint8_t)(0xe0 | code >> 12);
        len = 3;
    } else {
        out[0] = (uint8_t)(0xf0 | code >> 18);
        len = 4;
    }
    for (size_t i = 1; i < len; i++)
        out[i] = (uint8_t)(0x80 | (code >> (6 * (len - 1 - i)) & 0x3f));
    return buf_append(to, out, len);
}

/* \uXXXX, a surrogate pair as two of them (RFC 8259 section 7); a lone surrogate is an error. */
static enum err read_unicode(struct reader *r)
{
    uint32_t code = 0;
    uint32_t low = 0;
    enum err err = read_hex4(r, &code);
    if (err != ERR_OK)
        return err;
    if (code >= 0xdc00 && code <= 0xdfff)
        return ERR_INVALID;
    if (code >= 0xd800 && code <= 0xdbff) {
        err = read_word(r, "\\u");
        if (err == ERR_OK)
            err = read_hex4(r, &low);
        if (err != ERR_OK)
            return err;
        if (low < 0xdc00 || low > 0xdfff)
            return ERR_INVALID;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    return append_utf8(&r->string, code);
}

static enum err read_escape(struct reader *r)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    int c = peek(r);
    if (c < 0)
        return ERR_TRUNCATED;
    r->at++;
    if (c == 'u')
        return read_unicode(r);
    const char *found = strchr(from, c);
    if (c == 0 || found == NULL)
        return ERR_INVALID;
    return buf_append_byte(&r->string, (uint8_t)to[found - from]);
}

/* The string's bytes: borrowed from the text when nothing is escaped, else from r->string. */
static enum err read_string(struct reader *r, struct span *ret_text)
{
    if (peek(r) != '"')
        return end_or_invalid(r);
    size_t start = ++r->at;
    bool plain = true;
    buf_clear(&r->string);
    for (;; start = r->at) {
        while (peek(r) >= 0x20 && peek(r) != '"' && peek(r) != '\\')
            r->at++;
        struct span run = span_of(r->text.data + start, r->at - start);
        if (peek(r) == '"' && plain) {
            *ret_text = run;
            break;
        }
        enum err err = buf_append_span(&r->string, run);
        if (err != ERR_OK)
            return err;
        if (peek(r) == '"') {
            *ret_text = buf_span(&r->string);
            break;
        }
        if (peek(r) != '\\')
            return end_or_invalid(r);
        r->at++;
        plain = false;
        err = read_escape(r);
        if (err != ERR_OK)
            return err;
    }
    r->at++;
    return utf8_valid(*ret_text) ? ERR_OK : ERR_INVALID;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static size_t skip_digits(struct reader *r)
{
    size_t start = r->at;
    while (is_digit(peek(r)))
        r->at++;
    return r->at - start;
}

/* The grammar of RFC 8259 section 6; true in *ret_whole when there is neither fraction nor exponent. */
static enum err scan_number(struct reader *r, bool *ret_whole)
{
    bool whole = true;
    if (peek(r) == '-')
        r->at++;
    bool zero = peek(r) == '0';
    size_t digits = skip_digits(r);
    if (zero && digits > 1)
        return ERR_INVALID;
    if (digits == 0)
        return end_or_invalid(r);
    if (peek(r) == '.') {
        r->at++;
        whole = false;
        if (skip_digits(r) == 0)
            return end_or_invalid(r);
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        r->at++;
        whole = false;
        if (peek(r) == '+' || peek(r) == '-')
            r->at++;
        if (skip_digits(r) == 0)
            return end_or_invalid(r);
    }
    *ret_whole = whole;
    return ERR_OK;
}

static bool parse_u64(const char *digits, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (; *digits != '\0'; digits++) {
        uint64_t digit = (uint64_t)(*digits - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

static enum err read_number(struct reader *r)
{
    size_t start = r->at;
    bool whole = false;
    char text[NUMBER_TEXT_MAX];
    enum err err = scan_number(r, &whole);
    if (err != ERR_OK)
        return err;
    if (r->at - start >= sizeof(text))
        return ERR_TOO_LARGE;
    memcpy(text, r->text.data + start, r->at - start);
    text[r->at - start] = '\0';
    bool negative = text[0] == '-';
    uint64_t value = 0;
    if (whole && parse_u64(text + negative, &value) && (!negative || value <= (uint64_t)INT64_MAX)) {
        if (negative)
            pack_i64(&r->p, -(int64_t)value);
        else
            pack_u64(&r->p, value);
        return ERR_OK;
    }
    double real = strtod(text, NULL);
    if (!isfinite(real))
        return ERR_TOO_LARGE;
    pack_f64(&r->p, real);
    return ERR_OK;
}

static enum err read_scalar(struct reader *r)
{
    struct span text;
    enum err err;
    switch (peek(r)) {
    case '"':
        err = read_string(r, &text);
        if (err == ERR_OK)
            pack_span(&r->p, text);
        return err;
    case 't':
        pack_bool(&r->p, true);
        return read_word(r, "true");
    case 'f':
        pack_bool(&r->p, false);
        return read_word(r, "false");
    case 'n':
        pack_nil(&r->p);
        return read_word(r, "null");
    default:
        return read_number(r);
    }
}

/* One open array or object. */
struct level {
    size_t header; /* where its count is filled in */
    uint32_t count;
    bool object;
};

static enum err read_key(struct reader *r)
{
    struct span key;
    enum err err = read_string(r, &key);
    if (err != ERR_OK)
        return err;
    pack_span(&r->p, key);
    skip_space(r);
    err = read_word(r, ":");
    skip_space(r);
    return err;
}

/* After a value: closes what ends here. ERR_AGAIN = a comma, the next value follows. */
static enum err close_levels(struct reader *r, struct level *levels, size_t *depth)
{
    while (*depth > 0) {
        struct level *level = &levels[*depth - 1];
        skip_space(r);
        int c = peek(r);
        if (c == ',') {
            r->at++;
            skip_space(r);
            return ERR_AGAIN;
        }
        if (c != (level->object ? '}' : ']'))
            return end_or_invalid(r);
        r->at++;
        pack_count(&r->p, level->header, level->count);
        (*depth)--;
    }
    return ERR_OK;
}

static enum err read_value(struct reader *r)
{
    struct level levels[WALK_DEPTH_MAX];
    size_t depth = 0;
    for (;;) {
        if (depth > 0) {
            levels[depth - 1].count++;
            enum err err = levels[depth - 1].object ? read_key(r) : ERR_OK;
            if (err != ERR_OK)
                return err;
        }
        int c = peek(r);
        if (c == '{' || c == '[') {
            if (depth == WALK_DEPTH_MAX)
                return ERR_TOO_LARGE;
            size_t header = c == '{' ? pack_map_open(&r->p) : pack_array_open(&r->p);
            levels[depth++] = (struct level){.header = header, .object = c == '{'};
            r->at++;
            skip_space(r);
            if (peek(r) != (c == '{' ? '}' : ']'))
                continue; /* to its first value */
        } else {
            enum err err = read_scalar(r);
            if (err != ERR_OK)
                return err;
        }
        enum err err = close_levels(r, levels, &depth);
        if (err != ERR_AGAIN)
            return err;
    }
}

enum err json_to_msgpack(struct span text, struct buf *to, size_t *ret_at)
{
    struct reader r = {.text = text, .p = pack_begin(to)};
    buf_init(&r.string, text.len + 1, to->account);
    skip_space(&r);
    enum err err = read_value(&r);
    skip_space(&r);
    if (err == ERR_OK && r.at != text.len)
        err = ERR_INVALID;
    if (ret_at != NULL)
        *ret_at = r.at;
    buf_release(&r.string);
    if (err != ERR_OK && r.p.err == ERR_OK)
        r.p.err = err;
    return pack_end(&r.p);
}

enum err json_pack_bytes(struct span multibase, struct pack *p)
{
    if (multibase.len == 0 || multibase.data[0] != 'u')
        return ERR_INVALID;
    size_t len = 0;
    uint8_t *bytes = malloc(multibase.len);
    if (bytes == NULL)
        return ERR_NOMEM;
    const char *digits = (const char *)multibase.data + 1;
    int failed = sodium_base642bin(bytes, multibase.len, digits, multibase.len - 1, NULL, &len, NULL,
                                   sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    if (failed == 0)
        pack_bytes(p, span_of(bytes, len));
    free(bytes);
    return failed == 0 ? ERR_OK : ERR_INVALID;
}

/* ---- writing ---- */

enum err json_append_string(struct span text, struct buf *to)
{
    enum err err = buf_append_byte(to, '"');
    size_t start = 0;
    for (size_t i = 0; i < text.len && err == ERR_OK; i++) {
        uint8_t c = text.data[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        err = buf_append(to, text.data + start, i - start);
        start = i + 1;
        if (err == ERR_OK && (c == '"' || c == '\\'))
            err = buf_appendf(to, "\\%c", c);
        else if (err == ERR_OK)
            err = c == '\n' ? buf_append_text(to, "\\n") : buf_appendf(to, "\\u%04x", c);
    }
    if (err == ERR_OK)
        err = buf_append(to, text.data + start, text.len - start);
    return err == ERR_OK ? buf_append_byte(to, '"') : err;
}

static enum err write_bytes(struct span bytes, struct buf *to)
{
    size_t need = sodium_base64_ENCODED_LEN(bytes.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    enum err err = buf_append_text(to, "\"u");
    if (err != ERR_OK)
        return err;
    uint8_t *at = buf_reserve(to, need);
    if (at == NULL)
        return ERR_TOO_LARGE;
    (void)sodium_bin2base64((char *)at, need, bytes.data, bytes.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    buf_commit(to, need - 1); /* without the NUL */
    return buf_append_byte(to, '"');
}

/* A real number stays one for whoever reads it: 3.0, not 3. */
static enum err write_real(double value, struct buf *to)
{
    if (!isfinite(value))
        return buf_append_text(to, "null");
    char text[NUMBER_TEXT_MAX];
    (void)snprintf(text, sizeof(text), "%.17g", value);
    return buf_appendf(to, "%s%s", text, strpbrk(text, ".e") == NULL ? ".0" : "");
}

static enum err write_scalar(const struct walk_token *token, struct buf *to)
{
    switch (token->type) {
    case WALK_NIL:
        return buf_append_text(to, "null");
    case WALK_BOOL:
        return buf_append_text(to, token->boolean ? "true" : "false");
    case WALK_U64:
        return buf_appendf(to, "%llu", (unsigned long long)token->u64);
    case WALK_I64:
        return buf_appendf(to, "%lld", (long long)token->i64);
    case WALK_F64:
        return write_real(token->f64, to);
    case WALK_TEXT:
        return json_append_string(token->bytes, to);
    case WALK_BYTES:
        return write_bytes(token->bytes, to);
    case WALK_ARRAY:
    case WALK_MAP:
        break;
    }
    return ERR_INVALID;
}

struct open_value {
    uint64_t left; /* keys and values still to come */
    bool map;
};

static enum err write_separator(const struct open_value *open, uint64_t total, struct buf *to)
{
    if (open->map && (total - open->left) % 2 == 1)
        return buf_append_byte(to, ':');
    return open->left == total ? ERR_OK : buf_append_byte(to, ',');
}

enum err json_from_msgpack(struct span packed, struct buf *to)
{
    struct walk walk = {.left = packed};
    struct open_value open[WALK_DEPTH_MAX + 1] = {{.left = 1}};
    uint64_t totals[WALK_DEPTH_MAX + 1] = {1};
    size_t depth = 0;
    for (;;) {
        while (open[depth].left == 0) {
            if (depth == 0)
                return walk.left.len == 0 ? ERR_OK : ERR_INVALID;
            enum err err = buf_append_byte(to, open[depth].map ? '}' : ']');
            if (err != ERR_OK)
                return err;
            depth--;
        }
        enum err err = write_separator(&open[depth], totals[depth], to);
        bool key = open[depth].map && (totals[depth] - open[depth].left) % 2 == 0;
        open[depth].left--;
        struct walk_token token;
        if (err == ERR_OK)
            err = walk_next(&walk, &token);
        if (err == ERR_OK && key && token.type != WALK_TEXT)
            err = ERR_INVALID;
        if (err != ERR_OK)
            return err;
        if (token.type != WALK_ARRAY && token.type != WALK_MAP) {
            err = write_scalar(&token, to);
        } else if (depth == WALK_DEPTH_MAX) {
            err = ERR_TOO_LARGE;
        } else {
            bool map = token.type == WALK_MAP;
            totals[++depth] = (uint64_t)token.count * (map ? 2 : 1);
            open[depth] = (struct open_value){.left = totals[depth], .map = map};
            err = buf_append_byte(to, map ? '{' : '[');
        }
        if (err != ERR_OK)
            return err;
    }
}
