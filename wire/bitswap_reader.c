/* SPDX-License-Identifier: MIT */
/*
 * The reader is a small machine over the fields of a message:
 *
 *      LENGTH -> KEY -> VARINT | SIZE -> SMALL | ACQUIRE -> DATA | SKIP -> KEY ... -> LENGTH
 *
 * pos counts the bytes of the message; end and nested_end say where the message and the wantlist or payload in it stop. No value
 * may cross the end of what holds it.
 */
#include "wire/bitswap.h"

#include <string.h>

#include "wire/protobuf.h"
#include "wire/varint.h"

enum state { READ_LENGTH, READ_KEY, READ_VARINT, READ_SIZE, READ_SMALL, READ_ACQUIRE, READ_DATA, READ_SKIP };
enum place { IN_MESSAGE, IN_WANTLIST, IN_PAYLOAD };
enum prefix_state { PREFIX_NONE, PREFIX_GOOD, PREFIX_BAD };

enum { MESSAGE_WANTLIST = 1, MESSAGE_BLOCK = 2, MESSAGE_PAYLOAD = 3, MESSAGE_PRESENCE = 4, MESSAGE_PENDING = 5 };
enum { WANTLIST_ENTRY = 1, WANTLIST_FULL = 2 };
enum { ENTRY_CID = 1, ENTRY_PRIORITY = 2, ENTRY_CANCEL = 3, ENTRY_TYPE = 4, ENTRY_SEND_DONT_HAVE = 5 };
enum { PAYLOAD_PREFIX = 1, PAYLOAD_DATA = 2 };
enum { PRESENCE_CID = 1, PRESENCE_TYPE = 2 };

static const char *const names[BITSWAP_VERSION_COUNT] = {
    [BITSWAP_UNVERSIONED] = "/ipfs/bitswap",
    [BITSWAP_1_0] = "/ipfs/bitswap/1.0.0",
    [BITSWAP_1_1] = "/ipfs/bitswap/1.1.0",
    [BITSWAP_1_2] = "/ipfs/bitswap/1.2.0",
};

const char *bitswap_protocol(enum bitswap_version version)
{
    return names[version];
}

enum err bitswap_version_of(struct span protocol, enum bitswap_version *ret_version)
{
    for (size_t i = 0; i < BITSWAP_VERSION_COUNT; i++) {
        if (span_equal_text(protocol, names[i])) {
            *ret_version = (enum bitswap_version)i;
            return ERR_OK;
        }
    }
    return ERR_UNSUPPORTED;
}

void bitswap_reader_init(struct bitswap_reader *reader)
{
    *reader = (struct bitswap_reader){.state = READ_LENGTH};
}

void bitswap_reader_release(struct bitswap_reader *reader)
{
    block_ref_unref(reader->data);
    reader->data = NULL;
}

bool bitswap_reader_at_boundary(const struct bitswap_reader *reader)
{
    return reader->state == READ_LENGTH && reader->varint_len == 0;
}

static uint32_t limit(const struct bitswap_reader *r)
{
    return r->place == IN_MESSAGE ? r->end : r->nested_end;
}

static void enter(struct bitswap_reader *r, enum state state)
{
    r->state = (uint8_t)state;
    r->varint = 0;
    r->varint_len = 0;
}

/* Takes bytes of a varint; ERR_AGAIN while it is not complete. */
static enum err take_varint(struct bitswap_reader *r, struct span *in)
{
    while (in->len > 0) {
        if (r->state != READ_LENGTH && r->pos == limit(r))
            return ERR_INVALID;
        uint8_t byte = in->data[0];
        *in = span_skip(*in, 1);
        r->pos++;
        if (r->varint_len == PROTOBUF_VARINT_MAX - 1 && byte > 1)
            return ERR_INVALID;
        r->varint |= (uint64_t)(byte & 0x7f) << (7 * r->varint_len++);
        if ((byte & 0x80) == 0)
            return ERR_OK;
    }
    return r->state != READ_LENGTH && r->pos == limit(r) ? ERR_INVALID : ERR_AGAIN;
}

