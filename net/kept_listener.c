/* SPDX-License-Identifier: MIT */
#include "net/kept_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/addr.h"
#include "net/reactor_internal.h"

void socket_local(int fd, struct net_addr *ret_addr)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
        (void)addr_from_sockaddr((struct sockaddr *)&sa, ret_addr);
}

/* "tcp 4 7f000001... 4001 0" */
static void name_of(const struct net_addr *addr, char to[KEEP_NAME_BYTES])
{
    int at = snprintf(to, KEEP_NAME_BYTES, "tcp %d ", (int)addr->family);
    for (size_t i = 0; i < sizeof(addr->ip); i++)
        at += snprintf(to + at, KEEP_NAME_BYTES - (size_t)at, "%02x", addr->ip[i]);
    (void)snprintf(to + at, KEEP_NAME_BYTES - (size_t)at, " %u %u", addr->port, addr->scope_id);
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    return getsockopt(fd, level, name, &value, &len) == 0 ? value : -1;
}

/* A TCP socket that listens where it was asked to: what another process left may be anything. */
static bool listens_at(int fd, const struct net_addr *asked, struct net_addr *ret_bound)
{
    struct net_addr bound = {.family = 0};
    if (option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1 || option(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP)
        return false;
    socket_local(fd, &bound);
    *ret_bound = bound;
    if (asked->port == 0)
        bound.port = 0;
    return addr_equal(&bound, asked);
}

static bool take_left(const struct reactor *r, const struct net_addr *addr, struct kept_listener *ret_kept)
{
    char name[KEEP_NAME_BYTES];
    struct kept_listener kept = {.asked = *addr};
    if (r->keep == NULL)
        return false;
    name_of(addr, name);
    kept.fd = r->keep->find(r->keep->self, name);
    if (kept.fd < 0)
        return false;
    if (!listens_at(kept.fd, addr, &kept.bound) || fcntl(kept.fd, F_SETFL, O_NONBLOCK) != 0) {
        (void)close(kept.fd);
        r->keep->forget(r->keep->self, name);
        return false;
    }
    *ret_kept = kept;
    return true;
}

static bool take_kept(struct reactor *r, const struct net_addr *addr, struct kept_listener *ret_kept)
{
    for (size_t i = 0; i < r->kept_count; i++) {
        if (!addr_equal(&r->kept[i].asked, addr))
            continue;
        *ret_kept = r->kept[i];
        r->kept[i] = r->kept[--r->kept_count];
        return true;
    }
    return false;
}

static enum err open_new(const struct net_addr *addr, struct kept_listener *ret_kept)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(addr, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (addr->family == NET_IP6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&sa, len) != 0 || listen(fd, REACTOR_BACKLOG) != 0) {
        enum err err = errno == EADDRINUSE ? ERR_EXISTS : err_from_errno(errno);
        (void)close(fd);
        return err;
    }
    *ret_kept = (struct kept_listener){.asked = *addr, .fd = fd};
    socket_local(fd, &ret_kept->bound);
    return ERR_OK;
}

/* Where there is no room, the port is lost with the process and that is all. */
static void leave(const struct reactor *r, const struct kept_listener *kept)
{
    char name[KEEP_NAME_BYTES];
    if (r->keep == NULL)
        return;
    name_of(&kept->asked, name);
    (void)!r->keep->keep(r->keep->self, name, kept->fd);
}

enum err kept_listener_open(struct reactor *r, const struct net_addr *addr, struct kept_listener *ret_kept)
{
    if (take_kept(r, addr, ret_kept) || take_left(r, addr, ret_kept))
        return ERR_OK;
    enum err err = open_new(addr, ret_kept);
    if (err == ERR_OK)
        leave(r, ret_kept);
    return err;
}

void kept_listener_return(struct reactor *r, const struct kept_listener *kept)
{
    if (r->kept_count < REACTOR_LISTENERS_MAX)
        r->kept[r->kept_count++] = *kept;
    else
        kept_listener_close(r, kept);
}

void kept_listener_close(struct reactor *r, const struct kept_listener *kept)
{
    char name[KEEP_NAME_BYTES];
    if (r->keep != NULL) {
        name_of(&kept->asked, name);
        r->keep->forget(r->keep->self, name);
    }
    (void)close(kept->fd);
}
