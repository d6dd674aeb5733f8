/* SPDX-License-Identifier: MIT */
#include "dht/addr_scope.h"

#include "wire/addr_list.h"
#include "wire/multiaddr.h"

bool addr_scope_admits(enum addr_scope scope, struct span addr)
{
    switch (multiaddr_scope(addr)) {
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

enum err addr_scope_filter(enum addr_scope scope, struct span addrs, size_t max, struct buf *out)
{
    struct span addr;
    for (size_t count = 0; count < max && addr_list_next(&addrs, &addr);) {
        if (!addr_scope_admits(scope, addr))
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
