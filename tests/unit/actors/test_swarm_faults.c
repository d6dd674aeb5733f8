/* SPDX-License-Identifier: MIT */
/* Simulated swarms under faults: partitions, half-open hosts, resets, lost connects; round trips; seeds repeat. */
#include "helper_nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BULK = 3 * 1024 * 1024 };

static bool connected(void)
{
    return nodes[0].ups > 0 && nodes[1].ups > 0;
}

static bool bulk_received(void)
{
    return nodes[1].received == BULK && nodes[1].fins == 1;
}

static void a_partition_delays_and_loses_nothing(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 1, NULL);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_await(connected);
    sim_net_link(nodes_net, nodes[0].host, nodes[1].host)->bytes_per_second = 1000 * 1000;
    assert_int_equal(node_do(0, (struct command){.kind = CMD_SEND, .target = 1, .bytes = BULK}), ERR_OK);
    nodes_pass_ms(500);
    sim_net_partition(nodes_net, nodes[0].host, nodes[1].host, true);
    nodes_pass_ms(5000);
    uint64_t stuck = nodes[1].received;
    assert_true(stuck > 0 && stuck < BULK);
    sim_net_partition(nodes_net, nodes[0].host, nodes[1].host, false);
    nodes_await(bulk_received);
    assert_int_equal(nodes[1].mismatches, 0);
    assert_int_equal(nodes[0].downs + nodes[1].downs, 0);
    nodes_end();
}

static bool down0(void)
{
    return nodes[0].downs == 1;
}

static void a_half_open_peer_is_noticed_by_keepalive(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 2, NULL);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_await(connected);
    sim_net_partition(nodes_net, nodes[0].host, nodes[1].host, true);
    uint64_t before = sim_now(nodes_sim);
    nodes_await(down0);
    assert_true(sim_now(nodes_sim) - before <= 65 * SECOND_NS); /* ping after 30 s of silence, 30 s to answer */
    nodes_end();
}

static bool up_again(void)
{
    return nodes[0].ups >= 2 && nodes[1].ups >= 2;
}

static void a_reset_of_a_wanted_peer_is_healed(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 3, NULL);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_await(connected);
    sim_net_reset(nodes_net, nodes[0].host, nodes[1].host);
    uint64_t before = sim_now(nodes_sim);
    nodes_await(up_again);
    assert_true(sim_now(nodes_sim) - before <= 3 * SECOND_NS);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_SEND, .target = 1, .bytes = BULK}), ERR_OK);
    nodes_await(bulk_received);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_DISCONNECT, .target = 1}), ERR_OK);
    uint64_t ups = nodes[0].ups;
    nodes_pass_ms(30000);
    assert_int_equal(nodes[0].ups, ups); /* asked to be gone, it stays gone */
    nodes_end();
}

static void a_connect_that_nobody_answers_times_out(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 4, NULL);
    sim_net_link(nodes_net, nodes[0].host, nodes[1].host)->connect_loss = 1000;
    uint64_t before = sim_now(nodes_sim);
    assert_int_equal(node_connect(0, 1), ERR_TIMEOUT);
    assert_true(sim_now(nodes_sim) - before <= 6 * SECOND_NS);
    assert_int_equal(sim_host_sockets(nodes[0].host), 0);
    nodes_end();
}

static bool identified(void)
{
    return nodes[0].up_protocols >= 7;
}

/* What a peer serves is not known without it: who goes by protocols would never speak with the peer as long as the connection lasts. */
static void an_identify_that_failed_is_asked_for_again(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 8, NULL);
    struct sim_link *back = sim_net_link(nodes_net, nodes[1].host, nodes[0].host);
    uint64_t usual = back->bytes_per_second;
    back->bytes_per_second = 60; /* enough for the handshake, not for what identify says in five seconds */
    assert_int_equal(node_connect(0, 1), ERR_OK);
    assert_int_equal(nodes[0].up_protocols, 0);
    back->bytes_per_second = usual;
    nodes_await(identified);
    assert_int_equal(nodes[0].downs, 0);
    nodes_end();
}

static uint64_t opened_at;

static bool stream_arrived(void)
{
    opened_at = sim_now(nodes_sim);
    return nodes[1].received > 0;
}

