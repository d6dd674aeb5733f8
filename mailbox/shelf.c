/* SPDX-License-Identifier: MIT */
#include "mailbox/shelf.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

/* One thing, with its descriptor beside it; without a name it marks where a pass began. */
struct label {
    char name[KEEP_NAME_BYTES];
    uint64_t pass; /* of a mark */
};

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static bool put(const struct shelf *shelf, const struct label *label, int fd)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)label, .iov_len = sizeof(*label)};
    union control control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    }
    return sendmsg(shelf->put_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(*label);
}

/* The first on the shelf, which stays there. False: there is none. What is no label has no name. */
static bool look(const struct shelf *shelf, struct label *ret_label, int *ret_fd)
{
    struct iovec iov = {.iov_base = ret_label, .iov_len = sizeof(*ret_label)};
    union control control = {0};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = CMSG_LEN(sizeof(int))}; /* one descriptor, whatever was sent */
    ssize_t len = recvmsg(shelf->take_fd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *ret_fd = -1;
    if (len <= 0)
        return false;
    const struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
    if (head != NULL && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(head), sizeof(*ret_fd));
    if (len != (ssize_t)sizeof(*ret_label))
        *ret_label = (struct label){0};
    ret_label->name[KEEP_NAME_BYTES - 1] = '\0';
    return true;
}

static void drop_first(const struct shelf *shelf)
{
    struct label label;
    (void)!recv(shelf->take_fd, &label, sizeof(label), MSG_DONTWAIT); /* its descriptor goes with it */
}

/* The names that a pass has met. */
struct met {
    char names[SHELF_THINGS_MAX][KEEP_NAME_BYTES];
    size_t count;
};

static bool is_new(struct met *met, const char *name)
{
    for (size_t i = 0; i < met->count; i++) {
        if (strcmp(met->names[i], name) == 0)
            return false;
    }
    if (met->count == SHELF_THINGS_MAX)
        return false;
    memcpy(met->names[met->count++], name, KEEP_NAME_BYTES);
    return true;
}

/*
 * Turns everything over once. Returns a duplicate of the one with the name, or -1; stays: it is put back like the others. *ret_count: how many
 * there were.
 */
static int pass(const struct shelf *shelf, const char *name, bool stays, size_t *ret_count)
{
    struct met met = {.count = 0};
    struct label mark = {.pass = clock_mono_ns()};
    struct label label;
    int fd;
    int found = -1;
    *ret_count = 0;
    if (!put(shelf, &mark, -1))
        return -1;
    while (look(shelf, &label, &fd)) {
        bool over = label.name[0] == '\0' && label.pass == mark.pass;
        bool wanted = fd >= 0 && strcmp(label.name, name) == 0;
        bool good = fd >= 0 && label.name[0] != '\0' && is_new(&met, label.name);
        if (good && (stays || !wanted) && !put(shelf, &label, fd)) {
            (void)close(fd);
            break; /* it stays where it is */
        }
        drop_first(shelf);
        if (good && wanted)
            found = fd;
        else if (fd >= 0)
            (void)close(fd);
        if (over)
            break;
    }
    *ret_count = met.count;
    return found;
}

static bool is_name(const char *name)
{
    size_t len = strnlen(name, KEEP_NAME_BYTES);
    return len > 0 && len < KEEP_NAME_BYTES;
}

static int shelf_find(void *self, const char *name)
{
    size_t count;
    return is_name(name) ? pass(self, name, true, &count) : -1;
}

/* Returns how many are left. */
static size_t remove_named(const struct shelf *shelf, const char *name)
{
    size_t count;
    int fd = pass(shelf, name, false, &count);
    if (fd < 0)
        return count;
    (void)close(fd);
    return count - 1;
}

static void shelf_forget(void *self, const char *name)
{
    if (is_name(name))
        (void)remove_named(self, name);
}

static enum err shelf_keep(void *self, const char *name, int fd)
{
    struct label label = {0};
    if (!is_name(name) || fd < 0)
        return ERR_INVALID;
    if (remove_named(self, name) >= SHELF_THINGS_MAX)
        return ERR_BUSY;
    memcpy(label.name, name, strlen(name));
    if (put(self, &label, fd))
        return ERR_OK;
    return errno == EAGAIN ? ERR_BUSY : err_from_errno(errno);
}

enum err shelf_make(int ret_fds[2])
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_from_errno(errno);
    memcpy(ret_fds, pair, sizeof(pair));
    return ERR_OK;
}

void shelf_join(struct shelf *shelf, const int fds[2])
{
    *shelf = (struct shelf){
        .put_fd = fds[0], .take_fd = fds[1], .port = {.find = shelf_find, .keep = shelf_keep, .forget = shelf_forget}};
}

const struct keep_port *shelf_port(struct shelf *shelf)
{
    shelf->port.self = shelf;
    return &shelf->port;
}
