/* SPDX-License-Identifier: MIT */
/*
 * The actor of docs/new_actor.md, from the blocks of that page (tests/CMakeLists.txt extracts them), on each backend: it adds up, answers, ends
 * when the sum does not fit, and is back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "mailbox/backend.h"
#include "mailbox/backend_ipc.h"
#include "mailbox/runtime.h"
#include "schemas/messages.h"
#include "sim/sim.h"

/* What schemas/messages.h and messages.c make of a line in all.def. */
enum {
#define MESSAGE(upper, lower, number, ...) MSG_##upper = (number),
#include "guide/tally.def"
#undef MESSAGE
};
#define MESSAGE(upper, lower, number, overflow, lane, text, ...)                                                       \
    FIELD_STRUCT(msg_##lower, __VA_ARGS__)                                                                             \
    FIELD_TABLE(msg_##lower, __VA_ARGS__)
#include "guide/tally.def"
#undef MESSAGE
static const struct schema schemas[] = {
#define MESSAGE(upper, lower, number, over, lane, text, ...)                                                           \
    {.name = #lower,                                                                                                   \
     .kind = (number),                                                                                                 \
     .overflow = OVERFLOW_##over,                                                                                      \
     .control_lane = LANE_##lane == LANE_CONTROL,                                                                      \
     .struct_bytes = sizeof(struct msg_##lower),                                                                       \
     .fields = fields_msg_##lower,                                                                                     \
     .field_count = ARRAY_LEN(fields_msg_##lower),                                                                     \
     .doc = (text)},
#include "guide/tally.def"
#undef MESSAGE
};
static const struct schema_set schema_set = {.schemas = schemas, .count = ARRAY_LEN(schemas)};

extern const struct actor_class tally_class;
#include "guide/tally.c"
#include "guide/tree.c"

/* ---- who uses it ---- */

/* Lies in memory that processes have in common. */
static struct seen {
    _Atomic uint32_t step;
    _Atomic uint32_t wrong;
} * seen;
static int seen_fd = -1;

static void add(struct ctx *ctx, uint64_t number)
{
    struct msg_tally_add add = {.number = number};
    seen->wrong += ctx_cast(ctx, ACTOR_TALLY, &(struct msg){.kind = MSG_TALLY_ADD, .fields = &add}) != ERR_OK;
}

static void ask(struct ctx *ctx)
{
    static const struct msg_tally_sum sum = {0};
    struct msg msg = {.kind = MSG_TALLY_SUM, .fields = &sum};
    seen->wrong += ctx_call(ctx, ACTOR_TALLY, &msg, (struct call_opts){.timeout_ns = 10 * SECOND_NS}, 0) != ERR_OK;
}

static enum err asker_init(struct ctx *ctx, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    return ctx_monitor(ctx, ACTOR_TALLY);
}

static void asker_info(struct ctx *ctx, void *state, const struct info *info)
{
    (void)state;
    if (info->kind == INFO_UP && seen->step == 0) {
        add(ctx, 40);
        add(ctx, 2);
        ask(ctx);
    } else if (info->kind == INFO_UP) { /* its second life */
        ask(ctx);
    } else if (info->kind == INFO_REPLY) {
        bool good = info->err == ERR_OK;
        uint64_t sum = good ? ((const struct msg_tally_sum_ok *)info->msg->fields)->sum : 0;
        seen->wrong += !good || sum != (seen->step == 0 ? 42 : 0);
        if (seen->step++ == 0)
            add(ctx, UINT64_MAX);
    }
}

static const struct actor_class asker_class = {.name = "asker", .init = asker_init, .handle_info = asker_info};

/* ---- on each backend ---- */

static bool is_done(void *arg)
{
    (void)arg;
    return atomic_load(&seen->step) == 2 || atomic_load(&seen->wrong) > 0;
}

static struct runtime_config describe(const struct backend *backend, const void *arg)
{
    static const struct actor_class *const classes[ACTOR_COUNT] = {
        [ACTOR_TALLY] = &tally_class, [ACTOR_ASKER] = &asker_class};
    return (struct runtime_config){.backend = backend,
                                   .backend_arg = (void *)(uintptr_t)arg,
                                   .classes = classes,
                                   .class_count = ACTOR_COUNT,
                                   .tree = &root,
                                   .edges = edges,
                                   .edge_count = ARRAY_LEN(edges),
                                   .schemas = &schema_set};
}

static void play(const struct backend *backend, const void *arg)
{
    char why[256] = "";
    const struct runtime_config config = describe(backend, arg);
    atomic_store(&seen->step, 0);
    atomic_store(&seen->wrong, 0);
    struct runtime *started = NULL;
    if (runtime_start(&config, &started, why, sizeof(why)) != ERR_OK)
        fail_msg("%s", why);
    assert_true(runtime_await(started, is_done, NULL, 30 * SECOND_NS));
    struct actor_stats stats;
    assert_true(runtime_actor_stats_of(started, ACTOR_TALLY, &stats));
    assert_int_equal(stats.epoch, 2);
    assert_int_equal(runtime_stop(&started, 10 * SECOND_NS), RUNTIME_EXIT_OK);
    assert_int_equal(atomic_load(&seen->wrong), 0);
}

static void the_guide_s_actor_runs_on_threads(void **state)
{
    (void)state;
    play(&backend_inproc, NULL);
}

static void the_guide_s_actor_runs_in_a_process(void **state)
{
    static char argument[32];
    static const char *const command[] = {"new_actor", argument, NULL};
    (void)state;
    (void)snprintf(argument, sizeof(argument), "--seen=%d", seen_fd);
    const struct ipc_options options = {.command = command, .descriptors = &seen_fd, .descriptor_count = 1};
    play(&backend_ipc, &options);
}

/* This program again, as one of the two. */
static int be_an_actor(const char *place)
{
    static const struct ipc_options none = {0};
    const struct runtime_config config = describe(&backend_ipc, &none);
    return runtime_play(&config, place) == ERR_OK ? 0 : 1;
}

static void the_guide_s_actor_runs_in_the_simulator(void **state)
{
    (void)state;
    struct sim *sim = sim_new(1);
    play(&backend_sim, sim);
    sim_free(sim);
}

/* It is said to be no longer than that. */
static void the_guide_s_actor_has_60_lines(void **state)
{
    (void)state;
    FILE *file = fopen(GUIDE_FOLDER "/guide/tally.c", "r");
    assert_non_null(file);
    char line[512];
    int lines = 0;
    while (fgets(line, sizeof(line), file) != NULL)
        lines++;
    assert_int_equal(fclose(file), 0);
    assert_in_range(lines, 30, 60);
}

int main(int argc, char **argv)
{
    bool is_actor = argc == 3 && sscanf(argv[1], "--seen=%d", &seen_fd) == 1 && strncmp(argv[2], "--actor=", 8) == 0;
    if (!is_actor)
        seen_fd = memfd_create("seen", MFD_CLOEXEC);
    if (seen_fd < 0 || (!is_actor && ftruncate(seen_fd, sizeof(*seen)) != 0))
        return 1;
    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED, seen_fd, 0);
    if (seen == MAP_FAILED)
        return 1;
    if (is_actor)
        return be_an_actor(argv[2] + 8);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_guide_s_actor_runs_on_threads),
        cmocka_unit_test(the_guide_s_actor_runs_in_a_process),
        cmocka_unit_test(the_guide_s_actor_runs_in_the_simulator),
        cmocka_unit_test(the_guide_s_actor_has_60_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
