/* SPDX-License-Identifier: MIT */
/* The resolver that DNS.Servers asks for. */
#ifndef HEARTH_CLI_NAME_SERVERS_H
#define HEARTH_CLI_NAME_SERVERS_H

#include "net/name_resolver.h"
#include "schemas/config.h"

/* The caller frees it with name_resolver_free. ERR_INVALID, ERR_TOO_LARGE: what is configured names no servers; why has the sentence. */
enum err name_servers_open(const struct config *config, struct name_resolver **ret_resolver,
                           char why[CONFIG_WHY_BYTES]) MUST_CHECK;

#endif
