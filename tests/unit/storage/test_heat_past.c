/* SPDX-License-Identifier: MIT */
/* Heat beyond memory and over restarts: clean ones, kills, a damaged and a failing disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/disk.h"
#include "storage/heat_past.h"
#include "tests/support/bytes.h"

enum { DISK_BYTES = 64 << 20, ROWS = 1000, SLOTS = 100000, HELD = 100 };

static uint64_t key_of(uint64_t id)
{
    return (id + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

/* One life of a node's heat. */
struct life {
    struct heat_policy *policy;
    struct heat_store *store;
    struct heat_past *past;
    uint64_t now_ns;
    uint32_t turned;
};

static void begin_with(struct life *life, struct sim_disk *disk, uint64_t capacity, uint32_t rows,
                       struct account *account)
{
    *life = (struct life){.now_ns = 1};
    life->policy = heat_policy_new(
        &(struct heat_policy_config){.capacity_bytes = capacity, .rows_max = rows, .goal = HEAT_GOAL_BYTES});
    life->store = heat_store_new(sim_disk_port(disk), "heat.db", SLOTS);
    assert_true(life->policy != NULL && life->store != NULL);
    life->past = heat_past_new(life->policy, life->store, life->now_ns, account);
    assert_non_null(life->past);
}

static void begin(struct life *life, struct sim_disk *disk, struct account *account)
{
    begin_with(life, disk, HELD, ROWS, account);
}

/* As after a kill. */
static void end(struct life *life)
{
    heat_past_free(life->past);
    heat_store_unref(life->store);
    heat_policy_free(life->policy);
}

static uint32_t run_jobs(struct life *life)
{
    struct heat_past_job *job;
    uint32_t count = 0;
    while ((job = heat_past_next(life->past, life->now_ns)) != NULL) {
        assert_null(heat_past_next(life->past, life->now_ns)); /* one at a time */
        enum err err = heat_past_run(job);
        life->turned += heat_past_done(life->past, job, err, life->now_ns) ? 1 : 0;
        heat_past_job_free(job);
        count++;
    }
    return count;
}

static void ignore(void *context, uint64_t key)
{
    (void)context;
    (void)key;
}

static void use(struct life *life, uint64_t id)
{
    if (heat_past_use(life->past, key_of(id)) && !heat_policy_use(life->policy, key_of(id), 1))
        (void)heat_policy_admit(life->policy, key_of(id), 1, UINT64_MAX, ignore, NULL);
}

static bool held(const struct life *life, uint64_t id)
{
    return heat_policy_holds(life->policy, key_of(id));
}

static double heat(const struct life *life, uint64_t id)
{
    return heat_policy_heat(life->policy, key_of(id));
}

static void use_often(struct life *life, uint64_t from, uint64_t to)
{
    for (int i = 0; i < 20; i++) {
        for (uint64_t id = from; id < to; id++)
            use(life, id);
    }
}

static void pass_a_minute(struct life *life)
{
    life->now_ns = heat_past_wakes_at(life->past);
    assert_true(run_jobs(life) > 0);
}

static void nothing_is_counted_before_the_past_is_there(void **state)
{
    (void)state;
    struct life life;
    struct account account;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    account_init(&account, "tables", 1 << 20);
    begin(&life, disk, &account);
    use(&life, 1);
    assert_true(heat(&life, 1) == 0);
    assert_int_equal(run_jobs(&life), 2); /* and what was held: nothing */
    use(&life, 1);
    assert_true(heat(&life, 1) > 0);
    end(&life);
    assert_int_equal(account_used(&account), 0);
    account_init(&account, "less", 1000);
    struct heat_policy *policy = heat_policy_new(&(struct heat_policy_config){.capacity_bytes = 1, .rows_max = 1});
    struct heat_store *store = heat_store_new(sim_disk_port(disk), "heat.db", SLOTS);
    assert_null(heat_past_new(policy, store, 0, &account));
    heat_store_unref(store);
    heat_policy_free(policy);
    sim_disk_free(disk);
}

static void comes_back_after_a_clean_stop(void **state)
{
    (void)state;
    struct life life;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    begin(&life, disk, NULL);
    (void)run_jobs(&life);
    use_often(&life, 0, 50);
    heat_policy_leave(life.policy, key_of(7));
    double before = heat(&life, 7);
    assert_ok(heat_past_stop(life.past));
    end(&life);
    begin(&life, disk, NULL);
    (void)run_jobs(&life);
    assert_true(heat(&life, 7) == 0); /* what was not held is not read before it is used */
    use(&life, 7);
    assert_true(heat(&life, 7) < 1.1);
    assert_int_equal(run_jobs(&life), 1);
    assert_true(heat(&life, 7) > before && heat(&life, 7) < before + 1.1);
    end(&life);
    sim_disk_free(disk);
}

