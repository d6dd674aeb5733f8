/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/reach.h"

#include <string.h>

static const uint8_t loopback6[16] = {[15] = 1};
static const uint8_t none[16];

static enum reach reach_of_ip4(const uint8_t *ip)
{
    if (ip[0] == 0 || ip[0] >= 224)
        return REACH_NOWHERE;
    if (ip[0] == 127)
        return REACH_LOOPBACK;
    bool local = ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) || (ip[0] == 192 && ip[1] == 168) ||
                 (ip[0] == 169 && ip[1] == 254) || (ip[0] == 100 && (ip[1] & 0xc0) == 64);
    return local ? REACH_LOCAL : REACH_PUBLIC;
}

enum reach reach_of(const struct net_addr *addr)
{
    if (addr->family == NET_IP4)
        return reach_of_ip4(addr->ip);
    if (memcmp(addr->ip, none, 16) == 0 || addr->ip[0] == 0xff)
        return REACH_NOWHERE;
    if (memcmp(addr->ip, loopback6, 16) == 0)
        return REACH_LOOPBACK;
    bool local = (addr->ip[0] & 0xfe) == 0xfc || (addr->ip[0] == 0xfe && (addr->ip[1] & 0xc0) == 0x80);
    return local ? REACH_LOCAL : REACH_PUBLIC;
}

bool reach_is_near(const struct net_addr *addr)
{
    enum reach reach = reach_of(addr);
    return reach == REACH_LOOPBACK || reach == REACH_LOCAL;
}

bool reach_may_tell(enum reach addr, enum reach connection)
{
    return addr != REACH_NOWHERE && addr >= connection;
}

/* Which endpoints are placed next. */
struct rank {
    enum reach reach;
    bool websocket;
};

/* Moves the next unplaced endpoint of this rank and family, if any. */
static bool place(const struct endpoint *addrs, size_t count, size_t *cursor, enum net_family family,
                  const struct rank *rank, struct endpoint *to)
{
    for (; *cursor < count; ++*cursor) {
        const struct endpoint *e = &addrs[*cursor];
        if (e->addr.family != family || e->websocket != rank->websocket || reach_of(&e->addr) != rank->reach)
            continue;
        *to = addrs[(*cursor)++];
        return true;
    }
    return false;
}

void reach_sort(struct endpoint *addrs, size_t count)
{
    struct endpoint sorted[REACH_SORT_MAX + 1]; /* one past the end is offered, never filled */
    size_t n = 0;
    for (int i = 0; i < 2 * (REACH_NOWHERE + 1); i++) {
        struct rank rank = {.reach = (enum reach)(i / 2), .websocket = i % 2 == 1};
        size_t six = 0;
        size_t four = 0;
        bool more = true;
        while (more) {
            more = false;
            if (place(addrs, count, &six, NET_IP6, &rank, &sorted[n])) {
                n++;
                more = true;
            }
            if (place(addrs, count, &four, NET_IP4, &rank, &sorted[n])) {
                n++;
                more = true;
            }
        }
    }
    memcpy(addrs, sorted, n * sizeof(*sorted));
}
