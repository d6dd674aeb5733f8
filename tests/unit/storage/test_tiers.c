/* SPDX-License-Identifier: MIT */
/* The pure parts of the tiers: the memory tier beside its account, the filter, heat. */
#include "tests/support/storage.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/random.h"
#include "sim/disk.h"
#include "storage/filter.h"
#include "storage/heat.h"
#include "storage/memory_tier.h"

static void number_key(uint64_t n, struct block_key *ret_key)
{
    test_key(span_of(&n, sizeof(n)), ret_key);
}

/* ---- memory tier ---- */

static struct block_ref *block(size_t len)
{
    struct block_ref *ref = block_ref_new(len, NULL);
    assert_non_null(ref);
    memset(ref->data, 7, len);
    return ref;
}

static void the_tier_stays_within_its_account(void **state)
{
    (void)state;
    struct account account;
    account_init(&account, "memory", 10000);
    struct memory_tier *tier = memory_tier_new(&account, NULL, TIER_POLICY_LRU);
    for (uint64_t n = 0; n < 100; n++) {
        struct block_key key;
        struct block_ref *ref = block(1000);
        number_key(n, &key);
        memory_tier_put(tier, &key, ref);
        block_ref_unref(ref);
        assert_true(account_used(&account) <= 10000);
        ref = memory_tier_get(tier, &key);
        assert_non_null(ref);
        block_ref_unref(ref);
    }
    assert_int_equal(memory_tier_stats(tier).blocks, 10);
    memory_tier_free(tier);
    assert_int_equal(account_used(&account), 0);
}

/* Others may use the account: what is new is kept all the same. */
static void the_tier_yields_to_what_else_is_charged(void **state)
{
    (void)state;
    struct account account;
    account_init(&account, "memory", 10000);
    assert_true(account_take(&account, 2500));
    struct memory_tier *tier = memory_tier_new(&account, NULL, TIER_POLICY_LRU);
    for (uint64_t n = 0; n < 30; n++) {
        struct block_key key;
        size_t len = 0;
        struct block_ref *ref = block(1000);
        number_key(n, &key);
        memory_tier_put(tier, &key, ref);
        block_ref_unref(ref);
        assert_true(memory_tier_has(tier, &key, &len));
    }
    assert_int_equal(memory_tier_stats(tier).blocks, 7);
    memory_tier_free(tier);
    account_give(&account, 2500);
}

static void a_block_in_use_keeps_its_share_and_shared_ones_are_not_cached(void **state)
{
    (void)state;
    struct account account;
    struct block_key key;
    struct block_key other;
    size_t len = 0;
    account_init(&account, "memory", 3000);
    struct memory_tier *tier = memory_tier_new(&account, NULL, TIER_POLICY_LRU);
    struct block_ref *held = block(1000);
    number_key(1, &key);
    number_key(2, &other);
    memory_tier_put(tier, &key, held);
    memory_tier_drop(tier, &key);
    assert_false(memory_tier_has(tier, &key, &len));
    assert_int_equal(account_used(&account), 1000); /* someone still holds it */
    struct block_ref *shared = block(500);
    (void)block_ref_ref(shared);
    memory_tier_put(tier, &other, shared);
    assert_false(memory_tier_has(tier, &other, &len));
    block_ref_unref(shared);
    block_ref_unref(shared);
    block_ref_unref(held);
    assert_int_equal(account_used(&account), 0);
    struct block_ref *large = block(1501); /* more than half of the tier */
    memory_tier_put(tier, &other, large);
    assert_false(memory_tier_has(tier, &other, &len));
    block_ref_unref(large);
    memory_tier_free(tier);
}

static void get_often(struct memory_tier *tier, const struct block_key *key)
{
    for (int i = 0; i < 5; i++)
        block_ref_unref(memory_tier_get(tier, key));
}

/* As after each read from the disk. */
static bool put_new(struct memory_tier *tier, uint64_t n)
{
    struct block_key key;
    struct block_ref *ref = block(1000);
    size_t len;
    number_key(n, &key);
    memory_tier_put(tier, &key, ref);
    block_ref_unref(ref);
    return memory_tier_has(tier, &key, &len);
}

