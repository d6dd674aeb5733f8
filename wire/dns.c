/* SPDX-License-Identifier: MIT */
#include "wire/dns.h"

#include <string.h>

enum { POINTER_TAG = 0xc0, RECORD_TAIL_BYTES = 10, QUESTION_TAIL_BYTES = 4 };

static uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)get_u16(at) << 16 | get_u16(at + 2);
}

/* ---- names ---- */

static enum err add_label(struct dns_name *name, struct span label)
{
    if (label.len == 0 || label.len > DNS_LABEL_BYTES_MAX || name->len + 1 + label.len > DNS_NAME_BYTES_MAX - 1)
        return ERR_INVALID;
    name->bytes[name->len++] = (uint8_t)label.len;
    memcpy(name->bytes + name->len, label.data, label.len);
    name->len = (uint8_t)(name->len + label.len);
    return ERR_OK;
}

enum err dns_name_parse_text(const char *text, struct dns_name *ret_name)
{
    struct dns_name name = {0};
    for (struct span rest = span_text(text); rest.len > 0;) {
        const uint8_t *dot = memchr(rest.data, '.', rest.len);
        size_t len = dot == NULL ? rest.len : (size_t)(dot - rest.data);
        enum err err = add_label(&name, span_first(rest, len));
        if (err != ERR_OK)
            return err;
        rest = span_skip(rest, dot == NULL ? len : len + 1);
    }
    name.bytes[name.len++] = 0;
    *ret_name = name;
    return ERR_OK;
}

enum err dns_name_below(struct span label, const struct dns_name *parent, struct dns_name *ret_name)
{
    struct dns_name name = {0};
    enum err err = add_label(&name, label);
    if (err != ERR_OK)
        return err;
    if ((size_t)name.len + parent->len > DNS_NAME_BYTES_MAX)
        return ERR_INVALID;
    memcpy(name.bytes + name.len, parent->bytes, parent->len);
    name.len = (uint8_t)(name.len + parent->len);
    *ret_name = name;
    return ERR_OK;
}

/* Lengths of labels are under 'A', so folding all bytes changes letters only. */
static bool equal_folded(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t x = a[i] >= 'A' && a[i] <= 'Z' ? a[i] | 0x20 : a[i];
        uint8_t y = b[i] >= 'A' && b[i] <= 'Z' ? b[i] | 0x20 : b[i];
        if (x != y)
            return false;
    }
    return true;
}

bool dns_name_equal(const struct dns_name *a, const struct dns_name *b)
{
    return a->len == b->len && equal_folded(a->bytes, b->bytes, a->len);
}

bool dns_name_is_below(const struct dns_name *name, const struct dns_name *parent)
{
    size_t at = 0;
    while (at < name->len && (size_t)name->len - at > parent->len)
        at += 1 + (size_t)name->bytes[at];
    return at > 0 && (size_t)name->len - at == parent->len &&
           equal_folded(name->bytes + at, parent->bytes, parent->len);
}

/* Reads the name at *at and moves *at behind it; what pointers lead to does not move it. */
static enum err read_name(struct span message, size_t *at, struct dns_name *ret_name)
{
    struct dns_name name = {0};
    size_t from = *at;
    size_t end = 0; /* behind the first pointer */
    for (unsigned pointers = 0;;) {
        if (from >= message.len)
            return ERR_TRUNCATED;
        uint8_t len = message.data[from];
        if ((len & POINTER_TAG) == POINTER_TAG) {
            if (from + 2 > message.len)
                return ERR_TRUNCATED;
            size_t to = get_u16(message.data + from) & 0x3fff;
            if (to >= from || ++pointers > DNS_POINTERS_MAX)
                return ERR_INVALID;
            end = end == 0 ? from + 2 : end;
            from = to;
            continue;
        }
        if ((len & POINTER_TAG) != 0)
            return ERR_INVALID;
        if (len == 0)
            break;
        if (from + 1 + len > message.len)
            return ERR_TRUNCATED;
        enum err err = add_label(&name, span_of(message.data + from + 1, len));
        if (err != ERR_OK)
            return err;
        from += 1 + (size_t)len;
    }
    name.bytes[name.len++] = 0;
    *at = end == 0 ? from + 1 : end;
    *ret_name = name;
    return ERR_OK;
}

/* ---- reading ---- */

enum err dns_read(struct span message, struct dns_reader *ret_reader)
{
    if (message.len < DNS_HEADER_BYTES)
        return ERR_TRUNCATED;
    struct dns_reader reader = {.message = message, .at = DNS_HEADER_BYTES, .flags = get_u16(message.data + 2)};
    for (size_t i = 0; i < DNS_SECTIONS; i++)
        reader.left[i] = get_u16(message.data + 4 + 2 * i);
    *ret_reader = reader;
    return ERR_OK;
}

