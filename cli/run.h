/* SPDX-License-Identifier: MIT */
/* The functions behind commands.def: run_add for `add`. Each returns the exit status and has printed what there is to say. */
#ifndef HEARTH_CLI_RUN_H
#define HEARTH_CLI_RUN_H

#include "cli/client.h"
#include "cli/output.h"

#define COMMAND(upper, lower, ...)                                                                                     \
    int run_##lower(struct client *client, const struct invocation *in, const struct cmd_##lower *args);
#define LOCAL_COMMAND(upper, lower, ...) int run_##lower(const struct invocation *in, const struct cmd_##lower *args);
#include "cli/commands.def"

/* Asks and waits: the outcome's spans live until the call is freed. NULL without memory. */
struct call *ask(struct client *client, const char *op, struct span args, uint64_t timeout_ms, bool mutates,
                 struct outcome *ret_outcome);

/* Asks for the page behind `after` of an operation that takes no more than that; as ask. */
struct call *ask_after(struct client *client, const char *op, const char *after, struct outcome *ret_outcome);

/* Reads a file, or standard input ("-"), into a buffer that it makes; most: bytes. The exit status, and an error was printed. */
int read_input(struct span path, size_t most, struct buf *to);

/* {path} for operations that take one, `resolve` and `refs` among them; a call as of ask. */
struct call *ask_path(struct client *client, const char *op, const char *key, struct span path,
                      struct outcome *ret_outcome);

/* `block put`; a call as of ask. */
struct call *ask_block_put(struct client *client, struct span data, struct span codec, struct span hash, bool pin,
                           struct outcome *ret_outcome);

/* {path, after, limit} for `ls` and `dag walk`. */
enum err pack_ls(struct buf *to, struct span path, uint64_t after, uint64_t limit) MUST_CHECK;

/*
 * Reads a file (`read`), a tree stream (`get`) or a CAR (`dag export`) in order, several requests in flight. each gets the bytes, and the size of
 * the file or 0 when it is none or not known. DOWNLOAD_ENOUGH ends it with EXIT_OK, DOWNLOAD_FAILED with EXIT_ERROR.
 */
enum download_next { DOWNLOAD_MORE, DOWNLOAD_ENOUGH, DOWNLOAD_FAILED };
struct download {
    struct client *client;
    const char *op;
    struct span path;
    uint64_t offset;
    uint64_t length; /* most bytes */
    enum download_next (*each)(void *arg, struct span bytes, uint64_t file_size);
    void *arg;
};
int download_run(const struct download *d);

struct tree_event;

/* Who gets the events of a tree stream. */
struct tree_taker {
    int (*take)(void *arg, const struct tree_event *event); /* another status than EXIT_OK ends it */
    /* Whether what came is enough of a stream that is one file of that size, asked after each piece; may be NULL. */
    bool (*enough)(void *arg, uint64_t file_size);
    void *arg;
};

/* Reads the tree stream below a path, to its end or as much as is enough. */
int get_events(struct client *client, struct span path, const struct tree_taker *taker);

/*
 * The path with a name in front of it resolved, so that all requests of a command are about the same content; another path as it is. to: PATH_TEXT_MAX
 * bytes that *path then borrows from. The exit status, and an error was printed.
 */
int resolve_name(struct client *client, char *to, struct span *path);

/* What stands behind the last slash, those at the end left out. */
struct span path_last_part(struct span path);

#endif
