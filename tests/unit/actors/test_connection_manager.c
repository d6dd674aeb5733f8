/* SPDX-License-Identifier: MIT */
/* Pairs of connection_managers, on loopback and simulated. */
#include "helper_nodes.h"

#include <stdio.h>
#include <string.h>

#include "actors/connection_manager/swarm.h"
#include "mailbox/ctx.h"

static enum nodes_backend backend;

static bool both_up(void)
{
    return nodes[0].ups > 0 && nodes[1].ups > 0;
}

static void a_pair_connects_identifies_and_pings(void **state)
{
    (void)state;
    nodes_begin(2, backend, 1, NULL);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_await(both_up);
    assert_true(nodes[0].up_protocols >= 7); /* what identify said */
    assert_true(nodes[1].up_protocols >= 7);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_PING, .target = 1, .count = 2}), ERR_OK);
    assert_int_equal(nodes[0].rows, 2);
    assert_true(nodes[0].rtt_ns > 0);
    assert_int_equal(node_do(1, (struct command){.kind = CMD_PING, .target = 0, .count = 1}), ERR_OK);
    assert_int_equal(node_do(1, (struct command){.kind = CMD_PEERS}), ERR_OK);
    assert_int_equal(nodes[1].rows, 1);
    assert_int_equal(node_connect(0, 1), ERR_OK); /* connected already: answered at once */
    assert_int_equal(node_do(0, (struct command){.kind = CMD_PEERS}), ERR_OK);
    assert_int_equal(nodes[0].rows, 1);
    nodes_end();
}

static void more_connections_than_a_reply_has_room_for_are_counted(void **state)
{
    (void)state;
    nodes_begin(4, backend, 1, NULL);
    for (unsigned i = 1; i < 4; i++)
        assert_int_equal(node_connect(i, 0), ERR_OK);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_PEERS}), ERR_OK);
    assert_int_equal(nodes[0].rows, 3);
    assert_int_equal(nodes[0].found, 0);
    for (unsigned room = 100; room < 1000; room += 7) {
        assert_int_equal(node_do(0, (struct command){.kind = CMD_PEERS, .bytes = room}), ERR_OK);
        assert_int_equal(nodes[0].rows + nodes[0].found, 3);
    }
    nodes_end();
}

static bool both_down(void)
{
    return nodes[0].downs == 1 && nodes[1].downs == 1;
}

static void disconnect_is_heard_on_both_sides(void **state)
{
    (void)state;
    nodes_begin(2, backend, 2, NULL);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_await(both_up);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_DISCONNECT, .target = 1}), ERR_OK);
    nodes_await(both_down);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_DISCONNECT, .target = 1}), ERR_NOT_FOUND);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_PING, .target = 1}), ERR_UNREACHABLE);
    assert_int_equal(node_connect(1, 0), ERR_OK); /* and back again */
    nodes_end();
}

/* Before identify has come it is not certain that the peer speaks the protocol: it is asked, and the owner waits. */
static void a_stream_whose_owner_gave_up_is_closed(void **state)
{
    enum { LATENCY_MS = 400, WITHIN_MS = 300, TRIES_MAX = 200 };
    const struct command give_up = {.kind = CMD_SEND, .target = 1, .bytes = 10, .within_ms = WITHIN_MS};
    enum err err = ERR_UNREACHABLE;
    (void)state;
    if (backend != SIM)
        return;
    nodes_begin(2, backend, 4, NULL);
    for (unsigned i = 0; i < 2; i++)
        sim_net_link(nodes_net, nodes[i].host, nodes[1 - i].host)->latency_ns = LATENCY_MS * MS_NS;
    node_give(1, (struct command){.kind = CMD_CONNECT, .target = 0});
    for (int i = 0; i < TRIES_MAX && err == ERR_UNREACHABLE; i++) {
        nodes_pass_ms(10);
        err = node_do(0, give_up);
    }
    assert_int_equal(err, ERR_TIMEOUT);
    nodes_await(both_up);
    nodes_pass_ms(5000);
    const struct swarm *swarm = actor_of(nodes[0].rt, ACTOR_CONNECTION_MANAGER)->state;
    assert_int_equal(table_len(&swarm->streams), 0);
    nodes_end();
}

