/* SPDX-License-Identifier: MIT */
#include "net/addr.h"

#include <netinet/in.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

socklen_t addr_to_sockaddr(const struct net_addr *addr, struct sockaddr_storage *ret_sa)
{
    memset(ret_sa, 0, sizeof(*ret_sa));
    if (addr->family == NET_IP4) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret_sa;
        in->sin_family = AF_INET;
        in->sin_port = htons(addr->port);
        memcpy(&in->sin_addr, addr->ip, 4);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_sa;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(addr->port);
    in6->sin6_scope_id = addr->scope_id;
    memcpy(&in6->sin6_addr, addr->ip, 16);
    return sizeof(*in6);
}

enum err addr_from_sockaddr(const struct sockaddr *sa, struct net_addr *ret_addr)
{
    struct net_addr addr = {0};
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        addr.family = NET_IP4;
        addr.port = ntohs(in.sin_port);
        memcpy(addr.ip, &in.sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        addr.port = ntohs(in6.sin6_port);
        bool mapped = memcmp(&in6.sin6_addr, mapped_prefix, sizeof(mapped_prefix)) == 0;
        addr.family = mapped ? NET_IP4 : NET_IP6;
        addr.scope_id = mapped ? 0 : in6.sin6_scope_id;
        memcpy(addr.ip, (const uint8_t *)&in6.sin6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
    } else {
        return ERR_UNSUPPORTED;
    }
    *ret_addr = addr;
    return ERR_OK;
}

void addr_map(const struct net_addr *addr, uint8_t ret_ip[IP_BYTES])
{
    ip_map(addr->ip, addr->family == NET_IP4, ret_ip);
}

bool addr_equal(const struct net_addr *a, const struct net_addr *b)
{
    return a->family == b->family && a->port == b->port && a->scope_id == b->scope_id &&
           memcmp(a->ip, b->ip, a->family == NET_IP4 ? 4 : 16) == 0;
}

enum err addr_of_target(const struct multiaddr_target *target, struct net_addr *ret_addr)
{
    if ((target->host != MULTIADDR_HOST_IP4 && target->host != MULTIADDR_HOST_IP6) || target->zone.len > 0)
        return ERR_UNSUPPORTED;
    bool ip4 = target->host == MULTIADDR_HOST_IP4;
    struct net_addr addr = {.family = ip4 ? NET_IP4 : NET_IP6, .port = target->port};
    memcpy(addr.ip, target->ip, ip4 ? 4 : 16);
    *ret_addr = addr;
    return ERR_OK;
}

struct multiaddr addr_to_multiaddr(const struct net_addr *addr)
{
    return multiaddr_of_tcp(span_of(addr->ip, addr->family == NET_IP4 ? 4 : 16), addr->port);
}
