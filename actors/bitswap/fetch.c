/* SPDX-License-Identifier: MIT */
/*
 * Calls for blocks. A target is one CID that somebody here waits for; all calls for it share it.
 *
 *      LOCAL (storage is asked) -> found: answered
 *                               -> else WANTED (the session asks peers) -> STORING (storage makes it durable) -> answered
 */
#include <stdlib.h>

#include "actors/bitswap/node.h"
#include "actors/tree.h"

enum { LOCAL_TIMEOUT_S = 40, PUT_TIMEOUT_S = 120 }; /* a read of a cold tier ends before, and says why */

static struct target *target_find(const struct node *n, const struct cid *cid)
{
    uint8_t key[CID_BYTES_MAX];
    return table_get(&n->targets, span_of(key, cid_encode(cid, key)));
}

static void tell_want(struct node *n, const struct cid *cid, bool gone)
{
    uint8_t key[CID_BYTES_MAX];
    struct msg_state_want fields = {
        .cid = span_of(key, cid_encode(cid, key)), .since = ctx_real_now(n->ctx), .gone = gone};
    (void)ctx_cast(n->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_WANT, .fields = &fields});
}

static void waiter_free(struct node *n, struct waiter *w)
{
    if (w->kind == WAITER_MISS)
        miss_over(n, w->miss);
    free(w);
}

static void target_free(struct node *n, struct target *t)
{
    uint8_t key[CID_BYTES_MAX];
    if (t->state == TARGET_WANTED) {
        bitswap_session_unwant(n->session, &t->cid);
        tell_want(n, &t->cid, true);
    }
    while (t->waiters != NULL) {
        struct waiter *w = t->waiters;
        t->waiters = w->next;
        waiter_free(n, w);
    }
    if (t->block != NULL)
        block_ref_uncharge(t->block); /* a put may still be under way */
    n->puts_due -= (size_t)t->put_due;
    block_ref_unref(t->block);
    (void)table_remove(&n->targets, span_of(key, cid_encode(&t->cid, key)));
    free(t);
    account_give(n->tables, sizeof(*t));
}

void fetch_free_all(struct node *n)
{
    size_t position = 0;
    for (struct target *t = table_next(&n->targets, &position, NULL); t != NULL;
         t = table_next(&n->targets, &position, NULL))
        target_free(n, t);
}

static void tell_healed(struct node *n, uint64_t id, enum err err)
{
    struct msg_healed fields = {.id = id, .err = (uint64_t)err};
    /* Without room it is not told: storage stops waiting by itself. */
    (void)ctx_cast(n->ctx, ACTOR_TIERED_STORAGE, &(struct msg){.kind = MSG_HEALED, .fields = &fields});
}

static void answer(struct node *n, struct target *t, struct block_ref *block)
{
    uint8_t key[CID_BYTES_MAX];
    struct msg_block fields = {.cid = span_of(key, cid_encode(&t->cid, key)), .size = block->len};
    if (t->block != NULL)
        block_ref_uncharge(t->block); /* it is stored, and who is answered accounts for what is kept */
    for (struct waiter *w = t->waiters; w != NULL; w = w->next) {
        if (w->kind == WAITER_HEAL)
            tell_healed(n, w->heal_id, ERR_OK);
        else if (w->kind == WAITER_CALL)
            ctx_reply(n->ctx, w->call, &(struct msg){.kind = MSG_BLOCK, .fields = &fields, .tail = block});
    }
    target_free(n, t);
}

static void answer_err(struct node *n, struct target *t, enum err err, const char *text)
{
    for (struct waiter *w = t->waiters; w != NULL; w = w->next) {
        if (w->kind == WAITER_HEAL)
            tell_healed(n, w->heal_id, err);
        else if (w->kind == WAITER_CALL)
            ctx_reply_err(n->ctx, w->call, err, "%s", text);
    }
    target_free(n, t);
}

