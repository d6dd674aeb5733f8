/* SPDX-License-Identifier: MIT */
/* The catalogue: on SQLite's own VFS and on ours over the simulated disk; the views as people see them; two connections at once. */
#include "tests/support/storage.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim/disk.h"
#include "storage/catalogue_reader.h"
#include "storage/disk_posix.h"
#include "storage/sql.h"
#include "storage/sqlite_vfs.h"
#include "wire/cid.h"

static void place_of(uint64_t n, struct block_place *ret_place)
{
    *ret_place = (struct block_place){.codec = 0x70, .size = (uint32_t)n, .segment = 1 + n / 10, .offset = n * 100};
    test_key(span_of(&n, sizeof(n)), &ret_place->key);
}

static void commit_places(struct catalogue *c, uint64_t from, uint64_t count)
{
    struct block_place *places = calloc((size_t)count, sizeof(*places));
    struct segment_checkpoint cp = {.segment = 1 + from, .offset = from * 10, .state = SEGMENT_SEALED};
    for (uint64_t i = 0; i < count; i++)
        place_of(from + i, &places[i]);
    struct catalogue_batch batch = {
        .places = places, .place_count = (size_t)count, .checkpoints = &cp, .checkpoint_count = 1};
    assert_int_equal(catalogue_commit(c, &batch, NULL), ERR_OK);
    free(places);
}

static enum err change(struct catalogue *c, enum change_of kind, uint64_t n, bool recursive)
{
    struct block_place place;
    struct cid cid = {.codec = CODEC_DAG_PB, .version = 1};
    place_of(n, &place);
    struct catalogue_change ch = {.kind = kind, .key = place.key, .place = place, .recursive = recursive};
    assert_int_equal(multihash_parse(block_key_span(&place.key), &cid.hash), ERR_OK);
    ch.cid_len = (uint8_t)cid_encode(&cid, ch.cid);
    memcpy(ch.name, "name", 5);
    struct catalogue_batch batch = {.changes = &ch, .real_now_ns = SECOND_NS};
    assert_int_equal(catalogue_commit(c, &batch, NULL), ERR_OK);
    return ch.err;
}

static enum err load_nothing(void *arg, const struct block_place *place, struct block_ref **ret_ref)
{
    (void)arg;
    (void)place;
    (void)ret_ref;
    return ERR_CORRUPT;
}

/* Until it is known what the pins hold. */
static void count_all(struct catalogue *c)
{
    struct catalogue_info info = catalogue_info(c);
    while (info.counting)
        assert_int_equal(catalogue_count(c, load_nothing, NULL, &info), ERR_OK);
}

