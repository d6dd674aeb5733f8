/* SPDX-License-Identifier: MIT */
/*
 * The reactor over real loopback sockets: each test runs a loop until its own condition holds, under a deadline of five seconds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/addr.h"
#include "net/reactor.h"

enum { EVENTS_MAX = 4096, TAG_LISTEN = 1, TAG_DIAL = 2 };

struct fixture {
    struct reactor *reactor;
    const struct loop_port *port;
    struct loop *loop;
    const struct net_port *net;
    struct net_event events[EVENTS_MAX];
    size_t count;
    uint64_t deadline;
    bool (*done)(struct fixture *);
    void (*on_event)(struct fixture *, const struct net_event *);
    struct net_sock *server;
    struct net_sock *client;
    size_t accepted;
    size_t received;
    size_t sent;
    uint64_t wake_at;
    unsigned turns;
};

static void sink(void *arg, const struct net_event *event)
{
    struct fixture *f = arg;
    if (f->count < EVENTS_MAX)
        f->events[f->count++] = *event;
    if (event->kind == NET_ACCEPTED) {
        f->accepted++;
        f->server = event->sock;
    }
    if (f->on_event != NULL)
        f->on_event(f, event);
}

static bool turn(void *arg, uint64_t *ret_wake_at_ns)
{
    struct fixture *f = arg;
    f->turns++;
    if (f->done(f))
        return false;
    uint64_t now = clock_mono_ns();
    if (now > f->deadline)
        fail_msg("nothing came within the deadline");
    *ret_wake_at_ns = now + 20 * MS_NS < f->wake_at ? now + 20 * MS_NS : f->wake_at;
    return true;
}

static void run_until(struct fixture *f, bool (*done)(struct fixture *))
{
    f->done = done;
    f->deadline = clock_mono_ns() + 5 * SECOND_NS;
    f->wake_at = UINT64_MAX;
    f->port->run(f->loop, turn, f);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->reactor = reactor_new();
    f->port = reactor_port(f->reactor);
    assert_int_equal(f->port->open(f->port->self, sink, f, &f->loop), ERR_OK);
    f->net = f->port->net(f->loop);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->port->close(f->loop);
    reactor_free(f->reactor);
    free(f);
    return 0;
}

static struct net_addr loopback4(uint16_t port)
{
    return (struct net_addr){.family = NET_IP4, .port = port, .ip = {127, 0, 0, 1}};
}

static bool pair_made(struct fixture *f)
{
    bool connected = false;
    for (size_t i = 0; i < f->count; i++)
        connected = connected || (f->events[i].kind == NET_CONNECTED && f->events[i].tag == TAG_DIAL);
    return connected && f->server != NULL;
}

static void make_pair(struct fixture *f, struct net_addr at)
{
    struct net_addr bound;
    assert_int_equal(f->net->listen(f->net->self, &at, TAG_LISTEN, &bound), ERR_OK);
    assert_int_not_equal(bound.port, 0);
    assert_int_equal(f->net->connect(f->net->self, &bound, TAG_DIAL, &f->client), ERR_OK);
    run_until(f, pair_made);
    f->count = 0;
}

static bool seen(struct fixture *f, struct net_sock *sock, enum net_event_kind kind, struct net_event *ret_event)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->events[i].sock != sock || f->events[i].kind != kind)
            continue;
        if (ret_event != NULL)
            *ret_event = f->events[i];
        return true;
    }
    return false;
}

static enum err read_some(struct fixture *f, struct net_sock *sock, size_t *ret_bytes)
{
    static uint8_t bytes[65536];
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    return f->net->read(sock, &iov, 1, ret_bytes);
}

/* Fills the socket until it refuses. */
static void fill(struct fixture *f, struct net_sock *sock)
{
    static uint8_t bytes[65536];
    struct iovec iov[2] = {{.iov_base = bytes, .iov_len = 40000}, {.iov_base = bytes, .iov_len = 25000}};
    size_t n;
    while (f->net->write(sock, iov, 2, &n) == ERR_OK)
        f->sent += n;
}

static void accepted_and_connected_carry_their_addresses(void **state)
{
    struct fixture *f = *state;
    struct net_addr at = loopback4(0);
    struct net_addr bound;
    assert_int_equal(f->net->listen(f->net->self, &at, TAG_LISTEN, &bound), ERR_OK);
    assert_int_equal(f->net->connect(f->net->self, &bound, TAG_DIAL, &f->client), ERR_OK);
    run_until(f, pair_made);
    struct net_event up;
    struct net_event in;
    assert_true(seen(f, f->client, NET_CONNECTED, &up));
    assert_true(seen(f, f->server, NET_ACCEPTED, &in));
    assert_int_equal(in.tag, TAG_LISTEN);
    assert_true(addr_equal(&up.remote, &bound));
    assert_true(addr_equal(&in.local, &bound));
    assert_true(addr_equal(&in.remote, &up.local));
    f->net->close(f->client, false);
}

