/* SPDX-License-Identifier: MIT */
/* The second copy of the pins, of both kinds: read back, torn, missing, made short. */
#include "tests/support/storage.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "sim/disk.h"
#include "storage/pin_journal.h"
#include "storage/sqlite_vfs.h"
#include "wire/cid.h"

enum { MANY = 16 * 1024, RUN = 256 };

struct world {
    struct sim_disk *disk;
    struct sqlite_vfs *vfs;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->disk = sim_disk_new(1, 32 * MIB);
    assert_int_equal(sqlite_vfs_open(sim_disk_port(w->disk), &w->vfs), ERR_OK);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    sqlite_vfs_close(w->vfs);
    sim_disk_free(w->disk);
    free(w);
    return 0;
}

static struct catalogue_change change_of_block(uint64_t i, enum change_of kind, const char *name)
{
    struct catalogue_change c = {.kind = kind, .recursive = kind != CHANGE_TIER_PIN};
    struct multihash hash;
    test_key(span_of(&i, sizeof(i)), &c.key);
    assert_int_equal(multihash_parse(block_key_span(&c.key), &hash), ERR_OK);
    struct cid cid = cid_v1(CODEC_RAW, &hash);
    c.cid_len = (uint8_t)cid_encode(&cid, c.cid);
    (void)snprintf(c.name, sizeof(c.name), "%s", name);
    return c;
}

static void append(struct world *w, struct catalogue_change *changes, size_t count)
{
    for (size_t i = 0; i + 1 < count; i++)
        changes[i].next = &changes[i + 1];
    assert_int_equal(pin_journal_append(sim_disk_port(w->disk), "pins.journal", changes, SECOND_NS), ERR_OK);
}

/* Block 1 is pinned, 2 to the disk, 3 to the cold tier at last, 4 not any more. */
static void append_all(struct world *w)
{
    struct catalogue_change changes[] = {
        change_of_block(1, CHANGE_PIN_ADD, "a name"), change_of_block(2, CHANGE_TIER_PIN, "disk"),
        change_of_block(3, CHANGE_TIER_PIN, "disk"),  change_of_block(4, CHANGE_TIER_PIN, "cold"),
        change_of_block(3, CHANGE_TIER_PIN, "cold"),  change_of_block(4, CHANGE_TIER_PIN, ""),
    };
    append(w, changes, ARRAY_LEN(changes));
}

struct opened {
    struct catalogue *c;
    struct catalogue_reader *r;
};

/* A catalogue made anew, with what the journal says. */
static struct opened restore(struct world *w, const char *path)
{
    struct catalogue_options options = {.path = path, .vfs = sqlite_vfs_name(w->vfs), .cache_kib = 256, .seed = 1};
    struct opened o;
    uint64_t count = 0;
    assert_int_equal(catalogue_open(&options, &o.c, NULL), ERR_OK);
    assert_int_equal(pin_journal_restore(sim_disk_port(w->disk), "pins.journal", o.c, &count), ERR_OK);
    assert_int_equal(catalogue_restored(o.c), ERR_OK);
    assert_int_equal(catalogue_reader_open(&options, &o.r), ERR_OK);
    return o;
}

static void close_both(struct opened *o)
{
    catalogue_reader_close(o->r);
    catalogue_close(o->c);
}

static bool is_pinned_to(const struct opened *o, uint64_t i, const char *tier)
{
    struct catalogue_change c = change_of_block(i, CHANGE_TIER_PIN, tier);
    bool pinned = false;
    assert_int_equal(catalogue_tier_pinned(o->r, &c.key, tier, &pinned), ERR_OK);
    return pinned;
}

static void check_all(const struct opened *o)
{
    struct pin_row rows[3];
    size_t count = 0;
    assert_int_equal(catalogue_pins(o->r, (struct span){0}, rows, 1, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_string_equal(rows[0].name, "a name");
    assert_true(rows[0].recursive);
    assert_true(is_pinned_to(o, 2, "disk"));
    assert_true(is_pinned_to(o, 3, "cold"));
    assert_false(is_pinned_to(o, 3, "disk"));
    assert_false(is_pinned_to(o, 4, "cold"));
}

static void what_was_appended_is_read_back(void **state)
{
    struct world *w = *state;
    append_all(w);
    struct opened o = restore(w, "c.db");
    check_all(&o);
    close_both(&o);
}

static void a_torn_record_costs_itself_only(void **state)
{
    struct world *w = *state;
    struct catalogue_change torn = change_of_block(5, CHANGE_TIER_PIN, "disk");
    append(w, &torn, 1);
    assert_int_equal(sim_disk_damage(w->disk, "pins.journal", PIN_RECORD_FIXED + 10, 1), ERR_OK);
    append_all(w);
    struct opened o = restore(w, "c.db");
    check_all(&o);
    assert_false(is_pinned_to(&o, 5, "disk"));
    close_both(&o);
}

static void one_that_has_grown_is_written_anew(void **state)
{
    struct world *w = *state;
    const struct disk_port *port = sim_disk_port(w->disk);
    struct catalogue_change *run = calloc(RUN, sizeof(*run));
    struct disk_file *file;
    uint64_t size = 0;
    assert_non_null(run);
    append_all(w);
    for (size_t n = 0; n < MANY; n += RUN) {
        for (size_t i = 0; i < RUN; i++)
            run[i] = change_of_block(100, CHANGE_TIER_PIN, i % 2 == 0 ? "disk" : "");
        append(w, run, RUN);
    }
    /* More than fit a page of those that are written. */
    for (size_t i = 0; i < RUN; i++)
        run[i] = change_of_block(1000 + i, CHANGE_TIER_PIN, "disk");
    append(w, run, RUN);
    struct opened o = restore(w, "c.db");
    assert_int_equal(pin_journal_renew(port, "pins.journal", o.r, 1), ERR_OK);
    close_both(&o);
    assert_int_equal(port->open(port->self, "pins.journal", DISK_READ, &file), ERR_OK);
    assert_int_equal(port->size(file, &size), ERR_OK);
    port->close(file);
    assert_true(size < (RUN + 4) * 100);
    o = restore(w, "d.db");
    check_all(&o);
    assert_false(is_pinned_to(&o, 100, "disk"));
    for (size_t i = 0; i < RUN; i++)
        assert_true(is_pinned_to(&o, 1000 + i, "disk"));
    close_both(&o);
    free(run);
}

/* As after repo restore, which copies the catalogue. */
static void one_that_is_missing_is_written_from_the_catalogue(void **state)
{
    struct world *w = *state;
    const struct disk_port *port = sim_disk_port(w->disk);
    append_all(w);
    struct opened o = restore(w, "c.db");
    assert_int_equal(port->unlink(port->self, "pins.journal"), ERR_OK);
    assert_int_equal(pin_journal_renew(port, "pins.journal", o.r, 1), ERR_OK);
    close_both(&o);
    o = restore(w, "d.db");
    check_all(&o);
    close_both(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_appended_is_read_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_torn_record_costs_itself_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_is_missing_is_written_from_the_catalogue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_has_grown_is_written_anew, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
