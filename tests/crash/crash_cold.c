/* SPDX-License-Identifier: MIT */
/* Packs written to a folder and one removed, recorded; the power is cut after each entry of the log, and with each sync left out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/cold_directory.h"
#include "storage/cold_tier.h"
#include "tests/crash/crash.h"

enum { PACKS = 3, BLOCKS_OF_PACK = CRASH_BLOCKS / PACKS, CUTS = SIM_CUT_COUNT + 8 };

enum { MARK_CLAIMED = 1, MARK_PACK, MARK_REMOVING, MARK_REMOVED };

/* The syncs of storage/cold_directory.c. */
enum cold_site { COLD_NONE, COLD_CONTENT, COLD_NAME, COLD_REMOVAL, COLD_SITE_COUNT };

static const char *const site_names[COLD_SITE_COUNT] = {
    [COLD_NONE] = "none left out",
    [COLD_CONTENT] = "cold_directory: fdatasync of an object",
    [COLD_NAME] = "cold_directory: sync of the folder with a new object",
    [COLD_REMOVAL] = "cold_directory: sync of the folder without a removed object",
};

static const uint8_t mark[PACK_MARK_BYTES] = "crash replay....";

struct cold_run {
    const struct crash_blocks *blocks;
    struct cold_place places[CRASH_BLOCKS];
    bool claimed;
    bool written[PACKS + 1]; /* acknowledged; packs are numbered from 1 on */
    bool removing;           /* pack 1 */
    bool removed;
    enum cold_site without;
    uint64_t states;
    char why[CRASH_WHY_BYTES];
};

static bool leave_out(void *arg, const char *path, bool is_folder)
{
    const struct cold_run *run = arg;
    enum cold_site site = !is_folder ? COLD_CONTENT : strcmp(path, "/cold") != 0 ? COLD_NONE : COLD_NAME;
    if (site == COLD_NAME && run->removing && !run->removed)
        site = COLD_REMOVAL;
    return run->without != COLD_NONE && site == run->without;
}

static struct cold_store *store_on(const struct disk_port *port)
{
    struct cold_store *store;
    struct cold_directory_options options = {.port = port, .folder = "/cold"};
    if (cold_directory_new(&options, &store) != ERR_OK)
        abort();
    return store;
}

static struct cold_tier tier_on(struct cold_store *store)
{
    struct cold_tier tier = {.store = store};
    memcpy(tier.mark, mark, sizeof(mark));
    return tier;
}

/* ---- the recorded run ---- */

static bool write_pack(struct cold_run *run, struct cold_tier *tier, uint64_t id)
{
    struct cold_call call = {.deadline_ns = UINT64_MAX};
    struct cold_pack *pack;
    struct pack_tail tail;
    enum err err = cold_pack_begin(tier, &call, id, &pack);
    if (err != ERR_OK)
        return false;
    for (size_t i = (id - 1) * BLOCKS_OF_PACK; err == ERR_OK && i < id * BLOCKS_OF_PACK; i++) {
        struct span block = span_of(run->blocks->bytes[i], run->blocks->sizes[i]);
        err = cold_pack_add(pack, &call, &run->blocks->keys[i], 0x55, block, &run->places[i]);
    }
    if (err == ERR_OK)
        return cold_pack_end(pack, &call, &tail) == ERR_OK;
    cold_pack_abandon(pack, &call);
    return false;
}

static bool record(struct cold_run *run, struct disk_log *log)
{
    const struct disk_port *port = disk_log_port(log);
    struct cold_call call = {.deadline_ns = UINT64_MAX};
    struct cold_store *store = store_on(port);
    struct cold_tier tier = tier_on(store);
    bool good = port->make_dir(port->self, "/cold") == ERR_OK && port->sync_dir(port->self, "/") == ERR_OK &&
                cold_tier_claim(store, &call, mark) == ERR_OK;
    disk_log_mark(log, MARK_CLAIMED, 0);
    for (uint64_t id = 1; good && id <= PACKS; id++) {
        good = write_pack(run, &tier, id);
        disk_log_mark(log, MARK_PACK, id);
        if (id != 2)
            continue;
        disk_log_mark(log, MARK_REMOVING, 1);
        good = good && cold_tier_remove(&tier, &call, 1) == ERR_OK;
        disk_log_mark(log, MARK_REMOVED, 1);
    }
    store->class->free(store);
    return good;
}

/* ---- crashed disks ---- */

static bool fail(struct cold_run *run, const char *why)
{
    (void)snprintf(run->why, sizeof(run->why), "%s", why);
    return false;
}

