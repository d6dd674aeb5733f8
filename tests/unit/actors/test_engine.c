/* SPDX-License-Identifier: MIT */
/* The serving engine against a naive storage; RELIABILITY rows D1 and D2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "actors/bitswap/engine.h"
#include "base/random.h"
#include "tests/support/bytes.h"

enum { WORLD_PEERS = 4, WORLD_BLOCKS = 64 };

struct got {
    size_t blocks[WORLD_BLOCKS];
    size_t haves[WORLD_BLOCKS];
    size_t dont_haves[WORLD_BLOCKS];
    size_t messages;
    size_t foreign;
};

struct world {
    struct engine *e;
    struct account tables;
    struct account send;
    struct cid cids[WORLD_BLOCKS];
    struct block_ref *blocks[WORLD_BLOCKS];
    bool stored[WORLD_BLOCKS];
    struct engine_peer *peers[WORLD_PEERS];
    struct got got[WORLD_PEERS];
    size_t reading;
    size_t lookups;
    size_t fetches;
    uint64_t now;
    uint64_t ms_per_kib;  /* that the peers take */
    size_t largest_first; /* block bytes of a message */
    size_t largest_later;
};

static size_t block_size(size_t i)
{
    return i % 4 == 0 ? 100 + i : 3000 + i * 500;
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof(*w));
    account_init(&w->tables, "tables", 16 * MIB);
    account_init(&w->send, "send", 8 * MIB);
    w->e = engine_new(&w->tables, &w->send);
    for (size_t i = 0; i < WORLD_BLOCKS; i++) {
        struct multihash hash;
        w->blocks[i] = block_ref_new(block_size(i), NULL);
        memset(w->blocks[i]->data, (int)i, block_size(i));
        assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, block_ref_span(w->blocks[i]), &hash));
        w->cids[i] = cid_v1(CODEC_RAW, &hash);
    }
}

static void peer_up(struct world *w, size_t p)
{
    struct peer_id id = peer_id_of_key(span_of(&p, sizeof(p)));
    memset(&w->got[p], 0, sizeof(w->got[p]));
    assert_ok(engine_peer_up(w->e, &id, &w->peers[p]));
    engine_peer_set_owner(w->peers[p], &w->got[p]);
}

static void peer_down(struct world *w, size_t p)
{
    engine_peer_down(w->e, w->peers[p]);
    w->peers[p] = NULL;
}

static void world_free(struct world *w)
{
    for (size_t p = 0; p < WORLD_PEERS; p++)
        if (w->peers[p] != NULL)
            peer_down(w, p);
    engine_free(w->e);
    for (size_t i = 0; i < WORLD_BLOCKS; i++) {
        assert_int_equal(w->blocks[i]->refs, 1);
        block_ref_unref(w->blocks[i]);
    }
    assert_int_equal(account_used(&w->tables), 0);
    assert_int_equal(account_used(&w->send), 0);
}

static size_t index_of(const struct world *w, const struct cid *cid)
{
    for (size_t i = 0; i < WORLD_BLOCKS; i++)
        if (cid_same_block(&w->cids[i], cid))
            return i;
    return WORLD_BLOCKS;
}

static struct block_ref *see_acquire(void *arg, size_t size)
{
    (void)arg;
    return block_ref_new(size, NULL);
}

static void see_want(void *arg, const struct bitswap_want *want)
{
    (void)arg;
    (void)want;
    fail();
}

static void see_presence(void *arg, const struct cid *cid, bool have)
{
    struct world *w = arg;
    struct got *got = &w->got[w->reading];
    size_t i = index_of(w, cid);
    if (i == WORLD_BLOCKS)
        got->foreign++;
    else
        (have ? got->haves : got->dont_haves)[i]++;
}

static void see_block(void *arg, const struct cid *cid, struct block_ref *block)
{
    struct world *w = arg;
    size_t i = index_of(w, cid);
    assert_true(i < WORLD_BLOCKS);
    assert_int_equal(block->len, block_size(i));
    w->got[w->reading].blocks[i]++;
}

static void see_rejected(void *arg, enum err why, size_t bytes)
{
    (void)arg;
    (void)why;
    (void)bytes;
    fail();
}

