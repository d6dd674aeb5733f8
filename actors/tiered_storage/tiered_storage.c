/* SPDX-License-Identifier: MIT */
/*
 * tiered_storage: the blocks of this node.
 *
 * Owns: the repository (its lock, segments, blocks.db) through one blockstore. Accepts: calls block_put, block_get, block_has, block_rm,
 * block_stat, pin_add, pin_rm, pin_ls, repo_stat, repo_verify, quarantine_ls, quarantine_change, backup_*, store_probe, probe; the cast healed. Emits:
 * casts block_stored, cold_up and heal to bitswap, block_stored and provide_root to discovery, access to heat_tracker, event to state; calls cold_* of cold_store. Restart: permanent; a new life reads the disk only.
 *
 *      call --> request --> blockstore --> next_job --> lane `disk` or `catalogue` --> job_done --> done() --> reply
 *                                     \--> next_cold --> call to cold_store --> cold_done --^
 *
 * This folder only routes: the engine is storage/blockstore. After each handler pump() starts what the store offers and sends what became due.
 */
#include <stdio.h>

#include "actors/tiered_storage/request.h"
#include "actors/tree.h"
#include "base/group.h"
#include "base/limits.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "schemas/role.h"
#include "storage/database_share.h"
#include "storage/disk_posix.h"

enum {
    TAG_TICK = 1,
    TAG_JOB,
    TAG_MOVES,
    STORED_BYTES_MAX = 128 * 1024,
    MOVES_LOOK_MS = 200,
};

/* ---- around the handlers ---- */

static enum err run_job(void *arg, const _Atomic bool *cancelled)
{
    (void)cancelled; /* a job under way is finished: half a group helps nobody */
    return store_job_run(arg);
}

static void free_job(void *arg)
{
    store_job_free(arg);
}

static void tell_stored(struct storage_state *s)
{
    if (s->stored_count == 0 && !s->provides_missed)
        return;
    struct msg_block_stored fields = {.cids = schema_list_of(&s->stored, s->stored_count),
                                      .missed = s->provides_missed};
    struct msg msg = {.kind = MSG_BLOCK_STORED, .fields = &fields};
    /* When bitswap has no room the news are dropped: peers that still want the blocks ask again. */
    if (s->stored_count > 0)
        (void)ctx_cast(s->ctx, ACTOR_BITSWAP, &msg);
    if (s->provides_all) /* discovery goes over the store for what it had no room for */
        s->provides_missed = ctx_cast(s->ctx, ACTOR_DISCOVERY, &msg) == ERR_BUSY;
    buf_clear(&s->stored);
    s->stored_count = 0;
}

/* A cast that finds no room is made again after the next handler. */
static void tell_cold_up(struct storage_state *s)
{
    bool up = blockstore_stats(s->store).cold_up;
    struct msg_cold_up fields = {0};
    if (up && !s->told_cold_up)
        up = ctx_cast(s->ctx, ACTOR_BITSWAP, &(struct msg){.kind = MSG_COLD_UP, .fields = &fields}) != ERR_BUSY;
    s->told_cold_up = up;
}

static void arm(struct storage_state *s, uint64_t ahead_at)
{
    uint64_t at = MIN(blockstore_wakes_at(s->store), ahead_at);
    if (at == UINT64_MAX || (s->timer != 0 && s->timer_at <= at))
        return;
    if (s->timer != 0)
        ctx_timer_cancel(s->ctx, s->timer);
    s->timer_at = at;
    s->timer = ctx_timer(s->ctx, at, TAG_TICK);
}

/* What keeps a block from leaving may end without a word. */
static void look_at_moves(struct storage_state *s)
{
    storage_moves_look(s);
    if (s->moves == NULL || s->moves_timer != 0)
        return;
    s->moves_timer = ctx_timer(s->ctx, ctx_now(s->ctx) + MOVES_LOOK_MS * MS_NS, TAG_MOVES);
}

static void pump(struct storage_state *s)
{
    struct store_job *job;
    uint64_t ahead_at = storage_prefetch_start(s);
    look_at_moves(s);
    if (s->cold)
        storage_cold_start(s); /* makes jobs, too */
    while ((job = blockstore_next_job(s->store)) != NULL) {
        const char *lane = store_job_lane(job) == STORE_LANE_DISK ? "disk" : "catalogue";
        if (ctx_job(s->ctx, lane, run_job, job, free_job, TAG_JOB) != ERR_OK) {
            blockstore_job_done(s->store, job, ERR_BUSY);
            break;
        }
    }
    if (s->cold) {
        storage_cold_start(s);
        tell_cold_up(s);
    }
    tell_stored(s);
    storage_tell_pressure(s);
    arm(s, ahead_at);
    if (s->fatal[0] != '\0')
        ctx_exit(s->ctx, EXIT_FAILED, "%s", s->fatal);
}