/* What is used often stays when blocks pass by that are used once; no policy lets go of what others read at the time. */
static void hot_blocks_stay_whatever_the_policy(void **state)
{
    (void)state;
    enum { HOT = 5, SCAN = 2000 };
    for (int kind = 0; kind < TIER_POLICY_KINDS; kind++) {
        struct account account;
        struct account tables;
        struct block_key key;
        uint32_t found = 0;
        account_init(&account, "memory", 10000);
        account_init(&tables, "tables", 1024 * 1024);
        struct memory_tier *tier = memory_tier_new(&account, &tables, (enum tier_policy_kind)kind);
        assert_non_null(tier);
        for (uint64_t n = 0; n < HOT; n++) {
            assert_true(put_new(tier, n));
            number_key(n, &key);
            get_often(tier, &key);
        }
        for (uint64_t n = 0; n < SCAN; n++) {
            (void)put_new(tier, 1000 + n);
            number_key(n % HOT, &key);
            struct block_ref *ref = memory_tier_get(tier, &key);
            found += ref != NULL;
            block_ref_unref(ref);
            assert_true(account_used(&account) <= 10000);
        }
        assert_true(found > SCAN * 99 / 100);
        assert_int_equal(memory_tier_stats(tier).bytes, account_used(&account));
        memory_tier_free(tier);
        assert_int_equal(account_used(&account), 0);
        assert_int_equal(account_used(&tables), 0);
    }
}

/* hearth's own, once it knows what returns: blocks used once stay out, so that they displace nothing. */
static void newcomers_colder_than_all_stay_out(void **state)
{
    (void)state;
    enum { HOT = 10, ROUNDS = 4000, KNOWN = 2000 };
    struct account account;
    struct block_key key;
    uint32_t let_in = 0;
    account_init(&account, "memory", HOT * 1000);
    struct memory_tier *tier = memory_tier_new(&account, NULL, TIER_POLICY_HEARTH);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        number_key(i % HOT, &key);
        struct block_ref *ref = memory_tier_get(tier, &key);
        if (ref == NULL)
            (void)put_new(tier, i % HOT);
        block_ref_unref(ref);
        let_in += put_new(tier, 1000 + i) && i >= KNOWN;
    }
    if (let_in > (ROUNDS - KNOWN) / 10)
        fail_msg("%u of %d", let_in, ROUNDS - KNOWN);
    memory_tier_free(tier);
}

/* ---- filter ---- */

enum { FILTER_KEYS = 100000, FILTER_STRANGERS = 200000 };

static struct filter *filled(uint64_t seed)
{
    struct filter *f = filter_new(FILTER_KEYS, seed, NULL);
    assert_non_null(f);
    for (uint64_t n = 0; n < FILTER_KEYS; n++) {
        struct block_key key;
        number_key(n, &key);
        filter_add(f, &key);
    }
    return f;
}

static void the_filter_is_never_wrong_and_rarely_vague(void **state)
{
    (void)state;
    struct filter *f = filled(99);
    struct block_key key;
    size_t vague = 0;
    number_key(FILTER_KEYS + 1, &key);
    assert_false(filter_absent(f, &key)); /* half-built: it says nothing */
    filter_complete(f);
    for (uint64_t n = 0; n < FILTER_KEYS; n++) {
        number_key(n, &key);
        assert_false(filter_absent(f, &key));
    }
    for (uint64_t n = 0; n < FILTER_STRANGERS; n++) {
        number_key(n + FILTER_KEYS, &key);
        vague += !filter_absent(f, &key);
    }
    /* 7 bits set of 10 for each key let 0.94 % through; with 4 it would be 1.26 %. */
    assert_in_range(vague, 1, FILTER_STRANGERS * 12 / 1000);
    filter_free(f);
}

