/* SPDX-License-Identifier: MIT */
/*
 * The wantlist is one nested message whose length comes first, so its entries are collected apart from the rest; finish puts
 * length, wantlist and rest together and moves the block positions along.
 */
#include "wire/bitswap.h"

#include <assert.h>

#include "wire/protobuf.h"
#include "wire/varint.h"

enum { MESSAGE_WANTLIST = 1, MESSAGE_BLOCK = 2, MESSAGE_PAYLOAD = 3, MESSAGE_PRESENCE = 4, MESSAGE_PENDING = 5 };
enum { WANTLIST_ENTRY = 1, WANTLIST_FULL = 2 };
enum { ENTRY_CID = 1, ENTRY_PRIORITY = 2, ENTRY_CANCEL = 3, ENTRY_TYPE = 4, ENTRY_SEND_DONT_HAVE = 5 };
enum { PAYLOAD_PREFIX = 1, PAYLOAD_DATA = 2 };
enum { PRESENCE_CID = 1, PRESENCE_TYPE = 2 };

/* Room kept for the frame's length, the wantlist's header, full and pendingBytes. */
enum { OVERHEAD = 4 + 6 + 2 + 12 };

void bitswap_writer_init(struct bitswap_writer *w, enum bitswap_version version, size_t max_bytes,
                         struct account *account)
{
    assert(max_bytes <= BITSWAP_MESSAGE_MAX && max_bytes > OVERHEAD);
    *w = (struct bitswap_writer){.version = version, .max = max_bytes};
    buf_init(&w->wantlist, max_bytes, account);
    buf_init(&w->rest, max_bytes, account);
    buf_init(&w->head, max_bytes + OVERHEAD, account);
}

void bitswap_writer_release(struct bitswap_writer *w)
{
    for (size_t i = 0; i < w->block_count; i++)
        block_ref_unref(w->blocks[i].block);
    w->block_count = 0;
    buf_release(&w->wantlist);
    buf_release(&w->rest);
    buf_release(&w->head);
}

static bool fits(const struct bitswap_writer *w, size_t bytes)
{
    uint64_t used = OVERHEAD + (uint64_t)w->wantlist.len + w->rest.len + w->block_bytes;
    return used <= w->max && bytes <= w->max - used;
}

/* A buffer that is large enough by fits() fails for memory only. */
static enum err undo(struct buf *b, size_t before, enum err err)
{
    if (err != ERR_OK)
        b->len = before;
    return err;
}

/* Priority is an int32, which protobuf sign-extends to ten bytes when negative. */
static uint64_t priority_value(int32_t priority)
{
    return (uint64_t)(int64_t)priority;
}

static size_t entry_size(const struct bitswap_writer *w, const struct bitswap_want *want, size_t cid_len)
{
    size_t size = protobuf_size_bytes(ENTRY_CID, cid_len);
    if (want->priority != 0)
        size += protobuf_size_varint(ENTRY_PRIORITY, priority_value(want->priority));
    if (want->cancel)
        size += protobuf_size_varint(ENTRY_CANCEL, 1);
    if (bitswap_has_presences(w->version)) {
        size += want->type == BITSWAP_WANT_HAVE ? protobuf_size_varint(ENTRY_TYPE, 1) : 0;
        size += want->send_dont_have ? protobuf_size_varint(ENTRY_SEND_DONT_HAVE, 1) : 0;
    }
    return size;
}

static enum err put_entry(struct bitswap_writer *w, const struct bitswap_want *want, struct span cid, size_t size)
{
    struct buf *out = &w->wantlist;
    enum err err = protobuf_put_header(out, WANTLIST_ENTRY, size);
    if (err == ERR_OK)
        err = protobuf_put_bytes(out, ENTRY_CID, cid);
    if (err == ERR_OK && want->priority != 0)
        err = protobuf_put_varint(out, ENTRY_PRIORITY, priority_value(want->priority));
    if (err == ERR_OK && want->cancel)
        err = protobuf_put_varint(out, ENTRY_CANCEL, 1);
    if (err != ERR_OK || !bitswap_has_presences(w->version))
        return err;
    if (want->type == BITSWAP_WANT_HAVE)
        err = protobuf_put_varint(out, ENTRY_TYPE, 1);
    if (err == ERR_OK && want->send_dont_have)
        err = protobuf_put_varint(out, ENTRY_SEND_DONT_HAVE, 1);
    return err;
}

enum err bitswap_writer_want(struct bitswap_writer *w, const struct bitswap_want *want)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct span cid = span_of(bytes, cid_encode(&want->cid, bytes));
    size_t size = entry_size(w, want, cid.len);
    size_t before = w->wantlist.len;
    if (!fits(w, protobuf_size_bytes(WANTLIST_ENTRY, size)))
        return ERR_TOO_LARGE;
    enum err err = undo(&w->wantlist, before, put_entry(w, want, cid, size));
    w->any_want = w->any_want || err == ERR_OK;
    return err;
}

