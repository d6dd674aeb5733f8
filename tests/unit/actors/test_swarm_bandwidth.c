/* SPDX-License-Identifier: MIT */
/* Bandwidth caps at the level of whole nodes, simulated, and once over real sockets: bytes keep to them, and nothing is lost. */
#include "helper_nodes.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum { BULK = 3 * 1024 * 1024, HUGE = 64 * 1024 * 1024, RATE = 200 * 1000 };

static const char *limits[3]; /* of node 0: key=value */

static void limit(struct node *n)
{
    char why[CONFIG_WHY_BYTES];
    for (size_t i = 0; n->index == 0 && i < ARRAY_LEN(limits) && limits[i] != NULL; i++) {
        const char *value = strchr(limits[i], '=') + 1;
        char key[100];
        (void)snprintf(key, sizeof(key), "%.*s", (int)(value - limits[i] - 1), limits[i]);
        if (config_set(n->config, key, span_text(value), why) != ERR_OK)
            fail_msg("%s", why);
    }
}

static void begin(unsigned count, enum nodes_backend backend, const char *first)
{
    memset(limits, 0, sizeof(limits));
    limits[0] = first;
    nodes_begin(count, backend, 7, limit);
}

static bool received_by_0(void)
{
    return nodes[0].received == BULK && nodes[0].fins == 1;
}

static bool received_by_1(void)
{
    return nodes[1].received == BULK && nodes[1].fins == 1;
}

static void send_bulk(unsigned from, unsigned to, uint64_t bytes)
{
    assert_int_equal(node_do(from, (struct command){.kind = CMD_SEND, .target = to, .bytes = bytes}), ERR_OK);
}

/* BULK from or to node 0 takes as long as RATE has it, while a ping passes. */
static void expect_rate(unsigned from, unsigned to, bool (*received)(void))
{
    assert_int_equal(node_connect(1, 0), ERR_OK);
    uint64_t before = sim_now(nodes_sim);
    send_bulk(from, to, BULK);
    nodes_pass_ms(5000);
    assert_int_equal(node_do(1, (struct command){.kind = CMD_PING, .target = 0}), ERR_OK);
    assert_true(nodes[1].rtt_ns < 6 * SECOND_NS);
    nodes_await(received);
    double seconds = (double)(sim_now(nodes_sim) - before) / 1e9;
    double ideal = (double)BULK / RATE;
    if (seconds < ideal - 2 || seconds > ideal + 2)
        fail_msg("%g s instead of %g", seconds, ideal);
    assert_int_equal(nodes[to].mismatches, 0);
    assert_int_equal(nodes[0].downs + nodes[1].downs, 0);
    nodes_end();
}

static void what_leaves_keeps_to_the_cap(void **state)
{
    (void)state;
    begin(2, SIM, "Swarm.Bandwidth.Out=200kB");
    expect_rate(0, 1, received_by_1);
}

static void what_comes_keeps_to_the_cap(void **state)
{
    (void)state;
    begin(2, SIM, "Swarm.Bandwidth.In=200kB");
    expect_rate(1, 0, received_by_0);
}

static void a_peer_keeps_to_its_cap_each_way(void **state)
{
    (void)state;
    begin(2, SIM, "Swarm.Bandwidth.PerPeer=* 200kB 200kB");
    expect_rate(1, 0, received_by_0);
    begin(2, SIM, "Swarm.Bandwidth.PerPeer=* 200kB 200kB");
    expect_rate(0, 1, received_by_1);
}

static void a_protocol_keeps_to_its_cap_each_way(void **state)
{
    (void)state;
    begin(2, SIM, "Swarm.Bandwidth.PerProtocol=/ipfs/bitswap 200kB 200kB");
    expect_rate(1, 0, received_by_0);
    begin(2, SIM, "Swarm.Bandwidth.PerProtocol=/ipfs/bitswap 200kB 200kB");
    expect_rate(0, 1, received_by_1);
}

/* Each stream begins with a window for which nobody asked: the sum is held all the same. */
static void a_stream_for_each_message_does_not_pass_the_cap(void **state)
{
    (void)state;
    static uint8_t message[60000];
    begin(2, SIM, "Swarm.Bandwidth.PerProtocol=/ipfs/bitswap 500kB 0");
    assert_int_equal(node_connect(1, 0), ERR_OK);
    struct command c = {.kind = CMD_SEND, .target = 0, .payload = span_of(message, sizeof(message)), .count = 200};
    uint64_t before = sim_now(nodes_sim);
    assert_int_equal(node_do(1, c), ERR_OK);
    nodes_pass_ms(8000);
    uint64_t seconds = (sim_now(nodes_sim) - before) / SECOND_NS + 1;
    assert_true(nodes[0].received <= 500000 * seconds + 250000 + 600000);
    assert_true(nodes[0].received >= 500000 * 7);
    assert_int_equal(nodes[0].downs, 0);
    nodes_end();
}

