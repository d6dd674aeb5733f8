/* SPDX-License-Identifier: MIT */
/* The keys of names and their records. RELIABILITY row D18: no sequence goes back, whatever happens to the machine or the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "actors/state/naming.h"
#include "base/limits.h"
#include "sim/disk.h"
#include "storage/disk_posix.h"
#include "storage/durable.h"
#include "storage/keystore.h"
#include "tests/support/bytes.h"
#include "wire/signing_key.h"

static const uint64_t now = UINT64_C(1790000000000000000);
static const uint64_t day = UINT64_C(86400) * SECOND_NS;

struct fixture {
    struct sim_disk *disk;
    struct key_pair *self;
    struct naming naming;
    struct buf rows;
    uint32_t count;
    char why[STATE_WHY_BYTES];
};

static void open_store(struct fixture *f)
{
    struct state_options options = {.path = "/repo/state.db", .disk = f->naming.disk};
    f->naming.store = state_store_new(&options);
    assert_non_null(f->naming.store);
}

static struct fixture fixture_new(uint64_t seed)
{
    struct fixture f = {.disk = sim_disk_new(seed, 64 * MIB)};
    f.naming.disk = sim_disk_port(f.disk);
    assert_ok(durable_make_folders(f.naming.disk, "/repo"));
    (void)snprintf(f.naming.folder, sizeof(f.naming.folder), "/repo/keystore");
    assert_ok(key_pair_generate(&f.self));
    f.naming.self = f.self;
    buf_init(&f.rows, 1 << 20, NULL);
    open_store(&f);
    return f;
}

static void fixture_free(struct fixture *f)
{
    state_store_free(f->naming.store);
    key_pair_free(f->self);
    buf_release(&f->rows);
    sim_disk_free(f->disk);
}

static enum err gen(struct fixture *f, const char *name, const char *type)
{
    struct msg_key_gen ask = {.name = span_text(name), .type = span_text(type)};
    buf_clear(&f->rows);
    return naming_gen(&f->naming, &ask, &f->rows, &f->count, f->why);
}

static void expect_names(struct fixture *f, const char *want)
{
    char names[256] = "";
    size_t position = 0;
    struct item_key_row row;
    buf_clear(&f->rows);
    assert_ok(naming_list(&f->naming, &f->rows, &f->count, f->why));
    struct schema_list list = schema_list_of(&f->rows, f->count);
    while (schema_list_next_map(&list, &schema_item_key_row, &position, &row)) {
        size_t len = strlen(names);
        (void)snprintf(names + len, sizeof(names) - len, "%.*s:%.*s,", (int)row.name.len, (const char *)row.name.data,
                       (int)row.type.len, (const char *)row.type.data);
    }
    assert_string_equal(names, want);
}

static struct msg_ipns_sign order(const char *key, const char *value)
{
    return (struct msg_ipns_sign){
        .key = span_text(key), .value = span_text(value), .lifetime_ns = 2 * day, .ttl_ns = 7 * SECOND_NS};
}

static struct ipns_record sign(struct fixture *f, const struct msg_ipns_sign *ask, struct ipns_row *row)
{
    struct ipns_record record;
    if (naming_sign(&f->naming, ask, now, row, f->why) != ERR_OK)
        fail_msg("%s", f->why);
    assert_ok(ipns_record_decode(span_of(row->record, row->record_len), &record));
    assert_ok(ipns_record_verify(&record, &row->name, now));
    return record;
}

static uint64_t sequence_of(struct fixture *f, const char *key, const char *value)
{
    struct ipns_row row;
    struct msg_ipns_sign ask = order(key, value);
    return sign(f, &ask, &row).sequence;
}

/* ---- keys ---- */