static void a_pair_over_ipv6(void **state)
{
    struct fixture *f = *state;
    struct net_addr at = {.family = NET_IP6, .ip = {[15] = 1}};
    struct net_addr bound;
    if (f->net->listen(f->net->self, &at, 9, &bound) != ERR_OK) {
        print_message("no IPv6 loopback on this machine\n");
        skip();
    }
    f->net->close_listener(f->net->self, 9);
    make_pair(f, at);
}

static bool all_received(struct fixture *f)
{
    return f->sent > 0 && f->received == f->sent;
}

static void drain(struct fixture *f, const struct net_event *event)
{
    size_t n;
    if (event->kind == NET_READY && event->sock == f->server && event->readable)
        while (read_some(f, f->server, &n) == ERR_OK && n > 0)
            f->received += n;
}

static void partial_writes_arrive_whole(void **state)
{
    struct fixture *f = *state;
    make_pair(f, loopback4(0));
    fill(f, f->client);
    assert_true(f->sent > 65000);
    size_t first = f->sent;
    f->on_event = drain;
    f->net->want(f->server, true, false);
    run_until(f, all_received);
    fill(f, f->client);
    assert_true(f->sent > first); /* room again */
    run_until(f, all_received);
}

static bool some_time_passed(struct fixture *f)
{
    return f->turns > 5;
}

static bool client_writable(struct fixture *f)
{
    struct net_event event;
    return seen(f, f->client, NET_READY, &event) && event.writable;
}

static void backpressure_reports_nothing_unwanted(void **state)
{
    struct fixture *f = *state;
    make_pair(f, loopback4(0));
    fill(f, f->client);
    f->net->want(f->client, false, true); /* full: no event until the reader reads */
    f->turns = 0;
    run_until(f, some_time_passed);
    assert_int_equal(f->count, 0); /* the server has bytes and wants nothing */
    f->on_event = drain;
    f->net->want(f->server, true, false);
    run_until(f, client_writable);
    f->net->want(f->client, false, false);
    f->net->want(f->server, false, false);
    f->count = 0;
    f->turns = 0;
    run_until(f, some_time_passed);
    assert_int_equal(f->count, 0);
}

static bool server_event(struct fixture *f)
{
    return seen(f, f->server, NET_READY, NULL) || seen(f, f->server, NET_CLOSED, NULL);
}

static void end_of_stream_reads_zero(void **state)
{
    struct fixture *f = *state;
    make_pair(f, loopback4(0));
    f->net->want(f->server, true, false);
    f->net->close(f->client, false);
    run_until(f, server_event);
    size_t n = 7;
    assert_int_equal(read_some(f, f->server, &n), ERR_OK);
    assert_int_equal(n, 0);
}

static void a_reset_is_an_error(void **state)
{
    struct fixture *f = *state;
    make_pair(f, loopback4(0));
    f->net->want(f->server, true, false);
    f->net->close(f->client, true);
    run_until(f, server_event);
    struct net_event event;
    if (seen(f, f->server, NET_CLOSED, &event)) {
        assert_int_equal(event.err, ERR_RESET);
        return;
    }
    size_t n;
    assert_int_equal(read_some(f, f->server, &n), ERR_RESET);
}

static bool server_closed(struct fixture *f)
{
    return seen(f, f->server, NET_CLOSED, NULL);
}

static void last_words_before_a_reset_are_heard(void **state)
{
    struct fixture *f = *state;
    uint8_t words[10] = {0};
    struct iovec iov = {.iov_base = words, .iov_len = sizeof(words)};
    size_t n = 0;
    make_pair(f, loopback4(0));
    f->on_event = drain;
    f->net->want(f->server, true, false);
    assert_int_equal(f->net->write(f->client, &iov, 1, &n), ERR_OK);
    f->net->close(f->client, true);
    run_until(f, server_closed);
    assert_int_equal(f->received, n);
}

static void writing_to_a_gone_peer_is_an_error_not_a_signal(void **state)
{
    struct fixture *f = *state;
    make_pair(f, loopback4(0));
    f->net->want(f->server, true, false);
    f->net->close(f->client, true);
    run_until(f, server_event);
    uint8_t byte = 1;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    size_t n;
    enum err err = ERR_OK;
    for (int i = 0; i < 3 && (err == ERR_OK || err == ERR_RESET); i++)
        err = f->net->write(f->server, &iov, 1, &n);
    assert_int_not_equal(err, ERR_OK);
}

