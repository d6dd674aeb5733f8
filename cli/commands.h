/* SPDX-License-Identifier: MIT */
/*
 * What can be typed after `hearth`: the commands of commands.def and the operations of the control socket, one table for parsing,
 * completion and --help.
 */
#ifndef HEARTH_CLI_COMMANDS_H
#define HEARTH_CLI_COMMANDS_H

#include "schemas/operations.h"

enum command_id {
#define COMMAND(upper, ...) CMD_##upper,
#include "cli/commands.def"
    CMD_COUNT
};

#define COMMAND(upper, lower, words, text, ...) ARGUMENT_STRUCT(cmd_##lower, __VA_ARGS__)
#include "cli/commands.def"

/* CMD_COUNT rows, indexed by enum command_id. */
extern const struct operation commands[];

/* Other words that Kubo's users know for the same thing; the last row is NULL. */
struct command_alias {
    const char *words;
    const char *meant;
};
extern const struct command_alias command_aliases[];

enum { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_NOT_RUNNING = 3, EXIT_NOT_FOUND = 4, EXIT_TIMED_OUT = 124 };

/* The flags that every command takes. */
struct globals {
    const char *api;         /* URL of the control socket, NULL = the repository's */
    const char *repo_dir;    /* NULL = as repository_find */
    const char *config_file; /* for hearthd */
    const char *cid_base;    /* multibase name, NULL = as it is */
    const char *ipns_base;   /* multibase name or b58mh, NULL = base36 */
    uint64_t timeout_ms;     /* 0 = not given */
    bool json;
    bool offline;
    bool debug;
    bool trace; /* the number of what was asked is printed, for `trace` */
    bool help;
};

/* One command line, read. */
struct invocation {
    const struct operation *what; /* NULL: no such command, or only global flags */
    bool is_command;              /* a row of commands, else of operations */
    struct globals globals;
    struct buf args;        /* msgpack map for arguments_unpack */
    const char *more[1024]; /* further positionals of an operation that takes one: it is asked for each */
    size_t more_count;
    char why[256]; /* the sentence of a usage error */
};

/*
 * Reads argv (without the program's name). ERR_INVALID with a sentence in ret->why. ret->args is always to be released.
 * Arguments borrow from argv.
 */
enum err invocation_parse(int argc, char *const *argv, struct invocation *ret) MUST_CHECK;

/* The word of an argument on the command line: dashes for underscores; one at the end, for words of C, is dropped. */
enum { COMMAND_FLAG_MAX = 64 };
void command_flag_name(const struct field *f, char to[COMMAND_FLAG_MAX]);

/* Whether commands begin with these words without being one themselves: "swarm", "swarm peering". */
bool commands_group(const char *words);

/* Help about everything that begins with the words of what was parsed; what may be NULL = all commands. */
void commands_help(const struct operation *what, const char *group);

/* What --help says of the flags of all commands. */
extern const char commands_flags[];

/* Whether help offers an operation as a command: people can type it, and no command takes its place. */
bool commands_offer(const struct operation *op);

/* Appends docs/commands.md. Errors of the buffer. */
enum err commands_document(struct buf *to) MUST_CHECK;

/* "30s", "500ms", "2m", "1h30m", or plain seconds. ERR_INVALID. */
enum err duration_parse(const char *text, uint64_t *ret_ms) MUST_CHECK;

#endif
