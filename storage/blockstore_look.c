/* SPDX-License-Identifier: MIT */
/* Questions about rows: pins, metadata, and all that is known of one block. The reading connection answers; what is under way is not seen. */
#include "storage/blockstore_private.h"

enum err blockstore_pins(struct blockstore *s, struct span after, struct pin_row *ret_pins, size_t max,
                         size_t *ret_count)
{
    return catalogue_pins(s->reader, after, ret_pins, max, ret_count);
}

enum err blockstore_pin_state(struct blockstore *s, const struct cid *cid, struct pin_state *ret_state)
{
    return catalogue_pin_state(s->reader, cid, ret_state);
}

enum err blockstore_indirect_pins(struct blockstore *s, const struct cid *after, struct cid *ret_cids, size_t max,
                                  size_t *ret_count, struct cid *ret_last, bool *ret_more)
{
    return catalogue_indirect_pins(s->reader, after, ret_cids, max, ret_count, ret_last, ret_more);
}

enum err blockstore_metadata_of(struct blockstore *s, struct span cid, metadata_each *each, void *arg)
{
    return catalogue_metadata_of(s->reader, cid, each, arg);
}

enum err blockstore_metadata_find(struct blockstore *s, const struct metadata_query *query, metadata_each *each,
                                  void *arg, bool *ret_more)
{
    return catalogue_metadata_find(s->reader, query, each, arg, ret_more);
}

enum err blockstore_facts(struct blockstore *s, const struct block_key *key, struct block_facts *ret_facts)
{
    struct block_place place;
    struct block_facts facts = {0};
    enum err err = blockstore_has(s, key, &facts.size, &facts.tier);
    facts.stored = err == ERR_OK;
    facts.counting = s->info.counting;
    if (facts.stored && store_find(s, key, &place) == ERR_OK) {
        facts.segment = place.segment;
        facts.offset = place.offset;
    }
    if (err == ERR_OK || err == ERR_NOT_FOUND)
        err = catalogue_facts(s->reader, key, &facts.rows);
    if (err == ERR_OK)
        *ret_facts = facts;
    return err;
}
