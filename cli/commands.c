/* SPDX-License-Identifier: MIT */
#include "cli/commands.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "schemas/pack.h"
#include "wire/multibase.h"

#define COMMAND(upper, lower, words, text, ...) ARGUMENT_TABLES(cmd_##lower, __VA_ARGS__)
#include "cli/commands.def"

const struct operation commands[] = {
#define COMMAND(upper, lower, words, text, ...)                                                                        \
    ARGUMENT_OPERATION(cmd_##lower, CMD_##upper, words, false, false, text, "")
#include "cli/commands.def"
};

enum err duration_parse(const char *text, uint64_t *ret_ms)
{
    uint64_t ns = 0;
    if (text_parse_duration(span_text(text), &ns) != ERR_OK && text_parse_u64(span_text(text), &ns) != ERR_OK)
        return ERR_INVALID;
    if (text[strspn(text, "0123456789")] == '\0')
        ns = ns > UINT64_MAX / SECOND_NS ? UINT64_MAX : ns * SECOND_NS;
    if (ns < MS_NS || ns / MS_NS > REQUEST_TIMEOUT_MAX_MS)
        return ERR_INVALID;
    *ret_ms = ns / MS_NS;
    return ERR_OK;
}

/* ---- which command ---- */

enum { WORDS_MAX = 128 };

static void join_words(char *const *words, size_t count, char to[WORDS_MAX])
{
    size_t used = 0;
    to[0] = '\0';
    for (size_t i = 0; i < count && used < WORDS_MAX; i++)
        used += (size_t)snprintf(to + used, WORDS_MAX - used, "%s%s", i > 0 ? " " : "", words[i]);
}

static bool typed_by_people(const struct operation *op)
{
    for (size_t i = 0; i < op->args.field_count; i++) {
        if (op->args.fields[i].required && op->arguments[i].place == ARGUMENT_HIDDEN)
            return false;
    }
    return strcmp(op->words, "add open") != 0;
}

const struct command_alias command_aliases[] = {
    {"key ls", "key list"},
    {"provide once", "routing provide"},
    {"stats bitswap", "bitswap stat"},
    {"stats provide", "provide stat"},
    {"stats repo", "repo stat"},
    {"stats reprovide", "provide stat"},
    {"swarm addrs listen", "swarm addrs local"},
    {NULL, NULL},
};

static const struct operation *find_words(const char *words, bool *ret_is_command)
{
    for (const struct command_alias *a = command_aliases; a->words != NULL; a++) {
        if (strcmp(words, a->words) == 0) {
            words = a->meant;
            break;
        }
    }
    for (size_t i = 0; i < CMD_COUNT; i++) {
        if (strcmp(commands[i].words, words) == 0) {
            *ret_is_command = true;
            return &commands[i];
        }
    }
    for (size_t i = 0; i < OP_COUNT; i++) {
        if (typed_by_people(&operations[i]) && strcmp(operations[i].words, words) == 0) {
            *ret_is_command = false;
            return &operations[i];
        }
    }
    return NULL;
}

/* ---- reading the line ---- */

enum { FIELDS_MAX = 48 }; /* of one command */

struct reader {
    int argc;
    char *const *argv;
    int at;
    bool used[4096]; /* arguments that were global flags or the command's words */
    struct invocation *to;
    struct pack p;
    uint32_t pairs;
    bool seen[FIELDS_MAX];
    const char *positionals[1024];
    size_t positional_count;
};

PRINTF_LIKE(2, 3) static enum err usage(struct invocation *to, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(to->why, sizeof(to->why), fmt, args);
    va_end(args);
    return ERR_INVALID;
}

/* Matches --name, --name=value or --name value; -x for a short flag. The value is NULL when there is none in the same word. */
static bool is_long_flag(const char *arg, const char *name, const char **ret_value)
{
    size_t len = strlen(name);
    if (strncmp(arg, "--", 2) != 0 || strncmp(arg + 2, name, len) != 0)
        return false;
    if (arg[2 + len] != '\0' && arg[2 + len] != '=')
        return false;
    *ret_value = arg[2 + len] == '=' ? arg + 3 + len : NULL;
    return true;
}

static enum err set_global(struct reader *r, const char *name, const char *value)
{
    struct globals *g = &r->to->globals;
    if (strcmp(name, "timeout") == 0 && duration_parse(value, &g->timeout_ms) != ERR_OK)
        return usage(r->to, "--timeout: \"%s\" is no duration such as 30s, 2m or 1h", value);
    if (strcmp(name, "enc") == 0 || strcmp(name, "encoding") == 0) {
        if (strcmp(value, "json") != 0 && strcmp(value, "text") != 0)
            return usage(r->to, "--enc is json or text, not \"%s\"", value);
        g->json = strcmp(value, "json") == 0;
    }
    if (strcmp(name, "api") == 0)
        g->api = value;
    if (strcmp(name, "repo-dir") == 0)
        g->repo_dir = value;
    if (strcmp(name, "config-file") == 0)
        g->config_file = value;
    if (strcmp(name, "cid-base") == 0) {
        enum multibase base;
        if (multibase_of_name(value, &base) != ERR_OK)
            return usage(r->to, "--cid-base: no multibase is named \"%.40s\"; base32, base58btc and base36 are some",
                         value);
        g->cid_base = value;
    }
    if (strcmp(name, "ipns-base") == 0) {
        enum multibase base;
        if (multibase_of_name(value, &base) != ERR_OK && strcmp(value, "b58mh") != 0)
            return usage(r->to, "--ipns-base: no form of a name is called \"%.40s\"; base36, base32 and b58mh are some",
                         value);
        g->ipns_base = value;
    }
    return ERR_OK;
}

/* ERR_NOT_FOUND: not a global flag. */
static enum err read_global(struct reader *r)
{
    static const char *const with_value[] = {"api", "repo-dir", "config-file", "timeout",
                                             "enc", "encoding", "cid-base",    "ipns-base"};
    const char *arg = r->argv[r->at];
    const char *value = NULL;
    struct globals *g = &r->to->globals;
    bool *flag = strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0    ? &g->help
                 : strcmp(arg, "-D") == 0 || strcmp(arg, "--debug") == 0 ? &g->debug
                 : strcmp(arg, "--offline") == 0                         ? &g->offline
                 : strcmp(arg, "--trace") == 0                           ? &g->trace
                                                                         : NULL;
    r->used[r->at] = true;
    if (flag != NULL) {
        *flag = true;
        return ERR_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(with_value); i++) {
        if (!is_long_flag(arg, with_value[i], &value))
            continue;
        if (value == NULL && r->at + 1 >= r->argc)
            return usage(r->to, "--%s needs a value", with_value[i]);
        if (value == NULL) {
            value = r->argv[++r->at];
            r->used[r->at] = true;
        }
        return set_global(r, with_value[i], value);
    }
    r->used[r->at] = false;
    return ERR_NOT_FOUND;
}

/* Global flags may stand anywhere before --. */
static enum err read_globals(struct reader *r)
{
    for (r->at = 0; r->at < r->argc && strcmp(r->argv[r->at], "--") != 0; r->at++) {
        enum err err = read_global(r);
        if (err != ERR_OK && err != ERR_NOT_FOUND)
            return err;
    }
    return ERR_OK;
}

/* The command is the longest run of words from the first argument on that names one. */
static void read_words(struct reader *r)
{
    char *words[3];
    int places[3];
    size_t count = 0;
    for (int i = 0; i < r->argc && count < ARRAY_LEN(words); i++) {
        if (r->used[i])
            continue;
        if (r->argv[i][0] == '-')
            break;
        words[count] = r->argv[i];
        places[count++] = i;
    }
    for (; count > 0; count--) {
        char joined[WORDS_MAX];
        join_words(words, count, joined);
        r->to->what = find_words(joined, &r->to->is_command);
        if (r->to->what == NULL)
            continue;
        for (size_t i = 0; i < count; i++)
            r->used[places[i]] = true;
        return;
    }
}

void command_flag_name(const struct field *f, char to[COMMAND_FLAG_MAX])
{
    (void)snprintf(to, COMMAND_FLAG_MAX, "%s", f->name);
    size_t len = strlen(to);
    if (len > 0 && to[len - 1] == '_')
        to[len - 1] = '\0';
    for (char *c = to; *c != '\0'; c++)
        *c = *c == '_' ? '-' : *c;
}

static bool is_boolean(const struct reader *r, size_t index)
{
    const struct operation *op = r->to->what;
    return op->args.fields[index].type == FIELD_BOOL || op->arguments[index].place == ARGUMENT_SWITCH;
}

static enum err pack_argument(struct reader *r, size_t index, const char *value)
{
    const struct field *f = &r->to->what->args.fields[index];
    if (r->seen[index])
        return usage(r->to, "%s is given twice", f->name);
    r->seen[index] = true;
    r->pairs++;
    pack_text(&r->p, f->name);
    if (is_boolean(r, index)) {
        bool flag = false;
        if (text_parse_bool(span_text(value), &flag) != ERR_OK)
            return usage(r->to, "a flag is true or false, not \"%s\"", value);
        if (f->type == FIELD_BOOL)
            pack_bool(&r->p, flag);
        else
            pack_text(&r->p, flag ? "true" : "false");
    } else if (f->type == FIELD_U64) {
        uint64_t number = 0;
        if (text_parse_u64(span_text(value), &number) != ERR_OK)
            return usage(r->to, "\"%s\" is no whole number", value);
        pack_u64(&r->p, number);
    } else {
        pack_text(&r->p, value);
    }
    return ERR_OK;
}

static enum err read_flag_value(struct reader *r, size_t index, const char *value)
{
    if (value != NULL)
        return pack_argument(r, index, value);
    if (is_boolean(r, index))
        return pack_argument(r, index, "true");
    if (r->at + 1 >= r->argc)
        return usage(r->to, "%s needs a value", r->argv[r->at]);
    return pack_argument(r, index, r->argv[++r->at]);
}

static enum err read_long(struct reader *r)
{
    const struct operation *op = r->to->what;
    for (size_t i = 0; i < op->args.field_count; i++) {
        char name[COMMAND_FLAG_MAX];
        const char *value = NULL;
        command_flag_name(&op->args.fields[i], name);
        if (argument_is_flag(&op->arguments[i]) && is_long_flag(r->argv[r->at], name, &value))
            return read_flag_value(r, i, value);
    }
    return usage(r->to, "unknown flag %s", r->argv[r->at]);
}

/* -rq is -r -q; -o file and -ofile and -o=file are one. */
static enum err read_short(struct reader *r)
{
    const struct operation *op = r->to->what;
    const char *letters = r->argv[r->at] + 1;
    while (*letters != '\0') {
        size_t i = 0;
        while (i < op->args.field_count && (!argument_is_flag(&op->arguments[i]) || op->arguments[i].flag != *letters))
            i++;
        if (i == op->args.field_count)
            return usage(r->to, "unknown flag %s", r->argv[r->at]);
        letters++;
        bool value_follows = *letters == '=' || !is_boolean(r, i);
        if (value_follows && *letters != '\0')
            return read_flag_value(r, i, *letters == '=' ? letters + 1 : letters);
        enum err err = read_flag_value(r, i, NULL);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err read_rest(struct reader *r)
{
    bool only_positionals = false;
    for (r->at = 0; r->at < r->argc; r->at++) {
        const char *arg = r->argv[r->at];
        if (r->used[r->at])
            continue;
        enum err err = ERR_OK;
        if (!only_positionals && strcmp(arg, "--") == 0)
            only_positionals = true;
        else if (!only_positionals && strncmp(arg, "--", 2) == 0)
            err = read_long(r);
        else if (!only_positionals && arg[0] == '-' && arg[1] != '\0')
            err = read_short(r);
        else if (r->positional_count < ARRAY_LEN(r->positionals))
            r->positionals[r->positional_count++] = arg;
        else
            err = usage(r->to, "too many arguments, from %s on", arg);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static void pack_text_list(struct reader *r, const struct field *f)
{
    r->pairs++;
    pack_text(&r->p, f->name);
    pack_array(&r->p, (uint32_t)r->positional_count);
    for (size_t i = 0; i < r->positional_count; i++)
        pack_text(&r->p, r->positionals[i]);
}

/* Gives the positionals to the fields in order; what is left over repeats the operation or is an error. */
static enum err place_positionals(struct reader *r)
{
    const struct operation *op = r->to->what;
    size_t next = 0;
    size_t places = 0;
    for (size_t i = 0; i < op->args.field_count; i++) {
        if (op->arguments[i].place != ARGUMENT_POSITIONAL)
            continue;
        places++;
        if (op->args.fields[i].type == FIELD_LIST) {
            if (r->positional_count > 0)
                pack_text_list(r, &op->args.fields[i]);
            return ERR_OK;
        }
        enum err err = next < r->positional_count ? pack_argument(r, i, r->positionals[next++]) : ERR_OK;
        if (err != ERR_OK)
            return err;
    }
    if (next < r->positional_count && (places != 1 || r->to->is_command))
        return usage(r->to, "too many arguments, from %s on", r->positionals[next]);
    while (next < r->positional_count)
        r->to->more[r->to->more_count++] = r->positionals[next++];
    return ERR_OK;
}

/* The global --offline is an argument of those operations that know it. */
static enum err place_offline(struct reader *r)
{
    const struct operation *op = r->to->what;
    for (size_t i = 0; r->to->globals.offline && i < op->args.field_count; i++) {
        if (strcmp(op->args.fields[i].name, "offline") == 0)
            return pack_argument(r, i, "true");
    }
    return ERR_OK;
}

static enum err missing_argument(struct reader *r)
{
    const struct operation *op = r->to->what;
    for (size_t i = 0; i < op->args.field_count; i++) {
        const struct field *f = &op->args.fields[i];
        if (f->required && op->arguments[i].place != ARGUMENT_HIDDEN && !r->seen[i] &&
            !(f->type == FIELD_LIST && r->positional_count > 0))
            return usage(r->to, "argument \"%s\" is required", f->name);
    }
    return ERR_OK;
}

enum err invocation_parse(int argc, char *const *argv, struct invocation *ret)
{
    memset(ret, 0, sizeof(*ret));
    buf_init(&ret->args, 4 * MIB, NULL);
    if (argc > 4096)
        return usage(ret, "too many arguments");
    struct reader *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return ERR_NOMEM;
    *r = (struct reader){.argc = argc, .argv = argv, .to = ret};
    enum err err = read_globals(r);
    if (err == ERR_OK)
        read_words(r);
    if (err == ERR_OK && ret->what != NULL) {
        assert(ret->what->args.field_count <= FIELDS_MAX);
        r->p = pack_begin(&ret->args);
        size_t where = pack_map_open(&r->p);
        err = read_rest(r);
        if (err == ERR_OK)
            err = place_positionals(r);
        if (err == ERR_OK)
            err = place_offline(r);
        if (err == ERR_OK && !ret->globals.help)
            err = missing_argument(r);
        pack_count(&r->p, where, r->pairs);
        enum err packed = pack_end(&r->p);
        err = err == ERR_OK ? packed : err;
    }
    free(r);
    return err;
}
