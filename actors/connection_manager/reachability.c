/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/reachability.h"

#include <string.h>

#include "base/limits.h"
#include "wire/autonat.h"

static ip_group group_of(const struct net_addr *addr)
{
    return ip_group_of_ip(span_of(addr->ip, addr->family == NET_IP4 ? 4 : 16));
}

static bool same_host(const struct net_addr *a, const struct net_addr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, a->family == NET_IP4 ? 4 : 16) == 0;
}

void reachability_init(struct reachability *r, uint64_t now_ns)
{
    *r = (struct reachability){.next_ns = now_ns + REACHABILITY_START_MS * MS_NS};
}

bool reachability_is_due(const struct reachability *r, uint64_t now_ns)
{
    return !r->asking && r->next_ns <= now_ns;
}

uint64_t reachability_deadline(const struct reachability *r)
{
    return r->asking ? r->due_ns : r->next_ns;
}

bool reachability_may_ask(const struct reachability *r, const struct net_addr *peer, uint64_t now_ns)
{
    ip_group group = group_of(peer);
    for (unsigned i = 0; i < REACHABILITY_RESTING_MAX; i++)
        if (r->resting[i].group == group && r->resting[i].until_ns > now_ns)
            return false;
    return group != 0;
}

void reachability_asked(struct reachability *r, const struct net_addr *peer, uint64_t now_ns)
{
    r->asking = true;
    r->came = r->said_ok = false;
    r->asked = *peer;
    r->due_ns = now_ns + REACHABILITY_ASK_MS * MS_NS;
    r->next_ns = now_ns + REACHABILITY_PACE_MS * MS_NS;
    r->resting[r->resting_next].group = group_of(peer);
    r->resting[r->resting_next].until_ns = now_ns + REACHABILITY_REST_MS * MS_NS;
    r->resting_next = (r->resting_next + 1) % REACHABILITY_RESTING_MAX;
    r->questions++;
}

void reachability_nobody(struct reachability *r, uint64_t now_ns)
{
    r->next_ns = now_ns + REACHABILITY_LOOK_MS * MS_NS;
}

/* ---- voices ---- */

static void in_vain(struct reachability *r, uint64_t now_ns)
{
    r->asking = false;
    r->in_vain = MIN(r->in_vain + 1, 10U);
    uint64_t pause = REACHABILITY_PACE_MS * MS_NS << r->in_vain;
    r->next_ns = now_ns + MIN(pause, REACHABILITY_PACE_MAX_MS * MS_NS);
}

static void count(struct reachability *r, bool reached, ip_group group)
{
    if (r->agree_reached != reached)
        r->agreed_count = 0;
    r->agree_reached = reached;
    for (unsigned i = 0; i < r->agreed_count; i++)
        if (r->agreed[i] == group)
            return;
    if (r->agreed_count < REACHABILITY_FAILED)
        r->agreed[r->agreed_count++] = group;
}

static void conclude(struct reachability *r, bool reached, uint64_t now_ns)
{
    enum reachability_status says = reached ? REACHABILITY_PUBLIC : REACHABILITY_PRIVATE;
    r->asking = false;
    r->in_vain = 0;
    r->answers++;
    count(r, reached, group_of(&r->asked));
    if (r->agreed_count >= (reached ? REACHABILITY_PROVEN : REACHABILITY_FAILED))
        r->status = says;
    r->next_ns = MAX(r->next_ns, r->status == says ? now_ns + REACHABILITY_FRESH_MS * MS_NS : now_ns);
}

static void conclude_reached(struct reachability *r, uint64_t now_ns)
{
    r->reached_at = r->said;
    conclude(r, true, now_ns);
}

static bool was_visited(const struct reachability *r, uint64_t now_ns)
{
    return r->visited && now_ns - r->visited_ns < REACHABILITY_VISIT_MS * MS_NS;
}

void reachability_answered(struct reachability *r, uint64_t status, const struct net_addr *said, uint64_t now_ns)
{
    if (!r->asking || r->said_ok)
        return;
    r->said = said == NULL ? (struct net_addr){0} : *said;
    if (status == AUTONAT_OK && r->came) {
        conclude_reached(r, now_ns);
    } else if (status == AUTONAT_OK) {
        r->said_ok = true;
        r->due_ns = now_ns + REACHABILITY_LATE_MS * MS_NS;
    } else if (status == AUTONAT_DIAL_ERROR && !r->came && !was_visited(r, now_ns)) {
        conclude(r, false, now_ns);
    } else {
        in_vain(r, now_ns);
    }
}

void reachability_unanswered(struct reachability *r, uint64_t now_ns)
{
    if (r->asking && !r->said_ok)
        in_vain(r, now_ns);
}

void reachability_came_in(struct reachability *r, const struct net_addr *from, bool open, uint64_t now_ns)
{
    if (r->asking && same_host(from, &r->asked)) {
        r->came = true;
        if (r->said_ok)
            conclude_reached(r, now_ns);
    }
    if (!open)
        return;
    r->visited = true;
    r->visited_ns = now_ns;
    if (!r->agree_reached)
        r->agreed_count = 0;
    if (r->status != REACHABILITY_PRIVATE)
        return;
    r->status = REACHABILITY_UNKNOWN;
    r->next_ns = MIN(r->next_ns, now_ns + REACHABILITY_PACE_MS * MS_NS);
}

void reachability_moved(struct reachability *r, uint64_t now_ns)
{
    r->agreed_count = 0;
    r->in_vain = 0;
    r->visited = false;
    r->reached_at = (struct net_addr){0};
    memset(r->resting, 0, sizeof(r->resting));
    r->next_ns = MIN(r->next_ns, now_ns + REACHABILITY_PACE_MS * MS_NS);
}

void reachability_tick(struct reachability *r, uint64_t now_ns)
{
    if (r->asking && r->due_ns <= now_ns)
        in_vain(r, now_ns);
}

const char *reachability_text(enum reachability_status status)
{
    static const char *const texts[] = {"Unknown", "Public", "Private"};
    return texts[status];
}
