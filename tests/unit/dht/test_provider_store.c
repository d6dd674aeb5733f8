/* SPDX-License-Identifier: MIT */
/* Provider records: what is served until when, what a flood cannot do (P11, P13), and rows beside a database that mirrors them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/random.h"
#include "dht/provider_store.h"
#include "tests/support/bytes.h"

#define HOUR_NS (3600 * SECOND_NS)

static const uint64_t start_ns = UINT64_C(1700000000) * SECOND_NS;

static struct account account;
static struct provider_store *store;

static int setup(void **state)
{
    (void)state;
    account_init(&account, "tables", 4 * MIB);
    struct provider_options options = {
        .bytes_max = 256 * KIB, .per_key_max = 64, .per_peer_max = 100, .seed = {1, 2, 3}, .account = &account};
    return provider_store_new(&options, &store) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    provider_store_free(store);
    return account_used(&account) == 0 ? 0 : -1;
}

static struct peer_id peer_of(uint64_t number)
{
    uint8_t key[36] = {0x08, 0x01, 0x12, 0x20};
    memcpy(key + 4, &number, sizeof(number));
    return peer_id_of_key(span_of(key, sizeof(key)));
}

static enum err add(uint64_t key, uint64_t peer, uint64_t now_ns)
{
    struct peer_id id = peer_of(peer);
    return provider_store_add(store, span_of(&key, sizeof(key)), &id, (struct span){0}, now_ns);
}

static size_t get(uint64_t key, uint64_t now_ns, struct provider *to, size_t max)
{
    return provider_store_get(store, span_of(&key, sizeof(key)), 0, now_ns, to, max);
}

static bool has(uint64_t key, uint64_t peer, uint64_t now_ns)
{
    struct provider found[64];
    struct peer_id id = peer_of(peer);
    size_t count = get(key, now_ns, found, 64);
    for (size_t i = 0; i < count; i++)
        if (peer_id_equal(&found[i].peer, &id))
            return true;
    return false;
}

static void records_expire_after_two_days_and_addresses_after_one(void **state)
{
    (void)state;
    struct peer_id id = peer_of(7);
    struct provider found[4];
    struct span addrs = bytes_of_hex("08047f000001060fa1");
    assert_ok(provider_store_add(store, span_text("key"), &id, addrs, start_ns));
    assert_int_equal(provider_store_get(store, span_text("key"), 0, start_ns + 24 * HOUR_NS - SECOND_NS, found, 4), 1);
    assert_span(found[0].addrs, "08047f000001060fa1");
    assert_true(peer_id_equal(&found[0].peer, &id));
    assert_int_equal(provider_store_get(store, span_text("key"), 0, start_ns + 24 * HOUR_NS, found, 4), 1);
    assert_int_equal(found[0].addrs.len, 0);
    assert_int_equal(provider_store_get(store, span_text("key"), 0, start_ns + 48 * HOUR_NS - SECOND_NS, found, 4), 1);
    assert_int_equal(provider_store_get(store, span_text("key"), 0, start_ns + 48 * HOUR_NS, found, 4), 0);
    assert_int_equal(provider_store_expire(store, 1000, start_ns + 48 * HOUR_NS), 1);
    assert_int_equal(provider_store_counts(store).records, 0);
    assert_int_equal(provider_store_counts(store).peers, 0);
}

/* What came under a clock that was ahead stays for two days, not for as long as the clock was ahead. */
static void the_clock_may_go_back(void **state)
{
    (void)state;
    struct peer_id id = peer_of(7);
    struct provider found[4];
    struct provider_row row = {.slot = 1, .key = {1}, .peer = peer_of(8), .received_ns = start_ns + 900 * HOUR_NS};
    assert_ok(
        provider_store_add(store, span_text("key"), &id, bytes_of_hex("08047f000001060fa1"), start_ns + 900 * HOUR_NS));
    assert_true(provider_store_load(store, &row, start_ns));
    while (provider_store_next_row(store, &row))
        continue;
    assert_int_equal(provider_store_expire(store, 1000, start_ns), 0);
    assert_true(provider_store_next_row(store, &row));
    assert_true(row.received_ns == start_ns);
    assert_false(provider_store_has_rows(store));
    assert_int_equal(provider_store_get(store, span_text("key"), 0, start_ns + 24 * HOUR_NS, found, 4), 1);
    assert_int_equal(found[0].addrs.len, 0);
    assert_int_equal(provider_store_expire(store, 1000, start_ns + 48 * HOUR_NS - SECOND_NS), 0);
    assert_int_equal(provider_store_expire(store, 1000, start_ns + 48 * HOUR_NS), 2);
    /* told again: the row has the time ahead */
    assert_ok(add(1, 1, start_ns + 900 * HOUR_NS));
    while (provider_store_next_row(store, &row))
        continue;
    assert_ok(add(1, 1, start_ns));
    assert_true(provider_store_has_rows(store));
}

