/* SPDX-License-Identifier: MIT */
/*
 * Start-up, in this order: the lock, the catalogue, a look whether the segments' disk is there, the segments' tails, and one sync of the
 * repository's folder, after which every name that an acknowledgement rests on is safe.
 *
 * A catalogue that cannot be read is put aside as blocks.db.damaged and made anew from the segments, which describe themselves; pins
 * are copied as far as they can still be read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/blockstore_private.h"
#include "storage/cold_mark.h"
#include "storage/migration.h"
#include "storage/pin_journal.h"

enum { RECOVERY_ROWS = 4096, RECOVERY_TELL_ROWS = 500000 };
enum { CACHE_KIB_DEFAULT = 1024, NAME_ROOM = 64, ALLOCATE_MIB = 32, SEGMENT_MIB = 256 };

struct reindex {
    struct blockstore *store;
    struct block_place *places;
    size_t count;
    uint64_t total;
};

static bool join(char to[STORE_PATH_MAX], const char *path, const char *name)
{
    int len = snprintf(to, STORE_PATH_MAX, "%s/%s", path, name);
    return len >= 0 && len + NAME_ROOM < STORE_PATH_MAX;
}

static const char *vfs_name(const struct store_core *core)
{
    return core->vfs == NULL ? NULL : sqlite_vfs_name(core->vfs);
}

static enum err commit_found(struct reindex *r, const struct segment_checkpoint *checkpoint)
{
    struct catalogue_batch batch = {.places = r->places,
                                    .place_count = r->count,
                                    .checkpoints = checkpoint,
                                    .checkpoint_count = checkpoint == NULL ? 0 : 1};
    enum err err = catalogue_commit(r->store->core->catalogue, &batch, NULL);
    if (err != ERR_OK)
        return err;
    uint64_t told = r->total / RECOVERY_TELL_ROWS;
    r->total += r->count;
    if (r->total / RECOVERY_TELL_ROWS > told)
        store_notice(r->store, false, "blocks without a row are looked up in the segments: %llu so far",
                     (unsigned long long)r->total);
    r->count = 0;
    return ERR_OK;
}

static enum err found_block(void *arg, const struct block_place *place)
{
    struct reindex *r = arg;
    enum err err = r->count == RECOVERY_ROWS ? commit_found(r, NULL) : ERR_OK;
    if (err == ERR_OK)
        r->places[r->count++] = *place;
    return err;
}

static enum err found_segment(void *arg, const struct segment_checkpoint *checkpoint)
{
    return commit_found(arg, checkpoint);
}

/* A small store must not take many times its size in advance. */
static uint64_t allocation_step(const struct blockstore_options *o)
{
    uint64_t share = MAX(o->storage_max_bytes / 8, (uint64_t)MIB);
    return o->allocate_bytes != 0 ? o->allocate_bytes : MIN(share, (uint64_t)ALLOCATE_MIB * MIB);
}

/* Space comes back a segment at a time: a small store needs small ones. */
static uint64_t segment_size(const struct blockstore_options *o)
{
    uint64_t share = MAX(o->storage_max_bytes / 32, (uint64_t)MIB);
    return o->segment_bytes != 0 ? o->segment_bytes : MIN(share, (uint64_t)SEGMENT_MIB * MIB);
}

static enum err open_tier(struct store_core *core, const struct blockstore_options *o)
{
    char dir[STORE_PATH_MAX];
    if (!join(dir, o->path, "segments"))
        return ERR_TOO_LARGE;
    struct disk_tier_options options = {.port = o->port,
                                        .dir = dir,
                                        .segment_bytes = segment_size(o),
                                        .allocate_bytes = allocation_step(o),
                                        .direct_bytes = o->direct_bytes,
                                        .buffers = o->memory,
                                        .next_segment = catalogue_info(core->catalogue).next_segment};
    return disk_tier_open(&options, &core->tier);
}

static bool is_there(const struct blockstore_options *o, uint64_t segment)
{
    char name[SEGMENT_NAME_MAX];
    char path[STORE_PATH_MAX];
    segment_name(segment, name);
    int len = snprintf(path, sizeof(path), "%s/segments/%s", o->path, name);
    return len < 0 || len >= (int)sizeof(path) || o->port->exists(o->port->self, path) != ERR_NOT_FOUND;
}

