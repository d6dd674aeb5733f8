/* SPDX-License-Identifier: MIT */
/*
 * Short transfers and EINTR are finished here, so that callers see all or an error. A failed fdatasync is reported once and never
 * retried: the kernel may have marked the lost pages clean.
 */
#include "storage/disk_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/attr.h"

enum { IOV_BATCH = 512, FILE_MODE = 0600, FOLDER_MODE = 0700 };

struct disk_file {
    int fd;
};

static enum err last_error(void)
{
    return err_from_errno(errno);
}

static enum err posix_open(void *self, const char *path, unsigned flags, struct disk_file **ret_file)
{
    (void)self;
    int mode = (flags & DISK_WRITE) != 0 ? O_RDWR : O_RDONLY;
    mode |= (flags & DISK_CREATE) != 0 ? O_CREAT : 0;
    mode |= (flags & DISK_EXCLUSIVE) != 0 ? O_EXCL : 0;
    mode |= (flags & DISK_DIRECT) != 0 ? O_DIRECT : 0;
    struct disk_file *file = malloc(sizeof(*file));
    if (file == NULL)
        return ERR_NOMEM;
    do
        file->fd = open(path, mode | O_CLOEXEC | O_NOCTTY, FILE_MODE);
    while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0) {
        enum err err = last_error();
        free(file);
        return err;
    }
    *ret_file = file;
    return ERR_OK;
}

static void posix_close(struct disk_file *file)
{
    if (file == NULL)
        return;
    (void)close(file->fd);
    free(file);
}

static enum err posix_pread(struct disk_file *file, void *to, size_t len, uint64_t offset, size_t *ret_len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(file->fd, (uint8_t *)to + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return last_error();
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *ret_len = done;
    return ERR_OK;
}

/* Drops the first n bytes of the vector; returns how many entries are left, moved to the front. */
static int advance(struct iovec *iov, int count, size_t n)
{
    int first = 0;
    while (first < count && n >= iov[first].iov_len)
        n -= iov[first++].iov_len;
    memmove(iov, iov + first, (size_t)(count - first) * sizeof(*iov));
    if (first < count) {
        iov[0].iov_base = (uint8_t *)iov[0].iov_base + n;
        iov[0].iov_len -= n;
    }
    return count - first;
}

static enum err write_batch(int fd, const struct iovec *iov, int count, uint64_t *offset)
{
    struct iovec left[IOV_BATCH];
    memcpy(left, iov, (size_t)count * sizeof(*iov));
    while (count > 0) {
        ssize_t n = pwritev(fd, left, count, (off_t)*offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return last_error();
        *offset += (uint64_t)n;
        count = advance(left, count, (size_t)n);
        if (n == 0 && count > 0)
            return ERR_IO;
    }
    return ERR_OK;
}

static enum err posix_pwritev(struct disk_file *file, const struct iovec *iov, int count, uint64_t offset)
{
    while (count > 0) {
        int batch = MIN(count, IOV_BATCH);
        enum err err = write_batch(file->fd, iov, batch, &offset);
        if (err != ERR_OK)
            return err;
        iov += batch;
        count -= batch;
    }
    return ERR_OK;
}

static enum err posix_fdatasync(struct disk_file *file)
{
    return fdatasync(file->fd) == 0 ? ERR_OK : last_error();
}

static enum err posix_allocate(struct disk_file *file, uint64_t offset, uint64_t len)
{
    int result;
    do
        result = fallocate(file->fd, 0, (off_t)offset, (off_t)len);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return ERR_OK;
    if (errno != EOPNOTSUPP)
        return last_error();
    /* A file system without preallocation: only the size grows, and writes may meet a full disk. */
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return last_error();
    if ((uint64_t)st.st_size >= offset + len)
        return ERR_OK;
    return ftruncate(file->fd, (off_t)(offset + len)) == 0 ? ERR_OK : last_error();
}

static enum err posix_truncate(struct disk_file *file, uint64_t len)
{
    int result;
    do
        result = ftruncate(file->fd, (off_t)len);
    while (result != 0 && errno == EINTR);
    return result == 0 ? ERR_OK : last_error();
}

static enum err posix_size(struct disk_file *file, uint64_t *ret_bytes)
{
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return last_error();
    *ret_bytes = (uint64_t)st.st_size;
    return ERR_OK;
}

static enum err posix_lock(struct disk_file *file)
{
    int result;
    do
        result = flock(file->fd, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return ERR_OK;
    return errno == EWOULDBLOCK ? ERR_BUSY : last_error();
}

static enum err posix_sync_dir(void *self, const char *path)
{
    (void)self;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return last_error();
    enum err err = fsync(fd) == 0 ? ERR_OK : last_error();
    (void)close(fd);
    return err;
}

static enum err posix_rename(void *self, const char *from, const char *to)
{
    (void)self;
    return rename(from, to) == 0 ? ERR_OK : last_error();
}

static enum err posix_unlink(void *self, const char *path)
{
    (void)self;
    return unlink(path) == 0 ? ERR_OK : last_error();
}

static enum err posix_make_dir(void *self, const char *path)
{
    (void)self;
    return mkdir(path, FOLDER_MODE) == 0 ? ERR_OK : last_error();
}

static enum err posix_exists(void *self, const char *path)
{
    (void)self;
    return access(path, F_OK) == 0 ? ERR_OK : last_error();
}

static int keep_entry(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum err posix_list(void *self, const char *path, void (*each)(void *arg, const char *name), void *arg)
{
    (void)self;
    struct dirent **names = NULL;
    int count = scandir(path, &names, keep_entry, by_name);
    if (count < 0)
        return last_error();
    for (int i = 0; i < count; i++) {
        each(arg, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    return ERR_OK;
}

static enum err posix_free_bytes(void *self, const char *path, uint64_t *ret_bytes)
{
    (void)self;
    struct statvfs st;
    if (statvfs(path, &st) != 0)
        return last_error();
    *ret_bytes = (uint64_t)st.f_bavail * (uint64_t)st.f_frsize;
    return ERR_OK;
}

const struct disk_port *disk_posix(void)
{
    static const struct disk_port port = {
        .open = posix_open,
        .close = posix_close,
        .pread = posix_pread,
        .pwritev = posix_pwritev,
        .fdatasync = posix_fdatasync,
        .allocate = posix_allocate,
        .truncate = posix_truncate,
        .size = posix_size,
        .lock = posix_lock,
        .sync_dir = posix_sync_dir,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .make_dir = posix_make_dir,
        .exists = posix_exists,
        .list = posix_list,
        .free_bytes = posix_free_bytes,
    };
    return &port;
}
