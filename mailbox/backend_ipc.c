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
#include "mailbox/ipc_carrier.h"
#include "mailbox/ipc_processes.h"
#include "mailbox/machine.h"
#include "mailbox/shelf.h"
#include "mailbox/workers.h"

enum {
    SETTLE_MS = 200,
    DRAIN_MS = 4000, /* for the workers, within the 5 s that an actor has to stop */
};

/* The actor whose thread this is. */
static _Thread_local struct ctx *running;

/* Where this process stands: set by runtime_play before anything is opened; root's has none. */
static const struct ipc_place *place;

/* ---- opening and closing ---- */

/* Root writes the notes that actors can only read. */
static enum err share_crash_memory(struct runtime *rt, struct ipc *ipc)
{
    if (place == NULL) {
        if (rt->config.crash == NULL)
            return ERR_OK;
        rt->config.crash->page->processes = true;
        crash_memory_guard(rt->config.crash, true);
        return ERR_OK;
    }
    rt->config.crash = NULL;
    if (place->page_fd < 0)
        return ERR_OK;
    enum err err = crash_memory_join(place->page_fd, place->notes_fd, &ipc->crash);
    if (err != ERR_OK)
        return err;
    crash_belong(ipc->crash.page, place->actor);
    rt->config.crash = &ipc->crash;
    return ERR_OK;
}

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
    err = share_crash_memory(rt, ipc);
    if (err != ERR_OK || !has_budget)
        return err;
    if (place == NULL)
        *ipc->region.budget = *rt->config.budget;
    budget_share(ipc->region.budget, ipc->region.cells, (uint32_t)rt->actor_count);
    budget_holder(place == NULL ? ROOT_ID : place->actor);
    rt->config.budget = ipc->region.budget;
    return ERR_OK;
}

static void end_sharing(struct runtime *rt)
{
    struct ipc *ipc = rt->carrier;
    if (ipc != NULL && ipc->region.budget != NULL)
        budget_share(NULL, NULL, 0);
    if (ipc != NULL) {
        ipc_region_close(&ipc->region);
        if (ipc->crash.page != NULL)
            crash_belong(NULL, 0);
        crash_memory_close(&ipc->crash);
    }
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

/* ---- lives ---- */

static enum err spawn(struct ctx *c)
{
    struct ipc *ipc = ipc_of(c);
    pthread_attr_t attr;
    if (c->id != ROOT_ID)
        return process_spawn(c);
    if (pthread_attr_init(&attr) != 0)
        return ERR_NOMEM;
    (void)pthread_attr_setstacksize(&attr, RUNTIME_STACK_BYTES);
    ipc->has_thread = pthread_create(&ipc->thread, &attr, run, c) == 0;
    (void)pthread_attr_destroy(&attr);
    if (!ipc->has_thread)
        return ERR_NOMEM;
    (void)pthread_setname_np(ipc->thread, "root");
    process_note_clock(c, getpid()); /* a thread's clock is not for other processes, and root has this one for itself */
    return ERR_OK;
}

static void reap(struct ctx *c)
{
    struct ipc *ipc = ipc_of(c);
    if (c->id != ROOT_ID) {
        process_reap(c);
        return;
    }
    if (ipc->has_thread)
        (void)pthread_join(ipc->thread, NULL);
    ipc->has_thread = false;
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
        process_kill(actor_of(c->rt, who), EXIT_KILLED);
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

/* Another process turns on word of room that it does not wait for. */
static void wake_others(struct ctx *self)
{
    uint64_t others = atomic_exchange(&ipc_of(self)->to_wake, 0);
    for (; others != 0; others &= others - 1) {
        actor_id who = (actor_id)__builtin_ctzll(others);
        struct record room = {.type = RECORD_ROOM,
                              .from = self->id,
                              .to = who,
                              .from_epoch = self->epoch,
                              .to_epoch = life_epoch(life_of(actor_of(self->rt, who)))};
        outbox_raw(self, LANE_CONTROL, &room, NULL);
    }
}

static enum err recv_batch(struct ctx *c, enum lane lane, struct batch **ret_batch)
{
    struct ipc_desk *desk = &ipc_of(c)->desk;
    if (atomic_load(&ipc_of(c)->to_wake) != 0)
        wake_others(c);
    actor_id bad = 0;
    enum err err;
    while ((err = desk_receive(desk, lane, ret_batch, &bad)) == ERR_PROTOCOL)
        accuse(c, bad);
    if (err == ERR_OK || c->id != ROOT_ID || lane != LANE_CONTROL)
        return err;
    *ret_batch = process_last_words(c);
    return *ret_batch == NULL ? ERR_AGAIN : ERR_OK;
}

static void wake(struct ctx *c)
{
    struct ipc *ipc = ipc_of(c);
    if (running == c)
        return;
    if (c != ipc->desk.actor)
        atomic_fetch_or(&ipc->to_wake, UINT64_C(1) << c->id);
    desk_wake(&ipc->desk);
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
    .kill = process_kill,
    .settle = settle,
    .stall = machine_stall,
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
    static struct shelf shelf;
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
    shelf_join(&shelf, own.shelf);
    rt->keep = shelf_port(&shelf);
    if (config->loop != NULL && config->loop->keep_in != NULL)
        config->loop->keep_in(config->loop->self, rt->keep);
    (void)prctl(PR_SET_NAME, self->class->name);
    (void)run(self);
    if (rt->backend->close(rt, 0))
        runtime_free(rt);
    return ERR_OK;
}
