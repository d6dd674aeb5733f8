/* SPDX-License-Identifier: MIT */
/*
 * Changes one list in the configuration file and leaves the rest as people wrote it: comments, order, spaces.
 *
 *      Addresses:                        Addresses:
 *        Swarm: [...] # mine               Swarm: [...] # mine
 *      Bootstrap:               ──>      Bootstrap: ["auto", "/ip4/..."]
 *        - auto                          Log: ...
 *      Log: ...
 *
 * libyaml can print a document, but not with its comments. So the lines of the key are replaced, and the result is read again: unless
 * it says what it said before but for that list, the file is not touched.
 */
#ifndef HEARTH_CLI_CONFIG_EDIT_H
#define HEARTH_CLI_CONFIG_EDIT_H

#include "schemas/config.h"

/*
 * Appends to `to` the text with that list for a key of the first level. ERR_UNSUPPORTED: the file is written in a way that is left to
 * people; ERR_INVALID and the like: the text is no configuration. name is for messages.
 */
enum err config_edit_list(struct span text, const char *name, const char *key, const struct config_list *list,
                          struct buf *to, char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/* The same for a file, which need not be there; it is replaced as a whole. ERR_DENIED, ERR_READ_ONLY and what else a disk says. Blocks. */
enum err config_edit_file(const char *path, const char *key, const struct config_list *list,
                          char why[CONFIG_WHY_BYTES]) MUST_CHECK;

#endif
