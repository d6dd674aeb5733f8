/* SPDX-License-Identifier: MIT */
#include "storage/pack_writer.h"

#include <assert.h>
#include <stdlib.h>
#include <zstd.h>

#include "storage/crc32c.h"

enum { SMALL_BYTES = 64, SAVES_SHARE = 16 };

struct pack_writer {
    struct pack_writer_options options;
    ZSTD_CCtx *compressor;
    struct buf packed; /* the payload of the record being written, when it is compressed */
    struct buf index;
    uint64_t bytes;
    uint64_t payload;
    uint32_t records;
    uint32_t crc;   /* of all bytes so far */
    enum err ended; /* not ERR_OK: no more can be added */
};

/* Hands bytes on; they belong to what the tail's checksum covers until the index begins. */
static enum err emit(struct pack_writer *w, struct span bytes)
{
    enum err err = w->options.sink(w->options.arg, bytes);
    if (err != ERR_OK) {
        w->ended = err;
        return err;
    }
    w->crc = crc32c(w->crc, bytes.data, bytes.len);
    w->bytes += bytes.len;
    return ERR_OK;
}

enum err pack_writer_new(const struct pack_writer_options *options, struct pack_writer **ret_writer)
{
    assert(options->pack != 0 && options->bytes_max <= PACK_BYTES_MAX);
    if (options->account != NULL && !account_take(options->account, PACK_COMPRESSOR_BYTES))
        return ERR_NOMEM;
    struct pack_writer *w = calloc(1, sizeof(*w));
    ZSTD_CCtx *compressor = w == NULL ? NULL : ZSTD_createCCtx();
    if (compressor == NULL) {
        free(w);
        if (options->account != NULL)
            account_give(options->account, PACK_COMPRESSOR_BYTES);
        return ERR_NOMEM;
    }
    w->options = *options;
    w->compressor = compressor;
    buf_init(&w->packed, BLOCK_BYTES_MAX, options->account);
    buf_init(&w->index, PACK_INDEX_MAX, options->account);
    uint8_t header[PACK_HEADER_BYTES];
    pack_encode_header(options->pack, options->mark, header);
    enum err err = emit(w, span_of(header, sizeof(header)));
    if (err == ERR_OK)
        *ret_writer = w;
    else
        pack_writer_free(w);
    return err;
}

void pack_writer_free(struct pack_writer *w)
{
    if (w == NULL)
        return;
    (void)ZSTD_freeCCtx(w->compressor);
    buf_release(&w->packed);
    buf_release(&w->index);
    if (w->options.account != NULL)
        account_give(w->options.account, PACK_COMPRESSOR_BYTES);
    free(w);
}

/* The payload as it will be stored: compressed where that pays. ERR_NOMEM. */
static enum err choose_form(struct pack_writer *w, struct span payload, struct span *ret_stored,
                            enum pack_form *ret_form)
{
    *ret_stored = payload;
    *ret_form = PACK_PLAIN;
    if (payload.len < SMALL_BYTES)
        return ERR_OK;
    size_t room = payload.len - payload.len / SAVES_SHARE;
    buf_clear(&w->packed);
    uint8_t *to = buf_reserve(&w->packed, room);
    if (to == NULL)
        return ERR_NOMEM;
    size_t got = ZSTD_compressCCtx(w->compressor, to, room, payload.data, payload.len, PACK_LEVEL);
    if (ZSTD_isError(got)) /* above all: it needs more than room */
        return ERR_OK;
    *ret_stored = span_of(to, got);
    *ret_form = PACK_ZSTD;
    return ERR_OK;
}

/* Whether a record of so many bytes, its entry and the tail still fit. */
static bool fits(const struct pack_writer *w, size_t record, size_t key_len)
{
    uint64_t end = w->bytes + record + w->index.len + PACK_ENTRY_FIXED + key_len + PACK_TAIL_BYTES;
    return w->records < PACK_RECORDS_MAX && end <= (w->records == 0 ? (uint64_t)PACK_BYTES_MAX : w->options.bytes_max);
}

enum err pack_writer_add(struct pack_writer *w, const struct block_key *key, uint32_t codec, struct span payload,
                         struct cold_place *ret_place)
{
    struct span stored;
    enum pack_form form;
    uint8_t head[PACK_RECORD_HEAD_MAX];
    if (w->ended != ERR_OK)
        return w->ended;
    if (payload.len > BLOCK_BYTES_MAX)
        return ERR_TOO_LARGE;
    enum err err = choose_form(w, payload, &stored, &form);
    if (err != ERR_OK)
        return err;
    struct cold_place place = {.key = *key,
                               .codec = codec,
                               .size = (uint32_t)payload.len,
                               .stored = (uint32_t)stored.len,
                               .offset = (uint32_t)w->bytes,
                               .pack = w->options.pack};
    if (!fits(w, pack_record_bytes(&place), key->len))
        return ERR_BUSY;
    err = pack_append_entry(&w->index, &place, form); /* before the bytes: when this fails nothing was written */
    if (err != ERR_OK)
        return err;
    size_t len = pack_encode_record(&place, form, stored, head);
    err = emit(w, span_of(head, len));
    if (err == ERR_OK)
        err = emit(w, stored);
    if (err != ERR_OK)
        return err;
    w->records++;
    w->payload += payload.len;
    *ret_place = place;
    return ERR_OK;
}

enum err pack_writer_finish(struct pack_writer *w, struct pack_tail *ret_tail)
{
    uint8_t bytes[PACK_TAIL_BYTES];
    if (w->ended != ERR_OK)
        return w->ended;
    struct pack_tail tail = {.pack = w->options.pack,
                             .bytes = w->bytes + w->index.len + PACK_TAIL_BYTES,
                             .index = w->bytes,
                             .records = w->records,
                             .body_crc = w->crc};
    pack_encode_tail(&tail, buf_span(&w->index), bytes);
    enum err err = emit(w, buf_span(&w->index));
    if (err == ERR_OK)
        err = emit(w, span_of(bytes, sizeof(bytes)));
    if (err != ERR_OK)
        return err;
    w->ended = ERR_CLOSED;
    *ret_tail = tail;
    return ERR_OK;
}

uint64_t pack_writer_bytes(const struct pack_writer *w)
{
    return w->bytes;
}

uint32_t pack_writer_records(const struct pack_writer *w)
{
    return w->records;
}

uint64_t pack_writer_payload(const struct pack_writer *w)
{
    return w->payload;
}
