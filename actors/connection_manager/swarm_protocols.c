/* SPDX-License-Identifier: MIT */
/* Which protocols are served, as streams and actors ask for it. */
#include "actors/connection_manager/swarm.h"
#include "schemas/messages.h"

int swarm_match_protocol(void *user, struct span name)
{
    const struct swarm_conn *c = user;
    return protocols_match(&c->swarm->protocols, name);
}

void swarm_serve(struct swarm *s, actor_id owner, const struct msg_protocol_serve *fields)
{
    size_t position = 0;
    size_t refused = 0;
    struct span name;
    protocols_clear(&s->protocols, owner);
    while (fields != NULL && schema_list_next_bytes(&fields->protocols, &position, &name))
        refused += protocols_serve(&s->protocols, owner, name) != ERR_OK;
    if (refused > 0)
        ctx_log(s->ctx, LOG_ERROR, "%zu protocols of another actor cannot be served", refused);
    if (protocols_changed(&s->protocols))
        identify_push_soon(s);
}
