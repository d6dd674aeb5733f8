/* SPDX-License-Identifier: MIT */
/* Providing: its settings, what comes and goes as messages, the queue of single CIDs, and what is due when. */
#include "actors/discovery/provide.h"

#include <stdlib.h>
#include <string.h>

#include "actors/tree.h"
#include "wire/cid.h"

enum { STAT_AGAIN_S = 5, STORED_BYTES = 64 * 1024, FIGURES_S = 10 };

/* ---- life ---- */

static enum provide_strategy strategy_of(const struct config *config)
{
    static const char *const names[] = {"off", "roots", "pinned", "all"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(config->provide_strategy, names[i]) == 0)
            return (enum provide_strategy)i;
    return PROVIDE_STRATEGY_OFF;
}

enum err provide_init(struct provide *p, struct dht *d, struct ctx *ctx, const struct config *config)
{
    p->dht = d;
    p->ctx = ctx;
    p->wake_ns = UINT64_MAX;
    p->hot.turn_ns = UINT64_MAX;
    p->began_ns = ctx_now(ctx);
    p->strategy = config->provide_enabled ? strategy_of(config) : PROVIDE_STRATEGY_OFF;
    p->enabled = d->enabled && !d->routers_only && p->strategy != PROVIDE_STRATEGY_OFF;
    provide_queue_init(&p->queue);
    provide_sweep_init(&p->sweep, config->provide_dht_interval, ctx_real_now(ctx));
    if (!p->enabled)
        return ERR_OK;
    size_t bytes = PROVIDE_PAGE_KEYS * sizeof(*p->page.keys);
    if (provide_batch_new(PROVIDE_PAGE_KEYS, d->tables, &p->tell.batch) != ERR_OK || !account_take(d->tables, bytes))
        return ctx_fail(ctx, ERR_NOMEM, "no memory to provide with");
    p->page.keys = calloc(PROVIDE_PAGE_KEYS, sizeof(*p->page.keys));
    if (p->page.keys == NULL)
        account_give(d->tables, bytes);
    d->provide = p;
    return p->page.keys != NULL ? ERR_OK : ctx_fail(ctx, ERR_NOMEM, "no memory to provide with");
}

void provide_release(struct provide *p)
{
    if (p->dht == NULL)
        return;
    p->dht->provide = NULL;
    if (p->page.keys != NULL)
        account_give(p->dht->tables, PROVIDE_PAGE_KEYS * sizeof(*p->page.keys));
    free(p->page.keys);
    provide_batch_free(p->tell.batch);
    p->page.keys = NULL;
    p->tell.batch = NULL;
}

/* ---- rows ---- */

bool provide_add_row(struct buf *rows, struct span multihash)
{
    struct kad_key key = kad_key_of(multihash);
    struct item_provide_row row = {.key = span_of(key.bytes, sizeof(key.bytes)), .multihash = multihash};
    return multihash.len <= PROVIDE_BATCH_KEY_BYTES_MAX &&
           schema_list_add_map(rows, &schema_item_provide_row, &row) == ERR_OK;
}

bool provide_tell_rows(struct provide *p, struct buf *rows, uint32_t count, enum provide_class class)
{
    struct msg_state_provide fields = {.rows = schema_list_of(rows, count), .class = class, .seen = p->walk.seen};
    struct msg msg = {.kind = MSG_STATE_PROVIDE, .fields = &fields};
    return count == 0 || ctx_cast(p->ctx, ACTOR_STATE, &msg) == ERR_OK;
}

bool provide_probe(struct provide *p, uint64_t tag)
{
    struct msg_state_probe fields = {0};
    struct call_opts opts = {.timeout_ns = PROVIDE_CALL_S * SECOND_NS};
    return ctx_call(p->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_PROBE, .fields = &fields}, opts, tag) ==
           ERR_OK;
}

static void probe_rows(struct provide *p)
{
    struct provide_rows *r = &p->rows;
    if (r->probing || r->told < PROVIDE_ROWS_MAX / 4)
        return;
    r->probed = r->told;
    r->probing = provide_probe(p, TAG_PROVIDE_WRITTEN);
}

static void rows_written(struct provide *p, enum err err)
{
    p->rows.probing = false;
    if (err != ERR_OK) /* with state's life they may be gone */
        provide_walk_soon(p);
    p->rows.told -= p->rows.probed;
    probe_rows(p);
}

