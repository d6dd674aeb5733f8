/* SPDX-License-Identifier: MIT */
/*
 * A store whose media decays: the scrubber finds it, the block is quarantined and wanted back, and storing it anew heals it. Corrupt, cut,
 * swapped and missing segments, each with its expected answer; and a fault at each write and sync on the way.
 */
#include "tests/support/store_world.h"

#include <stdio.h>

#include "storage/healer.h"
#include "storage/scrubber.h"

static size_t block_of(const struct world *w, const struct block_key *key)
{
    size_t i = 0;
    while (i < WORLD_BLOCKS && !block_key_equal(key, &w->keys[i]))
        i++;
    assert_true(i < WORLD_BLOCKS);
    return i;
}

/* Answers all heal requests, with the block when found. */
static void answer(struct world *w, bool found)
{
    while (w->wanted_count > 0) {
        w->wanted_count--;
        if (found)
            world_put(w, block_of(w, &w->wanted[w->wanted_count]));
        blockstore_healed(w->store, w->ids[w->wanted_count]);
        test_drive(w->store, 1000);
    }
}

/* ---- the scrubber ---- */

static void decay_is_found_and_healed(void **state)
{
    (void)state;
    struct world *w = world_new(4000);
    assert_int_equal(sim_disk_damage(w->disk, "repo/segments/0000000000000002.seg", 5000, 0x10), ERR_OK);
    world_live(w, 3600 * SECOND_NS);
    assert_int_equal(world_stats(w).scrub.bad, 1);
    assert_int_equal(world_stats(w).scrub.blocks, WORLD_BLOCKS);
    assert_int_not_equal(world_stats(w).scrub.ended_ns, 0);
    assert_int_equal(world_stats(w).quarantined, 1);
    assert_int_equal(world_stats(w).blocks, WORLD_BLOCKS - 1);
    assert_true(w->wanted_count >= 1);
    answer(w, true);
    world_live(w, 10 * SECOND_NS); /* the row comes with a commit */
    assert_int_equal(world_stats(w).quarantined, 0);
    assert_int_equal(world_absent(w), 0);
    world_free(w);
}

/* A pass of several pages goes on in the next life where it was, and is not begun again before its time. */
static void a_pass_survives_a_restart(void **state)
{
    (void)state;
    struct world *w = world_new(10 * 1000); /* three pages of 256 blocks, of 5 to 60 kB: some seconds each */
    for (uint64_t i = 0; i < 600; i++) {
        struct block_key key = {0};
        test_key(span_of((const uint8_t *)&i, sizeof(i)), &key);
        assert_int_equal(test_put(w->store, &key, span_of((const uint8_t *)&i, sizeof(i)), NULL), ERR_OK);
    }
    world_live(w, SCRUB_START_NS + MS_NS);
    uint64_t blocks = world_stats(w).scrub.blocks;
    assert_int_equal(blocks, STORE_VERIFY_PAGE);
    world_reopen(w);
    assert_int_equal(world_stats(w).scrub.blocks, blocks);
    world_live(w, SCRUB_START_NS + MS_NS);
    assert_int_equal(world_stats(w).scrub.blocks, 2 * STORE_VERIFY_PAGE);
    world_live(w, 3600 * SECOND_NS);
    uint64_t ended = world_stats(w).scrub.ended_ns;
    assert_int_equal(world_stats(w).scrub.blocks, WORLD_BLOCKS + 600);
    assert_int_not_equal(ended, 0);
    world_reopen(w);
    assert_int_equal(world_stats(w).scrub.ended_ns, ended);
    world_live(w, 6 * 24 * 3600 * SECOND_NS);
    assert_int_equal(world_stats(w).scrub.ended_ns, ended);
    world_live(w, 2 * 24 * 3600 * SECOND_NS);
    assert_true(world_stats(w).scrub.ended_ns > ended);
    world_free(w);
}

static void without_a_rate_nothing_is_read(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    world_live(w, 100 * 3600 * SECOND_NS);
    assert_int_equal(world_stats(w).scrub.blocks, 0);
    assert_int_equal(world_stats(w).scrub.ended_ns, 0);
    world_free(w);
}

/* ---- segments that are wrong ---- */

