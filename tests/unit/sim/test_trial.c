/* SPDX-License-Identifier: MIT */
/* Swarms of whole nodes under load and faults, judged; and that the judge sees what is broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "sim/journal.h"
#include "sim/trial.h"

enum { NODES = 4, SAFETY_SECONDS = 40 };

static enum err play(enum trial_scenario scenario, uint64_t seed, unsigned nodes, uint64_t seconds, sim_disk_skip *skip,
                     struct journal *journal, struct trial_result *ret_result, char why[TRIAL_WHY_BYTES])
{
    struct trial_options options = {
        .plan = {.nodes = nodes, .safety_ns = seconds * SECOND_NS}, .skip = skip, .journal = journal};
    trial_plan_derive(&options.plan, seed, scenario);
    return trial_play(&options, ret_result, why);
}

static struct trial_result expect_good(enum trial_scenario scenario, uint64_t seed, unsigned nodes, uint64_t seconds)
{
    struct trial_result result = {0};
    char why[TRIAL_WHY_BYTES] = "";
    if (play(scenario, seed, nodes, seconds, NULL, NULL, &result, why) != ERR_OK)
        fail_msg("%s seed %llu: %s", trial_scenario_name(scenario), (unsigned long long)seed, why);
    return result;
}

static void each_scenario_keeps_its_promises(void **state)
{
    (void)state;
    for (unsigned scenario = 0; scenario < TRIAL_SCENARIOS; scenario++) {
        struct trial_result result = expect_good((enum trial_scenario)scenario, 7, NODES, SAFETY_SECONDS);
        assert_true(result.done[ERRAND_PIN] > 0);
        assert_true(result.done[ERRAND_HEALTH] >= NODES);
    }
}

static void one_seed_gives_one_run(void **state)
{
    (void)state;
    struct trial_result first = expect_good(TRIAL_EVERYTHING, 3, NODES, SAFETY_SECONDS);
    struct trial_result second = expect_good(TRIAL_EVERYTHING, 3, NODES, SAFETY_SECONDS);
    struct trial_result other = expect_good(TRIAL_EVERYTHING, 4, NODES, SAFETY_SECONDS);
    assert_true(first.trace == second.trace);
    assert_int_equal(first.steps, second.steps);
    assert_memory_equal(first.faults, second.faults, sizeof(first.faults));
    assert_true(first.trace != other.trace);
}

/* Of each thing that is done to nodes and links, whatever scenario it is of. */
static void each_fault_is_reached(void **state)
{
    (void)state;
    struct trial_result sum = {0};
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct trial_result result = expect_good(TRIAL_EVERYTHING, seed, NODES, 60);
        for (size_t i = 0; i < TRIAL_FAULTS; i++)
            sum.faults[i] += result.faults[i];
        for (size_t i = 0; i < SIM_CUT_COUNT; i++)
            sum.cuts[i] += result.cuts[i];
        sum.connects_lost += result.connects_lost;
    }
    for (size_t i = 0; i < TRIAL_FAULTS; i++)
        if (sum.faults[i] == 0)
            fail_msg("no fault %s", trial_fault_name((enum trial_fault)i));
    for (size_t i = 0; i < SIM_CUT_COUNT; i++)
        if (sum.cuts[i] == 0)
            fail_msg("unsynced work was never %s", trial_cut_name((enum sim_disk_cut)i));
    assert_true(sum.connects_lost > 0);
}

/* A disk that says that it has synced and has not. */
static bool never_sync(void *arg, const char *path, bool is_folder)
{
    (void)arg;
    return !is_folder && strstr(path, ".seg") != NULL;
}

static void a_lost_block_is_seen(void **state)
{
    (void)state;
    unsigned seen = 0;
    for (uint64_t seed = 1; seed <= 6 && seen == 0; seed++) {
        struct trial_result result = {0};
        char why[TRIAL_WHY_BYTES] = "";
        enum err err = play(TRIAL_DISK, seed, NODES, 120, never_sync, NULL, &result, why);
        assert_true(err == ERR_OK || err == ERR_MISMATCH);
        seen += strstr(why, "is lost") != NULL;
        assert_true(err == ERR_OK || result.failed_ns > 0);
    }
    assert_true(seen > 0);
}

static void a_journal_is_read_again(void **state)
{
    (void)state;
    char path[] = "/tmp/hearth-journal-XXXXXX";
    struct trial_result result = {0};
    char why[TRIAL_WHY_BYTES] = "";
    char *text = NULL;
    size_t len = 0;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    struct journal *journal = journal_new(3600 * SECOND_NS);
    assert_non_null(journal);
    assert_int_equal(journal_open_file(journal, path), ERR_OK);
    assert_int_equal(play(TRIAL_ACTORS, 7, 3, 30, NULL, journal, &result, why), ERR_OK);
    assert_true(journal_free(journal));

    const struct journal_filter filter = {.node = 1, .actor = journal_actor("bitswap")};
    FILE *to = open_memstream(&text, &len);
    assert_non_null(to);
    assert_int_equal(journal_print_file(path, &filter, to), ERR_OK);
    (void)fclose(to);
    assert_non_null(strstr(text, "<- driver: call fetch"));
    assert_null(strstr(text, "  2  "));
    free(text);

    /* cut short, and what is none */
    assert_int_equal(truncate(path, 10), 0);
    to = open_memstream(&text, &len);
    assert_int_equal(journal_print_file(path, &filter, to), ERR_INVALID);
    (void)fclose(to);
    free(text);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(journal_print_file(path, &filter, stdout), ERR_IO);
}

/* ---- what was found ---- */

/* A line for each bug that a seed has shown, with what it was; as it was played then. */
static const struct {
    const char *what;
    enum trial_scenario scenario;
    uint64_t seed;
    unsigned nodes;
    uint64_t seconds;
} found[] = {
    {"a read error in the check of state.db was taken for damage, and what was carried over to a new one got lost",
     TRIAL_EVERYTHING, 37, 5, 120},
    {"the same, seen when all was well again", TRIAL_EVERYTHING, 17, 5, 120},
    {"the log of a database had frames that were written behind a sync: lost with the next one that failed, they hid "
     "all that followed",
     TRIAL_DISK, 12, 5, 120},
};

static void what_was_found_stays_mended(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(found); i++)
        (void)expect_good(found[i].scenario, found[i].seed, found[i].nodes, found[i].seconds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_scenario_keeps_its_promises),
        cmocka_unit_test(one_seed_gives_one_run),
        cmocka_unit_test(each_fault_is_reached),
        cmocka_unit_test(a_lost_block_is_seen),
        cmocka_unit_test(a_journal_is_read_again),
        cmocka_unit_test(what_was_found_stays_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
