/* SPDX-License-Identifier: MIT */
/*
 * Backend ipc: root in this process, every other actor in a process of its own, each with a desk (ipc_desk.h).
 *
 *      root's process                            an actor's process (runtime_play)
 *        thread root: desk                         main thread: desk, the actor
 *        child[n]: pid, pidfd   -- spawn, kill --> workers of the lanes that it uses
 *        keeps all sockets and the region          its own ends of its sockets; the region, mapped
 *
 * Root alone starts processes. That one has ended, in whatever way, is told by its pidfd: what it had said before is read first, then its
 * end stands in for the report that it could not make. An actor's process ends with its life, so a life always begins with fresh memory.
 * Actors' processes die with root's (PR_SET_PDEATHSIG), and leave signals of terminals and service managers to it.
 */
#include "mailbox/backend_ipc.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "mailbox/crash.h"
#include "mailbox/ipc_child.h"
#include "mailbox/ipc_desk.h"
#include "mailbox/ipc_place.h"
#include "mailbox/ipc_region.h"
#include "mailbox/machine.h"
#include "mailbox/workers.h"

enum {
    SETTLE_MS = 200,
    DRAIN_MS = 4000, /* for the workers, within the 5 s that an actor has to stop */
    ARGUMENTS_MAX = 64,
};

struct ipc {
    const struct ipc_options *options;
    struct ipc_region region;
    struct ipc_sockets sockets; /* root's */
    struct ipc_desk desk;
    struct workers *workers;
    pthread_t thread; /* root's */
    bool has_thread;
    struct ipc_child children[RUNTIME_ACTORS_MAX + 1]; /* root's; by actor_id */
    uint32_t accused[RUNTIME_ACTORS_MAX + 1];          /* the epoch that was told of */
};

/* The actor whose thread this is. */
static _Thread_local struct ctx *running;

static struct ipc *ipc_of(const struct ctx *c)
{
    return c->rt->carrier;
}

/* Where this process stands: set by runtime_play before anything is opened; root's has none. */
static const struct ipc_place *place;

/* ---- opening and closing ---- */

static enum err share(struct runtime *rt)
{
    struct ipc *ipc = calloc(1, sizeof(*ipc));
    if (ipc == NULL)
        return ERR_NOMEM;
    bool has_budget = rt->config.budget != NULL;
    ipc->options = rt->config.backend_arg;
    ipc->region.fd = -1;
    enum err err = place == NULL ? ipc_region_make(rt->actor_count, has_budget, &ipc->region)
                                 : ipc_region_join(place->region_fd, rt->actor_count, has_budget, &ipc->region);
    if (err != ERR_OK) {
        free(ipc);
        return err;
    }
    rt->carrier = ipc;
    rt->shared = ipc->region.shared;
    rt->joined = place != NULL;
    if (!has_budget)
        return ERR_OK;
    if (place == NULL) {
        *ipc->region.budget = *rt->config.budget;
        budget_share(ipc->region.budget, ipc->region.cells, (uint32_t)rt->actor_count);
    }
    budget_holder(place == NULL ? ROOT_ID : place->actor);
    rt->config.budget = ipc->region.budget;
    return ERR_OK;
}

static void end_sharing(struct runtime *rt)
{
    struct ipc *ipc = rt->carrier;
    if (ipc != NULL)
        ipc_region_close(&ipc->region);
    free(ipc);
}

static enum err open_sockets(struct runtime *rt, struct ipc *ipc)
{
    bool exists[RUNTIME_ACTORS_MAX + 1] = {[ROOT_ID] = true};
    for (size_t i = 1; i < rt->actor_count; i++) {
        exists[i] = rt->config.classes[i] != NULL;
        ipc->children[i] = (struct ipc_child){.pidfd = -1, .reported = true};
    }
    return ipc_sockets_open(rt->actor_count, exists, &ipc->sockets);
}

static bool close_all(struct runtime *rt, uint64_t timeout_ns)
{
    struct ipc *ipc = rt->carrier;
    if (ipc->workers != NULL && !workers_stop(ipc->workers, timeout_ns))
        return false;
    ipc->workers = NULL;
    desk_close(&ipc->desk);
    ipc_sockets_close(&ipc->sockets);
    return true;
}

static enum err open_all(struct runtime *rt)
{
    struct ipc *ipc = rt->carrier;
    enum err err = place != NULL ? ERR_OK : open_sockets(rt, ipc);
    actor_id self = place == NULL ? ROOT_ID : place->actor;
    if (err == ERR_OK)
        err =
            desk_open(&ipc->desk, actor_of(rt, self), place == NULL ? ipc_sockets_of(&ipc->sockets, self) : place->fds);
    if (err == ERR_OK)
        err = workers_start(rt->config.lanes, rt->config.lane_count, &ipc->workers);
    if (err != ERR_OK)
        (void)close_all(rt, SECOND_NS);
    return err;
}

