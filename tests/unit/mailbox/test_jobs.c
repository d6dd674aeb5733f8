/* SPDX-License-Identifier: MIT */
/* Jobs: their way back, full lanes, cancels, and what becomes of them when the life that asked is over. */
#include "helper_scene.h"

#include <stdlib.h>

struct work {
    uint64_t n;
};

static enum err square(void *arg, const _Atomic bool *cancelled)
{
    struct work *work = arg;
    (void)cancelled;
    work->n *= work->n;
    return work->n == 49 ? ERR_IO : ERR_OK;
}

static void free_work(void *arg)
{
    count(9);
    free(arg);
}

static void start_work(struct ctx *c, const char *lane, job_fn *fn, uint64_t n, enum err expected)
{
    struct work *work = malloc(sizeof(*work));
    work->n = n;
    enum err err = ctx_job(c, lane, fn, work, free_work, n);
    CHECK(err == expected);
    if (err != ERR_OK)
        free(work);
}

static void run_jobs(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        for (uint64_t n = 1; n <= 8; n++)
            start_work(c, "work", square, n, ERR_OK);
        start_work(c, "nosuch", square, 1, ERR_NOT_FOUND);
        return;
    }
    struct work *work = info->arg;
    CHECK(info->kind == INFO_JOB && work->n == info->tag * info->tag);
    CHECK(info->err == (info->tag == 7 ? ERR_IO : ERR_OK));
    free(work); /* ours again */
    count(0);
    if (counted(0) == 8)
        scene_done();
}

static void test_jobs_come_back_with_their_argument(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = run_jobs;
    scene_play(10);
    assert_int_equal(counted(9), 0);
}

static enum err until_cancelled(void *arg, const _Atomic bool *cancelled)
{
    (void)arg;
    atomic_store(&scene.n[7], 1);
    while (!scene.is_sim && !atomic_load(cancelled)) {
    }
    return atomic_load(cancelled) ? ERR_CANCELLED : ERR_OK;
}

static void fill_lane(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        count(0);
        if (counted(0) == 2) {
            (void)ctx_timer(c, ctx_now(c) + 100 * MS_NS, 2);
            return;
        }
        start_work(c, "one", until_cancelled, 1, ERR_OK);
        (void)ctx_timer(c, ctx_now(c) + 10 * MS_NS, 1);
        return;
    }
    if (info->kind == INFO_TIMER && info->tag == 1 && counted(7) == 0) {
        (void)ctx_timer(c, ctx_now(c) + 10 * MS_NS, 1); /* not at work yet: the machine is busy */
        return;
    }
    if (info->kind == INFO_TIMER && info->tag == 1) {
        if (scene.is_sim)
            start_work(c, "one", until_cancelled, 1, ERR_OK); /* there it has ended by now */
        start_work(c, "one", until_cancelled, 2, ERR_OK);
        start_work(c, "one", until_cancelled, 3, ERR_OK);
        start_work(c, "one", until_cancelled, 4, ERR_BUSY); /* one at work, two wait */
        ctx_exit(c, EXIT_FAILED, "with jobs out");
        return;
    }
    if (info->kind == INFO_JOB) {
        CHECK(scene.is_sim && counted(0) == 1);
        free(info->arg);
        return;
    }
    CHECK(info->tag == 2);
    scene_done();
}

static void test_jobs_of_a_life_that_ended_free_themselves(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = fill_lane;
    scene_play(10);
    assert_int_equal(counted(9), 3);
    assert_int_equal(counted(7), 1);
}

static void cancel_job(struct ctx *c, const struct info *info)
{
    if (is_start(info)) {
        start_work(c, "one", until_cancelled, 5, ERR_OK);
        ctx_job_cancel(c, 5);
        return;
    }
    CHECK(info->kind == INFO_JOB && info->tag == 5 && info->err == ERR_CANCELLED);
    free(info->arg);
    scene_done();
}

static void test_a_cancelled_job_still_comes_back(void **state)
{
    (void)state;
    scene_begin();
    scene.on_info[A] = cancel_job;
    scene_play(10);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs_come_back_with_their_argument),
        cmocka_unit_test(test_jobs_of_a_life_that_ended_free_themselves),
        cmocka_unit_test(test_a_cancelled_job_still_comes_back),
    };
    return scene_main(argc, argv, tests, ARRAY_LEN(tests));
}
