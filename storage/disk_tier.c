/* SPDX-License-Identifier: MIT */
#include "storage/disk_tier.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/disk_recovery.h"
#include "storage/disk_tier_private.h"
#include "storage/segment.h"

enum { GROUP_FIRST_CAP = 64, IOV_RECORDS = 128, IOV_PER_RECORD = 3 };
enum { ALLOCATE_SHARE = 16 }; /* a step takes so small a part of what is free */

static const uint64_t segment_bytes_default = UINT64_C(256) * 1024 * 1024;
static const uint64_t allocate_bytes_default = UINT64_C(32) * 1024 * 1024;
static const uint64_t direct_bytes_default = UINT64_C(256) * 1024;
static const uint8_t zeros[SEGMENT_ALIGN];

enum err disk_tier_open(const struct disk_tier_options *options, struct disk_tier **ret_tier)
{
    struct disk_tier *tier = calloc(1, sizeof(*tier));
    if (tier == NULL)
        return ERR_NOMEM;
    tier->port = options->port;
    tier->segment_bytes = options->segment_bytes != 0 ? options->segment_bytes : segment_bytes_default;
    tier->allocate_bytes = options->allocate_bytes != 0 ? options->allocate_bytes : allocate_bytes_default;
    tier->direct_bytes = options->direct_bytes != 0 ? options->direct_bytes : direct_bytes_default;
    tier->next_segment = options->next_segment != 0 ? options->next_segment : 1;
    atomic_init(&tier->bytes, 0);
    atomic_init(&tier->used, 0);
    if (direct_writer_new(tier->port, options->buffers, &tier->direct) != ERR_OK)
        tier->direct = NULL; /* it is slower without */
    enum err err = segment_files_new(tier->port, options->dir, &tier->files);
    if (err == ERR_OK) {
        (void)snprintf(tier->dir, sizeof(tier->dir), "%s", options->dir);
        err = tier->port->make_dir(tier->port->self, tier->dir);
        err = err == ERR_EXISTS ? ERR_OK : err;
    }
    if (err != ERR_OK) {
        disk_tier_close(tier, true);
        return err;
    }
    *ret_tier = tier;
    return ERR_OK;
}

/* Cuts what lies behind the good bytes. A failure costs space only: a scan stops at the first record that does not parse. */
static void cut_to_good(struct disk_tier *tier)
{
    struct current_segment *cur = &tier->current;
    if (cur->size > cur->end && tier->port->truncate(cur->file, cur->end) == ERR_OK) {
        atomic_fetch_sub_explicit(&tier->bytes, cur->size - cur->end, memory_order_relaxed);
        cur->size = cur->end;
    }
}

static void leave_current(struct disk_tier *tier)
{
    tier->port->close(tier->current.direct);
    tier->port->close(tier->current.file);
    tier->current = (struct current_segment){0};
}

void disk_tier_close(struct disk_tier *tier, bool keep_space)
{
    if (tier == NULL)
        return;
    if (tier->current.file != NULL && !keep_space)
        cut_to_good(tier);
    if (tier->current.file != NULL)
        leave_current(tier);
    segment_files_free(tier->files);
    direct_writer_free(tier->direct);
    free(tier);
}

enum err disk_tier_recover(struct disk_tier *tier, const struct segment_checkpoint *checkpoints, size_t count,
                           recovered_block *each, recovered_segment *checkpoint, void *arg)
{
    return disk_recovery_run(tier, checkpoints, count, each, checkpoint, arg);
}

void disk_tier_position(const struct disk_tier *tier, uint64_t *ret_segment, uint64_t *ret_offset)
{
    bool open = tier->current.file != NULL;
    *ret_segment = open ? tier->current.id : tier->next_segment;
    *ret_offset = open ? tier->current.end : 0;
}

uint64_t disk_tier_bytes(const struct disk_tier *tier)
{
    return atomic_load_explicit(&tier->bytes, memory_order_relaxed);
}

uint64_t disk_tier_used(const struct disk_tier *tier)
{
    return atomic_load_explicit(&tier->used, memory_order_relaxed);
}

/* ---- groups ---- */

struct disk_group *disk_group_new(void)
{
    return calloc(1, sizeof(struct disk_group));
}

void disk_group_free(struct disk_group *group)
{
    if (group == NULL)
        return;
    for (size_t i = 0; i < group->count; i++)
        block_ref_unref(group->records[i].ref);
    free(group->records);
    free(group);
}

