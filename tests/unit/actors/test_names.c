/* SPDX-License-Identifier: MIT */
/* Names against a small zone file of the test's own: what is found, and how many questions a hostile zone can cause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "actors/connection_manager/names.h"

enum { DEADLINE_NS = 12345 };

#define ONE "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
#define TWO "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"

struct record {
    const char *name;
    const char *text; /* of TXT, or an IPv4 or IPv6 address */
};

/* A dns_port over records; with flood, each TXT question is answered by 32 names that lead on. */
struct zone {
    const struct record *records;
    size_t count;
    bool flood;
    unsigned asked;
    _Atomic bool *cancel_at_first;
};

static void note(struct zone *z)
{
    z->asked++;
    if (z->cancel_at_first != NULL)
        atomic_store(z->cancel_at_first, true);
}

static enum err zone_resolve(void *self, const struct dns_question *question, uint16_t port, bool ip4, bool ip6,
                             struct net_addr *ret_addrs, size_t *ret_count)
{
    assert_int_equal(question->deadline_ns, DEADLINE_NS);
    struct zone *z = self;
    size_t n = 0;
    note(z);
    for (size_t i = 0; i < z->count && n < DNS_RESULTS_MAX; i++) {
        bool six = strchr(z->records[i].text, ':') != NULL;
        if (strcmp(z->records[i].name, question->name) != 0 || !(six ? ip6 : ip4))
            continue;
        ret_addrs[n] = (struct net_addr){.family = six ? NET_IP6 : NET_IP4, .port = port};
        ret_addrs[n++].ip[15] = (uint8_t)i;
    }
    *ret_count = n;
    return n == 0 ? ERR_NOT_FOUND : ERR_OK;
}

static enum err zone_txt(void *self, const struct dns_question *question, struct texts *texts)
{
    struct zone *z = self;
    char text[64];
    assert_int_equal(question->deadline_ns, DEADLINE_NS);
    note(z);
    for (size_t n = 0; z->flood && n < TEXTS_MAX; n++) {
        (void)snprintf(text, sizeof(text), "dnsaddr=/dnsaddr/%u-%zu.org", z->asked, n);
        assert_int_equal(texts_add(texts, span_text(text)), ERR_OK);
    }
    for (size_t i = 0; i < z->count && texts->count < TEXTS_MAX; i++)
        if (strcmp(z->records[i].name, question->name) == 0)
            assert_int_equal(texts_add(texts, span_text(z->records[i].text)), ERR_OK);
    return texts->count == 0 ? ERR_NOT_FOUND : ERR_OK;
}

static struct peer_id peer_of(const char *text)
{
    struct peer_id id;
    assert_int_equal(peer_id_parse_text(span_text(text), &id), ERR_OK);
    return id;
}

/* Resolves and leaves the result as texts with one space between. */
static const char *found(struct zone *z, const char *addr, const char *peer)
{
    static char all[4096];
    static struct names names;
    struct dns_port dns = {.self = z, .resolve = zone_resolve, .txt = zone_txt};
    _Atomic bool cancelled = false;
    struct multiaddr ma;
    names = (struct names){.dns = &dns, .deadline_ns = DEADLINE_NS};
    if (z->cancel_at_first != NULL)
        z->cancel_at_first = &cancelled;
    if (peer != NULL)
        names.peer = peer_of(peer);
    assert_int_equal(multiaddr_parse_text(span_text(addr), &ma), ERR_OK);
    names_resolve(&names, &ma, &cancelled);
    all[0] = '\0';
    for (size_t i = 0, at = 0; i < names.count && at < sizeof(all) - ENDPOINT_TEXT_MAX; i++) {
        char text[ENDPOINT_TEXT_MAX];
        endpoint_text(&names.found[i], text);
        at += (size_t)snprintf(all + at, sizeof(all) - at, "%s%s", i == 0 ? "" : " ", text);
    }
    return all;
}

static void both_families_or_the_one_that_is_named(void **state)
{
    (void)state;
    static const struct record records[] = {{"a.org", "1.2.3.4"}, {"a.org", "2001::1"}};
    struct zone z = {.records = records, .count = 2};
    assert_string_equal(found(&z, "/dns/a.org/tcp/4001", NULL), "/ip4/0.0.0.0/tcp/4001 /ip6/::1/tcp/4001");
    assert_string_equal(found(&z, "/dns4/a.org/tcp/4001", NULL), "/ip4/0.0.0.0/tcp/4001");
    assert_string_equal(found(&z, "/dns6/a.org/tcp/80/ws", NULL), "/ip6/::1/tcp/80/ws");
    assert_string_equal(found(&z, "/dns6/b.org/tcp/80/ws", NULL), "");
}

