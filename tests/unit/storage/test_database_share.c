/* SPDX-License-Identifier: MIT */
/* The group of the files of a database, as SQLite makes them and afterwards. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "storage/database_share.h"

static const char *const files[] = {"t.db", "t.db-wal", "t.db-shm"};

static void each(const char *folder, void (*act)(const char *path, gid_t group), gid_t group)
{
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        act(path, group);
    }
}

static void expect_shared(const char *path, gid_t group)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_int_equal(info.st_gid, group);
}

static void remove_file(const char *path, gid_t group)
{
    (void)group;
    (void)unlink(path);
}

/* A group that this process may give files to and that new files do not have by themselves; false without one. */
static bool other_group(gid_t *ret_group)
{
    gid_t groups[64];
    int count = getgroups(ARRAY_LEN(groups), groups);
    for (int i = 0; i < count; i++) {
        if (groups[i] != getegid()) {
            *ret_group = groups[i];
            return true;
        }
    }
    *ret_group = 4243;
    return geteuid() == 0;
}

static void log_and_index_are_shared_too(void **state)
{
    (void)state;
    gid_t group = 0;
    char folder[] = "/tmp/hearth-share-XXXXXX";
    char path[64];
    sqlite3 *db = NULL;
    if (!other_group(&group))
        skip();
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/t.db", folder);
    assert_int_equal(database_share(path, group), ERR_OK); /* nothing there yet */
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1)", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(database_share(path, group), ERR_OK);
    each(folder, expect_shared, group);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO t VALUES(2)", NULL, NULL, NULL), SQLITE_OK);
    each(folder, expect_shared, group);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    each(folder, remove_file, 0);
    assert_int_equal(rmdir(folder), 0);
}

static void a_group_that_may_not_be_given_is_told(void **state)
{
    (void)state;
    if (geteuid() == 0)
        skip(); /* root may give any */
    char path[] = "/tmp/hearth-share-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(database_share(path, 64321), err_from_errno(EPERM));
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_and_index_are_shared_too),
        cmocka_unit_test(a_group_that_may_not_be_given_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
