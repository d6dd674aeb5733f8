/* SPDX-License-Identifier: MIT */
/*
 * A backup, a second one over it, and a restore are recorded write by write; the power is cut after each entry of the log, and with each of
 * their syncs left out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/sqlite_vfs.h"
#include "storage/store_backup.h"
#include "storage/store_restore.h"
#include "tests/crash/crash.h"
#include "tests/support/store_driver.h"

/* The second backup has none of the blocks of the first: they were collected, and their segments are gone. */
enum { FIRST_BLOCKS = 20, SECOND_BLOCKS = CRASH_BLOCKS - FIRST_BLOCKS };

/* Names that change places at one point of the log show it only in some orders. */
/* With the names of a backup one subset in eight shows a sync that is missing, and there is but one moment for it: 44 miss it with 0.3 %. */
enum { CUTS = SIM_CUT_COUNT + 44 };

enum { MARK_BACKING_UP = 1, MARK_BACKED_UP, MARK_RESTORING, MARK_RESTORED };

/* The syncs of storage/store_backup.c and storage/store_restore.c. */
enum copy_site {
    COPY_NONE,
    BACKUP_FOLDER,
    BACKUP_SEGMENTS_FOLDER,
    BACKUP_SEGMENT,
    BACKUP_SEGMENT_NAME,
    BACKUP_DATABASE,
    BACKUP_DATABASE_NAME,
    RESTORE_MARKER,
    RESTORE_SEGMENT,
    RESTORE_SEGMENT_NAME,
    RESTORE_DATABASE,
    RESTORE_DATABASE_NAME,
    RESTORE_END,
    COPY_SITE_COUNT
};

static const char *const site_names[COPY_SITE_COUNT] = {
    [COPY_NONE] = "none left out",
    [BACKUP_FOLDER] = "store_backup: sync of a new folder's parent",
    [BACKUP_SEGMENTS_FOLDER] = "store_backup: sync of the folder with the new segments' folder in it",
    [BACKUP_SEGMENT] = "store_backup: fdatasync of a segment",
    [BACKUP_SEGMENT_NAME] = "store_backup: sync of the segments' folder",
    [BACKUP_DATABASE] = "store_backup: fdatasync of blocks.db",
    [BACKUP_DATABASE_NAME] = "store_backup: sync of the folder",
    [RESTORE_MARKER] = "store_restore: sync of the marker's name",
    [RESTORE_SEGMENT] = "store_restore: fdatasync of a segment",
    [RESTORE_SEGMENT_NAME] = "store_restore: sync of the segments' folder",
    [RESTORE_DATABASE] = "store_restore: fdatasync of blocks.db",
    [RESTORE_DATABASE_NAME] = "store_restore: sync of the repository's folder",
    [RESTORE_END] = "store_restore: sync of the marker's removal",
};

struct copies {
    uint64_t backups; /* acknowledged */
    bool backing_up;  /* the first one has begun */
    bool restoring;   /* from here on both backups are there and stay */
    bool restored;    /* acknowledged */
    enum copy_site without;
    unsigned copy_syncs; /* of the backup's folder, so far */
    unsigned node_syncs; /* of the repository's folder */
    uint64_t states;
    char why[CRASH_WHY_BYTES];
};

static enum copy_site site_of(const struct copies *c, const char *path, bool is_folder)
{
    bool segment = strstr(path, ".seg.part") != NULL;
    if (strncmp(path, "/copy", 5) == 0) {
        if (!is_folder)
            return segment ? BACKUP_SEGMENT : BACKUP_DATABASE;
        if (path[5] != '\0')
            return BACKUP_SEGMENT_NAME;
        return c->copy_syncs == 0 ? BACKUP_SEGMENTS_FOLDER : BACKUP_DATABASE_NAME;
    }
    if (strncmp(path, "/node", 5) == 0) {
        if (!is_folder)
            return segment ? RESTORE_SEGMENT : strstr(path, "blocks.db") != NULL ? RESTORE_DATABASE : COPY_NONE;
        if (path[5] != '\0')
            return RESTORE_SEGMENT_NAME;
        return c->node_syncs == 0 ? RESTORE_MARKER : c->node_syncs == 1 ? RESTORE_DATABASE_NAME : RESTORE_END;
    }
    return is_folder && strcmp(path, "/") == 0 && c->backing_up && !c->restoring ? BACKUP_FOLDER : COPY_NONE;
}

static bool leave_out(void *arg, const char *path, bool is_folder)
{
    struct copies *c = arg;
    bool skip = c->without != COPY_NONE && site_of(c, path, is_folder) == c->without;
    c->copy_syncs += is_folder && strcmp(path, "/copy") == 0;
    c->node_syncs += is_folder && strcmp(path, "/node") == 0;
    return skip;
}

/* ---- the recorded run ---- */

struct source {
    struct blockstore *store;
    struct store_piece_op piece;
    bool done;
    enum err err;
    uint64_t id;
};

