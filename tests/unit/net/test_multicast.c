/* SPDX-License-Identifier: MIT */
/*
 * The real sockets, on a veth of a network namespace that the test makes for itself. Where namespaces or `ip` are not to be had the
 * tests skip.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "net/multicast.h"

enum { WAIT_MS = 20000 };

struct ear {
    const struct multicast_port *port;
    struct multicast *multicast;
    struct multicast_addr addrs[MULTICAST_ADDRS_MAX];
    size_t count;
    unsigned heard;
    uint32_t link;
    struct net_addr from;
    char text[32];
};

static bool has_network;
static struct ear a;
static struct ear b;

static bool run(const char *command)
{
    return system(command) == 0; /* NOLINT(cert-env33-c): a constant */
}

/* A namespace of our own: as root at once, else through a user namespace. */
static int make_network(void **state)
{
    (void)state;
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return 0;
    has_network =
        run("command -v ip > /dev/null") && run("ip link add one type veth peer name two 2> /dev/null") &&
        run("ip link set two addrgenmode none 2> /dev/null; ip link set two up") && /* the far end has no address */
        run("ip addr add 10.99.0.1/20 dev one") && run("ip link set one up");
    (void)run("ip -6 addr add fd99::1/64 dev one nodad 2> /dev/null"); /* the machine may be without IPv6 */
    return 0;
}

static void hear(void *arg, const struct multicast_datagram *datagram)
{
    struct ear *ear = arg;
    ear->heard++;
    ear->link = datagram->link;
    ear->from = datagram->from;
    size_t len = MIN(datagram->len, sizeof(ear->text) - 1);
    memcpy(ear->text, datagram->bytes, len);
    ear->text[len] = '\0';
}

static void join(struct ear *ear)
{
    assert_int_equal(ear->port->join(ear->multicast, ear->addrs, MULTICAST_ADDRS_MAX, &ear->count), ERR_OK);
}

static void open_ear(struct ear *ear)
{
    *ear = (struct ear){.port = multicast_port()};
    assert_int_equal(ear->port->open(ear->port->self, hear, ear, &ear->multicast), ERR_OK);
    join(ear);
}

static int open_both(void **state)
{
    (void)state;
    if (!has_network)
        return 0;
    open_ear(&a);
    open_ear(&b);
    return 0;
}

static int close_both(void **state)
{
    (void)state;
    if (!has_network)
        return 0;
    a.port->close(a.multicast);
    b.port->close(b.multicast);
    return 0;
}

static const struct multicast_addr *addr_of(const struct ear *ear, enum net_family family, uint8_t first)
{
    for (size_t i = 0; i < ear->count; i++)
        if (ear->addrs[i].addr.family == family && ear->addrs[i].addr.ip[0] == first)
            return &ear->addrs[i];
    return NULL;
}

/* Waits until the ear has heard so many, or the deadline. */
static bool await(struct ear *ear, unsigned count)
{
    int fds[MULTICAST_DESCRIPTORS_MAX];
    while (ear->heard < count) {
        struct pollfd polls[MULTICAST_DESCRIPTORS_MAX];
        size_t n = ear->port->descriptors(ear->multicast, fds);
        for (size_t i = 0; i < n; i++)
            polls[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
        if (poll(polls, n, WAIT_MS) <= 0)
            return false;
        ear->port->receive(ear->multicast);
    }
    return true;
}

#define NEEDS_NETWORK()                                                                                                \
    do {                                                                                                               \
        if (!has_network)                                                                                              \
            skip();                                                                                                    \
    } while (0)

static void interfaces_that_carry_multicast_are_joined(void **state)
{
    (void)state;
    NEEDS_NETWORK();
    const struct multicast_addr *four = addr_of(&a, NET_IP4, 10);
    assert_non_null(four);
    assert_int_equal(four->prefix_bits, 20);
    assert_true(four->link != 0);
    assert_null(addr_of(&a, NET_IP4, 127)); /* loopback carries none */
    const struct multicast_addr *six = addr_of(&a, NET_IP6, 0xfd);
    if (six != NULL) {
        assert_int_equal(six->prefix_bits, 64);
        assert_int_equal(six->link, four->link);
    }
    struct ear before = a;
    join(&a); /* again: nothing changes */
    assert_int_equal(a.count, before.count);
    assert_memory_equal(a.addrs, before.addrs, a.count * sizeof(a.addrs[0]));
}

static void say_and_hear(enum net_family family, uint8_t first)
{
    const struct multicast_addr *at = addr_of(&a, family, first);
    if (at == NULL)
        return;
    unsigned before = b.heard;
    assert_int_equal(a.port->send(a.multicast, at->link, family, "question", 8), ERR_OK);
    assert_true(await(&b, before + 1));
    assert_string_equal(b.text, "question");
    assert_int_equal(b.link, at->link);
    assert_int_equal(b.from.port, 5353);
    assert_int_equal(b.from.family, family);
}

static void two_on_one_machine_hear_each_other(void **state)
{
    (void)state;
    NEEDS_NETWORK();
    say_and_hear(NET_IP4, 10);
    say_and_hear(NET_IP6, 0xfd);
    assert_true(await(&a, 1)); /* its own */
    assert_int_equal(a.port->send(a.multicast, 9999, NET_IP4, "x", 1), ERR_UNREACHABLE);
}

static void send_to(int fd, int family, const char *address, unsigned scope, const void *bytes, size_t len)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(5353)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(5353), .sin6_scope_id = scope};
    void *ip = family == AF_INET ? (void *)&four.sin_addr : (void *)&six.sin6_addr;
    const void *to = family == AF_INET ? (const void *)&four : (const void *)&six;
    socklen_t to_len = family == AF_INET ? sizeof(four) : sizeof(six);
    assert_int_equal(inet_pton(family, address, ip), 1);
    assert_int_equal(sendto(fd, bytes, len, 0, to, to_len), len);
}

