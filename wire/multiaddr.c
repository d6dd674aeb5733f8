/* SPDX-License-Identifier: MIT */
#include "wire/multiaddr.h"

#include <assert.h>
#include <string.h>

#include "wire/multiaddr_value.h"
#include "wire/varint.h"

enum err multiaddr_next(struct span *in, struct multiaddr_part *ret_part)
{
    struct span rest = *in;
    uint64_t code = 0;
    enum err err = varint_decode(&rest, &code);
    if (err != ERR_OK)
        return err;
    const struct multiaddr_protocol *p = multiaddr_protocol_of(code);
    if (p == NULL)
        return ERR_UNSUPPORTED;
    uint64_t size = (uint64_t)p->size;
    if (p->size == MULTIADDR_SIZE_VARIES) {
        err = varint_decode(&rest, &size);
        if (err != ERR_OK)
            return err;
    }
    if (size > rest.len)
        return ERR_TRUNCATED;
    struct span value = span_first(rest, (size_t)size);
    if (!multiaddr_value_ok(p->kind, value))
        return ERR_INVALID;
    rest = span_skip(rest, value.len);
    *ret_part =
        (struct multiaddr_part){.code = (uint32_t)code, .value = value, .whole = span_first(*in, in->len - rest.len)};
    *in = rest;
    return ERR_OK;
}

/* A unix path takes the rest of the text, so nothing can follow it. */
static enum err check(struct span bytes)
{
    if (bytes.len == 0)
        return ERR_INVALID;
    while (bytes.len > 0) {
        struct multiaddr_part part;
        enum err err = multiaddr_next(&bytes, &part);
        if (err != ERR_OK)
            return err;
        if (part.code == MULTIADDR_UNIX && bytes.len > 0)
            return ERR_INVALID;
    }
    return ERR_OK;
}

enum err multiaddr_parse(struct span bytes, struct multiaddr *ret_addr)
{
    if (bytes.len > MULTIADDR_BYTES_MAX)
        return ERR_TOO_LARGE;
    enum err err = check(bytes);
    if (err != ERR_OK)
        return err;
    struct multiaddr addr = {.len = (uint16_t)bytes.len};
    memcpy(addr.bytes, bytes.data, bytes.len);
    *ret_addr = addr;
    return ERR_OK;
}

enum err multiaddr_append(struct multiaddr *addr, enum multiaddr_code code, struct span value)
{
    const struct multiaddr_protocol *p = multiaddr_protocol_of((uint64_t)code);
    if (p == NULL)
        return ERR_UNSUPPORTED;
    bool varies = p->size == MULTIADDR_SIZE_VARIES;
    if ((!varies && value.len != (size_t)p->size) || !multiaddr_value_ok(p->kind, value))
        return ERR_INVALID;
    uint8_t head[2 * VARINT_BYTES_MAX];
    size_t n = varint_encode((uint64_t)code, head);
    if (varies)
        n += varint_encode(value.len, head + n);
    if (n + value.len > (size_t)MULTIADDR_BYTES_MAX - addr->len)
        return ERR_TOO_LARGE;
    memcpy(addr->bytes + addr->len, head, n);
    if (value.len > 0)
        memcpy(addr->bytes + addr->len + n, value.data, value.len);
    addr->len = (uint16_t)(addr->len + n + value.len);
    return ERR_OK;
}

/* Takes the text up to the next slash and the slash. */
static struct span take_word(struct span *text)
{
    const uint8_t *slash = text->len == 0 ? NULL : memchr(text->data, '/', text->len);
    size_t len = slash == NULL ? text->len : (size_t)(slash - text->data);
    struct span word = span_first(*text, len);
    *text = span_skip(*text, len + 1);
    return word;
}

/* What stands for the value: nothing, one word, or for unix all the rest with its leading slash. */
static enum err take_value(const struct multiaddr_protocol *p, struct span *text, struct span *ret_word)
{
    *ret_word = (struct span){0};
    if (p->kind == KIND_NONE)
        return ERR_OK;
    if (text->len == 0)
        return ERR_INVALID;
    if (p->kind != KIND_UNIX) {
        *ret_word = take_word(text);
        return ERR_OK;
    }
    /* the slash that take_word dropped stands right before the rest */
    *ret_word = span_of(text->data - 1, text->len + 1);
    *text = span_skip(*text, text->len);
    return ERR_OK;
}

static enum err parse_component(struct span *text, struct multiaddr *addr)
{
    const struct multiaddr_protocol *p = multiaddr_protocol_named(take_word(text));
    if (p == NULL)
        return ERR_UNSUPPORTED;
    struct span word;
    uint8_t value[MULTIADDR_BYTES_MAX];
    size_t len = 0;
    enum err err = take_value(p, text, &word);
    if (err == ERR_OK)
        err = multiaddr_value_parse(p->kind, word, value, sizeof(value), &len);
    if (err != ERR_OK)
        return err;
    return multiaddr_append(addr, p->code, span_of(value, len));
}

