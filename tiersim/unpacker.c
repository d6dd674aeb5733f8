/* SPDX-License-Identifier: MIT */
#include "tiersim/unpacker.h"

#include <assert.h>
#include <lzma.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { GZIP_WINDOW_BITS = 15, GZIP_ONLY = 16, ZSTD_WINDOW_LOG_MIN = 10, ZSTD_WINDOW_LOG_MAX = 27 };

struct unpacker {
    enum packing packing;
    bool between; /* two streams, or behind the last: the input may end here */
    z_stream gzip;
    lzma_stream xz;
    ZSTD_DStream *zstd;
};

static const struct {
    const char *name;
    size_t magic_len;
    uint8_t magic[PACKING_MAGIC_BYTES];
} packings[] = {
    [PACKING_NONE] = {.name = "plain"},
    [PACKING_GZIP] = {.name = "gzip", .magic_len = 3, .magic = {0x1f, 0x8b, 0x08}},
    [PACKING_XZ] = {.name = "xz", .magic_len = 6, .magic = {0xfd, '7', 'z', 'X', 'Z', 0x00}},
    [PACKING_ZSTD] = {.name = "zstd", .magic_len = 4, .magic = {0x28, 0xb5, 0x2f, 0xfd}},
};

enum packing packing_of(struct span first)
{
    for (enum packing p = PACKING_GZIP; p <= PACKING_ZSTD; p++) {
        size_t len = packings[p].magic_len;
        if (first.len >= len && memcmp(first.data, packings[p].magic, len) == 0)
            return p;
    }
    return PACKING_NONE;
}

const char *packing_name(enum packing packing)
{
    return packings[packing].name;
}

/* zstd's windows are powers of two: the largest that fits. */
static enum err open_zstd(struct unpacker *u, uint64_t memory_max)
{
    int log = ZSTD_WINDOW_LOG_MAX;
    while (log > ZSTD_WINDOW_LOG_MIN && UINT64_C(1) << log > memory_max)
        log--;
    u->zstd = ZSTD_createDStream();
    if (u->zstd == NULL || ZSTD_isError(ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, log)))
        return ERR_NOMEM;
    return ERR_OK;
}

static enum err open_stream(struct unpacker *u, uint64_t memory_max)
{
    switch (u->packing) {
    case PACKING_NONE:
        return ERR_OK;
    case PACKING_GZIP:
        return inflateInit2(&u->gzip, GZIP_WINDOW_BITS + GZIP_ONLY) == Z_OK ? ERR_OK : ERR_NOMEM;
    case PACKING_XZ:
        return lzma_stream_decoder(&u->xz, memory_max, LZMA_CONCATENATED) == LZMA_OK ? ERR_OK : ERR_NOMEM;
    case PACKING_ZSTD:
        return open_zstd(u, memory_max);
    }
    return ERR_INTERNAL;
}

enum err unpacker_new(enum packing packing, uint64_t memory_max, struct unpacker **ret_unpacker)
{
    struct unpacker *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return ERR_NOMEM;
    u->packing = packing;
    u->between = packing == PACKING_NONE;
    enum err err = open_stream(u, memory_max);
    if (err != ERR_OK) {
        unpacker_free(u);
        return err;
    }
    *ret_unpacker = u;
    return ERR_OK;
}

void unpacker_free(struct unpacker *u)
{
    if (u == NULL)
        return;
    (void)inflateEnd(&u->gzip); /* of a stream never opened it does nothing; so do the others */
    lzma_end(&u->xz);
    (void)ZSTD_freeDStream(u->zstd);
    free(u);
}

/* Each takes what it can and says how much came out; no progress is no error here. */

static enum err feed_plain(struct span *in, uint8_t *to, size_t room, size_t *ret_len)
{
    struct span piece = span_first(*in, room);
    if (piece.len > 0)
        memcpy(to, piece.data, piece.len);
    *in = span_skip(*in, piece.len);
    *ret_len = piece.len;
    return ERR_OK;
}

