/* SPDX-License-Identifier: MIT */
/* What `provide stat` and `provide clear` print. */
#include <time.h>

#include "cli/run.h"

enum { TIME_TEXT = 40 };

static void span_of_time(uint64_t ns, char to[TIME_TEXT])
{
    uint64_t s = ns / SECOND_NS;
    if (s < 60)
        (void)snprintf(to, TIME_TEXT, "%llus", (unsigned long long)s);
    else if (s < 3600)
        (void)snprintf(to, TIME_TEXT, "%llum%llus", (unsigned long long)(s / 60), (unsigned long long)(s % 60));
    else
        (void)snprintf(to, TIME_TEXT, "%lluh%llum", (unsigned long long)(s / 3600), (unsigned long long)(s / 60 % 60));
}

/* A time of the epoch as seen from now; 0 is never. */
static void print_when(const char *title, uint64_t at_ns)
{
    struct timespec now;
    char text[TIME_TEXT];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
    if (at_ns == 0) {
        printf("  %-24s never\n", title);
        return;
    }
    span_of_time(at_ns > now_ns ? at_ns - now_ns : now_ns - at_ns, text);
    printf(at_ns > now_ns ? "  %-24s in %s\n" : "  %-24s %s ago\n", title, text);
}

static void print_number(struct span result, const char *title, const char *name)
{
    printf("  %-24s %llu\n", title, (unsigned long long)value_u64(result, name));
}

static void print_span(struct span result, const char *title, const char *name)
{
    char text[TIME_TEXT];
    span_of_time(value_u64(result, name), text);
    printf("  %-24s %s\n", title, text);
}

void print_provide_stat(const struct invocation *in, struct span result)
{
    (void)in;
    struct span strategy = value_text(result, "strategy");
    if (!value_bool(result, "enabled")) {
        printf("Nothing is provided: Provide.Enabled, Provide.Strategy or Routing.Type says so.\n");
        return;
    }
    printf("Schedule:\n");
    printf("  %-24s %.*s\n", "Strategy:", (int)strategy.len, (const char *)strategy.data);
    print_span(result, "Interval:", "interval");
    print_number(result, "CIDs scheduled:", "cids");
    print_when("Oldest provide:", value_u64(result, "oldest_at"));
    print_when("Next region:", value_u64(result, "next_at"));
    print_span(result, "Lag:", "lag");
    if (value_bool(result, "eta_unknown"))
        printf("  %-24s unknown\n", "ETA:");
    else
        print_span(result, "ETA:", "eta");
    print_number(result, "Rounds lost:", "lost");
    printf("Queues:\n");
    print_number(result, "New roots:", "queued");
    print_number(result, "Given up:", "queue_failed");
    print_number(result, "Never provided yet:", "fresh");
    printf("Since the start:\n");
    print_number(result, "CIDs provided:", "provided");
    print_when("Last provide:", value_u64(result, "provided_at"));
    print_number(result, "Regions explored:", "regions");
    print_number(result, "Lookups:", "lookups");
    print_number(result, "Messages:", "messages");
    print_number(result, "Peers told at once:", "streams");
    printf("Network:\n");
    print_number(result, "Peers, estimated:", "network");
}

void print_cleared(const struct invocation *in, struct span result)
{
    if (!value_bool(buf_span(&in->args), "quiet"))
        printf("removed %llu items from provide queue\n", (unsigned long long)value_u64(result, "count"));
}
