/* SPDX-License-Identifier: MIT */
/* `actors tree`, `stop`, `start`, `restart`: asked of root, which answers in every state of the tree. */
#include "actors/control/operations.h"
#include "schemas/pack.h"

enum { TREE_REPLY_BYTES = 64 * 1024, TREE_RESULT_BYTES_MAX = 256 * 1024 };

/* ---- the tree ---- */

enum err actors_tree_start(struct control *c, struct conversation *v)
{
    static const struct msg_actor_tree ask = {0};
    return conversation_call(c, v, ACTOR_ROOT, MSG_ACTOR_TREE, &ask, NULL, 0, TREE_REPLY_BYTES);
}

static void pack_supervisor(struct pack *p, const struct item_tree_child *row)
{
    pack_pair_span(p, "strategy", row->strategy);
    pack_pair_u64(p, "intensity", row->intensity);
    pack_pair_u64(p, "period_ms", row->period_ms);
    pack_pair_u64(p, "recent_restarts", row->restarts);
}

static void pack_worker(struct pack *p, const struct item_tree_child *row)
{
    pack_pair_u64(p, "next_start_ms", row->next_start_ms);
    pack_pair_span(p, "reason", row->reason);
}

static void pack_figures(struct pack *p, const struct actor_stats *stats)
{
    pack_pair_u64(p, "epoch", stats->epoch);
    pack_pair_u64(p, "restarts", stats->restarts);
    pack_pair_text(p, "last_exit_reason", stats->last_exit_reason);
    pack_pair_u64(p, "mailbox_records", stats->mailbox_records);
    pack_pair_u64(p, "mailbox_bytes", stats->mailbox_bytes);
    pack_pair_u64(p, "refused", stats->refused);
    pack_pair_u64(p, "messages", stats->messages);
    pack_text(p, "messages_per_s");
    pack_f64(p, stats->messages_per_s);
    pack_pair_u64(p, "p50_ns", stats->p50_ns);
    pack_pair_u64(p, "p99_ns", stats->p99_ns);
    pack_pair_u64(p, "cpu_ns", stats->cpu_ns);
}

/* Root is both: it has a strategy, and a thread of its own. */
static void pack_row(struct control *c, struct pack *p, const struct item_tree_child *row)
{
    enum { COMMON = 6, OF_SUPERVISOR = 4, OF_WORKER = 2, FIGURES = 11 };
    struct actor_stats stats;
    bool supervisor = row->actor == 0;
    bool figures = (!supervisor || row->depth == 0) && ctx_actor_stats_of(c->ctx, (actor_id)row->actor, &stats);
    pack_map(p, COMMON + (supervisor ? OF_SUPERVISOR : OF_WORKER) + (figures ? FIGURES : 0));
    pack_pair_span(p, "name", row->name);
    pack_pair_text(p, "type", supervisor ? "supervisor" : "worker");
    pack_pair_span(p, "supervisor", row->supervisor);
    pack_pair_u64(p, "depth", row->depth);
    pack_pair_span(p, "state", row->state);
    pack_pair_span(p, "restart", row->restart);
    if (supervisor)
        pack_supervisor(p, row);
    else
        pack_worker(p, row);
    if (figures)
        pack_figures(p, &stats);
}

enum err actors_tree_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    (void)sub;
    if (info->err != ERR_OK)
        return info->err;
    const struct msg_actor_tree_ok *m = info->msg->fields;
    struct item_tree_child row;
    struct buf result;
    size_t position = 0;
    buf_init(&result, TREE_RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 2);
    pack_pair_u64(&p, "at", ctx_real_now(c->ctx));
    pack_text(&p, "tree");
    pack_array(&p, m->children.count);
    while (schema_list_next_map(&m->children, &schema_item_tree_child, &position, &row))
        pack_row(c, &p, &row);
    return conversation_finish_packed(c, v, &result, &p);
}

/* ---- orders ---- */

static enum actor_order order_of(const struct conversation *v)
{
    return v->op->id == OP_ACTORS_STOP ? ORDER_STOP : v->op->id == OP_ACTORS_START ? ORDER_START : ORDER_RESTART;
}

/* The three take the same argument. */
enum err actors_order_start(struct control *c, struct conversation *v)
{
    const struct op_actors_stop *args = (const void *)v->args;
    struct msg_actor_order ask = {.name = args->name, .order = order_of(v)};
    ctx_log(c->ctx, LOG_INFO, "asked for: %s %.*s", v->op->words, (int)args->name.len, (const char *)args->name.data);
    return conversation_call(c, v, ACTOR_ROOT, MSG_ACTOR_ORDER, &ask, NULL, 0, 0);
}

enum err actors_order_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    (void)sub;
    if (info->err != ERR_OK && info->text[0] != '\0')
        return conversation_error(v, info->err, "%s", info->text);
    if (info->err != ERR_OK)
        return info->err;
    const struct msg_actor_ordered *m = info->msg->fields;
    bool stop = order_of(v) == ORDER_STOP;
    struct buf result;
    buf_init(&result, TREE_RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 3);
    pack_pair_span(&p, "name", m->name);
    pack_pair_span(&p, "state", m->state);
    if (stop) {
        pack_text(&p, "callers");
        pack_array(&p, m->callers.count);
        pack_raw(&p, m->callers.raw);
    } else {
        pack_pair_u64(&p, "epoch", m->epoch);
    }
    return conversation_finish_packed(c, v, &result, &p);
}
