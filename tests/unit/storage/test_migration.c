/* SPDX-License-Identifier: MIT */
/* blocks.db of version 1 becomes one of this version: on both disks, cut and failing at each point, and never less than it was. */
#include "tests/support/storage.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "schemas/blocks_sql.h"
#include "sim/disk.h"
#include "storage/catalogue.h"
#include "storage/disk_posix.h"
#include "storage/migration.h"
#include "storage/sql.h"
#include "storage/sqlite_vfs.h"
#include "tests/support/failing_calls.h"

enum { BLOCKS = 300, SEGMENTS = 3, PINS = 20 };

/* The tables of version 1 as that version made them; of its views one, in an older form. */
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
    "CREATE VIEW v_segments AS SELECT id FROM segments;"
    "INSERT INTO meta(key, value) VALUES ('id', x'00112233445566778899aabbccddeeff'), ('generation', 7),"
    " ('blocks', 300), ('bytes', 300 * 299 / 2), ('schema_version', 1);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3)"
    " INSERT INTO segments SELECT i, 1000 * i, 1 FROM n;"
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 299)"
    " INSERT INTO blocks SELECT CAST(x'1220' || printf('%032d', i) AS BLOB), 0x55, i, 1 + i / 100, i * 8 FROM n;"
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19)"
    " INSERT INTO pins SELECT CAST(x'01551220' || printf('%032d', i) AS BLOB), i % 2,"
    " CAST(x'1220' || printf('%032d', i) AS BLOB), 'name', 5 FROM n;"
    "PRAGMA user_version = 1;";

static void make_version_1(const char *path, const char *vfs)
{
    sqlite3 *db;
    struct sql_options sql = {.path = path, .vfs = vfs, .full_sync = true, .cache_kib = 64};
    assert_int_equal(sql_open(&sql, &db), ERR_OK);
    assert_int_equal(sql_exec(db, version_1), ERR_OK);
    sql_close(db);
}

static uint64_t number(const char *path, const char *vfs, const char *text)
{
    sqlite3 *db;
    uint64_t value = 0;
    struct sql_options sql = {.path = path, .vfs = vfs, .read_only = true, .cache_kib = 64};
    assert_int_equal(sql_open(&sql, &db), ERR_OK);
    assert_int_equal(sql_number(db, text, &value), ERR_OK);
    sql_close(db);
    return value;
}

/* What the rows say, counted here anew. */
static uint64_t live_bytes(uint64_t segment)
{
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < BLOCKS; i++) {
        if (1 + i / 100 == segment)
            bytes += segment_record_bytes(34, (size_t)i);
    }
    return bytes;
}

static void check_version_2(const char *path, const char *vfs)
{
    struct catalogue_options options = {.path = path, .vfs = vfs, .cache_kib = 64};
    struct catalogue *c;
    char text[80];
    bool made = true;
    assert_int_equal(catalogue_open(&options, &c, &made), ERR_OK);
    assert_false(made);
    struct catalogue_info info = catalogue_info(c);
    assert_int_equal(info.blocks, BLOCKS);
    assert_int_equal(info.pins, PINS);
    assert_int_equal(info.recursive_pins, PINS / 2);
    assert_int_equal(info.next_segment, SEGMENTS + 1);
    assert_int_equal(info.live_bytes, live_bytes(1) + live_bytes(2) + live_bytes(3));
    catalogue_close(c);
    for (uint64_t segment = 1; segment <= SEGMENTS; segment++) {
        (void)snprintf(text, sizeof(text), "SELECT live_bytes FROM v_segments WHERE file LIKE '%%%llu.seg'",
                       (unsigned long long)segment);
        assert_int_equal(number(path, vfs, text), live_bytes(segment));
    }
    assert_int_equal(number(path, vfs, "SELECT count(*) FROM blocks"), BLOCKS);
    assert_int_equal(number(path, vfs, "SELECT value FROM meta WHERE key = 'schema_version'"), BLOCKS_SCHEMA_VERSION);
}

static void run_all(const struct migration_options *options, const char *path, const char *backup)
{
    struct migration_options o = *options;
    struct migration_report report;
    char why[MIGRATION_WHY_BYTES];
    assert_int_equal(migration_run(&o, &report, why), ERR_OK);
    assert_int_equal(report.from, 0); /* nothing is there */
    make_version_1(path, o.vfs);
    o.dry_run = true;
    assert_int_equal(migration_run(&o, &report, why), ERR_OK);
    assert_int_equal(report.from, 1);
    assert_int_equal(report.to, BLOCKS_SCHEMA_VERSION);
    assert_int_equal(number(path, o.vfs, "PRAGMA user_version"), 1);
    assert_int_equal(o.port->exists(o.port->self, backup), ERR_NOT_FOUND);
    o.dry_run = false;
    assert_int_equal(migration_run(&o, &report, why), ERR_OK);
    check_version_2(path, o.vfs);
    assert_int_equal(number(backup, o.vfs, "PRAGMA user_version"), 1);
    assert_int_equal(number(backup, o.vfs, "SELECT count(*) FROM blocks"), BLOCKS);
    assert_int_equal(migration_run(&o, &report, why), ERR_OK);
    assert_int_equal(report.from, report.to);
}

