/* SPDX-License-Identifier: MIT */
/*
 * Operations that are one question to one actor: the arguments become its message, the answer is shown as it is. Names and CIDs
 * come as text and leave as bytes.
 */
#include "actors/control/operations.h"
#include "schemas/pack.h"
#include "wire/peer_id.h"

enum { LARGE_REPLY = 128 * 1024, SHOWN_BYTES_MAX = 4 * 1024 * 1024 };
enum { CLIENT_LEASES_MAX = 16 };
enum { PIECE_RESULT_MAX = DATA_BYTES_MAX + 4096 };

/* ---- peers ---- */

enum err conversation_peer(struct conversation *v, struct span text, struct peer_id *ret_peer)
{
    struct span id = text;
    for (size_t i = text.len; i > 0 && text.data[0] == '/'; i--) {
        if (text.data[i - 1] == '/') {
            id = span_skip(text, i);
            break;
        }
    }
    if (peer_id_parse_text(id, ret_peer) == ERR_OK)
        return ERR_OK;
    return conversation_error(v, ERR_INVALID,
                              "\"%.*s\" is neither a peer id nor a multiaddr that ends in /p2p/<peer id>",
                              (int)MIN(text.len, (size_t)120), (const char *)text.data);
}

static enum err connect_to(struct control *c, struct conversation *v, struct span address)
{
    struct peer_id peer;
    struct buf addrs;
    enum err err = conversation_peer(v, address, &peer);
    if (err != ERR_OK)
        return err;
    buf_init(&addrs, 8192, NULL);
    struct msg_peer_connect ask = {.peer = peer_id_span(&peer)};
    if (address.data[0] == '/' && !(address.len > 5 && memcmp(address.data, "/p2p/", 5) == 0)) {
        err = schema_list_add_text(&addrs, address);
        ask.addrs = schema_list_of(&addrs, 1);
    }
    if (err == ERR_OK)
        err = conversation_call(c, v, ACTOR_CONNECTION_MANAGER, MSG_PEER_CONNECT, &ask, NULL, 0, 0);
    buf_release(&addrs);
    return err;
}

static enum err ask_connect(struct control *c, struct conversation *v)
{
    return connect_to(c, v, ((const struct op_swarm_connect *)(const void *)v->args)->address);
}

static enum err ask_disconnect(struct control *c, struct conversation *v)
{
    const struct op_swarm_disconnect *args = (const void *)v->args;
    struct peer_id peer;
    enum err err = conversation_peer(v, args->address, &peer);
    if (err != ERR_OK)
        return err;
    struct msg_peer_disconnect ask = {.peer = peer_id_span(&peer)};
    return conversation_call(c, v, ACTOR_CONNECTION_MANAGER, MSG_PEER_DISCONNECT, &ask, NULL, 0, 0);
}

static enum err ask_bandwidth(struct control *c, struct conversation *v)
{
    const struct op_stats_bw *args = (const void *)v->args;
    struct peer_id peer = {0};
    if (args->peer.len > 0 && args->proto.len > 0)
        return conversation_error(v, ERR_INVALID, "name a peer or a protocol, not both");
    enum err err = args->peer.len > 0 ? conversation_peer(v, args->peer, &peer) : ERR_OK;
    if (err != ERR_OK)
        return err;
    struct msg_stats_bw ask = {.peer = peer_id_span(&peer), .protocol = args->proto};
    return conversation_call(c, v, ACTOR_CONNECTION_MANAGER, MSG_STATS_BW, &ask, NULL, 0, 0);
}

static enum err change_filters(struct control *c, struct conversation *v, const struct schema_list *filters,
                               bool remove)
{
    struct msg_swarm_filters_change ask = {.remove = remove, .filters = *filters};
    return conversation_call(c, v, ACTOR_CONNECTION_MANAGER, MSG_SWARM_FILTERS_CHANGE, &ask, NULL, 0, LARGE_REPLY);
}

static enum err change_bootstrap(struct control *c, struct conversation *v, const struct schema_list *addrs,
                                 bool remove)
{
    struct msg_bootstrap_change ask = {.remove = remove, .addrs = *addrs};
    return conversation_call(c, v, ACTOR_DISCOVERY, MSG_BOOTSTRAP_CHANGE, &ask, NULL, 0, 0);
}

