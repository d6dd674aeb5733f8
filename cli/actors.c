/* SPDX-License-Identifier: MIT */
/* `actors`, `actors tree|stop|start|restart` and `top`. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/run.h"

enum { TOP_SECONDS = 1, ROWS_MAX = 128, NAME_WIDTH = 26 };

static void print_padded(struct span text, int width)
{
    printf("%-*.*s", width, (int)text.len, (const char *)text.data);
}

void print_actors(const struct invocation *in, struct span result)
{
    (void)in;
    struct elements rows = value_elements(result, "actors");
    struct span row;
    printf("%-20s %-11s %5s %8s %8s %9s %8s  %s\n", "NAME", "STATE", "EPOCH", "RESTARTS", "MAILBOX", "BYTES", "REFUSED",
           "LAST EXIT");
    while (elements_next(&rows, &row)) {
        struct span name = value_text(row, "name");
        struct span state = value_text(row, "state");
        printf("%-20.*s %-11.*s %5llu %8llu %8llu %9llu %8llu  ", (int)name.len, (const char *)name.data,
               (int)state.len, (const char *)state.data, (unsigned long long)value_u64(row, "epoch"),
               (unsigned long long)value_u64(row, "restarts"), (unsigned long long)value_u64(row, "mailbox_records"),
               (unsigned long long)value_u64(row, "mailbox_bytes"), (unsigned long long)value_u64(row, "refused"));
        print_escaped(stdout, value_text(row, "last_exit_reason"));
        (void)putchar('\n');
    }
}

/* ---- the tree ---- */

static bool is_supervisor(struct span row)
{
    return span_equal_text(value_text(row, "type"), "supervisor");
}

static void print_branch(struct span row)
{
    int indent = (int)MIN(value_u64(row, "depth"), (uint64_t)8) * 2;
    printf("%*s", indent, "");
    print_padded(value_text(row, "name"), NAME_WIDTH - indent);
    (void)putchar(' ');
    print_padded(value_text(row, "state"), 11);
}

/* Why it is not as it should be: when it is tried again, how and why its last life ended. */
static void print_reason(struct span row)
{
    uint64_t next_ms = value_u64(row, "next_start_ms");
    struct span last = value_text(row, "last_exit_reason");
    struct span reason = value_text(row, "reason");
    if (span_equal_text(value_text(row, "state"), "restarting"))
        printf("next try in %.1f s; ", (double)next_ms / 1000);
    print_escaped(stdout, last);
    if (reason.len > 0)
        (void)fputs(last.len > 0 ? ": " : "", stdout);
    print_escaped(stdout, reason);
    (void)putchar('\n');
}

/* "rest_for_one, 2 of 10 restarts in 60 s" */
static void print_strategy(struct span row)
{
    struct span strategy = value_text(row, "strategy");
    printf("  %.*s, %llu of %llu restarts in %llu s\n", (int)strategy.len, (const char *)strategy.data,
           (unsigned long long)value_u64(row, "recent_restarts"), (unsigned long long)value_u64(row, "intensity"),
           (unsigned long long)value_u64(row, "period_ms") / 1000);
}

void print_tree(const struct invocation *in, struct span result)
{
    (void)in;
    struct elements rows = value_elements(result, "tree");
    struct span row;
    while (elements_next(&rows, &row)) {
        print_branch(row);
        if (is_supervisor(row)) {
            print_strategy(row);
            continue;
        }
        (void)fputs("  ", stdout);
        print_padded(value_text(row, "restart"), 9);
        printf("  epoch %llu, %llu restarts  ", (unsigned long long)value_u64(row, "epoch"),
               (unsigned long long)value_u64(row, "restarts"));
        print_reason(row);
    }
}

void print_ordered(const struct invocation *in, struct span result)
{
    (void)in;
    struct elements callers = value_elements(result, "callers");
    struct span caller;
    print_escaped(stdout, value_text(result, "name"));
    (void)fputs(" is ", stdout);
    print_escaped(stdout, value_text(result, "state"));
    for (const char *before = "; calls fail at once of "; elements_next(&callers, &caller); before = ", ") {
        (void)fputs(before, stdout);
        print_escaped(stdout, element_text(caller));
    }
    (void)putchar('\n');
}

/* ---- top ---- */

