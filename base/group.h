/* SPDX-License-Identifier: MIT */
/*
 * The group that a configuration names: by its name, or by its number where no name is known, as in a container. Any thread.
 */
#ifndef HEARTH_BASE_GROUP_H
#define HEARTH_BASE_GROUP_H

#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"

/* ERR_NOT_FOUND when the text is neither. Reads the system's group file; blocks as long as that takes. */
enum err group_find(const char *name, gid_t *ret_gid) MUST_CHECK;

#endif
