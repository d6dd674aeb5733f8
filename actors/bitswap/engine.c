/* SPDX-License-Identifier: MIT */
#include "actors/bitswap/engine.h"

#include <stdlib.h>

#include "actors/bitswap/engine_internal.h"

enum { SUBJECT_ROW_BYTES = 192 }; /* of the table: an entry, its index, and what doubling leaves empty */

static struct engine_subject *subject_find(const struct engine *e, const struct cid *cid)
{
    uint8_t key[MULTIHASH_BYTES_MAX];
    return table_get(&e->subjects, span_of(key, multihash_encode(&cid->hash, key)));
}

static void lookup_push(struct engine *e, struct engine_subject *s)
{
    if (s->due)
        return;
    s->due = true;
    s->next_lookup = NULL;
    s->prev_lookup = e->lookups_last;
    *(e->lookups_last != NULL ? &e->lookups_last->next_lookup : &e->lookups) = s;
    e->lookups_last = s;
}

static void subject_look(struct engine *e, struct engine_subject *s)
{
    if (s->asked)
        s->again = true;
    else
        lookup_push(e, s);
}

static void lookup_remove(struct engine *e, struct engine_subject *s)
{
    if (!s->due)
        return;
    *(s->prev_lookup != NULL ? &s->prev_lookup->next_lookup : &e->lookups) = s->next_lookup;
    *(s->next_lookup != NULL ? &s->next_lookup->prev_lookup : &e->lookups_last) = s->prev_lookup;
    s->due = false;
}

/*
 * A subject and its row. The table itself is charged row by row and not to the account, because it doubles: near the end of the memory
 * a doubling would be refused long before the last want fits.
 */
static struct engine_subject *subject_new(struct engine *e)
{
    if (e->tables != NULL && !account_take(e->tables, SUBJECT_ROW_BYTES))
        return NULL;
    struct engine_subject *s = engine_take(e, sizeof(*s));
    if (s == NULL && e->tables != NULL)
        account_give(e->tables, SUBJECT_ROW_BYTES);
    return s;
}

static void subject_free(struct engine *e, struct engine_subject *s)
{
    engine_give(e, s, sizeof(*s));
    if (e->tables != NULL)
        account_give(e->tables, SUBJECT_ROW_BYTES);
}

static enum err subject_join(struct engine *e, struct ledger_want *want)
{
    struct engine_subject *s = subject_find(e, &want->cid);
    if (s == NULL) {
        uint8_t key[MULTIHASH_BYTES_MAX];
        s = subject_new(e);
        if (s == NULL)
            return ERR_NOMEM;
        s->cid = want->cid;
        enum err err = table_put(&e->subjects, span_of(key, multihash_encode(&want->cid.hash, key)), s, NULL);
        if (err != ERR_OK) {
            subject_free(e, s);
            return err;
        }
    }
    want->subject = s;
    want->next_same = s->wants;
    want->prev_same = NULL;
    if (s->wants != NULL)
        s->wants->prev_same = want;
    s->wants = want;
    return ERR_OK;
}

static void subject_leave(struct engine *e, struct ledger_want *want)
{
    struct engine_subject *s = want->subject;
    if (s == NULL)
        return;
    *(want->prev_same != NULL ? &want->prev_same->next_same : &s->wants) = want->next_same;
    if (want->next_same != NULL)
        want->next_same->prev_same = want->prev_same;
    want->subject = NULL;
    if (s->wants != NULL)
        return;
    uint8_t key[MULTIHASH_BYTES_MAX];
    lookup_remove(e, s);
    (void)table_remove(&e->subjects, span_of(key, multihash_encode(&s->cid.hash, key)));
    subject_free(e, s);
}

void engine_want_remove(struct engine *e, struct ledger_want *want)
{
    subject_leave(e, want);
    ledger_remove(&want->peer->ledger, want);
}

struct engine *engine_new(struct account *tables, struct account *send)
{
    struct engine *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return NULL;
    e->tables = tables;
    e->send = send;
    e->turns_last = &e->turns;
    e->dirty_last = &e->dirty;
    table_init(&e->peers, ENGINE_PEERS_MAX, tables);
    table_init(&e->subjects, ENGINE_SUBJECTS_MAX, NULL);
    return e;
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    size_t position = 0;
    for (struct engine_peer *p = table_next(&e->peers, &position, NULL); p != NULL;
         p = table_next(&e->peers, &position, NULL))
        engine_peer_down(e, p);
    table_release(&e->peers);
    table_release(&e->subjects);
    free(e);
}

