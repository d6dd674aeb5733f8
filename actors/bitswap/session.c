/* SPDX-License-Identifier: MIT */
#include "actors/bitswap/session.h"

#include <stdlib.h>

#include "actors/bitswap/session_internal.h"

struct bitswap_session *bitswap_session_new(struct account *account, size_t bytes_max)
{
    struct bitswap_session *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->account = account;
    s->bytes_max = bytes_max;
    s->block_guess = SESSION_BLOCK_GUESS_BYTES;
    s->waiting_last = &s->waiting;
    s->dirty_last = &s->dirty;
    table_init(&s->wants, SESSION_WANTS_MAX, account);
    table_init(&s->peers, SESSION_PEERS_MAX, account);
    return s;
}

void bitswap_session_bound(struct bitswap_session *s, size_t bytes_max)
{
    s->bytes_max = bytes_max;
}

static void want_end(struct bitswap_session *s, struct want *want, const struct bitswap_session_peer *deliverer)
{
    uint8_t key[CID_BYTES_MAX];
    (void)table_remove(&s->wants, span_of(key, cid_encode(&want->cid, key)));
    bitswap_session_wait_remove(s, want);
    want->over = true;
    struct link *next = NULL;
    for (struct link *l = want->links; l != NULL; l = next) {
        next = l->next_of_want;
        bool cancel = l->sent != SENT_NOTHING && l->peer != deliverer;
        if (want->asked == l)
            bitswap_session_unask(s, want);
        l->again = false;
        if (cancel)
            bitswap_session_todo_set(s, l, TODO_CANCEL);
        else
            bitswap_session_link_free(s, l);
    }
    bitswap_session_want_drop_if_over(s, want);
}

void bitswap_session_free(struct bitswap_session *s)
{
    if (s == NULL)
        return;
    size_t position = 0;
    for (struct want *w = table_next(&s->wants, &position, NULL); w != NULL; w = table_next(&s->wants, &position, NULL))
        want_end(s, w, NULL);
    position = 0;
    for (struct bitswap_session_peer *p = table_next(&s->peers, &position, NULL); p != NULL;
         p = table_next(&s->peers, &position, NULL))
        bitswap_session_peer_down(s, p, 0);
    table_release(&s->wants);
    table_release(&s->peers);
    free(s);
}

enum err bitswap_session_peer_up(struct bitswap_session *s, const struct peer_id *id, enum bitswap_version version,
                                 uint64_t now_ns, struct bitswap_session_peer **ret_peer)
{
    struct bitswap_session_peer *peer = bitswap_session_take(s, sizeof(*peer));
    if (peer == NULL)
        return ERR_NOMEM;
    *peer = (struct bitswap_session_peer){.id = *id, .version = version, .progress_ns = now_ns};
    pace_init(&peer->pace);
    enum err err = table_put(&s->peers, peer_id_span(&peer->id), peer, NULL);
    if (err != ERR_OK) {
        bitswap_session_give(s, peer, sizeof(*peer));
        return err;
    }
    s->strangers++;
    *ret_peer = peer;
    size_t position = 0;
    for (struct want *w = table_next(&s->wants, &position, NULL); w != NULL;
         w = table_next(&s->wants, &position, NULL)) {
        w->broad = w->broad && !bitswap_has_presences(version); /* this one is to be asked at the next doubt */
        if (w->asked == NULL && !w->waiting)
            bitswap_session_assign(s, w, now_ns);
    }
    bitswap_session_assign_waiting(s, now_ns);
    return ERR_OK;
}

void bitswap_session_peer_down(struct bitswap_session *s, struct bitswap_session_peer *peer, uint64_t now_ns)
{
    (void)table_remove(&s->peers, peer_id_span(&peer->id));
    s->strangers -= (size_t)!peer->known;
    while (peer->links != NULL) {
        struct want *want = peer->links->want;
        bool asked = want->asked == peer->links;
        bitswap_session_link_free(s, peer->links);
        if (asked)
            bitswap_session_wait_push(s, want);
        bitswap_session_want_drop_if_over(s, want);
    }
    bitswap_session_dirty_remove(s, peer);
    bitswap_session_give(s, peer, sizeof(*peer));
    bitswap_session_assign_waiting(s, now_ns);
}

void bitswap_session_peer_progress(struct bitswap_session_peer *peer, uint64_t now_ns)
{
    peer->progress_ns = now_ns;
}

void bitswap_session_peer_resend(struct bitswap_session *s, struct bitswap_session_peer *peer)
{
    struct link *next = NULL;
    for (struct link *l = peer->links; l != NULL; l = next) {
        next = l->next_of_peer;
        if (l->sent == SENT_NOTHING || l->want->over || l->todo != TODO_NOTHING)
            continue;
        bool block = l->want->asked == l;
        l->again = block;
        if (l->said != SAID_HAVE || block)
            bitswap_session_todo_set(s, l, block ? TODO_BLOCK : TODO_HAVE);
    }
    peer->renew = true; /* of what was cancelled nothing is known any more: only a whole list ends it */
    bitswap_session_mark_dirty(s, peer);
}