static void on_stored(void *arg, struct span cid)
{
    struct storage_state *s = arg;
    storage_tell_stored(s, cid);
    if (s->stored_count == BATCH_COUNT_MAX)
        tell_stored(s);
    if (schema_list_add_bytes(&s->stored, cid) == ERR_OK)
        s->stored_count++;
}

static void on_notice(void *arg, bool fatal, const char *text)
{
    struct storage_state *s = arg;
    struct msg_event fields = {.actor = span_text("tiered_storage"),
                               .event = span_text(fatal ? "storage failed" : "storage"),
                               .reason = span_first(span_text(text), REASON_TEXT_MAX)};
    ctx_log(s->ctx, fatal ? LOG_ERROR : LOG_WARN, "%s", text);
    (void)ctx_cast(s->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_EVENT, .fields = &fields});
    if (fatal)
        (void)snprintf(s->fatal, sizeof(s->fatal), "%s", text);
}

/* ---- the actor ---- */

static enum err route(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    switch (msg->kind) {
    case MSG_BLOCK_PUT:
        return storage_put(s, msg, to);
    case MSG_BLOCK_GET:
        return storage_get(s, msg, to);
    case MSG_BLOCK_HAS:
        return storage_has(s, msg, to);
    case MSG_BLOCK_STAT:
        return storage_stat(s, msg, to);
    case MSG_BLOCK_RM:
    case MSG_PIN_ADD:
    case MSG_PIN_RM:
    case MSG_TIER_PIN:
        return storage_change(s, msg, to);
    case MSG_LEASE:
        return storage_lease(s, msg, to);
    case MSG_PIN_FIND:
        return storage_pin_find(s, msg, to);
    case MSG_REPO_GC:
        return storage_gc(s, msg, to);
    case MSG_BLOCK_LS:
        return storage_block_ls(s, msg, to);
    case MSG_PIN_LS:
        return storage_pin_ls(s, msg, to);
    case MSG_REPO_STAT:
        return storage_repo_stat(s, to);
    case MSG_REPO_VERIFY:
        return storage_verify(s, msg, to);
    case MSG_QUARANTINE_LS:
        return storage_quarantine_ls(s, msg, to);
    case MSG_QUARANTINE_CHANGE:
        return storage_quarantine_change(s, msg, to);
    case MSG_BACKUP_OPEN:
        return storage_backup_open(s, msg, to);
    case MSG_BACKUP_READ:
        return storage_backup_read(s, msg, to);
    case MSG_BACKUP_CLOSE:
        return storage_backup_close(s, msg, to);
    case MSG_METADATA_SET:
        return storage_metadata_set(s, msg, to);
    case MSG_METADATA_FIND:
        return storage_metadata_find(s, msg, to);
    case MSG_BLOCK_FACTS:
        return storage_facts(s, msg, to);
    case MSG_TIER_CANDIDATES:
        return storage_candidates(s, msg, to);
    case MSG_TIER_DEMOTE:
        return storage_demote(s, msg, to);
    case MSG_TIER_PROMOTE:
        return storage_promote(s, msg, to);
    case MSG_TIER_MOVE:
        return storage_tier_move(s, msg, to);
    case MSG_TIER_STAT:
        return storage_tier_stat(s, to);
    case MSG_TIER_CHECK:
        return storage_tier_check(s, msg, to);
    case MSG_STORE_PROBE:
        return storage_store_probe(s, msg, to);
    case MSG_PROBE:
        return storage_probe(s, to);
    }
    return ERR_UNSUPPORTED;
}

static enum err storage_handle_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    struct storage_state *s = state;
    blockstore_tick(s->store, ctx_now(ctx), ctx_real_now(ctx));
    enum err err = route(s, msg, to);
    pump(s);
    return err;
}

static void storage_handle_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    struct storage_state *s = state;
    blockstore_tick(s->store, ctx_now(ctx), ctx_real_now(ctx));
    if (msg->kind == MSG_HEALED)
        blockstore_healed(s->store, ((const struct msg_healed *)msg->fields)->id);
    else if (msg->kind == MSG_TIER_SPILL)
        storage_spill(s, msg);
    pump(s);
}

