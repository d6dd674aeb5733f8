/* SPDX-License-Identifier: MIT */
#include "wire/dag_cbor.h"

#include <math.h>

#include "base/text.h"

enum major { MAJOR_UINT, MAJOR_NEGATIVE, MAJOR_BYTES, MAJOR_TEXT, MAJOR_LIST, MAJOR_MAP, MAJOR_TAG, MAJOR_OTHER };

enum {
    OTHER_FALSE = 20,
    OTHER_TRUE = 21,
    OTHER_NULL = 22,
    OTHER_HALF = 25,
    OTHER_SINGLE = 26,
    OTHER_DOUBLE = 27,
    TAG_LINK = 42,
    HEAD_BYTES_MAX = 9
};

/* The first byte of an item and the number after it. */
struct head {
    enum major major;
    uint8_t info; /* its lower five bits */
    uint64_t n;
};

/* An open list or map. */
struct frame {
    uint32_t left; /* items to come: keys and values */
    uint32_t key_at;
    uint32_t key_len; /* of the last key; UINT32_MAX: none yet */
    bool is_map;
};

struct decoder {
    struct span block;
    struct span rest;
    enum dag_cbor_form form;
    ipld_sink *sink;
    void *arg;
    uint32_t depth;
    struct frame frames[IPLD_DEPTH_MAX];
};

/* ---- heads ---- */

static bool is_shortest(uint8_t info, uint64_t n)
{
    return info < 24 || (info == 24 && n >= 24) || (info == 25 && n > UINT8_MAX) || (info == 26 && n > UINT16_MAX) ||
           (info == 27 && n > UINT32_MAX);
}

static enum err take_head(struct span *rest, struct head *ret_head)
{
    if (rest->len == 0)
        return ERR_TRUNCATED;
    struct head head = {.major = rest->data[0] >> 5, .info = rest->data[0] & 0x1f};
    size_t more = head.info < 24 ? 0 : (size_t)1 << (head.info - 24);
    if (head.info > 27)
        return ERR_INVALID; /* reserved, or of indefinite length */
    if (rest->len < 1 + more)
        return ERR_TRUNCATED;
    head.n = head.info < 24 ? head.info : 0;
    for (size_t i = 1; i <= more; i++)
        head.n = head.n << 8 | rest->data[i];
    if (head.major != MAJOR_OTHER && !is_shortest(head.info, head.n))
        return ERR_INVALID;
    *rest = span_skip(*rest, 1 + more);
    *ret_head = head;
    return ERR_OK;
}

static enum err take_payload(struct span *rest, uint64_t len, struct span *ret_bytes)
{
    if (len > rest->len)
        return ERR_TRUNCATED;
    *ret_bytes = span_first(*rest, (size_t)len);
    *rest = span_skip(*rest, (size_t)len);
    return ERR_OK;
}

/* ---- scalars ---- */

/* The byte string behind tag 42. */
static enum err take_link(struct span *rest, struct cid *ret_cid)
{
    struct head head;
    struct span bytes;
    enum err err = take_head(rest, &head);
    if (err == ERR_OK && head.major != MAJOR_BYTES)
        err = ERR_INVALID;
    if (err == ERR_OK)
        err = take_payload(rest, head.n, &bytes);
    if (err != ERR_OK)
        return err;
    if (bytes.len == 0 || bytes.data[0] != 0)
        return ERR_INVALID;
    return cid_parse(span_skip(bytes, 1), ret_cid);
}

static double half_of(uint64_t bits)
{
    unsigned exponent = (unsigned)(bits >> 10 & 0x1f);
    double fraction = (double)(bits & 0x3ff);
    double value = exponent == 0    ? ldexp(fraction, -24)
                   : exponent == 31 ? (double)INFINITY
                                    : ldexp(fraction + 1024, (int)exponent - 25);
    return (bits & 0x8000) != 0 ? -value : value;
}

static double real_of(const struct head *head)
{
    double real;
    float single;
    uint32_t bits = (uint32_t)head->n;
    if (head->info == OTHER_HALF)
        return half_of(head->n);
    if (head->info == OTHER_DOUBLE) {
        memcpy(&real, &head->n, sizeof(real));
        return real;
    }
    memcpy(&single, &bits, sizeof(single));
    return (double)single;
}