/* Not what left, nor what never came in; and each with its heat, once. */
static void holds_again_what_it_held(void **state)
{
    (void)state;
    struct life life;
    bool before[3 * HELD];
    double heats[3 * HELD];
    uint32_t count = 0;
    uint64_t used = 0;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    begin(&life, disk, NULL);
    assert_true(heat_past_wait_until(life.past) == 1 + HEAT_PAST_WAIT_NS);
    (void)run_jobs(&life);
    assert_true(heat_past_wait_until(life.past) == 0);
    use_often(&life, 0, HELD);
    for (uint64_t id = HELD; id < 3 * HELD; id++)
        use(&life, id);
    pass_a_minute(&life);
    for (uint64_t id = 0; id < 3 * HELD; id += 5)
        heat_policy_leave(life.policy, key_of(id));
    for (uint64_t id = 0; id < 3 * HELD; id++) {
        before[id] = held(&life, id);
        heats[id] = heat(&life, id);
        count += before[id];
        used = before[id] ? id : used;
    }
    assert_in_range(count, HELD / 2, HELD - 1);
    assert_ok(heat_past_stop(life.past));
    end(&life);

    begin(&life, disk, NULL);
    struct heat_past_job *job = heat_past_next(life.past, life.now_ns);
    assert_ok(heat_past_run(job));
    (void)heat_past_done(life.past, job, ERR_OK, life.now_ns);
    heat_past_job_free(job);
    use(&life, used); /* before its page is read */
    (void)run_jobs(&life);
    assert_true(heat(&life, used) > heats[used] && heat(&life, used) < heats[used] + 1.1);
    assert_true(heat_past_wait_until(life.past) == 0);
    for (uint64_t id = 0; id < 3 * HELD; id++) {
        if (held(&life, id) != before[id])
            fail_msg("%u was %s", (unsigned)id, before[id] ? "held" : "not held");
    }
    assert_int_equal(heat_policy_stats(life.policy).held_bytes, count);
    end(&life);
    sim_disk_free(disk);
}

/* A tier that has become smaller: those that rank above the others. */
static void holds_no_more_than_there_is_room_for(void **state)
{
    (void)state;
    struct life life;
    struct account account;
    uint32_t hot = 0;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    begin(&life, disk, NULL);
    (void)run_jobs(&life);
    for (uint64_t id = 0; id < HELD; id++)
        use(&life, id);
    use_often(&life, 40, 60);
    assert_ok(heat_past_stop(life.past));
    assert_int_equal(heat_policy_stats(life.policy).held, HELD);
    end(&life);
    begin_with(&life, disk, 20, ROWS, NULL);
    (void)run_jobs(&life);
    assert_int_equal(heat_policy_stats(life.policy).held_bytes, 20);
    for (uint64_t id = 40; id < 60; id++)
        hot += held(&life, id);
    assert_true(hot > 15);
    end(&life);
    account_init(&account, "tables", 1 << 20);
    begin_with(&life, disk, HELD, 32, &account);
    (void)run_jobs(&life);
    assert_int_equal(heat_policy_stats(life.policy).remembered, 32);
    assert_int_equal(heat_policy_stats(life.policy).held, 32);
    assert_true(heat_past_wait_until(life.past) == 0);
    end(&life);
    assert_int_equal(account_used(&account), 0);
    sim_disk_free(disk);
}

/* What cannot be read any more is not waited for. */
static void damage_between_pages_ends_the_wait(void **state)
{
    (void)state;
    struct life life;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    begin(&life, disk, NULL);
    (void)run_jobs(&life);
    use_often(&life, 0, 50);
    assert_ok(heat_past_stop(life.past));
    end(&life);
    begin(&life, disk, NULL);
    struct heat_past_job *job = heat_past_next(life.past, life.now_ns);
    assert_ok(heat_past_run(job));
    (void)heat_past_done(life.past, job, ERR_OK, life.now_ns);
    heat_past_job_free(job);
    job = heat_past_next(life.past, life.now_ns);
    (void)heat_past_done(life.past, job, ERR_BUSY, life.now_ns); /* no place in the queue: again */
    heat_past_job_free(job);
    assert_true(heat_past_wait_until(life.past) > 0);
    job = heat_past_next(life.past, life.now_ns);
    assert_true(heat_past_done(life.past, job, ERR_IO, life.now_ns));
    heat_past_job_free(job);
    assert_true(heat_past_wait_until(life.past) == 0);
    end(&life);
    sim_disk_free(disk);
}

/* What was written a minute before is known after a kill, what came later is not. */
static void a_kill_costs_a_minute(void **state)
{
    (void)state;
    struct life life;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    begin(&life, disk, NULL);
    (void)run_jobs(&life);
    use_often(&life, 0, 50);
    pass_a_minute(&life);
    use_often(&life, 50, 100);
    struct sim_disk *after = sim_disk_clone(disk);
    end(&life);
    sim_disk_power_cut(after, SIM_CUT_KEEP, 1);
    begin(&life, after, NULL);
    (void)run_jobs(&life);
    assert_true(held(&life, 7) && !held(&life, 77));
    use(&life, 7);
    use(&life, 77);
    (void)run_jobs(&life);
    assert_true(heat(&life, 7) > 15);
    assert_true(heat(&life, 77) < 1.1);
    end(&life);
    sim_disk_free(after);
    sim_disk_free(disk);
}

