/* SPDX-License-Identifier: MIT */
/*
 * Compaction: which segment is emptied next, and when its next step is due.
 *
 *      IDLE --a segment is dead enough--> READ --> READING --> WRITE --> WRITING --> MOVE --+
 *       ^                                  ^  records, verified   the live ones, synced     | rows repointed, one transaction
 *       |                                  +------------------------------------------------+
 *       +-- FORGETTING <-- DROPPING <-- DROP <-- nothing is live any more: unlinked, the folder synced, then its row goes
 *
 * The segment that is appended to is sealed first (SEAL, SEALING) when it is as dead.
 *
 * Live records are appended to the current segment by the same writer as everything else, so a crash at any point leaves what recovery
 * knows: a record in the tail whose block has a row elsewhere is garbage. The segment goes only when no row names it. What it takes while it
 * runs is at most one segment more than there was; it may go over StorageMax by that, because it is how a full store becomes smaller.
 *
 * Half dead is the threshold: then a byte written gives a byte back, and a store settles at two thirds of live bytes or more. Near
 * StorageMax, or on a full disk, an eighth is enough. Rejected: segments of compaction's own, which need a second writer and recovery.
 *
 * Pure; one thread.
 */
#ifndef HEARTH_STORAGE_COMPACTOR_H
#define HEARTH_STORAGE_COMPACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    COMPACT_PAGE_RECORDS = 256, /* a step reads so many records at most … */
    COMPACT_PAGE_BYTES = 2 * 1024 * 1024,
    COMPACT_SEAL_BYTES = 1024 * 1024, /* an open segment is left alone until it has so many */
    COMPACT_CANDIDATES = 8,
    COMPACT_STUCK_MAX = 8
};

#define COMPACT_RATE        (UINT64_C(32) * 1024 * 1024) /* bytes a second while there is room */
#define COMPACT_RETRY_NS    (UINT64_C(60) * 1000000000)  /* after a step failed */
#define COMPACT_PATIENCE_NS (UINT64_C(500) * 1000000)    /* a step waits so long for the store to be idle */
#define COMPACT_STUCK_NS                                                                                               \
    (UINT64_C(3600) * UINT64_C(1000000000)) /* then a segment that could not be emptied is tried again */

enum compact_phase {
    COMPACT_IDLE,
    COMPACT_READ,
    COMPACT_READING,
    COMPACT_WRITE,
    COMPACT_WRITING,
    COMPACT_MOVE,
    COMPACT_SEAL,
    COMPACT_SEALING,
    COMPACT_DROP,
    COMPACT_DROPPING,
    COMPACT_FORGETTING /* until its row is gone */
};

struct segment_use {
    uint64_t segment;
    uint64_t bytes; /* of records */
    uint64_t live;  /* of these, those that rows name */
};

struct compactor {
    enum compact_phase phase;
    struct segment_use victim;
    uint64_t offset; /* up to here it is emptied */
    bool ended;      /* nothing lies behind */
    uint64_t due_ns; /* of the next step, or of the next look while idle */
    struct {
        uint64_t segment;
        uint64_t until_ns;
    } stuck[COMPACT_STUCK_MAX];
    size_t stuck_next;
    uint64_t freed_bytes; /* in this life */
};

/* Rows were removed or a segment was sealed: there may be something to do. */
void compactor_look(struct compactor *c, uint64_t now_ns);

/* Whether a step, or a look while idle, is due. tight: there is no time to lose. */
bool compactor_is_due(const struct compactor *c, uint64_t now_ns, bool busy, bool tight);

/* Whether a segment is being emptied, or it is about to look for one. */
bool compactor_is_at_work(const struct compactor *compactor, uint64_t now_ns);

/* Takes the deadest of the candidates, sorted so, if it is dead enough. Without one it sleeps until compactor_look. */
bool compactor_choose(struct compactor *c, const struct segment_use *candidates, size_t count, uint64_t now_ns,
                      bool tight);

/* The segment that is appended to: true when it is to be sealed, so that it can be emptied too. */
bool compactor_choose_open(struct compactor *c, const struct segment_use *open, uint64_t now_ns, bool tight);

/* So many bytes were read. */
void compactor_paid(struct compactor *c, uint64_t bytes, uint64_t now_ns);

/* A step failed for want of room or by the disk's fault: all begins anew later. */
void compactor_failed(struct compactor *c, uint64_t now_ns);

/* Gives the victim up for a while. */
void compactor_stuck(struct compactor *c, uint64_t now_ns);

/* The victim and its row are gone. */
void compactor_dropped(struct compactor *c, uint64_t now_ns);

/* When it wants to be asked again, monotonic; UINT64_MAX: a job of it runs. */
uint64_t compactor_due(const struct compactor *c);

#endif
