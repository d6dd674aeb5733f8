/* SPDX-License-Identifier: MIT */
/*
 * Hot blocks are provided for the first time before those that are only stored. Where not all blocks are provided, all that are have a pin,
 * and come before hot ones anyway. Only rows that there are become hot: what is wanted here need not be here.
 */
#include "actors/discovery/provide.h"
#include "actors/tree.h"
#include "wire/cid.h"

enum { ROWS_BYTES = 16 * 1024 };

void provide_hot_tell(struct provide *p)
{
    struct buf rows;
    uint32_t count = 0;
    buf_init(&rows, ROWS_BYTES, NULL);
    for (size_t i = 0; i < p->hot.count; i++)
        count += provide_add_row(&rows, span_of(p->hot.blocks[i].multihash, p->hot.blocks[i].len));
    (void)provide_tell_rows(p, &rows, count, PROVIDE_HOT); /* they are told again */
    buf_release(&rows);
    if (count > 0)
        p->hot.turn_ns = MIN(p->hot.turn_ns, ctx_now(p->ctx) + PROVIDE_WAKE_S * SECOND_NS);
}

void provide_hot_take(struct provide *p, const struct msg_provide_hot *fields)
{
    size_t position = 0;
    struct span bytes;
    p->hot.count = 0;
    while (p->hot.count < PROVIDE_HOT_MAX && schema_list_next_bytes(&fields->cids, &position, &bytes)) {
        struct cid cid;
        uint8_t hash[MULTIHASH_BYTES_MAX];
        size_t len = cid_parse(bytes, &cid) == ERR_OK ? multihash_encode(&cid.hash, hash) : 0;
        if (len == 0 || len > PROVIDE_BATCH_KEY_BYTES_MAX)
            continue;
        p->hot.blocks[p->hot.count].len = (uint8_t)len;
        memcpy(p->hot.blocks[p->hot.count++].multihash, hash, len);
    }
    provide_hot_tell(p);
}