enum err bitswap_writer_presence(struct bitswap_writer *w, const struct cid *cid, bool have)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct span name = span_of(bytes, cid_encode(cid, bytes));
    size_t size = protobuf_size_bytes(PRESENCE_CID, name.len) + (have ? 0 : protobuf_size_varint(PRESENCE_TYPE, 1));
    size_t before = w->rest.len;
    if (!bitswap_has_presences(w->version))
        return ERR_OK;
    if (!fits(w, protobuf_size_bytes(MESSAGE_PRESENCE, size)))
        return ERR_TOO_LARGE;
    enum err err = protobuf_put_header(&w->rest, MESSAGE_PRESENCE, size);
    if (err == ERR_OK)
        err = protobuf_put_bytes(&w->rest, PRESENCE_CID, name);
    if (err == ERR_OK && !have)
        err = protobuf_put_varint(&w->rest, PRESENCE_TYPE, 1);
    return undo(&w->rest, before, err);
}

size_t bitswap_block_bytes(const struct cid *cid, size_t block_len)
{
    uint8_t bytes[CID_PREFIX_BYTES_MAX];
    struct cid_prefix prefix = cid_prefix_of(cid);
    size_t size = protobuf_size_bytes(PAYLOAD_PREFIX, cid_prefix_encode(&prefix, bytes)) +
                  protobuf_size_bytes(PAYLOAD_DATA, block_len);
    return protobuf_size_bytes(MESSAGE_PAYLOAD, size);
}

/* Everything of the block's field but the data. */
static enum err put_block_head(struct bitswap_writer *w, const struct cid *cid, size_t len)
{
    if (w->version < BITSWAP_1_1)
        return protobuf_put_header(&w->rest, MESSAGE_BLOCK, len);
    uint8_t bytes[CID_PREFIX_BYTES_MAX];
    struct cid_prefix prefix = cid_prefix_of(cid);
    struct span name = span_of(bytes, cid_prefix_encode(&prefix, bytes));
    size_t size = protobuf_size_bytes(PAYLOAD_PREFIX, name.len) + protobuf_size_bytes(PAYLOAD_DATA, len);
    enum err err = protobuf_put_header(&w->rest, MESSAGE_PAYLOAD, size);
    if (err == ERR_OK)
        err = protobuf_put_bytes(&w->rest, PAYLOAD_PREFIX, name);
    if (err == ERR_OK)
        err = protobuf_put_header(&w->rest, PAYLOAD_DATA, len);
    return err;
}

enum err bitswap_writer_block(struct bitswap_writer *w, const struct cid *cid, struct block_ref *block)
{
    size_t before = w->rest.len;
    bool inlined = block->len <= BITSWAP_INLINE_MAX;
    if (!fits(w, bitswap_block_bytes(cid, block->len)) || (!inlined && w->block_count == BITSWAP_BLOCKS_MAX))
        return ERR_TOO_LARGE;
    enum err err = put_block_head(w, cid, block->len);
    if (err == ERR_OK && inlined)
        err = buf_append_span(&w->rest, block_ref_span(block));
    if (err != ERR_OK || inlined)
        return undo(&w->rest, before, err);
    w->blocks[w->block_count].offset = w->rest.len;
    w->blocks[w->block_count++].block = block_ref_ref(block);
    w->block_bytes += block->len;
    return ERR_OK;
}

bool bitswap_writer_is_empty(const struct bitswap_writer *w)
{
    return !w->any_want && !w->full && w->rest.len == 0 && w->pending_bytes == 0;
}

/* Appends full to the wantlist and pendingBytes to the rest. */
static enum err put_flags(struct bitswap_writer *w)
{
    enum err err = ERR_OK;
    if (w->full)
        err = protobuf_put_varint(&w->wantlist, WANTLIST_FULL, 1);
    if (err == ERR_OK && w->pending_bytes != 0 && bitswap_has_presences(w->version))
        err = protobuf_put_varint(&w->rest, MESSAGE_PENDING, priority_value(w->pending_bytes));
    return err;
}

enum err bitswap_writer_finish(struct bitswap_writer *w)
{
    enum err err = put_flags(w);
    if (err != ERR_OK)
        return err;
    bool list = w->any_want || w->full;
    uint64_t total = w->rest.len + w->block_bytes;
    total += list ? protobuf_size_bytes(MESSAGE_WANTLIST, w->wantlist.len) : 0;
    err = varint_append(&w->head, total);
    if (err == ERR_OK && list)
        err = protobuf_put_bytes(&w->head, MESSAGE_WANTLIST, buf_span(&w->wantlist));
    size_t moved = w->head.len;
    if (err == ERR_OK)
        err = buf_append_span(&w->head, buf_span(&w->rest));
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < w->block_count; i++)
        w->blocks[i].offset += moved;
    return ERR_OK;
}

bool bitswap_writer_next(const struct bitswap_writer *w, size_t *position, struct bitswap_piece *ret_piece)
{
    size_t i = *position;
    if (i > w->block_count)
        return false;
    size_t from = i == 0 ? 0 : w->blocks[i - 1].offset;
    size_t to = i == w->block_count ? w->head.len : w->blocks[i].offset;
    if (i == w->block_count && i > 0 && from == to)
        return false;
    *ret_piece = (struct bitswap_piece){.bytes = span_first(span_skip(buf_span(&w->head), from), to - from),
                                        .block = i == w->block_count ? NULL : w->blocks[i].block};
    *position = i + 1;
    return true;
}
