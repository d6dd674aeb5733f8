/* SPDX-License-Identifier: MIT */
/*
 * usage: crash_replay [--smoke] [--seed N] [--jobs N]
 *
 * Exit 0 when every prefix recovers and every left-out sync was found; 1 otherwise, with the first failure of each. The seeds are shared out
 * among so many processes; syncs are left out with the first seed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/crash.h"

/* The sync calls of the source, told apart by what is synced and when. */
enum site {
    SITE_NONE,
    SITE_GROUP,          /* storage/disk_tier.c: sync_group, fdatasync */
    SITE_SEGMENT_NAME,   /* storage/disk_tier.c: sync_group, sync_dir */
    SITE_DROPPED_NAME,   /* storage/disk_tier.c: disk_tier_drop, sync_dir */
    SITE_RECOVERY,       /* storage/disk_recovery.c: make_durable, fdatasync */
    SITE_RECOVERED_NAME, /* storage/disk_recovery.c: make_durable, sync_dir */
    SITE_REPOSITORY,     /* storage/blockstore_open.c: sync_dir */
    SITE_WAL,            /* storage/catalogue.c: synchronous=FULL, and the checkpoint's first half */
    SITE_DATABASE,       /* storage/sqlite_vfs.c: the checkpoint's second half */
    SITE_COUNT
};

static const char *const site_names[SITE_COUNT] = {
    [SITE_NONE] = "none left out",
    [SITE_GROUP] = "disk_tier: fdatasync of a group",
    [SITE_SEGMENT_NAME] = "disk_tier: sync of the folder of a new segment",
    [SITE_DROPPED_NAME] = "disk_tier: sync of the folder of a removed segment",
    [SITE_RECOVERY] = "disk_recovery: fdatasync of a segment's tail",
    [SITE_RECOVERED_NAME] = "disk_recovery: sync of the folder of a found segment",
    [SITE_REPOSITORY] = "blockstore_open: sync of the repository's folder",
    [SITE_WAL] = "catalogue: sync of the WAL at each commit (synchronous=FULL)",
    [SITE_DATABASE] = "catalogue: sync of blocks.db at a checkpoint",
};

struct replay {
    const struct crash_blocks *blocks;
    const struct disk_log *log;
    uint64_t seed;
    size_t stride; /* every so many entries are tried */
    enum site without;
    uint64_t states;
    uint64_t skipped; /* syncs left out so far */
    bool unlinked;    /* the entry before this one was the removal of a file */
    char why[CRASH_WHY_BYTES];
};

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static enum site site_of(const struct replay *r, const char *path, bool is_folder)
{
    if (is_folder && ends_with(path, "segments") && r->unlinked)
        return SITE_DROPPED_NAME;
    if (is_folder && ends_with(path, "segments"))
        return crash_opening ? SITE_RECOVERED_NAME : SITE_SEGMENT_NAME;
    if (is_folder)
        return ends_with(path, "repo") ? SITE_REPOSITORY : SITE_NONE;
    if (ends_with(path, ".seg"))
        return crash_opening ? SITE_RECOVERY : SITE_GROUP;
    if (ends_with(path, "-wal"))
        return SITE_WAL;
    return ends_with(path, "blocks.db") ? SITE_DATABASE : SITE_NONE;
}

static bool leave_out(void *arg, const char *path, bool is_folder)
{
    struct replay *r = arg;
    bool skip = r->without != SITE_NONE && site_of(r, path, is_folder) == r->without;
    r->skipped += skip;
    return skip;
}

static struct sim_disk *clone_or_die(const struct sim_disk *disk)
{
    struct sim_disk *copy = sim_disk_clone(disk);
    if (copy == NULL)
        abort();
    return copy;
}

/* All ways to crash at this point of the log. */
static bool try_point(struct replay *r, const struct sim_disk *disk, const struct crash_truth *truth, uint64_t at)
{
    static const enum sim_disk_cut cuts[] = {SIM_CUT_DROP, SIM_CUT_PREFIX, SIM_CUT_REORDER, SIM_CUT_REORDER};
    bool good = true;
    for (size_t i = 0; good && i < ARRAY_LEN(cuts); i++) {
        struct sim_disk *copy = clone_or_die(disk);
        uint64_t seed = r->seed * 1000003 + at * 16 + i;
        sim_disk_power_cut(copy, cuts[i], seed);
        good = crash_check(copy, r->blocks, truth, i == 3, seed, r->why);
        sim_disk_free(copy);
        r->states++;
    }
    if (!good)
        return false;
    struct sim_disk *copy = clone_or_die(disk);
    good = crash_check_kill(copy, r->blocks, truth, r->seed + at, r->why);
    sim_disk_free(copy);
    r->states++;
    return good;
}

