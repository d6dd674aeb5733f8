/* SPDX-License-Identifier: MIT */
#include "sim/disk.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "sim/disk_faults.h"
#include "sim/disk_inode.h"
#include "sim/disk_names.h"

struct sim_disk {
    struct disk_port port;
    struct name_space names;
    struct inode **inodes; /* every inode ever made on this disk */
    size_t inode_count;
    size_t inode_cap;
    uint64_t capacity_bytes;
    bool steady;
    struct prng prng;
    struct disk_faults faults;
    sim_disk_skip *skip;
    void *skip_arg;
    sim_disk_watch *watch;
    void *watch_arg;
};

struct disk_file {
    struct sim_disk *disk;
    struct inode *inode;
    bool writable;
    bool direct;
    bool has_lock;
    char path[SIM_DISK_PATH_MAX];
};

static struct inode *add_inode(struct sim_disk *d, struct inode *inode)
{
    if (inode == NULL)
        return NULL;
    inode->steady = d->steady;
    if (d->inode_count == d->inode_cap) {
        size_t cap = d->inode_cap == 0 ? 16 : d->inode_cap * 2;
        struct inode **list = realloc(d->inodes, cap * sizeof(*list));
        if (list == NULL) {
            inode_free(inode);
            return NULL;
        }
        d->inodes = list;
        d->inode_cap = cap;
    }
    d->inodes[d->inode_count++] = inode;
    return inode;
}

/* ---- faults ---- */

static bool strikes(struct sim_disk *d, enum sim_disk_fault fault)
{
    return disk_faults_strike(&d->faults, fault, &d->prng);
}

/* Tells what was done; returns err. */
static enum err told(const struct sim_disk *d, enum sim_disk_op op, const char *path, uint64_t offset, uint64_t len,
                     enum err err)
{
    if (d->watch != NULL)
        d->watch(d->watch_arg, op, path, offset, len, err);
    return err;
}

static bool skips(const struct sim_disk *d, const char *path, bool is_folder)
{
    return d->skip != NULL && d->skip(d->skip_arg, path, is_folder);
}

static uint64_t used_bytes(const struct sim_disk *d)
{
    uint64_t used = 0;
    for (size_t i = 0; i < d->names.live.count; i++)
        used += d->names.live.list[i].inode == NULL ? 0 : d->names.live.list[i].inode->live.len;
    return used;
}

/* ---- the port ---- */

static enum err open_file(void *self, const char *path, unsigned flags, struct disk_file **ret_file)
{
    struct sim_disk *d = self;
    struct name_change c = {0};
    if (!name_normalise(path, c.path))
        return ERR_TOO_LARGE;
    struct name *name = name_find(&d->names, c.path);
    if (name != NULL && name->inode == NULL)
        return ERR_INVALID;
    if (name != NULL && (flags & DISK_EXCLUSIVE) != 0)
        return ERR_EXISTS;
    if (name == NULL && (flags & DISK_CREATE) == 0)
        return ERR_NOT_FOUND;
    struct disk_file *file = malloc(sizeof(*file));
    if (file == NULL)
        return ERR_NOMEM;
    if (name == NULL) {
        c.inode = add_inode(d, inode_new());
        enum err err = c.inode == NULL ? ERR_NOMEM : name_change(&d->names, &c);
        if (err != ERR_OK) {
            free(file);
            return err;
        }
    } else {
        c.inode = name->inode;
    }
    c.inode->opens++;
    *file = (struct disk_file){
        .disk = d, .inode = c.inode, .writable = (flags & DISK_WRITE) != 0, .direct = (flags & DISK_DIRECT) != 0};
    (void)snprintf(file->path, sizeof(file->path), "%s", c.path);
    *ret_file = file;
    return ERR_OK;
}

static enum err sim_open(void *self, const char *path, unsigned flags, struct disk_file **ret_file)
{
    return told(self, SIM_DISK_OPEN, path, 0, flags, open_file(self, path, flags, ret_file));
}

static void sim_close(struct disk_file *file)
{
    if (file == NULL)
        return;
    if (file->has_lock)
        file->inode->locked = false;
    if (file->inode->opens > 0)
        file->inode->opens--;
    free(file);
}

