/* SPDX-License-Identifier: MIT */
/*
 * A store with a cold tier in a folder of the same disk, recorded: puts, demotions, promotions, removals, packs that are rewritten and removed, the compaction that
 * follows. The power is cut after each entry, and each crashed disk is opened twice: as it is, and with its catalogue lost. And without each of the syncs that a
 * demoted block rests on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/crash.h"
#include "tests/support/cold_driver.h"

enum { DRIVE = 20000, LIVES = 2, ROUNDS = 4, BATCH = 8, DEMOTED_BLOCKS = CRASH_LEAVES };

enum site {
    SITE_NONE,
    SITE_CONTENT,   /* storage/cold_directory.c: fdatasync */
    SITE_NAME,      /* storage/cold_directory.c: sync_dir with a new object */
    SITE_REMOVAL,   /* storage/cold_directory.c: sync_dir without a removed one */
    SITE_WAL,       /* storage/catalogue.c: synchronous=FULL, of the rows of cold blocks */
    SITE_MARK,      /* storage/durable.c: fdatasync of the mark's second copy */
    SITE_MARK_NAME, /* storage/durable.c: sync_dir with it */
    SITE_COUNT
};

static const char *const site_names[SITE_COUNT] = {
    [SITE_NONE] = "none left out",
    [SITE_CONTENT] = "cold_directory: fdatasync of a pack",
    [SITE_NAME] = "cold_directory: sync of the folder with a new pack",
    [SITE_REMOVAL] = "cold_directory: sync of the folder without a removed pack",
    [SITE_WAL] = "catalogue: sync of the WAL with the rows of cold blocks",
    [SITE_MARK] = "cold_mark: fdatasync of the mark's second copy",
    [SITE_MARK_NAME] = "cold_mark: sync of the folder with the mark's second copy",
};

struct demote_run {
    const struct crash_blocks *blocks;
    struct crash_truth truth;
    enum site without;
    bool unlinked; /* the entry before this one was the removal of a file */
    bool found;    /* packs without a row */
    bool damaged;
    uint64_t states;
    char why[CRASH_WHY_BYTES];
};

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static enum site site_of(const struct demote_run *run, const char *path, bool is_folder)
{
    if (is_folder && ends_with(path, "cold"))
        return run->unlinked ? SITE_REMOVAL : SITE_NAME;
    if (is_folder)
        return ends_with(path, "repo") && !crash_opening ? SITE_MARK_NAME : SITE_NONE;
    if (ends_with(path, ".part"))
        return SITE_CONTENT;
    if (ends_with(path, "-wal"))
        return SITE_WAL;
    return ends_with(path, "cold.mark.new") ? SITE_MARK : SITE_NONE;
}

static bool leave_out(void *arg, const char *path, bool is_folder)
{
    const struct demote_run *run = arg;
    return run->without != SITE_NONE && site_of(run, path, is_folder) == run->without;
}

/* ---- a store with its cold tier ---- */

struct life {
    struct blockstore *store;
    struct test_cold cold;
    uint64_t now;
};

static void note(void *arg, bool fatal, const char *text)
{
    struct demote_run *run = arg;
    run->found |= strstr(text, "that blocks.db did not know") != NULL;
    run->damaged |= fatal || strstr(text, "damaged") != NULL;
}

static bool open_life(struct demote_run *run, const struct disk_port *port, uint64_t seed, struct life *life)
{
    char why[STORE_WHY_BYTES];
    *life = (struct life){.now = seed * SECOND_NS};
    struct blockstore_options options = {.port = port,
                                         .path = "repo",
                                         .storage_max_bytes = 64 * MIB,
                                         .segment_bytes = 8 * KIB,
                                         .allocate_bytes = 4 * KIB,
                                         .cache_kib = 128,
                                         .seed = seed,
                                         .cold = true,
                                         .events = {.arg = run, .notice = note}};
    crash_opening = true;
    enum err err = blockstore_open(&options, life->now, life->now, &life->store, why);
    crash_opening = false;
    if (err != ERR_OK || !test_cold_open(&life->cold, port, "/cold", NULL)) {
        (void)snprintf(run->why, sizeof(run->why), "the store does not open: %.180s", why);
        return false;
    }
    life->cold.tier.pack_bytes = 8 * KIB;
    return true;
}

static void close_life(struct life *life, bool crash)
{
    blockstore_close(life->store, crash);
    test_cold_close(&life->cold);
}

static void pass(struct life *life, uint64_t ns)
{
    life->now += ns;
    blockstore_tick(life->store, life->now, life->now);
    (void)test_cold_drive(life->store, &life->cold, DRIVE);
}

/* ---- the recorded run ---- */