/* Blocks for which there is no room now are found by a walk, which goes at the pace of state. */
static void tell_stored(struct provide *p, struct buf *rows, uint32_t count, enum provide_class class)
{
    if (p->rows.told + count > PROVIDE_ROWS_MAX || !provide_tell_rows(p, rows, count, class))
        provide_walk_soon(p);
    else
        p->rows.told += count;
    probe_rows(p);
}

static void tell_row(struct provide *p, struct span multihash, enum provide_class class, bool provided)
{
    struct buf bytes;
    struct kad_key key = kad_key_of(multihash);
    buf_init(&bytes, 1024, NULL);
    if (provide_add_row(&bytes, multihash))
        tell_stored(p, &bytes, 1, class);
    buf_clear(&bytes);
    if (provided && schema_list_add_bytes(&bytes, span_of(key.bytes, sizeof(key.bytes))) == ERR_OK) {
        struct msg_state_provided fields = {.keys = schema_list_of(&bytes, 1), .at = ctx_real_now(p->ctx)};
        (void)ctx_cast(p->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_PROVIDED, .fields = &fields});
    }
    buf_release(&bytes);
}

void provide_save(struct provide *p)
{
    struct msg_state_sweep fields = {.position = p->sweep.position >> 1, .due_at = p->sweep.due_ns};
    (void)ctx_cast(p->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_SWEEP, .fields = &fields});
}

/* ---- the queue ---- */

static void run_queue(struct provide *p)
{
    size_t slot;
    struct span bytes;
    while (provide_queue_next(&p->queue, ctx_now(p->ctx), &slot, &bytes)) {
        struct cid cid;
        struct dht_search *s;
        uint8_t hash[MULTIHASH_BYTES_MAX];
        enum err err = cid_parse(bytes, &cid);
        if (err == ERR_OK)
            err = dht_search_new(p->dht, DHT_PROVIDE, span_of(hash, multihash_encode(&cid.hash, hash)), NULL, &s);
        if (err != ERR_OK) {
            provide_queue_ended(&p->queue, slot, false, ctx_now(p->ctx));
            continue;
        }
        p->queue_search[slot] = s->id;
        dht_search_begin(s, NULL);
    }
}

void provide_search_ended(struct provide *p, struct dht_search *s)
{
    if (s->id == p->tell.search) {
        provide_tell_found(p, s);
        return;
    }
    for (size_t slot = 0; slot < PROVIDE_QUEUE_MAX; slot++) {
        if (!p->queue.entries[slot].running || p->queue_search[slot] != s->id)
            continue;
        bool provided = s->stored_count > 0;
        if (provided) {
            tell_row(p, span_of(s->key, s->key_len), p->queue.entries[slot].class, true);
            p->provided_last_ns = ctx_real_now(p->ctx);
        }
        provide_queue_ended(&p->queue, slot, provided, ctx_now(p->ctx));
        return;
    }
}

/* ---- messages ---- */

/* Blocks were stored: each is a row. A new root is provided at once, when it is pinned. */
static void take_stored(struct provide *p, const struct msg_block_stored *fields)
{
    struct buf rows;
    struct span bytes;
    size_t position = 0;
    uint32_t count = 0;
    buf_init(&rows, STORED_BYTES, NULL);
    while (schema_list_next_bytes(&fields->cids, &position, &bytes)) {
        struct cid cid;
        uint8_t hash[MULTIHASH_BYTES_MAX];
        if (cid_parse(bytes, &cid) == ERR_OK &&
            provide_add_row(&rows, span_of(hash, multihash_encode(&cid.hash, hash))))
            count++;
    }
    tell_stored(p, &rows, count, PROVIDE_STORED);
    if (fields->missed)
        provide_walk_soon(p);
    buf_release(&rows);
    p->wake_ns = MIN(p->wake_ns, ctx_now(p->ctx) + PROVIDE_WAKE_S * SECOND_NS);
}

static void take_root(struct provide *p, const struct msg_provide_root *fields)
{
    struct cid cid;
    uint8_t hash[MULTIHASH_BYTES_MAX];
    uint64_t now = ctx_now(p->ctx);
    if (cid_parse(fields->cid, &cid) != ERR_OK ||
        dht_denies_block(p->dht, span_of(hash, multihash_encode(&cid.hash, hash))))
        return;
    (void)!provide_queue_push(&p->queue, fields->cid, PROVIDE_ROOT, now);
    tell_row(p, span_of(hash, multihash_encode(&cid.hash, hash)), PROVIDE_ROOT, false);
    if (p->strategy == PROVIDE_STRATEGY_PINNED) /* what it reaches */
        provide_walk_soon(p);
}

