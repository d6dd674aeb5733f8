/* SPDX-License-Identifier: MIT */
/* Values of the DHT: what is kept, which of two, for how long, at whose cost; and rows beside a database that mirrors them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/random.h"
#include "dht/record_store.h"
#include "tests/support/bytes.h"

#define HOUR_NS (3600 * SECOND_NS)

static const uint64_t start_ns = UINT64_C(1700000000) * SECOND_NS;

static struct account account;
static struct record_store *store;

/* The namespace of these tests: a value is `<sequence> <hours until its end> ...`, and the higher sequence is better. */
static enum err validate(void *self, struct span key, struct span value, uint64_t now_ns, uint64_t *ret_expires_ns)
{
    (void)self;
    (void)key;
    unsigned sequence;
    unsigned hours;
    char text[64] = "";
    memcpy(text, value.data, MIN(value.len, sizeof(text) - 1));
    if (sscanf(text, "%u %u", &sequence, &hours) != 2)
        return ERR_AUTH;
    *ret_expires_ns = start_ns + hours * HOUR_NS;
    return *ret_expires_ns <= now_ns ? ERR_INVALID : ERR_OK;
}

static unsigned sequence_of(struct span value)
{
    unsigned sequence = 0;
    for (size_t i = 0; i < value.len && value.data[i] != ' '; i++)
        sequence = sequence * 10 + (unsigned)(value.data[i] - '0');
    return sequence;
}

static bool is_better(void *self, struct span key, struct span held, struct span offered)
{
    (void)self;
    (void)key;
    return sequence_of(offered) > sequence_of(held);
}

static int setup(void **state)
{
    (void)state;
    account_init(&account, "tables", 1 * MIB);
    struct record_options options = {.bytes_max = 128 * KIB,
                                     .rules = {.validate = validate, .is_better = is_better},
                                     .seed = {9},
                                     .account = &account};
    return record_store_new(&options, &store) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    record_store_free(store);
    return account_used(&account) == 0 ? 0 : -1;
}

static struct peer_id peer_of(uint64_t number)
{
    uint8_t key[36] = {0x08, 0x01, 0x12, 0x20};
    memcpy(key + 4, &number, sizeof(number));
    return peer_id_of_key(span_of(key, sizeof(key)));
}

static enum err put(uint64_t key, const char *value, uint64_t peer, uint64_t now_ns)
{
    struct peer_id id = peer_of(peer);
    return record_store_put(store, span_of(&key, sizeof(key)), span_text(value), &id, now_ns);
}

static void expect(uint64_t key, uint64_t now_ns, const char *value)
{
    struct stored_record record;
    enum err err = record_store_get(store, span_of(&key, sizeof(key)), now_ns, &record);
    if (value == NULL) {
        assert_err(err, ERR_NOT_FOUND);
    } else {
        assert_ok(err);
        assert_true(span_equal_text(record.value, value));
    }
}

static void the_better_record_is_kept(void **state)
{
    (void)state;
    assert_ok(put(1, "5 90 a", 1, start_ns));
    assert_err(put(1, "4 90 older", 2, start_ns), ERR_EXISTS);
    assert_err(put(1, "5 90 as good", 2, start_ns), ERR_EXISTS);
    expect(1, start_ns, "5 90 a");
    assert_ok(put(1, "6 90 b", 2, start_ns));
    expect(1, start_ns, "6 90 b");
    assert_ok(put(1, "6 90 b", 3, start_ns + HOUR_NS));
    assert_int_equal(record_store_counts(store).records, 1);
    expect(1, start_ns + 48 * HOUR_NS, "6 90 b"); /* told again an hour later */
}

static bool is_the_key(void *arg, struct span key)
{
    return span_equal(key, span_of(arg, sizeof(uint64_t)));
}

static void what_is_unwanted_by_its_key_goes(void **state)
{
    (void)state;
    uint64_t unwanted = 2;
    struct record_row row;
    for (uint64_t key = 1; key <= 3; key++)
        assert_ok(put(key, "1 90 a", key, start_ns));
    while (record_store_next_row(store, &row))
        assert_false(row.gone);
    assert_int_equal(record_store_remove_if(store, is_the_key, &unwanted), 1);
    assert_int_equal(record_store_remove_if(store, is_the_key, &unwanted), 0);
    expect(1, start_ns, "1 90 a");
    expect(2, start_ns, NULL);
    expect(3, start_ns, "1 90 a");
    assert_true(record_store_next_row(store, &row) && row.gone); /* the database hears of it */
    assert_false(record_store_next_row(store, &row));
}

