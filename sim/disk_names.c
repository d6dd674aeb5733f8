/* SPDX-License-Identifier: MIT */
#include "sim/disk_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 4096, PENDING_MAX = 8192, FIRST_CAP = 16 };

void name_space_release(struct name_space *space)
{
    free(space->live.list);
    free(space->durable.list);
    free(space->pending);
    *space = (struct name_space){0};
}

bool name_normalise(const char *path, char ret_path[SIM_DISK_PATH_MAX])
{
    char whole[SIM_DISK_PATH_MAX];
    int len = snprintf(whole, sizeof(whole), "/%s", path);
    if (len < 0 || (size_t)len >= sizeof(whole))
        return false;
    size_t to = 0;
    for (size_t i = 0; whole[i] != '\0'; i++) {
        if (whole[i] == '/' && to > 0 && ret_path[to - 1] == '/')
            continue;
        ret_path[to++] = whole[i];
    }
    if (to > 1 && ret_path[to - 1] == '/')
        to--;
    ret_path[to] = '\0';
    return true;
}

bool name_is_in(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    size_t parent = (size_t)(strrchr(path, '/') - path);
    if (strcmp(folder, "/") == 0)
        return parent == 0 && path[1] != '\0';
    return parent == len && strncmp(path, folder, len) == 0;
}

static struct name *find_in(const struct name_list *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->list[i].path, path) == 0)
            return &names->list[i];
    }
    return NULL;
}

struct name *name_find(const struct name_space *space, const char *path)
{
    return find_in(&space->live, path);
}

bool name_exists(const struct name_space *space, const char *path)
{
    return strcmp(path, "/") == 0 || find_in(&space->live, path) != NULL;
}

static bool put_name(struct name_list *names, const char *path, struct inode *inode)
{
    struct name *old = find_in(names, path);
    if (old != NULL) {
        old->inode = inode;
        return true;
    }
    if (names->count == names->cap) {
        size_t cap = names->cap == 0 ? FIRST_CAP : names->cap * 2;
        struct name *list = cap > NAMES_MAX ? NULL : realloc(names->list, cap * sizeof(*list));
        if (list == NULL)
            return false;
        names->list = list;
        names->cap = cap;
    }
    struct name *fresh = &names->list[names->count++];
    (void)snprintf(fresh->path, sizeof(fresh->path), "%s", path);
    fresh->inode = inode;
    return true;
}

static void drop_name(struct name_list *names, const char *path)
{
    struct name *old = find_in(names, path);
    if (old != NULL)
        *old = names->list[--names->count];
}

static bool apply(struct name_list *names, const struct name_change *c)
{
    if (c->gone) {
        drop_name(names, c->path);
        return true;
    }
    if (c->from[0] != '\0')
        drop_name(names, c->from);
    return put_name(names, c->path, c->inode);
}

static bool reserve_pending(struct name_space *space, size_t count)
{
    if (count <= space->pending_cap)
        return true;
    size_t cap = space->pending_cap == 0 ? FIRST_CAP : space->pending_cap;
    while (cap < count)
        cap *= 2;
    struct name_change *list = cap > PENDING_MAX ? NULL : realloc(space->pending, cap * sizeof(*list));
    if (list == NULL)
        return false;
    space->pending = list;
    space->pending_cap = cap;
    return true;
}

enum err name_change(struct name_space *space, const struct name_change *change)
{
    if (!reserve_pending(space, space->pending_count + 1) || !apply(&space->live, change))
        return ERR_NOMEM;
    space->pending[space->pending_count++] = *change;
    return ERR_OK;
}

enum err name_sync(struct name_space *space, const char *folder)
{
    size_t kept = 0;
    for (size_t i = 0; i < space->pending_count; i++) {
        if (!name_is_in(space->pending[i].path, folder))
            space->pending[kept++] = space->pending[i];
        else if (!apply(&space->durable, &space->pending[i]))
            return ERR_NOMEM;
    }
    space->pending_count = kept;
    return ERR_OK;
}

static bool survives(enum sim_disk_cut how, size_t index, size_t prefix, struct prng *prng)
{
    switch (how) {
    case SIM_CUT_KEEP:
        return true;
    case SIM_CUT_PREFIX:
        return index < prefix;
    case SIM_CUT_REORDER:
        return prng_below(prng, 2) == 0;
    case SIM_CUT_DROP:
    case SIM_CUT_COUNT:
        break;
    }
    return false;
}

static bool has_folder(const struct name_list *names, const char *path)
{
    char folder[SIM_DISK_PATH_MAX];
    (void)snprintf(folder, sizeof(folder), "%s", path);
    *strrchr(folder, '/') = '\0';
    return folder[0] == '\0' || find_in(names, folder) != NULL;
}

/* Entries of a lost folder cannot be reached; removing one may orphan others, so until nothing changes. */
static void drop_orphans(struct name_list *names)
{
    for (size_t i = 0; i < names->count;) {
        if (has_folder(names, names->list[i].path)) {
            i++;
            continue;
        }
        names->list[i] = names->list[--names->count];
        i = 0;
    }
}

bool name_power_cut(struct name_space *space, enum sim_disk_cut how, struct prng *prng)
{
    size_t prefix = (size_t)prng_below(prng, space->pending_count + 1);
    for (size_t i = 0; i < space->pending_count; i++) {
        if (survives(how, i, prefix, prng) && !apply(&space->durable, &space->pending[i]))
            return false;
    }
    space->pending_count = 0;
    drop_orphans(&space->durable);
    space->live.count = 0;
    for (size_t i = 0; i < space->durable.count; i++) {
        if (!put_name(&space->live, space->durable.list[i].path, space->durable.list[i].inode))
            return false;
    }
    return true;
}

static bool copy_list(struct name_list *to, const struct name_list *from,
                      struct inode *(*map)(void *arg, struct inode *inode), void *arg)
{
    for (size_t i = 0; i < from->count; i++) {
        if (!put_name(to, from->list[i].path, map(arg, from->list[i].inode)))
            return false;
    }
    return true;
}

bool name_space_copy(struct name_space *to, const struct name_space *from,
                     struct inode *(*map)(void *arg, struct inode *inode), void *arg)
{
    if (!copy_list(&to->live, &from->live, map, arg) || !copy_list(&to->durable, &from->durable, map, arg) ||
        !reserve_pending(to, from->pending_count))
        return false;
    for (size_t i = 0; i < from->pending_count; i++) {
        to->pending[i] = from->pending[i];
        to->pending[i].inode = map(arg, from->pending[i].inode);
    }
    to->pending_count = from->pending_count;
    return true;
}