enum { BULK = 5 * 1024 * 1024 };

static bool bulk_received(void)
{
    return nodes[1].received == BULK && nodes[1].fins == 1 && nodes[0].closed == 1;
}

static void bytes_of_a_stream_arrive_whole(void **state)
{
    (void)state;
    nodes_begin(2, backend, 3, NULL);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_await(both_up);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_SEND, .target = 1, .bytes = BULK}), ERR_OK);
    nodes_await(bulk_received);
    assert_int_equal(nodes[1].mismatches, 0);
    assert_int_equal(nodes[0].sent, BULK); /* all credit came back */
    assert_int_equal(nodes[0].closed_err, ERR_OK);
    assert_int_equal(nodes[1].opened_in, 1);
    nodes_end();
}

/* ---- protocols served at run time ---- */

static uint64_t protocols_before;

static bool one_more(void)
{
    return nodes[0].up_protocols == protocols_before + 1;
}

static bool as_before(void)
{
    return nodes[0].up_protocols == protocols_before;
}

static bool small_stream_received(void)
{
    return nodes[1].received == 1000 && nodes[1].fins == 1;
}

/* What an actor begins to serve is told by a push, and its streams are its own; what it serves no more is refused. */
static void protocols_are_served_at_run_time(void **state)
{
    (void)state;
    struct command send = {.kind = CMD_SEND, .target = 1, .bytes = 1000, .protocol = "/test/1.0.0"};
    nodes_begin(2, backend, 9, NULL);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_await(both_up);
    protocols_before = nodes[0].up_protocols;
    assert_int_equal(node_do(0, send), ERR_UNSUPPORTED);
    assert_int_equal(node_do(1, (struct command){.kind = CMD_SERVE, .protocol = "/test/1.0.0"}), ERR_OK);
    nodes_await(one_more);
    assert_int_equal(node_do(0, send), ERR_OK);
    nodes_await(small_stream_received);
    assert_int_equal(nodes[1].mismatches, 0);
    assert_int_equal(node_do(1, (struct command){.kind = CMD_SERVE}), ERR_OK);
    nodes_await(as_before);
    assert_int_equal(node_do(0, send), ERR_UNSUPPORTED);
    nodes_end();
}

/* Ten changes within a second are one push. */
static void changes_of_protocols_are_pushed_together(void **state)
{
    (void)state;
    if (backend != SIM)
        return;
    nodes_begin(2, backend, 10, NULL);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_await(both_up);
    protocols_before = nodes[0].up_protocols;
    nodes_pass_ms(3000);
    uint64_t ups = nodes[0].ups;
    for (int i = 0; i < 10; i++)
        assert_int_equal(node_do(1, (struct command){.kind = CMD_SERVE, .protocol = i % 2 == 0 ? "/a/1" : "/b/1"}),
                         ERR_OK);
    nodes_pass_ms(5000);
    assert_int_equal(nodes[0].ups, ups + 1);
    assert_int_equal(nodes[0].up_protocols, protocols_before + 1);
    nodes_end();
}

static uint64_t seen_before;

static bool stalled(void)
{
    return nodes[1].held > 0 && nodes[1].received >= 200 * 1024;
}

static void without_credit_the_sender_waits(void **state)
{
    (void)state;
    nodes_begin(2, backend, 4, NULL);
    nodes[1].hold_credit = true;
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_await(both_up);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_SEND, .target = 1, .bytes = BULK}), ERR_OK);
    nodes_await(stalled);
    nodes_pass_ms(backend == SIM ? 5000 : 300);
    seen_before = nodes[1].received;
    assert_true(seen_before <= 256 * 1024); /* the first window: nobody asked for more */
    nodes_pass_ms(backend == SIM ? 5000 : 200);
    assert_int_equal(nodes[1].received, seen_before);
    nodes[1].release_credit = true;
    nodes_await(bulk_received);
    assert_int_equal(nodes[1].mismatches, 0);
    nodes_end();
}

