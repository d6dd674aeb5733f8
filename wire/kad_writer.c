/* SPDX-License-Identifier: MIT */
#include "wire/addr_list.h"
#include "wire/kad.h"
#include "wire/kad_fields.h"
#include "wire/protobuf.h"
#include "wire/varint.h"

void kad_writer_init(struct kad_writer *w, struct account *account)
{
    *w = (struct kad_writer){.err = ERR_OK};
    buf_init(&w->body, KAD_SEND_MAX, account);
}

void kad_writer_release(struct kad_writer *w)
{
    buf_release(&w->body);
}

/* The first error stays. */
static void put_bytes(struct kad_writer *w, uint32_t number, struct span bytes)
{
    if (w->err == ERR_OK && bytes.len > 0)
        w->err = protobuf_put_bytes(&w->body, number, bytes);
}

/* PUT_VALUE is written too, though it is the default: proto2 readers know no defaults. */
void kad_writer_begin(struct kad_writer *w, enum kad_type type, struct span key)
{
    buf_clear(&w->body);
    w->peers = w->peers_omitted = w->addrs_omitted = 0;
    w->err = key.len > KAD_SEND_MAX / 2 ? ERR_TOO_LARGE : ERR_OK;
    if (w->err == ERR_OK)
        w->err = protobuf_put_varint(&w->body, KAD_MESSAGE_TYPE, (uint64_t)type);
    put_bytes(w, KAD_MESSAGE_KEY, key);
}

static size_t size_of(uint32_t number, struct span bytes)
{
    return bytes.len == 0 ? 0 : protobuf_size_bytes(number, bytes.len);
}

void kad_writer_record(struct kad_writer *w, const struct kad_record *record)
{
    size_t size = size_of(KAD_RECORD_KEY, record->key) + size_of(KAD_RECORD_VALUE, record->value) +
                  size_of(KAD_RECORD_TIME, record->time_received);
    if (w->err == ERR_OK)
        w->err = protobuf_put_header(&w->body, KAD_MESSAGE_RECORD, size);
    put_bytes(w, KAD_RECORD_KEY, record->key);
    put_bytes(w, KAD_RECORD_VALUE, record->value);
    put_bytes(w, KAD_RECORD_TIME, record->time_received);
}

/* How many of the addresses fit `room` bytes of a peer that has *size already; adds their sizes. The first that does not ends it. */
static size_t fitting(struct span addrs, size_t room, size_t *size, size_t *ret_omitted)
{
    struct span addr;
    size_t count = 0;
    *ret_omitted = 0;
    while (addr_list_next(&addrs, &addr)) {
        size_t more = protobuf_size_bytes(KAD_PEER_ADDR, addr.len);
        if (*ret_omitted > 0 || *size + more > room) {
            (*ret_omitted)++;
            continue;
        }
        *size += more;
        count++;
    }
    return count;
}

static size_t connection_size(enum kad_connection connection)
{
    return connection == KAD_NOT_CONNECTED ? 0 : protobuf_size_varint(KAD_PEER_CONNECTION, connection);
}

static void put_peer(struct kad_writer *w, enum kad_list list, const struct peer_id *id, struct span addrs,
                     size_t count, enum kad_connection connection, size_t size)
{
    struct span addr;
    w->err = protobuf_put_header(&w->body, (uint32_t)list, size);
    put_bytes(w, KAD_PEER_ID, peer_id_span(id));
    for (size_t i = 0; i < count && addr_list_next(&addrs, &addr); i++)
        put_bytes(w, KAD_PEER_ADDR, addr);
    if (w->err == ERR_OK && connection != KAD_NOT_CONNECTED)
        w->err = protobuf_put_varint(&w->body, KAD_PEER_CONNECTION, (uint64_t)connection);
}

bool kad_writer_peer(struct kad_writer *w, enum kad_list list, const struct peer_id *id, struct span addrs,
                     enum kad_connection connection, size_t reserve_bytes)
{
    enum { HEADER_MAX = 4 }; /* the key and three bytes of length */
    size_t used = w->body.len + reserve_bytes + HEADER_MAX;
    if (w->err != ERR_OK || used >= KAD_SEND_MAX) {
        w->peers_omitted++;
        return false;
    }
    size_t room = MIN((size_t)KAD_PEER_MAX, KAD_SEND_MAX - used);
    size_t size = protobuf_size_bytes(KAD_PEER_ID, id->len) + connection_size(connection);
    size_t omitted;
    size_t count = fitting(addrs, room, &size, &omitted);
    if (size > room || (omitted > 0 && count == 0)) {
        w->peers_omitted++;
        return false;
    }
    w->addrs_omitted += (unsigned)omitted;
    w->peers++;
    put_peer(w, list, id, addrs, count, connection, size);
    return w->err == ERR_OK;
}

enum err kad_writer_finish(struct kad_writer *w, struct buf *out)
{
    size_t before = out->len;
    enum err err = w->err;
    if (err == ERR_OK)
        err = varint_append(out, w->body.len);
    if (err == ERR_OK)
        err = buf_append_span(out, buf_span(&w->body));
    if (err != ERR_OK)
        out->len = before;
    return err;
}
