/* SPDX-License-Identifier: MIT */
#include "mailbox/crash_history.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"

void crash_digest(uint16_t kind, struct span bytes, uint8_t ret_digest[CRASH_DIGEST_BYTES])
{
    const uint8_t head[2] = {(uint8_t)kind, (uint8_t)(kind >> 8)};
    crypto_hash_sha256_state state;
    (void)crypto_hash_sha256_init(&state);
    (void)crypto_hash_sha256_update(&state, head, sizeof(head));
    if (bytes.len > 0)
        (void)crypto_hash_sha256_update(&state, bytes.data, bytes.len);
    (void)crypto_hash_sha256_final(&state, ret_digest);
}

/* ---- reading the page ---- */

/* Printable or nothing: it goes to a log and to a database. */
static void take_text(char *to, const char *from, size_t bytes)
{
    size_t n = 0;
    while (n + 1 < bytes && from[n] >= ' ' && from[n] <= '~') {
        to[n] = from[n];
        n++;
    }
    to[n] = '\0';
}

static void take_slot(const struct crash_slot *slot, struct crash_suspect *to)
{
    *to = (struct crash_suspect){.epoch = atomic_load(&slot->epoch),
                                 .does = atomic_load(&slot->does),
                                 .length = slot->length,
                                 .first_len = (uint16_t)MIN((size_t)slot->first_len, sizeof(slot->first)),
                                 .who_len = (uint8_t)MIN((size_t)slot->who_len, sizeof(slot->who)),
                                 .who_kind = slot->who_kind,
                                 .has_digest = *(const uint8_t *)&slot->has_digest == 1};
    take_text(to->actor, slot->name, sizeof(to->actor));
    memcpy(to->first, slot->first, to->first_len);
    memcpy(to->digest, slot->digest, sizeof(to->digest));
    memcpy(to->who, slot->who, to->who_len);
    if (to->who_kind != CRASH_WHO_PEER && to->who_kind != CRASH_WHO_ADDR)
        to->who_len = 0;
    bool whole = crash_is_message(to->does) && to->length == to->first_len;
    if (whole) /* the page has all of it: no need to have hashed it before */
        crash_digest((uint16_t)to->does, span_of(to->first, to->first_len), to->digest);
    to->has_digest = crash_is_message(to->does) && (whole || to->has_digest);
}

/* The slot of a number that is one more; NULL when there is none. */
static const struct crash_slot *slot_at(const struct crash_page *page, uint32_t number)
{
    return number == 0 || number > CRASH_SLOTS_MAX ? NULL : &page->slots[number - 1];
}

/* Those whose turn took long; the longest first. */
static size_t take_busy(const struct crash_page *page, uint64_t now_ns, struct crash_suspect *to)
{
    uint64_t since[CRASH_SUSPECTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < CRASH_SLOTS_MAX; i++) {
        uint64_t began = atomic_load(&page->slots[i].turn_since_ns);
        if (began == 0 || began > now_ns || now_ns - began < CRASH_TURN_MS * MS_NS || count == CRASH_SUSPECTS_MAX)
            continue;
        size_t at = count++;
        for (; at > 0 && since[at - 1] > began; at--) {
            since[at] = since[at - 1];
            to[at] = to[at - 1];
        }
        since[at] = began;
        take_slot(&page->slots[i], &to[at]);
    }
    return count;
}

/* Whoever was at work when it happened. */
static size_t take_suspects(const struct crash_page *page, const struct crash_end *end, struct crash_suspect *to)
{
    uint32_t number = 0;
    if (WIFSIGNALED(end->status) && WTERMSIG(end->status) != SIGKILL && atomic_load(&page->fatal.written) != 0)
        number = page->fatal.slot;
    if (number == 0)
        number = atomic_load(&page->stuck);
    const struct crash_slot *slot = slot_at(page, number);
    if (slot != NULL) {
        take_slot(slot, to);
        return 1;
    }
    bool killed = WIFSIGNALED(end->status) && WTERMSIG(end->status) == SIGKILL;
    return killed ? take_busy(page, end->now_ns, to) : 0;
}

