/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

enum { WORD_MAX = 63 };

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Takes the leading digits off text. */
static enum err take_digits(struct span *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t n = 0;
    for (; n < text->len && is_digit(text->data[n]); n++) {
        uint64_t digit = (uint64_t)(text->data[n] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return ERR_TOO_LARGE;
        value = value * 10 + digit;
    }
    if (n == 0)
        return ERR_INVALID;
    *text = span_skip(*text, n);
    *ret_value = value;
    return ERR_OK;
}

enum err text_parse_u64(struct span text, uint64_t *ret_value)
{
    uint64_t value = 0;
    enum err err = take_digits(&text, &value);
    if (err != ERR_OK)
        return err;
    if (text.len != 0)
        return ERR_INVALID;
    *ret_value = value;
    return ERR_OK;
}

static bool unit_is(struct span text, const char *unit)
{
    return text.len == strlen(unit) && strncasecmp((const char *)text.data, unit, text.len) == 0;
}

enum err text_parse_size(struct span text, uint64_t *ret_bytes)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {
        {"", 1},
        {"b", 1},
        {"k", UINT64_C(1000)},
        {"kb", UINT64_C(1000)},
        {"kib", UINT64_C(1) << 10},
        {"m", UINT64_C(1000000)},
        {"mb", UINT64_C(1000000)},
        {"mib", UINT64_C(1) << 20},
        {"g", UINT64_C(1000000000)},
        {"gb", UINT64_C(1000000000)},
        {"gib", UINT64_C(1) << 30},
        {"t", UINT64_C(1000000000000)},
        {"tb", UINT64_C(1000000000000)},
        {"tib", UINT64_C(1) << 40},
    };
    uint64_t value = 0;
    enum err err = take_digits(&text, &value);
    if (err != ERR_OK)
        return err;
    while (text.len > 0 && text.data[0] == ' ')
        text = span_skip(text, 1);
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!unit_is(text, units[i].unit))
            continue;
        if (value > UINT64_MAX / units[i].factor)
            return ERR_TOO_LARGE;
        *ret_bytes = value * units[i].factor;
        return ERR_OK;
    }
    return ERR_INVALID;
}

/* The factor of the unit at the front of text, longest unit first; 0 when there is none. */
static uint64_t take_time_unit(struct span *text)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {
        {"ns", 1}, {"us", 1000}, {"ms", MS_NS}, {"s", SECOND_NS}, {"m", 60 * SECOND_NS}, {"h", 3600 * SECOND_NS},
    };
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        size_t len = strlen(units[i].unit);
        if (text->len >= len && memcmp(text->data, units[i].unit, len) == 0) {
            *text = span_skip(*text, len);
            return units[i].ns;
        }
    }
    return 0;
}

enum err text_parse_duration(struct span text, uint64_t *ret_ns)
{
    if (span_equal_text(text, "0")) {
        *ret_ns = 0;
        return ERR_OK;
    }
    uint64_t sum = 0;
    do {
        uint64_t value = 0;
        enum err err = take_digits(&text, &value);
        if (err != ERR_OK)
            return err;
        uint64_t unit = take_time_unit(&text);
        if (unit == 0)
            return ERR_INVALID;
        if (value > (UINT64_MAX - sum) / unit)
            return ERR_TOO_LARGE;
        sum += value * unit;
    } while (text.len > 0);
    *ret_ns = sum;
    return ERR_OK;
}

enum err text_parse_bool(struct span text, bool *ret_value)
{
    bool yes = span_equal_text(text, "true") || span_equal_text(text, "1");
    bool no = span_equal_text(text, "false") || span_equal_text(text, "0");
    if (!yes && !no)
        return ERR_INVALID;
    *ret_value = yes;
    return ERR_OK;
}

enum err text_copy(struct span text, char *to, size_t to_bytes)
{
    if (text.len >= to_bytes)
        return ERR_TOO_LARGE;
    if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
        return ERR_INVALID;
    if (text.len > 0)
        memcpy(to, text.data, text.len);
    to[text.len] = '\0';
    return ERR_OK;
}

void text_size(uint64_t bytes, char to[16])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    double value = (double)bytes;
    while (value >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(to, 16, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

/* The length of the well-formed UTF-8 sequence at the front, 0 when there is none. ret_point gets its code point. */
static size_t utf8_sequence(struct span text, uint32_t *ret_point)
{
    if (text.len == 0)
        return 0;
    uint8_t first = text.data[0];
    size_t len = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || text.len < len)
        return 0;
    uint32_t point = len == 1 ? first : first & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((text.data[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (text.data[i] & 0x3f);
    }
    bool overlong = (len == 3 && point < 0x800) || (len == 4 && point < 0x10000);
    if (overlong || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return 0;
    *ret_point = point;
    return len;
}

bool text_is_utf8(struct span text)
{
    while (text.len > 0) {
        uint32_t point;
        size_t n = utf8_sequence(text, &point);
        if (n == 0)
            return false;
        text = span_skip(text, n);
    }
    return true;
}

/* Control characters, and those that reorder or hide what follows them. */
static bool is_unsafe(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || (point >= 0x200b && point <= 0x200f) ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

enum err text_append_escaped(struct buf *to, struct span text)
{
    while (text.len > 0) {
        uint32_t point = 0;
        size_t n = utf8_sequence(text, &point);
        bool escape = n == 0 || is_unsafe(point);
        n = MAX(n, 1);
        for (size_t i = 0; i < n; i++) {
            enum err err = escape ? buf_appendf(to, "\\x%02x", text.data[i]) : buf_append_byte(to, text.data[i]);
            if (err != ERR_OK)
                return err;
        }
        text = span_skip(text, n);
    }
    return ERR_OK;
}

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

size_t text_distance(const char *a, const char *b)
{
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    if (a_len > WORD_MAX || b_len > WORD_MAX)
        return WORD_MAX + 1;
    size_t row[WORD_MAX + 1];
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));
            diagonal = row[j];
            row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_len];
}
