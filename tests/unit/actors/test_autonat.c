/* SPDX-License-Identifier: MIT */
/* AutoNAT between whole connection_managers in one simulated network of public addresses: who is asked, who is believed, who serves. */
#include "helper_nodes.h"

#include <string.h>

#include "actors/connection_manager/reachability.h"
#include "wire/autonat.h"

enum { ASKER = 0, FIRST = 1, SECOND = 2, THIRD = 3, COUNT = 4 };

static const uint8_t ok[] = {0x06, 0x08, 0x01, 0x1a, 0x02, 0x08, 0x00};
static const uint8_t failed[] = {0x06, 0x08, 0x01, 0x1a, 0x02, 0x08, 0x64};
static const uint8_t garbage[] = {0x06, 0x08, 0x01, 0x1a, 0x7f, 0xff, 0xff, 0xff};
static const uint8_t part[] = {0x7f, 0x08, 0x01};
static struct span says;
static char status[32];
static uint64_t asked;

static void set(struct node *n, const char *key, const char *value)
{
    char why[CONFIG_WHY_BYTES];
    assert_int_equal(config_set(n->config, key, span_text(value), why), ERR_OK);
}

/* Only the one that asks has a discovery: the probes of the others serve AutoNAT and dial when the test says so. */
static void on_wan(struct node *n)
{
    n->ip = (struct net_addr){.family = NET_IP4, .ip = {(uint8_t)(80 + n->index), 40, 1, 1}};
    n->answer = n->index == ASKER ? (struct span){0} : says;
    n->discovers = n->index == ASKER;
    set(n, "Discovery.MDNS.Enabled", "false");
    set(n, "Routing.Type", "auto");
}

static void on_lan(struct node *n)
{
    on_wan(n);
    n->ip = (struct net_addr){0};
}

static void take(struct node *n, const struct msg *answer)
{
    (void)n;
    const struct msg_swarm_autonat_ok *fields = answer->fields;
    memcpy(status, fields->reachability.data, fields->reachability.len);
    status[fields->reachability.len] = '\0';
    asked = fields->asked;
}

static const char *reachability(void)
{
    struct msg_swarm_autonat fields = {0};
    struct msg msg = {.kind = MSG_SWARM_AUTONAT, .fields = &fields};
    assert_int_equal(node_do(ASKER, (struct command){.kind = CMD_ASK, .msg = &msg, .take = take}), ERR_OK);
    return status;
}

static uint64_t served(void)
{
    assert_int_equal(node_do(ASKER, (struct command){.kind = CMD_DHT}), ERR_OK);
    return nodes[ASKER].server;
}

/* All serve AutoNAT and answer the same; the one that asks has dialled them. */
static void begin(const uint8_t *answer, size_t len, uint64_t seed, void (*change)(struct node *))
{
    says = span_of(answer, len);
    nodes_begin(COUNT, SIM, seed, change);
    for (unsigned i = FIRST; i < COUNT; i++) {
        assert_int_equal(node_do(i, (struct command){.kind = CMD_SERVE, .protocol = AUTONAT_PROTOCOL}), ERR_OK);
        assert_int_equal(node_connect(ASKER, i), ERR_OK);
    }
}

/* Without the peer's id, so that it is dialled although it is connected. */
static void dial_back(unsigned from)
{
    struct command dial = {.kind = CMD_CONNECT, .target = ASKER};
    const char *id = strstr(nodes[ASKER].addr, "/p2p/");
    assert_non_null(id);
    memcpy(dial.addr, nodes[ASKER].addr, (size_t)(id - nodes[ASKER].addr));
    assert_int_equal(node_do(from, dial), ERR_OK);
}

/* Whoever is asked and has answered dials back, within the time that it may be late. */
static void all_dial_back(unsigned questions)
{
    uint64_t opened[COUNT] = {0};
    for (unsigned ms = 0; ms < 300000 && questions > 0; ms += 200) {
        nodes_pass_ms(200);
        for (unsigned i = FIRST; i < COUNT; i++) {
            if (nodes[i].opened_in == opened[i])
                continue;
            opened[i] = nodes[i].opened_in;
            dial_back(i);
            questions--;
        }
    }
    assert_int_equal(questions, 0);
}

static void who_is_dialled_back_serves_the_public_dht(void **state)
{
    (void)state;
    begin(ok, sizeof(ok), 81, on_wan);
    nodes_pass_ms(3000);
    assert_string_equal(reachability(), "Unknown");
    assert_int_equal(served(), 2);
    all_dial_back(REACHABILITY_PROVEN);
    nodes_pass_ms(1000);
    assert_string_equal(reachability(), "Public");
    assert_int_equal(served(), 3);
    nodes_end();
}

static void who_only_says_so_is_not_believed(void **state)
{
    (void)state;
    begin(ok, sizeof(ok), 82, on_wan);
    nodes_pass_ms(600000);
    assert_string_equal(reachability(), "Unknown");
    assert_int_equal(asked, 3);
    assert_int_equal(served(), 2);
    nodes_end();
}

static void what_is_no_answer_hurts_nobody(void **state)
{
    (void)state;
    const struct span answers[] = {span_of(garbage, sizeof(garbage)), span_of(part, sizeof(part)),
                                   span_of(failed, sizeof(failed))};
    for (unsigned i = 0; i < ARRAY_LEN(answers); i++) {
        begin(answers[i].data, answers[i].len, 83 + i, on_wan);
        nodes_pass_ms(600000);
        assert_string_equal(reachability(), "Unknown"); /* three networks are not more than three */
        assert_int_equal(asked, 3);
        for (unsigned n = FIRST; n < COUNT; n++)
            assert_int_equal(node_do(ASKER, (struct command){.kind = CMD_PING, .target = n}), ERR_OK);
        nodes_end();
    }
}

/* Who dials in may not apply, who does not speak it is not asked, and neighbours know nothing of the world. */
static void only_public_peers_that_were_dialled_are_asked(void **state)
{
    (void)state;
    says = span_of(ok, sizeof(ok));
    nodes_begin(COUNT, SIM, 87, on_wan);
    assert_int_equal(node_do(FIRST, (struct command){.kind = CMD_SERVE, .protocol = AUTONAT_PROTOCOL}), ERR_OK);
    assert_int_equal(node_connect(FIRST, ASKER), ERR_OK);
    assert_int_equal(node_connect(ASKER, SECOND), ERR_OK);
    nodes_pass_ms(60000);
    (void)reachability();
    assert_int_equal(asked, 0);
    nodes_end();
    begin(ok, sizeof(ok), 88, on_lan);
    nodes_pass_ms(60000);
    (void)reachability();
    assert_int_equal(asked, 0);
    nodes_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_dialled_back_serves_the_public_dht),
        cmocka_unit_test(who_only_says_so_is_not_believed),
        cmocka_unit_test(what_is_no_answer_hurts_nobody),
        cmocka_unit_test(only_public_peers_that_were_dialled_are_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
