/* SPDX-License-Identifier: MIT */
/* Configured peers: peering for ever, bootstrap until it has worked, and all of them when one is alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/discovery/keeper.h"

#define PEER_1 "/ip4/203.0.113.1/tcp/4001/p2p/12D3KooWC29Yo8tMd9DTJLYtEJAt2BCef4FHfzfviixApuQxekna"
#define PEER_2 "/ip4/203.0.113.2/tcp/4001/p2p/12D3KooWPbZpXYPm9Y1dWXZqakccg4NUTA221BxhYA7nCz3QtvH9"

static const uint64_t start_ns = 3600 * SECOND_NS;

static void only_addresses_with_a_peer_are_taken(void **state)
{
    (void)state;
    static struct keeper k;
    k = (struct keeper){0};
    assert_int_equal(keeper_add(&k, "/ip4/1.2.3.4/tcp/1", true), ERR_INVALID);
    assert_int_equal(keeper_add(&k, "nonsense", true), ERR_INVALID);
    assert_int_equal(keeper_add(&k, PEER_1, false), ERR_OK);
    assert_int_equal(keeper_add(&k, PEER_1, true), ERR_OK);
    assert_int_equal(k.count, 1);
    assert_true(k.peers[0].peering);
}

static void peering_is_tried_for_ever_with_growing_pauses(void **state)
{
    (void)state;
    static struct keeper k;
    k = (struct keeper){0};
    assert_int_equal(keeper_add(&k, PEER_1, true), ERR_OK);
    uint64_t now = start_ns;
    uint64_t last = 0;
    for (int i = 0; i < 20; i++) {
        struct keeper_peer *peer = keeper_next(&k, now);
        assert_non_null(peer);
        assert_null(keeper_next(&k, now)); /* one try at a time */
        keeper_ended(&k, peer, false, now, 0);
        uint64_t pause = keeper_due(&k) - now;
        assert_true(pause >= last && pause <= KEEPER_RETRY_MAX_MS * MS_NS);
        last = pause;
        assert_null(keeper_next(&k, now + pause - 1));
        now += pause;
    }
    assert_int_equal(last, KEEPER_RETRY_MAX_MS / 2 * MS_NS);
    struct keeper_peer *peer = keeper_next(&k, now);
    keeper_ended(&k, peer, true, now, 0);
    keeper_up(&k, &peer->id);
    assert_int_equal(keeper_due(&k), UINT64_MAX);
    keeper_down(&k, &peer->id, now, 0);
    assert_int_equal(keeper_due(&k), now + KEEPER_RETRY_MS / 2 * MS_NS); /* the count began anew */
}

static void bootstrap_is_done_when_it_worked_until_we_are_alone(void **state)
{
    (void)state;
    static struct keeper k;
    k = (struct keeper){0};
    assert_int_equal(keeper_add(&k, PEER_1, false), ERR_OK);
    assert_int_equal(keeper_add(&k, PEER_2, false), ERR_OK);
    for (int i = 0; i < 2; i++) {
        struct keeper_peer *peer = keeper_next(&k, start_ns);
        assert_non_null(peer);
        keeper_ended(&k, peer, true, start_ns, 0);
        keeper_up(&k, &peer->id);
    }
    keeper_down(&k, &k.peers[0].id, start_ns, 0);
    assert_int_equal(keeper_due(&k), UINT64_MAX); /* one is enough */
    keeper_down(&k, &k.peers[1].id, start_ns, 0);
    assert_true(keeper_due(&k) < start_ns + KEEPER_RETRY_MS * MS_NS);
    assert_non_null(keeper_next(&k, start_ns + KEEPER_RETRY_MS * MS_NS));
    assert_non_null(keeper_next(&k, start_ns + KEEPER_RETRY_MS * MS_NS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_addresses_with_a_peer_are_taken),
        cmocka_unit_test(peering_is_tried_for_ever_with_growing_pauses),
        cmocka_unit_test(bootstrap_is_done_when_it_worked_until_we_are_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
