/* SPDX-License-Identifier: MIT */
/* Multicast DNS on a virtual clock: when it asks and answers on which link, and whom it believes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/discovery/mdns.h"
#include "wire/multiaddr.h"

#define PEER_1 "12D3KooWC29Yo8tMd9DTJLYtEJAt2BCef4FHfzfviixApuQxekna"
#define PEER_2 "12D3KooWPbZpXYPm9Y1dWXZqakccg4NUTA221BxhYA7nCz3QtvH9"

enum { LAN = 3, OTHER_LAN = 4 };

static const uint64_t start_ns = 3600 * SECOND_NS;
static const uint64_t delay_max_ns = MDNS_DELAY_MAX_MS * MS_NS;

/* A LAN with both families and a second one. */
static const struct multicast_addr links[] = {
    {LAN, {.family = NET_IP4, .ip = {10, 1, 0, 5}}, 16},
    {LAN, {.family = NET_IP6, .ip = {0xfd, 0, [15] = 5}}, 64},
    {OTHER_LAN, {.family = NET_IP4, .ip = {192, 168, 7, 5}}, 24},
};

struct node {
    struct neighbours neighbours;
    struct mdns mdns;
    struct buf message;
    struct mdns_send send;
};

static struct node a;
static struct node b;

static void own(struct node *node, const char *const *texts, size_t count, uint64_t now_ns)
{
    static struct mdns_own list;
    list.count = 0;
    for (size_t i = 0; i < count; i++) {
        struct multiaddr addr;
        assert_int_equal(multiaddr_parse_text(span_text(texts[i]), &addr), ERR_OK);
        mdns_own_add(&list, multiaddr_span(&addr));
    }
    mdns_set_own(&node->mdns, &list, now_ns, 7);
}

static void start(struct node *node, const char *id, uint8_t seed, size_t link_count)
{
    static const char *const addrs[] = {"/ip4/127.0.0.1/tcp/4001",   ("/ip4/10.1.0.5/tcp/4001/p2p/" PEER_1),
                                        "/ip6/fd00::5/tcp/4001",     "/ip6/fe80::5/tcp/4001",
                                        "/ip4/192.168.7.5/tcp/4001", "/ip4/10.1.0.5/udp/4001/quic-v1"};
    uint8_t random[64] = {seed, seed, seed};
    struct peer_id self;
    assert_int_equal(peer_id_parse_text(span_text(id), &self), ERR_OK);
    neighbours_init(&node->neighbours, NULL, start_ns);
    mdns_init(&node->mdns, &self, &node->neighbours, random);
    mdns_set_links(&node->mdns, links, link_count, start_ns, 0);
    own(node, addrs, ARRAY_LEN(addrs), start_ns);
    for (size_t i = 0; i < node->mdns.link_count; i++) /* the first word is the question's */
        node->mdns.links[i].answer_at_ns = UINT64_MAX;
    buf_init(&node->message, MDNS_MESSAGE_BYTES_MAX, NULL);
}

