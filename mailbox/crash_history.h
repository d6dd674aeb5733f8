/* SPDX-License-Identifier: MIT */
/*
 * What the nanny knows of the crashes of its daemon: records for state.db, messages that are poison, peers that are banned. Data in, data out;
 * no clock, no I/O. The nanny alone writes it, between two lives; a life reads the copy that it was forked with.
 *
 *      crash 1   the message that was being handled becomes a suspect: kind, length, first bytes, whose bytes
 *      life 2    a message like a suspect is hashed before it is handled
 *      crash 2   the same message: its SHA-256 is poison; the same peer in the same actor: banned for an hour
 *      life 3    what is poison is dropped, counted and logged; connection_manager does not speak with who is banned
 *
 * Only two crashes in a row count: a crash without the suspect clears it. Who is a suspect: of a fatal signal, the actor whose thread got it; of
 * an actor that was given up as stuck, that one; of a SIGKILL, each actor whose turn had lasted for CRASH_TURN_MS, since a daemon
 * that is killed from outside is nearly always between two short turns, and whoever eats all memory is not.
 *
 * Bounds: the arrays below; the oldest goes. The page is read as hostile (crash_page.h).
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
    CRASH_TRACE_BYTES = 1024,
};

struct crash_suspect {
    char actor[CRASH_NAME_BYTES];
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
    bool poisoned;                 /* the message is dropped from now on */
    bool banned;                   /* whose bytes they were is banned for an hour */
    struct crash_suspect subject;  /* actor "": nobody is known */
    char cause[CRASH_CAUSE_BYTES]; /* "signal 11 (Segmentation fault)", "stuck", "exit code 70" */
    char thread[CRASH_THREAD_BYTES];
    char backtrace[CRASH_TRACE_BYTES]; /* "module+0x1234 ..." */
};

struct crash_poison {
    uint16_t kind;
    uint32_t length;
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
    struct crash_suspect suspects[CRASH_SUSPECTS_MAX]; /* of the last crash */
    struct crash_poison poison[CRASH_POISON_MAX];
    struct crash_ban bans[CRASH_BANS_MAX];
};

/* How a life ended, and when. */
struct crash_end {
    int status; /* of waitpid */
    uint64_t now_ns;
    uint64_t real_ns;
};

/*
 * Takes in a crash, and forgets the records that the page says are stored. describe turns the return addresses into text, NUL-terminated; NULL: they are
 * left out. Returns the new record, owned by the history.
 */
typedef void crash_describe_fn(const uint64_t *frames, size_t count, char *to, size_t bytes);
const struct crash_record *crash_history_note(struct crash_history *h, const struct crash_page *page,
                                              const struct crash_end *end, crash_describe_fn *describe);

/* Is this one banned now? */
bool crash_history_banned(const struct crash_history *h, enum crash_who kind, struct span who, uint64_t now_ns);

/* May a message of this kind be a suspect or poison? A bit of the kind's last six; 0: there are none. */
uint64_t crash_history_kinds(const struct crash_history *h);

/* Must this message be hashed before it is handled? */
bool crash_history_suspects(const struct crash_history *h, uint16_t kind, struct span bytes);
bool crash_history_is_poison(const struct crash_history *h, uint16_t kind, uint32_t length,
                             const uint8_t digest[CRASH_DIGEST_BYTES]);

void crash_digest(uint16_t kind, struct span bytes, uint8_t ret_digest[CRASH_DIGEST_BYTES]);

static inline bool crash_is_message(uint32_t does)
{
    return does != 0 && does < CRASH_DOES_INFO;
}

#endif
