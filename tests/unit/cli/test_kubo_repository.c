/* SPDX-License-Identifier: MIT */
/* Repositories written here as Kubo writes them; tests/interop imports real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "cli/kubo_repository.h"
#include "storage/disk_posix.h"
#include "wire/cid.h"

#define LEVEL "{\"mountpoint\":\"/\",\"path\":\"datastore\",\"type\":\"levelds\"}"
#define FLAT  "{\"mountpoint\":\"/blocks\",\"path\":\"blocks\",\"shardFunc\":\"x\",\"type\":\"flatfs\"}"
/* "hello\n" as flatfs names it. */
#define NAME "CIQFRENVWURNLXYINUH7BMIQ7PM5EG5U7RYWHLZU2CBINIXII33L4AY"

static char folder[64];

static void write_file(const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_folder(const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int begin(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/hearth-kubo-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    make_folder("blocks");
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command); /* NOLINT(cert-env33-c): a path of ours */
}

static void expect_open(enum err expected, const char *names)
{
    struct kubo_repository repository;
    char why[KUBO_WHY_BYTES] = "";
    assert_int_equal(kubo_repository_open(folder, &repository, why), expected);
    if (strstr(why, names) == NULL)
        fail_msg("\"%s\" does not name %s", why, names);
}

static void the_specification_decides(void **state)
{
    (void)state;
    expect_open(ERR_NOT_FOUND, "datastore_spec");
    write_file("datastore_spec", "{\"mounts\":[" FLAT "," LEVEL "],\"type\":");
    expect_open(ERR_TRUNCATED, "datastore_spec");
    write_file("datastore_spec", "{\"path\":\"badgerds\",\"type\":\"badgerds\"}");
    expect_open(ERR_UNSUPPORTED, "\"badgerds\"");
    write_file("datastore_spec", "{\"mounts\":[" LEVEL "],\"type\":\"mount\"}");
    expect_open(ERR_UNSUPPORTED, "flatfs");
    write_file("datastore_spec", "{\"mounts\":[" FLAT "," LEVEL "],\"type\":\"mount\"}");
    expect_open(ERR_NOT_FOUND, "SHARDING");
    write_file("blocks/SHARDING", "/repo/flatfs/shard/v2/next-to-last/2\n");
    expect_open(ERR_UNSUPPORTED, "SHARDING");
    write_file("blocks/SHARDING", "/repo/flatfs/shard/v1/next-to-last/0\n");
    expect_open(ERR_INVALID, "SHARDING");
    write_file("blocks/SHARDING", "/repo/flatfs/shard/v1/next-to-last/2\n");
    expect_open(ERR_OK, "");
}

static int count_hello(void *arg, const struct multihash *hash)
{
    unsigned *count = arg;
    assert_int_equal(multihash_verify(hash, span_text("hello\n")), ERR_OK);
    (*count)++;
    return 0;
}

static int stop_at_once(void *arg, const struct multihash *hash)
{
    (void)arg;
    (void)hash;
    return 7;
}

static void a_block_lies_in_its_shard(void **state)
{
    (void)state;
    static const struct {
        const char *sharding;
        const char *shard;
    } cases[] = {{"/repo/flatfs/shard/v1/next-to-last/2", "4A"},
                 {"/repo/flatfs/shard/v1/suffix/3", "4AY"},
                 {"/repo/flatfs/shard/v1/prefix/4\n", "CIQF"},
                 {"/repo/flatfs/shard/v1/prefix/60", NAME "_____"},
                 {"/repo/flatfs/shard/v1/next-to-last/56", "__CIQFRENVWURNLXYINUH7BMIQ7PM5EG5U7RYWHLZU2CBINIXII33L4A"}};
    struct multihash hash;
    struct buf bytes;
    buf_init(&bytes, 100, NULL);
    assert_int_equal(multihash_sum(MULTIHASH_SHA2_256, 0, span_text("hello\n"), &hash), ERR_OK);
    write_file("datastore_spec", "{\"mounts\":[" FLAT "," LEVEL "],\"type\":\"mount\"}");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct kubo_repository repository;
        char why[KUBO_WHY_BYTES] = "";
        char name[256];
        unsigned count = 0;
        (void)end(NULL);
        assert_int_equal(mkdir(folder, 0700), 0);
        make_folder("blocks");
        write_file("datastore_spec", "{\"mounts\":[" FLAT "," LEVEL "],\"type\":\"mount\"}");
        write_file("blocks/SHARDING", cases[i].sharding);
        write_file("blocks/_README", "for people");
        (void)snprintf(name, sizeof(name), "blocks/%s", cases[i].shard);
        make_folder(name);
        assert_int_equal(kubo_repository_open(folder, &repository, why), ERR_OK);
        assert_false(repository.running);
        assert_int_equal(kubo_repository_read(&repository, &hash, &bytes), ERR_NOT_FOUND);
        (void)snprintf(name, sizeof(name), "blocks/%s/" NAME ".data", cases[i].shard);
        write_file(name, "hello\n");
        (void)snprintf(name, sizeof(name), "blocks/%s/put-123", cases[i].shard);
        write_file(name, "half");
        assert_int_equal(kubo_repository_read(&repository, &hash, &bytes), ERR_OK);
        assert_true(span_equal_text(buf_span(&bytes), "hello\n"));
        assert_int_equal(kubo_repository_each(&repository, count_hello, &count), 0);
        assert_int_equal(count, 1);
        assert_int_equal(kubo_repository_each(&repository, stop_at_once, NULL), 7);
    }
    buf_release(&bytes);
}

static void a_block_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct kubo_repository repository;
    struct multihash hash;
    struct buf bytes;
    char why[KUBO_WHY_BYTES] = "";
    write_file("datastore_spec", "{\"mounts\":[" FLAT "," LEVEL "],\"type\":\"mount\"}");
    write_file("blocks/SHARDING", "/repo/flatfs/shard/v1/next-to-last/2");
    make_folder("blocks/4A");
    write_file("blocks/4A/" NAME ".data", "hello\n");
    assert_int_equal(kubo_repository_open(folder, &repository, why), ERR_OK);
    assert_int_equal(multihash_sum(MULTIHASH_SHA2_256, 0, span_text("hello\n"), &hash), ERR_OK);
    buf_init(&bytes, 6, NULL);
    assert_int_equal(kubo_repository_read(&repository, &hash, &bytes), ERR_TOO_LARGE);
    buf_release(&bytes);
    buf_init(&bytes, 7, NULL);
    assert_int_equal(kubo_repository_read(&repository, &hash, &bytes), ERR_OK);
    buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_specification_decides, begin, end),
        cmocka_unit_test_setup_teardown(a_block_lies_in_its_shard, begin, end),
        cmocka_unit_test_setup_teardown(a_block_over_the_limit_is_refused, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