/* The frame's length is a multiformats varint: shortest form, and refused as soon as it passes the bound. */
static enum err on_length(struct bitswap_reader *r, struct span *in)
{
    while (in->len > 0) {
        struct span one = span_first(*in, 1);
        uint8_t byte = one.data[0];
        enum err err = take_varint(r, &one);
        *in = span_skip(*in, 1);
        if (r->varint > BITSWAP_MESSAGE_MAX || r->varint_len > 4)
            return ERR_TOO_LARGE;
        if (err == ERR_AGAIN)
            continue;
        if (err != ERR_OK || (byte == 0 && r->varint_len > 1))
            return ERR_INVALID;
        r->pos = 0;
        r->end = (uint32_t)r->varint;
        r->place = IN_MESSAGE;
        r->full = false;
        r->pending_bytes = 0;
        r->ignored = 0;
        enter(r, READ_KEY);
        return ERR_OK;
    }
    return ERR_AGAIN;
}

static bool usable(const struct cid *cid)
{
    return cid->hash.code != MULTIHASH_IDENTITY;
}

static enum err entry_done(struct bitswap_reader *r, const struct bitswap_sink *sink)
{
    struct bitswap_want want = {.priority = 0};
    uint64_t type = BITSWAP_WANT_BLOCK;
    bool has_cid = false;
    for (struct span in = span_of(r->small, r->small_len); in.len > 0;) {
        struct protobuf_field field;
        if (protobuf_next(&in, &field) != ERR_OK)
            return ERR_INVALID;
        if (protobuf_is(&field, ENTRY_CID, PROTOBUF_BYTES))
            has_cid = cid_parse(field.bytes, &want.cid) == ERR_OK;
        else if (protobuf_is(&field, ENTRY_PRIORITY, PROTOBUF_VARINT))
            want.priority = (int32_t)(uint32_t)field.value;
        else if (protobuf_is(&field, ENTRY_CANCEL, PROTOBUF_VARINT))
            want.cancel = field.value != 0;
        else if (protobuf_is(&field, ENTRY_TYPE, PROTOBUF_VARINT))
            type = field.value;
        else if (protobuf_is(&field, ENTRY_SEND_DONT_HAVE, PROTOBUF_VARINT))
            want.send_dont_have = field.value != 0;
    }
    if (!has_cid || !usable(&want.cid) || type > BITSWAP_WANT_HAVE) {
        r->ignored++;
        return ERR_OK;
    }
    want.type = (enum bitswap_want_type)type;
    sink->want(sink->arg, &want);
    return ERR_OK;
}

static enum err presence_done(struct bitswap_reader *r, const struct bitswap_sink *sink)
{
    struct cid cid;
    uint64_t type = 0;
    bool has_cid = false;
    for (struct span in = span_of(r->small, r->small_len); in.len > 0;) {
        struct protobuf_field field;
        if (protobuf_next(&in, &field) != ERR_OK)
            return ERR_INVALID;
        if (protobuf_is(&field, PRESENCE_CID, PROTOBUF_BYTES))
            has_cid = cid_parse(field.bytes, &cid) == ERR_OK;
        else if (protobuf_is(&field, PRESENCE_TYPE, PROTOBUF_VARINT))
            type = field.value;
    }
    if (!has_cid || !usable(&cid) || type > 1) {
        r->ignored++;
        return ERR_OK;
    }
    sink->presence(sink->arg, &cid, type == 0);
    return ERR_OK;
}

static void drop_data(struct bitswap_reader *r)
{
    block_ref_unref(r->data);
    r->data = NULL;
    r->data_len = 0;
}

/* Names the block by its bytes and hands it over. */
static void deliver(struct bitswap_reader *r, const struct cid_prefix *prefix, const struct bitswap_sink *sink)
{
    struct cid cid;
    struct span bytes = span_first(block_ref_span(r->data), r->data_len);
    enum err err = cid_prefix_sum(prefix, bytes, &cid);
    if (err != ERR_OK)
        sink->rejected(sink->arg, err, bytes.len);
    else
        sink->block(sink->arg, &cid, r->data);
    drop_data(r);
}

/* A payload whose data is absent is the empty block: proto3 leaves empty fields out. */
static enum err payload_done(struct bitswap_reader *r, const struct bitswap_sink *sink)
{
    if (r->prefix != PREFIX_GOOD) {
        sink->rejected(sink->arg, ERR_INVALID, r->data_len);
        drop_data(r);
        return ERR_OK;
    }
    if (r->data == NULL) {
        r->data = sink->acquire(sink->arg, 0);
        if (r->data == NULL)
            return ERR_AGAIN;
    }
    deliver(r, &r->cid_prefix, sink);
    return ERR_OK;
}

