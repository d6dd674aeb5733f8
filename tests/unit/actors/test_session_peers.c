/* SPDX-License-Identifier: MIT */
/*
 * A session and three providers of different speed and honesty, in steps of a millisecond of virtual time. A reader with a window wants
 * the blocks of a file in order, as an exporter does. A provider sends what it is asked for in order at its rate; a block that it has
 * begun it finishes, cancelled or not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <string.h>

#include "actors/bitswap/session.h"
#include "tests/support/bytes.h"
#include "tests/unit/actors/helper_wants.h"

enum {
    PROVIDERS = 3,
    BLOCKS = 600,
    BLOCK_BYTES = 128 * 1024,
    WINDOW = 32,
    BYTES_MAX = 4 * 1024 * 1024,
    FAST = 8 * 1024 * 1024, /* bytes a second: a block each 16 ms */
    LATENCY_MS = 20,
    LONGEST_MS = 120 * 1000,
    LIES_MAX = 2 * 1024 * 1024
};

/* What becomes of a provider when half of the file is there. */
enum fate { STAYS, VANISHES, STALLS, TRICKLES, ONLY_CLAIMS, LIES };

struct provider {
    struct bitswap_session_peer *handle;
    uint64_t rate;
    enum fate fate;
    size_t queue[BLOCKS];   /* blocks asked for, in order */
    uint64_t ready[BLOCKS]; /* when the question arrived */
    size_t queued;
    size_t begun; /* block under way + 1; 0 is none */
    uint64_t left;
    uint64_t sent_bytes;
    bool knows[BLOCKS]; /* want-have to be answered */
};

struct world {
    struct bitswap_session *s;
    struct account account;
    struct cid cids[BLOCKS];
    struct provider providers[PROVIDERS];
    bool here[BLOCKS];
    size_t wanted; /* the next to be asked for */
    size_t first;  /* the first that is not here */
    size_t count;
    uint64_t ms;
    uint64_t duplicates;
    uint64_t lies;    /* bytes */
    size_t asked_max; /* bytes outstanding */
};

static uint64_t now_of(const struct world *w)
{
    return (1000000 + w->ms) * MS_NS;
}

static void world_init(struct world *w, const uint64_t rates[PROVIDERS])
{
    memset(w, 0, sizeof(*w));
    account_init(&w->account, "test", 64 * MIB);
    w->s = bitswap_session_new(&w->account, BYTES_MAX);
    assert_non_null(w->s);
    for (size_t i = 0; i < BLOCKS; i++) {
        struct multihash hash;
        assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, span_of(&i, sizeof(i)), &hash));
        w->cids[i] = cid_v1(CODEC_RAW, &hash);
    }
    for (size_t p = 0; p < PROVIDERS; p++) {
        struct peer_id id = peer_id_of_key(span_of(&p, sizeof(p)));
        w->providers[p].rate = rates[p];
        assert_ok(bitswap_session_peer_up(w->s, &id, BITSWAP_1_2, now_of(w), &w->providers[p].handle));
    }
}

static size_t index_of(const struct world *w, const struct cid *cid)
{
    size_t i = 0;
    while (!cid_equal(&w->cids[i], cid))
        assert_true(++i < BLOCKS);
    return i;
}

static void unqueue(struct provider *p, size_t block)
{
    for (size_t i = 0; i < p->queued; i++) {
        if (p->queue[i] != block)
            continue;
        p->queued--;
        memmove(p->queue + i, p->queue + i + 1, (p->queued - i) * sizeof(*p->queue));
        memmove(p->ready + i, p->ready + i + 1, (p->queued - i) * sizeof(*p->ready));
        return;
    }
}