static int setup(void **state)
{
    (void)state;
    start(&a, PEER_1, 1, 1);
    start(&b, PEER_2, 2, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    neighbours_release(&a.neighbours);
    neighbours_release(&b.neighbours);
    buf_release(&a.message);
    buf_release(&b.message);
    return 0;
}

static bool next(struct node *node, uint64_t now_ns)
{
    buf_clear(&node->message);
    return mdns_next(&node->mdns, now_ns, 0, &node->message, &node->send);
}

static bool is_answer(const struct node *node)
{
    return (node->message.data[2] & 0x80) != 0;
}

static void hear(struct node *node, struct span message, uint32_t link, enum net_family family, uint64_t now_ns)
{
    struct multicast_datagram datagram = {.link = link,
                                          .from = {.family = family, .port = 5353, .ip = {10, 1, 0, 9}},
                                          .bytes = message.data,
                                          .len = message.len};
    mdns_feed(&node->mdns, &datagram, now_ns, 0);
}

/* Silence: everything due up to now is taken and dropped. */
static void drain(struct node *node, uint64_t now_ns)
{
    for (int i = 0; i < 100 && next(node, now_ns); i++)
        continue;
    assert_true(mdns_due(&node->mdns) > now_ns);
}

static void it_asks_with_growing_pauses(void **state)
{
    (void)state;
    uint64_t now = mdns_due(&a.mdns);
    uint64_t pause_ms = MDNS_ASK_FIRST_MS;
    assert_true(now >= start_ns + MDNS_DELAY_MIN_MS * MS_NS && now <= start_ns + delay_max_ns);
    for (int i = 0; i < 15; i++) {
        assert_false(next(&a, now - 1));
        assert_true(next(&a, now));
        assert_false(is_answer(&a));
        assert_int_equal(a.send.link, LAN);
        assert_int_equal(a.send.family, NET_IP4);
        assert_true(mdns_due(&a.mdns) <= now + delay_max_ns || a.mdns.links[0].answered_ns != 0);
        drain(&a, now + 2 * SECOND_NS / 3); /* the announcement that goes with it */
        uint64_t due = a.mdns.links[0].ask_at_ns;
        assert_in_range(due - now, pause_ms * MS_NS, pause_ms * MS_NS * 9 / 8);
        pause_ms = MIN(pause_ms * 2, (uint64_t)MDNS_ASK_MAX_MS);
        drain(&a, due - 1);
        now = due;
    }
    assert_int_equal(pause_ms, MDNS_ASK_MAX_MS);
}

static void two_nodes_find_each_other(void **state)
{
    (void)state;
    uint64_t now = start_ns + delay_max_ns;
    assert_true(next(&a, now) && !is_answer(&a));
    hear(&b, buf_span(&a.message), LAN, NET_IP4, now);
    uint64_t due = b.mdns.links[0].answer_at_ns;
    assert_in_range(due, now + MDNS_DELAY_MIN_MS * MS_NS, now + delay_max_ns);
    b.mdns.links[0].ask_at_ns = UINT64_MAX; /* the answer alone */
    assert_true(next(&b, due) && is_answer(&b));
    hear(&a, buf_span(&b.message), LAN, NET_IP4, due);
    size_t slot;
    char text[128];
    struct neighbour *peer = neighbours_next(&a.neighbours, &slot);
    assert_non_null(peer);
    assert_true(peer_id_equal(&peer->id, &b.mdns.self));
    assert_int_equal(peer->addr_count, 1);
    assert_int_equal(multiaddr_text(span_of(peer->addrs[0].bytes, peer->addrs[0].len), text, sizeof(text)), ERR_OK);
    assert_string_equal(text, "/ip4/10.1.0.5/tcp/4001");
    /* The other way round, without a question of b: a's announcement. */
    due = mdns_due(&a.mdns);
    assert_true(due <= now + delay_max_ns);
    assert_true(next(&a, due) && is_answer(&a));
    hear(&b, buf_span(&a.message), LAN, NET_IP4, due);
    assert_non_null(neighbours_next(&b.neighbours, &slot));
}

static void an_answer_has_the_addresses_of_its_link(void **state)
{
    (void)state;
    teardown(NULL);
    start(&a, PEER_1, 1, ARRAY_LEN(links));
    start(&b, PEER_2, 2, ARRAY_LEN(links));
    assert_int_equal(a.mdns.link_count, 3);
    bool seen[2] = {false, false};
    uint64_t now = start_ns + delay_max_ns;
    while (next(&a, now) || next(&a, now + delay_max_ns)) {
        if (!is_answer(&a))
            continue;
        size_t slot;
        neighbours_init(&b.neighbours, NULL, start_ns);
        hear(&b, buf_span(&a.message), a.send.link, a.send.family, now);
        struct neighbour *peer = neighbours_next(&b.neighbours, &slot);
        assert_non_null(peer);
        assert_int_equal(peer->addr_count, a.send.link == LAN ? 2 : 1);
        assert_int_equal(b.mdns.counters.foreign, 0);
        seen[a.send.link - LAN] = true;
        neighbours_release(&b.neighbours);
    }
    assert_true(seen[0] && seen[1]);
}

static void addresses_of_other_networks_are_not_believed(void **state)
{
    (void)state;
    static const char *const foreign[] = {"/ip4/203.0.113.5/tcp/80", "/ip4/10.2.0.5/tcp/4001", "/ip4/127.0.0.1/tcp/1",
                                          "/ip6/fe80::9/tcp/4001", "/dns4/example.com/tcp/4001"};
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
        struct multiaddr addr;
        assert_int_equal(multiaddr_parse_text(span_text(foreign[i]), &addr), ERR_OK);
        struct span one = multiaddr_span(&addr);
        struct mdns_asked asked = {.peers = true};
        buf_clear(&b.message);
        assert_int_equal(mdns_write_answer(&b.mdns.names, &asked, &b.mdns.self, &one, 1, &b.message), ERR_OK);
        hear(&a, buf_span(&b.message), LAN, NET_IP4, start_ns);
        assert_int_equal(a.mdns.counters.foreign, i + 1);
    }
    assert_int_equal(a.neighbours.count, 0);
    assert_int_equal(a.mdns.counters.unusable, 0);
}

