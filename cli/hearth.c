/* SPDX-License-Identifier: MIT */
/*
 * hearth: the command. Everything that asks the node goes through the control socket; `daemon`, `init` and `config` are hearthd's.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/run.h"
#include "schemas/pack.h"

enum { ASK_MS = 30000, ARGS_WORDS = 64 };

/* ---- what hearthd does ---- */

static bool is_hearthd(int argc, char **argv)
{
    static const char *const words[] = {"daemon", "init", "config"};
    static const char *const with_value[] = {"--repo-dir", "--config-file", "--api",      "--timeout",
                                             "--enc",      "--encoding",    "--cid-base", "--ipns-base"};
    int i = 1;
    while (i < argc && argv[i][0] == '-') {
        bool value = false;
        for (size_t j = 0; j < ARRAY_LEN(with_value); j++)
            value = value || strcmp(argv[i], with_value[j]) == 0;
        i += value ? 2 : 1;
    }
    for (size_t j = 0; i < argc && j < ARRAY_LEN(words); j++) {
        if (strcmp(argv[i], words[j]) == 0)
            return true;
    }
    return false;
}

/* The hearthd beside this file, else the one in PATH. */
static int exec_hearthd(char **argv)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof("hearthd"));
    if (len > 0) {
        path[len] = '\0';
        char *slash = strrchr(path, '/');
        if (slash != NULL) {
            (void)snprintf(slash + 1, sizeof("hearthd"), "hearthd");
            (void)execv(path, argv);
        }
    }
    (void)execvp("hearthd", argv);
    return say_error("hearthd cannot be started: %s", strerror(errno));
}

/* ---- what the node does ---- */

/* Replaces the first positional argument of an operation by another one. */
static enum err with_positional(const struct invocation *in, const char *value, struct buf *to)
{
    struct walk walk = {.left = buf_span(&in->args)};
    struct walk_token map;
    const char *name = NULL;
    for (size_t i = 0; i < in->what->args.field_count && name == NULL; i++) {
        if (in->what->arguments[i].place == ARGUMENT_POSITIONAL)
            name = in->what->args.fields[i].name;
    }
    enum err err = walk_next(&walk, &map);
    if (err != ERR_OK || name == NULL)
        return ERR_INVALID;
    struct pack p = pack_begin(to);
    pack_map(&p, map.count);
    for (uint32_t i = 0; i < map.count && err == ERR_OK; i++) {
        struct span key;
        struct span old;
        err = walk_skip(&walk, &key);
        if (err == ERR_OK)
            err = walk_skip(&walk, &old);
        if (err != ERR_OK)
            break;
        pack_raw(&p, key);
        if (span_equal_text(element_text(key), name))
            pack_text(&p, value);
        else
            pack_raw(&p, old);
    }
    enum err packed = pack_end(&p);
    return err == ERR_OK ? packed : err;
}

/* Kubo's line for a pin under way. */
static void show_blocks(void *arg, uint64_t done)
{
    (void)arg;
    (void)fprintf(stderr, "Fetched/Processed %llu nodes\r", (unsigned long long)done);
}

static int ask_once(struct client *client, const struct invocation *in)
{
    struct outcome outcome;
    bool patient = in->what->id == OP_PIN_ADD || in->what->id == OP_PIN_UPDATE;
    uint64_t timeout = client_timeout(client, patient ? CLIENT_LONG_MS : ASK_MS);
    client_watch(client, value_bool(buf_span(&in->args), "progress") ? show_blocks : NULL, NULL);
    struct call *call = ask(client, in->what->words, buf_span(&in->args), timeout, in->what->mutates, &outcome);
    int status = outcome.code == CODE_OK ? print_result(in, outcome.result) : say_outcome_error(&outcome);
    call_free(call);
    return status;
}

/* `pin rm a b c` asks three times; the worst status is told. */
static int run_operation(struct client *client, const struct invocation *in)
{
    int status = ask_once(client, in);
    for (size_t i = 0; i < in->more_count; i++) {
        struct invocation next = *in;
        buf_init(&next.args, 64 * KIB, NULL);
        int one = EXIT_ERROR;
        if (with_positional(in, in->more[i], &next.args) == ERR_OK)
            one = ask_once(client, &next);
        status = MAX(status, one);
        buf_release(&next.args);
    }
    return status;
}