static void keys_are_made_listed_renamed_and_removed(void **state)
{
    (void)state;
    struct fixture f = fixture_new(1);
    bool overwritten = true;
    expect_names(&f, "self:ed25519,");
    assert_ok(gen(&f, "site", ""));
    assert_ok(gen(&f, "blog", "secp256k1"));
    assert_err(gen(&f, "site", ""), ERR_EXISTS);
    assert_err(gen(&f, "self", ""), ERR_INVALID);
    assert_err(gen(&f, "x", "dsa"), ERR_INVALID);
    expect_names(&f, "self:ed25519,blog:secp256k1,site:ed25519,");
    struct msg_key_rename rename = {.from = span_text("site"), .to = span_text("home")};
    buf_clear(&f.rows);
    assert_ok(naming_rename(&f.naming, &rename, &f.rows, &f.count, &overwritten, f.why));
    assert_false(overwritten);
    rename = (struct msg_key_rename){.from = span_text("home"), .to = span_text("blog"), .force = true};
    assert_ok(naming_rename(&f.naming, &rename, &f.rows, &f.count, &overwritten, f.why));
    assert_true(overwritten);
    rename = (struct msg_key_rename){.from = span_text("blog"), .to = span_text("self"), .force = true};
    assert_err(naming_rename(&f.naming, &rename, &f.rows, &f.count, &overwritten, f.why), ERR_INVALID);
    expect_names(&f, "self:ed25519,blog:ed25519,");
    struct buf names;
    buf_init(&names, 256, NULL);
    assert_ok(schema_list_add_text(&names, span_text("blog")));
    assert_ok(schema_list_add_text(&names, span_text("self")));
    struct msg_key_rm rm = {.names = schema_list_of(&names, 2)};
    assert_err(naming_rm(&f.naming, &rm, &f.rows, &f.count, f.why), ERR_INVALID);
    expect_names(&f, "self:ed25519,blog:ed25519,"); /* all or none */
    buf_clear(&f.rows);
    buf_clear(&names);
    assert_ok(schema_list_add_text(&names, span_text("blog")));
    rm.names = schema_list_of(&names, 1);
    assert_ok(naming_rm(&f.naming, &rm, &f.rows, &f.count, f.why));
    assert_int_equal(f.count, 1);
    expect_names(&f, "self:ed25519,");
    buf_release(&names);
    fixture_free(&f);
}

static void imported_keys_are_checked(void **state)
{
    (void)state;
    struct fixture f = fixture_new(1);
    struct signing_key *rsa = NULL;
    struct signing_key *ecdsa = NULL;
    struct signing_key *secp256k1 = NULL;
    uint8_t pem[SIGNING_KEY_PEM_BYTES_MAX];
    size_t len = 0;
    assert_ok(signing_key_generate(KEY_RSA, 0, &rsa));
    assert_ok(signing_key_generate(KEY_ECDSA, 0, &ecdsa));
    assert_ok(signing_key_generate(KEY_SECP256K1, 0, &secp256k1));
    assert_ok(signing_key_encode_pem(rsa, pem, &len));
    struct msg_key_import ask = {.name = span_text("a"), .data = signing_key_secret(rsa)};
    assert_ok(naming_import(&f.naming, &ask, &f.rows, &f.count, f.why));
    ask = (struct msg_key_import){.name = span_text("b"), .data = span_of(pem, len), .pem = true};
    assert_ok(naming_import(&f.naming, &ask, &f.rows, &f.count, f.why));
    ask.pem = false;
    assert_err(naming_import(&f.naming, &ask, &f.rows, &f.count, f.why), ERR_INVALID);
    ask = (struct msg_key_import){.name = span_text("c"), .data = signing_key_secret(ecdsa)};
    assert_err(naming_import(&f.naming, &ask, &f.rows, &f.count, f.why), ERR_UNSUPPORTED);
    ask.any_type = true;
    assert_ok(naming_import(&f.naming, &ask, &f.rows, &f.count, f.why));
    ask = (struct msg_key_import){.name = span_text("d"), .data = signing_key_secret(secp256k1)};
    assert_ok(naming_import(&f.naming, &ask, &f.rows, &f.count, f.why));
    expect_names(&f, "self:ed25519,a:rsa,b:rsa,c:ecdsa,d:secp256k1,");
    signing_key_free(secp256k1);
    signing_key_free(rsa);
    signing_key_free(ecdsa);
    fixture_free(&f);
}

