/* SPDX-License-Identifier: MIT */
/*
 * The configuration file: YAML whose nested mappings are the dotted keys of schemas/config.h. Read with libyaml, bounded in size and
 * depth; each error names the file, the line and the key.
 */
#ifndef HEARTH_CLI_CONFIG_FILE_H
#define HEARTH_CLI_CONFIG_FILE_H

#include "schemas/config.h"

enum { CONFIG_FILE_BYTES_MAX = 256 * 1024 };

/* Sets what the YAML text says. name is for messages. ERR_INVALID, ERR_NOT_FOUND (unknown key), ERR_TOO_LARGE. Blocks never. */
enum err config_file_parse(struct config *config, const char *name, struct span yaml,
                           char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/* Appends the file's text; to: of at least CONFIG_FILE_BYTES_MAX + 1. ERR_NOT_FOUND, ERR_TOO_LARGE, and what the disk says. Blocks. */
enum err config_file_read(const char *path, struct buf *to, char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/* Reads and parses a file. ERR_NOT_FOUND also when there is no such file. Blocks on the disk. */
enum err config_file_load(struct config *config, const char *path, char why[CONFIG_WHY_BYTES]) MUST_CHECK;

#endif
