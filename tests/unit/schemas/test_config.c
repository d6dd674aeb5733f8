/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "schemas/config.h"

static struct config *fresh(void)
{
    struct config *config = NULL;
    assert_int_equal(config_new("/repository", &config), ERR_OK);
    return config;
}

static void defaults_are_the_documented_ones(void **state)
{
    (void)state;
    struct config *config = fresh();
    assert_int_equal(config->addresses_swarm.count, 2);
    assert_string_equal(config->addresses_swarm.items[0], "/ip4/0.0.0.0/tcp/4001");
    assert_int_equal(config->swarm_connmgr_high_water, 96);
    assert_int_equal(config->datastore_storage_max, UINT64_C(10000000000));
    assert_string_equal(config->import_profile, "unixfs-v1-2025");
    assert_int_equal(config->bootstrap.count, 1);
    assert_string_equal(config->bootstrap.items[0], CONFIG_BOOTSTRAP_AUTO);
    config_free(config);
}

static void an_unknown_key_gets_a_suggestion(void **state)
{
    (void)state;
    struct config *config = fresh();
    char why[CONFIG_WHY_BYTES] = "";
    assert_int_equal(config_set(config, "Datastore.StorageMx", span_text("1GB"), why), ERR_NOT_FOUND);
    assert_non_null(strstr(why, "did you mean \"Datastore.StorageMax\"?"));
    config_free(config);
}

static void a_bad_value_changes_nothing_and_names_the_grammar(void **state)
{
    (void)state;
    struct config *config = fresh();
    char why[CONFIG_WHY_BYTES] = "";
    assert_int_equal(config_set(config, "Swarm.ConnMgr.HighWater", span_text("many"), why), ERR_INVALID);
    assert_non_null(strstr(why, "Swarm.ConnMgr.HighWater: \"many\""));
    assert_int_equal(config->swarm_connmgr_high_water, 96);
    assert_int_equal(config_set(config, "Routing.Type", span_text("gossip"), why), ERR_INVALID);
    assert_non_null(strstr(why, "is not one of auto"));
    config_free(config);
}

static void environment_variables_override(void **state)
{
    (void)state;
    struct config *config = fresh();
    char why[CONFIG_WHY_BYTES] = "";
    char a[] = "HEARTH_SWARM__CONNMGR__GRACEPERIOD=5s";
    char b[] = "HEARTH_ADDRESSES__SWARM=/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2";
    char c[] = "HEARTH_BOOTSTRAP=";
    char d[] = "HEARTH_PATH=/elsewhere";
    char e[] = "OTHER__THING=1";
    char *good[] = {a, b, c, d, e, NULL};
    assert_int_equal(config_set_environment(config, good, why), ERR_OK);
    assert_int_equal(config->swarm_connmgr_grace_period, 5 * SECOND_NS);
    assert_int_equal(config->addresses_swarm.count, 2);
    assert_string_equal(config->addresses_swarm.items[1], "/ip4/127.0.0.1/tcp/2");
    assert_int_equal(config->bootstrap.count, 0);
    char f[] = "HEARTH_SWARM__CONMGR__GRACEPERIOD=5s";
    char *bad[] = {f, NULL};
    assert_int_equal(config_set_environment(config, bad, why), ERR_NOT_FOUND);
    assert_non_null(strstr(why, "Swarm.ConnMgr.GracePeriod"));
    config_free(config);
}

