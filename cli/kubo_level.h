/* SPDX-License-Identifier: MIT */
/*
 * A LevelDB, read through libleveldb out of a copy: opening one writes to it.
 */
#ifndef HEARTH_CLI_KUBO_LEVEL_H
#define HEARTH_CLI_KUBO_LEVEL_H

#include "cli/kubo_repository.h"

struct kubo_level;

/* Copies the folder's files below $TMPDIR or /tmp and opens the copy. ERR_UNSUPPORTED: no libleveldb here; ret_why has a sentence. */
enum err kubo_level_open(const char *path, struct kubo_level **ret_level, char ret_why[KUBO_WHY_BYTES]) MUST_CHECK;

/* Removes the copy. NULL is ignored. */
void kubo_level_close(struct kubo_level *level);

/* Calls each for every key that begins with a prefix, in order, until it returns other than 0, which is returned; -1: it cannot be read. */
int kubo_level_each(struct kubo_level *level, const char *prefix,
                    int (*each)(void *arg, struct span key, struct span value), void *arg) MUST_CHECK;

#endif
