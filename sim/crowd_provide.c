/* SPDX-License-Identifier: MIT */
/*
 * Providing much: two nodes of all actors join the same crowd. One stores blocks, and its sweep provides them; the other is asked to provide as
 * many CIDs, each by a lookup of its own, as many at a time as the queue of new roots does. What each took is what its DHT counted and what went
 * over its host's connections, both ways, from the first block or CID until the last one was provided. It includes what a node
 * does anyway; the quiet minute before says how much that is.
 *
 * The actor here sits in control's place of both.
 */
#include "base/text.h"
#include "dht/provide_queue.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "sim/crowd_internal.h"

enum {
    LOOK_TAG = 1,
    COUNT_TAG,
    PUT_TAG,
    STAT_TAG,
    PROVIDE_TAG,
    LOOK_MS = 250,
    CALL_SECONDS = 120,
    PUTS_AT_ONCE = 16,
    FIRST_CID = 1 << 20, /* behind those of the tasks */
    SETTLE_SECONDS = 60,
    QUIET_SECONDS = 60,
    SECONDS_BASE = 600,
    SECONDS_PER_CID = 5,
};

static const char *const ways[CROWD_WAYS] = {[CROWD_BY_SWEEP] = "by sweep", [CROWD_ONE_BY_ONE] = "one by one"};

/* The n-th CID that is provided in that way. */
static unsigned cid_of(enum crowd_way way, unsigned n)
{
    return FIRST_CID * ((unsigned)way + 1) + n;
}

/* ---- the actor ---- */

struct provider {
    struct crowd_provider *job;
    unsigned next; /* CID */
    unsigned under_way;
    bool asked; /* for figures */
};

static bool ask(struct ctx *ctx, actor_id whom, const struct msg *msg, uint64_t tag)
{
    const struct call_opts opts = {.timeout_ns = CALL_SECONDS * SECOND_NS, .reply_bytes_max = 256 * 1024};
    return ctx_call(ctx, whom, msg, opts, tag) == ERR_OK;
}

static void count(struct ctx *ctx, struct provider *p)
{
    const struct msg_dht_stat fields = {0};
    p->asked = p->asked || ask(ctx, ACTOR_DISCOVERY, &(struct msg){.kind = MSG_DHT_STAT, .fields = &fields}, COUNT_TAG);
}

static bool put(struct ctx *ctx, unsigned number)
{
    uint8_t cid[CID_BYTES_MAX];
    const struct crowd_block block = crowd_block(number);
    const struct msg_block_put fields = {.cid = span_of(cid, crowd_cid(number, cid))};
    struct block_ref *tail = block_ref_copy(span_of(&block, sizeof(block)), NULL);
    bool sent = tail != NULL && ask(ctx, ACTOR_TIERED_STORAGE,
                                    &(struct msg){.kind = MSG_BLOCK_PUT, .fields = &fields, .tail = tail}, PUT_TAG);
    block_ref_unref(tail);
    return sent;
}

static bool provide(struct ctx *ctx, unsigned number)
{
    uint8_t cid[CID_BYTES_MAX];
    const struct msg_provide fields = {.cid = span_of(cid, crowd_cid(number, cid))};
    return ask(ctx, ACTOR_DISCOVERY, &(struct msg){.kind = MSG_PROVIDE, .fields = &fields}, PROVIDE_TAG);
}

static void go_on(struct ctx *ctx, struct provider *p)
{
    const unsigned all = crowd_provider_all(crowd_playing->options, p->job->way);
    bool sweeps = p->job->way == CROWD_BY_SWEEP;
    unsigned most = sweeps ? (unsigned)PUTS_AT_ONCE : (unsigned)PROVIDE_QUEUE_RUNNING_MAX;
    while (p->under_way < most && p->next < all) {
        unsigned number = cid_of(p->job->way, p->next);
        if (!(sweeps ? put(ctx, number) : provide(ctx, number)))
            return; /* the next look tries again */
        p->next++;
        p->under_way++;
    }
    if (p->next < all || p->under_way > 0)
        return;
    const struct msg_provide_stat fields = {0};
    if (!sweeps)
        p->job->order = PROVIDER_RESTS;
    else if (!p->asked)
        p->asked = ask(ctx, ACTOR_DISCOVERY, &(struct msg){.kind = MSG_PROVIDE_STAT, .fields = &fields}, STAT_TAG);
}

