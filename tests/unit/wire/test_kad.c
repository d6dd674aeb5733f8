/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "tests/support/bytes.h"
#include "wire/addr_list.h"
#include "wire/kad.h"
#include "wire/multiaddr.h"
#include "wire/protobuf.h"
#include "wire/varint.h"

static struct peer_id peer_of(uint32_t n)
{
    uint8_t bytes[34] = {0x12, 0x20, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    struct peer_id id;
    assert_ok(peer_id_parse(span_of(bytes, sizeof(bytes)), &id));
    return id;
}

static struct multiaddr addr_of(const char *text)
{
    struct multiaddr addr;
    assert_ok(multiaddr_parse_text(span_text(text), &addr));
    return addr;
}

static void add_text(struct buf *list, const char *text)
{
    struct multiaddr addr = addr_of(text);
    assert_ok(addr_list_add(list, multiaddr_span(&addr)));
}

/* Messages that js-libp2p keeps from before 2019, with fields that are gone and a cluster level. */
static void published_messages_are_read(void **state)
{
    (void)state;
    static const enum kad_type types[] = {KAD_FIND_NODE, KAD_PUT_VALUE, KAD_GET_VALUE,    KAD_FIND_NODE,
                                          KAD_FIND_NODE, KAD_FIND_NODE, KAD_ADD_PROVIDER, KAD_ADD_PROVIDER};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        char path[64];
        size_t len = 0;
        (void)snprintf(path, sizeof(path), "kad-dht/js-msg-%zu.pb", i + 1);
        char *bytes = vectors_read(path, &len);
        if (bytes == NULL)
            skip();
        struct kad_message message;
        assert_ok(kad_parse(span_of(bytes, len), false, &message));
        assert_int_equal(message.type, types[i]);
        assert_true(message.key.len > 0);
        assert_int_equal(message.has_record, i == 1);
        if (i == 1) {
            assert_true(span_equal_text(message.record.key, "/v/hello"));
            assert_true(span_equal_text(message.record.value, "world"));
        }
        struct kad_iterator it = {0};
        struct kad_peer peer;
        assert_int_equal(kad_next_peer(&message, KAD_PROVIDERS, &it, &peer), types[i] == KAD_ADD_PROVIDER);
        if (types[i] == KAD_ADD_PROVIDER) {
            struct span rest = peer.body, addr;
            assert_true(kad_peer_next_addr(&rest, &addr));
            assert_span(addr, "047f00000106e4bb");
            assert_false(kad_next_peer(&message, KAD_PROVIDERS, &it, &peer));
        }
        free(bytes);
    }
}

/* What a request of go-libp2p-kad-dht looks like, by its schema. */
static void our_bytes_are_those_of_the_schema(void **state)
{
    (void)state;
    struct kad_writer w;
    struct buf out, addrs;
    kad_writer_init(&w, NULL);
    buf_init(&out, KAD_SEND_MAX + 9, NULL);
    buf_init(&addrs, 512, NULL);
    struct peer_id id = peer_of(1);
    kad_writer_begin(&w, KAD_FIND_NODE, span_text("abc"));
    assert_ok(kad_writer_finish(&w, &out));
    assert_span(buf_span(&out), "070804"
                                "1203616263");
    buf_clear(&out);
    add_text(&addrs, "/ip4/127.0.0.1/tcp/4001");
    kad_writer_begin(&w, KAD_ADD_PROVIDER, span_text("abc"));
    assert_true(kad_writer_peer(&w, KAD_PROVIDERS, &id, buf_span(&addrs), KAD_CONNECTED, 0));
    assert_ok(kad_writer_finish(&w, &out));
    char text[200];
    (void)snprintf(text, sizeof(text),
                   "390802"
                   "1203616263"
                   "4a30"
                   "0a22%s"
                   "1208047f000001060fa1"
                   "1801",
                   bytes_to_hex(peer_id_span(&id)));
    assert_span(buf_span(&out), text);
    buf_release(&addrs);
    buf_release(&out);
    kad_writer_release(&w);
}

