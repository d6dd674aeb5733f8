/* SPDX-License-Identifier: MIT */
/*
 * Removed blocks give their space back: the policy alone, then a store on a simulated disk that is emptied, full, damaged, read at the same
 * time, and whose writes and syncs fail in turn with a power cut behind.
 */
#include "tests/support/store_world.h"

#include <stdio.h>

#include "storage/compactor.h"
#include "storage/scrubber.h"

/* ---- the policy ---- */

static void the_deadest_goes_first_from_half_dead_on(void **state)
{
    (void)state;
    struct compactor c = {0};
    struct segment_use half[] = {{.segment = 3, .bytes = 1000, .live = 500},
                                 {.segment = 1, .bytes = 1000, .live = 900}};
    struct segment_use more[] = {{.segment = 3, .bytes = 1000, .live = 501},
                                 {.segment = 1, .bytes = 1000, .live = 900}};
    struct segment_use dead[] = {{.segment = 7, .bytes = 1000, .live = 0}};
    assert_false(compactor_choose(&c, more, 2, 5, false));
    assert_true(compactor_due(&c) == UINT64_MAX); /* sleeps */
    compactor_look(&c, 5);
    assert_int_equal(compactor_due(&c), 5 + SECOND_NS);
    assert_true(compactor_choose(&c, more, 2, 5, true)); /* near the limit less is enough */
    assert_int_equal(c.victim.segment, 3);
    c = (struct compactor){0};
    assert_true(compactor_choose(&c, half, 2, 5, false));
    assert_int_equal(c.phase, COMPACT_READ);
    c = (struct compactor){0};
    assert_true(compactor_choose(&c, dead, 1, 5, false));
    assert_int_equal(c.phase, COMPACT_DROP); /* nothing to copy */
}

static void what_cannot_be_emptied_is_left_alone_for_a_while(void **state)
{
    (void)state;
    struct compactor c = {0};
    struct segment_use both[] = {{.segment = 3, .bytes = 1000, .live = 100},
                                 {.segment = 4, .bytes = 1000, .live = 200}};
    assert_true(compactor_choose(&c, both, 2, 5, false));
    compactor_stuck(&c, 5);
    assert_true(compactor_choose(&c, both, 2, 5, false));
    assert_int_equal(c.victim.segment, 4);
    compactor_stuck(&c, 5);
    assert_false(compactor_choose(&c, both, 2, 5, false));
    assert_int_equal(compactor_due(&c), 5 + COMPACT_STUCK_NS);
    assert_true(compactor_choose(&c, both, 2, 5 + COMPACT_STUCK_NS, false));
}

static void an_open_segment_is_sealed_when_it_is_worth_it(void **state)
{
    (void)state;
    struct compactor c = {0};
    struct segment_use small = {.segment = 3, .bytes = COMPACT_SEAL_BYTES - 1};
    struct segment_use live = {.segment = 3, .bytes = 2 * COMPACT_SEAL_BYTES, .live = 2 * COMPACT_SEAL_BYTES - 8};
    struct segment_use dead = {.segment = 3, .bytes = COMPACT_SEAL_BYTES, .live = 8};
    assert_false(compactor_choose_open(&c, &small, 1, false));
    assert_false(compactor_choose_open(&c, &live, 1, true));
    assert_true(compactor_choose_open(&c, &dead, 1, false));
    assert_int_equal(c.phase, COMPACT_SEAL);
}

static void steps_are_paid_for_and_wait_for_a_busy_store(void **state)
{
    (void)state;
    struct compactor c = {.phase = COMPACT_READ};
    compactor_paid(&c, COMPACT_RATE, 0);
    assert_int_equal(compactor_due(&c), SECOND_NS);
    assert_false(compactor_is_due(&c, SECOND_NS - 1, false, false));
    assert_true(compactor_is_due(&c, SECOND_NS, false, false));
    assert_false(compactor_is_due(&c, SECOND_NS, true, false));
    assert_true(compactor_is_due(&c, SECOND_NS + COMPACT_PATIENCE_NS, true, false));
    assert_true(compactor_is_due(&c, 0, true, true));
}

/* ---- a store ---- */

static void rm(struct world *w, size_t i)
{
    assert_int_equal(test_change(w->store, &w->keys[i], CHANGE_BLOCK_RM), ERR_OK);
}