static void own_records_are_no_news(void **state)
{
    (void)state;
    uint64_t now = start_ns + delay_max_ns;
    assert_true(next(&a, now) && !is_answer(&a));
    hear(&a, buf_span(&a.message), LAN, NET_IP4, now); /* the group loops back */
    assert_true(next(&a, now + delay_max_ns) && is_answer(&a));
    hear(&a, buf_span(&a.message), LAN, NET_IP4, now);
    assert_int_equal(a.neighbours.count, 0);
    /* Another life of this node, under another name, is this node too. */
    struct node former = {0};
    start(&former, PEER_1, 9, 1);
    assert_true(next(&former, now));
    assert_true(next(&former, now + delay_max_ns) && is_answer(&former));
    hear(&a, buf_span(&former.message), LAN, NET_IP4, now);
    assert_int_equal(a.neighbours.count, 0);
    assert_int_equal(a.mdns.counters.unusable, 0);
    neighbours_release(&former.neighbours);
    buf_release(&former.message);
}

/* RFC 6762 section 6: a record is multicast at most once a second, however many ask. */
static void a_flood_of_questions_gets_one_answer_a_second(void **state)
{
    (void)state;
    struct buf query;
    uint64_t now = start_ns + delay_max_ns;
    uint64_t last = 0;
    unsigned answers = 0;
    buf_init(&query, MDNS_MESSAGE_BYTES_MAX, NULL);
    assert_int_equal(mdns_write_query(&b.mdns.names, &query), ERR_OK);
    for (int i = 0; i < 10000; i++, now += MS_NS) {
        hear(&a, buf_span(&query), LAN, NET_IP4, now);
        while (next(&a, now)) {
            if (!is_answer(&a))
                continue;
            assert_true(last == 0 || now - last >= SECOND_NS);
            last = now;
            answers++;
        }
    }
    assert_in_range(answers, 9, 11);
    buf_release(&query);
}

static void questions_from_elsewhere_are_not_answered(void **state)
{
    (void)state;
    struct buf query;
    buf_init(&query, MDNS_MESSAGE_BYTES_MAX, NULL);
    assert_int_equal(mdns_write_query(&b.mdns.names, &query), ERR_OK);
    drain(&a, start_ns + SECOND_NS);
    a.mdns.links[0].answer_at_ns = UINT64_MAX;
    hear(&a, buf_span(&query), OTHER_LAN, NET_IP4, start_ns);
    hear(&a, buf_span(&query), LAN, NET_IP6, start_ns);
    hear(&a, span_first(buf_span(&query), query.len - 1), LAN, NET_IP4, start_ns);
    assert_int_equal(a.mdns.links[0].answer_at_ns, UINT64_MAX);
    assert_int_equal(a.mdns.counters.unusable, 1);
    buf_release(&query);
}

static void changes_are_told_at_once(void **state)
{
    (void)state;
    static const char *const moved[] = {"/ip4/10.1.0.5/tcp/5001"};
    uint64_t now = start_ns + 600 * SECOND_NS;
    while (mdns_due(&a.mdns) <= now)
        drain(&a, mdns_due(&a.mdns));
    assert_true(mdns_due(&a.mdns) > now + delay_max_ns);
    mdns_set_links(&a.mdns, links, 1, now, 0); /* as before: nothing */
    assert_true(mdns_due(&a.mdns) > now + delay_max_ns);
    own(&a, moved, 1, now);
    assert_true(mdns_due(&a.mdns) <= now + delay_max_ns);
    assert_true(next(&a, now + delay_max_ns) && is_answer(&a));
    mdns_set_links(&a.mdns, links, 3, now, 0);
    assert_true(next(&a, now + delay_max_ns) && !is_answer(&a));
    mdns_set_links(&a.mdns, NULL, 0, now, 0);
    assert_int_equal(mdns_due(&a.mdns), UINT64_MAX);
    assert_false(next(&a, now + 3600 * SECOND_NS));
}

static void without_an_address_there_is_no_answer(void **state)
{
    (void)state;
    own(&a, NULL, 0, start_ns);
    uint64_t now = start_ns + delay_max_ns;
    assert_true(next(&a, now) && !is_answer(&a));
    assert_false(next(&a, now + delay_max_ns));
    assert_int_equal(a.mdns.counters.answers_sent, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_asks_with_growing_pauses, setup, teardown),
        cmocka_unit_test_setup_teardown(two_nodes_find_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_has_the_addresses_of_its_link, setup, teardown),
        cmocka_unit_test_setup_teardown(addresses_of_other_networks_are_not_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(own_records_are_no_news, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood_of_questions_gets_one_answer_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(questions_from_elsewhere_are_not_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(changes_are_told_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(without_an_address_there_is_no_answer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