/* What version 4 added goes again: a database of version 3 is one of version 4 without cold tiers. */
static void back_to_version_3(const char *path, const char *vfs)
{
    sqlite3 *db;
    struct sql_options sql = {.path = path, .vfs = vfs, .full_sync = true, .cache_kib = 64};
    assert_int_equal(sql_open(&sql, &db), ERR_OK);
    assert_int_equal(sql_exec(db,
                              "DROP VIEW v_tiers; DROP VIEW v_packs; DROP VIEW v_usage; DROP VIEW v_blocks;"
                              "DROP VIEW v_metadata; DROP TABLE cold_blocks; DROP TABLE packs;"
                              "DROP TABLE cold_tiers; DROP TABLE tier_pins; DELETE FROM meta WHERE key LIKE 'cold_%';"
                              "UPDATE meta SET value = 3 WHERE key = 'schema_version'; PRAGMA user_version = 3"),
                     ERR_OK);
    sql_close(db);
}

static void run_last(const struct migration_options *options, const char *path, const char *backup)
{
    struct migration_report report;
    char why[MIGRATION_WHY_BYTES];
    back_to_version_3(path, options->vfs);
    assert_int_equal(migration_run(options, &report, why), ERR_OK);
    assert_int_equal(report.from, 3);
    check_version_2(path, options->vfs);
    assert_int_equal(number(path, options->vfs, "SELECT count(*) FROM cold_blocks"), 0);
    assert_int_equal(number(path, options->vfs, "SELECT sum(value) FROM meta WHERE key LIKE 'cold_%'"), 0);
    assert_int_equal(number(path, options->vfs, "SELECT count(*) FROM v_tiers"), 1);
    assert_int_equal(number(path, options->vfs, "SELECT blocks FROM v_tiers WHERE tier = 'disk'"), BLOCKS);
    assert_int_equal(number(backup, options->vfs, "PRAGMA user_version"), 3);
    assert_int_equal(number(backup, options->vfs, "SELECT count(*) FROM blocks"), BLOCKS);
}

static void it_migrates_on_the_simulated_disk(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, 64 * MIB);
    struct sqlite_vfs *vfs;
    const struct disk_port *port = sim_disk_port(disk);
    assert_int_equal(port->make_dir(port->self, "repo"), ERR_OK);
    assert_int_equal(sqlite_vfs_open(port, &vfs), ERR_OK);
    struct migration_options o = {.port = port, .folder = "repo", .vfs = sqlite_vfs_name(vfs), .cache_kib = 64};
    run_all(&o, "repo/blocks.db", "repo/blocks.db.v1-backup");
    run_last(&o, "repo/blocks.db", "repo/blocks.db.v3-backup");
    sqlite_vfs_close(vfs);
    sim_disk_free(disk);
}

static void it_migrates_on_the_real_disk(void **state)
{
    (void)state;
    static const char *const names[] = {"blocks.db",           "blocks.db-wal",           "blocks.db-shm",
                                        "blocks.db.v1-backup", "blocks.db.v1-backup-wal", "blocks.db.v1-backup-shm"};
    char dir[] = "/tmp/hearth-migration-XXXXXX";
    char path[64];
    char backup[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/blocks.db", dir);
    (void)snprintf(backup, sizeof(backup), "%s/blocks.db.v1-backup", dir);
    struct migration_options o = {.port = disk_posix(), .folder = dir, .cache_kib = 64};
    run_all(&o, path, backup);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(dir), 0);
}

