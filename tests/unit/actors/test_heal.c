/* SPDX-License-Identifier: MIT */
/* A node whose disk decays gets its blocks back from another one: whole nodes over the simulated network, with a disk each. */
#include "helper_nodes.h"

#include <string.h>

enum { BLOCK_BYTES = 50 * 1000 };

static uint8_t bytes[BLOCK_BYTES];

static struct command about(enum command_kind kind)
{
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    return (struct command){.kind = kind, .payload = {.data = bytes, .len = sizeof(bytes)}};
}

/* Node 0 has the block, damaged; a new life has it in no memory either. */
static void begin(uint64_t seed)
{
    nodes_whole = true;
    nodes_begin(2, SIM, seed, NULL);
    assert_int_equal(node_do(0, about(CMD_PUT)), ERR_OK);
    assert_int_equal(node_do(1, about(CMD_PUT)), ERR_OK);
    assert_int_equal(sim_disk_damage(nodes[0].disk, "/nowhere/segments/0000000000000001.seg", 10000, 0x20), ERR_OK);
    node_restart(0);
}

static void a_damaged_block_comes_back_from_a_peer(void **state)
{
    (void)state;
    begin(31);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    assert_int_equal(node_do(0, about(CMD_HAS)), ERR_NOT_FOUND);
    nodes_pass_ms(5000);
    assert_int_equal(node_do(0, about(CMD_HAS)), ERR_OK);
    node_restart(0); /* durable, and out of quarantine */
    nodes_pass_ms(200 * 1000);
    assert_int_equal(node_do(0, about(CMD_HAS)), ERR_OK);
    nodes_end();
}

/* Without a peer it is given up after a minute, and asked for again later, in another life. */
static void it_is_asked_for_again_when_nobody_was_there(void **state)
{
    (void)state;
    begin(32);
    assert_int_equal(node_do(0, about(CMD_HAS)), ERR_NOT_FOUND);
    nodes_pass_ms(70 * 1000);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_pass_ms(5000);
    assert_int_equal(node_do(0, about(CMD_HAS)), ERR_NOT_FOUND);
    node_restart(0);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_pass_ms(200 * 1000);
    assert_int_equal(node_do(0, about(CMD_HAS)), ERR_OK);
    nodes_end();
}

/* Nobody reads it: the scrubber finds the damage by itself. */
static void the_scrubber_finds_what_nobody_reads(void **state)
{
    (void)state;
    begin(33);
    assert_int_equal(node_connect(0, 1), ERR_OK);
    nodes_pass_ms(40 * 1000);
    assert_int_equal(node_do(0, about(CMD_HAS)), ERR_OK);
    nodes_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_block_comes_back_from_a_peer),
        cmocka_unit_test(it_is_asked_for_again_when_nobody_was_there),
        cmocka_unit_test(the_scrubber_finds_what_nobody_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