static bool dial_ended(struct fixture *f)
{
    return seen(f, f->client, NET_CLOSED, NULL) || seen(f, f->client, NET_CONNECTED, NULL);
}

static void connect_to_a_closed_port_is_refused(void **state)
{
    struct fixture *f = *state;
    struct net_addr at = loopback4(0);
    struct net_addr bound;
    assert_int_equal(f->net->listen(f->net->self, &at, TAG_LISTEN, &bound), ERR_OK);
    f->net->close_listener(f->net->self, TAG_LISTEN);
    enum err err = f->net->connect(f->net->self, &bound, TAG_DIAL, &f->client);
    if (err == ERR_OK) {
        run_until(f, dial_ended);
        struct net_event event;
        assert_true(seen(f, f->client, NET_CLOSED, &event));
        err = event.err;
    }
    assert_int_equal(err, ERR_REFUSED);
}

static void close_during_connect_reports_nothing(void **state)
{
    struct fixture *f = *state;
    struct net_addr at = loopback4(0);
    struct net_addr bound;
    assert_int_equal(f->net->listen(f->net->self, &at, TAG_LISTEN, &bound), ERR_OK);
    assert_int_equal(f->net->connect(f->net->self, &bound, TAG_DIAL, &f->client), ERR_OK);
    f->net->close(f->client, false);
    f->turns = 0;
    run_until(f, some_time_passed);
    for (size_t i = 0; i < f->count; i++)
        assert_int_not_equal(f->events[i].tag, TAG_DIAL);
}

static void refuse_each(struct fixture *f, const struct net_event *event)
{
    if (event->kind == NET_ACCEPTED)
        f->net->close(event->sock, true);
}

enum { FLOOD = 500 };

static bool flood_accepted(struct fixture *f)
{
    return f->accepted == FLOOD;
}

static int raw_connect(const struct net_addr *to)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(to, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    (void)connect(fd, (struct sockaddr *)&sa, len);
    return fd;
}

static void an_accept_flood_may_be_refused_inside_the_event(void **state)
{
    struct fixture *f = *state;
    struct net_addr at = loopback4(0);
    struct net_addr bound;
    assert_int_equal(f->net->listen(f->net->self, &at, TAG_LISTEN, &bound), ERR_OK);
    f->on_event = refuse_each;
    int fds[FLOOD];
    for (int i = 0; i < FLOOD; i++)
        fds[i] = raw_connect(&bound);
    run_until(f, flood_accepted);
    for (int i = 0; i < FLOOD; i++)
        (void)close(fds[i]);
}

static bool one_accepted(struct fixture *f)
{
    return f->accepted > 0;
}

static void out_of_descriptors_sheds_and_recovers(void **state)
{
    struct fixture *f = *state;
    struct net_addr at = loopback4(0);
    struct net_addr bound;
    assert_int_equal(f->net->listen(f->net->self, &at, TAG_LISTEN, &bound), ERR_OK);
    int fds[8];
    for (int i = 0; i < 8; i++)
        fds[i] = raw_connect(&bound);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int top = dup(0);
    struct rlimit low = {.rlim_cur = (rlim_t)top, .rlim_max = old.rlim_max};
    (void)close(top);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    f->turns = 0;
    run_until(f, some_time_passed);
    assert_int_equal(f->accepted, 0);
    uint8_t byte;
    assert_int_equal(recv(fds[0], &byte, 1, 0), 0); /* closed, not left hanging */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    int again = raw_connect(&bound);
    run_until(f, one_accepted);
    (void)close(again);
    for (int i = 0; i < 8; i++)
        (void)close(fds[i]);
}

static void listeners_outlive_a_loop(void **state)
{
    struct fixture *f = *state;
    struct net_addr at = loopback4(0);
    struct net_addr first;
    struct net_addr second;
    assert_int_equal(f->net->listen(f->net->self, &at, TAG_LISTEN, &first), ERR_OK);
    f->port->close(f->loop);
    int fd = raw_connect(&first); /* waits in the backlog while nobody serves */
    assert_int_equal(f->port->open(f->port->self, sink, f, &f->loop), ERR_OK);
    f->net = f->port->net(f->loop);
    assert_int_equal(f->net->listen(f->net->self, &at, TAG_LISTEN, &second), ERR_OK);
    assert_int_equal(first.port, second.port);
    run_until(f, one_accepted);
    (void)close(fd);
}

static void a_taken_port_is_named_as_such(void **state)
{
    struct fixture *f = *state;
    struct net_addr at = loopback4(0);
    struct net_addr bound;
    struct net_addr again;
    assert_int_equal(f->net->listen(f->net->self, &at, TAG_LISTEN, &bound), ERR_OK);
    assert_int_equal(f->net->listen(f->net->self, &bound, 3, &again), ERR_EXISTS);
}