/* One migration on a fresh disk whose n-th call of a kind fails; then the power goes. True when that call was reached. */
static bool fails_at(const struct failure *failure, uint64_t n)
{
    struct sim_disk *disk = sim_disk_new(n + 1, 64 * MIB);
    struct sqlite_vfs *vfs;
    struct migration_report report;
    char why[MIGRATION_WHY_BYTES];
    const struct disk_port *port = sim_disk_port(disk);
    assert_int_equal(port->make_dir(port->self, "repo"), ERR_OK);
    assert_int_equal(port->sync_dir(port->self, "/"), ERR_OK);
    assert_int_equal(sqlite_vfs_open(port, &vfs), ERR_OK);
    struct migration_options o = {.port = port, .folder = "repo", .vfs = sqlite_vfs_name(vfs), .cache_kib = 64};
    make_version_1("repo/blocks.db", o.vfs);
    assert_int_equal(port->sync_dir(port->self, "repo"), ERR_OK);
    failure_plan(failure, disk, n, failure->count);
    enum err err = migration_run(&o, &report, why);
    bool struck = failure_struck(failure, disk);
    failure_plan(failure, disk, 0, 0);
    if (err == ERR_OK)
        check_version_2("repo/blocks.db", o.vfs);
    else
        assert_true(struck && err != ERR_CORRUPT && strlen(why) > 0);
    if (!failure->is_call && failure->fault == SIM_FAULT_WRITE_NO_SPACE && err != ERR_OK)
        assert_int_equal(err, ERR_NO_SPACE);
    sim_disk_power_cut(disk, (enum sim_disk_cut)(n % SIM_CUT_COUNT), n);
    uint64_t version = number("repo/blocks.db", o.vfs, "PRAGMA user_version");
    assert_true(err == ERR_OK ? version == BLOCKS_SCHEMA_VERSION : version == 1 || version == BLOCKS_SCHEMA_VERSION);
    assert_int_equal(number("repo/blocks.db", o.vfs, "SELECT count(*) FROM blocks"), BLOCKS);
    assert_int_equal(migration_run(&o, &report, why), ERR_OK); /* the next start goes on */
    check_version_2("repo/blocks.db", o.vfs);
    sqlite_vfs_close(vfs);
    sim_disk_free(disk);
    return struck;
}

static void a_failure_at_any_point_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    static const struct failure failures[] = {
        {.name = "space", .fault = SIM_FAULT_WRITE_NO_SPACE, .count = 1, .stride = 1},
        {.name = "write", .fault = SIM_FAULT_WRITE_IO, .count = 1, .stride = 1},
        {.name = "sync", .fault = SIM_FAULT_SYNC_IO, .count = 1, .stride = 1},
        {.name = "sync of a folder", .fault = SIM_FAULT_SYNC_DIR_IO, .count = 1, .stride = 1},
        {.name = "read", .fault = SIM_FAULT_READ_IO, .count = 1, .stride = 1},
        {.name = "allocation", .is_call = true, .call = FAIL_ALLOCATION, .count = 1, .stride = 131},
        {.name = "statement", .is_call = true, .call = FAIL_SQL, .sql_code = SQLITE_IOERR, .count = 1, .stride = 31},
        {.name = "statement", .is_call = true, .call = FAIL_SQL, .sql_code = SQLITE_NOMEM, .count = 2, .stride = 31},
    };
    for (size_t f = 0; f < ARRAY_LEN(failures); f++) {
        struct failure_share share = failure_share(&failures[f]);
        uint64_t n = share.first;
        while (fails_at(&failures[f], n))
            n += share.stride;
        assert_true(n > share.first);
        print_message("%s: the last with %llu calls before\n", failures[f].name, (unsigned long long)n);
    }
}

static void a_newer_database_is_refused_with_its_version(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, 64 * MIB);
    struct sqlite_vfs *vfs;
    struct migration_report report;
    char why[MIGRATION_WHY_BYTES];
    sqlite3 *db;
    const struct disk_port *port = sim_disk_port(disk);
    assert_int_equal(port->make_dir(port->self, "repo"), ERR_OK);
    assert_int_equal(sqlite_vfs_open(port, &vfs), ERR_OK);
    struct sql_options sql = {.path = "repo/blocks.db", .vfs = sqlite_vfs_name(vfs), .cache_kib = 64};
    assert_int_equal(sql_open(&sql, &db), ERR_OK);
    assert_int_equal(sql_exec(db, "CREATE TABLE t(x); PRAGMA user_version = 99"), ERR_OK);
    sql_close(db);
    struct migration_options o = {.port = port, .folder = "repo", .vfs = sqlite_vfs_name(vfs), .cache_kib = 64};
    assert_int_equal(migration_run(&o, &report, why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why, "version 99"));
    sqlite_vfs_close(vfs);
    sim_disk_free(disk);
}

int main(void)
{
    if (!failing_install())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_migrates_on_the_simulated_disk),
        cmocka_unit_test(it_migrates_on_the_real_disk),
        cmocka_unit_test(a_failure_at_any_point_leaves_the_old_or_the_new),
        cmocka_unit_test(a_newer_database_is_refused_with_its_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
