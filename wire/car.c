/* SPDX-License-Identifier: MIT */
#include "wire/car.h"

#include <assert.h>
#include <stdlib.h>

#include "base/le.h"
#include "wire/dag_cbor.h"

enum { PRAGMA_BYTES = 11, DATA_OFFSET_MIN = PRAGMA_BYTES + CAR_V2_HEADER_BYTES };

enum state {
    STATE_HEADER_LEN,
    STATE_HEADER,
    STATE_V2_HEADER,
    STATE_PADDING, /* to the data of a v2 CAR */
    STATE_SECTION_LEN,
    STATE_CID,
    STATE_BYTES,
    STATE_REST, /* behind the data of a v2 CAR */
    STATE_FAILED
};

struct car_reader {
    enum state state;
    bool is_v2;
    size_t block_bytes_max;
    struct account *account;
    uint64_t offset;       /* bytes taken */
    uint64_t item_at;      /* where the header or section began */
    uint64_t data_end;     /* of a v1 stream: UINT64_MAX */
    uint64_t data_offset;  /* of a v2 CAR, as index_offset */
    uint64_t index_offset; /* 0: none */
    uint64_t item_left;    /* bytes of the header or section still to be taken */
    struct buf header;
    uint8_t head[CID_BYTES_MAX]; /* of a section: its length, then its CID */
    size_t head_len;
    struct cid cid;
    struct block_ref *block;
    size_t block_len; /* bytes of it so far */
    const char *why;
};

enum err car_reader_new(size_t block_bytes_max, struct account *account, struct car_reader **ret_reader)
{
    assert(block_bytes_max <= CAR_SECTION_MAX);
    struct car_reader *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return ERR_NOMEM;
    r->block_bytes_max = block_bytes_max;
    r->account = account;
    r->data_end = UINT64_MAX;
    r->why = "";
    buf_init(&r->header, CAR_HEADER_MAX, account);
    *ret_reader = r;
    return ERR_OK;
}

void car_reader_free(struct car_reader *reader)
{
    if (reader == NULL)
        return;
    buf_release(&reader->header);
    block_ref_unref(reader->block);
    free(reader);
}

static enum err fail(struct car_reader *r, enum err err, const char *why)
{
    r->state = STATE_FAILED;
    r->why = why;
    return err;
}

/* ---- taking bytes ---- */

static struct span take(struct car_reader *r, struct span *in, uint64_t most)
{
    struct span taken = span_first(*in, (size_t)MIN(most, (uint64_t)in->len));
    *in = span_skip(*in, taken.len);
    r->offset += taken.len;
    return taken;
}

/* Gathers into the header buffer until it has len bytes. */
static enum err gather(struct car_reader *r, struct span *in, size_t len)
{
    enum err err = buf_append_span(&r->header, take(r, in, len - r->header.len));
    if (err != ERR_OK)
        return fail(r, ERR_NOMEM, "no memory for the header");
    return r->header.len < len ? ERR_AGAIN : ERR_OK;
}

/* Takes a varint, which may come in pieces. */
static enum err take_length(struct car_reader *r, struct span *in, uint64_t *ret_len)
{
    while (in->len > 0 && r->head_len < VARINT_BYTES_MAX) {
        r->head[r->head_len++] = take(r, in, 1).data[0];
        struct span bytes = span_of(r->head, r->head_len);
        enum err err = varint_decode(&bytes, ret_len);
        if (err == ERR_TRUNCATED)
            continue;
        r->head_len = 0;
        return err == ERR_OK ? ERR_OK : fail(r, ERR_INVALID, "a length is not a varint in its shortest form");
    }
    return ERR_AGAIN;
}

/* ---- the header ---- */

enum header_key { KEY_NONE, KEY_ROOTS, KEY_VERSION };

struct header {
    uint32_t depth;
    enum header_key key;
    bool has_roots;
    uint64_t version; /* 0: none */
};

/* A map of roots, a list of links, and version; nothing else. */
static enum err header_event(void *arg, const struct ipld_event *event)
{
    struct header *h = arg;
    if (event->kind == IPLD_END) {
        h->depth--;
        return ERR_OK;
    }
    if (h->depth == 2)
        return event->kind == IPLD_LINK ? ERR_OK : ERR_INVALID;
    if (event->kind == IPLD_KEY) {
        h->key = span_equal_text(event->bytes, "roots")     ? KEY_ROOTS
                 : span_equal_text(event->bytes, "version") ? KEY_VERSION
                                                            : KEY_NONE;
        return h->key == KEY_NONE ? ERR_INVALID : ERR_OK;
    }
    if (h->depth == 1 && h->key == KEY_VERSION && event->kind == IPLD_INT && !event->negative) {
        h->version = event->number;
        return ERR_OK;
    }
    h->has_roots |= h->depth == 1 && h->key == KEY_ROOTS;
    enum ipld_kind wanted = h->depth == 0 ? IPLD_MAP : IPLD_LIST;
    bool fits = h->depth == 0 || h->key == KEY_ROOTS;
    h->depth++;
    return fits && event->kind == wanted ? ERR_OK : ERR_INVALID;
}

