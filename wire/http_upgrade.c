/* SPDX-License-Identifier: MIT */
#include "wire/http_upgrade.h"

#include <assert.h>

#include "wire/multibase.h"
#include "wire/multihash.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static const char request_begin[] = "GET ";
static const char response_begin[] = "HTTP/1.1 ";

/* ---- key and accept ---- */

static void base64(struct span data, char *to, size_t chars)
{
    size_t len = 0;
    char text[48];
    enum err err = multibase_encode_bare(MULTIBASE_64_PAD, data, text, sizeof(text), &len);
    assert(err == ERR_OK && len == chars);
    (void)err;
    memcpy(to, text, chars);
}

void http_upgrade_key(const uint8_t nonce[HTTP_UPGRADE_NONCE_BYTES], char to[HTTP_UPGRADE_KEY_CHARS])
{
    base64(span_of(nonce, HTTP_UPGRADE_NONCE_BYTES), to, HTTP_UPGRADE_KEY_CHARS);
}

enum err http_upgrade_accept(const char key[HTTP_UPGRADE_KEY_CHARS], char to[HTTP_UPGRADE_ACCEPT_CHARS])
{
    uint8_t text[HTTP_UPGRADE_KEY_CHARS + sizeof(GUID) - 1];
    memcpy(text, key, HTTP_UPGRADE_KEY_CHARS);
    memcpy(text + HTTP_UPGRADE_KEY_CHARS, GUID, sizeof(GUID) - 1);
    struct multihash hash;
    enum err err = multihash_sum(MULTIHASH_SHA1, 0, span_of(text, sizeof(text)), &hash);
    if (err == ERR_OK)
        base64(span_of(hash.digest, hash.len), to, HTTP_UPGRADE_ACCEPT_CHARS);
    return err;
}

/* ---- text ---- */

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* word is in lower case. */
static bool is_word(struct span s, const char *word)
{
    struct span w = span_text(word);
    if (s.len != w.len)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (lower(s.data[i]) != w.data[i])
            return false;
    return true;
}

/* Takes what stands before the first end; false: end does not occur. */
static bool take_until(struct span *s, const char *end, struct span *ret_part)
{
    size_t n = strlen(end);
    const uint8_t *at = s->len == 0 ? NULL : memmem(s->data, s->len, end, n);
    if (at == NULL)
        return false;
    *ret_part = span_first(*s, (size_t)(at - s->data));
    *s = span_skip(*s, ret_part->len + n);
    return true;
}

/* Whether a list of words with commas between has this one. */
static bool list_has(struct span list, const char *word)
{
    struct span item;
    while (take_until(&list, ",", &item))
        if (is_word(span_trim(item), word))
            return true;
    return is_word(span_trim(list), word);
}

static bool may_begin(struct span begin, const char *with)
{
    struct span all = span_text(with);
    size_t n = MIN(begin.len, all.len);
    return span_equal(span_first(begin, n), span_first(all, n));
}

bool http_upgrade_may_be_request(struct span begin)
{
    return may_begin(begin, request_begin);
}

bool http_upgrade_may_be_response(struct span begin)
{
    return may_begin(begin, response_begin);
}

size_t http_upgrade_head(struct span in, size_t looked)
{
    static const char end[] = "\r\n\r\n";
    size_t from = looked < 3 ? 0 : looked - 3; /* the end may have begun before */
    if (in.len < 4 || from > in.len - 4)
        return 0;
    const uint8_t *at = memmem(in.data + from, in.len - from, end, 4);
    return at == NULL ? 0 : (size_t)(at - in.data) + 4;
}

/* ---- fields ---- */

/* What counts of a head. A field that must not occur twice and does makes its number 2. */
struct fields {
    bool host;
    bool upgrade_websocket;
    bool connection_upgrade;
    bool granted_more; /* an extension or a subprotocol */
    unsigned keys;
    unsigned accepts;
    unsigned versions;
    struct span key;
    struct span accept;
    struct span version;
};

static bool is_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] <= ' ' || name.data[i] >= 0x7f)
            return false;
    return name.len > 0;
}

static void take_field(struct fields *f, struct span name, struct span value)
{
    if (is_word(name, "host")) {
        f->host = true;
    } else if (is_word(name, "upgrade")) {
        f->upgrade_websocket = f->upgrade_websocket || list_has(value, "websocket");
    } else if (is_word(name, "connection")) {
        f->connection_upgrade = f->connection_upgrade || list_has(value, "upgrade");
    } else if (is_word(name, "sec-websocket-key")) {
        f->keys++;
        f->key = value;
    } else if (is_word(name, "sec-websocket-accept")) {
        f->accepts++;
        f->accept = value;
    } else if (is_word(name, "sec-websocket-version")) {
        f->versions++;
        f->version = value;
    } else if (is_word(name, "sec-websocket-extensions") || is_word(name, "sec-websocket-protocol")) {
        f->granted_more = f->granted_more || value.len > 0;
    }
}

