/* SPDX-License-Identifier: MIT */
#include "mailbox/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"
#include "mailbox/crash_page.h"

enum { USEC_NS = 1000 };

/* False unless all of it is a number. */
static bool read_number(const char *text, uint64_t *ret_number)
{
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0')
        return false;
    *ret_number = number;
    return true;
}

static bool read_watchdog(struct service *s)
{
    const char *period = getenv("WATCHDOG_USEC");
    const char *whose = getenv("WATCHDOG_PID");
    uint64_t pid = 0;
    uint64_t usec = 0;
    if (period == NULL)
        return true;
    if (whose != NULL && (!read_number(whose, &pid) || pid != (uint64_t)getpid()))
        return true;
    if (!read_number(period, &usec) || usec == 0 || usec > UINT64_MAX / USEC_NS)
        return false;
    s->watchdog_ns = usec * USEC_NS;
    return true;
}

bool service_open(struct service *s)
{
    const char *name = getenv("NOTIFY_SOCKET");
    *s = (struct service){.fd = -1};
    if (name == NULL || name[0] == '\0')
        return true;
    size_t len = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(s->to.sun_path))
        return false;
    s->to.sun_family = AF_UNIX;
    memcpy(s->to.sun_path, name, len + 1);
    s->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (name[0] == '/'));
    if (name[0] == '@')
        s->to.sun_path[0] = '\0';
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return read_watchdog(s) && s->fd >= 0;
}

void service_close(struct service *s)
{
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
}

static void tell(const struct service *s, const char *text)
{
    (void)!sendto(s->fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&s->to, s->to_len);
}

/* The nanny itself is alive; the daemon is while its watchdog looks and has given up nobody. */
static bool is_alive(const struct service_view *view, uint64_t now_ns)
{
    if (view->life_since_ns == 0 || view->page == NULL)
        return true;
    uint64_t seen = MAX(view->life_since_ns, MIN(atomic_load(&view->page->alive_ns), now_ns));
    return atomic_load(&view->page->stuck) == 0 && now_ns - MIN(seen, now_ns) < SERVICE_SILENT_MS * MS_NS;
}

static enum crash_phase phase_of(const struct service_view *view)
{
    uint32_t phase = view->page == NULL ? CRASH_PHASE_STARTING : atomic_load(&view->page->phase);
    if (view->stopping || phase == CRASH_PHASE_STOPPING)
        return CRASH_PHASE_STOPPING;
    return view->life_since_ns != 0 && phase == CRASH_PHASE_READY ? CRASH_PHASE_READY : CRASH_PHASE_STARTING;
}

static void tell_phase(const struct service *s, enum crash_phase phase, unsigned life)
{
    char text[160];
    switch (phase) {
    case CRASH_PHASE_STARTING:
        (void)snprintf(text, sizeof(text), "STATUS=%s", life == 0 ? "starting" : "starting again after a crash");
        break;
    case CRASH_PHASE_READY:
        (void)snprintf(text, sizeof(text), "READY=1\nMAINPID=%ld\nSTATUS=ready, after %u crashes", (long)getpid(),
                       life);
        break;
    case CRASH_PHASE_STOPPING:
        (void)snprintf(text, sizeof(text), "STOPPING=1\nSTATUS=stopping");
        break;
    }
    tell(s, text);
}

uint64_t service_turn(struct service *s, const struct service_view *view, uint64_t now_ns)
{
    if (s->fd < 0)
        return UINT64_MAX;
    uint64_t next = UINT64_MAX;
    enum crash_phase phase = phase_of(view);
    bool alive = is_alive(view, now_ns);
    if (s->told != (uint32_t)phase + 1 || s->told_life != view->life) {
        s->told = (uint32_t)phase + 1;
        s->told_life = view->life;
        tell_phase(s, phase, view->life);
    }
    s->was_ready = s->was_ready || phase == CRASH_PHASE_READY;
    if (phase == CRASH_PHASE_STARTING && !s->was_ready) {
        if (alive && now_ns >= s->extend_at_ns) {
            char text[48];
            (void)snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%d", SERVICE_EXTEND_S * 1000000);
            tell(s, text);
            s->extend_at_ns = now_ns + SERVICE_EXTEND_EACH_S * SECOND_NS;
        }
        next = MAX(s->extend_at_ns, now_ns + SECOND_NS);
    }
    if (s->watchdog_ns == 0)
        return next;
    if (now_ns >= s->watchdog_at_ns) {
        if (alive)
            tell(s, "WATCHDOG=1");
        s->watchdog_at_ns = now_ns + s->watchdog_ns / 2;
    }
    return MIN(next, s->watchdog_at_ns);
}
