/* SPDX-License-Identifier: MIT */
/*
 * What a node has acknowledged: the model that its answers are compared with.
 *
 *      stored, pinned    NO ── asked for ──> UNSURE ── acknowledged ──> YES ── taken back, or a collection begins ──> UNSURE
 *
 * Only YES is a promise: such a block has to be there, such a pin has to be found. What was asked for and not acknowledged may be there or not.
 * A collection makes unsure what is not pinned, and what is stored while it runs and not yet pinned.
 *
 * An engine without I/O, clock or context; one thread.
 */
#ifndef HEARTH_SIM_HISTORY_H
#define HEARTH_SIM_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum surety { SURE_NO, UNSURE, SURE_YES };

struct holding {
    unsigned block;
    enum surety stored;
    enum surety pinned;
    bool wanted;      /* it is to be pinned by the end of the run */
    bool busy;        /* an errand changes it: no other one does */
    bool verified;    /* read in the liveness phase */
    bool found;       /* its pin was, in the liveness phase */
    uint64_t version; /* grows when a promise ends */
};

struct history {
    struct holding *list;
    size_t count;
    size_t cap;
    bool collecting;
    uint64_t collecting_until_ns; /* a collection whose end was not heard of */
    /* the node's name */
    uint64_t signs;     /* asked for, so many values */
    uint64_t signed_to; /* one more than the highest sequence acknowledged */
    uint64_t told_to;   /* one more than the highest that peers took */
};

void history_release(struct history *h);

/* The holding of a block, made if need be. Aborts without memory. */
struct holding *history_of(struct history *h, unsigned block);

/* A process of the node begins: no errand of the last one goes on. */
void history_restart(struct history *h);

void history_put_asked(struct history *h, unsigned block);
/* The block is durable; now_ns for collections whose end was not heard of. */
void history_put_done(struct history *h, unsigned block, uint64_t now_ns);
void history_pin_asked(struct history *h, unsigned block);
/* The pin is committed; leased: a lease was held since before the block was stored or seen, so that it is there. */
void history_pin_done(struct history *h, unsigned block, bool leased);
void history_unpin_asked(struct history *h, unsigned block);
void history_unpin_done(struct history *h, unsigned block);
void history_remove_asked(struct history *h, unsigned block);
void history_remove_done(struct history *h, unsigned block);
void history_collect_asked(struct history *h);
/* heard: it is over; else it may go on until then. */
void history_collect_done(struct history *h, bool heard, uint64_t until_ns);

#endif