/* More blocks than there are rows: hot ones that gave way are known when they come again. */
static void what_gave_way_is_found_again(void **state)
{
    (void)state;
    struct life life;
    uint32_t hot = 0;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    begin(&life, disk, NULL);
    (void)run_jobs(&life);
    use_often(&life, 0, 50);
    for (uint64_t id = 1000; id < 40000; id++) {
        use(&life, id);
        if (id % 2000 == 0)
            pass_a_minute(&life);
    }
    for (uint64_t id = 0; id < 50; id++)
        heat_policy_leave(life.policy, key_of(id));
    for (uint64_t id = 40000; id < 60000; id++)
        use(&life, id);
    pass_a_minute(&life);
    for (uint64_t id = 0; id < 50; id++) {
        use(&life, id);
        (void)run_jobs(&life);
        hot += heat(&life, id) > 1.01;
    }
    assert_true(hot > 40);
    assert_true(heat_policy_stats(life.policy).remembered <= ROWS);
    end(&life);
    sim_disk_free(disk);
}

/* Whatever the disk does, uses go on; the owner hears of the first failure and of the end of it. */
static void a_failing_disk_costs_heat(void **state)
{
    (void)state;
    struct life life;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    begin(&life, disk, NULL);
    (void)run_jobs(&life);
    sim_disk_fail(disk, SIM_FAULT_WRITE_NO_SPACE, 0, UINT64_MAX);
    for (int i = 0; i < 3; i++) {
        use_often(&life, 0, 50);
        pass_a_minute(&life);
    }
    assert_true(heat(&life, 7) > 15);
    assert_int_equal(life.turned, 1);
    sim_disk_fail(disk, SIM_FAULT_WRITE_NO_SPACE, 0, 0);
    use_often(&life, 0, 50);
    pass_a_minute(&life);
    assert_int_equal(life.turned, 2);
    end(&life);
    sim_disk_free(disk);
}

static void damage_is_begun_anew(void **state)
{
    (void)state;
    struct life life;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    begin(&life, disk, NULL);
    (void)run_jobs(&life);
    use_often(&life, 0, 50);
    assert_ok(heat_past_stop(life.past));
    end(&life);
    assert_ok(sim_disk_damage(disk, "/heat.db", 3, 0xFF));
    begin(&life, disk, NULL);
    (void)run_jobs(&life);
    use_often(&life, 0, 50);
    assert_true(heat(&life, 7) > 15);
    assert_ok(heat_past_stop(life.past));
    end(&life);
    begin(&life, disk, NULL);
    (void)run_jobs(&life);
    use(&life, 7);
    (void)run_jobs(&life);
    assert_true(heat(&life, 7) > 15);
    end(&life);
    sim_disk_free(disk);
}

/* The actor ends while a job is under way. */
static void a_job_outlives_its_owner(void **state)
{
    (void)state;
    struct life life;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    begin(&life, disk, NULL);
    struct heat_past_job *job = heat_past_next(life.past, life.now_ns);
    assert_non_null(job);
    assert_int_equal(heat_past_stop(life.past), ERR_BUSY);
    end(&life);
    assert_ok(heat_past_run(job));
    heat_past_job_free(job);
    sim_disk_free(disk);
}

/* Blocks are asked for nearly all the time. */
static void a_stop_writes_while_a_job_is_under_way(void **state)
{
    (void)state;
    struct life life;
    struct sim_disk *disk = sim_disk_new(1, DISK_BYTES);
    begin(&life, disk, NULL);
    (void)run_jobs(&life);
    use_often(&life, 0, 50);
    struct heat_past_job *job = heat_past_next(life.past, life.now_ns);
    assert_non_null(job);
    assert_ok(heat_past_stop(life.past));
    end(&life);
    assert_ok(heat_past_run(job));
    heat_past_job_free(job);
    begin(&life, disk, NULL);
    (void)run_jobs(&life);
    assert_true(held(&life, 7) && heat(&life, 7) > 15);
    end(&life);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_counted_before_the_past_is_there),
        cmocka_unit_test(comes_back_after_a_clean_stop),
        cmocka_unit_test(holds_again_what_it_held),
        cmocka_unit_test(holds_no_more_than_there_is_room_for),
        cmocka_unit_test(damage_between_pages_ends_the_wait),
        cmocka_unit_test(a_kill_costs_a_minute),
        cmocka_unit_test(what_gave_way_is_found_again),
        cmocka_unit_test(a_failing_disk_costs_heat),
        cmocka_unit_test(damage_is_begun_anew),
        cmocka_unit_test(a_job_outlives_its_owner),
        cmocka_unit_test(a_stop_writes_while_a_job_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
