/* SPDX-License-Identifier: MIT */
/*
 * Calls that a test makes fail: allocations, the C library's and SQLite's, and calls of SQLite that run a statement.
 *
 * The linker sends what this program's own objects call to the __wrap_ functions below (tests/CMakeLists.txt names the tests), which works
 * under sanitizers too: they replace what __real_ stands for. SQLite is a shared library: its allocations come through its own hook, its
 * inner calls not at all. For one file of a test program; one thread.
 */
#ifndef HEARTH_TESTS_SUPPORT_FAILING_CALLS_H
#define HEARTH_TESTS_SUPPORT_FAILING_CALLS_H

#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/disk.h"

enum failing_call { FAIL_ALLOCATION, FAIL_SQL, FAIL_CALLS };

/* The call after the next `skip` ones fails, and so do those behind it, `count` in all. */
static struct {
    uint64_t skip;
    uint64_t count;
    uint64_t struck;
} failing[FAIL_CALLS];

static bool failing_paused;      /* what the test itself does must not fail */
static int failing_sql_code;     /* what a call of SQLite says that was not made */
static sqlite3_mem_methods real; /* SQLite's own allocator */

static inline void failing_plan(enum failing_call call, uint64_t skip, uint64_t count)
{
    failing[call].skip = skip;
    failing[call].count = count;
    failing[call].struck = 0;
}

static inline bool failing_strikes(enum failing_call call)
{
    if (failing_paused || failing[call].count == 0)
        return false;
    if (failing[call].skip > 0) {
        failing[call].skip--;
        return false;
    }
    failing[call].count--;
    failing[call].struck++;
    return true;
}

static inline bool failing_memory(void)
{
    if (!failing_strikes(FAIL_ALLOCATION))
        return false;
    errno = ENOMEM;
    return true;
}

/* ---- the C library ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
int __real_posix_memalign(void **to, size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
int __wrap_posix_memalign(void **to, size_t align, size_t size);

void *__wrap_malloc(size_t size)
{
    return failing_memory() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return failing_memory() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return failing_memory() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    return failing_memory() ? NULL : __real_aligned_alloc(align, size);
}

int __wrap_posix_memalign(void **to, size_t align, size_t size)
{
    return failing_memory() ? ENOMEM : __real_posix_memalign(to, align, size);
}

/* ---- SQLite ---- */

int __real_sqlite3_step(sqlite3_stmt *stmt);
int __real_sqlite3_exec(sqlite3 *db, const char *text, int (*each)(void *, int, char **, char **), void *arg,
                        char **why);
int __wrap_sqlite3_step(sqlite3_stmt *stmt);
int __wrap_sqlite3_exec(sqlite3 *db, const char *text, int (*each)(void *, int, char **, char **), void *arg,
                        char **why);

int __wrap_sqlite3_step(sqlite3_stmt *stmt)
{
    return failing_strikes(FAIL_SQL) ? failing_sql_code : __real_sqlite3_step(stmt);
}

int __wrap_sqlite3_exec(sqlite3 *db, const char *text, int (*each)(void *, int, char **, char **), void *arg,
                        char **why)
{
    return failing_strikes(FAIL_SQL) ? failing_sql_code : __real_sqlite3_exec(db, text, each, arg, why);
}

static void *failing_sqlite_malloc(int size)
{
    return failing_memory() ? NULL : real.xMalloc(size);
}

static void *failing_sqlite_realloc(void *old, int size)
{
    return failing_memory() ? NULL : real.xRealloc(old, size);
}

/* Before SQLite is used for the first time. */
static inline bool failing_install(void)
{
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real) != SQLITE_OK)
        return false;
    sqlite3_mem_methods methods = real;
    methods.xMalloc = failing_sqlite_malloc;
    methods.xRealloc = failing_sqlite_realloc;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK;
}

/* ---- one of these, or something of the simulated disk ---- */

struct failure {
    const char *name;
    bool is_call;
    enum failing_call call;    /* when it is one */
    enum sim_disk_fault fault; /* else */
    int sql_code;
    uint64_t count;  /* of failures in a row */
    uint64_t stride; /* from one run to the next */
};

static inline void failure_plan(const struct failure *failure, struct sim_disk *disk, uint64_t skip, uint64_t count)
{
    failing_sql_code = failure->sql_code;
    if (failure->is_call)
        failing_plan(failure->call, skip, count);
    else
        sim_disk_fail(disk, failure->fault, skip, count);
}

static inline bool failure_struck(const struct failure *failure, const struct sim_disk *disk)
{
    return (failure->is_call ? failing[failure->call].struck : sim_disk_struck(disk, failure->fault)) > 0;
}

/* Which calls fail, one a run: the first, and those `stride` further on. */
struct failure_share {
    uint64_t first;
    uint64_t stride;
};

/* HEARTH_TORTURE=K/N takes every N-th call from the K-th on, so that N processes let each call fail (tests/long/torture.sh). */
static inline struct failure_share failure_share(const struct failure *failure)
{
    struct failure_share share = {.first = 0, .stride = failure->stride};
    const char *asked = getenv("HEARTH_TORTURE");
    char *slash;
    if (asked != NULL) {
        share.first = strtoull(asked, &slash, 10);
        share.stride = *slash == '/' ? strtoull(slash + 1, NULL, 10) : 0;
        if (share.stride == 0) {
            (void)fprintf(stderr, "HEARTH_TORTURE=%s is no share: K/N\n", asked);
            exit(2);
        }
    }
    return share;
}

#endif