static bool watched;
static int watched_fd;

static void watch_fired(void *arg)
{
    (void)arg;
    uint64_t value;
    watched = read(watched_fd, &value, 1) == 1;
}

static bool watch_seen(struct fixture *f)
{
    (void)f;
    return watched;
}

static void watched_descriptors_call_back(void **state)
{
    struct fixture *f = *state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    watched_fd = ends[0];
    watched = false;
    assert_int_equal(f->port->watch(f->loop, ends[0], watch_fired, NULL), ERR_OK);
    assert_int_equal(write(ends[1], "x", 1), 1);
    run_until(f, watch_seen);
    f->port->close(f->loop);
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_int_equal(f->port->open(f->port->self, sink, f, &f->loop), ERR_OK);
}

/* ---- what other processes left ---- */

/* One thing at most. */
struct left {
    struct keep_port port;
    char name[KEEP_NAME_BYTES];
    int fd; /* -1: nothing */
};

static int find_left(void *self, const char *name)
{
    const struct left *left = self;
    return left->fd >= 0 && strcmp(left->name, name) == 0 ? dup(left->fd) : -1;
}

static void forget_left(void *self, const char *name)
{
    struct left *left = self;
    if (left->fd < 0 || strcmp(left->name, name) != 0)
        return;
    (void)close(left->fd);
    left->fd = -1;
}

static enum err keep_left(void *self, const char *name, int fd)
{
    struct left *left = self;
    forget_left(self, left->name);
    if (name != left->name)
        (void)snprintf(left->name, sizeof(left->name), "%s", name);
    left->fd = dup(fd);
    return ERR_OK;
}

/* A process that listens for port 0 and is gone at once; the port it had. */
static uint16_t listen_and_vanish(struct left *left)
{
    struct reactor *r = reactor_new();
    const struct loop_port *port = reactor_port(r);
    struct loop *loop = NULL;
    struct net_addr bound;
    const struct net_addr any = loopback4(0);
    port->keep_in(port->self, &left->port);
    assert_int_equal(port->open(port->self, sink, NULL, &loop), ERR_OK);
    assert_int_equal(port->net(loop)->listen(port->net(loop)->self, &any, TAG_LISTEN, &bound), ERR_OK);
    port->close(loop);
    reactor_free(r);
    return bound.port;
}

static void a_listener_outlives_its_process(void **state)
{
    (void)state;
    struct left left = {.port = {.find = find_left, .keep = keep_left, .forget = forget_left}, .fd = -1};
    left.port.self = &left;
    uint16_t port = listen_and_vanish(&left);
    assert_int_equal(listen_and_vanish(&left), port);
    assert_int_equal(listen_and_vanish(&left), port);
    forget_left(&left, left.name);
}

/* Whoever left it may have been taken over. */
static void what_is_no_listener_there_is_not_used(void **state)
{
    (void)state;
    struct left left = {.port = {.find = find_left, .keep = keep_left, .forget = forget_left}, .fd = -1};
    left.port.self = &left;
    (void)listen_and_vanish(&left);
    struct sockaddr_in elsewhere = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(0x7f000002)}};
    int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(other, (struct sockaddr *)&elsewhere, sizeof(elsewhere)), 0);
    assert_int_equal(listen(other, 1), 0);
    const int bad[] = {open("/dev/null", O_RDONLY | O_CLOEXEC), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                       socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), other};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(keep_left(&left, left.name, bad[i]), ERR_OK);
        (void)close(bad[i]);
        uint16_t port = listen_and_vanish(&left); /* one of its own */
        assert_int_equal(listen_and_vanish(&left), port);
    }
    forget_left(&left, left.name);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(accepted_and_connected_carry_their_addresses),
        T(a_pair_over_ipv6),
        T(partial_writes_arrive_whole),
        T(backpressure_reports_nothing_unwanted),
        T(end_of_stream_reads_zero),
        T(a_reset_is_an_error),
        T(last_words_before_a_reset_are_heard),
        T(writing_to_a_gone_peer_is_an_error_not_a_signal),
        T(connect_to_a_closed_port_is_refused),
        T(close_during_connect_reports_nothing),
        T(an_accept_flood_may_be_refused_inside_the_event),
        T(out_of_descriptors_sheds_and_recovers),
        T(listeners_outlive_a_loop),
        T(a_taken_port_is_named_as_such),
        T(watched_descriptors_call_back),
        cmocka_unit_test(a_listener_outlives_its_process),
        cmocka_unit_test(what_is_no_listener_there_is_not_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
