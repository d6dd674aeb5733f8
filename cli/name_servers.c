/* SPDX-License-Identifier: MIT */
#include "cli/name_servers.h"

#include <stdio.h>

enum { SERVERS_BYTES = 512 };

enum err name_servers_open(const struct config *config, struct name_resolver **ret_resolver, char why[CONFIG_WHY_BYTES])
{
    char servers[SERVERS_BYTES] = "";
    size_t at = 0;
    for (size_t i = 0; i < config->dns_servers.count; i++) {
        int len = snprintf(servers + at, sizeof(servers) - at, "%s%s", i == 0 ? "" : ",", config->dns_servers.items[i]);
        if (len < 0 || (size_t)len >= sizeof(servers) - at) {
            (void)snprintf(why, CONFIG_WHY_BYTES, "DNS.Servers: longer than %d bytes in all", SERVERS_BYTES);
            return ERR_TOO_LARGE;
        }
        at += (size_t)len;
    }
    enum err err = name_resolver_new(servers, ret_resolver);
    if (err == ERR_INVALID)
        (void)snprintf(why, CONFIG_WHY_BYTES,
                       "DNS.Servers: \"%.300s\" names no servers such as 192.0.2.53 or [2001:db8::53]:53", servers);
    else if (err != ERR_OK)
        (void)snprintf(why, CONFIG_WHY_BYTES, "the resolver of names does not start: %s", err_text(err));
    return err;
}
