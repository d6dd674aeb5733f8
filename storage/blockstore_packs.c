/* SPDX-License-Identifier: MIT */
/*
 * The packs that are there. At the start those on the medium are compared with those that are known: one that no row knows (the catalogue was made anew, or
 * comes from a backup) is adopted by its own index, and one that is not there counts as damaged. Later thin ones are chosen to be rewritten, and empty ones are
 * removed:
 *
 *      its row says so (commit) --> REMOVE --> the row goes (commit); a crash repeats it
 */
#include <stdlib.h>

#include "storage/blockstore_private.h"

/* ---- adoption ---- */

static void free_adopting(struct blockstore *s)
{
    cold_change_free(s->cold.adopting);
    s->cold.adopting = NULL;
    store_entries_release(s, &s->cold.adopting_cap);
}

static void listed_all(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    free(t->listed);
    t->listed = NULL;
    t->phase = COLD_UP;
    t->look = true;
    if (t->unlisted)
        store_cold_note(s);
    t->unlisted = false;
    if (t->adopted > 0)
        store_notice(s, false,
                     "%llu packs were found in the cold tier that blocks.db did not know: their blocks are stored",
                     (unsigned long long)t->adopted);
    if (t->lost > 0)
        store_notice(
            s, false,
            "%llu packs that blocks.db knows are not in the cold tier: what was only there is wanted from peers "
            "once somebody asks for it",
            (unsigned long long)t->lost);
}

/*
 * Between two that are listed there is none. Those that this catalogue knows there were removed after the backup that it comes from, or by somebody else: their
 * copies do not count any more. Whether one was found, or a look is not possible now.
 */
static bool lose_packs(struct blockstore *s, uint64_t after, uint64_t before)
{
    struct store_tier *t = &s->cold;
    struct pack_row row;
    after = MIN(after, (uint64_t)INT64_MAX); /* no name on the medium may make it a number that is less */
    before = MIN(before, (uint64_t)INT64_MAX);
    enum err err = catalogue_packs_between(s->reader, after, before, &row);
    if (err != ERR_OK)
        return err != ERR_NOT_FOUND;
    struct cold_change *cold = calloc(1, sizeof(*cold));
    if (cold != NULL) {
        cold->pack = after;
        cold->before = before;
    }
    t->changing = store_cold_push(s, CHANGE_PACKS_LOST, cold);
    return true;
}

/*
 * The index of the next pack that is not known, from where it was read to; one that is known as being written is whole: its commit never came, or this catalogue
 * is older than it, and then blocks may be nowhere else. NULL: the page is over, or a look is not possible now.
 */
static struct store_cold *index_unknown(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    struct pack_row row;
    while (t->listed_at < t->listed_count) {
        const struct store_pack *pack = &t->listed[t->listed_at];
        if (t->listed_last < pack->pack && lose_packs(s, t->listed_last, pack->pack))
            return NULL;
        t->listed_last = MAX(t->listed_last, pack->pack);
        enum err err = catalogue_pack(s->reader, pack->pack, &row);
        if (err != ERR_OK && err != ERR_NOT_FOUND)
            return NULL;
        if (err == ERR_OK && row.state != PACK_WRITING) {
            t->listed_at++;
            continue;
        }
        if (t->adopting == NULL)
            t->adopting = calloc(1, sizeof(*t->adopting));
        struct store_cold *op = t->adopting == NULL ? NULL : store_cold_new(s, STORE_COLD_INDEX, pack->pack);
        if (op == NULL)
            return NULL;
        t->adopting->pack = pack->pack;
        t->adopting->bytes = pack->bytes;
        op->from = (uint32_t)t->adopting->count;
        return op;
    }
    return NULL;
}

struct store_cold *store_packs_list(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    if (t->changing)
        return NULL; /* one is being adopted, or some were lost */
    struct store_cold *op = index_unknown(s);
    if (op != NULL || t->listed_at < t->listed_count)
        return op;
    if (t->listed != NULL && t->list_after == 0) {
        if (!lose_packs(s, t->listed_last, INT64_MAX))
            listed_all(s);
        return NULL;
    }
    return store_cold_new(s, STORE_COLD_PACKS, t->list_after);
}

static void packs_listed(struct blockstore *s, struct store_cold *op, enum err err)
{
    struct store_tier *t = &s->cold;
    if (err != ERR_OK)
        return;
    free(t->listed);
    t->listed = op->packs;
    t->listed_count = MIN(op->count, (size_t)STORE_COLD_PAGE);
    t->listed_at = 0;
    t->list_after = op->next;
    op->packs = NULL;
}

static bool take_entries(struct blockstore *s, const struct store_cold *op)
{
    struct store_tier *t = &s->cold;
    struct cold_change *cold = t->adopting;
    size_t count = MIN(op->count, (size_t)STORE_COLD_PAGE);
    if (cold->count + count > PACK_RECORDS_MAX ||
        !store_entries_reserve(s, &cold->entries, &t->adopting_cap, cold->count + count))
        return false;
    for (size_t i = 0; i < count; i++)
        cold->entries[cold->count++] = (struct cold_entry){.place = op->places[i]};
    return true;
}

