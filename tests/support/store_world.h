/* SPDX-License-Identifier: MIT */
/*
 * A store with some blocks on a simulated disk, whose time passes as the owner's timer would make it: for the tests of what a store does by
 * itself. Static, because not every test links the storage library.
 */
#ifndef HEARTH_TESTS_SUPPORT_STORE_WORLD_H
#define HEARTH_TESTS_SUPPORT_STORE_WORLD_H

#include "base/limits.h"
#include "base/random.h"
#include "sim/disk.h"
#include "tests/support/storage.h"
#include "tests/support/store_driver.h"

enum { WORLD_BLOCKS = 40, WORLD_BLOCK_BYTES = 2000, WANTED_MAX = 128 };

#define WORLD_REAL (UINT64_C(1700000000) * SECOND_NS)

struct world {
    struct sim_disk *disk;
    struct blockstore *store;
    uint64_t now;
    uint64_t scrub_rate;
    uint64_t storage_max;
    unsigned notices;
    bool fatal;
    bool deaf; /* heal requests are refused */
    uint64_t ids[WANTED_MAX];
    struct block_key wanted[WANTED_MAX];
    size_t wanted_count;
    struct block_key keys[WORLD_BLOCKS];
    uint8_t bytes[WORLD_BLOCKS][WORLD_BLOCK_BYTES];
};

static inline void world_notice(void *arg, bool fatal, const char *text)
{
    struct world *w = arg;
    (void)text;
    w->notices++;
    w->fatal |= fatal;
}

static inline bool world_heal(void *arg, uint64_t id, const struct block_key *key, uint32_t codec)
{
    struct world *w = arg;
    assert_int_equal(codec, 0x55);
    if (w->deaf)
        return false;
    assert_true(w->wanted_count < WANTED_MAX);
    w->ids[w->wanted_count] = id;
    w->wanted[w->wanted_count++] = *key;
    return true;
}

static inline enum err world_open(struct world *w)
{
    char why[STORE_WHY_BYTES];
    struct blockstore_options options = {.port = sim_disk_port(w->disk),
                                         .path = "repo",
                                         .storage_max_bytes = w->storage_max,
                                         .scrub_rate = w->scrub_rate,
                                         .segment_bytes = 16 * KIB,
                                         .allocate_bytes = 4 * KIB,
                                         .cache_kib = 256,
                                         .events = {.arg = w, .heal = world_heal, .notice = world_notice}};
    return blockstore_open(&options, w->now, WORLD_REAL + w->now, &w->store, why);
}

static inline void world_reopen(struct world *w)
{
    blockstore_close(w->store, false);
    assert_int_equal(world_open(w), ERR_OK);
}

static inline void world_put(struct world *w, size_t i)
{
    assert_int_equal(test_put(w->store, &w->keys[i], span_of(w->bytes[i], WORLD_BLOCK_BYTES), NULL), ERR_OK);
}

static inline struct world *world_new(uint64_t scrub_rate)
{
    struct world *w = calloc(1, sizeof(*w));
    struct prng prng;
    w->disk = sim_disk_new(3, 64 * MIB);
    w->scrub_rate = scrub_rate;
    w->storage_max = 32 * MIB;
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(port->make_dir(port->self, "repo"), ERR_OK);
    assert_int_equal(port->sync_dir(port->self, "/"), ERR_OK);
    prng_init(&prng, 3);
    assert_int_equal(world_open(w), ERR_OK);
    for (size_t i = 0; i < WORLD_BLOCKS; i++) {
        prng_fill(&prng, w->bytes[i], WORLD_BLOCK_BYTES);
        test_key(span_of(w->bytes[i], WORLD_BLOCK_BYTES), &w->keys[i]);
        world_put(w, i);
    }
    world_reopen(w); /* all have rows */
    return w;
}

static inline void world_free(struct world *w)
{
    assert_false(w->fatal);
    blockstore_close(w->store, false);
    sim_disk_free(w->disk);
    free(w);
}

/* Time passes as the owner's timer would make it. */
static inline void world_live(struct world *w, uint64_t ns)
{
    uint64_t until = w->now + ns;
    for (;;) {
        test_drive(w->store, 1000);
        uint64_t at = blockstore_wakes_at(w->store);
        if (at > until)
            break;
        w->now = MAX(at, w->now + 1);
        blockstore_tick(w->store, w->now, WORLD_REAL + w->now);
    }
    w->now = until;
    blockstore_tick(w->store, w->now, WORLD_REAL + w->now);
}

static inline size_t world_absent(struct world *w)
{
    size_t absent = 0;
    for (size_t i = 0; i < WORLD_BLOCKS; i++) {
        struct block_ref *ref = NULL;
        enum err err = test_get(w->store, &w->keys[i], &ref);
        assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
        if (err == ERR_OK)
            assert_true(span_equal(block_ref_span(ref), span_of(w->bytes[i], WORLD_BLOCK_BYTES)));
        block_ref_unref(err == ERR_OK ? ref : NULL);
        absent += err != ERR_OK;
    }
    return absent;
}

static inline struct blockstore_stats world_stats(struct world *w)
{
    return blockstore_stats(w->store);
}

#endif
