/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/config_file.h"
#include "cli/repository.h"
#include "wire/keys.h"

static struct config *parse(const char *yaml, enum err expected, char why[CONFIG_WHY_BYTES])
{
    struct config *config = NULL;
    assert_int_equal(config_new("/repository", &config), ERR_OK);
    why[0] = '\0';
    assert_int_equal(config_file_parse(config, "config.yaml", span_text(yaml), why), expected);
    return config;
}

static void yaml_sections_are_the_dotted_keys(void **state)
{
    (void)state;
    char why[CONFIG_WHY_BYTES];
    struct config *config = parse("Addresses:\n  Swarm: [/ip4/127.0.0.1/tcp/9]\nSwarm:\n  ConnMgr:\n    HighWater: 7\n"
                                  "    LowWater: 3\nBootstrap:\n  - /ip4/1.2.3.4/tcp/1\n  - /ip4/1.2.3.5/tcp/1\n",
                                  ERR_OK, why);
    assert_int_equal(config->addresses_swarm.count, 1);
    assert_string_equal(config->addresses_swarm.items[0], "/ip4/127.0.0.1/tcp/9");
    assert_int_equal(config->swarm_connmgr_high_water, 7);
    assert_int_equal(config->bootstrap.count, 2);
    config_free(config);
    config_free(parse("# nothing\n", ERR_OK, why));
    config_free(parse("Swarm:\n  # ConnMgr: all of it a comment\n", ERR_OK, why));
    config_free(parse("", ERR_OK, why));
}

static void broken_yaml_names_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        enum err err;
        const char *names;
    } cases[] = {
        {"Swarm:\n  ConnMgr:\n    HighWatr: 7\n", ERR_NOT_FOUND, "config.yaml:3: "},
        {"Swarm:\n  ConnMgr:\n    HighWatr: 7\n", ERR_NOT_FOUND, "did you mean \"Swarm.ConnMgr.HighWater\"?"},
        {"Swarm: [\n", ERR_INVALID, "not YAML"},
        {"- a\n- b\n", ERR_INVALID, "must be a mapping"},
        {"Swarm: 5\n", ERR_NOT_FOUND, "\"Swarm\" is a section"},
        {"Swram: {}\n", ERR_NOT_FOUND, "did you mean \"Swarm\"?"},
        {"Foo: 5\n", ERR_NOT_FOUND, "see `hearth config show`"}, /* near nothing */
        {"Swarm:\n  ConMgr: {}\n", ERR_NOT_FOUND, "did you mean \"Swarm.ConnMgr\"?"},
        {"Log:\n  Level: {a: b}\n", ERR_INVALID, "Log.Level takes a value"},
        {"Log:\n  Level: warn\nLog:\n  Level: info\n", ERR_INVALID, "config.yaml:3: Log is there twice"},
        {"Log:\n  Level: [a, b]\n", ERR_INVALID, "takes one value"},
        {"Swarm: &x {ConnMgr: *x}\n", ERR_NOT_FOUND, "unknown configuration key \"Swarm.ConnMgr.ConnMgr\""},
        {"Swarm:\n  ConnMgr:\n    HighWater: -7\n", ERR_INVALID, "config.yaml:3: "},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char why[CONFIG_WHY_BYTES];
        config_free(parse(cases[i].yaml, cases[i].err, why));
        if (strstr(why, cases[i].names) == NULL)
            fail_msg("case %zu: %s", i, why);
    }
}

struct folder {
    char path[64];
};

static int make_folder(void **state)
{
    static struct folder folder;
    (void)snprintf(folder.path, sizeof(folder.path), "/tmp/hearth-repository-XXXXXX");
    *state = &folder;
    return mkdtemp(folder.path) == NULL;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"r/config.yaml", "r/identity.key", "r/daemon.lock", "r", ""};
    const struct folder *folder = *state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/%s", folder->path, names[i]);
        (void)remove(path);
    }
    return 0;
}

