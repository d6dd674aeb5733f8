/* SPDX-License-Identifier: MIT */
/*
 * pin add, update, verify. What is pinned is walked first, so that a pin is of something that is there; meanwhile a lease keeps it from
 * collection (MSG_LEASE: a call that lasts as long as the conversation).
 *
 *      add, update     lease, how is it pinned? -> the walk -> pin -> (update: unpin the old one)
 *      verify          the next recursive pin -> the walk, offline, which notes what is missing
 */
#include <stdlib.h>

#include "actors/control/operations.h"
#include "actors/control/pin_walk.h"
#include "schemas/pack.h"

enum { SUB_LEASE = PIN_WALK_SLOTS, SUB_FIND, SUB_PIN, SUB_UNPIN, SUB_PAGE };
enum { PINS_RESULT_MAX = 8192, PAGE_REPLY = 64 * 1024, PAGE_ROWS = 64 };

struct pin_work {
    struct pin_walk *walk;
    bool recursive;
    bool known; /* update: the old pin was found */
    char name[NAME_TEXT_MAX + 1];
    struct cid old;        /* update */
    struct cid page_after; /* verify: where the page of pins begins */
    bool paged;
};

static struct pin_work *work_new(struct conversation *v, bool recursive, struct span name)
{
    struct pin_work *work = calloc(1, sizeof(*work));
    if (work == NULL)
        return NULL;
    work->recursive = recursive;
    if (name.len > 0)
        memcpy(work->name, name.data, MIN(name.len, (size_t)NAME_TEXT_MAX));
    v->work = work;
    return work;
}

static enum err start_walk(struct control *c, struct conversation *v, struct pin_work *work, bool verify)
{
    struct budget *budget = ctx_budget(c->ctx);
    struct pin_walk_options options = {.recursive = work->recursive,
                                       .offline = verify || conversation_is_offline(v),
                                       .note_missing = verify,
                                       .account = budget == NULL ? NULL : &budget->accounts[ACCOUNT_TABLES],
                                       .shared = &c->windows};
    v->number = ++c->next_upload; /* one session: its wants share their peers */
    return pin_walk_new(&v->cid, &options, &work->walk);
}

/* ---- calls ---- */

static enum err call_cid(struct control *c, struct conversation *v, uint16_t kind, const struct cid *cid, unsigned sub)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct span key = span_of(bytes, cid_encode(cid, bytes));
    const struct pin_work *work = v->work;
    struct msg_pin_find find = {.cid = key};
    struct msg_pin_add add = {.cid = key, .recursive = work->recursive, .name = span_text(work->name)};
    struct msg_pin_rm rm = {.cid = key, .recursive = true};
    const void *fields = kind == MSG_PIN_FIND  ? (const void *)&find
                         : kind == MSG_PIN_ADD ? (const void *)&add
                                               : (const void *)&rm;
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, kind, fields, NULL, sub, 0);
}

static enum err call_lease(struct control *c, struct conversation *v)
{
    static const struct msg_lease none = {0};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_LEASE, &none, NULL, SUB_LEASE, 0);
}

static enum err call_page(struct control *c, struct conversation *v)
{
    const struct pin_work *work = v->work;
    uint8_t bytes[CID_BYTES_MAX];
    struct msg_pin_ls ask = {.limit = PAGE_ROWS};
    if (work->paged)
        ask.after = span_of(bytes, cid_encode(&work->page_after, bytes));
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_PIN_LS, &ask, NULL, SUB_PAGE, PAGE_REPLY);
}

static enum err call_has(struct control *c, struct conversation *v, struct span cid, unsigned slot)
{
    struct buf list;
    buf_init(&list, 512, NULL);
    enum err err = schema_list_add_bytes(&list, cid);
    struct msg_block_has ask = {.cids = schema_list_of(&list, 1), .keep = true};
    if (err == ERR_OK)
        err = conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BLOCK_HAS, &ask, NULL, slot, 0);
    buf_release(&list);
    return err;
}