static struct want *find(const struct bitswap_session *s, const struct cid *cid)
{
    uint8_t key[CID_BYTES_MAX];
    return table_get(&s->wants, span_of(key, cid_encode(cid, key)));
}

enum err bitswap_session_want(struct bitswap_session *s, const struct cid *cid, uint64_t now_ns)
{
    uint8_t key[CID_BYTES_MAX];
    if (find(s, cid) != NULL)
        return ERR_EXISTS;
    struct want *want = bitswap_session_take(s, sizeof(*want));
    if (want == NULL)
        return ERR_NOMEM;
    *want = (struct want){.cid = *cid,
                          .search_ns = now_ns + SESSION_SEARCH_MS * MS_NS,
                          .retry_ns = now_ns + SESSION_RETRY_MS * MS_NS,
                          .again_ns = now_ns + SESSION_SEARCH_AGAIN_MS * MS_NS};
    enum err err = table_put(&s->wants, span_of(key, cid_encode(cid, key)), want, NULL);
    if (err != ERR_OK) {
        bitswap_session_give(s, want, sizeof(*want));
        return err;
    }
    bitswap_session_assign(s, want, now_ns);
    return ERR_OK;
}

void bitswap_session_unwant(struct bitswap_session *s, const struct cid *cid)
{
    struct want *want = find(s, cid);
    if (want != NULL)
        want_end(s, want, NULL);
}

bool bitswap_session_wants(const struct bitswap_session *s, const struct cid *cid)
{
    return find(s, cid) != NULL;
}

void bitswap_session_presence(struct bitswap_session *s, struct bitswap_session_peer *peer, const struct cid *cid,
                              bool have, uint64_t now_ns)
{
    struct want *want = find(s, cid);
    struct link *l = want == NULL ? NULL : bitswap_session_link_of(want, peer);
    if (l == NULL || (have && l->said == SAID_SILENCE))
        return;
    bool asked = want->asked == l;
    bool answers = l->said == SAID_NOTHING && l->sent == SENT_HAVE;
    pace_presence(&peer->pace, have, answers ? l->sent_ns : 0, now_ns);
    l->said = have ? SAID_HAVE : SAID_DONT_HAVE;
    if (asked && !have) {
        l->sent = SENT_HAVE; /* it has answered: asking again later is no repetition */
        bitswap_session_move_on(s, want, now_ns);
    } else if (want->asked == NULL && !want->waiting) {
        bitswap_session_assign(s, want, now_ns);
    } else if (have) {
        bitswap_session_assign_waiting(s, now_ns);
    }
}

bool bitswap_session_block(struct bitswap_session *s, struct bitswap_session_peer *peer, const struct cid *cid,
                           size_t len, uint64_t now_ns)
{
    struct want *want = find(s, cid);
    if (want == NULL)
        return false;
    s->block_guess = MAX((s->block_guess * 7 + len) / 8, 1024);
    if (peer != NULL) {
        const struct link *l = bitswap_session_link_of(want, peer);
        bool asked = l != NULL && l->sent == SENT_BLOCK;
        pace_block(&peer->pace, len, asked ? l->sent_ns : 0, asked && l->alone, now_ns);
        peer->progress_ns = now_ns;
    }
    want_end(s, want, peer);
    bitswap_session_assign_waiting(s, now_ns);
    return true;
}

/* Nobody has it: those who were silent are asked again, now and then all. */
static void retry(struct bitswap_session *s, struct want *want, uint64_t now_ns)
{
    bool all = now_ns >= want->again_ns;
    want->retry_ns = now_ns + SESSION_RETRY_MS * MS_NS;
    if (all)
        want->again_ns = now_ns + SESSION_SEARCH_AGAIN_MS * MS_NS;
    for (struct link *l = want->links; l != NULL; l = l->next_of_want)
        if (l->said == SAID_SILENCE || (all && l->said == SAID_DONT_HAVE))
            l->said = SAID_NOTHING;
    want->broad = false;
    bitswap_session_assign(s, want, now_ns);
}

void bitswap_session_tick(struct bitswap_session *s, uint64_t now_ns)
{
    size_t position = 0;
    for (struct want *w = table_next(&s->wants, &position, NULL); w != NULL;
         w = table_next(&s->wants, &position, NULL)) {
        if (w->asked != NULL)
            bitswap_session_doubt(s, w, now_ns);
        else if (!w->waiting && now_ns >= w->retry_ns)
            retry(s, w, now_ns);
    }
    bitswap_session_assign_waiting(s, now_ns);
}

bool bitswap_session_has_message(const struct bitswap_session_peer *peer)
{
    return peer->renew || peer->cancels.first != NULL || peer->wants.first != NULL;
}

