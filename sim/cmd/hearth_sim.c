/* SPDX-License-Identifier: MIT */
/*
 * hearth-sim: plays a swarm of whole nodes, a crowd of thousands, or an exchange over windows of one byte, under a seed and prints what
 * came of it. The same seed prints the same trace, so a failure is replayed by its seed.
 */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/text.h"
#include "sim/cmd/arguments.h"
#include "sim/cmd/play_keys.h"
#include "sim/cmd/trial_cmd.h"
#include "sim/crowd_report.h"
#include "sim/exchange.h"
#include "sim/swarm.h"

enum { EXIT_USAGE = 2, EXCHANGE_BLOCKS = 12, EXCHANGE_BLOCK_BYTES = 60, EXCHANGE_NEWS = 1000 };

enum { OWN_PAGES_FROM = 12 * 1024, OWN_PAGES_MAX = 1000000 };

/* Of each kind of task of a crowd, or the run has failed. */
static const double WANTED_PERCENT = 99.5;

/* Of what providing one by one takes, by the sweep. */
static const double WANTED_SAVED_PERCENT = 95.0;

static const char usage[] =
    "usage: hearth-sim [--seed N] [--seeds COUNT] [--nodes N] [--blocks N] [--size BYTES] [--reset-at DURATION] [-v]\n"
    "       hearth-sim --nodes N --actors NAME,... [--minutes M] [--seed N] [--session DURATION] [--away DURATION]\n"
    "                  [--tasks N] [--connections N] [--provide N [--singles N]] [--sybils N [--sybils-spread]]\n"
    "                  [--play-keys] [--json] [-v]\n"
    "       hearth-sim --exchange [--seed N] [--seeds COUNT] [--blocks N] [--size BYTES] [-v]\n";

struct arguments {
    struct swarm_options options;
    uint64_t seeds; /* how many, counting up from options.seed */
    bool exchange;
    struct crowd_options crowd; /* played when it names actors */
    bool json;
};

enum crowd_option {
    OPTION_ACTORS = 256,
    OPTION_MINUTES,
    OPTION_SESSION,
    OPTION_AWAY,
    OPTION_TASKS,
    OPTION_CONNECTIONS,
    OPTION_PROVIDE,
    OPTION_SINGLES,
    OPTION_PLAY_KEYS,
    OPTION_SYBILS,
    OPTION_SPREAD,
    OPTION_JSON
};

static bool take_crowd_option(int option, struct arguments *a)
{
    uint64_t number = 0;
    bool good;
    switch (option) {
    case OPTION_ACTORS:
        a->crowd.actors = optarg;
        return true;
    case OPTION_MINUTES:
        good = take_number(optarg, 1000000, &number);
        a->crowd.life_ns = number * 60 * SECOND_NS;
        return good;
    case OPTION_SESSION:
        return text_parse_duration(span_text(optarg), &a->crowd.session_ns) == ERR_OK;
    case OPTION_AWAY:
        return text_parse_duration(span_text(optarg), &a->crowd.away_ns) == ERR_OK;
    case OPTION_TASKS:
        good = take_number(optarg, CROWD_TASKS_MAX, &number);
        a->crowd.tasks = (unsigned)number;
        return good;
    case OPTION_CONNECTIONS:
        good = take_number(optarg, CROWD_CONNECTIONS_MAX, &number);
        a->crowd.connections = (unsigned)number;
        return good;
    case OPTION_PROVIDE:
        good = take_number(optarg, CROWD_PROVIDE_MAX, &number);
        a->crowd.provide = (unsigned)number;
        return good;
    case OPTION_SINGLES:
        good = take_number(optarg, CROWD_PROVIDE_MAX, &number);
        a->crowd.singles = (unsigned)number;
        return good;
    case OPTION_PLAY_KEYS:
        play_keys();
        return true;
    case OPTION_SYBILS:
        good = take_number(optarg, CROWD_SYBILS_MAX, &number);
        a->crowd.sybils = (unsigned)number;
        return good;
    case OPTION_SPREAD:
        a->crowd.sybils_spread = true;
        return true;
    case OPTION_JSON:
        a->json = true;
        return true;
    default:
        return false;
    }
}

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
        {"actors", required_argument, NULL, OPTION_ACTORS},
        {"minutes", required_argument, NULL, OPTION_MINUTES},
        {"session", required_argument, NULL, OPTION_SESSION},
        {"away", required_argument, NULL, OPTION_AWAY},
        {"tasks", required_argument, NULL, OPTION_TASKS},
        {"connections", required_argument, NULL, OPTION_CONNECTIONS},
        {"provide", required_argument, NULL, OPTION_PROVIDE},
        {"singles", required_argument, NULL, OPTION_SINGLES},
        {"play-keys", no_argument, NULL, OPTION_PLAY_KEYS},
        {"sybils", required_argument, NULL, OPTION_SYBILS},
        {"sybils-spread", no_argument, NULL, OPTION_SPREAD},
        {"json", no_argument, NULL, OPTION_JSON},
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
            good = take_number(optarg, CROWD_NODES_MAX, &number);
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
            good = take_crowd_option(option, a);
        }
    }
    a->crowd.nodes = a->options.nodes;
    a->crowd.log = a->options.log;
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

