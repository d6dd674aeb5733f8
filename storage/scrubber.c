/* SPDX-License-Identifier: MIT */
#include "storage/scrubber.h"

#include "base/attr.h"

void scrubber_init(struct scrubber *s, uint64_t rate, const struct scrub_progress *progress, uint64_t now_ns,
                   uint64_t real_now_ns)
{
    *s = (struct scrubber){.rate = rate, .progress = *progress, .due_ns = now_ns + SCRUB_START_NS};
    uint64_t next = progress->ended_ns + SCRUB_EVERY_NS;
    /* A clock that was set back makes the next pass early, never late. */
    if (progress->began_ns == 0 && progress->ended_ns != 0 && progress->ended_ns <= real_now_ns && next > real_now_ns)
        s->due_ns = MAX(s->due_ns, now_ns + (next - real_now_ns));
}

uint64_t scrubber_due(const struct scrubber *s)
{
    return s->rate == 0 || s->running ? UINT64_MAX : s->due_ns;
}

bool scrubber_begin(struct scrubber *s, uint64_t now_ns, uint64_t real_now_ns, bool busy)
{
    if (now_ns < scrubber_due(s) || (busy && now_ns < s->due_ns + SCRUB_PATIENCE_NS))
        return false;
    if (s->progress.began_ns == 0)
        s->progress = (struct scrub_progress){.began_ns = MAX(real_now_ns, 1), .ended_ns = s->progress.ended_ns};
    s->running = true;
    return true;
}

void scrubber_page(struct scrubber *s, const struct scrub_page *page, uint64_t now_ns, uint64_t real_now_ns)
{
    struct scrub_progress *p = &s->progress;
    s->running = false;
    p->blocks += page->blocks;
    p->bytes += page->bytes;
    p->bad += page->bad;
    p->after = page->after;
    s->due_ns = now_ns + (uint64_t)((double)page->bytes / (double)s->rate * (double)SECOND_NS);
    if (s->save_ns == 0)
        s->save_ns = now_ns + SCRUB_SAVE_NS;
    if (page->after.len > 0)
        return;
    p->began_ns = 0;
    p->ended_ns = MAX(real_now_ns, 1);
    s->due_ns = now_ns + SCRUB_EVERY_NS;
    s->save_ns = MAX(now_ns, 1);
}

void scrubber_failed(struct scrubber *s, uint64_t now_ns)
{
    s->running = false;
    s->due_ns = now_ns + SCRUB_PATIENCE_NS;
}

bool scrubber_wants_save(const struct scrubber *s, uint64_t now_ns)
{
    return s->save_ns != 0 && now_ns >= s->save_ns;
}

const struct scrub_progress *scrubber_take(struct scrubber *s)
{
    bool fresh = s->save_ns != 0;
    s->save_ns = 0;
    return fresh ? &s->progress : NULL;
}

void scrubber_save_again(struct scrubber *s, uint64_t now_ns)
{
    s->save_ns = MAX(now_ns, 1);
}

enum err scrubber_check(struct disk_tier *tier, const struct block_place *place, struct account *account)
{
    struct block_ref *ref = NULL;
    enum err err = disk_tier_read(tier, place, account, &ref);
    if (err != ERR_OK)
        return err;
    err = block_key_verify(&place->key, block_ref_span(ref));
    block_ref_unref(ref);
    return err == ERR_UNSUPPORTED ? ERR_OK : err;
}
