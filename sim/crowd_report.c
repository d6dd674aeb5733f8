/* SPDX-License-Identifier: MIT */
#include "sim/crowd_report.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

enum { BUCKET = 20 };

static double seconds(uint64_t ns)
{
    return (double)ns / (double)SECOND_NS;
}

static double milliseconds(uint64_t ns)
{
    return (double)ns / (double)MS_NS;
}

/* Of those that count. When none was given nothing has failed; when all were void nothing was shown. */
static double success(const struct crowd_kind_result *k)
{
    unsigned counted = k->given - k->gone;
    if (k->given == 0)
        return 100.0;
    return counted == 0 ? 0.0 : 100.0 * k->done / counted;
}

double crowd_report_worst(const struct crowd_result *r)
{
    double worst = 100.0;
    for (size_t i = 0; i < CROWD_KINDS; i++)
        worst = MIN(worst, success(&r->kinds[i]));
    return worst;
}

/* Hops to be expected where each answer brings its share of bits nearer: log2 of the nodes over log2 of a bucket, rounded up. */
static unsigned expected_hops(unsigned nodes)
{
    unsigned hops = 1; /* the bucket of the key itself */
    for (uint64_t reached = BUCKET; reached < nodes; reached *= BUCKET)
        hops++;
    return hops;
}

/* ---- providing by sweep and one by one ---- */

/* One figure of both ways. */
struct effort_row {
    const char *name; /* as in JSON */
    const char *text;
    size_t at; /* in struct crowd_effort */
    bool judged;
};

/*
 * What is sent is printed and not judged: most of what the sweep sends is ADD_PROVIDER, twenty per CID, which neither way can do without.
 */
static const struct effort_row effort_rows[] = {
    {"provided", "CIDs provided", offsetof(struct crowd_effort, provided), false},
    {"lookups", "lookups", offsetof(struct crowd_effort, lookups), true},
    {"round_trips", "round trips", offsetof(struct crowd_effort, trips), true},
    {"told", "ADD_PROVIDER", offsetof(struct crowd_effort, told), false},
    {"failed", "failed requests", offsetof(struct crowd_effort, failed), false},
    {"streams", "streams opened", offsetof(struct crowd_effort, streams), false},
    {"dials", "dials", offsetof(struct crowd_effort, dials), false},
    {"bytes_in", "bytes received", offsetof(struct crowd_effort, bytes_in), true},
    {"bytes_out", "bytes sent", offsetof(struct crowd_effort, bytes_out), false},
    {"bytes", "bytes both ways", offsetof(struct crowd_effort, bytes), false},
    {"virtual_ms", "milliseconds", offsetof(struct crowd_effort, took_ms), false},
};

static uint64_t figure(const struct crowd_effort *e, const struct effort_row *row)
{
    uint64_t value;
    memcpy(&value, (const char *)e + row->at, sizeof(value));
    return value;
}

/* For each CID that was provided. */
static double each(const struct crowd_effort *e, const struct effort_row *row)
{
    return e->provided == 0 ? 0 : (double)figure(e, row) / (double)e->provided;
}

static double saved(const struct crowd_result *r, const struct effort_row *row)
{
    double whole = each(&r->efforts[CROWD_ONE_BY_ONE], row);
    return whole == 0 ? 0 : 100.0 * (whole - each(&r->efforts[CROWD_BY_SWEEP], row)) / whole;
}

double crowd_report_saved(const struct crowd_result *r)
{
    double least = 100.0;
    for (size_t i = 0; i < ARRAY_LEN(effort_rows); i++)
        if (effort_rows[i].judged)
            least = MIN(least, saved(r, &effort_rows[i]));
    return least;
}

double crowd_report_provided(const struct crowd_options *options, const struct crowd_result *r)
{
    double worst = 100.0;
    for (size_t i = 0; i < CROWD_WAYS && options->provide > 0; i++)
        worst = MIN(worst, 100.0 * (double)r->efforts[i].provided / crowd_provider_all(options, (enum crowd_way)i));
    return worst;
}

static void efforts_text(FILE *to, const struct crowd_result *r)
{
    (void)fprintf(to, "%-16s%14s%14s%14s%30s\n", "", "by sweep", "one by one", "saved % each",
                  "in a quiet minute before");
    for (size_t i = 0; i < ARRAY_LEN(effort_rows); i++) {
        const struct effort_row *row = &effort_rows[i];
        (void)fprintf(to, "%-16s%14" PRIu64 "%14" PRIu64 "%14.2f%15" PRIu64 "%15" PRIu64 "\n", row->text,
                      figure(&r->efforts[CROWD_BY_SWEEP], row), figure(&r->efforts[CROWD_ONE_BY_ONE], row),
                      saved(r, row), figure(&r->quiet[CROWD_BY_SWEEP], row), figure(&r->quiet[CROWD_ONE_BY_ONE], row));
    }
}

