/* SPDX-License-Identifier: MIT */
/*
 * `bootstrap list`, `add` and `rm`: the list Bootstrap of the configuration file. A daemon that runs is told of the change; one that cannot be told reads
 * the file when it is started again, which is said on stderr.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/config_edit.h"
#include "cli/config_file.h"
#include "cli/repository.h"
#include "cli/run.h"
#include "schemas/pack.h"
#include "wire/multiaddr.h"

#define KEY "Bootstrap"

enum { TELL_MS = 10000 };

/* Texts that are not owned. */
struct names {
    const char *items[128];
    size_t count;
};

static bool contains(const struct names *names, const char *item)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], item) == 0)
            return true;
    return false;
}

static void add(struct names *names, const char *item)
{
    if (!contains(names, item) && names->count < ARRAY_LEN(names->items))
        names->items[names->count++] = item;
}

static void add_public(struct names *names)
{
    size_t count;
    const char *const *items = config_bootstrap_auto(&count);
    for (size_t i = 0; i < count; i++)
        add(names, items[i]);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In order, as Kubo prints them. */
static void print(const struct invocation *in, const char *before, struct names *names)
{
    qsort(names->items, names->count, sizeof(names->items[0]), compare);
    if (in->globals.json)
        (void)fputs("{\"Peers\":[", stdout);
    for (size_t i = 0; i < names->count; i++) {
        if (!in->globals.json) {
            printf("%s%s\n", before, names->items[i]);
            continue;
        }
        (void)fputs(i == 0 ? "" : ",", stdout);
        print_json_text(span_text(names->items[i]));
    }
    if (in->globals.json)
        (void)puts("]}");
}

static int list(const struct invocation *in, bool expand)
{
    char path[REPOSITORY_PATH_MAX];
    char why[CONFIG_WHY_BYTES] = "";
    struct config *config = NULL;
    struct names names = {0};
    enum err err = repository_find(in->globals.repo_dir, path, why);
    if (err == ERR_OK)
        err = repository_config(path, in->globals.config_file, &config, why);
    if (err != ERR_OK)
        return say_error("%s", why[0] == '\0' ? err_text(err) : why);
    for (size_t i = 0; i < config->bootstrap.count; i++) {
        if (expand && strcmp(config->bootstrap.items[i], CONFIG_BOOTSTRAP_AUTO) == 0)
            add_public(&names);
        else
            add(&names, config->bootstrap.items[i]);
    }
    print(in, "", &names);
    config_free(config);
    return EXIT_OK;
}

int run_bootstrap(const struct invocation *in, const struct cmd_bootstrap *args)
{
    return list(in, args->expand_auto);
}

int run_bootstrap_list(const struct invocation *in, const struct cmd_bootstrap_list *args)
{
    return list(in, args->expand_auto);
}

/* ---- changes ---- */

/* The file and what it says; what variables say is not the file's. */
struct file {
    char repository[REPOSITORY_PATH_MAX];
    char path[REPOSITORY_PATH_MAX + 16];
    struct config *config;
};

static int open_file(const struct invocation *in, struct file *f)
{
    char why[CONFIG_WHY_BYTES] = "";
    enum err err = repository_find(in->globals.repo_dir, f->repository, why);
    if (err == ERR_OK && in->globals.config_file == NULL && !repository_exists(f->repository)) {
        (void)snprintf(why, sizeof(why), "there is no repository at %.300s: `hearth init` makes one", f->repository);
        err = ERR_NOT_FOUND;
    }
    if (err == ERR_OK)
        err = config_new(f->repository, &f->config);
    if (err == ERR_OK) {
        if (in->globals.config_file != NULL)
            (void)snprintf(f->path, sizeof(f->path), "%s", in->globals.config_file);
        else
            (void)snprintf(f->path, sizeof(f->path), "%s/config.yaml", f->repository);
        err = config_file_load(f->config, f->path, why);
        if (err == ERR_NOT_FOUND && access(f->path, F_OK) != 0)
            err = ERR_OK;
    }
    return err == ERR_OK ? EXIT_OK : say_error("%s", why[0] == '\0' ? err_text(err) : why);
}

static bool daemon_runs(const struct file *f)
{
    char name[REPOSITORY_PATH_MAX + 16];
    (void)snprintf(name, sizeof(name), "%s/daemon.lock", f->repository);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0;
    if (fd >= 0)
        (void)close(fd);
    return held;
}

/* auto is the daemon's word for them, too, but not one by one. */
static enum err pack_changed(struct buf *to, const struct names *changed)
{
    struct names plain = {0};
    for (size_t i = 0; i < changed->count; i++) {
        if (strcmp(changed->items[i], CONFIG_BOOTSTRAP_AUTO) == 0)
            add_public(&plain);
        else
            add(&plain, changed->items[i]);
    }
    struct pack p = pack_begin(to);
    pack_map(&p, 1);
    pack_text(&p, "address");
    pack_array(&p, (uint32_t)plain.count);
    for (size_t i = 0; i < plain.count; i++)
        pack_text(&p, plain.items[i]);
    return pack_end(&p);
}

static bool tell_daemon(const struct invocation *in, const char *op, const struct names *changed)
{
    char why[512];
    struct client *client = NULL;
    struct outcome outcome = {.code = CODE_INTERNAL};
    struct buf args;
    buf_init(&args, ARRAY_LEN(changed->items) * (MULTIADDR_TEXT_MAX + 8), NULL);
    if (pack_changed(&args, changed) == ERR_OK && client_open(&in->globals, &client, why) == ERR_OK)
        call_free(ask(client, op, buf_span(&args), TELL_MS, true, &outcome));
    if (client != NULL)
        client_close(client);
    buf_release(&args);
    return outcome.code == CODE_OK;
}

/* What is in the file now, and what of it has changed, by which operation of the daemon. */
struct change {
    struct names all;
    struct names changed;
    const char *op;
};

static int write_names(const struct invocation *in, const struct file *f, struct change *change)
{
    struct names *names = &change->all;
    char why[CONFIG_WHY_BYTES] = "";
    char **items = calloc(names->count + 1, sizeof(*items));
    for (size_t i = 0; items != NULL && i < names->count; i++)
        items[i] = strdup(names->items[i]);
    struct config_list changed = {.count = names->count, .items = items};
    enum err err = items == NULL ? ERR_NOMEM : config_edit_file(f->path, KEY, &changed, why);
    for (size_t i = 0; items != NULL && i < names->count; i++)
        free(items[i]);
    free(items);
    if (err != ERR_OK)
        return say_error("%s", why[0] == '\0' ? err_text(err) : why);
    if (getenv("HEARTH_BOOTSTRAP") != NULL)
        (void)fputs("HEARTH_BOOTSTRAP is set and wins over the file\n", stderr);
    else if (daemon_runs(f) && !tell_daemon(in, change->op, &change->changed))
        (void)fputs("the daemon reads it when it is started again\n", stderr);
    return EXIT_OK;
}

static int check_address(struct span text, char to[MULTIADDR_TEXT_MAX])
{
    struct multiaddr addr;
    struct peer_id peer;
    enum err err = multiaddr_parse_text(text, &addr);
    if (err == ERR_OK)
        err = multiaddr_peer(multiaddr_span(&addr), &peer);
    if (err == ERR_OK)
        err = multiaddr_text(multiaddr_span(&addr), to, CONFIG_TEXT_MAX);
    if (err == ERR_OK)
        return EXIT_OK;
    return say_error("invalid peer address \"%.*s\": a multiaddr that ends in /p2p/<peer id> is wanted",
                     (int)MIN(text.len, (size_t)200), (const char *)text.data);
}

/* What is named, in the form in which it is kept; the texts are the caller's to free. */
static int read_names(const struct schema_list *given, struct names *names)
{
    char text[MULTIADDR_TEXT_MAX];
    size_t position = 0;
    struct span item;
    while (schema_list_next_bytes(given, &position, &item) && names->count < ARRAY_LEN(names->items)) {
        bool word = span_equal_text(item, "default") || span_equal_text(item, CONFIG_BOOTSTRAP_AUTO);
        int status = word ? EXIT_OK : check_address(item, text);
        if (status != EXIT_OK)
            return status;
        char *copy = strdup(word ? CONFIG_BOOTSTRAP_AUTO : text);
        if (copy == NULL)
            return say_error("%s", err_text(ERR_NOMEM));
        names->items[names->count++] = copy;
    }
    return EXIT_OK;
}

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free((void *)(uintptr_t)names->items[i]);
}

