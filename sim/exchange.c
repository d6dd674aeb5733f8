/* SPDX-License-Identifier: MIT */
#include "sim/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/tree.h"
#include "base/random.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "sim/exchange_internal.h"
#include "sim/sim.h"
#include "sim/stage.h"

enum {
    WINDOW = 6,
    LOOK_TAG = 1 << 20,
    WANTS_TAG,
    LOOK_MS = 20,
    FETCH_SECONDS = 60,
    CALL_SECONDS = 10,
    CABLE_BYTES = 64 * 1024,
    LIST_BYTES = 64 * 1024,
    CANCEL_ONE_IN = 2,
    CUTS_MAX = 3,
    QUIET_LOOKS = 10
};

struct exchange *exchange_playing;

struct exchange_node *exchange_node_of(const struct config *config)
{
    for (unsigned i = 0; i < EXCHANGE_NODES; i++)
        if (exchange_playing->nodes[i].config == config)
            return &exchange_playing->nodes[i];
    return NULL;
}

unsigned exchange_block_of(struct span name)
{
    struct cid cid;
    if (cid_parse(name, &cid) != ERR_OK)
        return EXCHANGE_BLOCKS_MAX;
    for (unsigned i = 0; i < exchange_playing->options->blocks; i++)
        if (cid_same_block(&cid, &exchange_playing->cids[i]))
            return i;
    return EXCHANGE_BLOCKS_MAX;
}

static void give_up(enum err err, const char *what, unsigned number)
{
    struct exchange *x = exchange_playing;
    if (x->err != ERR_OK)
        return;
    x->err = err;
    (void)snprintf(x->why, EXCHANGE_WHY_BYTES, "%s %u: %s", what, number, err_text(err));
}

/* ---- storage: an array ---- */

struct store {
    struct exchange_node *node;
};

static enum err store_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct store *s = state;
    (void)ctx;
    s->node = exchange_node_of(config);
    return s->node == NULL ? ERR_INTERNAL : ERR_OK;
}

static enum err store_has(struct ctx *ctx, const struct store *s, const struct msg_block_has *asked, struct reply_to to)
{
    struct buf sizes;
    size_t position = 0;
    struct span name;
    uint32_t count = 0;
    buf_init(&sizes, LIST_BYTES, NULL);
    for (; schema_list_next_bytes(&asked->cids, &position, &name); count++) {
        unsigned i = exchange_block_of(name);
        bool here = i < EXCHANGE_BLOCKS_MAX && s->node->stored[i];
        if (schema_list_add_u64(&sizes, here ? exchange_playing->blocks[i]->len + 1 : 0) != ERR_OK)
            abort();
    }
    struct msg_block_have fields = {.sizes = schema_list_of(&sizes, count)};
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_BLOCK_HAVE, .fields = &fields});
    buf_release(&sizes);
    return ERR_OK;
}

static enum err store_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    struct store *s = state;
    if (msg->kind == MSG_BLOCK_HAS)
        return store_has(ctx, s, msg->fields, to);
    struct span name = msg->kind == MSG_BLOCK_GET ? ((const struct msg_block_get *)msg->fields)->cid
                                                  : ((const struct msg_block_put *)msg->fields)->cid;
    unsigned i = exchange_block_of(name);
    if (msg->kind == MSG_BLOCK_GET) {
        if (i == EXCHANGE_BLOCKS_MAX || !s->node->stored[i])
            return ERR_NOT_FOUND;
        struct block_ref *block = exchange_playing->blocks[i];
        struct msg_block fields = {.cid = name, .size = block->len};
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_BLOCK, .fields = &fields, .tail = block});
        return ERR_OK;
    }
    if (i == EXCHANGE_BLOCKS_MAX)
        give_up(ERR_CORRUPT, "a foreign block was stored by node", s->node->number);
    else
        s->node->stored[i] = true;
    struct msg_block_put_ok fields = {0};
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_BLOCK_PUT_OK, .fields = &fields});
    return ERR_OK;
}

/* ---- the driver ---- */

struct driver {
    struct exchange_node *node;
    unsigned next;
    unsigned in_flight;
    unsigned quiet;                  /* looks in a row that found nothing wanted */
    bool asked[EXCHANGE_BLOCKS_MAX]; /* and not ended */
};

static void fetch_more(struct ctx *ctx, struct driver *d)
{
    for (; d->in_flight < WINDOW && d->next < exchange_playing->options->blocks; d->next++) {
        uint8_t bytes[CID_BYTES_MAX];
        struct msg_fetch fetch = {.cid = span_of(bytes, cid_encode(&exchange_playing->cids[d->next], bytes))};
        const struct msg msg = {.kind = MSG_FETCH, .fields = &fetch};
        if (ctx_call(ctx, ACTOR_BITSWAP, &msg, (struct call_opts){.timeout_ns = FETCH_SECONDS * SECOND_NS}, d->next) !=
            ERR_OK) {
            give_up(ERR_BUSY, "refused: block", d->next);
            return;
        }
        d->asked[d->next] = true;
        d->in_flight++;
    }
    d->node->done = d->in_flight == 0;
}

