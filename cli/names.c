/* SPDX-License-Identifier: MIT */
/* Commands about names and their keys. `key export` reads the keystore itself: a secret never travels over the control socket. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/repository.h"
#include "cli/run.h"
#include "schemas/pack.h"
#include "storage/disk_posix.h"
#include "storage/keystore.h"
#include "wire/ipns_path.h"
#include "wire/signing_key.h"

enum { ASK_MS = 120000, ARGS_BYTES = 64 * 1024 };

static const char protobuf_format[] = "libp2p-protobuf-cleartext";
static const char pem_format[] = "pem-pkcs8-cleartext";

/* ---- text forms ---- */

void print_key_id(const struct invocation *in, struct span result)
{
    print_name(&in->globals, value_text(result, "id"));
    (void)putchar('\n');
}

void print_keys(const struct invocation *in, struct span result)
{
    bool ids = value_bool(buf_span(&in->args), "long_");
    struct elements rows = value_elements(result, "keys");
    struct span row;
    while (elements_next(&rows, &row)) {
        if (ids)
            print_name(&in->globals, value_text(row, "id"));
        (void)fputs(ids ? " " : "", stdout);
        print_escaped(stdout, value_text(row, "name"));
        (void)putchar('\n');
    }
}

void print_key_renamed(const struct invocation *in, struct span result)
{
    (void)fputs("Key ", stdout);
    print_name(&in->globals, value_text(result, "id"));
    (void)fputs(" renamed to ", stdout);
    print_escaped(stdout, value_text(result, "now"));
    (void)puts(value_bool(result, "overwritten") ? " with overwriting" : "");
}

/* ---- paths ---- */

int resolve_name(struct client *client, char *to, struct span *path)
{
    struct outcome outcome;
    struct buf args;
    struct ipns_path parsed;
    struct call *call = NULL;
    if (!ipns_path_is(*path))
        return EXIT_OK;
    if (ipns_path_parse(*path, &parsed) != ERR_OK)
        return say_error("\"%.*s\" begins neither with a name nor with a domain", (int)MIN(path->len, (size_t)200),
                         (const char *)path->data);
    outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
    buf_init(&args, ARGS_BYTES, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 1);
    pack_pair_span(&p, "name", parsed.host);
    if (pack_end(&p) == ERR_OK)
        call = ask(client, "name resolve", buf_span(&args), client_timeout(client, ASK_MS), false, &outcome);
    int status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
    struct span value = status == EXIT_OK ? value_text(outcome.result, "path") : (struct span){0};
    if (status == EXIT_OK && value.len + parsed.rest.len > PATH_TEXT_MAX)
        status = say_error("the path is too long");
    if (status == EXIT_OK) {
        memcpy(to, value.data, value.len);
        if (parsed.rest.len > 0)
            memcpy(to + value.len, parsed.rest.data, parsed.rest.len);
        *path = span_of(to, value.len + parsed.rest.len);
    }
    call_free(call);
    buf_release(&args);
    return status;
}

/* ---- name publish, name put ---- */

enum telling { TELL_ALL, TELL_NAME, TELL_NOTHING };

static int print_published(const struct invocation *in, struct span result, enum telling telling)
{
    if (telling == TELL_NOTHING)
        return EXIT_OK;
    if (in->globals.json) {
        print_json(result);
        return EXIT_OK;
    }
    (void)fputs(telling == TELL_ALL ? "Published to " : "", stdout);
    print_name(&in->globals, value_text(result, "name"));
    (void)fputs(telling == TELL_ALL ? ": " : "", stdout);
    print_escaped(stdout, telling == TELL_ALL ? value_text(result, "value") : (struct span){0});
    (void)putchar('\n');
    return fflush(stdout) == 0 ? EXIT_OK : say_error("standard output cannot be written");
}

static int send(struct client *client, const struct invocation *in, const char *op, struct buf *args, struct pack *p,
                enum telling telling)
{
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    struct call *call = NULL;
    if (pack_end(p) == ERR_OK)
        call = ask(client, op, buf_span(args), client_timeout(client, ASK_MS), true, &outcome);
    int status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
    if (status == EXIT_OK)
        status = print_published(in, outcome.result, telling);
    call_free(call);
    return status;
}

/* Whether the path leads somewhere. */
static int check_path(struct client *client, struct span path)
{
    struct outcome outcome;
    struct call *call = ask_path(client, "resolve", "path", path, &outcome);
    int status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
    call_free(call);
    return status;
}

int run_name_publish(struct client *client, const struct invocation *in, const struct cmd_name_publish *args)
{
    struct buf packed;
    int status = args->resolve ? check_path(client, args->path) : EXIT_OK;
    if (status != EXIT_OK)
        return status;
    buf_init(&packed, ARGS_BYTES, NULL);
    struct pack p = pack_begin(&packed);
    pack_map(&p, 6);
    pack_pair_span(&p, "path", args->path);
    pack_pair_span(&p, "key", args->key);
    pack_pair_span(&p, "lifetime", args->lifetime);
    pack_pair_span(&p, "ttl", args->ttl);
    pack_pair_u64(&p, "sequence", args->sequence);
    pack_pair_bool(&p, "allow_offline", args->allow_offline);
    status = send(client, in, "name publish", &packed, &p, args->quieter ? TELL_NAME : TELL_ALL);
    buf_release(&packed);
    return status;
}