/* ---- the life of this process's actor ---- */

static void wait_for_work(struct ctx *c, uint64_t wake_at_ns)
{
    enum { ALL_MAX = 1 + WATCHES_MAX + MULTICAST_DESCRIPTORS_MAX };
    struct ipc_desk *desk = &ipc_of(c)->desk;
    struct pollfd fds[ALL_MAX];
    int groups[MULTICAST_DESCRIPTORS_MAX];
    nfds_t count = 0;
    desk_arm(desk);
    fds[count++] = (struct pollfd){.fd = desk->epoll_fd, .events = POLLIN};
    for (uint32_t i = 0; i < c->watch_count; i++)
        fds[count++] = (struct pollfd){.fd = c->watches[i].fd, .events = POLLIN};
    nfds_t first_group = count;
    size_t group_count = c->multicast == NULL ? 0 : c->rt->config.multicast->descriptors(c->multicast, groups);
    for (size_t i = 0; i < group_count; i++)
        fds[count++] = (struct pollfd){.fd = groups[i], .events = POLLIN};
    struct timespec left = machine_left(desk_has_own(desk) ? 0 : wake_at_ns);
    if (ppoll(fds, count, &left, NULL) <= 0)
        return;
    if (fds[0].revents != 0)
        desk_look(desk);
    for (uint32_t i = 0; i < c->watch_count; i++)
        c->watches[i].ready = fds[1 + i].revents != 0;
    for (size_t i = 0; i < group_count; i++)
        c->multicast_ready = c->multicast_ready || fds[first_group + i].revents != 0;
}

static void desk_readable(void *arg)
{
    desk_look(arg);
}

static bool loop_turn(void *arg, uint64_t *ret_wake_at_ns)
{
    struct ctx *c = arg;
    struct ipc_desk *desk = &ipc_of(c)->desk;
    bool goes_on = actor_turn(c, ret_wake_at_ns);
    desk_arm(desk);
    if (desk_has_own(desk))
        *ret_wake_at_ns = 0;
    return goes_on;
}

static void run_in_loop(struct ctx *c)
{
    struct ipc_desk *desk = &ipc_of(c)->desk;
    enum err err = c->rt->config.loop->watch(c->loop, desk->epoll_fd, desk_readable, desk);
    if (err == ERR_OK)
        c->rt->config.loop->run(c->loop, loop_turn, c);
    else
        ctx_exit(c, EXIT_FAILED, "cannot watch the mailbox: %s", err_text(err));
}

static bool may_go_on(struct ctx *c)
{
    const struct ipc_options *options = ipc_of(c)->options;
    if (c->id == ROOT_ID || options == NULL || options->started == NULL || options->started(options->arg, c))
        return true;
    ctx_exit(c, EXIT_FAILED, "%s", "its process cannot be confined");
    return false;
}

static void *run(void *arg)
{
    struct ctx *c = arg;
    running = c;
    crash_thread(c->class->name, c->id);
    desk_look(&ipc_of(c)->desk);
    if (life_begin(c) && may_go_on(c)) {
        uint64_t wake_at_ns;
        if (c->loop != NULL)
            run_in_loop(c);
        else
            while (actor_turn(c, &wake_at_ns))
                wait_for_work(c, wake_at_ns);
    }
    life_end(c);
    return NULL;
}

static void settle(struct ctx *c)
{
    desk_settle(&ipc_of(c)->desk, SETTLE_MS);
}

/* What the life left to its workers is done before root hears of its end, since the process goes with it. */
static void drain(struct ctx *c)
{
    struct ipc *ipc = ipc_of(c);
    if (c->id != ROOT_ID && workers_stop(ipc->workers, DRAIN_MS * MS_NS))
        ipc->workers = NULL;
}

/* ---- processes ---- */

/* Takes the end of its process: what it held is given back, and no turn of it goes on. False while it has not ended. */
static bool bury(struct ctx *c, struct child_end *ret_end)
{
    struct ipc_child *child = &ipc_of(c)->children[c->id];
    *ret_end = (struct child_end){0};
    if (!child_reap(child, ret_end))
        return false;
    ipc_of(c)->desk.ended &= ~(UINT64_C(1) << c->id); /* the word of its end is not the next one's */
    if (c->rt->config.budget != NULL)
        budget_forget(c->rt->config.budget, c->id);
    atomic_store_explicit(&c->shared->turn_since_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&c->shared->turn_bound_ns, 0, memory_order_relaxed);
    atomic_store(&c->shared->cpu_clock, 0);
    atomic_fetch_add(&c->shared->cpu_past_ns, ret_end->cpu_ns);
    return true;
}

