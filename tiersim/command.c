/* SPDX-License-Identifier: MIT */
#include "tiersim/command.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "tiersim/report.h"
#include "tiersim/unpacker.h"

enum { EXIT_USAGE = 2 };

static const char usage[] = "usage: tier-sim --format FORMAT --policy NAME --size SIZE FILE\n"
                            "       tier-sim --format FORMAT --all [--svg FILE] FILE\n";

static const char help[] =
    "\nReplays a trace through a policy that decides what a tier holds, and prints one line:\n"
    "policy object_hit% byte_hit% promoted_bytes_per_hit_byte\n"
    "\n"
    "  --format FORMAT  oracleGeneral (libCacheSim), lis (ARC), keys (a key a line), be32, be64 (big-endian keys),\n"
    "                   tsv (time id size); FILE may be packed with gzip, xz or zstd\n"
    "  --policy NAME    see below\n"
    "  --size SIZE      of the tier: 5% of the trace's footprint, or bytes such as 20297697 or 64MiB; where objects "
    "have no\n"
    "                   sizes each takes one byte\n"
    "  --all            all policies at 1, 5, 10 and 20%: a table and a plot\n"
    "  --svg FILE       the plot as a drawing, too\n"
    "  -h, --help       this\n"
    "\nExit status: 0 success, 1 error, 2 usage.\n"
    "Policies:";

struct arguments {
    enum trace_format format;
    const struct contender_ops *policy;
    double percent; /* of the footprint, or */
    uint64_t bytes; /* if percent is 0 */
    const char *svg;
    const char *file;
    bool has_format;
    bool has_size;
    bool all;
    bool help;
};

static int fail(FILE *err, const char *what, const char *why)
{
    (void)fprintf(err, "Error: %s: %s\n", what, why);
    return EXIT_FAILURE;
}

static int usage_error(FILE *err, const char *why, const char *what)
{
    (void)fprintf(err, "Error: %s%s%s\n%s", why, what[0] == '\0' ? "" : ": ", what, usage);
    return EXIT_USAGE;
}

/* "5%", "0.1%", or a size as everywhere in hearth. */
static bool parse_size(const char *text, struct arguments *a)
{
    size_t len = strlen(text);
    if (len == 0 || text[len - 1] != '%')
        return text_parse_size(span_text(text), &a->bytes) == ERR_OK;
    if (strspn(text, "0123456789.") != len - 1 || len == 1)
        return false;
    char *end;
    a->percent = strtod(text, &end);
    return end == text + len - 1 && a->percent > 0 && a->percent <= 100;
}

/* Returns 0, or the exit status of a usage error. */
static int take_option(int option, char **argv, struct arguments *a, FILE *err)
{
    switch (option) {
    case 'f':
        a->has_format = trace_format_parse(optarg, &a->format);
        return a->has_format ? 0 : usage_error(err, "no such format", optarg);
    case 'p':
        a->policy = contender_find(optarg);
        return a->policy != NULL ? 0 : usage_error(err, "no such policy (tier-sim --help lists them)", optarg);
    case 's':
        a->has_size = parse_size(optarg, a);
        return a->has_size ? 0 : usage_error(err, "a size is like 5% or 64MiB, not", optarg);
    case 'a':
        a->all = true;
        return 0;
    case 'g':
        a->svg = optarg;
        return 0;
    case 'h':
        a->help = true;
        return 0;
    default:
        return usage_error(err, "unknown flag, or one without its value", argv[optind - 1]);
    }
}

