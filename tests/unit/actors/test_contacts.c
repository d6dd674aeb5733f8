/* SPDX-License-Identifier: MIT */
/* Nodes that know of each other by a name alone: bootstrap by /dnsaddr, again when it fails, peering in both directions, over restarts. */
#include <stdio.h>
#include <string.h>

#include "actors/discovery/keeper.h"
#include "helper_nodes.h"

static const char *key_to_set;
static char value_to_set[256];
static unsigned who;
static enum err names_fail;

static void id_text(unsigned n, char text[PEER_ID_TEXT_MAX])
{
    uint8_t seed[ED25519_SEED_BYTES] = {0x42, (uint8_t)n};
    struct key_pair *key;
    assert_int_equal(key_pair_of_seed(seed, &key), ERR_OK);
    struct peer_id id = key_pair_peer_id(key);
    peer_id_text(&id, text);
    key_pair_free(key);
}

/* A record of a name for a node: where it listens. */
static void add_record(const char *name, unsigned n)
{
    char id[PEER_ID_TEXT_MAX];
    char text[256];
    struct net_addr ip = sim_net_ip(n + 1);
    id_text(n, id);
    (void)snprintf(text, sizeof(text), "dnsaddr=/ip4/%u.%u.%u.%u/tcp/4001/p2p/%s", ip.ip[0], ip.ip[1], ip.ip[2],
                   ip.ip[3], id);
    assert_int_equal(sim_zone_add_txt(nodes_zone, name, text), ERR_OK);
}

static void configure(struct node *n)
{
    char why[CONFIG_WHY_BYTES];
    n->discovers = true;
    assert_int_equal(config_set(n->config, "Discovery.MDNS.Enabled", span_text("false"), why), ERR_OK);
    if (n->index == who)
        assert_int_equal(config_set(n->config, key_to_set, span_text(value_to_set), why), ERR_OK);
    if (n->index == 0) {
        sim_zone_fail(nodes_zone, names_fail);
        add_record("_dnsaddr.boot.test", 1);
        add_record("_dnsaddr.boot.test", 2);
    }
}

static void set_dnsaddr(unsigned n, const char *key, unsigned target)
{
    char id[PEER_ID_TEXT_MAX];
    id_text(target, id);
    who = n;
    key_to_set = key;
    (void)snprintf(value_to_set, sizeof(value_to_set), "/dnsaddr/boot.test/p2p/%s", id);
}

static bool first_two_met(void)
{
    return nodes[0].ups >= 1 && nodes[1].ups >= 1;
}

static void a_name_is_enough_to_bootstrap(void **state)
{
    (void)state;
    set_dnsaddr(0, "Bootstrap", 1);
    nodes_begin(3, SIM, 31, configure);
    nodes_await(first_two_met);
    nodes_pass_ms(60000);
    assert_int_equal(nodes[2].ups, 0);            /* the record of another peer */
    assert_true(sim_zone_asked(nodes_zone) <= 2); /* the first dial found nobody there yet */
    nodes_end();
}

static void names_that_fail_are_asked_for_again_with_pauses(void **state)
{
    (void)state;
    set_dnsaddr(0, "Bootstrap", 1);
    names_fail = ERR_TIMEOUT;
    nodes_begin(2, SIM, 32, configure);
    names_fail = ERR_OK;
    nodes_pass_ms(120000);
    assert_int_equal(nodes[0].ups, 0);
    uint64_t asked = sim_zone_asked(nodes_zone);
    assert_true(asked >= 3 && asked <= 8); /* 5, 10, 20, 40 s, half to all of each */
    sim_zone_fail(nodes_zone, ERR_OK);
    nodes_await(first_two_met);
    nodes_end();
}

static bool met_again(void)
{
    return nodes[0].ups >= 2;
}

static void a_lost_bootstrap_peer_comes_back(void **state)
{
    (void)state;
    set_dnsaddr(0, "Bootstrap", 1);
    nodes_begin(2, SIM, 33, configure);
    nodes_await(first_two_met);
    sim_net_reset(nodes_net, nodes[0].host, nodes[1].host);
    nodes_await(met_again);
    nodes_end();
}

/* The name has an answer no more: the node remembers who was there. Whole nodes, since state is asked. */
static void peers_of_an_earlier_life_are_found_without_names(void **state)
{
    (void)state;
    nodes_whole = true;
    set_dnsaddr(0, "Bootstrap", 1);
    nodes_begin(2, SIM, 34, configure);
    nodes_pass_ms(30000);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_PEERS}), ERR_OK);
    assert_int_equal(nodes[0].rows, 1);
    sim_zone_fail(nodes_zone, ERR_UNREACHABLE);
    node_restart(0);
    nodes_pass_ms(60000);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_PEERS}), ERR_OK);
    assert_int_equal(nodes[0].rows, 1);
    nodes_end();
}

static void an_empty_list_dials_nobody(void **state)
{
    (void)state;
    who = 0;
    key_to_set = "Bootstrap";
    value_to_set[0] = '\0';
    nodes_begin(2, SIM, 35, configure);
    nodes_pass_ms(120000);
    assert_int_equal(nodes[0].ups + nodes[1].ups, 0);
    assert_int_equal(sim_zone_asked(nodes_zone), 0);
    nodes_end();
}

