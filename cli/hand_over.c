/* SPDX-License-Identifier: MIT */
#include "cli/hand_over.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/file_pass.h"
#include "base/random.h"

bool hand_over_fits(int fd)
{
    struct stat st;
    struct statfs fs;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && fstatfs(fd, &fs) == 0 && fs.f_type != FUSE_SUPER_MAGIC;
}

bool hand_over(const struct client *client, int fd, uint64_t *ret_token)
{
    char path[FILE_PASS_PATH_MAX + 1];
    uint64_t token;
    random_fill(&token, sizeof(token));
    if (!client_sibling(client, "files.sock", path, sizeof(path)) || file_pass_send(path, token, fd) != ERR_OK)
        return false;
    *ret_token = token;
    return true;
}
