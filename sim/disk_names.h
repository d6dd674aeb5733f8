/* SPDX-License-Identifier: MIT */
/*
 * The names of the simulated disk: flat, by full path; the folder of an entry is what stands before its last slash. live is what
 * readers see; pending lists the changes since the last sync of their folder; durable is what a power cut cannot take.
 *
 * Owned by sim/disk; one thread.
 */
#ifndef HEARTH_SIM_DISK_NAMES_H
#define HEARTH_SIM_DISK_NAMES_H

#include "sim/disk.h"

struct inode;

struct name {
    char path[SIM_DISK_PATH_MAX];
    struct inode *inode; /* NULL: a folder */
};

struct name_list {
    struct name *list;
    size_t count;
    size_t cap;
};

/* path now means inode (or a folder); gone: it means nothing; from not empty: it was renamed from there in one step. */
struct name_change {
    char path[SIM_DISK_PATH_MAX];
    char from[SIM_DISK_PATH_MAX];
    struct inode *inode;
    bool gone;
};

struct name_space {
    struct name_list live;
    struct name_list durable;
    struct name_change *pending;
    size_t pending_count;
    size_t pending_cap;
};

void name_space_release(struct name_space *space);

/* Makes "/a/b" of "a//b/"; false when it is too long. */
bool name_normalise(const char *path, char ret_path[SIM_DISK_PATH_MAX]);

/* The live entry, or NULL. */
struct name *name_find(const struct name_space *space, const char *path);
bool name_exists(const struct name_space *space, const char *path);

/* Whether the entry lies directly in the folder. */
bool name_is_in(const char *path, const char *folder);

/* Changes a name now and remembers that its folder is not synced. */
enum err name_change(struct name_space *space, const struct name_change *change) MUST_CHECK;
enum err name_sync(struct name_space *space, const char *folder) MUST_CHECK;

/* The names after a power cut; entries whose folder did not survive are gone with it. */
bool name_power_cut(struct name_space *space, enum sim_disk_cut how, struct prng *prng) MUST_CHECK;

/* Copies; map(arg, inode) gives the inode's twin on the other disk. */
bool name_space_copy(struct name_space *to, const struct name_space *from,
                     struct inode *(*map)(void *arg, struct inode *inode), void *arg) MUST_CHECK;

#endif
