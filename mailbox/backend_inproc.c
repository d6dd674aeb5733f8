/* SPDX-License-Identifier: MIT */
/*
 * Backend inproc: a thread per actor, mailboxes on nng inproc.
 *
 *      sender A ==PUSH==\                    each pair of the call table has a PUSH of its own, both ways
 *      sender B ==PUSH===> PULL data    \
 *      others   --PUSH--/                > poll(control, data, wake, sockets with leftovers) --> actor_turn
 *      everyone --PUSH---> PULL control /
 *
 * All sockets are opened before the first thread and closed after the last: nng_close racing a receive aborts the process (nng
 * 1.5.2), and a restarted actor simply goes on with its sockets. Sends never block: a full socket leaves the batch with its
 * sender, which polls the socket until there is room.
 */
#include <assert.h>
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "mailbox/crash.h"
#include "mailbox/ctx.h"
#include "mailbox/machine.h"
#include "mailbox/workers.h"

enum {
    SEND_BUFFER = 2, /* batches; more wait in the outbox, where they coalesce */
    SETTLE_MS = 200,
    BLOCKED_RETRY_MS = 1, /* in an event loop, which does not watch the senders' sockets */
    DRAIN_ROUNDS = 5,
};

struct carrier {
    struct ctx *actor;
    nng_socket pull[LANE_COUNT];
    nng_socket push[LANE_COUNT]; /* shared by all who have no edge to it */
    int pull_fd[LANE_COUNT];
    bool readable[LANE_COUNT];
    nng_socket *edges; /* to each actor; id 0 = none, use the shared one */
    int *send_fd;      /* to * LANE_COUNT + lane; -1 = not asked for yet */
    int wake_fd;
    _Atomic bool wake_pending; /* spares the write when one is under way */
    pthread_t thread;
    bool has_thread;
};

/* The actor whose thread this is. */
static _Thread_local struct ctx *running;

static struct carrier *carrier_of(const struct ctx *c)
{
    return c->carrier;
}

/* ---- opening ---- */

static enum err err_of(int nng_error)
{
    return nng_error == 0 ? ERR_OK : nng_error == NNG_ENOMEM ? ERR_NOMEM : ERR_IO;
}

static void endpoint(char *to, size_t len, const struct runtime *rt, actor_id id, enum lane lane)
{
    (void)snprintf(to, len, "inproc://%s-%p/%u/%u", rt->config.name == NULL ? "hearth" : rt->config.name,
                   (const void *)rt, id, (unsigned)lane);
}

static enum err open_push(const struct runtime *rt, actor_id to, enum lane lane, nng_socket *ret_socket)
{
    char url[128];
    endpoint(url, sizeof(url), rt, to, lane);
    int bad = nng_push0_open(ret_socket);
    if (bad != 0)
        return err_of(bad);
    bad = nng_socket_set_int(*ret_socket, NNG_OPT_SENDBUF, SEND_BUFFER);
    if (bad == 0)
        bad = nng_dial(*ret_socket, url, NULL, 0);
    return err_of(bad);
}

static enum err open_pull(const struct runtime *rt, struct carrier *a, enum lane lane)
{
    char url[128];
    endpoint(url, sizeof(url), rt, a->actor->id, lane);
    int bad = nng_pull0_open(&a->pull[lane]);
    if (bad == 0)
        bad = nng_listen(a->pull[lane], url, NULL, 0);
    if (bad == 0)
        bad = nng_socket_get_int(a->pull[lane], NNG_OPT_RECVFD, &a->pull_fd[lane]);
    return bad == 0 ? open_push(rt, a->actor->id, lane, &a->push[lane]) : err_of(bad);
}

