/* SPDX-License-Identifier: MIT */
/*
 * Rows of the attack list at the level of a whole node, simulated: attackers are hosts that speak TCP by hand, or nodes whose probe
 * writes what it likes on the streams of a service. After each an honest peer is served within a second.
 */
#include "helper_nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/connection_manager/connection.h"
#include "actors/connection_manager/resources.h"
#include "wire/identify.h"
#include "wire/multiaddr.h"
#include "wire/peer_record.h"

enum { ATTACKERS_MAX = 200, SOCKS_MAX = 2000 };

/* A host without a runtime: it connects, says what the test wants, and notes when it was closed. */
struct attacker {
    struct sim_host *host;
    struct loop *loop;
    const struct net_port *net;
    uint64_t connected;
    uint64_t closed;
    struct net_sock *socks[SOCKS_MAX];
    size_t sock_count;
};
static struct attacker attackers[ATTACKERS_MAX];
static unsigned attacker_count;

static void attacker_sink(void *arg, const struct net_event *event)
{
    struct attacker *a = arg;
    uint8_t bytes[4096];
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    size_t n;
    if (event->kind == NET_CONNECTED) {
        a->connected++;
        a->net->want(event->sock, true, false);
    }
    bool over = event->kind == NET_CLOSED;
    while (!over && event->kind == NET_READY && a->net->read(event->sock, &iov, 1, &n) == ERR_OK)
        over = n == 0;
    if (!over)
        return;
    a->closed++;
    for (size_t i = 0; i < a->sock_count; i++)
        if (a->socks[i] == event->sock)
            a->socks[i] = NULL;
    a->net->close(event->sock, false);
}

static struct attacker *attacker_at(uint8_t b, uint8_t c, uint8_t d)
{
    struct attacker *a = &attackers[attacker_count++];
    *a = (struct attacker){0};
    struct net_addr ip = {.family = NET_IP4, .ip = {198, b, c, d}};
    a->host = sim_net_add_host(nodes_net, &ip);
    const struct loop_port *port = sim_host_loop(a->host);
    assert_int_equal(port->open(port->self, attacker_sink, a, &a->loop), ERR_OK);
    a->net = port->net(a->loop);
    return a;
}

static void attack(struct attacker *a)
{
    struct net_addr to = sim_net_ip(1);
    to.port = 4001;
    assert_int_equal(a->net->connect(a->net->self, &to, a->sock_count, &a->socks[a->sock_count]), ERR_OK);
    a->sock_count++;
}

static void say(struct attacker *a, size_t sock, const void *bytes, size_t len)
{
    uint8_t copy[4096];
    size_t n;
    memcpy(copy, bytes, len);
    struct iovec iov = {.iov_base = copy, .iov_len = len};
    if (a->socks[sock] != NULL)
        (void)a->net->write(a->socks[sock], &iov, 1, &n);
}

static void end(void)
{
    for (unsigned i = 0; i < attacker_count; i++)
        sim_host_loop(attackers[i].host)->close(attackers[i].loop);
    attacker_count = 0;
    nodes_end();
}

/* The node of that number, an honest peer, connects and pings within a second. */
static void expect_service_of(unsigned honest)
{
    uint64_t before = sim_now(nodes_sim);
    assert_int_equal(node_connect(honest, 0), ERR_OK);
    assert_int_equal(node_do(honest, (struct command){.kind = CMD_PING, .target = 0}), ERR_OK);
    assert_true(sim_now(nodes_sim) - before < SECOND_NS);
}

static void expect_service(void)
{
    expect_service_of(1);
}

static void T1_ten_thousand_silent_connections(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 1, NULL);
    enum { HOSTS = 100, EACH = 100 };
    for (unsigned i = 0; i < HOSTS; i++)
        (void)attacker_at(18, (uint8_t)i, 1); /* a /24 each: the limits per address do not save us */
    for (unsigned k = 0; k < EACH; k++) {
        for (unsigned i = 0; i < HOSTS; i++)
            attack(&attackers[i]);
        nodes_pass_ms(50);
        assert_true(sim_host_sockets(nodes[0].host) <= RESOURCES_HALF_OPEN_MAX + 1);
        assert_true(account_used(&nodes[0].budget.accounts[ACCOUNT_TABLES]) < 4 * MIB);
    }
    expect_service();
    nodes_pass_ms(20000); /* those that stayed are closed when their time is up */
    assert_int_equal(sim_host_sockets(nodes[0].host), 1);
    end();
}

