/* SPDX-License-Identifier: MIT */
/*
 * What heat_tracker knows over its lives, seen by which blocks a wave takes: in sim, on one disk and one bucket, with the real tiered_storage and
 * cold_store.
 */
#include "tests/unit/actors/helper_tiers.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "actors/tree.h"
#include "schemas/messages.h"
#include "sim/bucket.h"
#include "sim/disk.h"
#include "sim/sim.h"
#include "storage/heat_store.h"
#include "storage/tier_policy.h"

/*
 * 20 blocks fit below Tiers.DemoteAt (90 %), and 22 do not; the policy holds 11 (50 %). A wave takes as many, of which those of two packs have gone when it
 * is looked at.
 */
enum {
    BLOCK_BYTES = 256 * 1024,
    STORAGE_MAX = 6 * 1024 * 1024,
    HOT = 6,
    FIRST = 20,
    ALL = 22,
    GO = 8,
    ROUNDS = 5,
    UNKNOWN = 99,
    OTHERS = 250000,
    TOGETHER = 2 * TIER_POLICY_ANNOUNCED_MAX + 5
};

static struct {
    _Atomic bool die;
    _Atomic unsigned told; /* to state: hot blocks */
    _Atomic unsigned held;
    _Atomic unsigned hot;
} play;

static void die(void)
{
    atomic_store(&play.die, true);
}

static struct block_ref *block_of(unsigned n, struct cid *ret_cid)
{
    return tiers_block(n, BLOCK_BYTES, ret_cid);
}

/* What v_hot would have: of the blocks told last, how many the policy holds, and how many have heat. */
static void state_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    struct item_hot_block item;
    size_t position = 0;
    unsigned held = 0;
    unsigned hot = 0;
    (void)ctx;
    (void)state;
    if (msg->kind != MSG_STATE_HOT)
        return;
    const struct msg_state_hot *m = msg->fields;
    while (schema_list_next_map(&m->blocks, &schema_item_hot_block, &position, &item)) {
        held += item.held;
        hot += item.learned && item.accesses >= ROUNDS && item.heat > 3 && item.long_heat > 3 && item.used_at > 0;
    }
    atomic_store(&play.told, m->blocks.count);
    atomic_store(&play.held, held);
    atomic_store(&play.hot, hot);
}

static const struct actor_class listener = {.name = "state", .state_bytes = 8, .handle_cast = state_cast};

/* The real one, but that it ends instead of beginning a wave, when the test wants it. */
static void dying_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    const struct msg_tier_pressure *m = msg->fields;
    if (msg->kind != MSG_TIER_PRESSURE || m->live_bytes < STORAGE_MAX / 100 * 90 || !atomic_exchange(&play.die, false))
        heat_tracker_class.handle_cast(ctx, state, msg);
    else
        ctx_exit(ctx, EXIT_FAILED, "the test wants it");
}

/* ---- the stage ---- */

static struct sim_disk *disk;
static struct sim_bucket *bucket;

static int setup(void **state)
{
    (void)state;
    disk = sim_disk_new(1, 64 * MIB);
    bucket = sim_bucket_new("blocks", 20 * MS_NS);
    return disk == NULL || bucket == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_bucket_free(bucket);
    sim_disk_free(disk);
    return 0;
}

static void live(const char *policy, const struct tiers_step *steps)
{
    struct actor_class dying = heat_tracker_class;
    struct sim *sim = sim_new(7);
    struct config *config = tiers_bucket_config("/node", "blocks", STORAGE_MAX);
    struct tiers_play on = {
        .state = &listener, .heat_tracker = &dying, .disk = sim_disk_port(disk), .sim = sim, .bucket = bucket};
    assert_non_null(sim);
    dying.handle_cast = dying_cast;
    sim_bucket_follow(bucket, sim);
    tiers_set(config, "Tiers.DemoteAt", "90");
    tiers_set(config, "Tiers.DemoteTo", "50");
    tiers_set(config, "Tiers.Policy", policy);
    memset(&play, 0, sizeof(play));
    tiers_follow(&on, config, steps, block_of);
    sim_free(sim);
}

/* ---- what is looked at ---- */

static bool lies_on_disk(const struct info *info)
{
    return ((const struct msg_block_facts_ok *)info->msg->fields)->segment != 0;
}

static unsigned on_disk; /* of those that were asked for */

static bool counts_on_disk(const struct info *info)
{
    const struct msg_block_facts_ok *m = info->msg->fields;
    on_disk += m->segment != 0;
    return m->segment != 0 || m->pack != 0;
}

static bool begins(struct span text, const char *with)
{
    return span_equal_text(span_first(text, strlen(with)), with);
}

static bool is_hot(const struct info *info)
{
    const struct msg_heat_explained *m = info->msg->fields;
    return span_equal_text(m->policy, "hearth") && m->wanted_on_disk && m->accesses >= ROUNDS && m->long_heat > 3 &&
           m->short_heat > 1 && m->size == BLOCK_BYTES && m->ways.count == 4 && m->way.len > 0 && m->tier.len > 0 &&
           begins(m->verdict, "it stays");
}

