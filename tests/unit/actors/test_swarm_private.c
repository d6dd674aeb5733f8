/* SPDX-License-Identifier: MIT */
/* Private networks at the level of whole nodes, simulated: holders of the key trade bytes, nobody else gets in or out. */
#include "helper_nodes.h"

#include <stdio.h>
#include <string.h>

#include "wire/pnet.h"

enum { BULK = 3 * 1024 * 1024 };

static const uint8_t our_key[PNET_KEY_BYTES] = {1, 2, 3};
static const uint8_t other_key[PNET_KEY_BYTES] = {1, 2, 4};

/* Nodes 0 and 1 are of one network, 2 of none, 3 of another. */
static void keys(struct node *n)
{
    static const uint8_t *const of[] = {our_key, our_key, NULL, other_key};
    n->config->swarm_key = of[n->index];
}

static void keys_and_websocket(struct node *n)
{
    char why[CONFIG_WHY_BYTES];
    keys(n);
    assert_int_equal(config_set(n->config, "Addresses.Swarm", span_text("/ip4/0.0.0.0/tcp/4001/ws"), why), ERR_OK);
}

static bool bulk_received(void)
{
    return nodes[1].received == BULK && nodes[1].fins == 1;
}

static void trade(void)
{
    assert_int_equal(node_connect(0, 1), ERR_OK);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_SEND, .target = 1, .bytes = BULK}), ERR_OK);
    nodes_await(bulk_received);
    assert_int_equal(nodes[1].mismatches, 0);
    assert_int_equal(node_do(1, (struct command){.kind = CMD_PING, .target = 0}), ERR_OK);
}

static void holders_of_the_key_trade_bytes(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 1, keys);
    sim_net_link(nodes_net, nodes[0].host, nodes[1].host)->bytes_per_second = 2000 * 1000; /* reads end anywhere */
    trade();
    nodes_end();
}

static void the_same_over_websocket(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 2, keys_and_websocket);
    trade();
    nodes_end();
}

static void the_same_over_real_sockets(void **state)
{
    (void)state;
    nodes_begin(2, INPROC, 3, keys);
    trade();
    nodes_end();
}

/* Whoever dials, whether it has no key or another one; and the network goes on. */
static void nobody_else_gets_in_or_out(void **state)
{
    (void)state;
    nodes_begin(4, SIM, 4, keys);
    for (unsigned stranger = 2; stranger < 4; stranger++) {
        assert_int_not_equal(node_connect(stranger, 0), ERR_OK);
        assert_int_not_equal(node_connect(0, stranger), ERR_OK);
        assert_non_null(strstr(nodes[0].text, "swarm key"));
        assert_int_equal(nodes[stranger].ups, 0);
    }
    assert_int_not_equal(node_connect(2, 3), ERR_OK);
    assert_int_equal(nodes[0].ups, 0);
    trade();
    nodes_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holders_of_the_key_trade_bytes),
        cmocka_unit_test(the_same_over_websocket),
        cmocka_unit_test(the_same_over_real_sockets),
        cmocka_unit_test(nobody_else_gets_in_or_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