static void the_wrong_peer_id_is_refused(void **state)
{
    (void)state;
    nodes_begin(3, backend, 5, NULL);
    struct command c = {.kind = CMD_CONNECT, .target = 1};
    const char *id = strstr(nodes[2].addr, "/p2p/");
    size_t len = (size_t)(strstr(nodes[1].addr, "/p2p/") - nodes[1].addr);
    (void)snprintf(c.addr, sizeof(c.addr), "%.*s%s", (int)len, nodes[1].addr, id);
    assert_int_equal(node_do(0, c), ERR_MISMATCH);
    assert_int_equal(nodes[0].ups, 0);
    nodes_end();
}

static void addresses_that_cannot_be_dialled_say_why(void **state)
{
    (void)state;
    nodes_begin(1, backend, 6, NULL);
    struct command c = {.kind = CMD_CONNECT, .target = 0};
    (void)snprintf(c.addr, sizeof(c.addr), "not an address");
    assert_int_equal(node_do(0, c), ERR_INVALID);
    (void)snprintf(c.addr, sizeof(c.addr), "/ip4/1.2.3.4/udp/1/quic-v1");
    assert_int_equal(node_do(0, c), ERR_UNSUPPORTED);
    (void)snprintf(c.addr, sizeof(c.addr), "/ip4/1.2.3.4/tcp/1/tls/ws");
    assert_int_equal(node_do(0, c), ERR_UNSUPPORTED);
    (void)snprintf(c.addr, sizeof(c.addr), "%s", nodes[0].addr); /* ourselves */
    assert_int_equal(node_do(0, c), ERR_INVALID);
    (void)snprintf(c.addr, sizeof(c.addr), backend == SIM ? "/ip4/10.0.0.1/tcp/9" : "/ip4/127.0.0.1/tcp/1");
    assert_int_equal(node_do(0, c), ERR_REFUSED);
    nodes_end();
}

/* localhost is in each machine's own table of hosts; the simulator has no names. */
static void a_name_is_dialled(void **state)
{
    (void)state;
    if (backend == SIM)
        skip();
    nodes_begin(2, backend, 10, NULL);
    struct command c = {.kind = CMD_CONNECT, .target = 1};
    const char *port = strstr(nodes[1].addr, "/tcp/");
    (void)snprintf(c.addr, sizeof(c.addr), "/dns4/localhost%s", port);
    assert_int_equal(node_do(0, c), ERR_OK);
    nodes_await(both_up);
    nodes_end();
}

static void listens_for_websocket(struct node *n)
{
    char why[CONFIG_WHY_BYTES];
    const char *listen = backend == SIM ? "/ip4/0.0.0.0/tcp/8081/ws" : "/ip4/127.0.0.1/tcp/0/ws";
    if (n->index == 1)
        assert_int_equal(config_set(n->config, "Addresses.Swarm", span_text(listen), why), ERR_OK);
}

static void a_pair_trades_over_websocket(void **state)
{
    (void)state;
    nodes_begin(2, backend, 8, listens_for_websocket);
    assert_non_null(strstr(nodes[1].addr, "/ws/p2p/")); /* announced as what it is */
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_await(both_up);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_SEND, .target = 1, .bytes = BULK}), ERR_OK);
    nodes_await(bulk_received);
    assert_int_equal(nodes[1].mismatches, 0);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_KNOWN, .target = 1}), ERR_OK);
    assert_non_null(strstr(nodes[0].text, "/ws")); /* and kept as that */
    nodes_end();
}

