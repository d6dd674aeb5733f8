/* SPDX-License-Identifier: MIT */
/* The nanny with real processes: what it restarts, what it passes on, when it gives up. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mailbox/nanny.h"

/* Shared between the test, the nanny and the daemons. */
struct shared {
    _Atomic unsigned lives;
    _Atomic bool ready;
    _Atomic bool got_signal;
};

static struct shared *shared;

static int make_shared(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED;
}

static int drop_shared(void **state)
{
    (void)state;
    return munmap(shared, sizeof(*shared));
}

static int crash_twice_then_end(void *arg, const struct nanny_life *life)
{
    (void)arg;
    atomic_fetch_add(&shared->lives, 1);
    if (life->number < 2)
        (void)raise(SIGKILL);
    return 0;
}

static int crash_always(void *arg, const struct nanny_life *life)
{
    (void)arg;
    (void)life;
    atomic_fetch_add(&shared->lives, 1);
    (void)raise(SIGKILL);
    return 0;
}

static int fail_for_good(void *arg, const struct nanny_life *life)
{
    (void)arg;
    (void)life;
    atomic_fetch_add(&shared->lives, 1);
    return 1;
}

static void on_term(int number)
{
    (void)number;
    atomic_store(&shared->got_signal, true);
}

static int wait_for_term(void *arg, const struct nanny_life *life)
{
    (void)arg;
    (void)life;
    (void)signal(SIGTERM, on_term);
    atomic_store(&shared->ready, true);
    while (!atomic_load(&shared->got_signal))
        (void)usleep(1000); /* pause() could miss a signal that comes just before it */
    return 0;
}

static int ignore_term(void *arg, const struct nanny_life *life)
{
    (void)arg;
    (void)life;
    (void)signal(SIGTERM, SIG_IGN);
    atomic_store(&shared->ready, true);
    for (int i = 0; i < 60; i++)
        (void)sleep(1);
    return 0;
}

static void a_crash_is_restarted_an_end_is_not(void **state)
{
    (void)state;
    const struct nanny_config config = {.daemon = crash_twice_then_end};
    assert_int_equal(nanny_run(&config), 0);
    assert_int_equal(shared->lives, 3);
}

static void ends_are_seen_where_they_were_ignored_before(void **state)
{
    (void)state;
    (void)alarm(30); /* without its end the nanny waits for good */
    (void)signal(SIGCHLD, SIG_IGN);
    const struct nanny_config config = {.daemon = crash_twice_then_end};
    assert_int_equal(nanny_run(&config), 0);
    (void)alarm(0);
    assert_int_equal(shared->lives, 3);
    assert_true(signal(SIGCHLD, SIG_DFL) == SIG_IGN);
}

static void too_many_crashes_end_the_nanny(void **state)
{
    (void)state;
    const struct nanny_config config = {.daemon = crash_always, .intensity = 2};
    assert_int_equal(nanny_run(&config), NANNY_EXIT_ESCALATED);
    assert_int_equal(shared->lives, 3);
}

static void a_final_code_is_not_a_crash(void **state)
{
    (void)state;
    const int final[] = {1};
    const struct nanny_config config = {.daemon = fail_for_good, .final_codes = final, .final_count = 1};
    assert_int_equal(nanny_run(&config), 1);
    assert_int_equal(shared->lives, 1);
}

/* Runs the nanny in a process of its own, sends it signals once the daemon is ready, returns its wait status. */
static int run_and_signal(int (*daemon)(void *, const struct nanny_life *), uint32_t stop_ms)
{
    pid_t nanny = fork();
    assert_true(nanny >= 0);
    if (nanny == 0) {
        const struct nanny_config config = {.daemon = daemon, .stop_ms = stop_ms};
        _exit(nanny_run(&config));
    }
    while (!atomic_load(&shared->ready))
        (void)usleep(1000);
    assert_int_equal(kill(nanny, SIGTERM), 0);
    int status = 0;
    assert_int_equal(waitpid(nanny, &status, 0), nanny);
    return status;
}

static void term_reaches_the_daemon(void **state)
{
    (void)state;
    int status = run_and_signal(wait_for_term, 5000);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(shared->got_signal);
}

static void a_daemon_that_ignores_term_is_killed_in_time(void **state)
{
    (void)state;
    int status = run_and_signal(ignore_term, 100);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 128 + SIGKILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_crash_is_restarted_an_end_is_not, make_shared, drop_shared),
        cmocka_unit_test_setup_teardown(ends_are_seen_where_they_were_ignored_before, make_shared, drop_shared),
        cmocka_unit_test_setup_teardown(too_many_crashes_end_the_nanny, make_shared, drop_shared),
        cmocka_unit_test_setup_teardown(a_final_code_is_not_a_crash, make_shared, drop_shared),
        cmocka_unit_test_setup_teardown(term_reaches_the_daemon, make_shared, drop_shared),
        cmocka_unit_test_setup_teardown(a_daemon_that_ignores_term_is_killed_in_time, make_shared, drop_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
