/* SPDX-License-Identifier: MIT */
#include "cli/tar.h"

#include <stdio.h>
#include <string.h>

enum {
    NAME_BYTES = 100,
    NUMBER_BYTES = 12,
    SHORT_BYTES = 8,
    CHECKSUM_DIGITS = 6,
    TYPE_PAX = 'x',
    LENGTH_DIGITS_MAX = 10
};
enum {
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_MTIME = 136,
    AT_SUM = 148,
    AT_TYPE = 156,
    AT_LINK = 157,
    AT_MAGIC = 257
};

static const uint8_t magic[] = {'u', 's', 't', 'a', 'r', 0, '0', '0'};

/* Octal digits and a NUL; what needs more digits, or is negative, is a big-endian two's complement under a first byte of 0x80 or 0xff. */
static void put_number(uint8_t *to, size_t bytes, int64_t value)
{
    char digits[2 * NUMBER_BYTES + 1];
    int len = snprintf(digits, sizeof(digits), "%0*llo", (int)bytes - 1, (unsigned long long)value);
    if (value >= 0 && (size_t)len < bytes) {
        memcpy(to, digits, bytes);
        return;
    }
    for (size_t i = 0; i < bytes; i++)
        to[bytes - 1 - i] = i < sizeof(value) ? (uint8_t)((uint64_t)value >> (8 * i)) : value < 0 ? 0xff : 0;
    to[0] |= 0x80;
}

static void put_sum(uint8_t header[TAR_BLOCK])
{
    unsigned sum = 0;
    memset(header + AT_SUM, ' ', SHORT_BYTES);
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += header[i];
    put_number(header + AT_SUM, CHECKSUM_DIGITS + 1, sum);
}

void tar_set_size(uint8_t header[TAR_BLOCK], uint64_t size)
{
    put_number(header + AT_SIZE, NUMBER_BYTES, (int64_t)size);
    put_sum(header);
}

static enum err append_header(struct buf *out, char type, const struct tar_entry *entry, uint64_t size)
{
    uint8_t header[TAR_BLOCK] = {0};
    memcpy(header, entry->path.data, MIN(entry->path.len, (size_t)NAME_BYTES));
    put_number(header + AT_MODE, SHORT_BYTES, entry->mode);
    put_number(header + AT_UID, SHORT_BYTES, 0);
    put_number(header + AT_GID, SHORT_BYTES, 0);
    put_number(header + AT_MTIME, NUMBER_BYTES, entry->mtime_seconds);
    header[AT_TYPE] = (uint8_t)type;
    if (entry->target.len > 0)
        memcpy(header + AT_LINK, entry->target.data, MIN(entry->target.len, (size_t)NAME_BYTES));
    memcpy(header + AT_MAGIC, magic, sizeof(magic));
    tar_set_size(header, size);
    return buf_append(out, header, sizeof(header));
}

/* "<length> <key>=<value>\n", where the length counts itself. */
static enum err append_record(struct buf *out, const char *key, struct span value)
{
    size_t rest = strlen(" =\n") + strlen(key) + value.len;
    size_t len = rest;
    for (size_t i = 0; i < 2; i++)
        len = rest + (size_t)snprintf(NULL, 0, "%zu", len);
    enum err err = buf_appendf(out, "%zu %s=", len, key);
    if (err == ERR_OK)
        err = buf_append_span(out, value);
    return err == ERR_OK ? buf_append(out, "\n", 1) : err;
}

static enum err append_pax(struct buf *out, const struct tar_entry *entry)
{
    static const uint8_t zeros[TAR_BLOCK];
    struct buf records;
    buf_init(&records, entry->path.len + entry->target.len + TAR_BLOCK, NULL);
    enum err err = ERR_OK;
    if (entry->path.len > NAME_BYTES)
        err = append_record(&records, "path", entry->path);
    if (err == ERR_OK && entry->target.len > NAME_BYTES)
        err = append_record(&records, "linkpath", entry->target);
    struct tar_entry pax = {.path = span_text("pax"), .mode = 0644, .mtime_seconds = entry->mtime_seconds};
    if (err == ERR_OK)
        err = append_header(out, TYPE_PAX, &pax, records.len);
    if (err == ERR_OK)
        err = buf_append_span(out, buf_span(&records));
    if (err == ERR_OK)
        err = buf_append(out, zeros, tar_padding(records.len));
    buf_release(&records);
    return err;
}

enum err tar_append_head(struct buf *out, const struct tar_entry *entry)
{
    bool is_long = entry->path.len > NAME_BYTES || entry->target.len > NAME_BYTES;
    enum err err = is_long ? append_pax(out, entry) : ERR_OK;
    return err == ERR_OK ? append_header(out, (char)entry->type, entry, 0) : err;
}