static enum err other_of(const struct decoder *d, const struct head *head, struct ipld_event *event)
{
    switch (head->info) {
    case OTHER_FALSE:
    case OTHER_TRUE:
        event->kind = IPLD_BOOL;
        event->truth = head->info == OTHER_TRUE;
        return ERR_OK;
    case OTHER_NULL:
        event->kind = IPLD_NULL;
        return ERR_OK;
    case OTHER_HALF:
    case OTHER_SINGLE:
    case OTHER_DOUBLE:
        if (d->form == DAG_CBOR_CANONICAL && head->info != OTHER_DOUBLE)
            return ERR_INVALID;
        event->kind = IPLD_FLOAT;
        event->real = real_of(head);
        return isfinite(event->real) ? ERR_OK : ERR_INVALID;
    }
    return ERR_INVALID;
}

static enum err take_text(struct decoder *d, uint64_t len, struct span *ret_text)
{
    enum err err = take_payload(&d->rest, len, ret_text);
    if (err == ERR_OK && d->form == DAG_CBOR_CANONICAL && !text_is_utf8(*ret_text))
        err = ERR_INVALID;
    return err;
}

/* What follows a head that opens no list or map. */
static enum err scalar_of(struct decoder *d, const struct head *head, struct ipld_event *event)
{
    switch (head->major) {
    case MAJOR_UINT:
    case MAJOR_NEGATIVE:
        event->kind = IPLD_INT;
        event->negative = head->major == MAJOR_NEGATIVE;
        event->number = head->n;
        return ERR_OK;
    case MAJOR_BYTES:
        event->kind = IPLD_BYTES;
        return take_payload(&d->rest, head->n, &event->bytes);
    case MAJOR_TEXT:
        event->kind = IPLD_STRING;
        return take_text(d, head->n, &event->bytes);
    case MAJOR_TAG:
        event->kind = IPLD_LINK;
        return head->n == TAG_LINK ? take_link(&d->rest, &event->link) : ERR_INVALID;
    case MAJOR_OTHER:
        return other_of(d, head, event);
    case MAJOR_LIST:
    case MAJOR_MAP:
        break;
    }
    return ERR_INVALID;
}

/* ---- lists and maps ---- */

static enum err emit(const struct decoder *d, const struct ipld_event *event)
{
    return d->sink == NULL ? ERR_OK : d->sink(d->arg, event);
}

/* Each item takes a byte at least, so no count is believed that the rest of the block cannot hold. */
static enum err open_frame(struct decoder *d, const struct head *head)
{
    struct ipld_event event = {.kind = head->major == MAJOR_MAP ? IPLD_MAP : IPLD_LIST};
    uint64_t items_max = d->rest.len / (head->major == MAJOR_MAP ? 2 : 1);
    if (head->n > items_max)
        return ERR_TRUNCATED;
    if (d->depth == IPLD_DEPTH_MAX)
        return ERR_TOO_LARGE;
    struct frame *frame = &d->frames[d->depth++];
    frame->is_map = head->major == MAJOR_MAP;
    frame->left = (uint32_t)head->n * (frame->is_map ? 2 : 1);
    frame->key_len = UINT32_MAX;
    return emit(d, &event);
}

static bool is_after_last_key(const struct decoder *d, const struct frame *frame, struct span key)
{
    if (frame->key_len == UINT32_MAX)
        return true;
    struct span last = span_of(d->block.data + frame->key_at, frame->key_len);
    return last.len != key.len ? last.len < key.len : span_compare(last, key) < 0;
}

static enum err take_key(struct decoder *d, struct frame *frame)
{
    struct head head;
    struct ipld_event event = {.kind = IPLD_KEY};
    enum err err = take_head(&d->rest, &head);
    if (err == ERR_OK && head.major != MAJOR_TEXT)
        err = ERR_INVALID;
    if (err == ERR_OK)
        err = take_text(d, head.n, &event.bytes);
    if (err != ERR_OK)
        return err;
    if (d->form == DAG_CBOR_CANONICAL && !is_after_last_key(d, frame, event.bytes))
        return ERR_INVALID;
    frame->key_at = (uint32_t)(event.bytes.data - d->block.data);
    frame->key_len = (uint32_t)event.bytes.len;
    return emit(d, &event);
}

static enum err take_value(struct decoder *d)
{
    struct head head;
    struct ipld_event event = {0};
    enum err err = take_head(&d->rest, &head);
    if (err != ERR_OK)
        return err;
    if (head.major == MAJOR_LIST || head.major == MAJOR_MAP)
        return open_frame(d, &head);
    err = scalar_of(d, &head, &event);
    return err == ERR_OK ? emit(d, &event) : err;
}

