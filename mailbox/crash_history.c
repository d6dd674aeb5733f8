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
static void bound_text(char *text, size_t bytes)
{
    size_t n = 0;
    while (n + 1 < bytes && text[n] >= ' ' && text[n] <= '~')
        n++;
    memset(text + n, 0, bytes - n);
}

/* It may change while it is read. */
static void take_text(char *to, const char *from, size_t bytes)
{
    memcpy(to, from, bytes);
    bound_text(to, bytes);
}

static void take_slot(const struct crash_page *page, uint32_t number, struct crash_suspect *to)
{
    const struct crash_slot *slot = &page->slots[number];
    *to = (struct crash_suspect){.number = number,
                                 .epoch = atomic_load(&slot->epoch),
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
    if (to->does == 0) /* between two: what is left there is of something that went well */
        to->length = to->first_len = 0;
    if (to->does == 0 || (to->who_kind != CRASH_WHO_PEER && to->who_kind != CRASH_WHO_ADDR))
        to->who_len = 0;
    bool whole = crash_is_message(to->does) && to->length == to->first_len;
    if (whole) /* the page has all of it: no need to have hashed it before */
        crash_digest((uint16_t)to->does, span_of(to->first, to->first_len), to->digest);
    to->has_digest = crash_is_message(to->does) && (whole || to->has_digest);
}

/* Its turn has lasted for so long, in ns; 0: too short to be blamed. */
static uint64_t busy_ns(const struct crash_slot *slot, uint64_t now_ns)
{
    uint64_t began = atomic_load(&slot->turn_since_ns);
    return began == 0 || began > now_ns || now_ns - began < CRASH_TURN_MS * MS_NS ? 0 : now_ns - began;
}

/* Those whose turn took long; the longest first. Where actors have processes of their own, only root's is at stake. */
static size_t take_busy(const struct crash_page *page, uint64_t now_ns, struct crash_suspect *to)
{
    uint64_t lasted[CRASH_SUSPECTS_MAX];
    size_t count = 0;
    uint32_t slots = *(const uint8_t *)&page->processes == 0 ? CRASH_SLOTS_MAX : 1;
    for (uint32_t i = 0; i < slots; i++) {
        uint64_t ns = busy_ns(&page->slots[i], now_ns);
        if (ns == 0 || count == CRASH_SUSPECTS_MAX)
            continue;
        size_t at = count++;
        for (; at > 0 && lasted[at - 1] < ns; at--) {
            lasted[at] = lasted[at - 1];
            to[at] = to[at - 1];
        }
        lasted[at] = ns;
        take_slot(page, i, &to[at]);
    }
    return count;
}

static bool by_signal(const struct crash_end *end)
{
    return WIFSIGNALED(end->status) && WTERMSIG(end->status) != SIGKILL;
}

static bool by_kill(const struct crash_end *end)
{
    return WIFSIGNALED(end->status) && WTERMSIG(end->status) == SIGKILL;
}

/* Of the process that ended; NULL: its handler left nothing. */
static const struct crash_fatal *fatal_of(const struct crash_page *page, const struct crash_end *end)
{
    const struct crash_fatal *fatal = &page->fatals[end->process == NULL ? 0 : end->number];
    return by_signal(end) && atomic_load(&fatal->written) != 0 ? fatal : NULL;
}

/* A number that is one more than a slot's; 0: none. */
static uint32_t slot_of(const struct crash_fatal *fatal)
{
    uint32_t number = fatal == NULL ? 0 : fatal->slot;
    return number > CRASH_SLOTS_MAX ? 0 : number;
}

/* Was the actor itself at work when its process ended? A worker of its lanes may have been. */
static size_t take_process(const struct crash_page *page, const struct crash_end *end, struct crash_suspect *to)
{
    bool blamed = end->stuck || slot_of(fatal_of(page, end)) == end->number + 1 ||
                  (by_kill(end) && busy_ns(&page->slots[end->number], end->now_ns) > 0);
    if (!blamed)
        return 0;
    take_slot(page, end->number, to);
    (void)snprintf(to->actor, sizeof(to->actor), "%s", end->process);
    to->epoch = end->epoch;
    return 1;
}

/* Whoever was at work when it happened. */
static size_t take_suspects(const struct crash_page *page, const struct crash_end *end, struct crash_suspect *to)
{
    if (end->process != NULL)
        return take_process(page, end, to);
    uint32_t number = slot_of(fatal_of(page, end));
    if (number == 0)
        number = atomic_load(&page->stuck);
    if (number > 0 && number <= CRASH_SLOTS_MAX) {
        take_slot(page, number - 1, to);
        return 1;
    }
    return by_kill(end) ? take_busy(page, end->now_ns, to) : 0;
}

static bool was_stuck(const struct crash_page *page, const struct crash_end *end)
{
    if (end->process != NULL)
        return end->stuck;
    bool stuck = atomic_load(&page->stuck) != 0;
    return stuck && (!WIFSIGNALED(end->status) || WTERMSIG(end->status) == SIGABRT);
}

static void describe_cause(const struct crash_page *page, const struct crash_end *end, char *to, size_t bytes)
{
    if (was_stuck(page, end))
        (void)snprintf(to, bytes, "stuck");
    else if (WIFSIGNALED(end->status))
        (void)snprintf(to, bytes, "signal %d (%s)", WTERMSIG(end->status), strsignal(WTERMSIG(end->status)));
    else
        (void)snprintf(to, bytes, "exit code %d", WEXITSTATUS(end->status));
}

static void take_fatal(const struct crash_fatal *fatal, struct crash_record *record)
{
    if (fatal == NULL)
        return;
    record->address = fatal->address;
    take_text(record->thread, fatal->thread, sizeof(record->thread));
    take_text(record->backtrace, fatal->backtrace, sizeof(record->backtrace));
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
    return a->actor[0] != '\0' && a->number == b->number && strcmp(a->actor, b->actor) == 0;
}

static void add_poison(struct crash_history *h, const struct crash_suspect *s)
{
    if (crash_history_is_poison(h, s->number, (uint16_t)s->does, s->length, s->digest))
        return;
    if (h->poison_count == CRASH_POISON_MAX)
        memmove(h->poison, h->poison + 1, --h->poison_count * sizeof(h->poison[0]));
    struct crash_poison *p = &h->poison[h->poison_count++];
    *p = (struct crash_poison){.actor = s->number, .kind = (uint16_t)s->does, .length = s->length};
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
    if (stored_id > h->last_id)
        stored_id = 0; /* a lie */
    size_t kept = 0;
    for (size_t i = 0; i < h->record_count; i++) {
        if (h->records[i].id > stored_id)
            h->records[kept++] = h->records[i];
    }
    h->record_count = kept;
    if (h->record_count == CRASH_RECORDS_MAX)
        memmove(h->records, h->records + 1, --h->record_count * sizeof(h->records[0]));
}

/* In the place of those of the last crash: of all, or of the same actor's process. */
static void keep_suspects(struct crash_history *h, const struct crash_end *end, const struct crash_suspect *suspects,
                          size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; end->process != NULL && i < h->suspect_count; i++) {
        if (h->suspects[i].number != end->number)
            h->suspects[kept++] = h->suspects[i];
    }
    if (kept + count > CRASH_SUSPECTS_MAX) { /* one process has one at most */
        memmove(h->suspects, h->suspects + 1, (kept - 1) * sizeof(h->suspects[0]));
        kept--;
    }
    memcpy(h->suspects + kept, suspects, count * sizeof(suspects[0]));
    h->suspect_count = kept + count;
}

