/* SPDX-License-Identifier: MIT */
/*
 * Many peers in one thread that ask one node for the same blocks: the load of `make budget`.
 *
 * usage: budget_peers PORT PEERS SECONDS PAUSE_MS < CIDs, one a line. Prints one JSON object at the end, or on SIGTERM.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tests/budget/load_peer.h"

enum { POLL_MS = 50 };

static struct load load;
static struct load_peer *peers[LOAD_PEERS_MAX];
static size_t peer_count;
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void run(uint64_t until)
{
    struct pollfd fds[LOAD_PEERS_MAX];
    while (!stop && clock_mono_ns() < until) {
        for (size_t i = 0; i < peer_count; i++)
            fds[i] = (struct pollfd){.fd = load_peer_fd(peers[i]),
                                     .events = (short)(POLLIN | (load_peer_writes(peers[i]) ? POLLOUT : 0))};
        (void)poll(fds, peer_count, POLL_MS);
        for (size_t i = 0; i < peer_count && !stop; i++)
            load_peer_turn(peers[i], fds[i].fd >= 0 && (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0);
    }
}

static void report(void)
{
    uint32_t fewest = UINT32_MAX;
    uint64_t rounds = 0;
    uint64_t slowest = load.slowest_round_ns;
    size_t up = 0;
    for (size_t i = 0; i < peer_count; i++) {
        fewest = MIN(fewest, load_peer_rounds(peers[i]));
        rounds += load_peer_rounds(peers[i]);
        slowest = MAX(slowest, load_peer_round_ns(peers[i]));
        up += load_peer_is_up(peers[i]) ? 1 : 0;
    }
    printf("{\"peers\": %zu, \"connected\": %zu, \"rounds\": %" PRIu64 ", \"fewest_rounds\": %u, \"blocks\": %" PRIu64
           ", \"bytes\": %" PRIu64 ", \"unasked\": %" PRIu64 ", \"rejected\": %" PRIu64 ", \"dont_haves\": %" PRIu64
           ", \"lost\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"stalls\": %" PRIu64 ", \"slowest_round_s\": %.1f}\n",
           peer_count, up, rounds, fewest, load.received, load.bytes, load.unasked, load.rejected, load.dont_haves,
           load.lost, load.refused, load.stalls, (double)slowest / 1e9);
}

static void read_blocks(void)
{
    char line[256];
    while (load.block_count < LOAD_BLOCKS_MAX && fgets(line, sizeof(line), stdin) != NULL) {
        size_t len = strcspn(line, "\n");
        load_check(cid_parse_text(span_of(line, len), &load.blocks[load.block_count]), "a CID");
        load.block_count++;
    }
    if (load.block_count == 0)
        load_check(ERR_INVALID, "no CIDs");
    load_sort(&load);
}

static unsigned long number(const char *text, unsigned long max)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value > max)
        load_check(ERR_INVALID, text);
    return value;
}

int main(int argc, char **argv)
{
    if (argc != 5 || sodium_init() < 0) {
        (void)fputs("usage: budget_peers PORT PEERS SECONDS PAUSE_MS < CIDs\n", stderr);
        return 2;
    }
    load.node = (struct sockaddr_in){.sin_family = AF_INET,
                                     .sin_port = htons((uint16_t)number(argv[1], 65535)),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    peer_count = number(argv[2], LOAD_PEERS_MAX);
    load.pause_ns = number(argv[4], 3600000) * MS_NS;
    read_blocks();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGTERM, on_signal);
    for (size_t i = 0; i < peer_count; i++) /* spread over a pause: not all begin at once */
        peers[i] = load_peer_new(&load, i * load.pause_ns / peer_count);
    run(clock_mono_ns() + number(argv[3], 86400) * SECOND_NS);
    report();
    for (size_t i = 0; i < peer_count; i++)
        load_peer_free(peers[i]);
    return EXIT_SUCCESS;
}
