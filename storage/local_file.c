/* SPDX-License-Identifier: MIT */
#include "storage/local_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The page cache takes memory in pieces as large as what is written at once. Small ones are mostly at hand. Large ones may be memory that was not
 * touched for long, which a hypervisor has taken back: 1 MiB at once costs 2 s/GB then, and 0.2 else; 16 KiB cost 0.4 in both cases.
 */
enum { WRITE_BYTES = 16 * 1024 };

enum err local_file_take(int fd, struct local_file *ret_file)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &st) != 0)
        return err_from_errno(errno);
    int access = flags & O_ACCMODE;
    bool usable = S_ISREG(st.st_mode) && (flags & O_PATH) == 0;
    bool lends_rights = (st.st_mode & (S_ISUID | S_ISGID)) != 0;
    struct local_file file = {
        .fd = fd,
        .readable = usable && (access == O_RDONLY || access == O_RDWR),
        .writable = usable && (access == O_WRONLY || access == O_RDWR) && (flags & O_APPEND) == 0 && !lends_rights,
        .size = (uint64_t)st.st_size,
        .mtime = st.st_mtim,
    };
    if (!file.readable && !file.writable)
        return ERR_UNSUPPORTED;
    *ret_file = file;
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

enum err local_file_write(const struct local_file *file, uint64_t offset, struct span bytes)
{
    while (bytes.len > 0) {
        size_t most = WRITE_BYTES - (size_t)(offset % WRITE_BYTES);
        ssize_t n = pwrite(file->fd, bytes.data, MIN(bytes.len, most), (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? ERR_IO : err_from_errno(errno);
        offset += (uint64_t)n;
        bytes = span_skip(bytes, (size_t)n);
    }
    return ERR_OK;
}

enum err local_file_close(struct local_file *file)
{
    int fd = file->fd;
    file->fd = -1;
    if (fd < 0 || close(fd) == 0 || errno == EINTR) /* closed all the same */
        return ERR_OK;
    return err_from_errno(errno);
}
