/* SPDX-License-Identifier: MIT */
/*
 * What reaches an actor beside messages: events of a loop port, watched descriptors; and the call table's guard. The loop here is
 * poll(2) over what it is told to watch (inproc), or events of the simulator (sim), as the real ports do it.
 */
#include "helper_scene.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "mailbox/ports.h"
#include "sim/sim.h"

/* ---- a loop ---- */

enum { WATCHED_MAX = 4, NET_TAG = 77 };

struct loop {
    net_sink *sink;
    void *arg;
    struct pollfd fds[WATCHED_MAX];
    void (*ready[WATCHED_MAX])(void *arg);
    void *ready_arg[WATCHED_MAX];
    nfds_t count;
    bool told; /* the one event of this loop */
    uint64_t event;
};

static void tell_event(void *arg)
{
    struct loop *loop = arg;
    loop->event = 0;
    loop->told = true;
    loop->sink(loop->arg, &(struct net_event){.kind = NET_READY, .tag = NET_TAG, .readable = true});
}

static enum err loop_open(void *self, net_sink *sink, void *arg, struct loop **ret_loop)
{
    (void)self;
    struct loop *loop = calloc(1, sizeof(*loop));
    loop->sink = sink;
    loop->arg = arg;
    if (scene.sim != NULL)
        loop->event = sim_schedule(scene.sim, sim_now(scene.sim) + 20 * MS_NS, tell_event, loop);
    *ret_loop = loop;
    count(10);
    return ERR_OK;
}

static enum err loop_watch(struct loop *loop, int fd, void (*ready)(void *arg), void *arg)
{
    if (loop->count == WATCHED_MAX)
        return ERR_TOO_LARGE;
    loop->fds[loop->count] = (struct pollfd){.fd = fd, .events = POLLIN};
    loop->ready[loop->count] = ready;
    loop->ready_arg[loop->count++] = arg;
    return ERR_OK;
}

static void loop_run(struct loop *loop, bool (*turn)(void *arg, uint64_t *ret_wake_at_ns), void *arg)
{
    uint64_t wake_at_ns;
    uint64_t began = clock_mono_ns();
    while (turn(arg, &wake_at_ns)) {
        uint64_t now = clock_mono_ns();
        if (!loop->told && now - began > 20 * MS_NS)
            tell_event(loop);
        int wait_ms = wake_at_ns <= now ? 0 : 5;
        (void)poll(loop->fds, loop->count, wait_ms);
        for (nfds_t i = 0; i < loop->count; i++) {
            if (loop->fds[i].revents != 0)
                loop->ready[i](loop->ready_arg[i]);
        }
    }
}

static const struct net_port *loop_net(struct loop *loop)
{
    (void)loop;
    static const struct net_port port;
    return &port;
}

static void loop_close(struct loop *loop)
{
    if (scene.sim != NULL && loop->event != 0)
        sim_cancel(scene.sim, loop->event);
    free(loop);
    count(11);
}

static const struct loop_port port = {
    .open = loop_open, .watch = loop_watch, .run = loop_run, .net = loop_net, .close = loop_close};

/* ---- events of the net ---- */

static enum err answer(struct ctx *c, const struct msg *msg, struct reply_to call)
{
    scene_reply(c, call, note_of(msg)->n + 1);
    return ERR_OK;
}

/* First life: ends in the middle of a net event. Second: asks B from one, and has its answer on the same loop. */
static void on_loop(struct ctx *c, const struct info *info)
{
    if (info->kind == INFO_NET) {
        CHECK(info->tag == NET_TAG && info->net->readable && ctx_net(c) != NULL);
        count(0);
        if (counted(0) == 1)
            ctx_exit(c, EXIT_FAILED, "within an event");
        else
            CHECK(scene_call(c, B, 1, SECOND_NS, 5) == ERR_OK);
    }
    if (info->kind == INFO_REPLY) {
        CHECK(info->err == ERR_OK && note_of(info->msg)->n == 2);
        (void)ctx_timer(c, ctx_now(c) + 10 * MS_NS, 6);
    }
    if (info->kind == INFO_TIMER && info->tag == 6)
        scene_done();
}

static void test_an_actor_lives_on_a_loop(void **state)
{
    (void)state;
    scene_begin();
    scene.config.loop = &port;
    scene.ports[A] = PORT_NET;
    scene.on_info[A] = on_loop;
    scene.on_call[B] = answer;
    scene_play(10);
    assert_int_equal(counted(0), 2);
    assert_int_equal(counted(10), 2); /* a loop for each life */
    assert_int_equal(counted(11), 2);
}

/* ---- descriptors ---- */

static int watched_fd;

static enum err watch_fd(struct ctx *c)
{
    CHECK(ctx_watch(c, watched_fd, 9) == (scene.is_sim ? ERR_UNSUPPORTED : ERR_OK));
    return ERR_OK;
}

static void on_watch(struct ctx *c, const struct info *info)
{
    uint64_t value = 0;
    uint64_t three = 3;
    if (is_start(info) && scene.is_sim)
        scene_done();
    if (is_start(info) && scene.is_ipc) /* nobody else has it */
        CHECK(write(watched_fd, &three, sizeof(three)) == sizeof(three));
    if (is_start(info) || info->kind != INFO_WATCH)
        return;
    CHECK(info->tag == 9 && read(watched_fd, &value, sizeof(value)) == sizeof(value) && value == 3);
    ctx_unwatch(c, watched_fd);
    scene_done();
}