static void storage_handle_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct storage_state *s = state;
    blockstore_tick(s->store, ctx_now(ctx), ctx_real_now(ctx));
    switch (info->kind) {
    case INFO_JOB:
        blockstore_job_done(s->store, info->arg, info->err);
        break;
    case INFO_TIMER:
        if (info->tag == TAG_TICK)
            s->timer = 0;
        else if (info->tag == STORAGE_TAG_PRESSURE)
            s->tier.timer = 0;
        else
            s->moves_timer = 0;
        break;
    case INFO_CANCEL:
        storage_lease_cancel(s, info->call);
        storage_moves_cancel(s, info->call);
        request_cancel(s, info->call);
        break;
    case INFO_DOWN:
        storage_leases_of(s, info->actor);
        break;
    case INFO_REPLY:
        storage_cold_reply(s, info);
        break;
    case INFO_UP:
    case INFO_ROOM:
    case INFO_NET:
    case INFO_WATCH:
    case INFO_MULTICAST:
        break;
    }
    pump(s);
}

/* Control.Group may read the database, which is open by now. */
static enum err share_database(struct ctx *ctx, const struct config *config)
{
    gid_t gid = 0;
    char path[STORE_WHY_BYTES];
    if (config->control_group[0] == '\0' || ctx_disk(ctx) != disk_posix())
        return ERR_OK;
    if (group_find(config->control_group, &gid) != ERR_OK)
        return ctx_fail(ctx, ERR_NOT_FOUND, "Control.Group: no group is named %s", config->control_group);
    int len = snprintf(path, sizeof(path), "%s/blocks.db", config->path);
    enum err err = len < 0 || (size_t)len >= sizeof(path) ? ERR_TOO_LARGE : database_share(path, gid);
    if (err != ERR_OK)
        ctx_log(ctx, LOG_WARN, "%s cannot be given to the group %s: %s", path, config->control_group, err_text(err));
    return ERR_OK;
}

static enum err storage_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct storage_state *s = state;
    struct budget *budget = ctx_budget(ctx);
    char why[STORE_WHY_BYTES];
    s->ctx = ctx;
    s->cold = config->tiers_cold_kind[0] != '\0';
    s->provides_all = config->provide_enabled && strcmp(config->provide_strategy, "all") == 0;
    buf_init(&s->stored, STORED_BYTES_MAX, NULL);
    (void)snprintf(s->path, sizeof(s->path), "%s", config->path);
    struct blockstore_options options = {
        .port = ctx_disk(ctx),
        .path = config->path,
        .storage_max_bytes = config->datastore_storage_max,
        .gc_watermark = config->datastore_gc_watermark,
        .gc_period_ns = config->datastore_gc_period,
        .scrub_rate = config->datastore_scrub_rate,
        .no_cache = !role_of(config)->caches,
        .cold = config->tiers_cold_kind[0] != '\0',
        .events = {.arg = s, .stored = on_stored, .heal = storage_heal, .notice = on_notice}};
    if (budget != NULL) {
        options.memory = &budget->accounts[ACCOUNT_MEMORY_TIER];
        options.tables = &budget->accounts[ACCOUNT_TABLES];
        options.reads = &budget->accounts[ACCOUNT_SEND];
        options.cache_kib = (uint32_t)(budget->accounts[ACCOUNT_SQLITE].limit_bytes / 4 / 1024);
    }
    if (!tier_policy_parse(config->tiers_policy, &options.policy))
        return ctx_fail(ctx, ERR_INVALID, "Tiers.Policy: no policy is named %s", config->tiers_policy);
    ctx_random(ctx, &options.seed, sizeof(options.seed));
    ctx_long(ctx, (uint64_t)STORAGE_START_MS * MS_NS);
    enum err err = blockstore_open(&options, ctx_now(ctx), ctx_real_now(ctx), &s->store, why);
    if (err != ERR_OK)
        return ctx_fail(ctx, err, "%s", why);
    err = storage_prefetch_init(s, config);
    if (err != ERR_OK)
        return ctx_fail(ctx, err, "no memory for reading ahead: raise Memory.Budget");
    err = share_database(ctx, config);
    if (err == ERR_OK)
        arm(s, UINT64_MAX);
    return err;
}

static void storage_terminate(struct ctx *ctx, void *state, enum exit_reason reason)
{
    struct storage_state *s = state;
    (void)ctx;
    (void)reason;
    blockstore_close(s->store, false);
    storage_cold_free_all(s);
    storage_moves_free_all(s);
    request_free_all(s);
    prefetcher_free(s->prefetcher);
    buf_release(&s->stored);
}

const struct actor_class tiered_storage_class = {
    .name = "tiered_storage",
    .state_bytes = sizeof(struct storage_state),
    .ports = PORT_JOBS | PORT_DISK,
    .mailbox_bytes = 4 * 1024 * 1024,
    .init = storage_init,
    .handle_call = storage_handle_call,
    .handle_cast = storage_handle_cast,
    .handle_info = storage_handle_info,
    .terminate = storage_terminate,
};
