/* SPDX-License-Identifier: MIT */
/* All that is known here of one block, for people who ask why. */
#include "actors/tiered_storage/request.h"
#include "schemas/messages.h"

enum { PINS_BYTES_MAX = FACTS_PINS_MAX * (PIN_CID_MAX + PIN_NAME_MAX + 32) };

static enum err add_pins(const struct catalogue_block_facts *rows, struct buf *items)
{
    enum err err = ERR_OK;
    for (size_t i = 0; i < rows->pin_count && err == ERR_OK; i++) {
        const struct pin_row *pin = &rows->pins[i];
        struct item_pin item = {
            .cid = span_of(pin->cid, pin->cid_len), .recursive = pin->recursive, .name = span_text(pin->name)};
        err = schema_list_add_map(items, &schema_item_pin, &item);
    }
    return err;
}

enum err storage_facts(struct storage_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_block_facts *m = msg->fields;
    struct cid cid;
    struct block_key key;
    struct block_facts facts = {0};
    struct buf pins;
    bool inlined = false;
    enum err err = request_parse_cid(m->cid, &cid, &key, &inlined);
    if (err == ERR_OK && inlined)
        facts = (struct block_facts){.stored = true, .size = cid.hash.len, .tier = "the CID itself"};
    else if (err == ERR_OK)
        err = blockstore_facts(s->store, &key, &facts);
    buf_init(&pins, PINS_BYTES_MAX, NULL);
    if (err == ERR_OK)
        err = add_pins(&facts.rows, &pins);
    struct msg_block_facts_ok ok = {.stored = facts.stored,
                                    .size = facts.size,
                                    .tier = span_text(facts.tier == NULL ? "" : facts.tier),
                                    .segment = facts.segment,
                                    .offset = facts.offset,
                                    .pack = facts.pack,
                                    .tier_pin = span_text(facts.tier_pin == NULL ? "" : facts.tier_pin),
                                    .held = (uint64_t)MAX(facts.rows.holds, INT64_C(0)),
                                    .counting = facts.counting,
                                    .pins = schema_list_of(&pins, (uint32_t)facts.rows.pin_count)};
    if (facts.rows.quarantined) {
        ok.quarantine = span_text(facts.rows.quarantine.reason);
        ok.quarantined_at = facts.rows.quarantine.found_at_ns;
    }
    if (err == ERR_OK)
        ctx_reply(s->ctx, to, &(struct msg){.kind = MSG_BLOCK_FACTS_OK, .fields = &ok});
    buf_release(&pins);
    return err;
}
