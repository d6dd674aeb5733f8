/* SPDX-License-Identifier: MIT */
#include "net/multicast.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "net/addr.h"

enum { PORT = 5353, FAMILIES = 2, IP_TTL_ALL = 255 };

/* Zero-initialised control space for one packet info of either family. */
union control {
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    struct cmsghdr align;
};

/* A family's socket and the links on which it has joined the group. */
struct channel {
    enum net_family family;
    int fd; /* -1: not open */
    uint32_t links[MULTICAST_LINKS_MAX];
    size_t link_count;
};

struct multicast {
    multicast_sink *sink;
    void *arg;
    struct channel channels[FAMILIES];
    uint8_t datagram[MULTICAST_BYTES_MAX];
};

static void group_of(enum net_family family, struct net_addr *ret_group)
{
    *ret_group = (struct net_addr){.family = family, .port = PORT};
    if (family == NET_IP4)
        memcpy(ret_group->ip, (const uint8_t[]){224, 0, 0, 251}, 4);
    else
        memcpy(ret_group->ip, (const uint8_t[16]){0xff, 0x02, [15] = 0xfb}, 16);
}

static enum err multicast_open(void *self, multicast_sink *sink, void *arg, struct multicast **ret_multicast)
{
    (void)self;
    struct multicast *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return ERR_NOMEM;
    m->sink = sink;
    m->arg = arg;
    m->channels[0] = (struct channel){.family = NET_IP4, .fd = -1};
    m->channels[1] = (struct channel){.family = NET_IP6, .fd = -1};
    *ret_multicast = m;
    return ERR_OK;
}

static void multicast_close(struct multicast *m)
{
    for (size_t i = 0; i < FAMILIES; i++)
        if (m->channels[i].fd >= 0)
            (void)close(m->channels[i].fd);
    free(m);
}

/* ---- sockets ---- */

/* Options that make it hear and say what it should: each failure would make it deaf or talk too far. */
static bool set_options(int fd, enum net_family family)
{
    int on = 1;
    int off = 0;
    int ttl = IP_TTL_ALL; /* RFC 6762 section 11: shows that no router was between */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return false;
    if (family == NET_IP4)
        return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) == 0 &&
               setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off)) == 0 &&
               setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof(ttl)) == 0;
    return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0 &&
           setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) == 0 &&
           setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &ttl, sizeof(ttl)) == 0;
}