/* An identity CID carries its block. */
static enum err answer_identity(struct node *n, const struct cid *cid, struct reply_to call)
{
    uint8_t key[CID_BYTES_MAX];
    struct block_ref *block = block_ref_copy(span_of(cid->hash.digest, cid->hash.len), NULL);
    if (block == NULL)
        return ERR_NOMEM;
    struct msg_block fields = {.cid = span_of(key, cid_encode(cid, key)), .size = block->len};
    ctx_reply(n->ctx, call, &(struct msg){.kind = MSG_BLOCK, .fields = &fields, .tail = block});
    block_ref_unref(block);
    return ERR_OK;
}

static enum err ask_storage(struct node *n, struct target *t)
{
    uint8_t key[CID_BYTES_MAX];
    struct op *op = node_op_new(n, OP_LOCAL);
    if (op == NULL)
        return ERR_BUSY;
    op->cid = t->cid;
    t->asked = op->tag;
    struct msg_block_get fields = {.cid = span_of(key, cid_encode(&t->cid, key))};
    struct msg msg = {.kind = MSG_BLOCK_GET, .fields = &fields};
    return node_call(n, op, ACTOR_TIERED_STORAGE, &msg, LOCAL_TIMEOUT_S * SECOND_NS);
}

static enum err target_new(struct node *n, const struct cid *cid, struct target **ret_target)
{
    uint8_t key[CID_BYTES_MAX];
    if (!account_take(n->tables, sizeof(struct target)))
        return ERR_NOMEM;
    struct target *t = calloc(1, sizeof(*t));
    enum err err = t == NULL ? ERR_NOMEM : table_put(&n->targets, span_of(key, cid_encode(cid, key)), t, NULL);
    if (err != ERR_OK) {
        free(t);
        account_give(n->tables, sizeof(*t));
        return err;
    }
    t->cid = *cid;
    err = ask_storage(n, t);
    if (err != ERR_OK) {
        target_free(n, t);
        return err;
    }
    *ret_target = t;
    return ERR_OK;
}

static bool is_denied(const struct node *n, const struct cid *cid)
{
    return denylist_ask_cid(n->denylist, cid) == DENYLIST_DENIED;
}

/* Adds a copy of who to those who wait for the block. */
static enum err wait_for(struct node *n, const struct cid *cid, const struct waiter *who)
{
    enum err err = is_denied(n, cid) ? ERR_DENIED : multihash_allowed(&cid->hash);
    if (err != ERR_OK)
        return err;
    struct waiter *w = malloc(sizeof(*w));
    if (w == NULL)
        return ERR_NOMEM;
    struct target *t = target_find(n, cid);
    if (t == NULL)
        err = target_new(n, cid, &t);
    if (err != ERR_OK) {
        free(w);
        return err;
    }
    *w = *who;
    w->next = t->waiters;
    t->waiters = w;
    return ERR_OK;
}

enum err fetch_call(struct node *n, const struct msg_fetch *fields, struct reply_to call)
{
    struct cid cid;
    if (cid_parse(fields->cid, &cid) != ERR_OK)
        return ERR_INVALID;
    if (is_denied(n, &cid)) {
        char text[CID_TEXT_MAX];
        cid_text(&cid, text);
        ctx_reply_err(n->ctx, call, ERR_DENIED, "/ipfs/%s is blocked and cannot be provided", text);
        return ERR_OK;
    }
    if (cid.hash.code == MULTIHASH_IDENTITY)
        return answer_identity(n, &cid, call);
    return wait_for(n, &cid, &(struct waiter){.call = call});
}

void fetch_heal(struct node *n, const struct msg_heal *fields)
{
    struct cid cid;
    struct waiter who = {
        .kind = WAITER_HEAL, .heal_id = fields->id, .until_ns = ctx_now(n->ctx) + NODE_HEAL_S * SECOND_NS};
    enum err err = cid_parse(fields->cid, &cid);
    if (err == ERR_OK)
        err = wait_for(n, &cid, &who);
    if (err != ERR_OK)
        tell_healed(n, fields->id, err);
}

