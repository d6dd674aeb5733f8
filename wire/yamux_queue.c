/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdlib.h>

#include "base/block_ref.h"
#include "base/limits.h"
#include "wire/yamux_private.h"

enum {
    PIECES_FIRST = 8,
    PIECES_MAX = 1 << 16,
    BYTES_MAX = 1024 * 1024, /* user data is stopped at YAMUX_QUEUE_BYTES; the rest is room for replies */
    BYTES_KEPT = 4 * 1024    /* of an empty buffer */
};

void yamux_queue_init(struct yamux_queue *q, struct account *account)
{
    *q = (struct yamux_queue){.account = account};
    buf_init(&q->bytes, BYTES_MAX, NULL);
}

static void give_back(struct yamux_queue *q, size_t n)
{
    n = MIN(n, q->charged);
    q->charged -= n;
    if (q->account != NULL && n > 0)
        account_give(q->account, n);
}

static struct yamux_piece *piece_at(const struct yamux_queue *q, size_t i)
{
    return &q->pieces[(q->first + i) & (q->cap - 1)];
}

void yamux_queue_release(struct yamux_queue *q)
{
    for (size_t i = 0; i < q->count; i++)
        block_ref_unref(piece_at(q, i)->ref);
    free(q->pieces);
    buf_release(&q->bytes);
    give_back(q, q->charged);
    yamux_queue_init(q, q->account);
}

static enum err grow_pieces(struct yamux_queue *q)
{
    size_t cap = q->cap == 0 ? PIECES_FIRST : q->cap * 2;
    if (cap > PIECES_MAX)
        return ERR_NOMEM;
    struct yamux_piece *pieces = calloc(cap, sizeof(*pieces));
    if (pieces == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < q->count; i++)
        pieces[i] = *piece_at(q, i);
    free(q->pieces);
    q->pieces = pieces;
    q->cap = cap;
    q->first = 0;
    return ERR_OK;
}

/* Makes sure that the next push_* of len inline bytes and one reference cannot fail. */
static enum err make_room(struct yamux_queue *q, size_t len)
{
    while (q->count + 2 > q->cap) {
        enum err err = grow_pieces(q);
        if (err != ERR_OK)
            return err;
    }
    if (q->head > 0 && q->bytes.cap - q->bytes.len < len) {
        buf_drop(&q->bytes, q->head);
        q->head = 0;
    }
    return buf_reserve(&q->bytes, len) == NULL ? ERR_NOMEM : ERR_OK;
}

static void push_inline(struct yamux_queue *q, const void *data, size_t len)
{
    enum err err = buf_append(&q->bytes, data, len);
    assert(err == ERR_OK); /* make_room */
    (void)err;
    struct yamux_piece *last = q->count == 0 ? NULL : piece_at(q, q->count - 1);
    if (last == NULL || last->ref != NULL) {
        last = piece_at(q, q->count++);
        *last = (struct yamux_piece){0};
    }
    last->len += len;
    q->queued += len;
    q->put += len;
    q->open_id = 0;
}

static void push_ref(struct yamux_queue *q, struct block_ref *ref, size_t offset, size_t len)
{
    *piece_at(q, q->count++) = (struct yamux_piece){.ref = block_ref_ref(ref), .offset = offset, .len = len};
    q->queued += len;
    q->put += len;
    q->open_id = 0;
}

static void put32(uint8_t *to, uint32_t v)
{
    to[0] = (uint8_t)(v >> 24);
    to[1] = (uint8_t)(v >> 16);
    to[2] = (uint8_t)(v >> 8);
    to[3] = (uint8_t)v;
}

static void push_header(struct yamux_queue *q, const struct yamux_header *h)
{
    uint8_t bytes[YAMUX_HEADER_BYTES] = {0, h->type, (uint8_t)(h->flags >> 8), (uint8_t)h->flags};
    put32(bytes + 4, h->id);
    put32(bytes + 8, h->length);
    push_inline(q, bytes, sizeof(bytes));
}

enum err yamux_queue_header(struct yamux_queue *q, const struct yamux_header *h, bool reply)
{
    enum err err = make_room(q, YAMUX_HEADER_BYTES);
    if (err != ERR_OK)
        return err;
    push_header(q, h);
    if (reply)
        q->replies += YAMUX_HEADER_BYTES;
    return ERR_OK;
}

enum err yamux_queue_pong(struct yamux_queue *q, uint32_t value)
{
    if (q->pongs == YAMUX_PONGS_MAX)
        return ERR_OK;
    struct yamux_header h = {.type = YAMUX_PING, .flags = YAMUX_ACK, .length = value};
    enum err err = yamux_queue_header(q, &h, true);
    if (err == ERR_OK)
        q->pong_end[q->pongs++] = q->put;
    return err;
}