/* By the policy; who uses what is told by the life that is. */
static bool was_hot(const struct info *info)
{
    const struct msg_heat_explained *m = info->msg->fields;
    return m->wanted_on_disk && m->accesses == 0 && m->long_heat > 3;
}

static bool is_unknown(const struct info *info)
{
    const struct msg_heat_explained *m = info->msg->fields;
    return m->tier.len == 0 && m->size == 0 && m->accesses == 0 && !m->wanted_on_disk && m->long_heat < 0.5 &&
           span_equal_text(m->verdict, "it is not stored here");
}

static bool is_forgotten(const struct info *info)
{
    const struct msg_heat_explained *m = info->msg->fields;
    return !m->wanted_on_disk && m->long_heat < 0.5 && m->tier.len > 0 && begins(m->verdict, "it leaves first");
}

/* The blocks that were told of together, from the first on: each one's last use was one use further back than the next one's. */
static unsigned explained;

static bool is_in_order(const struct info *info)
{
    const struct msg_heat_explained *m = info->msg->fields;
    return m->accesses == 1 && m->long_heat > 0.5 && m->age == TOGETHER - 1 - explained++;
}

static bool is_cold(const struct info *info)
{
    const struct msg_block_facts_ok *m = info->msg->fields;
    return m->segment == 0 && m->pack != 0;
}

/* ---- what happens ---- */

/* The hot ones are the oldest on the disk: those that a wave takes first unless the policy holds them. */
#define STORED_AND_USED                                                                                                \
    {"store", MSG_BLOCK_PUT, 0, FIRST, NULL, NULL}, {"use", MSG_BLOCK_GET, 0, HOT, NULL, NULL},                        \
        {"use", MSG_BLOCK_GET, 0, HOT, NULL, NULL}, {"use", MSG_BLOCK_GET, 0, HOT, NULL, NULL},                        \
        {"use", MSG_BLOCK_GET, 0, HOT, NULL, NULL}, {"use", MSG_BLOCK_GET, 0, HOT, NULL, NULL},                        \
    {                                                                                                                  \
        "use", MSG_BLOCK_GET, 0, HOT, NULL, NULL                                                                       \
    }

/* Two more, and the disk is so full that a wave begins. */
#define STORE_MORE                                                                                                     \
    {                                                                                                                  \
        "store more", MSG_BLOCK_PUT, FIRST, ALL, NULL, NULL                                                            \
    }

#define WAVE_SPARES_THE_HOT                                                                                            \
    {.what = "wave", .ask = TIERS_WAIT, .from = 30}, {"the hot stay", MSG_BLOCK_FACTS, 0, HOT, lies_on_disk, NULL},    \
    {                                                                                                                  \
        "others go", MSG_BLOCK_FACTS, HOT, ALL, counts_on_disk, NULL                                                   \
    }

static void a_wave_after_a_start_spares_what_was_held(void **state)
{
    static const struct tiers_step first[] = {STORED_AND_USED,
                                              {"hot", MSG_HEAT_EXPLAIN, 0, HOT, is_hot, NULL},
                                              {"unknown", MSG_HEAT_EXPLAIN, UNKNOWN, UNKNOWN + 1, is_unknown, NULL},
                                              {0}};
    static const struct tiers_step second[] = {{.what = "load", .ask = TIERS_WAIT, .from = 1},
                                               {"hot before", MSG_HEAT_EXPLAIN, 0, HOT, was_hot, NULL},
                                               STORE_MORE,
                                               WAVE_SPARES_THE_HOT,
                                               {0}};
    (void)state;
    live("hearth", first);
    assert_int_equal(atomic_load(&play.told), FIRST);
    assert_int_equal(atomic_load(&play.held), ALL / 2);
    assert_int_equal(atomic_load(&play.hot), HOT);
    on_disk = 0;
    live("hearth", second);
    assert_in_range(on_disk, 1, ALL - HOT - GO);
}

/* Rows of blocks that are not here, in slots before those of most that are: to read them takes longer than to be told how full the disk is. */
static void fill_heat_db(void)
{
    struct heat_row *rows = calloc(OTHERS, sizeof(*rows));
    struct heat_store *store = heat_store_new(sim_disk_port(disk), "/node/heat.db", HEAT_STORE_ROWS_MAX);
    assert_true(rows != NULL && store != NULL);
    for (uint32_t i = 0; i < OTHERS; i++)
        rows[i] = (struct heat_row){.key = i + 1, .held_bytes = ROW_NONE};
    assert_int_equal(heat_store_save(store, (struct span){0}, rows, OTHERS), ERR_OK);
    heat_store_unref(store);
    free(rows);
}

