/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sim/disk.h"
#include "storage/durable.h"
#include "storage/keystore.h"
#include "tests/support/bytes.h"
#include "wire/signing_key.h"

#define FOLDER "/repo/keystore"

static struct signing_key *make_key(void)
{
    struct signing_key *key = NULL;
    assert_ok(signing_key_generate(KEY_ED25519, 0, &key));
    return key;
}

static void expect_key(const struct disk_port *port, const char *name, const struct signing_key *want)
{
    struct signing_key *key = NULL;
    assert_ok(keystore_get(port, FOLDER, span_text(name), &key));
    assert_true(span_equal(signing_key_secret(key), signing_key_secret(want)));
    signing_key_free(key);
}

static void append_name(void *arg, struct span name)
{
    char *list = arg;
    size_t len = strlen(list);
    (void)snprintf(list + len, 256 - len, "%.*s,", (int)name.len, (const char *)name.data);
}

static void expect_names(const struct disk_port *port, const char *want)
{
    char list[256] = "";
    assert_ok(keystore_list(port, FOLDER, append_name, list));
    assert_string_equal(list, want);
}

static void keys_are_kept_renamed_and_removed(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, MIB);
    const struct disk_port *port = sim_disk_port(disk);
    struct signing_key *a = make_key();
    struct signing_key *b = make_key();
    struct signing_key *none = NULL;
    expect_names(port, "");
    assert_err(keystore_get(port, FOLDER, span_text("site"), &none), ERR_NOT_FOUND);
    assert_ok(keystore_put(port, FOLDER, span_text("site"), a, false));
    assert_ok(keystore_put(port, FOLDER, span_text("blog"), b, false));
    assert_err(keystore_put(port, FOLDER, span_text("site"), b, false), ERR_EXISTS);
    expect_key(port, "site", a);
    expect_names(port, "blog,site,");
    assert_err(keystore_rename(port, FOLDER, span_text("site"), span_text("blog"), false), ERR_EXISTS);
    assert_err(keystore_rename(port, FOLDER, span_text("none"), span_text("blog"), true), ERR_NOT_FOUND);
    assert_ok(keystore_rename(port, FOLDER, span_text("site"), span_text("blog"), true));
    expect_key(port, "blog", a);
    expect_names(port, "blog,");
    assert_ok(keystore_rm(port, FOLDER, span_text("blog")));
    assert_err(keystore_rm(port, FOLDER, span_text("blog")), ERR_NOT_FOUND);
    expect_names(port, "");
    signing_key_free(a);
    signing_key_free(b);
    sim_disk_free(disk);
}

/* What Kubo calls the file of a key named "test". */
static void files_are_named_as_kubos(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, MIB);
    const struct disk_port *port = sim_disk_port(disk);
    struct signing_key *key = make_key();
    assert_ok(keystore_put(port, FOLDER, span_text("test"), key, false));
    assert_ok(port->exists(port->self, FOLDER "/key_orsxg5a"));
    assert_ok(durable_write(port, FOLDER, "key_ORSXG5A", span_text("x")));
    assert_ok(durable_write(port, FOLDER, "key_orsxg5b", span_text("x"))); /* bits behind the last byte */
    assert_ok(durable_write(port, FOLDER, "key_orsxg5a.new", span_text("x")));
    assert_ok(durable_write(port, FOLDER, "key_", span_text("x")));
    assert_ok(durable_write(port, FOLDER, "notes", span_text("x")));
    expect_names(port, "test,");
    signing_key_free(key);
    sim_disk_free(disk);
}

static void names_are_checked(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, MIB);
    const struct disk_port *port = sim_disk_port(disk);
    struct signing_key *key = make_key();
    char longest[KEYSTORE_NAME_MAX + 2];
    static const char *const bad[] = {"", "self", ".", "..", ".x", "a/b", "a\nb", "\x7f", "\xff"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_err(keystore_put(port, FOLDER, span_text(bad[i]), key, false), ERR_INVALID);
    memset(longest, 'x', sizeof(longest));
    assert_ok(keystore_put(port, FOLDER, span_of(longest, KEYSTORE_NAME_MAX), key, false));
    assert_err(keystore_put(port, FOLDER, span_of(longest, KEYSTORE_NAME_MAX + 1), key, false), ERR_INVALID);
    assert_ok(keystore_put(port, FOLDER, span_text("my site ü"), key, false));
    expect_key(port, "my site ü", key);
    signing_key_free(key);
    sim_disk_free(disk);
}

