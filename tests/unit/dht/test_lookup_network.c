/* SPDX-License-Identifier: MIT */
/* Lookups in whole networks, beside the truth that looking at every node gives. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/bytes.h"
#include "tests/unit/dht/helper_network.h"

enum { NODES = 1000 };

/* HEARTH_NETWORK_LOOKUPS=200: as many as make the percentages mean something; fewer by default, for sanitizers are slow here. */
static unsigned lookups_each = 40;

struct totals {
    unsigned lookups, exact, nearest, found;
    uint64_t overlap; /* of K, summed */
    uint64_t asked, hops, time_ms, slowest_ms;
    uint32_t hops_max;
};

static void count(struct totals *totals, const struct lookup *lookup, uint64_t took)
{
    struct lookup_stats stats;
    lookup_stats(lookup, &stats);
    assert_int_equal(lookup_state(lookup), LOOKUP_DONE);
    totals->lookups++;
    totals->asked += stats.asked;
    totals->hops += stats.hops;
    totals->hops_max = MAX(totals->hops_max, stats.hops);
    totals->time_ms += took;
    totals->slowest_ms = MAX(totals->slowest_ms, took);
}

/* Theory: a hop brings the search into the next bucket at least, so it takes log2(N/k) of them at most. */
static void print_totals(const char *what, const struct totals *t)
{
    double per = t->lookups;
    print_message("%s: %u lookups among %d nodes, hops %.2f (most %u; theory at most %.1f), queries %.1f, %.0f ms "
                  "(slowest %.0f)\n",
                  what, t->lookups, NODES, (double)t->hops / per, t->hops_max, log2((double)NODES / KAD_K),
                  (double)t->asked / per, (double)t->time_ms / per, (double)t->slowest_ms);
}

/* How many of the nearest good nodes it found; *ret_nearest: was the very nearest among them? */
static size_t overlap(struct network *n, const struct lookup *lookup, bool *ret_nearest)
{
    struct node *truth[KAD_K];
    struct lookup_peer got[KAD_K];
    size_t want = network_closest(n, lookup_target(lookup), truth, KAD_K);
    size_t have = lookup_closest(lookup, got, KAD_K);
    size_t equal = 0;
    for (size_t i = 0; i < want; i++) {
        for (size_t j = 0; j < have; j++)
            equal += peer_id_equal(&got[j].id, &truth[i]->id);
    }
    *ret_nearest = have > 0 && peer_id_equal(&got[0].id, &truth[0]->id);
    return equal;
}

static bool looked_at_itself(const struct lookup *lookup, struct network *n, const struct node *node)
{
    struct node *truth[KAD_K];
    size_t count_true = network_closest(n, lookup_target(lookup), truth, KAD_K);
    for (size_t i = 0; i < count_true; i++) {
        if (truth[i] == node)
            return true;
    }
    return false;
}

/* A node provides a key at those whom its lookup found, as ADD_PROVIDER would. */
static struct node *provide(struct network *n, struct span key, struct totals *totals)
{
    struct node *provider;
    struct kad_key target = kad_key_of(key);
    struct lookup *lookup;
    for (;;) { /* a node among the closest itself does not ask itself: the truth would differ */
        provider = network_pick(n);
        lookup = network_lookup(n, provider, KAD_FIND_NODE, key, 0);
        if (!looked_at_itself(lookup, n, provider))
            break;
        lookup_free(lookup);
    }
    uint64_t took = network_play(n, provider, lookup);
    struct lookup_peer closest[KAD_K];
    size_t have = lookup_closest(lookup, closest, KAD_K);
    assert_int_equal(kad_key_compare(&target, lookup_target(lookup)), 0);
    for (size_t i = 0; i < n->count; i++)
        n->nodes[i].provider = NULL;
    for (size_t i = 0; i < have; i++)
        network_find(n, &closest[i].id)->provider = provider;
    count(totals, lookup, took);
    bool nearest = false;
    size_t equal = overlap(n, lookup, &nearest);
    totals->overlap += equal;
    totals->exact += equal == KAD_K;
    totals->nearest += nearest;
    lookup_free(lookup);
    return provider;
}

static bool find(struct network *n, struct span key, const struct node *provider, size_t wanted, struct totals *totals)
{
    struct node *finder = network_pick(n);
    struct lookup *lookup = network_lookup(n, finder, KAD_GET_PROVIDERS, key, wanted);
    uint64_t took = network_play(n, finder, lookup);
    struct lookup_peer got;
    bool found = false;
    while (lookup_next_provider(lookup, &got))
        found |= peer_id_equal(&got.id, &provider->id);
    count(totals, lookup, took);
    totals->found += found;
    lookup_free(lookup);
    return found;
}

/*
 * Tables name the dead too, so the farthest of the true 20 are not always heard of: each answer names 20, dead ones among them.
 * What must be found is the nearest node and the provider.
 */