/* It crashes when a wave is to begin, and its next life is told of a disk that is too full before it could read what was held. */
static void a_new_life_of_the_tracker_spares_what_was_held(void **state)
{
    static const struct tiers_step steps[] = {STORED_AND_USED,
                                              {.what = "write", .ask = TIERS_WAIT, .from = 70},
                                              {.what = "crash", .ask = TIERS_DO, .act = die},
                                              STORE_MORE,
                                              WAVE_SPARES_THE_HOT,
                                              {"hot before", MSG_HEAT_EXPLAIN, 0, HOT, was_hot, NULL},
                                              {0}};
    (void)state;
    fill_heat_db();
    on_disk = 0;
    live("hearth", steps);
    assert_false(atomic_load(&play.die));
    assert_in_range(on_disk, 1, ALL - HOT - GO);
}

static void a_damaged_heat_db_costs_heat_only(void **state)
{
    static const struct tiers_step first[] = {STORED_AND_USED, {0}};
    static const struct tiers_step second[] = {{.what = "load", .ask = TIERS_WAIT, .from = 1},
                                               {"forgotten", MSG_HEAT_EXPLAIN, 0, FIRST, is_forgotten, NULL},
                                               {"still here", MSG_BLOCK_GET, 0, FIRST, NULL, NULL},
                                               {0}};
    (void)state;
    live("hearth", first);
    assert_int_equal(sim_disk_damage(disk, "/node/heat.db", 3, 0xFF), ERR_OK);
    live("hearth", second);
    live("hearth", (const struct tiers_step[]){{.what = "load", .ask = TIERS_WAIT, .from = 1}, {0}});
}

/* The other policies save nothing; what is used after a start counts. */
static void lru_spares_what_is_used_after_a_start(void **state)
{
    static const struct tiers_step first[] = {STORED_AND_USED, {0}};
    static const struct tiers_step second[] = {
        {"use", MSG_BLOCK_GET, 0, HOT, NULL, NULL}, STORE_MORE, WAVE_SPARES_THE_HOT, {0}};
    (void)state;
    live("lru", first);
    live("lru", second);
}

/* More in one turn than the policy is told of at a time. */
static void uses_that_come_together_are_all_counted_in_their_order(void **state)
{
    static const struct tiers_step steps[] = {{.what = "load", .ask = TIERS_WAIT, .from = 1},
                                              {"together", MSG_ACCESS, 0, TOGETHER, NULL, NULL},
                                              {"in order", MSG_HEAT_EXPLAIN, 0, TOGETHER, is_in_order, NULL},
                                              {0}};
    (void)state;
    explained = 0;
    live("hearth", steps);
    assert_int_equal(explained, TOGETHER);
}

/* A use that nothing follows is not kept waiting for others: a cold block is back before anything else happens to the tracker. */
static void a_single_use_is_acted_on_at_once(void **state)
{
    static const struct tiers_step first[] = {{"store", MSG_BLOCK_PUT, 0, FIRST, NULL, NULL},
                                              {"leave", MSG_TIER_MOVE, 0, 1, NULL, NULL},
                                              {.what = "leave", .ask = TIERS_WAIT, .from = 1},
                                              {0}};
    static const struct tiers_step second[] = {{.what = "load", .ask = TIERS_WAIT, .from = 1},
                                               {"away", MSG_BLOCK_FACTS, 0, 1, is_cold, NULL},
                                               {"use", MSG_BLOCK_GET, 0, 1, NULL, NULL},
                                               {.what = "return", .ask = TIERS_WAIT, .from = 2},
                                               {"back", MSG_BLOCK_FACTS, 0, 1, lies_on_disk, NULL},
                                               {0}};
    (void)state;
    live("hearth", first);
    live("hearth", second);
}

/* For as long as moves settle, however much it is used. Memory has some of the blocks. */
static void what_a_person_has_sent_away_does_not_come_back_at_once(void **state)
{
    static const struct tiers_step steps[] = {{"store", MSG_BLOCK_PUT, 0, FIRST, NULL, NULL},
                                              {"leave", MSG_TIER_MOVE, 0, FIRST, NULL, NULL},
                                              {.what = "leave", .ask = TIERS_WAIT, .from = 1},
                                              {"use", MSG_BLOCK_GET, 0, FIRST, NULL, NULL},
                                              {.what = "stay", .ask = TIERS_WAIT, .from = 5},
                                              {"away", MSG_BLOCK_FACTS, 0, FIRST, is_cold, NULL},
                                              {0}};
    (void)state;
    live("hearth", steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_wave_after_a_start_spares_what_was_held, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_life_of_the_tracker_spares_what_was_held, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_heat_db_costs_heat_only, setup, teardown),
        cmocka_unit_test_setup_teardown(lru_spares_what_is_used_after_a_start, setup, teardown),
        cmocka_unit_test_setup_teardown(uses_that_come_together_are_all_counted_in_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_single_use_is_acted_on_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_person_has_sent_away_does_not_come_back_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