static enum err ask_slot(struct control *c, struct conversation *v, unsigned slot)
{
    const struct pin_work *work = v->work;
    struct cid cid;
    uint8_t bytes[CID_BYTES_MAX];
    enum pin_ask ask = pin_walk_question(work->walk, slot, &cid);
    struct span key = span_of(bytes, cid_encode(&cid, bytes));
    if (control_denies(c, &cid)) {
        char text[CID_TEXT_MAX];
        cid_text(&cid, text);
        return conversation_error(v, ERR_DENIED, "/ipfs/%s is blocked and cannot be provided", text);
    }
    struct msg_block_get get = {.cid = key, .keep = true};
    struct msg_fetch fetch = {.cid = key, .session = v->number};
    switch (ask) {
    case PIN_ASK_HAS:
        return call_has(c, v, key, slot);
    case PIN_ASK_GET:
        return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BLOCK_GET, &get, NULL, slot, 0);
    case PIN_ASK_FETCH:
        return conversation_call(c, v, ACTOR_BITSWAP, MSG_FETCH, &fetch, NULL, slot, 0);
    }
    return ERR_INTERNAL;
}

/* ---- results ---- */

static void pack_cid(struct pack *p, const struct cid *cid)
{
    char text[CID_TEXT_MAX];
    cid_text(cid, text);
    pack_text(p, text);
}

static enum err finish_pinned(struct control *c, struct conversation *v)
{
    const struct pin_work *work = v->work;
    bool update = v->op->id == OP_PIN_UPDATE;
    struct buf result;
    buf_init(&result, PINS_RESULT_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 2);
    pack_text(&p, "pins");
    pack_array(&p, update ? 2 : 1);
    if (update)
        pack_cid(&p, &work->old);
    pack_cid(&p, &v->cid);
    pack_pair_u64(&p, "blocks", work->walk == NULL ? 0 : pin_walk_blocks(work->walk));
    return conversation_finish_packed(c, v, &result, &p);
}

static enum err finish_verified(struct control *c, struct conversation *v)
{
    const struct pin_work *work = v->work;
    const struct cid *missing = NULL;
    uint64_t count = pin_walk_missing(work->walk, &missing);
    uint32_t named = (uint32_t)MIN(count, (uint64_t)PIN_WALK_MISSING);
    char text[CID_TEXT_MAX];
    struct buf result;
    buf_init(&result, PINS_RESULT_MAX, NULL);
    struct pack p = pack_begin(&result);
    cid_text(&v->cid, text);
    pack_map(&p, 6);
    pack_pair_text(&p, "cid", text);
    pack_pair_bool(&p, "ok", count == 0);
    pack_pair_u64(&p, "blocks", pin_walk_blocks(work->walk));
    pack_pair_u64(&p, "missing_count", count);
    pack_text(&p, "missing");
    pack_array(&p, named);
    for (uint32_t i = 0; i < named; i++)
        pack_cid(&p, &missing[i]);
    pack_pair_text(&p, "next", text);
    return conversation_finish_packed(c, v, &result, &p);
}

static enum err walked(struct control *c, struct conversation *v)
{
    if (v->op->id == OP_PIN_VERIFY)
        return finish_verified(c, v);
    return call_cid(c, v, MSG_PIN_ADD, &v->cid, SUB_PIN);
}

/* ---- the walk ---- */

/* Asks what there is to ask. Without room at the store the next answer comes back here. */
static enum err go_on(struct control *c, struct conversation *v)
{
    struct pin_work *work = v->work;
    unsigned slot;
    v->done = pin_walk_blocks(work->walk);
    while (pin_walk_next(work->walk, &slot) == ERR_OK) {
        enum err err = ask_slot(c, v, slot);
        if (err == ERR_OK)
            continue;
        pin_walk_unasked(work->walk, slot);
        bool others = ((v->calls | v->rested) & ((UINT64_C(1) << PIN_WALK_SLOTS) - 1)) != 0;
        return err == ERR_BUSY && others ? ERR_OK : err;
    }
    enum err err = pin_walk_state(work->walk);
    if (err == ERR_AGAIN)
        return ERR_OK;
    if (err == ERR_OK)
        return walked(c, v);
    char text[CID_TEXT_MAX];
    const char *why = pin_walk_why(work->walk);
    cid_text(&v->cid, text);
    return why[0] == '\0' ? err : conversation_error(v, err, "%s cannot be walked: %s", text, why);
}

