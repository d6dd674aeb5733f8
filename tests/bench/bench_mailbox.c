/* SPDX-License-Identifier: MIT */
/*
 * The mailbox's figures and what they are to be compared with. One measurement a run, so that a runner can interleave them:
 *
 *      bench_mailbox eventfd|pushpull|call|calls64|casts [seconds]
 *
 * prints one line of JSON: {"name": ..., "per_s": ..., "us": ...}. eventfd is two threads that wake each other; pushpull is plain
 * nng with one blocking PUSH/PULL lane each way and 64-byte messages; call is one call after the other between two actors; calls64
 * keeps 64 in flight; casts sends until the mailbox says BUSY, again when it says ROOM. Bodies are 64 bytes. Every measurement runs under
 * SCHED_BATCH, as the daemon does.
 */
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "mailbox/actor.h"
#include "mailbox/runtime.h"

enum { ASKER = 1, ANSWERER, ACTORS };
enum { ASK = 1, TELL, PAD_BYTES = 56, BODY_BYTES = 64, IN_FLIGHT = 64 };

static uint64_t run_ns = SECOND_NS;

static void report(const char *name, uint64_t ops, uint64_t took_ns)
{
    double per_s = (double)ops * 1e9 / (double)took_ns;
    printf("{\"name\": \"%s\", \"per_s\": %.0f, \"us\": %.3f}\n", name, per_s, 1e6 / per_s);
}

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

/* ---- eventfd ---- */

static int fds[2];

static void *eventfd_echo(void *arg)
{
    uint64_t value;
    while (read(fds[0], &value, sizeof(value)) == sizeof(value) && value != 2)
        check(write(fds[1], &value, sizeof(value)) == sizeof(value), "write");
    return arg;
}

static void bench_eventfd(void)
{
    uint64_t one = 1;
    uint64_t two = 2;
    uint64_t ops = 0;
    pthread_t thread;
    fds[0] = eventfd(0, 0);
    fds[1] = eventfd(0, 0);
    check(pthread_create(&thread, NULL, eventfd_echo, NULL) == 0, "pthread_create");
    uint64_t began = clock_mono_ns();
    for (; clock_mono_ns() - began < run_ns; ops++) {
        check(write(fds[0], &one, sizeof(one)) == sizeof(one), "write");
        check(read(fds[1], &one, sizeof(one)) == sizeof(one), "read");
    }
    uint64_t took = clock_mono_ns() - began;
    check(write(fds[0], &two, sizeof(two)) == sizeof(two), "write");
    (void)pthread_join(thread, NULL);
    report("eventfd", ops, took);
}

/* ---- plain nng ---- */

static nng_socket there[2]; /* push, pull */
static nng_socket back[2];

static void open_lane(nng_socket lane[2], const char *url)
{
    check(nng_pull0_open(&lane[1]) == 0 && nng_listen(lane[1], url, NULL, 0) == 0, "pull");
    check(nng_push0_open(&lane[0]) == 0 && nng_dial(lane[0], url, NULL, 0) == 0, "push");
}

static void *nng_echo(void *arg)
{
    for (;;) {
        nng_msg *msg;
        check(nng_recvmsg(there[1], &msg, 0) == 0, "recv");
        bool last = nng_msg_len(msg) == 0;
        if (last) {
            nng_msg_free(msg);
            return arg;
        }
        check(nng_sendmsg(back[0], msg, 0) == 0, "send");
    }
}

static void bench_pushpull(void)
{
    uint64_t ops = 0;
    pthread_t thread;
    nng_msg *msg;
    open_lane(there, "inproc://there");
    open_lane(back, "inproc://back");
    check(pthread_create(&thread, NULL, nng_echo, NULL) == 0, "pthread_create");
    uint64_t began = clock_mono_ns();
    for (; clock_mono_ns() - began < run_ns; ops++) {
        check(nng_msg_alloc(&msg, BODY_BYTES) == 0 && nng_sendmsg(there[0], msg, 0) == 0, "send");
        check(nng_recvmsg(back[1], &msg, 0) == 0, "recv");
        nng_msg_free(msg);
    }
    uint64_t took = clock_mono_ns() - began;
    check(nng_msg_alloc(&msg, 0) == 0 && nng_sendmsg(there[0], msg, 0) == 0, "send");
    (void)pthread_join(thread, NULL);
    report("pushpull", ops, took);
}

/* ---- actors ---- */

struct note {
    uint64_t n;
    struct span pad;
};

static const struct field fields[] = {
    {.name = "n", .type = FIELD_U64, .required = true, .offset = offsetof(struct note, n), .max = UINT64_MAX},
    {.name = "pad", .type = FIELD_BYTES, .offset = offsetof(struct note, pad), .max = PAD_BYTES},
};

static const struct schema schemas[] = {
    {.name = "ask", .kind = ASK, .struct_bytes = sizeof(struct note), .fields = fields, .field_count = 2},
    {.name = "tell", .kind = TELL, .struct_bytes = sizeof(struct note), .fields = fields, .field_count = 2},
};

static const uint8_t pad[PAD_BYTES];
static const char *mode;
static uint64_t began_ns;
static uint64_t ended_ns;
static uint64_t sent;
static _Atomic uint64_t received;
static _Atomic bool finished;
static struct runtime *rt;