static void odd_ones_listen_for_websocket(struct node *n)
{
    char why[CONFIG_WHY_BYTES];
    if (n->index % 2 == 1)
        assert_int_equal(config_set(n->config, "Addresses.Swarm", span_text("/ip4/0.0.0.0/tcp/8081/ws"), why), ERR_OK);
}

static void expect_round_trips(uint64_t trips, void (*change)(struct node *))
{
    nodes_begin(2, SIM, 5, change);
    enum { HALF_MS = 500 };
    sim_net_link(nodes_net, nodes[0].host, nodes[1].host)->latency_ns = HALF_MS * MS_NS;
    sim_net_link(nodes_net, nodes[1].host, nodes[0].host)->latency_ns = HALF_MS * MS_NS;
    uint64_t start = sim_now(nodes_sim);
    assert_int_equal(node_connect(0, 1), ERR_OK); /* until identified: TCP, Noise, identify */
    uint64_t took = sim_now(nodes_sim) - start;
    assert_true(took >= trips * 2 * HALF_MS * MS_NS);
    assert_true(took < trips * 2 * HALF_MS * MS_NS + 100 * MS_NS);
    start = sim_now(nodes_sim);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_SEND, .target = 1, .bytes = 1000}), ERR_OK);
    nodes_await(stream_arrived);
    assert_true(opened_at - start < HALF_MS * MS_NS + 100 * MS_NS); /* optimistic: half a round trip */
    nodes_end();
}

/* TCP, Noise messages 1 and 2, then everything else in one flight: 3 round trips to the first byte of an answer, 2.5 to arrive. */
static void the_first_bytes_arrive_within_three_round_trips(void **state)
{
    (void)state;
    expect_round_trips(3, NULL);
}

static void over_websocket_http_costs_one_more(void **state)
{
    (void)state;
    expect_round_trips(4, odd_ones_listen_for_websocket);
}

static void both_dial_at_once_and_keep_both(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 6, NULL);
    node_give(0, (struct command){.kind = CMD_CONNECT, .target = 1});
    assert_int_equal(node_connect(1, 0), ERR_OK);
    nodes_await(connected);
    nodes_pass_ms(1000);
    nodes[0].command_state = 0;
    assert_int_equal(node_do(0, (struct command){.kind = CMD_PEERS}), ERR_OK);
    assert_true(nodes[0].rows >= 1);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_SEND, .target = 1, .bytes = BULK}), ERR_OK);
    nodes_await(bulk_received);
    assert_int_equal(nodes[0].downs, 0);
    nodes_end();
}

static uint64_t chaos(uint64_t seed)
{
    nodes_begin(4, SIM, seed, odd_ones_listen_for_websocket);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 4; k++) {
            struct sim_link *link = sim_net_link(nodes_net, nodes[i].host, nodes[k].host);
            link->jitter_ns = 20 * MS_NS;
            link->latency_ns = sim_below(nodes_sim, 100) * MS_NS;
            link->connect_loss = 200;
            link->buffer_bytes = 20000;
        }
    for (int round = 0; round < 20; round++) {
        unsigned a = (unsigned)sim_below(nodes_sim, 4);
        unsigned b = (a + 1 + (unsigned)sim_below(nodes_sim, 3)) % 4;
        uint64_t what = sim_below(nodes_sim, 4);
        if (what == 0)
            sim_net_reset(nodes_net, nodes[a].host, nodes[b].host);
        if (what == 1)
            sim_net_partition(nodes_net, nodes[a].host, nodes[b].host, true);
        (void)node_connect(a, b);
        (void)node_do(a, (struct command){.kind = CMD_SEND, .target = b, .bytes = 50000});
        nodes_pass_ms(sim_below(nodes_sim, 3000));
        sim_net_partition(nodes_net, nodes[a].host, nodes[b].host, false);
    }
    nodes_pass_ms(60000);
    for (unsigned i = 0; i < 4; i++) /* after the storm every pair can connect */
        for (unsigned k = 0; k < 4; k++) {
            sim_net_link(nodes_net, nodes[i].host, nodes[k].host)->connect_loss = 0;
            if (i != k)
                assert_int_equal(node_connect(i, k), ERR_OK);
        }
    uint64_t trace = nodes_trace();
    nodes_end(); /* looks at each account: nothing leaked */
    return trace;
}

static void storms_heal_and_their_seeds_repeat(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++)
        assert_true(chaos(seed) == chaos(seed));
}

static bool knows_new_address(void)
{
    return nodes[0].ups > 1;
}

