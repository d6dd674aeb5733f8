/* SPDX-License-Identifier: MIT */
#include "storage/file_users.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLDER_BYTES = 64 };

static bool has_open(int folder_fd, DIR *folder, const char *path)
{
    const struct dirent *entry;
    char target[PATH_MAX];
    while ((entry = readdir(folder)) != NULL) {
        ssize_t len = readlinkat(folder_fd, entry->d_name, target, sizeof(target) - 1);
        if (len < 0)
            continue;
        target[len] = '\0';
        if (strcmp(target, path) == 0)
            return true;
    }
    return false;
}

static bool process_has_open(pid_t pid, const char *path)
{
    char name[FOLDER_BYTES];
    (void)snprintf(name, sizeof(name), "/proc/%ld/fd", (long)pid);
    DIR *folder = opendir(name);
    if (folder == NULL)
        return false;
    bool found = has_open(dirfd(folder), folder, path);
    (void)closedir(folder);
    return found;
}

size_t file_users_find(const char *path, pid_t *ret_pids, size_t max)
{
    char real[PATH_MAX];
    size_t count = 0;
    const struct dirent *entry;
    if (realpath(path, real) == NULL)
        return 0;
    DIR *proc = opendir("/proc");
    while (proc != NULL && count < max && (entry = readdir(proc)) != NULL) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (pid > 0 && *end == '\0' && pid != (long)getpid() && process_has_open((pid_t)pid, real))
            ret_pids[count++] = (pid_t)pid;
    }
    if (proc != NULL)
        (void)closedir(proc);
    return count;
}
