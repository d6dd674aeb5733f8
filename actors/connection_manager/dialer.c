/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/dialer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "actors/connection_manager/dial_memory.h"
#include "actors/connection_manager/dial_pace.h"
#include "actors/connection_manager/reach.h"
#include "base/limits.h"

struct attempt {
    uint64_t id;
    size_t addr;
    uint64_t started_ns;
    bool connected;
    bool optimistic;
    bool abandoned; /* waits for its ABANDON order */
    enum connection_security first;
};

struct dial {
    uint64_t id;
    struct peer_id peer;
    struct endpoint addrs[DIALER_ADDRS_MAX];
    bool plain[DIALER_ADDRS_MAX]; /* this one was refused: no optimism any more */
    size_t addr_count;
    size_t next;  /* address not tried yet */
    size_t again; /* address to be tried once more, or SIZE_MAX */
    unsigned names;
    struct attempt attempts[DIALER_PER_DIAL_MAX];
    size_t attempt_count;
    uint64_t started_ns;
    uint64_t stagger_ns; /* when the next address is due */
    enum err err;
    bool over;
};

struct dialer {
    enum connection_security security[2];
    size_t security_count;
    struct account *account;
    struct dial *dials[DIALER_DIALS_MAX];
    size_t dial_count;
    size_t in_flight;
    size_t in_flight_max;
    struct dial_pace pace;
    uint64_t last_id;
    struct dial_memories memories;
};

static void add_addrs(struct dial *dial, const struct endpoint *addrs, size_t count)
{
    for (size_t i = 0; i < count && dial->addr_count < DIALER_ADDRS_MAX; i++) {
        bool twice = false;
        for (size_t k = 0; k < dial->addr_count && !twice; k++)
            twice = endpoint_equal(&dial->addrs[k], &addrs[i]);
        if (!twice && addrs[i].addr.port != 0)
            dial->addrs[dial->addr_count++] = addrs[i];
    }
    reach_sort(dial->addrs + dial->next, dial->addr_count - dial->next);
}

static void give(struct dialer *d, size_t bytes)
{
    if (d->account != NULL)
        account_give(d->account, bytes);
}

/* ---- life cycle ---- */

enum err dialer_new(const enum connection_security *security, size_t security_count, struct account *account,
                    struct dialer **ret_dialer)
{
    if (security_count == 0 || security_count > 2)
        return ERR_INVALID;
    struct dialer *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return ERR_NOMEM;
    memcpy(d->security, security, security_count * sizeof(*security));
    d->security_count = security_count;
    d->account = account;
    d->in_flight_max = DIALER_ATTEMPTS_MAX;
    dial_memories_init(&d->memories, account);
    *ret_dialer = d;
    return ERR_OK;
}

void dialer_pace(struct dialer *d, unsigned rate, unsigned burst, unsigned attempts_max, uint64_t now_ns)
{
    d->in_flight_max = MIN((size_t)attempts_max, (size_t)DIALER_ATTEMPTS_MAX);
    dial_pace_set(&d->pace, rate, burst, now_ns);
}

static void dial_free(struct dialer *d, size_t index)
{
    free(d->dials[index]);
    d->dial_count--;
    memmove(&d->dials[index], &d->dials[index + 1], (d->dial_count - index) * sizeof(d->dials[0]));
    give(d, sizeof(struct dial));
}

void dialer_free(struct dialer *d)
{
    if (d == NULL)
        return;
    while (d->dial_count > 0)
        dial_free(d, d->dial_count - 1);
    dial_memories_release(&d->memories);
    free(d);
}

static struct dial *find_dial(const struct dialer *d, uint64_t id)
{
    for (size_t i = 0; i < d->dial_count; i++)
        if (d->dials[i]->id == id)
            return d->dials[i];
    return NULL;
}

