/* SPDX-License-Identifier: MIT */
#include "storage/cold_pack.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/le.h"
#include "storage/crc32c.h"

static const uint8_t header_magic[4] = {'H', 'C', 'P', '1'};
static const uint8_t record_magic[4] = {'H', 'C', 'R', '1'};
static const uint8_t tail_magic[4] = {'H', 'C', 'E', '1'};

enum { AT_CRC = 4, AT_PACK = 8 };
enum { HEADER_MARK = 16 };
enum {
    RECORD_STORED = 16,
    RECORD_SIZE = 20,
    RECORD_CODEC = 24,
    RECORD_KEY_LEN = 28,
    RECORD_FORM = 29,
    RECORD_ZERO = 30
};
enum { ENTRY_STORED = 4, ENTRY_SIZE = 8, ENTRY_CODEC = 12, ENTRY_KEY_LEN = 16, ENTRY_FORM = 17, ENTRY_ZERO = 18 };
enum { TAIL_BYTES = 16, TAIL_INDEX = 24, TAIL_RECORDS = 32, TAIL_BODY_CRC = 36, TAIL_ZERO = 40 };

void pack_name(uint64_t pack, char to[PACK_NAME_MAX])
{
    (void)snprintf(to, PACK_NAME_MAX, "%016" PRIx64 ".pack", pack);
}

bool pack_parse_name(const char *name, uint64_t *ret_pack)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t id = 0;
    if (strlen(name) != 21 || strcmp(name + 16, ".pack") != 0)
        return false;
    for (size_t i = 0; i < 16; i++) {
        const char *digit = strchr(digits, name[i]);
        if (digit == NULL)
            return false;
        id = id << 4 | (uint64_t)(digit - digits);
    }
    *ret_pack = id;
    return true;
}

/* ---- header ---- */

void pack_encode_header(uint64_t pack, const uint8_t mark[PACK_MARK_BYTES], uint8_t to[PACK_HEADER_BYTES])
{
    memcpy(to, header_magic, sizeof(header_magic));
    le_put(to + AT_PACK, pack, 8);
    memcpy(to + HEADER_MARK, mark, PACK_MARK_BYTES);
    le_put(to + AT_CRC, crc32c(0, to + AT_PACK, PACK_HEADER_BYTES - AT_PACK), 4);
}

enum err pack_check_header(struct span bytes, uint64_t pack, const uint8_t mark[PACK_MARK_BYTES])
{
    if (bytes.len < PACK_HEADER_BYTES)
        return ERR_TRUNCATED;
    const uint8_t *p = bytes.data;
    if (memcmp(p, header_magic, sizeof(header_magic)) != 0 ||
        crc32c(0, p + AT_PACK, PACK_HEADER_BYTES - AT_PACK) != (uint32_t)le_get(p + AT_CRC, 4))
        return ERR_CORRUPT;
    bool ours = le_get(p + AT_PACK, 8) == pack && memcmp(p + HEADER_MARK, mark, PACK_MARK_BYTES) == 0;
    return ours ? ERR_OK : ERR_MISMATCH;
}

/* ---- records ---- */

/* What must hold of the numbers of a record and of its entry alike. */
static bool sizes_make_sense(uint64_t stored, uint64_t size, uint8_t key_len, uint8_t form)
{
    return size <= BLOCK_BYTES_MAX && key_len >= 1 && key_len <= BLOCK_KEY_MAX &&
           ((form == PACK_PLAIN && stored == size) || (form == PACK_ZSTD && stored < size));
}

size_t pack_encode_record(const struct cold_place *place, enum pack_form form, struct span payload,
                          uint8_t to[PACK_RECORD_HEAD_MAX])
{
    size_t len = PACK_RECORD_FIXED + (size_t)place->key.len;
    assert(payload.len == place->stored && sizes_make_sense(place->stored, place->size, place->key.len, (uint8_t)form));
    memset(to, 0, PACK_RECORD_FIXED);
    memcpy(to, record_magic, sizeof(record_magic));
    le_put(to + AT_PACK, place->pack, 8);
    le_put(to + RECORD_STORED, place->stored, 4);
    le_put(to + RECORD_SIZE, place->size, 4);
    le_put(to + RECORD_CODEC, place->codec, 4);
    to[RECORD_KEY_LEN] = place->key.len;
    to[RECORD_FORM] = (uint8_t)form;
    memcpy(to + PACK_RECORD_FIXED, place->key.bytes, place->key.len);
    uint32_t crc = crc32c(0, to + AT_PACK, len - AT_PACK);
    le_put(to + AT_CRC, crc32c(crc, payload.data, payload.len), 4);
    return len;
}