static void obey(struct ctx *ctx, struct provider *p)
{
    if (p->job->order == PROVIDER_COUNTS)
        count(ctx, p);
    else if (p->job->order == PROVIDER_PROVIDES)
        go_on(ctx, p);
}

static void take_tables(struct provider *p, const struct msg_dht_stat_ok *ok)
{
    struct crowd_effort sum = {0};
    struct item_dht_table table;
    size_t position = 0;
    while (schema_list_next_map(&ok->tables, &schema_item_dht_table, &position, &table)) {
        sum.lookups += table.lookups;
        sum.trips += table.requests_out - table.told_out;
        sum.told += table.told_out;
        sum.failed += table.requests_failed;
        sum.streams += table.streams_out;
    }
    p->job->counted = sum;
    p->job->order = PROVIDER_RESTS;
}

static void take_figures(struct provider *p, const struct msg_provide_stat_ok *ok)
{
    p->job->provided = ok->cids - ok->fresh;
    if (p->job->provided >= crowd_playing->options->provide)
        p->job->order = PROVIDER_RESTS;
}

static void take_reply(struct provider *p, const struct info *info)
{
    if (info->tag == COUNT_TAG || info->tag == STAT_TAG)
        p->asked = false;
    else
        p->under_way--;
    if (info->err != ERR_OK) {
        p->job->err = p->job->err == ERR_OK ? info->err : p->job->err;
        return;
    }
    if (info->tag == COUNT_TAG)
        take_tables(p, info->msg->fields);
    else if (info->tag == STAT_TAG)
        take_figures(p, info->msg->fields);
    else if (info->tag == PROVIDE_TAG)
        p->job->provided++;
}

static void look_again(struct ctx *ctx)
{
    (void)ctx_timer(ctx, ctx_now(ctx) + LOOK_MS * MS_NS, LOOK_TAG);
}

static enum err provider_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct provider *p = state;
    for (size_t i = 0; i < CROWD_WAYS; i++)
        if (crowd_playing->providers[i].node->config == config)
            p->job = &crowd_playing->providers[i];
    look_again(ctx);
    return p->job == NULL ? ERR_INTERNAL : ERR_OK;
}

static void provider_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct provider *p = state;
    bool provides = p->job->order == PROVIDER_PROVIDES && info->tag != STAT_TAG; /* that is asked for at each look */
    if (info->kind == INFO_REPLY)
        take_reply(p, info);
    if (info->kind == INFO_TIMER) {
        look_again(ctx);
        obey(ctx, p);
    } else if (provides) {
        go_on(ctx, p);
    }
}

const struct actor_class crowd_provider_class = {
    .name = "provider",
    .state_bytes = sizeof(struct provider),
    .init = provider_init,
    .handle_info = provider_info,
};

/* ---- the scene ---- */

static enum err run(struct crowd *c, uint64_t seconds)
{
    return crowd_run_until(c, sim_now(c->sim) + seconds * SECOND_NS);
}

/* Gives the order, and waits until it was obeyed. ERR_TIMEOUT. */
static enum err order(struct crowd *c, struct crowd_provider *p, enum provider_order what, uint64_t seconds)
{
    uint64_t end = sim_now(c->sim) + seconds * SECOND_NS;
    uint64_t news = sim_now(c->sim) + QUIET_SECONDS * SECOND_NS;
    enum err err = ERR_OK;
    p->order = what;
    while (err == ERR_OK && p->order != PROVIDER_RESTS) {
        if (sim_now(c->sim) >= end)
            return ERR_TIMEOUT;
        err = crowd_run_until(c, sim_now(c->sim) + LOOK_MS * MS_NS);
        if (sim_now(c->sim) >= news) {
            char text[64];
            (void)snprintf(text, sizeof(text), "%s, %llu provided", ways[p->way], (unsigned long long)p->provided);
            crowd_tell(c, text);
            news += QUIET_SECONDS * SECOND_NS;
        }
    }
    return err;
}