/* The peer does not hold the want any more, or will not. */
static void cancelled(struct bitswap_session *s, struct link *l)
{
    struct want *want = l->want;
    bitswap_session_todo_unlink(l);
    l->sent = SENT_NOTHING;
    if (l->again && !want->over)
        bitswap_session_todo_set(s, l, TODO_BLOCK);
    if (!want->over)
        return; /* a link with a peer that was given up is kept: it is remembered */
    bitswap_session_link_free(s, l);
    bitswap_session_want_drop_if_over(s, want);
}

static bool fill_cancels(struct bitswap_session *s, struct bitswap_session_peer *peer, struct bitswap_writer *w)
{
    while (peer->cancels.first != NULL) {
        struct link *l = peer->cancels.first;
        struct bitswap_want entry = {.cid = l->want->cid, .cancel = true};
        if (bitswap_writer_want(w, &entry) != ERR_OK)
            return true;
        cancelled(s, l);
    }
    return true;
}

static bool fill_wants(struct bitswap_session_peer *peer, struct bitswap_writer *w, uint64_t now_ns)
{
    while (peer->wants.first != NULL) {
        struct link *l = peer->wants.first;
        bool block = l->todo == TODO_BLOCK;
        struct bitswap_want entry = {.cid = l->want->cid,
                                     .priority = 1,
                                     .type = block ? BITSWAP_WANT_BLOCK : BITSWAP_WANT_HAVE,
                                     .send_dont_have = true};
        if (bitswap_writer_want(w, &entry) != ERR_OK)
            return true;
        bitswap_session_todo_unlink(l);
        l->sent = block ? SENT_BLOCK : SENT_HAVE;
        l->due_ns += now_ns - l->sent_ns;
        l->sent_ns = now_ns;
        l->again = false;
    }
    return true;
}

bool bitswap_session_fill(struct bitswap_session *s, struct bitswap_session_peer *peer, struct bitswap_writer *w,
                          uint64_t now_ns)
{
    bool filled = peer->renew;
    if (peer->renew) {
        peer->renew = false;
        w->full = true;
        while (peer->cancels.first != NULL)
            cancelled(s, peer->cancels.first);
        (void)fill_wants(peer, w, now_ns);
    } else if (peer->cancels.first != NULL) {
        filled = fill_cancels(s, peer, w);
    } else if (peer->wants.first != NULL) {
        filled = fill_wants(peer, w, now_ns);
    }
    if (bitswap_session_has_message(peer))
        bitswap_session_mark_dirty(s, peer);
    return filled;
}

struct bitswap_session_peer *bitswap_session_next_dirty(struct bitswap_session *s)
{
    struct bitswap_session_peer *peer = s->dirty;
    if (peer != NULL)
        bitswap_session_dirty_remove(s, peer);
    return peer;
}

bool bitswap_session_next_search(struct bitswap_session *s, uint64_t now_ns, struct cid *ret_cid)
{
    size_t position = 0;
    for (struct want *w = table_next(&s->wants, &position, NULL); w != NULL;
         w = table_next(&s->wants, &position, NULL)) {
        bool served = w->asked != NULL && w->asked->said == SAID_HAVE;
        if (now_ns < w->search_ns || served)
            continue;
        w->search_ns = now_ns + SESSION_SEARCH_AGAIN_MS * MS_NS;
        *ret_cid = w->cid;
        return true;
    }
    return false;
}

size_t bitswap_session_count(const struct bitswap_session *s)
{
    return table_len(&s->wants);
}

bool bitswap_session_next_want(const struct bitswap_session *s, size_t *position, struct cid *ret_cid)
{
    const struct want *want = table_next(&s->wants, position, NULL);
    if (want == NULL)
        return false;
    *ret_cid = want->cid;
    return true;
}

uint64_t bitswap_session_asked_ns(const struct bitswap_session *s, const struct bitswap_session_peer *peer,
                                  const struct cid *cid)
{
    const struct want *want = find(s, cid);
    const struct link *l = want == NULL ? NULL : bitswap_session_link_of(want, peer);
    return l != NULL && l->sent == SENT_BLOCK && l->alone ? l->sent_ns : 0;
}

size_t bitswap_session_peer_asked(const struct bitswap_session_peer *peer)
{
    return peer->asked;
}

uint32_t bitswap_session_peer_take_broken(struct bitswap_session_peer *peer)
{
    uint32_t broken = peer->broken;
    peer->broken = 0;
    return broken;
}

void bitswap_session_peer_set_score(struct bitswap_session_peer *peer, uint32_t score)
{
    peer->score = score;
}

void bitswap_session_peer_set_owner(struct bitswap_session_peer *peer, void *owner)
{
    peer->owner = owner;
}

void *bitswap_session_peer_owner(const struct bitswap_session_peer *peer)
{
    return peer->owner;
}
