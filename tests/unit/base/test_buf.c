/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/block_ref.h"
#include "base/buf.h"
#include "base/limits.h"

static void growth_stops_at_the_maximum(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100, NULL);
    uint8_t bytes[60] = {1};
    assert_int_equal(buf_append(&b, bytes, sizeof(bytes)), ERR_OK);
    assert_int_equal(buf_append(&b, bytes, sizeof(bytes)), ERR_TOO_LARGE);
    assert_int_equal(b.len, 60);
    assert_int_equal(buf_append(&b, bytes, 40), ERR_OK);
    assert_true(b.cap <= b.max);
    buf_release(&b);
}

static void growth_is_charged_and_given_back(void **state)
{
    (void)state;
    struct account account;
    account_init(&account, "test", 128);
    struct buf b;
    buf_init(&b, 4096, &account);
    uint8_t bytes[100] = {0};
    assert_int_equal(buf_append(&b, bytes, sizeof(bytes)), ERR_OK);
    assert_int_equal(account_used(&account), b.cap);
    assert_int_equal(buf_append(&b, bytes, sizeof(bytes)), ERR_NOMEM);
    assert_int_equal(b.len, 100);
    buf_release(&b);
    assert_int_equal(account_used(&account), 0);
}

static void formatted_text_is_appended(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 64, NULL);
    assert_int_equal(buf_append_text(&b, "a"), ERR_OK);
    assert_int_equal(buf_appendf(&b, "%d-%s", 12, "x"), ERR_OK);
    assert_true(span_equal_text(buf_span(&b), "a12-x"));
    buf_drop(&b, 2);
    assert_true(span_equal_text(buf_span(&b), "2-x"));
    buf_release(&b);
}

static void accounts_refuse_and_count(void **state)
{
    (void)state;
    struct account account;
    account_init(&account, "test", 10);
    assert_true(account_take(&account, 6));
    assert_false(account_take(&account, 5));
    assert_false(account_take(&account, UINT64_MAX));
    assert_true(account_take(&account, 4));
    assert_int_equal(account.refused, 2);
    assert_int_equal(account.peak_bytes, 10);
    account_give(&account, 10);
    assert_int_equal(account_free(&account), 10);
}

static void budget_shares_add_up(void **state)
{
    (void)state;
    struct budget budget;
    assert_int_equal(budget_init(&budget, 64 * MIB), ERR_OK);
    uint64_t sum = 0;
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        sum += budget.accounts[i].limit_bytes;
    assert_int_equal(sum, 64 * MIB);
    assert_int_equal(budget.accounts[ACCOUNT_RECEIVE].limit_bytes, 14 * MIB);
    assert_int_equal(budget.accounts[ACCOUNT_COLD].limit_bytes, 0);
    budget_share_cold(&budget);
    sum = 0;
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        sum += budget.accounts[i].limit_bytes;
    assert_int_equal(sum, 64 * MIB);
    assert_in_range(budget.accounts[ACCOUNT_COLD].limit_bytes, 48 * MIB / 5 - ACCOUNT_COUNT, 48 * MIB / 5);
    assert_int_equal(budget.accounts[ACCOUNT_SQLITE].limit_bytes, 4 * MIB);
    assert_int_equal(budget_init(&budget, 1 * MIB), ERR_INVALID);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void the_cgroup_bounds_the_default_budget(void **state)
{
    (void)state;
    char root[] = "/tmp/hearth-cgroup-XXXXXX";
    assert_non_null(mkdtemp(root));
    assert_int_equal(budget_detect(root), 64 * MIB);
    const char *folders[] = {"/sys", "/sys/fs", "/sys/fs/cgroup"};
    char path[128];
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", root, folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    (void)snprintf(path, sizeof(path), "%s/sys/fs/cgroup/memory.max", root);
    write_file(path, "50331648\n");
    assert_int_equal(budget_detect(root), 48 * MIB);
    write_file(path, "max\n");
    assert_int_equal(budget_detect(root), 64 * MIB);
    assert_int_equal(unlink(path), 0);
    for (size_t i = ARRAY_LEN(folders); i-- > 0;) {
        (void)snprintf(path, sizeof(path), "%s%s", root, folders[i]);
        assert_int_equal(rmdir(path), 0);
    }
    assert_int_equal(rmdir(root), 0);
}

static void block_refs_are_charged_until_the_last_unref(void **state)
{
    (void)state;
    struct account account;
    account_init(&account, "test", 4 * MIB);
    struct block_ref *ref = block_ref_new(1 * MIB, &account);
    assert_non_null(ref);
    assert_true(account_used(&account) >= 1 * MIB);
    assert_true(account_used(&account) <= 1 * MIB + 64 * KIB);
    (void)block_ref_ref(ref);
    block_ref_unref(ref);
    assert_true(account_used(&account) > 0);
    block_ref_unref(ref);
    assert_int_equal(account_used(&account), 0);
    ref = block_ref_new(1 * MIB, &account);
    assert_non_null(ref);
    block_ref_uncharge(ref);
    assert_int_equal(account_used(&account), 0);
    block_ref_unref(ref);
    assert_int_equal(account_used(&account), 0);
    assert_null(block_ref_new(5 * MIB, &account));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growth_stops_at_the_maximum),
        cmocka_unit_test(growth_is_charged_and_given_back),
        cmocka_unit_test(formatted_text_is_appended),
        cmocka_unit_test(accounts_refuse_and_count),
        cmocka_unit_test(budget_shares_add_up),
        cmocka_unit_test(the_cgroup_bounds_the_default_budget),
        cmocka_unit_test(block_refs_are_charged_until_the_last_unref),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
