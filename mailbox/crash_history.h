/* SPDX-License-Identifier: MIT */
/*
 * What is known of crashes: records for state.db, messages that are poison, peers that are banned. Data in, data out; no clock, no I/O. The
 * nanny keeps it of the daemon's crashes, between two lives; where each actor has a process, root keeps it during a life. How it gets
 * from one to the other, and to who goes by it: crash_memory.h.
 *
 *      crash 1   the message that was being handled becomes a suspect: kind, length, first bytes, whose bytes
 *      life 2    a message like a suspect is hashed before it is handled
 *      crash 2   the same message: its SHA-256 is poison for this actor; the same peer in the same actor: banned for an hour
 *      life 3    what is poison is dropped, counted and logged; connection_manager does not speak with who is banned
 *
 * Only two crashes in a row count, of the daemon, or of the same actor's process: a crash without the suspect clears it. Who is a suspect: of a
 * fatal signal, the actor whose thread got it; of an actor that was given up as stuck, that one; of a SIGKILL, each actor whose turn had
 * lasted for CRASH_TURN_MS, since what is killed from outside is nearly always between two short turns, and whoever eats all memory is not.
 *
 * Bounds: the arrays below; the oldest goes. The page is read as hostile (crash_page.h): who died, and how, is told by the caller.
 */
#ifndef HEARTH_MAILBOX_CRASH_HISTORY_H
#define HEARTH_MAILBOX_CRASH_HISTORY_H

#include "mailbox/crash_page.h"

enum {
    CRASH_RECORDS_MAX = 16,
    CRASH_SUSPECTS_MAX = 8,
    CRASH_POISON_MAX = 16,
    CRASH_BANS_MAX = 32,
    CRASH_BAN_S = 3600,
    CRASH_TURN_MS = 1000,
    CRASH_CAUSE_BYTES = 48,
};

struct crash_suspect {
    char actor[CRASH_NAME_BYTES];
    uint32_t number; /* of its slot */
    uint32_t epoch;
    uint32_t does; /* as in the slot; a message when it is below CRASH_DOES_INFO and not 0 */
    uint32_t length;
    uint16_t first_len;
    uint8_t who_len;
    uint8_t who_kind;
    bool has_digest;
    uint8_t first[CRASH_FIRST_BYTES];
    uint8_t digest[CRASH_DIGEST_BYTES];
    uint8_t who[CRASH_WHO_BYTES];
};

struct crash_record {
    uint64_t id;                   /* grows */
    uint64_t at;                   /* ns since the epoch */
    uint64_t address;              /* of the fault; 0: none */
    bool process;                  /* of one actor's process; the others went on */
    bool poisoned;                 /* the message is dropped from now on */
    bool banned;                   /* whose bytes they were is banned for an hour */
    struct crash_suspect subject;  /* actor "": nobody is known */
    char cause[CRASH_CAUSE_BYTES]; /* "signal 11 (Segmentation fault)", "stuck", "exit code 70" */
    char thread[CRASH_THREAD_BYTES];
    char backtrace[CRASH_TRACE_BYTES]; /* "module+0x1234 ..." */
};

struct crash_poison {
    uint32_t actor; /* number of the slot: others may handle it */
    uint32_t length;
    uint16_t kind;
    uint8_t digest[CRASH_DIGEST_BYTES];
};

struct crash_ban {
    uint64_t until_ns; /* monotonic */
    uint8_t who_kind;
    uint8_t who_len;
    uint8_t who[CRASH_WHO_BYTES];
};

struct crash_history {
    uint64_t last_id;
    size_t record_count, suspect_count, poison_count, ban_count;
    struct crash_record records[CRASH_RECORDS_MAX];    /* oldest first; those not yet in state.db */
    struct crash_suspect suspects[CRASH_SUSPECTS_MAX]; /* of the last crash of each */
    struct crash_poison poison[CRASH_POISON_MAX];
    struct crash_ban bans[CRASH_BANS_MAX];
};

/* Who ended, how and when. */
struct crash_end {
    int status; /* of waitpid */
    uint64_t now_ns;
    uint64_t real_ns;
    const char *process; /* the actor whose process it was; NULL: the daemon */
    uint32_t number;     /* of a process: the actor's slot, below CRASH_SLOTS_MAX, */
    uint32_t epoch;      /* its life, */
    bool stuck;          /* and whether it was killed for being that */
};

/*
 * Takes in a crash, and forgets the records that the page says are stored. Returns the new record, owned by the history.
 */
const struct crash_record *crash_history_note(struct crash_history *h, const struct crash_page *page,
                                              const struct crash_end *end);

/* One that was copied from memory that others write: counts and lengths are within bounds and texts end, whatever it was. */
void crash_history_bound(struct crash_history *h);

/* Is this one banned now? */
bool crash_history_banned(const struct crash_history *h, enum crash_who kind, struct span who, uint64_t now_ns);

/* May a message of this kind be a suspect or poison? A bit of the kind's last six; 0: there are none. */
uint64_t crash_history_kinds(const struct crash_history *h);

/* Must this message of this actor be hashed before it is handled? */
bool crash_history_suspects(const struct crash_history *h, uint32_t actor, uint16_t kind, struct span bytes);
bool crash_history_is_poison(const struct crash_history *h, uint32_t actor, uint16_t kind, uint32_t length,
                             const uint8_t digest[CRASH_DIGEST_BYTES]);

void crash_digest(uint16_t kind, struct span bytes, uint8_t ret_digest[CRASH_DIGEST_BYTES]);

static inline bool crash_is_message(uint32_t does)
{
    return does != 0 && does < CRASH_DOES_INFO;
}

#endif