static void see_end(void *arg, const struct bitswap_end *end)
{
    struct world *w = arg;
    (void)end;
    w->got[w->reading].messages++;
}

static void answer_lookups(struct world *w)
{
    struct cid cid;
    while (engine_next_lookup(w->e, &cid)) {
        size_t i = index_of(w, &cid);
        w->lookups++;
        engine_looked_up(w->e, &cid, i < WORLD_BLOCKS && w->stored[i] ? block_size(i) + 1 : 0);
    }
}

static void answer_fetches(struct world *w)
{
    struct engine_fetch fetch;
    while (engine_next_fetch(w->e, &fetch)) {
        size_t i = index_of(w, &fetch.cid);
        w->fetches++;
        assert_int_equal(fetch.size, block_size(i));
        engine_fetched(w->e, fetch.peer, &fetch.cid, w->stored[i] ? w->blocks[i] : NULL);
    }
}

/* Sends what is due through the real codec; the bytes count as received at once. */
static void carry(struct world *w)
{
    struct bitswap_sink sink = {w, see_acquire, see_want, see_presence, see_block, see_rejected, see_end};
    struct engine_peer *peer;
    while ((peer = engine_next_dirty(w->e)) != NULL) {
        struct bitswap_writer writer;
        size_t bytes = 0;
        bitswap_writer_init(&writer, BITSWAP_1_2, BITSWAP_MESSAGE_MAX, NULL);
        w->reading = (size_t)((struct got *)engine_peer_owner(peer) - w->got);
        if (engine_fill(w->e, peer, &writer, &bytes)) {
            struct bitswap_reader reader;
            struct bitswap_piece piece;
            size_t position = 0;
            assert_ok(bitswap_writer_finish(&writer));
            bitswap_reader_init(&reader);
            while (bitswap_writer_next(&writer, &position, &piece)) {
                struct span block = block_ref_span(piece.block);
                assert_ok(bitswap_reader_feed(&reader, &piece.bytes, &sink));
                assert_ok(bitswap_reader_feed(&reader, &block, &sink));
            }
            assert_true(bitswap_reader_at_boundary(&reader));
            uint64_t filled_ns = w->now;
            w->now += bytes / KIB * w->ms_per_kib * MS_NS;
            size_t *largest = filled_ns == 0 ? &w->largest_first : &w->largest_later;
            *largest = MAX(*largest, bytes);
            engine_sent(w->e, peer, bytes, filled_ns, w->now);
        }
        bitswap_writer_release(&writer);
    }
}

static void settle(struct world *w)
{
    for (int i = 0; i < 200; i++) {
        answer_lookups(w);
        answer_fetches(w);
        carry(w);
    }
}

static struct bitswap_want want_of(const struct cid *cid, enum bitswap_want_type type)
{
    return (struct bitswap_want){.cid = *cid, .priority = 1, .type = type, .send_dont_have = true};
}

static void say(struct world *w, size_t p, const struct bitswap_want *want)
{
    uint64_t message = engine_message_begin(w->peers[p]);
    engine_want(w->e, w->peers[p], want, message);
    engine_message_end(w->e, w->peers[p], message, false);
}

static void blocks_and_presences_are_answered(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    peer_up(&w, 0);
    w.stored[1] = w.stored[4] = true;
    struct bitswap_want big_have = want_of(&w.cids[1], BITSWAP_WANT_HAVE);
    struct bitswap_want small_have = want_of(&w.cids[4], BITSWAP_WANT_HAVE);
    struct bitswap_want absent = want_of(&w.cids[2], BITSWAP_WANT_BLOCK);
    struct bitswap_want silent = want_of(&w.cids[3], BITSWAP_WANT_BLOCK);
    silent.send_dont_have = false;
    say(&w, 0, &big_have);
    say(&w, 0, &small_have);
    say(&w, 0, &absent);
    say(&w, 0, &silent);
    settle(&w);
    assert_int_equal(w.got[0].haves[1], 1);
    assert_int_equal(w.got[0].blocks[1], 0);
    assert_int_equal(w.got[0].blocks[4], 1); /* 104 bytes: the block itself answers */
    assert_int_equal(w.got[0].dont_haves[2], 1);
    assert_int_equal(w.got[0].dont_haves[3], 0);
    assert_int_equal(engine_want_count(w.peers[0]), 2);
    struct bitswap_want block = want_of(&w.cids[1], BITSWAP_WANT_BLOCK);
    say(&w, 0, &block);
    settle(&w);
    assert_int_equal(w.got[0].blocks[1], 1);
    world_free(&w);
}