static void note_clock(struct ctx *c, pid_t pid)
{
    clockid_t clock = 0;
    if (clock_getcpuclockid(pid, &clock) == 0)
        atomic_store(&c->shared->cpu_clock, clock);
}

static enum err spawn_process(struct ctx *c)
{
    struct ipc *ipc = ipc_of(c);
    const struct ipc_options *options = ipc->options;
    struct ipc_child *child = &ipc->children[c->id];
    const char *argv[ARGUMENTS_MAX + 2];
    char text[PLACE_TEXT_MAX + 16];
    int fds[PLACE_SOCKETS_MAX + ARGUMENTS_MAX];
    size_t argc = 0;
    struct child_end end;
    if (!bury(c, &end))
        return ERR_NOMEM; /* it was killed, and the kernel has not let it go yet */
    while (options->command[argc] != NULL && argc < ARGUMENTS_MAX) {
        argv[argc] = options->command[argc];
        argc++;
    }
    memcpy(text, "--actor=", 8);
    ipc_place_print(text + 8, &ipc->sockets, c->id, ipc->region.fd);
    argv[argc++] = text;
    argv[argc] = NULL;
    size_t count = c->rt->actor_count * LANE_COUNT;
    memcpy(fds, ipc_sockets_of(&ipc->sockets, c->id), count * sizeof(*fds));
    for (size_t i = 0; i < MIN(options->descriptor_count, (size_t)ARGUMENTS_MAX - 1); i++)
        fds[count++] = options->descriptors[i];
    fds[count++] = ipc->region.fd;
    enum err err = child_spawn(child, argv, fds, count);
    if (err != ERR_OK)
        return err;
    child->epoch = life_epoch(life_of(c));
    note_clock(c, child->pid);
    err = desk_watch_child(&ipc->desk, c->id, child->pidfd);
    if (err != ERR_OK)
        child_kill(child);
    return err;
}

static enum err spawn(struct ctx *c)
{
    struct ipc *ipc = ipc_of(c);
    pthread_attr_t attr;
    if (c->id != ROOT_ID)
        return spawn_process(c);
    if (pthread_attr_init(&attr) != 0)
        return ERR_NOMEM;
    (void)pthread_attr_setstacksize(&attr, RUNTIME_STACK_BYTES);
    ipc->has_thread = pthread_create(&ipc->thread, &attr, run, c) == 0;
    (void)pthread_attr_destroy(&attr);
    if (!ipc->has_thread)
        return ERR_NOMEM;
    (void)pthread_setname_np(ipc->thread, "root");
    note_clock(c, getpid()); /* a thread's clock is not for other processes, and root has this one for itself */
    return ERR_OK;
}

static void reap(struct ctx *c)
{
    struct ipc *ipc = ipc_of(c);
    struct child_end end;
    if (c->id == ROOT_ID) {
        if (ipc->has_thread)
            (void)pthread_join(ipc->thread, NULL);
        ipc->has_thread = false;
        return;
    }
    struct ipc_child *child = &ipc->children[c->id];
    child->reported = true;
    child_kill(child); /* it has nothing left to do: its report is the last */
    (void)bury(c, &end);
}

static void kill_process(struct ctx *c, enum exit_reason reason)
{
    struct ipc_child *child = &ipc_of(c)->children[c->id];
    child->overdue = reason == EXIT_STUCK;
    child_kill(child);
}

/* The record that an ended process could not send; NULL when it did. */
static struct batch *last_words(struct ctx *root, actor_id who)
{
    struct ipc_child *child = &ipc_of(root)->children[who];
    struct ctx *c = actor_of(root->rt, who);
    const struct ipc_child was = *child;
    struct child_end end;
    if (!bury(c, &end))
        return NULL;
    uint64_t life = life_of(c);
    if (was.reported || life_epoch(life) != was.epoch)
        return NULL;
    atomic_store_explicit(&c->shared->life, life_word(was.epoch, LIFE_ENDED), memory_order_release);
    bool began = life_state(life) != LIFE_STARTING;
    size_t len = strlen(end.how);
    struct record record = {.type = began ? RECORD_EXITED : RECORD_STARTED,
                            .kind = was.overdue ? EXIT_STUCK : EXIT_KILLED,
                            .from = who,
                            .to = ROOT_ID,
                            .from_epoch = was.epoch,
                            .to_epoch = root->epoch,
                            .body_len = (uint32_t)len,
                            .err = began ? ERR_OK : ERR_UNAVAILABLE};
    struct account *account = root->rt->account;
    struct batch *batch = batch_new(who, ROOT_ID, account, true);
    uint8_t *at =
        batch == NULL ? NULL : batch_reserve(batch, ENVELOPE_BATCH_BYTES, envelope_record_bytes(len), account, true);
    if (at == NULL)
        abort(); /* not a kilobyte of memory left: the nanny takes over */
    memcpy(at + ENVELOPE_RECORD_BYTES, end.how, len);
    envelope_encode(at, &record);
    batch_seal(batch, 1);
    return batch;
}

