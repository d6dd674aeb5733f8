/* SPDX-License-Identifier: MIT */
#include "storage/local_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/attr.h"

enum err local_file_id_of(const struct stat *st, struct local_file_id *ret_id)
{
    if (!S_ISREG(st->st_mode) || st->st_mtim.tv_sec < 0 || (uint64_t)st->st_mtim.tv_sec > UINT64_MAX / SECOND_NS - 1)
        return ERR_UNSUPPORTED;
    *ret_id = (struct local_file_id){
        .device = (uint64_t)st->st_dev,
        .inode = (uint64_t)st->st_ino,
        .size = (uint64_t)st->st_size,
        .mtime_ns = (uint64_t)st->st_mtim.tv_sec * SECOND_NS + (uint64_t)st->st_mtim.tv_nsec,
    };
    return ERR_OK;
}

static enum err check(int fd, const struct local_file_id *id)
{
    struct stat st;
    struct local_file_id found;
    if (fstat(fd, &st) != 0)
        return err_from_errno(errno);
    if (local_file_id_of(&st, &found) != ERR_OK || found.device != id->device || found.inode != id->inode ||
        found.size != id->size || found.mtime_ns != id->mtime_ns)
        return ERR_MISMATCH;
    return ERR_OK;
}

static enum err error_of_open(int number)
{
    if (number == ELOOP || number == ENXIO) /* a symlink; a socket */
        return ERR_MISMATCH;
    return number == ENOTDIR ? ERR_NOT_FOUND : err_from_errno(number);
}

enum err local_file_open(const char *path, const struct local_file_id *id, int *ret_fd)
{
    if (path[0] != '/')
        return ERR_INVALID;
    int fd;
    do
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return error_of_open(errno);
    enum err err = check(fd, id);
    if (err != ERR_OK)
        (void)close(fd);
    else
        *ret_fd = fd;
    return err;
}

enum err local_file_read(int fd, uint64_t offset, void *to, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, (uint8_t *)to + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_from_errno(errno);
        if (n == 0)
            return ERR_MISMATCH;
        done += (size_t)n;
    }
    return ERR_OK;
}

enum err local_file_close(int fd, const struct local_file_id *id)
{
    enum err err = check(fd, id);
    (void)close(fd);
    return err;
}