static int add_to_file(const struct invocation *in, const struct names *given)
{
    struct file f = {0};
    struct change change = {.op = "bootstrap add"};
    struct names *all = &change.all;
    struct names *added = &change.changed;
    int status = open_file(in, &f);
    for (size_t i = 0; status == EXIT_OK && i < f.config->bootstrap.count; i++)
        add(all, f.config->bootstrap.items[i]);
    for (size_t i = 0; status == EXIT_OK && i < given->count; i++) {
        if (!contains(all, given->items[i]))
            add(added, given->items[i]);
        add(all, given->items[i]);
    }
    if (status == EXIT_OK && added->count > 0)
        status = write_names(in, &f, &change);
    if (status == EXIT_OK)
        print(in, "added ", added);
    config_free(f.config);
    return status;
}

int run_bootstrap_add(const struct invocation *in, const struct cmd_bootstrap_add *args)
{
    struct names given = {0};
    int status = read_names(&args->peer, &given);
    if (status == EXIT_OK && args->default_) {
        char *word = strdup(CONFIG_BOOTSTRAP_AUTO);
        if (word != NULL)
            given.items[given.count++] = word;
    }
    if (status == EXIT_OK && given.count == 0)
        status = say_error("no bootstrap peers to add: name one, or default");
    if (status == EXIT_OK)
        status = add_to_file(in, &given);
    free_names(&given);
    return status;
}

