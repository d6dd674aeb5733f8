/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/durable.h"
#include "tests/crash/crash.h"
#include "tests/support/store_driver.h"

enum { VERSIONS = 4, VERSION_MAX = 3000 };

/* The syncs of storage/durable.c. */
enum file_site { FILE_NONE, FILE_CONTENT, FILE_NAME, FILE_FOLDER, FILE_SITE_COUNT };

static const char *const site_names[FILE_SITE_COUNT] = {
    [FILE_NONE] = "none left out",
    [FILE_CONTENT] = "durable: fdatasync of a file",
    [FILE_NAME] = "durable: sync of a file's folder",
    [FILE_FOLDER] = "durable: sync of a new folder's parent",
};

struct versions {
    uint8_t bytes[VERSIONS][VERSION_MAX];
    size_t sizes[VERSIONS];
};

static bool leave_out(void *arg, const char *path, bool is_folder)
{
    enum file_site site = !is_folder ? FILE_CONTENT : strcmp(path, "/a/b") == 0 ? FILE_NAME : FILE_FOLDER;
    return site == *(const enum file_site *)arg;
}

/* Writes one version after the other; a mark follows each that was acknowledged. */
static bool record(const struct versions *v, struct disk_log *log)
{
    const struct disk_port *port = disk_log_port(log);
    bool good = durable_make_folders(port, "/a/b") == ERR_OK;
    for (size_t i = 0; good && i < VERSIONS; i++) {
        good = durable_write(port, "/a/b", "key", span_of(v->bytes[i], v->sizes[i])) == ERR_OK;
        disk_log_mark(log, (uint32_t)i + 1, 0);
    }
    return good;
}

/* The version that the file has now, from 1 on; 0: there is none, -1: it is none of them. */
static int version_of(const struct versions *v, const struct disk_port *port)
{
    uint8_t bytes[VERSION_MAX + 1];
    size_t len = 0;
    struct disk_file *file;
    enum err err = port->open(port->self, "/a/b/key", DISK_READ, &file);
    if (err != ERR_OK)
        return err == ERR_NOT_FOUND ? 0 : -1;
    err = port->pread(file, bytes, sizeof(bytes), 0, &len);
    port->close(file);
    for (size_t i = 0; err == ERR_OK && i < VERSIONS; i++) {
        if (span_equal(span_of(bytes, len), span_of(v->bytes[i], v->sizes[i])))
            return (int)i + 1;
    }
    return -1;
}

/* True when each way to crash here leaves the file whole, and no older than what was acknowledged. */
static bool survives(const struct versions *v, const struct sim_disk *disk, int acknowledged, uint64_t seed)
{
    bool good = true;
    for (int how = 0; good && how < SIM_CUT_COUNT; how++) {
        struct sim_disk *copy = sim_disk_clone(disk);
        if (copy == NULL)
            abort();
        sim_disk_power_cut(copy, (enum sim_disk_cut)how, seed + (uint64_t)how);
        int found = version_of(v, sim_disk_port(copy));
        good = found >= acknowledged && found <= acknowledged + 1;
        sim_disk_free(copy);
    }
    return good;
}

static bool replay(const struct versions *v, const struct disk_log *log, enum file_site without, uint64_t seed)
{
    struct sim_disk *disk = sim_disk_new(seed, MIB);
    int acknowledged = 0;
    bool good = disk != NULL;
    if (good)
        sim_disk_skip_syncs(disk, leave_out, &without);
    for (size_t i = 0; good && i < disk_log_count(log); i++) {
        const struct disk_entry *e = disk_log_at(log, i);
        if (e->kind == DISK_ENTRY_MARK)
            acknowledged = (int)e->mark;
        else
            good = disk_entry_apply(e, sim_disk_port(disk)) == ERR_OK;
        good = good && survives(v, disk, acknowledged, seed * 1000003 + i * SIM_CUT_COUNT);
    }
    sim_disk_free(disk);
    return good;
}

static bool prove_files(uint64_t seed)
{
    struct versions *v = calloc(1, sizeof(*v));
    struct sim_disk *disk = sim_disk_new(seed, MIB);
    struct disk_log *log = disk == NULL ? NULL : disk_log_new(sim_disk_port(disk));
    struct prng prng;
    bool good = v != NULL && log != NULL;
    prng_init(&prng, seed);
    for (size_t i = 0; good && i < VERSIONS; i++) {
        v->sizes[i] = 1 + (size_t)prng_below(&prng, VERSION_MAX);
        prng_fill(&prng, v->bytes[i], v->sizes[i]);
    }
    good = good && record(v, log) && replay(v, log, FILE_NONE, seed);
    (void)printf("%s  the repository's own files and folders\n", good ? "green" : "RED  ");
    for (enum file_site site = FILE_CONTENT; good && site < FILE_SITE_COUNT; site++) {
        bool found = !replay(v, log, site, seed);
        (void)printf("%s  without %s\n", found ? "found " : "MISSED", site_names[site]);
        good = found;
    }
    disk_log_free(log);
    sim_disk_free(disk);
    free(v);
    return good;
}

/* `diag healthy` writes to the store: a disk that takes writes but cannot sync them is not healthy. */
static bool prove_probe(uint64_t seed)
{
    char why[STORE_WHY_BYTES];
    struct blockstore *store = NULL;
    struct sim_disk *disk = sim_disk_new(seed, 16 * MIB);
    struct test_op well = {.op = {.done = test_op_done}};
    struct test_op ill = well;
    bool good = disk != NULL && crash_open(sim_disk_port(disk), &store, why) == ERR_OK;
    if (good) {
        blockstore_probe(store, &well.op);
        test_drive(store, 100);
        sim_disk_fail(disk, SIM_FAULT_SYNC_IO, 0, 1);
        blockstore_probe(store, &ill.op);
        test_drive(store, 100);
        good = well.done && well.err == ERR_OK && ill.done && ill.err == ERR_IO;
    }
    blockstore_close(store, true);
    sim_disk_free(disk);
    (void)printf("%s  the health check tells of a sync that fails\n", good ? "green" : "RED  ");
    return good;
}

bool crash_files(uint64_t seed)
{
    bool files = prove_files(seed);
    return prove_probe(seed) && files;
}
