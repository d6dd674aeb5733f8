/* SPDX-License-Identifier: MIT */
#include "actors/bitswap/ledger.h"

#include <assert.h>
#include <stdlib.h>

void ledger_init(struct ledger *l, struct account *account)
{
    *l = (struct ledger){.account = account};
    table_init(&l->wants, LEDGER_WANTS_MAX, account);
}

void ledger_release(struct ledger *l)
{
    assert(table_len(&l->wants) == 0);
    table_release(&l->wants);
}

struct ledger_want *ledger_find(const struct ledger *l, const struct cid *cid)
{
    uint8_t key[CID_BYTES_MAX];
    return table_get(&l->wants, span_of(key, cid_encode(cid, key)));
}

static void list_push(struct ledger_list *list, struct ledger_want *want)
{
    want->next = NULL;
    want->prev = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = want;
    list->last = want;
    list->count++;
}

static void list_take(struct ledger_list *list, struct ledger_want *want)
{
    *(want->prev != NULL ? &want->prev->next : &list->first) = want->next;
    *(want->next != NULL ? &want->next->prev : &list->last) = want->prev;
    list->count--;
}

enum err ledger_room(const struct ledger *l, size_t wants_max, int32_t priority, struct ledger_want **ret_victim)
{
    static const enum ledger_state order[] = {LEDGER_NEW, LEDGER_LOOKING};
    *ret_victim = NULL;
    if (table_len(&l->wants) < wants_max)
        return ERR_OK;
    *ret_victim = l->lists[LEDGER_ABSENT].first;
    for (size_t i = 0; *ret_victim == NULL && i < ARRAY_LEN(order); i++) {
        struct ledger_want *oldest = l->lists[order[i]].first;
        if (oldest != NULL && oldest->priority <= priority)
            *ret_victim = oldest;
    }
    return *ret_victim == NULL ? ERR_BUSY : ERR_OK;
}

enum err ledger_add(struct ledger *l, const struct bitswap_want *want, struct ledger_want **ret_want)
{
    uint8_t key[CID_BYTES_MAX];
    struct ledger_want *w = NULL;
    if (l->account != NULL && !account_take(l->account, sizeof(*w)))
        return ERR_NOMEM;
    w = malloc(sizeof(*w));
    enum err err = w == NULL ? ERR_NOMEM : table_put(&l->wants, span_of(key, cid_encode(&want->cid, key)), w, NULL);
    if (err != ERR_OK) {
        free(w);
        if (l->account != NULL)
            account_give(l->account, sizeof(*w));
        return err;
    }
    *w = (struct ledger_want){.cid = want->cid,
                              .priority = want->priority,
                              .type = want->type,
                              .send_dont_have = want->send_dont_have,
                              .state = LEDGER_NEW};
    list_push(&l->lists[LEDGER_NEW], w);
    *ret_want = w;
    return ERR_OK;
}

void ledger_move(struct ledger *l, struct ledger_want *want, enum ledger_state state)
{
    list_take(&l->lists[want->state], want);
    want->state = state;
    list_push(&l->lists[state], want);
}

void ledger_remove(struct ledger *l, struct ledger_want *want)
{
    uint8_t key[CID_BYTES_MAX];
    list_take(&l->lists[want->state], want);
    (void)table_remove(&l->wants, span_of(key, cid_encode(&want->cid, key)));
    free(want);
    if (l->account != NULL)
        account_give(l->account, sizeof(*want));
}
