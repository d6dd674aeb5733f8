/* SPDX-License-Identifier: MIT */
/*
 * The sending side: one open batch per receiver and lane, flushed at the end of the turn or at 64 KiB.
 *
 * A message is packed straight into its batch, then admitted by the receiver's box; refused, its bytes are simply not counted, so
 * the batch is as it was. A batch that finds no room in its socket stays and later records join it, which is what makes a busy
 * receiver cheap to feed: its messages get larger, not more.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mailbox/ctx.h"

enum wait { WAIT_NOT, WAIT_REPORT };

static struct outbox *outbox_of(struct ctx *c, actor_id to, enum lane lane)
{
    return &c->peers[to].lane[lane];
}

static void send_batch(struct ctx *c, struct outbox *ob, actor_id to, enum lane lane)
{
    batch_seal(ob->batch, ob->count);
    enum err err = c->rt->backend->send(c, to, lane, &ob->batch);
    struct ctx *target = actor_of(c->rt, to);
    bool gone = err != ERR_OK && life_state(life_of(target)) == LIFE_ENDED;
    if (gone) {
        delivery_discard(target, ob->batch); /* all of it is addressed to a life that has ended */
        ob->batch = NULL;
    }
    ob->blocked = err != ERR_OK && !gone;
    if (ob->blocked)
        return;
    count_up(&c->shared->counters.batches);
    ob->used = 0;
    ob->count = 0;
}

static void list_for_flush(struct ctx *c, struct outbox *ob, actor_id to, enum lane lane)
{
    if (ob->dirty)
        return;
    ob->dirty = true;
    c->dirty[c->dirty_count++] = (uint16_t)(to * LANE_COUNT + lane);
}

/* Reports leave together, or with the next record that may not wait: waking their reader for each costs more than handling it. */
static bool may_wait(struct ctx *c, struct outbox *ob, actor_id to, enum wait wait)
{
    if (wait == WAIT_NOT || ob->dirty)
        return false;
    if (!ob->waiting)
        ob->waiting = timers_set(&c->deadlines, c->now_ns + REPORT_WAIT_MS * MS_NS, REPORT_TAG | to) != TIMERS_NONE;
    return ob->waiting;
}

static void record_added(struct ctx *c, struct outbox *ob, actor_id to, enum lane lane, size_t bytes, enum wait wait)
{
    ob->used += bytes;
    ob->count++;
    if (!may_wait(c, ob, to, wait))
        list_for_flush(c, ob, to, lane);
    if (ob->used >= BATCH_FLUSH_BYTES && !ob->blocked)
        send_batch(c, ob, to, lane);
}

/* Room for a record header and so many bytes of body at the end of the open batch. */
static uint8_t *room_for(struct ctx *c, struct outbox *ob, actor_id to, size_t body_bytes, bool force)
{
    if (ob->batch == NULL) {
        ob->batch = batch_new(c->id, to, c->rt->account, force);
        if (ob->batch == NULL)
            return NULL;
        ob->used = ENVELOPE_BATCH_BYTES;
        ob->count = 0;
    }
    return batch_reserve(ob->batch, ob->used, envelope_record_bytes(body_bytes), c->rt->account, force);
}

/* Packs behind the batch's end without counting it yet; doubles the room until it fits. */
static enum err pack(struct ctx *c, struct outbox *ob, actor_id to, const struct schema *schema, const void *fields,
                     bool force, uint32_t *ret_len)
{
    enum { FIRST_BODY_BYTES = 64 };
    const uint64_t limit = actor_of(c->rt, to)->shared->box.bytes_max;
    for (size_t want = FIRST_BODY_BYTES;;) {
        uint8_t *at = room_for(c, ob, to, want, force);
        if (at == NULL)
            return want >= BATCH_BYTES_MAX / 2 ? ERR_TOO_LARGE : ERR_BUSY;
        size_t room = batch_capacity(ob->batch) - ob->used - ENVELOPE_RECORD_BYTES;
        struct buf body = {.data = at + ENVELOPE_RECORD_BYTES, .cap = room, .max = room};
        enum err err = schema_pack(schema, SCHEMA_ARRAY, fields, &body);
        if (err == ERR_OK) {
            *ret_len = (uint32_t)body.len;
            /* What the box could never hold would wait for room for ever. */
            return envelope_record_bytes(body.len) > limit && !force ? ERR_TOO_LARGE : ERR_OK;
        }
        if ((err != ERR_TOO_LARGE && err != ERR_NOMEM) || room > limit)
            return err;
        want = room * 2;
    }
}

