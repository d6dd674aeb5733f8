/* SPDX-License-Identifier: MIT */
#include "wire/kad.h"

#include <string.h>

#include "wire/addr_list.h"
#include "wire/kad_fields.h"
#include "wire/multiaddr.h"
#include "wire/protobuf.h"
#include "wire/varint.h"

static enum err parse_record(struct span in, struct kad_record *ret_record)
{
    struct kad_record record = {.key = {0}};
    while (in.len > 0) {
        struct protobuf_field field;
        if (protobuf_next(&in, &field) != ERR_OK)
            return ERR_INVALID;
        if (protobuf_is(&field, KAD_RECORD_KEY, PROTOBUF_BYTES))
            record.key = field.bytes;
        else if (protobuf_is(&field, KAD_RECORD_VALUE, PROTOBUF_BYTES))
            record.value = field.bytes;
        else if (protobuf_is(&field, KAD_RECORD_TIME, PROTOBUF_BYTES))
            record.time_received = field.bytes;
    }
    *ret_record = record;
    return ERR_OK;
}

static enum err take_field(struct kad_message *message, const struct protobuf_field *field)
{
    if (protobuf_is(field, KAD_MESSAGE_TYPE, PROTOBUF_VARINT)) {
        if (field->value >= KAD_TYPE_COUNT)
            return ERR_UNSUPPORTED;
        message->type = (enum kad_type)field->value;
    } else if (protobuf_is(field, KAD_MESSAGE_KEY, PROTOBUF_BYTES)) {
        message->key = field->bytes;
    } else if (protobuf_is(field, KAD_MESSAGE_RECORD, PROTOBUF_BYTES)) {
        message->has_record = true;
        return parse_record(field->bytes, &message->record);
    }
    return ERR_OK;
}

enum err kad_parse(struct span body, bool cut, struct kad_message *ret_message)
{
    struct kad_message message = {.type = KAD_PUT_VALUE, .body = body};
    for (struct span in = body; in.len > 0;) {
        struct protobuf_field field;
        enum err err = protobuf_next(&in, &field);
        if (err == ERR_TRUNCATED && cut)
            break;
        if (err != ERR_OK)
            return ERR_INVALID;
        err = take_field(&message, &field);
        if (err != ERR_OK)
            return err;
    }
    *ret_message = message;
    return ERR_OK;
}

static bool parse_peer(struct span body, struct kad_peer *ret_peer)
{
    struct kad_peer peer = {.connection = KAD_NOT_CONNECTED, .body = body};
    bool has_id = false;
    for (struct span in = body; in.len > 0;) {
        struct protobuf_field field;
        if (protobuf_next(&in, &field) != ERR_OK)
            return false;
        if (protobuf_is(&field, KAD_PEER_ID, PROTOBUF_BYTES))
            has_id = peer_id_parse(field.bytes, &peer.id) == ERR_OK;
        else if (protobuf_is(&field, KAD_PEER_CONNECTION, PROTOBUF_VARINT) && field.value <= KAD_CANNOT_CONNECT)
            peer.connection = (enum kad_connection)field.value;
    }
    if (has_id)
        *ret_peer = peer;
    return has_id;
}

bool kad_next_peer(const struct kad_message *message, enum kad_list list, struct kad_iterator *iterator,
                   struct kad_peer *ret_peer)
{
    if (!iterator->started)
        *iterator = (struct kad_iterator){.rest = message->body, .started = true};
    struct protobuf_field field;
    while (iterator->taken < KAD_PEERS_MAX && iterator->rest.len > 0 &&
           protobuf_next(&iterator->rest, &field) == ERR_OK) {
        if (!protobuf_is(&field, (uint32_t)list, PROTOBUF_BYTES))
            continue;
        iterator->taken++;
        if (parse_peer(field.bytes, ret_peer))
            return true;
    }
    return false;
}

bool kad_peer_next_addr(struct span *rest, struct span *ret_addr)
{
    struct protobuf_field field;
    while (rest->len > 0 && protobuf_next(rest, &field) == ERR_OK) {
        if (protobuf_is(&field, KAD_PEER_ADDR, PROTOBUF_BYTES)) {
            *ret_addr = field.bytes;
            return true;
        }
    }
    return false;
}

enum err kad_peer_addrs(const struct kad_peer *peer, size_t max, struct buf *list)
{
    struct span addr;
    size_t count = addr_list_count(buf_span(list));
    for (struct span rest = peer->body; count < max && kad_peer_next_addr(&rest, &addr);) {
        struct peer_id end;
        if (multiaddr_peer(addr, &end) == ERR_OK && !peer_id_equal(&end, &peer->id))
            continue;
        size_t before = list->len;
        enum err err = addr_list_add(list, addr);
        if (err == ERR_NOMEM)
            return err;
        count += list->len > before;
    }
    return ERR_OK;
}

void kad_reader_init(struct kad_reader *reader, size_t message_max, size_t kept_max, struct account *account)
{
    *reader = (struct kad_reader){.message_max = message_max};
    buf_init(&reader->body, kept_max, account);
}

void kad_reader_release(struct kad_reader *reader)
{
    buf_release(&reader->body);
}

void kad_reader_next(struct kad_reader *reader)
{
    buf_release(&reader->body);
    reader->complete = false;
    reader->cut = false;
}

bool kad_reader_at_boundary(const struct kad_reader *reader)
{
    return !reader->in_body && reader->length_len == 0;
}

/* One byte of a length; four are enough for KAD_ANSWER_MAX. */
static enum err take_length_byte(struct kad_reader *reader, struct span *in)
{
    reader->length[reader->length_len++] = in->data[0];
    *in = span_skip(*in, 1);
    struct span bytes = span_of(reader->length, reader->length_len);
    uint64_t len = 0;
    enum err err = varint_decode(&bytes, &len);
    if (err == ERR_TRUNCATED)
        return reader->length_len < sizeof(reader->length) ? ERR_OK : ERR_TOO_LARGE;
    if (err != ERR_OK || len == 0)
        return ERR_INVALID;
    if (len > reader->message_max)
        return ERR_TOO_LARGE;
    reader->length_len = 0;
    reader->left = (size_t)len;
    reader->in_body = true;
    return ERR_OK;
}

static enum err take_body(struct kad_reader *reader, struct span *in)
{
    struct span part = span_first(*in, reader->left);
    struct span kept = span_first(part, reader->body.max - reader->body.len);
    enum err err = buf_append_span(&reader->body, kept);
    if (err != ERR_OK)
        return err;
    reader->cut |= kept.len < part.len;
    reader->left -= part.len;
    *in = span_skip(*in, part.len);
    return ERR_OK;
}

enum err kad_reader_feed(struct kad_reader *reader, struct span *in, struct span *ret_body)
{
    if (reader->complete)
        kad_reader_next(reader);
    while (in->len > 0) {
        enum err err = reader->in_body ? take_body(reader, in) : take_length_byte(reader, in);
        if (err != ERR_OK)
            return err;
        if (reader->in_body && reader->left == 0) {
            reader->in_body = false;
            reader->complete = true;
            *ret_body = buf_span(&reader->body);
            return ERR_OK;
        }
    }
    return ERR_AGAIN;
}
