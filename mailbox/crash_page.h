/* SPDX-License-Identifier: MIT */
/*
 * The crash page: what a life leaves to whoever looks after it, in memory that both have (crash_memory.h), so that it outlives whatever ends the
 * life, SIGKILL too. The nanny looks after the daemon; on ipc root looks after the process of each actor as well.
 *
 *      0     nanny, phase, alive (watchdog), stuck, stored
 *      ...   fatals[64], one a process, written by its signal handler: signal, address, thread, return addresses as text. A process that
 *            is one actor's has that actor's, any other the first, which is root's: so several may crash at once
 *      ...   slots[64], one an actor, each written by the actor's own thread only:
 *            name, epoch, heartbeat, since when it turns, what it does, the first bytes of the message it handles, whose bytes they are
 *
 * Keeping it must cost next to nothing, since it is kept for each message: so a slot has the first CRASH_FIRST_BYTES of a message and its
 * length, not its digest. Who was seen in a crash is looked for in the next life: only a message that begins and is as long as a suspect is hashed
 * there before it is handled, and what is hashed stands in the slot (crash_history.h).
 *
 * A part is read only when who wrote it is dead. A process that has gone wild, or was taken over, may have written anything to all of it, and may
 * do so while it is read: each index, length and text is copied before it is looked at and bounded by who reads it, nothing in it is an address
 * that is followed, and that somebody died is not learnt from it.
 */
#ifndef HEARTH_MAILBOX_CRASH_PAGE_H
#define HEARTH_MAILBOX_CRASH_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "base/buf.h"

enum {
    CRASH_SLOTS_MAX = 64, /* RUNTIME_ACTORS_MAX and root */
    CRASH_NAME_BYTES = 32,
    CRASH_FIRST_BYTES = 96,
    CRASH_DIGEST_BYTES = 32,
    CRASH_WHO_BYTES = 72,
    CRASH_FRAMES_MAX = 32,
    CRASH_TRACE_BYTES = 1024,
    CRASH_THREAD_BYTES = 16,
};

/* What an actor does, beside the kind of a message (16 bits): these and the kind of the info, record or step. 0: nothing. */
enum { CRASH_DOES_INFO = 0x10000, CRASH_DOES_CONTROL = 0x20000, CRASH_DOES_STEP = 0x30000 };
enum crash_step { CRASH_STEP_INIT = 1, CRASH_STEP_TERMINATE };

/* Whose bytes are handled. */
enum crash_who {
    CRASH_WHO_NOBODY,
    CRASH_WHO_PEER /* binary peer id */,
    CRASH_WHO_ADDR /* IP in mapped form, 16 bytes */
};

struct crash_slot {
    char name[CRASH_NAME_BYTES];
    _Atomic uint64_t heartbeat_ns;  /* monotonic */
    _Atomic uint64_t turn_since_ns; /* 0: it waits */
    _Atomic uint32_t epoch;
    _Atomic uint32_t does; /* release: what follows is of this message */
    uint32_t length;       /* of the message: its tail, or its body when it has none */
    uint16_t first_len;
    uint8_t who_len;
    uint8_t who_kind; /* enum crash_who */
    bool has_digest;
    uint8_t first[CRASH_FIRST_BYTES];
    uint8_t digest[CRASH_DIGEST_BYTES]; /* SHA-256 of kind (2 bytes, little-endian) and the message */
    uint8_t who[CRASH_WHO_BYTES];
} __attribute__((aligned(64)));

struct crash_fatal {
    _Atomic uint32_t written; /* 1: all but the return addresses, 2: those too */
    int32_t signal;
    uint32_t slot;    /* of the thread's actor, + 1; 0: none */
    uint64_t address; /* of the fault */
    char thread[CRASH_THREAD_BYTES];
    char backtrace[CRASH_TRACE_BYTES]; /* "module+0x1234 ...": only the process itself knows where its modules are */
} __attribute__((aligned(64)));

/* How far a life is. */
enum crash_phase { CRASH_PHASE_STARTING, CRASH_PHASE_READY, CRASH_PHASE_STOPPING };

struct crash_page {
    int32_t nanny;  /* process id; 0: none */
    bool processes; /* each actor has its own, and its end is root's business */
    _Atomic uint32_t phase;
    _Atomic uint32_t stuck;     /* the slot of the actor that was given up as stuck, + 1; 0: none */
    _Atomic uint64_t alive_ns;  /* when the watchdog last looked */
    _Atomic uint64_t stored_id; /* the crash records up to this one are in state.db */
    struct crash_fatal fatals[CRASH_SLOTS_MAX];
    struct crash_slot slots[CRASH_SLOTS_MAX];
};

/* For the next life of the daemon. nanny: 0 when there is none. */
void crash_page_clear(struct crash_page *page, int32_t nanny);
/* For the next process of this actor: what the last one left is gone, but for the name. */
void crash_page_forget(struct crash_page *page, uint32_t slot);

/* Tells the nanny how far this life is, and wakes it. NULL is ignored. */
void crash_page_tell(struct crash_page *page, enum crash_phase phase);

/* ---- the actor's own thread; slot may be NULL: nothing is kept ---- */

static inline void crash_slot_does(struct crash_slot *slot, uint32_t does)
{
    if (slot == NULL)
        return;
    atomic_store_explicit(&slot->does, 0, memory_order_relaxed);
    slot->length = 0;
    slot->first_len = 0;
    slot->who_len = 0;
    slot->who_kind = CRASH_WHO_NOBODY;
    slot->has_digest = false;
    atomic_store_explicit(&slot->does, does, memory_order_release);
}

/* A message of this kind is about to be handled. */
static inline void crash_slot_message(struct crash_slot *slot, uint16_t kind, struct span bytes)
{
    if (slot == NULL)
        return;
    atomic_store_explicit(&slot->does, 0, memory_order_relaxed);
    slot->length = (uint32_t)MIN(bytes.len, (size_t)UINT32_MAX);
    slot->first_len = (uint16_t)MIN(bytes.len, (size_t)CRASH_FIRST_BYTES);
    slot->who_len = 0;
    slot->who_kind = CRASH_WHO_NOBODY;
    slot->has_digest = false;
    if (slot->first_len > 0)
        memcpy(slot->first, bytes.data, slot->first_len);
    atomic_store_explicit(&slot->does, kind, memory_order_release);
}

static inline void crash_slot_done(struct crash_slot *slot)
{
    if (slot != NULL)
        atomic_store_explicit(&slot->does, 0, memory_order_relaxed);
}

static inline void crash_slot_who(struct crash_slot *slot, enum crash_who kind, struct span who)
{
    if (slot == NULL || who.len == 0 || who.len > CRASH_WHO_BYTES)
        return;
    slot->who_kind = CRASH_WHO_NOBODY;
    memcpy(slot->who, who.data, who.len);
    slot->who_len = (uint8_t)who.len;
    slot->who_kind = (uint8_t)kind;
}

#endif
