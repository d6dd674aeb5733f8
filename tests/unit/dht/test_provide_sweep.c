/* SPDX-License-Identifier: MIT */
/* Providing by regions beside providing one by one in a network that is known as a whole: who is told, at what cost; and the schedule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/random.h"
#include "dht/provide_batch.h"
#include "dht/provide_region.h"
#include "dht/provide_sweep.h"
#include "tests/support/bytes.h"

enum { NETWORK_MAX = 20000 };

#define HOUR_NS (3600 * SECOND_NS)

static struct region_peer network[NETWORK_MAX];
static size_t network_len;

static void make_network(size_t peers, uint64_t seed)
{
    struct prng prng;
    prng_init(&prng, seed);
    network_len = peers;
    for (size_t i = 0; i < peers; i++) {
        uint8_t key[36] = {0x08, 0x01, 0x12, 0x20};
        prng_fill(&prng, key + 4, 32);
        network[i].id = peer_id_of_key(span_of(key, sizeof(key)));
        network[i].key = kad_key_of_peer(&network[i].id);
    }
}

/* What a perfect lookup finds. */
static size_t closest(const struct kad_key *target, struct peer_id to[KAD_K])
{
    size_t best[KAD_K];
    size_t count = 0;
    for (size_t peer = 0; peer < network_len; peer++) {
        if (count == KAD_K && kad_key_closer(target, &network[peer].key, &network[best[KAD_K - 1]].key) >= 0)
            continue;
        size_t i = count < KAD_K ? count++ : KAD_K - 1;
        for (; i > 0 && kad_key_closer(target, &network[best[i - 1]].key, &network[peer].key) > 0; i--)
            best[i] = best[i - 1];
        best[i] = peer;
    }
    for (size_t i = 0; i < count; i++)
        to[i] = network[best[i]].id;
    return count;
}

static unsigned explore(struct provide_region *r, const struct kad_key *key, unsigned bits)
{
    struct span target;
    provide_region_init(r, key, bits, 42);
    while (provide_region_target(r, &target)) {
        struct peer_id found[KAD_K];
        struct kad_key at = kad_key_of(target);
        provide_region_found(r, found, closest(&at, found));
    }
    return r->lookups;
}

/* Every peer of the network that lies in the region was found, and nobody else. */
static void expect_complete(const struct provide_region *r)
{
    size_t inside = 0;
    assert_int_equal(r->state, REGION_DONE);
    for (size_t i = 0; i < network_len; i++)
        inside += provide_region_contains(r, &network[i].key);
    assert_int_equal(r->peer_count, inside);
    assert_true(inside >= KAD_K || r->bits == 0);
}

static void a_region_has_all_its_peers(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 5, 19, 20, 21, 60, 100, 300, 1000, 3000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        make_network(sizes[i], i);
        for (unsigned turn = 0; turn < 20; turn++) {
            struct provide_region r;
            struct kad_key key = kad_key_of(span_of(&turn, sizeof(turn)));
            (void)explore(&r, &key, PROVIDE_REGION_BITS_UNKNOWN);
            expect_complete(&r);
            assert_true(provide_region_contains(&r, &key));
            (void)explore(&r, &key, provide_region_bits((double)sizes[i]));
            expect_complete(&r);
        }
    }
}

/* A wrong idea of the network's size costs lookups, not completeness. */
static void a_wrong_estimate_is_made_good(void **state)
{
    (void)state;
    make_network(2000, 7);
    for (unsigned bits = 0; bits <= 14; bits++) {
        struct provide_region r;
        struct kad_key key = kad_key_of(span_text("somewhere"));
        assert_true(explore(&r, &key, bits) < PROVIDE_REGION_LOOKUPS_MAX);
        expect_complete(&r);
        assert_true(r.peer_count <= PROVIDE_REGION_PEERS_MAX);
    }
}

