/* SPDX-License-Identifier: MIT */
/* Commands that page through something or ask more than once: ls, repo verify, log level, query. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/run.h"
#include "schemas/pack.h"

enum { PAGE = 256 };

/* ---- ls ---- */

enum err pack_ls(struct buf *to, struct span path, uint64_t after, uint64_t limit)
{
    struct pack p = pack_begin(to);
    pack_map(&p, 3);
    pack_pair_span(&p, "path", path);
    pack_pair_u64(&p, "after", after);
    pack_pair_u64(&p, "limit", limit);
    return pack_end(&p);
}

static struct call *ask_ls(struct client *client, struct span path, uint64_t after, uint64_t limit,
                           struct outcome *ret_outcome)
{
    struct buf args;
    buf_init(&args, 8192, NULL);
    struct call *call = NULL;
    *ret_outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
    if (pack_ls(&args, path, after, limit) == ERR_OK)
        call = ask(client, "ls", buf_span(&args), client_timeout(client, CLIENT_LONG_MS), false, ret_outcome);
    buf_release(&args);
    return call;
}

static void print_entry(const struct invocation *in, const struct cmd_ls *args, struct span cid, struct span kind,
                        uint64_t size, struct span name)
{
    bool folder = span_equal_text(kind, "folder");
    print_cid(stdout, &in->globals, cid);
    if (args->size && folder)
        (void)fputs(" -", stdout);
    else if (args->size)
        printf(" %llu", (unsigned long long)size);
    (void)putchar(' ');
    print_escaped(stdout, name);
    (void)puts(folder ? "/" : "");
}

/* Kubo's form: the numbers are UnixFS's kinds of nodes. */
static void print_json_entry(const struct invocation *in, struct span cid, struct span kind, uint64_t size,
                             struct span name, bool first)
{
    bool folder = span_equal_text(kind, "folder");
    int type = folder ? 1 : span_equal_text(kind, "symlink") ? 4 : 2;
    printf("%s{\"Name\":", first ? "" : ",");
    print_json_text(name);
    (void)fputs(",\"Hash\":\"", stdout);
    print_cid(stdout, &in->globals, cid);
    printf("\",\"Size\":%llu,\"Type\":%d,\"Target\":\"\"}", (unsigned long long)(folder ? 0 : size), type);
}

/* Entries whose kind a CID does not tell are asked for one by one. */
static int list_entry(struct client *client, const struct invocation *in, const struct cmd_ls *args, struct span row,
                      bool first)
{
    struct span cid = value_text(row, "cid");
    struct span name = value_text(row, "name");
    struct span kind = value_text(row, "kind");
    uint64_t size = value_u64(row, "size");
    struct call *call = NULL;
    if (span_equal_text(kind, "unknown")) {
        struct outcome outcome;
        call = ask_ls(client, cid, 0, 1, &outcome);
        if (outcome.code != CODE_OK) {
            int status = say_outcome_error(&outcome);
            call_free(call);
            return status;
        }
        kind = value_text(outcome.result, "kind");
        size = value_u64(outcome.result, "size");
    }
    if (in->globals.json)
        print_json_entry(in, cid, kind, size, name, first);
    else
        print_entry(in, args, cid, kind, size, name);
    call_free(call);
    return EXIT_OK;
}

static int list_folder(struct client *client, const struct invocation *in, const struct cmd_ls *args, struct span path)
{
    uint64_t after = 0;
    bool first = true;
    int status = EXIT_OK;
    for (bool more = true; more && status == EXIT_OK;) {
        struct outcome outcome;
        struct call *call = ask_ls(client, path, after, PAGE, &outcome);
        more = outcome.code == CODE_OK && value_bool(outcome.result, "more");
        if (outcome.code != CODE_OK) {
            status = say_outcome_error(&outcome);
        } else {
            struct elements rows = value_elements(outcome.result, "entries");
            struct span row;
            for (; status == EXIT_OK && elements_next(&rows, &row); first = false)
                status = list_entry(client, in, args, row, first);
        }
        after = outcome.code == CODE_OK ? value_u64(outcome.result, "next") : after;
        call_free(call);
    }
    return status;
}

