/* SPDX-License-Identifier: MIT */
/* The resolver against a name server of the test's own, on loopback, that answers as it should, too much, wrongly, or not at all. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/name_resolver.h"
#include "wire/dns.h"

enum { TRUNCATED = 0x0200, RECURSION = 0x0180, MESSAGE_MAX = 65535, LONG_S = 20 };

/* What the first label of the name asks the server to do. */
struct server {
    int udp;
    int tcp;
    int stop;
    pthread_t thread;
    char address[64];
    _Atomic unsigned asked;
    _Atomic unsigned by_tcp;
    _Atomic bool cancel; /* set by a question for cancel.test */
};

static struct server server;

static void add_txt(struct dns_writer *w, const struct dns_name *name, const char *text, size_t len)
{
    uint8_t data[MESSAGE_MAX];
    size_t at = 0;
    do {
        size_t part = MIN(len, (size_t)DNS_STRING_BYTES_MAX);
        data[at++] = (uint8_t)part;
        memcpy(data + at, text, part);
        at += part;
        text += part;
        len -= part;
    } while (len > 0);
    dns_write_record(w, DNS_ANSWER, name, DNS_TXT, DNS_CLASS_IN, 60, span_of(data, at));
}

static void add_address(struct dns_writer *w, const struct dns_name *name, uint16_t type)
{
    static const uint8_t ip6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    static const uint8_t ip4[4] = {192, 0, 2, 1};
    dns_write_record(w, DNS_ANSWER, name, type, DNS_CLASS_IN, 60, type == DNS_A ? span_of(ip4, 4) : span_of(ip6, 16));
}

static bool asks(const struct dns_name *name, const char *text)
{
    struct dns_name other;
    assert_int_equal(dns_name_parse_text(text, &other), ERR_OK);
    return dns_name_equal(name, &other);
}

/* Records, and how many bytes of text. */
static void add_many(struct dns_writer *w, const struct dns_name *name, unsigned count, size_t bytes)
{
    char *text = malloc(bytes + 16);
    assert_non_null(text);
    for (unsigned i = 0; i < count; i++) {
        memset(text, 'x', bytes);
        (void)snprintf(text, 16, "%06u", i);
        text[6] = 'x';
        add_txt(w, name, text, bytes);
    }
    free(text);
}

/* Writes the answer; false: none. */
static bool answer(const struct dns_item *question, uint16_t id, bool tcp, struct buf *to)
{
    struct dns_writer w;
    const struct dns_name *name = &question->name;
    uint16_t flags = DNS_FLAG_RESPONSE | RECURSION;
    bool big = asks(name, "many.test") || asks(name, "long.test");
    if (asks(name, "silent.test") || asks(name, "cancel.test"))
        return false;
    if (asks(name, "absent.test"))
        flags |= 3;
    if (asks(name, "refused.test"))
        flags |= 5;
    if (big && !tcp)
        flags |= TRUNCATED;
    dns_write_begin(&w, to, flags);
    dns_write_question(&w, name, question->type, DNS_CLASS_IN);
    if (question->type == DNS_A || question->type == DNS_AAAA)
        add_address(&w, name, question->type);
    else if (asks(name, "two.test")) {
        add_txt(&w, name, "first", 5);
        uint8_t parts[] = {3, 'o', 'n', 'e', 0, 4, ' ', 't', 'w', 'o'};
        dns_write_record(&w, DNS_ANSWER, name, DNS_TXT, DNS_CLASS_IN, 60, span_of(parts, sizeof(parts)));
    } else if (asks(name, "many.test") && tcp)
        add_many(&w, name, 100, 300);
    else if (asks(name, "long.test") && tcp) {
        add_many(&w, name, 1, DNS_TXT_BYTES_MAX + 1);
        add_many(&w, name, 1, DNS_TXT_BYTES_MAX);
    } else if (asks(name, "garbage.test")) {
        add_txt(&w, name, "fine", 4);
        uint8_t lying[] = {200, 'a'};
        dns_write_record(&w, DNS_ANSWER, name, DNS_TXT, DNS_CLASS_IN, 60, span_of(lying, sizeof(lying)));
    } else if (asks(name, "forged.test"))
        add_txt(&w, name, "forged", 6);
    assert_int_equal(dns_write_end(&w), ERR_OK);
    if (asks(name, "loop.test")) { /* an answer whose name points to itself */
        static const uint8_t record[] = {0xc0, 0, 0, 16, 0, 1, 0, 0, 0, 60, 0, 2, 1, 'x'};
        size_t at = to->len;
        assert_int_equal(buf_append(to, record, sizeof(record)), ERR_OK);
        to->data[at + 1] = (uint8_t)at;
        to->data[7] = 1;
    }
    if (asks(name, "forged.test"))
        id ^= 1;
    to->data[0] = (uint8_t)(id >> 8);
    to->data[1] = (uint8_t)id;
    return true;
}