static void use_catalogue(const char *path, const char *vfs)
{
    struct catalogue_options options = {.path = path, .vfs = vfs, .cache_kib = 256, .seed = 1};
    struct catalogue *c = NULL;
    struct catalogue_reader *r = NULL;
    struct block_place place;
    struct block_place found;
    struct pin_row pins[8];
    size_t count = 0;
    bool made = false;
    assert_int_equal(catalogue_open(&options, &c, &made), ERR_OK);
    assert_true(made);
    catalogue_close(c);
    made = false;
    assert_int_equal(catalogue_open(&options, &c, &made), ERR_OK);
    assert_true(made); /* until what second copies have is back */
    assert_int_equal(catalogue_restored(c), ERR_OK);
    assert_int_equal(catalogue_reader_open(&options, &r), ERR_OK);
    commit_places(c, 0, 100);
    commit_places(c, 50, 100); /* half of them again: the first place stays */
    assert_int_equal(catalogue_info(c).blocks, 150);
    assert_int_equal(catalogue_info(c).bytes, 149 * 150 / 2);
    place_of(120, &place);
    assert_int_equal(catalogue_find(r, &place.key, &found), ERR_OK);
    assert_memory_equal(&found, &place, sizeof(found));
    place_of(999, &place);
    assert_int_equal(catalogue_find(r, &place.key, &found), ERR_NOT_FOUND);
    assert_int_equal(change(c, CHANGE_PIN_ADD, 999, true), ERR_NOT_FOUND);
    assert_int_equal(change(c, CHANGE_PIN_ADD, 3, false), ERR_OK);
    assert_int_equal(change(c, CHANGE_PIN_ADD, 3, true), ERR_OK); /* takes the direct one's place */
    assert_int_equal(change(c, CHANGE_PIN_ADD, 3, true), ERR_OK);
    assert_int_equal(change(c, CHANGE_PIN_ADD, 4, true), ERR_OK);
    assert_int_equal(catalogue_info(c).pins, 2);
    assert_int_equal(catalogue_pins(r, (struct span){0}, pins, 1, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_true(pins[0].recursive);
    assert_int_equal(catalogue_pins(r, span_of(pins[0].cid, pins[0].cid_len), pins + 1, 6, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(change(c, CHANGE_BLOCK_RM, 5, false), ERR_AGAIN); /* nobody knows yet whether it is held */
    count_all(c);
    assert_int_equal(change(c, CHANGE_BLOCK_RM, 3, false), ERR_DENIED);
    assert_int_equal(change(c, CHANGE_PIN_RM, 3, false), ERR_NOT_FOUND);
    assert_int_equal(change(c, CHANGE_PIN_RM, 3, true), ERR_OK);
    count_all(c);
    assert_int_equal(change(c, CHANGE_BLOCK_RM, 3, false), ERR_OK);
    assert_int_equal(change(c, CHANGE_BLOCK_RM, 3, false), ERR_NOT_FOUND);
    assert_int_equal(change(c, CHANGE_QUARANTINE, 5, false), ERR_OK);
    assert_int_equal(catalogue_info(c).blocks, 148);
    size_t pages = 0;
    struct block_place page[50];
    struct block_key after = {0};
    for (uint64_t seen = 0;; pages++) {
        assert_int_equal(catalogue_page(r, &after, page, 50, &count), ERR_OK);
        seen += count;
        if (count < 50) {
            assert_int_equal(seen, 148);
            break;
        }
        after = page[count - 1].key;
    }
    assert_int_equal(pages, 2);
    struct catalogue_info before = catalogue_info(c);
    catalogue_reader_close(r);
    catalogue_close(c);
    assert_int_equal(catalogue_open(&options, &c, &made), ERR_OK);
    assert_false(made);
    struct catalogue_info again = catalogue_info(c);
    again.wal_bytes = before.wal_bytes; /* known after the first commit */
    assert_memory_equal(&again, &before, sizeof(again));
    struct segment_checkpoint *checkpoints;
    assert_int_equal(catalogue_checkpoints(c, &checkpoints, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_int_equal(checkpoints[1].segment, 51);
    assert_int_equal(checkpoints[1].state, SEGMENT_SEALED);
    free(checkpoints);
    catalogue_close(c);
}

static void remove_database(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char name[96];
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        (void)snprintf(name, sizeof(name), "%s%s", path, ends[i]);
        (void)unlink(name);
    }
}

static void it_works_on_the_real_disk(void **state)
{
    (void)state;
    char dir[] = "/tmp/hearth-db-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/blocks.db", dir);
    use_catalogue(path, NULL);
    remove_database(path);
    assert_int_equal(rmdir(dir), 0);
}

static void it_works_on_the_simulated_disk(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, 64 * MIB);
    struct sqlite_vfs *vfs;
    assert_int_equal(sqlite_vfs_open(sim_disk_port(disk), &vfs), ERR_OK);
    use_catalogue("blocks.db", sqlite_vfs_name(vfs));
    sqlite_vfs_close(vfs);
    sim_disk_free(disk);
}

/* What `sqlite3 -readonly blocks.db` shows: the same CIDs that our own code spells. */
static void views_spell_cids(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, 64 * MIB);
    struct sqlite_vfs *vfs;
    struct catalogue *c;
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite_vfs_open(sim_disk_port(disk), &vfs), ERR_OK);
    struct catalogue_options options = {.path = "blocks.db", .vfs = sqlite_vfs_name(vfs), .cache_kib = 256};
    assert_int_equal(catalogue_open(&options, &c, NULL), ERR_OK);
    commit_places(c, 0, 20);
    assert_int_equal(change(c, CHANGE_PIN_ADD, 7, true), ERR_OK);
    struct sql_options read = {.path = "blocks.db", .vfs = sqlite_vfs_name(vfs), .read_only = true, .cache_kib = 64};
    assert_int_equal(sql_open(&read, &db), ERR_OK);
    assert_int_equal(
        sql_prepare(db, "SELECT cid, codec FROM v_blocks WHERE size = 7 UNION ALL SELECT cid, kind FROM v_pins", &stmt),
        ERR_OK);
    struct block_place place;
    struct cid cid = {.codec = CODEC_DAG_PB, .version = 1};
    char text[CID_TEXT_MAX];
    place_of(7, &place);
    assert_int_equal(multihash_parse(block_key_span(&place.key), &cid.hash), ERR_OK);
    cid_text(&cid, text);
    assert_int_equal(sql_row(stmt), ERR_OK);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), text);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 1), "dag-pb");
    assert_int_equal(sql_row(stmt), ERR_OK);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), text);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 1), "recursive");
    assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
    sql_close(db);
    catalogue_close(c);
    sqlite_vfs_close(vfs);
    sim_disk_free(disk);
}

