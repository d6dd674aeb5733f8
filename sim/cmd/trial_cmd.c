/* SPDX-License-Identifier: MIT */
/* Trials by seeds, and what is printed of them. A failure names its seed, all that was derived from it, and how to see it again. */
#include "sim/cmd/trial_cmd.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/text.h"
#include "sim/cmd/arguments.h"
#include "sim/cmd/play_keys.h"
#include "sim/journal.h"
#include "sim/trial.h"

enum { EXIT_USAGE = 2, LAST_ROWS = 60, LAST_SECONDS = 30, SEEDS_MAX = 1000000000 };

/* Given when nothing else is. */
enum { NODES = 5, MINUTES = 2 };

const char trial_usage[] =
    "       hearth-sim --scenario calm|network|disk|actors|clock|everything [--seed N] [--seeds COUNT] [--nodes N]\n"
    "                  [--minutes M] [--idle] [--small] [--play-keys] [--trace FILE] [--json] [-q] [-v]\n"
    "       hearth-sim view FILE [--node N] [--actor NAME] [--around SECONDS] [--within SECONDS] [--important]\n";

struct trial_arguments {
    struct trial_plan plan; /* nodes, safety_ns, idle, small */
    enum trial_scenario scenario;
    uint64_t seed;
    uint64_t seeds;
    bool play_keys;
    bool json;
    bool quiet;
    const char *trace;
    log_fn *log;
};

static bool take_option(int option, struct trial_arguments *a)
{
    uint64_t number = 0;
    bool good = true;
    switch (option) {
    case 'S':
        a->scenario = trial_scenario_of(optarg);
        return a->scenario != TRIAL_SCENARIOS;
    case 's':
        return take_number(optarg, UINT64_MAX, &a->seed);
    case 'c':
        return take_number(optarg, SEEDS_MAX, &a->seeds);
    case 'n':
        good = take_number(optarg, TRIAL_NODES_MAX, &number) && number >= 2;
        a->plan.nodes = (unsigned)number;
        return good;
    case 'm':
        good = take_number(optarg, TRIAL_MINUTES_MAX, &number);
        a->plan.safety_ns = number * 60 * SECOND_NS;
        return good;
    case 'i':
        a->plan.idle = true;
        return true;
    case 'l':
        a->plan.small = true;
        return true;
    case 'k':
        a->play_keys = true;
        return true;
    case 't':
        a->trace = optarg;
        return true;
    case 'j':
        a->json = true;
        return true;
    case 'q':
        a->quiet = true;
        return true;
    case 'v':
        a->log = print_log;
        return true;
    default:
        return false;
    }
}