/* The next key, value or end inside the innermost open list or map. */
static enum err step(struct decoder *d)
{
    static const struct ipld_event end = {.kind = IPLD_END};
    struct frame *frame = &d->frames[d->depth - 1];
    if (frame->left == 0) {
        d->depth--;
        return emit(d, &end);
    }
    frame->left--;
    return frame->is_map && frame->left % 2 != 0 ? take_key(d, frame) : take_value(d);
}

enum err dag_cbor_decode(struct span block, enum dag_cbor_form form, ipld_sink *sink, void *arg, size_t *ret_at)
{
    struct decoder d;
    d.block = d.rest = block;
    d.form = form;
    d.sink = sink;
    d.arg = arg;
    d.depth = 0;
    enum err err = block.len >= UINT32_MAX ? ERR_TOO_LARGE : take_value(&d);
    while (err == ERR_OK && d.depth > 0)
        err = step(&d);
    if (err == ERR_OK && d.rest.len > 0)
        err = ERR_INVALID;
    if (ret_at != NULL)
        *ret_at = block.len - d.rest.len;
    return err;
}

/* How items are nested does not matter here: all stand in one row. */
bool dag_cbor_next_link(struct span *rest, struct cid *ret_cid)
{
    struct head head;
    while (take_head(rest, &head) == ERR_OK) {
        if (head.major == MAJOR_TAG)
            return take_link(rest, ret_cid) == ERR_OK;
        if (head.major == MAJOR_BYTES || head.major == MAJOR_TEXT)
            *rest = span_skip(*rest, (size_t)head.n);
    }
    return false;
}

/* ---- encoding ---- */

size_t dag_cbor_head_size(uint64_t n)
{
    return n < 24 ? 1 : n <= UINT8_MAX ? 2 : n <= UINT16_MAX ? 3 : n <= UINT32_MAX ? 5 : 9;
}

static enum err append_long_head(struct buf *out, enum major major, uint8_t info, uint64_t n, size_t len)
{
    uint8_t head[HEAD_BYTES_MAX] = {(uint8_t)(major << 5 | info)};
    for (size_t i = len; i > 0; i--, n >>= 8)
        head[i] = (uint8_t)n;
    return buf_append(out, head, 1 + len);
}

static enum err append_head(struct buf *out, enum major major, uint64_t n)
{
    size_t len = dag_cbor_head_size(n) - 1;
    uint8_t info = len == 0 ? (uint8_t)n : len == 1 ? 24 : len == 2 ? 25 : len == 4 ? 26 : 27;
    return append_long_head(out, major, info, n, len);
}

static enum err append_string(struct buf *out, enum major major, struct span bytes)
{
    enum err err = append_head(out, major, bytes.len);
    return err == ERR_OK ? buf_append_span(out, bytes) : err;
}

static enum err append_link(struct buf *out, const struct cid *link)
{
    uint8_t bytes[1 + CID_BYTES_MAX] = {0};
    size_t len = 1 + cid_encode(link, bytes + 1);
    enum err err = append_head(out, MAJOR_TAG, TAG_LINK);
    return err == ERR_OK ? append_string(out, MAJOR_BYTES, span_of(bytes, len)) : err;
}

static enum err append_float(struct buf *out, double real)
{
    uint64_t bits;
    memcpy(&bits, &real, sizeof(bits));
    return append_long_head(out, MAJOR_OTHER, OTHER_DOUBLE, bits, sizeof(bits));
}

enum err dag_cbor_append(struct buf *out, const struct ipld_event *event, uint64_t entries)
{
    switch (event->kind) {
    case IPLD_NULL:
        return append_head(out, MAJOR_OTHER, OTHER_NULL);
    case IPLD_BOOL:
        return append_head(out, MAJOR_OTHER, event->truth ? OTHER_TRUE : OTHER_FALSE);
    case IPLD_INT:
        return append_head(out, event->negative ? MAJOR_NEGATIVE : MAJOR_UINT, event->number);
    case IPLD_FLOAT:
        return append_float(out, event->real);
    case IPLD_BYTES:
        return append_string(out, MAJOR_BYTES, event->bytes);
    case IPLD_STRING:
    case IPLD_KEY:
        return append_string(out, MAJOR_TEXT, event->bytes);
    case IPLD_LINK:
        return append_link(out, &event->link);
    case IPLD_LIST:
        return append_head(out, MAJOR_LIST, entries);
    case IPLD_MAP:
        return append_head(out, MAJOR_MAP, entries);
    case IPLD_END:
        break;
    }
    return ERR_INTERNAL;
}
