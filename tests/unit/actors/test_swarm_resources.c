/* SPDX-License-Identifier: MIT */
/* Limits of peers at the level of whole nodes, simulated: a peer whose bytes are not used up waits, others do not. */
#include "helper_nodes.h"

#include <stdio.h>
#include <string.h>

#include "actors/connection_manager/dial_memory.h"
#include "actors/connection_manager/swarm.h"

enum { BULK = 8 * 1024 * 1024 };

static void small(struct node *n)
{
    char why[CONFIG_WHY_BYTES];
    if (n->index != 0)
        return;
    assert_int_equal(config_set(n->config, "Swarm.ResourceMgr.MaxMemory", span_text("1MiB"), why), ERR_OK);
    assert_int_equal(config_set(n->config, "Swarm.ResourceMgr.StreamsPerPeer", span_text("20"), why), ERR_OK);
    assert_int_equal(config_set(n->config, "Swarm.ResourceMgr.ConnsPerPeer", span_text("1"), why), ERR_OK);
}

static bool received(void)
{
    return nodes[0].received == BULK && nodes[0].fins == 1;
}

static uint64_t used_by_peer;
static uint64_t limit_of_peer;
static char shown[256];

static void take(struct node *n, const struct msg *answer)
{
    const struct msg_swarm_resources_ok *fields = answer->fields;
    struct item_resource row;
    size_t position = 0;
    char id[PEER_ID_TEXT_MAX];
    (void)n;
    peer_id_text(&nodes[1].id, id);
    used_by_peer = 0;
    while (schema_list_next_map(&fields->resources, &schema_item_resource, &position, &row)) {
        (void)snprintf(shown, sizeof(shown), "peer:%s", id);
        if (!span_equal_text(row.scope, shown) || !span_equal_text(row.name, "Memory"))
            continue;
        used_by_peer = row.used;
        limit_of_peer = row.limit;
    }
}

static void ask(void)
{
    struct msg_swarm_resources fields = {0};
    struct msg msg = {.kind = MSG_SWARM_RESOURCES, .fields = &fields};
    assert_int_equal(node_do(0, (struct command){.kind = CMD_ASK, .msg = &msg, .take = take}), ERR_OK);
}

/* More than it may have here stays in its socket and its windows; what is used up lets it go on, and nothing is lost. */
static void a_peer_may_have_half_of_the_bytes(void **state)
{
    (void)state;
    nodes_begin(3, SIM, 1, small);
    nodes[0].hold_credit = true;
    assert_int_equal(node_connect(1, 0), ERR_OK);
    assert_int_equal(node_connect(2, 0), ERR_OK);
    assert_int_equal(node_do(1, (struct command){.kind = CMD_SEND, .target = 0, .bytes = BULK}), ERR_OK);
    nodes_pass_ms(5000);
    ask();
    assert_int_equal(limit_of_peer, 512 * 1024);
    assert_int_equal(used_by_peer, nodes[0].received);
    assert_true(nodes[0].received > 0 && nodes[0].received <= 512 * 1024);
    assert_int_equal(node_do(2, (struct command){.kind = CMD_PING, .target = 0}), ERR_OK);
    assert_int_equal(nodes[0].downs, 0);
    nodes[0].release_credit = true;
    nodes_await(received);
    assert_int_equal(nodes[0].mismatches, 0);
    ask();
    assert_int_equal(used_by_peer, 0);
    nodes_end();
}

static void T1_streams_of_a_peer_are_capped_as_configured(void **state)
{
    (void)state;
    nodes_begin(3, SIM, 2, small);
    nodes[0].hold_credit = true;
    assert_int_equal(node_connect(1, 0), ERR_OK);
    struct command c = {.kind = CMD_SEND, .target = 0, .payload = span_text("x"), .count = 100};
    enum err err = node_do(1, c);
    assert_true(err == ERR_OK || err == ERR_BUSY);
    nodes_pass_ms(1000);
    assert_true(nodes[0].opened_in >= 10 && nodes[0].opened_in <= 20);
    assert_int_equal(nodes[0].downs, 0);
    assert_int_equal(node_connect(2, 0), ERR_OK);
    assert_int_equal(node_do(2, (struct command){.kind = CMD_PING, .target = 0}), ERR_OK);
    nodes_end();
}

/* ---- trimming ---- */