static void records_lead_to_addresses_and_names(void **state)
{
    (void)state;
    static const struct record records[] = {
        {"_dnsaddr.a.org", "dnsaddr=/ip4/1.2.3.4/tcp/4001/p2p/" ONE},
        {"_dnsaddr.a.org", "dnsaddr=/ip4/1.2.3.5/tcp/4001/p2p/" TWO},
        {"_dnsaddr.a.org", "dnsaddr=/ip6/::7/tcp/8081/ws"},
        {"_dnsaddr.a.org", "dnsaddr=/ip6/::8/tcp/8081/ws/p2p/" ONE},
        {"_dnsaddr.a.org", "dnsaddr=/dns6/b.org/tcp/9/p2p/" ONE},
        {"_dnsaddr.a.org", "dnsaddr=/dnsaddr/c.org/p2p/" ONE},
        {"_dnsaddr.a.org", "dnsaddr=/ip4/1.2.3.6/udp/1/quic-v1"},
        {"_dnsaddr.a.org", "dnsaddr=/ip4/1.2.3.6/tcp/443/tls/ws"},
        {"_dnsaddr.a.org", "dnsaddr=nonsense"},
        {"_dnsaddr.a.org", "v=spf1"},
        {"b.org", "2001::1"},
        {"_dnsaddr.c.org", "dnsaddr=/ip4/9.9.9.9/tcp/1/p2p/" ONE},
    };
    struct zone z = {.records = records, .count = ARRAY_LEN(records)};
    assert_string_equal(found(&z, "/dnsaddr/a.org/p2p/" ONE, ONE),
                        "/ip4/1.2.3.4/tcp/4001 /ip6/::8/tcp/8081/ws /ip6/::a/tcp/9 /ip4/9.9.9.9/tcp/1");
    assert_string_equal(found(&z, "/dnsaddr/a.org", TWO), "/ip4/1.2.3.5/tcp/4001 /ip6/::7/tcp/8081/ws");
}

/* A loop is walked once; of a chain of five levels four are followed. */
static void P17_depth_is_bounded(void **state)
{
    (void)state;
    static const struct record loop[] = {{"_dnsaddr.a.org", "dnsaddr=/dnsaddr/b.org"},
                                         {"_dnsaddr.b.org", "dnsaddr=/dnsaddr/A.org"}};
    struct zone z = {.records = loop, .count = ARRAY_LEN(loop)};
    assert_string_equal(found(&z, "/dnsaddr/a.org", NULL), "");
    assert_int_equal(z.asked, 2);
    static const struct record chain[] = {
        {"_dnsaddr.a.org", "dnsaddr=/dnsaddr/b.org"}, {"_dnsaddr.b.org", "dnsaddr=/dnsaddr/c.org"},
        {"_dnsaddr.c.org", "dnsaddr=/dnsaddr/d.org"}, {"_dnsaddr.d.org", "dnsaddr=/ip4/4.4.4.4/tcp/4"},
        {"_dnsaddr.d.org", "dnsaddr=/dnsaddr/e.org"}, {"_dnsaddr.e.org", "dnsaddr=/ip4/5.5.5.5/tcp/5"},
    };
    z = (struct zone){.records = chain, .count = ARRAY_LEN(chain)};
    assert_string_equal(found(&z, "/dnsaddr/a.org", NULL), "/ip4/4.4.4.4/tcp/4");
}

/* Records that only point on would ask 64 + 64² + 64³ questions. */
static void P17_fan_out_is_bounded(void **state)
{
    (void)state;
    struct zone z = {.flood = true};
    assert_string_equal(found(&z, "/dnsaddr/a.org", NULL), "");
    assert_int_equal(z.asked, NAMES_QUESTIONS_MAX);
}

static void P17_results_are_bounded(void **state)
{
    (void)state;
    enum { POINTERS = 32 };
    struct record records[POINTERS + DNS_RESULTS_MAX];
    char texts[POINTERS][64];
    for (size_t i = 0; i < ARRAY_LEN(records); i++)
        records[i] = (struct record){"b.org", "1.2.3.4"};
    for (size_t i = 0; i < POINTERS; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "dnsaddr=/dns4/b.org/tcp/%zu", i + 1);
        records[i] = (struct record){"_dnsaddr.a.org", texts[i]};
    }
    struct zone z = {.records = records, .count = ARRAY_LEN(records)};
    (void)found(&z, "/dnsaddr/a.org", NULL);
    assert_int_equal(z.asked, 1 + 4); /* 32, 64, 96, then full */
}

static void a_cancelled_job_asks_no_more(void **state)
{
    (void)state;
    static _Atomic bool armed;
    struct zone z = {.flood = true, .cancel_at_first = &armed};
    (void)found(&z, "/dnsaddr/a.org", NULL);
    assert_int_equal(z.asked, 1);
}

static void only_what_can_be_dialled_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *addr;
        bool can;
    } rows[] = {
        {"/dns/a.org/tcp/1", true},         {"/dns4/a.org/tcp/1/ws", true},       {"/dnsaddr/a.org", true},
        {"/dns4/a.org/tcp/443/wss", false}, {"/dns4/a.org/udp/1/quic-v1", false}, {"/ip4/1.2.3.4/tcp/1", false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct multiaddr ma;
        struct multiaddr_target target;
        assert_int_equal(multiaddr_parse_text(span_text(rows[i].addr), &ma), ERR_OK);
        assert_int_equal(multiaddr_target(multiaddr_span(&ma), &target), ERR_OK);
        assert_int_equal(names_can_resolve(&target), rows[i].can);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_families_or_the_one_that_is_named),
        cmocka_unit_test(records_lead_to_addresses_and_names),
        cmocka_unit_test(P17_depth_is_bounded),
        cmocka_unit_test(P17_fan_out_is_bounded),
        cmocka_unit_test(P17_results_are_bounded),
        cmocka_unit_test(a_cancelled_job_asks_no_more),
        cmocka_unit_test(only_what_can_be_dialled_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
