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
    (void)snprintf(account->name, sizeof(account->name), "%s", name);
    account->limit_bytes = limit_bytes;
}

/* ---- cells ---- */

/* Of this process, not of the budget: others can write there, and what they wrote must not become an address. */
static struct {
    const struct budget *budget; /* NULL = none is shared */
    _Atomic uint64_t *cells;
    uint32_t holders;
    uint32_t own;
} sharing;

void budget_share(struct budget *budget, _Atomic uint64_t *cells, uint32_t holders)
{
    sharing.budget = budget;
    sharing.cells = cells;
    sharing.holders = holders;
}

void budget_holder(uint32_t holder)
{
    sharing.own = holder;
}

/* The first cell of the account; NULL when it counts by itself. */
static _Atomic uint64_t *cells_of(const struct account *account)
{
    uintptr_t first = (uintptr_t)(sharing.budget == NULL ? NULL : sharing.budget->accounts);
    uintptr_t at = (uintptr_t)account;
    if (first == 0 || at < first || at >= first + sizeof(sharing.budget->accounts))
        return NULL;
    return &sharing.cells[(at - first) / sizeof(*account) * sharing.holders];
}

void budget_forget(struct budget *budget, uint32_t holder)
{
    for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
        _Atomic uint64_t *cells = cells_of(&budget->accounts[i]);
        if (cells != NULL && holder < sharing.holders)
            atomic_store_explicit(&cells[holder], 0, memory_order_relaxed);
    }
}

static uint64_t sum_of(const _Atomic uint64_t *cells)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < sharing.holders; i++)
        sum += atomic_load_explicit(&cells[i], memory_order_relaxed);
    return sum;
}

/* ---- taking and giving ---- */

/* Relaxed throughout: the counters guard no other memory. */

static void note_peak(struct account *account, uint64_t used)
{
    uint64_t peak = atomic_load_explicit(&account->peak_bytes, memory_order_relaxed);
    while (used > peak && !atomic_compare_exchange_weak_explicit(&account->peak_bytes, &peak, used,
                                                                 memory_order_relaxed, memory_order_relaxed)) {
    }
}

static bool refuse(struct account *account)
{
    atomic_fetch_add_explicit(&account->refused, 1, memory_order_relaxed);
    return false;
}

/* Counted first, so that two who take at once cannot both have the last bytes; both may be refused. */
static bool take_in_cell(struct account *account, _Atomic uint64_t *cells, uint64_t bytes, bool force)
{
    _Atomic uint64_t *cell = &cells[sharing.own];
    if (bytes > account->limit_bytes && !force)
        return refuse(account);
    atomic_fetch_add(cell, bytes);
    uint64_t used = sum_of(cells);
    if (used > account->limit_bytes && !force && bytes > 0) {
        atomic_fetch_sub(cell, bytes);
        return refuse(account);
    }
    note_peak(account, used);
    return true;
}

bool account_take(struct account *account, uint64_t bytes)
{
    _Atomic uint64_t *cells = cells_of(account);
    if (cells != NULL)
        return take_in_cell(account, cells, bytes, false);
    uint64_t used = atomic_load_explicit(&account->used_bytes, memory_order_relaxed);
    do {
        if (used > account->limit_bytes || bytes > account->limit_bytes - used)
            return refuse(account);
    } while (!atomic_compare_exchange_weak_explicit(&account->used_bytes, &used, used + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    note_peak(account, used + bytes);
    return true;
}

void account_force(struct account *account, uint64_t bytes)
{
    _Atomic uint64_t *cells = cells_of(account);
    if (cells != NULL) {
        (void)take_in_cell(account, cells, bytes, true);
        return;
    }
    note_peak(account, atomic_fetch_add_explicit(&account->used_bytes, bytes, memory_order_relaxed) + bytes);
}

void account_give(struct account *account, uint64_t bytes)
{
    _Atomic uint64_t *cells = cells_of(account);
    _Atomic uint64_t *used = cells != NULL ? &cells[sharing.own] : &account->used_bytes;
    uint64_t before = atomic_fetch_sub_explicit(used, bytes, memory_order_relaxed);
    assert(before >= bytes);
    (void)before;
}

uint64_t account_used(const struct account *account)
{
    const _Atomic uint64_t *cells = cells_of(account);
    return cells != NULL ? sum_of(cells) : atomic_load_explicit(&account->used_bytes, memory_order_relaxed);
}

uint64_t account_free(const struct account *account)
{
    uint64_t used = account_used(account);
    return used >= account->limit_bytes ? 0 : account->limit_bytes - used;
}