/* Now and then a fetch is given up in the middle of whatever it is at. */
static void cancel_some(struct ctx *ctx, struct driver *d)
{
    for (unsigned i = 0; i < d->next; i++) {
        uint64_t dice = 0;
        ctx_random(ctx, &dice, sizeof(dice));
        if (!d->asked[i] || dice % (CANCEL_ONE_IN * WINDOW) != 0)
            continue;
        ctx_cancel_call(ctx, i);
        d->asked[i] = false;
        d->in_flight--;
        exchange_playing->cancelled++;
        fetch_more(ctx, d);
        return;
    }
}

/* A provider has nothing left to do when the fetcher wants nothing of it any more. */
static void ask_wants(struct ctx *ctx)
{
    struct msg_bitswap_wantlist asked = {.peer = peer_id_span(&exchange_playing->nodes[0].id)};
    const struct msg msg = {.kind = MSG_BITSWAP_WANTLIST, .fields = &asked};
    (void)!ctx_call(ctx, ACTOR_BITSWAP, &msg,
                    (struct call_opts){.timeout_ns = CALL_SECONDS * SECOND_NS, .reply_bytes_max = LIST_BYTES},
                    WANTS_TAG);
}

static void look(struct ctx *ctx, struct driver *d)
{
    if (d->node->number == 0) {
        fetch_more(ctx, d);
        cancel_some(ctx, d);
    } else if (exchange_playing->nodes[0].done) {
        ask_wants(ctx);
    }
    (void)ctx_timer(ctx, ctx_now(ctx) + LOOK_MS * MS_NS, LOOK_TAG);
}

static void take_reply(struct ctx *ctx, struct driver *d, const struct info *info)
{
    if (info->tag == WANTS_TAG) {
        bool empty =
            info->err == ERR_OK && ((const struct msg_bitswap_wantlist_ok *)info->msg->fields)->cids.count == 0;
        bool quiet = empty || info->err == ERR_NOT_FOUND; /* it never said a word */
        d->quiet = quiet ? d->quiet + 1 : 0;
        d->node->done = d->quiet >= QUIET_LOOKS;
        return;
    }
    unsigned i = (unsigned)info->tag;
    d->in_flight--;
    d->asked[i] = false;
    if (info->err != ERR_OK)
        give_up(info->err, "block", i);
    else if (!span_equal(block_ref_span(info->msg->tail), block_ref_span(exchange_playing->blocks[i])))
        give_up(ERR_CORRUPT, "block", i);
    else
        exchange_playing->fetched++;
    fetch_more(ctx, d);
}

static enum err driver_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct driver *d = state;
    d->node = exchange_node_of(config);
    (void)ctx_timer(ctx, ctx_now(ctx) + LOOK_MS * MS_NS, LOOK_TAG);
    return d->node == NULL ? ERR_INTERNAL : ERR_OK;
}

static void driver_info(struct ctx *ctx, void *state, const struct info *info)
{
    if (info->kind == INFO_TIMER)
        look(ctx, state);
    else if (info->kind == INFO_REPLY)
        take_reply(ctx, state, info);
}

/* ---- the rest of a node ---- */

static enum err no_providers(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    (void)state;
    (void)msg;
    struct msg_providers fields = {0};
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_PROVIDERS, .fields = &fields});
    return ERR_OK;
}

static void ignore(struct ctx *ctx, void *state, const struct msg *msg)
{
    (void)ctx;
    (void)state;
    (void)msg;
}

static const struct actor_class store_fake = {
    .name = "tiered_storage", .state_bytes = sizeof(struct store), .init = store_init, .handle_call = store_call};
static const struct actor_class driver_fake = {
    .name = "control", .state_bytes = sizeof(struct driver), .init = driver_init, .handle_info = driver_info};
static const struct actor_class discovery_fake = {.name = "discovery", .state_bytes = 8, .handle_call = no_providers};
static const struct actor_class quiet_fake = {.name = "quiet", .state_bytes = 8, .handle_cast = ignore};

static const struct actor_class *const classes[ACTOR_COUNT] = {
    [ACTOR_STATE] = &quiet_fake,         [ACTOR_TIERED_STORAGE] = &store_fake,
    [ACTOR_HEAT_TRACKER] = &quiet_fake,  [ACTOR_CONNECTION_MANAGER] = &exchange_wire_class,
    [ACTOR_DISCOVERY] = &discovery_fake, [ACTOR_BITSWAP] = &bitswap_class,
    [ACTOR_CONTROL] = &driver_fake};