/* The account pays for copied user bytes past the free part. */
static bool charge(struct yamux_queue *q, size_t len)
{
    size_t held = q->bytes.len - q->head + len;
    if (q->account == NULL || held <= YAMUX_UNCHARGED_BYTES + q->charged)
        return true;
    size_t more = held - YAMUX_UNCHARGED_BYTES - q->charged;
    if (!account_take(q->account, more))
        return false;
    q->charged += more;
    return true;
}

/* Appends to the Data frame that was put last, by raising the length in its header. */
static bool join_open_frame(struct yamux_queue *q, uint32_t id, struct span bytes)
{
    size_t frame = YAMUX_HEADER_BYTES + q->open_len;
    if (q->open_id != id || q->open_len + bytes.len > YAMUX_DATA_SENT_MAX || frame > q->bytes.len - q->head)
        return false;
    uint32_t len = q->open_len + (uint32_t)bytes.len;
    put32(q->bytes.data + q->bytes.len - frame + 8, len);
    push_inline(q, bytes.data, bytes.len);
    q->open_id = id;
    q->open_len = len;
    return true;
}

enum err yamux_queue_data(struct yamux_queue *q, uint32_t id, uint16_t flags, struct span bytes, bool reply)
{
    assert(bytes.len > 0 && bytes.len <= YAMUX_DATA_SENT_MAX);
    if (!charge(q, YAMUX_HEADER_BYTES + bytes.len))
        return ERR_NOMEM;
    enum err err = make_room(q, YAMUX_HEADER_BYTES + bytes.len);
    if (err != ERR_OK)
        return err;
    uint64_t before = q->put;
    if (flags != 0 || !join_open_frame(q, id, bytes)) {
        struct yamux_header h = {.type = YAMUX_DATA, .flags = flags, .id = id, .length = (uint32_t)bytes.len};
        push_header(q, &h);
        push_inline(q, bytes.data, bytes.len);
        q->open_id = id;
        q->open_len = h.length;
    }
    if (reply) /* without a header where it joined a frame: what was never put never leaves */
        q->replies += q->put - before;
    return ERR_OK;
}

enum err yamux_queue_ref(struct yamux_queue *q, uint32_t id, uint16_t flags, struct block_ref *ref, size_t offset,
                         size_t len)
{
    assert(len > 0 && len <= YAMUX_DATA_SENT_MAX && offset <= ref->len && len <= ref->len - offset);
    enum err err = make_room(q, YAMUX_HEADER_BYTES);
    if (err != ERR_OK)
        return err;
    struct yamux_header h = {.type = YAMUX_DATA, .flags = flags, .id = id, .length = (uint32_t)len};
    push_header(q, &h);
    push_ref(q, ref, offset, len);
    return ERR_OK;
}

int yamux_queue_peek(const struct yamux_queue *q, struct iovec *iov, int max)
{
    int n = 0;
    size_t at = q->head;
    for (size_t i = 0; i < q->count && n < max; i++) {
        const struct yamux_piece *p = piece_at(q, i);
        uint8_t *from = p->ref != NULL ? p->ref->data + p->offset : q->bytes.data + at;
        iov[n++] = (struct iovec){.iov_base = from, .iov_len = p->len};
        at += p->ref != NULL ? 0 : p->len;
    }
    return n;
}

static void drop_inline(struct yamux_queue *q, size_t n)
{
    q->head += n;
    if (q->head < q->bytes.len)
        return;
    q->head = 0;
    buf_clear(&q->bytes);
    if (q->bytes.cap > BYTES_KEPT)
        buf_release(&q->bytes);
}

static void drop_pongs(struct yamux_queue *q)
{
    size_t gone = 0;
    while (gone < q->pongs && q->pong_end[gone] <= q->drained)
        gone++;
    q->pongs -= gone;
    memmove(q->pong_end, q->pong_end + gone, q->pongs * sizeof(q->pong_end[0]));
}

void yamux_queue_drop(struct yamux_queue *q, size_t n)
{
    assert(n <= q->queued);
    q->queued -= n;
    q->drained += n;
    q->replies -= MIN(q->replies, n);
    while (n > 0) {
        struct yamux_piece *p = piece_at(q, 0);
        size_t part = MIN(n, p->len);
        if (p->ref == NULL)
            drop_inline(q, part);
        p->offset += part;
        p->len -= part;
        n -= part;
        if (p->len == 0) {
            block_ref_unref(p->ref);
            q->first = (q->first + 1) & (q->cap - 1);
            q->count--;
        }
    }
    size_t held = q->bytes.len - q->head;
    size_t paid = held > YAMUX_UNCHARGED_BYTES ? held - YAMUX_UNCHARGED_BYTES : 0;
    if (q->charged > paid)
        give_back(q, q->charged - paid);
    drop_pongs(q);
}
