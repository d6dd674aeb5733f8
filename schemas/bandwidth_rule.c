/* SPDX-License-Identifier: MIT */
#include "schemas/bandwidth_rule.h"

#include "base/text.h"

enum { HOURS = 24 };

static const uint64_t rate_max = UINT64_C(1) << 40;

static struct span take_word(struct span *text)
{
    size_t len = 0;
    *text = span_trim(*text);
    while (len < text->len && text->data[len] != ' ' && text->data[len] != '\t')
        len++;
    struct span word = span_first(*text, len);
    *text = span_skip(*text, len);
    return word;
}

static enum err parse_rate(struct span word, uint64_t *ret_rate)
{
    uint64_t rate;
    enum err err = text_parse_size(word, &rate);
    if (err != ERR_OK || rate > rate_max || (rate != 0 && rate < BANDWIDTH_RATE_MIN))
        return ERR_INVALID;
    *ret_rate = rate;
    return ERR_OK;
}

enum err bandwidth_rule_parse(struct span text, struct bandwidth_rule *ret_rule)
{
    struct bandwidth_rule rule = {.about = take_word(&text)};
    struct span in = take_word(&text);
    struct span out = take_word(&text);
    if (rule.about.len == 0 || out.len == 0 || span_trim(text).len > 0 || parse_rate(in, &rule.in) != ERR_OK ||
        parse_rate(out, &rule.out) != ERR_OK)
        return ERR_INVALID;
    *ret_rule = rule;
    return ERR_OK;
}

enum err bandwidth_hours_parse(struct span about, uint8_t *ret_from, uint8_t *ret_to)
{
    uint64_t from;
    uint64_t to;
    const uint8_t *dash = about.len == 0 ? NULL : memchr(about.data, '-', about.len);
    if (dash == NULL)
        return ERR_INVALID;
    size_t len = (size_t)(dash - about.data);
    if (text_parse_u64(span_first(about, len), &from) != ERR_OK || from >= HOURS ||
        text_parse_u64(span_skip(about, len + 1), &to) != ERR_OK || to > HOURS || from == to)
        return ERR_INVALID;
    *ret_from = (uint8_t)from;
    *ret_to = (uint8_t)to;
    return ERR_OK;
}