/* Regions of hardly enough peers, and those whose other half is missing: from wherever the key lies. */
static void a_region_that_is_too_small_becomes_its_parent(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 64; turn++) {
        struct provide_region r;
        struct kad_key key = kad_key_of(span_of(&turn, sizeof(turn)));
        make_network(39, turn);
        (void)explore(&r, &key, 1);
        expect_complete(&r);
        make_network(700, turn);
        (void)explore(&r, &key, 8);
        expect_complete(&r);
    }
}

static void a_region_aims_at_some_peers(void **state)
{
    (void)state;
    assert_int_equal(provide_region_bits(0), PROVIDE_REGION_BITS_UNKNOWN);
    assert_int_equal(provide_region_bits(2 * PROVIDE_REGION_PEERS - 1), 0);
    assert_int_equal(provide_region_bits(2 * PROVIDE_REGION_PEERS), 1);
    assert_int_equal(provide_region_bits(1e300), PROVIDE_REGION_BITS_MAX);
}

/* One peer, and always the nearest: each answer covers next to nothing. */
static void an_exploration_without_end_is_given_up(void **state)
{
    (void)state;
    struct provide_region r;
    struct span target;
    struct kad_key key = kad_key_of(span_text("somewhere"));
    make_network(1000, 5);
    provide_region_init(&r, &key, 0, 1);
    while (provide_region_target(&r, &target)) {
        struct peer_id found[KAD_K];
        struct kad_key at = kad_key_of(target);
        assert_int_equal(closest(&at, found), KAD_K);
        for (size_t i = 1; i < KAD_K; i++)
            found[i] = found[0];
        provide_region_found(&r, found, KAD_K);
    }
    assert_int_equal(r.state, REGION_FAILED);
    assert_int_equal(r.lookups, PROVIDE_REGION_LOOKUPS_MAX);
}

/* Where a region is thought to begin: seldom deep, for each bit doubles the hashes that a target costs. */
static unsigned thought_bits(unsigned turn)
{
    if (turn % 2 == 0)
        return PROVIDE_REGION_BITS_UNKNOWN;
    return turn % 100 == 99 ? PROVIDE_REGION_BITS_MAX : turn / 2 % 14;
}

/* Answers that make no sense end the exploration: nothing loops for ever. */
static void nonsense_ends(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 1);
    for (unsigned turn = 0; turn < 200; turn++) {
        struct provide_region r;
        struct span target;
        struct kad_key key = kad_key_of(span_of(&turn, sizeof(turn)));
        provide_region_init(&r, &key, thought_bits(turn), turn);
        make_network(500, turn);
        while (provide_region_target(&r, &target)) {
            struct peer_id found[KAD_K];
            size_t count = prng_below(&prng, KAD_K + 1);
            for (size_t i = 0; i < count; i++)
                found[i] = network[prng_below(&prng, network_len)].id;
            provide_region_found(&r, found, count);
        }
        assert_true(r.lookups <= PROVIDE_REGION_LOOKUPS_MAX);
    }
}

/* ---- a whole round ---- */

struct row {
    struct kad_key key;
    uint8_t multihash[34];
};

static int by_key(const void *a, const void *b)
{
    return kad_key_compare(&((const struct row *)a)->key, &((const struct row *)b)->key);
}

static struct row *make_rows(size_t count)
{
    struct row *rows = calloc(count, sizeof(*rows));
    assert_non_null(rows);
    for (size_t i = 0; i < count; i++) {
        rows[i].multihash[0] = 0x12;
        rows[i].multihash[1] = 0x20;
        sha256_sum(span_of(&i, sizeof(i)), rows[i].multihash + 2);
        rows[i].key = kad_key_of(span_of(rows[i].multihash, sizeof(rows[i].multihash)));
    }
    qsort(rows, count, sizeof(*rows), by_key);
    return rows;
}

struct cost {
    uint64_t lookups, messages, streams, keys;
};

