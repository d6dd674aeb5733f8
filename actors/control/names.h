/* SPDX-License-Identifier: MIT */
/*
 * Paths that begin with a name, resolved before the operation that has them among its arguments starts: it gets a path of /ipfs/.
 *
 *      /ipns/NAME/rest --> cache --> the record kept here (state) --> routing (discovery) --> value/rest, and again, NAMES_DEPTH_MAX times
 *                        fresh        fresh: TTL                      the newer of the two
 *
 * A domain in place of a name is DNSLink's, which discovery follows. Private to actors/control.
 */
#ifndef HEARTH_ACTORS_CONTROL_NAMES_H
#define HEARTH_ACTORS_CONTROL_NAMES_H

#include "actors/control/router.h"

enum { NAMES_DEPTH_MAX = 32 };

/*
 * Starts the operation of a new conversation: at once, or when the names in its arguments are resolved. As operation_handler.start; names_wait
 * tells whether it waits.
 */
enum err names_start(struct control *c, struct conversation *v) MUST_CHECK;

/* Whether the conversation waits for a name; a reply is given to what waits for it, this or the operation. */
bool names_wait(const struct conversation *v);
enum err names_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info) MUST_CHECK;

/* The arguments were read anew: paths that were resolved take their places again. */
void names_apply(struct conversation *v);
void names_end(struct conversation *v);

/* Remembers what this node has just published. */
void names_note(struct control *c, struct span record_bytes, struct span peer);

#endif