/* What is a switch in Kubo's shape is also named by its section, as scripts do it. */
static void a_switch_has_a_short_name(void **state)
{
    (void)state;
    struct config *config = fresh();
    char why[CONFIG_WHY_BYTES] = "";
    char off[] = "HEARTH_DISCOVERY__MDNS=false";
    char on[] = "HEARTH_DISCOVERY__MDNS__ENABLED=true";
    char wrong[] = "HEARTH_DISCOVERY__MDNS__ENABLE=true";
    char section[] = "HEARTH_DISCOVERY=true";
    char *short_name[] = {off, NULL};
    char *long_name[] = {on, section, NULL};
    char *unknown[] = {wrong, NULL};
    assert_true(config->discovery_mdns);
    assert_int_equal(config_set_environment(config, short_name, why), ERR_OK);
    assert_false(config->discovery_mdns);
    assert_int_equal(config_set_environment(config, long_name, why), ERR_OK);
    assert_true(config->discovery_mdns);
    assert_int_equal(config_set_environment(config, unknown, why), ERR_NOT_FOUND);
    assert_int_equal(config_set(config, "Discovery.MDNS", span_text("false"), why), ERR_OK);
    assert_false(config->discovery_mdns);
    assert_int_equal(config_set(config, "Discovery.MDNS.Enabled", span_text("true"), why), ERR_OK);
    assert_true(config->discovery_mdns);
    assert_int_equal(config_set(config, "Discovery", span_text("true"), why), ERR_NOT_FOUND);
    assert_int_equal(config_profile(config, "server", why), ERR_OK);
    assert_false(config->discovery_mdns);
    config_free(config);
}

static void keys_are_checked_against_each_other(void **state)
{
    (void)state;
    struct config *config = fresh();
    char why[CONFIG_WHY_BYTES] = "";
    assert_int_equal(config_check(config, why), ERR_OK);
    assert_int_equal(config_set(config, "Control.AllowedUIDs", span_text("1000,root"), why), ERR_OK);
    assert_int_equal(config_check(config, why), ERR_INVALID);
    assert_non_null(strstr(why, "Control.AllowedUIDs: \"root\""));
    assert_int_equal(config_set(config, "Control.AllowedUIDs", span_text("1000"), why), ERR_OK);
    assert_int_equal(config_set(config, "Swarm.ConnMgr.LowWater", span_text("500"), why), ERR_OK);
    assert_int_equal(config_check(config, why), ERR_INVALID);
    assert_int_equal(config_set(config, "Swarm.ConnMgr.LowWater", span_text("1"), why), ERR_OK);
    assert_int_equal(config_set(config, "Routing.Type", span_text("delegated"), why), ERR_OK);
    assert_int_equal(config_check(config, why), ERR_INVALID);
    assert_non_null(strstr(why, "Routing.DelegatedRouters"));
    assert_int_equal(config_set(config, "Routing.DelegatedRouters", span_text("http://127.0.0.1:8080"), why), ERR_OK);
    assert_int_equal(config_check(config, why), ERR_OK);
    assert_int_equal(config_set(config, "Addresses.Gateway", span_text("/ip4/127.0.0.1/tcp/8080"), why), ERR_OK);
    assert_int_equal(config_check(config, why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why, "Addresses.Gateway"));
    config_free(config);
}

static void set(struct config *config, const char *key, const char *value)
{
    char why[CONFIG_WHY_BYTES] = "";
    if (config_set(config, key, span_text(value), why) != ERR_OK)
        fail_msg("%s", why);
}

static void expect_refused(const struct config *config, const char *part)
{
    char why[CONFIG_WHY_BYTES] = "";
    assert_int_equal(config_check(config, why), ERR_INVALID);
    if (strstr(why, part) == NULL)
        fail_msg("\"%s\" does not say %s", why, part);
}

