/* SPDX-License-Identifier: MIT */
#include "storage/local_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_readable(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) != O_WRONLY && (flags & O_PATH) == 0;
}

enum err local_file_take(int fd, struct local_file *ret_file)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_from_errno(errno);
    if (!S_ISREG(st.st_mode) || !is_readable(fd))
        return ERR_UNSUPPORTED;
    *ret_file = (struct local_file){.fd = fd, .size = (uint64_t)st.st_size, .mtime = st.st_mtim};
    return ERR_OK;
}

enum err local_file_dup(const struct local_file *file, struct local_file *ret_copy)
{
    int fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    *ret_copy = *file;
    ret_copy->fd = fd;
    return ERR_OK;
}

enum err local_file_read(const struct local_file *file, uint64_t offset, void *to, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(file->fd, (uint8_t *)to + done, len - done, (off_t)(offset + done));
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

enum err local_file_check(const struct local_file *file)
{
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return err_from_errno(errno);
    bool same = (uint64_t)st.st_size == file->size && st.st_mtim.tv_sec == file->mtime.tv_sec &&
                st.st_mtim.tv_nsec == file->mtime.tv_nsec;
    return same ? ERR_OK : ERR_MISMATCH;
}

void local_file_close(struct local_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    file->fd = -1;
}
