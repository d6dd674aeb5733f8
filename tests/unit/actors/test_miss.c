/* SPDX-License-Identifier: MIT */
/* What a whole node does when a peer wants what is not there, but at another peer: by its role, and by the want's priority. */
#include "helper_intruder.h"

#include <string.h>

#include "wire/bitswap.h"

enum { NODE = 0, HOLDER = 1, BLOCKS = 12, AT_ONCE = 2 };

static const char *role;
static struct intruder *intruder;
static uint32_t next_stream;
static uint8_t payload[16];

static void set(struct node *n, const char *key, const char *value)
{
    char why[CONFIG_WHY_BYTES];
    assert_int_equal(config_set(n->config, key, span_text(value), why), ERR_OK);
}

static void with_role(struct node *n)
{
    set(n, "Discovery.MDNS.Enabled", "false");
    if (n->index == NODE)
        set(n, "Role", role);
}

static struct span block_of(unsigned number)
{
    memcpy(payload, "a wanted block", 14);
    payload[15] = (uint8_t)number;
    return span_of(payload, sizeof(payload));
}

static void come(uint8_t number)
{
    intruder = intruder_new(18, 9, number);
    next_stream = 1;
    assert_true(intruder_dial(intruder));
    assert_true(intruder_shake_hands(intruder));
    nodes_pass_ms(1000);
}

static void begin(uint64_t seed, const char *as, unsigned stored)
{
    role = as;
    nodes_whole = true;
    nodes_begin(2, SIM, seed, with_role);
    for (unsigned i = 0; i < stored; i++)
        assert_int_equal(node_do(HOLDER, (struct command){.kind = CMD_PUT, .payload = block_of(i)}), ERR_OK);
    assert_int_equal(node_connect(NODE, HOLDER), ERR_OK);
    come(2);
}

static void end(void)
{
    intruder_free(intruder);
    nodes_end();
}

static void want(unsigned first, unsigned count, int32_t priority)
{
    struct bitswap_writer w;
    struct bitswap_piece piece;
    struct buf bytes;
    size_t position = 0;
    buf_init(&bytes, 64 * 1024, NULL);
    bitswap_writer_init(&w, BITSWAP_1_2, 64 * 1024, NULL);
    for (unsigned i = first; i < first + count; i++) {
        struct bitswap_want entry = {.cid = nodes_cid_of(block_of(i)), .priority = priority, .send_dont_have = true};
        assert_int_equal(bitswap_writer_want(&w, &entry), ERR_OK);
    }
    assert_int_equal(bitswap_writer_finish(&w), ERR_OK);
    while (bitswap_writer_next(&w, &position, &piece))
        assert_int_equal(buf_append_span(&bytes, piece.bytes), ERR_OK);
    intruder_open(intruder, next_stream, "/ipfs/bitswap/1.2.0", buf_span(&bytes));
    next_stream += 2;
    bitswap_writer_release(&w);
    buf_release(&bytes);
}

static bool has(unsigned number)
{
    return node_do(NODE, (struct command){.kind = CMD_HAS, .payload = block_of(number)}) == ERR_OK;
}

static unsigned count_here(unsigned count)
{
    unsigned here = 0;
    for (unsigned i = 0; i < count; i++)
        here += has(i);
    return here;
}

static void a_master_fetches_what_is_wanted_much(void **state)
{
    (void)state;
    begin(90, "master", 2);
    want(0, 1, 1);
    nodes_pass_ms(15000);
    assert_false(has(0));
    want(1, 1, 2);
    nodes_pass_ms(15000);
    assert_true(has(1));
    assert_false(has(0));
    end();
}

static void others_say_that_it_is_not_here(void **state)
{
    (void)state;
    static const char *const others[] = {"worker", "leecher"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        begin(91 + i, others[i], 1);
        want(0, 1, INT32_MAX);
        nodes_pass_ms(15000);
        assert_false(has(0));
        end();
    }
}

/* Of many that nobody has, a few at a time are looked for, and then those slots are free again. */
static void one_peer_sets_off_few_fetches(void **state)
{
    (void)state;
    begin(93, "master", BLOCKS);
    want(100, AT_ONCE, 9);
    nodes_pass_ms(500);
    want(0, BLOCKS / 2, 9);
    nodes_pass_ms(3000);
    assert_int_equal(count_here(BLOCKS / 2), 0);
    nodes_pass_ms(15000);
    want(BLOCKS / 2, BLOCKS / 2, 9);
    nodes_pass_ms(3000);
    unsigned here = count_here(BLOCKS);
    assert_int_equal(here, AT_ONCE);
    end();
}

static void what_was_not_found_is_not_looked_for_again_at_once(void **state)
{
    (void)state;
    begin(94, "master", 0);
    want(0, 1, 9);
    nodes_pass_ms(15000);
    assert_int_equal(node_do(HOLDER, (struct command){.kind = CMD_PUT, .payload = block_of(0)}), ERR_OK);
    want(0, 1, 9);
    nodes_pass_ms(15000);
    assert_false(has(0));
    nodes_pass_ms(600 * 1000);
    intruder_free(intruder); /* it does not answer pings */
    come(3);
    want(0, 1, 9);
    nodes_pass_ms(15000);
    assert_true(has(0));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_master_fetches_what_is_wanted_much),
        cmocka_unit_test(others_say_that_it_is_not_here),
        cmocka_unit_test(one_peer_sets_off_few_fetches),
        cmocka_unit_test(what_was_not_found_is_not_looked_for_again_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