/*
 * A disk that is not mounted leaves an empty folder behind, and every block would be taken for lost, one by one. When some segments are
 * there, the blocks of those that are not are quarantined as they are met.
 */
static enum err check_disk(const struct store_core *core, const struct blockstore_options *o,
                           char ret_why[STORE_WHY_BYTES])
{
    struct segment_checkpoint *used = NULL;
    size_t count = 0;
    size_t missing = 0;
    enum err err = catalogue_used_segments(core->catalogue, &used, &count);
    while (err == ERR_OK && missing < count && !is_there(o, used[missing].segment))
        missing++;
    free(used);
    if (err != ERR_OK || missing < count || count == 0)
        return err;
    (void)snprintf(
        ret_why, STORE_WHY_BYTES,
        "%.180s/segments has none of the %zu segments that blocks.db names: mount the disk that they are on. "
        "Are they lost for good, make an empty file blocks.db.rebuild beside blocks.db: the next start makes a "
        "new one, with the old pins, and `hearth repo verify --heal` asks peers for what these hold",
        o->path, count);
    return ERR_UNAVAILABLE;
}

/* Opens the disk tier and indexes what has no row yet. ret_total: how many blocks that were. */
static enum err reindex(struct blockstore *store, const struct blockstore_options *o, uint64_t *ret_total)
{
    struct store_core *core = store->core;
    struct segment_checkpoint *checkpoints = NULL;
    size_t count = 0;
    struct reindex r = {.store = store};
    enum err err = catalogue_checkpoints(core->catalogue, &checkpoints, &count);
    if (err == ERR_OK)
        err = open_tier(core, o);
    r.places = malloc(RECOVERY_ROWS * sizeof(*r.places));
    if (err == ERR_OK)
        err = r.places == NULL ? ERR_NOMEM
                               : disk_tier_recover(core->tier, checkpoints, count, found_block, found_segment, &r);
    free(r.places);
    free(checkpoints);
    *ret_total = r.total;
    return err;
}

/*
 * SQLite would make the file with the umask's mode. Never opened when it exists: closing a second descriptor of a database drops the
 * locks that SQLite holds on it.
 */
static void make_private(const struct disk_port *port, const char *db)
{
    struct disk_file *file;
    if (port->open(port->self, db, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &file) == ERR_OK)
        port->close(file);
}

/* ---- a damaged catalogue ---- */

static void put_aside(const struct disk_port *port, const char *path)
{
    static const char *const ends[] = {"", "-wal", "-journal"};
    char from[STORE_PATH_MAX];
    char to[STORE_PATH_MAX];
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        (void)snprintf(from, sizeof(from), "%s/blocks.db%s", path, ends[i]);
        (void)snprintf(to, sizeof(to), "%s/blocks.db.damaged%s", path, ends[i]);
        if (port->exists(port->self, from) == ERR_OK)
            (void)port->rename(port->self, from, to);
    }
    (void)snprintf(from, sizeof(from), "%s/blocks.db-shm", path);
    (void)port->unlink(port->self, from);
    (void)snprintf(from, sizeof(from), "%s/blocks.db.rebuild", path);
    (void)port->unlink(port->self, from);
}

void store_mark_broken(struct blockstore *store)
{
    char path[STORE_PATH_MAX];
    struct disk_file *file;
    const struct disk_port *port = store->core->port;
    store->broken = true;
    if (join(path, store->core->path, "blocks.db.rebuild") &&
        port->open(port->self, path, DISK_WRITE | DISK_CREATE, &file) == ERR_OK)
        port->close(file);
}

void store_journal_pins(struct store_core *core, const struct catalogue_batch *batch)
{
    char path[STORE_PATH_MAX];
    if (!join(path, core->path, "pins.journal"))
        return;
    enum err err = pin_journal_append(core->port, path, batch->changes, batch->real_now_ns);
    (void)err;
}

