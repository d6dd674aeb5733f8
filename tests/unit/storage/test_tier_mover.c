/* SPDX-License-Identifier: MIT */
/* What moves and when: the engine alone, in a world of blocks that are numbers, by a clock of the test's. */
#include "tests/support/storage.h"

#include "base/limits.h"
#include "base/random.h"
#include "storage/byte_budget.h"
#include "storage/move_marks.h"
#include "storage/rank_sample.h"
#include "storage/tier_mover.h"

enum { BLOCKS = 600, SIZE = 64 * 1024, MAX_BYTES = 100 * SIZE * 4, RATE = 16 * SIZE, EVENTS = 4096 };

struct block {
    uint32_t size; /* 0: there is none */
    bool cold;
    bool leaving;
    bool held;
    bool may_go;
    bool copied;
    float rank;
    uint64_t moved_at;
};

struct promotion {
    bool busy;
    size_t block;
};

#define SETTLE_NS (600 * SECOND_NS)

/* A store of numbered blocks, which lie on the disk in the order of their numbers, and what was asked of it. */
struct world {
    struct tier_mover *mover;
    struct block blocks[BLOCKS];
    uint64_t now;
    uint64_t gone_bytes;
    bool full;
    bool busy;
    bool cold_up;
    uint64_t busy_since;
    uint64_t last[2]; /* step of each direction */
    struct promotion promotions[MOVER_PROMOTIONS_MAX];
    size_t promoted;
    size_t demoted;
    size_t order[EVENTS]; /* blocks as they moved */
    size_t moves;
    struct {
        uint64_t at;
        uint64_t bytes;
    } spent[2][EVENTS]; /* of the budgets */
    size_t spent_count[2];
    enum err answer; /* to demotions */
    bool instantly;  /* demotions are through at once */
};

static struct block_key key_of(size_t n)
{
    struct block_key key;
    uint64_t number = n;
    test_key(span_of((const uint8_t *)&number, sizeof(number)), &key);
    return key;
}

static size_t number_of(const struct block_key *key)
{
    static struct block_key keys[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        if (keys[i].len == 0)
            keys[i] = key_of(i);
        if (block_key_equal(&keys[i], key))
            return i;
    }
    fail();
    return 0;
}

static uint64_t live(const struct world *w)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        bytes += w->blocks[i].cold ? 0 : w->blocks[i].size;
    return bytes;
}

static uint64_t waiting(const struct world *w)
{
    uint64_t count = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        count += w->blocks[i].leaving;
    return count;
}

static void press(struct world *w)
{
    struct mover_pressure p = {.live_bytes = live(w),
                               .demoted_bytes = w->gone_bytes,
                               .waiting = waiting(w),
                               .busy = w->busy,
                               .full = w->full,
                               .cold_up = w->cold_up};
    mover_pressed(w->mover, &p, w->now);
}

static void set_busy(struct world *w, bool busy)
{
    w->busy_since = busy && !w->busy ? w->now : w->busy_since;
    w->busy = busy;
    press(w);
}

static void world_init(struct world *w, const struct mover_config *config)
{
    *w = (struct world){.cold_up = true, .now = 1000 * SECOND_NS, .instantly = true};
    w->mover = mover_new(config);
    assert_non_null(w->mover);
}

static struct mover_config usual(void)
{
    return (struct mover_config){.storage_max = MAX_BYTES,
                                 .demote_at = 80,
                                 .demote_to = 75,
                                 .demote_rate = RATE,
                                 .promote_rate = RATE,
                                 .settle_ns = SETTLE_NS};
}

static void fill_with(struct world *w, size_t from, size_t to, bool held)
{
    for (size_t i = from; i < to; i++)
        w->blocks[i] = (struct block){.size = SIZE, .held = held, .may_go = true, .rank = 1};
    press(w);
}

/* What was taken for demotion goes. */
static void settle_demotions(struct world *w)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        if (!w->blocks[i].leaving)
            continue;
        w->gone_bytes += w->blocks[i].size;
        w->blocks[i].leaving = false;
        w->blocks[i].cold = true;
    }
    press(w);
}

/* Between any two of its events the budget let no more go than its rate and one burst. */
static void assert_within(const struct world *w, int way, uint64_t rate)
{
    size_t n = w->spent_count[way];
    uint64_t burst = MAX(rate, BLOCK_BYTES_MAX);
    uint64_t bytes = 0;
    for (size_t i = n; i-- > 0;) {
        bytes += w->spent[way][i].bytes;
        double seconds = (double)(w->spent[way][n - 1].at - w->spent[way][i].at) / (double)SECOND_NS;
        assert_true((double)bytes <= (double)rate * seconds + (double)burst + 1);
    }
}

