/* SPDX-License-Identifier: MIT */
/* The policies behind one seam: each beside a model of what is held, within its memory, and what is particular to one of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "storage/tier_policy.h"
#include "tests/support/bytes.h"

static uint64_t key_of(uint64_t id)
{
    return (id + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

static struct tier_policy *policy_of(enum tier_policy_kind kind, uint64_t capacity, uint32_t blocks_max,
                                     struct account *account)
{
    struct tier_policy *policy = tier_policy_new(&(struct tier_policy_config){.kind = kind,
                                                                              .goal = HEAT_GOAL_BYTES,
                                                                              .capacity_bytes = capacity,
                                                                              .blocks_max = blocks_max,
                                                                              .account = account});
    assert_non_null(policy);
    return policy;
}

static void names_are_those_of_the_configuration(void **state)
{
    (void)state;
    static const char *const names[TIER_POLICY_KINDS] = {"hearth", "origin", "lru", "s3fifo"};
    enum tier_policy_kind kind;
    for (int k = 0; k < TIER_POLICY_KINDS; k++) {
        assert_string_equal(tier_policy_name((enum tier_policy_kind)k), names[k]);
        assert_true(tier_policy_parse(names[k], &kind));
        assert_int_equal(kind, k);
    }
    assert_false(tier_policy_parse("arc", &kind));
    assert_false(tier_policy_parse("", &kind));
}

/* ---- random operations beside a model ---- */

enum { KEYS = 300, STEPS = 20000, CAPACITY = 700 };

struct model {
    uint64_t bytes[KEYS]; /* 0: not held */
    uint64_t sum;
    uint32_t count;
};

static void forget(struct model *model, uint64_t id)
{
    model->sum -= model->bytes[id];
    model->count -= model->bytes[id] > 0;
    model->bytes[id] = 0;
}

static void left(void *context, uint64_t key)
{
    struct model *model = context;
    for (uint64_t id = 0; id < KEYS; id++) {
        if (key_of(id) != key)
            continue;
        assert_true(model->bytes[id] > 0);
        forget(model, id);
        return;
    }
    fail_msg("an unknown block left");
}

static void step(struct tier_policy *policy, struct model *model, struct prng *prng, uint32_t now)
{
    uint64_t id = prng_below(prng, prng_below(prng, KEYS) + 1);
    uint64_t bytes = 1 + prng_below(prng, 20);
    uint64_t room = prng_below(prng, 5) == 0 ? prng_below(prng, CAPACITY) : UINT64_MAX;
    if (prng_below(prng, 20) == 0) {
        tier_policy_leave(policy, key_of(id));
        forget(model, id);
        return;
    }
    bool hit = tier_policy_use(policy, key_of(id), bytes, now);
    assert_int_equal(hit, model->bytes[id] > 0);
    bool admitted = tier_policy_admit(policy, key_of(id), bytes, room, left, model);
    assert_false(hit && admitted);
    if (admitted) {
        model->bytes[id] = bytes;
        model->sum += bytes;
        model->count++;
        assert_true(model->sum <= MIN(room, CAPACITY));
    }
    assert_int_equal(tier_policy_holds(policy, key_of(id)), model->bytes[id] > 0);
}

static void check(const struct tier_policy *policy, const struct model *model)
{
    struct tier_policy_stats stats = tier_policy_stats(policy);
    assert_int_equal(stats.held_bytes, model->sum);
    assert_int_equal(stats.held, model->count);
    assert_true(stats.held <= stats.remembered);
    for (uint64_t id = 0; id < KEYS; id++)
        assert_int_equal(tier_policy_holds(policy, key_of(id)), model->bytes[id] > 0);
}

/* blocks_max 40: fewer than would fit; then what is in is bounded by that. */
static void each_agrees_with_a_model(void **state)
{
    (void)state;
    static const uint32_t blocks_max[] = {40, 200, 1000};
    for (int kind = 0; kind < TIER_POLICY_KINDS; kind++) {
        for (size_t i = 0; i < ARRAY_LEN(blocks_max); i++) {
            struct model model = {0};
            struct prng prng;
            prng_init(&prng, 11);
            struct tier_policy *policy = policy_of((enum tier_policy_kind)kind, CAPACITY, blocks_max[i], NULL);
            for (uint32_t now = 0; now < STEPS; now++) {
                step(policy, &model, &prng, now);
                assert_true(tier_policy_stats(policy).remembered <= blocks_max[i]);
                if (now % 100 == 0)
                    check(policy, &model);
            }
            tier_policy_free(policy);
        }
    }
}