/* Sent to the machine itself, or larger than a message may be: not heard. What follows is. */
static void what_is_not_for_the_group_is_dropped(void **state)
{
    (void)state;
    NEEDS_NETWORK();
    static char large[MULTICAST_BYTES_MAX + 1];
    struct in_addr one = {.s_addr = inet_addr("10.99.0.1")};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &one, sizeof(one)), 0);
    send_to(fd, AF_INET, "10.99.0.1", 0, "direct", 6);
    send_to(fd, AF_INET, "224.0.0.251", 0, large, sizeof(large));
    send_to(fd, AF_INET, "224.0.0.251", 0, "last", 4);
    assert_true(await(&b, 1));
    assert_string_equal(b.text, "last");
    assert_int_equal(b.heard, 1);
    (void)close(fd);
    const struct multicast_addr *six = addr_of(&b, NET_IP6, 0xfd);
    if (six == NULL)
        return;
    fd = socket(AF_INET6, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    send_to(fd, AF_INET6, "fd99::1", 0, "direct", 6);
    send_to(fd, AF_INET6, "ff02::fb", six->link, "last6", 5);
    assert_true(await(&b, 2));
    assert_string_equal(b.text, "last6");
    assert_int_equal(b.heard, 2);
    (void)close(fd);
}

/* Interfaces come and go, as those of containers do: more of them than are joined at one time. */
static void interfaces_that_went_leave_room(void **state)
{
    (void)state;
    NEEDS_NETWORK();
    for (int i = 0; i < MULTICAST_LINKS_MAX + 2; i++) {
        assert_true(run("ip link add more type veth peer name most && ip addr add 10.98.0.1/24 dev more && "
                        "ip link set most up && ip link set more up"));
        uint32_t found = 0;
        for (int tries = 0; found == 0 && tries < WAIT_MS; tries++) {
            join(&a);
            for (size_t k = 0; k < a.count; k++)
                found = a.addrs[k].addr.ip[1] == 98 ? a.addrs[k].link : found;
            (void)poll(NULL, 0, found == 0);
        }
        assert_true(found != 0);
        assert_int_equal(a.port->send(a.multicast, found, NET_IP4, "x", 1), ERR_OK);
        assert_true(run("ip link del more"));
    }
}

static void a_link_that_goes_is_left_and_joined_again(void **state)
{
    (void)state;
    NEEDS_NETWORK();
    const struct multicast_addr *four = addr_of(&a, NET_IP4, 10);
    assert_non_null(four);
    uint32_t link = four->link;
    assert_true(run("ip link set one down"));
    join(&a);
    assert_null(addr_of(&a, NET_IP4, 10));
    assert_int_equal(a.port->send(a.multicast, link, NET_IP4, "x", 1), ERR_UNREACHABLE);
    assert_true(run("ip link set one up"));
    for (int tries = 0; addr_of(&a, NET_IP4, 10) == NULL && tries < WAIT_MS; tries++) {
        (void)poll(NULL, 0, 1); /* the link takes a moment to run */
        join(&a);
    }
    join(&b);
    say_and_hear(NET_IP4, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(interfaces_that_carry_multicast_are_joined, open_both, close_both),
        cmocka_unit_test_setup_teardown(two_on_one_machine_hear_each_other, open_both, close_both),
        cmocka_unit_test_setup_teardown(what_is_not_for_the_group_is_dropped, open_both, close_both),
        cmocka_unit_test_setup_teardown(interfaces_that_went_leave_room, open_both, close_both),
        cmocka_unit_test_setup_teardown(a_link_that_goes_is_left_and_joined_again, open_both, close_both),
    };
    return cmocka_run_group_tests(tests, make_network, NULL);
}
