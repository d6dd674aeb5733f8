/* SPDX-License-Identifier: MIT */
#include "wire/identify.h"

#include <string.h>

#include "wire/multiaddr.h"
#include "wire/protobuf.h"
#include "wire/varint.h"

enum {
    FIELD_PUBLIC_KEY = 1,
    FIELD_LISTEN_ADDR = 2,
    FIELD_PROTOCOL = 3,
    FIELD_OBSERVED_ADDR = 4,
    FIELD_PROTOCOL_VERSION = 5,
    FIELD_AGENT_VERSION = 6,
    FIELD_SIGNED_RECORD = 8
};

static enum err put_optional(struct buf *out, uint32_t number, struct span bytes)
{
    return bytes.len == 0 ? ERR_OK : protobuf_put_bytes(out, number, bytes);
}

static enum err put_message(struct buf *out, const struct identify_own *own)
{
    enum err err = put_optional(out, FIELD_PUBLIC_KEY, own->public_key);
    for (size_t i = 0; err == ERR_OK && i < own->listen_count; i++)
        err = protobuf_put_bytes(out, FIELD_LISTEN_ADDR, multiaddr_span(&own->listen_addrs[i]));
    for (size_t i = 0; err == ERR_OK && i < own->protocol_count; i++)
        err = protobuf_put_text(out, FIELD_PROTOCOL, own->protocols[i]);
    if (err == ERR_OK)
        err = put_optional(out, FIELD_OBSERVED_ADDR, own->observed_addr);
    if (err == ERR_OK)
        err = protobuf_put_text(out, FIELD_PROTOCOL_VERSION, IDENTIFY_PROTOCOL_VERSION);
    if (err == ERR_OK)
        err = put_optional(out, FIELD_AGENT_VERSION, span_text(own->agent_version));
    if (err == ERR_OK)
        err = put_optional(out, FIELD_SIGNED_RECORD, own->signed_record);
    return err;
}

enum err identify_encode(const struct identify_own *own, struct buf *out)
{
    CLEANUP(buf_release) struct buf message = {0};
    buf_init(&message, IDENTIFY_SEND_MAX, NULL);
    enum err err = put_message(&message, own);
    if (err == ERR_OK)
        err = varint_append(out, message.len);
    return err != ERR_OK ? err : buf_append_span(out, buf_span(&message));
}

void identify_reader_init(struct identify_reader *reader, struct account *account)
{
    *reader = (struct identify_reader){0};
    buf_init(&reader->body, (size_t)IDENTIFY_FRAMES_MAX * IDENTIFY_FRAME_MAX, account);
}

void identify_reader_release(struct identify_reader *reader)
{
    buf_release(&reader->body);
}

/* Takes one byte of a frame's length; two bytes are enough for IDENTIFY_FRAME_MAX. */
static enum err take_length_byte(struct identify_reader *reader, struct span *bytes)
{
    reader->length[reader->length_len++] = bytes->data[0];
    *bytes = span_skip(*bytes, 1);
    struct span in = span_of(reader->length, reader->length_len);
    uint64_t len = 0;
    enum err err = varint_decode(&in, &len);
    if (err == ERR_TRUNCATED)
        return reader->length_len < sizeof(reader->length) ? ERR_OK : ERR_TOO_LARGE;
    if (err != ERR_OK)
        return err;
    if (len > IDENTIFY_FRAME_MAX || reader->frames == IDENTIFY_FRAMES_MAX)
        return ERR_TOO_LARGE;
    reader->length_len = 0;
    reader->frame_left = len;
    reader->frames++;
    return ERR_OK;
}

enum err identify_reader_feed(struct identify_reader *reader, struct span bytes)
{
    while (bytes.len > 0) {
        enum err err = ERR_OK;
        if (reader->frame_left == 0) {
            err = take_length_byte(reader, &bytes);
        } else {
            struct span part = span_first(bytes, (size_t)reader->frame_left);
            err = buf_append_span(&reader->body, part);
            reader->frame_left -= err == ERR_OK ? part.len : 0;
            bytes = span_skip(bytes, part.len);
        }
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static void take_field(struct identify *id, const struct protobuf_field *field)
{
    if (protobuf_is(field, FIELD_PUBLIC_KEY, PROTOBUF_BYTES))
        id->public_key = field->bytes;
    else if (protobuf_is(field, FIELD_OBSERVED_ADDR, PROTOBUF_BYTES))
        id->observed_addr = field->bytes;
    else if (protobuf_is(field, FIELD_PROTOCOL_VERSION, PROTOBUF_BYTES))
        id->protocol_version = span_first(field->bytes, IDENTIFY_VERSION_BYTES_MAX);
    else if (protobuf_is(field, FIELD_AGENT_VERSION, PROTOBUF_BYTES))
        id->agent_version = span_first(field->bytes, IDENTIFY_VERSION_BYTES_MAX);
    else if (protobuf_is(field, FIELD_SIGNED_RECORD, PROTOBUF_BYTES))
        id->signed_record = field->bytes;
}

enum err identify_parse(struct span body, const struct peer_id *peer, struct identify *ret_identify)
{
    struct identify id = {.body = body};
    for (struct span in = body; in.len > 0;) {
        struct protobuf_field field;
        if (protobuf_next(&in, &field) != ERR_OK)
            return ERR_INVALID;
        take_field(&id, &field);
    }
    if (id.public_key.len > 0) {
        struct peer_id owner = peer_id_of_key(id.public_key);
        if (!peer_id_equal(&owner, peer))
            return ERR_MISMATCH;
    }
    *ret_identify = id;
    return ERR_OK;
}

enum err identify_reader_finish(const struct identify_reader *reader, const struct peer_id *peer,
                                struct identify *ret_identify)
{
    if (reader->frames == 0 || reader->frame_left > 0 || reader->length_len > 0)
        return ERR_TRUNCATED;
    return identify_parse(buf_span(&reader->body), peer, ret_identify);
}

static bool next_of(const struct identify *id, struct identify_iterator *it, uint32_t number, unsigned max,
                    struct span *ret)
{
    if (!it->started)
        *it = (struct identify_iterator){.rest = id->body, .started = true};
    struct protobuf_field field;
    while (it->taken < max && it->rest.len > 0 && protobuf_next(&it->rest, &field) == ERR_OK) {
        if (!protobuf_is(&field, number, PROTOBUF_BYTES))
            continue;
        it->taken++;
        *ret = field.bytes;
        return true;
    }
    return false;
}

bool identify_next_protocol(const struct identify *identify, struct identify_iterator *iterator,
                            struct span *ret_protocol)
{
    struct span protocol;
    while (next_of(identify, iterator, FIELD_PROTOCOL, IDENTIFY_PROTOCOLS_MAX, &protocol)) {
        if (protocol.len == 0 || protocol.len > IDENTIFY_PROTOCOL_BYTES_MAX)
            continue;
        *ret_protocol = protocol;
        return true;
    }
    return false;
}

bool identify_next_addr(const struct identify *identify, struct identify_iterator *iterator, struct span *ret_addr)
{
    return next_of(identify, iterator, FIELD_LISTEN_ADDR, IDENTIFY_ADDRS_MAX, ret_addr);
}

bool identify_speaks(const struct identify *identify, const char *protocol)
{
    struct identify_iterator iterator = {0};
    struct span name;
    while (identify_next_protocol(identify, &iterator, &name))
        if (span_equal_text(name, protocol))
            return true;
    return false;
}
