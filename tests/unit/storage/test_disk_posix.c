/* SPDX-License-Identifier: MIT */
/*
 * The real disk port: contracts on a real folder, and the system calls themselves, which this file puts itself in front of to count
 * syncs and to play short writes, interrupts and errors. The crash replay proves where syncs are needed; this proves that they happen.
 */
#include "tests/support/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "storage/disk_posix.h"
#include "tests/support/store_driver.h"

static struct {
    unsigned fdatasyncs;
    unsigned fsyncs;
    int sync_errno;
    unsigned interrupts; /* the next so many writes are interrupted */
    bool short_writes;   /* a third of what was asked */
    int write_errno;
} calls;

int fdatasync(int fd)
{
    calls.fdatasyncs++;
    if (calls.sync_errno != 0) {
        errno = calls.sync_errno;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    calls.fsyncs++;
    return (int)syscall(SYS_fsync, fd);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    (void)count;
    if (calls.interrupts > 0) {
        calls.interrupts--;
        errno = EINTR;
        return -1;
    }
    if (calls.write_errno != 0) {
        errno = calls.write_errno;
        return -1;
    }
    size_t len = calls.short_writes ? iov[0].iov_len / 3 + 1 : iov[0].iov_len;
    return pwrite(fd, iov[0].iov_base, MIN(len, iov[0].iov_len), offset);
}

static char folder[32];

static int make_folder(void **state)
{
    (void)state;
    memset(&calls, 0, sizeof(calls));
    (void)snprintf(folder, sizeof(folder), "/tmp/hearth-disk-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -rf -- '%s'", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char path[64];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static struct disk_file *make_file(const char *name)
{
    const struct disk_port *port = disk_posix();
    struct disk_file *file;
    assert_int_equal(port->open(port->self, in_folder(name), DISK_WRITE | DISK_CREATE, &file), ERR_OK);
    return file;
}

static void names_and_modes(void **state)
{
    (void)state;
    const struct disk_port *port = disk_posix();
    struct disk_file *file;
    struct stat st;
    assert_int_equal(port->open(port->self, in_folder("a"), DISK_READ, &file), ERR_NOT_FOUND);
    port->close(make_file("a"));
    assert_int_equal(port->open(port->self, in_folder("a"), DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &file),
                     ERR_EXISTS);
    assert_int_equal(stat(in_folder("a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(port->make_dir(port->self, in_folder("d")), ERR_OK);
    assert_int_equal(port->make_dir(port->self, in_folder("d")), ERR_EXISTS);
    assert_int_equal(stat(in_folder("d"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(port->unlink(port->self, in_folder("a")), ERR_OK);
    assert_int_equal(port->exists(port->self, in_folder("a")), ERR_NOT_FOUND);
    assert_int_equal(port->unlink(port->self, in_folder("a")), ERR_NOT_FOUND);
}

static void a_lock_is_exclusive_until_closed(void **state)
{
    (void)state;
    const struct disk_port *port = disk_posix();
    struct disk_file *first = make_file("lock");
    struct disk_file *second = make_file("lock");
    assert_int_equal(port->lock(first), ERR_OK);
    assert_int_equal(port->lock(second), ERR_BUSY);
    port->close(first);
    assert_int_equal(port->lock(second), ERR_OK);
    port->close(second);
}

static void short_and_interrupted_writes_are_finished(void **state)
{
    (void)state;
    const struct disk_port *port = disk_posix();
    struct disk_file *file = make_file("f");
    char text[600];
    char back[1300];
    struct iovec iov[3] = {{.iov_base = text, .iov_len = sizeof(text)},
                           {.iov_base = text, .iov_len = 0},
                           {.iov_base = text, .iov_len = sizeof(text)}};
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)i;
    calls.short_writes = true;
    calls.interrupts = 2;
    assert_int_equal(port->pwritev(file, iov, 3, 10), ERR_OK);
    size_t got = 0;
    assert_int_equal(port->pread(file, back, sizeof(back), 10, &got), ERR_OK);
    assert_int_equal(got, 1200);
    assert_memory_equal(back, text, 600);
    assert_memory_equal(back + 600, text, 600);
    calls.write_errno = ENOSPC;
    assert_int_equal(port->pwritev(file, iov, 3, 0), ERR_NO_SPACE);
    calls.write_errno = EIO;
    assert_int_equal(port->pwritev(file, iov, 3, 0), ERR_IO);
    port->close(file);
}

static void syncs_reach_the_kernel_and_their_errors_the_caller(void **state)
{
    (void)state;
    const struct disk_port *port = disk_posix();
    struct disk_file *file = make_file("f");
    assert_int_equal(port->fdatasync(file), ERR_OK);
    assert_int_equal(calls.fdatasyncs, 1);
    assert_int_equal(port->sync_dir(port->self, folder), ERR_OK);
    assert_int_equal(calls.fsyncs, 1);
    calls.sync_errno = EIO;
    assert_int_equal(port->fdatasync(file), ERR_IO);
    assert_int_equal(calls.fdatasyncs, 2); /* never tried again */
    assert_int_equal(port->sync_dir(port->self, in_folder("none")), ERR_NOT_FOUND);
    port->close(file);
}

static struct blockstore *open_store(void)
{
    struct blockstore *store = NULL;
    char why[STORE_WHY_BYTES];
    struct blockstore_options options = {.port = disk_posix(), .path = folder, .storage_max_bytes = 64 * MIB};
    if (blockstore_open(&options, 0, 0, &store, why) != ERR_OK)
        fail_msg("%s", why);
    return store;
}

/* In production SQLite has its own VFS: its syncs are counted here too, since libsqlite3 calls the same functions. */
static void acknowledgements_wait_for_syncs(void **state)
{
    (void)state;
    struct block_key key;
    struct blockstore *store = open_store();
    test_key(span_text("block"), &key);
    unsigned data = calls.fdatasyncs;
    unsigned dirs = calls.fsyncs;
    assert_int_equal(test_put(store, &key, span_text("block"), NULL), ERR_OK);
    assert_int_equal(calls.fdatasyncs, data + 1); /* the group */
    assert_int_equal(calls.fsyncs, dirs + 1);     /* the folder of the new segment */
    data = calls.fdatasyncs;
    assert_int_equal(test_change(store, &key, CHANGE_PIN_ADD), ERR_OK);
    assert_true(calls.fdatasyncs > data); /* the WAL */
    calls.sync_errno = EIO;
    test_key(span_text("other"), &key);
    assert_int_equal(test_put(store, &key, span_text("other"), NULL), ERR_IO);
    calls.sync_errno = 0;
    blockstore_close(store, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_and_modes, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_lock_is_exclusive_until_closed, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(short_and_interrupted_writes_are_finished, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(syncs_reach_the_kernel_and_their_errors_the_caller, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(acknowledgements_wait_for_syncs, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