static enum err make_blocks(struct exchange *x)
{
    for (unsigned i = 0; i < x->options->blocks; i++) {
        struct prng prng;
        struct multihash hash;
        prng_init(&prng, x->options->seed * 1000003 + i);
        x->blocks[i] = block_ref_new(1 + sim_below(x->sim, x->options->block_bytes), NULL);
        if (x->blocks[i] == NULL)
            return ERR_NOMEM;
        prng_fill(&prng, x->blocks[i]->data, x->blocks[i]->len);
        enum err err = multihash_sum(MULTIHASH_SHA2_256, SHA256_BYTES, block_ref_span(x->blocks[i]), &hash);
        if (err != ERR_OK)
            return err;
        x->cids[i] = cid_v1(CODEC_RAW, &hash);
        x->nodes[1 + sim_below(x->sim, EXCHANGE_PROVIDERS)].stored[i] = true;
        for (unsigned n = 1; n < EXCHANGE_NODES; n++)
            x->nodes[n].stored[i] |= sim_below(x->sim, 2) == 0;
    }
    return ERR_OK;
}

static enum err start_node(struct exchange *x, unsigned number)
{
    struct exchange_node *n = &x->nodes[number];
    char path[32];
    (void)snprintf(path, sizeof(path), "/node-%u", number);
    n->number = number;
    n->id = peer_id_of_key(span_text(path));
    enum err err = config_new(path, &n->config);
    if (err == ERR_OK)
        err = budget_init(&n->budget, BUDGET_DEFAULT_MIB * MIB);
    if (err != ERR_OK)
        return err;
    struct runtime_config config = stage_config(classes);
    config.name = n->config->path + 1;
    config.backend = &backend_sim;
    config.backend_arg = x->sim;
    config.config = n->config;
    config.budget = &n->budget;
    config.log = x->options->log;
    config.log_level = LOG_WARN;
    return runtime_start(&config, &n->runtime, x->why, EXCHANGE_WHY_BYTES);
}

static bool is_over(void *arg)
{
    const struct exchange *x = arg;
    for (unsigned i = 0; i < EXCHANGE_NODES; i++)
        if (!x->nodes[i].done)
            return x->err != ERR_OK;
    return true;
}

static enum err run(struct exchange *x, struct exchange_result *ret_result)
{
    uint64_t began = sim_now(x->sim);
    x->cuts = (unsigned)sim_below(x->sim, CUTS_MAX + 1);
    for (unsigned i = 0; i < EXCHANGE_PROVIDERS; i++) {
        x->cables[i].life = 1;
        buf_init(&x->cables[i].to_fetcher, CABLE_BYTES, NULL);
        buf_init(&x->cables[i].to_provider, CABLE_BYTES, NULL);
    }
    enum err err = make_blocks(x);
    for (unsigned i = 0; i < EXCHANGE_NODES && err == ERR_OK; i++)
        err = start_node(x, i);
    if (err != ERR_OK)
        return err;
    if (!sim_run_while_not(x->sim, is_over, x, x->options->timeout_ns))
        for (unsigned i = EXCHANGE_NODES; i-- > 0;)
            if (!x->nodes[i].done)
                give_up(ERR_TIMEOUT, "something is left at node", i);
    *ret_result = (struct exchange_result){.trace = sim_trace(x->sim),
                                           .steps = sim_steps(x->sim),
                                           .virtual_ns = sim_now(x->sim) - began,
                                           .fetched = x->fetched,
                                           .cancelled = x->cancelled};
    for (unsigned i = 0; i < EXCHANGE_NODES; i++)
        ret_result->tables_peak = MAX(ret_result->tables_peak, x->nodes[i].budget.accounts[ACCOUNT_TABLES].peak_bytes);
    return x->err;
}

/* Stops the nodes; every account must be as it was. */
static void end(struct exchange *x)
{
    for (unsigned i = 0; i < EXCHANGE_NODES; i++) {
        struct exchange_node *n = &x->nodes[i];
        if (n->runtime != NULL)
            (void)runtime_stop(&n->runtime, CALL_SECONDS * SECOND_NS);
        for (size_t a = 0; a < ACCOUNT_COUNT; a++)
            if (account_used(&n->budget.accounts[a]) != 0)
                give_up(ERR_INTERNAL, "an account is not settled at node", i);
        config_free(n->config);
    }
    for (unsigned i = 0; i < EXCHANGE_PROVIDERS; i++) {
        buf_release(&x->cables[i].to_fetcher);
        buf_release(&x->cables[i].to_provider);
    }
    for (unsigned i = 0; i < x->options->blocks; i++)
        block_ref_unref(x->blocks[i]);
}

enum err exchange_play(const struct exchange_options *options, struct exchange_result *ret_result,
                       char why[EXCHANGE_WHY_BYTES])
{
    why[0] = '\0';
    if (options->blocks == 0 || options->blocks > EXCHANGE_BLOCKS_MAX || options->block_bytes == 0)
        return ERR_INVALID;
    struct exchange *x = calloc(1, sizeof(*x));
    if (x == NULL)
        return ERR_NOMEM;
    x->options = options;
    x->why = why;
    x->sim = sim_new(options->seed);
    exchange_playing = x;
    enum err err = x->sim == NULL ? ERR_NOMEM : run(x, ret_result);
    end(x);
    if (err == ERR_OK)
        err = x->err;
    if (x->sim != NULL)
        sim_free(x->sim);
    exchange_playing = NULL;
    free(x);
    return err;
}
