/* SPDX-License-Identifier: MIT */
/* The medium of a cold tier as the store sees it: away, another's, empty, and found again by a catalogue that is new or old. */
#include "tests/support/cold_world.h"

/* ---- the medium ---- */

static void a_medium_that_is_away_hides_nothing(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 6);
    w->cold.away = true;
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
    assert_true(is_in(w, 0, "cold"));
    assert_int_equal(stats(w).quarantined, 0);
    assert_false(stats(w).cold_up);
    restart(w, false);
    assert_true(is_in(w, 0, "cold"));
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE); /* at once: it is known not to be there */
    assert_int_equal(change(w, 1, CHANGE_BLOCK_RM), ERR_OK);
    assert_true(is_in(w, 1, "none"));
    w->cold.away = false;
    pass(w, 70 * SECOND_NS);
    assert_true(stats(w).cold_up);
    assert_int_equal(get(w, 0), ERR_OK);
    assert_int_equal(stats(w).quarantined, 0);
}

static uint64_t size_if(struct world *w, size_t i, bool readable)
{
    uint64_t size_plus_1 = 0;
    blockstore_has_many(w->store, &w->keys[i], 1, readable, &size_plus_1);
    return size_plus_1;
}

static void what_cannot_be_read_is_not_promised(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 2);
    assert_int_equal(size_if(w, 0, true), w->sizes[0] + 1);
    w->cold.away = true;
    assert_int_equal(get(w, 1), ERR_UNAVAILABLE);
    assert_int_equal(size_if(w, 0, true), 0);
    assert_int_equal(size_if(w, 0, false), w->sizes[0] + 1);
    assert_int_equal(size_if(w, 5, true), w->sizes[5] + 1); /* on the disk */
    restart(w, false);
    assert_int_equal(size_if(w, 0, true), 0);
    w->cold.away = false;
    pass(w, 70 * SECOND_NS);
    assert_int_equal(size_if(w, 0, true), w->sizes[0] + 1);
    w->without = true;
    restart(w, false);
    assert_int_equal(size_if(w, 0, true), 0);
}

static void a_medium_that_failed_one_read_is_asked_again(void **state)
{
    struct world *w = *state;
    put_all(w);
    demote(w, 0, 2);
    w->cold.away = true;
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
    w->cold.away = false;
    assert_true(blockstore_wakes_at(w->store) <= w->now + 70 * SECOND_NS);
    pass(w, 70 * SECOND_NS);
    assert_true(stats(w).cold_up); /* nobody has read anything since */
    demote(w, 5, 6);
    assert_true(is_in(w, 5, "cold"));
}

static void an_empty_mount_point_is_not_marked(void **state)
{
    struct world *w = *state;
    const struct disk_port *port = sim_disk_port(w->disk);
    struct test_cold empty;
    put_all(w);
    demote(w, 0, 2);
    blockstore_close(w->store, false);
    assert_int_equal(port->make_dir(port->self, "/empty"), ERR_OK);
    assert_true(test_cold_open(&empty, port, "/empty", NULL));
    struct test_cold before = w->cold;
    w->cold = empty;
    open_store(w);
    drive(w);
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
    pass(w, 70 * SECOND_NS);
    assert_false(stats(w).cold_up);
    assert_int_equal(port->exists(port->self, "/empty/hearth-tier"), ERR_NOT_FOUND);
    assert_int_equal(stats(w).quarantined, 0);
    w->cold = before;
    test_cold_close(&empty);
    pass(w, 70 * SECOND_NS);
    assert_int_equal(get(w, 0), ERR_OK);
}

static void a_medium_of_another_is_not_used(void **state)
{
    struct world *w = *state;
    const struct disk_port *port = sim_disk_port(w->disk);
    static const uint8_t other[PACK_MARK_BYTES] = "of another node";
    struct cold_call call = {.deadline_ns = UINT64_MAX};
    struct test_cold theirs;
    put_all(w);
    demote(w, 0, 2);
    assert_int_equal(port->make_dir(port->self, "/other"), ERR_OK);
    assert_true(test_cold_open(&theirs, port, "/other", NULL));
    assert_int_equal(cold_tier_claim(theirs.store, &call, other), ERR_OK);
    blockstore_close(w->store, false);
    struct test_cold before = w->cold;
    w->cold = theirs;
    open_store(w);
    drive(w);
    pass(w, 70 * SECOND_NS);
    assert_false(stats(w).cold_up);
    assert_int_equal(get(w, 0), ERR_UNAVAILABLE);
    assert_int_equal(blockstore_demote(w->store, &w->keys[5], 1), ERR_UNAVAILABLE);
    w->cold = before;
    test_cold_close(&theirs);
}

/* ---- a catalogue that is lost ---- */