static void a_record_comes_back(void **state)
{
    (void)state;
    static uint8_t value[KAD_RECORD_MAX] = {7};
    struct kad_writer w;
    struct buf out;
    kad_writer_init(&w, NULL);
    buf_init(&out, KAD_SEND_MAX + 9, NULL);
    struct kad_record record = {.key = span_text("/ipns/x"),
                                .value = span_of(value, sizeof(value)),
                                .time_received = span_text("2026-01-01T00:00:00Z")};
    kad_writer_begin(&w, KAD_PUT_VALUE, record.key);
    kad_writer_record(&w, &record);
    assert_ok(kad_writer_finish(&w, &out));
    struct span in = buf_span(&out);
    uint64_t len = 0;
    assert_ok(varint_decode(&in, &len));
    assert_int_equal(len, in.len);
    struct kad_message message;
    assert_ok(kad_parse(in, false, &message));
    assert_int_equal(message.type, KAD_PUT_VALUE);
    assert_true(message.has_record);
    assert_true(span_equal(message.record.key, record.key));
    assert_true(span_equal(message.record.value, record.value));
    assert_true(span_equal(message.record.time_received, record.time_received));
    record.value = span_of(out.data, out.len);
    kad_writer_begin(&w, KAD_PUT_VALUE, record.key);
    kad_writer_record(&w, &record);
    kad_writer_record(&w, &record);
    size_t before = out.len;
    assert_err(kad_writer_finish(&w, &out), ERR_TOO_LARGE);
    assert_int_equal(out.len, before);
    buf_release(&out);
    kad_writer_release(&w);
}

/* An answer stays under 16 KiB and a peer under 8 KiB whatever it is given; addresses go first. */
static void what_does_not_fit_is_left_out(void **state)
{
    (void)state;
    struct kad_writer w;
    struct buf out, addrs;
    kad_writer_init(&w, NULL);
    buf_init(&out, 64 * KIB, NULL);
    buf_init(&addrs, 64 * KIB, NULL);
    for (int i = 0; i < 1500; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "/ip4/1.2.%d.%d/tcp/4001", i / 256, i % 256);
        add_text(&addrs, text);
    }
    kad_writer_begin(&w, KAD_FIND_NODE, span_text("key"));
    for (uint32_t i = 0; i < 20; i++) {
        struct peer_id id = peer_of(i);
        (void)kad_writer_peer(&w, KAD_CLOSER, &id, buf_span(&addrs), KAD_CAN_CONNECT, 0);
    }
    assert_int_equal(w.peers, 2);
    assert_int_equal(w.peers_omitted, 18);
    assert_true(w.addrs_omitted > 0);
    assert_ok(kad_writer_finish(&w, &out));
    struct span body = buf_span(&out);
    uint64_t len = 0;
    assert_ok(varint_decode(&body, &len));
    assert_int_equal(len, body.len);
    assert_true(len <= KAD_SEND_MAX);
    struct kad_message message;
    struct kad_iterator it = {0};
    struct kad_peer peer;
    assert_ok(kad_parse(body, false, &message));
    for (size_t i = 0; i < 2; i++) {
        assert_true(kad_next_peer(&message, KAD_CLOSER, &it, &peer));
        assert_true(peer.body.len <= KAD_PEER_MAX);
        assert_int_equal(peer.connection, KAD_CAN_CONNECT);
    }
    assert_false(kad_next_peer(&message, KAD_CLOSER, &it, &peer));
    /* With a reserve the first list leaves room to the second. */
    kad_writer_begin(&w, KAD_GET_PROVIDERS, span_text("key"));
    for (uint32_t i = 0; i < 20; i++) {
        struct peer_id id = peer_of(i);
        (void)kad_writer_peer(&w, KAD_PROVIDERS, &id, buf_span(&addrs), KAD_NOT_CONNECTED, 6 * KIB);
    }
    assert_true(KAD_SEND_MAX - w.body.len >= 6 * KIB);
    /* The first that does not fit is the last that is looked at: a short one behind it does not slip in. */
    buf_clear(&addrs);
    struct peer_id id = peer_of(1);
    for (int i = 0; i < 8; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), i == 6 ? "/ip6/::%x/tcp/4001" : "/ip4/1.2.3.%d/tcp/4001", i + 1);
        add_text(&addrs, text);
    }
    size_t room = 2 + 34 + 6 * (2 + 8) + (2 + 8) + 2; /* six, and one more of IPv4 */
    kad_writer_begin(&w, KAD_FIND_NODE, span_text("key"));
    size_t used = w.body.len + 4;
    assert_true(kad_writer_peer(&w, KAD_CLOSER, &id, buf_span(&addrs), KAD_NOT_CONNECTED, KAD_SEND_MAX - used - room));
    assert_int_equal(w.addrs_omitted, 2);
    buf_release(&addrs);
    buf_release(&out);
    kad_writer_release(&w);
}

