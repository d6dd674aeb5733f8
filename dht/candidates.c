/* SPDX-License-Identifier: MIT */
#include "dht/candidates.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/addr_list.h"

void candidates_init(struct candidates *c, const struct kad_key *target, bool diverse, struct account *account)
{
    memset(c, 0, sizeof(*c));
    c->target = *target;
    c->diverse = diverse;
    c->account = account;
    for (size_t i = 0; i < LOOKUP_CANDIDATES_MAX; i++)
        c->sorted[i] = &c->pool[i];
}

static void drop_addrs(struct candidates *c, struct candidate *candidate)
{
    free(candidate->addrs);
    if (c->account != NULL)
        account_give(c->account, candidate->addrs_len);
    candidate->addrs = NULL;
    candidate->addrs_len = 0;
}

void candidates_release(struct candidates *c)
{
    for (size_t i = 0; i < c->count; i++)
        drop_addrs(c, c->sorted[i]);
    c->count = 0;
}

struct candidate *candidates_find(const struct candidates *c, const struct peer_id *id)
{
    for (size_t i = 0; i < c->count; i++) {
        assert(c->sorted[i] != NULL);
        if (peer_id_equal(&c->sorted[i]->id, id))
            return c->sorted[i];
    }
    return NULL;
}

/* Its slot goes to the free ones. */
static void remove_at(struct candidates *c, size_t at)
{
    struct candidate *gone = c->sorted[at];
    drop_addrs(c, gone);
    memmove(c->sorted + at, c->sorted + at + 1, (c->count - 1 - at) * sizeof(c->sorted[0]));
    c->sorted[--c->count] = gone;
}

static bool set_addrs(struct candidates *c, struct candidate *candidate, struct span addrs)
{
    uint8_t *copy = NULL;
    if (addrs.len > 0) {
        if (c->account != NULL && !account_take(c->account, addrs.len))
            return false;
        copy = malloc(addrs.len);
        if (copy == NULL) {
            if (c->account != NULL)
                account_give(c->account, addrs.len);
            return false;
        }
        memcpy(copy, addrs.data, addrs.len);
    }
    drop_addrs(c, candidate);
    candidate->addrs = copy;
    candidate->addrs_len = (uint16_t)addrs.len;
    candidate->group_count = (uint8_t)ip_group_of_list(addrs, candidate->groups, LOOKUP_GROUPS_MAX);
    return true;
}

static bool in_group(const struct candidate *candidate, ip_group group)
{
    for (size_t i = 0; i < candidate->group_count; i++) {
        if (candidate->groups[i] == group)
            return true;
    }
    return false;
}

/* Makes a place among the ones of a group when it has its share already: the farthest that was not asked leaves for a nearer one. */
static bool group_has_place(struct candidates *c, ip_group group, const struct kad_key *key)
{
    size_t kept = 0;
    size_t farthest = c->count;
    for (size_t i = 0; i < c->count; i++) {
        if (c->sorted[i]->state == CANDIDATE_FAILED || !in_group(c->sorted[i], group))
            continue;
        kept++;
        if (c->sorted[i]->state == CANDIDATE_HEARD)
            farthest = i;
    }
    if (kept < LOOKUP_GROUP_KEPT_MAX)
        return true;
    if (farthest == c->count || kad_key_closer(&c->target, key, &c->sorted[farthest]->key) > 0)
        return false;
    remove_at(c, farthest);
    return true;
}

static bool any_group_has_place(struct candidates *c, struct span addrs, const struct kad_key *key)
{
    ip_group groups[LOOKUP_GROUPS_MAX];
    size_t count = c->diverse ? ip_group_of_list(addrs, groups, LOOKUP_GROUPS_MAX) : 0;
    for (size_t i = 0; i < count; i++) {
        if (group_has_place(c, groups[i], key))
            return true;
    }
    return count == 0;
}

/* Room for one more: of a full list the farthest failed one leaves, else the farthest that waits for nothing, if it is farther. */
static bool make_room(struct candidates *c, const struct kad_key *key)
{
    if (c->count < LOOKUP_CANDIDATES_MAX)
        return true;
    size_t leaving = c->count;
    for (size_t i = c->count; i > 0; i--) {
        const struct candidate *candidate = c->sorted[i - 1];
        if (candidate->state == CANDIDATE_FAILED && !candidate->timed_out) {
            leaving = i - 1;
            break;
        }
        if (leaving == c->count && candidate->state != CANDIDATE_ASKED && !candidate->timed_out &&
            kad_key_closer(&c->target, key, &candidate->key) < 0)
            leaving = i - 1;
    }
    if (leaving == c->count)
        return false;
    remove_at(c, leaving);
    return true;
}

