/* SPDX-License-Identifier: MIT */
#include "net/name_resolver.h"

#include <ares.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/addr.h"
#include "wire/dns.h"

enum {
    TRY_MS = 2000, /* the first wait for a server; grows with each round */
    TRIES = 3,
    UDP_BYTES = 1232, /* what arrives unfragmented everywhere; longer answers come by TCP */
    LOOK_MS = 100     /* a cancel is noticed within */
};

struct name_resolver {
    struct dns_port port;
    char *servers;
};

/* One question; done is set by the callback. */
struct lookup {
    bool done;
    enum err err;
    struct texts *texts; /* of TXT */
    struct net_addr *addrs;
    size_t addr_count;
    uint16_t port;
};

static enum err err_of_ares(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return ERR_OK;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
        return ERR_NOT_FOUND;
    case ARES_ETIMEOUT:
        return ERR_TIMEOUT;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
        return ERR_CANCELLED;
    case ARES_ENOMEM:
        return ERR_NOMEM;
    case ARES_ECONNREFUSED: /* also when each of them answered that it fails or will not */
    case ARES_EREFUSED:
    case ARES_ESERVFAIL:
    case ARES_ENOTIMP:
        return ERR_UNREACHABLE;
    default:
        return ERR_INVALID;
    }
}

static enum err open_channel(const struct name_resolver *r, ares_channel *ret_channel)
{
    struct ares_options options = {.flags = ARES_FLAG_EDNS, .timeout = TRY_MS, .tries = TRIES, .ednspsz = UDP_BYTES};
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ;
    ares_channel channel;
    int status = ares_init_options(&channel, &options, mask);
    if (status != ARES_SUCCESS)
        return status == ARES_ENOMEM ? ERR_NOMEM : ERR_UNSUPPORTED;
    status = r->servers[0] == '\0' ? ARES_SUCCESS : ares_set_servers_ports_csv(channel, r->servers);
    if (status != ARES_SUCCESS) {
        ares_destroy(channel);
        return status == ARES_ENOMEM ? ERR_NOMEM : ERR_INVALID;
    }
    *ret_channel = channel;
    return ERR_OK;
}

/* ---- waiting ---- */

