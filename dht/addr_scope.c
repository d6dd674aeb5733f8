/* SPDX-License-Identifier: MIT */
#include "dht/addr_scope.h"

#include "wire/addr_list.h"
#include "wire/multiaddr.h"

static bool admits(enum addr_scope scope, enum multiaddr_scope reach)
{
    switch (reach) {
    case MULTIADDR_SCOPE_PUBLIC:
        return true;
    case MULTIADDR_SCOPE_PRIVATE:
    case MULTIADDR_SCOPE_LINK:
        return scope != ADDR_SCOPE_WAN;
    case MULTIADDR_SCOPE_LOOPBACK:
        return scope == ADDR_SCOPE_LAN_LOOPBACK;
    case MULTIADDR_SCOPE_UNSPECIFIED:
    case MULTIADDR_SCOPE_RESERVED:
        return false;
    }
    return false;
}

bool addr_scope_admits(enum addr_scope scope, struct span addr)
{
    return admits(scope, multiaddr_scope(addr));
}

/* Nearly all begin with an IP, whose bytes say it all: an answer looks at a hundred addresses. */
bool addr_scope_admits_listed(enum addr_scope scope, struct span addr)
{
    if (addr.len > 1 + 4 && addr.data[0] == MULTIADDR_IP4)
        return admits(scope, multiaddr_ip_scope(span_of(addr.data + 1, 4)));
    if (addr.len > 1 + 16 && addr.data[0] == MULTIADDR_IP6)
        return admits(scope, multiaddr_ip_scope(span_of(addr.data + 1, 16)));
    return addr_scope_admits(scope, addr);
}

enum err addr_scope_filter(enum addr_scope scope, struct span addrs, size_t max, struct buf *out)
{
    struct span addr;
    for (size_t count = 0; count < max && addr_list_next(&addrs, &addr);) {
        if (!addr_scope_admits_listed(scope, addr))
            continue;
        size_t before = out->len;
        if (addr_list_add(out, addr) == ERR_NOMEM)
            return ERR_NOMEM;
        count += out->len > before;
    }
    return ERR_OK;
}

bool addr_scope_usable(enum addr_scope scope, struct span addrs)
{
    struct span addr;
    while (addr_list_next(&addrs, &addr)) {
        if (addr_scope_admits(scope, addr) && (scope != ADDR_SCOPE_WAN || !multiaddr_has(addr, MULTIADDR_P2P_CIRCUIT)))
            return true;
    }
    return false;
}