static void absent_blocks_are_sent_when_they_arrive(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    for (size_t p = 0; p < 3; p++) {
        struct bitswap_want want = want_of(&w.cids[7], p == 2 ? BITSWAP_WANT_HAVE : BITSWAP_WANT_BLOCK);
        peer_up(&w, p);
        say(&w, p, &want);
    }
    settle(&w);
    w.stored[7] = true;
    engine_stored(w.e, &w.cids[7]);
    settle(&w);
    assert_int_equal(w.got[0].blocks[7] + w.got[1].blocks[7], 2);
    assert_int_equal(w.got[2].haves[7], 1);
    assert_int_equal(engine_want_count(w.peers[0]), 0);
    world_free(&w);
}

/* A cold block whose medium goes away between the look and the read, and comes back; nobody is told the same twice. */
static void a_block_that_cannot_be_read_is_looked_at_again(void **state)
{
    (void)state;
    struct world w;
    struct cid cid;
    struct engine_fetch fetch;
    world_init(&w);
    peer_up(&w, 0);
    struct bitswap_want cold = want_of(&w.cids[5], BITSWAP_WANT_BLOCK);
    struct bitswap_want absent = want_of(&w.cids[6], BITSWAP_WANT_BLOCK);
    say(&w, 0, &cold);
    say(&w, 0, &absent);
    assert_true(engine_next_lookup(w.e, &cid));
    engine_looked_up(w.e, &cid, block_size(5) + 1);
    assert_true(engine_next_fetch(w.e, &fetch));
    engine_fetch_in_doubt(w.e, fetch.peer, &fetch.cid);
    assert_int_equal(account_used(&w.send), 0);
    settle(&w);
    assert_int_equal(w.got[0].dont_haves[5], 1);
    assert_false(engine_has_work(w.e));
    w.stored[5] = true;
    engine_look_at_all(w.e);
    settle(&w);
    assert_int_equal(w.got[0].blocks[5], 1);
    assert_int_equal(w.got[0].dont_haves[6], 1);
    world_free(&w);
}

/* The block is stored between storage's look and its answer. */
static void a_block_that_arrives_during_the_lookup_is_not_missed(void **state)
{
    (void)state;
    struct world w;
    struct cid cid;
    world_init(&w);
    peer_up(&w, 0);
    struct bitswap_want want = want_of(&w.cids[5], BITSWAP_WANT_BLOCK);
    say(&w, 0, &want);
    assert_true(engine_next_lookup(w.e, &cid));
    w.stored[5] = true;
    engine_stored(w.e, &cid);
    engine_looked_up(w.e, &cid, 0);
    settle(&w);
    assert_int_equal(w.got[0].blocks[5], 1);
    world_free(&w);
}

static void both_versions_are_answered_as_asked(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    peer_up(&w, 0);
    struct cid v1 = cid_v1(CODEC_DAG_PB, &w.cids[9].hash);
    struct cid v0;
    assert_ok(cid_v0(&w.cids[9].hash, &v0));
    struct bitswap_want a = want_of(&v0, BITSWAP_WANT_BLOCK);
    struct bitswap_want b = want_of(&v1, BITSWAP_WANT_BLOCK);
    w.stored[9] = true;
    say(&w, 0, &a);
    say(&w, 0, &b);
    settle(&w);
    assert_int_equal(w.got[0].blocks[9], 2);
    assert_int_equal(w.lookups, 1);
    world_free(&w);
}

