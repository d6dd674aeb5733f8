/* SPDX-License-Identifier: MIT */
/* pin ls, pin verify, repo gc: pages by a cursor, in the words of Kubo. */
#include <stdio.h>

#include "cli/run.h"
#include "schemas/pack.h"

enum { CURSOR_MAX = 512 };

static void keep_cursor(char to[CURSOR_MAX], struct span next)
{
    (void)snprintf(to, CURSOR_MAX, "%.*s", (int)next.len, (const char *)next.data);
}

/* Asks {after, flag: true}; an empty cursor and a NULL flag are left out. */
static struct call *ask_flagged(struct client *client, const char *op, const char *after, const char *flag,
                                bool mutates, struct outcome *ret_outcome)
{
    struct buf args;
    buf_init(&args, CURSOR_MAX + 256, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, (after[0] != '\0') + (flag != NULL));
    if (after[0] != '\0')
        pack_pair_text(&p, "after", after);
    if (flag != NULL)
        pack_pair_bool(&p, flag, true);
    struct call *call = NULL;
    *ret_outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
    if (pack_end(&p) == ERR_OK)
        call = ask(client, op, buf_span(&args), client_timeout(client, CLIENT_LONG_MS), mutates, ret_outcome);
    buf_release(&args);
    return call;
}

/* ---- pin ls ---- */

static bool type_wanted(const struct cmd_pin_ls *args, const char *type)
{
    return span_equal_text(args->type, "all") || span_equal_text(args->type, type);
}

static void print_pin(const struct invocation *in, const struct cmd_pin_ls *args, struct span cid, const char *type,
                      struct span name)
{
    print_cid(stdout, &in->globals, cid);
    if (!args->quiet)
        printf(" %s", type);
    if (args->names && name.len > 0) {
        (void)putchar(' ');
        print_escaped(stdout, name);
    }
    (void)putchar('\n');
}

/* One listing, of the pins or of what they reach; *shown grows by the rows. Without printing it counts. */
static int list_pins(struct client *client, const struct invocation *in, const struct cmd_pin_ls *args, bool indirect,
                     uint64_t *shown)
{
    char after[CURSOR_MAX] = "";
    bool counting = false;
    for (bool more = true; more;) {
        struct outcome outcome;
        struct call *call = ask_flagged(client, "pin ls", after, indirect ? "indirect" : NULL, false, &outcome);
        if (outcome.code != CODE_OK) {
            int status = say_outcome_error(&outcome);
            call_free(call);
            return status;
        }
        struct elements rows = value_elements(outcome.result, "pins");
        struct span row;
        counting |= indirect && value_bool(outcome.result, "counting");
        if (in->globals.json && !args->count)
            print_json(outcome.result);
        while (elements_next(&rows, &row)) {
            const char *type = indirect ? "indirect" : value_bool(row, "recursive") ? "recursive" : "direct";
            if (!type_wanted(args, type))
                continue;
            (*shown)++;
            if (!in->globals.json && !args->count)
                print_pin(in, args, value_text(row, "cid"), type, value_text(row, "name"));
        }
        keep_cursor(after, value_text(outcome.result, "next"));
        more = value_bool(outcome.result, "more") && after[0] != '\0';
        call_free(call);
    }
    if (counting)
        (void)fputs("what the pins reach is still being counted: indirect ones may be missing\n", stderr);
    return EXIT_OK;
}

/* How many pins there are is known without looking at them. */
static int count_pins(struct client *client, const struct cmd_pin_ls *args)
{
    struct outcome outcome;
    struct call *call =
        ask(client, "repo stat", (struct span){0}, client_timeout(client, CLIENT_LONG_MS), false, &outcome);
    int status = EXIT_OK;
    uint64_t recursive = value_u64(outcome.result, "recursive_pins");
    uint64_t count = type_wanted(args, "recursive") ? recursive : 0;
    if (outcome.code != CODE_OK)
        status = say_outcome_error(&outcome);
    else if (type_wanted(args, "direct"))
        count += value_u64(outcome.result, "pins") - recursive;
    call_free(call);
    if (status == EXIT_OK)
        printf("%llu\n", (unsigned long long)count);
    return status;
}

static int show_one(struct client *client, const struct invocation *in, const struct cmd_pin_ls *args, struct span path)
{
    static const char *const types[] = {"recursive", "direct", "indirect"};
    struct outcome outcome;
    struct call *call = ask_path(client, "pin find", "path", path, &outcome);
    int status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
    bool pinned = false;
    if (status == EXIT_OK && in->globals.json)
        print_json(outcome.result);
    for (size_t i = 0; status == EXIT_OK && i < ARRAY_LEN(types) && !pinned; i++) {
        pinned = value_bool(outcome.result, types[i]) && type_wanted(args, types[i]);
        if (pinned && !in->globals.json)
            print_pin(in, args, path, types[i], value_text(outcome.result, "name"));
    }
    if (status == EXIT_OK && !pinned) {
        (void)say_error("path '%.*s' is not pinned%s", (int)MIN(path.len, (size_t)200), (const char *)path.data,
                        value_bool(outcome.result, "counting") ? ", as far as is counted yet" : "");
        status = EXIT_NOT_FOUND;
    }
    call_free(call);
    return status;
}

