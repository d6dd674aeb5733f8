/* SPDX-License-Identifier: MIT */
#include "wire/dag_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "wire/json_text.h"

enum { LINK_RAW_MAX = 6 * CID_TEXT_MAX }; /* each character may be an escape of six */

struct decoder {
    struct span rest;
    ipld_sink *sink;
    void *arg;
    struct buf scratch; /* text without its escapes, bytes without their base64 */
    uint32_t depth;
    uint8_t maps[IPLD_DEPTH_MAX / 8]; /* a bit per open bracket: whether it is a map */
};

/* ---- the reserved maps ---- */

enum reserved { RESERVED_NOT, RESERVED_LINK, RESERVED_BYTES, RESERVED_BROKEN };

static bool take_key_named(struct span *in, const char *name)
{
    struct span raw;
    json_text_skip_space(in);
    return json_text_take_string(in, &raw) == ERR_OK && json_text_string_is(raw, name) && json_text_take_char(in, ':');
}

/*
 * Looks at what follows an opening brace. Of a link or bytes ret_raw is the string inside, and *in moves behind the closing brace. What
 * cannot be told because it is malformed or cut off is left to whoever reads it as a map.
 */
static enum reserved take_reserved(struct span *in, struct span *ret_raw)
{
    struct span rest = *in;
    if (!take_key_named(&rest, "/"))
        return RESERVED_NOT;
    json_text_skip_space(&rest);
    bool is_bytes = json_text_take_char(&rest, '{');
    if (is_bytes && !take_key_named(&rest, "bytes"))
        return RESERVED_NOT;
    json_text_skip_space(&rest);
    if (json_text_take_string(&rest, ret_raw) != ERR_OK)
        return RESERVED_NOT;
    for (unsigned braces = is_bytes ? 2 : 1; braces > 0; braces--) {
        if (json_text_take_char(&rest, '}'))
            continue;
        json_text_skip_space(&rest);
        return rest.len == 0 ? RESERVED_NOT : RESERVED_BROKEN;
    }
    *in = rest;
    return is_bytes ? RESERVED_BYTES : RESERVED_LINK;
}

static enum err link_of(struct span raw, struct cid *ret_cid)
{
    uint8_t text[CID_TEXT_MAX];
    struct buf plain = {.data = text, .cap = sizeof(text), .max = sizeof(text)};
    if (raw.len > LINK_RAW_MAX || json_text_unescape(raw, &plain) != ERR_OK)
        return ERR_INVALID;
    return cid_parse_text(buf_span(&plain), ret_cid);
}

static enum err bytes_of(struct span raw, struct buf *to)
{
    bool padded = raw.len > 0 && raw.data[raw.len - 1] == '=';
    enum multibase base = padded ? MULTIBASE_64_PAD : MULTIBASE_64;
    size_t len = 0;
    buf_clear(to);
    size_t cap = multibase_bytes_max(base, raw.len);
    uint8_t *room = buf_reserve(to, cap);
    if (room == NULL)
        return ERR_NOMEM;
    enum err err = multibase_decode_bare(base, raw, room, cap, &len);
    if (err == ERR_OK)
        buf_commit(to, len);
    return err == ERR_OK ? ERR_OK : ERR_INVALID;
}

/* ---- scalars ---- */

static enum err emit(const struct decoder *d, const struct ipld_event *event)
{
    return d->sink == NULL ? ERR_OK : d->sink(d->arg, event);
}

/* A string's text: in place, or in the scratch when it has escapes. */
static enum err take_text(struct decoder *d, struct span *ret_text)
{
    struct span raw;
    enum err err = json_text_take_string(&d->rest, &raw);
    if (err != ERR_OK)
        return err;
    if (memchr(raw.data, '\\', raw.len) == NULL) {
        *ret_text = raw;
        return text_is_utf8(raw) ? ERR_OK : ERR_INVALID;
    }
    buf_clear(&d->scratch);
    err = json_text_unescape(raw, &d->scratch);
    *ret_text = buf_span(&d->scratch);
    return err;
}

static enum err integer_of(struct span text, struct ipld_event *event)
{
    event->kind = IPLD_INT;
    event->negative = text.data[0] == '-';
    struct span digits = span_skip(text, event->negative ? 1 : 0);
    bool is_least = event->negative && span_equal_text(digits, "18446744073709551616"); /* -2^64 */
    enum err err = is_least ? ERR_OK : text_parse_u64(digits, &event->number);
    if (is_least)
        event->number = UINT64_MAX;
    else if (event->negative && event->number == 0)
        event->negative = false;
    else if (event->negative)
        event->number--;
    return err;
}

