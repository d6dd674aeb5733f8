/* SPDX-License-Identifier: MIT */
/* What is read ahead of whom, and when that ends: the engine alone, by a clock of the test's. */
#include "tests/support/storage.h"

#include "base/limits.h"
#include "base/random.h"
#include "storage/prefetcher.h"

enum { SIZE = 1000, MANY = 1000 };

static struct block_key key_of(size_t n)
{
    struct block_key key = {.len = 9};
    uint64_t number = n;
    memcpy(key.bytes, &number, sizeof(number));
    return key;
}

static struct prefetcher *usual(void)
{
    struct prefetch_config config = {.rate = 1 << 30, .outstanding_max = 10 * SIZE};
    struct prefetcher *p = prefetcher_new(&config);
    assert_non_null(p);
    return p;
}

static void offer(struct prefetcher *p, enum prefetch_kind kind, size_t n, uint64_t now)
{
    struct block_key key = key_of(n);
    prefetcher_offer(p, kind, &key, SIZE, now);
}

/* Reads the next one; false: none is to be read. */
static bool read_next(struct prefetcher *p, uint64_t now)
{
    uint64_t wake;
    const struct block_key *next = prefetcher_next(p, false, now, &wake);
    if (next == NULL)
        return false;
    struct block_key key = *next;
    struct block_ref *ref = block_ref_copy(span_of(key.bytes, 8), NULL);
    assert_non_null(ref);
    prefetcher_came(p, &key, ref, now);
    block_ref_unref(ref);
    return true;
}

static bool use(struct prefetcher *p, size_t n, uint64_t now)
{
    struct block_key key = key_of(n);
    struct block_ref *ref = prefetcher_use(p, &key, now);
    assert_true(ref == NULL || memcmp(ref->data, key.bytes, 8) == 0);
    block_ref_unref(ref);
    return ref != NULL;
}

static void what_is_offered_is_read_in_order_and_served_once(void **state)
{
    (void)state;
    struct prefetcher *p = usual();
    uint64_t wake;
    for (size_t i = 0; i < 3; i++)
        offer(p, PREFETCH_CHILDREN, i, SECOND_NS);
    offer(p, PREFETCH_SIBLINGS, 1, SECOND_NS); /* is known */
    for (size_t i = 0; i < 3; i++) {
        struct block_key key = key_of(i);
        assert_null(prefetcher_next(p, true, SECOND_NS, &wake)); /* requests go first */
        const struct block_key *next = prefetcher_next(p, false, SECOND_NS, &wake);
        assert_non_null(next);
        assert_true(block_key_equal(next, &key));
        assert_null(prefetcher_next(p, false, SECOND_NS, &wake)); /* one at a time */
        struct block_ref *ref = block_ref_copy(span_of(key.bytes, 8), NULL);
        prefetcher_came(p, &key, ref, SECOND_NS);
        block_ref_unref(ref);
    }
    assert_false(read_next(p, SECOND_NS));
    assert_true(use(p, 1, 2 * SECOND_NS));
    assert_false(use(p, 1, 2 * SECOND_NS));
    struct prefetch_stats stats = prefetcher_stats(p);
    assert_int_equal(stats.kinds[PREFETCH_CHILDREN].blocks, 3);
    assert_int_equal(stats.kinds[PREFETCH_CHILDREN].bytes, 3 * SIZE);
    assert_int_equal(stats.kinds[PREFETCH_CHILDREN].used_bytes, SIZE);
    assert_int_equal(stats.kinds[PREFETCH_CHILDREN].unused_bytes, 0);
    prefetcher_free(p);
}