int run_pin_ls(struct client *client, const struct invocation *in, const struct cmd_pin_ls *args)
{
    int status = EXIT_OK;
    size_t position = 0;
    uint64_t shown = 0;
    struct span path;
    bool known = type_wanted(args, "recursive") || type_wanted(args, "direct") || type_wanted(args, "indirect");
    if (!known) {
        (void)say_error("--type is all, recursive, direct or indirect");
        return EXIT_USAGE;
    }
    while (schema_list_next_bytes(&args->path, &position, &path)) {
        int one = show_one(client, in, args, path);
        status = MAX(status, one);
    }
    if (args->path.count > 0)
        return status;
    bool indirect = args->count ? span_equal_text(args->type, "indirect") : type_wanted(args, "indirect");
    if (args->count && !indirect)
        return count_pins(client, args);
    if (!args->count && (type_wanted(args, "recursive") || type_wanted(args, "direct")))
        status = list_pins(client, in, args, false, &shown);
    if (status == EXIT_OK && indirect)
        status = list_pins(client, in, args, true, &shown);
    if (status == EXIT_OK && args->count)
        printf("%llu\n", (unsigned long long)shown);
    return status;
}

/* ---- pin verify ---- */

static void print_verified(const struct invocation *in, const struct cmd_pin_verify *args, struct span result)
{
    bool ok = value_bool(result, "ok");
    struct elements rows = value_elements(result, "missing");
    struct span row;
    if (ok && !args->verbose)
        return;
    print_cid(stdout, &in->globals, value_text(result, "cid"));
    if (args->quiet) {
        (void)putchar('\n');
        return;
    }
    (void)puts(ok ? " ok" : " broken");
    while (!ok && elements_next(&rows, &row)) {
        (void)fputs("  ", stdout);
        print_cid(stdout, &in->globals, element_text(row));
        (void)puts(": block is not stored");
    }
    uint64_t missing = value_u64(result, "missing_count");
    if (missing > value_elements(result, "missing").left)
        printf("  and %llu more\n", (unsigned long long)(missing - value_elements(result, "missing").left));
}

static int verify_pins(struct client *client, const struct invocation *in, const struct cmd_pin_verify *args,
                       uint64_t *broken)
{
    char after[CURSOR_MAX] = "";
    struct progress progress;
    progress_begin(&progress, "blocks of pins", 0, true);
    int status = EXIT_OK;
    for (bool more = true; more && status == EXIT_OK;) {
        struct outcome outcome;
        struct call *call = ask_flagged(client, "pin verify", after, NULL, false, &outcome);
        struct span cid = value_text(outcome.result, "cid");
        more = outcome.code == CODE_OK && cid.len > 0;
        if (outcome.code != CODE_OK) {
            status = say_outcome_error(&outcome);
        } else if (more && in->globals.json) {
            print_json(outcome.result);
        } else if (more) {
            print_verified(in, args, outcome.result);
        }
        *broken += more && !value_bool(outcome.result, "ok");
        progress_add(&progress, value_u64(outcome.result, "blocks"));
        keep_cursor(after, value_text(outcome.result, "next"));
        call_free(call);
    }
    progress_end(&progress);
    return status;
}

int run_pin_verify(struct client *client, const struct invocation *in, const struct cmd_pin_verify *args)
{
    uint64_t broken = 0;
    int status = verify_pins(client, in, args, &broken);
    if (status != EXIT_OK || broken == 0)
        return status;
    return say_error("%llu pins are incomplete: `hearth pin add` fetches what is missing", (unsigned long long)broken);
}

/* ---- repo gc ---- */

int run_repo_gc(struct client *client, const struct invocation *in, const struct cmd_repo_gc *args)
{
    char after[CURSOR_MAX] = "";
    const char *before = args->quiet ? "" : args->dry_run ? "would remove " : "removed ";
    for (bool more = true; more;) {
        struct outcome outcome;
        struct call *call =
            ask_flagged(client, "repo gc", after, args->dry_run ? "dry_run" : NULL, !args->dry_run, &outcome);
        if (outcome.code != CODE_OK) {
            int status = say_outcome_error(&outcome);
            call_free(call);
            return status;
        }
        struct elements rows = value_elements(outcome.result, "removed");
        struct span row;
        if (in->globals.json)
            print_json(outcome.result);
        while (!in->globals.json && !args->silent && elements_next(&rows, &row)) {
            (void)fputs(before, stdout);
            print_cid(stdout, &in->globals, element_text(row));
            (void)putchar('\n');
        }
        keep_cursor(after, value_text(outcome.result, "next"));
        more = after[0] != '\0';
        call_free(call);
    }
    return fflush(stdout) == 0 ? EXIT_OK : say_error("standard output cannot be written");
}