static enum err begin_header(struct car_reader *r, struct span *in)
{
    uint64_t len = 0;
    enum err err = take_length(r, in, &len);
    if (err != ERR_OK)
        return err;
    if (len == 0)
        return fail(r, ERR_INVALID, "this is no CAR: its header is empty");
    if (len > CAR_HEADER_MAX)
        return fail(r, ERR_TOO_LARGE, "this is no CAR, or its header is over 1 MiB");
    r->item_left = len;
    r->state = STATE_HEADER;
    return ERR_OK;
}

static enum err take_header(struct car_reader *r, struct span *in, struct car_event *ret_event)
{
    struct header header = {0};
    enum err err = gather(r, in, (size_t)r->item_left);
    if (err != ERR_OK)
        return err;
    if (dag_cbor_decode(buf_span(&r->header), DAG_CBOR_LOOSE, header_event, &header, NULL) != ERR_OK)
        return fail(r, ERR_INVALID, "this is no CAR: its header is malformed");
    if (header.version == 2 && !header.has_roots && !r->is_v2 && r->offset == PRAGMA_BYTES) {
        r->is_v2 = true;
        buf_clear(&r->header);
        r->state = STATE_V2_HEADER;
        return ERR_OK;
    }
    if (header.version != 1)
        return fail(r, ERR_UNSUPPORTED, "a CAR of this version cannot be read: only 1 and 2");
    if (!header.has_roots)
        return fail(r, ERR_INVALID, "the header has no roots");
    ret_event->kind = CAR_HEADER;
    ret_event->header = buf_span(&r->header);
    r->state = STATE_SECTION_LEN;
    return ERR_OK;
}

static enum err take_v2_header(struct car_reader *r, struct span *in)
{
    enum err err = gather(r, in, CAR_V2_HEADER_BYTES);
    if (err != ERR_OK)
        return err;
    const uint8_t *at = r->header.data;
    uint64_t size = le_get(at + 24, 8);
    r->data_offset = le_get(at + 16, 8);
    r->index_offset = le_get(at + 32, 8);
    buf_clear(&r->header);
    if (r->data_offset < DATA_OFFSET_MIN || r->data_offset > INT64_MAX || size == 0 || size > INT64_MAX)
        return fail(r, ERR_INVALID, "the header of version 2 says that the data lie where they cannot");
    r->data_end = r->data_offset + size;
    if (r->index_offset != 0 && r->index_offset < r->data_end)
        return fail(r, ERR_INVALID, "the header of version 2 says that the index lies in the data");
    r->state = STATE_PADDING;
    return ERR_OK;
}

static enum err skip_padding(struct car_reader *r, struct span *in)
{
    (void)take(r, in, r->data_offset - r->offset);
    if (r->offset < r->data_offset)
        return ERR_AGAIN;
    r->state = STATE_HEADER_LEN;
    r->item_at = r->offset;
    return ERR_OK;
}

/* ---- sections ---- */

static enum err begin_section(struct car_reader *r, struct span *in)
{
    uint64_t len = 0;
    if (r->head_len == 0) {
        r->item_at = r->offset;
        if (r->offset >= r->data_end) {
            r->state = STATE_REST;
            return r->offset == r->data_end ? ERR_OK : fail(r, ERR_INVALID, "the header goes past the end of the data");
        }
    }
    enum err err = take_length(r, in, &len);
    if (err != ERR_OK)
        return err;
    if (len == 0)
        return fail(r, ERR_INVALID, "a section is empty");
    if (len > CAR_SECTION_MAX)
        return fail(r, ERR_TOO_LARGE, "a section is over 8 MiB");
    if (r->offset > r->data_end || len > r->data_end - r->offset)
        return fail(r, ERR_INVALID, "a section goes past the end of the data");
    r->item_left = len;
    r->state = STATE_CID;
    return ERR_OK;
}

static enum err begin_block(struct car_reader *r, struct span rest)
{
    size_t len = rest.len + (size_t)r->item_left;
    if (len > r->block_bytes_max)
        return fail(r, ERR_TOO_LARGE, "a block is larger than what is stored here");
    r->block = block_ref_new(len, r->account);
    if (r->block == NULL)
        return fail(r, ERR_NOMEM, "no memory for a block");
    if (rest.len > 0)
        memcpy(r->block->data, rest.data, rest.len);
    r->block_len = rest.len;
    r->head_len = 0;
    r->state = STATE_BYTES;
    return ERR_OK;
}

static enum err take_cid(struct car_reader *r, struct span *in)
{
    size_t most = (size_t)MIN(r->item_left, (uint64_t)(sizeof(r->head) - r->head_len));
    struct span more = take(r, in, most);
    if (more.len > 0)
        memcpy(r->head + r->head_len, more.data, more.len);
    r->head_len += more.len;
    r->item_left -= more.len;
    if (r->item_left > 0 && r->head_len < sizeof(r->head))
        return ERR_AGAIN;
    struct span rest = span_of(r->head, r->head_len);
    if (cid_decode(&rest, &r->cid) != ERR_OK)
        return fail(r, ERR_INVALID, "a section does not begin with a CID that can be read");
    return begin_block(r, rest);
}

