/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dht/responder.h"
#include "tests/support/bytes.h"
#include "wire/addr_list.h"
#include "wire/multiaddr.h"
#include "wire/varint.h"

enum { ASKER = 7 };

static struct routing_table table;
static struct kad_writer writer; /* ours */
static struct kad_writer asked;  /* the asker's */
static struct buf request_bytes, answer_bytes, provider_addrs;

static struct peer_id peer_of(uint64_t n)
{
    uint8_t bytes[34] = {0x12, 0x20};
    struct peer_id id;
    memcpy(bytes + 2, &n, sizeof(n));
    assert_ok(peer_id_parse(span_of(bytes, sizeof(bytes)), &id));
    return id;
}

static void add_text(struct buf *list, const char *text)
{
    struct multiaddr addr;
    assert_ok(multiaddr_parse_text(span_text(text), &addr));
    assert_ok(addr_list_add(list, multiaddr_span(&addr)));
}

/* Peers 1 to 60, each with a public, a private and a loopback address. */
static int set_up(void **state)
{
    (void)state;
    struct peer_id own = peer_of(0);
    routing_table_init(&table, &own, false, ROUTING_GRACE_MS, NULL);
    for (unsigned n = 1; n <= 60; n++) {
        char text[64];
        struct buf addrs;
        struct peer_id id = peer_of(n);
        buf_init(&addrs, 512, NULL);
        (void)snprintf(text, sizeof(text), "/ip4/1.2.3.%u/tcp/4001", n);
        add_text(&addrs, text);
        add_text(&addrs, "/ip4/192.168.0.1/tcp/4001");
        add_text(&addrs, "/ip4/127.0.0.1/tcp/4001");
        enum err err = routing_table_add(&table, &id, span_of(NULL, 0), buf_span(&addrs), true, 1);
        assert_true(err == ERR_OK || err == ERR_BUSY);
        buf_release(&addrs);
    }
    kad_writer_init(&writer, NULL);
    kad_writer_init(&asked, NULL);
    buf_init(&request_bytes, 64 * KIB, NULL);
    buf_init(&answer_bytes, 64 * KIB, NULL);
    buf_init(&provider_addrs, RESPONDER_ADDRS_BYTES_MAX, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    routing_table_release(&table);
    kad_writer_release(&writer);
    kad_writer_release(&asked);
    buf_release(&request_bytes);
    buf_release(&answer_bytes);
    buf_release(&provider_addrs);
    return 0;
}

static struct kad_message parsed(const struct buf *framed)
{
    struct span body = buf_span(framed);
    struct kad_message message;
    uint64_t len = 0;
    assert_ok(varint_decode(&body, &len));
    assert_int_equal(len, body.len);
    assert_true(len <= KAD_SEND_MAX);
    assert_ok(kad_parse(body, false, &message));
    return message;
}

/* What the asker has put into `asked` is read. */
static enum err read_request(enum addr_scope scope, struct responder_request *request)
{
    struct peer_id asker = peer_of(ASKER);
    buf_clear(&request_bytes);
    assert_ok(kad_writer_finish(&asked, &request_bytes));
    struct kad_message message = parsed(&request_bytes);
    return responder_read(&message, &asker, scope, &provider_addrs, request);
}

static enum err read_plain(enum kad_type type, struct span key, struct responder_request *request)
{
    kad_writer_begin(&asked, type, key);
    return read_request(ADDR_SCOPE_WAN, request);
}

static struct kad_message answered(const struct responder_request *request, enum addr_scope scope,
                                   const struct responder_results *results)
{
    buf_clear(&answer_bytes);
    assert_ok(responder_answer(&table, request, scope, results, &writer, &answer_bytes));
    return parsed(&answer_bytes);
}

/* The closer peers are the closest of the table but the asker, with addresses of the scope. */
static size_t check_closer(const struct kad_message *answer, struct span key, enum addr_scope scope, size_t addrs_each)
{
    const struct routing_peer *closest[ROUTING_PEERS_MAX];
    struct kad_key target = kad_key_of(key);
    struct peer_id asker = peer_of(ASKER);
    struct kad_iterator it = {0};
    struct kad_peer peer;
    size_t count = routing_table_closest(&table, &target, closest, ROUTING_PEERS_MAX), at = 0, told = 0;
    assert_true(count > KAD_K + 2);
    while (kad_next_peer(answer, KAD_CLOSER, &it, &peer)) {
        if (peer_id_equal(&closest[at]->id, &asker))
            at++;
        assert_true(peer_id_equal(&peer.id, &closest[at]->id));
        at++;
        told++;
        struct span rest = peer.body, addr;
        size_t addrs = 0;
        while (kad_peer_next_addr(&rest, &addr)) {
            assert_true(addr_scope_admits(scope, addr));
            addrs++;
        }
        assert_int_equal(addrs, addrs_each);
    }
    return told;
}

static void find_node_tells_the_closest(void **state)
{
    (void)state;
    const struct responder_results none = {0};
    struct responder_request request;
    for (uint64_t n = 100; n < 150; n++) {
        struct peer_id sought = peer_of(n);
        struct span key = peer_id_span(&sought);
        assert_ok(read_plain(KAD_FIND_NODE, key, &request));
        assert_int_equal(request.action, RESPONDER_FIND_PEER);
        assert_true(peer_id_equal(&request.target, &sought));
        struct kad_message answer = answered(&request, ADDR_SCOPE_WAN, &none);
        assert_int_equal(answer.type, KAD_FIND_NODE);
        assert_int_equal(check_closer(&answer, key, ADDR_SCOPE_WAN, 1), KAD_K);
        answer = answered(&request, ADDR_SCOPE_LAN, &none);
        assert_int_equal(check_closer(&answer, key, ADDR_SCOPE_LAN, 2), KAD_K);
        answer = answered(&request, ADDR_SCOPE_LAN_LOOPBACK, &none);
        assert_int_equal(check_closer(&answer, key, ADDR_SCOPE_LAN_LOOPBACK, 3), KAD_K);
    }
    struct peer_id asker = peer_of(ASKER);
    assert_ok(read_plain(KAD_FIND_NODE, peer_id_span(&asker), &request));
    assert_int_equal(request.action, RESPONDER_ANSWER);
    assert_ok(read_plain(KAD_FIND_NODE, span_text("any bytes"), &request));
    assert_int_equal(request.action, RESPONDER_ANSWER);
    assert_err(read_plain(KAD_FIND_NODE, span_of(NULL, 0), &request), ERR_PROTOCOL);
}

/* A client that is connected is in no table, and is found all the same; a server that is in it, once. */
static void the_sought_peer_comes_first(void **state)
{
    (void)state;
    struct responder_request request;
    for (uint64_t n = 1; n < 200; n += 198) {
        struct peer_id sought = peer_of(n);
        struct buf addrs;
        buf_init(&addrs, 512, NULL);
        add_text(&addrs, "/ip4/127.0.0.1/tcp/1");
        add_text(&addrs, "/ip4/9.9.9.9/tcp/1");
        struct responder_peer target = {.id = &sought, .addrs = buf_span(&addrs), .connected = true};
        struct responder_results results = {.target = &target};
        assert_ok(read_plain(KAD_FIND_NODE, peer_id_span(&sought), &request));
        struct kad_message answer = answered(&request, ADDR_SCOPE_WAN, &results);
        struct kad_iterator it = {0};
        struct kad_peer peer;
        size_t times = 0, count = 0;
        while (kad_next_peer(&answer, KAD_CLOSER, &it, &peer)) {
            times += peer_id_equal(&peer.id, &sought);
            assert_int_equal(times, 1);
            assert_int_equal(peer.connection, count == 0 ? KAD_CONNECTED : KAD_NOT_CONNECTED);
            count++;
        }
        assert_int_equal(count, KAD_K + 1);
        buf_release(&addrs);
    }
}

static void providers_come_first_and_leave_room(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    static struct peer_id ids[COUNT];
    static struct responder_peer providers[COUNT];
    struct responder_request request;
    struct buf addrs;
    buf_init(&addrs, 4096, NULL);
    for (unsigned i = 0; i < 20; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "/ip4/5.6.7.%u/tcp/4001", i);
        add_text(&addrs, text);
    }
    add_text(&addrs, "/ip4/10.0.0.1/tcp/4001");
    for (size_t i = 0; i < COUNT; i++) {
        ids[i] = peer_of(1000 + i);
        providers[i] = (struct responder_peer){.id = &ids[i], .addrs = buf_span(&addrs)};
    }
    assert_ok(read_plain(KAD_GET_PROVIDERS, span_text("key"), &request));
    assert_int_equal(request.action, RESPONDER_GET_PROVIDERS);
    struct responder_results results = {.providers = providers, .provider_count = COUNT};
    struct kad_message answer = answered(&request, ADDR_SCOPE_WAN, &results);
    assert_true(span_equal_text(answer.key, "key"));
    struct kad_iterator it = {0};
    struct kad_peer peer;
    size_t told = 0;
    while (kad_next_peer(&answer, KAD_PROVIDERS, &it, &peer))
        assert_true(peer_id_equal(&peer.id, &ids[told++]));
    assert_in_range(told, 20, 40);
    assert_int_equal(check_closer(&answer, span_text("key"), ADDR_SCOPE_WAN, 1), KAD_K);
    uint8_t long_key[KAD_KEY_MAX + 1] = {0};
    assert_ok(read_plain(KAD_GET_PROVIDERS, span_of(long_key, KAD_KEY_MAX), &request));
    assert_err(read_plain(KAD_GET_PROVIDERS, span_of(long_key, KAD_KEY_MAX + 1), &request), ERR_PROTOCOL);
    assert_err(read_plain(KAD_GET_PROVIDERS, span_of(NULL, 0), &request), ERR_PROTOCOL);
    buf_release(&addrs);
}