static void expect_closest(const struct provide_batch *batch, const struct provide_region *r, struct span multihash)
{
    struct peer_id expected[KAD_K];
    struct kad_key key = kad_key_of(multihash);
    size_t count = closest(&key, expected);
    for (size_t i = 0; i < count; i++) {
        bool told = false;
        for (size_t peer = 0; peer < r->peer_count && !told; peer++) {
            uint32_t position = 0;
            struct span other;
            if (!peer_id_equal(&r->peers[peer].id, &expected[i]))
                continue;
            while (!told && provide_batch_next_key(batch, peer, &position, &other))
                told = span_equal(other, multihash);
        }
        assert_true(told);
    }
}

/* The keys of the region from *at on, in pages. */
static void tell(struct provide_batch *batch, const struct provide_region *r, const struct row *rows, size_t count,
                 size_t *at, struct cost *cost)
{
    while (*at < count && provide_region_contains(r, &rows[*at].key)) {
        provide_batch_clear(batch);
        size_t first = *at;
        while (*at < count && provide_region_contains(r, &rows[*at].key) &&
               provide_batch_add(batch, span_of(rows[*at].multihash, 34)) == ERR_OK)
            (*at)++;
        provide_batch_assign(batch, r->peers, r->peer_count);
        size_t peer;
        struct peer_id id;
        while (provide_batch_next_peer(batch, &peer, &id)) {
            uint32_t position = 0;
            struct span key;
            cost->streams++;
            while (provide_batch_next_key(batch, peer, &position, &key))
                cost->messages++;
            provide_batch_told(batch, peer, position, true);
        }
        struct provide_outcome outcome = provide_batch_outcome(batch);
        assert_int_equal(outcome.provided, outcome.keys);
        assert_int_equal(outcome.keys, *at - first);
        cost->keys += outcome.keys;
        expect_closest(batch, r, span_of(rows[first].multihash, 34));
        expect_closest(batch, r, span_of(rows[*at - 1].multihash, 34));
    }
}

/* The owner's part in short: go round the ring, region by region, as the schedule says. */
static struct cost round_trip(struct provide_sweep *sweep, const struct row *rows, size_t count, uint64_t *now_ns)
{
    struct provide_batch *batch;
    struct cost cost = {0};
    uint64_t end_ns = *now_ns + sweep->interval_ns;
    assert_ok(provide_batch_new(PROVIDE_BATCH_KEYS_MAX, NULL, &batch));
    for (size_t at = 0; at < count;) {
        struct provide_region r;
        uint64_t first = provide_sweep_position(&rows[at].key);
        if (first > sweep->position)
            provide_sweep_passed(sweep, first - 1);
        if (!provide_sweep_is_due(sweep, *now_ns))
            *now_ns = sweep->due_ns;
        cost.lookups += explore(&r, &rows[at].key, provide_sweep_bits(sweep));
        expect_complete(&r);
        tell(batch, &r, rows, count, &at, &cost);
        struct kad_key last = provide_region_end(&r);
        provide_sweep_passed(sweep, provide_sweep_position(&last));
        provide_sweep_learn(sweep, r.bits, provide_region_density(&r), SECOND_NS);
    }
    if (sweep->position != 0)
        provide_sweep_passed(sweep, UINT64_MAX);
    assert_true(sweep->due_ns <= end_ns && sweep->due_ns + SECOND_NS > end_ns);
    provide_batch_free(batch);
    return cost;
}

static struct cost sweep_network(size_t peers, size_t keys)
{
    struct provide_sweep sweep;
    uint64_t now_ns = 1000 * HOUR_NS;
    make_network(peers, 11);
    struct row *rows = make_rows(keys);
    provide_sweep_init(&sweep, 22 * HOUR_NS, now_ns);
    struct cost cost = round_trip(&sweep, rows, keys, &now_ns);
    assert_int_equal(cost.keys, keys);
    assert_int_equal(cost.messages, keys * MIN(peers, (size_t)KAD_K));
    free(rows);
    return cost;
}

