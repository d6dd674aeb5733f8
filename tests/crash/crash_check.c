/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/crash.h"
#include "tests/support/store_driver.h"

static bool fail(char why[CRASH_WHY_BYTES], const char *what, size_t block, const char *when)
{
    (void)snprintf(why, CRASH_WHY_BYTES, "%s (block %zu, %s)", what, block, when);
    return false;
}

static bool check_block(struct blockstore *store, const struct crash_blocks *b, size_t i, bool must, const char *when,
                        char why[CRASH_WHY_BYTES], bool *ret_found)
{
    struct block_ref *ref = NULL;
    uint64_t size = 0;
    enum err has = blockstore_has(store, &b->keys[i], &size, NULL);
    enum err err = test_get(store, &b->keys[i], &ref);
    bool right = err != ERR_OK || span_equal(block_ref_span(ref), span_of(b->bytes[i], b->sizes[i]));
    block_ref_unref(err == ERR_OK ? ref : NULL);
    *ret_found = err == ERR_OK;
    if (!right)
        return fail(why, "wrong bytes were served", i, when);
    if (must && has != ERR_OK)
        return fail(why, "acknowledged block is absent", i, when);
    if (must && err != ERR_OK)
        return fail(why, "acknowledged block cannot be read", i, when);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return fail(why, err_text(err), i, when);
    if ((has == ERR_OK) != (err == ERR_OK))
        return fail(why, "a row names a block that is not there", i, when);
    return true;
}

static bool check_pins(struct blockstore *store, const struct crash_blocks *b, const struct crash_truth *truth,
                       const char *when, char why[CRASH_WHY_BYTES])
{
    struct pin_row pins[CRASH_BLOCKS + 2];
    size_t count = 0;
    enum err err = blockstore_pins(store, (struct span){0}, pins, CRASH_BLOCKS, &count);
    if (err != ERR_OK)
        return fail(why, "pins cannot be listed", 0, when);
    for (size_t i = 0; i < CRASH_BLOCKS; i++) {
        bool pinned = false;
        struct test_change same = test_pin(&b->keys[i], CHANGE_PIN_ADD);
        for (size_t n = 0; n < count && !pinned; n++)
            pinned =
                span_equal(span_of(pins[n].cid, pins[n].cid_len), span_of(same.op.change.cid, same.op.change.cid_len));
        if (truth->must_pin[i] && !pinned)
            return fail(why, "acknowledged pin is gone", i, when);
        if (truth->must_not_pin[i] && pinned)
            return fail(why, "a pin that was dropped is back", i, when);
    }
    return true;
}

static bool check_store(struct blockstore *store, const struct crash_blocks *b, const struct crash_truth *truth,
                        const char *when, char why[CRASH_WHY_BYTES], bool ret_found[CRASH_BLOCKS])
{
    for (size_t i = 0; i < CRASH_BLOCKS; i++) {
        if (!check_block(store, b, i, truth->must_have[i], when, why, &ret_found[i]))
            return false;
        if (truth->must_not_have[i] && ret_found[i])
            return fail(why, "a block that was removed is back", i, when);
    }
    /* Once more: by now the filter is complete, and it must not hide anything. */
    for (size_t i = 0; i < CRASH_BLOCKS; i++) {
        bool found;
        if (!check_block(store, b, i, ret_found[i], when, why, &found))
            return false;
    }
    if (crash_damaged)
        return fail(why, "a block was found damaged", 0, when);
    return check_pins(store, b, truth, when, why);
}

static struct blockstore *open_checked(struct sim_disk *disk, const char *when, char why[CRASH_WHY_BYTES])
{
    struct blockstore *store = NULL;
    char open_why[STORE_WHY_BYTES];
    enum err err = crash_open(sim_disk_port(disk), &store, open_why);
    if (err != ERR_OK) {
        (void)snprintf(why, CRASH_WHY_BYTES, "the store does not open, %s: %.180s", when, open_why);
        return NULL;
    }
    if (crash_damaged) {
        (void)fail(why, "the catalogue is damaged", 0, when);
        blockstore_close(store, true);
        return NULL;
    }
    return store;
}

/* What the pins reach outlives a collection, whatever the crash did to the counts. */
static bool collect_and_check(struct blockstore *store, const struct crash_blocks *b, const struct crash_truth *truth,
                              const char *when, char why[CRASH_WHY_BYTES])
{
    bool kept[CRASH_BLOCKS];
    crash_truth_reach(truth, b, kept);
    if (!crash_collect(store, NULL, NULL))
        return fail(why, "the collection does not end", 0, when);
    for (size_t i = 0; i < CRASH_BLOCKS; i++) {
        uint64_t size = 0;
        if (kept[i] && truth->must_have[i] && blockstore_has(store, &b->keys[i], &size, NULL) != ERR_OK)
            return fail(why, "a block below a pin was collected", i, when);
    }
    return true;
}

static bool open_and_check(struct sim_disk *disk, const struct crash_blocks *b, const struct crash_truth *truth,
                           bool collect, const char *when, char why[CRASH_WHY_BYTES])
{
    bool found[CRASH_BLOCKS];
    struct blockstore *store = open_checked(disk, when, why);
    bool good = store != NULL && check_store(store, b, truth, when, why, found);
    good = good && (!collect || collect_and_check(store, b, truth, when, why));
    blockstore_close(store, true);
    return good;
}

bool crash_check(struct sim_disk *disk, const struct crash_blocks *b, const struct crash_truth *truth, bool again,
                 uint64_t seed, char why[CRASH_WHY_BYTES])
{
    if (!open_and_check(disk, b, truth, !again, "after the cut", why))
        return false;
    if (!again)
        return true;
    sim_disk_power_cut(disk, SIM_CUT_REORDER, seed);
    return open_and_check(disk, b, truth, true, "after a cut right after recovery", why);
}

bool crash_check_kill(struct sim_disk *disk, const struct crash_blocks *b, const struct crash_truth *truth,
                      uint64_t seed, char why[CRASH_WHY_BYTES])
{
    struct crash_truth now = *truth;
    bool found[CRASH_BLOCKS];
    struct blockstore *store = open_checked(disk, "after kill -9", why);
    bool good = store != NULL && check_store(store, b, truth, "after kill -9", why, found);
    for (size_t i = 0; good && i < CRASH_BLOCKS; i++) {
        if (!found[i])
            continue;
        enum err err = test_put(store, &b->keys[i], span_of(b->bytes[i], b->sizes[i]), NULL);
        good = err == ERR_OK || fail(why, "a stored block cannot be put again", i, "after kill -9");
        now.must_have[i] = true;
        now.must_not_have[i] = false;
    }
    blockstore_close(store, true);
    if (!good)
        return false;
    sim_disk_power_cut(disk, seed % 2 == 0 ? SIM_CUT_DROP : SIM_CUT_REORDER, seed);
    return open_and_check(disk, b, &now, true, "after kill -9, a second put and a cut", why);
}
