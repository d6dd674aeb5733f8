/* SPDX-License-Identifier: MIT */
/*
 * A long path on loopback, and what plain TCP reaches over it.
 *
 *      bench_relay path PORT DELAY_MS MBIT     prints a port; what connects there reaches PORT, each way with the delay, at MBIT (0: no rate)
 *      bench_relay source MIB                  prints a port; whoever connects there is sent that much
 *      bench_relay pull PORT                   reads until the end and prints one line of JSON
 *
 * A byte that arrives at t leaves at max(t, when the link is free) + its time on the link + the delay. The path holds HOLD_BYTES each
 * way, which is over twice what any row of the benchmarks can have on its way; who sends more waits, as behind a router's queue.
 * TCP's own windows end at the relay, so a plain transfer is bounded by rate and CPU, not by the round trip: the harshest ruler.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"

enum { HOLD_BYTES = 64 * 1024 * 1024, READ_BYTES = 256 * 1024, CHUNKS = 1 << 16, CONNECTIONS_MAX = 16 };

struct chunk {
    uint64_t due_ns;
    uint32_t len;
};

/* One direction: a ring of bytes and a ring of the moments at which they are due. */
struct way {
    int from;
    int to;
    uint8_t *bytes;
    uint64_t put; /* counts of bytes and chunks since the beginning */
    uint64_t got;
    struct chunk *chunks;
    uint64_t chunk_put;
    uint64_t chunk_got;
    uint64_t free_at_ns; /* the link */
    bool ended;          /* from has no more */
    bool shut;
};

static struct way ways[CONNECTIONS_MAX * 2];
static size_t way_count;
static uint64_t delay_ns;
static double ns_per_byte;

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static int listen_any(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(bind(fd, (struct sockaddr *)&addr, len) == 0 && listen(fd, 16) == 0 &&
              getsockname(fd, (struct sockaddr *)&addr, &len) == 0,
          "listen");
    printf("%d\n", ntohs(addr.sin_port));
    (void)fflush(stdout);
    return fd;
}

static int connect_to(const char *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "connect");
    return fd;
}

/* ---- the path ---- */

static void way_open(int from, int to)
{
    struct way *w = &ways[way_count++];
    *w = (struct way){
        .from = from, .to = to, .bytes = malloc(HOLD_BYTES), .chunks = malloc(CHUNKS * sizeof(struct chunk))};
    check(w->bytes != NULL && w->chunks != NULL, "memory");
}

static void accept_one(int listener, const char *port)
{
    int on = 1;
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0 || way_count + 2 > CONNECTIONS_MAX * 2) {
        (void)close(client);
        return;
    }
    int server = connect_to(port);
    (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    way_open(client, server);
    way_open(server, client);
}

static bool may_take(const struct way *w)
{
    return !w->ended && w->put - w->got < HOLD_BYTES && w->chunk_put - w->chunk_got < CHUNKS;
}

