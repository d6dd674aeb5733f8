/* SPDX-License-Identifier: MIT */
/*
 * What a request sets off in other actors, at whole nodes of one simulated network: it is in the request's trace whatever turn it falls in,
 * ends when the request is given up, and what was found by the deadline is answered as a part.
 */
#include "helper_nodes.h"

#include <string.h>

#include "mailbox/ctx.h"
#include "mailbox/hop_tree.h"

enum { MIDDLE = 0, SOURCE = 1, SEEKER = 2, COUNT = 3, TRACE = INT32_MAX, WITHIN_MS = 4000, NEVER = UINT8_MAX };

static const char content[] = "what is far away";
static struct span block;
static struct trace_hop rows[256];
static size_t row_count;

static void set(struct node *n, const char *key, const char *value)
{
    char why[CONFIG_WHY_BYTES];
    assert_int_equal(config_set(n->config, key, span_text(value), why), ERR_OK);
}

static void whole_on_lan(struct node *n)
{
    set(n, "Discovery.MDNS.Enabled", "false");
    set(n, "Routing.Type", "auto");
    set(n, "Provide.Strategy", n->index == SOURCE ? "all" : "off");
}

/* The source has the block, as the others know, and does not answer the seeker any more. */
static void begin_far_away(uint64_t seed)
{
    nodes_whole = true;
    nodes_begin(COUNT, SIM, seed, whole_on_lan);
    block = span_of(content, sizeof(content));
    for (unsigned i = 1; i < COUNT; i++)
        assert_int_equal(node_connect(i, MIDDLE), ERR_OK);
    nodes_pass_ms(10000);
    assert_int_equal(node_do(SOURCE, (struct command){.kind = CMD_PUT, .payload = block}), ERR_OK);
    nodes_pass_ms(15000);
    (void)node_do(SEEKER, (struct command){.kind = CMD_DISCONNECT, .target = SOURCE});
    sim_net_partition(nodes_net, nodes[SEEKER].host, nodes[SOURCE].host, true);
    nodes_pass_ms(1000);
}

static void read_trace(unsigned node)
{
    static struct hop_event events[HOPS_MAX];
    bool whole = false;
    size_t count = hops_read(nodes[node].rt->hops, TRACE, events, HOPS_MAX);
    row_count = hop_tree_make(events, count, rows, ARRAY_LEN(rows), &whole);
    assert_true(whole);
}

/* How the last call of a kind from one actor to another ended, and that it is there; NEVER: it has not. */
static uint8_t end_of(actor_id from, actor_id to, uint16_t kind)
{
    for (size_t i = row_count; i > 0; i--) {
        const struct trace_hop *row = &rows[i - 1];
        if (row->what == TRACE_CALL && row->from == from && row->to == to && row->kind == kind)
            return row->ended ? row->err : NEVER;
    }
    fail_msg("among %zu rows is no call %#x from %u to %u", row_count, kind, from, to);
    return NEVER;
}

/* ---- a fetch ---- */

static void what_a_fetch_set_off_ends_with_it(void **state)
{
    (void)state;
    begin_far_away(1);
    struct command fetch = {.kind = CMD_FETCH, .payload = block, .within_ms = WITHIN_MS, .trace = TRACE};
    assert_int_equal(node_do(SEEKER, fetch), ERR_TIMEOUT);
    nodes_pass_ms(100);
    read_trace(SEEKER);
    assert_int_equal(end_of(ACTOR_CONTROL, ACTOR_BITSWAP, MSG_FETCH), ERR_TIMEOUT);
    assert_int_equal(end_of(ACTOR_BITSWAP, ACTOR_TIERED_STORAGE, MSG_BLOCK_GET), ERR_NOT_FOUND);
    assert_int_equal(end_of(ACTOR_BITSWAP, ACTOR_DISCOVERY, MSG_FIND_PROVIDERS), ERR_CANCELLED);
    assert_int_equal(end_of(ACTOR_BITSWAP, ACTOR_CONNECTION_MANAGER, MSG_PEER_CONNECT), ERR_CANCELLED);
    assert_int_equal(end_of(ACTOR_DISCOVERY, ACTOR_CONNECTION_MANAGER, MSG_PEER_CONNECT), ERR_CANCELLED);
    for (size_t i = 0; i < row_count; i++)
        assert_true(rows[i].what != TRACE_CALL || rows[i].ended);
    nodes_end();
}

