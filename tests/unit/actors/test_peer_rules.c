/* SPDX-License-Identifier: MIT */
/* Rules by peer and network: examples, then all answers of random rule lists beside a naive reading of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "actors/connection_manager/peer_rules.h"
#include "base/limits.h"
#include "base/random.h"

/* Two ids of the peer id specification. */
static const char alice[] = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
static const char bob[] = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";

static struct peer_id peer(const char *text)
{
    struct peer_id id;
    assert_int_equal(peer_id_parse_text(span_text(text), &id), ERR_OK);
    return id;
}

static void append(struct peer_rules *rules, const char *text)
{
    struct peer_rule rule;
    assert_int_equal(peer_rule_parse(span_text(text), &rule), ERR_OK);
    assert_int_equal(peer_rules_append(rules, &rule), ERR_OK);
}

static bool allows(const struct peer_rules *rules, const char *who, const char *ip)
{
    struct ip_network n;
    struct peer_id id = {0};
    assert_int_equal(ip_network_parse(span_text(ip), &n), ERR_OK);
    if (who != NULL)
        id = peer(who);
    return peer_rules_allow(rules, who == NULL ? NULL : &id, n.ip);
}

static void without_rules_everybody_may(void **state)
{
    (void)state;
    struct peer_rules rules;
    peer_rules_init(&rules, NULL);
    assert_true(allows(&rules, NULL, "203.0.113.7"));
    assert_true(allows(&rules, alice, "::1"));
    peer_rules_release(&rules);
}

static void the_first_match_decides(void **state)
{
    (void)state;
    struct peer_rules rules;
    peer_rules_init(&rules, NULL);
    append(&rules, "allow 10.1.0.0/16");
    append(&rules, "deny 10.0.0.0/8");
    append(&rules, "  deny \t /ip6/2001:db8::/ipcidr/32 ");
    assert_true(allows(&rules, NULL, "10.1.2.3"));
    assert_false(allows(&rules, NULL, "10.2.2.3"));
    assert_false(allows(&rules, NULL, "::ffff:10.2.2.3"));
    assert_false(allows(&rules, alice, "2001:db8::1"));
    assert_true(allows(&rules, NULL, "203.0.113.7"));
    peer_rules_release(&rules);
}

/* Who is allowed by id comes through the address; who is not is found out after the upgrade. */
static void a_closed_list_lets_strangers_no_further_than_their_id(void **state)
{
    (void)state;
    struct peer_rules rules;
    peer_rules_init(&rules, NULL);
    append(&rules, "deny 192.0.2.0/24");
    char text[100];
    (void)snprintf(text, sizeof(text), "allow %s", alice);
    append(&rules, text);
    append(&rules, "deny all");
    assert_false(allows(&rules, NULL, "192.0.2.1"));
    assert_true(allows(&rules, NULL, "203.0.113.7"));
    assert_true(allows(&rules, alice, "203.0.113.7"));
    assert_false(allows(&rules, bob, "203.0.113.7"));
    peer_rules_release(&rules);
}

static void filters_deny_what_no_rule_allows(void **state)
{
    (void)state;
    struct account account;
    struct peer_rules rules;
    struct ip_network n;
    account_init(&account, "tables", 4096);
    peer_rules_init(&rules, &account);
    append(&rules, "allow 10.0.0.5");
    assert_int_equal(ip_network_parse(span_text("/ip4/10.0.0.0/ipcidr/8"), &n), ERR_OK);
    assert_int_equal(peer_rules_filter(&rules, &n), ERR_OK);
    assert_int_equal(peer_rules_filter(&rules, &n), ERR_EXISTS);
    assert_true(allows(&rules, NULL, "10.0.0.5"));
    assert_false(allows(&rules, NULL, "10.0.0.6"));
    assert_int_equal(peer_rules_unfilter(&rules, &n), ERR_OK);
    assert_int_equal(peer_rules_unfilter(&rules, &n), ERR_NOT_FOUND);
    assert_true(allows(&rules, NULL, "10.0.0.6"));
    static const char *const three[] = {"/ip4/10.0.0.0/ipcidr/8", "/ip4/192.0.2.0/ipcidr/24", "/ip6/::/ipcidr/0"};
    for (size_t i = 0; i < ARRAY_LEN(three); i++) {
        assert_int_equal(ip_network_parse(span_text(three[i]), &n), ERR_OK);
        assert_int_equal(peer_rules_filter(&rules, &n), ERR_OK);
    }
    assert_int_equal(ip_network_parse(span_text(three[0]), &n), ERR_OK);
    assert_int_equal(peer_rules_unfilter(&rules, &n), ERR_OK);
    assert_true(allows(&rules, NULL, "10.0.0.6")); /* and the others hold still */
    assert_false(allows(&rules, NULL, "192.0.2.1") || allows(&rules, NULL, "2001:db8::1"));
    peer_rules_release(&rules);
    assert_int_equal(account_used(&account), 0);
}