static void who_wants_a_block_is_told(void **state)
{
    (void)state;
    struct world w;
    struct peer_id who[2];
    bool more = true;
    world_init(&w);
    for (unsigned i = 0; i < 3; i++)
        peer_up(&w, i);
    struct cid v1 = cid_v1(CODEC_DAG_PB, &w.cids[9].hash);
    struct cid v0;
    assert_ok(cid_v0(&w.cids[9].hash, &v0));
    struct bitswap_want a = want_of(&v0, BITSWAP_WANT_BLOCK);
    struct bitswap_want b = want_of(&v1, BITSWAP_WANT_BLOCK);
    assert_int_equal(engine_wanted_by(w.e, &v1, who, 2, &more), 0);
    assert_false(more);
    say(&w, 0, &a);
    say(&w, 0, &b); /* under two names: one peer */
    say(&w, 1, &b);
    assert_int_equal(engine_wanted_by(w.e, &v1, who, 2, &more), 2);
    assert_false(more);
    assert_int_equal(engine_wanted_by(w.e, &w.cids[8], who, 2, &more), 0);
    say(&w, 2, &a);
    assert_int_equal(engine_wanted_by(w.e, &v0, who, 2, &more), 2);
    assert_true(more);
    world_free(&w);
}

static void cancels_and_full_lists(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    peer_up(&w, 0);
    for (size_t i = 0; i < 10; i++) {
        struct bitswap_want want = want_of(&w.cids[i], BITSWAP_WANT_BLOCK);
        say(&w, 0, &want);
    }
    struct bitswap_want cancel = {.cid = w.cids[3], .cancel = true};
    say(&w, 0, &cancel);
    say(&w, 0, &cancel);
    assert_int_equal(engine_want_count(w.peers[0]), 9);
    struct bitswap_want keep = want_of(&w.cids[4], BITSWAP_WANT_BLOCK);
    struct bitswap_want other = want_of(&w.cids[20], BITSWAP_WANT_BLOCK);
    uint64_t interrupted = engine_message_begin(w.peers[0]);
    engine_want(w.e, w.peers[0], &other, interrupted);
    uint64_t message = engine_message_begin(w.peers[0]);
    uint64_t newer = engine_message_begin(w.peers[0]); /* of another stream */
    other = want_of(&w.cids[21], BITSWAP_WANT_BLOCK);
    engine_want(w.e, w.peers[0], &keep, message);
    engine_want(w.e, w.peers[0], &other, newer);
    engine_message_end(w.e, w.peers[0], newer, false);
    engine_message_end(w.e, w.peers[0], message, true);
    assert_int_equal(engine_want_count(w.peers[0]), 2);
    memset(w.stored, 1, sizeof(w.stored));
    settle(&w);
    assert_int_equal(w.got[0].blocks[4], 1);
    assert_int_equal(w.got[0].blocks[21], 1);
    assert_int_equal(w.got[0].blocks[3] + w.got[0].blocks[5] + w.got[0].blocks[20], 0);
    world_free(&w);
}

/* Storage charges what it reads to the same account, until the answer is here: it must never find it full. */
static void what_storage_reads_fits_beside_what_is_fetched(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    account_init(&w.send, "send", 96 * KIB);
    memset(w.stored, 1, sizeof(w.stored));
    for (size_t p = 0; p < WORLD_PEERS; p++) {
        peer_up(&w, p);
        for (size_t i = 0; i < WORLD_BLOCKS; i++) {
            struct bitswap_want want = want_of(&w.cids[i], BITSWAP_WANT_BLOCK);
            say(&w, p, &want);
        }
    }
    for (int round = 0; round < 2000; round++) {
        struct engine_fetch fetches[WORLD_PEERS * WORLD_BLOCKS];
        size_t count = 0;
        answer_lookups(&w);
        while (engine_next_fetch(w.e, &fetches[count])) {
            assert_true(count + 1 < ARRAY_LEN(fetches));
            count++;
        }
        for (size_t i = 0; i < count; i++)
            assert_true(account_take(&w.send, fetches[i].size));
        for (size_t i = 0; i < count; i++) {
            account_give(&w.send, fetches[i].size);
            engine_fetched(w.e, fetches[i].peer, &fetches[i].cid, w.blocks[index_of(&w, &fetches[i].cid)]);
        }
        carry(&w);
    }
    for (size_t p = 0; p < WORLD_PEERS; p++)
        for (size_t i = 0; i < WORLD_BLOCKS; i++)
            assert_int_equal(w.got[p].blocks[i] + w.got[p].dont_haves[i] * 100, 1);
    world_free(&w);
}

