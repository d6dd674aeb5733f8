/* SPDX-License-Identifier: MIT */
/*
 * The memory budget and its accounts.
 *
 * Bounded parts do not make a bounded sum, so whoever buffers takes from its account first and gives back when the bytes are
 * gone. The accounts' limits add up to the budget. The shares (MiB of 64): code and libraries 12, sqlite 4, memory tier 5,
 * mailboxes 2, receive 14, send 8, tables 9, uploads 6, slack 4; a larger budget keeps code and SQLite as they are and scales the rest.
 * With a cold tier a fifth of what scales is for its packs.
 *
 * Accounts are atomic: any thread may take and give. Nothing here blocks.
 *
 * A budget may lie in memory that processes share. Then each process (a holder) counts what it has taken in cells of its own and the sum
 * over all is what the limit bounds: when a process dies, wherever it was, its cells are what it held, and setting them to zero gives it back.
 */
#ifndef HEARTH_BASE_LIMITS_H
#define HEARTH_BASE_LIMITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum budget_account {
    ACCOUNT_CODE, /* libraries, stacks, allocator: measured, not charged */
    ACCOUNT_SQLITE,
    ACCOUNT_MEMORY_TIER,
    ACCOUNT_MAILBOX,
    ACCOUNT_RECEIVE, /* bytes received; windows promise less than it has for them */
    ACCOUNT_SEND,    /* bytes queued towards sockets and requested from storage for peers */
    ACCOUNT_TABLES,  /* peers, wants, ledgers, filters */
    ACCOUNT_UPLOADS, /* blocks of uploads, from when they are read until the store has acknowledged them */
    ACCOUNT_SLACK,
    ACCOUNT_COLD, /* packs of a cold tier while they are written; nothing without one */
    ACCOUNT_COUNT
};

enum { ACCOUNT_NAME_MAX = 24 };

struct account {
    char name[ACCOUNT_NAME_MAX];
    uint64_t limit_bytes;
    _Atomic uint64_t used_bytes;
    _Atomic uint64_t peak_bytes;
    _Atomic uint64_t refused; /* how often a take did not fit */
};

struct budget {
    uint64_t total_bytes;
    struct account accounts[ACCOUNT_COUNT];
};

enum { BUDGET_DEFAULT_MIB = 64, BUDGET_MIN_MIB = 48 };

/* Shares total_bytes out. ERR_INVALID under BUDGET_MIN_MIB: with less the receive account has no room for a block of 2 MiB. */
enum err budget_init(struct budget *budget, uint64_t total_bytes) MUST_CHECK;

/* For a daemon with a cold tier, before anybody takes: ACCOUNT_COLD gets a fifth of every share that grows with the budget. */
void budget_share_cold(struct budget *budget);

/*
 * The budget a daemon takes when none is configured: the smaller of 64 MiB and the cgroup's memory limit (v2 memory.max, v1
 * memory.limit_in_bytes, read below root; pass "" for the real file system). No limit readable means 64 MiB.
 */
uint64_t budget_detect(const char *root);

/*
 * From here on holders 0 to holders - 1 count what they take of this budget in cells (ACCOUNT_COUNT times holders, zero at first). Each process
 * says it of its own mapping, of one budget at a time, before it takes; NULL: of none any more. Where the cells are is not in the budget,
 * since whoever shares it can write there.
 */
void budget_share(struct budget *budget, _Atomic uint64_t *cells, uint32_t holders);
/* Which holder of shared budgets this process is, 0 at first. Before other threads exist. */
void budget_holder(uint32_t holder);
/* Gives back all that a holder had: its process has ended. */
void budget_forget(struct budget *budget, uint32_t holder);

/* An account of its own, for a part that subdivides its share, and for tests. name is copied, cut to ACCOUNT_NAME_MAX - 1. */
void account_init(struct account *account, const char *name, uint64_t limit_bytes);

/* Takes bytes; false, counted as refused, when they do not fit. Taking 0 succeeds. */
bool account_take(struct account *account, uint64_t bytes) MUST_CHECK;

/* Takes bytes that are there already, whatever the limit: nothing more fits until as much has been given back. */
void account_force(struct account *account, uint64_t bytes);

/* Gives back what was taken before. */
void account_give(struct account *account, uint64_t bytes);

uint64_t account_used(const struct account *account);
uint64_t account_free(const struct account *account);

#endif