static struct dial *dial_to(const struct dialer *d, const struct peer_id *peer)
{
    for (size_t i = 0; i < d->dial_count && !peer_id_is_empty(peer); i++)
        if (!d->dials[i]->over && peer_id_equal(&d->dials[i]->peer, peer))
            return d->dials[i];
    return NULL;
}

static enum err dial_new(struct dialer *d, const struct peer_id *peer, uint64_t now_ns, struct dial **ret_dial)
{
    if (d->dial_count == DIALER_DIALS_MAX)
        return ERR_BUSY;
    if (d->account != NULL && !account_take(d->account, sizeof(struct dial)))
        return ERR_NOMEM;
    struct dial *dial = calloc(1, sizeof(*dial));
    if (dial == NULL) {
        give(d, sizeof(*dial));
        return ERR_NOMEM;
    }
    dial->id = ++d->last_id;
    dial->peer = *peer;
    dial->again = SIZE_MAX;
    dial->started_ns = now_ns;
    dial->stagger_ns = now_ns;
    dial->err = ERR_NOT_FOUND;
    d->dials[d->dial_count++] = dial;
    *ret_dial = dial;
    return ERR_OK;
}

enum err dialer_start(struct dialer *d, const struct peer_id *peer, const struct endpoint *addrs, size_t count,
                      unsigned names, bool forced, uint64_t now_ns, uint64_t *ret_dial)
{
    struct dial *dial = dial_to(d, peer);
    if (dial == NULL && count == 0 && names == 0)
        return ERR_NOT_FOUND;
    if (dial == NULL && !forced && (count > 0 || !peer_id_is_empty(peer))) {
        const struct dial_memory *m = dial_memory_find(&d->memories, peer, addrs);
        if (m != NULL && m->retry_ns > now_ns)
            return ERR_UNAVAILABLE;
    }
    if (dial == NULL) {
        enum err err = dial_new(d, peer, now_ns, &dial);
        if (err != ERR_OK)
            return err;
    }
    dial->names += names;
    add_addrs(dial, addrs, count);
    *ret_dial = dial->id;
    return ERR_OK;
}

void dialer_add(struct dialer *d, uint64_t id, const struct endpoint *addrs, size_t count)
{
    struct dial *dial = find_dial(d, id);
    if (dial == NULL)
        return;
    if (dial->names > 0)
        dial->names--;
    add_addrs(dial, addrs, count);
}

static void end_dial(struct dial *dial, enum err err)
{
    dial->over = true;
    dial->err = err;
    for (size_t i = 0; i < dial->attempt_count; i++)
        dial->attempts[i].abandoned = true;
}

void dialer_cancel(struct dialer *d, uint64_t id)
{
    struct dial *dial = find_dial(d, id);
    if (dial != NULL && !dial->over)
        end_dial(dial, ERR_CANCELLED);
}

/* ---- progress ---- */

static struct attempt *find_attempt(const struct dialer *d, uint64_t id, struct dial **ret_dial)
{
    for (size_t i = 0; i < d->dial_count; i++)
        for (size_t k = 0; k < d->dials[i]->attempt_count; k++)
            if (d->dials[i]->attempts[k].id == id && !d->dials[i]->attempts[k].abandoned) {
                *ret_dial = d->dials[i];
                return &d->dials[i]->attempts[k];
            }
    return NULL;
}

static void drop_attempt(struct dialer *d, struct dial *dial, struct attempt *a)
{
    *a = dial->attempts[--dial->attempt_count];
    d->in_flight--;
}

void dialer_attempt_connected(struct dialer *d, uint64_t attempt)
{
    struct dial *dial;
    struct attempt *a = find_attempt(d, attempt, &dial);
    if (a != NULL)
        a->connected = true;
}

