/* SPDX-License-Identifier: MIT */
/* Questions: pins, metadata, all that is known of one block, and figures. The reading connection answers; what is under way is not seen. */
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

enum err blockstore_page_stored(struct blockstore *s, const struct block_key *after, struct block_place *ret_places,
                                size_t max, size_t *ret_count)
{
    return catalogue_page_stored(s->reader, after, ret_places, max, ret_count);
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
    struct cold_place cold;
    struct block_facts facts = {0};
    enum err err = blockstore_has(s, key, &facts.size, &facts.tier);
    facts.stored = err == ERR_OK;
    facts.counting = s->info.counting;
    if (facts.stored && store_find(s, key, &place) == ERR_OK) {
        facts.segment = place.segment;
        facts.offset = place.offset;
    }
    if (facts.stored && store_find_cold(s, key, &cold) == ERR_OK)
        facts.pack = cold.pack;
    bool on_disk = false;
    bool in_cold = false;
    if (err == ERR_OK || err == ERR_NOT_FOUND)
        err = catalogue_tier_pinned(s->reader, key, "disk", &on_disk);
    if (err == ERR_OK)
        err = catalogue_tier_pinned(s->reader, key, "cold", &in_cold);
    facts.tier_pin = on_disk ? "disk" : in_cold ? "cold" : "";
    if (err == ERR_OK)
        err = catalogue_facts(s->reader, key, &facts.rows);
    if (err == ERR_OK)
        *ret_facts = facts;
    return err;
}

struct blockstore_stats blockstore_stats(const struct blockstore *s)
{
    uint64_t used = disk_tier_used(s->core->tier);
    const struct store_tier *cold = &s->cold;
    uint64_t live = s->info.live_bytes + s->durable.bytes + s->queued_bytes;
    return (struct blockstore_stats){.blocks = s->info.blocks + s->durable.count,
                                     .bytes = s->info.bytes + s->durable.bytes,
                                     .disk_bytes = used,
                                     .storage_max = s->storage_max,
                                     .live_bytes = s->info.live_bytes + s->durable.bytes,
                                     .pins = s->info.pins,
                                     .recursive_pins = s->info.recursive_pins,
                                     .fresh = table_len(&s->fresh),
                                     .counting = s->info.counting,
                                     .read_only = s->read_only,
                                     .filter_complete = s->filter != NULL,
                                     .dead_bytes = used - MIN(used, s->info.live_bytes + s->durable.bytes),
                                     .quarantined = s->info.quarantined,
                                     .healing = store_healing(s),
                                     .scrub = s->scrubber.progress,
                                     .cold_blocks = s->info.cold_blocks,
                                     .cold_bytes = s->info.cold_bytes,
                                     .cold_packs = s->info.cold_packs,
                                     .cold_waiting = table_len(&cold->demoting),
                                     .demoted_bytes = cold->demoted_bytes,
                                     .promoted_bytes = cold->promoted_bytes,
                                     .pressure = (unsigned)(live * 100 / MAX(s->storage_max, UINT64_C(1))),
                                     .full = s->full,
                                     .cold_up = cold->up};
}