static void begin_path(const struct invocation *in, const struct cmd_ls *args, struct span path, bool first)
{
    if (in->globals.json) {
        (void)fputs(first ? "{\"Hash\":" : ",{\"Hash\":", stdout);
        print_json_text(path);
        (void)fputs(",\"Links\":[", stdout);
    } else if (args->path.count > 1) {
        print_escaped(stdout, path);
        (void)puts(":");
    }
    if (args->headers && !in->globals.json)
        (void)puts("Hash Size Name");
}

static void end_path(const struct invocation *in, const struct cmd_ls *args)
{
    if (in->globals.json)
        (void)fputs("]}", stdout);
    else if (args->path.count > 1)
        (void)putchar('\n');
}

int run_ls(struct client *client, const struct invocation *in, const struct cmd_ls *args)
{
    size_t position = 0;
    struct span path;
    int status = EXIT_OK;
    bool first = true;
    (void)fputs(in->globals.json ? "{\"Objects\":[" : "", stdout);
    for (; status == EXIT_OK && schema_list_next_bytes(&args->path, &position, &path); first = false) {
        char resolved[PATH_TEXT_MAX];
        begin_path(in, args, path, first);
        status = resolve_name(client, resolved, &path);
        if (status == EXIT_OK)
            status = list_folder(client, in, args, path);
        end_path(in, args);
    }
    (void)fputs(in->globals.json ? "]}\n" : "", stdout);
    return status;
}

/* ---- pages by a cursor ---- */

struct call *ask_after(struct client *client, const char *op, const char *after, struct outcome *ret_outcome)
{
    struct buf args;
    buf_init(&args, 1024, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 1);
    pack_pair_text(&p, "after", after);
    struct call *call = NULL;
    *ret_outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
    if (pack_end(&p) == ERR_OK)
        call = ask(client, op, buf_span(&args), client_timeout(client, CLIENT_LONG_MS), false, ret_outcome);
    buf_release(&args);
    return call;
}

/* ---- log level ---- */

/* Kubo's `log level all debug` too: there is one level, of all parts. */
int run_log_level(struct client *client, const struct invocation *in, const struct cmd_log_level *args)
{
    struct invocation shown = {.what = &operations[OP_LOG_LEVEL], .globals = in->globals};
    struct span level = {0};
    size_t position = 0;
    bool there = schema_list_next_bytes(&args->level, &position, &level);
    if (there && args->level.count > 1) {
        if (!span_equal_text(level, "all") && !span_equal_text(level, "*"))
            return say_error("%.*s: there is one level, of all parts: name them by \"all\"",
                             (int)MIN(level.len, (size_t)60), (const char *)level.data);
        there = schema_list_next_bytes(&args->level, &position, &level);
    }
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    struct call *call = NULL;
    struct buf packed;
    buf_init(&packed, 8192, NULL);
    struct pack p = pack_begin(&packed);
    pack_map(&p, 1);
    pack_pair_span(&p, "level", level);
    if (pack_end(&p) == ERR_OK && there)
        call = ask(client, "log level", buf_span(&packed), client_timeout(client, 30000), true, &outcome);
    buf_release(&packed);
    int status = outcome.code == CODE_OK ? print_result(&shown, outcome.result) : say_outcome_error(&outcome);
    call_free(call);
    return status;
}

/* ---- query, top ---- */

int run_query(struct client *client, const struct invocation *in, const struct cmd_query *args)
{
    (void)in;
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    struct buf request;
    buf_init(&request, REQUEST_BYTES_MAX, NULL);
    bool json = args->request.data[0] == '{';
    enum err err =
        json ? buf_append_span(&request, args->request)
             : buf_appendf(&request, "{\"op\":\"%.*s\"}", (int)args->request.len, (const char *)args->request.data);
    struct call *call = NULL;
    if (err == ERR_OK)
        call = call_start_raw(client, buf_span(&request), client_timeout(client, CLIENT_LONG_MS));
    if (call != NULL)
        call_wait(call, &outcome);
    int status = EXIT_OK;
    if (outcome.code != CODE_OK) {
        status = say_outcome_error(&outcome);
    } else {
        (void)fwrite(outcome.raw.data, 1, outcome.raw.len, stdout);
        (void)putchar('\n');
        status = memmem(outcome.raw.data, outcome.raw.len, "\"ok\":true", 9) != NULL ? EXIT_OK : EXIT_ERROR;
    }
    call_free(call);
    buf_release(&request);
    return status;
}
