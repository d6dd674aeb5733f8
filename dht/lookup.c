/* SPDX-License-Identifier: MIT */
#include "dht/lookup.h"

#include <stdlib.h>
#include <string.h>

#include "dht/candidates.h"
#include "dht/provider_set.h"
#include "wire/addr_list.h"
#include "wire/multiaddr.h"

enum {
    TARGET_ADDRS_MAX = 16, /* of the peer that is looked for */
    CLAIMED_ADDRS_MAX = 64 /* looked at in one peer of an answer */
};

struct lookup {
    struct lookup_params params;
    uint8_t key[KAD_RECORD_KEY_MAX];
    struct kad_key target;
    struct peer_id target_id; /* of FIND_NODE for a peer, else empty */
    struct buf target_addrs;  /* what was claimed for it, usable for queries or not */
    struct buf claimed;       /* scratch: addresses of one peer as they came */
    struct buf addrs;         /* scratch: those that are believed */
    struct candidates candidates;
    struct provider_set providers;
    struct lookup_stats stats;
    enum lookup_state state;
    size_t in_flight;
    uint64_t now_ms; /* of the last event */
    struct account *account;
};

static void fill_defaults(struct lookup_params *p)
{
    p->alpha = p->alpha == 0 ? KAD_ALPHA : p->alpha;
    p->beta = p->beta == 0 ? KAD_BETA : MIN(p->beta, (unsigned)KAD_K);
    p->query_timeout_ms = p->query_timeout_ms == 0 ? LOOKUP_QUERY_TIMEOUT_MS : p->query_timeout_ms;
    p->stall_ms = p->stall_ms == 0 ? LOOKUP_STALL_MS : p->stall_ms;
}

enum err lookup_new(const struct lookup_params *params, struct account *account, struct lookup **ret_lookup)
{
    if (params->key.len == 0 ||
        (params->type != KAD_FIND_NODE && params->type != KAD_GET_PROVIDERS && params->type != KAD_GET_VALUE))
        return ERR_INVALID;
    if (params->key.len > KAD_RECORD_KEY_MAX)
        return ERR_TOO_LARGE;
    if (account != NULL && !account_take(account, sizeof(struct lookup)))
        return ERR_NOMEM;
    struct lookup *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        if (account != NULL)
            account_give(account, sizeof(*l));
        return ERR_NOMEM;
    }
    l->params = *params;
    fill_defaults(&l->params);
    memcpy(l->key, params->key.data, params->key.len);
    l->params.key = span_of(l->key, params->key.len);
    l->target = kad_key_of(l->params.key);
    if (params->type != KAD_FIND_NODE || peer_id_parse(l->params.key, &l->target_id) != ERR_OK)
        l->target_id = (struct peer_id){0};
    l->account = account;
    buf_init(&l->target_addrs, LOOKUP_PROVIDER_ADDRS_BYTES_MAX, account);
    buf_init(&l->claimed, 8 * KIB, account);
    buf_init(&l->addrs, LOOKUP_PROVIDER_ADDRS_BYTES_MAX, account);
    candidates_init(&l->candidates, &l->target, params->diverse, account);
    provider_set_init(&l->providers, account);
    *ret_lookup = l;
    return ERR_OK;
}

void lookup_free(struct lookup *l)
{
    if (l == NULL)
        return;
    candidates_release(&l->candidates);
    provider_set_release(&l->providers);
    buf_release(&l->target_addrs);
    buf_release(&l->claimed);
    buf_release(&l->addrs);
    if (l->account != NULL)
        account_give(l->account, sizeof(*l));
    free(l);
}

/* ---- addresses ---- */

static bool is_dialable(struct span addr)
{
    struct multiaddr_target target;
    return multiaddr_target(addr, &target) == ERR_OK && target.via != MULTIADDR_VIA_OTHER;
}

/* Of an addr_list what a query could dial, into l->addrs; the result is borrowed from there. */
static struct span dialable(struct lookup *l, struct span list)
{
    struct span addr;
    size_t count = 0;
    buf_clear(&l->addrs);
    while (count < LOOKUP_ADDRS_MAX && addr_list_next(&list, &addr)) {
        if (!addr_scope_admits(l->params.scope, addr) || !is_dialable(addr))
            continue;
        if (l->addrs.len + addr.len + 2 <= LOOKUP_ADDRS_BYTES_MAX && addr_list_add(&l->addrs, addr) == ERR_OK)
            count++;
    }
    return buf_span(&l->addrs);
}

