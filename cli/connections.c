/* SPDX-License-Identifier: MIT */
/* Text forms of swarm peers and swarm addrs autonat, as Kubo's. */
#include <stdio.h>
#include <string.h>

#include "cli/output.h"

void print_peers(const struct invocation *in, struct span result)
{
    struct elements rows = value_elements(result, "connections");
    struct span row;
    bool verbose = value_bool(buf_span(&in->args), "verbose");
    bool latency = verbose || value_bool(buf_span(&in->args), "latency");
    bool direction = verbose || value_bool(buf_span(&in->args), "direction");
    while (elements_next(&rows, &row)) {
        struct span addr = value_text(row, "addr");
        print_escaped(stdout, addr);
        bool named = memmem(addr.data, addr.len, "/p2p/", 5) != NULL;
        (void)fputs(named ? "" : "/p2p/", stdout);
        print_escaped(stdout, named ? (struct span){0} : value_text(row, "peer"));
        if (latency)
            printf(" %.3fms", (double)value_u64(row, "rtt_ns") / 1e6);
        if (direction)
            (void)fputs(value_bool(row, "inbound") ? " inbound" : " outbound", stdout);
        if (verbose) {
            (void)putchar(' ');
            print_escaped(stdout, value_text(row, "security"));
            (void)putchar(' ');
            print_escaped(stdout, value_text(row, "muxer"));
            printf(" %llu streams ", (unsigned long long)value_u64(row, "streams"));
            print_escaped(stdout, value_text(row, "agent"));
        }
        (void)putchar('\n');
    }
    uint64_t omitted = value_u64(result, "omitted");
    if (omitted > 0)
        (void)fprintf(stderr, "and %llu more, which are in v_connections of state.db\n", (unsigned long long)omitted);
}

static bool print_reach(const char *title, struct span result, const char *field)
{
    struct elements addrs = value_elements(result, field);
    struct span addr;
    if (addrs.left == 0)
        return false;
    printf("  %s:\n", title);
    while (elements_next(&addrs, &addr)) {
        (void)fputs("    ", stdout);
        print_escaped(stdout, element_text(addr));
        (void)putchar('\n');
    }
    return true;
}

void print_autonat(const struct invocation *in, struct span result)
{
    (void)in;
    (void)fputs("AutoNAT V1 Status:\n  Reachability: ", stdout);
    print_escaped(stdout, value_text(result, "reachability"));
    (void)fputs("\n\nPer-Address Reachability:\n", stdout);
    bool any = print_reach("Reachable", result, "reachable");
    any = print_reach("Unreachable", result, "unreachable") || any;
    any = print_reach("Unknown", result, "unknown") || any;
    if (!any)
        (void)puts("  (no address reachability data available)");
}
