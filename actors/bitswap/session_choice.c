/* SPDX-License-Identifier: MIT */
/*
 * Whom to ask: the peer whose block would come first. One that likely has it goes before one of whom nothing is known, and a want
 * rather waits for room with the best peer than going to one where it would take longer all the same.
 */
#include "actors/bitswap/session_internal.h"

enum { OVERDUE = 4, WAITING_TRIES = 64 };

static uint64_t outstanding(const struct bitswap_session *s, const struct bitswap_session_peer *peer)
{
    return (uint64_t)peer->asked * s->block_guess;
}

static bool peer_has_room(const struct bitswap_session *s, const struct bitswap_session_peer *peer)
{
    return peer->asked == 0 || outstanding(s, peer) + s->block_guess <= pace_room_bytes(&peer->pace);
}

static bool all_have_room(const struct bitswap_session *s)
{
    return s->asked == 0 || (uint64_t)(s->asked + 1) * s->block_guess <= s->bytes_max;
}

struct candidate {
    struct bitswap_session_peer *peer;
    bool likely;
    uint64_t cost_ns;
};

static bool better(const struct candidate *a, const struct candidate *b)
{
    if (b->peer == NULL || a->likely != b->likely)
        return b->peer == NULL || a->likely;
    return a->cost_ns < b->cost_ns || (a->cost_ns == b->cost_ns && a->peer->score > b->peer->score);
}

/* The peer to get the want-block; NULL when there is none. */
static struct bitswap_session_peer *choose(const struct bitswap_session *s, const struct want *want, uint64_t now_ns)
{
    struct candidate best = {0};
    size_t position = 0;
    for (struct bitswap_session_peer *p = table_next(&s->peers, &position, NULL); p != NULL;
         p = table_next(&s->peers, &position, NULL)) {
        const struct link *l = bitswap_session_link_of(want, p);
        if (l != NULL && (l->said == SAID_DONT_HAVE || l->said == SAID_SILENCE))
            continue;
        bool has = l != NULL && l->said == SAID_HAVE;
        struct candidate c = {.peer = p,
                              .likely = has || pace_is_likely(&p->pace),
                              .cost_ns = pace_cost_ns(&p->pace, outstanding(s, p), s->block_guess, has, now_ns)};
        if (better(&c, &best))
            best = c;
    }
    return best.peer;
}

static void meet(struct bitswap_session *s, struct bitswap_session_peer *peer)
{
    s->strangers -= (size_t)!peer->known;
    peer->known = true;
}

void bitswap_session_ask_others(struct bitswap_session *s, struct want *want, bool strangers_only)
{
    size_t asked = 0;
    size_t position = 0;
    want->broad = want->broad || !strangers_only;
    for (struct bitswap_session_peer *p = table_next(&s->peers, &position, NULL); p != NULL && asked < SESSION_ASK_MAX;
         p = table_next(&s->peers, &position, NULL)) {
        bool ask = bitswap_has_presences(p->version) && !(strangers_only && p->known);
        if (!ask || bitswap_session_link_of(want, p) != NULL)
            continue;
        struct link *l = bitswap_session_link_make(s, want, p);
        if (l == NULL)
            return;
        meet(s, p);
        bitswap_session_todo_set(s, l, TODO_HAVE);
        asked++;
    }
}

/* Whether somebody may still answer whether it has it. */
static bool is_waited_for(const struct want *want)
{
    for (const struct link *l = want->links; l != NULL; l = l->next_of_want)
        if (l->said == SAID_NOTHING)
            return true;
    return false;
}

static void ask(struct bitswap_session *s, struct want *want, struct link *l, uint64_t now_ns)
{
    struct bitswap_session_peer *peer = l->peer;
    uint64_t expect_ns = pace_expect_ns(&peer->pace, outstanding(s, peer), s->block_guess);
    meet(s, peer);
    l->alone = peer->asked == 0;
    if (l->alone)
        peer->progress_ns = now_ns;
    want->asked = l;
    peer->asked++;
    s->asked++;
    l->sent_ns = now_ns;
    l->due_ns = now_ns + pace_patience_ns(&peer->pace) + OVERDUE * expect_ns;
    l->again = l->sent == SENT_BLOCK;
    bitswap_session_todo_set(s, l, l->again ? TODO_CANCEL : TODO_BLOCK);
}

