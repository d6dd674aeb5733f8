/* SPDX-License-Identifier: MIT */
/* Multicast in the simulated network: everybody on the segment hears, nobody else; what is cut or lost is not heard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "sim/net.h"
#include "sim/sim.h"

enum { HOSTS = 4 };

struct ear {
    struct sim_host *host;
    const struct multicast_port *port;
    struct multicast *multicast;
    unsigned heard;
    uint32_t link;
    struct net_addr from;
    char text[16];
};

static struct sim *sim;
static struct sim_net *net;
static struct ear ears[HOSTS];

static void hear(void *arg, const struct multicast_datagram *datagram)
{
    struct ear *ear = arg;
    assert_true(datagram->len < sizeof(ear->text));
    ear->heard++;
    ear->link = datagram->link;
    ear->from = datagram->from;
    memcpy(ear->text, datagram->bytes, datagram->len);
    ear->text[datagram->len] = '\0';
}

static void join(struct ear *ear)
{
    struct multicast_addr addrs[2];
    size_t count = 0;
    assert_int_equal(ear->port->join(ear->multicast, addrs, 2, &count), ERR_OK);
    assert_int_equal(count, 1);
    ear->link = addrs[0].link;
}

static int setup(void **state)
{
    (void)state;
    sim = sim_new(5);
    net = sim_net_new(sim);
    memset(ears, 0, sizeof(ears));
    for (unsigned i = 0; i < HOSTS; i++) {
        struct net_addr ip = sim_net_ip(i + 1);
        ears[i].host = sim_net_add_host(net, &ip);
        ears[i].port = sim_host_multicast(ears[i].host);
        sim_host_set_segment(ears[i].host, i == HOSTS - 1 ? 2 : 1);
        assert_int_equal(ears[i].port->open(ears[i].port->self, hear, &ears[i], &ears[i].multicast), ERR_OK);
        join(&ears[i]);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HOSTS; i++)
        ears[i].port->close(ears[i].multicast);
    sim_net_free(net);
    sim_free(sim);
    return 0;
}

static enum err say(unsigned who, const char *text)
{
    return ears[who].port->send(ears[who].multicast, ears[who].link, NET_IP4, text, strlen(text));
}

static void pass(void)
{
    sim_run_until(sim, sim_now(sim) + SECOND_NS);
}

static void the_segment_hears_and_nobody_else(void **state)
{
    (void)state;
    assert_int_equal(say(0, "hello"), ERR_OK);
    pass();
    for (unsigned i = 0; i < 3; i++) { /* the sender too */
        struct net_addr ip = sim_net_ip(1);
        assert_int_equal(ears[i].heard, 1);
        assert_string_equal(ears[i].text, "hello");
        assert_memory_equal(ears[i].from.ip, ip.ip, sizeof(ip.ip));
        assert_int_equal(ears[i].from.port, 5353);
    }
    assert_int_equal(ears[3].heard, 0);
    assert_int_equal(ears[0].port->send(ears[0].multicast, 77, NET_IP4, "x", 1), ERR_UNREACHABLE);
    assert_int_equal(ears[0].port->send(ears[0].multicast, ears[0].link, NET_IP6, "x", 1), ERR_UNREACHABLE);
}

static void a_host_hears_where_it_has_joined(void **state)
{
    (void)state;
    sim_host_set_segment(ears[3].host, 1);
    assert_int_equal(say(0, "a"), ERR_OK);
    pass();
    assert_int_equal(ears[3].heard, 0);
    join(&ears[3]);
    assert_int_equal(say(0, "b"), ERR_OK);
    pass();
    assert_int_equal(ears[3].heard, 1);
}

static void faults_of_the_link_apply(void **state)
{
    (void)state;
    sim_net_link(net, ears[0].host, ears[1].host)->cut = true;
    sim_net_link(net, ears[0].host, ears[2].host)->connect_loss = 500;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(say(0, "x"), ERR_OK);
        pass();
    }
    assert_int_equal(ears[0].heard, 200);
    assert_int_equal(ears[1].heard, 0);
    assert_in_range(ears[2].heard, 60, 140);
}

static void what_is_on_its_way_does_not_outlive_anybody(void **state)
{
    (void)state;
    assert_int_equal(say(0, "late"), ERR_OK);
    ears[1].port->close(ears[1].multicast);
    sim_run_until(sim, sim_now(sim) + SECOND_NS);
    assert_int_equal(ears[1].heard, 0);
    assert_int_equal(ears[2].heard, 1);
    assert_int_equal(say(0, "at the end"), ERR_OK); /* teardown frees it; a sanitizer would tell */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_segment_hears_and_nobody_else, setup, teardown),
        cmocka_unit_test_setup_teardown(a_host_hears_where_it_has_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(faults_of_the_link_apply, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_on_its_way_does_not_outlive_anybody, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