static void few(struct node *n)
{
    char why[CONFIG_WHY_BYTES];
    if (n->index != 0)
        return;
    assert_int_equal(config_set(n->config, "Swarm.ConnMgr.LowWater", span_text("2"), why), ERR_OK);
    assert_int_equal(config_set(n->config, "Swarm.ConnMgr.HighWater", span_text("3"), why), ERR_OK);
    assert_int_equal(config_set(n->config, "Swarm.ConnMgr.GracePeriod", span_text("0"), why), ERR_OK);
}

static void tell(uint16_t kind, const void *fields)
{
    struct msg msg = {.kind = kind, .fields = fields};
    assert_int_equal(node_do(0, (struct command){.kind = CMD_TELL, .msg = &msg}), ERR_OK);
}

static void who_is_worth_most_or_protected_stays(void **state)
{
    (void)state;
    nodes_begin(5, SIM, 3, few);
    struct msg_peer_tag tag = {.peer = peer_id_span(&nodes[2].id), .name = span_text("test"), .value = 5};
    struct msg_peer_protect protect = {.peer = peer_id_span(&nodes[3].id), .name = span_text("test"), .protect = true};
    tell(MSG_PEER_TAG, &tag);
    tell(MSG_PEER_PROTECT, &protect);
    for (unsigned i = 1; i < 5; i++)
        assert_int_equal(node_connect(i, 0), ERR_OK);
    nodes_pass_ms(10000); /* those who go come again, and go again */
    assert_int_equal(nodes[2].downs + nodes[3].downs, 0);
    assert_true(nodes[1].downs > 0 && nodes[4].downs > 0);
    nodes_end();
}

/* connection_manager, which is told that control has ended when it is probed. */
static enum err bereaved_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    struct info down = {.kind = INFO_DOWN, .actor = ACTOR_CONTROL};
    if (msg->kind == MSG_PROBE)
        connection_manager_class.handle_info(ctx, state, &down);
    return connection_manager_class.handle_call(ctx, state, msg, call);
}

static void few_and_bereaved(struct node *n)
{
    static struct actor_class bereaved;
    few(n);
    bereaved = connection_manager_class;
    bereaved.handle_call = bereaved_call;
    n->manager = n->index == 0 ? &bereaved : NULL;
}

static void what_an_actor_said_ends_with_it(void **state)
{
    (void)state;
    nodes_begin(5, SIM, 3, few_and_bereaved);
    struct msg_peer_protect protect = {.peer = peer_id_span(&nodes[1].id), .name = span_text("test"), .protect = true};
    tell(MSG_PEER_PROTECT, &protect);
    for (unsigned i = 1; i < 5; i++)
        assert_int_equal(node_connect(i, 0), ERR_OK);
    nodes_pass_ms(10000);
    assert_int_equal(nodes[1].downs, 0);
    struct msg msg = {.kind = MSG_PROBE, .fields = &(struct msg_probe){0}};
    assert_int_equal(node_do(0, (struct command){.kind = CMD_ASK, .msg = &msg}), ERR_OK);
    nodes_pass_ms(10000);
    assert_true(nodes[1].downs > 0);
    nodes_end();
}

/* Though it is silent longest. */
static void who_was_asked_for_by_name_stays(void **state)
{
    (void)state;
    nodes_begin(5, SIM, 4, few);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    for (unsigned i = 2; i < 5; i++)
        assert_int_equal(node_connect(i, 0), ERR_OK);
    nodes_pass_ms(10000);
    assert_int_equal(nodes[1].downs, 0);
    assert_true(nodes[2].downs + nodes[3].downs + nodes[4].downs > 1);
    nodes_end();
}

/* ---- lost peers ---- */

/* connection_manager, which remembers as many that came back as it can from when it is probed: 2, time and again. */
static enum err forgetful_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    struct swarm *s = state;
    for (; msg->kind == MSG_PROBE && s->return_count < SWARM_RETURNS_MAX; s->return_count++)
        s->returns[s->return_count] = (struct swarm_return){.peer = nodes[2].id};
    return connection_manager_class.handle_call(ctx, state, msg, call);
}

static void forgetful(struct node *n)
{
    static struct actor_class manager;
    manager = connection_manager_class;
    manager.handle_call = forgetful_call;
    n->manager = n->index == 0 ? &manager : NULL;
}

