/* SPDX-License-Identifier: MIT */
#include "cli/daemon_process.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/config_file.h"

/* The text of the file, in memory that only a descriptor names. No file is an empty one. */
static enum err keep_config(const char *path, const char *config_file, int *ret_fd, char why[CONFIG_WHY_BYTES])
{
    char name[REPOSITORY_PATH_MAX];
    struct buf text;
    enum err err = ERR_OK;
    (void)snprintf(name, sizeof(name), "%s/config.yaml", path);
    buf_init(&text, CONFIG_FILE_BYTES_MAX + 1, NULL);
    if (config_file != NULL || access(name, F_OK) == 0)
        err = config_file_read(config_file == NULL ? name : config_file, &text, why);
    int fd = err == ERR_OK ? memfd_create("hearth-config", MFD_CLOEXEC) : -1;
    if (err == ERR_OK && (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)) {
        err = err_from_errno(errno);
        (void)snprintf(why, CONFIG_WHY_BYTES, "cannot keep the configuration for other processes: %s", err_text(err));
    }
    buf_release(&text);
    if (err != ERR_OK && fd >= 0)
        (void)close(fd);
    if (err == ERR_OK)
        *ret_fd = fd;
    return err;
}

enum err daemon_process_prepare(struct daemon_process *p, const struct daemon_options *options, const char *path,
                                char why[CONFIG_WHY_BYTES])
{
    size_t count = 0;
    p->config_fd = -1;
    enum err err = keep_config(path, options->config_file, &p->config_fd, why);
    if (err != ERR_OK)
        return err;
    (void)snprintf(p->repo_dir, sizeof(p->repo_dir), "--repo-dir=%s", path);
    (void)snprintf(p->config_file, sizeof(p->config_file), "--config-file=/proc/self/fd/%d", p->config_fd);
    p->command[count++] = "hearthd";
    p->command[count++] = "daemon";
    p->command[count++] = p->repo_dir;
    p->command[count++] = p->config_file;
    if (options->offline)
        p->command[count++] = "--offline";
    if (options->no_serve)
        p->command[count++] = "--no-serve";
    if (options->no_provide)
        p->command[count++] = "--no-provide";
    if (options->chaos)
        p->command[count++] = "--chaos";
    if (options->debug)
        p->command[count++] = "--debug";
    p->command[count] = NULL;
    p->ipc = (struct ipc_options){.command = p->command, .descriptors = &p->config_fd, .descriptor_count = 1};
    return ERR_OK;
}

void daemon_process_release(struct daemon_process *p)
{
    if (p->config_fd > 0)
        (void)close(p->config_fd);
}
