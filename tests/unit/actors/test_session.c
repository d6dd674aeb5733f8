/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "actors/bitswap/pace.h"
#include "actors/bitswap/session.h"
#include "base/random.h"
#include "tests/support/bytes.h"
#include "tests/unit/actors/helper_wants.h"

/* What the engine asked a peer, as the peer's own ledger keeps it. */
enum heard { HEARD_NOTHING, HEARD_HAVE, HEARD_BLOCK };

enum { WORLD_PEERS = 8, WORLD_BLOCKS = 200, BYTES_MAX = 4 * 1024 * 1024 };

struct world_peer {
    struct bitswap_session_peer *handle;
    enum heard heard[WORLD_BLOCKS];
    bool has[WORLD_BLOCKS];
    bool mute;
    size_t entries;
    size_t repeats; /* want-blocks repeated without a cancel */
};

struct world {
    struct bitswap_session *s;
    struct account account;
    struct cid cids[WORLD_BLOCKS];
    struct world_peer peers[WORLD_PEERS];
    uint64_t now;
    size_t delivered;
    size_t duplicates;
};

static size_t index_of(const struct world *w, const struct cid *cid)
{
    for (size_t i = 0; i < WORLD_BLOCKS; i++)
        if (cid_equal(&w->cids[i], cid))
            return i;
    fail();
    return 0;
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof(*w));
    account_init(&w->account, "test", 64 * MIB);
    w->s = bitswap_session_new(&w->account, BYTES_MAX);
    assert_non_null(w->s);
    w->now = 1000 * SECOND_NS;
    for (size_t i = 0; i < WORLD_BLOCKS; i++) {
        struct multihash hash;
        assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, span_of(&i, sizeof(i)), &hash));
        w->cids[i] = cid_v1(CODEC_RAW, &hash);
    }
}

static void world_free(struct world *w)
{
    bitswap_session_free(w->s);
    assert_int_equal(account_used(&w->account), 0);
}

static void peer_up(struct world *w, size_t p)
{
    struct peer_id id = peer_id_of_key(span_of(&p, sizeof(p)));
    memset(w->peers[p].heard, 0, sizeof(w->peers[p].heard));
    assert_ok(bitswap_session_peer_up(w->s, &id, BITSWAP_1_2, w->now, &w->peers[p].handle));
}

static void peer_down(struct world *w, size_t p)
{
    bitswap_session_peer_down(w->s, w->peers[p].handle, w->now);
    w->peers[p].handle = NULL;
}

static void hear_want(void *arg, struct bitswap_session_peer *to, const struct bitswap_want *want)
{
    struct world *w = arg;
    size_t reading = 0;
    while (w->peers[reading].handle != to)
        assert_true(++reading < WORLD_PEERS);
    struct world_peer *p = &w->peers[reading];
    size_t i = index_of(w, &want->cid);
    p->entries++;
    if (want->cancel) {
        p->heard[i] = HEARD_NOTHING;
        return;
    }
    if (want->type == BITSWAP_WANT_BLOCK && p->heard[i] == HEARD_BLOCK)
        p->repeats++;
    assert_true(want->send_dont_have);
    p->heard[i] = want->type == BITSWAP_WANT_BLOCK ? HEARD_BLOCK : MAX(p->heard[i], HEARD_HAVE);
}

static void carry(struct world *w)
{
    wants_carry(w->s, w->now, hear_want, w);
}

static size_t asked_of(const struct world *w, size_t p)
{
    size_t asked = 0;
    for (size_t i = 0; i < WORLD_BLOCKS; i++)
        asked += w->peers[p].heard[i] == HEARD_BLOCK;
    return asked;
}

/* A peer answers at most `count` of what it heard. */
static void answer(struct world *w, size_t p, size_t count)
{
    struct world_peer *peer = &w->peers[p];
    for (size_t i = 0; i < WORLD_BLOCKS && count > 0 && peer->handle != NULL && !peer->mute; i++) {
        if (peer->heard[i] == HEARD_NOTHING)
            continue;
        count--;
        if (!peer->has[i]) {
            bitswap_session_presence(w->s, peer->handle, &w->cids[i], false, w->now);
        } else if (peer->heard[i] == HEARD_HAVE) {
            bitswap_session_presence(w->s, peer->handle, &w->cids[i], true, w->now);
            peer->heard[i] = HEARD_NOTHING;
        } else {
            peer->heard[i] = HEARD_NOTHING;
            if (bitswap_session_block(w->s, peer->handle, &w->cids[i], 1000, w->now))
                w->delivered++;
            else
                w->duplicates++;
        }
    }
}