static enum err sim_pread(struct disk_file *file, void *to, size_t len, uint64_t offset, size_t *ret_len)
{
    if (strikes(file->disk, SIM_FAULT_READ_IO))
        return told(file->disk, SIM_DISK_READ, file->path, offset, len, ERR_IO);
    const struct sparse *live = &file->inode->live;
    size_t n = offset >= live->len ? 0 : MIN(len, live->len - (size_t)offset);
    if (n > 0)
        sparse_read(live, to, n, offset);
    if (n > 0 && strikes(file->disk, SIM_FAULT_READ_FLIP))
        ((uint8_t *)to)[prng_below(&file->disk->prng, n)] ^= (uint8_t)(1u << prng_below(&file->disk->prng, 8));
    *ret_len = n;
    return told(file->disk, SIM_DISK_READ, file->path, offset, n, ERR_OK);
}

static enum err write_part(struct disk_file *file, const struct iovec *iov, size_t len, uint64_t offset)
{
    struct sim_disk *d = file->disk;
    uint64_t end = offset + len;
    uint64_t grows = end > file->inode->live.len ? end - file->inode->live.len : 0;
    if (grows > 0 && used_bytes(d) + grows > d->capacity_bytes)
        return ERR_NO_SPACE;
    return inode_write(file->inode, iov->iov_base, len, offset) ? ERR_OK : ERR_NOMEM;
}

/* A real disk refuses what is not aligned. */
static bool is_aligned(const struct iovec *iov, int count, uint64_t offset)
{
    uint64_t mixed = offset;
    for (int i = 0; i < count; i++)
        mixed |= (uint64_t)(uintptr_t)iov[i].iov_base | iov[i].iov_len;
    return mixed % DISK_DIRECT_ALIGN == 0;
}

static enum err write_all(struct disk_file *file, const struct iovec *iov, int count, uint64_t offset)
{
    enum err fault = ERR_OK;
    if (!file->writable)
        return ERR_DENIED;
    if (file->direct && !is_aligned(iov, count, offset))
        return ERR_INVALID;
    if (strikes(file->disk, SIM_FAULT_WRITE_NO_SPACE))
        fault = ERR_NO_SPACE;
    else if (strikes(file->disk, SIM_FAULT_WRITE_IO))
        fault = ERR_IO;
    int whole = fault == ERR_OK ? count : (int)prng_below(&file->disk->prng, (uint64_t)count);
    for (int i = 0; i < whole; i++) {
        enum err err = write_part(file, &iov[i], iov[i].iov_len, offset);
        if (err != ERR_OK)
            return err;
        offset += iov[i].iov_len;
    }
    if (fault != ERR_OK && iov[whole].iov_len > 0) /* and some bytes of the next: a short write */
        (void)write_part(file, &iov[whole], (size_t)prng_below(&file->disk->prng, iov[whole].iov_len), offset);
    return fault;
}

static enum err sim_pwritev(struct disk_file *file, const struct iovec *iov, int count, uint64_t offset)
{
    uint64_t len = 0;
    for (int i = 0; i < count; i++)
        len += iov[i].iov_len;
    return told(file->disk, SIM_DISK_WRITE, file->path, offset, len, write_all(file, iov, count, offset));
}

static enum err sim_fdatasync(struct disk_file *file)
{
    enum err err = ERR_OK;
    if (strikes(file->disk, SIM_FAULT_SYNC_IO)) {
        inode_lose_changes(file->inode);
        err = ERR_IO;
    } else if (!skips(file->disk, file->path, false)) {
        err = inode_sync(file->inode) ? ERR_OK : ERR_NOMEM;
    }
    return told(file->disk, SIM_DISK_SYNC, file->path, 0, 0, err);
}

static enum err allocate(struct disk_file *file, uint64_t offset, uint64_t len)
{
    struct sim_disk *d = file->disk;
    uint64_t end = offset + len;
    uint64_t size = file->inode->live.len;
    if (strikes(d, SIM_FAULT_WRITE_NO_SPACE))
        return ERR_NO_SPACE;
    if (end <= size)
        return ERR_OK;
    if (used_bytes(d) + (end - size) > d->capacity_bytes)
        return ERR_NO_SPACE;
    return inode_resize(file->inode, end) ? ERR_OK : ERR_NOMEM;
}

static enum err sim_allocate(struct disk_file *file, uint64_t offset, uint64_t len)
{
    return told(file->disk, SIM_DISK_ALLOCATE, file->path, offset, len, allocate(file, offset, len));
}

