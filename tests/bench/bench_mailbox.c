/* SPDX-License-Identifier: MIT */
/*
 * The mailbox's figures and what they are to be compared with. One measurement a run, so that a runner can interleave them:
 *
 *      bench_mailbox [--backend=inproc|ipc] eventfd|sockets|pushpull|call|calls64|casts|blocks [seconds]
 *
 * prints one line of JSON: {"name": ..., "per_s": ..., "us": ..., "cpu_us": ...}, the last being CPU time of all threads and processes. eventfd is two threads that wake each other; sockets is two processes that
 * send each other 64 bytes over a Unix socket; pushpull is plain nng with one blocking PUSH/PULL lane each way and 64-byte messages, between
 * two threads over inproc://, between two processes over ipc:// (abstract names); call is one call after the other between two actors; calls64
 * keeps 64 in flight; casts sends until the mailbox says BUSY, again when it says ROOM; blocks is calls with a block
 * of 256 KiB, 4 in flight. Bodies are 64 bytes. Every measurement runs under
 * SCHED_BATCH, as the daemon does.
 */
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench_backend.h"
#include "mailbox/actor.h"
#include "mailbox/runtime.h"

enum { ASKER = 1, ANSWERER, ACTORS };
enum { ASK = 1, TELL, PAD_BYTES = 56, BODY_BYTES = 64, IN_FLIGHT = 64, BLOCKS_IN_FLIGHT = 4 };
enum { BLOCK_BYTES = 256 * 1024 };

static uint64_t run_ns = SECOND_NS;

/* CPU time of this process and of those that it started and that have ended: all of it, the start too. */
static double cpu_us(void)
{
    struct rusage used[2];
    double us = 0;
    check(getrusage(RUSAGE_SELF, &used[0]) == 0 && getrusage(RUSAGE_CHILDREN, &used[1]) == 0, "getrusage");
    for (int i = 0; i < 2; i++)
        us += (double)(used[i].ru_utime.tv_sec + used[i].ru_stime.tv_sec) * 1e6 +
              (double)(used[i].ru_utime.tv_usec + used[i].ru_stime.tv_usec);
    return us;
}

static void report(const char *name, uint64_t ops, uint64_t took_ns)
{
    double per_s = (double)ops * 1e9 / (double)took_ns;
    printf("{\"name\": \"%s\", \"per_s\": %.0f, \"us\": %.3f, \"cpu_us\": %.3f}\n", name, per_s, 1e6 / per_s,
           cpu_us() / (double)ops);
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

/* ---- two processes and a socket ---- */

static void bench_sockets(void)
{
    uint8_t bytes[BODY_BYTES] = {0};
    uint64_t ops = 0;
    int pair[2];
    check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0) {
        (void)close(pair[0]);
        while (recv(pair[1], bytes, sizeof(bytes), 0) == sizeof(bytes))
            check(send(pair[1], bytes, sizeof(bytes), 0) == sizeof(bytes), "send");
        _exit(0);
    }
    (void)close(pair[1]);
    uint64_t began = clock_mono_ns();
    for (; clock_mono_ns() - began < run_ns; ops++) {
        check(send(pair[0], bytes, sizeof(bytes), 0) == sizeof(bytes), "send");
        check(recv(pair[0], bytes, sizeof(bytes), 0) == sizeof(bytes), "recv");
    }
    uint64_t took = clock_mono_ns() - began;
    (void)close(pair[0]);
    (void)waitpid(child, NULL, 0);
    report("sockets", ops, took);
}

/* ---- plain nng ---- */

static nng_socket there[2]; /* push, pull */
static nng_socket back[2];

static void listen_on(nng_socket *pull, const char *url)
{
    check(nng_pull0_open(pull) == 0 && nng_listen(*pull, url, NULL, 0) == 0, "nng_listen");
}