/* Where the account is small the filter takes fewer bits a key, says less, and is never wrong; its file keeps how many. */
static void a_filter_fits_its_account(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, 16 * MIB);
    const struct disk_port *port = sim_disk_port(disk);
    struct catalogue_info info = {.generation = 3};
    struct account account;
    struct block_key key;
    struct filter *loaded = NULL;
    unsigned vague[2] = {0};
    for (unsigned round = 0; round < 2; round++) { /* 10 bits of each of twice the keys; 5 of each */
        account_init(&account, "small", (uint64_t)FILTER_KEYS * (round == 0 ? 4 : 1));
        struct filter *f = filter_new_within(FILTER_KEYS * 2, FILTER_KEYS, 7, &account);
        assert_non_null(f);
        assert_true(account_free(&account) >= account.limit_bytes / 4);
        for (uint64_t n = 0; n < FILTER_KEYS; n++) {
            number_key(n, &key);
            filter_add(f, &key);
        }
        assert_false(filter_crowded(f));
        filter_complete(f);
        assert_int_equal(filter_save(f, port, "filter", &info), ERR_OK);
        filter_free(f);
        assert_int_equal(filter_load(port, "filter", &info, &account, &loaded), ERR_OK);
        for (uint64_t n = 0; n < 2 * FILTER_KEYS; n++) {
            struct block_key one[1];
            bool absent[1];
            number_key(n, &one[0]);
            filter_absent_many(loaded, one, 1, absent);
            assert_int_equal(absent[0], filter_absent(loaded, &one[0]));
            assert_true(n >= FILTER_KEYS || !absent[0]);
            vague[round] += n >= FILTER_KEYS && !absent[0];
        }
        filter_free(loaded);
        assert_int_equal(account_used(&account), 0);
    }
    assert_true(vague[0] * 100 < FILTER_KEYS * 2);
    /* 4 bits set of 5 for each key let 9.4 % through; with 2 it would be 11 %. */
    assert_true(vague[1] * 100 > FILTER_KEYS * 3 && vague[1] * 200 < FILTER_KEYS * 21);
    account_init(&account, "tiny", FILTER_KEYS / 4);
    assert_null(filter_new_within(FILTER_KEYS * 2, FILTER_KEYS, 7, &account));
    sim_disk_free(disk);
}

static void a_filter_file_counts_only_for_its_rows(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, 16 * MIB);
    const struct disk_port *port = sim_disk_port(disk);
    struct catalogue_info info = {.id = {1, 2, 3}, .generation = 42};
    struct filter *f = filled(5);
    struct filter *loaded = NULL;
    struct block_key key;
    assert_int_equal(filter_save(f, port, "filter", &info), ERR_INVALID); /* not complete */
    filter_complete(f);
    assert_int_equal(filter_load(port, "filter", &info, NULL, &loaded), ERR_NOT_FOUND);
    assert_int_equal(filter_save(f, port, "filter", &info), ERR_OK);
    filter_free(f);
    assert_int_equal(filter_load(port, "filter", &info, NULL, &loaded), ERR_OK);
    number_key(77, &key);
    assert_false(filter_absent(loaded, &key));
    filter_free(loaded);
    struct catalogue_info later = info;
    later.generation++;
    assert_int_equal(filter_load(port, "filter", &later, NULL, &loaded), ERR_MISMATCH);
    struct catalogue_info other = info;
    other.id[0] = 9;
    assert_int_equal(filter_load(port, "filter", &other, NULL, &loaded), ERR_MISMATCH);
    for (uint64_t at = 0; at < 20000; at += 997) {
        assert_int_equal(sim_disk_damage(disk, "filter", at, 0x20), ERR_OK);
        assert_int_not_equal(filter_load(port, "filter", &info, NULL, &loaded), ERR_OK);
        assert_int_equal(sim_disk_damage(disk, "filter", at, 0x20), ERR_OK);
    }
    struct disk_file *file;
    assert_int_equal(port->open(port->self, "filter", DISK_WRITE, &file), ERR_OK);
    assert_int_equal(port->truncate(file, 30), ERR_OK);
    port->close(file);
    assert_int_equal(filter_load(port, "filter", &info, NULL, &loaded), ERR_CORRUPT);
    sim_disk_free(disk);
}

static void a_filter_over_its_account_is_refused(void **state)
{
    (void)state;
    struct account account;
    account_init(&account, "tables", 1000);
    assert_null(filter_new(FILTER_KEYS, 1, &account));
    assert_int_equal(account_used(&account), 0);
}

/* ---- heat ---- */

static void note(struct heat_map *map, uint64_t n, enum heat_kind kind, uint64_t now)
{
    struct block_key key;
    number_key(n, &key);
    assert_int_equal(heat_map_note(map, &key, span_text("cid"), kind, NULL, now), ERR_OK);
}

