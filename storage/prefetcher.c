/* SPDX-License-Identifier: MIT */
#include "storage/prefetcher.h"

#include <stdlib.h>

#include "base/limits.h"
#include "storage/byte_budget.h"

enum state { FREE, OFFERED, ASKED, HERE };

struct ahead {
    struct block_key key;
    enum state state;
    enum prefetch_kind kind;
    uint32_t size;
    uint64_t number;   /* in order of offers */
    uint64_t until_ns; /* OFFERED, HERE */
    bool used;         /* ASKED: somebody was faster */
    struct block_ref *ref;
};

/* What came of a kind lately. */
struct worth {
    bool off;
    size_t trial;      /* while off: so many more may be offered … */
    uint64_t trial_ns; /* … until there are more */
    size_t settled;
    uint64_t bytes;
    uint64_t used_bytes;
};

struct node {
    size_t count;
    struct block_key links[PREFETCH_LINKS];
};

struct prefetcher {
    struct account *account;
    struct byte_budget budget;
    uint64_t outstanding_max;
    uint64_t outstanding; /* of ASKED and HERE */
    size_t known;         /* not FREE */
    bool asking;          /* from prefetcher_next until prefetcher_came, also of what was forgotten meanwhile */
    uint64_t numbers;
    struct ahead blocks[PREFETCH_BLOCKS];
    struct worth worths[PREFETCH_KINDS];
    struct node nodes[PREFETCH_NODES];
    size_t node_next;
    struct prefetch_stats stats;
};

struct prefetcher *prefetcher_new(const struct prefetch_config *config)
{
    if (config->account != NULL && !account_take(config->account, sizeof(struct prefetcher)))
        return NULL;
    struct prefetcher *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        if (config->account != NULL)
            account_give(config->account, sizeof(struct prefetcher));
        return NULL;
    }
    p->account = config->account;
    p->outstanding_max = config->outstanding_max;
    byte_budget_init(&p->budget, config->rate);
    return p;
}

void prefetcher_free(struct prefetcher *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < PREFETCH_BLOCKS; i++)
        block_ref_unref(p->blocks[i].ref);
    if (p->account != NULL)
        account_give(p->account, sizeof(*p));
    free(p);
}

/* ---- nodes ---- */

void prefetcher_node(struct prefetcher *p, const struct block_key *links, size_t count)
{
    struct node *node = &p->nodes[p->node_next];
    p->node_next = (p->node_next + 1) % PREFETCH_NODES;
    node->count = MIN(count, PREFETCH_LINKS);
    for (size_t i = 0; i < node->count; i++)
        node->links[i] = links[i];
}

size_t prefetcher_siblings(const struct prefetcher *p, const struct block_key *key,
                           struct block_key ret_keys[PREFETCH_AHEAD])
{
    for (size_t n = 1; n <= PREFETCH_NODES; n++) {
        const struct node *node = &p->nodes[(p->node_next + PREFETCH_NODES - n) % PREFETCH_NODES];
        for (size_t i = 0; i < node->count; i++) {
            if (!block_key_equal(&node->links[i], key))
                continue;
            size_t count = MIN(node->count - i - 1, PREFETCH_AHEAD);
            for (size_t k = 0; k < count; k++)
                ret_keys[k] = node->links[i + 1 + k];
            return count;
        }
    }
    return 0;
}

/* ---- what it is worth ---- */

static void settle(struct prefetcher *p, enum prefetch_kind kind, uint64_t bytes, bool used, uint64_t now_ns)
{
    struct worth *w = &p->worths[kind];
    w->bytes += bytes;
    w->used_bytes += used ? bytes : 0;
    w->settled++;
    p->stats.kinds[kind].used_bytes += used ? bytes : 0;
    p->stats.kinds[kind].unused_bytes += used ? 0 : bytes;
    if (w->settled < (w->off ? PREFETCH_TRIAL : PREFETCH_WINDOW))
        return;
    bool pays = w->used_bytes >= w->bytes / 100 * PREFETCH_PAYS_PERCENT;
    *w = (struct worth){.off = !pays, .trial_ns = now_ns + PREFETCH_TRIAL_NS};
}

bool prefetcher_wants(struct prefetcher *p, enum prefetch_kind kind, uint64_t now_ns)
{
    struct worth *w = &p->worths[kind];
    if (p->budget.rate == 0 || p->known == PREFETCH_BLOCKS)
        return false;
    if (w->off && now_ns >= w->trial_ns) {
        w->trial = PREFETCH_TRIAL;
        w->trial_ns = now_ns + PREFETCH_TRIAL_NS;
    }
    return !w->off || w->trial > 0;
}

/* ---- the blocks ---- */