/* ---- records ---- */

static void sequences_follow_values(void **state)
{
    (void)state;
    struct fixture f = fixture_new(1);
    struct ipns_row row;
    assert_ok(gen(&f, "site", ""));
    assert_ok(naming_last(&f.naming, span_text("site"), &row, f.why));
    assert_int_equal(row.record_len, 0);
    assert_int_equal(sequence_of(&f, "site", "/ipfs/a"), 0);
    assert_int_equal(sequence_of(&f, "site", "/ipfs/a"), 0);
    assert_int_equal(sequence_of(&f, "site", "/ipfs/b"), 1);
    assert_int_equal(sequence_of(&f, "self", "/ipfs/b"), 0);
    char id[PEER_ID_TEXT_MAX];
    assert_ok(naming_last(&f.naming, span_text("site"), &row, f.why));
    peer_id_text_cid(&row.name, id);
    assert_int_equal(sequence_of(&f, id, "/ipfs/c"), 2); /* a key may be named by its peer id */
    struct msg_ipns_sign ask = order("site", "/ipfs/d");
    ask.sequenced = true;
    ask.sequence = 2;
    assert_err(naming_sign(&f.naming, &ask, now, &row, f.why), ERR_INVALID);
    ask.sequence = 100;
    assert_int_equal(sign(&f, &ask, &row).sequence, 100);
    ask.sequence = INT64_MAX;
    assert_true(sign(&f, &ask, &row).sequence == INT64_MAX);
    ask.sequenced = false;
    ask.value = span_text("/ipfs/e");
    assert_err(naming_sign(&f.naming, &ask, now, &row, f.why), ERR_TOO_LARGE);
    ask.key = span_text("nobody");
    assert_err(naming_sign(&f.naming, &ask, now, &row, f.why), ERR_NOT_FOUND);
    fixture_free(&f);
}

/* Another machine with the same key published meanwhile. */
static void records_found_elsewhere_are_surpassed(void **state)
{
    (void)state;
    struct fixture f = fixture_new(1);
    struct fixture other = fixture_new(2);
    struct ipns_row row;
    struct ipns_row theirs;
    other.naming.self = f.self;
    struct msg_ipns_sign ask = order("self", "/ipfs/x");
    ask.sequenced = true;
    ask.sequence = 41;
    (void)sign(&other, &ask, &theirs);
    assert_int_equal(sequence_of(&f, "self", "/ipfs/a"), 0);
    ask = order("self", "/ipfs/b");
    ask.known = span_of(theirs.record, theirs.record_len);
    assert_int_equal(sign(&f, &ask, &row).sequence, 42);
    theirs.record[theirs.record_len - 1] ^= 1; /* not believed */
    ask.value = span_text("/ipfs/c");
    assert_int_equal(sign(&f, &ask, &row).sequence, 43);
    theirs.record[theirs.record_len - 1] ^= 1; /* good, but older than ours by now */
    ask.value = span_text("/ipfs/d");
    assert_int_equal(sign(&f, &ask, &row).sequence, 44);
    assert_err(ipns_store_put(f.naming.store, &theirs, f.why), ERR_MISMATCH);
    assert_ok(naming_last(&f.naming, span_text("self"), &theirs, f.why));
    assert_memory_equal(theirs.record, row.record, row.record_len);
    fixture_free(&f);
    fixture_free(&other);
}