static enum err ask_peering_add(struct control *c, struct conversation *v)
{
    const struct op_swarm_peering_add *args = (const void *)v->args;
    struct msg_peering_add ask = {.addr = args->address};
    if (args->address.len > MSG_ADDR_MAX)
        return conversation_error(v, ERR_TOO_LARGE, "the address is longer than %d bytes", MSG_ADDR_MAX);
    return conversation_call(c, v, ACTOR_DISCOVERY, MSG_PEERING_ADD, &ask, NULL, 0, 0);
}

static enum err ask_peering_rm(struct control *c, struct conversation *v)
{
    const struct op_swarm_peering_rm *args = (const void *)v->args;
    struct peer_id peer;
    enum err err = conversation_peer(v, args->peer, &peer);
    if (err != ERR_OK)
        return err;
    struct msg_peering_rm ask = {.peer = peer_id_span(&peer)};
    return conversation_call(c, v, ACTOR_DISCOVERY, MSG_PEERING_RM, &ask, NULL, 0, 0);
}

static enum err ask_dns(struct control *c, struct conversation *v)
{
    const struct op_dns *args = (const void *)v->args;
    struct msg_dns_link ask = {.path = args->domain, .once = !args->recursive};
    return conversation_call(c, v, ACTOR_DISCOVERY, MSG_DNS_LINK, &ask, NULL, 0, PATH_TEXT_MAX + 1024);
}

/* ---- ping: connects first, where there is no connection ---- */

enum err ping_start(struct control *c, struct conversation *v)
{
    return connect_to(c, v, ((const struct op_ping *)(const void *)v->args)->peer);
}

enum err ping_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    enum { SUB_CONNECT, SUB_PING };
    const struct op_ping *args = (const void *)v->args;
    struct peer_id peer;
    if (info->err != ERR_OK || sub != SUB_CONNECT)
        return relay_reply(c, v, sub, info);
    enum err err = conversation_peer(v, args->peer, &peer);
    if (err != ERR_OK)
        return err;
    struct msg_ping ask = {.peer = peer_id_span(&peer), .count = args->count};
    return conversation_call(c, v, ACTOR_CONNECTION_MANAGER, MSG_PING, &ask, NULL, SUB_PING, 0);
}

static enum err ask_wantlist(struct control *c, struct conversation *v)
{
    const struct op_bitswap_wantlist *args = (const void *)v->args;
    struct peer_id peer = {0};
    enum err err = args->peer.len > 0 ? conversation_peer(v, args->peer, &peer) : ERR_OK;
    if (err != ERR_OK)
        return err;
    struct msg_bitswap_wantlist ask = {.peer = peer_id_span(&peer)};
    return conversation_call(c, v, ACTOR_BITSWAP, MSG_BITSWAP_WANTLIST, &ask, NULL, 0, LARGE_REPLY);
}

/* ---- CIDs ---- */

struct cid_bytes {
    uint8_t bytes[CID_BYTES_MAX];
    size_t len;
};

/* The bytes of the CID that text names; empty text gives none. */
static enum err cid_bytes_of(struct conversation *v, struct span text, struct cid_bytes *ret_cid)
{
    struct cid cid;
    ret_cid->len = 0;
    if (text.len == 0)
        return ERR_OK;
    enum err err = conversation_cid(v, text, &cid);
    if (err == ERR_OK)
        ret_cid->len = cid_encode(&cid, ret_cid->bytes);
    return err;
}

static enum err ask_findprovs(struct control *c, struct conversation *v)
{
    const struct op_routing_findprovs *args = (const void *)v->args;
    struct cid_bytes cid;
    enum err err = cid_bytes_of(v, args->cid, &cid);
    if (err != ERR_OK)
        return err;
    struct msg_find_providers ask = {.cid = span_of(cid.bytes, cid.len), .count = args->num_providers};
    return conversation_call(c, v, ACTOR_DISCOVERY, MSG_FIND_PROVIDERS, &ask, NULL, 0, LARGE_REPLY);
}

static enum err ask_block_rm(struct control *c, struct conversation *v)
{
    const struct op_block_rm *args = (const void *)v->args;
    struct cid_bytes cid;
    enum err err = cid_bytes_of(v, args->cid, &cid);
    if (err != ERR_OK)
        return err;
    struct msg_block_rm ask = {.cid = span_of(cid.bytes, cid.len), .force = args->force};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BLOCK_RM, &ask, NULL, 0, 0);
}

