/* SPDX-License-Identifier: MIT */
#include "base/file_pass.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/le.h"

/* Aligned as the kernel wants it: the sender's credentials, and one descriptor. */
union control {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
};

static enum err address_of(const char *path, struct sockaddr_un *ret_address)
{
    size_t len = strlen(path);
    if (len > FILE_PASS_PATH_MAX)
        return ERR_TOO_LARGE;
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret_address->sun_path, path, len + 1);
    return ERR_OK;
}

/* ---- receiving ---- */

static bool is_socket(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* The mode is set before the file has its name, so at no time is it wider. */
static enum err bind_to(int fd, const struct sockaddr_un *address)
{
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0 || fchmod(fd, 0600) != 0)
        return err_from_errno(errno);
    int code = bind(fd, (const struct sockaddr *)address, sizeof(*address));
    if (code != 0 && errno == EADDRINUSE && is_socket(address->sun_path) && unlink(address->sun_path) == 0)
        code = bind(fd, (const struct sockaddr *)address, sizeof(*address));
    return code == 0 ? ERR_OK : err_from_errno(errno);
}

enum err file_pass_listen(const char *path, int *ret_socket)
{
    struct sockaddr_un address;
    enum err err = address_of(path, &address);
    if (err != ERR_OK)
        return err;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    err = bind_to(fd, &address);
    if (err == ERR_OK)
        *ret_socket = fd;
    else
        (void)close(fd);
    return err;
}

/* What came beside the bytes. */
struct carried {
    bool has_uid;
    uint32_t uid;
    size_t count; /* of descriptors; the padding of the room for one may hold another */
    int fd;       /* the first of them */
};

static void carry_descriptors(const struct cmsghdr *part, struct carried *carried)
{
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(part) + i * sizeof(fd), sizeof(fd));
        if (carried->count++ == 0)
            carried->fd = fd;
        else
            (void)close(fd);
    }
}

static struct carried carried_by(struct msghdr *msg)
{
    struct carried carried = {.fd = -1};
    for (struct cmsghdr *part = CMSG_FIRSTHDR(msg); part != NULL; part = CMSG_NXTHDR(msg, part)) {
        struct ucred sender;
        if (part->cmsg_level != SOL_SOCKET)
            continue;
        if (part->cmsg_type == SCM_RIGHTS)
            carry_descriptors(part, &carried);
        if (part->cmsg_type == SCM_CREDENTIALS && part->cmsg_len == CMSG_LEN(sizeof(sender))) {
            memcpy(&sender, CMSG_DATA(part), sizeof(sender));
            carried.has_uid = true;
            carried.uid = (uint32_t)sender.uid;
        }
    }
    return carried;
}

enum err file_pass_receive(int socket, struct passed_file *ret_file)
{
    uint8_t bytes[FILE_PASS_BYTES];
    union control control;
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct msghdr msg = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t len;
    do
        len = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (len < 0 && errno == EINTR);
    if (len < 0)
        return err_from_errno(errno);
    struct carried carried = carried_by(&msg);
    bool whole = (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && len == FILE_PASS_BYTES;
    if (whole && carried.has_uid && carried.count == 1 && le_get(bytes, 4) == FILE_PASS_MAGIC &&
        le_get(bytes + 4, 4) == FILE_PASS_VERSION) {
        *ret_file = (struct passed_file){.token = le_get(bytes + 8, 8), .uid = carried.uid, .fd = carried.fd};
        return ERR_OK;
    }
    if (carried.fd >= 0)
        (void)close(carried.fd);
    return ERR_INVALID;
}

/* ---- sending ---- */

enum err file_pass_send(const char *path, uint64_t token, int fd)
{
    struct sockaddr_un address;
    enum err err = address_of(path, &address);
    if (err != ERR_OK)
        return err;
    uint8_t bytes[FILE_PASS_BYTES];
    le_put(bytes, FILE_PASS_MAGIC, 4);
    le_put(bytes + 4, FILE_PASS_VERSION, 4);
    le_put(bytes + 8, token, 8);
    union control control = {0};
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct msghdr msg = {.msg_name = &address,
                         .msg_namelen = sizeof(address),
                         .msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = CMSG_SPACE(sizeof(fd))};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&msg);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
    int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (from < 0)
        return err_from_errno(errno);
    if (sendmsg(from, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) != FILE_PASS_BYTES)
        err = err_from_errno(errno);
    (void)close(from);
    return err;
}