enum err fetch_miss(struct node *n, const struct cid *cid, size_t slot)
{
    struct waiter who = {.kind = WAITER_MISS, .miss = slot, .until_ns = ctx_now(n->ctx) + NODE_MISS_S * SECOND_NS};
    enum err err = cid->hash.code == MULTIHASH_IDENTITY ? ERR_INVALID : wait_for(n, cid, &who);
    if (err != ERR_OK)
        miss_over(n, slot);
    return err;
}

/* Who waits longest: the last of the list. */
static void caused_by(struct node *n, const struct target *t)
{
    const struct reply_to *first = NULL;
    for (const struct waiter *w = t->waiters; w != NULL; w = w->next)
        if (w->kind == WAITER_CALL)
            first = &w->call;
    ctx_caused_by(n->ctx, first);
}

void fetch_caused(struct node *n, const struct cid *cid)
{
    const struct target *t = target_find(n, cid);
    if (t == NULL)
        ctx_caused_by(n->ctx, NULL);
    else
        caused_by(n, t);
}

/* Once nobody waits any more, what was begun is given up; what is being stored is stored all the same. */
static void give_up_if_alone(struct node *n, struct target *t)
{
    if (t->waiters != NULL || t->state == TARGET_STORING)
        return;
    if (t->state == TARGET_LOCAL)
        node_cancel(n, t->asked);
    else
        search_give_up(n, &t->cid);
    target_free(n, t);
}

static void end_late(struct node *n, struct target *t, uint64_t now_ns)
{
    struct waiter **at = &t->waiters;
    while (*at != NULL) {
        struct waiter *w = *at;
        if (w->kind == WAITER_CALL || now_ns < w->until_ns) {
            at = &w->next;
            continue;
        }
        if (w->kind == WAITER_HEAL)
            tell_healed(n, w->heal_id, ERR_TIMEOUT);
        *at = w->next;
        waiter_free(n, w);
    }
    give_up_if_alone(n, t);
}

void fetch_tick(struct node *n)
{
    size_t position = 0;
    for (struct target *t = table_next(&n->targets, &position, NULL); t != NULL;
         t = table_next(&n->targets, &position, NULL))
        end_late(n, t, ctx_now(n->ctx));
}

static bool forget_waiter(struct node *n, struct target *t, const struct reply_to *call)
{
    for (struct waiter **at = &t->waiters; *at != NULL; at = &(*at)->next) {
        struct waiter *w = *at;
        if (w->kind != WAITER_CALL || !reply_same(&w->call, call))
            continue;
        *at = w->next;
        free(w);
        give_up_if_alone(n, t);
        return true;
    }
    return false;
}

void fetch_cancel(struct node *n, const struct reply_to *call)
{
    size_t position = 0;
    for (struct target *t = table_next(&n->targets, &position, NULL); t != NULL;
         t = table_next(&n->targets, &position, NULL))
        if (forget_waiter(n, t, call))
            return;
}

static void put_later(struct node *n, struct target *t, bool later)
{
    n->puts_due += (size_t)later;
    n->puts_due -= (size_t)t->put_due;
    t->put_due = later;
}

static void put(struct node *n, struct target *t)
{
    uint8_t key[CID_BYTES_MAX];
    struct op *op = node_op_new(n, OP_PUT);
    put_later(n, t, op == NULL);
    if (op == NULL)
        return;
    op->cid = t->cid;
    struct msg_block_put fields = {.cid = span_of(key, cid_encode(&t->cid, key))};
    struct msg msg = {.kind = MSG_BLOCK_PUT, .fields = &fields, .tail = t->block};
    caused_by(n, t);
    enum err err = node_call(n, op, ACTOR_TIERED_STORAGE, &msg, PUT_TIMEOUT_S * SECOND_NS);
    ctx_caused_by(n->ctx, NULL);
    if (err == ERR_BUSY)
        put_later(n, t, true);
    else if (err != ERR_OK)
        answer_err(n, t, err, "the block was received but cannot be stored");
}

/*
 * Asks the network, but for the empty block: what hashes to nothing is known without asking, and Kubo, which claims to have it, never
 * sends it.
 */
