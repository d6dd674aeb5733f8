/* SPDX-License-Identifier: MIT */
/* Nodes of one simulated segment find and dial each other without being told of one another; those of another segment are not found. */
#include "actors/discovery/neighbours.h"
#include "helper_nodes.h"
#include "wire/mdns_message.h"

enum { STRANGER = 3 };

/* Nodes 0 to 2 on one segment, 3 on another; all addresses are of one network, so only the segment keeps them apart. */
static void on_segments(struct node *n)
{
    n->discovers = true;
    n->segment = n->index == STRANGER ? 7 : 0;
}

static void switched_off(struct node *n)
{
    char why[CONFIG_WHY_BYTES];
    n->discovers = true;
    if (n->index == 1)
        assert_int_equal(config_set(n->config, "Discovery.MDNS.Enabled", span_text("false"), why), ERR_OK);
}

/* peer_up for each of the two others: counted once per peer, whoever dialled. */
static bool three_found_each_other(void)
{
    return nodes[0].ups == 2 && nodes[1].ups == 2 && nodes[2].ups == 2;
}

static uint64_t neighbours_of(unsigned n)
{
    assert_int_equal(node_do(n, (struct command){.kind = CMD_MDNS}), ERR_OK);
    return nodes[n].rows;
}

static void nodes_of_a_segment_find_each_other(void **state)
{
    (void)state;
    nodes_begin(4, SIM, 11, on_segments);
    uint64_t began = sim_now(nodes_sim);
    nodes_await(three_found_each_other);
    assert_true(sim_now(nodes_sim) - began < 5 * SECOND_NS);
    nodes_pass_ms(30000);
    assert_int_equal(nodes[STRANGER].ups, 0);
    for (unsigned i = 0; i < STRANGER; i++)
        assert_int_equal(neighbours_of(i), 2);
    assert_int_equal(neighbours_of(STRANGER), 0);
    assert_int_equal(nodes[0].downs + nodes[1].downs + nodes[2].downs, 0);
    nodes_end();
}

static bool stranger_found(void)
{
    return nodes[STRANGER].ups >= 3; /* two that dial each other at once have two connections */
}

static void a_node_that_moves_to_the_segment_is_found(void **state)
{
    (void)state;
    nodes_begin(4, SIM, 12, on_segments);
    nodes_await(three_found_each_other);
    nodes_pass_ms(300000); /* the others ask rarely by now: the newcomer's own question does it */
    assert_int_equal(nodes[STRANGER].ups, 0);
    sim_host_set_segment(nodes[STRANGER].host, 0);
    uint64_t moved = sim_now(nodes_sim);
    nodes_await(stranger_found);
    assert_true(sim_now(nodes_sim) - moved < 15 * SECOND_NS);
    nodes_end();
}

static void lost_datagrams_delay_only(void **state)
{
    (void)state;
    nodes_begin(4, SIM, 13, on_segments);
    for (unsigned from = 0; from < STRANGER; from++)
        for (unsigned to = 0; to < STRANGER; to++)
            sim_net_link(nodes_net, nodes[from].host, nodes[to].host)->connect_loss = 500;
    nodes_await(three_found_each_other);
    nodes_end();
}

static bool disconnected(void)
{
    return nodes[0].downs > 0 && nodes[1].downs > 0;
}

/* Found peers are a chance, no wish: a lost one is not sought, but found again when it is heard of again. */
static void a_lost_neighbour_is_found_again(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 14, on_segments);
    nodes_pass_ms(20000);
    assert_true(nodes[0].ups == 1 && nodes[1].ups == 1);
    sim_host_set_segment(nodes[1].host, 9);
    nodes_pass_ms(20000);
    sim_net_reset(nodes_net, nodes[0].host, nodes[1].host);
    nodes_await(disconnected);
    nodes_pass_ms(120000);
    assert_int_equal(nodes[0].ups + nodes[1].ups, 2); /* out of hearing */
    sim_host_set_segment(nodes[1].host, 0);
    nodes_pass_ms(90000);
    assert_true(nodes[0].ups >= 2 && nodes[1].ups >= 2);
    nodes_end();
}