static uint64_t segment_files(struct world *w, uint64_t up_to)
{
    char path[64];
    uint64_t count = 0;
    const struct disk_port *port = sim_disk_port(w->disk);
    for (uint64_t id = 1; id <= up_to; id++) {
        (void)snprintf(path, sizeof(path), "repo/segments/%016llx.seg", (unsigned long long)id);
        count += port->exists(port->self, path) == ERR_OK;
    }
    return count;
}

static void space_of_removed_blocks_comes_back(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    uint64_t before = world_stats(w).disk_bytes;
    for (size_t i = 0; i < WORLD_BLOCKS; i++) {
        if (i % 4 != 0)
            rm(w, i);
    }
    world_live(w, 600 * SECOND_NS);
    assert_true(world_stats(w).disk_bytes < before / 2);
    assert_true(segment_files(w, 5) <= 1); /* the one that was appended to when all began */
    assert_int_equal(world_absent(w), WORLD_BLOCKS * 3 / 4);
    world_reopen(w);
    assert_int_equal(world_absent(w), WORLD_BLOCKS * 3 / 4);
    assert_true(world_stats(w).disk_bytes < before / 2);
    for (size_t i = 0; i < WORLD_BLOCKS; i++)
        world_put(w, i);
    assert_int_equal(world_absent(w), 0);
    world_free(w);
}

static void dead_segments_just_go(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    for (size_t i = 0; i < WORLD_BLOCKS; i++)
        rm(w, i);
    world_live(w, 600 * SECOND_NS);
    assert_true(world_stats(w).disk_bytes <= 16 * KIB);
    assert_true(segment_files(w, 20) <= 1);
    world_free(w);
}

struct collecting {
    struct store_collect_op op;
    bool ended;
    uint64_t gone;
};

static void page_collected(struct store_collect_op *op, enum err err)
{
    struct collecting *c = CONTAINER_OF(op, struct collecting, op);
    assert_int_equal(err, ERR_OK);
    assert_int_equal(op->after.len, 0); /* all are in one page */
    c->gone += op->gone_count;
    c->ended = true;
}

/* Up to three jobs have run and wait for their end to be noticed, in any order, as those of three lanes do. */
static void overlap(struct world *w, struct prng *prng, const struct collecting *c)
{
    struct store_job *jobs[3];
    enum err errs[3];
    size_t count = 0;
    for (size_t steps = 0; (!c->ended || count > 0) && steps < 10000; steps++) {
        struct store_job *job = count < 3 && prng_below(prng, 3) > 0 ? blockstore_next_job(w->store) : NULL;
        if (job != NULL) {
            errs[count] = store_job_run(job);
            jobs[count++] = job;
        } else if (count > 0) {
            size_t i = (size_t)prng_below(prng, count);
            blockstore_job_done(w->store, jobs[i], errs[i]);
            jobs[i] = jobs[--count];
            errs[i] = errs[count];
        }
        w->now += SECOND_NS / 10;
        blockstore_tick(w->store, w->now, WORLD_REAL + w->now);
    }
}

/* A row that was moved after the collection had found it would stay until the next one. */
static void a_collection_beside_it_takes_all(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 17);
    for (int round = 0; round < 200; round++) {
        struct world *w = world_new(0);
        struct collecting c = {.op = {.done = page_collected}};
        struct test_change removals[WORLD_BLOCKS / 2];
        for (size_t i = 0; i < WORLD_BLOCKS / 2; i++) {
            removals[i] = (struct test_change){.op = {.done = test_change_done}};
            removals[i].op.change = (struct catalogue_change){.kind = CHANGE_BLOCK_RM, .key = w->keys[2 * i]};
            blockstore_change(w->store, &removals[i].op);
        }
        blockstore_collect(w->store, &c.op);
        overlap(w, &prng, &c);
        assert_true(c.ended);
        assert_int_equal(c.gone, WORLD_BLOCKS / 2);
        assert_int_equal(world_absent(w), WORLD_BLOCKS);
        world_free(w);
    }
}

/* A full store gets smaller, though compaction itself writes. */
static void it_works_at_the_quota(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    blockstore_close(w->store, false);
    w->storage_max = 84 * 1000;
    assert_int_equal(world_open(w), ERR_OK);
    static const uint8_t other[4000] = {1};
    struct block_key key = {0};
    test_key(span_of(other, sizeof(other)), &key);
    assert_int_equal(test_put(w->store, &key, span_of(other, sizeof(other)), NULL), ERR_NO_SPACE);
    for (size_t i = 0; i < WORLD_BLOCKS; i += 3)
        rm(w, i);
    assert_int_equal(test_put(w->store, &key, span_of(other, sizeof(other)), NULL), ERR_BUSY); /* room is being made */
    world_live(w, 600 * SECOND_NS);
    assert_int_equal(test_put(w->store, &key, span_of(other, sizeof(other)), NULL), ERR_OK);
    assert_int_equal(world_absent(w), (WORLD_BLOCKS + 2) / 3);
    world_free(w);
}

