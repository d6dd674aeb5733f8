/* SPDX-License-Identifier: MIT */
/* What the node tells of its trade. */
#include "actors/bitswap/node.h"

enum { LIST_BYTES = 200 * 1024 };

enum err report_stat(struct node *n, struct reply_to call)
{
    struct msg_bitswap_stat_ok fields = n->stats;
    struct buf wants;
    struct buf peers;
    size_t position = 0;
    struct cid cid;
    buf_init(&wants, LIST_BYTES, NULL);
    buf_init(&peers, LIST_BYTES, NULL);
    fields.blocks_sent = engine_stats(n->engine)->blocks_sent;
    fields.bytes_sent = engine_stats(n->engine)->bytes_sent;
    uint32_t count = 0;
    while (count < BATCH_COUNT_MAX && bitswap_session_next_want(n->session, &position, &cid)) {
        uint8_t key[CID_BYTES_MAX];
        count += schema_list_add_bytes(&wants, span_of(key, cid_encode(&cid, key))) == ERR_OK;
    }
    fields.wantlist = schema_list_of(&wants, count);
    position = 0;
    count = 0;
    for (const struct partner *p = table_next(&n->partners, &position, NULL); p != NULL && count < BATCH_COUNT_MAX;
         p = table_next(&n->partners, &position, NULL))
        count += schema_list_add_bytes(&peers, peer_id_span(&p->id)) == ERR_OK;
    fields.peers = schema_list_of(&peers, count);
    ctx_reply(n->ctx, call, &(struct msg){.kind = MSG_BITSWAP_STAT_OK, .fields = &fields});
    buf_release(&wants);
    buf_release(&peers);
    return ERR_OK;
}

/* Ours, or what a peer told us that it wants. */
enum err report_wantlist(struct node *n, const struct msg_bitswap_wantlist *asked, struct reply_to call)
{
    const struct partner *p = asked->peer.len == 0 ? NULL : partner_find(n, asked->peer);
    struct buf items;
    size_t position = 0;
    uint32_t count = 0;
    struct cid cid;
    if (asked->peer.len > 0 && p == NULL)
        return ERR_NOT_FOUND;
    buf_init(&items, LIST_BYTES, NULL);
    while (count < BATCH_COUNT_MAX && (p != NULL ? engine_next_want(p->engine, &position, &cid)
                                                 : bitswap_session_next_want(n->session, &position, &cid))) {
        uint8_t key[CID_BYTES_MAX];
        count += schema_list_add_bytes(&items, span_of(key, cid_encode(&cid, key))) == ERR_OK;
    }
    struct msg_bitswap_wantlist_ok fields = {.cids = schema_list_of(&items, count)};
    ctx_reply(n->ctx, call, &(struct msg){.kind = MSG_BITSWAP_WANTLIST_OK, .fields = &fields});
    buf_release(&items);
    return ERR_OK;
}

enum err report_wanted(struct node *n, const struct msg_bitswap_wanted *asked, struct reply_to call)
{
    struct peer_id ids[WANTED_BY_MAX];
    struct buf items;
    struct cid cid;
    enum err err = cid_parse(asked->cid, &cid);
    if (err != ERR_OK)
        return err;
    struct msg_bitswap_wanted_ok fields = {.ours = bitswap_session_wants(n->session, &cid)};
    uint32_t told = (uint32_t)engine_wanted_by(n->engine, &cid, ids, WANTED_BY_MAX, &fields.more);
    buf_init(&items, WANTED_BY_MAX * (PEER_ID_BYTES_MAX + 8), NULL);
    for (uint32_t i = 0; i < told && err == ERR_OK; i++)
        err = schema_list_add_bytes(&items, peer_id_span(&ids[i]));
    fields.peers = schema_list_of(&items, told);
    if (err == ERR_OK)
        ctx_reply(n->ctx, call, &(struct msg){.kind = MSG_BITSWAP_WANTED_OK, .fields = &fields});
    buf_release(&items);
    return err;
}