static bool handle(struct span message, bool tcp, struct buf *to)
{
    struct dns_reader reader;
    struct dns_item question;
    if (dns_read(message, &reader) != ERR_OK || dns_next(&reader, &question) != ERR_OK)
        return false;
    atomic_fetch_add(&server.asked, 1);
    if (tcp)
        atomic_fetch_add(&server.by_tcp, 1);
    if (asks(&question.name, "cancel.test"))
        atomic_store(&server.cancel, true);
    buf_clear(to);
    return answer(&question, (uint16_t)(message.data[0] << 8 | message.data[1]), tcp, to);
}

static void serve_udp(struct buf *to)
{
    uint8_t message[2048];
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    ssize_t len = recvfrom(server.udp, message, sizeof(message), 0, (struct sockaddr *)&from, &size);
    if (len > 0 && handle(span_of(message, (size_t)len), false, to))
        (void)sendto(server.udp, to->data, to->len, 0, (struct sockaddr *)&from, size);
}

/* One question; then it hangs up. */
static void serve_tcp(struct buf *to)
{
    uint8_t message[2048];
    size_t len = 0;
    int fd = accept(server.tcp, NULL, NULL);
    while (fd >= 0 && (len < 2 || len < 2 + ((size_t)message[0] << 8 | message[1]))) {
        ssize_t got = recv(fd, message + len, sizeof(message) - len, 0);
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    if (len > 2 && handle(span_of(message + 2, len - 2), true, to)) {
        uint8_t size[2] = {(uint8_t)(to->len >> 8), (uint8_t)to->len};
        (void)send(fd, size, sizeof(size), MSG_NOSIGNAL | MSG_MORE);
        for (size_t at = 0; at < to->len;) {
            ssize_t sent = send(fd, to->data + at, to->len - at, MSG_NOSIGNAL);
            if (sent <= 0)
                break;
            at += (size_t)sent;
        }
    }
    if (fd >= 0)
        (void)close(fd);
}

static void *serve(void *arg)
{
    (void)arg;
    struct buf to;
    buf_init(&to, MESSAGE_MAX, NULL);
    for (;;) {
        struct pollfd fds[] = {{server.udp, POLLIN, 0}, {server.tcp, POLLIN, 0}, {server.stop, POLLIN, 0}};
        if (poll(fds, 3, -1) < 0 || fds[2].revents != 0)
            break;
        if (fds[0].revents != 0)
            serve_udp(&to);
        if (fds[1].revents != 0)
            serve_tcp(&to);
    }
    buf_release(&to);
    return NULL;
}

static struct name_resolver *resolver;

static int begin(void **state)
{
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    server.stop = eventfd(0, EFD_CLOEXEC);
    server.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    server.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.tcp, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(server.tcp, 8), 0);
    assert_int_equal(getsockname(server.tcp, (struct sockaddr *)&at, &size), 0);
    assert_int_equal(bind(server.udp, (struct sockaddr *)&at, size), 0);
    (void)snprintf(server.address, sizeof(server.address), "127.0.0.1:%u", ntohs(at.sin_port));
    assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
    assert_int_equal(name_resolver_new(server.address, &resolver), ERR_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    const uint64_t one = 1;
    name_resolver_free(resolver);
    assert_int_equal(write(server.stop, &one, sizeof(one)), sizeof(one));
    assert_int_equal(pthread_join(server.thread, NULL), 0);
    (void)close(server.udp);
    (void)close(server.tcp);
    (void)close(server.stop);
    return 0;
}

static struct texts texts;

static enum err ask_txt(const char *name, uint64_t wait_ns)
{
    const struct dns_port *dns = name_resolver_port(resolver);
    const struct dns_question question = {.name = name, .deadline_ns = clock_mono_ns() + wait_ns};
    texts_release(&texts);
    texts_init(&texts, DNS_TXTS_BYTES_MAX);
    return dns->txt(dns->self, &question, &texts);
}

static void strings_of_a_record_are_joined(void **state)
{
    (void)state;
    assert_int_equal(ask_txt("two.test", LONG_S * SECOND_NS), ERR_OK);
    assert_int_equal(texts.count, 2);
    assert_true(span_equal_text(texts_get(&texts, 0), "first"));
    assert_true(span_equal_text(texts_get(&texts, 1), "one two"));
    assert_int_equal(ask_txt("TWO.Test", LONG_S * SECOND_NS), ERR_OK);
}

static void a_cut_answer_is_fetched_by_tcp_and_bounded(void **state)
{
    (void)state;
    unsigned before = atomic_load(&server.by_tcp);
    assert_int_equal(ask_txt("many.test", LONG_S * SECOND_NS), ERR_OK);
    assert_int_equal(atomic_load(&server.by_tcp), before + 1);
    assert_int_equal(texts.count, TEXTS_MAX);
    assert_int_equal(texts_get(&texts, TEXTS_MAX - 1).len, 300);
    assert_memory_equal(texts_get(&texts, TEXTS_MAX - 1).data, "000063", 6);
    assert_int_equal(ask_txt("long.test", LONG_S * SECOND_NS), ERR_OK);
    assert_int_equal(texts.count, 1); /* the longer one is left out */
    assert_int_equal(texts_get(&texts, 0).len, DNS_TXT_BYTES_MAX);
}

static void what_is_not_there_is_said_so(void **state)
{
    (void)state;
    assert_int_equal(ask_txt("absent.test", LONG_S * SECOND_NS), ERR_NOT_FOUND);
    assert_int_equal(ask_txt("empty.test", LONG_S * SECOND_NS), ERR_NOT_FOUND);
    assert_int_equal(ask_txt("refused.test", LONG_S * SECOND_NS), ERR_UNREACHABLE);
    assert_int_equal(ask_txt("", LONG_S * SECOND_NS), ERR_INVALID);
    assert_int_equal(ask_txt("a..b", LONG_S * SECOND_NS), ERR_INVALID);
}

static void damage_costs_no_more_than_the_record(void **state)
{
    (void)state;
    assert_int_equal(ask_txt("garbage.test", LONG_S * SECOND_NS), ERR_OK);
    assert_int_equal(texts.count, 1);
    assert_int_equal(ask_txt("loop.test", LONG_S * SECOND_NS), ERR_INVALID);
}

/* Nobody answers, or somebody who does not know the id. */
static void the_deadline_holds(void **state)
{
    (void)state;
    static const char *const names[] = {"silent.test", "forged.test"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        uint64_t began = clock_mono_ns();
        unsigned before = atomic_load(&server.asked);
        assert_int_equal(ask_txt(names[i], 300 * MS_NS), ERR_TIMEOUT);
        assert_int_equal(texts.count, 0);
        assert_true(clock_mono_ns() - began >= 300 * MS_NS);
        assert_int_equal(atomic_load(&server.asked), before + 1);
    }
}

static void a_cancel_ends_the_wait(void **state)
{
    (void)state;
    const struct dns_port *dns = name_resolver_port(resolver);
    const struct dns_question question = {
        .name = "cancel.test", .deadline_ns = clock_mono_ns() + 50 * SECOND_NS, .cancelled = &server.cancel};
    texts_clear(&texts);
    assert_int_equal(dns->txt(dns->self, &question, &texts), ERR_CANCELLED);
    assert_true(clock_mono_ns() < question.deadline_ns);
}

static size_t ask_addrs(const char *name, bool ip4, bool ip6, struct net_addr addrs[DNS_RESULTS_MAX])
{
    const struct dns_port *dns = name_resolver_port(resolver);
    const struct dns_question question = {.name = name, .deadline_ns = clock_mono_ns() + LONG_S * SECOND_NS};
    size_t n = 0;
    enum err err = dns->resolve(dns->self, &question, 77, ip4, ip6, addrs, &n);
    return err == ERR_OK ? n : 0;
}

static void addresses_of_both_families(void **state)
{
    (void)state;
    struct net_addr addrs[DNS_RESULTS_MAX];
    assert_int_equal(ask_addrs("host.test", true, true, addrs), 2);
    assert_int_equal(ask_addrs("host.test", true, false, addrs), 1);
    assert_int_equal(addrs[0].family, NET_IP4);
    assert_int_equal(addrs[0].port, 77);
    assert_int_equal(addrs[0].ip[3], 1);
    assert_int_equal(ask_addrs("host.test", false, true, addrs), 1);
    assert_int_equal(addrs[0].family, NET_IP6);
    assert_int_equal(ask_addrs("absent.test", true, true, addrs), 0);
}

/* From /etc/hosts, whatever the servers say. */
static void localhost_is_loopback(void **state)
{
    (void)state;
    struct net_addr addrs[DNS_RESULTS_MAX];
    assert_true(ask_addrs("localhost", true, false, addrs) >= 1);
    assert_int_equal(addrs[0].ip[0], 127);
    assert_int_equal(addrs[0].port, 77);
}

static void what_names_no_server_is_refused(void **state)
{
    (void)state;
    struct name_resolver *other = NULL;
    assert_int_equal(name_resolver_new("example.org", &other), ERR_INVALID);
    assert_null(other);
    assert_int_equal(name_resolver_new("127.0.0.1,[::1]:5353", &other), ERR_OK);
    name_resolver_free(other);
    name_resolver_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_of_a_record_are_joined),
        cmocka_unit_test(a_cut_answer_is_fetched_by_tcp_and_bounded),
        cmocka_unit_test(what_is_not_there_is_said_so),
        cmocka_unit_test(damage_costs_no_more_than_the_record),
        cmocka_unit_test(the_deadline_holds),
        cmocka_unit_test(a_cancel_ends_the_wait),
        cmocka_unit_test(addresses_of_both_families),
        cmocka_unit_test(localhost_is_loopback),
        cmocka_unit_test(what_names_no_server_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, begin, end);
    texts_release(&texts);
    return failed;
}