static struct cid nobody_has(uint64_t n)
{
    struct multihash hash;
    n ^= UINT64_C(0xabcdef0000000000);
    assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, span_of(&n, sizeof(n)), &hash));
    return cid_v1(CODEC_RAW, &hash);
}

/* Row D2: 1024 wants for what nobody has, then one that is there. */
static void a_list_full_of_absent_blocks_does_not_starve(void **state)
{
    (void)state;
    for (int settled = 0; settled < 2; settled++) {
        struct world w;
        world_init(&w);
        peer_up(&w, 0);
        w.stored[8] = true;
        for (uint64_t n = 0; n < LEDGER_WANTS_MAX + 500; n++) {
            struct cid cid = nobody_has(n);
            struct bitswap_want want = want_of(&cid, BITSWAP_WANT_BLOCK);
            engine_want(w.e, w.peers[0], &want, 1);
        }
        if (settled)
            settle(&w);
        struct bitswap_want want = want_of(&w.cids[8], BITSWAP_WANT_BLOCK);
        say(&w, 0, &want);
        settle(&w);
        assert_int_equal(w.got[0].blocks[8], 1);
        assert_true(engine_want_count(w.peers[0]) <= LEDGER_WANTS_MAX);
        world_free(&w);
    }
}

static void higher_priority_keeps_its_place(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    peer_up(&w, 0);
    for (uint64_t n = 0; n < LEDGER_WANTS_MAX; n++) {
        struct cid cid = nobody_has(n);
        struct bitswap_want want = want_of(&cid, BITSWAP_WANT_BLOCK);
        want.priority = 100;
        engine_want(w.e, w.peers[0], &want, 1);
    }
    struct bitswap_want low = want_of(&w.cids[8], BITSWAP_WANT_BLOCK);
    say(&w, 0, &low);
    settle(&w);
    assert_int_equal(w.got[0].dont_haves[8], 1);
    assert_int_equal(w.got[0].foreign, LEDGER_WANTS_MAX);
    world_free(&w);
}

/* Row D1, in small: wants and reconnects without end leave memory flat. */
static void reconnects_leave_nothing_behind(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    uint64_t first = 0;
    for (int round = 0; round < 10; round++) {
        peer_up(&w, 0);
        for (uint64_t n = 0; n < 3000; n++) {
            struct cid cid = nobody_has(n + (uint64_t)round * 3000);
            struct bitswap_want want = want_of(&cid, BITSWAP_WANT_BLOCK);
            engine_want(w.e, w.peers[0], &want, 1);
        }
        uint64_t used = account_used(&w.tables);
        first = round == 0 ? used : first;
        assert_true(used <= first + 64 * KIB);
        answer_lookups(&w);
        peer_down(&w, 0);
    }
    world_free(&w);
}

/* Peers that fill their lists do not use up the memory; who comes later is served. */
static void crowds_leave_room_for_the_next(void **state)
{
    (void)state;
    struct world w;
    struct engine_peer *crowd[40];
    world_init(&w);
    account_init(&w.tables, "tables", 4 * MIB);
    for (size_t p = 0; p < ARRAY_LEN(crowd); p++) {
        size_t seed = 1000 + p;
        struct peer_id id = peer_id_of_key(span_of(&seed, sizeof(seed)));
        assert_ok(engine_peer_up(w.e, &id, &crowd[p]));
        for (uint64_t n = 0; n < LEDGER_WANTS_MAX; n++) {
            struct cid cid = nobody_has(n + p * LEDGER_WANTS_MAX);
            struct bitswap_want want = want_of(&cid, BITSWAP_WANT_BLOCK);
            want.send_dont_have = false;
            engine_want(w.e, crowd[p], &want, 1);
        }
        engine_message_end(w.e, crowd[p], 1, false);
        answer_lookups(&w);
    }
    assert_in_range(account_used(&w.tables), 2 * MIB, 4 * MIB - 64 * KIB);
    peer_up(&w, 0);
    w.stored[8] = true;
    struct bitswap_want want = want_of(&w.cids[8], BITSWAP_WANT_BLOCK);
    say(&w, 0, &want);
    settle(&w);
    assert_int_equal(w.got[0].blocks[8], 1);
    for (size_t p = 0; p < ARRAY_LEN(crowd); p++)
        engine_peer_down(w.e, crowd[p]);
    world_free(&w);
}

