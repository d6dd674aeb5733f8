/* SPDX-License-Identifier: MIT */
/*
 * From an actor's failure to the first request that is answered again:
 *
 *      bench_supervision [--backend=inproc|ipc] [exit|kill] [failures]
 *
 * prints one line of JSON: {"name": ..., "p50_us": ..., "p99_us": ..., "count": ...}. An actor is told to fail, again and again: it ends as failed
 * (exit), or its process is killed (kill, ipc only). The time begins in the handler that fails and ends when whoever monitors it, and asks as soon as
 * it hears that it is up, has the answer. No restart is delayed.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "bench_backend.h"
#include "mailbox/actor.h"
#include "mailbox/runtime.h"

enum { ASKER = 1, FAILER, ACTORS };
enum { ASK = 1, FAIL };
enum { FAILURES_MAX = 100000, REST_MS = 1 };

/* What the actors and root's process share. */
struct shared_figures {
    _Atomic uint64_t failed_ns; /* relaxed: the life that writes it has ended before it is read */
    _Atomic bool finished;
    uint64_t count; /* this and what follows: the asker's, until it has finished */
    uint64_t took_ns[FAILURES_MAX];
};

static uint64_t failures = 1000;
static bool by_kill;
static struct shared_figures *figures;
static struct runtime *rt;

struct note {
    uint64_t n;
};
static const struct field fields[] = {
    {.name = "n", .type = FIELD_U64, .required = true, .max = UINT64_MAX, .doc = ""},
};
static const struct schema schemas[] = {
    {.name = "ask", .kind = ASK, .struct_bytes = sizeof(struct note), .fields = fields, .field_count = 1, .doc = ""},
    {.name = "fail", .kind = FAIL, .struct_bytes = sizeof(struct note), .fields = fields, .field_count = 1, .doc = ""},
};

static enum err watch_failer(struct ctx *c, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    return ctx_monitor(c, FAILER);
}

static void handle_info(struct ctx *c, void *state, const struct info *info)
{
    (void)state;
    const struct note note = {.n = figures->count};
    if (info->kind == INFO_UP) {
        const struct call_opts opts = {.timeout_ns = 10 * SECOND_NS, .reply_bytes_max = 256};
        check(ctx_call(c, FAILER, &(struct msg){.kind = ASK, .fields = &note}, opts, 0) == ERR_OK, "ctx_call");
    } else if (info->kind == INFO_TIMER) {
        check(ctx_cast(c, FAILER, &(struct msg){.kind = FAIL, .fields = &note}) == ERR_OK, "ctx_cast");
    } else if (info->kind == INFO_REPLY) {
        check(info->err == ERR_OK, "the call");
        uint64_t failed = atomic_load(&figures->failed_ns);
        if (failed != 0)
            figures->took_ns[figures->count++] = clock_mono_ns() - failed;
        if (figures->count < failures) {
            (void)ctx_timer(c, ctx_now(c) + REST_MS * MS_NS, 0);
            return;
        }
        atomic_store(&figures->finished, true);
        if (rt != NULL) /* in a process of its own it is looked at */
            runtime_notify(rt);
    }
}

static enum err answer(struct ctx *c, void *state, const struct msg *msg, struct reply_to call)
{
    (void)state;
    ctx_reply(c, call, &(struct msg){.kind = ASK, .fields = msg->fields});
    return ERR_OK;
}

static void end_life(struct ctx *c, void *state, const struct msg *msg)
{
    (void)state;
    (void)msg;
    atomic_store(&figures->failed_ns, clock_mono_ns());
    if (by_kill)
        (void)raise(SIGKILL);
    ctx_exit(c, EXIT_FAILED, "as it was told");
}

static bool is_finished(void *arg)
{
    (void)arg;
    return atomic_load(&figures->finished);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    static const struct actor_class asker = {.name = "asker", .init = watch_failer, .handle_info = handle_info};
    static const struct actor_class failer = {.name = "failer", .handle_call = answer, .handle_cast = end_life};
    static const struct actor_class *const classes[ACTORS] = {NULL, &asker, &failer};
    static const struct edge_spec edges[] = {{ASKER, FAILER}};
    static const struct child_spec children[] = {{.id = "failer", .start = FAILER}, {.id = "asker", .start = ASKER}};
    static const struct supervisor_spec tree = {
        .name = "bench", .period_ms = 1000, .children = children, .child_count = 2};
    static const struct schema_set set = {.schemas = schemas, .count = 2};
    figures = bench_open(&argc, argv, sizeof(*figures));
    by_kill = argc > 1 && strcmp(argv[1], "kill") == 0;
    if (argc > 2)
        failures = strtoull(argv[2], NULL, 10);
    check(failures > 0 && failures <= FAILURES_MAX && (bench.ipc || !by_kill),
          "usage: bench_supervision [--backend=inproc|ipc] [exit|kill] [failures]");
    struct runtime_config config = {.classes = classes,
                                    .class_count = ACTORS,
                                    .tree = &tree,
                                    .edges = edges,
                                    .edge_count = 1,
                                    .schemas = &set,
                                    .unbounded_restarts = true};
    rt = bench_start(&config);
    check(runtime_await(rt, is_finished, NULL, 300 * SECOND_NS), "waiting for the end");
    check(runtime_stop(&rt, 10 * SECOND_NS) == RUNTIME_EXIT_OK, "runtime_stop");
    const uint64_t count = figures->count;
    qsort(figures->took_ns, count, sizeof(*figures->took_ns), by_size);
    printf("{\"name\": \"supervision\", \"p50_us\": %.1f, \"p99_us\": %.1f, \"count\": %llu}\n",
           (double)figures->took_ns[count / 2] / 1e3, (double)figures->took_ns[count * 99 / 100] / 1e3,
           (unsigned long long)count);
    return 0;
}
