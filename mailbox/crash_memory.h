/* SPDX-License-Identifier: MIT */
/*
 * The memory that the nanny, root and the actors' processes have in common about crashes.
 *
 *      page    (crash_page.h)       what each is doing         written by all of them, believed by nobody
 *      notes   { version, history } what was concluded so far  written by the nanny between two lives, on ipc by root during one;
 *                                                              other processes can only read it
 *
 * Two memfds, sealed against change of their size. A fork has the same mappings; a process that is exec'd joins by the numbers of the
 * descriptors it inherited. The kernel refuses any other process a mapping of the notes that it could write to (F_SEAL_FUTURE_WRITE); a
 * daemon whose actors are threads keeps its own from being written by accident (crash_memory_guard).
 *
 * version is odd while the history is written. Whoever reads takes a copy, and keeps the one it has while a writer is at work or has died at it.
 *
 * One thread publishes at a time; reading is for any process.
 */
#ifndef HEARTH_MAILBOX_CRASH_MEMORY_H
#define HEARTH_MAILBOX_CRASH_MEMORY_H

#include "base/err.h"
#include "mailbox/crash_history.h"

struct crash_notes {
    _Atomic uint64_t version; /* 0: nothing was concluded yet */
    struct crash_history history;
};

struct crash_memory {
    struct crash_page *page;
    struct crash_notes *notes;
    int page_fd;
    int notes_fd;
};

/* Both empty. */
enum err crash_memory_make(struct crash_memory *ret_memory) MUST_CHECK;
/* Takes the two descriptors and closes them, also on an error; the notes can only be read. ERR_MISMATCH: they are something else. */
enum err crash_memory_join(int page_fd, int notes_fd, struct crash_memory *ret_memory) MUST_CHECK;
/* One that is all zero is ignored. */
void crash_memory_close(struct crash_memory *memory);

/* May this process write its own mapping of the notes? It may after crash_memory_make. */
void crash_memory_guard(const struct crash_memory *memory, bool may_write);

/* What all shall know from now on. */
void crash_memory_publish(const struct crash_memory *memory, const struct crash_history *history);

/* Of what was published last. */
static inline uint64_t crash_memory_version(const struct crash_memory *memory)
{
    return atomic_load_explicit(&memory->notes->version, memory_order_relaxed);
}

/*
 * Copies the history when its version is not *version, and sets that; what is copied is bounded (crash_history_bound). False: there is nothing
 * new, or it is being written just now: to and *version are as before.
 */
bool crash_memory_read(const struct crash_memory *memory, uint64_t *version, struct crash_history *to);

#endif