static void what_is_not_used_in_its_time_goes(void **state)
{
    (void)state;
    struct prefetcher *p = usual();
    uint64_t wake;
    offer(p, PREFETCH_CHILDREN, 1, 0);
    assert_true(read_next(p, SECOND_NS));
    assert_null(prefetcher_next(p, false, SECOND_NS, &wake));
    assert_int_equal(wake, SECOND_NS + PREFETCH_LIFE_NS);
    assert_null(prefetcher_next(p, false, wake, &wake));
    assert_false(use(p, 1, wake));
    assert_int_equal(prefetcher_stats(p).kinds[PREFETCH_CHILDREN].unused_bytes, SIZE);
    /* Nor is what waited in vain ever read. */
    offer(p, PREFETCH_CHILDREN, 2, 0);
    assert_null(prefetcher_next(p, true, 1, &wake));
    assert_int_equal(wake, PREFETCH_LIFE_NS);
    assert_false(read_next(p, PREFETCH_LIFE_NS));
    assert_true(wake == PREFETCH_LIFE_NS);
    assert_int_equal(prefetcher_stats(p).kinds[PREFETCH_CHILDREN].blocks, 1);
    prefetcher_free(p);
}

static void what_stands_outside_is_bounded(void **state)
{
    (void)state;
    struct prefetcher *p = usual();
    struct block_key key = key_of(500);
    prefetcher_offer(p, PREFETCH_CHILDREN, &key, 10 * SIZE + 1, 0); /* would never fit, and all others wait behind it */
    for (size_t i = 0; i < 20; i++)
        offer(p, PREFETCH_CHILDREN, i, 0);
    for (size_t i = 0; i < 10; i++)
        assert_true(read_next(p, 0));
    assert_false(read_next(p, 0)); /* 10 * SIZE are here */
    assert_true(use(p, 3, 0));
    assert_true(read_next(p, 0));
    assert_false(read_next(p, 0));
    key = key_of(4);
    prefetcher_forget(p, &key); /* removed */
    assert_false(use(p, 4, 0));
    assert_true(read_next(p, 0));
    for (size_t i = 600; i < 600 + 2 * PREFETCH_BLOCKS; i++)
        offer(p, PREFETCH_SIBLINGS, i, 0);
    assert_false(prefetcher_wants(p, PREFETCH_SIBLINGS, 0)); /* no place */
    prefetcher_free(p);
}

static void it_goes_at_the_pace_of_its_budget(void **state)
{
    (void)state;
    struct prefetch_config config = {.rate = SIZE, .outstanding_max = UINT64_C(1) << 40};
    struct prefetcher *p = prefetcher_new(&config);
    struct block_key key = key_of(1);
    uint64_t wake = 0;
    prefetcher_offer(p, PREFETCH_CHILDREN, &key, BLOCK_BYTES_MAX, 0);
    offer(p, PREFETCH_CHILDREN, 2, 0);
    assert_true(read_next(p, 0));
    assert_false(read_next(p, 0));
    assert_null(prefetcher_next(p, false, 0, &wake));
    assert_int_equal(wake, SECOND_NS);
    assert_true(read_next(p, wake));
    prefetcher_free(p);
    config.rate = 0;
    p = prefetcher_new(&config);
    offer(p, PREFETCH_CHILDREN, 2, 0);
    assert_false(read_next(p, 0));
    prefetcher_free(p);
}

static void somebody_may_be_faster(void **state)
{
    (void)state;
    struct prefetcher *p = usual();
    uint64_t wake;
    struct block_key key = key_of(1);
    /* Asked for by a request while it is read: it was worth it, and is not kept. */
    offer(p, PREFETCH_CHILDREN, 1, 0);
    assert_non_null(prefetcher_next(p, false, 0, &wake));
    assert_false(use(p, 1, 0));
    struct block_ref *ref = block_ref_copy(span_of(key.bytes, 8), NULL);
    prefetcher_came(p, &key, ref, 0);
    block_ref_unref(ref);
    assert_false(use(p, 1, 0));
    assert_int_equal(prefetcher_stats(p).kinds[PREFETCH_CHILDREN].used_bytes, SIZE);
    /* Before it was read. */
    offer(p, PREFETCH_CHILDREN, 2, 0);
    assert_false(use(p, 2, 0));
    assert_false(read_next(p, 0));
    /* It could not be read, or is gone by then. */
    offer(p, PREFETCH_CHILDREN, 3, 0);
    assert_non_null(prefetcher_next(p, false, 0, &wake));
    key = key_of(3);
    prefetcher_came(p, &key, NULL, 0);
    assert_false(use(p, 3, 0));
    offer(p, PREFETCH_CHILDREN, 4, 0);
    assert_non_null(prefetcher_next(p, false, 0, &wake));
    key = key_of(4);
    prefetcher_forget(p, &key);
    offer(p, PREFETCH_CHILDREN, 5, 0);
    assert_false(read_next(p, 0)); /* it is still read */
    prefetcher_came(p, &key, NULL, 0);
    assert_true(read_next(p, 0));
    assert_int_equal(prefetcher_stats(p).kinds[PREFETCH_CHILDREN].blocks, 2);
    prefetcher_free(p);
}

