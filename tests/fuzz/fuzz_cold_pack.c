/* SPDX-License-Identifier: MIT */
/*
 * Whatever a cold tier gives back: as a whole pack, and as one record. Then the same bytes with their checksums made right, because whoever can
 * write to the medium can do that, too.
 */
#include <stdlib.h>

#include "base/attr.h"
#include "base/le.h"
#include "storage/cold_pack.h"
#include "storage/crc32c.h"
#include "tests/fuzz/cap.h"

/* libzstd's workspace, and the copy of the input. */
const size_t fuzz_free_bytes = 1 << 20;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t block[BLOCK_BYTES_MAX];

/* What the index names must lie in the object. */
static enum err read_record(void *arg, const struct cold_place *place)
{
    const struct span *object = arg;
    if (place->offset + (uint64_t)pack_record_bytes(place) > object->len || place->size > BLOCK_BYTES_MAX ||
        place->key.len == 0)
        abort();
    struct span record = span_first(span_skip(*object, place->offset), pack_record_bytes(place));
    (void)!pack_decode_record(record, place, block);
    return ERR_OK;
}

/* The input itself as a record, of the place that its own numbers name. */
static void decode_alone(struct span bytes)
{
    if (bytes.len < PACK_RECORD_HEAD_MAX)
        return;
    struct cold_place place = {.pack = le_get(bytes.data + 8, 8),
                               .stored = (uint32_t)le_get(bytes.data + 16, 4),
                               .size = (uint32_t)le_get(bytes.data + 20, 4)};
    place.key.len = MIN(bytes.data[28], BLOCK_KEY_MAX);
    memcpy(place.key.bytes, bytes.data + PACK_RECORD_FIXED, place.key.len);
    if (place.size <= BLOCK_BYTES_MAX)
        (void)!pack_decode_record(bytes, &place, block);
}

static void decode_pack(struct span object)
{
    struct pack_tail tail;
    if (pack_decode_tail(object, 7, object.len, &tail) == ERR_OK)
        (void)!pack_read_index(span_skip(object, (size_t)tail.index), &tail, read_record, &object);
}

/* The numbers of a record that fits what there is, and its checksum. */
static void mend_record(uint8_t *bytes, size_t size)
{
    size_t key_len = bytes[28] == 0 || bytes[28] > BLOCK_KEY_MAX ? 34 : bytes[28];
    memcpy(bytes, "HCR1", 4);
    bytes[28] = (uint8_t)key_len;
    bytes[30] = bytes[31] = 0;
    le_put(bytes + 16, size - PACK_RECORD_FIXED - key_len, 4);
    le_put(bytes + 4, crc32c(0, bytes + 8, size - 8), 4);
}

static void mend_tail(uint8_t *bytes, size_t size)
{
    uint8_t *tail = bytes + size - PACK_TAIL_BYTES;
    uint64_t index = MIN(le_get(tail + 24, 8), size - PACK_TAIL_BYTES);
    memcpy(tail, "HCE1", 4);
    le_put(tail + 8, 7, 8);
    le_put(tail + 16, size, 8);
    le_put(tail + 24, index, 8);
    le_put(tail + 40, 0, 8);
    uint32_t crc = crc32c(0, bytes + index, size - PACK_TAIL_BYTES - (size_t)index);
    le_put(tail + 4, crc32c(crc, tail + 8, PACK_TAIL_BYTES - 8), 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t mark[PACK_MARK_BYTES] = {0};
    (void)!pack_check_header(span_of(data, size), 7, mark);
    decode_alone(span_of(data, size));
    decode_pack(span_of(data, size));
    if (size < PACK_RECORD_HEAD_MAX + PACK_TAIL_BYTES)
        return 0;
    uint8_t *mended = malloc(size);
    if (mended == NULL)
        return 0;
    memcpy(mended, data, size);
    mend_record(mended, size);
    decode_alone(span_of(mended, size));
    memcpy(mended, data, size);
    mend_tail(mended, size);
    decode_pack(span_of(mended, size));
    free(mended);
    return 0;
}