static enum err answer_slot(struct control *c, struct conversation *v, unsigned slot, const struct info *info)
{
    struct pin_work *work = v->work;
    struct block_ref *block = NULL;
    enum err err = info->err;
    if (err == ERR_OK && info->msg->kind == MSG_BLOCK_HAVE) {
        const struct msg_block_have *have = info->msg->fields;
        size_t position = 0;
        uint64_t size = 0;
        err = schema_list_next_u64(&have->sizes, &position, &size) && size > 0 ? ERR_OK : ERR_NOT_FOUND;
    } else if (err == ERR_OK) {
        block = info->msg->tail;
    }
    pin_walk_answer(work->walk, slot, err, block);
    return go_on(c, v);
}

/* ---- add and update ---- */

/* What is pinned so already needs no walk. */
static enum err found(struct control *c, struct conversation *v, const struct msg_pin_found *state)
{
    struct pin_work *work = v->work;
    if (v->op->id == OP_PIN_UPDATE && !work->known) {
        char text[CID_TEXT_MAX];
        cid_text(&work->old, text);
        if (!state->recursive)
            return conversation_error(v, ERR_NOT_FOUND, "%.100s is not pinned recursively", text);
        memcpy(work->name, state->name.data == NULL ? (const uint8_t *)"" : state->name.data,
               MIN(state->name.len, (size_t)NAME_TEXT_MAX));
        work->known = true;
        return call_cid(c, v, MSG_PIN_FIND, &v->cid, SUB_FIND);
    }
    bool named = work->name[0] == '\0' || span_equal_text(state->name, work->name);
    if (v->op->id == OP_PIN_ADD && work->recursive && state->recursive && named)
        return finish_pinned(c, v);
    enum err err = start_walk(c, v, work, false);
    return err == ERR_OK ? go_on(c, v) : err;
}

/* The lease goes first, and both to the store: when the answer to the other one comes it is there. */
static enum err begin(struct control *c, struct conversation *v, const struct cid *first)
{
    enum err err = call_lease(c, v);
    return err == ERR_OK ? call_cid(c, v, MSG_PIN_FIND, first, SUB_FIND) : err;
}

enum err pin_add_start(struct control *c, struct conversation *v)
{
    const struct op_pin_add *args = (const void *)v->args;
    enum err err = conversation_cid(v, args->path, &v->cid);
    if (err != ERR_OK)
        return err;
    return work_new(v, args->recursive, args->name) == NULL ? ERR_NOMEM : begin(c, v, &v->cid);
}

enum err pin_update_start(struct control *c, struct conversation *v)
{
    const struct op_pin_update *args = (const void *)v->args;
    struct cid old;
    enum err err = conversation_cid(v, args->from, &old);
    if (err == ERR_OK)
        err = conversation_cid(v, args->to, &v->cid);
    if (err != ERR_OK)
        return err;
    struct pin_work *work = work_new(v, true, (struct span){0});
    if (work == NULL)
        return ERR_NOMEM;
    work->old = old;
    return begin(c, v, &work->old);
}

static enum err pinned(struct control *c, struct conversation *v)
{
    const struct pin_work *work = v->work;
    const struct op_pin_update *args = (const void *)v->args;
    bool same = cid_equal(&work->old, &v->cid);
    if (v->op->id == OP_PIN_UPDATE && args->unpin && !same)
        return call_cid(c, v, MSG_PIN_RM, &work->old, SUB_UNPIN);
    return finish_pinned(c, v);
}