static void put(struct demote_run *run, struct life *life, struct disk_log *log, size_t i)
{
    struct test_op t = test_op_for(&run->blocks->keys[i]);
    struct block_ref *ref = block_ref_copy(span_of(run->blocks->bytes[i], run->blocks->sizes[i]), NULL);
    disk_log_mark(log, MARK_PUT_START, i);
    blockstore_put(life->store, &t.op, ref);
    block_ref_unref(ref);
    (void)test_cold_drive(life->store, &life->cold, DRIVE);
    if (t.done && t.err == ERR_OK)
        disk_log_mark(log, MARK_PUT_ACK, i);
}

static void take_out(struct demote_run *run, struct life *life, struct disk_log *log, size_t i)
{
    struct test_change t = test_pin(&run->blocks->keys[i], CHANGE_BLOCK_RM);
    disk_log_mark(log, MARK_REMOVE_START, i);
    blockstore_change(life->store, &t.op);
    (void)test_cold_drive(life->store, &life->cold, DRIVE);
    if (t.done && t.err == ERR_OK)
        disk_log_mark(log, MARK_REMOVE_ACK, i);
}

static void promote(struct demote_run *run, struct life *life, size_t i)
{
    struct test_op t = test_op_for(&run->blocks->keys[i]);
    blockstore_promote(life->store, &t.op);
    (void)test_cold_drive(life->store, &life->cold, DRIVE);
}

/* A batch is put and leaves the disk; of the one before, most is removed, and one comes back. */
static bool one_round(struct demote_run *run, struct life *life, struct disk_log *log, size_t round)
{
    size_t first = round % ROUNDS * BATCH;
    size_t before = (round + ROUNDS - 1) % ROUNDS * BATCH;
    for (size_t i = first; i < first + BATCH; i++)
        put(run, life, log, i);
    pass(life, 6 * SECOND_NS); /* they get their rows */
    if (blockstore_demote(life->store, &run->blocks->keys[first], BATCH) != ERR_OK)
        return false;
    pass(life, STORE_PACK_NS + SECOND_NS);
    pass(life, 6 * SECOND_NS); /* compaction */
    promote(run, life, before);
    for (size_t i = before + 1; i < before + BATCH - 1; i++)
        take_out(run, life, log, i);
    pass(life, STORE_PACK_NS + SECOND_NS);
    pass(life, 6 * SECOND_NS);
    return blockstore_stats(life->store).cold_blocks > 0;
}

static bool record(struct demote_run *run, struct disk_log *log)
{
    const struct disk_port *port = disk_log_port(log);
    bool good = port->make_dir(port->self, "repo") == ERR_OK && port->make_dir(port->self, "/cold") == ERR_OK &&
                port->sync_dir(port->self, "/") == ERR_OK;
    for (size_t n = 0; good && n < LIVES; n++) {
        struct life life;
        disk_log_mark(log, MARK_OPEN_START, 0);
        good = open_life(run, port, n + 1, &life);
        disk_log_mark(log, MARK_OPEN_END, 0);
        if (!good)
            break;
        (void)test_cold_drive(life.store, &life.cold, DRIVE);
        for (size_t round = 0; good && round < ROUNDS; round++)
            good = one_round(run, &life, log, round);
        if (n == 0) /* in the middle of a pack */
            good = blockstore_demote(life.store, run->blocks->keys, CRASH_LEAVES) == ERR_OK && good;
        (void)test_cold_drive(life.store, &life.cold, 12);
        close_life(&life, n == 0);
    }
    return good;
}

/* ---- crashed disks ---- */

static bool fail(struct demote_run *run, const char *why, size_t block, bool lost)
{
    (void)snprintf(run->why, sizeof(run->why), "%s (block %zu%s)", why, block, lost ? ", its catalogue lost" : "");
    return false;
}

static bool check_block(struct demote_run *run, struct life *life, size_t i, bool lost)
{
    const struct crash_blocks *b = run->blocks;
    struct test_op t = test_op_for(&b->keys[i]);
    uint64_t size = 0;
    enum err has = blockstore_has(life->store, &b->keys[i], &size, NULL);
    blockstore_get(life->store, &t.op);
    (void)test_cold_drive(life->store, &life->cold, DRIVE);
    bool right = !t.done || t.err != ERR_OK || span_equal(block_ref_span(t.op.ref), span_of(b->bytes[i], b->sizes[i]));
    block_ref_unref(t.op.ref);
    if (!right)
        return fail(run, "wrong bytes were served", i, lost);
    if (run->truth.must_have[i] && (has != ERR_OK || t.err != ERR_OK))
        return fail(run, has != ERR_OK ? "acknowledged block is absent" : "acknowledged block cannot be read", i, lost);
    if (run->truth.must_not_have[i] && has == ERR_OK && !lost)
        return fail(run, "a block that was removed is back", i, lost);
    if ((has == ERR_OK) != (t.err == ERR_OK))
        return fail(run, "a row names a block that is not there", i, lost);
    return true;
}