/* RELIABILITY row P12: 50,000 closer peers in an answer. */
static void forty_closer_peers_are_kept_of_fifty_thousand(void **state)
{
    (void)state;
    struct account account;
    struct buf frame, body;
    account_init(&account, "test", KAD_ANSWER_KEPT);
    buf_init(&frame, 8 * MIB, NULL);
    buf_init(&body, 8 * MIB, NULL);
    assert_ok(protobuf_put_varint(&body, 1, KAD_FIND_NODE));
    for (uint32_t i = 0; i < 50000; i++) {
        struct peer_id id = peer_of(i);
        assert_ok(protobuf_put_header(&body, KAD_CLOSER, protobuf_size_bytes(1, id.len)));
        assert_ok(protobuf_put_bytes(&body, 1, peer_id_span(&id)));
    }
    assert_ok(varint_append(&frame, body.len));
    assert_ok(buf_append_span(&frame, buf_span(&body)));
    assert_ok(buf_append(&frame, "\x02\x08\x05", 3));
    struct kad_reader reader;
    kad_reader_init(&reader, KAD_ANSWER_MAX, KAD_ANSWER_KEPT, &account);
    struct span in = buf_span(&frame), got;
    assert_ok(kad_reader_feed(&reader, &in, &got));
    assert_true(reader.cut);
    assert_int_equal(got.len, KAD_ANSWER_KEPT);
    struct kad_message message;
    struct kad_iterator it = {0};
    struct kad_peer peer;
    assert_err(kad_parse(got, false, &message), ERR_INVALID);
    assert_ok(kad_parse(got, reader.cut, &message));
    unsigned kept = 0;
    while (kad_next_peer(&message, KAD_CLOSER, &it, &peer)) {
        struct peer_id id = peer_of(kept++);
        assert_true(peer_id_equal(&id, &peer.id));
    }
    assert_int_equal(kept, 40);
    kad_reader_next(&reader);
    assert_int_equal(account_used(&account), 0);
    assert_ok(kad_reader_feed(&reader, &in, &got));
    assert_false(reader.cut);
    assert_ok(kad_parse(got, false, &message));
    assert_int_equal(message.type, KAD_PING);
    kad_reader_release(&reader);
    buf_release(&frame);
    buf_release(&body);
}

static void frames_come_in_any_pieces(void **state)
{
    (void)state;
    static const char hex[] = "0708041203616263"
                              "020805";
    for (size_t piece = 1; piece <= sizeof(hex) / 2; piece++) {
        struct kad_reader reader;
        size_t messages = 0;
        kad_reader_init(&reader, KAD_REQUEST_MAX, KAD_REQUEST_MAX, NULL);
        for (struct span rest = bytes_of_hex(hex); rest.len > 0; rest = span_skip(rest, piece)) {
            struct span in = span_first(rest, piece), body;
            while (in.len > 0) {
                enum err err = kad_reader_feed(&reader, &in, &body);
                if (err == ERR_AGAIN)
                    break;
                assert_ok(err);
                assert_span(body, messages == 0 ? "08041203616263" : "0805");
                messages++;
                kad_reader_next(&reader);
            }
        }
        assert_int_equal(messages, 2);
        assert_true(kad_reader_at_boundary(&reader));
        kad_reader_release(&reader);
    }
}

