/* SPDX-License-Identifier: MIT */
#include "wire/ipld_writer.h"

#include <assert.h>
#include <stdlib.h>

#include "wire/dag_cbor.h"
#include "wire/dag_json.h"

struct frame {
    bool is_map;
    bool unsorted;
    uint32_t count;       /* of values so far */
    uint32_t start;       /* in out: where the first entry or item begins */
    uint32_t first_entry; /* in entries */
    uint32_t first_key;   /* in keys */
};

struct entry {
    uint32_t key_at;
    uint32_t key_len;
    uint32_t at;
};

/* An entry of the map that is being sorted. */
struct piece {
    struct span key;
    struct span bytes;
    bool by_length;
};

void ipld_writer_init(struct ipld_writer *w, uint32_t codec, struct buf *out)
{
    assert(codec == CODEC_DAG_CBOR || codec == CODEC_DAG_JSON);
    assert(out->len == 0 && out->max <= UINT32_MAX);
    *w = (struct ipld_writer){.codec = codec, .out = out};
    buf_init(&w->frames, IPLD_DEPTH_MAX * sizeof(struct frame), out->account);
    buf_init(&w->entries, UINT32_MAX, out->account);
    buf_init(&w->keys, UINT32_MAX, out->account);
    buf_init(&w->pieces, UINT32_MAX, out->account);
    buf_init(&w->sorted, out->max, out->account);
}

void ipld_writer_release(struct ipld_writer *w)
{
    buf_release(&w->frames);
    buf_release(&w->entries);
    buf_release(&w->keys);
    buf_release(&w->pieces);
    buf_release(&w->sorted);
}

static struct frame *top(const struct ipld_writer *w)
{
    struct frame *frames = (struct frame *)(void *)w->frames.data;
    size_t depth = w->frames.len / sizeof(struct frame);
    return depth == 0 ? NULL : &frames[depth - 1];
}

static struct entry *entries_of(const struct ipld_writer *w, const struct frame *frame)
{
    return (struct entry *)(void *)w->entries.data + frame->first_entry;
}

static bool is_json(const struct ipld_writer *w)
{
    return w->codec == CODEC_DAG_JSON;
}

