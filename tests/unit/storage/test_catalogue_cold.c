/* SPDX-License-Identifier: MIT */
/* The catalogue's rules for blocks in packs: which rows a pack that is whole gives, which it repoints, and which hot ones may go. */
#include "tests/support/storage.h"

#include <stdlib.h>
#include <string.h>

#include "sim/disk.h"
#include "storage/catalogue_reader.h"
#include "storage/sqlite_vfs.h"
#include "wire/cid.h"

enum { BLOCKS = 4, BLOCK_BYTES = 1000, STORED = 900 };

struct world {
    struct sim_disk *disk;
    struct sqlite_vfs *vfs;
    struct catalogue *c;
    struct catalogue_reader *r;
    struct block_place places[BLOCKS];
    uint64_t now;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->disk = sim_disk_new(1, 16 * MIB);
    w->now = SECOND_NS;
    assert_int_equal(sqlite_vfs_open(sim_disk_port(w->disk), &w->vfs), ERR_OK);
    struct catalogue_options options = {.path = "c.db", .vfs = sqlite_vfs_name(w->vfs), .cache_kib = 256, .seed = 1};
    assert_int_equal(catalogue_open(&options, &w->c, NULL), ERR_OK);
    assert_int_equal(catalogue_restored(w->c), ERR_OK);
    assert_int_equal(catalogue_reader_open(&options, &w->r), ERR_OK);
    for (size_t i = 0; i < BLOCKS; i++) {
        w->places[i] = (struct block_place){
            .codec = CODEC_DAG_PB, .size = BLOCK_BYTES, .segment = 1, .offset = 4096 + i * 2 * BLOCK_BYTES};
        test_key(span_of(&i, sizeof(i)), &w->places[i].key);
    }
    struct block_place places[BLOCKS];
    memcpy(places, w->places, sizeof(places));
    struct segment_checkpoint cp = {.segment = 1, .offset = 64 * KIB, .state = SEGMENT_OPEN};
    struct catalogue_batch batch = {.places = places, .place_count = BLOCKS, .checkpoints = &cp, .checkpoint_count = 1};
    assert_int_equal(catalogue_commit(w->c, &batch, NULL), ERR_OK);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    catalogue_reader_close(w->r);
    catalogue_close(w->c);
    sqlite_vfs_close(w->vfs);
    sim_disk_free(w->disk);
    free(w);
    return 0;
}

static enum err commit(struct world *w, enum change_of kind, struct cold_change *cold)
{
    struct catalogue_change change = {.kind = kind, .cold = cold};
    struct catalogue_batch batch = {.changes = &change, .real_now_ns = w->now};
    assert_int_equal(catalogue_commit(w->c, &batch, NULL), ERR_OK);
    return change.err;
}

static struct cold_entry entry_of(const struct world *w, size_t i, uint64_t pack, uint32_t offset)
{
    return (struct cold_entry){.place = {.key = w->places[i].key,
                                         .codec = w->places[i].codec,
                                         .size = BLOCK_BYTES,
                                         .pack = pack,
                                         .offset = offset,
                                         .stored = STORED}};
}

/* The pack becomes whole with one block. Whether that got its row. */
static bool pack_one(struct world *w, uint64_t pack, struct cold_entry *entry)
{
    struct cold_change cold = {.pack = pack, .bytes = 2000, .records = 1, .entries = entry, .count = 1};
    assert_int_equal(commit(w, CHANGE_PACK_NEW, &cold), ERR_OK);
    assert_int_equal(commit(w, CHANGE_PACK_WHOLE, &cold), ERR_OK);
    return entry->done;
}

static bool leaves(struct world *w, size_t i)
{
    struct cold_entry entry = entry_of(w, i, 0, 0);
    struct cold_change cold = {.entries = &entry, .count = 1};
    struct block_place place;
    assert_int_equal(commit(w, CHANGE_HOT_RM, &cold), ERR_OK);
    enum err err = catalogue_find(w->r, &w->places[i].key, &place);
    assert_int_equal(err, entry.done ? ERR_NOT_FOUND : ERR_OK);
    return entry.done;
}