/* A public peer that goes takes the word for all of them with it: the others are named from then on. */
static int rm_from_file(const struct invocation *in, bool everything, const struct names *given)
{
    struct file f = {0};
    struct names before = {0};
    struct change change = {.op = "bootstrap rm"};
    struct names *after = &change.all;
    struct names *removed = &change.changed;
    struct names public = {0};
    int status = open_file(in, &f);
    bool expand = false;
    add_public(&public);
    for (size_t i = 0; i < given->count; i++)
        expand = expand || contains(&public, given->items[i]);
    for (size_t i = 0; status == EXIT_OK && i < f.config->bootstrap.count; i++) {
        if (expand && strcmp(f.config->bootstrap.items[i], CONFIG_BOOTSTRAP_AUTO) == 0)
            add_public(&before);
        else
            add(&before, f.config->bootstrap.items[i]);
    }
    for (size_t i = 0; i < before.count; i++)
        add(everything || contains(given, before.items[i]) ? removed : after, before.items[i]);
    if (status == EXIT_OK && removed->count > 0)
        status = write_names(in, &f, &change);
    if (status == EXIT_OK)
        print(in, "removed ", removed);
    config_free(f.config);
    return status;
}

int run_bootstrap_rm(const struct invocation *in, const struct cmd_bootstrap_rm *args)
{
    struct names given = {0};
    size_t position = 0;
    struct span first = {0};
    bool all = args->all || (args->peer.count == 1 && schema_list_next_bytes(&args->peer, &position, &first) &&
                             span_equal_text(first, "all"));
    int status = all ? EXIT_OK : read_names(&args->peer, &given);
    if (status == EXIT_OK && !all && given.count == 0)
        status = say_error("no bootstrap peers to remove: name one, or --all");
    if (status == EXIT_OK)
        status = rm_from_file(in, all, &given);
    free_names(&given);
    return status;
}
