/* SPDX-License-Identifier: MIT */
#include "sim/crowd_report.h"

#include <inttypes.h>

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

void crowd_report_text(FILE *to, const struct crowd_options *options, const struct crowd_result *r,
                       const struct crowd_cost *cost)
{
    (void)fprintf(to,
                  "%u nodes, seed %" PRIu64 ", %.0f s of virtual time: %u up, %u of them alone, %" PRIu64
                  " connections, %u sessions ended\n",
                  options->nodes, options->seed, seconds(r->virtual_ns), r->up, r->alone, r->connections, r->left);
    for (size_t i = 0; i < CROWD_KINDS; i++) {
        const struct crowd_kind_result *k = &r->kinds[i];
        if (k->given > 0)
            (void)fprintf(to, "%-14s %6u given, %u void, %.2f %% done; p50 %.0f ms, p95 %.0f ms\n",
                          crowd_kind_name((enum crowd_task_kind)i), k->given, k->gone, success(k),
                          milliseconds(k->p50_ns), milliseconds(k->p95_ns));
    }
    (void)fprintf(to, "%" PRIu64 " steps, trace %016" PRIx64 "; %.1f s of CPU, %.0f KiB of memory per node\n", r->steps,
                  r->trace, cost->cpu_s, (double)cost->memory_bytes / 1024 / options->nodes);
}

void crowd_report_json(FILE *to, const struct crowd_options *options, const struct crowd_result *r,
                       const struct crowd_cost *cost)
{
    (void)fprintf(to,
                  "{\"nodes\":%u,\"seed\":%" PRIu64 ",\"trace\":\"%016" PRIx64 "\",\"steps\":%" PRIu64
                  ",\"virtual_s\":%.3f,\"up\":%u,\"alone\":%u,\"connections\":%" PRIu64 ",\"sessions_ended\":%u"
                  ",\"cpu_s\":%.2f,\"memory_bytes\":%" PRIu64,
                  options->nodes, options->seed, r->trace, r->steps, seconds(r->virtual_ns), r->up, r->alone,
                  r->connections, r->left, cost->cpu_s, cost->memory_bytes);
    (void)fprintf(to, ",\"tasks\":{");
    for (size_t i = 0; i < CROWD_KINDS; i++) {
        const struct crowd_kind_result *k = &r->kinds[i];
        (void)fprintf(to,
                      "%s\"%s\":{\"given\":%u,\"void\":%u,\"done\":%u,\"success_percent\":%.3f,\"p50_ms\":%.1f,"
                      "\"p95_ms\":%.1f}",
                      i == 0 ? "" : ",", crowd_kind_name((enum crowd_task_kind)i), k->given, k->gone, k->done,
                      success(k), milliseconds(k->p50_ns), milliseconds(k->p95_ns));
    }
    (void)fprintf(to, "}}\n");
}