/* Without memory the pack is begun anew, later. */
static void adopt(struct blockstore *s, const struct store_cold *op)
{
    struct store_tier *t = &s->cold;
    if (!take_entries(s, op)) {
        free_adopting(s);
        store_cold_back_off(s);
        return;
    }
    if (op->next != 0)
        return;
    struct catalogue_change change = {.kind = CHANGE_PACK_ADOPT, .cold = t->adopting};
    t->adopting->records = (uint32_t)t->adopting->count;
    if (store_push_change(s, &change) == NULL) {
        free_adopting(s);
        return;
    }
    t->adopting = NULL;
    t->changing = true;
}

/* One whose index cannot be read is left alone: whoever knows what it was can look at it. */
static void index_came(struct blockstore *s, const struct store_cold *op, enum err err)
{
    if (err == ERR_OK) {
        adopt(s, op);
        return;
    }
    free_adopting(s);
    if (!store_is_damage(err))
        return;
    s->cold.listed_at++;
    store_notice(s, false,
                 "the pack %016llx of the cold tier, which blocks.db does not know, has no index that can be read: %s",
                 (unsigned long long)op->pack, err_text(err));
}

/* Only now are its keys in the filters: one that is begun while an index is read would walk past rows that are not there yet. */
static void adopted(struct blockstore *s, const struct catalogue_change *change)
{
    for (size_t i = 0; change->err == ERR_OK && i < change->cold->count; i++) {
        filter_add(s->filter, &change->cold->entries[i].place.key);
        filter_add(s->filter_next, &change->cold->entries[i].place.key);
    }
    s->cold.changing = false;
    s->cold.adopted += change->err == ERR_OK && change->cold->state == PACK_WHOLE;
    store_entries_release(s, &s->cold.adopting_cap);
}

static void lost(struct blockstore *s, const struct catalogue_change *change)
{
    s->cold.changing = false;
    s->cold.lost += change->err == ERR_OK ? change->cold->records : 0;
}

/* ---- packs that go ---- */

static void remove_pack(struct blockstore *s, const struct pack_row *row)
{
    struct store_tier *t = &s->cold;
    t->removing = row->pack;
    if (row->state != PACK_WHOLE && row->state != PACK_DAMAGED)
        t->removal = REMOVING_REMOVE;
    else if (store_cold_push_pack(s, CHANGE_PACK_STATE, row->pack, PACK_REMOVING))
        t->removal = REMOVING_MARKED;
}

/* What there is to do, until there is nothing. */
static void look(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    struct pack_row row;
    uint64_t age = strcmp(t->medium.kind, "s3") == 0 ? COLD_S3_AGE_NS : 0;
    enum err err = catalogue_unused_pack(s->reader, t->pack_id, &row);
    if (err == ERR_OK) {
        remove_pack(s, &row);
        return;
    }
    if (err == ERR_NOT_FOUND && t->thin == 0 && t->checking != CHECKING_DAMAGED) {
        err = catalogue_thinnest_pack(s->reader, COLD_THIN_PERCENT, s->real_now_ns - MIN(age, s->real_now_ns), &row);
        if (err == ERR_OK)
            store_rewrite_begin(s, row.pack, false);
    }
    t->look = err != ERR_NOT_FOUND && t->thin == 0;
}

struct store_cold *store_packs_next(struct blockstore *s)
{
    struct store_tier *t = &s->cold;
    if (t->seen_bytes != s->info.cold_bytes)
        t->look = true;
    t->seen_bytes = s->info.cold_bytes;
    if (t->look && t->removal == REMOVING_NONE && !s->committing && s->changes == NULL)
        look(s);
    if (t->removal == REMOVING_REMOVE)
        return store_cold_new(s, STORE_COLD_REMOVE, t->removing);
    struct store_cold *op = t->thin != 0 ? store_rewrite_next(s) : NULL;
    return op != NULL ? op : store_check_next(s);
}

static void removal_ended(struct blockstore *s)
{
    s->cold.removing = 0;
    s->cold.removal = REMOVING_NONE;
    s->cold.look = true;
}

/* ---- what became of operations and changes ---- */

void store_packs_done(struct blockstore *s, struct store_cold *op, enum err err)
{
    struct store_tier *t = &s->cold;
    if (op->kind == STORE_COLD_PACKS) {
        packs_listed(s, op, err);
    } else if (op->kind == STORE_COLD_INDEX && t->phase == COLD_LIST) {
        index_came(s, op, err);
    } else if (op->kind == STORE_COLD_INDEX) {
        store_rewrite_index(s, op, err);
    } else if (err == ERR_OK && store_cold_push_pack(s, CHANGE_PACK_RM, op->pack, PACK_REMOVING)) {
        t->removal = REMOVING_FORGET;
    }
}

void store_packs_changed(struct blockstore *s, struct catalogue_change *change)
{
    struct store_tier *t = &s->cold;
    bool ours = change->cold->pack == t->removing;
    if (change->kind == CHANGE_PACK_ADOPT)
        adopted(s, change);
    else if (change->kind == CHANGE_PACKS_LOST)
        lost(s, change);
    else if (ours && change->kind == CHANGE_PACK_STATE && change->err == ERR_OK)
        t->removal = REMOVING_REMOVE;
    else if (ours)
        removal_ended(s);
}

void store_packs_release(struct blockstore *s)
{
    free_adopting(s);
    free(s->cold.listed);
}
