/* SPDX-License-Identifier: MIT */
/*
 * An endpoint: where a dial goes or a listener waits, as far as sockets know it: a TCP address and what is spoken on it.
 *
 *      /ip4/1.2.3.4/tcp/4001          raw: multistream-select at once
 *      /ip6/::1/tcp/8081/ws           WebSocket, then the same inside
 *
 * Names are resolved before there is an endpoint. /wss and /tls/ws need certificates of the web's authorities on both sides and are
 * not spoken. Pure functions, any thread.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_ENDPOINT_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_ENDPOINT_H

#include <stdbool.h>

#include "base/attr.h"
#include "mailbox/ports.h"
#include "wire/multiaddr.h"

struct endpoint {
    struct net_addr addr;
    bool websocket;
};

enum { ENDPOINT_TEXT_MAX = 96 };

/* Whether this transport is spoken here: /tcp or /ws. */
bool endpoint_speaks(enum multiaddr_transport via);

/* Of a target whose host is an IP literal. ERR_UNSUPPORTED: a name, a zone, or a transport that is not spoken. */
enum err endpoint_of_target(const struct multiaddr_target *target, struct endpoint *ret_endpoint) MUST_CHECK;

struct multiaddr endpoint_to_multiaddr(const struct endpoint *endpoint);

/* The same as text with a final NUL. */
void endpoint_text(const struct endpoint *endpoint, char to[ENDPOINT_TEXT_MAX]);

/* "1.2.3.4:8081" or "[::1]:8081", what HTTP calls the host. */
void endpoint_host(const struct endpoint *endpoint, char to[ENDPOINT_TEXT_MAX]);

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

#endif