static void two_peers_share_the_cap(void **state)
{
    (void)state;
    begin(3, SIM, "Swarm.Bandwidth.In=400kB");
    assert_int_equal(node_connect(1, 0), ERR_OK);
    assert_int_equal(node_connect(2, 0), ERR_OK);
    send_bulk(1, 0, HUGE);
    nodes_pass_ms(3000); /* the first one is well under way */
    uint64_t first = nodes[1].sent;
    send_bulk(2, 0, HUGE);
    nodes_pass_ms(5000);
    uint64_t at = nodes[1].sent;
    uint64_t other = nodes[2].sent;
    nodes_pass_ms(20000);
    uint64_t one = nodes[1].sent - at;
    uint64_t two = nodes[2].sent - other;
    assert_true(first > 400000);
    assert_true(one + two > 7000000 && one + two < 9000000);
    assert_true(one > 3200000 && two > 3200000);
    nodes_end();
}

/* ---- figures ---- */

static struct msg_stats_bw_ok told;

static void take(struct node *n, const struct msg *answer)
{
    (void)n;
    told = *(const struct msg_stats_bw_ok *)answer->fields;
}

static void ask(const struct peer_id *peer, const char *protocol)
{
    struct msg_stats_bw fields = {.protocol = span_text(protocol)};
    if (peer != NULL)
        fields.peer = peer_id_span(peer);
    struct msg msg = {.kind = MSG_STATS_BW, .fields = &fields};
    assert_int_equal(node_do(0, (struct command){.kind = CMD_ASK, .msg = &msg, .take = take}), ERR_OK);
}

static void bytes_are_counted_by_peer_and_protocol(void **state)
{
    (void)state;
    begin(3, SIM, NULL);
    assert_int_equal(node_connect(1, 0), ERR_OK);
    assert_int_equal(node_connect(2, 0), ERR_OK);
    send_bulk(1, 0, BULK);
    nodes_await(received_by_0);
    assert_int_equal(node_do(2, (struct command){.kind = CMD_PING, .target = 0, .count = 3}), ERR_OK);
    ask(NULL, "");
    uint64_t all = told.total_in;
    assert_true(all > BULK && all < BULK + BULK / 20);
    ask(&nodes[1].id, "");
    uint64_t one = told.total_in;
    assert_true(one > BULK && one < all);
    ask(&nodes[2].id, "");
    assert_true(told.total_in > 100 && told.total_in < 20000);
    assert_true(one + told.total_in <= all);
    ask(NULL, "/ipfs/bitswap/1.2.0");
    assert_int_equal(told.total_in, BULK);
    ask(NULL, "/ipfs/ping/1.0.0");
    assert_int_equal(told.total_in, 3 * 32);
    assert_int_equal(told.total_out, 3 * 32);
    ask(NULL, "/no/such/1");
    assert_int_equal(told.total_in + told.total_out, 0);
    nodes_end();
}

/* A machine may be slow, but no byte comes before its time. */
static void the_cap_holds_over_real_sockets(void **state)
{
    (void)state;
    begin(2, INPROC, "Swarm.Bandwidth.Out=1MB");
    assert_int_equal(node_connect(0, 1), ERR_OK);
    uint64_t before = clock_mono_ns();
    send_bulk(0, 1, BULK);
    nodes_await(received_by_1);
    assert_true(clock_mono_ns() - before > 2500 * MS_NS);
    assert_int_equal(nodes[1].mismatches, 0);
    nodes_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_leaves_keeps_to_the_cap),
        cmocka_unit_test(what_comes_keeps_to_the_cap),
        cmocka_unit_test(a_peer_keeps_to_its_cap_each_way),
        cmocka_unit_test(a_protocol_keeps_to_its_cap_each_way),
        cmocka_unit_test(a_stream_for_each_message_does_not_pass_the_cap),
        cmocka_unit_test(two_peers_share_the_cap),
        cmocka_unit_test(bytes_are_counted_by_peer_and_protocol),
        cmocka_unit_test(the_cap_holds_over_real_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
