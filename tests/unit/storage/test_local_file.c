/* SPDX-License-Identifier: MIT */
/* Files that somebody else opened: read only while they are what they were when they came, written as they are open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/local_file.h"

static struct {
    char folder[64];
    char path[128];
    char fifo[128];
    struct local_file file;
} play;

/* Modification times are the test's, since the clock of the file system is coarse. */
static void stamp(long seconds, long nanos)
{
    struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds, .tv_nsec = nanos}};
    assert_int_equal(utimensat(AT_FDCWD, play.path, times, 0), 0);
}

static void take(void)
{
    int fd = open(play.path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(local_file_take(fd, &play.file), ERR_OK);
    assert_int_equal(play.file.fd, fd);
}

static int begin(void **state)
{
    (void)state;
    (void)snprintf(play.folder, sizeof(play.folder), "/tmp/hearth-local-XXXXXX");
    assert_non_null(mkdtemp(play.folder));
    (void)snprintf(play.path, sizeof(play.path), "%s/file", play.folder);
    (void)snprintf(play.fifo, sizeof(play.fifo), "%s/fifo", play.folder);
    int fd = open(play.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    assert_int_equal(close(fd), 0);
    stamp(1000, 7);
    take();
    return 0;
}

static int end(void **state)
{
    (void)state;
    local_file_close(&play.file);
    (void)unlink(play.path);
    (void)unlink(play.fifo);
    return rmdir(play.folder);
}

static void the_file_is_read(void **state)
{
    (void)state;
    char bytes[8] = "";
    assert_int_equal(play.file.size, 10);
    assert_int_equal(local_file_read(&play.file, 3, bytes, 4), ERR_OK);
    assert_string_equal(bytes, "3456");
    assert_int_equal(local_file_read(&play.file, 7, bytes, 4), ERR_MISMATCH); /* three are left */
    assert_int_equal(local_file_check(&play.file), ERR_OK);
}

static void a_copy_is_independent(void **state)
{
    (void)state;
    char bytes[8] = "";
    struct local_file copy;
    assert_int_equal(local_file_dup(&play.file, &copy), ERR_OK);
    assert_int_equal(fcntl(copy.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    local_file_close(&play.file);
    local_file_close(&play.file);
    assert_int_equal(play.file.fd, -1);
    assert_int_equal(local_file_read(&copy, 6, bytes, 4), ERR_OK);
    assert_string_equal(bytes, "6789");
    assert_int_equal(local_file_check(&copy), ERR_OK);
    local_file_close(&copy);
}

static void expect_refused(const char *path, int flags)
{
    struct local_file file;
    int fd = open(path, flags | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(local_file_take(fd, &file), ERR_UNSUPPORTED);
    assert_int_equal(close(fd), 0); /* it stayed ours */
}

static void expect_rights(int flags, bool readable, bool writable)
{
    struct local_file file;
    int fd = open(play.path, flags | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(local_file_take(fd, &file), ERR_OK);
    assert_int_equal(file.readable, readable);
    assert_int_equal(file.writable, writable);
    assert_int_equal(local_file_close(&file), ERR_OK);
}

static void only_regular_files_that_are_open_are_taken(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(play.fifo, 0600), 0);
    expect_refused(play.fifo, O_RDWR);
    expect_refused(play.folder, O_RDONLY | O_DIRECTORY);
    expect_refused("/dev/zero", O_RDWR);
    expect_refused(play.path, O_PATH);
    expect_refused(play.path, O_WRONLY | O_APPEND);
    expect_refused(play.path, O_ACCMODE); /* for ioctl alone */
    expect_rights(O_RDONLY, true, false);
    expect_rights(O_WRONLY, false, true);
    expect_rights(O_RDWR, true, true);
    expect_rights(O_RDWR | O_APPEND, true, false);
    /* root would write into what runs as somebody else and leave it so. */
    assert_int_equal(chmod(play.path, 04700), 0);
    expect_refused(play.path, O_WRONLY);
    expect_rights(O_RDWR, true, false);
    assert_int_equal(chmod(play.path, 02700), 0);
    expect_refused(play.path, O_WRONLY);
}

static void the_file_is_written(void **state)
{
    (void)state;
    static uint8_t bytes[50000];
    static uint8_t back[sizeof(bytes) + 7];
    struct local_file file;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 3 + i / 1000);
    int fd = open(play.path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(local_file_take(fd, &file), ERR_OK);
    assert_int_equal(local_file_write(&file, 7, span_of(bytes, sizeof(bytes))), ERR_OK);
    assert_int_equal(local_file_write(&file, 3, span_of("abcd", 4)), ERR_OK);
    assert_int_equal(local_file_write(&file, 0, (struct span){0}), ERR_OK);
    assert_int_equal(pread(fd, back, sizeof(back), 0), sizeof(back));
    assert_memory_equal(back, "012abcd", 7);
    assert_memory_equal(back + 7, bytes, sizeof(bytes));
    assert_int_equal(local_file_write(&play.file, 0, span_of("x", 1)), ERR_IO); /* which is open for reading */
    assert_int_equal(local_file_close(&file), ERR_OK);
    assert_int_equal(local_file_close(&file), ERR_OK);
}

static void a_change_while_it_is_open_is_told(void **state)
{
    (void)state;
    char bytes[8];
    assert_int_equal(truncate(play.path, 5), 0);
    assert_int_equal(local_file_read(&play.file, 4, bytes, 4), ERR_MISMATCH);
    stamp(1000, 7);
    assert_int_equal(local_file_check(&play.file), ERR_MISMATCH); /* its size */
    local_file_close(&play.file);
    take();
    assert_int_equal(local_file_check(&play.file), ERR_OK);
    stamp(1000, 8); /* as a write of the same length does */
    assert_int_equal(local_file_check(&play.file), ERR_MISMATCH);
    stamp(1001, 7);
    assert_int_equal(local_file_check(&play.file), ERR_MISMATCH);
    stamp(1000, 7);
    /* One that vanished can still be read to its end. */
    assert_int_equal(unlink(play.path), 0);
    assert_int_equal(local_file_read(&play.file, 0, bytes, 5), ERR_OK);
    assert_int_equal(local_file_check(&play.file), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_file_is_read, begin, end),
        cmocka_unit_test_setup_teardown(a_copy_is_independent, begin, end),
        cmocka_unit_test_setup_teardown(only_regular_files_that_are_open_are_taken, begin, end),
        cmocka_unit_test_setup_teardown(the_file_is_written, begin, end),
        cmocka_unit_test_setup_teardown(a_change_while_it_is_open_is_told, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