static void damage_corrupt(const struct disk_port *port, struct sim_disk *disk)
{
    (void)port;
    for (uint64_t at = 1000; at < 12 * KIB; at += 2048)
        assert_int_equal(sim_disk_damage(disk, "repo/segments/0000000000000002.seg", at, 0xff), ERR_OK);
}

static void damage_cut(const struct disk_port *port, struct sim_disk *disk)
{
    (void)disk;
    struct disk_file *file;
    assert_int_equal(port->open(port->self, "repo/segments/0000000000000002.seg", DISK_WRITE, &file), ERR_OK);
    assert_int_equal(port->truncate(file, 3000), ERR_OK);
    assert_int_equal(port->fdatasync(file), ERR_OK);
    port->close(file);
}

static void damage_missing(const struct disk_port *port, struct sim_disk *disk)
{
    (void)disk;
    assert_int_equal(port->unlink(port->self, "repo/segments/0000000000000002.seg"), ERR_OK);
}

static void damage_swapped(const struct disk_port *port, struct sim_disk *disk)
{
    (void)disk;
    assert_int_equal(port->rename(port->self, "repo/segments/0000000000000002.seg", "repo/segments/x"), ERR_OK);
    assert_int_equal(
        port->rename(port->self, "repo/segments/0000000000000003.seg", "repo/segments/0000000000000002.seg"), ERR_OK);
    assert_int_equal(port->rename(port->self, "repo/segments/x", "repo/segments/0000000000000003.seg"), ERR_OK);
}

static void wrong_segments_are_quarantined_and_healed(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        void (*damage)(const struct disk_port *port, struct sim_disk *disk);
        size_t least;
        size_t most;
    } cases[] = {
        {"corrupt", damage_corrupt, 5, 7},
        {"cut", damage_cut, 5, 7},
        {"missing", damage_missing, 6, 8},
        {"swapped", damage_swapped, 12, 16},
    };
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct world *w = world_new(0);
        print_message("%s\n", cases[c].what);
        blockstore_close(w->store, false);
        cases[c].damage(sim_disk_port(w->disk), w->disk);
        assert_int_equal(world_open(w), ERR_OK);
        size_t absent = world_absent(w);
        assert_in_range(absent, cases[c].least, cases[c].most);
        world_live(w, SECOND_NS);
        assert_int_equal(world_stats(w).quarantined, absent);
        assert_int_equal(world_stats(w).blocks, WORLD_BLOCKS - absent);
        for (size_t round = 0; round < 10 && world_stats(w).quarantined > 0; round++) {
            answer(w, true);
            world_live(w, SECOND_NS);
        }
        assert_int_equal(world_stats(w).quarantined, 0);
        assert_int_equal(world_absent(w), 0);
        world_reopen(w);
        assert_int_equal(world_absent(w), 0);
        world_free(w);
    }
}

/* ---- a disk that is not mounted ---- */

enum { NAMES_MAX = 16 };

struct names {
    char list[NAMES_MAX][SEGMENT_NAME_MAX];
    size_t count;
};

static void note_name(void *arg, const char *name)
{
    struct names *names = arg;
    assert_true(names->count < NAMES_MAX && strlen(name) < SEGMENT_NAME_MAX);
    (void)snprintf(names->list[names->count++], SEGMENT_NAME_MAX, "%s", name);
}

/* All segments go from one folder to the other. */
static size_t move_segments(struct world *w, const char *from, const char *to)
{
    char old[64];
    char new[64];
    struct names names = {0};
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(port->list(port->self, from, note_name, &names), ERR_OK);
    for (size_t i = 0; i < names.count; i++) {
        (void)snprintf(old, sizeof(old), "%s/%s", from, names.list[i]);
        (void)snprintf(new, sizeof(new), "%s/%s", to, names.list[i]);
        assert_int_equal(port->rename(port->self, old, new), ERR_OK);
    }
    return names.count;
}

static void an_empty_folder_of_segments_is_refused(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(port->make_dir(port->self, "elsewhere"), ERR_OK);
    blockstore_close(w->store, false);
    assert_true(move_segments(w, "repo/segments", "elsewhere") > 1);
    assert_int_equal(world_open(w), ERR_UNAVAILABLE);
    assert_int_equal(world_open(w), ERR_UNAVAILABLE);
    (void)move_segments(w, "elsewhere", "repo/segments");
    assert_int_equal(world_open(w), ERR_OK);
    assert_int_equal(world_absent(w), 0);
    assert_int_equal(world_stats(w).quarantined, 0);
    world_free(w);
}