static void records_are_renewed_until_peers_have_them(void **state)
{
    (void)state;
    struct fixture f = fixture_new(1);
    struct ipns_row row;
    struct ipns_record record;
    struct peer_id position = {.len = 0};
    assert_ok(gen(&f, "site", ""));
    assert_ok(gen(&f, "gone", ""));
    assert_int_equal(sequence_of(&f, "site", "/ipfs/a"), 0);
    assert_int_equal(sequence_of(&f, "gone", "/ipfs/a"), 0);
    assert_ok(keystore_rm(f.naming.disk, f.naming.folder, span_text("gone")));
    uint64_t later = now + day;
    assert_ok(naming_renew(&f.naming, &position, later, 2 * day, later, &row, f.why));
    assert_ok(ipns_record_decode(span_of(row.record, row.record_len), &record));
    assert_int_equal(record.sequence, 0);
    assert_true(record.eol_ns == later + 2 * day);
    assert_int_equal(record.ttl_ns, 7 * SECOND_NS);
    assert_true(span_equal_text(record.value, "/ipfs/a"));
    assert_err(naming_renew(&f.naming, &position, later, 2 * day, later, &row, f.why), ERR_NOT_FOUND);
    assert_ok(naming_last(&f.naming, span_text("site"), &row, f.why));
    assert_ok(ipns_store_told(f.naming.store, &row.name, later, f.why));
    position.len = 0;
    assert_err(naming_renew(&f.naming, &position, later - 1, 2 * day, later, &row, f.why), ERR_NOT_FOUND);
    position.len = 0;
    assert_ok(naming_renew(&f.naming, &position, later, 2 * day, later, &row, f.why));
    /* the clock went back: peers forget the record long before the time at which it was told */
    assert_ok(ipns_store_told(f.naming.store, &row.name, later + 1, f.why));
    position.len = 0;
    assert_ok(naming_renew(&f.naming, &position, later - day, 2 * day, later, &row, f.why));
    /* a longer life than that of a renewal stays */
    struct msg_ipns_sign ask = order("site", "/ipfs/b");
    ask.lifetime_ns = 30 * day;
    (void)sign(&f, &ask, &row);
    position.len = 0;
    assert_ok(naming_renew(&f.naming, &position, later, 2 * day, later, &row, f.why));
    assert_ok(ipns_record_decode(span_of(row.record, row.record_len), &record));
    assert_true(record.eol_ns == now + 30 * day);
    fixture_free(&f);
}

/* ---- what happens to machines and files ---- */

/* The machine stops with its files open: what is done to them afterwards happens to a disk that is gone. */
static void cut_power(struct fixture *f, enum sim_disk_cut how, uint64_t seed)
{
    struct sim_disk *after = sim_disk_clone(f->disk);
    assert_non_null(after);
    sim_disk_power_cut(after, how, seed);
    state_store_free(f->naming.store);
    sim_disk_free(f->disk);
    f->disk = after;
    f->naming.disk = sim_disk_port(after);
    open_store(f);
}

/* A power cut at any write or sync: the next record is newer than each one that was given out. */
static void no_sequence_goes_back_over_power_cuts(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct fixture f = fixture_new(seed);
        uint64_t highest = 0;
        bool any = false;
        for (unsigned round = 0; round < 3; round++) {
            for (unsigned i = 0; i < 4; i++) {
                char value[32];
                struct ipns_row row;
                (void)snprintf(value, sizeof(value), "/ipfs/%u-%u", round, i);
                struct msg_ipns_sign ask = order("self", value);
                if (i == 3)
                    sim_disk_fail(f.disk, (enum sim_disk_fault)(seed % SIM_FAULT_COUNT), seed / 7 % 5, 1);
                if (naming_sign(&f.naming, &ask, now, &row, f.why) != ERR_OK)
                    continue;
                struct ipns_record record;
                assert_ok(ipns_record_decode(span_of(row.record, row.record_len), &record));
                assert_true(!any || record.sequence > highest);
                highest = record.sequence;
                any = true;
            }
            cut_power(&f, (enum sim_disk_cut)(seed % SIM_CUT_COUNT), seed);
        }
        assert_true(sequence_of(&f, "self", "/ipfs/last") > highest);
        fixture_free(&f);
    }
}

static void open_again(struct fixture *f)
{
    state_store_free(f->naming.store);
    open_store(f);
}