static enum err open_carrier(struct runtime *rt, struct ctx *c)
{
    struct carrier *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return ERR_NOMEM;
    c->carrier = a;
    a->actor = c;
    a->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (a->wake_fd < 0)
        return err_from_errno(errno);
    a->edges = calloc(rt->actor_count, sizeof(*a->edges));
    a->send_fd = calloc(rt->actor_count * LANE_COUNT, sizeof(*a->send_fd));
    if (a->edges == NULL || a->send_fd == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < rt->actor_count * LANE_COUNT; i++)
        a->send_fd[i] = -1;
    enum err err = open_pull(rt, a, LANE_CONTROL);
    return err == ERR_OK ? open_pull(rt, a, LANE_DATA) : err;
}

static enum err open_edge(struct runtime *rt, actor_id from, actor_id to)
{
    nng_socket *edge = &carrier_of(actor_of(rt, from))->edges[to];
    return edge->id != 0 ? ERR_OK : open_push(rt, to, LANE_DATA, edge);
}

static enum err open_all(struct runtime *rt)
{
    enum err err = ERR_OK;
    for (size_t i = 0; i < rt->actor_count && err == ERR_OK; i++)
        err = open_carrier(rt, &rt->actors[i]);
    for (size_t i = 0; i < rt->config.edge_count && err == ERR_OK; i++) {
        const struct edge_spec *edge = &rt->config.edges[i];
        err = open_edge(rt, edge->from, edge->to);
        if (err == ERR_OK)
            err = open_edge(rt, edge->to, edge->from); /* the replies */
    }
    struct workers *workers = NULL;
    if (err == ERR_OK)
        err = workers_start(rt->config.lanes, rt->config.lane_count, &workers);
    rt->carrier = workers;
    return err;
}

/* ---- closing ---- */

/* Batches that nobody read hold counted tails: they are read and dropped, also those that nng still moves. */
static void drain(struct runtime *rt)
{
    for (int quiet = 0; quiet < DRAIN_ROUNDS; quiet++) {
        for (size_t i = 0; i < rt->actor_count * LANE_COUNT; i++) {
            struct ctx *c = &rt->actors[i / LANE_COUNT];
            struct carrier *a = carrier_of(c);
            nng_msg *msg;
            if (a == NULL || a->pull[i % LANE_COUNT].id == 0)
                continue;
            while (nng_recvmsg(a->pull[i % LANE_COUNT], &msg, NNG_FLAG_NONBLOCK) == 0) {
                delivery_discard(c, (struct batch *)msg);
                quiet = 0;
            }
        }
        (void)poll(NULL, 0, 1);
    }
}

static void close_socket(nng_socket socket)
{
    if (socket.id != 0)
        (void)nng_close(socket);
}

static void close_carrier(struct runtime *rt, struct carrier *a)
{
    if (a == NULL)
        return;
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        close_socket(a->push[lane]);
        close_socket(a->pull[lane]);
    }
    for (size_t i = 0; a->edges != NULL && i < rt->actor_count; i++)
        close_socket(a->edges[i]);
    if (a->wake_fd >= 0)
        (void)close(a->wake_fd);
    free(a->edges);
    free(a->send_fd);
    free(a);
}

static bool close_all(struct runtime *rt, uint64_t timeout_ns)
{
    if (rt->carrier != NULL && !workers_stop(rt->carrier, timeout_ns))
        return false;
    rt->carrier = NULL;
    drain(rt);
    for (size_t i = 0; i < rt->actor_count; i++) {
        close_carrier(rt, carrier_of(&rt->actors[i]));
        rt->actors[i].carrier = NULL;
    }
    return true;
}

static enum err open_backend(struct runtime *rt)
{
    enum err err = open_all(rt);
    if (err != ERR_OK)
        (void)close_all(rt, SECOND_NS);
    return err;
}

/* ---- lanes ---- */

static nng_socket socket_to(const struct ctx *from, actor_id to, enum lane lane)
{
    nng_socket edge = carrier_of(from)->edges[to];
    if (lane == LANE_DATA && edge.id != 0)
        return edge;
    return carrier_of(actor_of(from->rt, to))->push[lane];
}