static enum err sim_truncate(struct disk_file *file, uint64_t len)
{
    uint64_t size = file->inode->live.len;
    if (len > size && used_bytes(file->disk) + (len - size) > file->disk->capacity_bytes)
        return told(file->disk, SIM_DISK_TRUNCATE, file->path, 0, len, ERR_NO_SPACE);
    return told(file->disk, SIM_DISK_TRUNCATE, file->path, 0, len, inode_resize(file->inode, len) ? ERR_OK : ERR_NOMEM);
}

static enum err sim_size(struct disk_file *file, uint64_t *ret_bytes)
{
    *ret_bytes = file->inode->live.len;
    return ERR_OK;
}

static enum err sim_lock(struct disk_file *file)
{
    if (file->inode->locked && !file->has_lock)
        return ERR_BUSY;
    file->inode->locked = true;
    file->has_lock = true;
    return ERR_OK;
}

static enum err sim_sync_dir(void *self, const char *path)
{
    struct sim_disk *d = self;
    char folder[SIM_DISK_PATH_MAX];
    if (!name_normalise(path, folder))
        return ERR_TOO_LARGE;
    enum err err = strikes(d, SIM_FAULT_SYNC_DIR_IO) ? ERR_IO
                   : skips(d, folder, true)          ? ERR_OK
                                                     : name_sync(&d->names, folder);
    return told(d, SIM_DISK_SYNC_DIR, folder, 0, 0, err);
}

static enum err sim_rename(void *self, const char *from, const char *to)
{
    struct sim_disk *d = self;
    struct name_change c = {0};
    if (!name_normalise(from, c.from) || !name_normalise(to, c.path))
        return ERR_TOO_LARGE;
    struct name *name = name_find(&d->names, c.from);
    if (name == NULL)
        return ERR_NOT_FOUND;
    c.inode = name->inode;
    return told(d, SIM_DISK_RENAME, c.path, 0, 0, name_change(&d->names, &c));
}

static enum err sim_unlink(void *self, const char *path)
{
    struct sim_disk *d = self;
    struct name_change c = {.gone = true};
    if (!name_normalise(path, c.path))
        return ERR_TOO_LARGE;
    enum err err = name_find(&d->names, c.path) == NULL ? ERR_NOT_FOUND : name_change(&d->names, &c);
    return told(d, SIM_DISK_UNLINK, c.path, 0, 0, err);
}

static enum err sim_make_dir(void *self, const char *path)
{
    struct sim_disk *d = self;
    struct name_change c = {0};
    if (!name_normalise(path, c.path))
        return ERR_TOO_LARGE;
    return name_exists(&d->names, c.path) ? ERR_EXISTS : name_change(&d->names, &c);
}

static enum err sim_exists(void *self, const char *path)
{
    struct sim_disk *d = self;
    char whole[SIM_DISK_PATH_MAX];
    if (!name_normalise(path, whole))
        return ERR_TOO_LARGE;
    return name_exists(&d->names, whole) ? ERR_OK : ERR_NOT_FOUND;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum err sim_list(void *self, const char *path, void (*each)(void *arg, const char *name), void *arg)
{
    struct sim_disk *d = self;
    char folder[SIM_DISK_PATH_MAX];
    if (!name_normalise(path, folder))
        return ERR_TOO_LARGE;
    const char **found = malloc((d->names.live.count + 1) * sizeof(*found));
    if (found == NULL)
        return ERR_NOMEM;
    size_t count = 0;
    for (size_t i = 0; i < d->names.live.count; i++) {
        if (name_is_in(d->names.live.list[i].path, folder))
            found[count++] = strrchr(d->names.live.list[i].path, '/') + 1;
    }
    qsort(found, count, sizeof(*found), compare_names);
    for (size_t i = 0; i < count; i++)
        each(arg, found[i]);
    free(found);
    return ERR_OK;
}

static enum err sim_free_bytes(void *self, const char *path, uint64_t *ret_bytes)
{
    (void)path;
    const struct sim_disk *d = self;
    uint64_t used = used_bytes(d);
    *ret_bytes = used >= d->capacity_bytes ? 0 : d->capacity_bytes - used;
    return ERR_OK;
}

/* ---- life ---- */

struct sim_disk *sim_disk_new(uint64_t seed, uint64_t capacity_bytes)
{
    struct sim_disk *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->capacity_bytes = capacity_bytes;
    prng_init(&d->prng, seed);
    d->port = (struct disk_port){
        .self = d,
        .open = sim_open,
        .close = sim_close,
        .pread = sim_pread,
        .pwritev = sim_pwritev,
        .fdatasync = sim_fdatasync,
        .allocate = sim_allocate,
        .truncate = sim_truncate,
        .size = sim_size,
        .lock = sim_lock,
        .sync_dir = sim_sync_dir,
        .rename = sim_rename,
        .unlink = sim_unlink,
        .make_dir = sim_make_dir,
        .exists = sim_exists,
        .list = sim_list,
        .free_bytes = sim_free_bytes,
    };
    return d;
}

void sim_disk_free(struct sim_disk *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->inode_count; i++)
        inode_free(d->inodes[i]);
    free(d->inodes);
    name_space_release(&d->names);
    free(d);
}