void provide_cast(struct provide *p, struct ctx *ctx, const struct msg *msg)
{
    p->ctx = ctx;
    if (!p->enabled)
        return;
    if (msg->kind == MSG_PROVIDE_ROOT)
        take_root(p, msg->fields);
    else if (msg->kind == MSG_BLOCK_STORED && p->strategy == PROVIDE_STRATEGY_ALL)
        take_stored(p, msg->fields);
    else if (msg->kind == MSG_PROVIDE_HOT && p->strategy == PROVIDE_STRATEGY_ALL)
        provide_hot_take(p, msg->fields);
}

static void restore(struct provide *p, const struct info *info)
{
    p->asking = false;
    if (info->err != ERR_OK) {
        p->due_ns = ctx_now(p->ctx) + STAT_AGAIN_S * SECOND_NS;
        return;
    }
    const struct msg_state_provide_stat_ok *m = info->msg->fields;
    p->known = true;
    p->walk.seen = m->seen;
    if (m->due_at != 0)
        provide_sweep_restore(&p->sweep, m->position << 1, m->due_at, ctx_real_now(p->ctx));
    provide_sweep_wake(&p->sweep);
}

static void answer_figures(struct provide *p, const struct info *info)
{
    const struct msg_state_provide_stat_ok rows = {0};
    const struct msg_state_provide_stat_ok *m = info->err == ERR_OK ? info->msg->fields : &rows;
    uint64_t real_now = ctx_real_now(p->ctx);
    uint64_t eta = p->enabled ? provide_sweep_eta(&p->sweep, real_now) : 0;
    static const char *const names[] = {"off", "roots", "pinned", "all"};
    struct msg_provide_stat_ok ok = {
        .enabled = p->enabled,
        .strategy = span_text(names[p->strategy]),
        .interval = p->sweep.interval_ns,
        .cids = m->rows,
        .fresh = m->fresh,
        .oldest_at = m->oldest_at,
        .queued = p->queue.len,
        .queue_failed = p->queue.failed,
        .lag = p->enabled ? provide_sweep_lag(&p->sweep, real_now) : 0,
        .eta = eta == UINT64_MAX ? 0 : eta,
        .eta_unknown = eta == UINT64_MAX,
        .next_at = p->enabled ? p->sweep.due_ns : 0,
        .lost = p->sweep.lost,
        .provided = p->sweep.provided + p->queue.provided,
        .provided_at = p->provided_last_ns,
        .regions = p->sweep.regions,
        .lookups = p->sweep.lookups,
        .messages = p->sweep.messages,
        .streams = p->sweep.streams,
        .network = (uint64_t)p->sweep.network,
        .walking = p->walk.state != WALK_IDLE,
    };
    p->figures_asked = false;
    ctx_reply(p->ctx, p->figures_for, &(struct msg){.kind = MSG_PROVIDE_STAT_OK, .fields = &ok});
}

void provide_info(struct provide *p, struct ctx *ctx, const struct info *info)
{
    p->ctx = ctx;
    if (info->kind != INFO_REPLY)
        return;
    if (info->tag == TAG_PROVIDE_FIGURES && p->figures_asked)
        answer_figures(p, info);
    else if (info->tag == TAG_PROVIDE_STAT)
        restore(p, info);
    else if (info->tag == TAG_PROVIDE_ROWS || info->tag == TAG_PROVIDE_HAS || info->tag == TAG_PROVIDE_MARKED)
        provide_page_reply(p, info);
    else if (info->tag == TAG_PROVIDE_WRITTEN)
        rows_written(p, info->err);
    else if (info->tag == TAG_PROVIDE_WALK || info->tag == TAG_PROVIDE_PROBE)
        provide_walk_reply(p, info);
}

static enum err figures(struct provide *p, struct reply_to call)
{
    struct msg_state_provide_stat fields = {0};
    struct call_opts opts = {.timeout_ns = FIGURES_S * SECOND_NS};
    if (p->figures_asked)
        return ERR_BUSY; /* one at a time is enough for people */
    enum err err = ctx_call(p->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_PROVIDE_STAT, .fields = &fields}, opts,
                            TAG_PROVIDE_FIGURES);
    p->figures_asked = err == ERR_OK;
    p->figures_for = call;
    return err;
}