/* Reads blocks ahead, each second block of a percentage is used; returns how many could be read in the end. */
static size_t rounds(struct prefetcher *p, enum prefetch_kind kind, size_t count, unsigned used_percent, uint64_t *now)
{
    static size_t n = 10000;
    size_t came = 0;
    for (size_t i = 0; i < count; i++, n++, *now += PREFETCH_LIFE_NS) {
        uint64_t wake;
        if (!prefetcher_wants(p, kind, *now))
            continue;
        offer(p, kind, n, *now);
        came += read_next(p, *now);
        if (i * used_percent / 100 != (i + 1) * used_percent / 100)
            assert_true(use(p, n, *now));
        assert_null(prefetcher_next(p, false, *now + PREFETCH_LIFE_NS, &wake));
    }
    return came;
}

static void what_does_not_pay_goes_off_and_is_tried_again(void **state)
{
    (void)state;
    struct prefetcher *p = usual();
    uint64_t now = 0;
    assert_int_equal(rounds(p, PREFETCH_SIBLINGS, 4 * PREFETCH_WINDOW, 50, &now), 4 * PREFETCH_WINDOW);
    assert_false(prefetcher_stats(p).kinds[PREFETCH_SIBLINGS].off);
    assert_int_equal(rounds(p, PREFETCH_SIBLINGS, PREFETCH_WINDOW, 20, &now), PREFETCH_WINDOW);
    assert_true(prefetcher_stats(p).kinds[PREFETCH_SIBLINGS].off);
    assert_false(prefetcher_stats(p).kinds[PREFETCH_CHILDREN].off); /* each by itself */
    assert_true(prefetcher_wants(p, PREFETCH_CHILDREN, now));
    /* Off: a few at a time, and not at once. */
    assert_false(prefetcher_wants(p, PREFETCH_SIBLINGS, now));
    for (int i = 0; i < 5; i++) {
        now += PREFETCH_TRIAL_NS;
        size_t came = 0;
        for (size_t k = 0; k < (size_t)3 * PREFETCH_TRIAL; k++) {
            offer(p, PREFETCH_SIBLINGS, 100 + k, now);
            came += read_next(p, now);
        }
        uint64_t wake;
        assert_int_equal(came, PREFETCH_TRIAL);
        now += PREFETCH_LIFE_NS;
        assert_null(prefetcher_next(p, false, now, &wake));
        assert_true(prefetcher_stats(p).kinds[PREFETCH_SIBLINGS].off);
    }
    /* When those are used it is on again. */
    now += PREFETCH_TRIAL_NS;
    for (size_t k = 0; k < PREFETCH_TRIAL; k++) {
        offer(p, PREFETCH_SIBLINGS, 200 + k, now);
        assert_true(read_next(p, now) && use(p, 200 + k, now));
    }
    assert_false(prefetcher_stats(p).kinds[PREFETCH_SIBLINGS].off);
    assert_int_equal(rounds(p, PREFETCH_SIBLINGS, PREFETCH_WINDOW, 100, &now), PREFETCH_WINDOW);
    prefetcher_free(p);
}

