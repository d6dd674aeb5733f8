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
    OTHERS = 250000
};

/* What a step does beside sending a message. */
enum { END_OF_STEPS, WAIT = 1, DIE = 2 };

struct step {
    const char *what;
    uint16_t ask;
    unsigned from; /* blocks, each in turn; WAIT: seconds */
    unsigned to;
    bool (*is_right)(const struct info *info);
};

static struct {
    const struct step *steps;
    unsigned step;
    unsigned block;
    _Atomic bool die;
    _Atomic bool done;
    _Atomic unsigned failures;
    _Atomic unsigned told; /* to state: hot blocks */
    _Atomic unsigned held;
    _Atomic unsigned hot;
} play;

static void note_failure(const char *what, const char *why)
{
    print_message("%s, block %u: %s\n", what, play.block, why);
    atomic_fetch_add(&play.failures, 1);
    atomic_store(&play.done, true);
}

static void ask(struct ctx *ctx, uint16_t kind)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct cid cid;
    struct block_ref *ref = tiers_block(play.block, BLOCK_BYTES, &cid);
    struct span key = span_of(bytes, cid_encode(&cid, bytes));
    struct msg_block_put put = {.cid = key};
    struct msg_block_get get = {.cid = key};
    struct msg_block_facts facts = {.cid = key};
    struct msg_heat_explain explain = {.cid = key};
    struct msg msg = {.kind = kind, .fields = &get};
    if (kind == MSG_BLOCK_PUT)
        msg = (struct msg){.kind = kind, .fields = &put, .tail = ref};
    else if (kind == MSG_BLOCK_FACTS)
        msg.fields = &facts;
    else if (kind == MSG_HEAT_EXPLAIN)
        msg.fields = &explain;
    actor_id to = kind == MSG_HEAT_EXPLAIN ? ACTOR_HEAT_TRACKER : ACTOR_TIERED_STORAGE;
    struct call_opts opts = {.timeout_ns = 60 * SECOND_NS, .reply_bytes_max = 64 * 1024};
    enum err err = ctx_call(ctx, to, &msg, opts, 1);
    if (err != ERR_OK)
        note_failure("call", err_text(err));
    block_ref_unref(ref);
}

static void take_step(struct ctx *ctx)
{
    const struct step *s = &play.steps[play.step];
    if (s->ask == END_OF_STEPS) {
        atomic_store(&play.done, true);
    } else if (s->ask == WAIT || s->ask == DIE) {
        if (s->ask == DIE)
            atomic_store(&play.die, true);
        play.block = play.steps[++play.step].from;
        (void)ctx_timer(ctx, ctx_now(ctx) + s->from * SECOND_NS, 1);
    } else {
        ask(ctx, s->ask);
    }
}

static void driver_info(struct ctx *ctx, void *state, const struct info *info)
{
    const struct step *s = &play.steps[play.step];
    (void)state;
    if (info->kind == INFO_REPLY) {
        if (info->err != ERR_OK)
            note_failure(s->what, info->text);
        else if (s->is_right != NULL && !s->is_right(info))
            note_failure(s->what, "not so");
        if (++play.block >= s->to)
            play.block = play.steps[++play.step].from;
    }
    if (!atomic_load(&play.done))
        take_step(ctx);
}

static enum err driver_init(struct ctx *ctx, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    (void)ctx_timer(ctx, ctx_now(ctx) + MS_NS, 1);
    return ERR_OK;
}

static const struct actor_class driver = {
    .name = "control", .state_bytes = 8, .init = driver_init, .handle_info = driver_info};

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

static bool is_done(void *arg)
{
    (void)arg;
    return atomic_load(&play.done);
}

