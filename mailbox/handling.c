/* SPDX-License-Identifier: MIT */
#include "mailbox/handling.h"

#include <stddef.h>

void handling_turn_over(struct handling *h, uint64_t now_ns)
{
    uint32_t next = 1 - handling_current(h);
    struct handling_window *w = &h->windows[next];
    for (size_t i = 0; i < HANDLING_BUCKETS; i++)
        atomic_store_explicit(&w->times[i], 0, memory_order_relaxed);
    atomic_store_explicit(&w->messages, 0, memory_order_relaxed);
    atomic_store_explicit(&w->since_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&h->current, next, memory_order_relaxed);
}

/* The middle of a bucket. */
static uint64_t time_of(size_t bucket)
{
    uint64_t octave = UINT64_C(1) << (HANDLING_FIRST_BIT + bucket / 4);
    return octave + octave / 4 * (bucket % 4) + octave / 8;
}

static uint64_t quantile(const uint64_t counts[HANDLING_BUCKETS], uint64_t total, uint64_t percent)
{
    uint64_t wanted = (total * percent + 99) / 100;
    uint64_t seen = 0;
    for (size_t i = 0; i < HANDLING_BUCKETS && total > 0; i++) {
        seen += counts[i];
        if (seen >= wanted)
            return time_of(i);
    }
    return 0;
}

void handling_read(const struct handling *h, uint64_t now_ns, struct handling_figures *ret_figures)
{
    uint64_t counts[HANDLING_BUCKETS] = {0};
    uint64_t total = 0;
    uint64_t messages = 0;
    uint64_t first_ns = now_ns;
    for (size_t k = 0; k < ARRAY_LEN(h->windows); k++) {
        const struct handling_window *w = &h->windows[k];
        uint64_t since = atomic_load_explicit(&w->since_ns, memory_order_relaxed);
        if (since == 0 || since > now_ns || now_ns - since >= 2 * HANDLING_WINDOW_S * SECOND_NS)
            continue; /* of an actor that has been at rest */
        first_ns = MIN(first_ns, since);
        messages += atomic_load_explicit(&w->messages, memory_order_relaxed);
        for (size_t i = 0; i < HANDLING_BUCKETS; i++) {
            uint32_t n = atomic_load_explicit(&w->times[i], memory_order_relaxed);
            counts[i] += n;
            total += n;
        }
    }
    uint64_t span_ns = MAX(now_ns - first_ns, SECOND_NS);
    *ret_figures = (struct handling_figures){
        .messages = atomic_load_explicit(&h->messages, memory_order_relaxed),
        .messages_per_s = (double)messages * (double)SECOND_NS / (double)span_ns,
        .p50_ns = quantile(counts, total, 50),
        .p99_ns = quantile(counts, total, 99),
    };
}