static void a_cold_tier_in_a_folder_needs_one_of_its_own(void **state)
{
    (void)state;
    static const char *const inside[] = {"/repository", "/repository/", "//repository/cold", "/repository//x"};
    static const char *const outside[] = {"/repositories", "/mnt/repository", "/mnt/cold.d", "/", "/..cold"};
    static const char *const no_path[] = {"cold", "./cold", "/mnt/../repository", "/mnt/./cold", "/mnt/.."};
    struct config *config = fresh();
    char why[CONFIG_WHY_BYTES] = "";
    set(config, "Tiers.Cold.Path", "relative"); /* of no account without a Kind */
    assert_int_equal(config_check(config, why), ERR_OK);
    set(config, "Tiers.Cold.Path", "");
    set(config, "Tiers.Cold.Kind", "directory");
    expect_refused(config, "Tiers.Cold.Path: the cold tier of Kind directory needs");
    for (size_t i = 0; i < ARRAY_LEN(no_path); i++) {
        set(config, "Tiers.Cold.Path", no_path[i]);
        expect_refused(config, "is not absolute");
    }
    for (size_t i = 0; i < ARRAY_LEN(inside); i++) {
        set(config, "Tiers.Cold.Path", inside[i]);
        expect_refused(config, "is in the repository");
    }
    for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
        set(config, "Tiers.Cold.Path", outside[i]);
        assert_int_equal(config_check(config, why), ERR_OK);
    }
    set(config, "Tiers.DemoteTo", "80");
    expect_refused(config, "Tiers.DemoteTo must be under Tiers.DemoteAt");
    assert_int_equal(config_set(config, "Tiers.Cold.Kind", span_text("tape"), why), ERR_INVALID);
    assert_non_null(strstr(why, "\"tape\" is not one of directory|s3"));
    config_free(config);
}

static void a_cold_tier_on_s3_needs_a_bucket_and_whole_credentials(void **state)
{
    (void)state;
    struct config *config = fresh();
    char why[CONFIG_WHY_BYTES] = "";
    char kind[] = "HEARTH_TIERS__COLD__KIND=s3";
    char pack[] = "HEARTH_TIERS__COLD__PACKBYTES=8MiB";
    char *environment[] = {kind, pack, NULL};
    assert_int_equal(config_set_environment(config, environment, why), ERR_OK);
    assert_int_equal(config->tiers_cold_pack_bytes, 8 * MIB);
    expect_refused(config, "Tiers.Cold.Bucket");
    set(config, "Tiers.Cold.Bucket", "blocks");
    assert_int_equal(config_check(config, why), ERR_OK);
    set(config, "Tiers.Cold.Endpoint", "s3.example.com");
    expect_refused(config, "Tiers.Cold.Endpoint");
    set(config, "Tiers.Cold.Endpoint", "https://key:secret@s3.example.com");
    expect_refused(config, "Tiers.Cold.Endpoint");
    set(config, "Tiers.Cold.Endpoint", "https:///path");
    expect_refused(config, "Tiers.Cold.Endpoint");
    set(config, "Tiers.Cold.Endpoint", "http://");
    expect_refused(config, "Tiers.Cold.Endpoint");
    set(config, "Tiers.Cold.Endpoint", "http://s3.example.com/a/../b");
    expect_refused(config, "Tiers.Cold.Endpoint");
    set(config, "Tiers.Cold.Endpoint", "https://s3.example.com");
    set(config, "Tiers.Cold.Bucket", "..");
    expect_refused(config, "Tiers.Cold.Bucket");
    set(config, "Tiers.Cold.Bucket", "blocks");
    set(config, "Tiers.Cold.Prefix", "node");
    expect_refused(config, "must end with a slash");
    set(config, "Tiers.Cold.Prefix", "node/../other/");
    expect_refused(config, "Tiers.Cold.Prefix");
    set(config, "Tiers.Cold.Prefix", "./");
    expect_refused(config, "Tiers.Cold.Prefix");
    set(config, "Tiers.Cold.Prefix", ".node/..a/");
    assert_int_equal(config_check(config, why), ERR_OK);
    set(config, "Tiers.Cold.Prefix", "node/");
    set(config, "Tiers.Cold.CAFile", "ca.pem");
    expect_refused(config, "Tiers.Cold.CAFile");
    set(config, "Tiers.Cold.CAFile", "/etc/hearth/ca.pem");
    set(config, "Tiers.Cold.AccessKey", "AKIDEXAMPLE");
    expect_refused(config, "give both, or neither");
    set(config, "Tiers.Cold.SecretKey", "wJalrXUtnFEMI");
    assert_int_equal(config_check(config, why), ERR_OK);
    assert_int_equal(config_set(config, "Tiers.Cold.PackBytes", span_text("2GiB"), why), ERR_INVALID);
    config_free(config);
}

