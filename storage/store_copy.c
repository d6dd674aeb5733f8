/* SPDX-License-Identifier: MIT */
#include "storage/store_copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/catalogue_reader.h"
#include "storage/scrubber.h"
#include "storage/segment.h"
#include "storage/sql.h"

enum { PAGE_ROWS = 256, CACHE_KIB = 1024 };

bool store_copy_path(char to[STORE_COPY_PATH_MAX], const char *folder, const char *a, const char *b, const char *c)
{
    int len = snprintf(to, STORE_COPY_PATH_MAX, "%s/%s%s%s", folder, a, b, c);
    return len > 0 && len < STORE_COPY_PATH_MAX;
}

/* ---- the database ---- */

enum err store_copy_id(const struct store_medium *on, const char *path, uint8_t ret_id[CATALOGUE_ID_BYTES])
{
    struct sql_options options = {.path = path, .vfs = on->vfs, .read_only = true, .cache_kib = CACHE_KIB};
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    enum err err = sql_open(&options, &db);
    if (err == ERR_OK)
        err = sql_prepare(db, "SELECT value FROM meta WHERE key = 'id'", &stmt);
    if (err == ERR_OK)
        err = sql_row(stmt);
    if (err == ERR_OK && sql_blob(stmt, 0).len != CATALOGUE_ID_BYTES)
        err = ERR_CORRUPT;
    if (err == ERR_OK)
        memcpy(ret_id, sql_blob(stmt, 0).data, CATALOGUE_ID_BYTES);
    (void)sqlite3_finalize(stmt);
    sql_close(db);
    return err == ERR_INVALID ? ERR_CORRUPT : err;
}

enum err store_copy_segments(const struct store_medium *on, const char *path, struct segment_checkpoint **ret_list,
                             size_t *ret_count)
{
    struct catalogue_options options = {.path = path, .vfs = on->vfs, .cache_kib = CACHE_KIB};
    struct catalogue_reader *reader = NULL;
    enum err err = catalogue_reader_open(&options, &reader);
    if (err == ERR_OK)
        err = catalogue_segments(reader, ret_list, ret_count);
    catalogue_reader_close(reader);
    return err;
}

/* ---- which segments are there ---- */

struct others {
    const struct store_medium *on;
    const char *folder;
    const struct segment_checkpoint *list;
    size_t count;
    size_t segments;
    bool remove;
};

static void look_at(void *arg, const char *name)
{
    struct others *o = arg;
    char path[STORE_COPY_PATH_MAX];
    uint64_t id;
    if (!segment_parse_name(name, &id))
        return;
    o->segments++;
    for (size_t i = 0; i < o->count; i++) {
        if (o->list[i].segment == id)
            return;
    }
    if (o->remove && store_copy_path(path, o->folder, "segments/", name, ""))
        (void)o->on->port->unlink(o->on->port->self, path);
}

static enum err list_segments(struct others *o)
{
    char dir[STORE_COPY_PATH_MAX];
    if (!store_copy_path(dir, o->folder, "segments", "", ""))
        return ERR_TOO_LARGE;
    return o->on->port->list(o->on->port->self, dir, look_at, o);
}

bool store_copy_has_segments(const struct store_medium *on, const char *folder)
{
    struct others o = {.on = on, .folder = folder};
    return list_segments(&o) == ERR_OK && o.segments > 0;
}

enum err store_copy_remove_others(const struct store_medium *on, const char *folder,
                                  const struct segment_checkpoint *list, size_t count)
{
    struct others o = {.on = on, .folder = folder, .list = list, .count = count, .remove = true};
    return list_segments(&o);
}

/* ---- verification ---- */

static void check_page(struct disk_tier *tier, const struct block_place *places, size_t count,
                       struct store_copy_check *check)
{
    for (size_t i = 0; i < count; i++) {
        enum err err = scrubber_check(tier, &places[i], NULL);
        check->blocks++;
        if (err == ERR_OK)
            continue;
        check->bad_count++;
        check->bad(check->arg, &places[i], err);
    }
    if (check->progress != NULL)
        check->progress(check->arg, count);
}

static enum err check_all(struct catalogue_reader *reader, struct disk_tier *tier, struct store_copy_check *check)
{
    struct block_key after = {0};
    size_t count = PAGE_ROWS;
    struct block_place *places = calloc(PAGE_ROWS, sizeof(*places));
    enum err err = places == NULL ? ERR_NOMEM : ERR_OK;
    while (err == ERR_OK && count == PAGE_ROWS) {
        err = catalogue_page(reader, &after, places, PAGE_ROWS, &count);
        if (err != ERR_OK)
            break;
        check_page(tier, places, count, check);
        if (count > 0)
            after = places[count - 1].key;
    }
    free(places);
    return err;
}

enum err store_copy_verify(const struct store_medium *on, const char *folder, struct store_copy_check *check)
{
    char db[STORE_COPY_PATH_MAX];
    char segments[STORE_COPY_PATH_MAX];
    if (!store_copy_path(db, folder, "blocks.db", "", "") || !store_copy_path(segments, folder, "segments", "", ""))
        return ERR_TOO_LARGE;
    struct catalogue_options options = {.path = db, .vfs = on->vfs, .cache_kib = CACHE_KIB};
    struct disk_tier_options tier_options = {.port = on->port, .dir = segments, .next_segment = 1};
    struct catalogue_reader *reader = NULL;
    struct disk_tier *tier = NULL;
    check->blocks = 0;
    check->bad_count = 0;
    enum err err = catalogue_reader_open(&options, &reader);
    if (err == ERR_OK)
        err = disk_tier_open(&tier_options, &tier);
    if (err == ERR_OK)
        err = check_all(reader, tier, check);
    disk_tier_close(tier, true);
    catalogue_reader_close(reader);
    return err;
}
