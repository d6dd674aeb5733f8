/* SPDX-License-Identifier: MIT */
#include "base/limits.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* MiB of the 64 MiB reference budget; fixed shares do not grow with it. */
static const struct {
    const char *name;
    unsigned mib;
    bool fixed;
} shares[ACCOUNT_COUNT] = {
    [ACCOUNT_CODE] = {"code", 12, true},
    [ACCOUNT_SQLITE] = {"sqlite", 4, true},
    [ACCOUNT_MEMORY_TIER] = {"memory_tier", 5, 0},
    [ACCOUNT_MAILBOX] = {"mailbox", 2, 0},
    [ACCOUNT_RECEIVE] = {"receive", 14, 0},
    [ACCOUNT_SEND] = {"send", 8, 0},
    [ACCOUNT_TABLES] = {"tables", 9, 0},
    [ACCOUNT_UPLOADS] = {"uploads", 6, 0},
    [ACCOUNT_SLACK] = {"slack", 4, 0},
    [ACCOUNT_COLD] = {"cold", 0, 0},
};

enum { FIXED_MIB = 16, SCALED_MIB = 48, COLD_PART = 5 };

enum err budget_init(struct budget *budget, uint64_t total_bytes)
{
    if (total_bytes < BUDGET_MIN_MIB * MIB || total_bytes > UINT64_C(1) << 44)
        return ERR_INVALID;
    memset(budget, 0, sizeof(*budget));
    budget->total_bytes = total_bytes;
    uint64_t scaled = total_bytes - FIXED_MIB * MIB;
    for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
        uint64_t limit = shares[i].fixed ? shares[i].mib * MIB : scaled / SCALED_MIB * shares[i].mib;
        account_init(&budget->accounts[i], shares[i].name, limit);
    }
    return ERR_OK;
}

void budget_share_cold(struct budget *budget)
{
    for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
        uint64_t part = shares[i].fixed ? 0 : budget->accounts[i].limit_bytes / COLD_PART;
        budget->accounts[i].limit_bytes -= part;
        budget->accounts[ACCOUNT_COLD].limit_bytes += part;
    }
}

static bool read_limit(const char *root, const char *path, uint64_t *ret_bytes)
{
    char name[512];
    int len = snprintf(name, sizeof(name), "%s%s", root, path);
    if (len < 0 || (size_t)len >= sizeof(name))
        return false;
    FILE *file = fopen(name, "re");
    if (file == NULL)
        return false;
    char line[32] = "";
    size_t digits = fgets(line, sizeof(line), file) == NULL ? 0 : strcspn(line, "\n");
    (void)fclose(file);
    return text_parse_u64(span_of(line, digits), ret_bytes) == ERR_OK; /* "max" is no number: no limit */
}

uint64_t budget_detect(const char *root)
{
    uint64_t limit = BUDGET_DEFAULT_MIB * MIB;
    static const char *const paths[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        uint64_t bytes = 0;
        if (read_limit(root, paths[i], &bytes))
            limit = MIN(limit, bytes);
    }
    return MAX(limit, BUDGET_MIN_MIB * MIB);
}

void account_init(struct account *account, const char *name, uint64_t limit_bytes)
{
    memset(account, 0, sizeof(*account));
    account->name = name;
    account->limit_bytes = limit_bytes;
}

bool account_take(struct account *account, uint64_t bytes)
{
    /* Relaxed: the counters guard no other memory. */
    uint64_t used = atomic_load_explicit(&account->used_bytes, memory_order_relaxed);
    do {
        if (used > account->limit_bytes || bytes > account->limit_bytes - used) {
            atomic_fetch_add_explicit(&account->refused, 1, memory_order_relaxed);
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&account->used_bytes, &used, used + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    uint64_t peak = atomic_load_explicit(&account->peak_bytes, memory_order_relaxed);
    while (used + bytes > peak && !atomic_compare_exchange_weak_explicit(&account->peak_bytes, &peak, used + bytes,
                                                                         memory_order_relaxed, memory_order_relaxed)) {
    }
    return true;
}

void account_give(struct account *account, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub_explicit(&account->used_bytes, bytes, memory_order_relaxed);
    assert(before >= bytes);
    (void)before;
}

uint64_t account_used(const struct account *account)
{
    return atomic_load_explicit(&account->used_bytes, memory_order_relaxed);
}

uint64_t account_free(const struct account *account)
{
    uint64_t used = account_used(account);
    return used >= account->limit_bytes ? 0 : account->limit_bytes - used;
}