/* Who listens may not be there yet: then nng tries again by itself. */
static void dial(nng_socket *push, const char *url)
{
    check(nng_push0_open(push) == 0 && nng_dial(*push, url, NULL, NNG_FLAG_NONBLOCK) == 0, "nng_dial");
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

static void ping_pong(void)
{
    nng_msg *msg;
    check(nng_msg_alloc(&msg, BODY_BYTES) == 0 && nng_sendmsg(there[0], msg, 0) == 0, "send");
    check(nng_recvmsg(back[1], &msg, 0) == 0, "recv");
    nng_msg_free(msg);
}

/* The other side: a thread, or on ipc a process, which is forked before nng starts in this one. */
static void bench_pushpull(void)
{
    char urls[2][64];
    uint64_t ops = 0;
    pthread_t thread = pthread_self();
    nng_msg *msg;
    const char *scheme = bench.ipc ? "abstract" : "inproc";
    for (int i = 0; i < 2; i++)
        (void)snprintf(urls[i], sizeof(urls[i]), "%s://bench-%d-%d", scheme, getpid(), i);
    pid_t child = bench.ipc ? fork() : -1;
    if (child == 0) {
        listen_on(&there[1], urls[0]);
        dial(&back[0], urls[1]);
        (void)nng_echo(NULL);
        _exit(0);
    }
    listen_on(&back[1], urls[1]);
    if (!bench.ipc) {
        listen_on(&there[1], urls[0]);
        dial(&back[0], urls[1]);
    }
    dial(&there[0], urls[0]);
    if (!bench.ipc)
        check(pthread_create(&thread, NULL, nng_echo, NULL) == 0, "pthread_create");
    ping_pong();
    uint64_t began = clock_mono_ns();
    for (; clock_mono_ns() - began < run_ns; ops++)
        ping_pong();
    uint64_t took = clock_mono_ns() - began;
    check(nng_msg_alloc(&msg, 0) == 0 && nng_sendmsg(there[0], msg, 0) == 0, "send");
    if (bench.ipc)
        (void)waitpid(child, NULL, 0);
    else
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
static int in_flight = 1;
static uint64_t sent;
static struct runtime *rt;

/* What the actors and root's process share. */
static struct figures {
    uint64_t began_ns; /* the asker's, until it has finished */
    uint64_t ended_ns;
    _Atomic uint64_t received; /* one actor's alone: of calls the asker's, of casts the answerer's */
    _Atomic bool finished;
} * figures;

static void received(void)
{
    atomic_store_explicit(&figures->received, atomic_load_explicit(&figures->received, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static void finish(struct ctx *c)
{
    (void)c;
    if (figures->ended_ns == 0)
        figures->ended_ns = clock_mono_ns();
    atomic_store(&figures->finished, true);
    if (rt != NULL) /* in a process of its own it is looked at */
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
    if (in_flight == BLOCKS_IN_FLIGHT) {
        msg.tail = block_ref_new(BLOCK_BYTES, NULL);
        check(msg.tail != NULL, "block_ref_new");
        memset(msg.tail->data, (int)note.n,
               BLOCK_BYTES); /* as one that came from a disk or a network: its lines are in a cache */
    }
    check(ctx_call(c, ANSWERER, &msg, opts, note.n) == ERR_OK, "ctx_call");
    block_ref_unref(msg.tail);
}

static void tell_until_busy(struct ctx *c)
{
    struct note note;
    struct msg msg = message(&note, TELL);
    for (;;) {
        note.n = sent;
        if (sent % 1024 == 0 && clock_mono_ns() - figures->began_ns >= run_ns)
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
        figures->began_ns = clock_mono_ns();
        if (strcmp(mode, "casts") == 0)
            tell_until_busy(c);
        else
            for (int i = 0; i < in_flight; i++)
                ask(c);
    } else if (info->kind == INFO_ROOM && figures->ended_ns == 0) {
        tell_until_busy(c);
    } else if (info->kind == INFO_REPLY && figures->ended_ns == 0) {
        check(info->err == ERR_OK, "the call");
        received();
        if (ctx_now(c) - figures->began_ns >= run_ns)
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
    received();
}

static bool is_finished(void *arg)
{
    (void)arg;
    return atomic_load(&figures->finished);
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
    check(budget_init(&budget, 64 * MIB) == ERR_OK, "budget_init");
    struct runtime_config config = {.classes = classes,
                                    .class_count = ACTORS,
                                    .tree = &tree,
                                    .edges = edges,
                                    .edge_count = 1,
                                    .schemas = &set,
                                    .budget = &budget};
    rt = bench_start(&config);
    check(runtime_await(rt, is_finished, NULL, run_ns + 30 * SECOND_NS), "waiting for the end");
    struct runtime_stats stats;
    runtime_stats(rt, &stats);
    uint64_t ops = atomic_load(&figures->received);
    if (getenv("BENCH_STATS") != NULL)
        fprintf(stderr, "batches %llu busy %llu\n", (unsigned long long)stats.batches, (unsigned long long)stats.busy);
    check(runtime_stop(&rt, 10 * SECOND_NS) == RUNTIME_EXIT_OK, "runtime_stop");
    report(mode, ops, figures->ended_ns - figures->began_ns);
}

int main(int argc, char **argv)
{
    figures = bench_open(&argc, argv, sizeof(*figures));
    mode = argc > 1 ? argv[1] : "";
    if (argc > 2)
        run_ns = (uint64_t)(strtod(argv[2], NULL) * 1e9);
    in_flight = strcmp(mode, "calls64") == 0 ? IN_FLIGHT : strcmp(mode, "blocks") == 0 ? BLOCKS_IN_FLIGHT : 1;
    if (strcmp(mode, "eventfd") == 0)
        bench_eventfd();
    else if (strcmp(mode, "sockets") == 0)
        bench_sockets();
    else if (strcmp(mode, "pushpull") == 0)
        bench_pushpull();
    else if (strcmp(mode, "call") == 0 || strcmp(mode, "calls64") == 0 || strcmp(mode, "casts") == 0 ||
             strcmp(mode, "blocks") == 0)
        bench_actors();
    else
        check(
            false,
            "usage: bench_mailbox [--backend=inproc|ipc] eventfd|sockets|pushpull|call|calls64|casts|blocks [seconds]");
    return 0;
}
