/* SPDX-License-Identifier: MIT */
#include "actors/bitswap/session.h"

#include <stdlib.h>

#include "actors/bitswap/session_internal.h"

static bool peer_has_room(const struct bitswap_session *s, const struct bitswap_session_peer *peer)
{
    return peer->asked == 0 || (uint64_t)(peer->asked + 1) * s->block_guess <= SESSION_PEER_BYTES_MAX;
}

/* Whether a is a better choice than b: said HAVE, has delivered, carries less. */
static bool better(const struct bitswap_session_peer *a, bool a_has, const struct bitswap_session_peer *b, bool b_has)
{
    if (b == NULL || a_has != b_has)
        return b == NULL || a_has;
    bool a_good = a->delivered > 0;
    bool b_good = b->delivered > 0;
    if (a_good != b_good)
        return a_good;
    return a->asked < b->asked;
}

/* The peer to get the want-block; NULL when none is left, *ret_busy when only for want of room. */
static struct bitswap_session_peer *choose(const struct bitswap_session *s, const struct want *want, bool *ret_busy)
{
    struct bitswap_session_peer *best = NULL;
    bool best_has = false;
    size_t position = 0;
    *ret_busy = false;
    for (struct bitswap_session_peer *p = table_next(&s->peers, &position, NULL); p != NULL;
         p = table_next(&s->peers, &position, NULL)) {
        const struct link *l = bitswap_session_link_of(want, p);
        if (l != NULL && (l->said == SAID_DONT_HAVE || l->said == SAID_SILENCE))
            continue;
        bool has = l != NULL && l->said == SAID_HAVE;
        if (!peer_has_room(s, p)) {
            *ret_busy = true;
            continue;
        }
        if (better(p, has, best, best_has)) {
            best = p;
            best_has = has;
        }
    }
    return best;
}

/* Asks others whether they have it. */
static void ask_broadly(struct bitswap_session *s, struct want *want)
{
    size_t asked = 0;
    size_t position = 0;
    want->broad = true;
    for (struct bitswap_session_peer *p = table_next(&s->peers, &position, NULL); p != NULL && asked < SESSION_ASK_MAX;
         p = table_next(&s->peers, &position, NULL)) {
        if (!bitswap_has_presences(p->version) || bitswap_session_link_of(want, p) != NULL)
            continue;
        struct link *l = bitswap_session_link_make(s, want, p);
        if (l == NULL)
            return;
        bitswap_session_todo_set(s, l, TODO_HAVE);
        asked++;
    }
}

/* Gives the want-block to the best peer, or leaves the want waiting. */
static void assign(struct bitswap_session *s, struct want *want, uint64_t now_ns)
{
    bool busy = false;
    if (want->asked != NULL || want->over)
        return;
    struct bitswap_session_peer *peer = choose(s, want, &busy);
    struct link *l = peer == NULL ? NULL : bitswap_session_link_make(s, want, peer);
    if (l == NULL) {
        bitswap_session_wait_push(s, want);
        if (!busy && !want->broad)
            ask_broadly(s, want);
        return;
    }
    want->asked = l;
    peer->asked++;
    if (peer->asked == 1)
        peer->progress_ns = now_ns;
    l->sent_ns = now_ns;
    l->again = l->sent == SENT_BLOCK;
    bitswap_session_todo_set(s, l, l->again ? TODO_CANCEL : TODO_BLOCK);
    if (!want->broad && peer->delivered < SESSION_GOOD_BLOCKS)
        ask_broadly(s, want);
}

/* Room came free or a candidate appeared: those who wait try again, once each. */
static void assign_waiting(struct bitswap_session *s, uint64_t now_ns)
{
    struct want *list = s->waiting;
    s->waiting = NULL;
    s->waiting_last = &s->waiting;
    while (list != NULL) {
        struct want *want = list;
        list = want->next_waiting;
        want->waiting = false;
        assign(s, want, now_ns);
    }
}

/* The peer that was asked will not deliver. */
static void move_on(struct bitswap_session *s, struct want *want, uint64_t now_ns)
{
    if (want->asked != NULL) {
        want->asked->peer->asked--;
        want->asked = NULL;
    }
    if (!want->broad)
        ask_broadly(s, want);
    assign(s, want, now_ns);
}