static void set_state(struct world *w, uint64_t pack, enum pack_state state)
{
    struct cold_change cold = {.pack = pack, .state = state};
    assert_int_equal(commit(w, CHANGE_PACK_STATE, &cold), ERR_OK);
}

static uint64_t pack_of(struct world *w, size_t i)
{
    struct cold_place place;
    enum err err = catalogue_find_cold(w->r, &w->places[i].key, &place);
    assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
    return err == ERR_OK ? place.pack : 0;
}

static uint64_t live(struct world *w, uint64_t pack)
{
    struct pack_row row;
    assert_int_equal(catalogue_pack(w->r, pack, &row), ERR_OK);
    return row.live;
}

/* ---- what may go ---- */

static enum err load_nothing(void *arg, const struct block_place *place, struct block_ref **ret_ref)
{
    (void)arg;
    (void)place;
    (void)ret_ref;
    return ERR_CORRUPT;
}

static void pin(struct world *w, size_t i)
{
    struct cid cid = {.codec = CODEC_DAG_PB, .version = 1};
    struct catalogue_change change = {.kind = CHANGE_PIN_ADD, .key = w->places[i].key, .recursive = true};
    assert_int_equal(multihash_parse(block_key_span(&change.key), &cid.hash), ERR_OK);
    change.cid_len = (uint8_t)cid_encode(&cid, change.cid);
    struct catalogue_batch batch = {.changes = &change, .real_now_ns = SECOND_NS};
    struct catalogue_info info;
    assert_int_equal(catalogue_commit(w->c, &batch, &info), ERR_OK);
    assert_int_equal(change.err, ERR_OK);
    while (info.counting)
        assert_int_equal(catalogue_count(w->c, load_nothing, NULL, &info), ERR_OK);
}

/* It was asked for before it was counted that a pin needs its links. */
static void a_node_that_is_held_does_not_leave(void **state)
{
    struct world *w = *state;
    struct cold_entry held = entry_of(w, 0, 7, 32);
    struct cold_entry other = entry_of(w, 1, 8, 32);
    assert_true(pack_one(w, 7, &held));
    assert_true(pack_one(w, 8, &other));
    pin(w, 0);
    assert_false(leaves(w, 0));
    assert_true(leaves(w, 1));
    assert_false(leaves(w, 2)); /* in no pack at all */
}

static void a_copy_counts_only_while_its_pack_is_whole(void **state)
{
    struct world *w = *state;
    struct cold_entry entry = entry_of(w, 0, 7, 32);
    struct cold_entry again = entry_of(w, 0, 8, 64);
    struct cold_entry once_more = entry_of(w, 0, 9, 96);
    bool counts = false;
    assert_true(pack_one(w, 7, &entry));
    set_state(w, 7, PACK_DAMAGED);
    assert_int_equal(catalogue_cold_counts(w->r, &w->places[0].key, &counts), ERR_OK);
    assert_false(counts);
    assert_false(leaves(w, 0));
    assert_true(pack_one(w, 8, &again)); /* the row is made anew */
    assert_int_equal(pack_of(w, 0), 8);
    assert_int_equal(live(w, 7), 0);
    assert_int_equal(live(w, 8), pack_record_bytes(&again.place));
    assert_int_equal(catalogue_info(w->c).cold_blocks, 1);
    assert_int_equal(catalogue_info(w->c).cold_bytes, BLOCK_BYTES);
    assert_int_equal(catalogue_cold_counts(w->r, &w->places[0].key, &counts), ERR_OK);
    assert_true(counts);
    assert_false(pack_one(w, 9, &once_more)); /* one in a whole pack stays */
    assert_int_equal(pack_of(w, 0), 8);
    assert_int_equal(live(w, 9), 0);
    assert_true(leaves(w, 0));
}

/* ---- what is repointed ---- */