enum err disk_group_add(struct disk_group *group, const struct block_key *key, uint32_t codec, struct block_ref *ref,
                        void *user)
{
    uint64_t bytes = segment_record_bytes(key->len, ref->len);
    if (group->count == GROUP_RECORDS_MAX || (group->count > 0 && group->bytes + bytes > GROUP_BYTES_MAX))
        return ERR_BUSY;
    if (group->count == group->cap) {
        size_t cap = group->cap == 0 ? GROUP_FIRST_CAP : group->cap * 2;
        struct group_record *records = realloc(group->records, cap * sizeof(*records));
        if (records == NULL)
            return ERR_NOMEM;
        group->records = records;
        group->cap = cap;
    }
    struct group_record *r = &group->records[group->count++];
    *r = (struct group_record){.ref = block_ref_ref(ref), .user = user};
    r->place = (struct block_place){.key = *key, .codec = codec, .size = (uint32_t)ref->len};
    group->bytes += bytes;
    return ERR_OK;
}

/* ---- writing ---- */

static enum err open_next(struct disk_tier *tier)
{
    char path[SEGMENT_PATH_MAX];
    uint64_t id = tier->next_segment;
    segment_files_path(tier->files, id, path);
    struct disk_file *file;
    enum err err = tier->port->open(tier->port->self, path, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &file);
    if (err == ERR_EXISTS) /* a leftover that no row names and no scan could use: ids are never used twice */
        tier->next_segment++;
    if (err != ERR_OK)
        return err;
    tier->next_segment++;
    tier->current = (struct current_segment){.id = id, .file = file, .name_unsynced = true};
    return ERR_OK;
}

/* What a failed allocation has taken all the same goes back: a full disk has other uses for it, the catalogue's commits first. */
static enum err allocate_to(struct disk_tier *tier, uint64_t size)
{
    struct current_segment *cur = &tier->current;
    enum err err = tier->port->allocate(cur->file, cur->size, size - cur->size);
    if (err == ERR_OK) {
        atomic_fetch_add_explicit(&tier->bytes, size - cur->size, memory_order_relaxed);
        cur->size = size;
    } else {
        (void)tier->port->truncate(cur->file, cur->size);
    }
    return err;
}

/* Room up to need, in large steps while the disk has room for many of them, else exactly. */
static enum err allocate(struct disk_tier *tier, uint64_t need)
{
    struct current_segment *cur = &tier->current;
    uint64_t free_bytes = UINT64_MAX;
    if (need <= cur->size)
        return ERR_OK;
    if (tier->port->free_bytes(tier->port->self, tier->dir, &free_bytes) != ERR_OK)
        free_bytes = UINT64_MAX;
    uint64_t step = MIN(tier->allocate_bytes, free_bytes / ALLOCATE_SHARE);
    uint64_t size = MAX(need, MIN(cur->size + step, MAX(tier->segment_bytes, need)));
    enum err err = allocate_to(tier, size);
    return err == ERR_NO_SPACE && size > need ? allocate_to(tier, need) : err;
}

/* Places a record at offset; *ret_head bytes of to are its header. Returns the bytes it takes in the file. */
static uint64_t place_record(struct disk_tier *tier, struct group_record *r, uint64_t offset,
                             uint8_t to[SEGMENT_HEADER_MAX], size_t *ret_head)
{
    r->place.segment = tier->current.id;
    r->place.offset = offset;
    *ret_head = segment_encode(&r->place, block_ref_span(r->ref), to);
    return segment_record_bytes(r->place.key.len, r->ref->len);
}

/* Writes records [from, from + count) at *offset with one call and moves *offset. */
static enum err write_records(struct disk_tier *tier, struct disk_group *group, size_t from, size_t count,
                              uint64_t *offset)
{
    uint8_t headers[IOV_RECORDS][SEGMENT_HEADER_MAX];
    struct iovec iov[IOV_RECORDS * IOV_PER_RECORD];
    int used = 0;
    uint64_t at = *offset;
    for (size_t i = 0; i < count; i++) {
        struct group_record *r = &group->records[from + i];
        size_t head;
        uint64_t whole = place_record(tier, r, at, headers[i], &head);
        size_t pad = (size_t)(whole - head - r->ref->len);
        iov[used++] = (struct iovec){.iov_base = headers[i], .iov_len = head};
        iov[used++] = (struct iovec){.iov_base = r->ref->data, .iov_len = r->ref->len};
        if (pad > 0)
            iov[used++] = (struct iovec){.iov_base = (uint8_t *)(uintptr_t)zeros, .iov_len = pad};
        at += whole;
    }
    enum err err = tier->port->pwritev(tier->current.file, iov, used, *offset);
    *offset = at;
    return err;
}