/* IPv4 binds to the group, so that others keep what is sent to the machine itself; IPv6 would need a socket per link for that. */
static enum err open_channel(struct channel *c)
{
    struct sockaddr_storage sa;
    struct net_addr at;
    group_of(c->family, &at);
    if (c->family == NET_IP6)
        memset(at.ip, 0, sizeof(at.ip));
    socklen_t len = addr_to_sockaddr(&at, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    if (!set_options(fd, c->family) || bind(fd, (struct sockaddr *)&sa, len) != 0) {
        enum err err = errno == EADDRINUSE ? ERR_EXISTS : err_from_errno(errno);
        (void)close(fd);
        return err;
    }
    c->fd = fd;
    c->link_count = 0;
    return ERR_OK;
}

/* Joins or leaves; a link that is gone was left by the kernel. */
static bool set_member(const struct channel *c, uint32_t link, bool member)
{
    struct sockaddr_storage sa;
    struct net_addr group;
    group_of(c->family, &group);
    if (c->family == NET_IP6) {
        struct ipv6_mreq request = {.ipv6mr_interface = link};
        memcpy(&request.ipv6mr_multiaddr, group.ip, sizeof(request.ipv6mr_multiaddr));
        return setsockopt(c->fd, IPPROTO_IPV6, member ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &request,
                          sizeof(request)) == 0;
    }
    (void)addr_to_sockaddr(&group, &sa);
    struct ip_mreqn request = {.imr_ifindex = (int)link};
    memcpy(&request.imr_multiaddr, group.ip, sizeof(request.imr_multiaddr));
    return setsockopt(c->fd, IPPROTO_IP, member ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &request, sizeof(request)) ==
           0;
}

static bool has_link(const struct channel *c, uint32_t link)
{
    for (size_t i = 0; i < c->link_count; i++)
        if (c->links[i] == link)
            return true;
    return false;
}

/* Makes the channel a member on this link; false: the link cannot be used. */
static bool join_link(struct channel *c, uint32_t link)
{
    if (has_link(c, link))
        return true;
    if (c->link_count == MULTICAST_LINKS_MAX || !(set_member(c, link, true) || errno == EADDRINUSE))
        return false;
    c->links[c->link_count++] = link;
    return true;
}

/* ---- interfaces ---- */

static uint8_t prefix_of(const struct sockaddr *mask, enum net_family family)
{
    const struct sockaddr_in *four = (const void *)mask;
    const struct sockaddr_in6 *six = (const void *)mask;
    const uint8_t *bytes = family == NET_IP4 ? (const uint8_t *)&four->sin_addr : six->sin6_addr.s6_addr;
    uint8_t bits = 0;
    if (mask == NULL)
        return family == NET_IP4 ? 32 : 128;
    for (size_t i = 0; i < (family == NET_IP4 ? 4u : 16u); i++)
        bits = (uint8_t)(bits + __builtin_popcount(bytes[i]));
    return bits;
}

static bool carries_multicast(const struct ifaddrs *i)
{
    const unsigned needed = IFF_UP | IFF_RUNNING | IFF_MULTICAST;
    return i->ifa_addr != NULL && (i->ifa_flags & needed) == needed && (i->ifa_flags & IFF_LOOPBACK) == 0;
}

static struct channel *channel_of(struct multicast *m, enum net_family family)
{
    return &m->channels[family == NET_IP4 ? 0 : 1];
}

static int by_link(const void *left, const void *right)
{
    const struct multicast_addr *a = left;
    const struct multicast_addr *b = right;
    if (a->link != b->link)
        return a->link < b->link ? -1 : 1;
    if (a->addr.family != b->addr.family)
        return a->addr.family < b->addr.family ? -1 : 1;
    return memcmp(a->addr.ip, b->addr.ip, sizeof(a->addr.ip));
}

/* Leaves the links of which no address was found. */
static void leave_others(struct channel *c, const struct multicast_addr *addrs, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->link_count; i++) {
        bool found = false;
        for (size_t k = 0; k < count; k++)
            found = found || (addrs[k].link == c->links[i] && addrs[k].addr.family == c->family);
        if (found)
            c->links[kept++] = c->links[i];
        else
            (void)set_member(c, c->links[i], false);
    }
    c->link_count = kept;
}

static enum err multicast_join(struct multicast *m, struct multicast_addr *ret_addrs, size_t max, size_t *ret_count)
{
    struct ifaddrs *all;
    size_t count = 0;
    enum err err = ERR_OK;
    for (size_t i = 0; i < FAMILIES; i++)
        if (m->channels[i].fd < 0 && open_channel(&m->channels[i]) != ERR_OK)
            err = ERR_UNAVAILABLE;
    if (m->channels[0].fd < 0 && m->channels[1].fd < 0)
        return err;
    if (getifaddrs(&all) != 0)
        return err_from_errno(errno);
    for (const struct ifaddrs *i = all; i != NULL && count < max; i = i->ifa_next) {
        struct multicast_addr *to = &ret_addrs[count];
        *to = (struct multicast_addr){0};
        if (!carries_multicast(i) || addr_from_sockaddr(i->ifa_addr, &to->addr) != ERR_OK)
            continue;
        struct channel *c = channel_of(m, to->addr.family);
        to->link = if_nametoindex(i->ifa_name);
        to->prefix_bits = prefix_of(i->ifa_netmask, to->addr.family);
        if (to->link != 0 && c->fd >= 0 && join_link(c, to->link))
            count++;
    }
    freeifaddrs(all);
    for (size_t i = 0; i < FAMILIES; i++)
        leave_others(&m->channels[i], ret_addrs, count);
    qsort(ret_addrs, count, sizeof(*ret_addrs), by_link);
    *ret_count = count;
    return ERR_OK;
}

