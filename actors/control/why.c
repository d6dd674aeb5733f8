/* SPDX-License-Identifier: MIT */
/*
 * why: what this node knows of one block, asked of everyone who knows a part of it at once. A part that does not answer is named in `silent`, and
 * the rest is told all the same.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/control/operations.h"
#include "dht/kad_key.h"
#include "schemas/pack.h"
#include "wire/peer_id.h"

enum { RESULT_BYTES_MAX = 256 * 1024, LARGE_REPLY = 128 * 1024, SPARE_MS = 200 };

enum part { PART_STORE, PART_HEAT, PART_WANTS, PART_NODE, PART_PEERS, PART_NOTES, PART_PROVIDES, PART_COUNT };

static const char *const part_names[PART_COUNT] = {
    [PART_STORE] = "tiered_storage",    [PART_HEAT] = "heat_tracker",        [PART_WANTS] = "bitswap",
    [PART_NODE] = "connection_manager", [PART_PEERS] = "connection_manager", [PART_NOTES] = "tiered_storage",
    [PART_PROVIDES] = "state",
};

/* The answers, packed as they come: pairs of the result. */
struct why_work {
    struct buf pairs;
    uint32_t count;
    unsigned left;
    bool silent[PART_COUNT];
    bool stored;
    bool pinned;
    bool held;
    bool listed; /* among what is provided */
    uint64_t provided_at;
};

static void pack_cids(struct pack *p, const struct schema_list *rows)
{
    size_t position = 0;
    struct item_pin pin;
    pack_array(p, rows->count);
    while (schema_list_next_map(rows, &schema_item_pin, &position, &pin)) {
        char text[CID_TEXT_MAX] = "";
        struct cid cid;
        if (cid_parse(pin.cid, &cid) == ERR_OK)
            cid_text(&cid, text);
        pack_map(p, 3);
        pack_pair_text(p, "cid", text);
        pack_pair_text(p, "kind", pin.recursive ? "recursive" : "direct");
        pack_pair_span(p, "name", pin.name);
    }
}

static void pack_peer(struct pack *p, struct span bytes)
{
    struct peer_id peer;
    char text[PEER_ID_TEXT_MAX] = "";
    if (peer_id_parse(bytes, &peer) == ERR_OK)
        peer_id_text(&peer, text);
    pack_text(p, text);
}

/* ---- the parts: each packs its pairs and says how many ---- */

static uint32_t pack_store(struct pack *p, const struct msg_block_facts_ok *m)
{
    uint32_t pairs = 4;
    pack_pair_bool(p, "stored", m->stored);
    pack_text(p, "pins");
    pack_cids(p, &m->pins);
    pack_pair_u64(p, "held", m->held);
    pack_pair_bool(p, "counting", m->counting);
    if (m->stored) {
        pack_pair_span(p, "tier", m->tier);
        pack_pair_u64(p, "size", m->size);
        pairs += 2;
    }
    if (m->segment != 0) {
        pack_pair_u64(p, "segment", m->segment);
        pack_pair_u64(p, "offset", m->offset);
        pairs += 2;
    }
    if (m->quarantine.len > 0) {
        pack_pair_span(p, "quarantine", m->quarantine);
        pack_pair_u64(p, "quarantined_at", m->quarantined_at);
        pairs += 2;
    }
    return pairs;
}

static uint32_t pack_heat(struct pack *p, const struct msg_heat_found *m, uint64_t real_now)
{
    uint32_t pairs = 2;
    pack_pair_u64(p, "accesses", m->accesses);
    pack_pair_u64(p, "asked", m->wants);
    if (m->accesses > 0) {
        pack_pair_u64(p, "last_used_at", real_now - m->used_ago_ns);
        pairs++;
    }
    if (m->wants > 0) {
        pack_pair_u64(p, "last_asked_at", real_now - m->wanted_ago_ns);
        pack_text(p, "last_asked_by");
        pack_peer(p, m->asker);
        pairs += 2;
    }
    return pairs;
}

