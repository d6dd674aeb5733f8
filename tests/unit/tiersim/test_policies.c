/* SPDX-License-Identifier: MIT */
/* Each policy beside answers that were worked out by hand, then all of them beside random traces. */
#include "tests/unit/tiersim/helper_trace.h"

#include <stdlib.h>

#include "base/random.h"
#include "tiersim/replay.h"

enum { LETTERS_MAX = 64 };

/* One letter an answer: Hit, Admitted, Bypassed. */
static void expect_run(const struct contender_ops *policy, uint64_t slots, const char *letters, const char *answers)
{
    char got[LETTERS_MAX] = "";
    struct trace trace = trace_of_letters(letters);
    uint32_t *next_uses = trace_next_uses(&trace);
    const struct tier_run run = {
        .capacity_bytes = slots, .footprint_bytes = trace.footprint_bytes, .objects = trace.object_count};
    void *self = policy->create(&run);
    assert_non_null(self);
    assert_non_null(next_uses);
    assert_int_equal(strlen(letters), strlen(answers));
    for (size_t i = 0; i < trace.requests; i++) {
        struct tier_request request = trace_request(&trace, i);
        if (policy->offline && next_uses[i] != UINT32_MAX)
            request.next_use = next_uses[i];
        got[i] = "HAB"[policy->access(self, &request)];
        assert_true(policy->used_bytes(self) <= slots);
    }
    assert_string_equal(got, answers);
    policy->destroy(self);
    free(next_uses);
    trace_release(&trace);
}

static void fifo(void **state)
{
    (void)state;
    expect_run(&contender_fifo, 2, "abacab", "AAHAAA");
}

static void lru(void **state)
{
    (void)state;
    expect_run(&contender_lru, 2, "abacab", "AAHAHA");
    expect_run(&contender_lru, 3, "abccabdc", "AAAHHHAA");
}

/* When d comes all three are marked: they go round and a, the oldest, is out. */
static void clock_gives_a_second_chance(void **state)
{
    (void)state;
    expect_run(&contender_clock, 2, "abacab", "AAHAHA");
    expect_run(&contender_clock, 3, "abccabdca", "AAAHHHAHA");
}

/*
 * d finds the hand at a, which is marked, then at b: out. b finds it at c, e at d, f at b ... while a stays. i finds g marked, then h at
 * the head: out. j starts again at the tail: a is marked, g is out.
 */
static void sieve_keeps_its_hand(void **state)
{
    (void)state;
    expect_run(&contender_sieve, 3, "abcadbacefaghgijg", "AAAHAAHAAAHAAHAAA");
}

/*
 * 10 slots, one of them the small queue's. k pushes b out (a was used and moves on), which is remembered: b returns to the main queue and
 * pushes c out, which returns there too. Twelve that come once pass by a, b and c.
 */
static void s3fifo_remembers_what_left(void **state)
{
    (void)state;
    expect_run(&contender_s3fifo, 10, "abcdefghijakbabclmnopqrstuvwabc", "AAAAAAAAAAHAAHHAAAAAAAAAAAAAHHH");
}

/*
 * A millisecond a request, so heat is nearly the number of accesses. c pushes b out, b pushes c; d has 1 and stays out, then 2, and what
 * was last used after a longer time than d has less.
 */
static void origin_keeps_what_was_used_most(void **state)
{
    (void)state;
    expect_run(&contender_origin, 2, "abacbdd", "AAHAABA");
}

/*
 * By figure 4 of the paper, c = 2: c sends b to b1; b comes back, p = 1, a goes to b2; a comes back, p = 0, c goes to b1 ... e drops a's
 * name from b2, f pushes d out without a name; d is new again, c comes back from b2.
 */
