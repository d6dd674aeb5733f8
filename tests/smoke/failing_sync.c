/* SPDX-License-Identifier: MIT */
/*
 * A library that stands in front of a daemon's fdatasync (LD_PRELOAD): while the file that TEST_SYNC_FAILS names is there, syncs of files
 * whose names end as its content says fail with EIO, as on a disk that breaks.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_to_fail(int fd)
{
    char end[32];
    char link[64];
    char path[PATH_MAX];
    const char *plan = getenv("TEST_SYNC_FAILS");
    int file = plan == NULL ? -1 : open(plan, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t n = read(file, end, sizeof(end));
    (void)close(file);
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof(path));
    return n > 0 && len >= n && memcmp(path + len - n, end, (size_t)n) == 0;
}

int fdatasync(int fd)
{
    if (!is_to_fail(fd))
        return (int)syscall(SYS_fdatasync, fd);
    errno = EIO;
    return -1;
}