static void backup_opened(struct store_backup_op *op, enum err err)
{
    (void)op;
    (void)err; /* seen by its id */
}

static void piece_read(struct store_piece_op *op, enum err err)
{
    struct source *s = CONTAINER_OF(op, struct source, piece);
    s->done = true;
    s->err = err;
}

/* Of struct store_backup. */
static enum err read_piece(void *arg, uint64_t segment, uint64_t offset, uint64_t len, struct span *ret_bytes,
                           uint64_t *ret_size)
{
    struct source *s = arg;
    block_ref_unref(s->piece.ref);
    s->piece = (struct store_piece_op){
        .done = piece_read, .backup = s->id, .segment = segment, .offset = offset, .length = (size_t)len};
    s->done = false;
    blockstore_backup_read(s->store, &s->piece);
    test_drive(s->store, 1000);
    if (!s->done || s->err != ERR_OK)
        return s->done ? s->err : ERR_INTERNAL;
    *ret_bytes = block_ref_span(s->piece.ref);
    *ret_size = s->piece.size;
    return ERR_OK;
}

static bool back_up(struct blockstore *store, const struct store_medium *on)
{
    struct store_backup_op open = {.done = backup_opened};
    blockstore_backup_open(store, &open);
    test_drive(store, 1000);
    struct source source = {.store = store, .id = open.id};
    struct store_backup backup = {.on = *on, .folder = "/copy", .arg = &source, .read = read_piece};
    bool good = open.id != 0 && store_backup_begin(&backup) == ERR_OK && store_backup_copy(&backup) == ERR_OK;
    if (!good)
        (void)fprintf(stderr, "the backup failed: %s\n", backup.why);
    block_ref_unref(source.piece.ref);
    blockstore_backup_close(store, source.id);
    test_drive(store, 1000);
    return good;
}

static bool put_range(struct blockstore *store, const struct crash_blocks *b, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (test_put(store, &b->keys[i], span_of(b->bytes[i], b->sizes[i]), NULL) != ERR_OK)
            return false;
    }
    return true;
}

/* Nothing is pinned: all of the store goes, and compaction removes the segments. */
static bool empty_store(struct blockstore *store)
{
    bool good = crash_collect(store, NULL, NULL);
    for (uint64_t i = 1; i <= 20; i++) {
        blockstore_tick(store, i * 60 * SECOND_NS, i * 60 * SECOND_NS);
        test_drive(store, 1000);
    }
    return good;
}

static bool record_backups(const struct crash_blocks *b, struct disk_log *log, const struct store_medium *on)
{
    char why[STORE_WHY_BYTES];
    struct blockstore *store = NULL;
    if (on->port->make_dir(on->port->self, "repo") != ERR_OK || on->port->sync_dir(on->port->self, "/") != ERR_OK ||
        crash_open(on->port, &store, why) != ERR_OK)
        return false;
    bool good = put_range(store, b, 0, FIRST_BLOCKS);
    disk_log_mark(log, MARK_BACKING_UP, 0);
    good = good && back_up(store, on);
    disk_log_mark(log, MARK_BACKED_UP, 1);
    good = good && empty_store(store) && put_range(store, b, FIRST_BLOCKS, CRASH_BLOCKS) && back_up(store, on);
    disk_log_mark(log, MARK_BACKED_UP, 2);
    blockstore_close(store, false);
    return good;
}

static bool restore(const struct store_medium *on)
{
    struct store_restore r = {.on = *on, .from = "/copy", .to = "/node"};
    return store_restore_begin(&r) == ERR_OK && store_restore_copy(&r) == ERR_OK && store_restore_end(&r) == ERR_OK;
}

static bool record(const struct crash_blocks *b, struct disk_log *log)
{
    struct sqlite_vfs *vfs;
    const struct disk_port *port = disk_log_port(log);
    if (sqlite_vfs_open(port, &vfs) != ERR_OK)
        return false;
    struct store_medium on = {.port = port, .vfs = sqlite_vfs_name(vfs)};
    bool good = record_backups(b, log, &on) && port->make_dir(port->self, "/node") == ERR_OK &&
                port->sync_dir(port->self, "/") == ERR_OK;
    disk_log_mark(log, MARK_RESTORING, 0);
    good = good && restore(&on);
    disk_log_mark(log, MARK_RESTORED, 0);
    sqlite_vfs_close(vfs);
    return good;
}

/* ---- crashed disks ---- */

static void ignore_bad(void *arg, const struct block_place *place, enum err err)
{
    (void)arg;
    (void)place;
    (void)err; /* they are counted */
}

static bool exists(const struct store_medium *on, const char *path)
{
    return on->port->exists(on->port->self, path) == ERR_OK;
}

static bool fail(struct copies *c, const char *why)
{
    (void)snprintf(c->why, sizeof(c->why), "%s", why);
    return false;
}