static void live(const char *policy, const struct step *steps)
{
    struct actor_class dying = heat_tracker_class;
    struct sim *sim = sim_new(7);
    struct config *config = tiers_bucket_config("/node", "blocks", STORAGE_MAX);
    struct tiers_play on = {.control = &driver,
                            .state = &listener,
                            .heat_tracker = &dying,
                            .disk = sim_disk_port(disk),
                            .sim = sim,
                            .bucket = bucket,
                            .is_done = is_done,
                            .timeout_ns = 600 * SECOND_NS};
    assert_non_null(sim);
    dying.handle_cast = dying_cast;
    sim_bucket_follow(bucket, sim);
    tiers_set(config, "Tiers.DemoteAt", "90");
    tiers_set(config, "Tiers.DemoteTo", "50");
    tiers_set(config, "Tiers.Policy", policy);
    memset(&play, 0, sizeof(play));
    play.steps = steps;
    assert_true(tiers_play(&on, config));
    assert_int_equal(atomic_load(&play.failures), 0);
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

/* ---- what happens ---- */

/* The hot ones are the oldest on the disk: those that a wave takes first unless the policy holds them. */
#define STORED_AND_USED                                                                                                \
    {"store", MSG_BLOCK_PUT, 0, FIRST, NULL}, {"use", MSG_BLOCK_GET, 0, HOT, NULL},                                    \
        {"use", MSG_BLOCK_GET, 0, HOT, NULL}, {"use", MSG_BLOCK_GET, 0, HOT, NULL},                                    \
        {"use", MSG_BLOCK_GET, 0, HOT, NULL}, {"use", MSG_BLOCK_GET, 0, HOT, NULL},                                    \
    {                                                                                                                  \
        "use", MSG_BLOCK_GET, 0, HOT, NULL                                                                             \
    }

/* Two more, and the disk is so full that a wave begins. */
#define STORE_MORE                                                                                                     \
    {                                                                                                                  \
        "store more", MSG_BLOCK_PUT, FIRST, ALL, NULL                                                                  \
    }

#define WAVE_SPARES_THE_HOT                                                                                            \
    {"wave", WAIT, 30, 0, NULL}, {"the hot stay", MSG_BLOCK_FACTS, 0, HOT, lies_on_disk},                              \
    {                                                                                                                  \
        "others go", MSG_BLOCK_FACTS, HOT, ALL, counts_on_disk                                                         \
    }

static void a_wave_after_a_start_spares_what_was_held(void **state)
{
    static const struct step first[] = {STORED_AND_USED,
                                        {"hot", MSG_HEAT_EXPLAIN, 0, HOT, is_hot},
                                        {"unknown", MSG_HEAT_EXPLAIN, UNKNOWN, UNKNOWN + 1, is_unknown},
                                        {0}};
    static const struct step second[] = {{"load", WAIT, 1, 0, NULL},
                                         {"hot before", MSG_HEAT_EXPLAIN, 0, HOT, was_hot},
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
    static const struct step steps[] = {STORED_AND_USED,
                                        {"write", WAIT, 70, 0, NULL},
                                        {"crash", DIE, 0, 0, NULL},
                                        STORE_MORE,
                                        WAVE_SPARES_THE_HOT,
                                        {"hot before", MSG_HEAT_EXPLAIN, 0, HOT, was_hot},
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
    static const struct step first[] = {STORED_AND_USED, {0}};
    static const struct step second[] = {{"load", WAIT, 1, 0, NULL},
                                         {"forgotten", MSG_HEAT_EXPLAIN, 0, FIRST, is_forgotten},
                                         {"still here", MSG_BLOCK_GET, 0, FIRST, NULL},
                                         {0}};
    (void)state;
    live("hearth", first);
    assert_int_equal(sim_disk_damage(disk, "/node/heat.db", 3, 0xFF), ERR_OK);
    live("hearth", second);
    live("hearth", (const struct step[]){{"load", WAIT, 1, 0, NULL}, {0}});
}

/* The other policies save nothing; what is used after a start counts. */
static void lru_spares_what_is_used_after_a_start(void **state)
{
    static const struct step first[] = {STORED_AND_USED, {0}};
    static const struct step second[] = {{"use", MSG_BLOCK_GET, 0, HOT, NULL}, STORE_MORE, WAVE_SPARES_THE_HOT, {0}};
    (void)state;
    live("lru", first);
    live("lru", second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_wave_after_a_start_spares_what_was_held, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_life_of_the_tracker_spares_what_was_held, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_heat_db_costs_heat_only, setup, teardown),
        cmocka_unit_test_setup_teardown(lru_spares_what_is_used_after_a_start, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
