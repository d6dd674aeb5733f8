/* SPDX-License-Identifier: MIT */
/*
 * Who provides what nobody connected has: discovery is asked, and the best of those that it names are dialled (provider_book.h). What becomes of
 * them is noted there.
 */
#include "actors/bitswap/node.h"
#include "actors/tree.h"
#include "schemas/config.h"
#include "wire/multiaddr.h"

enum { SEARCH_TIMEOUT_S = 60, CONNECT_TIMEOUT_S = 30, NAMED_MAX = 128, TIDY_S = 3600 };

void search_init(struct node *n, const struct config *config)
{
    provider_book_init(&n->book, n->tables);
    for (size_t i = 0; i < config->peering_peers.count; i++) {
        struct multiaddr addr;
        struct peer_id id;
        if (multiaddr_parse_text(span_text(config->peering_peers.items[i]), &addr) == ERR_OK &&
            multiaddr_peer(multiaddr_span(&addr), &id) == ERR_OK)
            provider_book_prefer(&n->book, &id, ctx_now(n->ctx));
    }
}

static bool search_one(struct node *n)
{
    struct cid cid;
    uint8_t key[CID_BYTES_MAX];
    if (!bitswap_session_next_search(n->session, ctx_now(n->ctx), &cid))
        return false;
    struct op *op = node_op_new(n, OP_PROVIDERS);
    if (op == NULL)
        return false;
    op->cid = cid;
    fetch_caused(n, &cid);
    struct msg_find_providers fields = {
        .cid = span_of(key, cid_encode(&cid, key)), .count = NODE_PROVIDERS, .stream = op->tag};
    struct msg msg = {.kind = MSG_FIND_PROVIDERS, .fields = &fields};
    return node_call(n, op, ACTOR_DISCOVERY, &msg, SEARCH_TIMEOUT_S * SECOND_NS) == ERR_OK;
}

/* A peer that broke its word in the session since the last look counts as one failure, however many blocks it was about. */
static void note_broken(struct node *n)
{
    size_t position = 0;
    for (struct partner *p = table_next(&n->partners, &position, NULL); p != NULL;
         p = table_next(&n->partners, &position, NULL))
        if (p->session != NULL && bitswap_session_peer_take_broken(p->session) > 0)
            provider_book_failure(&n->book, &p->id, ctx_now(n->ctx));
}

void search_tick(struct node *n)
{
    uint64_t now = ctx_now(n->ctx);
    note_broken(n);
    if (now >= n->tidy_ns) {
        provider_book_tidy(&n->book, now);
        n->tidy_ns = now + TIDY_S * SECOND_NS;
    }
    while (n->op_count[OP_PROVIDERS] < NODE_SEARCHES_MAX && search_one(n))
        ;
    ctx_caused_by(n->ctx, NULL);
}

void search_give_up(struct node *n, const struct cid *cid)
{
    size_t position = 0;
    struct op *op;
    if (n->op_count[OP_PROVIDERS] + n->op_count[OP_CONNECT] == 0)
        return;
    while ((op = table_next(&n->ops, &position, NULL)) != NULL)
        if ((op->kind == OP_PROVIDERS || op->kind == OP_CONNECT) && cid_equal(&op->cid, cid))
            node_cancel(n, op->tag);
}

/* ---- whom to dial ---- */

static bool connect_to(struct node *n, const struct cid *cid, const struct peer_id *id,
                       const struct item_provider *provider)
{
    if (n->op_count[OP_CONNECT] >= NODE_CONNECTS_MAX)
        return false;
    struct op *op = node_op_new(n, OP_CONNECT);
    if (op == NULL)
        return false;
    op->cid = *cid;
    op->peer = *id;
    struct msg_peer_connect fields = {.peer = provider->peer, .addrs = provider->addrs, .casual = true, .needed = true};
    struct msg msg = {.kind = MSG_PEER_CONNECT, .fields = &fields};
    /* peer_up tells of success */
    return node_call(n, op, ACTOR_CONNECTION_MANAGER, &msg, CONNECT_TIMEOUT_S * SECOND_NS) == ERR_OK;
}

static bool find_row(const struct schema_list *rows, const struct peer_id *id, struct item_provider *ret_row)
{
    size_t position = 0;
    while (schema_list_next_map(rows, &schema_item_provider, &position, ret_row))
        if (span_equal(ret_row->peer, peer_id_span(id)))
            return true;
    return false;
}

/* Those that are not connected yet; the others are asked anyhow. */
static size_t list_named(struct node *n, const struct schema_list *rows, struct peer_id ids[NAMED_MAX])
{
    size_t position = 0;
    size_t count = 0;
    struct item_provider row;
    while (count < NAMED_MAX && schema_list_next_map(rows, &schema_item_provider, &position, &row)) {
        const struct partner *p = partner_find(n, row.peer);
        if ((p != NULL && p->up) || peer_id_parse(row.peer, &ids[count]) != ERR_OK)
            continue;
        provider_book_seen(&n->book, &ids[count], ctx_now(n->ctx));
        count++;
    }
    return count;
}

void search_found(struct node *n, const struct cid *cid, const struct schema_list *providers)
{
    struct peer_id ids[NAMED_MAX];
    size_t count = list_named(n, providers, ids);
    count = MIN(provider_book_choose(&n->book, ids, count, ctx_now(n->ctx)), (size_t)NODE_PROVIDERS);
    for (size_t i = 0; i < count; i++) {
        struct item_provider row;
        if (find_row(providers, &ids[i], &row) && !connect_to(n, cid, &ids[i], &row))
            return;
    }
}

void search_connected(struct node *n, const struct op *op, const struct info *info)
{
    if (info->err == ERR_OK)
        provider_book_seen(&n->book, &op->peer, ctx_now(n->ctx));
    else if (info->err != ERR_CANCELLED && info->err != ERR_BUSY && info->err != ERR_UNAVAILABLE &&
             info->err != ERR_NOMEM)
        provider_book_failure(&n->book, &op->peer, ctx_now(n->ctx));
}
