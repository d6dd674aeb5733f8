/* SPDX-License-Identifier: MIT */
#include "mailbox/ipc_place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mailbox/shelf.h"

enum { SOCKET_BYTES = 1024 * 1024 };

static int *slot(const struct ipc_sockets *s, size_t actor, size_t peer, int lane)
{
    return &s->fds[(actor * s->actor_count + peer) * LANE_COUNT + (size_t)lane];
}

static enum err connect_pair(struct ipc_sockets *s, size_t a, size_t b, int lane)
{
    int pair[2];
    int bytes = SOCKET_BYTES; /* as much of it as the system allows */
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_from_errno(errno);
    for (int i = 0; i < 2; i++)
        (void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    *slot(s, a, b, lane) = pair[0];
    *slot(s, b, a, lane) = pair[1];
    return ERR_OK;
}

static enum err make_shelves(struct ipc_sockets *s, const bool *exists)
{
    enum err err = ERR_OK;
    for (size_t i = ROOT_ID + 1; i < s->actor_count && err == ERR_OK; i++) {
        if (exists[i])
            err = shelf_make(s->shelves[i]);
    }
    return err;
}

enum err ipc_sockets_open(size_t actor_count, const bool *exists, struct ipc_sockets *ret_sockets)
{
    size_t count = actor_count * actor_count * LANE_COUNT;
    struct ipc_sockets s = {.actor_count = actor_count, .fds = calloc(count, sizeof(*s.fds))};
    if (s.fds == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        s.fds[i] = -1;
    enum err err = make_shelves(&s, exists);
    for (size_t a = 0; a < actor_count; a++) {
        for (size_t b = a + 1; b < actor_count && exists[a]; b++) {
            for (int lane = 0; lane < LANE_COUNT && exists[b] && err == ERR_OK; lane++)
                err = connect_pair(&s, a, b, lane);
        }
    }
    if (err != ERR_OK) {
        ipc_sockets_close(&s);
        return err;
    }
    *ret_sockets = s;
    return ERR_OK;
}

void ipc_sockets_close(struct ipc_sockets *s)
{
    for (size_t i = 0; s->fds != NULL && i < s->actor_count * s->actor_count * LANE_COUNT; i++) {
        if (s->fds[i] >= 0)
            (void)close(s->fds[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(s->shelves) * 2; i++) {
        if (s->shelves[i / 2][i % 2] > 0)
            (void)close(s->shelves[i / 2][i % 2]);
    }
    free(s->fds);
    *s = (struct ipc_sockets){0};
}

const int *ipc_sockets_of(const struct ipc_sockets *s, actor_id actor)
{
    return slot(s, actor, 0, 0);
}

static int print_fd(char to[PLACE_TEXT_MAX], int at, const char *before, int fd)
{
    size_t left = PLACE_TEXT_MAX - (size_t)at;
    return at + (fd < 0 ? snprintf(to + at, left, "%s-", before) : snprintf(to + at, left, "%s%d", before, fd));
}

void ipc_place_print(char to[PLACE_TEXT_MAX], const struct ipc_place *place, const struct ipc_sockets *s)
{
    const int *fds = ipc_sockets_of(s, place->actor);
    int at = snprintf(to, PLACE_TEXT_MAX, "%u", place->actor);
    at = print_fd(to, at, ":", place->region_fd);
    at = print_fd(to, at, ":", place->page_fd);
    at = print_fd(to, at, ":", place->notes_fd);
    for (size_t i = 0; i < ARRAY_LEN(s->shelves[place->actor]); i++)
        at = print_fd(to, at, ":", s->shelves[place->actor][i]);
    for (size_t i = 0; i < s->actor_count * LANE_COUNT; i++)
        at = print_fd(to, at, i == 0 ? ":" : ",", fds[i]);
}

/* A number from 0 to max and the character behind it. */
static bool number(const char **text, int max, char end, int *ret_value)
{
    int value = 0;
    const char *at = *text;
    for (; *at >= '0' && *at <= '9' && value <= max; at++)
        value = value * 10 + (*at - '0');
    if (at == *text || *at != end || value > max)
        return false;
    *text = at + (end != '\0');
    *ret_value = value;
    return true;
}

/* The same of a descriptor, which may be none. */
static bool descriptor(const char **text, char end, int *ret_fd)
{
    enum { FD_MAX = 1 << 20 };
    const char *at = *text;
    if (at[0] != '-' || at[1] != end)
        return number(text, FD_MAX, end, ret_fd);
    *ret_fd = -1;
    *text = at + 1 + (end != '\0');
    return true;
}

enum err ipc_place_parse(const char *text, size_t actor_count, struct ipc_place *ret_place)
{
    struct ipc_place place = {0};
    int actor = 0;
    size_t count = actor_count * LANE_COUNT;
    if (actor_count > RUNTIME_ACTORS_MAX + 1 || !number(&text, (int)actor_count - 1, ':', &actor) || actor == ROOT_ID ||
        !descriptor(&text, ':', &place.region_fd) || place.region_fd < 0 || !descriptor(&text, ':', &place.page_fd) ||
        !descriptor(&text, ':', &place.notes_fd) || (place.page_fd < 0) != (place.notes_fd < 0) ||
        !descriptor(&text, ':', &place.shelf[0]) || !descriptor(&text, ':', &place.shelf[1]) || place.shelf[0] < 0 ||
        place.shelf[1] < 0)
        return ERR_INVALID;
    for (size_t i = 0; i < count; i++) {
        if (!descriptor(&text, i + 1 < count ? ',' : '\0', &place.fds[i]))
            return ERR_INVALID;
    }
    place.actor = (actor_id)actor;
    *ret_place = place;
    return ERR_OK;
}
