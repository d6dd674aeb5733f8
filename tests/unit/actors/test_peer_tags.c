/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/connection_manager/peer_tags.h"
#include "base/limits.h"

static const uint64_t start_ns = 3600 * SECOND_NS;
static struct account account;
static struct peer_tags tags;

static int begin(void **state)
{
    (void)state;
    account_init(&account, "tables", 16 * MIB);
    peer_tags_init(&tags, &account);
    return 0;
}

static int end(void **state)
{
    (void)state;
    peer_tags_release(&tags);
    return account_used(&account) == 0 ? 0 : -1;
}

static struct peer_id peer(unsigned n)
{
    struct peer_id id = {.len = 34, .bytes = {0x12, 0x20, (uint8_t)n, (uint8_t)(n >> 8)}};
    return id;
}

static enum err set(unsigned who, const char *name, int64_t value, uint64_t half_life_ns, uint64_t now)
{
    struct peer_id id = peer(who);
    return peer_tags_set(&tags, &id, span_text(name), value, half_life_ns, now);
}

static int64_t value(unsigned who, uint64_t now)
{
    struct peer_id id = peer(who);
    return peer_tags_value(&tags, &id, now);
}

static enum err protect(unsigned who, const char *name, bool on)
{
    struct peer_id id = peer(who);
    return peer_tags_protect(&tags, &id, span_text(name), on, start_ns);
}

static bool is_protected(unsigned who)
{
    struct peer_id id = peer(who);
    return peer_tags_are_protecting(&tags, &id);
}

static void tags_add_up_and_are_replaced_by_name(void **state)
{
    (void)state;
    assert_int_equal(value(1, start_ns), 0);
    assert_int_equal(set(1, "kad", 5, 0, start_ns), ERR_OK);
    assert_int_equal(set(1, "bitswap", 20, 0, start_ns), ERR_OK);
    assert_int_equal(set(1, "kad", 7, 0, start_ns), ERR_OK);
    assert_int_equal(set(2, "kad", -3, 0, start_ns), ERR_OK);
    assert_int_equal(value(1, start_ns), 27);
    assert_int_equal(value(2, start_ns + 100000 * SECOND_NS), -3);
    assert_int_equal(set(1, "bitswap", 0, 0, start_ns), ERR_OK);
    assert_int_equal(set(1, "kad", 0, 0, start_ns), ERR_OK);
    assert_int_equal(set(2, "kad", 0, 0, start_ns), ERR_OK);
    assert_int_equal(table_len(&tags.peers), 0);
}

static void a_tag_with_a_half_life_fades(void **state)
{
    (void)state;
    assert_int_equal(set(1, "bitswap", 100, 60 * SECOND_NS, start_ns), ERR_OK);
    static const struct {
        uint64_t seconds;
        int64_t value;
    } rows[] = {{0, 100}, {30, 75}, {60, 50}, {120, 25}, {180, 12}, {600, 0}, {1000000, 0}};
    int64_t before = 100;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(value(1, start_ns + rows[i].seconds * SECOND_NS), rows[i].value);
    for (uint64_t s = 0; s < 600; s++) {
        int64_t now = value(1, start_ns + s * SECOND_NS);
        assert_true(now <= before && now >= 0);
        before = now;
    }
    for (char name[] = "a"; name[0] < 'a' + PEER_TAGS_MAX; name[0]++) /* the faded one takes no place */
        assert_int_equal(set(1, name, 1, SECOND_NS, start_ns + 600 * SECOND_NS), ERR_OK);
    assert_int_equal(set(1, "kad", 1, 0, start_ns + 600 * SECOND_NS), ERR_BUSY);
    assert_int_equal(set(1, "kad", 1, 0, start_ns + 700 * SECOND_NS), ERR_OK);
    assert_int_equal(set(2, "short", 100, 1, start_ns), ERR_OK); /* a nanosecond: more halvings than there are bits */
    assert_int_equal(value(2, start_ns + 64 * SECOND_NS), 0);
    assert_int_equal(set(2, "short", 0, 0, start_ns), ERR_OK);
    assert_int_equal(set(1, "kad", 0, 0, start_ns + 700 * SECOND_NS), ERR_OK);
    assert_int_equal(table_len(&tags.peers), 0);
}

static void protections_are_by_name_and_all_must_go(void **state)
{
    (void)state;
    assert_int_equal(protect(1, "peering", true), ERR_OK);
    assert_int_equal(protect(1, "peering", true), ERR_OK);
    assert_int_equal(protect(1, "bitswap", true), ERR_OK);
    assert_int_equal(protect(1, "peering", false), ERR_OK);
    assert_true(is_protected(1));
    assert_int_equal(protect(1, "bitswap", false), ERR_OK);
    assert_false(is_protected(1));
    assert_int_equal(protect(2, "nobody", false), ERR_OK);
    assert_int_equal(table_len(&tags.peers), 0);
}

static void a_part_that_ends_takes_its_marks_with_it(void **state)
{
    (void)state;
    assert_int_equal(set(1, "bitswap", 10, 0, start_ns), ERR_OK);
    assert_int_equal(set(1, "kad", 5, 0, start_ns), ERR_OK);
    assert_int_equal(protect(2, "bitswap", true), ERR_OK);
    peer_tags_forget(&tags, span_text("bitswap"));
    assert_int_equal(value(1, start_ns), 5);
    assert_false(is_protected(2));
    assert_int_equal(table_len(&tags.peers), 1);
}

static void everything_is_bounded(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        enum err expected = i < PEER_TAGS_MAX ? ERR_OK : ERR_BUSY;
        assert_int_equal(set(1, names[i], 100, 0, start_ns), expected);
        assert_int_equal(protect(1, names[i], true), expected);
    }
    assert_int_equal(set(1, "a name of more than twenty-three bytes", 1, 0, start_ns), ERR_TOO_LARGE);
    assert_int_equal(set(1, "a", PEER_TAG_VALUE_MAX + 1, 0, start_ns), ERR_TOO_LARGE);
    assert_int_equal(set(1, "a", INT64_MIN, 0, start_ns), ERR_TOO_LARGE);
    for (unsigned i = 2; i < PEER_TAGS_PEERS_MAX + 1; i++)
        assert_int_equal(set(i, "kad", i, 0, start_ns), ERR_OK);
    assert_int_equal(set(9000, "kad", 1, 0, start_ns), ERR_BUSY); /* nobody is worth less */
    assert_int_equal(set(9000, "kad", 50, 0, start_ns), ERR_OK);
    assert_int_equal(value(2, start_ns), 0); /* the one worth least made room */
    assert_int_equal(value(3, start_ns), 3);
    assert_int_equal(protect(9001, "peering", true), ERR_OK); /* goes before all values */
    assert_int_equal(value(3, start_ns), 0);
    assert_int_equal(set(9002, "kad", 50, 0, start_ns), ERR_OK); /* at the cost of one that is not protected */
    assert_int_equal(value(4, start_ns), 0);
    assert_true(is_protected(1) && is_protected(9001));
    assert_int_equal(table_len(&tags.peers), PEER_TAGS_PEERS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tags_add_up_and_are_replaced_by_name, begin, end),
        cmocka_unit_test_setup_teardown(a_tag_with_a_half_life_fades, begin, end),
        cmocka_unit_test_setup_teardown(protections_are_by_name_and_all_must_go, begin, end),
        cmocka_unit_test_setup_teardown(a_part_that_ends_takes_its_marks_with_it, begin, end),
        cmocka_unit_test_setup_teardown(everything_is_bounded, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
