/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schemas/config.h"
#include "schemas/role.h"

static void expect(const char *const *settings, size_t count, uint64_t low, uint64_t high, uint64_t grace_s)
{
    struct config *config = NULL;
    char why[CONFIG_WHY_BYTES] = "";
    assert_int_equal(config_new("/x", &config), ERR_OK);
    for (size_t i = 0; i < count; i += 2)
        assert_int_equal(config_set(config, settings[i], span_text(settings[i + 1]), why), ERR_OK);
    role_apply(config);
    assert_int_equal(config_check(config, why), ERR_OK);
    assert_int_equal(config->swarm_connmgr_low_water, low);
    assert_int_equal(config->swarm_connmgr_high_water, high);
    assert_int_equal(config->swarm_connmgr_grace_period, grace_s * SECOND_NS);
    config_free(config);
}
#define EXPECT(low, high, grace_s, ...)                                                                                \
    expect((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), low, high, \
           grace_s)

static void a_role_that_is_set_says_how_many_connections(void **state)
{
    (void)state;
    expect(NULL, 0, 32, 96, 20);
    EXPECT(100, 400, 30, "Role", "master");
    EXPECT(50, 200, 20, "Role", "worker");
    EXPECT(20, 100, 10, "Role", "leecher");
}

static void what_is_set_goes_before_the_role(void **state)
{
    (void)state;
    EXPECT(100, 300, 1, "Role", "master", "Swarm.ConnMgr.HighWater", "300", "Swarm.ConnMgr.GracePeriod", "1s");
    EXPECT(32, 96, 20, "Role", "leecher", "Swarm.ConnMgr.HighWater", "96", "Swarm.ConnMgr.LowWater", "32",
           "Swarm.ConnMgr.GracePeriod", "20s"); /* though these are the defaults */
    EXPECT(60, 60, 30, "Role", "master", "Swarm.ConnMgr.HighWater", "60");
}

static void a_contradiction_is_still_one(void **state)
{
    (void)state;
    struct config *config = NULL;
    char why[CONFIG_WHY_BYTES] = "";
    assert_int_equal(config_new("/x", &config), ERR_OK);
    assert_false(config_is_set(config, "Role"));
    assert_int_equal(config_set(config, "Swarm.ConnMgr.LowWater", span_text("500"), why), ERR_OK);
    role_apply(config);
    assert_int_equal(config_check(config, why), ERR_INVALID);
    assert_true(config_is_set(config, "Swarm.ConnMgr.LowWater"));
    assert_false(config_is_set(config, "Swarm.ConnMgr.Nothing"));
    config_free(config);
}

static void a_leecher_does_least(void **state)
{
    (void)state;
    struct config *config = NULL;
    char why[CONFIG_WHY_BYTES] = "";
    assert_int_equal(config_new("/x", &config), ERR_OK);
    assert_string_equal(role_of(config)->name, "worker");
    assert_true(role_of(config)->tracks_heat && role_of(config)->caches && role_of(config)->dht_server);
    assert_int_equal(config_set(config, "Role", span_text("master"), why), ERR_OK);
    assert_true(role_of(config)->tracks_heat && role_of(config)->caches && role_of(config)->dht_server);
    assert_true(role_of(config)->discovered_max == UINT64_MAX);
    assert_int_equal(config_set(config, "Role", span_text("leecher"), why), ERR_OK);
    assert_false(role_of(config)->tracks_heat || role_of(config)->caches || role_of(config)->dht_server);
    assert_int_equal(role_of(config)->discovered_max, 10);
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_role_that_is_set_says_how_many_connections),
        cmocka_unit_test(what_is_set_goes_before_the_role),
        cmocka_unit_test(a_contradiction_is_still_one),
        cmocka_unit_test(a_leecher_does_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
