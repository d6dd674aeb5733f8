/* SPDX-License-Identifier: MIT */
#include "storage/folder_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

bool folder_watch_renew(int fd, const char *path)
{
    const uint32_t events =
        IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
    return inotify_add_watch(fd, path, events) >= 0;
}

int folder_watch_open(const char *path)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0 || folder_watch_renew(fd, path))
        return fd;
    (void)close(fd);
    return -1;
}

void folder_watch_drain(int fd)
{
    char events[4096];
    while (read(fd, events, sizeof(events)) > 0)
        continue;
}