static enum err ask_pin_rm(struct control *c, struct conversation *v)
{
    const struct op_pin_rm *args = (const void *)v->args;
    struct cid_bytes cid;
    enum err err = cid_bytes_of(v, args->path, &cid);
    if (err != ERR_OK)
        return err;
    struct msg_pin_rm ask = {.cid = span_of(cid.bytes, cid.len), .recursive = args->recursive};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_PIN_RM, &ask, NULL, 0, 0);
}

static enum err ask_pin_ls(struct control *c, struct conversation *v)
{
    const struct op_pin_ls *args = (const void *)v->args;
    struct cid_bytes cid;
    enum err err = cid_bytes_of(v, args->after, &cid);
    if (err != ERR_OK)
        return err;
    struct msg_pin_ls ask = {.after = span_of(cid.bytes, cid.len), .indirect = args->indirect, .limit = args->limit};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_PIN_LS, &ask, NULL, 0, LARGE_REPLY);
}

static enum err ask_pin_find(struct control *c, struct conversation *v)
{
    const struct op_pin_find *args = (const void *)v->args;
    struct cid_bytes cid;
    enum err err = cid_bytes_of(v, args->path, &cid);
    if (err != ERR_OK)
        return err;
    struct msg_pin_find ask = {.cid = span_of(cid.bytes, cid.len)};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_PIN_FIND, &ask, NULL, 0, 0);
}

static enum err ask_heat_top(struct control *c, struct conversation *v)
{
    const struct op_heat_top *args = (const void *)v->args;
    struct msg_heat_top ask = {.limit = args->limit};
    return conversation_call(c, v, ACTOR_HEAT_TRACKER, MSG_HEAT_TOP, &ask, NULL, 0, LARGE_REPLY);
}

static enum err ask_heat_explain(struct control *c, struct conversation *v)
{
    const struct op_heat_explain *args = (const void *)v->args;
    struct cid_bytes cid;
    enum err err = cid_bytes_of(v, args->cid, &cid);
    if (err != ERR_OK)
        return err;
    struct msg_heat_explain ask = {.cid = span_of(cid.bytes, cid.len)};
    return conversation_call(c, v, ACTOR_HEAT_TRACKER, MSG_HEAT_EXPLAIN, &ask, NULL, 0, 0);
}

/* Urgent requests are never made jobs, and pass admission: so few of these that others find room. */
static enum err ask_lease(struct control *c, struct conversation *v)
{
    static const struct msg_lease none = {0};
    unsigned open = 0;
    for (size_t i = 0; i < CONVERSATIONS_MAX; i++)
        open += c->conversations[i].open && c->conversations[i].op->id == OP_LEASE;
    if (open > CLIENT_LEASES_MAX)
        return conversation_error(v, ERR_BUSY, "%d leases are open: try again", CLIENT_LEASES_MAX);
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_LEASE, &none, NULL, 0, 0);
}

static enum err ask_gc(struct control *c, struct conversation *v)
{
    const struct op_repo_gc *args = (const void *)v->args;
    struct cid_bytes cid;
    enum err err = cid_bytes_of(v, args->after, &cid);
    if (err != ERR_OK)
        return err;
    struct msg_repo_gc ask = {.after = span_of(cid.bytes, cid.len), .dry_run = args->dry_run};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_REPO_GC, &ask, NULL, 0, LARGE_REPLY);
}

static enum err ask_verify(struct control *c, struct conversation *v)
{
    const struct op_repo_verify *args = (const void *)v->args;
    struct cid_bytes cid;
    enum err err = cid_bytes_of(v, args->after, &cid);
    if (err != ERR_OK)
        return err;
    struct msg_repo_verify ask = {.after = span_of(cid.bytes, cid.len), .limit = args->limit};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_REPO_VERIFY, &ask, NULL, 0, LARGE_REPLY);
}

static enum err ask_quarantine(struct control *c, struct conversation *v)
{
    const struct op_repo_quarantine *args = (const void *)v->args;
    struct cid_bytes cid;
    enum err err = cid_bytes_of(v, args->after, &cid);
    if (err != ERR_OK)
        return err;
    struct msg_quarantine_ls ask = {.after = span_of(cid.bytes, cid.len)};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_QUARANTINE_LS, &ask, NULL, 0, LARGE_REPLY);
}