/* Better none than old ones. */
static void addresses_without_room_are_none(void **state)
{
    (void)state;
    struct peer_id id = peer_of(7);
    struct provider found[1];
    uint8_t addrs[54 * 9];
    for (size_t i = 0; i < 54; i++)
        memcpy(addrs + 9 * i, (uint8_t[]){8, 4, 10, 0, 0, (uint8_t)i, 6, 0x0f, 0xa1}, 9);
    assert_ok(provider_store_add(store, span_text("key"), &id, span_of(addrs, 9), start_ns));
    for (uint64_t peer = 1000; peer < 1200; peer++) {
        struct peer_id other = peer_of(peer);
        assert_ok(provider_store_add(store, span_of(&peer, 8), &other, span_of(addrs, sizeof(addrs)), start_ns));
    }
    assert_ok(provider_store_add(store, span_text("key"), &id, span_of(addrs, sizeof(addrs)), start_ns));
    assert_int_equal(provider_store_get(store, span_text("key"), 0, start_ns, found, 1), 1);
    assert_int_equal(found[0].addrs.len, 0);
}

/* Among those that have most of a full store, the one that wants more gives way itself. */
static void who_has_as_many_as_anybody_pays_itself(void **state)
{
    (void)state;
    uint64_t max = provider_store_counts(store).records_max;
    uint64_t peers = (max + 1) / 2;
    for (uint64_t i = 0; i < max; i++)
        assert_ok(add(i, i % peers, start_ns));
    assert_ok(add(max, 0, start_ns));
    assert_false(has(0, 0, start_ns));
    assert_true(has(max, 0, start_ns));
    for (uint64_t i = 1; i < max; i++)
        assert_true(has(i, i % peers, start_ns));
}

/* 100 addresses: those that fit are kept, whole. */
static void addresses_past_the_bound_are_left_out(void **state)
{
    (void)state;
    uint8_t addrs[100 * 9];
    struct provider found[1];
    struct peer_id id = peer_of(7);
    for (size_t i = 0; i < 100; i++)
        memcpy(addrs + 9 * i, (uint8_t[]){8, 4, 10, 0, 0, (uint8_t)i, 6, 0x0f, 0xa1}, 9);
    assert_ok(provider_store_add(store, span_text("key"), &id, span_of(addrs, sizeof(addrs)), start_ns));
    assert_int_equal(provider_store_get(store, span_text("key"), 0, start_ns, found, 1), 1);
    assert_int_equal(found[0].addrs.len, 56 * 9);
}

static void refuses_what_is_no_key(void **state)
{
    (void)state;
    uint8_t key[PROVIDER_KEY_BYTES_MAX + 1] = {0};
    struct peer_id id = peer_of(1);
    struct peer_id nobody = {0};
    struct span none = {0};
    assert_err(provider_store_add(store, span_of(key, sizeof(key)), &id, none, start_ns), ERR_INVALID);
    assert_err(provider_store_add(store, span_of(key, 0), &id, none, start_ns), ERR_INVALID);
    assert_err(provider_store_add(store, span_of(key, 32), &nobody, none, start_ns), ERR_INVALID);
    assert_ok(provider_store_add(store, span_of(key, sizeof(key) - 1), &id, none, start_ns));
}

/* P11: a million ADD_PROVIDER on one key, by as many peers: who was there first stays; who was not told again for a day gives way. */
static void a_crowd_on_a_key_pushes_nobody_out(void **state)
{
    (void)state;
    struct provider found[64];
    assert_ok(add(1, 1000000, start_ns));
    for (uint64_t i = 0; i < 1000000; i++)
        (void)!add(1, i, start_ns);
    assert_int_equal(get(1, start_ns, found, 64), 64);
    assert_true(has(1, 1000000, start_ns));
    assert_int_equal(provider_store_counts(store).records, 64);
    assert_ok(add(1, 1000000, start_ns + 22 * HOUR_NS));
    assert_err(add(1, 2000000, start_ns + 22 * HOUR_NS), ERR_BUSY);
    for (uint64_t i = 0; i < 200; i++)
        (void)!add(1, 3000000 + i, start_ns + 24 * HOUR_NS);
    assert_true(has(1, 1000000, start_ns + 24 * HOUR_NS));
    assert_false(has(1, 0, start_ns + 24 * HOUR_NS));
    assert_int_equal(get(1, start_ns + 24 * HOUR_NS, found, 64), 64);
}

