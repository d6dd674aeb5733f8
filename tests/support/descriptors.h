/* SPDX-License-Identifier: MIT */
/* Counts the open descriptors of this process, for tests that none may leak. */
#ifndef HEARTH_TESTS_DESCRIPTORS_H
#define HEARTH_TESTS_DESCRIPTORS_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Those whose target begins with the path; whole: is the path. */
static inline unsigned descriptors_count(const char *path, bool whole)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char target[512];
        ssize_t len = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
        if (len < 0)
            continue;
        target[len] = '\0';
        count += whole ? strcmp(target, path) == 0 : strncmp(target, path, strlen(path)) == 0;
    }
    if (folder != NULL)
        (void)closedir(folder);
    return count;
}

/* Those that lead to the path; NULL: all. */
static inline unsigned descriptors_open(const char *path)
{
    return path == NULL ? descriptors_count("", false) : descriptors_count(path, true);
}

/* Those that lead to the folder or to what is or was in it; sockets do not. */
static inline unsigned descriptors_below(const char *folder)
{
    return descriptors_count(folder, false);
}

#endif