static void spend(struct world *w, int way, uint64_t bytes)
{
    assert_true(w->spent_count[way] < EVENTS);
    w->spent[way][w->spent_count[way]].at = w->now;
    w->spent[way][w->spent_count[way]++].bytes = bytes;
    assert_within(w, way, RATE);
}

/* No step begins while the medium is away, nor while requests wait, unless they do so for long. */
static void assert_allowed(struct world *w, int way, bool spill)
{
    assert_true(w->cold_up);
    if (w->busy)
        assert_true(w->now >= MAX(w->busy_since, w->last[way]) + (spill ? MOVER_SPILL_PATIENCE_NS : MOVER_PATIENCE_NS));
    w->last[way] = w->now;
}

static void note_move(struct world *w, size_t n)
{
    struct block *b = &w->blocks[n];
    assert_true(b->moved_at == 0 || w->now - b->moved_at >= SETTLE_NS);
    b->moved_at = w->now;
    if (w->moves < EVENTS)
        w->order[w->moves++] = n;
}

static void answer_page(struct world *w, struct mover_place place)
{
    struct mover_candidate page[MOVER_PAGE_MAX / 4];
    size_t count = 0;
    size_t i = place.segment == 0 ? 0 : place.offset;
    for (; i < BLOCKS && count < ARRAY_LEN(page); i++) {
        const struct block *b = &w->blocks[i];
        if (b->size == 0 || b->cold)
            continue;
        page[count++] = (struct mover_candidate){.key = key_of(i),
                                                 .size = b->size,
                                                 .may_go = b->may_go && !b->leaving,
                                                 .cold = b->copied,
                                                 .held = b->held,
                                                 .rank = b->rank};
    }
    struct mover_place next = {.segment = i < BLOCKS, .offset = i};
    mover_page(w->mover, ERR_OK, page, count, next, w->now);
}

static void take_demotion(struct world *w, const struct mover_step *step)
{
    assert_allowed(w, 0, step->spill);
    if (w->answer != ERR_OK) {
        mover_demoted(w->mover, w->answer, w->now);
        return;
    }
    assert_true(step->count == 1 || step->bytes <= MOVER_STEP_BYTES);
    if (!step->spill)
        spend(w, 0, step->bytes);
    for (size_t i = 0; i < step->count; i++) {
        size_t n = number_of(&step->keys[i]);
        assert_true(w->blocks[n].may_go && !w->blocks[n].cold && !w->blocks[n].leaving);
        w->blocks[n].leaving = true;
        w->blocks[n].held = false;
        w->demoted++;
        note_move(w, n);
    }
    mover_demoted(w->mover, ERR_OK, w->now);
    if (w->instantly)
        settle_demotions(w);
    else
        press(w);
}

static void take_promotion(struct world *w, const struct mover_step *step)
{
    size_t n = number_of(&step->keys[0]);
    assert_allowed(w, 1, false);
    assert_int_equal(step->count, 1);
    assert_true(w->blocks[n].cold);
    assert_int_equal(step->bytes, w->blocks[n].size);
    spend(w, 1, step->bytes);
    note_move(w, n);
    for (size_t i = 0; i < MOVER_PROMOTIONS_MAX; i++) {
        if (!w->promotions[i].busy) {
            w->promotions[i] = (struct promotion){.busy = true, .block = n};
            return;
        }
    }
    fail(); /* more than may be under way */
}

static void end_promotions(struct world *w, enum err err)
{
    for (size_t i = 0; i < MOVER_PROMOTIONS_MAX; i++) {
        if (!w->promotions[i].busy)
            continue;
        struct block *b = &w->blocks[w->promotions[i].block];
        struct block_key key = key_of(w->promotions[i].block);
        w->promotions[i].busy = false;
        b->cold = err != ERR_OK;
        b->moved_at = err == ERR_OK ? b->moved_at : 0;
        w->promoted += err == ERR_OK;
        mover_promoted(w->mover, &key, b->size, err);
    }
    press(w);
}

/* Does what is to be done at this time; returns when to come again. */
static uint64_t run_now(struct world *w)
{
    struct mover_step step;
    for (int i = 0; i < 10000; i++) {
        mover_next(w->mover, w->now, &step);
        assert_true(step.act == MOVER_WAIT || step.wake_ns == 0);
        if (step.act == MOVER_WAIT) {
            assert_true(step.wake_ns > w->now);
            return step.wake_ns;
        }
        if (step.act == MOVER_ASK)
            answer_page(w, step.place);
        else if (step.act == MOVER_DEMOTE)
            take_demotion(w, &step);
        else
            take_promotion(w, &step);
    }
    fail();
    return 0;
}