static int parse(int argc, char **argv, struct arguments *a, FILE *err)
{
    static const struct option options[] = {
        {"format", required_argument, NULL, 'f'},
        {"policy", required_argument, NULL, 'p'},
        {"size", required_argument, NULL, 's'},
        {"all", no_argument, NULL, 'a'},
        {"svg", required_argument, NULL, 'g'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    optind = 0; /* from the start, whoever parsed before */
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        int code = take_option(option, argv, a, err);
        if (code != 0)
            return code;
    }
    if (a->help)
        return 0;
    if (optind != argc - 1)
        return usage_error(err, optind == argc ? "which trace?" : "one trace at a time", "");
    a->file = argv[optind];
    if (!a->has_format)
        return usage_error(err, "--format is missing", "");
    if (a->all ? a->policy != NULL || a->has_size : a->policy == NULL || !a->has_size)
        return usage_error(err, "either --policy and --size, or --all", "");
    return a->svg != NULL && !a->all ? usage_error(err, "--svg goes with --all", "") : 0;
}

/* Loads the trace; says what is wrong. */
static int load(const struct arguments *a, struct trace *ret_trace, FILE *err)
{
    struct trace_reader *reader = NULL;
    FILE *file = fopen(a->file, "rb");
    if (file == NULL)
        return fail(err, a->file, strerror(errno));
    enum err code = trace_reader_new(file, a->format, UNPACKER_MEMORY_MAX, &reader);
    if (code == ERR_OK)
        code = trace_load(reader, ret_trace);
    if (code == ERR_NOT_FOUND)
        (void)fail(err, a->file, "there is no request in it");
    else if (code != ERR_OK)
        (void)fail(err, a->file,
                   reader != NULL && trace_reader_why(reader)[0] != '\0' ? trace_reader_why(reader) : err_text(code));
    trace_reader_free(reader);
    (void)fclose(file);
    return code == ERR_OK ? 0 : EXIT_FAILURE;
}

static uint64_t share_of(const struct trace *trace, double percent)
{
    return (uint64_t)((double)trace->footprint_bytes * percent / 100);
}

static int run_one(const struct arguments *a, const struct trace *trace, FILE *out, FILE *err)
{
    struct replay_result result;
    uint64_t capacity = a->percent > 0 ? share_of(trace, a->percent) : a->bytes;
    enum err code = replay(trace, a->policy, capacity, &result);
    if (code != ERR_OK)
        return fail(err, a->policy->name, err_text(code));
    (void)fprintf(out, "%s %.2f %.2f %.4f\n", a->policy->name, replay_object_hit_percent(&result),
                  replay_byte_hit_percent(&result), replay_promotion(&result));
    return 0;
}

static int write_svg(const struct report *report, const char *path, FILE *err)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return fail(err, path, strerror(errno));
    report_svg(report, file);
    bool good = ferror(file) == 0;
    good = fclose(file) == 0 && good;
    return good ? 0 : fail(err, path, "could not be written");
}

static int run_all(const struct arguments *a, const struct trace *trace, FILE *out, FILE *err)
{
    const char *slash = strrchr(a->file, '/');
    struct report report = {.trace = slash == NULL ? a->file : slash + 1,
                            .sized = trace->bytes != NULL,
                            .requests = trace->requests,
                            .objects = trace->object_count,
                            .footprint_bytes = trace->footprint_bytes,
                            .percent = {1, 5, 10, 20},
                            .row_count = contender_count};
    struct report_row *rows = calloc(contender_count, sizeof(*rows));
    enum err code = rows == NULL ? ERR_NOMEM : ERR_OK;
    const char *policy = "tier-sim";
    for (size_t s = 0; s < REPORT_SIZES; s++)
        report.capacity_bytes[s] = share_of(trace, report.percent[s]);
    for (size_t i = 0; i < contender_count && code == ERR_OK; i++) {
        policy = rows[i].policy = contenders[i]->name;
        for (size_t s = 0; s < REPORT_SIZES && code == ERR_OK; s++)
            code = replay(trace, contenders[i], report.capacity_bytes[s], &rows[i].results[s]);
    }
    report.rows = rows;
    int status = code == ERR_OK ? 0 : fail(err, policy, err_text(code));
    if (code == ERR_OK) {
        report_table(&report, out);
        report_bars(&report, out);
    }
    if (code == ERR_OK && a->svg != NULL)
        status = write_svg(&report, a->svg, err);
    free(rows);
    return status;
}

static void print_help(FILE *out)
{
    (void)fprintf(out, "%s%s", usage, help);
    for (size_t i = 0; i < contender_count; i++)
        (void)fprintf(out, " %s", contenders[i]->name);
    (void)fputc('\n', out);
}

int tier_sim_command(int argc, char **argv, FILE *out, FILE *err)
{
    struct arguments a = {0};
    struct trace trace = {0};
    int status = parse(argc, argv, &a, err);
    if (status != 0)
        return status;
    if (a.help) {
        print_help(out);
        return 0;
    }
    status = load(&a, &trace, err);
    if (status == 0)
        status = a.all ? run_all(&a, &trace, out, err) : run_one(&a, &trace, out, err);
    trace_release(&trace);
    if (status == 0 && (fflush(out) != 0 || ferror(out) != 0))
        status = fail(err, "standard output", "could not be written");
    return status;
}