static enum err read_put(const char *key, const char *record_key, size_t value_len, struct responder_request *request)
{
    static uint8_t value[KAD_RECORD_MAX + 1];
    struct kad_record record = {.key = span_text(record_key),
                                .value = span_of(value, value_len),
                                .time_received = span_text("2020-01-01T00:00:00Z")};
    kad_writer_begin(&asked, KAD_PUT_VALUE, span_text(key));
    kad_writer_record(&asked, &record);
    return read_request(ADDR_SCOPE_WAN, request);
}

static void values_are_asked_for_and_put(void **state)
{
    (void)state;
    struct responder_request request;
    assert_ok(read_plain(KAD_GET_VALUE, span_text("/ipns/x"), &request));
    assert_int_equal(request.action, RESPONDER_GET_RECORD);
    struct responder_results results = {.has_record = true,
                                        .record = {.key = span_text("/ipns/x"), .value = span_text("value")}};
    struct kad_message answer = answered(&request, ADDR_SCOPE_WAN, &results);
    assert_true(answer.has_record && span_equal_text(answer.record.value, "value"));
    assert_int_equal(check_closer(&answer, span_text("/ipns/x"), ADDR_SCOPE_WAN, 1), KAD_K);
    const struct responder_results none = {0};
    answer = answered(&request, ADDR_SCOPE_WAN, &none);
    assert_false(answer.has_record);
    assert_ok(read_put("/ipns/x", "/ipns/x", KAD_RECORD_MAX, &request));
    assert_int_equal(request.action, RESPONDER_PUT_RECORD);
    assert_int_equal(request.record.time_received.len, 0);
    answer = answered(&request, ADDR_SCOPE_WAN, &none);
    assert_int_equal(answer.type, KAD_PUT_VALUE);
    assert_int_equal(answer.record.value.len, KAD_RECORD_MAX);
    struct kad_iterator it = {0};
    struct kad_peer peer;
    assert_false(kad_next_peer(&answer, KAD_CLOSER, &it, &peer));
    assert_err(read_put("/ipns/x", "/ipns/y", 5, &request), ERR_PROTOCOL);
    assert_err(read_put("", "", 5, &request), ERR_PROTOCOL);
    assert_err(read_put("/ipns/x", "/ipns/x", KAD_RECORD_MAX + 1, &request), ERR_PROTOCOL);
    assert_err(read_plain(KAD_PUT_VALUE, span_text("/ipns/x"), &request), ERR_PROTOCOL);
    assert_err(read_plain(KAD_GET_VALUE, span_of(NULL, 0), &request), ERR_PROTOCOL);
    assert_ok(read_plain(KAD_PING, span_of(NULL, 0), &request));
    answer = answered(&request, ADDR_SCOPE_WAN, &none);
    assert_int_equal(answer.type, KAD_PING);
}