enum err engine_peer_up(struct engine *e, const struct peer_id *id, struct engine_peer **ret_peer)
{
    struct engine_peer *peer = engine_take(e, sizeof(*peer));
    if (peer == NULL)
        return ERR_NOMEM;
    peer->id = *id;
    peer->presences_last = &peer->presences;
    peer->ready_last = &peer->ready;
    ledger_init(&peer->ledger, e->tables);
    enum err err = table_put(&e->peers, peer_id_span(&peer->id), peer, NULL);
    if (err != ERR_OK) {
        engine_give(e, peer, sizeof(*peer));
        return err;
    }
    *ret_peer = peer;
    return ERR_OK;
}

void engine_peer_down(struct engine *e, struct engine_peer *peer)
{
    (void)table_remove(&e->peers, peer_id_span(&peer->id));
    engine_turn_remove(e, peer);
    engine_dirty_remove(e, peer);
    for (const struct ledger_want *w = peer->ledger.lists[LEDGER_FETCHING].first; w != NULL; w = w->next)
        e->reading -= w->size;
    for (int state = 0; state < LEDGER_STATE_COUNT; state++)
        while (peer->ledger.lists[state].first != NULL)
            engine_want_remove(e, peer->ledger.lists[state].first);
    while (peer->presences != NULL)
        engine_presence_pop(e, peer);
    while (peer->ready != NULL)
        engine_ready_pop(e, peer);
    engine_charge_back(e, peer, peer->outstanding);
    ledger_release(&peer->ledger);
    engine_give(e, peer, sizeof(*peer));
}

void engine_want_look(struct engine *e, struct ledger_want *want)
{
    ledger_move(&want->peer->ledger, want, LEDGER_NEW);
    subject_look(e, want->subject);
}

static void refuse(struct engine *e, struct engine_peer *peer, const struct bitswap_want *want)
{
    e->stats.wants_refused++;
    if (want->send_dont_have)
        engine_presence_push(e, peer, &want->cid, false);
}

enum {
    WANTED_BY_WALK = 4096
}; /* wants of one block that are looked at to name the peers: one may want it under many CIDs */
enum { WANT_BYTES = 700, SHARE = 16, WANTS_LEAST = 16 }; /* what a want costs with its subject and table rows, about */

/*
 * How many wants a peer may have: all while half of the tables' memory is free, then what fits a share of the rest. So a crowd
 * never takes everything, and who comes later is served.
 */
static size_t wants_max(const struct engine *e)
{
    if (e->tables == NULL || account_free(e->tables) > e->tables->limit_bytes / 2)
        return LEDGER_WANTS_MAX;
    size_t share = (size_t)(account_free(e->tables) / SHARE / WANT_BYTES);
    return MIN(MAX(share, (size_t)WANTS_LEAST), (size_t)LEDGER_WANTS_MAX);
}

static void want_add(struct engine *e, struct engine_peer *peer, const struct bitswap_want *want, uint64_t message)
{
    struct ledger_want *victim = NULL;
    struct ledger_want *w = NULL;
    if (ledger_room(&peer->ledger, wants_max(e), want->priority, &victim) != ERR_OK) {
        refuse(e, peer, want);
        return;
    }
    if (victim != NULL) {
        e->stats.wants_refused++;
        engine_want_remove(e, victim);
    }
    if (ledger_add(&peer->ledger, want, &w) != ERR_OK) {
        refuse(e, peer, want);
        return;
    }
    w->peer = peer;
    w->message = message;
    if (subject_join(e, w) != ERR_OK) {
        ledger_remove(&peer->ledger, w);
        refuse(e, peer, want);
        return;
    }
    engine_want_look(e, w);
}

uint64_t engine_message_begin(struct engine_peer *peer)
{
    return ++peer->ledger.messages;
}

void engine_want(struct engine *e, struct engine_peer *peer, const struct bitswap_want *want, uint64_t message)
{
    struct ledger_want *known = ledger_find(&peer->ledger, &want->cid);
    if (want->cancel) {
        if (known != NULL && known->state != LEDGER_FETCHING)
            engine_want_remove(e, known);
        return;
    }
    if (known == NULL) {
        want_add(e, peer, want, message);
        return;
    }
    known->message = MAX(known->message, message);
    known->priority = want->priority;
    known->send_dont_have = want->send_dont_have;
    if (want->type == BITSWAP_WANT_BLOCK)
        known->type = BITSWAP_WANT_BLOCK;
    if (known->state == LEDGER_ABSENT)
        engine_want_look(e, known); /* asked again, answered again */
}

void engine_message_end(struct engine *e, struct engine_peer *peer, uint64_t message, bool full)
{
    for (int state = 0; full && state < LEDGER_STATE_COUNT; state++) {
        struct ledger_want *next = NULL;
        for (struct ledger_want *w = peer->ledger.lists[state].first; w != NULL; w = next) {
            next = w->next;
            if (w->message < message && w->state != LEDGER_FETCHING)
                engine_want_remove(e, w);
        }
    }
}