static void bad_rules_and_too_many_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",           "allow",           "deny ",
                                      "permit all", "allow everybody", "deny 10.0.0.0/33",
                                      "denyall",    "allow all all",   "deny 12D3KooW"};
    struct peer_rule rule;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(peer_rule_parse(span_text(bad[i]), &rule), ERR_INVALID);
    struct account account;
    struct peer_rules rules;
    account_init(&account, "tables", 1 << 20);
    peer_rules_init(&rules, &account);
    assert_int_equal(peer_rule_parse(span_text("deny all"), &rule), ERR_OK);
    for (int i = 0; i < PEER_RULES_MAX; i++)
        assert_int_equal(peer_rules_append(&rules, &rule), ERR_OK);
    assert_int_equal(peer_rules_append(&rules, &rule), ERR_BUSY);
    peer_rules_release(&rules);
    assert_int_equal(account_used(&account), 0);
    account_init(&account, "tables", 1);
    peer_rules_init(&rules, &account);
    assert_int_equal(peer_rules_append(&rules, &rule), ERR_NOMEM);
    peer_rules_release(&rules);
}

enum { IPS = 6, PEERS = 3 };
static const char *const ips[IPS] = {"10.0.0.1", "10.0.1.1", "10.1.0.1", "203.0.113.7", "2001:db8::1", "::1"};
static const char *const whats[] = {"10.0.0.0/24", "10.0.0.0/16", "10.0.0.0/8", "::/0", "0.0.0.0/0", "all", alice, bob};

/* What the rule says of a peer at an address, read by hand. */
static bool matches(size_t what, size_t ip, size_t who)
{
    static const bool table[6][IPS] = {{1, 0, 0, 0, 0, 0}, {1, 1, 0, 0, 0, 0}, {1, 1, 1, 0, 0, 0},
                                       {0, 0, 0, 0, 1, 1}, {1, 1, 1, 1, 0, 0}, {1, 1, 1, 1, 1, 1}};
    return what < 6 ? table[what][ip] : who == what - 6;
}

static void random_lists_answer_as_a_naive_reader_does(void **state)
{
    (void)state;
    static const char carol[] = "QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ";
    static const char *const names[PEERS] = {alice, bob, carol};
    struct prng prng;
    prng_init(&prng, 5);
    for (int round = 0; round < 500; round++) {
        struct peer_rules rules;
        size_t what[8];
        bool allow[8];
        size_t count = (size_t)prng_below(&prng, 8);
        peer_rules_init(&rules, NULL);
        for (size_t i = 0; i < count; i++) {
            char text[100];
            what[i] = (size_t)prng_below(&prng, ARRAY_LEN(whats));
            allow[i] = prng_below(&prng, 2) == 1;
            (void)snprintf(text, sizeof(text), "%s %s", allow[i] ? "allow" : "deny", whats[what[i]]);
            append(&rules, text);
        }
        for (size_t ip = 0; ip < IPS; ip++) {
            bool anybody = false;
            for (size_t who = 0; who < PEERS; who++) {
                size_t i = 0;
                while (i < count && !matches(what[i], ip, who))
                    i++;
                bool expected = i == count || allow[i];
                assert_int_equal(allows(&rules, names[who], ips[ip]), expected);
                anybody = anybody || expected;
            }
            /* no for all who are not named either: carol stands for them */
            if (!anybody)
                assert_false(allows(&rules, NULL, ips[ip]));
            if (!allows(&rules, NULL, ips[ip]))
                assert_false(anybody);
        }
        peer_rules_release(&rules);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_rules_everybody_may),
        cmocka_unit_test(the_first_match_decides),
        cmocka_unit_test(a_closed_list_lets_strangers_no_further_than_their_id),
        cmocka_unit_test(filters_deny_what_no_rule_allows),
        cmocka_unit_test(bad_rules_and_too_many_are_refused),
        cmocka_unit_test(random_lists_answer_as_a_naive_reader_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