static void efforts_json(FILE *to, const struct crowd_result *r)
{
    (void)fprintf(to, ",\"provide\":{");
    for (size_t i = 0; i < ARRAY_LEN(effort_rows); i++) {
        const struct effort_row *row = &effort_rows[i];
        (void)fprintf(to, "%s\"%s\":{\"sweep\":%" PRIu64 ",\"single\":%" PRIu64 ",\"saved_percent\":%.3f}",
                      i == 0 ? "" : ",", row->name, figure(&r->efforts[CROWD_BY_SWEEP], row),
                      figure(&r->efforts[CROWD_ONE_BY_ONE], row), saved(r, row));
    }
    (void)fprintf(to, "}");
}

/* ---- the report ---- */

void crowd_report_text(FILE *to, const struct crowd_options *options, const struct crowd_result *r,
                       const struct crowd_cost *cost)
{
    (void)fprintf(to,
                  "%u nodes, seed %" PRIu64 ", %.0f s of virtual time: %u up, %u of them alone, %" PRIu64
                  " connections, %u sessions ended\n",
                  options->nodes, options->seed, seconds(r->virtual_ns), r->up, r->alone, r->connections, r->left);
    (void)fprintf(to, "%-15s%7s%6s%9s%7s%9s%9s%22s%16s\n", "", "given", "void", "done %", "known", "p50 ms", "p95 ms",
                  "requests mean/p50/p95", "hops mean/p95");
    for (size_t i = 0; i < CROWD_KINDS; i++) {
        const struct crowd_kind_result *k = &r->kinds[i];
        if (k->given > 0)
            (void)fprintf(to, "%-15s%7u%6u%9.2f%7u%9.0f%9.0f%10.1f/%5" PRIu64 "/%5" PRIu64 "%10.2f/%5" PRIu64 "\n",
                          crowd_kind_name((enum crowd_task_kind)i), k->given, k->gone, success(k), k->known,
                          milliseconds(k->p50_ns), milliseconds(k->p95_ns), k->requests_mean, k->requests_p50,
                          k->requests_p95, k->hops_mean, k->hops_p95);
    }
    if (options->sybils > 0)
        (void)fprintf(to, "%u sybils of %s were given %u records of the attacked key\n", options->sybils,
                      options->sybils_spread ? "anywhere" : "one /24", r->swallowed);
    if (options->provide > 0)
        efforts_text(to, r);
    (void)fprintf(to,
                  "theory: %u hops at most with full buckets; a provide asks and tells the 20 closest: 40 requests\n",
                  expected_hops(options->nodes));
    (void)fprintf(to, "%" PRIu64 " steps, trace %016" PRIx64 "; %.1f s of CPU, %.0f KiB of memory per node\n", r->steps,
                  r->trace, cost->cpu_s, (double)cost->memory_bytes / 1024 / options->nodes);
}

void crowd_report_json(FILE *to, const struct crowd_options *options, const struct crowd_result *r,
                       const struct crowd_cost *cost)
{
    (void)fprintf(to,
                  "{\"nodes\":%u,\"seed\":%" PRIu64 ",\"trace\":\"%016" PRIx64 "\",\"steps\":%" PRIu64
                  ",\"virtual_s\":%.3f,\"up\":%u,\"alone\":%u,\"connections\":%" PRIu64 ",\"sessions_ended\":%u"
                  ",\"cpu_s\":%.2f,\"memory_bytes\":%" PRIu64 ",\"expected_hops\":%u",
                  options->nodes, options->seed, r->trace, r->steps, seconds(r->virtual_ns), r->up, r->alone,
                  r->connections, r->left, cost->cpu_s, cost->memory_bytes, expected_hops(options->nodes));
    (void)fprintf(to, ",\"sybils\":%u,\"swallowed\":%u,\"tasks\":{", options->sybils, r->swallowed);
    for (size_t i = 0; i < CROWD_KINDS; i++) {
        const struct crowd_kind_result *k = &r->kinds[i];
        (void)fprintf(to,
                      "%s\"%s\":{\"given\":%u,\"void\":%u,\"done\":%u,\"success_percent\":%.3f,\"known\":%u,"
                      "\"p50_ms\":%.1f,\"p95_ms\":%.1f,\"requests_mean\":%.2f,\"requests_p50\":%" PRIu64
                      ",\"requests_p95\":%" PRIu64 ",\"hops_mean\":%.3f,\"hops_p50\":%" PRIu64 ",\"hops_p95\":%" PRIu64
                      "}",
                      i == 0 ? "" : ",", crowd_kind_name((enum crowd_task_kind)i), k->given, k->gone, k->done,
                      success(k), k->known, milliseconds(k->p50_ns), milliseconds(k->p95_ns), k->requests_mean,
                      k->requests_p50, k->requests_p95, k->hops_mean, k->hops_p50, k->hops_p95);
    }
    (void)fprintf(to, "}");
    if (options->provide > 0)
        efforts_json(to, r);
    (void)fprintf(to, "}\n");
}
