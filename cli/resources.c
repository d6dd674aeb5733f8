/* SPDX-License-Identifier: MIT */
/* Text form of what is used of the limits: swarm resources, in Kubo's columns. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/output.h"

enum { CELL = 32 };

static void print_cell(struct span text, int width)
{
    print_escaped(stdout, text);
    for (int i = (int)text.len; i < width; i++)
        (void)putchar(' ');
}

void print_resources(const struct invocation *in, struct span result)
{
    (void)in;
    struct elements rows = value_elements(result, "resources");
    struct span row;
    printf("%-60s %-16s %-14s %-19s %s\n", "Scope", "Limit Name", "Limit Value", "Limit Usage Amount",
           "Limit Usage Percent");
    while (elements_next(&rows, &row)) {
        uint64_t limit = value_u64(row, "limit");
        uint64_t used = value_u64(row, "used");
        char value[CELL] = "unlimited";
        char percent[CELL] = "n/a";
        if (limit != 0) {
            (void)snprintf(value, sizeof(value), "%" PRIu64, limit);
            (void)snprintf(percent, sizeof(percent), "%.1f%%", (double)used * 100 / (double)limit);
        }
        print_cell(value_text(row, "scope"), 61);
        print_cell(value_text(row, "name"), 17);
        printf("%-14s %-19" PRIu64 " %s\n", value, used, percent);
    }
}
