/* SPDX-License-Identifier: MIT */
/*
 * The walk over the store: what of it is to be provided becomes rows in state.db. Pins first, then what they reach, then all blocks, as far as
 * the strategy goes. Each page is told to state, which is then asked to write it, so that a large store does not flood its mailbox. A
 * walk that came to its end removes the rows that it did not see: nothing is provided for long that is not here.
 */
#include "actors/discovery/provide.h"
#include "actors/tree.h"
#include "wire/cid.h"

enum { PAGE_REPLY = 256 * 1024, ROWS_BYTES = 64 * 1024, AGAIN_S = 30 };

static bool ask(struct provide *p, actor_id to, uint16_t kind, const void *fields, uint64_t tag)
{
    struct call_opts opts = {.timeout_ns = PROVIDE_CALL_S * SECOND_NS, .reply_bytes_max = PAGE_REPLY};
    return ctx_call(p->ctx, to, &(struct msg){.kind = kind, .fields = fields}, opts, tag) == ERR_OK;
}

static void stop(struct provide *p, uint64_t in_ns)
{
    p->walk.state = WALK_IDLE;
    p->walk.due_ns = ctx_now(p->ctx) + in_ns;
}

static void ask_page(struct provide *p)
{
    struct provide_walk *w = &p->walk;
    struct span after = span_of(w->after, w->after_len);
    struct msg_block_ls blocks = {.after = after, .limit = PROVIDE_WALK_ROWS};
    struct msg_pin_ls pins = {.after = after, .indirect = w->state == WALK_INDIRECT, .limit = PROVIDE_WALK_ROWS};
    bool asked = w->state == WALK_BLOCKS ? ask(p, ACTOR_TIERED_STORAGE, MSG_BLOCK_LS, &blocks, TAG_PROVIDE_WALK)
                                         : ask(p, ACTOR_TIERED_STORAGE, MSG_PIN_LS, &pins, TAG_PROVIDE_WALK);
    if (!asked)
        stop(p, AGAIN_S * SECOND_NS);
}

static uint64_t soon(const struct provide_walk *w)
{
    return MAX(PROVIDE_WALK_SOON_S * SECOND_NS, 10 * w->took_ns);
}

void provide_walk_soon(struct provide *p)
{
    struct provide_walk *w = &p->walk;
    w->missed = w->state != WALK_IDLE;
    if (!w->missed)
        w->due_ns = MIN(w->due_ns, ctx_now(p->ctx) + soon(w));
}

void provide_walk_begin(struct provide *p)
{
    struct provide_walk *w = &p->walk;
    w->missed = false;
    w->state = WALK_PINS;
    w->seen++;
    w->rows = 0;
    w->after_len = 0;
    w->began_ns = ctx_now(p->ctx);
    ask_page(p);
}

static void keep_after(struct provide_walk *w, struct span after)
{
    w->after_len = MIN(after.len, sizeof(w->after));
    if (w->after_len > 0) /* of an empty page it is NULL */
        memcpy(w->after, after.data, w->after_len);
}

static uint32_t add_pins(struct provide_walk *w, const struct msg_pin_page *page, struct buf *rows)
{
    struct item_pin pin;
    size_t position = 0;
    uint32_t count = 0;
    while (schema_list_next_map(&page->pins, &schema_item_pin, &position, &pin)) {
        struct cid cid;
        uint8_t hash[MULTIHASH_BYTES_MAX];
        if (cid_parse(pin.cid, &cid) == ERR_OK &&
            provide_add_row(rows, span_of(hash, multihash_encode(&cid.hash, hash))))
            count++;
    }
    w->more = page->more && page->next.len > 0;
    keep_after(w, page->next);
    return count;
}

static uint32_t add_blocks(struct provide_walk *w, const struct msg_block_page *page, struct buf *rows)
{
    size_t position = 0;
    uint32_t count = 0;
    struct span multihash = {0};
    while (schema_list_next_bytes(&page->multihashes, &position, &multihash))
        count += provide_add_row(rows, multihash);
    w->more = page->more && multihash.len > 0;
    keep_after(w, multihash);
    return count;
}

static void take_page(struct provide *p, const struct msg *msg)
{
    struct provide_walk *w = &p->walk;
    struct buf rows;
    enum provide_class class = w->state == WALK_PINS       ? PROVIDE_ROOT
                               : w->state == WALK_INDIRECT ? PROVIDE_PINNED
                                                           : PROVIDE_STORED;
    buf_init(&rows, ROWS_BYTES, NULL);
    uint32_t count = msg->kind == MSG_BLOCK_PAGE ? add_blocks(w, msg->fields, &rows) : add_pins(w, msg->fields, &rows);
    bool told = provide_tell_rows(p, &rows, count, class);
    buf_release(&rows);
    w->rows += count;
    if (!told || !provide_probe(p, TAG_PROVIDE_PROBE))
        stop(p, AGAIN_S * SECOND_NS);
}

/* Behind the last page of one kind come those of the next. */
static void next_kind(struct provide *p)
{
    struct provide_walk *w = &p->walk;
    w->after_len = 0;
    if (w->state == WALK_PINS && p->strategy >= PROVIDE_STRATEGY_PINNED)
        w->state = WALK_INDIRECT;
    else if (w->state == WALK_INDIRECT && p->strategy == PROVIDE_STRATEGY_ALL)
        w->state = WALK_BLOCKS;
    else
        w->state = WALK_ENDING;
}

static void end(struct provide *p)
{
    struct provide_walk *w = &p->walk;
    provide_hot_tell(p);
    struct msg_state_provide_walked fields = {.seen = w->seen};
    (void)ctx_cast(p->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_PROVIDE_WALKED, .fields = &fields});
    w->took_ns = ctx_now(p->ctx) - w->began_ns;
    stop(p, w->missed ? soon(w) : p->sweep.interval_ns / 4);
    p->wake_ns = ctx_now(p->ctx);
}

void provide_walk_reply(struct provide *p, const struct info *info)
{
    struct provide_walk *w = &p->walk;
    if (w->state == WALK_IDLE)
        return;
    if (info->err != ERR_OK) {
        stop(p, AGAIN_S * SECOND_NS);
        return;
    }
    if (info->tag == TAG_PROVIDE_WALK) {
        take_page(p, info->msg);
        return;
    }
    if (!w->more)
        next_kind(p);
    if (w->state == WALK_ENDING)
        end(p);
    else
        ask_page(p);
}
