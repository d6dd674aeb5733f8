/* SPDX-License-Identifier: MIT */
#include "wire/tree_stream.h"

#include <string.h>

#include "base/le.h"

enum { FLAG_MODE = 1, FLAG_MTIME = 2, FLAG_BY_HASH = 4, MODE_BYTES = 4, MTIME_BYTES = 12, MODE_MAX = 07777 };
enum { NANOS_PER_SECOND = 1000000000 };

bool tree_name_ok(struct span name)
{
    if (name.len == 0 || name.len > TREE_NAME_MAX || span_equal_text(name, ".") || span_equal_text(name, ".."))
        return false;
    return memchr(name.data, '/', name.len) == NULL && memchr(name.data, '\0', name.len) == NULL;
}

static bool kind_has_name(enum tree_kind kind)
{
    return kind == TREE_ENTER || kind == TREE_FILE || kind == TREE_SYMLINK;
}

/* What a record's head may say, apart from where it stands in the stream. */
static enum err check_head(uint8_t kind, uint8_t flags, size_t name_len, size_t body_len)
{
    if (kind < TREE_ENTER || kind > TREE_SYMLINK || (flags & ~(FLAG_MODE | FLAG_MTIME | FLAG_BY_HASH)) != 0)
        return ERR_INVALID;
    if ((flags & FLAG_BY_HASH) != 0 && kind != TREE_ENTER)
        return ERR_INVALID;
    if (kind_has_name((enum tree_kind)kind) ? name_len == 0 : name_len != 0 || flags != 0)
        return ERR_INVALID;
    if (name_len > TREE_NAME_MAX)
        return ERR_TOO_LARGE;
    if (kind == TREE_DATA)
        return body_len == 0 ? ERR_INVALID : body_len > TREE_DATA_MAX ? ERR_TOO_LARGE : ERR_OK;
    if (kind == TREE_SYMLINK)
        return body_len == 0 ? ERR_INVALID : body_len > TREE_TARGET_MAX ? ERR_TOO_LARGE : ERR_OK;
    return body_len == 0 ? ERR_OK : ERR_INVALID;
}

static size_t meta_size(uint8_t flags)
{
    return ((flags & FLAG_MODE) != 0 ? MODE_BYTES : 0) + ((flags & FLAG_MTIME) != 0 ? MTIME_BYTES : 0);
}

static bool meta_ok(const struct tree_meta *meta)
{
    return meta->mode <= MODE_MAX && meta->mtime_nanos < NANOS_PER_SECOND;
}

enum err tree_stream_append(struct buf *out, enum tree_kind kind, struct span name, struct span body,
                            const struct tree_meta *meta)
{
    static const struct tree_meta none = {0};
    meta = meta == NULL ? &none : meta;
    uint8_t flags = (uint8_t)((meta->mode != 0 ? FLAG_MODE : 0) | (meta->has_mtime ? FLAG_MTIME : 0) |
                              (meta->by_hash ? FLAG_BY_HASH : 0));
    enum err err = check_head((uint8_t)kind, flags, name.len, body.len);
    if (err != ERR_OK)
        return err;
    if (!meta_ok(meta) || (kind_has_name(kind) && !tree_name_ok(name)))
        return ERR_INVALID;
    uint8_t head[TREE_HEADER_BYTES + TREE_META_BYTES_MAX] = {(uint8_t)kind, flags};
    size_t len = TREE_HEADER_BYTES;
    le_put(head + 2, name.len, 2);
    le_put(head + 4, body.len, 4);
    if (meta->mode != 0) {
        le_put(head + len, meta->mode, 4);
        len += MODE_BYTES;
    }
    if (meta->has_mtime) {
        le_put(head + len, (uint64_t)meta->mtime_seconds, 8);
        le_put(head + len + 8, meta->mtime_nanos, 4);
        len += MTIME_BYTES;
    }
    if (len + name.len + body.len > out->max - out->len)
        return ERR_TOO_LARGE;
    if (buf_reserve(out, len + name.len + body.len) == NULL)
        return ERR_NOMEM;
    err = buf_append(out, head, len);
    err = err == ERR_OK ? buf_append_span(out, name) : err;
    return err == ERR_OK ? buf_append_span(out, body) : err;
}

enum err tree_stream_append_data_head(struct buf *out, size_t len)
{
    enum err err = check_head(TREE_DATA, 0, 0, len);
    uint8_t head[TREE_HEADER_BYTES] = {TREE_DATA};
    le_put(head + 4, len, 4);
    return err == ERR_OK ? buf_append(out, head, sizeof(head)) : err;
}

void tree_decoder_init(struct tree_decoder *d, struct account *account)
{
    *d = (struct tree_decoder){0};
    buf_init(&d->text, TREE_NAME_MAX + TREE_TARGET_MAX, account);
}

void tree_decoder_release(struct tree_decoder *d)
{
    buf_release(&d->text);
}