static struct batch *next_last_words(struct ctx *root)
{
    struct ipc_desk *desk = &ipc_of(root)->desk;
    struct batch *batch = NULL;
    while (desk->ended != 0 && batch == NULL) {
        actor_id who = (actor_id)__builtin_ctzll(desk->ended);
        desk->ended &= desk->ended - 1;
        batch = last_words(root, who);
    }
    return batch;
}

/* ---- lanes ---- */

static enum err send_batch(struct ctx *from, actor_id to, enum lane lane, struct batch **batch)
{
    return desk_send(&ipc_of(from)->desk, to, lane, batch);
}

/* Who sends what is no batch has been taken over, or is broken: root ends its process. Told once a life. */
static void accuse(struct ctx *c, actor_id who)
{
    struct ipc *ipc = ipc_of(c);
    uint32_t epoch = life_epoch(life_of(actor_of(c->rt, who)));
    if (who == ROOT_ID || ipc->accused[who] == epoch)
        return;
    ipc->accused[who] = epoch;
    if (c->id == ROOT_ID) {
        ctx_log(c, LOG_ERROR, "the process of %s sent what is no message: it is ended",
                actor_of(c->rt, who)->class->name);
        child_kill(&ipc->children[who]);
        return;
    }
    struct record accused = {.type = RECORD_ACCUSED,
                             .kind = who,
                             .from = c->id,
                             .to = ROOT_ID,
                             .from_epoch = c->epoch,
                             .to_epoch = life_epoch(life_of(actor_of(c->rt, ROOT_ID)))};
    outbox_raw(c, LANE_CONTROL, &accused, NULL);
}

static enum err recv_batch(struct ctx *c, enum lane lane, struct batch **ret_batch)
{
    struct ipc_desk *desk = &ipc_of(c)->desk;
    actor_id bad = 0;
    enum err err;
    while ((err = desk_receive(desk, lane, ret_batch, &bad)) == ERR_PROTOCOL)
        accuse(c, bad);
    if (err == ERR_OK || c->id != ROOT_ID || lane != LANE_CONTROL)
        return err;
    *ret_batch = next_last_words(c);
    return *ret_batch == NULL ? ERR_AGAIN : ERR_OK;
}

static void wake(struct ctx *c)
{
    if (running != c)
        desk_wake(&ipc_of(c)->desk);
}

static enum err submit(struct job *job)
{
    struct workers *workers = ipc_of(job->owner)->workers;
    return workers == NULL ? ERR_BUSY : workers_submit(workers, job);
}

const struct backend backend_ipc = {
    .name = "ipc",
    .share = share,
    .unshare = end_sharing,
    .open = open_all,
    .close = close_all,
    .spawn = spawn,
    .reap = reap,
    .kill = kill_process,
    .settle = settle,
    .drain = drain,
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

/* ---- an actor's process ---- */

actor_id runtime_place_actor(const char *text)
{
    char *end;
    unsigned long id = strtoul(text, &end, 10);
    return *end == ':' && id <= RUNTIME_ACTORS_MAX ? (actor_id)id : 0;
}

/* Not without root: it dies with it, and what a terminal or a service manager says to all processes is root's business. */
static bool bind_to_root(const struct ipc_region *region)
{
    static const int roots_own[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < ARRAY_LEN(roots_own); i++)
        (void)signal(roots_own[i], SIG_IGN);
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == ipc_region_root(region);
}

enum err runtime_play(const struct runtime_config *config, const char *text)
{
    static struct ipc_place own;
    struct runtime *rt = NULL;
    char why[TEXT_MAX];
    enum err err = ipc_place_parse(text, config->class_count, &own);
    if (err != ERR_OK || config->classes[own.actor] == NULL)
        return ERR_INVALID;
    place = &own;
    err = runtime_open(config, &rt, why, sizeof(why));
    if (err != ERR_OK)
        return err;
    struct ctx *self = actor_of(rt, own.actor);
    if (!bind_to_root(&ipc_of(self)->region))
        return ERR_MISMATCH;
    (void)prctl(PR_SET_NAME, self->class->name);
    (void)run(self);
    if (rt->backend->close(rt, 0))
        runtime_free(rt);
    return ERR_OK;
}