static void silence(unsigned hosts)
{
    for (unsigned i = 0; i < hosts; i++)
        attack(attacker_at(18, (uint8_t)i, 1));
    nodes_pass_ms(50);
}

/* Past its grace period, with nobody else there: who has not said who he is does not count when there are too many. */
static void T1_silent_connections_drive_no_peer_away(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 10, NULL);
    assert_int_equal(node_connect(1, 0), ERR_OK);
    nodes_pass_ms(30000);
    silence(ATTACKERS_MAX);
    nodes_pass_ms(5000);
    assert_int_equal(nodes[0].downs, 0);
    assert_int_equal(sim_host_sockets(nodes[0].host), RESOURCES_HALF_OPEN_MAX + 1);
    expect_service();
    end();
}

static void low_power(struct node *n)
{
    char why[CONFIG_WHY_BYTES];
    assert_int_equal(config_set(n->config, "Swarm.ConnMgr.LowWater", span_text("16"), why), ERR_OK);
    assert_int_equal(config_set(n->config, "Swarm.ConnMgr.HighWater", span_text("32"), why), ERR_OK);
}

/* The system's connections are all taken before half-open ones are too many. */
static void T1_silent_connections_lock_nobody_out(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 11, low_power);
    silence(ATTACKERS_MAX);
    assert_int_equal(sim_host_sockets(nodes[0].host), 32 + RESOURCES_SPARE);
    expect_service();
    end();
}

/* Streams that stay open: the victim's probe never finishes them. */
static void T1_streams_of_one_peer_are_capped(void **state)
{
    (void)state;
    nodes_begin(3, SIM, 9, NULL);
    nodes[0].hold_credit = true;
    assert_int_equal(node_connect(2, 0), ERR_OK);
    struct command c = {.kind = CMD_SEND, .target = 0, .payload = span_text("x"), .count = 250};
    for (int i = 0; i < 20; i++) { /* from some point on they are refused */
        enum err err = node_do(2, c);
        assert_true(err == ERR_OK || err == ERR_BUSY);
    }
    nodes_pass_ms(1000);
    assert_true(nodes[0].opened_in >= 250 && nodes[0].opened_in <= CONNECTION_STREAMS_IN_MAX);
    assert_true(account_used(&nodes[0].budget.accounts[ACCOUNT_TABLES]) < MIB);
    expect_service();
    end();
}

static void T13_negotiation_at_one_byte_per_5_seconds(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 2, NULL);
    struct attacker *a = attacker_at(18, 1, 1);
    static const char hello[] = "\x13/multistream/1.0.0\n";
    attack(a);
    nodes_pass_ms(10);
    assert_int_equal(a->connected, 1);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(a->closed, 0);
        say(a, 0, hello + i, 1);
        nodes_pass_ms(4900);
    }
    nodes_pass_ms(2000);
    assert_int_equal(a->closed, 1);
    expect_service();
    end();
}

static void T13_a_length_of_2_to_the_63_and_a_thousand_proposals(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 3, NULL);
    struct attacker *a = attacker_at(18, 1, 1);
    static const char huge[] = "\x13/multistream/1.0.0\n\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01";
    static const char hello[] = "\x13/multistream/1.0.0\n";
    attack(a);
    attack(a);
    nodes_pass_ms(10);
    say(a, 0, huge, sizeof(huge) - 1);
    say(a, 1, hello, sizeof(hello) - 1);
    for (int i = 0; i < 1000; i++) {
        say(a, 1, "\x05/foo\n", 6);
        if (i % 20 == 0)
            nodes_pass_ms(10);
    }
    nodes_pass_ms(100);
    assert_true(a->closed >= 1); /* the first one at once; the second at the latest when its time is up */
    nodes_pass_ms(16000);
    assert_int_equal(a->closed, 2);
    expect_service();
    end();
}