struct bitswap_session *bitswap_session_new(struct account *account)
{
    struct bitswap_session *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->account = account;
    s->block_guess = SESSION_BLOCK_GUESS_BYTES;
    s->waiting_last = &s->waiting;
    s->dirty_last = &s->dirty;
    table_init(&s->wants, SESSION_WANTS_MAX, account);
    table_init(&s->peers, SESSION_PEERS_MAX, account);
    return s;
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
        bool cancel = l->sent != SENT_NOTHING && l->peer != deliverer && l->peer != NULL;
        if (want->asked == l) {
            want->asked = NULL;
            if (l->peer != NULL)
                l->peer->asked--;
        }
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
    enum err err = table_put(&s->peers, peer_id_span(&peer->id), peer, NULL);
    if (err != ERR_OK) {
        bitswap_session_give(s, peer, sizeof(*peer));
        return err;
    }
    assign_waiting(s, now_ns);
    *ret_peer = peer;
    size_t position = 0;
    for (struct want *w = table_next(&s->wants, &position, NULL); w != NULL; w = table_next(&s->wants, &position, NULL))
        if (w->broad && bitswap_has_presences(version) && bitswap_session_link_of(w, peer) == NULL)
            w->broad = false; /* this one is to be asked at the next doubt */
    return ERR_OK;
}

void bitswap_session_peer_down(struct bitswap_session *s, struct bitswap_session_peer *peer, uint64_t now_ns)
{
    (void)table_remove(&s->peers, peer_id_span(&peer->id));
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
    assign_waiting(s, now_ns);
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
        if (l->said != SAID_DONT_HAVE || block)
            bitswap_session_todo_set(s, l, block ? TODO_BLOCK : TODO_HAVE);
    }
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
    assign(s, want, now_ns);
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
    if (l == NULL)
        return;
    bool asked = want->asked == l;
    l->said = have ? SAID_HAVE : SAID_DONT_HAVE;
    if (asked && !have) {
        l->sent = SENT_HAVE; /* it has answered: asking again later is no repetition */
        move_on(s, want, now_ns);
    } else if (have && want->asked == NULL) {
        bitswap_session_wait_remove(s, want);
        assign(s, want, now_ns);
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
        peer->delivered++;
        peer->progress_ns = now_ns;
    }
    want_end(s, want, peer);
    assign_waiting(s, now_ns);
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
    bitswap_session_wait_remove(s, want);
    assign(s, want, now_ns);
}

void bitswap_session_tick(struct bitswap_session *s, uint64_t now_ns)
{
    size_t position = 0;
    for (struct want *w = table_next(&s->wants, &position, NULL); w != NULL;
         w = table_next(&s->wants, &position, NULL)) {
        struct link *l = w->asked;
        if (l != NULL && now_ns >= MAX(l->sent_ns, l->peer->progress_ns) + SESSION_SILENCE_MS * MS_NS) {
            l->said = SAID_SILENCE;
            move_on(s, w, now_ns);
        } else if (l == NULL && now_ns >= w->retry_ns) {
            retry(s, w, now_ns);
        }
    }
}

bool bitswap_session_has_message(const struct bitswap_session_peer *peer)
{
    return peer->cancels.first != NULL || peer->wants.first != NULL;
}

static bool fill_cancels(struct bitswap_session *s, struct bitswap_session_peer *peer, struct bitswap_writer *w)
{
    while (peer->cancels.first != NULL) {
        struct link *l = peer->cancels.first;
        struct bitswap_want entry = {.cid = l->want->cid, .cancel = true};
        if (bitswap_writer_want(w, &entry) != ERR_OK)
            return true;
        bitswap_session_todo_unlink(l);
        l->sent = SENT_NOTHING;
        if (l->again && !l->want->over) {
            bitswap_session_todo_set(s, l, TODO_BLOCK);
            continue;
        }
        struct want *want = l->want;
        bitswap_session_link_free(s, l);
        bitswap_session_want_drop_if_over(s, want);
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
        l->sent_ns = now_ns;
        l->again = false;
    }
    return true;
}

bool bitswap_session_fill(struct bitswap_session *s, struct bitswap_session_peer *peer, struct bitswap_writer *w,
                          uint64_t now_ns)
{
    bool filled = false;
    if (peer->cancels.first != NULL)
        filled = fill_cancels(s, peer, w);
    else if (peer->wants.first != NULL)
        filled = fill_wants(peer, w, now_ns);
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

size_t bitswap_session_peer_count(const struct bitswap_session *s)
{
    return table_len(&s->peers);
}

const struct peer_id *bitswap_session_peer_id(const struct bitswap_session_peer *peer)
{
    return &peer->id;
}

bool bitswap_session_next_want(const struct bitswap_session *s, size_t *position, struct cid *ret_cid)
{
    const struct want *want = table_next(&s->wants, position, NULL);
    if (want == NULL)
        return false;
    *ret_cid = want->cid;
    return true;
}

void bitswap_session_peer_set_owner(struct bitswap_session_peer *peer, void *owner)
{
    peer->owner = owner;
}

void *bitswap_session_peer_owner(const struct bitswap_session_peer *peer)
{
    return peer->owner;
}
