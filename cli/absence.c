/* SPDX-License-Identifier: MIT */
#include "cli/absence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

void absence_begin(struct absence *absence, const char *url, uint64_t now_ms)
{
    static const char scheme[] = "ipc://";
    const char *slash = strrchr(url, '/');
    *absence = (struct absence){.since_ms = now_ms, .locked_ms = now_ms};
    if (strncmp(url, scheme, strlen(scheme)) != 0 || slash < url + strlen(scheme))
        return;
    const char *path = url + strlen(scheme);
    int len = snprintf(absence->lock, sizeof(absence->lock), "%.*s/../daemon.lock", (int)(slash - path), path);
    if (len < 0 || (size_t)len >= sizeof(absence->lock))
        absence->lock[0] = '\0';
}

static bool is_locked(const char *lock)
{
    int fd = lock[0] == '\0' ? -1 : open(lock, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool locked = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    (void)close(fd);
    return locked;
}

bool absence_may_end(struct absence *absence, uint64_t now_ms)
{
    if (is_locked(absence->lock))
        absence->locked_ms = now_ms;
    return now_ms < absence->locked_ms + ABSENCE_RETURN_MS && now_ms < absence->since_ms + ABSENCE_LOCKED_MS;
}