/* What came over the network in a later turn is stored for who asked. */
static void what_a_fetch_brings_is_stored_in_its_trace(void **state)
{
    (void)state;
    begin_far_away(2);
    struct command fetch = {.kind = CMD_FETCH, .payload = block, .trace = TRACE};
    assert_int_equal(node_do(MIDDLE, fetch), ERR_OK);
    nodes_pass_ms(100);
    read_trace(MIDDLE);
    assert_int_equal(end_of(ACTOR_BITSWAP, ACTOR_TIERED_STORAGE, MSG_BLOCK_PUT), ERR_OK);
    nodes_end();
}

/* ---- a cold block ---- */

static void with_a_folder_for_cold_blocks(struct node *n)
{
    set(n, "Tiers.Cold.Kind", "directory");
    set(n, "Tiers.Cold.Path", "/cold");
    set(n, "Tiers.Cold.PackBytes", "1MiB");
    budget_share_cold(&n->budget);
}

static void take_moved(struct node *n, const struct msg *answer)
{
    const struct msg_tier_moved *fields = answer->fields;
    uint64_t result = UINT64_MAX;
    size_t position = 0;
    (void)n;
    assert_true(schema_list_next_u64(&fields->results, &position, &result));
    assert_int_equal(result, ERR_OK);
}

static void make_it_cold(unsigned node)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct cid cid = nodes_cid_of(block);
    struct buf items;
    buf_init(&items, CID_BYTES_MAX + 8, NULL);
    assert_int_equal(schema_list_add_bytes(&items, span_of(bytes, cid_encode(&cid, bytes))), ERR_OK);
    const struct disk_port *disk = sim_disk_port(nodes[node].disk);
    assert_int_equal(disk->make_dir(disk->self, "/cold"), ERR_OK);
    nodes_pass_ms(90000); /* it is found when it is looked for again */
    struct msg_tier_move fields = {.cids = schema_list_of(&items, 1), .cold = true};
    const struct msg msg = {.kind = MSG_TIER_MOVE, .fields = &fields};
    assert_int_equal(node_do(node, (struct command){.kind = CMD_PUT, .payload = block}), ERR_OK);
    nodes_pass_ms(1000);
    struct command move = {.kind = CMD_ASK, .to = ACTOR_TIERED_STORAGE, .msg = &msg, .take = take_moved};
    assert_int_equal(node_do(node, move), ERR_OK);
    buf_release(&items);
    nodes_pass_ms(5000);
    node_restart(node); /* nothing is in memory */
    nodes_pass_ms(5000);
}

/* A job that hangs in its worker for the while that the caller has. */
static void a_cold_read_ends_with_who_asked(void **state)
{
    enum { TRIES_MAX = 200 };
    uint8_t end = ERR_OK;
    (void)state;
    nodes_whole = true;
    nodes_begin(1, SIM, 7, with_a_folder_for_cold_blocks);
    block = span_of(content, sizeof(content));
    make_it_cold(0);
    struct command has = {.kind = CMD_HAS, .payload = block, .within_ms = 1, .trace = TRACE};
    for (int i = 0; i < TRIES_MAX && end == ERR_OK; i++) {
        enum err err = node_do(0, has);
        nodes_pass_ms(100);
        read_trace(0);
        end = end_of(ACTOR_TIERED_STORAGE, ACTOR_COLD_STORE, MSG_COLD_READ);
        if (err == ERR_TIMEOUT)
            assert_int_equal(end, ERR_CANCELLED);
        node_restart(0);
        nodes_pass_ms(5000);
    }
    assert_int_equal(end, ERR_CANCELLED);
    nodes_end();
}

/* ---- what is found by the deadline ---- */

static bool partial;

static void take_partial(struct node *n, const struct msg *answer)
{
    atomic_store(&n->rows, 1);
    if (answer->kind == MSG_PROVIDERS) {
        const struct msg_providers *fields = answer->fields;
        atomic_store(&n->rows, fields->providers.count);
        partial = fields->partial;
    } else if (answer->kind == MSG_ROUTE_VALUE) {
        partial = ((const struct msg_route_value *)answer->fields)->partial;
    } else if (answer->kind == MSG_ROUTE_PUT_OK) {
        partial = ((const struct msg_route_put_ok *)answer->fields)->partial;
    }
}