/* All blocks of a pack that was acknowledged, or that is there under its name. */
static bool check_pack(struct cold_run *run, struct cold_tier *tier, uint64_t id)
{
    struct cold_call call = {.deadline_ns = UINT64_MAX};
    bool must = run->written[id] && !(id == 1 && run->removing);
    enum err err = cold_tier_check(tier, &call, id, NULL);
    if (err == ERR_NOT_FOUND)
        return !must || fail(run, "an acknowledged pack is gone");
    if (err != ERR_OK)
        return fail(run, "what passes for a pack is not whole");
    if (id == 1 && run->removed)
        return fail(run, "a removed pack is back");
    for (size_t i = (id - 1) * BLOCKS_OF_PACK; i < id * BLOCKS_OF_PACK; i++) {
        struct block_ref *ref = NULL;
        err = cold_tier_read(tier, &call, &run->places[i], NULL, &ref);
        block_ref_unref(ref);
        if (err != ERR_OK)
            return fail(run, "a block of a pack cannot be read");
    }
    return true;
}

static bool check(struct cold_run *run, const struct disk_port *port)
{
    struct cold_call call = {.deadline_ns = UINT64_MAX};
    struct cold_store *store = store_on(port);
    struct cold_tier tier = tier_on(store);
    uint64_t swept = 0;
    bool good = cold_tier_ask(&tier, &call) == ERR_OK;
    if (!good)
        good = !run->claimed || fail(run, "the mark of the tier is gone");
    else
        good = cold_tier_sweep(&tier, &call, &swept) == ERR_OK || fail(run, "what a crash left cannot be removed");
    for (uint64_t id = 1; good && run->claimed && id <= PACKS; id++)
        good = check_pack(run, &tier, id);
    store->class->free(store);
    return good;
}

static bool survives(struct cold_run *run, const struct sim_disk *disk, uint64_t seed)
{
    bool good = true;
    for (int i = 0; good && i < CUTS; i++) {
        struct sim_disk *copy = sim_disk_clone(disk);
        if (copy == NULL)
            abort();
        sim_disk_skip_syncs(copy, NULL, NULL);
        sim_disk_power_cut(copy, i < SIM_CUT_COUNT ? (enum sim_disk_cut)i : SIM_CUT_REORDER, seed + (uint64_t)i);
        good = check(run, sim_disk_port(copy));
        sim_disk_free(copy);
        run->states++;
    }
    return good;
}

static void note(struct cold_run *run, const struct disk_entry *entry)
{
    run->claimed = run->claimed || entry->mark == MARK_CLAIMED;
    run->removing = run->removing || entry->mark == MARK_REMOVING;
    run->removed = run->removed || entry->mark == MARK_REMOVED;
    if (entry->mark == MARK_PACK)
        run->written[entry->value] = true;
}

static bool replay(struct cold_run *run, const struct disk_log *log, uint64_t seed)
{
    struct sim_disk *disk = sim_disk_new(seed, 16 * MIB);
    bool good = disk != NULL;
    if (good)
        sim_disk_skip_syncs(disk, leave_out, run);
    for (size_t i = 0; good && i < disk_log_count(log); i++) {
        const struct disk_entry *e = disk_log_at(log, i);
        if (e->kind == DISK_ENTRY_MARK)
            note(run, e);
        else
            good = disk_entry_apply(e, sim_disk_port(disk)) == ERR_OK || fail(run, "the log does not replay");
        good = good && survives(run, disk, seed * 1000003 + i * CUTS);
    }
    sim_disk_free(disk);
    return good;
}

bool crash_cold(uint64_t seed)
{
    struct crash_blocks *blocks = calloc(1, sizeof(*blocks));
    struct cold_run *run = calloc(1, sizeof(*run));
    struct sim_disk *disk = sim_disk_new(seed, 16 * MIB);
    struct disk_log *log = disk == NULL ? NULL : disk_log_new(sim_disk_port(disk));
    bool good = blocks != NULL && run != NULL && log != NULL;
    if (good) {
        crash_blocks_init(blocks, seed);
        run->blocks = blocks;
        good = record(run, log) || fail(run, "the run itself failed");
    }
    for (enum cold_site site = COLD_NONE; good && site < COLD_SITE_COUNT; site++) {
        struct cold_run one = *run; /* what is known before the log is played */
        one.without = site;
        bool held = replay(&one, log, seed);
        good = held == (site == COLD_NONE);
        if (site == COLD_NONE)
            (void)printf("%s  packs of a cold tier: %llu crashed disks %s\n", held ? "green" : "RED  ",
                         (unsigned long long)one.states, one.why);
        else
            (void)printf("%s  without %s: %s\n", good ? "found " : "MISSED", site_names[site],
                         held ? "nothing was lost" : one.why);
    }
    disk_log_free(log);
    sim_disk_free(disk);
    free(run);
    free(blocks);
    return good;
}
