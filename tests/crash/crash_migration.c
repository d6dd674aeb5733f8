/* SPDX-License-Identifier: MIT */
/* A migration is recorded write by write, then the power is cut after each entry of the log. */
#include <stdio.h>
#include <stdlib.h>

#include "schemas/blocks_sql.h"
#include "storage/migration.h"
#include "storage/sql.h"
#include "storage/sqlite_vfs.h"
#include "tests/crash/crash.h"

enum { MARK_MIGRATED = 1, ROWS = 400 };

/* What version 1 had, as that version made it. */
static const char version_1[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE segments(id INTEGER PRIMARY KEY, checkpoint INTEGER NOT NULL, state INTEGER NOT NULL);"
    "CREATE TABLE blocks(multihash BLOB PRIMARY KEY, codec INTEGER NOT NULL, size INTEGER NOT NULL,"
    " segment INTEGER NOT NULL, offset INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE pins(cid BLOB NOT NULL, recursive INTEGER NOT NULL, multihash BLOB NOT NULL, name TEXT NOT NULL,"
    " created_at INTEGER NOT NULL, PRIMARY KEY(cid, recursive)) WITHOUT ROWID;"
    "CREATE INDEX pins_by_multihash ON pins(multihash);"
    "CREATE TABLE quarantine(multihash BLOB NOT NULL, size INTEGER NOT NULL, segment INTEGER NOT NULL,"
    " offset INTEGER NOT NULL, found_at INTEGER NOT NULL, reason TEXT NOT NULL);"
    "INSERT INTO meta(key, value) VALUES ('id', x'00112233445566778899aabbccddeeff'), ('generation', 7),"
    " ('blocks', 400), ('bytes', 400), ('schema_version', 1);"
    "INSERT INTO segments VALUES (1, 1000, 1);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)"
    " INSERT INTO blocks SELECT CAST(x'1220' || printf('%032d', i) AS BLOB), 0x55, 1, 1, i * 8 FROM n;"
    "PRAGMA user_version = 1;";

static bool make_old(const struct disk_port *port, const char *vfs)
{
    sqlite3 *db;
    struct sql_options sql = {.path = "repo/blocks.db", .vfs = vfs, .full_sync = true, .cache_kib = 64};
    if (port->make_dir(port->self, "repo") != ERR_OK || port->sync_dir(port->self, "/") != ERR_OK ||
        sql_open(&sql, &db) != ERR_OK)
        return false;
    enum err err = sql_exec(db, version_1);
    sql_close(db);
    return err == ERR_OK && port->sync_dir(port->self, "repo") == ERR_OK;
}

static bool migrate(const struct disk_port *port, const char *vfs)
{
    struct migration_options options = {.port = port, .folder = "repo", .vfs = vfs, .cache_kib = 64};
    struct migration_report report;
    char why[MIGRATION_WHY_BYTES];
    return migration_run(&options, &report, why) == ERR_OK;
}

static bool record(struct disk_log *log)
{
    struct sqlite_vfs *vfs;
    if (sqlite_vfs_open(disk_log_port(log), &vfs) != ERR_OK)
        return false;
    bool good = make_old(disk_log_port(log), sqlite_vfs_name(vfs));
    disk_log_mark(log, MARK_MIGRATED, 0); /* from here on there is a database … */
    good = good && migrate(disk_log_port(log), sqlite_vfs_name(vfs));
    disk_log_mark(log, MARK_MIGRATED, BLOCKS_SCHEMA_VERSION); /* … and from here on it is the new one */
    sqlite_vfs_close(vfs);
    return good;
}

/* The version and the rows of what is there; then the migration goes on and ends well. */
static bool is_whole(struct sim_disk *disk, uint64_t at_least)
{
    struct sqlite_vfs *vfs;
    sqlite3 *db = NULL;
    uint64_t version = 0;
    uint64_t rows = 0;
    if (sqlite_vfs_open(sim_disk_port(disk), &vfs) != ERR_OK)
        abort();
    struct sql_options sql = {
        .path = "repo/blocks.db", .vfs = sqlite_vfs_name(vfs), .read_only = true, .cache_kib = 64};
    bool good = sql_open(&sql, &db) == ERR_OK && sql_number(db, "PRAGMA user_version", &version) == ERR_OK &&
                sql_number(db, "SELECT count(*) FROM blocks", &rows) == ERR_OK;
    sql_close(db);
    good = good && rows == ROWS && (version == BLOCKS_SCHEMA_VERSION || (version == 1 && at_least < 2)) &&
           migrate(sim_disk_port(disk), sqlite_vfs_name(vfs));
    sqlite_vfs_close(vfs);
    return good;
}

static bool survives(const struct sim_disk *disk, uint64_t at_least, uint64_t seed)
{
    bool good = true;
    for (int how = 0; good && how < SIM_CUT_COUNT; how++) {
        struct sim_disk *copy = sim_disk_clone(disk);
        if (copy == NULL)
            abort();
        sim_disk_power_cut(copy, (enum sim_disk_cut)how, seed + (uint64_t)how);
        good = is_whole(copy, at_least);
        sim_disk_free(copy);
    }
    return good;
}

static bool replay(const struct disk_log *log, uint64_t seed, size_t *ret_states)
{
    struct sim_disk *disk = sim_disk_new(seed, 64 * MIB);
    bool there = false;
    uint64_t at_least = 0;
    bool good = disk != NULL;
    for (size_t i = 0; good && i < disk_log_count(log); i++) {
        const struct disk_entry *e = disk_log_at(log, i);
        if (e->kind == DISK_ENTRY_MARK) {
            there = true;
            at_least = e->value;
        } else {
            good = disk_entry_apply(e, sim_disk_port(disk)) == ERR_OK;
        }
        good = good && (!there || survives(disk, at_least, seed * 1000003 + i * SIM_CUT_COUNT));
        *ret_states += there ? SIM_CUT_COUNT : 0;
    }
    sim_disk_free(disk);
    return good;
}

bool crash_migration(uint64_t seed)
{
    struct sim_disk *disk = sim_disk_new(seed, 64 * MIB);
    struct disk_log *log = disk == NULL ? NULL : disk_log_new(sim_disk_port(disk));
    size_t states = 0;
    bool good = log != NULL && record(log) && replay(log, seed, &states);
    (void)printf("%s  a migration from version 1: %zu crashed disks\n", good ? "green" : "RED  ", states);
    disk_log_free(log);
    sim_disk_free(disk);
    return good;
}
