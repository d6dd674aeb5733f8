/* SPDX-License-Identifier: MIT */
/* The text form of `why`: a line for each thing that is known. */
#include <time.h>

#include "cli/output.h"

static void print_time(uint64_t at_ns)
{
    time_t seconds = (time_t)(at_ns / SECOND_NS);
    struct tm utc;
    char text[40] = "";
    if (gmtime_r(&seconds, &utc) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
    (void)fputs(text, stdout);
}

static unsigned long long number(struct span result, const char *key)
{
    return value_u64(result, key);
}

static void print_stored(struct span result)
{
    struct span tier = value_text(result, "tier");
    (void)fputs("stored:       ", stdout);
    if (!value_bool(result, "stored")) {
        (void)puts("no");
    } else {
        printf("yes, %llu bytes, in ", number(result, "size"));
        print_escaped(stdout, tier);
        if (value_has(result, "segment"))
            printf("; segment %016llx.seg, offset %llu", number(result, "segment"), number(result, "offset"));
        (void)putchar('\n');
    }
    if (!value_has(result, "quarantine"))
        return;
    (void)fputs("quarantine:   ", stdout);
    print_escaped(stdout, value_text(result, "quarantine"));
    (void)fputs(", since ", stdout);
    print_time(value_u64(result, "quarantined_at"));
    (void)putchar('\n');
}

static void print_kept(const struct invocation *in, struct span result)
{
    struct elements pins = value_elements(result, "pins");
    struct span pin;
    bool any = false;
    for (; elements_next(&pins, &pin); any = true) {
        struct span name = value_text(pin, "name");
        (void)fputs("pinned:       ", stdout);
        print_escaped(stdout, value_text(pin, "kind"));
        (void)fputs(", ", stdout);
        print_cid(stdout, &in->globals, value_text(pin, "cid"));
        (void)fputs(name.len > 0 ? ", " : "", stdout);
        print_escaped(stdout, name);
        (void)putchar('\n');
    }
    if (!any)
        (void)puts("pinned:       not itself");
    printf("held:         %llu times, by recursive pins of it and by links of held blocks%s\n", number(result, "held"),
           value_bool(result, "counting") ? "; that is being counted" : "");
}

static void print_asked(struct span result)
{
    struct elements peers = value_elements(result, "wanted_by");
    struct span peer;
    bool any = value_bool(result, "wanted_by_us");
    printf("wanted now:   %s", any ? "by this node" : "");
    for (; elements_next(&peers, &peer); any = true) {
        (void)fputs(any ? ", " : "", stdout);
        print_escaped(stdout, element_text(peer));
    }
    (void)puts(!any ? "by nobody" : value_bool(result, "wanted_by_more") ? ", and others" : "");
    printf("asked for:    by peers %llu times", number(result, "asked"));
    if (value_has(result, "last_asked_at")) {
        (void)fputs(", last at ", stdout);
        print_time(value_u64(result, "last_asked_at"));
        (void)fputs(" by ", stdout);
        print_escaped(stdout, value_text(result, "last_asked_by"));
    }
    printf("\nused:         %llu times", number(result, "accesses"));
    if (value_has(result, "last_used_at")) {
        (void)fputs(", last at ", stdout);
        print_time(value_u64(result, "last_used_at"));
    }
    (void)putchar('\n');
}

static void print_reach(struct span result)
{
    struct elements addresses = value_elements(result, "addresses");
    struct elements silent = value_elements(result, "silent");
    struct span text;
    (void)fputs("provided:     ", stdout);
    print_escaped(stdout, value_text(result, "provided"));
    printf("\nconnections:  %llu\n", number(result, "connections"));
    while (elements_next(&addresses, &text)) {
        (void)fputs("reachable at: ", stdout);
        print_escaped(stdout, element_text(text));
        (void)putchar('\n');
    }
    while (elements_next(&silent, &text)) {
        (void)fputs("no answer of: ", stdout);
        print_escaped(stdout, element_text(text));
        (void)putchar('\n');
    }
}

void print_why(const struct invocation *in, struct span result)
{
    print_cid(stdout, &in->globals, value_text(result, "cid"));
    (void)putchar('\n');
    print_stored(result);
    print_kept(in, result);
    print_asked(result);
    print_reach(result);
}