static void heat_cools_and_orders(void **state)
{
    (void)state;
    struct heat_map map;
    struct heat_entry rows[3];
    struct block_key key;
    heat_map_init(&map, NULL);
    note(&map, 1, HEAT_READ, 0);
    note(&map, 1, HEAT_READ, 0);
    note(&map, 2, HEAT_WANTED, 0);
    note(&map, 3, HEAT_READ, 0);
    number_key(1, &key);
    assert_true(heat_map_score(&map, &key, 0) == 2.0);
    assert_true(heat_map_score(&map, &key, HEAT_HALF_LIFE_NS) == 1.0);
    assert_true(heat_map_score(&map, &key, HEAT_HALF_LIFE_NS / 2) == 1.5);
    assert_true(heat_map_score(&map, &key, 1000 * HEAT_HALF_LIFE_NS) == 0.0);
    note(&map, 3, HEAT_SERVED, 2 * HEAT_HALF_LIFE_NS);
    assert_int_equal(heat_map_top(&map, 2 * HEAT_HALF_LIFE_NS, rows, 3), 3);
    number_key(3, &key);
    assert_true(block_key_equal(&rows[0].key, &key));
    assert_int_equal(rows[0].accesses, 2);
    number_key(2, &key);
    assert_true(block_key_equal(&rows[2].key, &key));
    assert_int_equal(rows[2].wants, 1);
    assert_int_equal(heat_map_top(&map, 0, rows, 1), 1);
    heat_map_release(&map);
}

static void the_last_asker_is_remembered(void **state)
{
    (void)state;
    struct heat_map map;
    struct heat_entry row;
    struct block_key key;
    struct peer_id first = peer_id_of_key(span_text("a public key"));
    struct peer_id second = peer_id_of_key(span_text("another public key"));
    heat_map_init(&map, NULL);
    number_key(1, &key);
    assert_false(heat_map_find(&map, &key, 0, &row));
    assert_int_equal(heat_map_note(&map, &key, span_text("cid"), HEAT_WANTED, &first, 5), ERR_OK);
    assert_int_equal(heat_map_note(&map, &key, span_text("cid"), HEAT_WANTED, &second, 7), ERR_OK);
    note(&map, 1, HEAT_SERVED, 9);
    assert_true(heat_map_find(&map, &key, 9, &row));
    assert_memory_equal(&row.asker, &second, sizeof(second));
    assert_int_equal(row.wanted_at_ns, 7);
    assert_int_equal(row.used_at_ns, 9);
    assert_int_equal(row.wants, 2);
    assert_int_equal(row.accesses, 1);
    heat_map_release(&map);
}

static void a_flood_of_strangers_does_not_displace_the_hot(void **state)
{
    (void)state;
    struct heat_map map;
    struct block_key key;
    heat_map_init(&map, NULL);
    for (int i = 0; i < 50; i++)
        note(&map, 1, HEAT_READ, 0);
    for (uint64_t n = 10; n < 3 * HEAT_BLOCKS_MAX; n++)
        note(&map, n, HEAT_WANTED, 1);
    assert_in_range(table_len(&map.rows), 1, HEAT_BLOCKS_MAX);
    number_key(1, &key);
    assert_true(heat_map_score(&map, &key, 1) > 49.0);
    heat_map_release(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tier_yields_to_what_else_is_charged),
        cmocka_unit_test(the_tier_stays_within_its_account),
        cmocka_unit_test(a_block_in_use_keeps_its_share_and_shared_ones_are_not_cached),
        cmocka_unit_test(hot_blocks_stay_whatever_the_policy),
        cmocka_unit_test(newcomers_colder_than_all_stay_out),
        cmocka_unit_test(the_filter_is_never_wrong_and_rarely_vague),
        cmocka_unit_test(a_filter_fits_its_account),
        cmocka_unit_test(a_filter_file_counts_only_for_its_rows),
        cmocka_unit_test(a_filter_over_its_account_is_refused),
        cmocka_unit_test(heat_cools_and_orders),
        cmocka_unit_test(the_last_asker_is_remembered),
        cmocka_unit_test(a_flood_of_strangers_does_not_displace_the_hot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
