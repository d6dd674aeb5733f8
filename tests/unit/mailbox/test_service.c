/* SPDX-License-Identifier: MIT */
/* What a service manager hears, over a socket of its own: a path and an abstract name; what is wrong is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "mailbox/crash_page.h"
#include "mailbox/service.h"

static struct crash_page the_page;
static struct crash_page *const page = &the_page;
static struct service service;
static int manager = -1;
static char heard[1024];

static void listen_at(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    memcpy(at.sun_path, name, len);
    if (name[0] == '@')
        at.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(manager >= 0);
    assert_int_equal(bind(manager, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
}

static int begin(void **state)
{
    char name[64];
    (void)state;
    crash_page_clear(page, 0);
    (void)unsetenv("WATCHDOG_PID");
    assert_int_equal(setenv("WATCHDOG_USEC", "4000000", 1), 0);
    (void)snprintf(name, sizeof(name), "@hearth-test-service-%ld", (long)getpid());
    listen_at(name);
    assert_true(service_open(&service));
    return 0;
}

static int end(void **state)
{
    (void)state;
    service_close(&service);
    (void)close(manager);
    return 0;
}

/* All that came, joined by |. */
static const char *hear(void)
{
    size_t used = 0;
    heard[0] = '\0';
    for (;;) {
        ssize_t n = recv(manager, heard + used, sizeof(heard) - used - 2, 0);
        if (n < 0)
            return heard;
        used += (size_t)n;
        heard[used++] = '|';
        heard[used] = '\0';
    }
}

static bool hears(const char *what)
{
    return strstr(heard, what) != NULL;
}

static uint64_t turn_at(unsigned life, uint64_t now_s, bool running)
{
    const struct service_view view = {.page = page, .life = life, .life_since_ns = running ? SECOND_NS : 0};
    uint64_t next = service_turn(&service, &view, now_s * SECOND_NS);
    (void)hear();
    return next;
}

static void a_life_is_told(void **state)
{
    char ready[64];
    (void)state;
    assert_int_equal(turn_at(0, 1, true), 3 * SECOND_NS);
    assert_true(hears("STATUS=starting") && hears("EXTEND_TIMEOUT_USEC=60000000"));
    assert_true(hears("WATCHDOG=1"));
    assert_false(hears("READY=1"));
    (void)turn_at(0, 1, true);
    assert_string_equal(heard, "");
    crash_page_tell(page, CRASH_PHASE_READY);
    (void)turn_at(0, 2, true);
    (void)snprintf(ready, sizeof(ready), "READY=1\nMAINPID=%ld\n", (long)getpid());
    assert_true(hears(ready));
    crash_page_clear(page, 0); /* it crashed */
    (void)turn_at(1, 3, true);
    assert_true(hears("STATUS=starting again"));
    assert_false(hears("EXTEND_TIMEOUT_USEC")); /* the manager waits no more */
    crash_page_tell(page, CRASH_PHASE_READY);
    (void)turn_at(1, 4, true);
    assert_true(hears("READY=1"));
    crash_page_tell(page, CRASH_PHASE_STOPPING);
    (void)turn_at(1, 5, true);
    assert_true(hears("STOPPING=1"));
}

static void the_watchdog_is_fed_while_the_daemon_is_alive(void **state)
{
    (void)state;
    assert_int_equal(service.watchdog_ns, 4 * SECOND_NS);
    crash_page_tell(page, CRASH_PHASE_READY);
    for (uint64_t s = 2; s < 60; s += 2) {
        atomic_store(&page->alive_ns, s * SECOND_NS);
        assert_int_equal(turn_at(0, s, true), (s + 2) * SECOND_NS);
        assert_true(hears("WATCHDOG=1"));
    }
    (void)turn_at(0, 66, true);
    assert_true(hears("WATCHDOG=1")); /* eight seconds: not yet silent */
    (void)turn_at(0, 68, true);
    assert_false(hears("WATCHDOG=1"));
    (void)turn_at(1, 70, false); /* ended: the nanny will start the next */
    assert_true(hears("WATCHDOG=1"));
    atomic_store(&page->alive_ns, 72 * SECOND_NS);
    atomic_store(&page->stuck, 4);
    (void)turn_at(1, 72, true);
    assert_false(hears("WATCHDOG=1"));
}

static void a_watchdog_of_somebody_else_is_not_fed(void **state)
{
    (void)state;
    service_close(&service);
    assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0);
    assert_true(service_open(&service));
    assert_int_equal(service.watchdog_ns, 0);
    (void)turn_at(0, 1, true);
    assert_false(hears("WATCHDOG=1"));
}

static void wrong_names_are_refused(void **state)
{
    (void)state;
    char name[200];
    memset(name, 'a', sizeof(name));
    name[0] = '/';
    name[sizeof(name) - 1] = '\0';
    static const char *const wrong[] = {"vsock:2:1234", "relative", "@", "/"};
    service_close(&service);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", wrong[i], 1), 0);
        assert_false(service_open(&service));
        assert_int_equal(turn_at(0, 1, true), UINT64_MAX);
    }
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    assert_false(service_open(&service));
    assert_int_equal(setenv("NOTIFY_SOCKET", "@hearth", 1), 0);
    static const char *const periods[] = {"", "soon", "1s", "0", "-1", "99999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(periods); i++) {
        assert_int_equal(setenv("WATCHDOG_USEC", periods[i], 1), 0);
        assert_false(service_open(&service));
        service_close(&service);
    }
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_true(service_open(&service)); /* no manager: nothing to do */
    assert_int_equal(turn_at(0, 1, true), UINT64_MAX);
}

static void a_path_is_told_too(void **state)
{
    (void)state;
    char name[] = "/tmp/hearth-test-service-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    (void)close(fd);
    (void)unlink(name);
    service_close(&service);
    (void)close(manager);
    listen_at(name);
    assert_true(service_open(&service));
    (void)turn_at(0, 1, true);
    assert_true(hears("STATUS=starting"));
    (void)unlink(name);
    (void)turn_at(0, 9, true); /* nobody is there any more: no harm */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_life_is_told, begin, end),
        cmocka_unit_test_setup_teardown(the_watchdog_is_fed_while_the_daemon_is_alive, begin, end),
        cmocka_unit_test_setup_teardown(a_watchdog_of_somebody_else_is_not_fed, begin, end),
        cmocka_unit_test_setup_teardown(wrong_names_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_path_is_told_too, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
