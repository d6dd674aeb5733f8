/* SPDX-License-Identifier: MIT */
#include "wire/routing_v1.h"

#include <stdio.h>

#include "wire/json_text.h"

enum { ADDR_TEXT_MAX = 1024 };

/* ---- one object ---- */

/* Takes any value; depth is bounded. */
static enum err skip_value(struct span *in, unsigned depth)
{
    struct span text;
    bool whole;
    json_text_skip_space(in);
    if (in->len == 0)
        return ERR_TRUNCATED;
    if (in->data[0] == '"')
        return json_text_take_string(in, &text);
    bool list = in->data[0] == '[';
    if (!list && in->data[0] != '{') {
        if (json_text_take_word(in, "null") || json_text_take_word(in, "true") || json_text_take_word(in, "false"))
            return ERR_OK;
        return json_text_take_number(in, &text, &whole);
    }
    char close = list ? ']' : '}';
    enum err err = depth == 0 ? ERR_INVALID : ERR_OK;
    *in = span_skip(*in, 1);
    if (err == ERR_OK && json_text_take_char(in, close))
        return ERR_OK;
    while (err == ERR_OK) {
        json_text_skip_space(in);
        if (!list) {
            err = json_text_take_string(in, &text);
            if (err == ERR_OK && !json_text_take_char(in, ':'))
                err = ERR_INVALID;
        }
        if (err == ERR_OK)
            err = skip_value(in, depth - 1);
        if (err == ERR_OK && json_text_take_char(in, close))
            return ERR_OK;
        if (err == ERR_OK && !json_text_take_char(in, ','))
            err = ERR_INVALID;
    }
    return err;
}

/* The text of a raw string that needs few bytes; false when it has more, or is none. */
static bool unescape(struct span raw, struct buf *to)
{
    buf_clear(to);
    return json_text_unescape(raw, to) == ERR_OK;
}

static void take_addr(struct routing_v1_peer *peer, struct span raw)
{
    struct buf text;
    struct multiaddr addr;
    if (peer->addr_count == ROUTING_V1_ADDRS_MAX)
        return;
    buf_init(&text, ADDR_TEXT_MAX, NULL);
    if (unescape(raw, &text) && multiaddr_parse_text(buf_span(&text), &addr) == ERR_OK)
        peer->addrs[peer->addr_count++] = addr;
    buf_release(&text);
}

static void take_protocol(struct routing_v1_peer *peer, struct span raw)
{
    peer->told_protocols = true;
    peer->bitswap = peer->bitswap || json_text_string_is(raw, "transport-bitswap");
}

/* A list of strings; null is an empty one, and what is no string is passed over. */
static enum err take_list(struct span *in, struct routing_v1_peer *peer,
                          void (*each)(struct routing_v1_peer *, struct span))
{
    json_text_skip_space(in);
    if (in->len == 0 || in->data[0] != '[')
        return skip_value(in, ROUTING_V1_DEPTH_MAX);
    *in = span_skip(*in, 1);
    if (json_text_take_char(in, ']'))
        return ERR_OK;
    for (;;) {
        struct span raw;
        json_text_skip_space(in);
        bool text = in->len > 0 && in->data[0] == '"';
        enum err err = text ? json_text_take_string(in, &raw) : skip_value(in, ROUTING_V1_DEPTH_MAX);
        if (err != ERR_OK)
            return err;
        if (text)
            each(peer, raw);
        if (json_text_take_char(in, ']'))
            return ERR_OK;
        if (!json_text_take_char(in, ','))
            return ERR_INVALID;
    }
}

static enum err take_id(struct span *in, struct routing_v1_peer *peer)
{
    struct span raw;
    struct buf text;
    enum err err = json_text_take_string(in, &raw);
    if (err != ERR_OK)
        return err;
    buf_init(&text, 2 * PEER_ID_TEXT_MAX, NULL);
    if (!unescape(raw, &text) || peer_id_parse_text(buf_span(&text), &peer->id) != ERR_OK)
        peer->id.len = 0;
    buf_release(&text);
    return ERR_OK;
}

/* "bitswap" is how the first version of the interface said "peer". */
static enum err take_schema(struct span *in, bool *ret_peer)
{
    struct span raw;
    enum err err = json_text_take_string(in, &raw);
    *ret_peer = err == ERR_OK && (json_text_string_is(raw, "peer") || json_text_string_is(raw, "bitswap"));
    return err;
}