/* A laptop changes its network: who is connected hears of the new address by a push, within the report period and its debounce. */
static void addresses_that_change_are_pushed(void **state)
{
    (void)state;
    struct net_addr moved = {.family = NET_IP4, .ip = {10, 77, 77, 77}};
    nodes_begin(2, SIM, 21, NULL);
    assert_int_equal(node_connect(1, 0), ERR_OK);
    nodes_pass_ms(1000);
    assert_int_equal(nodes[0].ups, 1);
    sim_host_rename(nodes[1].host, &moved);
    nodes_await(knows_new_address);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_KNOWN, .target = 1}), ERR_OK);
    assert_non_null(strstr(nodes[0].text, "/ip4/10.77.77.77/tcp/4001"));
    nodes_pass_ms(20000);
    assert_int_equal(nodes[0].ups, 2); /* once */
    nodes_end();
}

/* What is known of peers outlives the process, in state.db. */
static void peers_are_known_after_a_restart(void **state)
{
    (void)state;
    nodes_whole = true;
    nodes_begin(2, SIM, 22, NULL);
    assert_int_equal(node_connect(1, 0), ERR_OK);
    nodes_pass_ms(3000); /* rows are written within a second */
    node_restart(1);
    nodes_pass_ms(1000);
    assert_int_equal(node_do(1, (struct command){.kind = CMD_PEERS}), ERR_OK);
    assert_int_equal(nodes[1].rows, 0);
    assert_int_equal(node_do(1, (struct command){.kind = CMD_KNOWN, .target = 0}), ERR_OK);
    assert_non_null(strstr(nodes[1].text, "/tcp/4001"));
    nodes_end();
}

/* connection_manager, which ends when it is asked for its limits; what it leaves of the receive account then goes to others. */
static uint64_t others_have;

static enum err mortal_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    if (msg->kind == MSG_SWARM_RESOURCES)
        ctx_exit(ctx, EXIT_FAILED, "as the test wants it");
    return connection_manager_class.handle_call(ctx, state, msg, call);
}

static void mortal_terminate(struct ctx *ctx, void *state, enum exit_reason reason)
{
    struct account *receive = &ctx_budget(ctx)->accounts[ACCOUNT_RECEIVE];
    connection_manager_class.terminate(ctx, state, reason);
    if (others_have != 0)
        return;
    others_have = account_free(receive);
    if (!account_take(receive, others_have))
        abort();
}

static void one_is_mortal(struct node *n)
{
    static struct actor_class mortal;
    mortal = connection_manager_class;
    mortal.handle_call = mortal_call;
    mortal.terminate = mortal_terminate;
    n->manager = n->index == 0 ? &mortal : NULL;
}

/* What the life before received is with others still when the next one begins: that begins later, and the account stays right. */
static void a_start_without_room_is_tried_again(void **state)
{
    (void)state;
    others_have = 0;
    nodes_begin(2, SIM, 12, one_is_mortal);
    struct account *receive = &nodes[0].budget.accounts[ACCOUNT_RECEIVE];
    struct msg_swarm_resources fields = {0};
    struct msg msg = {.kind = MSG_SWARM_RESOURCES, .fields = &fields};
    assert_int_not_equal(node_do(0, (struct command){.kind = CMD_ASK, .msg = &msg}), ERR_OK);
    nodes_pass_ms(50);
    assert_true(others_have == receive->limit_bytes && account_used(receive) == others_have);
    account_give(receive, others_have);
    nodes_pass_ms(1000);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    others_have = 1;
    nodes_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_that_change_are_pushed),
        cmocka_unit_test(a_start_without_room_is_tried_again),
        cmocka_unit_test(peers_are_known_after_a_restart),
        cmocka_unit_test(a_partition_delays_and_loses_nothing),
        cmocka_unit_test(a_half_open_peer_is_noticed_by_keepalive),
        cmocka_unit_test(a_reset_of_a_wanted_peer_is_healed),
        cmocka_unit_test(a_connect_that_nobody_answers_times_out),
        cmocka_unit_test(an_identify_that_failed_is_asked_for_again),
        cmocka_unit_test(the_first_bytes_arrive_within_three_round_trips),
        cmocka_unit_test(over_websocket_http_costs_one_more),
        cmocka_unit_test(both_dial_at_once_and_keep_both),
        cmocka_unit_test(storms_heal_and_their_seeds_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
