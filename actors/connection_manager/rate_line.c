/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/rate_line.h"

#include "base/attr.h"
#include "base/limits.h"

enum { US_NS = 1000, US_PER_SECOND = 1000 * 1000 };

static int64_t burst_of(const struct rate_bucket *bucket)
{
    return (int64_t)MAX(bucket->rate / 2, (uint64_t)RATE_BURST_MIN_BYTES);
}

/* Time that made no whole byte stays for the next call, so that little is lost to rounding down however often it is asked. */
static void refill(struct rate_bucket *bucket, uint64_t now_ns)
{
    uint64_t us = now_ns > bucket->updated_ns ? (now_ns - bucket->updated_ns) / US_NS : 0;
    uint64_t seconds = us / US_PER_SECOND;
    uint64_t gained = bucket->rate * (us % US_PER_SECOND) / US_PER_SECOND;
    if (gained == 0 && seconds == 0)
        return;
    bucket->updated_ns +=
        (seconds * US_PER_SECOND + (gained * US_PER_SECOND + bucket->rate - 1) / bucket->rate) * US_NS;
    int64_t burst = burst_of(bucket);
    uint64_t missing = (uint64_t)(burst - MIN(bucket->level, burst));
    bool full = seconds > missing / bucket->rate || seconds * bucket->rate + gained >= missing;
    bucket->level = full ? burst : bucket->level + (int64_t)(seconds * bucket->rate + gained);
}

void rate_bucket_set(struct rate_bucket *bucket, uint64_t rate, uint64_t now_ns)
{
    bool had = bucket->rate != 0;
    if (had)
        refill(bucket, now_ns);
    bucket->rate = rate;
    bucket->level = had ? MIN(bucket->level, burst_of(bucket)) : burst_of(bucket);
    bucket->updated_ns = now_ns;
}

int64_t rate_bucket_level(struct rate_bucket *bucket, uint64_t now_ns)
{
    if (bucket->rate == 0)
        return INT64_MAX;
    refill(bucket, now_ns);
    return bucket->level;
}

void rate_bucket_take(struct rate_bucket *bucket, uint64_t bytes, uint64_t now_ns)
{
    if (bucket->rate == 0)
        return;
    refill(bucket, now_ns);
    bucket->level -= (int64_t)bytes;
}

uint64_t rate_bucket_ready(struct rate_bucket *bucket, uint64_t bytes, uint64_t now_ns)
{
    int64_t wanted = (int64_t)MIN(bytes, (uint64_t)burst_of(bucket));
    int64_t level = rate_bucket_level(bucket, now_ns);
    if (level >= wanted)
        return now_ns;
    uint64_t missing = (uint64_t)(wanted - level);
    uint64_t us = missing / bucket->rate * US_PER_SECOND + missing % bucket->rate * US_PER_SECOND / bucket->rate + 1;
    return bucket->updated_ns + us * US_NS;
}

void rate_line_init(struct rate_line *line)
{
    *line = (struct rate_line){0};
    TAILQ_INIT(&line->turns);
}

/* Less than a packet is worth waiting for more, unless no more is wanted. */
static size_t part_of(struct rate_bucket *bucket, size_t want, uint64_t now_ns)
{
    int64_t level = bucket == NULL ? INT64_MAX : rate_bucket_level(bucket, now_ns);
    size_t part = level <= 0 ? 0 : (size_t)MIN((uint64_t)level, (uint64_t)want);
    return part < MIN(want, (size_t)RATE_QUANTUM_BYTES) ? 0 : part;
}

static void stand(struct rate_line *line, struct rate_turn *turn)
{
    turn->in = line;
    TAILQ_INSERT_TAIL(&line->turns, turn, link);
    line->waiting++;
}

void rate_turn_leave(struct rate_turn *turn)
{
    if (turn->in != NULL) {
        TAILQ_REMOVE(&turn->in->turns, turn, link);
        turn->in->waiting--;
    }
    turn->in = NULL;
    turn->grant = 0;
}

size_t rate_line_ask(struct rate_line *line, struct rate_turn *turn, size_t want, uint64_t now_ns)
{
    if (turn->in != NULL || want == 0)
        return 0;
    if (turn->grant > 0)
        return MIN(want, turn->grant);
    size_t may = 0;
    if (line->waiting == 0 || line->bucket.rate == 0) /* without a limit they wait for buckets of their own */
        may = part_of(turn->own, part_of(&line->bucket, want, now_ns), now_ns);
    if (may == 0)
        stand(line, turn);
    return may;
}

void rate_line_spend(struct rate_line *line, struct rate_turn *turn, size_t bytes, uint64_t now_ns)
{
    uint64_t paid = turn->grant;
    turn->grant = 0;
    if (turn->own != NULL)
        rate_bucket_take(turn->own, bytes, now_ns);
    if (bytes >= paid)
        rate_bucket_take(&line->bucket, bytes - paid, now_ns);
    else if (line->bucket.rate != 0)
        line->bucket.level += (int64_t)(paid - bytes);
}

struct rate_turn *rate_line_next(struct rate_line *line, uint64_t now_ns)
{
    int64_t level = rate_bucket_level(&line->bucket, now_ns);
    if (line->waiting == 0 || level < RATE_QUANTUM_BYTES)
        return NULL;
    uint64_t share = MAX((uint64_t)level / line->waiting, (uint64_t)RATE_QUANTUM_BYTES);
    struct rate_turn *turn;
    TAILQ_FOREACH(turn, &line->turns, link)
    {
        size_t grant = part_of(turn->own, (size_t)MIN(share, (uint64_t)SIZE_MAX), now_ns);
        if (grant == 0)
            continue;
        rate_turn_leave(turn);
        if (line->bucket.rate != 0) {
            turn->grant = grant;
            rate_bucket_take(&line->bucket, grant, now_ns);
        }
        return turn;
    }
    return NULL;
}

uint64_t rate_line_deadline(struct rate_line *line, uint64_t now_ns)
{
    if (line->waiting == 0)
        return UINT64_MAX;
    uint64_t quanta = (uint64_t)line->waiting * RATE_QUANTUM_BYTES;
    uint64_t line_at = line->bucket.rate == 0 ? now_ns : rate_bucket_ready(&line->bucket, quanta, now_ns);
    uint64_t first = UINT64_MAX;
    struct rate_turn *turn;
    TAILQ_FOREACH(turn, &line->turns, link)
    {
        bool limited = turn->own != NULL && turn->own->rate != 0;
        uint64_t own_at = limited ? rate_bucket_ready(turn->own, RATE_QUANTUM_BYTES, now_ns) : now_ns;
        first = MIN(first, MAX(own_at, line_at));
    }
    return first;
}