static void a_check_notes_when_and_that_a_pack_is_damaged(void **state)
{
    struct world *w = *state;
    struct cold_entry entry = entry_of(w, 0, 7, 32);
    struct cold_change cold = {.pack = 7, .state = PACK_WHOLE};
    struct pack_row row;
    assert_true(pack_one(w, 7, &entry)); /* all at second 1 */
    assert_int_equal(catalogue_unchecked_pack(w->r, SECOND_NS, &row), ERR_NOT_FOUND);
    assert_int_equal(catalogue_unchecked_pack(w->r, 2 * SECOND_NS, &row), ERR_OK);
    assert_int_equal(row.pack, 7);
    w->now = 5 * SECOND_NS;
    assert_int_equal(commit(w, CHANGE_PACK_CHECKED, &cold), ERR_OK);
    assert_int_equal(catalogue_unchecked_pack(w->r, 5 * SECOND_NS, &row), ERR_NOT_FOUND);
    assert_int_equal(catalogue_unchecked_pack(w->r, 6 * SECOND_NS, &row), ERR_OK);
    cold.state = PACK_DAMAGED;
    assert_int_equal(commit(w, CHANGE_PACK_CHECKED, &cold), ERR_OK);
    cold.state = PACK_WHOLE; /* it is not believed any more */
    assert_int_equal(commit(w, CHANGE_PACK_CHECKED, &cold), ERR_OK);
    assert_int_equal(catalogue_pack(w->r, 7, &row), ERR_OK);
    assert_int_equal(row.state, PACK_DAMAGED);
    cold.pack = 77;
    assert_int_equal(commit(w, CHANGE_PACK_CHECKED, &cold), ERR_NOT_FOUND);
}

static void only_what_is_at_its_old_place_is_moved(void **state)
{
    struct world *w = *state;
    struct cold_entry entry = entry_of(w, 0, 7, 32);
    struct cold_entry of_another_pack = entry_of(w, 0, 8, 64);
    struct cold_entry from_elsewhere = entry_of(w, 0, 9, 64);
    struct cold_entry moved = entry_of(w, 0, 10, 64);
    assert_true(pack_one(w, 7, &entry));
    of_another_pack.old_pack = 6;
    of_another_pack.old_offset = 32;
    assert_false(pack_one(w, 8, &of_another_pack));
    from_elsewhere.old_pack = 7;
    from_elsewhere.old_offset = 33;
    assert_false(pack_one(w, 9, &from_elsewhere));
    assert_int_equal(pack_of(w, 0), 7);
    moved.old_pack = 7;
    moved.old_offset = 32;
    assert_true(pack_one(w, 10, &moved));
    assert_int_equal(pack_of(w, 0), 10);
    assert_int_equal(live(w, 7), 0);
    assert_int_equal(live(w, 10), pack_record_bytes(&moved.place));
}

/* ---- what is gone ---- */

static void packs_between_two_that_are_listed_are_lost(void **state)
{
    struct world *w = *state;
    struct pack_row row;
    for (size_t i = 0; i < BLOCKS; i++) {
        struct cold_entry entry = entry_of(w, i, 10 + i, 32);
        assert_true(pack_one(w, 10 + i, &entry));
    }
    assert_int_equal(catalogue_packs_between(w->r, 10, 11, &row), ERR_NOT_FOUND);
    assert_int_equal(catalogue_packs_between(w->r, 10, 13, &row), ERR_OK);
    assert_int_equal(row.pack, 11);
    struct cold_change cold = {.pack = 10, .before = 13};
    assert_int_equal(commit(w, CHANGE_PACKS_LOST, &cold), ERR_OK);
    assert_int_equal(cold.records, 2);
    for (uint64_t pack = 10; pack < 14; pack++) {
        assert_int_equal(catalogue_pack(w->r, pack, &row), ERR_OK);
        assert_int_equal(row.state, pack == 10 || pack == 13 ? PACK_WHOLE : PACK_DAMAGED);
    }
    assert_int_equal(catalogue_packs_between(w->r, 10, 13, &row), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_node_that_is_held_does_not_leave, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_copy_counts_only_while_its_pack_is_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_check_notes_when_and_that_a_pack_is_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_what_is_at_its_old_place_is_moved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(packs_between_two_that_are_listed_are_lost, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
