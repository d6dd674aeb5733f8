/* SPDX-License-Identifier: MIT */
/*
 * The repository on disk, as the commands see it before any actor runs:
 *
 *      $HEARTH_PATH/            0700 (0710 with Control.Group, 0711 with Control.AllowedUIDs)
 *          config.yaml          what differs from the defaults
 *          identity.key         0600, the libp2p PrivateKey protobuf; its absence or damage is an error, never a new identity
 *          swarm.key            of a private network, in Kubo's form; not there: the public one
 *          daemon.lock          flock: one daemon
 *          run/control.sock     the control socket
 *          run/files.sock       where open files are handed to the daemon
 *          state.db  blocks.db  segments/
 */
#ifndef HEARTH_CLI_REPOSITORY_H
#define HEARTH_CLI_REPOSITORY_H

#include <limits.h>

#include "schemas/config.h"

enum { REPOSITORY_PATH_MAX = 1024 };

/* The longest path of a Unix socket that nng takes. */
enum { REPOSITORY_SOCKET_MAX = 107 };

/*
 * Which repository is meant: repo_dir if given, else $HEARTH_PATH, else ./data when it is a repository, else ~/.hearth. Always
 * absolute. ERR_TOO_LARGE, ERR_NOT_FOUND (no home).
 */
enum err repository_find(const char *repo_dir, char ret_path[REPOSITORY_PATH_MAX],
                         char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/* True when path holds an initialised repository. */
bool repository_exists(const char *path);

/*
 * Makes the repository: folders, identity.key (a new Ed25519 key) and config.yaml with what the comma-separated profiles (may be
 * NULL) change. Each file is complete and synced before it gets its name. ERR_EXISTS when it is one already.
 */
enum err repository_init(const char *path, const char *profiles, char why[CONFIG_WHY_BYTES]) MUST_CHECK;

struct key_pair;

/* Reads identity.key. ERR_NOT_FOUND, ERR_CORRUPT, ERR_DENIED, each with the file's name and what to do in why. */
enum err repository_identity(const char *path, struct key_pair **ret_pair, char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/*
 * The key of the private network that the configuration or the repository's swarm.key names, for ret_key's 32 bytes (secret); *ret_private
 * is false when there is none. ERR_DENIED: there is none and there has to be (Swarm.ForcePrivate, LIBP2P_FORCE_PNET); ERR_CORRUPT.
 */
enum err repository_swarm_key(const struct config *config, uint8_t *ret_key, bool *ret_private,
                              char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/*
 * The configuration in force: defaults, then config_file (NULL = config.yaml of the repository, which may be missing), then the
 * environment; checked, the length of the control socket's path too. The caller frees it.
 */
enum err repository_config(const char *path, const char *config_file, struct config **ret_config,
                           char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/*
 * Takes the lock that makes this process the repository's only daemon; ERR_BUSY when another has it for 3 s on end: one whose nanny
 * was killed still ends by itself then, and whoever starts it anew need not try twice. The descriptor stays open.
 */
enum err repository_lock(const char *path, int *ret_fd, char why[CONFIG_WHY_BYTES]) MUST_CHECK;

#endif