/* Who has lost them for good says so, and keeps what he noted. */
static void lost_segments_can_be_given_up(void **state)
{
    (void)state;
    struct disk_file *marker;
    struct world *w = world_new(0);
    const struct disk_port *port = sim_disk_port(w->disk);
    assert_int_equal(test_change(w->store, &w->keys[0], CHANGE_PIN_ADD), ERR_OK);
    assert_int_equal(port->make_dir(port->self, "elsewhere"), ERR_OK);
    blockstore_close(w->store, false);
    (void)move_segments(w, "repo/segments", "elsewhere");
    assert_int_equal(port->open(port->self, "repo/blocks.db.rebuild", DISK_WRITE | DISK_CREATE, &marker), ERR_OK);
    port->close(marker);
    assert_int_equal(world_open(w), ERR_OK);
    assert_int_equal(world_stats(w).blocks, 0);
    assert_int_equal(world_stats(w).pins, 1);
    for (size_t i = 0; i < WORLD_BLOCKS; i++)
        world_put(w, i);
    world_reopen(w);
    assert_int_equal(world_absent(w), 0);
    world_free(w);
}

/* ---- healing ---- */

static void damage_one(struct world *w)
{
    struct block_ref *ref = NULL;
    blockstore_close(w->store, false);
    assert_int_equal(sim_disk_damage(w->disk, "repo/segments/0000000000000001.seg", 100, 0x01), ERR_OK);
    assert_int_equal(world_open(w), ERR_OK);
    assert_int_equal(test_get(w->store, &w->keys[0], &ref), ERR_NOT_FOUND);
    test_drive(w->store, 1000);
    assert_int_equal(world_stats(w).quarantined, 1);
}

/* Peers that have it not are asked again, more and more rarely, over restarts. */
static void tries_go_on_over_restarts(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    damage_one(w);
    assert_int_equal(w->wanted_count, 1);
    answer(w, false);
    world_live(w, HEAL_BACKOFF_NS - 5 * SECOND_NS);
    assert_int_equal(w->wanted_count, 0);
    world_reopen(w);
    assert_int_equal(w->wanted_count, 0);
    world_live(w, HEAL_LOOK_NS + 10 * SECOND_NS);
    assert_int_equal(w->wanted_count, 1);
    answer(w, false);
    world_live(w, HEAL_BACKOFF_NS + HEAL_LOOK_NS);
    assert_int_equal(w->wanted_count, 0); /* twice as long now */
    world_live(w, 2 * HEAL_BACKOFF_NS);
    assert_int_equal(w->wanted_count, 1);
    answer(w, true);
    world_live(w, 10 * SECOND_NS);
    assert_int_equal(world_stats(w).quarantined, 0);
    world_free(w);
}

/* What a clock wrote that ran ahead does not hold up healing for as long. */
static void a_clock_that_went_back_holds_up_nothing(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    world_live(w, 2 * HEAL_BACKOFF_MAX_NS);
    damage_one(w);
    answer(w, false);
    blockstore_close(w->store, false);
    w->now = 0;
    assert_int_equal(world_open(w), ERR_OK);
    world_live(w, HEAL_LOOK_NS + 10 * SECOND_NS);
    assert_int_equal(w->wanted_count, 1);
    world_free(w);
}

/* In pages of two each is there once; and a block that is well is not told to be there. */
static void check_quarantine(struct world *w, size_t expected)
{
    struct quarantine_row rows[2];
    struct block_key after = {0};
    struct block_facts facts;
    size_t count = 0;
    size_t seen = 0;
    do {
        assert_int_equal(blockstore_quarantine(w->store, &after, rows, ARRAY_LEN(rows), &count), ERR_OK);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(blockstore_facts(w->store, &rows[i].key, &facts), ERR_OK);
            assert_true(facts.rows.quarantined && !facts.stored);
            after = rows[i].key;
            seen++;
        }
    } while (count == ARRAY_LEN(rows));
    assert_int_equal(seen, expected);
    for (size_t i = 0; i < WORLD_BLOCKS; i++) {
        assert_int_equal(blockstore_facts(w->store, &w->keys[i], &facts), ERR_OK);
        assert_int_not_equal(facts.rows.quarantined, facts.stored);
    }
}