static enum err ask_heal(struct control *c, struct conversation *v)
{
    const struct op_repo_heal *args = (const void *)v->args;
    struct msg_quarantine_change ask = {.forget = args->forget};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_QUARANTINE_CHANGE, &ask, NULL, 0, 0);
}

static enum err ask_backup_read(struct control *c, struct conversation *v)
{
    const struct op_backup_read *args = (const void *)v->args;
    struct msg_backup_read ask = {
        .backup = args->backup, .segment = args->segment, .offset = args->offset, .length = args->length};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BACKUP_READ, &ask, NULL, 0, 0);
}

enum err backup_read_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    (void)sub;
    if (info->err != ERR_OK)
        return info->err;
    struct buf result;
    buf_init(&result, PIECE_RESULT_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 2);
    pack_text(&p, "data");
    pack_bytes(&p, block_ref_span(info->msg->tail));
    pack_pair_u64(&p, "size", ((const struct msg_backup_piece *)info->msg->fields)->size);
    enum err err = pack_end(&p);
    if (err == ERR_OK)
        conversation_finish(c, v, buf_span(&result));
    buf_release(&result);
    return err;
}

static enum err ask_backup_close(struct control *c, struct conversation *v)
{
    const struct op_backup_close *args = (const void *)v->args;
    struct msg_backup_close ask = {.backup = args->backup};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BACKUP_CLOSE, &ask, NULL, 0, 0);
}

/* ---- all of them ---- */

static enum err ask_plain(struct control *c, struct conversation *v, actor_id to, uint16_t kind)
{
    static const uint64_t no_fields[8] = {0};
    return conversation_call(c, v, to, kind, no_fields, NULL, 0, LARGE_REPLY);
}

static enum err ask_dht(struct control *c, struct conversation *v)
{
    const struct op_stats_dht *args = (const void *)v->args;
    size_t position = 0;
    struct span name;
    while (schema_list_next_bytes(&args->dht, &position, &name))
        if (!span_equal_text(name, "wan") && !span_equal_text(name, "lan"))
            return conversation_error(v, ERR_INVALID, "unknown DHT \"%.*s\": wan and lan are",
                                      (int)MIN(name.len, (size_t)40), (const char *)name.data);
    return ask_plain(c, v, ACTOR_DISCOVERY, MSG_DHT_STAT);
}

static enum err ask_addrs(struct control *c, struct conversation *v, bool local)
{
    struct msg_swarm_addrs ask = {.local = local};
    return conversation_call(c, v, ACTOR_CONNECTION_MANAGER, MSG_SWARM_ADDRS, &ask, NULL, 0, LARGE_REPLY);
}

static enum err ask_events(struct control *c, struct conversation *v)
{
    const struct op_events *args = (const void *)v->args;
    struct msg_state_events ask = {.limit = args->limit};
    return conversation_call(c, v, ACTOR_STATE, MSG_STATE_EVENTS, &ask, NULL, 0, LARGE_REPLY);
}

static enum err ask_provide_change(struct control *c, struct conversation *v, bool again)
{
    struct msg_provide_change ask = {.again = again, .clear = !again};
    return conversation_call(c, v, ACTOR_DISCOVERY, MSG_PROVIDE_CHANGE, &ask, NULL, 0, 0);
}