static void hear(void *arg, struct bitswap_session_peer *to, const struct bitswap_want *want)
{
    struct world *w = arg;
    struct provider *p = w->providers;
    while (p->handle != to)
        p++;
    size_t i = index_of(w, &want->cid);
    p->knows[i] = !want->cancel && want->type == BITSWAP_WANT_HAVE;
    unqueue(p, i);
    if (want->cancel || want->type == BITSWAP_WANT_HAVE)
        return;
    p->queue[p->queued] = i;
    p->ready[p->queued++] = w->ms + 2 * LATENCY_MS; /* there and back */
}

static void arrive(struct world *w, struct provider *p, size_t block)
{
    p->sent_bytes += BLOCK_BYTES;
    if (p->fate == LIES && w->count >= BLOCKS / 2) { /* other bytes have another CID: to the session no block came */
        w->lies += BLOCK_BYTES;
        return;
    }
    if (!bitswap_session_block(w->s, p->handle, &w->cids[block], BLOCK_BYTES, now_of(w))) {
        w->duplicates += BLOCK_BYTES;
        return;
    }
    assert_false(w->here[block]);
    w->here[block] = true;
    w->count++;
}

static void tell_presences(struct world *w, struct provider *p)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        if (!p->knows[i])
            continue;
        p->knows[i] = false;
        bitswap_session_presence(w->s, p->handle, &w->cids[i], true, now_of(w));
    }
}

/* One millisecond of sending. */
static void serve(struct world *w, struct provider *p)
{
    bool turned = w->count >= BLOCKS / 2;
    uint64_t budget = turned && p->fate == TRICKLES ? 1 : p->rate / 1000;
    if (p->handle == NULL || (turned && p->fate == STALLS))
        return;
    tell_presences(w, p);
    if (p->fate == ONLY_CLAIMS)
        return;
    while (budget > 0) {
        if (p->begun == 0) {
            if (p->queued == 0 || p->ready[0] > w->ms)
                return;
            p->begun = p->queue[0] + 1;
            p->left = BLOCK_BYTES;
            unqueue(p, p->queue[0]);
        }
        uint64_t part = MIN(budget, p->left);
        budget -= part;
        p->left -= part;
        bitswap_session_peer_progress(p->handle, now_of(w));
        if (p->left > 0)
            return;
        size_t block = p->begun - 1;
        p->begun = 0;
        arrive(w, p, block);
    }
}

static void read_on(struct world *w)
{
    while (w->first < BLOCKS && w->here[w->first])
        w->first++;
    for (; w->wanted < BLOCKS && w->wanted < w->first + WINDOW; w->wanted++)
        assert_ok(bitswap_session_want(w->s, &w->cids[w->wanted], now_of(w)));
}

static void step(struct world *w)
{
    read_on(w);
    wants_carry(w->s, now_of(w), hear, w);
    size_t asked = 0;
    for (size_t i = 0; i < PROVIDERS; i++) {
        struct provider *p = &w->providers[i];
        if (p->handle != NULL && p->fate == VANISHES && w->count >= BLOCKS / 2) {
            bitswap_session_peer_down(w->s, p->handle, now_of(w));
            p->handle = NULL;
            p->queued = 0;
        }
        asked += p->queued * BLOCK_BYTES;
        serve(w, p);
    }
    w->asked_max = MAX(w->asked_max, asked);
    w->ms++;
    if (w->ms % SESSION_TICK_MS == 0)
        bitswap_session_tick(w->s, now_of(w));
}

/* Plays until all is there and returns how long it took. */
static uint64_t play(struct world *w)
{
    while (w->count < BLOCKS && w->ms < LONGEST_MS)
        step(w);
    assert_int_equal(w->count, BLOCKS);
    assert_int_equal(bitswap_session_count(w->s), 0);
    wants_carry(w->s, now_of(w), hear, w);
    assert_true(w->duplicates <= (uint64_t)BLOCKS * BLOCK_BYTES / 50);
    assert_true(w->lies <= LIES_MAX);
    assert_true(w->asked_max <= (size_t)BYTES_MAX + BLOCK_BYTES);
    for (size_t i = 0; i < PROVIDERS; i++)
        assert_int_equal(w->providers[i].queued, 0);
    print_message("%" PRIu64 " ms, shares %" PRIu64 " %" PRIu64 " %" PRIu64 " KiB, duplicates %" PRIu64
                  " KiB, lies %" PRIu64 " KiB\n",
                  w->ms, w->providers[0].sent_bytes / KIB, w->providers[1].sent_bytes / KIB,
                  w->providers[2].sent_bytes / KIB, w->duplicates / KIB, w->lies / KIB);
    return w->ms;
}