/* Lets time pass until a moment; returns when it last had something to do. */
static void run_until(struct world *w, uint64_t until)
{
    for (uint64_t wake = run_now(w); wake < until; wake = run_now(w))
        w->now = wake;
    w->now = until;
}

static void use_cold(struct world *w, size_t n, float rank)
{
    struct block_key key = key_of(n);
    struct block_key out;
    if (!mover_considers(w->mover, &key, w->blocks[n].size, w->now))
        return;
    w->blocks[n].held = true;
    if (mover_want(w->mover, &key, w->blocks[n].size, rank, &out))
        w->blocks[number_of(&out)].held = false;
}

static void make_cold(struct world *w, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        w->blocks[i] = (struct block){.size = SIZE, .cold = true, .may_go = true};
}

/* ---- demotion ---- */

static void nothing_goes_before_demote_at(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    fill_with(&w, 0, 319, false); /* of 400 */
    assert_true(run_now(&w) == UINT64_MAX);
    fill_with(&w, 319, 320, false);
    run_until(&w, w.now + 60 * SECOND_NS);
    assert_int_equal(w.demoted, 20); /* to 75 percent, and there it ends */
    for (size_t i = 0; i < w.demoted; i++)
        assert_int_equal(w.order[i], i); /* the oldest */
    fill_with(&w, 320, 339, false);
    run_until(&w, w.now + 3600 * SECOND_NS);
    assert_int_equal(w.demoted, 20);
    mover_free(w.mover);
}

static void what_the_policy_holds_goes_last_and_the_coldest_of_it_first(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    fill_with(&w, 0, 340, true);
    for (size_t i = 0; i < 340; i++)
        w.blocks[i].rank = i % 2 == 0 ? 8 : -(float)i;
    for (size_t i = 100; i < 110; i++)
        w.blocks[i].held = false;
    w.blocks[105].may_go = false;
    press(&w);
    run_until(&w, w.now + 60 * SECOND_NS);
    assert_int_equal(w.demoted, 40);
    for (size_t i = 0; i < 9; i++)
        assert_in_range(w.order[i], 100, 109);
    for (size_t i = 9; i < 40; i++)
        assert_true(w.order[i] % 2 == 1 && w.order[i] >= 279); /* the lowest ranks, no more than have to go */
    struct mover_stats stats = mover_stats(w.mover);
    assert_int_equal(stats.demoted.blocks, 40);
    assert_int_equal(stats.squeezed.blocks, 31);
    assert_int_equal(stats.demoted.bytes, 40 * SIZE);
    assert_int_equal(stats.waves, 1);
    assert_false(stats.exhausted);
    mover_free(w.mover);
}

static void the_next_wave_goes_on_where_the_last_one_ended(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    fill_with(&w, 0, 280, true);
    fill_with(&w, 280, 330, false);
    run_until(&w, w.now + 60 * SECOND_NS);
    assert_int_equal(w.demoted, 30);
    w.blocks[40].held = false;
    fill_with(&w, 400, 420, false);
    run_until(&w, w.now + 60 * SECOND_NS);
    assert_int_equal(w.demoted, 50);
    for (size_t i = 0; i < 50; i++)
        assert_int_equal(w.order[i], 280 + i);
    /* The end is not the end of the lap: what lies before comes before what is held. */
    for (size_t i = 41; i < 80; i++)
        w.blocks[i].held = false;
    for (size_t i = 400; i < 420; i++)
        w.blocks[i].held = true;
    fill_with(&w, 420, 440, true);
    run_until(&w, w.now + 60 * SECOND_NS);
    assert_int_equal(w.demoted, 70);
    for (size_t i = 50; i < 70; i++)
        assert_int_equal(w.order[i], i - 50 + 40);
    assert_int_equal(mover_stats(w.mover).squeezed.blocks, 0);
    mover_free(w.mover);
}