/* One by one costs a lookup and KAD_K streams for each key. ADD_PROVIDER names one key, so those messages are as many either way. */
static void a_sweep_is_cheaper_than_one_by_one(void **state)
{
    (void)state;
    static const struct {
        size_t peers, keys;
    } cases[] = {{200, 10000}, {1000, 20000}, {5000, 20000}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cost cost = sweep_network(cases[i].peers, cases[i].keys);
        assert_true(cost.lookups * 20 < cases[i].keys);
        assert_true(cost.streams * 20 < cases[i].keys * KAD_K);
        print_message("%zu peers, %zu keys: %llu lookups, %llu streams, %llu ADD_PROVIDER\n", cases[i].peers,
                      cases[i].keys, (unsigned long long)cost.lookups, (unsigned long long)cost.streams,
                      (unsigned long long)cost.messages);
    }
}

/* ---- the schedule ---- */

static void the_ring_takes_one_interval(void **state)
{
    (void)state;
    struct provide_sweep sweep;
    uint64_t start_ns = 1000 * HOUR_NS;
    provide_sweep_init(&sweep, 22 * HOUR_NS, start_ns);
    assert_true(provide_sweep_is_due(&sweep, start_ns));
    for (uint64_t i = 0; i < 16; i++)
        provide_sweep_passed(&sweep, (i + 1) * (UINT64_MAX / 16) + i);
    assert_true(sweep.position == 0);
    assert_false(provide_sweep_is_due(&sweep, start_ns + 22 * HOUR_NS - SECOND_NS));
    assert_true(provide_sweep_is_due(&sweep, start_ns + 22 * HOUR_NS));
    assert_true(provide_sweep_before(&sweep) + 11 * HOUR_NS == sweep.due_ns);
}

static void lag_and_eta_tell_how_late_it_is(void **state)
{
    (void)state;
    struct provide_sweep sweep;
    uint64_t now_ns = 1000 * HOUR_NS;
    provide_sweep_init(&sweep, 22 * HOUR_NS, now_ns);
    assert_true(provide_sweep_lag(&sweep, now_ns) == 0 && provide_sweep_eta(&sweep, now_ns) == 0);
    now_ns += 4 * HOUR_NS;
    assert_true(provide_sweep_lag(&sweep, now_ns) == 4 * HOUR_NS);
    assert_true(provide_sweep_eta(&sweep, now_ns) == UINT64_MAX);
    provide_sweep_learn(&sweep, 4, 1000, 11 * HOUR_NS / 16); /* a ring costs eleven hours */
    uint64_t eta = provide_sweep_eta(&sweep, now_ns);
    assert_true(eta > 4 * HOUR_NS - SECOND_NS && eta < 4 * HOUR_NS + SECOND_NS);
    for (unsigned i = 0; i < 20; i++)
        provide_sweep_learn(&sweep, 0, 1000, 30 * HOUR_NS);
    assert_true(provide_sweep_eta(&sweep, now_ns) == UINT64_MAX);
    /* away for a week: one round is to be caught up, six were lost */
    now_ns += 168 * HOUR_NS;
    assert_true(provide_sweep_lag(&sweep, now_ns) == 22 * HOUR_NS);
    assert_true(provide_sweep_is_due(&sweep, now_ns));
    assert_true(provide_sweep_lag(&sweep, now_ns) == 22 * HOUR_NS);
    assert_int_equal(sweep.lost, 7);
}