/* A damaged record is not copied, and its segment stays until the scrubber has taken its row away. */
static void damage_is_not_carried_along(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    blockstore_close(w->store, false);
    assert_int_equal(sim_disk_damage(w->disk, "repo/segments/0000000000000002.seg", 500, 0x10), ERR_OK);
    assert_int_equal(world_open(w), ERR_OK);
    for (size_t i = 0; i < WORLD_BLOCKS; i++) {
        if (i % 8 != 0)
            rm(w, i);
    }
    world_live(w, 600 * SECOND_NS);
    size_t absent = world_absent(w); /* reads find what is damaged */
    assert_in_range(absent, WORLD_BLOCKS * 7 / 8, WORLD_BLOCKS * 7 / 8 + 1);
    world_live(w, 2 * COMPACT_STUCK_NS);
    assert_int_equal(world_absent(w), absent);
    assert_true(segment_files(w, 4) <= 1);
    world_free(w);
}

/* The read was made before its block moved and its file went. */
static void a_read_under_way_finds_the_block(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    struct test_op op = test_op_for(&w->keys[0]);
    blockstore_get(w->store, &op.op);
    struct store_job *job = blockstore_next_job(w->store);
    assert_non_null(job);
    for (size_t i = 1; i < WORLD_BLOCKS; i++)
        rm(w, i);
    world_live(w, 600 * SECOND_NS);
    assert_int_equal(segment_files(w, 1), 0);
    assert_false(op.done);
    blockstore_job_done(w->store, job, store_job_run(job));
    test_drive(w->store, 100);
    assert_true(op.done);
    assert_int_equal(op.err, ERR_OK);
    assert_true(span_equal(block_ref_span(op.op.ref), span_of(w->bytes[0], WORLD_BLOCK_BYTES)));
    block_ref_unref(op.op.ref);
    world_live(w, SECOND_NS);
    assert_int_equal(world_stats(w).quarantined, 0);
    world_free(w);
}

/* Each write and sync fails once; then the power goes. What was not removed is there, what was is not back. */
static void a_fault_at_each_point_loses_nothing(void **state)
{
    (void)state;
    static const enum sim_disk_fault faults[] = {SIM_FAULT_SYNC_IO, SIM_FAULT_WRITE_IO, SIM_FAULT_WRITE_NO_SPACE,
                                                 SIM_FAULT_READ_IO};
    for (size_t f = 0; f < ARRAY_LEN(faults); f++) {
        for (uint64_t n = 0; n < 30; n++) {
            struct world *w = world_new(0);
            for (size_t i = 0; i < WORLD_BLOCKS; i++) {
                if (i % 4 != 0)
                    rm(w, i);
            }
            sim_disk_fail(w->disk, faults[f], n, 1);
            world_live(w, 20 * SECOND_NS);
            assert_false(w->fatal);
            sim_disk_fail(w->disk, faults[f], 0, 0);
            blockstore_close(w->store, true);
            sim_disk_power_cut(w->disk, (enum sim_disk_cut)(n % SIM_CUT_COUNT), n);
            assert_int_equal(world_open(w), ERR_OK);
            assert_int_equal(world_absent(w), WORLD_BLOCKS * 3 / 4);
            world_live(w, 2 * COMPACT_STUCK_NS);
            assert_int_equal(world_absent(w), WORLD_BLOCKS * 3 / 4);
            assert_true(segment_files(w, 5) <= 1);
            world_free(w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_deadest_goes_first_from_half_dead_on),
        cmocka_unit_test(what_cannot_be_emptied_is_left_alone_for_a_while),
        cmocka_unit_test(an_open_segment_is_sealed_when_it_is_worth_it),
        cmocka_unit_test(steps_are_paid_for_and_wait_for_a_busy_store),
        cmocka_unit_test(space_of_removed_blocks_comes_back),
        cmocka_unit_test(dead_segments_just_go),
        cmocka_unit_test(a_collection_beside_it_takes_all),
        cmocka_unit_test(it_works_at_the_quota),
        cmocka_unit_test(damage_is_not_carried_along),
        cmocka_unit_test(a_read_under_way_finds_the_block),
        cmocka_unit_test(a_fault_at_each_point_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
