/* SPDX-License-Identifier: MIT */
/*
 *      state of the segment      scanned from        then
 *      sealed, suspect           not at all          only its size is counted; a suspect one is cut at its offset
 *      open                      its checkpoint      the torn tail is cut off; the last one is appended to
 *      unknown (no checkpoint)   0, looking past     made by a crash before its first row, or the catalogue is being rebuilt
 *                                damaged records
 */
#include "storage/disk_recovery.h"

#include <stdlib.h>

#include "storage/disk_tier_private.h"
#include "storage/segment.h"

enum { IDS_FIRST_CAP = 64 };

struct ids {
    uint64_t *list;
    size_t count;
    size_t cap;
    bool no_memory;
};

struct recovery {
    struct disk_tier *tier;
    recovered_block *each;
    void *arg;
};

static void collect_id(void *arg, const char *name)
{
    struct ids *ids = arg;
    uint64_t id;
    if (!segment_parse_name(name, &id) || id == 0)
        return;
    if (ids->count == ids->cap) {
        size_t cap = ids->cap == 0 ? IDS_FIRST_CAP : ids->cap * 2;
        uint64_t *list = realloc(ids->list, cap * sizeof(*list));
        if (list == NULL) {
            ids->no_memory = true;
            return;
        }
        ids->list = list;
        ids->cap = cap;
    }
    ids->list[ids->count++] = id;
}

static const struct segment_checkpoint *find(const struct segment_checkpoint *checkpoints, size_t count, uint64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (checkpoints[i].segment == id)
            return &checkpoints[i];
    }
    return NULL;
}

static enum err found_block(void *arg, const struct block_place *place, struct span payload)
{
    struct recovery *r = arg;
    (void)payload;
    return r->each(r->arg, place);
}

/* First syncs what a killed process may have left in the page cache only: an index row must never be safer than its block. */
static enum err make_durable(struct disk_tier *tier, struct disk_file *file, bool name_known)
{
    enum err err = tier->port->fdatasync(file);
    if (err == ERR_OK && !name_known)
        err = tier->port->sync_dir(tier->port->self, tier->dir);
    return err;
}

/* Takes over an open segment as the current one when it is the last of all and has room; else it is sealed. */
static void adopt(struct disk_tier *tier, struct disk_file **file, struct segment_checkpoint *cp, uint64_t size,
                  bool last, bool name_known)
{
    if (!last || cp->offset >= tier->segment_bytes) {
        cp->state = SEGMENT_SEALED;
        return;
    }
    tier->current = (struct current_segment){
        .id = cp->segment, .file = *file, .end = cp->offset, .size = size, .name_unsynced = !name_known};
    *file = NULL;
}

static enum err recover_open(struct recovery *r, struct disk_file **file, struct segment_checkpoint *cp,
                             bool name_known, bool last)
{
    struct disk_tier *tier = r->tier;
    uint64_t size;
    uint64_t end = cp->offset;
    enum err err = tier->port->size(*file, &size);
    if (err == ERR_OK && size > cp->offset)
        err = make_durable(tier, *file, name_known);
    if (err == ERR_OK)
        err = segment_scan(tier->port, *file, cp->segment, cp->offset, name_known ? SCAN_TAIL : SCAN_SALVAGE,
                           found_block, r, &end);
    if (err != ERR_OK)
        return err;
    cp->offset = end;
    if (size > end && tier->port->truncate(*file, end) == ERR_OK)
        size = end;
    atomic_fetch_add_explicit(&tier->bytes, size, memory_order_relaxed);
    atomic_fetch_add_explicit(&tier->used, end, memory_order_relaxed);
    adopt(tier, file, cp, size, last, name_known || end > 0);
    return ERR_OK;
}

/* A segment without new records: counted, and cut when it is suspect. */
static enum err recover_closed(struct disk_tier *tier, struct disk_file *file, const struct segment_checkpoint *cp)
{
    uint64_t size;
    enum err err = tier->port->size(file, &size);
    if (err != ERR_OK)
        return err;
    if (cp->state == SEGMENT_SUSPECT && size > cp->offset && tier->port->truncate(file, cp->offset) == ERR_OK)
        size = cp->offset;
    atomic_fetch_add_explicit(&tier->bytes, size, memory_order_relaxed);
    atomic_fetch_add_explicit(&tier->used, MIN(size, cp->offset), memory_order_relaxed);
    return ERR_OK;
}

static enum err recover_one(struct recovery *r, const struct segment_checkpoint *known, uint64_t id, bool last,
                            recovered_segment *checkpoint)
{
    struct disk_tier *tier = r->tier;
    char path[SEGMENT_PATH_MAX];
    segment_files_path(tier->files, id, path);
    struct disk_file *file;
    enum err err = tier->port->open(tier->port->self, path, DISK_WRITE, &file);
    if (err != ERR_OK)
        return err;
    struct segment_checkpoint cp = {.segment = id};
    if (known != NULL)
        cp = *known;
    if (known != NULL && known->state != SEGMENT_OPEN) {
        err = recover_closed(tier, file, &cp);
    } else {
        err = recover_open(r, &file, &cp, known != NULL, last);
        if (err == ERR_OK)
            err = checkpoint(r->arg, &cp);
    }
    tier->port->close(file);
    return err;
}

enum err disk_recovery_run(struct disk_tier *tier, const struct segment_checkpoint *checkpoints, size_t count,
                           recovered_block *each, recovered_segment *checkpoint, void *arg)
{
    struct ids ids = {0};
    struct recovery r = {.tier = tier, .each = each, .arg = arg};
    enum err err = tier->port->list(tier->port->self, tier->dir, collect_id, &ids);
    if (err == ERR_OK && ids.no_memory)
        err = ERR_NOMEM;
    for (size_t i = 0; err == ERR_OK && i < ids.count; i++) {
        tier->next_segment = MAX(tier->next_segment, ids.list[i] + 1);
        err = recover_one(&r, find(checkpoints, count, ids.list[i]), ids.list[i], i + 1 == ids.count, checkpoint);
    }
    free(ids.list);
    return err;
}