static enum err feed_hex(const char *hex, size_t max)
{
    struct kad_reader reader;
    struct span in = bytes_of_hex(hex), body;
    kad_reader_init(&reader, max, max, NULL);
    enum err err = kad_reader_feed(&reader, &in, &body);
    kad_reader_release(&reader);
    return err;
}

static void false_lengths_are_refused(void **state)
{
    (void)state;
    assert_err(feed_hex("818001", KAD_REQUEST_MAX), ERR_TOO_LARGE); /* 16,385 */
    assert_err(feed_hex("808001", KAD_REQUEST_MAX), ERR_AGAIN);     /* 16,384 */
    assert_err(feed_hex("ffffffffffffffff7f", KAD_ANSWER_MAX), ERR_TOO_LARGE);
    assert_err(feed_hex("8000", KAD_REQUEST_MAX), ERR_INVALID);
    assert_err(feed_hex("00", KAD_REQUEST_MAX), ERR_INVALID);
    /* A claimed length costs nothing. */
    struct account account;
    struct kad_reader reader;
    account_init(&account, "test", 0);
    kad_reader_init(&reader, KAD_ANSWER_MAX, KAD_ANSWER_KEPT, &account);
    struct span in = bytes_of_hex("ffff7f"), body;
    assert_err(kad_reader_feed(&reader, &in, &body), ERR_AGAIN);
    in = bytes_of_hex("08");
    assert_err(kad_reader_feed(&reader, &in, &body), ERR_NOMEM);
    kad_reader_release(&reader);
}

static enum err parse_hex(const char *hex)
{
    struct kad_message message;
    return kad_parse(bytes_of_hex(hex), false, &message);
}

static void broken_messages_are_refused(void **state)
{
    (void)state;
    assert_err(parse_hex("0806"), ERR_UNSUPPORTED);
    assert_err(parse_hex("08ffffffffffffffffff01"), ERR_UNSUPPORTED);
    assert_err(parse_hex("12ff"), ERR_INVALID);
    assert_err(parse_hex("1a020aff"), ERR_INVALID);
    assert_ok(parse_hex("ba3e03010203"
                        "0805")); /* an unknown field */
    /* An unknown connection type is none; a peer whose id is no id, or that ends too early, is passed over. */
    struct kad_message message;
    struct kad_iterator it = {0};
    struct kad_peer peer;
    struct peer_id id = peer_of(1);
    struct buf body;
    buf_init(&body, 200, NULL);
    assert_ok(buf_append_span(&body, bytes_of_hex("0804"
                                                  "42050a03110102"
                                                  "4a020aff"
                                                  "42020aff"
                                                  "4226")));
    assert_ok(protobuf_put_bytes(&body, 1, peer_id_span(&id)));
    assert_ok(protobuf_put_varint(&body, 3, 9));
    assert_ok(kad_parse(buf_span(&body), false, &message));
    assert_true(kad_next_peer(&message, KAD_CLOSER, &it, &peer));
    assert_true(peer_id_equal(&peer.id, &id));
    assert_int_equal(peer.connection, KAD_NOT_CONNECTED);
    assert_false(kad_next_peer(&message, KAD_CLOSER, &it, &peer));
    buf_release(&body);
}

