/* SPDX-License-Identifier: MIT */
#include "actors/control/listener_door.h"

#include <nng/protocol/reqrep0/req.h>
#include <nng/transport/ipc/ipc.h>
#include <stdio.h>

static int open_listener(struct door *door)
{
    int code = nng_listener_create(&door->listener, door->inside, door->url);
    if (code != 0)
        return code;
    code = nng_listener_set_int(door->listener, NNG_OPT_IPC_PERMISSIONS, door->mode);
    if (code == 0)
        code = nng_listener_set_size(door->listener, NNG_OPT_RECVMAXSZ, door->request_bytes_max);
    if (code == 0)
        code = nng_listener_start(door->listener, 0);
    if (code != 0)
        (void)nng_listener_close(door->listener);
    door->open = code == 0;
    return code;
}

int door_open(struct door *door, nng_socket inside, const char *path, int mode, size_t request_bytes_max)
{
    door->inside = inside;
    door->mode = mode;
    door->request_bytes_max = request_bytes_max;
    (void)snprintf(door->url, sizeof(door->url), "ipc://%s", path);
    int code = nng_req0_open(&door->outside);
    return code == 0 ? open_listener(door) : code;
}

void door_entered(struct door *door)
{
    atomic_fetch_add_explicit(&door->entered, 1, memory_order_relaxed);
}

static void end_knock(struct door *door)
{
    if (door->knocked > 0)
        (void)nng_dialer_close(door->knock);
    door->knocked = 0;
}

static void begin_knock(struct door *door)
{
    if (nng_dial(door->outside, door->url, &door->knock, NNG_FLAG_NONBLOCK) == 0)
        door->knocked = 1;
}

bool door_check(struct door *door)
{
    uint64_t entered = atomic_load_explicit(&door->entered, memory_order_relaxed);
    bool came = entered != door->seen;
    door->seen = entered;
    if (door->open && came) {
        end_knock(door);
        return false;
    }
    if (door->open && door->knocked == 0) {
        begin_knock(door);
        return false;
    }
    if (door->open && door->knocked++ < DOOR_PATIENCE_CHECKS)
        return false;
    end_knock(door);
    if (door->open)
        (void)nng_listener_close(door->listener);
    door->open = false;
    return open_listener(door) == 0;
}

bool door_knocks(const struct door *door)
{
    return door->knocked > 0;
}

void door_close(struct door *door)
{
    end_knock(door);
    if (nng_socket_id(door->outside) > 0)
        (void)nng_close(door->outside);
}
