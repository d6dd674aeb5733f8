/* SPDX-License-Identifier: MIT */
/* Rules and filters at the level of whole nodes, simulated: who comes in, who is dialled, what a change closes. */
#include "helper_nodes.h"

#include <stdio.h>
#include <string.h>

#include "base/ip_network.h"

static void set(struct node *n, const char *key, const char *value)
{
    char why[CONFIG_WHY_BYTES];
    if (config_set(n->config, key, span_text(value), why) != ERR_OK)
        fail_msg("%s", why);
}

static bool connected(void)
{
    return nodes[0].ups > 0 && nodes[1].ups > 0;
}

static bool parted(void)
{
    return nodes[0].downs > 0 && nodes[1].downs > 0;
}

static uint64_t denied;

static void note_filters(struct node *n, const struct msg *answer)
{
    const struct msg_swarm_filters_ok *fields = answer->fields;
    size_t position = 0;
    struct span text;
    n->text[0] = '\0';
    denied = fields->denied;
    while (schema_list_next_bytes(&fields->filters, &position, &text))
        (void)snprintf(n->text + strlen(n->text), sizeof(n->text) - strlen(n->text), "%.*s\n", (int)text.len,
                       (const char *)text.data);
}

static enum err change(bool remove, const char *const *filters, uint32_t count)
{
    struct buf items;
    buf_init(&items, 4096, NULL);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(schema_list_add_text(&items, span_text(filters[i])), ERR_OK);
    struct msg_swarm_filters_change fields = {.remove = remove, .filters = schema_list_of(&items, count)};
    struct msg msg = {.kind = MSG_SWARM_FILTERS_CHANGE, .fields = &fields};
    enum err err = node_do(0, (struct command){.kind = CMD_ASK, .msg = &msg, .take = note_filters});
    buf_release(&items);
    return err;
}

static const char *filters(void)
{
    struct msg_swarm_filters fields = {0};
    struct msg msg = {.kind = MSG_SWARM_FILTERS, .fields = &fields};
    assert_int_equal(node_do(0, (struct command){.kind = CMD_ASK, .msg = &msg, .take = note_filters}), ERR_OK);
    return nodes[0].text;
}

/* The filter of exactly this node's address. */
static void filter_of(unsigned node, char to[IP_NETWORK_TEXT_MAX])
{
    struct net_addr addr = sim_net_ip(node + 1);
    struct ip_network n = {.bits = 128};
    ip_map(addr.ip, true, n.ip);
    ip_network_text(&n, to);
}

static void a_change_closes_what_it_denies(void **state)
{
    (void)state;
    char first[IP_NETWORK_TEXT_MAX];
    filter_of(1, first);
    const char *const list[] = {first};
    nodes_begin(3, SIM, 1, NULL);
    assert_int_equal(node_connect(1, 0), ERR_OK);
    assert_int_equal(node_connect(2, 0), ERR_OK);
    nodes_await(connected);
    assert_int_equal(change(false, list, 1), ERR_OK);
    assert_non_null(strstr(nodes[0].text, first));
    nodes_await(parted);
    assert_int_not_equal(node_connect(0, 1), ERR_OK);
    assert_non_null(strstr(nodes[0].text, "Swarm.AddrFilters"));
    assert_int_not_equal(node_connect(1, 0), ERR_OK);
    assert_int_equal(nodes[2].downs, 0);
    assert_non_null(strstr(filters(), first));
    assert_true(denied >= 3);
    assert_int_equal(change(true, list, 1), ERR_OK);
    assert_string_equal(filters(), "");
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_end();
}

/* As control tells it after a restart: nobody is answered, and who is denied goes. */
static void filters_are_told_again(void **state)
{
    (void)state;
    char first[IP_NETWORK_TEXT_MAX];
    struct buf items;
    filter_of(1, first);
    nodes_begin(2, SIM, 5, NULL);
    assert_int_equal(node_connect(1, 0), ERR_OK);
    nodes_await(connected);
    buf_init(&items, 4096, NULL);
    assert_int_equal(schema_list_add_text(&items, span_text(first)), ERR_OK);
    struct msg_swarm_filters_change fields = {.filters = schema_list_of(&items, 1)};
    struct msg msg = {.kind = MSG_SWARM_FILTERS_CHANGE, .fields = &fields};
    assert_int_equal(node_do(0, (struct command){.kind = CMD_TELL, .msg = &msg}), ERR_OK);
    nodes_await(parted);
    assert_non_null(strstr(filters(), first));
    assert_int_not_equal(node_connect(1, 0), ERR_OK);
    buf_release(&items);
    nodes_end();
}

