/* SPDX-License-Identifier: MIT */
/*
 * Healing: due rows of the quarantine become requests to the owner, which fetches the blocks and puts them; a put takes its block out of
 * quarantine. The time of the next try is committed when a request goes out, not when it fails: a crash in between must not make peers
 * be asked in a circle.
 */
#include "storage/blockstore_private.h"

static void note_tried(struct blockstore *s, const struct quarantine_row *row)
{
    struct catalogue_change change = {
        .kind = CHANGE_HEAL_TRIED, .key = row->key, .at_ns = s->real_now_ns + healer_backoff(row->attempts)};
    (void)store_push_change(s, &change); /* without memory it is due again once this request has ended */
}

/* Whatever the owner cannot take now it gets at the next look. */
static void ask_for(struct blockstore *s, const struct quarantine_row *row)
{
    uint64_t id = healer_begin(&s->healer, &row->key, s->now_ns);
    if (id == 0)
        return;
    if (s->events.heal(s->events.arg, id, &row->key, row->codec))
        note_tried(s, row);
    else
        (void)healer_end(&s->healer, id);
}

void store_heal(struct blockstore *s)
{
    struct quarantine_row rows[HEAL_MAX];
    size_t count = 0;
    if (s->events.heal == NULL || s->info.quarantined == 0 || s->broken || s->committing || s->changes != NULL ||
        !healer_wants(&s->healer, s->now_ns))
        return;
    if (catalogue_quarantine_due(s->reader, s->real_now_ns, rows, ARRAY_LEN(rows), &count) != ERR_OK)
        return;
    for (size_t i = 0; i < count; i++)
        ask_for(s, &rows[i]);
}

uint64_t store_healing(const struct blockstore *s)
{
    struct quarantine_row rows[HEAL_MAX];
    size_t count = 0;
    if (s->info.quarantined == 0 || s->events.heal == NULL ||
        catalogue_quarantine_due(s->reader, s->real_now_ns, rows, ARRAY_LEN(rows), &count) != ERR_OK)
        return 0;
    return count + healer_running(&s->healer) + s->healed;
}

void blockstore_healed(struct blockstore *s, uint64_t id)
{
    if (healer_end(&s->healer, id))
        s->healed = s->durable.count > 0 || s->committing; /* its row comes with the next commit, which need not wait */
}

enum err blockstore_quarantine(struct blockstore *s, const struct block_key *after, struct quarantine_row *ret_rows,
                               size_t max, size_t *ret_count)
{
    return catalogue_quarantine_page(s->reader, after, ret_rows, max, ret_count);
}