static void a_wave_that_frees_too_little_rests(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    fill_with(&w, 0, 330, false);
    for (size_t i = 0; i < 330; i++)
        w.blocks[i].may_go = i < 3;
    run_until(&w, w.now + 10 * SECOND_NS);
    assert_int_equal(w.demoted, 3);
    assert_int_equal(mover_stats(w.mover).waves, 1);
    w.blocks[200].may_go = true;
    run_until(&w, w.now + 40 * SECOND_NS);
    assert_int_equal(w.demoted, 3);
    run_until(&w, w.now + 15 * SECOND_NS);
    assert_int_equal(w.demoted, 4);
    /* At the spill line it does not rest for so long. */
    for (size_t i = 330; i < 385; i++)
        w.blocks[i] = (struct block){.size = SIZE};
    press(&w);
    w.blocks[201].may_go = true;
    run_until(&w, w.now + MOVER_SPILL_REST_NS + SECOND_NS);
    assert_int_equal(w.demoted, 5);
    /* Three waves in vain, and nothing more can be hoped for, until something goes again. */
    uint64_t waves = mover_stats(w.mover).waves;
    assert_false(mover_stats(w.mover).exhausted); /* one */
    run_until(&w, w.now + MOVER_SPILL_REST_NS);
    assert_int_equal(mover_stats(w.mover).waves, waves + 1);
    assert_false(mover_stats(w.mover).exhausted); /* two */
    run_until(&w, w.now + MOVER_SPILL_REST_NS);
    assert_true(mover_stats(w.mover).exhausted);
    w.blocks[202].may_go = true;
    run_until(&w, w.now + MOVER_SPILL_REST_NS + SECOND_NS);
    assert_int_equal(w.demoted, 6);
    assert_false(mover_stats(w.mover).exhausted);
    mover_free(w.mover);
}

static void the_store_may_have_no_room_for_it(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    w.answer = ERR_BUSY;
    fill_with(&w, 0, 330, false);
    run_until(&w, w.now + MOVER_PAGE_NS);
    assert_int_equal(run_now(&w), w.now + MOVER_RETRY_NS);
    w.answer = ERR_OK;
    run_until(&w, w.now + 30 * SECOND_NS);
    assert_int_equal(w.demoted, 30);
    mover_free(w.mover);
}

static void what_is_on_its_way_counts_as_gone(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    w.instantly = false;
    fill_with(&w, 0, 330, false);
    run_until(&w, w.now + 60 * SECOND_NS);
    assert_int_equal(w.demoted, 30);
    assert_int_equal(mover_stats(w.mover).fill_bytes, 300 * SIZE);
    /* What failed in the end is there again, and others go. */
    for (size_t i = 0; i < 30; i++)
        w.blocks[i].leaving = false;
    press(&w);
    assert_int_equal(mover_stats(w.mover).fill_bytes, 330 * SIZE);
    run_until(&w, w.now + 60 * SECOND_NS);
    assert_int_equal(w.demoted, 60);
    settle_demotions(&w);
    assert_int_equal(mover_stats(w.mover).fill_bytes, 300 * SIZE);
    mover_free(w.mover);
}

static void it_goes_at_the_pace_of_its_budget(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    config.demote_at = 60;
    config.demote_to = 10;
    world_init(&w, &config);
    fill_with(&w, 0, 300, false);
    uint64_t began = w.now;
    run_until(&w, began + 100 * MS_NS);
    size_t burst = w.demoted;
    assert_in_range(burst, 32, 64); /* 4 MiB */
    run_until(&w, began + 10 * SECOND_NS);
    assert_in_range(w.demoted, 64 + 8 * RATE / SIZE, 64 + 10 * RATE / SIZE); /* in steps of 2 MiB */
    mover_free(w.mover);
}

static void a_block_with_a_cold_copy_goes_for_nothing(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    config.demote_at = 60;
    config.demote_to = 10;
    config.demote_rate = 1; /* a byte a second */
    world_init(&w, &config);
    fill_with(&w, 0, 300, false);
    for (size_t i = 0; i < 300; i++)
        w.blocks[i].copied = true;
    run_until(&w, w.now + SECOND_NS);
    assert_int_equal(w.demoted, 260);
    mover_free(w.mover);
}

static void nothing_goes_without_a_rate(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    config.demote_rate = 0;
    config.promote_rate = 0;
    world_init(&w, &config);
    fill_with(&w, 0, 390, false);
    make_cold(&w, 500, 501);
    use_cold(&w, 500, 1);
    assert_true(run_now(&w) == UINT64_MAX);
    assert_int_equal(w.moves, 0);
    mover_free(w.mover);
}

