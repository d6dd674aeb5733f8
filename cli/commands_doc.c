/* SPDX-License-Identifier: MIT */
/* docs/commands.md, from the declarations that --help prints. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"

static const char preamble[] =
    "# The commands\n"
    "\n"
    "Made from `cli/commands.def` and `schemas/operations.def` by `hearth-document`; CI fails when it is not current.\n"
    "\n"
    "`hearth COMMAND --help` says what its words and flags mean. What the operations behind commands take and answer "
    "is in "
    "[control.md](control.md).\n"
    "\n"
    "| command | flags | |\n"
    "|---|---|---|\n"
    "| `daemon` | `--init-profile`, `--backend`, `--offline`, `--no-serve`, `--no-provide`, `--chaos` | Runs the node; "
    "makes the repository on "
    "the "
    "first start. |\n"
    "| `init` | `--profile` | Makes a repository, its configuration with one or more profiles. |\n"
    "| `config check`, `config diff` | | Whether the configuration is valid; what of it differs from the defaults. |\n";

static const char postamble[] = "\n"
                                "A daemon that runs but takes no connections at the moment, or whose part that answers "
                                "ends, is waited for, within the "
                                "timeout: questions are asked again, `get` and `cat` go on where they were, `add` of "
                                "one file, or of up to 2 MiB from "
                                "standard input, begins anew. A command ends with 3 when no daemon is there, a second "
                                "after the last sign of one.\n";

static int by_words(const void *a, const void *b)
{
    const struct operation *const *one = a;
    const struct operation *const *other = b;
    return strcmp((*one)->words, (*other)->words);
}

static enum err document_words(const struct operation *op, struct buf *to)
{
    enum err err = buf_appendf(to, "| `%s", op->words);
    for (size_t i = 0; i < op->args.field_count && err == ERR_OK; i++) {
        const struct field *f = &op->args.fields[i];
        if (op->arguments[i].place == ARGUMENT_POSITIONAL)
            err = buf_appendf(to, " %s%s%s%s", f->required ? "<" : "[", f->name, f->required ? ">" : "]",
                              f->type == FIELD_LIST ? "..." : "");
    }
    return err == ERR_OK ? buf_append_text(to, "` |") : err;
}

static enum err document_flags(const struct operation *op, struct buf *to)
{
    enum err err = ERR_OK;
    const char *between = " ";
    for (size_t i = 0; i < op->args.field_count && err == ERR_OK; i++) {
        char word[COMMAND_FLAG_MAX];
        char letter[8] = "";
        if (!argument_is_flag(&op->arguments[i]))
            continue;
        command_flag_name(&op->args.fields[i], word);
        if (op->arguments[i].flag != 0)
            (void)snprintf(letter, sizeof(letter), "-%c ", op->arguments[i].flag);
        err = buf_appendf(to, "%s`%s--%s`", between, letter, word);
        between = ", ";
    }
    return err == ERR_OK ? buf_appendf(to, " | %s |\n", op->args.doc) : err;
}

static enum err document_aliases(struct buf *to)
{
    enum err err = buf_append_text(to, "\nOther words that Kubo's users know:");
    for (const struct command_alias *a = command_aliases; a->words != NULL && err == ERR_OK; a++)
        err = buf_appendf(to, "%s `%s` is `%s`", a == command_aliases ? "" : ",", a->words, a->meant);
    return err == ERR_OK ? buf_append_text(to, ".\n") : err;
}

enum err commands_document(struct buf *to)
{
    const struct operation *rows[CMD_COUNT + OP_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < CMD_COUNT; i++)
        rows[count++] = &commands[i];
    for (size_t i = 0; i < OP_COUNT; i++)
        if (commands_offer(&operations[i]))
            rows[count++] = &operations[i];
    qsort(rows, count, sizeof(rows[0]), by_words);
    enum err err = buf_append_text(to, preamble);
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        err = document_words(rows[i], to);
        if (err == ERR_OK)
            err = document_flags(rows[i], to);
    }
    if (err == ERR_OK)
        err = document_aliases(to);
    if (err == ERR_OK)
        err = buf_append_text(to, postamble);
    return err == ERR_OK ? buf_appendf(to, "\nFlags of all commands:\n\n```\n%s```\n", commands_flags) : err;
}