const struct disk_port *sim_disk_port(struct sim_disk *d)
{
    return &d->port;
}

struct twins {
    const struct sim_disk *from;
    const struct sim_disk *to;
};

/* The twin of an inode in a clone: same place in the list. */
static struct inode *twin(void *arg, struct inode *inode)
{
    const struct twins *twins = arg;
    for (size_t i = 0; inode != NULL && i < twins->from->inode_count; i++) {
        if (twins->from->inodes[i] == inode)
            return twins->to->inodes[i];
    }
    return NULL;
}

void sim_disk_set_steady(struct sim_disk *d)
{
    assert(d->inode_count == 0);
    d->steady = true;
}

struct sim_disk *sim_disk_clone(const struct sim_disk *from)
{
    struct sim_disk *to = sim_disk_new(0, from->capacity_bytes);
    if (to == NULL)
        return NULL;
    to->prng = from->prng;
    to->steady = from->steady;
    to->skip = from->skip;
    to->skip_arg = from->skip_arg;
    to->watch = from->watch;
    to->watch_arg = from->watch_arg;
    memcpy(to->faults.per_million, from->faults.per_million, sizeof(to->faults.per_million));
    for (size_t i = 0; i < from->inode_count; i++) {
        if (add_inode(to, inode_clone(from->inodes[i])) == NULL)
            goto fail;
    }
    struct twins twins = {.from = from, .to = to};
    if (name_space_copy(&to->names, &from->names, twin, &twins))
        return to;
fail:
    sim_disk_free(to);
    return NULL;
}

void sim_disk_power_cut(struct sim_disk *d, enum sim_disk_cut how, uint64_t seed)
{
    struct prng prng;
    prng_init(&prng, seed);
    bool ok = name_power_cut(&d->names, how, &prng);
    for (size_t i = 0; i < d->inode_count; i++)
        ok = ok && inode_power_cut(d->inodes[i], how, &prng);
    if (!ok)
        abort(); /* a test machine without memory: nothing that follows would mean anything */
}

void sim_disk_fail(struct sim_disk *d, enum sim_disk_fault fault, uint64_t skip, uint64_t count)
{
    d->faults.plans[fault] = (struct disk_fault_plan){.skip = skip, .count = count};
}

void sim_disk_set_rates(struct sim_disk *d, const uint32_t per_million[SIM_FAULT_COUNT])
{
    disk_faults_set_rates(&d->faults, per_million);
}

void sim_disk_set_watch(struct sim_disk *d, sim_disk_watch *watch, void *arg)
{
    d->watch = watch;
    d->watch_arg = arg;
}

uint64_t sim_disk_struck(const struct sim_disk *d, enum sim_disk_fault fault)
{
    return d->faults.plans[fault].struck;
}

void sim_disk_skip_syncs(struct sim_disk *d, sim_disk_skip *skip, void *arg)
{
    d->skip = skip;
    d->skip_arg = arg;
}

void sim_disk_resize(struct sim_disk *d, uint64_t capacity_bytes)
{
    d->capacity_bytes = capacity_bytes;
}

enum err sim_disk_damage(struct sim_disk *d, const char *path, uint64_t offset, uint8_t mask)
{
    char whole[SIM_DISK_PATH_MAX];
    if (!name_normalise(path, whole))
        return ERR_TOO_LARGE;
    struct name *name = name_find(&d->names, whole);
    if (name == NULL || name->inode == NULL)
        return ERR_NOT_FOUND;
    struct inode *inode = name->inode;
    if (offset >= inode->live.len)
        return ERR_INVALID;
    return inode_damage(inode, offset, mask) ? ERR_OK : ERR_NOMEM;
}