/* Waits for the channel's sockets, at most so long, and lets it work. */
static void turn(ares_channel channel, int wait_ms)
{
    ares_socket_t socks[ARES_GETSOCK_MAXNUM];
    struct pollfd fds[ARES_GETSOCK_MAXNUM];
    unsigned wanted = (unsigned)ares_getsock(channel, socks, ARES_GETSOCK_MAXNUM);
    nfds_t n = 0;
    for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
        bool reads = (wanted >> i & 1u) != 0; /* the library's own macros shift into the sign */
        bool writes = (wanted >> (i + ARES_GETSOCK_MAXNUM) & 1u) != 0;
        short events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
        if (events != 0)
            fds[n++] = (struct pollfd){.fd = socks[i], .events = events};
    }
    struct timeval left;
    struct timeval most = {.tv_sec = wait_ms / 1000, .tv_usec = (wait_ms % 1000) * 1000};
    const struct timeval *wait = ares_timeout(channel, &most, &left);
    (void)poll(fds, n, (int)(wait->tv_sec * 1000 + (wait->tv_usec + 999) / 1000));
    for (nfds_t i = 0; i < n; i++) {
        bool readable = (fds[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0;
        bool writable = (fds[i].revents & (POLLOUT | POLLERR | POLLHUP)) != 0;
        if (readable || writable)
            ares_process_fd(channel, readable ? fds[i].fd : ARES_SOCKET_BAD, writable ? fds[i].fd : ARES_SOCKET_BAD);
    }
    ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* what is due by time */
}

/* Until the callback was called. The channel is gone afterwards, and no callback comes any more. */
static enum err finish(ares_channel channel, const struct dns_question *question, struct lookup *lookup)
{
    enum err why = ERR_OK;
    while (!lookup->done && why == ERR_OK) {
        uint64_t now = clock_mono_ns();
        if (question->cancelled != NULL && atomic_load(question->cancelled))
            why = ERR_CANCELLED;
        else if (now >= question->deadline_ns)
            why = ERR_TIMEOUT;
        else
            turn(channel, (int)MIN((question->deadline_ns - now) / MS_NS + 1, (uint64_t)LOOK_MS));
    }
    ares_destroy(channel); /* calls back what is not done */
    return why == ERR_OK ? lookup->err : why;
}

/* ---- A and AAAA ---- */

static void on_addrs(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
    struct lookup *lookup = arg;
    (void)timeouts;
    lookup->done = true;
    lookup->err = err_of_ares(status);
    for (const struct ares_addrinfo_node *i = result == NULL ? NULL : result->nodes; i != NULL; i = i->ai_next) {
        if (lookup->addr_count == DNS_RESULTS_MAX)
            break;
        struct net_addr *addr = &lookup->addrs[lookup->addr_count];
        if (addr_from_sockaddr(i->ai_addr, addr) != ERR_OK)
            continue;
        addr->port = lookup->port;
        lookup->addr_count++;
    }
    if (lookup->err == ERR_OK && lookup->addr_count == 0)
        lookup->err = ERR_NOT_FOUND;
    if (result != NULL)
        ares_freeaddrinfo(result);
}

static enum err resolve_addrs(void *self, const struct dns_question *question, uint16_t port, bool ip4, bool ip6,
                              struct net_addr *ret_addrs, size_t *ret_count)
{
    ares_channel channel;
    struct lookup lookup = {.addrs = ret_addrs, .port = port};
    const struct ares_addrinfo_hints hints = {.ai_family = ip4 && ip6 ? AF_UNSPEC
                                                           : ip4      ? AF_INET
                                                                      : AF_INET6,
                                              .ai_socktype = SOCK_STREAM,
                                              .ai_flags = ARES_AI_NOSORT};
    if (question->name[0] == '\0')
        return ERR_INVALID;
    enum err err = open_channel(self, &channel);
    if (err != ERR_OK)
        return err;
    ares_getaddrinfo(channel, question->name, NULL, &hints, on_addrs, &lookup);
    err = finish(channel, question, &lookup);
    if (err == ERR_OK)
        *ret_count = lookup.addr_count;
    return err;
}

/* ---- TXT ---- */

/* RDATA of TXT: strings, each a length byte and bytes; joined they are one text. */
static enum err join_txt(struct span data, struct buf *to)
{
    struct span part;
    enum err err = ERR_OK;
    buf_clear(to);
    while (err == ERR_OK && (err = dns_next_string(&data, &part)) == ERR_OK)
        err = buf_append_span(to, part);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* Aliases lead to the records of another name, which the server has put into the same answer: so the name is not compared. */
static enum err read_txt(struct span message, struct texts *texts)
{
    struct dns_reader reader;
    struct dns_item item;
    struct buf text;
    size_t before = texts->count;
    buf_init(&text, DNS_TXT_BYTES_MAX, NULL);
    enum err err = dns_read(message, &reader);
    while (err == ERR_OK && (err = dns_next(&reader, &item)) == ERR_OK)
        if (item.section == DNS_ANSWER && item.type == DNS_TXT && (item.class & DNS_CLASS_MASK) == DNS_CLASS_IN &&
            join_txt(item.data, &text) == ERR_OK && texts_add(texts, buf_span(&text)) == ERR_NOMEM)
            err = ERR_NOMEM;
    buf_release(&text);
    if (err == ERR_NOMEM)
        return err;
    if (texts->count > before) /* what was readable before the damage counts */
        return ERR_OK;
    return err == ERR_NOT_FOUND ? ERR_NOT_FOUND : ERR_INVALID;
}

static void on_txt(void *arg, int status, int timeouts, unsigned char *answer, int len)
{
    struct lookup *lookup = arg;
    (void)timeouts;
    lookup->done = true;
    lookup->err = err_of_ares(status);
    if (status == ARES_SUCCESS)
        lookup->err = read_txt(span_of(answer, (size_t)len), lookup->texts);
}

static enum err resolve_txt(void *self, const struct dns_question *question, struct texts *texts)
{
    ares_channel channel;
    struct lookup lookup = {.texts = texts};
    if (question->name[0] == '\0')
        return ERR_INVALID;
    enum err err = open_channel(self, &channel);
    if (err != ERR_OK)
        return err;
    ares_query(channel, question->name, DNS_CLASS_IN, DNS_TXT, on_txt, &lookup);
    return finish(channel, question, &lookup);
}

/* ---- life ---- */

enum err name_resolver_new(const char *servers, struct name_resolver **ret_resolver)
{
    struct name_resolver *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return ERR_NOMEM;
    r->port = (struct dns_port){.self = r, .resolve = resolve_addrs, .txt = resolve_txt};
    r->servers = strdup(servers);
    ares_channel channel;
    enum err err = r->servers == NULL                                     ? ERR_NOMEM
                   : ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ? ERR_UNSUPPORTED
                                                                          : open_channel(r, &channel);
    if (err != ERR_OK) {
        free(r->servers);
        free(r);
        return err;
    }
    ares_destroy(channel);
    *ret_resolver = r;
    return ERR_OK;
}

void name_resolver_free(struct name_resolver *r)
{
    if (r == NULL)
        return;
    ares_library_cleanup();
    free(r->servers);
    free(r);
}

const struct dns_port *name_resolver_port(struct name_resolver *r)
{
    return &r->port;
}