static void a_life_goes_on_where_the_last_one_ended(void **state)
{
    (void)state;
    struct provide_sweep sweep;
    uint64_t now_ns = 1000 * HOUR_NS;
    provide_sweep_init(&sweep, 22 * HOUR_NS, now_ns);
    provide_sweep_restore(&sweep, UINT64_MAX / 2, now_ns - HOUR_NS, now_ns);
    assert_true(provide_sweep_lag(&sweep, now_ns) == HOUR_NS);
    assert_true(sweep.position == UINT64_MAX / 2);
    provide_sweep_restore(&sweep, 5, now_ns + 100 * HOUR_NS, now_ns); /* the clock was wrong, or the interval longer */
    assert_true(sweep.due_ns == now_ns);
    sweep.due_ns = now_ns + 23 * HOUR_NS;
    assert_false(provide_sweep_is_due(&sweep, now_ns));
    assert_true(sweep.due_ns == now_ns + 22 * HOUR_NS);
    provide_sweep_init(&sweep, 22 * HOUR_NS, HOUR_NS); /* a clock that was never set */
    assert_true(provide_sweep_before(&sweep) == 0);
}

static void what_is_fresh_goes_by_class(void **state)
{
    (void)state;
    struct provide_sweep sweep;
    provide_sweep_init(&sweep, 22 * HOUR_NS, HOUR_NS);
    assert_false(provide_sweep_is_fresh(&sweep));
    provide_sweep_wake(&sweep);
    for (int class = PROVIDE_ROOT; class < PROVIDE_CLASS_COUNT; class ++) {
        assert_true(provide_sweep_is_fresh(&sweep));
        assert_int_equal(sweep.fresh_class, class);
        provide_sweep_fresh_passed(&sweep, 100);
        assert_true(sweep.fresh_position == 101);
        provide_sweep_fresh_passed(&sweep, 50);
        assert_true(sweep.fresh_position == 101); /* never back */
        if (class % 2 == 0)
            provide_sweep_fresh_ended(&sweep);
        else
            provide_sweep_fresh_passed(&sweep, UINT64_MAX);
    }
    assert_false(provide_sweep_is_fresh(&sweep));
}

/* Hot ones that come while the stored ones are gone through go before the rest of these; nobody has to begin again. */
static void what_becomes_hot_is_not_behind_what_is_stored(void **state)
{
    (void)state;
    struct provide_sweep sweep;
    provide_sweep_init(&sweep, 22 * HOUR_NS, HOUR_NS);
    provide_sweep_hot(&sweep);
    assert_false(provide_sweep_is_fresh(&sweep));
    provide_sweep_wake(&sweep);
    provide_sweep_fresh_passed(&sweep, 50);
    provide_sweep_hot(&sweep);
    assert_true(sweep.fresh_class == PROVIDE_ROOT && sweep.fresh_position == 51);
    for (int class = PROVIDE_ROOT; class < PROVIDE_STORED; class ++)
        provide_sweep_fresh_ended(&sweep);
    provide_sweep_fresh_passed(&sweep, 100);
    provide_sweep_hot(&sweep);
    assert_true(sweep.fresh_class == PROVIDE_HOT && sweep.fresh_position == 0);
    provide_sweep_fresh_passed(&sweep, 70);
    provide_sweep_hot(&sweep);
    assert_true(sweep.fresh_class == PROVIDE_HOT && sweep.fresh_position == 71);
    provide_sweep_fresh_ended(&sweep);
    assert_true(sweep.fresh_class == PROVIDE_STORED && sweep.fresh_position == 101);
    provide_sweep_fresh_ended(&sweep);
    assert_false(provide_sweep_is_fresh(&sweep));
    provide_sweep_wake(&sweep);
    for (int class = PROVIDE_ROOT; class < PROVIDE_STORED; class ++)
        provide_sweep_fresh_ended(&sweep);
    assert_true(sweep.fresh_class == PROVIDE_STORED && sweep.fresh_position == 0);
}