static struct ahead *find(struct prefetcher *p, const struct block_key *key)
{
    for (size_t i = 0; p->known > 0 && i < PREFETCH_BLOCKS; i++) {
        if (p->blocks[i].state != FREE && block_key_equal(&p->blocks[i].key, key))
            return &p->blocks[i];
    }
    return NULL;
}

static void drop(struct prefetcher *p, struct ahead *a)
{
    if (a->state == ASKED || a->state == HERE)
        p->outstanding -= a->size;
    p->known--;
    block_ref_unref(a->ref);
    *a = (struct ahead){.state = FREE};
}

void prefetcher_offer(struct prefetcher *p, enum prefetch_kind kind, const struct block_key *key, uint32_t size,
                      uint64_t now_ns)
{
    struct worth *w = &p->worths[kind];
    if (size > p->outstanding_max || size > BLOCK_BYTES_MAX || !prefetcher_wants(p, kind, now_ns) ||
        find(p, key) != NULL)
        return;
    struct ahead *a = p->blocks;
    while (a->state != FREE)
        a++;
    w->trial -= w->off;
    p->known++;
    *a = (struct ahead){.key = *key,
                        .state = OFFERED,
                        .kind = kind,
                        .size = size,
                        .number = p->numbers++,
                        .until_ns = now_ns + PREFETCH_LIFE_NS};
}

/* What nobody wanted in its time goes. Returns when the next of them will. */
static uint64_t expire(struct prefetcher *p, uint64_t now_ns)
{
    uint64_t wake_ns = UINT64_MAX;
    for (size_t i = 0; p->known > 0 && i < PREFETCH_BLOCKS; i++) {
        struct ahead *a = &p->blocks[i];
        if (a->state != OFFERED && a->state != HERE)
            continue;
        if (now_ns < a->until_ns) {
            wake_ns = MIN(wake_ns, a->until_ns);
            continue;
        }
        if (a->state == HERE)
            settle(p, a->kind, a->size, false, now_ns);
        drop(p, a);
    }
    return wake_ns;
}

const struct block_key *prefetcher_next(struct prefetcher *p, bool busy, uint64_t now_ns, uint64_t *ret_wake_ns)
{
    struct ahead *first = NULL;
    *ret_wake_ns = expire(p, now_ns);
    for (size_t i = 0; p->known > 0 && i < PREFETCH_BLOCKS; i++) {
        struct ahead *a = &p->blocks[i];
        if (a->state == OFFERED && (first == NULL || a->number < first->number))
            first = a;
    }
    if (first == NULL || busy || p->asking || p->outstanding + first->size > p->outstanding_max)
        return NULL;
    uint64_t wait = byte_budget_wait(&p->budget, first->size, now_ns);
    if (wait > 0) {
        *ret_wake_ns = MIN(*ret_wake_ns, now_ns + wait);
        return NULL;
    }
    byte_budget_take(&p->budget, first->size, now_ns);
    first->state = ASKED;
    p->asking = true;
    p->outstanding += first->size;
    return &first->key;
}

void prefetcher_came(struct prefetcher *p, const struct block_key *key, struct block_ref *ref, uint64_t now_ns)
{
    struct ahead *a = find(p, key);
    p->asking = false;
    if (a == NULL || a->state != ASKED)
        return;
    if (ref != NULL) {
        p->stats.kinds[a->kind].blocks++;
        p->stats.kinds[a->kind].bytes += a->size;
    }
    if (ref == NULL || a->used) {
        if (ref != NULL)
            settle(p, a->kind, a->size, true, now_ns);
        drop(p, a);
        return;
    }
    a->state = HERE;
    a->ref = block_ref_ref(ref);
    a->until_ns = now_ns + PREFETCH_LIFE_NS;
}

struct block_ref *prefetcher_use(struct prefetcher *p, const struct block_key *key, uint64_t now_ns)
{
    struct ahead *a = find(p, key);
    if (a == NULL)
        return NULL;
    struct block_ref *ref = a->ref;
    a->used = true;
    a->ref = NULL;
    if (a->state == HERE)
        settle(p, a->kind, a->size, true, now_ns);
    if (a->state != ASKED)
        drop(p, a);
    return ref;
}

void prefetcher_forget(struct prefetcher *p, const struct block_key *key)
{
    struct ahead *a = find(p, key);
    if (a != NULL)
        drop(p, a);
}

struct prefetch_stats prefetcher_stats(const struct prefetcher *p)
{
    struct prefetch_stats stats = p->stats;
    for (size_t i = 0; i < PREFETCH_KINDS; i++)
        stats.kinds[i].off = p->worths[i].off;
    return stats;
}
