/* SPDX-License-Identifier: MIT */
/* The simulated network by hand: two hosts, each with a sink that the test owns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sim/net.h"
#include "sim/sim.h"

enum { PORT = 4001, CHUNK = 1000, HOSTS = 1000 };

struct end {
    const struct net_port *net;
    struct loop *loop;
    struct net_sock *sock;
    size_t received;
    size_t sent;
    size_t to_send;
    uint8_t next_in;
    uint8_t next_out;
    bool connected;
    bool ended;
    enum err closed;
};

struct world {
    struct sim *sim;
    struct sim_net *net;
    struct sim_host *host[2];
    struct end end[2];
};

static void send_some(struct end *e)
{
    uint8_t bytes[CHUNK];
    size_t n = 0;
    while (e->sent < e->to_send) {
        size_t len = MIN(e->to_send - e->sent, (size_t)CHUNK);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)(e->next_out + i);
        struct iovec iov = {.iov_base = bytes, .iov_len = len};
        if (e->net->write(e->sock, &iov, 1, &n) != ERR_OK)
            break;
        e->sent += n;
        e->next_out = (uint8_t)(e->next_out + n);
    }
    e->net->want(e->sock, true, e->sent < e->to_send);
}

static void receive(struct end *e)
{
    uint8_t bytes[CHUNK];
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    size_t n;
    while (e->net->read(e->sock, &iov, 1, &n) == ERR_OK) {
        if (n == 0) {
            e->ended = true;
            return;
        }
        for (size_t i = 0; i < n; i++)
            assert_int_equal(bytes[i], e->next_in++);
        e->received += n;
    }
}

static void sink(void *arg, const struct net_event *event)
{
    struct end *e = arg;
    if (event->kind == NET_ACCEPTED || event->kind == NET_CONNECTED) {
        e->sock = event->sock;
        e->connected = true;
        e->net->want(e->sock, true, true);
    } else if (event->kind == NET_CLOSED) {
        e->closed = event->err;
    } else {
        if (event->readable)
            receive(e);
        if (event->writable)
            send_some(e);
    }
}

static struct world *world_new(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    w->sim = sim_new(seed);
    w->net = sim_net_new(w->sim);
    for (unsigned i = 0; i < 2; i++) {
        struct net_addr ip = sim_net_ip(i + 1);
        w->host[i] = sim_net_add_host(w->net, &ip);
        const struct loop_port *port = sim_host_loop(w->host[i]);
        assert_int_equal(port->open(port->self, sink, &w->end[i], &w->end[i].loop), ERR_OK);
        w->end[i].net = port->net(w->end[i].loop);
    }
    return w;
}

static void world_free(struct world *w)
{
    for (unsigned i = 0; i < 2; i++)
        sim_host_loop(w->host[i])->close(w->end[i].loop);
    sim_net_free(w->net);
    sim_free(w->sim);
    free(w);
}

static void dial(struct world *w)
{
    struct net_addr at = sim_net_ip(1);
    struct net_addr bound;
    at.port = PORT;
    assert_int_equal(w->end[0].net->listen(w->end[0].net->self, &at, 1, &bound), ERR_OK);
    assert_int_equal(w->end[1].net->connect(w->end[1].net->self, &at, 2, &w->end[1].sock), ERR_OK);
}

static void run_ms(struct world *w, uint64_t ms)
{
    sim_run_until(w->sim, sim_now(w->sim) + ms * MS_NS);
}

static void connecting_takes_a_round_trip(void **state)
{
    (void)state;
    struct world *w = world_new(1);
    sim_net_link(w->net, w->host[0], w->host[1])->latency_ns = 30 * MS_NS;
    sim_net_link(w->net, w->host[1], w->host[0])->latency_ns = 20 * MS_NS;
    dial(w);
    run_ms(w, 49);
    assert_true(w->end[0].connected);
    assert_false(w->end[1].connected);
    run_ms(w, 2);
    assert_true(w->end[1].connected);
    world_free(w);
}

static uint64_t transfer(uint64_t seed, bool partition)
{
    struct world *w = world_new(seed);
    for (int i = 0; i < 2; i++) {
        struct sim_link *link = sim_net_link(w->net, w->host[i], w->host[1 - i]);
        link->jitter_ns = 5 * MS_NS;
        link->buffer_bytes = 5000;
    }
    w->end[0].to_send = 60000;
    w->end[1].to_send = 100000;
    dial(w);
    if (partition) {
        run_ms(w, 50);
        sim_net_partition(w->net, w->host[0], w->host[1], true);
        run_ms(w, 1000);
        size_t stuck = w->end[0].received;
        run_ms(w, 1000);
        assert_int_equal(w->end[0].received, stuck);
        assert_true(stuck < 100000);
        sim_net_partition(w->net, w->host[0], w->host[1], false);
    }
    run_ms(w, 5000);
    assert_int_equal(w->end[0].received, 100000); /* in order: receive() looked at each byte */
    assert_int_equal(w->end[1].received, 60000);
    w->end[1].net->close(w->end[1].sock, false);
    run_ms(w, 100);
    assert_true(w->end[0].ended);
    assert_int_equal(sim_host_sockets(w->host[1]), 0);
    uint64_t trace = sim_trace(w->sim);
    world_free(w);
    return trace;
}

