/* SPDX-License-Identifier: MIT */
/* --help, from the declarations alone. */
#include <stdio.h>

#include "cli/commands.h"

static const char own_commands[] = "  daemon               Runs the node; makes the repository on the first start.\n"
                                   "  init                 Makes a repository.\n"
                                   "  config               show, check, diff: the configuration.\n";

const char commands_flags[] =
    "  --api URL            control socket, else the repository's\n"
    "  --repo-dir DIR       repository, else HEARTH_PATH, ./data, ~/.hearth\n"
    "  --config-file FILE   for daemon and config\n"
    "  --offline            for daemon: no network; for what reads: ask no peer\n"
    "  --backend NAME       for daemon: inproc, or ipc: a process for each part\n"
    "  --timeout DURATION   such as 30s, 2m, 1h; searches and batches give what there is by then\n"
    "  --enc json|text      how results are printed\n"
    "  --cid-base BASE      multibase of printed CIDs\n"
    "  --ipns-base BASE     multibase of printed names, or b58mh\n"
    "  --trace              print the number that `trace` tells of what was done by\n"
    "  -D, --debug          more on stderr\n"
    "  -h, --help           this\n"
    "\nExit status: 0 success, 1 error, 2 usage, 3 daemon not reachable, 4 not found, 124 timeout.\n";

static void print_global_flags(void)
{
    printf("\nFlags of all commands:\n%s", commands_flags);
}

static void print_flag(const struct field *f, const struct argument *a)
{
    char word[COMMAND_FLAG_MAX];
    char name[COMMAND_FLAG_MAX + 8];
    command_flag_name(f, word);
    (void)snprintf(name, sizeof(name), "%s%s", word,
                   f->type == FIELD_BOOL || a->place == ARGUMENT_SWITCH ? ""
                   : f->type == FIELD_U64                               ? " N"
                                                                        : " TEXT");
    char flag[8] = "    ";
    if (a->flag != 0)
        (void)snprintf(flag, sizeof(flag), "-%c, ", a->flag);
    printf("  %s--%-24s %s%s%s%s\n", flag, name, f->doc, a->fallback != NULL ? " (else " : "",
           a->fallback != NULL ? a->fallback : "", a->fallback != NULL ? ")" : "");
}

static void help_one(const struct operation *op)
{
    printf("hearth %s", op->words);
    for (size_t i = 0; i < op->args.field_count; i++) {
        const struct field *f = &op->args.fields[i];
        if (op->arguments[i].place == ARGUMENT_POSITIONAL)
            printf(" %s%s%s%s", f->required ? "<" : "[", f->name, f->required ? ">" : "]",
                   f->type == FIELD_LIST ? "..." : "");
    }
    printf(" [flags]\n\n%s\n", op->args.doc);
    for (size_t i = 0; i < op->args.field_count; i++) {
        if (op->arguments[i].place == ARGUMENT_POSITIONAL)
            printf("  %-30s %s\n", op->args.fields[i].name, op->args.fields[i].doc);
    }
    for (size_t i = 0; i < op->args.field_count; i++) {
        if (argument_is_flag(&op->arguments[i]))
            print_flag(&op->args.fields[i], &op->arguments[i]);
    }
    print_global_flags();
}

static bool in_group(const char *words, const char *group)
{
    size_t len = group == NULL ? 0 : strlen(group);
    return len == 0 || (strncmp(words, group, len) == 0 && (words[len] == ' ' || words[len] == '\0'));
}

bool commands_group(const char *words)
{
    size_t len = strlen(words);
    bool found = false;
    for (size_t i = 0; i < CMD_COUNT; i++)
        found = found || (in_group(commands[i].words, words) && commands[i].words[len] == ' ');
    for (size_t i = 0; i < OP_COUNT; i++)
        found = found || (in_group(operations[i].words, words) && operations[i].words[len] == ' ');
    return found;
}

static bool is_command_too(const struct operation *op)
{
    for (size_t i = 0; i < CMD_COUNT; i++) {
        if (strcmp(commands[i].words, op->words) == 0)
            return true;
    }
    return false;
}

static bool hidden(const struct operation *op)
{
    bool all = op->args.field_count > 0;
    for (size_t i = 0; i < op->args.field_count; i++)
        all = all && op->arguments[i].place == ARGUMENT_HIDDEN;
    return all && strcmp(op->words, "help") != 0;
}

bool commands_offer(const struct operation *op)
{
    return !hidden(op) && !is_command_too(op);
}

void commands_help(const struct operation *what, const char *group)
{
    if (what != NULL) {
        help_one(what);
        return;
    }
    printf("hearth: a small IPFS peer. hearth <command> --help says more.\n\nCommands:\n");
    if (group == NULL)
        (void)fputs(own_commands, stdout);
    for (size_t i = 0; i < CMD_COUNT; i++) {
        if (in_group(commands[i].words, group))
            printf("  %-20s %s\n", commands[i].words, commands[i].args.doc);
    }
    for (size_t i = 0; i < OP_COUNT; i++) {
        if (commands_offer(&operations[i]) && in_group(operations[i].words, group))
            printf("  %-20s %s\n", operations[i].words, operations[i].args.doc);
    }
    print_global_flags();
}
