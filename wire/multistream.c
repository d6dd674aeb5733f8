/* SPDX-License-Identifier: MIT */
#include "wire/multistream.h"

#include <assert.h>

#include "wire/varint.h"

enum { LENGTH_BYTES_MAX = 2 }; /* a length up to 1024 takes two */

static void init(struct multistream *m)
{
    *m = (struct multistream){.selected = -1};
    buf_init(&m->line, LENGTH_BYTES_MAX + MULTISTREAM_LINE_MAX, NULL);
}

void multistream_init_initiator(struct multistream *m, const char *const *protocols, size_t count)
{
    assert(count > 0);
    init(m);
    m->protocols = protocols;
    m->count = count;
}

void multistream_init_responder(struct multistream *m, multistream_match *match, void *arg)
{
    init(m);
    m->match = match;
    m->arg = arg;
}

void multistream_release(struct multistream *m)
{
    buf_release(&m->line);
}

enum err multistream_append_line(struct buf *out, struct span text)
{
    if (text.len >= MULTISTREAM_LINE_MAX)
        return ERR_TOO_LARGE;
    uint8_t *to = buf_reserve(out, LENGTH_BYTES_MAX + text.len + 1);
    if (to == NULL)
        return ERR_NOMEM;
    size_t len = varint_encode(text.len + 1, to);
    if (text.len > 0)
        memcpy(to + len, text.data, text.len);
    to[len + text.len] = '\n';
    buf_commit(out, len + text.len + 1);
    return ERR_OK;
}

enum err multistream_start(struct multistream *m, struct buf *out)
{
    enum err err = multistream_append_line(out, span_text(MULTISTREAM_HEADER));
    if (err == ERR_OK && m->match == NULL)
        err = multistream_append_line(out, span_text(m->protocols[0]));
    return err;
}

static void finish(struct multistream *m, int selected)
{
    m->selected = selected;
    m->done = true;
}

/* The initiator hears the echo of its proposal or na; anything else is not an answer. */
static enum err take_answer(struct multistream *m, struct span text, struct buf *out)
{
    if (span_equal_text(text, m->protocols[m->proposals])) {
        finish(m, (int)m->proposals);
        return ERR_OK;
    }
    if (!span_equal_text(text, "na"))
        return ERR_PROTOCOL;
    if (++m->proposals == m->count)
        return ERR_REFUSED;
    return multistream_append_line(out, span_text(m->protocols[m->proposals]));
}

/* The responder echoes what it speaks. ls is one more name that nobody speaks. */
static enum err take_proposal(struct multistream *m, struct span text, struct buf *out)
{
    int number = m->match(m->arg, text);
    if (number >= 0) {
        finish(m, number);
        return multistream_append_line(out, text);
    }
    if (++m->proposals >= MULTISTREAM_PROPOSALS_MAX)
        return ERR_PROTOCOL;
    return multistream_append_line(out, span_text("na"));
}

static enum err take_line(struct multistream *m, struct span text, struct buf *out)
{
    if (!m->header_arrived) {
        m->header_arrived = true;
        return span_equal_text(text, MULTISTREAM_HEADER) ? ERR_OK : ERR_PROTOCOL;
    }
    return m->match == NULL ? take_answer(m, text, out) : take_proposal(m, text, out);
}

/*
 * Looks for a whole line at the front of in. ERR_TRUNCATED: ret_need bytes at least are needed to go on. ERR_PROTOCOL: no line can
 * begin like this.
 */
static enum err split_line(struct span in, size_t *ret_need, struct span *ret_text)
{
    struct span rest = span_first(in, LENGTH_BYTES_MAX);
    uint64_t len = 0;
    enum err err = varint_decode(&rest, &len);
    if (err == ERR_TRUNCATED && in.len < LENGTH_BYTES_MAX) {
        *ret_need = in.len + 1;
        return ERR_TRUNCATED;
    }
    if (err != ERR_OK || len == 0 || len > MULTISTREAM_LINE_MAX)
        return ERR_PROTOCOL;
    size_t head = MIN(in.len, LENGTH_BYTES_MAX) - rest.len;
    *ret_need = head + (size_t)len;
    if (in.len < *ret_need)
        return ERR_TRUNCATED;
    if (in.data[*ret_need - 1] != '\n')
        return ERR_PROTOCOL;
    *ret_text = span_of(in.data + head, (size_t)len - 1);
    return ERR_OK;
}

/* Completes the line kept from before with bytes of *in, never with more than the line has. */
static enum err feed_kept(struct multistream *m, struct span *in, struct buf *out)
{
    struct span text;
    size_t need = 0;
    enum err err = split_line(buf_span(&m->line), &need, &text);
    while (err == ERR_TRUNCATED && in->len > 0) {
        struct span piece = span_first(*in, need - m->line.len);
        err = buf_append_span(&m->line, piece);
        if (err != ERR_OK)
            return err;
        *in = span_skip(*in, piece.len);
        err = split_line(buf_span(&m->line), &need, &text);
    }
    if (err == ERR_TRUNCATED)
        return ERR_OK;
    if (err != ERR_OK)
        return err;
    err = take_line(m, text, out);
    buf_release(&m->line);
    return err;
}

/* Takes one line straight from *in, or keeps the piece of it that has arrived. */
static enum err feed_fresh(struct multistream *m, struct span *in, struct buf *out)
{
    struct span text;
    size_t need = 0;
    enum err err = split_line(*in, &need, &text);
    if (err == ERR_TRUNCATED) {
        err = buf_append_span(&m->line, *in);
        *in = span_skip(*in, in->len);
        return err;
    }
    if (err != ERR_OK)
        return err;
    *in = span_skip(*in, need);
    return take_line(m, text, out);
}

enum err multistream_feed(struct multistream *m, struct span in, struct buf *out, size_t *ret_used)
{
    size_t all = in.len;
    enum err err = ERR_OK;
    while (err == ERR_OK && !m->done && in.len > 0)
        err = m->line.len > 0 ? feed_kept(m, &in, out) : feed_fresh(m, &in, out);
    *ret_used = all - in.len;
    return err;
}