static void look_around(const char *what, unsigned dead_percent, unsigned silent_percent, double overlap_min)
{
    struct network n;
    struct totals closest = {0}, provided = {0};
    network_init(&n, NODES, dead_percent, silent_percent, 11);
    network_meet(&n);
    for (unsigned i = 0; i < lookups_each; i++) {
        uint8_t key[8];
        memcpy(key, &(uint64_t){i}, sizeof(key));
        struct node *provider = provide(&n, span_of(key, sizeof(key)), &closest);
        (void)find(&n, span_of(key, sizeof(key)), provider, 1, &provided);
    }
    print_message("%s: nearest found %.2f %%, all 20 exact %.2f %%, overlap %.2f of 20, provider found %.2f %%\n", what,
                  100.0 * closest.nearest / lookups_each, 100.0 * closest.exact / lookups_each,
                  (double)closest.overlap / lookups_each, 100.0 * provided.found / lookups_each);
    print_totals("   closest peers", &closest);
    print_totals("   first provider", &provided);
    assert_true(provided.found * 1000 >= (uint64_t)lookups_each * 995);
    assert_true(closest.nearest * 1000 >= (uint64_t)lookups_each * 995);
    assert_true((double)closest.overlap >= overlap_min * lookups_each);
    assert_true(closest.hops_max <= 6);
    assert_true(closest.asked / lookups_each <= 60);
    network_release(&n);
}

static void healthy_networks_are_searched_exactly(void **state)
{
    (void)state;
    look_around("healthy", 0, 0, 20);
}

static void a_fifth_of_dead_nodes_hides_nothing(void **state)
{
    (void)state;
    look_around("20 % dead", 20, 0, 19);
}

static void silent_nodes_hide_nothing(void **state)
{
    (void)state;
    look_around("20 % dead, 10 % silent", 20, 10, 18.5);
}

/* RELIABILITY row P14: 40 Sybils of one /24 next to the key, nearer than everybody else, in three kinds of lies. */
static void sybils_hide_no_provider(enum sybil_lies lies, const char *what)
{
    enum { SYBILS = 40, FINDERS = 10, BITS = 14 };
    const unsigned keys = lookups_each / 20;
    unsigned found = 0;
    struct totals publish = {0}, search = {0};
    size_t sybils_most = 0;
    for (uint64_t k = 0; k < keys; k++) {
        struct network n;
        uint8_t key[8];
        memcpy(key, &k, sizeof(key));
        struct kad_key target = kad_key_of(span_of(key, sizeof(key)));
        network_init(&n, 400, 0, 0, 100 + k);
        n.lies = lies;
        network_plant(&n, SYBILS, &target, BITS);
        network_meet(&n);
        (void)network_closest(&n, &target, n.closest, KAD_K);
        struct node *provider = provide(&n, span_of(key, sizeof(key)), &publish);
        size_t sybils = 0;
        for (size_t i = 0; i < n.count; i++)
            sybils += n.nodes[i].kind == NODE_SYBIL && n.nodes[i].provider != NULL;
        sybils_most = MAX(sybils_most, sybils);
        for (unsigned i = 0; i < FINDERS; i++)
            found += find(&n, span_of(key, sizeof(key)), provider, 20, &search);
        network_release(&n);
    }
    print_message("%s: honest provider found %u of %d times, at most %zu Sybils among the 20 closest, %.1f queries\n",
                  what, found, keys * FINDERS, sybils_most, (double)search.asked / search.lookups);
    assert_int_equal(found, keys * FINDERS);
    assert_true(sybils_most <= LOOKUP_GROUP_MAX);
}

static void plain_sybils_hide_no_provider(void **state)
{
    (void)state;
    sybils_hide_no_provider(SYBIL_PLAIN, "40 Sybils");
}

static void scattered_sybils_hide_no_provider(void **state)
{
    (void)state;
    sybils_hide_no_provider(SYBIL_SCATTERED, "40 Sybils that claim other networks");
}

static void defaming_sybils_hide_no_provider(void **state)
{
    (void)state;
    sybils_hide_no_provider(SYBIL_DEFAMING, "40 Sybils that give false addresses of others");
}

int main(void)
{
    const char *asked = getenv("HEARTH_NETWORK_LOOKUPS");
    if (asked != NULL)
        lookups_each = (unsigned)MAX(strtoul(asked, NULL, 10), 20);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(healthy_networks_are_searched_exactly),
        cmocka_unit_test(a_fifth_of_dead_nodes_hides_nothing),
        cmocka_unit_test(silent_nodes_hide_nothing),
        cmocka_unit_test(plain_sybils_hide_no_provider),
        cmocka_unit_test(scattered_sybils_hide_no_provider),
        cmocka_unit_test(defaming_sybils_hide_no_provider),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