static enum err take_field(struct span *in, struct routing_v1_peer *peer, bool *is_peer)
{
    struct span key;
    enum err err = json_text_take_string(in, &key);
    if (err == ERR_OK && !json_text_take_char(in, ':'))
        err = ERR_INVALID;
    if (err != ERR_OK)
        return err;
    json_text_skip_space(in);
    bool text = in->len > 0 && in->data[0] == '"';
    if (text && json_text_string_is(key, "Schema"))
        return take_schema(in, is_peer);
    if (text && json_text_string_is(key, "ID"))
        return take_id(in, peer);
    if (json_text_string_is(key, "Addrs"))
        return take_list(in, peer, take_addr);
    if (json_text_string_is(key, "Protocols"))
        return take_list(in, peer, take_protocol);
    return skip_value(in, ROUTING_V1_DEPTH_MAX);
}

/* Addresses may end with the peer's own id; those of others are somebody's mistake, or worse. */
static void tidy_addrs(struct routing_v1_peer *peer)
{
    size_t kept = 0;
    for (size_t i = 0; i < peer->addr_count; i++) {
        struct multiaddr addr = peer->addrs[i];
        struct peer_id id;
        bool named = multiaddr_peer(multiaddr_span(&addr), &id) == ERR_OK;
        if (named && !peer_id_equal(&id, &peer->id))
            continue;
        if (named && multiaddr_parse(multiaddr_without_peer(multiaddr_span(&addr)), &addr) != ERR_OK)
            continue;
        peer->addrs[kept++] = addr;
    }
    peer->addr_count = kept;
}

enum err routing_v1_peer_parse(struct span json, struct routing_v1_peer *peer)
{
    bool is_peer = false;
    peer->id = (struct peer_id){0};
    peer->addr_count = 0;
    peer->told_protocols = peer->bitswap = false;
    if (!json_text_take_char(&json, '{'))
        return ERR_INVALID;
    bool end = json_text_take_char(&json, '}');
    while (!end) {
        json_text_skip_space(&json);
        enum err err = take_field(&json, peer, &is_peer);
        if (err != ERR_OK)
            return ERR_INVALID;
        end = json_text_take_char(&json, '}');
        if (!end && !json_text_take_char(&json, ','))
            return ERR_INVALID;
    }
    json_text_skip_space(&json);
    if (json.len > 0)
        return ERR_INVALID;
    if (!is_peer)
        return ERR_UNSUPPORTED;
    if (peer_id_is_empty(&peer->id))
        return ERR_INVALID;
    tidy_addrs(peer);
    return ERR_OK;
}

/* ---- the list ---- */

static bool begins_without_case(struct span s, const char *word)
{
    size_t len = strlen(word);
    if (s.len < len)
        return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = s.data[i];
        if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != (uint8_t)word[i])
            return false;
    }
    return true;
}

void routing_v1_reader_init(struct routing_v1_reader *r, struct span content_type)
{
    r->stream = begins_without_case(span_trim(content_type), ROUTING_V1_NDJSON);
    r->failed = r->done = r->in_string = r->escaped = r->in_list = r->capturing = r->too_long = false;
    r->depth = r->capture_depth = 0;
    r->key_len = r->records = r->unusable = r->len = 0;
}

static void end_record(struct routing_v1_reader *r, routing_v1_sink *sink, void *arg)
{
    r->capturing = false;
    if (!r->too_long && routing_v1_peer_parse(span_of(r->text, r->len), &r->peer) == ERR_OK)
        sink(arg, &r->peer);
    else
        r->unusable++;
    r->len = 0;
    r->too_long = false;
    r->done = r->done || ++r->records == ROUTING_V1_RECORDS_MAX;
}

static bool is_list_key(const struct routing_v1_reader *r)
{
    struct span key = span_of(r->key, MIN(r->key_len, sizeof(r->key)));
    return span_equal_text(key, "Providers") || span_equal_text(key, "Peers");
}

static void open_bracket(struct routing_v1_reader *r, uint8_t c)
{
    unsigned at = r->depth++;
    r->failed = r->failed || r->depth > ROUTING_V1_DEPTH_MAX;
    if (at == 0 && c == '[')
        r->failed = true; /* an object is expected, in both forms */
    else if (!r->stream && at == 1 && c == '[' && is_list_key(r))
        r->in_list = true;
    else if (!r->capturing && c == '{' && (r->stream ? at == 0 : r->in_list && at == 2)) {
        r->capturing = true;
        r->capture_depth = at;
    }
}