static void describe_cause(const struct crash_page *page, int status, char *to, size_t bytes)
{
    bool stuck = atomic_load(&page->stuck) != 0;
    if (stuck && (!WIFSIGNALED(status) || WTERMSIG(status) == SIGABRT))
        (void)snprintf(to, bytes, "stuck");
    else if (WIFSIGNALED(status))
        (void)snprintf(to, bytes, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        (void)snprintf(to, bytes, "exit code %d", WEXITSTATUS(status));
}

static void take_fatal(const struct crash_page *page, struct crash_record *record, crash_describe_fn *describe)
{
    const struct crash_fatal *fatal = &page->fatal;
    uint64_t frames[CRASH_FRAMES_MAX];
    uint32_t written = atomic_load(&fatal->written);
    if (written == 0)
        return;
    record->address = fatal->address;
    take_text(record->thread, fatal->thread, sizeof(record->thread));
    size_t count = MIN((size_t)fatal->frame_count, (size_t)CRASH_FRAMES_MAX);
    memcpy(frames, fatal->frames, sizeof(frames));
    if (describe != NULL)
        describe(frames, count, record->backtrace, sizeof(record->backtrace));
}

/* ---- verdicts ---- */

static bool same_message(const struct crash_suspect *a, const struct crash_suspect *b)
{
    return crash_is_message(a->does) && a->does == b->does && a->length == b->length && a->first_len == b->first_len &&
           memcmp(a->first, b->first, a->first_len) == 0 &&
           (!a->has_digest || !b->has_digest || memcmp(a->digest, b->digest, sizeof(a->digest)) == 0);
}

static bool same_who(const struct crash_suspect *a, const struct crash_suspect *b)
{
    return a->who_len > 0 && a->who_kind == b->who_kind && a->who_len == b->who_len &&
           memcmp(a->who, b->who, a->who_len) == 0;
}

static bool same_actor(const struct crash_suspect *a, const struct crash_suspect *b)
{
    return a->actor[0] != '\0' && strcmp(a->actor, b->actor) == 0;
}

static void add_poison(struct crash_history *h, const struct crash_suspect *s)
{
    if (crash_history_is_poison(h, (uint16_t)s->does, s->length, s->digest))
        return;
    if (h->poison_count == CRASH_POISON_MAX)
        memmove(h->poison, h->poison + 1, --h->poison_count * sizeof(h->poison[0]));
    struct crash_poison *p = &h->poison[h->poison_count++];
    *p = (struct crash_poison){.kind = (uint16_t)s->does, .length = s->length};
    memcpy(p->digest, s->digest, sizeof(p->digest));
}

static void add_ban(struct crash_history *h, const struct crash_suspect *s, uint64_t now_ns)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->ban_count; i++) {
        const struct crash_ban *b = &h->bans[i];
        bool same = b->who_kind == s->who_kind && b->who_len == s->who_len && memcmp(b->who, s->who, s->who_len) == 0;
        if (!same && b->until_ns > now_ns)
            h->bans[kept++] = *b;
    }
    h->ban_count = kept;
    if (h->ban_count == CRASH_BANS_MAX)
        memmove(h->bans, h->bans + 1, --h->ban_count * sizeof(h->bans[0]));
    struct crash_ban *b = &h->bans[h->ban_count++];
    *b = (struct crash_ban){
        .until_ns = now_ns + CRASH_BAN_S * SECOND_NS, .who_kind = s->who_kind, .who_len = s->who_len};
    memcpy(b->who, s->who, s->who_len);
}