static enum err feed_gzip(struct unpacker *u, struct span *in, uint8_t *to, size_t room, size_t *ret_len)
{
    if (u->between && inflateReset(&u->gzip) != Z_OK)
        return ERR_INTERNAL;
    struct span piece = span_first(*in, UINT32_MAX);
    u->gzip.next_in = piece.data;
    u->gzip.avail_in = (uInt)piece.len;
    u->gzip.next_out = to;
    u->gzip.avail_out = (uInt)MIN(room, UINT32_MAX);
    size_t room_before = u->gzip.avail_out;
    int code = inflate(&u->gzip, Z_NO_FLUSH);
    *in = span_skip(*in, piece.len - u->gzip.avail_in);
    *ret_len = room_before - u->gzip.avail_out;
    u->between = code == Z_STREAM_END;
    if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR)
        return ERR_OK;
    return code == Z_MEM_ERROR ? ERR_NOMEM : ERR_CORRUPT;
}

static enum err feed_xz(struct unpacker *u, struct span *in, bool last, uint8_t *to, size_t room, size_t *ret_len)
{
    u->xz.next_in = in->data;
    u->xz.avail_in = in->len;
    u->xz.next_out = to;
    u->xz.avail_out = room;
    lzma_ret code = lzma_code(&u->xz, last ? LZMA_FINISH : LZMA_RUN);
    *in = span_skip(*in, in->len - u->xz.avail_in);
    *ret_len = room - u->xz.avail_out;
    u->between = code == LZMA_STREAM_END;
    if (code == LZMA_OK || code == LZMA_STREAM_END || code == LZMA_BUF_ERROR)
        return ERR_OK;
    if (code == LZMA_MEMLIMIT_ERROR)
        return ERR_TOO_LARGE;
    return code == LZMA_MEM_ERROR ? ERR_NOMEM : ERR_CORRUPT;
}

static enum err feed_zstd(struct unpacker *u, struct span *in, uint8_t *to, size_t room, size_t *ret_len)
{
    ZSTD_inBuffer input = {.src = in->data, .size = in->len};
    ZSTD_outBuffer output = {.dst = to, .size = room};
    size_t code = ZSTD_decompressStream(u->zstd, &output, &input);
    *in = span_skip(*in, input.pos);
    *ret_len = output.pos;
    u->between = code == 0;
    if (!ZSTD_isError(code))
        return ERR_OK;
    ZSTD_ErrorCode error = ZSTD_getErrorCode(code);
    if (error == ZSTD_error_frameParameter_windowTooLarge)
        return ERR_TOO_LARGE;
    return error == ZSTD_error_memory_allocation ? ERR_NOMEM : ERR_CORRUPT;
}

static enum err feed(struct unpacker *u, struct span *in, bool last, uint8_t *to, size_t room, size_t *ret_len)
{
    switch (u->packing) {
    case PACKING_NONE:
        return feed_plain(in, to, room, ret_len);
    case PACKING_GZIP:
        return feed_gzip(u, in, to, room, ret_len);
    case PACKING_XZ:
        return feed_xz(u, in, last, to, room, ret_len);
    case PACKING_ZSTD:
        return feed_zstd(u, in, to, room, ret_len);
    }
    return ERR_INTERNAL;
}

enum err unpacker_feed(struct unpacker *u, struct span *in, bool last, uint8_t *to, size_t room, size_t *ret_len)
{
    size_t before = in->len;
    size_t len = 0;
    assert(room > 0);
    if (u->between && in->len == 0 && last)
        return ERR_CLOSED;
    enum err err = u->between && in->len == 0 ? ERR_OK : feed(u, in, last, to, room, &len);
    if (err != ERR_OK)
        return err;
    *ret_len = len;
    if (len > 0 || in->len < before || (in->len == 0 && !last) || u->between)
        return ERR_OK;
    return in->len == 0 ? ERR_TRUNCATED : ERR_CORRUPT; /* a decoder that neither takes nor gives is stuck */
}