static void close_bracket(struct routing_v1_reader *r, routing_v1_sink *sink, void *arg)
{
    if (r->depth == 0) {
        r->failed = true;
        return;
    }
    r->depth--;
    if (r->capturing && r->depth == r->capture_depth)
        end_record(r, sink, arg);
    if (r->depth == 1)
        r->in_list = false;
    if (r->depth == 0 && !r->stream)
        r->done = true;
}

static void string_char(struct routing_v1_reader *r, uint8_t c)
{
    if (r->escaped)
        r->escaped = false;
    else if (c == '\\')
        r->escaped = true;
    else if (c == '"') {
        r->in_string = false;
        return;
    }
    if (r->depth == 1 && !r->capturing) {
        if (r->key_len < sizeof(r->key))
            r->key[r->key_len] = (char)c;
        r->key_len = MIN(r->key_len + 1, sizeof(r->key));
    }
}

static void one_char(struct routing_v1_reader *r, uint8_t c, routing_v1_sink *sink, void *arg)
{
    if (!r->in_string && (c == '{' || c == '['))
        open_bracket(r, c);
    if (r->capturing) {
        r->too_long = r->too_long || r->len == sizeof(r->text);
        if (!r->too_long)
            r->text[r->len++] = c;
    }
    if (r->in_string)
        string_char(r, c);
    else if (c == '"') {
        r->in_string = true;
        r->key_len = r->depth == 1 ? 0 : r->key_len;
    } else if (c == '}' || c == ']')
        close_bracket(r, sink, arg);
}

enum err routing_v1_reader_feed(struct routing_v1_reader *r, struct span in, routing_v1_sink *sink, void *arg)
{
    for (size_t i = 0; i < in.len && !r->done && !r->failed; i++)
        one_char(r, in.data[i], sink, arg);
    return r->failed ? ERR_INVALID : ERR_OK;
}

/* ---- addresses ---- */

static const char *const kind_names[] = {
    [ROUTING_V1_PROVIDERS] = "providers", [ROUTING_V1_PEERS] = "peers", [ROUTING_V1_NAMES] = "ipns"};

static bool drop_end(struct span *s, const char *end)
{
    size_t len = strlen(end);
    if (s->len < len || memcmp(s->data + s->len - len, end, len) != 0)
        return false;
    s->len -= len;
    return true;
}

enum err routing_v1_router_parse(struct span text, struct routing_v1_router *ret_router, const char **ret_why)
{
    struct routing_v1_router router = {.kinds = {true, true, true}};
    bool secure = span_equal_text(span_first(text, 8), "https://");
    *ret_why = "it must begin with http:// or https:// and a host";
    if (!secure && !span_equal_text(span_first(text, 7), "http://"))
        return ERR_INVALID;
    while (drop_end(&text, "/"))
        continue;
    if (text.len <= (secure ? 8u : 7u))
        return ERR_INVALID;
    *ret_why = "it has a space, a control character, a query or a fragment";
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 0x7f || strchr("?#\"\\<>", text.data[i]) != NULL)
            return ERR_INVALID;
    for (int kind = 0; kind < 3; kind++) {
        struct span rest = text;
        if (!drop_end(&rest, kind_names[kind]) || !drop_end(&rest, "/routing/v1/"))
            continue;
        text = rest;
        for (int other = 0; other < 3; other++)
            router.kinds[other] = other == kind;
    }
    (void)drop_end(&text, "/routing/v1");
    *ret_why = "it is longer than 255 bytes";
    if (text.len > ROUTING_V1_BASE_MAX)
        return ERR_INVALID;
    memcpy(router.base, text.data, text.len);
    router.base[text.len] = '\0';
    *ret_router = router;
    return ERR_OK;
}

enum err routing_v1_url(const struct routing_v1_router *router, enum routing_v1_kind kind, const struct cid *cid,
                        char to[ROUTING_V1_URL_MAX])
{
    char text[CID_TEXT_MAX];
    struct cid v1 = cid_v1(cid->codec, &cid->hash);
    enum err err = cid_text_base(&v1, kind == ROUTING_V1_PROVIDERS ? MULTIBASE_32 : MULTIBASE_36, text);
    if (!router->kinds[kind])
        return ERR_UNSUPPORTED;
    if (err == ERR_OK)
        (void)snprintf(to, ROUTING_V1_URL_MAX, "%s/routing/v1/%s/%s", router->base, kind_names[kind], text);
    return err;
}
