/* SPDX-License-Identifier: MIT */
#include "wire/peer_record.h"

#include "wire/envelope.h"
#include "wire/multiaddr.h"
#include "wire/protobuf.h"

enum { FIELD_PEER = 1, FIELD_SEQ = 2, FIELD_ADDR_INFO = 3, FIELD_INFO_ADDR = 1 };

static const char domain[] = "libp2p-peer-record";
static const uint8_t payload_type[] = {0x03, 0x01};

static enum err parse_record(struct span payload, struct peer_record *ret_record)
{
    struct peer_record record = {.rest = payload, .addrs_left = PEER_RECORD_ADDRS_MAX};
    for (struct span in = payload; in.len > 0;) {
        struct protobuf_field field;
        enum err err = protobuf_next(&in, &field);
        if (err != ERR_OK)
            return err;
        if (protobuf_is(&field, FIELD_SEQ, PROTOBUF_VARINT))
            record.seq = field.value;
        if (!protobuf_is(&field, FIELD_PEER, PROTOBUF_BYTES))
            continue;
        err = peer_id_parse(field.bytes, &record.peer);
        if (err != ERR_OK)
            return err;
    }
    if (peer_id_is_empty(&record.peer))
        return ERR_INVALID;
    *ret_record = record;
    return ERR_OK;
}

enum err peer_record_open(struct span envelope, const struct peer_id *expected, uint64_t known_seq,
                          struct peer_record *ret_record)
{
    struct envelope e;
    struct peer_record record;
    enum err err = envelope_parse(envelope, &e);
    if (err == ERR_OK)
        err = envelope_verify(&e, domain, span_of(payload_type, sizeof(payload_type)));
    if (err == ERR_OK)
        err = parse_record(e.payload, &record);
    if (err != ERR_OK)
        return err;
    struct peer_id signer = peer_id_of_key(e.public_key);
    if (!peer_id_equal(&signer, &record.peer))
        return ERR_MISMATCH;
    if (expected != NULL && !peer_id_equal(expected, &record.peer))
        return ERR_MISMATCH;
    if (known_seq != 0 && record.seq <= known_seq)
        return ERR_EXISTS;
    *ret_record = record;
    return ERR_OK;
}

static struct span addr_of_info(struct span info)
{
    struct span addr = {0};
    struct protobuf_field field;
    while (info.len > 0 && protobuf_next(&info, &field) == ERR_OK)
        if (protobuf_is(&field, FIELD_INFO_ADDR, PROTOBUF_BYTES))
            addr = field.bytes;
    return addr;
}

bool peer_record_next_addr(struct peer_record *record, struct span *ret_addr)
{
    struct protobuf_field field;
    while (record->addrs_left > 0 && record->rest.len > 0 && protobuf_next(&record->rest, &field) == ERR_OK) {
        if (!protobuf_is(&field, FIELD_ADDR_INFO, PROTOBUF_BYTES))
            continue;
        record->addrs_left--;
        *ret_addr = addr_of_info(field.bytes);
        return true;
    }
    return false;
}

static enum err put_record(struct buf *out, struct span peer, uint64_t seq, const struct multiaddr *addrs, size_t count)
{
    enum err err = protobuf_put_bytes(out, FIELD_PEER, peer);
    if (err == ERR_OK)
        err = protobuf_put_varint(out, FIELD_SEQ, seq);
    for (size_t i = 0; err == ERR_OK && i < count; i++) {
        struct span addr = multiaddr_span(&addrs[i]);
        err = protobuf_put_header(out, FIELD_ADDR_INFO, protobuf_size_bytes(FIELD_INFO_ADDR, addr.len));
        if (err == ERR_OK)
            err = protobuf_put_bytes(out, FIELD_INFO_ADDR, addr);
    }
    return err;
}

enum err peer_record_seal(const struct key_pair *pair, uint64_t seq, const struct multiaddr *addrs, size_t count,
                          struct buf *out)
{
    CLEANUP(buf_release) struct buf payload = {0};
    struct peer_id peer = key_pair_peer_id(pair);
    buf_init(&payload, ENVELOPE_BYTES_MAX / 2, NULL);
    enum err err = put_record(&payload, peer_id_span(&peer), seq, addrs, count);
    if (err != ERR_OK)
        return err;
    return envelope_seal(pair, domain, span_of(payload_type, sizeof(payload_type)), buf_span(&payload), out);
}