/* The account was empty though the box may not be: nobody would send ROOM, so a timer does. */
static void retry_later(struct ctx *c, actor_id to)
{
    struct peer_out *peer = &c->peers[to];
    if (peer->retry_timer == 0)
        peer->retry_timer = timers_set(&c->deadlines, c->now_ns + RETRY_BUSY_MS * MS_NS, RETRY_TAG | to);
}

/* Keeps a packed record for the time there is room; drops the oldest when the ring is full. */
static void park(struct ctx *c, actor_id to, const uint8_t *bytes, size_t len)
{
    struct peer_out *peer = &c->peers[to];
    if (peer->parked == NULL)
        peer->parked = calloc(1, sizeof(*peer->parked));
    struct parked *parked = peer->parked;
    uint8_t *copy = parked == NULL ? NULL : malloc(len);
    struct record record;
    if (copy == NULL || parked->count == PARKED_MAX) {
        const uint8_t *victim = copy == NULL ? bytes : parked->ring[parked->head].bytes;
        envelope_decode(victim, &record);
        block_ref_unref(record.tail);
        count_up(&c->shared->counters.dropped);
        if (copy == NULL)
            return;
        free(parked->ring[parked->head].bytes);
        parked->head = (parked->head + 1) % PARKED_MAX;
        parked->count--;
    }
    memcpy(copy, bytes, len);
    parked->ring[(parked->head + parked->count++) % PARKED_MAX] = (struct parked_record){.bytes = copy, .len = len};
}

static enum err refused(struct ctx *c, struct record *record, const struct msg *msg, const struct schema *schema,
                        uint8_t *at)
{
    switch (schema->overflow) {
    case OVERFLOW_DROP_OLDEST:
        if (record->type != RECORD_CAST)
            break;
        record->tail = msg->tail == NULL ? NULL : block_ref_ref(msg->tail);
        envelope_encode(at, record);
        park(c, record->to, at, envelope_record_bytes(record->body_len));
        return ERR_OK;
    case OVERFLOW_REFUSE:
        if (record->type == RECORD_CAST)
            count_up(&c->shared->counters.dropped);
        break;
    case OVERFLOW_PUSH_BACK:
    case OVERFLOW_RESERVED:
        break;
    }
    count_up(&c->shared->counters.busy);
    return ERR_BUSY;
}

static struct box_pair pair_of(const struct record *record)
{
    return box_pair_of(record->from, record->from_epoch, record->to_epoch);
}

static bool admit(struct ctx *c, const struct record *record, const struct schema *schema, bool force)
{
    struct box *box = &actor_of(c->rt, record->to)->shared->box;
    uint32_t bytes = (uint32_t)envelope_record_bytes(record->body_len);
    struct peer_out *peer = &c->peers[record->to];
    if (record->type == RECORD_REPLY)
        return true; /* its room was reserved by the caller */
    if (peer->parked != NULL && peer->parked->count > 0 && schema->overflow == OVERFLOW_DROP_OLDEST)
        return false; /* behind its elders */
    if (schema->overflow == OVERFLOW_REFUSE)
        return box_take(box, pair_of(record), bytes, force);
    return force ? box_take(box, pair_of(record), bytes, true) : box_take_or_wait(box, pair_of(record), bytes);
}

enum err outbox_message(struct ctx *c, struct record *record, const struct msg *msg, bool force)
{
    const struct schema *schema = runtime_schema(c->rt, msg->kind);
    assert(schema != NULL);
    enum lane lane = schema->control_lane && record->type != RECORD_REPLY ? LANE_CONTROL : LANE_DATA;
    struct outbox *ob = outbox_of(c, record->to, lane);
    force = force || schema->overflow == OVERFLOW_RESERVED;
    enum err err = pack(c, ob, record->to, schema, msg->fields, force, &record->body_len);
    if (err == ERR_BUSY) {
        count_up(&c->shared->counters.busy);
        retry_later(c, record->to);
    }
    if (err == ERR_OK && record->type == RECORD_REPLY && record->body_len > record->body_max)
        err = ERR_TOO_LARGE;
    if (err != ERR_OK)
        return err;
    record->kind = msg->kind;
    uint8_t *at = batch_body(ob->batch) + ob->used;
    if (!admit(c, record, schema, force))
        return refused(c, record, msg, schema, at);
    record->tail = msg->tail == NULL ? NULL : block_ref_ref(msg->tail);
    envelope_encode(at, record);
    bool report = schema->overflow == OVERFLOW_DROP_OLDEST && lane == LANE_DATA;
    record_added(c, ob, record->to, lane, envelope_record_bytes(record->body_len), report ? WAIT_REPORT : WAIT_NOT);
    return ERR_OK;
}

