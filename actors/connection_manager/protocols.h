/* SPDX-License-Identifier: MIT */
/*
 * The protocols that this node speaks, and whose streams they are.
 *
 *      rows[]   those of the tree, always served  |  those that actors serve at run time (protocol_serve), served or not
 *
 * A row keeps its number and its name for as long as this exists, so that streams and the engines may hold both; one that is not
 * served is neither matched nor listed. Bounds: PROTOCOLS_MAX rows. One thread.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_PROTOCOLS_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_PROTOCOLS_H

#include <stdbool.h>
#include <stddef.h>

#include "actors/tree.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum { PROTOCOLS_MAX = 32, PROTOCOLS_NAME_BYTES = 64 };

struct protocol {
    char name[PROTOCOLS_NAME_BYTES];
    actor_id owner; /* 0: a service of connection_manager itself */
    bool fixed;     /* of the tree */
    bool served;
    bool was_served; /* when protocols_changed was asked last */
};

struct protocols {
    struct protocol rows[PROTOCOLS_MAX];
    size_t count;
};

/* With the protocols of the tree. */
void protocols_init(struct protocols *p);

/* ERR_EXISTS: another actor's; ERR_TOO_LARGE: the name; ERR_BUSY: no row is left. */
enum err protocols_serve(struct protocols *p, actor_id owner, struct span name) MUST_CHECK;

/* The owner serves nothing any more, but for what the tree says. */
void protocols_clear(struct protocols *p, actor_id owner);

/* Whether what is served differs from when this was asked last. */
bool protocols_changed(struct protocols *p);

/* The number of the row that is served under this name, or -1. */
int protocols_match(const struct protocols *p, struct span name);
const struct protocol *protocols_at(const struct protocols *p, int row);

/* The number of the row with this name, served or not, or -1. */
int protocols_row(const struct protocols *p, struct span name);

/* The name as it is kept here, served or not; NULL when no row has it. */
const char *protocols_known(const struct protocols *p, struct span name);

/* Those served. Returns how many. */
size_t protocols_list(const struct protocols *p, const char *ret_names[PROTOCOLS_MAX]);

#endif