static int run_command(struct client *client, const struct invocation *in, const void *args)
{
    switch (in->what->id) {
#define COMMAND(upper, lower, ...)                                                                                     \
    case CMD_##upper:                                                                                                  \
        return run_##lower(client, in, args);
#define LOCAL_COMMAND(...)
#include "cli/commands.def"
    default:
        return EXIT_ERROR;
    }
}

static int run_asking(const struct invocation *in, const void *args)
{
    struct client *client = NULL;
    char why[512] = "";
    enum err err = client_open(&in->globals, &client, why);
    if (err != ERR_OK) {
        (void)say_error("%s", why[0] == '\0' ? err_text(err) : why);
        return err == ERR_UNAVAILABLE ? EXIT_NOT_RUNNING : EXIT_ERROR;
    }
    int status = in->is_command ? run_command(client, in, args) : run_operation(client, in);
    if (client_trace(client) != 0)
        (void)fprintf(stderr, "trace %u: `hearth trace %u` tells what was done\n", client_trace(client),
                      client_trace(client));
    client_close(client);
    return status;
}

static int run(const struct invocation *in, const void *args)
{
    switch (in->is_command ? in->what->id : CMD_COUNT) {
#define COMMAND(...)
#define LOCAL_COMMAND(upper, lower, ...)                                                                               \
    case CMD_##upper:                                                                                                  \
        return run_##lower(in, args);
#include "cli/commands.def"
    default:
        return run_asking(in, args);
    }
}

static int usage_error(const struct invocation *in, const char *why)
{
    (void)say_error("%s", why);
    (void)fprintf(stderr, "hearth%s%s --help says more\n", in->what != NULL ? " " : "",
                  in->what != NULL ? in->what->words : "");
    return EXIT_USAGE;
}

static int run_invocation(const struct invocation *in)
{
    uint64_t args[ARGS_WORDS];
    char why[256] = "";
    struct buf scratch;
    buf_init(&scratch, 64 * KIB, NULL);
    if (in->what->args.struct_bytes > sizeof(args))
        return EXIT_ERROR;
    enum err err = arguments_unpack(in->what, buf_span(&in->args), &scratch, args, why, sizeof(why));
    int status = err == ERR_OK ? run(in, args) : usage_error(in, why);
    buf_release(&scratch);
    return status;
}

/* The first word that is no flag, for help about a group and for errors. */
static const char *first_word(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' && strcmp(argv[i], "help") != 0)
            return argv[i];
    }
    return NULL;
}

/* A group by itself, as in `hearth swarm`, is a question about what is in it. */
static int unknown_command(const struct invocation *in, int argc, char **argv, const char *word)
{
    char why[128];
    const char *next = "";
    for (int i = 1; i + 1 < argc; i++)
        if (argv[i] == word && argv[i + 1][0] != '-')
            next = argv[i + 1];
    (void)snprintf(why, sizeof(why), "%.50s%s%.50s", word, next[0] == '\0' ? "" : " ", next);
    if (commands_group(why)) {
        commands_help(NULL, why);
        return EXIT_OK;
    }
    (void)snprintf(why, sizeof(why), "there is no command \"%.50s%s%.50s\"", word, next[0] == '\0' ? "" : " ", next);
    return usage_error(in, why);
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    if (is_hearthd(argc, argv))
        return exec_hearthd(argv);
    if (sodium_init() < 0)
        return say_error("libsodium cannot start");
    struct invocation in;
    enum err err = invocation_parse(argc - 1, argv + 1, &in);
    const char *word = first_word(argc, argv);
    int status = EXIT_OK;
    bool help = in.globals.help || word == NULL || (in.what != NULL && !in.is_command && in.what->id == OP_HELP);
    if (help && (err == ERR_OK || in.globals.help))
        commands_help(in.what != NULL && !(in.what->id == OP_HELP && !in.is_command) ? in.what : NULL,
                      in.what == NULL ? word : NULL);
    else if (err != ERR_OK)
        status = usage_error(&in, in.why);
    else if (in.what == NULL)
        status = unknown_command(&in, argc, argv, word);
    else
        status = run_invocation(&in);
    buf_release(&in.args);
    return status;
}