static void siblings_stand_behind_a_block_in_its_node(void **state)
{
    (void)state;
    struct prefetcher *p = usual();
    struct block_key links[PREFETCH_LINKS];
    struct block_key found[PREFETCH_AHEAD];
    struct block_key key = key_of(3);
    assert_int_equal(prefetcher_siblings(p, &key, found), 0);
    for (size_t i = 0; i < PREFETCH_LINKS; i++)
        links[i] = key_of(i);
    prefetcher_node(p, links, PREFETCH_LINKS);
    assert_int_equal(prefetcher_siblings(p, &key, found), PREFETCH_AHEAD);
    for (size_t i = 0; i < PREFETCH_AHEAD; i++)
        assert_true(block_key_equal(&found[i], &links[4 + i]));
    key = key_of(PREFETCH_LINKS - 2);
    assert_int_equal(prefetcher_siblings(p, &key, found), 1);
    key = key_of(PREFETCH_LINKS - 1);
    assert_int_equal(prefetcher_siblings(p, &key, found), 0);
    /* The node that was used last counts. */
    links[1] = key_of(700);
    prefetcher_node(p, links, 2);
    key = key_of(0);
    assert_int_equal(prefetcher_siblings(p, &key, found), 1);
    assert_true(block_key_equal(&found[0], &links[1]));
    /* And those before are forgotten in time. */
    for (size_t i = 0; i < PREFETCH_NODES; i++) {
        links[0] = key_of(800 + i);
        prefetcher_node(p, links, 1);
    }
    assert_int_equal(prefetcher_siblings(p, &key, found), 0);
    prefetcher_free(p);
}

/* A model beside it: until when a block is here. */
struct model {
    uint64_t until[MANY];
};

static void one_event(struct prefetcher *p, struct prng *prng, struct model *m, uint64_t now)
{
    uint64_t wake;
    size_t n = (size_t)prng_below(prng, MANY);
    struct block_key key = key_of(n);
    const struct block_key *next = prefetcher_next(p, prng_below(prng, 2) == 0, now, &wake);
    assert_true(wake > now);
    if (next != NULL) {
        memcpy(&n, next->bytes, sizeof(n));
        key = key_of(n);
        assert_true(m->until[n] <= now);
        struct block_ref *ref = prng_below(prng, 5) == 0 ? NULL : block_ref_copy(span_of(key.bytes, 8), NULL);
        prefetcher_came(p, &key, ref, now);
        m->until[n] = ref == NULL ? 0 : now + PREFETCH_LIFE_NS;
        block_ref_unref(ref);
    } else if (prng_below(prng, 3) > 0) {
        offer(p, n % 2 == 0 ? PREFETCH_CHILDREN : PREFETCH_SIBLINGS, n, now);
    } else if (prng_below(prng, 3) > 0) {
        assert_int_equal(use(p, n, now), m->until[n] > now);
        m->until[n] = 0;
    } else {
        prefetcher_forget(p, &key);
        m->until[n] = 0;
    }
}

static void whatever_happens_the_bounds_hold(void **state)
{
    (void)state;
    static struct model m;
    uint64_t came = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct prng prng;
        struct prefetcher *p = usual();
        uint64_t now = 0;
        prng_init(&prng, seed);
        memset(&m, 0, sizeof(m));
        for (int i = 0; i < 3000; i++, now += prng_below(&prng, SECOND_NS / 10)) {
            size_t here = 0;
            one_event(p, &prng, &m, now);
            for (size_t n = 0; n < MANY; n++)
                here += m.until[n] > now;
            assert_true(here <= 10);
        }
        came += prefetcher_stats(p).kinds[PREFETCH_CHILDREN].blocks;
        prefetcher_free(p);
    }
    assert_true(came > 100);
}

static void without_memory_there_is_none(void **state)
{
    (void)state;
    struct account account;
    struct prefetch_config config = {.rate = 1, .outstanding_max = 1, .account = &account};
    account_init(&account, "tables", 1000);
    assert_null(prefetcher_new(&config));
    account_init(&account, "tables", 200 * KIB);
    struct prefetcher *p = prefetcher_new(&config);
    assert_non_null(p);
    prefetcher_free(p);
    assert_int_equal(account_used(&account), 0);
    prefetcher_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_offered_is_read_in_order_and_served_once),
        cmocka_unit_test(what_is_not_used_in_its_time_goes),
        cmocka_unit_test(what_stands_outside_is_bounded),
        cmocka_unit_test(it_goes_at_the_pace_of_its_budget),
        cmocka_unit_test(somebody_may_be_faster),
        cmocka_unit_test(what_does_not_pay_goes_off_and_is_tried_again),
        cmocka_unit_test(siblings_stand_behind_a_block_in_its_node),
        cmocka_unit_test(whatever_happens_the_bounds_hold),
        cmocka_unit_test(without_memory_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