static void who_came_back_leaves_room_for_the_next_lost(void **state)
{
    (void)state;
    nodes_begin(3, SIM, 12, forgetful);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    assert_int_equal(node_connect(0, 2), ERR_OK);
    struct msg probe = {.kind = MSG_PROBE, .fields = &(struct msg_probe){0}};
    assert_int_equal(node_do(0, (struct command){.kind = CMD_ASK, .msg = &probe}), ERR_OK);
    assert_int_equal(node_do(1, (struct command){.kind = CMD_DISCONNECT, .target = 0}), ERR_OK);
    nodes_pass_ms(SWARM_RETURN_MS * 2 + 1000);
    assert_int_equal(nodes[1].downs, 1);
    assert_int_equal(nodes[1].ups, 2);
    nodes_end();
}

/* ---- room for dials ---- */

enum { ROOM = 3 };

/* connection_manager, which has room for few connections from when it is probed. */
static enum err cramped_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    struct swarm *s = state;
    if (msg->kind == MSG_PROBE)
        s->resources.limits.of[RESOURCE_SYSTEM][RESOURCE_CONNS] = ROOM;
    return connection_manager_class.handle_call(ctx, state, msg, call);
}

static void cramped(struct node *n)
{
    static struct actor_class manager;
    manager = connection_manager_class;
    manager.handle_call = cramped_call;
    n->manager = n->index == 0 ? &manager : NULL;
}

/* As the DHT dials. */
static enum err dial_at(unsigned target, const char *addr, bool patient)
{
    struct buf addrs;
    buf_init(&addrs, 1024, NULL);
    assert_int_equal(schema_list_add_text(&addrs, span_text(addr)), ERR_OK);
    struct msg_peer_connect fields = {.peer = peer_id_span(&nodes[target].id),
                                      .addrs = schema_list_of(&addrs, 1),
                                      .casual = true,
                                      .needed = true,
                                      .patient = patient};
    struct msg msg = {.kind = MSG_PEER_CONNECT, .fields = &fields};
    enum err err = node_do(0, (struct command){.kind = CMD_ASK, .msg = &msg});
    buf_release(&addrs);
    return err;
}

static enum err dial_by_chance(unsigned target)
{
    return dial_at(target, nodes[target].addr, true);
}

/* A lookup hears of a dead peer from each of its neighbours. */
static void who_failed_a_moment_ago_is_not_dialled_again_by_the_patient(void **state)
{
    (void)state;
    nodes_begin(3, SIM, 11, NULL);
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_not_equal(dial_at(i, "/ip4/10.9.9.9/tcp/9", true), ERR_OK);
        assert_int_equal(dial_by_chance(i), ERR_UNAVAILABLE);
    }
    assert_int_equal(dial_at(1, nodes[1].addr, false), ERR_OK); /* others wait for nothing */
    nodes_pass_ms(DIAL_BACKOFF_MS + 100);
    assert_int_equal(dial_by_chance(2), ERR_OK);
    nodes_end();
}

/* A lookup dials more than there is room for before the grace period of the first has ended. */
static void a_dial_takes_the_place_of_a_quiet_one(void **state)
{
    (void)state;
    nodes_begin(7, SIM, 6, cramped);
    struct msg probe = {.kind = MSG_PROBE, .fields = &(struct msg_probe){0}};
    assert_int_equal(node_do(0, (struct command){.kind = CMD_ASK, .msg = &probe}), ERR_OK);
    assert_int_equal(node_connect(1, 0), ERR_OK); /* it came by itself */
    assert_int_equal(node_connect(0, 2), ERR_OK); /* wanted */
    assert_int_equal(dial_by_chance(3), ERR_OK);
    assert_int_equal(dial_by_chance(4), ERR_BUSY); /* the third may have an answer to come */
    assert_int_equal(nodes[1].downs + nodes[2].downs + nodes[3].downs, 0);
    nodes_pass_ms(TRIMMER_QUIET_MS + 100);
    assert_int_equal(dial_by_chance(5), ERR_OK);
    nodes_pass_ms(1000);
    assert_int_equal(nodes[3].downs, 1);
    assert_int_equal(nodes[1].downs + nodes[2].downs + nodes[5].downs, 0);
    nodes_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_may_have_half_of_the_bytes),
        cmocka_unit_test(who_is_worth_most_or_protected_stays),
        cmocka_unit_test(who_was_asked_for_by_name_stays),
        cmocka_unit_test(what_an_actor_said_ends_with_it),
        cmocka_unit_test(who_came_back_leaves_room_for_the_next_lost),
        cmocka_unit_test(who_failed_a_moment_ago_is_not_dialled_again_by_the_patient),
        cmocka_unit_test(a_dial_takes_the_place_of_a_quiet_one),
        cmocka_unit_test(T1_streams_of_a_peer_are_capped_as_configured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
