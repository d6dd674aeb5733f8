/* SPDX-License-Identifier: MIT */
/*
 * A Kubo repository, read and never written.
 *
 *      datastore_spec                         which datastore is mounted where, as JSON
 *      blocks/SHARDING                        /repo/flatfs/shard/v1/<prefix, suffix or next-to-last>/<n>
 *      blocks/<shard>/<multihash>.data        a block; its multihash in base32, upper case
 *      datastore/                             LevelDB: pins, and much that concerns nobody else
 *      repo.lock                              held by a running node (fcntl)
 *
 * Files of flatfs come by rename and never change, so blocks can be read while the node runs; its LevelDB cannot. Spec: the on-disk
 * layout of go-ds-flatfs.
 */
#ifndef HEARTH_CLI_KUBO_REPOSITORY_H
#define HEARTH_CLI_KUBO_REPOSITORY_H

#include "schemas/arguments.h"
#include "wire/multihash.h"

enum { KUBO_PATH_MAX = PATH_TEXT_MAX + 512, KUBO_WHY_BYTES = KUBO_PATH_MAX + 512, KUBO_SHARD_MAX = 64 };

enum kubo_sharding { KUBO_PREFIX, KUBO_SUFFIX, KUBO_NEXT_TO_LAST };

struct kubo_repository {
    char blocks[KUBO_PATH_MAX];
    char datastore[KUBO_PATH_MAX]; /* "" when it is no LevelDB */
    char datastore_type[32];
    enum kubo_sharding sharding;
    size_t shard_len; /* characters in the name of a shard's folder */
    bool running;     /* a node held repo.lock when it was opened */
};

/* ERR_NOT_FOUND, ERR_UNSUPPORTED (blocks in another datastore), ERR_IO, …; ret_why has one sentence. */
enum err kubo_repository_open(const char *path, struct kubo_repository *ret_repository,
                              char ret_why[KUBO_WHY_BYTES]) MUST_CHECK;

/*
 * Reads a block's file into to, which is cleared first; nothing is verified. ERR_NOT_FOUND, ERR_TOO_LARGE (over the buffer's maximum),
 * ERR_NOMEM, ERR_IO.
 */
enum err kubo_repository_read(const struct kubo_repository *repository, const struct multihash *hash,
                              struct buf *to) MUST_CHECK;

/* Calls each for every block there is, in no order, until it returns other than 0, which is returned; -1: a folder cannot be read. */
int kubo_repository_each(const struct kubo_repository *repository, int (*each)(void *arg, const struct multihash *hash),
                         void *arg) MUST_CHECK;

/* Opens a file to be read, without a trace in its access time where the system lets us. -1 with errno. */
int kubo_open(const char *path);

#endif
