/* SPDX-License-Identifier: MIT */
/*
 * hearth-sim: plays a swarm of whole nodes, or an exchange over windows of one byte, under a seed and prints what came of it. The same
 * seed prints the same trace, so a failure is replayed by its seed.
 */
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "sim/exchange.h"
#include "sim/swarm.h"

enum { EXIT_USAGE = 2, EXCHANGE_BLOCKS = 12, EXCHANGE_BLOCK_BYTES = 60, EXCHANGE_NEWS = 1000 };

static const char usage[] =
    "usage: hearth-sim [--seed N] [--seeds COUNT] [--nodes N] [--blocks N] [--size BYTES] [--reset-at DURATION] [-v]\n"
    "       hearth-sim --exchange [--seed N] [--seeds COUNT] [--blocks N] [--size BYTES] [-v]\n";

static bool take_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    return text_parse_u64(span_text(text), ret_number) == ERR_OK && *ret_number <= max;
}

static void print_log(void *arg, enum log_level level, const char *actor, const char *text)
{
    (void)arg;
    (void)fprintf(stderr, "%d %s: %s\n", (int)level, actor, text);
}

struct arguments {
    struct swarm_options options;
    uint64_t seeds; /* how many, counting up from options.seed */
    bool exchange;
};

static bool parse(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'c'},
        {"nodes", required_argument, NULL, 'n'},
        {"blocks", required_argument, NULL, 'b'},
        {"size", required_argument, NULL, 'z'},
        {"reset-at", required_argument, NULL, 'r'},
        {"verbose", no_argument, NULL, 'v'},
        {"exchange", no_argument, NULL, 'x'},
        {NULL, 0, NULL, 0},
    };
    int option;
    bool good = true;
    uint64_t number = 0;
    while (good && (option = getopt_long(argc, argv, "v", options, NULL)) != -1) {
        switch (option) {
        case 's':
            good = take_number(optarg, UINT64_MAX, &a->options.seed);
            break;
        case 'c':
            good = take_number(optarg, 1000000, &a->seeds);
            break;
        case 'n':
            good = take_number(optarg, SWARM_NODES_MAX, &number);
            a->options.nodes = (unsigned)number;
            break;
        case 'b':
            good = take_number(optarg, SWARM_BLOCKS_MAX, &number);
            a->options.blocks = (unsigned)number;
            break;
        case 'z':
            good = take_number(optarg, MIB, &number);
            a->options.block_bytes = number;
            break;
        case 'r':
            good = text_parse_duration(span_text(optarg), &a->options.reset_at_ns) == ERR_OK;
            break;
        case 'x':
            a->exchange = true;
            a->options.blocks = EXCHANGE_BLOCKS;
            a->options.block_bytes = EXCHANGE_BLOCK_BYTES;
            break;
        case 'v':
            a->options.log = print_log;
            break;
        default:
            good = false;
        }
    }
    return good && optind == argc;
}

static enum err play_swarm(const struct swarm_options *options)
{
    struct swarm_result result = {0};
    char why[SWARM_WHY_BYTES] = "";
    enum err err = swarm_play(options, &result, why);
    printf("seed %" PRIu64 " trace %016" PRIx64 " steps %" PRIu64 " virtual %.3f s fetched %u: %s%s%s\n", options->seed,
           result.trace, result.steps, (double)result.virtual_ns / (double)SECOND_NS, result.fetched,
           err == ERR_OK ? "ok" : err_text(err), why[0] == '\0' ? "" : ": ", why);
    return err;
}

/* Many seeds: news of each failure, of the last one, and of every thousandth. */
static enum err play_exchange(const struct arguments *a, uint64_t i)
{
    struct exchange_result result = {0};
    char why[EXCHANGE_WHY_BYTES] = "";
    const struct exchange_options options = {.seed = a->options.seed,
                                             .blocks = a->options.blocks,
                                             .block_bytes = a->options.block_bytes,
                                             .timeout_ns = a->options.timeout_ns,
                                             .log = a->options.log};
    enum err err = exchange_play(&options, &result, why);
    if (err != ERR_OK || i + 1 == a->seeds || (i + 1) % EXCHANGE_NEWS == 0)
        printf("seed %" PRIu64 " trace %016" PRIx64 " steps %" PRIu64
               " virtual %.3f s fetched %u cancelled %u tables %" PRIu64 " bytes: %s%s%s\n",
               options.seed, result.trace, result.steps, (double)result.virtual_ns / (double)SECOND_NS, result.fetched,
               result.cancelled, result.tables_peak, err == ERR_OK ? "ok" : err_text(err), why[0] == '\0' ? "" : ": ",
               why);
    (void)fflush(stdout);
    return err;
}

int main(int argc, char **argv)
{
    struct arguments a = {
        .options = {.seed = 1, .nodes = 3, .blocks = 50, .block_bytes = 100000, .timeout_ns = 120 * SECOND_NS},
        .seeds = 1,
    };
    if (!parse(argc, argv, &a)) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (sodium_init() < 0)
        return EXIT_FAILURE;
    for (uint64_t i = 0; i < a.seeds; i++, a.options.seed++) {
        enum err err = a.exchange ? play_exchange(&a, i) : play_swarm(&a.options);
        if (err != ERR_OK)
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