/* Signs until it can; the sequence it was given. */
static uint64_t sign_in_the_end(struct fixture *f, const char *value)
{
    enum { TRIES = 100 };
    struct ipns_row row;
    struct ipns_record record;
    struct msg_ipns_sign ask = order("self", value);
    enum err err = ERR_BUSY;
    for (unsigned i = 0; i < TRIES && err != ERR_OK; i++)
        err = naming_sign(&f->naming, &ask, now, &row, f->why);
    assert_ok(err);
    assert_ok(ipns_record_decode(span_of(row.record, row.record_len), &record));
    return record.sequence;
}

/* Any one operation of opening fails: a page that cannot be read is no damage, and a file that is made anew is whole or none. */
static void no_sequence_goes_back_over_failures_of_the_disk(void **state)
{
    static const enum sim_disk_fault faults[] = {SIM_FAULT_READ_IO, SIM_FAULT_WRITE_IO, SIM_FAULT_SYNC_IO,
                                                 SIM_FAULT_WRITE_NO_SPACE};
    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_LEN(faults); i++) {
        bool damaged = i >= ARRAY_LEN(faults);
        for (uint64_t skip = 0; skip < 40; skip++) {
            struct fixture f = fixture_new(skip);
            assert_int_equal(sequence_of(&f, "self", "/ipfs/a"), 0);
            assert_int_equal(sequence_of(&f, "self", "/ipfs/b"), 1);
            open_again(&f); /* what is in the log goes into the file */
            if (damaged) {
                state_store_free(f.naming.store);
                assert_ok(sim_disk_damage(f.disk, "/repo/state.db", 63, 0xff)); /* of its version */
                open_store(&f);
            } else {
                open_again(&f);
            }
            sim_disk_fail(f.disk, faults[i % ARRAY_LEN(faults)], skip, 1);
            assert_int_equal(sign_in_the_end(&f, "/ipfs/c"), 2);
            cut_power(&f, SIM_CUT_DROP, skip);
            assert_true(sign_in_the_end(&f, "/ipfs/d") > 2);
            fixture_free(&f);
        }
    }
}

/* The disk loses what was not synced with a sync that fails; what is acknowledged after it stands behind that in the log. */
static void a_failed_sync_hides_nothing(void **state)
{
    (void)state;
    struct fixture f = fixture_new(1);
    struct ipns_row row;
    struct msg_ipns_sign ask = order("self", "/ipfs/a");
    assert_ok(naming_sign(&f.naming, &ask, now, &row, f.why));
    assert_ok(ipns_store_told(f.naming.store, &row.name, now, f.why)); /* not synced */
    sim_disk_fail(f.disk, SIM_FAULT_SYNC_IO, 0, 1);
    ask = order("self", "/ipfs/b");
    assert_err(naming_sign(&f.naming, &ask, now, &row, f.why), ERR_IO);
    assert_int_equal(sequence_of(&f, "self", "/ipfs/c"), 1);
    cut_power(&f, SIM_CUT_DROP, 1);
    assert_int_equal(sequence_of(&f, "self", "/ipfs/d"), 2);
    fixture_free(&f);
}

/* Rows enough for pages to be split, not synced. */
static void write_events(struct fixture *f, unsigned round)
{
    enum { EVENTS = 60 };
    struct state_batch *batch = state_batch_new();
    assert_non_null(batch);
    batch->at = now + round;
    for (unsigned i = 0; i < EVENTS; i++) {
        char text[200];
        (void)snprintf(text, sizeof(text), "%0150u", round * EVENTS + i);
        struct msg_event fields = {.actor = span_text("a"), .event = span_text("test"), .reason = span_text(text)};
        assert_ok(state_batch_add(batch, MSG_EVENT, now + round, &fields));
    }
    (void)!state_store_write(f->naming.store, batch, f->why, NULL);
    state_batch_free(batch);
}

