/* SPDX-License-Identifier: MIT */
/* What `repo backup` and `repo restore` share. */
#ifndef HEARTH_CLI_COPY_H
#define HEARTH_CLI_COPY_H

#include "cli/output.h"
#include "storage/store_copy.h"

/* Real files. */
struct store_medium copy_medium(void);

/* Checks every block of the copy; says which are wrong. EXIT_ERROR when one is. */
int copy_verify(const struct invocation *in, const char *folder);

/*
 * Copies the keys of names from one folder's keystore/ into the other's; replace: also over those of the same name. Says what it did.
 */
int copy_keys(const char *from, const char *to, bool replace);

#endif