static void who_is_switched_off_is_not_found(void **state)
{
    (void)state;
    nodes_begin(3, SIM, 15, switched_off);
    nodes_pass_ms(60000);
    assert_int_equal(nodes[0].ups, 1);
    assert_int_equal(nodes[1].ups, 0);
    assert_int_equal(nodes[2].ups, 1);
    assert_int_equal(neighbours_of(1), 0);
    nodes_end();
}

/* A host that is no node: it invents a peer a millisecond, some where nobody is, some at the nodes' own addresses, and sends noise. */
struct liar {
    struct sim_host *host;
    struct multicast *multicast;
    uint32_t link;
    uint32_t number;
};

static void hear_nothing(void *arg, const struct multicast_datagram *datagram)
{
    (void)arg;
    (void)datagram;
}

static void lie(struct liar *liar)
{
    const struct multicast_port *port = sim_host_multicast(liar->host);
    const struct mdns_asked asked = {.peers = true};
    uint8_t random[64] = {1};
    uint8_t key[36] = {0x08, 0x01, 0x12, 0x20};
    struct net_addr ip = sim_net_ip(liar->number % 3 == 0 ? 1 : 1000 + liar->number % 256);
    struct mdns_names names;
    struct buf message;
    memcpy(key + 4, &liar->number, sizeof(liar->number));
    memcpy(random + 1, &liar->number, sizeof(liar->number));
    struct peer_id peer = peer_id_of_key(span_of(key, sizeof(key)));
    struct multiaddr addr = multiaddr_of_tcp(span_of(ip.ip, 4), 4001);
    struct span addrs = multiaddr_span(&addr);
    mdns_names_init(&names, random);
    buf_init(&message, MDNS_MESSAGE_BYTES_MAX, NULL);
    assert_int_equal(mdns_write_answer(&names, &asked, &peer, &addrs, 1, &message), ERR_OK);
    if (liar->number % 5 == 0)
        message.data[liar->number % message.len] ^= 0xff;
    assert_int_equal(port->send(liar->multicast, liar->link, NET_IP4, message.data, message.len), ERR_OK);
    buf_release(&message);
    liar->number++;
}

static void a_liar_on_the_segment_costs_little(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 18, on_segments);
    struct net_addr ip = sim_net_ip(99);
    struct liar liar = {.host = sim_net_add_host(nodes_net, &ip)};
    const struct multicast_port *port = sim_host_multicast(liar.host);
    struct multicast_addr addr;
    size_t count;
    assert_int_equal(port->open(port->self, hear_nothing, NULL, &liar.multicast), ERR_OK);
    assert_int_equal(port->join(liar.multicast, &addr, 1, &count), ERR_OK);
    liar.link = addr.link;
    for (int i = 0; i < 10000; i++) {
        lie(&liar);
        nodes_pass_ms(1);
    }
    assert_int_equal(nodes[0].ups, 1); /* they have found each other all the same */
    assert_int_equal(nodes[1].ups, 1);
    uint64_t most = 1 + NEIGHBOURS_SOURCE_BURST + 10000 / NEIGHBOURS_SOURCE_REFILL_MS;
    assert_true(neighbours_of(0) <= most && neighbours_of(1) <= most);
    port->close(liar.multicast);
    nodes_end();
}

static uint64_t trace_of_run(uint64_t seed)
{
    nodes_begin(4, SIM, seed, on_segments);
    nodes_await(three_found_each_other);
    uint64_t trace = nodes_trace();
    nodes_end();
    return trace;
}

static void a_seed_repeats(void **state)
{
    (void)state;
    uint64_t first = trace_of_run(16);
    assert_int_equal(trace_of_run(16), first);
    assert_int_not_equal(trace_of_run(17), first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_of_a_segment_find_each_other),
        cmocka_unit_test(a_node_that_moves_to_the_segment_is_found),
        cmocka_unit_test(lost_datagrams_delay_only),
        cmocka_unit_test(a_lost_neighbour_is_found_again),
        cmocka_unit_test(who_is_switched_off_is_not_found),
        cmocka_unit_test(a_liar_on_the_segment_costs_little),
        cmocka_unit_test(a_seed_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
