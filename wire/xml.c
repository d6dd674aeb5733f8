/* SPDX-License-Identifier: MIT */
#include "wire/xml.h"

#include <string.h>

struct xml {
    struct span in;
    xml_each *each;
    void *arg;
    struct span names[XML_DEPTH_MAX + 1]; /* of the open elements; names[0] is empty */
    unsigned depth;
    bool leaf; /* the innermost element has had no child */
    size_t text_len;
    uint8_t text[XML_TEXT_MAX];
};

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_name(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c == ':';
}

static bool begins(struct span s, const char *text)
{
    return s.len >= strlen(text) && memcmp(s.data, text, strlen(text)) == 0;
}

static void skip_space(struct span *s)
{
    while (s->len > 0 && is_space(s->data[0]))
        *s = span_skip(*s, 1);
}

static enum err take_name(struct span *s, struct span *ret_name)
{
    size_t len = 0;
    while (len < s->len && is_name(s->data[len]))
        len++;
    if (len == s->len)
        return ERR_TRUNCATED;
    if (len == 0)
        return ERR_PROTOCOL;
    *ret_name = span_first(*s, len);
    *s = span_skip(*s, len);
    return ERR_OK;
}

/* Passes over  name="value"  and the like, up to what ends the tag. */
static enum err skip_attributes(struct span *s)
{
    for (;;) {
        struct span name;
        skip_space(s);
        if (s->len == 0)
            return ERR_TRUNCATED;
        if (s->data[0] == '>' || s->data[0] == '/')
            return ERR_OK;
        enum err err = take_name(s, &name);
        if (err != ERR_OK)
            return err;
        if (s->len < 2)
            return ERR_TRUNCATED;
        uint8_t quote = s->data[1];
        if (s->data[0] != '=' || (quote != '"' && quote != '\''))
            return ERR_PROTOCOL;
        *s = span_skip(*s, 2);
        const uint8_t *end = s->len == 0 ? NULL : memchr(s->data, quote, s->len);
        if (end == NULL)
            return ERR_TRUNCATED;
        if (memchr(s->data, '<', (size_t)(end - s->data)) != NULL)
            return ERR_PROTOCOL;
        *s = span_skip(*s, (size_t)(end - s->data) + 1);
    }
}

/* ---- text ---- */

static enum err add_byte(struct xml *x, uint8_t byte)
{
    if (x->text_len == sizeof(x->text))
        return ERR_TOO_LARGE;
    x->text[x->text_len++] = byte;
    return ERR_OK;
}

static enum err add_code(struct xml *x, uint32_t code)
{
    uint8_t bytes[4];
    size_t len = 0;
    if (code < 0x80) {
        bytes[len++] = (uint8_t)code;
    } else if (code < 0x800) {
        bytes[len++] = (uint8_t)(0xc0 | code >> 6);
        bytes[len++] = (uint8_t)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        bytes[len++] = (uint8_t)(0xe0 | code >> 12);
        bytes[len++] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        bytes[len++] = (uint8_t)(0x80 | (code & 0x3f));
    } else {
        bytes[len++] = (uint8_t)(0xf0 | code >> 18);
        bytes[len++] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
        bytes[len++] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        bytes[len++] = (uint8_t)(0x80 | (code & 0x3f));
    }
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < len; i++)
        err = add_byte(x, bytes[i]);
    return err;
}

/* "#38" or "#x26"; a character that XML may have. */
static enum err number_of(struct span name, uint32_t *ret_code)
{
    static const char digits[] = "0123456789abcdef";
    bool hex = name.len > 1 && name.data[1] == 'x';
    uint32_t base = hex ? 16 : 10;
    uint32_t code = 0;
    name = span_skip(name, hex ? 2 : 1);
    if (name.len == 0 || name.len > 7)
        return ERR_PROTOCOL;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i] >= 'A' && name.data[i] <= 'F' ? (uint8_t)(name.data[i] + 32) : name.data[i];
        const char *digit = c == 0 ? NULL : memchr(digits, c, base);
        if (digit == NULL)
            return ERR_PROTOCOL;
        code = code * base + (uint32_t)(digit - digits);
    }
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return ERR_PROTOCOL;
    *ret_code = code;
    return ERR_OK;
}

