/* SPDX-License-Identifier: MIT */
/*
 * Counting what pins hold needs the links of nodes, and a node may be only cold: those are read for it, some at once, and get hot copies, so that the next who
 * walks there finds them without a medium.
 */
#include <stdlib.h>

#include "storage/blockstore_private.h"

static void made_hot(struct store_op *op, enum err err)
{
    (void)err; /* it is where it was; the next who needs it fetches it again */
    free(op);
}

/* A block that is held is to lie where walks find it. */
static void make_hot(struct blockstore *s, const struct cold_place *place, struct block_ref *ref)
{
    struct store_op *op = calloc(1, sizeof(*op));
    if (op == NULL)
        return;
    *op = (struct store_op){.done = made_hot, .key = place->key, .codec = place->codec};
    store_put_hot(s, op, ref, true);
}

void store_cold_free_op(struct store_op *op)
{
    if (op->done == made_hot)
        free(op);
}

void store_cold_node_came(struct blockstore *s, const struct cold_place *place, struct block_ref *ref, enum err err)
{
    struct store_tier *t = &s->cold;
    t->nodes_wanted -= t->nodes_wanted > 0;
    t->count_waits = err == ERR_UNAVAILABLE || err == ERR_DENIED;
    if (t->count_waits)
        store_refuse_removals(s, ERR_UNAVAILABLE);
    if (err != ERR_OK && !store_is_damage(err)) {
        s->count_retry_at_ns = s->now_ns + 5 * STORE_RETRY_NS;
    } else if (err == ERR_OK && t->node_count < COLD_NODES_MAX) {
        t->nodes[t->node_count++] = (struct cold_node){.key = place->key, .ref = block_ref_ref(ref)};
        make_hot(s, place, ref);
    }
}

bool store_cold_count_ready(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    struct cold_place places[COLD_NODES_MAX];
    size_t count = 0;
    if (!s->info.count_cold || t->node_count > 0)
        return t->nodes_wanted == 0;
    if (t->nodes_wanted > 0 || catalogue_uncounted(s->reader, places, ARRAY_LEN(places), &count) != ERR_OK)
        return false;
    if (count == 0) /* they have come back to the disk */
        return true;
    t->nodes_wanted = count;
    for (size_t i = 0; i < count; i++) {
        enum err err = store_cold_want(s, &places[i], WANT_COUNT, NULL);
        if (err != ERR_OK)
            store_cold_node_came(s, &places[i], NULL, err);
    }
    return false;
}

bool store_cold_take_nodes(struct blockstore *s, struct store_job *job)
{
    struct store_tier *t = &s->cold;
    if (t->node_count == 0)
        return true;
    job->nodes = malloc(t->node_count * sizeof(*job->nodes));
    if (job->nodes == NULL)
        return false;
    memcpy(job->nodes, t->nodes, t->node_count * sizeof(*job->nodes));
    job->node_count = t->node_count;
    t->node_count = 0;
    return true;
}
