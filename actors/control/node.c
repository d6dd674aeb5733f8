/* SPDX-License-Identifier: MIT */
/* What the node says of itself: id, version, help, actors, accounts, health, log level, configuration, shutdown. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "actors/control/operations.h"
#include "mailbox/chaos.h"
#include "schemas/blocks_sql.h"
#include "schemas/pack.h"
#include "wire/keys.h"
#include "wire/peer_id.h"

enum { RESULT_BYTES_MAX = 512 * 1024, HEALTHY_NS = 5 };

/* ---- id ---- */

static void pack_identity(struct pack *p, struct span public_key, const char *peer)
{
    pack_pair_text(p, "id", peer);
    pack_text(p, "public_key");
    pack_bytes(p, public_key);
}

/* As people paste them elsewhere: with the peer at the end. */
static void pack_addresses(struct pack *p, const struct schema_list *addrs, const char *peer)
{
    size_t position = 0;
    struct span addr;
    pack_text(p, "addresses");
    pack_array(p, addrs->count);
    while (schema_list_next_bytes(addrs, &position, &addr)) {
        char text[MSG_ADDR_MAX + PEER_ID_TEXT_MAX + sizeof("/p2p/")];
        (void)snprintf(text, sizeof(text), "%.*s/p2p/%s", (int)addr.len, (const char *)addr.data, peer);
        pack_text(p, text);
    }
}

enum err id_start(struct control *c, struct conversation *v)
{
    struct msg_node_id ask = {0};
    return conversation_call(c, v, ACTOR_CONNECTION_MANAGER, MSG_NODE_ID, &ask, NULL, 0, 64 * 1024);
}

static void pack_list(struct pack *p, const char *key, const struct schema_list *list)
{
    pack_text(p, key);
    pack_array(p, list->count);
    pack_raw(p, list->raw);
}

/* Who we are is known here too: without connection_manager only the addresses are missing. */
enum err id_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    (void)sub;
    struct msg_node_id_ok none = {.agent = span_text("hearth/" HEARTH_VERSION)};
    const struct msg_node_id_ok *m = info->err == ERR_OK ? info->msg->fields : &none;
    struct buf key;
    struct buf result;
    buf_init(&key, 8192, NULL);
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    enum err err = ERR_OK;
    if (c->config->identity != NULL)
        err = buf_append_span(&key, key_pair_public(c->config->identity));
    else
        err = buf_append_span(&key, m->public_key);
    if (err == ERR_OK) {
        struct peer_id id = peer_id_of_key(buf_span(&key));
        char peer[PEER_ID_TEXT_MAX];
        peer_id_text(&id, peer);
        struct pack p = pack_begin(&result);
        pack_map(&p, 5);
        pack_identity(&p, buf_span(&key), peer);
        pack_pair_span(&p, "agent_version", m->agent);
        pack_addresses(&p, &m->addrs, peer);
        pack_list(&p, "protocols", &m->protocols);
        err = conversation_finish_packed(c, v, &result, &p);
    }
    buf_release(&key);
    return err;
}

/* ---- facts ---- */

enum err version_start(struct control *c, struct conversation *v)
{
    struct utsname host;
    struct buf result;
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 3);
    pack_pair_text(&p, "version", HEARTH_VERSION);
    pack_pair_text(&p, "repo", BLOCKS_SCHEMA_VERSION_TEXT);
    pack_pair_text(&p, "system", uname(&host) == 0 ? host.machine : "");
    return conversation_finish_packed(c, v, &result, &p);
}

enum err help_start(struct control *c, struct conversation *v)
{
    const struct op_help *args = (const void *)v->args;
    const struct operation *only = NULL;
    if (args->op.len > 0) {
        only = operation_find(args->op);
        if (only == NULL)
            return conversation_error(v, ERR_NOT_FOUND, "no operation is named \"%.*s\"", (int)args->op.len,
                                      (const char *)args->op.data);
    }
    struct buf result;
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    enum err err = operations_help(only, &result);
    if (err == ERR_OK)
        conversation_finish(c, v, buf_span(&result));
    buf_release(&result);
    return err;
}