/* Fills the head up to need bytes; false when the input ends before. */
static bool fill_head(struct tree_decoder *d, struct span *in, size_t need)
{
    if (d->head_len < need) {
        size_t take = MIN(need - d->head_len, in->len);
        if (take > 0)
            memcpy(d->head + d->head_len, in->data, take);
        d->head_len += take;
        *in = span_skip(*in, take);
    }
    return d->head_len >= need;
}

static enum err take_data(struct tree_decoder *d, struct span *in, struct tree_event *ret_event)
{
    if (in->len == 0)
        return ERR_AGAIN;
    *ret_event = (struct tree_event){.kind = TREE_DATA, .body = span_first(*in, d->data_left)};
    d->data_left -= (uint32_t)ret_event->body.len;
    *in = span_skip(*in, ret_event->body.len);
    return ERR_OK;
}

/* Whether the record may come here, and where the stream stands after it. */
static enum err step(struct tree_decoder *d, enum tree_kind kind)
{
    if ((kind == TREE_DATA || kind == TREE_END) != d->in_file)
        return ERR_INVALID;
    switch (kind) {
    case TREE_ENTER:
        if (d->depth == TREE_DEPTH_MAX)
            return ERR_TOO_LARGE;
        d->depth++;
        return ERR_OK;
    case TREE_LEAVE:
        if (d->depth == 0)
            return ERR_INVALID;
        d->depth--;
        return ERR_OK;
    case TREE_FILE:
    case TREE_END:
        d->in_file = kind == TREE_FILE;
        return ERR_OK;
    case TREE_DATA:
    case TREE_SYMLINK:
        return ERR_OK;
    }
    return ERR_INVALID;
}

static struct tree_meta read_meta(const uint8_t *at, uint8_t flags)
{
    struct tree_meta meta = {.by_hash = (flags & FLAG_BY_HASH) != 0};
    if ((flags & FLAG_MODE) != 0) {
        meta.mode = (uint32_t)le_get(at, 4);
        at += MODE_BYTES;
    }
    if ((flags & FLAG_MTIME) != 0) {
        meta.has_mtime = true;
        meta.mtime_seconds = (int64_t)le_get(at, 8);
        meta.mtime_nanos = (uint32_t)le_get(at + 8, 4);
    }
    return meta;
}

static enum err take_text(struct tree_decoder *d, struct span *in, size_t need)
{
    struct span part = span_first(*in, need - d->text.len);
    enum err err = buf_append_span(&d->text, part);
    if (err != ERR_OK)
        return err;
    *in = span_skip(*in, part.len);
    return d->text.len < need ? ERR_AGAIN : ERR_OK;
}

static enum err finish_record(struct tree_decoder *d, struct span *in, size_t name_len, struct tree_event *ret_event)
{
    enum tree_kind kind = (enum tree_kind)d->head[0];
    struct tree_event event = {.kind = kind, .meta = read_meta(d->head + TREE_HEADER_BYTES, d->head[1])};
    event.name = span_first(buf_span(&d->text), name_len);
    event.body = span_skip(buf_span(&d->text), name_len);
    if (!meta_ok(&event.meta) || (kind_has_name(kind) && !tree_name_ok(event.name)))
        return ERR_INVALID;
    if (kind == TREE_SYMLINK && memchr(event.body.data, '\0', event.body.len) != NULL)
        return ERR_INVALID;
    enum err err = step(d, kind);
    if (err != ERR_OK)
        return err;
    d->head_len = 0;
    if (kind == TREE_DATA) {
        d->data_left = (uint32_t)le_get(d->head + 4, 4);
        return take_data(d, in, ret_event);
    }
    *ret_event = event;
    return ERR_OK;
}

enum err tree_decoder_next(struct tree_decoder *d, struct span *in, struct tree_event *ret_event)
{
    if (d->data_left > 0)
        return take_data(d, in, ret_event);
    if (d->head_len == 0)
        buf_clear(&d->text);
    if (!fill_head(d, in, TREE_HEADER_BYTES))
        return ERR_AGAIN;
    size_t name_len = (size_t)le_get(d->head + 2, 2);
    size_t body_len = (size_t)le_get(d->head + 4, 4);
    enum err err = check_head(d->head[0], d->head[1], name_len, body_len);
    if (err != ERR_OK)
        return err;
    if (!fill_head(d, in, TREE_HEADER_BYTES + meta_size(d->head[1])))
        return ERR_AGAIN;
    err = take_text(d, in, name_len + (d->head[0] == TREE_SYMLINK ? body_len : 0));
    return err == ERR_OK ? finish_record(d, in, name_len, ret_event) : err;
}

bool tree_decoder_at_end(const struct tree_decoder *d)
{
    return d->head_len == 0 && d->data_left == 0 && d->depth == 0 && !d->in_file;
}