/* Replays the log without the syncs of one site; false, with why and *ret_at, at the first state that does not recover. */
static bool replay(struct replay *r, size_t *ret_at)
{
    struct sim_disk *disk = sim_disk_new(r->seed, 256 * MIB);
    struct crash_truth truth = {0};
    bool good = true;
    sim_disk_skip_syncs(disk, leave_out, r);
    for (size_t i = 0; good && i < disk_log_count(r->log); i++) {
        const struct disk_entry *e = disk_log_at(r->log, i);
        *ret_at = i;
        if (e->kind == DISK_ENTRY_MARK)
            crash_truth_note(&truth, r->blocks, e->mark, e->value);
        else
            good = disk_entry_apply(e, sim_disk_port(disk)) == ERR_OK ||
                   snprintf(r->why, sizeof(r->why), "the log does not replay") < 0;
        r->unlinked = e->kind == DISK_ENTRY_UNLINK;
        if (good && i % r->stride == 0)
            good = try_point(r, disk, &truth, i);
    }
    sim_disk_free(disk);
    return good;
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* With every sync in place nothing may be lost. */
static bool prove_green(struct replay *r)
{
    size_t at = 0;
    double from = seconds();
    r->without = SITE_NONE;
    r->states = 0;
    if (!replay(r, &at)) {
        (void)printf("RED    seed %llu, entry %zu of %zu: %s\n", (unsigned long long)r->seed, at,
                     disk_log_count(r->log), r->why);
        return false;
    }
    (void)printf("green  seed %llu: %zu entries, %llu crashed disks recovered, %.1f s\n", (unsigned long long)r->seed,
                 disk_log_count(r->log), (unsigned long long)r->states, seconds() - from);
    return true;
}

/* Leaves out the syncs of one site; it must show, or the call is not needed or this test is blind. */
static bool prove_needed(struct replay *r, enum site site)
{
    size_t at = 0;
    r->without = site;
    r->skipped = 0;
    bool found = !replay(r, &at);
    (void)printf("%s  without %s (left out %llu times): %s\n", found ? "found " : "MISSED", site_names[site],
                 (unsigned long long)r->skipped, found ? r->why : "nothing was lost");
    return found;
}

static bool one_seed(uint64_t seed, size_t stride, unsigned lives, bool mutate)
{
    struct crash_blocks *blocks = calloc(1, sizeof(*blocks));
    struct sim_disk *disk = sim_disk_new(seed, 256 * MIB);
    struct disk_log *log = disk == NULL ? NULL : disk_log_new(sim_disk_port(disk));
    bool good = blocks != NULL && log != NULL;
    if (good) {
        crash_blocks_init(blocks, seed);
        good = crash_run(blocks, seed, lives, log);
    }
    struct replay r = {.blocks = blocks, .log = log, .seed = seed, .stride = stride};
    good = good && prove_green(&r);
    for (enum site site = SITE_GROUP; good && mutate && site < SITE_COUNT; site++)
        good = prove_needed(&r, site) && good;
    disk_log_free(log);
    sim_disk_free(disk);
    free(blocks);
    return good;
}

/* One process's share: every jobs-th seed; the first has the rest to prove, too. */
static bool run_share(uint64_t first, bool smoke, uint64_t process, uint64_t jobs)
{
    uint64_t seeds = smoke ? 1 : 8;
    bool good = process > 0 || crash_files(first);
    good = (process > 0 || crash_migration(first)) && good;
    good = (process + 1 < jobs || crash_copy(first)) && good;
    good = (process + 1 < jobs || crash_cold(first)) && good;
    good = (process > 0 || crash_demote(first, smoke ? 25 : 3)) && good;
    for (uint64_t i = process; i < seeds; i += jobs)
        good = one_seed(first + i, smoke ? 5 : 1, smoke ? 4 : 8, i == 0) && good;
    return good;
}

static bool run_all(uint64_t first, bool smoke, uint64_t jobs)
{
    for (uint64_t process = 1; process < jobs; process++) {
        pid_t pid = fork();
        if (pid < 0)
            abort();
        if (pid == 0)
            exit(run_share(first, smoke, process, jobs) ? 0 : 1);
    }
    bool good = run_share(first, smoke, 0, jobs);
    for (uint64_t process = 1; process < jobs; process++) {
        int status = 0;
        good = wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && good;
    }
    return good;
}

int main(int argc, char **argv)
{
    bool smoke = false;
    uint64_t first = 1;
    uint64_t jobs = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--smoke") == 0)
            smoke = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            first = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc)
            jobs = strtoull(argv[++i], NULL, 10);
        else
            jobs = 0;
    }
    if (jobs == 0) {
        (void)fprintf(stderr, "usage: crash_replay [--smoke] [--seed N] [--jobs N], N at least 1\n");
        return 2;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    bool good = run_all(first, smoke, jobs);
    (void)printf("%s\n", good ? "crash replay passed" : "crash replay FAILED");
    return good ? 0 : 1;
}
