/* SPDX-License-Identifier: MIT */
/* Files that somebody else named: read only while they are what was named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/attr.h"
#include "storage/local_file.h"

static struct {
    char folder[64];
    char path[128];
    char other[128];
    struct local_file_id id;
} play;

static void write_file(const char *path, const char *content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    assert_int_equal(close(fd), 0);
}

/* Modification times are the test's, since the clock of the file system is coarse. */
static struct local_file_id stamp(const char *path, long seconds, long nanos)
{
    struct stat st;
    struct local_file_id id;
    struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds, .tv_nsec = nanos}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(local_file_id_of(&st, &id), ERR_OK);
    return id;
}

static int begin(void **state)
{
    (void)state;
    (void)snprintf(play.folder, sizeof(play.folder), "/tmp/hearth-local-XXXXXX");
    assert_non_null(mkdtemp(play.folder));
    (void)snprintf(play.path, sizeof(play.path), "%s/file", play.folder);
    (void)snprintf(play.other, sizeof(play.other), "%s/other", play.folder);
    write_file(play.path, "0123456789");
    play.id = stamp(play.path, 1000, 7);
    return 0;
}

static int end(void **state)
{
    (void)state;
    (void)unlink(play.path);
    (void)unlink(play.other);
    return rmdir(play.folder);
}

static void expect_open(const char *path, struct local_file_id id, enum err want)
{
    int fd = -1;
    assert_int_equal(local_file_open(path, &id, &fd), want);
    assert_int_equal(fd, -1);
}

static void the_named_file_is_read(void **state)
{
    (void)state;
    int fd;
    char bytes[8] = "";
    assert_int_equal(play.id.mtime_ns, 1000 * SECOND_NS + 7);
    assert_int_equal(local_file_open(play.path, &play.id, &fd), ERR_OK);
    assert_int_equal(local_file_read(fd, 3, bytes, 4), ERR_OK);
    assert_string_equal(bytes, "3456");
    assert_int_equal(local_file_read(fd, 7, bytes, 4), ERR_MISMATCH); /* three are left */
    assert_int_equal(local_file_close(fd, &play.id), ERR_OK);
}

static void any_other_file_is_refused(void **state)
{
    (void)state;
    struct local_file_id id = play.id;
    id.device++;
    expect_open(play.path, id, ERR_MISMATCH);
    id = play.id;
    id.inode++;
    expect_open(play.path, id, ERR_MISMATCH);
    id = play.id;
    id.size--;
    expect_open(play.path, id, ERR_MISMATCH);
    id = play.id;
    id.mtime_ns++;
    expect_open(play.path, id, ERR_MISMATCH);
    expect_open(play.path + 1, play.id, ERR_INVALID); /* relative */
    expect_open(play.other, play.id, ERR_NOT_FOUND);
    char below[160];
    (void)snprintf(below, sizeof(below), "%s/x", play.path);
    expect_open(below, play.id, ERR_NOT_FOUND); /* a file is no folder */
    /* Another file of the same size and time has taken the place. */
    write_file(play.other, "abcdefghij");
    (void)stamp(play.other, 1000, 7);
    assert_int_equal(rename(play.other, play.path), 0);
    expect_open(play.path, play.id, ERR_MISMATCH);
}

/* A pipe without a writer would stop whoever opens it. */
static void only_regular_files_are_opened(void **state)
{
    (void)state;
    struct stat st;
    struct local_file_id id;
    assert_int_equal(symlink(play.path, play.other), 0);
    expect_open(play.other, play.id, ERR_MISMATCH);
    assert_int_equal(unlink(play.other), 0);
    assert_int_equal(mkfifo(play.other, 0600), 0);
    assert_int_equal(stat(play.other, &st), 0);
    assert_int_equal(local_file_id_of(&st, &id), ERR_UNSUPPORTED);
    id = (struct local_file_id){.device = st.st_dev, .inode = st.st_ino};
    expect_open(play.other, id, ERR_MISMATCH);
    assert_int_equal(stat(play.folder, &st), 0);
    assert_int_equal(local_file_id_of(&st, &id), ERR_UNSUPPORTED);
    id = (struct local_file_id){.device = st.st_dev, .inode = st.st_ino, .size = (uint64_t)st.st_size};
    expect_open(play.folder, id, ERR_MISMATCH);
}

static void a_change_while_it_is_open_is_told(void **state)
{
    (void)state;
    int fd;
    char bytes[8];
    assert_int_equal(local_file_open(play.path, &play.id, &fd), ERR_OK);
    assert_int_equal(truncate(play.path, 5), 0);
    assert_int_equal(local_file_read(fd, 4, bytes, 4), ERR_MISMATCH);
    assert_int_equal(local_file_close(fd, &play.id), ERR_MISMATCH);
    play.id = stamp(play.path, 1000, 7);
    assert_int_equal(local_file_open(play.path, &play.id, &fd), ERR_OK);
    (void)stamp(play.path, 1000, 8); /* as a write of the same length does */
    assert_int_equal(local_file_close(fd, &play.id), ERR_MISMATCH);
    /* One that vanished can still be read to its end. */
    play.id = stamp(play.path, 1000, 7);
    assert_int_equal(local_file_open(play.path, &play.id, &fd), ERR_OK);
    assert_int_equal(unlink(play.path), 0);
    assert_int_equal(local_file_read(fd, 0, bytes, 5), ERR_OK);
    assert_int_equal(local_file_close(fd, &play.id), ERR_OK);
    expect_open(play.path, play.id, ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_named_file_is_read, begin, end),
        cmocka_unit_test_setup_teardown(any_other_file_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(only_regular_files_are_opened, begin, end),
        cmocka_unit_test_setup_teardown(a_change_while_it_is_open_is_told, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
