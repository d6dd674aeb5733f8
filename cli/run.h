/* SPDX-License-Identifier: MIT */
/* The functions behind commands.def. Each returns the exit status and has printed what there is to say. */
#ifndef HEARTH_CLI_RUN_H
#define HEARTH_CLI_RUN_H

#include "cli/client.h"
#include "cli/output.h"

int run_add(struct client *client, const struct invocation *in, const struct cmd_add *args);
int run_cat(struct client *client, const struct invocation *in, const struct cmd_cat *args);
int run_get(struct client *client, const struct invocation *in, const struct cmd_get *args);
int run_ls(struct client *client, const struct invocation *in, const struct cmd_ls *args);
int run_refs(struct client *client, const struct invocation *in, const struct cmd_refs *args);
int run_dag_get(struct client *client, const struct invocation *in, const struct cmd_dag_get *args);
int run_dag_put(struct client *client, const struct invocation *in, const struct cmd_dag_put *args);
int run_dag_resolve(struct client *client, const struct invocation *in, const struct cmd_dag_resolve *args);
int run_dag_import(struct client *client, const struct invocation *in, const struct cmd_dag_import *args);
int run_dag_export(struct client *client, const struct invocation *in, const struct cmd_dag_export *args);
int run_dag_stat(struct client *client, const struct invocation *in, const struct cmd_dag_stat *args);
int run_block_get(struct client *client, const struct invocation *in, const struct cmd_block_get *args);
int run_block_stat(struct client *client, const struct invocation *in, const struct cmd_block_stat *args);
int run_block_has(struct client *client, const struct invocation *in, const struct cmd_block_has *args);
int run_block_rm(struct client *client, const struct invocation *in, const struct cmd_block_rm *args);
int run_block_put(struct client *client, const struct invocation *in, const struct cmd_block_put *args);
int run_metadata_put(struct client *client, const struct invocation *in, const struct cmd_metadata_put *args);
int run_metadata_update(struct client *client, const struct invocation *in, const struct cmd_metadata_update *args);
int run_metadata_query(struct client *client, const struct invocation *in, const struct cmd_metadata_query *args);
int run_why(struct client *client, const struct invocation *in, const struct cmd_why *args);
int run_import(struct client *client, const struct invocation *in, const struct cmd_import *args);
int run_pin_verify(struct client *client, const struct invocation *in, const struct cmd_pin_verify *args);
int run_repo_gc(struct client *client, const struct invocation *in, const struct cmd_repo_gc *args);
int run_pin_ls(struct client *client, const struct invocation *in, const struct cmd_pin_ls *args);
int run_repo_verify(struct client *client, const struct invocation *in, const struct cmd_repo_verify *args);
int run_repo_backup(struct client *client, const struct invocation *in, const struct cmd_repo_backup *args);
int run_repo_restore(const struct invocation *in, const struct cmd_repo_restore *args);
int run_log_level(struct client *client, const struct invocation *in, const struct cmd_log_level *args);
int run_query(struct client *client, const struct invocation *in, const struct cmd_query *args);
int run_top(struct client *client, const struct invocation *in, const struct cmd_top *args);
int run_cid_format(const struct invocation *in, const struct cmd_cid_format *args);
int run_cid_base32(const struct invocation *in, const struct cmd_cid_base32 *args);
int run_repo_version(const struct invocation *in, const struct cmd_repo_version *args);
int run_repo_migrate(const struct invocation *in, const struct cmd_repo_migrate *args);
int run_sql(const struct invocation *in, const struct cmd_sql *args);

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

/* What stands behind the last slash, those at the end left out. */
struct span path_last_part(struct span path);

#endif
