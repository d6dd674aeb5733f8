/* SPDX-License-Identifier: MIT */
#include "actors/bitswap/provider_book.h"

#include <stdlib.h>

#include "base/limits.h"

struct provider {
    struct peer_id id;
    bool preferred;
    double reputation; /* 0 to 1 */
    uint64_t requests;
    uint64_t successes;
    unsigned failures;                         /* in a row */
    uint16_t recent;                           /* a bit for each of the last 16 requests: it succeeded */
    uint16_t latencies_ms[PROVIDER_LATENCIES]; /* a ring */
    uint32_t latency_next;
    uint32_t latency_count;
    uint64_t seen_ns;
    uint64_t rests_until_ns;
};

void provider_book_init(struct provider_book *b, struct account *account)
{
    b->account = account;
    table_init(&b->providers, PROVIDERS_MAX, account);
}

static void drop(struct provider_book *b, struct provider *p)
{
    (void)table_remove(&b->providers, peer_id_span(&p->id));
    free(p);
    account_give(b->account, sizeof(*p));
}

void provider_book_release(struct provider_book *b)
{
    size_t position = 0;
    for (struct provider *p = table_next(&b->providers, &position, NULL); p != NULL;
         p = table_next(&b->providers, &position, NULL))
        drop(b, p);
    table_release(&b->providers);
}

static struct provider *find(const struct provider_book *b, const struct peer_id *id)
{
    return table_get(&b->providers, peer_id_span(id));
}

static void make_room(struct provider_book *b)
{
    struct provider *oldest = NULL;
    size_t position = 0;
    if (table_len(&b->providers) < PROVIDERS_MAX)
        return;
    for (struct provider *p = table_next(&b->providers, &position, NULL); p != NULL;
         p = table_next(&b->providers, &position, NULL))
        if (!p->preferred && (oldest == NULL || p->seen_ns < oldest->seen_ns))
            oldest = p;
    if (oldest != NULL)
        drop(b, oldest);
}

/* NULL without memory: then it is not remembered. */
static struct provider *note(struct provider_book *b, const struct peer_id *id, uint64_t now_ns)
{
    struct provider *p = find(b, id);
    if (p != NULL) {
        p->seen_ns = now_ns;
        return p;
    }
    make_room(b);
    if (!account_take(b->account, sizeof(*p)))
        return NULL;
    p = calloc(1, sizeof(*p));
    if (p != NULL)
        *p = (struct provider){.id = *id, .reputation = 0.5, .seen_ns = now_ns};
    if (p == NULL || table_put(&b->providers, peer_id_span(&p->id), p, NULL) != ERR_OK) {
        free(p);
        account_give(b->account, sizeof(*p));
        return NULL;
    }
    return p;
}

void provider_book_prefer(struct provider_book *b, const struct peer_id *id, uint64_t now_ns)
{
    struct provider *p = note(b, id, now_ns);
    if (p != NULL)
        p->preferred = true;
}

void provider_book_seen(struct provider_book *b, const struct peer_id *id, uint64_t now_ns)
{
    (void)note(b, id, now_ns);
}

void provider_book_success(struct provider_book *b, const struct peer_id *id, uint64_t latency_ns, uint64_t now_ns)
{
    struct provider *p = note(b, id, now_ns);
    if (p == NULL)
        return;
    p->reputation += (1 - p->reputation) / 10;
    p->requests++;
    p->successes++;
    p->failures = 0;
    p->rests_until_ns = 0;
    p->recent = (uint16_t)(p->recent << 1 | 1);
    if (latency_ns == 0)
        return;
    p->latencies_ms[p->latency_next] = (uint16_t)MIN(latency_ns / MS_NS, (uint64_t)UINT16_MAX);
    p->latency_next = (p->latency_next + 1) % PROVIDER_LATENCIES;
    p->latency_count = MIN(p->latency_count + 1, (uint32_t)PROVIDER_LATENCIES);
}

void provider_book_failure(struct provider_book *b, const struct peer_id *id, uint64_t now_ns)
{
    struct provider *p = note(b, id, now_ns);
    if (p == NULL)
        return;
    uint64_t rest_s = MIN(UINT64_C(1) << MIN(p->failures, 10u), (uint64_t)PROVIDER_REST_MAX_S);
    p->reputation -= p->reputation / 5;
    p->requests++;
    p->failures++;
    p->recent = (uint16_t)(p->recent << 1);
    p->rests_until_ns = now_ns + rest_s * SECOND_NS;
}

static double latency_s(const struct provider *p)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->latency_count; i++)
        sum += p->latencies_ms[i];
    return (double)sum / p->latency_count / 1000;
}

static double score_of(const struct provider *p)
{
    double success = p->requests == 0 ? 0.5 : (double)p->successes / (double)p->requests;
    double latency = p->latency_count == 0 ? 0 : latency_s(p);
    double affinity = (double)__builtin_popcount(p->recent) / PROVIDER_RECENT;
    return 0.4 * p->reputation + 0.4 * success + 0.2 / (1 + latency) + 0.1 * affinity + (p->preferred ? 0.2 : 0);
}

double provider_book_score(const struct provider_book *b, const struct peer_id *id)
{
    static const struct provider stranger = {.reputation = 0.5};
    const struct provider *p = find(b, id);
    return score_of(p == NULL ? &stranger : p);
}

bool provider_book_may_ask(const struct provider_book *b, const struct peer_id *id, uint64_t now_ns)
{
    const struct provider *p = find(b, id);
    if (p == NULL)
        return true;
    bool dropped = p->requests > PROVIDER_TRIES && p->successes * PROVIDER_GOOD_SHARE < p->requests;
    return now_ns >= p->rests_until_ns && (!dropped || p->preferred);
}

size_t provider_book_choose(const struct provider_book *b, struct peer_id *ids, size_t count, uint64_t now_ns)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) { /* few: by insertion, equal ones in the order in which they were named */
        struct peer_id id = ids[i];
        size_t at = kept;
        if (!provider_book_may_ask(b, &id, now_ns))
            continue;
        double score = provider_book_score(b, &id);
        for (; at > 0 && provider_book_score(b, &ids[at - 1]) < score; at--)
            ids[at] = ids[at - 1];
        ids[at] = id;
        kept++;
    }
    return kept;
}

void provider_book_tidy(struct provider_book *b, uint64_t now_ns)
{
    size_t position = 0;
    for (struct provider *p = table_next(&b->providers, &position, NULL); p != NULL;
         p = table_next(&b->providers, &position, NULL))
        if (!p->preferred && now_ns - p->seen_ns >= PROVIDER_FORGET_H * UINT64_C(3600) * SECOND_NS)
            drop(b, p);
}