/* One frame, nothing behind it, that says how large it becomes: so no input makes more than size bytes of memory. */
static enum err unpack(struct span payload, uint32_t size, uint8_t *to)
{
    if (ZSTD_getFrameContentSize(payload.data, payload.len) != size ||
        ZSTD_findFrameCompressedSize(payload.data, payload.len) != payload.len)
        return ERR_CORRUPT;
    ZSTD_DCtx *unpacker = ZSTD_createDCtx();
    if (unpacker == NULL)
        return ERR_NOMEM;
    size_t got = ZSTD_decompressDCtx(unpacker, to, size, payload.data, payload.len);
    (void)ZSTD_freeDCtx(unpacker);
    return ZSTD_isError(got) || got != size ? ERR_CORRUPT : ERR_OK;
}

enum err pack_decode_record(struct span bytes, const struct cold_place *place, uint8_t *to)
{
    if (bytes.len < pack_record_bytes(place))
        return ERR_TRUNCATED;
    const uint8_t *p = bytes.data;
    uint8_t form = p[RECORD_FORM];
    bool good = bytes.len == pack_record_bytes(place) && memcmp(p, record_magic, sizeof(record_magic)) == 0 &&
                crc32c(0, p + AT_PACK, bytes.len - AT_PACK) == (uint32_t)le_get(p + AT_CRC, 4) &&
                le_get(p + AT_PACK, 8) == place->pack && le_get(p + RECORD_STORED, 4) == place->stored &&
                le_get(p + RECORD_SIZE, 4) == place->size && p[RECORD_KEY_LEN] == place->key.len &&
                le_get(p + RECORD_ZERO, 2) == 0 && sizes_make_sense(place->stored, place->size, place->key.len, form) &&
                memcmp(p + PACK_RECORD_FIXED, place->key.bytes, place->key.len) == 0;
    if (!good)
        return ERR_CORRUPT;
    struct span payload = span_skip(bytes, PACK_RECORD_FIXED + (size_t)place->key.len);
    if (form == PACK_ZSTD)
        return unpack(payload, place->size, to);
    if (payload.len > 0)
        memcpy(to, payload.data, payload.len);
    return ERR_OK;
}

/* ---- index and tail ---- */

enum err pack_append_entry(struct buf *index, const struct cold_place *place, enum pack_form form)
{
    uint8_t entry[PACK_ENTRY_MAX] = {0};
    le_put(entry, place->offset, 4);
    le_put(entry + ENTRY_STORED, place->stored, 4);
    le_put(entry + ENTRY_SIZE, place->size, 4);
    le_put(entry + ENTRY_CODEC, place->codec, 4);
    entry[ENTRY_KEY_LEN] = place->key.len;
    entry[ENTRY_FORM] = (uint8_t)form;
    memcpy(entry + PACK_ENTRY_FIXED, place->key.bytes, place->key.len);
    return buf_append(index, entry, PACK_ENTRY_FIXED + (size_t)place->key.len);
}

static uint32_t tail_crc(struct span index, const uint8_t *tail)
{
    return crc32c(crc32c(0, index.data, index.len), tail + AT_PACK, PACK_TAIL_BYTES - AT_PACK);
}

void pack_encode_tail(const struct pack_tail *tail, struct span index, uint8_t to[PACK_TAIL_BYTES])
{
    memset(to, 0, PACK_TAIL_BYTES);
    memcpy(to, tail_magic, sizeof(tail_magic));
    le_put(to + AT_PACK, tail->pack, 8);
    le_put(to + TAIL_BYTES, tail->bytes, 8);
    le_put(to + TAIL_INDEX, tail->index, 8);
    le_put(to + TAIL_RECORDS, tail->records, 4);
    le_put(to + TAIL_BODY_CRC, tail->body_crc, 4);
    le_put(to + AT_CRC, tail_crc(index, to), 4);
}