/* What an answer claims of a peer, as far as it is well formed; without memory it claims nothing. */
static struct span claimed_addrs(struct lookup *l, const struct kad_peer *peer)
{
    buf_clear(&l->claimed);
    if (kad_peer_addrs(peer, CLAIMED_ADDRS_MAX, &l->claimed) != ERR_OK)
        buf_clear(&l->claimed);
    return buf_span(&l->claimed);
}

static bool is_target(const struct lookup *l, const struct peer_id *id)
{
    return !peer_id_is_empty(&l->target_id) && peer_id_equal(&l->target_id, id);
}

/* Addresses of the peer that is looked for are kept also when no query could use them: a circuit, another transport. */
static void note_target(struct lookup *l, struct span claimed)
{
    size_t have = addr_list_count(buf_span(&l->target_addrs));
    size_t before = l->target_addrs.len;
    if (have >= TARGET_ADDRS_MAX)
        return;
    if (addr_scope_filter(l->params.scope, claimed, TARGET_ADDRS_MAX - have, &l->target_addrs) != ERR_OK)
        l->target_addrs.len = before;
}

/* ---- the search ---- */

/* The nearest `need` have answered, or there are no more: nothing that is heard or in flight among them. */
static void settle(struct lookup *l)
{
    if (l->state != LOOKUP_RUNNING)
        return;
    struct candidate *nearest[KAD_K];
    size_t need = l->params.follow_up ? (size_t)KAD_K : l->params.beta;
    size_t count = candidates_nearest(&l->candidates, 0, nearest, need, NULL);
    for (size_t i = 0; i < count; i++) {
        if (nearest[i]->state != CANDIDATE_ANSWERED)
            return;
    }
    l->state = l->stats.answered > 0 ? LOOKUP_DONE : LOOKUP_STARVED;
}

void lookup_seed(struct lookup *l, const struct peer_id *id, struct span addrs)
{
    if (l->state != LOOKUP_RUNNING || peer_id_is_empty(id) || peer_id_equal(id, &l->params.own))
        return;
    if (is_target(l, id))
        note_target(l, addrs);
    if (candidates_add(&l->candidates, id, dialable(l, addrs), 1) != NULL)
        l->stats.heard++;
}

static uint64_t stalled_before(const struct lookup *l, uint64_t now_ms)
{
    return now_ms > l->params.stall_ms ? now_ms - l->params.stall_ms : 0;
}

/* Queries that take a place among alpha. */
static size_t fresh_in_flight(const struct lookup *l, uint64_t now_ms)
{
    uint64_t before = stalled_before(l, now_ms);
    size_t count = 0;
    for (size_t i = 0; i < l->candidates.count; i++) {
        const struct candidate *candidate = l->candidates.sorted[i];
        count += candidate->state == CANDIDATE_ASKED && candidate->asked_ms >= before;
    }
    return count;
}

bool lookup_next(struct lookup *l, uint64_t now_ms, struct lookup_query *ret_query)
{
    l->now_ms = now_ms;
    settle(l);
    if (l->state != LOOKUP_RUNNING || l->in_flight >= LOOKUP_IN_FLIGHT_MAX ||
        fresh_in_flight(l, now_ms) >= l->params.alpha)
        return false;
    struct candidate *nearest[KAD_K];
    size_t count = candidates_nearest(&l->candidates, stalled_before(l, now_ms), nearest, KAD_K, NULL);
    for (size_t i = 0; i < count; i++) {
        struct candidate *candidate = nearest[i];
        if (candidate->state != CANDIDATE_HEARD)
            continue;
        candidate->state = CANDIDATE_ASKED;
        candidate->tries++;
        candidate->asked_ms = now_ms;
        l->in_flight++;
        l->stats.asked++;
        *ret_query = (struct lookup_query){.id = candidate->id, .addrs = candidate_addrs(candidate)};
        return true;
    }
    return false;
}

static struct candidate *in_flight(struct lookup *l, const struct peer_id *id)
{
    struct candidate *candidate = l->state == LOOKUP_RUNNING ? candidates_find(&l->candidates, id) : NULL;
    return candidate != NULL && candidate->state == CANDIDATE_ASKED ? candidate : NULL;
}

void lookup_seen_at(struct lookup *l, const struct peer_id *id, struct span remote_addr)
{
    struct candidate *candidate = candidates_find(&l->candidates, id);
    if (candidate != NULL)
        candidates_seen(candidate, ip_group_of_addr(remote_addr));
}

