/* SPDX-License-Identifier: MIT */
/* Which actor speaks which protocol. Apart from tree.c, so that connection_manager can be had without every other actor. */
#include "actors/tree.h"

static const struct tree_protocol protocol_table[] = {
    {"/ipfs/bitswap/1.2.0", ACTOR_BITSWAP},
    {"/ipfs/bitswap/1.1.0", ACTOR_BITSWAP},
    {"/ipfs/bitswap/1.0.0", ACTOR_BITSWAP},
    {"/ipfs/bitswap", ACTOR_BITSWAP},
    {"/ipfs/id/1.0.0", 0},
    {"/ipfs/id/push/1.0.0", 0},
    {"/ipfs/ping/1.0.0", 0},
};

const struct tree_protocol *tree_protocols(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(protocol_table);
    return protocol_table;
}