/* All memory is the account's; where it ends is a policy that remembers less, or none at all. */
static void each_does_with_the_memory_it_is_given(void **state)
{
    (void)state;
    for (int kind = 0; kind < TIER_POLICY_KINDS; kind++) {
        for (uint64_t limit = 0; limit < 300000; limit += 1 + limit / 4) {
            struct model model = {0};
            struct account account;
            struct prng prng;
            prng_init(&prng, 12);
            account_init(&account, "tables", limit);
            struct tier_policy *policy =
                tier_policy_new(&(struct tier_policy_config){.kind = (enum tier_policy_kind)kind,
                                                             .capacity_bytes = CAPACITY,
                                                             .blocks_max = 1000,
                                                             .account = &account});
            for (uint32_t now = 0; policy != NULL && now < 1000; now++)
                step(policy, &model, &prng, now);
            if (policy != NULL)
                check(policy, &model);
            assert_true(account_used(&account) <= limit);
            tier_policy_free(policy);
            assert_int_equal(account_used(&account), 0);
        }
    }
}

/* ---- announced uses ---- */

enum { TRACE = 40000, TRACE_KEYS = 6000, LEFT_MAX = 64 };

/* All that a policy says to one access. */
struct said {
    bool hit;
    bool admitted;
    size_t left_count;
    uint64_t left[LEFT_MAX];
    float rank;
};

static void note_left(void *context, uint64_t key)
{
    struct said *said = context;
    assert_true(said->left_count < LEFT_MAX);
    said->left[said->left_count++] = key;
}

static struct said visit(struct tier_policy *policy, uint64_t key, uint32_t now)
{
    struct said said = {0};
    uint64_t bytes = 1 + key % 20;
    said.hit = tier_policy_use(policy, key, bytes, now);
    if (!said.hit)
        said.admitted = tier_policy_admit(policy, key, bytes, UINT64_MAX, note_left, &said);
    if (key % 50 == 0)
        tier_policy_leave(policy, key);
    said.rank = tier_policy_rank(policy, key, bytes);
    return said;
}

static void expect_same(const struct said *a, const struct said *b)
{
    assert_int_equal(a->hit, b->hit);
    assert_int_equal(a->admitted, b->admitted);
    assert_int_equal(a->left_count, b->left_count);
    assert_memory_equal(a->left, b->left, sizeof(a->left));
    assert_memory_equal(&a->rank, &b->rank, sizeof(a->rank));
}

/* Some that are announced are known, some new, some give way meanwhile; tables grow in the midst of them. */
static void to_announce_uses_changes_nothing(void **state)
{
    (void)state;
    static const uint32_t blocks_max[] = {900, TRACE_KEYS};
    static uint64_t keys[TRACE];
    struct prng prng;
    prng_init(&prng, 13);
    for (uint32_t i = 0; i < TRACE; i++)
        keys[i] = key_of(prng_below(&prng, prng_below(&prng, TRACE_KEYS) + 1));
    for (int kind = 0; kind < TIER_POLICY_KINDS; kind++) {
        for (size_t size = 0; size < ARRAY_LEN(blocks_max); size++) {
            struct tier_policy *plain = policy_of((enum tier_policy_kind)kind, 5000, blocks_max[size], NULL);
            struct tier_policy *told = policy_of((enum tier_policy_kind)kind, 5000, blocks_max[size], NULL);
            for (uint32_t i = 0; i < TRACE; i++) {
                if (i % TIER_POLICY_ANNOUNCED_MAX == 0)
                    tier_policy_announce(told, &keys[i], MIN(TIER_POLICY_ANNOUNCED_MAX, TRACE - i));
                struct said a = visit(plain, keys[i], i);
                struct said b = visit(told, keys[i], i);
                expect_same(&a, &b);
            }
            tier_policy_free(plain);
            tier_policy_free(told);
        }
    }
}