static void a_batch_is_bounded(void **state)
{
    (void)state;
    struct account account;
    struct provide_batch *batch;
    uint8_t long_key[PROVIDE_BATCH_KEY_BYTES_MAX + 1] = {0};
    account_init(&account, "tables", 1000);
    assert_err(provide_batch_new(PROVIDE_BATCH_KEYS_MAX, &account, &batch), ERR_NOMEM);
    account_init(&account, "tables", MIB);
    assert_ok(provide_batch_new(2, &account, &batch));
    assert_err(provide_batch_add(batch, span_of(long_key, sizeof(long_key))), ERR_TOO_LARGE);
    assert_ok(provide_batch_add(batch, span_text("a")));
    assert_ok(provide_batch_add(batch, span_text("b")));
    assert_err(provide_batch_add(batch, span_text("c")), ERR_BUSY);
    provide_batch_assign(batch, NULL, 0);
    size_t peer;
    struct peer_id id;
    assert_false(provide_batch_next_peer(batch, &peer, &id));
    assert_false(provide_batch_is_provided(batch, 0));
    provide_batch_free(batch);
    assert_int_equal(account_used(&account), 0);
}

/* Fifteen of twenty peers fail: each key still has five. One more, and none counts as provided. */
static void a_key_is_provided_when_enough_were_told(void **state)
{
    (void)state;
    struct provide_batch *batch;
    make_network(KAD_K, 3);
    for (size_t well = PROVIDE_ENOUGH; well + 1 >= PROVIDE_ENOUGH; well--) {
        assert_ok(provide_batch_new(4, NULL, &batch));
        assert_ok(provide_batch_add(batch, span_text("a")));
        assert_ok(provide_batch_add(batch, span_text("b")));
        provide_batch_assign(batch, network, network_len);
        size_t peer;
        struct peer_id id;
        while (provide_batch_next_peer(batch, &peer, &id))
            provide_batch_told(batch, peer, peer < well ? 2 : 0, peer < well);
        assert_int_equal(provide_batch_outcome(batch).provided, well == PROVIDE_ENOUGH ? 2 : 0);
        assert_int_equal(provide_batch_outcome(batch).failed, KAD_K - well);
        assert_int_equal(provide_batch_is_provided(batch, 1), well == PROVIDE_ENOUGH);
        provide_batch_free(batch);
    }
    /* in a network of three all three are enough */
    make_network(3, 3);
    assert_ok(provide_batch_new(4, NULL, &batch));
    assert_ok(provide_batch_add(batch, span_text("a")));
    provide_batch_assign(batch, network, network_len);
    for (size_t peer = 0; peer < 3; peer++) {
        assert_int_equal(provide_batch_outcome(batch).provided, 0);
        provide_batch_told(batch, peer, 1, true);
    }
    assert_int_equal(provide_batch_outcome(batch).provided, 1);
    assert_true(provide_batch_is_provided(batch, 0));
    provide_batch_free(batch);
}

int main(void)
{
    /* HEARTH_SWEEP_KEYS=100000: the round of the issue, in a network of a thousand */
    const char *keys = getenv("HEARTH_SWEEP_KEYS");
    if (keys != NULL) {
        struct cost cost = sweep_network(1000, strtoul(keys, NULL, 10));
        print_message("1000 peers, %s keys: %llu lookups, %llu streams, %llu ADD_PROVIDER\n", keys,
                      (unsigned long long)cost.lookups, (unsigned long long)cost.streams,
                      (unsigned long long)cost.messages);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_region_has_all_its_peers),
        cmocka_unit_test(a_wrong_estimate_is_made_good),
        cmocka_unit_test(a_region_that_is_too_small_becomes_its_parent),
        cmocka_unit_test(a_region_aims_at_some_peers),
        cmocka_unit_test(an_exploration_without_end_is_given_up),
        cmocka_unit_test(nonsense_ends),
        cmocka_unit_test(a_sweep_is_cheaper_than_one_by_one),
        cmocka_unit_test(the_ring_takes_one_interval),
        cmocka_unit_test(lag_and_eta_tell_how_late_it_is),
        cmocka_unit_test(a_life_goes_on_where_the_last_one_ended),
        cmocka_unit_test(what_is_fresh_goes_by_class),
        cmocka_unit_test(what_becomes_hot_is_not_behind_what_is_stored),
        cmocka_unit_test(a_batch_is_bounded),
        cmocka_unit_test(a_key_is_provided_when_enough_were_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