/* The value in small is complete. */
static enum err small_done(struct bitswap_reader *r, const struct bitswap_sink *sink)
{
    enter(r, READ_KEY);
    if (r->place == IN_WANTLIST)
        return entry_done(r, sink);
    if (r->place == IN_MESSAGE)
        return presence_done(r, sink);
    r->prefix = cid_prefix_parse(span_of(r->small, r->small_len), &r->cid_prefix) == ERR_OK ? PREFIX_GOOD : PREFIX_BAD;
    return ERR_OK;
}

static void data_done(struct bitswap_reader *r, const struct bitswap_sink *sink)
{
    static const struct cid_prefix v0 = {
        .version = 0, .codec = CODEC_DAG_PB, .hash_code = MULTIHASH_SHA2_256, .hash_len = 32};
    enter(r, READ_KEY);
    if (r->place == IN_MESSAGE)
        deliver(r, &v0, sink);
}

static void start_nested(struct bitswap_reader *r, enum place place, uint32_t size)
{
    r->place = (uint8_t)place;
    r->nested_end = r->pos + size;
    r->prefix = PREFIX_NONE;
    enter(r, READ_KEY);
}

static bool holds_small(const struct bitswap_reader *r)
{
    switch ((enum place)r->place) {
    case IN_MESSAGE:
        return r->field == MESSAGE_PRESENCE;
    case IN_WANTLIST:
        return r->field == WANTLIST_ENTRY;
    case IN_PAYLOAD:
        return r->field == PAYLOAD_PREFIX;
    }
    return false;
}

/* The size of a field of bytes is known: what becomes of it? */
static enum err on_size(struct bitswap_reader *r, const struct bitswap_sink *sink)
{
    if (r->varint > limit(r) - r->pos)
        return ERR_INVALID;
    r->left = (uint32_t)r->varint;
    r->small_len = 0;
    bool data = r->place == IN_PAYLOAD ? r->field == PAYLOAD_DATA : r->place == IN_MESSAGE && r->field == MESSAGE_BLOCK;
    if (r->place == IN_MESSAGE && r->field == MESSAGE_WANTLIST) {
        start_nested(r, IN_WANTLIST, r->left);
    } else if (r->place == IN_MESSAGE && r->field == MESSAGE_PAYLOAD) {
        start_nested(r, IN_PAYLOAD, r->left);
    } else if (data) {
        drop_data(r);
        enter(r, READ_ACQUIRE);
    } else if (holds_small(r) && r->left <= BITSWAP_ENTRY_MAX) {
        enter(r, READ_SMALL);
        return r->left == 0 ? small_done(r, sink) : ERR_OK;
    } else {
        r->ignored += holds_small(r) ? 1 : 0;
        enter(r, r->left == 0 ? READ_KEY : READ_SKIP);
    }
    return ERR_OK;
}

static void on_varint(struct bitswap_reader *r)
{
    if (r->place == IN_WANTLIST && r->field == WANTLIST_FULL)
        r->full = r->varint != 0;
    else if (r->place == IN_MESSAGE && r->field == MESSAGE_PENDING)
        r->pending_bytes = (int32_t)(uint32_t)r->varint;
    enter(r, READ_KEY);
}