static void run(struct world *w, unsigned rounds)
{
    for (unsigned r = 0; r < rounds && bitswap_session_count(w->s) > 0; r++) {
        carry(w);
        for (size_t p = 0; p < WORLD_PEERS; p++)
            answer(w, p, 1000);
        w->now += SESSION_TICK_MS * MS_NS;
        bitswap_session_tick(w->s, w->now);
    }
    carry(w);
}

static void one_peer_is_asked_and_the_rest_heard_a_cancel(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    for (size_t p = 0; p < 3; p++)
        peer_up(&w, p);
    w.peers[1].has[0] = true;
    assert_ok(bitswap_session_want(w.s, &w.cids[0], w.now));
    assert_err(bitswap_session_want(w.s, &w.cids[0], w.now), ERR_EXISTS);
    carry(&w);
    size_t blocks = 0;
    size_t haves = 0;
    for (size_t p = 0; p < 3; p++) {
        blocks += w.peers[p].heard[0] == HEARD_BLOCK;
        haves += w.peers[p].heard[0] == HEARD_HAVE;
    }
    assert_int_equal(blocks, 1);
    assert_int_equal(haves, 2);
    run(&w, 4);
    assert_int_equal(w.delivered, 1);
    for (size_t p = 0; p < 3; p++)
        assert_int_equal(w.peers[p].heard[0], HEARD_NOTHING);
    world_free(&w);
}

static void among_strangers_the_one_that_was_good_before_is_asked(void **state)
{
    (void)state;
    static struct world w;
    for (size_t best = 0; best < 4; best++) {
        world_init(&w);
        for (size_t p = 0; p < 4; p++) {
            peer_up(&w, p);
            bitswap_session_peer_set_score(w.peers[p].handle, p == best ? 900 : 600);
        }
        assert_ok(bitswap_session_want(w.s, &w.cids[0], w.now));
        carry(&w);
        for (size_t p = 0; p < 4; p++)
            assert_int_equal(w.peers[p].heard[0], p == best ? HEARD_BLOCK : HEARD_HAVE);
        assert_int_equal(bitswap_session_asked_ns(w.s, w.peers[best].handle, &w.cids[0]), w.now);
        w.now += 120 * SECOND_NS; /* it says nothing */
        bitswap_session_tick(w.s, w.now);
        assert_int_equal(bitswap_session_peer_take_broken(w.peers[best].handle), 1);
        assert_int_equal(bitswap_session_peer_take_broken(w.peers[best].handle), 0);
        world_free(&w);
    }
}

static void dont_have_moves_on_at_once(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    for (size_t p = 0; p < 4; p++)
        peer_up(&w, p);
    w.peers[3].has[5] = true;
    uint64_t start = w.now;
    assert_ok(bitswap_session_want(w.s, &w.cids[5], w.now));
    run(&w, 10);
    assert_int_equal(w.delivered, 1);
    assert_true(w.now - start < SECOND_NS * 2);
    world_free(&w);
}

static void silence_is_an_assumed_dont_have(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    peer_up(&w, 0);
    w.peers[0].mute = true;
    assert_ok(bitswap_session_want(w.s, &w.cids[0], w.now));
    carry(&w);
    peer_up(&w, 1);
    w.peers[1].has[0] = true;
    uint64_t start = w.now;
    run(&w, 100);
    assert_int_equal(w.delivered, 1);
    assert_in_range(w.now - start, 1, (SESSION_SILENCE_MS + 1000) * MS_NS);
    world_free(&w);
}

static void a_peer_that_delivers_is_not_given_up(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    peer_up(&w, 0);
    memset(w.peers[0].has, 1, sizeof(w.peers[0].has));
    for (size_t i = 0; i < 20; i++)
        assert_ok(bitswap_session_want(w.s, &w.cids[i], w.now));
    for (int i = 0; i < 20; i++) { /* a block each 4 s: 80 s in all */
        carry(&w);
        answer(&w, 0, 1);
        for (int t = 0; t < 16; t++) {
            w.now += SESSION_TICK_MS * MS_NS;
            bitswap_session_tick(w.s, w.now);
        }
    }
    assert_int_equal(w.delivered, 20);
    assert_int_equal(w.peers[0].repeats, 0);
    world_free(&w);
}

