/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "net/addr.h"

bool endpoint_speaks(enum multiaddr_transport via)
{
    return via == MULTIADDR_VIA_TCP || via == MULTIADDR_VIA_WS;
}

enum err endpoint_of_target(const struct multiaddr_target *target, struct endpoint *ret_endpoint)
{
    if (!endpoint_speaks(target->via))
        return ERR_UNSUPPORTED;
    struct endpoint e = {.websocket = target->via == MULTIADDR_VIA_WS};
    enum err err = addr_of_target(target, &e.addr);
    if (err == ERR_OK)
        *ret_endpoint = e;
    return err;
}

struct multiaddr endpoint_to_multiaddr(const struct endpoint *endpoint)
{
    struct multiaddr ma = addr_to_multiaddr(&endpoint->addr);
    if (endpoint->websocket && multiaddr_append(&ma, MULTIADDR_WS, (struct span){0}) != ERR_OK)
        return (struct multiaddr){0}; /* cannot be: there is room */
    return ma;
}

void endpoint_text(const struct endpoint *endpoint, char to[ENDPOINT_TEXT_MAX])
{
    struct multiaddr ma = endpoint_to_multiaddr(endpoint);
    if (multiaddr_text(multiaddr_span(&ma), to, ENDPOINT_TEXT_MAX) != ERR_OK)
        to[0] = '\0';
}

void endpoint_host(const struct endpoint *endpoint, char to[ENDPOINT_TEXT_MAX])
{
    char ip[INET6_ADDRSTRLEN] = "";
    bool six = endpoint->addr.family == NET_IP6;
    (void)inet_ntop(six ? AF_INET6 : AF_INET, endpoint->addr.ip, ip, sizeof(ip));
    (void)snprintf(to, ENDPOINT_TEXT_MAX, six ? "[%s]:%u" : "%s:%u", ip, endpoint->addr.port);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return a->websocket == b->websocket && addr_equal(&a->addr, &b->addr);
}