/* P11: a million keys by one peer: it has its newest ones, nobody else loses any. */
static void a_flood_of_one_peer_eats_itself(void **state)
{
    (void)state;
    uint32_t max = provider_store_counts(store).records_max;
    uint64_t honest = max / 3;
    for (uint64_t i = 0; i < honest; i++)
        assert_ok(add(i, i, start_ns));
    for (uint64_t i = 0; i < 1000000; i++)
        assert_ok(add(1000000 + i, 999, start_ns));
    for (uint64_t i = 0; i < honest; i++)
        assert_true(has(i, i, start_ns));
    assert_true(has(1999999, 999, start_ns));
    assert_false(has(1999999 - 100, 999, start_ns));
    assert_int_equal(provider_store_counts(store).records, honest + 100);
    assert_int_equal(account_used(&account), 256 * KIB);
}

/* 40 peers with as many keys as they may have fill the store: who comes with a few keys gets them, at the cost of those with most. */
static void a_full_store_is_shared_fairly(void **state)
{
    (void)state;
    uint32_t max = provider_store_counts(store).records_max;
    for (uint64_t peer = 0; provider_store_counts(store).evicted < max / 2; peer++)
        for (uint64_t i = 0; i < 100; i++)
            (void)!add(peer * 1000 + i, peer, start_ns);
    assert_int_equal(provider_store_counts(store).records, max);
    for (uint64_t i = 0; i < 5; i++)
        assert_ok(add(5000000 + i, 777777, start_ns));
    for (uint64_t i = 0; i < 5; i++)
        assert_true(has(5000000 + i, 777777, start_ns));
    assert_int_equal(provider_store_counts(store).records, max);
}

/* More providers than an answer holds: whichever it begins with, all are given in turn. */
static void a_crowd_does_not_hide_the_others(void **state)
{
    (void)state;
    bool seen[30] = {false};
    for (uint64_t i = 0; i < 30; i++)
        assert_ok(add(1, i, start_ns));
    for (uint32_t start = 0; start < 30; start++) {
        struct provider found[5];
        uint64_t key = 1;
        assert_int_equal(provider_store_get(store, span_of(&key, sizeof(key)), start, start_ns, found, 5), 5);
        for (size_t i = 0; i < 5; i++)
            for (uint64_t peer = 0; peer < 30; peer++) {
                struct peer_id id = peer_of(peer);
                seen[peer] = seen[peer] || peer_id_equal(&id, &found[i].peer);
            }
    }
    for (size_t i = 0; i < 30; i++)
        assert_true(seen[i]);
}

/* ---- a model, and a database that gets the rows ---- */

enum { KEYS = 60, PEERS = 40, STEPS = 60000, SLOTS = 8192 };

struct mirror {
    bool live;
    uint8_t key[SHA256_BYTES];
    struct peer_id peer;
    uint64_t received_ns;
};

static struct mirror mirror[SLOTS];

static void take_rows(size_t max)
{
    struct provider_row row;
    while (max-- > 0 && provider_store_next_row(store, &row)) {
        assert_true(row.slot < SLOTS);
        mirror[row.slot] = (struct mirror){.live = !row.gone, .peer = row.peer, .received_ns = row.received_ns};
        memcpy(mirror[row.slot].key, row.key, SHA256_BYTES);
    }
}

static size_t live_rows(void)
{
    size_t count = 0;
    for (size_t i = 0; i < SLOTS; i++)
        count += mirror[i].live;
    return count;
}

/* Each record of the model is served, and nothing else is: below all caps the store is a plain map with an expiry. */
static void expect_model(uint64_t told[KEYS][PEERS], uint64_t now_ns)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        struct provider found[64];
        size_t expected = 0;
        for (uint64_t peer = 0; peer < PEERS; peer++) {
            bool fresh = told[key][peer] != 0 && told[key][peer] + 48 * HOUR_NS > now_ns;
            expected += fresh;
            if (fresh)
                assert_true(has(key, peer, now_ns));
        }
        assert_int_equal(get(key, now_ns, found, 64), expected);
    }
}