enum err pack_decode_tail(struct span bytes, uint64_t pack, uint64_t object_bytes, struct pack_tail *ret_tail)
{
    if (bytes.len < PACK_TAIL_BYTES || object_bytes < PACK_HEADER_BYTES + PACK_TAIL_BYTES)
        return ERR_TRUNCATED;
    const uint8_t *p = bytes.data + bytes.len - PACK_TAIL_BYTES;
    struct pack_tail tail = {.pack = le_get(p + AT_PACK, 8),
                             .bytes = le_get(p + TAIL_BYTES, 8),
                             .index = le_get(p + TAIL_INDEX, 8),
                             .records = (uint32_t)le_get(p + TAIL_RECORDS, 4),
                             .body_crc = (uint32_t)le_get(p + TAIL_BODY_CRC, 4)};
    if (memcmp(p, tail_magic, sizeof(tail_magic)) != 0 || le_get(p + TAIL_ZERO, 8) != 0)
        return ERR_CORRUPT;
    if (tail.pack != pack)
        return ERR_MISMATCH;
    if (tail.bytes != object_bytes || tail.bytes > PACK_BYTES_MAX || tail.records > PACK_RECORDS_MAX ||
        tail.index < PACK_HEADER_BYTES || tail.index > tail.bytes - PACK_TAIL_BYTES ||
        tail.bytes - PACK_TAIL_BYTES - tail.index > (uint64_t)tail.records * PACK_ENTRY_MAX)
        return ERR_CORRUPT;
    *ret_tail = tail;
    return ERR_OK;
}

/* Takes one entry from the front of *index; *next is where its record must begin or behind, and moves to that record's end. */
static enum err take_entry(struct span *index, const struct pack_tail *tail, uint64_t *next,
                           struct cold_place *ret_place)
{
    if (index->len < PACK_ENTRY_FIXED)
        return ERR_CORRUPT;
    const uint8_t *p = index->data;
    struct cold_place place = {.offset = (uint32_t)le_get(p, 4),
                               .stored = (uint32_t)le_get(p + ENTRY_STORED, 4),
                               .size = (uint32_t)le_get(p + ENTRY_SIZE, 4),
                               .codec = (uint32_t)le_get(p + ENTRY_CODEC, 4),
                               .pack = tail->pack};
    place.key.len = p[ENTRY_KEY_LEN];
    if (le_get(p + ENTRY_ZERO, 2) != 0 || !sizes_make_sense(place.stored, place.size, place.key.len, p[ENTRY_FORM]) ||
        index->len < PACK_ENTRY_FIXED + (size_t)place.key.len)
        return ERR_CORRUPT;
    memcpy(place.key.bytes, p + PACK_ENTRY_FIXED, place.key.len);
    if (place.offset < *next || place.offset + (uint64_t)pack_record_bytes(&place) > tail->index)
        return ERR_CORRUPT;
    *next = place.offset + (uint64_t)pack_record_bytes(&place);
    *index = span_skip(*index, PACK_ENTRY_FIXED + (size_t)place.key.len);
    *ret_place = place;
    return ERR_OK;
}

static enum err walk_index(struct span index, const struct pack_tail *tail, pack_each *each, void *arg)
{
    uint64_t next = PACK_HEADER_BYTES;
    enum err err = ERR_OK;
    for (uint32_t i = 0; err == ERR_OK && i < tail->records; i++) {
        struct cold_place place;
        err = take_entry(&index, tail, &next, &place);
        if (err == ERR_OK && each != NULL)
            err = each(arg, &place);
    }
    return err != ERR_OK || index.len == 0 ? err : ERR_CORRUPT;
}

enum err pack_read_index(struct span bytes, const struct pack_tail *tail, pack_each *each, void *arg)
{
    if (bytes.len != tail->bytes - tail->index)
        return ERR_TRUNCATED;
    struct span index = span_first(bytes, bytes.len - PACK_TAIL_BYTES);
    const uint8_t *end = bytes.data + index.len;
    if (tail_crc(index, end) != (uint32_t)le_get(end + AT_CRC, 4))
        return ERR_CORRUPT;
    enum err err = walk_index(index, tail, NULL, NULL);
    return err == ERR_OK ? walk_index(index, tail, each, arg) : err;
}