const struct crash_record *crash_history_note(struct crash_history *h, const struct crash_page *page,
                                              const struct crash_end *end)
{
    struct crash_suspect suspects[CRASH_SUSPECTS_MAX];
    size_t count = take_suspects(page, end, suspects);
    forget_stored(h, atomic_load(&page->stored_id));
    struct crash_record *record = &h->records[h->record_count++];
    *record = (struct crash_record){.id = ++h->last_id, .at = end->real_ns, .process = end->process != NULL};
    describe_cause(page, end, record->cause, sizeof(record->cause));
    if (count > 0)
        record->subject = suspects[0];
    else if (end->process != NULL) {
        record->subject = (struct crash_suspect){.number = end->number, .epoch = end->epoch};
        (void)snprintf(record->subject.actor, sizeof(record->subject.actor), "%s", end->process);
    }
    take_fatal(fatal_of(page, end), record);
    for (size_t i = 0; i < count; i++)
        judge(h, &suspects[i], end->now_ns, record);
    keep_suspects(h, end, suspects, count);
    return record;
}

static void bound_suspect(struct crash_suspect *s)
{
    bound_text(s->actor, sizeof(s->actor));
    s->number = MIN(s->number, (uint32_t)CRASH_SLOTS_MAX - 1);
    s->first_len = (uint16_t)MIN((size_t)s->first_len, sizeof(s->first));
    s->who_len = (uint8_t)MIN((size_t)s->who_len, sizeof(s->who));
    s->has_digest = *(const uint8_t *)&s->has_digest == 1;
}