static bool lose_catalogue(const struct disk_port *port)
{
    enum err err = port->unlink(port->self, "repo/blocks.db");
    (void)port->unlink(port->self, "repo/blocks.db-wal");
    return err == ERR_OK;
}

static bool check(struct demote_run *run, struct sim_disk *disk, uint64_t seed, bool lost)
{
    struct life life;
    if (lost && !lose_catalogue(sim_disk_port(disk)))
        return true; /* there is none yet */
    run->found = false;
    run->damaged = false;
    if (!open_life(run, sim_disk_port(disk), seed % 1000 + 10, &life))
        return false;
    bool good = true;
    (void)test_cold_drive(life.store, &life.cold, DRIVE);
    for (size_t i = 0; good && i < DEMOTED_BLOCKS; i++)
        good = check_block(run, &life, i, lost);
    if (good && !lost && run->found)
        good = fail(run, "a pack that has no row is there", 0, lost);
    if (good && !lost && run->damaged)
        good = fail(run, "something was found damaged", 0, lost);
    close_life(&life, true);
    run->states++;
    return good;
}

static bool survives(struct demote_run *run, const struct sim_disk *disk, uint64_t seed)
{
    static const enum sim_disk_cut cuts[] = {SIM_CUT_DROP, SIM_CUT_PREFIX, SIM_CUT_REORDER};
    bool good = true;
    for (size_t i = 0; good && i < 2 * ARRAY_LEN(cuts); i++) {
        struct sim_disk *copy = sim_disk_clone(disk);
        if (copy == NULL)
            abort();
        sim_disk_skip_syncs(copy, NULL, NULL);
        sim_disk_power_cut(copy, cuts[i / 2], seed + i / 2);
        good = check(run, copy, seed, i % 2 == 1);
        sim_disk_free(copy);
    }
    return good;
}

static bool replay(struct demote_run *run, const struct disk_log *log, uint64_t seed, size_t stride, size_t *ret_at)
{
    struct sim_disk *disk = sim_disk_new(seed, 64 * MIB);
    bool good = disk != NULL;
    if (good)
        sim_disk_skip_syncs(disk, leave_out, run);
    for (size_t i = 0; good && i < disk_log_count(log); i++) {
        const struct disk_entry *e = disk_log_at(log, i);
        *ret_at = i;
        if (e->kind == DISK_ENTRY_MARK)
            crash_truth_note(&run->truth, run->blocks, e->mark, e->value);
        else
            good = disk_entry_apply(e, sim_disk_port(disk)) == ERR_OK || fail(run, "the log does not replay", 0, false);
        run->unlinked = e->kind == DISK_ENTRY_UNLINK;
        bool opening = crash_opening; /* of the log: what is opened below is another store */
        good = good && (i % stride != 0 || survives(run, disk, seed * 1000003 + i * 8));
        crash_opening = opening;
    }
    crash_opening = false;
    sim_disk_free(disk);
    return good;
}

static bool prove(const struct demote_run *run, const struct disk_log *log, uint64_t seed, size_t stride,
                  enum site site)
{
    struct demote_run one = *run; /* what is known before the log is played */
    size_t at = 0;
    one.without = site;
    bool held = replay(&one, log, seed, stride, &at);
    if (site == SITE_NONE)
        (void)printf("%s  demotion: %zu entries, %llu crashed disks %s\n", held ? "green" : "RED  ",
                     disk_log_count(log), (unsigned long long)one.states, one.why);
    else
        (void)printf("%s  without %s: %s\n", held ? "MISSED" : "found ", site_names[site],
                     held ? "nothing was lost" : one.why);
    if (site == SITE_NONE && !held)
        (void)printf("       at entry %zu\n", at);
    return held == (site == SITE_NONE);
}

bool crash_demote(uint64_t seed, size_t stride)
{
    struct crash_blocks *blocks = calloc(1, sizeof(*blocks));
    struct demote_run *run = calloc(1, sizeof(*run));
    struct sim_disk *disk = sim_disk_new(seed, 64 * MIB);
    struct disk_log *log = disk == NULL ? NULL : disk_log_new(sim_disk_port(disk));
    bool good = blocks != NULL && run != NULL && log != NULL;
    if (good) {
        crash_blocks_init(blocks, seed);
        run->blocks = blocks;
        good = record(run, log);
        if (!good)
            (void)printf("RED    demotion: the run itself failed %s\n", run->why);
    }
    for (enum site site = SITE_NONE; good && site < SITE_COUNT; site++)
        good = prove(run, log, seed, stride, site);
    disk_log_free(log);
    sim_disk_free(disk);
    free(run);
    free(blocks);
    return good;
}
