/* SPDX-License-Identifier: MIT */
#include "storage/durable.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static enum err write_beside(const struct disk_port *port, const char *path, struct span content)
{
    struct disk_file *file;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)content.data, .iov_len = content.len};
    enum err err = port->open(port->self, path, DISK_WRITE | DISK_CREATE, &file);
    if (err != ERR_OK)
        return err;
    err = port->truncate(file, 0); /* what an interrupted write left */
    if (err == ERR_OK)
        err = port->pwritev(file, &iov, 1, 0);
    if (err == ERR_OK)
        err = port->fdatasync(file);
    port->close(file);
    return err;
}

enum err durable_write(const struct disk_port *port, const char *folder, const char *name, struct span content)
{
    char path[DURABLE_PATH_MAX];
    char beside[DURABLE_PATH_MAX];
    int len = snprintf(beside, sizeof(beside), "%s/%s.new", folder, name);
    if (len < 0 || (size_t)len >= sizeof(beside))
        return ERR_TOO_LARGE;
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    enum err err = write_beside(port, beside, content);
    if (err == ERR_OK)
        err = port->rename(port->self, beside, path);
    return err == ERR_OK ? port->sync_dir(port->self, folder) : err;
}

/* part is path up to one of its slashes, or all of it; it is cut to the folder above. */
static enum err make_one(const struct disk_port *port, char *part)
{
    enum err err = port->make_dir(port->self, part);
    if (err != ERR_OK)
        return err == ERR_EXISTS ? ERR_OK : err;
    char *slash = strrchr(part, '/');
    slash[slash == part ? 1 : 0] = '\0';
    return port->sync_dir(port->self, part);
}

enum err durable_make_folders(const struct disk_port *port, const char *path)
{
    char part[DURABLE_PATH_MAX];
    size_t len = strlen(path);
    assert(path[0] == '/');
    enum err err = len < sizeof(part) ? ERR_OK : ERR_TOO_LARGE;
    for (size_t i = 1; err == ERR_OK && i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        err = make_one(port, part);
    }
    return err;
}