static void init_makes_a_key_that_stays(void **state)
{
    const struct folder *folder = *state;
    char path[128];
    char key[160];
    char why[CONFIG_WHY_BYTES];
    (void)snprintf(path, sizeof(path), "%s/r", folder->path);
    (void)snprintf(key, sizeof(key), "%s/identity.key", path);
    assert_false(repository_exists(path));
    assert_int_equal(repository_init(path, "test", why), ERR_OK);
    assert_int_equal(repository_init(path, NULL, why), ERR_EXISTS);
    struct stat info;
    assert_int_equal(stat(key, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);

    struct key_pair *first = NULL;
    struct key_pair *second = NULL;
    assert_int_equal(repository_identity(path, &first, why), ERR_OK);
    assert_int_equal(repository_identity(path, &second, why), ERR_OK);
    struct peer_id a = key_pair_peer_id(first);
    struct peer_id b = key_pair_peer_id(second);
    assert_true(peer_id_equal(&a, &b));
    key_pair_free(first);
    key_pair_free(second);

    struct config *config = NULL;
    assert_int_equal(repository_config(path, NULL, &config, why), ERR_OK);
    assert_string_equal(config->addresses_swarm.items[0], "/ip4/127.0.0.1/tcp/0");
    config_free(config);
}

static void a_damaged_key_is_an_error_never_a_new_identity(void **state)
{
    const struct folder *folder = *state;
    char path[128];
    char key[160];
    char why[CONFIG_WHY_BYTES];
    (void)snprintf(path, sizeof(path), "%s/r", folder->path);
    (void)snprintf(key, sizeof(key), "%s/identity.key", path);
    struct key_pair *pair = NULL;
    assert_int_equal(repository_identity(path, &pair, why), ERR_NOT_FOUND);
    assert_int_equal(repository_init(path, NULL, why), ERR_OK);
    assert_int_equal(truncate(key, 20), 0);
    assert_int_not_equal(repository_identity(path, &pair, why), ERR_OK);
    assert_non_null(strstr(why, "identity.key is damaged"));
    assert_null(pair);
}

static void one_daemon_holds_the_lock(void **state)
{
    const struct folder *folder = *state;
    char path[128];
    char why[CONFIG_WHY_BYTES];
    (void)snprintf(path, sizeof(path), "%s/r", folder->path);
    assert_int_equal(repository_init(path, NULL, why), ERR_OK);
    int first = -1;
    int second = -1;
    assert_int_equal(repository_lock(path, &first, why), ERR_OK);
    assert_int_equal(repository_lock(path, &second, why), ERR_BUSY);
    assert_non_null(strstr(why, "another hearth daemon"));
    assert_int_equal(close(first), 0);
    assert_int_equal(repository_lock(path, &second, why), ERR_OK);
    assert_int_equal(close(second), 0);
}

/* Killed with its nanny, a daemon may outlive it for a moment. */
static void a_daemon_that_is_ending_is_waited_for(void **state)
{
    const struct folder *folder = *state;
    char path[128];
    char why[CONFIG_WHY_BYTES];
    (void)snprintf(path, sizeof(path), "%s/r", folder->path);
    assert_int_equal(repository_init(path, NULL, why), ERR_OK);
    int held = -1;
    assert_int_equal(repository_lock(path, &held, why), ERR_OK);
    pid_t ending = fork();
    assert_true(ending >= 0);
    if (ending == 0) {
        /* It has the lock by the descriptor that both share, until it ends. */
        (void)poll(NULL, 0, 200);
        _exit(0);
    }
    assert_int_equal(close(held), 0);
    int next = -1;
    assert_int_equal(repository_lock(path, &next, why), ERR_OK);
    assert_int_equal(close(next), 0);
    assert_int_equal(waitpid(ending, NULL, 0), ending);
}

static void a_path_too_long_for_the_socket_names_the_setting(void **state)
{
    (void)state;
    char path[128];
    char why[CONFIG_WHY_BYTES];
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[100] = '\0';
    struct config *config = NULL;
    assert_int_equal(repository_config(path, NULL, &config, why), ERR_TOO_LARGE);
    assert_non_null(strstr(why, "HEARTH_PATH"));
    assert_int_equal(repository_init(path, NULL, why), ERR_TOO_LARGE); /* before anything is made */
    assert_non_null(strstr(why, "HEARTH_PATH"));
    assert_int_not_equal(access(path, F_OK), 0);
}

static void addresses_that_are_none_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *variable;
        const char *value;
        enum err err;
    } cases[] = {
        {"HEARTH_ADDRESSES__SWARM", "/ip4/1.2.3/tcp/1", ERR_INVALID},
        {"HEARTH_ADDRESSES__ANNOUNCE", "nonsense", ERR_INVALID},
        {"HEARTH_BOOTSTRAP", "/ip4/127.0.0.1/tcp/1", ERR_INVALID},
        {"HEARTH_PEERING__PEERS", "/ip4/127.0.0.1/tcp/1", ERR_INVALID},
        {"HEARTH_BOOTSTRAP", "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN", ERR_OK},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config *config = NULL;
        char why[CONFIG_WHY_BYTES] = "";
        assert_int_equal(setenv(cases[i].variable, cases[i].value, 1), 0);
        assert_int_equal(repository_config("/tmp/hearth-none", NULL, &config, why), cases[i].err);
        assert_int_equal(unsetenv(cases[i].variable), 0);
        if (cases[i].err == ERR_OK)
            config_free(config);
        else
            assert_non_null(strstr(why, cases[i].value));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_sections_are_the_dotted_keys),
        cmocka_unit_test(broken_yaml_names_the_line),
        cmocka_unit_test_setup_teardown(init_makes_a_key_that_stays, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_damaged_key_is_an_error_never_a_new_identity, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(one_daemon_holds_the_lock, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_daemon_that_is_ending_is_waited_for, make_folder, remove_folder),
        cmocka_unit_test(a_path_too_long_for_the_socket_names_the_setting),
        cmocka_unit_test(addresses_that_are_none_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