static void a_lost_peer_is_replaced(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    peer_up(&w, 0);
    for (size_t i = 0; i < 10; i++)
        assert_ok(bitswap_session_want(w.s, &w.cids[i], w.now));
    carry(&w);
    assert_int_equal(asked_of(&w, 0), 1);
    peer_up(&w, 1);
    memset(w.peers[1].has, 1, sizeof(w.peers[1].has));
    peer_down(&w, 0);
    run(&w, 3);
    assert_int_equal(w.delivered, 10);
    world_free(&w);
}

static void a_peer_that_comes_later_is_asked(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    assert_ok(bitswap_session_want(w.s, &w.cids[0], w.now));
    run(&w, 4);
    struct cid cid;
    assert_true(bitswap_session_next_search(w.s, w.now + SECOND_NS, &cid));
    assert_true(cid_equal(&cid, &w.cids[0]));
    assert_false(bitswap_session_next_search(w.s, w.now + SECOND_NS, &cid));
    peer_up(&w, 2);
    w.peers[2].has[0] = true;
    run(&w, 2);
    assert_int_equal(w.delivered, 1);
    world_free(&w);
}

/* With a stranger; with one that proved to be fast; with all. */
static void outstanding_bytes_are_bounded(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    peer_up(&w, 0);
    for (size_t i = 0; i < WORLD_BLOCKS; i++)
        assert_ok(bitswap_session_want(w.s, &w.cids[i], w.now));
    carry(&w);
    assert_int_equal(asked_of(&w, 0), 1);
    for (size_t i = 0; i < 4; i++) {
        w.now += 100 * MS_NS;
        assert_int_equal(w.peers[0].heard[i], HEARD_BLOCK);
        w.peers[0].heard[i] = HEARD_NOTHING;
        assert_true(bitswap_session_block(w.s, w.peers[0].handle, &w.cids[i], SESSION_BLOCK_GUESS_BYTES, w.now));
        carry(&w);
    }
    size_t asked = asked_of(&w, 0);
    assert_in_range(asked, 2, BYTES_MAX / SESSION_BLOCK_GUESS_BYTES);
    for (size_t i = 4; i < 8; i++) {
        w.peers[0].heard[i] = HEARD_NOTHING;
        assert_true(bitswap_session_block(w.s, w.peers[0].handle, &w.cids[i], SESSION_BLOCK_GUESS_BYTES, w.now));
    }
    carry(&w);
    assert_int_equal(asked_of(&w, 0), BYTES_MAX / SESSION_BLOCK_GUESS_BYTES);
    bitswap_session_bound(w.s, BYTES_MAX / 2);
    for (size_t i = 8; i < 20; i++) {
        w.peers[0].heard[i] = HEARD_NOTHING;
        assert_true(bitswap_session_block(w.s, w.peers[0].handle, &w.cids[i], SESSION_BLOCK_GUESS_BYTES, w.now));
    }
    carry(&w);
    assert_int_equal(asked_of(&w, 0), BYTES_MAX / 2 / SESSION_BLOCK_GUESS_BYTES);
    world_free(&w);
}

static void two_holders_share_the_work(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    for (size_t p = 0; p < 2; p++) {
        peer_up(&w, p);
        memset(w.peers[p].has, 1, sizeof(w.peers[p].has));
    }
    for (size_t i = 0; i < 40; i++)
        assert_ok(bitswap_session_want(w.s, &w.cids[i], w.now));
    carry(&w);
    assert_true(asked_of(&w, 0) > 0);
    assert_int_equal(asked_of(&w, 0), asked_of(&w, 1));
    run(&w, 20);
    assert_int_equal(w.delivered, 40);
    assert_int_equal(w.duplicates, 0);
    world_free(&w);
}

