/* SPDX-License-Identifier: MIT */
/* `denylist ls` and `denylist check` as text. */
#include <stdio.h>

#include "cli/output.h"

void print_denylists(const struct invocation *in, struct span result)
{
    (void)in;
    struct elements rows = value_elements(result, "files");
    struct span row;
    while (elements_next(&rows, &row)) {
        print_escaped(stdout, value_text(row, "file"));
        (void)printf("  %llu rules", (unsigned long long)value_u64(row, "rules"));
        if (value_u64(row, "invalid") > 0)
            (void)printf(", %llu lines are none", (unsigned long long)value_u64(row, "invalid"));
        (void)fputs("  ", stdout);
        print_escaped(stdout, value_text(row, "name"));
        (void)putchar('\n');
    }
}

void print_verdict(const struct invocation *in, struct span result)
{
    (void)in;
    struct span verdict = value_text(result, "verdict");
    if (verdict.len == 0) {
        (void)puts("no rule matches");
        return;
    }
    print_escaped(stdout, verdict);
    (void)fputs(" by ", stdout);
    print_escaped(stdout, value_text(result, "file"));
    (void)printf(":%llu\n", (unsigned long long)value_u64(result, "line"));
}