void store_copy_mark(struct store_core *core, const struct catalogue_batch *batch)
{
    for (struct catalogue_change *change = batch->changes; change != NULL; change = change->next) {
        if (change->kind == CHANGE_TIER)
            change->err = cold_mark_save(core->port, core->path, &change->cold->medium);
    }
}

/* Into a catalogue made anew the pins come back from the journal, and with that it is whole; else there is a journal, and a short one. */
static enum err open_journal(struct blockstore *store, bool made)
{
    char path[STORE_PATH_MAX];
    uint64_t count = 0;
    struct store_core *core = store->core;
    if (!join(path, core->path, "pins.journal"))
        return ERR_TOO_LARGE;
    enum err err = ERR_OK;
    if (made) {
        err = pin_journal_restore(core->port, path, core->catalogue, &count);
        if (err == ERR_OK && count > 0)
            store_notice(store, false, "%llu pins and unpins were read from %s", (unsigned long long)count, path);
        return err == ERR_OK || err == ERR_NOT_FOUND ? catalogue_restored(core->catalogue) : err;
    }
    err = pin_journal_renew(core->port, path, store->reader, catalogue_info(core->catalogue).pins);
    return err == ERR_NO_SPACE ? ERR_OK : err;
}

void store_reserve_keep(struct store_core *core)
{
    char path[STORE_PATH_MAX];
    struct disk_file *file;
    uint64_t size = 0;
    const struct disk_port *port = core->port;
    if (!join(path, core->path, "reserve") || port->open(port->self, path, DISK_WRITE | DISK_CREATE, &file) != ERR_OK)
        return;
    bool kept = port->size(file, &size) == ERR_OK && size >= STORE_RESERVE_BYTES;
    kept = kept || port->allocate(file, 0, STORE_RESERVE_BYTES) == ERR_OK;
    port->close(file);
    if (!kept)
        (void)port->unlink(port->self, path); /* no room now: a later start will have some */
}

bool store_reserve_use(struct store_core *core)
{
    char path[STORE_PATH_MAX];
    return join(path, core->path, "reserve") && core->port->unlink(core->port->self, path) == ERR_OK;
}

/* A database of an older version becomes one of this. */
static enum err migrate(struct blockstore *store, const struct blockstore_options *o, char ret_why[STORE_WHY_BYTES])
{
    struct migration_options options = {.port = o->port,
                                        .folder = o->path,
                                        .vfs = vfs_name(store->core),
                                        .cache_kib = o->cache_kib == 0 ? CACHE_KIB_DEFAULT : o->cache_kib};
    struct migration_report report;
    char why[MIGRATION_WHY_BYTES];
    enum err err = migration_run(&options, &report, why);
    if (err != ERR_OK && err != ERR_CORRUPT)
        (void)snprintf(ret_why, STORE_WHY_BYTES, "%s", why);
    if (err == ERR_OK && report.from != 0 && report.from != report.to)
        store_notice(
            store, false, "%s/blocks.db was brought from version %llu to %llu; the old one is blocks.db.v%llu-backup",
            o->path, (unsigned long long)report.from, (unsigned long long)report.to, (unsigned long long)report.from);
    return err;
}

static enum err open_catalogue(struct blockstore *store, const struct blockstore_options *o, const char *db,
                               bool *ret_made, char ret_why[STORE_WHY_BYTES])
{
    struct store_core *core = store->core;
    char marker[STORE_PATH_MAX];
    struct catalogue_options options = {
        .path = db, .vfs = vfs_name(core), .disk = o->port, .cache_kib = o->cache_kib, .seed = o->seed};
    if (options.cache_kib == 0)
        options.cache_kib = CACHE_KIB_DEFAULT;
    if (!join(marker, o->path, "blocks.db.rebuild"))
        return ERR_TOO_LARGE;
    enum err err = o->port->exists(o->port->self, marker) == ERR_OK ? ERR_CORRUPT : ERR_OK;
    if (err == ERR_OK)
        err = migrate(store, o, ret_why);
    make_private(o->port, db);
    if (err == ERR_OK)
        err = catalogue_open(&options, &core->catalogue, ret_made);
    if (err == ERR_CORRUPT) {
        store_notice(store, false, "%s is damaged: it is kept as blocks.db.damaged and rebuilt from the segments", db);
        put_aside(o->port, o->path);
        make_private(o->port, db);
        err = catalogue_open(&options, &core->catalogue, ret_made);
    }
    char damaged[STORE_PATH_MAX];
    if (err == ERR_OK && *ret_made && join(damaged, o->path, "blocks.db.damaged") &&
        o->port->exists(o->port->self, damaged) == ERR_OK) {
        uint64_t pins = 0;
        err = catalogue_salvage_pins(core->catalogue, damaged, vfs_name(core), &pins);
        if (err == ERR_OK)
            store_notice(store, false, "%llu pins were read from %s", (unsigned long long)pins, damaged);
    }
    return err;
}

