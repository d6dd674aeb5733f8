/* SPDX-License-Identifier: MIT */
#include "storage/store_copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/catalogue_reader.h"
#include "storage/disk_posix.h"
#include "storage/scrubber.h"
#include "storage/sql.h"

enum { PAGE_ROWS = 256, CACHE_KIB = 1024 };

static enum err open_database(const char *path, sqlite3 **ret_db)
{
    struct sql_options options = {.path = path, .read_only = true, .cache_kib = CACHE_KIB};
    return sql_open(&options, ret_db);
}

enum err store_copy_id(const char *path, uint8_t ret_id[CATALOGUE_ID_BYTES])
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    enum err err = open_database(path, &db);
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

enum err store_copy_segments(const char *path, struct segment_checkpoint **ret_list, size_t *ret_count)
{
    struct catalogue_options options = {.path = path, .cache_kib = CACHE_KIB};
    struct catalogue_reader *reader = NULL;
    enum err err = catalogue_reader_open(&options, &reader);
    if (err == ERR_OK)
        err = catalogue_segments(reader, ret_list, ret_count);
    catalogue_reader_close(reader);
    return err;
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

enum err store_copy_verify(const char *folder, struct store_copy_check *check)
{
    char db[STORE_COPY_PATH_MAX];
    char segments[STORE_COPY_PATH_MAX];
    int len = snprintf(db, sizeof(db), "%s/blocks.db", folder);
    int other = snprintf(segments, sizeof(segments), "%s/segments", folder);
    if (len < 0 || len >= (int)sizeof(db) || other < 0 || other >= (int)sizeof(segments))
        return ERR_TOO_LARGE;
    struct catalogue_options options = {.path = db, .cache_kib = CACHE_KIB};
    struct disk_tier_options tier_options = {.port = disk_posix(), .dir = segments, .next_segment = 1};
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
