/* SPDX-License-Identifier: MIT */
/*
 * hearthd: the daemon and the commands that need the repository itself rather than a running daemon. People call it through `hearth`.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/daemon.h"
#include "cli/name_servers.h"
#include "cli/repository.h"
#include "mailbox/nanny.h"
#include "wire/keys.h"

enum { EXIT_USAGE = 2 };

static const char usage[] = "usage: hearthd daemon [--repo-dir DIR] [--config-file FILE] [--init-profile NAMES] "
                            "[--backend inproc|ipc] [--offline] [--no-serve] [--no-provide] [--chaos] [-D]\n"
                            "       hearthd init [--repo-dir DIR] [--profile NAMES]\n"
                            "       hearthd config show|check|diff [--repo-dir DIR] [--config-file FILE]\n";

struct arguments {
    struct daemon_options daemon;
    const char *words[4];
    size_t word_count;
    bool no_nanny;
    bool help;
};

static int usage_error(const char *why, const char *what)
{
    (void)fprintf(stderr, "Error: %s%s%s\n%s", why, what[0] == '\0' ? "" : ": ", what, usage);
    return EXIT_USAGE;
}

/* Returns 0, or the exit code of a usage error. */
static int parse(int argc, char **argv, struct arguments *ret_arguments)
{
    static const struct option options[] = {
        {"repo-dir", required_argument, NULL, 'r'}, {"config-file", required_argument, NULL, 'c'},
        {"profile", required_argument, NULL, 'p'},  {"init-profile", required_argument, NULL, 'p'},
        {"backend", required_argument, NULL, 'b'},  {"offline", no_argument, NULL, 'o'},
        {"debug", no_argument, NULL, 'D'},          {"no-nanny", no_argument, NULL, 'n'},
        {"no-serve", no_argument, NULL, 's'},       {"no-provide", no_argument, NULL, 'v'},
        {"chaos", no_argument, NULL, 'C'},          {"help", no_argument, NULL, 'h'},
        {"actor", required_argument, NULL, 'a'},    {NULL, 0, NULL, 0},
    };
    struct arguments a = {0};
    int option;
    while ((option = getopt_long(argc, argv, "Dhp:c:", options, NULL)) != -1) {
        switch (option) {
        case 'r':
            a.daemon.repo_dir = optarg;
            break;
        case 'c':
            a.daemon.config_file = optarg;
            break;
        case 'p':
            a.daemon.profiles = optarg;
            break;
        case 'b':
            a.daemon.processes = strcmp(optarg, "ipc") == 0;
            if (!a.daemon.processes && strcmp(optarg, "inproc") != 0)
                return usage_error("the backends are inproc and ipc, not", optarg);
            break;
        case 'a': /* for the daemon's own use */
            a.daemon.place = optarg;
            break;
        case 'o':
            a.daemon.offline = true;
            break;
        case 's':
            a.daemon.no_serve = true;
            break;
        case 'v':
            a.daemon.no_provide = true;
            break;
        case 'C':
            a.daemon.chaos = true;
            break;
        case 'D':
            a.daemon.debug = true;
            break;
        case 'n':
            a.no_nanny = true;
            break;
        case 'h':
            a.help = true;
            break;
        default:
            (void)fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    for (; optind < argc; optind++) {
        if (a.word_count == ARRAY_LEN(a.words))
            return usage_error("too many arguments", argv[optind]);
        a.words[a.word_count++] = argv[optind];
    }
    *ret_arguments = a;
    return 0;
}

static int fail(const char *why)
{
    (void)fprintf(stderr, "Error: %s\n", why);
    return EXIT_FAILURE;
}

/* The first life says what is wrong to whoever started it. What keeps a later one from starting may pass. */
static int run_life(void *arg, const struct nanny_life *life)
{
    int code = daemon_run(arg, life);
    return code == DAEMON_EXIT_FAILED && life->number > 0 ? DAEMON_EXIT_AGAIN : code;
}

static void log_nanny(void *arg, const char *text)
{
    (void)arg;
    (void)fprintf(stderr, "nanny: %s\n", text);
}

static int run_daemon(struct arguments *a)
{
    static const int final[] = {DAEMON_EXIT_FAILED, DAEMON_EXIT_HELD};
    if (a->daemon.place != NULL)
        return daemon_play(&a->daemon);
    if (a->no_nanny)
        return daemon_run_alone(&a->daemon);
    const struct nanny_config config = {
        .daemon = run_life, .arg = &a->daemon, .final_codes = final, .final_count = ARRAY_LEN(final), .log = log_nanny};
    return nanny_run(&config);
}

static int run_init(const struct arguments *a)
{
    char path[REPOSITORY_PATH_MAX];
    char why[CONFIG_WHY_BYTES] = "";
    struct key_pair *pair = NULL;
    enum err err = repository_find(a->daemon.repo_dir, path, why);
    if (err == ERR_OK)
        err = repository_init(path, a->daemon.profiles, why);
    if (err == ERR_OK)
        err = repository_identity(path, &pair, why);
    if (err != ERR_OK)
        return fail(why[0] == '\0' ? err_text(err) : why);
    struct peer_id id = key_pair_peer_id(pair);
    char text[PEER_ID_TEXT_MAX];
    peer_id_text(&id, text);
    printf("initialised the repository %s\npeer identity: %s\n", path, text);
    key_pair_free(pair);
    return EXIT_SUCCESS;
}

static int print_config(const struct config *config, bool changed_only)
{
    struct buf text;
    buf_init(&text, MIB, NULL);
    enum err err = config_print(config, !changed_only, changed_only, &text);
    if (err == ERR_OK)
        (void)fwrite(text.data, 1, text.len, stdout);
    buf_release(&text);
    return err == ERR_OK ? EXIT_SUCCESS : fail(err_text(err));
}

static int run_config(const struct arguments *a)
{
    const char *what = a->word_count == 2 ? a->words[1] : "";
    bool show = strcmp(what, "show") == 0;
    bool diff = strcmp(what, "diff") == 0;
    if (!show && !diff && strcmp(what, "check") != 0)
        return usage_error("config takes one of show, check, diff", what);
    char path[REPOSITORY_PATH_MAX];
    char why[CONFIG_WHY_BYTES] = "";
    struct config *config = NULL;
    enum err err = repository_find(a->daemon.repo_dir, path, why);
    if (err == ERR_OK)
        err = repository_config(path, a->daemon.config_file, &config, why);
    if (err != ERR_OK)
        return fail(why[0] == '\0' ? err_text(err) : why);
    struct name_resolver *resolver = NULL;
    err = show || diff ? ERR_OK : name_servers_open(config, &resolver, why);
    name_resolver_free(resolver);
    int code = EXIT_SUCCESS;
    if (err != ERR_OK)
        code = fail(why);
    else if (show || diff)
        code = print_config(config, diff);
    else
        printf("the configuration of %s is valid\n", path);
    config_free(config);
    return code;
}

int main(int argc, char **argv)
{
    struct arguments a;
    int code = parse(argc, argv, &a);
    if (code != 0)
        return code;
    if (a.help) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    const char *command = a.word_count == 0 ? "daemon" : a.words[0];
    if (strcmp(command, "daemon") == 0 && a.word_count <= 1)
        return run_daemon(&a);
    if (strcmp(command, "init") == 0 && a.word_count == 1)
        return run_init(&a);
    if (strcmp(command, "config") == 0)
        return run_config(&a);
    return usage_error("unknown command or arguments", command);
}
