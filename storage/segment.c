/* SPDX-License-Identifier: MIT */
#include "storage/segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "storage/crc32c.h"

static const uint8_t magic[4] = {'H', 'R', 'B', '1'};

enum {
    AT_CRC = 4,
    AT_SEGMENT = 8,
    AT_LENGTH = 16,
    AT_CODEC = 20,
    AT_KEY_LEN = 24,
    SCAN_BUFFER_MIN = 256 * 1024,
    LIST_BUFFER_BYTES = 8192
};

static uint64_t padded(uint64_t bytes)
{
    return (bytes + SEGMENT_ALIGN - 1) / SEGMENT_ALIGN * SEGMENT_ALIGN;
}

uint64_t segment_record_bytes(size_t key_len, size_t payload_len)
{
    return padded((uint64_t)SEGMENT_FIXED_BYTES + key_len + payload_len);
}

size_t segment_encode(const struct block_place *place, struct span payload, uint8_t to[SEGMENT_HEADER_MAX])
{
    size_t len = SEGMENT_FIXED_BYTES + (size_t)place->key.len;
    memset(to, 0, SEGMENT_FIXED_BYTES);
    memcpy(to, magic, sizeof(magic));
    le_put(to + AT_SEGMENT, place->segment, 8);
    le_put(to + AT_LENGTH, payload.len, 4);
    le_put(to + AT_CODEC, place->codec, 4);
    to[AT_KEY_LEN] = place->key.len;
    memcpy(to + SEGMENT_FIXED_BYTES, place->key.bytes, place->key.len);
    uint32_t crc = crc32c(0, to + AT_SEGMENT, len - AT_SEGMENT);
    le_put(to + AT_CRC, crc32c(crc, payload.data, payload.len), 4);
    return len;
}

enum err segment_decode_header(struct span bytes, uint64_t segment, struct block_place *ret_place, size_t *ret_len)
{
    if (bytes.len < SEGMENT_FIXED_BYTES)
        return ERR_TRUNCATED;
    const uint8_t *p = bytes.data;
    uint64_t length = le_get(p + AT_LENGTH, 4);
    uint8_t key_len = p[AT_KEY_LEN];
    bool bad = memcmp(p, magic, sizeof(magic)) != 0 || le_get(p + AT_SEGMENT, 8) != segment ||
               length > BLOCK_BYTES_MAX || key_len == 0 || key_len > BLOCK_KEY_MAX ||
               le_get(p + AT_KEY_LEN + 1, 3) != 0;
    if (bad)
        return ERR_CORRUPT;
    if (bytes.len < SEGMENT_FIXED_BYTES + (size_t)key_len)
        return ERR_TRUNCATED;
    struct block_place place = {
        .codec = (uint32_t)le_get(p + AT_CODEC, 4), .size = (uint32_t)length, .segment = segment};
    place.key.len = key_len;
    memcpy(place.key.bytes, p + SEGMENT_FIXED_BYTES, key_len);
    *ret_place = place;
    *ret_len = SEGMENT_FIXED_BYTES + (size_t)key_len + (size_t)length;
    return ERR_OK;
}

static bool crc_matches(const uint8_t *record, size_t len)
{
    return crc32c(0, record + AT_SEGMENT, len - AT_SEGMENT) == (uint32_t)le_get(record + AT_CRC, 4);
}

enum err segment_decode(struct span bytes, uint64_t segment, struct block_place *ret_place, struct span *ret_payload)
{
    struct block_place place;
    size_t len;
    enum err err = segment_decode_header(bytes, segment, &place, &len);
    if (err != ERR_OK)
        return err;
    if (bytes.len < len)
        return ERR_TRUNCATED;
    if (!crc_matches(bytes.data, len))
        return ERR_CORRUPT;
    *ret_place = place;
    *ret_payload = span_of(bytes.data + len - place.size, place.size);
    return ERR_OK;
}

void segment_name(uint64_t segment, char to[SEGMENT_NAME_MAX])
{
    (void)snprintf(to, SEGMENT_NAME_MAX, "%016" PRIx64 ".seg", segment);
}

bool segment_parse_name(const char *name, uint64_t *ret_segment)
{
    uint64_t id = 0;
    if (strlen(name) != 20 || strcmp(name + 16, ".seg") != 0)
        return false;
    for (size_t i = 0; i < 16; i++) {
        const char *digit = strchr("0123456789abcdef", name[i]);
        if (digit == NULL)
            return false;
        id = id << 4 | (uint64_t)(digit - "0123456789abcdef");
    }
    *ret_segment = id;
    return true;
}

enum err segment_read(const struct disk_port *port, struct disk_file *file, const struct block_place *place,
                      uint8_t *to)
{
    uint8_t header[SEGMENT_HEADER_MAX];
    size_t head_len = SEGMENT_FIXED_BYTES + (size_t)place->key.len;
    size_t got;
    enum err err = port->pread(file, header, head_len, place->offset, &got);
    if (err != ERR_OK)
        return err;
    struct block_place found;
    size_t len;
    err = segment_decode_header(span_of(header, got), place->segment, &found, &len);
    if (err != ERR_OK)
        return err;
    if (found.size != place->size || !block_key_equal(&found.key, &place->key))
        return ERR_CORRUPT;
    err = port->pread(file, to, place->size, place->offset + head_len, &got);
    if (err != ERR_OK)
        return err;
    if (got != place->size)
        return ERR_TRUNCATED;
    uint32_t crc = crc32c(crc32c(0, header + AT_SEGMENT, head_len - AT_SEGMENT), to, place->size);
    return crc == (uint32_t)le_get(header + AT_CRC, 4) ? ERR_OK : ERR_CORRUPT;
}

/* ---- scanning ---- */

