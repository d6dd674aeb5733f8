/* SPDX-License-Identifier: MIT */
/* The simulator's scheduler: order of events, ties by the seed, cancels, clocks, and two nodes in one simulation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "mailbox/backend.h"
#include "mailbox/runtime.h"
#include "sim/sim.h"

static struct sim *sim;
static char said[256];

/* What events say; arguments are not const. */
static char a[] = "a", b[] = "b", c[] = "c", d[] = "d", past[] = "0", never[] = "x";
static char one[] = "1", two[] = "2", three[] = "3", four[] = "4";

static void say(void *arg)
{
    size_t used = strlen(said);
    said[used] = *(const char *)arg;
    said[used + 1] = '\0';
}

static void begin(uint64_t seed)
{
    sim = sim_new(seed);
    said[0] = '\0';
}

static void events_happen_in_the_order_of_their_times(void **state)
{
    (void)state;
    begin(1);
    uint64_t start = sim_now(sim);
    (void)sim_schedule(sim, start + 30, say, c);
    (void)sim_schedule(sim, start + 10, say, a);
    uint64_t dropped = sim_schedule(sim, start + 25, say, never);
    (void)sim_schedule(sim, start + 20, say, b);
    (void)sim_schedule(sim, start - 5, say, past); /* the past is now */
    sim_cancel(sim, dropped);
    sim_run_until(sim, start + 20);
    assert_string_equal(said, "0ab");
    assert_int_equal(sim_now(sim), start + 20);
    assert_true(sim_step(sim));
    assert_false(sim_step(sim));
    assert_string_equal(said, "0abc");
    sim_cancel(sim, dropped); /* of an event that is gone: nothing */
    sim_free(sim);
}

static void the_seed_chooses_among_equals_but_keeps_each_keys_order(void **state)
{
    (void)state;
    bool differ = false;
    char first[64] = "";
    for (uint64_t seed = 0; seed < 50; seed++) {
        begin(seed);
        uint64_t at = sim_now(sim) + 5;
        for (int i = 0; i < 4; i++) {
            static char *const left[] = {a, b, c, d};
            static char *const right[] = {one, two, three, four};
            (void)sim_schedule_ordered(sim, at, 7, say, left[i]);
            (void)sim_schedule_ordered(sim, at, 8, say, right[i]);
        }
        sim_run_until(sim, at);
        assert_true(strchr(said, 'a') < strchr(said, 'b') && strchr(said, 'b') < strchr(said, 'c'));
        assert_true(strchr(said, '1') < strchr(said, '2') && strchr(said, '3') < strchr(said, '4'));
        if (seed == 0)
            memcpy(first, said, sizeof(first) - 1);
        differ = differ || strcmp(first, said) != 0;
        sim_free(sim);
    }
    assert_true(differ);
}

static void the_wall_clock_moves_apart_from_the_monotonic_one(void **state)
{
    (void)state;
    begin(1);
    uint64_t real = sim_real_now(sim);
    uint64_t mono = sim_now(sim);
    sim_shift_real_clock(sim, -(int64_t)(10 * 365 * 86400 * SECOND_NS));
    assert_int_equal(sim_real_now(sim), real - 10 * 365 * 86400 * SECOND_NS);
    assert_int_equal(sim_now(sim), mono);
    sim_free(sim);
}

static void the_trace_tells_sequences_apart(void **state)
{
    (void)state;
    begin(1);
    uint64_t start = sim_trace(sim);
    sim_trace_mix(sim, "ab", 2);
    sim_trace_mix(sim, "c", 1);
    uint64_t other = sim_trace(sim);
    sim_free(sim);
    begin(1);
    assert_int_equal(sim_trace(sim), start);
    sim_trace_mix(sim, "a", 1);
    sim_trace_mix(sim, "bc", 2);
    assert_int_not_equal(sim_trace(sim), other);
    sim_free(sim);
}

/* ---- two nodes ---- */

static int ticks;

static enum err init(struct ctx *ctx, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    (void)ctx_timer(ctx, ctx_now(ctx) + SECOND_NS, 1);
    return ERR_OK;
}

static void tick(struct ctx *ctx, void *state, const struct info *info)
{
    (void)state;
    uint64_t random;
    ctx_random(ctx, &random, sizeof(random));
    ticks++;
    (void)ctx_timer(ctx, ctx_now(ctx) + SECOND_NS + random % SECOND_NS, info->tag + 1);
}

static const struct actor_class ticker = {.name = "ticker", .init = init, .handle_info = tick};
static const struct actor_class *const classes[] = {NULL, &ticker};
static const struct child_spec children[] = {{.id = "ticker", .start = 1}};
static const struct supervisor_spec tree = {
    .name = "root", .intensity = 1, .period_ms = 1000, .children = children, .child_count = 1};
static const struct schema_set nothing = {0};

static uint64_t run_two(uint64_t seed)
{
    begin(seed);
    struct runtime *nodes[2];
    char why[128];
    const struct runtime_config config = {.backend = &backend_sim,
                                          .backend_arg = sim,
                                          .classes = classes,
                                          .class_count = 2,
                                          .tree = &tree,
                                          .schemas = &nothing};
    for (int i = 0; i < 2; i++)
        assert_int_equal(runtime_start(&config, &nodes[i], why, sizeof(why)), ERR_OK);
    ticks = 0;
    sim_run_until(sim, sim_now(sim) + 3600 * SECOND_NS);
    for (int i = 0; i < 2; i++)
        assert_int_equal(runtime_stop(&nodes[i], 10 * SECOND_NS), RUNTIME_EXIT_OK);
    uint64_t trace = sim_trace(sim);
    sim_free(sim);
    return trace;
}

static void nodes_share_a_world_and_a_seed_replays_it(void **state)
{
    (void)state;
    uint64_t first = run_two(42);
    assert_in_range(ticks, 2 * 1800, 2 * 3600);
    assert_int_equal(run_two(42), first);
    assert_int_not_equal(run_two(43), first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_happen_in_the_order_of_their_times),
        cmocka_unit_test(the_seed_chooses_among_equals_but_keeps_each_keys_order),
        cmocka_unit_test(the_wall_clock_moves_apart_from_the_monotonic_one),
        cmocka_unit_test(the_trace_tells_sequences_apart),
        cmocka_unit_test(nodes_share_a_world_and_a_seed_replays_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