/* All that were in quarantine leave it with the one commit that brings their rows, and no other does. */
static void several_heal_with_one_commit(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    w->deaf = true;
    blockstore_close(w->store, false);
    damage_missing(sim_disk_port(w->disk), w->disk);
    assert_int_equal(world_open(w), ERR_OK);
    size_t absent = world_absent(w);
    assert_true(absent > 3);
    world_live(w, SECOND_NS);
    assert_int_equal(world_stats(w).quarantined, absent);
    check_quarantine(w, absent);
    size_t left = 1;
    for (size_t i = 0; i < WORLD_BLOCKS; i++) {
        uint64_t size = 0;
        if (blockstore_has(w->store, &w->keys[i], &size, NULL) == ERR_NOT_FOUND && left++ < absent)
            world_put(w, i);
    }
    world_live(w, 10 * SECOND_NS);
    assert_int_equal(world_stats(w).quarantined, 1);
    check_quarantine(w, 1);
    assert_int_equal(world_absent(w), 1);
    world_free(w);
}

static void an_owner_that_has_no_room_is_asked_again(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    w->deaf = true;
    damage_one(w);
    assert_int_equal(w->wanted_count, 0);
    w->deaf = false;
    world_live(w, HEAL_LOOK_NS + SECOND_NS);
    assert_int_equal(w->wanted_count, 1);
    world_free(w);
}

static void all_can_be_asked_for_at_once_or_forgotten(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    damage_one(w);
    answer(w, false);
    assert_int_equal(test_change(w->store, &w->keys[0], CHANGE_HEAL_ALL), ERR_OK);
    assert_int_equal(w->wanted_count, 1);
    answer(w, false);
    assert_int_equal(test_change(w->store, &w->keys[0], CHANGE_FORGET_ALL), ERR_OK);
    assert_int_equal(world_stats(w).quarantined, 0);
    world_live(w, HEAL_BACKOFF_MAX_NS);
    assert_int_equal(w->wanted_count, 0);
    world_free(w);
}

struct verification {
    struct store_verify_op op;
    bool done;
    size_t bad;
    enum err first;
};

static void verified(struct store_verify_op *op, enum err err)
{
    struct verification *v = CONTAINER_OF(op, struct verification, op);
    assert_int_equal(err, ERR_OK);
    v->done = true;
    v->bad = op->bad_count;
    v->first = op->bad_count > 0 ? op->bad[0].err : ERR_OK;
}

static struct verification verify(struct world *w)
{
    struct verification v = {.op = {.done = verified}};
    blockstore_verify(w->store, &v.op);
    test_drive(w->store, 1000);
    assert_true(v.done);
    return v;
}

/* A dag-pb block with one link, to block 0 of the world. */
static struct span parent_of_first(const struct world *w, uint8_t to[64])
{
    static const uint8_t head[] = {0x12, 38, 0x0a, 36, 1, 0x55};
    memcpy(to, head, sizeof(head));
    memcpy(to + sizeof(head), w->keys[0].bytes, w->keys[0].len);
    return span_of(to, sizeof(head) + w->keys[0].len);
}

/* Below a pin nothing may be missing, whatever became of it: a verification finds it out, and it is wanted back. */
static void a_held_block_that_is_missing_is_wanted_back(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct block_key key = {0};
    struct world *w = world_new(0);
    struct span parent = parent_of_first(w, bytes);
    test_key(parent, &key);
    assert_int_equal(test_put(w->store, &key, parent, NULL), ERR_OK);
    assert_int_equal(test_change(w->store, &key, CHANGE_PIN_ADD), ERR_OK);
    world_live(w, 10 * SECOND_NS);
    assert_int_equal(verify(w).bad, 0);
    damage_one(w);
    answer(w, false);
    assert_int_equal(test_change(w->store, &w->keys[0], CHANGE_FORGET_ALL), ERR_OK);
    struct verification v = verify(w);
    assert_int_equal(v.bad, 1);
    assert_int_equal(v.first, ERR_UNAVAILABLE);
    assert_int_equal(world_stats(w).quarantined, 1);
    assert_int_equal(verify(w).bad, 0); /* it is known */
    world_live(w, SECOND_NS);
    assert_int_equal(w->wanted_count, 1);
    answer(w, true);
    world_live(w, 10 * SECOND_NS);
    assert_int_equal(world_stats(w).quarantined, 0);
    assert_int_equal(verify(w).bad, 0);
    assert_int_equal(world_absent(w), 0);
    world_free(w);
}