/* The copy has all that one of the backups has; *ret_which: 1 or 2. */
static bool is_whole(const struct store_medium *on, const char *folder, uint64_t *ret_which)
{
    struct store_copy_check check = {.bad = ignore_bad};
    if (store_copy_verify(on, folder, &check) != ERR_OK || check.bad_count > 0)
        return false;
    *ret_which = check.blocks == FIRST_BLOCKS ? 1 : check.blocks == SECOND_BLOCKS ? 2 : 0;
    return *ret_which > 0;
}

static bool check_backup(struct copies *c, const struct store_medium *on)
{
    uint64_t which = 0;
    if (!exists(on, "/copy/blocks.db"))
        return c->backups == 0 || fail(c, "an acknowledged backup is gone");
    if (!is_whole(on, "/copy", &which))
        return fail(c, "what passes for a backup is not whole");
    return which >= c->backups || fail(c, "an acknowledged backup is an older one");
}

static bool check_restore(struct copies *c, const struct store_medium *on)
{
    uint64_t which = 0;
    bool half = exists(on, "/node/" STORE_RESTORING);
    if (c->restored && half)
        return fail(c, "an acknowledged restore passes for a half one");
    bool none = !half && !exists(on, "/node/blocks.db");
    if (none && (c->restored || store_copy_has_segments(on, "/node")))
        return fail(c, "a restored store is gone, or half of it passes for a store");
    if (!none && !half && (!is_whole(on, "/node", &which) || which != 2))
        return fail(c, "what passes for a restored store is not whole");
    if (!none && !half)
        return true;
    return (restore(on) && is_whole(on, "/node", &which) && which == 2) ||
           fail(c, "a restore that was interrupted cannot be ended");
}

static bool survives(struct copies *c, const struct sim_disk *disk, uint64_t seed)
{
    bool good = true;
    for (int i = 0; good && i < CUTS; i++) {
        struct sim_disk *copy = sim_disk_clone(disk);
        struct sqlite_vfs *vfs;
        if (copy == NULL || sqlite_vfs_open(sim_disk_port(copy), &vfs) != ERR_OK)
            abort();
        sim_disk_skip_syncs(copy, NULL, NULL);
        sim_disk_power_cut(copy, i < SIM_CUT_COUNT ? (enum sim_disk_cut)i : SIM_CUT_REORDER, seed + (uint64_t)i);
        struct store_medium on = {.port = sim_disk_port(copy), .vfs = sqlite_vfs_name(vfs)};
        good = check_backup(c, &on) && (!c->restoring || check_restore(c, &on));
        sqlite_vfs_close(vfs);
        sim_disk_free(copy);
        c->states++;
    }
    return good;
}

static void note(struct copies *c, const struct disk_entry *mark)
{
    c->backing_up = c->backing_up || mark->mark == MARK_BACKING_UP;
    c->restoring = c->restoring || mark->mark == MARK_RESTORING;
    c->restored = c->restored || mark->mark == MARK_RESTORED;
    if (mark->mark == MARK_BACKED_UP)
        c->backups = mark->value;
}

static bool replay(struct copies *c, const struct disk_log *log, uint64_t seed)
{
    struct sim_disk *disk = sim_disk_new(seed, 64 * MIB);
    bool good = disk != NULL;
    if (good)
        sim_disk_skip_syncs(disk, leave_out, c);
    for (size_t i = 0; good && i < disk_log_count(log); i++) {
        const struct disk_entry *e = disk_log_at(log, i);
        if (e->kind == DISK_ENTRY_MARK)
            note(c, e);
        else
            good = disk_entry_apply(e, sim_disk_port(disk)) == ERR_OK || fail(c, "the log does not replay");
        good = good && (!c->backing_up || survives(c, disk, seed * 1000003 + i * CUTS));
    }
    sim_disk_free(disk);
    return good;
}

bool crash_copy(uint64_t seed)
{
    struct crash_blocks *blocks = calloc(1, sizeof(*blocks));
    struct sim_disk *disk = sim_disk_new(seed, 64 * MIB);
    struct disk_log *log = disk == NULL ? NULL : disk_log_new(sim_disk_port(disk));
    bool good = blocks != NULL && log != NULL;
    struct copies c = {0};
    if (good) {
        crash_blocks_init(blocks, seed);
        good = record(blocks, log) && replay(&c, log, seed);
    }
    (void)printf("%s  two backups and a restore: %llu crashed disks %s\n", good ? "green" : "RED  ",
                 (unsigned long long)c.states, c.why);
    for (enum copy_site site = BACKUP_FOLDER; good && site < COPY_SITE_COUNT; site++) {
        struct copies without = {.without = site};
        bool found = !replay(&without, log, seed);
        (void)printf("%s  without %s: %s\n", found ? "found " : "MISSED", site_names[site],
                     found ? without.why : "nothing was lost");
        good = found;
    }
    disk_log_free(log);
    sim_disk_free(disk);
    free(blocks);
    return good;
}