/* All that the node did so far. */
static enum err effort(struct crowd *c, struct crowd_provider *p, struct crowd_effort *ret_effort)
{
    enum err err = order(c, p, PROVIDER_COUNTS, CALL_SECONDS);
    struct sim_traffic traffic = sim_host_traffic(p->node->host);
    if (err != ERR_OK)
        return err;
    *ret_effort = p->counted;
    ret_effort->dials = traffic.dials;
    ret_effort->bytes_out = traffic.bytes_out;
    ret_effort->bytes_in = traffic.bytes_in;
    ret_effort->bytes = traffic.bytes_out + traffic.bytes_in;
    ret_effort->took_ms = sim_now(c->sim) / MS_NS;
    ret_effort->provided = p->provided;
    return ERR_OK;
}

static struct crowd_effort between(const struct crowd_effort *a, const struct crowd_effort *b)
{
    return (struct crowd_effort){.provided = b->provided - a->provided,
                                 .lookups = b->lookups - a->lookups,
                                 .trips = b->trips - a->trips,
                                 .told = b->told - a->told,
                                 .failed = b->failed - a->failed,
                                 .streams = b->streams - a->streams,
                                 .dials = b->dials - a->dials,
                                 .bytes_out = b->bytes_out - a->bytes_out,
                                 .bytes_in = b->bytes_in - a->bytes_in,
                                 .bytes = b->bytes - a->bytes,
                                 .took_ms = b->took_ms - a->took_ms};
}

/* Others find the node as the provider of some of its CIDs. */
static enum err check(struct crowd *c, const struct crowd_provider *p)
{
    unsigned all = crowd_provider_all(c->options, p->way);
    unsigned checks = MIN(all, (unsigned)CROWD_CHECKS / CROWD_WAYS);
    for (unsigned i = 0; i < checks; i++)
        crowd_give_check(c, p->node->number, cid_of(p->way, (unsigned)((uint64_t)all * i / checks)));
    return crowd_end_tasks(c);
}

static enum err play(struct crowd *c, struct crowd_provider *p, struct crowd_effort *ret_quiet,
                     struct crowd_effort *ret_effort)
{
    struct crowd_effort at[3];
    uint64_t most = SECONDS_BASE + (uint64_t)SECONDS_PER_CID * c->options->provide;
    enum err err = effort(c, p, &at[0]);
    if (err == ERR_OK)
        err = run(c, QUIET_SECONDS);
    if (err == ERR_OK)
        err = effort(c, p, &at[1]);
    if (err == ERR_OK)
        err = order(c, p, PROVIDER_PROVIDES, most);
    if (err == ERR_OK)
        err = effort(c, p, &at[2]);
    if (err != ERR_OK) {
        (void)snprintf(c->why, CROWD_WHY_BYTES, "%llu of %u CIDs were provided %s: %s", (unsigned long long)p->provided,
                       crowd_provider_all(c->options, p->way), ways[p->way], err_text(err));
        return err;
    }
    *ret_quiet = between(&at[0], &at[1]);
    *ret_effort = between(&at[1], &at[2]);
    return check(c, p);
}

enum err crowd_provide_play(struct crowd *c, struct crowd_result *result)
{
    enum err err = ERR_OK;
    unsigned first = c->options->nodes + c->options->sybils;
    for (unsigned i = 0; i < CROWD_WAYS && err == ERR_OK; i++) {
        c->providers[i] = (struct crowd_provider){.node = &c->nodes[first + i], .way = (enum crowd_way)i};
        err = crowd_node_prepare(c, first + i);
    }
    for (unsigned i = 0; i < CROWD_WAYS && err == ERR_OK; i++)
        err = crowd_node_start(c->providers[i].node);
    if (err == ERR_OK)
        err = run(c, SETTLE_SECONDS);
    for (unsigned i = 0; i < CROWD_WAYS && err == ERR_OK; i++)
        err = play(c, &c->providers[i], &result->quiet[i], &result->efforts[i]);
    return err;
}
