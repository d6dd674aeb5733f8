/* SPDX-License-Identifier: MIT */
#include "mailbox/hops.h"

/* One whose writer is so far behind was left by a process that died of its writing. */
enum { LEFT_RINGS = 64 };

_Static_assert(sizeof(struct hop_slot) == HOP_BYTES, "a slot is a cache line");

static void put(struct hop_slot *slot, int word, uint64_t value)
{
    atomic_store_explicit(&slot->words[word], value, memory_order_relaxed);
}

void hops_add(struct hops *hops, const struct hop_event *event)
{
    uint64_t number = atomic_fetch_add_explicit(&hops->next, 1, memory_order_relaxed);
    struct hop_slot *slot = &hops->slots[number % HOPS_MAX];
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    uint64_t done = (number + 1) * 2;
    /* Whoever is a whole ring late, or meets one who is, leaves the slot to the other. */
    bool is_written = state % 2 != 0 && done - state < UINT64_C(2) * LEFT_RINGS * HOPS_MAX;
    if (is_written || state > done ||
        !atomic_compare_exchange_strong_explicit(&slot->state, &state, done | 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return;
    atomic_thread_fence(memory_order_release); /* a reader that sees a new word sees the odd state, too */
    put(slot, 0,
        event->hop.trace | (uint64_t)event->kind << 32 | (uint64_t)event->type << 48 | (uint64_t)event->err << 56);
    put(slot, 1, event->hop.from | (uint64_t)event->to << 16 | (uint64_t)event->hop.epoch << 32);
    put(slot, 2, event->hop.correlation);
    put(slot, 3, event->at_ns);
    put(slot, 4, event->until_ns);
    put(slot, 5, event->cause.correlation);
    put(slot, 6, event->cause.from | (uint64_t)event->cause.epoch << 32);
    atomic_store_explicit(&slot->state, done, memory_order_release);
}

static bool take(const struct hop_slot *slot, uint64_t number, uint64_t words[HOP_WORDS])
{
    if (atomic_load_explicit(&slot->state, memory_order_acquire) != (number + 1) * 2)
        return false;
    for (size_t i = 0; i < HOP_WORDS; i++)
        words[i] = atomic_load_explicit(&slot->words[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&slot->state, memory_order_relaxed) == (number + 1) * 2;
}

static struct hop_event event_of(const uint64_t words[HOP_WORDS])
{
    uint32_t trace = (uint32_t)words[0];
    return (struct hop_event){
        .type = (enum hop_event_type)(words[0] >> 48 & 0xff),
        .kind = (uint16_t)(words[0] >> 32),
        .err = (uint8_t)(words[0] >> 56),
        .hop = {.trace = trace,
                .from = (actor_id)words[1],
                .epoch = (uint32_t)(words[1] >> 32),
                .correlation = words[2]},
        .to = (actor_id)(words[1] >> 16),
        .at_ns = words[3],
        .until_ns = words[4],
        .cause = {.trace = trace,
                  .correlation = words[5],
                  .from = (actor_id)words[6],
                  .epoch = (uint32_t)(words[6] >> 32)},
    };
}

size_t hops_read(const struct hops *hops, uint32_t trace, struct hop_event *ret_events, size_t max)
{
    uint64_t next = atomic_load_explicit(&hops->next, memory_order_acquire);
    size_t count = 0;
    for (uint64_t number = next > HOPS_MAX ? next - HOPS_MAX : 0; number < next && count < max; number++) {
        uint64_t words[HOP_WORDS];
        if (take(&hops->slots[number % HOPS_MAX], number, words) && (uint32_t)words[0] == trace)
            ret_events[count++] = event_of(words);
    }
    return count;
}