static void bytes_arrive_in_order_and_a_seed_repeats(void **state)
{
    (void)state;
    assert_true(transfer(7, false) == transfer(7, false));
    assert_true(transfer(7, true) == transfer(7, true));
    assert_true(transfer(7, false) != transfer(8, false));
}

static void a_closed_port_refuses_and_a_lost_connect_is_silent(void **state)
{
    (void)state;
    struct world *w = world_new(3);
    struct net_addr at = sim_net_ip(1);
    at.port = 9;
    assert_int_equal(w->end[1].net->connect(w->end[1].net->self, &at, 2, &w->end[1].sock), ERR_OK);
    run_ms(w, 10);
    assert_int_equal(w->end[1].closed, ERR_REFUSED);
    w->end[1].net->close(w->end[1].sock, false);
    sim_net_link(w->net, w->host[1], w->host[0])->connect_loss = 1000;
    w->end[1].closed = ERR_OK;
    dial(w);
    run_ms(w, 60000);
    assert_false(w->end[1].connected);
    assert_int_equal(w->end[1].closed, ERR_OK);
    world_free(w);
}

static void resets_and_vanished_hosts(void **state)
{
    (void)state;
    struct world *w = world_new(4);
    dial(w);
    run_ms(w, 10);
    sim_net_reset(w->net, w->host[0], w->host[1]);
    run_ms(w, 10);
    assert_int_equal(w->end[0].closed, ERR_RESET);
    assert_int_equal(w->end[1].closed, ERR_RESET);
    world_free(w);
    w = world_new(5);
    dial(w);
    run_ms(w, 10);
    sim_host_vanish(w->host[0]);
    run_ms(w, 1000);
    assert_int_equal(w->end[1].closed, ERR_OK); /* half-open: nothing is heard */
    w->end[1].to_send = 10;
    send_some(&w->end[1]);
    run_ms(w, 10);
    assert_int_equal(w->end[1].closed, ERR_RESET);
    world_free(w);
}

static void without_power_nothing_is_heard_and_later_a_reset(void **state)
{
    (void)state;
    struct world *w = world_new(6);
    dial(w);
    run_ms(w, 10);
    sim_host_set_power(w->host[0], false);
    sim_host_loop(w->host[0])->close(w->end[0].loop); /* its actors end: no FIN comes of it */
    w->end[1].to_send = 10;
    send_some(&w->end[1]);
    run_ms(w, 1000);
    assert_false(w->end[1].ended);
    assert_int_equal(w->end[1].closed, ERR_OK);
    sim_host_set_power(w->host[0], true);
    const struct loop_port *port = sim_host_loop(w->host[0]);
    assert_int_equal(port->open(port->self, sink, &w->end[0], &w->end[0].loop), ERR_OK);
    w->end[1].to_send = 20;
    send_some(&w->end[1]);
    run_ms(w, 10);
    assert_int_equal(w->end[1].closed, ERR_RESET);
    world_free(w);
}

static uint64_t far_apart(void *arg, unsigned from, unsigned to)
{
    (void)arg;
    return (from + to) * 70 * MS_NS;
}

static void latencies_may_be_computed(void **state)
{
    (void)state;
    struct world *w = world_new(7);
    sim_net_set_latency(w->net, far_apart, NULL);
    dial(w);
    run_ms(w, 139);
    assert_false(w->end[1].connected);
    run_ms(w, 2);
    assert_true(w->end[1].connected);
    assert_int_equal(sim_net_link(w->net, w->host[0], w->host[1])->latency_ns, 70 * MS_NS);
    world_free(w);
}

static void an_address_is_of_one_host(void **state)
{
    (void)state;
    struct sim *sim = sim_new(1);
    struct sim_net *net = sim_net_new(sim);
    for (unsigned i = 0; i < HOSTS; i++) {
        struct net_addr ip = sim_net_ip(i);
        assert_non_null(sim_net_add_host(net, &ip));
    }
    struct net_addr taken = sim_net_ip(HOSTS / 2);
    assert_null(sim_net_add_host(net, &taken));
    sim_net_free(net);
    sim_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connecting_takes_a_round_trip),
        cmocka_unit_test(bytes_arrive_in_order_and_a_seed_repeats),
        cmocka_unit_test(a_closed_port_refuses_and_a_lost_connect_is_silent),
        cmocka_unit_test(resets_and_vanished_hosts),
        cmocka_unit_test(without_power_nothing_is_heard_and_later_a_reset),
        cmocka_unit_test(latencies_may_be_computed),
        cmocka_unit_test(an_address_is_of_one_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