static void T18_a_flood_from_one_24(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 4, NULL);
    for (unsigned i = 0; i < 100; i++)
        (void)attacker_at(18, 7, (uint8_t)i);
    for (unsigned k = 0; k < 20; k++)
        for (unsigned i = 0; i < 100; i++)
            attack(&attackers[i]);
    nodes_pass_ms(100);
    assert_true(sim_host_sockets(nodes[0].host) <= RESOURCES_PER_IP_MAX * RESOURCES_PREFIX_FACTOR);
    expect_service();
    end();
}

/* ---- identify ---- */

static uint64_t ups_before;

static bool one_more_up(void)
{
    return nodes[0].ups > ups_before;
}

static bool connected(void)
{
    return nodes[0].ups > 0 && nodes[1].ups > 0;
}

static uint64_t tables_before;

static void begin_pair(uint64_t seed)
{
    nodes_begin(3, SIM, seed, NULL);
    assert_int_equal(node_connect(1, 0), ERR_OK);
    nodes_await(connected);
    tables_before = account_used(&nodes[0].budget.accounts[ACCOUNT_TABLES]);
}

/* The hostile peer of a pair is still there, what it cost is bounded, and another one is served. */
static void end_pair(void)
{
    assert_true(account_used(&nodes[0].budget.accounts[ACCOUNT_TABLES]) - tables_before < 256 * KIB);
    assert_int_equal(nodes[0].downs, 0);
    expect_service_of(2);
    end();
}

static void push(struct span payload, uint64_t streams)
{
    struct command c = {
        .kind = CMD_SEND, .target = 0, .protocol = IDENTIFY_PUSH_PROTOCOL, .payload = payload, .count = streams};
    ups_before = nodes[0].ups;
    assert_int_equal(node_do(1, c), ERR_OK);
}

static struct buf message(const char *const *protocols, size_t count, struct span record, const struct multiaddr *addr)
{
    struct buf out;
    buf_init(&out, 8192, NULL);
    struct identify_own own = {.public_key = key_pair_public(nodes[1].key),
                               .signed_record = record,
                               .agent_version = "hostile/1",
                               .listen_addrs = addr,
                               .listen_count = addr == NULL ? 0 : 1,
                               .protocols = protocols,
                               .protocol_count = count};
    assert_int_equal(identify_encode(&own, &out), ERR_OK);
    return out;
}

static void P4_a_thousand_pushes_a_second(void **state)
{
    (void)state;
    begin_pair(5);
    const char *protocols[] = {"/a/1", "/b/1"};
    struct buf out = message(protocols, 2, (struct span){0}, NULL);
    for (int i = 0; i < 4; i++) {
        uint64_t first = nodes[0].ups;
        push(buf_span(&out), 250);
        nodes_pass_ms(200);
        assert_true(nodes[0].ups - first <= 11);
        if (i == 0)
            assert_true(nodes[0].ups > first); /* the first ones were taken */
    }
    assert_int_equal(nodes[0].up_protocols, 2);
    assert_int_equal(nodes[0].downs, 0); /* the connection lives */
    assert_int_equal(node_do(1, (struct command){.kind = CMD_PING, .target = 0}), ERR_OK);
    buf_release(&out);
    end_pair();
}

static void P3_eleven_chunks_and_oversized_messages(void **state)
{
    (void)state;
    begin_pair(6);
    uint8_t bytes[16 * 1024];
    size_t at = 0;
    for (int i = 0; i < 11; i++) { /* eleven frames of one protocol each: 1a 04 "/x/y" */
        static const uint8_t frame[] = {6, 0x1a, 4, '/', 'x', '/', 'y'};
        memcpy(bytes + at, frame, sizeof(frame));
        at += sizeof(frame);
    }
    push(span_of(bytes, at), 1);
    nodes_pass_ms(1000);
    assert_int_equal(nodes[0].ups, ups_before); /* nothing of it was taken */
    push(span_of(bytes, at - 7), 1);            /* ten are fine */
    nodes_await(one_more_up);
    assert_int_equal(nodes[0].up_protocols, 1);
    memset(bytes, 0, sizeof(bytes));
    bytes[0] = 0x81; /* 8193 */
    bytes[1] = 0x40;
    push(span_of(bytes, 8195), 1);
    nodes_pass_ms(1000);
    assert_int_equal(nodes[0].ups, ups_before);
    assert_int_equal(nodes[0].downs, 0);
    end_pair();
}

