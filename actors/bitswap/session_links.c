/* SPDX-License-Identifier: MIT */
#include "actors/bitswap/session_internal.h"

#include <stdlib.h>

void *bitswap_session_take(struct bitswap_session *s, size_t bytes)
{
    if (s->account != NULL && !account_take(s->account, bytes))
        return NULL;
    void *p = calloc(1, bytes);
    if (p == NULL && s->account != NULL)
        account_give(s->account, bytes);
    return p;
}

void bitswap_session_give(struct bitswap_session *s, void *p, size_t bytes)
{
    free(p);
    if (s->account != NULL)
        account_give(s->account, bytes);
}

static struct todo_list *list_of(struct link *l)
{
    return l->todo == TODO_CANCEL ? &l->peer->cancels : &l->peer->wants;
}

void bitswap_session_todo_unlink(struct link *l)
{
    if (l->todo == TODO_NOTHING)
        return;
    struct todo_list *list = list_of(l);
    *(l->prev_todo != NULL ? &l->prev_todo->next_todo : &list->first) = l->next_todo;
    *(l->next_todo != NULL ? &l->next_todo->prev_todo : &list->last) = l->prev_todo;
    l->next_todo = l->prev_todo = NULL;
    l->todo = TODO_NOTHING;
}

void bitswap_session_mark_dirty(struct bitswap_session *s, struct bitswap_session_peer *peer)
{
    if (peer->dirty)
        return;
    peer->dirty = true;
    peer->next_dirty = NULL;
    *s->dirty_last = peer;
    s->dirty_last = &peer->next_dirty;
}

void bitswap_session_todo_set(struct bitswap_session *s, struct link *l, enum link_todo todo)
{
    bitswap_session_todo_unlink(l);
    l->todo = todo;
    struct todo_list *list = list_of(l);
    l->prev_todo = list->last;
    *(list->last != NULL ? &list->last->next_todo : &list->first) = l;
    list->last = l;
    bitswap_session_mark_dirty(s, l->peer);
}

struct link *bitswap_session_link_of(const struct want *want, const struct bitswap_session_peer *peer)
{
    struct link *l = want->links;
    while (l != NULL && l->peer != peer)
        l = l->next_of_want;
    return l;
}

struct link *bitswap_session_link_make(struct bitswap_session *s, struct want *want, struct bitswap_session_peer *peer)
{
    struct link *l = bitswap_session_link_of(want, peer);
    if (l != NULL)
        return l;
    l = bitswap_session_take(s, sizeof(*l));
    if (l == NULL)
        return NULL;
    *l = (struct link){.want = want, .peer = peer, .next_of_want = want->links, .next_of_peer = peer->links};
    if (peer->links != NULL)
        peer->links->prev_of_peer = l;
    peer->links = l;
    want->links = l;
    return l;
}

void bitswap_session_want_drop_if_over(struct bitswap_session *s, struct want *want)
{
    if (want->over && want->links == NULL)
        bitswap_session_give(s, want, sizeof(*want));
}

void bitswap_session_link_free(struct bitswap_session *s, struct link *l)
{
    struct link **at = &l->want->links;
    bitswap_session_todo_unlink(l);
    while (*at != l)
        at = &(*at)->next_of_want;
    *at = l->next_of_want;
    *(l->prev_of_peer != NULL ? &l->prev_of_peer->next_of_peer : &l->peer->links) = l->next_of_peer;
    if (l->next_of_peer != NULL)
        l->next_of_peer->prev_of_peer = l->prev_of_peer;
    if (l->want->asked == l)
        bitswap_session_unask(s, l->want);
    bitswap_session_give(s, l, sizeof(*l));
}

void bitswap_session_wait_push(struct bitswap_session *s, struct want *want)
{
    if (want->waiting || want->over)
        return;
    want->waiting = true;
    want->next_waiting = NULL;
    *s->waiting_last = want;
    s->waiting_last = &want->next_waiting;
}

void bitswap_session_wait_remove(struct bitswap_session *s, struct want *want)
{
    struct want **at = &s->waiting;
    if (!want->waiting)
        return;
    while (*at != want)
        at = &(*at)->next_waiting;
    *at = want->next_waiting;
    if (s->waiting_last == &want->next_waiting)
        s->waiting_last = at;
    want->waiting = false;
}

void bitswap_session_dirty_remove(struct bitswap_session *s, struct bitswap_session_peer *peer)
{
    struct bitswap_session_peer **at = &s->dirty;
    if (!peer->dirty)
        return;
    while (*at != peer)
        at = &(*at)->next_dirty;
    *at = peer->next_dirty;
    if (s->dirty_last == &peer->next_dirty)
        s->dirty_last = at;
    peer->dirty = false;
}