bool engine_next_lookup(struct engine *e, struct cid *ret_cid)
{
    struct engine_subject *s = e->lookups;
    if (s == NULL)
        return false;
    lookup_remove(e, s);
    s->asked = true;
    s->again = false;
    for (struct ledger_want *w = s->wants; w != NULL; w = w->next_same)
        if (w->state == LEDGER_NEW)
            ledger_move(&w->peer->ledger, w, LEDGER_LOOKING);
    *ret_cid = s->cid;
    return true;
}

void engine_answer_absent(struct engine *e, struct ledger_want *w)
{
    ledger_move(&w->peer->ledger, w, LEDGER_ABSENT);
    if (w->send_dont_have)
        engine_presence_push(e, w->peer, &w->cid, false);
}

void engine_lookup_again(struct engine *e, const struct cid *cid)
{
    struct engine_subject *s = subject_find(e, cid);
    if (s == NULL || !s->asked)
        return;
    s->asked = false;
    lookup_push(e, s);
}

static void answer_present(struct engine *e, struct ledger_want *w, size_t size)
{
    struct engine_peer *peer = w->peer;
    if (w->type == BITSWAP_WANT_HAVE && size > ENGINE_BLOCK_FOR_HAVE_MAX) {
        engine_presence_push(e, peer, &w->cid, true);
        engine_want_remove(e, w);
        return;
    }
    if (e->send != NULL && 2 * size > e->send->limit_bytes) { /* engine and storage will never have room for it */
        e->stats.wants_refused++;
        engine_answer_absent(e, w);
        return;
    }
    w->size = size;
    ledger_move(&peer->ledger, w, LEDGER_QUEUED);
    engine_turn_push(e, peer);
}

void engine_looked_up(struct engine *e, const struct cid *cid, uint64_t size_plus_1)
{
    struct engine_subject *s = subject_find(e, cid);
    struct ledger_want *next = NULL;
    if (s == NULL || !s->asked)
        return;
    s->asked = false;
    if (s->again)
        lookup_push(e, s);
    for (struct ledger_want *w = s->wants; w != NULL; w = next) {
        next = w->next_same; /* removing the last want frees s */
        bool waits =
            w->state == LEDGER_LOOKING || (size_plus_1 > 0 && (w->state == LEDGER_NEW || w->state == LEDGER_ABSENT));
        if (!waits)
            continue;
        if (size_plus_1 == 0)
            engine_answer_absent(e, w);
        else
            answer_present(e, w, (size_t)(size_plus_1 - 1));
    }
}

void engine_stored(struct engine *e, const struct cid *cid)
{
    struct engine_subject *s = subject_find(e, cid);
    if (s != NULL)
        subject_look(e, s);
}

void engine_look_at_all(struct engine *e)
{
    size_t position = 0;
    struct engine_subject *s;
    while ((s = table_next(&e->subjects, &position, NULL)) != NULL)
        subject_look(e, s);
}

void engine_peer_set_owner(struct engine_peer *peer, void *owner)
{
    peer->owner = owner;
}

void *engine_peer_owner(const struct engine_peer *peer)
{
    return peer->owner;
}

bool engine_next_want(const struct engine_peer *peer, size_t *position, struct cid *ret_cid)
{
    const struct ledger_want *w = table_next(&peer->ledger.wants, position, NULL);
    if (w == NULL)
        return false;
    *ret_cid = w->cid;
    return true;
}

size_t engine_want_count(const struct engine_peer *peer)
{
    return table_len(&peer->ledger.wants);
}

const struct engine_stats *engine_stats(const struct engine *e)
{
    return &e->stats;
}

static bool is_among(const struct peer_id *peers, size_t count, const struct peer_id *peer)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&peers[i], peer, sizeof(*peer)) == 0)
            return true;
    }
    return false;
}

size_t engine_wanted_by(const struct engine *e, const struct cid *cid, struct peer_id *ret_peers, size_t max,
                        bool *ret_more)
{
    const struct engine_subject *s = subject_find(e, cid);
    const struct ledger_want *w = s == NULL ? NULL : s->wants;
    size_t count = 0;
    for (size_t seen = 0; w != NULL && seen < WANTED_BY_WALK; seen++, w = w->next_same) {
        if (is_among(ret_peers, count, &w->peer->id))
            continue;
        if (count == max)
            break;
        ret_peers[count++] = w->peer->id;
    }
    *ret_more = w != NULL;
    return count;
}

int32_t engine_most_wanted(const struct engine *e, const struct cid *cid, struct peer_id *ret_peer)
{
    const struct engine_subject *s = subject_find(e, cid);
    const struct ledger_want *w = s == NULL ? NULL : s->wants;
    int32_t most = 0;
    for (size_t seen = 0; w != NULL && seen < WANTED_BY_WALK; seen++, w = w->next_same) {
        if (w->priority <= most)
            continue;
        most = w->priority;
        *ret_peer = w->peer->id;
    }
    return most;
}