/* ---- datagrams ---- */

static enum err multicast_send(struct multicast *m, uint32_t link, enum net_family family, const void *bytes,
                               size_t len)
{
    const struct channel *c = channel_of(m, family);
    struct sockaddr_storage sa;
    struct net_addr group;
    struct iovec iov = {.iov_len = len};
    union control control = {0};
    if (c->fd < 0 || !has_link(c, link))
        return ERR_UNREACHABLE;
    group_of(family, &group);
    memcpy(&iov.iov_base, &bytes, sizeof(bytes)); /* the kernel does not write through it */
    struct msghdr msg = {.msg_name = &sa,
                         .msg_namelen = addr_to_sockaddr(&group, &sa),
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control};
    struct cmsghdr *info = &control.align;
    if (family == NET_IP4) {
        struct in_pktinfo out = {.ipi_ifindex = (int)link};
        *info = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(out)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
        memcpy(CMSG_DATA(info), &out, sizeof(out));
        msg.msg_controllen = CMSG_SPACE(sizeof(out));
    } else {
        struct in6_pktinfo out = {.ipi6_ifindex = link};
        *info =
            (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(out)), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
        memcpy(CMSG_DATA(info), &out, sizeof(out));
        msg.msg_controllen = CMSG_SPACE(sizeof(out));
    }
    return sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? err_from_errno(errno) : ERR_OK;
}

/* The link on which a datagram came; 0 when it was sent to another address than the group, which IPv4's binding keeps out already. */
static uint32_t link_of(struct msghdr *msg, enum net_family family)
{
    struct net_addr group;
    group_of(family, &group);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo in;
            memcpy(&in, CMSG_DATA(c), sizeof(in));
            return (uint32_t)in.ipi_ifindex;
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo in;
            memcpy(&in, CMSG_DATA(c), sizeof(in));
            return memcmp(&in.ipi6_addr, group.ip, sizeof(in.ipi6_addr)) == 0 ? in.ipi6_ifindex : 0;
        }
    }
    return 0;
}

static bool receive_one(struct multicast *m, const struct channel *c)
{
    struct sockaddr_storage sa;
    union control control = {0};
    struct iovec iov = {.iov_base = m->datagram, .iov_len = sizeof(m->datagram)};
    struct msghdr msg = {.msg_name = &sa,
                         .msg_namelen = sizeof(sa),
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t len = recvmsg(c->fd, &msg, MSG_DONTWAIT);
    if (len < 0)
        return errno == EINTR;
    struct multicast_datagram datagram = {.link = link_of(&msg, c->family), .bytes = m->datagram, .len = (size_t)len};
    if ((msg.msg_flags & MSG_TRUNC) == 0 && has_link(c, datagram.link) &&
        addr_from_sockaddr((struct sockaddr *)&sa, &datagram.from) == ERR_OK)
        m->sink(m->arg, &datagram);
    return true;
}

static void multicast_receive(struct multicast *m)
{
    for (size_t i = 0; i < FAMILIES; i++)
        for (int n = 0; n < MULTICAST_RECEIVES_PER_WAKE && m->channels[i].fd >= 0; n++)
            if (!receive_one(m, &m->channels[i]))
                break;
}

static size_t multicast_descriptors(const struct multicast *m, int ret_fds[MULTICAST_DESCRIPTORS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < FAMILIES; i++)
        if (m->channels[i].fd >= 0)
            ret_fds[count++] = m->channels[i].fd;
    return count;
}

const struct multicast_port *multicast_port(void)
{
    static const struct multicast_port port = {.open = multicast_open,
                                               .join = multicast_join,
                                               .send = multicast_send,
                                               .descriptors = multicast_descriptors,
                                               .receive = multicast_receive,
                                               .close = multicast_close};
    return &port;
}