int run_name_put(struct client *client, const struct invocation *in, const struct cmd_name_put *args)
{
    struct buf packed;
    struct buf record = {0};
    int status = read_input(args->record, IPNS_BYTES_MAX, &record);
    buf_init(&packed, ARGS_BYTES, NULL);
    struct pack p = pack_begin(&packed);
    pack_map(&p, 2);
    pack_pair_span(&p, "name", args->name);
    pack_text(&p, "record");
    pack_bytes(&p, buf_span(&record));
    if (status == EXIT_OK)
        status = send(client, in, "name put", &packed, &p, args->quiet ? TELL_NOTHING : TELL_NAME); /* as Kubo */
    buf_release(&packed);
    buf_release(&record);
    return status;
}

/* ---- keys ---- */

static void wipe(struct buf *b)
{
    if (b->data != NULL)
        sodium_memzero(b->data, b->cap);
    buf_release(b);
}

int run_key_import(struct client *client, const struct invocation *in, const struct cmd_key_import *args)
{
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    struct call *call = NULL;
    struct buf packed;
    struct buf key = {0};
    int status = read_input(args->key, KEY_FILE_MAX, &key);
    buf_init(&packed, ARGS_BYTES, NULL);
    struct pack p = pack_begin(&packed);
    pack_map(&p, 4);
    pack_pair_span(&p, "name", args->name);
    pack_text(&p, "data");
    pack_bytes(&p, buf_span(&key));
    pack_pair_span(&p, "format", args->format);
    pack_pair_bool(&p, "allow_any_key_type", args->allow_any_key_type);
    if (status == EXIT_OK) {
        if (pack_end(&p) == ERR_OK)
            call = ask(client, "key import", buf_span(&packed), client_timeout(client, ASK_MS), true, &outcome);
        status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
    }
    if (status == EXIT_OK && in->globals.json)
        print_json(outcome.result);
    else if (status == EXIT_OK)
        print_key_id(in, outcome.result);
    call_free(call);
    wipe(&packed);
    wipe(&key);
    return status;
}

/* Makes the file, which must not be there, for its owner alone. */
static int write_secret(const char *path, struct span content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return say_error("%s: %s", path, strerror(errno));
    while (content.len > 0) {
        ssize_t n = write(fd, content.data, content.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        content = span_skip(content, (size_t)n);
    }
    bool well = content.len == 0 && fsync(fd) == 0;
    int status = well ? EXIT_OK : say_error("%s: %s", path, strerror(errno));
    (void)close(fd);
    return status;
}

static int export_key(const struct cmd_key_export *args, const struct signing_key *key, bool pem)
{
    char path[PATH_TEXT_MAX + 1];
    uint8_t text[SIGNING_KEY_PEM_BYTES_MAX];
    size_t len = 0;
    bool named = args->output.len > 0;
    struct span output = named ? args->output : args->name;
    (void)snprintf(path, sizeof(path), "%.*s%s", (int)output.len, (const char *)output.data,
                   named ? ""
                   : pem ? ".pem"
                         : ".key");
    if (!pem)
        return write_secret(path, signing_key_secret(key));
    enum err err = signing_key_encode_pem(key, text, &len);
    int status = err == ERR_OK ? write_secret(path, span_of(text, len))
                               : say_error("this key cannot be written as PEM: %s", err_text(err));
    sodium_memzero(text, sizeof(text));
    return status;
}

int run_key_export(const struct invocation *in, const struct cmd_key_export *args)
{
    char why[CONFIG_WHY_BYTES] = "";
    char path[REPOSITORY_PATH_MAX];
    char folder[REPOSITORY_PATH_MAX + 16];
    struct signing_key *key = NULL;
    bool pem = span_equal_text(args->format, pem_format);
    if (!pem && !span_equal_text(args->format, protobuf_format))
        return say_error("formats of keys are %s and %s", protobuf_format, pem_format) + EXIT_USAGE - EXIT_ERROR;
    if (span_equal_text(args->name, "self"))
        return say_error("the key named 'self' is the node's own: it is the file identity.key of the repository");
    if (repository_find(in->globals.repo_dir, path, why) != ERR_OK)
        return say_error("%s", why);
    (void)snprintf(folder, sizeof(folder), "%s/keystore", path);
    enum err err = keystore_get(disk_posix(), folder, args->name, &key);
    if (err != ERR_OK) {
        (void)say_error("key \"%.*s\": %s", (int)args->name.len, (const char *)args->name.data, err_text(err));
        return err == ERR_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_ERROR;
    }
    int status = export_key(args, key, pem);
    signing_key_free(key);
    return status;
}