static void take(struct way *w)
{
    size_t at = w->put % HOLD_BYTES;
    size_t room = HOLD_BYTES - (size_t)(w->put - w->got);
    room = room < HOLD_BYTES - at ? room : HOLD_BYTES - at;
    ssize_t n = recv(w->from, w->bytes + at, room < READ_BYTES ? room : READ_BYTES, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    uint64_t now = clock_mono_ns();
    uint64_t start = now > w->free_at_ns ? now : w->free_at_ns;
    w->ended = n <= 0;
    n = n < 0 ? 0 : n;
    w->free_at_ns = start + (uint64_t)((double)n * ns_per_byte);
    w->chunks[w->chunk_put++ % CHUNKS] = (struct chunk){.due_ns = w->free_at_ns + delay_ns, .len = (uint32_t)n};
    w->put += (uint64_t)n;
}

/* Bytes whose time has come, up to the ring's end; the end of the stream is an empty chunk. */
static size_t due_bytes(const struct way *w, uint64_t now)
{
    size_t len = 0;
    size_t most = HOLD_BYTES - (size_t)(w->got % HOLD_BYTES);
    for (uint64_t i = w->chunk_got; i < w->chunk_put && w->chunks[i % CHUNKS].due_ns <= now && len < most; i++)
        len += w->chunks[i % CHUNKS].len;
    return len < most ? len : most;
}

static void give(struct way *w)
{
    uint64_t now = clock_mono_ns();
    size_t len = due_bytes(w, now);
    if (len > 0) {
        ssize_t n = send(w->to, w->bytes + w->got % HOLD_BYTES, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            n = (ssize_t)len; /* the far side is gone: what was for it is dropped */
        w->got += n > 0 ? (uint64_t)n : 0;
        for (; n > 0;) {
            struct chunk *c = &w->chunks[w->chunk_got % CHUNKS];
            uint32_t part = (uint32_t)n < c->len ? (uint32_t)n : c->len;
            c->len -= part;
            n -= part;
            w->chunk_got += c->len == 0;
        }
    }
    struct chunk *last = &w->chunks[w->chunk_got % CHUNKS];
    if (w->ended && !w->shut && w->chunk_put == w->chunk_got + 1 && last->len == 0 && last->due_ns <= now) {
        (void)shutdown(w->to, SHUT_WR);
        w->shut = true;
    }
}

static uint64_t next_due(void)
{
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i < way_count; i++) {
        const struct way *w = &ways[i];
        if (w->chunk_put > w->chunk_got && !w->shut && w->chunks[w->chunk_got % CHUNKS].due_ns < due)
            due = w->chunks[w->chunk_got % CHUNKS].due_ns;
    }
    return due;
}

static void wait_for_work(int listener, struct pollfd *polled)
{
    uint64_t now = clock_mono_ns();
    uint64_t due = next_due();
    struct timespec wait = {.tv_sec = 1};
    polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (size_t i = 0; i < way_count; i++) {
        bool blocked = due_bytes(&ways[i], now) > 0;
        polled[1 + 2 * i] = (struct pollfd){.fd = may_take(&ways[i]) ? ways[i].from : -1, .events = POLLIN};
        polled[2 + 2 * i] = (struct pollfd){.fd = blocked ? ways[i].to : -1, .events = POLLOUT};
        if (blocked)
            due = due <= now ? UINT64_MAX : due; /* the socket, not the clock, is what it waits for */
    }
    if (due != UINT64_MAX)
        wait = (struct timespec){.tv_sec = 0,
                                 .tv_nsec = due <= now ? 0 : (long)(due - now < SECOND_NS ? due - now : SECOND_NS - 1)};
    (void)ppoll(polled, 1 + 2 * way_count, &wait, NULL);
}

static void path(const char *port)
{
    static struct pollfd polled[1 + CONNECTIONS_MAX * 4];
    int listener = listen_any();
    for (;;) {
        wait_for_work(listener, polled);
        size_t count = way_count;
        for (size_t i = 0; i < count; i++) {
            if (polled[1 + 2 * i].revents != 0)
                take(&ways[i]);
            give(&ways[i]);
        }
        if (polled[0].revents != 0)
            accept_one(listener, port);
    }
}

/* ---- plain TCP ---- */

static void source(uint64_t mib)
{
    static uint8_t bytes[READ_BYTES];
    int listener = listen_any();
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        check(fd >= 0, "accept");
        ssize_t n = 1;
        for (uint64_t left = mib * 1024 * 1024; left > 0 && n > 0; left -= (uint64_t)n)
            n = send(fd, bytes, left < READ_BYTES ? left : READ_BYTES, MSG_NOSIGNAL);
        (void)close(fd);
    }
}

static void pull(const char *port)
{
    static uint8_t bytes[READ_BYTES];
    uint64_t began = clock_mono_ns();
    uint64_t total = 0;
    int fd = connect_to(port);
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        total += (uint64_t)n;
    check(n == 0, "recv");
    double seconds = (double)(clock_mono_ns() - began) / 1e9;
    printf("{\"seconds\": %.6f, \"bytes\": %llu, \"mb_per_s\": %.3f}\n", seconds, (unsigned long long)total,
           (double)total / 1e6 / seconds);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "path") == 0) {
        delay_ns = strtoull(argv[3], NULL, 10) * MS_NS;
        double mbit = strtod(argv[4], NULL);
        ns_per_byte = mbit > 0 ? 8e3 / mbit : 0;
        path(argv[2]);
    } else if (argc == 3 && strcmp(argv[1], "source") == 0) {
        source(strtoull(argv[2], NULL, 10));
    } else if (argc == 3 && strcmp(argv[1], "pull") == 0) {
        pull(argv[2]);
    } else {
        (void)fprintf(stderr, "usage: bench_relay path PORT DELAY_MS MBIT | source MIB | pull PORT\n");
        return 2;
    }
    return 0;
}