static int compare_keys(struct span a, struct span b, bool by_length)
{
    if (by_length && a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return span_compare(a, b);
}

static struct span key_of(const struct ipld_writer *w, const struct entry *e)
{
    return span_first(span_skip(buf_span(&w->keys), e->key_at), e->key_len);
}

/* ---- what is written as it comes ---- */

static enum err append(struct ipld_writer *w, const struct ipld_event *event)
{
    return is_json(w) ? dag_json_append(w->out, event) : dag_cbor_append(w->out, event, 0);
}

/* Before an item of a list and a key of a map. */
static enum err begin_item(struct ipld_writer *w, struct frame *frame)
{
    return frame->count++ > 0 && is_json(w) ? buf_append_byte(w->out, ',') : ERR_OK;
}

static enum err take_key(struct ipld_writer *w, const struct ipld_event *event)
{
    struct frame *frame = top(w);
    enum err err = begin_item(w, frame);
    struct entry entry = {.key_at = (uint32_t)w->keys.len, .key_len = (uint32_t)event->bytes.len};
    entry.at = (uint32_t)w->out->len;
    if (err == ERR_OK)
        err = append(w, event);
    if (err == ERR_OK)
        err = buf_append_span(&w->keys, event->bytes);
    if (err == ERR_OK)
        err = buf_append(&w->entries, &entry, sizeof(entry));
    if (err != ERR_OK || frame->count < 2)
        return err;
    const struct entry *last = entries_of(w, frame) + frame->count - 2;
    int order = compare_keys(key_of(w, last), event->bytes, !is_json(w));
    frame->unsorted |= order > 0;
    return order == 0 ? ERR_INVALID : ERR_OK;
}

static enum err open_frame(struct ipld_writer *w, const struct ipld_event *event)
{
    enum err err = append(w, event); /* in CBOR the head of an empty one, which close_frame writes anew */
    struct frame frame = {.is_map = event->kind == IPLD_MAP};
    frame.start = (uint32_t)w->out->len;
    frame.first_entry = (uint32_t)(w->entries.len / sizeof(struct entry));
    frame.first_key = (uint32_t)w->keys.len;
    return err == ERR_OK ? buf_append(&w->frames, &frame, sizeof(frame)) : err;
}

/* ---- the end of a map ---- */

static int compare_pieces(const void *a, const void *b)
{
    const struct piece *x = a;
    const struct piece *y = b;
    return compare_keys(x->key, y->key, x->by_length);
}

static void cut_pieces(const struct ipld_writer *w, const struct frame *frame, struct piece *pieces)
{
    const struct entry *entries = entries_of(w, frame);
    for (uint32_t i = 0; i < frame->count; i++) {
        size_t end = i + 1 < frame->count ? entries[i + 1].at - (is_json(w) ? 1 : 0) : w->out->len;
        pieces[i].key = key_of(w, &entries[i]);
        pieces[i].bytes = span_of(w->out->data + entries[i].at, end - entries[i].at);
        pieces[i].by_length = !is_json(w);
    }
}

/* Writes the pieces, which lie in out, in their order to a place of their own. */
static enum err join_pieces(struct ipld_writer *w, const struct piece *pieces, uint32_t count)
{
    enum err err = ERR_OK;
    struct buf *to = &w->sorted;
    buf_clear(to);
    for (uint32_t i = 0; i < count && err == ERR_OK; i++) {
        if (i > 0 && compare_pieces(&pieces[i - 1], &pieces[i]) == 0)
            return ERR_INVALID;
        if (i > 0 && is_json(w))
            err = buf_append_byte(to, ',');
        if (err == ERR_OK)
            err = buf_append_span(to, pieces[i].bytes);
    }
    return err;
}

static enum err sort_map(struct ipld_writer *w, const struct frame *frame)
{
    buf_clear(&w->pieces);
    struct piece *pieces = (struct piece *)(void *)buf_reserve(&w->pieces, frame->count * sizeof(*pieces));
    if (pieces == NULL)
        return ERR_NOMEM;
    cut_pieces(w, frame, pieces);
    qsort(pieces, frame->count, sizeof(*pieces), compare_pieces);
    enum err err = join_pieces(w, pieces, frame->count);
    if (err == ERR_OK)
        memcpy(w->out->data + frame->start, w->sorted.data, w->sorted.len);
    return err;
}

/* A map that a reader would take for a link or for bytes; its entries are in order. */
static bool is_reserved(const struct ipld_writer *w, const struct frame *frame)
{
    static const char text[] = "\"/\":\"";
    static const char bytes[] = "\"/\":{\"bytes\":\"";
    struct span map = span_skip(buf_span(w->out), frame->start);
    return span_equal_text(span_first(map, strlen(text)), text) ||
           span_equal_text(span_first(map, strlen(bytes)), bytes);
}

/* Makes room for the longer head of a list or map that is not short. */
static enum err write_head(struct ipld_writer *w, const struct frame *frame)
{
    struct ipld_event event = {.kind = frame->is_map ? IPLD_MAP : IPLD_LIST};
    uint8_t head[16];
    struct buf to = {.data = head, .cap = sizeof(head), .max = sizeof(head)};
    enum err err = dag_cbor_append(&to, &event, frame->count);
    size_t more = dag_cbor_head_size(frame->count) - 1;
    if (err == ERR_OK && more > w->out->max - w->out->len)
        err = ERR_TOO_LARGE;
    if (err == ERR_OK && buf_reserve(w->out, more) == NULL)
        err = ERR_NOMEM;
    if (err != ERR_OK)
        return err;
    uint8_t *at = w->out->data + frame->start;
    memmove(at + more, at, w->out->len - frame->start);
    memcpy(at - 1, head, to.len);
    buf_commit(w->out, more);
    return ERR_OK;
}

static enum err close_frame(struct ipld_writer *w)
{
    struct frame frame = *top(w);
    enum err err = frame.unsorted ? sort_map(w, &frame) : ERR_OK;
    if (err == ERR_OK && is_json(w) && frame.is_map && is_reserved(w, &frame))
        err = ERR_UNSUPPORTED;
    if (err != ERR_OK)
        return err;
    w->frames.len -= sizeof(frame);
    w->entries.len = frame.first_entry * sizeof(struct entry);
    w->keys.len = frame.first_key;
    return is_json(w) ? buf_append_byte(w->out, frame.is_map ? '}' : ']') : write_head(w, &frame);
}

enum err ipld_writer_event(void *arg, const struct ipld_event *event)
{
    struct ipld_writer *w = arg;
    struct frame *frame = top(w);
    if (event->kind == IPLD_KEY)
        return take_key(w, event);
    if (event->kind == IPLD_END)
        return close_frame(w);
    enum err err = frame != NULL && !frame->is_map ? begin_item(w, frame) : ERR_OK;
    if (err != ERR_OK)
        return err;
    return event->kind == IPLD_LIST || event->kind == IPLD_MAP ? open_frame(w, event) : append(w, event);
}