static void filters_are_changed_all_or_none(void **state)
{
    (void)state;
    const char *const bad[] = {"/ip4/10.0.0.0/ipcidr/8", "/ip4/10.0.0.0/8"};
    const char *const good[] = {"/ip4/10.0.0.0/ipcidr/8", "/ip6/2001:db8::/ipcidr/32"};
    const char *const all[] = {"all"};
    nodes_begin(1, SIM, 2, NULL);
    assert_int_equal(change(false, bad, 2), ERR_INVALID);
    assert_non_null(strstr(nodes[0].text, "/ip4/10.0.0.0/8"));
    assert_string_equal(filters(), "");
    assert_int_equal(change(false, all, 1), ERR_INVALID);
    assert_int_equal(change(false, good, 2), ERR_OK);
    assert_int_equal(change(false, good, 1), ERR_OK);
    assert_string_equal(nodes[0].text, ""); /* it was there */
    assert_string_equal(filters(), "/ip4/10.0.0.0/ipcidr/8\n/ip6/2001:db8::/ipcidr/32\n");
    assert_int_equal(change(true, all, 1), ERR_OK);
    assert_string_equal(nodes[0].text, "/ip4/10.0.0.0/ipcidr/8\n/ip6/2001:db8::/ipcidr/32\n");
    assert_string_equal(filters(), "");
    nodes_end();
}

static void only_friends(struct node *n)
{
    char text[200];
    char id[PEER_ID_TEXT_MAX];
    uint8_t seed[ED25519_SEED_BYTES] = {0x42, 2}; /* helper_nodes: that of node 2 */
    struct key_pair *key;
    if (n->index != 0)
        return;
    assert_int_equal(key_pair_of_seed(seed, &key), ERR_OK);
    struct peer_id peer = key_pair_peer_id(key);
    key_pair_free(key);
    peer_id_text(&peer, id);
    (void)snprintf(text, sizeof(text), "allow %s, deny all", id);
    set(n, "Swarm.PeerRules", text);
}

/* Both share the address's verdict "perhaps"; the id decides after the upgrade, in either direction. */
static void only_who_is_allowed_by_id_stays(void **state)
{
    (void)state;
    nodes_begin(3, SIM, 3, only_friends);
    assert_int_equal(node_connect(2, 0), ERR_OK);
    assert_int_not_equal(node_connect(1, 0), ERR_OK);
    assert_int_not_equal(node_connect(0, 1), ERR_OK);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_PEERS}), ERR_OK);
    assert_int_equal(nodes[0].rows, 1);
    assert_int_equal(nodes[0].ups, 1);
    nodes_end();
}

static void deny_the_world(struct node *n)
{
    if (n->index == 0)
        set(n, "Swarm.AddrFilters", "/ip4/0.0.0.0/ipcidr/0");
}

static uint64_t moved;

static void note_moved(struct node *n, const struct msg *answer)
{
    const struct msg_stats_bw_ok *fields = answer->fields;
    (void)n;
    moved = fields->total_in + fields->total_out;
}

/* Before a byte is spent on it, whoever dials. */
static void a_denied_address_is_closed_at_once(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 4, deny_the_world);
    uint64_t before = sim_now(nodes_sim);
    moved = 1;
    assert_int_not_equal(node_connect(1, 0), ERR_OK);
    assert_true(sim_now(nodes_sim) - before < 5 * SECOND_NS);
    assert_int_not_equal(node_connect(0, 1), ERR_OK);
    assert_int_equal(nodes[0].ups, 0);
    struct msg_stats_bw fields = {0};
    struct msg msg = {.kind = MSG_STATS_BW, .fields = &fields};
    assert_int_equal(node_do(0, (struct command){.kind = CMD_ASK, .msg = &msg, .take = note_moved}), ERR_OK);
    assert_int_equal(moved, 0);
    assert_string_equal(filters(), "/ip4/0.0.0.0/ipcidr/0\n");
    nodes_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_closes_what_it_denies),     cmocka_unit_test(filters_are_told_again),
        cmocka_unit_test(filters_are_changed_all_or_none),    cmocka_unit_test(only_who_is_allowed_by_id_stays),
        cmocka_unit_test(a_denied_address_is_closed_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