static enum err open_readers(struct blockstore *store, const struct blockstore_options *o, const char *db)
{
    struct store_core *core = store->core;
    uint32_t kib = o->cache_kib == 0 ? CACHE_KIB_DEFAULT : o->cache_kib;
    struct catalogue_options options = {.path = db, .vfs = vfs_name(core), .cache_kib = kib / 2};
    enum err err = catalogue_reader_open(&options, &store->reader);
    options.cache_kib = kib / 4;
    return err == ERR_OK ? catalogue_reader_open(&options, &core->lane_reader) : err;
}

static enum err take_lock(struct store_core *core, const struct blockstore_options *o)
{
    char path[STORE_PATH_MAX];
    enum err err = o->port->make_dir(o->port->self, o->path);
    if (err != ERR_OK && err != ERR_EXISTS)
        return err;
    if (!join(path, o->path, "repo.lock"))
        return ERR_TOO_LARGE;
    err = o->port->open(o->port->self, path, DISK_WRITE | DISK_CREATE, &core->lock);
    return err == ERR_OK ? o->port->lock(core->lock) : err;
}

static void say_why(char ret_why[STORE_WHY_BYTES], enum err err, const char *what, const char *hint)
{
    int len = snprintf(ret_why, STORE_WHY_BYTES, "%s: %s%s", what, err_text(err), hint);
    if (len >= STORE_WHY_BYTES) /* a path of thousands of bytes: show that it was cut */
        memcpy(ret_why + STORE_WHY_BYTES - 4, "...", 4);
}

enum err store_open_core(struct blockstore *store, const struct blockstore_options *o, char ret_why[STORE_WHY_BYTES])
{
    struct store_core *core = store->core;
    char db[STORE_PATH_MAX];
    bool made = false;
    uint64_t found = 0;
    if (!join(db, o->path, "blocks.db")) {
        say_why(ret_why, ERR_TOO_LARGE, "the repository's path", ": choose a shorter HEARTH_PATH");
        return ERR_TOO_LARGE;
    }
    enum err err = take_lock(core, o);
    if (err != ERR_OK) {
        if (err == ERR_BUSY)
            (void)snprintf(ret_why, STORE_WHY_BYTES,
                           "%s: another daemon uses this repository (it holds repo.lock): stop it first", o->path);
        else
            say_why(ret_why, err, o->path, ": check the folder and its owner");
        return err;
    }
    ret_why[0] = '\0';
    err = open_catalogue(store, o, db, &made, ret_why);
    if (err != ERR_OK) {
        if (ret_why[0] == '\0')
            say_why(ret_why, err, db, ": check the folder and the disk");
        return err;
    }
    err = check_disk(core, o, ret_why);
    if (err == ERR_OK)
        err = reindex(store, o, &found);
    if (err == ERR_OK)
        err = open_readers(store, o, db);
    if (err == ERR_OK)
        err = open_journal(store, made);
    if (err == ERR_OK) {
        store_reserve_keep(core);
        store_backup_remove(core);
        err = o->port->sync_dir(o->port->self, o->path);
    }
    if (err != ERR_OK && ret_why[0] == '\0')
        say_why(ret_why, err, o->path, ": the repository cannot be opened");
    else if (err == ERR_OK && made && found > 0)
        store_notice(store, false, "%s was made anew from the segments: %llu blocks", db, (unsigned long long)found);
    return err;
}
