/* SPDX-License-Identifier: MIT */
/*
 * Packs that are read as a whole and compared with their checksums: because somebody asks, or once a week each where that costs nothing but time.
 *
 *      CHECK --> its row says when and what was found (commit) --> whole
 *                                                          \--> damaged: it is rewritten, and what cannot be read goes into quarantine
 *
 * One at a time, whoever asks. The checksums find what decayed or was cut; that a block hashes to its multihash was seen when it was packed, and is again by
 * whoever reads it. In the background a pack has to be paid for like a page of the scrubber, with bytes / Datastore.ScrubRate seconds. On S3 nothing is read there by
 * itself: each byte of it costs money.
 */
#include <stdio.h>
#include <stdlib.h>

#include "storage/blockstore_private.h"

#define LOOK_NS (UINT64_C(3600) * SECOND_NS) /* when none is due */

void blockstore_check_pack(struct blockstore *s, struct store_pack_check_op *op)
{
    struct store_pack_check_op **link = &s->cold.checks;
    *op = (struct store_pack_check_op){.done = op->done, .pack = op->pack};
    if (s->cold.phase == COLD_OFF) {
        op->done(op, ERR_UNAVAILABLE);
        return;
    }
    while (*link != NULL)
        link = &(*link)->next;
    *link = op;
}

static void end_check(struct blockstore *s, enum err err)
{
    struct store_pack_check_op *op = s->cold.checks;
    s->cold.checks = op->next;
    s->cold.checking = CHECKING_NONE;
    if (err == ERR_OK && op->damage != ERR_OK)
        store_notice(s, false,
                     "the pack %016llx of the cold tier is damaged: %s: %llu blocks are in another one now, %llu could "
                     "not be read",
                     (unsigned long long)op->pack, op->why[0] == '\0' ? err_text(op->damage) : op->why,
                     (unsigned long long)op->moved, (unsigned long long)op->bad);
    op->done(op, err);
}

/* Nothing is read any more, or not for now: nobody waits for that. */
void store_check_tick(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    bool away = t->failures > 0 && !t->up;
    while (t->checks != NULL &&
           (s->broken || (away && (t->checking == CHECKING_NONE || t->checking == CHECKING_DAMAGED))))
        end_check(s, s->broken ? ERR_CORRUPT : ERR_UNAVAILABLE);
}

/* ---- by itself ---- */

static bool goes_by_itself(const struct blockstore *s)
{
    const struct store_tier *t = &s->cold;
    return t->phase == COLD_UP && t->up && s->scrubber.rate > 0 && strcmp(t->medium.kind, "s3") != 0 &&
           !store_log_is_long(s);
}

uint64_t store_check_due(const struct blockstore *s)
{
    return goes_by_itself(s) && s->cold.checks == NULL ? s->cold.check_due_ns : UINT64_MAX;
}

static void own_done(struct store_pack_check_op *op, enum err err)
{
    struct blockstore *s = CONTAINER_OF(op, struct blockstore, cold.own_check);
    uint64_t pause = SCRUB_PATIENCE_NS;
    if (err == ERR_OK && op->damage == ERR_OK)
        pause = op->bytes / s->scrubber.rate * SECOND_NS + SECOND_NS;
    s->cold.check_due_ns = s->now_ns + pause;
}

/* The one that was not looked at for the longest time. */
static void begin_by_itself(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    struct pack_row row;
    if (s->now_ns < store_check_due(s))
        return;
    t->check_due_ns = s->now_ns + STORE_RETRY_NS;
    if (t->running > 0 || t->waiting != NULL || t->packing != PACKING_NONE)
        return;
    enum err err = catalogue_unchecked_pack(s->reader, s->real_now_ns - MIN(SCRUB_EVERY_NS, s->real_now_ns), &row);
    if (err != ERR_OK) {
        t->check_due_ns = s->now_ns + LOOK_NS;
        return;
    }
    t->own_check = (struct store_pack_check_op){.done = own_done, .pack = row.pack};
    blockstore_check_pack(s, &t->own_check);
}

/* ---- one check ---- */

struct store_cold *store_check_next(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    if (t->checks == NULL)
        begin_by_itself(s);
    if (t->checks == NULL)
        return NULL;
    if (t->checking == CHECKING_DAMAGED && t->thin == 0) {
        t->checking = CHECKING_REWRITTEN;
        store_rewrite_begin(s, t->checks->pack, true);
    }
    return t->checking == CHECKING_NONE ? store_cold_new(s, STORE_COLD_CHECK, t->checks->pack) : NULL;
}

/* One that no row knows is only told of; one that was taken for damaged is rewritten, however it was found now. */
void store_check_done(struct blockstore *s, const struct store_cold *op, enum err err)
{
    struct store_tier *t = &s->cold;
    struct store_pack_check_op *check = t->checks;
    if (check == NULL || check->pack != op->pack)
        return; /* it was refused */
    struct pack_row row;
    bool known =
        catalogue_pack(s->reader, op->pack, &row) == ERR_OK && (row.state == PACK_WHOLE || row.state == PACK_DAMAGED);
    check->bytes = op->bytes;
    check->records = op->records;
    (void)snprintf(check->why, sizeof(check->why), "%s", op->why);
    if (!known || (err != ERR_OK && !store_is_damage(err))) {
        end_check(s, err);
        return;
    }
    check->damage = err;
    if (store_cold_push_pack(s, CHANGE_PACK_CHECKED, op->pack, err == ERR_OK ? row.state : PACK_DAMAGED))
        t->checking = CHECKING_NOTED;
    else
        end_check(s, ERR_NOMEM);
}

void store_check_changed(struct blockstore *s, const struct catalogue_change *change)
{
    struct store_tier *t = &s->cold;
    if (t->checking != CHECKING_NOTED)
        return;
    if (change->err == ERR_OK && change->cold->state == PACK_DAMAGED)
        t->checking = CHECKING_DAMAGED;
    else
        end_check(s, change->err);
}

void store_check_rewritten(struct blockstore *s, enum err err)
{
    struct store_tier *t = &s->cold;
    if (t->checking != CHECKING_REWRITTEN)
        return;
    t->checks->moved = t->thin_moved;
    t->checks->bad = t->thin_bad;
    t->checking = CHECKING_SETTLED;
    if (err != ERR_OK)
        end_check(s, err);
    else
        store_check_settle(s);
}

void store_check_settle(struct blockstore *s)
{
    if (s->cold.checking == CHECKING_SETTLED && table_len(&s->cold.bad) == 0)
        end_check(s, ERR_OK);
}