static void write_fd(struct ctx *c, const struct info *info)
{
    (void)c;
    uint64_t three = 3;
    if (is_start(info) && !scene.is_sim && !scene.is_ipc)
        CHECK(write(watched_fd, &three, sizeof(three)) == sizeof(three));
}

static void test_a_watched_descriptor_wakes_its_actor(void **state)
{
    (void)state;
    scene_begin();
    watched_fd = eventfd(0, EFD_NONBLOCK);
    scene.on_init[A] = watch_fd;
    scene.on_info[A] = on_watch;
    scene.on_info[B] = write_fd;
    scene_play(10);
    (void)close(watched_fd);
}

/* ---- multicast ---- */

/* One datagram each life: an event of the simulator, or what is read from a descriptor that counts. */
struct multicast {
    multicast_sink *sink;
    void *arg;
    int fd;
    uint64_t event;
};

static void tell_datagram(void *arg)
{
    struct multicast *m = arg;
    m->event = 0;
    m->sink(m->arg, &(struct multicast_datagram){.link = 3, .bytes = (const uint8_t *)"hi", .len = 2});
}

static enum err multicast_open(void *self, multicast_sink *sink, void *arg, struct multicast **ret_multicast)
{
    (void)self;
    struct multicast *m = calloc(1, sizeof(*m));
    *m = (struct multicast){.sink = sink, .arg = arg, .fd = eventfd(1, EFD_NONBLOCK)};
    if (scene.sim != NULL)
        m->event = sim_schedule(scene.sim, sim_now(scene.sim) + 20 * MS_NS, tell_datagram, m);
    *ret_multicast = m;
    count(10);
    return ERR_OK;
}

static size_t multicast_descriptors(const struct multicast *m, int ret_fds[MULTICAST_DESCRIPTORS_MAX])
{
    ret_fds[0] = m->fd;
    return 1;
}

static void multicast_receive(struct multicast *m)
{
    uint64_t value;
    if (read(m->fd, &value, sizeof(value)) == sizeof(value))
        tell_datagram(m);
}

static void multicast_close(struct multicast *m)
{
    if (scene.sim != NULL && m->event != 0)
        sim_cancel(scene.sim, m->event);
    (void)close(m->fd);
    free(m);
    count(11);
}

static const struct multicast_port multicast = {.open = multicast_open,
                                                .descriptors = multicast_descriptors,
                                                .receive = multicast_receive,
                                                .close = multicast_close};

/* A starts before B, and twice: B may not be there yet. */
static void ask_b(struct ctx *c)
{
    if (scene_call(c, B, 1, 5 * SECOND_NS, 5) != ERR_OK)
        (void)ctx_timer(c, ctx_now(c) + 5 * MS_NS, 6);
}

/* First life: ends in the middle of a datagram. Second: asks B from one. */
static void on_multicast(struct ctx *c, const struct info *info)
{
    if (info->kind == INFO_MULTICAST) {
        struct multicast *own;
        CHECK(ctx_multicast(c, &own) == &multicast && own != NULL);
        CHECK(info->datagram->link == 3 && info->datagram->len == 2 && info->datagram->bytes[0] == 'h');
        count(0);
        if (counted(0) == 1)
            ctx_exit(c, EXIT_FAILED, "within a datagram");
        else
            ask_b(c);
    }
    if (info->kind == INFO_TIMER && info->tag == 6)
        ask_b(c);
    if (info->kind == INFO_REPLY) {
        CHECK(info->err == ERR_OK && note_of(info->msg)->n == 2);
        scene_done();
    }
}

static void test_datagrams_reach_their_actor(void **state)
{
    (void)state;
    scene_begin();
    scene.config.multicast = &multicast;
    scene.ports[A] = PORT_MULTICAST;
    scene.on_info[A] = on_multicast;
    scene.on_call[B] = answer;
    scene_play(10);
    assert_int_equal(counted(0), 2);
    assert_int_equal(counted(10), 2); /* opened for each life */
    assert_int_equal(counted(11), 2);
}

static void without_a_port(struct ctx *c, const struct info *info)
{
    struct multicast *own;
    if (is_start(info))
        CHECK(ctx_multicast(c, &own) == NULL && own == NULL);
    scene_done();
}

static void test_a_runtime_without_multicast_runs(void **state)
{
    (void)state;
    scene_begin();
    scene.ports[A] = PORT_MULTICAST;
    scene.on_info[A] = without_a_port;
    scene_play(10);
}

/* ---- the call table ---- */

static void call_outside_the_table(struct ctx *c, const struct info *info)
{
    if (is_start(info))
        CHECK(scene_call(c, A, 1, SECOND_NS, 1) == ERR_DENIED); /* E may not ask A */
    scene_done();
}

static void test_a_call_outside_the_table_aborts_a_debug_build(void **state)
{
    (void)state;
    scene_begin();
    if (!scene.is_sim)
        skip(); /* a fork after nng has started cannot go on */
    scene.on_info[E] = call_outside_the_table;
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit no_core = {0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        scene_play(10);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
#ifdef NDEBUG
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#else
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
#endif
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_actor_lives_on_a_loop),
        cmocka_unit_test(test_a_watched_descriptor_wakes_its_actor),
        cmocka_unit_test(test_datagrams_reach_their_actor),
        cmocka_unit_test(test_a_runtime_without_multicast_runs),
        cmocka_unit_test(test_a_call_outside_the_table_aborts_a_debug_build),
    };
    return scene_main(argc, argv, tests, ARRAY_LEN(tests));
}