static enum err take_bytes(struct car_reader *r, struct span *in, struct car_event *ret_event)
{
    struct span more = take(r, in, r->item_left);
    if (more.len > 0)
        memcpy(r->block->data + r->block_len, more.data, more.len);
    r->block_len += more.len;
    r->item_left -= more.len;
    if (r->item_left > 0)
        return ERR_AGAIN;
    enum err err = multihash_verify(&r->cid.hash, block_ref_span(r->block));
    if (err == ERR_UNSUPPORTED)
        return fail(r, err, "the hash function of a CID, or the length of its digest, is unknown here");
    if (err != ERR_OK)
        return fail(r, err, "a block is not the one that its CID names");
    ret_event->kind = CAR_BLOCK;
    ret_event->cid = r->cid;
    ret_event->block = r->block;
    r->block = NULL;
    r->state = STATE_SECTION_LEN;
    return ERR_OK;
}

/* One state's work. ERR_OK: go on, or an event when the state has just left the header or the bytes. */
static enum err step(struct car_reader *r, struct span *in, struct car_event *ret_event)
{
    switch (r->state) {
    case STATE_HEADER_LEN:
        return begin_header(r, in);
    case STATE_HEADER:
        return take_header(r, in, ret_event);
    case STATE_V2_HEADER:
        return take_v2_header(r, in);
    case STATE_PADDING:
        return skip_padding(r, in);
    case STATE_SECTION_LEN:
        return begin_section(r, in);
    case STATE_CID:
        return take_cid(r, in);
    case STATE_BYTES:
        return take_bytes(r, in, ret_event);
    case STATE_REST:
        (void)take(r, in, UINT64_MAX);
        return ERR_AGAIN;
    case STATE_FAILED:
        break;
    }
    return ERR_INVALID;
}

enum err car_reader_next(struct car_reader *reader, struct span *in, struct car_event *ret_event)
{
    for (;;) {
        enum state before = reader->state;
        enum err err = step(reader, in, ret_event);
        bool gives = before == STATE_HEADER || before == STATE_BYTES;
        if (err != ERR_OK || (gives && reader->state == STATE_SECTION_LEN))
            return err;
    }
}

enum err car_reader_finish(struct car_reader *reader)
{
    struct car_reader *r = reader;
    bool whole = r->state == STATE_SECTION_LEN && r->head_len == 0;
    if (whole && (!r->is_v2 || r->offset == r->data_end))
        r->state = STATE_REST;
    if (r->state == STATE_FAILED)
        return ERR_INVALID;
    if (r->state != STATE_REST)
        return fail(r, ERR_TRUNCATED, "the stream ends too early");
    if (r->index_offset != 0 && r->offset <= r->index_offset)
        return fail(r, ERR_TRUNCATED, "the index lies past the end of the stream");
    return ERR_OK;
}

const char *car_reader_why(const struct car_reader *reader)
{
    return reader->why;
}

uint64_t car_reader_offset(const struct car_reader *reader)
{
    return reader->item_at;
}

/* ---- writing ---- */

static enum err append_roots(struct buf *out, const struct cid *roots, size_t count)
{
    struct ipld_event event = {.kind = IPLD_MAP};
    enum err err = dag_cbor_append(out, &event, 2);
    event = (struct ipld_event){.kind = IPLD_KEY, .bytes = span_text("roots")};
    if (err == ERR_OK)
        err = dag_cbor_append(out, &event, 0);
    event.kind = IPLD_LIST;
    if (err == ERR_OK)
        err = dag_cbor_append(out, &event, count);
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        event = (struct ipld_event){.kind = IPLD_LINK, .link = roots[i]};
        err = dag_cbor_append(out, &event, 0);
    }
    event = (struct ipld_event){.kind = IPLD_KEY, .bytes = span_text("version")};
    if (err == ERR_OK)
        err = dag_cbor_append(out, &event, 0);
    event = (struct ipld_event){.kind = IPLD_INT, .number = 1};
    return err == ERR_OK ? dag_cbor_append(out, &event, 0) : err;
}

enum err car_append_header(struct buf *out, const struct cid *roots, size_t count)
{
    struct buf header;
    buf_init(&header, CAR_HEADER_MAX, out->account);
    enum err err = append_roots(&header, roots, count);
    if (err == ERR_OK)
        err = varint_append(out, header.len);
    if (err == ERR_OK)
        err = buf_append_span(out, buf_span(&header));
    buf_release(&header);
    return err;
}

size_t car_section_head(const struct cid *cid, size_t block_len, uint8_t to[CAR_SECTION_HEAD_MAX])
{
    uint8_t bytes[CID_BYTES_MAX];
    size_t cid_len = cid_encode(cid, bytes);
    size_t len = varint_encode(cid_len + block_len, to);
    memcpy(to + len, bytes, cid_len);
    return len + cid_len;
}