static enum err on_key(struct bitswap_reader *r)
{
    uint64_t number = r->varint >> 3;
    unsigned type = (unsigned)(r->varint & 7);
    if (number == 0 || number > PROTOBUF_NUMBER_MAX || r->pos == limit(r)) /* every value takes a byte at least */
        return ERR_INVALID;
    r->field = (uint32_t)number;
    if (type == PROTOBUF_VARINT) {
        enter(r, READ_VARINT);
    } else if (type == PROTOBUF_BYTES) {
        enter(r, READ_SIZE);
    } else if (type == PROTOBUF_FIXED32 || type == PROTOBUF_FIXED64) {
        r->left = type == PROTOBUF_FIXED32 ? 4 : 8;
        enter(r, READ_SKIP);
        return r->left > limit(r) - r->pos ? ERR_INVALID : ERR_OK;
    } else {
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* At the end of the wantlist, payload or message; true when something ended. */
static enum err close_finished(struct bitswap_reader *r, const struct bitswap_sink *sink, bool *ret_closed)
{
    *ret_closed = r->pos == limit(r);
    if (!*ret_closed)
        return ERR_OK;
    if (r->place == IN_PAYLOAD) {
        enum err err = payload_done(r, sink);
        if (err != ERR_OK)
            return err;
    }
    if (r->place != IN_MESSAGE) {
        r->place = IN_MESSAGE;
        return ERR_OK;
    }
    struct bitswap_end end = {.full = r->full, .pending_bytes = r->pending_bytes, .ignored = r->ignored};
    enter(r, READ_LENGTH);
    sink->end(sink->arg, &end);
    return ERR_OK;
}

/* Moves what is there of the current value to `to`, or nowhere. True when the value is complete. */
static bool take_bytes(struct bitswap_reader *r, struct span *in, uint8_t *to)
{
    struct span part = span_first(*in, r->left);
    if (to != NULL && part.len > 0)
        memcpy(to, part.data, part.len);
    r->left -= (uint32_t)part.len;
    r->pos += (uint32_t)part.len;
    *in = span_skip(*in, part.len);
    return r->left == 0;
}

static enum err on_small(struct bitswap_reader *r, struct span *in, const struct bitswap_sink *sink)
{
    uint8_t *to = r->small + r->small_len;
    r->small_len = (uint16_t)(r->small_len + MIN(in->len, r->left));
    return take_bytes(r, in, to) ? small_done(r, sink) : ERR_OK;
}

static enum err on_acquire(struct bitswap_reader *r, const struct bitswap_sink *sink)
{
    r->data = sink->acquire(sink->arg, r->left);
    if (r->data == NULL)
        return ERR_AGAIN;
    enter(r, READ_DATA);
    if (r->left == 0)
        data_done(r, sink);
    return ERR_OK;
}

static void on_data(struct bitswap_reader *r, struct span *in, const struct bitswap_sink *sink)
{
    uint8_t *to = r->data->data + r->data_len;
    r->data_len += (uint32_t)MIN(in->len, r->left);
    if (take_bytes(r, in, to))
        data_done(r, sink);
}

/* One step. ERR_AGAIN with input left means acquire refused; without input it means nothing more can be done. */
static enum err step(struct bitswap_reader *r, struct span *in, const struct bitswap_sink *sink)
{
    enum err err = ERR_OK;
    bool closed = false;
    switch ((enum state)r->state) {
    case READ_LENGTH:
        return on_length(r, in);
    case READ_KEY:
        if (r->varint_len == 0) {
            err = close_finished(r, sink, &closed);
            if (err != ERR_OK || closed)
                return err;
        }
        err = take_varint(r, in);
        return err == ERR_OK ? on_key(r) : err;
    case READ_VARINT:
        err = take_varint(r, in);
        if (err == ERR_OK)
            on_varint(r);
        return err;
    case READ_SIZE:
        err = take_varint(r, in);
        return err == ERR_OK ? on_size(r, sink) : err;
    case READ_SMALL:
        return on_small(r, in, sink);
    case READ_ACQUIRE:
        return on_acquire(r, sink);
    case READ_DATA:
        on_data(r, in, sink);
        return ERR_OK;
    case READ_SKIP:
        if (take_bytes(r, in, NULL))
            enter(r, READ_KEY);
        return ERR_OK;
    }
    return ERR_INTERNAL;
}

/* Whether the state can move without input. */
static bool needs_input(const struct bitswap_reader *r)
{
    if (r->state == READ_ACQUIRE)
        return false;
    return r->state != READ_KEY || r->varint_len > 0 || r->pos != limit(r);
}

enum err bitswap_reader_feed(struct bitswap_reader *reader, struct span *in, const struct bitswap_sink *sink)
{
    while (in->len > 0 || !needs_input(reader)) {
        bool waits = needs_input(reader);
        enum err err = step(reader, in, sink);
        if (err == ERR_AGAIN && waits)
            continue; /* a varint that needs more bytes: the input is empty now */
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}