/* True when one of them came among the nearest. */
static bool take_closer(struct lookup *l, const struct kad_message *answer, unsigned depth)
{
    struct kad_iterator it = {0};
    struct kad_peer peer;
    struct candidate *nearest[KAD_K];
    bool useful = false;
    while (kad_next_peer(answer, KAD_CLOSER, &it, &peer)) {
        if (peer_id_equal(&peer.id, &l->params.own))
            continue;
        struct span claimed = claimed_addrs(l, &peer);
        if (is_target(l, &peer.id))
            note_target(l, claimed);
        struct span addrs = dialable(l, claimed);
        if (!addr_scope_usable(l->params.scope, addrs))
            continue;
        const struct candidate *added = candidates_add(&l->candidates, &peer.id, addrs, depth + 1);
        if (added == NULL)
            continue;
        l->stats.heard++;
        size_t count = useful ? 0 : candidates_nearest(&l->candidates, 0, nearest, KAD_K, NULL);
        for (size_t i = 0; i < count && !useful; i++)
            useful = nearest[i] == added;
    }
    return useful;
}

/* Providers that peers of the same IP group as this one named first, those before it in the list alone or all. */
static size_t contributed_by_group(const struct lookup *l, const struct candidate *source, bool all)
{
    size_t sum = 0;
    for (size_t i = 0; i < l->candidates.count; i++) {
        const struct candidate *other = l->candidates.sorted[i];
        if (other == source && !all)
            break;
        if (other == source ||
            (source->group_count > 0 && other->group_count > 0 && other->groups[0] == source->groups[0]))
            sum += other->contributed;
    }
    return sum;
}

/* Providers that count towards the goal: of one IP group at most a third of it, so that one owner cannot end the search. */
static size_t counted_providers(const struct lookup *l)
{
    size_t share = (l->params.providers + KAD_BETA - 1) / KAD_BETA;
    size_t total = 0;
    if (!l->params.diverse)
        return l->providers.count;
    for (size_t i = 0; i < l->candidates.count; i++) {
        const struct candidate *source = l->candidates.sorted[i];
        if (source->contributed > 0)
            total += MIN((size_t)source->contributed, share - MIN(share, contributed_by_group(l, source, false)));
    }
    return total;
}

static bool take_providers(struct lookup *l, const struct kad_message *answer, struct candidate *source)
{
    struct kad_iterator it = {0};
    struct kad_peer peer;
    bool any = false;
    size_t place = LOOKUP_GROUP_PROVIDERS_MAX;
    if (l->params.diverse)
        place -= MIN(place, contributed_by_group(l, source, true));
    while (place > 0 && kad_next_peer(answer, KAD_PROVIDERS, &it, &peer)) {
        struct span claimed = claimed_addrs(l, &peer);
        buf_clear(&l->addrs);
        if (addr_scope_filter(l->params.scope, claimed, LOOKUP_PROVIDER_ADDRS_MAX, &l->addrs) != ERR_OK)
            buf_clear(&l->addrs);
        if (!provider_set_add(&l->providers, &peer.id, buf_span(&l->addrs)))
            continue;
        any = true;
        place -= l->params.diverse;
        source->contributed++;
        if (l->stats.hops_goal == 0)
            l->stats.hops_goal = source->depth;
    }
    return any;
}

bool lookup_answered(struct lookup *l, const struct peer_id *id, const struct kad_message *answer, uint64_t now_ms)
{
    l->now_ms = now_ms;
    struct candidate *candidate = in_flight(l, id);
    if (candidate == NULL)
        return false;
    candidate->state = CANDIDATE_ANSWERED;
    l->in_flight--;
    l->stats.answered++;
    l->stats.hops = MAX(l->stats.hops, (uint32_t)candidate->depth);
    bool useful = answer->has_record;
    if (l->params.type == KAD_GET_PROVIDERS && take_providers(l, answer, candidate))
        useful = true;
    if (take_closer(l, answer, candidate->depth))
        useful = true;
    if (l->params.type == KAD_GET_PROVIDERS && l->params.providers > 0 && counted_providers(l) >= l->params.providers)
        l->state = LOOKUP_DONE;
    settle(l);
    return useful;
}

static void fail(struct lookup *l, struct candidate *candidate)
{
    candidate->state = CANDIDATE_FAILED;
    l->in_flight--;
    l->stats.failed++;
}

void lookup_failed(struct lookup *l, const struct peer_id *id, uint64_t now_ms)
{
    l->now_ms = now_ms;
    struct candidate *candidate = in_flight(l, id);
    if (candidate == NULL)
        return;
    fail(l, candidate);
    settle(l);
}

