/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "storage/denylist_folder.h"
#include "storage/disk_posix.h"

#define BAD  "/ipfs/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq"
#define GOOD "/ipfs/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"

struct fixture {
    struct denylist_load load;
    struct account account;
};

static void write_file(const struct fixture *f, const char *name, const char *content)
{
    char path[DENYLIST_FOLDER_PATH_MAX + 64];
    (void)snprintf(path, sizeof(path), "%s/%s", f->load.path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, strlen(content), file), strlen(content));
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    account_init(&f->account, "test", 1 << 20);
    f->load.disk = disk_posix();
    f->load.account = &f->account;
    (void)snprintf(f->load.path, sizeof(f->load.path), "/tmp/hearth-denylists-XXXXXX");
    assert_non_null(mkdtemp(f->load.path));
    *state = f;
    return 0;
}

static void remove_one(void *arg, const char *name)
{
    char path[DENYLIST_FOLDER_PATH_MAX + 260];
    (void)snprintf(path, sizeof(path), "%s/%s", ((struct fixture *)arg)->load.path, name);
    (void)unlink(path);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    block_ref_unref(f->load.image);
    assert_int_equal(account_used(&f->account), 0);
    (void)disk_posix()->list(disk_posix()->self, f->load.path, remove_one, f);
    (void)rmdir(f->load.path);
    free(f);
    return 0;
}

static enum denylist_answer ask(const struct fixture *f, const char *path)
{
    return denylist_ask_text(denylist_of(f->load.image), span_text(path));
}

static void files_are_read_in_alphabetical_order(void **state)
{
    struct fixture *f = *state;
    write_file(f, "b.deny", "!" BAD); /* without a newline */
    write_file(f, "a.deny", "version: 1\nname: First\n---\n# one\n" BAD "\nnonsense\n" GOOD "\n");
    write_file(f, "c.allow", BAD "\n");
    assert_int_equal(denylist_folder_read(&f->load), ERR_OK);
    assert_int_equal(f->load.folder.count, 2);
    assert_string_equal(f->load.folder.files[0].name, "a.deny");
    assert_string_equal(f->load.folder.files[0].title, "First");
    assert_int_equal(f->load.folder.files[0].rules, 2);
    assert_int_equal(f->load.folder.files[0].invalid, 1);
    assert_int_equal(f->load.folder.files[0].invalid_line, 6);
    assert_int_equal(f->load.folder.files[1].rules, 1);
    assert_int_equal(ask(f, BAD), DENYLIST_ALLOWED);
    assert_int_equal(ask(f, GOOD), DENYLIST_DENIED);
    struct denylist_match match;
    assert_int_equal(denylist_folder_find(&f->load, span_text(GOOD), &match), ERR_OK);
    assert_string_equal(match.file, "a.deny");
    assert_int_equal(match.line, 7);
    assert_int_equal(denylist_folder_find(&f->load, span_text(BAD), &match), ERR_OK);
    assert_int_equal(match.answer, DENYLIST_ALLOWED);
    assert_string_equal(match.file, "b.deny");
    assert_int_equal(denylist_folder_find(&f->load, span_text("/ipns/x.y"), &match), ERR_NOT_FOUND);
}

static void nothing_denies_nothing(void **state)
{
    struct fixture *f = *state;
    char there[DENYLIST_FOLDER_PATH_MAX];
    assert_int_equal(denylist_folder_read(&f->load), ERR_OK);
    assert_null(f->load.image);
    write_file(f, "a.deny", "# nothing\n");
    assert_int_equal(denylist_folder_read(&f->load), ERR_OK);
    assert_null(f->load.image);
    memcpy(there, f->load.path, sizeof(there));
    (void)snprintf(f->load.path, sizeof(f->load.path), "/nowhere/denylists");
    assert_int_equal(denylist_folder_read(&f->load), ERR_OK);
    assert_int_equal(f->load.folder.count, 0);
    memcpy(f->load.path, there, sizeof(there));
}

static void half_a_folder_is_none(void **state)
{
    struct fixture *f = *state;
    write_file(f, "a.deny", BAD "\n");
    write_file(f, "b.deny", "version: 7\n---\n");
    assert_int_equal(denylist_folder_read(&f->load), ERR_UNSUPPORTED);
    assert_null(f->load.image);
    assert_non_null(strstr(f->load.why, "b.deny"));
    write_file(f, "b.deny", "- x\n---\n");
    assert_int_equal(denylist_folder_read(&f->load), ERR_INVALID);
    write_file(f, "b.deny", GOOD "\n");
    account_init(&f->account, "test", 64);
    assert_int_equal(denylist_folder_read(&f->load), ERR_NOMEM);
    assert_non_null(strstr(f->load.why, "Memory.Budget"));
    f->load.bytes_max = 64;
    account_init(&f->account, "test", 1 << 20);
    assert_int_equal(denylist_folder_read(&f->load), ERR_NOMEM);
    f->load.bytes_max = 0;
    _Atomic bool cancelled = true;
    account_init(&f->account, "test", 1 << 20);
    f->load.cancelled = &cancelled;
    assert_int_equal(denylist_folder_read(&f->load), ERR_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_are_read_in_alphabetical_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_denies_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(half_a_folder_is_none, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