/* RELIABILITY row P11: a foreign provider id. */
static void only_the_sender_is_taken_as_provider(void **state)
{
    (void)state;
    struct peer_id asker = peer_of(ASKER), other = peer_of(8);
    struct responder_request request;
    struct buf public_addr, private_addr;
    buf_init(&public_addr, 512, NULL);
    buf_init(&private_addr, 512, NULL);
    add_text(&public_addr, "/ip4/1.2.3.4/tcp/1");
    add_text(&private_addr, "/ip4/10.2.3.4/tcp/1");
    const struct {
        const struct peer_id *id;
        struct span addrs;
        enum addr_scope scope;
        enum responder_action action;
    } cases[] = {
        {&asker, buf_span(&public_addr), ADDR_SCOPE_WAN, RESPONDER_ADD_PROVIDER},
        {&other, buf_span(&public_addr), ADDR_SCOPE_WAN, RESPONDER_IGNORE},
        {&asker, span_of(NULL, 0), ADDR_SCOPE_WAN, RESPONDER_IGNORE},
        {&asker, buf_span(&private_addr), ADDR_SCOPE_WAN, RESPONDER_IGNORE},
        {&asker, buf_span(&private_addr), ADDR_SCOPE_LAN, RESPONDER_ADD_PROVIDER},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        kad_writer_begin(&asked, KAD_ADD_PROVIDER, span_text("key"));
        assert_true(kad_writer_peer(&asked, KAD_PROVIDERS, &other, buf_span(&public_addr), KAD_NOT_CONNECTED, 0));
        assert_true(kad_writer_peer(&asked, KAD_PROVIDERS, cases[i].id, cases[i].addrs, KAD_NOT_CONNECTED, 0));
        assert_ok(read_request(cases[i].scope, &request));
        assert_int_equal(request.action, cases[i].action);
        assert_int_equal(addr_list_count(buf_span(&provider_addrs)), cases[i].action == RESPONDER_ADD_PROVIDER);
    }
    kad_writer_begin(&asked, KAD_ADD_PROVIDER, span_text("key"));
    for (unsigned n = 0; n < 3; n++) { /* itself three times: together they are bounded */
        buf_clear(&public_addr);
        for (unsigned i = 0; i < 7; i++) {
            char text[64];
            (void)snprintf(text, sizeof(text), "/ip4/1.2.%u.%u/tcp/1", n, i);
            add_text(&public_addr, text);
        }
        assert_true(kad_writer_peer(&asked, KAD_PROVIDERS, &asker, buf_span(&public_addr), KAD_NOT_CONNECTED, 0));
    }
    assert_ok(read_request(ADDR_SCOPE_WAN, &request));
    assert_int_equal(addr_list_count(buf_span(&provider_addrs)), RESPONDER_ADDRS_MAX);
    assert_err(read_plain(KAD_ADD_PROVIDER, span_of(NULL, 0), &request), ERR_PROTOCOL);
    buf_release(&public_addr);
    buf_release(&private_addr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(find_node_tells_the_closest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_sought_peer_comes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(providers_come_first_and_leave_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_are_asked_for_and_put, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_the_sender_is_taken_as_provider, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