static bool parse(int argc, char **argv, struct trial_arguments *a)
{
    static const struct option options[] = {
        {"scenario", required_argument, NULL, 'S'},
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'c'},
        {"nodes", required_argument, NULL, 'n'},
        {"minutes", required_argument, NULL, 'm'},
        {"idle", no_argument, NULL, 'i'},
        {"small", no_argument, NULL, 'l'},
        {"play-keys", no_argument, NULL, 'k'},
        {"trace", required_argument, NULL, 't'},
        {"json", no_argument, NULL, 'j'},
        {"quiet", no_argument, NULL, 'q'},
        {"verbose", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    int option;
    bool good = true;
    while (good && (option = getopt_long(argc, argv, "qv", options, NULL)) != -1)
        good = take_option(option, a);
    return good && optind == argc && a->scenario != TRIAL_SCENARIOS;
}

/* ---- what came of it ---- */

static double cpu_s(void)
{
    struct rusage used = {0};
    (void)getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static uint64_t sum(const uint64_t *list, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += list[i];
    return total;
}

static void print_line(const struct trial_arguments *a, const struct trial_result *r, bool ok, double cpu)
{
    double node_minutes = a->plan.nodes * (double)r->virtual_ns / 60e9;
    printf(a->json ? "{\"scenario\":\"%s\",\"seed\":%" PRIu64 ",\"ok\":%s,\"trace\":\"%016" PRIx64
                     "\",\"steps\":%" PRIu64 ",\"virtual_s\":%.1f,\"liveness_s\":%.1f,\"errands\":%" PRIu64
                     ",\"done\":%" PRIu64 ",\"faults\":%" PRIu64 ",\"disk_faults\":%" PRIu64 ",\"lives\":%" PRIu64
                     ",\"restarts\":%" PRIu64 ",\"cpu_s\":%.2f,\"node_minutes_per_s\":%.0f}\n"
                   : "%s seed %" PRIu64 ": %s, trace %016" PRIx64 ", %" PRIu64
                     " steps, %.0f s (%.0f to settle), %" PRIu64 " errands, %" PRIu64 " done, %" PRIu64
                     " faults, %" PRIu64 " of disks, %" PRIu64 " lives, %" PRIu64
                     " restarts; %.1f s of CPU, %.0f node-minutes/s\n",
           trial_scenario_name(a->scenario), a->seed, a->json ? (ok ? "true" : "false") : (ok ? "ok" : "FAILED"),
           r->trace, r->steps, (double)r->virtual_ns / 1e9, (double)r->liveness_ns / 1e9, sum(r->begun, ERRAND_KINDS),
           sum(r->done, ERRAND_KINDS), sum(r->faults, TRIAL_FAULTS), sum(r->disk_faults, SIM_FAULT_COUNT), r->lives,
           r->restarts, cpu, cpu > 0 ? node_minutes / cpu : 0);
    (void)fflush(stdout);
}

static void print_errands(const struct trial_result *r)
{
    for (size_t i = 0; i < ERRAND_KINDS; i++)
        if (r->begun[i] > 0)
            printf("  %-22s %6" PRIu64 " begun, %6" PRIu64 " done, %6" PRIu64 " failed\n",
                   errand_name((enum errand_kind)i), r->begun[i], r->done[i], r->failed[i]);
    for (size_t i = 0; i < TRIAL_FAULTS; i++)
        if (r->faults[i] > 0)
            printf("  fault %-16s %6" PRIu64 "\n", trial_fault_name((enum trial_fault)i), r->faults[i]);
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
        if (r->disk_faults[i] > 0)
            printf("  disk: %-24s %6" PRIu64 "\n", trial_disk_fault_name((enum sim_disk_fault)i), r->disk_faults[i]);
    for (size_t i = 0; i < SIM_CUT_COUNT; i++)
        if (r->cuts[i] > 0)
            printf("  unsynced work: %-15s %6" PRIu64 "\n", trial_cut_name((enum sim_disk_cut)i), r->cuts[i]);
    if (r->connects_lost > 0)
        printf("  connects lost          %6" PRIu64 "\n", r->connects_lost);
}

static void print_failure(const struct trial_arguments *a, const struct trial_options *o, const struct trial_result *r,
                          const char *why)
{
    const struct journal_filter last = {.node = r->failed_node,
                                        .actor = -1,
                                        .from_ns = MAX(r->failed_ns - r->began_ns, LAST_SECONDS * SECOND_NS) -
                                                   LAST_SECONDS * SECOND_NS,
                                        .until_ns = r->failed_ns - r->began_ns,
                                        .important = true};
    printf("seed %" PRIu64 " failed at %.6f s: %s\n", a->seed, (double)(r->failed_ns - r->began_ns) / 1e9, why);
    trial_plan_print(&o->plan, stdout);
    if (r->failed_ns != 0) {
        printf("what was important of its last %d s (--trace FILE, then hearth-sim view FILE, shows all):\n",
               LAST_SECONDS);
        journal_print(o->journal, &last, LAST_ROWS, stdout);
    }
    printf("again: hearth-sim --scenario %s --seed %" PRIu64 " --nodes %u --minutes %" PRIu64 "%s%s%s\n",
           trial_scenario_name(a->scenario), a->seed, o->plan.nodes, o->plan.safety_ns / (60 * SECOND_NS),
           o->plan.idle ? " --idle" : "", o->plan.small ? " --small" : "", a->play_keys ? " --play-keys" : "");
    (void)fflush(stdout);
}

static bool play_one(const struct trial_arguments *a)
{
    struct trial_options o = {.plan = a->plan, .log = a->log, .progress = a->seeds > 1 || a->quiet ? NULL : stderr};
    struct trial_result result = {0};
    char why[TRIAL_WHY_BYTES] = "";
    double before = cpu_s();
    trial_plan_derive(&o.plan, a->seed, a->scenario);
    o.journal = journal_new(3600 * SECOND_NS); /* when the clock of a simulation begins */
    enum err err = o.journal == NULL ? ERR_NOMEM : ERR_OK;
    if (err == ERR_OK && a->trace != NULL)
        err = journal_open_file(o.journal, a->trace);
    if (err == ERR_OK)
        err = trial_play(&o, &result, why);
    if (!a->quiet || err != ERR_OK)
        print_line(a, &result, err == ERR_OK, cpu_s() - before);
    if (!a->quiet && !a->json && a->seeds == 1)
        print_errands(&result);
    if (err != ERR_OK)
        print_failure(a, &o, &result, why[0] == '\0' ? err_text(err) : why);
    if (!journal_free(o.journal)) {
        (void)fprintf(stderr, "hearth-sim: cannot write %s\n", a->trace);
        return false;
    }
    return err == ERR_OK;
}

int trial_command(int argc, char **argv)
{
    struct trial_arguments a = {.plan = {.nodes = NODES, .safety_ns = MINUTES * 60 * SECOND_NS},
                                .scenario = TRIAL_SCENARIOS,
                                .seed = 1,
                                .seeds = 1};
    if (!parse(argc, argv, &a))
        return EXIT_USAGE;
    if (a.play_keys)
        play_keys();
    uint64_t failed = 0;
    for (uint64_t i = 0; i < a.seeds; i++, a.seed++)
        failed += play_one(&a) ? 0 : 1;
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- view ---- */

static bool take_seconds(const char *text, uint64_t *ret_ns)
{
    char *end;
    double seconds = strtod(text, &end);
    *ret_ns = seconds < 0 ? 0 : (uint64_t)(seconds * 1e9);
    return end != text && *end == '\0' && seconds >= 0 && seconds < 1e9;
}

int view_command(int argc, char **argv)
{
    static const struct option options[] = {
        {"node", required_argument, NULL, 'n'},   {"actor", required_argument, NULL, 'a'},
        {"around", required_argument, NULL, 't'}, {"within", required_argument, NULL, 'w'},
        {"important", no_argument, NULL, 'i'},    {NULL, 0, NULL, 0},
    };
    struct journal_filter filter = {.node = -1, .actor = -1};
    uint64_t around_ns = UINT64_MAX;
    uint64_t within_ns = SECOND_NS;
    uint64_t number = 0;
    bool good = true;
    int option;
    while (good && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'n') {
            good = take_number(optarg, TRIAL_NODES_MAX, &number);
            filter.node = (int)number;
        } else if (option == 'a') {
            filter.actor = journal_actor(optarg);
            good = filter.actor >= 0;
        } else if (option == 't') {
            good = take_seconds(optarg, &around_ns);
        } else if (option == 'w') {
            good = take_seconds(optarg, &within_ns);
        } else {
            filter.important = option == 'i';
            good = filter.important;
        }
    }
    if (!good || optind + 1 != argc)
        return EXIT_USAGE;
    if (around_ns != UINT64_MAX) {
        filter.from_ns = MAX(around_ns, within_ns) - within_ns;
        filter.until_ns = around_ns + within_ns;
    }
    enum err err = journal_print_file(argv[optind], &filter, stdout);
    if (err != ERR_OK)
        (void)fprintf(stderr, "hearth-sim: %s: %s\n", argv[optind],
                      err == ERR_IO ? "cannot be read" : "no whole journal of this build");
    return err == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