static void change_bootstrap(unsigned n, unsigned target, bool remove)
{
    char id[PEER_ID_TEXT_MAX];
    char addr[256];
    struct buf items;
    id_text(target, id);
    (void)snprintf(addr, sizeof(addr), "/dnsaddr/boot.test/p2p/%s", id);
    buf_init(&items, 1024, NULL);
    assert_int_equal(schema_list_add_text(&items, span_text(addr)), ERR_OK);
    struct msg_bootstrap_change fields = {.remove = remove, .addrs = schema_list_of(&items, 1)};
    struct msg msg = {.kind = MSG_BOOTSTRAP_CHANGE, .fields = &fields};
    assert_int_equal(node_do(n, (struct command){.kind = CMD_ASK, .to = ACTOR_DISCOVERY, .msg = &msg}), ERR_OK);
    buf_release(&items);
}

/* A running node takes one at once, and leaves alone at once what is one no more. */
static void bootstrap_peers_come_and_go(void **state)
{
    (void)state;
    who = 0;
    key_to_set = "Bootstrap";
    value_to_set[0] = '\0';
    nodes_begin(2, SIM, 37, configure);
    nodes_pass_ms(5000);
    assert_int_equal(nodes[0].ups, 0);
    change_bootstrap(0, 1, false);
    nodes_pass_ms(2000);
    assert_int_equal(nodes[0].ups, 1);
    change_bootstrap(0, 1, true);
    sim_net_reset(nodes_net, nodes[0].host, nodes[1].host);
    nodes_pass_ms(1200 * 1000);
    assert_int_equal(nodes[0].ups, 1);
    nodes_end();
}

static void a_peering_is_kept(void **state)
{
    (void)state;
    set_dnsaddr(0, "Peering.Peers", 1);
    nodes_begin(2, SIM, 36, configure);
    nodes_await(first_two_met);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = nodes[0].ups;
        sim_net_reset(nodes_net, nodes[0].host, nodes[1].host);
        nodes_pass_ms(30000);
        assert_true(nodes[0].ups > before);
    }
    nodes_end();
}

/* ---- peerings that come and go ---- */

static unsigned peerings;
static bool peering_is_connected;

static void note_peerings(struct node *n, const struct msg *answer)
{
    struct item_kept_peer row;
    size_t position = 0;
    (void)n;
    if (answer->kind != MSG_PEERING_LS_OK)
        return;
    peerings = ((const struct msg_peering_ls_ok *)answer->fields)->peers.count;
    while (schema_list_next_map(&((const struct msg_peering_ls_ok *)answer->fields)->peers, &schema_item_kept_peer,
                                &position, &row))
        peering_is_connected = row.connected;
}

static void ask_discovery(unsigned n, uint16_t kind, const void *fields)
{
    const struct msg msg = {.kind = kind, .fields = fields};
    const struct command ask = {.kind = CMD_ASK, .to = ACTOR_DISCOVERY, .msg = &msg, .take = note_peerings};
    assert_int_equal(node_do(n, ask), ERR_OK);
}

static void add_peering(unsigned n, unsigned target)
{
    struct msg_peering_add add = {.addr = span_text(nodes[target].addr)};
    ask_discovery(n, MSG_PEERING_ADD, &add);
}

static void one_of_few_connections(struct node *n)
{
    char why[CONFIG_WHY_BYTES];
    who = NODES_MAX;
    configure(n);
    if (n->index != 0)
        return;
    assert_int_equal(config_set(n->config, "Swarm.ConnMgr.LowWater", span_text("1"), why), ERR_OK);
    assert_int_equal(config_set(n->config, "Swarm.ConnMgr.HighWater", span_text("2"), why), ERR_OK);
    assert_int_equal(config_set(n->config, "Swarm.ConnMgr.GracePeriod", span_text("1s"), why), ERR_OK);
}

static bool others_went(void)
{
    return nodes[2].downs >= 3 && nodes[3].downs >= 3;
}

static bool it_went(void)
{
    return nodes[1].downs >= 1;
}

/* It had dialled us, and is silent longest. */
static void a_peering_is_protected_until_it_is_none(void **state)
{
    (void)state;
    nodes_begin(4, SIM, 37, one_of_few_connections);
    assert_int_equal(node_connect(1, 0), ERR_OK);
    nodes_pass_ms(2000);
    add_peering(0, 1);
    nodes_pass_ms(1000);
    ask_discovery(0, MSG_PEERING_LS, &(struct msg_peering_ls){0});
    assert_int_equal(peerings, 1);
    assert_true(peering_is_connected);
    assert_int_equal(node_connect(2, 0), ERR_OK);
    assert_int_equal(node_connect(3, 0), ERR_OK);
    nodes_await(others_went); /* and come again */
    assert_int_equal(nodes[1].downs, 0);
    struct msg_peering_rm rm = {.peer = peer_id_span(&nodes[1].id)};
    ask_discovery(0, MSG_PEERING_RM, &rm);
    nodes_await(it_went);
    nodes_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_enough_to_bootstrap),
        cmocka_unit_test(names_that_fail_are_asked_for_again_with_pauses),
        cmocka_unit_test(a_lost_bootstrap_peer_comes_back),
        cmocka_unit_test(peers_of_an_earlier_life_are_found_without_names),
        cmocka_unit_test(an_empty_list_dials_nobody),
        cmocka_unit_test(bootstrap_peers_come_and_go),
        cmocka_unit_test(a_peering_is_kept),
        cmocka_unit_test(a_peering_is_protected_until_it_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
