/* SPDX-License-Identifier: MIT */
#include "dht/ip_group.h"

#include "wire/addr_list.h"
#include "wire/multiaddr.h"

/* Above the 32 bits of a prefix. */
enum group_kind { GROUP_IP4_8 = 1, GROUP_IP4_16, GROUP_IP6_32, GROUP_NAME };

/* The networks of class A that one owner got whole: those that go-libp2p-kbucket takes as one. */
static const uint8_t whole_networks[] = {12, 17, 19, 38, 48, 53, 56, 73};

static ip_group make(enum group_kind kind, uint32_t prefix)
{
    return (uint64_t)kind << 32 | prefix;
}

static ip_group of_ip4(const uint8_t ip[4])
{
    for (size_t i = 0; i < sizeof(whole_networks); i++) {
        if (ip[0] == whole_networks[i])
            return make(GROUP_IP4_8, ip[0]);
    }
    return make(GROUP_IP4_16, (uint32_t)ip[0] << 8 | ip[1]);
}

ip_group ip_group_of_ip(struct span ip)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (ip.len == 4)
        return of_ip4(ip.data);
    if (ip.len != 16)
        return 0;
    if (span_equal(span_first(ip, sizeof(mapped)), span_of(mapped, sizeof(mapped))))
        return of_ip4(ip.data + 12);
    if (ip.data[0] == 0x20 && ip.data[1] == 0x02)
        return of_ip4(ip.data + 2);
    return make(GROUP_IP6_32,
                (uint32_t)ip.data[0] << 24 | (uint32_t)ip.data[1] << 16 | (uint32_t)ip.data[2] << 8 | ip.data[3]);
}

ip_group ip_group_of_addr(struct span multiaddr)
{
    while (multiaddr.len > 0) {
        struct multiaddr_part part;
        if (multiaddr_next(&multiaddr, &part) != ERR_OK)
            return 0;
        if (part.code == MULTIADDR_IP6ZONE)
            continue;
        if (part.code == MULTIADDR_IP4 || part.code == MULTIADDR_IP6)
            return ip_group_of_ip(part.value);
        if (part.code == MULTIADDR_DNS || part.code == MULTIADDR_DNS4 || part.code == MULTIADDR_DNS6 ||
            part.code == MULTIADDR_DNSADDR)
            return make(GROUP_NAME, 0);
        return 0;
    }
    return 0;
}

size_t ip_group_of_list(struct span addrs, ip_group *groups, size_t max)
{
    struct span addr;
    size_t count = 0;
    while (count < max && addr_list_next(&addrs, &addr)) {
        ip_group group = ip_group_of_addr(addr);
        bool known = group == 0;
        for (size_t i = 0; i < count && !known; i++)
            known = groups[i] == group;
        if (!known)
            groups[count++] = group;
    }
    return count;
}