static void a_damaged_file_is_no_key(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, MIB);
    const struct disk_port *port = sim_disk_port(disk);
    struct signing_key *key = make_key();
    struct signing_key *none = NULL;
    assert_ok(keystore_put(port, FOLDER, span_text("test"), key, false));
    struct span whole = signing_key_secret(key);
    assert_ok(durable_write(port, FOLDER, "key_orsxg5a", span_first(whole, whole.len - 1)));
    assert_err(keystore_get(port, FOLDER, span_text("test"), &none), ERR_CORRUPT);
    assert_ok(durable_write(port, FOLDER, "key_orsxg5a", span_text("")));
    assert_err(keystore_get(port, FOLDER, span_text("test"), &none), ERR_CORRUPT);
    signing_key_free(key);
    sim_disk_free(disk);
}

/* Into a backup the newest, into a repository only what it lacks; one that is damaged does not keep the others from being copied. */
static void all_keys_are_copied(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, MIB);
    const struct disk_port *port = sim_disk_port(disk);
    struct signing_key *a = make_key();
    struct signing_key *b = make_key();
    size_t count = 9;
    assert_ok(keystore_copy(port, FOLDER, "/copy/keystore", true, &count));
    assert_int_equal(count, 0);
    assert_ok(keystore_put(port, "/copy/keystore", span_text("a"), a, false));
    assert_ok(keystore_put(port, "/copy/keystore", span_text("b"), b, false));
    assert_ok(keystore_put(port, FOLDER, span_text("b"), a, false));
    assert_ok(keystore_copy(port, "/copy/keystore", FOLDER, false, &count));
    assert_int_equal(count, 1);
    expect_names(port, "a,b,");
    expect_key(port, "a", a);
    expect_key(port, "b", a);
    assert_ok(durable_write(port, "/copy/keystore", "key_me", span_text("no key"))); /* a */
    assert_err(keystore_copy(port, "/copy/keystore", FOLDER, true, &count), ERR_CORRUPT);
    assert_int_equal(count, 1);
    expect_key(port, "a", a);
    expect_key(port, "b", b);
    signing_key_free(a);
    signing_key_free(b);
    sim_disk_free(disk);
}

/* What was told to be kept is there after a power cut, and nothing is ever half there. */
static void keys_survive_power_cuts(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 40; seed++) {
        struct sim_disk *disk = sim_disk_new(seed, MIB);
        const struct disk_port *port = sim_disk_port(disk);
        struct signing_key *a = make_key();
        struct signing_key *b = make_key();
        struct signing_key *got = NULL;
        assert_ok(keystore_put(port, FOLDER, span_text("a"), a, false));
        sim_disk_fail(disk, SIM_FAULT_SYNC_DIR_IO, seed % 2, 1);
        enum err err = keystore_put(port, FOLDER, span_text("b"), b, false);
        sim_disk_power_cut(disk, (enum sim_disk_cut)(seed % SIM_CUT_COUNT), seed);
        expect_key(port, "a", a);
        enum err found = keystore_get(port, FOLDER, span_text("b"), &got);
        if (err == ERR_OK)
            assert_err(found, ERR_OK);
        else
            assert_true(found == ERR_OK || found == ERR_NOT_FOUND);
        if (found == ERR_OK)
            assert_true(span_equal(signing_key_secret(got), signing_key_secret(b)));
        signing_key_free(got);
        signing_key_free(a);
        signing_key_free(b);
        sim_disk_free(disk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_kept_renamed_and_removed),
        cmocka_unit_test(files_are_named_as_kubos),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(a_damaged_file_is_no_key),
        cmocka_unit_test(all_keys_are_copied),
        cmocka_unit_test(keys_survive_power_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