static void what_the_rules_refuse_is_not_kept(void **state)
{
    (void)state;
    static uint8_t large[RECORD_VALUE_BYTES_MAX + 1] = "1 90";
    struct peer_id id = peer_of(1);
    struct peer_id nobody = {0};
    assert_err(put(1, "nonsense", 1, start_ns), ERR_AUTH);
    assert_err(put(1, "1 1 old", 1, start_ns + HOUR_NS), ERR_INVALID);
    assert_err(put(1, "", 1, start_ns), ERR_INVALID);
    assert_err(record_store_put(store, span_text("k"), span_of(large, sizeof(large)), &id, start_ns), ERR_TOO_LARGE);
    assert_err(record_store_put(store, span_of(large, RECORD_KEY_BYTES_MAX + 1), span_text("1 90"), &id, start_ns),
               ERR_TOO_LARGE);
    assert_err(record_store_put(store, span_text(""), span_text("1 90"), &id, start_ns), ERR_INVALID);
    assert_err(record_store_put(store, span_text("k"), span_text("1 90"), &nobody, start_ns), ERR_INVALID);
    assert_int_equal(record_store_counts(store).records, 0);
    assert_ok(record_store_put(store, span_text("k"), span_of(large, sizeof(large) - 1), &id, start_ns));
}

static void records_end_after_two_days_or_at_their_own_end(void **state)
{
    (void)state;
    assert_ok(put(1, "1 90", 1, start_ns));
    assert_ok(put(2, "1 10", 1, start_ns));
    expect(1, start_ns + 48 * HOUR_NS - SECOND_NS, "1 90");
    expect(1, start_ns + 48 * HOUR_NS, NULL);
    expect(2, start_ns + 10 * HOUR_NS - SECOND_NS, "1 10");
    expect(2, start_ns + 10 * HOUR_NS, NULL);
    assert_int_equal(record_store_expire(store, start_ns + 10 * HOUR_NS), 1);
    assert_int_equal(record_store_expire(store, start_ns + 48 * HOUR_NS), 1);
    assert_int_equal(record_store_counts(store).bytes, 0);
    /* an expired one gives way to a lower sequence */
    assert_ok(put(3, "9 10", 1, start_ns));
    assert_ok(put(3, "8 90", 1, start_ns + 10 * HOUR_NS));
    expect(3, start_ns + 10 * HOUR_NS, "8 90");
}

/* What came under a clock that was ahead stays for two days, not for as long as the clock was ahead. */
static void the_clock_may_go_back(void **state)
{
    (void)state;
    struct record_row row = {.slot = 3,
                             .record = {.key = span_text("k"),
                                        .value = span_text("1 90"),
                                        .sender = peer_of(1),
                                        .received_ns = start_ns + 80 * HOUR_NS}};
    assert_ok(put(1, "1 90", 1, start_ns + 80 * HOUR_NS));
    assert_true(record_store_load(store, &row, start_ns));
    while (record_store_next_row(store, &row))
        continue;
    assert_int_equal(record_store_expire(store, start_ns), 0);
    assert_true(record_store_next_row(store, &row));
    assert_true(row.record.received_ns == start_ns);
    assert_false(record_store_has_rows(store));
    assert_int_equal(record_store_expire(store, start_ns + 48 * HOUR_NS - SECOND_NS), 0);
    assert_int_equal(record_store_expire(store, start_ns + 48 * HOUR_NS), 2);
}

/* A hundred thousand valid records of one peer, small or as large as can be: the others' stay. */
static void a_flood_of_one_peer_eats_itself(void **state)
{
    (void)state;
    static char value[RECORD_VALUE_BYTES_MAX];
    struct peer_id flooder = peer_of(999);
    for (uint64_t i = 0; i < 50; i++)
        assert_ok(put(i, "1 90", i, start_ns));
    for (uint64_t i = 0; i < 100000; i++)
        assert_ok(put(1000 + i, "1 90", 999, start_ns + i * SECOND_NS / 100));
    memset(value, 'x', sizeof(value));
    memcpy(value, "1 90 ", 5);
    for (uint64_t i = 0; i < 1000; i++)
        (void)!record_store_put(store, span_of(&i, 5), span_of(value, sizeof(value)), &flooder, start_ns);
    for (uint64_t i = 0; i < 50; i++)
        expect(i, start_ns, "1 90");
    assert_int_equal(account_used(&account), 128 * KIB);
    assert_true(record_store_counts(store).evicted > 99000);
}