static enum err read_item(struct dns_reader *reader, struct dns_item *item)
{
    size_t at = reader->at;
    bool question = item->section == DNS_QUESTION;
    enum err err = read_name(reader->message, &at, &item->name);
    if (err != ERR_OK)
        return err;
    struct span rest = span_skip(reader->message, at);
    size_t fixed = question ? QUESTION_TAIL_BYTES : RECORD_TAIL_BYTES;
    if (rest.len < fixed)
        return ERR_TRUNCATED;
    item->type = get_u16(rest.data);
    item->class = get_u16(rest.data + 2);
    item->ttl = question ? 0 : get_u32(rest.data + 4);
    size_t data_len = question ? 0 : get_u16(rest.data + 8);
    rest = span_skip(rest, fixed);
    if (rest.len < data_len)
        return ERR_TRUNCATED;
    item->data = span_first(rest, data_len);
    reader->at = at + fixed + data_len;
    return ERR_OK;
}

enum err dns_next(struct dns_reader *reader, struct dns_item *ret_item)
{
    enum dns_section section = DNS_QUESTION;
    while (section < DNS_SECTIONS && reader->left[section] == 0)
        section++;
    if (section == DNS_SECTIONS)
        return ERR_NOT_FOUND;
    struct dns_item item = {.section = section};
    enum err err = read_item(reader, &item);
    if (err != ERR_OK)
        return err;
    reader->left[section]--;
    *ret_item = item;
    return ERR_OK;
}

enum err dns_data_name(const struct dns_reader *reader, const struct dns_item *item, size_t offset,
                       struct dns_name *ret_name)
{
    if (offset >= item->data.len)
        return ERR_TRUNCATED;
    size_t at = (size_t)(item->data.data - reader->message.data) + offset;
    size_t end = at - offset + item->data.len;
    struct dns_name name;
    enum err err = read_name(reader->message, &at, &name);
    if (err == ERR_OK && at > end)
        err = ERR_TRUNCATED;
    if (err == ERR_OK)
        *ret_name = name;
    return err;
}

enum err dns_next_string(struct span *data, struct span *ret_string)
{
    if (data->len == 0)
        return ERR_NOT_FOUND;
    size_t len = data->data[0];
    if (data->len < 1 + len)
        return ERR_TRUNCATED;
    *ret_string = span_first(span_skip(*data, 1), len);
    *data = span_skip(*data, 1 + len);
    return ERR_OK;
}

/* ---- writing ---- */

static void put(struct dns_writer *writer, const void *bytes, size_t len)
{
    if (writer->err == ERR_OK)
        writer->err = buf_append(writer->to, bytes, len);
}

static void put_u16(struct dns_writer *writer, uint16_t value)
{
    const uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    put(writer, bytes, sizeof(bytes));
}

void dns_write_begin(struct dns_writer *writer, struct buf *to, uint16_t flags)
{
    static const uint8_t counts[DNS_SECTIONS * 2];
    *writer = (struct dns_writer){.to = to, .err = to->len == 0 ? ERR_OK : ERR_INVALID};
    put_u16(writer, 0); /* the id is 0 in multicast */
    put_u16(writer, flags);
    put(writer, counts, sizeof(counts));
}

void dns_write_question(struct dns_writer *writer, const struct dns_name *name, uint16_t type, uint16_t class)
{
    put(writer, name->bytes, name->len);
    put_u16(writer, type);
    put_u16(writer, class);
    writer->counts[DNS_QUESTION]++;
}

void dns_write_record(struct dns_writer *writer, enum dns_section section, const struct dns_name *name, uint16_t type,
                      uint16_t class, uint32_t ttl, struct span data)
{
    if (data.len > UINT16_MAX && writer->err == ERR_OK)
        writer->err = ERR_TOO_LARGE;
    put(writer, name->bytes, name->len);
    put_u16(writer, type);
    put_u16(writer, class);
    put_u16(writer, (uint16_t)(ttl >> 16));
    put_u16(writer, (uint16_t)ttl);
    put_u16(writer, (uint16_t)data.len);
    put(writer, data.data, data.len);
    writer->counts[section]++;
}

enum err dns_write_end(struct dns_writer *writer)
{
    for (size_t i = 0; i < DNS_SECTIONS && writer->err == ERR_OK; i++) {
        writer->to->data[4 + 2 * i] = (uint8_t)(writer->counts[i] >> 8);
        writer->to->data[5 + 2 * i] = (uint8_t)writer->counts[i];
    }
    return writer->err;
}