static void room_for_puts_comes_before_the_pace(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    fill_with(&w, 0, 400, false); /* full */
    set_busy(&w, true);
    uint64_t began = w.now;
    assert_int_equal(run_now(&w), began + MOVER_SPILL_PATIENCE_NS);
    /* A step each half second for as long as requests wait, and none that the budget stops, until the spill line is left. */
    run_until(&w, began + 3 * SECOND_NS);
    assert_true(live(&w) < (uint64_t)MAX_BYTES / 100 * MOVER_SPILL_PERCENT);
    size_t before = w.demoted;
    run_until(&w, began + 5 * SECOND_NS);
    assert_int_equal(w.demoted, before);
    mover_free(w.mover);
    /* Without requests, but beyond the line, at once, however slow the budget is. */
    config.demote_rate = 1;
    world_init(&w, &config);
    for (size_t i = 0; i < 5; i++) {
        fill_with(&w, i * 100, i * 100 + 400 - (size_t)(live(&w) / SIZE), false);
        run_until(&w, w.now + SECOND_NS);
        assert_true(live(&w) < (uint64_t)MAX_BYTES / 100 * MOVER_SPILL_PERCENT);
    }
    mover_free(w.mover);
}

/* A disk of few blocks has no room for one more long before the line. */
static void a_put_that_found_no_room_counts_as_the_spill_line(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    fill_with(&w, 0, 370, false);
    w.full = true;
    set_busy(&w, true);
    uint64_t began = w.now;
    assert_int_equal(run_now(&w), began + MOVER_SPILL_PATIENCE_NS);
    run_until(&w, began + 3 * SECOND_NS);
    assert_true(w.demoted > 0);
    mover_free(w.mover);
    /* Where nothing has to go it is what is dead that takes the room. */
    world_init(&w, &config);
    fill_with(&w, 0, 300, false);
    w.full = true;
    press(&w);
    run_until(&w, w.now + 60 * SECOND_NS);
    assert_int_equal(w.demoted, 0);
    mover_free(w.mover);
}

static void requests_go_first_but_not_for_ever(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    fill_with(&w, 0, 330, false);
    make_cold(&w, 500, 510);
    set_busy(&w, true);
    assert_int_equal(run_now(&w), w.now + MOVER_PATIENCE_NS);
    use_cold(&w, 500, 1);
    run_until(&w, w.now + 60 * SECOND_NS);
    assert_in_range(w.demoted + w.promoted, 1, 200); /* checked by assert_allowed */
    w.cold_up = false;
    set_busy(&w, false);
    assert_true(run_now(&w) == UINT64_MAX);
    w.cold_up = true;
    press(&w);
    run_until(&w, w.now + 60 * SECOND_NS);
    assert_true(live(&w) <= (uint64_t)MAX_BYTES / 100 * 75);
    mover_free(w.mover);
}

/* ---- promotion ---- */

static void the_hottest_comes_first_and_the_coldest_falls_out(void **state)
{
    (void)state;
    static struct world w;
    struct mover_config config = usual();
    struct block_key out;
    world_init(&w, &config);
    make_cold(&w, 0, BLOCKS);
    press(&w);
    w.busy = true;
    press(&w);
    for (size_t i = 0; i < MOVER_WANTED_MAX; i++)
        use_cold(&w, i, 100 + (float)i);
    struct block_key key = key_of(300);
    assert_true(mover_considers(w.mover, &key, SIZE, w.now));
    assert_true(mover_want(w.mover, &key, SIZE, 50, &out));
    assert_true(block_key_equal(&out, &key)); /* colder than all */
    assert_true(mover_want(w.mover, &key, SIZE, 1000, &out));
    assert_int_equal(number_of(&out), 0);
    assert_false(mover_considers(w.mover, &key, SIZE, w.now)); /* is wanted */
    assert_int_equal(mover_stats(w.mover).refused, 2);
    assert_int_equal(mover_stats(w.mover).wanted, MOVER_WANTED_MAX);
    set_busy(&w, false);
    run_now(&w);
    assert_int_equal(w.moves, MOVER_PROMOTIONS_MAX);
    assert_int_equal(w.order[0], 300);
    assert_int_equal(w.order[1], MOVER_WANTED_MAX - 1);
    end_promotions(&w, ERR_OK);
    run_now(&w);
    assert_int_equal(w.moves, 2 * MOVER_PROMOTIONS_MAX);
    mover_free(w.mover);
}

