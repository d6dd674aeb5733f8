/* SPDX-License-Identifier: MIT */
/*
 * What happened in a simulation, compactly: one row for each message, timer, job, event of the network, fault, operation of a disk, errand.
 *
 *      actors, disks, faults ── journal_note ──> the last rows in memory, for whoever asks why it failed
 *                                          └───> a file, if one was opened: header, then rows and their texts
 *
 *      file     "hearth-journal 1\n" | u64 began_ns | row, text | row, text | ...
 *      row      struct journal_row as it is in memory (this machine's), text_len bytes behind it
 *
 * Rows are in the order of what happened. Rejected: text, ten times as large and slower to write than the simulation runs.
 * The journal is not part of the run: it draws nothing and changes nothing. One thread.
 */
#ifndef HEARTH_SIM_JOURNAL_H
#define HEARTH_SIM_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/err.h"

enum { JOURNAL_KEPT = 64 * 1024, JOURNAL_TEXT_MAX = 80 };

/* What a row tells; `kind`, a, b and the text mean what stands here. */
enum journal_type {
    JOURNAL_CALL,   /* an actor got it: kind of message; from */
    JOURNAL_CAST,   /* kind of message; from */
    JOURNAL_REPLY,  /* the end of a call: kind of message or 0; err; from; a: tag */
    JOURNAL_CANCEL, /* a caller gave up; from */
    JOURNAL_TIMER,  /* a: tag */
    JOURNAL_JOB,    /* a: tag; err */
    JOURNAL_NET,    /* kind: enum net_event_kind; err; a: tag */
    JOURNAL_UP,     /* from: who runs */
    JOURNAL_DOWN,   /* from: who ended */
    JOURNAL_ROOM,   /* from: in whose mailbox */
    JOURNAL_INIT,   /* the actor began a life; err */
    JOURNAL_END,    /* and ended it; kind: enum exit_reason */
    JOURNAL_LOG,    /* kind: enum log_level; what the actor logged */
    JOURNAL_FAULT,  /* what was done to the node, in words */
    JOURNAL_DISK,   /* kind: enum sim_disk_op; err; a: offset; b: length; text: file */
    JOURNAL_BEGIN,  /* an errand begins: kind, a: number, text: what */
    JOURNAL_DONE,   /* and ends: kind, a: number, err, text: why not */
    JOURNAL_PHASE,  /* of the run, in words; node 0 */
    JOURNAL_TYPES
};

struct journal_row {
    uint64_t at_ns;
    uint64_t a;
    uint32_t b;
    uint16_t node;
    uint16_t kind;
    uint8_t type; /* enum journal_type */
    uint8_t actor;
    uint8_t from;
    uint8_t err;
    uint8_t text_len;
    uint8_t unused[3];
};

struct journal;

/* Keeps the last JOURNAL_KEPT rows. began_ns is when the run began: times are shown from there. NULL without memory. */
struct journal *journal_new(uint64_t began_ns) MUST_CHECK;
/* NULL-safe; closes the file. False when not all could be written to it. */
bool journal_free(struct journal *journal);
/* From now on everything goes into a file, too. ERR_IO. */
enum err journal_open_file(struct journal *journal, const char *path) MUST_CHECK;

/* text may be NULL; more than JOURNAL_TEXT_MAX bytes are cut off. */
void journal_note(struct journal *journal, const struct journal_row *row, const char *text);

/* ---- reading ---- */

/* Which rows somebody wants to see. */
struct journal_filter {
    int node;          /* -1: all */
    int actor;         /* -1: all */
    uint64_t from_ns;  /* since the run began */
    uint64_t until_ns; /* 0: to the end */
    bool important;    /* faults, lives, errands, warnings, errors: what one looks at first */
};

/* Prints what is in memory, at most the last so many rows of those wanted. */
void journal_print(const struct journal *journal, const struct journal_filter *filter, size_t rows, FILE *to);

/* Prints a file. ERR_IO, ERR_INVALID: it is none. */
enum err journal_print_file(const char *path, const struct journal_filter *filter, FILE *to) MUST_CHECK;

/* An actor's number by name; -1: there is none. And its name by number. */
int journal_actor(const char *name);
const char *journal_actor_name(unsigned actor);

#endif