static void slow_readers_hold_a_bounded_amount(void **state)
{
    (void)state;
    struct world w;
    struct engine_fetch fetch;
    size_t bytes = 0;
    world_init(&w);
    account_init(&w.send, "send", 2 * MIB);
    peer_up(&w, 0);
    memset(w.stored, 1, sizeof(w.stored));
    for (size_t i = 0; i < WORLD_BLOCKS; i++) {
        struct bitswap_want want = want_of(&w.cids[i], BITSWAP_WANT_BLOCK);
        engine_want(w.e, w.peers[0], &want, 1);
    }
    answer_lookups(&w);
    while (engine_next_fetch(w.e, &fetch)) {
        bytes += fetch.size;
        engine_fetched(w.e, fetch.peer, &fetch.cid, w.blocks[index_of(&w, &fetch.cid)]);
    }
    assert_in_range(bytes, w.send.limit_bytes / 4, w.send.limit_bytes / 3);
    assert_int_equal(account_used(&w.send), bytes);
    settle(&w);
    for (size_t i = 0; i < WORLD_BLOCKS; i++)
        assert_int_equal(w.got[0].blocks[i], 1);
    world_free(&w);
}

/* One wants large blocks, two want small ones; what is fetched leaves at once. All get the same bytes while all have wants. */
static void peers_share_by_bytes(void **state)
{
    (void)state;
    enum { LARGE = 512 * 1024, SMALL = 3000, WANTS = 500, PEERS = 3 };
    struct world w;
    struct engine_fetch fetch;
    size_t bytes[PEERS] = {0};
    world_init(&w);
    for (size_t p = 0; p < PEERS; p++) {
        peer_up(&w, p);
        for (uint64_t i = 0; i < WANTS; i++) {
            struct cid cid = nobody_has(p * WANTS + i);
            struct bitswap_want want = want_of(&cid, BITSWAP_WANT_BLOCK);
            engine_want(w.e, w.peers[p], &want, 1);
            assert_true(engine_next_lookup(w.e, &cid));
            engine_looked_up(w.e, &cid, (p == 0 ? LARGE : SMALL) + 1);
        }
    }
    struct block_ref *blocks[] = {block_ref_new(LARGE, NULL), block_ref_new(SMALL, NULL)};
    while (bytes[1] < WANTS * SMALL / 2) {
        assert_true(engine_next_fetch(w.e, &fetch));
        size_t p = (size_t)((struct got *)engine_peer_owner(fetch.peer) - w.got);
        bytes[p] += fetch.size;
        engine_fetched(w.e, fetch.peer, &fetch.cid, blocks[p != 0]);
        struct engine_peer *due = engine_next_dirty(w.e);
        struct bitswap_writer writer;
        size_t sent = 0;
        bitswap_writer_init(&writer, BITSWAP_1_2, BITSWAP_MESSAGE_MAX, NULL);
        assert_true(engine_fill(w.e, due, &writer, &sent));
        engine_lost(w.e, due, sent);
        bitswap_writer_release(&writer);
    }
    for (size_t p = 0; p < PEERS; p++)
        assert_in_range(bytes[p], bytes[1] - MIN(bytes[1], LARGE + ENGINE_QUANTUM_BYTES),
                        bytes[1] + LARGE + ENGINE_QUANTUM_BYTES);
    block_ref_unref(blocks[0]);
    block_ref_unref(blocks[1]);
    world_free(&w);
}

/* To a slow reader a message is what it takes in about a second; to a fast one as much as is gathered. */
static void messages_fit_the_reader(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    peer_up(&w, 0);
    w.ms_per_kib = 20; /* 50 KiB/s */
    memset(w.stored, 1, sizeof(w.stored));
    for (size_t i = 0; i < WORLD_BLOCKS; i++) {
        struct bitswap_want want = want_of(&w.cids[i], BITSWAP_WANT_BLOCK);
        engine_want(w.e, w.peers[0], &want, 1);
    }
    settle(&w);
    assert_true(w.largest_first > 64 * KIB); /* nothing was known of it yet */
    assert_true(w.largest_later <= 50 * KIB + block_size(WORLD_BLOCKS - 1));
    world_free(&w);
}