/* A TCP port is no WebSocket, and the other way round: the dial ends with a reason, and nothing is left of it. */
static void tcp_and_websocket_ports_refuse_each_other(void **state)
{
    (void)state;
    nodes_begin(2, backend, 9, listens_for_websocket);
    struct command c = {.kind = CMD_CONNECT, .target = 1};
    const char *ws = strstr(nodes[1].addr, "/ws");
    (void)snprintf(c.addr, sizeof(c.addr), "%.*s%s", (int)(ws - nodes[1].addr), nodes[1].addr, ws + 3);
    assert_int_not_equal(node_do(0, c), ERR_OK);
    c.target = 0;
    const char *id = strstr(nodes[0].addr, "/p2p/");
    (void)snprintf(c.addr, sizeof(c.addr), "%.*s/ws%s", (int)(id - nodes[0].addr), nodes[0].addr, id);
    assert_int_not_equal(node_do(1, c), ERR_OK);
    assert_int_equal(nodes[0].ups + nodes[1].ups, 0);
    assert_int_equal(node_connect(0, 1), ERR_OK); /* after all that */
    nodes_end();
}

static void only_tls(struct node *n)
{
    char why[CONFIG_WHY_BYTES];
    if (n->index == 1)
        assert_int_equal(config_set(n->config, "Swarm.Transports.Security", span_text("tls"), why), ERR_OK);
}

static void a_peer_without_noise_is_reached_over_tls(void **state)
{
    (void)state;
    nodes_begin(2, backend, 7, only_tls);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_await(both_up);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_DISCONNECT, .target = 1}), ERR_OK);
    nodes_await(both_down);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_end();
}

/* Certificates of this program begin in 1975: by a clock of 1972 they are not valid yet, and Noise is no way round. */
static void a_certificate_outside_its_dates_is_refused(void **state)
{
    (void)state;
    if (backend != SIM)
        skip();
    const uint64_t two_years_ns = UINT64_C(2) * 365 * 86400 * SECOND_NS;
    nodes_begin(2, backend, 7, only_tls);
    sim_shift_real_clock(nodes_sim, (int64_t)(two_years_ns - sim_real_now(nodes_sim)));
    assert_int_not_equal(node_connect(0, 1), ERR_OK);
    assert_int_equal(nodes[0].ups + nodes[1].ups, 0);
    sim_shift_real_clock(nodes_sim, INT64_C(50) * 365 * 86400 * (int64_t)SECOND_NS);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_pair_connects_identifies_and_pings),
    cmocka_unit_test(more_connections_than_a_reply_has_room_for_are_counted),
    cmocka_unit_test(disconnect_is_heard_on_both_sides),
    cmocka_unit_test(a_stream_whose_owner_gave_up_is_closed),
    cmocka_unit_test(bytes_of_a_stream_arrive_whole),
    cmocka_unit_test(protocols_are_served_at_run_time),
    cmocka_unit_test(changes_of_protocols_are_pushed_together),
    cmocka_unit_test(without_credit_the_sender_waits),
    cmocka_unit_test(the_wrong_peer_id_is_refused),
    cmocka_unit_test(addresses_that_cannot_be_dialled_say_why),
    cmocka_unit_test(a_name_is_dialled),
    cmocka_unit_test(a_pair_trades_over_websocket),
    cmocka_unit_test(tcp_and_websocket_ports_refuse_each_other),
    cmocka_unit_test(a_peer_without_noise_is_reached_over_tls),
    cmocka_unit_test(a_certificate_outside_its_dates_is_refused),
};

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc < 2 || strcmp(argv[1], "--backend=sim") == 0) {
        backend = SIM;
        failed += cmocka_run_group_tests_name("sim", tests, NULL, NULL);
    }
    if (argc < 2 || strcmp(argv[1], "--backend=inproc") == 0) {
        backend = INPROC;
        failed += cmocka_run_group_tests_name("inproc", tests, NULL, NULL);
    }
    return failed;
}