static void arc_follows_its_figure(void **state)
{
    (void)state;
    expect_run(&contender_arc, 2, "abacbabcdefdcd", "AAHAAAHAAAAAAH");
    /* the last c comes back from b2 with p = 1 = |t1|: g leaves t1, so e is still in t2 */
    expect_run(&contender_arc, 3, "ceacgeace", "AAAHAAAAH");
    /* four names are known when f comes: d's goes, d is new and b leaves for it */
    expect_run(&contender_arc, 2, "dadacbcbfdb", "AAHHAAAHAAA");
}

/*
 * 4 slots: a window of one, three of main of which two protected. d and e were asked for once, like b: they do not get in for it. When f
 * pushes d out of the window, d has been asked for twice and b goes.
 */
static void wtinylfu_asks_who_is_wanted_more(void **state)
{
    (void)state;
    expect_run(&contender_wtinylfu, 4, "abcdaedfdcbafbd", "AAAAHAAAHHAHAAH");
}

/* c and d would be used again after what is there; in the second run a would be. */
static void opt_knows_the_future(void **state)
{
    (void)state;
    expect_run(&contender_opt, 2, "abcabdacbd", "AABHHBHBHB");
    expect_run(&contender_opt, 2, "abcbcab", "AAAHHBH");
}

static void sizes_count(void **state)
{
    (void)state;
    /* 10 bytes: c pushes a out; a pushes b and c out; e is too large for any policy; d fits beside a */
    static const char text[] = "0 a 6\n1 b 4\n2 c 5\n3 c 5\n4 a 6\n5 e 11\n6 d 4\n7 a 6\n";
    struct trace trace = trace_of(TRACE_TSV, text, sizeof(text) - 1);
    struct replay_result result;
    assert_int_equal(trace.footprint_bytes, 30);
    assert_ok(replay(&trace, &contender_lru, 10, &result));
    assert_int_equal(result.requests, 8);
    assert_int_equal(result.bytes, 47);
    assert_int_equal(result.hits, 2);
    assert_int_equal(result.hit_bytes, 11);
    assert_int_equal(result.promoted_bytes, 6 + 4 + 5 + 6 + 4);
    assert_true(replay_object_hit_percent(&result) == 25);
    assert_true(replay_promotion(&result) == 25.0 / 11);
    trace_release(&trace);
}

/* ---- all of them ---- */

/* Skewed, so that there is something to find out; sizes of up to size_max, 0 too. */
static struct trace random_trace(uint64_t seed, size_t requests, uint64_t size_max)
{
    struct buf text;
    struct prng prng;
    buf_init(&text, MIB, NULL);
    prng_init(&prng, seed);
    for (size_t i = 0; i < requests; i++) {
        uint64_t key = prng_below(&prng, 1 + prng_below(&prng, 1 + prng_below(&prng, 400)));
        uint64_t size = size_max == 1 ? 1 : prng_below(&prng, size_max);
        assert_ok(buf_appendf(&text, "%zu %llu %llu\n", i, (unsigned long long)key, (unsigned long long)size));
    }
    struct trace trace = trace_of(TRACE_TSV, text.data, text.len);
    buf_release(&text);
    return trace;
}

/* replay() looks after the capacity. */
static void none_holds_more_than_fits(void **state)
{
    (void)state;
    static const uint64_t capacities[] = {0, 1, 7, 100, 3000, UINT64_MAX};
    struct trace trace = random_trace(1, 20000, 200);
    for (size_t p = 0; p < contender_count; p++) {
        for (size_t c = 0; c < ARRAY_LEN(capacities); c++) {
            struct replay_result result;
            struct replay_result again;
            assert_ok(replay(&trace, contenders[p], capacities[c], &result));
            assert_int_equal(result.requests, trace.requests);
            assert_int_equal(result.bytes, trace.requested_bytes);
            assert_true(result.hit_bytes + result.promoted_bytes <= result.bytes);
            assert_ok(replay(&trace, contenders[p], capacities[c], &again));
            assert_memory_equal(&result, &again, sizeof(result));
        }
    }
    trace_release(&trace);
}