static void what_moved_stays_for_a_while(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    fill_with(&w, 0, 330, false);
    run_until(&w, w.now + 60 * SECOND_NS);
    size_t n = w.order[0];
    struct block_key key = key_of(n);
    assert_true(w.blocks[n].cold);
    assert_false(mover_considers(w.mover, &key, SIZE, w.now));
    w.now = w.blocks[n].moved_at + SETTLE_NS - 1;
    assert_false(mover_considers(w.mover, &key, SIZE, w.now));
    w.now++;
    assert_true(mover_considers(w.mover, &key, SIZE, w.now));
    use_cold(&w, n, 1);
    run_now(&w);
    end_promotions(&w, ERR_OK);
    assert_int_equal(w.promoted, 1);
    /* All that lies on the disk must go, but for what has just come. */
    w.blocks[n].held = false;
    fill_with(&w, 331, 360, false);
    for (size_t i = 0; i < BLOCKS; i++)
        w.blocks[i].may_go = i == n;
    run_until(&w, w.now + SETTLE_NS - SECOND_NS);
    assert_false(w.blocks[n].cold);
    run_until(&w, w.now + MOVER_REST_NS + 2 * SECOND_NS);
    assert_true(w.blocks[n].cold);
    /* What others moved counts too. */
    key = key_of(400);
    mover_moved(w.mover, &key, w.now);
    assert_false(mover_considers(w.mover, &key, SIZE, w.now));
    mover_free(w.mover);
}

static void a_promotion_that_failed_may_be_tried_again(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    make_cold(&w, 7, 8);
    press(&w);
    use_cold(&w, 7, 1);
    run_now(&w);
    end_promotions(&w, ERR_UNAVAILABLE);
    assert_int_equal(mover_stats(w.mover).fill_bytes, 0);
    use_cold(&w, 7, 1);
    run_now(&w);
    assert_int_equal(mover_stats(w.mover).fill_bytes, SIZE);
    struct block_key key = key_of(7);
    mover_promoted(w.mover, &key, SIZE, ERR_OK);
    assert_int_equal(mover_stats(w.mover).fill_bytes, SIZE); /* before the store says so */
    assert_int_equal(mover_stats(w.mover).promoted.bytes, SIZE);
    mover_free(w.mover);
}

static void promotions_do_not_fill_the_disk(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    fill_with(&w, 0, 320, false);
    w.blocks[0].size = SIZE / 2;
    make_cold(&w, 400, 500);
    press(&w);
    for (size_t i = 400; i < 500; i++)
        use_cold(&w, i, 1);
    /* 320 would be demote_at: the first one calls for a wave before it comes. */
    for (int i = 0; i < 200; i++) {
        run_until(&w, w.now + SECOND_NS / 2);
        end_promotions(&w, ERR_OK);
        assert_true(live(&w) <= (uint64_t)MAX_BYTES / 100 * 80);
    }
    assert_int_equal(w.promoted, 100);
    assert_true(w.demoted >= 99);
    mover_free(w.mover);
}

static void where_nothing_can_go_nothing_more_comes(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    make_cold(&w, 400, 500);
    fill_with(&w, 0, 310, false);
    for (size_t i = 0; i < 310; i++)
        w.blocks[i].may_go = false;
    for (size_t i = 400; i < 500; i++)
        use_cold(&w, i, 1);
    for (int i = 0; i < 100; i++) {
        run_until(&w, w.now + SECOND_NS / 2);
        end_promotions(&w, ERR_OK);
    }
    assert_int_equal(w.promoted, 10);
    mover_free(w.mover);
}

static void promotions_come_at_the_pace_of_their_budget(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    world_init(&w, &config);
    make_cold(&w, 0, 250);
    press(&w);
    for (size_t i = 0; i < 250; i++)
        use_cold(&w, i, 1);
    for (int i = 0; i < 1000; i++) {
        run_until(&w, w.now + 10 * MS_NS);
        end_promotions(&w, ERR_OK);
    }
    assert_in_range(w.promoted, 64 + 9 * RATE / SIZE, 64 + 10 * RATE / SIZE);
    mover_free(w.mover);
}

static void a_band_narrower_than_a_block_is_no_trap(void **state)
{
    (void)state;
    struct world w;
    struct mover_config config = usual();
    config.demote_to = config.demote_at;
    world_init(&w, &config);
    fill_with(&w, 0, 320, false);
    make_cold(&w, 400, 401);
    use_cold(&w, 400, 1);
    run_until(&w, w.now + 10 * SECOND_NS);
    end_promotions(&w, ERR_OK);
    assert_int_equal(w.promoted, 1);
    assert_int_equal(w.demoted, 1);
    mover_free(w.mover);
}

/* ---- at random ---- */

enum { SMALL_BYTES = 100 * SIZE };