static void a_secret_is_never_printed(void **state)
{
    (void)state;
    struct config *config = fresh();
    char why[CONFIG_WHY_BYTES] = "";
    char long_one[200];
    struct buf out;
    buf_init(&out, 64 * KIB, NULL);
    set(config, "Tiers.Cold.SecretKey", "wJalrXUtnFEMI");
    for (int changed_only = 0; changed_only < 2; changed_only++) {
        assert_int_equal(config_print(config, true, changed_only, &out), ERR_OK);
        assert_int_equal(buf_append_byte(&out, '\0'), ERR_OK);
        assert_null(strstr((const char *)out.data, "wJalrXUtnFEMI"));
        assert_non_null(strstr((const char *)out.data, "SecretKey: \"\" # is set, and not shown"));
        buf_clear(&out);
    }
    memset(long_one, 'q', sizeof(long_one));
    assert_int_equal(config_set(config, "Tiers.Cold.SecretKey", span_of(long_one, sizeof(long_one)), why),
                     ERR_TOO_LARGE);
    assert_null(strstr(why, "qq"));
    assert_string_equal(config->tiers_cold_secret_key, "wJalrXUtnFEMI");
    buf_release(&out);
    config_free(config);
}

static void printing_nests_the_sections(void **state)
{
    (void)state;
    struct config *config = fresh();
    char why[CONFIG_WHY_BYTES] = "";
    assert_int_equal(config_profile(config, "test,lowpower", why), ERR_OK);
    assert_int_equal(config_profile(config, "fast", why), ERR_NOT_FOUND);
    struct buf out;
    buf_init(&out, 64 * KIB, NULL);
    assert_int_equal(config_print(config, false, true, &out), ERR_OK);
    assert_true(span_equal_text(buf_span(&out), "Addresses:\n"
                                                "  Swarm: [\"/ip4/127.0.0.1/tcp/0\"]\n"
                                                "Bootstrap: []\n"
                                                "Discovery:\n"
                                                "  MDNS:\n"
                                                "    Enabled: false\n"
                                                "Swarm:\n"
                                                "  ConnMgr:\n"
                                                "    LowWater: 16\n"
                                                "    HighWater: 32\n"
                                                "    GracePeriod: 10000ms\n"));
    buf_release(&out);
    config_free(config);
}

/* The page in the repository is the one that the declarations give. */
static void the_document_is_current(void **state)
{
    (void)state;
    struct buf made;
    buf_init(&made, MIB, NULL);
    assert_int_equal(config_document(&made), ERR_OK);
    FILE *file = fopen(HEARTH_SOURCE "/docs/config.md", "re");
    assert_non_null(file);
    char kept[32 * 1024];
    size_t len = fread(kept, 1, sizeof(kept), file);
    assert_int_equal(fclose(file), 0);
    if (!span_equal(buf_span(&made), span_of(kept, len)))
        fail_msg("docs/config.md is not current: make docs");
    buf_release(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_document_is_current),
        cmocka_unit_test(defaults_are_the_documented_ones),
        cmocka_unit_test(an_unknown_key_gets_a_suggestion),
        cmocka_unit_test(a_bad_value_changes_nothing_and_names_the_grammar),
        cmocka_unit_test(environment_variables_override),
        cmocka_unit_test(a_switch_has_a_short_name),
        cmocka_unit_test(keys_are_checked_against_each_other),
        cmocka_unit_test(a_cold_tier_in_a_folder_needs_one_of_its_own),
        cmocka_unit_test(a_cold_tier_on_s3_needs_a_bucket_and_whole_credentials),
        cmocka_unit_test(a_secret_is_never_printed),
        cmocka_unit_test(printing_nests_the_sections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
