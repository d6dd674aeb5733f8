/* SPDX-License-Identifier: MIT */
/* Files and folders that survive: what they hold, on the simulated disk. The crash replay proves that they survive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/disk.h"
#include "storage/durable.h"

static void expect_content(const struct disk_port *port, const char *path, const char *want)
{
    char bytes[64];
    size_t len = 0;
    struct disk_file *file;
    assert_int_equal(port->open(port->self, path, DISK_READ, &file), ERR_OK);
    assert_int_equal(port->pread(file, bytes, sizeof(bytes), 0, &len), ERR_OK);
    port->close(file);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(bytes, want, len);
}

static void a_file_is_replaced_as_a_whole(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, MIB);
    const struct disk_port *port = sim_disk_port(disk);
    assert_int_equal(durable_make_folders(port, "/one/two"), ERR_OK);
    assert_int_equal(durable_make_folders(port, "/one/two"), ERR_OK);
    assert_int_equal(durable_write(port, "/one/two", "file", span_text("a long first content")), ERR_OK);
    expect_content(port, "/one/two/file", "a long first content");
    /* An interrupted write left more beside it than comes now. */
    sim_disk_fail(disk, SIM_FAULT_SYNC_IO, 0, 1);
    assert_int_equal(durable_write(port, "/one/two", "file", span_text("what never became the file")), ERR_IO);
    expect_content(port, "/one/two/file", "a long first content");
    assert_int_equal(durable_write(port, "/one/two", "file", span_text("short")), ERR_OK);
    expect_content(port, "/one/two/file", "short");
    assert_int_equal(port->exists(port->self, "/one/two/file.new"), ERR_NOT_FOUND);
    sim_disk_free(disk);
}

static void what_cannot_be_is_an_error(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, MIB);
    const struct disk_port *port = sim_disk_port(disk);
    char *path = malloc(DURABLE_PATH_MAX + 1);
    assert_non_null(path);
    memset(path, 'x', DURABLE_PATH_MAX);
    path[0] = '/';
    path[DURABLE_PATH_MAX] = '\0';
    assert_int_equal(durable_make_folders(port, path), ERR_TOO_LARGE);
    assert_int_equal(durable_write(port, path, "file", span_text("x")), ERR_TOO_LARGE);
    sim_disk_resize(disk, 1);
    assert_int_equal(durable_write(port, "/", "file", span_text("more than fits")), ERR_NO_SPACE);
    assert_int_equal(port->exists(port->self, "/file"), ERR_NOT_FOUND);
    free(path);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_replaced_as_a_whole),
        cmocka_unit_test(what_cannot_be_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
