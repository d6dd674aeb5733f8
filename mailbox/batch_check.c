/* SPDX-License-Identifier: MIT */
#include "mailbox/batch_check.h"

#include <string.h>

#include "mailbox/ctx.h"

static bool is_edge(const struct runtime *rt, actor_id from, actor_id to)
{
    for (size_t i = 0; i < rt->config.edge_count; i++) {
        if (rt->config.edges[i].from == from && rt->config.edges[i].to == to)
            return true;
    }
    return false;
}

/* May a record of this type come from that process? What it says it is from is checked beside. */
static bool may_say(const struct runtime *rt, const struct record *r, actor_id from, actor_id to)
{
    switch (r->type) {
    case RECORD_CALL:
        return r->correlation != 0 && runtime_schema(rt, r->kind) != NULL && is_edge(rt, from, to);
    case RECORD_REPLY:
    case RECORD_CAST:
        return runtime_schema(rt, r->kind) != NULL;
    case RECORD_REPLY_ERR:
        return r->err != ERR_OK && r->err < ERR_COUNT;
    case RECORD_CANCEL:
    case RECORD_ROOM:
        return true;
    case RECORD_STARTED:
        return to == ROOT_ID && r->err < ERR_COUNT && r->kind < EXIT_REASON_COUNT;
    case RECORD_EXITED:
        return to == ROOT_ID && r->kind < EXIT_REASON_COUNT;
    case RECORD_ACCUSED:
        return to == ROOT_ID && r->kind != ROOT_ID && r->kind < rt->actor_count;
    case RECORD_STOP:
        return from == ROOT_ID;
    case RECORD_DOWN:
    case RECORD_UP:
        return from == ROOT_ID && r->kind < EXIT_REASON_COUNT;
    }
    return false; /* no type */
}

/* Root tells of others: their ups and downs are from whom they are about. */
static bool is_from(const struct runtime *rt, const struct record *r, actor_id from)
{
    bool about_others = r->type == RECORD_DOWN || r->type == RECORD_UP;
    return about_others ? r->from < rt->actor_count : r->from == from;
}

enum err batch_check(const struct runtime *rt, actor_id from, actor_id to, const uint8_t *body, size_t len,
                     uint64_t tail_bytes)
{
    uint32_t head[2]; /* magic, count */
    if (len < ENVELOPE_BATCH_BYTES)
        return ERR_PROTOCOL;
    memcpy(head, body, sizeof(head));
    if (head[0] != ENVELOPE_MAGIC || head[1] == 0)
        return ERR_PROTOCOL;
    size_t at = ENVELOPE_BATCH_BYTES;
    for (uint32_t left = head[1]; left > 0; left--) {
        struct record r;
        if (!envelope_whole(body + at, len - at))
            return ERR_PROTOCOL;
        envelope_decode(body + at, &r);
        if (r.to != to || !is_from(rt, &r, from) || !may_say(rt, &r, from, to))
            return ERR_PROTOCOL;
        struct tail_mark mark = envelope_mark(body + at);
        if (mark.there && (mark.len > TAIL_BYTES_MAX || mark.len > tail_bytes))
            return ERR_PROTOCOL;
        tail_bytes -= mark.there ? mark.len : 0;
        at += r.length;
    }
    return at == len && tail_bytes == 0 ? ERR_OK : ERR_PROTOCOL;
}