static void pack_actor(struct pack *p, const struct actor_stats *stats)
{
    pack_map(p, 9);
    pack_pair_text(p, "name", stats->name);
    pack_pair_text(p, "state", stats->state);
    pack_pair_u64(p, "epoch", stats->epoch);
    pack_pair_u64(p, "restarts", stats->restarts);
    pack_pair_text(p, "last_exit_reason", stats->last_exit_reason);
    pack_pair_u64(p, "mailbox_records", stats->mailbox_records);
    pack_pair_u64(p, "mailbox_bytes", stats->mailbox_bytes);
    pack_pair_u64(p, "refused", stats->refused);
    pack_pair_u64(p, "heartbeat_at", stats->heartbeat_ns);
}

enum err actors_start(struct control *c, struct conversation *v)
{
    struct buf result;
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 1);
    pack_text(&p, "actors");
    size_t where = pack_array_open(&p);
    uint32_t count = 0;
    for (size_t i = 0; i < ctx_actor_count(c->ctx); i++) {
        struct actor_stats stats;
        if (!ctx_actor_stats(c->ctx, i, &stats))
            continue;
        pack_actor(&p, &stats);
        count++;
    }
    pack_count(&p, where, count);
    return conversation_finish_packed(c, v, &result, &p);
}

enum err accounts_start(struct control *c, struct conversation *v)
{
    const struct budget *budget = ctx_budget(c->ctx);
    struct buf result;
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 1);
    pack_text(&p, "accounts");
    size_t where = pack_array_open(&p);
    uint32_t count = 0;
    for (size_t i = 0; budget != NULL && i < ACCOUNT_COUNT; i++) {
        const struct account *account = &budget->accounts[i];
        if (account->limit_bytes == 0)
            continue; /* of a part that is not there */
        count++;
        pack_map(&p, 5);
        pack_pair_text(&p, "name", account->name);
        pack_pair_u64(&p, "limit_bytes", account->limit_bytes);
        pack_pair_u64(&p, "used_bytes", account_used(account));
        pack_pair_u64(&p, "peak_bytes", atomic_load_explicit(&account->peak_bytes, memory_order_relaxed));
        pack_pair_u64(&p, "refused", atomic_load_explicit(&account->refused, memory_order_relaxed));
    }
    pack_count(&p, where, count);
    return conversation_finish_packed(c, v, &result, &p);
}

enum err config_show_start(struct control *c, struct conversation *v)
{
    struct buf text;
    struct buf result;
    buf_init(&text, RESULT_BYTES_MAX, NULL);
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    enum err err = config_print(c->config, false, false, &text);
    if (err == ERR_OK) {
        struct pack p = pack_begin(&result);
        pack_map(&p, 1);
        pack_pair_span(&p, "config", buf_span(&text));
        err = conversation_finish_packed(c, v, &result, &p);
    }
    buf_release(&text);
    return err;
}

/* ---- changes ---- */

/* The answer leaves first: the daemon drains when it hears the signal. Without a listener there is no daemon to stop. */
enum err shutdown_start(struct control *c, struct conversation *v)
{
    conversation_finish(c, v, (struct span){0});
    ctx_log(c->ctx, LOG_INFO, "shutdown was asked for");
    if (c->listener != NULL)
        ctx_end_runtime(c->ctx);
    return ERR_OK;
}

enum err cancel_start(struct control *c, struct conversation *v)
{
    const struct op_cancel *args = (const void *)v->args;
    bool found = router_cancel(c, v->client, args->request);
    struct buf result;
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 1);
    pack_pair_bool(&p, "cancelled", found);
    return conversation_finish_packed(c, v, &result, &p);
}

enum err log_level_start(struct control *c, struct conversation *v)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    const struct op_log_level *args = (const void *)v->args;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!span_equal_text(args->level, names[i]))
            continue;
        ctx_set_log_level(c->ctx, (enum log_level)i);
        struct buf result;
        buf_init(&result, RESULT_BYTES_MAX, NULL);
        struct pack p = pack_begin(&result);
        pack_map(&p, 1);
        pack_pair_text(&p, "level", names[i]);
        return conversation_finish_packed(c, v, &result, &p);
    }
    return conversation_error(v, ERR_INVALID, "the level is error, warn, info or debug, not \"%.*s\"",
                              (int)args->level.len, (const char *)args->level.data);
}