static void a_block_that_vanished_is_a_dont_have(void **state)
{
    (void)state;
    struct world w;
    struct engine_fetch fetch;
    world_init(&w);
    peer_up(&w, 0);
    w.stored[1] = true;
    struct bitswap_want want = want_of(&w.cids[1], BITSWAP_WANT_BLOCK);
    say(&w, 0, &want);
    answer_lookups(&w);
    assert_true(engine_next_fetch(w.e, &fetch));
    engine_fetched(w.e, fetch.peer, &fetch.cid, NULL);
    carry(&w);
    assert_int_equal(w.got[0].dont_haves[1], 1);
    assert_int_equal(engine_want_count(w.peers[0]), 1);
    assert_int_equal(account_used(&w.send), 0);
    world_free(&w);
}

/* Random wants, cancels, arrivals and departures; at the end everything is stored and each standing want is served. */
static void a_random_world_is_served(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world w;
        struct prng prng;
        bool wanted[WORLD_PEERS][WORLD_BLOCKS] = {{false}};
        prng_init(&prng, seed);
        world_init(&w);
        for (int step = 0; step < 400; step++) {
            size_t p = prng_below(&prng, WORLD_PEERS);
            size_t i = prng_below(&prng, WORLD_BLOCKS);
            if (w.peers[p] == NULL) {
                peer_up(&w, p);
                continue;
            }
            switch (prng_below(&prng, 12)) {
            case 0:
                peer_down(&w, p);
                memset(wanted[p], 0, sizeof(wanted[p]));
                break;
            case 1: {
                struct bitswap_want cancel = {.cid = w.cids[i], .cancel = true};
                say(&w, p, &cancel);
                wanted[p][i] = false;
                break;
            }
            case 2:
                w.stored[i] = true;
                engine_stored(w.e, &w.cids[i]);
                break;
            case 3:
                answer_lookups(&w);
                break;
            case 4:
                answer_fetches(&w);
                break;
            case 5:
                carry(&w);
                break;
            default: {
                struct bitswap_want want = want_of(&w.cids[i], BITSWAP_WANT_BLOCK);
                say(&w, p, &want);
                w.got[p].blocks[i] = 0;
                wanted[p][i] = true;
                break;
            }
            }
        }
        for (size_t i = 0; i < WORLD_BLOCKS; i++) {
            w.stored[i] = true;
            engine_stored(w.e, &w.cids[i]);
        }
        settle(&w);
        for (size_t p = 0; p < WORLD_PEERS; p++)
            for (size_t i = 0; w.peers[p] != NULL && i < WORLD_BLOCKS; i++)
                assert_true(!wanted[p][i] || w.got[p].blocks[i] >= 1);
        world_free(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_and_presences_are_answered),
        cmocka_unit_test(absent_blocks_are_sent_when_they_arrive),
        cmocka_unit_test(a_block_that_cannot_be_read_is_looked_at_again),
        cmocka_unit_test(a_block_that_arrives_during_the_lookup_is_not_missed),
        cmocka_unit_test(both_versions_are_answered_as_asked),
        cmocka_unit_test(who_wants_a_block_is_told),
        cmocka_unit_test(cancels_and_full_lists),
        cmocka_unit_test(what_storage_reads_fits_beside_what_is_fetched),
        cmocka_unit_test(a_list_full_of_absent_blocks_does_not_starve),
        cmocka_unit_test(higher_priority_keeps_its_place),
        cmocka_unit_test(reconnects_leave_nothing_behind),
        cmocka_unit_test(crowds_leave_room_for_the_next),
        cmocka_unit_test(slow_readers_hold_a_bounded_amount),
        cmocka_unit_test(peers_share_by_bytes),
        cmocka_unit_test(messages_fit_the_reader),
        cmocka_unit_test(a_block_that_vanished_is_a_dont_have),
        cmocka_unit_test(a_random_world_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