void outbox_raw(struct ctx *c, enum lane lane, struct record *record, const char *text)
{
    struct outbox *ob = outbox_of(c, record->to, lane);
    size_t len = text == NULL ? 0 : strnlen(text, TEXT_MAX);
    uint8_t *at = room_for(c, ob, record->to, len, true);
    if (at == NULL)
        abort(); /* not a kilobyte of memory left: nothing can be said any more, the nanny takes over */
    if (len > 0)
        memcpy(at + ENVELOPE_RECORD_BYTES, text, len);
    record->body_len = (uint32_t)len;
    envelope_encode(at, record);
    record_added(c, ob, record->to, lane, envelope_record_bytes(len), WAIT_NOT);
}

bool outbox_flush(struct ctx *c)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < c->dirty_count; i++) {
        uint16_t index = c->dirty[i];
        actor_id to = index / LANE_COUNT;
        struct outbox *ob = outbox_of(c, to, index % LANE_COUNT);
        if (ob->batch != NULL && ob->count > 0)
            send_batch(c, ob, to, index % LANE_COUNT);
        if (ob->blocked)
            c->dirty[left++] = index;
        else
            ob->dirty = false;
    }
    c->dirty_count = left;
    return left == 0;
}

void outbox_report_due(struct ctx *c, actor_id to)
{
    struct outbox *ob = outbox_of(c, to, LANE_DATA);
    ob->waiting = false;
    if (ob->batch != NULL && ob->count > 0)
        list_for_flush(c, ob, to, LANE_DATA);
}

void outbox_room(struct ctx *c, actor_id to)
{
    struct parked *parked = c->peers[to].parked;
    while (parked != NULL && parked->count > 0) {
        struct parked_record *oldest = &parked->ring[parked->head];
        struct record record;
        envelope_decode(oldest->bytes, &record);
        if (!box_take_or_wait(&actor_of(c->rt, to)->shared->box, pair_of(&record), record.length))
            return;
        const struct schema *schema = runtime_schema(c->rt, record.kind);
        enum lane lane = schema->control_lane ? LANE_CONTROL : LANE_DATA;
        struct outbox *ob = outbox_of(c, to, lane);
        uint8_t *at = room_for(c, ob, to, record.body_len, false);
        if (at == NULL) {
            box_give(&actor_of(c->rt, to)->shared->box, pair_of(&record), 1, record.length);
            retry_later(c, to);
            return;
        }
        memcpy(at, oldest->bytes, oldest->len);
        record_added(c, ob, to, lane, oldest->len, WAIT_NOT);
        free(oldest->bytes);
        parked->head = (parked->head + 1) % PARKED_MAX;
        parked->count--;
    }
}

void outbox_forget(struct ctx *c, actor_id to)
{
    struct parked *parked = c->peers[to].parked;
    while (parked != NULL && parked->count > 0) {
        struct record record;
        envelope_decode(parked->ring[parked->head].bytes, &record);
        block_ref_unref(record.tail);
        free(parked->ring[parked->head].bytes);
        parked->head = (parked->head + 1) % PARKED_MAX;
        parked->count--;
        count_up(&c->shared->counters.dropped);
    }
    free(parked);
    c->peers[to].parked = NULL;
}

void outbox_release(struct ctx *c)
{
    for (size_t to = 0; to < c->rt->actor_count; to++) {
        outbox_forget(c, (actor_id)to);
        for (int lane = 0; lane < LANE_COUNT; lane++) {
            struct outbox *ob = &c->peers[to].lane[lane];
            if (ob->batch != NULL) {
                batch_seal(ob->batch, ob->count);
                delivery_discard(actor_of(c->rt, (actor_id)to), ob->batch);
            }
            *ob = (struct outbox){0};
        }
    }
    c->dirty_count = 0;
}