static struct candidate *insert(struct candidates *c, const struct candidate *value)
{
    struct candidate *slot = c->sorted[c->count];
    size_t at = c->count++;
    for (; at > 0 && kad_key_closer(&c->target, &value->key, &c->sorted[at - 1]->key) < 0; at--)
        c->sorted[at] = c->sorted[at - 1];
    *slot = *value;
    c->sorted[at] = slot;
    return slot;
}

/* More addresses for one that was not asked yet, while they fit. */
static void merge_addrs(struct candidates *c, struct candidate *candidate, struct span addrs)
{
    CLEANUP(buf_release) struct buf all = {0};
    struct span addr;
    buf_init(&all, LOOKUP_ADDRS_BYTES_MAX, NULL);
    if (buf_append_span(&all, candidate_addrs(candidate)) != ERR_OK)
        return;
    while (addr_list_count(buf_span(&all)) < LOOKUP_ADDRS_MAX && addr_list_next(&addrs, &addr)) {
        if (addr_list_add(&all, addr) != ERR_OK)
            break;
    }
    if (all.len > candidate->addrs_len)
        (void)set_addrs(c, candidate, buf_span(&all));
}

static bool names_new_addr(const struct candidate *candidate, struct span addrs)
{
    struct span addr;
    while (addr_list_next(&addrs, &addr)) {
        if (!addr_list_has(candidate_addrs(candidate), addr))
            return true;
    }
    return false;
}

static void heard_again(struct candidates *c, struct candidate *known, struct span addrs)
{
    if (known->state == CANDIDATE_HEARD) {
        merge_addrs(c, known, addrs);
    } else if (known->state == CANDIDATE_FAILED && known->tries < CANDIDATE_TRIES_MAX && !known->timed_out &&
               names_new_addr(known, addrs) && set_addrs(c, known, addrs)) {
        known->state = CANDIDATE_HEARD;
    }
}

struct candidate *candidates_add(struct candidates *c, const struct peer_id *id, struct span addrs, unsigned depth)
{
    struct candidate *known = candidates_find(c, id);
    if (known != NULL) {
        heard_again(c, known, addrs);
        return NULL;
    }
    struct candidate value = {
        .id = *id, .key = kad_key_of_peer(id), .state = CANDIDATE_HEARD, .depth = (uint16_t)MIN(depth, 1000U)};
    if (!any_group_has_place(c, addrs, &value.key) || !make_room(c, &value.key))
        return NULL;
    if (!set_addrs(c, &value, addrs))
        return NULL;
    return insert(c, &value);
}

void candidates_seen(struct candidate *candidate, ip_group group)
{
    if (group == 0)
        return;
    candidate->groups[0] = group;
    candidate->group_count = 1;
}

/* Has LOOKUP_GROUP_MAX of the nearer ones in each of its groups? */
static bool is_crowded(const struct candidate *candidate, struct candidate *const *nearer, size_t nearer_count)
{
    for (size_t g = 0; g < candidate->group_count; g++) {
        size_t count = 0;
        for (size_t i = 0; i < nearer_count; i++)
            count += in_group(nearer[i], candidate->groups[g]);
        if (count < LOOKUP_GROUP_MAX)
            return false;
    }
    return candidate->group_count > 0;
}

size_t candidates_nearest(const struct candidates *c, uint64_t stalled_before_ms, struct candidate **ret_nearest,
                          size_t max, size_t *ret_crowded)
{
    struct candidate *admitted[LOOKUP_CANDIDATES_MAX];
    size_t admitted_count = 0;
    size_t crowded = 0;
    size_t count = 0;
    for (size_t i = 0; i < c->count && count < max; i++) {
        struct candidate *candidate = c->sorted[i];
        if (candidate->state == CANDIDATE_FAILED)
            continue;
        if (c->diverse && is_crowded(candidate, admitted, admitted_count)) {
            crowded++;
            continue;
        }
        admitted[admitted_count++] = candidate;
        if (candidate->state != CANDIDATE_ASKED || candidate->asked_ms >= stalled_before_ms)
            ret_nearest[count++] = candidate;
    }
    if (ret_crowded != NULL)
        *ret_crowded = crowded;
    return count;
}