/* ---- verify ---- */

enum err pin_verify_start(struct control *c, struct conversation *v)
{
    const struct op_pin_verify *args = (const void *)v->args;
    struct pin_work *work = work_new(v, true, (struct span){0});
    if (work == NULL)
        return ERR_NOMEM;
    enum err err = args->path.len == 0 ? ERR_OK : conversation_cid(v, args->path, &v->cid);
    if (err == ERR_OK && args->path.len > 0)
        return call_cid(c, v, MSG_PIN_FIND, &v->cid, SUB_FIND);
    if (err == ERR_OK && args->after.len > 0) {
        err = conversation_cid(v, args->after, &work->page_after);
        work->paged = true;
    }
    return err == ERR_OK ? call_page(c, v) : err;
}

static enum err verify(struct control *c, struct conversation *v)
{
    enum err err = start_walk(c, v, v->work, true);
    return err == ERR_OK ? go_on(c, v) : err;
}

static enum err found_to_verify(struct control *c, struct conversation *v, const struct msg_pin_found *state)
{
    char text[CID_TEXT_MAX];
    cid_text(&v->cid, text);
    return state->recursive ? verify(c, v)
                            : conversation_error(v, ERR_NOT_FOUND, "%.100s is not pinned recursively", text);
}

/* The first recursive pin of the page; else of the next page. */
static enum err page_came(struct control *c, struct conversation *v, const struct msg_pin_page *page)
{
    struct pin_work *work = v->work;
    struct item_pin item;
    size_t position = 0;
    while (schema_list_next_map(&page->pins, &schema_item_pin, &position, &item)) {
        if (item.recursive)
            return cid_parse(item.cid, &v->cid) == ERR_OK ? verify(c, v) : ERR_CORRUPT;
    }
    if (!page->more || page->next.len == 0) {
        conversation_finish(c, v, (struct span){0});
        return ERR_OK;
    }
    work->paged = true;
    return cid_parse(page->next, &work->page_after) == ERR_OK ? call_page(c, v) : ERR_CORRUPT;
}

/* ---- replies ---- */

enum err pins_again(struct control *c, struct conversation *v, unsigned sub)
{
    const struct pin_work *work = v->work;
    bool of_old = v->op->id == OP_PIN_UPDATE && !work->known;
    if (sub < PIN_WALK_SLOTS)
        return ask_slot(c, v, sub);
    if (sub == SUB_LEASE)
        return call_lease(c, v);
    if (sub == SUB_PAGE)
        return call_page(c, v);
    if (sub == SUB_FIND)
        return call_cid(c, v, MSG_PIN_FIND, of_old ? &work->old : &v->cid, SUB_FIND);
    return sub == SUB_PIN ? call_cid(c, v, MSG_PIN_ADD, &v->cid, SUB_PIN)
                          : call_cid(c, v, MSG_PIN_RM, &work->old, SUB_UNPIN);
}

enum err pins_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    if (sub < PIN_WALK_SLOTS)
        return answer_slot(c, v, sub, info);
    if (sub == SUB_LEASE)
        return conversation_error(v, info->err == ERR_OK ? ERR_UNAVAILABLE : info->err,
                                  "the store went down while it was pinned: try again");
    if (info->err != ERR_OK)
        return info->err;
    if (sub == SUB_FIND)
        return v->op->id == OP_PIN_VERIFY ? found_to_verify(c, v, info->msg->fields) : found(c, v, info->msg->fields);
    if (sub == SUB_PAGE)
        return page_came(c, v, info->msg->fields);
    return sub == SUB_PIN ? pinned(c, v) : finish_pinned(c, v);
}

void pins_end(struct control *c, struct conversation *v)
{
    (void)c;
    struct pin_work *work = v->work;
    if (work == NULL)
        return;
    pin_walk_free(work->walk);
    free(work);
    v->work = NULL;
}