static void agrees_with_a_model_and_its_rows(void **state)
{
    (void)state;
    static uint64_t told[KEYS][PEERS];
    struct prng prng;
    uint64_t now_ns = start_ns;
    prng_init(&prng, 5);
    memset(told, 0, sizeof(told));
    memset(mirror, 0, sizeof(mirror));
    for (unsigned step = 0; step < STEPS; step++) {
        /* 20 providers a key at most and 60 records a peer: under every cap */
        uint64_t key = prng_below(&prng, KEYS);
        uint64_t peer = (key + prng_below(&prng, 20)) % PEERS;
        assert_ok(add(key, peer, now_ns));
        told[key][peer] = now_ns;
        now_ns += prng_below(&prng, 600) * SECOND_NS;
        if (step % 7 == 0)
            (void)provider_store_expire(store, 50, now_ns);
        if (step % 5 == 0)
            take_rows(20);
        if (step % 2000 == 0)
            expect_model(told, now_ns);
    }
    (void)provider_store_expire(store, SLOTS, now_ns);
    take_rows(SIZE_MAX);
    assert_int_equal(live_rows(), provider_store_counts(store).records);
    expect_model(told, now_ns);
}

/* A life later the records are back, in whatever slots, and the rows are right once those that were marked are written. */
static void comes_back_from_its_rows(void **state)
{
    (void)state;
    memset(mirror, 0, sizeof(mirror));
    for (uint64_t i = 0; i < 300; i++)
        assert_ok(add(i % 50, i % 60, start_ns + i * HOUR_NS / 10));
    for (uint64_t i = 0; i < 20; i++)
        assert_ok(add(1000 + i, i, start_ns));
    take_rows(SIZE_MAX);
    size_t before = live_rows();
    static struct mirror old[SLOTS];
    memcpy(old, mirror, sizeof(old));
    provider_store_free(store);
    account_init(&account, "tables", 4 * MIB);
    (void)setup(NULL);
    uint64_t now_ns = start_ns + 48 * HOUR_NS; /* the first ones expired meanwhile */
    size_t expired = 0;
    for (uint32_t slot = SLOTS; slot-- > 0;) {
        struct provider_row row = {.slot = slot, .peer = old[slot].peer, .received_ns = old[slot].received_ns};
        memcpy(row.key, old[slot].key, SHA256_BYTES);
        expired += old[slot].live && old[slot].received_ns + 48 * HOUR_NS <= now_ns;
        if (old[slot].live)
            assert_true(provider_store_load(store, &row, now_ns));
    }
    assert_true(expired > 0);
    assert_int_equal(provider_store_counts(store).records, before - expired);
    assert_true(has(299 % 50, 299 % 60, now_ns));
    take_rows(SIZE_MAX);
    assert_int_equal(live_rows(), before - expired);
    struct provider_row outside = {.slot = UINT32_MAX, .peer = peer_of(1), .received_ns = now_ns};
    assert_false(provider_store_load(store, &outside, now_ns));
}

/* A row that could not be handed on comes again; a record told again within the hour is no new row. */
static void rows_are_few_and_none_is_lost(void **state)
{
    (void)state;
    struct provider_row row;
    assert_ok(add(1, 1, start_ns));
    assert_true(provider_store_next_row(store, &row));
    assert_false(provider_store_next_row(store, &row));
    provider_store_row_again(store, row.slot);
    assert_true(provider_store_next_row(store, &row));
    assert_ok(add(1, 1, start_ns + HOUR_NS - SECOND_NS));
    assert_false(provider_store_next_row(store, &row));
    assert_ok(add(1, 1, start_ns + HOUR_NS));
    assert_true(provider_store_next_row(store, &row));
    assert_true(row.received_ns == start_ns + HOUR_NS);
}

static void takes_no_more_than_the_account_has(void **state)
{
    (void)state;
    struct provider_store *other;
    struct provider_options options = provider_options_for(9 * MIB);
    options.account = &account;
    assert_true(options.per_peer_max > 500);
    assert_ok(provider_store_new(&options, &other));
    assert_true(provider_store_counts(other).records_max > 10000);
    options.bytes_max = 4 * MIB;
    struct provider_store *third;
    assert_err(provider_store_new(&options, &third), ERR_NOMEM);
    provider_store_free(other);
    options.bytes_max = 1000;
    assert_err(provider_store_new(&options, &third), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_expire_after_two_days_and_addresses_after_one, setup, teardown),
        cmocka_unit_test_setup_teardown(the_clock_may_go_back, setup, teardown),
        cmocka_unit_test_setup_teardown(addresses_without_room_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(who_has_as_many_as_anybody_pays_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(addresses_past_the_bound_are_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_key, setup, teardown),
        cmocka_unit_test_setup_teardown(a_crowd_on_a_key_pushes_nobody_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood_of_one_peer_eats_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_store_is_shared_fairly, setup, teardown),
        cmocka_unit_test_setup_teardown(a_crowd_does_not_hide_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(agrees_with_a_model_and_its_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(comes_back_from_its_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_are_few_and_none_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(takes_no_more_than_the_account_has, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