/* Peers and what they are asked for. ERR_UNSUPPORTED: none of these. */
static enum err start_network(struct control *c, struct conversation *v)
{
    switch (v->op->id) {
    case OP_SWARM_PEERS:
        return ask_plain(c, v, ACTOR_CONNECTION_MANAGER, MSG_SWARM_PEERS);
    case OP_STATS_BW:
        return ask_bandwidth(c, v);
    case OP_SWARM_RESOURCES:
        return ask_plain(c, v, ACTOR_CONNECTION_MANAGER, MSG_SWARM_RESOURCES);
    case OP_SWARM_FILTERS:
        return ask_plain(c, v, ACTOR_CONNECTION_MANAGER, MSG_SWARM_FILTERS);
    case OP_SWARM_FILTERS_ADD:
        return change_filters(c, v, &((const struct op_swarm_filters_add *)(const void *)v->args)->address, false);
    case OP_SWARM_FILTERS_RM:
        return change_filters(c, v, &((const struct op_swarm_filters_rm *)(const void *)v->args)->address, true);
    case OP_SWARM_ADDRS:
        return ask_addrs(c, v, false);
    case OP_SWARM_ADDRS_LOCAL:
        return ask_addrs(c, v, true);
    case OP_SWARM_ADDRS_AUTONAT:
        return ask_plain(c, v, ACTOR_CONNECTION_MANAGER, MSG_SWARM_AUTONAT);
    case OP_SWARM_CONNECT:
        return ask_connect(c, v);
    case OP_SWARM_DISCONNECT:
        return ask_disconnect(c, v);
    case OP_STATS_DHT:
        return ask_dht(c, v);
    case OP_PROVIDE_STAT:
        return ask_plain(c, v, ACTOR_DISCOVERY, MSG_PROVIDE_STAT);
    case OP_PROVIDE_CLEAR:
        return ask_provide_change(c, v, false);
    case OP_ROUTING_REPROVIDE:
        return ask_provide_change(c, v, true);
    case OP_SWARM_MDNS:
        return ask_plain(c, v, ACTOR_DISCOVERY, MSG_MDNS_STAT);
    case OP_DNS:
        return ask_dns(c, v);
    case OP_BOOTSTRAP_ADD:
        return change_bootstrap(c, v, &((const struct op_bootstrap_add *)(const void *)v->args)->address, false);
    case OP_BOOTSTRAP_RM:
        return change_bootstrap(c, v, &((const struct op_bootstrap_rm *)(const void *)v->args)->address, true);
    case OP_SWARM_PEERING_ADD:
        return ask_peering_add(c, v);
    case OP_SWARM_PEERING_RM:
        return ask_peering_rm(c, v);
    case OP_SWARM_PEERING_LS:
        return ask_plain(c, v, ACTOR_DISCOVERY, MSG_PEERING_LS);
    case OP_ROUTING_FINDPROVS:
        return ask_findprovs(c, v);
    }
    return ERR_UNSUPPORTED;
}

/* Blocks, pins, and what becomes of them. */
static enum err start_store(struct control *c, struct conversation *v)
{
    switch (v->op->id) {
    case OP_BITSWAP_STAT:
        return ask_plain(c, v, ACTOR_BITSWAP, MSG_BITSWAP_STAT);
    case OP_REPO_STAT:
        return ask_plain(c, v, ACTOR_TIERED_STORAGE, MSG_REPO_STAT);
    case OP_EVENTS:
        return ask_events(c, v);
    case OP_ACTORS_CRASHES:
        return ask_plain(c, v, ACTOR_STATE, MSG_STATE_CRASHES);
    case OP_BITSWAP_WANTLIST:
        return ask_wantlist(c, v);
    case OP_BLOCK_RM:
        return ask_block_rm(c, v);
    case OP_PIN_RM:
        return ask_pin_rm(c, v);
    case OP_PIN_FIND:
        return ask_pin_find(c, v);
    case OP_LEASE:
        return ask_lease(c, v);
    case OP_REPO_GC:
        return ask_gc(c, v);
    case OP_PIN_LS:
        return ask_pin_ls(c, v);
    case OP_REPO_VERIFY:
        return ask_verify(c, v);
    case OP_REPO_QUARANTINE:
        return ask_quarantine(c, v);
    case OP_REPO_HEAL:
        return ask_heal(c, v);
    case OP_HEAT_TOP:
        return ask_heat_top(c, v);
    case OP_HEAT_EXPLAIN:
        return ask_heat_explain(c, v);
    case OP_BACKUP_OPEN:
        return ask_plain(c, v, ACTOR_TIERED_STORAGE, MSG_BACKUP_OPEN);
    case OP_BACKUP_READ:
        return ask_backup_read(c, v);
    case OP_BACKUP_CLOSE:
        return ask_backup_close(c, v);
    }
    return ERR_UNSUPPORTED;
}

enum err relay_start(struct control *c, struct conversation *v)
{
    enum err err = start_network(c, v);
    return err == ERR_UNSUPPORTED ? start_store(c, v) : err;
}

enum err relay_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    (void)sub;
    if (info->err != ERR_OK)
        return info->err;
    const struct schema *schema = schema_find(&schema_messages, info->msg->kind);
    struct buf result;
    buf_init(&result, SHOWN_BYTES_MAX, NULL);
    enum err err = schema == NULL ? ERR_INTERNAL : show_message(schema, info->msg->fields, &result);
    if (err == ERR_OK)
        conversation_finish(c, v, buf_span(&result));
    buf_release(&result);
    return err;
}
