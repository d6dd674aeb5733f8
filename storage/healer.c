/* SPDX-License-Identifier: MIT */
#include "storage/healer.h"

#include "base/attr.h"

void healer_init(struct healer *h, uint64_t first_id)
{
    *h = (struct healer){.last_id = first_id};
}

size_t healer_running(const struct healer *h)
{
    size_t count = 0;
    for (size_t i = 0; i < HEAL_MAX; i++)
        count += h->running[i].id != 0;
    return count;
}

bool healer_wants(struct healer *h, uint64_t now_ns)
{
    for (size_t i = 0; i < HEAL_MAX; i++) {
        if (h->running[i].id != 0 && now_ns >= h->running[i].until_ns)
            h->running[i].id = 0;
    }
    if (now_ns < h->look_ns || healer_running(h) == HEAL_MAX)
        return false;
    h->look_ns = now_ns + HEAL_LOOK_NS;
    return true;
}

uint64_t healer_begin(struct healer *h, const struct block_key *key, uint64_t now_ns)
{
    struct heal *place = NULL;
    for (size_t i = 0; i < HEAL_MAX; i++) {
        if (h->running[i].id != 0 && block_key_equal(&h->running[i].key, key))
            return 0;
        if (h->running[i].id == 0)
            place = &h->running[i];
    }
    if (place == NULL)
        return 0;
    h->last_id = MAX(h->last_id + 1, 1);
    *place = (struct heal){.id = h->last_id, .key = *key, .until_ns = now_ns + HEAL_TIMEOUT_NS};
    return place->id;
}

void healer_look(struct healer *h)
{
    h->look_ns = 0;
}

uint64_t healer_due(const struct healer *h)
{
    uint64_t due = healer_running(h) == HEAL_MAX ? UINT64_MAX : h->look_ns;
    for (size_t i = 0; i < HEAL_MAX; i++) {
        if (h->running[i].id != 0)
            due = MIN(due, h->running[i].until_ns);
    }
    return due;
}

/* There is a place again: the next one goes at once. */
bool healer_end(struct healer *h, uint64_t id)
{
    for (size_t i = 0; i < HEAL_MAX && id != 0; i++) {
        if (h->running[i].id != id)
            continue;
        h->running[i].id = 0;
        h->look_ns = 0;
        return true;
    }
    return false;
}

uint64_t healer_backoff(uint64_t attempts)
{
    uint64_t backoff = HEAL_BACKOFF_NS << MIN(attempts, UINT64_C(16));
    return MIN(backoff, HEAL_BACKOFF_MAX_NS);
}