/* Through the page cache, right behind what is there. */
static enum err write_cached(struct disk_tier *tier, struct disk_group *group, uint64_t *ret_end)
{
    uint64_t offset = tier->current.end;
    enum err err = allocate(tier, offset + group->bytes);
    for (size_t from = 0; err == ERR_OK && from < group->count; from += IOV_RECORDS)
        err = write_records(tier, group, from, MIN(group->count - from, (size_t)IOV_RECORDS), &offset);
    *ret_end = offset;
    return err;
}

static uint64_t direct_aligned(uint64_t offset)
{
    return (offset + DISK_DIRECT_ALIGN - 1) / DISK_DIRECT_ALIGN * DISK_DIRECT_ALIGN;
}

static enum err append_record(struct disk_tier *tier, struct group_record *r, uint64_t *offset)
{
    uint8_t header[SEGMENT_HEADER_MAX];
    size_t head;
    uint64_t whole = place_record(tier, r, *offset, header, &head);
    enum err err = direct_writer_append(tier->direct, span_of(header, head));
    if (err == ERR_OK)
        err = direct_writer_append(tier->direct, block_ref_span(r->ref));
    if (err == ERR_OK)
        err = direct_writer_append(tier->direct, span_of(zeros, (size_t)(whole - head - r->ref->len)));
    *offset += whole;
    return err;
}

/* Past the page cache, from the next aligned place on. */
static enum err write_direct(struct disk_tier *tier, struct disk_group *group, uint64_t *ret_end)
{
    uint64_t offset = direct_aligned(tier->current.end);
    *ret_end = direct_aligned(offset + group->bytes);
    enum err err = allocate(tier, *ret_end);
    if (err != ERR_OK)
        return err;
    direct_writer_begin(tier->direct, tier->current.direct, offset);
    for (size_t i = 0; err == ERR_OK && i < group->count; i++)
        err = append_record(tier, &group->records[i], &offset);
    return err == ERR_OK ? direct_writer_end(tier->direct) : err;
}

/* The current segment's second descriptor is opened for its first large group; where that fails, it has none. */
static bool goes_direct(struct disk_tier *tier, const struct disk_group *group)
{
    struct current_segment *cur = &tier->current;
    if (tier->direct == NULL || group->bytes < tier->direct_bytes)
        return false;
    if (!cur->direct_tried) {
        char path[SEGMENT_PATH_MAX];
        segment_files_path(tier->files, cur->id, path);
        if (tier->port->open(tier->port->self, path, DISK_WRITE | DISK_DIRECT, &cur->direct) != ERR_OK)
            cur->direct = NULL;
        cur->direct_tried = true;
    }
    return cur->direct != NULL;
}

static enum err write_group(struct disk_tier *tier, struct disk_group *group, uint64_t *ret_end)
{
    struct current_segment *cur = &tier->current;
    if (!goes_direct(tier, group))
        return write_cached(tier, group, ret_end);
    enum err err = write_direct(tier, group, ret_end);
    if (err != ERR_INVALID)
        return err;
    tier->port->close(cur->direct); /* the file system took the flag and does not take the writes */
    cur->direct = NULL;
    return write_cached(tier, group, ret_end);
}

static enum err sync_group(struct disk_tier *tier)
{
    enum err err = tier->port->fdatasync(tier->current.file);
    if (err == ERR_OK && tier->current.name_unsynced) {
        err = tier->port->sync_dir(tier->port->self, tier->dir);
        if (err == ERR_OK)
            tier->current.name_unsynced = false;
    }
    return err;
}

/* After a failure: a full disk leaves the segment usable, anything else gives it up. */
static void fail_write(struct disk_tier *tier, struct disk_group *group, enum err err)
{
    struct current_segment *cur = &tier->current;
    cut_to_good(tier);
    if (err == ERR_NO_SPACE || err == ERR_NOMEM)
        return;
    group->sealed = (struct segment_checkpoint){.segment = cur->id, .offset = cur->end, .state = SEGMENT_SUSPECT};
    leave_current(tier);
}

void disk_tier_seal(struct disk_tier *tier, struct segment_checkpoint *ret_sealed)
{
    struct current_segment *cur = &tier->current;
    *ret_sealed = (struct segment_checkpoint){0};
    if (cur->file == NULL || cur->end == 0)
        return;
    cut_to_good(tier);
    *ret_sealed = (struct segment_checkpoint){.segment = cur->id, .offset = cur->end, .state = SEGMENT_SEALED};
    leave_current(tier);
}