static enum err real_of(struct span text, struct buf *scratch, struct ipld_event *event)
{
    buf_clear(scratch);
    enum err err = buf_append_span(scratch, text);
    if (err == ERR_OK)
        err = buf_append_byte(scratch, '\0');
    if (err != ERR_OK)
        return err;
    event->kind = IPLD_FLOAT;
    event->real = strtod((const char *)scratch->data, NULL);
    return isfinite(event->real) ? ERR_OK : ERR_TOO_LARGE;
}

static enum err take_number(struct decoder *d, struct ipld_event *event)
{
    struct span text;
    bool is_integer;
    enum err err = json_text_take_number(&d->rest, &text, &is_integer);
    if (err != ERR_OK)
        return err;
    return is_integer ? integer_of(text, event) : real_of(text, &d->scratch, event);
}

static enum err take_scalar(struct decoder *d)
{
    struct ipld_event event = {.kind = IPLD_NULL};
    enum err err = ERR_OK;
    if (d->rest.len == 0)
        return ERR_TRUNCATED;
    if (d->rest.data[0] == '"') {
        event.kind = IPLD_STRING;
        err = take_text(d, &event.bytes);
    } else if (json_text_take_word(&d->rest, "true")) {
        event.kind = IPLD_BOOL;
        event.truth = true;
    } else if (json_text_take_word(&d->rest, "false")) {
        event.kind = IPLD_BOOL;
    } else if (!json_text_take_word(&d->rest, "null")) {
        err = take_number(d, &event);
    }
    return err == ERR_OK ? emit(d, &event) : err;
}

/* ---- lists and maps ---- */

static bool in_map(const struct decoder *d)
{
    uint32_t top = d->depth - 1;
    return (d->maps[top / 8] >> (top % 8) & 1) != 0;
}

static enum err take_reserved_value(struct decoder *d, bool *ret_taken)
{
    struct span raw;
    struct ipld_event event = {0};
    enum err err = ERR_INVALID;
    enum reserved what = take_reserved(&d->rest, &raw);
    *ret_taken = what != RESERVED_NOT;
    if (what == RESERVED_NOT)
        return ERR_OK;
    if (what == RESERVED_LINK) {
        event.kind = IPLD_LINK;
        err = link_of(raw, &event.link);
    } else if (what == RESERVED_BYTES) {
        event.kind = IPLD_BYTES;
        err = bytes_of(raw, &d->scratch);
        event.bytes = buf_span(&d->scratch);
    }
    return err == ERR_OK ? emit(d, &event) : err;
}

static enum err take_key(struct decoder *d)
{
    struct ipld_event event = {.kind = IPLD_KEY};
    json_text_skip_space(&d->rest);
    enum err err = take_text(d, &event.bytes);
    if (err == ERR_OK)
        err = emit(d, &event);
    if (err == ERR_OK && !json_text_take_char(&d->rest, ':'))
        err = d->rest.len == 0 ? ERR_TRUNCATED : ERR_INVALID;
    return err;
}

static enum err close_bracket(struct decoder *d)
{
    static const struct ipld_event end = {.kind = IPLD_END};
    d->depth--;
    return emit(d, &end);
}

/* The bracket was taken. */
static enum err open_bracket(struct decoder *d, bool is_map, bool *ret_ended)
{
    struct ipld_event event = {.kind = is_map ? IPLD_MAP : IPLD_LIST};
    if (d->depth == IPLD_DEPTH_MAX)
        return ERR_TOO_LARGE;
    uint8_t bit = (uint8_t)(1 << (d->depth % 8));
    uint8_t *bits = &d->maps[d->depth / 8];
    *bits = (uint8_t)(is_map ? *bits | bit : *bits & ~bit);
    d->depth++;
    enum err err = emit(d, &event);
    *ret_ended = err == ERR_OK && json_text_take_char(&d->rest, is_map ? '}' : ']');
    if (*ret_ended)
        return close_bracket(d);
    return err == ERR_OK && is_map ? take_key(d) : err;
}

/* A value, or the beginning of one; ret_ended: it is over. */
static enum err take_value(struct decoder *d, bool *ret_ended)
{
    *ret_ended = true;
    json_text_skip_space(&d->rest);
    if (json_text_take_char(&d->rest, '{')) {
        enum err err = take_reserved_value(d, ret_ended);
        return err != ERR_OK || *ret_ended ? err : open_bracket(d, true, ret_ended);
    }
    return json_text_take_char(&d->rest, '[') ? open_bracket(d, false, ret_ended) : take_scalar(d);
}