static enum err say_chaos_error(struct conversation *v, const struct op_chaos *args, enum chaos_kind kind, enum err err)
{
    int len = (int)args->actor.len;
    const char *actor = (const char *)args->actor.data;
    if (err == ERR_DENIED)
        return conversation_error(v, err, "the chaos switch is off: start the daemon with --chaos, for tests only");
    if (err == ERR_NOT_FOUND)
        return conversation_error(v, err, "no actor is named \"%.*s\"", len, actor);
    if (err == ERR_TOO_LARGE)
        return conversation_error(v, err, "the value of this order is at most %llu",
                                  (unsigned long long)chaos_value_max(kind));
    return err == ERR_UNAVAILABLE ? conversation_error(v, err, "%.*s does not run at the moment", len, actor) : err;
}

enum err chaos_start(struct control *c, struct conversation *v)
{
    const struct op_chaos *args = (const void *)v->args;
    enum chaos_kind kind = chaos_kind_of(args->order);
    if (kind == CHAOS_NONE && ctx_chaos_allowed(c->ctx))
        return conversation_error(v, ERR_INVALID, "there is no order \"%.*s\"", (int)args->order.len,
                                  (const char *)args->order.data);
    enum err err = ctx_chaos(c->ctx, args->actor, kind, args->value);
    if (err != ERR_OK)
        return say_chaos_error(v, args, kind, err);
    struct buf result;
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 2);
    pack_pair_span(&p, "actor", args->actor);
    pack_pair_span(&p, "order", args->order);
    return conversation_finish_packed(c, v, &result, &p);
}

/* ---- diag healthy ---- */

/* The essential actors, then the write to the store and to state.db. */
static const struct {
    const char *name;
    actor_id actor;
    uint16_t kind;
    bool degradable; /* its failure is shown but the node is healthy */
} checks[] = {
    {"connection_manager", ACTOR_CONNECTION_MANAGER, MSG_PROBE, false},
    {"bitswap", ACTOR_BITSWAP, MSG_PROBE, false},
    {"tiered_storage", ACTOR_TIERED_STORAGE, MSG_STORE_PROBE, false},
    {"state", ACTOR_STATE, MSG_STATE_PROBE, true},
};

struct healthy_work {
    unsigned left;
    bool healthy;
    bool ok[ARRAY_LEN(checks)];
    char reason[ARRAY_LEN(checks)][128];
};

static enum err finish_healthy(struct control *c, struct conversation *v, const struct healthy_work *work)
{
    struct buf result;
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 3);
    pack_pair_bool(&p, "healthy", work->healthy);
    pack_pair_bool(&p, "chaos", ctx_chaos_allowed(c->ctx));
    pack_text(&p, "checks");
    pack_array(&p, ARRAY_LEN(checks));
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        pack_map(&p, 3);
        pack_pair_text(&p, "name", checks[i].name);
        pack_pair_bool(&p, "ok", work->ok[i]);
        pack_pair_text(&p, "reason", work->reason[i]);
    }
    return conversation_finish_packed(c, v, &result, &p);
}

static void note_check(struct healthy_work *work, unsigned check, enum err err, const char *text)
{
    work->left--;
    work->ok[check] = err == ERR_OK;
    if (err == ERR_OK)
        return;
    struct span reason = span_text(text != NULL && text[0] != '\0' ? text : err_text(err));
    size_t len = MIN(reason.len, sizeof(work->reason[check]) - 1);
    memcpy(work->reason[check], reason.data, len);
    work->healthy = work->healthy && checks[check].degradable;
}

enum err healthy_start(struct control *c, struct conversation *v)
{
    struct healthy_work *work = calloc(1, sizeof(*work));
    if (work == NULL)
        return ERR_NOMEM;
    v->work = work;
    work->healthy = true;
    work->left = ARRAY_LEN(checks);
    v->scope.deadline_ns = MIN(v->scope.deadline_ns, ctx_now(c->ctx) + HEALTHY_NS * SECOND_NS);
    static const struct msg_probe probe = {0};
    for (unsigned i = 0; i < ARRAY_LEN(checks); i++) {
        enum err err = conversation_call(c, v, checks[i].actor, checks[i].kind, &probe, NULL, i, 0);
        if (err != ERR_OK)
            note_check(work, i, err, NULL);
    }
    return work->left == 0 ? finish_healthy(c, v, work) : ERR_OK;
}

enum err healthy_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    struct healthy_work *work = v->work;
    note_check(work, sub, info->err, info->text);
    return work->left == 0 ? finish_healthy(c, v, work) : ERR_OK;
}

void healthy_end(struct control *c, struct conversation *v)
{
    (void)c;
    free(v->work);
    v->work = NULL;
}
