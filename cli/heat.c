/* SPDX-License-Identifier: MIT */
/* Text forms of what is known of the use of blocks: heat top, heat explain. */
#include "cli/output.h"

enum { NANOSECONDS = 1000000000 };

#define NOTHING_KNOWN (-1e300) /* where JSON has no infinity */

static unsigned long long number(struct span map, const char *key)
{
    return value_u64(map, key);
}

void print_hottest(const struct invocation *in, struct span result)
{
    struct elements rows = value_elements(result, "blocks");
    struct span row;
    (void)puts("SCORE  USED  ASKED  CID");
    while (elements_next(&rows, &row)) {
        printf("%5.1f  %4llu  %5llu  ", value_f64(row, "score"), number(row, "accesses"), number(row, "wants"));
        print_cid(stdout, &in->globals, value_text(row, "cid"));
        (void)putchar('\n');
    }
}

static void print_text(const char *before, struct span text)
{
    (void)fputs(before, stdout);
    print_escaped(stdout, text);
}

static void print_use(struct span result)
{
    struct span tier = value_text(result, "tier");
    print_text("stored:       ", tier.len == 0 ? span_text("no") : tier);
    if (tier.len > 0)
        printf(", %llu bytes", number(result, "size"));
    printf("\nused:         %llu times", number(result, "accesses"));
    if (number(result, "accesses") > 0)
        printf(", last %llu s ago", number(result, "used_ago_ns") / NANOSECONDS);
    printf("; asked for by peers %llu times\nscore:        %.2f\n", number(result, "wants"),
           value_f64(result, "score"));
}

static void print_rank(double rank)
{
    if (rank > NOTHING_KNOWN)
        printf("%12.4g", rank);
    else
        printf("%12s", "-");
}

/* What only the policy hearth tells; the way that ranks now has a star. */
static void print_learned(struct span result)
{
    struct span way = value_text(result, "way");
    struct elements ways = value_elements(result, "ways");
    struct span row;
    printf("heat:         %.2f short, %.2f long; class %llu, %llu accesses to others since\n",
           value_f64(result, "short_heat"), value_f64(result, "long_heat"), number(result, "class"),
           number(result, "age"));
    (void)fputs("leaves now:   ", stdout);
    if (value_f64(result, "limit") > NOTHING_KNOWN)
        printf("a block of rank %.4g\n", value_f64(result, "limit"));
    else
        (void)puts("none, there is room");
    printf("\n%-8s%12s%12s\n", "WAY", "RANK", "HITS");
    while (elements_next(&ways, &row)) {
        struct span name = value_text(row, "way");
        printf("%c %-6.*s", span_equal(name, way) ? '*' : ' ', (int)name.len, (const char *)name.data);
        print_rank(value_f64(row, "rank"));
        printf("%12.1f\n", value_f64(row, "hits"));
    }
}

void print_explained(const struct invocation *in, struct span result)
{
    struct span policy = value_text(result, "policy");
    print_cid(stdout, &in->globals, value_text(result, "cid"));
    print_text("\nverdict:      ", value_text(result, "verdict"));
    (void)putchar('\n');
    print_use(result);
    if (policy.len == 0)
        return;
    print_text("policy:       ", policy);
    (void)puts(value_bool(result, "wanted_on_disk") ? " wants it on the disk" : " does not want it on the disk");
    if (value_text(result, "way").len > 0)
        print_learned(result);
}