/* Each sender has one record: a newcomer is refused, until one expires. */
static void a_store_full_of_single_records_refuses(void **state)
{
    (void)state;
    uint32_t max = record_store_counts(store).records_max;
    for (uint64_t i = 0; i < max; i++)
        assert_ok(put(i, "1 90", i, start_ns));
    assert_err(put(max, "1 90", max, start_ns), ERR_BUSY);
    assert_ok(put(5, "2 90", 5, start_ns));
    assert_int_equal(record_store_expire(store, start_ns + 48 * HOUR_NS), max);
    assert_ok(put(max, "1 90", max, start_ns + 48 * HOUR_NS));
}

/* ---- rows ---- */

enum { SLOTS = 1024 };

struct mirror {
    bool live;
    uint8_t key[16];
    size_t key_len;
    char value[32];
    struct peer_id sender;
    uint64_t received_ns;
};

static struct mirror mirror[SLOTS];

static void take_rows(size_t max)
{
    struct record_row row;
    while (max-- > 0 && record_store_next_row(store, &row)) {
        assert_true(row.slot < SLOTS);
        struct mirror *to = &mirror[row.slot];
        *to = (struct mirror){.live = !row.gone, .key_len = row.record.key.len, .sender = row.record.sender};
        to->received_ns = row.record.received_ns;
        if (row.gone)
            continue;
        memcpy(to->key, row.record.key.data, row.record.key.len);
        memcpy(to->value, row.record.value.data, row.record.value.len);
    }
}

static size_t expect_mirror(void)
{
    size_t live = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        struct stored_record record;
        if (!mirror[i].live)
            continue;
        live++;
        assert_ok(record_store_get(store, span_of(mirror[i].key, mirror[i].key_len), start_ns, &record));
        assert_true(span_equal_text(record.value, mirror[i].value));
    }
    assert_int_equal(live, record_store_counts(store).records);
    return live;
}

static void comes_back_from_its_rows(void **state)
{
    (void)state;
    static struct mirror old[SLOTS];
    struct prng prng;
    prng_init(&prng, 3);
    memset(mirror, 0, sizeof(mirror));
    for (unsigned step = 0; step < 20000; step++) {
        char value[32];
        (void)snprintf(value, sizeof(value), "%u 90", (unsigned)prng_below(&prng, 1000));
        enum err err = put(prng_below(&prng, 400), value, prng_below(&prng, 30), start_ns);
        assert_true(err == ERR_OK || err == ERR_EXISTS);
        take_rows(prng_below(&prng, 3));
    }
    take_rows(SIZE_MAX);
    size_t before = expect_mirror();
    memcpy(old, mirror, sizeof(old));
    record_store_free(store);
    (void)setup(NULL);
    for (uint32_t slot = SLOTS; slot-- > 0;) {
        struct record_row row = {.slot = slot,
                                 .record = {.key = span_of(old[slot].key, old[slot].key_len),
                                            .value = span_text(old[slot].value),
                                            .sender = old[slot].sender,
                                            .received_ns = old[slot].received_ns}};
        if (old[slot].live)
            assert_true(record_store_load(store, &row, start_ns));
    }
    take_rows(SIZE_MAX);
    assert_int_equal(expect_mirror(), before);
    struct record_row forged = {
        .slot = 1,
        .record = {.key = span_text("k"), .value = span_text("forged"), .sender = peer_of(1), .received_ns = start_ns}};
    assert_true(record_store_load(store, &forged, start_ns));
    assert_int_equal(record_store_counts(store).records, before);
    forged.slot = UINT32_MAX;
    assert_false(record_store_load(store, &forged, start_ns));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_better_record_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_unwanted_by_its_key_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_rules_refuse_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(records_end_after_two_days_or_at_their_own_end, setup, teardown),
        cmocka_unit_test_setup_teardown(the_clock_may_go_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood_of_one_peer_eats_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_full_of_single_records_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(comes_back_from_its_rows, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