static void one_event(struct world *w, struct prng *prng, size_t *top)
{
    size_t n = (size_t)prng_below(prng, BLOCKS);
    switch (prng_below(prng, 10)) {
    case 0:
        set_busy(w, !w->busy);
        break;
    case 1:
        w->cold_up = prng_below(prng, 4) > 0;
        break;
    case 2:
        w->answer = prng_below(prng, 3) == 0 ? ERR_BUSY : ERR_OK;
        break;
    case 3:
        settle_demotions(w);
        break;
    case 4:
        end_promotions(w, prng_below(prng, 4) == 0 ? ERR_NOT_FOUND : ERR_OK);
        break;
    case 5:
        w->blocks[n].held = !w->blocks[n].cold && prng_below(prng, 2) == 0;
        break;
    case 6: /* a block is removed, or put again */
        if (!w->blocks[n].leaving && w->blocks[n].cold == false)
            w->blocks[n].size = w->blocks[n].size == 0 && live(w) < SMALL_BYTES - SIZE ? SIZE : 0;
        break;
    default:
        if (prng_below(prng, 2) == 0 && *top < BLOCKS && live(w) < SMALL_BYTES - SIZE)
            fill_with(w, *top, *top + 1, prng_below(prng, 2) == 0), (*top)++;
        else if (w->blocks[n].cold)
            use_cold(w, n, (float)prng_below(prng, 1000));
    }
    press(w);
}

static void whatever_happens_the_rules_hold(void **state)
{
    (void)state;
    static struct world w;
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct mover_config config = usual();
        config.storage_max = SMALL_BYTES;
        config.demote_to = 60;
        struct prng prng;
        size_t top = BLOCKS / 3;
        prng_init(&prng, seed);
        world_init(&w, &config);
        w.instantly = false;
        make_cold(&w, 0, BLOCKS / 3);
        for (int i = 0; i < 1500; i++) {
            one_event(&w, &prng, &top);
            run_until(&w, w.now + prng_below(&prng, 3 * SECOND_NS));
        }
        assert_true(w.demoted > 50 && w.promoted > 10);
        /* Left alone it comes to rest, with room on the disk. */
        w.cold_up = true;
        w.answer = ERR_OK;
        set_busy(&w, false);
        for (int i = 0; i < 40; i++) {
            end_promotions(&w, ERR_OK);
            settle_demotions(&w);
            run_until(&w, w.now + 60 * SECOND_NS);
        }
        assert_true(live(&w) < (uint64_t)SMALL_BYTES / 100 * 80 + SIZE);
        assert_int_equal(mover_stats(w.mover).wanted, 0);
        mover_free(w.mover);
    }
}

/* ---- its parts ---- */

static void a_budget_pays_by_time(void **state)
{
    (void)state;
    struct byte_budget b;
    uint64_t now = 7 * SECOND_NS;
    byte_budget_init(&b, 1024);
    assert_int_equal(byte_budget_wait(&b, BLOCK_BYTES_MAX, now), 0); /* one block at once, however slow it is */
    byte_budget_take(&b, BLOCK_BYTES_MAX, now);
    assert_int_equal(byte_budget_wait(&b, 1024, now), SECOND_NS);
    assert_int_equal(byte_budget_wait(&b, 1024, now + SECOND_NS), 0);
    byte_budget_take(&b, BLOCK_BYTES_MAX, now + SECOND_NS); /* also when it may not */
    assert_int_equal(byte_budget_wait(&b, 1024, now + SECOND_NS), SECOND_NS);
    byte_budget_init(&b, 3);
    byte_budget_take(&b, BLOCK_BYTES_MAX, now);
    byte_budget_take(&b, BLOCK_BYTES_MAX, now);
    assert_int_equal(byte_budget_wait(&b, 1, now), SECOND_NS / 3 + 1);
    byte_budget_init(&b, 0);
    assert_true(byte_budget_wait(&b, 1, now) == UINT64_MAX);
    byte_budget_take(&b, 1, now);
    byte_budget_init(&b, UINT64_C(1) << 40);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(byte_budget_wait(&b, BLOCK_BYTES_MAX, now), 0);
        byte_budget_take(&b, BLOCK_BYTES_MAX, now);
    }
}