void bitswap_session_unask(struct bitswap_session *s, struct want *want)
{
    if (want->asked == NULL)
        return;
    want->asked->peer->asked--;
    want->asked = NULL;
    s->asked--;
}

void bitswap_session_assign(struct bitswap_session *s, struct want *want, uint64_t now_ns)
{
    if (want->asked != NULL || want->over)
        return;
    struct bitswap_session_peer *peer = choose(s, want, now_ns);
    if (peer == NULL) {
        if (!want->broad || !is_waited_for(want))
            bitswap_session_ask_others(s, want, false);
        return;
    }
    struct link *l = NULL;
    if (peer_has_room(s, peer) && all_have_room(s))
        l = bitswap_session_link_make(s, want, peer);
    if (l == NULL) {
        bitswap_session_wait_push(s, want);
        return;
    }
    ask(s, want, l, now_ns);
    bool good = pace_is_good(&peer->pace);
    if (!want->broad && (!good || s->strangers > 0))
        bitswap_session_ask_others(s, want, good);
}

static bool any_has_room(const struct bitswap_session *s)
{
    size_t position = 0;
    if (!all_have_room(s))
        return false;
    for (const struct bitswap_session_peer *p = table_next(&s->peers, &position, NULL); p != NULL;
         p = table_next(&s->peers, &position, NULL))
        if (peer_has_room(s, p))
            return true;
    return false;
}

void bitswap_session_assign_waiting(struct bitswap_session *s, uint64_t now_ns)
{
    struct want *list = s->waiting;
    s->waiting = NULL;
    s->waiting_last = &s->waiting;
    for (int tries = 0; list != NULL && tries < WAITING_TRIES && any_has_room(s); tries++) {
        struct want *want = list;
        list = want->next_waiting;
        want->waiting = false;
        bitswap_session_assign(s, want, now_ns);
    }
    if (list == NULL)
        return;
    *s->waiting_last = list; /* those that were tried in vain stay in front: the order is kept */
    while (*s->waiting_last != NULL)
        s->waiting_last = &(*s->waiting_last)->next_waiting;
}

void bitswap_session_move_on(struct bitswap_session *s, struct want *want, uint64_t now_ns)
{
    bitswap_session_unask(s, want);
    if (!want->broad)
        bitswap_session_ask_others(s, want, false);
    bitswap_session_assign(s, want, now_ns);
    bitswap_session_assign_waiting(s, now_ns);
}

void bitswap_session_doubt(struct bitswap_session *s, struct want *want, uint64_t now_ns)
{
    struct link *l = want->asked;
    struct bitswap_session_peer *peer = l->peer;
    enum link_said said = l->said;
    uint64_t silent_ns = now_ns - MAX(l->sent_ns, peer->progress_ns);
    if (silent_ns < pace_patience_ns(&peer->pace) && now_ns < l->due_ns)
        return;
    if (!want->broad)
        bitswap_session_ask_others(s, want, false);
    l->said = SAID_SILENCE;
    bool alternative = choose(s, want, now_ns) != NULL;
    if (!alternative && silent_ns < SESSION_SILENCE_MS * MS_NS) {
        l->said = said; /* better late than never */
        return;
    }
    pace_broken(&peer->pace, s->block_guess, l->sent_ns, now_ns);
    peer->broken++;
    if (l->sent == SENT_BLOCK)
        bitswap_session_todo_set(s, l, TODO_CANCEL); /* before another one is asked, so that the block comes once */
    else
        bitswap_session_todo_unlink(l);
    bitswap_session_move_on(s, want, now_ns);
}