enum err multiaddr_parse_text(struct span text, struct multiaddr *ret_addr)
{
    struct multiaddr addr = {0};
    if (text.len < 2 || text.data[0] != '/')
        return ERR_INVALID;
    if (text.data[text.len - 1] == '/')
        text.len--; /* tolerated everywhere */
    if (text.len < 2)
        return ERR_INVALID;
    text = span_skip(text, 1);
    while (text.len > 0) {
        enum err err = parse_component(&text, &addr);
        if (err != ERR_OK)
            return err;
    }
    *ret_addr = addr;
    return ERR_OK;
}

static enum err text_append(char *to, size_t cap, size_t *len, struct span text)
{
    if (text.len > cap - *len)
        return ERR_TOO_LARGE;
    if (text.len > 0)
        memcpy(to + *len, text.data, text.len);
    *len += text.len;
    return ERR_OK;
}

static enum err text_part(const struct multiaddr_part *part, char *to, size_t cap, size_t *len)
{
    const struct multiaddr_protocol *p = multiaddr_protocol_of(part->code);
    enum err err = text_append(to, cap, len, span_text("/"));
    if (err == ERR_OK)
        err = text_append(to, cap, len, span_text(p->name));
    if (err != ERR_OK || p->kind == KIND_NONE)
        return err;
    if (p->kind != KIND_UNIX)
        err = text_append(to, cap, len, span_text("/"));
    if (err != ERR_OK)
        return err;
    size_t chars = 0;
    err = multiaddr_value_text(p->kind, part->value, to + *len, cap - *len, &chars);
    if (err == ERR_OK)
        *len += chars;
    return err;
}

enum err multiaddr_text(struct span bytes, char *to, size_t cap)
{
    size_t len = 0;
    enum err err = check(bytes);
    if (err != ERR_OK)
        return err;
    if (cap == 0)
        return ERR_TOO_LARGE;
    while (bytes.len > 0) {
        struct multiaddr_part part;
        err = multiaddr_next(&bytes, &part);
        if (err == ERR_OK)
            err = text_part(&part, to, cap - 1, &len);
        if (err != ERR_OK)
            return err;
    }
    to[len] = '\0';
    return ERR_OK;
}

/* The last component; false for an invalid address. */
static bool last_part(struct span bytes, struct multiaddr_part *ret_part)
{
    struct multiaddr_part part = {0};
    if (check(bytes) != ERR_OK)
        return false;
    while (bytes.len > 0)
        if (multiaddr_next(&bytes, &part) != ERR_OK)
            return false;
    *ret_part = part;
    return true;
}

struct span multiaddr_without_peer(struct span bytes)
{
    struct multiaddr_part last;
    if (!last_part(bytes, &last) || last.code != MULTIADDR_P2P)
        return bytes;
    return span_first(bytes, bytes.len - last.whole.len);
}

enum err multiaddr_peer(struct span bytes, struct peer_id *ret_peer)
{
    struct multiaddr_part last;
    if (!last_part(bytes, &last) || last.code != MULTIADDR_P2P)
        return ERR_NOT_FOUND;
    return peer_id_parse(last.value, ret_peer);
}

enum err multiaddr_add_peer(struct multiaddr *addr, const struct peer_id *peer)
{
    struct peer_id present;
    if (multiaddr_peer(multiaddr_span(addr), &present) == ERR_OK)
        return peer_id_equal(&present, peer) ? ERR_OK : ERR_MISMATCH;
    return multiaddr_append(addr, MULTIADDR_P2P, peer_id_span(peer));
}

bool multiaddr_has(struct span bytes, enum multiaddr_code code)
{
    struct multiaddr_part part;
    while (bytes.len > 0 && multiaddr_next(&bytes, &part) == ERR_OK)
        if (part.code == (uint32_t)code)
            return true;
    return false;
}

struct multiaddr multiaddr_of_tcp(struct span ip, uint16_t port)
{
    struct multiaddr addr = {0};
    uint8_t bytes[2] = {(uint8_t)(port >> 8), (uint8_t)port};
    enum err err = multiaddr_append(&addr, ip.len == 4 ? MULTIADDR_IP4 : MULTIADDR_IP6, ip);
    if (err == ERR_OK)
        err = multiaddr_append(&addr, MULTIADDR_TCP, span_of(bytes, sizeof(bytes)));
    assert(err == ERR_OK);
    (void)err;
    return addr;
}