static void foreign_and_newer_files_are_refused(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, 64 * MIB);
    const struct disk_port *port = sim_disk_port(disk);
    struct sqlite_vfs *vfs;
    struct catalogue *c;
    struct disk_file *file;
    sqlite3 *db;
    assert_int_equal(sqlite_vfs_open(port, &vfs), ERR_OK);
    struct catalogue_options options = {.path = "blocks.db", .vfs = sqlite_vfs_name(vfs), .cache_kib = 256};
    assert_int_equal(port->open(port->self, "blocks.db", DISK_WRITE | DISK_CREATE, &file), ERR_OK);
    char text[4096];
    memset(text, 'x', sizeof(text));
    struct iovec iov = {.iov_base = text, .iov_len = sizeof(text)};
    assert_int_equal(port->pwritev(file, &iov, 1, 0), ERR_OK);
    port->close(file);
    assert_int_equal(catalogue_open(&options, &c, NULL), ERR_CORRUPT);
    assert_int_equal(port->unlink(port->self, "blocks.db"), ERR_OK);
    struct sql_options sql = {.path = "blocks.db", .vfs = sqlite_vfs_name(vfs), .cache_kib = 64};
    assert_int_equal(sql_open(&sql, &db), ERR_OK);
    assert_int_equal(sql_exec(db, "CREATE TABLE t(x); PRAGMA user_version = 99"), ERR_OK);
    sql_close(db);
    assert_int_equal(catalogue_open(&options, &c, NULL), ERR_UNSUPPORTED);
    sqlite_vfs_close(vfs);
    sim_disk_free(disk);
}

/* The log grows while someone reads an old state, is seen to, and starts over when the reader has gone. */
static void a_long_reader_is_seen_in_the_log(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, 512 * MIB);
    struct sqlite_vfs *vfs;
    struct catalogue *c;
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite_vfs_open(sim_disk_port(disk), &vfs), ERR_OK);
    struct catalogue_options options = {.path = "blocks.db", .vfs = sqlite_vfs_name(vfs), .cache_kib = 4096};
    assert_int_equal(catalogue_open(&options, &c, NULL), ERR_OK);
    commit_places(c, 0, 10);
    struct sql_options read = {.path = "blocks.db", .vfs = sqlite_vfs_name(vfs), .read_only = true, .cache_kib = 64};
    assert_int_equal(sql_open(&read, &db), ERR_OK);
    assert_int_equal(sql_prepare(db, "SELECT multihash FROM blocks", &stmt), ERR_OK);
    assert_int_equal(sql_row(stmt), ERR_OK); /* and stays in the middle of it */
    for (uint64_t n = 0; n < 30; n++)
        commit_places(c, 1000 * (n + 1), 1000);
    uint64_t pinned = catalogue_info(c).wal_bytes;
    assert_true(pinned > 2 * SQL_JOURNAL_LIMIT_BYTES);
    assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
    commit_places(c, 1000000, 10); /* checkpoints the whole log … */
    commit_places(c, 2000000, 10); /* … so that this one begins it anew */
    assert_true(catalogue_info(c).wal_bytes < pinned / 2);
    sql_close(db);
    catalogue_close(c);
    sqlite_vfs_close(vfs);
    sim_disk_free(disk);
}

/* ---- a writer and a reader on two threads: what ThreadSanitizer looks at ---- */

static _Atomic bool writer_done;

static void *read_on(void *arg)
{
    struct catalogue_reader *r = arg;
    uint64_t found_last = 0;
    while (!atomic_load(&writer_done)) {
        struct block_place place;
        struct block_place found;
        place_of(found_last, &place);
        enum err err = catalogue_find(r, &place.key, &found);
        if (err == ERR_OK)
            found_last++;
        else if (err != ERR_NOT_FOUND)
            return (void *)1;
    }
    return NULL;
}

static void read_while_writing(const char *path)
{
    struct catalogue_options options = {.path = path, .cache_kib = 256};
    struct catalogue *c;
    struct catalogue_reader *r;
    pthread_t thread;
    void *result = (void *)1;
    assert_int_equal(catalogue_open(&options, &c, NULL), ERR_OK);
    assert_int_equal(catalogue_reader_open(&options, &r), ERR_OK);
    atomic_store(&writer_done, false);
    assert_int_equal(pthread_create(&thread, NULL, read_on, r), 0);
    for (uint64_t n = 0; n < 200; n += 10)
        commit_places(c, n, 10);
    atomic_store(&writer_done, true);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_null(result);
    catalogue_reader_close(r);
    catalogue_close(c);
}

static void a_reader_and_the_writer_run_at_once(void **state)
{
    (void)state;
    char dir[] = "/tmp/hearth-db-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/blocks.db", dir);
    read_while_writing(path);
    remove_database(path);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_works_on_the_real_disk),
        cmocka_unit_test(it_works_on_the_simulated_disk),
        cmocka_unit_test(views_spell_cids),
        cmocka_unit_test(foreign_and_newer_files_are_refused),
        cmocka_unit_test(a_long_reader_is_seen_in_the_log),
        cmocka_unit_test(a_reader_and_the_writer_run_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