static void want_it(struct node *n, struct target *t)
{
    if (multihash_verify(&t->cid.hash, (struct span){0}) == ERR_OK) {
        t->state = TARGET_STORING;
        t->block = block_ref_new(0, NULL);
        if (t->block != NULL)
            put(n, t);
        else
            answer_err(n, t, ERR_NOMEM, "");
        return;
    }
    enum err err = bitswap_session_want(n->session, &t->cid, ctx_now(n->ctx));
    if (err != ERR_OK && err != ERR_EXISTS) {
        answer_err(n, t, err, "too many blocks are wanted at once");
        return;
    }
    t->state = TARGET_WANTED;
    tell_want(n, &t->cid, false);
}

void fetch_local_done(struct node *n, const struct op *op, const struct info *info)
{
    struct target *t = target_find(n, &op->cid);
    if (t == NULL || t->state != TARGET_LOCAL)
        return;
    if (t->waiters == NULL)
        target_free(n, t);
    else if (info->err == ERR_OK && info->msg->tail != NULL)
        answer(n, t, info->msg->tail);
    else if (info->err == ERR_OK) { /* the empty block travels without a tail */
        struct block_ref *empty = block_ref_new(0, NULL);
        if (empty != NULL)
            answer(n, t, empty);
        else
            answer_err(n, t, ERR_NOMEM, "");
        block_ref_unref(empty);
    } else if (info->err == ERR_NOT_FOUND || info->err == ERR_CORRUPT)
        want_it(n, t);
    else
        answer_err(n, t, info->err, info->text);
}

void fetch_drop_denied(struct node *n)
{
    size_t position = 0;
    for (struct target *t = table_next(&n->targets, &position, NULL); t != NULL;
         t = table_next(&n->targets, &position, NULL))
        if (is_denied(n, &t->cid))
            answer_err(n, t, ERR_DENIED, "the block is denied now");
}

void fetch_retry_puts(struct node *n)
{
    size_t position = 0;
    for (struct target *t = table_next(&n->targets, &position, NULL); t != NULL && n->puts_due > 0;
         t = table_next(&n->targets, &position, NULL))
        if (t->put_due)
            put(n, t);
}

bool fetch_block(struct node *n, struct partner *p, const struct cid *cid, struct block_ref *block)
{
    struct target *t = target_find(n, cid);
    struct bitswap_session_peer *from = p == NULL ? NULL : p->session;
    if (t == NULL || t->state != TARGET_WANTED)
        return false;
    if (from != NULL) {
        uint64_t asked_ns = bitswap_session_asked_ns(n->session, from, cid);
        provider_book_success(&n->book, &p->id, asked_ns == 0 ? 0 : ctx_now(n->ctx) - asked_ns, ctx_now(n->ctx));
    }
    (void)bitswap_session_block(n->session, from, cid, block->len, ctx_now(n->ctx));
    tell_want(n, cid, true);
    t->state = TARGET_STORING;
    t->block = block_ref_ref(block);
    n->stats.blocks_received++;
    n->stats.bytes_received += block->len;
    put(n, t);
    return true;
}

void fetch_put_done(struct node *n, const struct op *op, const struct info *info)
{
    struct target *t = target_find(n, &op->cid);
    if (t == NULL || t->state != TARGET_STORING)
        return;
    if (info->err == ERR_BUSY) {
        put_later(n, t, true);
        return;
    }
    if (info->err == ERR_OK) {
        struct block_ref *block = block_ref_ref(t->block);
        answer(n, t, block);
        block_ref_unref(block);
    } else {
        answer_err(n, t, info->err, info->text);
    }
    fetch_retry_puts(n); /* one less is under way: there may be room for those that were refused */
}

void fetch_stored(struct node *n, const struct cid *cid)
{
    struct target *t = target_find(n, cid);
    if (t == NULL || t->state != TARGET_WANTED || ask_storage(n, t) != ERR_OK)
        return;
    bitswap_session_unwant(n->session, cid);
    tell_want(n, cid, true);
    t->state = TARGET_LOCAL;
}
