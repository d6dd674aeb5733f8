/* SPDX-License-Identifier: MIT */
/* The routing system's operations that need more than to be passed on: names as keys, and no block is provided that is not here. */
#include <string.h>

#include "actors/control/operations.h"

enum { FOUND_REPLY = 64 * 1024, VALUE_REPLY = 16 * 1024, SUB_HAS = 0, SUB_PROVIDE = 1 };

enum err findpeer_start(struct control *c, struct conversation *v)
{
    const struct op_routing_findpeer *args = (const void *)v->args;
    struct peer_id peer;
    enum err err = conversation_peer(v, args->peer, &peer);
    if (err != ERR_OK)
        return err;
    struct msg_find_peer ask = {.peer = peer_id_span(&peer)};
    return conversation_call(c, v, ACTOR_DISCOVERY, MSG_FIND_PEER, &ask, NULL, 0, FOUND_REPLY);
}

/* ---- provide ---- */

enum err provide_start(struct control *c, struct conversation *v)
{
    const struct op_routing_provide *args = (const void *)v->args;
    struct buf cids;
    uint8_t bytes[CID_BYTES_MAX];
    enum err err = conversation_cid(v, args->cid, &v->cid);
    if (err != ERR_OK)
        return err;
    buf_init(&cids, CID_BYTES_MAX + 8, NULL);
    err = schema_list_add_bytes(&cids, span_of(bytes, cid_encode(&v->cid, bytes)));
    struct msg_block_has ask = {.cids = schema_list_of(&cids, 1)};
    if (err == ERR_OK)
        err = conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BLOCK_HAS, &ask, NULL, SUB_HAS, 0);
    buf_release(&cids);
    return err;
}

enum err provide_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    uint8_t bytes[CID_BYTES_MAX];
    uint64_t size = 0;
    size_t position = 0;
    if (info->err != ERR_OK || sub == SUB_PROVIDE)
        return relay_reply(c, v, sub, info);
    const struct msg_block_have *have = info->msg->fields;
    if (!schema_list_next_u64(&have->sizes, &position, &size) || size == 0)
        return conversation_error(v, ERR_NOT_FOUND, "this block is not stored here, so it is not provided");
    struct msg_provide ask = {.cid = span_of(bytes, cid_encode(&v->cid, bytes))};
    return conversation_call(c, v, ACTOR_DISCOVERY, MSG_PROVIDE, &ask, NULL, SUB_PROVIDE, 0);
}

/* ---- values ---- */

struct routing_key {
    uint8_t bytes[ROUTE_KEY_MAX];
    size_t len;
};

/* "/pk/12D3..." as the bytes that the network knows: the namespace and the peer id's own. */
static enum err key_of(struct conversation *v, struct span text, struct routing_key *ret_key)
{
    static const char *const namespaces[] = {"/ipns/", "/pk/"};
    for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
        struct span prefix = span_text(namespaces[i]);
        struct peer_id id;
        if (!span_equal(span_first(text, prefix.len), prefix) ||
            peer_id_parse_text(span_skip(text, prefix.len), &id) != ERR_OK)
            continue;
        memcpy(ret_key->bytes, prefix.data, prefix.len);
        memcpy(ret_key->bytes + prefix.len, id.bytes, id.len);
        ret_key->len = prefix.len + id.len;
        return ERR_OK;
    }
    return conversation_error(v, ERR_INVALID, "\"%.*s\" is neither /ipns/<peer id> nor /pk/<peer id>",
                              (int)MIN(text.len, (size_t)120), (const char *)text.data);
}

enum err route_get_start(struct control *c, struct conversation *v)
{
    const struct op_routing_get *args = (const void *)v->args;
    struct routing_key key = {.len = 0};
    enum err err = key_of(v, args->key, &key);
    if (err != ERR_OK)
        return err;
    struct msg_route_get ask = {.key = span_of(key.bytes, key.len)};
    return conversation_call(c, v, ACTOR_DISCOVERY, MSG_ROUTE_GET, &ask, NULL, 0, VALUE_REPLY);
}

enum err route_put_start(struct control *c, struct conversation *v)
{
    const struct op_routing_put *args = (const void *)v->args;
    struct routing_key key = {.len = 0};
    enum err err = key_of(v, args->key, &key);
    if (err != ERR_OK)
        return err;
    struct msg_route_put ask = {.key = span_of(key.bytes, key.len), .value = args->value};
    return conversation_call(c, v, ACTOR_DISCOVERY, MSG_ROUTE_PUT, &ask, NULL, 0, 0);
}