static enum err send_batch(struct ctx *from, actor_id to, enum lane lane, struct batch **batch)
{
    int bad = nng_sendmsg(socket_to(from, to, lane), (nng_msg *)*batch, NNG_FLAG_NONBLOCK);
    if (bad != 0)
        return ERR_AGAIN;
    *batch = NULL;
    return ERR_OK;
}

static enum err recv_batch(struct ctx *c, enum lane lane, struct batch **ret_batch)
{
    struct carrier *a = carrier_of(c);
    nng_msg *msg;
    if (!a->readable[lane])
        return ERR_AGAIN;
    if (nng_recvmsg(a->pull[lane], &msg, NNG_FLAG_NONBLOCK) != 0) {
        a->readable[lane] = false;
        return ERR_AGAIN;
    }
    *ret_batch = (struct batch *)msg;
    return ERR_OK;
}

static void wake(struct ctx *c)
{
    struct carrier *a = carrier_of(c);
    uint64_t one = 1;
    if (running == c)
        return; /* it is turning already */
    if (!atomic_exchange(&a->wake_pending, true))
        (void)!write(a->wake_fd, &one, sizeof(one));
}

static void take_wake(struct carrier *a)
{
    uint64_t count;
    (void)!read(a->wake_fd, &count, sizeof(count));
    /* An exchange, so that what a waker wrote before it found the flag set is seen by the turn that follows. */
    (void)atomic_exchange(&a->wake_pending, false);
}

/* ---- the thread ---- */

/* The descriptor that becomes readable when the lane to an actor has room; nng makes it on first use. */
static int send_fd(struct ctx *c, uint16_t index)
{
    struct carrier *a = carrier_of(c);
    if (a->send_fd[index] < 0) {
        nng_socket socket = socket_to(c, index / LANE_COUNT, index % LANE_COUNT);
        (void)nng_socket_get_int(socket, NNG_OPT_SENDFD, &a->send_fd[index]);
    }
    return a->send_fd[index];
}

static void wait_for_work(struct ctx *c, uint64_t wake_at_ns)
{
    enum { FIXED = LANE_COUNT + 1, BLOCKED_MAX = 16, ALL_MAX = FIXED + WATCHES_MAX + MULTICAST_DESCRIPTORS_MAX };
    struct carrier *a = carrier_of(c);
    struct pollfd fds[ALL_MAX + BLOCKED_MAX];
    int groups[MULTICAST_DESCRIPTORS_MAX];
    nfds_t count = 0;
    for (int lane = 0; lane < LANE_COUNT; lane++)
        fds[count++] = (struct pollfd){.fd = a->pull_fd[lane], .events = POLLIN};
    fds[count++] = (struct pollfd){.fd = a->wake_fd, .events = POLLIN};
    for (uint32_t i = 0; i < c->watch_count; i++)
        fds[count++] = (struct pollfd){.fd = c->watches[i].fd, .events = POLLIN};
    nfds_t first_group = count;
    size_t group_count = c->multicast == NULL ? 0 : c->rt->config.multicast->descriptors(c->multicast, groups);
    for (size_t i = 0; i < group_count; i++)
        fds[count++] = (struct pollfd){.fd = groups[i], .events = POLLIN};
    for (uint32_t i = 0; i < MIN(c->dirty_count, (uint32_t)BLOCKED_MAX); i++)
        fds[count++] = (struct pollfd){.fd = send_fd(c, c->dirty[i]), .events = POLLIN};
    struct timespec left = machine_left(wake_at_ns);
    if (ppoll(fds, count, &left, NULL) <= 0)
        return;
    for (int lane = 0; lane < LANE_COUNT; lane++)
        a->readable[lane] = a->readable[lane] || fds[lane].revents != 0;
    if (fds[LANE_COUNT].revents != 0)
        take_wake(a);
    for (uint32_t i = 0; i < c->watch_count; i++)
        c->watches[i].ready = fds[FIXED + i].revents != 0;
    for (size_t i = 0; i < group_count; i++)
        c->multicast_ready = c->multicast_ready || fds[first_group + i].revents != 0;
}

