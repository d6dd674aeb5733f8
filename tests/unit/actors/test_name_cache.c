/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/control/name_cache.h"
#include "base/limits.h"

static struct peer_id name_of(uint8_t number)
{
    return (struct peer_id){.len = 3, .bytes = {0, 1, number}};
}

static void put(struct name_cache *cache, uint8_t number, const char *value, uint64_t until)
{
    struct peer_id name = name_of(number);
    name_cache_put(cache, &name, span_text(value), 10, until);
}

static void expect(struct name_cache *cache, uint8_t number, uint64_t now, const char *value)
{
    struct peer_id name = name_of(number);
    struct span got;
    bool found = name_cache_get(cache, &name, now, &got);
    assert_int_equal(found, value != NULL);
    if (found)
        assert_true(span_equal_text(got, value));
}

static void values_last_as_long_as_told(void **state)
{
    (void)state;
    struct name_cache cache;
    name_cache_init(&cache, 4, NULL);
    expect(&cache, 1, 10, NULL);
    put(&cache, 1, "/ipfs/a", 20);
    put(&cache, 2, "/ipfs/b", 10); /* over already */
    expect(&cache, 1, 19, "/ipfs/a");
    expect(&cache, 2, 10, NULL);
    put(&cache, 1, "/ipfs/c", 30);
    expect(&cache, 1, 29, "/ipfs/c");
    expect(&cache, 1, 30, NULL);
    put(&cache, 1, "/ipfs/d", 30);
    put(&cache, 1, "/ipfs/d", 0); /* forgotten */
    expect(&cache, 1, 11, NULL);
    name_cache_release(&cache);
}

static void the_one_used_longest_ago_gives_way(void **state)
{
    (void)state;
    struct name_cache cache;
    struct account account;
    account_init(&account, "test", 16 * 1024);
    name_cache_init(&cache, 3, &account);
    put(&cache, 1, "/ipfs/1", 99);
    put(&cache, 2, "/ipfs/2", 99);
    put(&cache, 3, "/ipfs/3", 99);
    expect(&cache, 1, 11, "/ipfs/1");
    put(&cache, 4, "/ipfs/4", 99);
    expect(&cache, 1, 11, "/ipfs/1");
    expect(&cache, 2, 11, NULL);
    expect(&cache, 3, 11, "/ipfs/3");
    expect(&cache, 4, 11, "/ipfs/4");
    assert_true(account_used(&account) > 0);
    name_cache_release(&cache);
    assert_int_equal(account_used(&account), 0);
}

static void without_room_nothing_is_remembered(void **state)
{
    (void)state;
    struct name_cache cache;
    struct account account;
    static char large[NAME_CACHE_VALUE_MAX + 2];
    name_cache_init(&cache, 0, NULL);
    put(&cache, 1, "/ipfs/1", 99);
    expect(&cache, 1, 11, NULL);
    account_init(&account, "test", 64);
    name_cache_init(&cache, 100, &account);
    put(&cache, 1, "/ipfs/1", 99);
    expect(&cache, 1, 11, NULL);
    assert_int_equal(account_used(&account), 0);
    name_cache_init(&cache, 2, NULL);
    for (size_t i = 0; i + 1 < sizeof(large); i++)
        large[i] = 'x';
    put(&cache, 1, large, 99);
    expect(&cache, 1, 11, NULL);
    name_cache_release(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_last_as_long_as_told),
        cmocka_unit_test(the_one_used_longest_ago_gives_way),
        cmocka_unit_test(without_room_nothing_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