static uint32_t pack_wants(struct pack *p, const struct msg_bitswap_wanted_ok *m)
{
    size_t position = 0;
    struct span peer;
    pack_pair_bool(p, "wanted_by_us", m->ours);
    pack_text(p, "wanted_by");
    pack_array(p, m->peers.count);
    while (schema_list_next_bytes(&m->peers, &position, &peer))
        pack_peer(p, peer);
    pack_pair_bool(p, "wanted_by_more", m->more);
    return 3;
}

static uint32_t pack_node(struct pack *p, const struct msg_node_id_ok *m)
{
    pack_text(p, "addresses");
    pack_array(p, m->addrs.count);
    pack_raw(p, m->addrs.raw);
    return 1;
}

/* Its place in what is provided: the rows are in the order of these. */
static struct kad_key place_of(const struct cid *cid)
{
    uint8_t hash[MULTIHASH_BYTES_MAX];
    return kad_key_of(span_of(hash, multihash_encode(&cid->hash, hash)));
}

static bool is_off(const struct config *config)
{
    return !config->provide_enabled || config->offline || strcmp(config->provide_strategy, "off") == 0 ||
           strcmp(config->routing_type, "none") == 0 || strcmp(config->routing_type, "delegated") == 0;
}

static void take_row(struct why_work *work, const struct cid *cid, const struct msg_state_provides_ok *m)
{
    size_t position = 0;
    struct item_provide_row row = {0};
    struct kad_key key = place_of(cid);
    work->listed = schema_list_next_map(&m->rows, &schema_item_provide_row, &position, &row) &&
                   span_equal(row.key, span_of(key.bytes, sizeof(key.bytes)));
    work->provided_at = work->listed ? row.provided_at : 0;
}

/* Rows follow a moment after what is stored and pinned. */
static bool will_be_listed(const struct why_work *work, const char *strategy)
{
    return work->stored &&
           (strcmp(strategy, "all") == 0 || work->pinned || (work->held && strcmp(strategy, "pinned") == 0));
}

static uint32_t pack_provided(struct pack *p, const struct config *config, const struct why_work *work)
{
    char text[128] = "no: it is not stored";
    if (is_off(config))
        (void)snprintf(text, sizeof(text),
                       "no: the daemon is offline, or Provide.Enabled, Provide.Strategy or Routing.Type says so");
    else if (work->provided_at != 0)
        (void)snprintf(text, sizeof(text), "yes");
    else if (work->listed || will_be_listed(work, config->provide_strategy))
        (void)snprintf(text, sizeof(text), "not yet");
    else if (work->stored)
        (void)snprintf(text, sizeof(text), "no: Provide.Strategy (%s) leaves it out", config->provide_strategy);
    pack_pair_text(p, "provided", text);
    if (work->provided_at == 0)
        return 1;
    pack_pair_u64(p, "provided_at", work->provided_at);
    return 2;
}

static void take_store(struct why_work *work, const struct msg_block_facts_ok *m)
{
    work->stored = m->stored;
    work->pinned = m->pins.count > 0;
    work->held = m->held > 0;
}

static uint32_t pack_part(struct pack *p, unsigned part, struct why_work *work, const struct cid *cid,
                          const void *fields, uint64_t real_now)
{
    switch ((enum part)part) {
    case PART_STORE:
        take_store(work, fields);
        return pack_store(p, fields);
    case PART_HEAT:
        return pack_heat(p, fields, real_now);
    case PART_WANTS:
        return pack_wants(p, fields);
    case PART_NODE:
        return pack_node(p, fields);
    case PART_PEERS:
        pack_pair_u64(p, "connections",
                      ((const struct msg_swarm_peers_ok *)fields)->connections.count +
                          ((const struct msg_swarm_peers_ok *)fields)->omitted);
        return 1;
    case PART_NOTES:
        return replicate_pack(p, fields);
    case PART_PROVIDES:
        take_row(work, cid, fields);
        return 0;
    case PART_COUNT:
        break;
    }
    return 0;
}

/* ---- together ---- */

