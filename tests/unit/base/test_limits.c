/* SPDX-License-Identifier: MIT */
/* Accounts that processes share: one bound over all, and what a dead one held comes back. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"

enum { HOLDERS = 3 };

struct region {
    struct budget budget;
    _Atomic uint64_t cells[ACCOUNT_COUNT * HOLDERS];
};

static struct region *region_new(void)
{
    struct region *region =
        mmap(NULL, sizeof(*region), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); /* zero */
    assert_true(region != MAP_FAILED);
    assert_int_equal(budget_init(&region->budget, BUDGET_DEFAULT_MIB * MIB), ERR_OK);
    budget_share(&region->budget, region->cells, HOLDERS);
    return region;
}

/* Takes as another process, says that it did, and is killed in the middle of what it does. */
static void take_and_die(struct region *region, uint32_t holder, uint64_t bytes)
{
    int said[2];
    assert_int_equal(pipe(said), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        budget_holder(holder);
        char took = account_take(&region->budget.accounts[ACCOUNT_SEND], bytes) ? 'y' : 'n';
        (void)!write(said[1], &took, 1);
        for (;;)
            (void)pause();
    }
    char took = 0;
    int status = 0;
    assert_int_equal(read(said[0], &took, 1), 1);
    assert_int_equal(took, 'y');
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    (void)close(said[0]);
    (void)close(said[1]);
}

static void the_dead_give_back(void **state)
{
    (void)state;
    struct region *region = region_new();
    struct account *send = &region->budget.accounts[ACCOUNT_SEND];
    uint64_t half = send->limit_bytes / 2;
    assert_true(account_take(send, 10));
    take_and_die(region, 1, half);
    take_and_die(region, 2, half - 10);
    assert_int_equal(account_used(send), half * 2);
    assert_int_equal(account_free(send), 0);
    assert_false(account_take(send, 1)); /* the bound is over all of them */
    assert_int_equal(send->refused, 1);
    budget_forget(&region->budget, 1);
    assert_int_equal(account_used(send), half);
    assert_true(account_take(send, half));
    budget_forget(&region->budget, 2);
    assert_int_equal(account_used(send), half + 10); /* what this process holds is its own */
    account_give(send, half + 10);
    assert_int_equal(account_used(send), 0);
    assert_int_equal(send->peak_bytes, half * 2);
    (void)munmap(region, sizeof(*region));
}

static void what_is_there_is_counted(void **state)
{
    (void)state;
    struct region *region = region_new();
    struct account alone;
    account_init(&alone, "a name that is longer than an account's", 100);
    assert_string_equal(alone.name, "a name that is longer t");
    struct account *accounts[] = {&region->budget.accounts[ACCOUNT_RECEIVE], &alone};
    for (size_t i = 0; i < 2; i++) {
        uint64_t limit = accounts[i]->limit_bytes;
        account_force(accounts[i], limit + 5);
        assert_int_equal(account_used(accounts[i]), limit + 5);
        assert_false(account_take(accounts[i], 1));
        account_give(accounts[i], 6);
        assert_true(account_take(accounts[i], 1));
        assert_false(account_take(accounts[i], UINT64_MAX));
        assert_int_equal(account_used(accounts[i]), limit);
    }
    (void)munmap(region, sizeof(*region));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dead_give_back),
        cmocka_unit_test(what_is_there_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
