/* SPDX-License-Identifier: MIT */
#include "sim/crowd_report.h"

#include <inttypes.h>

enum { BUCKET = 20 };

static double seconds(uint64_t ns)
{
    return (double)ns / (double)SECOND_NS;
}

static double milliseconds(uint64_t ns)
{
    return (double)ns / (double)MS_NS;
}

/* Of those that count; with none at all 100: nothing has failed. */
static double success(const struct crowd_kind_result *k)
{
    unsigned counted = k->given - k->gone;
    return counted == 0 ? 100.0 : 100.0 * k->done / counted;
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
    (void)fprintf(to, "}}\n");
}