struct scan {
    const struct disk_port *port;
    struct disk_file *file;
    uint64_t segment;
    uint8_t *buffer;
    size_t cap;
    uint64_t start; /* file offset of buffer[0] */
    size_t len;
};

/* Makes need bytes at offset available when the file has them; *ret_bytes may be shorter at its end. */
static enum err scan_load(struct scan *s, uint64_t offset, size_t need, struct span *ret_bytes)
{
    if (offset < s->start || offset + need > s->start + s->len) {
        if (need > s->cap) {
            uint8_t *bigger = realloc(s->buffer, need);
            if (bigger == NULL)
                return ERR_NOMEM;
            s->buffer = bigger;
            s->cap = need;
        }
        enum err err = s->port->pread(s->file, s->buffer, s->cap, offset, &s->len);
        if (err != ERR_OK)
            return err;
        s->start = offset;
    }
    *ret_bytes = span_skip(span_of(s->buffer, s->len), (size_t)(offset - s->start));
    return ERR_OK;
}

/* One record at offset: ERR_CORRUPT or ERR_TRUNCATED when there is no good one. */
static enum err scan_one(struct scan *s, uint64_t offset, struct block_place *ret_place, struct span *ret_payload)
{
    struct span bytes;
    size_t len;
    enum err err = scan_load(s, offset, SEGMENT_HEADER_MAX, &bytes);
    if (err == ERR_OK)
        err = segment_decode_header(bytes, s->segment, ret_place, &len);
    if (err == ERR_OK)
        err = scan_load(s, offset, len, &bytes);
    if (err == ERR_OK)
        err = segment_decode(bytes, s->segment, ret_place, ret_payload);
    if (err == ERR_OK)
        err = block_key_verify(&ret_place->key, *ret_payload);
    ret_place->offset = offset;
    return err == ERR_UNSUPPORTED || err == ERR_INVALID ? ERR_CORRUPT : err;
}

/* The next place at or after offset where the magic stands, at the records' alignment. */
static enum err scan_find(struct scan *s, uint64_t *offset)
{
    for (;;) {
        struct span bytes;
        enum err err = scan_load(s, *offset, SEGMENT_FIXED_BYTES, &bytes);
        if (err != ERR_OK)
            return err;
        if (bytes.len < SEGMENT_FIXED_BYTES)
            return ERR_NOT_FOUND;
        for (size_t i = 0; i + SEGMENT_FIXED_BYTES <= bytes.len; i += SEGMENT_ALIGN) {
            if (memcmp(bytes.data + i, magic, sizeof(magic)) == 0) {
                *offset += i;
                return ERR_OK;
            }
        }
        *offset += (bytes.len - SEGMENT_FIXED_BYTES) / SEGMENT_ALIGN * SEGMENT_ALIGN + SEGMENT_ALIGN;
    }
}

static enum err scan_all(struct scan *s, uint64_t offset, enum segment_scan_mode mode, segment_each *each, void *arg,
                         uint64_t *ret_end)
{
    uint64_t end = offset;
    for (;;) {
        struct block_place place;
        struct span payload;
        enum err err = scan_one(s, offset, &place, &payload);
        if (err == ERR_OK) {
            err = each(arg, &place, payload);
            offset += segment_record_bytes(place.key.len, place.size);
            end = offset;
            if (err == ERR_OK)
                continue;
            return err;
        }
        if (err != ERR_CORRUPT && err != ERR_TRUNCATED)
            return err;
        if (mode == SCAN_TAIL && offset % DISK_DIRECT_ALIGN != 0) { /* the next group may begin there */
            offset += DISK_DIRECT_ALIGN - offset % DISK_DIRECT_ALIGN;
            continue;
        }
        if (mode == SCAN_SALVAGE) {
            offset += SEGMENT_ALIGN;
            err = scan_find(s, &offset);
            if (err == ERR_OK)
                continue;
            if (err != ERR_NOT_FOUND)
                return err;
        }
        *ret_end = end;
        return ERR_OK;
    }
}

enum err segment_list(const struct disk_port *port, struct disk_file *file, uint64_t segment, uint64_t *offset,
                      uint64_t end, struct block_place *ret_places, size_t max, size_t *ret_count)
{
    uint8_t buffer[LIST_BUFFER_BYTES];
    struct scan s = {.port = port, .file = file, .segment = segment, .buffer = buffer, .cap = sizeof(buffer)};
    size_t count = 0;
    enum err err = ERR_OK;
    while (err == ERR_OK && *offset < end && count < max) {
        struct span bytes;
        size_t len;
        err = scan_load(&s, *offset, SEGMENT_HEADER_MAX, &bytes);
        if (err != ERR_OK)
            break;
        if (segment_decode_header(bytes, segment, &ret_places[count], &len) == ERR_OK) {
            ret_places[count].offset = *offset;
            *offset += segment_record_bytes(ret_places[count].key.len, ret_places[count].size);
            count++;
            continue;
        }
        *offset += SEGMENT_ALIGN;
        err = scan_find(&s, offset);
        if (err == ERR_NOT_FOUND) {
            *offset = end;
            err = ERR_OK;
        }
    }
    *ret_count = count;
    return err;
}

enum err segment_scan(const struct disk_port *port, struct disk_file *file, uint64_t segment, uint64_t offset,
                      enum segment_scan_mode mode, segment_each *each, void *arg, uint64_t *ret_end)
{
    struct scan s = {.port = port, .file = file, .segment = segment, .cap = SCAN_BUFFER_MIN};
    s.buffer = malloc(s.cap);
    if (s.buffer == NULL)
        return ERR_NOMEM;
    enum err err = scan_all(&s, offset, mode, each, arg, ret_end);
    free(s.buffer);
    return err;
}
