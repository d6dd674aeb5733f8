/* SPDX-License-Identifier: MIT */
/*
 * The address filters that were added while the node runs. connection_manager has them in memory: when it was started again it is told
 * them again, or what was shut out would be let in. Those of the configuration it reads itself, also one that had been taken away.
 */
#include "actors/control/operations.h"

enum { FILTERS_BYTES_MAX = 64 * 1024 };

static bool names(const struct schema_list *list, struct span text)
{
    size_t position = 0;
    struct span one;
    while (schema_list_next_bytes(list, &position, &one))
        if (span_equal(one, text))
            return true;
    return false;
}

/* What was changed, as connection_manager writes it. Too many: those over the bound hold until it is started again. */
static void note(struct control *c, const struct schema_list *changed, bool remove)
{
    struct schema_list known = schema_list_of(&c->filters, c->filter_count);
    struct buf kept;
    uint32_t count = 0;
    size_t position = 0;
    struct span text;
    buf_init(&kept, FILTERS_BYTES_MAX, NULL);
    while (schema_list_next_bytes(&known, &position, &text))
        if (!names(changed, text) && schema_list_add_text(&kept, text) == ERR_OK)
            count++;
    position = 0;
    while (!remove && schema_list_next_bytes(changed, &position, &text))
        if (schema_list_add_text(&kept, text) == ERR_OK)
            count++;
    buf_release(&c->filters);
    c->filters = kept;
    c->filter_count = count;
}

enum err filters_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    if (info->err == ERR_OK) {
        const struct msg_swarm_filters_ok *fields = info->msg->fields;
        note(c, &fields->filters, v->op->id == OP_SWARM_FILTERS_RM);
    }
    return relay_reply(c, v, sub, info);
}

void filters_up(struct control *c, actor_id actor)
{
    struct msg_swarm_filters_change fields = {.filters = schema_list_of(&c->filters, c->filter_count)};
    if (actor != ACTOR_CONNECTION_MANAGER || c->filter_count == 0)
        return;
    if (ctx_cast(c->ctx, ACTOR_CONNECTION_MANAGER,
                 &(struct msg){.kind = MSG_SWARM_FILTERS_CHANGE, .fields = &fields}) != ERR_OK)
        ctx_log(c->ctx, LOG_WARN, "address filters that were added could not be told again: add them once more");
}

void filters_release(struct control *c)
{
    buf_release(&c->filters);
    c->filter_count = 0;
}