/* After a value: the comma and the key after it, or brackets that close. */
static enum err take_separator(struct decoder *d, bool *ret_more)
{
    *ret_more = false;
    while (d->depth > 0) {
        if (json_text_take_char(&d->rest, ',')) {
            *ret_more = true;
            return in_map(d) ? take_key(d) : ERR_OK;
        }
        if (!json_text_take_char(&d->rest, in_map(d) ? '}' : ']'))
            return d->rest.len == 0 ? ERR_TRUNCATED : ERR_INVALID;
        enum err err = close_bracket(d);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err decode(struct decoder *d)
{
    bool more = true;
    while (more) {
        bool ended;
        enum err err = take_value(d, &ended);
        if (err == ERR_OK && ended)
            err = take_separator(d, &more);
        if (err != ERR_OK)
            return err;
    }
    json_text_skip_space(&d->rest);
    return d->rest.len == 0 ? ERR_OK : ERR_INVALID;
}

enum err dag_json_decode(struct span block, ipld_sink *sink, void *arg, size_t *ret_at)
{
    struct decoder d = {.rest = block, .sink = sink, .arg = arg};
    buf_init(&d.scratch, block.len + 1, NULL);
    enum err err = decode(&d);
    buf_release(&d.scratch);
    if (ret_at != NULL)
        *ret_at = block.len - d.rest.len;
    return err;
}

/* How items are nested does not matter here: a link is a brace with what must follow. */
bool dag_json_next_link(struct span *rest, struct cid *ret_cid)
{
    struct span raw;
    while (rest->len > 0) {
        uint8_t c = rest->data[0];
        if (c == '"' && json_text_take_string(rest, &raw) == ERR_OK)
            continue;
        *rest = span_skip(*rest, 1);
        if (c == '{' && take_reserved(rest, &raw) == RESERVED_LINK)
            return link_of(raw, ret_cid) == ERR_OK;
    }
    return false;
}

/* ---- encoding ---- */

static enum err append_integer(struct buf *out, const struct ipld_event *event)
{
    if (!event->negative)
        return buf_appendf(out, "%llu", (unsigned long long)event->number);
    if (event->number == UINT64_MAX)
        return buf_append_text(out, "-18446744073709551616");
    return buf_appendf(out, "-%llu", (unsigned long long)event->number + 1);
}

static enum err append_bytes(struct buf *out, struct span bytes)
{
    size_t cap = multibase_text_max(MULTIBASE_64, bytes.len);
    size_t len = 0;
    enum err err = buf_append_text(out, "{\"/\":{\"bytes\":\"");
    if (err != ERR_OK)
        return err;
    if (cap > out->max - out->len)
        return ERR_TOO_LARGE;
    uint8_t *to = buf_reserve(out, cap);
    if (to == NULL)
        return ERR_NOMEM;
    err = multibase_encode_bare(MULTIBASE_64, bytes, (char *)to, cap, &len);
    if (err != ERR_OK)
        return err;
    buf_commit(out, len);
    return buf_append_text(out, "\"}}");
}

static enum err append_link(struct buf *out, const struct cid *link)
{
    char text[CID_TEXT_MAX];
    cid_text(link, text);
    return buf_appendf(out, "{\"/\":\"%s\"}", text);
}

static enum err append_key(struct buf *out, struct span key)
{
    enum err err = json_text_append_string(out, key);
    return err == ERR_OK ? buf_append_byte(out, ':') : err;
}

enum err dag_json_append(struct buf *out, const struct ipld_event *event)
{
    switch (event->kind) {
    case IPLD_NULL:
        return buf_append_text(out, "null");
    case IPLD_BOOL:
        return buf_append_text(out, event->truth ? "true" : "false");
    case IPLD_INT:
        return append_integer(out, event);
    case IPLD_FLOAT:
        return json_text_append_real(out, event->real);
    case IPLD_STRING:
        return json_text_append_string(out, event->bytes);
    case IPLD_BYTES:
        return append_bytes(out, event->bytes);
    case IPLD_LINK:
        return append_link(out, &event->link);
    case IPLD_KEY:
        return append_key(out, event->bytes);
    case IPLD_LIST:
        return buf_append_byte(out, '[');
    case IPLD_MAP:
        return buf_append_byte(out, '{');
    case IPLD_END:
        break;
    }
    return ERR_INTERNAL;
}