static enum err ask_within(struct command command, uint64_t within_ms)
{
    partial = false;
    command.within_ms = within_ms;
    command.take = take_partial;
    return node_do(SEEKER, command);
}

static void providers_found_by_the_deadline_are_a_part(void **state)
{
    (void)state;
    struct command find = {.kind = CMD_PROVIDERS, .count = 5};
    begin_far_away(3);
    find.payload = block;
    assert_int_equal(ask_within(find, WITHIN_MS), ERR_OK);
    assert_true(partial && nodes[SEEKER].rows == 1);
    find.count = 1; /* is enough: it is whole */
    assert_int_equal(ask_within(find, WITHIN_MS), ERR_OK);
    assert_true(!partial && nodes[SEEKER].rows == 1);
    find.count = 5; /* who does not answer is given up in time */
    assert_int_equal(ask_within(find, 0), ERR_OK);
    assert_true(!partial && nodes[SEEKER].rows == 1);
    nodes_end();
}

static void what_was_not_found_by_the_deadline_may_be_there(void **state)
{
    struct msg_find_peer fields = {0};
    const struct msg msg = {.kind = MSG_FIND_PEER, .fields = &fields};
    struct command find = {.kind = CMD_ASK, .to = ACTOR_DISCOVERY, .msg = &msg};
    struct peer_id nobody;
    (void)state;
    begin_far_away(4);
    nobody = nodes[SOURCE].id;
    nobody.bytes[nobody.len - 1] ^= 1;
    fields.peer = peer_id_span(&nobody);
    assert_int_equal(ask_within(find, WITHIN_MS), ERR_TIMEOUT);
    assert_non_null(strstr(nodes[SEEKER].text, "peers were asked"));
    assert_int_equal(ask_within(find, 0), ERR_NOT_FOUND);
    nodes_end();
}

static void the_best_value_by_the_deadline_is_a_part(void **state)
{
    (void)state;
    begin_far_away(5);
    struct span key = key_pair_public(nodes[MIDDLE].key);
    struct command put = {.kind = CMD_ROUTE_PUT, .target = MIDDLE, .payload = key};
    struct command get = {.kind = CMD_ROUTE_GET, .target = MIDDLE, .payload = key};
    assert_int_equal(ask_within(put, WITHIN_MS), ERR_OK);
    assert_true(partial);
    assert_int_equal(ask_within(get, WITHIN_MS), ERR_OK);
    assert_true(partial);
    get.count = 1;
    assert_int_equal(ask_within(get, WITHIN_MS), ERR_OK);
    assert_false(partial);
    nodes_end();
}

/* ---- deadlines ---- */

static void what_is_asked_for_an_explanation_has_no_more_time(void **state)
{
    uint8_t bytes[CID_BYTES_MAX];
    (void)state;
    begin_far_away(6);
    struct cid cid = nodes_cid_of(block);
    struct msg_heat_explain fields = {.cid = span_of(bytes, cid_encode(&cid, bytes))};
    const struct msg msg = {.kind = MSG_HEAT_EXPLAIN, .fields = &fields};
    struct command explain = {
        .kind = CMD_ASK, .to = ACTOR_HEAT_TRACKER, .msg = &msg, .within_ms = WITHIN_MS, .trace = TRACE};
    assert_int_equal(node_do(SEEKER, explain), ERR_OK);
    nodes_pass_ms(100);
    read_trace(SEEKER);
    assert_int_equal(end_of(ACTOR_HEAT_TRACKER, ACTOR_TIERED_STORAGE, MSG_BLOCK_FACTS), ERR_OK);
    for (size_t i = 0; i < row_count; i++)
        assert_true(rows[i].what != TRACE_CALL || rows[i].deadline_ns <= rows[0].sent_ns + WITHIN_MS * MS_NS);
    nodes_end();
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_fetch_set_off_ends_with_it),
        cmocka_unit_test(what_a_fetch_brings_is_stored_in_its_trace),
        cmocka_unit_test(a_cold_read_ends_with_who_asked),
        cmocka_unit_test(providers_found_by_the_deadline_are_a_part),
        cmocka_unit_test(what_was_not_found_by_the_deadline_may_be_there),
        cmocka_unit_test(the_best_value_by_the_deadline_is_a_part),
        cmocka_unit_test(what_is_asked_for_an_explanation_has_no_more_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