/* ---- ranks ---- */

static void use(struct tier_policy *policy, uint64_t id, uint32_t times)
{
    struct model any = {0};
    for (uint32_t i = 0; i < times; i++) {
        if (!tier_policy_use(policy, key_of(id), 10, 0))
            (void)tier_policy_admit(policy, key_of(id), 10, UINT64_MAX, left, &any);
    }
}

static void what_is_used_more_often_and_later_ranks_above(void **state)
{
    (void)state;
    for (int kind = 0; kind < TIER_POLICY_KINDS; kind++) {
        struct tier_policy *policy = policy_of((enum tier_policy_kind)kind, 10000, 1000, NULL);
        use(policy, 1, 1);
        use(policy, 2, 10);
        assert_true(tier_policy_rank(policy, key_of(2), 10) > tier_policy_rank(policy, key_of(1), 10));
        assert_true(tier_policy_rank(policy, key_of(1), 10) > tier_policy_rank(policy, key_of(3), 10));
        assert_int_equal(tier_policy_heat(policy) != NULL, kind == TIER_POLICY_HEARTH);
        tier_policy_free(policy);
    }
}

/* ---- S3-FIFO ---- */

static void fill(struct tier_policy *policy, struct model *model, uint64_t id)
{
    assert_false(tier_policy_use(policy, key_of(id), 10, 0));
    assert_true(tier_policy_admit(policy, key_of(id), 10, UINT64_MAX, left, model));
    model->bytes[id] = 10;
    model->sum += 10;
    model->count++;
}

static void ignore(void *context, uint64_t key)
{
    (void)context;
    (void)key;
}

/* Half of the accesses are to 50 blocks, half to blocks that never come again, in a tier with room for 100. */
static void a_scan_does_not_wash_out_what_is_used(void **state)
{
    (void)state;
    struct tier_policy *policy = policy_of(TIER_POLICY_S3FIFO, 1000, 6000, NULL);
    struct prng prng;
    uint32_t hits = 0;
    prng_init(&prng, 2);
    for (uint32_t i = 0; i < 10000; i++) {
        uint64_t id = i % 2 == 0 ? 100 + i : prng_below(&prng, 50);
        bool hit = tier_policy_use(policy, key_of(id), 10, 0);
        hits += hit && id < 50;
        if (!hit)
            (void)tier_policy_admit(policy, key_of(id), 10, UINT64_MAX, ignore, NULL);
    }
    assert_true(hits > 4800); /* of 5,000 */
    tier_policy_free(policy);
}

/* 90 bytes for the main queue: the ghost of what left is gone when more than that left after it, and not before. */
static void ghosts_are_remembered_as_long_as_the_main_queue_is(void **state)
{
    (void)state;
    struct model model = {0};
    struct tier_policy *policy = policy_of(TIER_POLICY_S3FIFO, 100, 2000, NULL);
    for (uint64_t id = 0; id < 20; id++)
        fill(policy, &model, id); /* 0 to 9 left, in this order */
    fill(policy, &model, 1);      /* 10 leaves: 90 bytes after block 1 */
    fill(policy, &model, 2);      /* 11 leaves */
    fill(policy, &model, 0);      /* 12 leaves: 120 bytes after block 0 */
    float main = tier_policy_rank(policy, key_of(1), 10);
    assert_true(tier_policy_rank(policy, key_of(2), 10) == main);
    assert_true(tier_policy_rank(policy, key_of(0), 10) < main);
    assert_true(tier_policy_rank(policy, key_of(19), 10) < main);
    tier_policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_the_configuration),
        cmocka_unit_test(each_agrees_with_a_model),
        cmocka_unit_test(each_does_with_the_memory_it_is_given),
        cmocka_unit_test(to_announce_uses_changes_nothing),
        cmocka_unit_test(what_is_used_more_often_and_later_ranks_above),
        cmocka_unit_test(a_scan_does_not_wash_out_what_is_used),
        cmocka_unit_test(ghosts_are_remembered_as_long_as_the_main_queue_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
