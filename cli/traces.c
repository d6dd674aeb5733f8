/* SPDX-License-Identifier: MIT */
/* Text form of `trace`: a tree of what the request caused, with times from its beginning. */
#include "cli/output.h"

static double ms(struct span hop, const char *key)
{
    return (double)value_u64(hop, key) / 1e3;
}

static void print_between(struct span hop, const char *word, const char *from, const char *to)
{
    if (value_has(hop, from) && value_has(hop, to) && value_u64(hop, to) >= value_u64(hop, from))
        printf(", %s %.3f", word, ms(hop, to) - ms(hop, from));
}

static void print_names(struct span hop)
{
    struct span what = value_text(hop, "what");
    bool call = span_equal_text(what, "call");
    if (call || span_equal_text(what, "cast")) {
        print_escaped(stdout, value_text(hop, "from"));
        (void)fputs(call ? " -> " : " => ", stdout);
    }
    print_escaped(stdout, value_text(hop, "to"));
    (void)fputs(span_equal_text(what, "job") ? ", job of lane " : ": ", stdout);
    print_escaped(stdout, value_text(hop, "name"));
}

static void print_end(struct span hop)
{
    bool cast = span_equal_text(value_text(hop, "what"), "cast");
    if (value_has(hop, "code")) {
        (void)fputs("  ", stdout);
        print_escaped(stdout, value_text(hop, "code"));
        print_between(hop, "in", "sent_us", "ended_us");
    } else if (!cast || !value_has(hop, "handled_us")) {
        (void)fputs(cast ? "  on its way" : "  not ended", stdout);
    } else {
        (void)fputs("  told", stdout);
    }
    if (value_bool(hop, "dropped"))
        (void)fputs(", dropped unread", stdout);
    print_between(hop, "waited", "sent_us", "received_us");
    print_between(hop, "handled in", "received_us", "handled_us");
    if (value_has(hop, "sent_us") && value_has(hop, "deadline_us"))
        printf(", had %.1f s", (ms(hop, "deadline_us") - ms(hop, "sent_us")) / 1e3);
}

void print_trace(const struct invocation *in, struct span result)
{
    (void)in;
    struct elements hops = value_elements(result, "hops");
    struct span hop;
    printf("trace %llu, began ", (unsigned long long)value_u64(result, "trace"));
    print_time(value_u64(result, "began_at"));
    (void)puts("; milliseconds");
    while (elements_next(&hops, &hop)) {
        unsigned depth = (unsigned)MIN(value_u64(hop, "depth"), UINT64_C(40));
        const char *first = value_has(hop, "sent_us")       ? "sent_us"
                            : value_has(hop, "received_us") ? "received_us"
                                                            : "ended_us";
        printf("%+12.3f  %*s", ms(hop, first), (int)depth * 2, "");
        print_names(hop);
        print_end(hop);
        (void)putchar('\n');
    }
    if (!value_bool(result, "whole"))
        (void)puts("a part is missing: later requests have overwritten it, or there was too much of it");
}
