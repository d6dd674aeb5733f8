/* SPDX-License-Identifier: MIT */
/*
 * What peers of the DHT cost a node: many that are only there, or some that ask (tests/bench/kad_peers.h).
 *
 *      usage: bench_discovery hold PORT PEERS PROTOCOL                  a line of JSON when all are up, and one for each line of stdin
 *             bench_discovery ask PORT PEERS PROTOCOL FLIGHT SECONDS    answers a second; FLIGHT requests under way on a stream of each peer
 */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"
#include "tests/bench/kad_peers.h"

enum {
    SETTLE_S = 5, /* identify is over, peers are in the tables */
    BURST_S = 4   /* what a node grants after a rest is used up */
};

static void run_for(uint64_t ns)
{
    uint64_t until = clock_mono_ns() + ns;
    for (uint64_t now; (now = clock_mono_ns()) < until;)
        (void)kad_peers_run((int)((until - now) / MS_NS) + 1);
}

static double cpu_s(void)
{
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void tell(double connected_s)
{
    struct kad_peers_count now = kad_peers_count();
    printf("{\"up\": %zu, \"lost\": %zu, \"connected_s\": %.3f, \"in_bytes\": %" PRIu64 ", \"out_bytes\": %" PRIu64
           ", \"asked_by_node\": [",
           now.up, now.lost, connected_s, now.in_bytes, now.out_bytes);
    for (unsigned i = 0; i < KAD_PEERS_TYPES; i++)
        printf("%s%" PRIu64, i == 0 ? "" : ", ", now.asked_by_node[i]);
    printf("]");
    for (unsigned i = 0; i < KAD_PEERS_KINDS; i++) {
        const struct kad_peers_moved *m = &now.moved[i];
        printf(", \"%s\": {\"turns\": %" PRIu64 ", \"streams\": %" PRIu64 ", \"in_bytes\": %" PRIu64
               ", \"out_bytes\": %" PRIu64 "}",
               kad_peers_kind_name((enum kad_peers_kind)i), m->turns, m->streams, m->in_bytes, m->out_bytes);
    }
    printf("}\n");
    (void)fflush(stdout);
}

static void do_hold(double connected_s)
{
    char line[64];
    kad_peers_watch(STDIN_FILENO);
    tell(connected_s);
    for (;;) {
        if (!kad_peers_run(1000))
            continue;
        if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
            return;
        tell(connected_s);
    }
}

static void do_ask(unsigned flight, double seconds)
{
    run_for(SETTLE_S * SECOND_NS);
    kad_peers_ask(flight);
    run_for(BURST_S * SECOND_NS);
    struct kad_peers_count before = kad_peers_count();
    double cpu = cpu_s();
    uint64_t began = clock_mono_ns();
    run_for((uint64_t)(seconds * 1e9));
    double took = (double)(clock_mono_ns() - began) / 1e9;
    struct kad_peers_count after = kad_peers_count();
    uint64_t nodes = after.answers[0] - before.answers[0];
    uint64_t providers = after.answers[1] - before.answers[1];
    double all = (double)(nodes + providers);
    uint64_t sampled = after.sampled - before.sampled;
    printf("{\"value\": %.1f, \"wall_s\": %.3f, \"find_node\": %" PRIu64 ", \"get_providers\": %" PRIu64
           ", \"answers\": %" PRIu64
           ", \"answer_bytes\": %.0f, \"closer\": %.2f, \"asker_cpu_s\": %.3f, \"up\": %zu, \"lost\": %zu}\n",
           all / took, took, nodes, providers, after.answers[0] + after.answers[1],
           all == 0 ? 0.0 : (double)(after.answer_bytes - before.answer_bytes) / all,
           sampled == 0 ? 0.0 : (double)(after.closer - before.closer) / (double)sampled, cpu_s() - cpu, after.up,
           after.lost);
}

static unsigned long number(const char *text, unsigned long max)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    kad_peers_check(*text == '\0' || *end != '\0' || value == 0 || value > max ? ERR_INVALID : ERR_OK, text);
    return value;
}

int main(int argc, char **argv)
{
    bool ask = argc == 7 && strcmp(argv[1], "ask") == 0;
    if (sodium_init() < 0 || (!ask && (argc != 5 || strcmp(argv[1], "hold") != 0))) {
        (void)fputs("usage: bench_discovery hold PORT PEERS PROTOCOL | ask PORT PEERS PROTOCOL FLIGHT SECONDS\n",
                    stderr);
        return 2;
    }
    kad_peers_init((uint16_t)number(argv[2], 65535), number(argv[3], KAD_PEERS_MAX_COUNT), argv[4]);
    uint64_t began = clock_mono_ns();
    kad_peers_connect();
    if (ask)
        do_ask((unsigned)number(argv[5], KAD_PEERS_FLIGHT_MAX), strtod(argv[6], NULL));
    else
        do_hold((double)(clock_mono_ns() - began) / 1e9);
    return EXIT_SUCCESS;
}