static void unwanted_blocks_are_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    peer_up(&w, 0);
    assert_false(bitswap_session_block(w.s, w.peers[0].handle, &w.cids[0], 10, w.now));
    assert_ok(bitswap_session_want(w.s, &w.cids[0], w.now));
    carry(&w);
    bitswap_session_unwant(w.s, &w.cids[0]);
    carry(&w);
    assert_int_equal(w.peers[0].heard[0], HEARD_NOTHING);
    assert_false(bitswap_session_block(w.s, w.peers[0].handle, &w.cids[0], 10, w.now));
    bitswap_session_unwant(w.s, &w.cids[0]);
    world_free(&w);
}

static void what_was_never_sent_needs_no_cancel(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    peer_up(&w, 0);
    assert_ok(bitswap_session_want(w.s, &w.cids[0], w.now));
    bitswap_session_unwant(w.s, &w.cids[0]);
    carry(&w);
    assert_int_equal(w.peers[0].entries, 0);
    world_free(&w);
}

static void lost_messages_are_sent_again(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    peer_up(&w, 0);
    w.peers[0].has[0] = true;
    assert_ok(bitswap_session_want(w.s, &w.cids[0], w.now));
    carry(&w);
    memset(w.peers[0].heard, 0, sizeof(w.peers[0].heard));
    bitswap_session_peer_resend(w.s, w.peers[0].handle);
    run(&w, 2);
    assert_int_equal(w.delivered, 1);
    world_free(&w);
}

/* Peers come, go, fall silent and gain blocks at random; in the end somebody has everything, and everything arrives. */
static void a_random_world_converges(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct world w;
        struct prng prng;
        prng_init(&prng, seed);
        world_init(&w);
        size_t wanted = 0;
        for (int step = 0; step < 300; step++) {
            size_t p = prng_below(&prng, WORLD_PEERS);
            size_t i = prng_below(&prng, WORLD_BLOCKS);
            switch (prng_below(&prng, 8)) {
            case 0:
                if (w.peers[p].handle == NULL)
                    peer_up(&w, p);
                break;
            case 1:
                if (w.peers[p].handle != NULL && prng_below(&prng, 3) == 0)
                    peer_down(&w, p);
                break;
            case 2:
                w.peers[p].mute = prng_below(&prng, 4) == 0;
                break;
            case 3:
                w.peers[p].has[i] = true;
                break;
            case 4:
                bitswap_session_unwant(w.s, &w.cids[i]);
                break;
            default:
                (void)!bitswap_session_want(w.s, &w.cids[i], w.now);
                break;
            }
            if (prng_below(&prng, 2) == 0)
                carry(&w);
            answer(&w, p, 1 + prng_below(&prng, 10));
            w.now += prng_below(&prng, 500) * MS_NS;
            bitswap_session_tick(w.s, w.now);
        }
        wanted = bitswap_session_count(w.s);
        w.delivered = 0;
        for (size_t p = 0; p < WORLD_PEERS; p++) {
            w.peers[p].mute = p != 0;
            memset(w.peers[p].has, p == 0, sizeof(w.peers[p].has));
        }
        if (w.peers[0].handle == NULL)
            peer_up(&w, 0);
        run(&w, 120 * 1000 / SESSION_TICK_MS);
        assert_int_equal(bitswap_session_count(w.s), 0);
        assert_int_equal(w.delivered, wanted);
        for (size_t p = 0; p < WORLD_PEERS; p++)
            for (size_t i = 0; w.peers[p].handle != NULL && i < WORLD_BLOCKS; i++)
                assert_int_equal(w.peers[p].heard[i], HEARD_NOTHING);
        world_free(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_peer_is_asked_and_the_rest_heard_a_cancel),
        cmocka_unit_test(among_strangers_the_one_that_was_good_before_is_asked),
        cmocka_unit_test(dont_have_moves_on_at_once),
        cmocka_unit_test(silence_is_an_assumed_dont_have),
        cmocka_unit_test(a_peer_that_delivers_is_not_given_up),
        cmocka_unit_test(a_lost_peer_is_replaced),
        cmocka_unit_test(a_peer_that_comes_later_is_asked),
        cmocka_unit_test(outstanding_bytes_are_bounded),
        cmocka_unit_test(two_holders_share_the_work),
        cmocka_unit_test(unwanted_blocks_are_refused),
        cmocka_unit_test(what_was_never_sent_needs_no_cancel),
        cmocka_unit_test(lost_messages_are_sent_again),
        cmocka_unit_test(a_random_world_converges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