/* What is compared with the second before. */
struct sample {
    uint64_t at_ns;
    uint32_t count;
    struct sample_row {
        char name[65];
        uint64_t messages;
        uint64_t cpu_ns;
    } rows[ROWS_MAX];
};

static const struct sample_row *find_sample(const struct sample *before, struct span name)
{
    for (uint32_t i = 0; i < before->count; i++) {
        if (span_equal_text(name, before->rows[i].name))
            return &before->rows[i];
    }
    return NULL;
}

static void note_sample(struct sample *now, struct span row)
{
    struct span name = value_text(row, "name");
    if (now->count == ROWS_MAX)
        return;
    struct sample_row *to = &now->rows[now->count++];
    memcpy(to->name, name.data, MIN(name.len, sizeof(to->name) - 1));
    to->messages = value_u64(row, "messages");
    to->cpu_ns = value_u64(row, "cpu_ns");
}

/* Messages and CPU since the second before; at first what the node says of the last 10 to 20 s. */
static void print_rates(struct span row, const struct sample *before, uint64_t at_ns)
{
    const struct sample_row *old = find_sample(before, value_text(row, "name"));
    double messages = value_f64(row, "messages_per_s");
    char cpu[16] = "-";
    uint64_t now_messages = value_u64(row, "messages");
    uint64_t cpu_ns = value_u64(row, "cpu_ns");
    if (old != NULL && at_ns > before->at_ns && now_messages >= old->messages && cpu_ns >= old->cpu_ns) {
        double span_s = (double)(at_ns - before->at_ns) / 1e9;
        messages = (double)(now_messages - old->messages) / span_s;
        (void)snprintf(cpu, sizeof(cpu), "%.1f", (double)(cpu_ns - old->cpu_ns) / 1e7 / span_s);
    }
    printf(" %8.0f %8.0f %8.0f %6s %8.2f  ", messages, (double)value_u64(row, "p50_ns") / 1e3,
           (double)value_u64(row, "p99_ns") / 1e3, cpu, (double)cpu_ns / 1e9);
}

static void print_top(struct span result, const struct sample *before, struct sample *now)
{
    struct elements rows = value_elements(result, "tree");
    struct span row;
    *now = (struct sample){.at_ns = value_u64(result, "at")};
    printf("%-*s %-11s %5s %8s %7s %8s %8s %8s %8s %6s %8s  %s\n", NAME_WIDTH, "NAME", "STATE", "EPOCH", "RESTARTS",
           "MAILBOX", "BYTES", "MSG/S", "P50 us", "P99 us", "CPU %", "CPU s", "LAST REASON");
    while (elements_next(&rows, &row)) {
        print_branch(row);
        if (!value_has(row, "epoch")) {
            print_strategy(row);
            continue;
        }
        printf(" %5llu %8llu %7llu %8llu", (unsigned long long)value_u64(row, "epoch"),
               (unsigned long long)value_u64(row, "restarts"), (unsigned long long)value_u64(row, "mailbox_records"),
               (unsigned long long)value_u64(row, "mailbox_bytes"));
        print_rates(row, before, now->at_ns);
        print_reason(row);
        note_sample(now, row);
    }
}

int run_top(struct client *client, const struct invocation *in, const struct cmd_top *args)
{
    bool terminal = isatty(STDOUT_FILENO) == 1 && !in->globals.json;
    uint64_t times = args->once ? 1 : args->times != 0 ? args->times : terminal ? UINT64_MAX : 1;
    int status = EXIT_OK;
    struct sample *samples = calloc(2, sizeof(*samples));
    if (samples == NULL)
        return say_error("out of memory");
    for (uint64_t i = 0; i < times && status == EXIT_OK; i++) {
        if (i > 0)
            (void)sleep(TOP_SECONDS);
        struct outcome outcome;
        struct call *call = ask(client, "actors tree", (struct span){0}, client_timeout(client, 5000), false, &outcome);
        if (outcome.code != CODE_OK) {
            status = say_outcome_error(&outcome);
        } else if (in->globals.json) {
            print_json(outcome.result);
        } else {
            if (terminal && !args->once)
                (void)fputs("\033[H\033[2J", stdout);
            print_top(outcome.result, &samples[i % 2], &samples[1 - i % 2]);
        }
        (void)fflush(stdout);
        call_free(call);
    }
    free(samples);
    return status;
}