static void finish(struct ctx *c)
{
    (void)c;
    if (ended_ns == 0)
        ended_ns = clock_mono_ns();
    atomic_store(&finished, true);
    runtime_notify(rt);
}

static struct msg message(struct note *note, uint16_t kind)
{
    note->pad = span_of(pad, sizeof(pad));
    return (struct msg){.kind = kind, .fields = note};
}

static void ask(struct ctx *c)
{
    struct note note = {.n = sent++};
    struct msg msg = message(&note, ASK);
    const struct call_opts opts = {.timeout_ns = 10 * SECOND_NS, .reply_bytes_max = 256};
    check(ctx_call(c, ANSWERER, &msg, opts, note.n) == ERR_OK, "ctx_call");
}

static void tell_until_busy(struct ctx *c)
{
    struct note note;
    struct msg msg = message(&note, TELL);
    for (;;) {
        note.n = sent;
        if (sent % 1024 == 0 && clock_mono_ns() - began_ns >= run_ns)
            return finish(c);
        if (ctx_cast(c, ANSWERER, &msg) != ERR_OK)
            return;
        sent++;
    }
}

static void handle_info(struct ctx *c, void *state, const struct info *info)
{
    (void)state;
    if (info->kind == INFO_UP) {
        began_ns = clock_mono_ns();
        int first = strcmp(mode, "calls64") == 0 ? IN_FLIGHT : 1;
        if (strcmp(mode, "casts") == 0)
            tell_until_busy(c);
        else
            for (int i = 0; i < first; i++)
                ask(c);
    } else if (info->kind == INFO_ROOM && ended_ns == 0) {
        tell_until_busy(c);
    } else if (info->kind == INFO_REPLY && ended_ns == 0) {
        check(info->err == ERR_OK, "the call");
        atomic_store_explicit(&received, atomic_load_explicit(&received, memory_order_relaxed) + 1,
                              memory_order_relaxed);
        if (ctx_now(c) - began_ns >= run_ns)
            finish(c);
        else
            ask(c);
    }
}

static enum err watch_answerer(struct ctx *c, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    return ctx_monitor(c, ANSWERER);
}

static enum err answer(struct ctx *c, void *state, const struct msg *msg, struct reply_to call)
{
    (void)state;
    ctx_reply(c, call, &(struct msg){.kind = ASK, .fields = msg->fields});
    return ERR_OK;
}

static void take(struct ctx *c, void *state, const struct msg *msg)
{
    (void)c;
    (void)state;
    (void)msg;
    atomic_store_explicit(&received, atomic_load_explicit(&received, memory_order_relaxed) + 1, memory_order_relaxed);
}

static bool is_finished(void *arg)
{
    (void)arg;
    return atomic_load(&finished);
}

static void bench_actors(void)
{
    static const struct actor_class asker = {.name = "asker", .init = watch_answerer, .handle_info = handle_info};
    static const struct actor_class answerer = {.name = "answerer", .handle_call = answer, .handle_cast = take};
    static const struct actor_class *const classes[ACTORS] = {NULL, &asker, &answerer};
    static const struct edge_spec edges[] = {{ASKER, ANSWERER}};
    static const struct child_spec children[] = {{.id = "answerer", .start = ANSWERER},
                                                 {.id = "asker", .start = ASKER}};
    static const struct supervisor_spec tree = {
        .name = "bench", .period_ms = 1000, .children = children, .child_count = 2};
    static const struct schema_set set = {.schemas = schemas, .count = 2};
    static struct budget budget;
    char why[256];
    check(budget_init(&budget, 64 * MIB) == ERR_OK, "budget_init");
    const struct runtime_config config = {.classes = classes,
                                          .class_count = ACTORS,
                                          .tree = &tree,
                                          .edges = edges,
                                          .edge_count = 1,
                                          .schemas = &set,
                                          .budget = &budget};
    check(runtime_start(&config, &rt, why, sizeof(why)) == ERR_OK, why);
    check(runtime_await(rt, is_finished, NULL, run_ns + 30 * SECOND_NS), "waiting for the end");
    struct runtime_stats stats;
    runtime_stats(rt, &stats);
    uint64_t ops = atomic_load(&received);
    if (getenv("BENCH_STATS") != NULL)
        fprintf(stderr, "batches %llu busy %llu\n", (unsigned long long)stats.batches, (unsigned long long)stats.busy);
    check(runtime_stop(&rt, 10 * SECOND_NS) == RUNTIME_EXIT_OK, "runtime_stop");
    report(mode, ops, ended_ns - began_ns);
}

int main(int argc, char **argv)
{
    const struct sched_param none = {.sched_priority = 0};
    check(sched_setscheduler(0, SCHED_BATCH, &none) == 0, "sched_setscheduler");
    mode = argc > 1 ? argv[1] : "";
    if (argc > 2)
        run_ns = (uint64_t)(strtod(argv[2], NULL) * 1e9);
    if (strcmp(mode, "eventfd") == 0)
        bench_eventfd();
    else if (strcmp(mode, "pushpull") == 0)
        bench_pushpull();
    else if (strcmp(mode, "call") == 0 || strcmp(mode, "calls64") == 0 || strcmp(mode, "casts") == 0)
        bench_actors();
    else
        check(false, "usage: bench_mailbox eventfd|pushpull|call|calls64|casts [seconds]");
    return 0;
}