/* After that the disk is full in the middle of what SQLite moves from its log into the file, and the power goes: the log still has it all. */
static void a_failed_sync_and_a_full_disk_damage_nothing(void **state)
{
    enum { WRITES_MAX = 60, ROUNDS = 6, REFUSED = 30 };
    (void)state;
    for (uint64_t writes = 0; writes < WRITES_MAX; writes++) {
        struct fixture f = fixture_new(writes);
        struct ipns_row row;
        struct msg_ipns_sign ask = order("self", "/ipfs/a");
        assert_int_equal(sequence_of(&f, "self", "/ipfs/0"), 0);
        write_events(&f, 0);
        open_again(&f);
        assert_ok(naming_sign(&f.naming, &ask, now, &row, f.why));
        for (unsigned i = 1; i < ROUNDS; i++)
            write_events(&f, i);
        sim_disk_fail(f.disk, SIM_FAULT_SYNC_IO, 0, 1);
        ask = order("self", "/ipfs/b");
        assert_err(naming_sign(&f.naming, &ask, now, &row, f.why), ERR_IO);
        sim_disk_fail(f.disk, SIM_FAULT_WRITE_NO_SPACE, writes, REFUSED);
        (void)!naming_sign(&f.naming, &ask, now, &row, f.why);
        cut_power(&f, (enum sim_disk_cut)(writes % SIM_CUT_COUNT), writes);
        assert_true(sign_in_the_end(&f, "/ipfs/c") > 1);
        assert_int_equal(sim_disk_port(f.disk)->exists(sim_disk_port(f.disk)->self, "/repo/state.db.bad-0"),
                         ERR_NOT_FOUND);
        fixture_free(&f);
    }
}

/* A job of the life before may still be at work when the next one opens the file. */
static void two_lives_at_once_damage_nothing(void **state)
{
    enum { ROUNDS = 40 };
    (void)state;
    struct fixture f = fixture_new(1);
    struct state_store *first = f.naming.store;
    assert_int_equal(sequence_of(&f, "self", "/ipfs/0"), 0);
    open_store(&f);
    struct state_store *second = f.naming.store;
    for (unsigned i = 0; i < ROUNDS; i++) {
        f.naming.store = i % 2 == 0 ? first : second;
        write_events(&f, i);
    }
    assert_int_equal(sequence_of(&f, "self", "/ipfs/1"), 1);
    state_store_free(second);
    f.naming.store = first;
    write_events(&f, ROUNDS);
    open_again(&f);
    assert_int_equal(sequence_of(&f, "self", "/ipfs/2"), 2);
    fixture_free(&f);
}

static void sql(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* A file of another version is made anew, but for the records of names. */
static void records_are_carried_over_to_a_new_file(void **state)
{
    (void)state;
    struct fixture f = fixture_new(1);
    char folder[] = "/tmp/hearth-naming-XXXXXX";
    char command[128];
    assert_non_null(mkdtemp(folder));
    struct state_options options = {.disk = disk_posix()};
    (void)snprintf(options.path, sizeof(options.path), "%s/state.db", folder);
    state_store_free(f.naming.store);
    f.naming.store = state_store_new(&options);
    assert_int_equal(sequence_of(&f, "self", "/ipfs/a"), 0);
    assert_int_equal(sequence_of(&f, "self", "/ipfs/b"), 1);
    state_store_free(f.naming.store);
    sql(options.path, "PRAGMA user_version=2; DROP TABLE events;");
    f.naming.store = state_store_new(&options);
    assert_int_equal(sequence_of(&f, "self", "/ipfs/c"), 2);
    (void)snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_made_listed_renamed_and_removed),
        cmocka_unit_test(imported_keys_are_checked),
        cmocka_unit_test(sequences_follow_values),
        cmocka_unit_test(records_found_elsewhere_are_surpassed),
        cmocka_unit_test(records_are_renewed_until_peers_have_them),
        cmocka_unit_test(no_sequence_goes_back_over_power_cuts),
        cmocka_unit_test(no_sequence_goes_back_over_failures_of_the_disk),
        cmocka_unit_test(a_failed_sync_hides_nothing),
        cmocka_unit_test(a_failed_sync_and_a_full_disk_damage_nothing),
        cmocka_unit_test(two_lives_at_once_damage_nothing),
        cmocka_unit_test(records_are_carried_over_to_a_new_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