/* Was this one there at the last crash, too? */
static void judge(struct crash_history *h, const struct crash_suspect *now, uint64_t now_ns,
                  struct crash_record *record)
{
    for (size_t i = 0; i < h->suspect_count; i++) {
        const struct crash_suspect *before = &h->suspects[i];
        if (!same_actor(now, before))
            continue;
        bool message = same_message(now, before);
        if (message && now->has_digest) {
            add_poison(h, now);
            record->poisoned = true;
        }
        if (now->who_len > 0 && (message || same_who(now, before))) {
            add_ban(h, now, now_ns);
            record->banned = true;
        }
        if (message && before->who_len > 0 && !same_who(now, before))
            add_ban(h, before, now_ns);
    }
}

static void forget_stored(struct crash_history *h, uint64_t stored_id)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->record_count; i++) {
        if (h->records[i].id > stored_id)
            h->records[kept++] = h->records[i];
    }
    h->record_count = kept;
    if (h->record_count == CRASH_RECORDS_MAX)
        memmove(h->records, h->records + 1, --h->record_count * sizeof(h->records[0]));
}

const struct crash_record *crash_history_note(struct crash_history *h, const struct crash_page *page,
                                              const struct crash_end *end, crash_describe_fn *describe)
{
    struct crash_suspect suspects[CRASH_SUSPECTS_MAX];
    bool sound = page->magic == CRASH_PAGE_MAGIC && page->version == CRASH_PAGE_VERSION && page->bytes == sizeof(*page);
    size_t count = sound ? take_suspects(page, end, suspects) : 0;
    forget_stored(h, sound ? atomic_load(&page->stored_id) : 0);
    struct crash_record *record = &h->records[h->record_count++];
    *record = (struct crash_record){.id = ++h->last_id, .at = end->real_ns};
    describe_cause(page, end->status, record->cause, sizeof(record->cause));
    if (count > 0)
        record->subject = suspects[0];
    if (sound && WIFSIGNALED(end->status) && WTERMSIG(end->status) != SIGKILL)
        take_fatal(page, record, describe);
    for (size_t i = 0; i < count; i++)
        judge(h, &suspects[i], end->now_ns, record);
    memcpy(h->suspects, suspects, count * sizeof(suspects[0]));
    h->suspect_count = count;
    return record;
}

/* ---- what a life asks ---- */

bool crash_history_banned(const struct crash_history *h, enum crash_who kind, struct span who, uint64_t now_ns)
{
    for (size_t i = 0; i < h->ban_count; i++) {
        const struct crash_ban *b = &h->bans[i];
        if (b->who_kind == (uint8_t)kind && b->who_len == who.len && memcmp(b->who, who.data, who.len) == 0)
            return b->until_ns > now_ns;
    }
    return false;
}

uint64_t crash_history_kinds(const struct crash_history *h)
{
    uint64_t kinds = 0;
    for (size_t i = 0; i < h->suspect_count; i++)
        kinds |= crash_is_message(h->suspects[i].does) ? UINT64_C(1) << (h->suspects[i].does & 63) : 0;
    for (size_t i = 0; i < h->poison_count; i++)
        kinds |= UINT64_C(1) << (h->poison[i].kind & 63);
    return kinds;
}

bool crash_history_suspects(const struct crash_history *h, uint16_t kind, struct span bytes)
{
    for (size_t i = 0; i < h->suspect_count; i++) {
        const struct crash_suspect *s = &h->suspects[i];
        if (s->does == kind && s->length == bytes.len && s->first_len <= bytes.len &&
            memcmp(s->first, bytes.data, s->first_len) == 0)
            return true;
    }
    for (size_t i = 0; i < h->poison_count; i++) {
        if (h->poison[i].kind == kind && h->poison[i].length == bytes.len)
            return true;
    }
    return false;
}

bool crash_history_is_poison(const struct crash_history *h, uint16_t kind, uint32_t length,
                             const uint8_t digest[CRASH_DIGEST_BYTES])
{
    for (size_t i = 0; i < h->poison_count; i++) {
        const struct crash_poison *p = &h->poison[i];
        if (p->kind == kind && p->length == length && memcmp(p->digest, digest, sizeof(p->digest)) == 0)
            return true;
    }
    return false;
}
