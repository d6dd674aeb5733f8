/* SPDX-License-Identifier: MIT */
#include "storage/database_share.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 1200, SHARED_MODE = 0640 };

enum err database_share(const char *path, gid_t group)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    enum err result = ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char name[PATH_BYTES];
        int len = snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        if (len < 0 || (size_t)len >= sizeof(name))
            return ERR_TOO_LARGE;
        if ((chown(name, (uid_t)-1, group) != 0 || chmod(name, SHARED_MODE) != 0) && errno != ENOENT &&
            result == ERR_OK)
            result = err_from_errno(errno);
    }
    return result;
}