void lookup_tick(struct lookup *l, uint64_t now_ms)
{
    l->now_ms = now_ms;
    if (l->state != LOOKUP_RUNNING)
        return;
    for (size_t i = 0; i < l->candidates.count; i++) {
        struct candidate *candidate = l->candidates.sorted[i];
        if (candidate->state != CANDIDATE_ASKED || now_ms < candidate->asked_ms + l->params.query_timeout_ms)
            continue;
        fail(l, candidate);
        candidate->timed_out = true;
    }
    settle(l);
    if (l->state == LOOKUP_RUNNING && now_ms >= l->params.deadline_ms)
        l->state = LOOKUP_DEADLINE;
}

bool lookup_next_timeout(struct lookup *l, struct peer_id *ret_id)
{
    for (size_t i = 0; i < l->candidates.count; i++) {
        struct candidate *candidate = l->candidates.sorted[i];
        if (!candidate->timed_out)
            continue;
        candidate->timed_out = false;
        *ret_id = candidate->id;
        return true;
    }
    return false;
}

/* Also when a query stalls: then another one may go out. */
uint64_t lookup_next_tick(const struct lookup *l)
{
    uint64_t next = l->params.deadline_ms;
    for (size_t i = 0; i < l->candidates.count; i++) {
        const struct candidate *candidate = l->candidates.sorted[i];
        if (candidate->state != CANDIDATE_ASKED)
            continue;
        uint64_t stall = candidate->asked_ms + l->params.stall_ms + 1;
        uint64_t timeout = candidate->asked_ms + l->params.query_timeout_ms;
        next = MIN(next, stall > l->now_ms ? MIN(stall, timeout) : timeout);
    }
    return next;
}

void lookup_stop(struct lookup *l)
{
    if (l->state == LOOKUP_RUNNING)
        l->state = LOOKUP_DONE;
}

/* ---- what is known ---- */

enum lookup_state lookup_state(const struct lookup *l)
{
    return l->state;
}

void lookup_stats(const struct lookup *l, struct lookup_stats *ret_stats)
{
    struct candidate *nearest[KAD_K];
    size_t crowded = 0;
    (void)candidates_nearest(&l->candidates, 0, nearest, KAD_K, &crowded);
    *ret_stats = l->stats;
    ret_stats->crowded = (uint32_t)crowded;
}

const struct kad_key *lookup_target(const struct lookup *l)
{
    return &l->target;
}

struct span lookup_key(const struct lookup *l)
{
    return l->params.key;
}

enum kad_type lookup_type(const struct lookup *l)
{
    return l->params.type;
}

size_t lookup_closest(const struct lookup *l, struct lookup_peer *ret_peers, size_t max)
{
    struct candidate *nearest[LOOKUP_CANDIDATES_MAX];
    size_t count = candidates_nearest(&l->candidates, 0, nearest, LOOKUP_CANDIDATES_MAX, NULL);
    size_t taken = 0;
    for (size_t i = 0; i < count && taken < MIN(max, (size_t)KAD_K); i++) {
        if (nearest[i]->state == CANDIDATE_ANSWERED)
            ret_peers[taken++] = (struct lookup_peer){.id = nearest[i]->id, .addrs = candidate_addrs(nearest[i])};
    }
    return taken;
}

bool lookup_find(const struct lookup *l, const struct peer_id *id, struct lookup_peer *ret_peer)
{
    struct span addrs = span_of(NULL, 0);
    const struct provider *provider = provider_set_find(&l->providers, id);
    const struct candidate *candidate = candidates_find(&l->candidates, id);
    if (is_target(l, id))
        addrs = buf_span(&l->target_addrs);
    if (addrs.len == 0 && provider != NULL)
        addrs = span_of(provider->addrs, provider->addrs_len);
    if (addrs.len == 0 && candidate != NULL)
        addrs = candidate_addrs(candidate);
    if (addrs.len == 0)
        return false;
    *ret_peer = (struct lookup_peer){.id = *id, .addrs = addrs};
    return true;
}

bool lookup_next_provider(struct lookup *l, struct lookup_peer *ret_provider)
{
    const struct provider *provider = provider_set_take(&l->providers);
    if (provider == NULL)
        return false;
    *ret_provider = (struct lookup_peer){.id = provider->id, .addrs = span_of(provider->addrs, provider->addrs_len)};
    return true;
}

size_t lookup_provider_count(const struct lookup *l)
{
    return l->providers.count;
}