static enum err finish(struct control *c, struct conversation *v)
{
    const struct why_work *work = v->work;
    struct buf result;
    char text[CID_TEXT_MAX];
    cid_text(&v->cid, text);
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    size_t map = pack_map_open(&p);
    uint32_t pairs = work->count + 2;
    pack_pair_text(&p, "cid", text);
    pack_raw(&p, buf_span(&work->pairs));
    if (!work->silent[PART_STORE] && !work->silent[PART_PROVIDES])
        pairs += pack_provided(&p, c->config, work);
    pack_text(&p, "silent");
    size_t where = pack_array_open(&p);
    uint32_t silent = 0;
    for (unsigned i = 0; i < PART_COUNT; i++) {
        if (!work->silent[i])
            continue;
        pack_text(&p, part_names[i]);
        silent++;
    }
    pack_count(&p, where, silent);
    pack_count(&p, map, pairs);
    enum err err = pack_end(&p);
    if (err == ERR_OK)
        conversation_finish(c, v, buf_span(&result));
    buf_release(&result);
    return err;
}

static void ask_part(struct control *c, struct conversation *v, enum part part, actor_id to, uint16_t kind,
                     const void *fields)
{
    struct why_work *work = v->work;
    if (conversation_call(c, v, to, kind, fields, NULL, part, LARGE_REPLY) == ERR_OK)
        work->left++;
    else
        work->silent[part] = true;
}

enum err why_start(struct control *c, struct conversation *v)
{
    static const uint64_t no_fields[8] = {0};
    uint8_t bytes[CID_BYTES_MAX];
    enum err err = conversation_cid(v, ((const struct op_why *)(const void *)v->args)->cid, &v->cid);
    struct why_work *work = err == ERR_OK ? calloc(1, sizeof(*work)) : NULL;
    if (work == NULL)
        return err == ERR_OK ? ERR_NOMEM : err;
    buf_init(&work->pairs, RESULT_BYTES_MAX / 2, NULL);
    v->work = work;
    v->scope.deadline_ns -= MIN(ctx_left(c->ctx, v->scope.deadline_ns) / 8, SPARE_MS * MS_NS);
    struct span cid = span_of(bytes, cid_encode(&v->cid, bytes));
    ask_part(c, v, PART_STORE, ACTOR_TIERED_STORAGE, MSG_BLOCK_FACTS, &(struct msg_block_facts){.cid = cid});
    ask_part(c, v, PART_HEAT, ACTOR_HEAT_TRACKER, MSG_HEAT_FIND, &(struct msg_heat_find){.cid = cid});
    ask_part(c, v, PART_WANTS, ACTOR_BITSWAP, MSG_BITSWAP_WANTED, &(struct msg_bitswap_wanted){.cid = cid});
    ask_part(c, v, PART_NODE, ACTOR_CONNECTION_MANAGER, MSG_NODE_ID, no_fields);
    ask_part(c, v, PART_NOTES, ACTOR_TIERED_STORAGE, MSG_METADATA_FIND, &(struct msg_metadata_find){.cid = cid});
    struct kad_key place = place_of(&v->cid);
    ask_part(c, v, PART_PROVIDES, ACTOR_STATE, MSG_STATE_PROVIDES,
             &(struct msg_state_provides){
                 .from = span_of(place.bytes, sizeof(place.bytes)), .before = INT64_MAX, .limit = 1});
    ask_part(c, v, PART_PEERS, ACTOR_CONNECTION_MANAGER, MSG_SWARM_PEERS, no_fields);
    return work->left == 0 ? finish(c, v) : ERR_OK;
}

enum err why_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    struct why_work *work = v->work;
    work->left--;
    if (info->err == ERR_OK) {
        struct pack p = pack_begin(&work->pairs);
        uint32_t pairs = pack_part(&p, sub, work, &v->cid, info->msg->fields, ctx_real_now(c->ctx));
        enum err err = pack_end(&p);
        if (err != ERR_OK)
            return err;
        work->count += pairs;
    } else if (sub != PART_NOTES || info->err != ERR_NOT_FOUND) {
        work->silent[sub] = true;
    }
    return work->left == 0 ? finish(c, v) : ERR_OK;
}

void why_end(struct control *c, struct conversation *v)
{
    (void)c;
    struct why_work *work = v->work;
    if (work == NULL)
        return;
    buf_release(&work->pairs);
    free(work);
    v->work = NULL;
}