static void addresses_of_a_peer_are_checked_and_bounded(void **state)
{
    (void)state;
    struct peer_id id = peer_of(1), other = peer_of(2);
    struct multiaddr own = addr_of("/ip4/1.2.3.4/tcp/1"), foreign = own, plain = addr_of("/ip4/1.2.3.5/tcp/1");
    assert_ok(multiaddr_add_peer(&own, &id));
    assert_ok(multiaddr_add_peer(&foreign, &other));
    struct buf body, list;
    buf_init(&body, 4096, NULL);
    buf_init(&list, 4096, NULL);
    assert_ok(protobuf_put_bytes(&body, 1, peer_id_span(&id)));
    assert_ok(protobuf_put_bytes(&body, 2, multiaddr_span(&foreign)));
    assert_ok(protobuf_put_bytes(&body, 2, multiaddr_span(&own)));
    assert_ok(protobuf_put_bytes(&body, 2, multiaddr_span(&own)));
    assert_ok(protobuf_put_bytes(&body, 2, span_text("\xff\xff\xff")));
    assert_ok(protobuf_put_bytes(&body, 2, span_of(NULL, 0)));
    assert_ok(protobuf_put_bytes(&body, 2, multiaddr_span(&plain)));
    for (int i = 0; i < 50; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "/ip4/9.2.3.%d/tcp/1", i);
        struct multiaddr addr = addr_of(text);
        assert_ok(protobuf_put_bytes(&body, 2, multiaddr_span(&addr)));
    }
    struct kad_peer peer = {.id = id, .body = buf_span(&body)};
    assert_ok(kad_peer_addrs(&peer, 8, &list));
    assert_int_equal(addr_list_count(buf_span(&list)), 8);
    struct span rest = buf_span(&list), addr;
    assert_true(addr_list_next(&rest, &addr));
    assert_span(addr, "0401020304060001");
    assert_true(addr_list_next(&rest, &addr));
    assert_true(span_equal(addr, multiaddr_span(&plain)));
    buf_release(&body);
    buf_release(&list);
}

static void a_list_of_addresses_is_what_was_added(void **state)
{
    (void)state;
    struct buf list;
    buf_init(&list, 20, NULL);
    assert_err(addr_list_add(&list, span_of(NULL, 0)), ERR_INVALID);
    assert_err(addr_list_add(&list, span_text("\x04\x01")), ERR_TRUNCATED);
    add_text(&list, "/ip4/1.2.3.4/tcp/1");
    add_text(&list, "/ip4/1.2.3.4/tcp/1");
    add_text(&list, "/ip4/1.2.3.4/tcp/2");
    struct multiaddr third = addr_of("/ip4/1.2.3.4/tcp/3");
    assert_err(addr_list_add(&list, multiaddr_span(&third)), ERR_TOO_LARGE);
    assert_int_equal(addr_list_count(buf_span(&list)), 2);
    assert_false(addr_list_has(buf_span(&list), multiaddr_span(&third)));
    assert_int_equal(addr_list_count(bytes_of_hex("05010203")), 0);
    assert_int_equal(addr_list_count(bytes_of_hex("00")), 0);
    buf_release(&list);
    for (int len = 126; len <= 129; len++) { /* where a length grows to two bytes */
        char text[200];
        (void)snprintf(text, sizeof(text), "/dns4/%0*d/tcp/1", len - 5, 0);
        struct multiaddr addr = addr_of(text);
        struct span rest, back;
        assert_int_equal(multiaddr_span(&addr).len, len);
        buf_init(&list, 400, NULL);
        assert_ok(addr_list_add(&list, multiaddr_span(&addr)));
        assert_ok(addr_list_add(&list, multiaddr_span(&third)));
        rest = buf_span(&list);
        assert_true(addr_list_next(&rest, &back) && span_equal(back, multiaddr_span(&addr)));
        assert_true(addr_list_next(&rest, &back) && span_equal(back, multiaddr_span(&third)));
        assert_false(addr_list_next(&rest, &back));
        buf_release(&list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_messages_are_read),
        cmocka_unit_test(our_bytes_are_those_of_the_schema),
        cmocka_unit_test(a_record_comes_back),
        cmocka_unit_test(what_does_not_fit_is_left_out),
        cmocka_unit_test(forty_closer_peers_are_kept_of_fifty_thousand),
        cmocka_unit_test(frames_come_in_any_pieces),
        cmocka_unit_test(false_lengths_are_refused),
        cmocka_unit_test(broken_messages_are_refused),
        cmocka_unit_test(addresses_of_a_peer_are_checked_and_bounded),
        cmocka_unit_test(a_list_of_addresses_is_what_was_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