static void world_free(struct world *w)
{
    bitswap_session_free(w->s);
    assert_int_equal(account_used(&w->account), 0);
}

static uint64_t ideal_ms(uint64_t rate)
{
    return (uint64_t)BLOCKS * BLOCK_BYTES * 1000 / rate;
}

static void wants_are_shared_by_rate(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, (const uint64_t[]){FAST, FAST / 2, FAST / 8});
    uint64_t took = play(&w);
    assert_true(took * 10 <= ideal_ms(FAST + FAST / 2 + FAST / 8) * 13);
    assert_true(w.providers[0].sent_bytes > w.providers[1].sent_bytes * 3 / 2);
    assert_true(w.providers[1].sent_bytes > w.providers[2].sent_bytes * 2);
    world_free(&w);
}

/* One that needs 2 s for a block must not hold up those that need 16 ms. */
static void a_slow_peer_holds_up_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, (const uint64_t[]){64 * KIB, FAST, FAST});
    assert_true(play(&w) <= ideal_ms(2 * FAST) * 13 / 10 + 2500);
    world_free(&w);
}

static void play_fate(enum fate fate, uint64_t extra_ms)
{
    struct world w;
    world_init(&w, (const uint64_t[]){FAST, FAST, FAST});
    w.providers[0].fate = fate;
    assert_true(play(&w) <= ideal_ms(2 * FAST) * 12 / 10 + extra_ms);
    world_free(&w);
}

static void a_provider_that_vanishes_costs_little(void **state)
{
    (void)state;
    play_fate(VANISHES, 100);
}

static void a_provider_that_stalls_costs_little(void **state)
{
    (void)state;
    play_fate(STALLS, 1500);
}

static void a_provider_that_trickles_costs_little(void **state)
{
    (void)state;
    play_fate(TRICKLES, 2500);
}

static void a_provider_that_only_claims_costs_little(void **state)
{
    (void)state;
    play_fate(ONLY_CLAIMS, 2500);
}

static void a_provider_that_lies_costs_little(void **state)
{
    (void)state;
    play_fate(LIES, 2500);
}

/* Half-way everything is given up: nothing is left with any peer, in no table and on no account. */
static void a_cancel_leaves_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, (const uint64_t[]){FAST, FAST / 2, FAST / 8});
    uint64_t idle = account_used(&w.account);
    while (w.count < BLOCKS / 2)
        step(&w);
    for (size_t i = 0; i < w.wanted; i++)
        bitswap_session_unwant(w.s, &w.cids[i]);
    wants_carry(w.s, now_of(&w), hear, &w);
    assert_int_equal(bitswap_session_count(w.s), 0);
    for (size_t i = 0; i < PROVIDERS; i++) {
        assert_int_equal(w.providers[i].queued, 0);
        assert_false(bitswap_session_has_message(w.providers[i].handle));
    }
    assert_true(account_used(&w.account) <= idle + 64 * KIB); /* the table of wants keeps its size */
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wants_are_shared_by_rate),
        cmocka_unit_test(a_slow_peer_holds_up_nothing),
        cmocka_unit_test(a_provider_that_vanishes_costs_little),
        cmocka_unit_test(a_provider_that_stalls_costs_little),
        cmocka_unit_test(a_provider_that_trickles_costs_little),
        cmocka_unit_test(a_provider_that_only_claims_costs_little),
        cmocka_unit_test(a_provider_that_lies_costs_little),
        cmocka_unit_test(a_cancel_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