static void a_removed_block_is_not_wanted_back(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    damage_one(w);
    assert_int_equal(test_change(w->store, &w->keys[0], CHANGE_BLOCK_RM), ERR_OK);
    assert_int_equal(world_stats(w).quarantined, 0);
    assert_int_equal(test_change(w->store, &w->keys[0], CHANGE_BLOCK_RM), ERR_NOT_FOUND);
    world_free(w);
}

static void one_that_is_removed_leaves_the_others(void **state)
{
    (void)state;
    struct world *w = world_new(0);
    blockstore_close(w->store, false);
    damage_missing(sim_disk_port(w->disk), w->disk);
    assert_int_equal(world_open(w), ERR_OK);
    size_t absent = world_absent(w);
    world_live(w, SECOND_NS);
    assert_int_equal(world_stats(w).quarantined, absent);
    assert_true(w->wanted_count > 0);
    assert_int_equal(test_change(w->store, &w->wanted[0], CHANGE_BLOCK_RM), ERR_OK);
    assert_int_equal(world_stats(w).quarantined, absent - 1);
    world_free(w);
}

/* Whatever write or sync fails once: the damaged block is never served, and heals in the end. */
static void a_fault_at_each_point_of_quarantine_and_healing(void **state)
{
    (void)state;
    static const enum sim_disk_fault faults[] = {SIM_FAULT_SYNC_IO, SIM_FAULT_WRITE_IO, SIM_FAULT_WRITE_NO_SPACE};
    for (size_t f = 0; f < ARRAY_LEN(faults); f++) {
        for (uint64_t n = 0; n < 25; n++) {
            struct world *w = world_new(0);
            blockstore_close(w->store, false);
            assert_int_equal(sim_disk_damage(w->disk, "repo/segments/0000000000000001.seg", 100, 0x01), ERR_OK);
            assert_int_equal(world_open(w), ERR_OK);
            sim_disk_fail(w->disk, faults[f], n, 1);
            struct block_ref *ref = NULL;
            assert_int_equal(test_get(w->store, &w->keys[0], &ref), ERR_NOT_FOUND);
            for (int round = 0; round < 5; round++) {
                world_live(w, 4 * HEAL_BACKOFF_NS);
                while (w->wanted_count > 0) {
                    size_t i = block_of(w, &w->wanted[--w->wanted_count]);
                    (void)!test_put(w->store, &w->keys[i], span_of(w->bytes[i], WORLD_BLOCK_BYTES), NULL);
                    blockstore_healed(w->store, w->ids[w->wanted_count]);
                }
            }
            world_live(w, 10 * SECOND_NS);
            assert_int_equal(world_stats(w).quarantined, 0);
            assert_int_equal(world_absent(w), 0);
            sim_disk_fail(w->disk, faults[f], 0, 0);
            blockstore_close(w->store, true);
            sim_disk_power_cut(w->disk, SIM_CUT_DROP, n);
            assert_int_equal(world_open(w), ERR_OK);
            assert_int_equal(world_absent(w), 0);
            world_free(w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decay_is_found_and_healed),
        cmocka_unit_test(a_pass_survives_a_restart),
        cmocka_unit_test(without_a_rate_nothing_is_read),
        cmocka_unit_test(an_empty_folder_of_segments_is_refused),
        cmocka_unit_test(lost_segments_can_be_given_up),
        cmocka_unit_test(wrong_segments_are_quarantined_and_healed),
        cmocka_unit_test(tries_go_on_over_restarts),
        cmocka_unit_test(a_clock_that_went_back_holds_up_nothing),
        cmocka_unit_test(several_heal_with_one_commit),
        cmocka_unit_test(an_owner_that_has_no_room_is_asked_again),
        cmocka_unit_test(all_can_be_asked_for_at_once_or_forgotten),
        cmocka_unit_test(a_held_block_that_is_missing_is_wanted_back),
        cmocka_unit_test(a_removed_block_is_not_wanted_back),
        cmocka_unit_test(one_that_is_removed_leaves_the_others),
        cmocka_unit_test(a_fault_at_each_point_of_quarantine_and_healing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