void dialer_attempt_upgraded(struct dialer *d, uint64_t attempt, const struct peer_id *peer,
                             enum connection_security security)
{
    struct dial *dial;
    struct attempt *a = find_attempt(d, attempt, &dial);
    if (a == NULL)
        return;
    struct dial_memory *m = dial_memory_make(&d->memories, peer, &dial->addrs[a->addr]);
    if (m != NULL) {
        m->known = true;
        m->security = security;
        m->failures = 0;
        m->retry_ns = 0;
    }
    if (peer_id_is_empty(&dial->peer)) {
        dial_memory_forget(&d->memories, &dial->peer, &dial->addrs[0]);
        dial->peer = *peer;
    }
    drop_attempt(d, dial, a);
    end_dial(dial, ERR_OK);
}

/* Only a channel that was refused, or bytes that were not understood, speak against optimism. */
static bool blames_optimism(enum err err)
{
    return err == ERR_REFUSED || err == ERR_PROTOCOL || err == ERR_RESET || err == ERR_CLOSED;
}

void dialer_attempt_failed(struct dialer *d, uint64_t attempt, enum err err)
{
    struct dial *dial;
    struct attempt *a = find_attempt(d, attempt, &dial);
    if (a == NULL)
        return;
    if (a->connected && a->optimistic && blames_optimism(err) && dial->again == SIZE_MAX) {
        struct dial_memory *m = dial_memory_make(&d->memories, &dial->peer, &dial->addrs[a->addr]);
        uint8_t bit = (uint8_t)(1u << a->first);
        bool other_left = m != NULL && d->security_count == 2 && (m->refused & ~bit) == 0;
        if (m != NULL)
            m->refused |= bit;
        dial->plain[a->addr] = err != ERR_REFUSED || !other_left;
        dial->again = a->addr;
    }
    dial->err = err;
    dial->stagger_ns = 0; /* the next address need not wait any more */
    drop_attempt(d, dial, a);
}

/* ---- orders ---- */

static enum connection_security other(const struct dialer *d, enum connection_security s)
{
    return d->security_count == 2 && d->security[0] == s ? d->security[1] : d->security[0];
}

static void fill_order(struct dialer *d, struct dial *dial, size_t addr, struct dialer_order *order)
{
    const struct dial_memory *m = dial_memory_find(&d->memories, &dial->peer, &dial->addrs[addr]);
    enum connection_security first = d->security[0];
    bool offered = m != NULL && m->known && (m->security == d->security[0] || d->security_count == 2);
    if (offered)
        first = m->security;
    else if (m != NULL && (m->refused & (1u << first)) != 0)
        first = other(d, first);
    *order = (struct dialer_order){.kind = DIALER_CONNECT,
                                   .dial = dial->id,
                                   .attempt = ++d->last_id,
                                   .to = dial->addrs[addr],
                                   .peer = dial->peer,
                                   .security = {first, other(d, first)},
                                   .security_count = d->security_count};
    bool refused = m != NULL && (m->refused & (1u << first)) != 0;
    order->optimistic = !dial->plain[addr] && !refused;
}

static void take_attempt(struct dialer *d, struct dial *dial, uint64_t now_ns, struct dialer_order *order)
{
    size_t addr = dial->again;
    if (addr != SIZE_MAX)
        dial->again = SIZE_MAX;
    else
        addr = dial->next++;
    fill_order(d, dial, addr, order);
    dial->attempts[dial->attempt_count++] = (struct attempt){.id = order->attempt,
                                                             .addr = addr,
                                                             .started_ns = now_ns,
                                                             .optimistic = order->optimistic,
                                                             .first = order->security[0]};
    dial->stagger_ns = now_ns + DIALER_STAGGER_MS * MS_NS;
    dial_pace_take(&d->pace);
    d->in_flight++;
}

static uint64_t attempt_due(const struct dial *dial, const struct attempt *a)
{
    uint64_t all_ms = reach_is_near(&dial->addrs[a->addr].addr) ? DIALER_LOCAL_MS : DIALER_ATTEMPT_MS;
    return a->started_ns + (a->connected ? all_ms : MIN(all_ms, (uint64_t)DIALER_CONNECT_MS)) * MS_NS;
}

