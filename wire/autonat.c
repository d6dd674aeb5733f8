/* SPDX-License-Identifier: MIT */
#include "wire/autonat.h"

#include "wire/protobuf.h"
#include "wire/varint.h"

enum { MESSAGE_TYPE = 1, MESSAGE_DIAL = 2, MESSAGE_RESPONSE = 3 };
enum { TYPE_DIAL = 0, TYPE_RESPONSE = 1 };
enum { DIAL_PEER = 1, PEER_ID = 1, PEER_ADDR = 2 };
enum { RESPONSE_STATUS = 1, RESPONSE_ADDR = 3 };

enum err autonat_encode_dial(struct span peer, const struct multiaddr *addrs, size_t count, struct buf *out)
{
    CLEANUP(buf_release) struct buf info = {0};
    CLEANUP(buf_release) struct buf message = {0};
    buf_init(&info, AUTONAT_MESSAGE_MAX, NULL);
    buf_init(&message, AUTONAT_MESSAGE_MAX, NULL);
    enum err err = protobuf_put_bytes(&info, PEER_ID, peer);
    for (size_t i = 0; i < count && i < AUTONAT_ADDRS_MAX && err == ERR_OK; i++)
        err = protobuf_put_bytes(&info, PEER_ADDR, multiaddr_span(&addrs[i]));
    if (err == ERR_OK)
        err = protobuf_put_varint(&message, MESSAGE_TYPE, TYPE_DIAL);
    if (err == ERR_OK)
        err = protobuf_put_header(&message, MESSAGE_DIAL, protobuf_size_bytes(DIAL_PEER, info.len));
    if (err == ERR_OK)
        err = protobuf_put_bytes(&message, DIAL_PEER, buf_span(&info));
    if (err == ERR_OK)
        err = varint_append(out, message.len);
    return err != ERR_OK ? err : buf_append_span(out, buf_span(&message));
}

static enum err read_response(struct span in, struct autonat_response *ret_response)
{
    struct autonat_response response = {0};
    bool has_status = false;
    while (in.len > 0) {
        struct protobuf_field field;
        if (protobuf_next(&in, &field) != ERR_OK)
            return ERR_INVALID;
        if (protobuf_is(&field, RESPONSE_STATUS, PROTOBUF_VARINT)) {
            response.status = field.value;
            has_status = true;
        } else if (protobuf_is(&field, RESPONSE_ADDR, PROTOBUF_BYTES)) {
            if (multiaddr_parse(field.bytes, &response.addr) != ERR_OK) /* of a kind that is not known here */
                response.addr = (struct multiaddr){0};
        }
    }
    if (!has_status)
        return ERR_INVALID;
    *ret_response = response;
    return ERR_OK;
}

static enum err read_message(struct span in, struct autonat_response *ret_response)
{
    struct span response = {0};
    uint64_t type = TYPE_DIAL;
    bool has_response = false;
    while (in.len > 0) {
        struct protobuf_field field;
        if (protobuf_next(&in, &field) != ERR_OK)
            return ERR_INVALID;
        if (protobuf_is(&field, MESSAGE_TYPE, PROTOBUF_VARINT)) {
            type = field.value;
        } else if (protobuf_is(&field, MESSAGE_RESPONSE, PROTOBUF_BYTES)) {
            response = field.bytes;
            has_response = true;
        }
    }
    return type == TYPE_RESPONSE && has_response ? read_response(response, ret_response) : ERR_INVALID;
}

enum err autonat_decode_response(struct span in, struct autonat_response *ret_response)
{
    uint64_t len = 0;
    enum err err = varint_decode(&in, &len);
    if (err != ERR_OK)
        return err;
    if (len > AUTONAT_MESSAGE_MAX)
        return ERR_TOO_LARGE;
    return in.len < len ? ERR_TRUNCATED : read_message(span_first(in, (size_t)len), ret_response);
}
