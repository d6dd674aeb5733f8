/* SPDX-License-Identifier: MIT */
/*
 * A shelf: where an actor's process leaves open sockets for the process of its next life, however it ends.
 *
 *      put_fd ──> | name, descriptor | name, descriptor | ... ──> take_fd      both ends are root's, and inherited by each life
 *
 * The shelf is the queue of a pair of Unix sockets. What lies in it is kept open by the kernel while root keeps the pair; nobody reads it but
 * the actor's own lives, so root neither holds what a process gives it nor looks at it. To find a thing, all are taken from the
 * front and put back behind: put first and taken then, so that whoever is killed in the middle leaves one too many, which the next pass drops,
 * never one too few.
 *
 * What is found may be anything, since the process that put it may have been taken over: whoever takes it looks at what it is.
 *
 * One thread: the actor's. Never blocks.
 */
#ifndef HEARTH_MAILBOX_SHELF_H
#define HEARTH_MAILBOX_SHELF_H

#include "base/attr.h"
#include "base/err.h"
#include "mailbox/ports.h"

enum { SHELF_THINGS_MAX = 64 };

struct shelf {
    int put_fd; /* borrowed, as is take_fd */
    int take_fd;
    struct keep_port port;
};

/* Makes an empty one: { put_fd, take_fd }, closed by exec and by the caller. */
enum err shelf_make(int ret_fds[2]) MUST_CHECK;
/* Goes on with one. */
void shelf_join(struct shelf *shelf, const int fds[2]);
/* keep_port of the shelf, as long as it. */
const struct keep_port *shelf_port(struct shelf *shelf);

#endif