static void bound_record(struct crash_record *r)
{
    bound_suspect(&r->subject);
    bound_text(r->cause, sizeof(r->cause));
    bound_text(r->thread, sizeof(r->thread));
    bound_text(r->backtrace, sizeof(r->backtrace));
    r->process = *(const uint8_t *)&r->process == 1;
    r->poisoned = *(const uint8_t *)&r->poisoned == 1;
    r->banned = *(const uint8_t *)&r->banned == 1;
}

void crash_history_bound(struct crash_history *h)
{
    h->record_count = MIN(h->record_count, (size_t)CRASH_RECORDS_MAX);
    h->suspect_count = MIN(h->suspect_count, (size_t)CRASH_SUSPECTS_MAX);
    h->poison_count = MIN(h->poison_count, (size_t)CRASH_POISON_MAX);
    h->ban_count = MIN(h->ban_count, (size_t)CRASH_BANS_MAX);
    for (size_t i = 0; i < h->record_count; i++)
        bound_record(&h->records[i]);
    for (size_t i = 0; i < h->suspect_count; i++)
        bound_suspect(&h->suspects[i]);
    for (size_t i = 0; i < h->ban_count; i++)
        h->bans[i].who_len = (uint8_t)MIN((size_t)h->bans[i].who_len, sizeof(h->bans[i].who));
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

bool crash_history_suspects(const struct crash_history *h, uint32_t actor, uint16_t kind, struct span bytes)
{
    for (size_t i = 0; i < h->suspect_count; i++) {
        const struct crash_suspect *s = &h->suspects[i];
        if (s->number == actor && s->does == kind && s->length == bytes.len && s->first_len <= bytes.len &&
            memcmp(s->first, bytes.data, s->first_len) == 0)
            return true;
    }
    for (size_t i = 0; i < h->poison_count; i++) {
        const struct crash_poison *p = &h->poison[i];
        if (p->actor == actor && p->kind == kind && p->length == bytes.len)
            return true;
    }
    return false;
}

bool crash_history_is_poison(const struct crash_history *h, uint32_t actor, uint16_t kind, uint32_t length,
                             const uint8_t digest[CRASH_DIGEST_BYTES])
{
    for (size_t i = 0; i < h->poison_count; i++) {
        const struct crash_poison *p = &h->poison[i];
        if (p->actor == actor && p->kind == kind && p->length == length &&
            memcmp(p->digest, digest, sizeof(p->digest)) == 0)
            return true;
    }
    return false;
}
