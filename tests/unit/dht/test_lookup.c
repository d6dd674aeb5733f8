/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "dht/lookup.h"
#include "tests/support/bytes.h"
#include "wire/addr_list.h"
#include "wire/multiaddr.h"
#include "wire/varint.h"

enum { DEADLINE = 60000 };

static struct kad_writer writer;
static struct buf framed, addrs;

static int set_up(void **state)
{
    (void)state;
    kad_writer_init(&writer, NULL);
    buf_init(&framed, 64 * KIB, NULL);
    buf_init(&addrs, 8 * KIB, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kad_writer_release(&writer);
    buf_release(&framed);
    buf_release(&addrs);
    return 0;
}

static struct peer_id peer_of(uint64_t n)
{
    uint8_t bytes[34] = {0x12, 0x20};
    struct peer_id id;
    memcpy(bytes + 2, &n, sizeof(n));
    assert_ok(peer_id_parse(span_of(bytes, sizeof(bytes)), &id));
    return id;
}

/* One address in 60.n.1.1: each peer has a network of its own. */
static struct span addr_of(uint64_t n)
{
    char text[64];
    struct multiaddr addr;
    (void)snprintf(text, sizeof(text), "/ip4/%u.%u.1.1/tcp/4001", 60 + (unsigned)(n >> 8 & 3), (unsigned)(n & 255));
    assert_ok(multiaddr_parse_text(span_text(text), &addr));
    buf_clear(&addrs);
    assert_ok(addr_list_add(&addrs, multiaddr_span(&addr)));
    return buf_span(&addrs);
}

static struct span texts_of(const char *const *texts, size_t count)
{
    buf_clear(&addrs);
    for (size_t i = 0; i < count; i++) {
        struct multiaddr addr;
        assert_ok(multiaddr_parse_text(span_text(texts[i]), &addr));
        assert_ok(addr_list_add(&addrs, multiaddr_span(&addr)));
    }
    return buf_span(&addrs);
}

static const struct lookup_params plain = {
    .type = KAD_FIND_NODE, .scope = ADDR_SCOPE_WAN, .diverse = true, .deadline_ms = DEADLINE};

static struct lookup *start(struct lookup_params params, uint64_t seeds)
{
    struct lookup *l = NULL;
    if (params.key.len == 0)
        params.key = span_text("key");
    assert_ok(lookup_new(&params, NULL, &l));
    for (uint64_t n = 1; n <= seeds; n++) {
        struct peer_id id = peer_of(n);
        lookup_seed(l, &id, addr_of(n));
    }
    return l;
}

/* All queries that may go out now; returns how many, the peers in ids. */
static size_t ask(struct lookup *l, uint64_t now, struct peer_id *ids)
{
    struct lookup_query query;
    size_t count = 0;
    while (lookup_next(l, now, &query))
        ids[count++] = query.id;
    return count;
}

static void begin_answer(enum kad_type type)
{
    kad_writer_begin(&writer, type, span_of(NULL, 0));
}

static void name(enum kad_list list, uint64_t n, struct span list_of_addrs)
{
    struct peer_id id = peer_of(n);
    assert_true(kad_writer_peer(&writer, list, &id, list_of_addrs, KAD_NOT_CONNECTED, 0));
}

static bool answer(struct lookup *l, const struct peer_id *id, uint64_t now)
{
    struct kad_message message;
    uint64_t len = 0;
    buf_clear(&framed);
    assert_ok(kad_writer_finish(&writer, &framed));
    struct span body = buf_span(&framed);
    assert_ok(varint_decode(&body, &len));
    assert_ok(kad_parse(body, false, &message));
    return lookup_answered(l, id, &message, now);
}

static bool answer_empty(struct lookup *l, const struct peer_id *id, uint64_t now)
{
    begin_answer(lookup_type(l));
    return answer(l, id, now);
}

static void alpha_queries_go_out_and_the_rest_waits(void **state)
{
    (void)state;
    struct peer_id ids[LOOKUP_CANDIDATES_MAX];
    struct lookup_params params = plain;
    params.follow_up = true;
    struct lookup *l = start(params, 30);
    assert_int_equal(ask(l, 0, ids), KAD_ALPHA);
    for (size_t i = 1; i < KAD_ALPHA; i++) { /* nearest first */
        struct kad_key before = kad_key_of_peer(&ids[i - 1]), after = kad_key_of_peer(&ids[i]);
        assert_true(kad_key_closer(lookup_target(l), &before, &after) < 0);
    }
    assert_false(answer_empty(l, &ids[0], 10));
    assert_int_equal(ask(l, 10, ids + KAD_ALPHA), 1);
    /* Stalled ones make way, up to a bound. */
    assert_int_equal(lookup_next_tick(l), LOOKUP_STALL_MS + 1);
    assert_int_equal(ask(l, LOOKUP_STALL_MS + 1, ids + 11), 9);
    assert_int_equal(ask(l, 2 * LOOKUP_STALL_MS + 1000, ids + 20), 10);
    assert_int_equal(ask(l, 3 * LOOKUP_STALL_MS + 2000, ids + 30), 0);
    lookup_free(l);
}

static void beta_answers_end_it_or_all_of_the_closest(void **state)
{
    (void)state;
    struct peer_id ids[LOOKUP_CANDIDATES_MAX];
    struct lookup *l = start(plain, 30);
    (void)ask(l, 0, ids);
    (void)answer_empty(l, &ids[5], 1);
    (void)answer_empty(l, &ids[0], 1);
    (void)answer_empty(l, &ids[2], 1);
    assert_int_equal(lookup_state(l), LOOKUP_RUNNING); /* the second nearest is in flight */
    lookup_failed(l, &ids[1], 1);
    assert_int_equal(lookup_state(l), LOOKUP_RUNNING);
    (void)answer_empty(l, &ids[3], 1);
    assert_int_equal(lookup_state(l), LOOKUP_DONE);
    struct lookup_peer closest[KAD_K];
    assert_int_equal(lookup_closest(l, closest, KAD_K), 4);
    assert_true(peer_id_equal(&closest[0].id, &ids[0]));
    assert_true(peer_id_equal(&closest[3].id, &ids[5]));
    assert_false(answer_empty(l, &ids[4], 1)); /* too late */
    lookup_free(l);

    struct lookup_params params = plain;
    params.follow_up = true;
    l = start(params, 30);
    size_t asked = 0, answered = 0;
    while (lookup_state(l) == LOOKUP_RUNNING) {
        asked += ask(l, 1, ids + asked);
        assert_true(answered < asked);
        (void)answer_empty(l, &ids[answered++], 1);
    }
    assert_int_equal(answered, KAD_K);
    assert_int_equal(asked, KAD_K);
    assert_int_equal(lookup_closest(l, closest, 5), 5);
    lookup_free(l);
}

static void time_ends_queries_and_the_lookup(void **state)
{
    (void)state;
    struct peer_id ids[LOOKUP_CANDIDATES_MAX], late;
    struct lookup *l = start(plain, 12);
    assert_int_equal(ask(l, 0, ids), 10);
    (void)answer_empty(l, &ids[9], 5);
    lookup_tick(l, LOOKUP_QUERY_TIMEOUT_MS - 1);
    assert_false(lookup_next_timeout(l, &late));
    lookup_tick(l, LOOKUP_QUERY_TIMEOUT_MS);
    size_t timeouts = 0;
    while (lookup_next_timeout(l, &late))
        timeouts++;
    assert_int_equal(timeouts, 9);
    assert_int_equal(ask(l, LOOKUP_QUERY_TIMEOUT_MS, ids), 2);
    assert_int_equal(lookup_state(l), LOOKUP_RUNNING);
    lookup_tick(l, DEADLINE);
    struct lookup_peer closest[KAD_K];
    assert_int_equal(lookup_closest(l, closest, KAD_K), 1); /* partial, but there */
    lookup_free(l);

    l = start(plain, 1);
    assert_int_equal(ask(l, DEADLINE - 1, ids), 1);
    lookup_tick(l, DEADLINE);
    assert_int_equal(lookup_state(l), LOOKUP_DEADLINE);
    assert_false(answer_empty(l, &ids[0], DEADLINE));
    lookup_free(l);

    struct lookup_query query;
    l = start(plain, 0);
    assert_false(lookup_next(l, 0, &query));
    assert_int_equal(lookup_state(l), LOOKUP_STARVED);
    lookup_free(l);
    l = start(plain, 2);
    assert_int_equal(ask(l, 0, ids), 2);
    lookup_failed(l, &ids[0], 1);
    lookup_failed(l, &ids[0], 1);
    lookup_failed(l, &ids[1], 1);
    assert_int_equal(lookup_state(l), LOOKUP_STARVED);
    lookup_free(l);
}

static void answers_bring_candidates_once(void **state)
{
    (void)state;
    struct peer_id ids[LOOKUP_CANDIDATES_MAX];
    static const char *const private_addr[] = {"/ip4/192.168.1.1/tcp/1"};
    static const char *const undialable[] = {"/ip4/60.9.1.1/udp/1/quic-v1"};
    struct lookup_params params = plain;
    params.own = peer_of(50);
    struct lookup *l = start(params, 1);
    assert_int_equal(ask(l, 0, ids), 1);
    begin_answer(KAD_FIND_NODE);
    name(KAD_CLOSER, 1, addr_of(1));   /* known */
    name(KAD_CLOSER, 50, addr_of(50)); /* ourselves */
    name(KAD_CLOSER, 51, span_of(NULL, 0));
    name(KAD_CLOSER, 52, texts_of(private_addr, 1));
    name(KAD_CLOSER, 53, texts_of(undialable, 1));
    name(KAD_CLOSER, 54, addr_of(54));
    name(KAD_CLOSER, 54, addr_of(54));
    assert_true(answer(l, &ids[0], 1));
    assert_int_equal(ask(l, 1, ids), 1);
    struct peer_id good = peer_of(54);
    assert_true(peer_id_equal(&ids[0], &good));
    struct lookup_stats stats;
    assert_false(answer_empty(l, &good, 2));
    lookup_stats(l, &stats);
    assert_int_equal(stats.heard, 2);
    assert_int_equal(stats.asked, 2);
    assert_int_equal(stats.hops, 2);
    assert_int_equal(lookup_state(l), LOOKUP_DONE);
    lookup_free(l);
}

/* A wrong address does not end a peer for good. */
static void another_address_is_another_try(void **state)
{
    (void)state;
    struct peer_id ids[LOOKUP_CANDIDATES_MAX], sought = peer_of(9);
    struct lookup *l = start(plain, 2);
    assert_int_equal(ask(l, 0, ids), 2);
    begin_answer(KAD_FIND_NODE);
    name(KAD_CLOSER, 9, addr_of(700));
    assert_true(answer(l, &ids[0], 1));
    struct lookup_query query;
    assert_true(lookup_next(l, 1, &query));
    assert_true(peer_id_equal(&query.id, &sought));
    lookup_failed(l, &sought, 2);
    assert_false(lookup_next(l, 2, &query));
    begin_answer(KAD_FIND_NODE);
    name(KAD_CLOSER, 9, addr_of(9));
    (void)answer(l, &ids[1], 3);
    assert_true(lookup_next(l, 3, &query));
    assert_true(peer_id_equal(&query.id, &sought));
    assert_true(span_equal(query.addrs, addr_of(9)));
    lookup_failed(l, &sought, 4);
    assert_int_equal(lookup_state(l), LOOKUP_DONE);
    lookup_free(l);
}

static void providers_stream_and_enough_of_them_end_it(void **state)
{
    (void)state;
    struct peer_id ids[LOOKUP_CANDIDATES_MAX];
    struct lookup_params params = plain;
    struct lookup_peer got;
    params.type = KAD_GET_PROVIDERS;
    params.providers = 6;
    params.follow_up = true;
    struct lookup *l = start(params, 30);
    (void)ask(l, 0, ids);
    begin_answer(KAD_GET_PROVIDERS);
    name(KAD_PROVIDERS, 100, span_of(NULL, 0));
    name(KAD_PROVIDERS, 101, addr_of(101));
    assert_true(answer(l, &ids[0], 1));
    assert_true(lookup_next_provider(l, &got));
    assert_int_equal(got.addrs.len, 0);
    assert_true(lookup_next_provider(l, &got));
    assert_true(span_equal(got.addrs, addr_of(101)));
    assert_false(lookup_next_provider(l, &got));
    begin_answer(KAD_GET_PROVIDERS);
    name(KAD_PROVIDERS, 100, addr_of(100));
    name(KAD_PROVIDERS, 101, addr_of(101));
    (void)answer(l, &ids[1], 1);
    struct peer_id first = peer_of(100);
    assert_true(lookup_next_provider(l, &got)); /* now with an address */
    assert_true(peer_id_equal(&got.id, &first) && got.addrs.len > 0);
    assert_false(lookup_next_provider(l, &got));
    assert_int_equal(lookup_provider_count(l), 2);
    /* Twenty from one peer count for a third of six only. */
    begin_answer(KAD_GET_PROVIDERS);
    for (uint64_t n = 200; n < 220; n++)
        name(KAD_PROVIDERS, n, addr_of(n));
    assert_true(answer(l, &ids[2], 1));
    assert_int_equal(lookup_state(l), LOOKUP_RUNNING);
    assert_int_equal(lookup_provider_count(l), 22);
    for (uint64_t i = 3; i < 5; i++) { /* so do those of its neighbour, wherever that is said to be */
        begin_answer(KAD_GET_PROVIDERS);
        name(KAD_PROVIDERS, 300 + 2 * i, addr_of(300));
        name(KAD_PROVIDERS, 301 + 2 * i, addr_of(300));
        struct span remote = addr_of(i == 3 ? 999 : 998), addr;
        assert_true(addr_list_next(&remote, &addr));
        if (i == 3)
            lookup_seen_at(l, &ids[2], addr);
        lookup_seen_at(l, &ids[i], addr);
        assert_true(answer(l, &ids[i], 1));
        assert_int_equal(lookup_state(l), i == 3 ? LOOKUP_RUNNING : LOOKUP_DONE);
    }
    size_t left = 0;
    while (lookup_next_provider(l, &got))
        left++;
    assert_int_equal(left, 24);
    lookup_free(l);
}

/* What FIND_NODE looks for is told with addresses that no query could use. */
static void the_sought_peer_is_found_behind_a_relay(void **state)
{
    (void)state;
    static const char *const relayed[] = {
        "/ip4/60.9.1.1/tcp/1/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA/p2p-circuit",
        "/ip4/192.168.1.1/tcp/1", "/ip4/60.9.1.1/udp/1/quic-v1"};
    struct peer_id ids[LOOKUP_CANDIDATES_MAX], sought = peer_of(77);
    struct lookup_params params = plain;
    struct lookup_peer found;
    params.key = peer_id_span(&sought);
    struct lookup *l = start(params, 1);
    assert_int_equal(ask(l, 0, ids), 1);
    assert_false(lookup_find(l, &sought, &found));
    begin_answer(KAD_FIND_NODE);
    name(KAD_CLOSER, 77, texts_of(relayed, ARRAY_LEN(relayed)));
    (void)answer(l, &ids[0], 1);
    assert_true(lookup_find(l, &sought, &found));
    assert_int_equal(addr_list_count(found.addrs), 2);
    lookup_free(l);
}

static void a_connected_seed_needs_no_address(void **state)
{
    (void)state;
    struct lookup_query query;
    struct peer_id id = peer_of(1);
    struct lookup *l = start(plain, 0);
    lookup_seed(l, &id, span_of(NULL, 0));
    assert_true(lookup_next(l, 0, &query));
    assert_int_equal(query.addrs.len, 0);
    lookup_stop(l);
    assert_int_equal(lookup_state(l), LOOKUP_DONE);
    lookup_free(l);
}

/* Forty peers an answer, all invented and nearer each time: the list stays bounded, and so does memory at every limit. */
static void memory_is_bounded(void **state)
{
    (void)state;
    for (uint64_t limit = sizeof(struct peer_id); limit < 128 * KIB; limit += limit < 40 * KIB ? 4001 : 997) {
        struct account account;
        struct lookup_params params = plain;
        struct lookup *l = NULL;
        struct lookup_query query;
        account_init(&account, "test", limit);
        params.key = span_text("key");
        params.type = KAD_GET_PROVIDERS;
        params.follow_up = true;
        enum err err = lookup_new(&params, &account, &l);
        if (err != ERR_OK) {
            assert_err(err, ERR_NOMEM);
            continue;
        }
        struct peer_id first = peer_of(1);
        lookup_seed(l, &first, addr_of(1));
        uint64_t next = 1000;
        for (int round = 0; round < 60 && lookup_next(l, 1, &query); round++) {
            struct peer_id id = query.id;
            begin_answer(KAD_GET_PROVIDERS);
            for (int i = 0; i < 40; i++, next++) {
                name(KAD_CLOSER, next, addr_of(next * 7));
                name(KAD_PROVIDERS, next, addr_of(next));
            }
            (void)answer(l, &id, 1);
        }
        assert_true(lookup_provider_count(l) <= LOOKUP_PROVIDERS_MAX);
        lookup_free(l);
        assert_int_equal(account_used(&account), 0);
    }
}

static void bad_parameters_are_refused(void **state)
{
    (void)state;
    static const uint8_t key[KAD_RECORD_KEY_MAX + 1];
    struct lookup *l = NULL;
    struct lookup_params params = plain;
    assert_err(lookup_new(&params, NULL, &l), ERR_INVALID);
    params.key = span_of(key, sizeof(key));
    assert_err(lookup_new(&params, NULL, &l), ERR_TOO_LARGE);
    params.key = span_text("key");
    params.type = KAD_PUT_VALUE;
    assert_err(lookup_new(&params, NULL, &l), ERR_INVALID);
    assert_null(l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(alpha_queries_go_out_and_the_rest_waits),
        TEST(beta_answers_end_it_or_all_of_the_closest),
        TEST(time_ends_queries_and_the_lookup),
        TEST(answers_bring_candidates_once),
        TEST(another_address_is_another_try),
        TEST(providers_stream_and_enough_of_them_end_it),
        TEST(the_sought_peer_is_found_behind_a_relay),
        TEST(a_connected_seed_needs_no_address),
        TEST(memory_is_bounded),
        TEST(bad_parameters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