static void a_catalogue_made_anew_takes_its_packs_back(void **state)
{
    struct world *w = *state;
    w->cold.page = 3;
    w->cold.tier.pack_bytes = 16 * KIB;
    put_all(w);
    assert_int_equal(change(w, 1, CHANGE_PIN_ADD), ERR_OK);
    demote(w, 0, 12);
    assert_int_equal(change(w, 0, CHANGE_BLOCK_RM), ERR_OK);
    uint64_t packs = stats(w).cold_packs;
    lose_catalogue(w);
    assert_int_equal(stats(w).cold_packs, packs);
    for (size_t i = 1; i < BLOCKS; i++)
        assert_int_equal(get(w, i), ERR_OK);
    assert_int_equal(read_cold(w).bad, 0);
    assert_int_equal(collect(w) > 0, true);
    assert_int_equal(get(w, 1), ERR_OK);
}

static struct block_ref *read_file(const struct disk_port *port, const char *path)
{
    struct disk_file *file;
    uint64_t size = 0;
    size_t got = 0;
    assert_int_equal(port->open(port->self, path, DISK_READ, &file), ERR_OK);
    assert_int_equal(port->size(file, &size), ERR_OK);
    struct block_ref *ref = block_ref_new((size_t)size, NULL);
    assert_int_equal(port->pread(file, ref->data, ref->len, 0, &got), ERR_OK);
    assert_int_equal(got, size);
    port->close(file);
    return ref;
}

static void write_file(const struct disk_port *port, const char *path, struct block_ref *ref)
{
    struct disk_file *file;
    struct iovec iov = {.iov_base = ref->data, .iov_len = ref->len};
    assert_int_equal(port->open(port->self, path, DISK_WRITE | DISK_CREATE, &file), ERR_OK);
    assert_int_equal(port->pwritev(file, &iov, 1, 0), ERR_OK);
    port->close(file);
    block_ref_unref(ref);
}

/* As from a backup: the pack that it names was rewritten since. */
static void an_older_catalogue_finds_what_was_rewritten_since(void **state)
{
    struct world *w = *state;
    const struct disk_port *port = sim_disk_port(w->disk);
    put_all(w);
    demote(w, 0, 9);
    blockstore_close(w->store, false);
    struct block_ref *old = read_file(port, "repo/blocks.db");
    open_store(w);
    drive(w);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(change(w, i, CHANGE_BLOCK_RM), ERR_OK);
    pass(w, STORE_PACK_NS + SECOND_NS);
    pass(w, STORE_PACK_NS + SECOND_NS);
    blockstore_close(w->store, false);
    assert_int_equal(port->unlink(port->self, "repo/blocks.db"), ERR_OK);
    (void)port->unlink(port->self, "repo/blocks.db-wal");
    write_file(port, "repo/blocks.db", old);
    open_store(w);
    drive(w);
    for (size_t i = 6; i < 9; i++)
        assert_int_equal(get(w, i), ERR_OK);
    assert_int_equal(stats(w).quarantined, 0);
    assert_int_equal(get(w, 0), ERR_NOT_FOUND); /* it was removed since, with its pack */
    assert_int_equal(stats(w).quarantined, 1);
}

/* The packs of a backup went after it: a put must not be answered with what they had. */
static void what_an_older_catalogue_says_of_packs_that_are_gone_does_not_count(void **state)
{
    struct world *w = *state;
    const struct disk_port *port = sim_disk_port(w->disk);
    w->cold.page = 2;
    put_all(w);
    for (size_t i = 0; i < 5; i++)
        demote(w, 3 * i, 3 * i + 3);
    assert_int_equal(stats(w).cold_packs, 5);
    assert_int_equal(promote(w, 1), ERR_OK);
    blockstore_close(w->store, false);
    struct block_ref *old = read_file(port, "repo/blocks.db");
    open_store(w);
    drive(w);
    for (size_t i = 0; i < 15; i++) {
        if (i < 6 || i >= 12)
            assert_int_equal(change(w, i, CHANGE_BLOCK_RM), ERR_OK);
    }
    assert_int_equal(stats(w).cold_packs, 2);
    blockstore_close(w->store, false);
    assert_int_equal(port->unlink(port->self, "repo/blocks.db"), ERR_OK);
    (void)port->unlink(port->self, "repo/blocks.db-wal");
    write_file(port, "repo/blocks.db", old);
    open_store(w);
    drive(w);
    for (size_t i = 0; i < 15; i++)
        put(w, i);
    settle(w);
    for (size_t i = 0; i < 15; i++) {
        assert_true(is_in(w, i, i < 6 || i >= 12 ? "disk" : "cold"));
        assert_int_equal(get(w, i), ERR_OK);
    }
    demote(w, 1, 2); /* with a write, since its copy is gone */
    settle(w);
    assert_true(is_in(w, 1, "cold"));
    assert_int_equal(get(w, 1), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        COLD_TEST(a_medium_that_is_away_hides_nothing),
        COLD_TEST(what_cannot_be_read_is_not_promised),
        COLD_TEST(a_medium_that_failed_one_read_is_asked_again),
        COLD_TEST(an_empty_mount_point_is_not_marked),
        COLD_TEST(a_medium_of_another_is_not_used),
        COLD_TEST(a_catalogue_made_anew_takes_its_packs_back),
        COLD_TEST(an_older_catalogue_finds_what_was_rewritten_since),
        COLD_TEST(what_an_older_catalogue_says_of_packs_that_are_gone_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
