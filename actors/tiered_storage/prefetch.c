/* SPDX-License-Identifier: MIT */
/*
 * Reading ahead of the cold tier: which blocks is up to storage/prefetcher; this file tells it what links to what, what is cold, and reads.
 *
 *      a block is served --> its links --> prefetcher --> blockstore_get --> kept there --> served to whoever asks next
 */
#include "actors/tiered_storage/request.h"
#include "base/limits.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "wire/dag_links.h"

/* What is read ahead and not used yet takes this share of the account that reads are charged to. */
enum { READS_SHARE = 4 };

enum err storage_prefetch_init(struct storage_state *s, const struct config *config)
{
    struct budget *budget = ctx_budget(s->ctx);
    struct prefetch_config prefetch = {.rate = config->tiers_promote_rate, .outstanding_max = READS_SHARE * MIB};
    if (!s->cold || !config->tiers_prefetch || prefetch.rate == 0)
        return ERR_OK;
    if (budget != NULL) {
        prefetch.outstanding_max = budget->accounts[ACCOUNT_SEND].limit_bytes / READS_SHARE;
        prefetch.account = &budget->accounts[ACCOUNT_TABLES];
    }
    s->prefetcher = prefetcher_new(&prefetch);
    return s->prefetcher == NULL ? ERR_NOMEM : ERR_OK;
}

static void offer(struct storage_state *s, enum prefetch_kind kind, const struct block_key *keys, size_t count)
{
    uint64_t size;
    const char *tier;
    for (size_t i = 0; i < count; i++) {
        if (blockstore_has(s->store, &keys[i], &size, &tier) == ERR_OK && strcmp(tier, "cold") == 0)
            prefetcher_offer(s->prefetcher, kind, &keys[i], (uint32_t)size, ctx_now(s->ctx));
    }
}

/* Tells the links of a node, and offers the first that are cold. */
static void look_below(struct storage_state *s, uint32_t codec, struct span block)
{
    struct block_key keys[PREFETCH_LINKS];
    size_t count = 0;
    struct dag_links links;
    struct cid child;
    struct span name;
    if (codec == CODEC_RAW || !dag_links_known(codec) || dag_links_open(codec, block, &links) != ERR_OK)
        return;
    while (count < PREFETCH_LINKS && dag_links_next(&links, &child, &name))
        count += block_key_of(&child.hash, &keys[count]) == ERR_OK;
    if (count == 0)
        return;
    prefetcher_node(s->prefetcher, keys, count);
    if (prefetcher_wants(s->prefetcher, PREFETCH_CHILDREN, ctx_now(s->ctx)))
        offer(s, PREFETCH_CHILDREN, keys, MIN(count, (size_t)PREFETCH_AHEAD));
}

void storage_prefetch_used(struct storage_state *s, const struct block_key *key, uint32_t codec, struct span block)
{
    struct block_key siblings[PREFETCH_AHEAD];
    if (s->prefetcher == NULL || blockstore_stats(s->store).cold_blocks == 0)
        return;
    look_below(s, codec, block);
    if (prefetcher_wants(s->prefetcher, PREFETCH_SIBLINGS, ctx_now(s->ctx)))
        offer(s, PREFETCH_SIBLINGS, siblings, prefetcher_siblings(s->prefetcher, key, siblings));
}

struct block_ref *storage_prefetch_take(struct storage_state *s, const struct block_key *key)
{
    return s->prefetcher == NULL ? NULL : prefetcher_use(s->prefetcher, key, ctx_now(s->ctx));
}

static void came(struct store_op *op, enum err err)
{
    struct storage_state *s = CONTAINER_OF(op, struct storage_state, ahead);
    struct block_ref *ref = err == ERR_OK ? op->ref : NULL;
    s->reading_ahead = false;
    prefetcher_came(s->prefetcher, &op->key, ref, ctx_now(s->ctx));
    block_ref_unref(ref);
}

enum err storage_prefetch_pack(const struct storage_state *s, struct buf *to, uint32_t *ret_count)
{
    static const char *const names[PREFETCH_KINDS] = {
        [PREFETCH_CHILDREN] = "children", [PREFETCH_SIBLINGS] = "siblings"};
    uint32_t count = s->prefetcher == NULL ? 0 : PREFETCH_KINDS;
    for (uint32_t kind = 0; kind < count; kind++) {
        struct prefetch_figures of = prefetcher_stats(s->prefetcher).kinds[kind];
        struct item_read_ahead item = {.kind = span_text(names[kind]),
                                       .blocks = of.blocks,
                                       .bytes = of.bytes,
                                       .used_bytes = of.used_bytes,
                                       .unused_bytes = of.unused_bytes,
                                       .off = of.off};
        enum err err = schema_list_add_map(to, &schema_item_read_ahead, &item);
        if (err != ERR_OK)
            return err;
    }
    *ret_count = count;
    return ERR_OK;
}

uint64_t storage_prefetch_start(struct storage_state *s)
{
    uint64_t wake_ns = UINT64_MAX;
    const struct block_key *next;
    if (s->prefetcher == NULL)
        return UINT64_MAX;
    while (!s->reading_ahead && (next = prefetcher_next(s->prefetcher, s->asked >= STORAGE_BUSY_REQUESTS,
                                                        ctx_now(s->ctx), &wake_ns)) != NULL) {
        s->reading_ahead = true;
        s->ahead = (struct store_op){.done = came, .key = *next};
        blockstore_get(s->store, &s->ahead);
    }
    return s->reading_ahead ? UINT64_MAX : wake_ns;
}