static void with_room_for_all_only_first_uses_miss(void **state)
{
    (void)state;
    struct trace trace = random_trace(2, 5000, 1);
    for (size_t p = 0; p < contender_count; p++) {
        struct replay_result result;
        assert_ok(replay(&trace, contenders[p], 100000, &result));
        assert_int_equal(result.hits, trace.requests - trace.object_count);
    }
    trace_release(&trace);
}

static void none_is_better_than_opt(void **state)
{
    (void)state;
    for (uint64_t seed = 3; seed < 8; seed++) {
        struct trace trace = random_trace(seed, 10000, 1);
        for (uint64_t capacity = 1; capacity < 200; capacity = capacity * 2 + 1) {
            struct replay_result best;
            assert_ok(replay(&trace, &contender_opt, capacity, &best));
            for (size_t p = 0; p < contender_count; p++) {
                struct replay_result result;
                assert_ok(replay(&trace, contenders[p], capacity, &result));
                assert_true(result.hits <= best.hits);
            }
        }
        trace_release(&trace);
    }
}

/* By its definition: a hit if fewer than capacity others were used since the last time. */
static void lru_agrees_with_its_definition(void **state)
{
    (void)state;
    struct trace trace = random_trace(9, 3000, 1);
    for (size_t capacity = 1; capacity < 100; capacity = capacity * 2 + 3) {
        struct replay_result result;
        uint64_t hits = 0;
        for (size_t i = 0; i < trace.requests; i++) {
            uint8_t seen[512] = {0};
            size_t others = 0;
            size_t j = i;
            while (j > 0 && trace.objects[j - 1] != trace.objects[i]) {
                j--;
                others += seen[trace.objects[j]]++ == 0 ? 1 : 0;
                seen[trace.objects[j]] = 1;
            }
            hits += j > 0 && others < capacity;
        }
        assert_ok(replay(&trace, &contender_lru, capacity, &result));
        assert_int_equal(result.hits, hits);
    }
    trace_release(&trace);
}

/* A policy that holds more than there is room for is found out. */
static void *greedy_create(const struct tier_run *run)
{
    (void)run;
    return calloc(1, sizeof(uint64_t));
}

static enum tier_access greedy_access(void *self, const struct tier_request *request)
{
    *(uint64_t *)self += request->bytes;
    return TIER_HIT;
}

static uint64_t greedy_used(const void *self)
{
    return *(const uint64_t *)self;
}

static void cheats_are_found_out(void **state)
{
    (void)state;
    const struct contender_ops greedy = {
        .name = "greedy", .create = greedy_create, .access = greedy_access, .used_bytes = greedy_used, .destroy = free};
    struct trace trace = trace_of_letters("abc");
    struct replay_result result;
    assert_err(replay(&trace, &greedy, 2, &result), ERR_INTERNAL);
    assert_ok(replay(&trace, &greedy, 3, &result));
    trace_release(&trace);
}

static void policies_have_names(void **state)
{
    (void)state;
    for (size_t p = 0; p < contender_count; p++)
        assert_ptr_equal(contender_find(contenders[p]->name), contenders[p]);
    assert_null(contender_find("mru"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fifo),
        cmocka_unit_test(lru),
        cmocka_unit_test(clock_gives_a_second_chance),
        cmocka_unit_test(sieve_keeps_its_hand),
        cmocka_unit_test(s3fifo_remembers_what_left),
        cmocka_unit_test(origin_keeps_what_was_used_most),
        cmocka_unit_test(arc_follows_its_figure),
        cmocka_unit_test(wtinylfu_asks_who_is_wanted_more),
        cmocka_unit_test(opt_knows_the_future),
        cmocka_unit_test(sizes_count),
        cmocka_unit_test(none_holds_more_than_fits),
        cmocka_unit_test(with_room_for_all_only_first_uses_miss),
        cmocka_unit_test(none_is_better_than_opt),
        cmocka_unit_test(lru_agrees_with_its_definition),
        cmocka_unit_test(cheats_are_found_out),
        cmocka_unit_test(policies_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
