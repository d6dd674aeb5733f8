/* SPDX-License-Identifier: MIT */
/*
 * `get --archive` and `get --compress`: one file instead of a tree. A tree stream does not say how long a file is before its end, and a tar
 * header does: so the archive is written to the disk and the sizes are filled in. What is compressed too goes through a file without a name.
 */
#ifndef HEARTH_CLI_ARCHIVE_H
#define HEARTH_CLI_ARCHIVE_H

#include "cli/run.h"

/* Writes it, and removes it again when that failed. The exit status. */
int archive_get(struct client *client, const struct invocation *in, const struct cmd_get *args);

#endif