/* Behind an ampersand. */
static enum err take_entity(struct xml *x)
{
    static const struct {
        const char *name;
        uint32_t code;
    } named[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    size_t look = MIN(x->in.len, (size_t)10);
    const uint8_t *end = look == 0 ? NULL : memchr(x->in.data, ';', look);
    if (end == NULL)
        return x->in.len < 10 ? ERR_TRUNCATED : ERR_PROTOCOL;
    struct span name = span_first(x->in, (size_t)(end - x->in.data));
    uint32_t code = 0;
    enum err err = name.len > 0 && name.data[0] == '#' ? number_of(name, &code) : ERR_OK;
    for (size_t i = 0; err == ERR_OK && code == 0 && i < ARRAY_LEN(named); i++)
        code = span_equal_text(name, named[i].name) ? named[i].code : 0;
    if (err != ERR_OK || code == 0)
        return ERR_PROTOCOL;
    x->in = span_skip(x->in, name.len + 1);
    return add_code(x, code);
}

/* Text up to the next tag. */
static enum err take_text(struct xml *x)
{
    enum err err = ERR_OK;
    while (err == ERR_OK && x->in.len > 0 && x->in.data[0] != '<') {
        uint8_t c = x->in.data[0];
        x->in = span_skip(x->in, 1);
        if (x->depth == 0 || !x->leaf) /* between elements there is only space */
            err = is_space(c) ? ERR_OK : ERR_PROTOCOL;
        else
            err = c == '&' ? take_entity(x) : c == 0 ? ERR_PROTOCOL : add_byte(x, c);
    }
    return err;
}

/* ---- tags ---- */

static enum err close_element(struct xml *x)
{
    struct xml_element element = {.depth = x->depth, .name = x->names[x->depth], .parent = x->names[x->depth - 1]};
    if (x->leaf)
        element.text = span_of(x->text, x->text_len);
    x->depth--;
    x->leaf = false;
    return x->each(x->arg, &element);
}

/* Only space may stand in front of a first child. */
static bool text_is_space(const struct xml *x)
{
    for (size_t i = 0; i < x->text_len; i++) {
        if (!is_space(x->text[i]))
            return false;
    }
    return true;
}

/* Behind "<". */
static enum err open_element(struct xml *x)
{
    struct span name;
    enum err err = take_name(&x->in, &name);
    if (err == ERR_OK)
        err = skip_attributes(&x->in);
    if (err != ERR_OK)
        return err;
    if (x->depth > 0 && x->leaf && !text_is_space(x))
        return ERR_PROTOCOL;
    if (x->depth == XML_DEPTH_MAX)
        return ERR_TOO_LARGE;
    x->names[++x->depth] = name;
    x->leaf = true;
    x->text_len = 0;
    if (x->in.data[0] == '>') {
        x->in = span_skip(x->in, 1);
        return ERR_OK;
    }
    if (x->in.len < 2)
        return ERR_TRUNCATED;
    if (x->in.data[1] != '>')
        return ERR_PROTOCOL;
    x->in = span_skip(x->in, 2);
    return close_element(x);
}

/* Behind "</". */
static enum err end_element(struct xml *x)
{
    struct span name;
    enum err err = take_name(&x->in, &name);
    if (err != ERR_OK)
        return err;
    skip_space(&x->in);
    if (x->in.len == 0)
        return ERR_TRUNCATED;
    if (x->in.data[0] != '>' || x->depth == 0 || !span_equal(name, x->names[x->depth]))
        return ERR_PROTOCOL;
    x->in = span_skip(x->in, 1);
    return close_element(x);
}

static enum err skip_prolog(struct xml *x)
{
    if (begins(x->in, "\xef\xbb\xbf"))
        x->in = span_skip(x->in, 3);
    if (!begins(x->in, "<?xml "))
        return ERR_OK;
    const uint8_t *end = memchr(x->in.data, '>', x->in.len);
    if (end == NULL)
        return ERR_TRUNCATED;
    if (end[-1] != '?')
        return ERR_PROTOCOL;
    x->in = span_skip(x->in, (size_t)(end - x->in.data) + 1);
    return ERR_OK;
}

enum err xml_read(struct span bytes, xml_each *each, void *arg)
{
    struct xml x = {.in = bytes, .each = each, .arg = arg};
    bool rooted = false;
    enum err err = skip_prolog(&x);
    while (err == ERR_OK) {
        err = take_text(&x);
        if (err != ERR_OK || x.in.len == 0)
            break;
        x.in = span_skip(x.in, 1); /* "<" */
        if (x.in.len > 0 && x.in.data[0] == '/') {
            x.in = span_skip(x.in, 1);
            err = end_element(&x);
        } else if (rooted && x.depth == 0) {
            err = ERR_PROTOCOL; /* a second root */
        } else {
            rooted = true;
            err = open_element(&x);
        }
    }
    if (err != ERR_OK)
        return err;
    return rooted && x.depth == 0 ? ERR_OK : ERR_TRUNCATED;
}
