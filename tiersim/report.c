/* SPDX-License-Identifier: MIT */
#include "tiersim/report.h"

#include <inttypes.h>

enum { BAR_COLUMNS = 60 }; /* of a hundred per cent */
enum { COLUMN = 23 };      /* of the table: "object%  byte% promoted" */

void report_table(const struct report *report, FILE *to)
{
    (void)fprintf(to, "%" PRIu64 " requests, %" PRIu32 " objects, footprint %" PRIu64 " %s\n\n%-12s", report->requests,
                  report->objects, report->footprint_bytes, report->sized ? "bytes" : "slots", "tier");
    for (size_t s = 0; s < REPORT_SIZES; s++)
        (void)fprintf(to, "  %3u%% %-*" PRIu64, report->percent[s], s + 1 < REPORT_SIZES ? COLUMN - 5 : 0,
                      report->capacity_bytes[s]);
    (void)fprintf(to, "\n%-12s", "policy");
    for (size_t s = 0; s < REPORT_SIZES; s++)
        (void)fprintf(to, "  %7s %6s %8s", "object%", "byte%", "promoted");
    (void)fputc('\n', to);
    for (size_t i = 0; i < report->row_count; i++) {
        (void)fprintf(to, "%-12s", report->rows[i].policy);
        for (size_t s = 0; s < REPORT_SIZES; s++) {
            const struct replay_result *result = &report->rows[i].results[s];
            (void)fprintf(to, "  %7.2f %6.2f %8.4f", replay_object_hit_percent(result), replay_byte_hit_percent(result),
                          replay_promotion(result));
        }
        (void)fputc('\n', to);
    }
    (void)fputs("promoted: bytes copied into the tier for each byte that was hit there\n", to);
}

static void bars(const struct report *report, report_figure *figure, const char *what, FILE *to)
{
    for (size_t s = 0; s < REPORT_SIZES; s++) {
        (void)fprintf(to, "\nhits of %s, tier %u%%\n", what, report->percent[s]);
        for (size_t i = 0; i < report->row_count; i++) {
            double percent = figure(&report->rows[i].results[s]);
            (void)fprintf(to, "%-12s %6.2f ", report->rows[i].policy, percent);
            for (int column = 0; column < (int)(percent * BAR_COLUMNS / 100 + 0.5); column++)
                (void)fputc('#', to);
            (void)fputc('\n', to);
        }
    }
}

void report_bars(const struct report *report, FILE *to)
{
    bars(report, replay_object_hit_percent, "objects", to);
    if (report->sized)
        bars(report, replay_byte_hit_percent, "bytes", to);
}