static void let_time_out(struct dial *dial, uint64_t now_ns)
{
    for (size_t i = 0; i < dial->attempt_count; i++) {
        struct attempt *a = &dial->attempts[i];
        if (a->abandoned || attempt_due(dial, a) > now_ns)
            continue;
        a->abandoned = true;
        dial->err = ERR_TIMEOUT;
        dial->stagger_ns = 0;
    }
    if (!dial->over && now_ns - dial->started_ns >= DIALER_DIAL_MS * MS_NS)
        end_dial(dial, ERR_TIMEOUT);
}

static bool has_address(const struct dial *dial)
{
    return dial->again != SIZE_MAX || dial->next < dial->addr_count;
}

static bool may_attempt(const struct dialer *d, const struct dial *dial, uint64_t now_ns)
{
    if (dial->over || !has_address(dial) || d->in_flight >= d->in_flight_max ||
        dial->attempt_count == DIALER_PER_DIAL_MAX)
        return false;
    return dial->again != SIZE_MAX || dial->attempt_count == 0 || dial->stagger_ns <= now_ns;
}

static bool take_abandoned(struct dialer *d, struct dial *dial, struct dialer_order *order)
{
    for (size_t i = 0; i < dial->attempt_count; i++) {
        if (!dial->attempts[i].abandoned)
            continue;
        *order = (struct dialer_order){.kind = DIALER_ABANDON,
                                       .dial = dial->id,
                                       .attempt = dial->attempts[i].id,
                                       .to = dial->addrs[dial->attempts[i].addr]};
        drop_attempt(d, dial, &dial->attempts[i]);
        return true;
    }
    return false;
}

bool dialer_was_the_peers(const struct dialer_order *done)
{
    return done->err != ERR_OK && done->err != ERR_CANCELLED && done->err != ERR_BUSY && done->err != ERR_NOMEM;
}

bool dialer_next(struct dialer *d, uint64_t now_ns, struct dialer_order *ret_order)
{
    for (size_t i = 0; i < d->dial_count; i++) {
        struct dial *dial = d->dials[i];
        let_time_out(dial, now_ns);
        if (take_abandoned(d, dial, ret_order))
            return true;
        if (may_attempt(d, dial, now_ns) && dial_pace_at(&d->pace, now_ns) <= now_ns) {
            take_attempt(d, dial, now_ns, ret_order);
            return true;
        }
        bool exhausted = !has_address(dial) && dial->names == 0 && dial->attempt_count == 0;
        if (!dial->over && !exhausted)
            continue;
        *ret_order = (struct dialer_order){.kind = DIALER_DONE, .dial = dial->id, .peer = dial->peer, .err = dial->err};
        if (dialer_was_the_peers(ret_order) && dial->addr_count > 0)
            dial_memory_failed(&d->memories, &dial->peer, &dial->addrs[0], now_ns);
        dial_free(d, i);
        return true;
    }
    return false;
}

uint64_t dialer_deadline(struct dialer *d, uint64_t now_ns)
{
    uint64_t at = UINT64_MAX;
    uint64_t paced = dial_pace_at(&d->pace, now_ns);
    for (size_t i = 0; i < d->dial_count; i++) {
        const struct dial *dial = d->dials[i];
        if (dial->over)
            return now_ns;
        if (may_attempt(d, dial, now_ns))
            at = MIN(at, paced);
        at = MIN(at, dial->started_ns + DIALER_DIAL_MS * MS_NS);
        if (has_address(dial) && dial->attempt_count < DIALER_PER_DIAL_MAX && d->in_flight < d->in_flight_max)
            at = MIN(at, MAX(dial->stagger_ns, paced));
        for (size_t k = 0; k < dial->attempt_count; k++)
            at = MIN(at, attempt_due(dial, &dial->attempts[k]));
    }
    return at;
}