static void P3_five_thousand_protocols(void **state)
{
    (void)state;
    begin_pair(7);
    struct buf out;
    buf_init(&out, 100000, NULL);
    for (int frame = 0; frame < 10; frame++) {
        struct buf body;
        buf_init(&body, 8192, NULL);
        for (int i = 0; i < 500; i++)
            assert_int_equal(buf_appendf(&body, "\x1a\x06/%d/%03d", frame, i), ERR_OK);
        uint8_t length[2] = {(uint8_t)(0x80 | (body.len & 0x7f)), (uint8_t)(body.len >> 7)};
        assert_int_equal(buf_append(&out, length, 2), ERR_OK);
        assert_int_equal(buf_append_span(&out, buf_span(&body)), ERR_OK);
        buf_release(&body);
    }
    push(buf_span(&out), 1);
    nodes_await(one_more_up);
    assert_true(nodes[0].up_protocols <= IDENTIFY_PROTOCOLS_MAX);
    assert_true(nodes[0].up_protocols > 100);
    buf_release(&out);
    end_pair();
}

static bool known_to_victim(const char *addr)
{
    assert_int_equal(node_do(0, (struct command){.kind = CMD_KNOWN, .target = 1}), ERR_OK);
    return strstr(nodes[0].text, addr) != NULL;
}

static void push_record(const struct key_pair *key, uint64_t seq, const char *text)
{
    struct multiaddr addr;
    struct buf record;
    assert_int_equal(multiaddr_parse_text(span_text(text), &addr), ERR_OK);
    buf_init(&record, 4096, NULL);
    assert_int_equal(peer_record_seal(key, seq, &addr, 1, &record), ERR_OK);
    struct buf out = message(NULL, 0, buf_span(&record), &addr);
    push(buf_span(&out), 1);
    nodes_await(one_more_up);
    buf_release(&out);
    buf_release(&record);
}

static void P2_false_and_replayed_records_are_refused(void **state)
{
    (void)state;
    begin_pair(8);
    uint64_t seq = UINT64_MAX / 4;
    push_record(nodes[0].key, seq, "/ip4/10.9.9.1/tcp/1"); /* another peer's key */
    assert_false(known_to_victim("10.9.9.1"));
    push_record(nodes[1].key, seq, "/ip4/10.9.9.2/tcp/2");
    assert_true(known_to_victim("10.9.9.2"));
    push_record(nodes[1].key, seq, "/ip4/10.9.9.3/tcp/3"); /* replayed seq */
    push_record(nodes[1].key, seq - 1, "/ip4/10.9.9.4/tcp/4");
    assert_false(known_to_victim("10.9.9.3"));
    assert_false(known_to_victim("10.9.9.4"));
    assert_true(known_to_victim("10.9.9.2"));
    push_record(nodes[1].key, seq + 1, "/ip4/127.0.0.1/tcp/5"); /* loopback, over a connection that is not */
    assert_false(known_to_victim("127.0.0.1"));
    end_pair();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T1_ten_thousand_silent_connections),
        cmocka_unit_test(T1_silent_connections_drive_no_peer_away),
        cmocka_unit_test(T1_silent_connections_lock_nobody_out),
        cmocka_unit_test(T1_streams_of_one_peer_are_capped),
        cmocka_unit_test(T13_negotiation_at_one_byte_per_5_seconds),
        cmocka_unit_test(T13_a_length_of_2_to_the_63_and_a_thousand_proposals),
        cmocka_unit_test(T18_a_flood_from_one_24),
        cmocka_unit_test(P2_false_and_replayed_records_are_refused),
        cmocka_unit_test(P3_eleven_chunks_and_oversized_messages),
        cmocka_unit_test(P3_five_thousand_protocols),
        cmocka_unit_test(P4_a_thousand_pushes_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
