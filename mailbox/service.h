/* SPDX-License-Identifier: MIT */
/*
 * What a service manager is told: systemd's notification protocol, sd_notify(3), which is documented as stable: datagrams of NAME=value
 * lines to the socket that NOTIFY_SOCKET names.
 *
 *      READY=1, MAINPID=     the daemon is ready, for the first time and after each crash
 *      WATCHDOG=1            at half of WATCHDOG_USEC, while the daemon is alive
 *      EXTEND_TIMEOUT_USEC=  while it starts for the first time: a catalogue that is made anew takes its time
 *      STOPPING=1            it ends for good
 *      STATUS=               for people
 *
 * No RELOADING=1: SIGHUP makes nothing be read again. The nanny tells, since it is the service's main process; without a nanny the daemon.
 * One thread. Never blocks: a datagram that finds no room is lost, and the next follows.
 */
#ifndef HEARTH_MAILBOX_SERVICE_H
#define HEARTH_MAILBOX_SERVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
    SERVICE_EXTEND_S = 60,
    SERVICE_EXTEND_EACH_S = 15,
    SERVICE_SILENT_MS = 10000, /* a daemon whose watchdog has not looked for so long is not alive */
};

struct crash_page;

struct service {
    int fd; /* -1: nobody is to be told */
    struct sockaddr_un to;
    socklen_t to_len;
    uint64_t watchdog_ns; /* 0: none */
    uint64_t watchdog_at_ns;
    uint64_t extend_at_ns;
    uint32_t told; /* enum crash_phase + 1; 0: nothing */
    unsigned told_life;
    bool was_ready; /* the manager waits no more */
};

/* How the daemon fares. */
struct service_view {
    const struct crash_page *page;
    unsigned life;          /* counts from 0 */
    uint64_t life_since_ns; /* 0: there is none just now, the next will come */
    bool stopping;
};

/*
 * The socket is NOTIFY_SOCKET's (a path, or an abstract name after @), the watchdog WATCHDOG_USEC's unless WATCHDOG_PID is somebody else.
 * Without them, or when they are wrong, nobody is told; false: they are wrong.
 */
bool service_open(struct service *s);
void service_close(struct service *s);

/* Tells what is due; returns when the next will be (UINT64_MAX: only when something changes). */
uint64_t service_turn(struct service *s, const struct service_view *view, uint64_t now_ns);

#endif