/* Splits a head into its first line and its fields. */
static enum err read_head(struct span head, struct span *ret_first, struct fields *ret_fields)
{
    struct fields f = {0};
    struct span line;
    struct span name;
    if (!take_until(&head, "\r\n", ret_first))
        return ERR_PROTOCOL;
    for (unsigned count = 0; take_until(&head, "\r\n", &line) && line.len > 0; count++) {
        if (count == HTTP_UPGRADE_FIELDS_MAX || !take_until(&line, ":", &name) || !is_name(name))
            return ERR_PROTOCOL;
        take_field(&f, name, span_trim(line));
    }
    *ret_fields = f;
    return ERR_OK;
}

/* ---- request ---- */

enum err http_upgrade_ask(const char *host, const char key[HTTP_UPGRADE_KEY_CHARS], struct buf *out)
{
    return buf_appendf(out,
                       "GET / HTTP/1.1\r\n"
                       "Host: %s\r\n"
                       "Upgrade: websocket\r\n"
                       "Connection: Upgrade\r\n"
                       "Sec-WebSocket-Key: %.*s\r\n"
                       "Sec-WebSocket-Version: 13\r\n\r\n",
                       host, (int)HTTP_UPGRADE_KEY_CHARS, key);
}

/* GET, a target, HTTP/1.1: one space between each. */
static bool is_get(struct span line)
{
    struct span method;
    struct span target;
    return take_until(&line, " ", &method) && span_equal_text(method, "GET") && take_until(&line, " ", &target) &&
           target.len > 0 && span_equal_text(line, "HTTP/1.1");
}

static bool is_key(struct span key)
{
    uint8_t nonce[HTTP_UPGRADE_NONCE_BYTES];
    size_t len = 0;
    return key.len == HTTP_UPGRADE_KEY_CHARS &&
           multibase_decode_bare(MULTIBASE_64_PAD, key, nonce, sizeof(nonce), &len) == ERR_OK && len == sizeof(nonce);
}

enum err http_upgrade_read_ask(struct span head, char ret_accept[HTTP_UPGRADE_ACCEPT_CHARS])
{
    struct span line;
    struct fields f;
    enum err err = read_head(head, &line, &f);
    if (err != ERR_OK)
        return err;
    if (!is_get(line) || !f.host)
        return ERR_PROTOCOL;
    if (!f.upgrade_websocket || !f.connection_upgrade || f.versions != 1 || !span_equal_text(f.version, "13"))
        return ERR_UNSUPPORTED;
    if (f.keys != 1 || !is_key(f.key))
        return ERR_PROTOCOL;
    char key[HTTP_UPGRADE_KEY_CHARS];
    memcpy(key, f.key.data, sizeof(key));
    return http_upgrade_accept(key, ret_accept);
}

/* ---- response ---- */

enum err http_upgrade_grant(const char accept[HTTP_UPGRADE_ACCEPT_CHARS], struct buf *out)
{
    return buf_appendf(out,
                       "HTTP/1.1 101 Switching Protocols\r\n"
                       "Upgrade: websocket\r\n"
                       "Connection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: %.*s\r\n\r\n",
                       (int)HTTP_UPGRADE_ACCEPT_CHARS, accept);
}

enum err http_upgrade_refuse(enum err why, struct buf *out)
{
    if (why == ERR_UNSUPPORTED)
        return buf_append_text(out, "HTTP/1.1 426 Upgrade Required\r\n"
                                    "Upgrade: websocket\r\n"
                                    "Connection: Upgrade, close\r\n"
                                    "Sec-WebSocket-Version: 13\r\n"
                                    "Content-Length: 0\r\n\r\n");
    return buf_append_text(out, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* The three digits behind HTTP/1.1; NULL: there are none. */
static const uint8_t *status_of(struct span line)
{
    size_t at = sizeof(response_begin) - 1;
    if (!may_begin(line, response_begin) || line.len < at + 3 || (line.len > at + 3 && line.data[at + 3] != ' '))
        return NULL;
    const uint8_t *status = line.data + at;
    return is_digit(status[0]) && is_digit(status[1]) && is_digit(status[2]) ? status : NULL;
}

enum err http_upgrade_read_grant(struct span head, const char accept[HTTP_UPGRADE_ACCEPT_CHARS])
{
    struct span line;
    struct fields f;
    enum err err = read_head(head, &line, &f);
    if (err != ERR_OK)
        return err;
    const uint8_t *status = status_of(line);
    if (status == NULL)
        return ERR_PROTOCOL;
    if (memcmp(status, "101", 3) != 0)
        return ERR_UNSUPPORTED;
    bool proved = f.accepts == 1 && span_equal(f.accept, span_of(accept, HTTP_UPGRADE_ACCEPT_CHARS));
    return f.upgrade_websocket && f.connection_upgrade && proved && !f.granted_more ? ERR_OK : ERR_PROTOCOL;
}