static void a_sample_finds_the_rank_that_parts_them(void **state)
{
    (void)state;
    static struct rank_sample sample;
    float rank = 0;
    rank_sample_clear(&sample);
    assert_false(rank_sample_cut(&sample, 1, &rank));
    for (size_t i = 0; i < RANK_SAMPLES; i++)
        rank_sample_add(&sample, 1000 - (float)i, 10);
    assert_true(rank_sample_cut(&sample, 100, &rank));
    assert_true(rank == 1000 - RANK_SAMPLES + 10);
    assert_true(rank_sample_cut(&sample, UINT64_MAX, &rank));
    assert_true(rank == 1000);
    /* A hundred times as many blocks, in an order of their own. */
    struct prng prng;
    prng_init(&prng, 1);
    rank_sample_clear(&sample);
    for (size_t i = 0; i < (size_t)100 * RANK_SAMPLES; i++)
        rank_sample_add(&sample, (float)prng_below(&prng, 1000) - 500, 1);
    assert_true(rank_sample_cut(&sample, (uint64_t)20 * RANK_SAMPLES, &rank));
    assert_true(rank > -500 + 150 && rank < -500 + 250);
    assert_true(rank_sample_cut(&sample, (uint64_t)100 * RANK_SAMPLES, &rank)); /* no byte is lost */
    assert_true(rank > 480);
}

static void marks_are_bounded_and_the_oldest_go(void **state)
{
    (void)state;
    struct move_marks marks;
    struct account account;
    account_init(&account, "tables", 1);
    assert_int_equal(move_marks_init(&marks, &account), ERR_NOMEM);
    account_init(&account, "tables", MIB);
    assert_int_equal(move_marks_init(&marks, &account), ERR_OK);
    size_t found = 0;
    for (size_t i = 0; i < (size_t)8 * MARKS_MAX; i++) {
        struct block_key key = key_of(i);
        move_marks_set(&marks, &key, i + 1);
    }
    for (size_t i = (size_t)7 * MARKS_MAX; i < (size_t)8 * MARKS_MAX; i++) {
        struct block_key key = key_of(i);
        found += move_marks_find(&marks, &key, i + 1);
        assert_false(move_marks_find(&marks, &key, i + 2));
    }
    assert_true(found > (size_t)MARKS_MAX * 95 / 100);
    struct block_key key = key_of((size_t)8 * MARKS_MAX - 1);
    move_marks_drop(&marks, &key);
    assert_false(move_marks_find(&marks, &key, 0));
    move_marks_release(&marks);
    assert_int_equal(account_used(&account), 0);
}

static void without_memory_there_is_no_mover(void **state)
{
    (void)state;
    struct account account;
    struct mover_config config = usual();
    config.account = &account;
    account_init(&account, "tables", 100 * KIB);
    assert_null(mover_new(&config));
    account_init(&account, "tables", 200 * KIB);
    assert_null(mover_new(&config));
    assert_int_equal(account_used(&account), 0);
    account_init(&account, "tables", 400 * KIB);
    struct tier_mover *mover = mover_new(&config);
    assert_non_null(mover);
    mover_free(mover);
    assert_int_equal(account_used(&account), 0);
    mover_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_goes_before_demote_at),
        cmocka_unit_test(what_the_policy_holds_goes_last_and_the_coldest_of_it_first),
        cmocka_unit_test(the_next_wave_goes_on_where_the_last_one_ended),
        cmocka_unit_test(a_wave_that_frees_too_little_rests),
        cmocka_unit_test(the_store_may_have_no_room_for_it),
        cmocka_unit_test(what_is_on_its_way_counts_as_gone),
        cmocka_unit_test(it_goes_at_the_pace_of_its_budget),
        cmocka_unit_test(a_block_with_a_cold_copy_goes_for_nothing),
        cmocka_unit_test(nothing_goes_without_a_rate),
        cmocka_unit_test(room_for_puts_comes_before_the_pace),
        cmocka_unit_test(a_put_that_found_no_room_counts_as_the_spill_line),
        cmocka_unit_test(requests_go_first_but_not_for_ever),
        cmocka_unit_test(the_hottest_comes_first_and_the_coldest_falls_out),
        cmocka_unit_test(what_moved_stays_for_a_while),
        cmocka_unit_test(a_promotion_that_failed_may_be_tried_again),
        cmocka_unit_test(promotions_do_not_fill_the_disk),
        cmocka_unit_test(where_nothing_can_go_nothing_more_comes),
        cmocka_unit_test(promotions_come_at_the_pace_of_their_budget),
        cmocka_unit_test(a_band_narrower_than_a_block_is_no_trap),
        cmocka_unit_test(whatever_happens_the_rules_hold),
        cmocka_unit_test(a_budget_pays_by_time),
        cmocka_unit_test(a_sample_finds_the_rank_that_parts_them),
        cmocka_unit_test(marks_are_bounded_and_the_oldest_go),
        cmocka_unit_test(without_memory_there_is_no_mover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