static void control_readable(void *arg)
{
    ((struct carrier *)arg)->readable[LANE_CONTROL] = true;
}

static void data_readable(void *arg)
{
    ((struct carrier *)arg)->readable[LANE_DATA] = true;
}

static void woken(void *arg)
{
    take_wake(arg);
}

static bool loop_turn(void *arg, uint64_t *ret_wake_at_ns)
{
    struct ctx *c = arg;
    bool goes_on = actor_turn(c, ret_wake_at_ns);
    if (c->dirty_count > 0)
        *ret_wake_at_ns = MIN(*ret_wake_at_ns, c->now_ns + BLOCKED_RETRY_MS * MS_NS);
    return goes_on;
}

static void run_in_loop(struct ctx *c)
{
    const struct loop_port *loop = c->rt->config.loop;
    struct carrier *a = carrier_of(c);
    enum err err = loop->watch(c->loop, a->pull_fd[LANE_CONTROL], control_readable, a);
    if (err == ERR_OK)
        err = loop->watch(c->loop, a->pull_fd[LANE_DATA], data_readable, a);
    if (err == ERR_OK)
        err = loop->watch(c->loop, a->wake_fd, woken, a);
    if (err == ERR_OK)
        loop->run(c->loop, loop_turn, c);
    else
        ctx_exit(c, EXIT_FAILED, "cannot watch the mailbox: %s", err_text(err));
}

static void *run(void *arg)
{
    struct ctx *c = arg;
    struct carrier *a = carrier_of(c);
    clockid_t clock = 0;
    running = c;
    if (pthread_getcpuclockid(pthread_self(), &clock) == 0)
        atomic_store(&c->shared->cpu_clock, clock);
    crash_thread(c->class->name, c->id);
    /* What came before this life lets its first turn look at both lanes. */
    a->readable[LANE_CONTROL] = a->readable[LANE_DATA] = true;
    if (life_begin(c)) {
        uint64_t wake_at_ns;
        if (c->loop != NULL)
            run_in_loop(c);
        else
            while (actor_turn(c, &wake_at_ns))
                wait_for_work(c, wake_at_ns);
    }
    life_end(c);
    atomic_store(&c->shared->cpu_clock, 0);
    atomic_fetch_add(&c->shared->cpu_past_ns, machine_cpu(CLOCK_THREAD_CPUTIME_ID));
    return NULL;
}

static enum err spawn(struct ctx *c)
{
    struct carrier *a = carrier_of(c);
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return ERR_NOMEM;
    (void)pthread_attr_setstacksize(&attr, RUNTIME_STACK_BYTES);
    int bad = pthread_create(&a->thread, &attr, run, c);
    (void)pthread_attr_destroy(&attr);
    if (bad != 0)
        return ERR_NOMEM;
    char name[16]; /* the kernel's limit */
    (void)snprintf(name, sizeof(name), "%s", c->class->name);
    (void)pthread_setname_np(a->thread, name);
    a->has_thread = true;
    return ERR_OK;
}

static void reap(struct ctx *c)
{
    struct carrier *a = carrier_of(c);
    if (a->has_thread)
        (void)pthread_join(a->thread, NULL);
    a->has_thread = false;
}

static void settle(struct ctx *c)
{
    for (int i = 0; i < SETTLE_MS && !outbox_flush(c); i++)
        (void)poll(NULL, 0, 1);
}

/* ---- the rest ---- */

static enum err submit(struct job *job)
{
    return workers_submit(job->owner->rt->carrier, job);
}

const struct backend backend_inproc = {
    .name = "inproc",
    .open = open_backend,
    .close = close_all,
    .spawn = spawn,
    .reap = reap,
    .settle = settle,
    .stall = machine_stall,
    .wake = wake,
    .send = send_batch,
    .recv = recv_batch,
    .job = submit,
    .now = machine_now,
    .real_now = machine_real_now,
    .random = machine_random,
    .await = machine_await,
    .watches = true,
};