static enum err choose_segment(struct disk_tier *tier, struct disk_group *group)
{
    struct current_segment *cur = &tier->current;
    if (cur->file != NULL && cur->end + group->bytes > tier->segment_bytes)
        disk_tier_seal(tier, &group->sealed);
    enum err err = cur->file != NULL ? ERR_OK : open_next(tier);
    for (int tries = 0; err == ERR_EXISTS && tries < 1000; tries++)
        err = open_next(tier);
    return err;
}

enum err disk_tier_write(struct disk_tier *tier, struct disk_group *group)
{
    uint64_t end = 0;
    group->sealed = (struct segment_checkpoint){0};
    enum err err = choose_segment(tier, group);
    if (err != ERR_OK)
        return err;
    err = write_group(tier, group, &end);
    if (err == ERR_OK)
        err = sync_group(tier);
    if (err != ERR_OK) {
        fail_write(tier, group, err);
        return err;
    }
    assert(end >= tier->current.end + group->bytes);
    atomic_fetch_add_explicit(&tier->used, end - tier->current.end, memory_order_relaxed);
    tier->current.end = end;
    group->segment = tier->current.id;
    group->end = end;
    return ERR_OK;
}

enum err disk_tier_read(struct disk_tier *tier, const struct block_place *place, struct account *account,
                        struct block_ref **ret_ref)
{
    struct segment_file *file;
    enum err err = segment_files_hold(tier->files, place->segment, &file);
    if (err != ERR_OK)
        return err;
    struct block_ref *ref = block_ref_new(place->size, account);
    err = ref == NULL ? ERR_NOMEM : segment_read(tier->port, segment_file_disk(file), place, ref->data);
    segment_files_drop(tier->files, file);
    if (err != ERR_OK) {
        block_ref_unref(ref);
        return err;
    }
    *ret_ref = ref;
    return ERR_OK;
}

enum err disk_tier_read_bytes(struct disk_tier *tier, uint64_t segment, uint64_t offset, uint8_t *to, size_t len,
                              size_t *ret_len, uint64_t *ret_size)
{
    struct segment_file *file;
    enum err err = segment_files_hold(tier->files, segment, &file);
    if (err != ERR_OK)
        return err;
    err = tier->port->size(segment_file_disk(file), ret_size);
    if (err == ERR_OK)
        err = tier->port->pread(segment_file_disk(file), to, len, offset, ret_len);
    segment_files_drop(tier->files, file);
    return err;
}

enum err disk_tier_scan(struct disk_tier *tier, uint64_t segment, uint64_t offset, segment_each *each, void *arg)
{
    struct segment_file *file;
    uint64_t end;
    enum err err = segment_files_hold(tier->files, segment, &file);
    if (err != ERR_OK)
        return err;
    err = segment_scan(tier->port, segment_file_disk(file), segment, offset, SCAN_SALVAGE, each, arg, &end);
    segment_files_drop(tier->files, file);
    return err;
}

enum err disk_tier_list(struct disk_tier *tier, uint64_t segment, uint64_t *offset, uint64_t end,
                        struct block_place *ret_places, size_t max, size_t *ret_count)
{
    struct segment_file *file;
    enum err err = segment_files_hold(tier->files, segment, &file);
    if (err != ERR_OK)
        return err;
    err = segment_list(tier->port, segment_file_disk(file), segment, offset, end, ret_places, max, ret_count);
    segment_files_drop(tier->files, file);
    return err;
}

static void count_gone(struct disk_tier *tier, uint64_t size, uint64_t good_bytes)
{
    atomic_fetch_sub_explicit(&tier->bytes, size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&tier->used, MIN(size, good_bytes), memory_order_relaxed);
}

enum err disk_tier_drop(struct disk_tier *tier, uint64_t segment, uint64_t good_bytes)
{
    char path[SEGMENT_PATH_MAX];
    struct segment_file *file;
    uint64_t size = 0;
    enum err err = segment_files_hold(tier->files, segment, &file);
    if (err == ERR_OK) {
        err = tier->port->size(segment_file_disk(file), &size);
        segment_files_drop(tier->files, file);
    }
    segment_files_forget(tier->files, segment);
    segment_files_path(tier->files, segment, path);
    if (err == ERR_OK)
        err = tier->port->unlink(tier->port->self, path);
    if (err == ERR_OK)
        count_gone(tier, size, good_bytes);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    return tier->port->sync_dir(tier->port->self, tier->dir);
}