static struct crowd_cost cost_so_far(void)
{
    struct rusage used = {0};
    (void)getrusage(RUSAGE_SELF, &used);
    const struct timeval *times[] = {&used.ru_utime, &used.ru_stime};
    struct crowd_cost cost = {.memory_bytes = (uint64_t)used.ru_maxrss * 1024};
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        cost.cpu_s += (double)times[i]->tv_sec + (double)times[i]->tv_usec / 1e6;
    return cost;
}

static enum err judge_crowd(const struct crowd_options *options, const struct crowd_result *r)
{
    const struct {
        double percent, wanted;
        const char *what;
    } judged[] = {
        {crowd_report_worst(r), WANTED_PERCENT, "of a kind of task was done"},
        {crowd_report_provided(options, r), WANTED_PERCENT, "of the CIDs were provided by sweep or one by one"},
        {options->provide == 0 ? 100.0 : crowd_report_saved(r), WANTED_SAVED_PERCENT,
         "of lookups, round trips or bytes received was saved by the sweep"},
    };
    enum err err = ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(judged); i++) {
        if (judged[i].percent >= judged[i].wanted)
            continue;
        (void)fprintf(stderr, "seed %" PRIu64 ": less than %.1f %% %s: %.2f %%\n", options->seed, judged[i].wanted,
                      judged[i].what, judged[i].percent);
        err = ERR_UNREACHABLE;
    }
    return err;
}

static enum err play_crowd(struct arguments *a)
{
    struct crowd_result result = {0};
    char why[CROWD_WHY_BYTES] = "";
    struct crowd_cost before = cost_so_far();
    a->crowd.seed = a->options.seed;
    a->crowd.progress = stderr;
    enum err err = crowd_play(&a->crowd, &result, why);
    struct crowd_cost cost = cost_so_far();
    cost.cpu_s -= before.cpu_s;
    if (why[0] != '\0')
        (void)fprintf(stderr, "seed %" PRIu64 ": %s\n", a->options.seed, why);
    if (err == ERR_OK)
        (a->json ? crowd_report_json : crowd_report_text)(stdout, &a->crowd, &result, &cost);
    (void)fflush(stdout);
    return err == ERR_OK ? judge_crowd(&a->crowd, &result) : err;
}

static enum err play(struct arguments *a, uint64_t i)
{
    if (a->exchange)
        return play_exchange(a, i);
    return a->crowd.actors != NULL ? play_crowd(a) : play_swarm(&a->options);
}

/* Most of a node's tables are never touched: from the kernel they cost nothing, from the heap they would be cleared. */
static void take_own_pages(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, OWN_PAGES_FROM);
    (void)mallopt(M_MMAP_MAX, OWN_PAGES_MAX);
}

static bool has_scenario(int argc, char **argv)
{
    static const char name[] = "--scenario";
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, sizeof(name) - 1) == 0)
            return true;
    return false;
}

static int play_trial(int argc, char **argv)
{
    bool view = strcmp(argv[1], "view") == 0;
    take_own_pages();
    int code = view ? view_command(argc - 1, argv + 1) : trial_command(argc, argv);
    if (code == EXIT_USAGE)
        (void)fprintf(stderr, "%s%s", usage, trial_usage);
    return code;
}

int main(int argc, char **argv)
{
    struct arguments a = {
        .options = {.seed = 1, .nodes = 3, .blocks = 50, .block_bytes = 100000, .timeout_ns = 120 * SECOND_NS},
        .seeds = 1,
        .crowd = {.life_ns = 600 * SECOND_NS, .session_ns = 3600 * SECOND_NS, .away_ns = 600 * SECOND_NS, .tasks = 100},
    };
    if (sodium_init() < 0)
        return EXIT_FAILURE;
    if (argc > 1 && (has_scenario(argc, argv) || strcmp(argv[1], "view") == 0))
        return play_trial(argc, argv);
    if (!parse(argc, argv, &a)) {
        (void)fprintf(stderr, "%s%s", usage, trial_usage);
        return EXIT_USAGE;
    }
    take_own_pages();
    for (uint64_t i = 0; i < a.seeds; i++, a.options.seed++) {
        if (play(&a, i) != ERR_OK)
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