/* Forgets what waits in the queue, or has everything provided anew. */
static enum err change(struct provide *p, const struct msg_provide_change *fields, struct reply_to call)
{
    struct msg_provide_changed ok = {0};
    if (!p->enabled)
        return ERR_UNSUPPORTED;
    if (fields->clear)
        ok.count = provide_queue_clear(&p->queue);
    if (fields->again) {
        struct msg_state_sweep sweep = {.position = p->sweep.position >> 1, .due_at = p->sweep.due_ns, .again = true};
        enum err err = ctx_cast(p->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_SWEEP, .fields = &sweep});
        if (err != ERR_OK)
            return err;
        p->walk.due_ns = ctx_now(p->ctx); /* and the walk wakes the sweep */
    }
    ctx_reply(p->ctx, call, &(struct msg){.kind = MSG_PROVIDE_CHANGED, .fields = &ok});
    return ERR_OK;
}

enum err provide_call(struct provide *p, struct ctx *ctx, const struct msg *msg, struct reply_to call)
{
    p->ctx = ctx;
    if (msg->kind == MSG_PROVIDE_STAT)
        return figures(p, call);
    if (msg->kind == MSG_PROVIDE_CHANGE)
        return change(p, msg->fields, call);
    return ERR_UNSUPPORTED;
}

/* ---- what is due ---- */

static void ask_state(struct provide *p)
{
    struct msg_state_provide_stat fields = {0};
    struct call_opts opts = {.timeout_ns = PROVIDE_CALL_S * SECOND_NS};
    p->asking = ctx_call(p->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_PROVIDE_STAT, .fields = &fields}, opts,
                         TAG_PROVIDE_STAT) == ERR_OK;
    if (!p->asking)
        p->due_ns = ctx_now(p->ctx) + STAT_AGAIN_S * SECOND_NS;
}

/* A lookup of ourselves has filled the routing tables: before it the closest peers are those that happen to be connected. */
static bool has_settled(const struct provide *p)
{
    bool settled = ctx_now(p->ctx) >= p->began_ns + PROVIDE_SETTLE_S * SECOND_NS;
    for (unsigned net = 0; net < DHT_NET_COUNT; net++)
        settled = settled || p->dht->nets[net].refreshed_real_ns != 0;
    return settled;
}

/* The ring goes by real time. */
static uint64_t page_due(struct provide *p)
{
    uint64_t now = ctx_now(p->ctx);
    uint64_t real_now = ctx_real_now(p->ctx);
    if (p->page.state != PAGE_IDLE || !provide_tell_can(p))
        return UINT64_MAX;
    if (!has_settled(p))
        return MAX(now + MS_NS, p->began_ns + PROVIDE_SETTLE_S * SECOND_NS);
    if (provide_sweep_is_fresh(&p->sweep) || provide_sweep_is_due(&p->sweep, real_now))
        return MAX(now, p->due_ns);
    return MAX(now + (p->sweep.due_ns - real_now), p->due_ns);
}

/* Between pages: what the end of one says is of the class that the sweep was at. */
static void turn_sweep(struct provide *p, uint64_t now)
{
    if (now >= p->wake_ns) {
        p->wake_ns = UINT64_MAX;
        provide_sweep_wake(&p->sweep);
    }
    if (now >= p->hot.turn_ns) {
        p->hot.turn_ns = UINT64_MAX;
        provide_sweep_hot(&p->sweep);
    }
}

uint64_t provide_run(struct provide *p, struct ctx *ctx)
{
    p->ctx = ctx;
    uint64_t now = ctx_now(ctx);
    if (!p->enabled)
        return UINT64_MAX;
    if (!p->known) {
        if (!p->asking && now >= p->due_ns)
            ask_state(p);
        return p->asking ? UINT64_MAX : p->due_ns;
    }
    bool can = provide_tell_can(p);
    if (can)
        run_queue(p);
    if (p->walk.state == WALK_IDLE && now >= p->walk.due_ns)
        provide_walk_begin(p);
    if (p->page.state == PAGE_IDLE)
        turn_sweep(p, now);
    if (page_due(p) <= now)
        provide_page_begin(p);
    provide_tell_go_on(p);
    uint64_t turn = p->page.state == PAGE_IDLE ? MIN(p->wake_ns, p->hot.turn_ns) : UINT64_MAX;
    uint64_t due = MIN(MIN(page_due(p), turn), can ? provide_queue_due(&p->queue) : UINT64_MAX);
    return MIN(due, p->walk.state == WALK_IDLE ? p->walk.due_ns : UINT64_MAX);
}
