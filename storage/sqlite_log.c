/* SPDX-License-Identifier: MIT */
#include "storage/sqlite_log.h"

#include <stdio.h>
#include <stdlib.h>

#include "storage/sqlite_vfs.h"

enum { PIECE_BYTES = 64 * 1024 };

static enum err write_again(const struct disk_port *disk, struct disk_file *file, uint8_t bytes[PIECE_BYTES])
{
    size_t len = PIECE_BYTES;
    for (uint64_t at = 0; len == PIECE_BYTES; at += len) {
        enum err err = disk->pread(file, bytes, PIECE_BYTES, at, &len);
        const struct iovec iov = {.iov_base = bytes, .iov_len = len};
        if (err == ERR_OK && len > 0)
            err = disk->pwritev(file, &iov, 1, at);
        if (err != ERR_OK)
            return err;
    }
    return disk->fdatasync(file);
}

static enum err write_file_again(const struct disk_port *disk, const char *path)
{
    struct disk_file *file = NULL;
    char name[SQLITE_VFS_PATH_MAX];
    int len = snprintf(name, sizeof(name), "%s-wal", path);
    if (len < 0 || (size_t)len >= sizeof(name))
        return ERR_TOO_LARGE;
    enum err err = disk->open(disk->self, name, DISK_READ | DISK_WRITE, &file);
    if (err != ERR_OK)
        return err == ERR_NOT_FOUND ? ERR_OK : err;
    uint8_t *bytes = malloc(PIECE_BYTES);
    err = bytes == NULL ? ERR_NOMEM : write_again(disk, file, bytes);
    free(bytes);
    disk->close(file);
    return err;
}

static int code_of(enum err err)
{
    if (err == ERR_OK)
        return SQLITE_OK;
    if (err == ERR_NO_SPACE)
        return SQLITE_FULL;
    return err == ERR_NOMEM ? SQLITE_NOMEM : SQLITE_IOERR;
}

int sqlite_log_make_safe(sqlite3 *db, const struct disk_port *disk, const char *path)
{
    int code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (code != SQLITE_OK)
        return code;
    int written = code_of(write_file_again(disk, path));
    code = sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return written == SQLITE_OK ? code : written;
}

void sqlite_log_moved_on_close(sqlite3 *db, bool moved)
{
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, moved ? 0 : 1, NULL);
}
