/* SPDX-License-Identifier: MIT */
#include "actors/control/file_door.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file_pass.h"

struct entry {
    bool taken;
    uint64_t token;
    uint64_t upload; /* 0 = of none yet */
    uint64_t came_at;
    struct local_file file;
};

struct file_door {
    const struct listener *listener;
    int socket;
    char path[FILE_PASS_PATH_MAX + 1];
    uint64_t refused;
    struct entry entries[FILE_DOOR_FILES];
};

/* ---- opening ---- */

enum err file_door_open(const struct listener_options *options, const struct listener *listener,
                        struct file_door **ret_door, char why[LISTENER_WHY_BYTES])
{
    struct file_door *door = calloc(1, sizeof(*door));
    if (door == NULL)
        return ERR_NOMEM;
    door->listener = listener;
    int len = snprintf(door->path, sizeof(door->path), "%s/files.sock", options->folder);
    enum err err = len <= FILE_PASS_PATH_MAX ? file_pass_listen(door->path, &door->socket) : ERR_TOO_LARGE;
    if (err != ERR_OK) {
        (void)snprintf(why, LISTENER_WHY_BYTES, "%.150s/files.sock: %s", options->folder, err_text(err));
        free(door);
        return err;
    }
    err = listener_share(options, door->path, why);
    if (err == ERR_OK)
        *ret_door = door;
    else
        file_door_close(door);
    return err;
}

static void free_entry(struct entry *entry)
{
    (void)local_file_close(&entry->file);
    entry->taken = false;
}

void file_door_close(struct file_door *door)
{
    if (door == NULL)
        return;
    for (size_t i = 0; i < FILE_DOOR_FILES; i++) {
        if (door->entries[i].taken)
            free_entry(&door->entries[i]);
    }
    (void)unlink(door->path);
    (void)close(door->socket);
    free(door);
}

int file_door_fd(const struct file_door *door)
{
    return door->socket;
}

/* ---- coming in ---- */

static struct entry *find_entry(struct file_door *door, uint64_t token)
{
    for (size_t i = 0; i < FILE_DOOR_FILES; i++) {
        if (door->entries[i].taken && door->entries[i].token == token)
            return &door->entries[i];
    }
    return NULL;
}

/* A free place, else that of the oldest file that nobody asked for; NULL when there is none. */
static struct entry *make_place(struct file_door *door)
{
    struct entry *oldest = NULL;
    for (size_t i = 0; i < FILE_DOOR_FILES; i++) {
        struct entry *entry = &door->entries[i];
        if (!entry->taken)
            return entry;
        if (entry->upload == 0 && (oldest == NULL || entry->came_at < oldest->came_at))
            oldest = entry;
    }
    if (oldest != NULL)
        free_entry(oldest);
    return oldest;
}

static bool admit(struct file_door *door, const struct passed_file *passed, uint64_t now)
{
    struct local_file file;
    if (!listener_allows(door->listener, passed->uid) || find_entry(door, passed->token) != NULL ||
        local_file_take(passed->fd, &file) != ERR_OK)
        return false;
    struct entry *entry = make_place(door);
    if (entry == NULL)
        return false;
    *entry = (struct entry){.taken = true, .token = passed->token, .came_at = now, .file = file};
    return true;
}

void file_door_admit(struct file_door *door, uint64_t now)
{
    enum err err = ERR_OK;
    for (unsigned i = 0; i < FILE_DOOR_PER_WAKE && (err == ERR_OK || err == ERR_INVALID); i++) {
        struct passed_file passed;
        err = file_pass_receive(door->socket, &passed);
        if (err == ERR_OK && admit(door, &passed, now))
            continue;
        if (err == ERR_OK)
            (void)close(passed.fd);
        door->refused += err == ERR_OK || err == ERR_INVALID;
    }
}

/* ---- use ---- */

/* Looks at what waits there still, too: the file may have come with the request. One that is not open for what is asked of it goes. */
static struct entry *find_open(struct file_door *door, uint64_t token, bool for_writing, uint64_t now)
{
    if (door == NULL)
        return NULL;
    struct entry *entry = find_entry(door, token);
    if (entry == NULL) {
        file_door_admit(door, now);
        entry = find_entry(door, token);
    }
    if (entry == NULL || (for_writing ? entry->file.writable : entry->file.readable))
        return entry;
    if (entry->upload == 0)
        free_entry(entry);
    return NULL;
}

const struct local_file *file_door_find(struct file_door *door, uint64_t token, uint64_t upload, uint64_t now)
{
    struct entry *entry = find_open(door, token, false, now);
    if (entry == NULL || (entry->upload != 0 && entry->upload != upload))
        return NULL;
    entry->upload = upload;
    return &entry->file;
}

bool file_door_take(struct file_door *door, uint64_t token, uint64_t now, struct local_file *ret_file)
{
    struct entry *entry = find_open(door, token, true, now);
    if (entry == NULL || entry->upload != 0)
        return false;
    *ret_file = entry->file;
    entry->taken = false;
    return true;
}

void file_door_drop(struct file_door *door, uint64_t token)
{
    struct entry *entry = door == NULL ? NULL : find_entry(door, token);
    if (entry != NULL)
        free_entry(entry);
}

void file_door_end_upload(struct file_door *door, uint64_t upload)
{
    for (size_t i = 0; door != NULL && i < FILE_DOOR_FILES; i++) {
        if (door->entries[i].taken && door->entries[i].upload == upload)
            free_entry(&door->entries[i]);
    }
}

uint64_t file_door_expire(struct file_door *door, uint64_t now)
{
    if (door == NULL)
        return 0;
    for (size_t i = 0; i < FILE_DOOR_FILES; i++) {
        struct entry *entry = &door->entries[i];
        if (entry->taken && entry->upload == 0 && now >= entry->came_at + FILE_DOOR_LEASE_S * SECOND_NS)
            free_entry(entry);
    }
    uint64_t refused = door->refused;
    door->refused = 0;
    return refused;
}
